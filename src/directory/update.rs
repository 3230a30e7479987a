//! PUT and PATCH: the row is locked, the difference computed, and only that is written.

use super::activity::{self, Activity};
use super::change::{Assignment, Secret, Wish, Writing, check_required};
use super::child_rows::{ChildRows, concerned, unnamed};
use super::journal::Done;
use super::members::{Collections, MemberChange};
use super::omitted::Wishes;
use super::permissions;
use super::read::{CollectionsWanted, Found};
use super::read_only::writable_here;
use super::row::{Locked, protected};
use super::rows;
use super::transaction::Fault;
use super::wanted::wanted;
use super::{Answer, Caller, Directory, PatchAnswer, Patched, Place, Precondition};
use crate::adapter::{CountsAs, Environment, Transition};
use crate::scim::{self, CollectionChange, Error, Object, Op, Operation, Patch, Projection};
use crate::sql::{Connection, Value};
use indexmap::IndexMap;
use serde_json::Value as Json;

/// What a request makes of a resource.
pub(super) enum Change<'a> {
    /// PUT: these attributes, and none of those that are not here.
    Replace {
        /// In normal form, without what is read-only.
        resource: &'a Object,
        /// The collections that the request names; the others are left.
        collections: &'a Collections,
        /// Attributes in child rows that the request does not name: they are left, too.
        left: &'a [usize],
        /// It is a POST that brings a retired row back: who may create may do that.
        created: bool,
    },
    /// PATCH.
    Patch(&'a Patch),
    /// A PUT that leaves what it does not mention.
    Merge(&'a Patch),
    /// What a POST of a bulk request had to leave out, because it refers to what came later: whoever may create may
    /// have it whole.
    Complete(&'a Patch),
    /// A POST of what was there before any identity server: what it says, written over the row.
    Adopt(&'a Patch),
    /// `active: false`, as a DELETE that may not delete does it.
    Deactivate,
}

/// A PUT or PATCH of one resource.
pub(super) struct Edit<'a> {
    pub place: Place<'a>,
    key: Value,
    what: What<'a>,
}

/// What it asks.
pub(super) enum What<'a> {
    Replace {
        resource: Object,
        collections: Collections,
        left: Vec<usize>,
        values: Vec<Option<Json>>,
    },
    /// A PUT that leaves what it does not mention.
    Merge(Patch),
    Patch(&'a Patch),
    /// What the POST of a bulk request had to leave out.
    Complete(&'a Patch),
}

impl<'a> Edit<'a> {
    /// Of a resource that was found.
    pub fn of((place, key): (Place<'a>, Value), what: What<'a>) -> Self {
        Self { place, key, what }
    }

    /// What it makes of the resource.
    fn change(&self) -> Change<'_> {
        match &self.what {
            What::Replace { resource, collections, left, .. } => {
                Change::Replace { resource, collections, left, created: false }
            }
            What::Merge(patch) => Change::Merge(patch),
            What::Patch(patch) => Change::Patch(patch),
            What::Complete(patch) => Change::Complete(patch),
        }
    }
}

/// What came of it.
pub(super) struct Updated {
    pub found: Found,
    /// The resource has members, which the answer would carry whole.
    pub has_members: bool,
}

impl Updated {
    /// Whether a PATCH that came to this is answered with 204.
    pub fn is_unanswered(&self, caller: &Caller, projection: &Projection) -> bool {
        is_unanswered(caller, self.has_members, projection)
    }
}

impl Directory {
    /// Replaces a resource.
    pub fn replace(
        &self,
        caller: &Caller,
        type_: usize,
        id: &str,
        body: Object,
        condition: &Precondition,
        projection: &Projection,
    ) -> Result<Answer, Error> {
        let edit = self.replacing(caller, type_, id, body)?;
        let secrets = self.secrets_of(caller, &edit)?;
        self.write(
            caller,
            |connection| {
                let updated = self.edit_within(connection, caller, &edit, id, condition, projection, &secrets)?;
                Ok(self.answer(&edit.place, updated.found, projection))
            },
            |answer| Done::of(200, edit.place.type_, Some(answer)),
        )
    }

    /// What a PUT asks for, checked as far as that is possible without the database.
    pub(super) fn replacing(&self, caller: &Caller, type_: usize, id: &str, body: Object) -> Result<Edit<'_>, Error> {
        self.may_write(caller, type_)?;
        let (place, key) = self.find(type_, id)?;
        if caller.server.put_keeps_unmentioned {
            // What is mentioned is replaced, and null, "" and [] clear it: a PATCH without path says the same.
            let whole = Operation { op: Op::Replace, path: None, value: Some(Json::Object(body)) };
            return Ok(Edit { place, key, what: What::Merge(Patch { operations: vec![whole] }) });
        }
        let left = unnamed(&place, &body);
        let (resource, collections) = self.incoming(&place, body)?;
        let values = wanted(place.source, place.plan, &resource);
        check_required(&place, &values, None)?;
        Ok(Edit { place, key, what: What::Replace { resource, collections, left, values } })
    }

    /// Hashes the passwords in it. What they are does not depend on the resource.
    pub(super) fn secrets_of(&self, caller: &Caller, edit: &Edit<'_>) -> Result<Vec<Secret>, Error> {
        let Edit { place, key, what } = edit;
        let patch: &Patch = match what {
            What::Replace { values, .. } => return self.secrets(place, Some(key), values),
            What::Merge(patch) => patch,
            What::Patch(patch) | What::Complete(patch) => patch,
        };
        match patch.apply(&Object::new(), &place.type_.schema, &self.patch_options(caller, place)) {
            Ok(outcome) => self.secrets(place, Some(key), &wanted(place.source, place.plan, &outcome.resource)),
            Err(_) => Ok(Vec::new()),
        }
    }

    /// Applies a PATCH.
    pub fn patch(
        &self,
        caller: &Caller,
        type_: usize,
        id: &str,
        patch: &Patch,
        condition: &Precondition,
        projection: &Projection,
    ) -> Result<Patched, Error> {
        let edit = self.patching(caller, type_, id, patch)?;
        let secrets = self.secrets_of(caller, &edit)?;
        let place = &edit.place;
        self.write(
            caller,
            |connection| {
                let updated = self.edit_within(connection, caller, &edit, id, condition, projection, &secrets)?;
                let unanswered = updated.is_unanswered(caller, projection);
                let answer = self.answer(place, updated.found, projection);
                Ok(if unanswered {
                    Patched::NoContent { version: answer.version, location: answer.location }
                } else {
                    Patched::Resource(answer)
                })
            },
            |patched| match patched {
                Patched::Resource(answer) => Done::of(200, place.type_, Some(answer)),
                Patched::NoContent { .. } => {
                    Done { resource_id: Some(id.to_owned()), ..Done::of(204, place.type_, None) }
                }
            },
        )
    }

    /// What a PATCH is about.
    pub(super) fn patching<'a>(
        &'a self,
        caller: &Caller,
        type_: usize,
        id: &str,
        patch: &'a Patch,
    ) -> Result<Edit<'a>, Error> {
        self.may_write(caller, type_)?;
        Ok(Edit::of(self.find(type_, id)?, What::Patch(patch)))
    }

    /// 403 for who may change nothing; what else a change needs is known when it is.
    fn may_write(&self, caller: &Caller, type_: usize) -> Result<(), Error> {
        let name = &self.type_(type_)?.0.name;
        let may = &caller.server.may;
        if may.allow(name, permissions::Operation::Deactivate) {
            return Ok(());
        }
        may.check(name, permissions::Operation::Update)
    }

    /// Changes a resource inside a transaction.
    #[expect(clippy::too_many_arguments, reason = "one call, all of it needed")]
    pub(super) fn edit_within(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        edit: &Edit<'_>,
        id: &str,
        condition: &Precondition,
        projection: &Projection,
        secrets: &[Secret],
    ) -> Result<Updated, Fault> {
        let address = caller.address();
        let environment = self.environment(caller, chrono::Utc::now(), &address);
        let mut writing = Writing { caller, place: edit.place, environment, secrets, claims: Vec::new() };
        let updated = self
            .update(connection, &mut writing, &edit.key, &edit.change(), condition, projection)?
            .ok_or_else(|| Error::not_found(&edit.place.type_.name, id))?;
        self.release(connection, &writing.claims)?;
        Ok(updated)
    }

    /// A request body in normal form, and the collections it names.
    pub(super) fn incoming(&self, place: &Place<'_>, body: Object) -> Result<(Object, Collections), Error> {
        let schema = &place.type_.schema;
        // An empty list empties a collection; one that is not there leaves it. Normal form has neither.
        let mut collections = IndexMap::new();
        for name in &place.type_plan.collections {
            let given = body.iter().any(|(key, _)| {
                key.eq_ignore_ascii_case(name)
                    || key.rsplit_once(':').is_some_and(|(_, last)| last.eq_ignore_ascii_case(name))
            });
            if given {
                collections.insert(name.clone(), vec![CollectionChange::RemoveAll]);
            }
        }
        let mut dropped = Vec::new();
        let mut resource = scim::normalise(body, schema, &mut dropped)?;
        if !dropped.is_empty() {
            tracing::debug!(attributes = ?without_filters(&dropped), "attributes that are not mapped were left out");
        }
        scim::strip_read_only(&mut resource, schema);
        for (name, changes) in &mut collections {
            if let Some(Json::Array(elements)) = resource.remove(name) {
                let elements = elements.into_iter().filter_map(|element| match element {
                    Json::Object(element) => Some(element),
                    _ => None,
                });
                *changes = vec![CollectionChange::Replace(elements.collect())];
            }
        }
        // What is read-only in this table, if not in others, is left out as what is read-only everywhere (RFC 7644 3.5.1).
        collections.retain(|name, _| place.writes_collection(name));
        Ok((resource, collections))
    }

    fn patch_options<'a>(&self, caller: &Caller, place: &Place<'a>) -> scim::patch::Options<'a> {
        scim::patch::Options {
            collections: &place.type_plan.collections,
            single_valued: &place.type_plan.single_valued,
            strict_no_target: caller.server.strict_no_target,
        }
    }

    /// Changes one row inside a transaction; `None` where there is no such row.
    pub(super) fn update(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        key: &Value,
        change: &Change<'_>,
        condition: &Precondition,
        projection: &Projection,
    ) -> Result<Option<Updated>, Fault> {
        let (place, caller) = (writing.place, writing.caller);
        let Some(locked) = self.lock(connection, &place, key, &writing.environment)? else {
            return Ok(None);
        };
        let exact = if condition.is_empty() { CollectionsWanted::none() } else { CollectionsWanted::versioned(&place) };
        if self.holds_stranger(connection, &place, &locked)? {
            return Ok(None);
        }
        let exact = exact.with_rows(&concerned(&place, change));
        let Some(current) = self.read_one(connection, caller, &place, key, &exact)? else {
            return Ok(None);
        };
        if let (false, Some(version)) = (condition.is_empty(), &current.version) {
            condition.check(version)?;
        }
        let mut before = current.resource;
        for name in &place.type_plan.collections {
            before.remove(name);
        }
        let (mut after, mut collections, lenient) = self.intend(&place, &before, change, caller)?;
        let was = wanted(place.source, place.plan, &before);
        let mut will = wanted(place.source, place.plan, &after);
        let mut wishes = Wishes { after: &mut after, will: &mut will, collections: &mut collections };
        self.leave(&place, caller, change, (&before, &was, &current.row.0), &mut wishes)?;
        let changed: Vec<bool> = was.iter().zip(&will).map(|(was, will)| was != will).collect();
        let activity = self.activity(&place, &was, &will, &changed);
        let seen = activity::seen(&place, activity, &will);
        let counts_as = activity::counts_as(&place, activity);
        if matches!(change, Change::Patch(_) | Change::Merge(_) | Change::Complete(_) | Change::Adopt(_)) {
            check_required(&place, &will, Some(&changed))?;
            writable_here(&place, &changed, &collections)?;
        }
        // A DELETE that deactivates and a POST that brings back were allowed as what they are.
        if matches!(
            change,
            Change::Patch(_) | Change::Merge(_) | Change::Adopt(_) | Change::Replace { created: false, .. }
        ) {
            self.may_change(&place, caller, activity, &changed, &collections)?;
        }
        // A DELETE that deactivates was counted as what it is, and nobody loses what a POST only brings back.
        if activity == Activity::Ends
            && !matches!(change, Change::Deactivate | Change::Replace { created: true, .. })
            && activity::was_active(&place, &was, &locked.row)
        {
            self.brake(connection, writing)?;
        }
        let environment = Environment { id: Some(key), row: Some((place.source, &locked.row)), ..writing.environment };
        let shown = rows::shown(place.source, &locked.row, seen.clone(), &changed, &environment);
        let environment = Environment { attributes: Some(&shown), ..environment };
        let children = &current.children;
        let stage = Stage {
            place,
            locked: &locked,
            was: &was,
            will: &will,
            seen: &seen,
            counts_as: counts_as.as_ref(),
            changed: &changed,
            lenient,
            children,
        };
        let written = writing
            .within(environment, |writing| self.write_difference(connection, &stage, writing, key, &collections))?;
        let wanted_now = self.collections_wanted(caller, &place, projection);
        // An answer of 204 needs none of the members.
        let has_members = !place.plan.links.is_empty();
        let unanswered = matches!(change, Change::Patch(_)) && is_unanswered(caller, has_members, projection);
        let answered = if unanswered { CollectionsWanted::none() } else { wanted_now };
        let rewritten = place.plan.children.iter().map(|child| child.attribute);
        let rewritten: Vec<usize> = rewritten.filter(|index| changed.get(*index) == Some(&true)).collect();
        let answered = answered.with_rows(&rewritten);
        let Some(mut found) = self.read_one(connection, caller, &place, key, &answered)? else {
            return Err(Error::forbidden(
                "the change would take the resource out of the rows that exist for this identity server",
            )
            .into());
        };
        // An adopted row is the identity server's from now on, also where it was already as it should be.
        if written || matches!(change, Change::Adopt(_)) {
            self.remember(connection, &place, &found.row.0, locked.identity.as_deref())?;
        }
        let reader = self.reader(&place, caller);
        if self.keep_forms(connection, writing, &reader, Some(&before), &after, &found)? {
            if locked.protected {
                return Err(protected(&place).into());
            }
            if let Some(again) = self.read_one(connection, caller, &place, key, &answered)? {
                found = again;
            }
        }
        Ok(Some(Updated { found, has_members }))
    }

    /// The resource as the client wants it.
    fn intend(
        &self,
        place: &Place<'_>,
        before: &Object,
        change: &Change<'_>,
        caller: &Caller,
    ) -> Result<(Object, Collections, bool), Error> {
        match change {
            Change::Replace { resource, collections, left, .. } => {
                let mut after = (*resource).clone();
                for target in left.iter().filter_map(|index| Some(&place.source.attributes.get(*index)?.target)) {
                    let extension = target.extension.as_deref();
                    if let Some(value) = rows::get(before, extension, &target.attribute, None) {
                        rows::put(&mut after, extension, &target.attribute, value.clone());
                    }
                }
                Ok((after, (*collections).clone(), true))
            }
            Change::Patch(patch) | Change::Merge(patch) | Change::Complete(patch) | Change::Adopt(patch) => {
                let outcome = patch.apply(before, &place.type_.schema, &self.patch_options(caller, place))?;
                if !outcome.ignored.is_empty() {
                    tracing::debug!(attributes = ?without_filters(&outcome.ignored), "attributes that are not mapped were left out");
                }
                Ok((outcome.resource, outcome.collections, false))
            }
            Change::Deactivate => {
                let mut after = before.clone();
                after.insert("active".into(), Json::Bool(false));
                Ok((after, IndexMap::new(), false))
            }
        }
    }

    fn may_change(
        &self,
        place: &Place<'_>,
        caller: &Caller,
        activity: Activity,
        changed: &[bool],
        collections: &Collections,
    ) -> Result<(), Error> {
        let may = &caller.server.may;
        if activity == Activity::Ends {
            may.check(&place.type_.name, permissions::Operation::Deactivate)?;
        }
        let more = changed.iter().enumerate().any(|(index, changed)| *changed && Some(index) != place.plan.active)
            || activity == Activity::Changes
            || !collections.is_empty();
        if more { may.check(&place.type_.name, permissions::Operation::Update) } else { Ok(()) }
    }

    /// Writes what is to be written; whether that was anything.
    fn write_difference(
        &self,
        connection: &mut dyn Connection,
        stage: &Stage<'_>,
        writing: &mut Writing<'_>,
        key: &Value,
        collections: &Collections,
    ) -> Result<bool, Fault> {
        let Stage { place, locked, was, will, seen, counts_as, changed, lenient, children } = *stage;
        let wish = Wish { values: will, changed, lenient, documents: &[] };
        let (holder, beside) = self.holder(connection, writing, will, changed, Some(key))?;
        if let Some(holder) = holder {
            return Err(Error::uniqueness(&holder.attribute).into());
        }
        let assigned = self.columns(connection, writing, &wish)?;
        if let Some(holder) = self.holder_beside(connection, writing, &beside, will, Some(key), &assigned)? {
            return Err(Error::uniqueness(&holder.attribute).into());
        }
        let mut after = locked.row.clone();
        let mut set = Vec::new();
        for Assignment { column, value, beside, .. } in assigned {
            let is_set = |column: usize| set.iter().any(|(known, _)| *known == column);
            if is_set(column) || beside.is_some_and(|beside| !is_set(beside)) {
                continue;
            }
            if let Some(stored) = after.get_mut(column)
                && !crate::adapter::equivalent(stored, &value)
            {
                *stored = value.clone();
                set.push((column, value));
            }
        }
        let planted = match locked.protected {
            true => None,
            false => self.replant(connection, &place, &locked.row, &after)?,
        };
        for (column, value) in planted.iter().flat_map(|planted| &planted.columns) {
            if let Some(stored) = after.get_mut(*column)
                && !crate::adapter::equivalent(stored, value)
            {
                *stored = value.clone();
                set.push((*column, value.clone()));
            }
        }
        let external = place.plan.external_id.filter(|index| changed.get(*index) == Some(&true));
        let members = self.member_changes(connection, writing, place, &locked.row, collections)?;
        let rows = self.row_changes(connection, writing, place, &locked.row, will, changed, children)?;
        let touched = !set.is_empty() || !members.is_empty() || !rows.is_empty() || external.is_some();
        if locked.protected && touched {
            return Err(protected(&place).into());
        }
        if let Some(index) = external {
            self.keep_external_id(connection, writing, key, will.get(index).and_then(Option::as_ref))?;
        }
        if !set.is_empty() {
            let transition = Transition {
                source: place.source,
                before: Some(&locked.row),
                after: &after,
                attributes_before: Some(was),
                attributes_after: seen,
                counts_as,
            };
            let update = &place.source.update;
            let (claims, environment) = (&mut writing.claims, &writing.environment);
            if let Some(says) = self.refused(connection, claims, &update.guards, environment, Some(&transition))? {
                return Err(Error::forbidden(says).into());
            }
            self.run_steps(connection, &update.before, &writing.environment, Some(&transition))?;
            let columns: Vec<usize> = set.iter().map(|(column, _)| *column).collect();
            self.update_row(connection, &place, key, &set, &update.set, &writing.environment)?;
            if let Some(planted) = &planted {
                self.replanted(connection, &place, key, planted, false)?;
            }
            let environment = Environment { row: Some((place.source, &after)), ..writing.environment };
            let shown = rows::shown_after(&self.adapter, place.source, &after, seen, changed, &environment);
            let environment = Environment { attributes: Some(&shown), ..environment };
            self.run_steps(connection, &update.then, &environment, Some(&transition))?;
            self.still_unprotected(connection, &place, key, &columns, &writing.environment)?;
        }
        self.write_members(connection, writing, &members)?;
        self.write_rows(connection, writing, &rows)?;
        // The row's own change moved its `modified` already.
        if set.is_empty() && (members.iter().any(MemberChange::touches) || rows.iter().any(|change| change.rows.touch))
        {
            self.update_row(connection, &place, key, &[], &[], &writing.environment)?;
        }
        Ok(touched)
    }
}

struct Stage<'a> {
    place: Place<'a>,
    locked: &'a Locked,
    was: &'a [Option<Json>],
    /// What is written.
    will: &'a [Option<Json>],
    /// What guards and steps see of it.
    seen: &'a [Option<Json>],
    /// And what the column of `active` counts as to them.
    counts_as: Option<&'a CountsAs>,
    changed: &'a [bool],
    lenient: bool,
    /// Child rows as they were, of the attributes that may change.
    children: &'a ChildRows,
}

/// Whether a PATCH is answered with 204: by setting, or because the answer would carry a membership that may be large,
/// whatever the PATCH changed.
/// Never where the request says what it wants to see (RFC 7644 3.5.2).
fn is_unanswered(caller: &Caller, has_members: bool, projection: &Projection) -> bool {
    let whole = projection.attributes.is_none() && projection.excluded.is_empty();
    whole
        && match caller.server.patch_answers {
            PatchAnswer::Auto => has_members,
            PatchAnswer::Whole => false,
            PatchAnswer::Nothing => true,
        }
}

/// Paths without the filters in them: what a client compares with may be a secret, and is somebody's business at the least.
fn without_filters(paths: &[String]) -> Vec<&str> {
    paths.iter().map(|path| path.split('[').next().unwrap_or_default()).collect()
}
