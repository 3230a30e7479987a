//! Which attributes an answer shows (RFC 7644 3.4.2.5 and 3.9, `returned` of RFC 7643 7).
//!
//! It removes and never adds; without parameters it only walks over the names at the top of the resource.

use serde_json::Value;

use super::resource::retain_sub;
use super::schema::Home;
use super::{Attribute, AttributePath, Error, Object, ResourceSchema, Returned, Schema, name};

/// `attributes` and `excludedAttributes`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Projection {
    /// Only these, and what is always returned.
    pub attributes: Option<Vec<AttributePath>>,
    /// Not these, unless always returned.
    pub excluded: Vec<AttributePath>,
}

/// What a list of paths says about an attribute.
#[derive(PartialEq)]
enum Mention {
    None,
    /// Some of its sub-attributes.
    Part,
    Whole,
}

impl Projection {
    /// From the texts of the two parameters: paths separated by commas; 400 invalidPath.
    pub fn parse(attributes: Option<&str>, excluded: Option<&str>) -> Result<Self, Error> {
        let paths = |text: Option<&str>| -> Result<Vec<AttributePath>, Error> {
            let pieces = text.unwrap_or_default().split(',').map(str::trim);
            pieces.filter(|piece| !piece.is_empty()).map(AttributePath::parse).collect()
        };
        let attributes = paths(attributes)?;
        Ok(Self { attributes: (!attributes.is_empty()).then_some(attributes), excluded: paths(excluded)? })
    }

    /// Whether an answer shows anything of an attribute; what it does not show need not be read.
    pub fn wants(&self, schema: &ResourceSchema, extension: Option<&Schema>, attribute: &Attribute) -> bool {
        match attribute.returned {
            Returned::Always => return true,
            Returned::Never => return false,
            Returned::Default | Returned::Request => {}
        }
        let asked = match &self.attributes {
            None => attribute.returned == Returned::Default,
            Some(paths) => mention(paths, schema, extension, attribute) != Mention::None,
        };
        asked && mention(&self.excluded, schema, extension, attribute) != Mention::Whole
    }

    /// Removes what the answer does not show. `resource` is in normal form.
    pub fn apply(&self, mut resource: Object, schema: &ResourceSchema) -> Object {
        resource.retain(|key, value| {
            if let Some(attribute) = schema.top(key) {
                return self.keep(value, schema, None, attribute);
            }
            // What the schema does not know is nobody's to show.
            let (Some(Home::Extension(extension)), Value::Object(object)) = (schema.home(key), value) else {
                return false;
            };
            object.retain(|key, value| {
                extension.attribute(key).is_some_and(|attribute| self.keep(value, schema, Some(extension), attribute))
            });
            !object.is_empty()
        });
        resource
    }

    fn keep(
        &self,
        value: &mut Value,
        schema: &ResourceSchema,
        extension: Option<&Schema>,
        attribute: &Attribute,
    ) -> bool {
        if !self.wants(schema, extension, attribute) {
            return false;
        }
        let plain = self.attributes.is_none() && self.excluded.is_empty();
        let special = |sub: &Attribute| matches!(sub.returned, Returned::Never | Returned::Request);
        if plain && !attribute.sub_attributes.iter().any(special) {
            return true;
        }
        let whole = match &self.attributes {
            None => true,
            // Always returned, though not asked for: whole.
            Some(paths) => mention(paths, schema, extension, attribute) != Mention::Part,
        };
        let shown: Vec<&str> = attribute
            .sub_attributes
            .iter()
            .filter(|sub| {
                let named = |paths: &[AttributePath]| {
                    paths.iter().any(|path| {
                        path.sub.as_deref().is_some_and(|name| name::same(name, &sub.name))
                            && is_of(path, schema, extension, attribute)
                    })
                };
                let asked = self.attributes.as_deref().is_some_and(named);
                match sub.returned {
                    Returned::Always => true,
                    Returned::Never => false,
                    Returned::Request => asked,
                    Returned::Default => (whole || asked) && !named(&self.excluded),
                }
            })
            .map(|sub| sub.name.as_str())
            .collect();
        if shown.len() == attribute.sub_attributes.len() {
            return true;
        }
        retain_sub(value, |key| shown.contains(&key))
    }
}

fn mention(
    paths: &[AttributePath],
    schema: &ResourceSchema,
    extension: Option<&Schema>,
    attribute: &Attribute,
) -> Mention {
    let mut found = Mention::None;
    for path in paths {
        if is_of(path, schema, extension, attribute) {
            match path.sub {
                None => return Mention::Whole,
                Some(_) => found = Mention::Part,
            }
        } else if let Some(Home::Extension(whole)) = path.as_urn().and_then(|urn| schema.home(&urn))
            && extension.is_some_and(|extension| extension.id == whole.id)
        {
            return Mention::Whole;
        }
    }
    found
}

/// Whether a path points to the attribute or into it.
fn is_of(path: &AttributePath, schema: &ResourceSchema, extension: Option<&Schema>, attribute: &Attribute) -> bool {
    if !name::same(&path.attribute, &attribute.name) {
        return false;
    }
    match (&path.schema, extension) {
        (None, None) => true,
        // An unqualified name is the core's if the core has it.
        (None, Some(_)) => schema.top(&path.attribute).is_none(),
        (Some(urn), _) => match (schema.home(urn), extension) {
            (Some(Home::Core), None) => true,
            (Some(Home::Extension(home)), Some(extension)) => home.id == extension.id,
            _ => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::urn;

    fn schema() -> ResourceSchema {
        let mut core = Schema::user();
        for attribute in &mut core.attributes {
            if attribute.name == "nickName" {
                attribute.returned = Returned::Request;
            }
        }
        ResourceSchema { core, extensions: vec![Schema::enterprise_user()] }
    }

    fn keys(attributes: &str, excluded: &str) -> Value {
        let resource = json!({
            "schemas": [urn::USER, urn::ENTERPRISE_USER],
            "id": "7",
            "userName": "ada",
            "nickName": "A",
            "password": "never",
            "name": {"givenName": "Ada", "familyName": "King"},
            "emails": [{"value": "a@example.org", "type": "work"}, {"value": "b@example.org"}],
            "groups": [{"value": "1", "display": "Staff"}],
            "stranger": true,
            "meta": {"resourceType": "User", "created": "2020-01-01T00:00:00Z"},
            (urn::ENTERPRISE_USER): {"department": "Claims", "manager": {"value": "9", "displayName": "Lee"}}
        });
        let Value::Object(resource) = resource else { unreachable!() };
        let mut shown = Projection::parse(Some(attributes), Some(excluded)).unwrap().apply(resource, &schema());
        assert_eq!(shown.remove("id"), Some(json!("7")));
        assert!(shown.remove("schemas").is_some());
        assert!(!shown.contains_key("password") && !shown.contains_key("stranger"));
        Value::Object(shown)
    }

    #[test]
    fn attributes() {
        assert_eq!(keys("USERNAME", ""), json!({"userName": "ada"}));
        assert_eq!(keys("id", ""), json!({}));
        assert_eq!(keys("password,stranger,nickName", ""), json!({"nickName": "A"}));
        assert_eq!(
            keys("name.givenName, emails.type,meta.created", ""),
            json!({"name": {"givenName": "Ada"}, "emails": [{"type": "work"}], "meta": {"created": "2020-01-01T00:00:00Z"}})
        );
        assert_eq!(keys("department", ""), json!({(urn::ENTERPRISE_USER): {"department": "Claims"}}));
        assert_eq!(
            keys(&format!("{0}:manager.value,{0}:department", urn::ENTERPRISE_USER), ""),
            json!({(urn::ENTERPRISE_USER): {"department": "Claims", "manager": {"value": "9"}}})
        );
        assert_eq!(
            keys(&format!("{},{}:userName", urn::ENTERPRISE_USER, urn::USER), ""),
            json!({
                "userName": "ada",
                (urn::ENTERPRISE_USER): {"department": "Claims", "manager": {"value": "9", "displayName": "Lee"}}
            })
        );
        assert_eq!(keys("userName,name", "name"), json!({"userName": "ada"}));
    }

    #[test]
    fn excluded() {
        let all = keys("", "");
        assert!(all.get("nickName").is_none() && all.get("userName").is_some());
        let less = keys("", "groups,emails.value,id,schemas,meta,name.givenName,department,manager.displayName");
        assert_eq!(
            less,
            json!({
                "userName": "ada",
                "name": {"familyName": "King"},
                "emails": [{"type": "work"}],
                (urn::ENTERPRISE_USER): {"manager": {"value": "9"}}
            })
        );
        assert!(keys("", urn::ENTERPRISE_USER).get(urn::ENTERPRISE_USER).is_none());
    }

    #[test]
    fn wants() {
        let schema = ResourceSchema { core: Schema::group(), extensions: vec![] };
        let members = schema.top("members").unwrap();
        for (attributes, excluded, expected) in [
            ("", "", true),
            ("", "members", false),
            ("", "MEMBERS", false),
            ("", "members.display", true),
            ("", "urn:ietf:params:scim:schemas:core:2.0:Group:members", false),
            ("id", "", false),
            ("members.value", "", true),
            ("displayName,members", "", true),
        ] {
            let projection = Projection::parse(Some(attributes), Some(excluded)).unwrap();
            assert_eq!(projection.wants(&schema, None, members), expected, "{attributes} {excluded}");
        }
        assert!(Projection::parse(Some("a b"), None).is_err());
    }
}
