//! The connection of a write transaction, with a memory of what became of each row: the one place through which every write
//! for a request passes, so that none can be forgotten.
//!
//! What is kept is the difference that the request makes, row by row: the columns that it wrote as they were before and as
//! the database holds them afterwards. A row that comes and goes within one request leaves nothing, a column that is
//! written as it was neither. What the database changes by itself (cascades, triggers on other tables) is not seen.
//!
//! PostgreSQL and SQLite say what they wrote or deleted (`RETURNING`); from MySQL it is read, deleted rows under their lock
//! before, written ones once at the end, table by table, as it is where tables have triggers. What was before an UPDATE is had from the SELECT that locked the
//! row, where there was one, else from one more.

mod again;
mod tables;

pub(super) use tables::{Columns, Tables};

use crate::adapter::Written;
use crate::sql::{
    Alias, Catalogue, ColumnKind, Connection, Delete, Dialect, Error, Expr, Failure, Ident, Insert, Isolation, Lock,
    OnConflict, Predicate, Row, Select, Statement, Update, Value,
};
use std::collections::{BTreeSet, HashMap};
use tables::{among, exact_key, is_secret, key_of, literal, named, open_columns, position, seen_all, settled, text_of};

/// Above all aliases that conditions have.
const ROW: Alias = Alias(u16::MAX);

/// What became of one row.
#[derive(Debug)]
pub(super) struct Changed<'t> {
    pub table: &'t Written,
    pub key: Columns,
    /// None where there was no such row.
    pub before: Option<Columns>,
    /// None where there is none any more.
    pub after: Option<Columns>,
    /// Secret columns that were written.
    pub secrets: BTreeSet<usize>,
}

/// A connection that remembers.
pub(super) struct Recorder<'c> {
    inner: &'c mut dyn Connection,
    tables: &'c Tables,
    rows: Vec<Tracked>,
    by_key: HashMap<(usize, String), usize>,
    /// Rows as they were when they were locked.
    held: HashMap<(usize, String), Columns>,
    clock: u64,
}

#[derive(Debug)]
struct Tracked {
    table: usize,
    key: Columns,
    before: Option<Columns>,
    after: Option<Columns>,
    secrets: BTreeSet<usize>,
    /// What it holds is to be read.
    stale: bool,
    /// All of its columns are.
    whole: bool,
    /// When it was written: an insert the first time, others the last.
    at: u64,
}

impl<'c> Recorder<'c> {
    pub fn new(inner: &'c mut dyn Connection, tables: &'c Tables) -> Self {
        Self { inner, tables, rows: Vec::new(), by_key: HashMap::new(), held: HashMap::new(), clock: 0 }
    }

    /// The connection itself, for what is not to be remembered.
    pub fn plain(&mut self) -> &mut dyn Connection {
        self.inner
    }

    /// What changed since the last time, in an order whose opposite undoes it.
    pub fn take(&mut self) -> Result<Vec<Changed<'c>>, Error> {
        self.read_again()?;
        self.by_key.clear();
        // What was locked then may have been changed since.
        self.held.clear();
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by_key(|row| row.at);
        let mut changed = Vec::new();
        for mut row in rows {
            let table = self.tables.get(row.table)?;
            match (&mut row.before, &mut row.after) {
                (None, None) => continue,
                (Some(before), Some(after)) => {
                    let differs: BTreeSet<usize> = before
                        .keys()
                        .chain(after.keys())
                        .filter(|column| before.get(column) != after.get(column))
                        .copied()
                        .collect();
                    if differs.is_empty() && row.secrets.is_empty() {
                        continue;
                    }
                    before.retain(|column, _| differs.contains(column));
                    after.retain(|column, _| differs.contains(column));
                }
                _ => {}
            }
            let Tracked { key, before, after, secrets, .. } = row;
            changed.push(Changed { table, key, before, after, secrets });
        }
        Ok(changed)
    }

    fn insert_rows(&mut self, table: usize, insert: &Insert, params: &[Value]) -> Result<Vec<Columns>, Error> {
        let written = self.tables.get(table)?;
        let mut given = Vec::with_capacity(insert.columns.len());
        for column in &insert.columns {
            given.push(position(written, column)?);
        }
        let secrets: BTreeSet<usize> = given.iter().copied().filter(|column| is_secret(written, *column)).collect();
        let before = self.taken_over(written, insert, params)?;
        let mut columns: BTreeSet<usize> = given.iter().copied().filter(|column| !secrets.contains(column)).collect();
        columns.extend(&written.key);
        if written.key.is_empty() {
            columns.extend(open_columns(written));
        }
        let columns: Vec<usize> = columns.into_iter().collect();
        let statement = Statement::Insert(insert.clone());
        let (rows, stale) = if self.inner.dialect() == Dialect::Mysql {
            let named = |row: &Vec<Expr>| -> Columns {
                let literal = |(column, expr): (&usize, &Expr)| {
                    let value = literal(expr, params)?;
                    written.columns.get(*column).map(|of| (*column, settled(of, &value)))
                };
                given.iter().zip(row).filter(|(column, _)| !secrets.contains(column)).filter_map(literal).collect()
            };
            let mut rows: Vec<Columns> = insert.rows.iter().map(named).collect();
            match written.numbered {
                Some(key) if rows.iter().all(|row| row.get(&key).is_none_or(Value::is_null)) => {
                    let name = written.columns.get(key).map(|column| column.name.clone());
                    let name = name.ok_or_else(|| Error::new(Failure::Other, "a key that is no column"))?;
                    let numbers = match insert.rows.len() {
                        1 => vec![self.inner.insert(insert, &name)?],
                        _ => self.inner.insert_numbered(insert, &name)?,
                    };
                    for (row, number) in rows.iter_mut().zip(numbers) {
                        row.insert(key, number);
                    }
                }
                _ => {
                    self.inner.execute(&statement, params)?;
                }
            }
            (rows, self.tables.may_alter(table))
        } else {
            let list = columns.iter().filter_map(|column| written.columns.get(*column));
            let list: Vec<Expr> = list.map(|column| column.read(None)).collect();
            let rows = self.inner.returning(&statement, params, &list)?;
            (rows.into_iter().map(|row| named(written, &columns, row)).collect(), false)
        };
        for row in &rows {
            let key = key_of(written, row);
            // What is not known whole names no row.
            let key = if key.len() == written.key.len() { key } else { Columns::new() };
            let was = before.get(&text_of(&key));
            self.came(table, key.clone(), was.cloned(), row.clone(), secrets.clone(), stale);
            self.triggered(table, &key);
        }
        Ok(rows)
    }

    /// The rows that an insert takes over because their key is there already (`ON CONFLICT`, our own tables alone).
    fn taken_over(
        &mut self,
        written: &Written,
        insert: &Insert,
        params: &[Value],
    ) -> Result<HashMap<String, Columns>, Error> {
        let OnConflict::Update { key, .. } = &insert.on_conflict else {
            return Ok(HashMap::new());
        };
        let at = |name: &Ident| insert.columns.iter().position(|column| column == name);
        let mut keys = Vec::new();
        for row in &insert.rows {
            let mut values = Columns::new();
            for name in key {
                let value = at(name).and_then(|at| row.get(at)).and_then(|expr| literal(expr, params));
                values.insert(position(written, name)?, value.unwrap_or_default());
            }
            keys.push(values);
        }
        let filter = among(written, &keys.iter().collect::<Vec<_>>(), Some(ROW));
        let columns: Vec<usize> = open_columns(written).collect();
        let found = self.matching(written, &columns, filter, params)?;
        Ok(found.into_iter().map(|row| (text_of(&key_of(written, &row)), row)).collect())
    }

    fn update_rows(&mut self, table: usize, update: &Update, params: &[Value]) -> Result<u64, Error> {
        let written = self.tables.get(table)?;
        let (mut set, mut secrets) = (BTreeSet::new(), BTreeSet::new());
        for (column, _) in &update.set {
            let column = position(written, column)?;
            if is_secret(written, column) {
                secrets.insert(column)
            } else {
                set.insert(column)
            };
        }
        // Where a trigger may write any column, all of them are known from before.
        let seen: BTreeSet<usize> = match written.triggers {
            true => open_columns(written).collect(),
            false => set.clone(),
        };
        let before = self.before(table, written, &seen, &update.filter, params)?;
        if before.is_empty() {
            return Ok(0);
        }
        let changed = |row: &Columns| -> Columns {
            let mut row = row.clone();
            for (column, expr) in &update.set {
                if let (Some(column), Some(value)) = (written.position(column), literal(expr, params))
                    && let Some(of) = written.columns.get(column)
                    && set.contains(&column)
                {
                    row.insert(column, settled(of, &value));
                }
            }
            row
        };
        let statement = Statement::Update(update.clone());
        let by_key = !written.key.is_empty();
        let mut columns: BTreeSet<usize> = set.clone();
        columns.extend(&written.key);
        let columns: Vec<usize> = columns.into_iter().collect();
        let mut after: HashMap<String, Columns> = HashMap::new();
        let (count, stale) = if self.inner.dialect() == Dialect::Mysql || !by_key {
            (self.inner.execute(&statement, params)?, by_key)
        } else {
            let list = columns.iter().filter_map(|column| written.columns.get(*column));
            let list: Vec<Expr> = list.map(|column| column.read(None)).collect();
            let rows = self.inner.returning(&statement, params, &list)?;
            let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
            for row in rows {
                let row = named(written, &columns, row);
                after.insert(text_of(&key_of(written, &row)), row);
            }
            (count, false)
        };
        seen_all(written, count, before.len())?;
        for old in before {
            let guess = changed(&old);
            let (old_key, new_key) = (key_of(written, &old), key_of(written, &guess));
            let mut now = after.remove(&text_of(&new_key)).unwrap_or(guess);
            now.retain(|column, _| set.contains(column));
            let was = old.into_iter().filter(|(column, _)| seen.contains(column)).collect();
            self.changed(table, (old_key, new_key.clone()), was, now, &secrets, stale);
            self.triggered(table, &new_key);
        }
        Ok(count)
    }

    /// The rows that an UPDATE is about to write, held until the transaction ends: their keys and these columns; all of it
    /// where the table has no key.
    fn before(
        &mut self,
        table: usize,
        written: &Written,
        set: &BTreeSet<usize>,
        filter: &Predicate,
        params: &[Value],
    ) -> Result<Vec<Columns>, Error> {
        if let Some(key) = exact_key(written, filter, params)
            && let Some(held) = self.held.get(&(table, text_of(&key)))
            && set.iter().all(|column| held.contains_key(column))
        {
            let wanted = |column: &usize| set.contains(column) || written.key.contains(column);
            return Ok(vec![held.iter().filter(|(column, _)| wanted(column)).map(|(c, v)| (*c, v.clone())).collect()]);
        }
        let mut columns: BTreeSet<usize> = set.clone();
        columns.extend(&written.key);
        if written.key.is_empty() {
            columns.extend(open_columns(written));
        }
        let columns: Vec<usize> = columns.into_iter().collect();
        self.matching(written, &columns, filter.clone(), params)
    }

    fn delete_rows(&mut self, table: usize, delete: &Delete, params: &[Value]) -> Result<u64, Error> {
        let written = self.tables.get(table)?;
        let columns: Vec<usize> = open_columns(written).collect();
        let statement = Statement::Delete(delete.clone());
        let rows = if self.inner.dialect() == Dialect::Mysql {
            let rows = self.matching(written, &columns, delete.filter.clone(), params)?;
            if rows.is_empty() {
                return Ok(0);
            }
            let count = self.inner.execute(&statement, params)?;
            seen_all(written, count, rows.len())?;
            rows
        } else {
            let list = columns.iter().filter_map(|column| written.columns.get(*column));
            let list: Vec<Expr> = list.map(|column| column.read(None)).collect();
            let rows = self.inner.returning(&statement, params, &list)?;
            rows.into_iter().map(|row| named(written, &columns, row)).collect()
        };
        let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let secrets: BTreeSet<usize> =
            (0..written.columns.len()).filter(|column| is_secret(written, *column)).collect();
        for row in rows {
            self.went(table, key_of(written, &row), row, &secrets);
        }
        Ok(count)
    }

    /// The rows that a condition without aliases is true of, held until the transaction ends.
    fn matching(
        &mut self,
        written: &Written,
        columns: &[usize],
        filter: Predicate,
        params: &[Value],
    ) -> Result<Vec<Columns>, Error> {
        let list = columns.iter().filter_map(|column| written.columns.get(*column));
        let mut select = Select::new(written.table.clone(), ROW, list.map(|column| column.read(Some(ROW))).collect());
        select.filter = filter;
        select.lock = Some(Lock::Update);
        select.bare = true;
        let rows = self.inner.query(&Statement::Select(select), params)?;
        Ok(rows.into_iter().map(|row| named(written, columns, row)).collect())
    }

    fn tracked(&mut self, table: usize, key: &Columns) -> Option<&mut Tracked> {
        let index = *self.by_key.get(&(table, text_of(key)))?;
        self.rows.get_mut(index)
    }

    fn track(&mut self, row: Tracked) {
        // Rows without a key cannot be told from one another.
        if !row.key.is_empty() {
            self.by_key.insert((row.table, text_of(&row.key)), self.rows.len());
        }
        self.rows.push(row);
    }

    fn came(
        &mut self,
        table: usize,
        key: Columns,
        was: Option<Columns>,
        after: Columns,
        secrets: BTreeSet<usize>,
        stale: bool,
    ) {
        self.clock += 1;
        let (at, stale) = (self.clock, stale && !key.is_empty());
        if let Some(row) = self.tracked(table, &key) {
            row.secrets.extend(secrets);
            if row.after.is_none() && row.before.is_some() {
                (row.stale, row.whole) = (true, true);
            } else {
                row.stale |= stale;
            }
            row.after.get_or_insert_with(Columns::new).extend(after);
            row.at = at;
            return;
        }
        self.track(Tracked { table, key, before: was, after: Some(after), secrets, stale, whole: false, at });
    }

    fn changed(
        &mut self,
        table: usize,
        (old_key, new_key): (Columns, Columns),
        was: Columns,
        now: Columns,
        secrets: &BTreeSet<usize>,
        stale: bool,
    ) {
        self.clock += 1;
        let (at, moved) = (self.clock, old_key != new_key);
        if moved {
            self.held.remove(&(table, text_of(&old_key)));
        }
        if let Some(row) = self.tracked(table, &old_key) {
            if let Some(before) = &mut row.before {
                for (column, value) in was {
                    before.entry(column).or_insert(value);
                }
                row.at = at;
            }
            row.after.get_or_insert_with(Columns::new).extend(now);
            row.secrets.extend(secrets);
            row.stale |= stale;
            if moved {
                row.key = new_key.clone();
                if let Some(index) = self.by_key.remove(&(table, text_of(&old_key))) {
                    self.by_key.insert((table, text_of(&new_key)), index);
                }
            }
            return;
        }
        let key = if old_key.is_empty() { Columns::new() } else { new_key };
        let secrets = secrets.clone();
        self.track(Tracked { table, key, before: Some(was), after: Some(now), secrets, stale, whole: false, at });
    }

    fn went(&mut self, table: usize, key: Columns, mut was: Columns, secrets: &BTreeSet<usize>) {
        self.clock += 1;
        let at = self.clock;
        self.held.remove(&(table, text_of(&key)));
        if let Some(row) = self.tracked(table, &key) {
            if let Some(before) = &row.before {
                was.extend(before.iter().map(|(column, value)| (*column, value.clone())));
                row.before = Some(was);
            }
            row.after = None;
            row.stale = false;
            row.secrets.extend(secrets);
            row.at = at;
            return;
        }
        let secrets = secrets.clone();
        self.track(Tracked { table, key, before: Some(was), after: None, secrets, stale: false, whole: false, at });
    }

    /// Remembers rows that a SELECT locked.
    fn hold(&mut self, statement: &Statement, rows: &[Row]) {
        let Statement::Select(select) = statement else { return };
        if select.lock != Some(Lock::Update) || !select.joins.is_empty() {
            return;
        }
        let Some(table) = self.tables.index(&select.from) else { return };
        let Ok(written) = self.tables.get(table) else { return };
        let column = |expr: &Expr| match expr {
            Expr::Column(Some(alias), name) if *alias == select.alias => {
                let at = written.position(name)?;
                written.columns.get(at).filter(|column| column.kind != ColumnKind::Other && !column.secret).map(|_| at)
            }
            _ => None,
        };
        let columns: Vec<Option<usize>> = select.columns.iter().map(column).collect();
        if written.key.is_empty() || !written.key.iter().all(|key| columns.contains(&Some(*key))) {
            return;
        }
        for row in rows {
            let values = columns.iter().zip(&row.0);
            let held: Columns = values
                .filter_map(|(column, value)| {
                    let column = (*column)?;
                    written.columns.get(column).map(|of| (column, settled(of, value)))
                })
                .collect();
            self.held.insert((table, text_of(&key_of(written, &held))), held);
        }
    }
}

impl Connection for Recorder<'_> {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn query(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, Error> {
        let rows = self.inner.query(statement, params)?;
        self.hold(statement, &rows);
        Ok(rows)
    }

    fn execute(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, Error> {
        let table = match statement {
            Statement::Insert(insert) => &insert.table,
            Statement::Update(update) => &update.table,
            Statement::Delete(delete) => &delete.table,
            Statement::Select(_) | Statement::Union(_) => return self.inner.execute(statement, params),
        };
        let Some(table) = self.tables.find(table)? else {
            return self.inner.execute(statement, params);
        };
        match statement {
            Statement::Insert(insert) => {
                let rows = self.insert_rows(table, insert, params)?;
                Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
            }
            Statement::Update(update) => self.update_rows(table, update, params),
            Statement::Delete(delete) => self.delete_rows(table, delete, params),
            Statement::Select(_) | Statement::Union(_) => Ok(0),
        }
    }

    fn insert(&mut self, insert: &Insert, key: &Ident) -> Result<Value, Error> {
        let Some(table) = self.tables.find(&insert.table)? else {
            return self.inner.insert(insert, key);
        };
        let column = position(self.tables.get(table)?, key)?;
        if self.tables.get(table)?.key.contains(&column) {
            let rows = self.insert_rows(table, insert, &[])?;
            let value = rows.into_iter().next().and_then(|mut row| row.remove(&column));
            return value
                .ok_or_else(|| Error::new(Failure::Other, format!("{} gave the new row no key", insert.table)));
        }
        // What the adapter calls the key is not the table's: the row is known by both.
        let value = self.inner.insert(insert, key)?;
        let written = self.tables.get(table)?;
        let columns: Vec<usize> = open_columns(written).collect();
        let is_it = Predicate::eq(
            Expr::bare(key),
            Expr::Value(value.clone(), written.columns.get(column).and_then(|column| column.cast.clone())),
        );
        let secrets = |column: &&Ident| written.position(column).filter(|column| is_secret(written, *column));
        let secrets: BTreeSet<usize> = insert.columns.iter().filter_map(|column| secrets(&column)).collect();
        for row in self.matching(written, &columns, is_it, &[])? {
            let row_key = key_of(written, &row);
            self.came(table, row_key.clone(), None, row, secrets.clone(), false);
            self.triggered(table, &row_key);
        }
        Ok(value)
    }

    fn insert_numbered(&mut self, insert: &Insert, key: &Ident) -> Result<Vec<Value>, Error> {
        match insert.rows.len() {
            1 => self.insert(insert, key).map(|value| vec![value]),
            _ => Err(Error::new(Failure::Other, "rows are inserted by `execute` here")),
        }
    }

    fn returning(&mut self, _: &Statement, _: &[Value], _: &[Expr]) -> Result<Vec<Row>, Error> {
        Err(Error::new(Failure::Other, "rows are written by `execute` here"))
    }

    fn batch(&mut self, sql: &str) -> Result<(), Error> {
        self.inner.batch(sql)
    }

    fn begin(&mut self, isolation: Isolation) -> Result<(), Error> {
        self.inner.begin(isolation)
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.inner.commit()
    }

    fn rollback(&mut self) {
        self.inner.rollback();
    }

    fn catalogue(&mut self, schemas: &[Option<Ident>]) -> Result<Catalogue, Error> {
        self.inner.catalogue(schemas)
    }
}
