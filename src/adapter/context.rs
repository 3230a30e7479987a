//! What every part of compiling needs: names, types, and an outline of each resource before any is
//! compiled, so that they can speak of one another.

use super::names::{Names, Relation, compiled};
use super::{Column, ColumnId, Slot, Target};
use crate::document::{Findings, Key, Node};
use crate::scim;
use crate::sql::{ColumnInfo, Ident};
use std::cell::RefCell;

/// Shared by all parts of one compilation.
pub(super) struct Context<'a> {
    pub(super) names: Names<'a>,
    /// The node under `types`.
    pub(super) types: Option<Node>,
    pub(super) outlines: Vec<Outline<'a>>,
    /// What one identity server may see, by resource type; None is everything.
    pub(super) scope: Option<Node>,
}

/// One source as far as others need to know it.
pub(super) struct Outline<'a> {
    pub(super) resource: String,
    pub(super) name: String,
    /// The source's node, what stands beside `sources` included.
    pub(super) node: Node,
    pub(super) relation: Relation<'a>,
    /// Every column in use so far, the key first.
    pub(super) columns: RefCell<Vec<Column>>,
    pub(super) entries: Vec<Entry>,
}

/// One attribute before it is compiled.
pub(super) struct Entry {
    pub(super) target: Target,
    pub(super) key: Key,
    pub(super) node: Node,
    /// The schema's word on it, where a schema has one.
    pub(super) definition: Option<scim::Attribute>,
    /// No row is written without it, so that nothing need stand in its column for nothing: what makes the
    /// value of a row of a child table.
    pub(super) essential: bool,
}

impl Outline<'_> {
    /// The position of a column in the source's list; it is added where it is new.
    pub(super) fn intern(&self, info: &ColumnInfo) -> ColumnId {
        let mut columns = self.columns.borrow_mut();
        if let Some(position) = columns.iter().position(|column| column.name == info.name) {
            return position;
        }
        columns.push(compiled(info));
        columns.len() - 1
    }

    /// The position of the attribute with this path.
    pub(super) fn attribute(&self, path: &str) -> Option<usize> {
        self.entries.iter().position(|entry| entry.target.is_called(path))
    }
}

impl<'a> Context<'a> {
    /// The one source of a resource type; several or none are reported at `node`, which names it.
    pub(super) fn resource(&self, node: &Node, findings: &mut Findings) -> Option<&Outline<'a>> {
        let name = node.read_str(findings)?;
        let mut found = self.outlines.iter().filter(|outline| outline.resource == name);
        match (found.next(), found.next()) {
            (Some(outline), None) => Some(outline),
            (Some(_), Some(_)) => {
                findings.error(node, format!("`{name}` has several tables; what points to it cannot know which"));
                None
            }
            (None, _) => {
                let finding = findings.error(node, format!("there is no resource `{name}`"));
                let names = self.outlines.iter().map(|outline| outline.resource.as_str());
                if let Some(near) = crate::document::nearest(name, names) {
                    finding.help(format!("did you mean `{near}`?"));
                }
                None
            }
        }
    }
}

impl Target {
    /// The path as an adapter writes it: `name.givenName`, `phoneNumbers[type eq "work"].value`,
    /// `urn:...:User:department`.
    pub fn path(&self) -> String {
        let mut path = self.extension.as_ref().map(|urn| format!("{urn}:")).unwrap_or_default();
        path.push_str(&self.attribute);
        if let Some(Slot::Where { sub, value }) = &self.slot {
            path.push_str(&format!("[{sub} eq \"{value}\"]"));
        }
        if let Some(sub) = &self.sub {
            path.push('.');
            path.push_str(sub);
        }
        path
    }

    /// Whether `path` means this attribute; an extension's may be named without its URN.
    pub(super) fn is_called(&self, path: &str) -> bool {
        let own = self.path();
        own.eq_ignore_ascii_case(path)
            || self
                .extension
                .as_ref()
                .is_some_and(|urn| own.get(urn.len() + 1..).is_some_and(|short| short.eq_ignore_ascii_case(path)))
    }
}

/// What `${...}` may be where an expression stands.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 'a> {
    /// The resource: its attributes, columns and label.
    pub(super) outline: Option<&'s Outline<'a>>,
    /// `${id}`.
    pub(super) id: bool,
    /// `${count}`.
    pub(super) count: bool,
    /// `${changes}`.
    pub(super) changes: bool,
    pub(super) each: Each<'s, 'a>,
    /// The row that `when` and `of` look at, where it is not the resource's own: one of a child table.
    pub(super) changing: Option<&'s Outline<'a>>,
}

/// What `${each...}` may be.
#[derive(Clone, Copy)]
pub(super) enum Each<'s, 'a> {
    Nothing,
    /// `for_each: change`.
    Change,
    /// A row of this table; the columns used are collected.
    Row(&'s Relation<'a>, &'s RefCell<Vec<Column>>),
    /// The same, and `each.old` and `each.new`: the row's value before and after.
    Changed(&'s Relation<'a>, &'s RefCell<Vec<Column>>),
}

impl<'s, 'a> Scope<'s, 'a> {
    /// A step or guard beside a change of `outline`'s resource.
    pub(super) fn change(outline: &'s Outline<'a>) -> Self {
        Self { outline: Some(outline), id: true, count: false, changes: false, each: Each::Nothing, changing: None }
    }

    /// Nothing of a resource: `where` of a table.
    pub(super) fn plain() -> Self {
        Self { outline: None, id: false, count: false, changes: false, each: Each::Nothing, changing: None }
    }
}

/// Adds a column to a list once.
pub(super) fn collect(columns: &RefCell<Vec<Column>>, info: &ColumnInfo) {
    let mut columns = columns.borrow_mut();
    if !columns.iter().any(|column| column.name == info.name) {
        columns.push(compiled(info));
    }
}

/// Whether a list of columns has one of this name.
pub(super) fn holds<T>(columns: &[(Column, T)], name: &Ident) -> bool {
    columns.iter().any(|(column, _)| column.name == *name)
}
