//! The mapping as a table for people, in Markdown: which attribute stands in which column, how it travels, and what is
//! written beside it. Made from the document alone, so it needs no database and cannot differ from what is compiled; what
//! versions of an application have otherwise stands in lines of their own.
//!
//! It checks nothing: what does not compile is shown as it is written.

mod besides;
mod words;

use self::words::{Words, code, list};
use super::Document;
use super::document::{text_of, without};
use crate::document::{self, Data, Node};
use crate::sql::Dialect;

/// One line: an attribute, where it stands, how it travels, what else is to be known.
#[derive(Clone, PartialEq, Eq)]
struct Line {
    /// The extension's URN; empty for the core schema.
    home: String,
    attribute: String,
    place: String,
    conversion: String,
    notes: String,
}

/// A statement beside a change.
#[derive(Clone, PartialEq, Eq)]
struct Beside {
    when: String,
    does: String,
    values: String,
}

/// The document as one version of the application makes it.
struct Variant {
    /// Empty where there are no versions.
    name: String,
    root: Node,
}

impl Document {
    /// The mapping, in Markdown.
    pub fn table(&self) -> String {
        let variants = self.variants();
        let mut out = String::new();
        let databases = self.databases.iter().map(|dialect| match dialect {
            Dialect::Mysql => "MySQL or MariaDB".to_owned(),
            Dialect::Postgres => "PostgreSQL".to_owned(),
            Dialect::Sqlite => "SQLite".to_owned(),
        });
        let on = if self.databases.is_empty() { "any database".to_owned() } else { list(databases) };
        out.push_str(&format!("## The mapping\n\nThe adapter `{}`, for {}, on {on}.\n", self.name, self.title));
        self.versions(&mut out);
        self.parameters_listed(&mut out);
        types(&variants, &mut out);
        let mut names: Vec<String> = Vec::new();
        for variant in &variants {
            for (key, _) in variant.root.get("resources").map(Node::entries).unwrap_or_default() {
                if !names.contains(&key.text) {
                    names.push(key.text.clone());
                }
            }
        }
        for name in names {
            let mut sources: Vec<String> = Vec::new();
            for variant in &variants {
                let here = of(variant, &name).into_iter().map(|(source, _)| source);
                here.for_each(|source| {
                    if !sources.contains(&source) {
                        sources.push(source)
                    }
                });
            }
            for source in sources {
                let title =
                    if source.is_empty() { name.clone() } else { format!("{name}, from the source `{source}`") };
                out.push_str(&format!("\n### {title}\n\n"));
                describe(&variants, &name, &source, &mut out);
            }
        }
        out
    }

    fn variants(&self) -> Vec<Variant> {
        let base = without(self.root(), &["versions"]);
        let versions = self.root().get("versions").map(Node::entries).unwrap_or_default();
        if versions.is_empty() {
            return vec![Variant { name: String::new(), root: base }];
        }
        let laid_over = versions.iter().map(|(key, node)| Variant {
            name: key.text.clone(),
            root: document::merge(&base, &without(node, &["when"])),
        });
        laid_over.collect()
    }

    fn versions(&self, out: &mut String) {
        let versions = self.root().get("versions").map(Node::entries).unwrap_or_default();
        if versions.is_empty() {
            return;
        }
        out.push_str(
            "\n| version | it is the first of these whose database has | and has not |\n| --- | --- | --- |\n",
        );
        for (key, node) in versions {
            let named = |word: &str| {
                let all = node.get("when").and_then(|when| when.get(word)).map(Node::one_or_many).unwrap_or_default();
                list(all.iter().map(|item| code(&text_of(item))))
            };
            out.push_str(&format!("| {} | {} | {} |\n", key.text, named("has"), named("lacks")));
        }
    }

    fn parameters_listed(&self, out: &mut String) {
        if self.parameters.is_empty() {
            return;
        }
        out.push_str("\n| parameter | default | or | what it is |\n| --- | --- | --- | --- |\n");
        for parameter in &self.parameters {
            let default = parameter.default.as_ref().map(text_of);
            let others = parameter.choices.iter().filter(|choice| Some(*choice) != default.as_ref());
            let shown = match default.as_deref() {
                None => "must be said".to_owned(),
                Some("") => "nothing".to_owned(),
                Some(text) => code(text),
            };
            out.push_str(&format!(
                "| `{}` | {shown} | {} | {} |\n",
                parameter.name,
                list(others.map(|choice| code(choice))),
                cell(parameter.help.as_deref().unwrap_or_default())
            ));
        }
    }
}

/// The named conversions.
fn types(variants: &[Variant], out: &mut String) {
    let nodes: Vec<(&str, Node, Words)> = variants
        .iter()
        .filter_map(|variant| {
            let types = variant.root.get("types")?;
            Some((variant.name.as_str(), types.clone(), Words::new(None)))
        })
        .collect();
    let named = by_version(&nodes, variants.len(), |types, words| {
        let each = types.entries().iter();
        each.map(|(key, node)| (key.text.clone(), words.conversion(Some(node)))).collect()
    });
    if named.is_empty() {
        return;
    }
    out.push_str("\n| type | how a value travels |\n| --- | --- |\n");
    for (versions, (name, conversion)) in named {
        out.push_str(&format!("| `{name}` | {}{} |\n", cell(&conversion), only(&versions)));
    }
}

/// The sources of a resource in one variant: name (empty where there is one table only) and node.
fn of(variant: &Variant, resource: &str) -> Vec<(String, Node)> {
    let Some(node) = variant.root.get("resources").and_then(|all| all.get(resource)) else { return Vec::new() };
    let Some(sources) = node.get("sources").filter(|sources| !sources.is_null()) else {
        return vec![(String::new(), node.clone())];
    };
    let common = without(node, &["sources", "create_in", "endpoint", "schema", "description"]);
    let whole = |(key, source): &(document::Key, Node)| (key.text.clone(), document::merge(&common, source));
    sources.entries().iter().map(whole).collect()
}

/// One table behind a resource type.
fn describe(variants: &[Variant], resource: &str, source: &str, out: &mut String) {
    let nodes: Vec<(&str, Node, Words)> = variants
        .iter()
        .filter_map(|variant| {
            let (_, node) = of(variant, resource).into_iter().find(|(name, _)| name == source)?;
            Some((variant.name.as_str(), node, Words::new(variant.root.get("types").cloned())))
        })
        .collect();
    let facts = by_version(&nodes, variants.len(), facts);
    for (versions, fact) in facts {
        out.push_str(&format!("- {fact}{}\n", only(&versions)));
    }
    out.push_str("\n| attribute | column | how it travels | besides |\n| --- | --- | --- | --- |\n");
    let mut lines = by_version(&nodes, variants.len(), attributes);
    let mut homes: Vec<String> = vec![String::new()];
    lines.iter().for_each(|(_, line)| {
        if !homes.contains(&line.home) {
            homes.push(line.home.clone())
        }
    });
    lines.sort_by_key(|(_, line)| homes.iter().position(|home| *home == line.home));
    let mut home = String::new();
    for (versions, line) in lines {
        if line.home != home {
            out.push_str(&format!("| **`{}`** | | | |\n", line.home));
            home.clone_from(&line.home);
        }
        let notes = [line.notes.as_str(), only(&versions).trim_start()].join("; ");
        out.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            cell(&line.attribute),
            cell(&line.place),
            cell(&line.conversion),
            cell(notes.trim_start_matches("; ").trim_end_matches("; "))
        ));
    }
    let beside = by_version(&nodes, variants.len(), besides);
    if !beside.is_empty() {
        out.push_str("\nWritten beside it, in the same transaction:\n\n| when | what | with |\n| --- | --- | --- |\n");
        for (versions, line) in beside {
            let when = format!("{}{}", line.when, only(&versions));
            out.push_str(&format!("| {} | {} | {} |\n", cell(&when), cell(&line.does), cell(&line.values)));
        }
    }
}

/// What each version has, once, in the order of the first that has it; with the versions where these are not all.
fn by_version<T: Clone + PartialEq>(
    nodes: &[(&str, Node, Words)],
    of_all: usize,
    make: impl Fn(&Node, &Words) -> Vec<T>,
) -> Vec<(Vec<String>, T)> {
    let mut all: Vec<(Vec<String>, T)> = Vec::new();
    for (version, node, words) in nodes {
        let mut after = 0;
        for item in make(node, words) {
            // Steps may well be the same twice in one version.
            let known = all
                .iter()
                .position(|(versions, known)| *known == item && !versions.iter().any(|known| known == version));
            match known.and_then(|at| all.get_mut(at).map(|entry| (at, entry))) {
                Some((at, (versions, _))) => {
                    versions.push((*version).to_owned());
                    after = at + 1;
                }
                None => {
                    all.insert(after.min(all.len()), (vec![(*version).to_owned()], item));
                    after += 1;
                }
            }
        }
    }
    for (versions, _) in &mut all {
        if versions.len() == of_all {
            versions.clear();
        }
    }
    all
}

fn only(versions: &[String]) -> String {
    if versions.is_empty() { String::new() } else { format!(" (in {})", versions.join(", ")) }
}

/// A cell of a table: one line, and no end of the cell inside it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// What holds of the table as a whole.
fn facts(node: &Node, words: &Words) -> Vec<String> {
    let mut facts = Vec::new();
    let said = |key: &str| node.get(key).filter(|value| !value.is_null());
    let table = said("table").map(|table| code(&text_of(table))).unwrap_or_default();
    let key = said("id").map(|key| code(&text_of(key))).unwrap_or_default();
    let prefix = said("id_prefix").map(|prefix| format!(" behind {}", code(&text_of(prefix)))).unwrap_or_default();
    facts.push(format!("table {table}; the id is {key}{prefix}"));
    if let Some(filter) = said("where") {
        facts.push(format!("the rows that exist for SCIM: {}", words.predicate(filter)));
    }
    if let Some(protected) = said("protected") {
        facts.push(format!("never changed through SCIM: {}", words.predicate(protected)));
    }
    if let Some(times) = said("timestamps") {
        let column = |key: &str| times.get(key).map(|column| code(&text_of(column)));
        let shown = [("created", column("created")), ("lastModified", column("modified"))];
        let shown = shown.into_iter().filter_map(|(name, column)| Some(format!("`meta.{name}` is {}", column?)));
        let written = times.get("written").and_then(Node::as_bool) == Some(false);
        let whose = if written { "; the application's own to write" } else { "" };
        facts.push(format!("{}{whose}", list(shown)));
    }
    if let Some(tree) = said("tree") {
        facts.push(format!("rows stand below one another: {}", words.pairs(tree)));
    }
    if said("unmapped").is_some_and(|word| text_of(word) == "store") {
        facts.push("what has no column here is kept in scimshim's own tables".to_owned());
    }
    if let Some(word) = said("unknown_members") {
        facts.push(format!("members that do not exist: {}", words.policy(word)));
    }
    facts
}

/// The lines of `attributes`.
fn attributes(node: &Node, words: &Words) -> Vec<Line> {
    let mut lines = Vec::new();
    for (key, value) in node.get("attributes").map(Node::entries).unwrap_or_default() {
        match (key.text.starts_with("urn:"), value.data()) {
            (_, Data::Null) => {}
            (true, Data::Mapping(inner)) => {
                for (sub, value) in inner.iter().filter(|(_, value)| !value.is_null()) {
                    let of_it = words.attribute(&sub.text, value).into_iter();
                    lines.extend(of_it.map(|line| Line { home: key.text.clone(), ..line }));
                }
            }
            _ => lines.extend(words.attribute(&key.text, value)),
        }
    }
    lines
}

/// What a create, an update and a delete write besides, and what they ask first; then those of members and child rows.
fn besides(node: &Node, words: &Words) -> Vec<Beside> {
    let mut all = Vec::new();
    for (verb, word) in [("create", "a create"), ("update", "an update"), ("delete", "a delete")] {
        let Some(said) = node.get(verb).filter(|said| !said.is_null()) else { continue };
        words.change(word, said, &mut all);
    }
    let entries = node.get("attributes").map(Node::entries).unwrap_or_default();
    let attributes = entries.iter().flat_map(|entry| match entry.0.text.starts_with("urn:") {
        true => entry.1.entries(),
        false => std::slice::from_ref(entry),
    });
    for (name, value) in attributes {
        for form in ["link", "rows", "lookup"].iter().filter_map(|form| value.get(form)) {
            for when in ["added", "removed", "changed"] {
                words.steps(&format!("one of `{}` {when}", name.text), form.get(when), &mut all);
            }
            let made = form.get("create").and_then(|create| create.get("then"));
            words.steps(&format!("a row made for `{}`", name.text), made, &mut all);
        }
    }
    all
}
