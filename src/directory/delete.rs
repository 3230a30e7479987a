//! DELETE, as the adapter says: the row goes, is marked, or is deactivated. Its id is 404 afterwards.

use super::change::Writing;
use super::journal::Done;
use super::permissions::Operation;
use super::read::CollectionsWanted;
use super::row::{by_key, protected};
use super::rows;
use super::transaction::Fault;
use super::update::Change;
use super::wanted::wanted;
use super::{Caller, Directory, Place, Precondition};
use crate::adapter::{DeleteHow, Environment, Transition};
use crate::scim::{Error, Projection};
use crate::sql::{Connection, Delete, Statement, Value};

/// A DELETE that may be carried out.
pub(super) struct Deletion<'a> {
    place: Place<'a>,
    key: Value,
    how: DeleteHow,
}

impl Directory {
    /// Deletes a resource.
    pub fn delete(&self, caller: &Caller, type_: usize, id: &str, condition: &Precondition) -> Result<(), Error> {
        let deletion = self.deletion(caller, type_, id)?;
        self.write(
            caller,
            |connection| self.delete_within(connection, caller, &deletion, id, condition),
            |()| Done { resource_id: Some(id.to_owned()), ..Done::of(204, deletion.place.type_, None) },
        )
    }

    /// What a DELETE comes to, as far as that can be said without the database.
    pub(super) fn deletion(&self, caller: &Caller, type_: usize, id: &str) -> Result<Deletion<'_>, Error> {
        let (place, key) = self.find(type_, id)?;
        let may = &caller.server.may;
        let how = match place.source.delete.how {
            DeleteHow::Refuse => {
                return Err(Error::forbidden(format!(
                    "a {} cannot be deleted: the adapter refuses it",
                    place.type_.name
                )));
            }
            how if may.allow(&place.type_.name, Operation::Delete) => how,
            _ if may.allow(&place.type_.name, Operation::Deactivate) && place.plan.active.is_some() => {
                DeleteHow::Deactivate
            }
            _ => {
                may.check(&place.type_.name, Operation::Delete)?;
                DeleteHow::Refuse
            }
        };
        Ok(Deletion { place, key, how })
    }

    /// Deletes a resource inside a transaction.
    pub(super) fn delete_within(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        deletion: &Deletion<'_>,
        id: &str,
        condition: &Precondition,
    ) -> Result<(), Fault> {
        let Deletion { place, key, how } = deletion;
        let address = caller.address();
        let environment = self.environment(caller, chrono::Utc::now(), &address);
        let mut writing = Writing { caller, place: *place, environment, secrets: &[], claims: Vec::new() };
        self.delete_in(connection, &mut writing, key, id, *how, condition)?;
        self.release(connection, &writing.claims)?;
        Ok(())
    }

    fn delete_in(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        key: &Value,
        id: &str,
        how: DeleteHow,
        condition: &Precondition,
    ) -> Result<(), Fault> {
        let place = writing.place;
        let not_found = || Error::not_found(&place.type_.name, id);
        let locked = self.lock(connection, &place, key, &writing.environment)?.ok_or_else(not_found)?;
        if self.holds_stranger(connection, &place, &locked)? {
            return Err(not_found().into());
        }
        let exact = if condition.is_empty() { CollectionsWanted::none() } else { CollectionsWanted::versioned(&place) };
        // Read after the lock was got: whoever held it may have retired the row.
        let current = self.read_one(connection, writing.caller, &place, key, &exact)?.ok_or_else(not_found)?;
        if let (false, Some(version)) = (condition.is_empty(), &current.version) {
            condition.check(version)?;
        }
        if locked.protected {
            return Err(protected(&place).into());
        }
        self.brake(connection, writing)?;
        if how == DeleteHow::Deactivate {
            return self.retire(connection, writing, key, id, "deactivated");
        }
        let rules = &place.source.delete;
        let was = wanted(place.source, place.plan, &current.resource);
        let environment = Environment { id: Some(key), row: Some((place.source, &locked.row)), ..writing.environment };
        let unchanged = vec![false; was.len()];
        let shown = rows::shown(place.source, &locked.row, was.clone(), &unchanged, &environment);
        let environment = Environment { attributes: Some(&shown), ..environment };
        if let Some(says) = self.refused(connection, &mut writing.claims, &rules.guards, &environment, None)? {
            if rules.blocked_deactivates && place.plan.active.is_some() {
                return self.retire(connection, writing, key, id, &says);
            }
            return Err(Error::conflict(says).into());
        }
        if how == DeleteHow::Row {
            self.unlink(connection, writing, &locked.row)?;
        }
        let transition = |after| Transition {
            source: place.source,
            before: Some(&locked.row),
            after,
            attributes_before: Some(&was),
            attributes_after: &was,
            counts_as: None,
        };
        self.run_steps(connection, &rules.before, &environment, Some(&transition(&locked.row)))?;
        if how == DeleteHow::Row {
            self.lift(connection, &place, &locked.row)?;
        }
        let after = self.remove(connection, &place, key, how, &locked.row, &environment)?;
        let environment = Environment { row: Some((place.source, &after)), ..environment };
        self.run_steps(connection, &rules.then, &environment, Some(&transition(&after)))?;
        let text = key.to_text().unwrap_or_default();
        if how == DeleteHow::Row {
            self.own.forget(connection, &place.plan.kind, &text)?;
        } else if self.lock(connection, &place, key, &writing.environment)?.is_some() {
            // `set` did not take the row out of `where`: a tombstone does.
            self.bury(connection, writing, &text, "deleted")?;
        }
        Ok(())
    }

    fn remove(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        key: &Value,
        how: DeleteHow,
        row: &[Value],
        environment: &Environment<'_>,
    ) -> Result<Vec<Value>, Fault> {
        let mut after = row.to_vec();
        if how == DeleteHow::Row {
            let delete = Delete { table: place.source.table.clone(), filter: by_key(place, key) };
            connection.execute(&Statement::Delete(delete), &[])?;
        } else {
            let set = &place.source.delete.set;
            for (id, expression) in set {
                let value = environment.value(expression, place.source.columns.get(*id));
                if let (Some(value), Some(stored)) = (value, after.get_mut(*id)) {
                    *stored = value;
                }
            }
            self.update_row(connection, place, key, &[], set, environment)?;
        }
        Ok(after)
    }

    /// As PATCH active=false, with its guards and steps; a tombstone then hides the row.
    fn retire(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        key: &Value,
        id: &str,
        reason: &str,
    ) -> Result<(), Fault> {
        let place = writing.place;
        let change = Change::Deactivate;
        let nothing = Projection { attributes: Some(Vec::new()), excluded: Vec::new() };
        self.update(connection, writing, key, &change, &Precondition::default(), &nothing)?
            .ok_or_else(|| Error::not_found(&place.type_.name, id))?;
        tracing::info!(resource_type = %place.type_.name, id, reason, "DELETE deactivated instead");
        let text = key.to_text().unwrap_or_default();
        self.bury(connection, writing, &text, reason)?;
        Ok(())
    }
}
