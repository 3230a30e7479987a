//! Our filter parser beside scim2-filter-parser: what is taken, what is refused, and the tree.
//!
//! SCIMSHIM_DIFFERENTIAL_CASES says how many filters are made up, SCIMSHIM_DIFFERENTIAL_SEED which. Where the two differ the
//! RFC decides: each kind of difference stands in `filters.yaml` with an example and the text that decides it.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use scimshim::scim::filter::Limits;
use scimshim::scim::{AttributePath, Filter, Literal};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::random::Random;
use crate::support::{file, report, size};
use crate::{closed, tools};

/// A kind of difference.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    kind: String,
    /// A filter that shows it.
    example: String,
    /// Who takes it: `us`, `them`, or `both`, with other trees.
    taken_by: String,
    why: String,
}

#[test]
fn filters_as_another_parser_reads_them() {
    let seed = size("SCIMSHIM_DIFFERENTIAL_SEED", 1) as u64;
    let cases = size("SCIMSHIM_DIFFERENTIAL_CASES", 6000);
    let known: Vec<Known> = closed::list("tests/conformance/filters.yaml");
    assert!(known.iter().all(|one| one.why.contains("RFC")), "each kind says by which text it was decided");
    let mut texts: Vec<String> = HAND_WRITTEN.iter().map(|text| (*text).to_owned()).collect();
    texts.extend(known.iter().map(|one| one.example.clone()));
    let mut random = Random::new(seed);
    while texts.len() < cases {
        let good = Made { random: &mut random }.filter(3, false);
        texts.push(if random.percent(35) { spoiled(&good, &mut random) } else { good });
    }
    let ours: Vec<Option<Filter>> = texts.iter().map(|text| Filter::parse(text, &limits()).ok()).collect();
    // The same with every group in parentheses: who reads those alike differs in precedence alone.
    let explicit: Vec<String> = ours.iter().map(|ours| ours.as_ref().map_or_else(String::new, grouped)).collect();
    let theirs = read(&texts);
    let theirs_explicit = read(&explicit);
    // And without URNs, every group in parentheses: who reads those alike differs in what a URN is.
    let plain: Vec<(String, Value)> = texts.iter().map(|text| plainly(&without_urns(text))).collect();
    let theirs_plain = read(&plain.iter().map(|(text, _)| text.clone()).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut taken, mut refused) = (0, 0);
    for (index, text) in texts.iter().enumerate() {
        let ours = ours[index].as_ref().map(tree);
        let (theirs, theirs_explicit) = (&theirs[index], &theirs_explicit[index]);
        match (&ours, theirs) {
            (None, Value::Null) => refused += 1,
            (Some(ours), theirs) if ours == theirs => taken += 1,
            _ => {
                let by = match (&ours, theirs) {
                    (Some(_), Value::Null) => "us",
                    (None, _) => "them",
                    _ => "both",
                };
                let kind = kind_of(text, ours.as_ref(), theirs, theirs_explicit)
                    .or_else(|| (plain[index].1 == theirs_plain[index]).then_some("urn"));
                match known.iter().find(|one| Some(one.kind.as_str()) == kind && one.taken_by.contains(by)) {
                    Some(one) => *seen.entry(one.kind.as_str()).or_default() += 1,
                    None => wrong
                        .push(format!("{text}\n    ours   {}\n    theirs {theirs}\n    ({by}, {kind:?})", json!(ours))),
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
    assert!(wrong.is_empty(), "seed {seed}: {} differences\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
    assert!(
        taken * 4 > texts.len() && refused * 20 > texts.len(),
        "{taken} taken alike, {refused} refused alike of {}",
        texts.len()
    );
    let kinds: usize = seen.values().sum();
    report(
        "differential",
        &format!(
            "{} filters (seed {seed}) beside scim2-filter-parser: {taken} trees alike, {refused} refused by both, {kinds} of {} listed kinds of difference",
            texts.len(),
            known.len()
        ),
    );
}

/// The grammar of the RFC, without what we take besides.
fn limits() -> Limits {
    Limits { unquoted: false, ..Limits::default() }
}

/// Which kind of difference this can only be; the narrowest first.
fn kind_of(text: &str, ours: Option<&Value>, theirs: &Value, theirs_explicit: &Value) -> Option<&'static str> {
    let bare = without_strings(text);
    let words: Vec<&str> = bare.split([' ', '(', ')', '[', ']', '"', '\t']).filter(|word| !word.is_empty()).collect();
    let any = |test: &dyn Fn(&str) -> bool| words.iter().any(|word| test(word));
    let begins = |word: &str| {
        let name = word.rsplit(':').next().unwrap_or(word);
        ["true", "false", "null"].iter().any(|known| name.contains(known) && !name.eq_ignore_ascii_case(known))
    };
    let is_number = |word: &str| {
        word.parse::<f64>().is_ok() && word.len() > 1 && word.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    };
    if text.contains('\\') {
        return Some("escape");
    }
    if text.chars().any(|c| c.is_control()) {
        return Some("control");
    }
    if any(&begins) {
        return Some("name-begins-like-a-literal");
    }
    if ours.is_some() && any(&is_number) {
        return Some("number");
    }
    if ours.is_some()
        && any(&|word| ["true", "false", "null"].iter().any(|known| word.eq_ignore_ascii_case(known) && word != *known))
    {
        return Some("literal-in-capitals");
    }
    if ours.is_some() && theirs_explicit == ours? {
        return Some("precedence");
    }
    if ours.is_none() && nested(theirs, false) {
        return Some("brackets-in-brackets");
    }
    if ours.is_none() && sub_attribute_before_bracket(&bare) {
        return Some("brackets-after-a-sub-attribute");
    }
    let keywords = ["and", "or", "not", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"];
    if ours.is_some()
        && theirs.is_null()
        && any(&|word| {
            keywords.iter().any(|known| {
                word.rsplit(':')
                    .next()
                    .is_some_and(|name| name.split('.').next().is_some_and(|name| name.eq_ignore_ascii_case(known)))
            })
        })
        && keyword_as_a_name(ours?)
    {
        return Some("name-is-a-keyword");
    }
    if ours.is_none() && runs_together(&bare) {
        return Some("no-space-between");
    }
    None
}

/// A filter as it is to be asked of both, and our tree of it.
fn plainly(text: &str) -> (String, Value) {
    match Filter::parse(text, &limits()) {
        Ok(filter) => (grouped(&filter), tree(&filter)),
        Err(_) => (text.to_owned(), Value::Null),
    }
}

/// The text with its attributes' names unqualified.
fn without_urns(text: &str) -> String {
    let mut pieces = text.split('"').map(str::to_owned).collect::<Vec<String>>();
    for piece in pieces.iter_mut().step_by(2) {
        let ends = [' ', '(', ')', '[', ']'];
        let words = piece.split_inclusive(ends).map(|word| word.rsplit(':').next().unwrap_or(word));
        *piece = words.collect();
    }
    pieces.join("\"")
}

/// The text with nothing in its strings.
fn without_strings(text: &str) -> String {
    text.split('"').enumerate().map(|(index, piece)| if index % 2 == 0 { piece } else { "\"\"" }).collect()
}

fn nested(tree: &Value, inside: bool) -> bool {
    match tree {
        Value::Array(parts) => {
            let bracket = parts.first().is_some_and(|word| word == "value") && parts.len() == 3;
            (bracket && inside) || parts.iter().any(|part| nested(part, inside || bracket))
        }
        _ => false,
    }
}

/// `name.familyName[`
fn sub_attribute_before_bracket(bare: &str) -> bool {
    let before = bare
        .split('[')
        .map(|piece| piece.trim_end_matches(' ').rsplit([' ', '(', ')', ']']).next().unwrap_or_default());
    let pieces = bare.split('[').count().saturating_sub(1);
    before.take(pieces).any(|word| word.rsplit(':').next().unwrap_or(word).contains('.'))
}

fn keyword_as_a_name(tree: &Value) -> bool {
    let keyword = |path: &Value| {
        let name = path.as_str().unwrap_or_default().rsplit(':').next().unwrap_or_default().to_ascii_lowercase();
        name.split('.').any(|name| {
            ["and", "or", "not", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr", "true", "false", "null"]
                .contains(&name)
        })
    };
    match tree {
        Value::Array(parts) => {
            (parts.len() >= 2 && parts[1].is_string() && keyword(&parts[1])) || parts.iter().any(keyword_as_a_name)
        }
        _ => false,
    }
}

/// Tokens that only a space tells apart for us and that their lexer tells apart by its patterns: `5and`, `name .given`.
fn runs_together(bare: &str) -> bool {
    let bytes = bare.as_bytes();
    bytes.windows(2).any(|pair| {
        let (a, b) = (pair[0], pair[1]);
        (a.is_ascii_digit() && b.is_ascii_alphabetic())
            || (a == b' ' && b == b'.')
            || (matches!(a, b')' | b']' | b'"') && (b.is_ascii_alphanumeric() || b == b'.' || b == b'$'))
            || (a == b'"' && b == b'"')
            || (a == b':' && b == b' ')
    }) || bare.split(' ').any(|word| {
        let word = word.to_ascii_lowercase();
        ["true", "false", "null"].iter().any(|known| word.contains(known) && word != *known)
    })
}

/// A filter of ours with every group in parentheses.
fn grouped(filter: &Filter) -> String {
    let join = |all: &[Filter], word: &str| {
        let mut text = format!("({})", grouped(&all[0]));
        for one in &all[1..] {
            text = format!("({text} {word} ({}))", grouped(one));
        }
        text
    };
    match filter {
        Filter::And(all) => join(all, "and"),
        Filter::Or(any) => join(any, "or"),
        Filter::Not(one) => format!("not ({})", grouped(one)),
        Filter::Value(path, inner) => format!("{path}[{}]", grouped(inner)),
        leaf => leaf.to_string(),
    }
}

/// Our tree in the form of `filters.py`.
fn tree(filter: &Filter) -> Value {
    let joined = |word: &str, all: &[Filter]| {
        let mut flat = Vec::new();
        for one in all.iter().map(tree) {
            match one {
                Value::Array(parts) if parts[0] == word => flat.extend(parts[1].as_array().unwrap().clone()),
                one => flat.push(one),
            }
        }
        json!([word, flat])
    };
    match filter {
        Filter::And(all) => joined("and", all),
        Filter::Or(any) => joined("or", any),
        Filter::Not(one) => json!(["not", tree(one)]),
        Filter::Present(path) => json!(["pr", path.to_string()]),
        Filter::Value(path, inner) => json!(["value", path.to_string(), tree(inner)]),
        Filter::Compare(path, operator, literal) => {
            let literal = match literal {
                Literal::String(text) => text.clone(),
                literal => literal.to_string(),
            };
            json!([operator.as_str(), path.to_string(), literal])
        }
    }
}

fn read(texts: &[String]) -> Vec<Value> {
    let mut child = tools::python("python")
        .arg(file("tests/conformance/python/filters.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python runs");
    let mut input = child.stdin.take().unwrap();
    let sent = serde_json::to_vec(texts).unwrap();
    let writer = std::thread::spawn(move || input.write_all(&sent));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "filters.py: {}", output.status);
    let trees: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a list of trees");
    assert_eq!(trees.len(), texts.len());
    trees
}

/// RFC 7644 3.4.2.2, figure 1 and 2, and what is hard.
const HAND_WRITTEN: &[&str] = &[
    r#"userName eq "bjensen""#,
    r#"name.familyName co "O'Malley""#,
    r#"userName sw "J""#,
    r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
    "title pr",
    r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
    r#"meta.lastModified ge "2011-05-13T04:42:34Z""#,
    r#"meta.lastModified lt "2011-05-13T04:42:34Z""#,
    r#"meta.lastModified le "2011-05-13T04:42:34Z""#,
    r#"title pr and userType eq "Employee""#,
    r#"title pr or userType eq "Intern""#,
    r#"schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User""#,
    r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#,
    r#"userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")"#,
    r#"userType eq "Employee" and (emails.type eq "work")"#,
    r#"userType eq "Employee" and emails[type eq "work" and value co "@example.com"]"#,
    r#"emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
    r#"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq "26118915""#,
    r#"emails[type eq "work"].value eq "ada@example.org""#,
    r#"((userName eq "a"))"#,
    "",
    " ",
    "()",
    "userName",
    "userName eq",
    r#"eq "a""#,
    r#"userName regex "a""#,
    r#"userName eq "a"#,
    r#"userName eq 'a'"#,
    "title pr and",
    "and title pr",
    "not title pr",
    "not (title pr)",
    "not not (title pr)",
    "(title pr",
    "title pr)",
    "emails[]",
    "emails[type eq \"work\"",
    "emails]type eq \"work\"[",
    "active eq true",
    "active eq false",
    "manager eq null",
    "members.$ref pr",
    "title pr title pr",
    "title pr,userName pr",
    "title.value.x pr",
    ".title pr",
    "title. pr",
    "1title pr",
    "naïve pr",
    "urn: pr",
];

/// Makes filters of the RFC's grammar.
struct Made<'r> {
    random: &'r mut Random,
}

impl Made<'_> {
    fn filter(&mut self, depth: u64, inside: bool) -> String {
        match self.random.below(if depth > 0 { 12 } else { 4 }) {
            0..=3 => self.comparison(inside),
            4 | 5 => {
                let word = *self.random.pick(&["and", "or", "AND", "Or"]);
                format!("{} {word} {}", self.filter(depth - 1, inside), self.filter(depth - 1, inside))
            }
            6 | 7 => {
                let word = *self.random.pick(&["and", "or"]);
                format!("({}) {word} ({})", self.filter(depth - 1, inside), self.filter(depth - 1, inside))
            }
            8 => format!("{}({})", self.random.pick(&["not ", "NOT ", "not"]), self.filter(depth - 1, inside)),
            9 => format!("({})", self.filter(depth - 1, inside)),
            _ if inside => self.comparison(true),
            10 => format!(
                "{}[{}]",
                self.random.pick(&["emails", "addresses", "urn:a:b:2.0:X:parts"]),
                self.filter(depth - 1, true)
            ),
            _ => {
                let sub = *self.random.pick(&[".value", ".display", ""]);
                let bracket = format!("{}[{}]{sub}", self.random.pick(&["emails", "members"]), self.comparison(true));
                self.compared(&bracket)
            }
        }
    }

    fn comparison(&mut self, inside: bool) -> String {
        let path = *if inside {
            self.random.pick(&["type", "value", "$ref", "primary", "Display", "x-1_y"])
        } else {
            self.random.pick(&[
                "userName",
                "name.familyName",
                "meta.lastModified",
                "urn:ietf:params:scim:schemas:core:2.0:User:userName",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
                "urn:acme:x:badge",
                "active",
                "emails",
                "a-b_c9",
                "prior",
                "order",
            ])
        };
        self.compared(path)
    }

    fn compared(&mut self, path: &str) -> String {
        if self.random.percent(20) {
            return format!("{path} {}", self.random.pick(&["pr", "PR", "Pr"]));
        }
        let operator = *self.random.pick(&["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "EQ", "Co", "lE"]);
        let spaces = if self.random.percent(10) { "  " } else { " " };
        format!("{path}{spaces}{operator} {}", self.literal())
    }

    fn literal(&mut self) -> String {
        // What the other parser cannot read is rare, so that most of what is compared has a tree on both sides.
        if self.random.percent(6) {
            return (*self.random.pick(&[r#""tr\"ue""#, r#""é\u00e9""#, "TRUE", "42", "-1", "2.5e3"])).to_owned();
        }
        (*self.random.pick(&[
            r#""""#,
            r#""a""#,
            r#""Ada Lovelace""#,
            r#""and""#,
            r#""a)b(c]""#,
            r#""日本""#,
            "true",
            "false",
            "null",
            "5",
            "0",
        ]))
        .to_owned()
    }
}

/// One thing in it otherwise.
fn spoiled(text: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let at = random.below(letters.len() as u64) as usize;
    match random.below(5) {
        0 => {
            letters.remove(at);
        }
        1 => letters
            .insert(at, *random.pick(&['(', ')', '[', ']', '"', ' ', '.', ':', 'x', '1', '$', ',', '\t', '\\', 'é'])),
        2 => letters.truncate(at),
        3 => letters[at] = *random.pick(&['(', ')', '[', ']', '"', ' ', '.', 'q']),
        _ => {
            let mut words: Vec<&str> = text.split(' ').collect();
            let word = random.below(words.len() as u64) as usize;
            let other = random.below(words.len() as u64) as usize;
            words.swap(word, other);
            return words.join(" ");
        }
    }
    letters.into_iter().collect()
}

/// Paths are read alike whether a filter or a PATCH names them, so their parser is looked at through filters; that they come
/// back as they were written is shown here for all of those.
#[test]
fn paths_print_as_they_were_read() {
    let mut random = Random::new(7);
    for _ in 0..2000 {
        let text = Made { random: &mut random }.filter(2, false);
        let Ok(filter) = Filter::parse(&text, &limits()) else { continue };
        assert_eq!(Filter::parse(&filter.to_string(), &limits()).as_ref(), Ok(&filter), "{text}");
        if let Filter::Compare(path, ..) | Filter::Present(path) = &filter {
            assert_eq!(AttributePath::parse(&path.to_string()).as_ref(), Ok(path), "{text}");
        }
    }
}
