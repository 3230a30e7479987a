//! A small HTTPS client that does what a test says and no more: HTTP/1.1 with keep-alive over rustls, paths sent raw as
//! they are given, raw bytes where a test wants to misbehave.
//!
//! It tells a request that was never sent from one that was sent and not answered: the difference that a ledger of
//! writes lives on.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

/// A connection over TLS.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// An HTTP answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; a body that is none fails the test.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The resource's id.
    pub fn id(&self) -> String {
        match self.json().get("id") {
            Some(Value::String(id)) => id.clone(),
            other => panic!("id is {other:?}: {} {}", self.status, self.text()),
        }
    }

    /// Fails the test unless the status is the one given; gives itself back.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Fails the test unless this is a SCIM error document of that status and scimType (RFC 7644 3.12), whose sentence
    /// contains `word`.
    #[track_caller]
    pub fn expect_error(self, status: u16, scim_type: Option<&str>, word: &str) -> Answer {
        assert_eq!(self.status, status, "{}", self.text());
        let document = self.json();
        assert_eq!(document["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error", "{document}");
        assert_eq!(document["status"], status.to_string(), "{document}");
        assert_eq!(document.get("scimType").and_then(Value::as_str), scim_type, "{document}");
        let detail = document["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(word), "{word:?} is not in the sentence of {document}");
        self
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// Nothing of the request was sent: it cannot have had an effect.
    NotSent(io::Error),
    /// It was sent, wholly or in part: nobody knows.
    NoAnswer(io::Error),
}

/// One client: one connection at a time, kept alive.
pub struct Client {
    address: SocketAddr,
    name: String,
    base: String,
    token: Option<String>,
    tls: Arc<ClientConfig>,
    stream: Option<Stream>,
    /// Bytes read beyond the last answer.
    ahead: Vec<u8>,
}

/// A configuration that trusts exactly the certificate authority given (PEM).
pub fn tls(ca: &str) -> Arc<ClientConfig> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

impl Client {
    /// `base` is put before the path of [`Client::get`] and its kin: `/scim/v2`.
    pub fn new(address: SocketAddr, tls: Arc<ClientConfig>, base: &str, token: Option<String>) -> Client {
        let name = format!("localhost:{}", address.port());
        Client { address, name, base: base.to_owned(), token, tls, stream: None, ahead: Vec::new() }
    }

    /// The same client without a token of its own: what it sends is what a test says.
    pub fn anonymous(mut self) -> Client {
        self.token = None;
        self
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.scim("GET", path, None)
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.scim("POST", path, Some(body))
    }

    #[track_caller]
    pub fn put(&mut self, path: &str, body: &Value) -> Answer {
        self.scim("PUT", path, Some(body))
    }

    /// A PATCH of the operations given (RFC 7644 3.5.2), each a JSON object.
    #[track_caller]
    pub fn patch(&mut self, path: &str, operations: Value) -> Answer {
        self.scim("PATCH", path, Some(&patch(operations)))
    }

    #[track_caller]
    pub fn delete(&mut self, path: &str) -> Answer {
        self.scim("DELETE", path, None)
    }

    #[track_caller]
    fn scim(&mut self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        match self.try_scim(method, path, body) {
            Ok(answer) => answer,
            Err(failure) => panic!("{method} {path}: {failure:?}"),
        }
    }

    /// As the methods above, for a test in which the service may be gone.
    pub fn try_scim(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let path = format!("{}{path}", self.base);
        let body = body.map(|body| serde_json::to_vec(body).expect("JSON"));
        let headers: &[(&str, &str)] = match body {
            Some(_) => &[("Content-Type", "application/scim+json")],
            None => &[],
        };
        self.send(method, &path, headers, body.as_deref())
    }

    /// One request with the path exactly as given, Host and Content-Length added, and this client's token unless the
    /// headers bring an Authorization.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Answer, Failure> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.name);
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let (Some(token), false) =
            (&self.token, headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Authorization")))
        {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if let Some(body) = body {
            request.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        self.send_bytes(&bytes, method == "HEAD")
    }

    /// Sends bytes as they are and reads one answer.
    pub fn send_bytes(&mut self, bytes: &[u8], no_body: bool) -> Result<Answer, Failure> {
        let kept = self.stream.is_some();
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().map_err(Failure::NotSent)?,
        };
        let outcome =
            stream.write_all(bytes).and_then(|()| stream.flush()).and_then(|()| self.read_answer(&mut stream, no_body));
        match outcome {
            Ok((answer, keep)) => {
                if keep {
                    self.stream = Some(stream);
                }
                Ok(answer)
            }
            // A kept connection that the server closed before this request, where sending again does no harm.
            Err(error) if kept && bytes.starts_with(b"GET ") && error.kind() == io::ErrorKind::UnexpectedEof => {
                self.ahead.clear();
                self.send_bytes(bytes, no_body)
            }
            Err(error) => {
                self.ahead.clear();
                Err(Failure::NoAnswer(error))
            }
        }
    }

    /// Reads the answer to what a test wrote on a connection of its own, and goes on with that connection.
    pub fn answer_on(&mut self, mut stream: Stream) -> io::Result<Answer> {
        self.disconnect();
        let (answer, keep) = self.read_answer(&mut stream, false)?;
        self.stream = keep.then_some(stream);
        Ok(answer)
    }

    /// Forgets the connection.
    pub fn disconnect(&mut self) {
        self.stream = None;
        self.ahead.clear();
    }

    /// Opens a connection and completes the handshake, for a test that then writes what it likes.
    pub fn connect(&self) -> io::Result<Stream> {
        let mut stream = self.knock()?;
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Opens a connection; the handshake comes with the first bytes.
    pub fn knock(&self) -> io::Result<Stream> {
        let socket = TcpStream::connect_timeout(&self.address, Duration::from_secs(5))?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        socket.set_write_timeout(Some(Duration::from_secs(60)))?;
        socket.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").expect("a name");
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, socket))
    }

    /// The answer, and whether the connection stays open.
    fn read_answer(&mut self, stream: &mut Stream, no_body: bool) -> io::Result<(Answer, bool)> {
        let mut buffer = std::mem::take(&mut self.ahead);
        let end = loop {
            if let Some(at) = find(&buffer, b"\r\n\r\n") {
                break at;
            }
            more(stream, &mut buffer)?;
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let mut rest = buffer.split_off(end + 4);
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        let status: u16 = status_line
            .split(' ')
            .nth(1)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| io::Error::other(format!("not an HTTP answer: {status_line}")))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        if (100..200).contains(&status) {
            self.ahead = rest;
            return self.read_answer(stream, no_body);
        }
        let mut keep = !answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if no_body || status == 204 || status == 304 {
            self.ahead = rest;
            return Ok((answer, keep));
        }
        if answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            loop {
                let line_end = loop {
                    if let Some(at) = find(&rest, b"\r\n") {
                        break at;
                    }
                    more(stream, &mut rest)?;
                };
                let line = String::from_utf8_lossy(&rest[..line_end]).into_owned();
                let length = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                    .map_err(io::Error::other)?;
                while rest.len() < line_end + 2 + length + 2 {
                    more(stream, &mut rest)?;
                }
                answer.body.extend_from_slice(&rest[line_end + 2..line_end + 2 + length]);
                rest.drain(..line_end + 2 + length + 2);
                if length == 0 {
                    break;
                }
            }
        } else if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().map_err(io::Error::other)?;
            while rest.len() < length {
                more(stream, &mut rest)?;
            }
            answer.body = rest.drain(..length).collect();
        } else {
            keep = false;
            while more(stream, &mut rest).is_ok() {}
            answer.body = std::mem::take(&mut rest);
        }
        self.ahead = rest;
        Ok((answer, keep))
    }
}

/// Text inside a query.
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The body of a PATCH.
pub fn patch(operations: Value) -> Value {
    serde_json::json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
}

/// A user of the core schema with that userName and some more attributes.
pub fn user(user_name: &str, more: Value) -> Value {
    let mut document = serde_json::json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": user_name,
        "active": true,
    });
    if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
        document.extend(more);
    }
    document
}

/// A group of the core schema.
pub fn group(display_name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| serde_json::json!({ "value": id })).collect();
    serde_json::json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": display_name,
        "members": members,
    })
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn more(stream: &mut Stream, buffer: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0_u8; 16 * 1024];
    let length = stream.read(&mut piece)?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    buffer.extend_from_slice(&piece[..length]);
    Ok(())
}
