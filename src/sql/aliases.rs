//! Which tables a piece of a statement looks at, so that joins nobody needs can be left out.

use super::{Alias, Expr, Predicate, Select};
use std::collections::BTreeSet;

/// Collects the aliases that an expression uses, subqueries included.
pub fn aliases_in(expr: &Expr, used: &mut BTreeSet<Alias>) {
    match expr {
        Expr::Column(Some(alias), _) => {
            used.insert(*alias);
        }
        Expr::Column(None, _)
        | Expr::Value(..)
        | Expr::Param(..)
        | Expr::Number(_)
        | Expr::Null(_)
        | Expr::CountAll => {}
        Expr::Concat(parts) | Expr::Coalesce(parts) => parts.iter().for_each(|part| aliases_in(part, used)),
        Expr::Lower(inner)
        | Expr::Text(inner)
        | Expr::Exact(inner)
        | Expr::Folded(inner)
        | Expr::NotEmpty(inner)
        | Expr::Prefix(inner, _)
        | Expr::Decimal(inner, _)
        | Expr::Known(inner)
        | Expr::Min(inner)
        | Expr::Decoded(inner, _)
        | Expr::Replaced(inner, ..)
        | Expr::Json(inner, _) => aliases_in(inner, used),
        Expr::Scalar(select) | Expr::Rows(select) => aliases_in_select(select, used),
        Expr::Case(choices) => choices.iter().for_each(|(when, then)| {
            aliases_in_predicate(when, used);
            aliases_in(then, used);
        }),
        Expr::Flag(predicate) => aliases_in_predicate(predicate, used),
    }
}

/// The same for a condition.
pub fn aliases_in_predicate(predicate: &Predicate, used: &mut BTreeSet<Alias>) {
    match predicate {
        Predicate::True | Predicate::False => {}
        Predicate::And(all) | Predicate::Or(all) => all.iter().for_each(|one| aliases_in_predicate(one, used)),
        Predicate::Not(inner) => aliases_in_predicate(inner, used),
        Predicate::Compare(left, _, right) | Predicate::Like(left, right) => {
            aliases_in(left, used);
            aliases_in(right, used);
        }
        Predicate::IsNull(expr) | Predicate::Bits(expr, _) => aliases_in(expr, used),
        Predicate::In(expr, list) => {
            aliases_in(expr, used);
            list.iter().for_each(|one| aliases_in(one, used));
        }
        Predicate::InSelect(expr, select) => {
            aliases_in(expr, used);
            aliases_in_select(select, used);
        }
        Predicate::Exists(select) => aliases_in_select(select, used),
    }
}

fn aliases_in_select(select: &Select, used: &mut BTreeSet<Alias>) {
    select.columns.iter().for_each(|column| aliases_in(column, used));
    select.joins.iter().for_each(|join| aliases_in_predicate(&join.on, used));
    aliases_in_predicate(&select.filter, used);
    select.order.iter().for_each(|order| aliases_in(&order.by, used));
}
