//! From a result to an HTTP response: the only place where SCIM answers are rendered.

use super::accept::{self, Form};
use crate::directory::Answer;
use crate::scim::Error;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LOCATION, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH, LOCATION, RETRY_AFTER, STRICT_TRANSPORT_SECURITY,
    WWW_AUTHENTICATE,
};
use hyper::{Method, Response, StatusCode, Version};
use serde::Serialize;
use std::time::Duration;

const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a client waits after a 503 that says nothing else.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// What a body may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// SCIM's media types (RFC 7644 3.1).
    Json,
    /// No content coding.
    Uncompressed,
}

/// What is answered, before it is HTTP.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// JSON, already in its final form.
    pub body: Option<Bytes>,
    /// `ETag`.
    pub etag: Option<String>,
    /// `Location`: of what was created.
    pub location: Option<String>,
    /// `Content-Location`: of what the body shows, where the request's own path does not say so.
    pub content_location: Option<String>,
    /// `Allow`.
    pub allow: Option<&'static str>,
    /// What would have been taken instead: `Accept` or `Accept-Encoding` of a 415 (RFC 9110 15.5.16).
    pub takes: Option<Takes>,
    /// `WWW-Authenticate`, one field each: how a 401 can be overcome (RFC 9110 11.6.1).
    pub challenges: Vec<String>,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// HTTP/1: nothing more is read from this connection.
    pub close: bool,
    /// What went wrong, for the log.
    pub error: Option<Box<Error>>,
}

impl Reply {
    /// A status without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self {
            status,
            body: None,
            etag: None,
            location: None,
            content_location: None,
            allow: None,
            takes: None,
            challenges: Vec::new(),
            retry_after: None,
            close: false,
            error: None,
        }
    }

    /// A body that was rendered before.
    pub fn rendered(status: StatusCode, body: Bytes) -> Self {
        Self { body: Some(body), ..Self::empty(status) }
    }

    /// A message.
    pub fn message(status: StatusCode, message: &impl Serialize) -> Self {
        match serde_json::to_vec(message) {
            Ok(body) => Self::rendered(status, Bytes::from(body)),
            Err(error) => Self::error(Error::internal(error)),
        }
    }

    /// A resource: its version becomes the ETag, and its URL stands in Location and Content-Location, as in the examples
    /// of RFC 7644 3.3 to 3.5.
    pub fn resource(status: StatusCode, answer: Answer) -> Self {
        let Answer { resource, version, location } = answer;
        let content_location = Some(location.clone());
        Self { etag: version, location: Some(location), content_location, ..Self::message(status, &resource) }
    }

    /// An error document.
    pub fn error(error: Error) -> Self {
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&error.to_json()).unwrap_or_default();
        let mut reply = Self::rendered(status, Bytes::from(body));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            reply.retry_after = Some(error.retry_after.unwrap_or(TRY_AGAIN));
        }
        reply.location.clone_from(&error.location);
        reply.error = Some(Box::new(error));
        reply
    }

    /// 405 with what is allowed (RFC 9110 15.5.6).
    pub fn method_not_allowed(method: &Method, allow: &'static str) -> Self {
        let detail = format!("{method} is not possible here; possible are {allow}");
        Self { allow: Some(allow), ..Self::error(Error::new(405, detail)) }
    }

    /// What can be done here (RFC 9110 9.3.7).
    pub fn options(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::empty(StatusCode::NO_CONTENT) }
    }

    /// 415.
    pub fn unsupported(detail: &str, takes: Takes) -> Self {
        Self { takes: Some(takes), ..Self::error(Error::new(415, detail)) }
    }

    /// 429: come back after `wait`.
    pub fn too_many(wait: Duration, detail: &str) -> Self {
        Self { retry_after: Some(wait), ..Self::error(Error::new(429, detail)) }
    }
}

impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        Self::error(error)
    }
}

/// What of a request decides how its answer is written.
pub struct Manner {
    /// The client takes `application/json` and not `application/scim+json`.
    plain_json: bool,
    /// Answers to TLS say that it stays so.
    tls: bool,
    /// HTTP/1.
    http_1: bool,
    /// `If-Match` of a GET or HEAD.
    if_match: Option<HeaderValue>,
    /// `If-None-Match` of a GET or HEAD.
    if_none_match: Option<HeaderValue>,
}

impl Manner {
    /// Reads it off a request's head.
    pub fn of(method: &Method, version: Version, headers: &HeaderMap, tls: bool) -> Self {
        let reads = method == Method::GET || method == Method::HEAD;
        Self {
            plain_json: accept::form(headers) == Some(Form::Json),
            tls,
            http_1: version < Version::HTTP_2,
            if_match: if reads { headers.get(IF_MATCH).cloned() } else { None },
            if_none_match: if reads { headers.get(IF_NONE_MATCH).cloned() } else { None },
        }
    }
}

/// Writes the response.
pub fn render(mut reply: Reply, manner: &Manner, request_id: &str) -> Response<Full<Bytes>> {
    // In this order: RFC 9110 13.2.2.
    if let (StatusCode::OK, Some(asked), Some(etag)) = (reply.status, &manner.if_match, &reply.etag)
        && !names(asked.as_bytes(), etag)
    {
        reply = Reply::error(Error::precondition_failed("the version is not the one in If-Match"));
    }
    if let (StatusCode::OK, Some(asked), Some(etag)) = (reply.status, &manner.if_none_match, &reply.etag)
        && names(asked.as_bytes(), etag)
    {
        reply.status = StatusCode::NOT_MODIFIED;
        reply.body = None;
    }
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.reserve(8);
    if reply.body.is_some() {
        headers.insert(CONTENT_TYPE, if manner.plain_json { JSON } else { SCIM_JSON });
    }
    // Personal data: what a cache keeps, it keeps for this client alone and asks before it shows it.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    put(headers, ETAG, reply.etag.as_deref());
    put(headers, LOCATION, reply.location.as_deref());
    put(headers, CONTENT_LOCATION, reply.content_location.as_deref());
    put(headers, REQUEST_ID, Some(request_id));
    if reply.close && manner.http_1 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(allow) = reply.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    match reply.takes {
        None => {}
        Some(Takes::Json) => {
            headers.insert(ACCEPT, HeaderValue::from_static("application/scim+json, application/json"));
        }
        Some(Takes::Uncompressed) => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
    }
    if let Some(wait) = reply.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    for challenge in reply.challenges.iter().filter_map(|challenge| HeaderValue::from_str(challenge).ok()) {
        headers.append(WWW_AUTHENTICATE, challenge);
    }
    if manner.tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
    if let Some(body) = reply.body {
        *response.body_mut() = Full::new(body);
    }
    response
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}

/// Whether an `If-None-Match` or `If-Match` names this version. Compared weakly (RFC 9110 13.1.2), also for If-Match:
/// ours are weak, and RFC 7644 3.14 has clients send them there.
fn names(asked: &[u8], etag: &str) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let etag = opaque(etag.as_bytes());
    asked.split(|b| *b == b',').map(<[u8]>::trim_ascii).any(|tag| tag == b"*" || opaque(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn content_types() {
        for (accept, expected) in [
            (None, "application/scim+json"),
            (Some("application/json"), "application/json"),
            (Some("application/json, text/html;q=0.1"), "application/json"),
            (Some("application/json;q=0.5, application/scim+json"), "application/scim+json"),
            (Some("*/*"), "application/scim+json"),
            (Some("text/html"), "application/scim+json"),
            (Some("application/scim+json;q=0, */*"), "application/json"),
        ] {
            let headers = headers(&accept.map(|accept| ("accept", accept)).into_iter().collect::<Vec<_>>());
            let response = render(
                Reply::error(Error::new(404, "x")),
                &Manner::of(&Method::GET, Version::HTTP_11, &headers, true),
                "r1",
            );
            assert_eq!(response.headers()[CONTENT_TYPE], expected, "{accept:?}");
            assert_eq!(response.headers()["x-request-id"], "r1");
            assert!(response.headers().contains_key(STRICT_TRANSPORT_SECURITY));
        }
    }

    #[test]
    fn versions() {
        for (method, asked, status) in [
            (Method::GET, "W/\"a\"", 304),
            (Method::GET, "\"a\"", 304),
            (Method::GET, "\"b\", W/\"a\"", 304),
            (Method::GET, "*", 304),
            (Method::GET, "\"b\"", 200),
            (Method::PATCH, "W/\"a\"", 200),
            (Method::HEAD, "W/\"a\"", 304),
        ] {
            let manner = Manner::of(&method, Version::HTTP_11, &headers(&[("if-none-match", asked)]), false);
            let reply = Reply { etag: Some("W/\"a\"".into()), ..Reply::message(StatusCode::OK, &Value::Null) };
            let response = render(reply, &manner, "r");
            assert_eq!(response.status().as_u16(), status, "{method} {asked}");
            assert_eq!(response.headers()[ETAG], "W/\"a\"");
        }
    }

    #[test]
    fn wanted_versions() {
        for (asked, status) in [("*", 200), ("W/\"a\"", 200), ("\"b\", \"a\"", 200), ("\"b\"", 412)] {
            let manner = Manner::of(&Method::GET, Version::HTTP_11, &headers(&[("if-match", asked)]), false);
            let reply = Reply { etag: Some("W/\"a\"".into()), ..Reply::message(StatusCode::OK, &Value::Null) };
            assert_eq!(render(reply, &manner, "r").status().as_u16(), status, "{asked}");
        }
    }

    #[test]
    fn errors() {
        let none = Manner::of(&Method::GET, Version::HTTP_11, &HeaderMap::new(), false);
        let challenges = vec!["Digest realm=\"scim\"".to_owned(), "Basic realm=\"scim\"".to_owned()];
        let challenge = render(Reply { challenges, ..Reply::error(Error::unauthorized("no")) }, &none, "r");
        let fields: Vec<_> = challenge.headers().get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(fields, ["Digest realm=\"scim\"", "Basic realm=\"scim\""]);
        let later = render(Reply::error(Error::unavailable("down")), &none, "r");
        assert_eq!(later.headers()[RETRY_AFTER], "5");
        let wait = render(Reply::too_many(Duration::from_secs(17), "slow down"), &none, "r");
        assert_eq!(wait.headers()[RETRY_AFTER], "17");
        let method = render(Reply::method_not_allowed(&Method::PUT, "GET, POST"), &none, "r");
        assert_eq!(method.headers()[ALLOW], "GET, POST");
    }
}
