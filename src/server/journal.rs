//! The journal beside the requests: those that were refused, or only read, are written a moment after their answer, so that
//! nobody waits for it; and what is older than `journal.retain` is deleted, in small transactions, by one process at a time.
//! Which counts Digest's clients used is forgotten by the same hand, once nobody takes their nonces any more.
//!
//! What changed something never comes here: its own transaction journals it, or does not commit.

use super::service::Service;
use super::state::App;
use crate::config::Config;
use crate::directory::{Directory, Later};
use crate::own::{Own, RequestRow};
use crate::sql::{Connection, Error, Failure, Isolation};
use chrono::Utc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Entries that wait to be written, at most. While the database is away they wait here.
const WAITING: usize = 8192;
/// Entries written by one transaction.
const TOGETHER: usize = 200;
/// Who prunes is known for so long; a process that died lets another have it then.
const LEASE: Duration = Duration::from_secs(60);
const LEASE_NAME: &str = "journal";
/// How often it is looked for what is old, at least; and where somebody uses Digest, each request of which leaves a row.
const OFTEN: Duration = Duration::from_secs(3600);
const OFTEN_WITH_DIGEST: Duration = Duration::from_secs(60);
/// How often it is seen whether a reload has changed that.
const GLANCE: Duration = Duration::from_secs(5);
/// Between two transactions that delete.
const BREATH: Duration = Duration::from_millis(20);
/// How long a stopping service waits for the last entries.
const LAST: Duration = Duration::from_secs(5);

/// One entry to be written.
struct Item {
    row: RequestRow,
    /// It stands in the journal, and only what the client was told is new.
    is_there: bool,
}

enum Message {
    Entry(Box<Item>),
    /// Everything before it is to be written, and that said.
    Finish(oneshot::Sender<()>),
}

/// Where entries wait.
pub struct Queue {
    sender: mpsc::Sender<Message>,
    lost: AtomicU64,
}

/// The other end of a [`Queue`].
pub struct Waiting(mpsc::Receiver<Message>);

impl Queue {
    /// An empty one.
    pub fn new() -> (Arc<Self>, Waiting) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Arc::new(Self { sender, lost: AtomicU64::new(0) }), Waiting(receiver))
    }

    /// Waits until what was entered before is written, but not for ever.
    pub async fn finish(&self) {
        let (done, waits) = oneshot::channel();
        let finished = async {
            if self.sender.send(Message::Finish(done)).await.is_ok() {
                let _ = waits.await;
            }
        };
        if tokio::time::timeout(LAST, finished).await.is_err() {
            tracing::warn!(
                "the last entries of the journal could not be written: the database did not take them in time"
            );
        }
    }
}

impl Later for Queue {
    fn journal(&self, row: RequestRow, is_there: bool) {
        if self.sender.try_send(Message::Entry(Box::new(Item { row, is_there }))).is_err() {
            metrics::counter!("scimshim_journal_lost_total").increment(1);
            // The first, and then each thousandth: a database that is away is no reason to fill the disk.
            if self.lost.fetch_add(1, Relaxed).is_multiple_of(1000) {
                tracing::warn!(
                    lost = self.lost.load(Relaxed),
                    "requests that changed nothing are not journalled: too many wait for the database"
                );
            }
        }
    }
}

/// Writes what comes, for as long as the service lives.
pub async fn keep(service: Arc<Service>, mut waiting: Waiting) {
    while let Some(first) = waiting.0.recv().await {
        let (mut items, mut finished) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Entry(item) => items.push(*item),
                Message::Finish(done) => finished.push(done),
            }
            next = if items.len() < TOGETHER { waiting.0.try_recv().ok() } else { None };
        }
        let mut patience = Duration::from_millis(100);
        while !items.is_empty() {
            items = match write(&service.app(), items).await {
                Ok(()) => Vec::new(),
                Err(left) => left,
            };
            if !items.is_empty() {
                tokio::time::sleep(patience).await;
                patience = (patience * 2).min(Duration::from_secs(5));
            }
        }
        for done in finished {
            let _ = done.send(());
        }
    }
}

/// Writes entries; `Err` has those that could not be now.
async fn write(app: &Arc<App>, items: Vec<Item>) -> Result<(), Vec<Item>> {
    let Some(directory) = directory(app) else { return Err(items) };
    let Ok(permit) = app.connection().await else { return Err(items) };
    let written = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        match together(&directory, &items) {
            Ok(()) => Ok(()),
            Err(error) if may_pass(&error) => {
                tracing::debug!(cause = %error, "the journal waits for the database");
                Err(items)
            }
            // One of them is at fault: the others are not to be lost with it.
            Err(_) => one_by_one(&directory, items),
        }
    });
    match written.await {
        Ok(outcome) => outcome,
        Err(panic) => {
            tracing::error!(%panic, "writing to the journal failed");
            Ok(())
        }
    }
}

fn together(directory: &Directory, items: &[Item]) -> Result<(), Error> {
    let own = directory.own();
    in_transaction(directory, &mut |connection| {
        let new: Vec<RequestRow> = items.iter().filter(|item| !item.is_there).map(|item| item.row.clone()).collect();
        own.journal(connection, &new, &[])?;
        for item in items.iter().filter(|item| item.is_there) {
            own.journal_told(connection, &item.row.id, item.row.answered.unwrap_or(item.row.status))?;
        }
        Ok(())
    })
}

fn one_by_one(directory: &Directory, items: Vec<Item>) -> Result<(), Vec<Item>> {
    let mut left = Vec::new();
    for item in items {
        match alone(directory, &item) {
            Ok(()) => {}
            Err(error) if may_pass(&error) => left.push(item),
            Err(error) => {
                metrics::counter!("scimshim_journal_lost_total").increment(1);
                tracing::error!(request = item.row.id, cause = %error, "a request cannot be journalled");
            }
        }
    }
    if left.is_empty() { Ok(()) } else { Err(left) }
}

fn alone(directory: &Directory, item: &Item) -> Result<(), Error> {
    match together(directory, std::slice::from_ref(item)) {
        // Its commit succeeded, although the database could not say so: it stands there with what it did.
        Err(error) if error.failure == Failure::Unique && !item.is_there => {
            let (own, row) = (directory.own(), &item.row);
            in_transaction(directory, &mut |connection| own.journal_told(connection, &row.id, row.status).map(|_| ()))
        }
        outcome => outcome,
    }
}

fn in_transaction(
    directory: &Directory,
    work: &mut dyn FnMut(&mut dyn Connection) -> Result<(), Error>,
) -> Result<(), Error> {
    directory.database().with(&mut |connection| {
        connection.begin(Isolation::Write)?;
        work(connection)?;
        connection.commit()
    })
}

/// Whether the database may take tomorrow what it does not take today.
fn may_pass(error: &Error) -> bool {
    !matches!(
        error.failure,
        Failure::Unique
            | Failure::ForeignKey
            | Failure::Constraint
            | Failure::Value
            | Failure::Refused
            | Failure::Other
    )
}

/// What works on the database, where it can be used.
fn directory(app: &App) -> Option<Arc<Directory>> {
    app.ready()?.servers.first().map(|served| Arc::clone(&served.directory))
}

/// Deletes what is too old, again and again.
pub async fn prune(service: Arc<Service>) {
    let holder = uuid::Uuid::new_v4().to_string();
    loop {
        rest(|| pause(&service.app().config), GLANCE).await;
        match pass(&service, &holder).await {
            Ok(0) => {}
            Ok(requests) => tracing::info!(requests, "the journal was pruned"),
            Err(why) => tracing::warn!(why, "the journal cannot be pruned"),
        }
    }
}

/// Sleeps for as long as `pause` says, which a reload may change.
async fn rest(pause: impl Fn() -> Duration, glance: Duration) {
    let began = Instant::now();
    loop {
        let left = pause().saturating_sub(began.elapsed());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(glance)).await;
    }
}

fn pause(config: &Config) -> Duration {
    let digest = config.identity_servers.iter().any(|server| server.authentication.digest.is_some());
    let most = if digest { OFTEN_WITH_DIGEST } else { OFTEN };
    (config.journal.retain / 24).clamp(Duration::from_secs(1), most)
}

/// Deletes all that is too old now; how many requests that were.
async fn pass(service: &Arc<Service>, holder: &str) -> Result<u64, String> {
    let mut deleted = 0;
    loop {
        let app = service.app();
        let Some(directory) = directory(&app) else { return Ok(deleted) };
        let permit = app.connection().await?;
        let (retain, holder) = (app.config.journal.retain, holder.to_owned());
        let part = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut part = (0, false);
            in_transaction(&directory, &mut |connection| {
                part = batch(directory.own(), connection, retain, &holder)?;
                Ok(())
            })
            .map(|()| part)
        });
        match part.await {
            Ok(Ok((requests, more))) => {
                metrics::counter!("scimshim_journal_pruned_total").increment(requests);
                deleted += requests;
                if !more {
                    return Ok(deleted);
                }
            }
            // Another took the lease for the first time, at the same moment.
            Ok(Err(error)) if error.failure == Failure::Unique => return Ok(deleted),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(panic) => return Err(panic.to_string()),
        }
        tokio::time::sleep(BREATH).await;
    }
}

fn batch(own: &Own, connection: &mut dyn Connection, retain: Duration, holder: &str) -> Result<(u64, bool), Error> {
    let now = Utc::now().timestamp_micros();
    let micros = |duration: Duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    if !own.lease(connection, LEASE_NAME, holder, now, now.saturating_add(micros(LEASE)))? {
        return Ok((0, false));
    }
    let (_, more_counts) = own.tidy_digest_counts(connection, now)?;
    let (requests, more) = own.prune_journal(connection, now.saturating_sub(micros(retain)))?;
    Ok((requests, more || more_counts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Digest that a reload switches on is tidied after a minute, not after what was left of an hour.
    #[tokio::test]
    async fn a_reload_shortens_the_rest() {
        let pause = Mutex::new(OFTEN);
        let began = Instant::now();
        let reload = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            *pause.lock().unwrap() = OFTEN_WITH_DIGEST / 600;
        };
        tokio::join!(rest(|| *pause.lock().unwrap(), Duration::from_millis(20)), reload);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let began = Instant::now();
        rest(|| Duration::from_millis(80), GLANCE).await;
        assert!(began.elapsed() >= Duration::from_millis(80));
    }
}
