//! `bearer`: tokens of `scimshim token` (RFC 6750). Whether one is good is decided in [`super::live`].

use super::live::{Denied, LiveTokens};
use super::{METHOD_BEARER, Refused, Server, Session};

/// Whether a token is good for an identity server.
pub(super) async fn check(token: &str, server: &Server, tokens: &LiveTokens) -> Result<Session, Refused> {
    match tokens.check(token, &server.name, &server.audience).await {
        Ok(known) => {
            Ok(Session { credential: known.token.id.clone(), method: METHOD_BEARER, read_only: known.token.read_only })
        }
        Err(Denied::Unavailable(why)) => Err(Refused::Unavailable(why)),
        Err(Denied::Refused(why)) => Err(Refused::wrong(why, (METHOD_BEARER, token))),
    }
}

/// RFC 6750 3. `refused`: a bearer token was there and is not good (3.1).
pub(super) fn challenge(refused: bool) -> String {
    let error = if refused { ", error=\"invalid_token\"" } else { "" };
    format!("Bearer realm=\"scim\"{error}")
}
