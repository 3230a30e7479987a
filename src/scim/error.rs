//! A SCIM error: what the client is told, and what only the log is told (RFC 7644 3.12, RFC 9865 4).
//!
//! `detail` is written for the person who reads it in an identity provider's log and never holds a value that could be
//! secret; `cause` never leaves the process.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::urn;

/// RFC 7644 table 9 and RFC 9865 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the RFCs'")]
pub enum ScimType {
    InvalidFilter,
    TooMany,
    Uniqueness,
    Mutability,
    InvalidSyntax,
    InvalidPath,
    NoTarget,
    InvalidValue,
    InvalidVers,
    Sensitive,
    InvalidCursor,
    ExpiredCursor,
    InvalidCount,
}

impl ScimType {
    /// The keyword on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::InvalidVers => "invalidVers",
            Self::Sensitive => "sensitive",
            Self::InvalidCursor => "invalidCursor",
            Self::ExpiredCursor => "expiredCursor",
            Self::InvalidCount => "invalidCount",
        }
    }
}

/// An answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// The keyword, where the RFCs have one.
    pub scim_type: Option<ScimType>,
    /// For the client: which attribute, which rule.
    pub detail: String,
    /// For the log alone: what really happened.
    pub cause: Option<String>,
    /// The URL of the resource that is in the way, where the client may know it: `Location` of a 409.
    pub location: Option<String>,
    /// When it is worth trying again, where that is known: `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error without keyword.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { status, scim_type: None, detail: detail.into(), cause: None, location: None, retry_after: None }
    }

    /// The detail for a log: which attribute, which rule. What it quotes may be somebody's: that, and every word that could be
    /// a value although it stands there bare (with a digit, an @ or letters beyond ASCII), is left out.
    pub fn reason(&self) -> String {
        let mut reason = String::new();
        let (mut quoted, mut escaped, mut word) = (false, false, String::new());
        let end = |word: &mut String, reason: &mut String| {
            let bare = word.chars().all(|c| c.is_ascii() && !c.is_ascii_digit() && c != '@' && !c.is_ascii_control());
            reason.push_str(if bare { word } else { "..." });
            word.clear();
        };
        for c in self.detail.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => {
                    end(&mut word, &mut reason);
                    reason.push_str(if quoted { "\"" } else { "\"..." });
                    quoted = !quoted;
                }
                _ if quoted => {}
                ' ' => {
                    end(&mut word, &mut reason);
                    reason.push(' ');
                }
                c => word.push(c),
            }
        }
        end(&mut word, &mut reason);
        reason
    }

    /// A 400 with a keyword.
    pub fn bad_request(scim_type: ScimType, detail: impl Into<String>) -> Self {
        Self { scim_type: Some(scim_type), ..Self::new(400, detail) }
    }

    /// The same, with what only the log may know.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// 400 invalidFilter.
    pub fn invalid_filter(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidFilter, detail)
    }

    /// 400 invalidSyntax: the body is not what the endpoint takes.
    pub fn invalid_syntax(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidSyntax, detail)
    }

    /// 400 invalidPath.
    pub fn invalid_path(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidPath, detail)
    }

    /// 400 noTarget.
    pub fn no_target(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::NoTarget, detail)
    }

    /// 400 invalidValue; the detail names the attribute.
    pub fn invalid_value(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::InvalidValue, detail)
    }

    /// 400 mutability; the detail names the attribute.
    pub fn mutability(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::Mutability, detail)
    }

    /// 400 tooMany: the filter would give more than can be computed.
    pub fn too_many(detail: impl Into<String>) -> Self {
        Self::bad_request(ScimType::TooMany, detail)
    }

    /// 409 uniqueness: another resource has this value of the attribute.
    pub fn uniqueness(attribute: &str) -> Self {
        let detail = format!("another resource already has this {attribute}");
        Self { scim_type: Some(ScimType::Uniqueness), ..Self::new(409, detail) }
    }

    /// 409 without keyword: the state of the resource forbids it.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(409, detail)
    }

    /// 404 for a resource.
    pub fn not_found(resource_type: &str, id: &str) -> Self {
        Self::new(404, format!("{resource_type} {id} not found"))
    }

    /// 401.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(401, detail)
    }

    /// 403.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(403, detail)
    }

    /// 412: If-Match names another version.
    pub fn precondition_failed(detail: impl Into<String>) -> Self {
        Self::new(412, detail)
    }

    /// 413.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(413, detail)
    }

    /// 501.
    pub fn not_implemented(detail: impl Into<String>) -> Self {
        Self::new(501, detail)
    }

    /// 503: try again later. The cause is for the log.
    pub fn unavailable(cause: impl fmt::Display) -> Self {
        Self::new(503, "the service is temporarily unavailable, try again later").because(cause)
    }

    /// 500: our fault. The cause is for the log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::new(500, "internal error").because(cause)
    }

    /// The body of the answer; `status` is a string there (RFC 7644 3.12).
    pub fn to_json(&self) -> Value {
        let mut body = json!({ "schemas": [urn::ERROR], "status": self.status.to_string() });
        if let Some(object) = body.as_object_mut() {
            if let Some(scim_type) = self.scim_type {
                object.insert("scimType".into(), scim_type.as_str().into());
            }
            object.insert("detail".into(), self.detail.as_str().into());
        }
        body
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(scim_type) = self.scim_type {
            write!(f, " {}", scim_type.as_str())?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_hold_no_values() {
        for (detail, reason) in [
            ("userName is required", "userName is required"),
            (r#"userName: "ann\"smith" is taken by "5""#, r#"userName: "..." is taken by "...""#),
            (
                r#"emails[type eq "work"].value is longer than 190 characters"#,
                r#"emails[type eq "..."].value is longer than ... characters"#,
            ),
            ("manager: there is no User 17 or ann@example.com, Jürgen", "manager: there is no User ... or ... ..."),
            (r#"an open "quote of a"#, r#"an open "..."#),
            ("", ""),
        ] {
            assert_eq!(Error::new(400, detail).reason(), reason);
        }
    }

    #[test]
    fn on_the_wire() {
        assert_eq!(
            Error::uniqueness("userName").because("1062 in users.username").to_json(),
            json!({
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "status": "409",
                "scimType": "uniqueness",
                "detail": "another resource already has this userName"
            })
        );
        assert_eq!(Error::internal("disk on fire").to_json()["detail"], "internal error");
        assert!(Error::not_found("User", "7").to_json().get("scimType").is_none());
    }
}
