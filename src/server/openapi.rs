//! The OpenAPI 3.1 document of what a compiled adapter serves: every path and method, what is sent, what is answered and
//! with which statuses. Pure: an adapter in, JSON out, the same for the same adapter.
//!
//! It describes answers strictly (an attribute that it does not name is never answered) and requests as the RFCs have them;
//! that the service takes more than that (other spellings, numbers as text) is tolerance, not promise.

mod schemas;

use crate::adapter::{Adapter, ResourceType};
use serde_json::{Map, Value, json};

const SCIM: &str = "application/scim+json";

/// The document. Paths are relative to an identity server's base, `/scim/v2` or `/scim/NAME/v2`.
pub fn document(adapter: &Adapter) -> Value {
    let mut paths = Map::new();
    for type_ in &adapter.resource_types {
        collection(type_, &mut paths);
    }
    paths.insert("/.search".into(), json!({ "post": search(adapter) }));
    paths.insert("/Bulk".into(), json!({ "post": bulk() }));
    paths.insert("/Me".into(), me());
    discovery(&mut paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("SCIM 2.0: {}", adapter.title),
            "description": "RFC 7643, RFC 7644 and RFC 9865, as scimshim serves them for this application.",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "servers": [{ "url": "/scim/v2" }],
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer", "description": "RFC 6750" } },
            "parameters": components(&[listing(), projection(), vec![condition("If-Match"), condition("If-None-Match")]].concat()),
            "responses": refusals(),
            "schemas": schemas::all(adapter),
        },
    })
}

/// The paths of one resource type.
fn collection(type_: &ResourceType, paths: &mut Map<String, Value>) {
    let (name, endpoint) = (type_.name.as_str(), type_.endpoint.as_str());
    let resource = reference(name);
    let page = ok("A page of them", &reference(&format!("{name}List")));
    let gone = errors(&[NOT_FOUND]);
    let operation = |id: &str, summary: String, parameters: Vec<Value>, responses: Vec<(String, Value)>| {
        operation(&format!("{id}{name}"), &summary, name, parameters, responses)
    };
    let mut list = operation(
        "list",
        format!("Lists resources of type {name} (RFC 7644 3.4.2)"),
        listing(),
        [vec![page], errors(&[UNMODIFIED])].concat(),
    );
    let mut create = operation(
        "create",
        format!("Creates a {name} (RFC 7644 3.3)"),
        projection(),
        [vec![created(name, endpoint, &resource)], errors(WRITES), errors(&[CONFLICT])].concat(),
    );
    body(&mut create, &reference(&format!("{name}Request")));
    let mut read = operation(
        "get",
        format!("Reads a {name} (RFC 7644 3.4.1)"),
        [projection(), vec![condition("If-None-Match")]].concat(),
        [vec![versioned(&resource)], gone.clone(), errors(&[UNMODIFIED])].concat(),
    );
    let mut replace = operation(
        "replace",
        format!("Replaces a {name} (RFC 7644 3.5.1)"),
        [projection(), vec![condition("If-Match")]].concat(),
        [vec![versioned(&resource)], gone.clone(), errors(WRITES), errors(&[CONFLICT, PRECONDITION])].concat(),
    );
    body(&mut replace, &reference(&format!("{name}Request")));
    let mut patch = operation(
        "patch",
        format!("Changes a {name} (RFC 7644 3.5.2)"),
        [projection(), vec![condition("If-Match")]].concat(),
        [vec![versioned(&resource), nothing()], gone.clone(), errors(WRITES), errors(&[CONFLICT, PRECONDITION])]
            .concat(),
    );
    body(&mut patch, &reference("PatchOp"));
    let mut delete = operation(
        "delete",
        format!("Deletes a {name} (RFC 7644 3.6)"),
        vec![condition("If-Match")],
        [vec![nothing()], gone, errors(&[CONFLICT, PRECONDITION, TOO_LARGE])].concat(),
    );
    for one in [&mut list, &mut create, &mut read, &mut replace, &mut patch, &mut delete] {
        describe(one, &type_.description);
    }
    paths.insert(endpoint.to_owned(), json!({ "get": list, "head": head(&list), "post": create }));
    let id = json!([{
        "name": "id", "in": "path", "required": true, "description": format!("The id of the {name}"),
        "schema": { "type": "string", "minLength": 1, "maxLength": super::route::MAX_ID },
    }]);
    paths.insert(
        format!("{endpoint}/{{id}}"),
        json!({ "parameters": id, "get": read, "head": head(&read), "put": replace, "patch": patch, "delete": delete }),
    );
    paths.insert(format!("{endpoint}/.search"), json!({ "post": search_of(type_) }));
}

fn search_of(type_: &ResourceType) -> Value {
    let list = reference(&format!("{}List", type_.name));
    searching(&format!("search{}", type_.name), &type_.name, &list)
}

/// `/.search` over all types.
fn search(adapter: &Adapter) -> Value {
    let each: Vec<Value> = adapter.resource_types.iter().map(|type_| reference(&type_.name)).collect();
    searching("search", "All", &schemas::list(&json!({ "anyOf": each })))
}

fn searching(id: &str, tag: &str, list: &Value) -> Value {
    let responses = [vec![ok("A page of them", list)], errors(WRITES)].concat();
    let mut search = operation(id, "Lists by a message (RFC 7644 3.4.3)", tag, Vec::new(), responses);
    body(&mut search, &reference("SearchRequest"));
    search
}

fn bulk() -> Value {
    let responses = [vec![ok("What became of each", &reference("BulkResponse"))], errors(WRITES), errors(&[CONFLICT])];
    let mut bulk =
        operation("bulk", "Many operations in one request (RFC 7644 3.7)", "All", Vec::new(), responses.concat());
    body(&mut bulk, &reference("BulkRequest"));
    bulk
}

/// A provisioning client is no user.
fn me() -> Value {
    let of = |method: &str| {
        operation(
            &format!("{method}Me"),
            "Not served (RFC 7644 3.11)",
            "Me",
            Vec::new(),
            errors(&[NOT_BUILT, TOO_LARGE]),
        )
    };
    json!({ "get": of("get"), "head": head(&of("get")), "post": of("post"), "put": of("put"), "patch": of("patch"), "delete": of("delete") })
}

/// RFC 7644 4.
fn discovery(paths: &mut Map<String, Value>) {
    let get = |id: &str, summary: &str, schema: &Value, named: bool| {
        let mut responses = vec![versioned(schema)];
        responses.extend(errors(&[FORBIDDEN, UNMODIFIED]));
        if named {
            responses.extend(errors(&[NOT_FOUND]));
        }
        let get = operation(id, summary, "Discovery", vec![condition("If-None-Match")], responses);
        json!({ "get": get, "head": head(&get) })
    };
    let config = reference("ServiceProviderConfig");
    paths.insert(
        "/ServiceProviderConfig".into(),
        get("getServiceProviderConfig", "What the service can do", &config, false),
    );
    for (path, name, summary) in
        [("/ResourceTypes", "ResourceType", "The resource types"), ("/Schemas", "Schema", "The schemas")]
    {
        paths.insert(path.into(), get(&format!("list{name}s"), summary, &schemas::list(&reference(name)), false));
        let mut one = get(&format!("get{name}"), "One of them", &reference(name), true);
        if let Some(one) = one.as_object_mut() {
            one.insert(
                "parameters".into(),
                json!([{ "name": "id", "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }]),
            );
        }
        paths.insert(format!("{path}/{{id}}"), one);
    }
}

/// A status, and what it says.
type Status = (&'static str, &'static str);

const UNMODIFIED: Status = ("304", "The client's copy is good");
const FORBIDDEN: Status = ("403", "Not allowed");
const NOT_FOUND: Status = ("404", "There is none");
const CONFLICT: Status = ("409", "Another resource has what must be unique, or something holds it");
const PRECONDITION: Status = ("412", "Not the version that If-Match names");
const TOO_LARGE: Status = ("413", "The body is too large");
const NOT_BUILT: Status = ("501", "Not served");
/// What any request with a body may be answered.
const WRITES: &[Status] = &[TOO_LARGE, ("415", "The body is not JSON")];
/// What any request at all may be answered.
const ALWAYS: &[Status] = &[
    ("400", "The request is not understood, or its values do not fit; `scimType` and `detail` say what"),
    ("401", "No token, or one that is not good"),
    FORBIDDEN,
    ("406", "Accept allows neither application/scim+json nor application/json"),
    ("414", "The URL is too long"),
    ("429", "Too many failed authentications from this address"),
    ("431", "Too many header fields"),
    ("503", "Not now; Retry-After says when"),
];

/// Refusals are alike wherever they come from.
fn errors(statuses: &[Status]) -> Vec<(String, Value)> {
    statuses
        .iter()
        .map(|(status, _)| ((*status).to_owned(), json!({ "$ref": format!("#/components/responses/{status}") })))
        .collect()
}

fn refusals() -> Map<String, Value> {
    let rest = [UNMODIFIED, NOT_FOUND, CONFLICT, PRECONDITION, NOT_BUILT];
    let mut all: Vec<&Status> = ALWAYS.iter().chain(WRITES).chain(&rest).collect();
    all.sort();
    let answer = |(status, description): &Status| {
        let answer = match *status {
            "304" => json!({ "description": description }),
            _ => json!({ "description": description, "content": { SCIM: { "schema": reference("Error") } } }),
        };
        ((*status).to_owned(), answer)
    };
    all.into_iter().map(answer).collect()
}

fn components(parameters: &[Value]) -> Map<String, Value> {
    let named = |parameter: &Value| (parameter["name"].as_str().unwrap_or_default().to_owned(), parameter.clone());
    parameters.iter().map(named).collect()
}

fn ok(description: &str, schema: &Value) -> (String, Value) {
    ("200".to_owned(), json!({ "description": description, "content": { SCIM: { "schema": schema } } }))
}

/// 200 with a version.
fn versioned(schema: &Value) -> (String, Value) {
    let (status, mut answer) = ok("It, as it is now", schema);
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("headers".into(), json!({ "ETag": etag() }));
    }
    (status, answer)
}

fn etag() -> Value {
    json!({ "description": "The version (RFC 7644 3.14)", "schema": { "type": "string" } })
}

fn created(name: &str, endpoint: &str, resource: &Value) -> (String, Value) {
    let link = |operation: &str| json!({ "operationId": format!("{operation}{name}"), "parameters": { "id": "$response.body#/id" } });
    let answer = json!({
        "description": "It, as it was made",
        "headers": {
            "Location": { "required": true, "description": format!("Its URL, {endpoint}/ID"), "schema": { "type": "string", "format": "uri" } },
            "ETag": etag(),
        },
        "content": { SCIM: { "schema": resource } },
        "links": { "get": link("get"), "replace": link("replace"), "patch": link("patch"), "delete": link("delete") },
    });
    ("201".to_owned(), answer)
}

fn nothing() -> (String, Value) {
    ("204".to_owned(), json!({ "description": "Done; nothing to show" }))
}

fn operation(id: &str, summary: &str, tag: &str, parameters: Vec<Value>, responses: Vec<(String, Value)>) -> Value {
    let mut all: Vec<(String, Value)> = responses;
    for (status, answer) in errors(ALWAYS) {
        if !all.iter().any(|(known, _)| *known == status) {
            all.push((status, answer));
        }
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let responses: Map<String, Value> = all.into_iter().collect();
    let mut operation = json!({ "operationId": id, "summary": summary, "tags": [tag], "responses": responses });
    if let Some(operation) = operation.as_object_mut().filter(|_| !parameters.is_empty()) {
        let name = |parameter: &Value| parameter["name"].as_str().unwrap_or_default().to_owned();
        let all = parameters.iter().map(|one| json!({ "$ref": format!("#/components/parameters/{}", name(one)) }));
        operation.insert("parameters".into(), all.collect());
    }
    operation
}

/// The same without bodies.
fn head(get: &Value) -> Value {
    let mut head = get.clone();
    if let Some(id) = head.get_mut("operationId") {
        *id = format!("head-{}", id.as_str().unwrap_or_default()).into();
    }
    for (status, answer) in head.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten() {
        *answer = json!({ "description": format!("As GET: {status}") });
    }
    head
}

fn describe(operation: &mut Value, description: &str) {
    if let Some(operation) = operation.as_object_mut() {
        operation.insert("description".into(), description.into());
    }
}

fn body(operation: &mut Value, schema: &Value) {
    if let Some(operation) = operation.as_object_mut() {
        operation.insert("requestBody".into(), json!({ "required": true, "content": { SCIM: { "schema": schema } } }));
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn query(name: &str, description: &str, schema: Value) -> Value {
    json!({ "name": name, "in": "query", "description": description, "schema": schema })
}

fn projection() -> Vec<Value> {
    let names = || json!({ "type": "string" });
    vec![
        query("attributes", "Only these attributes, separated by commas (RFC 7644 3.9)", names()),
        query("excludedAttributes", "Not these attributes, separated by commas (RFC 7644 3.9)", names()),
    ]
}

fn listing() -> Vec<Value> {
    let mut all = vec![
        query("filter", "Which (RFC 7644 3.4.2.2)", json!({ "type": "string" })),
        query("startIndex", "From the how-manieth, the first being 1 (RFC 7644 3.4.2.4)", json!({ "type": "integer" })),
        query("count", "At most so many; 0 counts only", json!({ "type": "integer" })),
        query(
            "cursor",
            "Instead of startIndex, where /ServiceProviderConfig says so (RFC 9865)",
            json!({ "type": "string" }),
        ),
        query("sortBy", "In the order of this attribute (RFC 7644 3.4.2.3)", json!({ "type": "string" })),
        query("sortOrder", "Which way", json!({ "type": "string", "enum": ["ascending", "descending"] })),
    ];
    all.extend(projection());
    all
}

fn condition(name: &str) -> Value {
    json!({ "name": name, "in": "header", "description": "A version (RFC 7644 3.14)", "schema": { "type": "string" } })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` of a document.
    fn references(value: &Value, all: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                all.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                object.values().for_each(|inner| references(inner, all));
            }
            Value::Array(list) => list.iter().for_each(|inner| references(inner, all)),
            _ => {}
        }
    }

    #[test]
    fn all_that_is_referred_to_is_there() {
        let text = include_str!("../../docs/openapi.json");
        let document: Value = serde_json::from_str(text).unwrap();
        let mut all = Vec::new();
        references(&document, &mut all);
        assert!(all.len() > 100);
        for reference in all {
            let place = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{reference}");
        }
        let operations: Vec<&str> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|path| path.as_object().unwrap().values())
            .filter_map(|operation| operation["operationId"].as_str())
            .collect();
        let mut once = operations.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), operations.len(), "an operation's id is its own");
    }
}
