//! A SCIM filter as a predicate over one source's rows (RFC 7644 3.4.2.2).
//!
//! What cannot be compared is 400 invalidFilter with the reason; nothing is ever silently false because
//! it is not mapped.

use super::plan::{self, Field, MAIN, ReadPlan, Shape, SlotPlan, SourcePlan};
use crate::adapter::{Adapter, Aliases, Binding, Column, Environment, Link, ResourceType, Slot, Source};
use crate::own::Own;
use crate::scim::{AttributePath, Error, Filter, Literal, Operator, Resolved};
use crate::sql::{Dialect, Expr, Predicate, Select, Value};
use serde_json::Value as Json;

/// Compiles the filters and sort keys of one list request for one source.
pub(super) struct Compiler<'a> {
    pub adapter: &'a Adapter,
    pub type_: &'a ResourceType,
    pub type_plan: &'a plan::TypePlan,
    pub source: &'a Source,
    pub plan: &'a SourcePlan,
    pub reading: &'a ReadPlan,
    pub own: &'a Own,
    pub dialect: Dialect,
    pub environment: Environment<'a>,
    pub aliases: Aliases,
}

impl<'a> Compiler<'a> {
    /// The filter as a predicate on [`MAIN`] and its joins.
    pub fn filter(&mut self, filter: &Filter) -> Result<Predicate, Error> {
        match filter {
            Filter::And(all) => all
                .iter()
                .try_fold(Predicate::True, |sum, one| Ok(sum.and(self.filter(one)?))),
            Filter::Or(any) => Ok(Predicate::Or(
                any.iter().map(|one| self.filter(one)).collect::<Result<_, Error>>()?,
            )),
            Filter::Not(inner) => Ok(self.filter(inner)?.negate()),
            Filter::Compare(path, operator, literal) => self.leaf(path, Asked::Compare(*operator, literal)),
            Filter::Present(path) => self.leaf(path, Asked::Present),
            Filter::Value(path, inner) => self.value_path(path, inner),
        }
    }

    /// What rows are sorted by.
    pub fn sort(&mut self, path: &AttributePath) -> Result<Expr, Error> {
        let resolved = self.resolve(path, Error::invalid_path)?;
        let sub = resolved.sub.map(|sub| sub.name.as_str());
        let cannot = || Error::invalid_path(format!("resources cannot be sorted by {path}"));
        if resolved.extension.is_none() {
            match (resolved.attribute.name.as_str(), sub) {
                ("id", None) => return Ok(plan::key(self.source, MAIN)),
                ("meta", Some(sub)) => return self.timestamp(sub).map(|(expr, _)| expr).ok_or_else(cannot),
                ("externalId", None) => return self.external_id().map(|(expr, _)| expr).ok_or_else(cannot),
                _ => {}
            }
        }
        let extension = resolved.extension.map(|extension| extension.id.clone());
        let name = resolved.attribute.name.clone();
        let sub = sub.map(str::to_owned);
        // Another source has it: absent here.
        let Some(field) = self.field(extension.as_deref(), &name) else {
            return Ok(Expr::Value(Value::Null, None));
        };
        let index = match &field.shape {
            Shape::Simple(index) => Some(*index),
            Shape::Reference { attribute, .. } => Some(*attribute),
            Shape::Complex(subs) => sub.and_then(|sub| find(subs, &sub)),
            Shape::Slots(slots) => slots
                .first()
                .and_then(|slot| find(&slot.subs, sub.as_deref().unwrap_or("value"))),
        };
        let index = index.ok_or_else(cannot)?;
        let case_exact = self
            .source
            .attributes
            .get(index)
            .is_none_or(|attribute| attribute.schema.case_exact);
        let text = self
            .source
            .attributes
            .get(index)
            .is_some_and(|a| a.schema.kind == crate::scim::Kind::String);
        let (expr, column) = self.expr(index).ok_or_else(cannot)?;
        let ignores_case = column.is_none_or(|column| column.ignores_case);
        Ok(
            if text && !case_exact && !ignores_case && self.dialect != Dialect::Mysql {
                Expr::Lower(Box::new(expr))
            } else {
                expr
            },
        )
    }

    fn resolve(&self, path: &AttributePath, error: fn(String) -> Error) -> Result<Resolved<'a>, Error> {
        let type_: &'a ResourceType = self.type_;
        type_.schema.resolve(path).ok_or_else(|| {
            error(format!(
                "{path} is not an attribute of {}; what it has is listed under /Schemas",
                self.type_.name
            ))
        })
    }

    fn leaf(&mut self, path: &AttributePath, asked: Asked<'_>) -> Result<Predicate, Error> {
        let resolved = self.resolve(path, Error::invalid_filter)?;
        let extension = resolved.extension.map(|extension| extension.id.clone());
        let name = resolved.attribute.name.clone();
        let sub = resolved.sub.map(|sub| sub.name.clone());
        if extension.is_none() {
            match (name.as_str(), sub.as_deref()) {
                ("id", None) => return self.id(asked),
                ("externalId", None) => return self.external(path, asked),
                ("meta", sub) => return self.meta(sub, path, asked),
                ("schemas", _) => return Ok(self.schemas(asked)),
                _ => {}
            }
            if self.is_collection(&name) {
                return self.collection(&name, sub.as_deref(), path, asked);
            }
        }
        let Some(field) = self.field(extension.as_deref(), &name) else {
            return Ok(asked.of_absent());
        };
        match &field.shape {
            Shape::Simple(index) => self.attribute(*index, path, asked),
            Shape::Reference { attribute, .. } => match sub.as_deref() {
                None | Some("value") => self.attribute(*attribute, path, asked),
                Some(_) => Err(Error::invalid_filter(format!(
                    "{path} cannot be compared; compare {name}.value"
                ))),
            },
            Shape::Complex(subs) => match (&sub, asked) {
                (None, Asked::Present) => {
                    let indexes: Vec<usize> = subs.iter().map(|(_, index)| *index).collect();
                    let any = indexes
                        .into_iter()
                        .map(|index| self.attribute(index, path, Asked::Present));
                    Ok(Predicate::Or(any.collect::<Result<_, Error>>()?))
                }
                (None, _) => Err(Error::invalid_filter(format!(
                    "{path} is complex: compare one of its sub-attributes"
                ))),
                (Some(sub), asked) => match find(subs, sub) {
                    Some(index) => self.attribute(index, path, asked),
                    None => Ok(asked.of_absent()),
                },
            },
            Shape::Slots(slots) => {
                let sub = sub.unwrap_or_else(|| "value".to_owned());
                // "absent" is asked of the attribute as a whole, all else of any one element.
                if asked.is_null() {
                    let present = self.slots(slots, |compiler, slot| {
                        compiler.in_slot(slot, &sub, path, Asked::Present)
                    })?;
                    return Ok(if asked.negated() { present } else { present.negate() });
                }
                self.slots(slots, |compiler, slot| compiler.in_slot(slot, &sub, path, asked))
            }
        }
    }

    fn slots(
        &mut self,
        slots: &[SlotPlan],
        mut each: impl FnMut(&mut Self, &SlotPlan) -> Result<Predicate, Error>,
    ) -> Result<Predicate, Error> {
        Ok(Predicate::Or(
            slots
                .iter()
                .map(|slot| each(self, slot))
                .collect::<Result<_, Error>>()?,
        ))
    }

    /// One sub-attribute of one element.
    fn in_slot(
        &mut self,
        slot: &SlotPlan,
        sub: &str,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        if let Slot::Where { sub: known, value } = &slot.slot
            && known.eq_ignore_ascii_case(sub)
        {
            let holds = asked.holds_of(&Json::String(value.clone()), false);
            return if holds {
                self.slot_present(slot)
            } else {
                Ok(Predicate::False)
            };
        }
        let Some(index) = slot
            .subs
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(sub))
            .map(|(_, index)| *index)
        else {
            return Ok(self.slot_present(slot)?.and(asked.of_absent()));
        };
        let constant = match self.source.attributes.get(index).map(|attribute| &attribute.binding) {
            Some(Binding::Constant(value)) => Some(asked.holds_of(value, false)),
            _ => None,
        };
        match constant {
            Some(true) => self.slot_present(slot),
            Some(false) => Ok(Predicate::False),
            None => self.attribute(index, path, asked),
        }
    }

    fn slot_present(&mut self, slot: &SlotPlan) -> Result<Predicate, Error> {
        let indexes: Vec<usize> = slot.subs.iter().map(|(_, index)| *index).collect();
        let mut any = Vec::new();
        for index in indexes {
            let Some(attribute) = self.source.attributes.get(index) else {
                continue;
            };
            if !matches!(attribute.binding, Binding::Constant(_)) {
                let path = AttributePath::new(attribute.target.attribute.clone());
                any.push(self.attribute(index, &path, Asked::Present)?);
            }
        }
        Ok(Predicate::Or(any))
    }

    fn value_path(&mut self, path: &AttributePath, inner: &Filter) -> Result<Predicate, Error> {
        let resolved = self.resolve(path, Error::invalid_filter)?;
        let extension = resolved.extension.map(|extension| extension.id.clone());
        let name = resolved.attribute.name.clone();
        if extension.is_none() && self.is_collection(&name) {
            return self.collection_where(&name, path, inner);
        }
        let Some(field) = self.field(extension.as_deref(), &name) else {
            return Ok(Predicate::False);
        };
        match &field.shape {
            Shape::Slots(slots) => self.slots(slots, |compiler, slot| compiler.slot_filter(slot, path, inner)),
            _ => {
                let inner = qualify(inner, path);
                self.filter(&inner)
            }
        }
    }

    fn slot_filter(&mut self, slot: &SlotPlan, outer: &AttributePath, filter: &Filter) -> Result<Predicate, Error> {
        match filter {
            Filter::And(all) => all.iter().try_fold(Predicate::True, |sum, one| {
                Ok(sum.and(self.slot_filter(slot, outer, one)?))
            }),
            Filter::Or(any) => Ok(Predicate::Or(
                any.iter()
                    .map(|one| self.slot_filter(slot, outer, one))
                    .collect::<Result<_, Error>>()?,
            )),
            Filter::Not(inner) => Ok(self
                .slot_present(slot)?
                .and(self.slot_filter(slot, outer, inner)?.negate())),
            Filter::Compare(path, operator, literal) => {
                self.known_sub(outer, &path.attribute)?;
                let asked = Asked::Compare(*operator, literal);
                Ok(self
                    .slot_present(slot)?
                    .and(self.in_slot(slot, &path.attribute, outer, asked)?))
            }
            Filter::Present(path) => {
                self.known_sub(outer, &path.attribute)?;
                self.in_slot(slot, &path.attribute, outer, Asked::Present)
            }
            Filter::Value(..) => Err(Error::invalid_filter(format!(
                "{outer}[...] cannot hold another value path"
            ))),
        }
    }

    fn known_sub(&self, outer: &AttributePath, sub: &str) -> Result<(), Error> {
        let path = AttributePath {
            sub: Some(sub.to_owned()),
            ..outer.clone()
        };
        self.resolve(&path, Error::invalid_filter).map(|_| ())
    }

    fn field(&self, extension: Option<&str>, name: &str) -> Option<&'a Field> {
        self.plan
            .fields
            .iter()
            .find(|field| field.extension.as_deref() == extension && field.name == name)
    }

    fn is_collection(&self, name: &str) -> bool {
        self.type_plan.collections.iter().any(|known| known == name)
            || (name == "groups" && !self.type_plan.reverse.is_empty())
    }

    fn schemas(&self, asked: Asked<'_>) -> Predicate {
        let urns = std::iter::once(&self.type_.schema.core).chain(&self.type_.schema.extensions);
        let any = urns
            .map(|schema| Json::String(schema.id.clone()))
            .any(|urn| asked.holds_of(&urn, true));
        if any { Predicate::True } else { Predicate::False }
    }

    fn collection(
        &mut self,
        name: &str,
        sub: Option<&str>,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        match (sub, asked) {
            (_, Asked::Present) => Ok(self.linked(name, None)),
            (None | Some("value"), Asked::Compare(Operator::Eq, Literal::String(id))) => {
                Ok(self.linked(name, Some(id)))
            }
            (None | Some("value"), Asked::Compare(Operator::Ne, Literal::String(id))) => {
                Ok(self.linked(name, Some(id)).negate())
            }
            (None | Some("value"), asked) if asked.is_null() => {
                let any = self.linked(name, None);
                Ok(if asked.negated() { any } else { any.negate() })
            }
            _ => Err(Error::invalid_filter(format!(
                "{path} can be compared by {name}.value with eq and ne alone"
            ))),
        }
    }

    fn collection_where(&mut self, name: &str, path: &AttributePath, inner: &Filter) -> Result<Predicate, Error> {
        match inner {
            Filter::Compare(sub, operator, literal) => {
                self.collection(name, Some(&sub.attribute), path, Asked::Compare(*operator, literal))
            }
            Filter::Present(sub) => self.collection(name, Some(&sub.attribute), path, Asked::Present),
            Filter::Or(any) => Ok(Predicate::Or(
                any.iter()
                    .map(|one| self.collection_where(name, path, one))
                    .collect::<Result<_, Error>>()?,
            )),
            Filter::And(all) => {
                // Elements have one value each: `type` is the same for all, so it is folded.
                let mut predicate = Predicate::True;
                for one in all {
                    predicate = predicate.and(match one {
                        Filter::Compare(sub, operator, literal) if sub.attribute.eq_ignore_ascii_case("type") => {
                            let type_ = if name == "groups" { "direct" } else { "User" };
                            let asked = Asked::Compare(*operator, literal);
                            if asked.holds_of(&Json::from(type_), false) {
                                Predicate::True
                            } else {
                                Predicate::False
                            }
                        }
                        one => self.collection_where(name, path, one)?,
                    });
                }
                Ok(predicate)
            }
            Filter::Not(_) | Filter::Value(..) => Err(Error::invalid_filter(format!(
                "{path}[...] can be compared by value with eq and ne alone"
            ))),
        }
    }

    /// `EXISTS` on the links behind a collection, for one member or for any.
    fn linked(&mut self, name: &str, member: Option<&str>) -> Predicate {
        let mut any = Vec::new();
        let own: Vec<usize> = self.plan.links.clone();
        for index in own {
            let Some(attribute) = self.source.attributes.get(index) else {
                continue;
            };
            if attribute.target.attribute != name {
                continue;
            }
            if let Binding::Link(link) = &attribute.binding {
                any.push(self.own_link(link, member));
            }
        }
        if name == "groups" {
            for reverse in &self.type_plan.reverse {
                let Some(type_) = self.adapter.resource_types.get(reverse.type_) else {
                    continue;
                };
                let Some(source) = type_.sources.get(reverse.source) else {
                    continue;
                };
                let Some(Binding::Link(link)) = source.attributes.get(reverse.attribute).map(|a| &a.binding) else {
                    continue;
                };
                any.push(self.reverse_link(type_, source, link, member));
            }
        }
        Predicate::Or(any)
    }

    fn own_link(&mut self, link: &Link, member: Option<&str>) -> Predicate {
        let Some((_, type_)) = plan::find_type(self.adapter, &link.resource_type) else {
            return Predicate::False;
        };
        let Some(target) = type_.sources.first() else {
            return Predicate::False;
        };
        let Some(parent) = self.source.columns.get(link.parent.1) else {
            return Predicate::False;
        };
        let parent = Expr::column(MAIN, &parent.name);
        self.link_exists(
            link,
            &link.parent.0,
            parent,
            (&link.child.0, link.child.1),
            (type_, target),
            member,
        )
    }

    fn reverse_link(&mut self, type_: &ResourceType, source: &Source, link: &Link, member: Option<&str>) -> Predicate {
        let Some(child) = self.source.columns.get(link.child.1) else {
            return Predicate::False;
        };
        let child = Expr::column(MAIN, &child.name);
        self.link_exists(
            link,
            &link.child.0,
            child,
            (&link.parent.0, link.parent.1),
            (type_, source),
            member,
        )
    }

    fn link_exists(
        &mut self,
        link: &Link,
        near: &Column,
        here: Expr,
        far: (&Column, usize),
        target: (&ResourceType, &Source),
        member: Option<&str>,
    ) -> Predicate {
        let (type_, source) = target;
        let key = match member {
            None => None,
            Some(id) => match super::key_of(source, id) {
                Some(key) => Some(key),
                None => return Predicate::False,
            },
        };
        let alias = self.aliases.next();
        let other = self.aliases.next();
        let Some(there) = source.columns.get(far.1) else {
            return Predicate::False;
        };
        let kind = plan::own_kind(type_, source);
        let mut filter = Predicate::eq(Expr::column(alias, &near.name), here)
            .and(self.environment.predicate(&link.filter, Some(alias), &mut self.aliases))
            .and(plan::visible(
                source,
                &kind,
                self.own,
                other,
                &self.environment,
                &mut self.aliases,
            ));
        if let Some(key) = key {
            let cast = source.columns.first().and_then(|column| column.cast.clone());
            filter = Predicate::eq(plan::key(source, other), Expr::Value(key, cast)).and(filter);
        }
        let mut select = Select::new(link.table.clone(), alias, vec![Expr::Number(1)]);
        select.joins.push(crate::sql::Join {
            kind: crate::sql::JoinKind::Inner,
            table: source.table.clone(),
            alias: other,
            on: Predicate::eq(Expr::column(other, &there.name), Expr::column(alias, &far.0.name)),
        });
        Predicate::Exists(Box::new(select.filter(filter)))
    }
}

/// What is asked of an attribute.
#[derive(Clone, Copy)]
pub(super) enum Asked<'a> {
    /// `pr`.
    Present,
    /// An operator and a literal.
    Compare(Operator, &'a Literal),
}

impl Asked<'_> {
    /// Whether absence is asked for, one way or the other: `eq null`, `ne null`.
    pub fn is_null(self) -> bool {
        matches!(self, Asked::Compare(Operator::Eq | Operator::Ne, Literal::Null))
    }

    /// `ne`.
    pub fn negated(self) -> bool {
        matches!(self, Asked::Compare(Operator::Ne, _))
    }

    /// The answer for an attribute that this source never has.
    pub fn of_absent(self) -> Predicate {
        match self {
            Asked::Compare(Operator::Eq, Literal::Null) => Predicate::True,
            Asked::Compare(Operator::Ne, literal) if *literal != Literal::Null => Predicate::True,
            _ => Predicate::False,
        }
    }

    /// The answer for a value that is known here: constants, and each word of a small set.
    pub fn holds_of(self, value: &Json, case_exact: bool) -> bool {
        let (operator, literal) = match self {
            Asked::Present => return !value.is_null(),
            Asked::Compare(operator, literal) => (operator, literal),
        };
        if let (Json::Bool(value), Literal::String(text)) = (value, literal) {
            let literal = match text.to_ascii_lowercase().as_str() {
                "true" => Literal::Boolean(true),
                "false" => Literal::Boolean(false),
                _ => return operator == Operator::Ne,
            };
            return Asked::Compare(operator, &literal).holds_of(&Json::Bool(*value), case_exact);
        }
        match (value, literal) {
            (Json::Bool(a), Literal::Boolean(b)) => (operator == Operator::Eq) == (a == b),
            (Json::String(a), Literal::String(b)) => {
                let fold = |text: &str| {
                    if case_exact {
                        text.to_owned()
                    } else {
                        text.to_lowercase()
                    }
                };
                let (a, b) = (fold(a), fold(b));
                match operator {
                    Operator::Eq => a == b,
                    Operator::Ne => a != b,
                    Operator::Co => a.contains(&b),
                    Operator::Sw => a.starts_with(&b),
                    Operator::Ew => a.ends_with(&b),
                    Operator::Gt => a > b,
                    Operator::Ge => a >= b,
                    Operator::Lt => a < b,
                    Operator::Le => a <= b,
                }
            }
            _ => operator == Operator::Ne,
        }
    }
}

fn find(subs: &[(String, usize)], sub: &str) -> Option<usize> {
    subs.iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(sub))
        .map(|(_, index)| *index)
}

/// `name[familyName eq "x"]` of a singular attribute is `name.familyName eq "x"`.
fn qualify(filter: &Filter, outer: &AttributePath) -> Filter {
    let inner = |path: &AttributePath| AttributePath {
        sub: Some(path.attribute.clone()),
        ..outer.clone()
    };
    match filter {
        Filter::And(all) => Filter::And(all.iter().map(|one| qualify(one, outer)).collect()),
        Filter::Or(any) => Filter::Or(any.iter().map(|one| qualify(one, outer)).collect()),
        Filter::Not(one) => Filter::Not(Box::new(qualify(one, outer))),
        Filter::Compare(path, operator, literal) => Filter::Compare(inner(path), *operator, literal.clone()),
        Filter::Present(path) => Filter::Present(inner(path)),
        Filter::Value(path, one) => Filter::Value(path.clone(), one.clone()),
    }
}
