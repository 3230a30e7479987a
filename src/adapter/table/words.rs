//! Conversions, predicates, values and steps of an adapter in words: what the cells of its table say.
//!
//! It reads nodes as they are written, with parameters and named types by name; it knows no catalogue.

use super::super::document::text_of;
use super::Line;
use crate::document::{Data, Kind, Node};

/// Says what nodes mean.
pub(super) struct Words {
    /// `types`.
    types: Option<Node>,
}

/// As code, in a cell.
pub(super) fn code(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

/// One after another.
pub(super) fn list(items: impl IntoIterator<Item = String>) -> String {
    items.into_iter().collect::<Vec<_>>().join(", ")
}

/// Several sentences in one cell.
fn sentences(parts: Vec<String>) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
}

pub(super) fn said<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.get(key).filter(|value| !value.is_null())
}

pub(super) fn is_true(node: &Node, key: &str) -> bool {
    said(node, key).and_then(Node::as_bool) == Some(true)
}

pub(super) fn named(node: &Node, key: &str) -> String {
    said(node, key).map(text_of).unwrap_or_default()
}

impl Words {
    pub fn new(types: Option<Node>) -> Self {
        Self { types }
    }

    /// A literal, or what a value is made of.
    pub fn value(&self, node: &Node) -> String {
        match node.data() {
            Data::Null => "NULL".to_owned(),
            Data::String(text) if text.is_empty() => "`''`".to_owned(),
            Data::Mapping(entries) => match entries.as_slice() {
                [(key, select)] if key.text == "select" => self.select(select),
                [(key, choices)] if key.text == "first_of" => {
                    format!("the first of {}", list(choices.items().iter().map(|choice| self.value(choice))))
                }
                _ => code(&serde_json::to_string(&node.to_yaml()).unwrap_or_default()),
            },
            Data::Sequence(_) => code(&serde_json::to_string(&node.to_yaml()).unwrap_or_default()),
            _ => code(&text_of(node)),
        }
    }

    /// `column` = value, for all of a map.
    pub fn pairs(&self, node: &Node) -> String {
        list(node.entries().iter().map(|(key, value)| format!("`{}` = {}", key.text, self.value(value))))
    }

    fn select(&self, node: &Node) -> String {
        let from = format!("`{}.{}`", named(node, "table"), named(node, "column"));
        match said(node, "where") {
            Some(filter) => format!("{from} where {}", self.predicate(filter)),
            None => from,
        }
    }

    /// A `where`, `leave`, `protected` or `when`.
    pub fn predicate(&self, node: &Node) -> String {
        if let (Some(column), Some(is), 2) = (node.get("column"), node.get("is"), node.entries().len()) {
            return self.test(&code(&text_of(column)), is);
        }
        let parts = node.entries().iter().map(|(key, value)| match key.text.as_str() {
            "any" => {
                let any = value.items().iter().map(|item| self.predicate(item)).collect::<Vec<_>>();
                format!("({})", any.join(" or "))
            }
            column => self.test(&code(column), value),
        });
        parts.collect::<Vec<_>>().join(" and ")
    }

    /// What is said of one column or attribute.
    fn test(&self, what: &str, node: &Node) -> String {
        let Data::Mapping(entries) = node.data() else {
            return format!("{what} is {}", self.value(node));
        };
        if matches!(entries.as_slice(), [(key, _)] if matches!(key.text.as_str(), "select" | "first_of")) {
            return format!("{what} is {}", self.value(node));
        }
        let parts = entries.iter().map(|(key, inner)| match (key.text.as_str(), inner.kind()) {
            ("not", Kind::Mapping) if inner.get("select").is_none() => format!("not ({})", self.test(what, inner)),
            ("not", _) => format!("{what} is not {}", self.value(inner)),
            ("in", Kind::Mapping) => format!("{what} stands in {}", self.select(inner)),
            ("in", _) => format!("{what} is one of {}", list(inner.items().iter().map(|item| self.value(item)))),
            ("like", _) => format!("{what} is like {}", self.value(inner)),
            ("lt", _) => format!("{what} < {}", self.value(inner)),
            ("le", _) => format!("{what} <= {}", self.value(inner)),
            ("gt", _) => format!("{what} > {}", self.value(inner)),
            ("ge", _) => format!("{what} >= {}", self.value(inner)),
            ("bits", _) => format!("{what} has the bits {}", self.value(inner)),
            ("json", _) => self.json(what.trim_matches('`'), inner),
            ("changed", _) if inner.as_bool() == Some(false) => format!("{what} does not change"),
            ("changed", _) => format!("{what} changes"),
            ("becomes", _) => format!("{what} becomes {}", self.value(inner)),
            ("was", _) => format!("{what} was {}", self.value(inner)),
            (word, _) => format!("{what} {word} {}", self.value(inner)),
        });
        parts.collect::<Vec<_>>().join(" and ")
    }

    /// Inside a document.
    fn json(&self, path: &str, node: &Node) -> String {
        const WORDS: [&str; 8] = ["not", "in", "like", "lt", "le", "gt", "ge", "bits"];
        let parts = node.entries().iter().map(|(key, value)| {
            let path = format!("{path} → {}", key.text);
            let says = value.entries().first().is_some_and(|(key, _)| WORDS.contains(&key.text.as_str()));
            if value.kind() == Kind::Mapping && !says {
                self.json(&path, value)
            } else {
                self.test(&code(&path), value)
            }
        });
        parts.collect::<Vec<_>>().join(" and ")
    }

    /// A word of a policy, or the parameter that says it.
    pub fn policy(&self, node: &Node) -> String {
        match parameter(node) {
            Some(name) => format!("as the parameter `{name}` says"),
            None => match text_of(node).as_str() {
                "create" => "made".to_owned(),
                "clear" => "left empty".to_owned(),
                "reject" => "refused".to_owned(),
                "skip" => "left out".to_owned(),
                word => word.to_owned(),
            },
        }
    }

    /// `type`: a named type, a word, or a form.
    pub fn conversion(&self, node: Option<&Node>) -> String {
        let Some(node) = node.filter(|node| !node.is_null()) else {
            return String::new();
        };
        let Some(word) = node.as_str() else { return self.form(node) };
        let named = self.types.as_ref().is_some_and(|types| types.get(word).is_some());
        if named { code(word) } else { word.to_owned() }
    }

    fn form(&self, node: &Node) -> String {
        let Some((key, inner)) = node.entries().first() else { return String::new() };
        match key.text.as_str() {
            "boolean" => {
                let side = |key: &str| match inner.get(key) {
                    Some(node) if node.is_null() => "NULL".to_owned(),
                    Some(node) => list(node.one_or_many().iter().map(|value| self.value(value))),
                    None => String::new(),
                };
                format!("true: {}, false: {}", side("true"), side("false"))
            }
            "enum" => list(inner.entries().iter().map(|(word, value)| format!("{}: {}", word.text, self.value(value)))),
            "datetime" => format!("an instant, in {} since 1970", named(inner, "unix")),
            "locale" => {
                let values = said(inner, "values").map_or(0, |values| values.one_or_many().len());
                format!("a language tag, written like {}; one of {values}", code(&named(inner, "style")))
            }
            "uuid" => match named(inner, "stored").as_str() {
                "binary" => "a UUID, as bytes".to_owned(),
                _ => "a UUID".to_owned(),
            },
            "text" => self.text(inner),
            other => other.to_owned(),
        }
    }

    fn text(&self, node: &Node) -> String {
        let mut parts = vec!["text".to_owned()];
        if is_true(node, "trim") {
            parts.push("spaces around it go".to_owned());
        }
        if is_true(node, "lower") {
            parts.push("in lower case".to_owned());
        }
        match named(node, "html_entities").as_str() {
            "always" => parts.push("`&`, `<` and `>` are stored as entities".to_owned()),
            "mixed" => parts.push("older rows may hold entities".to_owned()),
            _ => {}
        }
        if let Some(separator) = said(node, "parts") {
            parts.push(format!("a path parted by {}", self.value(separator)));
        }
        if let Some(empty) = node.get("empty") {
            parts.push(format!("an empty one is {}", self.value(empty)));
        }
        for (key, words) in [("min", "at least"), ("max", "at most")] {
            parts.extend(said(node, key).map(|count| characters(words, count)));
        }
        if named(node, "on_overflow") == "keep" {
            parts.push("cut to the column, the rest kept".to_owned());
        }
        parts.join(", ")
    }

    /// One attribute: a line, and one for each field where its values are rows.
    pub fn attribute(&self, path: &str, node: &Node) -> Vec<Line> {
        let line = |place: String, conversion: String, notes: Vec<String>| Line {
            home: String::new(),
            attribute: path.to_owned(),
            place,
            conversion,
            notes: sentences(notes),
        };
        if let Some(text) = node.as_str() {
            let place = if text == "sidecar" { OWN.to_owned() } else { code(text) };
            return vec![line(place, String::new(), Vec::new())];
        }
        let mut notes = self.rules(node);
        let column = said(node, "column").map(|column| code(&text_of(column))).unwrap_or_default();
        if let Some(lookup) = said(node, "lookup") {
            notes.extend(self.lookup(lookup));
            let place = format!("{column} → `{}.{}`", named(lookup, "table"), named(lookup, "match"));
            return vec![line(place, self.conversion(said(lookup, "type")), notes)];
        }
        if let Some(reference) = said(node, "reference") {
            notes.extend(none(self, reference));
            let place = format!("{column} → {}", named(reference, "resource"));
            let key = said(reference, "key").map_or("its id".to_owned(), |key| code(&text_of(key)));
            return vec![line(place, format!("the SCIM id; stored is {key}"), notes)];
        }
        if let Some(link) = said(node, "link") {
            notes.extend(self.of_rows(link));
            let place =
                format!("`{}` ({} → {})", named(link, "table"), end(said(link, "parent")), end(said(link, "child")));
            return vec![line(place, format!("one row for each {}", named(link, "resource")), notes)];
        }
        if let Some(rows) = said(node, "rows") {
            return self.rows(path, rows, notes);
        }
        if let Some(constant) = node.get("constant") {
            return vec![line("none".to_owned(), format!("always {}", self.value(constant)), notes)];
        }
        if is_true(node, "sidecar") {
            notes.extend(self.shown(node, "while a client gave none"));
            return vec![line(OWN.to_owned(), String::new(), notes)];
        }
        if column.is_empty() {
            let templates = said(node, "template").map(Node::one_or_many).unwrap_or_default();
            let made = templates.iter().map(|template| code(&text_of(template))).collect::<Vec<_>>().join(", else ");
            return vec![line("none".to_owned(), format!("computed: {made}"), notes)];
        }
        let json: Vec<String> =
            said(node, "json").map(Node::one_or_many).unwrap_or_default().iter().map(text_of).collect();
        let place = if json.is_empty() { column } else { format!("{column}, in it `{}`", json.join(" → ")) };
        let conversion = match said(node, "hash") {
            Some(hash) => format!("hashed: {}; never shown", text_of(hash)),
            None => self.conversion(said(node, "type")),
        };
        notes.extend(self.shown(node, "while the column is empty"));
        vec![line(place, conversion, notes)]
    }

    fn shown(&self, node: &Node, when: &str) -> Option<String> {
        let templates = said(node, "template")?.one_or_many();
        let made = templates.iter().map(|template| code(&text_of(template))).collect::<Vec<_>>().join(", else ");
        Some(format!("{when}, {made} is shown"))
    }

    /// What any binding may say besides.
    fn rules(&self, node: &Node) -> Vec<String> {
        let mut rules = Vec::new();
        if let Some(enabled) = said(node, "enabled") {
            rules.push(match (parameter(enabled), enabled.as_bool()) {
                (Some(name), _) => format!("only where the parameter `{name}` says so"),
                (None, Some(false)) => "switched off".to_owned(),
                _ => String::new(),
            });
        }
        if is_true(node, "required") {
            rules.push("required".to_owned());
        }
        match said(node, "unique") {
            Some(unique) if unique.as_bool() == Some(true) => rules.push("unique".to_owned()),
            Some(unique) if unique.as_str() == Some("all") => {
                rules.push("unique, also among rows that do not exist for SCIM".to_owned());
            }
            Some(unique) => rules.extend(said(unique, "within").map(|columns| {
                format!("unique within {}", list(columns.one_or_many().iter().map(|column| code(&text_of(column)))))
            })),
            None => {}
        }
        match named(node, "mutability").as_str() {
            "readOnly" => rules.push("never written".to_owned()),
            "immutable" => rules.push("written once".to_owned()),
            "writeOnly" => rules.push("never shown".to_owned()),
            _ => {}
        }
        match named(node, "returned").as_str() {
            "never" => rules.push("never shown".to_owned()),
            "request" => rules.push("shown where it is asked for".to_owned()),
            "always" => rules.push("always shown".to_owned()),
            _ => {}
        }
        if said(node, "case_exact").and_then(Node::as_bool) == Some(true) {
            rules.push("case counts".to_owned());
        }
        rules.extend(said(node, "pattern").map(|pattern| format!("must match {}", self.value(pattern))));
        for (key, words) in [("min", "at least"), ("max", "at most")] {
            rules.extend(said(node, key).map(|count| characters(words, count)));
        }
        if let Some(fallback) = said(node, "fallback") {
            let templates = fallback.one_or_many().iter().map(|template| code(&text_of(template)));
            rules.push(format!("never empty: else {}", templates.collect::<Vec<_>>().join(", else ")));
        }
        rules.extend(said(node, "also").map(|also| format!("also written with it: {}", self.pairs(also))));
        rules
    }

    fn lookup(&self, node: &Node) -> Vec<String> {
        let mut notes = Vec::new();
        notes.extend(said(node, "key").map(|key| format!("stored is {}", code(&text_of(key)))));
        notes.extend(none(self, node));
        notes.extend(said(node, "where").map(|filter| format!("among those where {}", self.predicate(filter))));
        let missing = said(node, "missing").map_or("refused".to_owned(), |missing| self.policy(missing));
        notes.push(format!("one that is not there: {missing}"));
        if said(node, "missing").is_some_and(|missing| parameter(missing).is_some() || text_of(missing) == "create") {
            let set = said(node, "create").and_then(|create| said(create, "set"));
            notes.extend(set.map(|set| format!("a row that is made has {}", self.pairs(set))));
            notes.extend(said(node, "tree").map(|tree| format!("missing levels are made, too: {}", self.pairs(tree))));
        }
        if let Some(revive) = said(node, "revive") {
            let (filter, set) = (said(revive, "where"), said(revive, "set"));
            let filter = filter.map(|filter| self.predicate(filter)).unwrap_or_default();
            let set = set.map(|set| self.pairs(set)).unwrap_or_default();
            notes.push(format!("one where {filter} is brought back by {set}"));
        }
        if named(node, "ambiguous") == "reject" {
            notes.push("several of a name: refused".to_owned());
        }
        notes
    }

    /// What links and child tables have in common.
    fn of_rows(&self, node: &Node) -> Vec<String> {
        let mut notes = Vec::new();
        notes.extend(said(node, "where").map(|filter| format!("rows that count: {}", self.predicate(filter))));
        notes.extend(said(node, "leave").map(|leave| format!("shown and left alone where {}", self.predicate(leave))));
        notes.extend(said(node, "set").map(|set| format!("a new row has {}", self.pairs(set))));
        if let Some(set) = said(node, "delete").and_then(|delete| said(delete, "set")) {
            notes.push(format!("a removed row stays, with {}", self.pairs(set)));
        }
        if is_true(node, "exactly_one_primary") {
            notes.push("exactly one is primary".to_owned());
        }
        if is_true(node, "single") {
            notes.push("the first of several rows; the others are left".to_owned());
        }
        notes
    }

    fn rows(&self, path: &str, node: &Node, mut notes: Vec<String>) -> Vec<Line> {
        notes.extend(self.of_rows(node));
        let table = named(node, "table");
        let mut lines = vec![Line {
            home: String::new(),
            attribute: path.to_owned(),
            place: format!("`{table}` ({})", end(said(node, "parent"))),
            conversion: "one row for each value".to_owned(),
            notes: sentences(notes),
        }];
        for (key, field) in said(node, "fields").map(Node::entries).unwrap_or_default() {
            let path = format!("{path}.{}", key.text);
            let Some(parts) = said(field, "parts") else {
                let mut made = self.attribute(&path, field);
                made.iter_mut().filter(|line| line.place.starts_with('`')).for_each(|line| {
                    line.place.insert_str(1, &format!("{table}."));
                });
                lines.append(&mut made);
                continue;
            };
            let forms = said(field, "as").map(Node::one_or_many).unwrap_or_default();
            let forms = forms.iter().map(|form| code(&text_of(form))).collect::<Vec<_>>().join(" or ");
            for (column, part) in parts.entries() {
                let mut made = match said(part, "lookup") {
                    Some(lookup) => Line {
                        home: String::new(),
                        attribute: path.clone(),
                        place: format!(
                            "`{table}.{}` → `{}.{}`",
                            column.text,
                            named(lookup, "table"),
                            named(lookup, "match")
                        ),
                        conversion: self.conversion(said(lookup, "type")),
                        notes: sentences(self.lookup(lookup)),
                    },
                    None => Line {
                        home: String::new(),
                        attribute: path.clone(),
                        place: format!("`{table}.{}`", column.text),
                        conversion: self.conversion(said(part, "type")),
                        notes: String::new(),
                    },
                };
                let default =
                    said(part, "default").map(|default| format!("where it is not said: {}", self.value(default)));
                made.notes = sentences(vec![format!("a part of {forms}"), made.notes, default.unwrap_or_default()]);
                lines.push(made);
            }
        }
        lines
    }
}

const OWN: &str = "scimshim's own tables";

/// The parameter that alone stands for a value.
pub(super) fn parameter(node: &Node) -> Option<&str> {
    node.as_str()?.strip_prefix("${parameter:")?.strip_suffix('}')
}

/// How long a text may be.
fn characters(words: &str, count: &Node) -> String {
    let count = text_of(count);
    format!("{words} {count} character{}", if count == "1" { "" } else { "s" })
}

/// What a foreign key holds for nothing.
fn none(words: &Words, node: &Node) -> Option<String> {
    said(node, "none").map(|none| format!("none is {}", words.value(none)))
}

/// `column`, or `{ column, key }`.
fn end(node: Option<&Node>) -> String {
    match node {
        None => String::new(),
        Some(node) if node.kind() == Kind::Mapping => {
            format!("{} = its {}", code(&named(node, "column")), code(&named(node, "key")))
        }
        Some(node) => code(&text_of(node)),
    }
}
