//! What one of several tables behind a resource type has read-only though another has not: the schema, which is the type's,
//! lets clients write it, and this refuses. PUT and POST leave such attributes out (RFC 7644 3.5.1); PATCH is told.

use super::members::Collections;
use super::{Place, rows};
use crate::adapter::Attribute;
use crate::scim::Error;

/// 400 mutability where a change is of something that this table has read-only, and another table of the type has not: the
/// schema, which is the type's, let it pass.
pub(super) fn writable_here(place: &Place<'_>, changed: &[bool], collections: &Collections) -> Result<(), Error> {
    let refused = |name: &str| {
        let why = "it is the application's own here, though other resources of the type can be changed";
        Error::mutability(format!("{name} of this {} is read-only: {why}", place.type_.name))
    };
    for (attribute, _) in place.source.attributes.iter().zip(changed).filter(|(_, changed)| **changed) {
        if attribute.schema.is_read_only() && is_written_elsewhere(place, attribute) {
            return Err(refused(&rows::path(attribute)));
        }
    }
    match collections.keys().find(|name| !place.writes_collection(name)) {
        Some(name) => Err(refused(name)),
        None => Ok(()),
    }
}

/// Whether the schema, which is the type's, lets clients write it.
fn is_written_elsewhere(place: &Place<'_>, attribute: &Attribute) -> bool {
    let target = &attribute.target;
    let schema = &place.type_.schema;
    let home = match &target.extension {
        None => Some(&schema.core),
        Some(urn) => schema.extensions.iter().find(|extension| extension.id == *urn),
    };
    let said = home.and_then(|home| home.attribute(&target.attribute));
    let said = target.sub.as_deref().map_or(said, |sub| said.and_then(|top| top.sub(sub)));
    said.is_some_and(|said| !said.is_read_only())
}

impl Place<'_> {
    /// Whether clients change a collection of this table's rows.
    pub(super) fn writes_collection(&self, name: &str) -> bool {
        self.links().any(|(attribute, _)| attribute.target.attribute == name && !attribute.schema.is_read_only())
    }
}
