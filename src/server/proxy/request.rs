//! The request as the upstream gets it: built anew from what was parsed, never copied.
//!
//! Left out are hop-by-hop fields and those that `Connection` names (RFC 9110 7.6.1), names that CGI could take for others,
//! and every claim about where a request comes from or where it goes that is not ours to believe. The framing is that of
//! the body we have. There is no `Via`: nginx would stop compressing for whoever is behind a proxy. `CDN-Loop` (RFC 8586)
//! finds circles instead.

use super::super::address::{Client, forwarded, is_trusted};
use super::super::listener::Peer;
use super::super::trace::Trace;
use crate::config::{Config, Place, Upstream};
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{Method, Request, Uri, Version};
use std::net::IpAddr;

pub(super) const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Fields between two neighbours.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "proxy-authenticate",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// What some application somewhere takes for the client's address, for another path, or for its own environment
/// (`Proxy` is CGI's HTTP_PROXY). All `X-Forwarded-*` besides.
const CLAIMS: &[&str] = &[
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-originating-ip",
    "x-remote-ip",
    "x-remote-addr",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-host",
    "x-original-host",
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-url-scheme",
    "front-end-https",
    "proxy",
    "x-request-id",
];

/// Of a request that is to be forwarded: what is not in its head.
pub(super) struct About<'r> {
    pub(super) config: &'r Config,
    pub(super) upstream: &'r Upstream,
    /// The upstream's own authority.
    pub(super) authority: &'r str,
    pub(super) peer: &'r Peer,
    pub(super) client: Client,
    pub(super) request_id: &'r str,
    pub(super) trace: &'r Trace,
    /// This process, for `CDN-Loop`.
    pub(super) process: &'r str,
    /// There is a body.
    pub(super) has_body: bool,
    /// It becomes a tunnel.
    pub(super) upgrades: bool,
    /// The client waits to be told to send its body.
    pub(super) expects: bool,
}

/// Whether a client asks for a WebSocket (RFC 6455 4.1): the one upgrade that is passed on.
pub(super) fn upgrades(head: &Parts) -> bool {
    let mut protocols = head.headers.get_all(UPGRADE).iter();
    let websocket = protocols.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let named = named(&head.headers).any(|name| name.eq_ignore_ascii_case("upgrade"));
    head.version == Version::HTTP_11 && head.method == Method::GET && websocket && protocols.next().is_none() && named
}

/// The names in `Connection`.
pub(super) fn named(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Whether a field of a request goes on.
fn is_passed(name: &HeaderName) -> bool {
    let text = name.as_str();
    // Apache makes `_` of everything that is neither letter nor digit, nginx and PHP of `-`.
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    plain
        && !text.starts_with("x-forwarded")
        && !HOP_BY_HOP.contains(&text)
        && !CLAIMS.contains(&text)
        && ![HOST, CONTENT_LENGTH, EXPECT, COOKIE, CDN_LOOP].contains(name)
}

/// Whether a field may come behind a body, in either direction.
pub(super) fn is_trailer(name: &HeaderName) -> bool {
    is_passed(name)
        && *name != TRAILER
        && *name != SET_COOKIE
        && !name.as_str().starts_with("sec-")
        && !matches!(
            name.as_str(),
            "authorization"
                | "cache-control"
                | "content-encoding"
                | "content-type"
                | "content-range"
                | "range"
                | "location"
                | "date"
        )
}

/// The request for the upstream, without its body; `two` is HTTP/2.
pub(super) fn build(head: &Parts, about: &About<'_>, two: bool) -> Option<Request<()>> {
    let client_host = client_host(head);
    let host = match client_host {
        Some(host) if about.upstream.preserve_host => host,
        _ => about.authority,
    };
    let target = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    let headers = request.headers_mut();
    headers.reserve(head.headers.len() + 8);
    let mut parts = hyper::http::uri::Parts::default();
    parts.path_and_query = Some(target);
    if two {
        parts.scheme = Some(if matches!(about.upstream.place, Place::Tls(..)) { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(Authority::try_from(host).ok()?);
    } else {
        headers.insert(HOST, HeaderValue::from_str(host).ok()?);
    }
    let gone: Vec<&str> = named(&head.headers).collect();
    for (name, value) in &head.headers {
        if is_passed(name) && !gone.iter().any(|gone| gone.eq_ignore_ascii_case(name.as_str())) {
            headers.append(name, value.clone());
        }
    }
    if !gone.iter().any(|gone| gone.eq_ignore_ascii_case("cookie")) {
        cookies(&head.headers, headers);
    }
    framing(head, about, headers, two);
    origin(head, about, client_host, headers)?;
    about.trace.pass_on(headers);
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    Some(request)
}

/// The host that the client asked for.
fn client_host(head: &Parts) -> Option<&str> {
    match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers.get(HOST).and_then(|host| host.to_str().ok()),
    }
}

/// HTTP/2 may cut cookies into several fields; before HTTP/1 they are one (RFC 9113 8.2.3).
fn cookies(from: &HeaderMap, to: &mut HeaderMap) {
    let all: Vec<&[u8]> = from.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(value) = HeaderValue::from_bytes(&all.join(&b"; "[..]))
        && !all.is_empty()
    {
        to.insert(COOKIE, value);
    }
}

/// What is between the upstream and us.
fn framing(head: &Parts, about: &About<'_>, headers: &mut HeaderMap, two: bool) {
    if !about.has_body && matches!(head.method, Method::POST | Method::PUT | Method::PATCH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    // Not of interest where there is nothing that could be followed by one.
    if !about.has_body {
        headers.remove(TRAILER);
    }
    let takes_trailers = head.headers.get_all(TE).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value
            .split(',')
            .any(|coding| coding.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("trailers"))
    });
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if two {
        return;
    }
    if about.expects {
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
    if about.upgrades {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    } else if takes_trailers {
        headers.insert(CONNECTION, HeaderValue::from_static("TE"));
    }
    headers.remove(TRANSFER_ENCODING);
}

/// Who asks, through what, for whom: said by us (RFC 7239).
fn origin(head: &Parts, about: &About<'_>, client_host: Option<&str>, headers: &mut HeaderMap) -> Option<()> {
    let trusted = is_trusted(about.peer.address, &about.config.trusted_proxies);
    let said = |name: &HeaderName| {
        let mut values = head.headers.get_all(name).iter();
        let value = values.next().filter(|_| trusted && values.next().is_none())?;
        value.to_str().ok().map(str::trim)
    };
    let own = if about.peer.tls { "https" } else { "http" };
    let proto = said(&X_FORWARDED_PROTO)
        .or_else(|| forwarded(said(&FORWARDED)?, "proto"))
        .map(str::to_ascii_lowercase)
        .filter(|proto| proto == "https" || proto == "http");
    let proto = proto.as_deref().unwrap_or(own);
    let host = said(&X_FORWARDED_HOST)
        .or_else(|| forwarded(said(&FORWARDED)?, "host"))
        .filter(|host| super::super::refusals::is_authority(host))
        .or(client_host);
    let address = about.client.address;
    let node = match address {
        _ if !about.client.known => "unknown".to_owned(),
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let mut all = format!("for={node};proto={proto}");
    if let Some(host) = host {
        all.push_str(&format!(";host=\"{host}\""));
        headers.insert(X_FORWARDED_HOST, HeaderValue::from_str(host).ok()?);
    }
    headers.insert(FORWARDED, HeaderValue::from_str(&all).ok()?);
    headers.insert(X_FORWARDED_FOR, HeaderValue::from_str(&address.to_string()).ok()?);
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_str(proto).ok()?);
    // Of a proxy that is believed, what only it can know.
    for name in ["x-forwarded-port", "x-forwarded-prefix"].map(HeaderName::from_static) {
        if let Some(value) = said(&name) {
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
    }
    headers.insert(X_REQUEST_ID, HeaderValue::from_str(about.request_id).ok()?);
    for value in head.headers.get_all(CDN_LOOP) {
        headers.append(CDN_LOOP, value.clone());
    }
    headers.append(CDN_LOOP, HeaderValue::from_str(&format!("scimshim; id={}", about.process)).ok()?);
    Some(())
}
