//! What rows are sorted by (RFC 7644 3.4.2.3): one scalar a source, and where it has a value.
//!
//! - Text goes by code point, in lower case where the attribute is not caseExact, as filters compare it (`text.rs`): the same
//!   order on every database, whatever the columns' collations. `id` is text too, so that `id gt` and the order agree.
//! - Numbers, instants and days go by their value, booleans with false first, words of a set by the word that is shown.
//! - Of a multi-valued attribute the primary element counts, else the first that the resource shows.
//! - What has no value (NULL, `''`, a stored value that its type does not know) is no part of the order: `list.rs` puts it
//!   behind all others, or before them where the order is descending.
//! - Text is compared by its first [`LENGTH`] characters: databases sort no more of long text (MySQL's max_sort_length is 1,024
//!   bytes), and a cursor must hold it. Rows that agree so far go by their key.
//!
//! What cannot be sorted by is 400 invalidValue with the reason; a value that is never returned is not told by its place
//! in an order either.

use super::compare::has_timestamp;
use super::filter::Compiler;
use super::linked::Far;
use super::plan::{self, Shape, SlotPlan};
use super::text::{self, Text};
use super::{filter, ordered};
use crate::adapter::{Binding, Column, ColumnBinding, Conversion, Slot, Source};
use crate::scim::{AttributePath, Error, Kind, Returned};
use crate::sql::{Alias, Cast, ColumnKind, Dialect, Expr, Predicate};
use serde_json::Value as Json;

/// So many characters of a text are sorted by.
pub(super) const LENGTH: u16 = 250;

/// What the rows of one source are sorted by.
#[derive(Clone, Debug)]
pub(super) struct SortKey {
    /// The value; what it is where `present` does not hold says nothing.
    pub expr: Expr,
    /// Where there is one.
    pub present: Predicate,
    /// What it is compared as.
    pub family: Family,
    /// What binds of it are cast to.
    pub cast: Option<Cast>,
}

/// What can be sorted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Text, by code point.
    Text,
    /// Numbers and booleans.
    Number,
    /// A wall clock.
    Clock,
    /// An instant.
    Instant,
    /// A day.
    Day,
}

impl Family {
    /// The type that PostgreSQL gives a part of a union that has no value.
    pub fn cast(self) -> Cast {
        Cast::new(match self {
            Family::Text => "text",
            Family::Number => "bigint",
            Family::Clock => "timestamp",
            Family::Instant => "timestamptz",
            Family::Day => "date",
        })
    }

    /// For a cursor, which is bound to it.
    pub fn word(self) -> &'static str {
        match self {
            Family::Text => "text",
            Family::Number => "number",
            Family::Clock => "clock",
            Family::Instant => "instant",
            Family::Day => "day",
        }
    }
}

impl SortKey {
    /// The value, and NULL where there is none.
    pub fn or_null(&self) -> Expr {
        match &self.present {
            Predicate::True => self.expr.clone(),
            present => Expr::Case(vec![(present.clone(), self.expr.clone())]),
        }
    }

    pub(super) fn text(text: Expr, present: Predicate, case_exact: bool) -> Self {
        let expr = if case_exact { Expr::Exact(Box::new(text)) } else { Expr::Folded(Box::new(text)) };
        Self { expr, present, family: Family::Text, cast: None }
    }

    fn word(word: &str, case_exact: bool) -> Self {
        Self::text(Expr::value(word), Predicate::True, case_exact)
    }

    fn of_column(expr: Expr, column: &Column, family: Family) -> Self {
        let present = if column.nullable { not_null(&expr) } else { Predicate::True };
        Self { expr, present, family, cast: column.cast.clone() }
    }

    /// The same only where `there` holds.
    fn only(self, there: Predicate) -> Self {
        Self { present: there.and(self.present), ..self }
    }
}

pub(super) fn not_null(expr: &Expr) -> Predicate {
    Predicate::IsNull(expr.clone()).negate()
}

pub(super) fn cut(text: Expr) -> Expr {
    Expr::Prefix(Box::new(text), LENGTH)
}

pub(super) fn cannot(path: &AttributePath, why: &str) -> Error {
    Error::invalid_value(format!("resources cannot be sorted by {path}: {why}"))
}

fn complex(path: &AttributePath) -> Error {
    cannot(path, "it is complex; name one of its sub-attributes")
}

impl<'a> Compiler<'a> {
    /// What the rows of this source are sorted by; `None` where none of them has the attribute.
    pub fn sort(&mut self, path: &AttributePath) -> Result<Option<SortKey>, Error> {
        let Some(resolved) = self.resolve(path, Error::invalid_path)? else {
            return Ok(None);
        };
        let never = |attribute: &crate::scim::Attribute| attribute.returned == Returned::Never;
        if never(resolved.attribute) || resolved.sub.is_some_and(never) {
            return Err(cannot(path, "it is never returned"));
        }
        let sub = resolved.sub.map(|sub| sub.name.as_str());
        let name = resolved.attribute.name.as_str();
        let key = || plan::key(self.source, self.main);
        if resolved.extension.is_none() {
            match (name, sub) {
                ("id", None) => return Ok(Some(self.by_id(self.source, key(), Predicate::True))),
                ("externalId", None) => return self.by_external_id(path),
                ("meta", sub) => return self.by_meta(sub, path),
                ("schemas", _) => return Ok(Some(SortKey::word(&self.type_.schema.core.id, true))),
                _ => {}
            }
            if self.is_collection(name) {
                return self.by_collection(name, sub.unwrap_or("value"), path).map(Some);
            }
        }
        let Some(field) = self.field(resolved.extension.map(|extension| extension.id.as_str()), name) else {
            return Ok(None);
        };
        match (&field.shape, sub) {
            (Shape::Simple(index), _) => self.by_attribute(*index, path).map(Some),
            (Shape::Reference { attribute, .. }, None | Some("value" | "$ref")) => {
                self.by_attribute(*attribute, path).map(Some)
            }
            (Shape::Reference { attribute, .. }, Some(_)) => self.by_label(*attribute, path),
            (Shape::Complex(_), None) => Err(complex(path)),
            (Shape::Complex(subs), Some(sub)) => match filter::find(subs, sub) {
                Some(index) => self.by_attribute(index, path).map(Some),
                None => Ok(None),
            },
            (Shape::Slots(slots), sub) => {
                if sub.is_none() && resolved.attribute.sub("value").is_none() {
                    return Err(complex(path));
                }
                self.by_slots(slots, sub.unwrap_or("value"), path)
            }
            (Shape::Rows(index), sub) => self.by_rows(*index, sub, path),
        }
    }

    /// The id of a resource as text; `key` is the key of `source`.
    fn by_id(&self, source: &Source, key: Expr, present: Predicate) -> SortKey {
        let text = text::text_expr(key, source.columns.first());
        let shown = match source.id_prefix.as_str() {
            "" => text,
            prefix => Expr::Concat(vec![Expr::value(prefix), text]),
        };
        SortKey::text(cut(shown), present, true)
    }

    fn by_external_id(&mut self, path: &AttributePath) -> Result<Option<SortKey>, Error> {
        match (self.reading.links_alias, self.plan.external_id) {
            (Some(_), _) => {
                Ok(self.external_id().map(|(expr, _)| SortKey::text(cut(expr.clone()), not_null(&expr), true)))
            }
            (None, Some(index)) => self.by_attribute(index, path).map(Some),
            (None, None) if self.somewhere(|source| source.attributes.iter().any(plan::is_external_id)) => Ok(None),
            (None, None) => Err(cannot(path, "it is not mapped")),
        }
    }

    fn by_meta(&mut self, sub: Option<&str>, path: &AttributePath) -> Result<Option<SortKey>, Error> {
        match sub {
            None => Err(complex(path)),
            Some("resourceType") => Ok(Some(SortKey::word(&self.type_.name, true))),
            Some("location") => {
                let id = text::text_expr(plan::key(self.source, self.main), self.source.columns.first());
                let before = format!("{}/{}", self.type_.endpoint, self.source.id_prefix);
                Ok(Some(SortKey::text(cut(Expr::Concat(vec![Expr::value(before), id])), Predicate::True, true)))
            }
            Some(sub) => match self.timestamp(sub) {
                Some((expr, column)) => Ok(Some(self.by_time(expr, &column))),
                None if self.somewhere(|source| has_timestamp(source, sub)) => Ok(None),
                None => Err(cannot(path, "no column holds it")),
            },
        }
    }

    /// By what another resource is called.
    fn by_label(&mut self, attribute: usize, path: &AttributePath) -> Result<Option<SortKey>, Error> {
        let Some((there, mut label, index)) = self.referenced_display(attribute) else {
            return Err(cannot(path, "it is computed in a way that SQL cannot compare"));
        };
        Ok(Some(label.by_attribute(index, path)?.only(there)))
    }

    /// By the first member or group.
    fn by_collection(&mut self, name: &str, sub: &str, path: &AttributePath) -> Result<SortKey, Error> {
        if !matches!(sub, "value" | "$ref" | "display" | "type") {
            return Err(cannot(path, "no column holds it"));
        }
        let firsts = self.first_of(name, sub, path)?;
        let expr = Expr::Coalesce(firsts);
        Ok(SortKey { present: not_null(&expr), expr, family: Family::Text, cast: None })
    }

    /// Of one element of a collection what it is sorted by, as text or NULL.
    pub(super) fn of_element(
        &mut self,
        far: &Far<'a>,
        alias: Alias,
        sub: &str,
        path: &AttributePath,
    ) -> Result<Expr, Error> {
        Ok(match sub {
            "type" => SortKey::word(far.word, false).expr,
            "display" => match self.display_of(far, alias) {
                Some((mut label, index)) => label.by_attribute(index, path)?.or_null(),
                None => return Err(cannot(path, "it is computed in a way that SQL cannot compare")),
            },
            _ => self.by_id(far.source, plan::key(far.source, alias), Predicate::True).expr,
        })
    }

    /// By the primary element, else by the first.
    fn by_slots(&mut self, slots: &[SlotPlan], sub: &str, path: &AttributePath) -> Result<Option<SortKey>, Error> {
        let mut primary = Vec::new();
        let mut first = Vec::new();
        let mut family = None;
        for slot in slots {
            let there = self.slot_present(slot)?;
            let Some(key) = self.by_slot(slot, sub, path)? else {
                // An element without the value stands in the way of the next one's all the same.
                first.push((there, Expr::Null(family.unwrap_or(Family::Text).cast())));
                continue;
            };
            if family.is_some_and(|known| known != key.family) {
                return Err(cannot(path, "its elements hold different kinds of values"));
            }
            family = Some(key.family);
            if slots.len() == 1 {
                return Ok(Some(key.only(there)));
            }
            if let Some(is_primary) = self.slot_is_primary(slot)? {
                primary.push((there.clone().and(is_primary), key.or_null()));
            }
            first.push((there, key.or_null()));
        }
        let Some(family) = family else {
            let room = slots.iter().any(|slot| slot.slot != Slot::Only);
            return if room { Ok(None) } else { Err(cannot(path, "no column holds it")) };
        };
        primary.extend(first);
        for (_, expr) in &mut primary {
            if let Expr::Null(cast) = expr {
                *cast = family.cast();
            }
        }
        let expr = Expr::Case(primary);
        Ok(Some(SortKey { present: not_null(&expr), expr, family, cast: None }))
    }

    /// One sub-attribute of one element.
    fn by_slot(&mut self, slot: &SlotPlan, sub: &str, path: &AttributePath) -> Result<Option<SortKey>, Error> {
        if let Slot::Where { sub: known, value } = &slot.slot
            && known.eq_ignore_ascii_case(sub)
        {
            return Ok(Some(SortKey::word(value, false)));
        }
        match filter::find(&slot.subs, sub) {
            Some(index) => self.by_attribute(index, path).map(Some),
            None => Ok(None),
        }
    }

    /// Where the element is the primary one; `None` where it never is.
    fn slot_is_primary(&mut self, slot: &SlotPlan) -> Result<Option<Predicate>, Error> {
        let Some(index) = filter::find(&slot.subs, "primary") else {
            return Ok(None);
        };
        match self.source.attributes.get(index).map(|attribute| &attribute.binding) {
            Some(Binding::Constant(Json::Bool(true))) => Ok(Some(Predicate::True)),
            Some(Binding::Constant(_)) | None => Ok(None),
            Some(_) => {
                let (path, yes) = (AttributePath::new("primary"), crate::scim::Literal::Boolean(true));
                let asked = super::asked::Asked::Compare(crate::scim::Operator::Eq, &yes);
                self.attribute(index, &path, asked).map(Some)
            }
        }
    }

    /// By one attribute of the source.
    pub(super) fn by_attribute(&mut self, index: usize, path: &AttributePath) -> Result<SortKey, Error> {
        let Some(attribute) = self.source.attributes.get(index) else {
            return Err(cannot(path, "no column holds it"));
        };
        if attribute.schema.returned == Returned::Never {
            return Err(cannot(path, "it is never returned"));
        }
        let case_exact = attribute.schema.case_exact;
        if let Binding::Constant(value) = &attribute.binding {
            return Ok(match value {
                Json::String(text) => SortKey::word(text, case_exact),
                value => SortKey::word(&value.to_string(), true),
            });
        }
        let Some((expr, column)) = self.expr(index) else {
            return Err(cannot(path, "it is computed in a way that SQL cannot compare"));
        };
        match (&attribute.binding, &column) {
            (Binding::Column(binding), Some(column)) => {
                self.by_column(expr, column, binding, case_exact, attribute.unique != crate::adapter::Unique::No, path)
            }
            (Binding::Lookup(lookup), Some(column)) => match &lookup.conversion {
                Conversion::Text(_) | Conversion::Locale { .. } | Conversion::Uuid => {
                    Ok(self.by_text(expr, Some(column), &lookup.conversion, case_exact, false))
                }
                Conversion::Integer | Conversion::Decimal => {
                    Ok(SortKey { present: not_null(&expr), ..self.by_number(expr, column, path)? })
                }
                _ => Err(cannot(path, "its values have no order")),
            },
            (Binding::Reference(reference), _) => {
                let type_ = plan::find_type(self.adapter, &reference.resource_type).map(|(_, type_)| type_);
                match type_.and_then(|type_| type_.sources.first()) {
                    Some(target) => Ok(self.by_id(target, expr.clone(), not_null(&expr))),
                    None => Err(cannot(path, "no column holds it")),
                }
            }
            // A document: SQL sees the text of what it holds.
            (Binding::Column(binding), None)
                if !binding.json.is_empty()
                    && matches!(binding.conversion, Conversion::Enum(_) | Conversion::Boolean { .. }) =>
            {
                let mut cell = binding.cell.clone();
                cell.kind = ColumnKind::Text(None);
                self.by_column(expr, &cell, binding, case_exact, false, path)
            }
            (Binding::Sidecar(_) | Binding::Column(_), None) => match attribute.schema.kind {
                Kind::String | Kind::Reference => {
                    Ok(self.by_text(expr, None, &Conversion::Text(Default::default()), case_exact, false))
                }
                Kind::Boolean => Ok(SortKey::text(cut(expr.clone()), not_null(&expr), true)),
                _ => Err(cannot(path, "it is kept in a document in which only text and booleans have an order")),
            },
            _ => Ok(self.by_text(expr, None, &Conversion::Text(Default::default()), case_exact, false)),
        }
    }

    fn by_column(
        &mut self,
        expr: Expr,
        column: &Column,
        binding: &ColumnBinding,
        case_exact: bool,
        unique: bool,
        path: &AttributePath,
    ) -> Result<SortKey, Error> {
        let conversion = &binding.conversion;
        let as_case = |choices: Vec<(Predicate, Expr)>, family| {
            let expr = Expr::Case(choices);
            SortKey { present: not_null(&expr), expr, family, cast: None }
        };
        match conversion {
            Conversion::Text(_) | Conversion::Locale { .. } | Conversion::Uuid => {
                Ok(self.by_text(expr, Some(column), conversion, case_exact, unique))
            }
            Conversion::Boolean { yes, no } => {
                let (yes, no) = self.sides(&expr, column, yes, no);
                Ok(as_case(vec![(yes, Expr::Number(1)), (no, Expr::Number(0))], Family::Number))
            }
            Conversion::Enum(words) => {
                let choices = words.iter().map(|(word, stored)| {
                    (self.stored_as(&expr, column, stored), SortKey::word(word, case_exact).expr)
                });
                Ok(as_case(choices.collect(), Family::Text))
            }
            Conversion::Integer | Conversion::Decimal => self.by_number(expr, column, path),
            Conversion::Unix(_) => Ok(SortKey { cast: None, ..SortKey::of_column(expr, column, Family::Number) }),
            Conversion::DateTime | Conversion::Date => Ok(self.by_time(expr, column)),
            Conversion::Binary | Conversion::Json => Err(cannot(path, "its values have no order")),
        }
    }

    fn by_text(
        &self,
        expr: Expr,
        column: Option<&Column>,
        conversion: &Conversion,
        case_exact: bool,
        unique: bool,
    ) -> SortKey {
        let text = Text { expr: expr.clone(), column, conversion, case_exact, unique: false };
        let present = text.present();
        let short = match column.map(|column| &column.kind) {
            Some(ColumnKind::Text(Some(most))) => *most <= u64::from(LENGTH),
            // An index for names in any case can give the order; names are short.
            Some(ColumnKind::Text(None)) => unique && self.dialect == Dialect::Postgres,
            Some(ColumnKind::Integer { .. } | ColumnKind::Uuid) => true,
            _ => false,
        };
        let shown = conversion.reads(text::text_expr(expr, column));
        SortKey::text(if short { shown } else { cut(shown) }, present, case_exact)
    }

    fn by_number(&self, expr: Expr, column: &Column, path: &AttributePath) -> Result<SortKey, Error> {
        match column.kind {
            ColumnKind::Integer { .. } | ColumnKind::Decimal | ColumnKind::Float => {
                Ok(SortKey { cast: None, ..SortKey::of_column(expr, column, Family::Number) })
            }
            _ => Err(cannot(path, "its column holds numbers as text")),
        }
    }

    fn by_time(&self, expr: Expr, column: &Column) -> SortKey {
        let family = match column.kind {
            ColumnKind::Instant => Family::Instant,
            ColumnKind::Date => Family::Day,
            ColumnKind::Integer { .. } => Family::Number,
            ColumnKind::Text(_) => {
                let present = not_null(&Expr::NotEmpty(Box::new(expr.clone())));
                return SortKey::text(cut(expr), present, true);
            }
            _ => Family::Clock,
        };
        let key = SortKey::of_column(expr.clone(), column, family);
        match ordered::after_zero(self.dialect, &expr, column) {
            Some(after_zero) => key.only(after_zero),
            None => key,
        }
    }
}
