//! Work around a change, in the same transaction: guards that count before it, steps beside it.

use super::transaction::Fault;
use super::unique::Claims;
use super::{Directory, plan};
use crate::adapter::{
    Action, Aliases, Binding, Column, ColumnId, Condition, Each, EachRow, Environment, Expression, ForEach, Guard,
    Part, Source, Step, Test, Transition, Variable,
};
use crate::scim::Object;
use crate::sql::{
    ColumnKind, Connection, Delete, Expr, Insert, OnConflict, Order, Predicate, Select, Statement, Update, Value,
};
use serde_json::Value as Json;

impl Directory {
    /// The first guard that refuses, in its own words. Where some rows must be left, as the last administrator, whoever
    /// takes one counts alone: two who each take one of the last two would both count the other's.
    pub(super) fn refused(
        &self,
        connection: &mut dyn Connection,
        claims: &mut Claims,
        guards: &[Guard],
        environment: &Environment<'_>,
        transition: Option<&Transition<'_>>,
    ) -> Result<Option<String>, Fault> {
        for guard in guards {
            if !self.applies(connection, guard.when.as_ref(), environment, transition)? {
                continue;
            }
            if guard.at_least.is_some() {
                self.claim(connection, claims, vec![("guard".to_owned(), guard.table.to_string())])?;
            }
            let mut aliases = Aliases::from(1);
            let filter = environment.predicate(&guard.filter, Some(plan::MAIN), &mut aliases);
            let select = Select::new(guard.table.clone(), plan::MAIN, vec![Expr::CountAll]).filter(filter);
            let rows = connection.query(&Statement::Select(select), &[])?;
            let count = rows.first().and_then(|row| row.0.first()).and_then(Value::as_int).unwrap_or(0);
            let holds =
                guard.at_most.is_none_or(|most| count <= most) && guard.at_least.is_none_or(|least| count >= least);
            if !holds {
                let environment = Environment { count: Some(count), ..*environment };
                let says = environment.template(&guard.says);
                return Ok(Some(says.unwrap_or_else(|| "a guard of the adapter refuses it".to_owned())));
            }
        }
        Ok(None)
    }

    /// Whether a `when` holds of a change; beside what does not change the row, it is as it is.
    fn applies(
        &self,
        connection: &mut dyn Connection,
        when: Option<&Condition>,
        environment: &Environment<'_>,
        transition: Option<&Transition<'_>>,
    ) -> Result<bool, Fault> {
        let Some(when) = when else { return Ok(true) };
        let unchanged = environment.row.map(|(source, row)| Transition {
            source,
            before: Some(row),
            after: row,
            attributes_before: environment.attributes,
            attributes_after: environment.attributes.unwrap_or_default(),
            counts_as: None,
        });
        let Some(transition) = transition.or(unchanged.as_ref()) else { return Ok(false) };
        let known = self.looked_up(connection, when, environment, transition)?;
        Ok(transition.holds(known.as_ref().unwrap_or(when), environment))
    }

    /// The same condition with the answers of other tables in it; `None` where it asks none.
    fn looked_up(
        &self,
        connection: &mut dyn Connection,
        condition: &Condition,
        environment: &Environment<'_>,
        transition: &Transition<'_>,
    ) -> Result<Option<Condition>, Fault> {
        let (parts, all) = match condition {
            Condition::And(parts) => (parts, true),
            Condition::Or(parts) => (parts, false),
            Condition::Not(inner) => {
                let inner = self.looked_up(connection, inner, environment, transition)?;
                return Ok(inner.map(|inner| Condition::Not(Box::new(inner))));
            }
            Condition::Test(operand, Test::InTable(select)) => {
                let value = transition.after_of(operand);
                if value.is_null() {
                    return Ok(Some(Condition::Or(Vec::new())));
                }
                let mut aliases = Aliases::from(1);
                let column = Expr::column(plan::MAIN, &select.column.name);
                let filter = Predicate::eq(column, Expr::Value(value, select.column.cast.clone()))
                    .and(environment.predicate(&select.filter, Some(plan::MAIN), &mut aliases));
                let mut looking = Select::new(select.table.clone(), plan::MAIN, vec![Expr::Number(1)]).filter(filter);
                looking.limit = Some(1);
                let found = !connection.query(&Statement::Select(looking), &[])?.is_empty();
                return Ok(Some(if found { Condition::True } else { Condition::Or(Vec::new()) }));
            }
            Condition::True | Condition::Test(..) => return Ok(None),
        };
        let mut known = Vec::with_capacity(parts.len());
        let mut asked = false;
        for part in parts {
            let answer = self.looked_up(connection, part, environment, transition)?;
            asked |= answer.is_some();
            known.push(answer.unwrap_or_else(|| part.clone()));
        }
        Ok(asked.then_some(if all { Condition::And(known) } else { Condition::Or(known) }))
    }

    /// Runs steps in their order.
    pub(super) fn run_steps(
        &self,
        connection: &mut dyn Connection,
        steps: &[Step],
        environment: &Environment<'_>,
        transition: Option<&Transition<'_>>,
    ) -> Result<(), Fault> {
        for step in steps {
            if !self.applies(connection, step.when.as_ref(), environment, transition)? {
                continue;
            }
            let changes = transition.map(|transition| changes(transition, &step.of)).unwrap_or_default();
            match &step.for_each {
                ForEach::Once => {
                    let text;
                    let mut environment = *environment;
                    if uses_changes(&step.action) {
                        if changes.is_empty() {
                            continue;
                        }
                        text = changes_json(&changes);
                        environment.changes = Some(&text);
                    }
                    self.run_step(connection, step, &environment)?;
                }
                ForEach::Change => {
                    for change in &changes {
                        let mut told = |value: &Value| match transition {
                            Some(Transition { source, .. }) => {
                                self.told(connection, source, change.id, value.clone(), environment)
                            }
                            None => Ok(value.clone()),
                        };
                        let (old, new) = (told(&change.old)?, told(&change.new)?);
                        let each = Each { columns: Vec::new(), old, new, code: change.code.clone() };
                        self.run_step(connection, step, &Environment { each: Some(&each), ..*environment })?;
                    }
                }
                ForEach::Rows(rows) => {
                    let EachRow { table, filter, columns, first } = &**rows;
                    let mut aliases = Aliases::from(1);
                    let select_list = columns.iter().map(|column| Expr::column(plan::MAIN, &column.name)).collect();
                    let mut select = Select::new(table.clone(), plan::MAIN, select_list);
                    select.filter = environment.predicate(filter, Some(plan::MAIN), &mut aliases);
                    if let Some(first) = first {
                        let by = Expr::column(plan::MAIN, &first.name);
                        select.order.push(Order { by, descending: false });
                        select.limit = Some(1);
                    }
                    for row in connection.query(&Statement::Select(select), &[])? {
                        let named = columns.iter().zip(row.0);
                        let columns = named.map(|(column, value)| (column.name.clone(), value, None)).collect();
                        let each = Each { columns, ..Each::default() };
                        self.run_step(connection, step, &Environment { each: Some(&each), ..*environment })?;
                    }
                }
            }
        }
        Ok(())
    }

    fn run_step(
        &self,
        connection: &mut dyn Connection,
        step: &Step,
        environment: &Environment<'_>,
    ) -> Result<(), Fault> {
        let mut aliases = Aliases::from(1);
        let statement = match &step.action {
            Action::Insert(values) => {
                if step.if_absent && self.is_there(connection, step, values, environment)? {
                    return Ok(());
                }
                let row = values.iter().map(|value| cut(value, environment, &mut aliases)).collect();
                Statement::Insert(Insert {
                    table: step.table.clone(),
                    columns: values.iter().map(|(column, _)| column.name.clone()).collect(),
                    rows: vec![row],
                    on_conflict: OnConflict::Fail,
                })
            }
            Action::Update(values, filter) => {
                let set = values.iter().map(|value| (value.0.name.clone(), cut(value, environment, &mut aliases)));
                Statement::Update(Update {
                    table: step.table.clone(),
                    set: set.collect(),
                    filter: environment.predicate(filter, None, &mut aliases),
                })
            }
            Action::Delete(filter) => Statement::Delete(Delete {
                table: step.table.clone(),
                filter: environment.predicate(filter, None, &mut aliases),
            }),
        };
        connection.execute(&statement, &[])?;
        Ok(())
    }

    fn is_there(
        &self,
        connection: &mut dyn Connection,
        step: &Step,
        values: &[(Column, Expression)],
        environment: &Environment<'_>,
    ) -> Result<bool, Fault> {
        let mut aliases = Aliases::from(1);
        let mut filter = Predicate::True;
        for (column, expression) in values {
            let left = Expr::column(plan::MAIN, &column.name);
            filter = filter.and(match environment.expr(expression, Some(column), &mut aliases) {
                Expr::Value(Value::Null, _) => Predicate::IsNull(left),
                right => Predicate::eq(left, right),
            });
        }
        let mut select = Select::new(step.table.clone(), plan::MAIN, vec![Expr::Number(1)]).filter(filter);
        select.limit = Some(1);
        Ok(!connection.query(&Statement::Select(select), &[])?.is_empty())
    }
}

/// One changed column.
struct Change<'a> {
    id: ColumnId,
    column: &'a Column,
    old: Value,
    new: Value,
    code: Value,
}

fn changes<'a>(transition: &'a Transition<'_>, of: &[(ColumnId, Option<Value>)]) -> Vec<Change<'a>> {
    let Some(before) = transition.before else {
        return Vec::new();
    };
    let source: &Source = transition.source;
    let mut changes = Vec::new();
    for (id, column) in source.columns.iter().enumerate() {
        let listed = of.iter().find(|(listed, _)| *listed == id);
        let bookkeeping = source.timestamps.modified == Some(id);
        if (!of.is_empty() && listed.is_none()) || (of.is_empty() && bookkeeping) {
            continue;
        }
        let (Some(old), Some(new)) = (before.get(id), transition.after.get(id)) else {
            continue;
        };
        if old == new {
            continue;
        }
        let secret = source
            .attributes
            .iter()
            .any(|a| matches!(&a.binding, Binding::Column(binding) if binding.column == id && binding.hash.is_some()));
        let hide = |value: &Value| if secret { Value::from("*****") } else { value.clone() };
        let code = listed.and_then(|(_, code)| code.clone()).unwrap_or_default();
        changes.push(Change { id, column, old: hide(old), new: hide(new), code });
    }
    changes
}

fn changes_json(changes: &[Change<'_>]) -> String {
    let mut all = Object::new();
    for change in changes {
        let mut pair = Object::new();
        pair.insert("old".into(), plain(&change.old));
        pair.insert("new".into(), plain(&change.new));
        all.insert(change.column.name.as_str().to_owned(), Json::Object(pair));
    }
    Json::Object(all).to_string()
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Int(i) => Json::from(*i),
        Value::UInt(u) => Json::from(*u),
        Value::Float(f) => Json::from(*f),
        other => other.to_text().map(Json::String).unwrap_or(Json::Null),
    }
}

fn uses_changes(action: &Action) -> bool {
    let values = match action {
        Action::Insert(values) | Action::Update(values, _) => values,
        Action::Delete(_) => return false,
    };
    values.iter().any(|(_, expression)| match expression {
        Expression::Variable(variable) => *variable == Variable::Changes,
        Expression::Template(template) => {
            template.0.iter().any(|part| matches!(part, Part::Variable(Variable::Changes)))
        }
        _ => false,
    })
}

/// A value that a step writes, cut to what its column holds: a history is not a reason to refuse.
fn cut(value: &(Column, Expression), environment: &Environment<'_>, aliases: &mut Aliases) -> Expr {
    let (column, expression) = value;
    match environment.expr(expression, Some(column), aliases) {
        Expr::Value(Value::Text(text), cast) => {
            let most = match column.kind {
                ColumnKind::Text(Some(most)) => usize::try_from(most).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            let text = if text.len() > most { text.chars().take(most).collect() } else { text };
            Expr::Value(Value::Text(text), cast)
        }
        other => other,
    }
}
