//! What several verbs do: find and read the configuration, and say what went wrong.

use crate::config::{self, Config};
use crate::document::Findings;
use crate::server::assemble::Trouble;
use crate::server::log;
use crate::server::service::Failed;
use crate::sql;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

/// Why a verb failed, for the person at the terminal.
#[derive(Debug)]
pub enum Failure {
    /// Everything wrong with documents, with places.
    Findings(Findings),
    /// One sentence.
    Message(String),
    /// It was said already.
    Said,
}

impl Failure {
    /// To stderr.
    pub fn print(&self) {
        if !log::flush() {
            return;
        }
        match self {
            Failure::Findings(findings) => print_findings(findings),
            Failure::Message(message) => say(&format!("scimshim: {message}")),
            Failure::Said => {}
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Findings(findings) => f.write_str(findings.render(false).trim_end()),
            Failure::Message(message) => f.write_str(message),
            Failure::Said => Ok(()),
        }
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Findings(findings) => Failure::Findings(findings),
            Failed::Message(message) => Failure::Message(message),
        }
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Failed::from(trouble).into()
    }
}

impl From<sql::Error> for Failure {
    fn from(error: sql::Error) -> Self {
        Failure::Message(format!("the database: {error}"))
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::Message(message)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Message(error.to_string())
    }
}

/// Whether the database lets its user in, and then may it not do what is asked: MySQL says so while it connects.
pub fn lacks_rights(error: &sql::Error) -> bool {
    error.failure == sql::Failure::Privilege
        || (error.message.starts_with("Access denied for user ") && error.message.contains(" to database "))
}

/// A line to stderr. A reader that went away is no reason to fail.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A line to stdout; an error where nobody takes it.
pub fn print(line: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{line}").map_err(|error| format!("stdout: {error}").into())
}

/// Findings to stderr.
pub fn print_findings(findings: &Findings) {
    let text = findings.render(log::colour(std::io::stderr().is_terminal()));
    let _ = write!(std::io::stderr(), "{text}");
}

/// Where the configuration is.
pub fn config_path(given: Option<PathBuf>) -> PathBuf {
    given
        .or_else(|| std::env::var_os("SCIMSHIM_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("/etc/scimshim/config.yaml"))
}

/// The configuration; warnings are printed, errors fail.
pub fn load(given: Option<PathBuf>) -> Result<Config, Failure> {
    let mut findings = Findings::new();
    match config::load(&config_path(given), &mut findings) {
        Some(config) => {
            print_findings(&findings);
            Ok(config)
        }
        None => Err(Failure::Findings(findings)),
    }
}
