//! Values on their way out, by the type that the server names. What cannot be read for certain is
//! refused: a column of such a type is selected as `CAST(column AS text)` ([`super::Expr::Text`]).

use super::value::Value;
use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use diesel::deserialize::{self, FromSql};
use diesel::mysql::data_types::MysqlTime;
use diesel::mysql::{Mysql, MysqlType, MysqlValue};
use diesel::pg::{Pg, PgValue};
use diesel::sql_types;
use diesel::sqlite::{Sqlite, SqliteType};

/// The first OID that is not built in: enums, citext and other extension types, whose binary form is
/// their text.
const FIRST_USER_OID: u32 = 16384;

pub(super) fn postgres(raw: PgValue<'_>) -> deserialize::Result<Value> {
    let bytes = raw.as_bytes();
    Ok(match raw.get_oid().get() {
        16 => Value::Bool(bytes.first().is_some_and(|b| *b != 0)),
        17 => Value::Bytes(bytes.to_vec()),
        18 | 19 | 25 | 114 | 705 | 1043 => text(bytes)?,
        // The blanks that fill up a char(n) mean nothing to PostgreSQL.
        1042 => Value::Text(std::str::from_utf8(bytes)?.trim_end_matches(' ').to_owned()),
        20 => Value::Int(i64::from_be_bytes(fixed(bytes)?)),
        21 => Value::Int(i64::from(i16::from_be_bytes(fixed(bytes)?))),
        23 => Value::Int(i64::from(i32::from_be_bytes(fixed(bytes)?))),
        26 | 28 | 29 | 2205 => Value::Int(i64::from(u32::from_be_bytes(fixed(bytes)?))),
        700 => Value::Float(f64::from(f32::from_be_bytes(fixed(bytes)?))),
        701 => Value::Float(f64::from_be_bytes(fixed(bytes)?)),
        1082 => match <NaiveDate as FromSql<sql_types::Date, Pg>>::from_sql(raw) {
            Ok(day) => Value::Date(day),
            Err(_) => infinity(bytes),
        },
        1114 => match <NaiveDateTime as FromSql<sql_types::Timestamp, Pg>>::from_sql(raw) {
            Ok(at) => Value::DateTime(at),
            Err(_) => infinity(bytes),
        },
        1184 => match <DateTime<Utc> as FromSql<sql_types::Timestamptz, Pg>>::from_sql(raw) {
            Ok(at) => Value::Instant(at),
            Err(_) => infinity(bytes),
        },
        1700 => Value::Text(numeric(bytes)?),
        2950 => Value::Text(uuid::Uuid::from_bytes(fixed(bytes)?).hyphenated().to_string()),
        3802 => match bytes.split_first() {
            Some((1, document)) => text(document)?,
            _ => return Err("jsonb of an unknown version".into()),
        },
        oid if oid >= FIRST_USER_OID => text(bytes)?,
        oid => return Err(format!("a column of the built-in type with OID {oid} must be cast to text").into()),
    })
}

/// A moment that no calendar has: the least number of the wire form is before all others, the rest after them.
fn infinity(bytes: &[u8]) -> Value {
    match bytes {
        [0x80, rest @ ..] if rest.iter().all(|byte| *byte == 0) => Value::from("-infinity"),
        _ => Value::from("infinity"),
    }
}

/// `numeric`'s wire form: digit groups of base 10000, weight, sign, display scale.
fn numeric(bytes: &[u8]) -> deserialize::Result<String> {
    let mut words = bytes.chunks_exact(2).map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    });
    let mut next = || words.next().ok_or("numeric cut short");
    let (_count, weight, sign, scale) = (next()?, next()?, next()?, next()?);
    match sign {
        0xC000 => return Ok("NaN".to_owned()),
        0xD000 => return Ok("Infinity".to_owned()),
        0xF000 => return Ok("-Infinity".to_owned()),
        _ => {}
    }
    let groups: Vec<u16> = words.collect();
    let weight = i32::from(i16::from_be_bytes(weight.to_be_bytes()));
    let group = |index: i32| usize::try_from(index).ok().and_then(|index| groups.get(index)).copied().unwrap_or(0);
    let mut out = String::new();
    if sign == 0x4000 {
        out.push('-');
    }
    out.push_str(&group(if weight < 0 { -1 } else { 0 }).to_string());
    for index in 1..=weight {
        out.push_str(&format!("{:04}", group(index)));
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut index = weight + 1;
        while fraction.len() < usize::from(scale) {
            fraction.push_str(&format!("{:04}", group(index)));
            index += 1;
        }
        fraction.truncate(usize::from(scale));
        out.push('.');
        out.push_str(&fraction);
    }
    Ok(out)
}

pub(super) fn mysql(raw: MysqlValue<'_>) -> deserialize::Result<Value> {
    let bytes = raw.as_bytes();
    Ok(match raw.value_type() {
        MysqlType::Tiny => Value::Int(i64::from(i8::from_ne_bytes(fixed(bytes)?))),
        MysqlType::UnsignedTiny => Value::Int(i64::from(u8::from_ne_bytes(fixed(bytes)?))),
        MysqlType::Short => Value::Int(i64::from(i16::from_ne_bytes(fixed(bytes)?))),
        MysqlType::UnsignedShort => Value::Int(i64::from(u16::from_ne_bytes(fixed(bytes)?))),
        MysqlType::Long => Value::Int(i64::from(i32::from_ne_bytes(fixed(bytes)?))),
        MysqlType::UnsignedLong => Value::Int(i64::from(u32::from_ne_bytes(fixed(bytes)?))),
        MysqlType::LongLong => Value::Int(i64::from_ne_bytes(fixed(bytes)?)),
        MysqlType::UnsignedLongLong => {
            let u = u64::from_ne_bytes(fixed(bytes)?);
            i64::try_from(u).map_or(Value::UInt(u), Value::Int)
        }
        MysqlType::Float => Value::Float(f64::from(f32::from_ne_bytes(fixed(bytes)?))),
        MysqlType::Double => Value::Float(f64::from_ne_bytes(fixed(bytes)?)),
        MysqlType::Numeric => text(bytes)?,
        // A bit field, most significant byte first.
        MysqlType::Bit => {
            let u = bytes.iter().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
            i64::try_from(u).map_or(Value::UInt(u), Value::Int)
        }
        MysqlType::DateTime | MysqlType::Timestamp => {
            let at = <MysqlTime as FromSql<sql_types::Timestamp, Mysql>>::from_sql(raw)?;
            mysql_day(&at)
                .and_then(|day| {
                    day.and_hms_micro_opt(at.hour, at.minute, at.second, u32::try_from(at.second_part).ok()?)
                })
                .map_or_else(|| Value::NoDay(mysql_clock(&at)), Value::DateTime)
        }
        MysqlType::Date => {
            let at = <MysqlTime as FromSql<sql_types::Date, Mysql>>::from_sql(raw)?;
            let text = || format!("{:04}-{:02}-{:02}", at.year, at.month, at.day);
            mysql_day(&at).map_or_else(|| Value::NoDay(text()), Value::Date)
        }
        MysqlType::Time => {
            let at = <MysqlTime as FromSql<sql_types::Time, Mysql>>::from_sql(raw)?;
            Value::Text(format!("{:02}:{:02}:{:02}", at.day * 24 + at.hour, at.minute, at.second))
        }
        // TEXT and BLOB are one type on the wire as Diesel tells it: what is UTF-8 is text.
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(bytes.to_vec()),
        },
    })
}

fn mysql_day(at: &MysqlTime) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(i32::try_from(at.year).ok()?, at.month, at.day).filter(|_| at.year != 0)
}

fn mysql_clock(at: &MysqlTime) -> String {
    let MysqlTime { year, month, day, hour, minute, second, second_part, .. } = at;
    let fraction = if *second_part == 0 { String::new() } else { format!(".{second_part:06}") };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}")
}

pub(super) fn sqlite(mut raw: <Sqlite as diesel::backend::Backend>::RawValue<'_>) -> deserialize::Result<Value> {
    Ok(match raw.value_type() {
        None => Value::Null,
        Some(SqliteType::Binary) => Value::Bytes(raw.read_blob().to_vec()),
        Some(SqliteType::Float | SqliteType::Double) => Value::Float(raw.read_double()),
        Some(SqliteType::SmallInt | SqliteType::Integer | SqliteType::Long) => Value::Int(raw.read_long()),
        Some(SqliteType::Text) => Value::Text(raw.read_text().to_owned()),
    })
}

fn text(bytes: &[u8]) -> deserialize::Result<Value> {
    Ok(Value::Text(std::str::from_utf8(bytes)?.to_owned()))
}

fn fixed<const N: usize>(bytes: &[u8]) -> deserialize::Result<[u8; N]> {
    // MySQL's buffers may be longer than the value.
    let head = bytes.get(..N).ok_or("a value cut short")?;
    Ok(head.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Vec<u8> {
        let count = u16::try_from(groups.len()).unwrap();
        let mut bytes = Vec::new();
        bytes.extend(count.to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(scale.to_be_bytes());
        groups.iter().for_each(|group| bytes.extend(group.to_be_bytes()));
        bytes
    }

    #[test]
    fn infinities_have_their_signs() {
        for (bytes, expected) in [
            (i32::MIN.to_be_bytes().to_vec(), "-infinity"),
            (i32::MAX.to_be_bytes().to_vec(), "infinity"),
            (i64::MIN.to_be_bytes().to_vec(), "-infinity"),
            (i64::MAX.to_be_bytes().to_vec(), "infinity"),
        ] {
            assert_eq!(infinity(&bytes), Value::from(expected));
        }
    }

    #[test]
    fn numerics_are_printed_as_postgres_prints_them() {
        for (bytes, expected) in [
            (wire(0, 0, 0, &[]), "0"),
            (wire(0, 0, 2, &[]), "0.00"),
            (wire(0, 0, 2, &[12, 3400]), "12.34"),
            (wire(1, 0x4000, 0, &[1, 5]), "-10005"),
            (wire(2, 0, 0, &[7]), "700000000"),
            (wire(-1, 0, 4, &[42]), "0.0042"),
            (wire(-2, 0, 8, &[42]), "0.00000042"),
            (wire(0, 0xC000, 0, &[]), "NaN"),
        ] {
            assert_eq!(numeric(&bytes).unwrap(), expected);
        }
    }
}
