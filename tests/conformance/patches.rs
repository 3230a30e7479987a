//! What our PATCH makes of a resource beside npm's scim-patch: the resource afterwards, or that there is none.
//!
//! SCIMSHIM_DIFFERENTIAL_PATCHES says how many operations are made up, SCIMSHIM_DIFFERENTIAL_SEED which. Where the two differ
//! the RFC decides: each kind of difference stands in `patches.yaml` with the text that decides it. Each operation applies to
//! what ours made of the one before, so that one difference is not ten.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use scimshim::scim::patch::{Limits, Options};
use scimshim::scim::{Object, Patch, ResourceSchema, Schema, normalise};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::random::Random;
use crate::support::{file, report, size};
use crate::{closed, tools};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// A kind of difference.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    kind: String,
    why: String,
}

#[test]
fn patches_as_another_applies_them() {
    let seed = size("SCIMSHIM_DIFFERENTIAL_SEED", 1) as u64;
    let cases = size("SCIMSHIM_DIFFERENTIAL_PATCHES", 1200);
    let known: Vec<Known> = closed::list("tests/conformance/patches.yaml");
    assert!(known.iter().all(|one| one.why.contains("RFC")), "each kind says by which text it was decided");
    let schema = ResourceSchema { core: Schema::user(), extensions: vec![Schema::enterprise_user()] };
    let mut random = Random::new(seed);
    let mut asked = Vec::new();
    let mut ours = Vec::new();
    while asked.len() < cases {
        let mut resource = normal(made(&mut random), &schema);
        let mut all = Vec::new();
        let before = resource.clone();
        for _ in 0..1 + random.below(3) {
            let operation = operation(&mut random);
            asked.push(json!({ "resource": resource, "operations": [operation] }));
            all.push(operation.clone());
            let after = patched(&resource, &json!([operation]), &schema);
            ours.push(after.clone());
            match after {
                Some(after) => resource = after,
                None => break,
            }
        }
        // One message with all of them comes to the same. (A value that lost all but its `type` lives to the end of its
        // message and no longer, so what fails alone may find it there.)
        if let Some(last) = ours.last().unwrap() {
            let at_once = patched(&before, &Value::Array(all.clone()), &schema);
            assert_eq!(at_once.as_ref().map(unordered), Some(unordered(last)), "{} with {}", json!(before), json!(all));
        }
    }
    let theirs = read(&asked);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let (mut alike, mut refused) = (0, 0);
    for ((asked, ours), theirs) in asked.iter().zip(&ours).zip(&theirs) {
        let theirs_after = theirs["resource"].as_object().map(|object| unordered(&normal(object.clone(), &schema)));
        let ours_after = ours.as_ref().map(unordered);
        match (&ours_after, &theirs_after) {
            (None, None) => refused += 1,
            (ours, theirs) if ours == theirs => alike += 1,
            _ => {
                let kind = kind_of(asked, ours_after.as_ref(), theirs_after.as_ref());
                match known.iter().find(|one| Some(one.kind.as_str()) == kind) {
                    Some(one) => *seen.entry(one.kind.as_str()).or_default() += 1,
                    None => wrong.push(format!(
                        "{}\n  on     {}\n  ours   {}\n  theirs {}\n  ({kind:?})",
                        asked["operations"][0],
                        asked["resource"],
                        json!(ours_after),
                        theirs_after.as_ref().unwrap_or(theirs)
                    )),
                }
            }
        }
    }
    wrong.extend(
        known
            .iter()
            .filter(|one| !seen.contains_key(one.kind.as_str()))
            .map(|one| format!("listed and gone: {}", one.kind)),
    );
    assert!(wrong.is_empty(), "seed {seed}: {} differences\n{}", wrong.len(), wrong[..wrong.len().min(25)].join("\n"));
    assert!(alike * 2 > asked.len() && refused > 10, "{alike} alike, {refused} refused by both, of {}", asked.len());
    report(
        "differential",
        &format!(
            "{} PATCH operations (seed {seed}) beside scim-patch: {alike} alike, {refused} refused by both, {} of {} listed kinds of difference",
            asked.len(),
            seen.values().sum::<usize>(),
            known.len()
        ),
    );
}

/// Which kind of difference this can only be.
fn kind_of(asked: &Value, ours: Option<&Value>, theirs: Option<&Value>) -> Option<&'static str> {
    let operation = &asked["operations"][0];
    let op = operation["op"].as_str()?.to_lowercase();
    let path = operation["path"].as_str();
    let value = &operation["value"];
    let primary = |value: &Value| value.to_string().contains("\"primary\":true");
    match (op.as_str(), path) {
        (_, None) if value.get(ENTERPRISE).is_some() => Some("extension-in-a-value"),
        (_, None) if value.get("name").is_some() => Some("complex-attribute-in-a-value"),
        (_, _) if primary(value) && primary(&asked["resource"]) => Some("primary"),
        ("remove", Some(_)) if ours.is_some() && theirs.is_none() => Some("nothing-to-remove"),
        (_, Some(path)) if path.contains('[') && ours.is_some() && theirs.is_none() => Some("no-value-to-change"),
        ("replace", Some(path)) if path.ends_with(']') => Some("value-replaced-whole"),
        ("add", Some(path)) if path.ends_with(']') && elements(ours) > elements(theirs) => Some("no-value-to-change"),
        ("add", _) if elements(ours) < elements(theirs) => Some("value-there-already"),
        _ => None,
    }
}

fn elements(resource: Option<&Value>) -> usize {
    resource.and_then(|resource| resource["emails"].as_array()).map_or(0, Vec::len)
}

fn normal(object: Object, schema: &ResourceSchema) -> Object {
    let mut object = normalise(object, schema, &mut Vec::new()).expect("a user");
    object.shift_remove("schemas");
    object
}

/// RFC 7643 2.4: the order of values says nothing.
fn unordered(object: &Object) -> Value {
    let mut object = object.clone();
    for value in object.values_mut() {
        if let Value::Array(list) = value {
            list.sort_by_key(|one| sorted(one).to_string());
            list.iter_mut().for_each(|one| *one = sorted(one));
        } else {
            *value = sorted(value);
        }
    }
    sorted(&Value::Object(object))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut keys: Vec<&String> = object.keys().collect();
            keys.sort();
            Value::Object(keys.into_iter().map(|key| (key.clone(), object[key].clone())).collect())
        }
        other => other.clone(),
    }
}

fn patched(resource: &Object, operations: &Value, schema: &ResourceSchema) -> Option<Object> {
    let patch = Patch::parse(json!({ "Operations": operations }), &Limits::default()).ok()?;
    Some(normal(patch.apply(resource, schema, &Options::default()).ok()?.resource, schema))
}

/// A user.
fn made(random: &mut Random) -> Object {
    let mut user = json!({ "id": "7", "userName": "ada" });
    if random.percent(60) {
        user["name"] = json!({ "givenName": "Ada" });
        if random.percent(50) {
            user["name"]["familyName"] = "King".into();
        }
    }
    for (key, value) in [("title", json!("Countess")), ("active", json!(true)), ("nickName", json!("A"))] {
        if random.percent(50) {
            user[key] = value;
        }
    }
    let kinds = ["work", "home", "other"];
    let emails: Vec<Value> =
        (0..random.below(4) as usize).map(|n| json!({ "value": format!("{n}@x.org"), "type": kinds[n] })).collect();
    if !emails.is_empty() {
        user["emails"] = emails.into();
        if random.percent(40) {
            user["emails"][0]["primary"] = true.into();
        }
    }
    if random.percent(40) {
        user["phoneNumbers"] = json!([{ "value": "1", "type": "work" }, { "value": "2", "type": "mobile" }]);
    }
    if random.percent(50) {
        user[ENTERPRISE] = json!({ "department": "Sums", "manager": { "value": "1" } });
    }
    user.as_object().unwrap().clone()
}

/// An operation in the forms of RFC 7644 3.5.2.
fn operation(random: &mut Random) -> Value {
    let op = *random.pick(&["add", "replace", "remove", "add", "replace", "Add", "Replace"]);
    let texts = ["x", "Ada", "King", "y z"];
    let text = (*random.pick(&texts)).to_owned();
    let kind = *random.pick(&["work", "home", "other", "mobile"]);
    let email = |random: &mut Random| {
        let mut email =
            json!({ "value": format!("{}@x.org", random.below(5)), "type": *random.pick(&["work", "home", "other"]) });
        if random.percent(15) {
            email["primary"] = true.into();
        }
        email
    };
    let (path, value): (Option<String>, Value) = match random.below(15) {
        0 => (Some("title".into()), text.into()),
        1 => (Some("active".into()), random.percent(50).into()),
        2 => (Some("name.familyName".into()), text.into()),
        3 => (Some("name".into()), json!({ "familyName": text })),
        4 => (Some("emails".into()), json!([email(random)])),
        5 => (Some("emails".into()), json!([email(random), email(random)])),
        6 => (Some(format!("emails[type eq \"{kind}\"].value")), format!("{text}@y.org").replace(' ', "").into()),
        7 => (
            Some(format!("emails[type eq \"{kind}\"]")),
            json!({ "value": format!("{}@z.org", random.below(3)), "display": text }),
        ),
        8 => (Some(format!("emails[value eq \"{}@x.org\"].display", random.below(4))), text.into()),
        9 => (Some(format!("{ENTERPRISE}:department")), text.into()),
        10 => (None, json!({ "title": text, "nickName": "N" })),
        11 => (None, json!({ "name": { "familyName": text }, "active": false })),
        12 => (None, json!({ ENTERPRISE: { "department": text } })),
        13 => (None, json!({ "emails": [email(random)] })),
        _ => (Some(format!("phoneNumbers[type eq \"{kind}\"].value")), "3".into()),
    };
    let mut operation = json!({ "op": op });
    if let Some(path) = path {
        operation["path"] = path.into();
    }
    if op != "remove" {
        operation["value"] = value;
    }
    operation
}

fn read(asked: &[Value]) -> Vec<Value> {
    let mut child = tools::node()
        .arg(file("tests/conformance/node/patch.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node runs: scripts/need test installs it");
    let mut input = child.stdin.take().unwrap();
    let sent = serde_json::to_vec(asked).unwrap();
    let writer = std::thread::spawn(move || input.write_all(&sent));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "patch.js: {}", output.status);
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a list");
    assert_eq!(all.len(), asked.len());
    all
}
