//! A filter as the test thinks of it, its text, and its answer by RFC 7644 3.4.2.2 over a resource's JSON.
//!
//! Nothing here is the service's code: neither its parser, nor its compiler, nor its matching of PATCH paths. Where the RFC
//! leaves a choice the service's is modelled, and named here:
//!
//! - absent, `null` and `""` are one; `ne` is `not eq`, so true of what is absent; the other operators are false of it;
//! - a multi-valued attribute meets a comparison where any element does, `ne` also where there is none;
//! - caseExact false compares in lower case, letter by letter; text is ordered by code point;
//! - `eq` of a unique attribute with caseExact false follows the column's collation on MariaDB ([`collated`]);
//! - `eq` on a trimmed attribute takes the literal as it stands or trimmed;
//! - `eq` on text of which an application has stored some with entities and some as it is takes the literal as it stands or
//!   as a column that held it would read: so a client finds what it wrote.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use std::cmp::Ordering;
use unicode_normalization::UnicodeNormalization;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Eq,
    Ne,
    Co,
    Sw,
    Ew,
    Gt,
    Ge,
    Lt,
    Le,
}

impl Op {
    pub const ALL: [Op; 9] = [Op::Eq, Op::Ne, Op::Co, Op::Sw, Op::Ew, Op::Gt, Op::Ge, Op::Lt, Op::Le];
    pub const ORDERED: [Op; 6] = [Op::Eq, Op::Ne, Op::Gt, Op::Ge, Op::Lt, Op::Le];

    fn word(self) -> &'static str {
        ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"][self as usize]
    }
}

/// What an attribute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text without regard to case.
    Loose,
    /// The same, unique.
    Unique,
    /// The same, trimmed when it is stored.
    Tidy,
    /// Text that may be stored with entities or without them.
    Mixed,
    /// A language tag, shown with hyphens: trimmed, and `en_US` asks for `en-US` too.
    Locale,
    /// Text with regard to case.
    Exact,
    Boolean,
    Number,
    Instant,
    /// `2025-10-26`
    Day,
}

/// An attribute or sub-attribute that can be asked for.
#[derive(Debug)]
pub struct Attribute {
    /// Where it stands in the resource's JSON.
    pub pointer: &'static [&'static str],
    /// `urn:...:` of the schema that qualifies it.
    pub urn: &'static str,
    /// Its name in a filter.
    pub name: &'static str,
    /// The sub-attribute inside each element, where the attribute has elements.
    pub sub: Option<&'static str>,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub enum Literal {
    Null,
    Text(String),
    Boolean(bool),
    Number(f64),
    /// Its text in the filter.
    Instant(String),
}

#[derive(Clone, Debug)]
pub enum Question {
    And(Vec<Question>),
    Or(Vec<Question>),
    Not(Box<Question>),
    Present(&'static Attribute),
    Compare(&'static Attribute, Op, Literal),
    /// Only attributes of one multi-valued attribute stand inside, and only their `sub` counts.
    Brackets(&'static Attribute, Box<Question>),
}

/// How a filter is spelled: the cases of names and words, and whether names are qualified.
pub trait Spelling {
    fn word(&mut self, word: &str) -> String;
    fn qualified(&mut self) -> bool;
}

impl Question {
    pub fn text(&self, spelling: &mut impl Spelling) -> String {
        self.spell(spelling, false)
    }

    fn spell(&self, spelling: &mut impl Spelling, inside: bool) -> String {
        let joined = |all: &[Question], word: &str, spelling: &mut _| {
            let parts: Vec<String> = all.iter().map(|one| format!("({})", one.spell(spelling, inside))).collect();
            let word = Spelling::word(spelling, word);
            parts.join(&format!(" {word} "))
        };
        let named = |attribute: &Attribute, spelling: &mut _| match (inside, attribute.sub) {
            (true, sub) => Spelling::word(spelling, sub.unwrap_or("value")),
            (false, sub) => {
                let name = match sub {
                    Some(sub) => format!("{}.{sub}", attribute.name),
                    None => attribute.name.to_owned(),
                };
                let name = Spelling::word(spelling, &name);
                let urn = if Spelling::qualified(spelling) { attribute.urn } else { "" };
                format!("{urn}{name}")
            }
        };
        match self {
            Question::And(all) => joined(all, "and", spelling),
            Question::Or(any) => joined(any, "or", spelling),
            Question::Not(one) => format!("{} ({})", spelling.word("not"), one.spell(spelling, inside)),
            Question::Present(attribute) => format!("{} {}", named(attribute, spelling), spelling.word("pr")),
            Question::Compare(attribute, op, literal) => {
                let name = named(attribute, spelling);
                format!("{name} {} {}", spelling.word(op.word()), literal.text())
            }
            Question::Brackets(attribute, inner) => {
                let name = spelling.word(attribute.name);
                let urn = if spelling.qualified() { attribute.urn } else { "" };
                format!("{urn}{name}[{}]", inner.spell(spelling, true))
            }
        }
    }

    /// Whether a resource meets it.
    pub fn holds(&self, resource: &Known<'_>, collation: bool) -> bool {
        match self {
            Question::And(all) => all.iter().all(|one| one.holds(resource, collation)),
            Question::Or(any) => any.iter().any(|one| one.holds(resource, collation)),
            Question::Not(one) => !one.holds(resource, collation),
            Question::Present(attribute) => resource.values(attribute).iter().any(Option::is_some),
            Question::Compare(attribute, op, literal) => {
                let values = resource.values(attribute);
                let meets = |op| values.iter().any(|value| attribute.kind.meets(*value, op, literal, collation));
                match op {
                    // Of the whole: that nothing is there.
                    Op::Eq if literal.is_nothing() => !values.iter().any(Option::is_some),
                    Op::Ne if literal.is_nothing() => values.iter().any(Option::is_some),
                    Op::Ne => values.is_empty() || meets(Op::Ne),
                    op => meets(*op),
                }
            }
            Question::Brackets(attribute, inner) => {
                attribute.elements(resource.json).iter().any(|element| inner.holds_of_element(element, collation))
            }
        }
    }

    /// Whether a column's collation may decide any of it.
    pub fn asks_collation(&self) -> bool {
        match self {
            Question::And(all) | Question::Or(all) => all.iter().any(Self::asks_collation),
            Question::Not(one) | Question::Brackets(_, one) => one.asks_collation(),
            Question::Present(_) => false,
            Question::Compare(attribute, op, _) => attribute.kind == Kind::Unique && matches!(op, Op::Eq | Op::Ne),
        }
    }

    fn holds_of_element(&self, element: &Json, collation: bool) -> bool {
        let part = |attribute: &Attribute| element.get(attribute.sub.unwrap_or("value"));
        match self {
            Question::And(all) => all.iter().all(|one| one.holds_of_element(element, collation)),
            Question::Or(any) => any.iter().any(|one| one.holds_of_element(element, collation)),
            Question::Not(one) => !one.holds_of_element(element, collation),
            Question::Present(attribute) => part(attribute).is_some(),
            Question::Compare(attribute, op, literal) => attribute.kind.meets(part(attribute), *op, literal, collation),
            Question::Brackets(..) => unreachable!("brackets do not nest"),
        }
    }
}

/// A resource, and what each attribute of a list is compared by in it: looked up once, as thousands of questions ask for it.
pub struct Known<'j> {
    pub json: &'j Json,
    attributes: &'static [Attribute],
    values: Vec<Vec<Option<&'j Json>>>,
}

impl<'j> Known<'j> {
    pub fn new(json: &'j Json, attributes: &'static [Attribute]) -> Self {
        Self { json, attributes, values: attributes.iter().map(|attribute| attribute.values(json)).collect() }
    }

    fn values(&self, attribute: &'static Attribute) -> &[Option<&'j Json>] {
        let address = |attribute: &Attribute| std::ptr::from_ref(attribute) as usize;
        let offset = address(attribute) - address(&self.attributes[0]);
        &self.values[offset / size_of::<Attribute>()]
    }
}

impl Attribute {
    fn elements<'j>(&self, resource: &'j Json) -> &'j [Json] {
        match self.found(resource) {
            Some(Json::Array(elements)) => elements,
            Some(one) => std::slice::from_ref(one),
            None => &[],
        }
    }

    fn found<'j>(&self, resource: &'j Json) -> Option<&'j Json> {
        self.pointer.iter().try_fold(resource, |inner, key| inner.get(key))
    }

    /// The values it is compared by: one for each element, which may lack the sub-attribute.
    pub fn values<'j>(&self, resource: &'j Json) -> Vec<Option<&'j Json>> {
        match (self.found(resource), self.sub) {
            (None, _) if self.multi_valued() => Vec::new(),
            (None, _) => vec![None],
            (Some(Json::Array(elements)), None) if !elements.iter().any(Json::is_object) => {
                elements.iter().map(Some).collect()
            }
            (Some(Json::Array(elements)), sub) => {
                elements.iter().map(|element| element.get(sub.unwrap_or("value"))).collect()
            }
            (Some(object @ Json::Object(_)), sub) => vec![object.get(sub.unwrap_or("value"))],
            (Some(value), _) => vec![Some(value)],
        }
    }

    pub fn multi_valued(&self) -> bool {
        matches!(self.name, "emails" | "phoneNumbers" | "groups" | "members" | "schemas")
    }
}

/// What a resource is sorted by (RFC 7644 3.4.2.3).
#[derive(Clone, Debug, PartialEq)]
pub enum Rank {
    Text(String),
    Number(f64),
    Instant(DateTime<Utc>),
}

impl Rank {
    pub fn compare(&self, other: &Rank) -> Ordering {
        match (self, other) {
            (Rank::Text(a), Rank::Text(b)) => a.chars().cmp(b.chars()),
            (Rank::Number(a), Rank::Number(b)) => a.partial_cmp(b).unwrap(),
            (Rank::Instant(a), Rank::Instant(b)) => a.cmp(b),
            _ => panic!("{self:?} and {other:?} are of different kinds"),
        }
    }
}

impl Attribute {
    /// Of several elements the primary counts, else the first.
    pub fn rank(&self, resource: &Json) -> Option<Rank> {
        let elements = self.elements(resource);
        let primary = elements.iter().find(|element| element.get("primary") == Some(&Json::Bool(true)));
        let element = primary.or(elements.first())?;
        let value = if element.is_object() { element.get(self.sub.unwrap_or("value"))? } else { element };
        Some(match (self.kind, value) {
            (Kind::Instant, Json::String(text)) => Rank::Instant(instant(text)),
            (Kind::Exact | Kind::Day, Json::String(text)) => Rank::Text(text.clone()),
            (_, Json::String(text)) => Rank::Text(lower(text)),
            (_, Json::Number(number)) => Rank::Number(number.as_f64().unwrap()),
            (_, Json::Bool(yes)) => Rank::Number(f64::from(u8::from(*yes))),
            _ => panic!("{self:?}: {value} has no rank"),
        })
    }
}

impl Literal {
    fn is_nothing(&self) -> bool {
        match self {
            Literal::Null => true,
            Literal::Text(text) => text.is_empty(),
            _ => false,
        }
    }

    fn text(&self) -> String {
        match self {
            Literal::Null => "null".to_owned(),
            Literal::Text(text) | Literal::Instant(text) => Json::from(text.as_str()).to_string(),
            Literal::Boolean(b) => b.to_string(),
            Literal::Number(number) => Json::from(*number).to_string(),
        }
    }
}

impl Kind {
    fn meets(self, value: Option<&Json>, op: Op, literal: &Literal, collation: bool) -> bool {
        if op == Op::Ne {
            return !self.meets(value, Op::Eq, literal, collation);
        }
        let Some(value) = value else {
            return op == Op::Eq && literal.is_nothing();
        };
        if op == Op::Eq && literal.is_nothing() {
            return false;
        }
        match (self, value, literal) {
            (Kind::Boolean, Json::Bool(a), Literal::Boolean(b)) => a == b,
            (Kind::Boolean, Json::Bool(a), Literal::Text(b)) => a.to_string() == b.to_lowercase(),
            (Kind::Number, Json::Number(a), Literal::Number(b)) => ordered(a.as_f64().unwrap().partial_cmp(b), op),
            (Kind::Instant, Json::String(a), Literal::Instant(b)) => ordered(Some(instant(a).cmp(&instant(b))), op),
            (Kind::Day, Json::String(a), Literal::Text(b)) => ordered(Some(a.cmp(b)), op),
            (_, Json::String(a), Literal::Text(b)) => self.meets_text(a, op, b, collation),
            _ => panic!("{self:?}: {value} {op:?} {literal:?} is no question of this test"),
        }
    }

    fn meets_text(self, a: &str, op: Op, b: &str, collation: bool) -> bool {
        let astral = |text: &str| text.chars().any(|c| c > '\u{FFFF}');
        if self == Kind::Unique && op == Op::Eq && collation && !astral(b) {
            return collated(a) == collated(b);
        }
        if self == Kind::Tidy && op == Op::Eq && !b.trim().is_empty() {
            return lower(a) == lower(b) || lower(a) == lower(b.trim());
        }
        if self == Kind::Mixed && op == Op::Eq {
            return lower(a) == lower(b) || lower(a) == lower(&without_entities(b));
        }
        if self == Kind::Locale && op == Op::Eq {
            let tag = b.split([',', ';']).next().unwrap_or_default().trim().replace('_', "-");
            return lower(a) == lower(b) || lower(a) == lower(&tag);
        }
        if self == Kind::Exact {
            return texts(a, op, b);
        }
        texts(&lower(a), op, &lower(b))
    }
}

/// Text as a column reads that may hold entities: not where anything in it shows that it was never encoded.
fn without_entities(stored: &str) -> String {
    let raw = |at: usize| {
        let name = stored[at + 1..].split(';').next().unwrap_or_default();
        let name_only = name.strip_prefix('#').unwrap_or(name);
        stored[at + 1..].len() == name.len()
            || name_only.is_empty()
            || !name_only.chars().all(|c| c.is_ascii_alphanumeric())
    };
    if stored.contains(['<', '>']) || stored.match_indices('&').any(|(at, _)| raw(at)) {
        return stored.to_owned();
    }
    if ["&#38;", "&#60;", "&#62;"].iter().any(|entity| stored.contains(entity)) {
        return stored.replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&");
    }
    stored.replace("&lt;", "<").replace("&gt;", ">")
}

fn texts(a: &str, op: Op, b: &str) -> bool {
    match op {
        Op::Co => a.contains(b),
        Op::Sw => a.starts_with(b),
        Op::Ew => a.ends_with(b),
        op => ordered(Some(a.chars().cmp(b.chars())), op),
    }
}

fn ordered(order: Option<Ordering>, op: Op) -> bool {
    let Some(order) = order else { return false };
    match op {
        Op::Eq => order.is_eq(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Ne | Op::Co | Op::Sw | Op::Ew => panic!("{op:?} is no order"),
    }
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Lower case, each letter by itself: `Σ` is `σ` at the end of a word too.
fn lower(text: &str) -> String {
    text.chars().map(|c| c.to_lowercase().to_string()).collect()
}

/// What utf8mb4_unicode_ci compares, for the characters of this test: no case, no accents, `ß` is `ss`, the sigmas are one,
/// all characters beyond the first plane are one, and trailing spaces are nothing.
fn collated(text: &str) -> String {
    let folded: String = text
        .trim_end_matches(' ')
        .nfd()
        .filter(|c| !('\u{300}'..='\u{36F}').contains(c))
        .map(|c| match c {
            'ß' => "ss".to_owned(),
            'ς' => "σ".to_owned(),
            c if c > '\u{FFFF}' => '\u{FFFD}'.to_string(),
            c => c.to_lowercase().to_string(),
        })
        .collect();
    folded
}
