//! What a person or a program sees where the application's own answer cannot be had: a page, JSON or a line of text.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode, Version};
use serde_json::json;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A page to be.
pub(super) struct Page<'p> {
    pub(super) status: StatusCode,
    /// What to check. Ours alone: nothing of the request stands in it.
    pub(super) detail: &'static str,
    pub(super) request_id: &'p str,
    pub(super) tls: bool,
    /// Nothing more is read from this connection.
    pub(super) close: bool,
}

impl Page<'_> {
    /// In the form that the client takes.
    pub(super) fn write(&self, request: &HeaderMap, version: Version) -> Response<Full<Bytes>> {
        let reason = self.status.canonical_reason().unwrap_or("Error");
        let (code, detail, id) = (self.status.as_u16(), self.detail, self.request_id);
        let accepts = |media: &str| {
            let values = request.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
            values
                .flat_map(|value| value.split(','))
                .any(|range| range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media))
        };
        let (media, body) = if accepts("text/html") {
            let html = format!(
                "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{code} {reason}</title></head>\n\
                 <body><h1>{code} {reason}</h1>\n<p>{detail}</p>\n<p>Request <code>{id}</code>: the log of scimshim says \
                 more.</p></body></html>\n"
            );
            ("text/html; charset=utf-8", html)
        } else if accepts("application/json") {
            let body = json!({ "status": code, "error": reason, "detail": detail, "request_id": id });
            ("application/json", body.to_string())
        } else {
            let text = format!("{code} {reason}\n{detail}\nRequest {id}: the log of scimshim says more.\n");
            ("text/plain; charset=utf-8", text)
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'"));
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(X_REQUEST_ID, id);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        if self.tls {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
        }
        if self.close && version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
