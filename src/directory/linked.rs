//! Collections in a filter: `members` and `groups`, whose elements stand in link tables.
//!
//! A comparison holds where any one element meets it (RFC 7644 3.4.2.2), `ne` also where there is none. Inside brackets one
//! and the same element meets all of it.

use super::asked::Asked;
use super::filter::Compiler;
use super::plan::{self, MAIN};
use crate::adapter::{Binding, Column, Link, ResourceType, Source};
use crate::scim::{AttributePath, Error, Filter};
use crate::sql::{Alias, Expr, Join, JoinKind, Predicate, Select};
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

/// The other end of a link.
#[derive(Clone, Copy)]
struct Far<'a> {
    type_: &'a ResourceType,
    source: &'a Source,
    /// The link's column, and the column of `source` it holds.
    column: (&'a Column, usize),
    /// What the element says of its `type`.
    word: &'a str,
}

impl Compiler<'_> {
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
        let source = self.source;
        let own = self.plan.links.iter().filter_map(|index| source.attributes.get(*index));
        for attribute in own.filter(|attribute| attribute.target.attribute == name) {
            let Binding::Link(link) = &attribute.binding else {
                continue;
            };
            let Some((_, type_)) = plan::find_type(self.adapter, &link.resource_type) else {
                continue;
            };
            if let Some(target) = type_.sources.first() {
                let far = Far { type_, source: target, column: (&link.child.0, link.child.1), word: &type_.name };
                any.extend(self.link(link, (&link.parent.0, link.parent.1), far, element, path)?);
            }
        }
        if name == "groups" {
            let adapter = self.adapter;
            for reverse in &self.type_plan.reverse {
                let Some(type_) = adapter.resource_types.get(reverse.type_) else {
                    continue;
                };
                let Some(source) = type_.sources.get(reverse.source) else {
                    continue;
                };
                let Some(Binding::Link(link)) = source.attributes.get(reverse.attribute).map(|a| &a.binding) else {
                    continue;
                };
                let far = Far { type_, source, column: (&link.parent.0, link.parent.1), word: "direct" };
                any.extend(self.link(link, (&link.child.0, link.child.1), far, element, path)?);
            }
        }
        Ok(Predicate::Or(any))
    }

    fn link(
        &mut self,
        link: &Link,
        near: (&Column, usize),
        far: Far<'_>,
        element: Element<'_>,
        path: &AttributePath,
    ) -> Result<Option<Predicate>, Error> {
        let (Some(here), Some(there)) = (self.source.columns.get(near.1), far.source.columns.get(far.column.1)) else {
            return Ok(None);
        };
        let (alias, other) = (self.aliases.fresh(), self.aliases.fresh());
        let meets = self.element(element, far, other, path)?;
        let kind = plan::own_kind(far.type_, far.source);
        let filter = Predicate::eq(Expr::column(alias, &near.0.name), Expr::column(MAIN, &here.name))
            .and(meets)
            .and(self.environment.predicate(&link.filter, Some(alias), &mut self.aliases))
            .and(plan::visible(far.source, &kind, self.own, other, &self.environment, &mut self.aliases));
        let mut select = Select::new(link.table.clone(), alias, vec![Expr::Number(1)]);
        select.joins.push(Join {
            kind: JoinKind::Inner,
            table: far.source.table.clone(),
            alias: other,
            on: Predicate::eq(Expr::column(other, &there.name), Expr::column(alias, &far.column.0.name)),
        });
        Ok(Some(Predicate::Exists(Box::new(select.filter(filter)))))
    }

    fn element(
        &mut self,
        element: Element<'_>,
        far: Far<'_>,
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
