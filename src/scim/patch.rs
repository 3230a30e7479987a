//! PATCH (RFC 7644 3.5.2).

use indexmap::IndexMap;
use serde_json::Value;

use super::filter::{self, Filter};
use super::{Error, Object, Path, ResourceSchema};

/// A PATCH request.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// In order; all or none.
    pub operations: Vec<Operation>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What to do.
    pub op: Op,
    /// Where; the whole resource without one.
    pub path: Option<Path>,
    /// With what; JSON null is a value.
    pub value: Option<Value>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum Op {
    Add,
    Replace,
    Remove,
}

/// What a PATCH request may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations in one request.
    pub operations: usize,
    /// For the filters in its paths.
    pub filter: filter::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 1000,
            filter: filter::Limits::default(),
        }
    }
}

/// How the resource at hand takes changes. Attributes are named canonically.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Large multi-valued attributes that are not in the resource given; changes to them are returned, not applied.
    pub collections: &'a [String],
    /// Multi-valued attributes that can hold one value: a value path that matches none changes that one.
    pub single_valued: &'a [String],
    /// A value path that matches nothing is 400 noTarget instead of making the value.
    pub strict_no_target: bool,
}

/// What a PATCH makes of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The resource afterwards, without collections.
    pub resource: Object,
    /// Changes to collections by canonical name, in order.
    pub collections: IndexMap<String, Vec<CollectionChange>>,
    /// Names that this resource type does not have.
    pub ignored: Vec<String>,
}

/// A change to a large multi-valued attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum CollectionChange {
    /// Each has a `value`.
    Add(Vec<Object>),
    /// By `value`.
    Remove(Vec<String>),
    /// Those that a filter on sub-attributes meets.
    RemoveWhere(Filter),
    /// All.
    RemoveAll,
    /// These and no others.
    Replace(Vec<Object>),
}

impl Patch {
    /// Reads a PatchOp message; 400 invalidSyntax, invalidPath, invalidValue, noTarget; 413 for too many operations.
    pub fn parse(value: Value, limits: &Limits) -> Result<Self, Error> {
        let _ = (value, limits);
        todo!()
    }

    /// Applies the operations to a copy of `current`, a normalised resource.
    pub fn apply(&self, current: &Object, schema: &ResourceSchema, options: &Options<'_>) -> Result<Outcome, Error> {
        let _ = (current, schema, options);
        todo!()
    }
}
