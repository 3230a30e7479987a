//! Membership, row by row: what is added or removed is touched, and nothing else is read.

use super::asked::Asked;
use super::change::Writing;
use super::membership::{CHUNK, Children, Membership};
use super::permissions::Operation;
use super::plan::{self, Display, MAIN};
use super::rows;
use super::transaction::Fault;
use super::{Directory, Place};
use crate::adapter::{Aliases, Column, Each, Environment, Link, ResourceType};
use crate::scim::{CollectionChange, Error, Filter, Object};
use crate::sql::{Connection, Delete, Expr, Insert, OnConflict, Predicate, Select, Statement, Update, Value};
use indexmap::{IndexMap, IndexSet};
use serde_json::Value as Json;
use std::collections::HashMap;

/// What a request asks of the collections it names, in order.
pub(super) type Collections = IndexMap<String, Vec<CollectionChange>>;

/// What a request makes of one collection, its operations taken together.
#[derive(Default)]
struct Difference {
    /// All that is not added goes.
    replace: bool,
    add: IndexSet<String>,
    remove: IndexSet<String>,
}

/// What one link gains and loses.
pub(super) struct MemberChange<'a> {
    pub membership: Membership<'a>,
    add: Vec<Value>,
    remove: Vec<Value>,
}

impl<'a> MemberChange<'a> {
    /// One member less.
    pub fn removal(membership: Membership<'a>, child: Value) -> Self {
        Self { membership, add: Vec::new(), remove: vec![child] }
    }

    /// Whether the change moves the parent's `modified`.
    pub fn touches(&self) -> bool {
        self.membership.link.touch
    }
}

impl Directory {
    /// What the changes to the collections of a row come to: those links whose rows really change.
    /// Nothing is written yet.
    pub(super) fn member_changes<'a>(
        &'a self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        place: Place<'a>,
        row: &[Value],
        changes: &'a Collections,
    ) -> Result<Vec<MemberChange<'a>>, Fault> {
        let mut planned = Vec::new();
        for (name, list) in changes {
            for (_, link) in place.links().filter(|(attribute, _)| attribute.target.attribute == *name) {
                let Some(membership) = self.membership(link, row) else {
                    continue;
                };
                let skip_unknown = place.source.skip_unknown_members;
                let membership = Membership { skip_unknown, name, ..membership };
                let (add, remove) = self.member_change(connection, writing, &membership, list)?;
                if !add.is_empty() || !remove.is_empty() {
                    let touched: Vec<&Value> = add.iter().chain(&remove).collect();
                    self.members_unprotected(connection, &membership, &touched, writing)?;
                    planned.push(MemberChange { membership, add, remove });
                }
            }
        }
        Ok(planned)
    }

    /// The link's child values to add and to remove.
    fn member_change(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        membership: &Membership<'_>,
        list: &[CollectionChange],
    ) -> Result<(Vec<Value>, Vec<Value>), Fault> {
        let environment = &writing.environment;
        let difference = self.difference(connection, writing, membership, list)?;
        if !difference.replace {
            let wanted = self.resolve(connection, membership, &difference.add, true, environment)?;
            let wanted: Children = wanted.into_values().collect();
            let there = self.existing(connection, membership, Some(&wanted), environment)?;
            let add = wanted.without(&there);
            return Ok((add, self.removable(connection, membership, &difference.remove, environment)?));
        }
        let existing = self.existing(connection, membership, None, environment)?;
        // Of a membership that is sent whole most are there already: those are not held, as nothing becomes of them.
        let hold = existing.values.is_empty();
        let found = self.resolve(connection, membership, &difference.add, hold, environment)?;
        let wanted: Children = found.values().cloned().collect();
        let remove = existing.values.iter().filter(|child| !wanted.contains(child)).cloned().collect();
        let remove = self.without_left(connection, membership, remove, environment)?;
        let mut add = wanted.without(&existing);
        if !hold && !add.is_empty() {
            let new = found.into_iter().filter(|(_, child)| !existing.contains(child)).map(|(id, _)| id).collect();
            let held = self.resolve(connection, membership, &new, true, environment)?;
            add = held.into_values().collect::<Children>().values;
        }
        Ok((add, remove))
    }

    /// Writes what [`Directory::member_changes`] found, with the link's steps.
    pub(super) fn write_members(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        planned: &[MemberChange<'_>],
    ) -> Result<(), Fault> {
        let environment = &writing.environment;
        for MemberChange { membership, add, remove } in planned {
            let link = membership.link;
            // What a row held is known before it goes, what it holds once it is there.
            let gone =
                if link.removed.is_empty() { HashMap::new() } else { self.link_rows(connection, membership, remove)? };
            self.remove_rows(connection, link, std::slice::from_ref(&membership.parent), remove, environment)?;
            self.add_rows(connection, membership, add, environment)?;
            let come =
                if link.added.is_empty() { HashMap::new() } else { self.link_rows(connection, membership, add)? };
            for (children, rows, steps) in [(remove, gone, &link.removed), (add, come, &link.added)] {
                if steps.is_empty() || children.is_empty() {
                    continue;
                }
                let labels = self.child_labels(connection, membership, children, environment)?;
                for child in children {
                    let key = child.to_text().unwrap_or_default();
                    let label = labels.get(&key).cloned();
                    let mut columns = vec![
                        (link.child.0.name.clone(), child.clone(), label),
                        (link.parent.0.name.clone(), membership.parent.clone(), None),
                    ];
                    let others = link.each.iter().zip(rows.get(&key).into_iter().flatten());
                    columns.extend(others.map(|(column, value)| (column.name.clone(), value.clone(), None)));
                    let each = Each { columns, ..Each::default() };
                    let environment = Environment { each: Some(&each), ..*environment };
                    self.run_steps(connection, steps, &environment, None)?;
                }
            }
        }
        Ok(())
    }

    /// The operations taken together: a later one wins over an earlier.
    fn difference(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        membership: &Membership<'_>,
        list: &[CollectionChange],
    ) -> Result<Difference, Fault> {
        let mut difference = Difference::default();
        let add = |difference: &mut Difference, elements: &[Object]| -> Result<(), Error> {
            for element in elements {
                if let Some(type_) = self.another_type(membership.type_, element) {
                    return Err(Error::invalid_value(format!(
                        "{}: a {type_} cannot be a member here, only a {}",
                        membership.name, membership.type_.name
                    )));
                }
                let id = match element.get("value") {
                    Some(Json::String(id)) => id.clone(),
                    Some(other) if !other.is_null() => other.to_string(),
                    _ => {
                        return Err(Error::invalid_value(format!("{}: an element has no value", membership.name)));
                    }
                };
                difference.remove.shift_remove(&id);
                difference.add.insert(id);
            }
            Ok(())
        };
        for change in list {
            match change {
                CollectionChange::Add(elements) => add(&mut difference, elements)?,
                CollectionChange::Remove(ids) => {
                    for id in ids {
                        difference.add.shift_remove(id);
                        difference.remove.insert(id.clone());
                    }
                }
                CollectionChange::RemoveWhere(filter) => {
                    let ids = self.meeting(connection, writing, membership, filter)?;
                    for id in ids {
                        difference.add.shift_remove(&id);
                        difference.remove.insert(id);
                    }
                }
                CollectionChange::RemoveAll => {
                    difference = Difference { replace: true, ..Difference::default() };
                }
                CollectionChange::Replace(elements) => {
                    difference = Difference { replace: true, ..Difference::default() };
                    add(&mut difference, elements)?;
                }
            }
        }
        Ok(difference)
    }

    /// What an element says it is, where that is not what members are: by its `type`, or by where its `$ref` points.
    fn another_type<'e>(&'e self, member: &ResourceType, element: &'e Object) -> Option<&'e str> {
        if let Some(type_) = element.get("type").and_then(Json::as_str) {
            return (!type_.eq_ignore_ascii_case(&member.name)).then_some(type_);
        }
        let reference = element.get("$ref").and_then(Json::as_str)?.trim_end_matches('/');
        let (before, _) = reference.rsplit_once('/')?;
        let types = self.adapter.resource_types.iter();
        let pointed = types.filter(|type_| before.ends_with(type_.endpoint.as_str())).map(|type_| type_.name.as_str());
        pointed.into_iter().find(|name| *name != member.name)
    }

    /// The visible members that a filter on their sub-attributes meets: the one case that has to read
    /// the membership, because it asks for what is not a key.
    fn meeting(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        membership: &Membership<'_>,
        filter: &Filter,
    ) -> Result<Vec<String>, Fault> {
        let readable = writing.caller.server.may.allow(&membership.type_.name, Operation::Read);
        if !readable && asks_for_display(filter) {
            let Membership { name, type_, .. } = membership;
            let detail = format!("{name}.display cannot be asked for without the permission to read {}", type_.name);
            return Err(Error::invalid_filter(detail).into());
        }
        let children = self.existing(connection, membership, None, &writing.environment)?;
        let mut ids = Vec::new();
        for chunk in children.values.chunks(CHUNK) {
            let display = Display::of(membership.target).filter(|_| readable);
            let mut columns = vec![plan::key(membership.target, MAIN)];
            for column in display.iter().flat_map(|display| &display.columns) {
                columns.extend(membership.target.columns.get(*column).map(|column| Expr::column(MAIN, &column.name)));
            }
            let Some(child) = membership.target.columns.get(membership.link.child.1) else {
                continue;
            };
            let list = chunk.iter().map(|key| Expr::Value(key.clone(), child.cast.clone())).collect();
            let select = Select::new(membership.target.table.clone(), MAIN, columns)
                .filter(Predicate::In(Expr::column(MAIN, &child.name), list));
            for row in connection.query(&Statement::Select(select), &[])? {
                let Some(key) = row.0.first() else { continue };
                let id = rows::scim_id(membership.target, key);
                let columns = row.0.get(1..).unwrap_or_default();
                let mut element = Object::new();
                element.insert("value".into(), Json::String(id.clone()));
                element.insert("type".into(), Json::String(membership.type_.name.clone()));
                let name = rows::display_name(
                    membership.target,
                    display.as_ref(),
                    &self.adapter,
                    columns,
                    &writing.environment,
                );
                if let Some(name) = name {
                    element.insert("display".into(), Json::String(name));
                }
                if meets(&element, filter) {
                    ids.push(id);
                }
            }
        }
        Ok(ids)
    }

    fn add_rows(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        children: &[Value],
        environment: &Environment<'_>,
    ) -> Result<(), Fault> {
        let link = membership.link;
        let mut columns = vec![link.parent.0.name.clone(), link.child.0.name.clone()];
        columns.extend(link.set.iter().map(|(column, _)| column.name.clone()));
        let new = match link.value_is_unique {
            true => self.bring_back_members(connection, membership, children, environment)?,
            false => children.to_vec(),
        };
        for chunk in new.chunks(CHUNK) {
            let mut aliases = Aliases::from(1);
            let rows = chunk.iter().map(|child| {
                let mut row = vec![
                    Expr::Value(membership.parent.clone(), link.parent.0.cast.clone()),
                    Expr::Value(child.clone(), link.child.0.cast.clone()),
                ];
                let set = link.set.iter();
                row.extend(set.map(|(column, expression)| environment.expr(expression, Some(column), &mut aliases)));
                row
            });
            let insert = Insert {
                table: link.table.clone(),
                columns: columns.clone(),
                rows: rows.collect(),
                on_conflict: OnConflict::Fail,
            };
            connection.execute(&Statement::Insert(insert), &[])?;
        }
        Ok(())
    }

    /// Removes link rows that are ours: of one parent and many members, or the other way round.
    pub(super) fn remove_rows(
        &self,
        connection: &mut dyn Connection,
        link: &Link,
        parents: &[Value],
        children: &[Value],
        environment: &Environment<'_>,
    ) -> Result<(), Fault> {
        let among = |column: &Column, values: &[Value]| {
            let list = values.iter().map(|value| Expr::Value(value.clone(), column.cast.clone())).collect();
            Predicate::In(Expr::bare(&column.name), list)
        };
        let chunks = parents.chunks(CHUNK).flat_map(|parents| children.chunks(CHUNK).map(move |some| (parents, some)));
        for (parents, children) in chunks {
            let mut aliases = Aliases::from(1);
            let filter = among(&link.parent.0, parents).and(among(&link.child.0, children)).and(environment.predicate(
                &link.filter,
                None,
                &mut aliases,
            ));
            let filter = match &link.leave {
                Some(leave) => filter.and(environment.predicate(leave, None, &mut aliases).negate()),
                None => filter,
            };
            let statement = if link.remove_sets.is_empty() {
                Statement::Delete(Delete { table: link.table.clone(), filter })
            } else {
                let set = link.remove_sets.iter().map(|(column, expression)| {
                    (column.name.clone(), environment.expr(expression, Some(column), &mut aliases))
                });
                Statement::Update(Update { table: link.table.clone(), set: set.collect(), filter })
            };
            connection.execute(&statement, &[])?;
        }
        Ok(())
    }

    /// Empties every link of a row that is about to go, its own members and its memberships, and its child rows.
    pub(super) fn unlink(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        row: &[Value],
    ) -> Result<(), Fault> {
        let place = writing.place;
        self.own_members_unprotected(connection, writing, row)?;
        if let Some(key) = row.first() {
            self.memberships_unprotected(connection, writing, key)?;
        }
        self.remove_children(connection, writing, row)?;
        let own = place.links().map(|(_, link)| (link, &link.parent));
        let others = place.type_plan.pointing.iter().filter_map(|reverse| {
            let source = self.adapter.resource_types.get(reverse.type_)?.sources.get(reverse.source)?;
            source.link(reverse.attribute).map(|(_, link)| (link, &link.child))
        });
        for (link, (column, holds)) in own.chain(others) {
            let Some(value) = row.get(*holds).filter(|value| !value.is_null()) else {
                continue;
            };
            // Also those that were removed and stayed.
            let removal: Vec<_> = link.remove_sets.iter().map(|(column, _)| &column.name).collect();
            let counts = link.filter.without(&removal);
            let filter = Predicate::eq(Expr::bare(&column.name), Expr::Value(value.clone(), column.cast.clone()))
                .and(writing.environment.predicate(&counts, None, &mut Aliases::from(1)));
            connection.execute(&Statement::Delete(Delete { table: link.table.clone(), filter }), &[])?;
        }
        Ok(())
    }
}

/// Whether a filter on sub-attributes is about `display`.
fn asks_for_display(filter: &Filter) -> bool {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().any(asks_for_display),
        Filter::Not(inner) => asks_for_display(inner),
        Filter::Present(path) | Filter::Compare(path, ..) => path.attribute.eq_ignore_ascii_case("display"),
        Filter::Value(..) => false,
    }
}

/// Whether an element meets a filter on its sub-attributes.
fn meets(element: &Object, filter: &Filter) -> bool {
    let sub = |name: &str| element.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    match filter {
        Filter::And(all) => all.iter().all(|one| meets(element, one)),
        Filter::Or(any) => any.iter().any(|one| meets(element, one)),
        Filter::Not(inner) => !meets(element, inner),
        Filter::Present(path) => sub(&path.attribute).is_some(),
        Filter::Compare(path, operator, literal) => {
            let asked = Asked::Compare(*operator, literal);
            match sub(&path.attribute) {
                Some(value) => {
                    asked.holds_of(value, path.attribute.eq_ignore_ascii_case("value"), path).unwrap_or(asked.negated())
                }
                None => asked.is_null() != asked.negated(),
            }
        }
        Filter::Value(..) => false,
    }
}
