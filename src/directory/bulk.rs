//! The operations of a bulk request (RFC 7644 3.7): each by itself, or several in one transaction.
//!
//! In which order they come, and what is answered, is decided above; here one operation does exactly what it would do as
//! a request of its own. Several are all done or none: a circle of creations, or a whole request where the identity
//! server's bulk requests are one transaction.

use super::change::Secret;
use super::journal::{Done, Entry};
use super::recorder::Changed;
use super::rehearsal::Shown;
use super::transaction::{Account, Fault};
use super::update::{Edit, What};
use super::{Answer, Caller, Directory, Patched, Precondition};
use crate::adapter::ResourceType;
use crate::scim::bulk::Ids;
use crate::scim::{BulkMethod, Error, Object, Op, Operation, Patch, Projection, patch};
use crate::sql::Connection;
use serde_json::Value as Json;
use std::cell::Cell;
use std::sync::Arc;

/// One operation whose path was understood.
#[derive(Debug)]
pub struct BulkStep {
    /// What to do.
    pub method: BulkMethod,
    /// With which resource type.
    pub type_: usize,
    /// With which resource, or `bulkId:` and the name of one that is still to come; none for POST.
    pub id: Option<String>,
    /// What others call the resource that it creates.
    pub bulk_id: Option<String>,
    /// The version that the resource must have.
    pub version: Option<String>,
    /// An object; null for DELETE. References in it are not replaced yet.
    pub data: Json,
    /// What the journal says of it.
    pub entry: Arc<Entry>,
}

/// What one operation came to.
#[derive(Debug)]
pub struct BulkDone {
    /// 200, 201 or 204.
    pub status: u16,
    /// The resource's SCIM id.
    pub id: String,
    /// Its URL; a DELETE leaves none.
    pub location: Option<String>,
    /// Its version, where it is known.
    pub version: Option<String>,
}

/// Several operations of which one failed: none of them was carried out.
#[derive(Debug)]
pub struct BulkFailed {
    /// The position of the one that failed.
    pub at: usize,
    /// Why.
    pub error: Error,
}

/// What a creation had to leave out, because it refers to what comes later.
struct Withheld {
    step: usize,
    type_: usize,
    id: String,
    rest: Json,
    /// The bulkIds that it waits for.
    awaited: Vec<String>,
}

impl Withheld {
    /// Whether all that it refers to is there.
    fn is_complete(&mut self, ids: &Ids) -> bool {
        while self.awaited.pop_if(|bulk_id| !ids.is_awaited(bulk_id)).is_some() {}
        self.awaited.is_empty()
    }
}

impl Directory {
    /// Carries out one operation, in a transaction of its own. References were created before.
    pub fn bulk_one(
        &self,
        caller: &Caller,
        step: &BulkStep,
        ids: &Ids,
        limits: &patch::Limits,
    ) -> Result<BulkDone, Error> {
        step.entry.has_its_turn();
        let caller = &Caller { entry: Arc::clone(&step.entry), ..caller.clone() };
        let mut data = step.data.clone();
        ids.resolve(&mut data)?;
        let id = ids.of_segment(step.id.as_deref().unwrap_or_default())?;
        let (condition, all) = (step.condition(), Projection::default());
        Ok(match step.method {
            BulkMethod::Post => {
                let answer = self.create(caller, step.type_, object(data)?, &all)?;
                BulkDone::of(201, answer)
            }
            BulkMethod::Put => {
                BulkDone::of(200, self.replace(caller, step.type_, &id, object(data)?, &condition, &all)?)
            }
            BulkMethod::Patch => {
                let patch = Patch::parse(data, limits)?;
                match self.patch(caller, step.type_, &id, &patch, &condition, &all)? {
                    Patched::Resource(answer) => BulkDone::of(200, answer),
                    Patched::NoContent { version, location } => {
                        BulkDone { status: 204, id, version, location: Some(location) }
                    }
                }
            }
            BulkMethod::Delete => {
                self.delete(caller, step.type_, &id, &condition)?;
                BulkDone { status: 204, id, version: None, location: None }
            }
        })
    }

    /// Carries out several operations in one transaction: all of them or none. A creation that refers to a later one is
    /// made without the reference, and gets it once that is there (RFC 7644 3.7.1). `before` is asked before each,
    /// with the number of those done, whether to go on.
    pub fn bulk_together(
        &self,
        caller: &Caller,
        steps: &[&BulkStep],
        ids: &Ids,
        limits: &patch::Limits,
        before: &dyn Fn(usize) -> Result<(), Error>,
    ) -> Result<Vec<BulkDone>, BulkFailed> {
        let at = Cell::new(0);
        let failed = |error: Error| BulkFailed { at: at.get(), error };
        // Passwords are hashed before the transaction; what is wrong with an operation is found out within it.
        let mut secrets = Vec::with_capacity(steps.len());
        for (index, step) in steps.iter().enumerate() {
            at.set(index);
            before(0).map_err(failed)?;
            secrets.push(self.step_secrets(caller, step, limits));
        }
        // Two that take the same rows in another order would deadlock again and again: those that did go one by one.
        let turn = [("bulk".to_owned(), "turn".to_owned())];
        let mut attempts = 0_u32;
        let done = self.write_journalled(caller, |connection| {
            attempts += 1;
            if attempts > 1 {
                self.own.claim(connection, &turn)?;
            }
            let mut ids = ids.clone();
            let mut done: Vec<BulkDone> = Vec::with_capacity(steps.len());
            let mut withheld: Vec<Withheld> = Vec::new();
            let mut changed: Vec<Vec<Changed<'_>>> = Vec::with_capacity(steps.len());
            for (index, (step, secrets)) in steps.iter().zip(&secrets).enumerate() {
                at.set(index);
                before(index)?;
                step.entry.has_its_turn();
                let (one, rest) = self.step_within(connection, caller, step, &ids, limits, secrets)?;
                if let Some(rest) = rest {
                    let awaited = ids.awaited(&rest);
                    withheld.push(Withheld { step: index, type_: step.type_, id: one.id.clone(), rest, awaited });
                }
                if let (BulkMethod::Post, Some(bulk_id)) = (step.method, &step.bulk_id) {
                    ids.created(bulk_id, &one.id);
                }
                done.push(one);
                changed.push(connection.take()?);
                let now: Vec<Withheld> = withheld.extract_if(.., |withheld| withheld.is_complete(&ids)).collect();
                for complete in now {
                    at.set(complete.step);
                    let version = self.complete_within(connection, caller, &complete, &ids)?;
                    if let Some(done) = done.get_mut(complete.step) {
                        done.version = version;
                    }
                    let completing = connection.take()?;
                    if let Some(changed) = changed.get_mut(complete.step) {
                        changed.extend(completing);
                    }
                }
            }
            if let Some(open) = withheld.first() {
                at.set(open.step);
                return Err(Error::conflict("a circular reference cannot be resolved").into());
            }
            if attempts > 1 {
                self.own.release(connection, &turn)?;
            }
            let mut shown = Shown::default();
            let mut account = Account { requests: Vec::with_capacity(steps.len()), changes: Vec::new() };
            for ((step, done), changed) in steps.iter().zip(&mut done).zip(changed) {
                let (type_, _) = self.type_(step.type_)?;
                shown.show(caller, step, type_, done);
                let (request, changes) = step.entry.committed(type_.done(done), changed);
                account.requests.push(request);
                account.changes.extend(changes);
            }
            Ok((done, account))
        });
        let done = done.map_err(failed)?;
        steps.iter().zip(&done).for_each(|(step, done)| step.entry.kept(done.status));
        Ok(done)
    }

    /// The passwords in an operation, hashed; none where the operation cannot be understood yet.
    fn step_secrets(&self, caller: &Caller, step: &BulkStep, limits: &patch::Limits) -> Vec<Secret> {
        let Some(data) = step.data.as_object() else {
            return Vec::new();
        };
        let secrets = || -> Result<Vec<Secret>, Error> {
            match (step.method, &step.id) {
                (BulkMethod::Post, _) => {
                    let creation = self.creation(caller, step.type_, data.clone())?;
                    self.secrets(&creation.place, None, &creation.values)
                }
                (BulkMethod::Put, Some(id)) => {
                    self.secrets_of(caller, &self.replacing(caller, step.type_, id, data.clone())?)
                }
                (BulkMethod::Patch, Some(id)) => {
                    let patch = Patch::parse(step.data.clone(), limits)?;
                    self.secrets_of(caller, &self.patching(caller, step.type_, id, &patch)?)
                }
                _ => Ok(Vec::new()),
            }
        };
        secrets().unwrap_or_default()
    }

    /// One operation inside a transaction, and what a creation had to leave out.
    fn step_within(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        step: &BulkStep,
        ids: &Ids,
        limits: &patch::Limits,
        secrets: &[Secret],
    ) -> Result<(BulkDone, Option<Json>), Fault> {
        let mut data = step.data.clone();
        let (condition, all) = (step.condition(), Projection::default());
        if step.method == BulkMethod::Post {
            let mut resource = object(data)?;
            let rest = ids.withhold(&mut resource).map(Json::Object);
            let mut resource = Json::Object(resource);
            ids.resolve(&mut resource)?;
            let created =
                self.creation(caller, step.type_, object(resource)?).map_err(Fault::from).and_then(|creation| {
                    let found = self.create_within(connection, caller, &creation, secrets, &all)?;
                    Ok(BulkDone::of(201, self.answer(&creation.place, found, &all)))
                });
            return match created {
                Ok(done) => Ok((done, rest)),
                // Without the reference it cannot be: the mapping requires it.
                Err(Fault::Scim(error)) if rest.is_some() && error.status == 400 => {
                    let detail = format!("the circular reference cannot be resolved: {}", error.detail);
                    Err(Error { cause: error.cause, ..Error::conflict(detail) }.into())
                }
                Err(fault) => Err(fault),
            };
        }
        ids.resolve(&mut data)?;
        let id = ids.of_segment(step.id.as_deref().unwrap_or_default())?;
        let done = match step.method {
            BulkMethod::Put => {
                let edit = self.replacing(caller, step.type_, &id, object(data)?)?;
                let updated = self.edit_within(connection, caller, &edit, &id, &condition, &all, secrets)?;
                BulkDone::of(200, self.answer(&edit.place, updated.found, &all))
            }
            BulkMethod::Patch => {
                let patch = Patch::parse(data, limits)?;
                let edit = self.patching(caller, step.type_, &id, &patch)?;
                let updated = self.edit_within(connection, caller, &edit, &id, &condition, &all, secrets)?;
                let status = if updated.is_unanswered(caller, &all) { 204 } else { 200 };
                BulkDone::of(status, self.answer(&edit.place, updated.found, &all))
            }
            BulkMethod::Delete | BulkMethod::Post => {
                let deletion = self.deletion(caller, step.type_, &id)?;
                self.delete_within(connection, caller, &deletion, &id, &condition)?;
                BulkDone { status: 204, id, version: None, location: None }
            }
        };
        Ok((done, None))
    }

    /// Adds to a new resource what it had to be created without; its version afterwards.
    fn complete_within(
        &self,
        connection: &mut dyn Connection,
        caller: &Caller,
        withheld: &Withheld,
        ids: &Ids,
    ) -> Result<Option<String>, Fault> {
        let mut rest = withheld.rest.clone();
        ids.resolve(&mut rest)?;
        let patch = Patch { operations: vec![Operation { op: Op::Add, path: None, value: Some(rest) }] };
        let all = Projection::default();
        let edit = Edit::of(self.find(withheld.type_, &withheld.id)?, What::Complete(&patch));
        let condition = Precondition::default();
        let updated = self.edit_within(connection, caller, &edit, &withheld.id, &condition, &all, &[])?;
        Ok(updated.found.version)
    }
}

impl ResourceType {
    /// What the journal says of an operation that was carried out.
    fn done(&self, done: &BulkDone) -> Done {
        Done { resource_id: Some(done.id.clone()), ..Done::of(done.status, self, None) }
    }
}

impl BulkStep {
    fn condition(&self) -> Precondition {
        Precondition { if_match: self.version.clone().map(|version| vec![version]), if_none_match: None }
    }
}

impl BulkDone {
    fn of(status: u16, answer: Answer) -> Self {
        let id = answer.resource.get("id").and_then(Json::as_str).unwrap_or_default().to_owned();
        Self { status, id, location: Some(answer.location), version: answer.version }
    }
}

fn object(data: Json) -> Result<Object, Error> {
    match data {
        Json::Object(object) => Ok(object),
        _ => Err(Error::invalid_syntax("the data of an operation must be an object")),
    }
}
