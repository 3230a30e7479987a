//! A client as small as can be: one HTTPS request a connection, the authority given, nothing else
//! trusted. It blocks.

use crate::cli::common::Failure;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Asks one service.
pub struct Client {
    tls: Arc<ClientConfig>,
    address: SocketAddr,
    base: String,
    token: String,
}

/// What was answered.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body; null without one.
    pub body: Value,
}

impl Client {
    /// A client that trusts the authority in `ca`, PEM, and no other. `base` is a path.
    pub fn new(address: SocketAddr, ca: &str, base: &str, token: String) -> Result<Self, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Message(format!("the demonstration's client: {error}"));
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(ca.as_bytes()).map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls), address, base: base.to_owned(), token })
    }

    /// One request.
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        self.exchange(method, path, body).map_err(|error| Failure::Message(format!("{method} {path}: {error}")))
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let name = ServerName::try_from("localhost").map_err(|error| text(&error))?;
        let connection = ClientConnection::new(Arc::clone(&self.tls), name).map_err(|error| text(&error))?;
        let socket = TcpStream::connect_timeout(&self.address, Duration::from_secs(5)).map_err(|error| text(&error))?;
        socket.set_read_timeout(Some(Duration::from_secs(30))).map_err(|error| text(&error))?;
        let mut stream = StreamOwned::new(connection, socket);
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {}\r\nAccept: application/scim+json\r\nConnection: close\r\n",
            self.base,
            self.address.port(),
            self.token
        );
        if !body.is_empty() {
            request.push_str(&format!("Content-Type: application/scim+json\r\nContent-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        request.push_str(&body);
        stream.write_all(request.as_bytes()).map_err(|error| text(&error))?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(|error| text(&error))?;
        read(&answer).ok_or_else(|| "the answer is not HTTP".to_owned())
    }
}

/// Our own service answers with a Content-Length and closes; the body is what follows the head.
fn read(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = answer.split_at(end + 4);
    let head = std::str::from_utf8(head).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(body).ok()? };
    Some(Answer { status, body })
}
