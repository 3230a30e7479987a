//! `scope` of an identity server: the rows of each resource type that exist for it.
//!
//! It narrows `where` and never widens it. What it fixes by an equality, a created row gets; a resource type that it does
//! not name has no rows at all.

use super::compile::given;
use super::conditions::{condition, equalities};
use super::context::{Context, Outline, Scope};
use super::{Condition, Create};
use crate::document::{Findings, Node, nearest};

/// The scope of a source's resource type; [`Condition::True`] where the identity server has none.
pub(super) fn scope(outline: &Outline<'_>, context: &Context<'_>, findings: &mut Findings) -> Condition {
    let Some(all) = &context.scope else { return Condition::True };
    let Some(node) = given(all, &outline.resource) else {
        return Condition::Or(Vec::new());
    };
    let scope = condition(Some(node), &outline.relation, Scope::plain(), context, findings);
    if !scope.is_static() {
        findings
            .error(node, "a scope means the same for every request: no `${...}` of one")
            .help("literals, `{ select: ... }` and `${now}` compared with a column are fine");
    }
    scope
}

/// A created row stands inside: what the scope fixes wins over what the adapter sets.
pub(super) fn narrow(create: &mut Create, scope: &Condition, outline: &Outline<'_>) {
    for (column, value) in equalities(scope) {
        if let Some(info) = outline.relation.find(column.name.as_str()) {
            let id = outline.intern(info);
            create.set.retain(|(known, _)| *known != id);
            create.set.push((id, value));
        }
    }
}

/// Resource types that the adapter does not have.
pub(super) fn known(scope: &Node, types: &[&str], findings: &mut Findings) {
    for (key, _) in scope.entries() {
        if !types.contains(&key.text.as_str()) {
            let finding = findings.error(key, format!("the adapter has no resource type `{}`", key.text));
            match nearest(&key.text, types.iter().copied()) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(format!("it has: {}", types.join(", "))),
            };
        }
    }
}
