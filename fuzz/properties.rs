//! What must hold of any bytes. Each is a target of `make fuzz`, and `make test` tries it on the seeds.

use std::sync::LazyLock;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use scimshim::adapter;
use scimshim::document::{Findings, Source};
use scimshim::identity::authorization::{self, Credential};
use scimshim::identity::token::{Claims, Keyring, SigningKey};
use scimshim::scim::filter::Limits;
use scimshim::scim::{AttributePath, Filter, Object, Patch, Path, ResourceSchema, Schema, normalise, patch, resource};
use scimshim::sql::{Catalogue, ColumnInfo, ColumnKind, Dialect, Ident, Table, TableInfo};
use serde_json::{Value, json};

/// What holds of any input: it panics where that does not hold.
pub type Property = fn(&[u8]);

/// The targets, by name.
pub const ALL: [(&str, Property); 6] = [
    ("filter", filter),
    ("path", path),
    ("patch", patch_message),
    ("body", body),
    ("adapter", adapter_document),
    ("authorization", authorization),
];

static USER: LazyLock<ResourceSchema> =
    LazyLock::new(|| ResourceSchema { core: Schema::user(), extensions: vec![Schema::enterprise_user()] });

/// What a filter prints is read as the same filter; a refusal is a 400 that says where.
pub fn filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for unquoted in [true, false] {
        let limits = Limits { unquoted, ..Limits::default() };
        match Filter::parse(text, &limits) {
            Ok(filter) => {
                let printed = filter.to_string();
                // What is printed may be longer than what was read, by quotes and parentheses.
                let limits = Limits { length: usize::MAX, depth: limits.depth * 4, ..limits };
                assert_eq!(Filter::parse(&printed, &limits).as_ref(), Ok(&filter), "{printed}");
            }
            Err(error) => assert!(error.status == 400 && !error.detail.is_empty(), "{error:?}"),
        }
    }
}

/// The same of paths, and what both readers of paths take they read alike.
pub fn path(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limits = Limits::default();
    let attribute = AttributePath::parse(text);
    if let Ok(attribute) = &attribute {
        assert_eq!(AttributePath::parse(&attribute.to_string()).as_ref(), Ok(attribute), "{attribute}");
    }
    match Path::parse(text, &limits) {
        Ok(path) => {
            let limits = Limits { length: usize::MAX, depth: limits.depth * 4, ..limits };
            assert_eq!(Path::parse(&path.to_string(), &limits).as_ref(), Ok(&path), "{path}");
            if let (Path::Attribute(path), Ok(attribute)) = (&path, &attribute) {
                assert_eq!(path, attribute);
            }
        }
        Err(error) => assert!(error.status == 400 && !error.detail.is_empty(), "{error:?}"),
    }
}

/// A PATCH makes a resource in normal form of one in normal form, twice the same, and never changes the id; or it is refused.
pub fn patch_message(data: &[u8]) {
    let Ok(message) = resource::parse(data) else { return };
    let limits = patch::Limits { operations: 20, ..patch::Limits::default() };
    let Ok(patch) = Patch::parse(message, &limits) else { return };
    let before = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "7",
        "userName": "ada",
        "name": { "givenName": "Ada", "familyName": "King" },
        "active": true,
        "emails": [{ "value": "a@x.org", "type": "work", "primary": true }, { "value": "b@x.org", "type": "home" }],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Sums", "manager": { "value": "1" } },
    });
    let Value::Object(before) = before else { return };
    let before = normalise(before, &USER, &mut Vec::new()).expect("a user");
    for strict_no_target in [false, true] {
        let options = patch::Options { strict_no_target, ..patch::Options::default() };
        let outcome = patch.apply(&before, &USER, &options);
        assert_eq!(patch.apply(&before, &USER, &options), outcome, "twice the same");
        match outcome {
            Ok(outcome) => {
                assert_eq!(outcome.resource.get("id"), before.get("id"));
                normal(&outcome.resource);
            }
            Err(error) => assert!((400..500).contains(&error.status) && !error.detail.is_empty(), "{error:?}"),
        }
    }
}

/// A body is brought into normal form once and for all, or refused.
pub fn body(data: &[u8]) {
    let Ok(object) = resource::parse_object(data) else { return };
    match normalise(object, &USER, &mut Vec::new()) {
        Ok(resource) => normal(&resource),
        Err(error) => assert!(error.status == 400 && !error.detail.is_empty(), "{error:?}"),
    }
}

/// Normal is what stays as it is.
fn normal(resource: &Object) {
    let again = normalise(resource.clone(), &USER, &mut Vec::new());
    let again = again.unwrap_or_else(|error| panic!("{error}: {}", json!(resource)));
    assert_eq!(json!(again), json!(resource));
}

/// An adapter compiles, or a finding with a place says why it does not.
pub fn adapter_document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // An adapter that extends another one is looked for among files, which are not a function of these bytes.
    if text.contains("extends") {
        return;
    }
    let mut findings = Findings::new();
    let document = adapter::read(Source::new("adapter.yaml", text), &[], &mut findings);
    assert_eq!(document.is_none(), findings.has_errors() && document.is_none(), "no document and no reason");
    if let Some(document) = document {
        for dialect in [Dialect::Sqlite, Dialect::Mysql] {
            let mut findings = Findings::new();
            let compiled = adapter::compile(&document, &CATALOGUE, dialect, &mut findings);
            assert_eq!(compiled.is_none(), findings.has_errors(), "{}", findings.render(false));
            assert!(findings.is_empty() || !findings.render(false).is_empty());
        }
    }
    assert!(findings.is_empty() || !findings.render(true).is_empty());
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let tables = [
        ("people", "id login given family mail enabled manager_id department_id created_at updated_at left_on"),
        ("departments", "id name"),
        ("teams", "id name"),
        ("crew", "team_id person_id"),
    ];
    let mut catalogue = Catalogue::default();
    for (name, columns) in tables {
        let column = |name: &str| {
            let number = name.ends_with("id") || name == "enabled";
            let kind = if number {
                ColumnKind::Integer { min: i128::from(i32::MIN), max: i128::from(i32::MAX) }
            } else if name.contains('_') {
                ColumnKind::DateTime
            } else {
                ColumnKind::Text(Some(100))
            };
            ColumnInfo {
                name: Ident::new(name),
                kind,
                sql_type: String::new(),
                cast: None,
                nullable: name != "id",
                has_default: name == "id",
                generated_key: name == "id",
                ignores_case: false,
            }
        };
        let info = TableInfo {
            triggers: false,
            columns: columns.split(' ').map(column).collect(),
            primary_key: vec![Ident::new("id")],
            ..TableInfo::default()
        };
        catalogue.tables.insert(Table { schema: None, name: Ident::new(name) }, info);
    }
    catalogue
});

/// A header gives its token and nothing else, and no token is good but the one that was signed.
pub fn authorization(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value);
    let Credential::Bearer(token) = authorization::read(&headers) else { return };
    assert!(!token.is_empty() && token.trim() == token);
    assert!(data.windows(token.len()).any(|window| window == token.as_bytes()));
    let (ring, signed) = &*SIGNED;
    if ring.verify(token, "https://scim.example.com", "https://scim.example.com/scim/test/v2").is_ok() {
        assert_eq!(token, signed, "another token than the one that was signed is taken");
    }
}

/// The key of RFC 8410 10.3, and a token signed with it, which is the seed.
static SIGNED: LazyLock<(Keyring, String)> = LazyLock::new(|| {
    let key = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20, 0xd4, 0xee,
        0x72, 0xdb, 0xf9, 0x13, 0x58, 0x4a, 0xd5, 0xb6, 0xd8, 0xf1, 0xf7, 0x69, 0xf8, 0xad, 0x3a, 0xfe, 0x7c, 0x28,
        0xcb, 0xf1, 0xd4, 0xfb, 0xe0, 0x97, 0xa8, 0x8f, 0x44, 0x75, 0x58, 0x42,
    ];
    let ring = Keyring::new(vec![SigningKey::read("key", &key).expect("a key")], Some(0));
    let claims = Claims {
        iss: "https://scim.example.com".to_owned(),
        aud: "https://scim.example.com/scim/test/v2".to_owned(),
        jti: "0123456789abcdef".to_owned(),
        iat: 1_700_000_000,
        exp: 7_000_000_000,
    };
    let token = ring.sign(&claims).expect("a token");
    (ring, token)
});
