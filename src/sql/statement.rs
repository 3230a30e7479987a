//! The statement tree: the only way from an adapter and a request to SQL.
//!
//! A tree is built once where its shape is known (reading by key), or for one request (a filter). In
//! both, what a request brings is a bind: [`Expr::Param`] points into the parameters given at
//! execution, [`Expr::Value`] carries its value along.

use super::name::{Alias, Cast, Ident, Table};
use super::value::Value;

/// Any statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `SELECT`.
    Select(Select),
    /// Several `SELECT`s in one ordered sequence.
    Union(Union),
    /// `INSERT`.
    Insert(Insert),
    /// `UPDATE`.
    Update(Update),
    /// `DELETE`.
    Delete(Delete),
}

/// `SELECT columns FROM from AS t0 joins WHERE filter ORDER BY order LIMIT limit OFFSET offset`.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// The select list; rows are read by position.
    pub columns: Vec<Expr>,
    /// The first table.
    pub from: Table,
    /// Its alias.
    pub alias: Alias,
    /// Further tables.
    pub joins: Vec<Join>,
    /// `WHERE`; [`Predicate::True`] for none.
    pub filter: Predicate,
    /// `ORDER BY`.
    pub order: Vec<Order>,
    /// `LIMIT`, bound.
    pub limit: Option<u64>,
    /// `OFFSET`, bound.
    pub offset: Option<u64>,
    /// How the rows are held until the transaction ends; ask for it by primary key and without joins only.
    pub lock: Option<Lock>,
    /// Whether the prepared statement is worth keeping: its text belongs to a small finite set.
    pub cacheable: bool,
    /// Whether columns without an alias are the first table's: the condition is that of an update or delete.
    pub bare: bool,
}

impl Select {
    /// A select of `columns` from `from` as `alias`, of every row.
    pub fn new(from: Table, alias: Alias, columns: Vec<Expr>) -> Self {
        Self {
            columns,
            from,
            alias,
            joins: Vec::new(),
            filter: Predicate::True,
            order: Vec::new(),
            limit: None,
            offset: None,
            lock: None,
            cacheable: true,
            bare: false,
        }
    }

    /// The same with this `WHERE`.
    pub fn filter(mut self, filter: Predicate) -> Self {
        self.filter = filter;
        self
    }
}

/// How rows that a select finds are held until the transaction ends. SQLite has neither: a transaction that writes excludes
/// every other there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// `FOR UPDATE`: nobody else writes or holds them.
    Update,
    /// They stay, as a foreign key would have it; others may hold them so, too. `LOCK IN SHARE MODE`, under which nobody
    /// else writes them; on PostgreSQL `FOR KEY SHARE`, under which others may change what is no key. PostgreSQL asks for the
    /// privilege to update the table, as `FOR UPDATE` does.
    Stay,
}

/// A joined table.
#[derive(Clone, Debug, PartialEq)]
pub struct Join {
    /// Inner or left.
    pub kind: JoinKind,
    /// The table.
    pub table: Table,
    /// Its alias.
    pub alias: Alias,
    /// `ON`.
    pub on: Predicate,
}

/// How a table is joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// `JOIN`.
    Inner,
    /// `LEFT JOIN`.
    Left,
}

/// One sort key. NULLs come first ascending and last descending on every dialect.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// What is sorted by.
    pub by: Expr,
    /// `DESC`.
    pub descending: bool,
}

/// `(select) UNION ALL (select) ... ORDER BY n [DESC], ... LIMIT .. OFFSET ..`; the sort keys are
/// columns of the select list, counted from 0. A part with a limit brings its own first rows in its own order.
#[derive(Clone, Debug, PartialEq)]
pub struct Union {
    /// The parts, all with the same number of columns.
    pub selects: Vec<Select>,
    /// Columns to sort by and whether descending; NULLs as in [`Order`].
    pub order: Vec<(usize, bool)>,
    /// `LIMIT`.
    pub limit: Option<u64>,
    /// `OFFSET`.
    pub offset: Option<u64>,
}

/// `INSERT INTO table (columns) VALUES (row), (row) ...`.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// Where to.
    pub table: Table,
    /// Columns; may be empty for a row of defaults.
    pub columns: Vec<Ident>,
    /// One expression a column.
    pub rows: Vec<Vec<Expr>>,
    /// What to do when the row is there already.
    pub on_conflict: OnConflict,
}

/// What an insert does when a unique key is taken.
#[derive(Clone, Debug, PartialEq)]
pub enum OnConflict {
    /// It fails.
    Fail,
    /// The row that is there gets these columns from the row that was to be inserted. `key` names the
    /// columns of the unique key. With no columns to update it still locks the row where the
    /// dialect can.
    Update {
        /// The unique key.
        key: Vec<Ident>,
        /// Columns taken over.
        columns: Vec<Ident>,
    },
}

/// `UPDATE table SET ... WHERE filter`; columns stand without an alias.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Which table.
    pub table: Table,
    /// Columns and their new values.
    pub set: Vec<(Ident, Expr)>,
    /// Which rows.
    pub filter: Predicate,
}

/// `DELETE FROM table WHERE filter`; columns stand without an alias.
#[derive(Clone, Debug, PartialEq)]
pub struct Delete {
    /// Which table.
    pub table: Table,
    /// Which rows.
    pub filter: Predicate,
}

/// A scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A column; without an alias only in updates and deletes.
    Column(Option<Alias>, Ident),
    /// A bind that travels with the tree; on PostgreSQL cast to the column's type where one is given.
    Value(Value, Option<Cast>),
    /// The `n`th of the parameters given at execution.
    Param(usize, Option<Cast>),
    /// A small integer written out: source numbers, flags. Never from a request.
    Number(i64),
    /// `a || b`: NULL where any part is NULL.
    Concat(Vec<Expr>),
    /// The first that is not NULL.
    Coalesce(Vec<Expr>),
    /// `LOWER(x)`.
    Lower(Box<Expr>),
    /// `x` as text: `CAST(x AS CHAR|TEXT)`, with a binary collation on MySQL, so that it compares
    /// equal to a text column of our own tables.
    Text(Box<Expr>),
    /// `x` compared byte for byte whatever the column's collation.
    Exact(Box<Expr>),
    /// `x` as text without regard to case: in lower case as this database knows letters, compared byte
    /// for byte. Fold both sides: databases differ in which letters they know.
    Folded(Box<Expr>),
    /// Text `x`, and NULL where it is empty (spaces are something).
    NotEmpty(Box<Expr>),
    /// The first so many characters of text `x`.
    Prefix(Box<Expr>, u16),
    /// The first whose condition holds; NULL where none does.
    Case(Vec<(Predicate, Expr)>),
    /// NULL of a type (PostgreSQL), so that the parts of a union agree.
    Null(Cast),
    /// Text `x` as a decimal number of so many places: MySQL would compare it with a decimal as floats.
    Decimal(Box<Expr>, u8),
    /// `x`, which is never NULL where it is sorted by: PostgreSQL then reads an index in its own order.
    Known(Box<Expr>),
    /// Text whose `&`, `<` and `>` may be stored as entities, as it reads (see [`super::entities`]); the separator
    /// between its parts is raw.
    Decoded(Box<Expr>, Option<String>),
    /// Text with each of one character replaced by another.
    Replaced(Box<Expr>, char, char),
    /// One scalar inside a JSON document as text; NULL where the document is empty, invalid or lacks
    /// it. JSON true and false come out as `true` and `false`.
    Json(Box<Expr>, Vec<String>),
    /// A scalar subquery.
    Scalar(Box<Select>),
    /// The rows of a subquery as one JSON array of arrays, as text, in no order; NULL or `[]` for none. What a row
    /// needs of another table comes with it in one statement. Its order and limit are not looked at.
    Rows(Box<Select>),
    /// `COUNT(*)`.
    CountAll,
    /// `MIN(x)`.
    Min(Box<Expr>),
    /// 1 where the predicate holds, else 0.
    Flag(Box<Predicate>),
}

impl Expr {
    /// A column of a table of this statement.
    pub fn column(alias: Alias, name: &Ident) -> Self {
        Expr::Column(Some(alias), name.clone())
    }

    /// A column of the table being updated or deleted from.
    pub fn bare(name: &Ident) -> Self {
        Expr::Column(None, name.clone())
    }

    /// A bind without a cast.
    pub fn value(value: impl Into<Value>) -> Self {
        Expr::Value(value.into(), None)
    }
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicate {
    /// Always.
    True,
    /// Never.
    False,
    /// All of them; empty is true.
    And(Vec<Predicate>),
    /// Any of them; empty is false.
    Or(Vec<Predicate>),
    /// The exact complement: true where the inner one is false or unknown (`(p) IS NOT TRUE`).
    Not(Box<Predicate>),
    /// `a op b`; unknown where either is NULL.
    Compare(Expr, Comparison, Expr),
    /// `x IS NULL`.
    IsNull(Expr),
    /// `x IN (...)`; an empty list is false. Lists are padded to powers of two when rendered, so that
    /// their texts stay few.
    In(Expr, Vec<Expr>),
    /// `x IN (SELECT ...)`.
    InSelect(Expr, Box<Select>),
    /// `EXISTS (SELECT ...)`.
    Exists(Box<Select>),
    /// `x LIKE pattern ESCAPE '!'`; the pattern is a bind in which `!` escapes `%`, `_` and `!`.
    Like(Expr, Expr),
    /// `x & bits = bits`.
    Bits(Expr, i64),
}

impl Predicate {
    /// `left = right`.
    pub fn eq(left: Expr, right: Expr) -> Self {
        Predicate::Compare(left, Comparison::Eq, right)
    }

    /// Both, without needless nesting.
    pub fn and(self, other: Predicate) -> Self {
        match (self, other) {
            (Predicate::True, p) | (p, Predicate::True) => p,
            (Predicate::And(mut all), Predicate::And(more)) => {
                all.extend(more);
                Predicate::And(all)
            }
            (Predicate::And(mut all), p) => {
                all.push(p);
                Predicate::And(all)
            }
            (a, b) => Predicate::And(vec![a, b]),
        }
    }

    /// Either, without needless nesting.
    pub fn or(self, other: Predicate) -> Self {
        match (self, other) {
            (Predicate::False, p) | (p, Predicate::False) => p,
            (Predicate::Or(mut any), p) => {
                any.push(p);
                Predicate::Or(any)
            }
            (a, b) => Predicate::Or(vec![a, b]),
        }
    }

    /// The exact complement.
    pub fn negate(self) -> Self {
        Predicate::Not(Box::new(self))
    }
}

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Eq,
    /// `<>`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}
