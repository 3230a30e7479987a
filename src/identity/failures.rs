//! How often an address may fail to authenticate within a minute.
//!
//! Only failures are counted and only failures are refused: a credential that is right works from an
//! address that others use for guessing, which behind an identity provider's shared egress is the
//! rule, and a token of 256 random bits is not guessed by trying.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// With more addresses than this, those whose minute is over are forgotten.
const MANY: usize = 10_000;
/// With more than this, everything is.
const TOO_MANY: usize = 100_000;

/// Failures by address.
pub struct Failures {
    per_minute: usize,
    counts: Mutex<HashMap<IpAddr, (Instant, usize)>>,
}

impl Failures {
    /// At most `per_minute` of one address.
    pub fn new(per_minute: usize) -> Self {
        Self { per_minute, counts: Mutex::default() }
    }

    /// Notes a failure. `Some`: it was one too many, and how long until the next may be tried.
    pub fn note(&self, address: IpAddr) -> Option<Duration> {
        self.note_at(address, Instant::now())
    }

    fn note_at(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MANY {
            counts.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
            if counts.len() >= TOO_MANY {
                counts.clear();
            }
        }
        let (since, count) = counts.entry(address).or_insert((now, 0));
        let passed = now.duration_since(*since);
        if passed >= MINUTE {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        (*count > self.per_minute).then(|| MINUTE.saturating_sub(now.duration_since(*since)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute() {
        let failures = Failures::new(2);
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let start = Instant::now();
        let at = |address, seconds| failures.note_at(address, start + Duration::from_secs(seconds));
        assert_eq!(at(a, 0), None);
        assert_eq!(at(a, 10), None);
        assert_eq!(at(a, 20), Some(Duration::from_secs(40)));
        assert_eq!(at(b, 20), None);
        assert_eq!(at(a, 59), Some(Duration::from_secs(1)));
        assert_eq!(at(a, 60), None);
    }
}
