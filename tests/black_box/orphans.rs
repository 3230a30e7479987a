//! What is deleted at the very moment in which something is made to refer to it: no member and no manager is left that is
//! nobody. The small application has no foreign keys, as most of its kind.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{self, Answer, Client};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

const ORPHANS: &str = "SELECT COUNT(*) FROM memberships m LEFT JOIN people p ON p.id = m.person_id WHERE p.id IS NULL";

fn add(members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    json!([{ "op": "add", "path": "members", "value": members }])
}

fn person(client: &mut Client, name: &str) -> String {
    client.post("/Users", &client::user(name, json!({}))).expect(201).id()
}

/// Sends a request while the application has deleted somebody and not committed that yet.
fn while_deleted(database: &Database, id: &str, request: impl FnOnce() -> Answer) -> Answer {
    let (sleep, asleep) = match database.engine {
        Engine::MariaDb => (
            "SELECT SLEEP(4)",
            format!(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{}' AND STATE = 'User sleep'",
                database.name
            ),
        ),
        _ => (
            "SELECT pg_sleep(4)",
            format!(
                "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = '{}' AND wait_event = 'PgSleep'",
                database.name
            ),
        ),
    };
    std::thread::scope(|scope| {
        let deleting = scope.spawn(|| {
            database.execute(&format!("BEGIN; DELETE FROM people WHERE id = {id}; {sleep}; COMMIT;"));
        });
        let since = Instant::now();
        while database.count(&asleep) == 0 {
            assert!(since.elapsed() < Duration::from_secs(10), "the application's session was not seen");
            std::thread::sleep(Duration::from_millis(20));
        }
        let answer = request();
        assert!(deleting.is_finished() || since.elapsed() > Duration::from_secs(1), "the request did not wait");
        answer
    })
}

fn deleted_by_the_application(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let bob = person(&mut client, "bob");
    let team = format!("/Groups/{}", client.post("/Groups", &client::group("team", &[&bob])).expect(201).id());

    let ann = person(&mut client, "ann");
    while_deleted(&database, &ann, || client.patch(&team, add(&[&bob, &ann]))).expect_error(
        400,
        Some("invalidValue"),
        &format!("there is no User \"{ann}\""),
    );
    let ann = person(&mut client, "ann");
    let whole = client::group("team", &[&bob, &ann]);
    while_deleted(&database, &ann, || client.put(&team, &whole)).expect_error(400, Some("invalidValue"), "no User");
    let ann = person(&mut client, "ann");
    let new = client::group("new", &[&ann]);
    while_deleted(&database, &ann, || client.post("/Groups", &new)).expect_error(400, Some("invalidValue"), "no User");
    let members = database.rows("SELECT person_id FROM memberships");
    assert_eq!(members, [[Some(bob.clone())]], "bob alone, and nobody who is not there");

    let ann = person(&mut client, "ann");
    let manager = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager";
    let operations = json!([{ "op": "replace", "path": manager, "value": ann }]);
    while_deleted(&database, &ann, || client.patch(&format!("/Users/{bob}"), operations)).expect_error(
        400,
        Some("invalidValue"),
        "there is no User",
    );
    assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE manager_id IS NOT NULL"), 0);

    // Who is there already, and who is taken out, is waited for by nobody.
    let ann = person(&mut client, "ann");
    client.patch(&team, add(&[&ann])).expect(204);
    let since = Instant::now();
    let hold = match engine {
        Engine::MariaDb => "SELECT SLEEP(8)",
        _ => "SELECT pg_sleep(8)",
    };
    std::thread::scope(|scope| {
        scope.spawn(|| database.execute(&format!("BEGIN; UPDATE people SET title = 't'; {hold}; COMMIT;")));
        std::thread::sleep(Duration::from_millis(600));
        client.put(&team, &client::group("team", &[&bob, &ann])).expect(200);
        client.patch(&team, json!([{ "op": "remove", "path": format!("members[value eq \"{ann}\"]") }])).expect(204);
        assert!(since.elapsed() < Duration::from_millis(7500), "waited for rows that nothing becomes of");
    });
}

#[test]
fn deleted_by_the_application_on_mariadb() {
    deleted_by_the_application(Engine::MariaDb);
}

#[test]
fn deleted_by_the_application_on_postgres() {
    deleted_by_the_application(Engine::Postgres);
}

/// Two processes: one deletes people for good, the other makes them members, of two groups at once.
fn deleted_by_us(engine: Engine) {
    let database = Database::small(engine);
    let adapter = std::fs::read_to_string(crate::support::file("tests/adapters/small.yaml")).expect("an adapter");
    let deleting = adapter.replace("      how: set\n      set: { gone_at: \"${now}\" }\n", "      how: row\n");
    assert_ne!(deleting, adapter);
    let one = Service::start(&database, Options::written(deleting));
    let two = one.second("two");
    let mut client = one.client();
    let teams: Vec<String> = ["a", "b"]
        .iter()
        .map(|name| format!("/Groups/{}", client.post("/Groups", &client::group(name, &[])).expect(201).id()))
        .collect();
    let people: Vec<String> = (0..30).map(|number| person(&mut client, &format!("p{number}"))).collect();
    let (begun, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (mut joined, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        let joining: Vec<_> = teams
            .iter()
            .map(|team| {
                let (mut client, begun, over, people) = (two.client(), &begun, &over, &people);
                scope.spawn(move || {
                    let mut statuses = Vec::new();
                    loop {
                        let last = over.load(Ordering::Relaxed);
                        for id in people {
                            statuses.push(client.patch(team, add(&[id])).status);
                            begun.fetch_add(1, Ordering::Relaxed);
                        }
                        if last {
                            return statuses;
                        }
                    }
                })
            })
            .collect();
        while begun.load(Ordering::Relaxed) < 5 {
            std::thread::sleep(Duration::from_millis(1));
        }
        for id in &people {
            client.delete(&format!("/Users/{id}")).expect(204);
        }
        over.store(true, Ordering::Relaxed);
        for statuses in joining {
            for status in statuses.join().expect("a client") {
                match status {
                    204 => joined += 1,
                    400 => refused += 1,
                    other => panic!("{engine:?}: {other}"),
                }
            }
        }
    });
    assert!(joined > 0 && refused > 0, "{engine:?}: {joined} {refused}");
    assert_eq!(database.count(ORPHANS), 0, "{engine:?}");
    assert_eq!(database.count("SELECT COUNT(*) FROM memberships"), 0, "{engine:?}");
}

#[test]
fn deleted_by_us_on_mariadb() {
    deleted_by_us(Engine::MariaDb);
}

#[test]
fn deleted_by_us_on_postgres() {
    deleted_by_us(Engine::Postgres);
}

#[test]
fn deleted_by_us_on_sqlite() {
    deleted_by_us(Engine::Sqlite);
}

/// Where the adapter writes no people, the GRANTs do not let them be locked, and groups have members all the same.
#[test]
fn people_who_are_never_written() {
    const ADAPTER: &str = r#"
adapter: readers
title: People are somebody else's
databases: [mysql, postgres]
recognise: { has: [people.staff_no] }
resources:
  User:
    table: people
    id: id
    where: { gone_at: null }
    attributes:
      userName: { column: login, type: name, required: true, mutability: readOnly }
    create: refuse
    delete: refuse
  Group:
    table: teams
    id: id
    attributes:
      displayName: { column: name, type: name, required: true, unique: true }
      members:     { link: { table: memberships, parent: team_id, child: person_id, resource: User } }
    delete: row
types:
  name: { text: { trim: true } }
"#;
    for engine in [Engine::MariaDb, Engine::Postgres] {
        let database = Database::small(engine).lean();
        let mut service = Service::prepare(&database, Options::written(ADAPTER));
        let printed = || String::from_utf8(service.run(&["setup"]).stdout).expect("SQL is text");
        database.administer_here(&printed());
        let exact = printed();
        database.administer_here(&match engine {
            Engine::MariaDb => format!("REVOKE ALL, GRANT OPTION FROM {}@'%';", database.login()),
            _ => format!("DROP OWNED BY {};", database.login()),
        });
        let grants: Vec<&str> = exact.lines().filter(|line| line.starts_with("GRANT ")).collect();
        assert!(!grants.iter().any(|grant| grant.contains("UPDATE") && grant.contains("people")), "{exact}");
        database.administer_here(&grants.join("\n"));
        database.execute("INSERT INTO people (id, login) VALUES (1, 'ann'), (2, 'bob')");
        service.start_again();
        let mut client = service.client_with("/scim/v2", Some(service.issue("test")));
        let team = format!("/Groups/{}", client.post("/Groups", &client::group("team", &["1"])).expect(201).id());
        client.patch(&team, add(&["2"])).expect(204);
        client.patch(&team, add(&["3"])).expect_error(400, Some("invalidValue"), "there is no User");
        assert_eq!(database.count("SELECT COUNT(*) FROM memberships"), 2, "{engine:?}");
        client.delete(&team).expect(204);
    }
}
