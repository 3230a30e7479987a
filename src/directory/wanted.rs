//! What the client wants of each mapped attribute, taken out of a resource.

use super::plan::{Shape, SlotPlan, SourcePlan};
use super::rows;
use crate::adapter::{Binding, Slot, Source};
use crate::scim::Object;
use serde_json::Value as Json;

/// The values of a source's attributes as a resource has them, by attribute; references as bare ids.
/// `None` is absent. Links, templates and constants are never wanted.
pub(super) fn wanted(source: &Source, plan: &SourcePlan, resource: &Object) -> Vec<Option<Json>> {
    let mut values: Vec<Option<Json>> = vec![None; source.attributes.len()];
    let mut put = |index: usize, value: Option<Json>| {
        let writable = source.attributes.get(index).is_some_and(|attribute| {
            !matches!(attribute.binding, Binding::Template(_) | Binding::Constant(_) | Binding::Link(_))
        });
        if let (true, Some(place)) = (writable, values.get_mut(index)) {
            *place = value;
        }
    };
    if let Some(index) = plan.external_id {
        put(index, resource.get("externalId").filter(|value| !is_empty(value)).cloned());
    }
    for field in &plan.fields {
        let value = rows::get(resource, field.extension.as_deref(), &field.name, None);
        match &field.shape {
            Shape::Simple(index) | Shape::Rows(index) => put(*index, value.filter(|value| !is_empty(value)).cloned()),
            Shape::Reference { attribute, .. } => {
                let id = match value {
                    Some(Json::Object(object)) => object.get("value"),
                    other => other,
                };
                put(*attribute, id.filter(|id| !is_empty(id)).cloned());
            }
            Shape::Complex(subs) => {
                for (sub, index) in subs {
                    let value = value.and_then(|value| value.get(sub));
                    put(*index, value.filter(|value| !is_empty(value)).cloned());
                }
            }
            Shape::Slots(slots) => {
                let elements = value.and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
                for slot in slots {
                    let element = element(slot, slots, elements);
                    for (sub, index) in &slot.subs {
                        let value = element.and_then(|element| element.get(sub));
                        put(*index, value.filter(|value| !is_empty(value)).cloned());
                    }
                }
            }
        }
    }
    values
}

/// The element that a slot takes: the one its filter names, else the primary, else the first, of those
/// that no other slot takes.
pub(super) fn element<'a>(slot: &SlotPlan, all: &[SlotPlan], elements: &'a [Json]) -> Option<&'a Json> {
    match &slot.slot {
        Slot::Where { sub, value } => elements.iter().find(|element| is(element, sub, value)),
        Slot::Only => {
            let mut free = elements.iter().filter(|element| {
                !all.iter().any(|other| matches!(&other.slot, Slot::Where { sub, value } if is(element, sub, value)))
            });
            let primary = free.clone().find(|element| element.get("primary") == Some(&Json::Bool(true)));
            primary.or_else(|| free.next())
        }
    }
}

fn is(element: &Json, sub: &str, value: &str) -> bool {
    element.get(sub).and_then(Json::as_str).is_some_and(|found| found.eq_ignore_ascii_case(value))
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(all) => all.is_empty(),
        Json::Object(all) => all.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
}
