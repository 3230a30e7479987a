//! What the live database says of its tables: the adapter is checked and compiled against it.

mod mysql;
mod postgres;
mod sqlite;

use super::{Cast, Dialect, Error, Ident, Row, Table, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The tables that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// By table, as the adapter names it: `schema` is `None` for the connection's own.
    pub tables: BTreeMap<Table, TableInfo>,
    /// The schemas in which there may be tables that the user does not see, because it may do nothing with them.
    pub partly: BTreeSet<Option<Ident>>,
    /// As whom the connection was let in: `name@host`, on MySQL alone.
    pub account: Option<String>,
}

impl Catalogue {
    /// The table, if it is there.
    pub fn table(&self, table: &Table) -> Option<&TableInfo> {
        self.tables.get(table)
    }
}

/// One table or view.
#[derive(Clone, Debug, Default)]
pub struct TableInfo {
    /// In their order.
    pub columns: Vec<ColumnInfo>,
    /// The primary key's columns; empty for none.
    pub primary_key: Vec<Ident>,
    /// Every index, the primary key's included.
    pub indexes: Vec<Index>,
    /// What the connection's user may do; `None` where that is not known.
    pub held: Option<Held>,
    /// Whether it has triggers that are on; not known on MySQL, which tells those alone who may make some.
    pub triggers: bool,
    /// The storage engine, where it is one that cannot roll back (MyISAM, Aria).
    pub without_transactions: Option<String>,
}

/// What a user may do with a table, or with some of its columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// `SELECT`.
    pub select: bool,
    /// `INSERT`.
    pub insert: bool,
    /// `UPDATE`.
    pub update: bool,
    /// `DELETE`.
    pub delete: bool,
}

impl TableInfo {
    /// The column, if it is there. The name must be spelled as the catalogue spells it.
    pub fn column(&self, name: &str) -> Option<&ColumnInfo> {
        self.columns.iter().find(|column| column.name.as_str() == name)
    }
}

/// One index.
#[derive(Clone, Debug)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its columns in order; empty names for expressions.
    pub columns: Vec<Ident>,
    /// Whether it is unique (and not partial).
    pub unique: bool,
}

/// One column.
#[derive(Clone, Debug)]
pub struct ColumnInfo {
    /// Its name.
    pub name: Ident,
    /// What it can hold.
    pub kind: ColumnKind,
    /// The type as the database prints it.
    pub sql_type: String,
    /// What a bind must be cast to (PostgreSQL), else `None`.
    pub cast: Option<Cast>,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Whether the database fills it when an insert leaves it out: a default, auto-increment, identity.
    pub has_default: bool,
    /// Whether it is auto-increment, identity or serial.
    pub generated_key: bool,
    /// Whether equal means equal whatever the case (a `_ci` collation, citext, NOCASE).
    pub ignores_case: bool,
}

/// What a column can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text; the most characters, where there is a limit.
    Text(Option<u64>),
    /// An integer between these bounds.
    Integer {
        /// Smallest.
        min: i128,
        /// Largest.
        max: i128,
    },
    /// PostgreSQL's boolean, or a SQLite column declared BOOLEAN.
    Boolean,
    /// numeric, decimal.
    Decimal,
    /// float, double.
    Float,
    /// A wall clock.
    DateTime,
    /// An instant: timestamptz.
    Instant,
    /// A day.
    Date,
    /// Bytes; the most, where there is a limit.
    Binary(Option<u64>),
    /// json, jsonb, or MariaDB's JSON (longtext with a check).
    Json,
    /// uuid.
    Uuid,
    /// An enum with these labels.
    Enum(Vec<String>),
    /// Anything else: read as text, written as text with a cast.
    Other,
}

/// Runs one query of a reader's.
type Reader<'a> = &'a mut dyn FnMut(&str, &[Value]) -> Result<Vec<Row>, Error>;

/// Reads the tables of these schemas in a number of queries that does not depend on how many there are.
pub(super) fn read(dialect: Dialect, schemas: &[Option<Ident>], run: Reader<'_>) -> Result<Catalogue, Error> {
    match dialect {
        Dialect::Mysql => mysql::read(schemas, run),
        Dialect::Postgres => postgres::read(schemas, run),
        Dialect::Sqlite => sqlite::read(schemas, run),
    }
}

/// The text in a row's place; empty for NULL.
fn text_at(row: &Row, index: usize) -> String {
    row.0.get(index).and_then(Value::to_text).unwrap_or_default()
}

/// What the adapter may call a table: both names where the connection's own schema was also asked for by
/// name.
fn table_of(schemas: &[Option<Ident>], own: &str, schema: &str, name: &str) -> Vec<Table> {
    schemas
        .iter()
        .filter(|asked| asked.as_ref().map_or(own, Ident::as_str) == schema)
        .map(|asked| Table { schema: asked.clone(), name: Ident::new(name) })
        .collect()
}

fn bounds(bits: u32, unsigned: bool) -> ColumnKind {
    let reach = 1_i128.checked_shl(if unsigned { bits } else { bits.saturating_sub(1) }).unwrap_or(i128::MAX);
    if unsigned {
        ColumnKind::Integer { min: 0, max: reach - 1 }
    } else {
        ColumnKind::Integer { min: -reach, max: reach - 1 }
    }
}
