//! Text on its way to a column and back: trimmed, folded, cut, with or without entities.

use super::{
    Refusal, boolean, characters, column_room, fit_integer, instant, refuse, same, stored_instant, write_date,
    write_decimal, write_uuid,
};
use crate::adapter::{Column, Entities, TextRule};
use crate::sql::{ColumnKind, Value, entities};
use chrono_tz::Tz;
use serde_json::Value as Json;

/// What is stored for a client's text.
pub(super) fn write(rule: &TextRule, value: &Json, column: &Column, zone: Tz) -> Result<Value, Refusal> {
    let mut text = super::text(value)?;
    if rule.trim {
        text = text.trim().to_owned();
    }
    if rule.lower {
        text = text.to_lowercase();
    }
    if text.is_empty() {
        if let Some(empty) = &rule.empty {
            return Ok(empty.clone());
        }
        if !matches!(column.kind, ColumnKind::Text(_)) {
            return Ok(Value::Null);
        }
    }
    let length = characters(&text);
    if let Some(min) = rule.min.filter(|min| length < *min) {
        return refuse(format!("is shorter than {min} characters"));
    }
    let stored = |text: &str| match rule.entities {
        Some(Entities::Always) => entities::encoded(text, rule.parts.as_deref()),
        Some(Entities::Mixed) | None => text.to_owned(),
    };
    let room = column_room(column).unwrap_or(u64::MAX);
    let most = rule.max.unwrap_or(u64::MAX);
    let mut written = stored(&text);
    if length > most || characters(&written) > room {
        if !rule.keep_overflow {
            let shortest = most.min(room);
            return match length > shortest {
                true => refuse(format!("is longer than {shortest} characters")),
                false => refuse(format!(
                    "is longer than {room} characters, counting each of & < > as the five that it is stored as"
                )),
            };
        }
        text = text.chars().take(usize::try_from(most.min(room)).unwrap_or(usize::MAX)).collect();
        written = stored(&text);
        // No entity is cut in two.
        while characters(&written) > room && text.pop().is_some() {
            written = stored(&text);
        }
    }
    let text = written;
    match &column.kind {
        ColumnKind::Integer { .. } => {
            let number = text.trim().parse().or_else(|_| refuse("is not a whole number"))?;
            fit_integer(number, column)
        }
        ColumnKind::Decimal | ColumnKind::Float => write_decimal(&Json::String(text), column),
        ColumnKind::DateTime | ColumnKind::Instant => Ok(stored_instant(instant(&Json::String(text))?, column, zone)),
        ColumnKind::Date => write_date(text.trim(), column),
        ColumnKind::Binary(_) => Ok(Value::Bytes(text.into_bytes())),
        ColumnKind::Uuid => write_uuid(text.trim(), column),
        ColumnKind::Boolean => Ok(Value::Bool(boolean(&Json::String(text))?)),
        ColumnKind::Enum(labels) => match labels.iter().find(|label| **label == text) {
            Some(_) => Ok(Value::Text(text)),
            None => refuse(format!("is not one of {}", labels.join(", "))),
        },
        ColumnKind::Text(_) | ColumnKind::Json | ColumnKind::Other => Ok(Value::Text(text)),
    }
}

/// What a stored text reads as; `None` where it stands for nothing.
pub(super) fn read(rule: &TextRule, value: &Value, column: &Column) -> Option<Json> {
    if rule.empty.as_ref().is_some_and(|empty| same(empty, value, false)) {
        return None;
    }
    let mut text = value.to_text()?;
    // PostgreSQL pads char(n) with blanks.
    if column.cast.as_ref().is_some_and(|cast| cast.as_str().starts_with("character(")) {
        text.truncate(text.trim_end().len());
    }
    if rule.entities.is_some() {
        text = entities::decoded(&text, rule.parts.as_deref()).into_owned();
    }
    (!text.is_empty()).then_some(Json::String(text))
}
