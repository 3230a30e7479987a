//! Answers of the authorization server: JSON for clients (RFC 6749 5), pages and redirections for browsers. None may be kept
//! by anybody, none may be framed, and the reason of a failure on our side stays in the log.

use crate::identity::oauth2::refusal::{Code, Refusal};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, PRAGMA, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is answered.
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    fn new(status: StatusCode, body: impl Into<Bytes>, content_type: &'static str) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))];
        Self { status, body: body.into(), headers }
    }

    /// Nothing but a status.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, body: Bytes::new(), headers: Vec::new() }
    }

    /// JSON.
    pub(super) fn json(status: StatusCode, value: &Value) -> Self {
        Self::new(status, value.to_string(), "application/json")
    }

    /// HTML.
    pub(super) fn page(status: StatusCode, html: String) -> Self {
        Self::new(status, html, "text/html; charset=utf-8")
    }

    /// The browser goes on to `url`, by GET (RFC 9700 4.12). It was made from a configured URL and encoded text.
    pub(super) fn redirect(url: &str) -> Self {
        Self::empty(StatusCode::SEE_OTHER).with(LOCATION, url)
    }

    /// One more header; a value that cannot be one is left out.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// The response. RFC 6749 5.1 wants both of the headers that forbid keeping it.
    pub(super) fn finish(self, request_id: &str, tls: bool) -> Response<Full<Bytes>> {
        let mut answer = self.with(REQUEST_ID, request_id);
        if tls {
            answer = answer.with(STRICT_TRANSPORT_SECURITY, "max-age=63072000");
        }
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        for (name, value) in answer.headers {
            headers.append(name, value);
        }
        response
    }
}

/// Why there is no answer of the usual kind.
pub(super) enum Problem {
    /// The request is refused.
    Refused(Refusal),
    /// Too many failures; how long to wait.
    TooMany(Duration),
    /// What cannot be read without doubt goes no further, and neither does its connection.
    Malformed(StatusCode, &'static str),
    /// 415.
    Media,
    /// 413.
    TooLarge,
    /// 405; what is allowed.
    Method(&'static str),
    /// Something else; for the person who reads it.
    Other(StatusCode, &'static str),
    /// 503; why, for the log.
    Unavailable(String),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Problem::Refused(refusal)
    }
}

impl From<crate::identity::oauth2::store::Trouble> for Problem {
    fn from(trouble: crate::identity::oauth2::store::Trouble) -> Self {
        use crate::identity::oauth2::store::Trouble;
        match trouble {
            Trouble::Refused(refusal) => Problem::Refused(refusal),
            Trouble::Database(error) => Problem::Unavailable(error.to_string()),
        }
    }
}

impl From<crate::identity::oauth2::assertion::Unproved> for Problem {
    fn from(unproved: crate::identity::oauth2::assertion::Unproved) -> Self {
        use crate::identity::oauth2::assertion::Unproved;
        match unproved {
            Unproved::Refused(refusal) => Problem::Refused(refusal),
            Unproved::Unavailable(why) => Problem::Unavailable(why),
        }
    }
}

impl Problem {
    /// What only we can mend is in the log, with its cause; the rest for those who look for it.
    pub(super) fn note(&self, request: &str) {
        match self {
            Problem::Unavailable(cause) => tracing::warn!(request, cause, "unavailable"),
            problem => tracing::debug!(request, why = &*problem.description(), "refused"),
        }
    }

    /// The status.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Problem::Refused(refusal) if refusal.code == Code::InvalidClient => StatusCode::UNAUTHORIZED,
            Problem::Refused(_) => StatusCode::BAD_REQUEST,
            Problem::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Problem::Malformed(status, _) | Problem::Other(status, _) => *status,
            Problem::Media => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Problem::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Problem::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Problem::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// In words, without what only the log may know.
    pub(super) fn description(&self) -> std::borrow::Cow<'_, str> {
        match self {
            Problem::Refused(refusal) => refusal.description.as_ref().into(),
            Problem::TooMany(wait) => {
                format!("too many failed attempts; try again in {} seconds", wait.as_secs().max(1)).into()
            }
            Problem::Malformed(_, why) | Problem::Other(_, why) => (*why).into(),
            Problem::Media => "the body must be application/x-www-form-urlencoded, and not compressed".into(),
            Problem::TooLarge => "the body is larger than any request here".into(),
            Problem::Method(allow) => format!("possible here: {allow}").into(),
            Problem::Unavailable(_) => "the service cannot answer now; try again in a few seconds".into(),
        }
    }

    /// The headers that go with it.
    pub(super) fn headers(&self, mut answer: Answer) -> Answer {
        match self {
            // RFC 6749 5.2: in the client's own way where it used the header; HTTP wants it with every 401.
            Problem::Refused(refusal) if refusal.code == Code::InvalidClient => {
                answer = answer.with(WWW_AUTHENTICATE, "Basic realm=\"oauth2\", charset=\"UTF-8\"");
            }
            Problem::TooMany(wait) => answer = answer.with(RETRY_AFTER, &wait.as_secs().max(1).to_string()),
            Problem::Unavailable(_) => answer = answer.with(RETRY_AFTER, "5"),
            Problem::Method(allow) => answer = answer.with(ALLOW, allow),
            Problem::Malformed(..) => answer = answer.with(CONNECTION, "close"),
            _ => {}
        }
        answer
    }

    /// As a client reads it (RFC 6749 5.2).
    pub(super) fn into_json(self) -> Answer {
        let code = match &self {
            Problem::Refused(refusal) => refusal.code,
            Problem::TooMany(_) | Problem::Unavailable(_) => Code::TemporarilyUnavailable,
            _ => Code::InvalidRequest,
        };
        let body = json!({ "error": code.word(), "error_description": self.description() });
        self.headers(Answer::json(self.status(), &body))
    }
}
