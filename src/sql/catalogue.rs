//! What the live database says of its tables: the adapter is checked and compiled against it.

use super::{Cast, Ident, Table};
use std::collections::BTreeMap;

/// The tables that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// By table, as the adapter names it: `schema` is `None` for the connection's own.
    pub tables: BTreeMap<Table, TableInfo>,
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
}

impl TableInfo {
    /// The column, if it is there. Names compare as the database compares them: ignoring case on
    /// MySQL and SQLite, exactly on PostgreSQL.
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
