//! Values on their way to and from a database.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

/// The three families of databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// One SQL value.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Value {
    /// NULL.
    #[default]
    Null,
    /// PostgreSQL's boolean. The others give and take 0 and 1.
    Bool(bool),
    /// Any signed integer.
    Int(i64),
    /// An unsigned integer above `i64::MAX`; smaller ones are always [`Value::Int`].
    UInt(u64),
    /// A floating point number.
    Float(f64),
    /// Text of any kind; also decimals, enums, UUIDs and JSON, in their text form.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A wall clock without a zone: `timestamp`, `datetime`.
    DateTime(NaiveDateTime),
    /// An instant: PostgreSQL's `timestamptz`.
    Instant(DateTime<Utc>),
    /// A day.
    Date(NaiveDate),
    /// A moment of MySQL's that no calendar has, as it writes it: `0000-00-00`, `2026-02-00 00:00:00`. It reads as NULL.
    NoDay(String),
}

impl Value {
    /// Whether this is NULL, or stands for it.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null | Value::NoDay(_))
    }

    /// The value as people write it; `None` for NULL. Bytes that are not UTF-8 come out as hex.
    pub fn to_text(&self) -> Option<String> {
        Some(match self {
            Value::Null | Value::NoDay(_) => return None,
            Value::Bool(b) => if *b { "true" } else { "false" }.to_owned(),
            Value::Int(i) => i.to_string(),
            Value::UInt(u) => u.to_string(),
            Value::Float(f) => f.to_string(),
            Value::Text(text) => text.clone(),
            Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => bytes.iter().map(|b| format!("{b:02x}")).collect(),
            },
            Value::DateTime(at) => at.format("%Y-%m-%d %H:%M:%S%.f").to_string(),
            Value::Instant(at) => at.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string(),
            Value::Date(day) => day.format("%Y-%m-%d").to_string(),
        })
    }

    /// The value as an integer, where it is one (booleans are 0 and 1, digits in text count).
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            Value::Bool(b) => Some(i64::from(*b)),
            Value::UInt(u) => i64::try_from(*u).ok(),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Value::Int(i)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Value::Bool(b)
    }
}
