//! Every dialogue on the template's application on PostgreSQL: UUID keys, an enum, citext, foreign keys that the database
//! checks.

use std::path::PathBuf;

use crate::support::databases::{Database, Engine};
use crate::support::replay::replay;
use crate::support::service::{Options, Service};
use crate::support::{file, report, shared};

/// The template's application, empty.
pub fn database() -> Database {
    let database = Database::create(Engine::Postgres);
    database.load(&file("tests/schemas/template.postgres.sql"));
    database
}

/// Every dialogue of ours, in the order of their names.
pub fn ours() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(file("tests/dialogues"))
        .expect("the dialogues")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    files
}

/// Those that came with the facts, where they are at hand.
pub fn captured() -> Vec<PathBuf> {
    ["entra_optscim", "okta_aiw", "authentik"].iter().filter_map(|name| shared(&format!("idp/{name}.yaml"))).collect()
}

#[test]
fn every_dialogue() {
    let mut problems = Vec::new();
    for dialogue in ours().into_iter().chain(captured()) {
        let database = database();
        let service = Service::start(&database, Options::adapter("adapters/template.yaml"));
        let outcome = replay(&dialogue, &mut service.client().anonymous(), service.token());
        let name = dialogue.file_stem().unwrap_or_default().display().to_string();
        if !outcome.failures.is_empty() {
            problems.push(format!("{}\n{}", dialogue.display(), outcome.failures.join("\n")));
            continue;
        }
        report("suite", &format!("{name} on the template's application on Postgres: {} steps", outcome.steps));
        // Nobody is signed in who was switched off, and each change of a person is in the application's own record.
        let bare = "SELECT COUNT(*) FROM users u WHERE NOT EXISTS \
                    (SELECT 1 FROM audit_log l WHERE l.user_id = u.id AND l.action = 'created')";
        assert_eq!(database.count(bare), 0, "{name}");
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
