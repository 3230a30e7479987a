//! Access tokens of somebody else's authorization server: in the forms that Entra, Okta and Keycloak give them, while keys
//! change and while the server is in any mood, checked by its keys or by asking it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::databases::{Database, Engine};
use crate::support::issuer::{Issuer, Key, Mood, Reply, answer, now};
use crate::support::service::{Options, Service, signal};

/// One identity server that takes tokens of ours and, as `method` says, others'; one more that takes ours alone.
fn start(database: &Database, method: &str) -> Service {
    let servers = format!(
        "{{ test: {{ default: true, authentication: {{ bearer: , {method} }} }}, other: {{ authentication: bearer }} }}"
    );
    Service::start(database, Options::small().identity_servers(&servers).more("limits: { failures_per_minute: 10000 }"))
}

fn with(service: &Service, token: &str) -> Client {
    service.client_with("/scim/v2", Some(token.to_owned()))
}

#[track_caller]
fn users(service: &Service, token: &str, status: u16) -> Answer {
    with(service, token).get("/Users").expect(status)
}

const TENANT: &str = "11111111-2222-3333-4444-555555555555";

/// A token of Entra's second version, by client credentials, with an application role.
fn entra_v2() -> Value {
    json!({
        "aud": "99999999-8888-7777-6666-555555555555", "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        "iat": now(), "nbf": now(), "exp": now() + 3599, "aio": "E2NgYDhZl", "azp": "aaaaaaaa-0000-0000-0000-000000000001",
        "azpacr": "1", "oid": "bbbbbbbb-0000-0000-0000-000000000001", "rh": "0.AX", "roles": ["Scim.Provision"],
        "sub": "bbbbbbbb-0000-0000-0000-000000000001", "tid": TENANT, "uti": "u1", "ver": "2.0"
    })
}

/// Of its first, as applications get it that were never told otherwise.
fn entra_v1() -> Value {
    json!({
        "aud": "api://scim", "iss": format!("https://sts.windows.net/{TENANT}/"), "iat": now(), "nbf": now(),
        "exp": now() + 3599, "appid": "aaaaaaaa-0000-0000-0000-000000000001", "appidacr": "1",
        "idp": format!("https://sts.windows.net/{TENANT}/"), "oid": "bbbbbbbb-0000-0000-0000-000000000001",
        "roles": ["Scim.Provision"], "sub": "bbbbbbbb-0000-0000-0000-000000000001", "tid": TENANT, "uti": "u1", "ver": "1.0"
    })
}

fn okta(issuer: &str) -> Value {
    json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "iss": issuer, "aud": "api://default", "iat": now(),
        "exp": now() + 3600, "cid": "0oa1gjh63g214q0Hq0g4", "scp": ["scim.write"], "sub": "0oa1gjh63g214q0Hq0g4"
    })
}

fn keycloak(issuer: &str) -> Value {
    json!({
        "exp": now() + 300, "iat": now(), "jti": "trrtcc:1", "iss": issuer, "aud": ["scim", "account"],
        "sub": "cccccccc-0000-0000-0000-000000000001", "typ": "Bearer", "azp": "provisioner", "acr": "1",
        "realm_access": {"roles": ["default-roles-corp", "offline_access"]},
        "resource_access": {"scim": {"roles": ["provision"]}, "account": {"roles": ["view-profile"]}},
        "scope": "email profile", "email_verified": false, "clientHost": "192.0.2.1",
        "preferred_username": "service-account-provisioner", "client_id": "provisioner"
    })
}

fn changed(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

#[test]
fn of_entra_okta_and_keycloak() {
    let (key, other) = (Key::rs256("k1"), Key::rs256("k2"));
    let (jwk, jwk2) = (key.jwk.clone(), other.jwk.clone());
    let issuer = Issuer::start(move |_| answer("200 OK", "", "{}"));
    let url = issuer.url.clone();
    issuer.mood(move |request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let document = |body: Value| answer("200 OK", "Content-Type: application/json\r\n", &body.to_string());
        match path {
            "/keys" | "/oauth2/default/v1/keys" | "/realms/corp/protocol/openid-connect/certs" => {
                document(json!({"keys": [jwk2, jwk]}))
            }
            "/oauth2/default/.well-known/openid-configuration" => document(json!({
                "issuer": format!("{url}/oauth2/default"), "jwks_uri": format!("{url}/oauth2/default/v1/keys")
            })),
            "/realms/corp/.well-known/openid-configuration" => document(json!({
                "issuer": format!("{url}/realms/corp"),
                "jwks_uri": format!("{url}/realms/corp/protocol/openid-connect/certs")
            })),
            _ => answer("404 Not Found", "", ""),
        }
    });
    let (ca, url) = (issuer.ca().display().to_string(), &issuer.url);
    let servers = format!(
        r#"
  test: {{ default: true, authentication: bearer }}
  entra:
    authentication:
      jwt:
        issuer: https://login.microsoftonline.com/{TENANT}/v2.0
        audience: 99999999-8888-7777-6666-555555555555
        jwks_url: {url}/keys
        claims: {{ roles: Scim.Provision }}
        ca: {ca}
  entra1:
    authentication:
      jwt:
        issuer: https://sts.windows.net/{TENANT}/
        audience: "api://scim"
        jwks_url: {url}/keys
        claims: {{ roles: [Scim.Provision], appid: aaaaaaaa-0000-0000-0000-000000000001 }}
        ca: {ca}
  okta:
    authentication:
      jwt: {{ issuer: "{url}/oauth2/default", audience: "api://default", claims: {{ scp: scim.write }}, ca: {ca} }}
  keycloak:
    authentication:
      jwt:
        issuer: {url}/realms/corp
        audience: scim
        claims: {{ azp: provisioner, resource_access: {{ scim: {{ roles: [provision] }} }} }}
        ca: {ca}
"#
    );
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().identity_servers(&servers));
    let get = |server: &str, token: &str| {
        service.client_with(&format!("/scim/{server}/v2"), Some(token.to_owned())).get("/Users")
    };
    let (okta_issuer, keycloak_issuer) = (format!("{url}/oauth2/default"), format!("{url}/realms/corp"));
    let tokens = [
        ("entra", entra_v2(), "roles", json!(["Other"])),
        ("entra1", entra_v1(), "appid", json!("aaaaaaaa-0000-0000-0000-000000000002")),
        ("okta", okta(&okta_issuer), "scp", json!(["scim.read"])),
        ("keycloak", keycloak(&keycloak_issuer), "resource_access", json!({"account": {"roles": ["provision"]}})),
    ];
    for (server, claims, name, wrong) in &tokens {
        let token = key.token(claims);
        get(server, &token).expect(200);
        // What was not granted is not allowed, and the reason names the claim.
        let refused = get(server, &key.token(&changed(claims, name, wrong.clone())));
        refused.expect_error(401, None, name);
        for (other, ..) in tokens.iter().filter(|(other, ..)| other != server) {
            get(other, &token).expect(401);
        }
        get("test", &token).expect(401);
        let created =
            json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": format!("by.{server}")});
        service.client_with(&format!("/scim/{server}/v2"), Some(token)).post("/Users", &created).expect(201);
    }
    // One fetch of each key set, and of each issuer's metadata, however many tokens came.
    assert!(issuer.requests() <= 6, "{} requests", issuer.requests());
    std::thread::sleep(Duration::from_millis(200));
    let log = service.stderr();
    assert!(log.contains("bbbbbbbb-0000-0000-0000-000000000001"), "the log names the subject:\n{log}");
    assert!(log.contains("\"by\":\"jwt\""), "{log}");
}

#[test]
fn keys_change_and_the_issuer_has_moods() {
    let (old, new) = (Key::es256("old"), Key::es256("new"));
    let (old_set, both) = (json!({"keys": [old.jwk]}).to_string(), json!({"keys": [old.jwk, new.jwk]}).to_string());
    let issuer = Issuer::start(|_| Reply::Nothing);
    let (url, ca) = (issuer.url.clone(), issuer.ca().display().to_string());
    let method = format!(
        "jwt: {{ issuer: \"{url}\", audience: scim, subject: p, jwks_url: \"{url}/keys\", algorithms: ES256, ca: {ca} }}"
    );
    let claims = json!({"iss": url, "aud": "scim", "sub": "p", "exp": now() + 600});
    let database = Database::small(Engine::Sqlite);
    let bad: Vec<(&str, Mood)> = vec![
        ("answered 302", Box::new(|_| answer("302 Found", "Location: https://127.0.0.1:1/\r\n", ""))),
        ("answered 500", Box::new(|_| answer("500 Internal Server Error", "", "oops"))),
        ("not a JSON object", Box::new(|_| answer("200 OK", "Content-Type: text/html\r\n", "<html>sign in</html>"))),
        ("has no `keys`", Box::new(|_| answer("200 OK", "", "{}"))),
        (
            "no key that can be used",
            Box::new(|_| answer("200 OK", "", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}")),
        ),
        ("more than 256 KiB", Box::new(|_| answer("200 OK", "", &" ".repeat(300_000)))),
        ("no answer within", Box::new(|_| Reply::Nothing)),
    ];
    for (reason, mood) in bad {
        issuer.mood(mood);
        let service = start(&database, &method);
        let began = Instant::now();
        let refused = users(&service, &old.token(&claims), 503);
        assert!(refused.header("retry-after").is_some(), "503 says when to come back");
        assert!(began.elapsed() < Duration::from_secs(9), "{reason}: {:?}", began.elapsed());
        std::thread::sleep(Duration::from_millis(200));
        assert!(service.stderr().contains(reason), "{reason} is not in the log:\n{}", service.stderr());
        assert!(!refused.text().contains(reason), "the client is not told what is the matter with somebody else");
        // Known not to answer: nobody waits, and nobody else is held up.
        let (requests, again) = (issuer.requests(), Instant::now());
        users(&service, &old.token(&claims), 503);
        users(&service, service.token(), 200);
        assert!(again.elapsed() < Duration::from_secs(2), "{reason}: {:?}", again.elapsed());
        assert_eq!(issuer.requests(), requests, "{reason}");
    }

    issuer.mood(move |_| answer("200 OK", "", &old_set));
    let service = start(&database, &method);
    users(&service, &old.token(&claims), 200);
    users(&service, &new.token(&claims), 401);
    let requests = issuer.requests();
    for n in 0..40 {
        users(&service, &Key::es256(&format!("../../{n}' OR 1=1 --")).token(&claims), 401);
    }
    assert_eq!(issuer.requests(), requests, "made-up keys fetch nothing");
    // The issuer begins to sign with a new key, and then goes away.
    issuer.mood(move |_| answer("200 OK", "", &both));
    let began = Instant::now();
    while with(&service, &new.token(&claims)).get("/Users").status != 200 {
        assert!(began.elapsed() < Duration::from_secs(40), "a rotated key is known within half a minute");
        std::thread::sleep(Duration::from_secs(1));
    }
    issuer.mood(|_| Reply::Nothing);
    // A reload keeps what is known.
    signal(service.pid(), "HUP");
    let reloaded = Instant::now();
    while !service.stderr().contains("\"reloaded\"") {
        assert!(reloaded.elapsed() < Duration::from_secs(10), "{}", service.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    let began = Instant::now();
    users(&service, &new.token(&claims), 200);
    users(&service, &old.token(&claims), 200);
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_server_that_is_asked() {
    let issuer = Issuer::start(|request| {
        let good = request.contains("token=good") && request.contains("Authorization: Basic c2NpbTpzM2NyZXQtY2FuYXJ5")
            || request.contains("token=good") && request.contains("authorization: Basic c2NpbTpzM2NyZXQtY2FuYXJ5");
        let body = json!({"active": good, "aud": "scim", "sub": "p", "scope": "a scim", "exp": now() + 600});
        answer("200 OK", "Content-Type: application/json\r\n", &body.to_string())
    });
    let database = Database::small(Engine::Sqlite);
    let secret = issuer.ca().with_file_name("secret");
    std::fs::write(&secret, "s3cret-canary\n").expect("a file");
    let method = format!(
        "introspection: {{ url: \"{}/introspect\", client_id: scim, client_secret: \"${{file:{}}}\", cache: 2s, audience: \
         scim, claims: {{ scope: scim }}, ca: {} }}",
        issuer.url,
        secret.display(),
        issuer.ca().display()
    );
    let service = start(&database, &method);
    users(&service, "good-1-canary-token", 200);
    users(&service, "good-1-canary-token", 200);
    assert_eq!(issuer.requests(), 1, "what was said is remembered");
    let refused = users(&service, "bad-2-canary-token", 401);
    assert!(refused.header("www-authenticate").is_some_and(|value| value.contains("invalid_token")));
    assert_eq!(issuer.requests(), 2);
    users(&service, service.token(), 200);
    assert_eq!(issuer.requests(), 2, "about tokens of ours nobody is asked");
    // Down: never let in, and told to come back; what was said a moment ago goes on.
    users(&service, "good-3-canary-token", 200);
    issuer.mood(|_| answer("500 Internal Server Error", "", "{\"active\":true}"));
    users(&service, "good-3-canary-token", 200);
    let refused = users(&service, "good-4-canary-token", 503);
    assert!(refused.header("retry-after").is_some());
    users(&service, service.token(), 200);
    std::thread::sleep(Duration::from_millis(2_100));
    users(&service, "good-3-canary-token", 503);
    // Revoked.
    issuer.mood(|_| answer("200 OK", "", "{\"active\":false}"));
    std::thread::sleep(Duration::from_millis(1_100));
    users(&service, "good-3-canary-token", 401);
    std::thread::sleep(Duration::from_millis(200));
    let log = service.stderr();
    assert!(log.contains("says that it is not active") && log.contains("answered 500"), "{log}");
    assert!(!log.contains("canary"), "no token and no secret is logged:\n{log}");
}

#[test]
fn both_by_the_form_of_the_token() {
    let key = Key::es256("k");
    let jwk = key.jwk.clone();
    let issuer = Issuer::start(move |request| {
        if request.starts_with("POST ") {
            return answer("200 OK", "", &json!({"active": true, "scope": "scim"}).to_string());
        }
        answer("200 OK", "", &json!({ "keys": [jwk] }).to_string())
    });
    let (url, ca) = (issuer.url.clone(), issuer.ca().display().to_string());
    let method = format!(
        "jwt: {{ issuer: \"{url}\", audience: scim, subject: p, jwks_url: \"{url}/keys\", algorithms: [ES256], ca: {ca} }}, \
         introspection: {{ url: \"{url}/i\", client_id: a, client_secret: b, claims: {{ scope: scim }}, ca: {ca} }}"
    );
    let database = Database::small(Engine::Sqlite);
    let service = start(&database, &method);
    users(&service, "opaque", 200);
    users(&service, &key.token(&json!({"iss": url, "aud": "scim", "sub": "p", "exp": now() + 60})), 200);
    // A JWT that its keys refuse is refused: the server, which takes everything, is not asked about it.
    let requests = issuer.requests();
    users(&service, &key.token(&json!({"iss": url, "aud": "scim", "sub": "q", "exp": now() + 60})), 401);
    assert_eq!(issuer.requests(), requests);
    users(&service, service.token(), 200);
    service.client_with("/scim/other/v2", Some("opaque".to_owned())).get("/Users").expect(401);
}
