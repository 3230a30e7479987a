//! One connection in use: runs statements, counts them, keeps track of its transaction, and knows when it
//! is no longer fit to be used.

use super::backend::SqlBackend;
use super::catalogue::{self, Catalogue};
use super::connection::{Connection, Isolation, Row};
use super::error::{Error, Failure};
use super::failure;
use super::meter;
use super::name::Ident;
use super::render::{Body, Bound, JsonGuard};
use super::statement::{Expr, Insert, Statement};
use super::value::{Dialect, Value};
use diesel::RunQueryDsl;
use diesel::connection::{LoadConnection, SimpleConnection};
use diesel::expression::QueryMetadata;
use diesel::result::QueryResult;
use diesel::sql_types::Untyped;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The counter of statements sent, by kind.
const STATEMENTS: &str = "scimshim_sql_statements_total";

/// What the pool must know of a connection.
#[derive(Debug)]
pub(super) struct Health {
    /// Not to be used again.
    pub(super) broken: bool,
    /// A transaction is open.
    pub(super) in_transaction: bool,
    /// When the server was last heard.
    pub(super) last_heard: Instant,
    /// The same for all connections of the pool.
    pub(super) heard: Arc<Heard>,
    /// Statements that came back since the check-out.
    pub(super) answered: u64,
    /// The pool's epoch when this connection was made.
    pub(super) epoch: u64,
}

/// When a statement last succeeded on any of several connections.
#[derive(Debug)]
pub(super) struct Heard {
    since: Instant,
    /// In microseconds after that; 0 for never.
    at: AtomicU64,
}

impl Heard {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), at: AtomicU64::new(0) })
    }

    fn now(&self) {
        let micros = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.at.fetch_max(micros.max(1), Relaxed);
    }

    /// How long ago that was.
    pub(super) fn ago(&self) -> Option<Duration> {
        let at = self.at.load(Relaxed);
        (at > 0).then(|| self.since.elapsed().saturating_sub(Duration::from_micros(at)))
    }
}

/// A connection as the pool keeps it.
pub(super) trait Pooled: Connection + Send {
    fn health(&mut self) -> &mut Health;
    fn ping(&mut self) -> Result<(), Error>;
}

/// A Diesel connection with what scimshim knows of it.
pub(super) struct Session<C> {
    inner: C,
    health: Health,
    /// Whether the open transaction can no longer be committed, and why.
    doomed: Option<Failure>,
    /// MySQL: whether BEGIN and COMMIT can be prepared (one round trip instead of three).
    prepares_control: bool,
    /// SQLite: the session was made read only for a snapshot.
    query_only: bool,
    json: JsonGuard,
}

impl<C> Session<C>
where
    C: LoadConnection + SimpleConnection + 'static,
    C::Backend: SqlBackend + QueryMetadata<Untyped>,
{
    pub(super) fn new(inner: C, epoch: u64) -> Self {
        let (last_heard, heard) = (Instant::now(), Heard::new());
        let health = Health { broken: false, in_transaction: false, last_heard, heard, answered: 0, epoch };
        Self { inner, health, doomed: None, prepares_control: true, query_only: false, json: JsonGuard::Shape }
    }

    pub(super) fn set_json_guard(&mut self, guard: JsonGuard) {
        self.json = guard;
    }

    /// Runs static text of this room's own.
    pub(super) fn text(&mut self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let bound = Bound { body: Body::Text(sql), params, json: self.json };
        self.run("other", |inner| bound.load::<Row>(inner))
    }

    fn run<T>(&mut self, kind: &'static str, work: impl FnOnce(&mut C) -> QueryResult<T>) -> Result<T, Error> {
        if let Some(failure) = self.doomed.filter(|_| self.health.in_transaction) {
            return Err(Error::new(failure, "the transaction failed earlier and can only be rolled back"));
        }
        metrics::counter!(STATEMENTS, "kind" => if kind == COMMIT { "transaction" } else { kind }).increment(1);
        let began = Instant::now();
        let done = work(&mut self.inner);
        meter::sent(began.elapsed());
        match done {
            Ok(done) => {
                self.health.last_heard = Instant::now();
                self.health.heard.now();
                self.health.answered += 1;
                Ok(done)
            }
            Err(error) => {
                let complaint = failure::of_statement(C::Backend::DIALECT, error);
                let is_write = matches!(kind, "insert" | "update" | "delete" | COMMIT);
                let error = if is_write { complaint.of_write() } else { complaint.error };
                Err(self.failed(error))
            }
        }
    }

    fn failed(&mut self, error: Error) -> Error {
        match error.failure {
            // The next connection may find a server that can be written to.
            Failure::Connection => self.health.broken = true,
            Failure::ReadOnly => self.health.broken = C::Backend::DIALECT != Dialect::Sqlite,
            _ => self.health.answered += 1,
        }
        // After a deadlock MySQL has already rolled back: what followed would be committed one by one.
        // PostgreSQL answers a COMMIT of a failed transaction with a silent ROLLBACK.
        let dooms = C::Backend::DIALECT == Dialect::Postgres
            || matches!(error.failure, Failure::Retry | Failure::Timeout | Failure::Connection | Failure::ReadOnly);
        if self.health.in_transaction && dooms {
            self.doomed = Some(error.failure);
        }
        error
    }

    /// BEGIN, COMMIT and ROLLBACK. On MySQL a batch takes three round trips, so these are prepared where
    /// the server can (MariaDB 10.6).
    fn control(&mut self, sql: &'static str) -> Result<(), Error> {
        let kind = if sql == "COMMIT" { COMMIT } else { "transaction" };
        if C::Backend::DIALECT == Dialect::Mysql && self.prepares_control {
            let bound = Bound { body: Body::Text(sql), params: &[], json: self.json };
            match self.run(kind, |inner| bound.execute(inner)) {
                Err(error) if error.message.contains("prepared statement protocol") => self.prepares_control = false,
                done => return done.map(|_| ()),
            }
        }
        self.run(kind, |inner| inner.batch_execute(sql))
    }

    fn writable_again(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.query_only) {
            self.control("PRAGMA query_only = OFF")?;
        }
        Ok(())
    }
}

/// The one statement about transactions that writes: what was put off until then is looked at.
const COMMIT: &str = "commit";

impl<C> Connection for Session<C>
where
    C: LoadConnection + SimpleConnection + 'static,
    C::Backend: SqlBackend + QueryMetadata<Untyped>,
{
    fn dialect(&self) -> Dialect {
        C::Backend::DIALECT
    }

    fn query(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, Error> {
        let bound = Bound { body: Body::Statement(statement), params, json: self.json };
        let rows = self.run("select", |inner| bound.load::<Row>(inner))?;
        meter::rows(u64::try_from(rows.len()).unwrap_or(u64::MAX));
        Ok(rows)
    }

    fn execute(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, Error> {
        let bound = Bound { body: Body::Statement(statement), params, json: self.json };
        let count = u64::try_from(self.run(kind(statement), |inner| bound.execute(inner))?).unwrap_or(u64::MAX);
        meter::rows(count);
        Ok(count)
    }

    fn insert(&mut self, insert: &Insert, key: &Ident) -> Result<Value, Error> {
        let [row] = insert.rows.as_slice() else {
            return Err(Error::new(Failure::Other, "a key can be returned of one inserted row only"));
        };
        meter::rows(1);
        let bound = Bound { body: Body::InsertReturning(insert, Some(key)), params: &[], json: self.json };
        if C::Backend::DIALECT != Dialect::Mysql {
            let rows = self.run("insert", |inner| bound.load::<Row>(inner))?;
            let value = rows.into_iter().next().and_then(|row| row.0.into_iter().next());
            return value.ok_or_else(|| Error::new(Failure::Other, "the insert returned no key"));
        }
        let given = insert.columns.iter().position(|column| column == key).and_then(|index| row.get(index));
        match given {
            None | Some(Expr::Value(Value::Null, _)) => {
                self.run("insert", |inner| bound.execute(inner))?;
                let rows = self.text("SELECT LAST_INSERT_ID()", &[])?;
                let value = rows.into_iter().next().and_then(|row| row.0.into_iter().next());
                value
                    .filter(|value| *value != Value::Int(0))
                    .ok_or_else(|| Error::new(Failure::Other, format!("{} gave the new row no number", insert.table)))
            }
            Some(Expr::Value(value, _)) => {
                self.run("insert", |inner| bound.execute(inner))?;
                Ok(value.clone())
            }
            Some(Expr::Number(number)) => {
                self.run("insert", |inner| bound.execute(inner))?;
                Ok(Value::Int(*number))
            }
            Some(_) => Err(Error::new(Failure::Other, "on MySQL a computed key cannot be returned")),
        }
    }

    fn insert_numbered(&mut self, insert: &Insert, key: &Ident) -> Result<Vec<Value>, Error> {
        if C::Backend::DIALECT != Dialect::Mysql {
            let bound = Bound { body: Body::InsertReturning(insert, Some(key)), params: &[], json: self.json };
            let rows = self.run("insert", |inner| bound.load::<Row>(inner))?;
            meter::rows(u64::try_from(rows.len()).unwrap_or(u64::MAX));
            return Ok(rows.into_iter().filter_map(|row| row.0.into_iter().next()).collect());
        }
        let bound = Bound { body: Body::InsertReturning(insert, None), params: &[], json: self.json };
        self.run("insert", |inner| bound.execute(inner))?;
        // InnoDB numbers the rows of one such statement one after the other, in steps that a cluster sets.
        let said = self.text("SELECT LAST_INSERT_ID(), @@SESSION.auto_increment_increment", &[])?;
        let said = said.into_iter().next().map(|row| row.0).unwrap_or_default();
        let number = |value: Option<&Value>| match value {
            Some(Value::Int(number)) => u64::try_from(*number).unwrap_or(0),
            Some(Value::UInt(number)) => *number,
            _ => 0,
        };
        let (first, step) = (number(said.first()), number(said.get(1)).max(1));
        if first == 0 {
            return Err(Error::new(Failure::Other, format!("{} gave the new rows no number", insert.table)));
        }
        let count = u64::try_from(insert.rows.len()).unwrap_or(u64::MAX);
        meter::rows(count);
        let numbers = (0..count).map(|index| first.saturating_add(step.saturating_mul(index)));
        Ok(numbers.map(|number| i64::try_from(number).map_or(Value::UInt(number), Value::Int)).collect())
    }

    fn returning(&mut self, statement: &Statement, params: &[Value], columns: &[Expr]) -> Result<Vec<Row>, Error> {
        let bound = Bound { body: Body::Returning(statement, columns), params, json: self.json };
        let rows = self.run(kind(statement), |inner| bound.load::<Row>(inner))?;
        meter::rows(u64::try_from(rows.len()).unwrap_or(u64::MAX));
        Ok(rows)
    }

    fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.run("other", |inner| inner.batch_execute(sql))
    }

    fn begin(&mut self, isolation: Isolation) -> Result<(), Error> {
        if self.health.in_transaction {
            return Err(Error::new(Failure::Other, "a transaction is open already"));
        }
        self.doomed = None;
        match (C::Backend::DIALECT, isolation) {
            (Dialect::Mysql, Isolation::Write) => self.control("START TRANSACTION")?,
            (Dialect::Mysql, Isolation::Snapshot) => {
                self.control("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")?;
                self.control("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")?;
            }
            (Dialect::Postgres, Isolation::Write) => self.control("BEGIN")?,
            (Dialect::Postgres, Isolation::Snapshot) => {
                self.control("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
            }
            (Dialect::Sqlite, Isolation::Write) => self.control("BEGIN IMMEDIATE")?,
            (Dialect::Sqlite, Isolation::Snapshot) => {
                self.control("PRAGMA query_only = ON; BEGIN")?;
                self.query_only = true;
            }
        }
        self.health.in_transaction = true;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        if !self.health.in_transaction {
            return Err(Error::new(Failure::Other, "no transaction is open"));
        }
        self.control("COMMIT")?;
        self.health.in_transaction = false;
        self.writable_again()
    }

    fn rollback(&mut self) {
        if !self.health.in_transaction {
            return;
        }
        self.doomed = None;
        if !self.health.broken && self.control("ROLLBACK").is_err() {
            self.health.broken = true;
        }
        self.health.in_transaction = false;
        if self.writable_again().is_err() {
            self.health.broken = true;
        }
    }

    fn catalogue(&mut self, schemas: &[Option<Ident>]) -> Result<Catalogue, Error> {
        catalogue::read(C::Backend::DIALECT, schemas, &mut |sql, params| self.text(sql, params))
    }
}

/// A statement's kind, as it is counted.
fn kind(statement: &Statement) -> &'static str {
    match statement {
        Statement::Select(_) | Statement::Union(_) => "select",
        Statement::Insert(_) => "insert",
        Statement::Update(_) => "update",
        Statement::Delete(_) => "delete",
    }
}

impl<C> Pooled for Session<C>
where
    C: LoadConnection + SimpleConnection + Send + 'static,
    C::Backend: SqlBackend + QueryMetadata<Untyped>,
{
    fn health(&mut self) -> &mut Health {
        &mut self.health
    }

    fn ping(&mut self) -> Result<(), Error> {
        self.text("SELECT 1", &[]).map(|_| ())
    }
}
