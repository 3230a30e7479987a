//! OpenTelemetry: log lines and traces on their way to a collector (OTLP over HTTP, as JSON), beside the log on stderr and
//! never instead of it. Nothing here waits for the collector: what it does not take in time is dropped.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>

use crate::config::Trust;
use crate::identity::fetch;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry::trace::TracerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{LogExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

/// How long the collector has for one batch.
const TIME: Duration = Duration::from_secs(10);
/// How long it has for the last one, when the process ends.
const LAST: Duration = Duration::from_secs(3);
/// The largest answer of a collector, in bytes.
const MOST: usize = 256 * 1024;

/// What turns log lines into log records.
pub type Bridge = OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>;

struct Telemetry {
    logs: SdkLoggerProvider,
    traces: SdkTracerProvider,
    tracer: SdkTracer,
    runtime: Arc<OnceLock<Handle>>,
}

static TELEMETRY: OnceLock<Telemetry> = OnceLock::new();

/// Begins to export to `collector`, once a process. Nothing is sent before [`attach`].
pub fn start(collector: &Uri) -> Result<Bridge, String> {
    let runtime = Arc::new(OnceLock::new());
    let tls = match collector.scheme_str() {
        Some("https") => {
            let trust = Trust { ca: None, private_network: true };
            Some(TlsConnector::from(Arc::new(fetch::client_tls(&trust)?)))
        }
        _ => None,
    };
    let client = Collector { tls, runtime: Arc::clone(&runtime) };
    let base = collector.to_string();
    let endpoint = |signal: &str| format!("{}/v1/{signal}", base.trim_end_matches('/'));
    let traces = SpanExporter::builder()
        .with_http()
        .with_http_client(client.clone())
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(endpoint("traces"))
        .with_timeout(TIME)
        .build()
        .map_err(|error| error.to_string())?;
    let logs = LogExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_protocol(Protocol::HttpJson)
        .with_endpoint(endpoint("logs"))
        .with_timeout(TIME)
        .build()
        .map_err(|error| error.to_string())?;
    // OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME may say more.
    let resource = || {
        Resource::builder()
            .with_service_name("scimshim")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build()
    };
    let traces = SdkTracerProvider::builder().with_batch_exporter(traces).with_resource(resource()).build();
    let logs = SdkLoggerProvider::builder().with_batch_exporter(logs).with_resource(resource()).build();
    let bridge = OpenTelemetryTracingBridge::new(&logs);
    let tracer = traces.tracer("scimshim");
    let _ = TELEMETRY.set(Telemetry { logs, traces, tracer, runtime });
    Ok(bridge)
}

/// Sends from this runtime on.
pub fn attach() {
    if let Some(telemetry) = TELEMETRY.get() {
        let _ = telemetry.runtime.set(Handle::current());
    }
}

/// What makes spans, where they are exported.
pub fn tracer() -> Option<&'static SdkTracer> {
    TELEMETRY.get().map(|telemetry| &telemetry.tracer)
}

/// Sends what is left, before the runtime ends. Waits for the collector, but not for long.
pub async fn finish() {
    let _ = tokio::task::spawn_blocking(|| {
        if let Some(telemetry) = TELEMETRY.get() {
            // A collector that is down is no news for anybody who could act now.
            let _ = telemetry.traces.shutdown_with_timeout(LAST);
            let _ = telemetry.logs.shutdown_with_timeout(LAST);
        }
    })
    .await;
}

/// Speaks HTTP to the collector. The exporters have threads of their own, without a runtime.
#[derive(Clone)]
struct Collector {
    tls: Option<TlsConnector>,
    runtime: Arc<OnceLock<Handle>>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = self.runtime.get().ok_or("the service is not up yet")?;
        let tls = self.tls.clone();
        runtime
            .spawn(async move { tokio::time::timeout(TIME, send(tls, request)).await })
            .await?
            .map_err(|_| HttpError::from(format!("no answer within {TIME:?}")))?
    }
}

async fn send(tls: Option<TlsConnector>, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let authority = request.uri().authority().cloned().ok_or("a URL without a host")?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    match tls {
        Some(tls) => exchange(tls.connect(ServerName::try_from(host)?, stream).await?, request).await,
        None => exchange(stream, request).await,
    }
}

async fn exchange<S>(stream: S, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Aborted when dropped, whatever happens below.
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(connection);
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str())?;
        request.headers_mut().insert(HOST, host);
    }
    *request.uri_mut() = request.uri().path_and_query().map_or("/", |target| target.as_str()).parse()?;
    let (head, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
    let body = Limited::new(body, MOST).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}
