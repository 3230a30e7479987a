//! Members of groups and groups of users: read a page at a time, one statement for each link, whatever
//! the number of elements.

use super::child_rows::{self, ChildRows};
use super::permissions::Operation;
use super::plan::{self, Display};
use super::read::CollectionsWanted;
use super::rows::{self, RowReader};
use super::side::{self, Side};
use super::transaction::Fault;
use super::{Caller, Directory, Place, blank_environment};
use crate::adapter::Aliases;
use crate::scim::{Error, Object};
use crate::sql::{Alias, Connection, Expr, Order, Predicate, Row, Statement, Value};
use serde_json::Value as Json;
use std::collections::HashMap;

/// What was read of the collections and child rows of a page: by position.
pub(super) struct Members {
    /// For versions: where all of it was read.
    ids: Option<Vec<Vec<String>>>,
    /// The child rows.
    pub children: Vec<ChildRows>,
}

impl Members {
    /// The version of one resource of the page. Without its members the version of a resource that has
    /// members is not known; `groups` is another resource's affair.
    pub fn version_of(&self, row: &Row, position: usize, place: &Place<'_>) -> Option<String> {
        if !place.plan.has_collections() {
            return Some(rows::version(&row.0, std::iter::empty()));
        }
        let ids = self.ids.as_ref()?.get(position)?;
        Some(rows::version(&row.0, ids.iter().map(String::as_str)))
    }
}

impl Directory {
    /// The resources of a page, with the wanted collections.
    pub(super) fn read_page(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        place: &Place<'_>,
        rows: &[Row],
        wanted: &CollectionsWanted,
    ) -> Result<(Vec<Object>, Members), Fault> {
        let reader = self.reader(place, caller);
        let mut resources: Vec<Object> = rows.iter().map(|row| reader.resource(&row.0)).collect();
        let whole = wanted.links.len() == place.plan.links.len() && wanted.rows.len() == place.plan.children.len();
        let mut ids = vec![Vec::new(); rows.len()];
        let children = self.read_children(connection, &reader, place, rows, &mut resources, &wanted.rows)?;
        for (ids, children) in ids.iter_mut().zip(&children) {
            for (attribute, all) in wanted.rows.iter().filter_map(|index| Some((index, children.get(index)?))) {
                ids.extend(child_rows::digest(*attribute, all));
            }
        }
        for (attribute, link) in wanted.links.iter().filter_map(|index| place.source.link(*index)) {
            let Some(side) = Side::of_link(&self.adapter, link) else {
                continue;
            };
            let mut found = self.elements(connection, caller, &side, rows, &side.type_.name)?;
            for (position, resource) in resources.iter_mut().enumerate() {
                let Some(elements) = near_key(rows, position, side.near.1).and_then(|key| found.remove(&key)) else {
                    continue;
                };
                if let Some(ids) = ids.get_mut(position) {
                    ids.extend(elements.iter().filter_map(|e| e.get("value")?.as_str().map(str::to_owned)));
                }
                push(resource, &attribute.target.attribute, elements);
            }
        }
        if wanted.groups {
            for reverse in place.type_plan.reverse.iter().filter(|reverse| self.may_see(caller, reverse)) {
                let Some(side) = Side::of_reverse(&self.adapter, reverse) else {
                    continue;
                };
                let mut found = self.elements(connection, caller, &side, rows, "direct")?;
                for (position, resource) in resources.iter_mut().enumerate() {
                    let key = near_key(rows, position, side.near.1);
                    if let Some(elements) = key.and_then(|key| found.remove(&key)) {
                        push(resource, "groups", elements);
                    }
                }
            }
        }
        Ok((resources, Members { ids: whole.then_some(ids), children }))
    }

    /// Reads the wanted child rows of a page into its resources: one statement for each attribute.
    fn read_children(
        &self,
        connection: &mut dyn Connection,
        reader: &RowReader<'_>,
        place: &Place<'_>,
        rows: &[Row],
        resources: &mut [Object],
        wanted: &[usize],
    ) -> Result<Vec<ChildRows>, Fault> {
        let mut children: Vec<ChildRows> = rows.iter().map(|_| ChildRows::new()).collect();
        for plan in place.plan.children.iter().filter(|plan| wanted.contains(&plan.attribute)) {
            let Some(child) = child_rows::rows_of(place, plan.attribute) else {
                continue;
            };
            let mut found = self.child_rows(connection, place, plan, rows)?;
            for (position, (resource, children)) in resources.iter_mut().zip(&mut children).enumerate() {
                let key = near_key(rows, position, child.parent.1);
                let all = key.and_then(|key| found.remove(&key)).unwrap_or_default();
                let row = rows.get(position).map(|row| row.0.as_slice());
                reader.put_rows(resource, plan.attribute, reader.rows_value(plan.attribute, child, &all), row);
                children.insert(plan.attribute, all);
            }
        }
        Ok(children)
    }

    fn elements(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        side: &Side<'_>,
        rows: &[Row],
        type_word: &str,
    ) -> Result<HashMap<String, Vec<Json>>, Fault> {
        let cast = side.near.0.cast.clone();
        let mut keys: Vec<Expr> = rows
            .iter()
            .filter_map(|row| row.0.get(side.near.1))
            .filter(|key| !key.is_null())
            .map(|key| Expr::Value(key.clone(), cast.clone()))
            .collect();
        let near = Expr::column(Alias(0), &side.near.0.name);
        let filter = match (keys.len(), keys.pop()) {
            (_, None) => return Ok(HashMap::new()),
            (1, Some(key)) => Predicate::eq(near, key),
            (_, Some(key)) => {
                keys.push(key);
                Predicate::In(near, keys)
            }
        };
        let environment = blank_environment(&self.adapter);
        let mut select = side.select(&self.own, &environment, (Alias(0), Alias(1)), &mut Aliases::from(2));
        select.filter = filter.and(select.filter);
        select.order.push(Order { by: plan::key(side.source, Alias(1)), descending: false });
        let display = Display::of(side.source).filter(|_| caller.server.may.allow(&side.type_.name, Operation::Read));
        let mut found: HashMap<String, Vec<Json>> = HashMap::new();
        for row in connection.query(&Statement::Select(select), &[])? {
            let Some((near, rest)) = row.0.split_first() else {
                continue;
            };
            let element =
                side.element(&self.adapter, &environment, display.as_ref(), &caller.base_url, type_word, rest);
            if let (Some(near), Some(element)) = (near.to_text(), element) {
                found.entry(near).or_default().push(element);
            }
        }
        Ok(found)
    }

    /// The groups that came along in the row of [`super::plan::ReadPlan::by_key_with_groups`].
    pub(super) fn groups_along(
        &self,
        caller: &Caller,
        place: &Place<'_>,
        values: &[Value],
        resource: &mut Object,
    ) -> Result<(), Fault> {
        let environment = blank_environment(&self.adapter);
        for (reverse, value) in place.type_plan.reverse.iter().zip(values) {
            if !self.may_see(caller, reverse) {
                continue;
            }
            let Some(side) = Side::of_reverse(&self.adapter, reverse) else {
                continue;
            };
            let Some(rows) = side::rows_of(value) else {
                return Err(Error::internal("the groups that the database sent along cannot be read").into());
            };
            if rows.is_empty() {
                continue;
            }
            let display = Display::of(side.source);
            let elements = rows.iter().filter_map(|row| {
                side.element(&self.adapter, &environment, display.as_ref(), &caller.base_url, "direct", row)
            });
            push(resource, "groups", elements.collect());
        }
        Ok(())
    }
}

fn near_key(rows: &[Row], position: usize, column: usize) -> Option<String> {
    rows.get(position)?.0.get(column)?.to_text()
}

fn push(resource: &mut Object, name: &str, elements: Vec<Json>) {
    let entry = resource.entry(name.to_owned()).or_insert_with(|| Json::Array(Vec::new()));
    if let Json::Array(all) = entry {
        all.extend(elements);
    }
}
