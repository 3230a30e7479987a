//! `authentication.oauth2`: what is refused, and why.

use super::{folder, read_in, with};
use crate::config::Config;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21l$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

fn read(oauth2: &str) -> (Option<Config>, String) {
    let oauth2 = oauth2.replace("HASH", &format!("\"{HASH}\""));
    let line = format!("identity_servers: {{ okta: {{ authentication: {{ oauth2: {{ {oauth2} }} }} }} }}\n");
    let (config, findings) = read_in(&folder(), &with(&line));
    (config, findings.render(false))
}

fn client(more: &str) -> String {
    format!("clients: [{{ id: okta, {more} }}]")
}

#[test]
fn good_ones() {
    let (config, printed) = read(
        "clients: [ { id: okta, secret_hash: [HASH, HASH], redirect_uris: [\"https://a.example/cb\", \"http://127.0.0.1:9/cb\"] }, \
         { id: machine, secret_hash: HASH }, { id: both, secret_hash: HASH, flows: [authorization_code, client_credentials], \
         redirect_uris: \"http://[::1]:80/cb\" }, { id: app, redirect_uris: [\"http://localhost/cb\"] }, \
         { id: keys, flows: client_credentials, private_key_jwt: { jwks_url: \"https://a.example/jwks\" } }, \
         { id: entra, federated: { issuer: i, subject: s, audience: a, jwks_url: \"https://a.example/jwks\" } } ], \
         administrators: [ { name: ada, password_hash: HASH } ], access_token_lifetime: 2h",
    );
    assert_eq!(printed, "");
    let config = config.unwrap();
    let oauth2 = config.default_server().unwrap().authentication.oauth2.as_ref().unwrap();
    let flows = |id: &str| {
        let client = oauth2.clients.iter().find(|client| client.id == id).unwrap();
        (client.flows.authorization_code, client.flows.client_credentials, client.is_public())
    };
    assert_eq!(flows("okta"), (true, false, false));
    assert_eq!(flows("machine"), (false, true, false));
    assert_eq!(flows("both"), (true, true, false));
    assert_eq!(flows("app"), (true, false, true));
    assert_eq!(flows("keys"), (false, true, false));
    assert_eq!(flows("entra"), (false, true, false));
    assert_eq!(oauth2.access_token_lifetime.as_secs(), 7200);
    assert!(!format!("{config:?}").contains("nf65EOgLrQMR"), "hashes are not shown");
}

#[test]
fn mistakes() {
    let uri = |uri: &str| client(&format!("secret_hash: HASH, redirect_uris: [\"{uri}\"]"));
    for (oauth2, said) in [
        ("administrators: []".to_owned(), "the key `clients` is missing"),
        ("clients: []".into(), "there is no client"),
        ("clients: [{ id: a, secret_hash: HASH }, { id: a, secret_hash: HASH }]".into(), "a second client `a`"),
        ("clients: [{ id: \"\", secret_hash: HASH }]".into(), "1 to 100 printable ASCII"),
        ("clients: [{ id: \"caf\\u00e9\", secret_hash: HASH }]".into(), "1 to 100 printable ASCII"),
        ("clients: [{ secret_hash: HASH }]".into(), "the key `id` is missing"),
        (client("secret_hash: hunter2"), "a password hash is argon2id"),
        (client("secret_hash: [HASH, HASH, HASH]"), "more than two secrets"),
        (client("secret: hunter2"), "unknown key `secret`"),
        (client("flows: [authorization_code], secret_hash: HASH"), "has no redirect_uris"),
        (client("flows: [client_credentials]"), "could be anybody"),
        (
            client("flows: [client_credentials], secret_hash: HASH, redirect_uris: [\"https://a/b\"]"),
            "for the flow authorization_code",
        ),
        (client("flows: [], secret_hash: HASH"), "can do nothing"),
        (client("flows: [implicit], secret_hash: HASH"), "expected one of `authorization_code`, `client_credentials`"),
        (client("redirect_uris: [], secret_hash: HASH").replace("[]", "[5]"), "expected text"),
        (uri("http://a.example/cb"), "must begin with `https://` (`http://` is for loopback)"),
        (uri("http://127.0.0.1.a.example/cb"), "must begin with `https://` (`http://` is for loopback)"),
        (uri("javascript:alert(1)"), "must begin with `https://`"),
        (uri("com.example.app:/cb"), "must begin with `https://`"),
        (uri("https://a.example/cb#x"), "must have no fragment"),
        (uri("https://user@a.example/cb"), "must name no user"),
        (uri("https://*.a.example/cb"), "without `*`"),
        (uri("https://a.example/c b"), "ASCII without spaces"),
        (uri("https://a.example/\\u00e9"), "ASCII without spaces"),
        (uri("https://a.example/'<b>"), "a character that no URI has"),
        (uri("https:///cb"), "must name a host"),
        (client("private_key_jwt: { jwks_url: \"http://a.example/jwks\" }"), "must start with `https://`"),
        (client("private_key_jwt: {}"), "the key `jwks_url` is missing"),
        (client("federated: { issuer: i, audience: a, jwks_url: \"https://a/b\" }"), "the key `subject` is missing"),
        (
            client("federated: { issuer: i, subject: \"\", audience: a, jwks_url: \"https://a/b\" }"),
            "`subject` is empty",
        ),
        (
            client("secret_hash: HASH, federated: { issuer: i, subject: s, audience: a, jwks_url: \"https://a/b\" }"),
            "the weaker one would do",
        ),
        (
            client(
                "redirect_uris: [\"https://a/b\"], federated: { issuer: i, subject: s, audience: a, jwks_url: \"https://a/b\" }",
            ),
            "`federated` is for client_credentials alone",
        ),
        (
            client(
                "private_key_jwt: { jwks_url: \"https://a/b\" }, federated: { issuer: i, subject: s, audience: a, jwks_url: \"https://a/b\" }",
            ),
            "one way to sign",
        ),
        (format!("{}, access_token_lifetime: 10s", client("secret_hash: HASH")), "lives from 1m to 24h"),
        (format!("{}, access_token_lifetime: 400d", client("secret_hash: HASH")), "lives from 1m to 24h"),
        (
            format!("{}, administrators: [{{ name: ada, password: hunter2 }}]", client("secret_hash: HASH")),
            "`password_hash`",
        ),
        (
            format!("{}, administrators: [{{ name: ada, password_hash: hunter2 }}]", client("secret_hash: HASH")),
            "a password hash is",
        ),
        (
            format!(
                "{}, administrators: [{{ name: a, password_hash: HASH }}, {{ name: a, password_hash: HASH }}]",
                client("secret_hash: HASH")
            ),
            "a second administrator `a`",
        ),
        (format!("{}, clientz: 1", client("secret_hash: HASH")), "unknown key `clientz`"),
    ] {
        let (config, printed) = read(&oauth2);
        assert!(config.is_none() && printed.contains(said), "{oauth2}\n{printed}");
        assert!(!printed.contains("hunter2") && !printed.contains("nf65EOgLrQMR"), "a secret is printed: {printed}");
    }
    let line = "identity_servers: { okta: { authentication: oauth2 } }\n";
    let (_, findings) = read_in(&folder(), &with(line));
    assert!(findings.render(false).contains("`oauth2` needs clients"), "{}", findings.render(false));
}
