//! What other resources are called, in filters and orders: `members.display`, `groups.display`, `manager.displayName`. The
//! attribute that names them is compared by its own rules, on their table instead of the list's.

use super::asked::Asked;
use super::filter::Compiler;
use super::linked::Far;
use super::plan;
use crate::adapter::{Aliases, Binding, Part, Source, Template, Variable};
use crate::scim::{AttributePath, Error};
use crate::sql::{Alias, Predicate};

/// So deep templates may name attributes that are templates themselves.
const DEPTH: u8 = 8;

impl<'a> Compiler<'a> {
    /// A comparison with what the resource at `alias` is called.
    pub(super) fn display_compared(
        &self,
        far: &Far<'a>,
        alias: Alias,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        match self.display_of(far, alias) {
            Some((mut label, index)) => label.attribute(index, path, asked),
            None => Err(unknown(path)),
        }
    }

    /// A comparison with what the resource is called that a reference points to.
    pub(super) fn reference_display(
        &mut self,
        attribute: usize,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        if let Some(opposite) = asked.opposite() {
            return Ok(self.reference_display(attribute, path, opposite)?.negate());
        }
        let Some((there, mut label, index)) = self.referenced_display(attribute) else {
            return Err(unknown(path));
        };
        if asked.is_null() {
            return Ok(there.and(label.attribute(index, path, Asked::Present)?).negate());
        }
        Ok(there.and(label.attribute(index, path, asked)?))
    }

    /// Where a reference points to something, and what compares its name.
    pub(super) fn referenced_display(&self, attribute: usize) -> Option<(Predicate, Compiler<'a>, usize)> {
        let Binding::Reference(reference) = &self.source.attributes.get(attribute)?.binding else {
            return None;
        };
        let far = self.far(&reference.resource_type)?;
        let alias = self.reading.joined.get(attribute)?.as_ref()?.alias;
        let (label, index) = self.display_of(&far, alias)?;
        Some((Predicate::IsNull(plan::key(far.source, alias)).negate(), label, index))
    }

    /// What compares the name of a resource whose row is at `alias`, and the attribute that is the name; `None` where it is
    /// not made of that row alone, or is not the caller's to read.
    pub(super) fn display_of(&self, far: &Far<'a>, alias: Alias) -> Option<(Compiler<'a>, usize)> {
        let index = *far.plan.display.as_ref()?.attributes.last()?;
        if self.unread.contains(&far.type_.name.as_str()) {
            return None;
        }
        if !stands_alone(far.source, index, DEPTH) {
            return None;
        }
        let label = Compiler {
            adapter: self.adapter,
            types: self.types,
            type_: far.type_,
            others: Vec::new(),
            reverse: Vec::new(),
            unread: self.unread.clone(),
            main: alias,
            type_plan: far.type_plan,
            source: far.source,
            plan: far.plan,
            reading: &far.plan.for_others,
            joined: &far.plan.for_others.joined,
            own: self.own,
            dialect: self.dialect,
            environment: self.environment,
            // Not needed: it joins nothing.
            aliases: Aliases::from(u16::MAX),
        };
        Some((label, index))
    }
}

fn unknown(path: &AttributePath) -> Error {
    Error::invalid_filter(format!(
        "{path} cannot be compared: what names these resources is not this identity server's to read, or computed in a way that \
         SQL cannot compare; compare {}.value",
        path.attribute
    ))
}

/// Whether an attribute is made of columns of its row alone.
fn stands_alone(source: &Source, index: usize, depth: u8) -> bool {
    let alone = |templates: &[Template]| {
        templates.iter().flat_map(|template| &template.0).all(|part| match part {
            Part::Variable(Variable::Attribute(other)) => depth > 0 && stands_alone(source, *other, depth - 1),
            Part::Variable(Variable::Column(_) | Variable::Id) | Part::Text(_) => true,
            Part::Variable(_) => false,
        })
    };
    match source.attributes.get(index).map(|attribute| &attribute.binding) {
        Some(Binding::Column(binding)) => binding.hash.is_none() && alone(&binding.shown_when_empty),
        Some(Binding::Template(templates)) => alone(templates),
        Some(Binding::Constant(_)) => true,
        _ => false,
    }
}
