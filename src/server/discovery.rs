//! What a client learns about the service (RFC 7644 4): made once from the adapter, with strong ETags.

use super::answer::Reply;
use crate::adapter::Adapter;
use crate::config::{Authentication, Limits};
use crate::directory::CURSOR_TIMEOUT;
use crate::scim::{Error, ListResponse, Object, urn};
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The discovery documents under one base URL.
pub struct Discovery {
    service_provider_config: Document,
    resource_types: Collection,
    schemas: Collection,
}

struct Document {
    body: Bytes,
    etag: String,
}

struct Collection {
    list: Document,
    /// By name or URN, compared in any case.
    each: Vec<(String, Document)>,
}

impl Discovery {
    /// The documents of an adapter, for an identity server that authenticates so. `base_url` is
    /// `https://scim.example.com/scim/v2`.
    pub fn new(adapter: &Adapter, base_url: &str, limits: &Limits, authentication: &Authentication) -> Self {
        let types = adapter.resource_types.iter().map(|type_| {
            let extensions: Vec<Value> = type_
                .schema
                .extensions
                .iter()
                .map(|extension| json!({ "schema": extension.id, "required": false }))
                .collect();
            // Also where there are none: the parser that authentik uses (pydantic-scim) requires it.
            let document = json!({
                "schemas": [urn::RESOURCE_TYPE],
                "id": type_.name,
                "name": type_.name,
                "endpoint": type_.endpoint,
                "description": type_.description,
                "schema": type_.schema.core.id,
                "schemaExtensions": extensions,
                "meta": {
                    "resourceType": "ResourceType",
                    "location": format!("{base_url}/ResourceTypes/{}", type_.name),
                },
            });
            (type_.name.clone(), document)
        });
        let mut schemas: Vec<(String, Value)> = Vec::new();
        for type_ in &adapter.resource_types {
            for schema in std::iter::once(&type_.schema.core).chain(&type_.schema.extensions) {
                if !schemas.iter().any(|(id, _)| *id == schema.id) {
                    schemas.push((schema.id.clone(), schema.to_json(base_url)));
                }
            }
        }
        Self {
            service_provider_config: Document::new(&service_provider_config(adapter, base_url, limits, authentication)),
            resource_types: Collection::new(types.collect()),
            schemas: Collection::new(schemas),
        }
    }

    /// `/ServiceProviderConfig`.
    pub fn service_provider_config(&self) -> Reply {
        self.service_provider_config.reply()
    }

    /// `/ResourceTypes`, or one of them.
    pub fn resource_types(&self, name: Option<&str>) -> Reply {
        self.resource_types.reply("ResourceType", name)
    }

    /// `/Schemas`, or one of them.
    pub fn schemas(&self, id: Option<&str>) -> Reply {
        self.schemas.reply("Schema", id)
    }
}

impl Document {
    fn new(value: &Value) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_default();
        let digest = Sha256::digest(&body);
        let etag = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect::<String>();
        Self { body: Bytes::from(body), etag: format!("\"{etag}\"") }
    }

    fn reply(&self) -> Reply {
        let mut reply = Reply::rendered(StatusCode::OK, self.body.clone());
        reply.etag = Some(self.etag.clone());
        reply
    }
}

impl Collection {
    fn new(members: Vec<(String, Value)>) -> Self {
        let each = members.iter().map(|(name, value)| (name.clone(), Document::new(value))).collect();
        let resources: Vec<Object> = members
            .into_iter()
            .filter_map(|(_, value)| if let Value::Object(o) = value { Some(o) } else { None })
            .collect();
        let total = u64::try_from(resources.len()).unwrap_or(0);
        Self { list: Document::new(&ListResponse::new(total, 1, resources).into_value()), each }
    }

    fn reply(&self, kind: &str, name: Option<&str>) -> Reply {
        let Some(name) = name else {
            return self.list.reply();
        };
        match self.each.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, document)) => document.reply(),
            None => Reply::error(Error::not_found(kind, name)),
        }
    }
}

/// RFC 7643 5, as strictly as the strictest reader wants it: a `documentationUri` that is no absolute
/// URL, or a scheme without description, makes some clients take everything for unsupported.
fn service_provider_config(
    adapter: &Adapter,
    base_url: &str,
    limits: &Limits,
    authentication: &Authentication,
) -> Value {
    let page = limits.page;
    let password = adapter.resource_types.iter().any(|type_| type_.schema.core.attribute("password").is_some());
    json!({
        "schemas": [urn::SERVICE_PROVIDER_CONFIG],
        "patch": { "supported": true },
        "bulk": { "supported": true, "maxOperations": limits.bulk_operations, "maxPayloadSize": limits.body },
        "filter": { "supported": true, "maxResults": page },
        "changePassword": { "supported": password },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "pagination": {
            "cursor": true,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": page,
            "maxPageSize": page,
            "cursorTimeout": CURSOR_TIMEOUT,
        },
        "authenticationSchemes": schemes(authentication),
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base_url}/ServiceProviderConfig"),
        },
    })
}

/// RFC 7643 5 `authenticationSchemes`: each way that the identity server has, the first of them primary.
fn schemes(authentication: &Authentication) -> Vec<Value> {
    let all = [
        (
            authentication.bearer.is_some() || authentication.jwt.is_some() || authentication.introspection.is_some(),
            "oauthbearertoken",
            "Bearer token",
            "A token in the Authorization header",
            "https://www.rfc-editor.org/info/rfc6750",
        ),
        (
            authentication.oauth2.is_some(),
            "oauth2",
            "OAuth 2.0",
            "An access token that this service issues",
            "https://www.rfc-editor.org/info/rfc6749",
        ),
        (
            authentication.digest.is_some(),
            "httpdigest",
            "HTTP Digest",
            "A user name and the proof of a password in the Authorization header",
            "https://www.rfc-editor.org/info/rfc7616",
        ),
        (
            authentication.basic.is_some(),
            "httpbasic",
            "HTTP Basic",
            "A user name and a password in the Authorization header",
            "https://www.rfc-editor.org/info/rfc7617",
        ),
    ];
    let scheme = |(n, (_, kind, name, description, uri)): (usize, (bool, &str, &str, &str, &str))| json!({ "type": kind, "name": name, "description": description, "specUri": uri, "primary": n == 0 });
    all.into_iter().filter(|(has, ..)| *has).enumerate().map(scheme).collect()
}
