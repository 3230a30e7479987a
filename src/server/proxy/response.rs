//! The upstream's answer as the client gets it: looked at first, then without what was between the upstream and us.

use super::request::named;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY, TRANSFER_ENCODING,
    UPGRADE,
};
pub(super) use hyper::http::response::Parts;
use hyper::{Method, Response, StatusCode, Version};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields between the upstream and us. `Alt-Svc` would lead clients past us.
const DROPPED: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authentication-info",
    "te",
    "transfer-encoding",
    "upgrade",
    "alt-svc",
];

/// What is wrong with the head of an answer, where two parsers could read it in two ways. hyper refuses lengths that differ
/// or are no numbers by itself, but not where the answer has no body.
pub(super) fn wrong<B>(answer: &Response<B>, asked_upgrade: bool) -> Option<&'static str> {
    let mut codings = answer.headers().get_all(TRANSFER_ENCODING).iter();
    if let Some(first) = codings.next() {
        if answer.version() != Version::HTTP_11 {
            return Some("a Transfer-Encoding that is none of HTTP/1.1");
        }
        if !first.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
            return Some("a Transfer-Encoding other than one \"chunked\"");
        }
        if answer.headers().contains_key(CONTENT_LENGTH) {
            return Some("a Content-Length beside a Transfer-Encoding");
        }
    }
    let mut lengths = answer.headers().get_all(CONTENT_LENGTH).iter();
    if let Some(first) = lengths.next() {
        let is_number = !first.is_empty() && first.as_bytes().iter().all(u8::is_ascii_digit);
        if !is_number || lengths.next().is_some() {
            return Some("a Content-Length that is not one number");
        }
    }
    match answer.status() {
        StatusCode::SWITCHING_PROTOCOLS if !asked_upgrade => Some("a 101 that nobody asked for"),
        StatusCode::SWITCHING_PROTOCOLS if !is_websocket(answer.headers()) => {
            Some("a 101 to something that was not asked for")
        }
        status if status.as_u16() >= 600 => Some("a status beyond 599"),
        _ => None,
    }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    protocols.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
}

/// Takes out what ends here, and adds what is ours to say.
pub(super) fn rebuild(head: &mut Parts, method: &Method, tls: bool, request_id: &str) {
    let gone: Vec<HeaderName> = named(&head.headers).filter_map(|name| name.parse().ok()).collect();
    let headers = &mut head.headers;
    for name in gone.into_iter().filter(|name| *name != CONTENT_LENGTH) {
        headers.remove(name);
    }
    for name in DROPPED {
        headers.remove(*name);
    }
    if head.status == StatusCode::NO_CONTENT || (head.status == StatusCode::RESET_CONTENT && method != Method::HEAD) {
        headers.remove(CONTENT_LENGTH);
    }
    if tls && !headers.contains_key(STRICT_TRANSPORT_SECURITY) {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
    if !headers.contains_key(X_REQUEST_ID)
        && let Ok(value) = HeaderValue::from_str(request_id)
    {
        headers.insert(X_REQUEST_ID, value);
    }
    // The version is that of the client's connection, and hyper's to say.
    head.version = Version::HTTP_11;
    head.extensions.clear();
}

/// Says that the connection becomes a WebSocket.
pub(super) fn switches(head: &mut Parts) {
    head.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    head.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}
