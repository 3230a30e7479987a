//! What a change makes of `active`: whether it deactivates, however it says so. What may be done and what is counted goes
//! by this (`update.rs`, `brake.rs`).

use super::{Directory, Place};
use crate::adapter::Binding;
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
    /// column takes no NULL (then it stays as it is) or NULL reads as true.
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
        let attribute = place.source.attributes.get(active);
        let emptied = attribute.and_then(|attribute| match &attribute.binding {
            Binding::Column(binding) if binding.json.is_empty() => {
                Some((binding, place.source.columns.get(binding.column)?))
            }
            Binding::Column(binding) => Some((binding, &binding.cell)),
            _ => None,
        });
        if emptied
            .is_some_and(|(binding, column)| binding.json.is_empty() && !column.nullable && binding.fallback.is_empty())
        {
            return Activity::Stays;
        }
        let reads =
            emptied.and_then(|(binding, column)| binding.conversion.read(&Value::Null, column, self.adapter.time_zone));
        match (reads == Some(Json::Bool(true)), is(was, true)) {
            (true, true) => Activity::Stays,
            (false, true) => Activity::Ends,
            _ => Activity::Changes,
        }
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
