//! `brake`: an identity server that deactivates or deletes too much within an hour is held back, by all processes together.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::client::{self, Client};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

const SERVERS: &str = "\n  test: { default: true, authentication: bearer, brake: { deactivations_per_hour: 3 } }\n  free: { authentication: bearer }\n";

fn active(value: bool) -> Value {
    json!([{ "op": "replace", "path": "active", "value": value }])
}

fn people(client: &mut Client, names: &[&str]) -> Vec<String> {
    let paths = names.iter().map(|name| {
        let id = client.post("/Users", &client::user(name, json!({}))).expect(201).id();
        format!("/Users/{id}")
    });
    paths.collect()
}

fn counted(database: &Database) -> i64 {
    database.count(&format!("SELECT COUNT(*) FROM {}deactivations", database.own_tables()))
}

fn holds_back(engine: Engine) {
    let database = Database::small(engine);
    let mut service = Service::start(&database, Options::small().identity_servers(SERVERS));
    let mut client = service.client();
    let all = people(&mut client, &["a", "b", "c", "d", "e", "f"]);
    let team = format!("/Groups/{}", client.post("/Groups", &client::group("team", &[])).expect(201).id());
    let inactive = client.post("/Users", &client::user("born off", json!({ "active": false }))).expect(201).id();

    // What is refused for another reason does not count.
    let version = [("If-Match", "W/\"other\"")];
    let body = client::patch(active(false)).to_string();
    let refused = client.send("PATCH", &format!("/scim/v2{}", all[0]), &version, Some(body.as_bytes())).unwrap();
    assert_eq!(refused.status, 412, "{}", refused.text());
    client.delete("/Users/999999").expect(404);
    assert_eq!(counted(&database), 0);

    client.patch(&all[0], active(false)).expect(200);
    client.put(&all[1], &client::user("b", json!({ "active": false }))).expect(200);
    client.delete(&all[2]).expect(204);
    assert_eq!(counted(&database), 3);
    // One too many, whichever way it comes.
    let refused = client.patch(&all[3], active(false)).expect_error(429, None, "the brake is on");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert!(refused.text().contains("deactivated or deleted 3 resources within an hour"), "{}", refused.text());
    client.put(&all[3], &client::user("d", json!({ "active": false, "title": "T" }))).expect(429);
    client.delete(&all[3]).expect(429);
    client.delete(&team).expect(429);
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        { "method": "DELETE", "path": all[3] },
        { "method": "PATCH", "path": all[3], "data": client::patch(json!([{ "op": "add", "path": "title", "value": "Dr" }])) },
    ] });
    let answer = client.post("/Bulk", &bulk).expect(200);
    assert!(answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok()).is_some_and(|wait| wait > 3000));
    let bulk = answer.json();
    let status = |at: usize| bulk["Operations"][at]["status"].as_str().unwrap().to_owned();
    assert_eq!([status(0), status(1)], ["429", "200"], "{bulk}");
    // Everything else goes on.
    let there = client.get(&all[3]).expect(200).json();
    assert_eq!((&there["active"], &there["title"]), (&json!(true), &json!("Dr")));
    client.patch(&all[0], active(false)).expect(200);
    client.patch(&format!("/Users/{inactive}"), active(false)).expect(200);
    client.patch(&all[0], active(true)).expect(200);
    people(&mut client, &["new"]);
    // Another identity server has its own.
    let mut free = service.client_with("/scim/free/v2", Some(service.issue("free")));
    free.patch(&all[4], active(false)).expect(200);
    free.delete(&team).expect(204);
    assert_eq!(counted(&database), 3, "of those with a brake");
    assert_eq!(service.metric("scimshim_brake_refusals_total{server=\"test\"}"), Some(5.0));
    assert!(service.said("the brake held back").contains("deactivations_per_hour"));

    // The other process counts with this one.
    let other = service.second("two");
    let mut second = other.client();
    second.patch(&all[3], active(false)).expect(429);
    // An hour later the first of them is forgotten.
    let oldest = format!("SELECT MIN(at) FROM {}deactivations", database.own_tables());
    let oldest = database.count(&oldest);
    let hour = 3_600_000_000_i64;
    database
        .execute(&format!("UPDATE {0}deactivations SET at = at - {hour} WHERE at = {oldest}", database.own_tables()));
    second.patch(&all[3], active(false)).expect(200);
    client.patch(&all[5], active(false)).expect(429);
    assert_eq!(counted(&database), 3, "what is older was deleted");
    drop(other);

    // Somebody looked, and it was right.
    service.configure(|text| text.replace("deactivations_per_hour: 3", "deactivations_per_hour: 4"));
    service.hang_up();
    service.said("reloaded");
    client.patch(&all[5], active(false)).expect(200);
    client.patch(&all[0], active(false)).expect(429);
    assert!(database.table(&format!("{}claims", database.own_tables())).is_empty());
}

#[test]
fn on_mariadb() {
    holds_back(Engine::MariaDb);
}

#[test]
fn on_postgres() {
    holds_back(Engine::Postgres);
}

#[test]
fn on_sqlite() {
    holds_back(Engine::Sqlite);
}

/// Many at once on two processes: exactly as many as are allowed.
fn many_at_once(engine: Engine) {
    let database = Database::small(engine);
    let servers = SERVERS.replace("per_hour: 3", "per_hour: 7");
    let service = Service::start(&database, Options::small().identity_servers(&servers));
    let other = service.second("two");
    let names: Vec<String> = (0..24).map(|number| format!("p{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = people(&mut service.client(), &names);
    let (done, held) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for (number, paths) in all.chunks(3).enumerate() {
            let mut client = if number % 2 == 0 { service.client() } else { other.client() };
            let (done, held) = (&done, &held);
            scope.spawn(move || {
                for (number, path) in paths.iter().enumerate() {
                    let answer = if number == 0 { client.delete(path) } else { client.patch(path, active(false)) };
                    match answer.status {
                        200 | 204 => done.fetch_add(1, Ordering::Relaxed),
                        429 => held.fetch_add(1, Ordering::Relaxed),
                        _ => panic!("{}", answer.text()),
                    };
                }
            });
        }
    });
    assert_eq!((done.into_inner(), held.into_inner()), (7, 17));
    assert_eq!(counted(&database), 7);
}

#[test]
fn many_at_once_on_mariadb() {
    many_at_once(Engine::MariaDb);
}

#[test]
fn many_at_once_on_postgres() {
    many_at_once(Engine::Postgres);
}

/// A bulk request that is one transaction is held back as a whole, and then counts nothing.
#[test]
fn a_whole_bulk_request() {
    let database = Database::small(Engine::MariaDb);
    let servers = SERVERS.replace("brake:", "bulk_transaction: request, brake:");
    let service = Service::start(&database, Options::small().identity_servers(&servers));
    let mut client = service.client();
    let all = people(&mut client, &["a", "b", "c", "d"]);
    let mut ask = |paths: &[String]| {
        let operations: Vec<Value> = paths.iter().map(|path| json!({ "method": "DELETE", "path": path })).collect();
        let schemas = ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"];
        let answer = client.post("/Bulk", &json!({ "schemas": schemas, "Operations": operations })).expect(200);
        let held = paths.len() > 3;
        assert_eq!(answer.header("retry-after").is_some(), held, "told when to come back, as a single one would be");
        let answer = answer.json();
        let operations = answer["Operations"].as_array().unwrap().clone();
        operations.iter().map(|one| one["status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ask(&all), ["424", "424", "424", "429"]);
    assert_eq!(counted(&database), 0, "rolled back");
    assert_eq!(ask(&all[..3]), ["204", "204", "204"]);
    assert_eq!(counted(&database), 3);
}
