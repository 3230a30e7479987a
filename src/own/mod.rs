//! scimshim's own tables: in a schema of their own on the application's server, so that what they hold
//! commits together with the application's rows. This room reads and writes them and knows what their
//! rows are; what tokens, resources and externalIds mean is decided above.
//!
//! Instants are `bigint` microseconds since 1970 in UTC on every database; text compares byte for byte.

mod brake;
mod claims;
mod counts;
mod ddl;
mod grants;
mod journal;
mod keys;
mod oauth;
mod sidecar;
mod tokens;

pub use grants::{Access, Needs};
pub use journal::{ChangeRow, DRY_RUN, JournalFilter, RequestRow};
pub use keys::SigningKey;
pub use oauth::{OauthGrant, OauthKind, OauthToken};
pub use sidecar::Tombstone;
pub use tokens::TokenRow;

use crate::sql::{
    Alias, Connection, Dialect, Error, Expr, Failure, Ident, Order, Row, Select, Statement, Table, Value,
};
use std::fmt;
use std::sync::Arc;

/// Where scimshim's own tables are.
#[derive(Clone, Debug)]
pub struct Own {
    dialect: Dialect,
    schema: Arc<str>,
}

/// scimshim's own tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OwnTable {
    /// Which migrations were applied.
    SchemaVersion,
    /// Keys that sign bearer tokens.
    SigningKeys,
    /// Bearer tokens that were issued, by their hash.
    Tokens,
    /// externalId per identity server.
    Links,
    /// What the application's tables cannot hold.
    Sidecar,
    /// Resources that are gone although their rows stay.
    Tombstones,
    /// What made a row the person, or the group, that its id is remembered for.
    Identities,
    /// Mutexes: rows inserted and deleted within one transaction.
    Claims,
    /// What OAuth clients were allowed.
    OauthGrants,
    /// OAuth's codes and tokens, by their hash.
    OauthTokens,
    /// The journal: who asked for what.
    Requests,
    /// The journal: which rows a request changed, and how.
    Changes,
    /// Which process does what only one should.
    Leases,
    /// What identity servers with a brake deactivated or deleted within the last hour.
    Deactivations,
    /// Counts of Digest's nonces that were used.
    DigestCounts,
}

impl OwnTable {
    /// All of them.
    pub const ALL: [OwnTable; 15] = [
        OwnTable::SchemaVersion,
        OwnTable::SigningKeys,
        OwnTable::Tokens,
        OwnTable::Links,
        OwnTable::Sidecar,
        OwnTable::Tombstones,
        OwnTable::Identities,
        OwnTable::Claims,
        OwnTable::OauthGrants,
        OwnTable::OauthTokens,
        OwnTable::Requests,
        OwnTable::Changes,
        OwnTable::Leases,
        OwnTable::Deactivations,
        OwnTable::DigestCounts,
    ];

    /// The table's name, without schema or prefix.
    pub fn name(self) -> &'static str {
        match self {
            OwnTable::SchemaVersion => "schema_version",
            OwnTable::SigningKeys => "signing_keys",
            OwnTable::Tokens => "tokens",
            OwnTable::Links => "links",
            OwnTable::Sidecar => "sidecar",
            OwnTable::Tombstones => "tombstones",
            OwnTable::Identities => "identities",
            OwnTable::Claims => "claims",
            OwnTable::OauthGrants => "oauth_grants",
            OwnTable::OauthTokens => "oauth_tokens",
            OwnTable::Requests => "requests",
            OwnTable::Changes => "changes",
            OwnTable::Leases => "leases",
            OwnTable::Deactivations => "deactivations",
            OwnTable::DigestCounts => "digest_counts",
        }
    }
}

/// Why scimshim's own tables cannot be used.
#[derive(Clone, Debug)]
pub enum Missing {
    /// They are not there.
    Tables,
    /// They are of an older scimshim.
    Older {
        /// The version found.
        found: i64,
        /// The version needed.
        needed: i64,
    },
    /// They are of a newer scimshim.
    Newer {
        /// The version found.
        found: i64,
        /// The version known.
        known: i64,
    },
    /// Some of them are not there.
    Some(Vec<String>),
    /// What the database user may not do with them.
    Rights(Vec<String>),
    /// They may not be read.
    Privilege(Error),
    /// The database failed.
    Database(Error),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Tables => f.write_str("scimshim's own tables are not there: run `scimshim setup`"),
            Missing::Older { found, needed } => write!(
                f,
                "scimshim's own tables are of version {found}, this scimshim needs {needed}: run `scimshim setup`"
            ),
            Missing::Newer { found, known } => write!(
                f,
                "scimshim's own tables are of version {found}, this scimshim knows only {known}: upgrade scimshim"
            ),
            Missing::Some(tables) => {
                write!(f, "of scimshim's own tables these are not there: {}: run `scimshim setup`", tables.join(", "))
            }
            Missing::Rights(verbs) => write!(
                f,
                "the database user may not use scimshim's own tables as it must ({}): run the GRANTs that `scimshim setup` prints",
                verbs.join("; ")
            ),
            Missing::Privilege(error) => {
                write!(
                    f,
                    "scimshim's own tables may not be read ({error}): run the GRANTs that `scimshim setup` prints"
                )
            }
            Missing::Database(error) => write!(f, "the database failed: {error}"),
        }
    }
}

impl std::error::Error for Missing {}

impl Own {
    /// Own tables in `schema`: a database on MySQL, a schema on PostgreSQL; on SQLite it is not used,
    /// there the tables' names begin with `scimshim_`.
    pub fn new(dialect: Dialect, schema: &str) -> Self {
        Self { dialect, schema: Arc::from(schema) }
    }

    /// Which database they are in.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The table as statements name it.
    pub fn table(&self, name: OwnTable) -> Table {
        match self.dialect {
            Dialect::Mysql | Dialect::Postgres => Table::within(&self.schema, name.name()),
            Dialect::Sqlite => Table::new(format!("scimshim_{}", name.name())),
        }
    }

    /// The tables that belong to resources, with their columns and the positions of their keys' columns: what is
    /// written there is journalled as what is written in the application's tables.
    pub fn of_resources(&self) -> Vec<(Table, Vec<&'static str>, Vec<usize>)> {
        let all = OwnTable::ALL.into_iter();
        all.filter_map(|table| ddl::columns(table).map(|(names, key)| (self.table(table), names, key))).collect()
    }

    /// The statements that make schema and tables, each without its semicolon. They change nothing that
    /// is there already.
    pub fn ddl(&self) -> Vec<String> {
        ddl::statements(self, 0)
    }

    /// All of them, as statements name them.
    pub fn tables(&self) -> Vec<Table> {
        OwnTable::ALL.map(|table| self.table(table)).to_vec()
    }

    /// Brings the tables to this scimshim's version.
    pub fn apply(&self, connection: &mut dyn Connection) -> Result<(), Error> {
        let found = match self.version(connection) {
            Ok(found) => found,
            Err(error) if error.failure == Failure::Schema => 0,
            Err(error) => return Err(error),
        };
        // Some of them may be gone, by a restore for example.
        let complete = !matches!(self.is_complete(connection), Err(Missing::Some(_)));
        for statement in ddl::statements(self, if complete { found } else { 0 }) {
            connection.batch(&statement)?;
        }
        Ok(())
    }

    /// Whether all tables are there, and may be used as they are.
    fn is_complete(&self, connection: &mut dyn Connection) -> Result<(), Missing> {
        let catalogue =
            connection.catalogue(&[self.table(OwnTable::SchemaVersion).schema]).map_err(Missing::Database)?;
        let (mut gone, mut verbs) = (Vec::new(), Vec::new());
        for own in OwnTable::ALL {
            let table = self.table(own);
            let Some(info) = catalogue.table(&table) else {
                // Unseen: it may be there.
                match catalogue.partly.contains(&table.schema) {
                    true => verbs.push(format!("nothing on `{table}`, if it is there")),
                    false => gone.push(format!("`{table}`")),
                }
                continue;
            };
            let Some(held) = info.held else { continue };
            let may = |verb: &&&str| match **verb {
                "INSERT" => held.insert,
                "UPDATE" => held.update,
                "DELETE" => held.delete,
                _ => held.select,
            };
            let lacking: Vec<&str> = own.verbs().iter().filter(|verb| !may(verb)).copied().collect();
            if !lacking.is_empty() {
                verbs.push(format!("{} on `{table}`", lacking.join(", ")));
            }
        }
        match (gone.is_empty(), verbs.is_empty()) {
            (true, true) => Ok(()),
            (true, false) => Err(Missing::Rights(verbs)),
            (false, _) => Err(Missing::Some(gone)),
        }
    }

    /// Whether the tables are there, of this scimshim's version, and may be used.
    pub fn is_ready(&self, connection: &mut dyn Connection) -> Result<(), Missing> {
        let found = self.version(connection).map_err(|error| match error.failure {
            Failure::Schema => Missing::Tables,
            Failure::Privilege => Missing::Privilege(error),
            _ => Missing::Database(error),
        })?;
        match found {
            0 => Err(Missing::Tables),
            found if found < ddl::VERSION => Err(Missing::Older { found, needed: ddl::VERSION }),
            found if found > ddl::VERSION => Err(Missing::Newer { found, known: ddl::VERSION }),
            _ => self.is_complete(connection),
        }
    }

    /// The newest migration applied; 0 for none.
    fn version(&self, connection: &mut dyn Connection) -> Result<i64, Error> {
        let mut select = Select::new(self.table(OwnTable::SchemaVersion), T, vec![column("version")]);
        select.order = vec![Order { by: column("version"), descending: true }];
        select.limit = Some(1);
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.first().and_then(|row| row.0.first()).and_then(Value::as_int).unwrap_or(0))
    }
}

/// The only table of this room's selects.
const T: Alias = Alias(0);

fn column(name: &str) -> Expr {
    Expr::column(T, &Ident::new(name))
}

fn idents(names: &[&str]) -> Vec<Ident> {
    names.iter().map(Ident::new).collect()
}

/// Reads a row's values in order.
struct Reader(std::vec::IntoIter<Value>);

impl Reader {
    fn new(row: Row) -> Self {
        Self(row.0.into_iter())
    }

    fn value(&mut self) -> Value {
        self.0.next().unwrap_or_default()
    }

    fn text(&mut self) -> String {
        self.value().to_text().unwrap_or_default()
    }

    fn int(&mut self) -> i64 {
        self.value().as_int().unwrap_or_default()
    }

    fn maybe_text(&mut self) -> Option<String> {
        self.value().to_text()
    }

    fn maybe_int(&mut self) -> Option<i64> {
        self.value().as_int()
    }

    /// MySQL's driver gives bytes that happen to be UTF-8 as text.
    fn bytes(&mut self) -> Vec<u8> {
        match self.value() {
            Value::Bytes(bytes) => bytes,
            Value::Text(text) => text.into_bytes(),
            _ => Vec::new(),
        }
    }
}

fn maybe(value: Option<i64>) -> Value {
    value.map_or(Value::Null, Value::Int)
}

fn maybe_text(value: Option<&str>) -> Value {
    value.map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests;
