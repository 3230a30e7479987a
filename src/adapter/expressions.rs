//! The values an adapter gives: literals converted to their column's type, `${...}`, subqueries.

use super::conditions::condition;
use super::context::{Context, Each, Scope, collect};
use super::conversion::wall_clock;
use super::document::text_of;
use super::names::{Relation, compiled};
use super::{Column, Expression, Part, ScalarSelect, Template, Variable};
use crate::document::{Data, Findings, Node, Reader, nearest};
use crate::sql::{ColumnKind, Value};
use chrono::DateTime;
use std::sync::Arc;

/// What `node` gives to `column`. What is wrong is reported and stands as NULL.
pub(super) fn expression(
    node: &Node,
    column: &Column,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Expression {
    match node.data() {
        Data::String(text) if text.contains("${") => {
            let Some(template) = parse(text, node, scope, findings) else {
                return Expression::Literal(Value::Null);
            };
            match template.0.as_slice() {
                [Part::Variable(variable)] => Expression::Variable(variable.clone()),
                [Part::Text(text)] => {
                    let unescaped = Node::new(Data::String(text.clone()), node.place().clone());
                    Expression::Literal(literal(&unescaped, column, findings))
                }
                _ => Expression::Template(template),
            }
        }
        Data::Mapping(entries) => match entries.as_slice() {
            [(key, inner)] if key.text == "select" => match select(inner, scope, context, findings) {
                Some(select) => Expression::Select(select),
                None => Expression::Literal(Value::Null),
            },
            [(key, inner)] if key.text == "first_of" => Expression::FirstOf(
                inner
                    .read_items(findings)
                    .unwrap_or_default()
                    .iter()
                    .map(|item| expression(item, column, scope, context, findings))
                    .collect(),
            ),
            _ => Expression::Literal(literal(node, column, findings)),
        },
        _ => Expression::Literal(literal(node, column, findings)),
    }
}

/// `{ table, column, where }`.
pub(super) fn select(
    node: &Node,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Arc<ScalarSelect>> {
    let mut reader = Reader::mapping(node, findings)?;
    let table = reader.required("table", findings);
    let column = reader.required("column", findings);
    let filter = reader.given("where");
    reader.finish(findings);
    let relation = context.names.table(table?, findings)?;
    let column = relation.named(column?, findings)?;
    let filter = condition(filter, &relation, scope, context, findings);
    Some(Arc::new(ScalarSelect { table: relation.table, column: compiled(column), filter }))
}

/// `{ column: value, ... }` of a table, as `set` and `values` have it.
pub(super) fn assignments(
    node: Option<&Node>,
    relation: &Relation<'_>,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Vec<(Column, Expression)> {
    let mut all = Vec::new();
    for (key, value) in node.and_then(|node| node.read_entries(findings)).unwrap_or_default() {
        if let Some(info) = relation.column(&key.text, key, findings) {
            let column = compiled(info);
            let value = expression(value, &column, scope, context, findings);
            if let (Expression::Literal(Value::Null), false) = (&value, info.nullable) {
                findings.error(key, format!("the column `{}` cannot be NULL", info.name));
            }
            all.push((column, value));
        }
    }
    all
}

/// One template, or the first of a list whose parts are all there.
pub(super) fn templates(node: Option<&Node>, scope: Scope<'_, '_>, findings: &mut Findings) -> Vec<Template> {
    let items = node.map(Node::one_or_many).unwrap_or_default();
    items.iter().filter_map(|item| template(item, scope, findings)).collect()
}

/// One template.
pub(super) fn template(node: &Node, scope: Scope<'_, '_>, findings: &mut Findings) -> Option<Template> {
    let text = node.read_str(findings)?;
    parse(text, node, scope, findings)
}

fn parse(text: &str, node: &Node, scope: Scope<'_, '_>, findings: &mut Findings) -> Option<Template> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        let after = after.strip_prefix("${").unwrap_or(after);
        if let Some(before) = before.strip_suffix('$') {
            literal.push_str(before);
            literal.push_str("${");
            rest = after;
            continue;
        }
        literal.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            findings.error(node, "`${` without `}`").help("a literal `${` is written `$${`");
            return None;
        };
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(Part::Variable(variable(name, node, scope, findings)?));
        rest = tail;
    }
    literal.push_str(rest);
    if !literal.is_empty() || parts.is_empty() {
        parts.push(Part::Text(literal));
    }
    Some(Template(parts))
}

const WORDS: &[(&str, Variable)] = &[
    ("id", Variable::Id),
    ("now", Variable::Now),
    ("uuid", Variable::Uuid),
    ("random_password", Variable::RandomPassword),
    ("actor.id", Variable::ActorId),
    ("actor.label", Variable::ActorLabel),
    ("server", Variable::Server),
    ("request.id", Variable::RequestId),
    ("client.address", Variable::ClientAddress),
    ("client.agent", Variable::ClientAgent),
    ("label", Variable::Label),
    ("count", Variable::Count),
    ("changes", Variable::Changes),
];

fn variable(name: &str, node: &Node, scope: Scope<'_, '_>, findings: &mut Findings) -> Option<Variable> {
    let elsewhere = |findings: &mut Findings, hint: &str| {
        findings.error(node, format!("`${{{name}}}` means nothing here")).help(hint.to_owned());
        None
    };
    if let Some((_, variable)) = WORDS.iter().find(|(word, _)| *word == name) {
        return match variable {
            Variable::Id if !scope.id => elsewhere(findings, "the row has no key yet, or none is meant"),
            Variable::Count if !scope.count => elsewhere(findings, "it is what a guard counted, for its `says`"),
            Variable::Changes if !scope.changes => elsewhere(findings, "it stands in the `values` of a step"),
            Variable::Label if scope.outline.is_none() => elsewhere(findings, "no resource's row is meant here"),
            _ => Some(variable.clone()),
        };
    }
    if let Some(column) = name.strip_prefix("each.") {
        return each(column, node, scope, findings);
    }
    if let Some(column) = name.strip_prefix("column:") {
        let Some(outline) = scope.outline else {
            if let Each::Row(..) = scope.each {
                // The label of what a foreign key points to.
                return each(column, node, scope, findings);
            }
            return elsewhere(findings, "no resource's row is meant here");
        };
        let info = outline.relation.column(column, node, findings)?;
        outline.intern(info);
        return Some(Variable::Column(info.name.clone()));
    }
    let (path, local) = match name.strip_prefix("local_part:") {
        Some(path) => (path, true),
        None => (name, false),
    };
    let Some(outline) = scope.outline else {
        return unknown(name, node, &[], findings);
    };
    match outline.attribute(path) {
        Some(index) if local => Some(Variable::LocalPart(index)),
        Some(index) => Some(Variable::Attribute(index)),
        None => {
            let paths: Vec<String> = outline.entries.iter().map(|entry| entry.target.path()).collect();
            unknown(name, node, &paths, findings)
        }
    }
}

fn unknown(name: &str, node: &Node, paths: &[String], findings: &mut Findings) -> Option<Variable> {
    let near = {
        let words = WORDS.iter().map(|(word, _)| *word).chain(paths.iter().map(String::as_str));
        nearest(name, words).map(str::to_owned)
    };
    let finding = findings.error(node, format!("there is no `${{{name}}}`, and no attribute of that name is mapped"));
    if let Some(near) = near {
        finding.help(format!("did you mean `${{{near}}}`?"));
    }
    None
}

fn each(name: &str, node: &Node, scope: Scope<'_, '_>, findings: &mut Findings) -> Option<Variable> {
    match scope.each {
        Each::Nothing => {
            findings
                .error(node, format!("`${{each.{name}}}` means nothing here"))
                .help("it stands in steps under `for_each`, `added`, `removed` and `changed`");
            None
        }
        Each::Change => match name {
            "old" => Some(Variable::EachOld),
            "new" => Some(Variable::EachNew),
            "code" => Some(Variable::EachCode),
            _ => {
                findings
                    .error(node, format!("`${{each.{name}}}` means nothing of a change"))
                    .help("a change has each.old, each.new and each.code");
                None
            }
        },
        Each::Changed(..) if name == "old" => Some(Variable::EachOld),
        Each::Changed(..) if name == "new" => Some(Variable::EachNew),
        Each::Row(relation, used) | Each::Changed(relation, used) => {
            let (column, label) = match name.strip_suffix(".label") {
                Some(column) => (column, true),
                None => (name, false),
            };
            let info = relation.column(column, node, findings)?;
            collect(used, info);
            let name = info.name.clone();
            Some(if label { Variable::EachLabel(name) } else { Variable::Each(name) })
        }
    }
}

/// A literal as its column's type has it; what does not fit is reported.
pub(super) fn literal(node: &Node, column: &Column, findings: &mut Findings) -> Value {
    match fitted(node, column) {
        Ok(value) => value,
        Err(problem) => {
            findings.error(
                node,
                format!("{} {problem}: the column `{}` {}", node.found(), column.name, holds(&column.kind)),
            );
            Value::Null
        }
    }
}

fn fitted(node: &Node, column: &Column) -> Result<Value, String> {
    let text = text_of(node);
    let problem = |what: &str| Err(what.to_owned());
    if node.is_null() {
        return Ok(Value::Null);
    }
    if matches!(node.data(), Data::Sequence(_) | Data::Mapping(_)) {
        return match (&column.kind, serde_json::to_string(&node.to_yaml())) {
            (ColumnKind::Json, Ok(json)) => Ok(Value::Text(json)),
            _ => problem("is not a single value"),
        };
    }
    match &column.kind {
        ColumnKind::Text(room) => match (node.data(), room) {
            (Data::Bool(_), _) => problem("is a truth value and not text (put it in quotes if the word is meant)"),
            (_, Some(room)) if u64::try_from(text.chars().count()).unwrap_or(u64::MAX) > *room => {
                problem("is too long")
            }
            _ => Ok(Value::Text(text)),
        },
        ColumnKind::Integer { min, max } => {
            let number: i128 = match node.data() {
                Data::Bool(value) => i128::from(*value),
                _ => text.trim().parse().map_err(|_| "is not a whole number".to_owned())?,
            };
            if number < *min || number > *max {
                return problem("is out of range");
            }
            i64::try_from(number)
                .map(Value::Int)
                .or_else(|_| u64::try_from(number).map(Value::UInt))
                .map_err(|_| "is out of range".to_owned())
        }
        ColumnKind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => problem("is neither true nor false"),
        },
        ColumnKind::Decimal if text.trim().parse::<f64>().is_ok() => Ok(Value::Text(text.trim().to_owned())),
        ColumnKind::Float => text.trim().parse().map(Value::Float).map_err(|_| "is not a number".to_owned()),
        ColumnKind::Decimal => problem("is not a number"),
        ColumnKind::DateTime => match wall_clock(text.trim()) {
            Some(wall) => Ok(Value::DateTime(wall)),
            None => problem("is not a date and time"),
        },
        ColumnKind::Instant => match DateTime::parse_from_rfc3339(text.trim()) {
            Ok(at) => Ok(Value::Instant(at.to_utc())),
            Err(_) => match wall_clock(text.trim()) {
                Some(wall) => Ok(Value::Instant(wall.and_utc())),
                None => problem("is not a date and time"),
            },
        },
        ColumnKind::Date => match wall_clock(text.trim()) {
            Some(wall) => Ok(Value::Date(wall.date())),
            None => problem("is not a date"),
        },
        ColumnKind::Binary(_) => Ok(Value::Bytes(text.into_bytes())),
        ColumnKind::Enum(labels) if !labels.contains(&text) => {
            match nearest(&text, labels.iter().map(String::as_str)) {
                Some(near) => Err(format!("is not one of its labels (did you mean `{near}`?)")),
                None => problem("is not one of its labels"),
            }
        }
        ColumnKind::Uuid if uuid::Uuid::parse_str(text.trim()).is_err() => problem("is not a UUID"),
        ColumnKind::Enum(_) | ColumnKind::Uuid | ColumnKind::Json | ColumnKind::Other => Ok(Value::Text(text)),
    }
}

/// What a column can hold, in words.
pub(super) fn holds(kind: &ColumnKind) -> String {
    match kind {
        ColumnKind::Text(Some(room)) => format!("holds at most {room} characters"),
        ColumnKind::Text(None) => "holds text".to_owned(),
        ColumnKind::Integer { min, max } => format!("holds whole numbers from {min} to {max}"),
        ColumnKind::Boolean => "holds true or false".to_owned(),
        ColumnKind::Decimal | ColumnKind::Float => "holds a number".to_owned(),
        ColumnKind::DateTime | ColumnKind::Instant => "holds a date and time".to_owned(),
        ColumnKind::Date => "holds a date".to_owned(),
        ColumnKind::Binary(_) => "holds bytes".to_owned(),
        ColumnKind::Json => "holds a JSON document".to_owned(),
        ColumnKind::Uuid => "holds a UUID".to_owned(),
        ColumnKind::Enum(labels) => format!("holds one of {}", labels.join(", ")),
        ColumnKind::Other => "holds a type of its own".to_owned(),
    }
}

/// A value that belongs to no column: codes, and what an attribute is compared with.
pub(super) fn loose(node: &Node) -> Value {
    match node.data() {
        Data::Null | Data::Sequence(_) | Data::Mapping(_) => Value::Null,
        Data::Bool(value) => Value::Bool(*value),
        Data::Integer(value) => Value::Int(*value),
        Data::Float(value) => Value::Float(*value),
        Data::String(text) => Value::Text(text.clone()),
    }
}
