//! `label` of what a foreign key points to: how the application's own history names it.

use super::context::{Each, Scope};
use super::expressions::templates;
use super::names::Relation;
use super::{Column, Template};
use crate::document::{Findings, Node};
use std::cell::RefCell;

/// How a row of another table is named, and how none is.
#[derive(Debug)]
pub struct Label {
    /// The first of them whose parts are all there; `${each.COLUMN}` is a column of that row.
    pub templates: Vec<Template>,
    /// The columns they use.
    pub columns: Vec<Column>,
    /// What stands for no row.
    pub none: Option<String>,
}

/// `label` (where `${column:NAME}` is a column of the table pointed to) and `none_label`.
pub(super) fn label(
    label: Option<&Node>,
    none: Option<&Node>,
    relation: &Relation<'_>,
    findings: &mut Findings,
) -> Option<Label> {
    let used = RefCell::new(Vec::new());
    let scope = Scope { each: Each::Row(relation, &used), ..Scope::plain() };
    let templates = templates(label, scope, findings);
    let none = none.and_then(|node| node.read_str(findings)).map(str::to_owned);
    (label.is_some() || none.is_some()).then(|| Label { templates, columns: used.into_inner(), none })
}
