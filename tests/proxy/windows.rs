//! HTTP/2 under pressure, on both sides: bodies and answers that nobody reads stop nobody else.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::frames::{Connection, DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, WINDOW_UPDATE, fields};
use crate::support::service::{Service, certificates};
use crate::upstream::{Upstream, find};

const ACK: u8 = 1;

/// What the service lets wait on one stream, and on the connection.
pub fn windows(connection: &mut Connection) -> (u32, u32) {
    let (mut stream, mut whole) = (0, 65_535);
    while stream == 0 || whole == 65_535 {
        let frame = connection.receive().expect("settings and a window");
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        match frame.kind {
            SETTINGS if frame.flags == 0 => {
                let settings = frame.payload.chunks(6);
                stream = settings.filter(|one| one[..2] == [0, 4]).map(|one| number(&one[2..])).sum();
            }
            WINDOW_UPDATE => whole += number(&frame.payload),
            _ => {}
        }
    }
    (stream, whole)
}

/// An application that never reads the bodies of `/stuck`.
fn stuck() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && matches!(socket.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                }
                if !head.starts_with(b"POST /stuck") {
                    let mut body = [0; 7];
                    let _ = socket.read_exact(&mut body);
                    let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
                    return;
                }
                std::thread::sleep(Duration::from_secs(60));
            });
        }
    });
    url
}

fn post(service: &Service, path: &str) -> Vec<u8> {
    let authority = format!("localhost:{}", service.address().port());
    fields(&[(":method", "POST"), (":scheme", "https"), (":authority", &authority), (":path", path)])
}

/// Uploads that the application does not read: the windows are wide, and what stands in them is little enough to leave room.
#[test]
fn uploads_that_stand_still() {
    const STANDING: u32 = 20;
    let service = crate::service(&stuck());
    service.client().send("POST", "/a", &[], Some(b"1234567")).expect("an answer").expect(200);
    let before = service.memory().now;
    let mut connection = Connection::open(&service);
    let (stream, mut whole) = windows(&mut connection);
    assert!(stream >= 1 << 20, "{stream} bytes a round trip");
    connection.send(SETTINGS, ACK, 0, &[]).expect("sent");
    let piece = vec![b'x'; 16 << 10];
    for number in 0..STANDING {
        connection.send(HEADERS, END_HEADERS, 2 * number + 1, &post(&service, "/stuck")).expect("sent");
        // As much as the service lets a client send unread.
        for _ in 0..stream.min(whole) as usize / piece.len() {
            connection.send(DATA, 0, 2 * number + 1, &piece).expect("sent");
            whole -= piece.len() as u32;
        }
    }
    assert!(whole > 7, "the connection has no room for another body");
    let began = Instant::now();
    let last = 2 * STANDING + 1;
    connection.send(HEADERS, END_HEADERS, last, &post(&service, "/a")).expect("sent");
    connection.send(DATA, END_STREAM, last, b"1234567").expect("sent");
    assert_eq!(connection.outcome(), "200");
    // And so on another connection, and for SCIM.
    service.client().send("POST", "/a", &[], Some(b"1234567")).expect("an answer").expect(200);
    service.client().get("/Users").expect(200);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let grown = service.memory().now.saturating_sub(before);
    // What stands there, what the application's sockets take of it, and as much for the allocator.
    assert!(grown < 80 * 1024, "{grown} KiB");
}

/// Answers of an application behind HTTP/2 that their clients do not read, more than it takes requests on one connection.
pub fn answers_that_stand_still(upstream: &str, connections: impl Fn() -> usize) {
    const STANDING: usize = 20;
    let service = crate::service(upstream);
    let mut standing = Vec::new();
    for _ in 0..STANDING {
        let mut stream = service.client().connect().expect("a connection");
        write!(stream, "GET /large.bin HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", service.address().port())
            .expect("sent");
        let (mut head, mut piece) = (Vec::new(), [0; 1024]);
        while find(&head, b"\r\n\r\n").is_none() {
            let length = stream.read(&mut piece).expect("an answer");
            assert!(length > 0, "no answer");
            head.extend_from_slice(&piece[..length]);
        }
        standing.push(stream);
    }
    // Until everything on the way is full.
    std::thread::sleep(Duration::from_secs(2));
    for _ in 0..10 {
        let began = Instant::now();
        let page = service.client().send("GET", "/page.txt", &[], None).expect("an answer").expect(200);
        assert!(page.text().ends_with("All work and no play.\n"), "{} bytes", page.body.len());
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    }
    let made = connections();
    assert!((3..=8).contains(&made), "{made} connections for {STANDING} answers, eight on each");
}

/// HTTP/1.1 is spoken where there is a choice, and HTTP/2 where there is none.
#[test]
fn an_application_that_speaks_http_2_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    certificates(folder.path());
    let port = http_2_alone(folder.path());
    let ca = folder.path().join("ca.pem");
    let service = crate::service(&format!("{{ url: \"https://localhost:{port}\", ca: {} }}", ca.display()));
    for _ in 0..3 {
        let answer = service.client().send("GET", "/a", &[], None).expect("an answer").expect(200);
        assert_eq!(answer.text(), "HTTP/2.0");
    }
    let service =
        crate::service(&format!("{{ url: \"https://localhost:{port}\", ca: {}, http: \"1.1\" }}", ca.display()));
    service.client().send("GET", "/a", &[], None).expect("an answer").expect(502);
}

fn http_2_alone(folder: &std::path::Path) -> u16 {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let certificate = CertificateDer::pem_file_iter(folder.join("certificate.pem")).expect("a certificate");
    let chain = certificate.map(|one| one.expect("a certificate")).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    listener.set_nonblocking(true).expect("for tokio");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((socket, _)) = listener.accept().await {
                let Ok(stream) = acceptor.accept(socket).await else { continue };
                let service = hyper::service::service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
                    let version = format!("{:?}", request.version());
                    Ok::<_, std::convert::Infallible>(hyper::Response::new(http_body_util::Full::new(
                        bytes::Bytes::from(version),
                    )))
                });
                let executor = hyper_util::rt::TokioExecutor::new();
                let connection = hyper::server::conn::http2::Builder::new(executor)
                    .serve_connection(hyper_util::rt::TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
    });
    port
}

/// A HEAD of everything: no answer has a body, and none breaks its connection.
#[test]
fn heads() {
    let upstream = Upstream::ok();
    let service = crate::service(&upstream.url());
    let nobody = crate::service(&format!("http://127.0.0.1:{}", crate::support::service::free_port()));
    let token = format!("Bearer {}", service.token());
    for (service, path, authorization, status) in [
        (&service, "/a", "", "200"),
        (&service, "/scim/v2/Users", "", "401"),
        (&service, "/scim/v2/Users", token.as_str(), "200"),
        (&service, "/scim/v2/Users/nobody", token.as_str(), "404"),
        (&service, "/scim/v2/Schemas", token.as_str(), "200"),
        (&service, "/oauth2/test/authorize", "", "404"),
        (&service, "/.well-known/oauth-authorization-server/oauth2/test", "", "404"),
        (&service, "/a%2fb", "", "400"),
        (&nobody, "/a", "", "502"),
    ] {
        let authority = format!("localhost:{}", service.address().port());
        let mut all = vec![(":method", "HEAD"), (":scheme", "https"), (":authority", &authority), (":path", path)];
        if !authorization.is_empty() {
            all.push(("authorization", authorization));
        }
        let mut connection = Connection::open(service);
        connection.send(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&all)).expect("sent");
        connection.send(HEADERS, END_HEADERS | END_STREAM, 3, &fields(&all)).expect("sent");
        let mut ended = 0;
        while ended < 2 {
            let frame = connection.receive().unwrap_or_else(|error| panic!("{path}: {error}"));
            match frame.kind {
                DATA => assert_eq!(frame.payload.len(), 0, "{path}: a HEAD has no body"),
                // The second one may be in HPACK's table.
                HEADERS if ended == 0 => assert_eq!(crate::frames::status(&frame.payload), status, "{path}"),
                _ => {}
            }
            if matches!(frame.kind, HEADERS | DATA) && frame.flags & END_STREAM != 0 {
                ended += 1;
            }
        }
    }
}

/// Browsers cut cookies up in HTTP/2: many of them are one field.
#[test]
fn cookies_by_the_dozen() {
    let upstream = Upstream::ok();
    let service = crate::service(&upstream.url());
    let authority = format!("localhost:{}", service.address().port());
    let mut all = vec![(":method", "GET"), (":scheme", "https"), (":authority", &authority), (":path", "/a")];
    all.extend([("cookie", "a=b"); 100]);
    let mut connection = Connection::open(&service);
    connection.send(HEADERS, END_HEADERS | END_STREAM, 1, &fields(&all)).expect("sent");
    assert_eq!(connection.outcome(), "200");
    assert_eq!(upstream.take(), format!("GET /a HTTP/1.1\ncookie: {}\n\n", ["a=b"; 100].join("; ")));
}
