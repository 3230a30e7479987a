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

/// A token that is rotated is followed by one that may do the same, is called the same, lives as long and has the same form;
/// where it is not clear which one is meant, nothing happens.
#[test]
fn rotated() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().identity_servers(TWO_SERVERS));
    let run = |arguments: &[&str]| {
        let output = service.run(arguments);
        assert!(output.status.success(), "{}", describe(&output));
        let token = String::from_utf8(output.stdout).expect("text").trim().to_owned();
        (token, String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let list = || -> Vec<serde_json::Value> {
        let list: serde_json::Value =
            serde_json::from_str(&run(&["token", "list", "other", "--json"]).0).expect("JSON");
        list.as_array().expect("a list").clone()
    };
    let seconds = |row: &serde_json::Value, key: &str| {
        let text = row[key].as_str().unwrap_or_else(|| panic!("{row}"));
        chrono::DateTime::parse_from_rfc3339(text).expect("an instant").timestamp()
    };
    let find = |label: &str, state: &str| -> serde_json::Value {
        let rows = list();
        let mut found = rows.iter().filter(|row| row["label"] == label && row["state"] == state);
        let one = found.next().unwrap_or_else(|| panic!("{label} {state}: {rows:?}")).clone();
        assert!(found.next().is_none(), "{label} {state}: {rows:?}");
        one
    };
    let status = |token: &str| service.client_with("/scim/other/v2", Some(token.to_owned())).get("/Users").status;
    let post = |token: &str, name: &str| {
        let mut client = service.client_with("/scim/other/v2", Some(token.to_owned()));
        client.post("/Users", &client::user(name, serde_json::json!({}))).status
    };

    let (prod, _) = run(&["token", "issue", "other", "--label", "prod", "--expires", "5d"]);
    let (monitoring, _) =
        run(&["token", "issue", "other", "--label", "monitoring", "--read-only", "--opaque", "--expires", "40d"]);
    let before = list();
    let refused = service.run(&["token", "rotate", "other", "--overlap", "1h"]);
    assert!(!refused.status.success() && refused.stdout.is_empty(), "{}", describe(&refused));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("\"prod\"") && said.contains("\"monitoring\" (read only)"), "{said}");
    assert!(said.contains("scimshim token rotate other ID"), "{said}");
    assert_eq!(list(), before, "nothing changed");
    // Nor for a token that is not there, or of another identity server.
    let of_test = run(&["token", "list", "test", "--json"]).0;
    let of_test: serde_json::Value = serde_json::from_str(&of_test).expect("JSON");
    for id in ["nobody", of_test[0]["id"].as_str().expect("an id")] {
        let refused = service.run(&["token", "rotate", "other", id]);
        assert!(!refused.status.success() && describe(&refused).contains("has no token"), "{}", describe(&refused));
    }

    // One of them: the other is not touched, and what is rotated keeps its form, rights, label and life.
    let id = find("monitoring", "live")["id"].as_str().expect("an id").to_owned();
    let (fresh, said) = run(&["token", "rotate", "other", &id]);
    assert!(fresh.starts_with("scimshim_st_"), "{fresh}");
    assert!(said.contains(&format!("takes the place of {id} \"monitoring\" (read only)")), "{said}");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!((status(&fresh), post(&fresh, "a"), status(&monitoring), post(&prod, "b")), (200, 403, 401, 201));
    let row = find("monitoring", "live");
    assert_eq!(row["read_only"], true, "{row}");
    assert!((seconds(&row, "expires") - seconds(&row, "created") - 40 * 86_400).abs() <= 1, "{row}");
    let again = service.run(&["token", "rotate", "other", &id]);
    assert!(!again.status.success() && describe(&again).contains("ended already"), "{}", describe(&again));

    // All of them, where they may do the same; an overlap shortens the old one, and not what follows the new one.
    let revoked = run(&["token", "revoke", "other", row["id"].as_str().expect("an id")]).1;
    assert!(revoked.contains("1 token(s) revoked"), "{revoked}");
    let (second, said) = run(&["token", "rotate", "other", "--overlap", "1h"]);
    assert!(said.contains("\"prod\"") && said.contains("1 older token(s) end at"), "{said}");
    assert_eq!((post(&prod, "c"), post(&second, "d")), (201, 201));
    // The key's rotation shortens what there is, too.
    run(&["token", "rotate-key", "--overlap", "2h"]);
    let (third, _) = run(&["token", "rotate", "other"]);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!((status(&prod), status(&second), post(&third, "e")), (401, 401, 201));
    let row = find("prod", "live");
    assert!((seconds(&row, "expires") - seconds(&row, "created") - 5 * 86_400).abs() <= 1, "{row}");
    assert_eq!(row["read_only"], false);
}
