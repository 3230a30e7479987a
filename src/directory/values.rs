//! The values that a row gives the attributes of its source: columns, joined tables, templates; and what `${attribute}` means
//! beside a change.

use super::plan::{self, Joined};
use super::rows::{Document, path, scim_id};
use crate::adapter::{Adapter, Binding, ColumnBinding, Conversion, Environment, Source};
use crate::sql::Value;
use serde_json::Value as Json;

/// The values of a source's attributes that stand in one of its rows; `joined` says where those of other tables do.
pub(super) fn attribute_values(
    adapter: &Adapter,
    source: &Source,
    joined: &[Option<Joined>],
    row: &[Value],
    document: &Document,
    environment: &Environment<'_>,
) -> Vec<Option<Json>> {
    let mut values: Vec<Option<Json>> = Vec::with_capacity(source.attributes.len());
    let mut templates = Vec::new();
    for (index, attribute) in source.attributes.iter().enumerate() {
        let joined = joined.get(index).and_then(Option::as_ref);
        values.push(match &attribute.binding {
            Binding::Column(binding) => {
                let value = column_value(adapter, source, binding, row);
                if value.is_none() && !binding.shown_when_empty.is_empty() {
                    templates.push(index);
                }
                value
            }
            Binding::Lookup(lookup) => joined
                .and_then(|joined| row.get(joined.first))
                .and_then(|value| lookup.conversion.read(value, &lookup.matched, adapter.time_zone)),
            Binding::Reference(reference) => joined.and_then(|joined| {
                let key = row.get(joined.first).filter(|key| !key.is_null())?;
                let (_, type_) = plan::find_type(adapter, &reference.resource_type)?;
                Some(Json::String(scim_id(type_.sources.first()?, key)))
            }),
            Binding::Template(_) => {
                templates.push(index);
                None
            }
            Binding::Constant(value) => Some(value.clone()),
            Binding::Sidecar(shown) => {
                let kept = document.kept.get(&path(attribute)).cloned();
                if kept.is_none() && !shown.is_empty() {
                    templates.push(index);
                }
                kept
            }
            Binding::Link(_) | Binding::Rows(_) => None,
        });
    }
    for index in templates {
        let made = template_value(source, index, row, &values, environment);
        if let Some(value) = values.get_mut(index) {
            *value = made;
        }
    }
    values
}

/// The value that a column gives.
pub(super) fn column_value(adapter: &Adapter, source: &Source, binding: &ColumnBinding, row: &[Value]) -> Option<Json> {
    if binding.hash.is_some() {
        return None;
    }
    let column = source.columns.get(binding.column)?;
    let value = row.get(binding.column)?;
    if !binding.json.is_empty() {
        let document: Json = serde_json::from_str(&value.to_text()?).ok()?;
        let inner = binding.json.iter().try_fold(&document, |inner, key| inner.get(key))?;
        let scalar = match inner {
            Json::Null => return None,
            Json::Array(_) | Json::Object(_) => {
                return matches!(binding.conversion, Conversion::Json).then(|| inner.clone());
            }
            Json::Bool(b) => Value::Bool(*b),
            Json::String(text) => Value::Text(text.clone()),
            Json::Number(number) => number.as_i64().map_or_else(|| Value::Text(number.to_string()), Value::Int),
        };
        return match binding.conversion.read(&scalar, &binding.cell, adapter.time_zone) {
            Some(Json::String(text)) if text.is_empty() => None,
            other => other,
        };
    }
    match binding.conversion.read(value, column, adapter.time_zone) {
        Some(Json::String(text)) if text.is_empty() => None,
        other => other,
    }
}

pub(super) fn template_value(
    source: &Source,
    index: usize,
    row: &[Value],
    values: &[Option<Json>],
    environment: &Environment<'_>,
) -> Option<Json> {
    let templates = match &source.attributes.get(index)?.binding {
        Binding::Template(templates) | Binding::Sidecar(templates) => templates,
        Binding::Column(binding) => &binding.shown_when_empty,
        _ => return None,
    };
    let environment = Environment { attributes: Some(values), row: Some((source, row)), ..*environment };
    templates.iter().find_map(|template| environment.template(template)).map(Json::String)
}

/// What `${attribute}` means beside a change: `values`, what the client wants, and behind it what templates make of
/// that. A template shown for an empty column is made anew unless the client asked for its value.
pub(super) fn shown(
    source: &Source,
    row: &[Value],
    mut values: Vec<Option<Json>>,
    changed: &[bool],
    environment: &Environment<'_>,
) -> Vec<Option<Json>> {
    let mut made = Vec::new();
    for (index, attribute) in source.attributes.iter().enumerate() {
        let stale = match &attribute.binding {
            Binding::Template(_) => true,
            Binding::Column(binding) if !binding.shown_when_empty.is_empty() => {
                let empty = row.get(binding.column).and_then(Value::to_text).is_none_or(|text| text.is_empty());
                let asked = changed.get(index) == Some(&true) && values.get(index).is_some_and(Option::is_some);
                empty && !asked
            }
            Binding::Sidecar(templates) => !templates.is_empty() && values.get(index).is_none_or(Option::is_none),
            Binding::Constant(value) => {
                if let Some(place) = values.get_mut(index) {
                    *place = Some(value.clone());
                }
                false
            }
            _ => false,
        };
        if stale {
            made.push(index);
            if let Some(place) = values.get_mut(index) {
                *place = None;
            }
        }
    }
    for index in made {
        let value = template_value(source, index, row, &values, environment);
        if let Some(place) = values.get_mut(index) {
            *place = value;
        }
    }
    values
}

/// The same after the change: what the client left to fallbacks, `create` and the database is known.
pub(super) fn shown_after(
    adapter: &Adapter,
    source: &Source,
    row: &[Value],
    wanted: &[Option<Json>],
    changed: &[bool],
    environment: &Environment<'_>,
) -> Vec<Option<Json>> {
    let values = source.attributes.iter().zip(wanted).map(|(attribute, wanted)| {
        wanted.clone().or_else(|| match &attribute.binding {
            Binding::Column(binding) => column_value(adapter, source, binding, row),
            _ => None,
        })
    });
    shown(source, row, values.collect(), changed, environment)
}
