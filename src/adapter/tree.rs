//! `tree`: a table whose rows stand below one another, and the columns that an application keeps beside that for its own
//! use: the path of names, the level, caches. Under a resource it keeps them right; under a lookup it makes levels that
//! are missing.

use super::context::Outline;
use super::expressions::{holds, literal};
use super::names::{Relation, compiled};
use super::{Binding, Column, Conversion, Entities, Source, TextRule};
use crate::document::{Findings, Node, Reader};
use crate::sql::{ColumnKind, Table, Value, entities};

/// The columns of a tree.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The table.
    pub table: Table,
    /// What identifies a row, and what `parent` holds of another.
    pub key: Column,
    /// The row above.
    pub parent: Column,
    /// What `parent` holds at the top.
    pub none: Value,
    /// The row's own name.
    pub name: Column,
    /// The names from the top down to the row's own.
    pub path: Column,
    /// What stands between them.
    pub separator: String,
    /// How far down, counted from 1.
    pub level: Option<Column>,
    /// Set to NULL where the shape of the tree changes: on the row, on those above it before and after, and below it.
    pub clear: Vec<Column>,
    /// How names are stored.
    pub entities: Option<Entities>,
}

impl Tree {
    /// The stored path of stored names.
    pub fn join(&self, names: &[String]) -> String {
        match self.entities {
            // Rows of both kinds may meet in one path, which is then of the newer.
            Some(Entities::Mixed) => {
                let names: Vec<_> = names.iter().map(|name| entities::decoded(name, None)).collect();
                names.join(&self.separator)
            }
            Some(Entities::Always) | None => names.join(&self.separator),
        }
    }

    /// Whether a stored parent is none.
    pub fn is_top(&self, parent: &Value) -> bool {
        parent.is_null() || super::equivalent(parent, &self.none)
    }

    /// How a name travels.
    pub fn naming(&self) -> Conversion {
        Conversion::Text(TextRule { trim: true, entities: self.entities, ..TextRule::default() })
    }
}

/// Under a resource: `{ parent, name, path, separator, level, clear, none }`.
pub(super) fn tree(node: &Node, outline: &Outline<'_>, findings: &mut Findings) -> Option<Tree> {
    let mut reader = Reader::mapping(node, findings)?;
    let path = reader.required("path", findings);
    let key = outline.columns.borrow().first().cloned()?;
    let found = columns(&mut reader, &outline.relation, key, path, None, findings);
    reader.finish(findings);
    let tree = found?;
    for column in [&tree.parent, &tree.name, &tree.path].into_iter().chain(&tree.level).chain(&tree.clear) {
        outline.intern(outline.relation.find(column.name.as_str())?);
    }
    Some(tree)
}

/// Under a lookup, whose `match` is the path: `{ parent, name, separator, level, clear, none }`.
pub(super) fn lookup_tree(
    node: &Node,
    relation: &Relation<'_>,
    key: Column,
    path: &Node,
    conversion: &Conversion,
    findings: &mut Findings,
) -> Option<Tree> {
    let rule = match conversion {
        Conversion::Text(rule) => rule.clone(),
        _ => TextRule::default(),
    };
    let mut reader = Reader::mapping(node, findings)?;
    let found = columns(&mut reader, relation, key, Some(path), Some(&rule), findings);
    reader.finish(findings);
    found
}

fn columns(
    reader: &mut Reader<'_>,
    relation: &Relation<'_>,
    key: Column,
    path: Option<&Node>,
    rule: Option<&TextRule>,
    findings: &mut Findings,
) -> Option<Tree> {
    let parent = reader.required("parent", findings);
    let name = reader.required("name", findings);
    let level = reader.given("level");
    let clear = reader.given("clear").map(Node::one_or_many).unwrap_or_default();
    let said = reader.optional("none");
    let (place, separator) = (reader.given("separator"), reader.string("separator", findings));
    let parent_node = parent?;
    let parent = compiled(relation.named(parent_node, findings)?);
    let none = match said {
        Some(node) => literal(node, &parent, findings),
        None if parent.nullable => Value::Null,
        None if matches!(parent.kind, ColumnKind::Integer { .. }) => Value::Int(0),
        None => {
            findings
                .error(
                    parent_node,
                    format!("the column `{}` cannot be NULL: what does it hold at the top?", parent.name),
                )
                .help("say it with `none`");
            Value::Null
        }
    };
    let text = |node: &Node, findings: &mut Findings| {
        let column = compiled(relation.named(node, findings)?);
        if !matches!(column.kind, ColumnKind::Text(_)) {
            findings.error(node, format!("names are text, and the column `{}` {}", column.name, holds(&column.kind)));
        }
        Some(column)
    };
    let name = text(name?, findings)?;
    let path = text(path?, findings)?;
    let level = level.and_then(|node| {
        let column = compiled(relation.named(node, findings)?);
        if !matches!(column.kind, ColumnKind::Integer { .. }) {
            findings
                .error(node, format!("levels are counted, and the column `{}` {}", column.name, holds(&column.kind)));
        }
        Some(column)
    });
    let clear = clear.iter().filter_map(|node| {
        let column = compiled(relation.named(node, findings)?);
        if !column.nullable {
            findings.error(node, format!("the column `{}` cannot be NULL, so it cannot be cleared", column.name));
        }
        Some(column)
    });
    let clear = clear.collect();
    let of_type = rule.and_then(|rule| rule.parts.clone());
    if let (Some(said), Some(parts), Some(node)) = (separator, &of_type, place)
        && said != parts
    {
        findings.error(node, format!("the type keeps {parts:?} between the parts"));
    }
    let separator = separator.map(str::to_owned).or(of_type).unwrap_or_else(|| " > ".to_owned());
    if let (true, Some(node)) = (separator.is_empty(), place) {
        findings.error(node, "nothing would stand between the names of a path");
    }
    Some(Tree {
        table: relation.table.clone(),
        key,
        parent,
        none,
        name,
        path,
        separator,
        level,
        clear,
        entities: rule.and_then(|rule| rule.entities),
    })
}

/// What a source's tree takes from its attributes, and what the two may not both do.
pub(super) fn settle(source: &mut Source, outline: &Outline<'_>, findings: &mut Findings) {
    let Some(tree) = &mut source.tree else { return };
    for (attribute, entry) in source.attributes.iter().zip(&outline.entries) {
        let Some(column) = super::checks::writes(attribute).and_then(|id| source.columns.get(id)) else { continue };
        if column.name == tree.name.name
            && let Binding::Column(binding) = &attribute.binding
            && let Conversion::Text(rule) = &binding.conversion
        {
            tree.entities = rule.entities;
        }
        if column.name == tree.path.name || tree.level.as_ref().is_some_and(|level| level.name == column.name) {
            findings
                .error(
                    &entry.key,
                    format!("`{}` writes `{}`, which `tree` keeps", attribute.target.path(), column.name),
                )
                .help("say `mutability: readOnly` here");
        }
    }
}
