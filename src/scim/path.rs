//! Attribute paths (RFC 7644 3.4.2.2 attrPath) and PATCH paths (RFC 7644 3.5.2).
//!
//! Case is kept as sent; whoever looks a path up in a schema compares without case. A URN ends at the last colon, except
//! that the URNs of [`urn`] are known whole, and that a name straight after a version (`...:2.0:User`) belongs to the URN.

use std::fmt;
use std::str::FromStr;

use super::filter::{self, Filter};
use super::{Error, name, urn};

/// `userName`, `name.familyName`, `urn:...:User:manager.value`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttributePath {
    /// The URN it is qualified with.
    pub schema: Option<String>,
    /// The attribute.
    pub attribute: String,
    /// The sub-attribute.
    pub sub: Option<String>,
}

/// Where a PATCH operation applies.
#[derive(Debug, Clone, PartialEq)]
pub enum Path {
    /// A URN alone: all of that schema's attributes.
    Schema(String),
    /// An attribute or sub-attribute.
    Attribute(AttributePath),
    /// `emails[type eq "work"].value`; `attribute` has no sub-attribute of its own.
    Value {
        /// The multi-valued attribute.
        attribute: AttributePath,
        /// Which of its values.
        filter: Filter,
        /// What of these values.
        sub: Option<String>,
    },
}

impl AttributePath {
    /// An unqualified attribute.
    pub fn new(attribute: impl Into<String>) -> Self {
        Self { schema: None, attribute: attribute.into(), sub: None }
    }

    /// Parses; 400 invalidPath.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.trim_matches(' ');
        let (schema, rest) = split_urn(text);
        let (attribute, sub) = match rest.split_once('.') {
            Some((attribute, sub)) => (attribute, Some(sub)),
            None => (rest, None),
        };
        if !name::is_valid(attribute) || !sub.is_none_or(name::is_valid) {
            return Err(Error::invalid_path(format!("{} is not an attribute path", quoted(text))));
        }
        Ok(Self { schema: schema.map(str::to_owned), attribute: attribute.to_owned(), sub: sub.map(str::to_owned) })
    }

    /// The same text taken for a URN: what looks like an attribute may be the end of an extension's URN.
    pub fn as_urn(&self) -> Option<String> {
        match (&self.schema, &self.sub) {
            (Some(schema), None) => Some(format!("{schema}:{}", self.attribute)),
            _ => None,
        }
    }
}

impl Path {
    /// Parses; 400 invalidPath. The filter inside obeys `limits`.
    pub fn parse(text: &str, limits: &filter::Limits) -> Result<Self, Error> {
        let text = text.trim_matches(' ');
        let Some((attribute, rest)) = text.split_once('[') else {
            return if is_whole_urn(text) {
                Ok(Self::Schema(text.to_owned()))
            } else {
                AttributePath::parse(text).map(Self::Attribute)
            };
        };
        let attribute = AttributePath::parse(attribute)?;
        if attribute.sub.is_some() {
            return Err(Error::invalid_path(format!("in {}, a filter cannot follow a sub-attribute", quoted(text))));
        }
        let (filter, rest) = Filter::parse_bracketed(rest, limits)
            .map_err(|error| Error::invalid_path(format!("in {}: {}", quoted(text), error.detail)))?;
        let sub = match rest.strip_prefix('.') {
            None if rest.is_empty() => None,
            Some(sub) if name::is_valid(sub) => Some(sub.to_owned()),
            _ => {
                return Err(Error::invalid_path(format!(
                    "in {}: expected .sub-attribute or the end after ]",
                    quoted(text)
                )));
            }
        };
        Ok(Self::Value { attribute, filter, sub })
    }
}

impl FromStr for AttributePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl FromStr for Path {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text, &filter::Limits::default())
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}:")?;
        }
        f.write_str(&self.attribute)?;
        match &self.sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(urn) => f.write_str(urn),
            Self::Attribute(path) => path.fmt(f),
            Self::Value { attribute, filter, sub } => {
                write!(f, "{attribute}[{filter}]")?;
                match sub {
                    Some(sub) => write!(f, ".{sub}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// A piece of what the client sent, short enough for a message.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if short.len() < text.len() && text.chars().nth(60).is_some() {
        short.push('…');
    }
    format!("`{short}`")
}

fn split_urn(text: &str) -> (Option<&str>, &str) {
    if !urn::is_urn(text) {
        return (None, text);
    }
    if let Some((length, _)) = urn::leading(text)
        && let (Some(schema), Some(rest)) = (text.get(..length), text.get(length + 1..))
    {
        return (Some(schema), rest);
    }
    match text.rsplit_once(':') {
        Some((schema, rest)) => (Some(schema), rest),
        None => (None, text),
    }
}

fn is_whole_urn(text: &str) -> bool {
    if !urn::is_urn(text) {
        return false;
    }
    if let Some((length, _)) = urn::leading(text) {
        return length == text.len();
    }
    let is_version = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_digit()) && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    let mut parts = text.rsplit(':');
    let last = parts.next().unwrap_or_default();
    is_version(last) || (name::is_valid(last) && parts.next().is_some_and(is_version))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTERPRISE: &str = urn::ENTERPRISE_USER;

    #[test]
    fn attribute_paths() {
        for (text, schema, attribute, sub) in [
            ("userName", None, "userName", None),
            (" name.familyName ", None, "name", Some("familyName")),
            ("manager.$ref", None, "manager", Some("$ref")),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName", Some(urn::USER), "userName", None),
            ("urn:ietf:params:scim:schemas:core:2.0:User:name.familyName", Some(urn::USER), "name", Some("familyName")),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
                Some(ENTERPRISE),
                "manager",
                Some("value"),
            ),
            ("urn:scim:schemas:core:1.0:userName", Some("urn:scim:schemas:core:1.0"), "userName", None),
            ("urn:acme:people:badge", Some("urn:acme:people"), "badge", None),
            ("urn:acme:2.0:Badge:number", Some("urn:acme:2.0:Badge"), "number", None),
        ] {
            let path = AttributePath::parse(text).unwrap();
            assert_eq!(
                (path.schema.as_deref(), path.attribute.as_str(), path.sub.as_deref()),
                (schema, attribute, sub),
                "{text}"
            );
            assert_eq!(path.to_string(), text.trim(), "{text}");
        }
    }

    #[test]
    fn patch_paths() {
        for text in [
            "members",
            "name.givenName",
            r#"emails[type eq "work"].value"#,
            r#"members[value eq "a.b]c"]"#,
            r#"addresses[type eq "work" and primary eq true].streetAddress"#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:emails[type eq "work"].value"#,
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
        ] {
            let path = Path::parse(text, &filter::Limits::default()).unwrap();
            assert!(!matches!(path, Path::Schema(_)), "{text}");
            assert_eq!(path.to_string(), text);
        }
        for text in [
            ENTERPRISE,
            urn::USER,
            "urn:acme:2.0:Badge",
            "urn:acme:2.0",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0User",
        ] {
            assert_eq!(Path::parse(text, &filter::Limits::default()).unwrap(), Path::Schema(text.to_owned()));
        }
    }

    #[test]
    fn malformed_paths() {
        for text in [
            "",
            ".",
            "name.",
            ".value",
            "a.b.c",
            "user name",
            "1abc",
            "emails[",
            "emails[]",
            r#"emails[type eq "work""#,
            r#"emails[type eq "work"]value"#,
            r#"emails[type eq "work"].a.b"#,
            r#"a.b[type eq "work"]"#,
            r#"[type eq "x"]"#,
            "emails]",
            "naïve",
            "members[value eq]",
            "user:name",
            "members[value eq \"a\"] or x pr",
        ] {
            let error = Path::parse(text, &filter::Limits::default()).unwrap_err();
            assert_eq!(
                (error.status, error.scim_type),
                (400, Some(super::super::ScimType::InvalidPath)),
                "{text}: {error}"
            );
        }
    }
}
