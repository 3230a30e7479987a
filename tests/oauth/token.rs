//! What the endpoints for clients refuse, and how they say so.

use crate::setup::{
    Asking, Browser, CALLBACK, SECOND_CALLBACK, SECRET, VERIFIER, asking, basic, changed, encoded, options, refused,
    start, text,
};
use crate::support::databases::Engine;
use crate::support::service::Service;

#[test]
fn metadata() {
    let (_database, service) = start(Engine::Sqlite);
    let mut http = service.client_with("", None);
    let mut get = |path: &str| http.send("GET", path, &[], None).expect("an answer");
    let document = get("/.well-known/oauth-authorization-server/oauth2/test").expect(200).json();
    let issuer = format!("{}/oauth2/test", service.url());
    assert_eq!(document["issuer"], issuer);
    assert_eq!(document["authorization_endpoint"], format!("{issuer}/authorize"));
    assert_eq!(document["token_endpoint"], format!("{issuer}/token"));
    assert_eq!(document["revocation_endpoint"], format!("{issuer}/revoke"));
    assert_eq!(document["code_challenge_methods_supported"], serde_json::json!(["S256"]));
    let methods = serde_json::json!(["client_secret_basic", "client_secret_post", "none"]);
    assert_eq!(document["token_endpoint_auth_methods_supported"], methods);
    assert_eq!(document["authorization_response_iss_parameter_supported"], true);
    for nothing in [
        "/.well-known/oauth-authorization-server/oauth2/plain",
        "/.well-known/oauth-authorization-server/oauth2/nobody",
        "/.well-known/oauth-authorization-server",
        "/oauth2/test",
        "/oauth2/test/introspect",
        "/oauth2/plain/token",
        "/oauth2",
    ] {
        assert_eq!(get(nothing).status, 404, "{nothing}");
    }
    assert_eq!(get("/.well-known/oauth-authorization-server/oauth2/off").status, 403);
}

#[test]
fn grants_that_are_refused() {
    let (_database, service) = start(Engine::Sqlite);
    let mut browser = Browser::new(&service, "test");
    let mut idp = Asking::new(&service, "test");
    for (body, error) in [
        (&[][..], "invalid_request"),
        (&[("grant_type", "password"), ("username", "ada"), ("password", "x")], "unsupported_grant_type"),
        (&[("grant_type", "implicit")], "unsupported_grant_type"),
        (&[("grant_type", "authorization_code")], "invalid_request"),
        (&[("grant_type", "authorization_code"), ("code", "x")], "invalid_grant"),
        (&[("grant_type", "refresh_token")], "invalid_request"),
        (&[("grant_type", "refresh_token"), ("refresh_token", "x")], "invalid_grant"),
        (&[("grant_type", "client_credentials")], "unauthorized_client"),
        (&[("grant_type", "refresh_token"), ("grant_type", "refresh_token")], "invalid_request"),
    ] {
        refused(&idp.token(body), 400, error);
    }
    let machine = basic("machine", SECRET);
    let own = [("grant_type", "client_credentials"), ("scope", "admin")];
    refused(&idp.post("token", Some(&machine), &own), 400, "invalid_scope");

    // A code in wrong hands, or with a wrong proof, is spent: the thief may be whoever comes first.
    let good = |code: &str| -> Vec<(String, String)> {
        let all = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    for change in [
        ("redirect_uri", Some(SECOND_CALLBACK)),
        ("redirect_uri", None),
        ("code_verifier", Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")),
        ("code_verifier", None),
    ] {
        let code = browser.code(&asking());
        let pairs = good(&code);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        refused(&idp.token(&changed(&pairs, &[change])), 400, "invalid_grant");
        refused(&idp.token(&pairs), 400, "invalid_grant");
    }
    // Another client's, or brought to another identity server.
    let code = browser.code(&asking());
    let odd = basic("<b>&'x", SECRET);
    let pairs = good(&code);
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    refused(&Asking::new(&service, "other").token(&pairs), 400, "invalid_grant");
    refused(&idp.post("token", Some(&odd), &pairs), 400, "invalid_grant");
    refused(&idp.token(&pairs), 400, "invalid_grant");
    // A refresh token at another identity server.
    let tokens = idp.exchange(&browser.code(&asking())).expect(200).json();
    refused(&Asking::new(&service, "other").refresh(&text(&tokens, "refresh_token")), 400, "invalid_grant");
    idp.refresh(&text(&tokens, "refresh_token")).expect(200);
}

#[test]
fn clients_that_are_refused() {
    let (_database, service) = start(Engine::Sqlite);
    let mut idp = Asking::new(&service, "test");
    let grant = ("grant_type", "client_credentials");
    let right = basic("machine", SECRET);
    for (authorization, more, status, error) in [
        (None, &[][..], 401, "invalid_client"),
        (Some(basic("machine", "wrong")), &[], 401, "invalid_client"),
        (Some(basic("nobody", SECRET)), &[], 401, "invalid_client"),
        (Some(basic("machine", "")), &[], 401, "invalid_client"),
        (Some("Bearer x".to_owned()), &[], 401, "invalid_client"),
        (Some("Basic !".to_owned()), &[], 401, "invalid_client"),
        (Some(right.clone()), &[("client_secret", SECRET)], 400, "invalid_request"),
        (Some(right.clone()), &[("client_id", "idp")], 400, "invalid_request"),
        (None, &[("client_id", "machine")], 401, "invalid_client"),
        (None, &[("client_id", "machine"), ("client_secret", "wrong")], 401, "invalid_client"),
        (None, &[("client_id", "machine"), ("client_assertion", "a.b.c")], 401, "invalid_client"),
        (
            None,
            &[
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", "eyJhbGciOiJub25lIn0.eyJpc3MiOiJtYWNoaW5lIiwic3ViIjoibWFjaGluZSJ9."),
            ],
            401,
            "invalid_client",
        ),
    ] {
        let body: Vec<_> = more.iter().copied().chain([grant]).collect();
        refused(&idp.post("token", authorization.as_deref(), &body), status, error);
        refused(&idp.post("revoke", authorization.as_deref(), &[more, &[("token", "x")]].concat()), status, error);
    }
    // A secret in the URL is none.
    let path = format!("/oauth2/test/token?{}", encoded(&[("client_id", "machine"), ("client_secret", SECRET), grant]));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = idp.http.send("POST", &path, &form, Some(b"grant_type=client_credentials")).expect("an answer");
    refused(&answer, 401, "invalid_client");
    // Two headers.
    let two = [form[0], ("Authorization", right.as_str()), ("Authorization", right.as_str())];
    let answer = idp.http.send("POST", "/oauth2/test/token", &two, Some(b"grant_type=client_credentials"));
    refused(&answer.expect("an answer"), 400, "invalid_request");
    // Who may not call from here, whoever it is.
    let mut far = Asking::new(&service, "far");
    assert_eq!(far.post("token", Some(&right), &[grant]).status, 403);
    assert_eq!(far.post("revoke", Some(&right), &[("token", "x")]).status, 403);
    // The page is for an administrator's browser, which is elsewhere than the identity provider.
    Browser::new(&service, "far").open(&asking()).expect(200);
    assert_eq!(Asking::new(&service, "off").post("token", Some(&right), &[grant]).status, 403);
}

#[test]
fn bodies_that_are_refused() {
    let (_database, service) = start(Engine::Sqlite);
    let mut http = service.client_with("", None);
    let machine = basic("machine", SECRET);
    let mut post = |headers: &[(&str, &str)], body: &[u8]| {
        let mut all = vec![("Authorization", machine.as_str())];
        all.extend(headers);
        http.send("POST", "/oauth2/test/token", &all, Some(body)).expect("an answer")
    };
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    refused(
        &post(&[("Content-Type", "application/json")], b"{\"grant_type\":\"client_credentials\"}"),
        415,
        "invalid_request",
    );
    refused(&post(&[], b"grant_type=client_credentials"), 415, "invalid_request");
    refused(&post(&[form, ("Content-Encoding", "gzip")], b"x"), 415, "invalid_request");
    refused(&post(&[form], &vec![b'a'; 30_000]), 413, "invalid_request");
    refused(&post(&[form], b"grant_type=%ff"), 400, "invalid_request");
    refused(&post(&[form], b"grant_type=client_credentials%00"), 400, "invalid_request");
    refused(&post(&[form], "a=1&".repeat(100).as_bytes()), 400, "invalid_request");
    refused(&post(&[form], b""), 400, "invalid_request");
    post(&[("Content-Type", "Application/X-WWW-Form-Urlencoded; charset=utf-8")], b"grant_type=client_credentials")
        .expect(200);
    let get = http.send("GET", "/oauth2/test/token", &[], None).expect("an answer");
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    let put = http.send("PUT", "/oauth2/test/authorize", &[], None).expect("an answer");
    assert_eq!((put.status, put.header("allow")), (405, Some("GET, HEAD, POST")));
}

/// Guesses at a client's secret are slowed down, and do not lock out who knows it from elsewhere.
#[test]
fn guessing() {
    let database = crate::setup::application(Engine::Sqlite);
    let service = Service::start(&database, options().more("limits: { failures_per_minute: 3 }"));
    let mut idp = Asking::new(&service, "test");
    let own = [("grant_type", "client_credentials")];
    let wrong = basic("machine", "wrong");
    for _ in 0..3 {
        refused(&idp.post("token", Some(&wrong), &own), 401, "invalid_client");
    }
    let slow = idp.post("token", Some(&wrong), &own).expect(429);
    assert!(slow.header("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait <= 60)));
    assert_eq!(slow.header("cache-control"), Some("no-store"));
}
