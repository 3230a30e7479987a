//! Values in child tables: read one statement a page for each such attribute, and put together as elements.
//!
//! What a write must know of them (which are there, which are left alone) is read here too; writing is `child_change.rs`'s.

use super::plan::{Joined, MAIN, Reader};
use super::rows::{self, Document};
use super::transaction::Fault;
use super::update::Change;
use super::{Directory, Place, blank_environment};
use crate::adapter::{Aliases, Binding, Composed, RowField, RowFieldValue, Rows};
use crate::scim::Object;
use crate::sql::{Connection, Expr, Order, Predicate, Row, Select, Statement, Value};
use serde_json::Value as Json;
use std::collections::HashMap;

/// How one child table is read.
pub(super) struct ChildPlan {
    /// The attribute of the resource.
    pub attribute: usize,
    /// Its rows: the child's columns, what is joined to them, and last whether the row is left alone.
    select: Select,
    /// Where each field's joined values stand in such a row.
    joined: Vec<Option<Joined>>,
}

/// One row of a child table.
#[derive(Clone)]
pub(super) struct ChildRow {
    /// The child's columns.
    pub row: Vec<Value>,
    /// The values of the child's attributes.
    pub values: Vec<Option<Json>>,
    /// Shown, and never changed.
    pub left: bool,
}

/// The child rows of one resource, by attribute; those that were not asked for are not there.
pub(super) type ChildRows = HashMap<usize, Vec<ChildRow>>;

impl ChildPlan {
    /// Compiles the statement; `reader` is one of the child table.
    pub fn new(attribute: usize, rows: &Rows, reader: &Reader<'_>) -> Self {
        let mut aliases = Aliases::from(1);
        let mut select = Select::new(rows.child.table.clone(), MAIN, Vec::new());
        let joined = add_joins(rows, reader, &mut select, &mut aliases);
        select.columns.push(match &rows.leave {
            Some(leave) => Expr::Flag(Box::new(reader.environment.predicate(leave, Some(MAIN), &mut aliases))),
            None => Expr::Number(0),
        });
        select.filter = reader.environment.predicate(&rows.child.filter, Some(MAIN), &mut aliases);
        let keys = rows.keys.iter().filter_map(|id| rows.child.columns.get(*id));
        select.order = keys.map(|key| Order { by: Expr::column(MAIN, &key.name), descending: false }).collect();
        Self { attribute, select, joined }
    }
}

/// Selects the child's columns, and joins what its attributes show of other tables.
pub(super) fn add_joins(
    rows: &Rows,
    reader: &Reader<'_>,
    select: &mut Select,
    aliases: &mut Aliases,
) -> Vec<Option<Joined>> {
    let columns = rows.child.columns.iter().map(|column| Expr::column(reader.main, &column.name));
    select.columns = columns.collect();
    let attributes = rows.child.attributes.iter();
    attributes.map(|attribute| reader.join(attribute, &mut select.columns, &mut select.joins, aliases)).collect()
}

/// The rows behind an attribute, if it has such.
pub(super) fn rows_of<'a>(place: &Place<'a>, attribute: usize) -> Option<&'a Rows> {
    match &place.source.attributes.get(attribute)?.binding {
        Binding::Rows(rows) => Some(rows),
        _ => None,
    }
}

impl Directory {
    /// The rows of one child table that belong to resources with these keys, by the text of the key.
    pub(super) fn child_rows(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        plan: &ChildPlan,
        parents: &[Row],
    ) -> Result<HashMap<String, Vec<ChildRow>>, Fault> {
        let mut found: HashMap<String, Vec<ChildRow>> = HashMap::new();
        let Some(rows) = rows_of(place, plan.attribute) else {
            return Ok(found);
        };
        let Some(column) = rows.child.columns.get(rows.parent.0) else {
            return Ok(found);
        };
        let keys = parents.iter().filter_map(|row| row.0.get(rows.parent.1)).filter(|key| !key.is_null());
        let mut keys: Vec<Expr> = keys.map(|key| Expr::Value(key.clone(), column.cast.clone())).collect();
        let near = Expr::column(MAIN, &column.name);
        let of = match (keys.len(), keys.pop()) {
            (_, None) => return Ok(found),
            (1, Some(key)) => Predicate::eq(near, key),
            (_, Some(key)) => {
                keys.push(key);
                Predicate::In(near, keys)
            }
        };
        let mut select = plan.select.clone();
        select.filter = of.and(select.filter);
        let environment = blank_environment(&self.adapter);
        let nothing = Document::default();
        for mut row in connection.query(&Statement::Select(select), &self.params(Value::Null, ""))? {
            let left = row.0.pop().and_then(|flag| flag.as_int()) == Some(1);
            let values =
                rows::attribute_values(&self.adapter, &rows.child, &plan.joined, &row.0, &nothing, &environment);
            row.0.truncate(rows.child.columns.len());
            // What shows nothing (a key outside a lookup's `where`) is nobody's to remove.
            let left = left || !has_value(rows, &values);
            let parent = row.0.get(rows.parent.0).and_then(Value::to_text);
            if let Some(parent) = parent {
                found.entry(parent).or_default().push(ChildRow { row: row.0, values, left });
            }
        }
        if rows.single {
            found.values_mut().for_each(|all| all.sort_by_key(|row| preference(rows, row)));
        }
        Ok(found)
    }
}

/// Of several rows where SCIM has one value: ours before those that are left alone, the primary before others. A filter
/// asks the same way, see `child_filter.rs`.
fn preference(rows: &Rows, row: &ChildRow) -> (bool, bool) {
    let primary = rows.primary.and_then(|index| row.values.get(index)?.as_ref());
    (row.left, primary != Some(&Json::Bool(true)))
}

/// The attribute's value; `None` without any row.
pub(super) fn value_of(rows: &Rows, all: &[ChildRow], many: bool) -> Option<Json> {
    let mut elements = all.iter().filter_map(|row| element(rows, &row.values));
    if !many {
        return elements.next();
    }
    let elements: Vec<Json> = if rows.single { elements.take(1).collect() } else { elements.collect() };
    (!elements.is_empty()).then_some(Json::Array(elements))
}

/// Whether a row shows a value.
fn has_value(rows: &Rows, values: &[Option<Json>]) -> bool {
    let there = |index: &usize| values.get(*index).is_some_and(Option::is_some);
    rows.fields.iter().any(|field| match (&field.value, &field.sub) {
        (RowFieldValue::Composed(_), _) => field_value(field, values).is_some(),
        (RowFieldValue::Attribute(index), _) => rows.identity.contains(index) && there(index),
    })
}

/// One element, from the values of the child's attributes; nothing where the row shows no value.
pub(super) fn element(rows: &Rows, values: &[Option<Json>]) -> Option<Json> {
    if !has_value(rows, values) {
        return None;
    }
    let mut element = Object::new();
    for field in &rows.fields {
        let Some(value) = field_value(field, values) else { continue };
        match &field.sub {
            None => return Some(value),
            Some(sub) => {
                element.insert(sub.clone(), value);
            }
        }
    }
    (!element.is_empty()).then_some(Json::Object(element))
}

/// One sub-attribute of an element.
pub(super) fn field_value(field: &RowField, values: &[Option<Json>]) -> Option<Json> {
    match &field.value {
        RowFieldValue::Attribute(index) => values.get(*index)?.clone(),
        RowFieldValue::Composed(composed) => composed.join(&part_texts(composed, values)).map(Json::String),
    }
}

/// The texts of the parts of a composed value.
fn part_texts(composed: &Composed, values: &[Option<Json>]) -> Vec<Option<String>> {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    composed.parts.iter().map(|part| values.get(part.attribute)?.as_ref().map(text)).collect()
}

/// What versions are made of: every column of every row.
pub(super) fn digest(attribute: usize, all: &[ChildRow]) -> impl Iterator<Item = String> + '_ {
    all.iter().map(move |row| {
        let columns: Vec<Option<String>> = row.row.iter().map(Value::to_text).collect();
        // Joined values change with other tables: what is shown counts too.
        format!("{attribute}:{columns:?}{:?}", row.values)
    })
}

/// The attributes in child rows that a body does not name. An empty list names, and empties.
pub(super) fn unnamed(place: &Place<'_>, body: &Object) -> Vec<usize> {
    let children = place.plan.children.iter().map(|child| child.attribute);
    let named = |index: &usize| {
        place.source.attributes.get(*index).is_some_and(|attribute| names(body, &attribute.target.attribute))
    };
    children.filter(|index| !named(index)).collect()
}

/// Whether a key of the body, or of an extension's object in it, is this attribute, with a URN before it or without.
fn names(body: &Object, attribute: &str) -> bool {
    body.iter().any(|(key, value)| {
        let last = key.rsplit(':').next().unwrap_or(key);
        let inside = key.contains(':').then(|| value.as_object()).flatten();
        last.eq_ignore_ascii_case(attribute) || inside.is_some_and(|inside| names(inside, attribute))
    })
}

/// The attributes in child rows that a change may concern: they are read before it.
pub(super) fn concerned(place: &Place<'_>, change: &Change<'_>) -> Vec<usize> {
    let children = place.plan.children.iter().map(|child| child.attribute);
    match change {
        Change::Deactivate => Vec::new(),
        Change::Replace { left, .. } => children.filter(|index| !left.contains(index)).collect(),
        Change::Patch(patch) | Change::Merge(patch) | Change::Complete(patch) | Change::Adopt(patch) => children
            .filter(|index| {
                let name = place.source.attributes.get(*index).map(|attribute| attribute.target.attribute.as_str());
                let name = name.unwrap_or_default().to_ascii_lowercase();
                patch.operations.iter().any(|operation| {
                    operation.path.as_ref().is_none_or(|path| {
                        let path = path.to_string().to_ascii_lowercase();
                        // A schema's URN alone stands for all of it.
                        path.contains(&name) || path.starts_with("urn:")
                    })
                })
            })
            .collect(),
    }
}
