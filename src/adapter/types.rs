//! `types` and `type`: how a value travels, from its SCIM type, what its column holds, and what the
//! adapter says.

use super::context::{Context, Scope};
use super::expressions::{expression, holds, literal};
use super::{Column, Conversion, Entities, Expression, TextRule};
use crate::document::{Findings, Node, Reader, nearest};
use crate::scim::Kind;
use crate::sql::{ColumnKind, Value};

const WORDS: &[&str] =
    &["string", "text", "boolean", "integer", "decimal", "datetime", "date", "binary", "json", "uuid"];
const FORMS: &[&str] = &["boolean", "enum", "datetime", "text", "locale", "uuid"];

/// The conversion for an attribute of `kind` (what the schema says, if any schema does) over `column`.
pub(super) fn conversion(
    node: Option<&Node>,
    kind: Option<Kind>,
    column: &Column,
    at: &Node,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Conversion {
    let Some(node) = node.filter(|node| !node.is_null()) else {
        return natural(kind, column, at, findings);
    };
    let said = match node.as_str() {
        Some(name) => match context.types.as_ref().and_then(|types| types.get(name)) {
            Some(named) => form(named, column, context, findings),
            None if WORDS.contains(&name) => word(name, column, at, findings),
            None => {
                let finding = findings.error(node, format!("there is no type `{name}`"));
                let own = context.types.as_ref().map(Node::entries).unwrap_or_default();
                let names = own.iter().map(|(key, _)| key.text.as_str()).chain(WORDS.iter().copied());
                if let Some(near) = nearest(name, names) {
                    finding.help(format!("did you mean `{near}`?"));
                }
                None
            }
        },
        None => form(node, column, context, findings),
    };
    let Some(conversion) = said else {
        return Conversion::Text(TextRule::default());
    };
    if let Some(kind) = kind
        && !speaks(&conversion, kind)
    {
        findings.error(node, format!("the attribute is of type {}, which this type does not give", kind.as_str()));
    }
    conversion
}

/// The SCIM type that a conversion gives, for attributes that no RFC describes.
pub(super) fn kind_of(conversion: &Conversion) -> Kind {
    match conversion {
        Conversion::Boolean { .. } => Kind::Boolean,
        Conversion::Integer => Kind::Integer,
        Conversion::Decimal => Kind::Decimal,
        Conversion::DateTime | Conversion::Unix(_) => Kind::DateTime,
        Conversion::Binary => Kind::Binary,
        Conversion::Json => Kind::Complex,
        _ => Kind::String,
    }
}

fn speaks(conversion: &Conversion, kind: Kind) -> bool {
    let given = kind_of(conversion);
    given == kind
        || match kind {
            Kind::String | Kind::Reference => given == Kind::String,
            Kind::Decimal => given == Kind::Integer,
            _ => false,
        }
}

fn flag(yes: Value, no: Value) -> Conversion {
    Conversion::Boolean { yes: vec![Expression::Literal(yes)], no: vec![Expression::Literal(no)] }
}

/// Without a word from the adapter.
fn natural(kind: Option<Kind>, column: &Column, at: &Node, findings: &mut Findings) -> Conversion {
    let stored = &column.kind;
    let text = || Conversion::Text(TextRule::default());
    let Some(kind) = kind else {
        return match stored {
            ColumnKind::Integer { .. } => Conversion::Integer,
            ColumnKind::Boolean => flag(Value::Bool(true), Value::Bool(false)),
            ColumnKind::Decimal | ColumnKind::Float => Conversion::Decimal,
            ColumnKind::DateTime | ColumnKind::Instant => Conversion::DateTime,
            ColumnKind::Date => Conversion::Date,
            ColumnKind::Binary(_) => Conversion::Binary,
            ColumnKind::Json => Conversion::Json,
            ColumnKind::Uuid => Conversion::Uuid,
            ColumnKind::Text(_) | ColumnKind::Enum(_) | ColumnKind::Other => text(),
        };
    };
    let conversion = match (kind, stored) {
        (Kind::String | Kind::Reference, ColumnKind::Date) => Some(Conversion::Date),
        (Kind::String | Kind::Reference, ColumnKind::Uuid) => Some(Conversion::Uuid),
        (Kind::String | Kind::Reference, ColumnKind::Text(_) | ColumnKind::Enum(_) | ColumnKind::Other) => Some(text()),
        (Kind::Boolean, ColumnKind::Boolean) => Some(flag(Value::Bool(true), Value::Bool(false))),
        (Kind::Boolean, ColumnKind::Integer { .. }) => Some(flag(Value::Int(1), Value::Int(0))),
        (Kind::Integer, ColumnKind::Integer { .. } | ColumnKind::Decimal) => Some(Conversion::Integer),
        (Kind::Decimal, ColumnKind::Decimal | ColumnKind::Float | ColumnKind::Integer { .. }) => {
            Some(Conversion::Decimal)
        }
        (Kind::DateTime, ColumnKind::DateTime | ColumnKind::Instant | ColumnKind::Text(_)) => {
            Some(Conversion::DateTime)
        }
        (Kind::Binary, ColumnKind::Binary(_) | ColumnKind::Text(_)) => Some(Conversion::Binary),
        (Kind::Complex, ColumnKind::Json) => Some(Conversion::Json),
        _ => None,
    };
    conversion.unwrap_or_else(|| {
        let help = match (kind, stored) {
            (Kind::Boolean, _) => "say what stands for each side: `type: { boolean: { true: ..., false: ... } }`",
            (Kind::DateTime, ColumnKind::Integer { .. }) => {
                "say how it counts: `type: { datetime: { unix: seconds } }`"
            }
            (Kind::String, ColumnKind::Integer { .. }) => "if only numbers are ever sent, say `type: text`",
            (_, ColumnKind::Json) => "name the key in the document: `json: [key]`",
            (Kind::Complex, _) => "a complex attribute is mapped by its sub-attributes",
            _ => "say how with `type`",
        };
        findings
            .error(
                at,
                format!(
                    "the column `{}` {}, and the attribute is of type {}",
                    column.name,
                    holds(stored),
                    kind.as_str()
                ),
            )
            .help(help);
        text()
    })
}

/// A type called by one word.
fn word(word: &str, column: &Column, at: &Node, findings: &mut Findings) -> Option<Conversion> {
    let stored = &column.kind;
    let fits = match word {
        "boolean" => matches!(stored, ColumnKind::Boolean | ColumnKind::Integer { .. }),
        "integer" => {
            matches!(stored, ColumnKind::Integer { .. } | ColumnKind::Decimal | ColumnKind::Text(_) | ColumnKind::Other)
        }
        "decimal" => {
            !matches!(stored, ColumnKind::Binary(_) | ColumnKind::Boolean | ColumnKind::Json | ColumnKind::Enum(_))
        }
        "datetime" => {
            matches!(stored, ColumnKind::DateTime | ColumnKind::Instant | ColumnKind::Date | ColumnKind::Text(_))
        }
        "date" => matches!(stored, ColumnKind::Date | ColumnKind::DateTime | ColumnKind::Instant | ColumnKind::Text(_)),
        "binary" => matches!(stored, ColumnKind::Binary(_) | ColumnKind::Text(_)),
        "json" => matches!(stored, ColumnKind::Json | ColumnKind::Text(_)),
        "uuid" => matches!(stored, ColumnKind::Uuid | ColumnKind::Text(_) | ColumnKind::Binary(_)),
        _ => true,
    };
    if !fits {
        let finding = findings.error(at, format!("the column `{}` {}, which is no {word}", column.name, holds(stored)));
        if word == "boolean" {
            finding.help("say what stands for each side: `type: { boolean: { true: ..., false: ... } }`");
        }
        return None;
    }
    Some(match word {
        "boolean" if *stored == ColumnKind::Boolean => flag(Value::Bool(true), Value::Bool(false)),
        "boolean" => flag(Value::Int(1), Value::Int(0)),
        "integer" => Conversion::Integer,
        "decimal" => Conversion::Decimal,
        "datetime" => Conversion::DateTime,
        "date" => Conversion::Date,
        "binary" => Conversion::Binary,
        "json" => Conversion::Json,
        "uuid" => Conversion::Uuid,
        _ => Conversion::Text(TextRule::default()),
    })
}

/// `{ boolean: ... }`, `{ enum: ... }` and so on; also a named type that is only a word.
fn form(node: &Node, column: &Column, context: &Context<'_>, findings: &mut Findings) -> Option<Conversion> {
    if let Some(name) = node.as_str() {
        if WORDS.contains(&name) {
            return word(name, column, node, findings);
        }
        findings.error(node, format!("there is no type `{name}`")).help(format!("one of {}", WORDS.join(", ")));
        return None;
    }
    let [(key, inner)] = node.read_entries(findings)? else {
        findings.error(node, "a type has exactly one key").help(format!("one of {}", FORMS.join(", ")));
        return None;
    };
    match key.text.as_str() {
        "boolean" => {
            let mut reader = Reader::mapping(inner, findings)?;
            let yes = reader.optional("true");
            let no = reader.optional("false");
            reader.finish(findings);
            let (Some(yes), Some(no)) = (yes, no) else {
                findings.error(inner, "both `true` and `false` need their stored values");
                return None;
            };
            let mut side = |node: &Node| -> Vec<Expression> {
                let values = if node.is_null() { std::slice::from_ref(node) } else { node.one_or_many() };
                values.iter().map(|value| expression(value, column, Scope::plain(), context, findings)).collect()
            };
            let (yes, no) = (side(yes), side(no));
            if yes.is_empty() || no.is_empty() {
                findings.error(inner, "both sides need a value");
                return None;
            }
            Some(Conversion::Boolean { yes, no })
        }
        "enum" => Some(Conversion::Enum(
            inner
                .read_entries(findings)?
                .iter()
                .map(|(word, stored)| (word.text.clone(), literal(stored, column, findings)))
                .collect(),
        )),
        "datetime" => {
            let mut reader = Reader::mapping(inner, findings)?;
            let scale =
                reader.word("unix", &[("seconds", 1), ("milliseconds", 1000), ("microseconds", 1_000_000)], findings);
            reader.finish(findings);
            Some(Conversion::Unix(scale?))
        }
        "text" => text(inner, column, findings).map(Conversion::Text),
        "locale" => {
            let mut reader = Reader::mapping(inner, findings)?;
            let style = reader.string("style", findings);
            let values = reader.given("values").map(Node::one_or_many).unwrap_or_default();
            reader.finish(findings);
            let values: Vec<String> =
                values.iter().filter_map(|value| value.read_str(findings).map(str::to_owned)).collect();
            let separator = if style.is_some_and(|style| style.contains('_')) { '_' } else { '-' };
            Some(Conversion::Locale { separator, values })
        }
        "uuid" => {
            let mut reader = Reader::mapping(inner, findings)?;
            let binary = reader.word("stored", &[("text", false), ("binary", true)], findings);
            reader.finish(findings);
            if binary.is_some_and(|binary| binary != matches!(column.kind, ColumnKind::Binary(_))) {
                findings.error(inner, format!("the column `{}` {}", column.name, holds(&column.kind)));
            }
            Some(Conversion::Uuid)
        }
        other => {
            let finding = findings.error(key, format!("there is no type `{other}`"));
            match nearest(other, FORMS.iter().copied()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!("one of {}", FORMS.join(", "))),
            };
            None
        }
    }
}

fn text(node: &Node, column: &Column, findings: &mut Findings) -> Option<TextRule> {
    let mut reader = Reader::mapping(node, findings)?;
    let mut rule = TextRule {
        trim: reader.boolean("trim", findings).unwrap_or(false),
        lower: reader.boolean("lower", findings).unwrap_or(false),
        min: count(reader.given("min"), findings),
        max: count(reader.given("max"), findings),
        keep_overflow: reader.word("on_overflow", &[("keep", true), ("reject", false)], findings).unwrap_or(false),
        empty: None,
        entities: None,
        parts: None,
    };
    // `empty: null` says NULL; only its absence keeps ''.
    rule.empty = reader.optional("empty").map(|empty| literal(empty, column, findings));
    if rule.empty == Some(Value::Null) && !column.nullable {
        findings
            .error(node, format!("an empty text becomes NULL, and the column `{}` cannot be NULL", column.name))
            .help("say `empty: ''`, or map the column with another type");
    }
    rule.entities = reader.word("html_entities", &[("always", Entities::Always), ("mixed", Entities::Mixed)], findings);
    if rule.entities.is_some() && !matches!(column.kind, ColumnKind::Text(_)) {
        findings.error(
            node,
            format!("entities are kept in text, and the column `{}` {}", column.name, holds(&column.kind)),
        );
    }
    if let Some((key, parts)) = reader.optional_entry("parts") {
        let separator = parts.read_str(findings).unwrap_or_default();
        if separator.is_empty() {
            findings.error(parts, "the separator between parts is empty").help("like `parts: \" > \"`");
        } else if rule.entities.is_none() {
            findings
                .error(key, "`parts` keeps a separator raw where the rest is stored as entities, and nothing is")
                .help("say `html_entities: always` or `mixed` beside it, or leave `parts` out");
        }
        rule.parts = (!separator.is_empty()).then(|| separator.to_owned());
    }
    reader.finish(findings);
    Some(rule)
}

/// A number of characters.
pub(super) fn count(node: Option<&Node>, findings: &mut Findings) -> Option<u64> {
    let node = node?;
    let number = u64::try_from(node.read_i64(findings)?).ok();
    if number.is_none() {
        findings.error(node, "a length cannot be negative");
    }
    number
}
