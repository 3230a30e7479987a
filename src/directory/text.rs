//! How text is compared, so that MySQL, PostgreSQL and SQLite give the same answers.
//!
//! - **caseExact true** compares characters, code point by code point, whatever the column's collation: `=`, order and
//!   LIKE are those of the bytes of UTF-8. Trailing spaces count.
//! - **caseExact false** compares the same way after both sides went through the database's own LOWER, letter by letter.
//!   Accents, trailing spaces and `ß` count. Which letters have a lower case is the database's knowledge, and differs at the
//!   edges: MariaDB's tables are older than `ẞ`, `İ` is `i` to it and nothing else to PostgreSQL, a PostgreSQL database
//!   of locale C knows ASCII alone. Both sides are folded by the same database, so a value always equals itself.
//! - **`eq` (and `ne`) of a unique attribute with caseExact false** follows the column's own collation where that ignores
//!   case on MySQL and PostgreSQL: `jose` finds `josé` in a `utf8mb4_unicode_ci` column and, there, `😀` is `🚀` and trailing
//!   spaces are nothing. What such a column takes for a duplicate is refused with 409; were it not found too, a client
//!   would look, find nothing, create, be refused, and look again, for ever. Attributes that are not unique keep the plain
//!   rule: nobody should be matched by a look-alike e-mail address. `co sw ew gt ge lt le` never follow the collation.
//! - Order is by code point, not by a language's alphabet: a filter's `gt` selects, it does not present.
//! - A column's `''` is absence, as it is read: no operator finds it but `eq null`, `eq ""`, and `ne` of something.
//! - The literal of `eq` is taken as it stands and as it would be stored (trimmed, lower case, a language tag in the
//!   application's spelling): what a client sent is found by what it sent.
//! - Where an application stores `&`, `<` and `>` as entities, or some of its rows do, what is compared is the text that
//!   they stand for; `eq` asks for each stored form of it, so that an index still helps.
//! - No column holds U+0000: a literal with one equals nothing, and is ordered by what stands before it.

use super::asked::{Asked, null_is_not_ordered, text_of};
use super::filter::Compiler;
use crate::adapter::{Column, Conversion};
use crate::scim::{AttributePath, Error, Literal, Operator};
use crate::sql::{ColumnKind, Comparison, Dialect, Expr, Predicate, Value};
use serde_json::Value as Json;

/// What is compared as text.
pub(super) struct Text<'a> {
    /// What it reads as.
    pub expr: Expr,
    /// The column whose types and comparison hold for it; `None` for what is computed or our own.
    pub column: Option<&'a Column>,
    /// How literals become stored values.
    pub conversion: &'a Conversion,
    /// Whether case counts.
    pub case_exact: bool,
    /// Whether uniqueness is kept for it.
    pub unique: bool,
}

impl Text<'_> {
    /// As text, whatever the column's type.
    fn as_text(&self) -> Expr {
        self.conversion.reads(self.stored_text())
    }

    /// The same as it is stored.
    fn stored_text(&self) -> Expr {
        text_expr(self.expr.clone(), self.column)
    }

    /// Whether there is a value.
    pub fn present(&self) -> Predicate {
        let text = matches!(self.conversion, Conversion::Text(_) | Conversion::Locale { .. });
        let mut absent = match text {
            true => Predicate::IsNull(Expr::NotEmpty(Box::new(self.stored_text()))),
            false => Predicate::IsNull(self.expr.clone()),
        };
        if let Some(nothing) = self.nothing() {
            absent = absent.or(nothing);
        }
        absent.negate()
    }

    /// The stored value that stands for nothing, where it is neither NULL nor `''`.
    fn nothing(&self) -> Option<Predicate> {
        let Conversion::Text(rule) = self.conversion else {
            return None;
        };
        let text = rule.empty.as_ref()?.to_text().filter(|text| !text.is_empty())?;
        Some(Predicate::eq(exact(self.stored_text()), exact(Expr::value(text))))
    }
}

fn exact(expr: Expr) -> Expr {
    Expr::Exact(Box::new(expr))
}

fn side(expr: Expr, case_exact: bool) -> Expr {
    if case_exact { exact(expr) } else { Expr::Folded(Box::new(expr)) }
}

/// A column as text.
pub(super) fn text_expr(expr: Expr, column: Option<&Column>) -> Expr {
    match column.map(|column| &column.kind) {
        None | Some(ColumnKind::Text(_)) => expr,
        Some(_) => Expr::Text(Box::new(expr)),
    }
}

/// `expr = text` by the attribute's case rule; `unique` as the file says. Uniqueness itself asks with this.
pub(super) fn equal(
    dialect: Dialect,
    expr: Expr,
    column: Option<&Column>,
    case_exact: bool,
    unique: bool,
    text: &str,
) -> Predicate {
    let whole = Predicate::eq(side(text_expr(expr.clone(), column), case_exact), side(Expr::value(text), case_exact));
    // Only a bare column's comparison is its own.
    let Some(column) = column.filter(|column| {
        matches!(expr, Expr::Column(..)) && matches!(column.kind, ColumnKind::Text(_)) && dialect != Dialect::Sqlite
    }) else {
        return whole;
    };
    let own = Predicate::eq(expr.clone(), Expr::Value(Value::from(text), column.cast.clone()));
    // A column in an older character set cannot be compared with characters that it lacks: MySQL raises an error.
    let comparable = dialect != Dialect::Mysql || text.is_ascii();
    let in_plane_zero = text.chars().all(|c| c <= '\u{FFFF}');
    if unique && !case_exact && column.ignores_case && (dialect != Dialect::Mysql || in_plane_zero) {
        // To a collation `''` may equal spaces and characters without weight; it is absence all the same.
        return match text.chars().any(char::is_alphanumeric) {
            true => own,
            false => own.and(Predicate::IsNull(Expr::NotEmpty(Box::new(expr))).negate()),
        };
    }
    if dialect == Dialect::Postgres && case_exact && !column.ignores_case && column.cast.is_none() {
        return own;
    }
    // Coarser than what is asked, and able to use an index.
    if (case_exact || column.ignores_case) && comparable { own.and(whole) } else { whole }
}

impl Compiler<'_> {
    /// A comparison with text.
    pub(super) fn string(
        &mut self,
        text: &Text<'_>,
        asked: Asked<'_>,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        if let Some(opposite) = asked.opposite() {
            return Ok(self.string(text, opposite, path)?.negate());
        }
        let (operator, literal) = match asked {
            asked if asked.is_null() => return Ok(text.present().negate()),
            Asked::Present => return Ok(text.present()),
            Asked::Compare(_, Literal::Null) => return Err(null_is_not_ordered(path)),
            Asked::Compare(operator, literal) => (operator, text_of(literal)),
        };
        if operator == Operator::Eq {
            return Ok(self.equals(text, &literal));
        }
        if !matches!(text.conversion, Conversion::Text(_) | Conversion::Locale { .. }) {
            return Err(Error::invalid_filter(format!("{path} can be compared with eq, ne and pr alone")));
        }
        let kind = text.column.map(|column| &column.kind);
        if !matches!(
            kind,
            None | Some(ColumnKind::Text(_) | ColumnKind::Integer { .. } | ColumnKind::Enum(_) | ColumnKind::Uuid)
                | Some(ColumnKind::Other)
        ) {
            return Err(Error::invalid_filter(format!(
                "{path} can be compared with eq, ne and pr alone: its column does not hold text"
            )));
        }
        let compared = compare(text.as_text(), text.case_exact, operator, &literal);
        Ok(match text.nothing() {
            Some(nothing) => compared.and(nothing.negate()),
            None => compared,
        })
    }

    fn equals(&self, text: &Text<'_>, literal: &str) -> Predicate {
        if literal.contains('\0') {
            return Predicate::False;
        }
        let equal = |value: &str| {
            let forms = text.conversion.forms(value);
            let forms = forms.iter().map(|stored| {
                equal(self.dialect, text.expr.clone(), text.column, text.case_exact, text.unique, stored)
            });
            let equal = forms.fold(Predicate::False, Predicate::or);
            match text.nothing() {
                Some(nothing) => equal.and(nothing.negate()),
                None => equal,
            }
        };
        let Some(column) = text.column else {
            return equal(literal);
        };
        let is_text = matches!(text.conversion, Conversion::Text(_) | Conversion::Locale { .. });
        match text.conversion.write(&Json::from(literal), column, self.adapter.time_zone) {
            Ok(Value::Text(stored)) if text.conversion.shown(&stored) == literal => equal(literal),
            Ok(Value::Text(stored)) if is_text && !stored.is_empty() => {
                equal(literal).or(equal(&text.conversion.shown(&stored)))
            }
            Ok(Value::Text(stored)) if !is_text => {
                Predicate::eq(text.expr.clone(), Expr::Value(Value::Text(stored), column.cast.clone()))
            }
            // Trimmed to nothing.
            Ok(Value::Text(_) | Value::Null) => equal(literal),
            // A number in a column of numbers is shown in one way only: 007 is not 7.
            Ok(value @ (Value::Int(_) | Value::UInt(_))) if value.to_text().as_deref() != Some(literal) => {
                Predicate::False
            }
            Ok(value) => Predicate::eq(text.expr.clone(), Expr::Value(value, column.cast.clone())),
            // What the column cannot hold is equal to nothing in it.
            Err(_) => Predicate::False,
        }
    }
}

/// One operator other than `eq` and `ne` on text; `expr` is text already.
pub(super) fn compare(expr: Expr, case_exact: bool, operator: Operator, literal: &str) -> Predicate {
    let (before, cut) = match literal.split_once('\0') {
        Some((before, _)) => (before, true),
        None => (literal, false),
    };
    let like =
        |pattern: String| Predicate::Like(side(expr.clone(), case_exact), side(Expr::value(pattern), case_exact));
    let present = || Predicate::IsNull(Expr::NotEmpty(Box::new(expr.clone()))).negate();
    let comparison = match operator {
        Operator::Co | Operator::Sw | Operator::Ew if cut => return Predicate::False,
        Operator::Co | Operator::Sw | Operator::Ew if literal.is_empty() => return present(),
        Operator::Co => return like(format!("%{}%", escape(literal))),
        Operator::Sw => return like(format!("{}%", escape(literal))),
        Operator::Ew => return like(format!("%{}", escape(literal))),
        // Nothing stands between `ab` and `ab\0...` but `ab` itself.
        Operator::Gt | Operator::Ge if cut => Comparison::Gt,
        Operator::Lt | Operator::Le if cut => Comparison::Le,
        Operator::Gt => Comparison::Gt,
        Operator::Ge => Comparison::Ge,
        Operator::Lt => Comparison::Lt,
        Operator::Le => Comparison::Le,
        // Asked elsewhere: here so that no operator is without an answer.
        Operator::Eq => Comparison::Eq,
        Operator::Ne => Comparison::Ne,
    };
    let right = side(Expr::value(before), case_exact);
    // '' is below everything, and absent.
    let left = match comparison {
        Comparison::Lt | Comparison::Le | Comparison::Ge => Expr::NotEmpty(Box::new(expr)),
        _ => expr,
    };
    Predicate::Compare(side(left, case_exact), comparison, right)
}

/// Text inside a LIKE pattern.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            escaped.push('!');
        }
        escaped.push(c);
    }
    escaped
}
