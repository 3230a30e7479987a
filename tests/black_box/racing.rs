//! Many clients, two processes, one name: exactly one of them gets it.
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
