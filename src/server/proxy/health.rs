//! Whether the upstream is there, as far as is known: from the last request, or from a connection made when somebody asks
//! and nobody knows.

use super::failure::Failure;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Knowledge older than this is looked up again when somebody asks.
pub(super) const STALE: Duration = Duration::from_secs(5);

/// What is known.
#[derive(Default)]
pub(super) struct Health(Mutex<Option<Known>>);

struct Known {
    since: Instant,
    /// Why it is down.
    down: Option<String>,
}

impl Health {
    /// It answered.
    pub(super) fn is_up(&self) {
        self.know(None);
    }

    /// It did not; whether that means that it is down, the failure says.
    pub(super) fn failed(&self, failure: &Failure) {
        if failure.is_down() {
            self.know(Some(failure.to_string()));
        }
    }

    fn know(&self, down: Option<String>) {
        metrics::gauge!("scimshim_upstream_up").set(if down.is_some() { 0.0 } else { 1.0 });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Known { since: Instant::now(), down });
    }

    /// What is known and not too old: why it is down, or nothing where it is up.
    pub(super) fn known(&self) -> Option<Option<String>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().filter(|known| known.since.elapsed() <= STALE).map(|known| known.down.clone())
    }
}
