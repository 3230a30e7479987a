//! Cursors (RFC 9865): where a page ended, sealed, so that the next one can begin behind it. Nothing is kept here for them.
//!
//! A cursor is AES-256-GCM-SIV under a key that is derived (HKDF-SHA256) from the keys that sign tokens. Those stand in our own
//! tables: any process of the service opens what another has sealed, a restart changes nothing, and a cursor sealed under a key
//! that was retired since opens for as long as that key is kept. What a cursor belongs to (identity server, resource
//! types, filter, order) is authenticated with it: with another query it does not open. It holds a value of a resource,
//! which is why it is sealed and not only signed. An RFC 3986 unreserved text, without padding.

use super::{Caller, Directory};
use crate::own;
use crate::scim::{Error, ListQuery, ScimType};
use crate::sql::Value;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, NaiveDate};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a cursor can be used, in seconds: `cursorTimeout` of /ServiceProviderConfig.
pub const CURSOR_TIMEOUT: i64 = 86_400;

/// A clock of another process may be ahead by so many seconds.
const SKEW: i64 = 300;

/// Longer texts are nobody's cursor.
const MOST: usize = 8192;

/// A value of so many bytes cannot be held: requests have limits.
const MOST_VALUE: usize = 3072;

/// The keys are read again when they are older than this and used.
const STALE: Duration = Duration::from_secs(60);

/// A cursor that no key opens has them read again, at most this often.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a page ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Position {
    /// The source, by its place among those that are listed.
    pub part: usize,
    /// In which section of the order.
    pub section: Section,
    /// The sort key's value; NULL outside [`Section::Valued`].
    pub value: Value,
    /// The key, as text.
    pub key: String,
}

/// An order has up to two sections: resources that have the value sorted by, and those that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Section {
    /// There is no sort key.
    #[serde(rename = "k")]
    Keyed,
    /// Those that have it.
    #[serde(rename = "v")]
    Valued,
    /// Those that have not.
    #[serde(rename = "n")]
    Valueless,
}

/// What is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    /// Seconds since 1970 when it was.
    at: i64,
    part: usize,
    section: Section,
    value: Plain,
    key: String,
}

/// A [`Value`], exactly.
#[derive(Serialize, Deserialize)]
enum Plain {
    #[serde(rename = "n")]
    Null,
    #[serde(rename = "b")]
    Bool(bool),
    #[serde(rename = "i")]
    Int(i64),
    #[serde(rename = "u")]
    UInt(u64),
    /// Its bits.
    #[serde(rename = "f")]
    Float(u64),
    #[serde(rename = "t")]
    Text(String),
    #[serde(rename = "x")]
    Bytes(Vec<u8>),
    /// Microseconds.
    #[serde(rename = "c")]
    Clock(i64),
    #[serde(rename = "s")]
    Instant(i64),
    /// Days of our era.
    #[serde(rename = "d")]
    Day(i32),
}

impl Plain {
    fn of(value: &Value) -> Self {
        use chrono::Datelike;
        match value {
            Value::Null => Plain::Null,
            Value::Bool(b) => Plain::Bool(*b),
            Value::Int(i) => Plain::Int(*i),
            Value::UInt(u) => Plain::UInt(*u),
            Value::Float(f) => Plain::Float(f.to_bits()),
            Value::Text(text) | Value::NoDay(text) => Plain::Text(text.clone()),
            Value::Bytes(bytes) => Plain::Bytes(bytes.clone()),
            Value::DateTime(at) => Plain::Clock(at.and_utc().timestamp_micros()),
            Value::Instant(at) => Plain::Instant(at.timestamp_micros()),
            Value::Date(day) => Plain::Day(day.num_days_from_ce()),
        }
    }

    fn value(self) -> Option<Value> {
        Some(match self {
            Plain::Null => Value::Null,
            Plain::Bool(b) => Value::Bool(b),
            Plain::Int(i) => Value::Int(i),
            Plain::UInt(u) => Value::UInt(u),
            Plain::Float(bits) => Value::Float(f64::from_bits(bits)),
            Plain::Text(text) => Value::Text(text),
            Plain::Bytes(bytes) => Value::Bytes(bytes),
            Plain::Clock(micros) => Value::DateTime(DateTime::from_timestamp_micros(micros)?.naive_utc()),
            Plain::Instant(micros) => Value::Instant(DateTime::from_timestamp_micros(micros)?),
            Plain::Day(days) => Value::Date(NaiveDate::from_num_days_from_ce_opt(days)?),
        })
    }
}

/// What a cursor belongs to.
pub(super) fn belongs_to(caller: &Caller, target: &str, parts: &[String], query: &ListQuery, order: &str) -> Vec<u8> {
    let filter = query.filter.as_ref().map(ToString::to_string);
    let sort_by = query.sort_by.as_ref().map(|path| path.to_string().to_lowercase());
    let all = serde_json::json!([1, caller.server.name, target, parts, filter, sort_by, query.descending, order]);
    all.to_string().into_bytes()
}

/// The keys that seal and open, as this process knows them: the first seals.
#[derive(Default)]
pub(super) struct CursorKeys(Mutex<Option<(Instant, Arc<Vec<LessSafeKey>>)>>);

impl Directory {
    /// The cursor for what comes behind a position.
    pub(super) fn seal(&self, position: &Position, belongs_to: &[u8], now: i64) -> Result<String, Error> {
        let long = |value: &Value| match value {
            Value::Text(text) => text.len() > MOST_VALUE,
            Value::Bytes(bytes) => bytes.len() > MOST_VALUE,
            _ => false,
        };
        if long(&position.value) || position.key.len() > MOST_VALUE {
            return Err(Error::invalid_value(
                "the last resource of this page has too long a value to go on from: sort by something else, or page by index",
            ));
        }
        let sealed = Sealed {
            at: now,
            part: position.part,
            section: position.section,
            value: Plain::of(&position.value),
            key: position.key.clone(),
        };
        let mut text = serde_json::to_vec(&sealed).map_err(Error::internal)?;
        let keys = self.cursor_keys(STALE)?;
        let key = keys.first().ok_or_else(|| Error::internal("there is no signing key to derive cursors from"))?;
        let mut nonce = [0_u8; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(Error::internal)?;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(belongs_to), &mut text)
            .map_err(|_| Error::internal("a cursor could not be sealed"))?;
        let mut whole = nonce.to_vec();
        whole.extend(text);
        Ok(URL_SAFE_NO_PAD.encode(whole))
    }

    /// What a cursor says; 400 invalidCursor or expiredCursor.
    pub(super) fn open(&self, cursor: &str, belongs_to: &[u8], now: i64) -> Result<Position, Error> {
        let invalid = || {
            Error::bad_request(
                ScimType::InvalidCursor,
                "the cursor is not one that this service gave for this query: begin with an empty cursor, then send the \
                 nextCursor of the page before, with the same filter, sortBy and sortOrder to the same URL",
            )
        };
        if cursor.len() > MOST {
            return Err(invalid());
        }
        let whole = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| invalid())?;
        let opened = match opened(&self.cursor_keys(STALE)?, &whole, belongs_to) {
            Some(opened) => opened,
            // Sealed by another process under a key that is newer than what this one knows.
            None => opened(&self.cursor_keys(PATIENCE)?, &whole, belongs_to).ok_or_else(invalid)?,
        };
        let sealed: Sealed = serde_json::from_slice(&opened).map_err(|_| invalid())?;
        if now - sealed.at > CURSOR_TIMEOUT || sealed.at - now > SKEW {
            return Err(Error::bad_request(
                ScimType::ExpiredCursor,
                format!("the cursor is older than {CURSOR_TIMEOUT} seconds: begin again with an empty cursor"),
            ));
        }
        let value = sealed.value.value().ok_or_else(invalid)?;
        Ok(Position { part: sealed.part, section: sealed.section, value, key: sealed.key })
    }

    /// The keys, no older than `age`.
    fn cursor_keys(&self, age: Duration) -> Result<Arc<Vec<LessSafeKey>>, Error> {
        let known = || self.cursors.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, keys)) = known().as_ref().filter(|(read, _)| read.elapsed() < age) {
            return Ok(Arc::clone(keys));
        }
        let read = Instant::now();
        let rows = self.read(false, |connection| Ok(self.own.signing_keys(connection)?))?;
        // Newest first, and those in use before those that are retired.
        let (current, retired): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.retired_at.is_none());
        let keys = current.into_iter().chain(retired).map(derived).collect::<Result<Vec<_>, _>>()?;
        let keys = Arc::new(keys);
        *known() = Some((read, Arc::clone(&keys)));
        Ok(keys)
    }
}

fn opened(keys: &[LessSafeKey], whole: &[u8], belongs_to: &[u8]) -> Option<Vec<u8>> {
    let (nonce, text) = whole.split_first_chunk::<NONCE_LEN>()?;
    keys.iter().find_map(|key| {
        let mut text = text.to_vec();
        let opened = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(belongs_to), &mut text);
        opened.ok().map(|opened| opened.to_vec())
    })
}

fn derived(key: &own::SigningKey) -> Result<LessSafeKey, Error> {
    let failed = |_| Error::internal("a key for cursors could not be derived");
    let mut bytes = [0_u8; 32];
    let secret = Salt::new(HKDF_SHA256, b"scimshim").extract(&key.private_key);
    secret.expand(&[b"cursor 1"], HKDF_SHA256).and_then(|derived| derived.fill(&mut bytes)).map_err(failed)?;
    UnboundKey::new(&AES_256_GCM_SIV, &bytes).map(LessSafeKey::new).map_err(failed)
}
