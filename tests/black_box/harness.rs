//! The harness itself: it reads rows as they are, sees each statement that a login sends, and nobody else's.

use std::process::{Command, Stdio};

use crate::support::databases::{Database, Engine};
use crate::support::servers::MariaDbServer;
use crate::support::statements;

#[test]
fn rows_as_they_are() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        database.execute("INSERT INTO people (login, given, family, enabled) VALUES ('a', 'tab\there', NULL, 1), ('b', 'é \u{1f9d1}', '', 0)");
        let text = |value: &str| Some(value.to_owned());
        assert_eq!(
            database.rows("SELECT login, given, family, enabled FROM people ORDER BY login"),
            [[text("a"), text("tab\there"), None, text("1")], [text("b"), text("é \u{1f9d1}"), text(""), text("0")]],
            "{engine:?}"
        );
        assert_eq!(database.count("SELECT COUNT(*) FROM people"), 2);
        assert!(database.try_rows("SELECT nothing FROM nowhere").is_err());
    }
}

/// Sends SQL through a client program as the database's login, as a service would.
fn as_login(database: &Database, sql: &str) {
    let url = database.url();
    let (_, rest) = url.split_once("://").expect("a URL");
    let (login, rest) = rest.split_once('@').expect("a login");
    let (user, password) = login.split_once(':').expect("a password");
    let (address, name) = rest.split_once('/').expect("a database");
    let (host, port) = address.split_once(':').expect("a port");
    let mut command = match database.engine {
        Engine::MariaDb => Command::new("mariadb"),
        _ => Command::new("psql"),
    };
    match database.engine {
        Engine::MariaDb => command.args([
            "--no-defaults",
            "-h",
            host,
            "-P",
            port,
            "-u",
            user,
            &format!("-p{password}"),
            name,
            "-e",
            sql,
        ]),
        _ => command.args(["-X", "-q", "-h", host, "-p", port, "-U", user, "-d", name, "-c", sql]),
    };
    assert!(command.stdout(Stdio::null()).status().expect("it runs").success());
}

#[test]
fn statements_of_one_login() {
    for engine in [Engine::MariaDb, Engine::Postgres] {
        let (ours, other) = (Database::small(engine), Database::small(engine));
        as_login(&ours, "SELECT 'before'");
        let mark = statements::mark(&ours);
        as_login(&other, "SELECT 'of another'");
        as_login(&ours, "SELECT 'one',\n 'two'");
        as_login(&ours, "UPDATE people SET title = 'x'");
        let seen: Vec<String> =
            statements::since(&ours, mark).executed.into_iter().filter(|text| !text.contains("@@")).collect();
        assert_eq!(seen, ["SELECT 'one',\n 'two'", "UPDATE people SET title = 'x'"], "{engine:?}");
    }
}

#[test]
fn a_server_killed_and_started() {
    let mut server = MariaDbServer::start();
    let database = Database::create_on(Engine::MariaDb, server.server());
    database.load(&Engine::MariaDb.small_schema());
    database.execute("INSERT INTO departments (name) VALUES ('kept')");
    server.kill();
    assert!(database.try_rows("SELECT 1").is_err());
    server.start_again();
    assert_eq!(database.count("SELECT COUNT(*) FROM departments"), 1);
}
