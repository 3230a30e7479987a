//! HTTP/2 at the door: what its frames may smuggle into HTTP/1 behind it.

use std::io::Write;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::frames::{
    Connection, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, fields,
};
use crate::upstream::Upstream;

/// The fields besides, or instead of, the usual four; the body; what becomes of it; what the upstream gets.
type Row = (
    &'static str,
    &'static [(&'static str, &'static str)],
    Option<&'static str>,
    &'static [&'static str],
    &'static str,
);

const NEVER: &[&str] = &["reset", "goaway", "400", "closed"];

const TABLE: &[Row] = &[
    ("plain", &[], None, &["200"], "GET /a HTTP/1.1\n\n"),
    (
        "cookies in pieces",
        &[("cookie", "a=b"), ("cookie", "c=d")],
        None,
        &["200"],
        "GET /a HTTP/1.1\ncookie: a=b; c=d\n\n",
    ),
    ("host as authority", &[("host", "AUTHORITY")], None, &["200"], "GET /a HTTP/1.1\n\n"),
    ("host that differs", &[("host", "evil.example")], None, NEVER, ""),
    ("two hosts", &[("host", "AUTHORITY"), ("host", "AUTHORITY")], None, NEVER, ""),
    ("an authority with a user", &[(":authority", "x@AUTHORITY")], None, NEVER, ""),
    ("an authority with a path", &[(":authority", "AUTHORITY/x")], None, NEVER, ""),
    ("an authority that is no host name", &[(":authority", "a,b;c='x'")], None, NEVER, ""),
    ("an authority with quotes", &[(":authority", "a\"b")], None, NEVER, ""),
    ("an authority with a line end", &[(":authority", "AUTHORITY\r\nX: y")], None, NEVER, ""),
    ("no path", &[(":path", "")], None, NEVER, ""),
    ("a path without slash", &[(":path", "a")], None, NEVER, ""),
    ("*", &[(":path", "*")], None, NEVER, ""),
    ("a URL as path", &[(":path", "http://evil.example/a")], None, NEVER, ""),
    ("a path with a line end", &[(":path", "/a HTTP/1.1\r\nHost: evil\r\n\r\nGET /b")], None, NEVER, ""),
    ("a path with a space", &[(":path", "/a b")], None, NEVER, ""),
    ("dots", &[(":path", "/a/../scim")], None, NEVER, ""),
    ("dots with parameters", &[(":path", "/a/..;/scim")], None, NEVER, ""),
    ("an encoded slash", &[(":path", "/a%2f..%2fscim")], None, NEVER, ""),
    ("ours", &[(":path", "//%53cim/v2/Users")], None, &["401"], ""),
    ("ours behind parameters", &[(":path", "/;/scim/v2/Users")], None, &["404"], ""),
    ("hidden", &[(":path", "/index.php/scim")], None, &["404"], ""),
    ("a method with a line end", &[(":method", "GET /b HTTP/1.1\r\nX: y")], None, NEVER, ""),
    ("a method with a space", &[(":method", "GET /b")], None, NEVER, ""),
    ("TRACE", &[(":method", "TRACE")], None, &["405"], ""),
    (
        "extended CONNECT",
        &[(":method", "CONNECT"), (":protocol", "websocket")],
        None,
        &["405", "reset", "goaway", "400"],
        "",
    ),
    ("a value with a line end", &[("x", "a\r\nX-Forwarded-For: 6.6.6.6")], None, NEVER, ""),
    ("a value with LF", &[("x", "a\nb")], None, NEVER, ""),
    ("a value with NUL", &[("x", "a\0b")], None, NEVER, ""),
    ("a name with a line end", &[("x: y\r\nz", "a")], None, NEVER, ""),
    ("a name with a colon", &[("x:y", "a")], None, NEVER, ""),
    ("a name with a space", &[("x y", "a")], None, NEVER, ""),
    ("a name in capitals", &[("X-Y", "a")], None, NEVER, ""),
    ("no name", &[("", "a")], None, NEVER, ""),
    ("a pseudo-field behind the others", &[("x", "a"), (":path", "/b")], None, NEVER, ""),
    ("two paths", &[(":path2", "/b")], None, NEVER, ""),
    ("an unknown pseudo-field", &[(":x", "a")], None, NEVER, ""),
    ("a response's pseudo-field", &[(":status", "200")], None, NEVER, ""),
    (
        "Transfer-Encoding",
        &[(":method", "POST"), ("transfer-encoding", "chunked")],
        Some("0\r\n\r\nGET /b HTTP/1.1\r\n\r\n"),
        NEVER,
        "",
    ),
    ("Connection", &[("connection", "x-a"), ("x-a", "1")], None, NEVER, ""),
    ("Keep-Alive", &[("keep-alive", "1")], None, NEVER, ""),
    ("Upgrade", &[("upgrade", "h2c")], None, NEVER, ""),
    ("Proxy-Connection", &[("proxy-connection", "keep-alive")], None, NEVER, ""),
    ("TE", &[("te", "gzip")], None, NEVER, ""),
    (
        "claims",
        &[("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=6.6.6.6"), ("x_y", "1"), ("proxy", "http://x")],
        None,
        &["200"],
        "GET /a HTTP/1.1\n\n",
    ),
    (
        "a body",
        &[(":method", "POST"), ("content-length", "3")],
        Some("abc"),
        &["200"],
        "POST /a HTTP/1.1\ncontent-length: 3\n\nabc",
    ),
    (
        "a body without length",
        &[(":method", "POST")],
        Some("abc"),
        &["200"],
        "POST /a HTTP/1.1\ntransfer-encoding: chunked\n\n3\r\nabc\r\n0\r\n\r\n",
    ),
    (
        "a body longer than said",
        &[(":method", "POST"), ("content-length", "1")],
        Some("aGET /b HTTP/1.1\r\n\r\n"),
        NEVER,
        "*",
    ),
    ("a body shorter than said", &[(":method", "POST"), ("content-length", "99")], Some("abc"), NEVER, "*"),
    ("two lengths", &[(":method", "POST"), ("content-length", "3"), ("content-length", "4")], Some("abc"), NEVER, ""),
    ("a length that is none", &[(":method", "POST"), ("content-length", "+3")], Some("abc"), NEVER, ""),
    ("a GET with a body", &[], Some("abc"), NEVER, ""),
    ("a GET with an empty body", &[], Some(""), &["200"], "GET /a HTTP/1.1\n\n"),
];

#[test]
fn frames() {
    let upstream = Upstream::ok();
    let service = crate::service(&format!("{{ url: {}, hide: [/index.php/scim] }}", upstream.url()));
    let authority = format!("localhost:{}", service.address().port());
    let mut wrong = Vec::new();
    for (name, more, body, expected, passed) in TABLE {
        let usual = [(":method", "GET"), (":scheme", "https"), (":authority", authority.as_str()), (":path", "/a")];
        let more: Vec<(String, String)> =
            more.iter().map(|(name, value)| (name.to_string(), value.replace("AUTHORITY", &authority))).collect();
        // One that stands first replaces the usual; ":path2" is a second one.
        let first = more.first().is_some_and(|(name, _)| name.starts_with(':'));
        let replaced = |name: &str| first && more.iter().any(|(other, _)| other == name);
        let usual = usual.iter().filter(|(name, _)| !replaced(name)).map(|(n, v)| (n.to_string(), v.to_string()));
        let (pseudo, others): (Vec<_>, Vec<_>) = more.iter().cloned().partition(|(n, _)| first && n.starts_with(':'));
        let all: Vec<(String, String)> = pseudo.into_iter().chain(usual).chain(others).collect();
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (name.trim_end_matches('2'), value.as_str())).collect();
        let mut connection = Connection::open(&service);
        let end = if body.is_none() { END_STREAM } else { 0 };
        connection.send(HEADERS, END_HEADERS | end, 1, &fields(&all)).expect("sent");
        if let Some(body) = body {
            let _ = connection.send(DATA, END_STREAM, 1, body.as_bytes());
        }
        let outcome = connection.outcome();
        // What never becomes whole may have begun, and is never followed by another request.
        let seen = if *passed == "*" {
            let seen = String::from_utf8_lossy(&upstream.seen()).into_owned();
            let began = seen.is_empty() || seen.matches(" HTTP/1.1\r\n").count() == 1;
            upstream.take();
            if began { "*".to_owned() } else { seen }
        } else {
            upstream.take()
        };
        if !expected.contains(&outcome.as_str()) || seen != *passed {
            wrong.push(format!("{name}: {outcome}; upstream: {seen:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
    service.client().get("/Users").expect(200);
}

/// The window of streams to come (RFC 9113 6.5.2).
fn window(bytes: u32) -> Vec<u8> {
    [&[0, 4][..], &bytes.to_be_bytes()].concat()
}

/// Large answers for ever, and a word of each that ended.
fn large() -> (Upstream, mpsc::Receiver<()>) {
    let (gone, ended) = mpsc::channel();
    let gone = Mutex::new(gone);
    let upstream = Upstream::scripted(move |request, socket| {
        if !request.starts_with(b"GET /large") {
            return socket.write_all(crate::upstream::OK).is_ok();
        }
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        let piece = vec![b'x'; 64 << 10];
        while socket.write_all(&piece).is_ok() {}
        let _ = gone.lock().unwrap().send(());
        false
    });
    (upstream, ended)
}

#[test]
fn streams_that_stand_still() {
    let (upstream, ended) = large();
    let service = crate::service_with(
        &format!("{{ url: {}, requests: 2, requests_per_address: 2, connect_timeout: 500ms }}", upstream.url()),
        "limits: { idle: 2s }",
    );
    let authority = format!("localhost:{}", service.address().port());
    let mut connection = Connection::open(&service);
    connection.send(SETTINGS, 0, 0, &window(0)).expect("sent");
    for stream in [1, 3] {
        connection.ask("GET", "/large", &authority, stream).expect("sent");
    }
    // Another stream keeps the connection alive.
    let began = Instant::now();
    let mut stream = 5;
    let mut keep = |connection: &mut Connection| {
        connection.ask("HEAD", "/scim/v2/Users", &authority, stream).expect("the connection is there");
        stream += 2;
    };
    while upstream.connections() < 2 {
        assert!(began.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(10));
    }
    service.client().send("GET", "/a", &[], None).expect("an answer").expect(503);
    while service.client().send("GET", "/a", &[], None).expect("an answer").status != 200 {
        assert!(began.elapsed() < Duration::from_secs(15), "held for ever");
        keep(&mut connection);
    }
    for _ in 0..2 {
        ended.recv_timeout(Duration::from_secs(10)).expect("the upstream's connection ends");
    }
    // The others go on, and so does the next that reads.
    keep(&mut connection);
    connection.send(PING, 0, 0, &[1; 8]).expect("sent");
    while connection.receive().expect("the connection is there").kind != PING {}
}

#[test]
fn too_many_streams_that_stand_still() {
    let (upstream, ended) = large();
    let service = crate::service_with(&upstream.url(), "limits: { idle: 1s }");
    let authority = format!("localhost:{}", service.address().port());
    let mut connection = Connection::open(&service);
    connection.send(SETTINGS, 0, 0, &window(0)).expect("sent");
    for stream in (1..17).step_by(2) {
        connection.ask("GET", "/large", &authority, stream).expect("sent");
    }
    let began = Instant::now();
    let mut stream = 17;
    // Until the farewell.
    loop {
        match connection.receive().expect("no end without a farewell").kind {
            GOAWAY => break,
            HEADERS if began.elapsed() < Duration::from_secs(8) => {
                std::thread::sleep(Duration::from_millis(100));
                connection.ask("HEAD", "/scim/v2/Users", &authority, stream).expect("the connection is there");
                stream += 2;
            }
            HEADERS => panic!("the connection is still there"),
            _ => {}
        }
    }
    for _ in 0..8 {
        ended.recv_timeout(Duration::from_secs(10)).expect("the upstream's connection ends");
    }
}

/// A slow reader is no idle one.
#[test]
fn a_slow_reader() {
    let (upstream, _ended) = large();
    let service = crate::service_with(&upstream.url(), "limits: { idle: 1500ms }");
    let authority = format!("localhost:{}", service.address().port());
    let mut connection = Connection::open(&service);
    const STEP: u32 = 8 << 10;
    connection.send(SETTINGS, 0, 0, &window(STEP)).expect("sent");
    connection.ask("GET", "/large", &authority, 1).expect("sent");
    let (mut read, mut granted) = (0, STEP as usize);
    for _ in 0..15 {
        while read < granted {
            let frame = connection.receive().expect("the connection is there");
            assert_ne!(frame.kind, RST_STREAM, "after {read} bytes");
            if frame.kind == DATA {
                read += frame.payload.len();
            }
        }
        std::thread::sleep(Duration::from_millis(300));
        for stream in [0, 1] {
            connection.send(WINDOW_UPDATE, 0, stream, &STEP.to_be_bytes()).expect("sent");
        }
        granted += STEP as usize;
    }
}

/// Who reads an answer of ours slowly, but reads, gets all of it, however long that takes.
#[test]
fn a_slow_reader_of_ours() {
    const WINDOW: u32 = 1100;
    let idle = Duration::from_secs(2);
    let upstream = Upstream::ok();
    let service = crate::service_with(&upstream.url(), "limits: { idle: 2s }");
    let authority = format!("localhost:{}", service.address().port());
    let authorization = format!("Bearer {}", service.token());
    let get = fields(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", &authority),
        (":path", "/scim/v2/Schemas"),
        ("authorization", &authorization),
    ]);
    let mut connection = Connection::open(&service);
    connection.send(SETTINGS, 0, 0, &[&[0, 4][..], &WINDOW.to_be_bytes()].concat()).expect("a small window");
    let began = Instant::now();
    connection.send(HEADERS, END_HEADERS | END_STREAM, 1, &get).expect("sent");
    let mut bytes = 0;
    loop {
        let frame =
            connection.receive().unwrap_or_else(|error| panic!("{error}, {bytes} bytes, {:?}", began.elapsed()));
        if frame.kind != DATA {
            continue;
        }
        bytes += frame.payload.len();
        if frame.flags & END_STREAM != 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(600));
        let read = u32::try_from(frame.payload.len()).expect("a short frame").to_be_bytes();
        for stream in [0, 1] {
            if connection.send(WINDOW_UPDATE, 0, stream, &read).is_err() {
                panic!("the connection ended, {bytes} bytes, {:?}", began.elapsed());
            }
        }
    }
    assert!(began.elapsed() > idle * 2, "slow enough: {bytes} bytes in {:?}", began.elapsed());
    // And who reads nothing at all is not waited for.
    connection.send(HEADERS, END_HEADERS | END_STREAM, 3, &get).expect("sent");
    let silent = Instant::now();
    while connection.receive().is_ok() {}
    assert!(silent.elapsed() > idle / 2 && silent.elapsed() < idle * 2, "{:?}", silent.elapsed());
}

/// What a client may send unread is wide enough for a long way, and of the connection wide enough for all its streams.
#[test]
fn windows() {
    let upstream = Upstream::ok();
    let service = crate::service(&upstream.url());
    let mut connection = Connection::open(&service);
    assert_eq!(crate::windows::windows(&mut connection), (1 << 20, 100 << 20));
}
