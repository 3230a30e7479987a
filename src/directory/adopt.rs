//! A POST of what is there already: 409, which says where it is to whoever may see it, or, by `adopt: link`, the row that
//! was there before any identity server. Nothing is adopted that an identity server ever wrote.

use super::change::Writing;
use super::members::Collections;
use super::permissions;
use super::read::{CollectionsWanted, Found};
use super::row::{Locked, id_of};
use super::rows;
use super::transaction::Fault;
use super::unique::Holder;
use super::update::Change;
use super::{Caller, Directory, Place, Precondition};
use crate::adapter::Binding;
use crate::scim::{CollectionChange, Error, Object, Op, Operation, Patch, Projection};
use crate::sql::{Connection, Failure, Value};
use serde_json::Value as Json;

impl Directory {
    /// The answer to a POST whose unique value another row has; `Ok` where that row is adopted.
    pub(super) fn taken(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        holder: &Holder,
        resource: &Object,
        collections: &Collections,
        projection: &Projection,
    ) -> Result<Found, Fault> {
        let place = writing.place.beside(holder.source);
        let place = place.ok_or_else(|| Error::internal("the holder's source is not there"))?;
        if writing.caller.server.adopt
            && std::ptr::eq(place.source, writing.place.source)
            && self.is_unlinked(connection, writing, &holder.key)?
        {
            return self.adopt(connection, writing, &holder.key, resource, collections, projection);
        }
        Err(self.conflict(connection, writing, &place, holder)?.into())
    }

    /// Whether the row is there for the caller and no identity server ever wrote it or gave it an externalId. It stays
    /// locked.
    fn is_unlinked(&self, connection: &mut dyn Connection, writing: &Writing<'_>, key: &Value) -> Result<bool, Fault> {
        let place = writing.place;
        let Some(Locked { row, identity: None, .. }) = self.lock(connection, &place, key, &writing.environment)? else {
            return Ok(false);
        };
        let external_id = place.plan.external_id.and_then(|index| place.source.attributes.get(index));
        if let Some(Binding::Column(binding)) = external_id.map(|attribute| &attribute.binding)
            && row.get(binding.column).is_some_and(|value| !value.is_null() && value.to_text().as_deref() != Some(""))
        {
            return Ok(false);
        }
        // Who waited for the row may have read what is remembered as it was before the wait.
        let (kind, id) = (&place.plan.kind, key.to_text().unwrap_or_default());
        Ok(self.own.identity(connection, kind, &id)?.is_none() && !self.own.is_linked(connection, kind, &id)?)
    }

    /// What the POST says is written over the row; what it does not mention stays, and members only join.
    fn adopt(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        key: &Value,
        resource: &Object,
        collections: &Collections,
        projection: &Projection,
    ) -> Result<Found, Fault> {
        let place = writing.place;
        let mut operations =
            vec![Operation { op: Op::Replace, path: None, value: Some(Json::Object(resource.clone())) }];
        let mut joining = Object::new();
        for (name, changes) in collections {
            let elements = changes.iter().flat_map(|change| match change {
                CollectionChange::Replace(elements) => elements.as_slice(),
                _ => &[],
            });
            let elements: Vec<Json> = elements.cloned().map(Json::Object).collect();
            if !elements.is_empty() {
                joining.insert(name.clone(), Json::Array(elements));
            }
        }
        if !joining.is_empty() {
            operations.push(Operation { op: Op::Add, path: None, value: Some(Json::Object(joining)) });
        }
        let change = Change::Adopt(&Patch { operations });
        let adopted = self.update(connection, writing, key, &change, &Precondition::default(), projection)?;
        let id = id_of(&place, key);
        tracing::info!(resource_type = %place.type_.name, id, server = %writing.caller.server.name, "a row that was there before was adopted");
        match adopted {
            Some(updated) => Ok(updated.found),
            None => Err(Error::not_found(&place.type_.name, &id).into()),
        }
    }

    /// 409 uniqueness; with the holder's URL where the caller may see it.
    fn conflict(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        place: &Place<'_>,
        holder: &Holder,
    ) -> Result<Error, Fault> {
        let caller = writing.caller;
        let type_ = &place.type_.name;
        let mut error = Error::uniqueness(&holder.attribute);
        let none = CollectionsWanted::none();
        if self.read_one(connection, caller, place, &holder.key, &none)?.is_some() {
            if caller.server.may.allow(type_, permissions::Operation::Read) {
                error.location = Some(rows::location(&caller.base_url, place.type_, &id_of(place, &holder.key)));
            }
        } else {
            count_out_of_sight(caller);
            tracing::warn!(
                resource_type = %type_,
                attribute = %holder.attribute,
                row = %holder.key.to_text().unwrap_or_default(),
                server = %caller.server.name,
                request_id = %caller.request_id,
                "a create was refused for a row that this identity server cannot see (outside `where` or its scope, or \
                 retired in another table): it will try again for ever. Widen the scope, let the adapter `revive` it, or \
                 rename the row"
            );
        }
        Ok(error)
    }
}

/// A client looks for it, finds nothing, creates it, and so on for ever: only a person can end that.
fn count_out_of_sight(caller: &Caller) {
    metrics::counter!("scimshim_conflicts_out_of_sight_total", "server" => caller.server.name.clone()).increment(1);
}

/// Notes a create whose name a retired account has that is another's by its externalId: it is not given away.
pub(super) fn note_retired(caller: &Caller, place: &Place<'_>, key: &Value) {
    count_out_of_sight(caller);
    tracing::warn!(
        resource_type = %place.type_.name,
        row = %key.to_text().unwrap_or_default(),
        server = %caller.server.name,
        request_id = %caller.request_id,
        "a create was refused: its name is held by a retired account whose externalId is another. It will try again for \
         ever. If it is the same person, let the client send the old externalId once; if not, rename the row"
    );
}

/// Notes a create that a unique index of the database refused after all: nothing that the adapter takes for unique, and
/// sees, has the value, so it is a row that no filter will ever show.
pub(super) fn note_out_of_sight(caller: &Caller, place: &Place<'_>, fault: &Fault) {
    let Fault::Sql(error) = fault else { return };
    if error.failure != Failure::Unique {
        return;
    }
    count_out_of_sight(caller);
    tracing::warn!(
        resource_type = %place.type_.name,
        table = %place.source.table,
        server = %caller.server.name,
        request_id = %caller.request_id,
        "a create was refused by a unique index of the database: a row that the adapter does not look at has the value \
         (outside `where`, or in a column without `unique`). It will try again for ever. Let the adapter say `unique: all` \
         and `revive` such rows, or mend the row"
    );
}
