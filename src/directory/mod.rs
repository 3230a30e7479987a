//! Runs SCIM operations against the application's tables: plan, one transaction, rows to resource.
//!
//! Everything here blocks and is called from blocking threads. A request that came this far was
//! authenticated and parsed. The rules that every operation keeps are ARCHITECTURE.md's: statement
//! counts that do not depend on how much there is, only changed columns written, one transaction a
//! request, rows locked by primary key, uniqueness claimed first.

mod activity;
mod administrator;
mod adopt;
mod asked;
mod beside;
mod brake;
mod bulk;
mod change;
mod child_change;
mod child_filter;
mod child_rows;
mod child_write;
mod collections;
mod compare;
mod create;
mod cursor;
mod delete;
mod display;
mod document;
mod filter;
mod journal;
mod keyset;
mod labels;
mod linked;
mod list;
mod lookup;
mod members;
mod membership;
mod memberships;
mod omitted;
mod ordered;
mod permissions;
mod plan;
mod read;
mod read_only;
mod recorder;
mod rehearsal;
mod row;
mod rows;
mod saved;
mod side;
mod sidecar;
mod sort;
mod steps;
mod stranger;
#[cfg(test)]
mod tests;
mod text;
mod transaction;
mod tree;
mod unique;
mod update;
mod values;
mod wanted;

pub use bulk::{BulkDone, BulkFailed, BulkStep};
pub use cursor::CURSOR_TIMEOUT;
pub use journal::{About, Entry, Later, Told, decoded};
pub use permissions::{Operation, Permissions};
pub use saved::{Saver, Saves};

use crate::adapter::{Adapter, Aliases, Attribute, Environment, Link, ResourceType, Source};
use crate::own::Own;
use crate::scim::{Error, Object};
use crate::sql::{self, ColumnKind, Database, Statement, Value};
use chrono::{DateTime, Utc};
use plan::TypePlan;
use std::net::IpAddr;
use std::sync::Arc;

/// What every operation needs: the database, the adapter compiled against it, our own tables.
pub struct Directory {
    database: Arc<dyn Database>,
    adapter: Arc<Adapter>,
    own: Own,
    types: Vec<TypePlan>,
    tables: recorder::Tables,
    page: u64,
    cursors: cursor::CursorKeys,
}

/// Who asks: one authenticated request of one identity server.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The identity server.
    pub server: Arc<ServerView>,
    /// For the application's history and for the log.
    pub request_id: Arc<str>,
    /// The client's address, after trusted proxies.
    pub client_address: Option<IpAddr>,
    /// The User-Agent header.
    pub client_agent: Option<String>,
    /// `https://scim.example.com/scim/v2`, without a trailing slash: what `meta.location` starts with.
    pub base_url: Arc<str>,
    /// What the journal says of it.
    pub entry: Arc<Entry>,
}

/// What the directory knows of an identity server.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// Its name.
    pub name: String,
    /// Whether it is the default one: then a column bound to externalId is its.
    pub default: bool,
    /// The acting user in the application.
    pub actor: Option<Actor>,
    /// What it may do, per resource type.
    pub may: Permissions,
    /// What a PATCH is answered with.
    pub patch_answers: PatchAnswer,
    /// A PUT leaves the attributes that it does not mention as they are, instead of clearing them.
    pub put_keeps_unmentioned: bool,
    /// A POST of a row that no identity server has written yet links it, instead of 409.
    pub adopt: bool,
    /// A PATCH that replaces values which a filter does not find is 400 noTarget, as RFC 7644 3.5.2.3 says, instead of
    /// making the value that the filter describes, as many clients expect.
    pub strict_no_target: bool,
    /// How many resources it may deactivate or delete within an hour; `None`: as many as it likes.
    pub deactivations_per_hour: Option<u64>,
    /// What it writes is rolled back.
    pub dry_run: bool,
}

/// What a PATCH that succeeded is answered with (RFC 7644 3.5.2 allows both); where the request says what it wants to see,
/// with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchAnswer {
    /// 200 and the resource; 204 where it has members, because the answer would have to carry all of them.
    Auto,
    /// 200 and the resource, always.
    Whole,
    /// 204, always.
    Nothing,
}

/// The application's user in whose name changes are recorded.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its key.
    pub id: Value,
    /// How the application's histories name it.
    pub label: String,
}

/// A resource as answered.
#[derive(Debug)]
pub struct Answer {
    /// The projected resource.
    pub resource: Object,
    /// `W/"..."`, where the whole content is known.
    pub version: Option<String>,
    /// Its URL.
    pub location: String,
}

/// What a PATCH is answered with.
#[derive(Debug)]
pub enum Patched {
    /// 200.
    Resource(Answer),
    /// 204.
    NoContent {
        /// The version it has now, where the whole content is known.
        version: Option<String>,
        /// Its URL.
        location: String,
    },
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// How many resources meet the filter in all; by cursor on the first page alone, since counting costs as much on each
    /// page as reading them all.
    pub total: Option<u64>,
    /// The page.
    pub resources: Vec<Object>,
    /// What the next page is asked for with, where pages are asked for by cursor and there is one.
    pub next_cursor: Option<String>,
}

/// `If-Match` and `If-None-Match`, decided inside the transaction.
#[derive(Clone, Debug, Default)]
pub struct Precondition {
    /// Entity tags of which one must be the version, or `*`.
    pub if_match: Option<Vec<String>>,
    /// Entity tags of which none may be the version, or `*`.
    pub if_none_match: Option<Vec<String>>,
}

impl Precondition {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// 412 where a version does not meet it.
    fn check(&self, version: &str) -> Result<(), Error> {
        let names = |tags: &[String]| tags.iter().any(|tag| tag == "*" || weak(tag) == weak(version));
        if self.if_match.as_deref().is_some_and(|tags| !names(tags)) {
            return Err(Error::precondition_failed("the resource was changed: its version is not the one in If-Match"));
        }
        if self.if_none_match.as_deref().is_some_and(names) {
            return Err(Error::precondition_failed("the resource has the version in If-None-Match"));
        }
        Ok(())
    }
}

/// An entity tag without its weakness: ours are all weak, and clients may drop the mark.
fn weak(tag: &str) -> &str {
    tag.trim().trim_start_matches("W/").trim_matches('"')
}

/// One type, one source, with their plans.
#[derive(Clone, Copy)]
struct Place<'a> {
    type_: &'a ResourceType,
    type_plan: &'a TypePlan,
    source: &'a Source,
    plan: &'a plan::SourcePlan,
}

impl<'a> Place<'a> {
    /// Another source of the same type.
    fn beside(self, source: usize) -> Option<Self> {
        let (source, plan) = self.type_.sources.get(source).zip(self.type_plan.sources.get(source))?;
        Some(Self { source, plan, ..self })
    }

    /// The collections in link tables.
    fn links(self) -> impl Iterator<Item = (&'a Attribute, &'a Link)> {
        self.plan.links.iter().filter_map(move |index| self.source.link(*index))
    }
}

impl Directory {
    /// Compiles the statements of an adapter. `page` is the most resources one page may have.
    pub fn new(database: Arc<dyn Database>, adapter: Arc<Adapter>, own: Own, page: u64) -> Self {
        let types = {
            let environment = Environment { planning: Some(plan::INSTANTS), ..blank_environment(&adapter) };
            adapter.resource_types.iter().map(|type_| TypePlan::new(&adapter, type_, &own, &environment)).collect()
        };
        let tables = recorder::Tables::new(&adapter.written, &own);
        Self { database, adapter, own, types, tables, page: page.max(1), cursors: cursor::CursorKeys::default() }
    }

    /// The adapter.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Our own tables.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// The database.
    pub fn database(&self) -> &Arc<dyn Database> {
        &self.database
    }

    /// The application's user of that userName, to act as.
    pub fn actor(&self, user_name: &str) -> Result<Option<Actor>, sql::Error> {
        let Some((_, type_)) = plan::find_type(&self.adapter, "User") else {
            return Ok(None);
        };
        let Some(source) = type_.sources.first() else {
            return Ok(None);
        };
        let column = source.attributes.iter().find_map(|attribute| match &attribute.binding {
            crate::adapter::Binding::Column(binding) if attribute.target.attribute == "userName" => {
                source.columns.get(binding.column)
            }
            _ => None,
        });
        let Some(column) = column else { return Ok(None) };
        let columns = source.columns.iter().map(|column| sql::Expr::column(plan::MAIN, &column.name)).collect();
        let mut select = sql::Select::new(source.table.clone(), plan::MAIN, columns);
        let blank = blank_environment(&self.adapter);
        let exists = blank.predicate(&source.filter, Some(plan::MAIN), &mut Aliases::from(1));
        // One of the rows that are there, inside the scope or not: deleted ones may have had the same name.
        select.filter = sql::Predicate::eq(
            sql::Expr::column(plan::MAIN, &column.name),
            sql::Expr::Value(Value::from(user_name), column.cast.clone()),
        )
        .and(exists);
        select.order.push(sql::Order { by: plan::key(source, plan::MAIN), descending: false });
        select.limit = Some(1);
        let statement = Statement::Select(select);
        let mut found = None;
        self.database.with(&mut |connection| {
            found = connection.query(&statement, &[])?.into_iter().next();
            Ok(())
        })?;
        Ok(found.map(|row| {
            let environment = Environment { row: Some((source, &row.0)), ..blank_environment(&self.adapter) };
            let label = source.label.iter().find_map(|template| environment.template(template));
            let id = row.0.first().cloned().unwrap_or_default();
            Actor { label: label.unwrap_or_else(|| user_name.to_owned()), id }
        }))
    }

    /// The URL of a resource, whether it is there or not.
    pub fn location(&self, caller: &Caller, type_: usize, id: &str) -> Option<String> {
        self.adapter.resource_types.get(type_).map(|type_| rows::location(&caller.base_url, type_, id))
    }

    fn type_(&self, index: usize) -> Result<(&ResourceType, &TypePlan), Error> {
        match (self.adapter.resource_types.get(index), self.types.get(index)) {
            (Some(type_), Some(plan)) => Ok((type_, plan)),
            _ => Err(Error::internal(format!("there is no resource type {index}"))),
        }
    }

    /// The plan of a type of one source, which links and references point to.
    fn plan_of(&self, type_: &str) -> Option<&plan::SourcePlan> {
        let (index, _) = plan::find_type(&self.adapter, type_)?;
        self.types.get(index)?.sources.first()
    }

    fn place(&self, index: usize, source: usize) -> Result<Place<'_>, Error> {
        let (type_, type_plan) = self.type_(index)?;
        match (type_.sources.get(source), type_plan.sources.get(source)) {
            (Some(source), Some(plan)) => Ok(Place { type_, type_plan, source, plan }),
            _ => Err(Error::internal(format!("{} has no source {source}", type_.name))),
        }
    }

    /// Which source an id belongs to, and the key there; 404 where none can have it.
    fn find(&self, index: usize, id: &str) -> Result<(Place<'_>, Value), Error> {
        let (type_, _) = self.type_(index)?;
        for (position, source) in type_.sources.iter().enumerate() {
            if let Some(key) = key_of(source, id) {
                return Ok((self.place(index, position)?, key));
            }
        }
        Err(Error::not_found(&type_.name, id))
    }

    /// What planned statements are given: a key, the identity server, the instant in each form.
    fn params(&self, key: Value, server: &str) -> [Value; 6] {
        let [clock, instant, day, seconds] = blank_environment(&self.adapter).instants();
        [key, Value::from(server), clock, instant, day, seconds]
    }

    fn environment<'a>(
        &'a self,
        caller: &'a Caller,
        instant: DateTime<Utc>,
        address: &'a Option<String>,
    ) -> Environment<'a> {
        Environment {
            instant,
            server: &caller.server.name,
            actor: caller.server.actor.as_ref().map(|actor| (&actor.id, actor.label.as_str())),
            request_id: &caller.request_id,
            client_address: address.as_deref(),
            client_agent: caller.client_agent.as_deref(),
            ..blank_environment(&self.adapter)
        }
    }
}

impl Caller {
    fn address(&self) -> Option<String> {
        self.client_address.map(|address| address.to_string())
    }
}

fn blank_environment(adapter: &Adapter) -> Environment<'_> {
    Environment {
        instant: Utc::now(),
        zone: adapter.time_zone,
        server: "",
        actor: None,
        request_id: "",
        client_address: None,
        client_agent: None,
        id: None,
        row: None,
        attributes: None,
        label: None,
        count: None,
        changes: None,
        each: None,
        planning: None,
    }
}

/// The key that a SCIM id stands for; `None` where no row of this source can have that id.
fn key_of(source: &Source, id: &str) -> Option<Value> {
    let text = id.strip_prefix(source.id_prefix.as_str())?;
    if text.is_empty() || text.contains('\0') {
        return None;
    }
    match &source.columns.first()?.kind {
        ColumnKind::Integer { min, max } => {
            let number: i128 = text.parse().ok()?;
            // "007" and "+7" are not how this row's id reads.
            if number.to_string() != text || number < *min || number > *max {
                return None;
            }
            match i64::try_from(number) {
                Ok(number) => Some(Value::Int(number)),
                Err(_) => u64::try_from(number).ok().map(Value::UInt),
            }
        }
        ColumnKind::Uuid => {
            let uuid = uuid::Uuid::try_parse(text).ok()?;
            (uuid.to_string() == text).then(|| Value::from(text))
        }
        ColumnKind::Text(Some(max)) if u64::try_from(text.chars().count()).is_ok_and(|length| length > *max) => None,
        _ => Some(Value::from(text)),
    }
}
