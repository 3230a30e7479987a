//! Work with the database, on blocking threads: no more of it at once than there are connections, and none that waits longer
//! than the pool's patience. What the work is, it does not know.

use super::answer::Reply;
use super::endpoints::AtWork;
use super::spending::Spending;
use super::state::App;
use super::turns::Turn;
use crate::directory::Entry;
use crate::scim::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

impl App {
    /// The right to a database connection, when one is free; else why there is none.
    pub(super) async fn connection(&self) -> Result<OwnedSemaphorePermit, String> {
        if let Ok(permit) = Arc::clone(&self.pool).try_acquire_owned() {
            return Ok(permit);
        }
        let patience = self.config.database.pool.checkout_timeout;
        let waiting = self.waiting();
        let permit = tokio::time::timeout(patience, Arc::clone(&self.pool).acquire_owned()).await;
        drop(waiting);
        match permit {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                metrics::counter!("scimshim_pool_timeouts_total").increment(1);
                Err(format!("no database connection was free within {patience:?}"))
            }
        }
    }

    /// Runs `work` on a blocking thread, with no more of them at once than there are connections.
    pub(super) async fn blocking(
        &self,
        (entry, spending): (&Arc<Entry>, Arc<Spending>),
        turn: Option<Turn>,
        work: impl FnOnce() -> Result<Reply, Error> + Send + 'static,
    ) -> Result<Reply, Reply> {
        let permit = self.connection().await.map_err(|why| Reply {
            retry_after: Some(Duration::from_secs(1)),
            ..Reply::error(Error::unavailable(why))
        })?;
        let at_work = AtWork::on(entry);
        let worked = tokio::task::spawn_blocking(move || {
            // Kept to the end also where the client hangs up.
            let _held = (permit, turn, at_work);
            spending.metered(work)
        });
        match worked.await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => {
                if error.status >= 500 {
                    // The application may have been upgraded under us.
                    self.look_again();
                }
                Err(error.into())
            }
            Err(panic) => Err(Error::internal(panic).into()),
        }
    }
}
