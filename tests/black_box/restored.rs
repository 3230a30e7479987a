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

    // A key given out anew to a row of our own making: nothing of its predecessor is in it.
    let kept = json!({ "externalId": "gone", "title": "  Spaces  ", "displayName": " D " });
    let gone = client.post("/Users", &client::user("gone", kept)).expect(201).id();
    database.execute(&format!("DELETE FROM people WHERE id = {gone}"));
    match engine {
        Engine::MariaDb => database.execute("ALTER TABLE people AUTO_INCREMENT = 1"),
        Engine::Postgres => database.execute(&format!("ALTER TABLE people ALTER COLUMN id RESTART WITH {gone}")),
        Engine::Sqlite => {
            database.execute(&format!("UPDATE sqlite_sequence SET seq = {gone} - 1 WHERE name = 'people'"));
        }
    }
    let new = client.post("/Users", &client::user("new", json!({ "title": "Spaces" }))).expect(201);
    let (id, new): (String, Value) = (new.id(), new.json());
    assert_eq!(id, gone, "{engine:?}");
    assert_eq!((new.get("externalId"), &new["title"]), (None, &json!("Spaces")), "{new}");
    client.patch(&format!("/Users/{id}"), title("kept")).expect(200);
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
