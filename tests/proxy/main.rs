//! The reverse proxy: what reaches the application behind it, byte by byte, and what does not; streams, upgrades, failures.
//!
//! The upstreams are raw sockets that note what they get, HTTP/2 is written frame by frame, and nginx stands in for a real
//! application. Sizes grow by SCIMSHIM_PROXY_BYTES (bytes of one upload and one download).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test that cannot go on fails"
)]
#![allow(missing_docs, reason = "tests are read, not linked against")]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod attacks;
mod failures;
mod floods;
mod frames;
mod http_2;
mod nginx;
mod streams;
mod upstream;
mod upstream_2;
mod windows;

use support::databases::{Database, Engine};
use support::service::{Options, Service};

/// A service whose `upstream` is what `yaml` says.
pub fn service(yaml: &str) -> Service {
    service_with(yaml, "")
}

/// The same with more settings.
pub fn service_with(yaml: &str, more: &str) -> Service {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more(&format!("upstream: {yaml}")).more(more));
    // The file outlives its name: what is tested here does not look at it.
    std::mem::forget(database);
    service
}
