//! How each attribute meets SQL: the forms of a binding, except those with files of their own.

use super::context::{Context, Entry, Outline, Scope};
use super::expressions::{assignments, expression, literal, templates};
use super::labels::label;
use super::link::link;
use super::lookup::lookup;
use super::names::compiled;
use super::rows::rows;
use super::types::{conversion, count, kind_of};
use super::{Attribute, Binding, Column, ColumnBinding, Conversion, Expression, Hash, Reference, Rule, Unique};
use crate::document::{Data, Findings, Key, Node, Reader};
use crate::scim::{self, Mutability, Returned, Uniqueness};
use crate::sql::{ColumnInfo, ColumnKind, Value};

/// One attribute; what is wrong with it is reported.
pub(super) fn attribute(
    entry: &Entry,
    outline: &Outline<'_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Attribute> {
    let long = long_form(&entry.node);
    let mut reader = Reader::mapping(&long, findings)?;
    let mutability = reader.word("mutability", MUTABILITY, findings);
    let returned = reader.word("returned", RETURNED, findings);
    let case_exact = reader.boolean("case_exact", findings);
    reader.optional("enabled");
    let required = reader.boolean("required", findings);
    let unique = reader.given("unique");
    let rule = rule(&mut reader, findings);
    let writable = mutability != Some(Mutability::ReadOnly);
    let forms: Vec<&Key> = ["lookup", "reference", "rows", "link", "constant", "sidecar"]
        .iter()
        .filter_map(|form| reader.optional_entry(form).map(|(key, _)| key))
        .collect();
    if let [_, second, ..] = forms.as_slice() {
        findings
            .error(*second, format!("`{}` has two bindings", entry.target.path()))
            .help("one attribute, one binding");
        return None;
    }
    let found = binding(&mut reader, forms.first().copied(), entry, outline, writable, context, findings);
    reader.finish(findings);
    let (binding, kind) = found?;

    let top = entry.target.slot.is_none() && entry.target.sub.is_none();
    let name = entry.target.sub.as_ref().unwrap_or(&entry.target.attribute);
    let mut schema = entry.definition.clone().unwrap_or_else(|| {
        let mut made = scim::Attribute::new(name, kind, "");
        made.description = match &binding {
            Binding::Column(column) => format!("The column {} of the application", column_name(outline, column.column)),
            Binding::Lookup(lookup) => format!("The {} of a row of {}", lookup.matched.name, lookup.table.name),
            Binding::Reference(reference) => format!("The {} it points to", reference.resource_type),
            _ => format!("{name} of the application"),
        };
        made
    });
    // What stands beside an element's value is the client's to say: it is given back from the sidecar.
    let beside = entry.target.slot.is_some() && matches!(binding, Binding::Constant(_));
    let computed = matches!(binding, Binding::Template(_) | Binding::Constant(_)) && !beside;
    if computed && mutability.is_some_and(|said| said != Mutability::ReadOnly) {
        findings.error(&entry.key, format!("`{}` is computed: clients cannot write it", entry.target.path()));
    }
    if computed {
        schema.mutability = Mutability::ReadOnly;
    } else if let Some(mutability) = mutability {
        schema.mutability = mutability;
    }
    if let Binding::Column(ColumnBinding { hash: Some(_), .. }) = &binding {
        schema.mutability = Mutability::WriteOnly;
        schema.returned = Returned::Never;
    } else if let Some(returned) = returned {
        schema.returned = returned;
    }
    if let Some(case_exact) = case_exact {
        schema.case_exact = case_exact;
    }
    let read_only = schema.mutability == Mutability::ReadOnly;
    let required = required.unwrap_or(top && schema.required) && !read_only;
    schema.required = required;
    let unique = match unique {
        Some(node) => read_unique(node, outline, findings),
        None if top && schema.uniqueness == Uniqueness::Server && !read_only => Unique::Visible,
        None => Unique::No,
    };
    schema.uniqueness = if unique == Unique::No { Uniqueness::None } else { Uniqueness::Server };
    Some(Attribute { target: entry.target.clone(), binding, schema, required, unique, rule })
}

const MUTABILITY: &[(&str, Mutability)] = &[
    ("readOnly", Mutability::ReadOnly),
    ("readWrite", Mutability::ReadWrite),
    ("immutable", Mutability::Immutable),
    ("writeOnly", Mutability::WriteOnly),
];

const RETURNED: &[(&str, Returned)] = &[
    ("always", Returned::Always),
    ("never", Returned::Never),
    ("default", Returned::Default),
    ("request", Returned::Request),
];

/// `attribute: column` and `attribute: sidecar` in their long forms.
fn long_form(node: &Node) -> Node {
    let Some(text) = node.as_str() else { return node.clone() };
    let place = node.place().clone();
    let entry = match text {
        "sidecar" => (Key::new("sidecar", place.clone()), Node::new(Data::Bool(true), place.clone())),
        _ => (Key::new("column", place.clone()), node.clone()),
    };
    Node::new(Data::Mapping(vec![entry]), place)
}

fn column_name(outline: &Outline<'_>, id: usize) -> String {
    outline.columns.borrow().get(id).map(|column| column.name.as_str().to_owned()).unwrap_or_default()
}

fn rule(reader: &mut Reader<'_>, findings: &mut Findings) -> Rule {
    let pattern = reader.given("pattern").and_then(|node| {
        let text = node.read_str(findings)?;
        match regex::Regex::new(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                findings.error(node, format!("not a regular expression: {}", last_line(&error.to_string())));
                None
            }
        }
    });
    Rule { pattern, min: count(reader.given("min"), findings), max: count(reader.given("max"), findings) }
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ")
}

fn read_unique(node: &Node, outline: &Outline<'_>, findings: &mut Findings) -> Unique {
    if let Some(unique) = node.as_bool() {
        return if unique { Unique::Visible } else { Unique::No };
    }
    if node.as_str() == Some("all") {
        return Unique::All;
    }
    let Some(mut reader) = node.get("within").and_then(|_| Reader::mapping(node, findings)) else {
        findings.error(node, format!("expected `true`, `all` or `{{ within: [columns] }}`, found {}", node.found()));
        return Unique::No;
    };
    let within = reader.given("within").map(Node::one_or_many).unwrap_or_default();
    reader.finish(findings);
    let columns = within.iter().filter_map(|node| outline.relation.named(node, findings));
    Unique::Within(columns.map(|info| outline.intern(info)).collect())
}

fn binding(
    reader: &mut Reader<'_>,
    form: Option<&Key>,
    entry: &Entry,
    outline: &Outline<'_>,
    writable: bool,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<(Binding, scim::Kind)> {
    let column = reader.given("column");
    let template = reader.given("template");
    let scope = Scope { id: true, ..Scope::change(outline) };
    let string = scim::Kind::String;
    let refuse_column = |findings: &mut Findings| {
        if let Some(column) = column {
            findings.error(column, "this binding has no column of the resource's own row");
        }
    };
    match form.map(|key| key.text.as_str()) {
        Some("rows") => {
            refuse_column(findings);
            let (found, kind) = rows(reader.optional("rows")?, entry, outline, context, findings)?;
            Some((Binding::Rows(Box::new(found)), kind))
        }
        Some("sidecar") => {
            refuse_column(findings);
            let kind = entry.definition.as_ref().map_or(string, |definition| definition.kind);
            let shown = templates(template, scope, findings);
            if !shown.is_empty() && kind != string {
                findings.error(&entry.key, "templates give text, and this attribute is none");
            }
            (reader.boolean("sidecar", findings)? || entry.node.as_str().is_some())
                .then_some((Binding::Sidecar(shown), kind))
        }
        Some("constant") => {
            refuse_column(findings);
            let node = reader.optional("constant")?;
            let value = serde_json::to_value(node.to_yaml()).ok()?;
            let kind = match value {
                serde_json::Value::Bool(_) => scim::Kind::Boolean,
                serde_json::Value::Number(_) => scim::Kind::Integer,
                _ => string,
            };
            if let Some(definition) = &entry.definition
                && (definition.kind == scim::Kind::Boolean) != (kind == scim::Kind::Boolean)
            {
                findings.error(node, format!("the attribute is of type {}", definition.kind.as_str()));
            }
            Some((Binding::Constant(value), kind))
        }
        Some("link") => {
            refuse_column(findings);
            let node = reader.optional("link")?;
            if let Some(definition) = &entry.definition
                && !definition.multi_valued
            {
                findings.error(node, format!("`{}` has one value only, and a link has many", definition.name));
            }
            if entry.target.extension.is_some() {
                findings
                    .error(&entry.key, format!("`{}` is a link, and stands in an extension", entry.target.path()))
                    .help("members stand in the core schema, or in that of a resource type of your own");
            }
            Some((Binding::Link(Box::new(link(node, outline, context, findings)?)), scim::Kind::Complex))
        }
        Some("lookup") => {
            let node = reader.optional("lookup")?;
            let info = outline.relation.named(needed(column, reader, findings)?, findings)?;
            let found = lookup(node, outline.intern(info), &foreign(info, entry), entry, writable, context, findings)?;
            let kind = kind_of(&found.conversion);
            Some((Binding::Lookup(Box::new(found)), kind))
        }
        Some("reference") => {
            let node = reader.optional("reference")?;
            let info = outline.relation.named(needed(column, reader, findings)?, findings)?;
            let found = reference(node, outline.intern(info), &foreign(info, entry), context, findings)?;
            Some((Binding::Reference(found), scim::Kind::Complex))
        }
        _ => {
            let Some(column) = column else {
                let Some(template) = template else {
                    findings
                        .error(&entry.key, format!("`{}` has no binding", entry.target.path()))
                        .help("one of column, lookup, reference, rows, link, template, constant, sidecar");
                    for key in ["type", "json", "hash", "fallback", "also"] {
                        reader.optional(key);
                    }
                    return None;
                };
                let list = templates(Some(template), scope, findings);
                return Some((Binding::Template(list), string));
            };
            let info = outline.relation.named(column, findings);
            let found = info.map(|info| {
                let id = outline.intern(info);
                column_binding(reader, id, &compiled(info), column, entry, outline, writable, context, findings)
            });
            for key in ["type", "json", "hash", "fallback", "also"] {
                reader.optional(key);
            }
            let (binding, kind) = found?;
            Some((Binding::Column(binding), kind))
        }
    }
}

/// A foreign key; where no row is written without it, nothing need stand for nothing.
fn foreign(info: &ColumnInfo, entry: &Entry) -> Column {
    let column = compiled(info);
    Column { nullable: column.nullable || entry.essential, ..column }
}

fn needed<'n>(column: Option<&'n Node>, reader: &Reader<'_>, findings: &mut Findings) -> Option<&'n Node> {
    if column.is_none() {
        findings
            .error(reader.node(), "the key `column` is missing")
            .help("it is the foreign key in the resource's row");
    }
    column
}

#[expect(clippy::too_many_arguments, reason = "one attribute and where it stands; used once")]
fn column_binding(
    reader: &mut Reader<'_>,
    id: usize,
    column: &Column,
    at: &Node,
    entry: &Entry,
    outline: &Outline<'_>,
    writable: bool,
    context: &Context<'_>,
    findings: &mut Findings,
) -> (ColumnBinding, scim::Kind) {
    let json: Vec<String> = reader
        .given("json")
        .map(Node::one_or_many)
        .unwrap_or_default()
        .iter()
        .filter_map(|key| key.read_str(findings).map(str::to_owned))
        .collect();
    let kind = entry.definition.as_ref().map(|definition| definition.kind);
    let mut travelling = column.clone();
    if !json.is_empty() {
        if !matches!(column.kind, ColumnKind::Json | ColumnKind::Text(_)) {
            findings.error(at, format!("the column `{}` holds no JSON document", column.name));
        }
        // A scalar inside a document has that document's types.
        travelling.cast = None;
        travelling.nullable = true;
        let said = reader.given("type").is_some();
        travelling.kind = match kind {
            // What stands for each side is said: as text.
            Some(scim::Kind::Boolean) if !said => ColumnKind::Boolean,
            Some(scim::Kind::Integer) => ColumnKind::Integer { min: i64::MIN.into(), max: i64::MAX.into() },
            Some(scim::Kind::Decimal) => ColumnKind::Float,
            _ => ColumnKind::Text(None),
        };
    }
    let hash = reader.word("hash", &Hash::WORDS, findings);
    if let (Some(hash), ColumnKind::Text(Some(room))) = (hash, &column.kind)
        && *room < hash.length()
    {
        findings.error(
            at,
            format!(
                "such a hash has {} characters; the column `{}` {}",
                hash.length(),
                column.name,
                super::expressions::holds(&column.kind)
            ),
        );
    }
    let conversion = conversion(reader.given("type"), kind, &travelling, at, context, findings);
    let known = kind.unwrap_or_else(|| kind_of(&conversion));
    let scope = Scope::change(outline);
    let fallback = templates(reader.given("fallback"), Scope { id: false, ..scope }, findings);
    if let (false, true, Some(node)) = (json.is_empty(), !fallback.is_empty(), reader.given("fallback")) {
        findings.error(node, "a fallback fills a column, and this is a key of a document");
    }
    let also = assignments(reader.given("also"), &outline.relation, scope, context, findings)
        .into_iter()
        .filter_map(|(column, value)| Some((outline.intern(outline.relation.find(column.name.as_str())?), value)))
        .collect();
    let shown = templates(reader.given("template"), scope, findings);
    let text = matches!(conversion, Conversion::Text(_) | Conversion::Locale { .. });
    if (!fallback.is_empty() || !shown.is_empty()) && !text {
        findings.error(at, "templates give text, and this attribute is none");
    }
    let binding = ColumnBinding {
        column: id,
        conversion,
        cell: travelling,
        json,
        shown_when_empty: shown,
        fallback,
        also,
        hash,
        writes: writable,
    };
    (binding, known)
}

/// `{ resource, key, none }`.
fn reference(
    node: &Node,
    id: usize,
    column: &Column,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Reference> {
    let mut reader = Reader::mapping(node, findings)?;
    let resource = reader.required("resource", findings);
    let key = reader.given("key");
    let none = none(&mut reader, column, findings);
    let (named, none_named) = (reader.given("label"), reader.given("none_label"));
    reader.finish(findings);
    let target = context.resource(resource?, findings)?;
    let key = match key {
        Some(key) => target.intern(target.relation.named(key, findings)?),
        None => 0,
    };
    let label = label(named, none_named, &target.relation, findings);
    Some(Reference { column: id, resource_type: target.resource.clone(), key, none, label })
}

/// `none`: what a foreign key holds for nothing; NULL unless said, and then it must be allowed.
pub(super) fn none(reader: &mut Reader<'_>, column: &Column, findings: &mut Findings) -> Value {
    let none = reader.optional("none").map_or(Value::Null, |node| literal(node, column, findings));
    if none.is_null() && !column.nullable {
        findings
            .error(
                reader.node(),
                format!("the column `{}` cannot be NULL: it needs something for nothing", column.name),
            )
            .help("say what it holds then, like `none: 0`");
    }
    none
}

/// `set` of the resource's own row.
pub(super) fn own_assignments(
    node: Option<&Node>,
    outline: &Outline<'_>,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Vec<(usize, Expression)> {
    let mut all = Vec::new();
    for (key, value) in node.and_then(|node| node.read_entries(findings)).unwrap_or_default() {
        if let Some(info) = outline.relation.column(&key.text, key, findings) {
            let column = compiled(info);
            let given = expression(value, &column, scope, context, findings);
            if matches!(given, Expression::Literal(Value::Null)) && !info.nullable {
                findings.error(key, format!("the column `{}` cannot be NULL", info.name));
            }
            all.push((outline.intern(info), given));
        }
    }
    all
}
