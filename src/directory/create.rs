//! POST: a new row, or one that was retired and is brought back.

use super::adopt::{note_out_of_sight, note_retired};
use super::change::{Secret, Wish, Writing, check_required};
use super::child_rows::{ChildRow, ChildRows};
use super::document;
use super::journal::Done;
use super::members::Collections;
use super::permissions::Operation;
use super::plan::{self, MAIN};
use super::read::{CollectionsWanted, Found};
use super::row::{self, id_of};
use super::rows;
use super::transaction::Fault;
use super::unique::{Beside, Holder};
use super::update::Change;
use super::wanted::wanted;
use super::{Answer, Caller, Directory, Place, Precondition};
use crate::adapter::{Aliases, Binding, Create, Environment, Revive, Transition, equivalent};
use crate::own::OwnTable;
use crate::scim::{CollectionChange, Error, Object, Projection, ScimType};
use crate::sql::{
    self, Alias, Connection, Dialect, Expr, Failure, Ident, Insert, Join, JoinKind, Lock, OnConflict, Order, Predicate,
    Row, Select, Statement, Value,
};
use serde_json::Value as Json;

/// What a POST is to create.
pub(super) struct Creation<'a> {
    pub place: Place<'a>,
    rules: &'a Create,
    resource: Object,
    collections: Collections,
    pub values: Vec<Option<Json>>,
}

/// What the client wants to create.
struct Wanted<'a> {
    resource: &'a Object,
    collections: &'a Collections,
    values: &'a [Option<Json>],
}

impl Directory {
    /// Creates a resource.
    pub fn create(
        &self,
        caller: &Caller,
        type_: usize,
        body: Object,
        projection: &Projection,
    ) -> Result<Answer, Error> {
        let creation = self.creation(caller, type_, body)?;
        let secrets = self.secrets(&creation.place, None, &creation.values)?;
        let place = &creation.place;
        self.write(
            caller,
            |connection| {
                let found = self.create_within(connection, caller, &creation, &secrets, projection)?;
                Ok(self.answer(place, found, projection).created(caller, place.type_))
            },
            |answer| Done::of(201, place.type_, Some(answer)),
        )
    }

    /// What a POST is to create, checked as far as that is possible without the database.
    pub(super) fn creation(&self, caller: &Caller, type_: usize, body: Object) -> Result<Creation<'_>, Error> {
        let (resource_type, _) = self.type_(type_)?;
        caller.server.may.check(&resource_type.name, Operation::Create)?;
        let refused =
            || Error::forbidden(format!("a {} cannot be created: the adapter refuses it", resource_type.name));
        let place = self.place(type_, resource_type.create_in.ok_or_else(refused)?)?;
        let rules = place.source.create.as_ref().ok_or_else(refused)?;
        let (resource, collections) = self.incoming(&place, body)?;
        let values = wanted(place.source, place.plan, &resource);
        check_required(&place, &values, None)?;
        Ok(Creation { place, rules, resource, collections, values })
    }

    /// Creates a resource inside a transaction.
    pub(super) fn create_within(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        creation: &Creation<'_>,
        secrets: &[Secret],
        projection: &Projection,
    ) -> Result<Found, Fault> {
        let Creation { place, rules, resource, collections, values } = creation;
        let wanted = Wanted { resource, collections, values };
        let address = caller.address();
        let environment = self.environment(caller, chrono::Utc::now(), &address);
        let mut writing = Writing { caller, place: *place, environment, secrets, claims: Vec::new() };
        let found = self
            .create_in(connection, &mut writing, rules, &wanted, projection)
            .inspect_err(|fault| note_out_of_sight(caller, place, fault))?;
        self.release(connection, &writing.claims)?;
        Ok(found)
    }

    fn create_in(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        rules: &Create,
        wanted: &Wanted<'_>,
        projection: &Projection,
    ) -> Result<Found, Fault> {
        let everything = vec![true; wanted.values.len()];
        let (holder, beside) = self.holder(connection, writing, wanted.values, &everything, None)?;
        if let Some(holder) = holder.as_ref().filter(|holder| holder.retired) {
            return self.unretire(connection, writing, holder, wanted, projection);
        }
        if holder.is_none()
            && let Some(key) = self.retired_with_external_id(connection, writing, wanted.values)?
            && !self.is_stranger(connection, &writing.place, &key)?
        {
            let holder = Holder { key, retired: true, attribute: "externalId".to_owned(), source: 0 };
            return self.unretire(connection, writing, &holder, wanted, projection);
        }
        // A row outside `where` may own a name that is unique among all rows: then it is that one or none.
        if let Some(revive) = &rules.revive
            && let Some(key) = self.revivable(connection, writing, revive, wanted.values)?
            && holder.as_ref().is_none_or(|holder| equivalent(&holder.key, &key))
            && !self.is_stranger(connection, &writing.place, &key)?
        {
            return self.revive(connection, writing, revive, &key, wanted, projection);
        }
        if let Some(holder) = holder {
            return self.taken(connection, writing, &holder, wanted.resource, wanted.collections, projection);
        }
        self.insert(connection, writing, rules, wanted, &beside, projection)
    }

    fn insert(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        rules: &Create,
        wanted: &Wanted<'_>,
        beside: &Beside<'_>,
        projection: &Projection,
    ) -> Result<Found, Fault> {
        let (place, caller) = (writing.place, writing.caller);
        let source = place.source;
        let base = writing.environment;
        let given: Vec<bool> = wanted.values.iter().map(Option::is_some).collect();
        let shown = rows::shown(source, &[], wanted.values.to_vec(), &given, &base);
        let environment = Environment { attributes: Some(&shown), ..base };
        let documents = document::given(source, &rules.set, &environment);
        let wish = Wish { values: wanted.values, changed: &given, lenient: true, documents: &documents };
        let set = writing.within(environment, |writing| self.columns(connection, writing, &wish))?;
        let holder = self.holder_beside(connection, writing, beside, wanted.values, None, &set)?;
        match holder {
            Some(holder) if holder.retired => return self.unretire(connection, writing, &holder, wanted, projection),
            Some(holder) => {
                return self.taken(connection, writing, &holder, wanted.resource, wanted.collections, projection);
            }
            None => {}
        }
        let mut row = vec![Value::Null; source.columns.len()];
        for assignment in &set {
            if let Some(place) = row.get_mut(assignment.column) {
                *place = assignment.value.clone();
            }
        }
        let coming = Transition {
            source,
            before: None,
            after: &row,
            attributes_before: None,
            attributes_after: wanted.values,
            counts_as: None,
        };
        if let Some(says) = self.refused(connection, &mut writing.claims, &rules.guards, &environment, Some(&coming))? {
            return Err(Error::forbidden(says).into());
        }
        self.run_steps(connection, &rules.before, &environment, Some(&coming))?;
        let mut columns: Vec<Ident> = Vec::new();
        let mut values: Vec<Expr> = Vec::new();
        let mut filled = vec![false; source.columns.len()];
        let mut aliases = Aliases::from(1);
        let timestamps = [source.timestamps.created, source.timestamps.modified];
        let timestamps = timestamps.into_iter().flatten().filter(|_| source.timestamps.written).map(|id| {
            let column = source.columns.get(id);
            let value = environment.now_for(column);
            (id, Expr::Value(value, column.and_then(|column| column.cast.clone())))
        });
        // Not even computed where an attribute's own value comes first: it may be the hash of a password.
        let rules_set: Vec<(usize, Expr)> = rules
            .set
            .iter()
            .filter(|(id, _)| !set.iter().any(|assignment| assignment.column == *id))
            .map(|(id, expression)| (*id, environment.expr(expression, source.columns.get(*id), &mut aliases)))
            .collect();
        let from_attributes = set.into_iter().map(|assignment| {
            let id = assignment.column;
            let cast = source.columns.get(id).and_then(|column| column.cast.clone());
            (id, Expr::Value(assignment.value, cast))
        });
        for (id, expr) in from_attributes.chain(rules_set).chain(timestamps) {
            let (Some(column), Some(filled), Some(place)) =
                (source.columns.get(id), filled.get_mut(id), row.get_mut(id))
            else {
                continue;
            };
            // An attribute's own value comes first.
            if std::mem::replace(filled, true) {
                continue;
            }
            if let Expr::Value(value, _) = &expr {
                *place = value.clone();
            }
            columns.push(column.name.clone());
            values.push(expr);
        }
        let Some(key_column) = source.columns.first() else {
            return Err(Error::internal("a source without a key").into());
        };
        let planted = self.plant(connection, &place, &row)?;
        for (id, value) in planted.iter().flat_map(|planted| &planted.columns) {
            let (Some(column), Some(filled), Some(place)) =
                (source.columns.get(*id), filled.get_mut(*id), row.get_mut(*id))
            else {
                continue;
            };
            let expr = Expr::Value(value.clone(), column.cast.clone());
            *place = value.clone();
            match columns.iter().position(|known| *known == column.name).and_then(|known| values.get_mut(known)) {
                Some(known) => *known = expr,
                None => {
                    columns.push(column.name.clone());
                    values.push(expr);
                }
            }
            *filled = true;
        }
        let insert = Insert { table: source.table.clone(), columns, rows: vec![values], on_conflict: OnConflict::Fail };
        let key = connection.insert(&insert, &key_column.name)?;
        if let Some(first) = row.first_mut() {
            *first = key.clone();
        }
        let id = key.to_text().unwrap_or_default();
        if self.database.dialect() == Dialect::Sqlite {
            // The keys of rows that the application deleted are given out again; what we knew of those is not
            // this one's.
            self.own.forget(connection, &place.plan.kind, &id)?;
        } else {
            // The others count on, unless they were restored from a backup.
            self.forget_predecessor(connection, &place, &id)?;
        }
        if let Some(planted) = &planted {
            self.replanted(connection, &place, &key, planted, true)?;
        }
        let written: Vec<usize> = filled.iter().enumerate().filter_map(|(id, filled)| filled.then_some(id)).collect();
        self.still_unprotected(connection, &place, &key, &written, &environment)?;
        // What the database filled in itself is known only to the database.
        let nothing_follows = rules.then.is_empty() && wanted.collections.is_empty() && place.plan.children.is_empty();
        if !nothing_follows
            && filled.iter().skip(1).any(|filled| !filled)
            && let Some(there) = self.lock(connection, &place, &key, &environment)?
        {
            row = there.row;
        }
        let id = Environment { id: Some(&key), row: Some((source, &row)), ..base };
        let shown = rows::shown_after(&self.adapter, source, &row, wanted.values, &given, &id);
        let id = Environment { attributes: Some(&shown), ..id };
        writing.within(id, |writing| self.after_insert(connection, writing, rules, wanted, &key, &row))?;
        let mut answered = self.collections_wanted(caller, &place, projection);
        // Nobody is in a group before existing, unless the adapter's own steps say so.
        answered.groups &= !rules.then.is_empty();
        let children = place.plan.children.iter().map(|child| child.attribute);
        let written: Vec<usize> = children.filter(|index| given.get(*index) == Some(&true)).collect();
        let answered = answered.with_rows(&written);
        let Some(mut found) = self.read_one(connection, caller, &place, &key, &answered)? else {
            return Err(Error::forbidden(
                "the new resource would not be among the rows that exist for this identity server",
            )
            .into());
        };
        self.remember(connection, &place, &found.row.0, None)?;
        let reader = self.reader(&place, caller);
        if self.keep_forms(connection, writing, &reader, None, wanted.resource, &found)?
            && let Some(again) = self.read_one(connection, caller, &place, &key, &answered)?
        {
            found = again;
        }
        Ok(found)
    }

    fn after_insert(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        rules: &Create,
        wanted: &Wanted<'_>,
        key: &Value,
        row: &[Value],
    ) -> Result<(), Fault> {
        let place = writing.place;
        if let Some(external_id) = place.plan.external_id.and_then(|index| wanted.values.get(index)?.as_ref()) {
            self.keep_external_id(connection, writing, key, Some(external_id))?;
        }
        let members = self.member_changes(connection, writing, place, row, wanted.collections)?;
        self.write_members(connection, writing, &members)?;
        self.rows_of_new(connection, writing, wanted.values, row)?;
        let transition = Transition {
            source: place.source,
            before: None,
            after: row,
            attributes_before: None,
            attributes_after: wanted.values,
            counts_as: None,
        };
        self.run_steps(connection, &rules.then, &writing.environment, Some(&transition))
    }

    /// The child rows of a new row. What a row of that key left behind is its own now, and is not kept.
    fn rows_of_new(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        wanted: &[Option<Json>],
        row: &[Value],
    ) -> Result<(), Fault> {
        let place = writing.place;
        let parent = [Row(row.to_vec())];
        let mut children = ChildRows::new();
        let mut given = vec![false; wanted.len()];
        for plan in &place.plan.children {
            let found = self.child_rows(connection, &place, plan, &parent)?;
            let there: Vec<ChildRow> = found.into_values().flatten().collect();
            let named = wanted.get(plan.attribute).is_some_and(Option::is_some);
            if let (true, Some(given)) = (named || !there.is_empty(), given.get_mut(plan.attribute)) {
                *given = true;
            }
            children.insert(plan.attribute, there);
        }
        let changes = self.row_changes(connection, writing, place, row, wanted, &given, &children)?;
        self.write_rows(connection, writing, &changes)
    }

    /// A retired row is brought back by whoever has its name, unless it is another's.
    fn unretire(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        holder: &Holder,
        wanted: &Wanted<'_>,
        projection: &Projection,
    ) -> Result<Found, Fault> {
        let place = writing.place;
        let key = &holder.key;
        let id = key.to_text().unwrap_or_default();
        if !self.own.remove_tombstone(connection, &place.plan.kind, &id)? {
            return Err(brought_back_already());
        }
        if !self.is_same_client_account(connection, writing, key, wanted)? {
            // The application took the row out of `where` besides: it is not ours to bring back.
            return Err(Error::uniqueness(&holder.attribute).into());
        }
        self.as_replace(connection, writing, key, wanted, projection)
    }

    /// Whether a row that is to be brought back can be; 409 where its externalId is another's.
    fn is_same_client_account(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        key: &Value,
        wanted: &Wanted<'_>,
    ) -> Result<bool, Fault> {
        let none = CollectionsWanted::none();
        let Some(current) = self.read_one(connection, writing.caller, &writing.place, key, &none)? else {
            return Ok(false);
        };
        let (was, is) = (current.resource.get("externalId"), wanted.resource.get("externalId"));
        match (was, is) {
            (Some(was), Some(is)) if was != is => {
                note_retired(writing.caller, &writing.place, key);
                Err(Error {
                    scim_type: Some(ScimType::Uniqueness),
                    ..Error::conflict("the name is held by a retired account, whose externalId is another")
                }
                .into())
            }
            _ => Ok(true),
        }
    }

    fn as_replace(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        key: &Value,
        wanted: &Wanted<'_>,
        projection: &Projection,
    ) -> Result<Found, Fault> {
        self.leave_memberships(connection, writing, key)?;
        // Whoever is created is meant to be active, unless the request says otherwise.
        let mut resource = wanted.resource.clone();
        if writing.place.plan.active.is_some() && !resource.contains_key("active") {
            resource.insert("active".into(), Json::Bool(true));
        }
        // Nor has a new group the members of the one it was before.
        let mut collections = wanted.collections.clone();
        for name in &writing.place.type_plan.collections {
            collections.entry(name.clone()).or_insert_with(|| vec![CollectionChange::RemoveAll]);
        }
        // Nor its child rows.
        let change = Change::Replace { resource: &resource, collections: &collections, left: &[], created: true };
        match self.update(connection, writing, key, &change, &Precondition::default(), projection)? {
            Some(updated) => Ok(updated.found),
            None => Err(Error::not_found(&writing.place.type_.name, &id_of(&writing.place, key)).into()),
        }
    }

    fn retired_with_external_id(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        wanted: &[Option<Json>],
    ) -> Result<Option<Value>, Fault> {
        let place = writing.place;
        let Some(index) = place.plan.external_id else {
            return Ok(None);
        };
        let Some(Some(Json::String(external_id))) = wanted.get(index) else {
            return Ok(None);
        };
        let Some(attribute) = place.source.attributes.get(index) else {
            return Ok(None);
        };
        // From the tombstones, of which there are few, to the rows.
        let (stone, link) = (Alias(1), Alias(2));
        let mut select = Select::new(self.own.table(OwnTable::Tombstones), stone, vec![plan::key(place.source, MAIN)]);
        let key = Expr::Text(Box::new(plan::key(place.source, MAIN)));
        let resource_id = Expr::column(stone, &Ident::new("resource_id"));
        select.joins.push(Join {
            kind: JoinKind::Inner,
            table: place.source.table.clone(),
            alias: MAIN,
            on: Predicate::eq(key.clone(), resource_id),
        });
        let mut filter =
            Predicate::eq(Expr::column(stone, &Ident::new("resource_type")), Expr::value(place.plan.kind.as_str()));
        let mut aliases = Aliases::from(3);
        filter = filter.and(writing.environment.predicate(&place.source.filter, Some(MAIN), &mut aliases));
        filter = filter.and(writing.environment.predicate(&place.source.scope, Some(MAIN), &mut aliases));
        if place.plan.reading(writing.caller.server.default).external_id.is_some() {
            filter = filter.and(self.linked_as(writing, &mut select, link, external_id));
        } else if let Binding::Column(binding) = &attribute.binding {
            let value = Value::from(external_id.as_str());
            let Some(equal) = self.equal(&place, attribute, binding, &value) else {
                return Ok(None);
            };
            filter = filter.and(equal);
        } else {
            return Ok(None);
        }
        newest(connection, &place, select.filter(filter))
    }

    /// Joins our links, and says that this client calls the row so.
    fn linked_as(&self, writing: &Writing<'_>, select: &mut Select, link: Alias, external_id: &str) -> Predicate {
        let place = writing.place;
        select.joins.push(Join {
            kind: JoinKind::Inner,
            table: self.own.table(OwnTable::Links),
            alias: link,
            on: plan::own_row(link, &place.plan.kind, plan::key(place.source, MAIN)),
        });
        let server = Expr::column(link, &Ident::new("server"));
        let column = Expr::column(link, &Ident::new("external_id"));
        Predicate::eq(server, Expr::value(writing.caller.server.name.as_str()))
            .and(Predicate::eq(column, Expr::value(external_id)))
    }

    fn revivable(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        revive: &Revive,
        wanted: &[Option<Json>],
    ) -> Result<Option<Value>, Fault> {
        let place = writing.place;
        let Some(attribute) = place.source.attributes.get(revive.by) else {
            return Ok(None);
        };
        let Some(Some(value)) = wanted.get(revive.by) else {
            return Ok(None);
        };
        let mut aliases = Aliases::from(2);
        let mut filter = writing.environment.predicate(&revive.filter, Some(MAIN), &mut aliases);
        filter = filter.and(writing.environment.predicate(&place.source.scope, Some(MAIN), &mut aliases));
        let mut select = Select::new(place.source.table.clone(), MAIN, vec![plan::key(place.source, MAIN)]);
        match &attribute.binding {
            Binding::Column(binding) if !linked(&place, revive.by, writing.caller.server.default) => {
                let Some(column) = place.source.columns.get(binding.column) else {
                    return Ok(None);
                };
                let stored = binding.conversion.write(value, column, self.adapter.time_zone);
                let Ok(stored) = stored else { return Ok(None) };
                let Some(equal) = self.equal(&place, attribute, binding, &stored) else {
                    return Ok(None);
                };
                filter = equal.and(filter);
            }
            _ if plan::is_external_id(attribute) => {
                let Json::String(external_id) = value else {
                    return Ok(None);
                };
                filter = self.linked_as(writing, &mut select, Alias(1), external_id).and(filter);
            }
            _ => return Ok(None),
        }
        newest(connection, &place, select.filter(filter))
    }

    fn revive(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        revive: &Revive,
        key: &Value,
        wanted: &Wanted<'_>,
        projection: &Projection,
    ) -> Result<Found, Fault> {
        let place = writing.place;
        let base = writing.environment;
        let environment = Environment { id: Some(key), attributes: Some(wanted.values), ..base };
        // Held as it was found: who waited for it looks again. Bringing back is a change of a row that may be protected.
        let mut aliases = Aliases::from(1);
        let protected = place.source.protected.as_ref().map_or(Expr::Number(0), |protected| {
            Expr::Flag(Box::new(environment.predicate(protected, Some(MAIN), &mut aliases)))
        });
        let cast = place.source.columns.first().and_then(|column| column.cast.clone());
        let mut select = Select::new(place.source.table.clone(), MAIN, vec![protected]);
        select.filter = Predicate::eq(plan::key(place.source, MAIN), Expr::Value(key.clone(), cast))
            .and(environment.predicate(&revive.filter, Some(MAIN), &mut aliases));
        select.lock = Some(Lock::Update);
        let rows = connection.query(&Statement::Select(select), &[])?;
        let protected = rows.first().ok_or_else(brought_back_already)?;
        if protected.0.first().and_then(Value::as_int) == Some(1) {
            return Err(row::protected(&place).into());
        }
        let acting = environment.actor.filter(|_| place.type_.name == "User");
        if acting.is_some_and(|(actor, _)| equivalent(actor, key)) {
            return Err(row::protected(&place).into());
        }
        self.update_row(connection, &place, key, &[], &revive.set, &environment)?;
        let id = key.to_text().unwrap_or_default();
        self.own.remove_tombstone(connection, &place.plan.kind, &id)?;
        let outside = || Error::forbidden("`revive` does not bring the row back among those that exist for SCIM");
        let there = self.lock(connection, &place, key, &environment)?.ok_or_else(outside)?;
        if !self.is_same_client_account(connection, writing, key, wanted)? {
            return Err(outside().into());
        }
        let environment = Environment { row: Some((place.source, &there.row)), ..environment };
        self.run_steps(connection, &revive.then, &environment, None)?;
        self.as_replace(connection, writing, key, wanted, projection)
    }
}

/// Somebody else was faster, under another name or externalId: the transaction is tried again, and finds a live row.
fn brought_back_already() -> Fault {
    Fault::Sql(sql::Error::new(Failure::Retry, "another create brought the row back"))
}

/// Whether this attribute is externalId and kept in our links for this caller.
fn linked(place: &Place<'_>, attribute: usize, default_server: bool) -> bool {
    place.plan.external_id == Some(attribute) && place.plan.reading(default_server).external_id.is_some()
}

/// The newest row that a select of keys finds.
fn newest(connection: &mut dyn Connection, place: &Place<'_>, mut select: Select) -> Result<Option<Value>, Fault> {
    select.order.push(Order { by: plan::key(place.source, MAIN), descending: true });
    select.limit = Some(1);
    let rows = connection.query(&Statement::Select(select), &[])?;
    Ok(rows.into_iter().next().and_then(|row| row.0.into_iter().next()))
}
