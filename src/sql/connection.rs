//! Connections behind an object-safe trait, so that everything above is compiled once for three
//! databases.

use super::{Catalogue, Dialect, Error, Expr, Ident, Insert, Options, Statement, Value};
use std::sync::Arc;
use std::time::Duration;

/// One row, by position in the select list.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Row(pub Vec<Value>);

/// How a transaction is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// For writes: READ COMMITTED (SQLite: BEGIN IMMEDIATE).
    Write,
    /// For reads of several statements: one snapshot, read only.
    Snapshot,
}

/// A connection in use. All methods block.
pub trait Connection {
    /// Which database this is.
    fn dialect(&self) -> Dialect;
    /// Runs a select or union and returns its rows.
    fn query(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, Error>;
    /// Runs a write; the number of rows it matched (MySQL too: rows found, not rows altered).
    fn execute(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, Error>;
    /// Inserts one row and returns the value of its key column: `RETURNING` on PostgreSQL and SQLite,
    /// `LAST_INSERT_ID()` on MySQL, or the key's value where the row names it.
    fn insert(&mut self, insert: &Insert, key: &Ident) -> Result<Value, Error>;
    /// Inserts rows that do not name their key column, which the database numbers, and returns the numbers in no order.
    fn insert_numbered(&mut self, insert: &Insert, key: &Ident) -> Result<Vec<Value>, Error>;
    /// Runs a write and returns these of the columns (without an alias) of each row that it wrote or deleted, in no order:
    /// `RETURNING`. An error on MySQL, which cannot.
    fn returning(&mut self, statement: &Statement, params: &[Value], columns: &[Expr]) -> Result<Vec<Row>, Error>;
    /// Runs DDL or a session command that is ours and static; several statements may be in it.
    fn batch(&mut self, sql: &str) -> Result<(), Error>;
    /// Opens a transaction.
    fn begin(&mut self, isolation: Isolation) -> Result<(), Error>;
    /// Checks now what PostgreSQL would check at the commit: constraints that are put off until then.
    fn check_deferred(&mut self) -> Result<(), Error> {
        match self.dialect() {
            Dialect::Postgres => self.batch("SET CONSTRAINTS ALL IMMEDIATE"),
            Dialect::Mysql | Dialect::Sqlite => Ok(()),
        }
    }
    /// Commits it.
    fn commit(&mut self) -> Result<(), Error>;
    /// Rolls it back; never fails louder than marking the connection broken.
    fn rollback(&mut self);
    /// Reads what the database says of the tables in the schemas given (`None`: the connection's own).
    fn catalogue(&mut self, schemas: &[Option<Ident>]) -> Result<Catalogue, Error>;
}

/// A pool of connections to one database. Cheap to share.
pub trait Database: Send + Sync {
    /// Which database this is.
    fn dialect(&self) -> Dialect;
    /// Runs `work` with a connection; a connection that breaks is thrown away. `work` that leaves a
    /// transaction open has it rolled back. Waits at most the checkout timeout.
    fn with(&self, work: &mut dyn FnMut(&mut dyn Connection) -> Result<(), Error>) -> Result<(), Error>;
    /// Connections in use, idle, and the most there may be.
    fn usage(&self) -> (u32, u32, u32);
    /// How long ago a statement last succeeded, on any connection; `None` where none did yet.
    fn heard(&self) -> Option<Duration>;
}

/// Opens a pool. No connection is made yet: a database that is down is an [`Error`] of the first use.
/// The URL is `mysql://`, `postgres://` or `sqlite://`; an [`Error`] here means that it or the options
/// can never work.
pub fn open(url: &str, options: Options) -> Result<Arc<dyn Database>, Error> {
    super::pool::open(url, options)
}
