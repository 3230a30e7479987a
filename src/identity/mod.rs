//! Who may speak: identity servers, their ways to authenticate, and how often a stranger may guess.
//!
//! The door asks one question here for each request, [`Identity::authenticate`], and gets a [`Session`] or a [`Denial`]. One
//! file a method; which of them looks at a request is decided by the scheme of its `Authorization` header, and of a Bearer
//! credential by what kind of token it is: at most one method ever checks it, and any one that an identity server has suffices.

pub mod authorization;
pub mod basic;
pub mod bearer;
pub mod certificate;
pub mod counts;
pub mod digest;
pub mod failures;
pub mod fetch;
pub mod foreign;
pub mod introspection;
pub mod jwks;
pub mod jwt;
mod lately;
pub mod live;
mod none;
pub mod oauth2;
pub mod passwords;
pub mod store;
pub mod token;
mod waiting;

use crate::config::{Bearer, ClientCertificate, NoCredential};
use authorization::Credential;
use basic::Basic;
use certificate::Certificate;
use counts::{Counts, Seen};
use digest::Digest;
use failures::{Failures, Guess};
use foreign::Foreign;
use hyper::{HeaderMap, Method};
use ipnet::IpNet;
use jwks::KeySets;
use live::{Denied, LiveTokens};
use passwords::Passwords;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The methods' names, for logs and metrics.
pub const METHOD_NONE: &str = "none";
/// RFC 7617.
pub const METHOD_BASIC: &str = "basic";
/// RFC 7616.
pub const METHOD_DIGEST: &str = "digest";
/// Tokens of ours.
pub const METHOD_BEARER: &str = "bearer";
/// Tokens of our own authorization server.
pub const METHOD_OAUTH2: &str = "oauth2";
/// Tokens that somebody else signed (RFC 9068).
pub const METHOD_JWT: &str = "jwt";
/// Tokens that somebody else is asked about (RFC 7662).
pub const METHOD_INTROSPECTION: &str = "introspection";

/// One identity server, as its requests are checked.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name.
    pub name: Arc<str>,
    /// Whether `/scim/v2` is its too.
    pub default: bool,
    /// Whether it may speak at all.
    pub active: bool,
    /// How it may prove who it is.
    pub methods: Methods,
    /// The networks it may call from; empty is everywhere.
    pub allow_from: Vec<IpNet>,
    /// The certificate it must present, besides what its methods ask for.
    pub certificate: Option<ClientCertificate>,
    /// What its tokens are made for.
    pub audience: String,
}

/// The ways to authenticate that an identity server has; any one suffices.
#[derive(Clone, Debug, Default)]
pub struct Methods {
    /// No credential is asked for.
    pub none: Option<NoCredential>,
    /// A user name and a password.
    pub basic: Option<Basic>,
    /// A proof of knowing a password.
    pub digest: Option<Digest>,
    /// Tokens of ours.
    pub bearer: Option<Bearer>,
    /// Tokens of our own authorization server.
    pub oauth2: Option<Arc<oauth2::Authority>>,
    /// Tokens of others.
    pub foreign: Foreign,
}

/// What a request brings to prove who it is.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// Its method; part of what Digest hashes.
    pub method: &'a Method,
    /// Path and query exactly as they were received.
    pub target: &'a str,
    /// All of its headers.
    pub headers: &'a HeaderMap,
    /// Where it comes from, after trusted proxies.
    pub client: IpAddr,
    /// Whether that is its own address, and not that of a proxy that does not say whose request it hands on.
    pub client_known: bool,
    /// The client's certificate, where the connection has one that was verified.
    pub certificate: Option<&'a Certificate>,
}

/// A request that was authenticated.
#[derive(Clone, Debug)]
pub struct Session {
    /// Which credential it was, for the log: a token's id, a user name; never a secret.
    pub credential: String,
    /// The method's name.
    pub method: &'static str,
    /// It may only read.
    pub read_only: bool,
}

/// Why a request was not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// 403: the identity server is switched off.
    Inactive,
    /// 403: it may not call from this address.
    Address,
    /// 403: no credential would help; why.
    Forbidden(&'static str),
    /// 401: no credential, or one that is not good.
    Unauthenticated {
        /// The method that refused, or `missing`, or `unknown`; for metrics.
        method: &'static str,
        /// Why, for the client and the log.
        why: Cow<'static, str>,
        /// One `WWW-Authenticate` for each method that the identity server has (RFC 9110 11.6.1).
        challenges: Vec<String>,
    },
    /// 429: too many failures of this address or of this credential.
    TooMany {
        /// The method that refused.
        method: &'static str,
        /// Why, for the log.
        why: Cow<'static, str>,
        /// How long to wait.
        wait: Duration,
    },
    /// 503: what is needed to check cannot be had now; why, for the log.
    Unavailable(String),
}

/// What a method says of a credential that it does not take.
enum Refused {
    /// It is not good.
    Wrong {
        method: &'static str,
        why: Cow<'static, str>,
        /// Whether this was a guess, and at what: `None` for no credential, or one whose nonce is merely old.
        guess: Option<(&'static str, String)>,
        /// Digest: it was right, but for a nonce that is no longer good (RFC 7616 3.3).
        stale: bool,
    },
    /// It was not looked at: too many guesses were made before, or are being checked.
    TooMany { method: &'static str, wait: Duration },
    /// It could not be checked; why, for the log.
    Unavailable(String),
}

impl Refused {
    /// Not good. Guesses are counted by the method and what they guess at: a user's name, or the token itself, of which
    /// nothing is kept.
    fn wrong(why: impl Into<Cow<'static, str>>, (method, at): (&'static str, &str)) -> Self {
        Self::Wrong { method, why: why.into(), guess: Some((method, at.to_owned())), stale: false }
    }

    /// Not even a guess.
    fn missing(method: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self::Wrong { method, why: why.into(), guess: None, stale: false }
    }
}

/// What is remembered between requests; it outlives reloads, so that a guesser gains nothing by one and a client loses nothing.
pub struct Memory {
    failures: Failures,
    /// The keys of other issuers.
    pub key_sets: KeySets,
    passwords: Passwords,
    seen: Seen,
}

impl Memory {
    /// Nothing yet; how many failures an address, and a credential, may have within a minute.
    pub fn new(failures_per_minute: usize) -> Self {
        Self {
            failures: Failures::new(failures_per_minute),
            passwords: Passwords::default(),
            seen: Seen::default(),
            key_sets: KeySets::default(),
        }
    }

    /// How many failures an address, and a credential, may have within a minute from now on.
    pub fn allow_failures(&self, per_minute: usize) {
        self.failures.allow(per_minute);
    }

    fn guess(&self, server: &Server, method: &str, at: &str) -> Guess {
        self.failures.guess((&*server.name, method, at))
    }
}

/// All identity servers of one configuration.
pub struct Identity {
    servers: Vec<Server>,
    tokens: LiveTokens,
    counts: Counts,
    memory: Arc<Memory>,
}

impl Identity {
    /// Nothing is asked of the database yet.
    pub fn new(servers: Vec<Server>, tokens: LiveTokens, counts: Counts, memory: Arc<Memory>) -> Self {
        Self { servers, tokens, counts, memory }
    }

    /// How often who may fail.
    pub fn failures(&self) -> &Failures {
        &self.memory.failures
    }

    /// What derives keys, for all methods.
    pub fn passwords(&self) -> &Passwords {
        &self.memory.passwords
    }

    /// The position of an identity server; `None` asks for the default one.
    pub fn server(&self, name: Option<&str>) -> Option<usize> {
        match name {
            Some(name) => self.servers.iter().position(|server| *server.name == *name),
            None => self.servers.iter().position(|server| server.default),
        }
    }

    /// Whether a request may come to the identity server at this position at all, before anything it says is looked at.
    pub fn admit(&self, server: usize, presented: &Presented<'_>) -> Result<&Server, Denial> {
        let client = presented.client;
        let Some(server) = self.servers.get(server).filter(|server| server.active) else {
            return Err(Denial::Inactive);
        };
        let is_named = presented.client_known && server.allow_from.iter().any(|network| network.contains(&client));
        if !server.allow_from.is_empty() && !is_named {
            return Err(Denial::Address);
        }
        match (&server.certificate, presented.certificate) {
            (None, _) => Ok(server),
            (Some(_), None) => Err(Denial::Forbidden("this identity server needs a client certificate")),
            (Some(wanted), Some(certificate)) if certificate.is_one_of(wanted) => Ok(server),
            (Some(_), Some(certificate)) => {
                tracing::info!(%client, server = &*server.name, %certificate, "a client certificate that is not asked for");
                Err(Denial::Forbidden("the client certificate has no name that this identity server asks for"))
            }
        }
    }

    /// Whether a request may speak for the identity server at this position.
    pub async fn authenticate(&self, server: usize, presented: &Presented<'_>) -> Result<Session, Denial> {
        let server = self.admit(server, presented)?;
        if let Some(none) = server.methods.none {
            none::refuse(none, presented).map_err(Denial::Forbidden)?;
            return Ok(Session { credential: String::new(), method: METHOD_NONE, read_only: false });
        }
        let credential = authorization::read(presented.headers);
        let refused = match self.check(server, credential, presented).await {
            Ok(session) => return Ok(session),
            Err(refused) => refused,
        };
        let (method, why, guess, stale) = match refused {
            Refused::Unavailable(why) => return Err(Denial::Unavailable(why)),
            Refused::TooMany { method, wait } => {
                let why = "it was not looked at: too many guesses before".into();
                return Err(Denial::TooMany { method, why, wait });
            }
            Refused::Wrong { method, why, guess, stale } => (method, why, guess, stale),
        };
        if let Some((what, at)) = guess
            && let Some(wait) = self.memory.failures.note(presented.client, self.memory.guess(server, what, &at))
        {
            return Err(Denial::TooMany { method, why, wait });
        }
        let challenges = self.challenges(server, credential, stale).await;
        if challenges.is_empty() {
            // Without keys there is no nonce, and a 401 must say how it is overcome (RFC 9110 15.5.2).
            return Err(Denial::Unavailable("the keys that nonces are made with cannot be read".to_owned()));
        }
        Err(Denial::Unauthenticated { method, why, challenges })
    }

    /// The one method whose kind of credential this is.
    async fn check(
        &self,
        server: &Server,
        credential: Credential<'_>,
        presented: &Presented<'_>,
    ) -> Result<Session, Refused> {
        let Methods { basic, digest, bearer, .. } = &server.methods;
        match credential {
            Credential::Bearer(token) => self.token(token, server).await,
            Credential::Bare(token) if bearer.is_some_and(|bearer| bearer.scheme_optional) => {
                self.token(token, server).await
            }
            Credential::Bare(_) => {
                Err(Refused::missing("unknown", "the Authorization header has no scheme, such as Bearer"))
            }
            Credential::Basic(token68) => match basic {
                Some(basic) => basic::check(token68, basic, server, presented.client, &self.memory).await,
                None => Err(not_taken(METHOD_BASIC)),
            },
            Credential::Digest(parameters) => match digest {
                Some(digest) => {
                    let keys = self.tokens.keys().await.map_err(Refused::from)?;
                    let memory = &self.memory;
                    let name = &server.name;
                    let proof = digest::prove(parameters, digest, name, presented, &keys, &memory.seen, |user| {
                        memory.failures.may_try(presented.client, memory.guess(server, METHOD_DIGEST, user))
                    })?;
                    digest::take(proof, &self.counts, &memory.seen).await
                }
                None => Err(not_taken(METHOD_DIGEST)),
            },
            Credential::None => Err(Refused::missing("missing", "the Authorization header is missing")),
            Credential::Unreadable(why) => Err(Refused::missing("unknown", why)),
        }
    }

    /// A Bearer credential, by its kind.
    async fn token(&self, token: &str, server: &Server) -> Result<Session, Refused> {
        if let Some(authority) = server.methods.oauth2.as_ref().filter(|_| oauth2::live::LiveAccess::fits(token)) {
            return authority.check(token).await;
        }
        if let Some(checked) = server.methods.foreign.check(token, self.tokens.issuer()).await {
            return checked;
        }
        if server.methods.bearer.is_some() {
            return bearer::check(token, server, &self.tokens).await;
        }
        Err(match server.methods.oauth2 {
            Some(_) => Refused::wrong("the token is not one of this service's", (METHOD_OAUTH2, token)),
            None => not_taken(METHOD_BEARER),
        })
    }

    /// One challenge for each method, the strongest first: clients that speak several take the first they know.
    async fn challenges(&self, server: &Server, credential: Credential<'_>, stale: bool) -> Vec<String> {
        let mut challenges = Vec::new();
        if let Some(digest) = &server.methods.digest
            && let Ok(keys) = self.tokens.keys().await
        {
            challenges.extend(digest::challenges(digest, &server.name, &keys, &self.memory.seen, stale));
        }
        if server.methods.bearer.is_some() || server.methods.oauth2.is_some() || server.methods.foreign.is_some() {
            challenges.push(bearer::challenge(matches!(credential, Credential::Bearer(_))));
        }
        if server.methods.basic.is_some() {
            challenges.push(basic::challenge());
        }
        challenges
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unavailable(why) | Denied::Refused(why) => Self::Unavailable(why),
        }
    }
}

/// A credential for which the identity server has no method.
fn not_taken(method: &'static str) -> Refused {
    Refused::missing(method, format!("this identity server does not take {method} credentials"))
}

#[cfg(test)]
mod tests {
    use super::live::{LiveToken, Store};
    use super::token::{Claims, Keyring, SigningKey, audience, fingerprint, new_id};
    use super::*;
    use hyper::header::AUTHORIZATION;

    struct One(LiveToken);

    impl Store for One {
        fn live(&self, _: i64) -> Result<Vec<LiveToken>, crate::sql::Error> {
            Ok(vec![self.0.clone()])
        }
        fn keyring(&self) -> Result<Keyring, crate::sql::Error> {
            Ok(Keyring::new(Vec::new(), None))
        }
        fn used(&self, _: &str, _: i64) -> Result<(), crate::sql::Error> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn who_gets_in() {
        const URL: &str = "https://scim.example.com";
        let (stored, _) = SigningKey::generate().unwrap();
        let key = Keyring::new(vec![SigningKey::read("k", &stored).unwrap()], Some(0));
        let now = chrono::Utc::now().timestamp();
        let claims = Claims { iss: URL.into(), aud: audience(URL, "entra"), jti: new_id(), iat: now, exp: now + 60 };
        let token = key.sign(&claims).unwrap();
        let live = LiveToken {
            id: claims.jti.clone(),
            server: "entra".into(),
            fingerprint: fingerprint(&token),
            expires: claims.exp,
            read_only: true,
        };
        let server = |name: &str, default, active, allow: &[&str]| Server {
            name: name.into(),
            default,
            active,
            methods: Methods { bearer: Some(Bearer { scheme_optional: false }), ..Methods::default() },
            certificate: None,
            allow_from: allow.iter().map(|network| network.parse().unwrap()).collect(),
            audience: audience(URL, name),
        };
        let identity = Identity::new(
            vec![
                server("entra", true, true, &[]),
                server("okta", false, true, &[]),
                server("old", false, false, &[]),
                server("near", false, true, &["10.0.0.0/8"]),
            ],
            LiveTokens::new(Arc::new(One(live)), key, URL.into(), std::time::Duration::from_secs(2)),
            counts::tests::counts(),
            Arc::new(Memory::new(3)),
        );
        assert_eq!(identity.server(None), Some(0));
        assert_eq!(identity.server(Some("okta")), Some(1));
        assert_eq!(identity.server(Some("nobody")), None);

        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        let from = |address: &str| address.parse::<IpAddr>().unwrap();
        let authenticate = async |server, headers: &HeaderMap, client: &str| {
            let target = "/scim/v2/Users";
            let client = from(client);
            let presented =
                Presented { method: &Method::GET, target, headers, client, client_known: true, certificate: None };
            identity.authenticate(server, &presented).await
        };
        let session = authenticate(0, &headers, "192.0.2.1").await.unwrap();
        assert_eq!((session.credential, session.method, session.read_only), (claims.jti, METHOD_BEARER, true));
        assert_eq!(authenticate(2, &headers, "192.0.2.1").await.unwrap_err(), Denial::Inactive);
        assert_eq!(authenticate(3, &headers, "192.0.2.1").await.unwrap_err(), Denial::Address);
        for _ in 0..3 {
            let denial = authenticate(1, &headers, "192.0.2.1").await.unwrap_err();
            let why = "the token is for another identity server".into();
            let challenges = vec!["Bearer realm=\"scim\", error=\"invalid_token\"".to_owned()];
            assert_eq!(denial, Denial::Unauthenticated { method: METHOD_BEARER, why, challenges });
        }
        let denial = authenticate(1, &headers, "192.0.2.1").await.unwrap_err();
        assert!(matches!(denial, Denial::TooMany { wait, .. } if wait <= Duration::from_secs(60)));
        authenticate(0, &headers, "192.0.2.1").await.expect("a good token is never held up by others");
        let denial = authenticate(0, &HeaderMap::new(), "192.0.2.1").await.unwrap_err();
        assert!(matches!(denial, Denial::Unauthenticated { method: "missing", .. }), "no credential is no guess");
    }
}
