//! Used counts: what is remembered here and what everywhere, at once and in turn.

use super::*;
use crate::sql::{Connection, Dialect, Failure, open_file};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What all processes share, in memory.
#[derive(Default)]
pub struct Memory {
    rows: Mutex<HashMap<(String, u32), i64>>,
    asked: AtomicUsize,
    fails: Mutex<Option<Failure>>,
    takes: Mutex<Duration>,
}

impl Store for Memory {
    fn take(&self, nonce: &str, nc: u32, expires_at: i64) -> Result<bool, Error> {
        self.asked.fetch_add(1, Relaxed);
        std::thread::sleep(*self.takes.lock().unwrap());
        if let Some(failure) = *self.fails.lock().unwrap() {
            return Err(Error::new(failure, "down"));
        }
        Ok(self.rows.lock().unwrap().insert((nonce.to_owned(), nc), expires_at).is_none())
    }
}

impl Memory {
    /// A process that keeps its counts here.
    pub fn counts(self: &Arc<Self>) -> Counts {
        Counts::new(Arc::<Memory>::clone(self), 8, Duration::from_secs(2))
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Relaxed)
    }

    /// From now on it does.
    pub fn fails(&self, failure: Option<Failure>) {
        *self.fails.lock().unwrap() = failure;
    }
}

/// Those of a process that is alone.
pub fn counts() -> Counts {
    Arc::new(Memory::default()).counts()
}

/// Two processes: each count once, whichever sees it first, in any order; however much each of them forgets.
#[tokio::test]
async fn once_anywhere() {
    let store = Arc::new(Memory::default());
    let (counts, other) = (store.counts(), store.counts());
    let (here, there) = (Seen::default(), Seen::bounded(1));
    let nonce = |n: u8| (now() - 1_000_000, [n; 8]);
    let (one, two) = (nonce(1), nonce(2));
    for count in [1, 3, 2, u32::MAX, 4, 200, 150] {
        assert_eq!(counts.take(&here, one, count).await, Ok(true), "{count}");
        assert_eq!(other.take(&there, one, count).await, Ok(false), "{count}, played to the other process");
        assert_eq!(other.take(&there, two, count).await, Ok(true), "{count} of another nonce");
        assert_eq!(counts.take(&here, two, count).await, Ok(false), "{count}");
    }
    let asked = store.asked();
    assert_eq!(counts.take(&here, one, u32::MAX).await, Ok(false));
    assert_eq!(other.take(&there, two, u32::MAX).await, Ok(false), "known from its own use");
    assert_eq!(store.asked(), asked, "nobody is asked twice");
    assert_eq!(other.take(&there, one, u32::MAX).await, Ok(false), "forgotten here, and not there");
    assert_eq!(store.asked(), asked + 1);
    // A process that begins now.
    assert_eq!(store.counts().take(&Seen::default(), one, 200).await, Ok(false));
    assert_eq!(store.counts().take(&Seen::default(), one, 5).await, Ok(true));
    let until = one.0 + LIFE + SKEW;
    assert!(store.rows.lock().unwrap().iter().all(|((_, _), expires_at)| (until - expires_at).abs() < 60_000_000));
    let names: Vec<usize> = store.rows.lock().unwrap().keys().map(|(nonce, _)| nonce.len()).collect();
    assert!(names.iter().all(|length| *length == 32), "{names:?}");
}

/// The answer came so late that the row it speaks of may have been deleted before.
#[tokio::test]
async fn an_answer_after_the_end() {
    let store = Arc::new(Memory::default());
    let (counts, seen) = (store.counts(), Seen::default());
    *store.takes.lock().unwrap() = Duration::from_millis(400);
    assert_eq!(counts.take(&seen, (now() - LIFE + 200_000, [0; 8]), 1).await, Ok(false));
    assert_eq!(store.asked(), 1, "it was in time when it came");
    assert_eq!(counts.take(&seen, (now() - LIFE + 9_000_000, [0; 8]), 1).await, Ok(true));
}

/// Few at a time ask, and whoever waits for that too long is told so, not let in.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once() {
    let store = Arc::new(Memory::default());
    *store.takes.lock().unwrap() = Duration::from_millis(300);
    let counts = Arc::new(Counts::new(Arc::<Memory>::clone(&store), 3, Duration::from_millis(100)));
    let (seen, nonce) = (Arc::new(Seen::default()), (now(), [7; 8]));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (counts, seen) = (Arc::clone(&counts), Arc::clone(&seen));
        tasks.spawn(async move { counts.take(&seen, nonce, 1).await });
    }
    let all = tasks.join_all().await;
    assert_eq!(all.iter().filter(|taken| **taken == Ok(true)).count(), 1, "{all:?}");
    assert_eq!(
        all.iter().filter(|taken| taken.as_ref().is_err_and(|why| why.contains("was free"))).count(),
        4,
        "{all:?}"
    );
    assert_eq!(store.asked(), 1);
}

#[test]
fn what_is_remembered_is_bounded() {
    let start = 1_000_000_000;
    let seen = Seen::bounded(100);
    let nonce = |at: i64| (start + at, [0; 8]);
    for at in 1..=1000 {
        seen.note(nonce(at), 1, start + 1000);
        assert!(seen.lock().len() <= 100);
    }
    assert!(!seen.knows(nonce(900)) && seen.knows(nonce(901)) && seen.has(nonce(1000), 1) && !seen.has(nonce(1000), 2));
    // Later, what has ended is forgotten.
    seen.vouch(nonce(KNOWN * 2), start + KNOWN * 2);
    assert_eq!(seen.lock().len(), 1);
    assert!(seen.knows(nonce(KNOWN * 2)) && !seen.has(nonce(KNOWN * 2), 1));
}

/// What a window says is used was noted, and of the last counts it forgets none.
#[test]
fn windows() {
    let mut window = Window { highest: 0, used: 0 };
    let mut noted = Vec::new();
    for count in [5, 1, 130, 2, 3, 132, 133, 260, 1000, 999, 873, 872, u32::MAX, 1] {
        window.note(count);
        noted.push(count);
        let highest = *noted.iter().max().unwrap();
        for known in [1, 2, 3, 4, 5, 6, 129, 130, 131, 132, 133, 260, 872, 873, 874, 999, 1000, u32::MAX - 1, u32::MAX]
        {
            let expected = noted.contains(&known) && highest - known.min(highest) < WINDOW;
            assert_eq!(window.has(known), expected, "{known} after {noted:?}");
        }
    }
}

/// A database that finds so many times that two were at it.
struct Conflicts(Arc<dyn Database>, AtomicUsize, Failure);

impl Database for Conflicts {
    fn dialect(&self) -> Dialect {
        self.0.dialect()
    }
    fn with(&self, work: &mut dyn FnMut(&mut dyn Connection) -> Result<(), Error>) -> Result<(), Error> {
        let left = self.1.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { Err(Error::new(self.2, "conflict")) } else { self.0.with(work) }
    }
    fn usage(&self) -> (u32, u32, u32) {
        self.0.usage()
    }
    fn heard(&self) -> Option<std::time::Duration> {
        self.0.heard()
    }
}

/// What may succeed when it is tried again is, a few times; nothing else is.
#[test]
fn conflicts() {
    let folder = tempfile::tempdir().unwrap();
    let database = open_file(&folder.path().join("own.db"));
    let own = Own::new(Dialect::Sqlite, "ignored");
    database.with(&mut |connection| own.apply(connection)).unwrap();
    let take = |times, failure, nc| {
        let database = Arc::new(Conflicts(Arc::clone(&database), AtomicUsize::new(times), failure));
        CountStore::new(database, own.clone()).take("n", nc, i64::MAX).map_err(|error| error.failure)
    };
    assert_eq!(take(2, Failure::Retry, 1), Ok(true));
    assert_eq!(take(2, Failure::Retry, 1), Ok(false));
    assert_eq!(take(3, Failure::Retry, 2), Err(Failure::Retry));
    assert_eq!(take(1, Failure::Timeout, 2), Err(Failure::Timeout));
    assert_eq!(take(0, Failure::Retry, 2), Ok(true), "it was never used");
}
