//! The words of the adapter language below whole rules: conditions, values, templates. The shapes alone; what
//! they mean for one request is `evaluate`'s.

use super::model::Column;
use crate::sql::{Ident, Table, Value};
use std::sync::Arc;

/// The one shape of every `where`, `protected`, `leave`, `guard`, `when` and scope.
#[derive(Clone, Debug)]
pub enum Condition {
    /// Always.
    True,
    /// All of them.
    And(Vec<Condition>),
    /// Any of them.
    Or(Vec<Condition>),
    /// The exact complement.
    Not(Box<Condition>),
    /// One operand, one test.
    Test(Operand, Test),
}

impl Condition {
    /// The columns of the row itself that it looks at.
    pub fn columns(&self) -> Vec<&Ident> {
        match self {
            Condition::True | Condition::Test(Operand::Attribute(_), _) => Vec::new(),
            Condition::And(all) | Condition::Or(all) => all.iter().flat_map(Condition::columns).collect(),
            Condition::Not(inner) => inner.columns(),
            Condition::Test(Operand::Column(column) | Operand::Json(column, _), _) => vec![&column.name],
        }
    }

    /// What is left of it whatever these columns hold: each test of one of them may hold, and may not.
    pub fn without(&self, columns: &[&Ident]) -> Condition {
        self.supposing(columns, true)
    }

    /// The same with every test of these columns answered.
    fn supposing(&self, columns: &[&Ident], holds: bool) -> Condition {
        let parts = |all: &[Condition]| all.iter().map(|part| part.supposing(columns, holds)).collect();
        match self {
            Condition::And(all) => Condition::And(parts(all)),
            Condition::Or(any) => Condition::Or(parts(any)),
            Condition::Not(inner) => Condition::Not(Box::new(inner.supposing(columns, !holds))),
            Condition::Test(Operand::Column(column) | Operand::Json(column, _), _)
                if columns.contains(&&column.name) =>
            {
                if holds {
                    Condition::True
                } else {
                    Condition::Or(Vec::new())
                }
            }
            Condition::True | Condition::Test(..) => self.clone(),
        }
    }
}

/// What a test looks at.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A column of the condition's table.
    Column(Column),
    /// A scalar inside a JSON column, as text.
    Json(Column, Vec<String>),
    /// An attribute of the resource, in `when` alone: index into [`Source::attributes`].
    Attribute(usize),
}

/// A test.
#[derive(Clone, Debug)]
pub enum Test {
    /// Equality; IS NULL where the expression is null.
    Is(Expression),
    /// One of.
    In(Vec<Expression>),
    /// `LIKE`, `%` and `_` as in SQL.
    Like(String),
    /// `<`
    Lt(Expression),
    /// `<=`
    Le(Expression),
    /// `>`
    Gt(Expression),
    /// `>=`
    Ge(Expression),
    /// All these bits are set.
    Bits(i64),
    /// The value stands in a column of another table.
    InTable(Arc<ScalarSelect>),
    /// `{changed: true}` (in `when`).
    Changed,
    /// `{becomes: x}` (in `when`).
    Becomes(Expression),
    /// `{was: x}` (in `when`).
    Was(Expression),
}

/// `{ table, column, where }`.
#[derive(Clone, Debug)]
pub struct ScalarSelect {
    /// From where.
    pub table: Table,
    /// Which column.
    pub column: Column,
    /// Which rows.
    pub filter: Condition,
}

/// A value that the adapter gives.
#[derive(Clone, Debug)]
pub enum Expression {
    /// A literal, converted to its column's type.
    Literal(Value),
    /// One variable alone keeps its type.
    Variable(Variable),
    /// Text with variables in it.
    Template(Template),
    /// A scalar subquery.
    Select(Arc<ScalarSelect>),
    /// The first that is not null.
    FirstOf(Vec<Expression>),
}

/// Text with variables. It has no value where one of them has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(pub Vec<Part>);

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// As it stands.
    Text(String),
    /// Filled in.
    Variable(Variable),
}

/// The closed list of `${...}`; parameters are filled in before.
#[derive(Clone, Debug, PartialEq)]
pub enum Variable {
    /// The row's key.
    Id,
    /// This request's instant, as the column it goes to wants it.
    Now,
    /// A fresh UUID.
    Uuid,
    /// A hash of a password that nobody knows.
    RandomPassword,
    /// The acting user's key.
    ActorId,
    /// The acting user's label; empty without one.
    ActorLabel,
    /// The identity server's name.
    Server,
    /// The request id.
    RequestId,
    /// The client's address.
    ClientAddress,
    /// The client's User-Agent.
    ClientAgent,
    /// An attribute of the resource as the client wants it: index into [`Source::attributes`].
    Attribute(usize),
    /// The part before `@` of an attribute.
    LocalPart(usize),
    /// A column of the row (of the lookup's row in a lookup's label).
    Column(Ident),
    /// The row's label.
    Label,
    /// What a guard counted.
    Count,
    /// JSON of the old and new values of the columns in [`Step::of`].
    Changes,
    /// `${each.COLUMN}`.
    Each(Ident),
    /// `${each.COLUMN.label}`.
    EachLabel(Ident),
    /// `${each.old}` of `for_each: change`.
    EachOld,
    /// `${each.new}`.
    EachNew,
    /// `${each.code}`.
    EachCode,
}

#[test]
fn a_test_left_out_may_hold_and_may_not() {
    let column = |name: &str| Column {
        name: name.into(),
        kind: crate::sql::ColumnKind::Text(None),
        cast: None,
        nullable: true,
        ignores_case: false,
    };
    let is = |name: &str| Condition::Test(Operand::Column(column(name)), Test::Is(Expression::Literal(Value::Null)));
    let not = |inner| Condition::Not(Box::new(inner));
    let never = || Condition::Or(Vec::new());
    let ended = Ident::new("ended");
    for (condition, left) in [
        (is("ended"), Condition::True),
        (is("kind"), is("kind")),
        (not(is("ended")), not(never())),
        (
            Condition::Or(vec![Condition::And(vec![is("kind"), is("ended")]), is("pinned")]),
            Condition::Or(vec![Condition::And(vec![is("kind"), Condition::True]), is("pinned")]),
        ),
        (not(Condition::Or(vec![is("kind"), is("ended")])), not(Condition::Or(vec![is("kind"), never()]))),
        (not(not(is("ended"))), not(not(Condition::True))),
    ] {
        assert_eq!(format!("{:?}", condition.without(&[&ended])), format!("{left:?}"), "{condition:?}");
    }
}
