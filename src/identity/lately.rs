//! How long what our own tables said is believed, and how often a use is written down there: the same for tokens, and for
//! what an authorization server of ours gave out.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

/// Older than this, something is read again while what is known of it is still used.
pub const RENEW: Duration = Duration::from_millis(500);
/// Older than this, it is not used any more: what was revoked anywhere is refused everywhere within a second.
pub const STALE: Duration = Duration::from_secs(1);
/// How often a use is written down, in seconds.
const APART: i64 = 60;

/// When the use of something was last written down.
#[derive(Debug, Default)]
pub struct LastUse(AtomicI64);

impl LastUse {
    /// Whether a use `now` (seconds since 1970) is to be written down, by this caller and not while a client waits.
    pub fn is_due(&self, now: i64) -> bool {
        let noted = self.0.load(Relaxed);
        now - noted >= APART && self.0.compare_exchange(noted, now, Relaxed, Relaxed).is_ok()
    }

    /// Of the same thing, read anew.
    pub fn again(&self) -> Self {
        Self(AtomicI64::new(self.0.load(Relaxed)))
    }
}
