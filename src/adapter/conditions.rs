//! The one shape of every `where`, `protected`, `leave`, `guard`, `when` and scope.

use super::context::{Context, Scope};
use super::document::text_of;
use super::expressions::{expression, loose, select};
use super::names::{Relation, compiled};
use super::{Column, Condition, Expression, Operand, ScalarSelect, Test};
use crate::document::{Data, Findings, Key, Kind, Node, nearest};
use crate::sql::{ColumnKind, Value};
use std::sync::Arc;

const WORDS: &[&str] =
    &["not", "in", "like", "lt", "le", "gt", "ge", "bits", "json", "select", "first_of", "changed", "becomes", "was"];

/// A `where` over a table; absent is [`Condition::True`].
pub(super) fn condition(
    node: Option<&Node>,
    relation: &Relation<'_>,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Condition {
    let Some(node) = node else { return Condition::True };
    Compiling { relation, scope, context, when: false }.all(node, findings)
}

/// A `when` over the source's row and attributes; absent is `None`.
pub(super) fn when(
    node: Option<&Node>,
    scope: Scope<'_, '_>,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Condition> {
    let node = node?;
    let scope = Scope { outline: scope.changing.or(scope.outline), ..scope };
    let relation = &scope.outline?.relation;
    Some(Compiling { relation, scope, context, when: true }.all(node, findings))
}

struct Compiling<'c, 's, 'a> {
    relation: &'c Relation<'a>,
    scope: Scope<'s, 'a>,
    context: &'c Context<'a>,
    when: bool,
}

impl Compiling<'_, '_, '_> {
    fn all(&self, node: &Node, findings: &mut Findings) -> Condition {
        let mut parts = Vec::new();
        // `{ column: any, is: x }` names a column that is called like a word of the language.
        if let (Some(column), Some(is)) = (node.get("column"), node.get("is"))
            && node.entries().len() == 2
        {
            if let Some(name) = column.read_str(findings) {
                parts.extend(self.key(&Key::new(name, column.place().clone()), is, findings));
            }
            return join(parts);
        }
        for (key, value) in node.read_entries(findings).unwrap_or_default() {
            if key.text == "any" {
                let any: Vec<Condition> = value
                    .read_items(findings)
                    .unwrap_or_default()
                    .iter()
                    .map(|item| self.all(item, findings))
                    .collect();
                if any.is_empty() {
                    findings.error(key, "`any` of nothing is never true");
                }
                parts.push(Condition::Or(any));
            } else {
                parts.extend(self.key(key, value, findings));
            }
        }
        join(parts)
    }

    fn key(&self, key: &Key, value: &Node, findings: &mut Findings) -> Option<Condition> {
        if let Some(info) = self.relation.find(&key.text) {
            if let Some(outline) = self.scope.outline.filter(|_| self.when) {
                outline.intern(info);
            }
            let column = compiled(info);
            return Some(self.test(&Operand::Column(column.clone()), Some(&column), value, findings));
        }
        if let Some(outline) = self.scope.outline.filter(|_| self.when) {
            if let Some(index) = outline.attribute(&key.text) {
                return Some(self.test(&Operand::Attribute(index), None, value, findings));
            }
            let columns = self.relation.info.columns.iter().map(|column| column.name.as_str().to_owned());
            let names: Vec<String> = columns.chain(outline.entries.iter().map(|entry| entry.target.path())).collect();
            let finding = findings.error(
                key,
                format!("`{}` is neither a column of `{}` nor a mapped attribute", key.text, self.relation.table),
            );
            if let Some(near) = nearest(&key.text, names.iter().map(String::as_str)) {
                finding.help(format!("did you mean `{near}`?"));
            }
            return None;
        }
        self.relation.column(&key.text, key, findings);
        None
    }

    /// What `value` says of an operand.
    fn test(&self, operand: &Operand, column: Option<&Column>, value: &Node, findings: &mut Findings) -> Condition {
        let Data::Mapping(entries) = value.data() else {
            if value.kind() == Kind::Sequence {
                findings.error(value, "a list says nothing here").help("one of several values is `{ in: [a, b] }`");
                return Condition::True;
            }
            return Condition::Test(operand.clone(), Test::Is(self.value(value, column, findings)));
        };
        let mut parts = Vec::new();
        for (key, inner) in entries {
            let test = match key.text.as_str() {
                "not" => {
                    parts.push(Condition::Not(Box::new(self.test(operand, column, inner, findings))));
                    continue;
                }
                "in" if inner.kind() == Kind::Mapping => match select(inner, self.scope, self.context, findings) {
                    Some(select) => Test::InTable(select),
                    None => continue,
                },
                "in" => Test::In(
                    inner
                        .read_items(findings)
                        .unwrap_or_default()
                        .iter()
                        .map(|item| self.value(item, column, findings))
                        .collect(),
                ),
                "like" => match inner.read_str(findings) {
                    Some(pattern) => Test::Like(pattern.to_owned()),
                    None => continue,
                },
                "lt" => Test::Lt(self.value(inner, column, findings)),
                "le" => Test::Le(self.value(inner, column, findings)),
                "gt" => Test::Gt(self.value(inner, column, findings)),
                "ge" => Test::Ge(self.value(inner, column, findings)),
                "bits" => match inner.read_i64(findings) {
                    Some(bits) => {
                        if column.is_some_and(|column| !matches!(column.kind, ColumnKind::Integer { .. })) {
                            findings.error(key, "`bits` is for columns that hold whole numbers");
                        }
                        Test::Bits(bits)
                    }
                    None => continue,
                },
                "json" => {
                    match operand {
                        Operand::Column(column) => parts.push(self.json(column, &mut Vec::new(), inner, findings)),
                        _ => {
                            findings.error(key, "`json` looks into a column, not into an attribute");
                        }
                    }
                    continue;
                }
                "select" | "first_of" if entries.len() == 1 => Test::Is(self.value(value, column, findings)),
                "changed" | "becomes" | "was" if !self.when => {
                    findings.error(key, format!("`{}` is said of a change: it stands in `when`", key.text));
                    continue;
                }
                "changed" => match inner.read_bool(findings) {
                    Some(true) => Test::Changed,
                    Some(false) => {
                        parts.push(Condition::Not(Box::new(Condition::Test(operand.clone(), Test::Changed))));
                        continue;
                    }
                    None => continue,
                },
                "becomes" => Test::Becomes(self.value(inner, column, findings)),
                "was" => Test::Was(self.value(inner, column, findings)),
                word => {
                    let finding = findings.error(key, format!("unknown predicate `{word}`"));
                    match nearest(word, WORDS.iter().copied()) {
                        Some(near) => finding.help(format!("did you mean `{near}`?")),
                        None => finding.help(format!("a predicate is one of {}", WORDS.join(", "))),
                    };
                    continue;
                }
            };
            parts.push(Condition::Test(operand.clone(), test));
        }
        if entries.is_empty() {
            findings.error(value, "an empty predicate says nothing");
        }
        join(parts)
    }

    fn value(&self, node: &Node, column: Option<&Column>, findings: &mut Findings) -> Expression {
        match column {
            Some(column) => expression(node, column, self.scope, self.context, findings),
            None => Expression::Literal(loose(node)),
        }
    }

    /// `{ superuser: "1" }`: scalars inside the document, compared as text.
    fn json(&self, column: &Column, path: &mut Vec<String>, node: &Node, findings: &mut Findings) -> Condition {
        if !matches!(column.kind, ColumnKind::Json | ColumnKind::Text(_) | ColumnKind::Other) {
            findings.error(node, format!("the column `{}` holds no JSON document", column.name));
        }
        let mut parts = Vec::new();
        for (key, value) in node.read_entries(findings).unwrap_or_default() {
            path.push(key.text.clone());
            let says = |node: &Node| node.entries().first().is_some_and(|(key, _)| WORDS.contains(&key.text.as_str()));
            if value.kind() == Kind::Mapping && !says(value) {
                parts.push(self.json(column, path, value, findings));
            } else {
                let mut as_text = column.clone();
                as_text.kind = ColumnKind::Text(None);
                let operand = Operand::Json(column.clone(), path.clone());
                parts.push(self.test(&operand, Some(&as_text), &worded(value), findings));
            }
            path.pop();
        }
        join(parts)
    }
}

/// A scalar as the text that it is compared as inside a JSON document.
fn worded(node: &Node) -> Node {
    match node.data() {
        Data::Bool(_) | Data::Integer(_) | Data::Float(_) => {
            Node::new(Data::String(text_of(node)), node.place().clone())
        }
        _ => node.clone(),
    }
}

pub(super) fn join(mut parts: Vec<Condition>) -> Condition {
    match parts.len() {
        0 => Condition::True,
        1 => parts.pop().unwrap_or(Condition::True),
        _ => Condition::And(parts),
    }
}

/// The columns that must be equal to something wherever the condition holds: written on create.
pub(super) fn equalities(condition: &Condition) -> Vec<(Column, Expression)> {
    match condition {
        Condition::And(parts) => parts.iter().flat_map(equalities).collect(),
        Condition::Test(Operand::Column(column), Test::Is(value))
            if !matches!(value, Expression::Literal(Value::Null)) =>
        {
            vec![(column.clone(), value.clone())]
        }
        _ => Vec::new(),
    }
}

/// The same, and the columns that must be NULL: what takes a row back into `where`.
pub(super) fn all_equalities(condition: &Condition) -> Vec<(Column, Expression)> {
    match condition {
        Condition::And(parts) => parts.iter().flat_map(all_equalities).collect(),
        Condition::Test(Operand::Column(column), Test::Is(value)) => vec![(column.clone(), value.clone())],
        _ => Vec::new(),
    }
}

/// Visits every test of a condition.
pub(super) fn tests<'c>(condition: &'c Condition, visit: &mut dyn FnMut(&'c Operand, &'c Test)) {
    match condition {
        Condition::True => {}
        Condition::And(parts) | Condition::Or(parts) => parts.iter().for_each(|part| tests(part, visit)),
        Condition::Not(inner) => tests(inner, visit),
        Condition::Test(operand, test) => visit(operand, test),
    }
}

/// The tables that a condition looks into.
pub(super) fn tables_of(condition: &Condition) -> Vec<Arc<ScalarSelect>> {
    let mut found = Vec::new();
    tests(condition, &mut |_, test| match test {
        Test::InTable(select) => found.push(Arc::clone(select)),
        Test::Is(value)
        | Test::Lt(value)
        | Test::Le(value)
        | Test::Gt(value)
        | Test::Ge(value)
        | Test::Becomes(value)
        | Test::Was(value) => found.extend(selects_of(value)),
        Test::In(values) => found.extend(values.iter().flat_map(selects_of)),
        Test::Like(_) | Test::Bits(_) | Test::Changed => {}
    });
    let nested: Vec<_> = found.iter().flat_map(|select| tables_of(&select.filter)).collect();
    found.extend(nested);
    found
}

/// The subqueries of a value.
pub(super) fn selects_of(value: &Expression) -> Vec<Arc<ScalarSelect>> {
    match value {
        Expression::Select(select) => {
            let mut all = vec![Arc::clone(select)];
            all.extend(tables_of(&select.filter));
            all
        }
        Expression::FirstOf(values) => values.iter().flat_map(selects_of).collect(),
        _ => Vec::new(),
    }
}
