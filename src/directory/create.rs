//! POST: a new row, or one that was retired and is brought back.

use super::change::{Wish, Writing, check_required};
use super::permissions::Operation;
use super::plan::{self, MAIN};
use super::read::{CollectionsWanted, Found};
use super::transaction::Fault;
use super::unique::Holder;
use super::update::{Change, id_of};
use super::wanted::wanted;
use super::{Answer, Caller, Directory, Place, Precondition};
use crate::adapter::{Aliases, Binding, Create, Environment, Revive, Transition};
use crate::own::{OwnTable, sidecar};
use crate::scim::{CollectionChange, Error, Object, Projection};
use crate::sql::{
    Alias, Connection, Expr, Ident, Insert, Join, JoinKind, OnConflict, Order, Predicate, Select, Statement, Value,
};
use indexmap::IndexMap;
use serde_json::Value as Json;

/// What the client wants to create.
struct Wanted<'a> {
    resource: &'a Object,
    collections: &'a IndexMap<String, Vec<CollectionChange>>,
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
        let (resource_type, _) = self.type_(type_)?;
        caller.server.may.check(&resource_type.name, Operation::Create)?;
        let refused = || {
            Error::forbidden(format!(
                "a {} cannot be created: the adapter refuses it",
                resource_type.name
            ))
        };
        let place = self.place(type_, resource_type.create_in.ok_or_else(refused)?)?;
        let rules = place.source.create.as_ref().ok_or_else(refused)?;
        let (resource, collections) = self.incoming(&place, body)?;
        let values = wanted(place.source, place.plan, &resource);
        check_required(&place, &values)?;
        let secrets = self.secrets(&place, None, &values)?;
        let wanted = Wanted {
            resource: &resource,
            collections: &collections,
            values: &values,
        };
        let address = caller.address();
        let environment = self.environment(caller, chrono::Utc::now(), &address);
        let found = self.write(|connection| {
            let mut writing = Writing {
                caller,
                place,
                environment,
                secrets: &secrets,
                claims: Vec::new(),
            };
            let found = self.create_in(connection, &mut writing, rules, &wanted, projection)?;
            self.release(connection, writing.claims)?;
            Ok(found)
        })?;
        Ok(self.answer(&place, found, projection))
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
        match self.holder(connection, writing, wanted.values, &everything, None)? {
            Some(Holder { key, retired: true, .. }) => {
                return self.unretire(connection, writing, &key, wanted, projection);
            }
            Some(holder) => return Err(Error::uniqueness(&holder.attribute).into()),
            None => {}
        }
        if let Some(key) = self.retired_with_external_id(connection, writing, wanted.values)? {
            return self.unretire(connection, writing, &key, wanted, projection);
        }
        if let Some(revive) = &rules.revive
            && let Some(key) = self.revivable(connection, writing, revive, wanted.values)?
        {
            return self.revive(connection, writing, revive, &key, wanted, projection);
        }
        self.insert(connection, writing, rules, wanted, projection)
    }

    fn insert(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        rules: &Create,
        wanted: &Wanted<'_>,
        projection: &Projection,
    ) -> Result<Found, Fault> {
        let (place, caller) = (writing.place, writing.caller);
        let source = place.source;
        let base = writing.environment;
        let environment = Environment {
            attributes: Some(wanted.values),
            ..base
        };
        let given: Vec<bool> = wanted.values.iter().map(Option::is_some).collect();
        let wish = Wish {
            values: wanted.values,
            changed: &given,
            lenient: true,
        };
        let set = writing.within(environment, |writing| self.columns(connection, writing, &wish))?;
        if let Some(says) = self.refused(connection, &rules.guards, &environment, None)? {
            return Err(Error::forbidden(says).into());
        }
        self.run_steps(connection, &rules.before, &environment, None)?;
        let mut row = vec![Value::Null; source.columns.len()];
        let mut columns: Vec<Ident> = Vec::new();
        let mut values: Vec<Expr> = Vec::new();
        let mut filled = vec![false; source.columns.len()];
        let mut aliases = Aliases::from(1);
        let timestamps = [source.timestamps.created, source.timestamps.modified];
        let timestamps = timestamps
            .into_iter()
            .flatten()
            .filter(|_| source.timestamps.written)
            .map(|id| {
                let column = source.columns.get(id);
                let value = environment.now_for(column);
                (id, Expr::Value(value, column.and_then(|column| column.cast.clone())))
            });
        let from_attributes = set.into_iter().map(|(id, value)| {
            let cast = source.columns.get(id).and_then(|column| column.cast.clone());
            (id, Expr::Value(value, cast))
        });
        let rules_set: Vec<(usize, Expr)> = rules
            .set
            .iter()
            .map(|(id, expression)| (*id, environment.expr(expression, source.columns.get(*id), &mut aliases)))
            .collect();
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
        let insert = Insert {
            table: source.table.clone(),
            columns,
            rows: vec![values],
            on_conflict: OnConflict::Fail,
        };
        let key = connection.insert(&insert, &key_column.name)?;
        if let Some(first) = row.first_mut() {
            *first = key.clone();
        }
        let id = Environment {
            id: Some(&key),
            row: Some((source, &row)),
            attributes: Some(wanted.values),
            ..base
        };
        let known = Environment {
            id: Some(&key),
            row: None,
            ..base
        };
        writing.within(known, |writing| {
            self.after_insert(connection, writing, rules, wanted, &key, &row, &id)
        })?;
        let mut answered = self.collections_wanted(&place, projection);
        // Nobody is in a group before existing.
        answered.groups = false;
        let Some(mut found) = self.read_one(connection, caller, &place, &key, &answered)? else {
            return Err(Error::forbidden("the new resource would not be among the rows that exist for SCIM").into());
        };
        let reader = self.reader(&place, caller);
        let (resource, forms) = self.keep_forms(connection, writing, &reader, None, wanted.resource, &found.row)?;
        if forms && let Some(again) = self.read_one(connection, caller, &place, &key, &answered)? {
            found = again;
            for (name, value) in resource {
                found.resource.insert(name, value);
            }
        }
        Ok(found)
    }

    #[expect(clippy::too_many_arguments, reason = "one call, all of it needed")]
    fn after_insert(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        rules: &Create,
        wanted: &Wanted<'_>,
        key: &Value,
        row: &[Value],
        environment: &Environment<'_>,
    ) -> Result<(), Fault> {
        let place = writing.place;
        if let Some(external_id) = place
            .plan
            .external_id
            .and_then(|index| wanted.values.get(index)?.as_ref())
        {
            self.keep_external_id(connection, writing, key, Some(external_id))?;
        }
        self.change_members(connection, writing, row, wanted.collections, false)?;
        let transition = Transition {
            source: place.source,
            before: None,
            after: row,
            attributes_before: None,
            attributes_after: wanted.values,
        };
        self.run_steps(connection, &rules.then, environment, Some(&transition))
    }

    /// A retired row is brought back by whoever has its name, unless it is another's.
    fn unretire(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        key: &Value,
        wanted: &Wanted<'_>,
        projection: &Projection,
    ) -> Result<Found, Fault> {
        let place = writing.place;
        let id = key.to_text().unwrap_or_default();
        sidecar::unbury(&self.own, connection, &place.plan.kind, &id)?;
        let Some(current) = self.read_one(connection, writing.caller, &place, key, &CollectionsWanted::none())? else {
            return Err(Error::uniqueness("userName").into());
        };
        let (was, is) = (current.resource.get("externalId"), wanted.resource.get("externalId"));
        if let (Some(was), Some(is)) = (was, is)
            && was != is
        {
            let detail = "the name is held by a retired account, whose externalId is another";
            return Err(Error::conflict(detail).into());
        }
        self.as_replace(connection, writing, key, wanted, projection)
    }

    fn as_replace(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        key: &Value,
        wanted: &Wanted<'_>,
        projection: &Projection,
    ) -> Result<Found, Fault> {
        // Whoever is created is meant to be active, unless the request says otherwise.
        let mut resource = wanted.resource.clone();
        if writing.place.plan.active.is_some() && !resource.contains_key("active") {
            resource.insert("active".into(), Json::Bool(true));
        }
        let change = Change::Replace {
            resource: &resource,
            collections: wanted.collections,
        };
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
        let mut select = Select::new(
            self.own.table(OwnTable::Tombstones),
            stone,
            vec![plan::key(place.source, MAIN)],
        );
        let key = Expr::Text(Box::new(plan::key(place.source, MAIN)));
        let resource_id = Expr::column(stone, &Ident::new("resource_id"));
        select.joins.push(Join {
            kind: JoinKind::Inner,
            table: place.source.table.clone(),
            alias: MAIN,
            on: Predicate::eq(key.clone(), resource_id),
        });
        let mut filter = Predicate::eq(
            Expr::column(stone, &Ident::new("resource_type")),
            Expr::value(place.plan.kind.as_str()),
        );
        let mut aliases = Aliases::from(3);
        filter = filter.and(
            writing
                .environment
                .predicate(&place.source.filter, Some(MAIN), &mut aliases),
        );
        if place.plan.reading(writing.caller.server.default).external_id.is_some() {
            select.joins.push(Join {
                kind: JoinKind::Inner,
                table: self.own.table(OwnTable::Links),
                alias: link,
                on: plan::own_row(link, &place.plan.kind, plan::key(place.source, MAIN)),
            });
            let server = Expr::column(link, &Ident::new("server"));
            let column = Expr::column(link, &Ident::new("external_id"));
            filter = filter
                .and(Predicate::eq(server, Expr::value(writing.caller.server.name.as_str())))
                .and(Predicate::eq(column, Expr::value(external_id.as_str())));
        } else if let Binding::Column(binding) = &attribute.binding {
            let value = Value::from(external_id.as_str());
            let Some(equal) = self.equal(&place, attribute, binding, &value) else {
                return Ok(None);
            };
            filter = filter.and(equal);
        } else {
            return Ok(None);
        }
        select.filter = filter;
        select.order.push(Order {
            by: plan::key(place.source, MAIN),
            descending: true,
        });
        select.limit = Some(1);
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.into_iter().next().and_then(|row| row.0.into_iter().next()))
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
                let link = Alias(1);
                select.joins.push(Join {
                    kind: JoinKind::Inner,
                    table: self.own.table(OwnTable::Links),
                    alias: link,
                    on: plan::own_row(link, &place.plan.kind, plan::key(place.source, MAIN)),
                });
                let server = Expr::column(link, &Ident::new("server"));
                let column = Expr::column(link, &Ident::new("external_id"));
                filter = Predicate::eq(server, Expr::value(writing.caller.server.name.as_str()))
                    .and(Predicate::eq(column, Expr::value(external_id.as_str())))
                    .and(filter);
            }
            _ => return Ok(None),
        }
        select.filter = filter;
        select.order.push(Order {
            by: plan::key(place.source, MAIN),
            descending: true,
        });
        select.limit = Some(1);
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.into_iter().next().and_then(|row| row.0.into_iter().next()))
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
        let environment = Environment {
            id: Some(key),
            attributes: Some(wanted.values),
            ..base
        };
        // Bringing back is a change of a row that may be protected.
        let mut aliases = Aliases::from(1);
        if let Some(protected) = &place.source.protected {
            let cast = place.source.columns.first().and_then(|column| column.cast.clone());
            let filter = Predicate::eq(plan::key(place.source, MAIN), Expr::Value(key.clone(), cast))
                .and(environment.predicate(protected, Some(MAIN), &mut aliases));
            let select = Select::new(place.source.table.clone(), MAIN, vec![Expr::Number(1)]).filter(filter);
            if !connection.query(&Statement::Select(select), &[])?.is_empty() {
                return Err(super::update::protected(&place).into());
            }
        }
        self.update_row(connection, &place, key, Vec::new(), &revive.set, &environment)?;
        let id = key.to_text().unwrap_or_default();
        sidecar::unbury(&self.own, connection, &place.plan.kind, &id)?;
        self.run_steps(connection, &revive.then, &environment, None)?;
        self.as_replace(connection, writing, key, wanted, projection)
    }
}

/// Whether this attribute is externalId and kept in our links for this caller.
fn linked(place: &Place<'_>, attribute: usize, default_server: bool) -> bool {
    place.plan.external_id == Some(attribute) && place.plan.reading(default_server).external_id.is_some()
}
