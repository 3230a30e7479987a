//! Which upgrades are passed on, which fields go behind a body, and what is wrong with an answer's head, as tables. What is
//! sent is in tests/proxy, byte by byte.

use super::{request, response};
use hyper::header::HeaderName;
use hyper::{Request, Response, Version};

#[test]
fn upgrades() {
    for (method, version, headers, expected) in [
        ("GET", Version::HTTP_11, &[("upgrade", "websocket"), ("connection", "upgrade")][..], true),
        ("GET", Version::HTTP_11, &[("upgrade", "WebSocket"), ("connection", "keep-alive, Upgrade")], true),
        ("GET", Version::HTTP_11, &[("upgrade", "websocket")], false),
        ("GET", Version::HTTP_11, &[("upgrade", "websocket"), ("connection", "keep-alive")], false),
        ("GET", Version::HTTP_11, &[("upgrade", "websocket, x"), ("connection", "upgrade")], false),
        ("GET", Version::HTTP_11, &[("upgrade", "websocket"), ("upgrade", "x"), ("connection", "upgrade")], false),
        ("GET", Version::HTTP_10, &[("upgrade", "websocket"), ("connection", "upgrade")], false),
        ("POST", Version::HTTP_11, &[("upgrade", "websocket"), ("connection", "upgrade")], false),
    ] {
        let mut request = Request::builder().method(method).version(version).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(request::upgrades(&head), expected, "{method} {version:?} {headers:?}");
    }
}

#[test]
fn trailers() {
    for (name, expected) in [
        ("x-checksum", true),
        ("grpc-status", true),
        ("content-length", false),
        ("transfer-encoding", false),
        ("host", false),
        ("x-forwarded-for", false),
        ("x_odd", false),
        ("authorization", false),
        ("set-cookie", false),
        ("trailer", false),
    ] {
        assert_eq!(request::is_trailer(&HeaderName::from_static(name)), expected, "{name}");
    }
}

#[test]
fn wrong_answers() {
    for (status, headers, asked, wrong) in [
        (200, &[("content-length", "5")][..], false, false),
        (200, &[("transfer-encoding", "Chunked")], false, false),
        (200, &[("transfer-encoding", "chunked"), ("content-length", "5")], false, true),
        (200, &[("transfer-encoding", "gzip, chunked")], false, true),
        (200, &[("content-length", "5"), ("content-length", "5")], false, true),
        (304, &[("content-length", "x")], false, true),
        (101, &[("upgrade", "websocket")], true, false),
        (101, &[("upgrade", "websocket")], false, true),
        (101, &[("upgrade", "h2c")], true, true),
        (101, &[], true, true),
        (600, &[], false, true),
    ] {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let answer = answer.body(()).unwrap();
        assert_eq!(response::wrong(&answer, asked).is_some(), wrong, "{status} {headers:?}");
    }
}
