//! What a column altered is given back as the client sent it: after a write the columns are compared
//! with what was asked for, and the difference is kept in our own tables.

use super::change::Writing;
use super::plan::{Field, Shape};
use super::rows::{self, Altered, Document, RowReader};
use super::transaction::Fault;
use super::wanted;
use super::{Directory, plan};
use crate::adapter::{Binding, Source};
use crate::scim::Object;
use crate::sql::{Connection, Row, Value};
use serde_json::Value as Json;

impl Directory {
    /// Brings the sidecar's document up to date after a write; whether it changed, and the resource is to be
    /// read again. `before` is the resource as it was, `after` as the client wants it, `row` as it was read back.
    pub(super) fn keep_forms(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        reader: &RowReader<'_>,
        before: Option<&Object>,
        after: &Object,
        row: &Row,
    ) -> Result<bool, Fault> {
        let old = Document::parse(row.0.get(reader.reading.sidecar));
        let mut new = Document::default();
        for attribute in &writing.place.source.attributes {
            if matches!(attribute.binding, Binding::Sidecar) && !plan::is_external_id(attribute) {
                let target = &attribute.target;
                let value = rows::get(after, target.extension.as_deref(), &target.attribute, target.sub.as_deref());
                if let Some(value) = value {
                    new.kept.insert(rows::path(attribute), value.clone());
                }
            }
        }
        let resource = reader.derived(&row.0, &new);
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
                        new.altered.insert(path, known.clone());
                    }
                    continue;
                }
                let client = client.and_then(|value| fitting(writing.place.source, field, value));
                let Some(client) = client else { continue };
                let column = rows::get(&resource, extension, &field.name, sub).cloned().unwrap_or(Json::Null);
                if column.is_null() && is_looked_up(writing.place.source, &path) {
                    // What was not found was cleared (`missing: clear`): it is not there, whoever said it.
                    continue;
                }
                if client != column {
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

fn is_looked_up(source: &Source, path: &str) -> bool {
    source
        .attributes
        .iter()
        .any(|attribute| matches!(attribute.binding, Binding::Lookup(_)) && rows::path(attribute) == path)
}

/// The part of a client's value that the table has room for: elements that fit no slot are not mapped.
/// What the adapter says of an element for good stands in it where the client said nothing.
fn fitting(source: &Source, field: &Field, value: &Json) -> Option<Json> {
    let Shape::Slots(slots) = &field.shape else {
        return Some(value.clone());
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
