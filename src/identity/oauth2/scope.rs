//! What a client may do: `scim`, or `scim:read` for reading alone (RFC 6749 3.3). What of it an identity server may do with
//! which resource type is decided by its `may` and `scope`, whatever a token says.

use super::refusal::{Code, Refusal};

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `scim`: whatever the identity server may do.
    Everything,
    /// `scim:read`: reading alone.
    Read,
}

/// What clients ask for by habit, for all authorization servers alike. It asks for nothing that there is here.
const HABITS: [&str; 4] = ["openid", "profile", "email", "offline_access"];

impl Scope {
    /// All of them, for the metadata.
    pub const WORDS: [&str; 2] = ["scim", "scim:read"];

    /// Reads a `scope` parameter; without one it is everything.
    pub fn read(text: Option<&str>) -> Result<Self, Refusal> {
        let mut scope = None;
        for word in text.unwrap_or_default().split(' ').filter(|word| !word.is_empty()) {
            match word {
                "scim" => scope = Some(Scope::Everything),
                "scim:read" => scope = scope.or(Some(Scope::Read)),
                word if HABITS.contains(&word) => {}
                _ => return Err(Refusal::new(Code::InvalidScope, "the scopes are scim and scim:read")),
            }
        }
        Ok(scope.unwrap_or(Scope::Everything))
    }

    /// As it was stored; what is not known there opens as little as possible.
    pub fn stored(text: &str) -> Self {
        if text == "scim" { Scope::Everything } else { Scope::Read }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Scope::Everything => "scim",
            Scope::Read => "scim:read",
        }
    }

    /// Whether this is within what was granted.
    pub fn is_within(self, granted: Scope) -> bool {
        granted == Scope::Everything || self == Scope::Read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        for (text, expected) in [
            (None, Some(Scope::Everything)),
            (Some(""), Some(Scope::Everything)),
            (Some("scim"), Some(Scope::Everything)),
            (Some("scim:read"), Some(Scope::Read)),
            (Some("scim scim:read"), Some(Scope::Everything)),
            (Some("scim:read scim"), Some(Scope::Everything)),
            (Some("openid offline_access"), Some(Scope::Everything)),
            (Some("openid  scim:read"), Some(Scope::Read)),
            (Some("SCIM"), None),
            (Some("admin"), None),
            (Some("scim\tadmin"), None),
        ] {
            assert_eq!(Scope::read(text).ok(), expected, "{text:?}");
        }
        assert!(Scope::Read.is_within(Scope::Everything) && !Scope::Everything.is_within(Scope::Read));
        assert_eq!(Scope::stored("something new"), Scope::Read);
    }
}
