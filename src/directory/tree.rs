//! Rows that stand below one another: their paths, levels and caches after a create, a rename, a move, a delete; and the
//! levels that a lookup makes.
//!
//! Each level costs one statement to read and, where it changes, one to write. Rows above are locked from below upwards
//! before anything is written, so that two moves cannot make a circle: one of them waits, and sees the other. Paths are
//! made of names, not of other paths: what an outsider's INSERT left wrong comes right.

use super::lookup::Looking;
use super::membership::CHUNK;
use super::transaction::Fault;
use super::{Directory, Place};
use crate::adapter::{Column, Lookup, Tree, equivalent};
use crate::scim::Error;
use crate::sql::{Alias, ColumnKind, Connection, Expr, Lock, Predicate, Select, Statement, Update, Value};
use serde_json::Value as Json;
use std::collections::{HashMap, HashSet};

/// So many levels a tree has at most: more is a circle in the application's data.
const MOST_LEVELS: usize = 256;
const ROW: Alias = Alias(0);

/// Where a row stands.
pub(super) struct Position {
    /// The names from the top down to the row above.
    names: Vec<String>,
    /// Those above, the nearest first.
    above: Vec<Value>,
}

/// A row's new place in its tree.
pub(super) struct Planted {
    /// Columns to write in the row itself.
    pub columns: Vec<(usize, Value)>,
    /// What follows for other rows; none where only this row is concerned.
    names: Vec<String>,
    stale: Vec<Value>,
    moved: bool,
}

impl Directory {
    /// The columns of a new row, `row` holding those that are known; the rows above are locked.
    pub(super) fn plant(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        row: &[Value],
    ) -> Result<Option<Planted>, Fault> {
        let Some(tree) = &place.source.tree else { return Ok(None) };
        let position = self.position(connection, tree, &at(place, row, &tree.parent), None)?;
        let mut planted = planted(place, tree, row, position)?;
        if !planted.stale.is_empty() {
            // What was to stand there is for a row at the top.
            planted.columns.extend(tree.clear.iter().filter_map(|column| Some((id(place, column)?, Value::Null))));
        }
        Ok(Some(planted))
    }

    /// The same for a row whose name or parent changes; nothing where neither does.
    pub(super) fn replant(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        before: &[Value],
        after: &[Value],
    ) -> Result<Option<Planted>, Fault> {
        let Some(tree) = &place.source.tree else { return Ok(None) };
        let differs = |column: &Column| !equivalent(&at(place, before, column), &at(place, after, column));
        let (renamed, moved) = (differs(&tree.name), differs(&tree.parent));
        if !renamed && !moved {
            return Ok(None);
        }
        let parent = at(place, after, &tree.parent);
        let position = self.position(connection, tree, &parent, after.first().filter(|_| moved))?;
        let mut planted = planted(place, tree, after, position)?;
        planted.moved = moved;
        if moved {
            match self.position(connection, tree, &at(place, before, &tree.parent), None) {
                Ok(old) => planted.stale.extend(old.above),
                // Out of a circle is where it may go.
                Err(Fault::Scim(_)) => {}
                Err(fault) => return Err(fault),
            }
            planted.columns.extend(tree.clear.iter().filter_map(|column| Some((id(place, column)?, Value::Null))));
        } else {
            planted.stale.clear();
        }
        Ok(Some(planted))
    }

    /// After the row itself was written: caches above it, and everything below.
    pub(super) fn replanted(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        key: &Value,
        planted: &Planted,
        is_new: bool,
    ) -> Result<(), Fault> {
        let Some(tree) = &place.source.tree else { return Ok(()) };
        self.clear(connection, tree, &planted.stale)?;
        if is_new {
            return Ok(());
        }
        let children = self.children_of(connection, tree, std::slice::from_ref(key))?;
        self.below(connection, tree, children, (key, &planted.names), planted.moved)
    }

    /// Before a row goes: what stands below it moves up to where it stood.
    pub(super) fn lift(&self, connection: &mut dyn Connection, place: &Place<'_>, row: &[Value]) -> Result<(), Fault> {
        let (Some(tree), Some(key)) = (&place.source.tree, row.first()) else { return Ok(()) };
        let parent = at(place, row, &tree.parent);
        let position = self.position(connection, tree, &parent, None)?;
        self.clear(connection, tree, &position.above)?;
        let mut children = self.children_of(connection, tree, std::slice::from_ref(key))?;
        if children.is_empty() {
            return Ok(());
        }
        let update = Update {
            table: tree.table.clone(),
            set: vec![(tree.parent.name.clone(), bound(&parent, &tree.parent))],
            filter: Predicate::eq(Expr::bare(&tree.parent.name), bound(key, &tree.parent)),
        };
        connection.execute(&Statement::Update(update), &[])?;
        for child in &mut children {
            child.parent = parent.clone();
        }
        self.below(connection, tree, children, (&parent, &position.names), true)
    }

    /// The rows above a parent, itself included: locked, and never the row itself.
    fn position(
        &self,
        connection: &mut dyn Connection,
        tree: &Tree,
        parent: &Value,
        own: Option<&Value>,
    ) -> Result<Position, Fault> {
        let mut above: Vec<Value> = Vec::new();
        let mut names = Vec::new();
        let mut next = parent.clone();
        while !tree.is_top(&next) {
            if own.is_some_and(|own| equivalent(own, &next)) {
                return Err(Error::invalid_value("it cannot stand below itself, or below what stands below it").into());
            }
            if above.len() >= MOST_LEVELS || above.iter().any(|known| equivalent(known, &next)) {
                return Err(Error::conflict(format!(
                    "the rows of {} stand in a circle: the application's data is to be put right first",
                    tree.table
                ))
                .into());
            }
            let mut select = Select::new(tree.table.clone(), ROW, columns(tree));
            select.filter = Predicate::eq(Expr::column(ROW, &tree.key.name), bound(&next, &tree.key));
            select.lock = Some(Lock::Update);
            let Some(row) = connection.query(&Statement::Select(select), &[])?.into_iter().next() else {
                if above.is_empty() {
                    let shown = next.to_text().unwrap_or_default();
                    return Err(
                        Error::invalid_value(format!("there is nothing with the id {shown} to stand below")).into()
                    );
                }
                break;
            };
            let node = Node::of(row.0);
            above.push(node.key);
            names.push(node.name);
            next = node.parent;
        }
        names.reverse();
        Ok(Position { names, above })
    }

    fn children_of(&self, connection: &mut dyn Connection, tree: &Tree, of: &[Value]) -> Result<Vec<Node>, Fault> {
        let mut found = Vec::new();
        for chunk in of.chunks(CHUNK) {
            let list = chunk.iter().map(|key| bound(key, &tree.parent)).collect();
            let mut select = Select::new(tree.table.clone(), ROW, columns(tree));
            select.filter = Predicate::In(Expr::column(ROW, &tree.parent.name), list);
            select.lock = Some(Lock::Update);
            found.extend(connection.query(&Statement::Select(select), &[])?.into_iter().map(|row| Node::of(row.0)));
        }
        // The row 0 at the top of a tree may hold 0 as its own parent.
        found.retain(|node| !equivalent(&node.key, &node.parent));
        Ok(found)
    }

    /// Rewrites what stands below `top`, level by level; rows that are right already are left, unless they moved.
    fn below(
        &self,
        connection: &mut dyn Connection,
        tree: &Tree,
        mut level: Vec<Node>,
        top: (&Value, &[String]),
        moved: bool,
    ) -> Result<(), Fault> {
        let mut names = HashMap::from([(top.0.to_text().unwrap_or_default(), top.1.to_vec())]);
        let mut seen: HashSet<String> = names.keys().cloned().collect();
        let mut depth = top.1.len();
        while !level.is_empty() {
            depth += 1;
            level.retain(|node| seen.insert(node.key.to_text().unwrap_or_default()));
            let mut next_names = HashMap::new();
            let mut changed = Vec::new();
            for node in &level {
                let mut own = names.get(&node.parent.to_text().unwrap_or_default()).cloned().unwrap_or_default();
                own.push(node.name.clone());
                let path = tree.join(&own);
                let is_deep = tree.level.is_none() || node.level.as_int() == i64::try_from(depth).ok();
                if moved || node.path != path || !is_deep {
                    fits(tree, &path)?;
                    changed.push((node.key.clone(), path));
                }
                next_names.insert(node.key.to_text().unwrap_or_default(), own);
            }
            for chunk in changed.chunks(CHUNK) {
                // The last one again up to a power of two, as in lists: few texts of this statement are ever prepared.
                let padded = chunk.iter().chain(chunk.last().into_iter().cycle()).take(chunk.len().next_power_of_two());
                let choices = padded.map(|(key, path)| {
                    let is_it = Predicate::eq(Expr::bare(&tree.key.name), bound(key, &tree.key));
                    (is_it, bound(&path.as_str().into(), &tree.path))
                });
                let path = Expr::Case(choices.collect());
                let mut set = vec![(tree.path.name.clone(), path)];
                if let Some(column) = &tree.level {
                    set.push((column.name.clone(), bound(&level_of(depth), column)));
                }
                if moved {
                    set.extend(cleared(tree));
                }
                let list = chunk.iter().map(|(key, _)| bound(key, &tree.key)).collect();
                let filter = Predicate::In(Expr::bare(&tree.key.name), list);
                connection.execute(&Statement::Update(Update { table: tree.table.clone(), set, filter }), &[])?;
            }
            let keys: Vec<Value> = level.into_iter().map(|node| node.key).collect();
            level = self.children_of(connection, tree, &keys)?;
            names = next_names;
        }
        Ok(())
    }

    fn clear(&self, connection: &mut dyn Connection, tree: &Tree, keys: &[Value]) -> Result<(), Fault> {
        if tree.clear.is_empty() || keys.is_empty() {
            return Ok(());
        }
        let list = keys.iter().map(|key| bound(key, &tree.key)).collect();
        let filter = Predicate::In(Expr::bare(&tree.key.name), list);
        let update = Update { table: tree.table.clone(), set: cleared(tree), filter };
        connection.execute(&Statement::Update(update), &[])?;
        Ok(())
    }

    /// The key of the last of the levels that a path names, those that are missing made.
    pub(super) fn levels(
        &self,
        connection: &mut dyn Connection,
        looking: &mut Looking<'_>,
        lookup: &Lookup,
        tree: &Tree,
        path: &str,
    ) -> Result<Value, Fault> {
        let name = looking.name;
        let mut parent = tree.none.clone();
        let mut stored_names: Vec<String> = Vec::new();
        for level in path.split(tree.separator.as_str()) {
            let text = tree
                .naming()
                .write(&Json::from(level), &tree.name, self.adapter.time_zone)
                .map_err(|refusal| Error::invalid_value(format!("{name}: the level {level:?} {refusal}")))?;
            let text = text.to_text().unwrap_or_default();
            if text.is_empty() {
                return Err(Error::invalid_value(format!("{name}: {path:?} has a level without a name")).into());
            }
            stored_names.push(text.clone());
            let stored = tree.join(&stored_names);
            fits(tree, &stored)?;
            let stored = Value::Text(stored);
            if let Some(key) = self.found_or_claimed(connection, looking, lookup, &stored)? {
                parent = key;
                continue;
            }
            let mut columns = vec![(tree.name.clone(), Value::Text(text)), (tree.parent.clone(), parent.clone())];
            if let Some(column) = &tree.level {
                columns.push((column.clone(), level_of(stored_names.len())));
            }
            let above = self.position(connection, tree, &parent, None)?.above;
            let key = self.make(connection, looking.environment, lookup, stored, &columns)?;
            self.clear(connection, tree, &above)?;
            parent = key;
        }
        Ok(parent)
    }
}

/// A row as the tree sees it.
struct Node {
    key: Value,
    parent: Value,
    name: String,
    path: String,
    level: Value,
}

impl Node {
    /// From [`columns`].
    fn of(row: Vec<Value>) -> Self {
        let mut row = row.into_iter();
        let mut next = || row.next().unwrap_or_default();
        let (key, parent, name, path, level) = (next(), next(), next(), next(), next());
        let text = |value: Value| value.to_text().unwrap_or_default();
        Self { key, parent, name: text(name), path: text(path), level }
    }
}

fn columns(tree: &Tree) -> Vec<Expr> {
    let columns = [&tree.key, &tree.parent, &tree.name, &tree.path].into_iter().chain(&tree.level);
    columns.map(|column| Expr::column(ROW, &column.name)).collect()
}

fn bound(value: &Value, column: &Column) -> Expr {
    Expr::Value(value.clone(), column.cast.clone())
}

fn cleared(tree: &Tree) -> Vec<(crate::sql::Ident, Expr)> {
    tree.clear.iter().map(|column| (column.name.clone(), bound(&Value::Null, column))).collect()
}

fn level_of(depth: usize) -> Value {
    Value::Int(i64::try_from(depth).unwrap_or(i64::MAX))
}

fn id(place: &Place<'_>, column: &Column) -> Option<usize> {
    place.source.columns.iter().position(|known| known.name == column.name)
}

fn at(place: &Place<'_>, row: &[Value], column: &Column) -> Value {
    id(place, column).and_then(|id| row.get(id)).cloned().unwrap_or_default()
}

fn planted(place: &Place<'_>, tree: &Tree, row: &[Value], position: Position) -> Result<Planted, Error> {
    let Position { mut names, above } = position;
    names.push(at(place, row, &tree.name).to_text().unwrap_or_default());
    let path = tree.join(&names);
    fits(tree, &path)?;
    let mut columns = Vec::new();
    columns.extend(id(place, &tree.path).map(|id| (id, Value::Text(path))));
    if let Some(level) = &tree.level {
        columns.extend(id(place, level).map(|id| (id, level_of(names.len()))));
    }
    Ok(Planted { columns, names, stale: above, moved: false })
}

/// 400 where a path is longer than its column.
fn fits(tree: &Tree, path: &str) -> Result<(), Error> {
    match tree.path.kind {
        ColumnKind::Text(Some(most)) if u64::try_from(path.chars().count()).unwrap_or(u64::MAX) > most => {
            Err(Error::invalid_value(format!(
                "the path {path:?} would be longer than the {most} characters there are for it"
            )))
        }
        _ => Ok(()),
    }
}
