//! Writes of one resource take turns before they take a database connection. Fifty PATCHes of one group that waited for its
//! row inside the database would hold every connection, and requests for other resources would be refused meanwhile. It
//! keeps order within this process alone: between processes, and against the application, the row's own lock does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// A resource: the position of its type, and its id.
type Key = (usize, String);

/// A resource's own lock.
type Lock = Arc<tokio::sync::Mutex<()>>;

/// Who writes what now.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Key, Lock>>);

/// The right to write a resource, until dropped; or the place in the queue for it.
pub(super) struct Turn {
    turns: Arc<Turns>,
    key: Key,
    lock: Option<Lock>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until nobody of this process writes the resource, in the order of asking; `None` after `patience`.
    pub(super) async fn take(self: &Arc<Self>, type_: usize, id: &str, patience: Duration) -> Option<Turn> {
        let key = (type_, id.to_owned());
        let lock = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default());
        // Made before the wait, so that who gives up is cleared away too.
        let mut turn = Turn { turns: Arc::clone(self), key, lock: Some(Arc::clone(&lock)), guard: None };
        turn.guard = Some(tokio::time::timeout(patience, lock.lock_owned()).await.ok()?);
        Some(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut locks = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.guard = None;
        self.lock = None;
        // Whoever waits, or is about to, has a share of it.
        if locks.get(&self.key).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(30);

    fn held(turns: &Turns) -> usize {
        turns.0.lock().expect("the locks").len()
    }

    #[tokio::test]
    async fn one_after_the_other() {
        let turns = Arc::new(Turns::default());
        let first = turns.take(1, "a", SOON).await.expect("free");
        let other = turns.take(1, "b", SOON).await.expect("another resource");
        let namesake = turns.take(2, "a", SOON).await.expect("another type");
        assert!(turns.take(1, "a", SOON).await.is_none(), "taken");
        assert_eq!(held(&turns), 3, "who gave up left nothing behind");
        let waiting = {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move { turns.take(1, "a", Duration::from_secs(10)).await.is_some() })
        };
        tokio::time::sleep(SOON).await;
        drop(first);
        assert!(waiting.await.expect("a task"), "its turn came");
        drop((other, namesake));
        assert_eq!(held(&turns), 0, "nothing is kept");
        // A waiter that is dropped (its client hung up) is not waited for.
        let first = turns.take(1, "a", SOON).await.expect("free");
        let hung_up = Box::pin(turns.take(1, "a", Duration::from_secs(10)));
        assert!(tokio::time::timeout(SOON, hung_up).await.is_err());
        drop(first);
        assert!(turns.take(1, "a", SOON).await.is_some());
        assert_eq!(held(&turns), 0);
    }
}
