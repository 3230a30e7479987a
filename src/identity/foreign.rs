//! `jwt` and `introspection`: access tokens of somebody else's authorization server. A token that has the form of a JWT goes
//! to the one, any other to the other; with only one of them, all go there.

use super::fetch::Client;
use super::introspection::Introspection;
use super::jwks::{KeySets, Place};
use super::jwt::{ACCESS_TOKEN, Rules, Verified, Verifier, claimed_issuer, shown};
use super::live::Denied;
use super::{METHOD_INTROSPECTION, METHOD_JWT, Refused, Session};
use crate::config::{Authentication, Url};
use std::sync::Arc;

/// What tokens of ours begin with that are no JWTs.
const OURS: &str = "scimshim_";

/// How an identity server takes tokens of others. Made once for a configuration: what is remembered of tokens ends with it.
#[derive(Clone, Debug, Default)]
pub struct Foreign {
    jwt: Option<Arc<Verifier>>,
    introspection: Option<Arc<Introspection>>,
}

impl Foreign {
    /// As the configuration has it. The error says which certificate authorities cannot be used.
    pub fn new(configured: &Authentication, sets: &KeySets) -> Result<Self, String> {
        let mut foreign = Self::default();
        if let Some(jwt) = &configured.jwt {
            let place = match &jwt.jwks_url {
                Some(url) => Place::Url(url.clone()),
                None => Place::Issuer(jwt.issuer.clone(), Url::parse(&jwt.issuer)?),
            };
            let rules = Rules {
                issuer: jwt.issuer.clone(),
                audiences: jwt.audiences.clone(),
                algorithms: jwt.algorithms.clone(),
                subject: jwt.required.subject.clone(),
                claims: jwt.required.claims.clone(),
                lifetime: None,
                types: ACCESS_TOKEN,
            };
            foreign.jwt = Some(Arc::new(Verifier { rules, keys: sets.get(place, &jwt.trust)? }));
        }
        if let Some(introspection) = &configured.introspection {
            let client = Client::new(&introspection.trust)?;
            foreign.introspection = Some(Arc::new(Introspection::new(introspection, client)));
        }
        Ok(foreign)
    }

    /// Whether any is taken.
    pub fn is_some(&self) -> bool {
        self.jwt.is_some() || self.introspection.is_some()
    }

    /// Whether a token is good; None if tokens of its form are taken from nobody else. `ours` is the issuer of tokens that are
    /// not somebody else's.
    pub(super) async fn check(&self, token: &str, ours: &str) -> Option<Result<Session, Refused>> {
        let is_ours = || token.starts_with(OURS) || claimed_issuer(token).as_deref() == Some(ours);
        if !self.is_some() || is_ours() {
            return None;
        }
        let (method, checked) = match (&self.jwt, &self.introspection) {
            (Some(jwt), None) => (METHOD_JWT, jwt.verify(token).await),
            (Some(jwt), Some(_)) if token.matches('.').count() == 2 => (METHOD_JWT, jwt.verify(token).await),
            (_, Some(introspection)) => (METHOD_INTROSPECTION, introspection.ask(token).await),
            (None, None) => return None,
        };
        Some(match checked {
            Ok(token) => Ok(Session { credential: name(&token), method, read_only: false }),
            Err(Denied::Refused(why)) => Err(Refused::wrong(why, (method, token))),
            Err(unavailable) => Err(Refused::from(unavailable)),
        })
    }
}

/// What the log calls the bearer of a token: its subject, else its client.
fn name(token: &Verified) -> String {
    let client = || ["azp", "appid", "client_id", "cid"].iter().find_map(|name| token.claims.get(*name)?.as_str());
    shown(token.subject.as_deref().or_else(client).or(token.id.as_deref()).unwrap_or_default())
}
