//! What the database server says it received: the statements of one database's login, read from the server's own log.
//!
//! MariaDB's general log notes a prepared statement's text when it is prepared (with `?`) and each execution with its
//! values filled in; PostgreSQL's log notes each execution with the text as sent (`$1`). So executions count statements,
//! and the prepared texts are the templates.

use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Seek, SeekFrom};

use super::databases::{Database, Engine};

/// A place in a server's log.
#[derive(Debug, Clone, Copy)]
pub struct Mark(u64);

/// What a login's sessions sent between a mark and now.
#[derive(Debug, Default, Clone)]
pub struct Statements {
    /// Each statement run, in order; transaction control included.
    pub executed: Vec<String>,
    /// The texts as the client sent them, placeholders unfilled.
    pub templates: BTreeSet<String>,
}

impl Statements {
    /// Without what the service asks of its own accord now and then: which tokens are revoked, what keys there are for
    /// cursors, whether a connection that was idle still lives, and what a new connection is set to.
    fn of_requests(mut self) -> Statements {
        let background = |text: &str| {
            let of = |table: &str| text.contains(&format!("`{table}`")) || text.contains(&format!("\"{table}\""));
            let setting = text.starts_with("SET ") && !text.starts_with("SET TRANSACTION ");
            let asked = text.contains("server_version_num") || text.contains("@@global.read_only");
            of("tokens") || of("signing_keys") || text.trim() == "SELECT 1" || setting || asked
        };
        self.executed.retain(|text| !background(text));
        self.templates.retain(|text| !background(text));
        self
    }

    /// Those run that are not transaction control, session settings or pings.
    pub fn work(&self) -> usize {
        self.executed.iter().filter(|text| !is_control(text)).count()
    }
}

/// The end of the log, now.
pub fn mark(database: &Database) -> Mark {
    let log = database.log().expect("a server with a log");
    Mark(std::fs::metadata(log).expect("the server's log").len())
}

/// What `database`'s login has sent since `mark`.
pub fn since(database: &Database, mark: Mark) -> Statements {
    let mut file = std::fs::File::open(database.log().expect("a server with a log")).expect("the server's log opens");
    let mut bytes = Vec::new();
    match database.engine {
        Engine::MariaDb => {
            // From its start, since a session's login stands where it connected.
            file.read_to_end(&mut bytes).expect("the server's log reads");
            mariadb(&database.name, &bytes, mark.0).of_requests()
        }
        Engine::Postgres => {
            file.seek(SeekFrom::Start(mark.0)).expect("the mark");
            file.read_to_end(&mut bytes).expect("the server's log reads");
            postgres(&database.name, &String::from_utf8_lossy(&bytes)).of_requests()
        }
        Engine::Sqlite => unreachable!("SQLite has no server"),
    }
}

/// A template with its lists of values, however long, as one: a list is as long as a page at most.
pub fn shape(template: &str) -> String {
    let list = regex::Regex::new(r"IN \((?:CAST\([^()]*\)|[?]|\$\d+)(?:, ?(?:CAST\([^()]*\)|[?]|\$\d+))*\)")
        .expect("a pattern");
    let numbers = regex::Regex::new(r"\$\d+").expect("a pattern");
    numbers.replace_all(&list.replace_all(template, "IN (..)"), "$").into_owned()
}

/// Whether a statement begins or ends a transaction, or sets something.
pub fn is_control(text: &str) -> bool {
    let first =
        text.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default().to_ascii_uppercase();
    matches!(first.as_str(), "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "SET" | "SHOW" | "")
}

/// An entry: `TIME<TAB>  THREAD COMMAND<TAB>TEXT`, a tab for the time where it repeats; other lines continue the text.
fn mariadb(login: &str, bytes: &[u8], from: u64) -> Statements {
    let head = regex::bytes::Regex::new(r"^(?:\d{6} [ \d]\d:\d\d:\d\d|\t)\t *(\d+) (Connect|Query|Prepare|Execute|Close stmt|Quit|Init DB|Ping|Reset stmt|Reset connection|Statistics|Field List|Change user|Kill|Long Data|Fetch|Shutdown|Set option|Error)\t?")
        .expect("a pattern");
    let mut logins: HashMap<Vec<u8>, bool> = HashMap::new();
    let mut found = Statements::default();
    let mut current: Option<(String, String)> = None;
    let mut flush = |entry: Option<(String, String)>| {
        let Some((command, text)) = entry else { return };
        match command.as_str() {
            "Execute" => found.executed.push(text),
            "Prepare" => {
                found.templates.insert(text);
            }
            "Query" => {
                found.templates.insert(text.clone());
                found.executed.push(text);
            }
            _ => {}
        }
    };
    let mut offset = 0_u64;
    // What stands behind the last line end is a line that is being written.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &bytes[..end]);
    for line in whole.split(|byte| *byte == b'\n') {
        let here = offset;
        offset += u64::try_from(line.len()).expect("a length") + 1;
        if let Some(captures) = head.captures(line) {
            flush(current.take());
            let (thread, command) = (captures[1].to_vec(), String::from_utf8_lossy(&captures[2]).into_owned());
            let text = String::from_utf8_lossy(&line[captures[0].len()..]).into_owned();
            if command == "Connect" {
                logins.insert(thread.clone(), text.starts_with(&format!("{login}@")));
            }
            if here >= from && logins.get(&thread).copied().unwrap_or(false) {
                current = Some((command, text));
            }
        } else if let Some((_, text)) = &mut current {
            text.push('\n');
            text.push_str(&String::from_utf8_lossy(line));
        }
    }
    flush(current.take());
    found
}

/// An entry: `LOGIN|PID|LOG:  execute NAME: TEXT` or `LOGIN|PID|LOG:  statement: TEXT`; lines with a tab continue it.
fn postgres(login: &str, log: &str) -> Statements {
    let mut found = Statements::default();
    let mut texts: Vec<String> = Vec::new();
    let mut ours = false;
    for line in log.lines() {
        if let Some(rest) = line.strip_prefix('\t') {
            if let (true, Some(text)) = (ours, texts.last_mut()) {
                text.push('\n');
                text.push_str(rest);
            }
            continue;
        }
        ours = false;
        let Some(rest) = line.strip_prefix(login).and_then(|rest| rest.strip_prefix('|')) else {
            continue;
        };
        let Some((_, entry)) = rest.split_once("|LOG:  ") else {
            continue;
        };
        let text = match entry.strip_prefix("statement: ") {
            Some(text) => text,
            None => match entry.strip_prefix("execute ").and_then(|entry| entry.split_once(": ")) {
                Some((_, text)) => text,
                None => continue,
            },
        };
        ours = true;
        texts.push(text.to_owned());
    }
    found.templates.extend(texts.iter().cloned());
    found.executed = texts;
    found
}
