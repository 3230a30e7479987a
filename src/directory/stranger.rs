//! Whose row it is: an application whose database was restored from a backup gives keys out again, and an identity
//! provider remembers the old ones. What it writes to such an id must not land on whoever has it now.
//!
//! Remembered is, for each row that we wrote, what it was known by then: when it was made, and the values that are unique
//! or that people go by. A row is a stranger where none of it is the same any more:
//!
//! - with a `created` timestamp: it was made at another time, and every unique value is another one;
//! - without: at least two values are remembered (unique ones, the e-mail address, the employee number, an externalId in
//!   a column), and every one of them is another.
//!
//! So a row that the application renames stays who it is, and so does one whose timestamp was repaired. A row that was
//! never written by us is remembered from the first time on. Of groups without a `created` timestamp nothing is enough to
//! tell a rename from a stranger: they are never taken for one.

use super::plan::{self, MAIN, SourcePlan};
use super::row::{Locked, id_of};
use super::transaction::Fault;
use super::{Directory, Place, rows, unique};
use crate::adapter::{Binding, Source, Unique};
use crate::own::{Own, OwnTable};
use crate::sql::{Alias, Connection, Expr, Ident, Predicate, Select, Statement, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What a row is remembered by, in its own words: names, and digests of values.
type Remembered = BTreeMap<String, String>;

/// The name under which the time of its making is remembered.
const CREATED: &str = "created";

/// What rows of a source are known by: a name and a column.
pub(super) fn known_by(source: &Source) -> Vec<(String, usize)> {
    let mut known = Vec::new();
    known.extend(source.timestamps.created.map(|column| (CREATED.to_owned(), column)));
    for attribute in &source.attributes {
        let Binding::Column(binding) = &attribute.binding else { continue };
        let path = rows::path(attribute);
        let goes_by = matches!(path.as_str(), "externalId" | "emails.value") || path.ends_with(":User:employeeNumber");
        if binding.json.is_empty() && binding.hash.is_none() && (attribute.unique != Unique::No || goes_by) {
            let unique = attribute.unique != Unique::No;
            known.push((if unique { format!("={path}") } else { path }, binding.column));
        }
    }
    known
}

/// What a row is known by now; `value` gives its columns.
fn known<'v>(plan: &SourcePlan, value: impl Fn(usize, usize) -> Option<&'v Value>) -> Remembered {
    let mut known = Remembered::new();
    for (position, (name, column)) in plan.known_by.iter().enumerate() {
        let Some(value) = value(position, *column).filter(|value| !value.is_null()) else { continue };
        let folded = unique::fold(value);
        if !folded.is_empty() {
            let digest = Sha256::digest(folded.as_bytes());
            known.insert(name.clone(), digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect());
        }
    }
    known
}

/// Whether a row that is known by `now` is not the one that was remembered.
fn is_stranger(remembered: &Remembered, now: &Remembered) -> bool {
    let other = |name: &String, was: &String| now.get(name) != Some(was);
    let created = remembered.get(CREATED).map(|was| now.get(CREATED) != Some(was));
    let mut named = remembered.iter().filter(|(name, _)| *name != CREATED);
    match created {
        Some(made_at_another_time) => {
            let mut unique = named.filter(|(name, _)| name.starts_with('=')).peekable();
            made_at_another_time && unique.peek().is_some() && unique.all(|(name, was)| other(name, was))
        }
        None => remembered.len() >= 2 && named.all(|(name, was)| other(name, was)),
    }
}

fn parse(text: &str) -> Remembered {
    serde_json::from_str(text).unwrap_or_default()
}

/// What a row is remembered by, as a column of a statement.
pub(super) fn remembered(source: &Source, kind: &str, own: &Own, alias: Alias, fresh: Alias) -> Expr {
    let columns = vec![Expr::column(fresh, &Ident::new("identity"))];
    let select = Select::new(own.table(OwnTable::Identities), fresh, columns);
    Expr::Scalar(Box::new(select.filter(plan::own_row(fresh, kind, plan::key(source, alias)))))
}

/// [`remembered`], and behind it the columns that it speaks of.
pub(super) fn columns(source: &Source, plan: &SourcePlan, own: &Own, alias: Alias, fresh: Alias) -> Vec<Expr> {
    let mut all = vec![remembered(source, &plan.kind, own, alias, fresh)];
    let named = plan.known_by.iter().filter_map(|(_, column)| source.columns.get(*column));
    all.extend(named.map(|column| Expr::column(alias, &column.name)));
    all
}

/// Whether what [`columns`] read is of a stranger.
pub(super) fn read_stranger(plan: &SourcePlan, values: &[Value]) -> bool {
    let Some((Value::Text(text), values)) = values.split_first() else { return false };
    is_stranger(&parse(text), &known(plan, |position, _| values.get(position)))
}

/// Whether a whole row is of a stranger; `identity` is what [`remembered`] gave.
fn row_of_stranger(plan: &SourcePlan, row: &[Value], identity: Option<&str>) -> bool {
    identity.is_some_and(|text| is_stranger(&parse(text), &known(plan, |_, column| row.get(column))))
}

/// For the log: somebody should look.
fn report(place: &Place<'_>, id: &str) {
    tracing::warn!(
        resource_type = %place.type_.name,
        id,
        "the row with this id is not the one that was remembered: nothing is written to it. If it is, after all, \
         see docs/restored.md for how to say so"
    );
}

impl Directory {
    /// Remembers a row by what it is known by now, where that is not remembered already.
    pub(super) fn remember(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        row: &[Value],
        identity: Option<&str>,
    ) -> Result<(), Fault> {
        let now = known(place.plan, |_, column| row.get(column));
        if now.is_empty() || identity.is_some_and(|text| parse(text) == now) {
            return Ok(());
        }
        let id = row.first().and_then(Value::to_text).unwrap_or_default();
        let text = serde_json::to_string(&now).unwrap_or_default();
        self.own.set_identity(connection, &place.plan.kind, &id, &text)?;
        Ok(())
    }

    /// Whether a row that is held is a stranger's. Who waited for its lock may have read what is remembered as it was before
    /// the wait, beside the row as it is after it (PostgreSQL): so that is read again before it is believed.
    pub(super) fn holds_stranger(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        locked: &Locked,
    ) -> Result<bool, Fault> {
        if !row_of_stranger(place.plan, &locked.row, locked.identity.as_deref()) {
            return Ok(false);
        }
        let id = locked.row.first().and_then(Value::to_text).unwrap_or_default();
        let identity = self.own.identity(connection, &place.plan.kind, &id)?;
        let stranger = row_of_stranger(place.plan, &locked.row, identity.as_deref());
        if stranger {
            report(place, &locked.row.first().map(|key| id_of(place, key)).unwrap_or_default());
        }
        Ok(stranger)
    }

    /// A key that was just given out may be one that was given out before.
    pub(super) fn forget_predecessor(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        id: &str,
    ) -> Result<(), Fault> {
        if self.own.is_known(connection, &place.plan.kind, id)? {
            tracing::warn!(resource_type = %place.type_.name, id, "the application gave out an id anew: who had it is forgotten");
            self.own.forget(connection, &place.plan.kind, id)?;
        }
        Ok(())
    }

    /// Whether a row, visible or not, is a stranger's.
    pub(super) fn is_stranger(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        key: &Value,
    ) -> Result<bool, Fault> {
        let columns = columns(place.source, place.plan, &self.own, MAIN, Alias(1));
        let cast = place.source.columns.first().and_then(|column| column.cast.clone());
        let is_it = Predicate::eq(plan::key(place.source, MAIN), Expr::Value(key.clone(), cast));
        let select = Select::new(place.source.table.clone(), MAIN, columns).filter(is_it);
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.first().is_some_and(|row| read_stranger(place.plan, &row.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Remembered {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn strangers() {
        let ann = of(&[("created", "1"), ("=userName", "ann"), ("emails.value", "a@x")]);
        for (now, stranger) in [
            (ann.clone(), false),
            (of(&[("created", "1"), ("=userName", "anna"), ("emails.value", "anna@x")]), false),
            (of(&[("created", "2"), ("=userName", "ann")]), false),
            (of(&[("created", "2"), ("=userName", "bob"), ("emails.value", "a@x")]), true),
            (of(&[("=userName", "bob")]), true),
            (of(&[("created", "1")]), false),
        ] {
            assert_eq!(is_stranger(&ann, &now), stranger, "{now:?}");
        }
        let bare = of(&[("=userName", "ann"), ("emails.value", "a@x")]);
        for (now, stranger) in [
            (of(&[("=userName", "anna"), ("emails.value", "a@x")]), false),
            (of(&[("=userName", "ann")]), false),
            (of(&[("=userName", "bob"), ("emails.value", "b@x")]), true),
            (of(&[]), true),
        ] {
            assert_eq!(is_stranger(&bare, &now), stranger, "{now:?}");
        }
        // One value alone cannot tell a rename from somebody else.
        assert!(!is_stranger(&of(&[("=displayName", "a")]), &of(&[("=displayName", "b")])));
        assert!(!is_stranger(&of(&[("created", "1")]), &of(&[("created", "2")])));
        assert!(!is_stranger(&of(&[]), &ann));
    }
}
