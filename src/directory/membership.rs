//! What is known of a link before its rows are written: which members exist, which are there, which are
//! not to be touched.

use super::Directory;
use super::change::Writing;
use super::plan::{self, MAIN};
use super::rows;
use super::stranger;
use super::transaction::Fault;
use crate::adapter::{Action, Aliases, Environment, Link, ResourceType, Source, Step};
use crate::scim::Error;
use crate::sql::{Alias, Connection, Expr, Join, JoinKind, Lock, Order, Predicate, Select, Statement, Update, Value};
use indexmap::{IndexMap, IndexSet};
use std::collections::{HashMap, HashSet};

/// How many rows one statement takes at most.
pub(super) const CHUNK: usize = 256;

/// So many new members are held at once. More would keep the application, and ourselves, from everybody's rows for as long as a
/// large group takes; and one row that the application holds would keep the group from being made.
const MOST_HELD: usize = 1000;

/// One link, as a write sees it.
pub(super) struct Membership<'a> {
    pub link: &'a Link,
    /// What the link's parent column holds.
    pub parent: Value,
    pub type_: &'a ResourceType,
    pub target: &'a Source,
    pub skip_unknown: bool,
    /// For messages: `members`.
    pub name: &'a str,
}

impl Directory {
    /// A link of a row, unless it is not known what it would link.
    pub(super) fn membership<'a>(&'a self, link: &'a Link, row: &[Value]) -> Option<Membership<'a>> {
        let (_, type_) = plan::find_type(&self.adapter, &link.resource_type)?;
        let (target, parent) = (type_.sources.first()?, row.get(link.parent.1)?.clone());
        Some(Membership { link, parent, type_, target, skip_unknown: false, name: "" })
    }

    /// What the link's child column holds, by id, for ids that must exist, and with `hold` go on existing until the
    /// transaction ends; the others are refused by name, or left out where the adapter says so.
    pub(super) fn resolve(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        ids: &IndexSet<String>,
        hold: bool,
        environment: &Environment<'_>,
    ) -> Result<IndexMap<String, Value>, Fault> {
        let lock = membership.lock().filter(|_| hold && ids.len() <= MOST_HELD);
        let found = self.targets(connection, membership, ids, lock, environment)?;
        let unknown: Vec<&str> = ids.iter().filter(|id| !found.contains_key(id.as_str())).map(String::as_str).collect();
        if !unknown.is_empty() {
            if !membership.skip_unknown {
                let mut shown = unknown.iter().take(10).map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", ");
                if unknown.len() > 10 {
                    shown.push_str(&format!(" and {} more", unknown.len() - 10));
                }
                let detail = format!("{}: there is no {} {shown}", membership.name, membership.type_.name);
                return Err(Error::invalid_value(detail).into());
            }
            tracing::warn!(unknown = unknown.len(), "members that do not exist were left out");
        }
        Ok(ids.iter().filter_map(|id| Some((id.clone(), found.get(id.as_str())?.clone()))).collect())
    }

    /// What the link's child column holds, by the ids of those that are there.
    fn targets(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        ids: &IndexSet<String>,
        lock: Option<Lock>,
        environment: &Environment<'_>,
    ) -> Result<HashMap<String, Value>, Fault> {
        let target = membership.target;
        let (mut found, mut renamed) = (HashMap::new(), IndexSet::new());
        let mut keys: Vec<Value> = ids.iter().filter_map(|id| super::key_of(target, id)).collect();
        if lock.is_some() {
            // Held in the same order by everybody, or two who hold many would wait for each other.
            keys.sort_by_cached_key(|key| (key.as_int(), key.to_text()));
        }
        let Some(child) = target.columns.get(membership.link.child.1) else {
            return Ok(found);
        };
        let cast = target.columns.first().and_then(|column| column.cast.clone());
        let kind = plan::own_kind(membership.type_, target);
        let plan = self.plan_of(&membership.type_.name);
        for chunk in keys.chunks(CHUNK) {
            let mut aliases = Aliases::from(1);
            let list = chunk.iter().map(|key| Expr::Value(key.clone(), cast.clone())).collect();
            let mut columns = vec![plan::key(target, MAIN), Expr::column(MAIN, &child.name)];
            if let Some(plan) = plan {
                columns.extend(stranger::columns(target, plan, &self.own, MAIN, aliases.fresh()));
            }
            let visible = plan::visible(target, &kind, &self.own, MAIN, environment, &mut aliases);
            let mut select = Select::new(target.table.clone(), MAIN, columns)
                .filter(Predicate::In(plan::key(target, MAIN), list).and(visible));
            if lock.is_some() {
                select.lock = lock;
                select.order.push(Order { by: Expr::Known(Box::new(plan::key(target, MAIN))), descending: false });
            }
            for row in connection.query(&Statement::Select(select), &[])? {
                let [key, child, known @ ..] = row.0.as_slice() else { continue };
                if child.is_null() {
                    continue;
                }
                if !plan.is_some_and(|plan| stranger::read_stranger(plan, known)) {
                    found.insert(rows::scim_id(target, key), child.clone());
                } else if lock.is_some() {
                    renamed.insert(rows::scim_id(target, key));
                }
            }
        }
        if !renamed.is_empty() {
            // Who waited for a row may have read what is remembered of it as it was before the wait (PostgreSQL).
            found.extend(self.targets(connection, membership, &renamed, None, environment)?);
        }
        Ok(found)
    }

    /// Which of these are visible members now; all of them without a list.
    pub(super) fn existing(
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
            let seen = membership.as_members_have_it(&mut select, near, other, chunk.is_none());
            if let Some(chunk) = chunk {
                let list = chunk.iter().map(|key| Expr::Value(key.clone(), link.child.0.cast.clone())).collect();
                filter = filter.and(Predicate::In(child, list));
            } else if seen {
                // Members that nobody can see are nobody's to remove.
                let kind = plan::own_kind(membership.type_, membership.target);
                filter =
                    filter.and(plan::visible(membership.target, &kind, &self.own, other, environment, &mut aliases));
            }
            select.filter = filter.and(environment.predicate(&link.filter, Some(near), &mut aliases));
            let rows = connection.query(&Statement::Select(select), &[])?;
            found.extend(rows.into_iter().filter_map(|row| row.0.into_iter().next()));
        }
        Ok(found.into_iter().collect())
    }

    /// Leaves out the members of whom no link row is ours to remove.
    pub(super) fn without_left(
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
        let mut ours: Vec<Value> = Vec::new();
        for chunk in remove.chunks(CHUNK) {
            let mut aliases = Aliases::from(1);
            let filter = membership
                .rows(chunk, Some(MAIN))
                .and(environment.predicate(&link.filter, Some(MAIN), &mut aliases))
                .and(environment.predicate(leave, Some(MAIN), &mut aliases).negate());
            let select =
                Select::new(link.table.clone(), MAIN, vec![Expr::column(MAIN, &link.child.0.name)]).filter(filter);
            let rows = connection.query(&Statement::Select(select), &[])?;
            ours.extend(rows.into_iter().filter_map(|row| row.0.into_iter().next()));
        }
        let ours: Children = ours.into_iter().collect();
        remove.retain(|child| ours.contains(child));
        Ok(remove)
    }

    /// 403 where one of these rows is protected, or is the acting user: memberships are protected with
    /// the rows that have them.
    pub(super) fn members_unprotected(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        values: &[&Value],
        writing: &Writing<'_>,
    ) -> Result<(), Fault> {
        let Membership { link, target: source, .. } = *membership;
        let Some(known) = source.columns.get(link.child.1) else {
            return Ok(());
        };
        for chunk in values.chunks(CHUNK) {
            let mut aliases = Aliases::from(1);
            let Some(untouchable) = untouchable(membership, MAIN, writing, &mut aliases) else {
                return Ok(());
            };
            let list = chunk.iter().map(|value| Expr::Value((*value).clone(), known.cast.clone())).collect();
            let select = Select::new(source.table.clone(), MAIN, vec![plan::key(source, MAIN)])
                .filter(Predicate::In(Expr::column(MAIN, &known.name), list).and(untouchable));
            self.found_protected(connection, membership, select)?;
        }
        Ok(())
    }

    /// 403 where the row that is about to go has a protected member, retired or outside the scope as it may be.
    pub(super) fn own_members_unprotected(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        row: &[Value],
    ) -> Result<(), Fault> {
        for membership in writing.place.links().filter_map(|(_, link)| self.membership(link, row)) {
            let (link, target) = (membership.link, membership.target);
            let (near, other) = (Alias(0), Alias(1));
            let mut aliases = Aliases::from(2);
            let (Some(untouchable), Some(there)) =
                (untouchable(&membership, other, writing, &mut aliases), target.columns.get(link.child.1))
            else {
                continue;
            };
            let mut select = Select::new(link.table.clone(), near, vec![plan::key(target, other)]);
            select.joins.push(Join {
                kind: JoinKind::Inner,
                table: target.table.clone(),
                alias: other,
                on: Predicate::eq(Expr::column(other, &there.name), Expr::column(near, &link.child.0.name)),
            });
            let filter = Predicate::eq(
                Expr::column(near, &link.parent.0.name),
                Expr::Value(membership.parent.clone(), link.parent.0.cast.clone()),
            )
            .and(writing.environment.predicate(&link.filter, Some(near), &mut aliases))
            .and(writing.environment.predicate(&target.filter, Some(other), &mut aliases))
            .and(untouchable);
            self.found_protected(connection, &membership, select.filter(filter))?;
        }
        Ok(())
    }

    /// 403 where a select of keys finds somebody.
    fn found_protected(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        mut select: Select,
    ) -> Result<(), Fault> {
        select.limit = Some(1);
        match connection.query(&Statement::Select(select), &[])?.first() {
            None => Ok(()),
            Some(row) => {
                let id = row.0.first().map(|key| rows::scim_id(membership.target, key)).unwrap_or_default();
                Err(Error::forbidden(format!(
                    "the {} {id} is protected, and its memberships with it: they are not changed through SCIM",
                    membership.type_.name
                ))
                .into())
            }
        }
    }

    /// How histories name these members, by the text of what the link's child column holds.
    pub(super) fn child_labels(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        children: &[Value],
        environment: &Environment<'_>,
    ) -> Result<HashMap<String, String>, Fault> {
        let target = membership.target;
        let mut labels = HashMap::new();
        let Some(there) = target.columns.get(membership.link.child.1) else {
            return Ok(labels);
        };
        for chunk in children.chunks(CHUNK) {
            let mut columns: Vec<Expr> = target.columns.iter().map(|column| Expr::column(MAIN, &column.name)).collect();
            columns.push(Expr::column(MAIN, &there.name));
            let list = chunk.iter().map(|child| Expr::Value(child.clone(), there.cast.clone())).collect();
            let select = Select::new(target.table.clone(), MAIN, columns)
                .filter(Predicate::In(Expr::column(MAIN, &there.name), list));
            for mut row in connection.query(&Statement::Select(select), &[])? {
                let key = row.0.pop().and_then(|key| key.to_text());
                let environment =
                    Environment { row: Some((target, &row.0)), id: row.0.first(), label: None, ..*environment };
                let label = target.label.iter().find_map(|template| environment.template(template));
                labels.extend(key.zip(label));
            }
        }
        Ok(labels)
    }

    /// What [`Link::each`] of these members' rows is, by the text of the child column; nothing is read where it is empty.
    pub(super) fn link_rows(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        children: &[Value],
    ) -> Result<HashMap<String, Vec<Value>>, Fault> {
        let link = membership.link;
        let mut found = HashMap::new();
        if link.each.is_empty() {
            return Ok(found);
        }
        for chunk in children.chunks(CHUNK) {
            let mut columns: Vec<Expr> = link.each.iter().map(|column| Expr::column(MAIN, &column.name)).collect();
            columns.push(Expr::column(MAIN, &link.child.0.name));
            let select = Select::new(link.table.clone(), MAIN, columns).filter(membership.rows(chunk, Some(MAIN)));
            for mut row in connection.query(&Statement::Select(select), &[])? {
                if let Some(key) = row.0.pop().and_then(|key| key.to_text()) {
                    found.insert(key, row.0);
                }
            }
        }
        Ok(found)
    }

    /// Which of these ids are visible members whose link rows may be removed: one statement for them all.
    pub(super) fn removable(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        ids: &IndexSet<String>,
        environment: &Environment<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let (link, target) = (membership.link, membership.target);
        let keys: Vec<Value> = ids.iter().filter_map(|id| super::key_of(target, id)).collect();
        let mut found = Vec::new();
        let Some(there) = target.columns.get(link.child.1) else {
            return Ok(found);
        };
        let cast = target.columns.first().and_then(|column| column.cast.clone());
        let kind = plan::own_kind(membership.type_, target);
        for chunk in keys.chunks(CHUNK) {
            let mut aliases = Aliases::from(2);
            let (near, other) = (Alias(0), Alias(1));
            let child = Expr::column(near, &link.child.0.name);
            let mut select = Select::new(link.table.clone(), near, vec![child.clone(), plan::key(target, other)]);
            select.joins.push(Join {
                kind: JoinKind::Inner,
                table: target.table.clone(),
                alias: other,
                on: Predicate::eq(Expr::column(other, &there.name), child),
            });
            let list = chunk.iter().map(|key| Expr::Value(key.clone(), cast.clone())).collect();
            let mut filter = Predicate::eq(
                Expr::column(near, &link.parent.0.name),
                Expr::Value(membership.parent.clone(), link.parent.0.cast.clone()),
            )
            .and(Predicate::In(plan::key(target, other), list))
            .and(environment.predicate(&link.filter, Some(near), &mut aliases))
            .and(plan::visible(target, &kind, &self.own, other, environment, &mut aliases));
            if let Some(leave) = &link.leave {
                filter = filter.and(environment.predicate(leave, Some(near), &mut aliases).negate());
            }
            for row in connection.query(&Statement::Select(select.filter(filter)), &[])? {
                if let [child, key] = row.0.as_slice()
                    && ids.contains(rows::scim_id(target, key).as_str())
                {
                    found.push(child.clone());
                }
            }
        }
        Ok(found.into_iter().collect::<Children>().values)
    }

    /// Removed rows that stayed are memberships again; the members that have no such row.
    pub(super) fn bring_back_members(
        &self,
        connection: &mut dyn Connection,
        membership: &Membership<'_>,
        children: &[Value],
        environment: &Environment<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let link = membership.link;
        let mut new = Vec::new();
        for chunk in children.chunks(CHUNK) {
            let mut select = Select::new(link.table.clone(), MAIN, vec![Expr::column(MAIN, &link.child.0.name)]);
            membership.as_members_have_it(&mut select, MAIN, Alias(1), false);
            let select = select.filter(membership.rows(chunk, Some(MAIN)));
            let rows = connection.query(&Statement::Select(select), &[])?;
            let there: Children = rows.into_iter().filter_map(|row| row.0.into_iter().next()).collect();
            if !there.values.is_empty() {
                let mut aliases = Aliases::from(1);
                let set = link.set.iter().map(|(column, expression)| {
                    (column.name.clone(), environment.expr(expression, Some(column), &mut aliases))
                });
                let set = set.collect();
                let filter = membership.rows(&there.values, None);
                connection.execute(&Statement::Update(Update { table: link.table.clone(), set, filter }), &[])?;
            }
            new.extend(chunk.iter().filter(|child| !there.contains(child)).cloned());
        }
        Ok(new)
    }
}

/// Whether a row of the members' table is protected or the acting user; `None` where nothing is.
fn untouchable(
    membership: &Membership<'_>,
    table: Alias,
    writing: &Writing<'_>,
    aliases: &mut Aliases,
) -> Option<Predicate> {
    let (source, environment) = (membership.target, &writing.environment);
    let protected = source.protected.as_ref();
    let protected = protected.map(|condition| environment.predicate(condition, Some(table), aliases));
    let acting = environment.actor.filter(|_| membership.type_.name == "User").map(|(id, _)| {
        let cast = source.columns.first().and_then(|column| column.cast.clone());
        Predicate::eq(plan::key(source, table), Expr::Value(id.clone(), cast))
    });
    match (protected, acting) {
        (None, None) => None,
        (protected, acting) => Some(Predicate::Or(protected.into_iter().chain(acting).collect())),
    }
}

impl Membership<'_> {
    /// How rows are held that become members: legacy link tables have no foreign keys, and a member that is deleted at the
    /// same moment would leave its link row behind. `None` where the database user may not lock them, because the adapter
    /// writes none of them.
    fn lock(&self) -> Option<Lock> {
        let writes = |step: &Step| step.table == self.target.table && matches!(step.action, Action::Update(..));
        // Who holds a row with others cannot write it while they do.
        let lock = if self.link.added.iter().any(writes) { Lock::Update } else { Lock::Stay };
        self.target.is_updated().then_some(lock)
    }

    /// Joins the members to a select of the link's child column, where their rows are asked for, and where a link row may
    /// hold it otherwise than the member's row: then it is selected as that has it. Whether they are joined.
    fn as_members_have_it(&self, select: &mut Select, near: Alias, other: Alias, wanted: bool) -> bool {
        let (child, _) = &self.link.child;
        let Some(there) = self.target.columns.get(self.link.child.1).filter(|_| wanted || child.ignores_case) else {
            return false;
        };
        let there = Expr::column(other, &there.name);
        select.joins.push(Join {
            kind: JoinKind::Inner,
            table: self.target.table.clone(),
            alias: other,
            on: Predicate::eq(there.clone(), Expr::column(near, &child.name)),
        });
        if child.ignores_case {
            select.columns = vec![there];
        }
        true
    }

    /// The link rows of these members, whether they count or not.
    fn rows(&self, children: &[Value], table: Option<Alias>) -> Predicate {
        let (parent, child) = (&self.link.parent.0, &self.link.child.0);
        let column = |name: &crate::sql::Ident| Expr::Column(table, name.clone());
        let list = children.iter().map(|key| Expr::Value(key.clone(), child.cast.clone())).collect();
        Predicate::eq(column(&parent.name), Expr::Value(self.parent.clone(), parent.cast.clone()))
            .and(Predicate::In(column(&child.name), list))
    }
}

/// What a link's child column holds, without doubles, in order. Looked up by text: a legacy link column
/// need not be of the very type of the key it holds.
#[derive(Default)]
pub(super) struct Children {
    pub values: Vec<Value>,
    known: HashSet<String>,
}

impl Children {
    pub fn contains(&self, value: &Value) -> bool {
        value.to_text().is_some_and(|text| self.known.contains(&text))
    }

    /// Those of `self` that are not in `other`.
    pub fn without(self, other: &Children) -> Vec<Value> {
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
