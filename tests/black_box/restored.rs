//! An application whose database was restored from a backup gives its keys out again. What an identity provider writes to
//! an id that it remembers never lands on whoever has it now.

use serde_json::{Value, json};

use crate::support::client::{self, encode};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn tables(database: &Database) -> Vec<Vec<crate::support::databases::Row>> {
    ["people", "teams", "memberships", "history"].iter().map(|table| database.table(table)).collect()
}

fn strangers(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let body = json!({ "externalId": "e-ann", "emails": [{ "value": "ann@example.org" }] });
    let ann = client.post("/Users", &client::user("ann", body)).expect(201).id();
    let bob = client.post("/Users", &client::user("bob", json!({}))).expect(201).id();
    let team = client.post("/Groups", &client::group("team", &[&bob])).expect(201).id();
    let at_ann = format!("/Users/{ann}");
    let title = |text: &str| json!([{ "op": "replace", "path": "title", "value": text }]);

    // What the application does with its own people makes no strangers of them.
    database.execute(&format!("UPDATE people SET login = 'anna', mail = 'anna@example.org' WHERE id = {ann}"));
    client.patch(&at_ann, title("renamed")).expect(200);
    database.execute(&format!("UPDATE people SET created_at = '2001-02-03 04:05:06' WHERE id = {ann}"));
    client.patch(&at_ann, title("repaired")).expect(200);
    database.execute(&format!("UPDATE people SET login = 'ann', mail = NULL WHERE id = {ann}"));
    client.patch(&at_ann, title("back")).expect(200);

    // Restored from a backup of before her; the key was given to somebody else since.
    database.execute(&format!(
        "DELETE FROM people WHERE id = {ann};
         INSERT INTO people (id, login, given, enabled, created_at) VALUES ({ann}, 'zoe', 'Zoe', 1, '2025-05-05 05:05:05')"
    ));
    let before = tables(&database);
    assert_eq!(client.get(&at_ann).expect(200).json()["userName"], "zoe");
    client.patch(&at_ann, title("hers")).expect_error(404, None, "");
    client.patch(&at_ann, json!([{ "op": "replace", "path": "active", "value": false }])).expect_error(404, None, "");
    client.put(&at_ann, &client::user("ann", json!({ "title": "x" }))).expect_error(404, None, "");
    client.delete(&at_ann).expect_error(404, None, "");
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": ann }] }]);
    client.patch(&format!("/Groups/{team}"), add.clone()).expect_error(400, Some("invalidValue"), &ann);
    let manage = |id: &str| json!([{ "op": "add", "path": format!("{ENTERPRISE}:manager"), "value": { "value": id } }]);
    client.patch(&format!("/Users/{bob}"), manage(&ann)).expect_error(400, Some("invalidValue"), "manager");
    assert_eq!(tables(&database), before, "{engine:?}: nothing is written");
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(5);
    let told = |log: &str| log.contains("is not the one that was remembered") && log.contains("docs/restored.md");
    while !told(&service.stderr()) {
        assert!(std::time::Instant::now() < patience, "{}", service.stderr());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }

    // The client makes her again; she gets a row of her own.
    let again = client.post("/Users", &client::user("ann", json!({ "externalId": "e-ann" }))).expect(201).id();
    assert_ne!(again, ann);
    client.patch(&format!("/Users/{again}"), title("mine")).expect(200);

    // Linked again, as the documentation says.
    let own = database.own_tables();
    let forget = |table: &str| {
        database.execute(&format!("DELETE FROM {own}{table} WHERE resource_type = 'User' AND resource_id = '{ann}'"));
    };
    ["links", "sidecar", "tombstones", "identities"].into_iter().for_each(forget);
    let zoe = client.patch(&at_ann, title("Weaver")).expect(200).json();
    assert_eq!((&zoe["userName"], zoe.get("externalId")), (&json!("zoe"), None));
    let found = client.get(&format!("/Users?filter={}", encode("externalId eq \"e-ann\""))).expect(200).json();
    assert_eq!((found["totalResults"].clone(), found["Resources"][0]["id"].clone()), (json!(1), json!(again)));
    client.patch(&format!("/Groups/{team}"), add);
    assert_eq!(database.count("SELECT COUNT(*) FROM memberships"), 2);

    // A key given out anew to a row of our own making: nothing of its predecessor is in it, whether it was remembered or not.
    let mut id = String::new();
    for (round, remembered) in [true, false].into_iter().enumerate() {
        let kept = json!({ "externalId": "gone", "title": "  Spaces  ", "displayName": " D " });
        let gone = client.post("/Users", &client::user("gone", kept)).expect(201).id();
        database.execute(&format!("DELETE FROM people WHERE id = {gone}"));
        if !remembered {
            let of = format!("WHERE resource_type = 'User' AND resource_id = '{gone}'");
            database.execute(&format!(
                "DELETE FROM {own}identities {of};
                 INSERT INTO {own}tombstones (resource_type, resource_id, server, created_at, reason) VALUES ('User', '{gone}', 'hr', 0, 'old')"
            ));
        }
        match engine {
            Engine::MariaDb => database.execute("ALTER TABLE people AUTO_INCREMENT = 1"),
            Engine::Postgres => database.execute(&format!("ALTER TABLE people ALTER COLUMN id RESTART WITH {gone}")),
            Engine::Sqlite => {
                database.execute(&format!("UPDATE sqlite_sequence SET seq = {gone} - 1 WHERE name = 'people'"));
            }
        }
        let new =
            client.post("/Users", &client::user(&format!("new{round}"), json!({ "title": "Spaces" }))).expect(201);
        id = new.id();
        let new: Value = new.json();
        assert_eq!(id, gone, "{engine:?}");
        assert_eq!((new.get("externalId"), &new["title"]), (None, &json!("Spaces")), "{new}");
        client.patch(&format!("/Users/{id}"), title("kept")).expect(200);
    }
    // Whoever is gone is gone.
    client.delete(&format!("/Users/{id}")).expect(204);
    client.get(&format!("/Users/{id}")).expect(404);
}

#[test]
fn mariadb() {
    strangers(Engine::MariaDb);
}

#[test]
fn postgres() {
    strangers(Engine::Postgres);
}

#[test]
fn sqlite() {
    strangers(Engine::Sqlite);
}

/// Who waits for a row's lock on PostgreSQL reads the row as it is after the wait, and what is remembered as it was before.
#[test]
fn a_rename_makes_no_stranger_for_who_waited() {
    let database = Database::small(Engine::Postgres);
    let adapter = std::fs::read_to_string(crate::support::file("tests/adapters/small.yaml")).expect("an adapter");
    // Without the time of its making, names alone tell who a row is.
    let nameless = adapter.replace("created: created_at, ", "");
    assert_ne!(nameless, adapter);
    let service = Service::start(&database, Options::written(nameless));
    let mut client = service.client();
    let body = json!({ "emails": [{ "value": "ann@example.org" }] });
    let ann = client.post("/Users", &client::user("ann", body)).expect(201).id();
    let at_ann = format!("/Users/{ann}");
    let named = |name: &str| {
        json!([
            { "op": "replace", "path": "userName", "value": name },
            { "op": "replace", "path": "emails", "value": [{ "value": format!("{name}@example.org") }] }
        ])
    };
    let own = database.own_tables();
    let of = format!("WHERE resource_type = 'User' AND resource_id = '{ann}'");
    client.patch(&at_ann, named("anna")).expect(200);
    let anna = database.rows(&format!("SELECT identity FROM {own}identities {of}"))[0][0].clone().expect("an identity");
    client.patch(&at_ann, named("ann")).expect(200);
    std::thread::scope(|scope| {
        // What another process of ours does with a rename.
        scope.spawn(|| {
            database.execute(&format!(
                "BEGIN; UPDATE people SET login = 'anna', mail = 'anna@example.org' WHERE id = {ann};
                 UPDATE {own}identities SET identity = '{anna}' {of}; SELECT pg_sleep(1.5); COMMIT;"
            ));
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        client.patch(&at_ann, json!([{ "op": "replace", "path": "title", "value": "T" }])).expect(200);
    });
    // Nor for who makes her a member, or a manager.
    client.patch(&at_ann, named("ann")).expect(200);
    let bob = format!("/Users/{}", client.post("/Users", &client::user("bob", json!({}))).expect(201).id());
    let team = format!("/Groups/{}", client.post("/Groups", &client::group("team", &[])).expect(201).id());
    let manager = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager";
    let (mut other, mut third) = (service.client(), service.client());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            database.execute(&format!(
                "BEGIN; SELECT id FROM people WHERE id = {ann} FOR UPDATE;
                 UPDATE people SET login = 'anna', mail = 'anna@example.org' WHERE id = {ann};
                 UPDATE {own}identities SET identity = '{anna}' {of}; SELECT pg_sleep(1.5); COMMIT;"
            ));
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        let joining = json!([{ "op": "add", "path": "members", "value": [{ "value": ann }] }]);
        scope.spawn(move || other.patch(&team, joining).expect(204));
        third.patch(&bob, json!([{ "op": "replace", "path": manager, "value": ann }])).expect(200);
    });
    client.delete(&at_ann).expect(204);
}
