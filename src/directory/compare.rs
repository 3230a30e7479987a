//! One attribute compared in SQL: what its binding reads as, and how a literal of the filter meets it.

use super::filter::{Asked, Compiler};
use super::plan::MAIN;
use super::rows;
use crate::adapter::{Binding, Column, ColumnBinding, Conversion, Expression, Part, Template, Variable};
use crate::scim::{AttributePath, Error, Kind, Literal, Operator, Returned};
use crate::sql::{Comparison, Dialect, Expr, Ident, Predicate, Value};
use serde_json::Value as Json;

impl Compiler<'_> {
    /// `id`.
    pub(super) fn id(&mut self, asked: Asked<'_>) -> Result<Predicate, Error> {
        let key = super::plan::key(self.source, MAIN);
        let cast = self.source.columns.first().and_then(|column| column.cast.clone());
        match asked {
            Asked::Present => Ok(Predicate::True),
            Asked::Compare(Operator::Eq | Operator::Ne, Literal::String(id)) => {
                let equal = match super::key_of(self.source, id) {
                    Some(value) => Predicate::eq(key, Expr::Value(value, cast)),
                    None => Predicate::False,
                };
                Ok(if asked.negated() { equal.negate() } else { equal })
            }
            Asked::Compare(..) if asked.is_null() => Ok(asked.of_absent()),
            Asked::Compare(operator, Literal::String(text)) if self.source.id_prefix.is_empty() => {
                let (expr, literal) = (Expr::Text(Box::new(key)), text.clone());
                Ok(self.text(expr, None, true, operator, literal))
            }
            Asked::Compare(..) => Err(Error::invalid_filter(
                "id can be compared with eq and ne alone, to a string",
            )),
        }
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
                self.string(expr, None, true, &Conversion::Text(Default::default()), asked, path)
            }
            (None, Some(index)) => self.attribute(index, path, asked),
            (None, None) => Err(Error::invalid_filter(format!(
                "externalId is not mapped for {}",
                self.type_.name
            ))),
        }
    }

    /// `meta.created` and `meta.lastModified`, with their columns.
    pub(super) fn timestamp(&self, sub: &str) -> Option<(Expr, Column)> {
        let column = match sub {
            "created" => self.source.timestamps.created?,
            "lastModified" => self.source.timestamps.modified?,
            _ => return None,
        };
        let column = self.source.columns.get(column)?;
        Some((Expr::column(MAIN, &column.name), column.clone()))
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
                let holds = asked.holds_of(&Json::String(self.type_.name.clone()), true);
                Ok(if holds { Predicate::True } else { Predicate::False })
            }
            Some(sub) => match self.timestamp(sub) {
                Some((expr, column)) => self.ordered(expr, &column, &Conversion::DateTime, asked, path),
                None => Err(Error::invalid_filter(format!(
                    "{path} cannot be compared: no column holds it"
                ))),
            },
            None if matches!(asked, Asked::Present) => Ok(Predicate::True),
            None => Err(Error::invalid_filter(
                "meta is complex: compare meta.created or meta.lastModified",
            )),
        }
    }

    /// What an attribute reads as, and the column whose comparison rules hold for it.
    pub(super) fn expr(&self, index: usize) -> Option<(Expr, Option<Column>)> {
        let attribute = self.source.attributes.get(index)?;
        match &attribute.binding {
            Binding::Column(binding) => {
                let column = self.source.columns.get(binding.column)?;
                let mut expr = Expr::column(MAIN, &column.name);
                if !binding.json.is_empty() {
                    expr = Expr::Json(Box::new(expr), binding.json.clone());
                }
                if binding.shown_when_empty.is_empty() {
                    return Some((expr, Some(column.clone())));
                }
                let mut choices = vec![expr];
                for template in &binding.shown_when_empty {
                    choices.push(self.template(template)?);
                }
                Some((Expr::Coalesce(choices), Some(column.clone())))
            }
            Binding::Lookup(lookup) => {
                let joined = self.reading.joined.get(index)?.as_ref()?;
                Some((
                    Expr::column(joined.alias, &lookup.matched.name),
                    Some(lookup.matched.clone()),
                ))
            }
            Binding::Reference(reference) => {
                let (_, type_) = super::plan::find_type(self.adapter, &reference.resource_type)?;
                let joined = self.reading.joined.get(index)?.as_ref()?;
                let target = type_.sources.first()?;
                Some((super::plan::key(target, joined.alias), target.columns.first().cloned()))
            }
            Binding::Template(templates) => {
                let choices = templates
                    .iter()
                    .map(|template| self.template(template))
                    .collect::<Option<Vec<_>>>()?;
                Some((Expr::Coalesce(choices), None))
            }
            Binding::Sidecar => {
                let path = vec!["kept".to_owned(), rows::path(attribute)];
                Some((
                    Expr::Json(
                        Box::new(Expr::column(self.reading.sidecar_alias, &Ident::new("document"))),
                        path,
                    ),
                    None,
                ))
            }
            Binding::Constant(_) | Binding::Link(_) => None,
        }
    }

    /// A template as SQL: NULL where a part is NULL; `None` where the dialect cannot say it.
    fn template(&self, template: &Template) -> Option<Expr> {
        let mut parts = Vec::new();
        for part in &template.0 {
            parts.push(match part {
                Part::Text(text) => Expr::value(text.as_str()),
                Part::Variable(Variable::Attribute(index)) => self.expr(*index)?.0,
                Part::Variable(Variable::Column(name)) => Expr::column(MAIN, name),
                Part::Variable(Variable::Id) => Expr::Text(Box::new(super::plan::key(self.source, MAIN))),
                Part::Variable(_) => return None,
            });
        }
        Some(Expr::Concat(parts))
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
            return Err(Error::invalid_filter(format!(
                "{path} is never returned and cannot be compared"
            )));
        }
        if let Binding::Constant(value) = &attribute.binding {
            return Ok(if asked.holds_of(value, attribute.schema.case_exact) {
                Predicate::True
            } else {
                Predicate::False
            });
        }
        let Some((expr, column)) = self.expr(index) else {
            return Err(Error::invalid_filter(format!(
                "{path} is computed in a way that SQL cannot compare"
            )));
        };
        let case_exact = attribute.schema.case_exact;
        match &attribute.binding {
            Binding::Column(binding) if binding.json.is_empty() => {
                let Some(column) = column else {
                    return Ok(asked.of_absent());
                };
                self.converted(expr, &column, binding, case_exact, attribute.schema.kind, asked, path)
            }
            Binding::Lookup(lookup) => self.string(expr, column, case_exact, &lookup.conversion, asked, path),
            Binding::Reference(reference) => {
                let present = Predicate::Not(Box::new(Predicate::IsNull(expr)));
                let Some(type_) = super::plan::find_type(self.adapter, &reference.resource_type) else {
                    return Ok(asked.of_absent());
                };
                match asked {
                    Asked::Present => Ok(present),
                    asked if asked.is_null() => Ok(if asked.negated() { present } else { present.negate() }),
                    Asked::Compare(Operator::Eq | Operator::Ne, Literal::String(id)) => {
                        let key = type_.1.sources.first().and_then(|target| super::key_of(target, id));
                        let local = self.source.columns.get(reference.column);
                        let equal = match (key, local, reference.key) {
                            (Some(key), Some(local), 0) => {
                                Predicate::eq(Expr::column(MAIN, &local.name), Expr::Value(key, local.cast.clone()))
                                    .and(present)
                            }
                            (Some(key), _, _) => {
                                let joined = self.expr(index).map(|(expr, _)| expr).unwrap_or(Expr::Number(0));
                                let cast = column.and_then(|column| column.cast);
                                Predicate::eq(joined, Expr::Value(key, cast))
                            }
                            _ => Predicate::False,
                        };
                        Ok(if asked.negated() { equal.negate() } else { equal })
                    }
                    Asked::Compare(..) => Err(Error::invalid_filter(format!(
                        "{path} can be compared with eq and ne alone, to an id"
                    ))),
                }
            }
            _ => self.string(
                expr,
                column,
                case_exact,
                &Conversion::Text(Default::default()),
                asked,
                path,
            ),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, all of it needed")]
    fn converted(
        &mut self,
        expr: Expr,
        column: &Column,
        binding: &ColumnBinding,
        case_exact: bool,
        kind: Kind,
        asked: Asked<'_>,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        match &binding.conversion {
            Conversion::Boolean { yes, no } => {
                let mut any = Vec::new();
                for (value, stored) in [(true, yes), (false, no)] {
                    if matches!(
                        asked,
                        Asked::Compare(
                            Operator::Co
                                | Operator::Sw
                                | Operator::Ew
                                | Operator::Gt
                                | Operator::Ge
                                | Operator::Lt
                                | Operator::Le,
                            _
                        )
                    ) {
                        return Err(Error::invalid_filter(format!(
                            "{path} is a boolean: eq, ne and pr alone"
                        )));
                    }
                    if asked.holds_of(&Json::Bool(value), true) {
                        any.push(self.stored_as(&expr, column, stored));
                    }
                }
                Ok(Predicate::Or(any))
            }
            Conversion::Enum(words) => {
                let any = words
                    .iter()
                    .filter(|(word, _)| asked.holds_of(&Json::String(word.clone()), case_exact))
                    .map(|(_, stored)| Predicate::eq(expr.clone(), Expr::Value(stored.clone(), column.cast.clone())));
                let any = Predicate::Or(any.collect());
                Ok(if asked.negated() {
                    any.or(Predicate::IsNull(expr))
                } else {
                    any
                })
            }
            Conversion::Integer
            | Conversion::Decimal
            | Conversion::DateTime
            | Conversion::Unix(_)
            | Conversion::Date => self.ordered(expr, column, &binding.conversion, asked, path),
            Conversion::Binary | Conversion::Json => match asked {
                Asked::Present => Ok(Predicate::Not(Box::new(Predicate::IsNull(expr)))),
                _ if kind == Kind::Binary || matches!(binding.conversion, Conversion::Json) => {
                    Err(Error::invalid_filter(format!("{path} can be asked for with pr alone")))
                }
                _ => self.string(expr, Some(column.clone()), true, &binding.conversion, asked, path),
            },
            conversion => self.string(expr, Some(column.clone()), case_exact, conversion, asked, path),
        }
    }

    /// The stored values of one side of a boolean.
    fn stored_as(&mut self, expr: &Expr, column: &Column, stored: &[Expression]) -> Predicate {
        let mut any = Vec::new();
        for expression in stored {
            any.push(match expression {
                Expression::Literal(Value::Null) => Predicate::IsNull(expr.clone()),
                Expression::Literal(value) => {
                    Predicate::eq(expr.clone(), Expr::Value(value.clone(), column.cast.clone()))
                }
                // Something that only the moment of writing knows: anything that is there.
                _ => Predicate::Not(Box::new(Predicate::IsNull(expr.clone()))),
            });
        }
        Predicate::Or(any)
    }

    /// Numbers and instants.
    fn ordered(
        &mut self,
        expr: Expr,
        column: &Column,
        conversion: &Conversion,
        asked: Asked<'_>,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        let null = Predicate::IsNull(expr.clone());
        let (operator, literal) = match asked {
            Asked::Present => return Ok(null.negate()),
            Asked::Compare(_, Literal::Null) => return Ok(if asked.negated() { null.negate() } else { null }),
            Asked::Compare(operator, literal) => (operator, literal_json(literal)),
        };
        let comparison = match operator {
            Operator::Eq => Comparison::Eq,
            Operator::Ne => Comparison::Ne,
            Operator::Gt => Comparison::Gt,
            Operator::Ge => Comparison::Ge,
            Operator::Lt => Comparison::Lt,
            Operator::Le => Comparison::Le,
            Operator::Co | Operator::Sw | Operator::Ew => {
                return Err(Error::invalid_filter(format!(
                    "{path} is not text: co, sw and ew do not apply"
                )));
            }
        };
        let value = conversion
            .write(&literal, column, self.adapter.time_zone)
            .map_err(|refusal| Error::invalid_filter(format!("{path}: the value {refusal}")))?;
        let right = Expr::Value(value, column.cast.clone());
        Ok(match comparison {
            Comparison::Ne => Predicate::eq(expr, right).negate(),
            comparison => Predicate::Compare(expr, comparison, right),
        })
    }

    /// Text, in the column's own form.
    fn string(
        &mut self,
        expr: Expr,
        column: Option<Column>,
        case_exact: bool,
        conversion: &Conversion,
        asked: Asked<'_>,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        let is_text = matches!(conversion, Conversion::Text(_) | Conversion::Locale { .. });
        let empty = |expr: Expr| {
            let null = Predicate::IsNull(expr.clone());
            if is_text {
                null.or(Predicate::eq(expr, Expr::value("")))
            } else {
                null
            }
        };
        let (operator, literal) = match asked {
            Asked::Present => return Ok(empty(expr).negate()),
            Asked::Compare(operator, Literal::Null) => {
                let absent = empty(expr);
                return match operator {
                    Operator::Eq => Ok(absent),
                    Operator::Ne => Ok(absent.negate()),
                    _ => Err(Error::invalid_filter(format!(
                        "{path}: null can be compared with eq and ne alone"
                    ))),
                };
            }
            Asked::Compare(operator, literal) => (operator, literal),
        };
        let text = match literal {
            Literal::String(text) => text.clone(),
            Literal::Number(number) => number.to_string(),
            Literal::Boolean(b) => b.to_string(),
            Literal::Null => String::new(),
        };
        if text.contains('\0') {
            // No column holds it.
            return Ok(if operator == Operator::Ne {
                Predicate::True
            } else {
                Predicate::False
            });
        }
        match operator {
            Operator::Eq | Operator::Ne => {
                let equal = match &column {
                    None => self.text(expr, None, case_exact, Operator::Eq, text),
                    Some(column) => match conversion.write(&Json::String(text), column, self.adapter.time_zone) {
                        Ok(Value::Null) => empty(expr),
                        Ok(Value::Text(text)) => self.text(expr, Some(column), case_exact, Operator::Eq, text),
                        Ok(value) => Predicate::eq(expr, Expr::Value(value, column.cast.clone())),
                        // What the column cannot hold is equal to nothing in it.
                        Err(_) => Predicate::False,
                    },
                };
                Ok(if operator == Operator::Ne {
                    equal.negate()
                } else {
                    equal
                })
            }
            _ if !is_text => Err(Error::invalid_filter(format!(
                "{path} can be compared with eq, ne and pr alone"
            ))),
            operator => Ok(self.text(expr, column.as_ref(), case_exact, operator, text)),
        }
    }

    /// One operator on text, with the attribute's case rule on top of the column's own.
    fn text(
        &mut self,
        expr: Expr,
        column: Option<&Column>,
        case_exact: bool,
        operator: Operator,
        literal: String,
    ) -> Predicate {
        // Without a column it is our own, compared byte for byte, or a computed text that takes the
        // connection's collation.
        let ignores_case = match column {
            Some(column) => column.ignores_case,
            None => self.dialect == Dialect::Mysql && !case_exact,
        };
        let cast = match operator {
            Operator::Eq => column.and_then(|column| column.cast.clone()),
            _ => None,
        };
        let fold = !case_exact && !ignores_case;
        let literal = if fold { literal.to_lowercase() } else { literal };
        let side = |expr: Expr| match (fold, case_exact && ignores_case) {
            (true, _) => Expr::Lower(Box::new(expr)),
            (_, true) => Expr::Exact(Box::new(expr)),
            _ => expr,
        };
        let bind = |text: String| {
            let cast = if fold || (case_exact && ignores_case) {
                None
            } else {
                cast.clone()
            };
            let value = Expr::Value(Value::Text(text), cast);
            if case_exact && ignores_case {
                Expr::Exact(Box::new(value))
            } else {
                value
            }
        };
        let comparison = match operator {
            Operator::Eq => {
                let exact = Predicate::eq(side(expr.clone()), bind(literal.clone()));
                if case_exact && ignores_case {
                    // The column's own comparison first: it can use an index.
                    let cast = column.and_then(|column| column.cast.clone());
                    return Predicate::eq(expr, Expr::Value(Value::Text(literal), cast)).and(exact);
                }
                return exact;
            }
            Operator::Ne => return self.text(expr, column, case_exact, Operator::Eq, literal).negate(),
            Operator::Co | Operator::Sw | Operator::Ew => {
                let escaped = escape(&literal);
                let pattern = match operator {
                    Operator::Sw => format!("{escaped}%"),
                    Operator::Ew => format!("%{escaped}"),
                    _ => format!("%{escaped}%"),
                };
                return Predicate::Like(side(expr), Expr::value(pattern));
            }
            Operator::Gt => Comparison::Gt,
            Operator::Ge => Comparison::Ge,
            Operator::Lt => Comparison::Lt,
            Operator::Le => Comparison::Le,
        };
        Predicate::Compare(side(expr), comparison, bind(literal))
    }
}

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

fn literal_json(literal: &Literal) -> Json {
    match literal {
        Literal::String(text) => Json::String(text.clone()),
        Literal::Number(number) => Json::Number(number.clone()),
        Literal::Boolean(b) => Json::Bool(*b),
        Literal::Null => Json::Null,
    }
}
