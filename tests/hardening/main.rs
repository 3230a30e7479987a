//! What the service stands: slow clients, floods, a slow database, scanners of its TLS. Programs that others wrote for the
//! purpose, where there are any: slowhttptest, sslyze, testssl.sh.
//!
//! SCIMSHIM_ATTACK_SECONDS says how long each attack lasts, SCIMSHIM_ATTACK_CONNECTIONS how many connections the slow ones hold.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test that cannot go on fails"
)]
#![allow(missing_docs, reason = "tests are read, not linked against")]

mod floods;
mod good_client;
mod overload;
mod slow_clients;
#[path = "../support/mod.rs"]
mod support;
mod tls_scans;
#[path = "../conformance/tools.rs"]
mod tools;
