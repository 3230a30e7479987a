//! Lists: what is asked for (RFC 7644 3.4.2 and 3.4.3) and the message that answers.

use serde_json::Value;

use super::filter::{Filter, Limits};
use super::{AttributePath, Error, Object, Projection};

/// What a list or search asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// Which resources.
    pub filter: Option<Filter>,
    /// From 1.
    pub start_index: i64,
    /// At most so many; 0 counts only.
    pub count: Option<u64>,
    /// In which order.
    pub sort_by: Option<AttributePath>,
    /// From the last to the first.
    pub descending: bool,
    /// Which attributes.
    pub projection: Projection,
    /// RFC 9865: present and empty asks for the first page.
    pub cursor: Option<String>,
}

impl ListQuery {
    /// From decoded parameters (see [`super::query::decode`]).
    pub fn parse<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)], limits: &Limits) -> Result<Self, Error> {
        let _ = (pairs.len(), limits);
        todo!()
    }

    /// From a SearchRequest message (RFC 7644 3.4.3).
    pub fn from_search_request(body: &Value, limits: &Limits) -> Result<Self, Error> {
        let _ = (body, limits);
        todo!()
    }
}

/// A page of resources.
#[derive(Debug, Clone, PartialEq)]
pub struct ListResponse {
    /// How many the filter meets in all.
    pub total: u64,
    /// As asked.
    pub start_index: i64,
    /// The page.
    pub resources: Vec<Object>,
    /// RFC 9865.
    pub next_cursor: Option<String>,
    /// RFC 9865.
    pub previous_cursor: Option<String>,
}

impl ListResponse {
    /// A page by index.
    pub fn new(total: u64, start_index: i64, resources: Vec<Object>) -> Self {
        Self {
            total,
            start_index,
            resources,
            next_cursor: None,
            previous_cursor: None,
        }
    }

    /// The message. Moves the resources.
    pub fn into_value(self) -> Value {
        todo!()
    }
}
