//! HTTP/2 frame by frame (RFC 9113): what no client library would send.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::support::client;
use crate::support::service::Service;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub payload: Vec<u8>,
}

/// A connection after its preface.
pub struct Connection {
    tls: StreamOwned<ClientConnection, TcpStream>,
}

impl Connection {
    pub fn open(service: &Service) -> Connection {
        let ca = std::fs::read_to_string(service.ca_file()).expect("the authority");
        let mut config = (*client::tls(&ca)).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpStream::connect(service.address()).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        socket.set_write_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        socket.set_nodelay(true).expect("no delay");
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("TLS");
        let mut connection = Connection { tls: StreamOwned::new(tls, socket) };
        connection.tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the preface");
        connection.send(SETTINGS, 0, 0, &[]).expect("settings");
        assert_eq!(connection.tls.conn.alpn_protocol(), Some(&b"h2"[..]));
        connection
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        self.tls.write_all(&frame(kind, flags, stream, payload))?;
        self.tls.flush()
    }

    pub fn receive(&mut self) -> io::Result<Frame> {
        let mut head = [0_u8; 9];
        self.tls.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.tls.read_exact(&mut payload)?;
        Ok(Frame { kind: head[3], flags: head[4], payload })
    }

    /// Asks for something without a body.
    pub fn ask(&mut self, method: &str, path: &str, authority: &str, stream: u32) -> io::Result<()> {
        let all = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)];
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &fields(&all))
    }

    /// What becomes of stream 1: its status, or `reset`, `goaway`, `closed`.
    pub fn outcome(&mut self) -> String {
        loop {
            match self.receive() {
                Ok(Frame { kind: HEADERS, payload, .. }) => return status(&payload),
                Ok(Frame { kind: RST_STREAM, .. }) => return "reset".to_owned(),
                Ok(Frame { kind: GOAWAY, .. }) => return "goaway".to_owned(),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return "nothing".to_owned(),
                Err(_) => return "closed".to_owned(),
            }
        }
    }
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Fields as HPACK without its tables and codes: exactly the bytes given (RFC 7541 6.2.2).
pub fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(text.len(), &mut block);
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

fn integer(mut number: usize, block: &mut Vec<u8>) {
    if number < 127 {
        return block.push(number as u8);
    }
    block.push(127);
    number -= 127;
    while number >= 128 {
        block.push((number % 128 + 128) as u8);
        number /= 128;
    }
    block.push(number as u8);
}

/// The `:status` that a header block begins with.
pub fn status(block: &[u8]) -> String {
    let known = ["200", "204", "206", "304", "400", "404", "500"];
    // A change of the table's size may come first.
    let block = block.iter().position(|byte| byte & 0xe0 != 0x20).map_or(block, |at| &block[at..]);
    match block {
        [first @ 0x88..=0x8e, ..] => known[usize::from(first - 0x88)].to_owned(),
        [0x08 | 0x18 | 0x48, length, rest @ ..] if length & 0x80 == 0 => {
            String::from_utf8_lossy(&rest[..usize::from(*length)]).into_owned()
        }
        [0x08 | 0x18 | 0x48, length, rest @ ..] => digits(&rest[..usize::from(length & 0x7f)]),
        other => format!("{other:x?}"),
    }
}

/// Digits in HPACK's Huffman code (RFC 7541 appendix B): 0 to 2 have five bits, 3 to 9 six.
fn digits(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let (mut at, mut text) = (0, String::new());
    while text.len() < 3 {
        let five = bits[at..at + 5].iter().fold(0, |number, bit| number * 2 + bit);
        if five < 3 {
            text.push(char::from(b'0' + five));
            at += 5;
        } else {
            text.push(char::from(b'0' + (five * 2 + bits[at + 5]) - 0x19 + 3));
            at += 6;
        }
    }
    text
}
