//! What is refused at the door, before any route: requests that two parsers could read in two ways, and those that are
//! too large or too slow. Bytes as they are, over TLS.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client::{self, Answer};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

/// Sends bytes on a fresh connection; gives the answer, or nothing if the service just closed it.
fn raw(service: &Service, bytes: &[u8]) -> Option<Answer> {
    service.client().send_bytes(bytes, false).ok()
}

/// Refused means: closed without a word, or a 4xx or 501.
fn refused(service: &Service, what: &str, bytes: &[u8]) {
    if let Some(answer) = raw(service, bytes) {
        assert!(
            (400..500).contains(&answer.status) || answer.status == 501,
            "{what}: {} {}",
            answer.status,
            answer.text()
        );
    }
}

#[test]
fn ambiguous_requests() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let host = format!("localhost:{}", service.address().port());
    let token = service.token();
    let get = "GET /scim/v2/Users HTTP/1.1\r\n";
    let auth = format!("Authorization: Bearer {token}\r\n");

    let plain = raw(&service, format!("{get}Host: {host}\r\n{auth}\r\n").as_bytes()).expect("an answer");
    assert_eq!(plain.status, 200, "{}", plain.text());

    let body = "{\"userName\":\"smuggled\"}";
    let chunk = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let post = format!("POST /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\n{auth}Content-Type: application/scim+json\r\n");
    for (what, request) in [
        ("no Host", format!("{get}{auth}\r\n")),
        ("two Hosts", format!("{get}Host: {host}\r\nHost: {host}\r\n{auth}\r\n")),
        ("two different Hosts", format!("{get}Host: {host}\r\nHost: example.org\r\n{auth}\r\n")),
        (
            "an authority that is not the Host",
            format!("GET https://example.org/scim/v2/Users HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n"),
        ),
        ("bare line feeds", format!("GET /scim/v2/Users HTTP/1.1\nHost: {host}\nAuthorization: Bearer {token}\n\n")),
        ("a lower-case method", format!("get /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n")),
        ("CONNECT", format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n")),
        ("TRACE", format!("TRACE /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n")),
        ("chunked twice", format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}")),
        ("gzip, chunked", format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n{chunk}")),
        ("an unknown coding", format!("{post}Transfer-Encoding: xchunked\r\n\r\n{chunk}")),
        (
            "length and chunked",
            format!("{post}Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}", body.len()),
        ),
        ("two lengths", format!("{post}Content-Length: {}\r\nContent-Length: 3\r\n\r\n{body}", body.len())),
        ("a space before the colon", format!("{get}Host: {host}\r\nAuthorization : Bearer {token}\r\n\r\n")),
        ("a folded header", format!("{get}Host: {host}\r\n{auth}X-A: b\r\n c\r\n\r\n")),
        ("dot segments", format!("GET /scim/v2/Users/../Groups HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n")),
        ("encoded dot segments", format!("GET /scim/v2/Users/%2e%2e/Groups HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n")),
        ("an encoded slash", format!("GET /scim/v2/Users%2f1 HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n")),
        ("a backslash", format!("GET /scim/v2\\Users HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n")),
        ("an encoded NUL", format!("GET /scim/v2/Users/1%00 HTTP/1.1\r\nHost: {host}\r\n{auth}\r\n")),
        ("an upgrade", format!("{get}Host: {host}\r\n{auth}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")),
    ] {
        if what == "an upgrade" {
            // Ignoring it is as good (RFC 9110 7.8); switching is not.
            let answer = raw(&service, request.as_bytes());
            assert!(answer.is_none_or(|answer| answer.status != 101), "{what}");
        } else {
            refused(&service, what, request.as_bytes());
        }
    }
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 0, "nothing was smuggled in");

    // Length and chunked: the length does not count (RFC 9112 6.3), so this is one request, refused or served.
    let both = format!(
        "{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}GET /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\n\r\n"
    );
    if let Some(answer) = raw(&service, both.as_bytes()) {
        assert!(answer.status == 201 || (400..500).contains(&answer.status), "{} {}", answer.status, answer.text());
    }
    assert!(database.count("SELECT COUNT(*) FROM people") <= 1);
}

/// An answer that comes before the body was read still arrives, whole, however late the body comes: a client that is
/// still writing must not find the connection broken. And the connection serves the next request.
#[test]
fn bodies_nobody_reads() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more("limits: { body: 64KiB }"));
    let host = format!("localhost:{}", service.address().port());
    let head = |token: &str, length: &str| {
        format!(
            "POST /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/scim+json\r\n{length}\r\n\r\n"
        )
    };
    let piece = vec![b' '; 32 << 10];
    let chunk = [b"8000\r\n", piece.as_slice(), b"\r\n"].concat();
    for (token, pieces, status) in [("wrong", 1, 401), (service.token(), 8, 413), ("wrong", 64, 401)] {
        let length = format!("Content-Length: {}", pieces * piece.len());
        let chunked = "Transfer-Encoding: chunked".to_owned();
        for (length, piece, end) in [(length, &piece, &b""[..]), (chunked, &chunk, &b"0\r\n\r\n"[..])] {
            let mut stream = service.client().connect().expect("a connection");
            stream.write_all(head(token, &length).as_bytes()).unwrap();
            stream.flush().unwrap();
            for _ in 0..pieces {
                std::thread::sleep(Duration::from_millis(10));
                stream.write_all(piece).and_then(|()| stream.flush()).expect("the service still listens");
            }
            stream.write_all(end).and_then(|()| stream.flush()).expect("the service still listens");
            let mut client = service.client();
            let answer = client.answer_on(stream).expect("the answer");
            assert_eq!(answer.status, status, "{length}, {pieces} pieces: {}", answer.text());
            let next = client.get("/ServiceProviderConfig");
            assert_eq!(next.status, 200, "{length}, the next request: {}", next.text());
        }
    }
    // Who waits to be told to continue is told the answer at once, and sends nothing.
    let waits = head("wrong", "Content-Length: 1000000").replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
    let began = Instant::now();
    let answer = raw(&service, waits.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 401);
    assert!(began.elapsed() < Duration::from_secs(4), "nobody waits for a body that will not come");
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 0);
}

/// What comes together with the end of a chunked body, and what comes after its answer, are one head.
#[test]
fn a_head_in_two_halves_behind_chunks() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let host = format!("localhost:{}", service.address().port());
    let head = format!("POST /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n", service.token());
    let body = |name: &str| {
        let user = client::user(name, json!({})).to_string();
        format!("{:x}\r\n{user}\r\n0\r\n\r\n", user.len())
    };
    let rest = "Content-Type: application/scim+json\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (number, (what, first, second, status)) in [
        ("nothing wrong", "X: y\r\n", "", 201),
        ("a length in the first half", "Content-Length: 5\r\n", "", 400),
        ("a length in the second half", "X: y\r\n", "Content-Length: 5\r\n", 400),
        ("a bare line feed in the first half", "X: y\n", "", 400),
        ("a bare line feed in the second half", "X: y\r\n", "Z: y\n", 400),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = service.client();
        let mut stream = client.connect().expect("a connection");
        let before = format!("{head}{rest}{}{head}{first}", body(&format!("before{number}")));
        stream.write_all(before.as_bytes()).and_then(|()| stream.flush()).expect("written");
        let (mut answer, mut piece) = (String::new(), [0; 4096]);
        // The answer has a body of its own, which ends it.
        while !answer.contains("\r\n\r\n") || !answer.ends_with('}') {
            let length = stream.read(&mut piece).expect("an answer");
            assert!(length > 0, "{what}: {answer}");
            answer.push_str(&String::from_utf8_lossy(&piece[..length]));
        }
        assert!(answer.starts_with("HTTP/1.1 201"), "{what}: {answer}");
        let after = format!("{second}{rest}{}", body(&format!("after{number}")));
        stream.write_all(after.as_bytes()).and_then(|()| stream.flush()).expect("written");
        let answer = client.answer_on(stream).expect("the second answer");
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
    assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE login LIKE 'after%'"), 1, "the good one");
}

#[test]
fn routes() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    for (method, path, status) in [
        ("GET", "/scim/v2/Nothing", 404),
        ("GET", "/scim/v2/Users/1/2", 404),
        ("GET", "/scim/v2/Me", 501),
        ("PUT", "/scim/v2/Users", 405),
        ("DELETE", "/scim/v2/Users", 405),
        ("POST", "/scim/v2/Users/1", 405),
        ("POST", "/scim/v2/ServiceProviderConfig", 405),
    ] {
        let body = (method != "GET" && method != "DELETE").then_some(&b"{}"[..]);
        let answer = client.send(method, path, &[("Content-Type", "application/scim+json")], body).expect("an answer");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.json()["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error", "{method} {path}");
        assert_eq!(answer.json()["status"], status.to_string(), "{method} {path}");
    }
    let answer = client.send("GET", "/elsewhere", &[], None).expect("an answer");
    assert_eq!(answer.status, 404);
    let answer = client
        .send("POST", "/scim/v2/Users", &[("Content-Type", "text/plain")], Some(b"{\"userName\":\"x\"}"))
        .expect("an answer");
    assert!(matches!(answer.status, 400 | 415), "{}", answer.text());
    // Both forms of the URL, and both media types, for the default identity server.
    for base in ["/scim/v2", "/scim/test/v2"] {
        for accept in ["application/scim+json", "application/json", "*/*"] {
            let answer =
                client.send("GET", &format!("{base}/ResourceTypes"), &[("Accept", accept)], None).expect("an answer");
            assert_eq!(answer.status, 200, "{base} {accept}: {}", answer.text());
        }
    }
}

#[test]
fn too_large() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more("limits: { body: 64KiB, header_bytes: 8KiB }"));
    let host = format!("localhost:{}", service.address().port());
    let mut client = service.client();
    let long = "x".repeat(100_000);
    let body = serde_json::to_vec(&client::user("large", json!({ "title": long }))).expect("JSON");
    let answer = client
        .send("POST", "/scim/v2/Users", &[("Content-Type", "application/scim+json")], Some(&body))
        .expect("an answer");
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert_eq!(answer.json()["status"], "413");

    // In pieces, whose sum nobody said before.
    let mut request = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Type: application/scim+json\r\nTransfer-Encoding: chunked\r\n\r\n",
        service.token()
    )
    .into_bytes();
    for piece in body.chunks(10_000) {
        request.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        request.extend_from_slice(piece);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    if let Some(answer) = raw(&service, &request) {
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    let many: String = (0..200).map(|number| format!("X-{number}: y\r\n")).collect();
    refused(&service, "200 headers", format!("GET /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\n{many}\r\n").as_bytes());
    refused(
        &service,
        "a header of 100 kB",
        format!("GET /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\nX-A: {long}\r\n\r\n").as_bytes(),
    );
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 0);
    service.client().get("/Users").expect(200);
}

/// Who is not let in need not send the body: the 401 comes before it.
#[test]
fn no_body_is_read_of_strangers() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let host = format!("localhost:{}", service.address().port());
    let head = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/scim+json\r\nContent-Length: 1000000\r\n\r\n"
    );
    let answer = raw(&service, head.as_bytes()).expect("an answer without the body");
    assert_eq!(answer.status, 401);
}

#[test]
fn too_slow() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more("limits: { headers: 1s, body_idle: 1s, idle: 2s }"));
    let host = format!("localhost:{}", service.address().port());
    let half_a_head = format!("GET /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\nX-A:");
    let half_a_body = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Type: application/scim+json\r\nContent-Length: 100\r\n\r\n{{\"userName\":",
        service.token()
    );
    for (what, bytes) in [("half a head", half_a_head), ("half a body", half_a_body), ("nothing at all", String::new())]
    {
        let mut stream = service.client().connect().expect("a connection");
        stream.write_all(bytes.as_bytes()).expect("written");
        stream.flush().expect("written");
        let start = Instant::now();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(start.elapsed() < Duration::from_secs(12), "{what}: held for {:?}", start.elapsed());
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{what}: {text}");
    }
    // And bytes that are no TLS at all.
    let mut socket = std::net::TcpStream::connect(service.address()).expect("a connection");
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("written");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    service.client().get("/Users").expect(200);
}
