//! One transaction a request, tried again where the database asks for it; database failures as SCIM
//! errors.

use super::journal::Done;
use super::recorder::Recorder;
use super::{Caller, Directory};
use crate::own::{ChangeRow, RequestRow};
use crate::scim::{Error, ScimType};
use crate::sql::{self, Connection, Failure, Isolation};
use std::time::Duration;

/// What ends a transaction early.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database's word.
    Sql(sql::Error),
    /// Ours.
    Scim(Error),
}

impl From<sql::Error> for Fault {
    fn from(error: sql::Error) -> Self {
        Fault::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Scim(error)
    }
}

/// How often a transaction is tried before 503.
const ATTEMPTS: u32 = 8;

impl Directory {
    /// Carries out what one request asks for, in a transaction that also holds what the journal says of it.
    pub(super) fn write<T>(
        &self,
        caller: &Caller,
        mut work: impl FnMut(&mut dyn Connection) -> Result<T, Fault>,
        done: impl Fn(&T) -> Done,
    ) -> Result<T, Error> {
        let entry = &caller.entry;
        let mut status = 0;
        let outcome = self.write_journalled(|recorder| {
            let outcome = work(recorder)?;
            let done = done(&outcome);
            status = done.status;
            let (request, changes) = entry.committed(done, recorder.take()?);
            self.journal(recorder, &[request], &changes)?;
            Ok(outcome)
        })?;
        entry.kept(status);
        Ok(outcome)
    }

    /// Writes to the journal, within the transaction of what is journalled.
    pub(super) fn journal(
        &self,
        recorder: &mut Recorder<'_>,
        requests: &[RequestRow],
        changes: &[ChangeRow],
    ) -> Result<(), Fault> {
        self.own.journal(recorder.plain(), requests, changes).map_err(|error| {
            Fault::Sql(sql::Error { message: format!("the journal cannot be written: {}", error.message), ..error })
        })
    }

    /// Runs `work` in a write transaction: all of it is committed, or none. Deadlocks and serialization
    /// failures are tried again, so `work` may run several times.
    pub(super) fn write_journalled<T>(
        &self,
        mut work: impl FnMut(&mut Recorder<'_>) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let recorded =
                self.once(Some(Isolation::Write), &mut |connection| work(&mut Recorder::new(connection, &self.tables)));
            match recorded {
                Err(Fault::Sql(error)) if error.is_retryable() && attempt < ATTEMPTS => {
                    tracing::debug!(attempt, cause = %error.message, "transaction tried again");
                    std::thread::sleep(pause(attempt));
                }
                other => return other.map_err(scim_error),
            }
        }
    }

    /// Runs `work` with a connection: in one snapshot where it takes several statements, plainly where
    /// it takes one. Reads are repeated once over a fresh connection when theirs was lost.
    pub(super) fn read<T>(
        &self,
        snapshot: bool,
        mut work: impl FnMut(&mut dyn Connection) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let isolation = snapshot.then_some(Isolation::Snapshot);
        match self.once(isolation, &mut work) {
            Err(Fault::Sql(error)) if matches!(error.failure, Failure::Connection | Failure::Retry) => {
                self.once(isolation, &mut work).map_err(scim_error)
            }
            other => other.map_err(scim_error),
        }
    }

    fn once<T>(
        &self,
        isolation: Option<Isolation>,
        work: &mut dyn FnMut(&mut dyn Connection) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut result = None;
        self.database.with(&mut |connection| {
            if let Some(isolation) = isolation {
                connection.begin(isolation)?;
            }
            let done = work(connection);
            if isolation.is_some() {
                if done.is_ok() {
                    connection.commit()?;
                } else {
                    connection.rollback();
                }
            }
            match done {
                // The pool must see what became of the connection.
                Err(Fault::Sql(error)) => Err(error),
                other => {
                    result = Some(other);
                    Ok(())
                }
            }
        })?;
        result.unwrap_or_else(|| {
            Err(Fault::Sql(sql::Error::new(Failure::Other, "the pool did not run what it was given")))
        })
    }
}

/// Longer with each attempt, and not the same for all who collided.
fn pause(attempt: u32) -> Duration {
    let mut byte = [0_u8; 1];
    let _ = getrandom::fill(&mut byte);
    let [random] = byte;
    Duration::from_millis(u64::from(attempt) * 4 + u64::from(random % 16))
}

/// What the client is told of a failure in the database; the database's own words go to the log.
pub(super) fn scim_error(fault: Fault) -> Error {
    let error = match fault {
        Fault::Scim(error) => return error,
        Fault::Sql(error) => error,
    };
    match error.failure {
        Failure::Unique => Error {
            scim_type: Some(ScimType::Uniqueness),
            ..Error::conflict("another row of the application already has one of these values").because(error.message)
        },
        Failure::ForeignKey => {
            Error::conflict("other rows of the application depend on this one, or one it names is gone")
                .because(error.message)
        }
        Failure::Constraint | Failure::Value => {
            Error::invalid_value("a value does not fit the column that it is stored in").because(error.message)
        }
        Failure::Retry | Failure::Timeout | Failure::Connection | Failure::Exhausted | Failure::ReadOnly => {
            Error::unavailable(error.message)
        }
        Failure::Schema | Failure::Privilege | Failure::Other => Error::internal(error.message),
    }
}
