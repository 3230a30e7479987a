//! A SCIM filter as a predicate over one source's rows (RFC 7644 3.4.2.2).
//!
//! What cannot be compared is 400 invalidFilter with the reason; nothing is ever silently false because
//! it is not mapped. The rules for single values are said in `compare.rs`. For multi-valued attributes:
//!
//! - A comparison holds where any one element meets it (RFC 7644 3.4.2.2): `emails ne "x"` where some element is not `x`, and
//!   where there is no element, as an absent value is not `x` either.
//! - `emails.display eq null` asks that no element has it, being `not (emails.display pr)`.
//! - Inside brackets one and the same element meets all of it; `not` inside brackets asks for an element that does not.
//!   A singular complex attribute (`name[...]`) is its own only element.

use super::asked::Asked;
use super::plan::{self, Field, Joined, ReadPlan, Reverse, Shape, SlotPlan, SourcePlan};
use crate::adapter::{Adapter, Aliases, Binding, Environment, ResourceType, Slot, Source};
use crate::own::Own;
use crate::scim::{AttributePath, Error, Filter, Resolved, Schema};
use crate::sql::{Alias, Dialect, Predicate};
use serde_json::Value as Json;

/// Compiles the filters and sort keys of one list request for one source.
pub(super) struct Compiler<'a> {
    pub adapter: &'a Adapter,
    /// All types, compiled.
    pub types: &'a [plan::TypePlan],
    pub type_: &'a ResourceType,
    /// The other types of a search at the root: what one of them has, resources of this one have no value of
    /// (RFC 7644 3.4.2.1).
    pub others: Vec<&'a ResourceType>,
    /// The links behind `groups` that the caller may see.
    pub reverse: Vec<Reverse>,
    /// The types that the caller may not read: what their resources are called is not asked for either.
    pub unread: Vec<&'a str>,
    /// The source's table in the statement.
    pub main: Alias,
    pub type_plan: &'a plan::TypePlan,
    pub source: &'a Source,
    pub plan: &'a SourcePlan,
    pub reading: &'a ReadPlan,
    /// Where each attribute's joined tables are.
    pub joined: &'a [Option<Joined>],
    pub own: &'a Own,
    pub dialect: Dialect,
    pub environment: Environment<'a>,
    pub aliases: Aliases,
}

impl<'a> Compiler<'a> {
    /// The filter as a predicate on the source's table and its joins.
    pub fn filter(&mut self, filter: &Filter) -> Result<Predicate, Error> {
        match filter {
            Filter::And(all) => all.iter().try_fold(Predicate::True, |sum, one| Ok(sum.and(self.filter(one)?))),
            Filter::Or(any) => Ok(Predicate::Or(any.iter().map(|one| self.filter(one)).collect::<Result<_, Error>>()?)),
            Filter::Not(inner) => Ok(self.filter(inner)?.negate()),
            Filter::Compare(path, operator, literal) => self.leaf(path, Asked::Compare(*operator, literal)),
            Filter::Present(path) => self.leaf(path, Asked::Present),
            Filter::Value(path, inner) => self.value_path(path, inner),
        }
    }

    /// What a path names; `None` where resources of this type have no such attribute, but those of another type that is
    /// searched have.
    pub(super) fn resolve(
        &self,
        path: &AttributePath,
        error: fn(String) -> Error,
    ) -> Result<Option<Resolved<'a>>, Error> {
        let type_: &'a ResourceType = self.type_;
        let Some(resolved) = type_.schema.resolve(path) else {
            if self.others.iter().any(|other| other.schema.resolve(path).is_some()) {
                return Ok(None);
            }
            let whose = if self.others.is_empty() { type_.name.as_str() } else { "any resource type" };
            return Err(error(format!(
                "{path} is not an attribute of {whose}; what there is is listed under /Schemas"
            )));
        };
        let groups = resolved.extension.is_none() && resolved.attribute.name == "groups";
        if groups && self.reverse.is_empty() && !self.type_plan.reverse.is_empty() {
            return Err(error(format!(
                "{path} is not shown to this identity server: `may` in its configuration lets it read no type of groups"
            )));
        }
        Ok(Some(resolved))
    }

    /// Whether a source of this type, or of another that is searched, is like this.
    pub(super) fn somewhere(&self, is: impl Fn(&Source) -> bool) -> bool {
        std::iter::once(&self.type_).chain(&self.others).flat_map(|type_| &type_.sources).any(is)
    }

    fn leaf(&mut self, path: &AttributePath, asked: Asked<'_>) -> Result<Predicate, Error> {
        let Some(resolved) = self.resolve(path, Error::invalid_filter)? else {
            return Ok(asked.of_absent());
        };
        let extension = resolved.extension.map(|extension| extension.id.clone());
        let name = resolved.attribute.name.clone();
        let sub = resolved.sub.map(|sub| sub.name.clone());
        if extension.is_none() {
            match (name.as_str(), sub.as_deref()) {
                ("id", None) => return self.id(self.source, plan::key(self.source, self.main), asked, path),
                ("externalId", None) => return self.external(path, asked),
                ("meta", sub) => return self.meta(sub, path, asked),
                ("schemas", _) => return self.schemas(path, asked),
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
                Some("displayName") => self.reference_display(*attribute, path, asked),
                // Made from the id, so there where that is.
                Some(_) if matches!(asked, Asked::Present) || asked.is_null() => {
                    self.attribute(*attribute, path, asked)
                }
                Some(_) => Err(Error::invalid_filter(format!("{path} cannot be compared; compare {name}.value"))),
            },
            Shape::Complex(subs) => match &sub {
                None => {
                    let present = self.field_present(field)?;
                    asked.of_presence(present).ok_or_else(|| {
                        Error::invalid_filter(format!("{path} is complex: compare one of its sub-attributes"))
                    })
                }
                Some(sub) => match find(subs, sub) {
                    Some(index) => self.attribute(index, path, asked),
                    None => Ok(asked.of_absent()),
                },
            },
            Shape::Slots(slots) => {
                let sub = sub.unwrap_or_else(|| "value".to_owned());
                if asked.is_null() {
                    let present =
                        self.slots(slots, |compiler, slot| compiler.in_slot(slot, &sub, path, Asked::Present))?;
                    return Ok(if asked.negated() { present } else { present.negate() });
                }
                let any = self.slots(slots, |compiler, slot| compiler.in_slot(slot, &sub, path, asked))?;
                if asked.negated() {
                    let present = self.slots(slots, Self::slot_present)?;
                    return Ok(any.or(present.negate()));
                }
                Ok(any)
            }
            Shape::Rows(index) => self.rows(*index, sub.as_deref(), path, asked),
        }
    }

    /// Whether the resource has this attribute.
    fn field_present(&mut self, field: &Field) -> Result<Predicate, Error> {
        let path = AttributePath::new(field.name.clone());
        match &field.shape {
            Shape::Simple(index) | Shape::Reference { attribute: index, .. } => self.has(*index, &path),
            Shape::Complex(subs) => {
                let any = subs.iter().map(|(_, index)| self.has(*index, &path));
                Ok(Predicate::Or(any.collect::<Result<_, Error>>()?))
            }
            Shape::Slots(slots) => self.slots(slots, Self::slot_present),
            Shape::Rows(index) => self.any_row(*index),
        }
    }

    /// Whether there is a value; one that is never returned is none.
    fn has(&mut self, index: usize, path: &AttributePath) -> Result<Predicate, Error> {
        let returned = self.source.attributes.get(index).map(|attribute| attribute.schema.returned);
        if returned == Some(crate::scim::Returned::Never) {
            return Ok(Predicate::False);
        }
        self.attribute(index, path, Asked::Present)
    }

    fn slots(
        &mut self,
        slots: &[SlotPlan],
        mut each: impl FnMut(&mut Self, &SlotPlan) -> Result<Predicate, Error>,
    ) -> Result<Predicate, Error> {
        Ok(Predicate::Or(slots.iter().map(|slot| each(self, slot)).collect::<Result<_, Error>>()?))
    }

    /// One sub-attribute of one element.
    fn in_slot(
        &mut self,
        slot: &SlotPlan,
        sub: &str,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        let present = self.slot_present(slot)?;
        if let Slot::Where { sub: known, value } = &slot.slot
            && known.eq_ignore_ascii_case(sub)
        {
            let holds = asked.holds_of(&Json::String(value.clone()), false, path)?;
            return Ok(if holds { present } else { Predicate::False });
        }
        if let Some(said) = self.beside(slot, sub, path, asked)? {
            return Ok(present.and(said));
        }
        let Some(index) = find(&slot.subs, sub) else {
            // Of every element the client may have said these besides; where the type is one too, it is in the filter above.
            let said = ["display", "primary"].iter().any(|besides| besides.eq_ignore_ascii_case(sub));
            if slot.slot == Slot::Only || said {
                return Err(Error::invalid_filter(format!(
                    "{}.{sub} cannot be compared: no column holds it, a client is only given back what it sent",
                    path.attribute
                )));
            }
            return Ok(present.and(asked.of_absent()));
        };
        Ok(present.and(self.attribute(index, path, asked)?))
    }

    /// Whether the element is there: what is constant in it does not make it.
    pub(super) fn slot_present(&mut self, slot: &SlotPlan) -> Result<Predicate, Error> {
        let indexes: Vec<usize> = slot.subs.iter().map(|(_, index)| *index).collect();
        let mut any = Vec::new();
        for index in indexes {
            let Some(attribute) = self.source.attributes.get(index) else {
                continue;
            };
            if !matches!(attribute.binding, Binding::Constant(_)) {
                let path = AttributePath::new(attribute.target.attribute.clone());
                any.push(self.has(index, &path)?);
            }
        }
        Ok(Predicate::Or(any))
    }

    fn value_path(&mut self, path: &AttributePath, inner: &Filter) -> Result<Predicate, Error> {
        let Some(resolved) = self.resolve(path, Error::invalid_filter)? else {
            return Ok(Predicate::False);
        };
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
            Shape::Rows(index) => self.rows_where(*index, path, inner),
            _ => {
                let present = self.field_present(field)?;
                Ok(present.and(self.filter(&qualify(inner, path))?))
            }
        }
    }

    fn slot_filter(&mut self, slot: &SlotPlan, outer: &AttributePath, filter: &Filter) -> Result<Predicate, Error> {
        match filter {
            Filter::And(all) => {
                all.iter().try_fold(Predicate::True, |sum, one| Ok(sum.and(self.slot_filter(slot, outer, one)?)))
            }
            Filter::Or(any) => Ok(Predicate::Or(
                any.iter().map(|one| self.slot_filter(slot, outer, one)).collect::<Result<_, Error>>()?,
            )),
            Filter::Not(inner) => Ok(self.slot_present(slot)?.and(self.slot_filter(slot, outer, inner)?.negate())),
            Filter::Compare(path, operator, literal) => {
                self.known_sub(outer, &path.attribute)?;
                self.in_slot(slot, &path.attribute, outer, Asked::Compare(*operator, literal))
            }
            Filter::Present(path) => {
                self.known_sub(outer, &path.attribute)?;
                self.in_slot(slot, &path.attribute, outer, Asked::Present)
            }
            Filter::Value(..) => Err(Error::invalid_filter(format!("{outer}[...] cannot hold another value path"))),
        }
    }

    pub(super) fn known_sub(&self, outer: &AttributePath, sub: &str) -> Result<(), Error> {
        let path = AttributePath { sub: Some(sub.to_owned()), ..outer.clone() };
        self.resolve(&path, Error::invalid_filter).map(|_| ())
    }

    pub(super) fn field(&self, extension: Option<&str>, name: &str) -> Option<&'a Field> {
        self.plan.fields.iter().find(|field| field.extension.as_deref() == extension && field.name == name)
    }

    pub(super) fn is_collection(&self, name: &str) -> bool {
        self.type_plan.collections.iter().any(|known| known == name) || (name == "groups" && !self.reverse.is_empty())
    }

    /// `schemas`: an extension is listed where the resource has one of its attributes.
    fn schemas(&mut self, path: &AttributePath, asked: Asked<'_>) -> Result<Predicate, Error> {
        if asked.is_null() {
            return Ok(if asked.negated() { Predicate::True } else { Predicate::False });
        }
        let listed = |schema: &Schema| asked.holds_of(&Json::String(schema.id.clone()), true, path);
        if listed(&self.type_.schema.core)? {
            return Ok(Predicate::True);
        }
        let mut any = Vec::new();
        for extension in &self.type_.schema.extensions {
            if !listed(extension)? {
                continue;
            }
            let plan = self.plan;
            let fields = plan.fields.iter();
            for field in fields.filter(|field| field.extension.as_ref() == Some(&extension.id)) {
                any.push(self.field_present(field)?);
            }
        }
        Ok(Predicate::Or(any))
    }
}

pub(super) fn find(subs: &[(String, usize)], sub: &str) -> Option<usize> {
    subs.iter().find(|(name, _)| name.eq_ignore_ascii_case(sub)).map(|(_, index)| *index)
}

/// `name[familyName eq "x"]` of a singular attribute is `name.familyName eq "x"`.
fn qualify(filter: &Filter, outer: &AttributePath) -> Filter {
    let inner = |path: &AttributePath| AttributePath { sub: Some(path.attribute.clone()), ..outer.clone() };
    match filter {
        Filter::And(all) => Filter::And(all.iter().map(|one| qualify(one, outer)).collect()),
        Filter::Or(any) => Filter::Or(any.iter().map(|one| qualify(one, outer)).collect()),
        Filter::Not(one) => Filter::Not(Box::new(qualify(one, outer))),
        Filter::Compare(path, operator, literal) => Filter::Compare(inner(path), *operator, literal.clone()),
        Filter::Present(path) => Filter::Present(inner(path)),
        Filter::Value(path, one) => Filter::Value(path.clone(), one.clone()),
    }
}
