//! How often a secret that people choose may be guessed in a minute: by an address, and of an account or client, whoever
//! guesses. Unlike tokens, passwords can be found by trying, so nothing is tried once there were too many.
//!
//! Counted in a table of fixed size by a hash that nobody outside can know: it never grows, and no flood of names makes it
//! forget one. Two that share a place share its count.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PLACES: usize = 1 << 14;
const MINUTE: u64 = 60;

/// Failures by whatever they are counted by.
pub struct Guesses {
    began: Instant,
    hasher: RandomState,
    /// The minute, and the failures in it.
    places: Mutex<Vec<(u64, usize)>>,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            hasher: RandomState::new(),
            places: Mutex::new(vec![(0, 0); PLACES]),
        }
    }
}

impl Guesses {
    /// Notes a failure of each of these.
    pub fn note(&self, of: &[&str]) {
        self.note_at(of, self.began.elapsed());
    }

    /// How long to wait before the next attempt, where one of these has failed as often as it may.
    pub fn wait(&self, of: &[(&str, usize)]) -> Option<Duration> {
        self.wait_at(of, self.began.elapsed())
    }

    fn place(&self, of: &str) -> usize {
        usize::try_from(self.hasher.hash_one(of)).unwrap_or(usize::MAX) % PLACES
    }

    fn note_at(&self, of: &[&str], now: Duration) {
        let minute = now.as_secs() / MINUTE;
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        for one in of {
            let Some((when, count)) = places.get_mut(self.place(one)) else { continue };
            if *when != minute {
                (*when, *count) = (minute, 0);
            }
            *count = count.saturating_add(1);
        }
    }

    fn wait_at(&self, of: &[(&str, usize)], now: Duration) -> Option<Duration> {
        let minute = now.as_secs() / MINUTE;
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let over = of.iter().any(|(one, most)| {
            places.get(self.place(one)).is_some_and(|(when, count)| *when == minute && count >= most)
        });
        over.then(|| Duration::from_secs((minute + 1) * MINUTE).saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute() {
        let guesses = Guesses::default();
        let at = Duration::from_secs;
        for _ in 0..3 {
            assert_eq!(guesses.wait_at(&[("ada", 3)], at(70)), None);
            guesses.note_at(&["ada", "192.0.2.1"], at(70));
        }
        assert_eq!(guesses.wait_at(&[("ada", 3)], at(100)), Some(at(20)));
        assert_eq!(guesses.wait_at(&[("192.0.2.1", 4), ("ada", 3)], at(100)), Some(at(20)));
        assert_eq!(guesses.wait_at(&[("192.0.2.1", 4)], at(100)), None);
        assert_eq!(guesses.wait_at(&[("bob", 3)], at(100)), None);
        assert_eq!(guesses.wait_at(&[("ada", 3)], at(120)), None);
    }
}
