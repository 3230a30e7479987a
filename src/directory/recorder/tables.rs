//! The tables that are written for requests, and their rows as the recorder knows them: by key, column by column.

use crate::adapter::{Written, WrittenColumn};
use crate::own::{Own, OwnTable};
use crate::sql::{Alias, ColumnKind, Comparison, Error, Expr, Failure, Ident, Predicate, Row, Table, Value};
use std::collections::{BTreeMap, HashMap};

/// The tables that are written for requests.
#[derive(Debug)]
pub struct Tables {
    all: Vec<Written>,
    /// So many of them are the application's; the others are ours.
    application: usize,
    by_name: HashMap<Table, usize>,
    /// Ours that belong to no resource: claims, and what a brake counts.
    silent: [Table; 2],
}

/// Columns by their position in their table.
pub type Columns = BTreeMap<usize, Value>;

impl Tables {
    /// Those of an adapter, and our own.
    pub fn new(written: &[Written], own: &Own) -> Self {
        let ours = own.of_resources().into_iter().map(|(table, names, key)| Written {
            table,
            columns: names.into_iter().map(WrittenColumn::text).collect(),
            key,
            numbered: None,
            triggers: false,
        });
        let all: Vec<Written> = written.iter().cloned().chain(ours).collect();
        let by_name = all.iter().enumerate().map(|(index, written)| (written.table.clone(), index)).collect();
        let silent = [OwnTable::Claims, OwnTable::Deactivations].map(|table| own.table(table));
        Self { all, application: written.len(), by_name, silent }
    }

    pub(super) fn find(&self, table: &Table) -> Result<Option<usize>, Error> {
        match self.by_name.get(table) {
            Some(index) => Ok(Some(*index)),
            None if self.silent.contains(table) => Ok(None),
            // Nothing is written that could not be journalled.
            None => Err(Error::new(Failure::Schema, format!("{table} is not among the tables that are journalled"))),
        }
    }

    pub(super) fn get(&self, index: usize) -> Result<&Written, Error> {
        self.all.get(index).ok_or_else(|| Error::new(Failure::Other, "a table that is not there"))
    }
}

impl Tables {
    /// Whether the application's schema may alter what is written there; ours holds what it is given.
    pub(super) fn may_alter(&self, index: usize) -> bool {
        index < self.application
    }

    /// Which of them this is.
    pub(super) fn index(&self, table: &Table) -> Option<usize> {
        self.by_name.get(table).copied()
    }
}

pub(super) fn position(written: &Written, column: &Ident) -> Result<usize, Error> {
    written.position(column).ok_or_else(|| {
        Error::new(Failure::Schema, format!("{}.{column} is not among the columns that are journalled", written.table))
    })
}

pub(super) fn is_secret(written: &Written, column: usize) -> bool {
    written.columns.get(column).is_some_and(|column| column.secret)
}

/// The columns that may be kept.
pub(super) fn open_columns(written: &Written) -> impl Iterator<Item = usize> {
    written.columns.iter().enumerate().filter(|(_, column)| !column.secret).map(|(position, _)| position)
}

/// The number of rows written must be the number of those seen: else somebody was faster, and the transaction is tried again.
pub(super) fn seen_all(written: &Written, count: u64, seen: usize) -> Result<(), Error> {
    if u64::try_from(seen) == Ok(count) {
        return Ok(());
    }
    let message =
        format!("{count} rows of {} were written, and {seen} seen before: others came between", written.table);
    Err(Error::new(Failure::Retry, message))
}

/// A row of a select list.
pub(super) fn named(written: &Written, columns: &[usize], row: Row) -> Columns {
    let values = columns.iter().zip(row.0);
    values.filter_map(|(column, value)| written.columns.get(*column).map(|of| (*column, settled(of, &value)))).collect()
}

/// A value as its column's kind says: drivers and literals differ in what they call bytes and numbers.
pub(super) fn settled(column: &WrittenColumn, value: &Value) -> Value {
    match (&column.kind, value) {
        (ColumnKind::Binary(_), Value::Text(text)) => Value::Bytes(text.clone().into_bytes()),
        (ColumnKind::Integer { .. }, Value::Text(text)) => text.parse().map_or_else(|_| value.clone(), Value::Int),
        _ => value.clone(),
    }
}

pub(super) fn key_of(written: &Written, row: &Columns) -> Columns {
    written.key.iter().filter_map(|column| row.get(column).map(|value| (*column, value.clone()))).collect()
}

pub(super) fn text_of(key: &Columns) -> String {
    format!("{key:?}")
}

/// The value of an expression that is one.
pub(super) fn literal(expr: &Expr, params: &[Value]) -> Option<Value> {
    match expr {
        Expr::Value(value, _) => Some(value.clone()),
        Expr::Param(index, _) => params.get(*index).cloned(),
        Expr::Number(number) => Some(Value::Int(*number)),
        _ => None,
    }
}

/// The rows of these keys.
pub(super) fn among(written: &Written, keys: &[&Columns], alias: Option<Alias>) -> Predicate {
    let column = |position: &usize| written.columns.get(*position);
    let bound = |position: &usize, value: &Value| {
        Expr::Value(value.clone(), column(position).and_then(|column| column.cast.clone()))
    };
    if let [only] = written.key.as_slice()
        && let Some(name) = column(only).map(|column| column.name.clone())
    {
        let values = keys.iter().filter_map(|key| key.get(only).map(|value| bound(only, value)));
        return match keys {
            [_] => values.fold(Predicate::False, |_, value| Predicate::eq(Expr::Column(alias, name.clone()), value)),
            _ => Predicate::In(Expr::Column(alias, name), values.collect()),
        };
    }
    let one = |key: &&Columns| {
        key.iter().fold(Predicate::True, |all, (position, value)| {
            let Some(of) = column(position) else { return all };
            let left = Expr::Column(alias, of.name.clone());
            all.and(match value {
                Value::Null => Predicate::IsNull(left),
                value => Predicate::eq(left, bound(position, value)),
            })
        })
    };
    keys.iter().map(one).fold(Predicate::False, Predicate::or)
}

/// The key, where a condition is that it has certain values, and nothing else.
pub(super) fn exact_key(written: &Written, filter: &Predicate, params: &[Value]) -> Option<Columns> {
    let parts: &[Predicate] = match filter {
        Predicate::And(all) => all,
        one => std::slice::from_ref(one),
    };
    let mut key = Columns::new();
    for part in parts {
        let Predicate::Compare(Expr::Column(None, name), Comparison::Eq, right) = part else { return None };
        let column = written.position(name)?;
        key.insert(column, settled(written.columns.get(column)?, &literal(right, params)?));
    }
    (!key.is_empty() && key.len() == written.key.len() && written.key.iter().all(|column| key.contains_key(column)))
        .then_some(key)
}
