//! `rows`: a multi-valued attribute whose values stand in a child table, one row each.
//!
//! The fields of a row are full bindings, compiled as attributes of the child table by the very code that
//! compiles a resource's own. What cannot be told apart again is refused: a value that no column of the row
//! makes, forms of a composed value that one text fits twice, rows without a key.

use super::attributes::{attribute, own_assignments};
use super::checks::{self, filled_or_reported, suggest_index};
use super::conditions::{all_equalities, condition, tests};
use super::context::{Context, Each, Entry, Outline, Scope};
use super::expressions::{expression, templates};
use super::names::{Relation, compiled};
use super::steps::steps;
use super::{
    Attribute, Binding, Column, ColumnId, Composed, ComposedPart, Condition, Delete, DeleteHow, Expression, FormPiece,
    Operand, Part, RowField, RowFieldValue, Rows, Source, Target, Timestamps, Unique, Update, Variable,
};
use crate::document::{Data, Findings, Key, Node, Reader, nearest};
use crate::scim::{self, Attribute as Definition};
use crate::sql::Ident;
use std::cell::RefCell;

/// Compiles `{ table, parent, fields, ... }`; and says what kind of values it gives: complex ones, or those of
/// the one field `value`.
pub(super) fn rows(
    node: &Node,
    entry: &Entry,
    outline: &Outline<'_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<(Rows, scim::Kind)> {
    let mut reader = Reader::mapping(node, findings)?;
    let table = reader.required("table", findings);
    let parent = reader.required("parent", findings);
    let fields = reader.required("fields", findings);
    let filter = reader.given("where");
    let leave = reader.given("leave");
    let set_node = reader.given("set");
    let one_primary = reader.boolean("exactly_one_primary", findings).unwrap_or(false);
    let single = reader.boolean("single", findings).unwrap_or(false);
    let [added, removed, changed] = ["added", "removed", "changed"].map(|word| reader.given(word));
    let touch = reader.boolean("touch", findings).unwrap_or(true);
    let delete = reader.given("delete");
    reader.finish(findings);

    let beside = outline.entries.iter().find(|other| {
        other.target != entry.target
            && other.target.extension == entry.target.extension
            && other.target.attribute == entry.target.attribute
    });
    if let Some(beside) = beside {
        findings
            .error(
                &beside.key,
                format!("`{}` stands in rows: nothing of it is mapped beside them", entry.target.path()),
            )
            .help("its sub-attributes are the `fields`");
    }
    let relation = context.names.table(table?, findings)?;
    let parent_node = parent?;
    let many = entry.definition.as_ref().is_none_or(|definition| definition.multi_valued);
    if !many && !single {
        findings
            .error(node, format!("`{}` has one value only, and a table may hold several", entry.target.path()))
            .help("`single: true` takes the first row and leaves the others");
    }
    let keys = keys(&relation, node, findings)?;
    let (link, holds) = super::link::end(parent_node, &relation, outline, findings)?;
    let planned = plan_fields(fields?, entry, findings)?;
    let count = keys.len();
    let child = Outline {
        resource: outline.resource.clone(),
        name: relation.table.to_string(),
        node: node.clone(),
        columns: RefCell::new(keys),
        entries: planned.entries,
        relation: relation.clone(),
    };
    let link = child.intern(relation.find(link.name.as_str())?);

    // All of them are compiled before any failure ends it: all findings at once.
    let compiled: Vec<Option<Attribute>> =
        child.entries.iter().map(|entry| attribute(entry, &child, context, findings)).collect();
    let filter = condition(filter, &relation, Scope::plain(), context, findings);
    let leave = leave.map(|leave| condition(Some(leave), &relation, Scope::plain(), context, findings));
    if !filter.is_static() || leave.as_ref().is_some_and(|leave| !leave.is_static()) {
        findings.error(node, "`where` and `leave` of rows mean the same for every request: no `${...}` of one");
    }
    let scope = Scope::change(outline);
    let mut set = own_assignments(set_node, &child, scope, context, findings);
    for (column, value) in all_equalities(&filter) {
        let id = child.intern(relation.find(column.name.as_str())?);
        if !set.iter().any(|(known, _)| *known == id) {
            set.push((id, value));
        }
    }
    let fields = finish_fields(planned.fields, &child, scope, context, findings);
    let used = RefCell::new(Vec::new());
    let step = Scope { each: Each::Row(&relation, &used), changing: Some(&child), ..scope };
    let added = steps(added, step, context, findings);
    let removed = steps(removed, step, context, findings);
    let changed = steps(changed, Scope { each: Each::Changed(&relation, &used), ..step }, context, findings);
    let remove_sets = removal(delete, &child, scope, context, findings);
    for column in used.into_inner() {
        child.intern(relation.find(column.name.as_str())?);
    }

    let attributes = compiled.into_iter().collect::<Option<Vec<Attribute>>>()?;
    let fields = fields?;
    let mut rows = Rows {
        child: source(&child, attributes, filter),
        keys: (0..count).collect(),
        parent: (link, holds),
        identity: identity(&fields, planned.simple),
        qualifiers: None,
        fields,
        leave,
        set,
        exactly_one_primary: None,
        primary: None,
        single,
        added,
        removed,
        changed,
        value_is_unique: false,
        remove_sets,
        touch,
    };
    rows.primary = rows.bound("primary");
    rows.qualifiers = rows.qualifying();
    if one_primary {
        rows.exactly_one_primary = rows.primary.filter(|index| is_flag(&rows, *index));
        if rows.exactly_one_primary.is_none() {
            findings
                .error(node, "`exactly_one_primary` needs the field `primary` in a column of true and false")
                .help("like `primary: is_default`");
        }
    }
    check(&mut rows, &child, node, context, findings);
    suggest_index(&relation, &rows.child.columns.get(link)?.name, parent_node, context, findings);
    let kind = match rows.fields.as_slice() {
        [RowField { sub: None, value: RowFieldValue::Attribute(index) }] => {
            rows.child.attributes.get(*index).map_or(scim::Kind::String, |attribute| attribute.schema.kind)
        }
        [RowField { sub: None, .. }] => scim::Kind::String,
        _ => scim::Kind::Complex,
    };
    Some((rows, kind))
}

/// The columns that tell the rows of a child table apart.
fn keys(relation: &Relation<'_>, node: &Node, findings: &mut Findings) -> Option<Vec<Column>> {
    let unique = relation.info.indexes.iter().filter(|index| index.unique).map(|index| &index.columns);
    let all_there = |columns: &&Vec<Ident>| {
        let not_null = |column: &Ident| relation.find(column.as_str()).is_some_and(|info| !info.nullable);
        !columns.is_empty() && columns.iter().all(not_null)
    };
    let Some(key) = std::iter::once(&relation.info.primary_key).chain(unique).find(all_there) else {
        findings
            .error(node, format!("the rows of `{}` cannot be told apart: it has no primary key", relation.table))
            .help("nor a unique index on columns that are never NULL");
        return None;
    };
    key.iter().map(|column| relation.find(column.as_str()).map(compiled)).collect()
}

/// Fields as far as names go.
struct Planned<'n> {
    entries: Vec<Entry>,
    fields: Vec<PlannedField<'n>>,
    /// The elements are bare values.
    simple: bool,
}

struct PlannedField<'n> {
    sub: Option<String>,
    /// The entries that make it.
    entries: Vec<usize>,
    composed: Option<PlannedForms<'n>>,
}

/// `{ parts, as }`.
struct PlannedForms<'n> {
    node: &'n Node,
    /// Column names and defaults of the parts.
    parts: Vec<(&'n Key, Option<&'n Node>)>,
    forms: &'n Node,
}

fn plan_fields<'n>(node: &'n Node, entry: &Entry, findings: &mut Findings) -> Option<Planned<'n>> {
    let listed: Vec<&(Key, Node)> = node
        .read_entries(findings)?
        .iter()
        .filter(|(_, field)| field.get("enabled").and_then(Node::as_bool) != Some(false))
        .collect();
    let top = entry.definition.as_ref();
    let only_value = matches!(listed.as_slice(), [(key, _)] if key.text == "value");
    let simple = match top {
        Some(top) => top.kind != scim::Kind::Complex,
        None => only_value,
    };
    if listed.is_empty() || (simple && !only_value) {
        findings
            .error(node, format!("`{}` has simple values: they are the field `value`", entry.target.path()))
            .help("`fields: { value: column }`");
        return None;
    }
    let mut planned = Planned { entries: Vec::new(), fields: Vec::new(), simple };
    for (key, field) in listed {
        let Some((sub, definition)) = named(key, top, simple, findings) else {
            continue;
        };
        let target = Target { slot: None, sub: sub.clone(), ..entry.target.clone() };
        let essential = key.text == "value";
        let mut planned_field = PlannedField { sub, entries: Vec::new(), composed: None };
        if field.get("parts").is_some() {
            let mut reader = Reader::mapping(field, findings)?;
            let parts = reader.required("parts", findings);
            let forms = reader.required("as", findings);
            reader.optional("enabled");
            reader.finish(findings);
            let (parts, forms) = (parts?.read_entries(findings)?, forms?);
            let mut known = Vec::new();
            for (column, part) in parts {
                planned_field.entries.push(planned.entries.len());
                planned.entries.push(Entry {
                    target: target.clone(),
                    key: column.clone(),
                    node: with_column(column, part),
                    definition: definition.clone(),
                    essential: true,
                });
                known.push((column, part.get("default").filter(|default| !default.is_null())));
            }
            planned_field.composed = Some(PlannedForms { node: field, parts: known, forms });
        } else {
            planned_field.entries.push(planned.entries.len());
            let node = field.clone();
            planned.entries.push(Entry { target, key: key.clone(), node, definition, essential });
        }
        planned.fields.push(planned_field);
    }
    Some(planned)
}

/// The schema's spelling of a field, and its word on it.
fn named(
    key: &Key,
    top: Option<&Definition>,
    simple: bool,
    findings: &mut Findings,
) -> Option<(Option<String>, Option<Definition>)> {
    if simple {
        let definition = top.map(|top| Definition { multi_valued: false, required: false, ..top.clone() });
        return Some((None, definition));
    }
    let Some(top) = top else {
        if scim::name::is_valid(&key.text) {
            return Some((Some(key.text.clone()), None));
        }
        findings.error(key, format!("`{}` is not the name of a sub-attribute", key.text));
        return None;
    };
    let Some(sub) = top.sub(&key.text) else {
        let finding = findings.error(key, format!("`{}` has no sub-attribute `{}`", top.name, key.text));
        if let Some(near) = nearest(&key.text, top.sub_attributes.iter().map(|sub| sub.name.as_str())) {
            finding.help(format!("did you mean `{near}`?"));
        }
        return None;
    };
    Some((Some(sub.name.clone()), Some(sub.clone())))
}

/// A part's binding: the column is what it is called by, `default` is not the binding's.
fn with_column(column: &Key, part: &Node) -> Node {
    let name = Node::new(Data::String(column.text.clone()), column.place.clone());
    let mut entries: Vec<(Key, Node)> = vec![(Key::new("column", column.place.clone()), name)];
    entries.extend(part.entries().iter().filter(|(key, _)| key.text != "default").cloned());
    Node::new(Data::Mapping(entries), part.place().clone())
}

/// Fields once their attributes are compiled: the forms of composed values and their defaults.
fn finish_fields(
    planned: Vec<PlannedField<'_>>,
    child: &Outline<'_>,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Vec<RowField>> {
    let mut fields = Some(Vec::new());
    for field in planned {
        let PlannedField { sub, entries, composed } = field;
        let value = match (composed, entries.as_slice()) {
            (Some(forms), _) => composed_value(&forms, &entries, child, scope, context, findings),
            (None, [index]) => Some(RowFieldValue::Attribute(*index)),
            (None, _) => None,
        };
        match (value, &mut fields) {
            (Some(value), Some(fields)) => fields.push(RowField { sub, value }),
            _ => fields = None,
        }
    }
    fields
}

fn composed_value(
    planned: &PlannedForms<'_>,
    entries: &[usize],
    child: &Outline<'_>,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<RowFieldValue> {
    let mut parts = Vec::new();
    for ((key, default), attribute) in planned.parts.iter().zip(entries) {
        let column = compiled(child.relation.find(&key.text)?);
        let default = default.map(|node| expression(node, &column, scope, context, findings));
        let name = column.name.clone();
        parts.push(ComposedPart { name, attribute: *attribute, default: default.map(|value| (column, value)) });
    }
    let used = RefCell::new(Vec::new());
    let each = Scope { each: Each::Row(&child.relation, &used), ..Scope::plain() };
    let mut forms: Vec<Vec<FormPiece>> = Vec::new();
    for (template, node) in templates(Some(planned.forms), each, findings).iter().zip(planned.forms.one_or_many()) {
        let pieces = template.0.iter().map(|piece| match piece {
            Part::Text(text) => Some(FormPiece::Text(text.clone())),
            Part::Variable(Variable::Each(name)) => {
                parts.iter().position(|part| part.name == *name).map(FormPiece::Part)
            }
            Part::Variable(_) => None,
        });
        let Some(form) = pieces.collect::<Option<Vec<_>>>() else {
            findings.error(node, "a form is made of the parts alone").help("like `${each.role_id}@${each.place_id}`");
            continue;
        };
        ambiguous(&form, &forms, &parts, node, findings);
        forms.push(form);
    }
    if forms.is_empty() {
        findings.error(planned.node, "`as` says how the parts are written, and it is empty");
        return None;
    }
    Some(RowFieldValue::Composed(Composed { parts, forms }))
}

/// Refuses a form that cannot be taken apart, or that one of the earlier always is taken for.
fn ambiguous(
    form: &[FormPiece],
    earlier: &[Vec<FormPiece>],
    parts: &[ComposedPart],
    node: &Node,
    findings: &mut Findings,
) {
    let mut adjacent = form.windows(2);
    if adjacent.any(|pair| matches!(pair, [FormPiece::Part(_), FormPiece::Part(_)])) {
        findings
            .error(node, "the parts of this form cannot be told apart: nothing stands between them")
            .help("put a separator there that their names do not have, like `@`");
    }
    for (index, part) in parts.iter().enumerate() {
        let times = form.iter().filter(|piece| **piece == FormPiece::Part(index)).count();
        if times > 1 {
            findings.error(node, format!("`{}` stands in this form twice", part.name));
        }
        if times == 0 && part.default.is_none() {
            findings
                .error(node, format!("this form leaves `{}` out, which has no default", part.name))
                .help("give the part a `default`, or name it in the form");
        }
    }
    fn texts(form: &[FormPiece]) -> impl Iterator<Item = &str> {
        form.iter().filter_map(|piece| match piece {
            FormPiece::Text(text) => Some(text.as_str()),
            FormPiece::Part(_) => None,
        })
    }
    let shadowed = earlier.iter().any(|earlier| {
        let mut here = texts(form);
        texts(earlier).all(|separator| here.any(|text| text.contains(separator)))
    });
    if shadowed {
        findings
            .error(node, "ambiguous `as`: whatever has this form is taken for an earlier one")
            .help("the form with more separators comes first, and no two have the same");
    }
}

/// `delete`: the row goes, or columns are set that take it out of `where`.
fn removal(
    delete: Option<&Node>,
    child: &Outline<'_>,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Vec<(ColumnId, Expression)> {
    let Some(delete) = delete.filter(|delete| delete.as_str() != Some("row")) else {
        return Vec::new();
    };
    let Some(mut reader) = Reader::mapping(delete, findings) else {
        return Vec::new();
    };
    let set = reader.required("set", findings);
    reader.finish(findings);
    own_assignments(set, child, scope, context, findings)
}

/// The child table as a source, of which its columns, its filter and its attributes alone mean anything.
fn source(child: &Outline<'_>, attributes: Vec<Attribute>, filter: Condition) -> Source {
    Source {
        name: child.name.clone(),
        id_prefix: String::new(),
        table: child.relation.table.clone(),
        columns: child.columns.borrow().clone(),
        filter,
        protected: None,
        timestamps: Timestamps::default(),
        label: Vec::new(),
        skip_unknown_members: false,
        scope: Condition::True,
        tree: None,
        attributes,
        create: None,
        update: Update::default(),
        delete: Delete {
            how: DeleteHow::Refuse,
            set: Vec::new(),
            guards: Vec::new(),
            blocked_deactivates: false,
            before: Vec::new(),
            then: Vec::new(),
        },
    }
}

/// What makes the value: the field `value`, and where there is none, all that does not qualify it.
fn identity(fields: &[RowField], simple: bool) -> Vec<usize> {
    let is = |field: &&RowField, name: &str| field.sub.as_deref() == Some(name);
    let indexes = |field: &RowField| match &field.value {
        RowFieldValue::Attribute(index) => vec![*index],
        RowFieldValue::Composed(composed) => composed.parts.iter().map(|part| part.attribute).collect(),
    };
    match fields.iter().find(|field| simple || is(field, "value")) {
        Some(value) => indexes(value),
        None => {
            let content = fields.iter().filter(|field| !["type", "primary", "display"].iter().any(|w| is(field, w)));
            content.flat_map(indexes).collect()
        }
    }
}

impl Rows {
    /// The child's attribute behind a field, where a column of the row holds it and clients write it.
    fn bound(&self, name: &str) -> Option<usize> {
        let field = self.fields.iter().find(|field| field.sub.as_deref() == Some(name))?;
        let RowFieldValue::Attribute(index) = field.value else { return None };
        self.child.attributes.get(index).and_then(checks::writes).map(|_| index)
    }

    /// `type` and `primary`, where the value is a column: a value that is a key of something else does not
    /// change into another.
    fn qualifying(&self) -> Option<Vec<usize>> {
        let plain = |index: &usize| {
            self.child.attributes.get(*index).is_some_and(|attribute| matches!(attribute.binding, Binding::Column(_)))
        };
        let qualifiers: Vec<usize> = ["type", "primary"].iter().filter_map(|name| self.bound(name)).collect();
        (!qualifiers.is_empty() && self.identity.iter().all(plain)).then_some(qualifiers)
    }
}

fn is_flag(rows: &Rows, index: usize) -> bool {
    rows.child.attributes.get(index).is_some_and(|attribute| {
        matches!(&attribute.binding, Binding::Column(binding) if matches!(binding.conversion, super::Conversion::Boolean { .. }))
    })
}

/// What is wrong with rows as a whole.
fn check(rows: &mut Rows, child: &Outline<'_>, node: &Node, context: &Context<'_>, findings: &mut Findings) {
    for (attribute, entry) in rows.child.attributes.iter().zip(&child.entries) {
        let refused = match &attribute.binding {
            Binding::Column(binding) if binding.hash.is_some() => Some("a hash is never shown, so it is no value"),
            Binding::Rows(_) | Binding::Link(_) => Some("the fields of a row stand in that row"),
            Binding::Sidecar(_) => Some("a row has no place in scimshim's own tables"),
            _ => None,
        };
        if let Some(refused) = refused {
            findings.error(&entry.key, refused);
        }
    }
    for index in &rows.identity {
        let Some(attribute) = rows.child.attributes.get(*index) else { continue };
        if checks::writes(attribute).is_none() {
            findings
                .error(node, format!("no column of `{}` holds {}", rows.child.table, attribute.target.path()))
                .help("rows are told apart by their value: it is a column, a lookup or a reference of the row");
        }
    }
    if rows.identity.is_empty() {
        findings.error(node, "nothing makes the value of these rows").help("name the field `value`");
    }
    for (attribute, entry) in rows.child.attributes.iter().zip(&child.entries) {
        if attribute.unique != Unique::No {
            let column = checks::writes(attribute).and_then(|id| rows.child.columns.get(id));
            match (column, &attribute.binding) {
                (Some(column), Binding::Column(_)) => {
                    suggest_index(&child.relation, &column.name, &entry.key, context, findings);
                }
                _ => {
                    findings.error(&entry.key, "`unique` is for a value that stands in a column");
                }
            }
        }
        if let Unique::Within(within) = &attribute.unique {
            let written = |id: &usize| rows.child.attributes.iter().any(|other| checks::writes(other) == Some(*id));
            let known = |id: &usize| written(id) || *id == rows.parent.0 || rows.set.iter().any(|(set, _)| set == id);
            for column in within.iter().filter(|id| !known(id)).filter_map(|id| rows.child.columns.get(*id)) {
                findings
                    .error(
                        &entry.key,
                        format!("nothing says what `{}` of a new row holds, within which it is unique", column.name),
                    )
                    .help(format!("a field, or `set: {{ {}: ... }}`", column.name));
            }
        }
    }
    checks::one_writer(&rows.child, child, findings);
    checks::templates_end(&rows.child, child, findings);
    let names = |ids: &mut dyn Iterator<Item = usize>| -> Vec<Ident> {
        ids.filter_map(|id| rows.child.columns.get(id)).map(|column| column.name.clone()).collect()
    };
    let certain = rows.identity.iter().filter_map(|index| rows.child.attributes.get(*index).and_then(checks::writes));
    let required = rows.child.attributes.iter().filter(|attribute| attribute.required).filter_map(checks::writes);
    let always = rows.exactly_one_primary.and_then(|index| rows.child.attributes.get(index)).and_then(checks::writes);
    let set = rows.set.iter().map(|(id, _)| *id);
    let filled = names(&mut certain.chain(required).chain(always).chain(set).chain([rows.parent.0]));
    filled_or_reported(&child.relation, &filled.iter().collect::<Vec<_>>(), node, "`set` of the rows", findings);
    let own: Vec<Ident> = names(&mut rows.child.attributes.iter().filter_map(checks::writes));
    for (id, _) in &rows.set {
        if let Some(column) = rows.child.columns.get(*id).filter(|column| own.contains(&column.name)) {
            findings.error(node, format!("`set` and a field both write `{}`", column.name));
        }
    }
    removal_hides(rows, node, findings);
    let mut value =
        names(&mut rows.identity.iter().filter_map(|i| rows.child.attributes.get(*i).and_then(checks::writes)));
    value.extend(names(&mut std::iter::once(rows.parent.0)));
    let indexes = child.relation.info.indexes.iter().filter(|index| index.unique).map(|index| &index.columns);
    let mut unique = indexes.chain([&child.relation.info.primary_key]).filter(|columns| !columns.is_empty());
    rows.value_is_unique = unique.any(|columns| columns.iter().all(|column| value.contains(column)));
    // No row is written without its value.
    for index in rows.identity.clone() {
        let id = rows.child.attributes.get(index).and_then(checks::writes);
        if let Some(column) = id.and_then(|id| rows.child.columns.get_mut(id)) {
            column.nullable = true;
        }
    }
}

/// What `delete` sets must take the row out of `where`: it would be shown again.
fn removal_hides(rows: &Rows, node: &Node, findings: &mut Findings) {
    if rows.remove_sets.is_empty() {
        return;
    }
    let set: Vec<&Ident> =
        rows.remove_sets.iter().filter_map(|(id, _)| rows.child.columns.get(*id)).map(|column| &column.name).collect();
    hides(&rows.child.filter, &set, node, findings);
}

/// Reports where nothing that is set takes a row out of `where`.
pub(super) fn hides(filter: &Condition, set: &[&Ident], node: &Node, findings: &mut Findings) {
    if !looks_at(filter, set) {
        findings
            .error(node, "a removed row would still be shown: `where` looks at nothing that `delete` sets")
            .help("like `where: { gone_at: null }` beside `delete: { set: { gone_at: \"${now}\" } }`");
    }
}

/// Whether a condition looks at any of these columns.
fn looks_at(condition: &Condition, columns: &[&Ident]) -> bool {
    let mut found = false;
    tests(condition, &mut |operand, _| match operand {
        Operand::Column(column) | Operand::Json(column, _) => found |= columns.contains(&&column.name),
        Operand::Attribute(_) => {}
    });
    found
}
