//! Why a request for a code or token is refused: the codes of RFC 6749 4.1.2.1 and 5.2, with a sentence for who must act.
//! Neither ever quotes a secret, a code or a token.

use std::borrow::Cow;

/// A code of RFC 6749.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A parameter is missing, given twice or malformed.
    InvalidRequest,
    /// The client did not prove who it is.
    InvalidClient,
    /// The code, refresh token or assertion is not good.
    InvalidGrant,
    /// The client may not do this.
    UnauthorizedClient,
    /// No such `grant_type`.
    UnsupportedGrantType,
    /// No such `response_type`.
    UnsupportedResponseType,
    /// No such scope.
    InvalidScope,
    /// The administrator refused.
    AccessDenied,
    /// The database cannot be asked now.
    TemporarilyUnavailable,
}

impl Code {
    /// The word of the RFC.
    pub fn word(self) -> &'static str {
        match self {
            Code::InvalidRequest => "invalid_request",
            Code::InvalidClient => "invalid_client",
            Code::InvalidGrant => "invalid_grant",
            Code::UnauthorizedClient => "unauthorized_client",
            Code::UnsupportedGrantType => "unsupported_grant_type",
            Code::UnsupportedResponseType => "unsupported_response_type",
            Code::InvalidScope => "invalid_scope",
            Code::AccessDenied => "access_denied",
            Code::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub code: Code,
    /// In words: `error_description`, plain ASCII without `"` and `\` (RFC 6749 appendix A.7).
    pub description: Cow<'static, str>,
}

impl Refusal {
    /// With its sentence; characters that may not stand there are left out.
    pub fn new(code: Code, description: impl Into<Cow<'static, str>>) -> Self {
        let mut description = description.into();
        let fits = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        if !description.chars().all(fits) {
            description = Cow::Owned(description.chars().filter(|c| fits(*c)).collect());
        }
        Self { code, description }
    }

    /// `invalid_request`.
    pub fn request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, description)
    }

    /// `invalid_client`.
    pub fn client(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidClient, description)
    }

    /// `invalid_grant`.
    pub fn grant(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidGrant, description)
    }
}
