//! What happens when the upstream does not: down, slow, dying half-way, closing connections under requests, leading back to us.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::frames::{GOAWAY, RST_STREAM};
use crate::streams::read_until;
use crate::support::client::Failure;
use crate::upstream::{OK, Upstream};
use crate::upstream_2::Upstream2;

#[test]
fn down_and_up_again() {
    let port = crate::support::service::free_port();
    let url = format!("http://127.0.0.1:{port}");
    let service = crate::service(&url);
    let mut client = service.client();
    for (accept, media, part) in [
        ("text/html,application/xhtml+xml", "text/html; charset=utf-8", "<h1>502 Bad Gateway</h1>"),
        ("application/json", "application/json", "\"status\":502"),
        ("*/*", "text/plain; charset=utf-8", "502 Bad Gateway\n"),
    ] {
        let answer = client.send("GET", "/a?secret=1", &[("Accept", accept)], None).expect("an answer").expect(502);
        assert_eq!(answer.header("content-type"), Some(media));
        let id = answer.header("x-request-id").expect("an id").to_owned();
        let text = answer.text();
        assert!(text.contains(part) && text.contains(&id) && text.contains("cannot be reached"), "{text}");
        assert!(!text.contains(&port.to_string()) && !text.contains("secret"), "{text}");
        // Lines are written a moment later.
        let patience = Instant::now() + Duration::from_secs(10);
        let is_whole = |log: &str| log.lines().any(|line| line.contains(&id) && line.contains("\"status\":502"));
        let log = loop {
            let log = service.stderr();
            if is_whole(&log) {
                break log;
            }
            assert!(Instant::now() < patience, "no access line: {log}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let line = log.lines().find(|line| line.contains(&id) && line.contains("not forwarded")).expect("a log line");
        assert!(line.contains(&url) && line.contains("refused") && !line.contains("secret"), "{line}");
        assert!(log.lines().any(|line| line.contains(&id) && line.contains("\"route\":\"upstream\"")), "{log}");
    }
    // SCIM is served all the same, and the service is ready.
    client.get("/Users").expect(200);
    let ready = service.admin("/readyz").expect("an answer");
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("is down: cannot connect"), "{ready}");
    assert_eq!(service.metric("scimshim_upstream_up"), Some(0.0));
    assert_eq!(service.metric("scimshim_upstream_failures_total{kind=\"connect\"}"), Some(3.0));
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    let _upstream = Upstream::on(listener, Arc::new(|_: &[u8], socket: &mut TcpStream| socket.write_all(OK).is_ok()));
    client.send("GET", "/a", &[], None).expect("an answer").expect(200);
    assert_eq!(service.metric("scimshim_upstream_up"), Some(1.0));
    assert!(service.admin("/readyz").expect("an answer").contains("is up"));
}

#[test]
fn slow_and_dying() {
    let (gone, hang_ups) = mpsc::channel();
    let gone = Mutex::new(gone);
    let upstream = Upstream::scripted(move |request, socket| {
        let path = String::from_utf8_lossy(request).split(' ').nth(1).unwrap_or_default().to_owned();
        match path.as_str() {
            "/length" => {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                false
            }
            "/chunks" => {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n");
                false
            }
            "/head" => {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Le");
                false
            }
            "/pause" => {
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
                std::thread::sleep(Duration::from_secs(8));
                false
            }
            "/slow" => {
                // Until somebody hangs up.
                let _ = socket.read(&mut [0]);
                let _ = gone.lock().unwrap().send(Instant::now());
                false
            }
            _ => socket.write_all(OK).is_ok(),
        }
    });
    let service = crate::service(&format!("{{ url: {}, idle_timeout: 2s }}", upstream.url()));
    for path in ["/length", "/chunks", "/pause"] {
        let began = Instant::now();
        match service.client().send("GET", path, &[], None) {
            Err(Failure::NoAnswer(_)) => {}
            other => panic!("{path}: half an answer passed for a whole one: {other:?}"),
        }
        assert!(began.elapsed() < Duration::from_secs(6), "{path}: {:?}", began.elapsed());
    }
    service.client().send("GET", "/head", &[], None).expect("an answer").expect(502);
    let began = Instant::now();
    service.client().send("POST", "/slow", &[], Some(b"x")).expect("an answer").expect(504);
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1900) && took < Duration::from_secs(5), "{took:?}");
    hang_ups.recv_timeout(Duration::from_secs(5)).expect("the upstream is hung up on");
    // A client that hangs up.
    let mut stream = service.client().connect().expect("a connection");
    write!(stream, "GET /slow HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", service.address().port()).unwrap();
    upstream.wait_for("GET /slow");
    let left = Instant::now();
    drop(stream);
    let heard = hang_ups.recv_timeout(Duration::from_secs(5)).expect("the upstream hears of it");
    assert!(heard.duration_since(left) < Duration::from_millis(1500), "before its time was over");
    service.said("the upstream's answer broke off");
}

#[test]
fn sent_once_more_only_where_that_is_safe() {
    // Each connection answers one request, waits, and closes while the next is on its way.
    let requests = Arc::new(Mutex::new(Vec::<String>::new()));
    let noted = Arc::clone(&requests);
    let number = AtomicUsize::new(0);
    let upstream = Upstream::scripted(move |request, socket| {
        let line = String::from_utf8_lossy(request).split(" HTTP").next().unwrap_or_default().to_owned();
        let is_first = socket.ttl().expect("a number") != 63;
        socket.set_ttl(63).expect("noted");
        noted.lock().unwrap().push(format!("{line}{}", if is_first { "" } else { " again" }));
        number.fetch_add(1, Ordering::SeqCst);
        // A second request on a connection is read, and not answered.
        is_first && socket.write_all(OK).is_ok()
    });
    let service = crate::service(&upstream.url());
    let mut client = service.client();
    let taken = || std::mem::take(&mut *requests.lock().unwrap()).join(", ");
    client.send("GET", "/one", &[], None).expect("an answer").expect(200);
    std::thread::sleep(Duration::from_millis(100));
    client.send("GET", "/two", &[], None).expect("an answer").expect(200);
    assert_eq!(taken(), "GET /one, GET /two again, GET /two");
    std::thread::sleep(Duration::from_millis(100));
    client.send("POST", "/three", &[], Some(b"x")).expect("an answer").expect(502);
    assert_eq!(taken(), "POST /three again", "what may have had an effect is not done twice");
    client.send("PUT", "/four", &[], None).expect("an answer").expect(200);
    std::thread::sleep(Duration::from_millis(100));
    client.send("POST", "/five", &[], None).expect("an answer").expect(502);
    assert_eq!(taken(), "PUT /four, POST /five again");
    // An older connection is not risked for it.
    client.send("GET", "/six", &[], None).expect("an answer").expect(200);
    std::thread::sleep(Duration::from_millis(1300));
    client.send("POST", "/seven", &[], Some(b"x")).expect("an answer").expect(200);
    assert_eq!(taken(), "GET /six, POST /seven");
}

/// What HTTP/2 says of a request that it did not look at.
#[test]
fn farewells_of_http_2() {
    const REFUSED: [u8; 4] = [0, 0, 0, 7];
    let upstream = Upstream2::scripted(|stream, line| match (line.number, stream) {
        // No more than the first; and no error.
        (0, 3) => line.send(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
        (1 | 2, 3) => line.send(RST_STREAM, 0, stream, &REFUSED),
        // Something else: an error of its own.
        (3, 3) => line.send(RST_STREAM, 0, stream, &[0, 0, 0, 2]),
        _ => line.ok(stream),
    });
    let service = crate::service(&upstream.yaml());
    let mut client = service.client();
    let mut send = |method, body, status, requests: &str| {
        client.send(method, "/a", &[], body).expect("an answer").expect(status);
        assert_eq!(upstream.take(), requests);
    };
    send("GET", None, 200, "0/1");
    send("GET", None, 200, "0/3 1/1");
    send("GET", None, 200, "1/3 2/1");
    send("POST", Some(&b"x"[..]), 502, "2/3");
    send("GET", None, 200, "3/1");
    send("GET", None, 502, "3/3");

    // Many at once find one new connection between them.
    let waiting = AtomicUsize::new(0);
    let upstream = Upstream2::scripted(move |stream, line| match (line.number, stream) {
        (0, 3..) if waiting.fetch_add(1, Ordering::SeqCst) < 7 => {}
        (0, 3..) => line.send(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
        _ => line.ok(stream),
    });
    let service = crate::service(&upstream.yaml());
    service.client().send("GET", "/a", &[], None).expect("an answer").expect(200);
    upstream.take();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| service.client().send("GET", "/a", &[], None).expect("an answer").expect(200));
        }
    });
    let seen = upstream.take();
    let again = seen.split(' ').filter(|request| request.starts_with("1/")).count();
    assert_eq!((again, seen.split(' ').count()), (8, 16), "{seen}");
}

/// Requests that wait for one connection do not wait one after the other.
#[test]
fn a_black_hole_is_waited_for_once() {
    // Connections are taken by the system, and nobody ever says a word.
    let hole = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = hole.local_addr().expect("an address").port();
    let folder = tempfile::tempdir().expect("a folder");
    crate::support::service::certificates(folder.path());
    let ca = folder.path().join("ca.pem");
    let service = crate::service(&format!(
        "{{ url: \"https://localhost:{port}\", ca: {}, http: \"2\", connect_timeout: 2s }}",
        ca.display()
    ));
    std::thread::scope(|scope| {
        for number in 0..8_u64 {
            let service = &service;
            scope.spawn(move || {
                // One that comes while others wait has the rest of their time, or a time of its own; never the sum.
                std::thread::sleep(Duration::from_millis(100 * number));
                let began = Instant::now();
                service.client().send("GET", "/a", &[], None).expect("an answer").expect(504);
                assert!(began.elapsed() < Duration::from_millis(4900), "{number}: {:?}", began.elapsed());
            });
        }
    });
}

/// What was refused as ambiguous ends its connection: nobody knows where the next answer begins.
#[test]
fn nothing_follows_an_ambiguous_answer() {
    let upstream = Upstream::scripted(|request, socket| {
        if socket.ttl().expect("a number") == 63 {
            return socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstale").is_ok();
        }
        if !request.starts_with(b"GET /bad") {
            return socket.write_all(OK).is_ok();
        }
        socket.set_ttl(63).expect("noted");
        let answer: &[u8] = if request.starts_with(b"GET /bad/empty") {
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2, 3\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"
        };
        socket.write_all(answer).is_ok()
    });
    let service = crate::service(&upstream.url());
    let mut client = service.client();
    for path in ["/bad/two", "/bad/empty"].iter().cycle().take(10) {
        client.send("GET", path, &[], None).expect("an answer").expect(502);
        let next = client.send("GET", "/a", &[], None).expect("an answer").expect(200);
        assert_eq!(next.text(), "ok", "after {path}");
    }
}

#[test]
fn back_to_itself_and_too_many() {
    // Past the configuration's own check, through a relay.
    let relay = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = relay.local_addr().expect("an address").port();
    let folder = tempfile::tempdir().expect("a folder");
    let target = Arc::new(Mutex::new(None));
    let to = Arc::clone(&target);
    std::thread::spawn(move || {
        for client in relay.incoming().flatten() {
            let Some(address) = *to.lock().unwrap() else { continue };
            let server = TcpStream::connect::<std::net::SocketAddr>(address).expect("the service");
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server.try_clone().unwrap(), client.try_clone().unwrap()),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    let ca = folder.path().join("ca.pem");
    crate::support::service::certificates(folder.path());
    let service = crate::service(&format!("{{ url: \"https://localhost:{port}\", ca: {} }}", ca.display()));
    // An authority that did not sign.
    *target.lock().unwrap() = Some(service.address());
    let answer = service.client().send("GET", "/a", &[], None).expect("an answer").expect(502);
    assert!(answer.text().contains("cannot be reached"));
    assert!(service.metric("scimshim_upstream_failures_total{kind=\"tls\"}").is_some());
    std::fs::copy(service.ca_file(), &ca).expect("the right one");
    service.hang_up();
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = service.client().send("GET", "/a", &[], None).expect("an answer");
        if answer.status == 508 {
            break;
        }
        assert!(Instant::now() < patience, "{}", answer.text());
        std::thread::sleep(Duration::from_millis(50));
    }

    let upstream = Upstream::scripted(|_, socket| socket.read(&mut [0]).is_ok_and(|read| read > 0));
    let service = crate::service(&format!(
        "{{ url: {}, requests: 2, requests_per_address: 2, connect_timeout: 1s }}",
        upstream.url()
    ));
    let hold = || {
        let mut stream = service.client().connect().expect("a connection");
        write!(stream, "GET /a HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", service.address().port()).unwrap();
        stream
    };
    let _held = [hold(), hold()];
    upstream.wait_for("GET /a");
    std::thread::sleep(Duration::from_millis(300));
    let answer = service.client().send("GET", "/b", &[], None).expect("an answer").expect(503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    service.client().get("/Users").expect(200);
}

/// One client does not take the places of all.
#[test]
fn a_share_of_each_address() {
    let upstream = Upstream::scripted(|request, socket| {
        if request.starts_with(b"GET /hold") {
            return socket.read(&mut [0]).is_ok_and(|read| read > 0);
        }
        socket.write_all(OK).is_ok()
    });
    let service = crate::service_with(
        &format!("{{ url: {}, requests: 4, connect_timeout: 500ms }}", upstream.url()),
        "trusted_proxies: [127.0.0.1]",
    );
    let hold = |path: &str, client: &str| {
        let mut stream = service.client().connect().expect("a connection");
        let host = service.address().port();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost:{host}\r\nX-Forwarded-For: {client}\r\n\r\n").unwrap();
        upstream.wait_for(&format!("GET {path} "));
        stream
    };
    let held = [hold("/hold/1", "192.0.2.1"), hold("/hold/2", "192.0.2.1")];
    let mut client = service.client();
    let mut ask = |from: &[(&str, &str)], status| {
        client.send("GET", "/a", from, None).expect("an answer").expect(status);
    };
    ask(&[("X-Forwarded-For", "192.0.2.1")], 503);
    ask(&[("X-Forwarded-For", "192.0.2.2")], 200);
    // Nobody knows for whom the proxy asks.
    ask(&[], 200);
    service.said("its client has 2 requests in flight already");
    let others = [hold("/hold/3", "2001:db8::1"), hold("/hold/4", "2001:db8::2")];
    ask(&[("X-Forwarded-For", "192.0.2.2")], 503);
    ask(&[], 503);
    service.said("4 requests are in flight already");
    drop((held, others));
    let patience = Instant::now() + Duration::from_secs(10);
    while service.client().send("GET", "/a", &[], None).expect("an answer").status != 200 {
        assert!(Instant::now() < patience);
    }
    ask(&[("X-Forwarded-For", "192.0.2.1")], 200);
}

/// A stream goes on with the old upstream; who comes after it gets the new one.
#[test]
fn reloaded_while_streams_run() {
    let (send, events) = mpsc::channel::<&'static str>();
    let events = Mutex::new(events);
    let old = Upstream::scripted(move |_, socket| {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for event in events.lock().unwrap().iter() {
            let _ = socket.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
        }
        socket.write_all(b"0\r\n\r\n").is_ok()
    });
    let new = Upstream::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew");
    let service = crate::service(&old.url());
    let mut stream = service.client().connect().expect("a connection");
    write!(stream, "GET /events HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", service.address().port()).unwrap();
    send.send("first").unwrap();
    read_until(&mut stream, "first");
    let text = std::fs::read_to_string(service.config()).expect("the configuration");
    std::fs::write(service.config(), text.replace(&old.url(), &new.url())).expect("written");
    service.hang_up();
    let patience = Instant::now() + Duration::from_secs(20);
    while new.connections() == 0 {
        assert!(Instant::now() < patience, "not reloaded: {}", service.stderr());
        if service.stderr().contains("reloaded") {
            let answer = service.client().send("GET", "/a", &[], None).expect("an answer").expect(200);
            assert_eq!(answer.text(), "new");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    send.send("second").unwrap();
    read_until(&mut stream, "second");
    drop(send);
    read_until(&mut stream, "0\r\n\r\n");
    // Without an upstream there is nothing again.
    std::fs::write(service.config(), text.replace(&format!("upstream: {}", old.url()), "")).expect("written");
    service.hang_up();
    while service.client().send("GET", "/a", &[], None).expect("an answer").status != 404 {
        assert!(Instant::now() < patience, "not reloaded: {}", service.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
}
