//! An application that speaks HTTP/2 without TLS, frame by frame: for farewells and refusals in the middle of things.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::frames::{END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, frame};

const ACK: u8 = 1;

/// The application.
pub struct Upstream2 {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

/// One of its connections.
pub struct Line {
    /// From 0, in the order in which they came.
    pub number: usize,
    socket: TcpStream,
}

impl Line {
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let _ = self.socket.write_all(&frame(kind, flags, stream, payload));
    }

    /// Answers a stream with 200 and nothing else.
    pub fn ok(&mut self, stream: u32) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0x88]);
    }
}

impl Upstream2 {
    /// Calls `script` with each request's stream, once its head is there.
    pub fn scripted(script: impl Fn(u32, &mut Line) + Send + Sync + 'static) -> Upstream2 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (seen, script) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(script));
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for (number, socket) in listener.incoming().flatten().enumerate() {
                let (noted, script) = (Arc::clone(&noted), Arc::clone(&script));
                std::thread::spawn(move || converse(Line { number, socket }, &noted, &*script));
            }
        });
        Upstream2 { port, seen }
    }

    /// For the configuration.
    pub fn yaml(&self) -> String {
        format!("{{ url: \"http://127.0.0.1:{}\", http: \"2\" }}", self.port)
    }

    /// The requests so far as `connection/stream`, forgotten.
    pub fn take(&self) -> String {
        std::mem::take(&mut *self.seen.lock().unwrap()).join(" ")
    }
}

fn converse(mut line: Line, noted: &Mutex<Vec<String>>, script: &dyn Fn(u32, &mut Line)) {
    let _ = line.socket.set_nodelay(true);
    let mut preface = [0; 24];
    if line.socket.read_exact(&mut preface).is_err() {
        return;
    }
    line.send(SETTINGS, 0, 0, &[]);
    let mut head = [0; 9];
    while line.socket.read_exact(&mut head).is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if line.socket.read_exact(&mut payload).is_err() {
            return;
        }
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (head[3], head[4] & ACK) {
            (SETTINGS | PING, 0) => line.send(head[3], ACK, 0, if head[3] == PING { &payload } else { &[] }),
            (HEADERS, _) => {
                noted.lock().unwrap().push(format!("{}/{stream}", line.number));
                script(stream, &mut line);
            }
            _ => {}
        }
    }
}
