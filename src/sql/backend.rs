//! What differs between the three backends when values go in: how each [`Value`] is bound. The other
//! differences are one `match` on [`Dialect`] each, beside the clause they belong to (`render`).

use super::value::{Dialect, Value};
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use diesel::backend::Backend;
use diesel::deserialize;
use diesel::mysql::Mysql;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{self, SqlType};
use diesel::sqlite::Sqlite;
use std::io::Write;

/// A Diesel backend that the statement tree can be rendered for.
pub(super) trait SqlBackend: Backend + 'static {
    /// Which one.
    const DIALECT: Dialect;
    /// Pushes a bind.
    fn push_value<'b>(value: &'b Value, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()>;
    /// Pushes text.
    #[expect(clippy::ptr_arg, reason = "a bind is kept as a pointer to a sized value")]
    fn push_text<'b>(text: &'b String, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()>;
    /// Pushes a LIMIT or OFFSET.
    fn push_count<'b>(count: &'b u64, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()>;
    /// Reads one value that is not NULL.
    fn decode(raw: Self::RawValue<'_>) -> deserialize::Result<Value>;
}

/// The type of NULL: with OID 0 PostgreSQL infers the parameter's type from where it stands.
#[derive(Clone, Copy, Debug, SqlType)]
#[diesel(postgres_type(oid = 0, array_oid = 0), mysql_type(name = "String"), sqlite_type(name = "Text"))]
pub(super) struct Untold;

/// NULL itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nothing;

const NOTHING: &Nothing = &Nothing;

/// Bound as text whatever the Rust type: numbers beyond `bigint`, and SQLite's dates.
#[derive(Clone, Copy, Debug, SqlType)]
#[diesel(postgres_type(oid = 25, array_oid = 1009), mysql_type(name = "String"), sqlite_type(name = "Text"))]
pub(super) struct Printed;

/// A row count.
#[derive(Clone, Copy, Debug, SqlType)]
#[diesel(postgres_type(oid = 20, array_oid = 1016), mysql_type(name = "LongLong"), sqlite_type(name = "Long"))]
pub(super) struct Count;

macro_rules! null_and_count {
    ($backend:ty, |$count:ident, $out:ident| $write:expr) => {
        impl ToSql<Untold, $backend> for Nothing {
            fn to_sql<'b>(&'b self, _: &mut Output<'b, '_, $backend>) -> serialize::Result {
                Ok(IsNull::Yes)
            }
        }

        impl ToSql<Count, $backend> for u64 {
            fn to_sql<'b>(&'b self, $out: &mut Output<'b, '_, $backend>) -> serialize::Result {
                let $count = i64::try_from(*self).unwrap_or(i64::MAX);
                $write;
                Ok(IsNull::No)
            }
        }
    };
}

null_and_count!(Pg, |count, out| out.write_all(&count.to_be_bytes())?);
null_and_count!(Mysql, |count, out| out.write_all(&count.to_ne_bytes())?);
null_and_count!(Sqlite, |count, out| out.set_value(count));

impl ToSql<Printed, Pg> for u64 {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write!(out, "{self}")?;
        Ok(IsNull::No)
    }
}

macro_rules! printed_on_sqlite {
    ($type:ty, $value:ident => $text:expr) => {
        impl ToSql<Printed, Sqlite> for $type {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                let $value = self;
                out.set_value($text);
                Ok(IsNull::No)
            }
        }
    };
}

printed_on_sqlite!(u64, n => n.to_string());
printed_on_sqlite!(NaiveDateTime, at => at.format("%Y-%m-%d %H:%M:%S%.f").to_string());
printed_on_sqlite!(DateTime<Utc>, at => at.format("%Y-%m-%d %H:%M:%S%.f").to_string());
printed_on_sqlite!(NaiveDate, day => day.format("%Y-%m-%d").to_string());

/// MySQL has no instants: they are bound as UTC wall clock.
#[derive(Clone, Copy, Debug, SqlType)]
#[diesel(mysql_type(name = "DateTime"))]
pub(super) struct UtcClock;

impl ToSql<UtcClock, Mysql> for DateTime<Utc> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        <NaiveDateTime as ToSql<sql_types::Datetime, Mysql>>::to_sql(&self.naive_utc(), &mut out.reborrow())
    }
}

impl SqlBackend for Pg {
    const DIALECT: Dialect = Dialect::Postgres;

    fn push_value<'b>(value: &'b Value, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        match value {
            Value::Null => out.push_bind_param::<Untold, _>(NOTHING),
            Value::Bool(b) => out.push_bind_param::<sql_types::Bool, _>(b),
            Value::Int(i) => out.push_bind_param::<sql_types::BigInt, _>(i),
            Value::UInt(u) => {
                out.push_sql("CAST(");
                out.push_bind_param::<Printed, _>(u)?;
                out.push_sql(" AS numeric)");
                Ok(())
            }
            Value::Float(f) => out.push_bind_param::<sql_types::Double, _>(f),
            Value::Text(text) | Value::NoDay(text) => out.push_bind_param::<sql_types::Text, _>(text),
            Value::Bytes(bytes) => out.push_bind_param::<sql_types::Binary, _>(bytes),
            Value::DateTime(at) => out.push_bind_param::<sql_types::Timestamp, _>(at),
            Value::Instant(at) => out.push_bind_param::<sql_types::Timestamptz, _>(at),
            Value::Date(day) => out.push_bind_param::<sql_types::Date, _>(day),
        }
    }

    fn push_text<'b>(text: &'b String, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        out.push_bind_param::<sql_types::Text, _>(text)
    }

    fn push_count<'b>(count: &'b u64, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        out.push_bind_param::<Count, _>(count)
    }

    fn decode(raw: Self::RawValue<'_>) -> deserialize::Result<Value> {
        super::decode::postgres(raw)
    }
}

impl SqlBackend for Mysql {
    const DIALECT: Dialect = Dialect::Mysql;

    fn push_value<'b>(value: &'b Value, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        match value {
            Value::Null => out.push_bind_param::<Untold, _>(NOTHING),
            Value::Bool(b) => out.push_bind_param::<sql_types::Bool, _>(b),
            Value::Int(i) => out.push_bind_param::<sql_types::BigInt, _>(i),
            Value::UInt(u) => out.push_bind_param::<sql_types::Unsigned<sql_types::BigInt>, _>(u),
            Value::Float(f) => out.push_bind_param::<sql_types::Double, _>(f),
            Value::Text(text) | Value::NoDay(text) => out.push_bind_param::<sql_types::Text, _>(text),
            Value::Bytes(bytes) => out.push_bind_param::<sql_types::Binary, _>(bytes),
            Value::DateTime(at) => out.push_bind_param::<sql_types::Datetime, _>(at),
            Value::Instant(at) => out.push_bind_param::<UtcClock, _>(at),
            Value::Date(day) => out.push_bind_param::<sql_types::Date, _>(day),
        }
    }

    fn push_text<'b>(text: &'b String, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        out.push_bind_param::<sql_types::Text, _>(text)
    }

    fn push_count<'b>(count: &'b u64, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        out.push_bind_param::<Count, _>(count)
    }

    fn decode(raw: Self::RawValue<'_>) -> deserialize::Result<Value> {
        super::decode::mysql(raw)
    }
}

impl SqlBackend for Sqlite {
    const DIALECT: Dialect = Dialect::Sqlite;

    fn push_value<'b>(value: &'b Value, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        match value {
            Value::Null => out.push_bind_param::<Untold, _>(NOTHING),
            Value::Bool(b) => out.push_bind_param::<sql_types::Bool, _>(b),
            Value::Int(i) => out.push_bind_param::<sql_types::BigInt, _>(i),
            Value::UInt(u) => out.push_bind_param::<Printed, _>(u),
            Value::Float(f) => out.push_bind_param::<sql_types::Double, _>(f),
            Value::Text(text) | Value::NoDay(text) => out.push_bind_param::<sql_types::Text, _>(text),
            Value::Bytes(bytes) => out.push_bind_param::<sql_types::Binary, _>(bytes),
            Value::DateTime(at) => out.push_bind_param::<Printed, _>(at),
            Value::Instant(at) => out.push_bind_param::<Printed, _>(at),
            Value::Date(day) => out.push_bind_param::<Printed, _>(day),
        }
    }

    fn push_text<'b>(text: &'b String, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        out.push_bind_param::<sql_types::Text, _>(text)
    }

    fn push_count<'b>(count: &'b u64, out: &mut AstPass<'_, 'b, Self>) -> QueryResult<()> {
        out.push_bind_param::<Count, _>(count)
    }

    fn decode(raw: Self::RawValue<'_>) -> deserialize::Result<Value> {
        super::decode::sqlite(raw)
    }
}
