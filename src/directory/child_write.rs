//! Child rows written: what `child_change.rs` found, in an order that unique indexes allow (rows go, then change, then
//! come), with the steps beside each.

use super::change::Writing;
use super::child_change::{NewRow, RowChange, RowUpdate, written_by};
use super::child_rows::{self, ChildRow};
use super::plan::MAIN;
use super::transaction::Fault;
use super::unique::fold;
use super::{Directory, Place, rows};
use crate::adapter::{
    Aliases, Binding, ColumnId, Each, Environment, Expression, RowField, Rows, Step, Transition, Unique,
};
use crate::scim::Error;
use crate::sql::{Alias, Connection, Delete, Expr, Insert, OnConflict, Predicate, Select, Statement, Update, Value};
use serde_json::Value as Json;

impl Directory {
    /// Writes what [`Directory::row_changes`] found.
    pub(super) fn write_rows(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        changes: &[RowChange<'_>],
    ) -> Result<(), Fault> {
        let environment = &writing.environment;
        for change in changes {
            for row in &change.remove {
                self.remove_row(connection, change.rows, row, environment)?;
            }
            for update in &change.update {
                self.change_row(connection, change.rows, update, environment)?;
            }
            for new in &change.insert {
                self.add_row(connection, change, new, environment)?;
            }
        }
        Ok(())
    }

    fn remove_row(
        &self,
        connection: &mut dyn Connection,
        rows: &Rows,
        row: &ChildRow,
        environment: &Environment<'_>,
    ) -> Result<(), Fault> {
        let filter = by_keys(rows, &row.row, None);
        let table = rows.child.table.clone();
        let statement = if rows.remove_sets.is_empty() {
            Statement::Delete(Delete { table, filter })
        } else {
            let mut aliases = Aliases::from(1);
            Statement::Update(Update {
                table,
                set: assigned(rows, &rows.remove_sets, environment, &mut aliases),
                filter,
            })
        };
        connection.execute(&statement, &[])?;
        let values = (Some(row.values.as_slice()), row.values.as_slice());
        self.row_steps(connection, rows, &rows.removed, (Some(&row.row), &row.row), values, environment)
    }

    fn change_row(
        &self,
        connection: &mut dyn Connection,
        rows: &Rows,
        update: &RowUpdate,
        environment: &Environment<'_>,
    ) -> Result<(), Fault> {
        let mut after = update.old.row.clone();
        let mut set = Vec::new();
        for (id, value) in &update.set {
            let (Some(column), Some(stored)) = (rows.child.columns.get(*id), after.get_mut(*id)) else {
                continue;
            };
            *stored = value.clone();
            set.push((column.name.clone(), Expr::Value(value.clone(), column.cast.clone())));
        }
        let filter = by_keys(rows, &update.old.row, None);
        let statement = Statement::Update(Update { table: rows.child.table.clone(), set, filter });
        connection.execute(&statement, &[])?;
        let values = (Some(update.old.values.as_slice()), update.values.as_slice());
        self.row_steps(connection, rows, &rows.changed, (Some(&update.old.row), &after), values, environment)
    }

    fn add_row(
        &self,
        connection: &mut dyn Connection,
        change: &RowChange<'_>,
        new: &NewRow,
        environment: &Environment<'_>,
    ) -> Result<(), Fault> {
        let rows = change.rows;
        let columns = &rows.child.columns;
        let mut aliases = Aliases::from(1);
        let mut row = vec![Value::Null; columns.len()];
        let mut filled = vec![false; columns.len()];
        let mut set = Vec::new();
        let given = [(rows.parent.0, change.parent.clone())].into_iter().chain(new.set.iter().cloned());
        let given =
            given.map(|(id, value)| (id, Expr::Value(value, columns.get(id).and_then(|column| column.cast.clone()))));
        let ruled: Vec<(ColumnId, Expr)> = rows
            .set
            .iter()
            .map(|(id, expression)| (*id, environment.expr(expression, columns.get(*id), &mut aliases)))
            .collect();
        for (id, expr) in given.chain(ruled) {
            let (Some(column), Some(filled), Some(place)) = (columns.get(id), filled.get_mut(id), row.get_mut(id))
            else {
                continue;
            };
            if std::mem::replace(filled, true) {
                continue;
            }
            if let Expr::Value(value, _) = &expr {
                *place = value.clone();
            }
            set.push((column.name.clone(), expr));
        }
        let back = match rows.value_is_unique && !rows.remove_sets.is_empty() {
            true => self.bring_back(connection, rows, &row, &set)?,
            false => false,
        };
        if !back {
            let Some(key) = columns.first() else {
                return Err(Error::internal("a child table without a key").into());
            };
            let (names, values) = set.into_iter().unzip();
            let insert = Insert {
                table: rows.child.table.clone(),
                columns: names,
                rows: vec![values],
                on_conflict: OnConflict::Fail,
            };
            let key = connection.insert(&insert, &key.name)?;
            if let (Some(first), Some(filled)) = (row.first_mut(), filled.first_mut()) {
                *first = key;
                *filled = true;
            }
        }
        if rows.added.is_empty() {
            return Ok(());
        }
        // What the database filled in itself is known only to the database.
        if back || filled.iter().any(|filled| !filled) {
            let of = if back { of_value(rows, &row, Some(MAIN)) } else { by_keys(rows, &row, Some(MAIN)) };
            let list = columns.iter().map(|column| Expr::column(MAIN, &column.name)).collect();
            let select = Select::new(rows.child.table.clone(), MAIN, list).filter(of);
            if let Some(there) = connection.query(&Statement::Select(select), &[])?.into_iter().next() {
                row = there.0;
            }
        }
        self.row_steps(connection, rows, &rows.added, (None, &row), (None, &new.values), environment)
    }

    /// A removed row of the same value that stayed is the row again; whether there was one.
    fn bring_back(
        &self,
        connection: &mut dyn Connection,
        rows: &Rows,
        row: &[Value],
        set: &[(crate::sql::Ident, Expr)],
    ) -> Result<bool, Fault> {
        let filter = of_value(rows, row, None);
        let update = Update { table: rows.child.table.clone(), set: set.to_vec(), filter };
        Ok(connection.execute(&Statement::Update(update), &[])? > 0)
    }

    fn row_steps(
        &self,
        connection: &mut dyn Connection,
        rows: &Rows,
        steps: &[Step],
        (before, after): (Option<&[Value]>, &[Value]),
        (values_before, values): (Option<&[Option<Json>]>, &[Option<Json>]),
        environment: &Environment<'_>,
    ) -> Result<(), Fault> {
        if steps.is_empty() {
            return Ok(());
        }
        let named = rows.child.columns.iter().zip(after);
        let text = |values: &[Option<Json>]| {
            let value = |field: &&RowField| field.sub.as_deref().is_none_or(|sub| sub == "value");
            let field = rows.fields.iter().find(value)?;
            child_rows::field_value(field, values).map(|value| match value {
                Json::String(text) => Value::Text(text),
                other => Value::Text(other.to_string()),
            })
        };
        let mut columns = Vec::with_capacity(after.len());
        for (id, (column, value)) in named.enumerate() {
            let told = self.told(connection, &rows.child, id, value.clone(), environment)?;
            let label = (told != *value).then(|| told.to_text()).flatten();
            columns.push((column.name.clone(), value.clone(), label));
        }
        let each = Each {
            columns,
            old: values_before.and_then(text).unwrap_or_default(),
            new: text(values).unwrap_or_default(),
            code: Value::Null,
        };
        let transition = Transition {
            source: &rows.child,
            before,
            after,
            attributes_before: values_before,
            attributes_after: values,
            counts_as: None,
        };
        let environment = Environment { each: Some(&each), ..*environment };
        self.run_steps(connection, steps, &environment, Some(&transition))
    }

    /// Claims the unique values among what is to be written, and refuses where another resource has one.
    pub(super) fn rows_unique(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        place: Place<'_>,
        change: &RowChange<'_>,
    ) -> Result<(), Fault> {
        let rows = change.rows;
        for attribute in rows.child.attributes.iter().filter(|attribute| attribute.unique != Unique::No) {
            let Binding::Column(binding) = &attribute.binding else {
                continue;
            };
            let updated = change.update.iter().map(|update| (&update.set, Some(update.old.row.as_slice())));
            let inserted = change.insert.iter().map(|new| (&new.set, None));
            let mut values: Vec<(Value, Vec<(ColumnId, Value)>)> = Vec::new();
            for (set, old) in updated.chain(inserted) {
                let held = |id: ColumnId| -> Option<Value> {
                    let given = set.iter().find(|(column, _)| *column == id).map(|(_, value)| value.clone());
                    given.or_else(|| old?.get(id).cloned()).or_else(|| {
                        let (_, ruled) = rows.set.iter().find(|(column, _)| *column == id)?;
                        writing.environment.value(ruled, rows.child.columns.get(id))
                    })
                };
                let within: &[ColumnId] = match &attribute.unique {
                    Unique::Within(columns) => columns,
                    _ => &[],
                };
                let concerned = |id: &ColumnId| set.iter().any(|(column, _)| column == id);
                if !concerned(&binding.column) && !within.iter().any(concerned) {
                    continue;
                }
                let Some(value) = held(binding.column).filter(|value| !value.is_null()) else { continue };
                let beside = within.iter().map(|id| (*id, held(*id).unwrap_or_default()));
                values.push((value, beside.collect()));
            }
            let path = rows::path(attribute);
            let claims = values.iter().map(|(value, _)| (place.type_.name.clone(), format!("{path}={}", fold(value))));
            let claims = claims.collect();
            self.claim(connection, &mut writing.claims, claims)?;
            let child = Place { source: &rows.child, ..place };
            for (value, within) in &values {
                let Some(equal) = self.equal(&child, attribute, binding, value) else {
                    continue;
                };
                let mut others = self.of_others(rows, place, change, &attribute.unique, &writing.environment);
                for (id, value) in within {
                    let Some(column) = rows.child.columns.get(*id) else { continue };
                    let here = Expr::column(MAIN, &column.name);
                    others = others.and(match value {
                        Value::Null => Predicate::IsNull(here),
                        value => Predicate::eq(here, Expr::Value(value.clone(), column.cast.clone())),
                    });
                }
                let mut select =
                    Select::new(rows.child.table.clone(), MAIN, vec![Expr::Number(1)]).filter(equal.and(others));
                select.limit = Some(1);
                if !connection.query(&Statement::Select(select), &[])?.is_empty() {
                    return Err(Error::uniqueness(&path).into());
                }
            }
        }
        Ok(())
    }

    /// The rows of other resources, as far as uniqueness looks.
    fn of_others(
        &self,
        rows: &Rows,
        place: Place<'_>,
        change: &RowChange<'_>,
        unique: &Unique,
        environment: &Environment<'_>,
    ) -> Predicate {
        let mut aliases = Aliases::from(2);
        let parent = Alias(1);
        let (Some(link), Some(there)) =
            (rows.child.columns.get(rows.parent.0), place.source.columns.get(rows.parent.1))
        else {
            return Predicate::False;
        };
        let own = Predicate::eq(Expr::column(MAIN, &link.name), Expr::Value(change.parent.clone(), link.cast.clone()));
        if *unique == Unique::All {
            return own.negate();
        }
        let counts = environment.predicate(&rows.child.filter, Some(MAIN), &mut aliases);
        let exists = environment.predicate(&place.source.filter, Some(parent), &mut aliases);
        let select = Select::new(place.source.table.clone(), parent, vec![Expr::Number(1)])
            .filter(Predicate::eq(Expr::column(parent, &there.name), Expr::column(MAIN, &link.name)).and(exists));
        own.negate().and(counts).and(Predicate::Exists(Box::new(select)))
    }

    /// Removes the child rows of a resource whose row is about to go.
    pub(super) fn remove_children(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        row: &[Value],
    ) -> Result<(), Fault> {
        for plan in &writing.place.plan.children {
            let Some(rows) = child_rows::rows_of(&writing.place, plan.attribute) else {
                continue;
            };
            let (Some(column), Some(parent)) = (rows.child.columns.get(rows.parent.0), row.get(rows.parent.1)) else {
                continue;
            };
            // Also those that were removed and stayed.
            let removal = rows.remove_sets.iter().filter_map(|(id, _)| rows.child.columns.get(*id));
            let removal: Vec<_> = removal.map(|column| &column.name).collect();
            let counts = rows.child.filter.without(&removal);
            let filter = Predicate::eq(Expr::bare(&column.name), Expr::Value(parent.clone(), column.cast.clone()))
                .and(writing.environment.predicate(&counts, None, &mut Aliases::from(1)));
            let delete = Delete { table: rows.child.table.clone(), filter };
            connection.execute(&Statement::Delete(delete), &[])?;
        }
        Ok(())
    }
}

fn assigned(
    rows: &Rows,
    set: &[(ColumnId, Expression)],
    environment: &Environment<'_>,
    aliases: &mut Aliases,
) -> Vec<(crate::sql::Ident, Expr)> {
    let column = |id: &ColumnId| rows.child.columns.get(*id);
    let of = |(id, expression): &(ColumnId, Expression)| {
        column(id).map(|column| (column.name.clone(), environment.expr(expression, Some(column), &mut *aliases)))
    };
    set.iter().filter_map(of).collect()
}

/// The row with this key; without an alias in updates and deletes.
fn by_keys(rows: &Rows, row: &[Value], table: Option<Alias>) -> Predicate {
    equal(rows, row, table, rows.keys.iter().copied())
}

/// The rows of this parent and value, whether they count or not.
fn of_value(rows: &Rows, row: &[Value], table: Option<Alias>) -> Predicate {
    let identity = rows.identity.iter().filter_map(|index| written_by(rows, *index));
    equal(rows, row, table, std::iter::once(rows.parent.0).chain(identity))
}

fn equal(rows: &Rows, row: &[Value], table: Option<Alias>, columns: impl Iterator<Item = ColumnId>) -> Predicate {
    columns.fold(Predicate::True, |all, id| match (rows.child.columns.get(id), row.get(id)) {
        (Some(column), Some(value)) => {
            let left = Expr::Column(table, column.name.clone());
            all.and(Predicate::eq(left, Expr::Value(value.clone(), column.cast.clone())))
        }
        _ => Predicate::False,
    })
}
