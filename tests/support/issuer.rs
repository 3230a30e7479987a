//! An authorization server of somebody else, as far as scimshim sees one: HTTPS under an authority of its own, a key set, an
//! introspection endpoint, and whatever bad mood a test puts it into.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

/// A private key, and its public half as a key set has it.
pub struct Key {
    pub id: String,
    algorithm: Algorithm,
    key: EncodingKey,
    pub jwk: Value,
}

impl Key {
    pub fn rs256(id: &str) -> Key {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a key");
        let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().expect("its form");
        let jwk = json!({"kty": "RSA", "use": "sig", "kid": id, "n": text(&parts.n), "e": text(&parts.e)});
        // PKCS #1 stands inside PKCS #8, after version, algorithm and the header of an octet string.
        let key = EncodingKey::from_rsa_der(&pkcs8.as_ref()[26..]);
        Key { id: id.to_owned(), algorithm: Algorithm::RS256, key, jwk }
    }

    pub fn es256(id: &str) -> Key {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let jwk = json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "x": text(x), "y": text(y)});
        let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().expect("its form").as_ref());
        Key { id: id.to_owned(), algorithm: Algorithm::ES256, key, jwk }
    }

    /// A token with the header that this key's would have.
    pub fn token(&self, claims: &Value) -> String {
        self.with_header(&json!({"typ": "JWT", "alg": format!("{:?}", self.algorithm), "kid": self.id}), claims)
    }

    pub fn with_header(&self, header: &Value, claims: &Value) -> String {
        self.raw(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Signs what it is given.
    pub fn raw(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", text(header), text(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).expect("a signature");
        format!("{signed}.{signature}")
    }
}

/// Base64url.
pub fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("a time")
}

/// A whole HTTP answer, or none at all.
pub enum Reply {
    Bytes(Vec<u8>),
    Nothing,
}

/// An answer with a body.
pub fn answer(status: &str, headers: &str, body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// How a server answers a request.
pub type Mood = Box<dyn Fn(&str) -> Reply + Send>;

/// The server. It runs until the test ends.
pub struct Issuer {
    /// `https://127.0.0.1:PORT`
    pub url: String,
    folder: tempfile::TempDir,
    requests: Arc<AtomicUsize>,
    mood: Arc<Mutex<Mood>>,
}

impl Issuer {
    /// Answers each request, head and body as text, as `mood` says.
    pub fn start(mood: impl Fn(&str) -> Reply + Send + 'static) -> Issuer {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(made.cert.der().to_vec())], key)
            .expect("a certificate");
        let config = Arc::new(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url = format!("https://127.0.0.1:{}", listener.local_addr().expect("an address").port());
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).expect("a file");
        let issuer = Issuer { url, folder, requests: Arc::default(), mood: Arc::new(Mutex::new(Box::new(mood))) };
        let (requests, mood) = (Arc::clone(&issuer.requests), Arc::clone(&issuer.mood));
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (config, requests, mood) = (Arc::clone(&config), Arc::clone(&requests), Arc::clone(&mood));
                std::thread::spawn(move || {
                    let _ = serve(socket, config, &requests, &mood);
                });
            }
        });
        issuer
    }

    /// From now on it answers otherwise.
    pub fn mood(&self, mood: impl Fn(&str) -> Reply + Send + 'static) {
        *self.mood.lock().expect("the mood") = Box::new(mood);
    }

    /// How many requests it has had.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// The file of the authority that signed its certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
}

fn serve(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    requests: &AtomicUsize,
    mood: &Mutex<Mood>,
) -> std::io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&request) {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&piece[..length]),
        }
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let reply = mood.lock().expect("the mood")(&String::from_utf8_lossy(&request));
    match reply {
        Reply::Bytes(bytes) => {
            stream.write_all(&bytes)?;
            stream.conn.send_close_notify();
            stream.flush()
        }
        Reply::Nothing => {
            std::thread::sleep(Duration::from_secs(15));
            Ok(())
        }
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}
