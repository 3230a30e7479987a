//! Numbers for Prometheus. Handles are made once for each combination of labels and kept; no label
//! ever carries a user, an id or a path.

use super::proxy::FAILURES;
use crate::config::Config;
use hyper::{Method, StatusCode};
use metrics::{Counter, Histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

const DURATIONS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Starts recording, once a process. Without a recorder everything below does nothing.
pub fn start() -> Option<PrometheusHandle> {
    RECORDER
        .get_or_init(|| {
            let matcher = Matcher::Suffix("_seconds".to_owned());
            let recorder = PrometheusBuilder::new().set_buckets_for_metric(matcher, DURATIONS).ok()?.build_recorder();
            let handle = recorder.handle();
            metrics::set_global_recorder(recorder).ok()?;
            describe();
            metrics::gauge!("scimshim_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
            Some(handle)
        })
        .clone()
}

fn describe() {
    metrics::describe_counter!("scimshim_requests_total", "Requests answered");
    metrics::describe_histogram!("scimshim_request_duration_seconds", "Time from the head of a request to its answer");
    metrics::describe_histogram!("scimshim_request_database_seconds", "Of that, the time of the request's statements");
    metrics::describe_counter!("scimshim_sql_statements_total", "Statements sent, by kind");
    metrics::describe_gauge!("scimshim_connections", "Connections of clients that are open");
    metrics::describe_gauge!(
        "scimshim_certificate_expires_timestamp_seconds",
        "When the certificate ends that clients are shown"
    );
    metrics::describe_counter!("scimshim_reloads_total", "Times the configuration was read again, by outcome");
    metrics::describe_gauge!("scimshim_reload_successful", "1 while the last reload succeeded, or none was asked for");
    metrics::describe_gauge!("scimshim_reload_success_timestamp_seconds", "When the configuration in force was read");
    metrics::describe_gauge!("scimshim_requests_in_flight", "Requests being answered");
    metrics::describe_counter!("scimshim_scim_errors_total", "SCIM errors by scimType");
    metrics::describe_counter!(
        "scimshim_conflicts_out_of_sight_total",
        "Creates refused for a row that the identity server cannot see"
    );
    metrics::describe_counter!("scimshim_brake_refusals_total", "Deactivations and deletions that a brake held back");
    metrics::describe_counter!("scimshim_authentication_failures_total", "Requests that could not be authenticated");
    metrics::describe_counter!("scimshim_issuer_key_fetches_total", "Fetches of other issuers' keys by outcome");
    metrics::describe_counter!("scimshim_introspections_total", "Tokens that their issuer was asked about, by outcome");
    metrics::describe_counter!("scimshim_connections_refused_total", "Connections over one of the caps");
    metrics::describe_counter!("scimshim_tls_handshakes_failed_total", "TLS handshakes that failed or took too long");
    metrics::describe_counter!(
        "scimshim_pool_timeouts_total",
        "Requests that found no free database connection in time"
    );
    metrics::describe_gauge!("scimshim_pool_connections", "Database connections by state");
    metrics::describe_gauge!("scimshim_pool_waiting", "Requests waiting for a database connection");
    metrics::describe_counter!(
        "scimshim_journal_pruned_total",
        "Requests deleted from the journal because they were old"
    );
    metrics::describe_counter!("scimshim_journal_lost_total", "Requests without changes that could not be journalled");
    metrics::describe_gauge!("scimshim_upstream_up", "1 while the upstream can be reached, as far as is known");
    metrics::describe_gauge!(
        "scimshim_upstream_requests",
        "Requests at the upstream until the last byte of their answer, WebSockets among them, and the most there may be"
    );
    metrics::describe_gauge!("scimshim_upstream_tunnels", "WebSockets to the upstream that are open");
    metrics::describe_counter!("scimshim_upstream_failures_total", "Forwarded requests that failed, by kind");
    metrics::describe_histogram!(
        "scimshim_upstream_request_duration_seconds",
        "Time from the head of a forwarded request to that of the upstream's answer"
    );
    metrics::describe_gauge!("scimshim_build_info", "The version that runs");
    metrics::describe_gauge!(
        "scimshim_ready",
        "1 while the database answers, the adapter fits it and the service does not stop"
    );
}

/// Makes known what is counted for a configuration: an alert sees that a counter grew only where it was there before.
pub fn known_to_be(config: &Config) {
    for server in &config.identity_servers {
        for name in ["scimshim_brake_refusals_total", "scimshim_conflicts_out_of_sight_total"] {
            metrics::counter!(name, "server" => server.name.clone()).increment(0);
        }
    }
    for name in [
        "scimshim_connections_refused_total",
        "scimshim_tls_handshakes_failed_total",
        "scimshim_pool_timeouts_total",
        "scimshim_journal_lost_total",
        "scimshim_journal_pruned_total",
    ] {
        metrics::counter!(name).increment(0);
    }
    if config.upstream.is_some() {
        for kind in FAILURES {
            metrics::counter!("scimshim_upstream_failures_total", "kind" => kind).increment(0);
        }
        metrics::gauge!("scimshim_upstream_tunnels").increment(0.0);
    }
}

/// The configuration in force was read now.
pub fn reloaded() {
    metrics::gauge!("scimshim_reload_successful").set(1.0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("scimshim_reload_success_timestamp_seconds").set(now.as_secs_f64().floor());
}

/// It was to be read again.
pub fn reload_ended(well: bool) {
    metrics::counter!("scimshim_reloads_total", "outcome" => if well { "done" } else { "refused" }).increment(1);
    if well {
        reloaded();
    } else {
        metrics::gauge!("scimshim_reload_successful").set(0.0);
    }
}

/// What tells one series of requests from another.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Series {
    route: &'static str,
    method: &'static str,
    status: u16,
    server: Arc<str>,
}

/// What a request is counted in.
struct Handles {
    answered: Counter,
    took: Histogram,
    database: Histogram,
}

impl Handles {
    fn note(&self, took: Duration, database: Duration) {
        self.answered.increment(1);
        self.took.record(took);
        self.database.record(database);
    }
}

/// The series of requests seen so far.
#[derive(Default)]
pub struct Requests {
    series: RwLock<HashMap<Series, Handles>>,
}

impl Requests {
    /// Notes an answer, how long it took, and how much of that the database. `server` is a configured name, or empty.
    pub fn answered(
        &self,
        route: &'static str,
        method: &Method,
        status: StatusCode,
        server: &Arc<str>,
        took: Duration,
        database: Duration,
    ) {
        let series =
            Series { route, method: method_label(method), status: status.as_u16() / 100, server: Arc::clone(server) };
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(handles) = known.get(&series) {
            return handles.note(took, database);
        }
        drop(known);
        let labels = [
            ("route", series.route.to_owned()),
            ("method", series.method.to_owned()),
            ("status", format!("{}xx", series.status)),
            ("server", series.server.to_string()),
        ];
        let handles = Handles {
            answered: metrics::counter!("scimshim_requests_total", &labels),
            took: metrics::histogram!("scimshim_request_duration_seconds", &labels),
            database: metrics::histogram!("scimshim_request_database_seconds", &labels),
        };
        handles.note(took, database);
        self.series.write().unwrap_or_else(PoisonError::into_inner).insert(series, handles);
    }
}

/// Methods as labels: what clients make up becomes one.
pub fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
