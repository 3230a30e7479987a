//! Requests that come twice, all at once, or for a row that nobody can see: one row, and an answer that leads to it.

use serde_json::{Value, json};

use crate::network::{Fate, Wire};
use crate::support::client::{self, Client};
use crate::support::databases::{Database, Engine};
use crate::support::report;
use crate::support::service::{Options, Service};

/// The answer to a POST is lost, and the POST comes again: one row, and a 409 whose Location is that row.
fn lost_answers(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let wire = Wire::new(service.address());
    let tls = client::tls(&std::fs::read_to_string(service.ca_file()).expect("the authority"));
    let mut client = Client::new(wire.address, tls, "/scim/v2", Some(service.token().to_owned()));
    for (number, fate) in [Fate::AnswerLost, Fate::HungUp, Fate::AnswerLost, Fate::Late].into_iter().enumerate() {
        let name = format!("lost {number}");
        for (path, key, body) in [
            ("/Users", "userName", client::user(&name, json!({ "externalId": format!("e-{number}"), "title": "t" }))),
            ("/Groups", "displayName", client::group(&name, &[])),
        ] {
            client.get("/ServiceProviderConfig").expect(200); // the connection is open
            wire.next(fate);
            assert!(client.try_scim("POST", path, Some(&body)).is_err(), "{engine:?}: the answer came all the same");
            wire.settle();
            // As long as the first one is not done, the second waits for it; whichever is first makes the row.
            let second = client.post(path, &body);
            // What was answered had happened.
            assert!(fate != Fate::AnswerLost || second.status == 409, "{engine:?}: {}", second.text());
            let location = match second.status {
                201 => second.header("location").expect("a Location").to_owned(),
                _ => {
                    let taken = second.expect_error(409, Some("uniqueness"), key);
                    taken.header("location").expect("a 409 that leads to the row").to_owned()
                }
            };
            let (_, id) = location.rsplit_once('/').expect("a URL");
            let found = client.get(&format!("{path}/{id}")).expect(200).json();
            assert_eq!(found[key], name.as_str(), "{engine:?}: {found}");
            let third = client.post(path, &body).expect_error(409, Some("uniqueness"), key);
            assert_eq!(third.header("location"), Some(location.as_str()), "{engine:?}");
            let (table, column) = if path == "/Users" { ("people", "login") } else { ("teams", "name") };
            assert_eq!(database.count(&format!("SELECT COUNT(*) FROM {table} WHERE {column} = '{name}'")), 1);
        }
    }
    assert_eq!(database.count("SELECT COUNT(*) FROM history WHERE what = 'create'"), 4, "{engine:?}");
}

#[test]
fn lost_answers_on_mariadb() {
    lost_answers(Engine::MariaDb);
}

#[test]
fn lost_answers_on_postgres() {
    lost_answers(Engine::Postgres);
}

#[test]
fn lost_answers_on_sqlite() {
    lost_answers(Engine::Sqlite);
}

/// Fifty PATCHes of one group at the same moment, through two processes: each is answered with success, and all is there.
fn fifty_at_once(engine: Engine) {
    let database = Database::small(engine);
    let one = Service::start(&database, Options::small());
    let two = one.second("two");
    let mut client = one.client();
    let people: Vec<String> = (0..50)
        .map(|number| client.post("/Users", &client::user(&format!("p{number}"), json!({}))).expect(201).id())
        .collect();
    let leaving: Vec<String> = (0..50)
        .map(|number| client.post("/Users", &client::user(&format!("l{number}"), json!({}))).expect(201).id())
        .collect();
    let all: Vec<&str> = leaving.iter().map(String::as_str).collect();
    let team = client.post("/Groups", &client::group("Busy", &all)).expect(201).id();
    let start = std::sync::Barrier::new(51);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = people
            .iter()
            .zip(&leaving)
            .enumerate()
            .map(|(number, (comes, goes))| {
                let mut client = if number % 2 == 0 { one.client() } else { two.client() };
                let (start, path) = (&start, format!("/Groups/{team}"));
                scope.spawn(move || {
                    client.get("/ServiceProviderConfig").expect(200);
                    let operations = json!([
                        { "op": "add", "path": "members", "value": [{ "value": comes }] },
                        { "op": "remove", "path": format!("members[value eq \"{goes}\"]") },
                        { "op": "replace", "path": "displayName", "value": format!("Busy {number}") },
                    ]);
                    start.wait();
                    let answer = client.patch(&path, operations);
                    assert!(matches!(answer.status, 200 | 204), "{engine:?}: {} {}", answer.status, answer.text());
                    answer.status
                })
            })
            .collect();
        // Nobody else is refused meanwhile: they wait their turn before they take a connection.
        start.wait();
        for person in &people {
            client.get(&format!("/Users/{person}")).expect(200);
        }
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.len(), 50);
    let mut wanted: Vec<String> = people;
    wanted.sort();
    let document = client.get(&format!("/Groups/{team}")).expect(200).json();
    let mut members: Vec<String> = document["members"]
        .as_array()
        .expect("members")
        .iter()
        .map(|member| member["value"].as_str().expect("an id").to_owned())
        .collect();
    members.sort();
    assert_eq!(members, wanted, "{engine:?}");
    assert_eq!(database.count("SELECT COUNT(*) FROM memberships"), 50, "{engine:?}");
    report(
        "soak",
        &format!(
            "{engine:?}: 50 PATCHes of one group at the same moment through two processes: 50 times success, all members there"
        ),
    );
}

#[test]
fn fifty_at_once_on_mariadb() {
    fifty_at_once(Engine::MariaDb);
}

#[test]
fn fifty_at_once_on_postgres() {
    fifty_at_once(Engine::Postgres);
}

/// Whether so many creates of an identity server were refused for rows that it cannot see.
fn counted(service: &Service, server: &str, times: u32) -> bool {
    let metrics = service.admin("/metrics").expect("metrics");
    metrics.contains(&format!("scimshim_conflicts_out_of_sight_total{{server=\"{server}\"}} {times}"))
}

/// The line of the log that says so.
fn logged(service: &Service, what: &str) -> Value {
    let log = service.said(what);
    let line = log.lines().find(|line| line.contains(what)).expect("a line");
    serde_json::from_str(line).expect("JSON")
}

/// Rows that no filter shows never make a POST fail for ever: what a DELETE retired and what the application threw away comes
/// back; what is outside the scope is a 409 that does not say which row it is; what a unique index knows and the adapter
/// does not is a 409 too. Both are counted and logged.
fn out_of_sight(engine: Engine) {
    let database = Database::small(engine);
    database.execute(
        "INSERT INTO people (id, login, given, city, enabled, gone_at) VALUES
           (101, 'trashed', 'Tom', 'Bern', 0, '2020-01-01 00:00:00'), (102, 'far', 'Fay', 'Genf', 1, NULL)",
    );
    let servers = "{ test: { default: true }, near: { scope: { User: { city: Bern }, Group: {} } } }";
    let options = Options::small().parameters("{ revive: userName }").identity_servers(servers);
    let service = Service::start(&database, options);
    let mut client = service.client();
    let mut near = service.client_with("/scim/near/v2", Some(service.issue("near")));

    // Trashed by the application.
    let back = client.post("/Users", &client::user("Trashed", json!({ "title": "back" }))).expect(201);
    assert_eq!((back.id().as_str(), &back.json()["title"]), ("101", &json!("back")), "{engine:?}");
    // Retired by a DELETE of ours, several times.
    let comes = |external: &str| client::user("comes and goes", json!({ "externalId": external }));
    for _ in 0..3 {
        let id = client.post("/Users", &comes("x")).expect(201).id();
        client.delete(&format!("/Users/{id}")).expect(204);
        client.get(&format!("/Users/{id}")).expect(404);
    }
    // Not for somebody else of that name: an account is not given away. That, too, is a loop which only a person ends.
    client.post("/Users", &comes("y")).expect_error(409, Some("uniqueness"), "retired account");
    assert!(counted(&service, "test", 1), "{engine:?}");
    client.post("/Users", &comes("x")).expect(201);
    // Outside the scope: the same for ever, and somebody is told.
    for round in 1..=3 {
        let taken =
            near.post("/Users", &client::user("far", json!({}))).expect_error(409, Some("uniqueness"), "userName");
        assert_eq!(taken.header("location"), None, "{engine:?}");
        assert!(!taken.text().contains("102"), "{engine:?}: {}", taken.text());
        assert!(counted(&service, "near", round), "{engine:?}");
    }
    logged(&service, "a create was refused for a row that this identity server cannot see");
    logged(&service, "held by a retired account");
}

#[test]
fn out_of_sight_on_mariadb() {
    out_of_sight(Engine::MariaDb);
}

#[test]
fn out_of_sight_on_postgres() {
    out_of_sight(Engine::Postgres);
}

#[test]
fn out_of_sight_on_sqlite() {
    out_of_sight(Engine::Sqlite);
}

/// An index of the database that spans what the adapter does not look at.
fn index_beyond_the_adapter(engine: Engine) {
    let database = Database::small(engine);
    database.execute(
        "CREATE UNIQUE INDEX people_login_once ON people (login);
         INSERT INTO people (id, login, given, enabled, gone_at) VALUES (101, 'trashed', 'Tom', 0, '2020-01-01 00:00:00')",
    );
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let before = database.table("people");
    for round in 1..=2 {
        let taken = client.post("/Users", &client::user("trashed", json!({})));
        let taken = taken.expect_error(409, Some("uniqueness"), "another row of the application");
        assert_eq!(taken.header("location"), None, "{engine:?}");
        assert!(counted(&service, "test", round), "{engine:?}");
    }
    let line = logged(&service, "refused by a unique index");
    assert_eq!(
        (&line["server"], &line["resource_type"], &line["table"]),
        (&json!("test"), &json!("User"), &json!("people"))
    );
    assert_eq!(database.table("people"), before, "{engine:?}");
}

#[test]
fn index_beyond_the_adapter_on_mariadb() {
    index_beyond_the_adapter(Engine::MariaDb);
}

#[test]
fn index_beyond_the_adapter_on_postgres() {
    index_beyond_the_adapter(Engine::Postgres);
}

#[test]
fn index_beyond_the_adapter_on_sqlite() {
    index_beyond_the_adapter(Engine::Sqlite);
}
