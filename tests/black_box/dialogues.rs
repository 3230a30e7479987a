//! Dialogues of identity providers against the small application on each database, and against the real applications'
//! schemas where those are at hand.

use std::path::{Path, PathBuf};

use crate::support::databases::{Database, Engine};
use crate::support::journal;
use crate::support::replay::replay;
use crate::support::service::{Options, Service, describe};
use crate::support::{file, real_case, report, repository, shared};

/// Every dialogue of ours.
fn ours() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(file("tests/dialogues"))
        .expect("the dialogues")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Every dialogue there is: ours, and the captured ones where those are at hand.
pub fn all() -> Vec<PathBuf> {
    let captured = CAPTURED.iter().filter_map(|name| shared(&format!("idp/{name}.yaml")));
    captured.chain(ours()).collect()
}

/// Ours, each on an empty application.
fn all_on(engine: Engine) {
    let files = ours();
    let mut problems = Vec::new();
    for dialogue in files {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small());
        let tables = journal::Tables::of(&database);
        let outcome = replay(&dialogue, &mut service.client().anonymous(), service.token());
        journal::must_agree(tables, &database, &service);
        if !outcome.failures.is_empty() {
            problems.push(format!("{}\n{}", dialogue.display(), outcome.failures.join("\n")));
        } else {
            let name = dialogue.file_stem().unwrap_or_default().display().to_string();
            report("suite", &format!("{name} on {engine:?}: {} steps", outcome.steps));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn ours_on_mariadb() {
    all_on(Engine::MariaDb);
}

#[test]
fn ours_on_postgres() {
    all_on(Engine::Postgres);
}

#[test]
fn ours_on_sqlite() {
    all_on(Engine::Sqlite);
}

/// The captured dialogues against the small application, on the databases that the real one does not run on.
fn captured_on_small(engine: Engine) {
    for name in CAPTURED {
        let Some(dialogue) = shared(&format!("idp/{name}.yaml")) else {
            return;
        };
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small());
        let tables = journal::Tables::of(&database);
        let outcome = replay(&dialogue, &mut service.client().anonymous(), service.token());
        outcome.expect_green(&dialogue);
        journal::must_agree(tables, &database, &service);
        report("suite", &format!("{name}, captured, on {engine:?}: {} steps", outcome.steps));
    }
}

const CAPTURED: [&str; 3] = ["entra_optscim", "okta_aiw", "authentik"];

#[test]
fn captured_on_postgres() {
    captured_on_small(Engine::Postgres);
}

#[test]
fn captured_on_sqlite() {
    captured_on_small(Engine::Sqlite);
}

/// One captured dialogue on a real, empty Snipe-IT database.
fn on_snipe_it(version: &str, name: &str) {
    let (Some(schema), Some(dialogue)) =
        (shared(&format!("schemas/snipe-it-{version}.sql")), shared(&format!("idp/{name}.yaml")))
    else {
        println!("../shared is not here: nothing was tested");
        return;
    };
    let database = Database::create(Engine::MariaDb);
    database.load(&schema);
    let service = Service::start(&database, Options::adapter("adapters/snipe-it.yaml"));
    let tables = journal::Tables::of(&database);
    replay(&dialogue, &mut service.client().anonymous(), service.token()).expect_green(&dialogue);
    journal::must_agree(tables, &database, &service);
    super::rows::check_snipe_it(&database, name, version);
    real_case(&format!("snipe-it {version} {name}"));
    if let Some(program) = std::env::var_os("SCIMSHIM_REPLAY") {
        by_the_reference(&program, &schema, &dialogue, name, version);
    }
}

/// Once more, on a fresh database, by the reference interpreter (a Python program) that came with the dialogues.
fn by_the_reference(program: &std::ffi::OsStr, schema: &Path, dialogue: &Path, name: &str, version: &str) {
    let database = Database::create(Engine::MariaDb);
    database.load(schema);
    let service = Service::start(&database, Options::adapter("adapters/snipe-it.yaml"));
    let output = std::process::Command::new("python3")
        .arg(program)
        .args(["--token", service.token(), &service.url()])
        .arg(dialogue)
        .env("SSL_CERT_FILE", service.ca_file())
        .current_dir(repository())
        .output()
        .expect("python3 runs: scripts/need acceptance installs it");
    assert!(output.status.success(), "{}", describe(&output));
    super::rows::check_snipe_it(&database, name, version);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    report(
        "dialogue",
        &format!("{name} on Snipe-IT {version}, by replay.py over TLS: {last}; rows and history as the application's"),
    );
}

#[test]
fn snipe_it_8_6_entra() {
    on_snipe_it("8.6.3", "entra_optscim");
}

#[test]
fn snipe_it_8_6_okta() {
    on_snipe_it("8.6.3", "okta_aiw");
}

#[test]
fn snipe_it_8_6_authentik() {
    on_snipe_it("8.6.3", "authentik");
}

#[test]
fn snipe_it_8_4_entra() {
    on_snipe_it("8.4.1", "entra_optscim");
}

#[test]
fn snipe_it_8_4_okta() {
    on_snipe_it("8.4.1", "okta_aiw");
}

#[test]
fn snipe_it_8_4_authentik() {
    on_snipe_it("8.4.1", "authentik");
}

/// Every dialogue, on a database that somebody works with: an administrator and a group are there, outside the scope.
fn in_use(version: &str) {
    let Some(schema) = shared(&format!("schemas/snipe-it-{version}.sql")) else {
        println!("../shared is not here: nothing was tested");
        return;
    };
    let mut problems = Vec::new();
    for dialogue in all() {
        let database = Database::create(Engine::MariaDb);
        database.load(&schema);
        database.execute(
            "INSERT INTO users (id, username, first_name, password, activated, permissions) VALUES
                (1, 'admin', 'Admin', 'x', 1, '{\"superuser\":\"1\"}'), (2, 'ann@example.com', 'Ann', 'x', 1, NULL);
             INSERT INTO permission_groups (id, name) VALUES (1, 'Admins');
             INSERT INTO users_groups (user_id, group_id) VALUES (1, 1), (2, 1);",
        );
        let seed = || {
            [("users", 3), ("permission_groups", 2)]
                .map(|(table, first)| database.rows(&format!("SELECT * FROM {table} WHERE id < {first} ORDER BY id")))
        };
        let before = seed();
        let servers = "{ test: { default: true, authentication: bearer, acting_user: admin, scope: { User: { id: { gt: 2 } }, Group: { id: { gt: 1 } } }, switches: { patch_answers: auto } } }";
        let service = Service::start(&database, Options::adapter("adapters/snipe-it.yaml").identity_servers(servers));
        let tables = journal::Tables::of(&database);
        let outcome = replay(&dialogue, &mut service.client().anonymous(), service.token());
        let name = dialogue.file_stem().unwrap_or_default().display().to_string();
        if !outcome.failures.is_empty() {
            problems.push(format!("{name}\n{}", outcome.failures.join("\n")));
            continue;
        }
        journal::must_agree(tables, &database, &service);
        assert_eq!(seed(), before, "{name}");
        assert_eq!(database.count("SELECT COUNT(*) FROM users_groups WHERE group_id = 1"), 2, "{name}");
        assert_eq!(
            database.count("SELECT COUNT(*) FROM users WHERE id > 2 AND (first_name IS NULL OR first_name = '')"),
            0
        );
        real_case(&format!("snipe-it {version} in use {name}"));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn snipe_it_8_6_in_use() {
    in_use("8.6.3");
}

#[test]
fn snipe_it_8_4_in_use() {
    in_use("8.4.1");
}
