//! What the adapter's conditions and expressions mean for one request: SQL with binds, or a plain
//! value. Everything that a request brings becomes a bind here.

use super::model::{Column, ColumnId, Source};
use super::terms::{Condition, Expression, Operand, Part, ScalarSelect, Template, Test, Variable};
use crate::sql::{Alias, ColumnKind, Comparison, Expr, Ident, Predicate, Select, Value};
use chrono::{DateTime, NaiveDateTime, Timelike, Utc};
use chrono_tz::Tz;
use serde_json::Value as Json;

/// What `${...}` can mean while one request is carried out.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    /// The request's instant.
    pub instant: DateTime<Utc>,
    /// The zone of the application's wall clock.
    pub zone: Tz,
    /// The identity server's name.
    pub server: &'a str,
    /// The acting user's key and label.
    pub actor: Option<(&'a Value, &'a str)>,
    /// The request id.
    pub request_id: &'a str,
    /// The client's address.
    pub client_address: Option<&'a str>,
    /// The client's User-Agent.
    pub client_agent: Option<&'a str>,
    /// The row's key, once it is known.
    pub id: Option<&'a Value>,
    /// The row as it stands (after the change, in `then`), by [`ColumnId`].
    pub row: Option<(&'a Source, &'a [Value])>,
    /// What the client wants, by attribute.
    pub attributes: Option<&'a [Option<Json>]>,
    /// The row's label where it is not made from `row`.
    pub label: Option<&'a str>,
    /// What a guard counted.
    pub count: Option<i64>,
    /// `${changes}`.
    pub changes: Option<&'a str>,
    /// The element of `for_each`, `added`, `removed`.
    pub each: Option<&'a Each>,
    /// A statement is made that many requests run: their instant is one of [`Environment::instants`], by its place from
    /// here on, and not a value.
    pub planning: Option<usize>,
}

/// One element of a step that runs several times.
#[derive(Clone, Debug, Default)]
pub struct Each {
    /// Columns of its row, and the label of what they point to where there is one.
    pub columns: Vec<(Ident, Value, Option<String>)>,
    /// For a changed column.
    pub old: Value,
    /// For a changed column.
    pub new: Value,
    /// For a changed column: its code in `of`.
    pub code: Value,
}

impl Environment<'_> {
    /// This request's instant as a wall clock, to the second.
    pub fn now(&self) -> NaiveDateTime {
        let local = self.instant.with_timezone(&self.zone).naive_local();
        local.with_nanosecond(0).unwrap_or(local)
    }

    /// This request's instant in each form that a column may hold: what a planned statement is given.
    pub fn instants(&self) -> [Value; 4] {
        [
            Value::DateTime(self.now()),
            Value::Instant(self.instant),
            Value::Date(self.now().date()),
            Value::Int(self.instant.timestamp()),
        ]
    }

    /// Which of [`Environment::instants`] a column holds.
    fn instant_of(column: Option<&Column>) -> usize {
        match column.map(|column| &column.kind) {
            Some(ColumnKind::Instant) => 1,
            Some(ColumnKind::Date) => 2,
            Some(ColumnKind::Integer { .. }) => 3,
            _ => 0,
        }
    }

    /// This request's instant in the form that the column holds.
    pub fn now_for(&self, column: Option<&Column>) -> Value {
        let [clock, instant, day, seconds] = self.instants();
        match Self::instant_of(column) {
            1 => instant,
            2 => day,
            3 => seconds,
            _ => clock,
        }
    }

    fn variable(&self, variable: &Variable, column: Option<&Column>) -> Value {
        match variable {
            Variable::Id => self.id.cloned().unwrap_or_default(),
            Variable::Now => self.now_for(column),
            Variable::Uuid => Value::Text(uuid::Uuid::new_v4().to_string()),
            Variable::RandomPassword => random_password(),
            Variable::ActorId => self.actor.map(|(id, _)| id.clone()).unwrap_or_default(),
            Variable::ActorLabel => Value::Text(self.actor.map(|(_, label)| label.to_owned()).unwrap_or_default()),
            Variable::Server => Value::from(self.server),
            Variable::RequestId => Value::from(self.request_id),
            Variable::ClientAddress => self.client_address.map(Value::from).unwrap_or_default(),
            Variable::ClientAgent => self.client_agent.map(Value::from).unwrap_or_default(),
            Variable::Attribute(index) => self.attribute(*index).map(json_value).unwrap_or_default(),
            Variable::LocalPart(index) => match self.attribute(*index) {
                Some(Json::String(text)) => Value::from(text.split('@').next().unwrap_or_default()),
                _ => Value::Null,
            },
            Variable::Column(name) => self.row_column(name),
            Variable::Label => self.own_label().map(Value::Text).unwrap_or_default(),
            Variable::Count => self.count.map(Value::Int).unwrap_or_default(),
            Variable::Changes => self.changes.map(Value::from).unwrap_or_default(),
            Variable::Each(name) => self.each_column(name).map(|(_, value, _)| value.clone()).unwrap_or_default(),
            Variable::EachLabel(name) => self
                .each_column(name)
                .map(|(_, value, label)| label.clone().map_or_else(|| value.clone(), Value::Text))
                .unwrap_or_default(),
            Variable::EachOld => self.each.map(|each| each.old.clone()).unwrap_or_default(),
            Variable::EachNew => self.each.map(|each| each.new.clone()).unwrap_or_default(),
            Variable::EachCode => self.each.map(|each| each.code.clone()).unwrap_or_default(),
        }
    }

    fn attribute(&self, index: usize) -> Option<&Json> {
        self.attributes?.get(index)?.as_ref()
    }

    fn row_column(&self, name: &Ident) -> Value {
        let Some((source, row)) = self.row else {
            return Value::Null;
        };
        let position = source.columns.iter().position(|column| column.name == *name);
        position.and_then(|position| row.get(position)).cloned().unwrap_or_default()
    }

    fn own_label(&self) -> Option<String> {
        if let Some(label) = self.label {
            return Some(label.to_owned());
        }
        let (source, row) = self.row?;
        let made = source.label.iter().find_map(|template| self.template(template));
        made.or_else(|| row.first().and_then(Value::to_text))
    }

    fn each_column(&self, name: &Ident) -> Option<&(Ident, Value, Option<String>)> {
        self.each?.columns.iter().find(|(column, _, _)| column == name)
    }

    /// The text of a template; `None` where a variable in it has no value or an empty one.
    pub fn template(&self, template: &Template) -> Option<String> {
        let mut text = String::new();
        for part in &template.0 {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Variable(variable) => {
                    let value = self.variable(variable, None).to_text()?;
                    if value.is_empty() && *variable != Variable::ActorLabel {
                        return None;
                    }
                    text.push_str(&value);
                }
            }
        }
        Some(text)
    }

    /// The value of an expression for a column, where it can be known without the database: subqueries
    /// cannot, and give `None`.
    pub fn value(&self, expression: &Expression, column: Option<&Column>) -> Option<Value> {
        let value = match expression {
            Expression::Literal(value) => value.clone(),
            // A zero date of a row is nothing to whoever gets it.
            Expression::Variable(variable) => {
                Some(self.variable(variable, column)).filter(|v| !v.is_null()).unwrap_or_default()
            }
            Expression::Template(template) => self.template(template).map(Value::Text).unwrap_or_default(),
            Expression::Select(_) => return None,
            Expression::FirstOf(choices) => {
                for choice in choices {
                    let value = self.value(choice, column)?;
                    if !value.is_null() {
                        return Some(value);
                    }
                }
                Value::Null
            }
        };
        Some(value)
    }

    /// The expression as SQL, bound and cast for its column.
    pub fn expr(&self, expression: &Expression, column: Option<&Column>, aliases: &mut Aliases) -> Expr {
        if let (Some(first), Expression::Variable(Variable::Now)) = (self.planning, expression) {
            return Expr::Param(first + Self::instant_of(column), column.and_then(|column| column.cast.clone()));
        }
        if let Some(value) = self.value(expression, column) {
            return Expr::Value(value, column.and_then(|column| column.cast.clone()));
        }
        match expression {
            Expression::Select(select) => Expr::Scalar(Box::new(self.select(select, aliases))),
            Expression::FirstOf(choices) => {
                Expr::Coalesce(choices.iter().map(|choice| self.expr(choice, column, aliases)).collect())
            }
            _ => Expr::Value(Value::Null, None),
        }
    }

    fn select(&self, select: &ScalarSelect, aliases: &mut Aliases) -> Select {
        let alias = aliases.fresh();
        let filter = self.predicate(&select.filter, Some(alias), aliases);
        Select::new(select.table.clone(), alias, vec![Expr::column(alias, &select.column.name)]).filter(filter)
    }

    /// The condition as SQL over a table of the statement (`None` in updates and deletes).
    pub fn predicate(&self, condition: &Condition, table: Option<Alias>, aliases: &mut Aliases) -> Predicate {
        match condition {
            Condition::True => Predicate::True,
            Condition::And(all) => {
                all.iter().fold(Predicate::True, |sum, one| sum.and(self.predicate(one, table, aliases)))
            }
            Condition::Or(any) => Predicate::Or(any.iter().map(|one| self.predicate(one, table, aliases)).collect()),
            Condition::Not(inner) => self.predicate(inner, table, aliases).negate(),
            Condition::Test(operand, test) => self.test(operand, test, table, aliases),
        }
    }

    fn test(&self, operand: &Operand, test: &Test, table: Option<Alias>, aliases: &mut Aliases) -> Predicate {
        let (left, column) = match operand {
            Operand::Column(column) => (Expr::Column(table, column.name.clone()), Some(column)),
            Operand::Json(column, path) => {
                (Expr::Json(Box::new(Expr::Column(table, column.name.clone())), path.clone()), None)
            }
            // Attributes are looked at in memory, by `holds`; a condition over rows has none.
            Operand::Attribute(_) => return Predicate::False,
        };
        let compare = |comparison, expression: &Expression, aliases: &mut Aliases| {
            let mut right = self.expr(expression, column, aliases);
            if let (Operand::Json(..), Expr::Value(value, _)) = (operand, &mut right) {
                // The document's scalars come out as text.
                *value = value.to_text().map(Value::Text).unwrap_or_default();
            }
            match (&right, comparison) {
                (Expr::Value(value, _), Comparison::Eq) if value.is_null() => Predicate::IsNull(left.clone()),
                _ => Predicate::Compare(left.clone(), comparison, right),
            }
        };
        match test {
            Test::Is(expression) => compare(Comparison::Eq, expression, aliases),
            Test::Lt(expression) => compare(Comparison::Lt, expression, aliases),
            Test::Le(expression) => compare(Comparison::Le, expression, aliases),
            Test::Gt(expression) => compare(Comparison::Gt, expression, aliases),
            Test::Ge(expression) => compare(Comparison::Ge, expression, aliases),
            Test::In(choices) => {
                Predicate::Or(choices.iter().map(|choice| compare(Comparison::Eq, choice, aliases)).collect())
            }
            Test::Like(pattern) => Predicate::Like(left, Expr::value(pattern.replace('!', "!!"))),
            Test::Bits(bits) => Predicate::Bits(left, *bits),
            Test::InTable(select) => Predicate::InSelect(left, Box::new(self.select(select, aliases))),
            Test::Changed | Test::Becomes(_) | Test::Was(_) => Predicate::False,
        }
    }
}

/// Hands out aliases that no other table of the statement has.
pub struct Aliases(u16);

impl Aliases {
    /// The first alias to hand out.
    pub fn from(first: u16) -> Self {
        Self(first)
    }

    /// A fresh alias.
    pub fn fresh(&mut self) -> Alias {
        let alias = Alias(self.0);
        self.0 = self.0.saturating_add(1);
        alias
    }
}

/// A change of one row, for `when`.
pub struct Transition<'a> {
    /// The table.
    pub source: &'a Source,
    /// The row before, by [`ColumnId`]; `None` on create.
    pub before: Option<&'a [Value]>,
    /// The row after.
    pub after: &'a [Value],
    /// The resource before, by attribute.
    pub attributes_before: Option<&'a [Option<Json>]>,
    /// What the client wants, by attribute.
    pub attributes_after: &'a [Option<Json>],
    /// What an empty column counts as beside what it holds.
    pub counts_as: Option<&'a CountsAs>,
}

/// A column, or what stands in its document, that a change leaves without a value: tests of what it is afterwards see this
/// too. A test for 0 finds a deactivation that left NULL.
#[derive(Debug)]
pub struct CountsAs {
    /// Which column.
    pub column: ColumnId,
    /// Where in its document; empty for the whole column.
    pub json: Vec<String>,
    /// What it counts as.
    pub value: Value,
}

impl Transition<'_> {
    /// Whether a `when` holds of this change.
    pub fn holds(&self, condition: &Condition, environment: &Environment<'_>) -> bool {
        match condition {
            Condition::True => true,
            Condition::And(all) => all.iter().all(|one| self.holds(one, environment)),
            Condition::Or(any) => any.iter().any(|one| self.holds(one, environment)),
            Condition::Not(inner) => !self.holds(inner, environment),
            Condition::Test(operand, test) => self.test(operand, test, environment),
        }
    }

    fn test(&self, operand: &Operand, test: &Test, environment: &Environment<'_>) -> bool {
        let (before, after) = self.operand(operand);
        // A new row comes from nothing: what stays empty in it has not changed.
        let changed = before.as_ref().unwrap_or(&Value::Null) != &after;
        let counts_as = if after.is_null() { self.counts_as_of(operand) } else { None };
        let is = |value: &Value, expression: &Expression| {
            environment.value(expression, None).is_some_and(|wanted| equivalent(value, &wanted))
        };
        let becomes = |expression: &Expression| {
            is(&after, expression) || counts_as.is_some_and(|counts_as| is(counts_as, expression))
        };
        let ordered = counts_as.unwrap_or(&after);
        let order = |expression: &Expression| {
            environment.value(expression, None).and_then(|wanted| match (ordered.as_int(), wanted.as_int()) {
                (Some(a), Some(b)) => Some(a.cmp(&b)),
                _ => Some(ordered.to_text()?.cmp(&wanted.to_text()?)),
            })
        };
        match test {
            Test::Changed => changed,
            Test::Becomes(expression) => changed && becomes(expression),
            Test::Was(expression) => before.as_ref().is_some_and(|before| is(before, expression)),
            Test::Is(expression) => becomes(expression),
            Test::In(choices) => choices.iter().any(becomes),
            Test::Lt(expression) => order(expression).is_some_and(|order| order.is_lt()),
            Test::Le(expression) => order(expression).is_some_and(|order| order.is_le()),
            Test::Gt(expression) => order(expression).is_some_and(|order| order.is_gt()),
            Test::Ge(expression) => order(expression).is_some_and(|order| order.is_ge()),
            Test::Bits(bits) => ordered.as_int().is_some_and(|value| value & bits == *bits),
            Test::Like(pattern) => {
                let ignore_case = matches!(operand, Operand::Column(column) if column.ignores_case);
                ordered.to_text().is_some_and(|text| like(&text, pattern, ignore_case))
            }
            // Only the database knows: whoever asks has put the answer in its place (see `directory/steps.rs`).
            Test::InTable(_) => false,
        }
    }

    fn counts_as_of(&self, operand: &Operand) -> Option<&Value> {
        let CountsAs { column, json, value } = self.counts_as?;
        let (found, path) = match operand {
            Operand::Column(column) => (column, [].as_slice()),
            Operand::Json(column, path) => (column, path.as_slice()),
            Operand::Attribute(_) => return None,
        };
        (self.source.columns.get(*column)?.name == found.name && path == json).then_some(value)
    }

    /// What a test of `when` looks at, after the change.
    pub fn after_of(&self, operand: &Operand) -> Value {
        self.operand(operand).1
    }

    fn operand(&self, operand: &Operand) -> (Option<Value>, Value) {
        match operand {
            Operand::Column(column) => {
                let position = self.source.columns.iter().position(|known| known.name == column.name);
                let at = |row: &[Value]| position.and_then(|position| row.get(position)).cloned().unwrap_or_default();
                (self.before.map(at), at(self.after))
            }
            Operand::Attribute(index) => {
                let at = |values: &[Option<Json>]| {
                    values.get(*index).and_then(Option::as_ref).map(json_value).unwrap_or_default()
                };
                (self.attributes_before.map(at), at(self.attributes_after))
            }
            Operand::Json(column, path) => {
                let position = self.source.columns.iter().position(|known| known.name == column.name);
                let at = |row: &[Value]| {
                    let document = position.and_then(|position| row.get(position)).and_then(Value::to_text);
                    let document = document.and_then(|text| serde_json::from_str::<Json>(&text).ok());
                    let found = document
                        .and_then(|document| path.iter().try_fold(&document, |inner, key| inner.get(key)).cloned());
                    // As text, which is what SQL compares.
                    found
                        .map(|json| json_value(&json).to_text().map(Value::Text).unwrap_or_default())
                        .unwrap_or_default()
                };
                (self.before.map(at), at(self.after))
            }
        }
    }
}

/// `LIKE` as databases have it: `%` and `_`, no escapes.
fn like(text: &str, pattern: &str, ignore_case: bool) -> bool {
    let fold = |text: &str| match ignore_case {
        true => text.to_lowercase(),
        false => text.to_owned(),
    };
    let mut expression = String::from("(?s)^");
    for c in fold(pattern).chars() {
        match c {
            '%' => expression.push_str(".*"),
            '_' => expression.push('.'),
            c => expression.push_str(&regex::escape(&c.to_string())),
        }
    }
    expression.push('$');
    regex::Regex::new(&expression).is_ok_and(|expression| expression.is_match(&fold(text)))
}

/// Whether two values are the same to a database: `1`, `"1"` and true are; two texts that read as one number are not.
pub fn equivalent(a: &Value, b: &Value) -> bool {
    if let (Value::Text(a), Value::Text(b)) = (a, b) {
        return a == b;
    }
    match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b || !a.is_null() && a.to_text() == b.to_text(),
    }
}

fn json_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(number) => match number.as_i64() {
            Some(i) => Value::Int(i),
            None => Value::Text(number.to_string()),
        },
        Json::Array(_) | Json::Object(_) => Value::Text(json.to_string()),
    }
}

/// A bcrypt hash of 32 random bytes that are forgotten at once.
fn random_password() -> Value {
    let mut bytes = [0_u8; 32];
    if getrandom::fill(&mut bytes).is_err() {
        return Value::Null;
    }
    let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match bcrypt::hash_with_result(secret, 10) {
        Ok(parts) => Value::Text(parts.format_for_version(bcrypt::Version::TwoY)),
        Err(_) => Value::Null,
    }
}

impl Condition {
    /// Whether the condition means the same for every request, but for its instant: those of `where` must, because
    /// statements are made of them once.
    pub fn is_static(&self) -> bool {
        match self {
            Condition::True => true,
            Condition::And(all) | Condition::Or(all) => all.iter().all(Condition::is_static),
            Condition::Not(inner) => inner.is_static(),
            Condition::Test(Operand::Attribute(_), _) => false,
            Condition::Test(operand, test) => {
                let fits = |e: &Expression| {
                    let now = matches!(e, Expression::Variable(Variable::Now));
                    e.is_static() || (now && matches!(operand, Operand::Column(_)))
                };
                match test {
                    Test::Is(e) | Test::Lt(e) | Test::Le(e) | Test::Gt(e) | Test::Ge(e) => fits(e),
                    Test::In(all) => all.iter().all(fits),
                    Test::Like(_) | Test::Bits(_) => true,
                    Test::InTable(select) => select.filter.is_static(),
                    Test::Changed | Test::Becomes(_) | Test::Was(_) => false,
                }
            }
        }
    }
}

impl Expression {
    /// Whether the expression means the same for every request.
    pub fn is_static(&self) -> bool {
        match self {
            Expression::Literal(_) => true,
            Expression::Variable(_) | Expression::Template(_) => false,
            Expression::Select(select) => select.filter.is_static(),
            Expression::FirstOf(all) => all.iter().all(Expression::is_static),
        }
    }
}
