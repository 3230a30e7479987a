//! The example documents of RFC 7643 section 8 and RFC 7644 section 3, retyped, on an adapter that maps all of the core
//! and enterprise schemas. Only ids, URLs, versions and times are ours instead of the RFC's; a userName that several
//! examples use is its own test's.

use serde_json::{Value, json};

use super::bulk::{answers, statuses};
use crate::support::client::{Answer, Client};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// Runs a test on each database, with an empty application.
fn on_each(test: impl Fn(&mut Client, &str)) {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::adapter("tests/adapters/rfc.yaml"));
        test(&mut service.client(), &format!("{}/scim/v2", service.url()));
    }
}

/// What is the same in the example and in the answer: all but what the service provider says itself.
fn ours(mut resource: Value) -> Value {
    let object = resource.as_object_mut().expect("a resource");
    for key in ["id", "meta", "groups", "password"] {
        object.remove(key);
    }
    for key in ["schemas"] {
        if let Some(Value::Array(list)) = object.get_mut(key) {
            list.sort_by_key(ToString::to_string);
        }
    }
    for key in ["emails", "addresses", "phoneNumbers", "ims", "photos", "x509Certificates", "members"] {
        if let Some(Value::Array(list)) = object.get_mut(key) {
            list.sort_by_key(|element| (element["type"].to_string(), element["value"].to_string()));
        }
    }
    resource
}

/// What RFC 7643 3.1 and RFC 7644 3.3 say of an answer with a resource.
#[track_caller]
fn check_meta(answer: &Answer, kind: &str, base: &str) {
    let resource = answer.json();
    let meta = &resource["meta"];
    let location = format!("{base}/{kind}s/{}", resource["id"].as_str().expect("an id"));
    assert_eq!(meta["resourceType"], kind);
    assert_eq!(meta["location"], location);
    assert_eq!(answer.header("location"), Some(location.as_str()));
    assert_eq!(answer.header("content-type"), Some("application/scim+json"));
    assert_eq!(answer.header("etag"), meta["version"].as_str());
    assert!(meta["version"].as_str().expect("a version").starts_with("W/\""), "{meta}");
    for time in ["created", "lastModified"] {
        let text = meta[time].as_str().unwrap_or_else(|| panic!("{time} in {meta}"));
        assert!(text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z'), "{time}: {text}");
    }
}

/// RFC 7643 8.1.
fn minimal_user() -> Value {
    json!({
        "schemas": [USER],
        "id": "2819c223-7f76-453a-919d-413861904646",
        "userName": "bjensen@example.com",
        "meta": {
            "resourceType": "User",
            "created": "2010-01-23T04:56:22Z",
            "lastModified": "2011-05-13T04:42:34Z",
            "version": "W/\"3694e05e9dff590\"",
            "location": "https://example.com/v2/Users/2819c223-7f76-453a-919d-413861904646"
        }
    })
}

/// RFC 7643 8.2.
fn full_user() -> Value {
    json!({
        "schemas": [USER],
        "id": "2819c223-7f76-453a-919d-413861904646",
        "externalId": "701984",
        "userName": "bjensen@example.com",
        "name": {
            "formatted": "Ms. Barbara J Jensen, III",
            "familyName": "Jensen",
            "givenName": "Barbara",
            "middleName": "Jane",
            "honorificPrefix": "Ms.",
            "honorificSuffix": "III"
        },
        "displayName": "Babs Jensen",
        "nickName": "Babs",
        "profileUrl": "https://login.example.com/bjensen",
        "emails": [
            { "value": "bjensen@example.com", "type": "work", "primary": true },
            { "value": "babs@jensen.org", "type": "home" }
        ],
        "addresses": [
            {
                "type": "work",
                "streetAddress": "100 Universal City Plaza",
                "locality": "Hollywood",
                "region": "CA",
                "postalCode": "91608",
                "country": "USA",
                "formatted": "100 Universal City Plaza\nHollywood, CA 91608 USA",
                "primary": true
            },
            {
                "type": "home",
                "streetAddress": "456 Hollywood Blvd",
                "locality": "Hollywood",
                "region": "CA",
                "postalCode": "91608",
                "country": "USA",
                "formatted": "456 Hollywood Blvd\nHollywood, CA 91608 USA"
            }
        ],
        "phoneNumbers": [
            { "value": "555-555-5555", "type": "work" },
            { "value": "555-555-4444", "type": "mobile" }
        ],
        "ims": [{ "value": "someaimhandle", "type": "aim" }],
        "photos": [
            { "value": "https://photos.example.com/profilephoto/72930000000Ccne/F", "type": "photo" },
            { "value": "https://photos.example.com/profilephoto/72930000000Ccne/T", "type": "thumbnail" }
        ],
        "userType": "Employee",
        "title": "Tour Guide",
        "preferredLanguage": "en-US",
        "locale": "en-US",
        "timezone": "America/Los_Angeles",
        "active": true,
        "password": "t1meMa$heen",
        "groups": [
            {
                "value": "e9e30dba-f08f-4109-8486-d5c6a331660a",
                "$ref": "https://example.com/v2/Groups/e9e30dba-f08f-4109-8486-d5c6a331660a",
                "display": "Tour Guides"
            },
            {
                "value": "fc348aa8-3835-40eb-a20b-c726e15c55b5",
                "$ref": "https://example.com/v2/Groups/fc348aa8-3835-40eb-a20b-c726e15c55b5",
                "display": "Employees"
            }
        ],
        "x509Certificates": [{ "value": CERTIFICATE }],
        "meta": {
            "resourceType": "User",
            "created": "2010-01-23T04:56:22Z",
            "lastModified": "2011-05-13T04:42:34Z",
            "version": "W/\"a330bc54f0671c9\"",
            "location": "https://example.com/v2/Users/2819c223-7f76-453a-919d-413861904646"
        }
    })
}

/// The beginning of the example's certificate; the RFC breaks it into lines.
const CERTIFICATE: &str = "MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAwTjELMAkGA1UEBhMCVVMxEzARBgNVBAgMCkNhbGlmb3JuaWExFDASBgNVBAoMC2V4YW1wbGUuY29tMRQwEgYDVQQDDAtleGFtcGxlLmNvbTAeFw0xMTEwMjIwNjI0MzFaFw0xMjEwMDQwNjI0MzFa";

/// RFC 7643 8.3: the same with the extension.
fn enterprise_user() -> Value {
    let mut user = full_user();
    user["schemas"] = json!([USER, ENTERPRISE]);
    user[ENTERPRISE] = json!({
        "employeeNumber": "701984",
        "costCenter": "4130",
        "organization": "Universal Studios",
        "division": "Theme Park",
        "department": "Tour Operations",
        "manager": {
            "value": "26118915-6090-4610-87e4-49d8ca9f808d",
            "$ref": "../Users/26118915-6090-4610-87e4-49d8ca9f808d",
            "displayName": "John Smith"
        }
    });
    user
}

#[test]
fn rfc_7643_8_1_minimal_user() {
    on_each(|client, base| {
        let created = client.post("/Users", &minimal_user()).expect(201);
        check_meta(&created, "User", base);
        let mut expected = ours(minimal_user());
        // The application has no third state.
        expected["active"] = true.into();
        assert_eq!(ours(created.json()), expected);
        let id = created.id();
        assert_ne!(id, "2819c223-7f76-453a-919d-413861904646", "the id is the service provider's");
        let read = client.get(&format!("/Users/{id}")).expect(200);
        check_meta(&read, "User", base);
        assert_eq!(read.json(), created.json());
    });
}

#[test]
fn rfc_7643_8_2_full_user() {
    on_each(|client, base| {
        let created = client.post("/Users", &full_user()).expect(201);
        check_meta(&created, "User", base);
        assert_eq!(ours(created.json()), ours(full_user()));
        assert!(created.json().get("groups").is_none(), "read-only: what the client says of it is nothing");
        assert!(!created.text().contains("t1meMa") && !created.text().contains("password"), "{}", created.text());
        let read = client.get(&format!("/Users/{}", created.id())).expect(200);
        assert_eq!(read.json(), created.json());
        // As a PUT of what was read: nothing changes, so the version does not.
        let put = client.put(&format!("/Users/{}", created.id()), &read.json()).expect(200);
        assert_eq!(put.json(), read.json());
        check_meta(&put, "User", base);
    });
}

#[test]
fn rfc_7643_8_3_enterprise_user() {
    on_each(|client, base| {
        let manager = json!({ "schemas": [USER], "userName": "jsmith", "displayName": "John Smith" });
        let manager = client.post("/Users", &manager).expect(201).id();
        let mut user = enterprise_user();
        user[ENTERPRISE]["manager"]["value"] = manager.as_str().into();
        user[ENTERPRISE]["manager"]["$ref"] = format!("../Users/{manager}").into();
        let created = client.post("/Users", &user).expect(201);
        check_meta(&created, "User", base);
        let mut expected = ours(user);
        expected[ENTERPRISE]["manager"]["$ref"] = format!("{base}/Users/{manager}").into();
        assert_eq!(ours(created.json()), expected);
    });
}

/// RFC 7643 8.4, and the `groups` of 8.2.
#[test]
fn rfc_7643_8_4_group() {
    on_each(|client, base| {
        let babs = json!({ "schemas": [USER], "userName": "bjensen", "displayName": "Babs Jensen" });
        let mandy = json!({ "schemas": [USER], "userName": "mpepper", "displayName": "Mandy Pepperidge" });
        let babs = client.post("/Users", &babs).expect(201).id();
        let mandy = client.post("/Users", &mandy).expect(201).id();
        let group = json!({
            "schemas": [GROUP],
            "id": "e9e30dba-f08f-4109-8486-d5c6a331660a",
            "displayName": "Tour Guides",
            "members": [
                { "value": babs, "$ref": format!("https://example.com/v2/Users/{babs}"), "display": "Babs Jensen" },
                { "value": mandy, "$ref": format!("https://example.com/v2/Users/{mandy}"), "display": "Mandy Pepperidge" }
            ],
            "meta": {
                "resourceType": "Group",
                "created": "2010-01-23T04:56:22Z",
                "lastModified": "2011-05-13T04:42:34Z",
                "version": "W/\"3694e05e9dff592\"",
                "location": "https://example.com/v2/Groups/e9e30dba-f08f-4109-8486-d5c6a331660a"
            }
        });
        let created = client.post("/Groups", &group).expect(201);
        check_meta(&created, "Group", base);
        let mut expected = ours(group);
        for member in expected["members"].as_array_mut().unwrap() {
            let id = member["value"].as_str().unwrap().to_owned();
            member["$ref"] = format!("{base}/Users/{id}").into();
        }
        let mut shown = ours(created.json());
        for member in shown["members"].as_array_mut().unwrap() {
            // Which the example leaves out and the schema has.
            assert_eq!(member.as_object_mut().unwrap().remove("type"), Some("User".into()));
        }
        assert_eq!(shown, expected);
        let user = client.get(&format!("/Users/{babs}")).expect(200).json();
        let id = created.id();
        assert_eq!(user["groups"][0]["value"], id);
        assert_eq!(user["groups"][0]["$ref"], format!("{base}/Groups/{id}"));
        assert_eq!(user["groups"][0]["display"], "Tour Guides");
    });
}

/// RFC 7643 8.5 to 8.7: what the service says of itself has the shape of the examples, and nothing that is not there.
#[test]
fn rfc_7643_8_5_to_8_7_discovery() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::adapter("tests/adapters/rfc.yaml"));
    let (mut client, base) = (service.client(), format!("{}/scim/v2", service.url()));
    // 8.5
    let config = client.get("/ServiceProviderConfig").expect(200).json();
    assert_eq!(config["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"]));
    for (feature, keys) in [
        ("patch", &["supported"][..]),
        ("bulk", &["supported", "maxOperations", "maxPayloadSize"]),
        ("filter", &["supported", "maxResults"]),
        ("changePassword", &["supported"]),
        ("sort", &["supported"]),
        ("etag", &["supported"]),
    ] {
        assert_eq!(config[feature]["supported"], true, "{feature}");
        for key in keys {
            assert!(config[feature].get(key).is_some(), "{feature}.{key}");
        }
    }
    let scheme = &config["authenticationSchemes"][0];
    for key in ["name", "description", "specUri", "type", "primary"] {
        assert!(scheme.get(key).is_some(), "authenticationSchemes.{key}");
    }
    assert_eq!(
        config["meta"],
        json!({ "resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig") })
    );
    assert_eq!(client.get("/ServiceProviderConfigs").expect(200).json(), config);
    // 8.6
    let types = client.get("/ResourceTypes").expect(200).json();
    assert_eq!(types["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
    assert_eq!((&types["totalResults"], types["Resources"].as_array().unwrap().len()), (&json!(2), 2));
    let user = client.get("/ResourceTypes/User").expect(200).json();
    let mut expected = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
        "id": "User",
        "name": "User",
        "endpoint": "/Users",
        "description": "User Account",
        "schema": USER,
        "schemaExtensions": [{ "schema": ENTERPRISE, "required": false }],
        "meta": { "location": format!("{base}/ResourceTypes/User"), "resourceType": "ResourceType" }
    });
    expected["description"] = user["description"].clone();
    assert_eq!(user, expected);
    let group = client.get("/ResourceTypes/Group").expect(200).json();
    assert_eq!((&group["schema"], &group["endpoint"]), (&json!(GROUP), &json!("/Groups")));
    // Also where there are none: the parser that authentik uses wants the list itself (RFC 7643 2.5 takes [] for nothing).
    assert_eq!(group["schemaExtensions"], json!([]));
    // 8.7.1
    let schemas = client.get("/Schemas").expect(200).json();
    assert_eq!(schemas["totalResults"], 3);
    for document in schemas["Resources"].as_array().unwrap() {
        let id = document["id"].as_str().unwrap();
        assert_eq!(client.get(&format!("/Schemas/{id}")).expect(200).json(), *document);
        assert_eq!(document["meta"]["location"], format!("{base}/Schemas/{id}"));
        for attribute in document["attributes"].as_array().unwrap() {
            check_attribute(attribute, id);
        }
    }
    for (schema, path, key, value) in REPRESENTATIONS {
        let document = client.get(&format!("/Schemas/{schema}")).expect(200).json();
        let mut at = &document;
        let mut list = "attributes";
        for name in path.split('.') {
            at =
                at[list].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{path}"));
            list = "subAttributes";
        }
        let value: Value = serde_json::from_str(value).unwrap();
        assert_eq!(at[*key], value, "{schema} {path} {key}");
    }
}

/// Every characteristic of RFC 7643 7 is there, with a word that it may have.
fn check_attribute(attribute: &Value, schema: &str) {
    let name = format!("{schema} {}", attribute["name"]);
    let one_of = |key: &str, words: &[&str]| {
        assert!(attribute[key].as_str().is_some_and(|word| words.contains(&word)), "{name} {key} {}", attribute[key]);
    };
    one_of("type", &["string", "boolean", "decimal", "integer", "dateTime", "reference", "binary", "complex"]);
    one_of("mutability", &["readOnly", "readWrite", "immutable", "writeOnly"]);
    one_of("returned", &["always", "never", "default", "request"]);
    one_of("uniqueness", &["none", "server", "global"]);
    assert!(attribute["multiValued"].is_boolean() && attribute["required"].is_boolean(), "{name}");
    assert!(attribute["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
    let complex = attribute["type"] == "complex";
    assert_eq!(attribute.get("caseExact").is_some_and(Value::is_boolean), !complex, "{name}");
    assert_eq!(attribute["type"] == "reference", attribute.get("referenceTypes").is_some(), "{name}");
    assert_eq!(attribute.get("subAttributes").is_some(), complex, "{name}");
    for sub in attribute["subAttributes"].as_array().into_iter().flatten() {
        check_attribute(sub, &name);
    }
}

/// Characteristics that the representations of RFC 7643 8.7.1 give, where the mapping leaves them as they are.
const REPRESENTATIONS: &[(&str, &str, &str, &str)] = &[
    (USER, "userName", "required", "true"),
    (USER, "userName", "caseExact", "false"),
    (USER, "userName", "uniqueness", "\"server\""),
    (USER, "name", "type", "\"complex\""),
    (USER, "name.familyName", "mutability", "\"readWrite\""),
    (USER, "displayName", "required", "false"),
    (USER, "profileUrl", "type", "\"reference\""),
    (USER, "profileUrl", "referenceTypes", "[\"external\"]"),
    (USER, "active", "type", "\"boolean\""),
    (USER, "password", "mutability", "\"writeOnly\""),
    (USER, "password", "returned", "\"never\""),
    (USER, "emails", "multiValued", "true"),
    (USER, "emails.type", "canonicalValues", "[\"work\", \"home\"]"),
    (USER, "emails.primary", "type", "\"boolean\""),
    (USER, "phoneNumbers.type", "canonicalValues", "[\"work\", \"mobile\"]"),
    (USER, "photos.value", "type", "\"reference\""),
    (USER, "photos.value", "referenceTypes", "[\"external\"]"),
    (USER, "groups", "mutability", "\"readOnly\""),
    (USER, "x509Certificates.value", "type", "\"binary\""),
    (GROUP, "displayName", "type", "\"string\""),
    (GROUP, "members", "multiValued", "true"),
    (GROUP, "members.value", "mutability", "\"immutable\""),
    (GROUP, "members.$ref", "type", "\"reference\""),
    (ENTERPRISE, "employeeNumber", "type", "\"string\""),
    (ENTERPRISE, "manager", "multiValued", "false"),
    (ENTERPRISE, "manager.$ref", "referenceTypes", "[\"User\"]"),
    (ENTERPRISE, "manager.displayName", "mutability", "\"readOnly\""),
];

/// RFC 7644 3.3: creating, and the conflict.
#[test]
fn rfc_7644_3_3_creating() {
    on_each(|client, base| {
        let user = json!({
            "schemas": [USER],
            "userName": "bjensen",
            "externalId": "bjensen",
            "name": { "formatted": "Ms. Barbara J Jensen III", "familyName": "Jensen", "givenName": "Barbara" }
        });
        let created = client.post("/Users", &user).expect(201);
        check_meta(&created, "User", base);
        let mut expected = ours(user.clone());
        expected["active"] = true.into();
        assert_eq!(ours(created.json()), expected);
        client.post("/Users", &user).expect_error(409, Some("uniqueness"), "userName");
        // 3.4.1: retrieving it, whole and in part.
        let path = format!("/Users/{}", created.id());
        assert_eq!(client.get(&path).expect(200).json(), created.json());
        let part = client.get(&format!("{path}?attributes=userName")).expect(200).json();
        assert_eq!(part, json!({ "schemas": [USER], "id": created.id(), "userName": "bjensen" }));
        let less = client.get(&format!("{path}?excludedAttributes=name,meta")).expect(200).json();
        assert!(less.get("name").is_none() && less.get("meta").is_none() && less["userName"] == "bjensen");
    });
}

/// RFC 7644 3.4.2: the list; 3.4.3: the same as POST.
#[test]
fn rfc_7644_3_4_querying() {
    on_each(|client, _| {
        for name in ["bjensen", "jsmith"] {
            client.post("/Users", &json!({ "schemas": [USER], "userName": name })).expect(201);
        }
        let list = client.get("/Users?attributes=userName").expect(200).json();
        assert_eq!(list["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
        assert_eq!(list["totalResults"], 2);
        assert_eq!(list["Resources"][0]["userName"], "bjensen");
        assert_eq!(list["Resources"][0].as_object().unwrap().len(), 3, "schemas, id, userName: {list}");
        let search = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
            "attributes": ["displayName", "userName"],
            "filter": "userName sw \"smith\" or userName sw \"js\"",
            "startIndex": 1,
            "count": 10
        });
        let found = client.post("/Users/.search", &search).expect(200).json();
        assert_eq!(found["totalResults"], 1);
        assert_eq!((&found["itemsPerPage"], &found["startIndex"]), (&json!(1), &json!(1)));
        assert_eq!(found["Resources"][0]["userName"], "jsmith");
        // 3.4.2: nothing found is a list of nothing.
        let none = client.get("/Users?filter=userName%20eq%20%22nobody%22").expect(200).json();
        assert_eq!(none["totalResults"], 0);
    });
}

/// RFC 7644 3.5.1: replacing.
#[test]
fn rfc_7644_3_5_1_replacing() {
    on_each(|client, base| {
        let mut first = full_user();
        first["userName"] = "bjensen".into();
        let created = client.post("/Users", &first).expect(201);
        let id = created.id();
        let replacement = json!({
            "schemas": [USER],
            "id": id,
            "userName": "bjensen",
            "externalId": "bjensen",
            "name": {
                "formatted": "Ms. Barbara J Jensen III",
                "familyName": "Jensen",
                "givenName": "Barbara",
                "middleName": "Jane"
            },
            "roles": [],
            "emails": [{ "value": "bjensen@example.com" }, { "value": "babs@jensen.org" }]
        });
        // Emails without a type go nowhere where a type says which is which: they are typed here.
        let mut typed = replacement.clone();
        typed["emails"][0]["type"] = "work".into();
        typed["emails"][1]["type"] = "home".into();
        let replaced = client.put(&format!("/Users/{id}"), &typed).expect(200);
        check_meta(&replaced, "User", base);
        assert_eq!(replaced.header("content-location"), replaced.header("location"));
        let mut expected = ours(typed);
        expected.as_object_mut().unwrap().remove("roles");
        let mut shown = ours(replaced.json());
        // A column that takes no NULL keeps its value.
        shown.as_object_mut().unwrap().remove("active");
        assert_eq!(shown, expected);
        assert_ne!(replaced.header("etag"), created.header("etag"));
    });
}

/// RFC 7644 3.5.2.1: add.
#[test]
fn rfc_7644_3_5_2_1_add() {
    on_each(|client, _| {
        let babs = json!({ "schemas": [USER], "userName": "bjensen", "displayName": "Babs Jensen" });
        let babs = client.post("/Users", &babs).expect(201).id();
        let group =
            client.post("/Groups", &json!({ "schemas": [GROUP], "displayName": "Tour Guides" })).expect(201).id();
        let path = format!("/Groups/{group}");
        let add = json!({ "schemas": [PATCH_OP], "Operations": [{
            "op": "add",
            "path": "members",
            "value": [{ "display": "Babs Jensen", "$ref": format!("https://example.com/v2/Users/{babs}"), "value": babs }]
        }] });
        let body = serde_json::to_vec(&add).unwrap();
        let url = format!("/scim/v2{path}");
        let answer = client.send("PATCH", &url, &[("Content-Type", "application/scim+json")], Some(&body)).unwrap();
        assert_eq!(answer.status, 204);
        let once = client.get(&path).expect(200);
        assert_eq!(once.json()["members"].as_array().unwrap().len(), 1);
        // The same again changes nothing, the version neither.
        client.send("PATCH", &url, &[("Content-Type", "application/scim+json")], Some(&body)).unwrap();
        assert_eq!(client.get(&path).expect(200).header("etag"), once.header("etag"));

        // The example without path: several attributes at once, merged.
        let user = format!("/Users/{babs}");
        let answer = client.patch(
            &user,
            json!([{ "op": "add", "value": {
            "emails": [{ "value": "babs@jensen.org", "type": "home" }],
            "nickName": "Babs"
        } }]),
        );
        let user = answer.expect(200).json();
        assert_eq!(user["emails"], json!([{ "value": "babs@jensen.org", "type": "home" }]));
        assert_eq!((&user["nickName"], &user["displayName"]), (&json!("Babs"), &json!("Babs Jensen")));
    });
}

/// RFC 7644 3.5.2.2: remove.
#[test]
fn rfc_7644_3_5_2_2_remove() {
    on_each(|client, _| {
        let mut ids = Vec::new();
        for name in ["bjensen", "jsmith", "mpepper"] {
            ids.push(client.post("/Users", &json!({ "schemas": [USER], "userName": name })).expect(201).id());
        }
        let members: Vec<Value> = ids.iter().map(|id| json!({ "value": id })).collect();
        let group = json!({ "schemas": [GROUP], "displayName": "Tour Guides", "members": members });
        let path = format!("/Groups/{}", client.post("/Groups", &group).expect(201).id());
        let left = |client: &mut Client| client.get(&path).expect(200).json()["members"].as_array().map_or(0, Vec::len);
        // One member; one that a complex filter says; all of them.
        client
            .patch(&path, json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", ids[0]) }]))
            .expect(204);
        assert_eq!(left(client), 2);
        client
            .patch(
                &path,
                json!([{ "op": "remove", "path": format!("members[type eq \"User\" and value eq \"{}\"]", ids[1]) }]),
            )
            .expect(204);
        assert_eq!(left(client), 1);
        client.patch(&path, json!([{ "op": "remove", "path": "members" }])).expect(204);
        assert_eq!(left(client), 0);
        // A value filter on emails, where others stay.
        let user = json!({ "schemas": [USER], "userName": "babs", "emails": [
            { "value": "bjensen@example.com", "type": "work", "primary": true }, { "value": "babs@jensen.org", "type": "home" } ] });
        let path = format!("/Users/{}", client.post("/Users", &user).expect(201).id());
        let operations = json!([{ "op": "remove", "path": "emails[type eq \"work\" and value ew \"example.com\"]" }]);
        let user = client.patch(&path, operations).expect(200).json();
        assert_eq!(user["emails"], json!([{ "value": "babs@jensen.org", "type": "home" }]));
        client.patch(&path, json!([{ "op": "remove" }])).expect_error(400, Some("noTarget"), "path");
        client.patch(&path, json!([{ "op": "remove", "path": "userName" }])).expect_error(
            400,
            Some("mutability"),
            "userName",
        );
        client.patch(&path, json!([{ "op": "remove", "path": "id" }])).expect_error(400, Some("mutability"), "id");
    });
}

/// RFC 7644 3.5.2.3: replace.
#[test]
fn rfc_7644_3_5_2_3_replace() {
    on_each(|client, base| {
        let mut ids = Vec::new();
        for (name, shown) in [("bjensen", "Babs Jensen"), ("jsmith", "James Smith"), ("other", "Other")] {
            let user = json!({ "schemas": [USER], "userName": name, "displayName": shown });
            ids.push(client.post("/Users", &user).expect(201).id());
        }
        let group = json!({ "schemas": [GROUP], "displayName": "Tour Guides", "members": [{ "value": ids[2] }] });
        let path = format!("/Groups/{}", client.post("/Groups", &group).expect(201).id());
        // All members, at once.
        client
            .patch(
                &path,
                json!([{ "op": "replace", "path": "members", "value": [
                { "display": "Babs Jensen", "$ref": format!("{base}/Users/{}", ids[0]), "value": ids[0] },
                { "display": "James Smith", "$ref": format!("{base}/Users/{}", ids[1]), "value": ids[1] }
            ] }]),
            )
            .expect(204);
        let members = client.get(&path).expect(200).json()["members"].clone();
        let mut shown: Vec<&str> =
            members.as_array().unwrap().iter().map(|member| member["display"].as_str().unwrap()).collect();
        shown.sort_unstable();
        assert_eq!(shown, ["Babs Jensen", "James Smith"]);

        let mut user = full_user();
        user["userName"] = "full".into();
        let path = format!("/Users/{}", client.post("/Users", &user).expect(201).id());
        // A user's work address.
        let changed = client
            .patch(
                &path,
                json!([{ "op": "replace", "path": "addresses[type eq \"work\"]", "value": {
                "type": "work",
                "streetAddress": "911 Universal City Plaza",
                "locality": "Hollywood",
                "region": "CA",
                "postalCode": "91608",
                "country": "US",
                "formatted": "911 Universal City Plaza\nHollywood, CA 91608 US",
                "primary": true
            } }]),
            )
            .expect(200)
            .json();
        let work = changed["addresses"].as_array().unwrap().iter().find(|address| address["type"] == "work").unwrap();
        assert_eq!((&work["streetAddress"], &work["country"]), (&json!("911 Universal City Plaza"), &json!("US")));
        assert_eq!(changed["addresses"].as_array().unwrap().len(), 2, "the home address stays");
        // One of its sub-attributes.
        let changed = client
            .patch(&path, json!([{ "op": "replace", "path": "addresses[type eq \"work\"].streetAddress", "value": "1010 Broadway Ave" }]))
            .expect(200)
            .json();
        let work = changed["addresses"].as_array().unwrap().iter().find(|address| address["type"] == "work").unwrap();
        assert_eq!((&work["streetAddress"], &work["locality"]), (&json!("1010 Broadway Ave"), &json!("Hollywood")));
        // Without path: all that is named, and nothing else.
        let changed = client
            .patch(
                &path,
                json!([{ "op": "replace", "value": {
                "emails": [
                    { "value": "bjensen@example.com", "type": "work", "primary": true },
                    { "value": "babs@jensen.org", "type": "home" }
                ],
                "nickName": "Babs"
            } }]),
            )
            .expect(200)
            .json();
        assert_eq!(changed["emails"].as_array().unwrap().len(), 2);
        assert_eq!(changed["displayName"], "Babs Jensen");
        // 3.5.2: a 2xx with `attributes` answers with those.
        let body = serde_json::to_vec(
            &json!({ "schemas": [PATCH_OP], "Operations": [{ "op": "replace", "path": "nickName", "value": "B" }] }),
        )
        .unwrap();
        let url = format!("/scim/v2{path}?attributes=nickName");
        let answer =
            client.send("PATCH", &url, &[("Content-Type", "application/scim+json")], Some(&body)).unwrap().expect(200);
        assert_eq!(answer.json()["nickName"], "B");
        assert!(answer.json().get("userName").is_none());
    });
}

/// RFC 7644 3.6: deleting.
#[test]
fn rfc_7644_3_6_deleting() {
    on_each(|client, _| {
        let id = client.post("/Users", &minimal_user()).expect(201).id();
        let path = format!("/Users/{id}");
        let answer = client.delete(&path).expect(204);
        assert!(answer.body.is_empty());
        let error = client.get(&path).expect(404).json();
        assert_eq!(error["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        assert_eq!(error["status"], "404");
        assert!(error["detail"].as_str().unwrap().contains(&id), "{error}");
    });
}

/// RFC 7644 3.7.1: a circle; Group A refers to Group B and B to A there, which needs groups in groups: users' managers
/// do the same here.
#[test]
fn rfc_7644_3_7_1_circular_references() {
    on_each(|client, _| {
        let user = |bulk_id: &str, other: &str| {
            json!({ "method": "POST", "path": "/Users", "bulkId": bulk_id, "data": {
                "schemas": [USER, ENTERPRISE],
                "userName": format!("user {bulk_id}"),
                ENTERPRISE: { "manager": { "value": format!("bulkId:{other}") } }
            } })
        };
        let request = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": [user("qwerty", "ytrewq"), user("ytrewq", "qwerty")]
        });
        let done = answers(client.post("/Bulk", &request).expect(200).json());
        assert_eq!(statuses(&done), ["201", "201"]);
    });
}

/// RFC 7644 3.7.2: Alice, and a group with her as a member.
#[test]
fn rfc_7644_3_7_2_bulk_id() {
    on_each(|client, _| {
        let request = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": [
                { "method": "POST", "path": "/Users", "bulkId": "qwerty",
                  "data": { "schemas": [USER], "userName": "Alice" } },
                { "method": "POST", "path": "/Groups", "bulkId": "ytrewq",
                  "data": { "schemas": [GROUP], "displayName": "Tour Guides", "members": [{ "type": "User", "value": "bulkId:qwerty" }] } }
            ]
        });
        let done = answers(client.post("/Bulk", &request).expect(200).json());
        assert_eq!(statuses(&done), ["201", "201"]);
        for (operation, bulk_id) in done.iter().zip(["qwerty", "ytrewq"]) {
            assert_eq!((&operation["method"], &operation["bulkId"]), (&json!("POST"), &json!(bulk_id)));
            assert!(operation["version"].as_str().unwrap().starts_with("W/\""));
        }
        let alice = done[0]["location"].as_str().unwrap().rsplit('/').next().unwrap();
        let group = done[1]["location"].as_str().unwrap().rsplit('/').next().unwrap();
        let group = client.get(&format!("/Groups/{group}")).expect(200).json();
        assert_eq!(group["members"][0]["value"], alice);
        assert_eq!(group["members"][0]["type"], "User");
    });
}

/// RFC 7644 3.7.3: four operations, all well; then four that all fail; then one that ends it.
#[test]
fn rfc_7644_3_7_3_response_and_errors() {
    on_each(|client, base| {
        let mut ids = Vec::new();
        for name in ["b7c14771", "5d8d29d3", "e9025315"] {
            let created = client.post("/Users", &json!({ "schemas": [USER], "userName": name })).expect(201);
            ids.push((created.id(), created.header("etag").unwrap().to_owned()));
        }
        let operations = |version: &str| {
            json!([
                { "method": "POST", "path": "/Users", "bulkId": "qwerty", "data": {
                    "schemas": [USER], "userName": "Alice" } },
                { "method": "PUT", "path": format!("/Users/{}", ids[0].0), "version": version, "data": {
                    "schemas": [USER], "id": ids[0].0, "userName": "Bob" } },
                { "method": "PATCH", "path": format!("/Users/{}", ids[1].0), "version": ids[1].1, "data": {
                    "schemas": [PATCH_OP],
                    "Operations": [
                        { "op": "remove", "path": "nickName" },
                        { "op": "add", "path": "userName", "value": "Dave" }
                    ] } },
                { "method": "DELETE", "path": format!("/Users/{}", ids[2].0), "version": ids[2].1 }
            ])
        };
        let schemas = json!(["urn:ietf:params:scim:api:messages:2.0:BulkRequest"]);
        let request = json!({ "schemas": schemas, "failOnErrors": 1, "Operations": operations(&ids[0].1) });
        let done = answers(client.post("/Bulk", &request).expect(200).json());
        assert_eq!(statuses(&done), ["201", "200", "200", "204"], "{done:?}");
        for (operation, id) in done.iter().skip(1).zip(&ids) {
            assert_eq!(operation["location"], format!("{base}/Users/{}", id.0));
        }
        // Once more: Alice is there, two versions are old, one user is gone.
        let request = json!({ "schemas": schemas, "Operations": operations("W/\"oldversion\"") });
        let done = answers(client.post("/Bulk", &request).expect(200).json());
        assert_eq!(statuses(&done), ["409", "412", "412", "404"], "{done:?}");
        let request = json!({ "schemas": schemas, "failOnErrors": 1, "Operations": operations("W/\"oldversion\"") });
        let done = answers(client.post("/Bulk", &request).expect(200).json());
        assert_eq!(statuses(&done), ["409"]);
    });
}

/// RFC 7644 3.12: an error; 3.14: a conditional read and a conditional change.
#[test]
fn rfc_7644_3_12_and_3_14() {
    on_each(|client, _| {
        let created = client.post("/Users", &minimal_user()).expect(201);
        let (path, version) = (format!("/Users/{}", created.id()), created.header("etag").unwrap().to_owned());
        client.patch(&path, json!([{ "op": "replace", "path": "groups", "value": [] }])).expect_error(
            400,
            Some("mutability"),
            "groups",
        );
        let url = format!("/scim/v2{path}");
        let read = client.send("GET", &url, &[("If-None-Match", &version)], None).unwrap();
        assert_eq!((read.status, read.body.len(), read.header("etag")), (304, 0, Some(version.as_str())));
        let body =
            serde_json::to_vec(&json!({ "schemas": [USER], "userName": "bjensen@example.com", "title": "x" })).unwrap();
        let mut put = |version: &str| {
            let headers = [("If-Match", version), ("Content-Type", "application/scim+json")];
            client.send("PUT", &url, &headers, Some(&body)).unwrap().status
        };
        assert_eq!(put("W/\"other\""), 412);
        assert_eq!(put(&version), 200);
        assert_eq!(put(&version), 412);
    });
}
