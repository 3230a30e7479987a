//! The JSON schemas of the document: resources as the adapter maps them, and the RFCs' messages.

use super::reference;
use crate::adapter::Adapter;
use crate::scim::{Attribute, Kind, ResourceSchema, Returned, Schema, ScimType, urn};
use serde_json::{Map, Value, json};

/// All of them, by name.
pub(super) fn all(adapter: &Adapter) -> Value {
    let mut schemas = Map::new();
    for type_ in &adapter.resource_types {
        schemas.insert(type_.name.clone(), answered(&type_.schema));
        schemas.insert(format!("{}Request", type_.name), sent(&type_.schema));
        schemas.insert(format!("{}List", type_.name), list(&reference(&type_.name)));
    }
    for (name, schema) in messages() {
        schemas.insert(name.to_owned(), schema);
    }
    Value::Object(schemas)
}

/// RFC 7644 3.4.2.
pub(super) fn list(of: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["schemas", "totalResults"],
        "additionalProperties": false,
        "properties": {
            "schemas": urns(urn::LIST_RESPONSE),
            "totalResults": { "type": "integer", "minimum": 0 },
            "startIndex": { "type": "integer", "minimum": 1 },
            "itemsPerPage": { "type": "integer", "minimum": 0 },
            "nextCursor": { "type": "string" },
            "previousCursor": { "type": "string" },
            "Resources": { "type": "array", "items": of },
        },
    })
}

/// `schemas` of a message.
fn urns(urn: &str) -> Value {
    json!({ "type": "array", "items": { "const": urn }, "minItems": 1, "maxItems": 1 })
}

/// A resource in an answer: nothing in it that is not named here. Which attributes are there depends on the projection.
fn answered(schema: &ResourceSchema) -> Value {
    let mut properties = Map::new();
    for attribute in ResourceSchema::common().iter().filter(|common| schema.core.attribute(&common.name).is_none()) {
        properties.insert(attribute.name.clone(), value(attribute, Side::Answer));
    }
    properties.extend(object(&schema.core.attributes, Side::Answer));
    for extension in &schema.extensions {
        properties.insert(extension.id.clone(), extended(extension, Side::Answer));
    }
    json!({
        "type": "object",
        "required": ["schemas", "id"],
        "additionalProperties": false,
        "properties": properties,
    })
}

/// A resource that a client sends.
fn sent(schema: &ResourceSchema) -> Value {
    let mut known = vec![schema.core.id.clone()];
    known.extend(schema.extensions.iter().map(|extension| extension.id.clone()));
    let mut properties = Map::new();
    properties.insert(
        "schemas".into(),
        json!({ "type": "array", "items": { "enum": known }, "minItems": 1, "uniqueItems": true }),
    );
    properties.insert("externalId".into(), json!({ "type": ["string", "null"] }));
    properties.extend(object(&schema.core.attributes, Side::Request));
    for extension in &schema.extensions {
        properties.insert(extension.id.clone(), extended(extension, Side::Request));
    }
    let mut required = vec!["schemas".to_owned()];
    required.extend(
        schema.core.attributes.iter().filter(|one| one.required && !one.is_read_only()).map(|one| one.name.clone()),
    );
    json!({ "type": "object", "required": required, "properties": properties })
}

fn extended(extension: &Schema, side: Side) -> Value {
    closed(object(&extension.attributes, side), side)
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Request,
    Answer,
}

fn object(attributes: &[Attribute], side: Side) -> Map<String, Value> {
    let stands = |attribute: &&Attribute| match side {
        Side::Answer => attribute.returned != Returned::Never,
        Side::Request => !attribute.is_read_only(),
    };
    attributes.iter().filter(stands).map(|attribute| (attribute.name.clone(), value(attribute, side))).collect()
}

fn closed(properties: Map<String, Value>, side: Side) -> Value {
    match side {
        Side::Answer => json!({ "type": "object", "additionalProperties": false, "properties": properties }),
        Side::Request => json!({ "type": "object", "properties": properties }),
    }
}

/// The value of an attribute.
fn value(attribute: &Attribute, side: Side) -> Value {
    let mut one = match attribute.kind {
        Kind::String => json!({ "type": "string" }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Decimal => json!({ "type": "number" }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::DateTime => json!({ "type": "string", "format": "date-time" }),
        // A client's own URI comes back as it was sent.
        Kind::Reference if attribute.is_read_only() => json!({ "type": "string", "format": "uri" }),
        Kind::Reference => json!({ "type": "string" }),
        Kind::Binary => json!({ "type": "string", "contentEncoding": "base64" }),
        Kind::Complex => closed(object(&attribute.sub_attributes, side), side),
    };
    if attribute.multi_valued {
        one = json!({ "type": "array", "items": one });
    }
    if side == Side::Request
        && attribute.required
        && attribute.kind == Kind::String
        && let Some(one) = one.as_object_mut()
    {
        one.insert("minLength".into(), 1.into());
    }
    if let Some(one) = one.as_object_mut().filter(|_| !attribute.description.is_empty()) {
        one.insert("description".into(), attribute.description.as_str().into());
    }
    one
}

/// The RFCs' messages and documents.
fn messages() -> Vec<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    let flag = || json!({ "type": "boolean" });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let strict = |required: &[&str], properties: Value| json!({ "type": "object", "required": required, "additionalProperties": false, "properties": properties });
    let supported = |more: Value| {
        let mut properties = Map::from_iter([("supported".to_owned(), flag())]);
        properties.extend(more.as_object().cloned().unwrap_or_default());
        let required: Vec<String> = properties.keys().cloned().collect();
        json!({ "type": "object", "required": required, "additionalProperties": false, "properties": properties })
    };
    let words: Vec<&str> = SCIM_TYPES.iter().map(|word| word.as_str()).collect();
    let operation = json!({ "type": "string", "enum": ["add", "replace", "remove"] });
    let meta = strict(
        &["resourceType", "location"],
        json!({ "resourceType": text(), "location": { "type": "string", "format": "uri" } }),
    );
    vec![
        (
            "Error",
            strict(
                &["schemas", "status"],
                json!({
                    "schemas": urns(urn::ERROR),
                    "status": { "type": "string", "pattern": "^[45][0-9][0-9]$" },
                    "scimType": { "type": "string", "enum": words },
                    "detail": text(),
                }),
            ),
        ),
        (
            "PatchOp",
            json!({
                "type": "object",
                "required": ["schemas", "Operations"],
                "properties": {
                    "schemas": urns(urn::PATCH_OP),
                    "Operations": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["op"],
                            "properties": { "op": operation, "path": text(), "value": {} },
                        },
                    },
                },
            }),
        ),
        (
            "SearchRequest",
            json!({
                "type": "object",
                "required": ["schemas"],
                "properties": {
                    "schemas": urns(urn::SEARCH_REQUEST),
                    "filter": text(),
                    "startIndex": { "type": "integer" },
                    "count": { "type": "integer" },
                    "cursor": text(),
                    "sortBy": text(),
                    "sortOrder": { "type": "string", "enum": ["ascending", "descending"] },
                    "attributes": texts(),
                    "excludedAttributes": texts(),
                },
            }),
        ),
        (
            "BulkRequest",
            json!({
                "type": "object",
                "required": ["schemas", "Operations"],
                "properties": {
                    "schemas": urns(urn::BULK_REQUEST),
                    "failOnErrors": { "type": "integer", "minimum": 1 },
                    "Operations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["method", "path"],
                            "properties": {
                                "method": { "type": "string", "enum": ["POST", "PUT", "PATCH", "DELETE"] },
                                "path": text(),
                                "bulkId": text(),
                                "version": text(),
                                "data": { "type": "object" },
                            },
                        },
                    },
                },
            }),
        ),
        (
            "BulkResponse",
            strict(
                &["schemas", "Operations"],
                json!({
                    "schemas": urns(urn::BULK_RESPONSE),
                    "Operations": {
                        "type": "array",
                        "items": strict(
                            &["method", "status"],
                            json!({
                                "method": text(),
                                "bulkId": text(),
                                "version": text(),
                                "location": { "type": "string", "format": "uri" },
                                "status": { "type": "string", "pattern": "^[2-5][0-9][0-9]$" },
                                "response": { "type": "object" },
                            }),
                        ),
                    },
                }),
            ),
        ),
        (
            "ServiceProviderConfig",
            strict(
                &["schemas", "patch", "bulk", "filter", "changePassword", "sort", "etag", "authenticationSchemes"],
                json!({
                    "schemas": urns(urn::SERVICE_PROVIDER_CONFIG),
                    "documentationUri": { "type": "string", "format": "uri" },
                    "patch": supported(json!({})),
                    "bulk": supported(json!({ "maxOperations": count(), "maxPayloadSize": count() })),
                    "filter": supported(json!({ "maxResults": count() })),
                    "changePassword": supported(json!({})),
                    "sort": supported(json!({})),
                    "etag": supported(json!({})),
                    "pagination": {
                        "type": "object",
                        "required": ["cursor", "index"],
                        "additionalProperties": false,
                        "properties": {
                            "cursor": flag(), "index": flag(), "defaultPaginationMethod": { "enum": ["cursor", "index"] },
                            "defaultPageSize": count(), "maxPageSize": count(), "cursorTimeout": count(),
                        },
                    },
                    "authenticationSchemes": {
                        "type": "array",
                        "items": strict(
                            &["type", "name", "description"],
                            json!({
                                "type": text(), "name": text(), "description": text(),
                                "specUri": { "type": "string", "format": "uri" },
                                "documentationUri": { "type": "string", "format": "uri" },
                                "primary": flag(),
                            }),
                        ),
                    },
                    "meta": meta.clone(),
                }),
            ),
        ),
        (
            "ResourceType",
            strict(
                &["schemas", "name", "endpoint", "schema"],
                json!({
                    "schemas": urns(urn::RESOURCE_TYPE),
                    "id": text(), "name": text(), "description": text(), "endpoint": text(), "schema": text(),
                    "schemaExtensions": {
                        "type": "array",
                        "items": strict(&["schema", "required"], json!({ "schema": text(), "required": flag() })),
                    },
                    "meta": meta.clone(),
                }),
            ),
        ),
        (
            "Schema",
            strict(
                &["schemas", "id", "attributes"],
                json!({
                    "schemas": urns(urn::SCHEMA),
                    "id": text(), "name": text(), "description": text(),
                    "attributes": { "type": "array", "items": reference("Attribute") },
                    "meta": meta,
                }),
            ),
        ),
        (
            "Attribute",
            strict(
                &["name", "type", "multiValued", "required", "mutability", "returned"],
                json!({
                    "name": text(),
                    "type": { "enum": ["string", "boolean", "decimal", "integer", "dateTime", "reference", "binary", "complex"] },
                    "multiValued": flag(), "description": text(), "required": flag(), "caseExact": flag(),
                    "canonicalValues": texts(), "referenceTypes": texts(),
                    "mutability": { "enum": ["readOnly", "readWrite", "immutable", "writeOnly"] },
                    "returned": { "enum": ["always", "never", "default", "request"] },
                    "uniqueness": { "enum": ["none", "server", "global"] },
                    "subAttributes": { "type": "array", "items": reference("Attribute") },
                }),
            ),
        ),
    ]
}

/// RFC 7644 table 9 and RFC 9865 4.
const SCIM_TYPES: &[ScimType] = &[
    ScimType::InvalidFilter,
    ScimType::TooMany,
    ScimType::Uniqueness,
    ScimType::Mutability,
    ScimType::InvalidSyntax,
    ScimType::InvalidPath,
    ScimType::NoTarget,
    ScimType::InvalidValue,
    ScimType::InvalidVers,
    ScimType::Sensitive,
    ScimType::InvalidCursor,
    ScimType::ExpiredCursor,
    ScimType::InvalidCount,
];
