//! `scimshim log`: the journal, for people and for scripts. It reads and never writes.

mod show;

use super::common::{Failure, load};
use super::duration;
use crate::config::Config;
use crate::own::{JournalFilter, Own, RequestRow};
use crate::server::assemble::open;
use crate::server::log::colour;
use crate::sql::{Connection, Database, Error, Isolation};
use chrono::{DateTime, NaiveDate, Utc};
use clap::Args;
use show::{Output, Style};
use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How often `--follow` looks.
const APART: Duration = Duration::from_secs(1);
/// Clocks of processes differ, and a request is journalled when it ends: so much later, over the longest a request takes, one
/// that came earlier may still appear.
const LATE: Duration = Duration::from_secs(60);

/// What may be asked.
#[derive(Args)]
pub struct Arguments {
    /// Only requests of this identity server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Go on with what comes, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// Only requests about this resource: its SCIM id, or TYPE/ID such as User/42
    #[arg(long, value_name = "ID")]
    resource: Option<String>,
    /// One request whole, with every row it changed, before and after; of a bulk request its operations
    #[arg(long, value_name = "REQUEST-ID", conflicts_with_all = ["follow", "since", "limit", "resource", "server"])]
    request: Option<String>,
    /// From this long ago (90m, 2d) or this instant (2026-02-03, 2026-02-03T04:05:06Z) on
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<DateTime<Utc>>,
    /// The last so many requests [default: 50, with --since all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Only requests that changed rows
    #[arg(long)]
    changing: bool,
    /// One JSON object a line, with the rows changed
    #[arg(long)]
    json: bool,
}

/// Prints the journal.
pub fn run(given: Option<PathBuf>, arguments: &Arguments) -> Result<(), Failure> {
    let config = load(given)?;
    if let Some(name) = &arguments.server
        && config.identity_server(name).is_none()
    {
        // One that was taken out of the configuration still has its past.
        super::common::say(&format!("scimshim: the configuration has no identity server `{name}` (any more)"));
    }
    let database = open(&config)?;
    let own = Own::new(database.dialect(), &config.own_schema);
    ready(&config, database.as_ref(), &own)?;
    let style = match arguments.json {
        true => Style::Json,
        false if arguments.request.is_some() => Style::Whole,
        false => Style::Line,
    };
    let mut journal = Journal { database, own, output: Output::new(style, colour(std::io::stdout().is_terminal())) };
    match journal.print(&config, arguments) {
        // Who reads has seen enough.
        Err(Failure::Said) => Ok(()),
        outcome => outcome,
    }
}

fn ready(config: &Config, database: &dyn Database, own: &Own) -> Result<(), Failure> {
    let mut missing = None;
    database.with(&mut |connection| {
        missing = own.is_ready(connection).err();
        Ok(())
    })?;
    match missing {
        // Who only reads the journal needs no more than that.
        None | Some(crate::own::Missing::Rights(_)) => Ok(()),
        Some(crate::own::Missing::Database(error)) => Err(error.into()),
        Some(missing) => Err(Failure::Message(format!(
            "{missing} (`scimshim setup --apply --config {}` makes them what this scimshim needs, in `{}`)",
            config.path.display(),
            config.own_schema
        ))),
    }
}

struct Journal {
    database: Arc<dyn Database>,
    own: Own,
    output: Output,
}

impl Journal {
    fn print(&mut self, config: &Config, arguments: &Arguments) -> Result<(), Failure> {
        let filter = JournalFilter {
            server: arguments.server.clone(),
            resource: arguments.resource.as_deref().map(resource),
            since: arguments.since.map(|since| since.timestamp_micros()),
            request: arguments.request.clone(),
            changing: arguments.changing,
        };
        let everything = arguments.since.is_some() || arguments.request.is_some();
        let limit = arguments.limit.unwrap_or(if everything { u64::from(u32::MAX) } else { 50 });
        let reach = config.limits.request_timeout + LATE;
        // What comes while the past is printed is not missed: it is looked for from before.
        let mut last = Utc::now();
        let past = self.read(|own, connection| own.journalled(connection, &filter, limit))?;
        if past.is_empty()
            && let Some(id) = &arguments.request
        {
            return Err(Failure::Message(format!(
                "the journal has no request `{id}`: it was never one of this service, changed nothing where \
                 `save_requests` is none, or is older than `journal.retain`"
            )));
        }
        let mut seen: HashMap<String, DateTime<Utc>> =
            past.iter().map(|request| (request.id.clone(), at(request.at))).collect();
        self.show(past.into_iter().rev())?;
        if !arguments.follow {
            return self.output.flush();
        }
        // What was there before is not news, printed or not.
        let before = self.recent(&filter, last, reach)?;
        if arguments.limit.is_some() || arguments.since.is_none() {
            seen.extend(before.into_iter().map(|id| (id, last)));
        }
        self.output.flush()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        while runtime.block_on(patience())? {
            let now = Utc::now();
            let recent = self.recent(&filter, last, reach)?;
            let new: Vec<String> = recent.into_iter().filter(|id| !seen.contains_key(id)).collect();
            let requests = self.read(|own, connection| own.journalled_by_id(connection, &new))?;
            seen.extend(requests.iter().map(|request| (request.id.clone(), now)));
            self.show(requests.into_iter())?;
            self.output.flush()?;
            last = now;
            seen.retain(|_, seen| now.signed_duration_since(*seen).to_std().is_ok_and(|age| age < reach * 3));
        }
        Ok(())
    }

    /// The ids of requests that may have been journalled since `last`.
    fn recent(&self, filter: &JournalFilter, last: DateTime<Utc>, reach: Duration) -> Result<Vec<String>, Failure> {
        let since = last.timestamp_micros().saturating_sub(i64::try_from(reach.as_micros()).unwrap_or(i64::MAX));
        let filter = JournalFilter { since: Some(filter.since.unwrap_or(since).max(since)), ..filter.clone() };
        self.read(|own, connection| own.journalled_ids(connection, &filter))
    }

    fn show(&mut self, requests: impl Iterator<Item = RequestRow>) -> Result<(), Failure> {
        for request in requests {
            let (database, own) = (Arc::clone(&self.database), self.own.clone());
            let mut changes = |behind: i64| {
                let mut found = Vec::new();
                database.with(&mut |connection| {
                    found = own.changes(connection, &request.id, behind, 500)?;
                    Ok(())
                })?;
                Ok(found)
            };
            self.output.request(&request, &mut changes)?;
        }
        Ok(())
    }

    fn read<T: Default>(
        &self,
        mut work: impl FnMut(&Own, &mut dyn Connection) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let mut found = T::default();
        self.database.with(&mut |connection| {
            connection.begin(Isolation::Snapshot)?;
            found = work(&self.own, connection)?;
            connection.commit()
        })?;
        Ok(found)
    }
}

/// A moment; false where the program is to end.
async fn patience() -> Result<bool, Failure> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(tokio::select! {
        () = tokio::time::sleep(APART) => true,
        _ = interrupt.recv() => false,
        _ = terminate.recv() => false,
    })
}

/// Microseconds since 1970.
fn at(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// `42`, `User/42`, `/Users/42`.
fn resource(text: &str) -> (Option<String>, String) {
    match text.trim_start_matches('/').split_once('/') {
        Some((type_, id)) if !type_.is_empty() && !id.is_empty() => {
            let singular = type_.strip_suffix('s').filter(|_| text.starts_with('/'));
            (Some(singular.unwrap_or(type_).to_owned()), id.to_owned())
        }
        _ => (None, text.to_owned()),
    }
}

/// `90m`, `2026-02-03`, `2026-02-03T04:05:06Z`.
fn since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(ago) = duration::parse(text) {
        return Ok(Utc::now() - ago);
    }
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    let instant = DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc());
    instant.map_err(|_| format!("`{text}` is neither how long ago (90m, 2d) nor an instant (2026-02-03T04:05:06Z)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for() {
        assert_eq!(resource("42"), (None, "42".to_owned()));
        assert_eq!(resource("User/42"), (Some("User".to_owned()), "42".to_owned()));
        assert_eq!(resource("/Users/42"), (Some("User".to_owned()), "42".to_owned()));
        assert_eq!(resource("/42"), (None, "/42".to_owned()));
        assert_eq!(since("2026-02-03").unwrap().to_rfc3339(), "2026-02-03T00:00:00+00:00");
        assert_eq!(since("2026-02-03T04:05:06+01:00").unwrap().to_rfc3339(), "2026-02-03T03:05:06+00:00");
        assert!(since("2d").unwrap() < Utc::now() - chrono::Duration::hours(47));
        assert!(since("yesterday").is_err());
    }
}
