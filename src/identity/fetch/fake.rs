//! An HTTPS server for unit tests that answers whatever it is told to, byte for byte. It serves nobody else.

use super::{Client, Trust};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What it answers with.
#[derive(Clone)]
pub(crate) enum Answer {
    Bytes(Vec<u8>),
    /// After a while.
    Late(Duration, Vec<u8>),
    /// Never.
    Nothing,
}

/// 200 with a JSON body.
pub(crate) fn json(body: &str) -> Answer {
    status("200 OK", "Content-Type: application/json\r\n", body)
}

pub(crate) fn status(status: &str, headers: &str, body: &str) -> Answer {
    Answer::Bytes(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into())
}

type Rule = Box<dyn Fn(&str) -> Answer + Send>;

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) ca: String,
    requests: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<String>>>,
    rule: Arc<Mutex<Rule>>,
}

impl Server {
    /// Answers each request, given as text, by `rule`.
    pub(crate) async fn start(rule: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(made.cert.der().to_vec())],
                PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let server = Self {
            url,
            ca: made.cert.pem(),
            requests: Arc::default(),
            heard: Arc::default(),
            rule: Arc::new(Mutex::new(Box::new(rule))),
        };
        let (requests, heard, rule) = (server.requests.clone(), server.heard.clone(), server.rule.clone());
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (acceptor, requests) = (acceptor.clone(), requests.clone());
                let (heard, rule) = (heard.clone(), rule.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(socket).await else { return };
                    let mut request = Vec::new();
                    let mut chunk = [0; 4096];
                    while !complete(&request) {
                        match stream.read(&mut chunk).await {
                            Ok(0) | Err(_) => return,
                            Ok(n) => request.extend_from_slice(&chunk[..n]),
                        }
                    }
                    requests.fetch_add(1, SeqCst);
                    let request = String::from_utf8(request).unwrap();
                    let answer = rule.lock().unwrap()(&request);
                    heard.lock().unwrap().push(request);
                    let bytes = match answer {
                        Answer::Bytes(bytes) => bytes,
                        Answer::Late(after, bytes) => {
                            tokio::time::sleep(after).await;
                            bytes
                        }
                        Answer::Nothing => std::future::pending().await,
                    };
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        server
    }

    pub(crate) fn answer(&self, rule: impl Fn(&str) -> Answer + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(SeqCst)
    }

    pub(crate) fn last_request(&self) -> String {
        self.heard.lock().unwrap().last().unwrap().clone()
    }

    pub(crate) fn client(&self) -> Client {
        let trust = Trust { ca: Some(self.ca.clone()), private_network: false };
        Client::new(&trust).unwrap().within(Duration::from_millis(800))
    }
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}
