//! `link`: many-to-many membership.

use super::checks::{filled_or_reported, suggest_index};
use super::conditions::{all_equalities, condition};
use super::context::{Context, Each, Outline, Scope, holds};
use super::expressions::assignments;
use super::names::{Relation, compiled};
use super::steps::steps;
use super::{Column, ColumnId, Link};
use crate::document::{Findings, Kind, Node, Reader};
use std::cell::RefCell;

pub(super) fn link(node: &Node, outline: &Outline<'_>, context: &Context<'_>, findings: &mut Findings) -> Option<Link> {
    let mut reader = Reader::mapping(node, findings)?;
    let table = reader.required("table", findings);
    let parent = reader.required("parent", findings);
    let child = reader.required("child", findings);
    let resource = reader.required("resource", findings);
    let filter = reader.given("where");
    let leave = reader.given("leave");
    let set = reader.given("set");
    let added = reader.given("added");
    let removed = reader.given("removed");
    let touch = reader.boolean("touch", findings).unwrap_or(false);
    let delete = reader.given("delete");
    reader.finish(findings);

    let relation = context.names.table(table?, findings);
    let member = context.resource(resource?, findings);
    let (relation, member) = (relation?, member?);
    let parent_node = parent?;
    let child_node = child?;
    let parent = end(parent_node, &relation, outline, findings);
    let child = end(child_node, &relation, member, findings);
    let (parent, child) = (parent?, child?);

    let filter = condition(filter, &relation, Scope::plain(), context, findings);
    if !filter.is_static() {
        findings.error(node, "`where` of a link means the same for every request: no `${...}` of one");
    }
    let leave = leave.map(|leave| condition(Some(leave), &relation, Scope::plain(), context, findings));
    let used = RefCell::new(Vec::new());
    let scope = Scope { each: Each::Row(&relation, &used), ..Scope::change(outline) };
    let mut set = assignments(set, &relation, scope, context, findings);
    for (column, value) in all_equalities(&filter) {
        if !holds(&set, &column.name) {
            set.push((column, value));
        }
    }
    let remove_sets = match delete.map(|delete| (delete, delete.as_str())) {
        None | Some((_, Some("row"))) => Vec::new(),
        Some((delete, _)) => match Reader::mapping(delete, findings) {
            Some(mut reader) => {
                let set = reader.required("set", findings);
                reader.finish(findings);
                assignments(set, &relation, scope, context, findings)
            }
            None => Vec::new(),
        },
    };
    let mut value_is_unique = false;
    if !remove_sets.is_empty() {
        let removed: Vec<_> = remove_sets.iter().map(|(column, _)| &column.name).collect();
        super::rows::hides(&filter, &removed, node, findings);
        let pair = [&parent.0.name, &child.0.name];
        let indexes = relation.info.indexes.iter().filter(|index| index.unique).map(|index| &index.columns);
        value_is_unique = indexes
            .chain([&relation.info.primary_key])
            .any(|columns| !columns.is_empty() && columns.iter().all(|column| pair.contains(&column)));
    }
    let mut filled: Vec<_> = set.iter().map(|(column, _)| &column.name).collect();
    filled.extend([&parent.0.name, &child.0.name]);
    filled_or_reported(&relation, &filled, node, "the link's `set`", findings);
    suggest_index(&relation, &parent.0.name, parent_node, context, findings);
    suggest_index(&relation, &child.0.name, child_node, context, findings);
    let added = steps(added, scope, context, findings);
    let removed = steps(removed, scope, context, findings);
    let ends = [parent.0.name.clone(), child.0.name.clone()];
    let each = used.take().into_iter().filter(|column| !ends.contains(&column.name)).collect();
    Some(Link {
        parent,
        child,
        resource_type: member.resource.clone(),
        filter,
        leave,
        set,
        added,
        removed,
        each,
        remove_sets,
        value_is_unique,
        touch,
        table: relation.table.clone(),
    })
}

/// `column` or `{ column, key }`.
pub(super) fn end(
    node: &Node,
    relation: &Relation<'_>,
    resource: &Outline<'_>,
    findings: &mut Findings,
) -> Option<(Column, ColumnId)> {
    if node.kind() != Kind::Mapping {
        return Some((compiled(relation.named(node, findings)?), 0));
    }
    let mut reader = Reader::mapping(node, findings)?;
    let column = reader.required("column", findings);
    let key = reader.given("key");
    reader.finish(findings);
    let column = compiled(relation.named(column?, findings)?);
    let key = match key {
        Some(key) => resource.intern(resource.relation.named(key, findings)?),
        None => 0,
    };
    Some((column, key))
}
