//! Rows that were there before SCIM: a POST of one is 409 and says where it is, or, by `adopt: link`, 201 with the row; but
//! never with one that an identity server has written already, may not see, or may not change.

use serde_json::{Value, json};

use crate::support::client::{self, Client};
use crate::support::databases::{Database, Engine, Row};
use crate::support::service::{Options, Service};

const SERVERS: &str = "
  test: { default: true }
  one: { switches: { adopt: link } }
  two: { switches: { adopt: link } }
  near: { switches: { adopt: link }, scope: { User: { city: Bern }, Group: {} } }
  blind: { may: { User: [create] } }
  careful: { switches: { adopt: link }, may: { User: [create, read] } }";

fn at(service: &Service, server: &str) -> Client {
    service.client_with(&format!("/scim/{server}/v2"), Some(service.issue(server)))
}

fn tables(database: &Database) -> Vec<Vec<Row>> {
    ["people", "teams", "memberships", "history"].iter().map(|table| database.table(table)).collect()
}

fn members(client: &mut Client, team: &str) -> Vec<Value> {
    let team = client.get(&format!("/Groups/{team}")).expect(200).json();
    let mut all: Vec<Value> =
        team["members"].as_array().unwrap().iter().map(|member| member["value"].clone()).collect();
    all.sort_by_key(Value::to_string);
    all
}

fn adopted(engine: Engine) {
    let database = Database::small(engine);
    database.execute(
        "INSERT INTO people (id, login, given, title, mail, city, enabled, kind) VALUES
           (101, 'ann', 'Ann', 'Weaver', 'ann@example.org', 'Bern', 1, 'person'),
           (102, 'bob', 'Bob', NULL, NULL, 'Genf', 0, 'person'),
           (103, 'root', 'Root', NULL, NULL, 'Bern', 1, 'system'),
           (104, 'gil', 'Gil', NULL, NULL, NULL, 1, 'person'),
           (105, 'dan', 'Dan', NULL, NULL, NULL, 1, 'person'),
           (106, 'eve', 'Eve', NULL, NULL, NULL, 1, 'person');
         INSERT INTO teams (id, name) VALUES (201, 'looms');
         INSERT INTO memberships (team_id, person_id) VALUES (201, 102)",
    );
    let service = Service::start(&database, Options::small().identity_servers(SERVERS));
    let mut plain = service.client();
    let (mut one, mut two) = (at(&service, "one"), at(&service, "two"));
    let ann = json!({ "externalId": "e-ann", "name": { "familyName": "Moor" }, "title": "", "active": true });

    // By default: 409, and where it is.
    let before = tables(&database);
    let taken =
        plain.post("/Users", &client::user("ANN", ann.clone())).expect_error(409, Some("uniqueness"), "userName");
    let url = taken.header("location").expect("a Location");
    assert!(url.ends_with("/scim/v2/Users/101"), "{engine:?}: {url}");
    let team = plain.post("/Groups", &client::group("Looms", &[])).expect_error(409, Some("uniqueness"), "displayName");
    assert!(team.header("location").is_some_and(|url| url.ends_with("/scim/v2/Groups/201")));
    // Who may not read is told of nobody.
    let hidden = at(&service, "blind").post("/Users", &client::user("ann", json!({})));
    assert_eq!(hidden.expect_error(409, Some("uniqueness"), "").header("location"), None);
    assert_eq!(tables(&database), before, "{engine:?}: nothing is written");

    // What cannot be seen is not adopted and not told of; people are told in the log.
    let mut near = at(&service, "near");
    let far = near.post("/Users", &client::user("bob", json!({}))).expect_error(409, Some("uniqueness"), "userName");
    assert_eq!(far.header("location"), None);
    assert!(!far.text().contains("102"), "{}", far.text());
    service.said("a create was refused for a row that this identity server cannot see");
    let metrics = service.admin("/metrics").unwrap();
    assert!(metrics.contains("scimshim_conflicts_out_of_sight_total{server=\"near\"} 1"), "{metrics}");
    // What is protected, and what would take a right that is not there, stays as it is.
    one.post("/Users", &client::user("root", json!({ "title": "x" }))).expect_error(403, None, "protected");
    let may = at(&service, "careful").post("/Users", &client::user("gil", json!({ "title": "x" })));
    may.expect_error(403, None, "update");
    assert_eq!(tables(&database), before, "{engine:?}: nothing is written");
    assert_eq!(plain.get("/Users?filter=externalId%20pr").expect(200).json()["totalResults"], 0);

    // Adopted: what is said is written, what is not said stays, and it is history as any change.
    let made = one.post("/Users", &client::user("ann", ann.clone())).expect(201);
    assert!(made.header("location").is_some_and(|url| url.ends_with("/scim/one/v2/Users/101")));
    let made = made.json();
    assert_eq!(made["id"], "101");
    assert_eq!(made["externalId"], "e-ann");
    assert_eq!(made["name"]["familyName"], "Moor");
    assert_eq!((&made["title"], &made["emails"][0]["value"]), (&json!("Weaver"), &json!("ann@example.org")));
    let row = database.rows("SELECT login, given, family, title FROM people WHERE id = 101");
    assert_eq!(row, [["ann", "Ann", "Moor", "Weaver"].map(|text| Some(text.to_owned()))]);
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 6);
    assert_eq!(database.count("SELECT COUNT(*) FROM history WHERE person_id = 101 AND what = 'update'"), 1);
    // Once: the same again, and anybody else's, is a conflict.
    let before = tables(&database);
    for client in [&mut one, &mut two] {
        let taken = client.post("/Users", &client::user("ann", ann.clone())).expect_error(409, Some("uniqueness"), "");
        assert!(taken.header("location").is_some_and(|url| url.ends_with("/Users/101")));
    }
    // Also one that was adopted just as it was, and one that somebody wrote without giving it a name of theirs.
    one.post("/Users", &json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "dan" }))
        .expect(201);
    assert_eq!(tables(&database), before, "{engine:?}: nothing to write");
    two.post("/Users", &client::user("dan", json!({}))).expect_error(409, Some("uniqueness"), "");
    plain.patch("/Users/106", json!([{ "op": "add", "path": "title", "value": "Dyer" }])).expect(200);
    two.post("/Users", &client::user("eve", json!({}))).expect_error(409, Some("uniqueness"), "");

    // A group: its members stay, new ones join.
    let looms = one.post("/Groups", &client::group("looms", &["101"])).expect(201).json();
    assert_eq!(looms["id"], "201");
    assert_eq!(members(&mut one, "201"), ["101", "102"], "{engine:?}");
    two.post("/Groups", &client::group("looms", &[])).expect_error(409, Some("uniqueness"), "");
    assert_eq!(members(&mut one, "201"), ["101", "102"], "{engine:?}");

    // What goes wrong half-way leaves nothing behind: neither the row changed nor the link made.
    let before = tables(&database);
    let bad =
        client::user("gil", json!({ "externalId": "e-gil", "title": "Smith", "emails": [{ "value": "no address" }] }));
    one.post("/Users", &bad).expect_error(400, Some("invalidValue"), "emails");
    assert_eq!(tables(&database), before, "{engine:?}");
    let good = two.post("/Users", &client::user("gil", json!({ "externalId": "e2-gil" }))).expect(201);
    assert_eq!(good.id(), "104", "nobody has linked it before");

    // One row, two who want it at the same moment: one gets it.
    for round in 0..8 {
        let login = format!("late{round}");
        database.execute(&format!("INSERT INTO people (login, given, enabled) VALUES ('{login}', 'Late', 1)"));
        let post =
            |client: &mut Client| client.post("/Users", &client::user(&login, json!({ "title": "Late" }))).status;
        let mut statuses = std::thread::scope(|scope| {
            let (first, second) = (scope.spawn(|| post(&mut one)), scope.spawn(|| post(&mut two)));
            [first.join().unwrap(), second.join().unwrap()]
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{engine:?}");
        assert_eq!(database.count(&format!("SELECT COUNT(*) FROM people WHERE login = '{login}'")), 1);
    }
}

#[test]
fn rows_of_before_on_mariadb() {
    adopted(Engine::MariaDb);
}

#[test]
fn rows_of_before_on_postgres() {
    adopted(Engine::Postgres);
}

#[test]
fn rows_of_before_on_sqlite() {
    adopted(Engine::Sqlite);
}

/// Two identity servers want one row at the same moment, by two unique values: one of them adopts it.
fn adopted_once(engine: Engine) {
    let database = Database::small(engine);
    database.execute("INSERT INTO people (id, login, staff_no, enabled) VALUES (101, 'ann', 'S1', 1)");
    let adapter = std::fs::read_to_string(crate::support::file("tests/adapters/small.yaml")).expect("an adapter");
    let numbered =
        adapter.replace("{ column: staff_no, type: text }", "{ column: staff_no, type: text, unique: true }");
    assert_ne!(numbered, adapter);
    let service = Service::start(&database, Options::written(numbered).identity_servers(SERVERS));
    let hold = match engine {
        Engine::MariaDb => "SELECT SLEEP(1.5)",
        _ => "SELECT pg_sleep(1.5)",
    };
    let number = json!({ "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "employeeNumber": "S1" } });
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        scope.spawn(|| {
            database.execute(&format!("BEGIN; SELECT id FROM people WHERE id = 101 FOR UPDATE; {hold}; COMMIT;"));
        });
        std::thread::sleep(std::time::Duration::from_millis(500));
        let bodies = [("one", client::user("ann", json!({}))), ("two", client::user("other", number))];
        let asking = bodies.map(|(server, body)| {
            let mut client = at(&service, server);
            scope.spawn(move || client.post("/Users", &body).status)
        });
        asking.into_iter().map(|asking| asking.join().expect("a client")).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{engine:?}");
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 1);
}

#[test]
fn adopted_once_on_mariadb() {
    adopted_once(Engine::MariaDb);
}

#[test]
fn adopted_once_on_postgres() {
    adopted_once(Engine::Postgres);
}
