//! Lists and searches (RFC 7644 3.4.2 and 3.4.3, RFC 9865): what is read for a page, from one table or several.
//!
//! - The order is total: what is sorted by (`sort.rs`), then the table, then the key. Resources without a value stand behind all
//!   others, before them where the order is descending. Keys go in their index's order.
//! - By index a page is an OFFSET, which costs the more the deeper it is. By cursor it is what comes behind the last row of
//!   the page before (`cursor.rs`, `keyset.rs`): the database begins there. Rows that are there throughout are seen exactly
//!   once, whatever is inserted and deleted meanwhile.
//! - One table is read with one statement. Of several first the keys of the page are, in one order over all of them, then
//!   the rows of each. A page of N costs as many statements as a page of one.
//! - By index each page is counted; by cursor the first alone.

use super::cursor::{self, Position, Section};
use super::filter::Compiler;
use super::keyset::{hit, key_value};
use super::permissions::Operation;
use super::plan::{self, MAIN};
use super::read::CollectionsWanted;
use super::rows::{self, RowReader};
use super::sort::{Family, SortKey};
use super::transaction::Fault;
use super::{Caller, Directory, Page, Place, blank_environment};
use crate::adapter::{Aliases, ResourceType};
use crate::scim::{Error, Filter, ListQuery, Object};
use crate::sql::{Connection, Expr, JoinKind, Predicate, Row, Select, Statement, Union, Value};
use serde_json::Value as Json;
use std::collections::{BTreeSet, HashMap};

/// One list request, compiled.
pub(super) struct List<'a> {
    pub caller: &'a Caller,
    pub query: &'a ListQuery,
    /// The sources in their order, without those that have nothing to find.
    pub parts: Vec<Part<'a>>,
    /// What is sorted by, where any part has it.
    pub family: Option<Family>,
    /// At most so many resources.
    pub count: u64,
    pub params: [Value; 6],
}

/// One source of a list.
pub(super) struct Part<'a> {
    /// Its place among all that are listed.
    pub number: usize,
    pub place: Place<'a>,
    pub filter: Predicate,
    pub sort: Option<SortKey>,
    pub collections: CollectionsWanted,
}

/// One row of a page.
pub(super) struct Hit {
    pub part: usize,
    pub section: Section,
    pub value: Value,
    pub key: String,
    /// As it was read, where there is one table.
    pub row: Option<Row>,
}

/// A page by cursor.
struct Behind {
    /// How many there are in all, on the first page.
    total: Option<u64>,
    /// Where it ended, where another comes.
    next: Option<Position>,
    resources: Vec<Object>,
}

impl Directory {
    /// Reads a page of resources of one type.
    pub fn list(&self, caller: &Caller, type_: usize, query: &ListQuery) -> Result<Page, Error> {
        let (resource_type, _) = self.type_(type_)?;
        caller.server.may.check(&resource_type.name, Operation::Read)?;
        self.page(caller, &[type_], &resource_type.name, query)
    }

    /// Reads a page of the resources of all types that the identity server may read, in one order (RFC 7644 3.4.2.1).
    pub fn search(&self, caller: &Caller, query: &ListQuery) -> Result<Page, Error> {
        let types = self.adapter.resource_types.iter().enumerate();
        let readable = types.filter(|(_, type_)| caller.server.may.allow(&type_.name, Operation::Read));
        let readable: Vec<usize> = readable.map(|(number, _)| number).collect();
        if readable.is_empty() {
            return Err(Error::forbidden(
                "this identity server may read no type of resources: `may` in its configuration lists none",
            ));
        }
        self.page(caller, &readable, "/", query)
    }

    fn page(&self, caller: &Caller, types: &[usize], target: &str, query: &ListQuery) -> Result<Page, Error> {
        let (parts, kinds) = self.parts(caller, types, query)?;
        let family = one_family(&parts, query)?;
        let mut list = List {
            caller,
            query,
            parts,
            family,
            count: query.count.map_or(self.page, |count| count.min(self.page)),
            params: self.params(Value::Null, &caller.server.name),
        };
        let Some(cursor) = &query.cursor else {
            list.parts.retain(|part| !never(&part.filter));
            let (total, resources) = match list.parts.as_slice() {
                [] => (0, Vec::new()),
                [part] => self.by_index(&list, part)?,
                _ => self.several_by_index(&list)?,
            };
            return Ok(Page { total: Some(total), resources, next_cursor: None });
        };
        let now = chrono::Utc::now().timestamp();
        let sections = list.sections();
        let order = list.order_word(&sections);
        list.parts.retain(|part| !never(&part.filter));
        let belongs_to = cursor::belongs_to(caller, target, &kinds, query, &order);
        let after = match cursor.as_str() {
            "" => None,
            cursor => Some(self.open(cursor, &belongs_to, now)?),
        };
        let Behind { total, next, resources } = self.by_cursor(&list, &sections, after.as_ref())?;
        let next_cursor = next.map(|next| self.seal(&next, &belongs_to, now)).transpose()?;
        Ok(Page { total, resources, next_cursor })
    }

    /// The sources that are listed, and what our own tables call them.
    fn parts<'a>(
        &'a self,
        caller: &Caller,
        types: &[usize],
        query: &ListQuery,
    ) -> Result<(Vec<Part<'a>>, Vec<String>), Error> {
        let mut parts = Vec::new();
        let mut kinds = Vec::new();
        for type_ in types {
            let others = types.iter().filter(|other| *other != type_);
            let others: Vec<&ResourceType> =
                others.filter_map(|other| self.adapter.resource_types.get(*other)).collect();
            for source in 0..self.type_(*type_)?.0.sources.len() {
                let place = self.place(*type_, source)?;
                let mut compiler = self.compiler(&place, caller, others.clone());
                let filter = match &query.filter {
                    Some(filter) => compiler.filter(filter)?,
                    None => Predicate::True,
                };
                let sort = query.sort_by.as_ref().map(|path| compiler.sort(path)).transpose()?.flatten();
                let collections = self.collections_wanted(caller, &place, &query.projection);
                kinds.push(place.plan.kind.clone());
                parts.push(Part { number: parts.len(), place, filter, sort, collections });
            }
        }
        Ok((parts, kinds))
    }

    fn compiler<'a>(&'a self, place: &Place<'a>, caller: &Caller, others: Vec<&'a ResourceType>) -> Compiler<'a> {
        Compiler {
            adapter: &self.adapter,
            types: &self.types,
            type_: place.type_,
            others,
            reverse: place.type_plan.reverse.iter().filter(|one| self.may_see(caller, one)).copied().collect(),
            unread: self.unread(caller),
            main: MAIN,
            type_plan: place.type_plan,
            source: place.source,
            plan: place.plan,
            reading: place.plan.reading(caller.server.default),
            joined: &place.plan.reading(caller.server.default).joined,
            own: &self.own,
            dialect: self.database.dialect(),
            environment: blank_environment(&self.adapter),
            // Far above what the compiled joins took.
            aliases: Aliases::from(1000),
        }
    }

    /// A page by index from one table.
    fn by_index(&self, list: &List<'_>, part: &Part<'_>) -> Result<(u64, Vec<Object>), Error> {
        let (place, count, offset) = (&part.place, list.count, list.offset());
        let mut select = list.rows(part);
        select.order = list.order(part, false);
        select.limit = Some(count);
        select.offset = (offset > 0).then_some(offset);
        let counting = counting(&select);
        let page = Statement::Select(select);
        // One statement is enough where the first page holds everything and nothing else is asked for: so it is with clients
        // that match. A list without a filter rarely fits a page, and would be read twice.
        let one_may_do = offset == 0 && count > 0;
        if one_may_do && list.query.filter.is_some() && !part.collections.any() {
            let rows = self.read(false, |connection| Ok(connection.query(&page, &list.params)?))?;
            if u64::try_from(rows.len()).is_ok_and(|length| length < count) {
                let total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
                let reader = self.reader(place, list.caller);
                return Ok((total, rows.iter().map(|row| shown(&reader, place, row, list.query)).collect()));
            }
        }
        self.read(true, |connection| {
            let rows = if count > 0 { connection.query(&page, &list.params)? } else { Vec::new() };
            let length = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            let whole = one_may_do && length < count;
            let total = if whole { length } else { total(connection, &counting, &list.params)? };
            Ok((total, self.resources(connection, list, part, &rows)?))
        })
    }

    /// A page by index over several tables in one order.
    fn several_by_index(&self, list: &List<'_>) -> Result<(u64, Vec<Object>), Error> {
        let (count, offset) = (list.count, list.offset());
        let counts: Vec<Statement> = list.parts.iter().map(|part| counting(&list.rows(part))).collect();
        let sorted = list.query.sort_by.is_some();
        let selects = list.parts.iter().map(|part| {
            let value = match (&part.sort, list.family) {
                (Some(sort), _) => sort.or_null(),
                (None, Some(family)) => Expr::Null(family.cast()),
                (None, None) => Expr::Number(0),
            };
            let missing = match &part.sort {
                Some(sort) => Expr::Flag(Box::new(sort.present.clone().negate())),
                None => Expr::Number(1),
            };
            let mut select = list.keys(part, vec![value, missing]);
            select.order = list.order(part, true);
            select.limit = Some(offset.saturating_add(count));
            prune(&mut select);
            select
        });
        let mut order = Vec::new();
        if sorted {
            order.extend([(5, list.query.descending), (4, list.query.descending)]);
        }
        let backwards = list.backwards();
        order.extend([(0, backwards), (2, backwards), (3, backwards)]);
        let page =
            Statement::Union(Union { selects: selects.collect(), order, limit: Some(count), offset: Some(offset) });
        self.read(true, |connection| {
            let mut found = 0;
            for counting in &counts {
                found += total(connection, counting, &list.params)?;
            }
            let rows = if count > 0 && offset < found { connection.query(&page, &list.params)? } else { Vec::new() };
            let hits: Vec<Hit> = rows.into_iter().filter_map(|row| hit(row, Section::Keyed)).collect();
            Ok((found, self.of_several(connection, list, &hits)?))
        })
    }

    /// A page by cursor.
    fn by_cursor(&self, list: &List<'_>, sections: &[Section], after: Option<&Position>) -> Result<Behind, Error> {
        let count = usize::try_from(list.count).unwrap_or(usize::MAX);
        let begin = match after {
            Some(after) => sections.iter().position(|section| *section == after.section).unwrap_or(sections.len()),
            None => 0,
        };
        let sections = sections.get(begin..).unwrap_or_default();
        let alone = list.parts.len() == 1 && sections.len() == 1 && after.is_some();
        let snapshot = !(alone && list.parts.iter().all(|part| !part.collections.any()));
        self.read(snapshot, |connection| {
            let mut hits: Vec<Hit> = Vec::new();
            for section in sections {
                // One more than is shown says whether there is another page.
                let wanted = list.count.saturating_add(1).saturating_sub(u64::try_from(hits.len()).unwrap_or(0));
                let after = after.filter(|after| after.section == *section);
                if let Some(statement) = list.behind(*section, after, wanted) {
                    let rows = connection.query(&statement, &list.params)?;
                    hits.extend(rows.into_iter().filter_map(|row| list.hit(row, *section)));
                }
                if hits.len() > count {
                    break;
                }
            }
            let more = hits.len() > count;
            hits.truncate(count);
            let next = hits.last().filter(|_| more).map(Hit::position);
            let total = match after {
                Some(_) => None,
                None if !more => Some(u64::try_from(hits.len()).unwrap_or(u64::MAX)),
                None => {
                    let mut found = 0;
                    for part in &list.parts {
                        found += total(connection, &counting(&list.rows(part)), &list.params)?;
                    }
                    Some(found)
                }
            };
            let resources = match list.parts.as_slice() {
                [part] => {
                    let rows: Vec<Row> = hits.into_iter().filter_map(|hit| hit.row).collect();
                    self.resources(connection, list, part, &rows)?
                }
                _ => self.of_several(connection, list, &hits)?,
            };
            Ok(Behind { total, next, resources })
        })
    }

    /// Rows of one table as resources, with their collections.
    fn resources(
        &self,
        connection: &mut dyn Connection,
        list: &List<'_>,
        part: &Part<'_>,
        rows: &[Row],
    ) -> Result<Vec<Object>, Fault> {
        let place = &part.place;
        let (resources, members) = self.read_page(connection, list.caller, place, rows, &part.collections)?;
        let answered = resources.into_iter().zip(rows).enumerate().map(|(position, (mut resource, row))| {
            let version = members.version_of(row, position, place);
            if let (Some(version), Some(Json::Object(meta))) = (version, resource.get_mut("meta")) {
                meta.insert("version".into(), Json::String(version));
            }
            list.query.projection.apply(resource, &place.type_.schema)
        });
        Ok(answered.collect())
    }

    /// The resources behind keys of several tables, in the keys' order.
    fn of_several(&self, connection: &mut dyn Connection, list: &List<'_>, hits: &[Hit]) -> Result<Vec<Object>, Fault> {
        let mut found: HashMap<(usize, String), Object> = HashMap::new();
        for part in &list.parts {
            let source = part.place.source;
            let column = source.columns.first();
            let keys = hits.iter().filter(|hit| hit.part == part.number);
            let keys = keys.filter_map(|hit| key_value(part, &hit.key));
            let keys: Vec<Expr> =
                keys.map(|key| Expr::Value(key, column.and_then(|column| column.cast.clone()))).collect();
            if keys.is_empty() {
                continue;
            }
            let reading = part.place.plan.reading(list.caller.server.default);
            let mut select = reading.select.clone();
            select.filter = Predicate::In(plan::key(source, MAIN), keys).and(select.filter);
            let rows = connection.query(&Statement::Select(select), &list.params)?;
            let keys = rows.iter().map(|row| row.0.first().and_then(Value::to_text).unwrap_or_default());
            let keys: Vec<(usize, String)> = keys.map(|key| (part.number, key)).collect();
            found.extend(keys.into_iter().zip(self.resources(connection, list, part, &rows)?));
        }
        Ok(hits.iter().filter_map(|hit| found.remove(&(hit.part, hit.key.clone()))).collect())
    }
}

impl Hit {
    fn position(&self) -> Position {
        Position { part: self.part, section: self.section, value: self.value.clone(), key: self.key.clone() }
    }
}

impl List<'_> {
    fn offset(&self) -> u64 {
        u64::try_from(self.query.start_index.max(1) - 1).unwrap_or(0)
    }

    /// All rows of a part that meet the filter.
    pub fn rows(&self, part: &Part<'_>) -> Select {
        let reading = part.place.plan.reading(self.caller.server.default);
        let mut select = reading.select.clone();
        select.filter = part.filter.clone().and(select.filter);
        // Clients that match ask with one comparison: those few texts are worth keeping.
        select.cacheable = matches!(self.query.filter, None | Some(Filter::Compare(..)));
        select
    }
}

/// What is sorted by must be of one kind over all sources.
fn one_family(parts: &[Part<'_>], query: &ListQuery) -> Result<Option<Family>, Error> {
    let mut families = parts.iter().filter_map(|part| part.sort.as_ref()).map(|sort| sort.family);
    let first = families.next();
    match (first, &query.sort_by) {
        (Some(first), Some(path)) if families.any(|family| family != first) => Err(Error::invalid_value(format!(
            "resources of several tables cannot be sorted by {path}: they hold it in different ways; list one type"
        ))),
        _ => Ok(first),
    }
}

fn shown(reader: &RowReader<'_>, place: &Place<'_>, row: &Row, query: &ListQuery) -> Object {
    let mut resource = reader.resource(&row.0);
    if !place.plan.has_collections()
        && let Some(Json::Object(meta)) = resource.get_mut("meta")
    {
        meta.insert("version".into(), Json::String(rows::version(&row.0, std::iter::empty())));
    }
    query.projection.apply(resource, &place.type_.schema)
}

/// Whether nothing meets a condition, whatever the rows.
fn never(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::False => true,
        Predicate::And(all) => all.iter().any(never),
        Predicate::Or(any) => any.iter().all(never),
        Predicate::Not(inner) => always(inner),
        _ => false,
    }
}

fn always(predicate: &Predicate) -> bool {
    match predicate {
        Predicate::True => true,
        Predicate::And(all) => all.iter().all(always),
        Predicate::Or(any) => any.iter().any(always),
        Predicate::Not(inner) => never(inner),
        _ => false,
    }
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
    let mut used = BTreeSet::new();
    for column in &select.columns {
        crate::sql::aliases_in(column, &mut used);
    }
    for order in &select.order {
        crate::sql::aliases_in(&order.by, &mut used);
    }
    crate::sql::aliases_in_predicate(&select.filter, &mut used);
    select.joins.retain(|join| join.kind == JoinKind::Inner || used.contains(&join.alias));
}

fn total(connection: &mut dyn Connection, counting: &Statement, params: &[Value]) -> Result<u64, Fault> {
    let rows = connection.query(counting, params)?;
    let count = rows.first().and_then(|row| row.0.first()).and_then(Value::as_int).unwrap_or(0);
    Ok(u64::try_from(count).unwrap_or(0))
}
