//! `dry_run`: what an identity server writes is tried to its end and rolled back; the journal says what would have changed.

use serde_json::{Value, json};

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::journal::{Tables, requests};
use crate::support::service::{Options, Service, describe};

const SERVERS: &str = "\n  test: { default: true, authentication: bearer }\n  dry: { authentication: bearer, dry_run: true }\n  whole: { authentication: bearer, dry_run: true, bulk_transaction: request }\n";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn keeps_nothing(engine: Engine) {
    let database = Database::small(engine);
    let options = Options::small().parameters("{ revive: userName, on_blocked: deactivate }").identity_servers(SERVERS);
    let service = Service::start(&database, options);
    let mut real = service.client();
    let ada = format!("/Users/{}", real.post("/Users", &client::user("ada", json!({}))).expect(201).id());
    let bob = real.post("/Users", &client::user("bob", json!({}))).expect(201).id();
    let team = format!("/Groups/{}", real.post("/Groups", &client::group("team", &[&bob])).expect(201).id());
    real.delete(&format!("/Users/{bob}")).expect(204);
    let before = Tables::of(&database);
    let mut dry = service.client_with("/scim/dry/v2", Some(service.issue("dry")));

    // A new resource, with all that goes with it, and an id that nobody will ever have.
    let department = json!({ ENTERPRISE: { "department": "Engines" }, "externalId": "x-1", "nickName": "N" });
    let created = dry.post("/Users", &client::user("eve", department)).expect(201);
    let resource = created.json();
    let id = created.id();
    assert!(id.starts_with("dry-run-"), "{id}");
    let location = format!("/scim/dry/v2/Users/{id}");
    assert!(resource["meta"]["location"].as_str().unwrap().ends_with(&location), "{resource}");
    assert!(created.header("location").unwrap().ends_with(&location), "{:?}", created.headers);
    assert_eq!(resource[ENTERPRISE]["department"], "Engines");
    for path in [format!("/Users/{id}"), format!("/Groups/{id}")] {
        dry.get(&path).expect(404);
        dry.patch(&path, json!([{ "op": "replace", "path": "displayName", "value": "x" }])).expect(404);
        dry.delete(&path).expect(404);
    }
    let group = dry.post("/Groups", &client::group("new team", &[])).expect(201).id();
    assert!(group.starts_with("dry-run-"), "{group}");
    // The row that is there again: bob's.
    assert!(dry.post("/Users", &client::user("bob", json!({}))).expect(201).id().starts_with("dry-run-"));

    // Changes show what they would have made.
    let titled = dry.patch(&ada, json!([{ "op": "replace", "path": "title", "value": "Countess" }])).expect(200);
    assert_eq!(titled.json()["title"], "Countess");
    assert_eq!(titled.id(), ada.rsplit('/').next().unwrap());
    dry.put(&ada, &client::user("ada.l", json!({}))).expect(200);
    let member = json!([{ "op": "add", "path": "members", "value": [{ "value": titled.id() }] }]);
    dry.patch(&team, member).expect(200);
    dry.delete(&ada).expect(204);
    dry.delete(&team).expect(204);
    let there = dry.get(&ada).expect(200).json();
    assert_eq!((&there["userName"], there.get("title")), (&json!("ada"), None));
    // What is refused is refused as ever.
    dry.post("/Users", &client::user("ADA", json!({}))).expect_error(409, Some("uniqueness"), "userName");
    dry.patch(&ada, json!([{ "op": "replace", "path": "active", "value": "perhaps" }])).expect(400);

    // Operations of a bulk request: each by itself, or all in one transaction, where they see each other.
    let operations = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        { "method": "POST", "path": "/Users", "bulkId": "u", "data": client::user("mel", json!({})) },
        { "method": "POST", "path": "/Groups", "bulkId": "g", "data": client::group("crew", &["bulkId:u"]) },
        { "method": "PATCH", "path": "/Users/bulkId:u", "data": client::patch(json!([{ "op": "add", "path": "title", "value": "T" }])) },
    ] });
    let statuses = |answer: &Value| -> Vec<String> {
        let all = answer["Operations"].as_array().unwrap().iter();
        all.map(|one| one["status"].as_str().unwrap().to_owned()).collect()
    };
    let answer = dry.post("/Bulk", &operations).expect(200).json();
    assert_eq!(statuses(&answer), ["201", "400", "404"], "the first is not there for the second: {answer}");
    let mut whole = service.client_with("/scim/whole/v2", Some(service.issue("whole")));
    let answer = whole.post("/Bulk", &operations).expect(200).json();
    assert_eq!(statuses(&answer), ["201", "201", "200"], "{answer}");
    assert_eq!(answer["Operations"][0]["location"], answer["Operations"][2]["location"], "{answer}");
    for one in answer["Operations"].as_array().unwrap() {
        assert!(one["location"].as_str().unwrap().contains("/dry-run-"), "{answer}");
    }

    // Nothing of all that was kept but the journal.
    let wrong = before.disagreements(&database, &[]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(database.table(&format!("{}claims", database.own_tables())).is_empty());
    let all = requests(&service);
    let dry_runs: Vec<&Value> = all.iter().filter(|request| request["dry_run"] == true).collect();
    assert_eq!(dry_runs.len(), 12, "{dry_runs:#?}");
    for one in &dry_runs {
        assert!(one.get("status").is_none(), "{one}");
        assert!((200..300).contains(&one["answered"].as_i64().unwrap()), "{one}");
        assert!(!one["changes"].as_array().unwrap().is_empty(), "{one}");
        assert_ne!(one["server"], "test");
    }
    let eve = dry_runs.iter().find(|request| request["resource_id"] == json!(id)).expect("by the id that it was told");
    let people = eve["changes"].as_array().unwrap().iter().find(|change| change["table"] == "people").unwrap();
    assert_eq!((&people["operation"], &people["after"]["login"]), (&json!("insert"), &json!("eve")));
    let text = String::from_utf8(service.run(&["log", "--server", "dry"]).stdout).unwrap();
    assert!(text.contains("dry run (told 201)"), "{text}");

    // The other identity server is not in a dry run.
    real.patch(&ada, json!([{ "op": "replace", "path": "title", "value": "Countess" }])).expect(200);
    assert_eq!(real.get(&ada).expect(200).json()["title"], "Countess");
}

#[test]
fn on_mariadb() {
    keeps_nothing(Engine::MariaDb);
}

#[test]
fn on_postgres() {
    keeps_nothing(Engine::Postgres);
}

#[test]
fn on_sqlite() {
    keeps_nothing(Engine::Sqlite);
}

/// What PostgreSQL would say at the commit it says of a dry run, too.
#[test]
fn what_is_checked_at_the_commit() {
    let database = Database::small(Engine::Postgres);
    database.execute("ALTER TABLE people ADD CONSTRAINT titles UNIQUE (title) DEFERRABLE INITIALLY DEFERRED");
    let service = Service::start(&database, Options::small().identity_servers(SERVERS));
    let mut real = service.client();
    let person = |name: &str, title: &str| client::user(name, json!({ "title": title }));
    real.post("/Users", &person("ada", "Countess")).expect(201);
    real.post("/Users", &person("eve", "Countess")).expect_error(409, Some("uniqueness"), "already has");
    let mut dry = service.client_with("/scim/dry/v2", Some(service.issue("dry")));
    dry.post("/Users", &person("eve", "Countess")).expect_error(409, Some("uniqueness"), "already has");
    dry.post("/Users", &person("eve", "Lady")).expect(201);
    let mut whole = service.client_with("/scim/whole/v2", Some(service.issue("whole")));
    let operations = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        { "method": "POST", "path": "/Users", "bulkId": "a", "data": person("a", "Countess") },
        { "method": "PATCH", "path": "/Users/bulkId:a", "data": client::patch(json!([{ "op": "replace", "path": "title", "value": "Dame" }])) },
    ] });
    let answer = whole.post("/Bulk", &operations).expect(200).json();
    assert_eq!(answer["Operations"][0]["status"], "201", "at the end it is unique: {answer}");
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 1);
}

/// Without its journal a dry run is good for nothing: it is refused as a write is.
#[test]
fn without_a_journal() {
    let database = Database::small(Engine::Postgres);
    let service = Service::start(&database, Options::small().identity_servers(SERVERS));
    let mut dry = service.client_with("/scim/dry/v2", Some(service.issue("dry")));
    let before = Tables::of(&database);
    database.execute("ALTER TABLE scimshim.changes RENAME COLUMN row_key TO other");
    dry.post("/Users", &client::user("eve", json!({}))).expect(503);
    database.execute("ALTER TABLE scimshim.changes RENAME COLUMN other TO row_key");
    assert!(before.disagreements(&database, &[]).is_empty());
}

/// Tables that cannot be rolled back are not written, dry run or not: the service does not start on them.
#[test]
fn on_tables_without_transactions() {
    let database = Database::small(Engine::MariaDb);
    let service = Service::start(&database, Options::small().identity_servers(SERVERS));
    let checked = service.run(&["check"]);
    assert!(checked.status.success(), "{}", describe(&checked));
    let text = String::from_utf8(checked.stderr).unwrap() + &String::from_utf8(checked.stdout).unwrap();
    assert_eq!(text.matches("nothing is kept of what this identity server writes").count(), 2, "{text}");
    database.execute("ALTER TABLE history ENGINE = MyISAM");
    let checked = service.run(&["check"]);
    assert_eq!(checked.status.code(), Some(1), "{}", describe(&checked));
    let text = String::from_utf8(checked.stderr).unwrap() + &String::from_utf8(checked.stdout).unwrap();
    assert!(text.contains("`history` is stored by MyISAM, which has no transactions"), "{text}");
    assert!(text.contains("ALTER TABLE history ENGINE = InnoDB"), "{text}");
}
