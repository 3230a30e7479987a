//! What a change makes of `active`: whether it deactivates, however it says so. What may be done, what guards and steps see
//! and what is counted goes by this (`update.rs`, `brake.rs`). It writes nothing.

use super::{Directory, Place};
use crate::adapter::{Binding, Column, ColumnBinding, CountsAs, Expression};
use crate::sql::Value;
use serde_json::Value as Json;

/// What becomes of `active`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// It stays what it is.
    Stays,
    /// Deactivated.
    Ends,
    /// Anything else.
    Changes,
}

impl Directory {
    /// What a change makes of `active`. To leave it out, or to take it away, deactivates whoever was active, unless its
    /// column takes no NULL (then it stays as it is) or NULL reads as true (then `omitted.rs` let it stay).
    pub(super) fn activity(
        &self,
        place: &Place<'_>,
        was: &[Option<Json>],
        will: &[Option<Json>],
        changed: &[bool],
    ) -> Activity {
        let Some(active) = place.plan.active.filter(|active| changed.get(*active) == Some(&true)) else {
            return Activity::Stays;
        };
        let is = |values: &[Option<Json>], truth: bool| values.get(active) == Some(&Some(Json::Bool(truth)));
        if will.get(active).is_some_and(Option::is_some) {
            return if is(will, false) && !is(was, false) { Activity::Ends } else { Activity::Changes };
        }
        let stays = |(binding, column): (&ColumnBinding, &Column)| {
            binding.json.is_empty() && !column.nullable && binding.fallback.is_empty()
        };
        match bound(place) {
            Some(found) if stays(found) => Activity::Stays,
            _ if is(was, true) => Activity::Ends,
            _ => Activity::Changes,
        }
    }

    /// Whether nobody is deactivated by taking `active` away, because an empty column reads as true.
    pub(super) fn is_active_when_empty(&self, place: &Place<'_>) -> bool {
        bound(place).is_some_and(|(binding, column)| {
            binding.conversion.read(&Value::Null, column, self.adapter.time_zone) == Some(Json::Bool(true))
        })
    }
}

/// How `active` is kept, and the column that holds it or what in its document does.
fn bound<'a>(place: &Place<'a>) -> Option<(&'a ColumnBinding, &'a Column)> {
    match &place.source.attributes.get(place.plan.active?)?.binding {
        Binding::Column(binding) if binding.json.is_empty() => {
            Some((binding, place.source.columns.get(binding.column)?))
        }
        Binding::Column(binding) => Some((binding, &binding.cell)),
        _ => None,
    }
}

/// Whether the brake counts the end of what was: somebody who was active, or is something that the adapter has no word for.
/// Who never was either (NULL) loses nothing.
pub(super) fn was_active(place: &Place<'_>, was: &[Option<Json>], row: &[Value]) -> bool {
    match place.plan.active.and_then(|active| was.get(active)?.as_ref()) {
        Some(active) => *active == Json::Bool(true),
        None => bound(place).is_some_and(|(binding, _)| {
            binding.json.is_empty() && row.get(binding.column).is_some_and(|stored| !stored.is_null())
        }),
    }
}

/// What the column of `active` counts as where a deactivation leaves it empty: what false is stored as, if that is always
/// the same.
pub(super) fn counts_as(place: &Place<'_>, activity: Activity) -> Option<CountsAs> {
    let (binding, _) = bound(place).filter(|_| activity == Activity::Ends)?;
    match binding.conversion.write_boolean(false) {
        Some(Expression::Literal(value)) => {
            Some(CountsAs { column: binding.column, json: binding.json.clone(), value: value.clone() })
        }
        _ => None,
    }
}

/// What guards and steps see of a change: somebody who is not active, however that was said.
pub(super) fn seen(place: &Place<'_>, activity: Activity, will: &[Option<Json>]) -> Vec<Option<Json>> {
    let mut seen = will.to_vec();
    if let (Activity::Ends, Some(active)) = (activity, place.plan.active)
        && let Some(value) = seen.get_mut(active)
    {
        *value = Some(Json::Bool(false));
    }
    seen
}
