//! Our own OAuth 2 authorization server, from outside: every flow and every refusal over TLS on three databases, races and
//! several processes, an independent client library, and the page in a real browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]
#![allow(missing_docs, reason = "tests are read, not linked against")]

#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code, reason = "only the Python tools are asked here")]
#[path = "../conformance/tools.rs"]
mod tools;

mod applications;
mod assertions;
mod browser;
mod flows;
mod library;
mod page;
mod races;
mod setup;
mod token;
