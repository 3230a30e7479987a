//! One attribute's value as a client sent it, brought into normal form (RFC 7643 2).
//!
//! Accepted: booleans as strings, numbers for strings and the other way round, a multi-valued attribute sent as its one
//! value, a complex one sent as its `value`, a reference sent as `$ref` or `{managerId}`. `null`, `""`, `[]` and objects
//! without content mean that the attribute is unassigned. Anything else is 400 invalidValue naming the attribute.

use std::collections::HashMap;

use serde_json::Value;

use super::schema::Resolved;
use super::{Attribute, Error, Kind, Object, name};

/// The normal form of a whole attribute (or sub-attribute); `None`: unassigned.
pub(super) fn normal(at: Resolved<'_>, value: Value, dropped: &mut Vec<String>) -> Result<Option<Value>, Error> {
    if leaf(at).multi_valued {
        let elements = elements(at, value, dropped)?;
        Ok((!elements.is_empty()).then_some(Value::Array(elements)))
    } else {
        single(at, value, dropped)
    }
}

/// The values of a multi-valued attribute, without the empty, without doubles, with one primary at most.
pub(super) fn elements(at: Resolved<'_>, value: Value, dropped: &mut Vec<String>) -> Result<Vec<Value>, Error> {
    let list = match value {
        Value::Array(list) => list,
        other => vec![other],
    };
    let mut elements = Vec::with_capacity(list.len());
    for value in list {
        if value.is_array() {
            return Err(wrong(at, "holds a list inside a list"));
        }
        if let Some(element) = single(at, value, dropped)?
            && !is_hollow(leaf(at), &element)
        {
            elements.push(element);
        }
    }
    let mut elements = without_doubles(elements);
    one_primary(&mut elements, None);
    Ok(elements)
}

/// One value: of a singular attribute, or one of many.
pub(super) fn single(at: Resolved<'_>, value: Value, dropped: &mut Vec<String>) -> Result<Option<Value>, Error> {
    let attribute = leaf(at);
    match value {
        Value::Null => Ok(None),
        Value::Array(mut list) => match list.len() {
            0 => Ok(None),
            1 => single(at, list.swap_remove(0), dropped),
            _ => Err(wrong(at, "takes one value, not a list")),
        },
        Value::Object(object) if attribute.kind == Kind::Complex => {
            Ok(complex(at, object, dropped)?.map(Value::Object))
        }
        Value::Object(_) => Err(wrong(at, &format!("must be a {}, not an object", attribute.kind.as_str()))),
        value if attribute.kind == Kind::Complex => {
            let Some(sub) = attribute.sub("value").filter(|_| at.sub.is_none()) else {
                return Err(wrong(at, "must be an object"));
            };
            let value = scalar(Resolved { sub: Some(sub), ..at }, value)?;
            Ok(value.map(|value| Value::Object(Object::from_iter([(sub.name.clone(), value)]))))
        }
        value => scalar(at, value),
    }
}

/// An element that says nothing: only what qualifies a value, and no value.
pub(super) fn is_hollow(attribute: &Attribute, element: &Value) -> bool {
    let qualifies = |key: &str| matches!(key, "type" | "primary" | "display" | "$ref");
    match element {
        // Where `type` or `display` is all there is, it is the value.
        Value::Object(object) if attribute.sub_attributes.iter().any(|sub| !qualifies(&sub.name)) => {
            object.keys().all(|key| qualifies(key))
        }
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

/// At most one primary (RFC 7643 2.4): the one at `chosen`, or else the first.
pub(super) fn one_primary(elements: &mut [Value], chosen: Option<usize>) {
    let is_primary = |element: &Value| element.get("primary") == Some(&Value::Bool(true));
    let Some(kept) = chosen.or_else(|| elements.iter().position(is_primary)) else {
        return;
    };
    for (index, element) in elements.iter_mut().enumerate() {
        if index != kept
            && is_primary(element)
            && let Some(object) = element.as_object_mut()
        {
            object.insert("primary".to_owned(), false.into());
        }
    }
}

/// The characteristics of what a resolved path ends in.
pub(super) fn leaf<'a>(at: Resolved<'a>) -> &'a Attribute {
    at.sub.unwrap_or(at.attribute)
}

fn complex(at: Resolved<'_>, object: Object, dropped: &mut Vec<String>) -> Result<Option<Object>, Error> {
    let attribute = at.attribute;
    let mut normalised = Object::new();
    // A reference whose id is there but empty is a cleared reference, whatever else is said of it.
    let mut cleared = false;
    for (key, value) in object {
        let Some(sub) = attribute.sub(&key).or_else(|| own_id(attribute, &key)) else {
            dropped.push(format!("{}.{key}", at.full_name()));
            continue;
        };
        let is_id = sub.name == "value";
        match normal(Resolved { sub: Some(sub), ..at }, value, dropped)? {
            Some(value) => {
                cleared &= !is_id;
                normalised.insert(sub.name.clone(), value);
            }
            None => cleared |= is_id,
        }
    }
    if let Some(id) = attribute.sub("value").filter(|_| attribute.sub("$ref").is_some()) {
        if cleared {
            return Ok(None);
        }
        if !normalised.contains_key(&id.name)
            && let Some(value) = normalised.get("$ref").and_then(Value::as_str).and_then(last_segment)
        {
            normalised.insert(id.name.clone(), value.into());
        }
    }
    Ok((!normalised.is_empty()).then_some(normalised))
}

/// `managerId` inside `manager` is its `value`.
fn own_id<'a>(attribute: &'a Attribute, key: &str) -> Option<&'a Attribute> {
    let (stem, end) = key.split_at_checked(attribute.name.len())?;
    (name::same(stem, &attribute.name) && name::same(end, "id")).then(|| attribute.sub("value")).flatten()
}

/// The id that a `$ref`, relative or absolute, ends in.
pub(super) fn last_segment(reference: &str) -> Option<&str> {
    let path = reference.split(['?', '#']).next()?.trim_end_matches('/');
    path.rsplit('/').next().filter(|segment| !segment.is_empty())
}

fn scalar(at: Resolved<'_>, value: Value) -> Result<Option<Value>, Error> {
    if value.as_str() == Some("") {
        return Ok(None);
    }
    let kind = leaf(at).kind;
    let found = match (kind, value) {
        (Kind::Boolean, Value::Bool(value)) => Some(Value::Bool(value)),
        (Kind::Boolean, Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true.into()),
            "false" | "0" => Some(false.into()),
            _ => None,
        },
        (Kind::Boolean, Value::Number(number)) => match number.as_u64() {
            Some(1) => Some(true.into()),
            Some(0) => Some(false.into()),
            _ => None,
        },
        (Kind::Integer, Value::Number(number)) if number.is_i64() || number.is_u64() => Some(Value::Number(number)),
        (Kind::Integer, Value::String(text)) => text.trim().parse::<i64>().ok().map(Value::from),
        (Kind::Decimal, Value::Number(number)) => Some(Value::Number(number)),
        (Kind::Decimal, Value::String(text)) => text.trim().parse().ok().map(Value::Number),
        (Kind::String | Kind::DateTime | Kind::Reference | Kind::Binary, value) => match value {
            Value::String(text) if text.contains('\0') => {
                return Err(wrong(at, "contains a NUL character, which no database keeps"));
            }
            Value::String(text) => Some(Value::String(text)),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Bool(value) => Some(value.to_string().into()),
            _ => None,
        },
        _ => None,
    };
    match found {
        Some(value) => Ok(Some(value)),
        None => Err(wrong(at, &format!("must be {}", article(kind)))),
    }
}

fn article(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "true or false",
        Kind::Integer => "an integer",
        Kind::Decimal => "a number",
        Kind::Complex => "an object",
        Kind::String | Kind::DateTime | Kind::Reference | Kind::Binary => "a string",
    }
}

pub(super) fn wrong(at: Resolved<'_>, what: &str) -> Error {
    Error::invalid_value(format!("{} {what}", at.full_name()))
}

/// Of elements with the same value and type the first stays; a primary among them makes it primary.
fn without_doubles(elements: Vec<Value>) -> Vec<Value> {
    if elements.len() < 2 {
        return elements;
    }
    let mut seen: HashMap<(String, String), usize> = HashMap::with_capacity(elements.len());
    let mut kept: Vec<Value> = Vec::with_capacity(elements.len());
    for element in elements {
        let text = |key: &str| element.get(key).and_then(Value::as_str).unwrap_or_default();
        let key = match &element {
            Value::Object(object) if !object.contains_key("value") => {
                kept.push(element);
                continue;
            }
            Value::Object(_) => (text("value").to_owned(), text("type").to_ascii_lowercase()),
            simple => (simple.to_string(), String::new()),
        };
        match seen.get(&key).and_then(|index| kept.get_mut(*index)) {
            Some(Value::Object(first)) if element.get("primary") == Some(&Value::Bool(true)) => {
                first.insert("primary".to_owned(), true.into());
            }
            Some(_) => {}
            None => {
                seen.insert(key, kept.len());
                kept.push(element);
            }
        }
    }
    kept
}
