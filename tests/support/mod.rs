//! What every black-box test stands on: private databases, the real binary as a service, a client that sends what it is
//! told to send, dialogues of identity providers, and what the database servers say they received.
//!
//! Nothing here uses the program's own library: a test knows scimshim as its users do, by command line, HTTPS and rows.

#![allow(dead_code, reason = "the tests and the benchmark each use a part")]

pub mod client;
pub mod databases;
pub mod difference;
pub mod issuer;
pub mod journal;
pub mod ledger;
pub mod replay;
pub mod servers;
pub mod service;
pub mod statements;

use std::io::Write;
use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository, by its path from the root.
pub fn file(path: &str) -> PathBuf {
    let path = repository().join(path);
    assert!(path.exists(), "{} is not there", path.display());
    path
}

/// A file of the folder `../shared` (real application schemas, captured dialogues), which a user's clone does not have.
pub fn shared(path: &str) -> Option<PathBuf> {
    let path = repository().join("../shared").join(path);
    path.exists().then_some(path)
}

/// Notes that `case` has run, and passed, on a real application's schema: `make test` ends by counting these.
pub fn real_case(case: &str) {
    if let Some(file) = std::env::var_os("SCIMSHIM_TEST_CASES") {
        let mut file =
            std::fs::OpenOptions::new().append(true).create(true).open(file).expect("the file of cases opens");
        file.write_all(format!("{case}\n").as_bytes()).expect("the file of cases takes a line");
    }
}

/// A size of a test that the environment may raise: `make test` runs small, `make acceptance` at full size.
pub fn size(variable: &str, otherwise: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")),
        Err(_) => otherwise,
    }
}

/// Writes a paragraph to the report of the acceptance run, when there is one (`SCIMSHIM_TEST_REPORT` names the file).
/// One line, `KEY<TAB>TEXT`: scripts/acceptance puts TEXT into the row of its table that KEY names.
pub fn report(key: &str, text: &str) {
    println!("{key}: {text}");
    if let Some(file) = std::env::var_os("SCIMSHIM_TEST_REPORT") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).expect("the report opens");
        file.write_all(format!("{key}\t{text}\n").as_bytes()).expect("the report takes a line");
    }
}
