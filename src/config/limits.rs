//! `limits` and `log`: everything the service bounds, and how it speaks of itself.

use std::time::Duration;

use hyper::Uri;

use super::remote::authority;
use super::values;
use crate::document::{Findings, Reader};

/// What the service refuses to exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest a TLS handshake may take.
    pub handshake: Duration,
    /// The longest the headers of a request may take to arrive.
    pub headers: Duration,
    /// The most bytes of headers, 8 KiB or more.
    pub header_bytes: usize,
    /// The most bytes of a request's body.
    pub body: usize,
    /// The longest pause within a body.
    pub body_idle: Duration,
    /// The longest a request may take; then 503.
    pub request_timeout: Duration,
    /// How long an idle connection is kept.
    pub idle: Duration,
    /// The most connections in all.
    pub connections: usize,
    /// The most connections of one address.
    pub connections_per_address: usize,
    /// The most resources on one page of a list.
    pub page: usize,
    /// The most bytes of a filter.
    pub filter_length: usize,
    /// The deepest nesting of a filter.
    pub filter_depth: usize,
    /// The most operations in one PATCH.
    pub patch_operations: usize,
    /// The most operations in one bulk request.
    pub bulk_operations: usize,
    /// Failed authentications of one address within a minute before it is refused.
    pub failures_per_minute: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            header_bytes: 16 << 10,
            body: 16 << 20,
            body_idle: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            connections: 4096,
            connections_per_address: 256,
            page: 200,
            filter_length: 8 << 10,
            filter_depth: 32,
            patch_operations: 1000,
            bulk_operations: 1000,
            failures_per_minute: 30,
        }
    }
}

pub(super) fn read(reader: &mut Reader<'_>, findings: &mut Findings) -> Limits {
    let mut limits = Limits::default();
    let Some(mut reader) = reader.given("limits").and_then(|node| Reader::mapping(node, findings)) else {
        return limits;
    };
    let durations = [
        ("handshake", &mut limits.handshake),
        ("headers", &mut limits.headers),
        ("body_idle", &mut limits.body_idle),
        ("request_timeout", &mut limits.request_timeout),
        ("idle", &mut limits.idle),
    ];
    for (key, value) in durations {
        *value = values::duration(&mut reader, key, *value, findings);
    }
    let sizes = [
        // HTTP/1.1 is read into a buffer that cannot be smaller.
        ("header_bytes", &mut limits.header_bytes, 8 << 10),
        ("body", &mut limits.body, 1),
        ("filter_length", &mut limits.filter_length, 1),
    ];
    for (key, value, least) in sizes {
        *value = values::size(&mut reader, key, *value, least, findings);
    }
    let counts = [
        ("connections", &mut limits.connections, 1_000_000),
        ("connections_per_address", &mut limits.connections_per_address, 1_000_000),
        ("page", &mut limits.page, 10_000),
        ("filter_depth", &mut limits.filter_depth, 128),
        ("patch_operations", &mut limits.patch_operations, 1_000_000),
        ("bulk_operations", &mut limits.bulk_operations, 1_000_000),
        ("failures_per_minute", &mut limits.failures_per_minute, 1_000_000),
    ];
    for (key, value, most) in counts {
        *value = values::count(&mut reader, key, *value, 1..=most, findings);
    }
    reader.finish(findings);
    limits
}

/// How the service logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// The least important level that is logged.
    pub level: LogLevel,
    /// Where an OpenTelemetry collector takes log lines and traces (OTLP over HTTP): `http://` or `https://`, without
    /// the signal's own path.
    pub otlp: Option<Uri>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Somebody must act.
    Error,
    /// Somebody should look.
    Warn,
    /// One line a request.
    Info,
    /// What was decided, and why.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As tracing filters spell it.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

pub(super) fn log(reader: &mut Reader<'_>, findings: &mut Findings) -> Log {
    let mut log = Log { format: LogFormat::Auto, level: LogLevel::Info, otlp: None };
    let Some(mut reader) = reader.given("log").and_then(|node| Reader::mapping(node, findings)) else {
        return log;
    };
    let formats = [("auto", LogFormat::Auto), ("text", LogFormat::Text), ("json", LogFormat::Json)];
    log.format = reader.word("format", &formats, findings).unwrap_or(log.format);
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    log.level = reader.word("level", &levels.map(|level| (level.name(), level)), findings).unwrap_or(log.level);
    if let Some(node) = reader.given("otlp").filter(|node| node.scalar_text() != Some("none")) {
        log.otlp = node.read_str(findings).and_then(|text| {
            let collector = collector(text);
            if let Err(why) = &collector {
                let found = findings.error(node, format!("`otlp` is not the URL of a collector: {why}"));
                found.help("write where it takes OTLP over HTTP: `otlp: http://127.0.0.1:4318`, or `otlp: none`");
            }
            collector.ok()
        });
    }
    reader.finish(findings);
    log
}

fn collector(text: &str) -> Result<Uri, &'static str> {
    let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| "it is no URL")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("it must start with `http://` or `https://`");
    }
    authority(&uri)?;
    if uri.query().is_some() { Err("it must have no query") } else { Ok(uri) }
}
