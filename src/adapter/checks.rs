//! What the check refuses, or warns of, once the parts are compiled.

use super::context::{Context, Outline};
use super::conversion::same;
use super::names::Relation;
use super::{
    Attribute, Binding, Column, Condition, Conversion, Create, Expression, Operand, Part, Source, Template, Test,
    Unique, Variable, Written,
};
use crate::document::{Findings, Located, Node};
use crate::sql::{Catalogue, ColumnKind, Dialect, Ident, Value};

/// Reports every column of a new row that cannot be NULL, has no default and is not among `filled`.
pub(super) fn filled_or_reported(
    relation: &Relation<'_>,
    filled: &[&Ident],
    at: &impl Located,
    where_to: &str,
    findings: &mut Findings,
) {
    let open: Vec<&str> = relation
        .info
        .columns
        .iter()
        .filter(|column| !column.nullable && !column.has_default && !column.generated_key)
        .filter(|column| !filled.contains(&&column.name))
        .map(|column| column.name.as_str())
        .collect();
    for column in open {
        findings
            .error(at, format!("nothing fills `{}.{column}`, which cannot be NULL and has no default", relation.table))
            .help(format!("give it a value in {where_to}"));
    }
}

/// Warns of a column that is searched by and has no index.
pub(super) fn suggest_index(
    relation: &Relation<'_>,
    column: &Ident,
    at: &impl Located,
    context: &Context<'_>,
    findings: &mut Findings,
) {
    if relation.is_indexed(column) {
        return;
    }
    let long = relation.find(column.as_str()).is_some_and(|info| info.sql_type.to_ascii_lowercase().ends_with("text"));
    let on = match context.names.dialect {
        // MySQL indexes the beginning of a TEXT column only.
        Dialect::Mysql if long => format!("`{column}`(191)"),
        Dialect::Mysql => format!("`{column}`"),
        _ => format!("\"{column}\""),
    };
    let table = match context.names.dialect {
        Dialect::Mysql => format!("`{}`", relation.table.to_string().replace('.', "`.`")),
        _ => format!("\"{}\"", relation.table.to_string().replace('.', "\".\"")),
    };
    let name = format!("scimshim_{}_{column}", relation.table.name);
    findings
        .warning(at, format!("`{}.{column}` is searched by and has no index", relation.table))
        .help(format!("CREATE INDEX {name} ON {table} ({on});"));
}

/// Everything that concerns one compiled source.
pub(super) fn source(source: &Source, outline: &Outline<'_>, context: &Context<'_>, findings: &mut Findings) {
    one_writer(source, outline, findings);
    searched(source, outline, context, findings);
    templates_end(source, outline, findings);
    if let Some(create) = &source.create {
        let at = outline.node.get("create").unwrap_or(&outline.node);
        let filled = filled_on_create(source, create);
        for column in &outline.relation.info.columns {
            if column.nullable || column.has_default || column.generated_key || filled.contains(&&column.name) {
                continue;
            }
            let optional = source.attributes.iter().find(|attribute| {
                writes(attribute).is_some_and(|id| source.columns.get(id).is_some_and(|c| c.name == column.name))
            });
            let message = match optional {
                Some(attribute) => format!(
                    "nothing fills `{}.{}`, which cannot be NULL and has no default, when a client leaves {} out",
                    source.table,
                    column.name,
                    attribute.target.path()
                ),
                None => format!(
                    "nothing fills `{}.{}` on create, which cannot be NULL and has no default",
                    source.table, column.name
                ),
            };
            findings.error(at, message).help(match optional {
                Some(_) => format!("say `required: true` there, or `create: {{ set: {{ {}: ... }} }}`", column.name),
                None => format!("`create: {{ set: {{ {}: ... }} }}`", column.name),
            });
        }
        created_inside(source, create, outline, findings);
        documents_begin(source, create, outline, findings);
        unique_within(source, &filled, outline, findings);
    }
}

/// Warns of a JSON column whose DEFAULT a new row does not get, because an attribute writes a key in it.
fn documents_begin(source: &Source, create: &Create, outline: &Outline<'_>, findings: &mut Findings) {
    let mut told = Vec::new();
    for (attribute, entry) in source.attributes.iter().zip(&outline.entries) {
        let Binding::Column(binding) = &attribute.binding else { continue };
        if binding.json.is_empty() || !binding.writes || told.contains(&binding.column) {
            continue;
        }
        let given = create.set.iter().any(|(id, _)| *id == binding.column);
        let Some(column) = source.columns.get(binding.column).filter(|_| !given) else { continue };
        if outline.relation.find(column.name.as_str()).is_some_and(|info| info.has_default) {
            told.push(binding.column);
            findings
                .warning(
                    &entry.key,
                    format!(
                        "`{}.{}` has a DEFAULT, which a new row gets only where no attribute in the document is given",
                        source.table, column.name
                    ),
                )
                .help(format!(
                    "say it here too, and attributes add to it: `create: {{ set: {{ {}: '...' }} }}`",
                    column.name
                ));
        }
    }
}

/// Before a row is created others are looked for that share its columns: what those will hold must be known by then.
fn unique_within(source: &Source, filled: &[&Ident], outline: &Outline<'_>, findings: &mut Findings) {
    for (attribute, entry) in source.attributes.iter().zip(&outline.entries) {
        let Unique::Within(within) = &attribute.unique else { continue };
        for column in within.iter().filter_map(|id| source.columns.get(*id)) {
            let unknown = outline.relation.find(column.name.as_str()).is_some_and(|info| info.has_default);
            if unknown && !filled.contains(&&column.name) {
                findings
                    .warning(
                        &entry.key,
                        format!(
                            "`{}` is unique within `{}`, and what the database puts there in a new row is not known",
                            entry.target.path(),
                            column.name
                        ),
                    )
                    .help(format!(
                        "a new row is compared with those that have NULL there; say it in `create: {{ set: {{ {}: ... }} }}`, \
                         unless the database generates it",
                        column.name
                    ));
            }
        }
    }
}

/// The column that an attribute writes.
pub(crate) fn writes(attribute: &Attribute) -> Option<usize> {
    match &attribute.binding {
        Binding::Column(binding) => binding.writes.then_some(binding.column),
        Binding::Lookup(lookup) => lookup.writes.then_some(lookup.column),
        Binding::Reference(reference) => (!attribute.schema.is_read_only()).then_some(reference.column),
        _ => None,
    }
}

pub(super) fn one_writer(source: &Source, outline: &Outline<'_>, findings: &mut Findings) {
    let json = |attribute: &Attribute| match &attribute.binding {
        Binding::Column(binding) => binding.json.clone(),
        _ => Vec::new(),
    };
    for (index, attribute) in source.attributes.iter().enumerate() {
        let Some(column) = writes(attribute) else { continue };
        let earlier = source.attributes.iter().take(index).find(|earlier| {
            writes(earlier) == Some(column)
                && (json(earlier).starts_with(&json(attribute)) || json(attribute).starts_with(&json(earlier)))
        });
        if let (Some(earlier), Some(entry), Some(column)) =
            (earlier, outline.entries.get(index), source.columns.get(column))
        {
            findings
                .error(
                    &entry.key,
                    format!(
                        "`{}` and `{}` both write `{}`",
                        earlier.target.path(),
                        attribute.target.path(),
                        column.name
                    ),
                )
                .help("one of them should say `mutability: readOnly`");
        }
    }
}

/// Columns that clients search by in practice: names, external ids, what is unique, addresses.
fn searched(source: &Source, outline: &Outline<'_>, context: &Context<'_>, findings: &mut Findings) {
    for (attribute, entry) in source.attributes.iter().zip(&outline.entries) {
        let Binding::Column(binding) = &attribute.binding else {
            continue;
        };
        let path = attribute.target.path();
        let asked =
            attribute.unique != Unique::No || matches!(path.as_str(), "userName" | "externalId" | "emails.value");
        if let (true, true, Some(column)) = (asked, binding.json.is_empty(), source.columns.get(binding.column)) {
            let folded = context.names.dialect == Dialect::Postgres
                && !attribute.schema.case_exact
                && !column.ignores_case
                && matches!(column.kind, ColumnKind::Text(_));
            if folded {
                suggest_folded_index(&outline.relation, &column.name, &entry.key, findings);
            } else {
                suggest_index(&outline.relation, &column.name, &entry.key, context, findings);
            }
        }
    }
}

/// Case is folded by an expression in PostgreSQL, and only an index on that very expression helps. What the
/// expressions of the indexes there are is not read: one with any is taken for it.
fn suggest_folded_index(relation: &Relation<'_>, column: &Ident, at: &impl Located, findings: &mut Findings) {
    let mut of_expressions = relation.info.indexes.iter().flat_map(|index| &index.columns);
    if of_expressions.any(|column| column.as_str().is_empty()) {
        return;
    }
    let table = relation.table.to_string().replace('.', "\".\"");
    let name = format!("scimshim_{}_{column}", relation.table.name);
    let on = format!("(LOWER(CAST(\"{column}\" AS TEXT) COLLATE \"default\") COLLATE \"C\")");
    findings
        .warning(
            at,
            format!("`{}.{column}` is searched by, whatever the case, and has no index for that", relation.table),
        )
        .help(format!("CREATE INDEX {name} ON \"{table}\" ({on});"));
}

/// No template may come back to itself.
pub(super) fn templates_end(source: &Source, outline: &Outline<'_>, findings: &mut Findings) {
    type Templates = for<'s> fn(&'s Attribute) -> &'s [Template];
    let read: Templates = |attribute| match &attribute.binding {
        Binding::Template(templates) | Binding::Sidecar(templates) => templates,
        Binding::Column(binding) => &binding.shown_when_empty,
        _ => &[],
    };
    let written: Templates = |attribute| match &attribute.binding {
        Binding::Column(binding) => &binding.fallback,
        _ => &[],
    };
    for of in [read, written] {
        for (start, entry) in outline.entries.iter().enumerate().take(source.attributes.len()) {
            let mut seen = Vec::new();
            let mut open = vec![start];
            while let Some(index) = open.pop() {
                let Some(attribute) = source.attributes.get(index) else {
                    continue;
                };
                for next in of(attribute).iter().flat_map(attributes_of) {
                    if !seen.contains(&next) {
                        seen.push(next);
                        open.push(next);
                    }
                }
            }
            if seen.contains(&start) {
                findings.error(&entry.key, format!("the templates of `{}` come back to itself", entry.target.path()));
            }
        }
    }
}

fn attributes_of(template: &Template) -> Vec<usize> {
    let parts = template.0.iter();
    parts
        .filter_map(|part| match part {
            Part::Variable(Variable::Attribute(index) | Variable::LocalPart(index)) => Some(*index),
            _ => None,
        })
        .collect()
}

/// Columns of the new row that certainly have a value.
fn filled_on_create<'s>(source: &'s Source, create: &Create) -> Vec<&'s Ident> {
    let mut ids: Vec<usize> = create.set.iter().map(|(id, _)| *id).collect();
    for attribute in &source.attributes {
        let Some(id) = writes(attribute) else { continue };
        let certain = attribute.required
            || match &attribute.binding {
                Binding::Column(binding) => {
                    !binding.fallback.is_empty()
                        || matches!(&binding.conversion, Conversion::Text(rule) if rule.empty.as_ref().is_some_and(|v| !v.is_null()))
                }
                Binding::Lookup(lookup) => !lookup.none.is_null(),
                Binding::Reference(reference) => !reference.none.is_null(),
                _ => false,
            };
        if certain {
            ids.push(id);
            if let Binding::Column(binding) = &attribute.binding {
                ids.extend(binding.also.iter().map(|(id, _)| *id));
            }
        }
    }
    if source.timestamps.written {
        ids.extend(source.timestamps.created);
        ids.extend(source.timestamps.modified);
    }
    if let Some(tree) = &source.tree {
        let kept = [Some(&tree.path), tree.level.as_ref()];
        let position = |column: &Column| source.columns.iter().position(|known| known.name == column.name);
        ids.extend(kept.into_iter().flatten().filter_map(position));
    }
    ids.iter().filter_map(|id| source.columns.get(*id)).map(|column| &column.name).collect()
}

/// A created row must be one that the resource's `where` shows, and none that is protected.
fn created_inside(source: &Source, create: &Create, outline: &Outline<'_>, findings: &mut Findings) {
    // What a new row holds, where that is certain.
    let known = |name: &Ident| -> Option<Value> {
        let position = source.columns.iter().position(|column| column.name == *name);
        if position.is_some_and(|id| source.attributes.iter().any(|attribute| writes(attribute) == Some(id))) {
            return None;
        }
        if let Some((_, value)) = position.and_then(|id| create.set.iter().find(|(set, _)| *set == id)) {
            return match value {
                Expression::Literal(value) => Some(value.clone()),
                _ => None,
            };
        }
        let info = outline.relation.find(name.as_str())?;
        (info.nullable && !info.has_default && !info.generated_key).then_some(Value::Null)
    };
    let set = |name: &Ident| {
        let id = source.columns.iter().position(|column| column.name == *name);
        id.and_then(|id| create.set.iter().find(|(set, _)| *set == id)).map(|(_, value)| value)
    };
    if holds(&source.filter, &known, &set) == Some(false) {
        let at = outline.node.get("create").or_else(|| outline.node.get("where")).unwrap_or(&outline.node);
        findings
            .error(at, "a created row would stand outside `where`")
            .help("write in `create: { set: ... }` what `where` asks for");
    }
}

/// Whether a condition holds of a row known in part; `None` where that is not certain.
fn holds<'e>(
    condition: &Condition,
    known: &dyn Fn(&Ident) -> Option<Value>,
    set: &dyn Fn(&Ident) -> Option<&'e Expression>,
) -> Option<bool> {
    match condition {
        Condition::True => Some(true),
        Condition::And(parts) => {
            let answers: Vec<_> = parts.iter().map(|part| holds(part, known, set)).collect();
            match answers.contains(&Some(false)) {
                true => Some(false),
                false => answers.iter().all(Option::is_some).then_some(true),
            }
        }
        Condition::Or(parts) => {
            let answers: Vec<_> = parts.iter().map(|part| holds(part, known, set)).collect();
            match answers.contains(&Some(true)) {
                true => Some(true),
                false => answers.iter().all(Option::is_some).then_some(false),
            }
        }
        Condition::Not(inner) => holds(inner, known, set).map(|answer| !answer),
        Condition::Test(Operand::Column(column), test) => {
            let is_null = |value: &Expression| matches!(value, Expression::Literal(Value::Null));
            if let Test::Is(wanted) = test
                && is_null(wanted)
                && set(&column.name)
                    .is_some_and(|given| matches!(given, Expression::Variable(Variable::Now | Variable::Uuid)))
            {
                return Some(false);
            }
            let value = known(&column.name)?;
            let literal = |wanted: &Expression| match wanted {
                Expression::Literal(wanted) => Some(same(wanted, &value, column.ignores_case)),
                _ => None,
            };
            match test {
                Test::Is(wanted) => literal(wanted),
                Test::In(wanted) => {
                    let answers: Vec<_> = wanted.iter().map(literal).collect();
                    match answers.contains(&Some(true)) {
                        true => Some(true),
                        false => answers.iter().all(Option::is_some).then_some(false),
                    }
                }
                _ if value.is_null() => Some(false),
                _ => None,
            }
        }
        Condition::Test(..) => None,
    }
}

/// What is written must be such that it can be rolled back: else a request that fails leaves half of what it did.
pub(super) fn transactions(written: &[Written], catalogue: &Catalogue, findings: &mut Findings) {
    for written in written {
        let engine = catalogue.table(&written.table).and_then(|info| info.without_transactions.as_deref());
        if let Some(engine) = engine {
            let table = &written.table;
            findings
                .error(
                    &(),
                    format!("`{table}` is stored by {engine}, which has no transactions: nothing could be rolled back"),
                )
                .help(format!("ALTER TABLE {table} ENGINE = InnoDB"));
        }
    }
}

/// `active` must be mapped where something deactivates.
pub(super) fn can_deactivate(source: &[Attribute], at: &Node, findings: &mut Findings) {
    if !source.iter().any(|attribute| attribute.target.path() == "active" && writes(attribute).is_some()) {
        findings.error(at, "`deactivate` needs the attribute `active` to be mapped to a column");
    }
}
