//! `/Bulk` (RFC 7644 3.7): the operations of one request, one after the other.
//!
//! By default each is a transaction of its own, and waits for a connection like any other request, so that a long bulk
//! request starves nobody. With `bulk_transaction: request` all are one transaction. A client that hangs up changes
//! nothing: what it asked for goes on in a task of its own. When the time of a request runs out, the operation at hand
//! finishes and the others are answered with 503; a whole transaction is rolled back.

use super::answer::Reply;
use super::endpoints::{AtWork, Authenticated};
use super::outgoing::Broken;
use super::route::{self, Endpoint, Target};
use super::spending::Spending;
use crate::directory::{BulkDone, BulkStep, Caller, Directory, Entry, Told};
use crate::scim::bulk::{self, BulkCall, BulkOperation, BulkOutcome, Ids, Unit};
use crate::scim::{Bulk, BulkMethod, Error, patch};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};

/// No operation begins in the last seconds of a request's time: the last tenth of it, at least this or half of it.
const LAST: Duration = Duration::from_secs(2);
/// How often a long request says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

impl Authenticated<'_> {
    pub(super) async fn bulk<B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static>(
        &self,
        body: B,
    ) -> Result<Reply, Reply> {
        let message = self.message(body).await?;
        let limits = &self.app.config.limits;
        let Bulk { fail_on_errors, mut operations } = Bulk::parse(message, limits.bulk_operations)?;
        // The rest is for the operation that is at work then, and for the answer.
        let limit = limits.request_timeout;
        let deadline = self.began + limit.saturating_sub((limit / 10).max(LAST.min(limit / 2)));
        let caller = self.caller();
        let ids = Ids::of(&operations);
        let units = bulk::order(&operations);
        let entries: Vec<Arc<Entry>> = operations
            .iter()
            .enumerate()
            .map(|(place, operation)| {
                Arc::new(entry(place, operation, self.endpoints, &caller, &self.served.directory))
            })
            .collect();
        let steps = operations
            .iter_mut()
            .zip(&entries)
            .map(|(operation, entry)| step(operation, self.endpoints, &caller, entry))
            .collect();
        let run = Run {
            outcomes: operations.iter().map(|_| None).collect(),
            progress: Progress::new(Arc::clone(&caller.request_id), operations.len()),
            operations,
            steps,
            entries,
            _at_work: AtWork::on(self.entry),
            ids,
            errors: 0,
            most_errors: fail_on_errors.unwrap_or(usize::MAX),
            limits: self.patch_limits(),
            deadline,
            directory: Arc::clone(&self.served.directory),
            caller,
            look_again: self.app.looker(),
            spending: Arc::clone(self.spending),
        };
        let patience = self.app.config.database.pool.checkout_timeout;
        let pool = Arc::clone(&self.app.pool);
        let together = self.served.bulk_together;
        match tokio::spawn(run.carry_out(units, together, pool, patience)).await {
            Ok(answer) => answer,
            Err(panic) => Err(Error::internal(panic).into()),
        }
    }
}

/// One bulk request under way.
struct Run {
    operations: Vec<BulkOperation>,
    /// The operations as the directory takes them, or what is wrong with them.
    steps: Vec<Result<BulkStep, Error>>,
    /// What the journal says of each.
    entries: Vec<Arc<Entry>>,
    _at_work: AtWork,
    outcomes: Vec<Option<BulkOutcome>>,
    ids: Ids,
    errors: usize,
    most_errors: usize,
    limits: patch::Limits,
    /// No operation begins after this.
    deadline: Instant,
    progress: Progress,
    directory: Arc<Directory>,
    caller: Caller,
    look_again: Arc<Notify>,
    spending: Arc<Spending>,
}

impl Run {
    async fn carry_out(
        mut self,
        units: Vec<Unit>,
        together: bool,
        pool: Arc<Semaphore>,
        patience: Duration,
    ) -> Result<Reply, Reply> {
        let mut patience = patience;
        let mut units = units.into_iter().peekable();
        while units.peek().is_some() && self.errors < self.most_errors {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let permit = match tokio::time::timeout(patience.min(left), Arc::clone(&pool).acquire_owned()).await {
                // A permit that is free is had even when there is no time left.
                Ok(Ok(permit)) if !left.is_zero() => permit,
                _ if self.progress.done == 0 => {
                    metrics::counter!("scimshim_pool_timeouts_total").increment(1);
                    let error = Error::unavailable("no database connection was free for the bulk request");
                    return Err(Reply { retry_after: Some(Duration::from_secs(1)), ..Reply::error(error) });
                }
                _ => {
                    self.out_of_time(units);
                    break;
                }
            };
            // What has begun may wait for a connection as long as there is time.
            patience = Duration::MAX;
            let batch: Vec<Unit> = if together { units.by_ref().collect() } else { units.next().into_iter().collect() };
            let worked = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                let spending = Arc::clone(&self.spending);
                let worked = spending.metered(|| {
                    if together {
                        return self.all(&batch);
                    }
                    batch.iter().for_each(|unit| self.unit(unit));
                    Ok(())
                });
                (self, worked)
            });
            let (run, worked) = worked.await.map_err(Error::internal)?;
            self = run;
            worked?;
        }
        self.progress.end(self.errors);
        // When what was held back (429) can go, as the operation by itself would have been told.
        let errors = self.outcomes.iter().flatten().filter_map(|outcome| outcome.error.as_ref());
        let retry_after = errors.filter_map(|error| error.retry_after).max();
        let reply = Reply::message(StatusCode::OK, &bulk::response(&self.operations, self.outcomes));
        Ok(Reply { retry_after, ..reply })
    }

    /// Operations that are carried out together: one, or a circle of creations.
    fn unit(&mut self, unit: &Unit) {
        match unit.operations.as_slice() {
            [index] if !unit.circular => {
                let done = match self.steps.get(*index) {
                    Some(Ok(step)) => self.directory.bulk_one(&self.caller, step, &self.ids, &self.limits),
                    Some(Err(error)) => Err(error.clone()),
                    None => return,
                };
                self.settle(*index, done);
            }
            indices => {
                let done = self.together(indices, &|_| Ok(()));
                self.settle_all(indices, done, |first| {
                    Error::conflict(format!(
                        "the circular reference cannot be resolved: operation {first}, which is part of the circle, \
                         failed, and none of the circle was kept"
                    ))
                });
            }
        }
        self.progress.say(self.progress.done, self.errors);
    }

    /// All operations in one transaction. `Err` is the answer to the whole request: nothing was done, and the same
    /// request may succeed later.
    fn all(&mut self, units: &[Unit]) -> Result<(), Error> {
        let indices: Vec<usize> = units.iter().flat_map(|unit| unit.operations.iter().copied()).collect();
        let progress = Cell::new(self.progress.clone());
        let (deadline, total) = (self.deadline, indices.len());
        let done = self.together(&indices, &|done| {
            let mut now = progress.take();
            now.say(done, 0);
            progress.set(now);
            if Instant::now() < deadline {
                return Ok(());
            }
            let cause = format!("the time ran out after {done} of {total} operations in one transaction: rolled back");
            Err(Error::unavailable(cause))
        });
        if let Err((_, error)) = &done
            && error.status >= 500
        {
            self.look_again.notify_one();
            return Err(error.clone());
        }
        self.settle_all(&indices, done, |first| {
            Error::new(
                424,
                format!(
                    "not carried out: operation {first} failed, and the bulk requests of this identity server are \
                     carried out whole or not at all"
                ),
            )
        });
        Ok(())
    }

    /// Several operations in one transaction; an error comes with the index of its operation.
    fn together(
        &self,
        indices: &[usize],
        before: &dyn Fn(usize) -> Result<(), Error>,
    ) -> Result<Vec<BulkDone>, (usize, Error)> {
        let mut steps = Vec::with_capacity(indices.len());
        for index in indices {
            match self.steps.get(*index) {
                Some(Ok(step)) => steps.push(step),
                Some(Err(error)) => return Err((*index, error.clone())),
                None => {}
            }
        }
        let directory = &self.directory;
        directory
            .bulk_together(&self.caller, &steps, &self.ids, &self.limits, before)
            .map_err(|failed| (indices.get(failed.at).copied().unwrap_or_default(), failed.error))
    }

    fn settle_all(
        &mut self,
        indices: &[usize],
        done: Result<Vec<BulkDone>, (usize, Error)>,
        others: impl Fn(usize) -> Error,
    ) {
        match done {
            Ok(done) => indices.iter().zip(done).for_each(|(index, done)| self.settle(*index, Ok(done))),
            Err((first, error)) => {
                for index in indices {
                    let error = if *index == first { error.clone() } else { others(first + 1) };
                    self.settle(*index, Err(error));
                }
            }
        }
    }

    /// Keeps what became of an operation.
    fn settle(&mut self, index: usize, done: Result<BulkDone, Error>) {
        let Some(operation) = self.operations.get(index) else { return };
        let bulk_id = operation.bulk_id.as_deref().filter(|_| operation.creates());
        let outcome = match done {
            Ok(done) => {
                if let Some(bulk_id) = bulk_id {
                    self.ids.created(bulk_id, &done.id);
                }
                let location = done.location.or_else(|| self.location(index));
                BulkOutcome { status: done.status, location, version: done.version, error: None }
            }
            Err(error) => {
                if let Some(bulk_id) = bulk_id {
                    self.ids.failed(bulk_id);
                }
                self.errors += 1;
                self.note(index, &error);
                BulkOutcome { status: error.status, location: self.location(index), version: None, error: Some(error) }
            }
        };
        if let Some(entry) = self.entries.get(index) {
            let error = outcome.error.as_ref();
            entry.told(Told {
                status: outcome.status,
                scim_type: error.and_then(|error| error.scim_type).map(|scim_type| scim_type.as_str()),
                detail: error.map(|error| error.detail.clone()),
                answer: None,
            });
        }
        if let Some(place) = self.outcomes.get_mut(index) {
            *place = Some(outcome);
        }
        self.progress.done += 1;
    }

    /// What only the log may know of a failure.
    fn note(&self, index: usize, error: &Error) {
        let (request, operation) = (&*self.caller.request_id, index + 1);
        let cause = error.cause.as_deref().unwrap_or_default();
        match error.status {
            503 => tracing::warn!(request, operation, cause, "unavailable"),
            status if status >= 500 => tracing::error!(request, operation, cause, "internal error"),
            status => tracing::debug!(request, operation, status, cause, "refused"),
        }
        if error.status >= 500 {
            // The application may have been upgraded under us.
            self.look_again.notify_one();
        }
    }

    /// The URL of the resource that an operation other than a POST is about, where that is known.
    fn location(&self, index: usize) -> Option<String> {
        let step = self.steps.get(index)?.as_ref().ok()?;
        let id = self.ids.of_segment(step.id.as_deref()?).ok()?;
        self.directory.location(&self.caller, step.type_, &id)
    }

    fn out_of_time(&mut self, units: impl Iterator<Item = Unit>) {
        let cause = format!("the time ran out after {} of {} operations", self.progress.done, self.operations.len());
        for index in units.flat_map(|unit| unit.operations) {
            if self.errors >= self.most_errors {
                return;
            }
            let detail = "not carried out: the time of the request ran out before; send the operation again";
            self.settle(index, Err(Error::new(503, detail).because(&cause)));
        }
    }
}

/// Says in the log how far a long request is.
#[derive(Clone)]
struct Progress {
    request: Arc<str>,
    total: usize,
    done: usize,
    began: Instant,
    said: Instant,
}

impl Progress {
    fn new(request: Arc<str>, total: usize) -> Self {
        Self { request, total, done: 0, began: Instant::now(), said: Instant::now() }
    }

    fn say(&mut self, done: usize, failed: usize) {
        if self.said.elapsed() >= PROGRESS {
            self.said = Instant::now();
            let seconds = self.began.elapsed().as_secs();
            tracing::info!(request = &*self.request, done, total = self.total, failed, seconds, "bulk request at work");
        }
    }

    fn end(&self, failed: usize) {
        tracing::info!(request = &*self.request, done = self.done, total = self.total, failed, "bulk request");
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new(Arc::from(""), 0)
    }
}

/// What the journal says of an operation.
fn entry(
    place: usize,
    operation: &BulkOperation,
    endpoints: &[Endpoint],
    caller: &Caller,
    directory: &Directory,
) -> Entry {
    let (target, body) = match &operation.call {
        Ok(call) => {
            let relative = call.path.strip_prefix(&*caller.base_url).unwrap_or(&call.path);
            (route::relative(relative, endpoints), caller.entry.saver().body(&call.data))
        }
        Err(_) => (Target::Unknown, None),
    };
    let mut entry = caller.entry.operation(place, &operation.method, target.template(endpoints));
    let (type_, id) = match &target {
        Target::Collection(type_) => (Some(*type_), None),
        Target::Resource(type_, id) => (Some(*type_), Some(id.to_string())),
        _ => (None, None),
    };
    let type_ = type_.and_then(|type_| directory.adapter().resource_types.get(type_));
    entry.about(type_.map(|type_| type_.name.clone()), id);
    entry.request(body);
    entry
}

/// An operation as the directory takes it: its path must lead to a resource type, or to a resource of one.
fn step(
    operation: &mut BulkOperation,
    endpoints: &[Endpoint],
    caller: &Caller,
    entry: &Arc<Entry>,
) -> Result<BulkStep, Error> {
    let BulkCall { method, path, data } = operation.take_call()?;
    let relative = path.strip_prefix(&*caller.base_url).unwrap_or(&path);
    if relative.contains("://") {
        return Err(Error::invalid_value("the path of an operation is relative to the service, such as /Users"));
    }
    let step = |type_: usize, id: Option<String>| BulkStep {
        method,
        type_,
        id,
        bulk_id: operation.bulk_id.clone(),
        version: operation.version.clone(),
        data,
        entry: Arc::clone(entry),
    };
    match (method, route::relative(relative, endpoints)) {
        (BulkMethod::Post, Target::Collection(type_)) => Ok(step(type_, None)),
        (BulkMethod::Put | BulkMethod::Patch | BulkMethod::Delete, Target::Resource(type_, id)) => {
            // A bulkId is taken as it was written, as in the data.
            let last = relative.trim_end_matches('/').rsplit('/').next().filter(|last| last.starts_with("bulkId:"));
            let id = last.map_or_else(|| id.into_owned(), str::to_owned);
            Ok(step(type_, Some(id)))
        }
        (_, Target::Bulk) => Err(Error::invalid_value("a bulk request cannot hold another")),
        (_, Target::Unknown) => Err(Error::new(404, "the path of the operation leads to no SCIM endpoint")),
        (BulkMethod::Post, _) => {
            Err(Error::new(405, "a POST in a bulk request goes to a resource type, such as /Users"))
        }
        _ => Err(Error::new(
            405,
            format!("a {} in a bulk request goes to a resource, such as /Users/ID", operation.method),
        )),
    }
}
