//! One request's place in a trace (W3C Trace Context): where `traceparent` comes in, and how it goes on to others.
//!
//! Without an exporter the caller's context is passed on as it came; with one, the request is a span of its own in it.

use super::metrics::method_label;
use super::telemetry;
use hyper::http::HeaderMap;
use hyper::{Method, StatusCode};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span, SpanContext, SpanKind, Status, TraceContextExt, TraceId, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace;
use std::time::SystemTime;

/// A request's place.
pub struct Trace {
    /// What others are told that the request belongs to.
    context: SpanContext,
    /// The request itself, where it is exported.
    span: Option<trace::Span>,
}

impl Trace {
    /// Of a request that begins now. What is no `traceparent` is as good as none.
    pub fn begin(method: &Method, headers: &HeaderMap) -> Self {
        let exported = telemetry::tracer();
        if exported.is_none() && !headers.contains_key("traceparent") {
            return Self { context: SpanContext::empty_context(), span: None };
        }
        let caller = TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let span = exported.map(|tracer| {
            tracer.span_builder(method_label(method)).with_kind(SpanKind::Server).start_with_context(tracer, &caller)
        });
        let context = match &span {
            Some(span) => span.span_context().clone(),
            None => caller.span().span_context().clone(),
        };
        Self { context, span }
    }

    /// The trace, for log lines.
    pub fn id(&self) -> Option<TraceId> {
        self.context.is_valid().then(|| self.context.trace_id())
    }

    /// Tells whoever gets the request next. Contexts that stand in the headers already are replaced.
    pub fn pass_on(&self, headers: &mut HeaderMap) {
        if self.context.is_valid() {
            headers.remove("tracestate");
            let context = Context::new().with_remote_span_context(self.context.clone());
            TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(headers));
        }
    }

    /// A piece of work within the request.
    pub fn work(&self, name: &'static str, began: SystemTime, ended: SystemTime, attributes: Vec<KeyValue>) {
        let Some(tracer) = telemetry::tracer().filter(|_| self.span.is_some()) else { return };
        let parent = Context::new().with_remote_span_context(self.context.clone());
        let span = tracer.span_builder(name).with_kind(SpanKind::Client).with_start_time(began);
        span.with_attributes(attributes).start_with_context(tracer, &parent).end_with_timestamp(ended);
    }

    /// The request was answered.
    pub fn end(&mut self, method: &'static str, route: &'static str, status: StatusCode, attributes: Vec<KeyValue>) {
        let Some(span) = &mut self.span else { return };
        span.update_name(format!("{method} {route}"));
        span.set_attribute(KeyValue::new("http.request.method", method));
        span.set_attribute(KeyValue::new("http.route", route));
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        span.set_attributes(attributes);
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_on_as_it_came() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", parent.parse().unwrap());
        headers.insert("tracestate", "a=1,b=2".parse().unwrap());
        let trace = Trace::begin(&Method::GET, &headers);
        assert_eq!(trace.id().unwrap().to_string(), "0af7651916cd43dd8448eb211c80319c");
        let mut next = HeaderMap::new();
        next.insert("traceparent", "00-00000000000000000000000000000001-0000000000000001-00".parse().unwrap());
        trace.pass_on(&mut next);
        assert_eq!((&next["traceparent"], &next["tracestate"]), (&headers["traceparent"], &headers["tracestate"]));
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            let trace = Trace::begin(&Method::GET, &headers);
            assert_eq!(trace.id(), None, "{text}");
            let mut next = HeaderMap::new();
            trace.pass_on(&mut next);
            assert!(next.is_empty(), "{text}: {next:?}");
        }
    }
}
