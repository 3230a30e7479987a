//! scimshim's own tables, in a schema of their own on the application's database server, so that what
//! they hold is committed together with the application's rows.

mod claims;
mod ddl;
mod sidecar;

use crate::sql::{Dialect, Table};

/// Where our own tables are.
#[derive(Clone, Debug)]
pub struct Own {
    dialect: Dialect,
    schema: String,
}

/// One of our own tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnTable {
    /// externalId per identity server.
    Links,
    /// Values the legacy schema cannot hold, and the client's form of altered values.
    Sidecar,
    /// Resources that are deleted for SCIM while their row stays.
    Tombstones,
    /// Mutexes of a transaction.
    Claims,
}

impl OwnTable {
    fn name(self) -> &'static str {
        match self {
            OwnTable::Links => "links",
            OwnTable::Sidecar => "sidecar",
            OwnTable::Tombstones => "tombstones",
            OwnTable::Claims => "claims",
        }
    }
}

impl Own {
    /// Tables in `schema`: a database on MySQL, a schema on PostgreSQL, a prefix on SQLite.
    pub fn new(dialect: Dialect, schema: &str) -> Self {
        Self {
            dialect,
            schema: schema.to_owned(),
        }
    }

    /// The name of one of our tables in a statement.
    pub fn table(&self, table: OwnTable) -> Table {
        match self.dialect {
            Dialect::Sqlite => Table::new(format!("{}_{}", self.schema, table.name())),
            Dialect::Mysql | Dialect::Postgres => Table::within(&self.schema, table.name()),
        }
    }
}
