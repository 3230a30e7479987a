//! Many clients, two processes, one name: exactly one of them gets it. One row that comes back, one that must be left.
//!
//! `SCIMSHIM_RACERS` (16) clients race `SCIMSHIM_RACES` (5) times.

use std::sync::{Arc, Barrier};

use serde_json::json;

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::{report, shared, size};

/// Races on a database whose people are in `table` under `login`, followed by one row of `follow_up` per created person.
fn race(database: &Database, options: Options, login: (&str, &str), follow_ups: &str) {
    let (racers, races) = (size("SCIMSHIM_RACERS", 16), size("SCIMSHIM_RACES", 5));
    let one = Service::start(database, options);
    let two = one.second("two");
    let mut created = Vec::new();
    for round in 0..races {
        // Each race under a name that differs in case only from racer to racer: one name to SCIM (RFC 7643 4.1.1).
        let start = Arc::new(Barrier::new(racers));
        let threads: Vec<_> = (0..racers)
            .map(|racer| {
                let mut client = if racer % 2 == 0 { one.client() } else { two.client() };
                let start = Arc::clone(&start);
                let name = format!("race-{round}@example.org");
                let name = if racer % 3 == 0 { name.to_uppercase() } else { name };
                let body =
                    client::user(&name, json!({ "name": { "givenName": "Racer", "familyName": racer.to_string() } }));
                std::thread::spawn(move || {
                    client.get("/ServiceProviderConfig").expect(200); // the connection is open before the start
                    start.wait();
                    client.post("/Users", &body)
                })
            })
            .collect();
        let answers: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("a racer")).collect();
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(won.len(), 1, "race {round}: {statuses:?}");
        created.push(won[0].id());
        for answer in answers.into_iter().filter(|answer| answer.status != 201) {
            answer.expect_error(409, Some("uniqueness"), "userName");
        }
    }
    let (table, column) = login;
    let rows = database
        .rows(&format!("SELECT id, LOWER({column}) FROM {table} WHERE LOWER({column}) LIKE 'race-%' ORDER BY id"));
    assert_eq!(rows.len(), races, "one row a race: {rows:?}");
    let mut names: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), races, "{rows:?}");
    let mut stored: Vec<String> = rows.into_iter().filter_map(|row| row[0].clone()).collect();
    stored.sort();
    created.sort();
    assert_eq!(stored, created, "the ids answered are the ids stored");
    assert_eq!(database.count(follow_ups), i64::try_from(races).unwrap(), "one follow-up row a race");
    report(
        "race",
        &format!(
            "{:?} ({}): {races} x {racers} concurrent creates of one userName through two processes: each time one 201, {} times 409 uniqueness, one row, one history row",
            database.engine,
            table,
            racers - 1
        ),
    );
}

fn on_small(engine: Engine) {
    let database = Database::small(engine);
    race(&database, Options::small(), ("people", "login"), "SELECT COUNT(*) FROM history WHERE what = 'create'");
}

#[test]
fn on_mariadb() {
    on_small(Engine::MariaDb);
}

#[test]
fn on_postgres() {
    on_small(Engine::Postgres);
}

#[test]
fn on_sqlite() {
    on_small(Engine::Sqlite);
}

#[test]
fn on_snipe_it() {
    let Some(schema) = shared("schemas/snipe-it-8.6.3.sql") else {
        return;
    };
    let database = Database::create(Engine::MariaDb);
    database.load(&schema);
    race(
        &database,
        Options::adapter("adapters/snipe-it.yaml"),
        ("users", "username"),
        "SELECT COUNT(*) FROM action_logs WHERE action_type = 'create'",
    );
    crate::support::real_case("snipe-it 8.6.3 race");
}

/// Two creates under two names find one retired row by its externalId: one of them gets it.
fn one_row_comes_back_once(engine: Engine) {
    for (parameters, hold) in [
        ("{ revive: externalId }", "SELECT id FROM people WHERE id = {id} FOR UPDATE"),
        ("{ on_blocked: deactivate }", "SELECT resource_id FROM {own}tombstones WHERE resource_id = '{id}' FOR UPDATE"),
    ] {
        let database = Database::small(engine);
        let one = Service::start(&database, Options::small().parameters(parameters));
        let two = one.second("two");
        let mut client = one.client();
        let person = |name: &str| client::user(name, json!({ "externalId": "x-1", "title": name }));
        let id = client.post("/Users", &person("ann")).expect(201).id();
        database.execute(&format!("INSERT INTO equipment (holder_id, label) VALUES ({id}, 'laptop')"));
        if parameters.contains("revive") {
            database.execute("DELETE FROM equipment");
        }
        client.delete(&format!("/Users/{id}")).expect(204);
        let hold = hold.replace("{id}", &id).replace("{own}", &database.own_tables());
        let sleep = if engine == Engine::MariaDb { "SELECT SLEEP(1.5)" } else { "SELECT pg_sleep(1.5)" };
        let answers: Vec<_> = std::thread::scope(|scope| {
            scope.spawn(|| database.execute(&format!("BEGIN; {hold}; {sleep}; COMMIT;")));
            std::thread::sleep(std::time::Duration::from_millis(500));
            let racers: Vec<_> = [(&one, "anna"), (&two, "annika")]
                .into_iter()
                .map(|(service, name)| {
                    let (mut client, body) = (service.client(), person(name));
                    scope.spawn(move || client.post("/Users", &body))
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().expect("a racer").expect(201)).collect()
        });
        let ids: Vec<String> = answers.iter().map(|answer| answer.id()).collect();
        assert_ne!(ids[0], ids[1], "{engine:?} {parameters}: both were told that the row is theirs");
        assert!(ids.contains(&id), "{engine:?} {parameters}: {ids:?}");
        for answer in answers {
            let there = client.get(&format!("/Users/{}", answer.id())).expect(200).json();
            assert_eq!(there["userName"], answer.json()["userName"], "{engine:?} {parameters}");
        }
    }
}

#[test]
fn one_row_comes_back_once_on_mariadb() {
    one_row_comes_back_once(Engine::MariaDb);
}

#[test]
fn one_row_comes_back_once_on_postgres() {
    one_row_comes_back_once(Engine::Postgres);
}

/// Of the last two who must not all go, two processes take one each: one of them is refused.
fn somebody_is_left(engine: Engine) {
    let database = Database::small(engine);
    let adapter = std::fs::read_to_string(crate::support::file("tests/adapters/small.yaml")).expect("an adapter");
    let guard = "- { count: { table: people, where: { id: { not: \"${id}\" }, title: boss, enabled: 1, gone_at: null } }, at_least: 1, says: \"the last boss\" }";
    let guarded = adapter
        .replace("      guard:\n        - count", &format!("      guard:\n        {guard}\n        - count"))
        .replace("    update:\n", &format!("    update:\n      guard:\n        {guard}\n"));
    assert_eq!(guarded.matches("the last boss").count(), 2);
    let one = Service::start(&database, Options::written(guarded));
    let two = one.second("two");
    let mut client = one.client();
    let boss = |name: &str| client::user(name, json!({ "title": "boss" }));
    let [ann, bob] = ["ann", "bob"].map(|name| client.post("/Users", &boss(name)).expect(201).id());
    // Both are made to wait once they have counted.
    let hold = match engine {
        Engine::MariaDb => "LOCK TABLES history WRITE; SELECT SLEEP(1.5); UNLOCK TABLES;",
        _ => "BEGIN; LOCK TABLE history IN EXCLUSIVE MODE; SELECT pg_sleep(1.5); COMMIT;",
    };
    let (deleted, deactivated) = std::thread::scope(|scope| {
        scope.spawn(|| database.execute(hold));
        std::thread::sleep(std::time::Duration::from_millis(500));
        let (mut client, mut other) = (one.client(), two.client());
        let deleting = scope.spawn(move || client.delete(&format!("/Users/{ann}")).status);
        let inactive = json!([{ "op": "replace", "path": "active", "value": false }]);
        let deactivating = scope.spawn(move || other.patch(&format!("/Users/{bob}"), inactive).status);
        (deleting.join().expect("a client"), deactivating.join().expect("a client"))
    });
    assert!(matches!((deleted, deactivated), (204, 403) | (409, 200)), "{engine:?}: {deleted} {deactivated}");
    let left = "SELECT COUNT(*) FROM people WHERE title = 'boss' AND enabled = 1 AND gone_at IS NULL";
    assert_eq!(database.count(left), 1, "{engine:?}");
    assert!(database.table(&format!("{}claims", database.own_tables())).is_empty());
}

#[test]
fn somebody_is_left_on_mariadb() {
    somebody_is_left(Engine::MariaDb);
}

#[test]
fn somebody_is_left_on_postgres() {
    somebody_is_left(Engine::Postgres);
}
