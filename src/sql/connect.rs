//! Making a connection: host by host, within a time limit, with the session's settings, and with proof of
//! encryption where it was asked for.

use super::address::Address;
use super::connection::{Connection, Row};
use super::error::{Error, Failure};
use super::failure;
use super::pool::Options;
use super::render::JsonGuard;
use super::session::{Pooled, Session};
use super::value::{Dialect, Value};
use diesel::connection::Connection as _;
use diesel::mysql::MysqlConnection;
use diesel::pg::PgConnection;
use diesel::sqlite::SqliteConnection;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// Attempts that were given up on but still hang in the client library, at most.
const MAX_ABANDONED: u32 = 32;

static UNDER_WAY: AtomicU32 = AtomicU32::new(0);

pub(super) fn connect(address: &Address, options: &Options, epoch: u64) -> Result<Box<dyn Pooled>, Error> {
    match address {
        Address::Mysql { urls, database } => mysql(urls, database.as_deref(), options, epoch),
        Address::Postgres(text) => postgres(text, options, epoch),
        Address::Sqlite(path) => sqlite(path, options, epoch),
    }
}

fn mysql(urls: &[String], database: Option<&str>, options: &Options, epoch: u64) -> Result<Box<dyn Pooled>, Error> {
    let mut last = Error::new(Failure::Connection, "the database URL names no host");
    for url in urls {
        match mysql_host(url, database, options, epoch, urls.len() > 1) {
            Ok(session) => return Ok(session),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn mysql_host(
    url: &str,
    database: Option<&str>,
    options: &Options,
    epoch: u64,
    one_of_several: bool,
) -> Result<Box<dyn Pooled>, Error> {
    let inner = within(options.connect_timeout, url.to_owned())?;
    let mut session = Session::new(inner, epoch);
    prove_client(|sql| session.text(sql, &[]))?;
    let proven = url.contains("ssl_ca=") || url.contains("ssl_mode=required") || url.contains("ssl_mode=verify");
    if proven {
        // MariaDB's client library connects in plain text rather than fail.
        let cipher = session.text("SHOW STATUS LIKE 'Ssl_cipher'", &[])?;
        let cipher = cipher.first().and_then(|row| row.0.get(1)).and_then(Value::to_text).unwrap_or_default();
        if cipher.is_empty() {
            return Err(Error::new(Failure::Connection, "the connection to the database is not encrypted: refused"));
        }
    }
    if one_of_several {
        let read_only = session.text("SELECT @@global.read_only", &[])?;
        // A number, and a word from MariaDB 12 on, where there are ways of being read only.
        let read_only = read_only.first().and_then(|row| row.0.first()).and_then(Value::to_text).unwrap_or_default();
        if !matches!(read_only.as_str(), "0" | "OFF") {
            return Err(Error::new(Failure::ReadOnly, "every database host that answers is read only"));
        }
        // A node of Galera that lost its cluster takes connections, and refuses what would touch a table. A server that is
        // no such node is never ready for it, and says so too.
        let says = |session: &mut Session<_>, sql: &str, word: &str| -> Result<bool, Error> {
            let rows = session.text(sql, &[])?;
            Ok(rows.first().and_then(|row| row.0.get(1)).and_then(Value::to_text).is_some_and(|said| said == word))
        };
        if says(&mut session, "SHOW STATUS LIKE 'wsrep_ready'", "OFF")?
            && says(&mut session, "SHOW VARIABLES LIKE 'wsrep_on'", "ON")?
        {
            return Err(Error::new(Failure::Connection, "no Galera node that answers is ready"));
        }
    }
    session.batch(&mysql_settings(options))?;
    if let Some(database) = database {
        session.batch(&format!("USE `{}`", database.replace('`', "``")))?;
    }
    Ok(Box::new(session))
}

/// MariaDB Connector/C 3.3.19 and 3.4.9 give every text that Diesel fetches back as an empty one (CONC-821), and Debian and
/// others have shipped them. Whoever believed that would write over rows that are not empty: better no connection. Asked
/// once, as the library stays the same while the process runs.
fn prove_client(ask: impl FnOnce(&str) -> Result<Vec<Row>, Error>) -> Result<(), Error> {
    static PROVEN: AtomicBool = AtomicBool::new(false);
    if !PROVEN.load(Ordering::Relaxed) {
        gives_what_it_got(&ask("SELECT 'as it was sent'")?)?;
        PROVEN.store(true, Ordering::Relaxed);
    }
    Ok(())
}

fn gives_what_it_got(rows: &[Row]) -> Result<(), Error> {
    if rows.first().and_then(|row| row.0.first()).and_then(Value::to_text).as_deref() == Some("as it was sent") {
        return Ok(());
    }
    Err(Error::new(
        Failure::Connection,
        "MariaDB's client library on this machine gives texts back empty, a bug of its versions 3.3.19 and 3.4.9 (CONC-821): \
         install a newer libmariadb3 (mariadb-connector-c on Red Hat's systems)",
    ))
}

/// The versioned comments are read by MariaDB alone and by MySQL alone. Diesel sets the session's time
/// zone to UTC; it goes back to the server's, as the application sees it. Each EXISTS is a table to MariaDB's planner, which
/// by default tries all orders of up to 62: a filter of a dozen conditions about members took it longer than the statement may.
fn mysql_settings(options: &Options) -> String {
    let lock = options.lock_timeout.as_secs().max(1);
    let seconds = options.statement_timeout.as_secs_f64();
    let millis = options.statement_timeout.as_millis();
    let strict = if options.strict { ", SESSION sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'" } else { "" };
    format!(
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET NAMES utf8mb4; \
         SET SESSION time_zone = DEFAULT, SESSION lc_messages = 'en_US', SESSION autocommit = 1, \
         SESSION optimizer_search_depth = 4, SESSION innodb_lock_wait_timeout = {lock}{strict} \
         /*M!100100 , SESSION max_statement_time = {seconds:.3} */ \
         /*!50708 , SESSION max_execution_time = {millis} */"
    )
}

/// Diesel's MySQL connections know no connect timeout: the attempt is made by a thread of its own, which
/// is left behind when it takes too long and ends when the operating system gives up.
fn within(timeout: Duration, url: String) -> Result<MysqlConnection, Error> {
    if UNDER_WAY.fetch_add(1, Ordering::Relaxed) >= MAX_ABANDONED {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        return Err(Error::new(Failure::Connection, "too many attempts to connect to the database hang"));
    }
    let (sender, receiver) = mpsc::sync_channel(1);
    let started = std::thread::Builder::new().name("mysql-connect".to_owned()).spawn(move || {
        let outcome = MysqlConnection::establish(&url);
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        // Where nobody waits any more the connection is closed here.
        let _ = sender.send(outcome);
    });
    if let Err(error) = started {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        return Err(Error::new(Failure::Connection, format!("no thread to connect with: {error}")));
    }
    match receiver.recv_timeout(timeout) {
        Ok(outcome) => outcome.map_err(|error| failure::of_connecting(Dialect::Mysql, error)),
        Err(_) => Err(Error::new(
            Failure::Connection,
            format!("the database did not answer within {} ms", timeout.as_millis()),
        )),
    }
}

fn postgres(text: &str, options: &Options, epoch: u64) -> Result<Box<dyn Pooled>, Error> {
    let inner = PgConnection::establish(text).map_err(|error| failure::of_connecting(Dialect::Postgres, error))?;
    let mut session = Session::new(inner, epoch);
    session.batch(&format!(
        "SET TIME ZONE DEFAULT; SET standard_conforming_strings = on; SET client_encoding = 'UTF8'; \
         SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED; \
         SET statement_timeout = {}; SET lock_timeout = {}",
        options.statement_timeout.as_millis(),
        options.lock_timeout.as_millis(),
    ))?;
    let facts = session.text(
        "SELECT CAST(current_setting('server_version_num') AS integer), current_setting('lc_messages'), \
         (SELECT s.ssl FROM pg_catalog.pg_stat_ssl s WHERE s.pid = pg_backend_pid())",
        &[],
    )?;
    let fact = |index: usize| facts.first().and_then(|Row(values)| values.get(index)).cloned().unwrap_or_default();
    // Unix sockets ignore sslmode.
    if options.tls.is_some() && fact(2) != Value::Bool(true) {
        return Err(Error::new(Failure::Connection, "the connection to the database is not encrypted: refused"));
    }
    if fact(0).as_int().is_some_and(|version| version >= 160_000) {
        session.set_json_guard(JsonGuard::InputIsValid);
    }
    let language = fact(1).to_text().unwrap_or_default();
    let english = language.is_empty() || language.starts_with('C') || language == "POSIX" || language.starts_with("en");
    if !english && session.batch("SET lc_messages = 'C'").is_err() {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            tracing::warn!(
                lc_messages = language,
                "PostgreSQL's messages are not English, so deadlocks and missing columns are not recognised; \
                 let an administrator run: ALTER ROLE <scimshim's role> SET lc_messages = 'C'"
            );
        });
    }
    Ok(Box::new(session))
}

mod exact {
    // The macro declares more than is used here.
    #![allow(missing_docs, reason = "made by the macro")]

    use diesel::sql_types::{Nullable, Text};

    diesel::define_sql_function!(fn unicode_lower(text: Nullable<Text>) -> Nullable<Text>);
    diesel::define_sql_function!(fn html_decoded(text: Nullable<Text>, separator: Nullable<Text>) -> Nullable<Text>);
    diesel::define_sql_function!(fn exact_like(text: Nullable<Text>, pattern: Nullable<Text>) -> Nullable<diesel::sql_types::Bool>);
}

fn sqlite(path: &str, options: &Options, epoch: u64) -> Result<Box<dyn Pooled>, Error> {
    let mut inner = SqliteConnection::establish(path).map_err(|error| {
        let error = failure::of_connecting(Dialect::Sqlite, error);
        Error { message: format!("{path}: {}", error.message), ..error }
    })?;
    exact::exact_like_utils::register_impl(&mut inner, |text: Option<String>, pattern: Option<String>| {
        Some(like(&text?, &pattern?))
    })
    .map_err(|error| failure::of_statement(Dialect::Sqlite, error).error)?;
    exact::unicode_lower_utils::register_impl(&mut inner, |text: Option<String>| Some(lower(&text?)))
        .map_err(|error| failure::of_statement(Dialect::Sqlite, error).error)?;
    exact::html_decoded_utils::register_impl(&mut inner, |text: Option<String>, separator: Option<String>| {
        Some(super::entities::decoded(&text?, separator.as_deref()).into_owned())
    })
    .map_err(|error| failure::of_statement(Dialect::Sqlite, error).error)?;
    let mut session = Session::new(inner, epoch);
    session.batch(&format!("PRAGMA busy_timeout = {}", options.lock_timeout.as_millis()))?;
    // A file that may only be read, or that another process holds just now, stays as it is.
    match session.batch("PRAGMA journal_mode = WAL") {
        Err(error) if !matches!(error.failure, Failure::ReadOnly | Failure::Retry) => return Err(error),
        _ => {}
    }
    session.batch("PRAGMA synchronous = NORMAL")?;
    Ok(Box::new(session))
}

/// Lower case letter by letter, as databases do it: no letter becomes two, and a sigma is a sigma wherever it stands.
fn lower(text: &str) -> String {
    text.chars().filter_map(|c| c.to_lowercase().next()).collect()
}

/// LIKE, minding case; `!` escapes.
fn like(text: &str, pattern: &str) -> bool {
    enum Part {
        Any,
        One,
        Exactly(char),
    }
    let mut parts = Vec::new();
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        parts.push(match c {
            '%' => Part::Any,
            '_' => Part::One,
            '!' => Part::Exactly(characters.next().unwrap_or('!')),
            c => Part::Exactly(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    // Greedy with one point to come back to: the last %.
    let (mut at, mut part) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        match (parts.get(part), text.get(at)) {
            (None, None) => return true,
            (Some(Part::Any), _) => {
                back = Some((part + 1, at));
                part += 1;
            }
            (Some(Part::One), Some(_)) => (part, at) = (part + 1, at + 1),
            (Some(Part::Exactly(wanted)), Some(c)) if wanted == c => (part, at) = (part + 1, at + 1),
            (_, _) => match back {
                Some((next, start)) if start < text.len() => {
                    back = Some((next, start + 1));
                    (part, at) = (next, start + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Value, gives_what_it_got, like};

    #[test]
    fn a_client_library_that_gives_empty_texts_is_not_believed() {
        let rows = |text: &str| vec![Row(vec![Value::Text(text.to_owned())])];
        assert!(gives_what_it_got(&rows("as it was sent")).is_ok());
        for rows in [rows(""), rows("as it"), vec![Row(vec![Value::Null])], Vec::new()] {
            let error = gives_what_it_got(&rows).unwrap_err().to_string();
            assert!(error.contains("install a newer libmariadb3"), "{error}");
        }
    }

    #[test]
    fn like_minds_case_and_escapes() {
        for (text, pattern, expected) in [
            ("abc", "abc", true),
            ("Abc", "abc", false),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abcabd", "%ab_", true),
            ("a%c", "a!%c", true),
            ("abc", "a!%c", false),
            ("", "%", true),
            ("", "_", false),
            ("größe", "gr__", false),
            ("größe", "gr___", true),
        ] {
            assert_eq!(like(text, pattern), expected, "{text} LIKE {pattern}");
        }
    }
}
