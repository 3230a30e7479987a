//! `scimshim serve`: the service, until it is told to stop.

use super::common::{Failure, config_path, load};
use crate::config::Config;
use crate::server::{log, notify, service, telemetry};
use std::future::Future;
use std::path::PathBuf;

/// Runs the service of a configuration file.
pub fn run(given: Option<PathBuf>) -> Result<(), Failure> {
    let path = config_path(given);
    let config = load(Some(path.clone()))?;
    log::start(&config.log);
    let served = block_on(&config.clone(), async move {
        let running = service::start(config).await?;
        for address in &running.addresses {
            tracing::info!(%address, "listening");
        }
        notify::ready();
        let ended = running.until_stopped(Some(path)).await;
        telemetry::finish().await;
        ended
    });
    log::flush();
    Ok(served??)
}

/// A runtime with no more blocking threads than the work that may block at once, and a few for tokens.
pub fn block_on<T>(config: &Config, work: impl Future<Output = T>) -> Result<T, Failure> {
    let connections = usize::try_from(config.database.pool.max).unwrap_or(8);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("scimshim")
        .max_blocking_threads(connections + 8)
        // New connections are looked for between fewer pieces of work than by default: under a flood each piece is a long one.
        .event_interval(13)
        .build()?;
    let done = runtime.block_on(work);
    // A statement that hangs must not keep the process: it has a timeout of its own in the database.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    Ok(done)
}
