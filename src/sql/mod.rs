//! Dynamic SQL and nothing else: a statement tree over tables that are known at run time only,
//! rendered by Diesel for MySQL/MariaDB, PostgreSQL and SQLite. This room has never heard of SCIM.
//!
//! Invariant: SQL text is made here alone, from static text, identifiers and binds. Nothing that a
//! client sent is ever part of the text.

mod address;
mod aliases;
mod backend;
mod catalogue;
mod connect;
mod connection;
mod decode;
pub mod entities;
mod error;
mod failure;
mod meter;
mod name;
mod pool;
mod render;
mod session;
mod statement;
mod value;

pub use aliases::{aliases_in, aliases_in_predicate};
pub use catalogue::{Catalogue, ColumnInfo, ColumnKind, Held, Index, TableInfo};
pub use connection::{Connection, Database, Isolation, Row, open};
pub use error::{Error, Failure};
pub use meter::{Spent, metered};
pub use name::{Alias, Cast, Ident, Table};
#[cfg(test)]
pub(crate) use pool::open_file;
pub use pool::{Options, TlsOptions};
pub use render::sql_text;
pub use statement::{
    Comparison, Delete, Expr, Insert, Join, JoinKind, Lock, OnConflict, Order, Predicate, Select, Statement, Union,
    Update,
};
pub use value::{Dialect, Value};
