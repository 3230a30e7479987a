//! The examples of docs/mapping.md: each compiles against the tables that the page itself shows.

use super::*;
use crate::document::{Node, merge, parse};

const PAGE: &str = include_str!("../../../docs/mapping.md");

/// What the pieces stand in.
const AROUND: &str = "
adapter: example
resources:
  User:
    table: people
    id: id
    attributes:
      userName: { column: login, required: true, unique: true }
      name.familyName: family
      active: { column: enabled, type: { boolean: { true: 1, false: 0 } } }
";

/// The fenced blocks of one language, and the line that each begins at.
fn blocks(language: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in PAGE.lines().enumerate() {
        match &mut open {
            None if line == format!("```{language}") => open = Some((number + 2, String::new())),
            None => {}
            Some(_) if line == "```" => found.extend(open.take()),
            Some((_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    found
}

/// The tables, as SQLite has them.
fn tables() -> Catalogue {
    sqlite(&blocks("sql").into_iter().map(|(_, sql)| sql).collect::<String>())
}

fn node(text: &str) -> Node {
    let mut findings = Findings::new();
    let parsed = parse(Text::new("page", text), &mut findings);
    parsed.filter(|_| !findings.has_errors()).unwrap_or_else(|| panic!("{}\n{text}", findings.render(false)))
}

fn indented(text: &str, spaces: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(spaces))).collect()
}

#[test]
fn the_examples_compile() {
    const OF_A_RESOURCE: [&str; 9] =
        ["where", "protected", "timestamps", "label", "create", "update", "delete", "tree", "unmapped"];
    const AT_THE_TOP: [&str; 6] = ["adapter", "resources", "types", "parameters", "versions", "time_zone"];
    let catalogue = tables();
    let examples = blocks("yaml");
    assert!(examples.len() >= 15, "{}", examples.len());
    for (line, text) in examples {
        let first = text.split(':').next().unwrap_or_default();
        let whole = match first {
            "adapter" => text.clone(),
            top if AT_THE_TOP.contains(&top) => text.clone(),
            of if OF_A_RESOURCE.contains(&of) => format!("resources:\n  User:\n{}", indented(&text, 4)),
            _ => format!("resources:\n  User:\n    attributes:\n{}", indented(&text, 6)),
        };
        // Types are compiled where they are used.
        let types = whole.starts_with("types:").then(|| {
            let named = node(&whole);
            let names =
                named.get("types").map(Node::entries).unwrap_or_default().iter().map(|(key, _)| key.text.clone());
            names.collect::<Vec<_>>()
        });
        let root = merge(&node(AROUND), &node(&whole));
        let mut findings = Findings::new();
        let yaml = serde_yaml::to_string(&root.to_yaml()).unwrap();
        let document = read(Text::new("page", yaml.as_str()), &[], &mut findings);
        let adapter = document.and_then(|document| compile(&document, &catalogue, Dialect::Sqlite, &mut findings));
        let said = findings.render(false);
        assert!(adapter.is_some(), "docs/mapping.md:{line}\n{whole}\n{said}");
        assert!(!said.contains("warning"), "docs/mapping.md:{line}\n{whole}\n{said}");
        for name in types.into_iter().flatten() {
            let (path, column) = match name.as_str() {
                "flag" => ("active", "enabled"),
                "state" => ("active", "kind"),
                "gone" => ("active", "left_on"),
                "seconds" => ("\"urn:x:2.0:T\": { at", "seen"),
                _ => ("title", "job_title"),
            };
            let end = if path.contains('{') { " }" } else { "" };
            let with = format!(
                "resources: {{ User: {{ attributes: {{ {path}: {{ column: {column}, type: {name} }}{end} }} }} }}"
            );
            let root = merge(&root, &node(&with));
            let mut findings = Findings::new();
            let yaml = serde_yaml::to_string(&root.to_yaml()).unwrap();
            let document = read(Text::new("page", yaml.as_str()), &[], &mut findings);
            let adapter = document.and_then(|document| compile(&document, &catalogue, Dialect::Sqlite, &mut findings));
            assert!(adapter.is_some(), "docs/mapping.md:{line}, type {name}\n{}", findings.render(false));
        }
    }
}
