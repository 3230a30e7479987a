//! Rows of bearer tokens. A token itself is never stored, only its SHA-256; what a token is and who may
//! use it is decided elsewhere.

use super::{Own, OwnTable, Reader, T, column, idents, maybe};
use crate::sql::{
    Comparison, Connection, Error, Expr, Ident, Insert, OnConflict, Order, Predicate, Row, Select, Statement, Update,
    Value,
};

/// One issued token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Short, for people: what `token revoke` takes.
    pub id: String,
    /// The identity server it was issued to.
    pub server: String,
    /// What the administrator calls it; may be empty.
    pub label: String,
    /// SHA-256 of the token, in lower-case hex.
    pub hash: String,
    /// Microseconds since 1970, UTC.
    pub created_at: i64,
    /// When it ends by itself.
    pub expires_at: Option<i64>,
    /// When it was revoked, or will be: what replaces it may overlap. How long it was meant to live stays known.
    pub revoked_at: Option<i64>,
    /// Whether it may only read.
    pub read_only: bool,
    /// When it was last seen, to within minutes.
    pub last_used_at: Option<i64>,
}

const COLUMNS: [&str; 9] =
    ["id", "server", "label", "hash", "created_at", "expires_at", "revoked_at", "read_only", "last_used_at"];

impl TokenRow {
    /// Whether it opens anything at `now`.
    pub fn is_live(&self, now: i64) -> bool {
        self.ends_at().is_none_or(|end| end > now)
    }

    /// When it ends, of itself or because it was revoked, whichever comes first.
    pub fn ends_at(&self) -> Option<i64> {
        self.revoked_at.into_iter().chain(self.expires_at).min()
    }

    fn read(row: Row) -> Self {
        let mut row = Reader::new(row);
        Self {
            id: row.text(),
            server: row.text(),
            label: row.text(),
            hash: row.text(),
            created_at: row.int(),
            expires_at: row.maybe_int(),
            revoked_at: row.maybe_int(),
            read_only: row.int() != 0,
            last_used_at: row.maybe_int(),
        }
    }
}

impl Own {
    /// Stores a new token.
    pub fn insert_token(&self, connection: &mut dyn Connection, token: &TokenRow) -> Result<(), Error> {
        let row = vec![
            Expr::value(token.id.as_str()),
            Expr::value(token.server.as_str()),
            Expr::value(token.label.as_str()),
            Expr::value(token.hash.as_str()),
            Expr::value(token.created_at),
            Expr::value(maybe(token.expires_at)),
            Expr::value(maybe(token.revoked_at)),
            Expr::value(i64::from(token.read_only)),
            Expr::value(maybe(token.last_used_at)),
        ];
        let insert = Insert {
            table: self.table(OwnTable::Tokens),
            columns: idents(&COLUMNS),
            rows: vec![row],
            on_conflict: OnConflict::Fail,
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    /// All tokens, of one identity server or of all, the oldest first.
    pub fn tokens(&self, connection: &mut dyn Connection, server: Option<&str>) -> Result<Vec<TokenRow>, Error> {
        let filter = server.map_or(Predicate::True, |server| Predicate::eq(column("server"), Expr::value(server)));
        self.select(connection, filter)
    }

    /// The tokens that open something at `now`.
    pub fn live_tokens(&self, connection: &mut dyn Connection, now: i64) -> Result<Vec<TokenRow>, Error> {
        self.select(connection, later(column("revoked_at"), now).and(later(column("expires_at"), now)))
    }

    /// The token with this hash, live or not.
    pub fn token_by_hash(&self, connection: &mut dyn Connection, hash: &str) -> Result<Option<TokenRow>, Error> {
        let found = self.select(connection, Predicate::eq(column("hash"), Expr::value(hash)))?;
        Ok(found.into_iter().next())
    }

    /// Revokes one token of an identity server; whether there was one that was not revoked yet.
    pub fn revoke_token(
        &self,
        connection: &mut dyn Connection,
        server: &str,
        id: &str,
        now: i64,
    ) -> Result<bool, Error> {
        let one = Predicate::eq(bare("id"), Expr::value(id));
        self.revoke_at(connection, now, unrevoked(server, now).and(one)).map(|count| count > 0)
    }

    /// Revokes every token of an identity server but `keep`; how many.
    pub fn revoke_tokens(
        &self,
        connection: &mut dyn Connection,
        server: &str,
        keep: Option<&str>,
        now: i64,
    ) -> Result<u64, Error> {
        self.revoke_at(connection, now, unrevoked(server, now).and(but(keep)))
    }

    /// Lets every token of an identity server but `keep` end at `end` at the latest; how many.
    pub fn expire_tokens(
        &self,
        connection: &mut dyn Connection,
        server: &str,
        keep: Option<&str>,
        end: i64,
    ) -> Result<u64, Error> {
        self.revoke_at(connection, end, unrevoked(server, end).and(later(bare("expires_at"), end)).and(but(keep)))
    }

    /// Lets one token of an identity server end at `end` at the latest; whether it would have lived on.
    pub fn expire_token(
        &self,
        connection: &mut dyn Connection,
        server: &str,
        id: &str,
        end: i64,
    ) -> Result<bool, Error> {
        let one = Predicate::eq(bare("id"), Expr::value(id));
        let lasting = unrevoked(server, end).and(later(bare("expires_at"), end));
        self.revoke_at(connection, end, lasting.and(one)).map(|count| count > 0)
    }

    /// Notes that tokens were used.
    pub fn touch_tokens(&self, connection: &mut dyn Connection, ids: &[String], now: i64) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.iter().map(|id| Expr::value(id.as_str())).collect();
        self.set(connection, "last_used_at", now, Predicate::In(bare("id"), ids)).map(|_| ())
    }

    /// Revokes what the filter finds, at `end`.
    fn revoke_at(&self, connection: &mut dyn Connection, end: i64, filter: Predicate) -> Result<u64, Error> {
        self.set(connection, "revoked_at", end, filter)
    }

    fn set(&self, connection: &mut dyn Connection, name: &str, value: i64, filter: Predicate) -> Result<u64, Error> {
        let table = self.table(OwnTable::Tokens);
        let set = vec![(Ident::new(name), Expr::value(Value::Int(value)))];
        connection.execute(&Statement::Update(Update { table, set, filter }), &[])
    }

    fn select(&self, connection: &mut dyn Connection, filter: Predicate) -> Result<Vec<TokenRow>, Error> {
        let mut select = Select::new(self.table(OwnTable::Tokens), T, COLUMNS.map(column).to_vec()).filter(filter);
        select.order =
            vec![Order { by: column("created_at"), descending: false }, Order { by: column("id"), descending: false }];
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.into_iter().map(TokenRow::read).collect())
    }
}

fn bare(name: &str) -> Expr {
    Expr::bare(&Ident::new(name))
}

/// Of an identity server, and not revoked before `end`.
fn unrevoked(server: &str, end: i64) -> Predicate {
    Predicate::eq(bare("server"), Expr::value(server)).and(later(bare("revoked_at"), end))
}

/// Never, or after `end`.
fn later(instant: Expr, end: i64) -> Predicate {
    Predicate::Or(vec![
        Predicate::IsNull(instant.clone()),
        Predicate::Compare(instant, Comparison::Gt, Expr::value(end)),
    ])
}

fn but(keep: Option<&str>) -> Predicate {
    keep.map_or(Predicate::True, |id| Predicate::Compare(bare("id"), Comparison::Ne, Expr::value(id)))
}
