//! PATCH as tables: a resource, operations, and what becomes of it.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::scim::{Schema, ScimType, urn};

const E: &str = urn::ENTERPRISE_USER;

fn user() -> ResourceSchema {
    ResourceSchema { core: Schema::user(), extensions: vec![Schema::enterprise_user()] }
}

fn object(value: Value) -> Object {
    let Value::Object(object) = value else { unreachable!() };
    object
}

fn run(schema: &ResourceSchema, before: Value, operations: Value, options: &Options<'_>) -> Result<Outcome, Error> {
    Patch::parse(json!({"Operations": operations}), &Limits::default())?.apply(&object(before), schema, options)
}

/// What a user becomes, without `schemas`.
fn patched(before: &Value, operations: &Value) -> Value {
    match run(&user(), before.clone(), operations.clone(), &Options::default()) {
        Ok(mut outcome) => {
            assert_eq!(outcome.ignored, Vec::<String>::new(), "{operations}");
            outcome.resource.shift_remove("schemas");
            outcome.resource.into()
        }
        Err(error) => json!(format!("{error}")),
    }
}

fn table(rows: Vec<(Value, Value, Value)>) {
    for (before, operations, expected) in rows {
        assert_eq!(patched(&before, &operations), expected, "{before} with {operations}");
    }
}

#[test]
fn singular_attributes() {
    let ada = json!({"id": "7", "userName": "ada", "active": true, "title": "Countess", "name": {"givenName": "Ada", "familyName": "King"}});
    let with = |key: &str, value: Value| {
        let mut after = ada.clone();
        after[key] = value;
        after
    };
    let without = |key: &str| {
        let mut after = object(ada.clone());
        after.shift_remove(key);
        Value::from(after)
    };
    table(vec![
        (ada.clone(), json!([]), ada.clone()),
        (ada.clone(), json!([{"op": "Replace", "path": "active", "value": "False"}]), with("active", json!(false))),
        (ada.clone(), json!([{"op": "replace", "value": {"active": false}}]), with("active", json!(false))),
        (
            ada.clone(),
            json!([{"op": "ADD", "path": "TITLE", "value": "Adjuster", "name": "stray"}]),
            with("title", json!("Adjuster")),
        ),
        (ada.clone(), json!([{"op": "replace", "path": "title", "value": ""}]), without("title")),
        (ada.clone(), json!([{"op": "replace", "path": "title", "value": null}]), without("title")),
        (ada.clone(), json!([{"op": "remove", "path": "title"}]), without("title")),
        (ada.clone(), json!([{"op": "remove", "path": "title", "value": "Countess"}]), without("title")),
        (ada.clone(), json!([{"op": "remove", "path": "nickName"}]), ada.clone()),
        (
            ada.clone(),
            json!([{"op": "replace", "path": "name.familyName", "value": "Lovelace"}]),
            with("name", json!({"givenName": "Ada", "familyName": "Lovelace"})),
        ),
        (
            ada.clone(),
            json!([{"op": "replace", "path": "name", "value": {"familyName": "Lovelace"}}]),
            with("name", json!({"givenName": "Ada", "familyName": "Lovelace"})),
        ),
        (
            ada.clone(),
            json!([{"op": "replace", "value": {"name": {"familyName": ""}}}]),
            with("name", json!({"givenName": "Ada"})),
        ),
        (
            ada.clone(),
            json!([{"op": "replace", "value": {"name.givenName": "A", "name.familyName": "K"}}]),
            with("name", json!({"givenName": "A", "familyName": "K"})),
        ),
        (ada.clone(), json!([{"op": "remove", "path": "name"}]), without("name")),
        (
            ada.clone(),
            json!([{"op": "remove", "path": "name.givenName"}, {"op": "remove", "path": "name.familyName"}]),
            without("name"),
        ),
        (ada.clone(), json!([{"op": "replace", "path": "name", "value": null}]), without("name")),
        (
            ada.clone(),
            json!([{"op": "remove", "path": "title"}, {"op": "add", "path": "title", "value": "Broker"}, {"op": "replace", "path": "title", "value": "Surveyor"}]),
            {
                let mut after = object(without("title"));
                after.insert("title".into(), json!("Surveyor"));
                after.into()
            },
        ),
        // what clients echo is passed over without a path
        (
            ada.clone(),
            json!([{"op": "replace", "value": {"id": "8", "schemas": [], "meta": {"version": "1"}, "groups": [{"value": "1"}], "title": "x"}}]),
            with("title", json!("x")),
        ),
        (ada.clone(), json!([{"op": "replace", "path": "id", "value": "7"}]), ada.clone()),
        (ada.clone(), json!([{"op": "add", "path": "schemas", "value": [E]}]), ada.clone()),
        // the core URN as prefix, and as a key
        (
            ada.clone(),
            json!([{"op": "replace", "path": format!("{}:title", urn::USER), "value": "x"}]),
            with("title", json!("x")),
        ),
        (
            ada.clone(),
            json!([{"op": "replace", "path": urn::USER, "value": {"title": "x"}}]),
            with("title", json!("x")),
        ),
        (ada.clone(), json!([{"op": "replace", "value": {(urn::USER): {"title": "x"}}}]), with("title", json!("x"))),
        // required: gone in between is fine
        (
            json!({"userName": "ada"}),
            json!([{"op": "remove", "path": "userName"}, {"op": "add", "path": "userName", "value": "ada2"}]),
            json!({"userName": "ada2"}),
        ),
    ]);
}

#[test]
fn multi_valued_attributes() {
    let work = json!({"value": "a@x.org", "type": "work", "primary": true});
    let one = json!({"emails": [work]});
    let home = json!({"value": "b@x.org", "type": "home"});
    let two = json!({"emails": [work, home]});
    table(vec![
        // add merges
        (one.clone(), json!([{"op": "add", "path": "emails", "value": [home]}]), two.clone()),
        (one.clone(), json!([{"op": "add", "path": "emails", "value": home}]), two.clone()),
        (one.clone(), json!([{"op": "add", "path": "emails", "value": [{"value": "A@x.org"}]}]), one.clone()),
        (one.clone(), json!([{"op": "add", "value": {"emails": [work]}}]), one.clone()),
        (one.clone(), json!([{"op": "add", "path": "emails", "value": []}]), one.clone()),
        (
            one.clone(),
            json!([{"op": "add", "path": "emails", "value": [{"value": "b@x.org", "primary": "True"}]}]),
            json!({"emails": [{"value": "a@x.org", "type": "work", "primary": false}, {"value": "b@x.org", "primary": true}]}),
        ),
        // replace
        (two.clone(), json!([{"op": "replace", "path": "emails", "value": [home]}]), json!({"emails": [home]})),
        (two.clone(), json!([{"op": "replace", "path": "emails", "value": []}]), json!({})),
        (two.clone(), json!([{"op": "replace", "value": {"emails": null}}]), json!({})),
        // remove
        (two.clone(), json!([{"op": "remove", "path": "emails"}]), json!({})),
        (two.clone(), json!([{"op": "remove", "path": "emails", "value": null}]), json!({})),
        (two.clone(), json!([{"op": "remove", "path": "emails", "value": ""}]), json!({})),
        (two.clone(), json!([{"op": "remove", "path": "emails", "value": [{"value": "b@x.org"}]}]), one.clone()),
        (two.clone(), json!([{"op": "remove", "path": "emails", "value": ["c@x.org"]}]), two.clone()),
        (two.clone(), json!([{"op": "remove", "path": "emails", "value": ""}]), json!({})),
        (two.clone(), json!([{"op": "remove", "path": "emails", "value": [{"type": "home"}]}]), one.clone()),
        (two.clone(), json!([{"op": "remove", "path": r#"emails[type eq "home"]"#}]), one.clone()),
        (two.clone(), json!([{"op": "remove", "path": r#"emails[type eq "home"].value"#}]), one.clone()),
        (two.clone(), json!([{"op": "remove", "path": r#"emails[type eq "other"]"#}]), two.clone()),
        // value paths
        (
            one.clone(),
            json!([{"op": "replace", "path": r#"emails[type eq "work"].value"#, "value": "n@x.org"}]),
            json!({"emails": [{"value": "n@x.org", "type": "work", "primary": true}]}),
        ),
        (
            json!({"userName": "ada"}),
            json!([{"op": "Add", "path": r#"emails[type eq "work"].value"#, "value": "n@x.org"}]),
            json!({"userName": "ada", "emails": [{"type": "work", "value": "n@x.org"}]}),
        ),
        (
            json!({}),
            json!([
                {"op": "Replace", "path": r#"addresses[type eq "work"].locality"#, "value": "Lund"},
                {"op": "Add", "path": r#"addresses[type eq "work"].country"#, "value": "SE"}
            ]),
            json!({"addresses": [{"type": "work", "locality": "Lund", "country": "SE"}]}),
        ),
        // order does not matter: the type and the mark before the value
        (
            json!({}),
            json!([
                {"op": "Add", "path": r#"emails[type eq "work"].primary"#, "value": "true"},
                {"op": "Add", "path": r#"emails[type eq "work"].type"#, "value": "work"},
                {"op": "Add", "path": r#"emails[type eq "work"].value"#, "value": "n@x.org"}
            ]),
            json!({"emails": [{"type": "work", "primary": true, "value": "n@x.org"}]}),
        ),
        (json!({}), json!([{"op": "Add", "path": r#"emails[type eq "work"].primary"#, "value": true}]), json!({})),
        (one.clone(), json!([{"op": "replace", "path": r#"emails[type eq "work"].value"#, "value": ""}]), json!({})),
        (
            one.clone(),
            json!([{"op": "replace", "path": r#"emails[type eq "home"].value"#, "value": null}]),
            one.clone(),
        ),
        (
            two.clone(),
            json!([{"op": "replace", "path": r#"emails[type eq "home"].primary"#, "value": true}]),
            json!({"emails": [
                {"value": "a@x.org", "type": "work", "primary": false}, {"value": "b@x.org", "type": "home", "primary": true}
            ]}),
        ),
        (
            two.clone(),
            json!([{"op": "replace", "path": r#"emails[type eq "home"]"#, "value": {"value": "c@x.org"}}]),
            json!({"emails": [work, {"value": "c@x.org", "type": "home"}]}),
        ),
        (
            two.clone(),
            json!([{"op": "add", "path": r#"emails[type eq "home"]"#, "value": {"display": "Home"}}]),
            json!({"emails": [work, {"value": "b@x.org", "type": "home", "display": "Home"}]}),
        ),
        (
            json!({"roles": []}),
            json!([{"op": "Add", "path": r#"roles[primary eq "True"].value"#, "value": "admin"}]),
            json!({"roles": [{"primary": true, "value": "admin"}]}),
        ),
        (
            json!({}),
            json!([{"op": "replace", "value": {r#"phoneNumbers[type eq "mobile"].value"#: "555-0100"}}]),
            json!({"phoneNumbers": [{"type": "mobile", "value": "555-0100"}]}),
        ),
        // a sub-attribute without a filter
        (
            two.clone(),
            json!([{"op": "replace", "path": "emails.value", "value": "n@x.org"}]),
            json!({"emails": [
                {"value": "n@x.org", "type": "work", "primary": true}, home
            ]}),
        ),
        (
            json!({}),
            json!([{"op": "add", "path": "emails.value", "value": "n@x.org"}]),
            json!({"emails": [{"value": "n@x.org"}]}),
        ),
        (two.clone(), json!([{"op": "remove", "path": "emails.value"}]), json!({})),
    ]);
}

#[test]
fn extensions_and_the_manager() {
    let before = json!({"userName": "ada", (E): {"department": "Claims", "manager": {"value": "1", "$ref": "../Users/1", "displayName": "Lee"}}});
    let manager = |value: Value| json!({"userName": "ada", (E): {"department": "Claims", "manager": value}});
    let cleared = json!({"userName": "ada", (E): {"department": "Claims"}});
    let path = format!("{E}:manager");
    table(vec![
        (before.clone(), json!([{"op": "Add", "path": path, "value": "2"}]), manager(json!({"value": "2"}))),
        (
            before.clone(),
            json!([{"op": "replace", "path": path, "value": {"value": "2"}}]),
            manager(json!({"value": "2"})),
        ),
        (
            before.clone(),
            json!([{"op": "add", "path": path, "value": {"$ref": "/Users/2", "value": "2"}}]),
            manager(json!({"$ref": "/Users/2", "value": "2"})),
        ),
        (
            before.clone(),
            json!([{"op": "add", "path": path, "value": [{"$ref": null, "value": "2"}]}]),
            manager(json!({"value": "2"})),
        ),
        (before.clone(), json!([{"op": "add", "path": "manager", "value": "2"}]), manager(json!({"value": "2"}))),
        (before.clone(), json!([{"op": "replace", "value": {(path.as_str()): "2"}}]), manager(json!({"value": "2"}))),
        (
            before.clone(),
            json!([{"op": "replace", "value": {(E): {"manager": {"managerId": "2"}}}}]),
            manager(json!({"value": "2"})),
        ),
        (
            before.clone(),
            json!([{"op": "replace", "path": format!("{path}.value"), "value": "2"}]),
            manager(json!({"value": "2"})),
        ),
        (before.clone(), json!([{"op": "replace", "value": {"manager": {"displayName": "Nobody"}}}]), before.clone()),
        (before.clone(), json!([{"op": "replace", "path": path, "value": ""}]), cleared.clone()),
        (before.clone(), json!([{"op": "replace", "path": path, "value": {"value": ""}}]), cleared.clone()),
        (
            before.clone(),
            json!([{"op": "replace", "path": path, "value": {"$ref": "", "value": null}}]),
            cleared.clone(),
        ),
        (before.clone(), json!([{"op": "replace", "path": path, "value": null}]), cleared.clone()),
        (before.clone(), json!([{"op": "replace", "value": {"manager": []}}]), cleared.clone()),
        (before.clone(), json!([{"op": "remove", "path": path}]), cleared.clone()),
        (before.clone(), json!([{"op": "remove", "path": format!("{path}.value")}]), cleared),
        (before.clone(), json!([{"op": "remove", "path": E}]), json!({"userName": "ada"})),
        (before.clone(), json!([{"op": "replace", "value": {(E): null}}]), json!({"userName": "ada"})),
        (
            json!({"userName": "ada"}),
            json!([{"op": "add", "path": E, "value": {"division": "North"}}]),
            json!({"userName": "ada", (E): {"division": "North"}}),
        ),
        (
            json!({"userName": "ada"}),
            json!([{"op": "replace", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0User:division", "value": "North"}]),
            json!({"userName": "ada", (E): {"division": "North"}}),
        ),
    ]);
}

#[test]
fn schemas_follow_what_is_there() {
    let operations = json!([{"op": "add", "path": "department", "value": "Claims"}]);
    let outcome = run(&user(), json!({"schemas": [urn::USER], "id": "1"}), operations, &Options::default()).unwrap();
    assert_eq!(
        Value::from(outcome.resource),
        json!({"schemas": [urn::USER, E], "id": "1", (E): {"department": "Claims"}})
    );
}

#[test]
fn a_custom_extension_without_a_version() {
    let mut schema = user();
    schema.extensions.push(Schema { id: "urn:acme:badge".into(), ..Schema::group() });
    schema.extensions.push(Schema { id: "urn:acme:2.0".into(), ..Schema::group() });
    for (operations, expected) in [
        (
            json!([{"op": "add", "path": "urn:acme:badge", "value": {"displayName": "x"}}]),
            json!({"urn:acme:badge": {"displayName": "x"}}),
        ),
        (
            json!([{"op": "add", "path": "urn:acme:badge:displayName", "value": "x"}]),
            json!({"urn:acme:badge": {"displayName": "x"}}),
        ),
        (
            json!([{"op": "add", "path": "urn:acme:2.0", "value": {"displayName": "x"}}]),
            json!({"urn:acme:2.0": {"displayName": "x"}}),
        ),
        (
            json!([{"op": "add", "path": "urn:acme:2.0:displayName", "value": "x"}]),
            json!({"urn:acme:2.0": {"displayName": "x"}}),
        ),
        (
            json!([{"op": "add", "value": {"urn:acme:2.0": {"displayName": "x"}}}]),
            json!({"urn:acme:2.0": {"displayName": "x"}}),
        ),
    ] {
        let mut outcome = run(&schema, json!({}), operations, &Options::default()).unwrap();
        outcome.resource.shift_remove("schemas");
        assert_eq!((Value::from(outcome.resource), outcome.ignored), (expected, vec![]));
    }
}

#[test]
fn what_the_schema_does_not_have_is_reported() {
    let operations = json!([
        {"op": "add", "path": "shoeSize", "value": 5},
        {"op": "remove", "path": r#"shoes[size eq 5]"#},
        {"op": "add", "path": "urn:acme:2.0:Thing", "value": {}},
        {"op": "add", "path": "name", "value": {"nope": 1, "givenName": "Ada"}},
        {"op": "replace", "value": {"hatSize": 1, "name.nope": 2, "http://x": 3}}
    ]);
    let outcome = run(&user(), json!({}), operations, &Options::default()).unwrap();
    assert_eq!(outcome.resource["name"], json!({"givenName": "Ada"}));
    assert_eq!(
        outcome.ignored,
        ["shoeSize", "shoes[size eq 5]", "urn:acme:2.0:Thing", "name.nope", "hatSize", "name.nope", "http://x"]
    );
}

#[test]
fn refused() {
    let before = json!({"id": "7", "userName": "ada", "emails": [{"value": "a", "type": "work"}], "title": "x"});
    for (operations, scim_type, detail) in [
        (json!([{"op": "remove"}]), ScimType::NoTarget, "operation 1: remove needs a path"),
        (
            json!([{"op": "move", "path": "title"}]),
            ScimType::InvalidSyntax,
            "operation 1: op must be add, replace or remove",
        ),
        (json!([{"op": "add", "path": "title"}]), ScimType::InvalidValue, "operation 1: add and replace need a value"),
        (
            json!([{"op": "add", "path": "", "value": "x"}]),
            ScimType::InvalidValue,
            "operation 1: a value without path must be an object",
        ),
        (
            json!([{"op": "add", "path": 5, "value": "x"}]),
            ScimType::InvalidPath,
            "operation 1: a path must be a string",
        ),
        (
            json!([{"op": "add", "path": "a b", "value": "x"}]),
            ScimType::InvalidPath,
            "operation 1: `a b` is not an attribute path",
        ),
        (json!(["add"]), ScimType::InvalidSyntax, "operation 1: an operation must be an object"),
        (json!({}), ScimType::InvalidSyntax, "Operations must be a list"),
        (
            json!([{"op": "add", "path": "title", "value": "y"}, {"op": "replace", "path": "id", "value": "8"}]),
            ScimType::Mutability,
            "operation 2: id is read-only",
        ),
        (json!([{"op": "remove", "path": "groups"}]), ScimType::Mutability, "operation 1: groups is read-only"),
        (
            json!([{"op": "replace", "path": "manager.displayName", "value": "x"}]),
            ScimType::Mutability,
            "operation 1: urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.displayName is read-only",
        ),
        (
            json!([{"op": "remove", "path": "userName"}]),
            ScimType::Mutability,
            "userName is required and cannot be removed",
        ),
        (
            json!([{"op": "replace", "value": {"userName": ""}}]),
            ScimType::Mutability,
            "userName is required and cannot be removed",
        ),
        (
            json!([{"op": "add", "path": "active", "value": "maybe"}]),
            ScimType::InvalidValue,
            "operation 1: active must be true or false",
        ),
        (
            json!([{"op": "add", "path": r#"emails[type ne "work"].value"#, "value": "x"}]),
            ScimType::NoTarget,
            r#"operation 1: no value of emails meets the filter type ne "work""#,
        ),
        (
            json!([{"op": "add", "path": r#"name[givenName eq "x"].familyName"#, "value": "x"}]),
            ScimType::InvalidPath,
            "operation 1: name has one value and takes no filter",
        ),
        (
            json!([{"op": "remove", "path": urn::USER}]),
            ScimType::NoTarget,
            "operation 1: remove cannot empty `urn:ietf:params:scim:schemas:core:2.0:User`",
        ),
        (
            json!([{"op": "add", "path": "nickName", "value": "a\u{0}"}]),
            ScimType::InvalidValue,
            "operation 1: nickName contains a NUL character, which no database keeps",
        ),
    ] {
        let error = run(&user(), before.clone(), operations.clone(), &Options::default()).unwrap_err();
        assert_eq!(
            (error.status, error.scim_type, error.detail.as_str()),
            (400, Some(scim_type), detail),
            "{operations}"
        );
    }
    let many = json!({"Operations": vec![json!({"op": "remove", "path": "title"}); 3]});
    let limits = Limits { operations: 2, ..Limits::default() };
    assert_eq!(Patch::parse(many, &limits).unwrap_err().status, 413);
    let strict = Options { strict_no_target: true, ..Options::default() };
    let operations = json!([{"op": "replace", "path": r#"emails[type eq "home"].value"#, "value": "x"}]);
    assert_eq!(run(&user(), before, operations, &strict).unwrap_err().scim_type, Some(ScimType::NoTarget));
}

#[test]
fn an_immutable_attribute_is_set_once() {
    let mut schema = user();
    schema.core.attributes.iter_mut().find(|attribute| attribute.name == "userType").unwrap().mutability =
        Mutability::Immutable;
    let set = |before: Value, value: Value| {
        run(&schema, before, json!([{"op": "replace", "path": "userType", "value": value}]), &Options::default())
    };
    assert_eq!(set(json!({}), json!("Employee")).unwrap().resource["userType"], "Employee");
    assert!(set(json!({"userType": "Employee"}), json!("Employee")).is_ok());
    assert_eq!(set(json!({"userType": "Employee"}), json!("Guest")).unwrap_err().scim_type, Some(ScimType::Mutability));
    assert_eq!(set(json!({"userType": "Employee"}), json!(null)).unwrap_err().scim_type, Some(ScimType::Mutability));
}

#[test]
fn an_attribute_that_holds_one_value() {
    let names = ["emails".to_owned()];
    let options = Options { single_valued: &names, ..Options::default() };
    let sole = json!({"emails": [{"value": "a@x.org", "type": "work", "primary": true}]});
    for (before, operations, expected) in [
        (
            sole.clone(),
            json!([{"op": "replace", "path": r#"emails[type eq "home"].value"#, "value": "b@x.org"}]),
            json!([{"value": "b@x.org", "type": "home", "primary": true}]),
        ),
        (
            json!({}),
            json!([{"op": "add", "path": r#"emails[type eq "home"].value"#, "value": "b"}]),
            json!([{"type": "home", "value": "b"}]),
        ),
        (
            sole.clone(),
            json!([{"op": "replace", "path": r#"emails[type eq "home"].value"#, "value": ""}]),
            sole["emails"].clone(),
        ),
        (sole.clone(), json!([{"op": "remove", "path": r#"emails[type eq "home"]"#}]), sole["emails"].clone()),
    ] {
        let outcome = run(&user(), before, operations.clone(), &options).unwrap();
        assert_eq!(outcome.resource["emails"], expected, "{operations}");
    }
}

#[test]
fn a_filter_on_what_is_not_mapped_tells_no_values_apart() {
    let mut schema = user();
    for attribute in schema.core.attributes.iter_mut().filter(|attribute| attribute.name == "emails") {
        attribute.sub_attributes.retain(|sub| sub.name == "value");
    }
    let operations = json!([{"op": "replace", "path": r#"emails[type eq "work"].value"#, "value": "b"}]);
    for before in [json!({}), json!({"emails": [{"value": "a"}]})] {
        let outcome = run(&schema, before, operations.clone(), &Options::default()).unwrap();
        assert_eq!(outcome.resource["emails"], json!([{"value": "b"}]));
    }
}

#[test]
fn comparisons_are_bounded() {
    let many = |start: u32| (start..start + 5000).map(|n| json!({"value": n.to_string()})).collect::<Value>();
    let add = |start| json!([{"op": "add", "path": "roles", "value": many(start)}]);
    let first = run(&user(), json!({}), add(0), &Options::default()).unwrap().resource;
    assert_eq!(first["roles"].as_array().unwrap().len(), 5000);
    let error = run(&user(), first.clone().into(), add(3000), &Options::default()).unwrap_err();
    assert_eq!(
        (error.status, error.detail.as_str()),
        (413, "operation 1: too many values of roles to change in one request")
    );
    let one = json!([{"op": "add", "path": "roles", "value": ["x"]}]);
    assert_eq!(
        run(&user(), first.into(), one, &Options::default()).unwrap().resource["roles"].as_array().unwrap().len(),
        5001
    );
}

#[test]
fn messages_in_odd_shapes() {
    for message in [
        json!({"schemas": [urn::PATCH_OP], "operations": [{"OP": "Replace", "Path": null, "Value": {"title": "x"}}]}),
        json!({"OPERATIONS": [{"op": "add", "path": "  ", "value": {"title": "x"}}], "extra": 1}),
    ] {
        let patch = Patch::parse(message, &Limits::default()).unwrap();
        assert_eq!(patch.apply(&Object::new(), &user(), &Options::default()).unwrap().resource["title"], "x");
    }
    for message in [json!([]), json!({}), json!({"Operations": null})] {
        assert_eq!(Patch::parse(message, &Limits::default()).unwrap_err().scim_type, Some(ScimType::InvalidSyntax));
    }
}

/// Resources as no client sends them: known keys in odd spellings, with values of any shape.
fn odd_resources() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3u32).prop_map(Value::from),
        prop::sample::select(vec!["", "True", "a", "a@x.org", "work", "Users/7", "a\u{0}"]).prop_map(Value::from),
    ];
    let keys = vec![
        "userName",
        "USERNAME",
        "active",
        "title",
        "name",
        "name.givenName",
        "givenName",
        "emails",
        "emails.value",
        "value",
        "type",
        "primary",
        "display",
        "$ref",
        "roles",
        "addresses",
        "locality",
        "manager",
        "managerId",
        "displayName",
        "department",
        "id",
        "meta",
        "groups",
        "schemas",
        "externalId",
        "urn:scim:schemas:core:1.0",
        urn::USER,
        E,
        "a b",
        "emails[type eq \"work\"].value",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
        "urn:acme:2.0:X",
    ];
    let value = leaf.prop_recursive(3, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(keys.clone()), inner), 0..5).prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<Object>()
                .into()),
        ]
    });
    value.prop_filter("a resource is an object", Value::is_object)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn the_normal_form_is_one_and_patch_agrees_with_post(sent in odd_resources()) {
        let schema = user();
        let posted = resource::normalise(object(sent.clone()), &schema, &mut Vec::new());
        let patched = run(&schema, json!({}), json!([{"op": "replace", "value": sent}]), &Options::default());
        if let Ok(mut posted) = posted {
            let again = resource::normalise(posted.clone(), &schema, &mut Vec::new()).unwrap();
            prop_assert_eq!(&again, &posted);
            resource::strip_read_only(&mut posted, &schema);
            let mut patched = patched.unwrap().resource;
            resource::set_schemas(&mut posted, &schema);
            resource::set_schemas(&mut patched, &schema);
            prop_assert_eq!(patched, posted);
        }
    }
}
