//! What an identity server may see is all there is for it: rows outside its scope are neither visible, addressable,
//! countable, filterable nor referable, and no write takes a row out. Its parameters are its own.

use serde_json::{Value, json};

use crate::support::client::{self, Client, encode};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, describe};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

const SERVERS: &str = "
  test: { default: true }
  red: { acting_user: clerk, scope: { User: { badge: red }, Group: { name: { not: secret } } } }
  bern: { scope: { User: { city: Bern } }, parameters: { departments: reject } }
  loose: { parameters: { departments: clear } }
  nothing: { scope: {} }";

fn at(service: &Service, server: &str) -> Client {
    service.client_with(&format!("/scim/{server}/v2"), Some(service.issue(server)))
}

fn names(client: &mut Client, query: &str) -> Vec<String> {
    let list = client.get(&format!("/Users{query}")).expect(200).json();
    let all = list["Resources"].as_array().cloned().unwrap_or_default();
    assert_eq!(list["totalResults"], all.len(), "{query}");
    let mut names: Vec<String> = all.iter().map(|user| user["userName"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn tables(database: &Database) -> Vec<Vec<crate::support::databases::Row>> {
    ["people", "departments", "teams", "memberships", "history"].iter().map(|table| database.table(table)).collect()
}

fn members(client: &mut Client, team: &str) -> Vec<Value> {
    let team = client.get(&format!("/Groups/{team}")).expect(200).json();
    let all = team["members"].as_array().cloned().unwrap_or_default();
    all.iter().map(|member| member["value"].clone()).collect()
}

fn scopes(engine: Engine) {
    let database = Database::small(engine);
    database.execute("INSERT INTO people (login, given, enabled) VALUES ('clerk', 'Clerk', 1)");
    let parameters = "{ on_blocked: deactivate }";
    let service = Service::start(&database, Options::small().parameters(parameters).identity_servers(SERVERS));
    let (mut all, mut red, mut bern) = (service.client(), at(&service, "red"), at(&service, "bern"));
    let out = all.post("/Users", &client::user("out", json!({ "externalId": "o" }))).expect(201).id();
    let inside = red.post("/Users", &client::user("in", json!({ "externalId": "i" }))).expect(201).id();
    assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE login = 'in' AND badge = 'red'"), 1);
    let other = red.post("/Users", &client::user("other", json!({}))).expect(201).id();
    let team = all.post("/Groups", &client::group("team", &[&inside, &out])).expect(201).id();
    let secret = all.post("/Groups", &client::group("secret", &[&inside])).expect(201).id();
    let manager = format!("{ENTERPRISE}:manager");
    let manage = |id: &str| json!([{ "op": "replace", "path": manager, "value": { "value": id } }]);
    all.patch(&format!("/Users/{inside}"), manage(&out)).expect(200);

    // Not visible, not addressable, not countable, not filterable.
    let before = tables(&database);
    let at_out = format!("/Users/{out}");
    let title = json!([{ "op": "replace", "path": "title", "value": "x" }]);
    red.get(&at_out).expect(404);
    red.patch(&at_out, title.clone()).expect(404);
    red.put(&at_out, &client::user("out", json!({}))).expect(404);
    red.delete(&at_out).expect(404);
    assert_eq!(names(&mut red, ""), ["in", "other"]);
    assert_eq!(names(&mut all, ""), ["clerk", "in", "other", "out"]);
    for filter in [
        "userName eq \"out\"".to_owned(),
        format!("id eq \"{out}\""),
        "externalId eq \"o\"".to_owned(),
        format!("{manager}.value eq \"{out}\""),
        format!("{manager} pr"),
        format!("groups eq \"{secret}\""),
    ] {
        assert_eq!(names(&mut red, &format!("?filter={}", encode(&filter))), [""; 0], "{engine:?}: {filter}");
    }
    assert_eq!(names(&mut red, "?filter=userName%20ne%20%22in%22"), ["other"]);
    assert_eq!(red.get("/Users?count=0").expect(200).json()["totalResults"], 2);
    let seen = red.get(&format!("/Users/{inside}")).expect(200).json();
    assert_eq!(seen[ENTERPRISE].get("manager"), None);
    assert_eq!(seen["groups"].as_array().map(Vec::len), Some(1), "{seen}");
    red.get(&format!("/Groups/{secret}")).expect(404);
    assert_eq!(members(&mut red, &team), [json!(inside)]);
    for filter in [format!("members eq \"{out}\""), "displayName eq \"secret\"".to_owned()] {
        let list = red.get(&format!("/Groups?filter={}", encode(&filter))).expect(200).json();
        assert_eq!(list["totalResults"], 0, "{engine:?}: {filter}");
    }

    // Unique all the same, and nothing is told of whose the name is.
    let taken = red.post("/Users", &client::user("OUT", json!({}))).expect_error(409, Some("uniqueness"), "userName");
    assert!(!taken.text().contains(&format!("\"{out}\"")), "{}", taken.text());
    let rename = json!([{ "op": "replace", "path": "userName", "value": "out" }]);
    red.patch(&format!("/Users/{inside}"), rename).expect_error(409, Some("uniqueness"), "userName");
    // Not referable: neither as manager nor as member.
    red.patch(&format!("/Users/{other}"), manage(&out)).expect_error(400, Some("invalidValue"), "manager");
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": out }] }]);
    red.patch(&format!("/Groups/{team}"), add).expect_error(400, Some("invalidValue"), "members");
    let remove = json!([{ "op": "remove", "path": format!("members[value eq \"{out}\"]") }]);
    red.patch(&format!("/Groups/{team}"), remove);
    assert_eq!(tables(&database), before, "{engine:?}");

    // What is not shown is not removed: neither the member nor the manager.
    red.put(&format!("/Groups/{team}"), &client::group("team", &[&other])).expect(200);
    let rows = format!("SELECT person_id FROM memberships WHERE team_id = {team}");
    let mut left: Vec<_> = database.rows(&rows).into_iter().map(|row| row[0].clone().unwrap()).collect();
    left.sort();
    assert_eq!(left, [out.clone(), other.clone()], "{engine:?}");
    red.patch(&format!("/Groups/{team}"), json!([{ "op": "remove", "path": "members" }]));
    assert_eq!(database.rows(&rows), [[Some(out.clone())]], "{engine:?}");
    red.put(&format!("/Users/{inside}"), &client::user("in", json!({ "title": "y" }))).expect(200);
    assert_eq!(database.rows("SELECT manager_id FROM people WHERE login = 'in'"), [[Some(out.clone())]]);

    // A row does not leave; one that would be made outside is not made.
    let berta = bern.post("/Users", &client::user("berta", json!({}))).expect(201);
    assert_eq!(berta.json()["addresses"][0]["locality"], "Bern");
    let berta = berta.id();
    let before = tables(&database);
    let basel = json!({ "addresses": [{ "type": "work", "locality": "Basel" }] });
    bern.post("/Users", &client::user("basil", basel.clone())).expect_error(403, None, "identity server");
    let move_away = json!([{ "op": "replace", "path": "addresses[type eq \"work\"].locality", "value": "Basel" }]);
    bern.patch(&format!("/Users/{berta}"), move_away).expect_error(403, None, "identity server");
    bern.put(&format!("/Users/{berta}"), &client::user("berta", basel)).expect_error(403, None, "identity server");
    // A type that is not named is closed.
    for answer in [
        bern.get("/Groups"),
        bern.get(&format!("/Groups/{team}")),
        bern.post("/Groups", &client::group("mine", &[])),
        bern.delete(&format!("/Groups/{team}")),
    ] {
        answer.expect_error(403, None, "scope");
    }
    at(&service, "nothing").get("/Users").expect_error(403, None, "scope");
    all.patch(&format!("/Groups/{team}"), json!([{ "op": "add", "path": "members", "value": [{ "value": berta }] }]));
    assert_eq!(bern.get(&format!("/Users/{berta}")).expect(200).json().get("groups"), None);
    all.patch(
        &format!("/Groups/{team}"),
        json!([{ "op": "remove", "path": format!("members[value eq \"{berta}\"]") }]),
    );
    let without_times = |tables: Vec<Vec<crate::support::databases::Row>>| (tables[0].clone(), tables[3].clone());
    assert_eq!(without_times(tables(&database)), without_times(before), "{engine:?}");

    // Each has its own parameters.
    let in_department = |name: &str| client::user(name, json!({ ENTERPRISE: { "department": format!("of {name}") } }));
    bern.post("/Users", &in_department("d1")).expect_error(400, Some("invalidValue"), "department");
    let cleared = at(&service, "loose").post("/Users", &in_department("d2")).expect(201).json();
    assert_eq!(cleared[ENTERPRISE].get("department"), None, "{engine:?}: {cleared}");
    all.post("/Users", &in_department("d3")).expect(201);
    assert_eq!(database.rows("SELECT name FROM departments"), [[Some("of d3".to_owned())]]);

    // A retired row outside is nobody's to bring back.
    database.execute(&format!("INSERT INTO equipment (holder_id, label) VALUES ({out}, 'laptop')"));
    all.delete(&at_out).expect(204);
    all.get(&at_out).expect(404);
    red.post("/Users", &client::user("out", json!({}))).expect_error(409, Some("uniqueness"), "userName");
    all.get(&at_out).expect(404);
    assert_eq!(all.post("/Users", &client::user("out", json!({}))).expect(201).id(), out);
}

#[test]
fn mariadb() {
    scopes(Engine::MariaDb);
}

#[test]
fn postgres() {
    scopes(Engine::Postgres);
}

#[test]
fn sqlite() {
    scopes(Engine::Sqlite);
}

/// `check` names the place in the configuration, and `serve` does not start.
#[test]
fn what_is_wrong_is_said() {
    let database = Database::small(Engine::Sqlite);
    assert!(Service::prepare(&database, Options::small()).run(&["setup", "--apply"]).status.success());
    for (server, message, help) in [
        ("scope: { Usr: { badge: red } }", "the adapter has no resource type `Usr`", "did you mean `User`?"),
        ("scope: { User: { bagde: red } }", "the table `people` has no column `bagde`", "did you mean `badge`?"),
        ("scope: { User: { id: \"${actor.id}\" } }", "a scope means the same for every request", "literals"),
        ("scope: { User: { id: { in: { table: peple, column: id } } } }", "there is no table `peple`", "`people`"),
        ("scope: { User: { enabled: maybe } }", "is not a whole number", ""),
        (
            "parameters: { deparments: create }",
            "the adapter has no parameter `deparments`",
            "did you mean `departments`?",
        ),
        ("parameters: { departments: made }", "the parameter `departments` is one of create, clear, reject", ""),
        ("acting_user: nobody, scope: { User: {} }", "the application has no user `nobody` to act as", ""),
    ] {
        let servers = format!("{{ test: {{ default: true }}, other: {{ {server} }} }}");
        let service = Service::prepare(&database, Options::small().identity_servers(&servers));
        let check = service.run(&["check"]);
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        assert_eq!(check.status.code(), Some(1), "{server}: {}", describe(&check));
        assert!(said.contains(message) && said.contains(help), "{server}: {said}");
        assert!(said.contains("one.yaml:"), "{server} is found in the configuration: {said}");
    }
}
