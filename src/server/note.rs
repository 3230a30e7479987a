//! What one request leaves behind: a line in the log and numbers, without anything personal.

use super::address::is_trusted;
use super::answer::Reply;
use super::metrics::method_label;
use super::spending::Spending;
use super::state::App;
use super::trace::Trace;
use crate::directory::{Entry, Told};
use crate::identity::Session;
use crate::scim::Error;
use hyper::http::HeaderMap;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use opentelemetry::KeyValue;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Gathered while a request is answered. Dropped without an answer, it says that the client hung up.
pub struct Note<'a> {
    app: &'a App,
    began: Instant,
    method: Method,
    request_id: Arc<str>,
    /// Ours, which no other request ever has, and that of a proxy, which may come twice.
    journal_ids: (Arc<str>, Option<Arc<str>>),
    client: IpAddr,
    server: Arc<str>,
    route: &'static str,
    credential: Option<String>,
    by: &'static str,
    scim_type: Option<&'static str>,
    /// What the journal says of it, once it is known who asks.
    entry: Option<Arc<Entry>>,
    told: Told,
    spending: Arc<Spending>,
    trace: Trace,
    answered: bool,
}

impl<'a> Note<'a> {
    /// Of a request that begins now.
    pub fn new(app: &'a App, head: &Parts, peer: IpAddr) -> Self {
        app.in_flight.increment(1.0);
        // A proxy of ours has written its id into a log of its own; anybody else could write into ours.
        let proxy = is_trusted(peer, &app.config.trusted_proxies);
        let given = proxy.then(|| given_id(&head.headers)).flatten();
        let own = app.request_ids.next();
        Self {
            app,
            began: Instant::now(),
            method: head.method.clone(),
            request_id: given.clone().unwrap_or_else(|| Arc::clone(&own)),
            journal_ids: (own, given),
            client: peer,
            server: Arc::clone(&app.no_server),
            route: "unknown",
            credential: None,
            by: "",
            scim_type: None,
            entry: None,
            told: Told::default(),
            spending: Arc::default(),
            trace: Trace::begin(&head.method, &head.headers),
            answered: false,
        }
    }

    /// When it came.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// What the journal calls it: an id that no other request has, and the one that a proxy gave it.
    pub fn journal_ids(&self) -> &(Arc<str>, Option<Arc<str>>) {
        &self.journal_ids
    }

    /// The journal is to know what it came to.
    pub fn journalled(&mut self, entry: &Arc<Entry>) {
        self.entry = Some(Arc::clone(entry));
    }

    /// What it is answered with.
    pub fn reply(&mut self, reply: &Reply) {
        let Some(entry) = &self.entry else { return };
        self.told.scim_type =
            reply.error.as_ref().and_then(|error| error.scim_type).map(|scim_type| scim_type.as_str());
        self.told.detail = reply.error.as_ref().map(|error| error.detail.clone());
        if entry.saver().keeps_reads()
            && let Some(body) = &reply.body
            && let Ok(body) = serde_json::from_slice(body)
        {
            self.told.answer = entry.saver().body(&body);
        }
    }

    /// Where the request's work with the database is put down.
    pub fn spending(&self) -> &Arc<Spending> {
        &self.spending
    }

    /// The request's place in a trace.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// For the answer, the application's history and the log.
    pub fn request_id(&self) -> &Arc<str> {
        &self.request_id
    }

    /// Which identity server and route it is.
    pub fn routed(&mut self, server: &Arc<str>, route: &'static str) {
        self.server = Arc::clone(server);
        self.route = route;
    }

    /// Where it came from, after trusted proxies.
    pub fn client(&mut self, address: IpAddr) {
        self.client = address;
    }

    /// By which credential it came.
    pub fn session(&mut self, session: &Session) {
        self.credential = Some(session.credential.clone());
        self.by = session.method;
    }

    /// It could not prove who it is. Why never quotes a secret.
    pub fn unauthenticated(&self, method: &'static str, why: &str) {
        metrics::counter!("scimshim_authentication_failures_total", "scheme" => method).increment(1);
        tracing::info!(
            request = &*self.request_id,
            client = %self.client,
            server = &*self.server,
            by = method,
            why,
            "not authenticated"
        );
    }

    /// What went wrong. Only what is our side's to mend is logged beyond the request's own line.
    pub fn error(&mut self, error: &Error) {
        self.scim_type = error.scim_type.map(|scim_type| scim_type.as_str());
        if let Some(scim_type) = self.scim_type {
            metrics::counter!("scimshim_scim_errors_total", "type" => scim_type).increment(1);
        }
        let request = &*self.request_id;
        let cause = error.cause.as_deref().unwrap_or_default();
        match error.status {
            500 => tracing::error!(request, cause, "internal error"),
            503 => tracing::warn!(request, cause, "unavailable"),
            status => tracing::debug!(request, status, reason = error.reason(), cause, "refused"),
        }
    }

    /// It was answered.
    pub fn answered(mut self, status: StatusCode) {
        self.answered = true;
        self.write(status);
    }

    fn write(&mut self, status: StatusCode) {
        let took = self.began.elapsed();
        let account = self.spending.account();
        let (spent, method) = (account.spent, method_label(&self.method));
        self.app.in_flight.decrement(1.0);
        if let Some(entry) = &self.entry {
            entry.told(Told { status: status.as_u16(), ..self.told.clone() });
        }
        self.app.requests.answered(self.route, &self.method, status, &self.server, took, spent.time);
        let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        if let Some((began, ended)) = account.span {
            let statements = KeyValue::new("scimshim.statements", count(spent.statements));
            self.trace.work(
                "database",
                began,
                ended,
                vec![statements, KeyValue::new("scimshim.rows", count(spent.rows))],
            );
        }
        let attributes = vec![
            KeyValue::new("scimshim.request", self.request_id.to_string()),
            KeyValue::new("scimshim.server", self.server.to_string()),
            KeyValue::new("scimshim.scim_type", self.scim_type.unwrap_or_default()),
        ];
        self.trace.end(method, self.route, status, attributes);
        tracing::info!(
            request = &*self.request_id,
            client = %self.client,
            server = &*self.server,
            by = self.by,
            credential = self.credential.as_deref().unwrap_or_default(),
            method,
            route = self.route,
            status = status.as_u16(),
            scim_type = self.scim_type.unwrap_or_default(),
            ms = milliseconds(took),
            db_ms = milliseconds(spent.time),
            rows = spent.rows,
            trace = self.trace.id().map(tracing::field::display),
            "request"
        );
    }
}

/// With two digits behind the point.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

/// The id that a proxy gave a request: short and of harmless characters, or none.
fn given_id(headers: &HeaderMap) -> Option<Arc<str>> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    ((1..=64).contains(&id.len()) && id.chars().all(harmless)).then(|| Arc::from(id))
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        if !self.answered {
            // 499, as others log it too: the client closed the connection before the answer.
            self.write(StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT));
        }
    }
}
