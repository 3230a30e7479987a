//! Tokens and the signing key in our own tables. Of a token only its SHA-256 is kept. Everything here
//! blocks.

use super::live::{LiveToken, Store};
use super::token::{Claims, Fingerprint, SigningKey, audience, fingerprint, new_id};
use crate::own::{Own, OwnTable};
use crate::sql::{
    Alias, Comparison, Connection, Database, Error, Expr, Failure, Ident, Insert, Isolation, OnConflict, Order,
    Predicate, Row, Select, Statement, Update, Value,
};
use std::sync::Arc;

const MAIN: Alias = Alias(0);
/// The one signing key there is.
const KEY: &str = "bearer";
const COLUMNS: [&str; 9] = [
    "id", "server", "sha256", "label", "read_only", "created_at", "expires_at", "last_used_at", "revoked_at",
];

/// Our own tables, as far as tokens go.
#[derive(Clone)]
pub struct TokenStore {
    database: Arc<dyn Database>,
    own: Own,
}

/// A token to be made. Instants are seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Issue<'a> {
    /// The service's public URL.
    pub public_url: &'a str,
    /// For which identity server.
    pub server: &'a str,
    /// What for.
    pub label: Option<&'a str>,
    /// When.
    pub now: i64,
    /// Until when.
    pub expires: i64,
    /// Whether it may only read.
    pub read_only: bool,
}

/// What is known of a token. Instants are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: String,
    /// Its identity server.
    pub server: String,
    /// Its SHA-256.
    pub fingerprint: Fingerprint,
    /// What it is for.
    pub label: Option<String>,
    /// It may only read.
    pub read_only: bool,
    /// When it was made.
    pub created: i64,
    /// When it ends.
    pub expires: i64,
    /// When it was last used, to the minute.
    pub last_used: Option<i64>,
    /// When it was revoked.
    pub revoked: Option<i64>,
}

impl TokenRow {
    /// Whether it is good now.
    pub fn is_live(&self, now: i64) -> bool {
        self.revoked.is_none() && self.expires > now
    }
}

impl TokenStore {
    /// In these tables.
    pub fn new(database: Arc<dyn Database>, own: Own) -> Self {
        Self { database, own }
    }

    /// The key that signs; [`Failure::Schema`] where `setup` was not run.
    pub fn signing_key(&self) -> Result<SigningKey, Error> {
        let select = self.select(OwnTable::Keys, &["value"]).filter(Predicate::eq(column("name"), Expr::value(KEY)));
        let rows = self.query(select)?;
        match rows.first().and_then(|row| row.0.first()).and_then(Value::to_text) {
            Some(stored) => SigningKey::read(&stored).map_err(|why| Error::new(Failure::Other, why)),
            None => Err(Error::new(Failure::Schema, "there is no signing key")),
        }
    }

    /// Makes the signing key unless there is one.
    pub fn create_signing_key(&self) -> Result<(), Error> {
        let fresh = SigningKey::generate().map_err(|why| Error::new(Failure::Other, why))?;
        let now = chrono::Utc::now().timestamp();
        let insert = self.insert(
            OwnTable::Keys,
            &[("name", Value::from(KEY)), ("value", Value::from(fresh)), ("created_at", Value::Int(now))],
        );
        let exists = self.select(OwnTable::Keys, &["name"]).filter(Predicate::eq(column("name"), Expr::value(KEY)));
        let exists = Statement::Select(exists);
        self.database.with(&mut |connection| {
            if !connection.query(&exists, &[])?.is_empty() {
                return Ok(());
            }
            match connection.execute(&insert, &[]) {
                // Somebody else made it in between.
                Err(error) if error.failure == Failure::Unique => Ok(()),
                done => done.map(|_| ()),
            }
        })
    }

    /// Makes a token; it is returned here and nowhere else.
    pub fn issue(&self, what: &Issue<'_>) -> Result<String, Error> {
        let claims = Claims {
            iss: what.public_url.to_owned(),
            aud: audience(what.public_url, what.server),
            jti: new_id(),
            iat: what.now,
            exp: what.expires,
        };
        let token = self.signing_key()?.sign(&claims).map_err(|why| Error::new(Failure::Other, why))?;
        let insert = self.insert(
            OwnTable::Tokens,
            &[
                ("id", Value::from(claims.jti)),
                ("server", Value::from(what.server)),
                ("sha256", Value::from(hexadecimal(&fingerprint(&token)))),
                ("label", what.label.map_or(Value::Null, |label| Value::Text(label.chars().take(255).collect()))),
                ("read_only", Value::Int(i64::from(what.read_only))),
                ("created_at", Value::Int(what.now)),
                ("expires_at", Value::Int(what.expires)),
            ],
        );
        self.write(|connection| connection.execute(&insert, &[]).map(|_| ()))?;
        Ok(token)
    }

    /// All tokens, or those of one identity server, the oldest first.
    pub fn list(&self, server: Option<&str>) -> Result<Vec<TokenRow>, Error> {
        let mut select = self.select(OwnTable::Tokens, &COLUMNS);
        if let Some(server) = server {
            select = select.filter(Predicate::eq(column("server"), Expr::value(server)));
        }
        select.order = ["server", "created_at", "id"].map(|by| Order { by: column(by), descending: false }).into();
        self.query(select)?.iter().map(read).collect()
    }

    /// Ends a token.
    pub fn revoke(&self, id: &str, now: i64) -> Result<(), Error> {
        self.set(id, "revoked_at", now)
    }

    /// Lets a token end earlier.
    pub fn shorten(&self, id: &str, expires: i64) -> Result<(), Error> {
        self.set(id, "expires_at", expires)
    }

    fn set(&self, id: &str, name: &str, value: i64) -> Result<(), Error> {
        let update = Statement::Update(Update {
            table: self.own.table(OwnTable::Tokens),
            set: vec![(Ident::new(name), Expr::value(value))],
            filter: Predicate::eq(Expr::bare(&Ident::new("id")), Expr::value(id)),
        });
        self.write(|connection| connection.execute(&update, &[]).map(|_| ()))
    }

    fn select(&self, table: OwnTable, columns: &[&str]) -> Select {
        Select::new(self.own.table(table), MAIN, columns.iter().map(|name| column(name)).collect())
    }

    fn insert(&self, table: OwnTable, values: &[(&str, Value)]) -> Statement {
        Statement::Insert(Insert {
            table: self.own.table(table),
            columns: values.iter().map(|(name, _)| Ident::new(name)).collect(),
            rows: vec![values.iter().map(|(_, value)| Expr::value(value.clone())).collect()],
            on_conflict: OnConflict::Fail,
        })
    }

    fn query(&self, select: Select) -> Result<Vec<Row>, Error> {
        let statement = Statement::Select(select);
        let mut rows = Vec::new();
        self.database.with(&mut |connection| {
            rows = connection.query(&statement, &[])?;
            Ok(())
        })?;
        Ok(rows)
    }

    fn write(&self, mut work: impl FnMut(&mut dyn Connection) -> Result<(), Error>) -> Result<(), Error> {
        self.database.with(&mut |connection| {
            connection.begin(Isolation::Write)?;
            work(connection)?;
            connection.commit()
        })
    }
}

impl Store for TokenStore {
    fn live(&self, now: i64) -> Result<Vec<LiveToken>, Error> {
        let select = self.select(OwnTable::Tokens, &COLUMNS).filter(
            Predicate::IsNull(column("revoked_at"))
                .and(Predicate::Compare(column("expires_at"), Comparison::Gt, Expr::value(now))),
        );
        let live = |row: &Row| {
            read(row).map(|row| LiveToken {
                id: row.id,
                server: row.server,
                fingerprint: row.fingerprint,
                expires: row.expires,
                read_only: row.read_only,
            })
        };
        self.query(select)?.iter().map(live).collect()
    }

    fn used(&self, id: &str, now: i64) -> Result<(), Error> {
        self.set(id, "last_used_at", now)
    }
}

fn column(name: &str) -> Expr {
    Expr::column(MAIN, &Ident::new(name))
}

/// A row of [`COLUMNS`].
fn read(row: &Row) -> Result<TokenRow, Error> {
    let wrong = || Error::new(Failure::Other, "a row of scimshim's own table `tokens` cannot be read");
    let [id, server, sha256, label, read_only, created, expires, last_used, revoked] = row.0.as_slice() else {
        return Err(wrong());
    };
    Ok(TokenRow {
        id: id.to_text().ok_or_else(wrong)?,
        server: server.to_text().ok_or_else(wrong)?,
        fingerprint: sha256.to_text().and_then(|text| bytes(&text)).ok_or_else(wrong)?,
        label: label.to_text(),
        read_only: read_only.as_int().ok_or_else(wrong)? != 0,
        created: created.as_int().ok_or_else(wrong)?,
        expires: expires.as_int().ok_or_else(wrong)?,
        last_used: last_used.as_int(),
        revoked: revoked.as_int(),
    })
}

fn hexadecimal(fingerprint: &Fingerprint) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hexadecimal: &str) -> Option<Fingerprint> {
    let mut fingerprint = Fingerprint::default();
    if hexadecimal.len() != fingerprint.len() * 2 {
        return None;
    }
    for (n, byte) in fingerprint.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hexadecimal.get(n * 2..n * 2 + 2)?, 16).ok()?;
    }
    Some(fingerprint)
}
