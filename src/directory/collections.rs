//! Members of groups and groups of users: read a page at a time, one statement for each link, whatever
//! the number of elements.

use super::plan::{self, Display};
use super::read::CollectionsWanted;
use super::rows;
use super::transaction::Fault;
use super::{Caller, Directory, Place, blank_environment};
use crate::adapter::{Aliases, Binding, Column, Link, ResourceType, Source};
use crate::scim::Object;
use crate::sql::{Alias, Connection, Expr, Join, JoinKind, Order, Predicate, Row, Select, Statement, Value};
use serde_json::Value as Json;
use std::collections::HashMap;

/// The members that were read, for versions: by position on the page.
pub(super) struct Members {
    ids: Option<Vec<Vec<String>>>,
}

impl Members {
    /// The version of one resource of the page. Without its members the version of a resource that has
    /// members is not known; `groups` is another resource's affair.
    pub fn version_of(&self, row: &Row, position: usize, place: &Place<'_>) -> Option<String> {
        if place.plan.links.is_empty() {
            return Some(rows::version(&row.0, std::iter::empty()));
        }
        let ids = self.ids.as_ref()?.get(position)?;
        Some(rows::version(&row.0, ids.iter().map(String::as_str)))
    }
}

/// One side of a link, seen from the resources whose elements are read.
struct Side<'a> {
    link: &'a Link,
    /// The link's column that points to the resources at hand, and the column of their table it holds.
    near: (&'a Column, usize),
    /// The same for the elements.
    far: (&'a Column, usize),
    /// The elements' type and source.
    type_: &'a ResourceType,
    source: &'a Source,
}

impl Directory {
    /// Reads the wanted collections of a page into its resources.
    pub(super) fn read_collections(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        place: &Place<'_>,
        rows: &[Row],
        resources: &mut [Object],
        wanted: &CollectionsWanted,
    ) -> Result<Members, Fault> {
        let whole = wanted.links.len() == place.plan.links.len() && !wanted.links.is_empty();
        let mut ids = vec![Vec::new(); rows.len()];
        for index in &wanted.links {
            let Some(attribute) = place.source.attributes.get(*index) else {
                continue;
            };
            let Binding::Link(link) = &attribute.binding else {
                continue;
            };
            let Some((_, type_)) = plan::find_type(&self.adapter, &link.resource_type) else {
                continue;
            };
            let Some(source) = type_.sources.first() else { continue };
            let side = Side {
                link,
                near: (&link.parent.0, link.parent.1),
                far: (&link.child.0, link.child.1),
                type_,
                source,
            };
            let mut found = self.elements(connection, caller, &side, rows, &type_.name)?;
            for (position, resource) in resources.iter_mut().enumerate() {
                let Some(elements) = near_key(rows, position, side.near.1).and_then(|key| found.remove(&key)) else {
                    continue;
                };
                if let Some(ids) = ids.get_mut(position) {
                    ids.extend(
                        elements
                            .iter()
                            .filter_map(|e| e.get("value")?.as_str().map(str::to_owned)),
                    );
                }
                push(resource, &attribute.target.attribute, elements);
            }
        }
        if wanted.groups {
            for reverse in &place.type_plan.reverse {
                let Some(type_) = self.adapter.resource_types.get(reverse.type_) else {
                    continue;
                };
                let Some(source) = type_.sources.get(reverse.source) else {
                    continue;
                };
                let Some(Binding::Link(link)) = source.attributes.get(reverse.attribute).map(|a| &a.binding) else {
                    continue;
                };
                let side = Side {
                    link,
                    near: (&link.child.0, link.child.1),
                    far: (&link.parent.0, link.parent.1),
                    type_,
                    source,
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
        Ok(Members {
            ids: whole.then_some(ids),
        })
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
        let (link, target) = (Alias(0), Alias(1));
        let near = Expr::column(link, &side.near.0.name);
        let filter = match (keys.len(), keys.pop()) {
            (_, None) => return Ok(HashMap::new()),
            (1, Some(key)) => Predicate::eq(near.clone(), key),
            (_, Some(key)) => {
                keys.push(key);
                Predicate::In(near.clone(), keys)
            }
        };
        let display = Display::of(side.source);
        let mut columns = vec![near, plan::key(side.source, target)];
        for column in display.iter().flat_map(|display| &display.columns) {
            columns.extend(
                side.source
                    .columns
                    .get(*column)
                    .map(|column| Expr::column(target, &column.name)),
            );
        }
        let Some(there) = side.source.columns.get(side.far.1) else {
            return Ok(HashMap::new());
        };
        let environment = blank_environment(&self.adapter);
        let mut aliases = Aliases::from(2);
        let kind = plan::own_kind(side.type_, side.source);
        let mut select = Select::new(side.link.table.clone(), link, columns);
        select.joins.push(Join {
            kind: JoinKind::Inner,
            table: side.source.table.clone(),
            alias: target,
            on: Predicate::eq(Expr::column(target, &there.name), Expr::column(link, &side.far.0.name)),
        });
        select.filter = filter
            .and(environment.predicate(&side.link.filter, Some(link), &mut aliases))
            .and(plan::visible(
                side.source,
                &kind,
                &self.own,
                target,
                &environment,
                &mut aliases,
            ));
        select.order.push(Order {
            by: plan::key(side.source, target),
            descending: false,
        });
        let mut found: HashMap<String, Vec<Json>> = HashMap::new();
        for row in connection.query(&Statement::Select(select), &[])? {
            let (Some(near), Some(key)) = (row.0.first().and_then(Value::to_text), row.0.get(1)) else {
                continue;
            };
            let id = rows::scim_id(side.source, key);
            let mut element = Object::new();
            element.insert(
                "$ref".into(),
                Json::String(rows::location(&caller.base_url, side.type_, &id)),
            );
            let columns = row.0.get(2..).unwrap_or_default();
            if let Some(name) = rows::display_name(side.source, display.as_ref(), &self.adapter, columns, &environment)
            {
                element.insert("display".into(), Json::String(name));
            }
            element.insert("value".into(), Json::String(id));
            element.insert("type".into(), Json::from(type_word));
            found.entry(near).or_default().push(Json::Object(element));
        }
        Ok(found)
    }
}

fn near_key(rows: &[Row], position: usize, column: usize) -> Option<String> {
    rows.get(position)?.0.get(column)?.to_text()
}

fn push(resource: &mut Object, name: &str, elements: Vec<Json>) {
    let entry = resource
        .entry(name.to_owned())
        .or_insert_with(|| Json::Array(Vec::new()));
    if let Json::Array(all) = entry {
        all.extend(elements);
    }
}
