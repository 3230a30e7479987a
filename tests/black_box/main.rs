//! The black-box suite: the real binary, real databases, real TLS, nothing of the program's inside.
//!
//! `make test` runs it; by itself it is `scripts/test-servers cargo test --profile quick --test black_box`. Sizes grow by
//! environment variables, which `make acceptance` sets: see each module.

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

mod addresses;
mod adopt;
mod auth;
mod auth_hostile;
mod auth_matrix;
mod auth_timing;
mod bad_input;
mod beside;
mod brake;
mod broken;
mod bulk;
mod bulk_hostile;
mod checks;
mod children;
mod client_certificates;
mod companies;
mod dialogues;
mod digest_counts;
mod dry_run;
mod entities;
mod examples;
mod failover;
mod foreign_hostile;
mod foreign_tokens;
mod glpi;
mod harness;
mod hostile;
mod journal;
mod journal_log;
mod journal_rows;
mod kills;
mod large_groups;
mod lifecycle;
mod list_cursors;
mod list_root;
mod lists;
mod moments;
mod observability;
mod orphans;
mod pages;
mod racing;
mod refusals;
mod reload;
mod restored;
mod rights;
mod rows;
mod scopes;
mod snipe_it;
mod sources;
mod statements;
mod stop;
mod surface;
mod template;
mod tokens;
mod trees;
mod triggers;
mod types;
mod values;
