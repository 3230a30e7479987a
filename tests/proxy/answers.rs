//! What an upstream may answer: bad framing is 502 and goes no further; what is between it and us ends here.

use std::io::Write;

use crate::upstream::Upstream;

/// Answers that are not passed on. `^` stands for CRLF.
const BAD: &[(&str, &str)] = &[
    ("no HTTP", "SSH-2.0-OpenSSH_9.2^^"),
    ("HTTP/0.9", "<html>hello</html>"),
    ("a status of two digits", "HTTP/1.1 20 OK^Content-Length: 2^^ok"),
    ("a status beyond 599", "HTTP/1.1 677 What^Content-Length: 2^^ok"),
    ("two lengths", "HTTP/1.1 200 OK^Content-Length: 2^Content-Length: 3^^ok!"),
    ("two equal lengths", "HTTP/1.1 200 OK^Content-Length: 2^Content-Length: 2^^ok"),
    ("two lengths in one", "HTTP/1.1 200 OK^Content-Length: 2, 2^^ok"),
    ("a negative length", "HTTP/1.1 200 OK^Content-Length: -2^^ok"),
    ("a signed length", "HTTP/1.1 200 OK^Content-Length: +2^^ok"),
    ("a length in hex", "HTTP/1.1 200 OK^Content-Length: 0x2^^ok"),
    ("a length beyond all", "HTTP/1.1 200 OK^Content-Length: 99999999999999999999999^^ok"),
    ("a length and a coding", "HTTP/1.1 200 OK^Content-Length: 2^Transfer-Encoding: chunked^^2^ok^0^^"),
    ("a coding that is not chunked", "HTTP/1.1 200 OK^Transfer-Encoding: gzip^^ok"),
    ("gzip, chunked", "HTTP/1.1 200 OK^Transfer-Encoding: gzip, chunked^^2^ok^0^^"),
    ("chunked twice", "HTTP/1.1 200 OK^Transfer-Encoding: chunked^Transfer-Encoding: chunked^^2^ok^0^^"),
    ("chunks in HTTP/1.0", "HTTP/1.0 200 OK^Transfer-Encoding: chunked^^2^ok^0^^"),
    ("a 101 that nobody asked for", "HTTP/1.1 101 Switching Protocols^Connection: Upgrade^Upgrade: websocket^^"),
    ("NUL in a value", "HTTP/1.1 200 OK^X: a\0b^Content-Length: 2^^ok"),
    ("a bare CR in a value", "HTTP/1.1 200 OK^X: a\rSet-Cookie: b^Content-Length: 2^^ok"),
    ("a fold", "HTTP/1.1 200 OK^X: a^ b^Content-Length: 2^^ok"),
    ("a space before the colon", "HTTP/1.1 200 OK^X : a^Content-Length: 2^^ok"),
    ("no colon", "HTTP/1.1 200 OK^X^Content-Length: 2^^ok"),
];

#[test]
fn that_are_malformed() {
    let mut wrong = Vec::new();
    for (name, answer) in BAD {
        let bytes = answer.replace('^', "\r\n");
        let upstream = Upstream::scripted(move |_, socket| {
            let _ = socket.write_all(bytes.as_bytes());
            false
        });
        let service = Shared::with(&upstream);
        let answer = service.client().send("GET", "/a", &[("Accept", "text/html")], None);
        match answer {
            Ok(answer)
                if answer.status == 502
                    && answer.header("content-type") == Some("text/html; charset=utf-8")
                    && answer.header("set-cookie").is_none()
                    && answer.text().contains("<h1>502 Bad Gateway</h1>") => {}
            other => wrong.push(format!("{name}: {other:?}")),
        }
    }
    let head = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 2\r\n\r\nok", "y".repeat(300_000));
    let upstream = Upstream::scripted(move |_, socket| socket.write_all(head.as_bytes()).is_ok());
    let answer = Shared::with(&upstream).client().send("GET", "/a", &[], None);
    if !answer.as_ref().is_ok_and(|answer| answer.status == 502) {
        wrong.push(format!("a large head: {answer:?}"));
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), BAD.len(), wrong.join("\n"));
}

/// One service for many upstreams, behind a relay: starting one takes longer than everything else here.
struct Shared;

impl Shared {
    fn with(upstream: &Upstream) -> &'static crate::support::service::Service {
        use std::net::{SocketAddr, TcpListener, TcpStream};
        use std::sync::{Mutex, OnceLock};
        static TARGET: Mutex<Option<SocketAddr>> = Mutex::new(None);
        static SERVICE: OnceLock<crate::support::service::Service> = OnceLock::new();
        *TARGET.lock().unwrap() = Some(upstream.address);
        SERVICE.get_or_init(|| {
            let relay = TcpListener::bind("127.0.0.1:0").expect("a port");
            let url = format!("http://{}", relay.local_addr().expect("an address"));
            std::thread::spawn(move || {
                for client in relay.incoming().flatten() {
                    let target = TARGET.lock().unwrap().expect("an upstream");
                    let server = TcpStream::connect(target).expect("the upstream");
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
            crate::service(&url)
        })
    }
}

#[test]
fn what_ends_here_and_what_goes_on() {
    let upstream = Upstream::scripted(|request, socket| {
        let path = String::from_utf8_lossy(request).split(' ').nth(1).unwrap_or_default().to_owned();
        let answer: &[u8] = match path.as_str() {
            "/fields" => {
                b"HTTP/1.1 200 OK\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n\
                  Proxy-Authenticate: Basic\r\nAlt-Svc: h3=\":443\"\r\nServer: app\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\
                  X_Odd: 1\r\nContent-Length: 2\r\n\r\nok"
            }
            "/hints" => b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "/none" => b"HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n",
            "/same" => b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5000\r\n\r\n",
            "/ten" => b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
            "/more" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
            "/own" => b"HTTP/1.1 200 OK\r\nX-Request-Id: app\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
        };
        socket.write_all(answer).is_ok() && !matches!(path.as_str(), "/ten" | "/fields")
    });
    let service = crate::service(&upstream.url());
    let mut client = service.client();
    let mut get = |path: &str| client.send("GET", path, &[], None).expect("an answer");

    let answer = get("/fields").expect(200);
    for gone in ["x-secret", "keep-alive", "proxy-authenticate", "alt-svc", "connection"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!((answer.header("server"), answer.header("x_odd")), (Some("app"), Some("1")));
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "set-cookie").count(), 2);
    assert!(answer.header("x-request-id").is_some() && answer.header("strict-transport-security").is_some());
    assert_eq!(get("/hints").expect(200).text(), "ok");
    assert_eq!(get("/none").expect(204).header("content-length"), None);
    let same = get("/same").expect(304);
    assert_eq!((same.header("etag"), same.body.len()), (Some("\"a\""), 0));
    assert_eq!(get("/ten").expect(200).text(), "until the end");
    // What follows an answer is nobody's answer.
    for _ in 0..5 {
        assert_eq!(get("/more").expect(200).text(), "ok");
        assert_eq!(get("/next").expect(200).text(), "good");
    }
    let own = get("/own").expect(200);
    assert_eq!((own.header("x-request-id"), own.header("strict-transport-security")), (Some("app"), Some("max-age=1")));
    let head = client.send("HEAD", "/next", &[], None).expect("an answer").expect(200);
    assert_eq!((head.header("content-length"), head.body.len()), (Some("4"), 0));
}
