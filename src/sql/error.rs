//! What can go wrong in a database, sorted by what the caller can do about it.

use std::fmt;

/// A failure and, for the log alone, what the database says of it.
#[derive(Debug, Clone)]
pub struct Error {
    /// What kind of failure.
    pub failure: Failure,
    /// What the database says, without the values that it quotes and without an application's own words, which may be
    /// personal: for logs, never for clients. All its words are logged at debug level, where they came.
    pub message: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A unique key is taken (MySQL 1062, PostgreSQL 23505, SQLite 2067 and 1555).
    Unique,
    /// A foreign key does not hold (1451, 1452; 23503; 787).
    ForeignKey,
    /// NOT NULL or CHECK does not hold.
    Constraint,
    /// A value does not fit its column: too long, out of range, malformed (1406, 1264, 1292, 1366; class 22).
    Value,
    /// Deadlock or serialization failure: the transaction may be tried again (1213; 40001, 40P01; SQLITE_BUSY).
    Retry,
    /// The application does not want it: a trigger of its own said so (SQLSTATE class 45; P0001; RAISE).
    Refused,
    /// A lock or statement took longer than allowed (1205, 1969, 3024; 55P03, 57014).
    Timeout,
    /// A table or column is not there (1054, 1146; 42P01, 42703): the application was changed.
    Schema,
    /// A privilege is missing (1044, 1142, 1143; 42501).
    Privilege,
    /// The connection was lost, or there is none to be had; nothing is known of an open transaction.
    Connection,
    /// No connection was free in time.
    Exhausted,
    /// The server can be read only: a replica, or one that is shutting down (1290, 1836; 25006).
    ReadOnly,
    /// Anything else.
    Other,
}

impl Error {
    /// An error of our own making.
    pub fn new(failure: Failure, message: impl Into<String>) -> Self {
        Self { failure, message: message.into() }
    }

    /// Whether trying the whole transaction again can help.
    pub fn is_retryable(&self) -> bool {
        self.failure == Failure::Retry
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
