//! What an authorization server says of tokens, and for how long it is believed.

use super::super::fetch::fake::{self, Answer, Server};
use super::*;
use crate::config::{ClaimRule, Required, Secret, Trust};
use serde_json::json;

fn configured(server: &Server, cache: Duration) -> config::Introspection {
    config::Introspection {
        url: Url::parse(&format!("{}/introspect", server.url)).unwrap(),
        client_id: "scim shim".into(),
        client_secret: Secret::new("p:w&d"),
        cache,
        issuer: None,
        audiences: vec!["scim".into()],
        required: Required {
            subject: None,
            claims: vec![ClaimRule { path: vec!["scope".into()], values: vec!["scim".into()] }],
        },
        trust: Trust::default(),
    }
}

fn asking(server: &Server, cache: u64) -> Arc<Introspection> {
    let cache = Duration::from_millis(cache);
    Arc::new(Introspection::new(&configured(server, cache), server.client()))
}

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

fn active() -> Value {
    json!({"active": true, "aud": "scim", "scope": "openid scim", "sub": "provisioner", "exp": now() + 600})
}

async fn refused(asking: &Introspection, token: &str) -> String {
    match asking.ask(token).await {
        Err(Denied::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

async fn unavailable(asking: &Introspection, token: &str) -> String {
    match asking.ask(token).await {
        Err(Denied::Unavailable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_asked_and_remembered() {
    let server = Server::start(|_| fake::json(&active().to_string())).await;
    let asking = asking(&server, 300);
    assert_eq!(asking.ask("a+b").await.unwrap().subject.as_deref(), Some("provisioner"));
    let heard = server.last_request();
    assert!(heard.starts_with("POST /introspect HTTP/1.1\r\n"), "{heard}");
    assert!(heard.ends_with("\r\n\r\ntoken=a%2Bb&token_type_hint=access_token"), "{heard}");
    let basic = format!("Basic {}", STANDARD.encode("scim%20shim:p%3Aw%26d"));
    assert!(heard.contains(&basic), "{heard}");
    for _ in 0..50 {
        asking.ask("a+b").await.unwrap();
    }
    assert_eq!(server.requests(), 1);
    asking.ask("another").await.unwrap();
    assert_eq!(server.requests(), 2);
    // Revoked: known when what was said is too old.
    server.answer(|_| fake::json("{\"active\":false}"));
    tokio::time::sleep(Duration::from_millis(310)).await;
    assert!(refused(&asking, "a+b").await.contains("not active"));
    assert!(refused(&asking, "a+b").await.contains("not active"));
    assert_eq!(server.requests(), 3, "that it is not good is remembered too");
    server.answer(|_| fake::json(&active().to_string()));
    tokio::time::sleep(Duration::from_millis(310)).await;
    asking.ask("a+b").await.unwrap();
}

#[tokio::test]
async fn never_beyond_its_end() {
    let server = Server::start(|_| {
        let mut answer = active();
        answer["exp"] = json!(now() + 1);
        fake::json(&answer.to_string())
    })
    .await;
    let asking = asking(&server, 60_000);
    asking.ask("x").await.unwrap();
    server.answer(|_| fake::json("{\"active\":false}"));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(refused(&asking, "x").await.contains("not active"));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn what_an_answer_must_say() {
    let server = Server::start(|_| Answer::Nothing).await;
    let change = |name: &str, value: Value| {
        let mut answer = active();
        answer[name] = value;
        answer.to_string()
    };
    for (answer, reason) in [
        (change("aud", json!("other")), "`aud` is `other`, not `scim`"),
        (change("aud", json!(null)), "`aud` is neither"),
        (change("scope", json!("openid")), "`scope` does not have `scim`"),
        (change("exp", json!(now() - 61)), "expired"),
        (change("exp", json!("never")), "`exp` is not a time"),
        (change("nbf", json!(now() + 600)), "`nbf` is"),
        (change("sub", json!([])), "`sub` is not text"),
        (change("active", json!(false)), "not active"),
    ] {
        server.answer(move |_| fake::json(&answer));
        let why = refused(&asking(&server, 1_000), "x").await;
        assert!(why.contains(reason), "{why} is not {reason}");
    }
    server.answer(|_| fake::json(&active().to_string()));
    let mut strict = configured(&server, Duration::from_secs(1));
    strict.issuer = Some("https://idp.example.com".into());
    let why = refused(&Introspection::new(&strict, server.client()), "x").await;
    assert!(why.contains("`iss` is not `https://idp.example.com`"), "{why}");
}

#[tokio::test]
async fn a_server_that_fails_lets_nobody_in() {
    let server = Server::start(|_| fake::json(&active().to_string())).await;
    let known = asking(&server, 60_000);
    known.ask("known").await.unwrap();
    for (answer, reason) in [
        (fake::json("{\"active\":\"true\"}"), "no `active`"),
        (fake::json("{\"active\":1}"), "no `active`"),
        (fake::json("{}"), "no `active`"),
        (fake::json("{\"active\":false,\"active\":true}"), "a name twice"),
        (fake::json("[true]"), "not a JSON object"),
        (fake::json("<html>"), "not JSON"),
        (fake::status("401 Unauthorized", "", "{\"active\":true}"), "answered 401"),
        (fake::status("302 Found", "Location: /\r\n", ""), "answered 302"),
        (fake::status("500 Internal Server Error", "", ""), "answered 500"),
        (Answer::Nothing, "no answer within"),
    ] {
        server.answer(move |_| answer.clone());
        let asking = asking(&server, 60_000);
        let why = unavailable(&asking, "secret-token").await;
        assert!(why.contains(reason) && !why.contains("secret-token"), "{why} is not {reason}");
        let before = server.requests();
        let again = Instant::now();
        assert!(unavailable(&asking, "other").await.contains(reason));
        assert!(again.elapsed() < Duration::from_millis(500) && server.requests() == before, "left alone for a moment");
        known.ask("known").await.expect("what was said before goes on");
    }
    server.answer(|_| fake::json(&active().to_string()));
    tokio::time::sleep(PAUSE).await;
    asking(&server, 60_000).ask("secret-token").await.unwrap();
}

#[tokio::test]
async fn one_question_for_all_who_wait_and_not_too_many_at_once() {
    let Answer::Bytes(bytes) = fake::json(&active().to_string()) else { panic!() };
    let server = Server::start(move |_| Answer::Late(Duration::from_millis(200), bytes.clone())).await;
    let asking = asking(&server, 60_000);
    // The first hangs up; the others have the answer to its question.
    assert!(tokio::time::timeout(Duration::from_millis(50), asking.ask("one")).await.is_err());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let asking = Arc::clone(&asking);
        all.spawn(async move { asking.ask("one").await.is_ok() });
    }
    assert!(all.join_all().await.into_iter().all(|good| good));
    assert_eq!(server.requests(), 1);
    let mut all = tokio::task::JoinSet::new();
    for n in 0..100 {
        let asking = Arc::clone(&asking);
        all.spawn(async move { asking.ask(&format!("many-{n}")).await.is_ok() });
    }
    let good = all.join_all().await.into_iter().filter(|good| *good).count();
    assert!(good <= QUESTIONS && server.requests() <= 1 + QUESTIONS, "{good} of {}", server.requests());
    assert!(good > 0);
    assert!(asking.shared.said().asking.is_empty(), "nothing is left behind");
    asking.ask("many-99").await.expect("and goes on");
}
