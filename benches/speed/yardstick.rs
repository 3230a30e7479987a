//! The yardstick: the least that could answer `GET /Users/{id}`. hyper, rustls, a look-up of the token's SHA-256, one
//! Diesel statement on a table known when it was compiled, serde_json. It maps nothing, checks nothing, writes nothing.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::NaiveDateTime;
use diesel::prelude::*;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::support::client::{self, Client};
use crate::support::databases::Database;
use crate::support::service::{Service, free_port, signal};

diesel::table! {
    people (id) {
        id -> Integer,
        login -> Text,
        given -> Nullable<Text>,
        family -> Nullable<Text>,
        display -> Nullable<Text>,
        mail -> Nullable<Text>,
        enabled -> SmallInt,
        work_phone -> Nullable<Text>,
        mobile_phone -> Nullable<Text>,
        street -> Nullable<Text>,
        city -> Nullable<Text>,
        postcode -> Nullable<Text>,
        title -> Nullable<Text>,
        language -> Nullable<Text>,
        staff_no -> Nullable<Text>,
        updated_at -> Nullable<Timestamp>,
    }
}

#[derive(Queryable)]
struct Person {
    id: i32,
    login: String,
    given: Option<String>,
    family: Option<String>,
    display: Option<String>,
    mail: Option<String>,
    enabled: i16,
    work_phone: Option<String>,
    mobile_phone: Option<String>,
    street: Option<String>,
    city: Option<String>,
    postcode: Option<String>,
    title: Option<String>,
    language: Option<String>,
    staff_no: Option<String>,
    updated_at: Option<NaiveDateTime>,
}

/// The document, as one that knows its shape when it is compiled writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schemas: [&'a str; 2],
    id: String,
    meta: Meta<'a>,
    user_name: &'a str,
    name: Name<'a>,
    display_name: &'a Option<String>,
    active: bool,
    title: &'a Option<String>,
    preferred_language: &'a Option<String>,
    emails: [Element<'a>; 1],
    phone_numbers: [Element<'a>; 2],
    addresses: [Address<'a>; 1],
    #[serde(rename = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User")]
    enterprise: Enterprise<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    resource_type: &'a str,
    created: String,
    last_modified: String,
    location: String,
    version: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Name<'a> {
    given_name: &'a Option<String>,
    family_name: &'a Option<String>,
    formatted: String,
}

#[derive(Serialize)]
struct Element<'a> {
    value: &'a Option<String>,
    r#type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Address<'a> {
    street_address: &'a Option<String>,
    locality: &'a Option<String>,
    postal_code: &'a Option<String>,
    r#type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Enterprise<'a> {
    employee_number: &'a Option<String>,
    department: &'a str,
    manager: Manager<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manager<'a> {
    value: &'a str,
    #[serde(rename = "$ref")]
    reference: &'a str,
    display_name: &'a str,
}

impl Person {
    fn document(&self) -> Vec<u8> {
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let time = self.updated_at.map(|time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default();
        let document = Document {
            schemas: [
                "urn:ietf:params:scim:schemas:core:2.0:User",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            ],
            id: self.id.to_string(),
            meta: Meta {
                resource_type: "User",
                created: time.clone(),
                last_modified: time,
                location: format!("https://localhost:8443/scim/v2/Users/{}", self.id),
                version: "W/\"0123456789abcdef\"",
            },
            user_name: &self.login,
            name: Name {
                given_name: &self.given,
                family_name: &self.family,
                formatted: format!("{} {}", text(&self.given), text(&self.family)),
            },
            display_name: &self.display,
            active: self.enabled != 0,
            title: &self.title,
            preferred_language: &self.language,
            emails: [Element { value: &self.mail, r#type: "work" }],
            phone_numbers: [
                Element { value: &self.work_phone, r#type: "work" },
                Element { value: &self.mobile_phone, r#type: "mobile" },
            ],
            addresses: [Address {
                street_address: &self.street,
                locality: &self.city,
                postal_code: &self.postcode,
                r#type: "work",
            }],
            enterprise: Enterprise {
                employee_number: &self.staff_no,
                department: "Department 7",
                manager: Manager {
                    value: "17",
                    reference: "https://localhost:8443/scim/v2/Users/17",
                    display_name: "Given17 Family17",
                },
            },
        };
        serde_json::to_vec(&document).expect("JSON")
    }
}

/// A pool of Diesel connections of one kind, as r2d2 wants to see it.
struct Manage<C>(String, std::marker::PhantomData<fn() -> C>);

impl<C: Connection + 'static> r2d2::ManageConnection for Manage<C> {
    type Connection = C;
    type Error = diesel::ConnectionError;

    fn connect(&self) -> Result<C, Self::Error> {
        C::establish(&self.0)
    }

    fn is_valid(&self, _: &mut C) -> Result<(), Self::Error> {
        Ok(())
    }

    fn has_broken(&self, _: &mut C) -> bool {
        false
    }
}

/// Answers with the document of one person, or nothing.
type Read = Arc<dyn Fn(i32) -> Option<Vec<u8>> + Send + Sync>;

/// As many connections as scimshim's pool has by default.
const POOL: usize = 8;

macro_rules! reader {
    ($connection:ty, $url:expr) => {{
        let pool = r2d2::Pool::builder()
            .max_size(POOL as u32)
            .test_on_check_out(false)
            .build(Manage::<$connection>($url.to_owned(), std::marker::PhantomData))
            .expect("a pool");
        Arc::new(move |id: i32| {
            let mut connection = pool.get().expect("a connection");
            let person = people::table.find(id).first::<Person>(&mut *connection).optional().expect("a statement");
            person.map(|person| person.document())
        })
    }};
}

/// `yardstick ENGINE URL PORT CERTIFICATE KEY TOKEN-SHA256`: serves until it is killed.
pub fn serve(words: &[String]) {
    let [engine, url, port, certificate, key, token] = words else {
        panic!("yardstick ENGINE URL PORT CERTIFICATE KEY TOKEN-SHA256")
    };
    let read: Read = match engine.as_str() {
        "mysql" => reader!(MysqlConnection, url),
        "postgres" => reader!(PgConnection, url),
        _ => reader!(SqliteConnection, url),
    };
    let certificates: Vec<CertificateDer> =
        CertificateDer::pem_file_iter(certificate).expect("a file").collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("a certificate and its key");
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tokens: Arc<HashSet<String>> = Arc::new([token.clone()].into());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.parse().expect("a port")));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(POOL).build().expect("a runtime");
    runtime.block_on(listen(address, tokio_rustls::TlsAcceptor::from(Arc::new(tls)), tokens, read));
}

async fn listen(address: SocketAddr, tls: tokio_rustls::TlsAcceptor, tokens: Arc<HashSet<String>>, read: Read) {
    let fixed: Bytes = read(1).expect("the first person").into();
    let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free");
    loop {
        let (socket, _) = listener.accept().await.expect("a connection");
        let (tls, tokens, read, fixed) = (tls.clone(), Arc::clone(&tokens), Arc::clone(&read), fixed.clone());
        tokio::spawn(async move {
            let _ = socket.set_nodelay(true);
            let Ok(stream) = tls.accept(socket).await else { return };
            let service = service_fn(move |request: Request<Incoming>| {
                let (tokens, read, fixed) = (Arc::clone(&tokens), Arc::clone(&read), fixed.clone());
                async move { Ok::<_, Infallible>(answer(&request, &tokens, &read, fixed).await) }
            });
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: &Request<Incoming>,
    tokens: &HashSet<String>,
    read: &Read,
    fixed: Bytes,
) -> Response<Full<Bytes>> {
    let status = |code: u16| Response::builder().status(code).body(Full::default()).expect("a response");
    let token = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if !token.is_some_and(|token| tokens.contains(&hex(&Sha256::digest(token.as_bytes())))) {
        return status(401);
    }
    let body = match request.uri().path().rsplit('/').next().unwrap_or_default() {
        "static" => fixed,
        id => {
            let Ok(id) = id.parse::<i32>() else { return status(404) };
            let read = Arc::clone(read);
            match tokio::task::spawn_blocking(move || read(id)).await {
                Ok(Some(document)) => document.into(),
                _ => return status(404),
            }
        }
    };
    Response::builder().header("content-type", "application/scim+json").body(Full::new(body)).expect("a response")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The yardstick as a process of its own, on the same database and with the same certificate as a service.
pub struct Process {
    child: Child,
    port: u16,
}

impl Process {
    pub fn start(database: &Database, service: &Service) -> Process {
        let port = free_port();
        let file = |name: &str| service.folder().join(name).display().to_string();
        let token = hex(&Sha256::digest(service.token().as_bytes()));
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(std::env::current_exe().expect("this program"))
            .args([
                "yardstick",
                database.engine.word(),
                &database.url(),
                &port.to_string(),
                &file("certificate.pem"),
                &file("key.pem"),
                &token,
            ])
            .stdin(Stdio::null())
            .spawn()
            .expect("the yardstick starts");
        let process = Process { child, port };
        let patience = Instant::now() + Duration::from_secs(20);
        while process.client(service).try_scim("GET", "/Users/1", None).is_err() {
            assert!(Instant::now() < patience, "the yardstick does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn client(&self, service: &Service) -> Client {
        let ca = std::fs::read_to_string(service.ca_file()).expect("the certificate authority");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Client::new(address, client::tls(&ca), "/scim/v2", Some(service.token().to_owned()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        signal(self.child.id(), "KILL");
        let _ = self.child.wait();
    }
}
