//! Bodies in both directions as they come: events at once, uploads that are answered early, trailers, 100, WebSockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::support::service::Service;
use crate::upstream::{Upstream, find};

/// Reads until `what` came; gives everything read.
#[track_caller]
pub fn read_until(stream: &mut impl Read, what: &str) -> String {
    let mut all = Vec::new();
    let mut piece = [0_u8; 16 * 1024];
    while find(&all, what.as_bytes()).is_none() {
        match stream.read(&mut piece) {
            Ok(length @ 1..) => all.extend_from_slice(&piece[..length]),
            other => panic!("{what:?} did not come ({other:?}): {}", String::from_utf8_lossy(&all)),
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn host(service: &Service) -> String {
    format!("Host: localhost:{}\r\n", service.address().port())
}

#[test]
fn events_at_once_and_connections_again() {
    let (send, events) = mpsc::channel::<&'static str>();
    let events = Mutex::new(events);
    let upstream = Upstream::scripted(move |request, socket| {
        if !request.starts_with(b"GET /events") {
            return socket.write_all(crate::upstream::OK).is_ok();
        }
        let _ = socket
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for event in events.lock().unwrap().iter() {
            let _ = socket.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes());
        }
        socket.write_all(b"0\r\n\r\n").is_ok()
    });
    // The client's patience with an idle connection does not count while it waits for the next event.
    let service = crate::service_with(&upstream.url(), "limits: { idle: 1s, headers: 1s }");
    let mut stream = service.client().connect().expect("a connection");
    write!(stream, "GET /events HTTP/1.1\r\n{}\r\n", host(&service)).expect("written");
    read_until(&mut stream, "\r\n\r\n");
    for event in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        let sent = Instant::now();
        send.send(event).expect("an upstream");
        read_until(&mut stream, event);
        assert!(sent.elapsed() < Duration::from_secs(1), "an event took {:?}", sent.elapsed());
        std::thread::sleep(Duration::from_millis(1500));
    }
    drop(send);
    read_until(&mut stream, "0\r\n\r\n");
    // The same connections serve the next.
    let before = upstream.connections();
    let mut client = service.client();
    for _ in 0..20 {
        client.send("GET", "/a", &[], None).expect("an answer").expect(200);
        client.send("POST", "/a", &[], Some(b"abc")).expect("an answer").expect(200);
    }
    assert!(upstream.connections() <= before + 1, "{} connections", upstream.connections() - before);
}

#[test]
fn an_answer_before_the_upload_ended() {
    // It answers when it has the head, and goes away or stays without reading on.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for (number, mut socket) in listener.incoming().flatten().enumerate() {
            std::thread::spawn(move || {
                let mut piece = [0_u8; 1024];
                let _ = socket.read(&mut piece);
                let _ = socket.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big");
                if number % 2 == 0 {
                    // Not another byte is read for a while; the other kind goes away with unread bytes, by a reset.
                    std::thread::sleep(Duration::from_secs(20));
                }
            });
        }
    });
    let service = crate::service(&url);
    for round in 0..4 {
        let mut stream = service.client().connect().expect("a connection");
        let length = 64 << 20;
        write!(stream, "POST /a HTTP/1.1\r\n{}Content-Length: {length}\r\n\r\n", host(&service)).expect("written");
        let began = Instant::now();
        // A client that sends before it reads, as many do: 24 MiB, more than all buffers on the way.
        let piece = vec![b'x'; 64 << 10];
        stream.sock.set_write_timeout(Some(Duration::from_secs(2))).expect("a timeout");
        for _ in 0..384 {
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
        stream.sock.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        // A reset may overtake the answer before it; then there is one of ours.
        let answer = read_until(&mut stream, "\r\n\r\n");
        let stayed = round % 2 == 0;
        let fine = answer.starts_with("HTTP/1.1 413") || (!stayed && answer.starts_with("HTTP/1.1 502"));
        assert!(fine, "round {round}: {answer}");
        assert!(began.elapsed() < Duration::from_secs(9), "round {round}: it took {:?}", began.elapsed());
    }
    // And at once, for a client that waits.
    let mut stream = service.client().connect().expect("a connection");
    let began = Instant::now();
    write!(stream, "POST /a HTTP/1.1\r\n{}Content-Length: 1000\r\n\r\nabc", host(&service)).expect("written");
    read_until(&mut stream, "too big");
    assert!(began.elapsed() < Duration::from_secs(1), "it took {:?}", began.elapsed());
}

#[test]
fn a_body_that_waits_for_100() {
    let upstream = Upstream::scripted(|request, socket| {
        let head = String::from_utf8_lossy(request).into_owned();
        if head.starts_with("PUT /no") {
            return socket.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").is_ok();
        }
        if head.starts_with("PUT /yes") {
            let _ = socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        if head.starts_with("PUT") {
            // Silent ones get the body after a while all the same.
            let mut body = [0_u8; 5];
            return socket.read_exact(&mut body).is_ok()
                && body == *b"hello"
                && socket.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").is_ok();
        }
        socket.write_all(crate::upstream::OK).is_ok()
    });
    let service = crate::service(&upstream.url());
    let put = |path: &str| {
        let mut stream = service.client().connect().expect("a connection");
        write!(stream, "PUT {path} HTTP/1.1\r\n{}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", host(&service))
            .unwrap();
        let answer = read_until(&mut stream, "\r\n\r\n");
        (stream, answer)
    };
    for path in ["/yes", "/silent"] {
        let (mut stream, answer) = put(path);
        assert_eq!(answer, "HTTP/1.1 100 Continue\r\n\r\n", "{path}");
        stream.write_all(b"hello").unwrap();
        assert!(read_until(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 201"), "{path}");
    }
    let (mut stream, answer) = put("/no");
    assert!(answer.starts_with("HTTP/1.1 413"), "the upstream's no, and no 100 before it: {answer}");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    let seen = String::from_utf8_lossy(&upstream.seen()).into_owned();
    assert!(seen.contains("expect: 100-continue") && seen.matches("hello").count() == 0, "{seen}");
    for _ in 0..5 {
        service.client().send("GET", "/a", &[], None).expect("an answer").expect(200);
    }
}

/// Bytes of the application's that look like something of ours.
#[test]
fn pieces_that_look_like_refusals() {
    const PIECE: &str = "HTTP/1.1 400 Bad Request\r\n\r\n";
    let upstream = Upstream::scripted(|_, socket| {
        let _ = write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 3 * PIECE.len());
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(200));
            let _ = socket.write_all(PIECE.as_bytes());
        }
        true
    });
    let service = crate::service(&upstream.url());
    for _ in 0..2 {
        let mut client = service.client();
        for _ in 0..2 {
            let answer = client.send("GET", "/a", &[], None).expect("an answer").expect(200);
            assert_eq!(answer.text(), PIECE.repeat(3));
        }
    }
}

#[test]
fn trailers() {
    let upstream = Upstream::answering(
        b"HTTP/1.1 200 OK\r\nTrailer: X-Sum, Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n",
    );
    let service = crate::service(&upstream.url());
    let mut stream = service.client().connect().expect("a connection");
    write!(
        stream,
        "POST /a HTTP/1.1\r\n{}TE: trailers\r\nTrailer: X-Up\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Up: 1\r\n\r\n",
        host(&service)
    )
    .unwrap();
    let answer = read_until(&mut stream, "0\r\nx-sum: 7\r\n\r\n");
    assert!(!answer.contains("content-length"), "{answer}");
    assert_eq!(
        upstream.take(),
        "POST /a HTTP/1.1\nconnection: TE\nte: trailers\ntrailer: X-Up\ntransfer-encoding: chunked\n\n2\r\nhi\r\n0\r\nx-up: 1\r\n\r\n"
    );
}

/// Answers a WebSocket's handshake and gives back what comes.
fn echo(request: &[u8], socket: &mut TcpStream) -> bool {
    assert!(String::from_utf8_lossy(request).contains("upgrade: websocket"));
    let _ = socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello");
    let mut piece = [0_u8; 16 * 1024];
    loop {
        match socket.read(&mut piece) {
            Ok(length @ 1..) if socket.write_all(&piece[..length]).is_ok() => {}
            _ => return false,
        }
    }
}

#[test]
fn websockets() {
    let upstream = Upstream::scripted(echo);
    let service = crate::service_with(
        &format!("{{ url: {}, idle_timeout: 3s }}", upstream.url()),
        "limits: { idle: 1s, connections_per_address: 6 }",
    );
    let open = || {
        let mut stream = service.client().connect().expect("a connection");
        // The first bytes may come with the handshake.
        write!(
            stream,
            "GET /socket HTTP/1.1\r\n{}Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\nearly",
            host(&service)
        )
        .unwrap();
        let answer = read_until(&mut stream, "helloearly");
        assert!(answer.starts_with("HTTP/1.1 101") && answer.contains("upgrade: websocket"), "{answer}");
        stream
    };
    let mut socket = open();
    let head = upstream.take();
    assert!(head.contains("connection: Upgrade\n") && head.contains("sec-websocket-key: eA==\n"), "{head}");
    // Longer than an idle connection lives, with bytes now and then, and much at once.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(1500));
        socket.write_all(b"ping\n\n").unwrap();
        read_until(&mut socket, "ping\n\n");
    }
    let much = vec![b'x'; 1 << 20];
    let mut echoed = 0;
    for piece in much.chunks(32 << 10) {
        socket.write_all(piece).unwrap();
        let mut back = vec![0; piece.len()];
        socket.read_exact(&mut back).unwrap();
        assert!(back.iter().all(|byte| *byte == b'x'));
        echoed += back.len();
    }
    assert_eq!(echoed, much.len());
    assert_eq!(service.metric("scimshim_upstream_tunnels"), Some(1.0));
    // A tunnel counts as a connection of its address.
    let others: Vec<_> = (0..5).map(|_| open()).collect();
    let seventh = service.client().connect().and_then(|mut stream| {
        write!(stream, "GET /scim/v2/Users HTTP/1.1\r\n{}\r\n", host(&service))?;
        stream.read(&mut [0])
    });
    assert!(!matches!(seventh, Ok(1..)), "six tunnels are six connections");
    drop(others);
    // Silent for too long: it ends, in an orderly way.
    let silent = Instant::now();
    assert!(matches!(socket.read(&mut [0]), Ok(0)), "closed with a farewell");
    let silent = silent.elapsed();
    assert!(silent > Duration::from_secs(2) && silent < Duration::from_secs(8), "after {silent:?}");
    service.client().get("/Users").expect(200);
}

/// A client that does not read slows its upstream down, and nothing piles up.
#[test]
fn a_slow_reader() {
    let written = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&written);
    let (gone, ended) = mpsc::channel();
    let gone = Mutex::new(gone);
    let upstream = Upstream::scripted(move |_, socket| {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        let piece = vec![b'x'; 64 << 10];
        while socket.write_all(&piece).is_ok() {
            counted.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        let _ = gone.lock().unwrap().send(());
        false
    });
    let service = crate::service_with(&upstream.url(), "limits: { idle: 3s }");
    let mut stream = service.client().connect().expect("a connection");
    write!(stream, "GET /a HTTP/1.1\r\n{}\r\n", host(&service)).unwrap();
    read_until(&mut stream, "\r\n\r\n");
    std::thread::sleep(Duration::from_millis(1500));
    let first = written.load(Ordering::SeqCst);
    assert!(first < 64 << 20, "{first} bytes were taken for a client that reads none");
    assert!(service.memory().most < 200 << 10);
    // And is not waited for for ever: then the upstream's connection ends too.
    ended.recv_timeout(Duration::from_secs(20)).expect("a client that does not read is still there");
    service.said("a client took nothing of its answers for too long");
    assert_eq!(service.metric("scimshim_upstream_failures_total{kind=\"client\"}"), Some(1.0));
    drop(stream);
}

/// Who reads slowly, but steadily, is no client that does not read, however much the system's buffers hold.
#[test]
fn a_steady_reader() {
    const RATE: usize = 125 << 10;
    const ALL: usize = 4 << 20;
    let upstream = Upstream::scripted(|_, socket| {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        let piece = vec![b'x'; 64 << 10];
        while socket.write_all(&piece).is_ok() {}
        false
    });
    let service = crate::service_with(&upstream.url(), "limits: { idle: 5s }");
    let mut stream = service.client().connect().expect("a connection");
    socket2::SockRef::from(&stream.sock).set_recv_buffer_size(64 << 10).expect("a small buffer");
    write!(stream, "GET /a HTTP/1.1\r\n{}\r\n", host(&service)).unwrap();
    let (began, mut read, mut piece) = (Instant::now(), 0, vec![0; RATE / 8]);
    while read < ALL {
        let length = stream.read(&mut piece).unwrap_or_default();
        assert!(length > 0, "cut off after {read} bytes, {:?}", began.elapsed());
        read += length;
        let due = Duration::from_secs_f64(read as f64 / RATE as f64);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

/// A stop does not wait for events, which have no end of their own.
#[test]
fn events_end_with_the_service() {
    let upstream = Upstream::scripted(|_, socket| {
        let _ = socket.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        while socket.write_all(b"9\r\ndata: x\n\n\r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
        false
    });
    let mut service = crate::service(&upstream.url());
    let mut stream = service.client().connect().expect("a connection");
    write!(stream, "GET /events HTTP/1.1\r\n{}\r\n", host(&service)).expect("written");
    read_until(&mut stream, "data: x\n\n");
    let authority = format!("localhost:{}", service.address().port());
    let mut connection = crate::frames::Connection::open(&service);
    connection.ask("GET", "/events", &authority, 1).expect("sent");
    while connection.receive().expect("events").kind != crate::frames::DATA {}
    let began = Instant::now();
    assert!(service.stop().success());
    // The second client, which answers to no farewell, is not waited for either.
    assert!(began.elapsed() < Duration::from_secs(25), "it took {:?}", began.elapsed());
    // Both see an end, and no broken connection.
    read_until(&mut stream, "0\r\n\r\n");
    loop {
        let frame = connection.receive().expect("an end");
        if frame.kind == crate::frames::DATA && frame.flags & crate::frames::END_STREAM != 0 {
            break;
        }
    }
}

/// An answer that is there is not lost because writing fails.
#[test]
fn an_answer_and_a_reset() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut piece = [0_u8; 1024];
            let _ = socket.read(&mut piece);
            let _ = socket.write_all(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big");
        }
    });
    let service = crate::service(&url);
    // Where the reset overtakes the answer on its way there is none to pass on.
    let mut passed_on = 0;
    for round in 0..30 {
        let mut stream = service.client().connect().expect("a connection");
        write!(stream, "POST /a HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n", host(&service), 4 << 20).expect("written");
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..64 {
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
        let answer = read_until(&mut stream, "\r\n\r\n");
        let is_answer = answer.starts_with("HTTP/1.1 413");
        assert!(is_answer || answer.starts_with("HTTP/1.1 502"), "round {round}: {answer}");
        passed_on += usize::from(is_answer);
    }
    assert!(passed_on >= 27, "{passed_on} of 30");
}
