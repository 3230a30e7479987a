//! YAML documents that know where they came from, and findings that say what is wrong with them.
//!
//! [`parse`] turns a [`Source`] into [`Node`]s that each know file, line and column; [`Reader`] takes a mapping
//! apart key by key and reports what is missing or unknown; [`Findings`] collects everything wrong at once and
//! renders it with the cited line and a caret. It knows neither the configuration nor the adapter language.

mod finding;
mod merge;
mod node;
mod parse;
mod reader;
mod render;
mod scalar;
mod source;
#[cfg(test)]
mod tests;

pub use finding::{Finding, Findings, Severity, nearest};
pub use merge::merge;
pub use node::{Data, Key, Kind, Node};
pub use parse::{MAX_DEPTH, MAX_NODES, parse};
pub use reader::Reader;
pub use source::{Located, MAX_BYTES, Place, Position, Source};
