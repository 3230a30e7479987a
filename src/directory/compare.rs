//! One attribute compared in SQL: what its binding reads as, and how a literal of the filter meets it.
//!
//! The answer is the one that comparing the resource's JSON would give, with these rules on top of RFC 7644 3.4.2.2:
//!
//! - What is absent (NULL, `''`, a stored value that its type does not know) is equal to nothing but `null` and `""`: so
//!   `ne` is true of it, and so is `not` of any comparison. `ne` is exactly `not eq`, and `not` the exact complement; SQL's
//!   unknown never comes through. `gt ge lt le co sw ew` are false of it.
//! - `null` and `""` are the same (RFC 7643 2.5): `eq null` is `not pr`. Their order is nothing to ask for: 400.
//! - A literal of another type is 400 where it cannot be one of the attribute's (`active eq 5`), and text where text is
//!   compared (`employeeNumber eq 7`), since clients leave quotes out.
//! - How text compares is said in `text.rs`, numbers and instants in `ordered.rs`, multi-valued attributes in `filter.rs`.

use super::asked::{Asked, boolean, boolean_is_not_ordered, null_is_not_ordered, text_of};
use super::filter::Compiler;
use super::text::{self, Text};
use super::{plan, rows};
use crate::adapter::{Binding, Column, ColumnBinding, Conversion, Expression, Part, Source, Template, Variable, same};
use crate::scim::{AttributePath, Error, Kind, Literal, Operator, Returned};
use crate::sql::{ColumnKind, Expr, Ident, Predicate, Value};
use serde_json::Value as Json;

impl Compiler<'_> {
    /// `id`, and the ids that other resources show: `key` is the key of `source`.
    pub(super) fn id(
        &mut self,
        source: &Source,
        key: Expr,
        asked: Asked<'_>,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        if let Some(opposite) = asked.opposite() {
            return Ok(self.id(source, key, opposite, path)?.negate());
        }
        if let Some(answer) = asked.of_presence(Predicate::True) {
            return Ok(answer);
        }
        let (operator, text) = match asked {
            Asked::Present => return Ok(Predicate::True),
            Asked::Compare(_, Literal::Null) => return Err(null_is_not_ordered(path)),
            Asked::Compare(operator, literal) => (operator, text_of(literal)),
        };
        let column = source.columns.first();
        if operator != Operator::Eq {
            let number = Expr::Text(Box::new(key));
            let shown = match source.id_prefix.as_str() {
                "" => number,
                prefix => Expr::Concat(vec![Expr::value(prefix), number]),
            };
            return Ok(text::compare(shown, true, operator, &text));
        }
        Ok(match super::key_of(source, &text) {
            Some(Value::Text(id)) => text::equal(self.dialect, key, column, true, false, &id),
            Some(value) => Predicate::eq(key, Expr::Value(value, column.and_then(|column| column.cast.clone()))),
            None => Predicate::False,
        })
    }

    /// `externalId` and its column: the application's, or that of our links.
    pub(super) fn external_id(&self) -> Option<(Expr, Option<Column>)> {
        if let Some(alias) = self.reading.links_alias {
            return Some((Expr::column(alias, &Ident::new("external_id")), None));
        }
        self.expr(self.plan.external_id?)
    }

    /// A comparison with `externalId`.
    pub(super) fn external(&mut self, path: &AttributePath, asked: Asked<'_>) -> Result<Predicate, Error> {
        match (self.reading.links_alias, self.plan.external_id) {
            (Some(_), _) => {
                let Some((expr, _)) = self.external_id() else {
                    return Ok(asked.of_absent());
                };
                self.computed(expr, true, asked, path)
            }
            (None, Some(index)) => self.attribute(index, path, asked),
            (None, None) if self.somewhere(|source| source.attributes.iter().any(plan::is_external_id)) => {
                Ok(asked.of_absent())
            }
            (None, None) => Err(Error::invalid_filter(format!("externalId is not mapped for {}", self.type_.name))),
        }
    }

    /// Text that is no column's: computed, or our own.
    pub(super) fn computed(
        &mut self,
        expr: Expr,
        case_exact: bool,
        asked: Asked<'_>,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        let text =
            Text { expr, column: None, conversion: &Conversion::Text(Default::default()), case_exact, unique: false };
        self.string(&text, asked, path)
    }

    /// `meta.created` and `meta.lastModified`, with their columns.
    pub(super) fn timestamp(&self, sub: &str) -> Option<(Expr, Column)> {
        let column = match sub {
            "created" => self.source.timestamps.created?,
            "lastModified" => self.source.timestamps.modified?,
            _ => return None,
        };
        let column = self.source.columns.get(column)?;
        Some((Expr::column(self.main, &column.name), column.clone()))
    }

    /// A comparison with `meta`.
    pub(super) fn meta(
        &mut self,
        sub: Option<&str>,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        match sub {
            Some("resourceType") => {
                let holds = asked.holds_of(&Json::String(self.type_.name.clone()), true, path)?;
                Ok(if holds { Predicate::True } else { Predicate::False })
            }
            Some(sub) => match self.timestamp(sub) {
                Some((expr, column)) => self.ordered(expr, &column, &Conversion::DateTime, asked, path),
                None if self.somewhere(|source| has_timestamp(source, sub)) => Ok(asked.of_absent()),
                None => Err(Error::invalid_filter(format!("{path} cannot be compared: no column holds it"))),
            },
            None => asked
                .of_presence(Predicate::True)
                .ok_or_else(|| Error::invalid_filter("meta is complex: compare meta.created or meta.lastModified")),
        }
    }

    /// What an attribute reads as, and the column whose comparison rules hold for it.
    pub(super) fn expr(&self, index: usize) -> Option<(Expr, Option<Column>)> {
        let attribute = self.source.attributes.get(index)?;
        match &attribute.binding {
            Binding::Column(binding) => {
                let column = self.source.columns.get(binding.column)?;
                let expr = Expr::column(self.main, &column.name);
                if !binding.json.is_empty() {
                    return Some((Expr::Json(Box::new(expr), binding.json.clone()), None));
                }
                if binding.shown_when_empty.is_empty() {
                    return Some((expr, Some(column.clone())));
                }
                let stored = text::text_expr(expr, Some(column));
                let mut choices = vec![Expr::NotEmpty(Box::new(binding.conversion.reads(stored)))];
                for template in &binding.shown_when_empty {
                    choices.push(self.template(template)?);
                }
                Some((Expr::Coalesce(choices), None))
            }
            Binding::Lookup(lookup) => {
                let joined = self.joined.get(index)?.as_ref()?;
                Some((Expr::column(joined.alias, &lookup.matched.name), Some(lookup.matched.clone())))
            }
            Binding::Reference(reference) => {
                let (_, type_) = plan::find_type(self.adapter, &reference.resource_type)?;
                let joined = self.joined.get(index)?.as_ref()?;
                let target = type_.sources.first()?;
                Some((plan::key(target, joined.alias), target.columns.first().cloned()))
            }
            Binding::Template(templates) => {
                let choices = templates.iter().map(|template| self.template(template)).collect::<Option<Vec<_>>>()?;
                Some((Expr::Coalesce(choices), None))
            }
            Binding::Sidecar(shown) => {
                let path = vec!["kept".to_owned(), rows::path(attribute)];
                let kept =
                    Expr::Json(Box::new(Expr::column(self.reading.sidecar_alias, &Ident::new("document"))), path);
                if shown.is_empty() {
                    return Some((kept, None));
                }
                let mut choices = vec![kept];
                for template in shown {
                    choices.push(self.template(template)?);
                }
                Some((Expr::Coalesce(choices), None))
            }
            Binding::Constant(_) | Binding::Link(_) | Binding::Rows(_) => None,
        }
    }

    /// A template as SQL: NULL where a part has no value; `None` where SQL would spell a part differently.
    fn template(&self, template: &Template) -> Option<Expr> {
        let mut parts = Vec::new();
        for part in &template.0 {
            parts.push(match part {
                Part::Text(text) => Expr::value(text.as_str()),
                Part::Variable(Variable::Attribute(index)) => self.part(*index)?,
                Part::Variable(Variable::Column(name)) => {
                    let column = self.source.columns.iter().find(|column| column.name == *name)?;
                    shown(Expr::column(self.main, name), column)?
                }
                Part::Variable(Variable::Id) => Expr::Text(Box::new(plan::key(self.source, self.main))),
                Part::Variable(_) => return None,
            });
        }
        Some(Expr::Concat(parts))
    }

    /// An attribute inside a template.
    fn part(&self, index: usize) -> Option<Expr> {
        let attribute = self.source.attributes.get(index)?;
        let conversion = match &attribute.binding {
            Binding::Constant(Json::String(text)) => return Some(Expr::value(text.as_str())),
            Binding::Column(binding) if binding.json.is_empty() => &binding.conversion,
            Binding::Lookup(lookup) => &lookup.conversion,
            Binding::Template(_) => return self.expr(index).map(|(expr, _)| expr),
            _ => return None,
        };
        let Conversion::Text(rule) = conversion else {
            return None;
        };
        if rule.empty.as_ref().is_some_and(|empty| !empty.to_text().unwrap_or_default().is_empty()) {
            return None;
        }
        match self.expr(index)? {
            (expr, Some(column)) => shown(expr, &column).map(|expr| conversion.reads(expr)),
            (expr, None) => Some(expr),
        }
    }

    /// A comparison with one attribute.
    pub(super) fn attribute(
        &mut self,
        index: usize,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        let Some(attribute) = self.source.attributes.get(index) else {
            return Ok(asked.of_absent());
        };
        if attribute.schema.returned == Returned::Never {
            return Err(Error::invalid_filter(format!("{path} is never returned and cannot be compared")));
        }
        let case_exact = attribute.schema.case_exact;
        if let Binding::Constant(value) = &attribute.binding {
            let holds = asked.holds_of(value, case_exact, path)?;
            return Ok(if holds { Predicate::True } else { Predicate::False });
        }
        let Some((expr, column)) = self.expr(index) else {
            return Err(Error::invalid_filter(format!("{path} is computed in a way that SQL cannot compare")));
        };
        let unique = attribute.unique != crate::adapter::Unique::No;
        match &attribute.binding {
            Binding::Column(binding) if binding.json.is_empty() => match &column {
                Some(column) => self.converted(expr, column, binding, (case_exact, unique), asked, path),
                None => self.as_written(expr, binding, case_exact, asked, path),
            },
            Binding::Column(binding)
                if matches!(binding.conversion, Conversion::Enum(_) | Conversion::Boolean { .. }) =>
            {
                // What stands in a document is text to SQL.
                let mut cell = binding.cell.clone();
                cell.kind = ColumnKind::Text(None);
                self.converted(expr, &cell, binding, (case_exact, unique), asked, path)
            }
            Binding::Lookup(lookup) => {
                let text =
                    Text { expr, column: column.as_ref(), conversion: &lookup.conversion, case_exact, unique: false };
                self.string(&text, asked, path)
            }
            Binding::Reference(reference) => {
                let present = Predicate::IsNull(expr.clone()).negate();
                if let Some(answer) = asked.of_presence(present.clone()) {
                    return Ok(answer);
                }
                if let Some(opposite) = asked.opposite() {
                    return Ok(self.attribute(index, path, opposite)?.negate());
                }
                let Some((_, type_)) = plan::find_type(self.adapter, &reference.resource_type) else {
                    return Ok(asked.of_absent());
                };
                let Some(target) = type_.sources.first() else {
                    return Ok(asked.of_absent());
                };
                let local = self.source.columns.get(reference.column).filter(|_| reference.key == 0);
                match (asked, local) {
                    // The row's own column may have an index; the joined key says that the other is there.
                    (Asked::Compare(Operator::Eq, literal), Some(local))
                        if !matches!(local.kind, ColumnKind::Text(_)) =>
                    {
                        Ok(match super::key_of(target, &text_of(literal)) {
                            Some(key) => Predicate::eq(
                                Expr::column(self.main, &local.name),
                                Expr::Value(key, local.cast.clone()),
                            )
                            .and(present),
                            None => Predicate::False,
                        })
                    }
                    _ => Ok(self.id(target, expr, asked, path)?.and(present)),
                }
            }
            Binding::Column(binding) if matches!(attribute.schema.kind, Kind::String | Kind::Reference) => {
                self.as_written(expr, binding, case_exact, asked, path)
            }
            _ => self.in_document(expr, (attribute.schema.kind, case_exact), asked, path),
        }
    }

    /// Text that a client may have written, though it is no column alone that shows it: what was sent is found by what
    /// was sent, also where it was stored in another form (trimmed, lower case).
    fn as_written(
        &mut self,
        expr: Expr,
        binding: &ColumnBinding,
        case_exact: bool,
        asked: Asked<'_>,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        if let Some(opposite) = asked.opposite() {
            return Ok(self.as_written(expr, binding, case_exact, opposite, path)?.negate());
        }
        let plain = self.computed(expr.clone(), case_exact, asked, path)?;
        let Asked::Compare(Operator::Eq, Literal::String(text)) = asked else {
            return Ok(plain);
        };
        if !matches!(binding.conversion, Conversion::Text(_) | Conversion::Locale { .. }) {
            return Ok(plain);
        }
        let written = binding.conversion.write(&Json::from(text.as_str()), &binding.cell, self.adapter.time_zone);
        let Some(written) = written.ok().and_then(|stored| stored.to_text()) else {
            return Ok(plain);
        };
        let shown = binding.conversion.shown(&written);
        if shown.is_empty() || shown == text.as_str() {
            return Ok(plain);
        }
        let shown = Literal::String(shown.into_owned());
        Ok(plain.or(self.computed(expr, case_exact, Asked::Compare(Operator::Eq, &shown), path)?))
    }

    /// A value inside a JSON document, the application's or ours: SQL sees its text.
    pub(super) fn in_document(
        &mut self,
        expr: Expr,
        (kind, case_exact): (Kind, bool),
        asked: Asked<'_>,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        match (kind, asked) {
            (Kind::String | Kind::Reference, asked) => self.computed(expr, case_exact, asked, path),
            (Kind::Boolean, Asked::Compare(operator, literal)) if !asked.is_null() => match operator {
                Operator::Eq | Operator::Ne => {
                    let word = Literal::String(boolean(literal, path)?.to_string());
                    self.computed(expr, true, Asked::Compare(operator, &word), path)
                }
                _ => Err(boolean_is_not_ordered(path)),
            },
            (_, asked) => asked.of_presence(Predicate::IsNull(expr).negate()).ok_or_else(|| {
                Error::invalid_filter(format!(
                    "{path} can be asked for with pr alone: it is kept in a document in which only text and booleans compare"
                ))
            }),
        }
    }

    fn converted(
        &mut self,
        expr: Expr,
        column: &Column,
        binding: &ColumnBinding,
        (case_exact, unique): (bool, bool),
        asked: Asked<'_>,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        match &binding.conversion {
            Conversion::Boolean { yes, no } => {
                let (yes, no) = self.sides(&expr, column, yes, no);
                if let Some(answer) = asked.of_presence(yes.clone().or(no.clone())) {
                    return Ok(answer);
                }
                match asked {
                    Asked::Compare(Operator::Eq, literal) => Ok(if boolean(literal, path)? { yes } else { no }),
                    Asked::Compare(Operator::Ne, literal) => {
                        Ok(if boolean(literal, path)? { yes } else { no }.negate())
                    }
                    _ => Err(boolean_is_not_ordered(path)),
                }
            }
            Conversion::Enum(words) => {
                if let Some(opposite) = asked.opposite() {
                    let equal = self.converted(expr, column, binding, (case_exact, unique), opposite, path)?;
                    return Ok(equal.negate());
                }
                let absence = asked.is_null();
                let mut any = Vec::new();
                for (position, (word, stored)) in words.iter().enumerate() {
                    // A stored value reads as the first word that has it.
                    let mut earlier = words.iter().take(position);
                    if earlier.any(|(_, other)| same(other, stored, column.ignores_case)) {
                        continue;
                    }
                    if absence || asked.holds_of(&Json::String(word.clone()), case_exact, path)? {
                        any.push(self.stored_as(&expr, column, stored));
                    }
                }
                let any = Predicate::Or(any);
                Ok(if absence { any.negate() } else { any })
            }
            Conversion::Integer
            | Conversion::Decimal
            | Conversion::DateTime
            | Conversion::Unix(_)
            | Conversion::Date => self.ordered(expr, column, &binding.conversion, asked, path),
            Conversion::Binary | Conversion::Json => asked
                .of_presence(Predicate::IsNull(expr).negate())
                .ok_or_else(|| Error::invalid_filter(format!("{path} can be asked for with pr alone"))),
            conversion => {
                let text = Text { expr, column: Some(column), conversion, case_exact, unique };
                self.string(&text, asked, path)
            }
        }
    }

    /// The rows that read as true, and those that read as false: a literal of either side before what only the moment of
    /// writing knows (a time of day), which is anything else that is there.
    pub(super) fn sides(
        &self,
        expr: &Expr,
        column: &Column,
        yes: &[Expression],
        no: &[Expression],
    ) -> (Predicate, Predicate) {
        let literals = |side: &[Expression]| {
            let any = side.iter().filter_map(|expression| match expression {
                Expression::Literal(value) => Some(self.stored_as(expr, column, value)),
                _ => None,
            });
            Predicate::Or(any.collect())
        };
        let is_computed = |side: &[Expression]| side.iter().any(|one| !matches!(one, Expression::Literal(_)));
        let (told_yes, told_no) = (literals(yes), literals(no));
        let other = Predicate::IsNull(expr.clone()).or(told_yes.clone()).or(told_no.clone()).negate();
        let told_no = told_no.and(told_yes.clone().negate());
        match (is_computed(yes), is_computed(no)) {
            (true, _) => (told_yes.or(other), told_no),
            (false, true) => (told_yes, told_no.or(other)),
            (false, false) => (told_yes, told_no),
        }
    }

    /// The column holds this.
    pub(super) fn stored_as(&self, expr: &Expr, column: &Column, stored: &Value) -> Predicate {
        match (stored, &column.kind) {
            (Value::Null, _) => Predicate::IsNull(expr.clone()),
            (stored, ColumnKind::Text(_)) => {
                let text = stored.to_text().unwrap_or_default();
                text::equal(self.dialect, expr.clone(), Some(column), !column.ignores_case, false, &text)
            }
            (stored, _) => Predicate::eq(expr.clone(), Expr::Value(stored.clone(), column.cast.clone())),
        }
    }
}

/// Whether the rows of a source have one of the two instants.
pub(super) fn has_timestamp(source: &Source, sub: &str) -> bool {
    match sub {
        "created" => source.timestamps.created.is_some(),
        "lastModified" => source.timestamps.modified.is_some(),
        _ => false,
    }
}

/// A column inside a template: NULL where it is empty; `None` where SQL would spell it differently.
fn shown(expr: Expr, column: &Column) -> Option<Expr> {
    match column.kind {
        ColumnKind::Text(_) => Some(Expr::NotEmpty(Box::new(expr))),
        ColumnKind::Integer { .. } | ColumnKind::Enum(_) => Some(Expr::Text(Box::new(expr))),
        _ => None,
    }
}
