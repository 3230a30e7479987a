//! How often an address, and how often a credential, may fail within a minute.
//!
//! Only failures are counted and only failures are refused: a credential that is right works from an address that others use
//! for guessing, which behind an identity provider's shared egress is the rule, and it works while others guess at it from
//! elsewhere. Where checking a guess costs something, [`Failures::may_try`] is asked before.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
/// With more of them than this, those whose minute is over are forgotten.
const MANY: usize = 10_000;
/// With more than this, everything is.
const TOO_MANY: usize = 100_000;

/// What guesses at one credential are counted by: a keyed hash, so that nothing of a secret is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guess(u64);

/// Failures by address and by credential.
pub struct Failures {
    per_minute: AtomicUsize,
    addresses: Mutex<Counts<IpAddr>>,
    credentials: Mutex<Counts<Guess>>,
    keys: RandomState,
}

/// Since when a minute runs, and how many failures it has seen.
struct Counts<K> {
    seen: HashMap<K, (Instant, usize)>,
    /// With so many, those whose minute is over are forgotten: twice as many as were left the last time, so that a flood
    /// of addresses does not have all of them looked at for each.
    tidy_at: usize,
}

impl Failures {
    /// At most `per_minute` of one address, and of one credential.
    pub fn new(per_minute: usize) -> Self {
        let (addresses, credentials) = (Mutex::new(Counts::new()), Mutex::new(Counts::new()));
        Self { per_minute: AtomicUsize::new(per_minute), addresses, credentials, keys: RandomState::new() }
    }

    /// From now on at most `per_minute`. What was counted stays.
    pub fn allow(&self, per_minute: usize) {
        self.per_minute.store(per_minute, Relaxed);
    }

    /// What guesses at something are counted by.
    pub fn guess(&self, what: impl Hash) -> Guess {
        Guess(self.keys.hash_one(what))
    }

    /// Notes a failure. `Some`: it was one too many, and how long until the next may be tried.
    pub fn note(&self, address: IpAddr, guess: Guess) -> Option<Duration> {
        self.note_at(address, guess, Instant::now())
    }

    /// Whether a guess may be checked that costs something to check; else how long until the next may be. While many
    /// addresses guess at one credential, each has one failure a minute: whoever has none yet is always heard.
    pub fn may_try(&self, address: IpAddr, guess: Guess) -> Result<(), Duration> {
        self.may_try_at(address, guess, Instant::now())
    }

    fn note_at(&self, address: IpAddr, guess: Guess, now: Instant) -> Option<Duration> {
        let address = lock(&self.addresses).note(network_of(address), now);
        let credential = lock(&self.credentials).note(guess, now);
        let per_minute = self.per_minute.load(Relaxed);
        let over = [address, credential].into_iter().filter(|(count, _)| *count > per_minute);
        over.map(|(_, rest)| rest).max()
    }

    fn may_try_at(&self, address: IpAddr, guess: Guess, now: Instant) -> Result<(), Duration> {
        let address = lock(&self.addresses).get(&network_of(address), now);
        let credential = lock(&self.credentials).get(&guess, now);
        let per_minute = self.per_minute.load(Relaxed);
        match address {
            Some((count, rest)) if count >= per_minute => Err(rest),
            Some((_, rest)) if credential.is_some_and(|(count, _)| count >= per_minute) => Err(rest),
            _ => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Eq + Hash> Counts<K> {
    fn new() -> Self {
        Self { seen: HashMap::new(), tidy_at: MANY }
    }

    /// Failures within the minute, and what is left of it.
    fn get(&self, key: &K, now: Instant) -> Option<(usize, Duration)> {
        let (since, count) = self.seen.get(key)?;
        let rest = MINUTE.checked_sub(now.duration_since(*since)).filter(|rest| !rest.is_zero())?;
        Some((*count, rest))
    }

    fn note(&mut self, key: K, now: Instant) -> (usize, Duration) {
        if self.seen.len() >= self.tidy_at {
            self.seen.retain(|_, (since, _)| now.duration_since(*since) < MINUTE);
            if self.seen.len() >= TOO_MANY {
                self.seen.clear();
            }
            self.tidy_at = self.seen.len().saturating_mul(2).clamp(MANY, TOO_MANY);
        }
        let (since, count) = self.seen.entry(key).or_insert((now, 0));
        if now.duration_since(*since) >= MINUTE {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        (*count, MINUTE.saturating_sub(now.duration_since(*since)))
    }
}

/// What counts as one address: an IPv6 customer has a /64.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_minute_of_an_address() {
        let failures = Failures::new(2);
        let start = Instant::now();
        let mut n = 0;
        let mut at = |of: &str, seconds| {
            n += 1;
            failures.note_at(address(of), failures.guess(n), start + Duration::from_secs(seconds))
        };
        let (a, b) = ("192.0.2.1", "192.0.2.2");
        assert_eq!(at(a, 0), None);
        assert_eq!(at(a, 10), None);
        assert_eq!(at(a, 20), Some(Duration::from_secs(40)));
        assert_eq!(at(b, 20), None);
        assert_eq!(at(a, 59), Some(Duration::from_secs(1)));
        assert_eq!(at(a, 60), None);
        // One customer.
        assert_eq!(at("2001:db8::1", 60), None);
        assert_eq!(at("2001:db8::2", 60), None);
        assert!(at("2001:db8::3", 60).is_some());
        assert_eq!(at("2001:db8:0:1::3", 60), None);
    }

    #[test]
    fn a_minute_of_a_credential() {
        let failures = Failures::new(2);
        let start = Instant::now();
        let guess = failures.guess("hr");
        let note = |of: &str| failures.note_at(address(of), guess, start);
        assert_eq!(note("192.0.2.1"), None);
        assert_eq!(note("192.0.2.2"), None);
        assert_eq!(note("192.0.2.3"), Some(MINUTE), "a third address, the same credential");
        // Who has failed may not try it again, who has not may, and other credentials are nobody's business.
        let may = |of: &str, guess, seconds| {
            failures.may_try_at(address(of), guess, start + Duration::from_secs(seconds)).is_ok()
        };
        assert!(!may("192.0.2.1", guess, 1));
        assert!(may("192.0.2.4", guess, 1));
        assert!(may("192.0.2.1", failures.guess("other"), 1));
        assert!(may("192.0.2.1", guess, 60));
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let failures = Failures::new(1);
        let now = Instant::now();
        for n in 0..u32::try_from(TOO_MANY).unwrap() + 10 {
            failures.note_at(IpAddr::from(n.to_be_bytes()), failures.guess(n), now);
        }
        assert!(lock(&failures.addresses).seen.len() <= TOO_MANY);
        assert!(lock(&failures.credentials).seen.len() <= TOO_MANY);
    }
}
