//! Who may speak: identity servers, their tokens, and how often a stranger may guess.
//!
//! The door asks one question here for each request, [`Identity::authenticate`], and gets a
//! [`Session`] or a [`Denial`].

pub mod failures;
pub mod fetch;
pub mod jwks;
pub mod jwt;
pub mod live;
pub mod store;
pub mod token;

use failures::Failures;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use ipnet::IpNet;
use live::{Denied, LiveTokens};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One identity server, as its requests are checked.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name.
    pub name: Arc<str>,
    /// Whether `/scim/v2` is its too.
    pub default: bool,
    /// Whether it may speak at all.
    pub active: bool,
    /// Whether it has bearer tokens.
    pub bearer: bool,
    /// The networks it may call from; empty is everywhere.
    pub allow_from: Vec<IpNet>,
    /// What its tokens are made for.
    pub audience: String,
}

/// A request that was authenticated.
#[derive(Clone, Debug)]
pub struct Session {
    /// The token's id, for the log.
    pub token: String,
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
    /// 401: no credential, or one that is not good; why.
    Unauthenticated(String),
    /// 429: this address failed too often; how long to wait.
    TooMany(Duration),
    /// 503: tokens cannot be looked up now; why, for the log.
    Unavailable(String),
}

/// All identity servers of one configuration.
pub struct Identity {
    servers: Vec<Server>,
    tokens: LiveTokens,
    failures: Arc<Failures>,
}

impl Identity {
    /// `failures` outlives reloads, so that a guesser gains nothing by one.
    pub fn new(servers: Vec<Server>, tokens: LiveTokens, failures: Arc<Failures>) -> Self {
        Self { servers, tokens, failures }
    }

    /// The position of an identity server; `None` asks for the default one.
    pub fn server(&self, name: Option<&str>) -> Option<usize> {
        match name {
            Some(name) => self.servers.iter().position(|server| *server.name == *name),
            None => self.servers.iter().position(|server| server.default),
        }
    }

    /// Whether requests from an address may come to the identity server at this position at all.
    pub fn admit(&self, server: usize, client: IpAddr) -> Result<&Server, Denial> {
        let Some(server) = self.servers.get(server).filter(|server| server.active) else {
            return Err(Denial::Inactive);
        };
        if !server.allow_from.is_empty() && !server.allow_from.iter().any(|network| network.contains(&client)) {
            return Err(Denial::Address);
        }
        Ok(server)
    }

    /// Whether a request may speak for the identity server at this position.
    pub async fn authenticate(&self, server: usize, headers: &HeaderMap, client: IpAddr) -> Result<Session, Denial> {
        let server = self.admit(server, client)?;
        let reason = match bearer(headers) {
            Ok(_) if !server.bearer => "this identity server takes no bearer tokens".to_owned(),
            Ok(token) => match self.tokens.check(token, &server.name, &server.audience).await {
                Ok(known) => {
                    return Ok(Session { token: known.token.id.clone(), read_only: known.token.read_only });
                }
                Err(Denied::Unavailable(why)) => return Err(Denial::Unavailable(why)),
                Err(Denied::Refused(why)) => why,
            },
            Err(why) => why.to_owned(),
        };
        match self.failures.note(address_class(client)) {
            Some(wait) => Err(Denial::TooMany(wait)),
            None => Err(Denial::Unauthenticated(reason)),
        }
    }
}

/// The token of `Authorization: Bearer TOKEN` (RFC 6750 2.1; the scheme in any case); else why there is none.
pub fn bearer(headers: &HeaderMap) -> Result<&str, &'static str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err("the Authorization header is missing");
    };
    if values.next().is_some() {
        return Err("more than one Authorization header");
    }
    let value = value.to_str().map_err(|_| "the Authorization header is not ASCII")?.trim();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err("the Authorization header does not begin with Bearer");
    }
    let token = token.trim();
    if token.is_empty() { Err("the bearer token is missing") } else { Ok(token) }
}

/// What failures are counted by: an IPv6 customer has a /64.
fn address_class(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::live::{LiveToken, Store};
    use super::token::{Claims, Keyring, SigningKey, audience, fingerprint, new_id};
    use super::*;

    #[test]
    fn authorization() {
        let table: &[(&[&str], Result<&str, &str>)] = &[
            (&["Bearer abc"], Ok("abc")),
            (&["bearer   abc "], Ok("abc")),
            (&["BEARER abc"], Ok("abc")),
            (&[], Err("the Authorization header is missing")),
            (&["Bearer"], Err("the bearer token is missing")),
            (&["Bearer "], Err("the bearer token is missing")),
            (&["Basic YTpi"], Err("the Authorization header does not begin with Bearer")),
            (&["abc"], Err("the Authorization header does not begin with Bearer")),
            (&["Bearer a", "Bearer b"], Err("more than one Authorization header")),
        ];
        for (values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(bearer(&headers), *expected, "{values:?}");
        }
    }

    struct One(LiveToken);

    impl Store for One {
        fn live(&self, _: i64) -> Result<Vec<LiveToken>, crate::sql::Error> {
            Ok(vec![self.0.clone()])
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
            bearer: true,
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
            LiveTokens::new(Arc::new(One(live)), key, URL.into()),
            Arc::new(Failures::new(3)),
        );
        assert_eq!(identity.server(None), Some(0));
        assert_eq!(identity.server(Some("okta")), Some(1));
        assert_eq!(identity.server(Some("nobody")), None);

        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        let from = |address: &str| address.parse::<IpAddr>().unwrap();
        let session = identity.authenticate(0, &headers, from("192.0.2.1")).await.unwrap();
        assert_eq!((session.token, session.read_only), (claims.jti, true));
        assert_eq!(identity.authenticate(2, &headers, from("192.0.2.1")).await.unwrap_err(), Denial::Inactive);
        assert_eq!(identity.authenticate(3, &headers, from("192.0.2.1")).await.unwrap_err(), Denial::Address);
        for _ in 0..3 {
            let denial = identity.authenticate(1, &headers, from("192.0.2.1")).await.unwrap_err();
            assert_eq!(denial, Denial::Unauthenticated("the token is for another identity server".into()));
        }
        let denial = identity.authenticate(0, &HeaderMap::new(), from("192.0.2.1")).await.unwrap_err();
        assert!(matches!(denial, Denial::TooMany(wait) if wait <= Duration::from_secs(60)));
        identity.authenticate(0, &headers, from("192.0.2.1")).await.expect("a good token is never held up by others");
        let other = identity.authenticate(0, &HeaderMap::new(), from("192.0.2.2")).await.unwrap_err();
        assert!(matches!(other, Denial::Unauthenticated(_)));
    }
}
