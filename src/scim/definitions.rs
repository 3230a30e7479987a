//! The schemas of RFC 7643, as data (sections 3.1, 4 and 8.7.1).
//!
//! Beyond 8.7.1 stands only what the RFC's own text and examples use: `addresses.primary` and `members.display`.

use super::schema::{Attribute, Kind, Mutability, Returned, Schema, Uniqueness};
use super::urn;

/// `schemas`, `id`, `externalId`, `meta`.
pub(super) fn common() -> Vec<Attribute> {
    vec![
        reference("schemas", "The URNs of the schemas that the resource uses", &["uri"])
            .many()
            .required()
            .read_only()
            .always(),
        string("id", "The resource's identifier, made by the service provider, never reassigned")
            .exact()
            .required()
            .read_only()
            .always()
            .unique(),
        string("externalId", "The identifier that the provisioning client knows the resource by").exact(),
        complex(
            "meta",
            "Metadata of the resource",
            vec![
                string("resourceType", "The name of the resource type").exact().read_only(),
                Attribute::new("created", Kind::DateTime, "When the resource was added").read_only(),
                Attribute::new("lastModified", Kind::DateTime, "When the resource was last changed").read_only(),
                reference("location", "The URI of the resource", &["uri"]).read_only(),
                string("version", "The version of the resource, as in the ETag header").exact().read_only(),
            ],
        )
        .read_only(),
    ]
}

pub(super) fn user() -> Schema {
    Schema {
        id: urn::USER.to_owned(),
        name: "User".to_owned(),
        description: "User Account".to_owned(),
        attributes: vec![
            string("userName", "The name by which the user signs in, unique among all users").required().unique(),
            complex(
                "name",
                "The components of the user's name",
                vec![
                    string("formatted", "The full name, formatted for display"),
                    string("familyName", "The family name, or last name"),
                    string("givenName", "The given name, or first name"),
                    string("middleName", "The middle names"),
                    string("honorificPrefix", "The honorific prefixes, or title"),
                    string("honorificSuffix", "The honorific suffixes"),
                ],
            ),
            string("displayName", "The name of the user, suitable for display"),
            string("nickName", "The casual way to address the user"),
            reference("profileUrl", "The URL of the user's online profile", &["external"]),
            string("title", "The user's title, such as \"Vice President\""),
            string("userType", "The relationship between the organization and the user"),
            string("preferredLanguage", "The preferred written or spoken language, as in Accept-Language"),
            string("locale", "The default location, for currency, date and number formats"),
            string("timezone", "The time zone, in the IANA database's form, such as \"America/Los_Angeles\""),
            Attribute::new("active", Kind::Boolean, "Whether the user may use the service"),
            string("password", "The clear text password, to be set or changed; never shown").write_only(),
            plural(
                "emails",
                "E-mail addresses of the user",
                string("value", "An e-mail address"),
                &["work", "home", "other"],
            ),
            plural(
                "phoneNumbers",
                "Phone numbers of the user",
                string("value", "A phone number"),
                &["work", "home", "mobile", "fax", "pager", "other"],
            ),
            plural(
                "ims",
                "Instant messaging addresses of the user",
                string("value", "An instant messaging address"),
                &["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"],
            ),
            plural(
                "photos",
                "URLs of photos of the user",
                reference("value", "The URL of a photo", &["external"]),
                &["photo", "thumbnail"],
            ),
            complex(
                "addresses",
                "Physical mailing addresses of the user",
                vec![
                    string("formatted", "The full address, formatted for display or a label"),
                    string("streetAddress", "Street, house number, and the like"),
                    string("locality", "The city or locality"),
                    string("region", "The state or region"),
                    string("postalCode", "The zip code or postal code"),
                    string("country", "The country"),
                    string("type", "What the address is for").canonical(&["work", "home", "other"]),
                    primary(),
                ],
            )
            .many(),
            complex(
                "groups",
                "The groups that the user belongs to",
                vec![
                    string("value", "The id of the group").read_only(),
                    reference("$ref", "The URI of the group", &["User", "Group"]).read_only(),
                    string("display", "The name of the group, for display").read_only(),
                    string("type", "Whether the membership is direct or through another group")
                        .canonical(&["direct", "indirect"])
                        .read_only(),
                ],
            )
            .many()
            .read_only(),
            plural("entitlements", "What the user is entitled to", string("value", "An entitlement"), &[]),
            plural("roles", "The roles of the user", string("value", "A role"), &[]),
            plural(
                "x509Certificates",
                "Certificates issued to the user",
                Attribute::new("value", Kind::Binary, "An X.509 certificate, DER in base64"),
                &[],
            ),
        ],
    }
}

pub(super) fn group() -> Schema {
    Schema {
        id: urn::GROUP.to_owned(),
        name: "Group".to_owned(),
        description: "Group".to_owned(),
        attributes: vec![
            string("displayName", "The name of the group, suitable for display"),
            complex(
                "members",
                "The members of the group",
                vec![
                    string("value", "The id of the member").immutable(),
                    reference("$ref", "The URI of the member", &["User", "Group"]).immutable(),
                    string("type", "What the member is").canonical(&["User", "Group"]).immutable(),
                    string("display", "The name of the member, for display").read_only(),
                ],
            )
            .many(),
        ],
    }
}

pub(super) fn enterprise_user() -> Schema {
    Schema {
        id: urn::ENTERPRISE_USER.to_owned(),
        name: "EnterpriseUser".to_owned(),
        description: "Enterprise User".to_owned(),
        attributes: vec![
            string("employeeNumber", "What the organization identifies the person by"),
            string("costCenter", "The name of a cost center"),
            string("organization", "The name of an organization"),
            string("division", "The name of a division"),
            string("department", "The name of a department"),
            complex(
                "manager",
                "The user's manager",
                vec![
                    string("value", "The id of the manager"),
                    reference("$ref", "The URI of the manager", &["User"]),
                    string("displayName", "The displayName of the manager").read_only(),
                ],
            ),
        ],
    }
}

fn string(name: &str, description: &str) -> Attribute {
    Attribute::new(name, Kind::String, description)
}

fn reference(name: &str, description: &str, types: &[&str]) -> Attribute {
    let mut attribute = Attribute::new(name, Kind::Reference, description);
    attribute.reference_types = types.iter().map(|kind| (*kind).to_owned()).collect();
    attribute
}

fn complex(name: &str, description: &str, sub_attributes: Vec<Attribute>) -> Attribute {
    let mut attribute = Attribute::new(name, Kind::Complex, description);
    attribute.sub_attributes = sub_attributes;
    attribute
}

/// A multi-valued attribute with the sub-attributes of RFC 7643 2.4.
fn plural(name: &str, description: &str, value: Attribute, types: &[&str]) -> Attribute {
    let display = string("display", "The value for people, for display");
    let kind = string("type", "What the value is for").canonical(types);
    complex(name, description, vec![value, display, kind, primary()]).many()
}

fn primary() -> Attribute {
    Attribute::new("primary", Kind::Boolean, "Whether this is the preferred value; true for one at most")
}

impl Attribute {
    fn many(mut self) -> Self {
        self.multi_valued = true;
        self
    }

    fn required(mut self) -> Self {
        self.required = true;
        self
    }

    fn exact(mut self) -> Self {
        self.case_exact = true;
        self
    }

    fn read_only(mut self) -> Self {
        self.mutability = Mutability::ReadOnly;
        self
    }

    fn immutable(mut self) -> Self {
        self.mutability = Mutability::Immutable;
        self
    }

    fn write_only(mut self) -> Self {
        self.mutability = Mutability::WriteOnly;
        self.returned = Returned::Never;
        self
    }

    fn always(mut self) -> Self {
        self.returned = Returned::Always;
        self
    }

    fn unique(mut self) -> Self {
        self.uniqueness = Uniqueness::Server;
        self
    }

    fn canonical(mut self, values: &[&str]) -> Self {
        self.canonical_values = values.iter().map(|value| (*value).to_owned()).collect();
        self
    }
}
