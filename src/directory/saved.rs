//! What the journal keeps of bodies and queries: nothing, what steers a request, or all of it; never a secret.
//!
//! - `none`: no bodies and no queries.
//! - `redacted`: structure, operations, paths, types, booleans, numbers, references, and the names that an identity server
//!   knows a resource by (`id`, `externalId`, `userName`; a group's `displayName`). Any other text is replaced by its length.
//! - `full`: as it came.
//!
//! Under all of them the value of every attribute that is `returned: never`, or whose name is that of a secret, is replaced,
//! in bodies, in PATCH operations by their path, in filters. A body that cannot be read is not kept: nobody knows what is
//! in it.

use crate::adapter::{Adapter, is_secret_name};
use crate::scim::{self, Returned};
use regex::{Captures, Regex};
use serde_json::{Map, Value as Json};
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

/// The most bytes of one body.
const MOST: usize = 64 * 1024;
const SECRET: &str = "(secret)";

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Saves {
    /// No bodies.
    #[default]
    Nothing,
    /// What is not personal.
    Redacted,
    /// Everything but secrets.
    Full,
}

/// What is kept of the requests of one identity server.
#[derive(Clone, Debug, Default)]
pub struct Saver {
    saves: Saves,
    /// Attributes that are never returned, in lower case.
    never: Arc<HashSet<String>>,
}

impl Saver {
    /// For the attributes of an adapter.
    pub fn new(saves: Saves, adapter: &Adapter) -> Self {
        let mut never = HashSet::new();
        for type_ in &adapter.resource_types {
            let schemas = std::iter::once(&type_.schema.core).chain(&type_.schema.extensions);
            schemas.for_each(|schema| never_returned(&schema.attributes, &mut never));
        }
        Self { saves, never: Arc::new(never) }
    }

    /// Whether reads are journalled too.
    pub fn keeps_reads(&self) -> bool {
        self.saves != Saves::Nothing
    }

    /// A body as it is kept.
    pub fn body(&self, body: &Json) -> Option<String> {
        if self.saves == Saves::Nothing || body.is_null() {
            return None;
        }
        let groups = body.get("schemas").is_some_and(|schemas| schemas.to_string().contains(":Group\""));
        let text = self.cleaned(&Around { key: "", parent: "", groups }, body).to_string();
        Some(bounded(text))
    }

    /// A body that was not JSON.
    pub fn unreadable(&self, bytes: usize) -> Option<String> {
        (self.saves != Saves::Nothing).then(|| format!("({bytes} bytes that are not JSON)"))
    }

    /// What stood behind the `?`.
    pub fn query(&self, query: &str) -> Option<String> {
        if self.saves == Saves::Nothing || query.is_empty() {
            return None;
        }
        let Ok(parameters) = scim::query::decode(query) else {
            return Some("(unreadable)".to_owned());
        };
        let known = ["attributes", "excludedAttributes", "sortBy", "sortOrder", "startIndex", "count", "cursor"];
        let kept = parameters.iter().map(|(name, value)| {
            let kept = if name.eq_ignore_ascii_case("filter") {
                self.filter("", value)
            } else if self.is_secret(name) {
                SECRET.to_owned()
            } else if self.saves == Saves::Full || known.iter().any(|known| name.eq_ignore_ascii_case(known)) {
                value.to_string()
            } else {
                length(value)
            };
            format!("{name}={kept}")
        });
        Some(bounded(kept.collect::<Vec<_>>().join("&")))
    }

    fn is_secret(&self, name: &str) -> bool {
        self.never.contains(&local(name)) || is_secret_name(name)
    }

    fn cleaned(&self, around: &Around<'_>, value: &Json) -> Json {
        if self.is_secret(around.key) && !value.is_null() {
            return Json::from(SECRET);
        }
        match value {
            Json::Array(items) => items.iter().map(|item| self.cleaned(around, item)).collect(),
            Json::Object(object) => Json::Object(self.object(around, object)),
            Json::String(text) => Json::from(self.text(around, text)),
            other => other.clone(),
        }
    }

    fn object(&self, around: &Around<'_>, object: &Map<String, Json>) -> Map<String, Json> {
        // A PATCH operation says what its value is in `path`.
        let path = object.iter().find(|(key, _)| key.eq_ignore_ascii_case("path")).and_then(|(_, path)| path.as_str());
        let operates = object.keys().any(|key| key.eq_ignore_ascii_case("op"));
        let path = path.filter(|_| operates);
        let entry = |(key, value): (&String, &Json)| {
            let cleaned = match path {
                Some(path) if key.eq_ignore_ascii_case("value") => {
                    let (parent, key) = ends(path);
                    if path_words(path).any(|word| self.is_secret(word)) && !value.is_null() {
                        Json::from(SECRET)
                    } else {
                        self.cleaned(&Around { key: &key, parent: &parent, ..*around }, value)
                    }
                }
                // Without a path the attributes stand in it.
                None if operates && key.eq_ignore_ascii_case("value") && value.is_object() => {
                    self.cleaned(&Around { key: "", parent: "", ..*around }, value)
                }
                _ => self.cleaned(&Around { key, parent: around.key, ..*around }, value),
            };
            (key.clone(), cleaned)
        };
        object.iter().map(entry).collect()
    }

    fn text(&self, around: &Around<'_>, text: &str) -> String {
        let key = local(around.key);
        if key == "path" || key == "filter" {
            return self.filter(if key == "path" { text } else { "" }, text);
        }
        if self.saves == Saves::Full || is_open(&key, &local(around.parent), around.groups) {
            return text.to_owned();
        }
        length(text)
    }

    /// A filter, or a path with one in it.
    fn filter(&self, root: &str, text: &str) -> String {
        static LITERAL: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(r#"([A-Za-z$][\w$.:-]*)(\s+[A-Za-z]{2}\s+)("(?:[^"\\]|\\.)*"?|[^\s()\]]+)"#).ok()
        });
        let Some(literal) = &*LITERAL else { return length(text) };
        let parent = local(root.split('[').next().unwrap_or_default());
        let replaced = literal.replace_all(text, |found: &Captures<'_>| {
            let (whole, name) = (found.get(0).map_or("", |m| m.as_str()), found.get(1).map_or("", |m| m.as_str()));
            let (operator, value) = (found.get(2).map_or("", |m| m.as_str()), found.get(3).map_or("", |m| m.as_str()));
            let mut parts = name.rsplit('.');
            let (last, before) = (local(parts.next().unwrap_or_default()), local(parts.next().unwrap_or_default()));
            let parent = if before.is_empty() { &parent } else { &before };
            if name.split(['.', ':']).any(|word| self.is_secret(word)) {
                format!("{name}{operator}{SECRET}")
            } else if self.saves == Saves::Full || !value.starts_with('"') || is_open(&last, parent, false) {
                whole.to_owned()
            } else {
                format!("{name}{operator}{}", length(value.trim_matches('"')))
            }
        });
        replaced.into_owned()
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Around<'a> {
    key: &'a str,
    /// The attribute that it is a sub-attribute of.
    parent: &'a str,
    /// The resource is a group.
    groups: bool,
}

/// Whether text is kept when what is personal is not.
fn is_open(key: &str, parent: &str, groups: bool) -> bool {
    const OPEN: [&str; 29] = [
        "schemas",
        "id",
        "externalid",
        "username",
        "op",
        "path",
        "type",
        "primary",
        "active",
        "$ref",
        "resourcetype",
        "location",
        "version",
        "method",
        "bulkid",
        "status",
        "scimtype",
        "created",
        "lastmodified",
        "attributes",
        "excludedattributes",
        "sortby",
        "sortorder",
        "startindex",
        "count",
        "cursor",
        "nextcursor",
        "schema",
        "meta",
    ];
    const REFERENCES: [&str; 4] = ["members", "groups", "manager", "roles"];
    OPEN.contains(&key)
        || REFERENCES.contains(&key)
        || (key == "value" && REFERENCES.contains(&parent))
        || (key == "displayname" && groups)
}

/// An attribute's name without its schema and in lower case.
fn local(name: &str) -> String {
    name.rsplit(':').next().unwrap_or_default().to_ascii_lowercase()
}

/// The attribute and the sub-attribute at the end of a path; one of them alone stands second.
fn ends(path: &str) -> (String, String) {
    let outside: String = path.split('[').enumerate().fold(String::new(), |all, (index, part)| {
        all + if index == 0 { part } else { part.split_once(']').map_or("", |(_, rest)| rest) }
    });
    let name = outside.rsplit(':').next().unwrap_or_default();
    match name.trim().rsplit_once('.') {
        // The 0 of a version: what stands before is a schema.
        Some((parent, sub)) if !parent.is_empty() => (local(parent), local(sub)),
        _ => (String::new(), local(name.trim())),
    }
}

fn path_words(path: &str) -> impl Iterator<Item = &str> {
    path.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-' && c != '$').filter(|word| !word.is_empty())
}

fn length(text: &str) -> String {
    format!("({} characters)", text.chars().count())
}

fn bounded(text: String) -> String {
    if text.len() <= MOST {
        return text;
    }
    let end = (0..=MOST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}... ({} bytes in all)", text.get(..end).unwrap_or_default(), text.len())
}

fn never_returned(attributes: &[scim::Attribute], never: &mut HashSet<String>) {
    for attribute in attributes {
        if attribute.returned == Returned::Never {
            never.insert(attribute.name.to_ascii_lowercase());
        }
        never_returned(&attribute.sub_attributes, never);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn saver(saves: Saves) -> Saver {
        Saver { saves, never: Arc::new(HashSet::from(["badgenumber".to_owned()])) }
    }

    fn kept(saves: Saves, body: &Json) -> Json {
        serde_json::from_str(&saver(saves).body(body).unwrap()).unwrap()
    }

    #[test]
    fn no_setting_keeps_secrets() {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "password": "canary",
            "PassWord": "canary",
            "urn:x:2.0:User:password": "canary",
            "badgeNumber": "canary",
            "ext": { "apiToken": { "value": "canary" }, "BADGENUMBER": ["canary"] },
            "Operations": [
                { "op": "replace", "path": "password", "value": "canary" },
                { "OP": "Add", "PATH": "urn:x:2.0:User:PASSWORD", "VALUE": { "deep": "canary" } },
                { "op": "replace", "value": { "password": "canary", "name.secret": "canary" } },
                { "op": "remove", "path": "x[password eq \"canary\"].y" },
                { "op": "replace", "path": "x[badgeNumber eq \"canary\"].y", "value": "canary" },
            ],
            "filter": "password eq \"canary\" and userName sw \"a\" or badgenumber co \"can\\\"ary canary",
        });
        for saves in [Saves::Redacted, Saves::Full] {
            let text = kept(saves, &body).to_string();
            assert!(!text.contains("canary") && !text.contains("ary"), "{saves:?}: {text}");
        }
        assert_eq!(saver(Saves::Nothing).body(&body), None);
        for saves in [Saves::Redacted, Saves::Full] {
            let query = saver(saves).query("filter=password%20eq%20%22canary%22&access_token=canary&count=3").unwrap();
            assert!(!query.contains("canary") && query.contains("count=3"), "{query}");
        }
    }

    #[test]
    fn redacted_keeps_what_steers() {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": "ada", "externalId": "x1", "active": true, "displayName": "Ada L",
            "name": { "givenName": "Ada" },
            "emails": [{ "value": "ada@example.org", "type": "work", "primary": true }],
            "groups": [{ "value": "7", "display": "Engineers" }],
        });
        assert_eq!(
            kept(Saves::Redacted, &user),
            json!({
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
                "userName": "ada", "externalId": "x1", "active": true, "displayName": "(5 characters)",
                "name": { "givenName": "(3 characters)" },
                "emails": [{ "value": "(15 characters)", "type": "work", "primary": true }],
                "groups": [{ "value": "7", "display": "(9 characters)" }],
            })
        );
        assert_eq!(kept(Saves::Full, &user), user);
        let patch = json!({ "Operations": [
            { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "a@b.c" },
            { "op": "add", "path": "members", "value": [{ "value": "12" }] },
            { "op": "remove", "path": "members[value eq \"12\"]" },
            { "op": "remove", "path": "emails[value eq \"a@b.c\"]" },
            { "op": "replace", "path": "active", "value": "False" },
            { "op": "replace", "path": "name.familyName", "value": "Byron" },
        ] });
        assert_eq!(
            kept(Saves::Redacted, &patch),
            json!({ "Operations": [
                { "op": "replace", "path": "emails[type eq \"work\"].value", "value": "(5 characters)" },
                { "op": "add", "path": "members", "value": [{ "value": "12" }] },
                { "op": "remove", "path": "members[value eq \"12\"]" },
                { "op": "remove", "path": "emails[value eq (5 characters)]" },
                { "op": "replace", "path": "active", "value": "False" },
                { "op": "replace", "path": "name.familyName", "value": "(5 characters)" },
            ] })
        );
        let query =
            saver(Saves::Redacted).query("filter=userName+eq+%22ada%22+and+name.familyName+eq+%22B%22").unwrap();
        assert_eq!(query, "filter=userName eq \"ada\" and name.familyName eq (1 characters)");
    }

    #[test]
    fn what_is_long_is_cut() {
        let kept = saver(Saves::Full).body(&json!({ "title": "ä".repeat(MOST) })).unwrap();
        assert!(kept.len() < MOST + 40 && kept.ends_with(" bytes in all)"), "{}", kept.len());
    }
}
