//! Clients that prove who they are by a signed assertion, with their keys on an HTTPS server of the test's.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::setup::{Asking, application, reads, refused, servers, text};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, describe, free_port};

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// What an Entra tenant's tokens say.
const ISSUER: &str = "https://login.microsoftonline.com/tenant/v2.0";
const SUBJECT: &str = "11111111-2222-3333-4444-555555555555";

/// A key that signs.
pub struct Signer(RsaKeyPair);

impl Signer {
    pub fn new() -> Signer {
        Signer(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    /// The set with this key.
    fn jwks(&self) -> String {
        let parts = PublicKeyComponents::<Vec<u8>>::from(self.0.public_key());
        let (n, e) = (URL_SAFE_NO_PAD.encode(parts.n), URL_SAFE_NO_PAD.encode(parts.e));
        json!({ "keys": [{ "kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": n, "e": e }] }).to_string()
    }

    /// PKCS #8, as other programs read it.
    pub fn pem(&self) -> String {
        let der = self.0.as_der().expect("DER");
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A service whose clients `signing` and `entra` have their keys at a server that runs as long as the process.
pub fn start(engine: Engine, signer: &Signer) -> (Database, Service) {
    let port = free_port();
    let keys = format!("jwks_url: \"https://127.0.0.1:{port}/keys\", ca: ca.pem, private_network: true");
    let more = format!(
        ", {{ id: signing, private_key_jwt: {{ {keys} }} }}, \
         {{ id: entra, federated: {{ issuer: \"{ISSUER}\", subject: \"{SUBJECT}\", audience: \"api://scimshim\", {keys} }} }}"
    );
    let database = application(engine);
    let options = Options::adapter("tests/adapters/administrators.yaml").identity_servers(&servers(&more));
    let mut service = Service::prepare(&database, options);
    publish(port, &service, signer.jwks());
    let setup = service.run(&["setup", "--apply"]);
    assert!(setup.status.success(), "{}", describe(&setup));
    service.start_again();
    (database, service)
}

fn publish(port: u16, service: &Service, body: String) {
    let file = |name: &str| service.folder().join(name);
    let certificate = CertificateDer::from_pem_file(file("certificate.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a configuration");
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let Ok(connection) = rustls::ServerConnection::new(Arc::clone(&config)) else { continue };
            let mut stream = rustls::StreamOwned::new(connection, socket);
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    i64::try_from(since.as_secs()).expect("a small number")
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

#[test]
fn by_assertion() {
    let signer = Signer::new();
    let (_database, service) = start(Engine::Sqlite, &signer);
    let second = service.second("two");
    let mut idp = Asking::new(&service, "test");
    let mut other = Asking::new(&second, "test");
    let header = json!({ "alg": "RS256", "kid": "k1", "typ": "JWT" });
    let ask = |idp: &mut Asking, assertion: &str, more: &[(&str, &str)]| {
        let body =
            [("grant_type", "client_credentials"), ("client_assertion_type", TYPE), ("client_assertion", assertion)];
        idp.post("token", None, &[&body, more].concat())
    };
    let issuer = format!("{}/oauth2/test", service.url());
    let own =
        json!({ "iss": "signing", "sub": "signing", "aud": format!("{issuer}/token"), "exp": now() + 300, "jti": "1" });
    let good = signer.sign(&header, &own);
    let token = text(&ask(&mut idp, &good, &[]).expect(200).json(), "access_token");
    assert_eq!(reads(&service, "/scim/v2", &token), 200);
    // Good once, on whichever process.
    refused(&ask(&mut idp, &good, &[]), 401, "invalid_client");
    refused(&ask(&mut other, &good, &[]), 401, "invalid_client");
    let more = signer.sign(&header, &with(&with(&own, "jti", json!("2")), "aud", json!([issuer])));
    ask(&mut idp, &more, &[("client_id", "signing")]).expect(200);

    // An identity provider's, which may come again.
    let entra = json!({ "iss": ISSUER, "sub": SUBJECT, "aud": "api://scimshim", "exp": now() + 3600, "iat": now(), "nbf": now() });
    let federated = signer.sign(&header, &entra);
    for _ in 0..2 {
        let token = text(&ask(&mut idp, &federated, &[]).expect(200).json(), "access_token");
        assert_eq!(reads(&service, "/scim/v2", &token), 200);
    }
    ask(&mut idp, &federated, &[("client_id", "entra")]).expect(200);

    let stranger = Signer::new();
    let hs = json!({ "alg": "HS256", "kid": "k1" });
    let none = json!({ "alg": "none" });
    let fresh = |n: i64| with(&own, "jti", json!(format!("x{n}")));
    for (what, assertion) in [
        ("another key", stranger.sign(&header, &entra)),
        ("another algorithm", signer.sign(&hs, &entra)),
        ("no algorithm", signer.sign(&none, &entra)),
        ("no signature", format!("{}.", signer.sign(&none, &entra).rsplit_once('.').unwrap().0)),
        ("another audience", signer.sign(&header, &with(&entra, "aud", json!("api://other")))),
        (
            "another issuer",
            signer.sign(&header, &with(&entra, "iss", json!("https://login.microsoftonline.com/other/v2.0"))),
        ),
        ("another subject", signer.sign(&header, &with(&entra, "sub", json!("other")))),
        ("its end", signer.sign(&header, &with(&entra, "exp", json!(now() - 120)))),
        ("no end", signer.sign(&header, &with(&entra, "exp", Value::Null))),
        ("not begun", signer.sign(&header, &with(&entra, "nbf", json!(now() + 600)))),
        ("the other's audience", signer.sign(&header, &with(&fresh(1), "aud", json!("api://scimshim")))),
        (
            "another identity server",
            signer.sign(&header, &with(&fresh(2), "aud", json!(issuer.replace("test", "other")))),
        ),
        ("no jti", signer.sign(&header, &with(&own, "jti", Value::Null))),
        ("too long a life", signer.sign(&header, &with(&fresh(3), "exp", json!(now() + 86_400)))),
        (
            "a client with a secret",
            signer.sign(&header, &with(&with(&fresh(4), "iss", json!("machine")), "sub", json!("machine"))),
        ),
        ("rubbish", "a.b.c".to_owned()),
    ] {
        let answer = ask(&mut idp, &assertion, &[]);
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        refused(&answer, 401, "invalid_client");
    }
    refused(&ask(&mut idp, &federated, &[("client_id", "signing")]), 401, "invalid_client");
    refused(&ask(&mut idp, &federated, &[("client_id", "machine")]), 401, "invalid_client");
    assert!(!service.stderr().contains(&good) && !service.stderr().contains(&federated));
}
