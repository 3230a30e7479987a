//! What a column altered is given back as the client sent it: after a write the columns are compared
//! with what was asked for, and the difference is kept in our own tables.

use super::change::Writing;
use super::child_rows;
use super::plan::{Field, Shape};
use super::read::Found;
use super::rows::{self, Altered, Document, Element, RowReader};
use super::transaction::Fault;
use super::wanted;
use super::{Directory, plan};
use crate::adapter::{Binding, RowFieldValue, Rows, Slot, Source};
use crate::scim::Object;
use crate::sql::{Connection, Value};
use serde_json::Value as Json;

impl Directory {
    /// Brings the sidecar's document up to date after a write; whether it changed, and the resource is to be
    /// read again. `before` is the resource as it was, `after` as the client wants it, `found` as it was read back.
    pub(super) fn keep_forms(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        reader: &RowReader<'_>,
        before: Option<&Object>,
        after: &Object,
        found: &Found,
    ) -> Result<bool, Fault> {
        let row = &found.row;
        let old = Document::parse(row.0.get(reader.reading.sidecar));
        let mut new = Document::default();
        for attribute in &writing.place.source.attributes {
            if matches!(attribute.binding, Binding::Sidecar(_)) && !plan::is_external_id(attribute) {
                let target = &attribute.target;
                let of = |resource| {
                    rows::get(resource, target.extension.as_deref(), &target.attribute, target.sub.as_deref())
                };
                let (was, is) = (before.and_then(of), of(after));
                let path = rows::path(attribute);
                // What a template showed and nobody asked for is not kept as if it were the client's.
                let kept = if before.is_some() && was == is { old.kept.get(&path) } else { is };
                if let Some(value) = kept {
                    new.kept.insert(path, value.clone());
                }
            }
        }
        let mut resource = reader.derived(&row.0, &new);
        for (attribute, all) in &found.children {
            if let Some(rows) = child_rows::rows_of(&writing.place, *attribute) {
                reader.put_rows(&mut resource, *attribute, reader.rows_value(*attribute, rows, all), None);
            }
        }
        for field in &writing.place.plan.fields {
            if field.read_only {
                continue;
            }
            let extension = field.extension.as_deref();
            for (path, sub) in field.paths() {
                let client = rows::get(after, extension, &field.name, sub);
                let was = before.and_then(|before| rows::get(before, extension, &field.name, sub));
                if before.is_some() && was == client {
                    // Nobody asked for anything here: what is known stays, and so does what is out of date,
                    // because the columns win over that anyway.
                    if let Some(known) = old.altered.get(&path) {
                        new.altered.insert(path.clone(), known.clone());
                    }
                    let within = format!("{path}[");
                    let known = old.elements.iter().filter(|(key, _)| **key == path || key.starts_with(&within));
                    new.elements.extend(known.map(|(key, element)| (key.clone(), element.clone())));
                    continue;
                }
                let column = rows::get(&resource, extension, &field.name, sub).cloned().unwrap_or(Json::Null);
                if column.is_null() && is_looked_up(writing.place.source, &path) {
                    // What was not found was cleared (`missing: clear`): it is not there, whoever said it.
                    continue;
                }
                let client = client.and_then(|value| {
                    fitting(
                        writing.place.source,
                        field,
                        value,
                        &column,
                        was.filter(|_| !old.altered.contains_key(&path)),
                    )
                });
                let Some(client) = client else { continue };
                if !same(field, &client, &column) {
                    new.elements.extend(elements(field, &path, &column, &client));
                    new.altered.insert(path, Altered { column, client });
                }
            }
        }
        let changed = new != old;
        if changed {
            let key = row.0.first().cloned().unwrap_or_default();
            let id = key.to_text().unwrap_or_default();
            let kind = &writing.place.plan.kind;
            let text = if new.is_empty() { None } else { Some(serde_json::to_string(&new).unwrap_or_default()) };
            self.own.set_document(connection, kind, &id, text.as_deref())?;
        }
        Ok(changed)
    }

    /// Marks a resource as gone though its row stays.
    pub(super) fn bury(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        id: &str,
        reason: &str,
    ) -> Result<(), Fault> {
        let server = &writing.caller.server.name;
        self.own.add_tombstone(connection, &writing.place.plan.kind, id, server, reason)?;
        Ok(())
    }

    /// Keeps the externalId of this client, where no column of the application does.
    pub(super) fn keep_external_id(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        key: &Value,
        external_id: Option<&Json>,
    ) -> Result<(), Fault> {
        let place = writing.place;
        if place.plan.reading(writing.caller.server.default).external_id.is_none() {
            return Ok(());
        }
        let id = key.to_text().unwrap_or_default();
        let external_id = external_id.and_then(Json::as_str);
        self.own.set_external_id(connection, &writing.caller.server.name, &place.plan.kind, &id, external_id)?;
        Ok(())
    }
}

/// The element in each slot of an attribute, as the columns give it and as the client said it; none where they do not fill
/// the same slots.
fn elements(field: &Field, path: &str, column: &Json, client: &Json) -> Vec<(String, Element)> {
    let Shape::Slots(slots) = &field.shape else { return Vec::new() };
    let (Json::Array(column), Json::Array(client)) = (column, client) else { return Vec::new() };
    let mut all = Vec::new();
    for slot in slots {
        let of = |elements| wanted::element(slot, slots, elements).and_then(Json::as_object).cloned();
        match (of(column), of(client)) {
            (Some(column), Some(client)) => all.push((slot_path(path, &slot.slot), Element { column, client })),
            (None, None) => {}
            _ => return Vec::new(),
        }
    }
    all
}

/// What an element is kept under.
pub(super) fn slot_path(path: &str, slot: &Slot) -> String {
    match slot {
        Slot::Only => path.to_owned(),
        Slot::Where { value, .. } => format!("{path}[{value}]"),
    }
}

fn is_looked_up(source: &Source, path: &str) -> bool {
    source
        .attributes
        .iter()
        .any(|attribute| matches!(attribute.binding, Binding::Lookup(_)) && rows::path(attribute) == path)
}

/// The part of a client's value that the table has room for: elements that fit no slot are not mapped.
/// What the adapter says of an element for good stands in it where the client said nothing.
fn fitting(source: &Source, field: &Field, value: &Json, column: &Json, was: Option<&Json>) -> Option<Json> {
    let slots = match &field.shape {
        Shape::Slots(slots) => slots,
        Shape::Rows(index) => {
            return match source.attributes.get(*index).map(|attribute| &attribute.binding) {
                Some(Binding::Rows(rows)) => Some(as_shown(rows, value, column, was)),
                _ => None,
            };
        }
        _ => return Some(value.clone()),
    };
    let elements = value.as_array()?;
    let taken: Vec<_> = slots.iter().filter_map(|slot| Some((wanted::element(slot, slots, elements)?, slot))).collect();
    let mut kept = Vec::new();
    for element in elements {
        let Some((_, slot)) = taken.iter().find(|(taken, _)| std::ptr::eq(*taken, element)) else {
            continue;
        };
        let mut element = element.clone();
        if let Json::Object(element) = &mut element {
            for (sub, index) in &slot.subs {
                let binding = source.attributes.get(*index).map(|attribute| &attribute.binding);
                if let Some(Binding::Constant(constant)) = binding
                    && !element.contains_key(sub)
                {
                    element.insert(sub.clone(), constant.clone());
                }
            }
        }
        kept.push(element);
    }
    (!kept.is_empty()).then_some(Json::Array(kept))
}

/// Whether the columns give what the client sent. The elements of child rows are in no order, and one that is not said to be
/// primary is not.
fn same(field: &Field, client: &Json, column: &Json) -> bool {
    let (Shape::Rows(_), Json::Array(client), Json::Array(column)) = (&field.shape, client, column) else {
        return client == column;
    };
    let plain = |all: &[Json]| {
        let mut all: Vec<String> = all.iter().map(|element| without_false(element).to_string()).collect();
        all.sort_unstable();
        all
    };
    plain(client) == plain(column)
}

fn without_false(element: &Json) -> Json {
    let mut element = element.clone();
    if let Json::Object(object) = &mut element
        && object.get("primary") == Some(&Json::Bool(false))
    {
        object.remove("primary");
    }
    // In one order, whoever sent it.
    if let Json::Object(object) = &mut element {
        object.sort_keys();
    }
    element
}

/// A client's elements with what it did not say of them: what the columns compute, and what is constant. `was` are the
/// elements as the columns gave them before: what only came along from there nobody said.
fn as_shown(rows: &Rows, client: &Json, column: &Json, was: Option<&Json>) -> Json {
    let shown = column.as_array().map(Vec::as_slice).unwrap_or_default();
    let complete = |element: &Json| {
        let mut element = element.clone();
        let Json::Object(object) = &mut element else { return element };
        let value_of = |element: &Json| element.get("value").and_then(Json::as_str).map(str::to_lowercase);
        let value = object.get("value").and_then(Json::as_str).map(str::to_lowercase);
        let twin = shown.iter().find(|shown| value_of(shown) == value);
        let before = was.and_then(Json::as_array).and_then(|was| was.iter().find(|was| value_of(was) == value));
        for field in &rows.fields {
            let (Some(sub), RowFieldValue::Attribute(index)) = (&field.sub, &field.value) else { continue };
            let Some(attribute) = rows.child.attributes.get(*index) else { continue };
            match (&attribute.binding, twin.and_then(|twin| twin.get(sub))) {
                (Binding::Constant(constant), _) if !object.contains_key(sub) => {
                    object.insert(sub.clone(), constant.clone());
                }
                (Binding::Constant(_), _) => {}
                // Which is the primary one is the table's to say where it always has one.
                (_, Some(known)) if rows.exactly_one_primary == Some(*index) => {
                    object.insert(sub.clone(), known.clone());
                }
                (_, Some(known)) if attribute.schema.is_read_only() => {
                    let came_along = before.is_some_and(|before| before.get(sub) == object.get(sub));
                    if came_along || !object.contains_key(sub) {
                        object.insert(sub.clone(), known.clone());
                    }
                }
                _ => {}
            }
        }
        element
    };
    match client {
        // One value alone is kept of several.
        Json::Array(all) if rows.single => {
            let primary = all.iter().find(|element| element.get("primary") == Some(&Json::Bool(true)));
            Json::Array(primary.or(all.first()).into_iter().map(complete).collect())
        }
        Json::Array(all) => Json::Array(all.iter().map(complete).collect()),
        other => other.clone(),
    }
}
