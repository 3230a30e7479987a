//! A value on its way from JSON to its column and back.
//!
//! What does not fit is refused here, before the database sees it, with a sentence that lacks the
//! attribute's name: the caller puts it in front ("userName is longer than 10 characters"). Whether a
//! stored value was altered on its way (trimmed, cut) is for the caller to see: it keeps the client's
//! form in the sidecar.

use super::{Column, Conversion, Expression, TextRule};
use crate::sql::{ColumnKind, Expr, Value, entities};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::fmt;

#[cfg(test)]
mod tests;
mod text;

/// Why a value cannot be stored: a sentence without its subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// 23:59:59.
const LAST_SECOND: NaiveTime = match NaiveTime::from_hms_opt(23, 59, 59) {
    Some(time) => time,
    None => NaiveTime::MIN,
};

fn refuse<T>(sentence: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(sentence.into()))
}

impl Conversion {
    /// The column's value for a client's. JSON null is NULL, and so is an empty list. For
    /// [`Conversion::Boolean`] see [`Conversion::write_boolean`]: here it gives the stored literal and
    /// refuses where what is stored is not one.
    pub fn write(&self, value: &Json, column: &Column, zone: Tz) -> Result<Value, Refusal> {
        if value.is_null() || value.as_array().is_some_and(Vec::is_empty) {
            return Ok(Value::Null);
        }
        match self {
            Conversion::Text(rule) => text::write(rule, value, column, zone),
            Conversion::Boolean { .. } => match self.write_boolean(boolean(value)?) {
                Some(Expression::Literal(value)) => Ok(value.clone()),
                _ => refuse("has no fixed stored form"),
            },
            Conversion::Enum(words) => write_word(words, value),
            Conversion::Integer => {
                let number = integer(value)?;
                match column.kind {
                    ColumnKind::Text(_) | ColumnKind::Other => fit_text(number.to_string(), column),
                    _ => fit_integer(number, column),
                }
            }
            Conversion::Decimal => write_decimal(value, column),
            Conversion::DateTime => Ok(stored_instant(instant(value)?, column, zone)),
            Conversion::Unix(scale) => {
                let at = instant(value)?;
                let whole = i128::from(at.timestamp()) * i128::from(*scale);
                let part = i128::from(at.timestamp_subsec_nanos()) * i128::from(*scale) / 1_000_000_000;
                fit_integer(whole + part, column)
            }
            Conversion::Date => write_date(text(value)?.trim(), column),
            Conversion::Binary => write_binary(&text(value)?, column),
            Conversion::Json => fit_text(value.to_string(), column),
            Conversion::Uuid => write_uuid(text(value)?.trim(), column),
            Conversion::Locale { separator, values } => {
                fit_text(locale(text(value)?.trim(), *separator, values)?, column)
            }
        }
    }

    /// What is stored for true or false; `None` where this is not a boolean.
    pub fn write_boolean(&self, value: bool) -> Option<&Expression> {
        match self {
            Conversion::Boolean { yes, no } => if value { yes } else { no }.first(),
            _ => None,
        }
    }

    /// What a client is shown for a column's value; `None` where there is nothing, or nothing that
    /// this conversion knows.
    pub fn read(&self, value: &Value, column: &Column, zone: Tz) -> Option<Json> {
        if let Conversion::Boolean { yes, no } = self {
            return read_boolean(yes, no, value, column).map(Json::Bool);
        }
        if value.is_null() {
            return None;
        }
        match self {
            Conversion::Text(rule) => text::read(rule, value, column),
            Conversion::Boolean { .. } => None,
            Conversion::Enum(words) => words
                .iter()
                .find(|(_, stored)| same(stored, value, column.ignores_case))
                .map(|(word, _)| Json::String(word.clone())),
            Conversion::Integer => match value {
                Value::UInt(number) => Some(Json::from(*number)),
                _ => value.as_int().map(Json::from),
            },
            Conversion::Decimal => match value {
                Value::Int(number) => Some(Json::from(*number)),
                Value::UInt(number) => Some(Json::from(*number)),
                _ => value
                    .to_text()
                    .and_then(|text| text.trim().parse::<f64>().ok())
                    .and_then(serde_json::Number::from_f64)
                    .map(Json::Number),
            },
            Conversion::DateTime => read_instant(value, zone).map(|at| Json::String(rfc3339(at))),
            Conversion::Unix(scale) => {
                let stored = value.as_int()?;
                let scale = (*scale).max(1);
                let part = stored.rem_euclid(scale).checked_mul(1_000_000_000 / scale)?;
                let at = DateTime::from_timestamp(stored.div_euclid(scale), u32::try_from(part).ok()?)?;
                Some(Json::String(rfc3339(at)))
            }
            Conversion::Date => read_date(value).map(|day| Json::String(day.format("%Y-%m-%d").to_string())),
            Conversion::Binary => Some(Json::String(match value {
                Value::Bytes(bytes) => BASE64.encode(bytes),
                other => other.to_text()?,
            })),
            Conversion::Json => serde_json::from_str(&value.to_text()?).ok(),
            Conversion::Uuid => Some(Json::String(match value {
                Value::Bytes(bytes) => uuid::Uuid::from_slice(bytes).ok()?.to_string(),
                other => other.to_text()?.trim().to_ascii_lowercase(),
            })),
            Conversion::Locale { .. } => {
                let stored = value.to_text()?;
                let tag = stored.trim();
                (!tag.is_empty()).then(|| Json::String(tag.replace('_', "-")))
            }
        }
    }
}

impl Conversion {
    /// What a stored text reads as, before it is known to be absent.
    pub fn shown<'t>(&self, stored: &'t str) -> Cow<'t, str> {
        match self {
            Conversion::Text(TextRule { entities: Some(_), parts, .. }) => entities::decoded(stored, parts.as_deref()),
            Conversion::Locale { .. } => Cow::Owned(stored.replace('_', "-")),
            _ => Cow::Borrowed(stored),
        }
    }

    /// Every stored text that reads as this one: one, unless entities are stored.
    pub fn forms(&self, text: &str) -> Vec<String> {
        match self {
            Conversion::Text(TextRule { entities: Some(_), parts, .. }) => entities::forms(text, parts.as_deref()),
            Conversion::Locale { .. } => spellings(text),
            _ => vec![text.to_owned()],
        }
    }

    /// A text column as it reads.
    pub fn reads(&self, expr: Expr) -> Expr {
        match self {
            Conversion::Text(TextRule { entities: Some(_), parts, .. }) => Expr::Decoded(Box::new(expr), parts.clone()),
            Conversion::Locale { .. } => Expr::Replaced(Box::new(expr), '_', '-'),
            _ => expr,
        }
    }
}

/// A boolean as clients send it: Entra ID writes `"True"` and `"False"`.
pub fn boolean(value: &Json) -> Result<bool, Refusal> {
    match value {
        Json::Bool(value) => Ok(*value),
        Json::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
        Json::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
        Json::Number(number) if number.as_i64() == Some(1) => Ok(true),
        Json::Number(number) if number.as_i64() == Some(0) => Ok(false),
        _ => refuse("is not true or false"),
    }
}

/// Whether two stored values are the same, whatever the type the driver gave them.
pub fn same(left: &Value, right: &Value, ignore_case: bool) -> bool {
    if left.is_null() || right.is_null() {
        return left.is_null() && right.is_null();
    }
    match (left, right) {
        (Value::Int(_) | Value::Bool(_), _) | (_, Value::Int(_) | Value::Bool(_))
            if left.as_int().is_some() && right.as_int().is_some() =>
        {
            left.as_int() == right.as_int()
        }
        _ => match (left.to_text(), right.to_text()) {
            (Some(left), Some(right)) if ignore_case => left.to_lowercase() == right.to_lowercase(),
            (left, right) => left == right,
        },
    }
}

/// An instant as its column holds it: a wall clock in `zone`, or an instant, a day, text.
pub fn stored_instant(at: DateTime<Utc>, column: &Column, zone: Tz) -> Value {
    let at = in_calendar(at, zone);
    let wall = at.with_timezone(&zone).naive_local();
    match column.kind {
        ColumnKind::Instant => Value::Instant(at),
        ColumnKind::Date => Value::Date(wall.date()),
        ColumnKind::Integer { .. } => Value::Int(at.timestamp()),
        ColumnKind::Text(_) | ColumnKind::Other => Value::Text(wall.format("%Y-%m-%d %H:%M:%S").to_string()),
        _ => Value::DateTime(wall),
    }
}

/// The instant itself, or the nearest whose year has four digits in UTC and on the wall clock of `zone`: no database, and
/// no application, knows what comes after. Clients say "for ever" so (`9999-12-31T23:59:59.9999999Z`), and mean no zone.
pub fn in_calendar(at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
    // Without a fraction, which a column of whole seconds would round up.
    let (first, last) = (day(1, 1, 1).and_time(NaiveTime::MIN), day(9999, 12, 31).and_time(LAST_SECOND));
    let seen = |wall: NaiveDateTime| from_wall(wall, zone).unwrap_or(wall.and_utc());
    at.max(first.and_utc().max(seen(first))).min(last.and_utc().min(seen(last)))
}

/// The instant that a column's value stands for; `None` where it is not one.
pub fn read_instant(value: &Value, zone: Tz) -> Option<DateTime<Utc>> {
    match value {
        Value::Instant(at) => Some(*at),
        Value::DateTime(wall) => from_wall(*wall, zone),
        Value::Date(day) => from_wall(day.and_time(NaiveTime::MIN), zone),
        Value::Text(text) => {
            let text = text.trim();
            if let Ok(at) = DateTime::parse_from_rfc3339(text) {
                return Some(at.with_timezone(&Utc));
            }
            from_wall(wall_clock(text)?, zone)
        }
        _ => None,
    }
}

/// `2026-11-21T19:00:00Z`, with a fraction where there is one.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A wall clock's instant. The hour that a clock shows twice is taken as its first; one it never shows
/// (spring) as if the clock had not been moved yet.
fn from_wall(wall: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    if let Some(at) = zone.from_local_datetime(&wall).earliest() {
        return Some(at.with_timezone(&Utc));
    }
    [1, 3, 25].into_iter().find_map(|hours| {
        let before = zone.from_local_datetime(&(wall - Duration::hours(hours))).latest()?;
        Some(before.with_timezone(&Utc) + Duration::hours(hours))
    })
}

pub(super) fn wall_clock(text: &str) -> Option<NaiveDateTime> {
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
        .or_else(|| Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN)))
}

fn text(value: &Json) -> Result<String, Refusal> {
    match value {
        Json::String(text) if text.contains('\0') => refuse("contains a NUL character"),
        Json::String(text) => Ok(text.clone()),
        Json::Number(number) => Ok(number.to_string()),
        _ => refuse("is not a string"),
    }
}

fn characters(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

fn column_room(column: &Column) -> Option<u64> {
    match column.kind {
        ColumnKind::Text(room) => room,
        _ => None,
    }
}

fn fit_text(text: String, column: &Column) -> Result<Value, Refusal> {
    match column_room(column) {
        Some(room) if characters(&text) > room => refuse(format!("is longer than {room} characters")),
        _ => Ok(Value::Text(text)),
    }
}

fn read_boolean(yes: &[Expression], no: &[Expression], value: &Value, column: &Column) -> Option<bool> {
    let literal = |side: &[Expression]| {
        side.iter().any(|expression| match expression {
            Expression::Literal(stored) => same(stored, value, column.ignores_case),
            _ => false,
        })
    };
    // What is computed when it is written (the time of day) is known by not being NULL.
    let computed = |side: &[Expression]| {
        !value.is_null() && side.iter().any(|expression| !matches!(expression, Expression::Literal(_)))
    };
    match (literal(yes), literal(no)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ if computed(yes) => Some(true),
        _ if computed(no) => Some(false),
        _ => None,
    }
}

fn write_word(words: &[(String, Value)], value: &Json) -> Result<Value, Refusal> {
    let text = text(value)?;
    let exact = words.iter().find(|(word, _)| *word == text);
    match exact.or_else(|| words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text.trim()))) {
        Some((_, stored)) => Ok(stored.clone()),
        None => {
            let all: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
            refuse(format!("is not one of {}", all.join(", ")))
        }
    }
}

fn integer(value: &Json) -> Result<i128, Refusal> {
    let parsed = match value {
        Json::Number(number) => number
            .as_i64()
            .map(i128::from)
            .or_else(|| number.as_u64().map(i128::from))
            // 5.0 is a whole number too.
            .or_else(|| number.to_string().strip_suffix(".0").and_then(|whole| whole.parse().ok())),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    parsed.map_or_else(|| refuse("is not a whole number"), Ok)
}

fn fit_integer(number: i128, column: &Column) -> Result<Value, Refusal> {
    if let ColumnKind::Integer { min, max } = column.kind
        && (number < min || number > max)
    {
        return refuse(format!("is not between {min} and {max}"));
    }
    if let Ok(number) = i64::try_from(number) {
        return Ok(Value::Int(number));
    }
    u64::try_from(number).map(Value::UInt).or_else(|_| refuse("is too large a number"))
}

fn write_decimal(value: &Json, column: &Column) -> Result<Value, Refusal> {
    let text = match value {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.trim().to_owned(),
        _ => return refuse("is not a number"),
    };
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(match column.kind {
            ColumnKind::Float => Value::Float(number),
            _ => Value::Text(text),
        }),
        _ => refuse("is not a number"),
    }
}

/// An RFC 7643 2.3.5 dateTime; one without an offset is taken as UTC.
fn instant(value: &Json) -> Result<DateTime<Utc>, Refusal> {
    let text = text(value)?;
    let text = text.trim();
    let said = DateTime::parse_from_rfc3339(text).or_else(|error| match wall_clock(text) {
        Some(wall) => Ok(wall.and_utc().fixed_offset()),
        None => Err(error),
    });
    match said {
        Ok(at) if known_year(at.year()) => Ok(without_leap_second(at.with_timezone(&Utc))),
        Ok(_) => refuse("is not between the years 1 and 9999"),
        Err(_) => refuse("is not a date and time like 2026-11-21T19:00:00Z"),
    }
}

/// `23:59:60` is the second after it, which databases have.
pub fn without_leap_second(at: DateTime<Utc>) -> DateTime<Utc> {
    match at.timestamp_subsec_nanos().checked_sub(1_000_000_000) {
        Some(nanos) => DateTime::from_timestamp(at.timestamp().saturating_add(1), nanos).unwrap_or(at),
        None => at,
    }
}

fn known_year(year: i32) -> bool {
    (1..=9999).contains(&year)
}

/// A day; of a date and time, the day that is written there, whatever its offset.
fn write_date(text: &str, column: &Column) -> Result<Value, Refusal> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|at| at.date_naive()))
        .or_else(|| wall_clock(text).map(|wall| wall.date()));
    match (day, &column.kind) {
        (None, _) => refuse("is not a date like 2026-11-21"),
        (Some(day), _) if !known_year(day.year()) => refuse("is not between the years 1 and 9999"),
        (Some(day), ColumnKind::DateTime) => Ok(Value::DateTime(day.and_time(NaiveTime::MIN))),
        (Some(day), ColumnKind::Instant) => Ok(Value::Instant(day.and_time(NaiveTime::MIN).and_utc())),
        (Some(day), ColumnKind::Text(_)) => fit_text(day.format("%Y-%m-%d").to_string(), column),
        (Some(day), _) => Ok(Value::Date(day)),
    }
}

fn read_date(value: &Value) -> Option<NaiveDate> {
    match value {
        Value::Date(day) => Some(*day),
        Value::DateTime(wall) => Some(wall.date()),
        Value::Instant(at) => Some(at.date_naive()),
        Value::Text(text) => wall_clock(text.trim()).map(|wall| wall.date()),
        _ => None,
    }
}

fn write_binary(text: &str, column: &Column) -> Result<Value, Refusal> {
    let Ok(bytes) = BASE64.decode(text.trim()) else {
        return refuse("is not base64");
    };
    match column.kind {
        ColumnKind::Binary(Some(room)) if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > room => {
            refuse(format!("is longer than {room} bytes"))
        }
        ColumnKind::Binary(_) => Ok(Value::Bytes(bytes)),
        _ => fit_text(text.trim().to_owned(), column),
    }
}

fn write_uuid(text: &str, column: &Column) -> Result<Value, Refusal> {
    match uuid::Uuid::parse_str(text) {
        Ok(uuid) if matches!(column.kind, ColumnKind::Binary(_)) => Ok(Value::Bytes(uuid.as_bytes().to_vec())),
        Ok(uuid) => fit_text(uuid.to_string(), column),
        Err(_) => refuse("is not a UUID"),
    }
}

/// The ways in which a language tag may be stored: its separators are hyphens or underscores. None where it has an
/// underscore itself, because no tag is shown so.
fn spellings(tag: &str) -> Vec<String> {
    if tag.contains('_') {
        return Vec::new();
    }
    let mut all = vec![String::new()];
    for (index, part) in tag.split('-').enumerate() {
        // A tag of more parts than any has is asked for as it stands.
        let separators: &[&str] = match index {
            0 => &[""],
            1..=4 => &["-", "_"],
            _ => &["-"],
        };
        all = all
            .iter()
            .flat_map(|tag| separators.iter().map(move |separator| format!("{tag}{separator}{part}")))
            .collect();
    }
    all
}

/// The application's spelling of a language tag. Of an Accept-Language list (RFC 7643 4.1.1 allows
/// one) the first counts.
fn locale(text: &str, separator: char, values: &[String]) -> Result<String, Refusal> {
    let first = text.split([',', ';']).next().unwrap_or_default().trim();
    let tag = first.replace('_', "-");
    let language = tag.split('-').next().unwrap_or_default();
    if language.is_empty() || !tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return refuse("is not a language tag like en-US");
    }
    if values.is_empty() {
        let mut parts = tag.split('-');
        let mut spelled = parts.next().unwrap_or_default().to_ascii_lowercase();
        for part in parts {
            spelled.push(separator);
            spelled.push_str(&if part.len() == 2 { part.to_ascii_uppercase() } else { part.to_owned() });
        }
        return Ok(spelled);
    }
    let plain = |value: &String| value.replace('_', "-");
    let exact = values.iter().find(|value| plain(value).eq_ignore_ascii_case(&tag));
    let spoken = |language: &str| {
        values.iter().find(|value| plain(value).split('-').next().is_some_and(|l| l.eq_ignore_ascii_case(language)))
    };
    // `no` is Norwegian of either kind; most who write it write bokmål.
    let known = exact.or_else(|| spoken(language)).or_else(|| spoken("nb").filter(|_| language == "no"));
    match known {
        Some(value) => Ok(value.clone()),
        None => refuse(format!("is not one of the application's languages ({})", values.join(", "))),
    }
}
