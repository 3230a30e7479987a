//! Resources as they come in: the door for JSON, and the normal form that the rest of the house relies on.
//!
//! A resource in normal form has canonical attribute names, core attributes at the top and each extension's under its URN,
//! values of the schema's types, nothing null or empty, one primary at most, and `schemas` that says what is there.

use serde_json::Value;

use super::expand::{self, Entry};
use super::modify::{self, Rules};
use super::schema::{Home, Resolved};
use super::{Attribute, Error, Op, ResourceSchema};

/// A JSON object, in the order it was sent.
pub type Object = serde_json::Map<String, Value>;

/// Reads a request body; 400 invalidSyntax. Nesting is bounded (128 levels); of a repeated key the last one counts; a byte
/// order mark is skipped. U+0000 may stand in a string here: whether it may stay is the attribute's business.
pub fn parse(body: &[u8]) -> Result<Value, Error> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice(body).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Eof => "the body is not complete JSON",
            _ if error.to_string().starts_with("recursion limit") => "the body is nested too deeply",
            _ => "the body is not valid JSON",
        };
        Error::invalid_syntax(format!("{what} (line {}, column {})", error.line(), error.column()))
    })
}

/// [`parse`] for a body that must be one object.
pub fn parse_object(body: &[u8]) -> Result<Object, Error> {
    match parse(body)? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::invalid_syntax("the body must be a JSON object")),
    }
}

/// Brings a resource that a client sent (POST, PUT) into normal form; 400 invalidValue names the attribute.
///
/// Attributes and URNs that the schema does not have are left out, and their names go to `dropped`. What clients cannot
/// write stays: see [`strip_read_only`].
pub fn normalise(object: Object, schema: &ResourceSchema, dropped: &mut Vec<String>) -> Result<Object, Error> {
    let mut entries = Vec::with_capacity(object.len());
    expand::expand(object, Home::Core, schema, dropped, &mut entries)?;
    let mut resource = Object::new();
    let mut modifier = modify::Modifier::new(&mut resource, schema, Rules::default());
    for Entry { at, filter, value } in entries {
        if at.attribute.name != "schemas" {
            modifier.write(Op::Replace, at, filter.as_ref(), value, dropped)?;
        }
    }
    modifier.finish();
    set_schemas(&mut resource, schema);
    Ok(resource)
}

/// Removes what clients cannot write (except `schemas`) from a resource in normal form.
pub fn strip_read_only(object: &mut Object, schema: &ResourceSchema) {
    object.retain(|key, value| {
        if key == "schemas" {
            return true;
        }
        if let Some(attribute) = schema.top(key) {
            return writable(attribute, value);
        }
        let (Some(Home::Extension(extension)), Value::Object(object)) = (schema.home(key), value) else {
            return false;
        };
        object.retain(|key, value| extension.attribute(key).is_some_and(|attribute| writable(attribute, value)));
        !object.is_empty()
    });
}

/// Writes `schemas` first into a resource: the core URN, then those of the extensions it has.
pub fn set_schemas(object: &mut Object, schema: &ResourceSchema) {
    let present = schema.extensions.iter().filter(|extension| object.contains_key(&extension.id));
    let urns = std::iter::once(&schema.core).chain(present).map(|schema| Value::from(schema.id.as_str())).collect();
    object.shift_insert(0, "schemas".to_owned(), Value::Array(urns));
}

fn writable(attribute: &Attribute, value: &mut Value) -> bool {
    if attribute.is_read_only() {
        return false;
    }
    if !attribute.sub_attributes.iter().any(Attribute::is_read_only) {
        return true;
    }
    retain_sub(value, |key| !attribute.sub(key).is_some_and(Attribute::is_read_only))
}

/// Keeps these sub-attributes of a complex value, or of each of several; whether anything is left.
pub(super) fn retain_sub(value: &mut Value, keep: impl Fn(&str) -> bool) -> bool {
    let thin = |value: &mut Value| match value {
        Value::Object(object) => {
            object.retain(|key, _| keep(key));
            !object.is_empty()
        }
        _ => true,
    };
    match value {
        Value::Array(elements) => {
            elements.retain_mut(thin);
            !elements.is_empty()
        }
        value => thin(value),
    }
}

/// The value of an attribute in a resource in normal form.
pub fn get<'a>(object: &'a Object, at: Resolved<'_>) -> Option<&'a Value> {
    let object = match at.extension {
        None => object,
        Some(extension) => object.get(&extension.id)?.as_object()?,
    };
    let value = object.get(&at.attribute.name)?;
    match at.sub {
        None => Some(value),
        Some(sub) => value.get(&sub.name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::{Schema, urn};

    fn schema() -> ResourceSchema {
        ResourceSchema { core: Schema::user(), extensions: vec![Schema::enterprise_user()] }
    }

    /// The normal form without `schemas`, and what was dropped; or the error.
    fn normal(resource: Value) -> Result<(Value, Vec<String>), String> {
        let Value::Object(resource) = resource else { unreachable!() };
        let mut dropped = Vec::new();
        let mut resource = normalise(resource, &schema(), &mut dropped).map_err(|error| error.to_string())?;
        assert_eq!(resource.keys().next().map(String::as_str), Some("schemas"));
        resource.shift_remove("schemas");
        Ok((resource.into(), dropped))
    }

    const E: &str = urn::ENTERPRISE_USER;

    #[test]
    fn normal_forms() {
        for (sent, expected) in [
            (
                json!({"USERNAME": "ada", "Name": {"GIVENNAME": "Ada"}}),
                json!({"userName": "ada", "name": {"givenName": "Ada"}}),
            ),
            (
                json!({"name.givenName": "Ada", "name.familyName": "King"}),
                json!({"name": {"givenName": "Ada", "familyName": "King"}}),
            ),
            (json!({"active": "True"}), json!({"active": true})),
            (json!({"active": "FALSE"}), json!({"active": false})),
            (json!({"title": 5, "nickName": true}), json!({"title": "5", "nickName": "true"})),
            (json!({"id": null, "title": null, "nickName": "", "emails": [], "roles": null, "name": {}}), json!({})),
            (json!({"name": {"givenName": "", "familyName": null}}), json!({})),
            // core attributes under the core URN; URN keys; legacy and mistyped URNs
            (json!({(urn::USER): {"userName": "ada"}}), json!({"userName": "ada"})),
            (json!({"urn:scim:schemas:core:1.0": {"userName": "ada"}}), json!({"userName": "ada"})),
            (json!({format!("{}:userName", urn::USER): "ada"}), json!({"userName": "ada"})),
            (json!({format!("{E}:department"): "Claims"}), json!({(E): {"department": "Claims"}})),
            (
                json!({"urn:ietf:params:scim:schemas:extension:enterprise:2.0User": {"Department": "Claims"}}),
                json!({(E): {"department": "Claims"}}),
            ),
            (json!({"urn:scim:schemas:extension:enterprise:2.0": {"division": "x"}}), json!({(E): {"division": "x"}})),
            (
                json!({"urn:scim:schemas:extension:enterprise:1.0": {"division": "x"}, (E): {}}),
                json!({(E): {"division": "x"}}),
            ),
            (json!({(E): null}), json!({})),
            // multi-valued in other shapes
            (json!({"emails": "a@x.org"}), json!({"emails": [{"value": "a@x.org"}]})),
            (json!({"emails": ["a@x.org", null, "", {}]}), json!({"emails": [{"value": "a@x.org"}]})),
            (
                json!({"emails": {"Value": "a@x.org", "type": "work"}}),
                json!({"emails": [{"value": "a@x.org", "type": "work"}]}),
            ),
            (json!({"emails": [{"value": "", "type": "work", "primary": true}]}), json!({})),
            (
                json!({"addresses": [{"type": "work"}, {"type": "home", "country": "SE"}]}),
                json!({"addresses": [{"type": "home", "country": "SE"}]}),
            ),
            (
                json!({"emails": [{"value": "a", "primary": "true"}, {"value": "b", "primary": true}]}),
                json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": false}]}),
            ),
            (
                json!({"emails": [{"value": "a", "type": "work"}, {"value": "a", "type": "Work", "primary": true}]}),
                json!({"emails": [{"value": "a", "type": "work", "primary": true}]}),
            ),
            (json!({r#"emails[type eq "work"].value"#: "a"}), json!({"emails": [{"type": "work", "value": "a"}]})),
            (json!({"roles": [{"value": "{\"id\":\"1\"}"}]}), json!({"roles": [{"value": "{\"id\":\"1\"}"}]})),
            // manager in its shapes
            (json!({(E): {"manager": "26"}}), json!({(E): {"manager": {"value": "26"}}})),
            (json!({(E): {"manager": 26}}), json!({(E): {"manager": {"value": "26"}}})),
            (
                json!({(E): {"manager": {"managerId": "26", "displayName": "Lee"}}}),
                json!({(E): {"manager": {"value": "26", "displayName": "Lee"}}}),
            ),
            (json!({(E): {"manager": [{"$ref": null, "value": "26"}]}}), json!({(E): {"manager": {"value": "26"}}})),
            (
                json!({(E): {"manager": {"$ref": "../Users/26"}}}),
                json!({(E): {"manager": {"$ref": "../Users/26", "value": "26"}}}),
            ),
            (json!({"manager": "26"}), json!({(E): {"manager": {"value": "26"}}})),
            (json!({format!("{E}:manager"): "26"}), json!({(E): {"manager": {"value": "26"}}})),
            (json!({(E): {"manager": {"value": "", "$ref": "../Users/"}}}), json!({})),
            (json!({(E): {"manager": ""}}), json!({})),
            // the last spelling counts
            (json!({"userName": "a", "username": "b"}), json!({"userName": "b"})),
            (json!({"meta": {"resourceType": "User"}, "groups": []}), json!({"meta": {"resourceType": "User"}})),
        ] {
            assert_eq!(normal(sent.clone()), Ok((expected, vec![])), "{sent}");
        }
    }

    #[test]
    fn dropped_names() {
        let (_, dropped) = normal(json!({
            "schemas": "nonsense", "shoeSize": 5, "name": {"nope": 1}, "urn:acme:2.0:User": {"x": 1}, "emails": [{"value": "a", "kind": "b"}],
            "http://schemas.example.com/2006/Group": {}
        }))
        .unwrap();
        assert_eq!(
            dropped,
            ["shoeSize", "name.nope", "urn:acme:2.0:User", "http://schemas.example.com/2006/Group", "emails.kind"]
        );
    }

    #[test]
    fn refused() {
        for (sent, expected) in [
            (json!({"active": "yes"}), "active must be true or false"),
            (json!({"active": 2}), "active must be true or false"),
            (json!({"title": {"value": 1}}), "title must be a string, not an object"),
            (json!({"title": ["a", "b"]}), "title takes one value, not a list"),
            (json!({"name": "Ada"}), "name must be an object"),
            (json!({"emails": [["a"]]}), "emails holds a list inside a list"),
            (json!({"emails": [{"value": {}}]}), "emails.value must be a string, not an object"),
            (json!({"addresses": ["Main St"]}), "addresses must be an object"),
            (json!({"nickName": "a\u{0}b"}), "nickName contains a NUL character, which no database keeps"),
            (
                json!({(E): {"manager": {"value": "\u{0}"}}}),
                &format!("{E}:manager.value contains a NUL character, which no database keeps"),
            ),
            (json!({(E): "x"}), &format!("`{E}` must be an object")),
        ] {
            assert_eq!(normal(sent.clone()), Err(format!("400 invalidValue: {expected}")), "{sent}");
        }
    }

    #[test]
    fn bodies() {
        assert_eq!(parse(b"\xef\xbb\xbf{\"a\":1,\"a\":2}").unwrap(), json!({"a": 2}));
        assert_eq!(parse(br#""\u0000""#).unwrap(), json!("\u{0}"));
        for (body, expected) in [
            ("{".to_owned(), "not complete"),
            (String::new(), "not complete"),
            ("[".repeat(100_000), "too deeply"),
            ("{} x".to_owned(), "not valid"),
            ("\"\n\"".to_owned(), "not valid"),
        ] {
            let error = parse(body.as_bytes()).unwrap_err();
            assert!(error.detail.contains(expected) && error.status == 400, "{error}");
        }
        assert!(parse(b"\"\xff\"").is_err());
        assert!(parse_object(b"[]").is_err());
    }

    #[test]
    fn read_only_is_stripped() {
        let Value::Object(mut resource) = json!({
            "schemas": [urn::USER], "id": "7", "userName": "ada", "groups": [{"value": "1"}], "meta": {},
            (E): {"manager": {"value": "9", "displayName": "Lee"}}
        }) else {
            unreachable!()
        };
        strip_read_only(&mut resource, &schema());
        assert_eq!(
            Value::from(resource),
            json!({"schemas": [urn::USER], "userName": "ada", (E): {"manager": {"value": "9"}}})
        );
    }
}
