//! What one comparison of a filter asks, and its answer where the value is known without the database.

use crate::scim::{AttributePath, Error, Literal, Operator};
use crate::sql::Predicate;
use serde_json::Value as Json;

/// What is asked of an attribute.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    /// `pr`.
    Present,
    /// An operator and a literal.
    Compare(Operator, &'a Literal),
}

impl<'a> Asked<'a> {
    /// Whether absence is asked for, one way or the other: `eq null`, `ne ""`.
    pub fn is_null(self) -> bool {
        matches!(self, Asked::Compare(Operator::Eq | Operator::Ne, literal) if is_nothing(literal))
    }

    /// `ne`.
    pub fn negated(self) -> bool {
        matches!(self, Asked::Compare(Operator::Ne, _))
    }

    /// Every `ne` is the complement of this `eq`: what is absent is not equal.
    pub fn opposite(self) -> Option<Asked<'a>> {
        match self {
            Asked::Compare(Operator::Ne, literal) => Some(Asked::Compare(Operator::Eq, literal)),
            _ => None,
        }
    }

    /// The answer for an attribute that this source never has.
    pub fn of_absent(self) -> Predicate {
        if self.is_null() != self.negated() { Predicate::True } else { Predicate::False }
    }

    /// The answer where only presence is asked for, one way or the other.
    pub fn of_presence(self, present: Predicate) -> Option<Predicate> {
        match self {
            Asked::Present => Some(present),
            asked if asked.is_null() => Some(if asked.negated() { present } else { present.negate() }),
            Asked::Compare(..) => None,
        }
    }

    /// The answer for a value that is known here: constants, and each word of a small set. 400 where the literal is of
    /// another type.
    pub fn holds_of(self, value: &Json, case_exact: bool, path: &AttributePath) -> Result<bool, Error> {
        let (operator, literal) = match self {
            Asked::Present => return Ok(!value.is_null()),
            Asked::Compare(operator, literal) => (operator, literal),
        };
        if self.is_null() {
            return Ok(self.negated());
        }
        if *literal == Literal::Null {
            return Err(null_is_not_ordered(path));
        }
        match value {
            Json::Bool(value) => {
                let equal = *value == boolean(literal, path)?;
                match operator {
                    Operator::Eq => Ok(equal),
                    Operator::Ne => Ok(!equal),
                    _ => Err(boolean_is_not_ordered(path)),
                }
            }
            Json::Number(number) => {
                let (Some(a), Some(b)) = (number.as_f64(), number_of(literal)) else {
                    return Err(Error::invalid_filter(format!("{path} is a number: compare it with one")));
                };
                Ok(match operator {
                    Operator::Eq => a == b,
                    Operator::Ne => a != b,
                    Operator::Gt => a > b,
                    Operator::Ge => a >= b,
                    Operator::Lt => a < b,
                    Operator::Le => a <= b,
                    Operator::Co | Operator::Sw | Operator::Ew => return Err(not_text(path)),
                })
            }
            Json::String(text) => {
                let fold = |text: &str| {
                    if case_exact {
                        text.to_owned()
                    } else {
                        text.chars().filter_map(|c| c.to_lowercase().next()).collect()
                    }
                };
                let (a, b) = (fold(text), fold(&text_of(literal)));
                Ok(match operator {
                    Operator::Eq => a == b,
                    Operator::Ne => a != b,
                    Operator::Co => a.contains(&b),
                    Operator::Sw => a.starts_with(&b),
                    Operator::Ew => a.ends_with(&b),
                    Operator::Gt => a > b,
                    Operator::Ge => a >= b,
                    Operator::Lt => a < b,
                    Operator::Le => a <= b,
                })
            }
            _ => Err(Error::invalid_filter(format!("{path} can be asked for with pr alone"))),
        }
    }
}

/// `null` and `""` both say that there is no value (RFC 7643 2.5; what a client writes as `""` is cleared).
fn is_nothing(literal: &Literal) -> bool {
    match literal {
        Literal::Null => true,
        Literal::String(text) => text.is_empty(),
        _ => false,
    }
}

/// A literal as text: clients leave quotes out.
pub(super) fn text_of(literal: &Literal) -> String {
    match literal {
        Literal::String(text) => text.clone(),
        Literal::Number(number) => number.to_string(),
        Literal::Boolean(b) => b.to_string(),
        Literal::Null => String::new(),
    }
}

fn number_of(literal: &Literal) -> Option<f64> {
    match literal {
        Literal::Number(number) => number.as_f64(),
        Literal::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A literal as a boolean: Entra ID writes `"True"`.
pub(super) fn boolean(literal: &Literal, path: &AttributePath) -> Result<bool, Error> {
    match literal {
        Literal::Boolean(b) => Ok(*b),
        Literal::String(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
        Literal::String(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(Error::invalid_filter(format!("{path} is a boolean: compare it with true or false"))),
    }
}

pub(super) fn boolean_is_not_ordered(path: &AttributePath) -> Error {
    Error::invalid_filter(format!("{path} is a boolean: eq, ne and pr alone"))
}

pub(super) fn null_is_not_ordered(path: &AttributePath) -> Error {
    Error::invalid_filter(format!("{path}: null can be compared with eq and ne alone"))
}

pub(super) fn not_text(path: &AttributePath) -> Error {
    Error::invalid_filter(format!("{path} is not text: co, sw and ew do not apply"))
}
