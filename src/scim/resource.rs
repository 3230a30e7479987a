//! Resources as they come in: the door for JSON, and the normal form that the rest of the house relies on.

use serde_json::Value;

use super::{Error, ResourceSchema};

/// A JSON object, in the order it was sent.
pub type Object = serde_json::Map<String, Value>;

/// Reads a request body; 400 invalidSyntax. Nesting is bounded (128); of a repeated key the last one counts.
pub fn parse(body: &[u8]) -> Result<Value, Error> {
    let _ = body;
    todo!()
}

/// Brings a resource that a client sent (POST, PUT) into normal form; names of what was dropped go to `dropped`.
pub fn normalise(object: Object, schema: &ResourceSchema, dropped: &mut Vec<String>) -> Result<Object, Error> {
    let _ = (object, schema, dropped);
    todo!()
}

/// Removes what clients cannot write from a normalised resource.
pub fn strip_read_only(object: &mut Object, schema: &ResourceSchema) {
    let _ = (object, schema);
    todo!()
}

/// Writes `schemas` first into a resource: the core URN, then those of the extensions it has.
pub fn set_schemas(object: &mut Object, schema: &ResourceSchema) {
    let _ = (object, schema);
    todo!()
}
