//! What others say: conformance testers, a fuzzer of our OpenAPI document, and parsers and a PATCH that are not ours, against
//! the running service or our own functions.
//!
//! The programs are those of `scripts/tools`, in locked versions. What they find and we answer otherwise on purpose stands in a
//! closed list beside each test, with the RFC's text that decides it: a finding that is not listed fails, and so does a listed
//! one that is gone. A tool that did not run, checked nothing, or speaks a language that is not known here fails too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test that cannot go on fails"
)]
#![allow(missing_docs, reason = "tests are read, not linked against")]

mod applications;
mod authentication;
mod closed;
mod filters;
mod openapi;
mod patches;
#[path = "../filters/random.rs"]
mod random;
mod seeds;
#[path = "../support/mod.rs"]
mod support;
mod testers;
mod tools;
