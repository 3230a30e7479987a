//! Bearer tokens: bound to one identity server, shown once, stored nowhere in clear, refused by every process within a
//! second of being revoked.

use std::time::{Duration, Instant};

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, describe};

const TWO_SERVERS: &str = "{ test: { default: true, authentication: bearer }, other: { authentication: bearer } }";

fn revoked_within_a_second(engine: Engine) {
    let database = Database::small(engine);
    let one = Service::start(&database, Options::small());
    let two = one.second("two");
    let token = one.issue("test");
    let mut clients = [one.client_with("/scim/v2", Some(token.clone())), two.client_with("/scim/v2", Some(token))];
    for client in &mut clients {
        client.get("/Users").expect(200);
    }
    let revoked = one.run(&["token", "revoke", "test", "--all"]);
    assert!(revoked.status.success(), "{}", describe(&revoked));
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(1000));
    for client in &mut clients {
        client.get("/Users").expect(401);
    }
    assert!(start.elapsed() < Duration::from_secs(3));
    // A new one works in both, at once.
    let token = one.issue("test");
    one.client_with("/scim/v2", Some(token.clone())).get("/Users").expect(200);
    two.client_with("/scim/v2", Some(token)).get("/Users").expect(200);
}

#[test]
fn revoked_within_a_second_on_mariadb() {
    revoked_within_a_second(Engine::MariaDb);
}

#[test]
fn revoked_within_a_second_on_postgres() {
    revoked_within_a_second(Engine::Postgres);
}

#[test]
fn revoked_within_a_second_on_sqlite() {
    revoked_within_a_second(Engine::Sqlite);
}

#[test]
fn of_one_identity_server() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().identity_servers(TWO_SERVERS));
    let other = service.issue("other");
    service.client_with("/scim/other/v2", Some(other.clone())).get("/Users").expect(200);
    service.client_with("/scim/v2", Some(other.clone())).get("/Users").expect(401);
    service.client_with("/scim/test/v2", Some(other.clone())).get("/Users").expect(401);
    service.client_with("/scim/other/v2", Some(service.token().to_owned())).get("/Users").expect(401);
    service.client_with("/scim/nobody/v2", Some(other)).get("/Users").expect(404);
    // The default one answers at both of its URLs.
    service.client_with("/scim/test/v2", Some(service.token().to_owned())).get("/Users").expect(200);
}

#[test]
fn nothing_else_opens() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let token = service.token();
    let (head, signature) = token.rsplit_once('.').expect("a JWT has three parts");
    let payload = head.split('.').nth(1).expect("a payload");
    let reversed: String = signature.chars().rev().collect();
    for wrong in [
        String::new(),
        "x".to_owned(),
        format!("{head}."),
        format!("{head}.{reversed}"),
        format!("{}.{payload}.", "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"),
        token.to_uppercase(),
        format!("{token}a"),
        "a.b.c".to_owned(),
        "x".repeat(7000),
    ] {
        let answer = service.client_with("/scim/v2", Some(wrong.clone())).get("/Users");
        assert_eq!(answer.status, 401, "{wrong:.60}: {}", answer.text());
        assert!(
            answer.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")),
            "{:?}",
            answer.headers
        );
        assert!(wrong.is_empty() || !answer.text().contains(&wrong));
    }
    let mut client = service.client_with("/scim/v2", None);
    let basic =
        client.send("GET", "/scim/v2/Users", &[("Authorization", "Basic dGVzdDp0ZXN0")], None).expect("an answer");
    assert_eq!(basic.status, 401);
    let in_the_query =
        client.send("GET", &format!("/scim/v2/Users?access_token={token}"), &[], None).expect("an answer");
    assert_eq!(in_the_query.status, 401);
}

#[test]
fn read_only() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let issued = service.run(&["token", "issue", "test", "--read-only", "--label", "auditor"]);
    assert!(issued.status.success(), "{}", describe(&issued));
    let token = String::from_utf8(issued.stdout).expect("text").trim().to_owned();
    let mut client = service.client_with("/scim/v2", Some(token));
    client.get("/Users").expect(200);
    client.post("/Users", &client::user("x", serde_json::json!({}))).expect_error(403, None, "");
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 0);
    let list = service.run(&["token", "list"]);
    assert!(list.status.success(), "{}", describe(&list));
    assert!(String::from_utf8_lossy(&list.stdout).contains("auditor"), "{}", describe(&list));
}

#[test]
fn expired() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let issued = service.run(&["token", "issue", "test", "--expires", "2s"]);
    assert!(issued.status.success(), "{}", describe(&issued));
    let token = String::from_utf8(issued.stdout).expect("text").trim().to_owned();
    let mut client = service.client_with("/scim/v2", Some(token));
    client.get("/Users").expect(200);
    std::thread::sleep(Duration::from_secs(4));
    client.get("/Users").expect(401);
}

/// The token is found in no table, no log, no list, no metric, no error: only its hash is kept.
#[test]
fn shown_once() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let token = service.token().to_owned();
    service.client().get("/Users").expect(200);
    let secret = token.rsplit('.').next().expect("a signature");
    let list = service.run(&["token", "list", "test"]);
    let tables = database.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'scimshim%'");
    assert!(!tables.is_empty(), "scimshim's own tables are there");
    let mut everything = format!("{}{}", describe(&list), service.stderr());
    everything.push_str(&service.admin("/metrics").unwrap_or_default());
    for table in tables.iter().filter_map(|row| row[0].as_ref()) {
        for row in database.rows(&format!("SELECT * FROM {table}")) {
            everything.push_str(&row.into_iter().flatten().collect::<Vec<_>>().join(" "));
        }
    }
    assert!(!everything.contains(secret), "the token stands somewhere in clear");
}

/// What an identity server may do is what the configuration says.
#[test]
fn may() {
    let database = Database::small(Engine::Sqlite);
    let servers = "{ test: { default: true, authentication: bearer, may: { User: [create, read, update, deactivate], Group: [read] } } }";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    let mut client = service.client();
    let id = client.post("/Users", &client::user("kept", serde_json::json!({}))).expect(201).id();
    client.post("/Groups", &client::group("none", &[])).expect_error(403, None, "");
    // Without `delete` but with `deactivate`, a DELETE deactivates.
    client.delete(&format!("/Users/{id}")).expect(204);
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(database.rows("SELECT login, enabled, gone_at FROM people"), [[text("kept"), text("0"), None]]);
    assert_eq!(database.count("SELECT COUNT(*) FROM teams"), 0);
}
