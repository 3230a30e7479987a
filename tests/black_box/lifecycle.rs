//! Starting, running without a database, stopping; mistakes in the configuration; `demo`.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::servers::MariaDbServer;
use crate::support::service::{BINARY, Options, Service, describe};

/// Waits until `true`, no longer than 30 s.
#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < patience, "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn without_its_database() {
    let mut server = MariaDbServer::start();
    let database = Database::create_on(Engine::MariaDb, server.server());
    database.load(&Engine::MariaDb.small_schema());
    let mut service = Service::start(&database, Options::small());
    let mut client = service.client();
    client.post("/Users", &client::user("kept", json!({}))).expect(201);

    server.kill();
    let answer = client.get("/Users");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
    assert_eq!(answer.json()["status"], "503");
    let answer = client.post("/Users", &client::user("lost", json!({})));
    assert_eq!(answer.status, 503, "{}", answer.text());
    until("not ready any more", || !service.ready());
    assert!(service.admin("/healthz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")), "the process is up");

    // And it starts without one, too.
    assert!(service.stop().success());
    service.spawn();
    until("the process is up", || service.admin("/healthz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")));
    assert!(!service.ready());
    let answer = service.client().get("/Users");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());

    server.start_again();
    until("ready again", || service.ready());
    let found = service.client().get("/Users").expect(200).json();
    assert_eq!(found["totalResults"], 1, "{found}");
}

/// A row that somebody else holds: 503 after `lock_timeout`, and nothing written.
#[test]
fn a_row_held_by_another() {
    let database = Database::small(Engine::MariaDb);
    let more = "limits: { request_timeout: 20s }";
    let mut options = Options::small().more(more);
    options.more.push_str("log: { level: info }\n");
    let service = Service::start(&database, options);
    let mut client = service.client();
    let id = client.post("/Users", &client::user("held", json!({ "title": "t" }))).expect(201).id();
    let before = database.table("people");
    std::thread::scope(|scope| {
        scope.spawn(|| database.execute("BEGIN; SELECT * FROM people FOR UPDATE; DO SLEEP(9); ROLLBACK;"));
        std::thread::sleep(Duration::from_millis(700));
        let start = Instant::now();
        let answer = client.patch(&format!("/Users/{id}"), json!([{ "op": "replace", "path": "title", "value": "u" }]));
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
        assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
        // Others are served meanwhile.
        client.get(&format!("/Users/{id}")).expect(200);
    });
    assert_eq!(database.table("people"), before);
    assert_eq!(database.count("SELECT COUNT(*) FROM history"), 1);
}

/// Clients that hang up: each write is whole or not there.
#[test]
fn clients_that_hang_up() {
    let database = Database::small(Engine::MariaDb);
    let mut service = Service::start(&database, Options::small());
    for number in 0..60_u64 {
        use std::io::Write;
        let body = serde_json::to_vec(&client::user(&format!("u{number}"), json!({ "title": "t" }))).expect("JSON");
        let head = format!(
            "POST /scim/v2/Users HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {}\r\nContent-Type: application/scim+json\r\nContent-Length: {}\r\n\r\n",
            service.address().port(),
            service.token(),
            body.len()
        );
        let mut stream = service.client().connect().expect("a connection");
        stream.write_all(head.as_bytes()).expect("written");
        stream.write_all(&body).expect("written");
        stream.flush().expect("written");
        std::thread::sleep(Duration::from_micros(number * 100));
        drop(stream);
    }
    assert!(service.stop().success(), "{}", service.stderr());
    let people = database.count("SELECT COUNT(*) FROM people");
    let whole = database.count("SELECT COUNT(*) FROM people p WHERE (SELECT COUNT(*) FROM history h WHERE h.person_id = p.id AND h.what = 'create') = 1");
    assert_eq!(people, whole);
    assert!(people > 0, "some arrived");
}

/// SIGTERM: what is being answered is answered, then the process ends well.
#[test]
fn stopped_in_the_midst() {
    let database = Database::small(Engine::Sqlite);
    let mut service = Service::start(&database, Options::small());
    let mut clients: Vec<_> = (0..4).map(|_| service.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.post("/Users", &client::user(&format!("u{number}"), json!({}))).expect(201);
    }
    let start = Instant::now();
    let status = service.stop();
    assert!(status.success(), "{status}: {}", service.stderr());
    assert!(start.elapsed() < Duration::from_secs(10), "idle connections do not hold it: {:?}", start.elapsed());
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 4);
}

/// Every mistake of a configuration at once, each with its place and the likely fix; exit status 1.
#[test]
fn mistakes_in_the_configuration() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::prepare(
        &database,
        Options::small().more("limitz: { body: 1MiB }\nlimits: { body: many, filter_dept: 3 }"),
    );
    for verb in [&["check", "--offline"][..], &["serve"][..], &["setup"][..]] {
        let output = service.run(verb);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        for word in ["limitz", "limits", "body", "many", "filter_dept", "filter_depth", "one.yaml:"] {
            assert!(text.contains(word), "{verb:?} does not say {word}: {}", describe(&output));
        }
    }
}

/// The same of an adapter, against the live catalogue.
#[test]
fn mistakes_in_the_adapter() {
    let database = Database::small(Engine::Sqlite);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wrong.yaml");
    let good = std::fs::read_to_string(crate::support::file("tests/adapters/small.yaml")).expect("the adapter");
    let wrong = good
        .replace("column: title,", "column: titel,")
        .replace("table: memberships", "table: membership")
        .replace("userName:          {", "userNaem:          {");
    assert_eq!(wrong.lines().count(), good.lines().count());
    std::fs::write(&path, wrong).expect("written");
    let mut options = Options::small();
    options.adapter = path.display().to_string();
    let service = Service::prepare(&database, options);
    for verb in [&["check"][..], &["serve"][..]] {
        let output = service.run(verb);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        for word in ["titel", "title", "membership", "memberships", "userNaem", "userName", "wrong.yaml:"] {
            assert!(text.contains(word), "{verb:?} does not say {word}: {}", describe(&output));
        }
    }
}

#[test]
fn command_line() {
    let run =
        |arguments: &[&str]| Command::new(BINARY).args(arguments).stdin(Stdio::null()).output().expect("scimshim runs");
    let help = run(&["--help"]);
    assert!(help.status.success());
    for verb in ["demo", "setup", "check", "serve", "token"] {
        assert!(String::from_utf8_lossy(&help.stdout).contains(verb), "{}", describe(&help));
    }
    assert!(run(&["--version"]).status.success());
    assert_eq!(run(&["nonsense"]).status.code(), Some(2));
    assert_eq!(run(&["serve", "--nonsense"]).status.code(), Some(2));
    let missing = run(&["check", "--config", "/nonexistent/config.yaml"]);
    assert_eq!(missing.status.code(), Some(1), "{}", describe(&missing));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nonexistent/config.yaml"), "{}", describe(&missing));
}

/// `setup` prints what `setup --apply` does, and a second one changes nothing.
#[test]
fn setup() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::prepare(&database, Options::small());
        let printed = service.run(&["setup"]);
        assert!(printed.status.success(), "{engine:?}: {}", describe(&printed));
        let text = String::from_utf8_lossy(&printed.stdout).into_owned();
        assert!(text.contains("CREATE TABLE"), "{engine:?}: {}", describe(&printed));
        if engine != Engine::Sqlite {
            assert!(
                text.contains("GRANT") && text.contains("people") && text.contains("memberships"),
                "{engine:?}: {}",
                describe(&printed)
            );
        }
        for _ in 0..2 {
            let applied = service.run(&["setup", "--apply"]);
            assert!(applied.status.success(), "{engine:?}: {}", describe(&applied));
        }
        let checked = service.run(&["check"]);
        assert!(checked.status.success(), "{engine:?}: {}", describe(&checked));
    }
}

/// The way of an administrator who lets nobody create tables: a login with no right at all, the SQL that `setup` prints
/// run by somebody else, and then everything works; and again with no more than the exact rights.
#[test]
fn setup_by_somebody_else() {
    for engine in [Engine::MariaDb, Engine::Postgres] {
        let database = Database::small(engine).lean();
        let mut service = Service::prepare(&database, Options::small());
        let printed = |service: &Service| {
            let printed = service.run(&["setup"]);
            assert!(printed.status.success(), "{engine:?}: {}", describe(&printed));
            String::from_utf8(printed.stdout).expect("SQL is text")
        };
        // The tables come from the same file: the owner creates them and grants.
        database.administer_here(&printed(&service));
        let checked = service.run(&["check"]);
        assert!(checked.status.success(), "{engine:?}: {}", describe(&checked));
        service.start_again();
        a_life(&mut service.client_with("/scim/v2", Some(service.issue("test"))));
        assert!(service.stop().success());

        // Now that it sees the tables, what is printed is exact; whatever was granted beyond goes.
        let exact = printed(&service);
        let grants: Vec<&str> = exact.lines().filter(|line| line.starts_with("GRANT ")).collect();
        assert!(grants.iter().any(|grant| grant.contains("SELECT") && !grant.contains("DELETE")), "{exact}");
        database.administer_here(&match engine {
            Engine::MariaDb => format!("REVOKE ALL, GRANT OPTION FROM {}@'%';", database.login()),
            _ => format!("DROP OWNED BY {};", database.login()),
        });
        database.administer_here(&grants.join("\n"));
        let checked = service.run(&["check"]);
        assert!(checked.status.success(), "{engine:?}: {}", describe(&checked));
        let said = |checked: &std::process::Output| String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(!said(&checked).contains("the database user may"), "{engine:?}: {}", describe(&checked));
        service.start_again();
        a_life(&mut service.client_with("/scim/v2", Some(service.issue("test"))));

        // One less is missed, one more is noticed.
        let (user, at) = match engine {
            Engine::MariaDb => (format!("{}@'%'", database.login()), format!("{}.", database.name)),
            _ => (database.login().to_owned(), String::new()),
        };
        database.administer_here(&format!(
            "REVOKE INSERT ON {at}departments FROM {user}; GRANT DELETE ON {at}people TO {user}; GRANT UPDATE ON {at}equipment TO {user};"
        ));
        let checked = service.run(&["check"]);
        assert_eq!(checked.status.code(), Some(1), "{engine:?}: {}", describe(&checked));
        for sentence in [
            "error: the database user may not INSERT on `departments`, which the adapter does",
            "`scimshim setup` prints the GRANTs that are needed",
            "warning: the database user may do what the adapter never does: UPDATE on `equipment`; DELETE on `people`",
        ] {
            assert!(said(&checked).contains(sentence), "{engine:?}: {sentence}\n{}", describe(&checked));
        }
    }
}

/// A person and a group from their creation to their end.
fn a_life(client: &mut client::Client) {
    let manager = client.post("/Users", &client::user("manager", json!({}))).expect(201).id();
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let more = json!({ enterprise: { "department": "Works", "manager": { "value": manager } }, "externalId": "x1" });
    let person = client.post("/Users", &client::user("person", more)).expect(201).id();
    let group = client.post("/Groups", &client::group("Group", &[&person])).expect(201).id();
    client
        .patch(&format!("/Users/{person}"), json!([{ "op": "replace", "path": "title", "value": "Fitter" }]))
        .expect(200);
    client.get("/Users?filter=title%20eq%20%22Fitter%22&sortBy=userName").expect(200);
    client
        .patch(&format!("/Users/{person}"), json!([{ "op": "replace", "path": "active", "value": false }]))
        .expect(200);
    client.delete(&format!("/Groups/{group}")).expect(204);
    for id in [person, manager] {
        client.delete(&format!("/Users/{id}")).expect(204);
    }
}

/// Without a terminal on its stdin, the demonstration ends with status 0 after its round, and says how to go on.
#[test]
fn demo() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let output =
        Command::new(BINARY).args(["demo", "--data"]).arg(&data).stdin(Stdio::null()).output().expect("scimshim runs");
    assert!(output.status.success(), "{}", describe(&output));
    let told: Value = serde_json::from_slice(&std::fs::read(data.join("demo.json")).expect("demo.json")).expect("JSON");
    for key in ["base_url", "token", "ca"] {
        assert!(told[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {told}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(data.join("demo.json")).expect("demo.json").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for method in ["GET", "POST", "PATCH"] {
        assert!(text.contains(method), "{}", describe(&output));
    }
}

/// Asked for any port, it names the one that it has: in what it prints, in the configuration, in `demo.json`.
#[test]
fn demo_on_any_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", BINARY, "demo", "--serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("scimshim starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map(|line| line.expect("text"));
    let mut printed = String::new();
    for line in lines {
        printed += &format!("{line}\n");
        if line.contains("curl ") {
            break;
        }
    }
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    let told: Value = serde_json::from_str(&read("demo.json")).expect("JSON");
    let base_url = told["base_url"].as_str().expect("a URL");
    let port = base_url.strip_prefix("https://localhost:").and_then(|rest| rest.strip_suffix("/scim/v2"));
    let port = port.unwrap_or_else(|| panic!("{base_url}"));
    assert!(std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok(), "{base_url}");
    assert!(printed.contains(&format!("SCIM URL  {base_url}\n")), "{printed}");
    assert!(printed.contains(&format!("'{base_url}/Users?")), "{printed}");
    assert!(read("config.yaml").contains(&format!("listen: \"127.0.0.1:{port}\"")), "{}", read("config.yaml"));
    assert!(!printed.contains("localhost:0"), "{printed}");
    child.kill().expect("an end");
    child.wait().expect("a status");
}
