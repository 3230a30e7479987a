//! Codes and tokens: 256 random bits behind a prefix that says what they are, so that a person, a log filter or a scanner
//! for leaked secrets recognises them. They mean nothing by themselves.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What an opaque text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An authorization code.
    Code,
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
}

/// 32 bytes in base64url.
const LENGTH: usize = 43;

impl Kind {
    /// What it begins with.
    pub fn prefix(self) -> &'static str {
        match self {
            Kind::Code => "scimshim_ac_",
            Kind::Access => "scimshim_at_",
            Kind::Refresh => "scimshim_rt_",
        }
    }

    /// A fresh one.
    pub fn make(self) -> Result<String, String> {
        Ok(format!("{}{}", self.prefix(), random()?))
    }

    /// Whether a text looks like one: what does not is not looked up.
    pub fn fits(self, text: &str) -> bool {
        text.strip_prefix(self.prefix()).is_some_and(is_random)
    }
}

/// 32 random bytes in base64url.
pub fn random() -> Result<String, String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether a text has the form of [`random`]'s.
pub fn is_random(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let token = Kind::Access.make().unwrap();
        assert!(Kind::Access.fits(&token) && !Kind::Refresh.fits(&token), "{token}");
        assert_ne!(token, Kind::Access.make().unwrap());
        for strange in ["", "scimshim_at_", "scimshim_at_x", &format!("{token}x"), &token.replace("at_", "at_\u{e9}")] {
            assert!(!Kind::Access.fits(strange), "{strange}");
        }
    }
}
