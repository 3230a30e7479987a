//! allow_from behind a proxy: the address that counts is the client's, as a trusted proxy says it, and nobody becomes somebody
//! else by saying so himself.

use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

/// Headers, and the status at an identity server for 198.51.100.0/24 and the proxy's own network.
type Row = (&'static [(&'static str, &'static str)], u16);

/// Behind a proxy that is trusted.
const BEHIND: &[Row] = &[
    (&[("X-Forwarded-For", "198.51.100.7")], 200),
    (&[("Forwarded", "for=198.51.100.7;proto=https")], 200),
    (&[("Forwarded", "for=\"198.51.100.7:4711\""), ("X-Forwarded-For", "203.0.113.1, 198.51.100.7")], 200),
    // The proxy by itself, which is on the list.
    (&[], 200),
    (&[("X-Forwarded-For", "")], 200),
    (&[("X-Forwarded-For", "203.0.113.1")], 403),
    (&[("X-Forwarded-For", "198.51.100.7, 203.0.113.1")], 403),
    (&[("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-For", "203.0.113.1")], 403),
    (&[("X-Forwarded-For", "127.0.0.1, 203.0.113.1")], 403),
    (&[("Forwarded", "for=198.51.100.7, for=203.0.113.1")], 403),
    (&[("Forwarded", "for=203.0.113.1;host=\"x, for=198.51.100.7\"")], 403),
    (&[("Forwarded", "for=203.0.113.1;host=\"x;for=198.51.100.7\"")], 403),
    // Nobody is on no list, also where the last hop that is known is.
    (&[("X-Forwarded-For", "unknown")], 403),
    (&[("X-Forwarded-For", "198.51.100.7, nonsense")], 403),
    (&[("Forwarded", "for=_hidden")], 403),
    (&[("Forwarded", "for=198.51.100.7;for=198.51.100.7")], 403),
    (&[("Forwarded", "by=127.0.0.1")], 403),
    // Two stories.
    (&[("Forwarded", "for=198.51.100.7"), ("X-Forwarded-For", "203.0.113.1")], 400),
    (&[("Forwarded", "for=127.0.0.1"), ("X-Forwarded-For", "203.0.113.1")], 400),
    (&[("Forwarded", "for=_x"), ("X-Forwarded-For", "203.0.113.1")], 400),
    (&[("Forwarded", "nonsense"), ("X-Forwarded-For", "203.0.113.1")], 400),
    // Headers that nobody asked for.
    (&[("X-Forwarded-For", "203.0.113.1"), ("X-Real-IP", "198.51.100.7"), ("True-Client-IP", "198.51.100.7")], 403),
];

#[test]
fn allowed_addresses() {
    let database = Database::small(Engine::Sqlite);
    let servers = "{ test: { default: true, authentication: bearer }, near: { authentication: bearer, allow_from: \
                   [198.51.100.0/24, 127.0.0.0/8] }, far: { authentication: bearer, allow_from: 198.51.100.0/24 } }";
    let options = Options::small().identity_servers(servers);
    let behind = Service::start(&database, options.clone().more("trusted_proxies: 127.0.0.1"));
    let token = behind.issue("near");
    let mut client = behind.client_with("", Some(token.clone()));
    for (headers, status) in BEHIND {
        let answer = client.send("GET", "/scim/near/v2/Users", headers, None).expect("an answer");
        assert_eq!(answer.status, *status, "{headers:?}: {}", answer.text());
        if *status == 403 {
            answer.expect_error(403, None, "may not call from this address");
        }
    }
    // Where there is no list, a client that is not known may come.
    let mut anywhere = behind.client_with("", Some(behind.token().to_owned()));
    for (headers, status) in BEHIND {
        let expected = if *status == 400 { 400 } else { 200 };
        assert_eq!(
            anywhere.send("GET", "/scim/v2/Users", headers, None).expect("an answer").status,
            expected,
            "{headers:?}"
        );
    }
    drop(behind);
    // Without a trusted proxy headers are nothing.
    let database = Database::small(Engine::Sqlite);
    let alone = Service::start(&database, options);
    let (near, far) = (alone.issue("near"), alone.issue("far"));
    for (headers, _) in BEHIND {
        let get = |server: &str, token: &str| {
            let mut client = alone.client_with("", Some(token.to_owned()));
            client.send("GET", &format!("/scim/{server}/v2/Users"), headers, None).expect("an answer").status
        };
        assert_eq!((get("near", &near), get("far", &far)), (200, 403), "{headers:?}");
    }
}
