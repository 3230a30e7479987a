//! GET of one resource, and what reading one or many has in common.

use super::child_rows::ChildRows;
use super::permissions::Operation;
use super::plan::{ReadPlan, Reverse};
use super::row::is_of;
use super::rows::{self, RowReader};
use super::transaction::Fault;
use super::{Answer, Caller, Directory, Place, blank_environment};
use crate::scim::{Error, Object, Projection};
use crate::sql::{Connection, Row, Value};
use serde_json::Value as Json;

impl Directory {
    /// Reads one resource; 404 where the caller can see none.
    pub fn get(&self, caller: &Caller, type_: usize, id: &str, projection: &Projection) -> Result<Answer, Error> {
        caller.server.may.check(&self.type_(type_)?.0.name, Operation::Read)?;
        let (place, key) = self.find(type_, id)?;
        let collections = self.collections_wanted(caller, &place, projection);
        let along = collections.come_along(place.plan.reading(caller.server.default));
        let found = self.read(collections.any() && !along, |connection| {
            self.read_one(connection, caller, &place, &key, &collections)
        })?;
        let Some(found) = found else {
            return Err(Error::not_found(&place.type_.name, id));
        };
        Ok(self.answer(&place, found, projection))
    }

    /// One resource by its key, with its collections.
    pub(super) fn read_one(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        place: &Place<'_>,
        key: &Value,
        collections: &CollectionsWanted,
    ) -> Result<Option<Found>, Fault> {
        let reading = place.plan.reading(caller.server.default);
        let params = self.params(key.clone(), &caller.server.name);
        let along = reading.by_key_with_groups.as_ref().filter(|_| collections.come_along(reading));
        let statement = along.unwrap_or(&reading.by_key);
        let rows = connection.query(statement, &params)?;
        let Some(mut row) = rows.into_iter().find(|row| is_of(key, row)) else {
            return Ok(None);
        };
        if along.is_some() {
            let groups = row.0.split_off(reading.select.columns.len().min(row.0.len()));
            let mut resource = self.reader(place, caller).resource(&row.0);
            self.groups_along(caller, place, &groups, &mut resource)?;
            let version = (!place.plan.has_collections()).then(|| rows::version(&row.0, std::iter::empty()));
            return Ok(Some(Found { resource, version, row, children: ChildRows::new() }));
        }
        let (mut resources, mut members) =
            self.read_page(connection, caller, place, std::slice::from_ref(&row), collections)?;
        let Some(resource) = resources.pop() else {
            return Ok(None);
        };
        let version = members.version_of(&row, 0, place);
        Ok(Some(Found { resource, version, row, children: members.children.pop().unwrap_or_default() }))
    }

    pub(super) fn reader<'a>(&'a self, place: &Place<'a>, caller: &'a Caller) -> RowReader<'a> {
        RowReader {
            adapter: &self.adapter,
            type_: place.type_,
            source: place.source,
            types: &self.types,
            plan: place.plan,
            reading: place.plan.reading(caller.server.default),
            environment: blank_environment(&self.adapter),
            may: &caller.server.may,
            base_url: &caller.base_url,
        }
    }

    pub(super) fn answer(&self, place: &Place<'_>, found: Found, projection: &Projection) -> Answer {
        let Found { mut resource, version, .. } = found;
        if let (Some(version), Some(Json::Object(meta))) = (&version, resource.get_mut("meta")) {
            meta.insert("version".into(), Json::String(version.clone()));
        }
        let location = resource
            .get("meta")
            .and_then(|meta| meta.get("location"))
            .and_then(Json::as_str)
            .unwrap_or_default()
            .to_owned();
        Answer { resource: projection.apply(resource, &place.type_.schema), version, location }
    }

    /// Which collections an answer shows; the others are not read at all.
    pub(super) fn collections_wanted(
        &self,
        caller: &Caller,
        place: &Place<'_>,
        projection: &Projection,
    ) -> CollectionsWanted {
        let schema = &place.type_.schema;
        let wants = |name: &str| schema.top(name).is_some_and(|attribute| projection.wants(schema, None, attribute));
        let links =
            place.plan.links.iter().copied().filter(|index| {
                place.source.link(*index).is_some_and(|(attribute, _)| wants(&attribute.target.attribute))
            });
        let rows = place.plan.children.iter().map(|child| child.attribute).filter(|index| {
            place.source.attributes.get(*index).is_some_and(|attribute| {
                let extension = attribute.target.extension.as_ref();
                let extension = extension.and_then(|urn| schema.extensions.iter().find(|known| known.id == *urn));
                let known = match extension {
                    Some(extension) => extension.attribute(&attribute.target.attribute),
                    None => schema.top(&attribute.target.attribute),
                };
                known.is_some_and(|known| projection.wants(schema, extension, known))
            })
        });
        let groups = place.type_plan.reverse.iter().any(|reverse| self.may_see(caller, reverse));
        CollectionsWanted { links: links.collect(), groups: groups && wants("groups"), rows: rows.collect() }
    }

    /// The types that an identity server may not read. Their resources are not named to it: where they are members or
    /// managers of what it may read, it sees their ids.
    pub(super) fn unread(&self, caller: &Caller) -> Vec<&str> {
        let names = self.adapter.resource_types.iter().map(|type_| type_.name.as_str());
        names.filter(|name| !caller.server.may.allow(name, Operation::Read)).collect()
    }

    /// Whether the groups behind a link are shown: a type that an identity server may not read is not shown by another
    /// type's `groups` either.
    pub(super) fn may_see(&self, caller: &Caller, reverse: &Reverse) -> bool {
        let type_ = self.adapter.resource_types.get(reverse.type_);
        type_.is_some_and(|type_| caller.server.may.allow(&type_.name, Operation::Read))
    }
}

/// A resource on its way to an answer.
pub(super) struct Found {
    pub resource: Object,
    pub version: Option<String>,
    pub row: Row,
    /// The child rows that were read.
    pub children: ChildRows,
}

/// The collections to read: links by attribute, `groups`, and child rows by attribute.
pub(super) struct CollectionsWanted {
    pub links: Vec<usize>,
    pub groups: bool,
    pub rows: Vec<usize>,
}

impl CollectionsWanted {
    pub fn none() -> Self {
        Self { links: Vec::new(), groups: false, rows: Vec::new() }
    }

    /// All that a version is made of.
    pub fn versioned(place: &Place<'_>) -> Self {
        let rows = place.plan.children.iter().map(|child| child.attribute);
        Self { links: place.plan.links.clone(), groups: false, rows: rows.collect() }
    }

    /// These child rows besides.
    pub fn with_rows(mut self, more: &[usize]) -> Self {
        self.rows.extend(more);
        self.rows.sort_unstable();
        self.rows.dedup();
        self
    }

    pub fn any(&self) -> bool {
        self.groups || !self.links.is_empty() || !self.rows.is_empty()
    }

    /// Whether one row brings all of it: groups do, members may be too many.
    pub fn come_along(&self, reading: &ReadPlan) -> bool {
        self.groups && self.links.is_empty() && self.rows.is_empty() && reading.by_key_with_groups.is_some()
    }
}
