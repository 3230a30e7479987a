//! Tokens and the keys that sign them, in our own tables. Of a token only its SHA-256 is kept.
//! Everything here blocks. Instants are seconds since 1970, as in a JWT; the tables have microseconds.

use super::live::{LiveToken, Store};
use super::token::{
    Claims, Fingerprint, Keyring, SigningKey, audience, fingerprint, new_id, new_opaque, new_opaque_id,
};
use crate::own::{self, Missing, Own, TokenRow};
use crate::sql::{Connection, Database, Error, Failure, Isolation};
use std::sync::Arc;

/// Microseconds in a second.
const MICROS: i64 = 1_000_000;

/// Our own tables, as far as tokens go.
#[derive(Clone)]
pub struct TokenStore {
    database: Arc<dyn Database>,
    own: Own,
}

/// A token to be made.
#[derive(Clone, Copy, Debug)]
pub struct Issue<'a> {
    /// The service's public URL.
    pub public_url: &'a str,
    /// For which identity server.
    pub server: &'a str,
    /// What for; may be empty.
    pub label: &'a str,
    /// When.
    pub now: i64,
    /// Until when.
    pub expires: i64,
    /// Whether it may only read.
    pub read_only: bool,
    /// A short text without a signature, for clients that have no room for a JWT.
    pub opaque: bool,
}

impl TokenStore {
    /// In these tables.
    pub fn new(database: Arc<dyn Database>, own: Own) -> Self {
        Self { database, own }
    }

    /// Whether `setup` was run, by this version.
    pub fn is_ready(&self) -> Result<(), Missing> {
        let mut ready = Ok(());
        let asked = self.database.with(&mut |connection| {
            ready = self.own.is_ready(connection);
            Ok(())
        });
        asked.map_err(Missing::Database).and(ready)
    }

    /// Creates what is missing: the tables, and a key to sign with.
    pub fn setup(&self) -> Result<(), Error> {
        self.database.with(&mut |connection| self.own.apply(connection))?;
        self.ensure_key()
    }

    /// Makes the first key, where nobody has: whoever created the tables from printed SQL could not. Processes that
    /// start at once make one between them.
    pub fn ensure_key(&self) -> Result<(), Error> {
        let signs = |key: &own::SigningKey| key.retired_at.is_none();
        let claims = [("signing_keys".to_owned(), "first".to_owned())];
        self.database.with(&mut |connection| {
            if self.own.signing_keys(connection)?.iter().any(signs) {
                return Ok(());
            }
            connection.begin(Isolation::Write)?;
            self.own.claim(connection, &claims)?;
            if !self.own.signing_keys(connection)?.iter().any(signs) {
                self.own.insert_signing_key(connection, &new_key()?)?;
            }
            self.own.release(connection, &claims)?;
            connection.commit()
        })
    }

    /// Makes a key that signs from now on. The others are good until `end` (seconds since 1970), and so at most are all tokens
    /// that there are; gives the new key's id, and those tokens that end sooner for it.
    pub fn rotate_key(&self, end: i64) -> Result<(String, Vec<TokenRow>), Error> {
        let key = new_key()?;
        let end = end.saturating_mul(MICROS);
        let now = chrono::Utc::now().timestamp_micros();
        let mut ending = Vec::new();
        self.write(|own, connection| {
            for old in own.signing_keys(connection)?.iter().filter(|old| old.retired_at.is_none()) {
                own.retire_signing_key(connection, &old.id, end)?;
            }
            own.insert_signing_key(connection, &key)?;
            ending = own.live_tokens(connection, now)?;
            ending.retain(|token| token.ends_at().is_none_or(|ends| ends > end));
            let mut servers: Vec<&str> = ending.iter().map(|token| token.server.as_str()).collect();
            servers.sort_unstable();
            servers.dedup();
            for server in servers {
                own.expire_tokens(connection, server, None, end)?;
            }
            Ok(())
        })?;
        Ok((key.id, ending))
    }

    /// The keys that sign and verify; empty until one was made.
    pub fn keyring(&self) -> Result<Keyring, Error> {
        let mut rows = Vec::new();
        self.database.with(&mut |connection| {
            rows = self.own.signing_keys(connection)?;
            Ok(())
        })?;
        // Those that were retired verify until their end.
        let now = chrono::Utc::now().timestamp_micros();
        rows.retain(|row| row.retired_at.is_none_or(|end| end > now));
        let key = |row: &own::SigningKey| SigningKey::read(&row.id, &row.private_key).map_err(internal);
        let current = rows.iter().position(|row| row.retired_at.is_none());
        Ok(Keyring::new(rows.iter().map(key).collect::<Result<_, _>>()?, current))
    }

    /// Makes a token; it is returned here and nowhere else. With it comes its id.
    pub fn issue(&self, what: &Issue<'_>) -> Result<(String, String), Error> {
        let claims = Claims {
            iss: what.public_url.to_owned(),
            aud: audience(what.public_url, what.server),
            jti: if what.opaque { new_opaque_id() } else { new_id() },
            iat: what.now,
            exp: what.expires,
        };
        self.ensure_key()?;
        let token = match what.opaque {
            true => new_opaque().map_err(internal)?,
            false => self.keyring()?.sign(&claims).map_err(internal)?,
        };
        let row = TokenRow {
            id: claims.jti.clone(),
            server: what.server.to_owned(),
            label: what.label.chars().take(190).collect(),
            hash: hexadecimal(&fingerprint(&token)),
            created_at: what.now.saturating_mul(MICROS),
            expires_at: Some(what.expires.saturating_mul(MICROS)),
            revoked_at: None,
            read_only: what.read_only,
            last_used_at: None,
        };
        self.write(|own, connection| own.insert_token(connection, &row))?;
        Ok((token, claims.jti))
    }

    /// All tokens, or those of one identity server, the oldest first. Instants in microseconds.
    pub fn list(&self, server: Option<&str>) -> Result<Vec<TokenRow>, Error> {
        let mut rows = Vec::new();
        self.database.with(&mut |connection| {
            rows = self.own.tokens(connection, server)?;
            Ok(())
        })?;
        Ok(rows)
    }

    /// Ends a token now; whether there was one to end.
    pub fn revoke(&self, server: &str, id: &str) -> Result<bool, Error> {
        let mut ended = false;
        self.write(|own, connection| {
            ended = own.revoke_token(connection, server, id, chrono::Utc::now().timestamp_micros())?;
            Ok(())
        })?;
        Ok(ended)
    }

    /// Ends all tokens of an identity server now, but one; how many.
    pub fn revoke_all(&self, server: &str, keep: Option<&str>) -> Result<u64, Error> {
        let mut ended = 0;
        self.write(|own, connection| {
            ended = own.revoke_tokens(connection, server, keep, chrono::Utc::now().timestamp_micros())?;
            Ok(())
        })?;
        Ok(ended)
    }

    /// Lets all tokens of an identity server but one end at `end` at the latest; how many.
    pub fn expire_all(&self, server: &str, keep: Option<&str>, end: i64) -> Result<u64, Error> {
        let mut shortened = 0;
        self.write(|own, connection| {
            shortened = own.expire_tokens(connection, server, keep, end.saturating_mul(MICROS))?;
            Ok(())
        })?;
        Ok(shortened)
    }

    /// Lets one token end at `end` at the latest; whether it would have lived on.
    pub fn expire(&self, server: &str, id: &str, end: i64) -> Result<bool, Error> {
        let mut shortened = false;
        self.write(|own, connection| {
            shortened = own.expire_token(connection, server, id, end.saturating_mul(MICROS))?;
            Ok(())
        })?;
        Ok(shortened)
    }

    fn write(&self, mut work: impl FnMut(&Own, &mut dyn Connection) -> Result<(), Error>) -> Result<(), Error> {
        self.database.with(&mut |connection| {
            connection.begin(Isolation::Write)?;
            work(&self.own, connection)?;
            connection.commit()
        })
    }
}

impl Store for TokenStore {
    fn live(&self, now: i64) -> Result<Vec<LiveToken>, Error> {
        let mut rows = Vec::new();
        self.database.with(&mut |connection| {
            rows = self.own.live_tokens(connection, now.saturating_mul(MICROS))?;
            Ok(())
        })?;
        let live = |row: TokenRow| {
            Some(LiveToken {
                // A row that is not what we wrote opens nothing.
                fingerprint: bytes(&row.hash)?,
                expires: row.ends_at().map_or(i64::MAX, |end| end / MICROS),
                id: row.id,
                server: row.server,
                read_only: row.read_only,
            })
        };
        Ok(rows.into_iter().filter_map(live).collect())
    }

    fn keyring(&self) -> Result<Keyring, Error> {
        TokenStore::keyring(self)
    }

    fn used(&self, id: &str, now: i64) -> Result<(), Error> {
        self.write(|own, connection| own.touch_tokens(connection, &[id.to_owned()], now.saturating_mul(MICROS)))
    }
}

fn new_key() -> Result<own::SigningKey, Error> {
    let (private_key, public_key) = SigningKey::generate().map_err(internal)?;
    Ok(own::SigningKey {
        id: new_id(),
        algorithm: "EdDSA".to_owned(),
        private_key,
        public_key,
        created_at: chrono::Utc::now().timestamp_micros(),
        retired_at: None,
    })
}

fn internal(why: String) -> Error {
    Error::new(Failure::Other, why)
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
