//! `create`, `update` and `delete`: what a change does beside its row.

use super::attributes::own_assignments;
use super::checks;
use super::compile::given;
use super::conditions::{condition, equalities};
use super::context::{Context, Outline, Scope};
use super::steps::{guards, steps};
use super::{Attribute, Condition, Create, Delete, DeleteHow, Revive, Update};
use crate::document::{Data, Findings, Node, Reader, nearest};

/// `{ set, revive, guard, before, then }`, `refuse`, or nothing: a plain insert.
pub(super) fn create(
    node: &Node,
    filter: &Condition,
    outline: &Outline<'_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Create> {
    let empty = Node::new(Data::Mapping(Vec::new()), node.place().clone());
    let node = given(node, "create").unwrap_or(&empty);
    if node.as_str().is_some() {
        node.read_word(&[("refuse", ())], findings);
        return None;
    }
    let mut reader = Reader::mapping(node, findings)?;
    let scope = Scope::change(outline);
    let before = Scope { id: false, ..scope };
    let mut set = own_assignments(reader.given("set"), outline, before, context, findings);
    for (column, value) in equalities(filter) {
        if let Some(info) = outline.relation.find(column.name.as_str()) {
            let id = outline.intern(info);
            if !set.iter().any(|(known, _)| *known == id) {
                set.push((id, value));
            }
        }
    }
    let revive = reader.given("revive");
    let create = Create {
        set,
        revive: revive.and_then(|node| read_revive(node, outline, context, findings)),
        guards: guards(reader.given("guard"), before, context, findings),
        before: steps(reader.given("before"), before, context, findings),
        then: steps(reader.given("then"), scope, context, findings),
    };
    reader.finish(findings);
    Some(create)
}

fn read_revive(node: &Node, outline: &Outline<'_>, context: &Context<'_>, findings: &mut Findings) -> Option<Revive> {
    let mut reader = Reader::mapping(node, findings)?;
    let by = reader.required("by", findings);
    let filter = reader.required("where", findings);
    let set = reader.required("set", findings);
    let then = reader.given("then");
    reader.finish(findings);
    let scope = Scope::change(outline);
    let filter = condition(filter, &outline.relation, Scope::plain(), context, findings);
    let set = own_assignments(set, outline, scope, context, findings);
    let then = steps(then, scope, context, findings);
    let by = by?;
    let path = by.read_str(findings)?;
    if path == "never" {
        return None;
    }
    match outline.attribute(path) {
        Some(by) => Some(Revive { by, filter, set, then }),
        None => {
            let finding = findings.error(by, format!("no attribute `{path}` is mapped"));
            let paths: Vec<String> = outline.entries.iter().map(|entry| entry.target.path()).collect();
            match nearest(path, paths.iter().map(String::as_str).chain(["never"])) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help("`never`, or the attribute that tells who it is"),
            };
            None
        }
    }
}

pub(super) fn update(
    node: Option<&Node>,
    outline: &Outline<'_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Update {
    let Some(mut reader) = node.and_then(|node| Reader::mapping(node, findings)) else {
        return Update::default();
    };
    let scope = Scope::change(outline);
    let update = Update {
        set: own_assignments(reader.given("set"), outline, scope, context, findings),
        guards: guards(reader.given("guard"), scope, context, findings),
        before: steps(reader.given("before"), scope, context, findings),
        then: steps(reader.given("then"), scope, context, findings),
    };
    reader.finish(findings);
    update
}

const HOW: &[(&str, DeleteHow)] = &[
    ("row", DeleteHow::Row),
    ("set", DeleteHow::Set),
    ("deactivate", DeleteHow::Deactivate),
    ("refuse", DeleteHow::Refuse),
];

/// `row | deactivate | refuse`, or the long form; without a word, a DELETE is refused.
pub(super) fn delete(
    node: Option<&Node>,
    attributes: &[Attribute],
    outline: &Outline<'_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Delete {
    let mut delete = Delete {
        how: DeleteHow::Refuse,
        set: Vec::new(),
        guards: Vec::new(),
        blocked_deactivates: false,
        before: Vec::new(),
        then: Vec::new(),
    };
    let Some(node) = node else { return delete };
    if node.as_str().is_some() {
        delete.how = node.read_word(HOW, findings).unwrap_or(DeleteHow::Refuse);
        if delete.how == DeleteHow::Set {
            findings.error(node, "nothing says what is set").help("`delete: { how: set, set: { column: value } }`");
        }
    } else if let Some(mut reader) = Reader::mapping(node, findings) {
        let scope = Scope::change(outline);
        reader.required("how", findings);
        delete.how = reader.word("how", HOW, findings).unwrap_or(DeleteHow::Refuse);
        delete.set = own_assignments(reader.given("set"), outline, scope, context, findings);
        delete.guards = guards(reader.given("guard"), scope, context, findings);
        delete.blocked_deactivates =
            reader.word("on_blocked", &[("reject", false), ("deactivate", true)], findings).unwrap_or(false);
        delete.before = steps(reader.given("before"), scope, context, findings);
        delete.then = steps(reader.given("then"), scope, context, findings);
        reader.finish(findings);
        if delete.how == DeleteHow::Set && delete.set.is_empty() {
            findings.error(node, "nothing says what is set").help("`set: { column: value }`");
        }
        if delete.how == DeleteHow::Row && !delete.set.is_empty() {
            findings.error(node, "the row goes: nothing can be set in it").help("`how: set` keeps it");
        }
    }
    if delete.blocked_deactivates || delete.how == DeleteHow::Deactivate {
        checks::can_deactivate(attributes, node, findings);
    }
    delete
}
