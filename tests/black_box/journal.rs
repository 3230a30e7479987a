//! The journal: every row that a request changed, before and after, and nothing else; in the request's own transaction.
//! The dialogues of identity providers are checked in the same way, on every application that is at hand (`dialogues`,
//! `glpi`).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{self, Client};
use crate::support::databases::{Database, Engine};
use crate::support::journal::{Tables, must_agree, requests};
use crate::support::service::{Options, Service};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn of<'v>(all: &'v [Value], method: &str, route: &str) -> Vec<&'v Value> {
    all.iter().filter(|request| request["method"] == method && request["route"] == route).collect()
}

/// Waits until what was refused, or only read, is journalled too: at most a moment.
fn until(service: &Service, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let all = requests(service);
        if enough(&all) {
            return all;
        }
        assert!(Instant::now() < patience, "{all:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn replace(path: &str, value: Value) -> Value {
    json!([{ "op": "replace", "path": path, "value": value }])
}

/// Creates with lookups, updates, moves into groups, replaces, deletes, revivals, bulk requests of both kinds.
fn every_kind(engine: Engine) {
    let database = Database::small(engine);
    let servers = "\n  test: { default: true, authentication: bearer, switches: { patch_answers: auto } }\n  whole: { authentication: bearer, bulk_transaction: request }\n";
    let options = Options::small().parameters("{ revive: userName, on_blocked: deactivate }").identity_servers(servers);
    let service = Service::start(&database, options);
    let before = Tables::of(&database);
    let mut client = service.client();
    let department = |name: &str| json!({ ENTERPRISE: { "department": name }, "externalId": format!("x {name}") });
    let ada = client.post("/Users", &client::user("ada", department("Engines"))).expect(201).id();
    let bob = client.post("/Users", &client::user("bob", department("Engines"))).expect(201).id();
    let eve = client.post("/Users", &client::user("  Ève \u{1f980} ", department("Bridges"))).expect(201).id();
    let group = client.post("/Groups", &client::group("team", &[&ada, &bob])).expect(201).id();
    let (user, team) = (format!("/Users/{ada}"), format!("/Groups/{group}"));
    client.patch(&user, replace("title", json!("Countess"))).expect(200);
    client.patch(&user, replace("title", json!("Countess"))).expect(200);
    client.patch(&user, json!([{ "op": "remove", "path": "title" }])).expect(200);
    client.patch(&user, replace(&format!("{ENTERPRISE}:manager"), json!({ "value": bob }))).expect(200);
    client.put(&user, &client::user("ada.l", json!({ "name": { "familyName": "O'Byron \"x\" \\ %" } }))).expect(200);
    client.patch(&team, json!([{ "op": "add", "path": "members", "value": [{ "value": eve }] }])).expect(204);
    client.patch(&team, json!([{ "op": "remove", "path": format!("members[value eq \"{bob}\"]") }])).expect(204);
    client.put(&team, &client::group("team two", &[&bob, &eve])).expect(200);
    client.patch(&team, replace("members", json!([{ "value": ada }]))).expect(204);
    // Deactivated instead, then back by the same name; deleted, then back by the same name.
    let seen = must_agree(before, &database, &service).len();
    assert!(seen >= 13, "{seen}");
    database.execute(&format!("INSERT INTO equipment (holder_id, label) VALUES ({eve}, 'laptop')"));
    let equipped = Tables::of(&database);
    client.delete(&format!("/Users/{eve}")).expect(204);
    client.post("/Users", &client::user("  Ève \u{1f980} ", json!({ "title": "again" }))).expect(201);
    client.delete(&format!("/Users/{bob}")).expect(204);
    client.post("/Users", &client::user("bob", json!({}))).expect(201);
    client.delete(&team).expect(204);
    let operations = |name: &str| {
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
            { "method": "POST", "path": "/Users", "bulkId": "a", "data": client::user(&format!("{name} a"), json!({ ENTERPRISE: { "manager": { "value": "bulkId:b" } } })) },
            { "method": "POST", "path": "/Users", "bulkId": "b", "data": client::user(&format!("{name} b"), json!({ ENTERPRISE: { "manager": { "value": "bulkId:a" } } })) },
            { "method": "POST", "path": "/Groups", "bulkId": "g", "data": client::group(name, &["bulkId:a", "bulkId:b"]) },
            { "method": "PATCH", "path": "/Users/bulkId:a", "data": client::patch(replace("title", json!("t"))) },
            { "method": "DELETE", "path": "/Groups/bulkId:g" },
        ] })
    };
    client.post("/Bulk", &operations("one")).expect(200);
    let mut whole = service.client_with("/scim/whole/v2", Some(service.issue("whole")));
    whole.post("/Bulk", &operations("two")).expect(200);
    let all = requests(&service);
    let wrong = equipped.disagreements(&database, &all[seen..]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // Nothing was changed, and that is journalled: it was asked for.
    let patches = of(&all, "PATCH", "/Users/{id}");
    let rows = |request: &Value| request["changes"].as_array().unwrap().len();
    assert!(rows(patches[0]) >= 2 && rows(patches[1]) == 0, "{patches:#?}");
    let created = of(&all, "POST", "/Users")[0];
    assert_eq!((&created["resource_id"], &created["status"]), (&json!(ada), &json!(201)));
    assert_eq!(created["credential_kind"], "bearer");
    assert_eq!(created["client"], "127.0.0.1");
    // Each operation of a bulk request is a request, and knows which it was part of.
    let bulk = until(&service, |all| of(all, "POST", "/Bulk").len() == 2);
    for bulk_request in of(&bulk, "POST", "/Bulk") {
        let parts: Vec<&Value> = bulk.iter().filter(|part| part["parent"] == bulk_request["id"]).collect();
        assert_eq!(parts.len(), 5, "{parts:#?}");
        assert!(
            parts.iter().all(|part| part["id"].as_str().unwrap().starts_with(bulk_request["id"].as_str().unwrap()))
        );
        assert_eq!(rows(bulk_request), 0);
    }
}

#[test]
fn every_kind_on_mariadb() {
    every_kind(Engine::MariaDb);
}

#[test]
fn every_kind_on_postgres() {
    every_kind(Engine::Postgres);
}

#[test]
fn every_kind_on_sqlite() {
    every_kind(Engine::Sqlite);
}

/// What the checks above are worth: a row, a column and a request that the journal does not know of are seen.
#[test]
fn what_is_not_journalled_is_seen() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let user = |name: &str| client::user(name, json!({ "title": "t", "externalId": name }));
    for (sql, word) in [
        ("UPDATE people SET family = 'X'", "people has a row that the journal does not explain"),
        ("INSERT INTO departments (name) VALUES ('new')", "departments has a row"),
        ("DELETE FROM history WHERE id = 1", "history has no such row"),
        ("DELETE FROM scimshim_links", "own.links has no such row"),
    ] {
        let (before, from) = (Tables::of(&database), requests(&service).len());
        service.client().post("/Users", &user(&format!("u{from}"))).expect(201);
        assert_eq!(before.disagreements(&database, &requests(&service)[from..]), Vec::<String>::new());
        let before = Tables::of(&database);
        database.execute(sql);
        let wrong = before.disagreements(&database, &[]);
        assert!(wrong.iter().any(|wrong| wrong.contains(word)), "{sql}: {wrong:?}");
    }
    // A change that is told otherwise than it was.
    let (before, from) = (Tables::of(&database), requests(&service).len());
    service.client().patch("/Users/1", replace("title", json!("other"))).expect(200);
    let mut told = requests(&service)[from..].to_vec();
    told[0]["changes"][0]["before"]["title"] = json!("something");
    assert!(before.disagreements(&database, &told).iter().any(|wrong| wrong.contains("people.title was")));
}

/// What was refused is journalled with its status, without rows; what a stranger asked is not.
fn refused(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let before = Tables::of(&database);
    let mut client = service.client();
    client.post("/Users", &client::user("ada", json!({}))).expect(201);
    client.post("/Users", &client::user("ada", json!({}))).expect(409);
    client.post("/Users", &json!({ "schemas": [], "title": "nobody" })).expect(400);
    client.patch("/Users/4711", replace("title", json!("x"))).expect(404);
    client.delete("/Users/4711").expect(404);
    client.get("/Users").expect(200);
    service.client_with("/scim/v2", Some("scimshim_st_stranger".to_owned())).delete("/Users/1").expect(401);
    let all = until(&service, |all| all.len() >= 5);
    must_agree(before, &database, &service);
    let statuses: Vec<i64> = all.iter().map(|request| request["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [201, 409, 400, 404, 404]);
    assert_eq!(all[1]["scim_type"], "uniqueness");
    assert!(all[1]["detail"].as_str().unwrap().contains("userName"), "{}", all[1]);
    assert!(all[1..].iter().all(|request| request["changes"] == json!([]) && request.get("request").is_none()));
    assert_eq!(all[3]["resource_id"], "4711");
}

#[test]
fn refused_on_mariadb() {
    refused(Engine::MariaDb);
}

#[test]
fn refused_on_postgres() {
    refused(Engine::Postgres);
}

#[test]
fn refused_on_sqlite() {
    refused(Engine::Sqlite);
}

/// Where it cannot be journalled, nothing is written; and as soon as it can, it is.
fn unwritable(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let own = database.own_tables();
    let ada =
        format!("/Users/{}", client.post("/Users", &client::user("ada", json!({ "title": "t" }))).expect(201).id());
    for table in ["changes", "requests"] {
        let rename = |from: &str, to: &str| match engine {
            Engine::MariaDb => database.execute(&format!("RENAME TABLE {own}{from} TO {own}{to}")),
            Engine::Postgres => database.execute(&format!("ALTER TABLE {own}{from} RENAME TO {to}")),
            Engine::Sqlite => database.execute(&format!("ALTER TABLE {own}{from} RENAME TO {own}{to}")),
        };
        let rows = || (database.table("people"), database.table("history"), database.table(&format!("{own}links")));
        let before = rows();
        rename(table, "elsewhere");
        for answer in [
            client.post("/Users", &client::user("bob", json!({}))),
            client.patch(&ada, replace("title", json!("u"))),
            client.delete(&ada),
        ] {
            assert!(matches!(answer.status, 500 | 503), "{} {}", answer.status, answer.text());
        }
        assert_eq!(rows(), before, "{table}");
        assert!(service.stderr().contains("the journal cannot be written"), "{}", service.stderr());
        rename("elsewhere", table);
        let patience = Instant::now() + Duration::from_secs(30);
        while client.patch(&ada, replace("title", json!(format!("after {table}")))).status != 200 {
            assert!(Instant::now() < patience, "{}", service.stderr());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    assert_eq!(database.rows("SELECT title FROM people")[0][0].as_deref(), Some("after requests"));
}

#[test]
fn unwritable_on_mariadb() {
    unwritable(Engine::MariaDb);
}

#[test]
fn unwritable_on_postgres() {
    unwritable(Engine::Postgres);
}

#[test]
fn unwritable_on_sqlite() {
    unwritable(Engine::Sqlite);
}

/// Two processes, the same rows, many at once: what each request found and left is one chain, and none is missing.
fn at_once(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let second = service.second("two");
    let users: Vec<String> = (0..3)
        .map(|n| {
            service.client().post("/Users", &client::user(&format!("u{n}"), json!({ "title": "0" }))).expect(201).id()
        })
        .collect();
    let group = service.client().post("/Groups", &client::group("team", &[])).expect(201).id();
    let counted: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|thread| {
                let (service, users, group) = (if thread % 2 == 0 { &service } else { &second }, &users, &group);
                scope.spawn(move || {
                    let mut client: Client = service.client();
                    let mut good = (0, 0);
                    for round in 0..12 {
                        let user = &users[(thread + round) % 3];
                        let title = json!(format!("{thread}.{round}"));
                        let answer = client.patch(&format!("/Users/{user}"), replace("title", title));
                        good.0 += usize::from(answer.status == 200);
                        let op = if round % 2 == 0 { "add" } else { "remove" };
                        let members = json!([{ "op": op, "path": "members", "value": [{ "value": user }] }]);
                        let answer = client.patch(&format!("/Groups/{group}"), members);
                        good.1 += usize::from(answer.status == 204);
                    }
                    good
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let all = requests(&service);
    let good = |route: &str| {
        let all = of(&all, "PATCH", route).into_iter();
        all.filter(|request| request["status"].as_i64().unwrap() < 300).collect::<Vec<_>>()
    };
    assert_eq!(good("/Users/{id}").len(), counted.iter().map(|(users, _)| users).sum::<usize>());
    assert_eq!(good("/Groups/{id}").len(), counted.iter().map(|(_, groups)| groups).sum::<usize>());
    for user in &users {
        let titles: Vec<(String, String)> = good("/Users/{id}")
            .iter()
            .filter(|request| request["resource_id"] == json!(user))
            .flat_map(|request| request["changes"].as_array().unwrap())
            .filter(|change| change["table"] == "people")
            .map(|change| {
                let text = |side: &str| change[side]["title"].as_str().unwrap().to_owned();
                (text("before"), text("after"))
            })
            .collect();
        let mut at = "0".to_owned();
        let mut left = titles;
        while let Some(next) = left.iter().position(|(before, _)| *before == at) {
            at = left.swap_remove(next).1;
        }
        assert!(left.is_empty(), "no chain: {left:?} after {at}");
        assert_eq!(database.rows(&format!("SELECT title FROM people WHERE id = {user}"))[0][0].as_ref(), Some(&at));
    }
    // Memberships: comings less goings are those that are there.
    let mut balance = 0;
    for change in good("/Groups/{id}").iter().flat_map(|request| request["changes"].as_array().unwrap()) {
        match (change["table"].as_str().unwrap(), change["operation"].as_str().unwrap()) {
            ("memberships", "insert") => balance += 1,
            ("memberships", "delete") => balance -= 1,
            _ => {}
        }
    }
    assert_eq!(balance, database.count("SELECT COUNT(*) FROM memberships"));
}

#[test]
fn at_once_on_mariadb() {
    at_once(Engine::MariaDb);
}

#[test]
fn at_once_on_postgres() {
    at_once(Engine::Postgres);
}

#[test]
fn at_once_on_sqlite() {
    at_once(Engine::Sqlite);
}

/// What is too old goes, all of it, whichever of two processes does it.
fn retention(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small().more("journal: { retain: 3s }"));
    let second = service.second("two");
    let own = database.own_tables();
    let mut client = service.client();
    let ids: Vec<String> =
        (0..30).map(|n| client.post("/Users", &client::user(&format!("u{n}"), json!({}))).expect(201).id()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    client.post("/Groups", &client::group("large", &ids)).expect(201);
    // One with more changes than one transaction deletes.
    let insert = (1..=2500).map(|n| format!("('r-large', {n}, 't', 'insert', '{{}}')")).collect::<Vec<_>>().join(", ");
    let columns = "(id, at, server, method, route, status, changes, duration)";
    // Changes first: the request may be gone the moment it is there.
    database.execute(&format!(
        "INSERT INTO {own}changes (request, number, table_name, operation, row_key) VALUES {insert}"
    ));
    database.execute(&format!(
        "INSERT INTO {own}requests {columns} VALUES ('r-large', 1, 'test', 'PUT', '/', 200, 2500, 1)"
    ));
    let count = |table: &str| database.count(&format!("SELECT COUNT(*) FROM {own}{table}"));
    let patience = Instant::now() + Duration::from_secs(40);
    while count("requests") + count("changes") > 0 {
        assert!(Instant::now() < patience, "{} {}", count("requests"), count("changes"));
        std::thread::sleep(Duration::from_millis(100));
    }
    // Counted and said a moment after it was done.
    let pruned = || -> f64 {
        [&service, &second].iter().filter_map(|service| service.metric("scimshim_journal_pruned_total")).sum()
    };
    while pruned() < 32.0 {
        assert!(Instant::now() < patience, "{}", pruned());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(pruned(), 32.0);
    assert_eq!(count("leases"), 1);
    while ![&service, &second].iter().any(|service| service.stderr().contains("the journal was pruned")) {
        assert!(Instant::now() < patience, "{}", service.stderr());
        std::thread::sleep(Duration::from_millis(100));
    }
    // What belongs to resources stays.
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 30);
}

#[test]
fn retention_on_mariadb() {
    retention(Engine::MariaDb);
}

#[test]
fn retention_on_postgres() {
    retention(Engine::Postgres);
}

#[test]
fn retention_on_sqlite() {
    retention(Engine::Sqlite);
}

/// A request whose time runs out, and one whose client hangs up, are journalled as what became of them.
fn unheard(engine: Engine) {
    let database = Database::small(engine);
    let options = Options::small().parameters("{ departments: create }").more("limits: { request_timeout: 1s }");
    let service = Service::start(&database, options);
    let mut client = service.client();
    let user = client.post("/Users", &client::user("ada", json!({ "title": "before" }))).expect(201).id();
    let path = format!("/Users/{user}");
    let hold = |seconds: f32| match engine {
        Engine::MariaDb => {
            format!("START TRANSACTION; UPDATE people SET badge = 'held'; SELECT SLEEP({seconds}); COMMIT;")
        }
        _ => format!("BEGIN; UPDATE people SET badge = 'held'; SELECT pg_sleep({seconds}); COMMIT;"),
    };
    std::thread::scope(|scope| {
        let (database, sql) = (&database, hold(2.5));
        scope.spawn(move || database.execute(&sql));
        std::thread::sleep(Duration::from_millis(600));
        client.patch(&path, replace("title", json!("late"))).expect(503);
    });
    let all = until(&service, |all| all.iter().any(|request| request["answered"] == 503));
    let late = of(&all, "PATCH", "/Users/{id}")[0];
    assert_eq!((&late["status"], &late["answered"]), (&json!(200), &json!(503)), "{late:#}");
    assert_eq!(database.rows("SELECT title FROM people")[0][0].as_deref(), Some("late"));
    assert!(late["changes"].as_array().unwrap().iter().any(|change| change["after"]["title"] == "late"));
}

#[test]
fn unheard_on_mariadb() {
    unheard(Engine::MariaDb);
}

#[test]
fn unheard_on_postgres() {
    unheard(Engine::Postgres);
}
