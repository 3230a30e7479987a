//! Steps and guards: the statements beside a change, and the counts that must hold before it.

use super::checks::filled_or_reported;
use super::conditions::{condition, when};
use super::context::{Context, Each, Scope};
use super::document::text_of;
use super::expressions::{assignments, loose, template};
use super::names::{Relation, compiled};
use super::{Action, Column, ColumnId, Condition, EachRow, ForEach, Guard, Step};
use crate::document::{Findings, Node, Reader};
use crate::sql::Value;
use std::cell::RefCell;

/// A list of steps; those switched off are left out.
pub(super) fn steps(
    node: Option<&Node>,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Vec<Step> {
    let items = node.and_then(|node| node.read_items(findings)).unwrap_or_default();
    items.iter().filter_map(|item| step(item, scope, context, findings)).collect()
}

fn step(node: &Node, outer: Scope<'_, '_>, context: &Context<'_>, findings: &mut Findings) -> Option<Step> {
    let mut reader = Reader::mapping(node, findings)?;
    let enabled = reader.boolean("enabled", findings).unwrap_or(true);
    let actions: Vec<(&str, &Node)> = ["insert", "update", "delete"]
        .into_iter()
        .filter_map(|word| reader.optional(word).map(|table| (word, table)))
        .collect();
    let values = reader.given("values");
    let filter = reader.given("where");
    let when_node = reader.given("when");
    let if_absent = reader.boolean("if_absent", findings).unwrap_or(false);
    let for_each = reader.given("for_each");
    let of = reader.given("of");
    reader.finish(findings);
    let [(word, table)] = actions.as_slice() else {
        findings.error(node, "a step does one thing: one of `insert`, `update` and `delete`, with a table");
        return None;
    };
    let relation = context.names.table(table, findings)?;

    let each = for_each.and_then(|node| read_for_each(node, outer, context, findings));
    let used = RefCell::new(Vec::new());
    let changes = Scope { changes: outer.outline.is_some(), ..outer };
    let scope = match &each {
        Some(Over::Change) => Scope { each: Each::Change, ..changes },
        Some(Over::Rows(rows)) => Scope { each: Each::Row(&rows.relation, &used), ..changes },
        None => changes,
    };
    let assigned = assignments(values, &relation, scope, context, findings);
    let condition = condition(filter, &relation, scope, context, findings);
    let place = values.unwrap_or(node);
    let action = match *word {
        "insert" => {
            if let Some(filter) = filter {
                findings.error(filter, "an insert has no `where`").help("`if_absent: true` looks before it inserts");
            }
            let filled: Vec<_> = assigned.iter().map(|(column, _)| &column.name).collect();
            filled_or_reported(&relation, &filled, place, "`values`", findings);
            Action::Insert(assigned)
        }
        _ if filter.is_none() => {
            findings.error(node, format!("the {word} of `{}` has no `where`: it would take every row", relation.table));
            return None;
        }
        "update" => {
            if assigned.is_empty() {
                findings.error(node, "an update needs `values`");
            }
            Action::Update(assigned, condition)
        }
        _ => {
            if let Some(values) = values {
                findings.error(values, "a delete has no `values`");
            }
            Action::Delete(condition)
        }
    };
    if if_absent && *word != "insert" {
        findings.error(node, "`if_absent` is for `insert`");
    }
    let when = when(when_node, Scope { each: Each::Nothing, ..outer }, context, findings);
    if when_node.is_some() && when.is_none() {
        findings.error(node, "`when` means nothing here: no change of a resource is meant");
    }
    let of = read_of(of, outer, findings);
    enabled.then_some(Step {
        table: relation.table,
        action,
        when,
        if_absent,
        for_each: match each {
            None => ForEach::Once,
            Some(Over::Change) => ForEach::Change,
            Some(Over::Rows(rows)) => {
                let OverRows { relation, filter, first } = *rows;
                ForEach::Rows(Box::new(EachRow { table: relation.table, filter, columns: used.into_inner(), first }))
            }
        },
        of,
    })
}

/// `for_each`, before it is known which columns the step uses.
enum Over<'a> {
    Change,
    Rows(Box<OverRows<'a>>),
}

/// The rows of another table.
struct OverRows<'a> {
    relation: Relation<'a>,
    filter: Condition,
    first: Option<Column>,
}

fn read_for_each<'a>(
    node: &Node,
    scope: Scope<'_, 'a>,
    context: &Context<'a>,
    findings: &mut Findings,
) -> Option<Over<'a>> {
    if node.as_str() == Some("change") {
        if scope.outline.is_none() {
            findings.error(node, "no change of a resource is meant here");
        }
        return Some(Over::Change);
    }
    if node.as_str().is_some() {
        findings.error(node, format!("expected `change` or a mapping, found {}", node.found()));
        return None;
    }
    let mut reader = Reader::mapping(node, findings)?;
    let table = reader.required("table", findings);
    let filter = reader.given("where");
    let first = reader.given("first");
    reader.finish(findings);
    let relation = context.names.table(table?, findings)?;
    let filter = condition(filter, &relation, scope, context, findings);
    let first = first.and_then(|first| relation.named(first, findings)).map(compiled);
    Some(Over::Rows(Box::new(OverRows { relation, filter, first })))
}

/// `of`: a list of columns, or a map of columns and their codes.
fn read_of(node: Option<&Node>, scope: Scope<'_, '_>, findings: &mut Findings) -> Vec<(ColumnId, Option<Value>)> {
    let (Some(node), Some(outline)) = (node, scope.changing.or(scope.outline)) else {
        return Vec::new();
    };
    let mut of = Vec::new();
    for (key, code) in node.entries() {
        if let Some(info) = outline.relation.column(&key.text, key, findings) {
            of.push((outline.intern(info), Some(loose(code))));
        }
    }
    if node.entries().is_empty() {
        for item in node.one_or_many() {
            if let Some(info) = outline.relation.column(&text_of(item), item, findings) {
                of.push((outline.intern(info), None));
            }
        }
    }
    of
}

/// A list of guards, or one.
pub(super) fn guards(
    node: Option<&Node>,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Vec<Guard> {
    let items = node.map(Node::one_or_many).unwrap_or_default();
    items.iter().filter_map(|item| guard(item, scope, context, findings)).collect()
}

fn guard(node: &Node, scope: Scope<'_, '_>, context: &Context<'_>, findings: &mut Findings) -> Option<Guard> {
    let mut reader = Reader::mapping(node, findings)?;
    let enabled = reader.boolean("enabled", findings).unwrap_or(true);
    let count = reader.required("count", findings);
    let at_most = reader.integer("at_most", findings);
    let at_least = reader.integer("at_least", findings);
    let when_node = reader.given("when");
    let says = reader.required("says", findings);
    reader.finish(findings);
    if at_most.is_none() && at_least.is_none() {
        findings.error(node, "a guard needs `at_most` or `at_least`");
    }
    let when = when(when_node, scope, context, findings);
    let mut reader = Reader::mapping(count?, findings)?;
    let table = reader.required("table", findings);
    let filter = reader.given("where");
    reader.finish(findings);
    let relation = context.names.table(table?, findings)?;
    let filter = condition(filter, &relation, scope, context, findings);
    let says = template(says?, Scope { count: true, ..scope }, findings)?;
    enabled.then_some(Guard { when, table: relation.table, filter, at_most, at_least, says })
}
