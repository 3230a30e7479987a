//! One transaction a request, tried again where the database asks for it; database failures as SCIM
//! errors.

use super::journal::Done;
use super::recorder::Recorder;
use super::{Caller, Directory};
use crate::own::{ChangeRow, DRY_RUN, RequestRow};
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
    /// All went well, and nothing of it is to be kept: a dry run.
    Rehearsed,
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

/// What the journal is to say of a transaction.
pub(super) struct Account {
    pub requests: Vec<RequestRow>,
    pub changes: Vec<ChangeRow>,
}

impl Account {
    fn of_dry_run(mut self) -> Self {
        for request in &mut self.requests {
            request.answered = Some(std::mem::replace(&mut request.status, DRY_RUN));
        }
        self
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
        let outcome = self.write_journalled(caller, |recorder| {
            let outcome = work(recorder)?;
            let done = done(&outcome);
            status = done.status;
            let (request, changes) = entry.committed(done, recorder.take()?);
            Ok((outcome, Account { requests: vec![request], changes }))
        })?;
        entry.kept(status);
        Ok(outcome)
    }

    /// Writes to the journal.
    fn journal(&self, connection: &mut dyn Connection, account: &Account) -> Result<(), Fault> {
        self.own.journal(connection, &account.requests, &account.changes).map_err(|error| {
            Fault::Sql(sql::Error { message: format!("the journal cannot be written: {}", error.message), ..error })
        })
    }

    /// Runs `work` in a write transaction, and journals what it says of it there: all of it is committed, or none. In a dry
    /// run it is rolled back, and the account alone is kept. Deadlocks and serialization failures are tried again, so
    /// `work` may run several times.
    pub(super) fn write_journalled<T>(
        &self,
        caller: &Caller,
        mut work: impl FnMut(&mut Recorder<'_>) -> Result<(T, Account), Fault>,
    ) -> Result<T, Error> {
        let mut rehearsed = None;
        let written = self.write_again(|connection| {
            let mut recorder = Recorder::new(connection, &self.tables);
            let (outcome, account) = work(&mut recorder)?;
            if caller.server.dry_run {
                // There will be no commit to do it.
                recorder.plain().check_deferred()?;
                rehearsed = Some((outcome, account.of_dry_run()));
                return Err(Fault::Rehearsed);
            }
            self.journal(recorder.plain(), &account)?;
            Ok(outcome)
        });
        match (written, rehearsed) {
            (Err(Fault::Rehearsed), Some((outcome, account))) => {
                let kept = self.write_again(|connection| self.journal(connection, &account));
                kept.map(|()| outcome).map_err(scim_error)
            }
            (written, _) => written.map_err(scim_error),
        }
    }

    /// A write transaction, tried again as long as the database asks for it.
    fn write_again<T>(&self, mut work: impl FnMut(&mut dyn Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.once(Some(Isolation::Write), &mut work) {
                Err(Fault::Sql(error)) if error.is_retryable() && attempt < ATTEMPTS => {
                    tracing::debug!(attempt, cause = %error.message, "transaction tried again");
                    std::thread::sleep(pause(attempt));
                }
                other => return other,
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
        Fault::Rehearsed => return Error::internal("a dry run without an outcome"),
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
        Failure::Refused => Error::conflict(
            "the application's own database refused the change: a trigger of the application forbids it, and the application's \
             administrators can say why",
        )
        .because(error.message),
        Failure::Constraint | Failure::Value => {
            Error::invalid_value("a value does not fit the column that it is stored in").because(error.message)
        }
        // Tables that are being changed under the service: it looks at them again, and says whether it still can be.
        Failure::Retry
        | Failure::Timeout
        | Failure::Connection
        | Failure::Exhausted
        | Failure::ReadOnly
        | Failure::Schema => Error::unavailable(error.message),
        Failure::Privilege | Failure::Other => Error::internal(error.message),
    }
}
