//! How a client proves who it is (RFC 6749 2.3): a secret in the Authorization header or in the body, an assertion, or
//! nothing where it is configured without any of them.
//!
//! Every attempt with a secret costs the same derivations, whether the client is there, has no secret, or has another one.

use super::Authority;
use super::parameters::{Parameters, decoded};
use super::refusal::Refusal;
use crate::adapter::Hash;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The value of `client_assertion_type` (RFC 7523 2.2).
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// The longest id, secret and assertion that is looked at, in bytes.
const LONGEST: usize = 1024;
const LONGEST_ASSERTION: usize = 12 * 1024;

/// What a client presents. Never printed: there are secrets in it.
#[derive(Clone, PartialEq, Eq)]
pub enum Presented {
    /// Its id alone.
    Nothing {
        /// The id.
        id: String,
    },
    /// A secret.
    Secret {
        /// The id, as it may be meant.
        ids: Vec<String>,
        /// The secret, as it may be meant.
        secrets: Vec<String>,
    },
    /// A signed assertion.
    Assertion {
        /// The id, if it was sent.
        id: Option<String>,
        /// The JWT.
        jwt: String,
    },
}

impl Presented {
    /// Reads it off the Authorization headers and the body of a request.
    pub fn read(authorization: &[&str], parameters: &Parameters) -> Result<Self, Refusal> {
        let id = parameters.get("client_id")?;
        let secret = parameters.get("client_secret")?;
        let assertion = parameters.get("client_assertion")?;
        let kind = parameters.get("client_assertion_type")?;
        let ways = [!authorization.is_empty(), secret.is_some(), assertion.is_some() || kind.is_some()];
        if authorization.len() > 1 || ways.iter().filter(|way| **way).count() > 1 {
            return Err(Refusal::request("a client proves who it is in one way, not in several"));
        }
        if let Some(header) = authorization.first() {
            let presented = basic(header)?;
            if let (Presented::Secret { ids, .. }, Some(id)) = (&presented, id)
                && !ids.iter().any(|known| known == id)
            {
                return Err(Refusal::request("client_id is not the one of the Authorization header"));
            }
            return Ok(presented);
        }
        let presented = match (id, secret, assertion, kind) {
            (id, None, Some(jwt), Some(JWT_BEARER)) => {
                Presented::Assertion { id: id.map(str::to_owned), jwt: jwt.to_owned() }
            }
            (_, None, Some(_), _) => {
                return Err(Refusal::client("client_assertion_type must be that of a JWT (RFC 7523 2.2)"));
            }
            (_, _, None, Some(_)) => return Err(Refusal::request("client_assertion_type without a client_assertion")),
            (Some(id), Some(secret), ..) => {
                Presented::Secret { ids: vec![id.to_owned()], secrets: vec![secret.to_owned()] }
            }
            (None, Some(_), ..) => return Err(Refusal::request("client_secret without a client_id")),
            (Some(id), None, None, None) => Presented::Nothing { id: id.to_owned() },
            (None, None, None, None) => return Err(Refusal::client("the client did not say who it is")),
        };
        presented.bounded()
    }

    /// What guesses at it are counted by: the client it says it is.
    pub fn name(&self) -> &str {
        match self {
            Presented::Nothing { id } | Presented::Assertion { id: Some(id), .. } => id,
            Presented::Secret { ids, .. } => ids.first().map_or("", String::as_str),
            Presented::Assertion { id: None, .. } => "",
        }
    }

    fn bounded(self) -> Result<Self, Refusal> {
        let fits = match &self {
            Presented::Nothing { id } => id.len() <= LONGEST,
            Presented::Secret { ids, secrets } => ids.iter().chain(secrets).all(|text| text.len() <= LONGEST),
            Presented::Assertion { id, jwt } => {
                jwt.len() <= LONGEST_ASSERTION && id.as_ref().is_none_or(|id| id.len() <= LONGEST)
            }
        };
        if fits { Ok(self) } else { Err(Refusal::client("the client's credential is too long")) }
    }
}

/// `Basic BASE64(id:secret)`. RFC 6749 2.3.1 has both form-encoded first, which not every client does: each is taken
/// as decoded and as it stands.
fn basic(header: &str) -> Result<Presented, Refusal> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Refusal::client("clients prove who they are by Basic, or in the body"));
    }
    let malformed = || Refusal::client("the Authorization header is not that of Basic");
    let plain = STANDARD.decode(rest.trim()).map_err(|_| malformed())?;
    let plain = String::from_utf8(plain).map_err(|_| malformed())?;
    let (id, secret) = plain.split_once(':').ok_or_else(malformed)?;
    if plain.contains('\0') {
        return Err(malformed());
    }
    let meant = |text: &str| {
        let mut meant: Vec<String> = decoded(text.as_bytes()).into_iter().collect();
        if !meant.iter().any(|known| known == text) {
            meant.push(text.to_owned());
        }
        meant
    };
    Presented::Secret { ids: meant(id), secrets: meant(secret) }.bounded()
}

impl Authority {
    /// The position of the client that presents this, where it proves who it is. Derives keys: it blocks for tens of milliseconds. Assertions
    /// are judged elsewhere.
    pub fn authenticate(&self, presented: &Presented) -> Result<usize, Refusal> {
        self.authenticate_by(presented, Hash::verifies)
    }

    fn authenticate_by(&self, presented: &Presented, verifies: impl Fn(&str, &str) -> bool) -> Result<usize, Refusal> {
        let refused = || Refusal::client("the client is not known, or did not prove that it is the one");
        match presented {
            Presented::Nothing { id } => self
                .position(id)
                .filter(|(_, client)| client.is_public())
                .map(|(position, _)| position)
                .ok_or_else(refused),
            Presented::Secret { ids, secrets } => {
                let client = ids.iter().find_map(|id| self.position(id));
                let own: Vec<&str> =
                    client.iter().flat_map(|(_, client)| &client.secret_hashes).map(|hash| hash.expose()).collect();
                // As many as the client with the most secrets has, of hashes like theirs.
                let all = || self.clients().iter().flat_map(|client| &client.secret_hashes).map(|hash| hash.expose());
                let most = self.clients().iter().map(|client| client.secret_hashes.len()).max().unwrap_or(0);
                let mut proved = false;
                for secret in secrets {
                    for hash in own.iter().copied() {
                        proved |= verifies(hash, secret);
                    }
                    for decoy in all().cycle().take(most.saturating_sub(own.len())) {
                        let _ = verifies(decoy, secret);
                    }
                }
                client.filter(|_| proved).map(|(position, _)| position).ok_or_else(refused)
            }
            Presented::Assertion { .. } => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::authority;
    use super::*;
    use std::cell::Cell;

    fn read(header: &[&str], body: &str) -> Result<Presented, Refusal> {
        Presented::read(header, &Parameters::read(body.as_bytes()).unwrap())
    }

    fn encoded(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    #[test]
    fn what_is_presented() {
        let secret = |ids: &[&str], secrets: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            Ok(Presented::Secret { ids: owned(ids), secrets: owned(secrets) })
        };
        assert!(read(&[&encoded("okta:s")], "") == secret(&["okta"], &["s"]));
        assert!(read(&[&encoded("okta:a%2Bb+c")], "") == secret(&["okta"], &["a+b c", "a%2Bb+c"]));
        assert!(read(&[&encoded("okta:a:b")], "client_id=okta") == secret(&["okta"], &["a:b"]));
        assert!(read(&[], "client_id=okta&client_secret=a%2Bb") == secret(&["okta"], &["a+b"]));
        assert!(read(&[], "client_id=okta") == Ok(Presented::Nothing { id: "okta".into() }));
        let assertion = format!("client_assertion=a.b.c&client_assertion_type={JWT_BEARER}");
        assert!(read(&[], &assertion) == Ok(Presented::Assertion { id: None, jwt: "a.b.c".into() }));
        for (header, body, code) in [
            (vec![], "".to_owned(), "invalid_client"),
            (vec![encoded("a:b"), encoded("a:b")], "".into(), "invalid_request"),
            (vec![encoded("a:b")], "client_secret=b".into(), "invalid_request"),
            (vec![encoded("a:b")], "client_id=c".into(), "invalid_request"),
            (vec![encoded("a:b")], assertion.clone(), "invalid_request"),
            (vec![encoded("ab")], "".into(), "invalid_client"),
            (vec!["Basic ???".into()], "".into(), "invalid_client"),
            (vec!["Bearer abc".into()], "".into(), "invalid_client"),
            (vec![encoded("a:\0")], "".into(), "invalid_client"),
            (vec![encoded(&"a".repeat(3000))], "".into(), "invalid_client"),
            (vec![encoded(&format!("a:{}", "b".repeat(3000)))], "".into(), "invalid_client"),
            (vec![], "client_secret=b".into(), "invalid_request"),
            (vec![], "client_id=a&client_secret=b&client_secret=b".into(), "invalid_request"),
            (vec![], "client_id=a&client_assertion=a.b.c".into(), "invalid_client"),
            (vec![], format!("client_assertion_type={JWT_BEARER}"), "invalid_request"),
            (
                vec![],
                format!("client_assertion={}&client_assertion_type={JWT_BEARER}", "a".repeat(20_000)),
                "invalid_client",
            ),
        ] {
            let headers: Vec<&str> = header.iter().map(String::as_str).collect();
            let refusal = read(&headers, &body).err().unwrap_or_else(|| panic!("{header:?} {body}"));
            assert_eq!(refusal.code.word(), code, "{header:?} {body}");
        }
    }

    /// The derivations are as many for an unknown client, one without a secret, and a wrong secret.
    #[test]
    fn the_same_derivations_for_everybody() {
        let authority = authority();
        let run = |id: &str, secrets: &[&str]| {
            let count = Cell::new(0);
            let presented = Presented::Secret {
                ids: vec![id.to_owned()],
                secrets: secrets.iter().map(|text| (*text).to_owned()).collect(),
            };
            let found = authority.authenticate_by(&presented, |hash, secret| {
                count.set(count.get() + 1);
                hash == format!("hash of {secret}")
            });
            (found.ok().map(|position| authority.clients()[position].id.clone()), count.get())
        };
        // The client with the most secrets has two.
        assert_eq!(run("okta", &["one"]), (Some("okta".into()), 2));
        assert_eq!(run("okta", &["two"]), (Some("okta".into()), 2));
        assert_eq!(run("okta", &["wrong"]), (None, 2));
        assert_eq!(run("authentik", &["three"]), (Some("authentik".into()), 2));
        assert_eq!(run("authentik", &["one"]), (None, 2), "another client's secret");
        assert_eq!(run("public", &["one"]), (None, 2));
        assert_eq!(run("nobody", &["one"]), (None, 2));
        assert_eq!(run("okta", &["wrong", "one"]), (Some("okta".into()), 4));
        let nothing = |id: &str| Presented::Nothing { id: id.to_owned() };
        assert!(authority.authenticate(&nothing("public")).is_ok());
        assert!(authority.authenticate(&nothing("okta")).is_err(), "one with a secret must bring it");
        assert!(authority.authenticate(&nothing("nobody")).is_err());
    }
}
