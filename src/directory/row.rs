//! One row of a resource: held, written, and whether it may be.

use super::plan::{self, MAIN};
use super::rows;
use super::stranger;
use super::transaction::Fault;
use super::{Directory, Place};
use crate::adapter::{Aliases, Environment};
use crate::scim::Error;
use crate::sql::{Connection, Expr, Lock, Predicate, Row, Select, Statement, Update, Value};

impl Directory {
    /// Writes columns of one row, its `modified` among them.
    pub(super) fn update_row(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        key: &Value,
        values: &[(usize, Value)],
        always: &[(usize, crate::adapter::Expression)],
        environment: &Environment<'_>,
    ) -> Result<u64, Fault> {
        let source = place.source;
        let mut aliases = Aliases::from(1);
        let mut set = Vec::new();
        let mut written = Vec::new();
        for (id, value) in values {
            let Some(column) = source.columns.get(*id) else {
                continue;
            };
            set.push((column.name.clone(), Expr::Value(value.clone(), column.cast.clone())));
            written.push(*id);
        }
        for (id, expression) in always {
            let Some(column) = source.columns.get(*id) else {
                continue;
            };
            if !written.contains(id) {
                set.push((column.name.clone(), environment.expr(expression, Some(column), &mut aliases)));
                written.push(*id);
            }
        }
        if let Some(modified) =
            source.timestamps.modified.filter(|id| source.timestamps.written && !written.contains(id))
            && let Some(column) = source.columns.get(modified)
        {
            set.push((column.name.clone(), Expr::Value(environment.now_for(Some(column)), column.cast.clone())));
        }
        if set.is_empty() {
            return Ok(0);
        }
        let update = Update { table: source.table.clone(), set, filter: by_key(place, key) };
        Ok(connection.execute(&Statement::Update(update), &[])?)
    }

    /// Locks the row by its primary key and reads all its columns.
    pub(super) fn lock(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        key: &Value,
        environment: &Environment<'_>,
    ) -> Result<Option<Locked>, Fault> {
        let source = place.source;
        let mut aliases = Aliases::from(1);
        let mut columns: Vec<Expr> = source.columns.iter().map(|column| Expr::column(MAIN, &column.name)).collect();
        columns.push(match &source.protected {
            Some(condition) => Expr::Flag(Box::new(environment.predicate(condition, Some(MAIN), &mut aliases))),
            None => Expr::Number(0),
        });
        columns.push(stranger::remembered(source, &place.plan.kind, &self.own, MAIN, aliases.fresh()));
        let cast = source.columns.first().and_then(|column| column.cast.clone());
        let visible = plan::visible(source, &place.plan.kind, &self.own, MAIN, environment, &mut aliases);
        let filter = Predicate::eq(plan::key(source, MAIN), Expr::Value(key.clone(), cast)).and(visible);
        let mut select = Select::new(source.table.clone(), MAIN, columns).filter(filter);
        select.lock = Some(Lock::Update);
        let rows = connection.query(&Statement::Select(select), &[])?;
        let Some(row) = rows.into_iter().find(|row| is_of(key, row)) else {
            return Ok(None);
        };
        let mut row = row.0;
        let identity = row.pop().and_then(|identity| identity.to_text());
        let flag = row.pop().and_then(|flag| flag.as_int()) == Some(1);
        let acting =
            place.type_.name == "User" && environment.actor.is_some_and(|(id, _)| crate::adapter::equivalent(id, key));
        Ok(Some(Locked { row, protected: flag || acting, identity }))
    }

    /// 403 where a change of these columns made the row one of the protected.
    pub(super) fn still_unprotected(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        key: &Value,
        changed: &[usize],
        environment: &Environment<'_>,
    ) -> Result<(), Fault> {
        let Some(condition) = &place.source.protected else {
            return Ok(());
        };
        let looked_at = condition.columns();
        let concerns = changed
            .iter()
            .filter_map(|id| place.source.columns.get(*id))
            .any(|column| looked_at.contains(&&column.name));
        if !concerns {
            return Ok(());
        }
        let mut aliases = Aliases::from(1);
        let filter = Predicate::eq(
            plan::key(place.source, MAIN),
            Expr::Value(key.clone(), place.source.columns.first().and_then(|column| column.cast.clone())),
        )
        .and(environment.predicate(condition, Some(MAIN), &mut aliases));
        let select = Select::new(place.source.table.clone(), MAIN, vec![Expr::Number(1)]).filter(filter);
        if connection.query(&Statement::Select(select), &[])?.is_empty() {
            return Ok(());
        }
        Err(Error::forbidden("the change would make the resource one of those that are protected").into())
    }
}

/// A row held by this transaction.
pub(super) struct Locked {
    /// All columns of the source.
    pub row: Vec<Value>,
    /// It may not be changed: `protected`, or it is the acting user.
    pub protected: bool,
    /// What the row is remembered by.
    pub identity: Option<String>,
}

/// Whether a row has the very key that was asked for: a collation finds `abc` by `ABC` and by `abc ` too, and what we know
/// of a row is kept under its id as it reads.
pub(super) fn is_of(key: &Value, row: &Row) -> bool {
    row.0.first().is_some_and(|found| found.to_text() == key.to_text())
}

/// `key = value`, for updates and deletes.
pub(super) fn by_key(place: &Place<'_>, key: &Value) -> Predicate {
    match place.source.columns.first() {
        Some(column) => Predicate::eq(Expr::bare(&column.name), Expr::Value(key.clone(), column.cast.clone())),
        None => Predicate::False,
    }
}

/// 403 for rows that are never changed.
pub(super) fn protected(place: &Place<'_>) -> Error {
    Error::forbidden(format!(
        "this {} is protected: the adapter's `protected` rule, or being the acting user, keeps it from being changed through SCIM",
        place.type_.name
    ))
}

/// For messages about a row whose id the caller knows.
pub(super) fn id_of(place: &Place<'_>, key: &Value) -> String {
    rows::scim_id(place.source, key)
}
