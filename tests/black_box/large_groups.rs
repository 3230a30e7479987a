//! A group of 100,000 members (`SCIMSHIM_MEMBERS`): one member more, one less, another name, and a look at the group
//! without its members take the same statements, and read and keep no more, than in a group of 10.
//!
//! Three witnesses, none of them the service: the database server's log of statements, the counters of rows that the server
//! itself keeps, and what the kernel says of the process (`VmHWM`; for SQLite, which has no server, the bytes it read).

use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::{report, size, statements};

/// What the service may take up on the way, whatever the group: pages of its allocator.
const FLAT: i64 = 4 * 1024;

/// Teams 1 with that many members and 2 with ten, and one person more than there are members.
fn filled(engine: Engine, members: usize) -> Database {
    let database = Database::small(engine);
    let numbers = |last: usize| match engine {
        Engine::MariaDb => format!("(SELECT seq AS n FROM seq_1_to_{last}) numbers"),
        Engine::Postgres => format!("generate_series(1, {last}) AS numbers (n)"),
        Engine::Sqlite => {
            format!(
                "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s)"
            )
        }
    };
    let login = match engine {
        Engine::MariaDb => "CONCAT('p', n)",
        _ => "'p' || n",
    };
    database.execute(&format!(
        "INSERT INTO people (id, login, given, enabled) SELECT n, {login}, 'Given', 1 FROM {};
         INSERT INTO teams (id, name) VALUES (1, 'large'), (2, 'small');
         INSERT INTO memberships (team_id, person_id) SELECT 1, n FROM {};
         INSERT INTO memberships (team_id, person_id) SELECT 2, n FROM {};",
        numbers(members + 1),
        numbers(members),
        numbers(10),
    ));
    match engine {
        Engine::MariaDb => {
            database.execute("ANALYZE TABLE people, teams, memberships");
            // The server counts rows by login.
            database.administer("SET GLOBAL userstat = 1");
        }
        Engine::Postgres => database.execute("VACUUM ANALYZE memberships; VACUUM ANALYZE people"),
        Engine::Sqlite => database.execute("ANALYZE"),
    }
    database
}

/// The peak is counted from now on.
fn forget_peak(service: &Service) {
    std::fs::write(format!("/proc/{}/clear_refs", service.pid()), "5").expect("the peak is forgotten");
}

/// Rows of people and memberships that the server has read for this database's service so far. PostgreSQL tells of a session
/// at its end: the service is stopped and started for it. Of SQLite: bytes that the process has read.
fn rows_read(database: &Database, service: &mut Service) -> i64 {
    match database.engine {
        Engine::MariaDb => database.count(&format!(
            "SELECT COALESCE(SUM(ROWS_READ), 0) FROM information_schema.USER_STATISTICS WHERE USER = '{}'",
            database.name
        )),
        Engine::Postgres => {
            assert!(service.stop().success());
            while database.sessions() > 0 {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            let of = |what: &str, view: &str| {
                database.count(&format!(
                    "SELECT COALESCE(SUM({what}), 0) FROM {view} WHERE relname IN ('people', 'teams', 'memberships')"
                ))
            };
            let read = of("seq_tup_read", "pg_stat_user_tables") + of("idx_tup_read", "pg_stat_user_indexes");
            service.start_again();
            read
        }
        Engine::Sqlite => {
            let io = std::fs::read_to_string(format!("/proc/{}/io", service.pid())).expect("the process");
            io.lines().find_map(|line| line.strip_prefix("rchar: ")).and_then(|n| n.parse().ok()).expect("a number")
        }
    }
}

type Request = fn(&mut Client, usize, usize) -> Answer;

/// What is done to a team, with the one person who is in none: what it is called, and the request.
const REQUESTS: [(&str, Request); 6] = [
    ("add one", |client, team, person| {
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": person.to_string() }] }]);
        client.patch(&format!("/Groups/{team}"), add).expect(204)
    }),
    ("add one who is there", |client, team, person| {
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": person.to_string() }] }]);
        client.patch(&format!("/Groups/{team}"), add).expect(204)
    }),
    ("remove one", |client, team, person| {
        let remove = json!([{ "op": "remove", "path": format!("members[value eq \"{person}\"]") }]);
        client.patch(&format!("/Groups/{team}"), remove).expect(204)
    }),
    ("rename", |client, team, _| {
        let path = format!("/Groups/{team}");
        let name = |name: &str| json!([{ "op": "replace", "path": "displayName", "value": name }]);
        client.patch(&path, name(&format!("renamed {team}"))).expect(204);
        client.patch(&path, name(&format!("named {team}"))).expect(204)
    }),
    ("excludedAttributes=members", |client, team, _| {
        let group = client.get(&format!("/Groups/{team}?excludedAttributes=members")).expect(200);
        assert!(group.body.len() < 1000 && group.json().get("members").is_none(), "{}", group.text());
        group
    }),
    ("a list without members", |client, _, _| {
        client.get("/Groups?excludedAttributes=members&filter=displayName%20sw%20%22named%22").expect(200)
    }),
];

fn large(engine: Engine) {
    let members = size("SCIMSHIM_MEMBERS", 100_000);
    let began = std::time::Instant::now();
    let database = filled(engine, members);
    let filled = began.elapsed();
    let mut service = Service::start(&database, Options::small());
    let person = members + 1;
    // Once without being looked at: what is prepared and allocated once has been.
    for team in [2, 1] {
        REQUESTS.iter().for_each(|(_, request)| drop(request(&mut service.client(), team, person)));
    }
    let mut read = Vec::new();
    let mut shapes: Vec<Vec<Vec<String>>> = Vec::new();
    let mut grown = 0;
    for team in [2, 1] {
        let before = rows_read(&database, &mut service);
        let mut client = service.client();
        if engine == Engine::Postgres {
            REQUESTS.iter().for_each(|(_, request)| drop(request(&mut client, team, person)));
        }
        client.get("/Users/1").expect(200);
        forget_peak(&service);
        let at_rest = service.memory().now;
        let mut of_team = Vec::new();
        for (_, request) in REQUESTS {
            if engine == Engine::Sqlite {
                request(&mut client, team, person);
                continue;
            }
            let mark = statements::mark(&database);
            request(&mut client, team, person);
            let seen = statements::since(&database, mark).executed;
            // Transactions of its own the service has besides.
            of_team.push(seen.iter().filter(|text| !statements::is_control(text)).map(|text| shape(text)).collect());
        }
        shapes.push(of_team);
        grown = service.memory().most - at_rest;
        assert!(grown < FLAT, "{engine:?}, team {team}: {grown} kB more at the peak");
        read.push(rows_read(&database, &mut service) - before);
    }
    let [small, large] = shapes.as_slice() else { panic!("two teams") };
    for ((what, _), (small, large)) in REQUESTS.iter().zip(small.iter().zip(large)) {
        assert!(small == large, "{engine:?}, {what}:\n{}\nand of {members}:\n{}", small.join("\n"), large.join("\n"));
        assert!(small.len() <= 24, "{engine:?}, {what} takes {} statements:\n{}", small.len(), small.join("\n"));
    }
    let [few, many] = read.as_slice() else { panic!("two teams") };
    // What the service reads of its own accord meanwhile (tokens, keys, each second), or pages of a file.
    let own = if engine == Engine::Sqlite { 300_000 } else { i64::try_from(members / 50).expect("a number") };
    assert!((many - few).abs() < own, "{engine:?}: {few} read for the group of 10, {many} for that of {members}");

    // All of it is there, and reading it is what does cost: the witnesses would have seen that.
    let (before, mut client) = (rows_read(&database, &mut service), service.client());
    client.get("/Users/1").expect(200);
    forget_peak(&service);
    let at_rest = service.memory().now;
    let whole = client.get("/Groups/1").expect(200).text();
    assert_eq!(whole.matches("/Users/").count(), members);
    assert!(whole.contains("\"named 1\""));
    let peak = service.memory().most - at_rest;
    let all = rows_read(&database, &mut service) - before;
    let many_members = i64::try_from(members).expect("a number");
    assert!(peak > many_members / 10 && all > many_members, "{engine:?}: {peak} kB, {all} read");
    assert_eq!(database.count("SELECT COUNT(*) FROM memberships"), many_members + 10);
    let counted: Vec<String> =
        REQUESTS.iter().zip(large).map(|((what, _), seen)| format!("{what} {}", seen.len())).collect();
    report(
        "large group",
        &format!(
            "{engine:?}: a group of {members}: {}; peak memory +{grown} kB (reading all of it +{peak} kB); {} read for a group of 10: {few}, for this: {many}, for all of it: {all}",
            if counted.is_empty() {
                "no server to count statements".to_owned()
            } else {
                format!("statements: {}", counted.join(", "))
            },
            if engine == Engine::Sqlite { "bytes" } else { "rows" },
        ),
    );
    println!("filled in {filled:?}, all in {:?}", began.elapsed());
}

/// A statement without its values: MariaDB's log has them filled in.
fn shape(text: &str) -> String {
    let values = regex::Regex::new(r"'(?:[^'\\]|\\.|'')*'|\b\d+\b").expect("a pattern");
    statements::shape(&values.replace_all(text, "?"))
}

#[test]
fn of_mariadb() {
    large(Engine::MariaDb);
}

#[test]
fn of_postgres() {
    large(Engine::Postgres);
}

#[test]
fn of_sqlite() {
    large(Engine::Sqlite);
}

/// An answer that carries the members costs what they are; it is there for who asks, by PUT, by a filter, or because the
/// profile says that a PATCH is answered with the resource.
#[test]
fn whole_memberships_on_mariadb() {
    let members = size("SCIMSHIM_MEMBERS", 100_000).min(5_000);
    let database = filled(Engine::MariaDb, members);
    let servers = "{ test: { default: true, authentication: bearer }, other: { switches: { patch_answers: auto } } }";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    let mut client = service.client();
    let length = |answer: &Answer| answer.json()["members"].as_array().map_or(0, Vec::len);
    let rename = json!([{ "op": "replace", "path": "displayName", "value": "another" }]);
    let answer = client.patch("/Groups/1", rename.clone()).expect(200);
    assert_eq!(length(&answer), members);
    let answer = client.patch("/Groups/1?attributes=displayName", rename.clone()).expect(200);
    assert_eq!((length(&answer), &answer.json()["displayName"]), (0, &json!("another")));
    let mut other = service.client_with("/scim/other/v2", Some(service.issue("other")));
    other.patch("/Groups/1", rename.clone()).expect(204);
    let answer = other.patch("/Groups/1?excludedAttributes=externalId", rename).expect(200);
    assert_eq!(length(&answer), members, "what was asked for");
    // A PUT of all but ten, and one that is not there: a difference, written in statements of many rows.
    let mut kept: Vec<Value> = (11..=members).map(|id| json!({ "value": id.to_string() })).collect();
    kept.push(json!({ "value": (members + 1).to_string() }));
    let body = json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "another", "members": kept });
    let mark = statements::mark(&database);
    client.put("/Groups/1?excludedAttributes=members", &body).expect(200);
    let seen = statements::since(&database, mark).executed;
    assert!(seen.len() < 60, "{} statements:\n{}", seen.len(), seen.join("\n"));
    let deleted = seen.iter().filter(|text| text.starts_with("DELETE FROM `memberships`")).count();
    let inserted = seen.iter().filter(|text| text.starts_with("INSERT INTO `memberships`")).count();
    assert_eq!((deleted, inserted), (1, 1), "{}", seen.join("\n"));
    assert_eq!(
        database.count("SELECT COUNT(*) FROM memberships WHERE team_id = 1"),
        i64::try_from(members).expect("a number") - 9
    );
}
