//! `scimshim log`: what it prints of the journal, for people and for scripts, and what it never prints.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{BINARY, Options, Service, describe, signal};

fn log(service: &Service, arguments: &[&str]) -> String {
    let output = service.run(&[&["log"], arguments].concat());
    assert!(output.status.success(), "{}", describe(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn replace(path: &str, value: Value) -> Value {
    json!([{ "op": "replace", "path": path, "value": value }])
}

fn printed(engine: Engine) {
    let database = Database::small(engine);
    let servers = "\n  test: { default: true, authentication: bearer, switches: { patch_answers: auto } }\n  other: { authentication: bearer }\n";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    let mut client = service.client();
    let mut other = service.client_with("/scim/other/v2", Some(service.issue("other")));
    assert_eq!(log(&service, &[]), "");
    let ada = client.post("/Users", &client::user("ada", json!({ "title": "first" }))).expect(201).id();
    client.patch(&format!("/Users/{ada}"), replace("title", json!("second"))).expect(200);
    other.post("/Users", &client::user("bob", json!({}))).expect(201);
    client.post("/Groups", &client::group("team", &[&ada])).expect(201);

    let text = log(&service, &[]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[1].contains(&format!("PATCH /Users/{ada}")) && lines[1].contains("  200  "), "{text}");
    assert!(lines[1].contains("2 rows") && lines[3].contains("POST /Groups/"), "{text}");
    assert_eq!(log(&service, &["--server", "other"]).lines().count(), 1);
    assert_eq!(log(&service, &["--resource", &ada]).lines().count(), if ada == "1" { 3 } else { 2 });
    assert_eq!(log(&service, &["--resource", &format!("User/{ada}")]).lines().count(), 2);
    assert_eq!(log(&service, &["--resource", &format!("/Users/{ada}")]).lines().count(), 2);
    assert_eq!(log(&service, &["--limit", "1"]).lines().count(), 1);
    assert!(log(&service, &["--limit", "1"]).contains("/Groups"), "the last");
    assert_eq!(log(&service, &["--since", "1h"]).lines().count(), 4);
    assert_eq!(log(&service, &["--since", "2999-01-01"]), "");

    let id = lines[1].split("  ").last().unwrap().trim();
    let whole = log(&service, &["--request", id]);
    let line = |words: &[&str]| whole.lines().any(|line| line.split_whitespace().eq(words.iter().copied()));
    assert!(line(&["update", "people", &format!("id={ada}")]), "{whole}");
    assert!(line(&["column", "before", "after"]) && line(&["title", "\"first\"", "\"second\""]), "{whole}");
    assert!(
        whole.contains("insert history id=") && whole.contains("bearer ") && whole.contains("from 127.0.0.1"),
        "{whole}"
    );
    let json: Value = serde_json::from_str(&log(&service, &["--request", id, "--json"])).expect("one object");
    assert_eq!(json["changes"][0]["before"]["title"], "first");
    assert_eq!((&json["server"], &json["resource_type"]), (&json!("test"), &json!("User")));
    let none = service.run(&["log", "--request", "no-such"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(describe(&none).contains("no request `no-such`"), "{}", describe(&none));
    for wrong in
        [&["log", "--since", "yesterday"][..], &["log", "--follow", "--request", "x"], &["log", "--limit", "x"]]
    {
        assert_eq!(service.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn printed_on_mariadb() {
    printed(Engine::MariaDb);
}

#[test]
fn printed_on_postgres() {
    printed(Engine::Postgres);
}

#[test]
fn printed_on_sqlite() {
    printed(Engine::Sqlite);
}

/// What comes is printed as it comes, whichever process took it; the end is asked for and had.
fn followed(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let second = service.second("two");
    service.client().post("/Users", &client::user("before", json!({}))).expect(201);
    for name in ["TERM", "INT"] {
        let mut command = Command::new(BINARY);
        command.args(["log", "--follow", "--limit", "1", "--config"]).arg(service.config()).stdin(Stdio::null());
        let mut child = command.envs(database.environment()).stdout(Stdio::piped()).spawn().expect("scimshim starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        for (number, process) in [&service, &second].into_iter().enumerate() {
            let user = client::user(&format!("{name} {number}"), json!({}));
            let id = process.client().post("/Users", &user).expect(201).id();
            let line = lines.next().unwrap().unwrap();
            assert!(line.contains(&format!("POST /Users/{id} ")), "{line}, after {first}");
        }
        process_ends(&mut child, name);
        assert!(lines.next().is_none(), "nothing twice");
    }
}

fn process_ends(child: &mut std::process::Child, name: &str) {
    signal(child.id(), name);
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(status) = child.try_wait().expect("its status") {
            assert_eq!(status.code(), Some(0), "{name}");
            return;
        }
        assert!(Instant::now() < patience, "still there after {name}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn followed_on_mariadb() {
    followed(Engine::MariaDb);
}

#[test]
fn followed_on_postgres() {
    followed(Engine::Postgres);
}

#[test]
fn followed_on_sqlite() {
    followed(Engine::Sqlite);
}

/// What strangers wrote does nothing to a terminal, in text and in JSON.
#[test]
fn hostile_content() {
    let database = Database::small(Engine::Sqlite);
    let servers = "{ test: { default: true, authentication: bearer, save_requests: full } }";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    let evil =
        "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}gnp\n2026-01-01T00:00:00Z  200  DELETE /Users/1\r\u{2028}x\u{7f}";
    let mut client = service.client();
    let id = client.post("/Users", &client::user("evil", json!({ "title": evil }))).expect(201).id();
    client.patch(&format!("/Users/{id}"), replace("title", json!("tame"))).expect(200);
    client.get(&format!("/Users?filter={}", client::encode(&format!("title eq \"{evil}\""))));
    client.delete(&format!("/Users/{}", client::encode(evil)));
    std::thread::sleep(Duration::from_millis(500));
    let ids: Vec<String> = crate::support::journal::requests(&service)
        .iter()
        .map(|request| request["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(ids.len() >= 3, "{ids:?}");
    let mut texts = vec![log(&service, &[]), log(&service, &["--json"])];
    texts.extend(ids.iter().map(|id| log(&service, &["--request", id])));
    for text in &texts {
        let raw = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{2028}' | '\u{202e}');
        assert!(!text.contains(raw), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("2026-01-01T00:00:00Z")), "{text:?}");
    }
    assert!(texts[0].lines().count() == ids.len(), "{}", texts[0]);
    let told: Vec<Value> = texts[1].lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let created = &told[0];
    assert_eq!(created["request"]["title"], json!(evil), "JSON has it whole");
}

/// A reader that has seen enough is no error.
#[test]
fn closed_pipe() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let own = database.own_tables();
    let rows: Vec<String> =
        (0..5000).map(|n| format!("('r-{n}', {n}, 'test', 'PUT', '/{}', 200, 0, 1)", "x".repeat(100))).collect();
    let columns = "(id, at, server, method, route, status, changes, duration)";
    database.execute(&format!("INSERT INTO {own}requests {columns} VALUES {}", rows.join(", ")));
    for more in [&[][..], &["--json"]] {
        let mut command = Command::new(BINARY);
        command.args(["log", "--limit", "100000", "--config"]).arg(service.config()).args(more).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("scimshim starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{}", describe(&output));
    }
}

/// Own tables that are not there, or of an older scimshim, are named with the way out, by `log`, `check` and `serve`; setting
/// up once more brings them to where they must be, with what they hold.
fn older(engine: Engine) {
    let database = Database::small(engine);
    let mut service = Service::prepare(&database, Options::small());
    let complains = |service: &Service, word: &str| {
        for verb in ["log", "check", "serve"] {
            let output = service.run(&[verb]);
            let said = describe(&output);
            assert!(output.status.code() == Some(1) && said.contains("setup --apply") && said.contains(word), "{said}");
        }
    };
    complains(&service, "not there");
    assert!(service.run(&["setup", "--apply"]).status.success());
    let token = service.issue("test");
    let own = database.own_tables();
    // The tables that came with each version.
    let came = [(4, "requests changes leases"), (5, "deactivations"), (6, "digest_counts")];
    let newest = came.iter().map(|(version, _)| *version).max().unwrap();
    assert_eq!(database.count(&format!("SELECT MAX(version) FROM {own}schema_version")), newest);
    for found in (3..newest).rev() {
        for table in came.iter().filter(|(version, _)| *version > found).flat_map(|(_, tables)| tables.split(' ')) {
            database.execute(&format!("DROP TABLE {own}{table}"));
        }
        database.execute(&format!("DELETE FROM {own}schema_version WHERE version > {found}"));
        complains(&service, &format!("version {found}, this scimshim needs {newest}"));
        assert!(service.run(&["setup", "--apply"]).status.success());
        assert_eq!(database.count(&format!("SELECT MAX(version) FROM {own}schema_version")), newest);
    }
    service.start_again();
    let mut client = service.client_with("/scim/v2", Some(token));
    client.post("/Users", &client::user("ada", json!({}))).expect(201);
    assert_eq!(log(&service, &[]).lines().count(), 1);
}

#[test]
fn older_on_mariadb() {
    older(Engine::MariaDb);
}

#[test]
fn older_on_postgres() {
    older(Engine::Postgres);
}

#[test]
fn older_on_sqlite() {
    older(Engine::Sqlite);
}

/// What `save_requests` keeps, and that no setting keeps a secret: passwords in bodies, by path, in filters, in rows; proofs
/// of who asks. Nowhere in the journal, in what prints it, in our tables, in the service's own log at its most verbose.
fn canaries(engine: Engine) {
    let database = Database::create(engine);
    database.execute(match engine {
        Engine::Postgres => SCHEMA_POSTGRES,
        Engine::MariaDb => SCHEMA_MYSQL,
        Engine::Sqlite => SCHEMA_SQLITE,
    });
    let folder = tempfile::tempdir().expect("a folder");
    let canary = |n: u8| format!("Canary{n}-9f3e-pw");
    let file = folder.path().join("password");
    std::fs::write(&file, canary(9)).expect("a file");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
    let servers = format!(
        "\n  test: {{ default: true, authentication: bearer, save_requests: full }}\n  some: {{ authentication: bearer, save_requests: redacted }}\n  basic: {{ authentication: {{ basic: {{ username: hr, password: \"${{file:{}}}\" }} }}, save_requests: full }}\n",
        file.display()
    );
    let options = Options::written(ADAPTER).identity_servers(&servers).more("log: { level: trace }");
    let service = Service::start(&database, options);
    let some = service.issue("some");
    let clients = [("whole", service.client()), ("some", service.client_with("/scim/some/v2", Some(some.clone())))];
    for (which, mut client) in clients {
        let name = |n: u8| format!("user{n} {which}");
        let (first, second) = (name(1), name(2));
        let user = |name: &str, n: u8| client::user(name, json!({ "password": canary(n), "title": "Personal title" }));
        let id = client.post("/Users", &user(&first, 1)).expect(201).id();
        let path = format!("/Users/{id}");
        client.patch(&path, replace("password", json!(canary(2)))).expect(200);
        client.patch(&path, json!([{ "op": "replace", "value": { "PASSWORD": canary(3) } }])).expect(200);
        client
            .patch(&path, replace("urn:ietf:params:scim:schemas:core:2.0:User:password", json!(canary(4))))
            .expect(200);
        client.put(&path, &user(&first, 5)).expect(200);
        let filter = client::encode(&format!("password eq \"{}\"", canary(6)));
        client.get(&format!("/Users?filter={filter}"));
        client.post("/Users/.search", &json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": format!("password sw \"{}\"", canary(6)) }));
        client.patch(&path, json!([{ "op": "remove", "path": format!("emails[password eq \"{}\"]", canary(6)) }]));
        client.get(&format!("/Users?access_token={}&token={}", canary(7), canary(7)));
        client.post("/Users", &user(&first, 8)).expect(409);
        client.post("/Users", &json!({ "password": { "value": canary(8) }, "userName": second.clone() }));
        client.post("/Bulk", &json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
            { "method": "POST", "path": "/Users", "bulkId": "a", "data": user(&second, 1) },
            { "method": "PATCH", "path": "/Users/bulkId:a", "data": client::patch(replace("password", json!(canary(2)))) },
            { "method": "POST", "path": "/Users", "bulkId": "b", "data": user(&second, 3) },
        ] })).expect(200);
        let broken = format!("{{\"password\": \"{}\" nonsense", canary(8));
        client
            .send("POST", "/scim/v2/Users", &[("Content-Type", "application/scim+json")], Some(broken.as_bytes()))
            .expect("an answer");
        client.delete(&path).expect(204);
    }
    let mut basic = service.client_with("", None);
    use base64::Engine as _;
    let proof = base64::prelude::BASE64_STANDARD.encode(format!("hr:{}", canary(9)));
    let header = format!("Basic {proof}");
    basic.send("GET", "/scim/basic/v2/Users", &[("Authorization", &header)], None).expect("an answer").expect(200);
    std::thread::sleep(Duration::from_secs(1));

    let mut everything = String::new();
    let requests = crate::support::journal::requests(&service);
    assert!(requests.len() > 20, "{}", requests.len());
    everything.push_str(&log(&service, &["--json", "--since", "1d"]));
    everything.push_str(&log(&service, &["--since", "1d"]));
    for request in &requests {
        everything.push_str(&log(&service, &["--request", request["id"].as_str().unwrap()]));
    }
    let own = database.own_tables();
    let journal: String = ["requests", "changes", "links", "sidecar", "tombstones", "identities", "leases"]
        .iter()
        .map(|table| format!("{:?}", database.table(&format!("{own}{table}"))))
        .collect();
    everything.push_str(&journal);
    everything.push_str(&service.stderr());
    everything.push_str(&service.admin("/metrics").unwrap_or_default());
    everything.push_str(&describe(&service.run(&["check"])));
    for n in 1..=9 {
        let at = everything.find(&canary(n));
        assert!(
            at.is_none(),
            "{} is kept: {}",
            canary(n),
            &everything[at.unwrap().saturating_sub(300)..at.unwrap() + 40]
        );
    }
    let tokens = [service.token(), some.as_str(), proof.as_str()];
    for token in tokens {
        assert!(!everything.contains(token), "a credential is kept");
    }
    // Hashes are secrets too; that a password changed is known.
    let hashes = database.rows("SELECT secret FROM people").into_iter().flatten().flatten();
    for hash in hashes.chain(["$2y$".to_owned(), "$argon2".to_owned()]) {
        assert!(!everything.contains(&hash), "{hash}");
    }
    let patched = requests.iter().find(|request| request["method"] == "PATCH" && request["status"] == 200).unwrap();
    assert_eq!(patched["changes"][0]["after"]["secret"], json!({ "secret": true }), "{patched:#}");
    // What is kept otherwise: all of it, or what is not personal.
    let of =
        |server: &str| requests.iter().find(|request| request["server"] == server && request["status"] == 201).unwrap();
    assert_eq!(of("test")["request"]["title"], "Personal title");
    assert_eq!(of("test")["answer"]["title"], "Personal title");
    assert_eq!(of("some")["request"]["title"], "(14 characters)");
    assert!(of("some")["request"]["userName"].as_str().unwrap().starts_with("user1"));
    assert!(requests.iter().any(|request| request["method"] == "GET"), "reads too");
}

#[test]
fn canaries_on_mariadb() {
    canaries(Engine::MariaDb);
}

#[test]
fn canaries_on_postgres() {
    canaries(Engine::Postgres);
}

#[test]
fn canaries_on_sqlite() {
    canaries(Engine::Sqlite);
}

const SCHEMA_SQLITE: &str = "CREATE TABLE people (id integer PRIMARY KEY AUTOINCREMENT, login varchar(100) NOT NULL, title varchar(100), secret varchar(255), api_token varchar(64) DEFAULT 'Canary9-9f3e-pw');";
const SCHEMA_MYSQL: &str = "CREATE TABLE people (id int AUTO_INCREMENT PRIMARY KEY, login varchar(100) NOT NULL, title varchar(100), secret varchar(255), api_token varchar(64) DEFAULT 'Canary9-9f3e-pw');";
const SCHEMA_POSTGRES: &str = "CREATE TABLE people (id serial PRIMARY KEY, login varchar(100) NOT NULL, title varchar(100), secret varchar(255), api_token varchar(64) DEFAULT 'Canary9-9f3e-pw');";
const ADAPTER: &str = "
adapter: canary
title: Somebody with a password
databases: [mysql, postgres, sqlite]
resources:
  User:
    table: people
    id: id
    attributes:
      userName: { column: login, required: true, unique: true }
      title: { column: title }
      password: { column: secret, hash: bcrypt }
    delete: row
";
