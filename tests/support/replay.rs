//! Dialogues of identity providers, in YAML, played against a service: a client's requests as it sends them, and what
//! it needs to find in the answers. The format is described in tests/dialogues/README.md.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::client::{Answer, Client, Failure};

/// How a dialogue went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub steps: usize,
    /// One paragraph for each step that went otherwise than expected.
    pub failures: Vec<String>,
}

impl Outcome {
    /// Fails the test unless every step went as the dialogue says.
    #[track_caller]
    pub fn expect_green(&self, file: &Path) {
        assert!(self.steps > 0, "{} has no steps", file.display());
        assert!(
            self.failures.is_empty(),
            "{}: {} of {} steps failed\n{}",
            file.display(),
            self.failures.len(),
            self.steps,
            self.failures.join("\n")
        );
    }
}

/// Plays a file. `token` takes the place of the file's own.
pub fn replay(file: &Path, client: &mut Client, token: &str) -> Outcome {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let document: Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut variables: HashMap<String, Value> = match document.get("vars") {
        Some(Value::Object(map)) => map.clone().into_iter().collect(),
        _ => HashMap::new(),
    };
    variables.insert("token".to_owned(), Value::from(token));
    let defaults = document.pointer("/defaults/headers").cloned().unwrap_or(Value::Object(Map::new()));
    let mut outcome = Outcome::default();
    for step in document["steps"].as_array().unwrap_or_else(|| panic!("{}: no steps", file.display())) {
        outcome.steps += 1;
        let name = step["name"].as_str().unwrap_or("a step without a name");
        if let Err(problems) = play(step, &defaults, &mut variables, client) {
            outcome.failures.push(format!("  {} {name}\n      {}", outcome.steps, problems.join("\n      ")));
        }
    }
    outcome
}

fn play(
    step: &Value,
    defaults: &Value,
    variables: &mut HashMap<String, Value>,
    client: &mut Client,
) -> Result<(), Vec<String>> {
    let missing = |name: String| vec![format!("not sent: ${{{name}}} was never captured")];
    let request = substitute(&step["request"], variables).map_err(missing)?;
    let expect = substitute(&step["expect"], variables).map_err(missing)?;
    let mut headers: Map<String, Value> = match substitute(defaults, variables).map_err(missing)? {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    if let Some(Value::Object(own)) = request.get("headers") {
        headers.extend(own.clone());
    }
    let body: Option<Vec<u8>> = match (request.get("body_raw"), request.get("body")) {
        (Some(Value::String(raw)), _) => Some(raw.clone().into_bytes()),
        (_, Some(body)) => Some(serde_json::to_vec(body).expect("JSON")),
        _ => None,
    };
    let headers: Vec<(String, String)> = headers
        .into_iter()
        .filter(|(name, value)| !value.is_null() && (body.is_some() || name != "Content-Type"))
        .map(|(name, value)| (name, plain(&value)))
        .collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let method = request["method"].as_str().expect("a method");
    let path = request["path"].as_str().expect("a path");
    let answer = match client.send(method, path, &headers, body.as_deref()) {
        Ok(answer) => answer,
        Err(Failure::NotSent(error) | Failure::NoAnswer(error)) => return Err(vec![format!("no answer: {error}")]),
    };
    let problems = check(&expect, &answer);
    if let (Some(Value::Object(capture)), Ok(document)) = (step.get("capture"), serde_json::from_slice(&answer.body)) {
        for (name, path) in capture {
            if let Found::One(value) = get(&document, path.as_str().expect("a path to capture")) {
                variables.insert(name.clone(), value);
            }
        }
    }
    let declined = step["optional"] == true && (400..=501).contains(&answer.status) && answer.status != 500;
    if problems.is_empty() || declined { Ok(()) } else { Err(problems) }
}

/// `${name}` anywhere in texts; a text that is nothing else takes the captured value whole.
fn substitute(value: &Value, variables: &HashMap<String, Value>) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => {
            let whole = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            if let Some(name) = whole.filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_')) {
                return variables.get(name).cloned().ok_or_else(|| name.to_owned());
            }
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once("${") {
                let Some((name, after)) = after.split_once('}') else {
                    break;
                };
                out.push_str(before);
                out.push_str(&plain(variables.get(name).ok_or_else(|| name.to_owned())?));
                rest = after;
            }
            out.push_str(rest);
            Value::String(out)
        }
        Value::Array(items) => {
            items.iter().map(|item| substitute(item, variables)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Value::Object(map) => {
            let mut out = Map::new();
            for (key, item) in map {
                let key = plain(&substitute(&Value::String(key.clone()), variables)?);
                out.insert(key, substitute(item, variables)?);
            }
            Value::Object(out)
        }
        other => other.clone(),
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What stands at a path.
enum Found {
    Nothing,
    One(Value),
    /// `[*]` collects.
    Many(Vec<Value>),
}

impl Found {
    /// What `absent` accepts and `exists` does not look behind.
    fn is_empty(&self) -> bool {
        match self {
            Found::Nothing => true,
            Found::One(value) => value.is_null() || value == "" || value.as_array().is_some_and(Vec::is_empty),
            Found::Many(values) => values.is_empty(),
        }
    }

    fn show(&self) -> String {
        match self {
            Found::Nothing => "nothing".to_owned(),
            Found::One(value) => value.to_string(),
            Found::Many(values) => Value::from(values.clone()).to_string(),
        }
    }
}

/// `$.a.b[0].c`, `$.emails[type=work].value`, `$.members[*].value`, `$['urn:...:User'].department`.
fn get(document: &Value, path: &str) -> Found {
    let token = regex::Regex::new(r"\.([A-Za-z_$][\w$]*)|\['([^']*)'\]|\[(\d+)\]|\[(\*)\]|\[([A-Za-z$]+)=([^\]]*)\]")
        .expect("a pattern");
    let mut rest = path.strip_prefix('$').unwrap_or_else(|| panic!("a path starts with $: {path}"));
    let mut current: Vec<Value> = vec![document.clone()];
    let mut many = false;
    while !rest.is_empty() {
        let captures = token.captures(rest).filter(|found| found.get(0).is_some_and(|all| all.start() == 0));
        let captures = captures.unwrap_or_else(|| panic!("bad path {path} at {rest}"));
        rest = &rest[captures[0].len()..];
        let mut next = Vec::new();
        for value in &current {
            if let Some(key) = captures.get(1).or(captures.get(2)) {
                next.extend(value.get(key.as_str()).cloned());
            } else if let Some(index) = captures.get(3) {
                let index: usize = index.as_str().parse().expect("an index");
                next.extend(value.as_array().and_then(|items| items.get(index)).cloned());
            } else if captures.get(4).is_some() {
                many = true;
                next.extend(value.as_array().cloned().unwrap_or_default());
            } else {
                let wanted = captures[6].to_lowercase();
                let matches =
                    |item: &&Value| item.get(&captures[5]).is_some_and(|field| plain(field).to_lowercase() == wanted);
                next.extend(value.as_array().and_then(|items| items.iter().find(matches)).cloned());
            }
        }
        current = next;
    }
    if many { Found::Many(current) } else { current.into_iter().next().map_or(Found::Nothing, Found::One) }
}

/// Everything in which the answer is not what the step expects.
fn check(expect: &Value, answer: &Answer) -> Vec<String> {
    let mut problems = Vec::new();
    let text = answer.text();
    let statuses: Vec<u64> = match expect.get("status") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_u64).collect(),
        Some(one) => one.as_u64().into_iter().collect(),
        None => Vec::new(),
    };
    if !statuses.is_empty() && !statuses.contains(&u64::from(answer.status)) {
        let start: String = text.chars().take(300).collect();
        problems.push(format!("status {}, expected {statuses:?}: {start}", answer.status));
    }
    if expect["empty_body"] == true && !answer.body.is_empty() {
        problems.push("the body is not empty".to_owned());
    }
    for wanted in expect["body_contains"].as_array().into_iter().flatten() {
        if !text.contains(&plain(wanted)) {
            problems.push(format!("the body lacks {wanted}"));
        }
    }
    for (name, wanted) in entries(expect, "header") {
        let found = answer.header(name).unwrap_or_default();
        if !found.to_lowercase().contains(&plain(wanted).to_lowercase()) {
            problems.push(format!("header {name} is {found:?}, which lacks {wanted}"));
        }
    }
    let looks_inside =
        ["json", "type", "length", "exists", "absent", "members"].iter().any(|key| expect.get(key).is_some());
    // 204 where that is one of the expected answers: there is nothing to look at.
    if !looks_inside || (answer.status == 204 && statuses.contains(&204)) {
        return problems;
    }
    let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
        problems.push(format!("the body is not JSON: {text:?}"));
        return problems;
    };
    for (path, wanted) in entries(expect, "json") {
        let found = get(&document, path);
        if !matches!(&found, Found::One(value) if value == wanted) {
            problems.push(format!("{path} is {}, expected {wanted}", found.show()));
        }
    }
    for (path, kind) in entries(expect, "type") {
        let found = get(&document, path);
        let fits = matches!(&found, Found::One(value) if match kind.as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("boolean") => value.is_boolean(),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            other => panic!("unknown type {other:?}"),
        });
        if !fits {
            problems.push(format!("{path} is {}, expected a value of type {kind}", found.show()));
        }
    }
    for (path, wanted) in entries(expect, "length") {
        let found = get(&document, path);
        let length = match &found {
            Found::One(Value::Array(items)) => items.len(),
            Found::Many(items) => items.len(),
            _ => 0,
        };
        if u64::try_from(length).ok() != wanted.as_u64() {
            problems.push(format!("{path} has {length} elements, expected {wanted}"));
        }
    }
    for path in expect["exists"].as_array().into_iter().flatten() {
        if matches!(get(&document, &plain(path)), Found::Nothing | Found::One(Value::Null)) {
            problems.push(format!("{path} is missing"));
        }
    }
    for path in expect["absent"].as_array().into_iter().flatten() {
        let found = get(&document, &plain(path));
        if !found.is_empty() {
            problems.push(format!("{path} is {}, expected nothing", found.show()));
        }
    }
    for (path, wanted) in entries(expect, "members") {
        let sorted = |values: &[Value]| {
            let mut texts: Vec<String> = values.iter().map(plain).collect();
            texts.sort();
            texts
        };
        let found = match get(&document, path) {
            Found::Many(values) => sorted(&values),
            _ => Vec::new(),
        };
        let wanted = sorted(wanted.as_array().map(Vec::as_slice).unwrap_or_default());
        if found != wanted {
            problems.push(format!("{path} is {found:?}, expected {wanted:?}"));
        }
    }
    problems
}

fn entries<'a>(expect: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    expect.get(key).and_then(Value::as_object).into_iter().flatten()
}
