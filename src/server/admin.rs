//! The private listener: `/healthz`, `/readyz`, `/metrics`. On loopback, plain HTTP, for the machine's
//! own monitoring; it says more than a client of the service may know.

use super::listener::{Peer, Serve};
use super::outgoing::Outgoing;
use super::service::Service;
use super::state::App;
use super::stock::Received;
use super::watch::Noted;
use crate::sql::{Database, Failure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::Duration;

/// How long `/readyz` waits for the database.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the private listener answers from.
pub struct Admin {
    service: Arc<Service>,
    metrics: Option<PrometheusHandle>,
}

impl Admin {
    /// About a service.
    pub fn new(service: Arc<Service>, metrics: Option<PrometheusHandle>) -> Self {
        Self { service, metrics }
    }

    /// Whether requests can be answered now, and how it is; the error says why not.
    async fn readiness(&self, app: &Arc<App>) -> Result<&'static str, String> {
        if self.service.is_stopping() {
            return Err("the service is stopping".to_owned());
        }
        let Some(ready) = app.ready() else {
            return Err(app.why_not_ready().to_string());
        };
        let (database, probing) = (Arc::clone(&ready.database), Arc::clone(&app.probing));
        let asked = async move {
            let turn = probing.lock_owned().await;
            let asked = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                database.with(&mut |connection| connection.batch("SELECT 1"))
            });
            asked.await
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Ok(()))) => Ok(READY),
            Ok(Ok(Err(error))) if error.failure == Failure::Exhausted => busy(&*ready.database),
            Ok(Ok(Err(error))) => Err(format!("the database does not answer: {error}")),
            Ok(Err(error)) => Err(error.to_string()),
            // Where `checkout_timeout` is longer than this.
            Err(_) if matches!(ready.database.usage(), (in_use, _, most) if in_use >= most) => busy(&*ready.database),
            // One connection may lead nowhere any more, while others do.
            Err(_) if ready.database.heard().is_some_and(|ago| ago < LATELY) => Ok(READY),
            Err(_) => Err(format!("the database does not answer within {PATIENCE:?}")),
        }
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let app = self.service.app();
        // Asking the upstream sets its gauge.
        let (ready, _) = tokio::join!(self.readiness(&app), upstream(&app));
        metrics::gauge!("scimshim_ready").set(if ready.is_ok() { 1.0 } else { 0.0 });
        if let Some(ready) = app.ready() {
            let (in_use, idle, most) = ready.database.usage();
            for (state, count) in [("in_use", in_use), ("idle", idle), ("most", most)] {
                metrics::gauge!("scimshim_pool_connections", "state" => state).set(f64::from(count));
            }
        }
        if let Some(proxy) = &app.proxy {
            let (in_use, most) = proxy.usage();
            for (state, count) in [("in_use", in_use), ("most", most)] {
                let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
                metrics::gauge!("scimshim_upstream_requests", "state" => state).set(count);
            }
        }
        match &self.metrics {
            Some(metrics) => {
                metrics.run_upkeep();
                text(StatusCode::OK, metrics.render(), "text/plain; version=0.0.4; charset=utf-8")
            }
            None => text(StatusCode::SERVICE_UNAVAILABLE, "metrics are off\n".to_owned(), PLAIN),
        }
    }
}

const READY: &str = "ready";
/// Requests wait for each other; another process would find the same database.
const BUSY: &str = "ready; every connection to the database is in use";
/// A statement that succeeded so long ago says that the database works. More than a statement or a lock may take where
/// nothing else is configured: each ends with one that succeeds, be it `ROLLBACK`.
const LATELY: Duration = Duration::from_secs(8);
const PLAIN: &str = "text/plain; charset=utf-8";

/// How a database is, all of whose connections are in use: at work for others, or as silent to them as to us.
fn busy(database: &dyn Database) -> Result<&'static str, String> {
    match database.heard() {
        Some(ago) if ago < LATELY => Ok(BUSY),
        Some(ago) => {
            let seconds = ago.as_secs();
            Err(format!(
                "the database does not answer: every connection is in use, and the last answer came {seconds} s ago"
            ))
        }
        None => Err("the database does not answer: every connection is in use, and none was ever answered".to_owned()),
    }
}

impl Serve for Admin {
    async fn serve(&self, _: Peer, request: Request<Noted<Received>>) -> Response<Outgoing> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned(), PLAIN);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response.map(Outgoing::from);
        }
        let response = match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned(), PLAIN),
            "/readyz" => {
                let app = self.service.app();
                let (ready, upstream) = tokio::join!(self.readiness(&app), upstream(&app));
                match ready {
                    Ok(how) => text(StatusCode::OK, format!("{how}\n{upstream}"), PLAIN),
                    Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n{upstream}"), PLAIN),
                }
            }
            "/metrics" => self.metrics().await,
            _ => text(StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n".to_owned(), PLAIN),
        };
        response.map(Outgoing::from)
    }
}

/// What is known of the upstream, for information: while it is down, SCIM is served.
async fn upstream(app: &App) -> String {
    let Some(proxy) = &app.proxy else { return String::new() };
    match tokio::time::timeout(PATIENCE, proxy.probe()).await {
        Ok(Ok(())) => format!("upstream {} is up\n", proxy.name()),
        Ok(Err(why)) => format!("upstream {} is down: {why}\n", proxy.name()),
        Err(_) => format!("upstream {} is down: no connection within {PATIENCE:?}\n", proxy.name()),
    }
}

fn text(status: StatusCode, body: String, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
