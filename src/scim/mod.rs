//! The protocol and nothing else: schemas, attribute paths, filters, PATCH, resources, errors (RFC 7643, RFC 7644, RFC 9865).
//!
//! Everything here is pure: text and JSON in, types out, and back. This room has no I/O, knows no SQL and no HTTP library,
//! and never decides what an application can hold: that is the adapter's business.
//!
//! The way of a request body is [`resource::parse`] -> [`resource::normalise`] or [`Patch::parse`] -> [`Patch::apply`];
//! that of a query string is [`query::decode`] -> [`ListQuery::parse`]; that of an answer [`Projection::apply`] ->
//! [`ListResponse::into_value`].

pub mod bulk;
pub mod error;
pub mod filter;
pub mod list;
pub mod name;
pub mod patch;
pub mod path;
pub mod projection;
pub mod query;
pub mod resource;
pub mod schema;
pub mod urn;

mod bulk_order;
mod collection;
mod definitions;
mod expand;
mod grammar;
mod matching;
mod modify;
mod value;

pub use bulk::{Bulk, BulkMethod};
pub use error::{Error, ScimType};
pub use filter::{Filter, Literal, Operator};
pub use list::{ListQuery, ListResponse};
pub use patch::{CollectionChange, Op, Operation, Outcome, Patch};
pub use path::{AttributePath, Path};
pub use projection::Projection;
pub use resource::{Object, normalise, strip_read_only};
pub use schema::{Attribute, Kind, Mutability, Resolved, ResourceSchema, Returned, Schema, Uniqueness};
