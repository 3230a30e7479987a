//! Foreign keys addressed by a natural key: found, brought back, or made, in the same transaction.

use super::transaction::Fault;
use super::unique::{self, Claims};
use super::{Directory, plan};
use crate::adapter::{Aliases, Column, Environment, Lookup, Missing};
use crate::scim::Error;
use crate::sql::{Connection, Expr, Insert, OnConflict, Order, Predicate, Select, Statement, Update, Value};
use serde_json::Value as Json;

/// What looking up one value takes along.
pub(super) struct Looking<'l> {
    pub claims: &'l mut Claims,
    pub environment: &'l Environment<'l>,
    /// The attribute's path, for messages.
    pub name: &'l str,
}

impl Directory {
    /// The key of the row that `value` names.
    pub(super) fn look_up(
        &self,
        connection: &mut dyn Connection,
        claims: &mut Claims,
        environment: &Environment<'_>,
        lookup: &Lookup,
        value: &Json,
        name: &str,
    ) -> Result<Value, Fault> {
        let stored = lookup
            .conversion
            .write(value, &lookup.matched, self.adapter.time_zone)
            .map_err(|refusal| Error::invalid_value(format!("{name} {refusal}")))?;
        if stored.is_null() {
            return Ok(lookup.none.clone());
        }
        if let Some(key) = self.matching(connection, environment, lookup, &stored, name)? {
            return Ok(key);
        }
        match lookup.missing {
            Missing::Clear => Ok(lookup.none.clone()),
            Missing::Reject => {
                let shown = lookup.shown(&stored);
                Err(Error::invalid_value(format!("{name}: the application has no {shown:?}, and none may be made"))
                    .into())
            }
            Missing::Create => {
                let mut looking = Looking { claims, environment, name };
                if let Some(tree) = &lookup.tree {
                    let path = lookup.shown(&stored);
                    return self.levels(connection, &mut looking, lookup, tree, &path);
                }
                match self.found_or_claimed(connection, &mut looking, lookup, &stored)? {
                    Some(key) => Ok(key),
                    None => self.make(connection, environment, lookup, stored, &[]),
                }
            }
        }
    }

    /// The row that is there, or was brought back; `None` where it is ours to make, and nobody else does.
    pub(super) fn found_or_claimed(
        &self,
        connection: &mut dyn Connection,
        looking: &mut Looking<'_>,
        lookup: &Lookup,
        stored: &Value,
    ) -> Result<Option<Value>, Fault> {
        let (environment, name) = (looking.environment, looking.name);
        if let Some(key) = self.matching(connection, environment, lookup, stored, name)? {
            return Ok(Some(key));
        }
        let folded = unique::fold(&lookup.shown(stored).into());
        let value = format!("{}.{}={folded}", lookup.table, lookup.matched.name);
        self.claim(connection, looking.claims, vec![("lookup".to_owned(), value)])?;
        // Somebody else may have made it while we waited.
        if let Some(key) = self.matching(connection, environment, lookup, stored, name)? {
            return Ok(Some(key));
        }
        self.revive_lookup(connection, environment, lookup, stored)
    }

    fn matching(
        &self,
        connection: &mut dyn Connection,
        environment: &Environment<'_>,
        lookup: &Lookup,
        stored: &Value,
        name: &str,
    ) -> Result<Option<Value>, Fault> {
        let mut aliases = Aliases::from(1);
        let filter = environment.predicate(&lookup.filter, Some(plan::MAIN), &mut aliases);
        let mut keys = self.keys(connection, lookup, stored, filter, false)?;
        if keys.len() > 1 && lookup.ambiguous_is_error {
            let shown = lookup.shown(stored);
            return Err(Error::invalid_value(format!("{name}: the application has {shown:?} more than once")).into());
        }
        Ok(if keys.is_empty() { None } else { Some(keys.swap_remove(0)) })
    }

    fn keys(
        &self,
        connection: &mut dyn Connection,
        lookup: &Lookup,
        stored: &Value,
        filter: Predicate,
        newest: bool,
    ) -> Result<Vec<Value>, Fault> {
        let key = Expr::column(plan::MAIN, &lookup.key.name);
        let column = Expr::column(plan::MAIN, &lookup.matched.name);
        let cast = || lookup.matched.cast.clone();
        let matched = match stored {
            Value::Text(text) => {
                let forms = lookup.conversion.forms(&lookup.conversion.shown(text));
                let forms =
                    forms.into_iter().map(|form| Predicate::eq(column.clone(), Expr::Value(form.into(), cast())));
                forms.fold(Predicate::False, Predicate::or)
            }
            other => Predicate::eq(column, Expr::Value(other.clone(), cast())),
        };
        let mut select = Select::new(lookup.table.clone(), plan::MAIN, vec![key.clone()]).filter(matched.and(filter));
        select.order.push(Order { by: key, descending: newest });
        select.limit = Some(2);
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.into_iter().filter_map(|row| row.0.into_iter().next()).collect())
    }

    fn revive_lookup(
        &self,
        connection: &mut dyn Connection,
        environment: &Environment<'_>,
        lookup: &Lookup,
        stored: &Value,
    ) -> Result<Option<Value>, Fault> {
        let Some(revive) = &lookup.revive else { return Ok(None) };
        let mut aliases = Aliases::from(1);
        let filter = environment.predicate(&revive.filter, Some(plan::MAIN), &mut aliases);
        let Some(key) = self.keys(connection, lookup, stored, filter, true)?.into_iter().next() else {
            return Ok(None);
        };
        let environment = Environment { id: Some(&key), row: None, ..*environment };
        let set = revive.set.iter().map(|(column, expression)| {
            (column.name.clone(), environment.expr(expression, Some(column), &mut aliases))
        });
        let update = Update {
            table: lookup.table.clone(),
            set: set.collect(),
            filter: Predicate::eq(Expr::bare(&lookup.key.name), Expr::Value(key.clone(), lookup.key.cast.clone())),
        };
        connection.execute(&Statement::Update(update), &[])?;
        Ok(Some(key))
    }

    /// Makes the row; `more` are columns that its place in a tree asks for.
    pub(super) fn make(
        &self,
        connection: &mut dyn Connection,
        environment: &Environment<'_>,
        lookup: &Lookup,
        stored: Value,
        more: &[(Column, Value)],
    ) -> Result<Value, Fault> {
        let mut aliases = Aliases::from(1);
        let mut columns = vec![lookup.matched.name.clone()];
        let mut row = vec![Expr::Value(stored, lookup.matched.cast.clone())];
        for (column, value) in more {
            columns.push(column.name.clone());
            row.push(Expr::Value(value.clone(), column.cast.clone()));
        }
        for (column, expression) in &lookup.create {
            if columns.contains(&column.name) {
                continue;
            }
            columns.push(column.name.clone());
            row.push(environment.expr(expression, Some(column), &mut aliases));
        }
        let insert = Insert { table: lookup.table.clone(), columns, rows: vec![row], on_conflict: OnConflict::Fail };
        let key = connection.insert(&insert, &lookup.key.name)?;
        let environment = Environment { id: Some(&key), row: None, ..*environment };
        self.run_steps(connection, &lookup.then, &environment, None)?;
        Ok(key)
    }
}

impl Lookup {
    /// A stored value as clients know it.
    fn shown(&self, stored: &Value) -> String {
        self.conversion.shown(&stored.to_text().unwrap_or_default()).into_owned()
    }
}
