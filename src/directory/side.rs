//! One side of a link: the elements that resources at hand have through it. Members of a group are one side,
//! groups of a user the other.

use super::plan::{self, Display, Reverse};
use super::rows;
use crate::adapter::{Adapter, Aliases, Column, Environment, Link, ResourceType, Source};
use crate::own::Own;
use crate::scim::Object;
use crate::sql::{Alias, ColumnKind, Expr, Join, JoinKind, Predicate, Select, Value};
use serde_json::Value as Json;

/// A link, seen from the resources whose elements are read.
pub(super) struct Side<'a> {
    pub link: &'a Link,
    /// The link's column that points to the resources at hand, and the column of their table it holds.
    pub near: (&'a Column, usize),
    /// The same for the elements.
    pub far: (&'a Column, usize),
    /// The elements' type.
    pub type_: &'a ResourceType,
    /// Their source.
    pub source: &'a Source,
}

impl<'a> Side<'a> {
    /// The members that a link gives its own resources.
    pub fn of_link(adapter: &'a Adapter, link: &'a Link) -> Option<Self> {
        let (_, type_) = plan::find_type(adapter, &link.resource_type)?;
        let near = (&link.parent.0, link.parent.1);
        Some(Self { link, near, far: (&link.child.0, link.child.1), type_, source: type_.sources.first()? })
    }

    /// The groups that another type's link gives its members.
    pub fn of_reverse(adapter: &'a Adapter, reverse: &Reverse) -> Option<Self> {
        let type_ = adapter.resource_types.get(reverse.type_)?;
        let source = type_.sources.get(reverse.source)?;
        let (_, link) = source.link(reverse.attribute)?;
        Some(Self { link, near: (&link.child.0, link.child.1), far: (&link.parent.0, link.parent.1), type_, source })
    }

    /// All elements: the near column, the element's key, what its name needs. Which resources they are of is left to
    /// the caller to say.
    pub fn select(
        &self,
        own: &Own,
        environment: &Environment<'_>,
        (link, target): (Alias, Alias),
        aliases: &mut Aliases,
    ) -> Select {
        let mut columns = vec![Expr::column(link, &self.near.0.name), plan::key(self.source, target)];
        for column in self.display_columns() {
            columns.push(Expr::column(target, &column.name));
        }
        let mut select = Select::new(self.link.table.clone(), link, columns);
        if let Some(there) = self.source.columns.get(self.far.1) {
            select.joins.push(Join {
                kind: JoinKind::Inner,
                table: self.source.table.clone(),
                alias: target,
                on: Predicate::eq(Expr::column(target, &there.name), Expr::column(link, &self.far.0.name)),
            });
        }
        let kind = plan::own_kind(self.type_, self.source);
        select.filter = environment.predicate(&self.link.filter, Some(link), aliases).and(plan::visible(
            self.source,
            &kind,
            own,
            target,
            environment,
            aliases,
        ));
        select
    }

    fn display_columns(&self) -> Vec<&'a Column> {
        let display = Display::of(self.source);
        let columns = display.iter().flat_map(|display| &display.columns);
        columns.filter_map(|column| self.source.columns.get(*column)).collect()
    }

    /// Whether JSON carries the key and the name without loss, so that the elements can come along in another
    /// statement's row.
    pub fn fits_json(&self) -> bool {
        let plain = |column: &Column| {
            matches!(
                column.kind,
                ColumnKind::Text(_) | ColumnKind::Integer { .. } | ColumnKind::Uuid | ColumnKind::Enum(_)
            )
        };
        plain(self.near.0)
            && self.source.columns.first().is_some_and(plain)
            && self.display_columns().into_iter().all(plain)
    }

    /// One element, from its key and the columns of its name.
    pub fn element(
        &self,
        adapter: &Adapter,
        environment: &Environment<'_>,
        display: Option<&Display>,
        base_url: &str,
        type_word: &str,
        row: &[Value],
    ) -> Option<Json> {
        let (key, columns) = row.split_first()?;
        let id = rows::scim_id(self.source, key);
        let mut element = Object::new();
        element.insert("$ref".into(), Json::String(rows::location(base_url, self.type_, &id)));
        if let Some(name) = rows::display_name(self.source, display, adapter, columns, environment) {
            element.insert("display".into(), Json::String(name));
        }
        element.insert("value".into(), Json::String(id));
        element.insert("type".into(), Json::from(type_word));
        Some(Json::Object(element))
    }
}

/// The rows of [`Expr::Rows`], sorted by their key; `None` where it is not what was asked for.
pub(super) fn rows_of(value: &Value) -> Option<Vec<Vec<Value>>> {
    let Value::Text(text) = value else {
        return value.is_null().then(Vec::new);
    };
    let mut rows: Vec<Vec<Value>> = serde_json::from_str::<Vec<Vec<Json>>>(text)
        .ok()?
        .into_iter()
        .map(|row| row.into_iter().map(plain).collect())
        .collect();
    rows.sort_by(|a, b| match (a.first().and_then(Value::as_int), b.first().and_then(Value::as_int)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.first().and_then(Value::to_text).cmp(&b.first().and_then(Value::to_text)),
    });
    Some(rows)
}

fn plain(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(b),
        Json::String(text) => Value::Text(text),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(i), _) => Value::Int(i),
            (None, Some(u)) => Value::UInt(u),
            (None, None) => Value::Text(number.to_string()),
        },
        Json::Array(_) | Json::Object(_) => Value::Text(json.to_string()),
    }
}
