//! From a document to an [`Adapter`], against the live catalogue. Everything that is wrong is found in
//! one go.

use super::administrators::administrators;
use super::attributes::attribute;
use super::checks;
use super::conditions::condition;
use super::context::{Context, Outline, Scope};
use super::document::Document;
use super::expressions::templates;
use super::lifecycle::{create, delete, update};
use super::names::Names;
use super::outline::{base, outlines};
use super::schema::{add_groups, schema};
use super::scope;
use super::told;
use super::tree::{settle, tree};
use super::written::written;
use super::{Adapter, Attribute, Binding, ResourceType, Rule, Source, Timestamps, Unique};
use crate::document::{Findings, Key, Kind, Node, Reader, nearest};
use crate::scim;
use crate::sql::{Catalogue, ColumnKind, Dialect};
use chrono_tz::Tz;

/// Compiles the document against the catalogue. `None` where anything is an error.
pub fn compile(
    document: &Document,
    catalogue: &Catalogue,
    dialect: Dialect,
    findings: &mut Findings,
) -> Option<Adapter> {
    compile_within(document, catalogue, dialect, None, findings)
}

/// The same for one identity server, that sees what its scope (predicates by resource type) leaves it.
pub fn compile_within(
    document: &Document,
    catalogue: &Catalogue,
    dialect: Dialect,
    scope: Option<&Node>,
    findings: &mut Findings,
) -> Option<Adapter> {
    let mut own = Findings::new();
    let adapter = compiled(document, catalogue, dialect, scope, &mut own);
    let failed = own.has_errors();
    findings.extend(own);
    adapter.filter(|_| !failed)
}

fn compiled(
    document: &Document,
    catalogue: &Catalogue,
    dialect: Dialect,
    scope: Option<&Node>,
    findings: &mut Findings,
) -> Option<Adapter> {
    let (root, version) = document.resolved(catalogue, dialect, findings)?;
    if !document.databases.is_empty() && !document.databases.contains(&dialect) {
        findings.error(&root.get("databases").cloned(), format!("the adapter is not for this database ({dialect:?})"));
    }
    let prefix = root.get("table_prefix").filter(|node| !node.is_null()).and_then(|node| node.read_str(findings));
    let names = Names::new(catalogue, dialect, prefix.unwrap_or_default());
    recognise(root.get("recognise"), &names, findings);
    let zone = zone(root.get("time_zone"), findings);
    let strict = match root.get("session").and_then(|node| Reader::mapping(node, findings)) {
        Some(mut reader) => {
            let strict = reader.boolean("strict", findings);
            reader.finish(findings);
            strict.unwrap_or(true)
        }
        None => true,
    };
    let resources = match root.get("resources") {
        Some(resources) => resources.read_entries(findings)?,
        None => {
            findings.error(&root, "the key `resources` is missing");
            return None;
        }
    };
    let all = resources.iter().flat_map(|(key, node)| outlines(key, node, &names, findings)).collect();
    let context = Context { names, types: root.get("types").cloned(), outlines: all, scope: scope.cloned() };
    if let Some(scope) = scope {
        let types: Vec<&str> = resources.iter().map(|(key, _)| key.text.as_str()).collect();
        scope::known(scope, &types, findings);
    }
    let mut resource_types: Vec<ResourceType> =
        resources.iter().filter_map(|(key, node)| resource(key, node, &context, findings)).collect();
    for (source, outline) in resource_types.iter_mut().flat_map(|resource| &mut resource.sources).zip(&context.outlines)
    {
        // Others may have asked for columns after this source was compiled.
        source.columns.clone_from(&outline.columns.borrow());
        checks::source(source, outline, &context, findings);
    }
    let pointed: Vec<String> = resource_types
        .iter()
        .flat_map(|resource| resource.sources.iter().flat_map(|source| &source.attributes))
        .filter_map(|attribute| match &attribute.binding {
            Binding::Link(link) => Some(link.resource_type.clone()),
            _ => None,
        })
        .collect();
    for resource in resource_types.iter_mut().filter(|resource| pointed.contains(&resource.name)) {
        add_groups(&mut resource.schema);
    }
    let told_by = told::told_by(document.root()).into_iter();
    let told_by = told_by.filter_map(|table| Some(context.names.find(&table.to_string())?.table)).collect();
    let administrators = administrators(root.get("administrators"), &context, findings);
    unused_types(&root, findings);
    let mut adapter = Adapter {
        name: document.name.clone(),
        title: document.title.clone(),
        version,
        time_zone: zone,
        strict,
        resource_types,
        administrators,
        told_by,
        written: Vec::new(),
    };
    adapter.written = written(&adapter, catalogue);
    checks::transactions(&adapter.written, catalogue, findings);
    Some(adapter)
}

fn recognise(node: Option<&Node>, names: &Names<'_>, findings: &mut Findings) {
    let Some(mut reader) = node.and_then(|node| Reader::mapping(node, findings)) else {
        return;
    };
    let has = reader.given("has").map(Node::one_or_many).unwrap_or_default();
    let lacks = reader.given("lacks").map(Node::one_or_many).unwrap_or_default();
    reader.finish(findings);
    let strangers = has
        .iter()
        .filter(|item| item.as_str().is_some_and(|name| !names.has(name)))
        .chain(lacks.iter().filter(|item| item.as_str().is_some_and(|name| names.has(name))));
    for item in strangers {
        findings
            .warning(item, format!("the database does not look like this application: see {}", item.found()))
            .help("is the adapter, the database and its `table_prefix` the right one?");
    }
}

fn zone(node: Option<&Node>, findings: &mut Findings) -> Tz {
    let Some(text) = node.filter(|node| !node.is_null()).and_then(|node| node.read_str(findings)) else {
        return Tz::UTC;
    };
    text.parse().unwrap_or_else(|_| {
        let finding = findings.error(&node.cloned(), format!("there is no time zone `{text}`"));
        match nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name())) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => finding.help("time zones are called like `Europe/Berlin`, or `UTC`"),
        };
        Tz::UTC
    })
}

/// A type that nothing uses may still be wrong in its shape.
fn unused_types(root: &Node, findings: &mut Findings) {
    for (key, node) in root.get("types").map(Node::entries).unwrap_or_default() {
        if !matches!(node.kind(), Kind::Mapping | Kind::String) {
            findings.error(key, format!("the type `{}` is {}, not a type", key.text, node.kind_name()));
        }
    }
}

const SHARED: &[&str] = &[
    "table",
    "id",
    "where",
    "protected",
    "timestamps",
    "label",
    "attributes",
    "create",
    "update",
    "delete",
    "unmapped",
    "unknown_members",
    "id_prefix",
    "tree",
];

fn resource(key: &Key, node: &Node, context: &Context<'_>, findings: &mut Findings) -> Option<ResourceType> {
    let mut reader = Reader::mapping(node, findings)?;
    let endpoint = reader.string("endpoint", findings);
    let own = reader.string("schema", findings);
    let description = reader.string("description", findings);
    let listed = reader.given("sources");
    let create_in = reader.given("create_in");
    SHARED.iter().for_each(|key| {
        reader.optional(key);
    });
    reader.finish(findings);
    for (_, source) in listed.map(Node::entries).unwrap_or_default() {
        if let Some(mut reader) = Reader::mapping(source, findings) {
            SHARED.iter().for_each(|key| {
                reader.optional(key);
            });
            reader.finish(findings);
        }
    }

    let name = key.text.as_str();
    let known = matches!(name, "User" | "Group");
    if !known && own.is_none() {
        findings.error(key, format!("`{name}` is a resource type of your own: it needs `schema`, a URN of your own"));
    }
    if own.is_some_and(|own| !scim::urn::is_urn(own)) {
        findings.error(&node.get("schema").cloned(), "a schema is named by a URN, like urn:example:2.0:Location");
    }
    let endpoint = endpoint.map_or_else(|| format!("/{name}s"), str::to_owned);
    let plain = endpoint.strip_prefix('/').is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    });
    let taken = ["/Schemas", "/ResourceTypes", "/ServiceProviderConfig", "/ServiceProviderConfigs", "/Bulk", "/Me"];
    if !plain || taken.iter().any(|taken| taken.eq_ignore_ascii_case(&endpoint)) {
        findings
            .error(&node.get("endpoint").cloned(), format!("`{endpoint}` cannot be an endpoint"))
            .help("like /Locations");
    }
    let description = description.map_or_else(
        || match name {
            "User" => "A user of the application".to_owned(),
            "Group" => "A group of the application's users".to_owned(),
            _ => format!("A {name} of the application"),
        },
        str::to_owned,
    );
    let base = base(name);
    let found: Vec<Source> = context
        .outlines
        .iter()
        .filter(|outline| outline.resource == name)
        .map(|outline| source(outline, context, findings))
        .collect();
    let create_in = match create_in {
        Some(node) => {
            let wanted = node.read_str(findings)?;
            let position = found.iter().position(|source| source.name == wanted);
            match position.and_then(|position| found.get(position)) {
                None => {
                    let finding = findings.error(node, format!("there is no source `{wanted}`"));
                    if let Some(near) = nearest(wanted, found.iter().map(|source| source.name.as_str())) {
                        finding.help(format!("did you mean `{near}`?"));
                    }
                }
                Some(source) if source.create.is_none() => {
                    findings.error(node, format!("the source `{wanted}` refuses to create"));
                }
                Some(_) => {}
            }
            position
        }
        None => {
            let creating: Vec<usize> = found
                .iter()
                .enumerate()
                .filter(|(_, source)| source.create.is_some())
                .map(|(index, _)| index)
                .collect();
            if creating.len() > 1 {
                findings
                    .error(key, format!("several sources of `{name}` can create"))
                    .help("say which with `create_in`, or `create: refuse` in the others");
            }
            creating.first().copied()
        }
    };
    prefixes(name, &found, listed, findings);
    let schema = schema(name, own, &description, base, &found);
    Some(ResourceType { name: name.to_owned(), endpoint, description, schema, sources: found, create_in })
}

/// The ids of several sources must be told apart by how they begin.
fn prefixes(name: &str, sources: &[Source], listed: Option<&Node>, findings: &mut Findings) {
    for (index, source) in sources.iter().enumerate() {
        let clash = sources.iter().take(index).find(|earlier| {
            earlier.id_prefix.starts_with(&source.id_prefix) || source.id_prefix.starts_with(&earlier.id_prefix)
        });
        if let Some(clash) = clash {
            let at = listed.and_then(|listed| listed.get(&source.name)).cloned();
            findings
                .error(
                    &at,
                    format!("the ids of `{}` and `{}` of `{name}` cannot be told apart", clash.name, source.name),
                )
                .help(format!("`id_prefix: {}-`", source.name));
        }
    }
}

fn source(outline: &Outline<'_>, context: &Context<'_>, findings: &mut Findings) -> Source {
    let node = &outline.node;
    let relation = &outline.relation;
    let attributes: Vec<Attribute> = outline
        .entries
        .iter()
        .map(|entry| {
            // What failed still holds its place, so that the others keep their numbers.
            attribute(entry, outline, context, findings).unwrap_or_else(|| Attribute {
                target: entry.target.clone(),
                binding: Binding::Sidecar(Vec::new()),
                schema: scim::Attribute::new(&entry.target.attribute, scim::Kind::String, ""),
                required: false,
                unique: Unique::No,
                rule: Rule::default(),
            })
        })
        .collect();
    if node.get("attributes").is_none() {
        findings.error(node, "the key `attributes` is missing");
    }
    let filter = condition(given(node, "where"), relation, Scope::plain(), context, findings);
    let protected =
        given(node, "protected").map(|node| condition(Some(node), relation, Scope::plain(), context, findings));
    let scope = Scope::change(outline);
    let word = |key: &str, words: &[(&str, bool)], findings: &mut Findings| {
        given(node, key).and_then(|node| node.read_word(words, findings)).unwrap_or(false)
    };
    word("unmapped", &[("ignore", false), ("store", true)], findings);
    if !filter.is_static() {
        findings
            .error(&given(node, "where"), "a `where` means the same for every request: no `${...}` of one")
            .help("literals, parameters, `{ select: ... }` and `${now}` compared with a column are fine");
    }
    let scope_of = scope::scope(outline, context, findings);
    let mut source = Source {
        name: outline.name.clone(),
        id_prefix: given(node, "id_prefix").and_then(|node| node.read_str(findings)).unwrap_or_default().to_owned(),
        table: relation.table.clone(),
        columns: Vec::new(),
        timestamps: timestamps(given(node, "timestamps"), outline, findings),
        label: templates(given(node, "label"), scope, findings),
        tree: given(node, "tree").and_then(|node| tree(node, outline, findings)),
        skip_unknown_members: word("unknown_members", &[("reject", false), ("skip", true)], findings),
        create: create(node, &filter, outline, context, findings),
        update: update(given(node, "update"), outline, context, findings),
        delete: delete(given(node, "delete"), &attributes, outline, context, findings),
        filter,
        scope: scope_of,
        protected,
        attributes,
    };
    source.columns.clone_from(&outline.columns.borrow());
    settle(&mut source, outline, findings);
    if let Some(create) = &mut source.create {
        scope::narrow(create, &source.scope, outline);
        source.columns.clone_from(&outline.columns.borrow());
    }
    source
}

pub(super) fn given<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.get(key).filter(|node| !node.is_null())
}

fn timestamps(node: Option<&Node>, outline: &Outline<'_>, findings: &mut Findings) -> Timestamps {
    let Some(mut reader) = node.and_then(|node| Reader::mapping(node, findings)) else {
        return Timestamps::default();
    };
    let mut column = |key: &str, findings: &mut Findings| {
        let node = reader.given(key)?;
        let info = outline.relation.named(node, findings)?;
        if !matches!(
            info.kind,
            ColumnKind::DateTime
                | ColumnKind::Instant
                | ColumnKind::Date
                | ColumnKind::Text(_)
                | ColumnKind::Integer { .. }
        ) {
            findings.error(node, format!("the column `{}` {}", info.name, super::expressions::holds(&info.kind)));
        }
        Some(outline.intern(info))
    };
    let created = column("created", findings);
    let modified = column("modified", findings);
    let written = reader.boolean("written", findings).unwrap_or(true);
    reader.finish(findings);
    Timestamps { created, modified, written }
}
