//! The brake: an identity server that deactivates and deletes more than it may within an hour is refused, so that a mistake in
//! the identity provider (a rule that matches nobody, an emptied group) stops early and somebody has time to look.

use super::Directory;
use super::change::Writing;
use super::transaction::Fault;
use crate::scim::Error;
use crate::sql::Connection;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use std::time::Duration;

impl Directory {
    /// Counts what is about to be deactivated or deleted; 429 where it is one too many. What is rolled back was not counted.
    pub(super) fn brake(&self, connection: &mut dyn Connection, writing: &mut Writing<'_>) -> Result<(), Fault> {
        let server = &writing.caller.server;
        let Some(most) = server.deactivations_per_hour else {
            return Ok(());
        };
        self.claim(connection, &mut writing.claims, vec![("brake".to_owned(), server.name.clone())])?;
        let hour = TimeDelta::hours(1);
        let now = Utc::now();
        let within = ((now - hour).timestamp_micros(), now.timestamp_micros());
        let Some(oldest) = self.own.count_deactivation(connection, &server.name, within, most)? else {
            return Ok(());
        };
        let free = DateTime::from_timestamp_micros(oldest).unwrap_or(now) + hour;
        metrics::counter!("scimshim_brake_refusals_total", "server" => server.name.clone()).increment(1);
        tracing::warn!(
            server = %server.name,
            request_id = %writing.caller.request_id,
            most,
            "the brake held back a deactivation or deletion: look at what the identity provider is doing; if it is right, \
             raise `brake.deactivations_per_hour` and reload"
        );
        let detail = format!(
            "the brake is on: this identity server has deactivated or deleted {most} resources within an hour, the most that \
             its `brake` allows; the next can go at {}",
            free.to_rfc3339_opts(SecondsFormat::Secs, true)
        );
        let wait = (free - now).to_std().unwrap_or_default().max(Duration::from_secs(1));
        Err(Error { retry_after: Some(wait), ..Error::new(429, detail) }.into())
    }
}
