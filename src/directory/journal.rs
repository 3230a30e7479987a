//! The journal of requests: what each was, and the rows that it changed. A request that commits is journalled in its own
//! transaction; every other one that should be is handed to whoever writes those later (the server's queue).

use super::Answer;
use super::recorder::{Changed, Columns};
use super::saved::Saver;
use crate::adapter::{ResourceType, Written};
use crate::own::{ChangeRow, RequestRow};
use crate::sql::Value;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Values longer than this, in bytes, are kept as length and hash.
const MOST: usize = 256 * 1024;

/// Who writes what no transaction of a request could.
pub trait Later: Send + Sync {
    /// A request that did nothing, or (`is_there`) one that stands in the journal and whose client was told something else.
    fn journal(&self, row: RequestRow, is_there: bool);
}

/// One request, as the journal knows it. Shared between who answers it and the thread that does what it asks for.
#[derive(Default)]
pub struct Entry {
    about: About,
    began: Option<Instant>,
    saver: Saver,
    later: Option<Arc<dyn Later>>,
    state: Mutex<State>,
}

/// What is known of a request before it is carried out.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The request id. Without one it is journalled under a random one.
    pub id: String,
    /// The id that a proxy gave it, where that is what answers and logs call it.
    pub given: Option<String>,
    /// The bulk request that it is part of.
    pub parent: Option<String>,
    /// When it came.
    pub at: DateTime<Utc>,
    /// The identity server.
    pub server: String,
    /// `PATCH`.
    pub method: String,
    /// `/Users/{id}`.
    pub route: String,
    /// `User`, and an id where the request names one.
    pub resource_type: Option<String>,
    /// See there.
    pub resource_id: Option<String>,
    /// By which credential it came.
    pub credential: Option<String>,
    /// What kind of credential that is.
    pub credential_kind: Option<String>,
    /// The application's user in whose name it is done.
    pub acting_user: Option<String>,
    /// The client's address.
    pub client: Option<String>,
    /// What stood behind the `?`, raw.
    pub query: Option<String>,
    /// It may change something.
    pub writes: bool,
}

#[derive(Default)]
struct State {
    request: Option<String>,
    /// Somebody is at it.
    running: bool,
    /// It stands in the journal with this status.
    kept: Option<u16>,
    /// When an operation of a bulk request had its turn.
    turn: Option<(DateTime<Utc>, Instant)>,
    told: Option<Told>,
}

/// What a client was told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The status; 499 where it had gone.
    pub status: u16,
    /// RFC 7644 3.12.
    pub scim_type: Option<&'static str>,
    /// Of an error.
    pub detail: Option<String>,
    /// The answer's body, as it is kept.
    pub answer: Option<String>,
}

/// What a request came to that is about to be committed.
pub(super) struct Done {
    pub status: u16,
    pub resource_type: Option<String>,
    pub resource_id: Option<String>,
    pub answer: Option<Json>,
}

impl Done {
    /// A status, and what is answered with it.
    pub fn of(status: u16, type_: &ResourceType, answer: Option<&Answer>) -> Self {
        let id = answer.and_then(|answer| answer.resource.get("id")).and_then(Json::as_str);
        Self {
            status,
            resource_type: Some(type_.name.clone()),
            resource_id: id.map(str::to_owned),
            answer: answer.map(|answer| Json::Object(answer.resource.clone())),
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("about", &self.about).finish_non_exhaustive()
    }
}

impl Entry {
    /// Of a request that came just now.
    pub fn new(about: About, began: Instant, saver: Saver, later: Arc<dyn Later>) -> Self {
        Self { about, began: Some(began), saver, later: Some(later), state: Mutex::default() }
    }

    /// An operation of this bulk request, by its place in it.
    pub fn operation(&self, place: usize, method: &str, route: &str) -> Self {
        let about = About {
            id: format!("{}.{}", self.about.id, place + 1),
            parent: Some(self.about.id.clone()),
            at: Utc::now(),
            method: method.to_owned(),
            route: route.to_owned(),
            query: None,
            ..self.about.clone()
        };
        Self {
            about,
            began: self.began.map(|_| Instant::now()),
            saver: self.saver.clone(),
            later: self.later.clone(),
            state: Mutex::default(),
        }
    }

    /// What of bodies is kept.
    pub fn saver(&self) -> &Saver {
        &self.saver
    }

    /// The request's body, as it is to be kept.
    pub fn request(&self, body: Option<String>) {
        self.state().request = body;
    }

    /// What it is about; what is known already stays where this says nothing.
    pub fn about(&mut self, resource_type: Option<String>, resource_id: Option<String>) {
        self.about.resource_type = resource_type.or(self.about.resource_type.take());
        self.about.resource_id = resource_id.or(self.about.resource_id.take());
    }

    /// An operation of a bulk request has its turn: it came with the others, but is what it is from now on.
    pub(super) fn has_its_turn(&self) {
        self.state().turn = Some((Utc::now(), Instant::now()));
    }

    /// A thread is going to carry it out, whatever becomes of the client.
    pub fn begins(&self) {
        self.state().running = true;
    }

    /// That thread is done: committed or rolled back.
    pub fn ends(&self) {
        let mut state = self.state();
        state.running = false;
        if state.told.is_some() {
            self.settle(&state);
        }
    }

    /// What the client was told; the first word counts.
    pub fn told(&self, told: Told) {
        let mut state = self.state();
        if state.told.is_none() {
            state.told = Some(told);
            if !state.running {
                self.settle(&state);
            }
        }
    }

    /// It was committed with this status.
    pub(super) fn kept(&self, status: u16) {
        self.state().kept = Some(status);
    }

    /// Journals what is not journalled yet.
    fn settle(&self, state: &State) {
        let (Some(later), Some(told)) = (&self.later, &state.told) else { return };
        match state.kept {
            Some(status) if status == told.status => {}
            Some(status) => {
                let row = self.row(state, status);
                later.journal(RequestRow { answered: Some(i64::from(told.status)), ..row }, true);
            }
            None if self.about.writes || self.saver.keeps_reads() => {
                let row = RequestRow {
                    scim_type: told.scim_type.map(str::to_owned),
                    detail: told.detail.clone(),
                    answer: told.answer.clone(),
                    ..self.row(state, told.status)
                };
                later.journal(row, false);
            }
            None => {}
        }
    }

    fn row(&self, state: &State, status: u16) -> RequestRow {
        let about = &self.about;
        let id = if about.id.is_empty() { uuid::Uuid::new_v4().to_string() } else { about.id.clone() };
        let (at, began) = match state.turn {
            Some((at, began)) => (at, Some(began)),
            None => (about.at, self.began),
        };
        let took = began.map(|began| began.elapsed().as_micros()).unwrap_or_default();
        RequestRow {
            id,
            given: about.given.clone(),
            parent: about.parent.clone(),
            at: at.timestamp_micros(),
            server: about.server.clone(),
            method: about.method.clone(),
            route: about.route.clone(),
            resource_type: about.resource_type.clone(),
            resource_id: about.resource_id.clone(),
            status: i64::from(status),
            credential: about.credential.clone(),
            credential_kind: about.credential_kind.clone(),
            acting_user: about.acting_user.clone(),
            client: about.client.clone(),
            duration: i64::try_from(took).unwrap_or(i64::MAX),
            query: about.query.as_deref().and_then(|query| self.saver.query(query)),
            request: state.request.clone(),
            ..RequestRow::default()
        }
    }

    /// What stands in the journal of a request that commits.
    pub(super) fn committed(&self, done: Done, changed: Vec<Changed<'_>>) -> (RequestRow, Vec<ChangeRow>) {
        let row = self.row(&self.state(), done.status);
        let changes: Vec<ChangeRow> =
            (1_i64..).zip(changed).map(|(number, changed)| change(&row.id, number, &changed)).collect();
        let row = RequestRow {
            resource_type: done.resource_type.or(row.resource_type),
            resource_id: done.resource_id.or(row.resource_id),
            answer: done.answer.as_ref().and_then(|answer| self.saver.body(answer)),
            changes: i64::try_from(changes.len()).unwrap_or(i64::MAX),
            ..row
        };
        (row, changes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn change(request: &str, number: i64, changed: &Changed<'_>) -> ChangeRow {
    let table = changed.table;
    let operation = match (&changed.before, &changed.after) {
        (None, _) => "insert",
        (Some(_), Some(_)) => "update",
        (Some(_), None) => "delete",
    };
    let secrets = |there: bool| changed.secrets.iter().filter(move |_| there).map(|column| (*column, secret()));
    let side = |columns: &Option<Columns>| {
        let known = columns.iter().flatten().map(|(column, value)| (*column, encoded(value)));
        let all: Map<String, Json> =
            known.chain(secrets(columns.is_some())).filter_map(|(c, v)| named(table, c, v)).collect();
        columns.as_ref().map(|_| Json::Object(all).to_string())
    };
    let key: Map<String, Json> =
        changed.key.iter().filter_map(|(column, value)| named(table, *column, encoded(value))).collect();
    ChangeRow {
        request: request.to_owned(),
        number,
        table_schema: table.table.schema.as_ref().map(|schema| schema.as_str().to_owned()),
        table_name: table.table.name.as_str().to_owned(),
        operation: operation.to_owned(),
        key: Json::Object(key).to_string(),
        before: side(&changed.before),
        after: side(&changed.after),
    }
}

fn named(table: &Written, column: usize, value: Json) -> Option<(String, Json)> {
    table.columns.get(column).map(|column| (column.name.as_str().to_owned(), value))
}

/// That a column was written, and nothing of what.
fn secret() -> Json {
    json!({ "secret": true })
}

/// A value so that it can be bound again: what JSON has no type for stands in an object that names it. The key of the
/// object is one of `float`, `bytes` (base64), `datetime`, `instant`, `date`, `long` (not kept: its length in bytes and
/// SHA-256) and `secret` (not kept).
pub(super) fn encoded(value: &Value) -> Json {
    let long = |bytes: &[u8]| {
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "long": { "bytes": bytes.len(), "sha256": hash } })
    };
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::from(*b),
        Value::Int(i) => Json::from(*i),
        Value::UInt(u) => Json::from(*u),
        Value::Float(f) => json!({ "float": f.to_string() }),
        Value::Text(text) if text.len() > MOST => long(text.as_bytes()),
        Value::Text(text) | Value::NoDay(text) => Json::from(text.as_str()),
        Value::Bytes(bytes) if bytes.len() > MOST => long(bytes),
        Value::Bytes(bytes) => json!({ "bytes": BASE64_STANDARD.encode(bytes) }),
        Value::DateTime(at) => json!({ "datetime": at.format("%Y-%m-%dT%H:%M:%S%.f").to_string() }),
        Value::Instant(at) => json!({ "instant": at.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string() }),
        Value::Date(day) => json!({ "date": day.format("%Y-%m-%d").to_string() }),
    }
}

/// What [`encoded`] made of a value; `None` where it was not kept, or is of no form that is known.
pub fn decoded(json: &Json) -> Option<Value> {
    match json {
        Json::Null => Some(Value::Null),
        Json::Bool(b) => Some(Value::Bool(*b)),
        Json::Number(number) => number.as_i64().map(Value::Int).or_else(|| number.as_u64().map(Value::UInt)),
        Json::String(text) => Some(Value::Text(text.clone())),
        Json::Array(_) => None,
        Json::Object(object) => {
            let (form, value) = object.iter().next()?;
            let text = value.as_str()?;
            match form.as_str() {
                "float" => text.parse().ok().map(Value::Float),
                "bytes" => BASE64_STANDARD.decode(text).ok().map(Value::Bytes),
                "datetime" => text.parse().ok().map(Value::DateTime),
                "instant" => text.parse().ok().map(Value::Instant),
                "date" => text.parse().ok().map(Value::Date),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let at = "2026-02-03T04:05:06.000007".parse().unwrap();
        for value in [
            Value::Null,
            Value::Bool(true),
            Value::Int(i64::MIN),
            Value::UInt(u64::MAX),
            Value::Float(0.1),
            Value::Float(f64::NEG_INFINITY),
            Value::Float(3.0),
            Value::from(""),
            Value::from("\0\u{1b}[31m \u{1f980} \"quoted\""),
            Value::from("12345678901234567890.1234567890"),
            Value::Bytes(vec![0, 255, 10]),
            Value::DateTime(at),
            Value::Instant(at.and_utc()),
            Value::Date(at.date()),
        ] {
            let text = encoded(&value).to_string();
            assert_eq!(decoded(&serde_json::from_str(&text).unwrap()), Some(value), "{text}");
        }
    }

    #[test]
    fn what_was_not_kept_does_not_come_back() {
        assert_eq!(decoded(&secret()), None);
        let long = encoded(&Value::Text("x".repeat(MOST + 1)));
        assert_eq!(long["long"]["bytes"], json!(MOST + 1));
        assert_eq!(decoded(&long), None);
    }
}
