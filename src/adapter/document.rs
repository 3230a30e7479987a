//! An adapter as it is written: found, read, laid over what it extends, its parameters filled in, and
//! the version chosen that fits the live catalogue. What it means is the business of `compile`.

use crate::document::{self, Data, Findings, Kind, Node, Source, nearest};
use crate::sql::{Catalogue, Dialect, Ident, Table};
use std::path::{Path, PathBuf};

use super::names::Names;
use super::told;

/// How many documents may extend one another.
const MAX_EXTENDS: usize = 8;

/// One adapter document with all that it extends, before the catalogue is known.
#[derive(Debug)]
pub struct Document {
    /// `adapter:`.
    pub name: String,
    /// `title:`.
    pub title: String,
    /// `databases:`; empty means any.
    pub databases: Vec<Dialect>,
    /// What may be configured, in the document's order, with the values in force.
    pub parameters: Vec<Parameter>,
    root: Node,
}

/// One of `parameters`.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub help: Option<String>,
    /// What it is without being configured.
    pub default: Option<Node>,
    /// What it may be; empty means anything.
    pub choices: Vec<String>,
    /// What it is.
    pub value: Node,
}

/// Reads the adapter at `path` and all that it extends, and sets its parameters. Everything that is
/// wrong becomes a finding; `None` where nothing can be made of it.
pub fn load(path: &Path, parameters: &[(String, Node)], findings: &mut Findings) -> Option<Document> {
    let source = Source::read(path, findings)?;
    let root = document::parse(source, findings)?;
    let root = extended(root, &mut vec![path.to_owned()], findings)?;
    from_root(root, parameters, findings)
}

/// As [`load`], of a document that is in memory.
pub fn read(source: Source, parameters: &[(String, Node)], findings: &mut Findings) -> Option<Document> {
    let path = PathBuf::from(&source.name);
    let root = document::parse(source, findings)?;
    let root = extended(root, &mut vec![path], findings)?;
    from_root(root, parameters, findings)
}

/// Where an adapter that is extended may be: in the folder of the one that extends it, then where the
/// configuration and the packages have adapters, then in `adapters/` of the working folder. With a slash
/// or an extension it is a path from that folder.
fn candidates(name: &str, beside: Option<&Path>) -> Vec<PathBuf> {
    if name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml") {
        return vec![beside.unwrap_or(Path::new("")).join(name)];
    }
    let file = format!("{name}.yaml");
    let folders =
        [Path::new("/etc/scimshim/adapters"), Path::new("/usr/share/scimshim/adapters"), Path::new("adapters")];
    beside.into_iter().chain(folders).map(|folder| folder.join(&file)).collect()
}

fn extended(root: Node, chain: &mut Vec<PathBuf>, findings: &mut Findings) -> Option<Node> {
    let Some(extends) = root.get("extends").filter(|node| !node.is_null()) else {
        return Some(root);
    };
    let name = extends.read_str(findings)?;
    let beside = chain.last().and_then(|path| path.parent()).map(Path::to_owned);
    let seen = |path: &PathBuf| chain.iter().any(|known| same_file(known, path));
    let found: Vec<PathBuf> = candidates(name, beside.as_deref()).into_iter().filter(|path| path.is_file()).collect();
    let Some(path) = found.iter().find(|path| !seen(path)).cloned() else {
        if found.is_empty() {
            findings.error(extends, format!("there is no adapter `{name}`")).help(
                "adapters are looked for beside this file, in /etc/scimshim/adapters, /usr/share/scimshim/adapters and adapters/",
            );
        } else {
            findings.error(extends, format!("`{name}` extends itself, by way of what it extends"));
        }
        return None;
    };
    if chain.len() >= MAX_EXTENDS {
        findings.error(extends, format!("more than {MAX_EXTENDS} adapters extend one another"));
        return None;
    }
    chain.push(path.clone());
    let base = document::parse(Source::read(&path, findings)?, findings)?;
    let base = extended(base, chain, findings)?;
    Some(document::merge(&base, &root))
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// What helps where tables are hidden.
const UNSEEN: &str = "tables that the database user may do nothing with are hidden from it: `scimshim setup` prints the GRANTs with which it sees them";

const TOP: &[&str] = &[
    "adapter",
    "title",
    "extends",
    "databases",
    "recognise",
    "parameters",
    "time_zone",
    "table_prefix",
    "session",
    "types",
    "versions",
    "resources",
    "administrators",
];

fn from_root(root: Node, configured: &[(String, Node)], findings: &mut Findings) -> Option<Document> {
    for (key, _) in root.read_entries(findings)? {
        if !TOP.contains(&key.text.as_str()) {
            let finding = findings.error(key, format!("unknown key `{}`", key.text));
            match nearest(&key.text, TOP.iter().copied()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!("known keys here: {}", TOP.join(", "))),
            };
        }
    }
    let name = match root.get("adapter") {
        Some(name) => name.read_str(findings)?.to_owned(),
        None => {
            findings
                .error(&root, "the key `adapter` is missing")
                .help("it names the adapter: `adapter: my-application`");
            return None;
        }
    };
    let title = root.get("title").and_then(|title| title.read_str(findings)).unwrap_or(&name).to_owned();
    let mut databases = Vec::new();
    for item in root.get("databases").map(Node::one_or_many).unwrap_or_default() {
        let words = [("mysql", Dialect::Mysql), ("postgres", Dialect::Postgres), ("sqlite", Dialect::Sqlite)];
        databases.extend(item.read_word(&words, findings));
    }
    let parameters = read_parameters(root.get("parameters"), configured, findings);
    Some(Document { name, title, databases, parameters, root })
}

fn read_parameters(node: Option<&Node>, configured: &[(String, Node)], findings: &mut Findings) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    for (key, node) in node.and_then(|node| node.read_entries(findings)).unwrap_or_default() {
        let Some(mut reader) = document::Reader::mapping(node, findings) else {
            continue;
        };
        let default = reader.optional("default").cloned();
        let help = reader.string("help", findings).map(str::to_owned);
        let listed = reader.given("choices");
        reader.finish(findings);
        let choices: Vec<String> = listed.map(Node::one_or_many).unwrap_or_default().iter().map(text_of).collect();
        let given = configured.iter().find(|(name, _)| *name == key.text).map(|(_, value)| value.clone());
        let Some(value) = given.or_else(|| default.clone()) else {
            findings
                .error(key, format!("the parameter `{}` has no value", key.text))
                .help(format!("configure it: `adapter: {{ name: ..., parameters: {{ {}: ... }} }}`", key.text));
            continue;
        };
        if !choices.is_empty() && !choices.contains(&text_of(&value)) {
            let finding = findings.error(
                &value,
                format!("the parameter `{}` is one of {}, found {}", key.text, choices.join(", "), value.found()),
            );
            if let Some(near) = nearest(&text_of(&value), choices.iter().map(String::as_str)) {
                finding.help(format!("did you mean `{near}`?"));
            }
        }
        parameters.push(Parameter { name: key.text.clone(), help, default, choices, value });
    }
    let known = || node.map(Node::entries).unwrap_or_default().iter().map(|(key, _)| key.text.as_str());
    for (name, value) in configured {
        if !known().any(|parameter| parameter == name) {
            let finding = findings.error(value, format!("the adapter has no parameter `{name}`"));
            match nearest(name, known()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!("it has: {}", known().collect::<Vec<_>>().join(", "))),
            };
        }
    }
    parameters
}

/// A scalar as people write it; nothing for anything else.
pub(super) fn text_of(node: &Node) -> String {
    match node.data() {
        Data::Null => "null".to_owned(),
        Data::Bool(value) => value.to_string(),
        Data::Integer(value) => value.to_string(),
        Data::Float(value) => node.scalar_text().map_or_else(|| value.to_string(), str::to_owned),
        Data::String(text) => text.clone(),
        Data::Sequence(_) | Data::Mapping(_) => String::new(),
    }
}

impl Document {
    /// All of it, with what it extends and without parameters filled in.
    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// The resource types that it has, in any version.
    pub fn resource_types(&self) -> Vec<&str> {
        let versions = self.root.get("versions").map(Node::entries).unwrap_or_default();
        let all = std::iter::once(&self.root).chain(versions.iter().map(|(_, version)| version));
        let mut types = Vec::new();
        for (key, _) in all.filter_map(|root| root.get("resources")).flat_map(Node::entries) {
            if !types.contains(&key.text.as_str()) {
                types.push(key.text.as_str());
            }
        }
        types
    }

    /// The schemas (PostgreSQL) or databases (MySQL) whose catalogue compiling needs; `None` is the
    /// connection's own.
    pub fn schemas(&self) -> Vec<Option<Ident>> {
        let mut schemas = vec![None];
        for table in tables_in(&self.root).into_iter().chain(told::told_by(&self.root)) {
            if table.schema.is_some() && !schemas.contains(&table.schema) {
                schemas.push(table.schema);
            }
        }
        schemas
    }

    /// The document with the version laid over it that fits the catalogue, parameters filled in, and
    /// which version that is. `None` where none fits.
    pub(super) fn resolved(
        &self,
        catalogue: &Catalogue,
        dialect: Dialect,
        findings: &mut Findings,
    ) -> Option<(Node, Option<String>)> {
        let names = Names::new(catalogue, dialect, &self.prefix(findings));
        let mut version = None;
        let mut root = self.root.clone();
        if let Some(versions) = self.root.get("versions").filter(|node| !node.is_null()) {
            let mut wants = Vec::new();
            for (key, node) in versions.read_entries(findings)? {
                let when = node.get("when");
                if let Some((unknown, _)) = when
                    .map(Node::entries)
                    .unwrap_or_default()
                    .iter()
                    .find(|(key, _)| !["has", "lacks"].contains(&key.text.as_str()))
                {
                    findings
                        .error(unknown, format!("unknown key `{}`", unknown.text))
                        .help("known keys here: has, lacks");
                }
                let has = when.and_then(|when| when.get("has")).map(Node::one_or_many).unwrap_or_default();
                let lacks = when.and_then(|when| when.get("lacks")).map(Node::one_or_many).unwrap_or_default();
                let missing: Vec<String> = has.iter().map(text_of).filter(|name| !names.has(name)).collect();
                let present: Vec<String> = lacks.iter().map(text_of).filter(|name| names.has(name)).collect();
                if missing.is_empty() && present.is_empty() {
                    let over = without(node, &["when"]);
                    for (key, _) in over.entries() {
                        if ["adapter", "extends", "versions", "parameters", "table_prefix", "databases"]
                            .contains(&key.text.as_str())
                            || !TOP.contains(&key.text.as_str())
                        {
                            findings.error(key, format!("a version cannot change `{}`", key.text));
                        }
                    }
                    root = document::merge(&self.root, &over);
                    version = Some(key.text.clone());
                    break;
                }
                let mut reasons = Vec::new();
                reasons.extend(missing.iter().map(|name| format!("lacks {name}")));
                reasons.extend(present.iter().map(|name| format!("has {name}")));
                wants.push(format!("not {}: the database {}", key.text, reasons.join(", ")));
            }
            let known = tables_in(&self.root);
            let hidden = |name: &str| names.hides(&told::table_of(name, &known));
            let Some(chosen) = &version else {
                if told::told_by(&self.root).iter().any(|table| names.hides(table)) {
                    wants.push(UNSEEN.to_owned());
                }
                findings
                    .error(versions, format!("none of the versions of `{}` fits this database", self.name))
                    .help(wants.join("; "));
                return None;
            };
            for (key, node) in versions.entries().iter().filter(|(key, _)| key.text != *chosen) {
                let list = |word: &str| -> Vec<String> {
                    let named = node.get("when").and_then(|when| when.get(word)).map(Node::one_or_many);
                    named.unwrap_or_default().iter().map(text_of).collect()
                };
                let has = list("has");
                let unseen: Vec<String> =
                    has.iter().filter(|name| hidden(name)).map(|name| format!("`{name}`")).collect();
                let possible = has.iter().all(|name| names.has(name) || hidden(name))
                    && !list("lacks").iter().any(|name| names.has(name));
                if possible && !unseen.is_empty() {
                    let message = format!(
                        "version {chosen} is taken, but it may be {}: whether there is {} cannot be seen",
                        key.text,
                        unseen.join(", ")
                    );
                    findings.warning(key, message).help(UNSEEN);
                }
            }
        }
        let root = without(&root, &["versions", "parameters", "extends"]);
        Some((self.filled(&root, None, false, findings), version))
    }

    pub(super) fn prefix(&self, findings: &mut Findings) -> String {
        let Some(prefix) = self.root.get("table_prefix") else {
            return String::new();
        };
        text_of(&self.filled(prefix, None, false, findings)).replace("null", "")
    }

    /// Puts parameters in their places. `key` is the key that the node stands under, `step` whether
    /// that key belongs to a map in a list.
    fn filled(&self, node: &Node, key: Option<&str>, step: bool, findings: &mut Findings) -> Node {
        match node.data() {
            Data::String(text) if text.contains("${parameter:") => {
                let named = matches!(
                    key,
                    Some(
                        "table"
                            | "column"
                            | "parent"
                            | "child"
                            | "match"
                            | "key"
                            | "id"
                            | "insert"
                            | "timestamps"
                            | "first"
                    )
                ) || (step && matches!(key, Some("update" | "delete")));
                if named {
                    findings
                        .error(node, "a parameter cannot stand for a table or column")
                        .help("it may stand for a literal or a policy word; write an adapter that `extends` this one");
                    return node.clone();
                }
                self.fill_text(node, text, findings)
            }
            Data::Mapping(entries) => {
                let entries = entries
                    .iter()
                    .map(|(key, value)| (key.clone(), self.filled(value, Some(&key.text), step, findings)))
                    .collect();
                Node::new(Data::Mapping(entries), node.place().clone())
            }
            Data::Sequence(items) => {
                let items = items.iter().map(|item| self.filled(item, key, true, findings)).collect();
                Node::new(Data::Sequence(items), node.place().clone())
            }
            _ => node.clone(),
        }
    }

    fn fill_text(&self, node: &Node, text: &str, findings: &mut Findings) -> Node {
        let mut filled = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${parameter:") {
            let (before, after) = rest.split_at(start);
            let Some((name, tail)) = after.trim_start_matches("${parameter:").split_once('}') else {
                break;
            };
            filled.push_str(before);
            if before.ends_with('$') {
                // `$${` is a literal `${`: left for the template.
                filled.push_str("${parameter:");
                filled.push_str(name);
                filled.push('}');
            } else if let Some(parameter) = self.parameters.iter().find(|parameter| parameter.name == name) {
                if before.is_empty() && tail.is_empty() && filled.is_empty() {
                    return parameter.value.clone();
                }
                if matches!(parameter.value.kind(), Kind::Sequence | Kind::Mapping) {
                    findings
                        .error(node, format!("the parameter `{name}` is {}, not text", parameter.value.kind_name()));
                }
                filled.push_str(&text_of(&parameter.value));
            } else {
                let declared = self.root.get("parameters").and_then(|all| all.get(name)).is_some();
                if !declared {
                    let finding = findings.error(node, format!("there is no parameter `{name}`"));
                    if let Some(near) = nearest(name, self.parameters.iter().map(|p| p.name.as_str())) {
                        finding.help(format!("did you mean `{near}`?"));
                    }
                }
                return Node::new(Data::Null, node.place().clone());
            }
            rest = tail;
        }
        filled.push_str(rest);
        Node::new(Data::String(filled), node.place().clone())
    }
}

/// Every table that a piece of an adapter, or a scope, speaks of, prefix not included.
pub fn tables_in(node: &Node) -> Vec<Table> {
    fn walk(node: &Node, tables: &mut Vec<Table>) {
        for (key, value) in node.entries() {
            if let (true, Some(name)) =
                (matches!(key.text.as_str(), "table" | "insert" | "update" | "delete"), value.as_str())
                && !matches!(name, "row" | "deactivate" | "refuse")
                && !name.contains("${")
            {
                let table = Names::split(name);
                if !tables.contains(&table) {
                    tables.push(table);
                }
            }
            walk(value, tables);
        }
        for item in node.items() {
            walk(item, tables);
        }
    }
    let mut tables = Vec::new();
    walk(node, &mut tables);
    tables
}

pub(super) fn without(node: &Node, keys: &[&str]) -> Node {
    let entries = node.entries().iter().filter(|(key, _)| !keys.contains(&key.text.as_str())).cloned().collect();
    Node::new(Data::Mapping(entries), node.place().clone())
}
