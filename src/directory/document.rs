//! One key inside a JSON column of the application: the rest of the document stays as it is, and a document that cannot be
//! read, or would lose digits, is refused. Which columns are such is the adapter's to say.

use super::Directory;
use super::change::{Assignment, Writing, also, truth};
use crate::adapter::{Binding, ColumnBinding, ColumnId, Conversion, Environment, Expression, Source};
use crate::scim::Error;
use crate::sql::Value;
use serde_json::Value as Json;

impl Directory {
    /// A client's value as it stands inside a document.
    pub(super) fn scalar(
        &self,
        writing: &Writing<'_>,
        binding: &ColumnBinding,
        value: &Json,
        name: &str,
    ) -> Result<Json, Error> {
        let stored = match truth(value).and_then(|truth| binding.conversion.write_boolean(truth)) {
            Some(expression) => writing.environment.value(expression, Some(&binding.cell)).unwrap_or_default(),
            None => binding
                .conversion
                .write(value, &binding.cell, self.adapter.time_zone)
                .map_err(|refusal| Error::invalid_value(format!("{name} {refusal}")))?,
        };
        Ok(match stored {
            Value::Null => Json::Null,
            Value::Bool(b) => Json::Bool(b),
            Value::Int(i) => Json::from(i),
            Value::UInt(u) => Json::from(u),
            Value::Float(f) => Json::from(f),
            Value::Text(text) if matches!(binding.conversion, Conversion::Json) => {
                serde_json::from_str(&text).unwrap_or(Json::Null)
            }
            Value::Text(text) if matches!(binding.conversion, Conversion::Integer | Conversion::Decimal) => {
                // One with more digits than a JSON number keeps stays text.
                let number = serde_json::from_str(&text).ok().filter(|_| numbers_survive(&text));
                number.map_or(Json::String(text), Json::Number)
            }
            other => other.to_text().map(Json::String).unwrap_or(Json::Null),
        })
    }
}

/// What rules give the JSON columns of a new row: an attribute in such a document adds to it.
pub(super) fn given(
    source: &Source,
    rules: &[(ColumnId, Expression)],
    environment: &Environment<'_>,
) -> Vec<(ColumnId, Value)> {
    let is_document = |id: ColumnId| {
        let mut bindings = source.attributes.iter().map(|attribute| &attribute.binding);
        bindings.any(|binding| matches!(binding, Binding::Column(one) if one.column == id && !one.json.is_empty()))
    };
    let rules = rules.iter().filter(|(id, _)| is_document(*id));
    rules.filter_map(|(id, given)| Some((*id, environment.value(given, source.columns.get(*id))?))).collect()
}

/// Writes one key inside a JSON column; several attributes may share the column. `new` is what the columns of a row hold
/// that is still to be made.
pub(super) fn write(
    writing: &Writing<'_>,
    new: &[(ColumnId, Value)],
    (attribute, binding): (usize, &ColumnBinding),
    value: Json,
    name: &str,
    columns: &mut Vec<Assignment>,
) -> Result<(), Error> {
    let known = columns.iter().position(|known| known.column == binding.column);
    let current = match known.and_then(|known| columns.get(known)) {
        Some(known) => known.value.to_text(),
        None => match writing.environment.row {
            Some((_, row)) => row.get(binding.column).and_then(Value::to_text),
            None => new.iter().find(|(column, _)| *column == binding.column).and_then(|(_, value)| value.to_text()),
        },
    };
    let mut document = match current.filter(|text| !text.trim().is_empty()) {
        None => Json::Object(Default::default()),
        // What cannot be read is not overwritten.
        Some(text) => match serde_json::from_str(&text) {
            Ok(Json::Object(_)) if !numbers_survive(&text) => {
                return Err(Error::conflict(format!(
                    "{name} stands in a document of the application with a number that would lose digits: it is left as it is"
                )));
            }
            Ok(document @ Json::Object(_)) => document,
            Ok(Json::Null) => Json::Object(Default::default()),
            // PHP writes an empty document so.
            Ok(Json::Array(items)) if items.is_empty() => Json::Object(Default::default()),
            _ => {
                return Err(Error::conflict(format!(
                    "{name} stands in a document of the application that is no JSON object: it is left as it is"
                )));
            }
        },
    };
    let coded = matches!(binding.conversion, Conversion::Boolean { .. } | Conversion::Enum(_));
    set(&mut document, &binding.json, value, coded);
    let text = Value::Text(document.to_string());
    match known.and_then(|known| columns.get_mut(known)) {
        Some(entry) => entry.value = text,
        None => columns.push(Assignment::new(attribute, binding.column, text)),
    }
    also(writing, attribute, binding, columns);
    Ok(())
}

/// Whether every number of a JSON document has all its digits once it was read and written.
fn numbers_survive(document: &str) -> bool {
    // What is in quotes is no number; an escaped quote ends nothing.
    let unescaped = document.replace("\\\\", "").replace("\\\"", "");
    let outside = unescaped.split('"').step_by(2);
    let words = outside.flat_map(|text| text.split([',', ':', '[', ']', '{', '}']).map(str::trim));
    let mut numbers = words.filter(|word| word.starts_with(|c: char| c == '-' || c.is_ascii_digit()));
    numbers.all(|number| {
        let read = serde_json::from_str::<serde_json::Number>(number);
        read.is_ok_and(|read| digits(&read.to_string()) == digits(number))
    })
}

/// The digits of a number that say something, without its exponent.
fn digits(number: &str) -> String {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_matches('0').to_owned()
}

/// A number or a boolean where the text is one.
fn as_scalar(text: String) -> Json {
    let scalar = serde_json::from_str::<Json>(&text).ok().filter(|scalar| scalar.is_number() || scalar.is_boolean());
    scalar.unwrap_or(Json::String(text))
}

/// Puts a value where it belongs, null by taking the key away. The other keys keep their order, and a number the form that
/// the application gave it: text where there is text.
fn set(document: &mut Json, path: &[String], value: Json, coded: bool) {
    let Some((key, rest)) = path.split_first() else {
        *document = match (&*document, value) {
            (Json::String(_), Json::Number(number)) => Json::String(number.to_string()),
            // The stored forms of a boolean, or of words: the adapter says them as text.
            (Json::Number(_) | Json::Bool(_), Json::String(stored)) if coded => as_scalar(stored),
            (_, value) => value,
        };
        return;
    };
    if !document.is_object() {
        *document = Json::Object(Default::default());
    }
    let Json::Object(object) = document else { return };
    if rest.is_empty() && value.is_null() {
        object.shift_remove(key);
    } else {
        set(object.entry(key.clone()).or_insert(Json::Null), rest, value, coded);
    }
}
