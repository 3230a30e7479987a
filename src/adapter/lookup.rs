//! `lookup`: a foreign key addressed by a natural key.

use super::attributes::none;
use super::checks::{filled_or_reported, suggest_index};
use super::conditions::{condition, equalities};
use super::context::{Context, Each, Entry, Scope, holds};
use super::expressions::assignments;
use super::labels::label;
use super::names::{Relation, compiled};
use super::steps::steps;
use super::tree::lookup_tree;
use super::types::conversion;
use super::{Column, Conversion, Lookup, LookupRevive, Missing};
use crate::document::{Findings, Node, Reader};
use crate::sql::Ident;

pub(super) fn lookup(
    node: &Node,
    id: usize,
    foreign: &Column,
    entry: &Entry,
    writes: bool,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Lookup> {
    let mut reader = Reader::mapping(node, findings)?;
    let table = reader.required("table", findings);
    let matched = reader.required("match", findings);
    let key = reader.given("key");
    let type_ = reader.given("type");
    let filter = reader.given("where");
    let ambiguous = reader.word("ambiguous", &[("first", false), ("reject", true)], findings);
    let missing = reader
        .word(
            "missing",
            &[("create", Missing::Create), ("clear", Missing::Clear), ("reject", Missing::Reject)],
            findings,
        )
        .unwrap_or(Missing::Reject);
    let create = reader.given("create");
    let revive = reader.given("revive");
    let none = none(&mut reader, foreign, findings);
    let (named, none_named) = (reader.given("label"), reader.given("none_label"));
    let tree = reader.given("tree");
    reader.finish(findings);

    let relation = context.names.table(table?, findings)?;
    let matched_node = matched?;
    let matched = relation.named(matched_node, findings)?;
    let key = match key {
        Some(key) => relation.named(key, findings)?,
        None => relation.column("id", table?, findings)?,
    };
    if !relation.is_unique(&key.name) {
        findings.error(node, format!("`{}` is not unique in `{}`, so it is no key", key.name, relation.table));
    }
    if !relation.is_unique(&matched.name) && ambiguous.is_none() {
        findings
            .warning(
                matched_node,
                format!(
                    "`{}` is not unique in `{}`: of several rows the lowest key is taken",
                    matched.name, relation.table
                ),
            )
            .help("say `ambiguous: first` if that is right, or `ambiguous: reject`");
    }
    suggest_index(&relation, &matched.name, matched_node, context, findings);
    let kind = entry.definition.as_ref().map(|definition| definition.kind);
    // No text means no row, whatever the column there allows.
    let asked = Column { nullable: true, ..compiled(matched) };
    let conversion = conversion(type_, kind, &asked, matched_node, context, findings);
    let filter = condition(filter, &relation, Scope::plain(), context, findings);
    let tree = tree.and_then(|node| lookup_tree(node, &relation, compiled(key), matched_node, &conversion, findings));
    if let (Conversion::Text(rule), None, Missing::Create) = (&conversion, &tree, missing)
        && rule.parts.is_some()
    {
        findings
            .error(node, format!("`{}` is a path: a row that is made needs more than that", matched.name))
            .help("say `tree: { parent: ..., name: ..., level: ... }`, or `missing: reject`");
    }

    let scope = Scope { id: true, ..Scope::plain() };
    let mut set = Vec::new();
    let mut then = Vec::new();
    if let Some(mut reader) = create.and_then(|create| Reader::mapping(create, findings)) {
        set = assignments(reader.given("set"), &relation, Scope::plain(), context, findings);
        then = steps(reader.given("then"), Scope { each: Each::Nothing, ..scope }, context, findings);
        reader.finish(findings);
    }
    for (column, value) in equalities(&filter) {
        if !holds(&set, &column.name) && column.name != matched.name {
            set.push((column, value));
        }
    }
    if missing == Missing::Create {
        let mut filled: Vec<&Ident> = set.iter().map(|(column, _)| &column.name).chain([&matched.name]).collect();
        if let Some(tree) = &tree {
            filled.extend([&tree.name.name, &tree.parent.name]);
            filled.extend(tree.level.iter().map(|level| &level.name));
        }
        filled_or_reported(&relation, &filled, create.unwrap_or(node), "`create: { set: ... }`", findings);
    }
    let revive = revive.and_then(|node| read_revive(node, &relation, context, findings));
    let label = label(named, none_named, &relation, findings);
    Some(Lookup {
        column: id,
        tree,
        label,
        key: compiled(key),
        matched: compiled(matched),
        table: relation.table,
        conversion,
        filter,
        none,
        ambiguous_is_error: ambiguous.unwrap_or(false),
        missing,
        create: set,
        then,
        revive,
        writes,
    })
}

fn read_revive(
    node: &Node,
    relation: &Relation<'_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<LookupRevive> {
    let mut reader = Reader::mapping(node, findings)?;
    let filter = reader.required("where", findings);
    let set = reader.required("set", findings);
    reader.finish(findings);
    Some(LookupRevive {
        filter: condition(filter, relation, Scope::plain(), context, findings),
        set: assignments(set, relation, Scope { id: true, ..Scope::plain() }, context, findings),
    })
}
