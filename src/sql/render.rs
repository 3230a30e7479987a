//! The statement tree as Diesel `QueryFragment`s: the one place where SQL text is made. Identifiers and
//! values go through Diesel; everything else is static text, or a number or type from the catalogue.

use super::backend::SqlBackend;
use super::connection::Row;
use super::name::{Alias, Ident, Table};
use super::statement::{
    Delete, Expr, Insert, JoinKind, Lock, OnConflict, Order, Predicate, Select, Statement, Union, Update,
};
use super::value::{Dialect, Value};
use diesel::deserialize::{self, QueryableByName};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{Error, QueryResult};
use diesel::row::{Field, NamedRow};
use diesel::{RunQueryDsl, debug_query};

mod expression;

/// A statement with its parameters, ready to run.
#[derive(Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) body: Body<'a>,
    pub(super) params: &'a [Value],
    pub(super) json: JsonGuard,
}

/// What is to be run.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    /// Any statement.
    Statement(&'a Statement),
    /// One row, with the column that is to be returned.
    InsertReturning(&'a Insert, Option<&'a Ident>),
    /// A write, with what is to be returned of each row; not on MySQL.
    Returning(&'a Statement, &'a [Expr]),
    /// Static text of this room's own; `?` are its parameters in order.
    Text(&'a str),
}

/// How PostgreSQL is kept from raising an error on text that is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonGuard {
    /// PostgreSQL 16 can ask.
    InputIsValid,
    /// Before 16 nothing can be asked; what does not begin and end like an object or array is passed
    /// over, which leaves truncated or mangled documents to raise `invalid input syntax`.
    Shape,
}

/// The statement's SQL and its binds, for people and logs; no connection is needed.
pub fn sql_text(dialect: Dialect, statement: &Statement, params: &[Value]) -> String {
    let bound = Bound { body: Body::Statement(statement), params, json: JsonGuard::InputIsValid };
    match dialect {
        Dialect::Mysql => debug_query::<diesel::mysql::Mysql, _>(&bound).to_string(),
        Dialect::Postgres => debug_query::<diesel::pg::Pg, _>(&bound).to_string(),
        Dialect::Sqlite => debug_query::<diesel::sqlite::Sqlite, _>(&bound).to_string(),
    }
}

impl QueryId for Bound<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Bound<'_> {
    type SqlType = diesel::sql_types::Untyped;
}

impl<C> RunQueryDsl<C> for Bound<'_> {}

impl<DB: SqlBackend> QueryFragment<DB> for Bound<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        let mut writer = Writer { out, params: self.params, json: self.json, target: None };
        match self.body {
            Body::Statement(Statement::Select(select)) => writer.select(select),
            Body::Statement(Statement::Union(union)) => writer.union(union),
            Body::Statement(Statement::Insert(insert)) => writer.insert(insert, None),
            Body::Statement(Statement::Update(update)) => writer.update(update),
            Body::Statement(Statement::Delete(delete)) => writer.delete(delete),
            Body::InsertReturning(insert, key) => writer.insert(insert, key),
            Body::Returning(statement, columns) => writer.returning(statement, columns),
            Body::Text(text) => writer.text(text),
        }
    }
}

impl<DB: SqlBackend> QueryableByName<DB> for Row {
    fn build<'a>(row: &impl NamedRow<'a, DB>) -> deserialize::Result<Self> {
        let count = row.field_count();
        let mut values = Vec::with_capacity(count);
        for index in 0..count {
            let field = diesel::row::Row::get(row, index).ok_or("a row shorter than its select list")?;
            values.push(match field.value() {
                None => Value::Null,
                Some(raw) => DB::decode(raw)?,
            });
        }
        Ok(Row(values))
    }
}

struct Writer<'o, 'b, DB: SqlBackend> {
    out: AstPass<'o, 'b, DB>,
    params: &'b [Value],
    json: JsonGuard,
    /// The table of an update or delete: columns without an alias are its, in subqueries too.
    target: Option<Target<'b>>,
}

/// A table as a column's name begins with it.
#[derive(Clone, Copy)]
enum Target<'b> {
    Table(&'b Table),
    Alias(Alias),
}

fn refuse(message: impl Into<String>) -> Error {
    Error::QueryBuilderError(message.into().into())
}

impl<'b, DB: SqlBackend> Writer<'_, 'b, DB> {
    fn sql(&mut self, text: &str) {
        self.out.push_sql(text);
    }

    /// Pushes what `each` makes of every item, with `separator` between.
    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        separator: &str,
        mut each: impl FnMut(&mut Self, T) -> QueryResult<()>,
    ) -> QueryResult<()> {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.sql(separator);
            }
            each(self, item)?;
        }
        Ok(())
    }

    fn ident(&mut self, ident: &Ident) -> QueryResult<()> {
        self.out.push_identifier(ident.as_str())
    }

    fn table(&mut self, table: &Table) -> QueryResult<()> {
        if let Some(schema) = &table.schema {
            self.ident(schema)?;
            self.sql(".");
        }
        self.ident(&table.name)
    }

    fn alias(&mut self, alias: Alias) {
        self.sql("t");
        self.sql(&alias.0.to_string());
    }

    fn text(&mut self, text: &str) -> QueryResult<()> {
        let params = self.params;
        let mut parts = text.split('?');
        self.sql(parts.next().unwrap_or_default());
        for (index, part) in parts.enumerate() {
            self.bind(params.get(index).ok_or_else(|| refuse("too few parameters"))?, None)?;
            self.sql(part);
        }
        Ok(())
    }

    fn select(&mut self, select: &'b Select) -> QueryResult<()> {
        if !select.cacheable {
            self.out.unsafe_to_cache_prepared();
        }
        if select.bare {
            self.target = Some(Target::Alias(select.alias));
        }
        self.sql("SELECT ");
        if select.columns.is_empty() {
            self.sql("1");
        }
        self.list(&select.columns, ", ", Self::expr)?;
        self.rows_of(select)?;
        if !select.order.is_empty() {
            self.sql(" ORDER BY ");
            self.list(&select.order, ", ", |writer, Order { by, descending }| {
                writer.expr(by)?;
                match by {
                    Expr::Known(_) => writer.sql(if *descending { " DESC" } else { "" }),
                    _ => writer.direction(*descending),
                }
                Ok(())
            })?;
        }
        self.limit(&select.limit, &select.offset)?;
        self.sql(match (select.lock, DB::DIALECT) {
            (None, _) | (_, Dialect::Sqlite) => "",
            (Some(Lock::Update), _) => " FOR UPDATE",
            // MariaDB knows no other words for it.
            (Some(Lock::Stay), Dialect::Mysql) => " LOCK IN SHARE MODE",
            (Some(Lock::Stay), Dialect::Postgres) => " FOR KEY SHARE",
        });
        Ok(())
    }

    /// `FROM`, `JOIN` and `WHERE`.
    fn rows_of(&mut self, select: &'b Select) -> QueryResult<()> {
        self.sql(" FROM ");
        self.table(&select.from)?;
        self.sql(" AS ");
        self.alias(select.alias);
        for join in &select.joins {
            self.sql(match join.kind {
                JoinKind::Inner => " JOIN ",
                JoinKind::Left => " LEFT JOIN ",
            });
            self.table(&join.table)?;
            self.sql(" AS ");
            self.alias(join.alias);
            self.sql(" ON ");
            self.predicate(&join.on)?;
        }
        self.filter(&select.filter)
    }

    fn union(&mut self, union: &'b Union) -> QueryResult<()> {
        if union.selects.is_empty() {
            return Err(refuse("a union of nothing"));
        }
        // SQLite has no parentheses here, and the others no need of a name where there are some.
        self.list(&union.selects, " UNION ALL ", |writer, select| {
            let (open, close) = match (select.limit, DB::DIALECT) {
                (None, _) => ("", ""),
                (Some(_), Dialect::Mysql | Dialect::Postgres) => ("(", ")"),
                (Some(_), Dialect::Sqlite) => ("SELECT * FROM (", ")"),
            };
            writer.sql(open);
            writer.select(select)?;
            writer.sql(close);
            Ok(())
        })?;
        if !union.order.is_empty() {
            self.sql(" ORDER BY ");
            self.list(&union.order, ", ", |writer, (column, descending)| {
                writer.sql(&(column + 1).to_string());
                writer.direction(*descending);
                Ok(())
            })?;
        }
        self.limit(&union.limit, &union.offset)
    }

    /// MySQL and SQLite count NULL as the smallest by themselves.
    fn direction(&mut self, descending: bool) {
        self.sql(match (DB::DIALECT, descending) {
            (Dialect::Postgres, false) => " NULLS FIRST",
            (Dialect::Postgres, true) => " DESC NULLS LAST",
            (_, false) => "",
            (_, true) => " DESC",
        });
    }

    fn limit(&mut self, limit: &'b Option<u64>, offset: &'b Option<u64>) -> QueryResult<()> {
        if let Some(limit) = limit {
            self.sql(" LIMIT ");
            DB::push_count(limit, &mut self.out)?;
        } else if offset.is_some() {
            self.sql(match DB::DIALECT {
                Dialect::Mysql => " LIMIT 18446744073709551615",
                Dialect::Postgres => "",
                Dialect::Sqlite => " LIMIT -1",
            });
        }
        if let Some(offset) = offset {
            self.sql(" OFFSET ");
            DB::push_count(offset, &mut self.out)?;
        }
        Ok(())
    }

    fn filter(&mut self, filter: &'b Predicate) -> QueryResult<()> {
        if *filter == Predicate::True {
            return Ok(());
        }
        self.sql(" WHERE ");
        self.predicate(filter)
    }

    fn insert(&mut self, insert: &'b Insert, returning: Option<&'b Ident>) -> QueryResult<()> {
        if insert.rows.len() > 1 {
            self.out.unsafe_to_cache_prepared();
        }
        if insert.rows.is_empty() || insert.rows.iter().any(|row| row.len() != insert.columns.len()) {
            return Err(refuse(format!("an insert into {} whose rows do not match its columns", insert.table)));
        }
        self.sql("INSERT INTO ");
        self.table(&insert.table)?;
        if insert.columns.is_empty() && DB::DIALECT != Dialect::Mysql {
            self.sql(" DEFAULT VALUES");
        } else {
            self.sql(" (");
            self.list(&insert.columns, ", ", Self::ident)?;
            self.sql(") VALUES ");
            self.list(&insert.rows, ", ", |writer, row| {
                writer.sql("(");
                writer.list(row, ", ", Self::expr)?;
                writer.sql(")");
                Ok(())
            })?;
        }
        if let OnConflict::Update { key, columns } = &insert.on_conflict {
            self.upsert(key, columns)?;
        }
        if let (Some(key), true) = (returning, DB::DIALECT != Dialect::Mysql) {
            self.sql(" RETURNING ");
            self.ident(key)?;
        }
        Ok(())
    }

    fn upsert(&mut self, key: &'b [Ident], columns: &'b [Ident]) -> QueryResult<()> {
        // Without columns the key is set to itself, which takes the row's lock all the same.
        let columns = if columns.is_empty() { key.get(..1).unwrap_or_default() } else { columns };
        if DB::DIALECT == Dialect::Mysql {
            self.sql(" ON DUPLICATE KEY UPDATE ");
            return self.list(columns, ", ", |writer, column| {
                writer.ident(column)?;
                writer.sql(" = VALUES(");
                writer.ident(column)?;
                writer.sql(")");
                Ok(())
            });
        }
        self.sql(" ON CONFLICT (");
        self.list(key, ", ", Self::ident)?;
        self.sql(") DO UPDATE SET ");
        self.list(columns, ", ", |writer, column| {
            writer.ident(column)?;
            writer.sql(" = EXCLUDED.");
            writer.ident(column)
        })
    }

    fn update(&mut self, update: &'b Update) -> QueryResult<()> {
        if update.set.is_empty() {
            return Err(refuse(format!("an update of {} that sets nothing", update.table)));
        }
        self.target = Some(Target::Table(&update.table));
        self.sql("UPDATE ");
        self.table(&update.table)?;
        self.sql(" SET ");
        self.list(&update.set, ", ", |writer, (column, value)| {
            writer.ident(column)?;
            writer.sql(" = ");
            writer.expr(value)
        })?;
        self.filter(&update.filter)
    }

    fn returning(&mut self, statement: &'b Statement, columns: &'b [Expr]) -> QueryResult<()> {
        if DB::DIALECT == Dialect::Mysql {
            return Err(refuse("MySQL returns nothing of what it writes"));
        }
        match statement {
            Statement::Insert(insert) => self.insert(insert, None)?,
            Statement::Update(update) => self.update(update)?,
            Statement::Delete(delete) => self.delete(delete)?,
            Statement::Select(_) | Statement::Union(_) => return Err(refuse("a select has its own list")),
        }
        self.target = None;
        self.sql(" RETURNING ");
        self.list(columns, ", ", Self::expr)
    }

    fn delete(&mut self, delete: &'b Delete) -> QueryResult<()> {
        self.target = Some(Target::Table(&delete.table));
        self.sql("DELETE FROM ");
        self.table(&delete.table)?;
        self.filter(&delete.filter)
    }
}

#[cfg(test)]
mod tests;
