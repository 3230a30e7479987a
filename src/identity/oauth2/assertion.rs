//! Clients that prove who they are by a signed assertion (RFC 7523): their own (private_key_jwt), or that of an identity
//! provider that speaks for them (`federated`: workload identity federation).
//!
//! Whose assertion it claims to be only chooses the rules; everything it says is then checked by them. A client's own is good
//! once, on whichever process, and briefly; a provider's may come again while it lives, because providers keep them.

use super::Authority;
use super::refusal::{Code, Refusal};
use crate::config::{Assertion, OauthClient};
use crate::identity::jwks::{KeySets, Place, asymmetric};
use crate::identity::jwt::{CLIENT_ASSERTION, Rules, Verifier};
use crate::identity::live::Denied;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The algorithms that an assertion may be signed with.
pub const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];
/// How long a client's own assertion may have left to live, in seconds: it is remembered until then. Client libraries give theirs
/// an hour.
const LONGEST_LIFE: i64 = 3600;
/// `typ` of what providers sign: an ID token of theirs says nothing or JWT.
const ANY_JWT: &[&str] = &["jwt", "client-authentication+jwt", "at+jwt"];

/// How the assertions of one client are checked.
pub struct Asserting {
    issuer: String,
    subject: String,
    /// Each of them is good once.
    once: bool,
    verifier: Verifier,
}

impl Asserting {
    /// For a client of the authorization server `issuer`; none where it signs nothing.
    pub fn of(client: &OauthClient, issuer: &str, sets: &KeySets) -> Result<Option<Self>, String> {
        let Some(assertion) = &client.assertion else {
            return Ok(None);
        };
        let (rules, jwks_url, trust, once) = match assertion {
            Assertion::PrivateKeyJwt { jwks_url, trust } => {
                // RFC 7523 3 item 3: the token endpoint; its successor and some clients say the issuer.
                let audiences = vec![format!("{issuer}/token"), issuer.to_owned()];
                ((client.id.clone(), client.id.clone(), audiences), jwks_url, trust, true)
            }
            Assertion::Federated { issuer, subject, audience, jwks_url, trust } => {
                ((issuer.clone(), subject.clone(), vec![audience.clone()]), jwks_url, trust, false)
            }
        };
        let (their_issuer, subject, audiences) = rules;
        let rules = Rules {
            issuer: their_issuer.clone(),
            audiences,
            algorithms: ALGORITHMS.iter().filter_map(|name| asymmetric(name)).collect(),
            subject: Some(subject.clone()),
            claims: Vec::new(),
            lifetime: once.then_some(LONGEST_LIFE),
            types: if once { CLIENT_ASSERTION } else { ANY_JWT },
        };
        let keys = sets.get(Place::Url(jwks_url.clone()), trust)?;
        Ok(Some(Self { issuer: their_issuer, subject, once, verifier: Verifier { rules, keys } }))
    }
}

/// Why an assertion was not taken.
pub enum Unproved {
    /// It is not good.
    Refused(Refusal),
    /// It could not be checked; why, for the log.
    Unavailable(String),
}

impl Authority {
    /// The position of the client whose assertion this is; `id` is what it said of itself besides.
    pub async fn assert(&self, id: Option<&str>, jwt: &str) -> Result<usize, Unproved> {
        let refused = |why: String| Unproved::Refused(Refusal::new(Code::InvalidClient, why));
        let Some((issuer, subject)) = claimed(jwt) else {
            return Err(refused("the client_assertion is not a JWT with iss and sub".to_owned()));
        };
        let whose = |asserting: &Asserting| asserting.issuer == issuer && asserting.subject == subject;
        let mut candidates = self.asserting.iter().zip(self.clients()).enumerate();
        let found = candidates.find_map(|(position, (asserting, client))| {
            let asserting = asserting.as_ref().filter(|asserting| whose(asserting))?;
            id.is_none_or(|id| id == client.id).then_some((position, asserting))
        });
        let Some((position, asserting)) = found else {
            return Err(refused("no client has an assertion of this iss and sub".to_owned()));
        };
        let verified = asserting.verifier.verify(jwt).await.map_err(|denied| match denied {
            Denied::Refused(why) => refused(why),
            Denied::Unavailable(why) => Unproved::Unavailable(why),
        })?;
        if asserting.once {
            let Some(jti) = verified.id else {
                return Err(refused("the client_assertion has no jti, by which it is good once".to_owned()));
            };
            let (store, what) = (self.store.clone(), format!("assertion\0{}\0{issuer}\0{jti}", self.server));
            let until = verified.expires.saturating_add(crate::identity::jwt::LEEWAY + 1);
            let new = tokio::task::spawn_blocking(move || store.spend(&what, until)).await;
            let new = new.map_err(|error| Unproved::Unavailable(error.to_string()))?;
            if !new.map_err(|error| Unproved::Unavailable(error.to_string()))? {
                return Err(refused("the client_assertion was used before".to_owned()));
            }
        }
        Ok(position)
    }
}

/// Whose assertion it says it is. Nothing of it is believed yet.
fn claimed(jwt: &str) -> Option<(String, String)> {
    let claims = jwt.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let text = |name: &str| claims.get(name)?.as_str().map(str::to_owned);
    Some((text("iss")?, text("sub")?))
}
