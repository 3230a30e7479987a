//! An application made of a socket: it notes every byte it gets, and answers each request with what a test says.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What an answer may do besides.
pub type Script = dyn Fn(&[u8], &mut TcpStream) -> bool + Send + Sync;

/// The application.
pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    connections: Arc<AtomicUsize>,
}

pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

impl Upstream {
    /// Answers everything with 200 and `ok`.
    pub fn ok() -> Upstream {
        Upstream::answering(OK)
    }

    /// Answers everything with the same bytes, and goes on with the connection.
    pub fn answering(bytes: &'static [u8]) -> Upstream {
        Upstream::scripted(move |_, socket| socket.write_all(bytes).is_ok())
    }

    /// Calls `script` with each whole request; false ends the connection.
    pub fn scripted(script: impl Fn(&[u8], &mut TcpStream) -> bool + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        Upstream::on(listener, Arc::new(script))
    }

    /// The same on a listener that is there.
    pub fn on(listener: TcpListener, script: Arc<Script>) -> Upstream {
        let address = listener.local_addr().expect("an address");
        let (seen, connections) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<AtomicUsize>::default());
        let (noted, counted) = (Arc::clone(&seen), Arc::clone(&connections));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let (noted, script) = (Arc::clone(&noted), Arc::clone(&script));
                std::thread::spawn(move || converse(socket, &noted, &*script));
            }
        });
        Upstream { address, seen, connections }
    }

    /// For the configuration.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything it got so far.
    pub fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }

    /// The same as text, normalised, and forgotten.
    pub fn take(&self) -> String {
        normal(&std::mem::take(&mut *self.seen.lock().unwrap()))
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until it got `text`.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let patience = Instant::now() + Duration::from_secs(20);
        while !String::from_utf8_lossy(&self.seen()).contains(text) {
            assert!(Instant::now() < patience, "{text:?} did not come: {}", String::from_utf8_lossy(&self.seen()));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn converse(mut socket: TcpStream, noted: &Mutex<Vec<u8>>, script: &Script) {
    let _ = socket.set_nodelay(true);
    let mut buffer = Vec::new();
    let mut piece = vec![0_u8; 64 * 1024];
    loop {
        while let Some(length) = whole(&buffer) {
            let request: Vec<u8> = buffer.drain(..length).collect();
            if !script(&request, &mut socket) {
                return;
            }
        }
        let Ok(length @ 1..) = socket.read(&mut piece) else { return };
        noted.lock().unwrap().extend_from_slice(&piece[..length]);
        buffer.extend_from_slice(&piece[..length]);
    }
}

/// The length of the request that the bytes begin with, once it is all there. `Expect` is answered when the head is.
fn whole(bytes: &[u8]) -> Option<usize> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    if head.contains("expect: 100-continue") {
        return Some(end);
    }
    if head.contains("transfer-encoding: chunked") {
        let mut at = end;
        loop {
            let line = find(&bytes[at..], b"\r\n")?;
            let size = std::str::from_utf8(&bytes[at..at + line]).ok()?;
            let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
            if size == 0 {
                return find(&bytes[at..], b"\r\n\r\n").map(|last| at + last + 4);
            }
            at += line + 2 + size + 2;
            if bytes.len() < at {
                return None;
            }
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let whole = end + length.unwrap_or(0);
    (bytes.len() >= whole).then_some(whole)
}

pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Requests as text: the fields sorted, without those that every forwarded request has; ids are `ID`.
fn normal(bytes: &[u8]) -> String {
    let mut rest = bytes;
    let mut all = String::new();
    while let Some(end) = find(rest, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        let mut lines = head.split("\r\n");
        all.push_str(lines.next().unwrap_or_default());
        all.push('\n');
        let mut fields: Vec<&str> = lines.collect();
        for (name, value) in OURS {
            let ours = |field: &&str| {
                field.strip_prefix(name).is_some_and(|rest| rest.starts_with(": ") && rest[2..].starts_with(value))
            };
            let count = fields.iter().filter(|field| ours(field)).count();
            assert_eq!(count, 1, "{name} once: {head}");
            fields.retain(|field| !ours(field));
        }
        fields.sort_unstable();
        fields.iter().for_each(|field| all.push_str(&format!("{field}\n")));
        all.push('\n');
        let length = whole(rest).unwrap_or(rest.len());
        all.push_str(&String::from_utf8_lossy(&rest[end + 4..length]));
        rest = &rest[length..];
    }
    all.push_str(&String::from_utf8_lossy(rest));
    all
}

/// What every request from a client at 127.0.0.1 has, over TLS, and how its value begins.
const OURS: &[(&str, &str)] = &[
    ("forwarded", "for=127.0.0.1;proto=https;host=\"localhost"),
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "localhost"),
    ("x-request-id", ""),
    ("host", "localhost"),
    ("cdn-loop", "scimshim; id="),
];
