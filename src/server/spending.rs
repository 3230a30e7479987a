//! What one request costs the database, added up over the threads that work for it.

use crate::sql::{self, Spent};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// A request's account.
#[derive(Default)]
pub struct Spending(Mutex<Account>);

/// What was spent so far.
#[derive(Clone, Copy, Default)]
pub struct Account {
    /// In all.
    pub spent: Spent,
    /// From the beginning of the first piece of work to the end of the last.
    pub span: Option<(SystemTime, SystemTime)>,
}

impl Spending {
    /// Runs a piece of work on this thread and puts its statements down.
    pub fn metered<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = SystemTime::now();
        let (done, spent) = sql::metered(work);
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        account.spent.statements += spent.statements;
        account.spent.rows += spent.rows;
        account.spent.time += spent.time;
        let first = account.span.map_or(began, |(first, _)| first);
        account.span = Some((first, SystemTime::now()));
        done
    }

    /// What it came to by now: a request that ran out of time may still be at work.
    pub fn account(&self) -> Account {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
