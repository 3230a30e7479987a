//! Dry runs: a write is carried out to its end, with every check and every statement, and then rolled back. The client is
//! answered as if it had been kept; the journal says what would have changed.
//!
//! A resource that a dry run creates is answered with an id that no resource has, and never will: a client remembers ids, and
//! the number that the database gave may be somebody else's the next day.

use super::bulk::BulkDone;
use super::rows;
use super::{Answer, Caller};
use crate::adapter::ResourceType;
use serde_json::Value as Json;

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

impl BulkDone {
    /// The same for an operation of a bulk request that is one transaction: within it the real id is needed.
    pub(super) fn created(&mut self, caller: &Caller, type_: &ResourceType) {
        if caller.server.dry_run {
            self.id = id();
            self.location = Some(rows::location(&caller.base_url, type_, &self.id));
        }
    }
}

fn id() -> String {
    format!("{PREFIX}{}", uuid::Uuid::new_v4())
}
