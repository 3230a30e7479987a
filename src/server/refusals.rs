//! What is refused at the door, before routing: everything that two parsers could read in two ways.
//!
//! hyper accepts what is ambiguous (two Host headers, an authority that differs from Host, `gzip,
//! chunked`, `Upgrade: h2c`, names with `_`, dot segments ...). A proxy in front of us, or an
//! application behind us, may read it differently; so nothing of the kind goes further. What hyper
//! refuses by itself (differing Content-Length, obsolete folding, NUL) is not repeated here. A line
//! that ends in LF alone, and a Content-Length beside a Transfer-Encoding, are gone by the time hyper hands
//! over a request; [`super::watch`] sees them before.

use super::watch::Doubt;
use hyper::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, StatusCode, Version};

/// The most header fields in one request.
pub const MAX_FIELDS: usize = 64;
/// The longest path and query, in bytes.
pub const MAX_TARGET: usize = 16 * 1024;

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// For the person at the other end.
    pub detail: &'static str,
}

const fn refusal(status: StatusCode, detail: &'static str) -> Option<Refusal> {
    Some(Refusal { status, detail })
}

/// Looks at the head of a request; `None` lets it in.
pub fn refuse(request: &Parts, doubt: Option<Doubt>) -> Option<Refusal> {
    doubtful(doubt)
        .or_else(|| method(&request.method))
        .or_else(|| authority(request))
        .or_else(|| underscores(&request.headers))
        .or_else(|| fields(request))
        .or_else(|| target(request.uri.path(), request.uri.query()))
        .or_else(|| unexpected_body(request))
}

/// The same for a request that goes on to an application: which may know methods of its own (WebDAV, CalDAV), and never sees
/// fields with odd names.
pub fn refuse_forwarded(request: &Parts, doubt: Option<Doubt>) -> Option<Refusal> {
    doubtful(doubt)
        .or_else(|| method(&request.method).filter(|refusal| refusal.status != StatusCode::NOT_IMPLEMENTED))
        .or_else(|| authority(request))
        .or_else(|| fields(request))
        .or_else(|| target(request.uri.path(), request.uri.query()))
        .or_else(|| unexpected_body(request))
}

/// RFC 9112 2.2 lets a recipient take LF for a line end, and 6.3 lets it choose between two lengths; where
/// one does and another does not, a request has two meanings.
fn doubtful(doubt: Option<Doubt>) -> Option<Refusal> {
    let detail = match doubt? {
        Doubt::BareLineFeed => "a line of the head ends in LF without CR",
        Doubt::TwoLengths => "a request has one Content-Length or a Transfer-Encoding, not both",
        Doubt::Unseen => "too many requests came at once, or one behind a chunked body that cannot be read",
    };
    refusal(StatusCode::BAD_REQUEST, detail)
}

fn method(method: &Method) -> Option<Refusal> {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS => {
            None
        }
        Method::CONNECT | Method::TRACE => {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "CONNECT and TRACE are not served here")
        }
        // Another name for TRACE; and the first word of HTTP/2, which is no request.
        _ if matches!(method.as_str(), "TRACK" | "PRI") => {
            refusal(StatusCode::METHOD_NOT_ALLOWED, "TRACK and PRI are not served here")
        }
        // A method is one word (RFC 9110 9.1); some token characters would be something else to a shell or a log.
        _ if method.as_str().bytes().any(|b| !b.is_ascii_alphanumeric() && b != b'-' && b != b'_') => {
            refusal(StatusCode::BAD_REQUEST, "this is not the name of an HTTP method")
        }
        // RFC 9110 9.1: methods are case-sensitive.
        _ if method.as_str().bytes().any(|b| b.is_ascii_lowercase()) => {
            refusal(StatusCode::BAD_REQUEST, "HTTP methods are written in capitals")
        }
        _ => refusal(StatusCode::NOT_IMPLEMENTED, "this HTTP method is not known here"),
    }
}

/// RFC 9112 3.2: exactly one Host, and the same as the request target's authority.
fn authority(request: &Parts) -> Option<Refusal> {
    const TWO: &str = "exactly one Host header is needed";
    const DIFFERENT: &str = "the request target and the Host header name different hosts";
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return refusal(StatusCode::BAD_REQUEST, TWO);
    }
    let target = request.uri.authority();
    match (host, target) {
        (None, None) if request.version == Version::HTTP_11 => refusal(StatusCode::BAD_REQUEST, TWO),
        (None, Some(_)) if request.version == Version::HTTP_11 => refusal(StatusCode::BAD_REQUEST, TWO),
        (None, None) if request.version == Version::HTTP_2 => {
            refusal(StatusCode::BAD_REQUEST, "the request names no host")
        }
        (None, target) => {
            let named = target.is_none_or(|authority| is_authority(authority.as_str()));
            if named { None } else { refusal(StatusCode::BAD_REQUEST, "the request target names no host") }
        }
        (Some(host), target) => {
            let Some(host) = host.to_str().ok().filter(|host| is_authority(host)) else {
                return refusal(StatusCode::BAD_REQUEST, "the Host header is not a host name");
            };
            let target = target.map(Authority::as_str)?;
            if without_default_port(host).eq_ignore_ascii_case(without_default_port(target)) {
                None
            } else {
                refusal(StatusCode::BAD_REQUEST, DIFFERENT)
            }
        }
    }
}

/// Whether it is a host name or an address, perhaps with a port.
pub(super) fn is_authority(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'%'))
}

fn without_default_port(authority: &str) -> &str {
    authority.strip_suffix(":443").or_else(|| authority.strip_suffix(":80")).unwrap_or(authority)
}

/// CGI and PHP read `-` and `_` as one: X_Forwarded_For would become X-Forwarded-For.
fn underscores(headers: &HeaderMap) -> Option<Refusal> {
    if headers.keys().any(|name| name.as_str().contains('_')) {
        return refusal(StatusCode::BAD_REQUEST, "header names with an underscore are refused");
    }
    None
}

fn fields(request: &Parts) -> Option<Refusal> {
    let headers = &request.headers;
    // HTTP/2 lets a client cut Cookie up, and browsers do (RFC 9113 8.2.3): the pieces are one field.
    let pieces = if request.version == Version::HTTP_2 { headers.get_all(COOKIE).iter().count() } else { 0 };
    if headers.len().saturating_sub(pieces.saturating_sub(1)) > MAX_FIELDS {
        return refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "more than 64 header fields");
    }
    if headers.contains_key(HTTP2_SETTINGS) || upgrades_to_h2c(headers) {
        return refusal(StatusCode::BAD_REQUEST, "an upgrade to h2c is refused; HTTP/2 is negotiated by TLS");
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(first) = codings.next() {
        let chunked = first.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
        if !chunked || codings.next().is_some() || request.version != Version::HTTP_11 {
            return refusal(StatusCode::BAD_REQUEST, "the only Transfer-Encoding accepted is one \"chunked\"");
        }
    }
    if headers.get(EXPECT).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return refusal(StatusCode::EXPECTATION_FAILED, "the only expectation met here is 100-continue");
    }
    None
}

fn upgrades_to_h2c(headers: &HeaderMap) -> bool {
    headers.get_all(UPGRADE).iter().any(|value| {
        value.as_bytes().split(|b| *b == b',').any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
    })
}

/// The path, where a proxy or an application would see another one after decoding.
fn target(path: &str, query: Option<&str>) -> Option<Refusal> {
    if path.len().saturating_add(query.map_or(0, str::len)) > MAX_TARGET {
        return refusal(StatusCode::URI_TOO_LONG, "the request target is longer than 16 KiB");
    }
    if !path.starts_with('/') {
        return refusal(StatusCode::BAD_REQUEST, "the request target is not a path");
    }
    let plain = !path.bytes().any(|b| matches!(b, b'%' | b'\\' | b'.' | 0..=0x20 | 0x7f));
    if plain {
        return None;
    }
    for segment in path.split('/') {
        if let Some(detail) = bad_segment(segment) {
            return refusal(StatusCode::BAD_REQUEST, detail);
        }
    }
    None
}

/// A segment of dots is one also with what servers elsewhere strip from it before they look: parameters behind `;`, spaces.
fn bad_segment(segment: &str) -> Option<&'static str> {
    let mut dots = 0_usize;
    let mut others = false;
    let mut parameters = false;
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        let decoded = if byte == b'%' {
            let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
                return Some("the path has a % that does not begin an encoded byte");
            };
            high * 16 + low
        } else {
            byte
        };
        match (decoded, byte) {
            (b'/', _) => return Some("the path has an encoded slash"),
            (b'\\', _) => return Some("the path has a backslash"),
            (0, _) => return Some("the path has a NUL byte"),
            (1..=0x1f | 0x7f, _) => return Some("the path has a control character"),
            (b';', _) => parameters = true,
            (b' ', _) => {}
            _ if parameters => {}
            (b'.', _) => dots += 1,
            _ => others = true,
        }
    }
    (!others && (dots == 1 || dots == 2)).then_some("the path has a dot segment")
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// RFC 9110 9.3.1: content in a GET has no meaning; what has none is how requests are smuggled.
fn unexpected_body(request: &Parts) -> Option<Refusal> {
    if request.method != Method::GET && request.method != Method::HEAD {
        return None;
    }
    let length = request.headers.get(CONTENT_LENGTH).is_some_and(|length| length.as_bytes().trim_ascii() != b"0");
    if length || request.headers.contains_key(TRANSFER_ENCODING) {
        return refusal(StatusCode::BAD_REQUEST, "a GET carries no body; use POST to /.search");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn check(version: Version, method: &str, target: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let mut request = Request::builder().version(version).method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        refuse(&parts, None).map(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn http_1() {
        const H: (&str, &str) = ("host", "scim.example.com");
        // method, target, headers, status of the refusal
        type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], Option<u16>);
        let table: &[Row] = &[
            ("GET", "/scim/v2/Users", &[H], None),
            ("GET", "/scim/v2//Users/?filter=a+eq+%22..%2f%22", &[H], None),
            ("GET", "/scim/v2/Users/a%20b", &[H], None),
            ("GET", "/scim/v2/Users/a.b", &[H], None),
            ("GET", "/scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", &[H], None),
            ("OPTIONS", "/scim/v2/Users", &[H], None),
            ("GET", "/", &[], Some(400)),
            ("GET", "/", &[H, H], Some(400)),
            ("GET", "/", &[("host", "")], Some(400)),
            ("GET", "/", &[("host", "a b")], Some(400)),
            ("GET", "/", &[("host", "a@b")], Some(400)),
            ("GET", "http://scim.example.com/x", &[H], None),
            ("GET", "http://SCIM.example.com:80/x", &[H], None),
            ("GET", "http://evil.example.com/x", &[H], Some(400)),
            ("GET", "http://user@scim.example.com/x", &[H], Some(400)),
            ("GET", "http://scim.example.com/x", &[], Some(400)),
            ("POST", "/", &[H, ("transfer-encoding", "chunked")], None),
            ("POST", "/", &[H, ("transfer-encoding", "Chunked ")], None),
            ("POST", "/", &[H, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], Some(400)),
            ("POST", "/", &[H, ("transfer-encoding", "gzip, chunked")], Some(400)),
            ("POST", "/", &[H, ("transfer-encoding", "identity")], Some(400)),
            ("GET", "/", &[H, ("transfer-encoding", "chunked")], Some(400)),
            ("GET", "/", &[H, ("content-length", "5")], Some(400)),
            ("GET", "/", &[H, ("content-length", "0")], None),
            ("HEAD", "/", &[H, ("content-length", "5")], Some(400)),
            ("DELETE", "/", &[H, ("content-length", "5")], None),
            ("CONNECT", "scim.example.com:443", &[H], Some(405)),
            ("TRACE", "/", &[H], Some(405)),
            ("get", "/", &[H], Some(400)),
            ("PROPFIND", "/", &[H], Some(501)),
            ("GET", "/", &[H, ("connection", "upgrade, http2-settings"), ("upgrade", "h2c")], Some(400)),
            ("GET", "/", &[H, ("upgrade", "websocket, H2C")], Some(400)),
            ("GET", "/", &[H, ("http2-settings", "AAMAAABkAAQAAP__")], Some(400)),
            ("GET", "/", &[H, ("upgrade", "websocket")], None),
            ("GET", "/", &[H, ("x_forwarded_for", "10.0.0.1")], Some(400)),
            ("PUT", "/", &[H, ("expect", "100-Continue")], None),
            ("PUT", "/", &[H, ("expect", "tea")], Some(417)),
            ("GET", "/scim/../oauth2", &[H], Some(400)),
            ("GET", "/scim/./v2", &[H], Some(400)),
            ("GET", "/scim/%2e%2E/v2", &[H], Some(400)),
            ("GET", "/scim/.%2e", &[H], Some(400)),
            ("GET", "/scim/..%2fv2", &[H], Some(400)),
            ("GET", "/scim%2Fv2", &[H], Some(400)),
            ("GET", "/scim%5cv2", &[H], Some(400)),
            ("GET", "/scim%00", &[H], Some(400)),
            ("GET", "/scim%0d%0a", &[H], Some(400)),
            ("GET", "/scim%2", &[H], Some(400)),
            ("GET", "/scim%zz", &[H], Some(400)),
            ("GET", "/scim/...", &[H], None),
            ("GET", "/scim/..;", &[H], Some(400)),
            ("GET", "/scim/..;x=y/v2", &[H], Some(400)),
            ("GET", "/scim/%2e%2e%3bx/v2", &[H], Some(400)),
            ("GET", "/scim/.%20;/v2", &[H], Some(400)),
            ("GET", "/scim/%20../v2", &[H], Some(400)),
            ("GET", "/scim/;..", &[H], None),
            ("GET", "/scim/a;../b..;.", &[H], None),
            ("OPTIONS", "*", &[H], Some(400)),
        ];
        for (method, target, headers, status) in table {
            assert_eq!(check(Version::HTTP_11, method, target, headers), *status, "{method} {target} {headers:?}");
        }
    }

    #[test]
    fn other_versions() {
        assert_eq!(check(Version::HTTP_10, "GET", "/", &[]), None);
        assert_eq!(check(Version::HTTP_10, "POST", "/", &[("transfer-encoding", "chunked")]), Some(400));
        assert_eq!(check(Version::HTTP_2, "GET", "https://scim.example.com/", &[]), None);
        assert_eq!(
            check(Version::HTTP_2, "GET", "https://scim.example.com/", &[("host", "scim.example.com:443")]),
            None
        );
        assert_eq!(
            check(Version::HTTP_2, "GET", "https://scim.example.com/", &[("host", "evil.example.com")]),
            Some(400)
        );
        assert_eq!(check(Version::HTTP_2, "GET", "/", &[]), Some(400));
        for authority in ["user@scim.example.com", "a,b", "a;b", "a'b", "a(b)", "a!b"] {
            let target = format!("https://{authority}/");
            assert_eq!(check(Version::HTTP_2, "GET", &target, &[]), Some(400), "{target}");
            assert_eq!(check(Version::HTTP_10, "GET", &target, &[]), Some(400), "{target}");
        }
        assert_eq!(check(Version::HTTP_2, "GET", "https://[2001:db8::1]:8443/", &[]), None);
    }

    #[test]
    fn sizes() {
        let long = format!("/{}", "a".repeat(MAX_TARGET));
        assert_eq!(check(Version::HTTP_11, "GET", &long, &[("host", "a")]), Some(414));
        let names: Vec<String> = (0..MAX_FIELDS).map(|n| format!("x-{n}")).collect();
        let mut many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
        many.push(("host", "a"));
        assert_eq!(check(Version::HTTP_11, "GET", "/", &many), Some(431));
        // Cookies that HTTP/2 cut up are one field; in HTTP/1.1 they are as many as they look.
        let cookies = |fields: usize| {
            let mut all = many[many.len() - fields..].to_vec();
            all.extend([("cookie", "a=b"); 200]);
            all
        };
        assert_eq!(check(Version::HTTP_2, "GET", "https://a/", &cookies(MAX_FIELDS - 1)), None);
        assert_eq!(check(Version::HTTP_2, "GET", "https://a/", &cookies(MAX_FIELDS)), Some(431));
        assert_eq!(check(Version::HTTP_11, "GET", "/", &cookies(1)), Some(431));
    }
}
