//! PATCH (RFC 7644 3.5.2), in the dialects of the identity providers.
//!
//! The operations apply in order, all or none, to a copy of the resource. Changes to collections (the members of a group)
//! are handed back instead, so that nobody reads 5,000 members to add one. Read-only attributes are passed over in a value
//! without path, where clients echo them, and refused as a path; names that the resource type does not have are reported,
//! not refused, wherever they stand.

use indexmap::IndexMap;
use serde_json::Value;

use super::expand::{self, Entry, Target};
use super::filter::{self, Filter};
use super::modify::{Modifier, Rules};
use super::path::quoted;
use super::schema::{Home, Resolved};
use super::{Error, Mutability, Object, Path, ResourceSchema, collection, name, resource};

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
        Self { operations: 1000, filter: filter::Limits::default() }
    }
}

/// How the resource at hand takes changes. Attributes are named canonically.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Large multi-valued attributes that are not in the resource given; changes to them are returned, not applied.
    pub collections: &'a [String],
    /// Multi-valued attributes that can hold one value: a value path that matches none changes that one.
    pub single_valued: &'a [String],
    /// A replace whose value path matches nothing is 400 noTarget (RFC 7644 3.5.2.3) instead of making the value.
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
    ///
    /// `schemas` may be missing, `op` has any case, a path or value that is null or a path that is empty is none, except
    /// that null is a value where one is needed; unknown members are ignored.
    pub fn parse(value: Value, limits: &Limits) -> Result<Self, Error> {
        let Value::Object(message) = value else {
            return Err(Error::invalid_syntax("the body must be a PatchOp object"));
        };
        let operations = match member(message, "Operations") {
            Some(Value::Array(operations)) => operations,
            Some(_) => return Err(Error::invalid_syntax("Operations must be a list")),
            None => return Err(Error::invalid_syntax("the body has no Operations")),
        };
        if operations.len() > limits.operations {
            return Err(Error::too_large(format!("more than {} operations in one PATCH", limits.operations)));
        }
        let parse = |(index, value)| Operation::parse(value, limits).map_err(|error| numbered(error, index));
        Ok(Self { operations: operations.into_iter().enumerate().map(parse).collect::<Result<_, _>>()? })
    }

    /// Applies the operations to a copy of `current`, a resource in normal form. 400 invalidPath, invalidValue, mutability,
    /// noTarget.
    pub fn apply(&self, current: &Object, schema: &ResourceSchema, options: &Options<'_>) -> Result<Outcome, Error> {
        let mut resource = current.clone();
        let rules = Rules {
            single_valued: options.single_valued,
            strict_no_target: options.strict_no_target,
            strip_read_only: true,
        };
        let mut application = Application {
            current,
            schema,
            options,
            modifier: Modifier::new(&mut resource, schema, rules),
            collections: IndexMap::new(),
            ignored: Vec::new(),
        };
        for (index, operation) in self.operations.iter().enumerate() {
            application.run(operation).map_err(|error| numbered(error, index))?;
        }
        let Application { modifier, mut collections, ignored, .. } = application;
        collections.retain(|_, changes| !changes.is_empty());
        modifier.finish();
        keeps_required(current, &resource, schema)?;
        resource::set_schemas(&mut resource, schema);
        Ok(Outcome { resource, collections, ignored })
    }
}

impl Operation {
    fn parse(value: Value, limits: &Limits) -> Result<Self, Error> {
        let Value::Object(message) = value else {
            return Err(Error::invalid_syntax("an operation must be an object"));
        };
        let (mut op, mut path, mut value) = (None, None, None);
        for (key, member) in message {
            match key.to_ascii_lowercase().as_str() {
                "op" => op = Some(member),
                "path" => path = Some(member),
                "value" => value = Some(member),
                _ => {}
            }
        }
        let op = match op.as_ref().and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
            Some("add") => Op::Add,
            Some("replace") => Op::Replace,
            Some("remove") => Op::Remove,
            _ => return Err(Error::invalid_syntax("op must be add, replace or remove")),
        };
        let path = match path {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) if text.trim().is_empty() => None,
            Some(Value::String(text)) => Some(Path::parse(&text, &limits.filter)?),
            Some(_) => return Err(Error::invalid_path("a path must be a string")),
        };
        match (op, &path, &value) {
            (Op::Remove, None, _) => Err(Error::no_target("remove needs a path")),
            (Op::Add | Op::Replace, _, None) => Err(Error::invalid_value("add and replace need a value")),
            (Op::Add | Op::Replace, None, Some(value)) if !value.is_object() => {
                Err(Error::invalid_value("a value without path must be an object"))
            }
            _ => Ok(Self { op, path, value }),
        }
    }
}

struct Application<'a> {
    current: &'a Object,
    schema: &'a ResourceSchema,
    options: &'a Options<'a>,
    modifier: Modifier<'a>,
    collections: IndexMap<String, Vec<CollectionChange>>,
    ignored: Vec<String>,
}

impl<'a> Application<'a> {
    fn run(&mut self, operation: &Operation) -> Result<(), Error> {
        let Operation { op, path, value } = operation;
        let Some(path) = path else {
            let Some(Value::Object(object)) = value else {
                return Err(Error::no_target("an operation without path needs an object as its value"));
            };
            return self.run_all(*op, "", Value::Object(object.clone()), Home::Core);
        };
        match (expand::target(path, self.schema), op) {
            (Target::Unknown, _) => {
                self.ignored.push(path.to_string());
                Ok(())
            }
            (Target::Home(Home::Core), Op::Remove) => {
                Err(Error::no_target(format!("remove cannot empty {}", quoted(&path.to_string()))))
            }
            (Target::Home(home @ Home::Extension(_)), Op::Remove) => self.run_all(Op::Replace, "", Value::Null, home),
            (Target::Home(home), op) => self.run_all(*op, &path.to_string(), value.clone().unwrap_or_default(), home),
            (Target::Attribute(at, filter), op) => self.run_one(*op, at, filter, value.as_ref()),
        }
    }

    /// A value whose keys say where its parts go.
    fn run_all(&mut self, op: Op, name: &str, value: Value, home: Home<'a>) -> Result<(), Error> {
        let mut entries = Vec::new();
        expand::whole(name, value, home, self.schema, &mut self.ignored, &mut entries)?;
        entries.into_iter().try_for_each(|entry| self.write(op, entry))
    }

    /// A path that names an attribute.
    fn run_one(
        &mut self,
        op: Op,
        at: Resolved<'a>,
        filter: Option<Filter>,
        value: Option<&Value>,
    ) -> Result<(), Error> {
        if at.attribute.name == "schemas" {
            return Ok(());
        }
        if is_read_only(at) {
            // Saying again what is so changes nothing.
            let said_again = op != Op::Remove && filter.is_none() && resource::get(self.current, at) == value;
            return if said_again {
                Ok(())
            } else {
                Err(Error::mutability(format!("{} is read-only", at.full_name())))
            };
        }
        if op == Op::Remove {
            return match self.collection(at) {
                Some(changes) => {
                    let mut dropped = Vec::new();
                    collection::change(op, at, filter.as_ref(), value.cloned(), &mut dropped, changes)?;
                    self.ignored.append(&mut dropped);
                    Ok(())
                }
                None => self.modifier.remove(at, filter.as_ref(), value, &mut self.ignored),
            };
        }
        let mut entries = Vec::new();
        let entry = Entry { at, filter, value: value.cloned().unwrap_or_default() };
        expand::push(entry, &mut self.ignored, &mut entries);
        entries.into_iter().try_for_each(|entry| self.write(op, entry))
    }

    fn write(&mut self, op: Op, entry: Entry<'a>) -> Result<(), Error> {
        let Entry { at, filter, value } = entry;
        if is_read_only(at) {
            return Ok(());
        }
        match self.collection(at) {
            Some(changes) => {
                let mut dropped = Vec::new();
                collection::change(op, at, filter.as_ref(), Some(value), &mut dropped, changes)?;
                self.ignored.append(&mut dropped);
                Ok(())
            }
            None => self.modifier.write(op, at, filter.as_ref(), value, &mut self.ignored),
        }
    }

    /// Where the changes to an attribute go if it is a collection.
    fn collection(&mut self, at: Resolved<'_>) -> Option<&mut Vec<CollectionChange>> {
        let is_one = at.extension.is_none() && self.options.collections.contains(&at.attribute.name);
        is_one.then(|| self.collections.entry(at.attribute.name.clone()).or_default())
    }
}

fn is_read_only(at: Resolved<'_>) -> bool {
    at.attribute.is_read_only() || at.sub.is_some_and(|sub| sub.is_read_only())
}

/// RFC 7644 3.5.2.2: what is required does not become unassigned. What already was, stays the application's affair.
fn keeps_required(before: &Object, after: &Object, schema: &ResourceSchema) -> Result<(), Error> {
    let core = schema.core.attributes.iter().map(|attribute| (None, attribute));
    let extensions = schema
        .extensions
        .iter()
        .flat_map(|schema| schema.attributes.iter().map(move |attribute| (Some(schema), attribute)));
    for (extension, attribute) in core.chain(extensions) {
        let at = Resolved { extension, attribute, sub: None };
        let required = attribute.required && attribute.mutability != Mutability::WriteOnly;
        if required && resource::get(before, at).is_some() && resource::get(after, at).is_none() {
            return Err(Error::mutability(format!("{} is required and cannot be removed", at.full_name())));
        }
    }
    Ok(())
}

fn member(object: Object, key: &str) -> Option<Value> {
    object.into_iter().find(|(candidate, _)| name::same(candidate, key)).map(|(_, value)| value)
}

fn numbered(mut error: Error, index: usize) -> Error {
    error.detail = format!("operation {}: {}", index + 1, error.detail);
    error
}

#[cfg(test)]
#[path = "patch_tests.rs"]
mod tests;
