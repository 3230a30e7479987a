//! Documents with mistakes in them, and what is printed.

use super::*;

fn findings(text: &str) -> String {
    let mut findings = Findings::new();
    parse(Source::new("a.yaml", text), &mut findings);
    findings.render(false)
}

#[test]
fn what_is_not_a_document() {
    let cases: &[(&str, &str)] = &[
        ("a: 1\nb:\n  - x\n", ""),
        ("", ""),
        (
            "a: 1\nb: 2\na: 3\n",
            "a.yaml:3:1: error: duplicate key `a`\n  3 | a: 3\n    | ^\n  help: it stands in line 1 already; remove one of the two\n1 error\n",
        ),
        (
            "base: &b {x: 1}\nother:\n  <<: *b\n",
            "a.yaml:3:3: error: merge keys (`<<`) are not supported\n  3 |   <<: *b\n    |   ^^\n  help: write the keys out\n1 error\n",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "a.yaml:2:1: error: a second document starts here\n  2 | ---\n    | ^^^\n  help: remove everything from `---` on\n1 error\n",
        ),
        (
            "a: !secret x\n",
            "a.yaml:1:4: error: tags are not supported: `!secret`\n  1 | a: !secret x\n    |    ^^^^^^^^^\n  help: remove it\n1 error\n",
        ),
        (
            "[a]: 1\n",
            "a.yaml:1:1: error: a key must be a single value, not a list or a mapping\n  1 | [a]: 1\n    | ^\n1 error\n",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(findings(text), *expected, "{text}");
    }
}

#[test]
fn a_syntax_error_has_a_place_and_shows_no_secret() {
    let printed = findings("database:\n  password: hunter2: x\n");
    assert!(printed.starts_with("a.yaml:2:"), "{printed}");
    assert!(!printed.contains("hunter2"), "{printed}");
    let printed = findings("a:\n\tb: 1\n");
    assert!(printed.contains("help: indent with spaces"), "{printed}");
}

#[test]
fn aliases_are_expanded_within_bounds() {
    let mut found = Findings::new();
    let node = parse(Source::new("a.yaml", "x: &x [1, 2]\ny: *x\n"), &mut found).unwrap();
    assert_eq!(node.get("y").unwrap().items().len(), 2);
    assert_eq!(node.get("y").unwrap().place().position, Position { line: 1, column: 4 });

    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", below.trim_end_matches(", ")));
    }
    assert!(findings(&bomb).contains("more than 200000 values"));
    assert!(findings(&format!("{}{}", "[".repeat(100), "]".repeat(100))).contains("nested deeper"));
    assert!(findings("a: &a [*a]\n").contains("error: an alias inside the value"));
}

#[test]
fn keys_keep_what_was_written() {
    let mut found = Findings::new();
    let text = "8.4: a\n\"8.5\": b\ntrue: c\nnull: d\n007: e\n";
    let node = parse(Source::new("a.yaml", text), &mut found).unwrap();
    assert!(found.is_empty());
    let keys: Vec<_> = node.entries().iter().map(|(key, _)| (key.text.as_str(), key.kind, key.was_quoted)).collect();
    let expected = [
        ("8.4", Kind::Float, false),
        ("8.5", Kind::String, true),
        ("true", Kind::Bool, false),
        ("null", Kind::Null, false),
        ("007", Kind::String, false),
    ];
    assert_eq!(keys, expected);
}

#[test]
fn a_reader_reports_everything_at_once() {
    let mut found = Findings::new();
    let text = "tabel: users\nid: 5\nkind: bigger\npassward: hunter2\n# é\n\"é\": x\n";
    let node = parse(Source::new("a.yaml", text), &mut found).unwrap();
    let mut reader = Reader::mapping(&node, &mut found).unwrap();
    assert!(reader.required("table", &mut found).is_none());
    assert!(reader.required("parent", &mut found).is_none());
    assert!(reader.string("id", &mut found).is_none());
    assert_eq!(reader.word("kind", &[("big", 1), ("small", 2)], &mut found), None);
    reader.string("password", &mut found);
    reader.finish(&mut found);
    assert_eq!(
        found.render(false),
        "\
a.yaml:1:1: error: the key `parent` is missing
  1 | tabel: users
    | ^^^^^
a.yaml:1:1: error: unknown key `tabel`
  1 | tabel: users
    | ^^^^^
  help: did you mean `table`?
a.yaml:2:5: error: expected text, found `5`
  2 | id: 5
    |     ^
  help: put it in quotes: \"5\"
a.yaml:3:7: error: expected one of `big`, `small`, found `bigger`
  3 | kind: bigger
    |       ^^^^^^
a.yaml:4:1: error: unknown key `passward`
  4 | passward: *****
    | ^^^^^^^^
  help: did you mean `password`?
a.yaml:6:1: error: unknown key `é`
  6 | \"é\": x
    | ^^^
  help: known keys here: table, parent, id, kind, password
6 errors
"
    );
    assert_eq!(found.to_json()[0]["line"], 1);
}

#[test]
fn leaves_deserialise_with_their_place() {
    let mut found = Findings::new();
    let node = parse(Source::new("a.yaml", "ok: [10.0.0.0/8]\nbad: 10.0.0.0/99\nempty:\n"), &mut found).unwrap();
    assert_eq!(node.get("ok").unwrap().deserialize::<Vec<ipnet::IpNet>>(&mut found).unwrap().len(), 1);
    assert!(node.get("bad").unwrap().deserialize::<ipnet::IpNet>(&mut found).is_none());
    assert!(node.get("empty").unwrap().read_str(&mut found).is_none());
    let printed = found.render(false);
    assert!(printed.starts_with("a.yaml:2:6: error: "), "{printed}");
    assert!(printed.contains("a.yaml:3:1: error: expected text, found nothing\n"), "{printed}");
}

/// What is wrong is often a line above, or below, the place that the parser tells.
#[test]
fn indentation_that_was_lost() {
    for (text, help) in [
        (
            "database:\nurl: mysql://scimshim@db/app\n  max: 5\n",
            "this line is indented deeper than the one before it, which has a value already: indent both alike",
        ),
        ("title: SCIM: the second\n", "a value that contains `: ` needs quotes"),
        ("database:\n  url: sqlite:///x\n\tpool: 1\n", "indented with a tab: indent with spaces"),
    ] {
        let mut findings = Findings::new();
        assert!(parse(Source::new("a.yaml", text), &mut findings).is_none(), "{text}");
        let rendered = findings.render(false);
        assert!(
            rendered.contains(help) || rendered.contains("indent with spaces, not with tabs"),
            "{text}: {rendered}"
        );
    }
}
