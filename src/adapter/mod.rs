//! The mapping language: a YAML document, checked against the live catalogue and compiled into what
//! `directory/` runs. The one bridge between `scim/` and `sql/`.

mod model;

pub use model::*;
