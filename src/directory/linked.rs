//! Collections in a filter: `members` and `groups`, whose elements stand in link tables; and what rows are sorted by there.
//!
//! A comparison holds where any one element meets it (RFC 7644 3.4.2.2), `ne` also where there is none. Inside brackets one
//! and the same element meets all of it. Sorted is by the first element that the resource shows.

use super::asked::Asked;
use super::filter::Compiler;
use super::plan::{self, SourcePlan, TypePlan};
use crate::adapter::{Column, Link, ResourceType, Source};
use crate::scim::{AttributePath, Error, Filter};
use crate::sql::{Alias, Expr, Join, JoinKind, Order, Predicate, Select};
use serde_json::Value as Json;

/// What is asked of one element.
#[derive(Clone, Copy)]
enum Element<'f> {
    /// That there is one.
    Any,
    /// One sub-attribute; `value` where none is named.
    Sub(&'f str, Asked<'f>),
    /// What stands in brackets.
    Filter(&'f Filter),
}

/// The other end of a link or a reference.
#[derive(Clone, Copy)]
pub(super) struct Far<'a> {
    pub type_: &'a ResourceType,
    pub type_plan: &'a TypePlan,
    pub source: &'a Source,
    pub plan: &'a SourcePlan,
    /// What the element says of its `type`.
    pub word: &'a str,
}

/// A link as one of its ends sees it.
#[derive(Clone, Copy)]
struct Way<'a> {
    link: &'a Link,
    /// The link's column for this end, and the column of this source that it holds.
    near: (&'a Column, usize),
    /// The same for the other end.
    there: (&'a Column, usize),
    far: Far<'a>,
}

impl<'a> Compiler<'a> {
    /// `members eq "5"`, `groups.value pr`.
    pub(super) fn collection(
        &mut self,
        name: &str,
        sub: Option<&str>,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        let sub = sub.unwrap_or("value");
        if asked.is_null() {
            let any = self.linked(name, Element::Sub(sub, Asked::Present), path)?;
            return Ok(if asked.negated() { any } else { any.negate() });
        }
        let any = self.linked(name, Element::Sub(sub, asked), path)?;
        if asked.negated() {
            return Ok(any.or(self.linked(name, Element::Any, path)?.negate()));
        }
        Ok(any)
    }

    /// `members[value eq "5" and type eq "User"]`.
    pub(super) fn collection_where(
        &mut self,
        name: &str,
        path: &AttributePath,
        inner: &Filter,
    ) -> Result<Predicate, Error> {
        self.linked(name, Element::Filter(inner), path)
    }

    /// `EXISTS` on the links behind a collection.
    fn linked(&mut self, name: &str, element: Element<'_>, path: &AttributePath) -> Result<Predicate, Error> {
        let mut any = Vec::new();
        for way in self.ways(name) {
            let (alias, other) = (self.aliases.fresh(), self.aliases.fresh());
            let meets = self.element(element, way.far, other, path)?;
            let links = self.along(&way, alias, other, vec![Expr::Number(1)], meets);
            any.extend(links.map(|links| Predicate::Exists(Box::new(links))));
        }
        Ok(Predicate::Or(any))
    }

    /// For each link behind a collection one sub-attribute of its first element, as text or NULL.
    pub(super) fn first_of(&mut self, name: &str, sub: &str, path: &AttributePath) -> Result<Vec<Expr>, Error> {
        let mut firsts = Vec::new();
        for way in self.ways(name) {
            let (alias, other) = (self.aliases.fresh(), self.aliases.fresh());
            let value = self.of_element(&way.far, other, sub, path)?;
            if let Some(mut links) = self.along(&way, alias, other, vec![value], Predicate::True) {
                links.order.push(Order { by: plan::key(way.far.source, other), descending: false });
                links.limit = Some(1);
                firsts.push(Expr::Scalar(Box::new(links)));
            }
        }
        Ok(firsts)
    }

    /// The links behind a collection.
    fn ways(&self, name: &str) -> Vec<Way<'a>> {
        let mut ways = Vec::new();
        let own = self.plan.links.iter().filter_map(|index| self.source.link(*index));
        for (_, link) in own.filter(|(attribute, _)| attribute.target.attribute == name) {
            if let Some(far) = self.far(&link.resource_type) {
                let (near, there) = ((&link.parent.0, link.parent.1), (&link.child.0, link.child.1));
                ways.push(Way { link, near, there, far });
            }
        }
        for reverse in self.reverse.iter().filter(|_| name == "groups") {
            let adapter = self.adapter;
            let Some((type_, type_plan)) = adapter.resource_types.get(reverse.type_).zip(self.types.get(reverse.type_))
            else {
                continue;
            };
            let Some((source, plan)) = type_.sources.get(reverse.source).zip(type_plan.sources.get(reverse.source))
            else {
                continue;
            };
            let Some((_, link)) = source.link(reverse.attribute) else {
                continue;
            };
            let (near, there) = ((&link.child.0, link.child.1), (&link.parent.0, link.parent.1));
            ways.push(Way { link, near, there, far: Far { type_, type_plan, source, plan, word: "direct" } });
        }
        ways
    }

    /// The resources of a type that has one source.
    pub(super) fn far(&self, resource_type: &str) -> Option<Far<'a>> {
        let (number, type_) = plan::find_type(self.adapter, resource_type)?;
        let type_plan = self.types.get(number)?;
        let (source, plan) = type_.sources.first().zip(type_plan.sources.first())?;
        Some(Far { type_, type_plan, source, plan, word: &type_.name })
    }

    /// The elements of a row that meet a condition: the link as `alias`, the other end as `other`.
    fn along(
        &mut self,
        way: &Way<'a>,
        alias: Alias,
        other: Alias,
        columns: Vec<Expr>,
        meets: Predicate,
    ) -> Option<Select> {
        let here = self.source.columns.get(way.near.1)?;
        let there = way.far.source.columns.get(way.there.1)?;
        let kind = plan::own_kind(way.far.type_, way.far.source);
        let filter = Predicate::eq(Expr::column(alias, &way.near.0.name), Expr::column(self.main, &here.name))
            .and(meets)
            .and(self.environment.predicate(&way.link.filter, Some(alias), &mut self.aliases))
            .and(plan::visible(way.far.source, &kind, self.own, other, &self.environment, &mut self.aliases));
        let mut select = Select::new(way.link.table.clone(), alias, columns);
        select.joins.push(Join {
            kind: JoinKind::Inner,
            table: way.far.source.table.clone(),
            alias: other,
            on: Predicate::eq(Expr::column(other, &there.name), Expr::column(alias, &way.there.0.name)),
        });
        Some(select.filter(filter))
    }

    fn element(
        &mut self,
        element: Element<'_>,
        far: Far<'a>,
        alias: Alias,
        path: &AttributePath,
    ) -> Result<Predicate, Error> {
        let (sub, asked) = match element {
            Element::Any => return Ok(Predicate::True),
            Element::Sub(sub, asked) => (sub, asked),
            Element::Filter(Filter::And(all)) => {
                return all.iter().try_fold(Predicate::True, |sum, one| {
                    Ok(sum.and(self.element(Element::Filter(one), far, alias, path)?))
                });
            }
            Element::Filter(Filter::Or(any)) => {
                let any = any.iter().map(|one| self.element(Element::Filter(one), far, alias, path));
                return Ok(Predicate::Or(any.collect::<Result<_, Error>>()?));
            }
            Element::Filter(Filter::Not(one)) => {
                return Ok(self.element(Element::Filter(one), far, alias, path)?.negate());
            }
            Element::Filter(Filter::Compare(sub, operator, literal)) => {
                self.known_sub(path, &sub.attribute)?;
                (sub.attribute.as_str(), Asked::Compare(*operator, literal))
            }
            Element::Filter(Filter::Present(sub)) => {
                self.known_sub(path, &sub.attribute)?;
                (sub.attribute.as_str(), Asked::Present)
            }
            Element::Filter(Filter::Value(..)) => {
                return Err(Error::invalid_filter(format!("{path}[...] cannot hold another value path")));
            }
        };
        match sub.to_ascii_lowercase().as_str() {
            "value" => self.id(far.source, plan::key(far.source, alias), asked, path),
            "type" => {
                let holds = asked.holds_of(&Json::from(far.word), false, path)?;
                Ok(if holds { Predicate::True } else { Predicate::False })
            }
            "display" => self.display_compared(&far, alias, path, asked),
            // Made from the id, so always there.
            "$ref" if matches!(asked, Asked::Present) => Ok(Predicate::True),
            "$ref" if asked.is_null() => Ok(asked.of_presence(Predicate::True).unwrap_or(Predicate::True)),
            _ => Err(Error::invalid_filter(format!(
                "{path}.{sub} cannot be compared; compare {path}.value, the id",
                path = path.attribute
            ))),
        }
    }
}
