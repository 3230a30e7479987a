//! Which attributes an answer shows (RFC 7644 3.4.2.5, `returned` of RFC 7643 7).

use super::{Attribute, AttributePath, Error, Object, ResourceSchema, Schema};

/// `attributes` and `excludedAttributes`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    /// Only these, and what is always returned.
    pub attributes: Option<Vec<AttributePath>>,
    /// Not these, unless always returned.
    pub excluded: Vec<AttributePath>,
}

impl Projection {
    /// From the texts of the two parameters: paths separated by commas; 400 invalidPath.
    pub fn parse(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, Error> {
        let _ = (attributes, excluded);
        todo!()
    }

    /// Whether an answer shows anything of an attribute; what it does not show need not be read.
    pub fn wants(&self, schema: &ResourceSchema, extension: Option<&Schema>, attribute: &Attribute) -> bool {
        let _ = (schema, extension, attribute);
        todo!()
    }

    /// Removes what the answer does not show. `resource` is in normal form.
    pub fn apply(&self, resource: Object, schema: &ResourceSchema) -> Object {
        let _ = schema;
        resource
    }
}
