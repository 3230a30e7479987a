//! The order of a list, and what comes behind a place in it: the keyset of a page by cursor.
//!
//! The order is what is sorted by, then the source, then the key. It has two sections, resources that have the value and
//! those that have none, and each is asked for by itself, so that an index on the value can give the order and be begun at
//! the place: `value >= v AND (value > v OR key > k)`.

use super::cursor::{Position, Section};
use super::key_of;
use super::list::{Hit, List, Part, prune};
use super::plan::{self, MAIN};
use super::sort::{Family, SortKey};
use crate::sql::{Cast, ColumnKind, Comparison, Expr, Order, Predicate, Row, Select, Statement, Union, Value};

impl List<'_> {
    pub fn several(&self) -> bool {
        self.parts.len() > 1
    }

    /// Whether tables and keys go backwards: without sortBy, sortOrder is theirs.
    pub fn backwards(&self) -> bool {
        self.query.descending && self.query.sort_by.is_none()
    }

    /// The sections of the order, the first first.
    pub fn sections(&self) -> Vec<Section> {
        if self.query.sort_by.is_none() {
            return vec![Section::Keyed];
        }
        let always = |part: &Part<'_>| part.sort.as_ref().is_some_and(|sort| sort.present == Predicate::True);
        let mut sections = Vec::new();
        if self.family.is_some() {
            sections.push(Section::Valued);
        }
        if !self.parts.iter().all(always) {
            sections.push(Section::Valueless);
        }
        if self.query.descending {
            sections.reverse();
        }
        sections
    }

    /// What cursors are bound to besides the query: they hold a value of this kind.
    pub fn order_word(&self, sections: &[Section]) -> String {
        format!("{} {}", self.family.map_or("none", Family::word), sections.len())
    }

    /// The same for a union: the part, its key as text, its key to sort by as a number or as text, and more.
    pub fn keys(&self, part: &Part<'_>, more: Vec<Expr>) -> Select {
        let mut select = self.rows(part);
        let key = plan::key(part.place.source, MAIN);
        let (number, text) = match integer_key(part) {
            true => (key.clone(), Expr::Null(Cast::new("text"))),
            false => (Expr::Null(Cast::new("bigint")), key_order(part, true)),
        };
        let part = Expr::Number(i64::try_from(part.number).unwrap_or(i64::MAX));
        select.columns = vec![part, Expr::Text(Box::new(key)), number, text];
        select.columns.extend(more);
        select
    }

    /// The order of one part by index, without values behind or before the others.
    pub fn order(&self, part: &Part<'_>, several: bool) -> Vec<Order> {
        let descending = self.query.descending;
        let mut order = Vec::new();
        if let Some(sort) = &part.sort {
            if sort.present != Predicate::True {
                let missing = Expr::Flag(Box::new(sort.present.clone().negate()));
                order.push(Order { by: known(missing), descending });
            }
            order.push(Order { by: known(sort.or_null()), descending });
        }
        order.push(Order { by: known(key_order(part, several)), descending: self.backwards() });
        order
    }

    /// What comes behind a position in one section; `None` where nothing can.
    pub fn behind(&self, section: Section, after: Option<&Position>, wanted: u64) -> Option<Statement> {
        if !self.several() {
            let part = self.parts.first()?;
            let mut select = self.rows(part);
            if let (Section::Valued, Some(sort)) = (section, &part.sort) {
                select.columns.push(sort.expr.clone());
            }
            return self.narrowed(select, part, section, after, wanted).map(Statement::Select);
        }
        let selects = self.parts.iter().filter_map(|part| {
            let value = match (section, &part.sort) {
                (Section::Valued, Some(sort)) => sort.expr.clone(),
                _ => Expr::Number(0),
            };
            let mut select = self.narrowed(self.keys(part, vec![value]), part, section, after, wanted)?;
            prune(&mut select);
            Some(select)
        });
        let mut selects: Vec<Select> = selects.collect();
        if selects.len() < 2 {
            return selects.pop().map(Statement::Select);
        }
        let backwards = self.backwards();
        let mut order = Vec::new();
        if section == Section::Valued {
            order.push((4, self.query.descending));
        }
        order.extend([(0, backwards), (2, backwards), (3, backwards)]);
        Some(Statement::Union(Union { selects, order, limit: Some(wanted), offset: None }))
    }

    /// One part of that.
    fn narrowed(
        &self,
        mut select: Select,
        part: &Part<'_>,
        section: Section,
        after: Option<&Position>,
        wanted: u64,
    ) -> Option<Select> {
        let there = match (section, &part.sort) {
            (Section::Valued, None) => return None,
            (Section::Valued, Some(sort)) => sort.present.clone(),
            (Section::Valueless, Some(sort)) if sort.present == Predicate::True => return None,
            (Section::Valueless, Some(sort)) => sort.present.clone().negate(),
            (Section::Valueless, None) | (Section::Keyed, _) => Predicate::True,
        };
        let behind = match after {
            Some(after) => self.behind_position(part, section, after)?,
            None => Predicate::True,
        };
        select.filter = behind.and(there).and(select.filter);
        select.order = Vec::new();
        if let (Section::Valued, Some(sort)) = (section, &part.sort) {
            select.order.push(Order { by: known(sort.expr.clone()), descending: self.query.descending });
        }
        let key = key_order(part, self.several());
        select.order.push(Order { by: known(key), descending: self.backwards() });
        select.limit = Some(wanted);
        Some(select)
    }

    /// The rows of a part that are behind a position of its section; `None` where there are none.
    fn behind_position(&self, part: &Part<'_>, section: Section, after: &Position) -> Option<Predicate> {
        let earlier = if self.backwards() { part.number > after.part } else { part.number < after.part };
        let key = if part.number == after.part { Some(self.behind_key(part, &after.key)?) } else { None };
        if section != Section::Valued {
            return if earlier { None } else { Some(key.unwrap_or(Predicate::True)) };
        }
        let sort = part.sort.as_ref()?;
        let compare = |comparison| Predicate::Compare(sort.expr.clone(), comparison, bound(sort, &after.value));
        let (strictly, from) = match self.query.descending {
            false => (compare(Comparison::Gt), compare(Comparison::Ge)),
            true => (compare(Comparison::Lt), compare(Comparison::Le)),
        };
        Some(match key {
            _ if earlier => strictly,
            // The first comparison is what an index on the value can begin at.
            Some(key) => from.and(Predicate::Or(vec![strictly, key])),
            None => from,
        })
    }

    fn behind_key(&self, part: &Part<'_>, key: &str) -> Option<Predicate> {
        let comparison = if self.backwards() { Comparison::Lt } else { Comparison::Gt };
        let by = key_order(part, self.several());
        let value = match &by {
            Expr::Exact(_) => Expr::Exact(Box::new(Expr::value(key))),
            _ => {
                let cast = part.place.source.columns.first().and_then(|column| column.cast.clone());
                Expr::Value(key_value(part, key)?, cast)
            }
        };
        Some(Predicate::Compare(by, comparison, value))
    }

    /// A row of [`List::behind`].
    pub fn hit(&self, mut row: Row, section: Section) -> Option<Hit> {
        if self.several() {
            return hit(row, section);
        }
        let part = self.parts.first()?;
        let value = match section {
            Section::Valued => row.0.pop()?,
            Section::Keyed | Section::Valueless => Value::Null,
        };
        let key = row.0.first()?.to_text()?;
        Some(Hit { part: part.number, section, value, key, row: Some(row) })
    }
}

/// A row of a union: the part, the key as text, two keys to sort by, the value.
pub(super) fn hit(row: Row, section: Section) -> Option<Hit> {
    let mut values = row.0.into_iter();
    let part = usize::try_from(values.next()?.as_int()?).ok()?;
    let key = values.next()?.to_text()?;
    let value = values.nth(2).filter(|_| section == Section::Valued).unwrap_or_default();
    Some(Hit { part, section, value, key, row: None })
}

fn known(expr: Expr) -> Expr {
    Expr::Known(Box::new(expr))
}

fn integer_key(part: &Part<'_>) -> bool {
    part.place.source.columns.first().is_some_and(|column| matches!(column.kind, ColumnKind::Integer { .. }))
}

/// The key as rows are sorted by it: in its index's order, but byte for byte where several tables meet whose keys are text.
fn key_order(part: &Part<'_>, several: bool) -> Expr {
    let key = plan::key(part.place.source, MAIN);
    if several && !integer_key(part) { Expr::Exact(Box::new(Expr::Text(Box::new(key)))) } else { key }
}

/// A key from its text.
pub(super) fn key_value(part: &Part<'_>, key: &str) -> Option<Value> {
    key_of(part.place.source, &format!("{}{key}", part.place.source.id_prefix))
}

/// A value of a sort key, to compare it with.
fn bound(sort: &SortKey, value: &Value) -> Expr {
    match (sort.family, value) {
        (Family::Text, Value::Text(_)) => Expr::Exact(Box::new(Expr::Value(value.clone(), None))),
        (Family::Number, Value::Text(text)) => {
            let places = text.split_once('.').map_or(0, |(_, places)| places.len());
            Expr::Decimal(Box::new(Expr::Value(value.clone(), None)), u8::try_from(places).unwrap_or(u8::MAX))
        }
        (_, Value::Text(_)) => Expr::Value(value.clone(), sort.cast.clone()),
        _ => Expr::Value(value.clone(), None),
    }
}
