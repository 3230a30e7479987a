//! What clients are told of a resource type: the RFC's schemas without what is not mapped, and the
//! adapter's own attributes as the catalogue types them.

use super::outline::Base;
use super::{Attribute, Binding, RowFieldValue, Rows, Slot, Source};
use crate::scim::{self, Kind, Mutability, ResourceSchema, Schema, name, urn};

/// The schema of a resource type with these sources. `own` is the URN of a type of the adapter's own.
pub(super) fn schema(
    resource: &str,
    own: Option<&str>,
    description: &str,
    base: Base,
    sources: &[Source],
) -> ResourceSchema {
    let described = |of: Option<&str>, known: Option<&Schema>| {
        let mut mapped: Vec<scim::Attribute> = Vec::new();
        let here: Vec<&Attribute> = sources
            .iter()
            .flat_map(|source| &source.attributes)
            .filter(|attribute| attribute.target.extension.as_deref() == of)
            .collect();
        for attribute in &here {
            add(&mut mapped, attribute, known);
        }
        for top in &mut mapped {
            let known = known.and_then(|schema| schema.attribute(&top.name));
            complete(top, &here, known);
        }
        // The RFC's order first, then what only the adapter has.
        let rank = |attribute: &scim::Attribute| {
            known
                .and_then(|schema| schema.attributes.iter().position(|known| name::same(&known.name, &attribute.name)))
                .unwrap_or(usize::MAX)
        };
        mapped.sort_by_key(rank);
        mapped
    };
    let mut core = base.core.clone().unwrap_or_else(|| Schema {
        id: own.map_or_else(|| format!("urn:scimshim:params:scim:schemas:core:2.0:{resource}"), str::to_owned),
        name: resource.to_owned(),
        description: description.to_owned(),
        attributes: Vec::new(),
    });
    core.attributes = described(None, base.core.as_ref());
    let mut urns: Vec<&str> = Vec::new();
    for attribute in sources.iter().flat_map(|source| &source.attributes) {
        if let Some(urn) = attribute.target.extension.as_deref()
            && !urns.contains(&urn)
        {
            urns.push(urn);
        }
    }
    let extensions = urns
        .into_iter()
        .map(|id| {
            let known = base.extensions.iter().find(|schema| schema.id == id);
            let mut schema = known.cloned().unwrap_or_else(|| Schema {
                id: id.to_owned(),
                name: format!("{} {resource}", title(id)),
                description: format!("Attributes of the application that no RFC describes, of a {resource}"),
                attributes: Vec::new(),
            });
            schema.attributes = described(Some(id), known);
            schema
        })
        .collect();
    ResourceSchema { core, extensions }
}

/// `example` of `urn:example:2.0:User`, `grokability` of `urn:ietf:params:scim:schemas:extension:grokability:2.0:User`.
fn title(id: &str) -> &str {
    id.split(':')
        .rev()
        .skip(1)
        .find(|part| !part.is_empty() && !part.starts_with(|c: char| c.is_ascii_digit()) && !name::same(part, "urn"))
        .unwrap_or(id)
}

/// Adds one mapped attribute below its top attribute.
fn add(mapped: &mut Vec<scim::Attribute>, attribute: &Attribute, known: Option<&Schema>) {
    let target = &attribute.target;
    let common = ResourceSchema::common().iter().any(|common| name::same(&common.name, &target.attribute));
    if common && target.extension.is_none() && known.is_none_or(|schema| schema.attribute(&target.attribute).is_none())
    {
        return;
    }
    let known_top = known.and_then(|schema| schema.attribute(&target.attribute));
    let whole = target.sub.is_none();
    let position = match mapped.iter().position(|top| name::same(&top.name, &target.attribute)) {
        Some(position) => position,
        None => {
            let mut top = known_top.cloned().unwrap_or_else(|| {
                let kind = if whole { attribute.schema.kind } else { Kind::Complex };
                scim::Attribute::new(&target.attribute, kind, &attribute.schema.description)
            });
            if whole {
                let subs = std::mem::take(&mut top.sub_attributes);
                top = attribute.schema.clone();
                top.sub_attributes = subs;
            } else {
                top.sub_attributes.clear();
                top.required = false;
            }
            // What is kept whole has as many values as the RFC says.
            let kept = matches!(attribute.binding, Binding::Sidecar(_)) && attribute.schema.multi_valued;
            top.multi_valued = target.slot.is_some()
                || match &attribute.binding {
                    Binding::Link(_) => true,
                    Binding::Rows(rows) => !rows.single || known_top.is_some_and(|top| top.multi_valued),
                    _ => kept,
                };
            mapped.push(top);
            mapped.len() - 1
        }
    };
    let Some(top) = mapped.get_mut(position) else { return };
    match &attribute.binding {
        Binding::Reference(reference) => pointer(top, &reference.resource_type, "displayName"),
        Binding::Link(link) => {
            pointer(top, &link.resource_type, "display");
            if let Some(type_) = known_top.and_then(|top| top.sub("type")) {
                let mut type_ = type_.clone();
                type_.canonical_values = vec![link.resource_type.clone()];
                put(top, type_);
            }
        }
        Binding::Rows(rows) => {
            top.sub_attributes = subs_of(rows);
        }
        _ if !whole => {
            put(top, attribute.schema.clone());
            if let Some(Slot::Where { sub, value }) = &target.slot {
                slot(top, sub, value, known_top);
            }
        }
        _ => {}
    }
}

/// The sub-attributes of an element that is a row.
fn subs_of(rows: &Rows) -> Vec<scim::Attribute> {
    let of = |field: &super::RowField| {
        let index = match &field.value {
            RowFieldValue::Attribute(index) => *index,
            RowFieldValue::Composed(composed) => composed.parts.first()?.attribute,
        };
        let mut sub = rows.child.attributes.get(index)?.schema.clone();
        sub.name.clone_from(field.sub.as_ref()?);
        // What stands beside a value is the client's to say where no column takes it: it is given back.
        if matches!(sub.name.as_str(), "type" | "display") && sub.is_read_only() {
            sub.mutability = Mutability::ReadWrite;
        }
        Some(sub)
    };
    rows.fields.iter().filter_map(of).collect()
}

/// A slot keeps what the client said of its element besides, and so do values that are rows: the sidecar gives it back. And
/// the RFC's order.
fn complete(top: &mut scim::Attribute, mapped: &[&Attribute], known: Option<&scim::Attribute>) {
    let Some(known) = known else { return };
    let here = || mapped.iter().filter(|attribute| name::same(&attribute.target.attribute, &top.name));
    let in_rows = top.multi_valued && here().any(|attribute| matches!(attribute.binding, Binding::Rows(_)));
    let slots: Vec<&Slot> = here().filter_map(|attribute| attribute.target.slot.as_ref()).collect();
    for sub in ["display", "type", "primary"] {
        // Where the type tells slots apart it is there already; where something else does, an element has none.
        let kept = in_rows || slots.iter().any(|slot| sub != "type" || **slot == Slot::Only);
        if let (true, None, Some(known)) = (kept, top.sub(sub), known.sub(sub)) {
            top.sub_attributes.push(known.clone());
        }
    }
    let rank = |sub: &scim::Attribute| known.sub_attributes.iter().position(|known| known.name == sub.name);
    top.sub_attributes.sort_by_key(|sub| rank(sub).unwrap_or(usize::MAX));
}

fn put(top: &mut scim::Attribute, sub: scim::Attribute) {
    match top.sub_attributes.iter_mut().find(|known| name::same(&known.name, &sub.name)) {
        Some(known) => {
            // Mapped in several slots or sources: writable as soon as one of them is.
            if known.is_read_only() {
                known.mutability = sub.mutability;
            }
        }
        None => top.sub_attributes.push(sub),
    }
}

/// The sub-attribute that tells slots apart lists those there are.
fn slot(top: &mut scim::Attribute, sub: &str, value: &str, known: Option<&scim::Attribute>) {
    if top.sub(sub).is_none() {
        let mut made = known
            .and_then(|known| known.sub(sub))
            .cloned()
            .unwrap_or_else(|| scim::Attribute::new(sub, Kind::String, "Which of the values this is"));
        made.canonical_values.clear();
        top.sub_attributes.push(made);
    }
    let Some(sub) = top.sub_attributes.iter_mut().find(|candidate| name::same(&candidate.name, sub)) else {
        return;
    };
    if !sub.canonical_values.iter().any(|known| known == value) {
        sub.canonical_values.push(value.to_owned());
    }
}

/// `value`, `$ref` and the name of what is pointed to.
fn pointer(top: &mut scim::Attribute, resource: &str, display: &str) {
    top.kind = Kind::Complex;
    let types = vec![resource.to_owned()];
    let mut value = top
        .sub("value")
        .cloned()
        .unwrap_or_else(|| scim::Attribute::new("value", Kind::String, &format!("The id of the {resource}")));
    let mut reference = top
        .sub("$ref")
        .cloned()
        .unwrap_or_else(|| scim::Attribute::new("$ref", Kind::Reference, &format!("The URI of the {resource}")));
    let mut shown = top.sub(display).cloned().unwrap_or_else(|| {
        scim::Attribute::new(display, Kind::String, &format!("The name of the {resource}, for display"))
    });
    value.reference_types.clear();
    reference.reference_types = types;
    shown.mutability = Mutability::ReadOnly;
    top.sub_attributes = vec![value, reference, shown];
}

/// `User.groups` (RFC 7643 4.1.2), where a link of another resource type points to users.
pub(super) fn add_groups(schema: &mut ResourceSchema) {
    if schema.core.id == urn::USER
        && schema.core.attribute("groups").is_none()
        && let Some(groups) = Schema::user().attribute("groups")
    {
        let mut groups = groups.clone();
        if let Some(reference) = groups.sub_attributes.iter_mut().find(|sub| sub.name == "$ref") {
            reference.reference_types = vec!["Group".to_owned()];
        }
        if let Some(type_) = groups.sub_attributes.iter_mut().find(|sub| sub.name == "type") {
            type_.canonical_values = vec!["direct".to_owned()];
        }
        schema.core.attributes.push(groups);
    }
}
