//! The URNs of the protocol, and the spellings of them that clients really send.
//!
//! Identity providers drop `ietf:params`, forget a colon, or still speak SCIM 1.1. A URN is only ever a name here, so every
//! known spelling is taken for the one that is meant; a stranger is left alone.

/// RFC 7643 4.1.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// RFC 7643 4.2.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// RFC 7643 4.3.
pub const ENTERPRISE_USER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// RFC 7643 5.
pub const SERVICE_PROVIDER_CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
/// RFC 7643 6.
pub const RESOURCE_TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
/// RFC 7643 7.
pub const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";
/// RFC 7644 3.4.2.
pub const LIST_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// RFC 7644 3.4.3.
pub const SEARCH_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
/// RFC 7644 3.5.2.
pub const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// RFC 7644 3.7.
pub const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// RFC 7644 3.7.
pub const BULK_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";
/// RFC 7644 3.12.
pub const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

/// What a URN stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The core schema of whatever resource it is found on: SCIM 1.1 and some templates name no resource type.
    Core,
    /// One of the constants of this file.
    Known(&'static str),
}

const PREFIXES: &[&str] =
    &["urn:ietf:params:scim:schemas:", "urn:ietf:params:scim:schema:", "urn:scim:schemas:", "urn:ietf:scim:schemas:"];

/// Longest first within what shares a beginning.
const TAILS: &[(&str, Meaning)] = &[
    ("core:2.0:user", Meaning::Known(USER)),
    ("core:2.0user", Meaning::Known(USER)),
    ("core:1.0:user", Meaning::Known(USER)),
    ("core:2.0:group", Meaning::Known(GROUP)),
    ("core:2.0group", Meaning::Known(GROUP)),
    ("core:1.0:group", Meaning::Known(GROUP)),
    ("core:2.0", Meaning::Core),
    ("core:1.0", Meaning::Core),
    ("extension:enterprise:2.0:user", Meaning::Known(ENTERPRISE_USER)),
    ("extension:enterprise:2.0user", Meaning::Known(ENTERPRISE_USER)),
    ("extension:enterprise:1.0:user", Meaning::Known(ENTERPRISE_USER)),
    ("extension:enterprise:2.0", Meaning::Known(ENTERPRISE_USER)),
    ("extension:enterprise:1.0", Meaning::Known(ENTERPRISE_USER)),
];

/// What a whole URN means, in any known spelling and any case.
pub fn meaning(urn: &str) -> Option<Meaning> {
    let (length, meaning) = leading(urn)?;
    (length == urn.len()).then_some(meaning)
}

/// The longest known URN that `text` begins with, ended by the end of the text or a colon: its length and meaning.
pub fn leading(text: &str) -> Option<(usize, Meaning)> {
    PREFIXES.iter().find_map(|prefix| {
        let rest = text.get(prefix.len()..)?;
        if !starts_with(text, prefix) {
            return None;
        }
        TAILS.iter().find_map(|(tail, meaning)| {
            let ended = matches!(rest.as_bytes().get(tail.len()), None | Some(b':'));
            (ended && starts_with(rest, tail)).then_some((prefix.len() + tail.len(), *meaning))
        })
    })
}

/// Whether `text` is meant as a URN.
pub fn is_urn(text: &str) -> bool {
    starts_with(text, "urn:")
}

fn starts_with(text: &str, beginning: &str) -> bool {
    text.get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (urn, expected) in [
            (USER, Some(Meaning::Known(USER))),
            ("URN:IETF:params:scim:schemas:core:2.0:user", Some(Meaning::Known(USER))),
            ("urn:scim:schemas:core:1.0", Some(Meaning::Core)),
            ("urn:scim:schemas:core:2.0", Some(Meaning::Core)),
            ("urn:scim:schemas:core:2.0:Group", Some(Meaning::Known(GROUP))),
            ("urn:scim:schemas:extension:enterprise:1.0", Some(Meaning::Known(ENTERPRISE_USER))),
            ("urn:scim:schemas:extension:enterprise:2.0", Some(Meaning::Known(ENTERPRISE_USER))),
            ("urn:ietf:params:scim:schemas:extension:enterprise:2.0User", Some(Meaning::Known(ENTERPRISE_USER))),
            ("urn:ietf:params:scim:schemas:extension:enterprise:2.0", Some(Meaning::Known(ENTERPRISE_USER))),
            ("urn:ietf:params:scim:schemas:extension:acme:2.0:User", None),
            ("urn:ietf:params:scim:schemas:core:2.0:Users", None),
            ("userName", None),
        ] {
            assert_eq!(meaning(urn), expected, "{urn}");
        }
    }

    #[test]
    fn the_longest_one_leads() {
        let path = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager";
        assert_eq!(leading(path), Some((ENTERPRISE_USER.len(), Meaning::Known(ENTERPRISE_USER))));
        assert_eq!(
            leading("urn:scim:schemas:core:1.0:userName"),
            Some(("urn:scim:schemas:core:1.0".len(), Meaning::Core))
        );
    }
}
