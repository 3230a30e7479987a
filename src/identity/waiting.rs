//! Waiting for what our own tables say of a credential: not for ever, and seen in the numbers of those who wait for the
//! database. What is asked there, it does not know.

use super::live::Denied;
use std::time::Duration;

/// Does `work`, or gives up after `patience`: while the database hangs, clients are to hear so early.
pub(super) async fn in_time<T>(patience: Duration, work: impl Future<Output = Result<T, Denied>>) -> Result<T, Denied> {
    let waiting = Waiting::begin();
    let done = tokio::time::timeout(patience, work).await;
    drop(waiting);
    done.unwrap_or_else(|_| {
        metrics::counter!("scimshim_pool_timeouts_total").increment(1);
        Err(Denied::Unavailable(format!("the database did not say within {patience:?} which tokens are good")))
    })
}

/// One more who waits, until dropped.
struct Waiting;

impl Waiting {
    fn begin() -> Self {
        metrics::gauge!("scimshim_pool_waiting").increment(1.0);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::gauge!("scimshim_pool_waiting").decrement(1.0);
    }
}
