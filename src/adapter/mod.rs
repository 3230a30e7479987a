//! The mapping language: a YAML document, checked against the live catalogue and compiled into what
//! `directory/` runs. The one bridge between `scim/` and `sql/`.
//!
//! [`load`] reads a document and what it extends, [`Document::schemas`] says which schemas' catalogue it
//! needs, [`compile`] turns it into an [`Adapter`], and [`privileges`] says what the database user must
//! be allowed for it. Everything wrong becomes a finding with its place; nothing here touches a database.

mod administrators;
mod attributes;
mod checks;
mod compile;
mod conditions;
mod context;
mod conversion;
mod document;
mod evaluate;
mod expressions;
mod hash;
mod labels;
mod lifecycle;
mod link;
mod lookup;
mod model;
mod names;
mod outline;
mod privileges;
mod rows;
mod schema;
mod scope;
mod steps;
mod table;
mod terms;
#[cfg(test)]
mod tests;
mod told;
mod tree;
mod types;
mod written;

pub use administrators::Administrators;
pub(crate) use checks::writes as written_column;
pub use compile::{compile, compile_within};
pub use conversion::{Refusal, boolean, in_calendar, read_instant, rfc3339, same, stored_instant, without_leap_second};
pub use document::{Document, Parameter, load, read, tables_in};
pub use evaluate::{Aliases, CountsAs, Each, Environment, Transition, equivalent};
pub use hash::Hash;
pub use labels::Label;
pub use model::*;
pub use privileges::{Needs, check_privileges, privileges, privileges_of};
pub use terms::*;
pub use told::{Tables, is_there};
pub use tree::Tree;
pub use written::{Written, WrittenColumn, is_secret_name};
