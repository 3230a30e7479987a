//! Rows of the keys that sign bearer tokens. A key alone opens nothing: a token's hash must stand in
//! `tokens` too.

use super::{Own, OwnTable, Reader, T, column, idents, maybe};
use crate::sql::{
    Connection, Error, Expr, Ident, Insert, OnConflict, Order, Predicate, Row, Select, Statement, Update, Value,
};
use std::fmt;

/// One signing key.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The `kid` of the tokens that it signed.
    pub id: String,
    /// A JWS algorithm, `EdDSA`.
    pub algorithm: String,
    /// PKCS#8.
    pub private_key: Vec<u8>,
    /// What verifies its signatures.
    pub public_key: Vec<u8>,
    /// Microseconds since 1970, UTC.
    pub created_at: i64,
    /// Until when what it signed is good; where this is set, it signs nothing new.
    pub retired_at: Option<i64>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

const COLUMNS: [&str; 6] = ["id", "algorithm", "private_key", "public_key", "created_at", "retired_at"];

impl Own {
    /// Stores a new key.
    pub fn insert_signing_key(&self, connection: &mut dyn Connection, key: &SigningKey) -> Result<(), Error> {
        let row = vec![
            Expr::value(key.id.as_str()),
            Expr::value(key.algorithm.as_str()),
            Expr::value(Value::Bytes(key.private_key.clone())),
            Expr::value(Value::Bytes(key.public_key.clone())),
            Expr::value(key.created_at),
            Expr::value(maybe(key.retired_at)),
        ];
        let insert = Insert {
            table: self.table(OwnTable::SigningKeys),
            columns: idents(&COLUMNS),
            rows: vec![row],
            on_conflict: OnConflict::Fail,
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    /// All keys, the newest first; the first that is not retired signs.
    pub fn signing_keys(&self, connection: &mut dyn Connection) -> Result<Vec<SigningKey>, Error> {
        let mut select = Select::new(self.table(OwnTable::SigningKeys), T, COLUMNS.map(column).to_vec());
        select.order =
            vec![Order { by: column("created_at"), descending: true }, Order { by: column("id"), descending: false }];
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.into_iter().map(read).collect())
    }

    /// Retires a key: what it signed is good until `end`. Whether it was there and in use.
    pub fn retire_signing_key(&self, connection: &mut dyn Connection, id: &str, end: i64) -> Result<bool, Error> {
        let update = Update {
            table: self.table(OwnTable::SigningKeys),
            set: vec![(Ident::new("retired_at"), Expr::value(end))],
            filter: Predicate::eq(Expr::bare(&Ident::new("id")), Expr::value(id))
                .and(Predicate::IsNull(Expr::bare(&Ident::new("retired_at")))),
        };
        connection.execute(&Statement::Update(update), &[]).map(|count| count > 0)
    }
}

fn read(row: Row) -> SigningKey {
    let mut row = Reader::new(row);
    SigningKey {
        id: row.text(),
        algorithm: row.text(),
        private_key: row.bytes(),
        public_key: row.bytes(),
        created_at: row.int(),
        retired_at: row.maybe_int(),
    }
}
