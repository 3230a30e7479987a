//! What a resource type speaks: attributes, their characteristics (RFC 7643 2 and 7), and how a path finds one.
//!
//! The adapter prunes and extends the RFC's schemas to what is mapped, so every field is public; a schema document made from
//! one never promises more. Names and URNs are looked up in any case.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::path::AttributePath;
use super::{definitions, name, urn};

/// The data types of RFC 7643 2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum Kind {
    String,
    Boolean,
    Decimal,
    Integer,
    DateTime,
    Reference,
    Binary,
    Complex,
}

/// Who may change a value (RFC 7643 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum Mutability {
    ReadOnly,
    ReadWrite,
    Immutable,
    WriteOnly,
}

/// When a value stands in an answer (RFC 7643 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum Returned {
    Always,
    Never,
    Default,
    Request,
}

/// Among whom a value is unique (RFC 7643 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum Uniqueness {
    None,
    Server,
    Global,
}

/// One attribute or sub-attribute and its characteristics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// As the schema writes it; compared in any case.
    pub name: String,
    /// The data type.
    pub kind: Kind,
    /// An array of values.
    pub multi_valued: bool,
    /// For people.
    pub description: String,
    /// A resource cannot be without.
    pub required: bool,
    /// Compared with regard to case.
    pub case_exact: bool,
    /// Who may change it.
    pub mutability: Mutability,
    /// When it is in an answer.
    pub returned: Returned,
    /// Among whom it is unique.
    pub uniqueness: Uniqueness,
    /// Suggested values.
    pub canonical_values: Vec<String>,
    /// What a reference may point to: resource types, `external`, `uri`.
    pub reference_types: Vec<String>,
    /// Those of a complex attribute.
    pub sub_attributes: Vec<Attribute>,
}

impl Attribute {
    /// A singular, optional, readWrite attribute, returned by default; change what is different.
    pub fn new(name: &str, kind: Kind, description: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            multi_valued: false,
            description: description.to_owned(),
            required: false,
            // RFC 7643 2.3.6 and 2.3.7: a binary and a reference are always case-exact.
            case_exact: matches!(kind, Kind::Binary | Kind::Reference),
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            uniqueness: Uniqueness::None,
            canonical_values: Vec::new(),
            reference_types: Vec::new(),
            sub_attributes: Vec::new(),
        }
    }

    /// The sub-attribute of that name, in any case.
    pub fn sub(&self, sub: &str) -> Option<&Attribute> {
        self.sub_attributes.iter().find(|attribute| name::same(&attribute.name, sub))
    }

    /// Whether clients cannot write it.
    pub fn is_read_only(&self) -> bool {
        self.mutability == Mutability::ReadOnly
    }

    /// The member of a schema document's `attributes` (RFC 7643 7).
    pub fn to_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("name", self.name.as_str().into());
        put("type", self.kind.as_str().into());
        put("multiValued", self.multi_valued.into());
        put("description", self.description.as_str().into());
        put("required", self.required.into());
        if self.kind == Kind::Complex {
            put("subAttributes", self.sub_attributes.iter().map(Self::to_json).collect());
        } else {
            put("caseExact", self.case_exact.into());
        }
        put("mutability", self.mutability.as_str().into());
        put("returned", self.returned.as_str().into());
        put("uniqueness", self.uniqueness.as_str().into());
        if !self.canonical_values.is_empty() {
            put("canonicalValues", self.canonical_values.clone().into());
        }
        if !self.reference_types.is_empty() {
            put("referenceTypes", self.reference_types.clone().into());
        }
        Value::Object(object)
    }
}

/// A schema: a URN and its attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The URN.
    pub id: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Without the common ones, which belong to every resource.
    pub attributes: Vec<Attribute>,
}

impl Schema {
    /// RFC 7643 4.1 and 8.7.1, whole.
    pub fn user() -> Self {
        definitions::user()
    }

    /// RFC 7643 4.2 and 8.7.1, whole.
    pub fn group() -> Self {
        definitions::group()
    }

    /// RFC 7643 4.3 and 8.7.1, whole.
    pub fn enterprise_user() -> Self {
        definitions::enterprise_user()
    }

    /// The attribute of that name, in any case.
    pub fn attribute(&self, attribute: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|candidate| name::same(&candidate.name, attribute))
    }

    /// The resource that `/Schemas` shows; `base_url` is that of the SCIM service, without a slash at its end.
    pub fn to_json(&self, base_url: &str) -> Value {
        json!({
            "schemas": [urn::SCHEMA],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": self.attributes.iter().map(Attribute::to_json).collect::<Value>(),
            "meta": { "resourceType": "Schema", "location": format!("{base_url}/Schemas/{}", self.id) },
        })
    }
}

static COMMON: LazyLock<Vec<Attribute>> = LazyLock::new(definitions::common);

/// What one resource type speaks. The common attributes (`schemas`, `id`, `externalId`, `meta`) belong to it without being
/// listed, unless `core` lists one of them itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSchema {
    /// The resource type's own schema.
    pub core: Schema,
    /// Its extensions.
    pub extensions: Vec<Schema>,
}

/// Which of a resource's schemas a URN names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home<'a> {
    /// The core schema: its attributes stand at the top of the resource.
    Core,
    /// An extension: its attributes stand in an object under its URN.
    Extension(&'a Schema),
}

/// What a path points to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolved<'a> {
    /// `None`: core or common.
    pub extension: Option<&'a Schema>,
    /// The attribute.
    pub attribute: &'a Attribute,
    /// The sub-attribute, if the path has one.
    pub sub: Option<&'a Attribute>,
}

impl Resolved<'_> {
    /// The canonical full name: `emails.value`, `urn:...:User:manager.value`.
    pub fn full_name(&self) -> String {
        let mut text = String::new();
        if let Some(extension) = self.extension {
            text.push_str(&extension.id);
            text.push(':');
        }
        text.push_str(&self.attribute.name);
        if let Some(sub) = self.sub {
            text.push('.');
            text.push_str(&sub.name);
        }
        text
    }
}

impl ResourceSchema {
    /// The attributes of every resource: `schemas`, `id`, `externalId`, `meta` (RFC 7643 3.1).
    pub fn common() -> &'static [Attribute] {
        &COMMON
    }

    /// The schema that a URN names, in any known spelling and any case.
    pub fn home(&self, urn: &str) -> Option<Home<'_>> {
        if name::same(&self.core.id, urn) {
            return Some(Home::Core);
        }
        if let Some(extension) = self.extensions.iter().find(|extension| name::same(&extension.id, urn)) {
            return Some(Home::Extension(extension));
        }
        match urn::meaning(urn)? {
            urn::Meaning::Core => Some(Home::Core),
            urn::Meaning::Known(known) if known == self.core.id => Some(Home::Core),
            urn::Meaning::Known(known) => {
                self.extensions.iter().find(|extension| extension.id == known).map(Home::Extension)
            }
        }
    }

    /// The core or common attribute of that name, in any case.
    pub fn top(&self, attribute: &str) -> Option<&Attribute> {
        self.core.attribute(attribute).or_else(|| COMMON.iter().find(|common| name::same(&common.name, attribute)))
    }

    /// What a path points to; `None` if this resource type has no such thing. An unqualified name is looked for in the core
    /// first and then in the extensions, because clients write `manager` and `department` so.
    pub fn resolve(&self, path: &AttributePath) -> Option<Resolved<'_>> {
        let (extension, attribute) = match path.schema.as_deref() {
            Some(urn) => match self.home(urn)? {
                Home::Core => (None, self.top(&path.attribute)?),
                Home::Extension(extension) => (Some(extension), extension.attribute(&path.attribute)?),
            },
            None => match self.top(&path.attribute) {
                Some(attribute) => (None, attribute),
                None => self.extensions.iter().find_map(|extension| {
                    extension.attribute(&path.attribute).map(|attribute| (Some(extension), attribute))
                })?,
            },
        };
        let sub = match path.sub.as_deref() {
            Some(sub) => Some(attribute.sub(sub)?),
            None => None,
        };
        Some(Resolved { extension, attribute, sub })
    }
}

impl Kind {
    /// The word in a schema document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::Decimal => "decimal",
            Self::Integer => "integer",
            Self::DateTime => "dateTime",
            Self::Reference => "reference",
            Self::Binary => "binary",
            Self::Complex => "complex",
        }
    }
}

impl Mutability {
    /// The word in a schema document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "readOnly",
            Self::ReadWrite => "readWrite",
            Self::Immutable => "immutable",
            Self::WriteOnly => "writeOnly",
        }
    }
}

impl Returned {
    /// The word in a schema document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Never => "never",
            Self::Default => "default",
            Self::Request => "request",
        }
    }
}

impl Uniqueness {
    /// The word in a schema document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Server => "server",
            Self::Global => "global",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> ResourceSchema {
        ResourceSchema { core: Schema::user(), extensions: vec![Schema::enterprise_user()] }
    }

    #[test]
    fn resolves() {
        let schema = user();
        for (path, expected) in [
            ("USERNAME", Some("userName")),
            ("name.familyname", Some("name.familyName")),
            ("urn:ietf:params:scim:schemas:core:2.0:User:Emails.VALUE", Some("emails.value")),
            ("urn:scim:schemas:core:1.0:userName", Some("userName")),
            ("manager", Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager")),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0User:manager.value",
                Some("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value"),
            ),
            ("externalid", Some("externalId")),
            ("meta.lastModified", Some("meta.lastModified")),
            ("urn:ietf:params:scim:schemas:core:2.0:Group:members", None),
            ("name.nope", None),
            ("shoeSize", None),
        ] {
            let found = schema.resolve(&path.parse().unwrap()).map(|resolved| resolved.full_name());
            assert_eq!(found.as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn document() {
        let document = Schema::group().to_json("https://scim.example.org/scim/v2");
        assert_eq!(document["id"], urn::GROUP);
        assert_eq!(document["schemas"], json!([urn::SCHEMA]));
        assert_eq!(document["meta"]["location"], format!("https://scim.example.org/scim/v2/Schemas/{}", urn::GROUP));
        assert_eq!(document["attributes"][1]["subAttributes"][0]["mutability"], "immutable");
        assert_eq!(document["attributes"][0]["caseExact"], false);
    }
}
