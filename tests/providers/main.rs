//! What identity providers need of the service, as issue by issue they were found to: their dialogues on the template, their
//! own parsers and clients as judges, a strict reference server on which the same dialogues fail, five providers at once over
//! a network that loses answers, and authentik's way of paging over a directory that changes meanwhile.
//!
//! docs/providers/rules.md says which test shows which rule; `rules` checks that it is right. Sizes grow by environment
//! variables, which `make acceptance` sets: see each module.

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
#[path = "../conformance/tools.rs"]
mod tools;

mod errors;
mod hourly;
mod judges;
mod network;
#[path = "../filters/random.rs"]
mod random;
mod retries;
mod rules;
mod soak;
mod sources;
mod strict;
mod template;
