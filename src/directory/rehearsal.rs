//! Dry runs: a write is carried out to its end, with every check and every statement, and then rolled back. The client is
//! answered as if it had been kept; the journal says what would have changed.
//!
//! A resource that a dry run creates is answered with an id that no resource has, and never will: a client remembers ids, and
//! the number that the database gave may be somebody else's the next day.

use super::bulk::{BulkDone, BulkStep};
use super::rows;
use super::{Answer, Caller};
use crate::adapter::ResourceType;
use crate::scim::BulkMethod;
use serde_json::Value as Json;
use std::collections::HashMap;

/// What such ids begin with.
const PREFIX: &str = "dry-run-";

impl Answer {
    /// The answer to a POST; with an id of no resource where it was for show.
    pub(super) fn created(mut self, caller: &Caller, type_: &ResourceType) -> Self {
        if caller.server.dry_run {
            let id = id();
            self.location = rows::location(&caller.base_url, type_, &id);
            if let Some(Json::Object(meta)) = self.resource.get_mut("meta")
                && let Some(location) = meta.get_mut("location")
            {
                *location = Json::String(self.location.clone());
            }
            self.resource.insert("id".to_owned(), Json::String(id));
        }
        self
    }
}

/// The ids that resources get which a bulk request in one transaction creates for show: within it, later operations need
/// their real ones.
#[derive(Default)]
pub(super) struct Shown(HashMap<(usize, String), String>);

impl Shown {
    /// What an operation came to, as it is answered.
    pub(super) fn show(&mut self, caller: &Caller, step: &BulkStep, type_: &ResourceType, done: &mut BulkDone) {
        if !caller.server.dry_run {
            return;
        }
        let real = (step.type_, done.id.clone());
        let shown = match step.method {
            BulkMethod::Post => Some(&*self.0.entry(real).or_insert_with(id)),
            _ => self.0.get(&real),
        };
        if let Some(shown) = shown {
            done.id.clone_from(shown);
            done.location = done.location.as_ref().map(|_| rows::location(&caller.base_url, type_, shown));
        }
    }
}

fn id() -> String {
    format!("{PREFIX}{}", uuid::Uuid::new_v4())
}
