//! Whatever goes wrong, and wherever, is said as a SCIM error with its status as text (rule 17), and what will pass says
//! when to come back: limits, routes, heads that are no HTTP, failed authentication, overload, locks, no database.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{self, Answer};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

/// A SCIM error of that status, in the media type of SCIM.
#[track_caller]
fn error(what: &str, answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/scim+json"), "{what}");
    let document = answer.json();
    assert_eq!(document["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{what}: {document}");
    assert_eq!(document["status"], status.to_string(), "{what}: {document}");
    assert!(document["detail"].as_str().is_some_and(|detail| detail.len() > 8), "{what}: {document}");
}

/// The same, and when to come back, in whole seconds.
#[track_caller]
fn later(what: &str, answer: &Answer, status: u16) {
    error(what, answer, status);
    let wait = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| (1..=60).contains(&wait)), "{what}: {:?}", answer.headers);
}

/// Heads that hyper does not even hand over.
#[test]
fn heads_that_are_none() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let host = format!("localhost:{}", service.address().port());
    let auth = format!("Host: {host}\r\nAuthorization: Bearer {}\r\n", service.token());
    let long = "x".repeat(100_000);
    let many: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    for (what, bytes, status) in [
        ("no HTTP at all", "HELO example.org\r\n\r\n".to_owned(), 400),
        ("no version", format!("GET /scim/v2/Users\r\n{auth}\r\n"), 400),
        ("another version", format!("GET /scim/v2/Users HTTP/3.7\r\n{auth}\r\n"), 400),
        ("a header's name with a space", format!("GET /scim/v2/Users HTTP/1.1\r\n{auth}X Y: z\r\n\r\n"), 400),
        ("a method of control characters", format!("G\u{1}T /scim/v2/Users HTTP/1.1\r\n{auth}\r\n"), 400),
        ("a space in the path", format!("GET /scim/v2/Users/a b HTTP/1.1\r\n{auth}\r\n"), 400),
        ("200 headers", format!("GET /scim/v2/Users HTTP/1.1\r\n{auth}{many}\r\n"), 431),
        ("a header of 100 kB", format!("GET /scim/v2/Users HTTP/1.1\r\n{auth}X-A: {long}\r\n\r\n"), 431),
    ] {
        let mut client = service.client();
        let answer = client.send_bytes(bytes.as_bytes(), false).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        error(what, &answer, status);
        assert_eq!(answer.header("connection"), Some("close"), "{what}");
        assert!(answer.header("date").is_some(), "{what}: {:?}", answer.headers);
    }
    // After a request that was all right, on the same connection; and the next one is served.
    let mut client = service.client();
    client.get("/ServiceProviderConfig").expect(200);
    error("the second request", &client.send_bytes(b"nonsense\r\n\r\n", false).expect("an answer"), 400);
    client.get("/Users").expect(200);
}

#[test]
fn limits_and_routes() {
    let database = Database::small(Engine::Sqlite);
    let more = "limits: { body: 64KiB, filter_length: 1KiB, failures_per_minute: 4 }";
    let servers = "{ test: { default: true }, reader: { may: { User: [read], Group: [read] } } }";
    let service = Service::start(&database, Options::small().more(more).identity_servers(servers));
    let mut client = service.client();
    let id = client.post("/Users", &client::user("ada", json!({}))).expect(201).id();
    let scim = [("Content-Type", "application/scim+json")];
    let large = serde_json::to_vec(&client::user("large", json!({ "title": "x".repeat(100_000) }))).expect("JSON");
    let long = format!("/scim/v2/Users?filter={}", "x".repeat(2000));
    let longer = format!("/scim/v2/Users?x={}", "x".repeat(9000));
    for (method, path, headers, body, status) in [
        ("GET", "/scim/v2/Nothing", &scim[..0], None, 404),
        ("GET", "/scim/nobody/v2/Users", &[], None, 404),
        ("GET", "/elsewhere", &[], None, 404),
        ("GET", "/", &[], None, 404),
        ("GET", "/scim/v2/Users/nobody", &[], None, 404),
        ("GET", "/scim/v2/Me", &[], None, 501),
        ("PUT", "/scim/v2/Users", &scim, Some(&b"{}"[..]), 405),
        ("BREW", "/scim/v2/Users", &[], None, 501),
        ("GET", "/scim/v2/Users", &[("Accept", "text/html")], None, 406),
        ("POST", "/scim/v2/Users", &[("Content-Type", "text/plain")], Some(b"x"), 415),
        ("POST", "/scim/v2/Users", &scim, Some(b"{\"userName\":"), 400),
        ("POST", "/scim/v2/Users", &scim, Some(b""), 400),
        ("POST", "/scim/v2/Users", &scim, Some(b"{\"userName\":\"ADA\"}"), 409),
        ("POST", "/scim/v2/Users", &scim, Some(&large), 413),
        ("GET", &long, &[], None, 400),
        ("GET", &longer, &[], None, 200),
    ] {
        let what = format!("{method} {}", &path[..path.len().min(60)]);
        let answer = client.send(method, path, headers, body).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        match status {
            200 => assert_eq!(answer.status, 200, "{what}: {}", answer.text()),
            status => error(&what, &answer, status),
        }
        if status == 405 {
            assert!(answer.header("allow").is_some_and(|allow| allow.contains("GET")), "{what}");
        }
    }
    let mut reader = service.client_with("/scim/reader/v2", Some(service.issue("reader")));
    error("no right", &reader.post("/Users", &client::user("x", json!({}))), 403);
    let mut stranger = service.client_with("/scim/v2", Some("wrong".to_owned()));
    for _ in 0..4 {
        let answer = stranger.get("/Users");
        error("a wrong token", &answer, 401);
        assert!(answer.header("www-authenticate").is_some());
    }
    later("a fifth wrong token", &stranger.get("/Users"), 429);
    // Who was right before goes on.
    client.get(&format!("/Users/{id}")).expect(200);
}

/// A row that somebody else holds, and more requests than there are connections: all of them hear 503 and when to come
/// back; nothing of them happens; and afterwards all is well.
fn overload(engine: Engine) {
    let database = Database::small(engine);
    let more = "limits: { request_timeout: 3s }";
    let mut options = Options::small().more(more);
    options.more.push_str("log: { level: info }\n");
    let service = Service::start(&database, options);
    let mut client = service.client();
    let team = client.post("/Groups", &client::group("held", &[])).expect(201).id();
    let before = database.table("teams");
    let hold = match engine {
        Engine::MariaDb => "BEGIN; SELECT * FROM teams FOR UPDATE; DO SLEEP(8); ROLLBACK;",
        _ => "BEGIN; SELECT * FROM teams FOR UPDATE; SELECT pg_sleep(8); ROLLBACK;",
    };
    std::thread::scope(|scope| {
        scope.spawn(|| database.execute(hold));
        std::thread::sleep(Duration::from_millis(700));
        let began = Instant::now();
        let waiting: Vec<_> = (0..30)
            .map(|number| {
                let (mut client, path) = (service.client(), format!("/Groups/{team}"));
                scope.spawn(move || {
                    let name = json!([{ "op": "replace", "path": "displayName", "value": format!("n{number}") }]);
                    client.patch(&path, name)
                })
            })
            .collect();
        for answer in waiting.into_iter().map(|thread| thread.join().expect("an answer")) {
            later(&format!("{engine:?}: held"), &answer, 503);
        }
        assert!(began.elapsed() < Duration::from_secs(8), "{engine:?}: {:?}", began.elapsed());
    });
    assert_eq!(database.table("teams"), before, "{engine:?}");
    let name = json!([{ "op": "replace", "path": "displayName", "value": "free" }]);
    assert!(matches!(client.patch(&format!("/Groups/{team}"), name).status, 200 | 204));
}

#[test]
fn overload_on_mariadb() {
    overload(Engine::MariaDb);
}

#[test]
fn overload_on_postgres() {
    overload(Engine::Postgres);
}

/// PostgreSQL lets nobody in any more, and throws out who was. (Without MariaDB: black_box `lifecycle`.)
#[test]
fn without_postgres() {
    let database = Database::small(Engine::Postgres);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    client.post("/Users", &client::user("kept", json!({}))).expect(201);
    let name = &database.name;
    database.administer(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    let out = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    database.administer(&out);
    later("a read", &client.get("/Users"), 503);
    later("a write", &client.post("/Users", &client::user("lost", json!({}))), 503);
    later("a group", &client.get("/Groups?filter=displayName%20eq%20%22x%22"), 503);
    database.administer(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
    let patience = Instant::now() + Duration::from_secs(30);
    while client.get("/Users").status != 200 {
        assert!(Instant::now() < patience, "{}", service.stderr());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(client.get("/Users").json()["totalResults"], 1);
}
