//! Membership, row by row: what is added or removed is touched, and nothing else is read.

use super::asked::Asked;
use super::change::Writing;
use super::plan::{self, Display, MAIN};
use super::rows;
use super::transaction::Fault;
use super::{Directory, Place};
use crate::adapter::{Aliases, Binding, Each, Environment, Link, ResourceType, Source};
use crate::scim::{CollectionChange, Error, Filter, Object};
use crate::sql::{
    Alias, Connection, Delete, Expr, Insert, Join, JoinKind, OnConflict, Predicate, Select, Statement, Update, Value,
};
use indexmap::{IndexMap, IndexSet};
use serde_json::Value as Json;
use std::collections::HashSet;

/// How many rows one statement takes at most.
const CHUNK: usize = 256;

/// What a request makes of one collection, its operations taken together.
#[derive(Default)]
struct Difference {
    /// All that is not added goes.
    replace: bool,
    add: IndexSet<String>,
    remove: IndexSet<String>,
}

/// One link, as a write sees it.
struct Membership<'a> {
    link: &'a Link,
    /// What the link's parent column holds.
    parent: Value,
    type_: &'a ResourceType,
    target: &'a Source,
    skip_unknown: bool,
    /// For messages: `members`.
    name: &'a str,
}

impl Directory {
    /// Applies the changes to the collections of a row; whether any membership changed.
    pub(super) fn change_members(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        row: &[Value],
        changes: &IndexMap<String, Vec<CollectionChange>>,
        dry: bool,
    ) -> Result<bool, Fault> {
        let place = writing.place;
        let mut changed = false;
        for (name, list) in changes {
            for index in &place.plan.links {
                let Some(attribute) = place.source.attributes.get(*index) else {
                    continue;
                };
                let Binding::Link(link) = &attribute.binding else {
                    continue;
                };
                if attribute.target.attribute != *name {
                    continue;
                }
                let Some((_, type_)) = plan::find_type(&self.adapter, &link.resource_type) else {
                    continue;
                };
                let (Some(target), Some(parent)) = (type_.sources.first(), row.get(link.parent.1)) else {
                    continue;
                };
                let membership = Membership {
                    link,
                    parent: parent.clone(),
                    type_,
                    target,
                    skip_unknown: place.source.skip_unknown_members,
                    name,
                };
                changed |= self.change_one(connection, writing, &membership, list, dry)?;
            }
        }
        Ok(changed)
    }

    fn change_one(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        membership: &Membership<'_>,
        list: &[CollectionChange],
        dry: bool,
    ) -> Result<bool, Fault> {
        let difference = self.difference(connection, writing, membership, list)?;
        let wanted = self.resolve(connection, membership, &difference.add, &writing.environment)?;
        let (add, remove) = if difference.replace {
            let existing = self.existing(connection, membership, None, &writing.environment)?;
            let remove = existing
                .values
                .iter()
                .filter(|child| !wanted.contains(child))
                .cloned()
                .collect();
            (wanted.without(&existing), remove)
        } else {
            let there = self.existing(connection, membership, Some(&wanted), &writing.environment)?;
            let add = wanted.without(&there);
            let gone = self.children(connection, membership, &difference.remove, &writing.environment)?;
            let remove = self.existing(connection, membership, Some(&gone), &writing.environment)?;
            (add, remove.values)
        };
        let remove = self.without_left(connection, membership, remove, &writing.environment)?;
        let changed = !add.is_empty() || !remove.is_empty();
        if dry || !changed {
            return Ok(changed);
        }
        self.remove_rows(connection, membership, &remove, &writing.environment)?;
        self.add_rows(connection, membership, &add, &writing.environment)?;
        for (children, steps) in [(&remove, &membership.link.removed), (&add, &membership.link.added)] {
            if steps.is_empty() {
                continue;
            }
            for child in children {
                let label = self.child_label(connection, membership, child, &writing.environment)?;
                let column = membership.link.child.0.name.clone();
                let parent = membership.link.parent.0.name.clone();
                let columns = vec![
                    (column, child.clone(), label),
                    (parent, membership.parent.clone(), None),
                ];
                let each = Each {
                    columns,
                    ..Each::default()
                };
                let environment = Environment {
                    each: Some(&each),
                    ..writing.environment
                };
                self.run_steps(connection, steps, &environment, None)?;
            }
        }
        Ok(changed)
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
                if let Some(type_) = element.get("type").and_then(Json::as_str)
                    && !type_.eq_ignore_ascii_case(&membership.type_.name)
                {
                    return Err(Error::invalid_value(format!(
                        "{}: a {type_} cannot be a member here, only a {}",
                        membership.name, membership.type_.name
                    )));
                }
                let id = match element.get("value") {
                    Some(Json::String(id)) => id.clone(),
                    Some(other) if !other.is_null() => other.to_string(),
                    _ => {
                        return Err(Error::invalid_value(format!(
                            "{}: an element has no value",
                            membership.name
                        )));
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
                    difference = Difference {
                        replace: true,
                        ..Difference::default()
                    };
                }
                CollectionChange::Replace(elements) => {
                    difference = Difference {
                        replace: true,
                        ..Difference::default()
                    };
                    add(&mut difference, elements)?;
                }
            }
        }
        Ok(difference)
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
        let children = self.existing(connection, membership, None, &writing.environment)?;
        let mut ids = Vec::new();
        for chunk in children.values.chunks(CHUNK) {
            let display = Display::of(membership.target);
            let mut columns = vec![plan::key(membership.target, MAIN)];
            for column in display.iter().flat_map(|display| &display.columns) {
                columns.extend(
                    membership
                        .target
                        .columns
                        .get(*column)
                        .map(|column| Expr::column(MAIN, &column.name)),
                );
            }
            let Some(child) = membership.target.columns.get(membership.link.child.1) else {
                continue;
            };
            let list = chunk
                .iter()
                .map(|key| Expr::Value(key.clone(), child.cast.clone()))
                .collect();
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

    /// What the link's child column holds for ids that must exist; the others are refused by name, or
    /// left out where the adapter says so.
    fn resolve(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        ids: &IndexSet<String>,
        environment: &Environment<'_>,
    ) -> Result<Children, Fault> {
        let found = self.targets(connection, membership, ids, environment)?;
        let unknown: Vec<&str> = ids
            .iter()
            .filter(|id| !found.contains_key(id.as_str()))
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            if !membership.skip_unknown {
                let mut shown = unknown
                    .iter()
                    .take(10)
                    .map(|id| format!("{id:?}"))
                    .collect::<Vec<_>>()
                    .join(", ");
                if unknown.len() > 10 {
                    shown.push_str(&format!(" and {} more", unknown.len() - 10));
                }
                let detail = format!("{}: there is no {} {shown}", membership.name, membership.type_.name);
                return Err(Error::invalid_value(detail).into());
            }
            tracing::warn!(unknown = unknown.len(), "members that do not exist were left out");
        }
        Ok(ids.iter().filter_map(|id| found.get(id.as_str()).cloned()).collect())
    }

    /// The same for ids to remove: those that do not exist are no members either.
    fn children(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        ids: &IndexSet<String>,
        environment: &Environment<'_>,
    ) -> Result<Children, Fault> {
        let mut found = self.targets(connection, membership, ids, environment)?;
        Ok(ids.iter().filter_map(|id| found.remove(id.as_str())).collect())
    }

    fn targets(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        ids: &IndexSet<String>,
        environment: &Environment<'_>,
    ) -> Result<std::collections::HashMap<String, Value>, Fault> {
        let target = membership.target;
        let mut found = std::collections::HashMap::new();
        let keys: Vec<Value> = ids.iter().filter_map(|id| super::key_of(target, id)).collect();
        let Some(child) = target.columns.get(membership.link.child.1) else {
            return Ok(found);
        };
        let cast = target.columns.first().and_then(|column| column.cast.clone());
        let kind = plan::own_kind(membership.type_, target);
        for chunk in keys.chunks(CHUNK) {
            let mut aliases = Aliases::from(1);
            let list = chunk.iter().map(|key| Expr::Value(key.clone(), cast.clone())).collect();
            let columns = vec![plan::key(target, MAIN), Expr::column(MAIN, &child.name)];
            let visible = plan::visible(target, &kind, &self.own, MAIN, environment, &mut aliases);
            let select = Select::new(target.table.clone(), MAIN, columns)
                .filter(Predicate::In(plan::key(target, MAIN), list).and(visible));
            for row in connection.query(&Statement::Select(select), &[])? {
                if let [key, child] = row.0.as_slice()
                    && !child.is_null()
                {
                    found.insert(rows::scim_id(target, key), child.clone());
                }
            }
        }
        Ok(found)
    }

    /// Which of these are visible members now; all of them without a list.
    fn existing(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        among: Option<&Children>,
        environment: &Environment<'_>,
    ) -> Result<Children, Fault> {
        let link = membership.link;
        let mut found = Vec::new();
        let chunks: Vec<Option<&[Value]>> = match among {
            None => vec![None],
            Some(among) => among.values.chunks(CHUNK).map(Some).collect(),
        };
        for chunk in chunks {
            let mut aliases = Aliases::from(2);
            let (near, other) = (Alias(0), Alias(1));
            let child = Expr::column(near, &link.child.0.name);
            let mut filter = Predicate::eq(
                Expr::column(near, &link.parent.0.name),
                Expr::Value(membership.parent.clone(), link.parent.0.cast.clone()),
            );
            let mut select = Select::new(link.table.clone(), near, vec![child.clone()]);
            if let Some(chunk) = chunk {
                let list = chunk
                    .iter()
                    .map(|key| Expr::Value(key.clone(), link.child.0.cast.clone()))
                    .collect();
                filter = filter.and(Predicate::In(child, list));
            } else if let Some(there) = membership.target.columns.get(link.child.1) {
                // Members that nobody can see are nobody's to remove.
                select.joins.push(Join {
                    kind: JoinKind::Inner,
                    table: membership.target.table.clone(),
                    alias: other,
                    on: Predicate::eq(Expr::column(other, &there.name), child),
                });
                let kind = plan::own_kind(membership.type_, membership.target);
                filter = filter.and(plan::visible(
                    membership.target,
                    &kind,
                    &self.own,
                    other,
                    environment,
                    &mut aliases,
                ));
            }
            select.filter = filter.and(environment.predicate(&link.filter, Some(near), &mut aliases));
            let rows = connection.query(&Statement::Select(select), &[])?;
            found.extend(rows.into_iter().filter_map(|row| row.0.into_iter().next()));
        }
        Ok(found.into_iter().collect())
    }

    /// Leaves out the members whose link rows are not ours to remove.
    fn without_left(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        mut remove: Vec<Value>,
        environment: &Environment<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let Some(leave) = &membership.link.leave else {
            return Ok(remove);
        };
        let link = membership.link;
        let mut left: Vec<Value> = Vec::new();
        for chunk in remove.chunks(CHUNK) {
            let mut aliases = Aliases::from(1);
            let list = chunk
                .iter()
                .map(|key| Expr::Value(key.clone(), link.child.0.cast.clone()))
                .collect();
            let filter = Predicate::eq(
                Expr::column(MAIN, &link.parent.0.name),
                Expr::Value(membership.parent.clone(), link.parent.0.cast.clone()),
            )
            .and(Predicate::In(Expr::column(MAIN, &link.child.0.name), list))
            .and(environment.predicate(leave, Some(MAIN), &mut aliases));
            let select =
                Select::new(link.table.clone(), MAIN, vec![Expr::column(MAIN, &link.child.0.name)]).filter(filter);
            let rows = connection.query(&Statement::Select(select), &[])?;
            left.extend(rows.into_iter().filter_map(|row| row.0.into_iter().next()));
        }
        let left: Children = left.into_iter().collect();
        remove.retain(|child| !left.contains(child));
        Ok(remove)
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
        for chunk in children.chunks(CHUNK) {
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

    fn remove_rows(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        children: &[Value],
        environment: &Environment<'_>,
    ) -> Result<(), Fault> {
        let link = membership.link;
        for chunk in children.chunks(CHUNK) {
            let mut aliases = Aliases::from(1);
            let list = chunk
                .iter()
                .map(|key| Expr::Value(key.clone(), link.child.0.cast.clone()))
                .collect();
            let filter = Predicate::eq(
                Expr::bare(&link.parent.0.name),
                Expr::Value(membership.parent.clone(), link.parent.0.cast.clone()),
            )
            .and(Predicate::In(Expr::bare(&link.child.0.name), list))
            .and(environment.predicate(&link.filter, None, &mut aliases));
            let statement = if link.remove_sets.is_empty() {
                Statement::Delete(Delete {
                    table: link.table.clone(),
                    filter,
                })
            } else {
                let set = link.remove_sets.iter().map(|(column, expression)| {
                    (
                        column.name.clone(),
                        environment.expr(expression, Some(column), &mut aliases),
                    )
                });
                Statement::Update(Update {
                    table: link.table.clone(),
                    set: set.collect(),
                    filter,
                })
            };
            connection.execute(&statement, &[])?;
        }
        Ok(())
    }

    fn child_label(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        child: &Value,
        environment: &Environment<'_>,
    ) -> Result<Option<String>, Fault> {
        let target = membership.target;
        let Some(there) = target.columns.get(membership.link.child.1) else {
            return Ok(None);
        };
        let columns = target
            .columns
            .iter()
            .map(|column| Expr::column(MAIN, &column.name))
            .collect();
        let select = Select::new(target.table.clone(), MAIN, columns).filter(Predicate::eq(
            Expr::column(MAIN, &there.name),
            Expr::Value(child.clone(), there.cast.clone()),
        ));
        let Some(row) = connection.query(&Statement::Select(select), &[])?.into_iter().next() else {
            return Ok(None);
        };
        let environment = Environment {
            row: Some((target, &row.0)),
            id: row.0.first(),
            label: None,
            ..*environment
        };
        Ok(target.label.iter().find_map(|template| environment.template(template)))
    }

    /// Empties every link of a row that is about to go: its own members, and its memberships.
    pub(super) fn unlink(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        row: &[Value],
    ) -> Result<(), Fault> {
        let own = place.plan.links.iter().filter_map(|index| {
            match place.source.attributes.get(*index).map(|attribute| &attribute.binding) {
                Some(Binding::Link(link)) => Some((link, &link.parent)),
                _ => None,
            }
        });
        let others = place.type_plan.reverse.iter().filter_map(|reverse| {
            let source = self
                .adapter
                .resource_types
                .get(reverse.type_)?
                .sources
                .get(reverse.source)?;
            match &source.attributes.get(reverse.attribute)?.binding {
                Binding::Link(link) => Some((link, &link.child)),
                _ => None,
            }
        });
        for (link, (column, holds)) in own.chain(others) {
            let Some(value) = row.get(*holds).filter(|value| !value.is_null()) else {
                continue;
            };
            let filter = Predicate::eq(
                Expr::bare(&column.name),
                Expr::Value(value.clone(), column.cast.clone()),
            );
            connection.execute(
                &Statement::Delete(Delete {
                    table: link.table.clone(),
                    filter,
                }),
                &[],
            )?;
        }
        Ok(())
    }
}

/// What a link's child column holds, without doubles, in order. Looked up by text: a legacy link column
/// need not be of the very type of the key it holds.
#[derive(Default)]
struct Children {
    values: Vec<Value>,
    known: HashSet<String>,
}

impl Children {
    fn contains(&self, value: &Value) -> bool {
        value.to_text().is_some_and(|text| self.known.contains(&text))
    }

    /// Those of `self` that are not in `other`.
    fn without(self, other: &Children) -> Vec<Value> {
        self.values.into_iter().filter(|value| !other.contains(value)).collect()
    }
}

impl FromIterator<Value> for Children {
    fn from_iter<I: IntoIterator<Item = Value>>(values: I) -> Self {
        let mut children = Self::default();
        for value in values {
            if value.to_text().is_some_and(|text| children.known.insert(text)) {
                children.values.push(value);
            }
        }
        children
    }
}

/// Whether an element meets a filter on its sub-attributes.
fn meets(element: &Object, filter: &Filter) -> bool {
    let sub = |name: &str| {
        element
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    match filter {
        Filter::And(all) => all.iter().all(|one| meets(element, one)),
        Filter::Or(any) => any.iter().any(|one| meets(element, one)),
        Filter::Not(inner) => !meets(element, inner),
        Filter::Present(path) => sub(&path.attribute).is_some(),
        Filter::Compare(path, operator, literal) => {
            let asked = Asked::Compare(*operator, literal);
            match sub(&path.attribute) {
                Some(value) => asked
                    .holds_of(value, path.attribute.eq_ignore_ascii_case("value"), path)
                    .unwrap_or(asked.negated()),
                None => asked.is_null() != asked.negated(),
            }
        }
        Filter::Value(..) => false,
    }
}
