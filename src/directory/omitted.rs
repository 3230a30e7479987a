//! What a change leaves as it is, whatever it says or leaves out: what cannot be changed, what is the application's own
//! here, and what an omission cannot empty. It counts as no change, for steps and permissions too. Nothing is written here.

use super::change::empty;
use super::members::Collections;
use super::rows::Document;
use super::update::Change;
use super::{Caller, Directory, Place, plan, rows};
use crate::adapter::{Attribute, Binding};
use crate::scim::{Error, Mutability, Object};
use crate::sql::Value;
use serde_json::Value as Json;

/// What the client wants of a resource, in the forms that the steps of a change go by.
pub(super) struct Wishes<'a> {
    /// The resource as the client wants it.
    pub after: &'a mut Object,
    /// The same by attribute.
    pub will: &'a mut [Option<Json>],
    /// What becomes of its collections.
    pub collections: &'a mut Collections,
}

impl Directory {
    /// Puts back to what it was (`before`, by attribute `was`; `row` as it was read) whatever stays. 400 mutability where a client asks
    /// outright for what cannot be.
    pub(super) fn leave(
        &self,
        place: &Place<'_>,
        caller: &Caller,
        change: &Change<'_>,
        (before, was, row): (&Object, &[Option<Json>], &[Value]),
        wishes: &mut Wishes<'_>,
    ) -> Result<(), Error> {
        let replaced = matches!(change, Change::Replace { .. });
        // What is read-only is left out of a PUT and a POST (RFC 7644 3.5.1); a PATCH is told of it.
        let whole = replaced || matches!(change, Change::Merge(_) | Change::Adopt(_));
        let document = Document::parse(row.get(place.plan.reading(caller.server.default).sidecar));
        for (index, attribute) in place.source.attributes.iter().enumerate() {
            let (Some(was), Some(will)) = (was.get(index), wishes.will.get_mut(index)) else { continue };
            if was == will {
                continue;
            }
            let stays = (whole && attribute.schema.is_read_only())
                || (matches!(change, Change::Replace { created: false, .. }) && is_immutable(attribute, was, will)?)
                || (will.is_none()
                    && (replaced && takes_no_null(place, caller, attribute)
                        || was_only_shown(attribute, row, &document)
                        || place.plan.active == Some(index) && self.stays_active(place, change, was)?));
            if stays {
                will.clone_from(was);
                let target = &attribute.target;
                let (extension, name, sub) = (target.extension.as_deref(), &target.attribute, target.sub.as_deref());
                if let (None, Some(value)) = (&target.slot, rows::get(before, extension, name, sub)) {
                    rows::set(wishes.after, extension, name, sub, value.clone());
                }
            }
        }
        if whole {
            wishes.collections.retain(|name, _| place.writes_collection(name));
        }
        Ok(())
    }

    /// Whether `active` stays though a change leaves it out: nobody is activated by what is not said. Where an empty
    /// column reads as true, a PATCH that takes it from somebody who is not active is told.
    fn stays_active(&self, place: &Place<'_>, change: &Change<'_>, was: &Option<Json>) -> Result<bool, Error> {
        if !self.is_active_when_empty(place) {
            return Ok(false);
        }
        if matches!(change, Change::Patch(_)) && *was != Some(Json::Bool(true)) {
            return Err(Error::mutability(
                "active cannot be removed: without a value it would be true, and nobody is activated by leaving it out; \
                 say true or false",
            ));
        }
        Ok(true)
    }
}

/// RFC 7644 3.5.1: what is immutable and has a value keeps it; a PUT that says another is 400.
fn is_immutable(attribute: &Attribute, was: &Option<Json>, will: &Option<Json>) -> Result<bool, Error> {
    if attribute.schema.mutability != Mutability::Immutable || was.is_none() {
        return Ok(false);
    }
    match will {
        None => Ok(true),
        Some(_) => {
            let name = rows::path(attribute);
            Err(Error::mutability(format!("{name} cannot be changed once it has a value")))
        }
    }
}

/// Whether there was no value but what a template shows in its stead.
fn was_only_shown(attribute: &Attribute, row: &[Value], document: &Document) -> bool {
    match &attribute.binding {
        Binding::Column(binding) => {
            let stored = row.get(binding.column).and_then(Value::to_text);
            !binding.shown_when_empty.is_empty() && stored.is_none_or(|stored| stored.is_empty())
        }
        Binding::Sidecar(shown) => !shown.is_empty() && !document.kept.contains_key(&rows::path(attribute)),
        _ => false,
    }
}

/// Whether a PUT that leaves an attribute out leaves its column as it is, because that takes no NULL and nothing else
/// stands for "none". What fills it (`fallback`) is a change.
fn takes_no_null(place: &Place<'_>, caller: &Caller, attribute: &Attribute) -> bool {
    if plan::is_external_id(attribute) && place.plan.reading(caller.server.default).external_id.is_some() {
        // It stands in our links.
        return false;
    }
    let (column, none) = match &attribute.binding {
        Binding::Column(binding) if binding.json.is_empty() && binding.fallback.is_empty() => {
            (binding.column, empty(&binding.conversion))
        }
        Binding::Lookup(lookup) => (lookup.column, lookup.none.clone()),
        Binding::Reference(reference) => (reference.column, reference.none.clone()),
        _ => return false,
    };
    none.is_null() && place.source.columns.get(column).is_some_and(|column| !column.nullable)
}
