//! GET of one resource and of a list.

use super::child_rows::ChildRows;
use super::filter::Compiler;
use super::permissions::Operation;
use super::plan::{self, MAIN, ReadPlan};
use super::rows::{self, RowReader};
use super::transaction::Fault;
use super::{Answer, Caller, Directory, Page, Place, blank_environment};
use crate::adapter::{Aliases, Binding};
use crate::scim::{Error, ListQuery, Object, Projection};
use crate::sql::{Connection, Expr, Order, Predicate, Row, Select, Statement, Union, Value};
use serde_json::Value as Json;

impl Directory {
    /// Reads one resource; 404 where the caller can see none.
    pub fn get(&self, caller: &Caller, type_: usize, id: &str, projection: &Projection) -> Result<Answer, Error> {
        caller.server.may.check(&self.type_(type_)?.0.name, Operation::Read)?;
        let (place, key) = self.find(type_, id)?;
        let collections = self.collections_wanted(&place, projection);
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
        let params = [key.clone(), Value::from(caller.server.name.as_str())];
        let along = reading.by_key_with_groups.as_ref().filter(|_| collections.come_along(reading));
        let statement = along.unwrap_or(&reading.by_key);
        let Some(mut row) = connection.query(statement, &params)?.into_iter().next() else {
            return Ok(None);
        };
        let reader = self.reader(place, caller);
        if along.is_some() {
            let groups = row.0.split_off(reading.select.columns.len().min(row.0.len()));
            let mut resource = reader.resource(&row.0);
            self.groups_along(caller, place, &groups, &mut resource)?;
            let version = (!place.plan.has_collections()).then(|| rows::version(&row.0, std::iter::empty()));
            return Ok(Some(Found { resource, version, row, children: ChildRows::new() }));
        }
        let mut resources = vec![reader.resource(&row.0)];
        let mut members =
            self.read_collections(connection, caller, place, std::slice::from_ref(&row), &mut resources, collections)?;
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

    /// Reads a page of resources; a page of N costs as many statements as a page of one.
    pub fn list(&self, caller: &Caller, type_: usize, query: &ListQuery) -> Result<Page, Error> {
        let (resource_type, _) = self.type_(type_)?;
        caller.server.may.check(&resource_type.name, Operation::Read)?;
        let start = query.start_index.max(1);
        let offset = u64::try_from(start - 1).unwrap_or(0);
        let count = query.count.map_or(self.page, |count| count.min(self.page));
        let mut parts = Vec::new();
        for source in 0..resource_type.sources.len() {
            let place = self.place(type_, source)?;
            let mut compiler = self.compiler(&place, caller);
            let filter = match &query.filter {
                Some(filter) => compiler.filter(filter)?,
                None => Predicate::True,
            };
            let sort = query.sort_by.as_ref().map(|path| compiler.sort(path)).transpose()?;
            parts.push(Part { place, filter, sort });
        }
        let (total, resources) = match parts.as_slice() {
            [part] => self.list_one(caller, part, query, offset, count)?,
            parts => self.list_several(caller, parts, query, offset, count)?,
        };
        Ok(Page { total, start_index: query.start_index, resources })
    }

    fn compiler<'a>(&'a self, place: &Place<'a>, caller: &'a Caller) -> Compiler<'a> {
        let reading = place.plan.reading(caller.server.default);
        Compiler {
            adapter: &self.adapter,
            type_: place.type_,
            type_plan: place.type_plan,
            source: place.source,
            plan: place.plan,
            reading,
            main: MAIN,
            joined: &reading.joined,
            own: &self.own,
            dialect: self.database.dialect(),
            environment: blank_environment(&self.adapter),
            // Far above what the compiled joins took.
            aliases: Aliases::from(1000),
        }
    }

    fn list_one(
        &self,
        caller: &Caller,
        part: &Part<'_>,
        query: &ListQuery,
        offset: u64,
        count: u64,
    ) -> Result<(u64, Vec<Object>), Error> {
        let place = &part.place;
        let reading = place.plan.reading(caller.server.default);
        let mut select = reading.select.clone();
        select.filter = part.filter.clone().and(select.filter);
        if let Some(sort) = &part.sort {
            // Without a value: last ascending, first descending (RFC 7644 section 3.4.2.3).
            if may_be_null(place, sort) {
                select.order.push(Order { by: missing(sort), descending: query.descending });
            }
            select.order.push(Order { by: sort.clone(), descending: query.descending });
        }
        select
            .order
            .push(Order { by: plan::key(place.source, MAIN), descending: query.descending && query.sort_by.is_none() });
        select.limit = Some(count);
        select.offset = (offset > 0).then_some(offset);
        // Clients that match ask with one comparison: those few texts are worth keeping.
        select.cacheable = matches!(query.filter, None | Some(crate::scim::Filter::Compare(..)));
        let counting = counting(&select);
        let page = Statement::Select(select);
        let params = [Value::Null, Value::from(caller.server.name.as_str())];
        let collections = self.collections_wanted(place, &query.projection);
        // One statement is enough where the first page holds everything and nothing else is asked for.
        let one_may_do = offset == 0 && count > 0;
        if one_may_do && !collections.any() {
            let rows = self.read(false, |connection| Ok(connection.query(&page, &params)?))?;
            if u64::try_from(rows.len()).is_ok_and(|length| length < count) {
                let total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
                let reader = self.reader(place, caller);
                let resources = rows.iter().map(|row| self.listed(&reader, place, row, query)).collect();
                return Ok((total, resources));
            }
        }
        self.read(true, |connection| {
            let rows = if count > 0 { connection.query(&page, &params)? } else { Vec::new() };
            let length = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            let total = if one_may_do && length < count { length } else { total(connection, &counting, &params)? };
            let resources = self.page_of(connection, caller, place, &rows, query, &collections)?;
            Ok((total, resources))
        })
    }

    fn listed(&self, reader: &RowReader<'_>, place: &Place<'_>, row: &Row, query: &ListQuery) -> Object {
        let mut resource = reader.resource(&row.0);
        if !place.plan.has_collections()
            && let Some(Json::Object(meta)) = resource.get_mut("meta")
        {
            meta.insert("version".into(), Json::String(rows::version(&row.0, std::iter::empty())));
        }
        query.projection.apply(resource, &place.type_.schema)
    }

    fn page_of(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        place: &Place<'_>,
        rows: &[Row],
        query: &ListQuery,
        collections: &CollectionsWanted,
    ) -> Result<Vec<Object>, Fault> {
        let reader = self.reader(place, caller);
        let mut resources: Vec<Object> = rows.iter().map(|row| reader.resource(&row.0)).collect();
        let members = self.read_collections(connection, caller, place, rows, &mut resources, collections)?;
        let answered = resources.into_iter().zip(rows).enumerate().map(|(position, (mut resource, row))| {
            let version = members.version_of(row, position, place);
            if let (Some(version), Some(Json::Object(meta))) = (version, resource.get_mut("meta")) {
                meta.insert("version".into(), Json::String(version));
            }
            query.projection.apply(resource, &place.type_.schema)
        });
        Ok(answered.collect())
    }

    /// Several tables in one ordered sequence: first the keys of the page over all of them, then the
    /// rows of each table that is on it.
    fn list_several(
        &self,
        caller: &Caller,
        parts: &[Part<'_>],
        query: &ListQuery,
        offset: u64,
        count: u64,
    ) -> Result<(u64, Vec<Object>), Error> {
        let params = [Value::Null, Value::from(caller.server.name.as_str())];
        let mut selects = Vec::new();
        let mut counts = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let reading = part.place.plan.reading(caller.server.default);
            let mut select = reading.select.clone();
            select.filter = part.filter.clone().and(select.filter);
            counts.push(counting(&select));
            select.columns = vec![
                Expr::Number(i64::try_from(number).unwrap_or(i64::MAX)),
                Expr::Text(Box::new(plan::key(part.place.source, MAIN))),
                plan::key(part.place.source, MAIN),
                part.sort.clone().unwrap_or(Expr::Number(0)),
                part.sort.as_ref().map_or(Expr::Number(0), missing),
            ];
            prune(&mut select);
            selects.push(select);
        }
        // Keys of different types cannot be sorted as one column: then their text is.
        let alike = parts.windows(2).all(|pair| match pair {
            [a, b] => {
                a.place.source.columns.first().map(|column| &column.kind)
                    == b.place.source.columns.first().map(|column| &column.kind)
            }
            _ => true,
        });
        let mut order = Vec::new();
        if query.sort_by.is_some() {
            order.extend([(4, query.descending), (3, query.descending)]);
        }
        let reversed = query.descending && query.sort_by.is_none();
        order.extend([(0, reversed), (if alike { 2 } else { 1 }, reversed)]);
        if !alike {
            for select in &mut selects {
                if let Some(key) = select.columns.get_mut(2) {
                    *key = Expr::Number(0);
                }
            }
        }
        let page = Statement::Union(Union { selects, order, limit: Some(count), offset: Some(offset) });
        let wanted: Vec<CollectionsWanted> =
            parts.iter().map(|part| self.collections_wanted(&part.place, &query.projection)).collect();
        self.read(true, |connection| {
            let mut total_found = 0;
            for counting in &counts {
                total_found += total(connection, counting, &params)?;
            }
            let keys = if count > 0 && offset < total_found { connection.query(&page, &params)? } else { Vec::new() };
            let mut pages: Vec<std::collections::HashMap<String, Object>> = Vec::new();
            for ((number, part), wanted) in parts.iter().enumerate().zip(&wanted) {
                let mine: Vec<String> = keys
                    .iter()
                    .filter(|row| row.0.first().and_then(Value::as_int) == i64::try_from(number).ok())
                    .filter_map(|row| row.0.get(1).and_then(Value::to_text))
                    .collect();
                pages.push(self.rows_of(connection, caller, &part.place, &mine, query, wanted)?);
            }
            let mut resources = Vec::with_capacity(keys.len());
            for row in &keys {
                let number = row.0.first().and_then(Value::as_int).and_then(|number| usize::try_from(number).ok());
                let key = row.0.get(1).and_then(Value::to_text);
                let page = number.and_then(|number| pages.get_mut(number));
                if let (Some(page), Some(key)) = (page, key) {
                    resources.extend(page.remove(&key));
                }
            }
            Ok((total_found, resources))
        })
    }

    fn rows_of(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        place: &Place<'_>,
        keys: &[String],
        query: &ListQuery,
        collections: &CollectionsWanted,
    ) -> Result<std::collections::HashMap<String, Object>, Fault> {
        if keys.is_empty() {
            return Ok(std::collections::HashMap::new());
        }
        let reading = place.plan.reading(caller.server.default);
        let cast = place.source.columns.first().and_then(|column| column.cast.clone());
        let list =
            keys.iter().filter_map(|key| super::key_of(place.source, &format!("{}{key}", place.source.id_prefix)));
        let list = list.map(|key| Expr::Value(key, cast.clone())).collect();
        let mut select = reading.select.clone();
        select.filter = Predicate::In(plan::key(place.source, MAIN), list).and(select.filter);
        let params = [Value::Null, Value::from(caller.server.name.as_str())];
        let rows = connection.query(&Statement::Select(select), &params)?;
        let keys: Vec<String> =
            rows.iter().map(|row| row.0.first().and_then(Value::to_text).unwrap_or_default()).collect();
        let resources = self.page_of(connection, caller, place, &rows, query, collections)?;
        Ok(keys.into_iter().zip(resources).collect())
    }

    /// Which collections an answer shows; the others are not read at all.
    pub(super) fn collections_wanted(&self, place: &Place<'_>, projection: &Projection) -> CollectionsWanted {
        let schema = &place.type_.schema;
        let wants = |name: &str| schema.top(name).is_some_and(|attribute| projection.wants(schema, None, attribute));
        let links = place.plan.links.iter().copied().filter(|index| {
            place.source.attributes.get(*index).is_some_and(|attribute| {
                matches!(attribute.binding, Binding::Link(_)) && wants(&attribute.target.attribute)
            })
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
        CollectionsWanted {
            links: links.collect(),
            groups: !place.type_plan.reverse.is_empty() && wants("groups"),
            rows: rows.collect(),
        }
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

struct Part<'a> {
    place: Place<'a>,
    filter: Predicate,
    sort: Option<Expr>,
}

/// 1 where a sort key has no value, else 0.
fn missing(sort: &Expr) -> Expr {
    Expr::Flag(Box::new(Predicate::IsNull(sort.clone())))
}

/// Whether a sort key may be NULL: columns that never are can be read in the order of their index.
fn may_be_null(place: &Place<'_>, sort: &Expr) -> bool {
    let column = match sort {
        Expr::Lower(inner) => inner,
        other => other,
    };
    let Expr::Column(Some(MAIN), name) = column else {
        return true;
    };
    place
        .source
        .columns
        .iter()
        .enumerate()
        .find(|(_, column)| column.name == *name)
        .is_none_or(|(id, column)| id > 0 && column.nullable)
}

/// `SELECT COUNT(*)` over the same rows, without the joins that only the page needs.
fn counting(select: &Select) -> Statement {
    let mut counting = select.clone();
    counting.columns = vec![Expr::CountAll];
    counting.order = Vec::new();
    counting.limit = None;
    counting.offset = None;
    prune(&mut counting);
    Statement::Select(counting)
}

/// Drops left joins that nothing in the statement looks at: they add no rows and take none away.
pub(super) fn prune(select: &mut Select) {
    let mut used = std::collections::BTreeSet::new();
    for column in &select.columns {
        crate::sql::aliases_in(column, &mut used);
    }
    for order in &select.order {
        crate::sql::aliases_in(&order.by, &mut used);
    }
    crate::sql::aliases_in_predicate(&select.filter, &mut used);
    select.joins.retain(|join| join.kind == crate::sql::JoinKind::Inner || used.contains(&join.alias));
}

fn total(connection: &mut dyn Connection, counting: &Statement, params: &[Value]) -> Result<u64, Fault> {
    let rows = connection.query(counting, params)?;
    let count = rows.first().and_then(|row| row.0.first()).and_then(Value::as_int).unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or(0))
}
