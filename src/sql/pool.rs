//! The pool: r2d2 with a connection manager of our own. It hands out no connection that is known to be
//! broken or holds an open transaction, and asks the server only after a while of silence.

use super::address::Address;
use super::connect;
use super::connection::{Connection, Database};
use super::error::{Error, Failure};
use super::session::{Heard, Pooled};
use super::value::Dialect;
use r2d2::{ManageConnection, NopErrorHandler, Pool, PooledConnection};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A connection that was silent for longer is asked whether it lives before it is handed out.
const SILENCE: Duration = Duration::from_secs(5);

/// How connections are made.
#[derive(Clone)]
pub struct Options {
    /// The password, where the URL has none. Never printed.
    pub password: Option<String>,
    /// TLS to the database; `None` is plain text.
    pub tls: Option<TlsOptions>,
    /// The most connections.
    pub max: u32,
    /// How long to wait for a free one.
    pub checkout_timeout: Duration,
    /// How long to wait for a new one.
    pub connect_timeout: Duration,
    /// The longest a statement may take.
    pub statement_timeout: Duration,
    /// The longest to wait for a lock.
    pub lock_timeout: Duration,
    /// MySQL: run under STRICT_TRANS_TABLES, whatever the server's default.
    pub strict: bool,
}

#[cfg(test)]
impl Options {
    /// Enough for any test.
    pub(crate) fn of_tests() -> Self {
        let time = Duration::from_secs(5);
        Self {
            password: None,
            tls: None,
            max: 4,
            checkout_timeout: time,
            connect_timeout: time,
            statement_timeout: time,
            lock_timeout: time,
            strict: true,
        }
    }
}

/// A SQLite file, for tests.
#[cfg(test)]
pub(crate) fn open_file(file: &std::path::Path) -> Arc<dyn Database> {
    open(&format!("sqlite://{}", file.display()), Options::of_tests()).unwrap()
}

/// TLS to the database.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// The authority that signed the server's certificate.
    pub ca: PathBuf,
}

pub(super) fn open(url: &str, options: Options) -> Result<Arc<dyn Database>, Error> {
    let address = Address::parse(url, &options)?;
    let dialect = address.dialect();
    // Every connection to a database in memory is a database of its own.
    let in_memory = matches!(&address, Address::Sqlite(path) if path.starts_with(":memory:"));
    let max = if in_memory { 1 } else { options.max };
    if max == 0 || options.checkout_timeout.is_zero() || options.connect_timeout.is_zero() {
        return Err(Error::new(Failure::Other, "a pool needs room for a connection and time to make one"));
    }
    let builder = Pool::builder()
        .max_size(max)
        .min_idle(Some(0))
        .connection_timeout(options.checkout_timeout)
        .test_on_check_out(true)
        .error_handler(Box::new(NopErrorHandler));
    let builder = if in_memory { builder.idle_timeout(None).max_lifetime(None) } else { builder };
    let state = Arc::new(Shared { epoch: AtomicU64::new(0), last_error: Mutex::new(None), heard: Heard::new() });
    let manager = Manager { address, options, state: Arc::clone(&state) };
    Ok(Arc::new(Store { dialect, pool: builder.build_unchecked(manager), state }))
}

/// What the manager and the pool's users share.
struct Shared {
    /// Connections of an earlier epoch are replaced: their prepared statements know an older schema.
    epoch: AtomicU64,
    /// Why the last attempt to connect failed.
    last_error: Mutex<Option<Error>>,
    /// When a statement last succeeded.
    heard: Arc<Heard>,
}

impl Shared {
    fn remember(&self, error: Option<Error>) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    fn last_error(&self) -> Option<Error> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Manager {
    address: Address,
    options: Options,
    state: Arc<Shared>,
}

impl ManageConnection for Manager {
    type Connection = Box<dyn Pooled>;
    type Error = Error;

    fn connect(&self) -> Result<Self::Connection, Error> {
        let epoch = self.state.epoch.load(Ordering::Relaxed);
        let mut connection = connect::connect(&self.address, &self.options, epoch);
        if let Ok(connection) = &mut connection {
            connection.health().heard = Arc::clone(&self.state.heard);
        }
        self.state.remember(connection.as_ref().err().cloned());
        if let Err(error) = &connection {
            tracing::debug!(message = %error, "no connection to the database");
        }
        connection
    }

    fn is_valid(&self, connection: &mut Self::Connection) -> Result<(), Error> {
        if connection.health().epoch != self.state.epoch.load(Ordering::Relaxed) {
            return Err(Error::new(Failure::Connection, "the schema changed since this connection was made"));
        }
        if connection.health().last_heard.elapsed() > SILENCE { connection.ping() } else { Ok(()) }
    }

    fn has_broken(&self, connection: &mut Self::Connection) -> bool {
        // An open transaction here means that the work panicked.
        connection.health().broken || connection.health().in_transaction
    }
}

struct Store {
    dialect: Dialect,
    pool: Pool<Manager>,
    state: Arc<Shared>,
}

impl Store {
    fn check_out(&self) -> Result<PooledConnection<Manager>, Error> {
        self.pool.get().map_err(|_| {
            if self.pool.state().connections >= self.pool.max_size() {
                return Error::new(Failure::Exhausted, "every connection to the database is in use");
            }
            self.state.last_error().unwrap_or_else(|| {
                Error::new(Failure::Connection, "no connection to the database could be made in time")
            })
        })
    }

    /// Runs `work` once; whether it may be run again on another connection comes with its outcome.
    fn attempt(&self, work: &mut dyn FnMut(&mut dyn Connection) -> Result<(), Error>) -> (Result<(), Error>, bool) {
        let mut connection = match self.check_out() {
            Ok(connection) => connection,
            Err(error) => return (Err(error), false),
        };
        connection.health().answered = 0;
        let outcome = work(&mut **connection);
        connection.rollback();
        let mut again = false;
        if let Err(error) = &outcome {
            // Nothing came back from this connection, so nothing is known to `work` that could be stale,
            // and it was idle: closed by the server, a proxy or a failover.
            again = error.failure == Failure::Connection && connection.health().answered == 0;
            if error.failure == Failure::Schema {
                self.state.epoch.fetch_add(1, Ordering::Relaxed);
            }
        }
        (outcome, again)
    }
}

impl Database for Store {
    fn dialect(&self) -> Dialect {
        self.dialect
    }

    fn with(&self, work: &mut dyn FnMut(&mut dyn Connection) -> Result<(), Error>) -> Result<(), Error> {
        // A server that restarted has broken all of them at once.
        for _ in 0..self.pool.max_size() {
            match self.attempt(work) {
                (Err(_), true) => {}
                (outcome, _) => return outcome,
            }
        }
        self.attempt(work).0
    }

    fn usage(&self) -> (u32, u32, u32) {
        let state = self.pool.state();
        (state.connections.saturating_sub(state.idle_connections), state.idle_connections, self.pool.max_size())
    }

    fn heard(&self) -> Option<Duration> {
        self.state.heard.ago()
    }
}
