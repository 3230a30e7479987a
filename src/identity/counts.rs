//! Which counts of Digest's nonces were used (`nc`, RFC 7616 3.4): each is good once, whichever process of the service sees it.
//!
//! A count is used by one INSERT into our own tables, under a unique key of nonce and count, that commits by itself before the
//! request goes on. Of two with the same count, in one process or in two, the database lets one in; nothing of it hangs on the
//! order in which counts come, or on when a process began. A row for each nonce, with a window of its last counts, would be
//! fewer rows, but each request of a client would wait for the row of the one before it, and late counts would be refused that
//! nobody used. Nonces that are good where they were made alone would need no row, and a load balancer that knows that.
//!
//! Before it stands a table in memory of what this process saw: a request that is played to it again costs the database
//! nothing. What that table does not know, the database is asked; so it is a matter of cost alone what falls out of it. A
//! proof that is wrong does not come here at all. A database that cannot be asked is no answer: never a count taken on trust,
//! never one called used.
//!
//! Rows are deleted some time after their nonce has ended (`server/journal.rs`).

use crate::own::Own;
use crate::sql::{Database, Error};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a nonce can be used, in microseconds.
pub(super) const LIFE: i64 = 300 * 1_000_000;
/// How long it is remembered as one of somebody who knows the password.
const KNOWN: i64 = 3600 * 1_000_000;
/// A clock of another process may be ahead by so much.
pub(super) const SKEW: i64 = 30 * 1_000_000;
/// The most nonces that are remembered: some 8 MB.
const MOST: usize = 65_536;
/// So many of a nonce's last counts are remembered here.
const WINDOW: u32 = 128;
/// The INSERT is tried so often where the database says that it may succeed then: nodes of a cluster find at their commit that
/// two had the same count.
const ATTEMPTS: u32 = 3;

/// A nonce that we gave: when, in microseconds since 1970, and what makes it the only one of its moment.
pub(super) type Nonce = (i64, [u8; 8]);

/// Now, as nonces have it.
pub(super) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// Where used counts are kept for all processes. It blocks.
pub trait Store: Send + Sync + 'static {
    /// Uses a count of a nonce, and remembers it until `expires_at` (microseconds since 1970); false where it was used before.
    fn take(&self, nonce: &str, nc: u32, expires_at: i64) -> Result<bool, Error>;
}

/// Our own tables, as far as counts go.
pub struct CountStore {
    database: Arc<dyn Database>,
    own: Own,
}

impl CountStore {
    /// In these tables.
    pub fn new(database: Arc<dyn Database>, own: Own) -> Self {
        Self { database, own }
    }
}

impl Store for CountStore {
    fn take(&self, nonce: &str, nc: u32, expires_at: i64) -> Result<bool, Error> {
        let mut attempt = 1;
        loop {
            let mut first = false;
            let asked = self.database.with(&mut |connection| {
                first = self.own.use_digest_count(connection, nonce, nc, expires_at)?;
                Ok(())
            });
            match asked {
                Err(error) if error.is_retryable() && attempt < ATTEMPTS => {
                    std::thread::sleep(Duration::from_millis(u64::from(attempt) * 10));
                    attempt += 1;
                }
                asked => return asked.map(|()| first),
            }
        }
    }
}

/// The used counts of all processes.
pub struct Counts {
    store: Arc<dyn Store>,
    /// So many ask at once.
    room: Arc<Semaphore>,
    patience: Duration,
}

impl Counts {
    /// Kept in `store`, which has `connections` to its database. Half of them are the most that are used here, so that those who
    /// wait for their count leave some to those who have it. Whoever has none after `patience` is told so.
    pub fn new(store: Arc<dyn Store>, connections: u32, patience: Duration) -> Self {
        let room = usize::try_from(connections / 2).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self { store, room: Arc::new(Semaphore::new(room)), patience }
    }

    /// Whether a count of a nonce is used for the first time, in time. From then on it is used. `Err`: why that cannot be
    /// known now.
    pub(super) async fn take(&self, seen: &Seen, nonce: Nonce, nc: u32) -> Result<bool, String> {
        if !lives(nonce, now()) || seen.has(nonce, nc) {
            return Ok(false);
        }
        let first = self.ask(nonce, nc).await?;
        seen.note(nonce, nc, now());
        // Asked again: a row that was written after the nonce's end may have followed one that was deleted by then.
        Ok(first && lives(nonce, now()))
    }

    async fn ask(&self, (at, random): Nonce, nc: u32) -> Result<bool, String> {
        let permit = tokio::time::timeout(self.patience, Arc::clone(&self.room).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(format!("no database connection for Digest was free within {:?}", self.patience));
        };
        let name = format!("{at:016x}{:016x}", u64::from_be_bytes(random));
        let expires_at = at.saturating_add(LIFE).saturating_add(SKEW);
        let store = Arc::clone(&self.store);
        let asked = tokio::task::spawn_blocking(move || {
            // Kept to the end also where the client hangs up.
            let _permit = permit;
            store.take(&name, nc, expires_at)
        });
        asked.await.map_err(|panic| panic.to_string())?.map_err(|error| error.to_string())
    }
}

/// Whether a nonce can be used now.
fn lives((at, _): Nonce, now: i64) -> bool {
    at >= now.saturating_sub(LIFE) && at <= now.saturating_add(SKEW)
}

/// The nonces of those who know the password, with the counts that this process has seen.
pub(super) struct Seen {
    most: usize,
    windows: Mutex<BTreeMap<Nonce, Window>>,
}

/// Which of the last counts were used (as RFC 4303 3.4.3 has it).
struct Window {
    highest: u32,
    used: u128,
}

impl Default for Seen {
    fn default() -> Self {
        Self::bounded(MOST)
    }
}

impl Seen {
    fn bounded(most: usize) -> Self {
        Self { most, windows: Mutex::default() }
    }

    /// Whether a nonce was used by somebody who knows the password, or given to one.
    pub(super) fn knows(&self, nonce: Nonce) -> bool {
        self.lock().contains_key(&nonce)
    }

    /// Notes that a nonce is given to somebody who knows the password.
    pub(super) fn vouch(&self, nonce: Nonce, now: i64) {
        self.change(nonce, now, |_| ());
    }

    /// Whether a count is known to be used.
    fn has(&self, nonce: Nonce, count: u32) -> bool {
        self.lock().get(&nonce).is_some_and(|window| window.has(count))
    }

    /// Notes that a count is used.
    fn note(&self, nonce: Nonce, count: u32, now: i64) {
        self.change(nonce, now, |window| window.note(count));
    }

    fn change(&self, nonce: Nonce, now: i64, change: impl FnOnce(&mut Window)) {
        let mut windows = self.lock();
        change(windows.entry(nonce).or_insert(Window { highest: 0, used: 0 }));
        // The oldest go.
        while let Some((&(oldest, random), _)) = windows.first_key_value() {
            if oldest >= now.saturating_sub(KNOWN) && windows.len() <= self.most {
                break;
            }
            windows.remove(&(oldest, random));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Nonce, Window>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    /// The bit of a count; none of one that is too far behind.
    fn bit(&self, count: u32) -> u128 {
        let behind = self.highest.saturating_sub(count);
        if behind < WINDOW { 1_u128.checked_shl(behind).unwrap_or(0) } else { 0 }
    }

    fn has(&self, count: u32) -> bool {
        count <= self.highest && self.used & self.bit(count) != 0
    }

    fn note(&mut self, count: u32) {
        if count > self.highest {
            let ahead = count - self.highest;
            self.used = if ahead >= WINDOW { 0 } else { self.used << ahead };
            self.highest = count;
        }
        self.used |= self.bit(count);
    }
}

#[cfg(test)]
#[path = "counts_tests.rs"]
pub(super) mod tests;
