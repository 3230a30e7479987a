//! Whether one value of a multi-valued attribute meets a filter: for the value paths of PATCH, never for searching.

use std::cmp::Ordering;

use serde_json::Value;

use super::{Attribute, AttributePath, Filter, Kind, Literal, Operator};

/// `element` is in normal form. A sub-attribute that the schema does not have meets nothing.
pub(super) fn matches(filter: &Filter, element: &Value, attribute: &Attribute) -> bool {
    match filter {
        Filter::And(all) => all.iter().all(|filter| matches(filter, element, attribute)),
        Filter::Or(any) => any.iter().any(|filter| matches(filter, element, attribute)),
        Filter::Not(filter) => !matches(filter, element, attribute),
        Filter::Present(path) => part(path, element, attribute).is_some(),
        Filter::Compare(path, operator, literal) => match part(path, element, attribute) {
            Some((sub, value)) => compare(sub, value, *operator, literal),
            None => matches!((operator, literal), (Operator::Eq, Literal::Null)),
        },
        Filter::Value(..) => false,
    }
}

/// A filter's literal as a value of the attribute: `"True"` for a boolean is true, `7` for a string is `"7"`.
pub(super) fn literal_value(attribute: &Attribute, literal: &Literal) -> Option<Value> {
    match (attribute.kind, literal) {
        (_, Literal::Null) => None,
        (Kind::Boolean, Literal::String(text)) if text.eq_ignore_ascii_case("true") => Some(true.into()),
        (Kind::Boolean, Literal::String(text)) if text.eq_ignore_ascii_case("false") => Some(false.into()),
        (Kind::Boolean, Literal::Boolean(value)) => Some((*value).into()),
        (Kind::Boolean | Kind::Complex, _) => None,
        (Kind::Integer | Kind::Decimal, Literal::Number(number)) => Some(Value::Number(number.clone())),
        (Kind::Integer | Kind::Decimal, Literal::String(text)) => text.parse().ok().map(Value::Number),
        (Kind::Integer | Kind::Decimal, Literal::Boolean(_)) => None,
        (_, Literal::String(text)) => Some(text.as_str().into()),
        (_, Literal::Number(number)) => Some(number.to_string().into()),
        (_, Literal::Boolean(value)) => Some(value.to_string().into()),
    }
}

/// The sub-attribute and its value; a simple value is its own `value`.
fn part<'a>(path: &AttributePath, element: &'a Value, attribute: &'a Attribute) -> Option<(&'a Attribute, &'a Value)> {
    match element {
        Value::Object(object) => {
            let sub = attribute.sub(&path.attribute)?;
            Some((sub, object.get(&sub.name)?))
        }
        value if path.attribute.eq_ignore_ascii_case("value") => Some((attribute, value)),
        _ => None,
    }
}

fn compare(attribute: &Attribute, value: &Value, operator: Operator, literal: &Literal) -> bool {
    let Some(literal) = literal_value(attribute, literal) else {
        return operator == Operator::Ne;
    };
    match (value, &literal) {
        (Value::String(value), Value::String(literal)) if attribute.case_exact => texts(value, operator, literal),
        (Value::String(value), Value::String(literal)) => {
            texts(&value.to_lowercase(), operator, &literal.to_lowercase())
        }
        (Value::Number(value), Value::Number(literal)) => {
            value.as_f64().partial_cmp(&literal.as_f64()).is_some_and(|order| ordered(order, operator))
        }
        (value, literal) => match operator {
            Operator::Eq => value == literal,
            Operator::Ne => value != literal,
            _ => false,
        },
    }
}

fn texts(value: &str, operator: Operator, literal: &str) -> bool {
    match operator {
        Operator::Co => value.contains(literal),
        Operator::Sw => value.starts_with(literal),
        Operator::Ew => value.ends_with(literal),
        operator => ordered(value.cmp(literal), operator),
    }
}

fn ordered(order: Ordering, operator: Operator) -> bool {
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ne => order.is_ne(),
        Operator::Gt => order.is_gt(),
        Operator::Ge => order.is_ge(),
        Operator::Lt => order.is_lt(),
        Operator::Le => order.is_le(),
        Operator::Co | Operator::Sw | Operator::Ew => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::{Schema, filter};

    #[test]
    fn elements() {
        let user = Schema::user();
        let emails = user.attribute("emails").unwrap();
        let element = json!({"value": "Ada@example.org", "type": "work", "primary": true});
        for (text, expected) in [
            (r#"type eq "WORK""#, true),
            (r#"type eq "home""#, false),
            (r#"primary eq "True""#, true),
            ("primary eq false", false),
            (r#"value ew "@EXAMPLE.org" and type sw "w""#, true),
            ("display pr", false),
            ("display eq null", true),
            (r#"not (type eq "home") or display pr"#, true),
            (r#"shoe eq "x""#, false),
            (r#"type ne "home""#, true),
        ] {
            let filter = Filter::parse(text, &filter::Limits::default()).unwrap();
            assert_eq!(matches(&filter, &element, emails), expected, "{text}");
        }
    }
}
