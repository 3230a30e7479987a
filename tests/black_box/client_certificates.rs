//! Mutual TLS: who has a certificate, whose, with which name, until when; alone and beside a token, in both versions of HTTP,
//! in resumed sessions and after the authorities have changed.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};

use crate::support::client::{Client, Failure};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, free_port, signal};

/// An authority that signs clients' certificates.
struct Authority {
    issuer: rcgen::Issuer<'static, KeyPair>,
    pem: String,
}

/// What a client shows.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { issuer: rcgen::Issuer::new(params, key), pem }
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    fn named(&self, name: &str) -> Identity {
        self.sign(|params| params.subject_alt_names = vec![SanType::DnsName(name.try_into().expect("a name"))])
    }
}

fn tls(
    service: &Service,
    identity: Option<&Identity>,
    version: &'static rustls::SupportedProtocolVersion,
) -> ClientConfig {
    let ca = std::fs::read(service.ca_file()).expect("the authority");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ca).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots);
    match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("a certificate")],
                PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key"),
            )
            .expect("a pair"),
    }
}

fn client(service: &Service, identity: Option<&Identity>, base: &str, token: Option<&str>) -> Client {
    let tls = Arc::new(tls(service, identity, &rustls::version::TLS13));
    Client::new(service.address(), tls, base, token.map(str::to_owned))
}

/// The status, or 0 where the connection ended before one.
fn status(client: &mut Client) -> u16 {
    match client.try_scim("GET", "/Users", None) {
        Ok(answer) => answer.status,
        Err(Failure::NotSent(_) | Failure::NoAnswer(_)) => 0,
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
}

const SERVERS: &str = r#"
  test: { default: true, authentication: bearer }
  below: { authentication: none, client_certificate: { san: ["*.idp.example.com", "scim@example.com"] } }
  uri: { authentication: none, client_certificate: { san: "spiffe://example.com/idp" } }
  common: { authentication: none, client_certificate: { common_name: Provisioner } }
  both: { authentication: bearer, client_certificate: { san: [idp.example.com] }, discovery_without_authentication: true }
"#;

#[test]
fn who_may_come() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("clients.pem");
    write(&ca, &ours.pem);
    let database = Database::small(Engine::Sqlite);
    let options = Options::small().identity_servers(SERVERS).tls(&format!("client_ca: {}", ca.display()));
    let service = Service::start(&database, options);
    let both = service.issue("both");

    let one = ours.named("one.idp.example.com");
    let idp = ours.named("idp.example.com");
    let dns = |name: &str| SanType::DnsName(name.try_into().expect("a name"));
    let email = ours.sign(|params| {
        params.subject_alt_names =
            vec![dns("x.example.org"), SanType::Rfc822Name("scim@EXAMPLE.com".try_into().expect("a name"))];
    });
    let uri = ours.sign(|params| {
        params.subject_alt_names = vec![SanType::URI("spiffe://example.com/idp".try_into().expect("a name"))];
    });
    let common = ours.sign(|params| params.distinguished_name.push(DnType::CommonName, "Provisioner"));
    // Each certificate at each identity server: below, uri, common, both without a token, both with one.
    let table: [(&str, Option<&Identity>, [u16; 5]); 7] = [
        ("none", None, [403, 403, 403, 403, 403]),
        ("one.idp.example.com", Some(&one), [200, 403, 403, 403, 403]),
        ("idp.example.com", Some(&idp), [403, 403, 403, 401, 200]),
        ("scim@example.com", Some(&email), [200, 403, 403, 403, 403]),
        ("spiffe://example.com/idp", Some(&uri), [403, 200, 403, 403, 403]),
        ("CN=Provisioner", Some(&common), [403, 403, 200, 403, 403]),
        (
            "CN alone is no DNS name",
            Some(&ours.sign(|params| params.distinguished_name.push(DnType::CommonName, "idp.example.com"))),
            [403, 403, 403, 403, 403],
        ),
    ];
    for (name, identity, expected) in table {
        let at = |server: &str, token: Option<&str>| {
            status(&mut client(&service, identity, &format!("/scim/{server}/v2"), token))
        };
        let got = [at("below", None), at("uri", None), at("common", None), at("both", None), at("both", Some(&both))];
        assert_eq!(got, expected, "{name}");
        assert_eq!(at("test", Some(service.token())), 200, "{name}: asked for by others, not by this one");
        // What needs no token is for those with the certificate too.
        let mut anyone = client(&service, identity, "/scim/both/v2", None);
        assert_eq!(anyone.get("/ServiceProviderConfig").status, if expected[4] == 200 { 200 } else { 403 }, "{name}");
    }
    std::thread::sleep(Duration::from_millis(200));
    let log = service.stderr();
    assert!(log.contains("DNS:one.idp.example.com"), "the log names what was presented:\n{log}");

    // What a header says of a certificate is nothing.
    for (name, value) in [
        ("X-SSL-Client-Verify", "SUCCESS"),
        ("X-SSL-Client-S-DN", "CN=Provisioner"),
        ("X-Client-Cert", "MIIB"),
        ("X-Forwarded-Client-Cert", "URI=spiffe://example.com/idp"),
        ("Client-Cert", ":MIIB:"),
        ("X-ARR-ClientCert", "MIIB"),
        ("X-Forwarded-Tls-Client-Cert-Info", "SAN=\"one.idp.example.com\""),
    ] {
        for server in ["below", "uri", "common"] {
            let path = format!("/scim/{server}/v2/Users");
            let answer =
                client(&service, None, "", None).send("GET", &path, &[(name, value)], None).expect("an answer");
            assert_eq!(answer.status, 403, "{name} at {server}");
        }
    }

    // Those that end the handshake, also where no certificate would have been needed.
    let year = |year| rcgen::date_time_ymd(year, 1, 1);
    let refused = [
        ("another authority's", others.named("one.idp.example.com")),
        (
            "expired",
            ours.sign(|params| {
                params.subject_alt_names = vec![dns("one.idp.example.com")];
                (params.not_before, params.not_after) = (year(2019), year(2020));
            }),
        ),
        (
            "not valid yet",
            ours.sign(|params| {
                params.subject_alt_names = vec![dns("one.idp.example.com")];
                (params.not_before, params.not_after) = (year(2090), year(2091));
            }),
        ),
        (
            "for servers",
            ours.sign(|params| {
                params.subject_alt_names = vec![dns("one.idp.example.com")];
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
        ),
    ];
    for (what, identity) in &refused {
        for (base, token) in [("/scim/below/v2", None), ("/scim/v2", Some(service.token()))] {
            for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
                let tls = Arc::new(tls(&service, Some(identity), version));
                let mut client = Client::new(service.address(), tls, base, token.map(str::to_owned));
                assert_eq!(status(&mut client), 0, "{what} at {base}");
            }
        }
    }
    // A certificate whose key somebody else has.
    let stolen =
        Identity { certificate: one.certificate.clone(), key: KeyPair::generate().expect("a key").serialize_pem() };
    let out = curl(&service, folder.path(), &stolen, &["--http1.1"], "/scim/below/v2/Users");
    assert_ne!(out.0, 200);

    for version in ["--http1.1", "--http2"] {
        for tls in ["--tls-max 1.2", "--tlsv1.3"] {
            let more: Vec<&str> = std::iter::once(version).chain(tls.split(' ')).collect();
            let (status, protocol) = curl(&service, folder.path(), &one, &more, "/scim/below/v2/Users");
            assert_eq!(status, 200, "{version} {tls}");
            assert_eq!(protocol, if version == "--http2" { "2" } else { "1.1" });
            assert_eq!(curl(&service, folder.path(), &idp, &more, "/scim/below/v2/Users").0, 403, "{version} {tls}");
        }
    }
}

fn curl(service: &Service, folder: &Path, identity: &Identity, more: &[&str], path: &str) -> (u16, String) {
    let (certificate, key) = (folder.join("client.pem"), folder.join("client.key"));
    write(&certificate, &identity.certificate);
    write(&key, &identity.key);
    let output = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code} %{http_version}", "--cacert"])
        .arg(service.ca_file())
        .arg("--cert")
        .arg(certificate)
        .arg("--key")
        .arg(key)
        .args(more)
        .arg(format!("{}{path}", service.url()))
        .output()
        .expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (status, version) = text.split_once(' ').expect("two words");
    (status.parse().expect("a status"), version.to_owned())
}

#[test]
fn nobody_without_one() {
    let ours = Authority::new("ours");
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("clients.pem");
    write(&ca, &ours.pem);
    let servers = "{ test: { default: true, authentication: bearer, client_certificate: { san: idp.example.com } } }";
    let database = Database::small(Engine::Sqlite);
    let options = Options::small().identity_servers(servers).tls(&format!("client_ca: {}", ca.display()));
    let service = Service::start(&database, options);
    let idp = ours.named("idp.example.com");
    let token = Some(service.token());
    assert_eq!(status(&mut client(&service, Some(&idp), "/scim/v2", token)), 200);
    assert_eq!(status(&mut client(&service, Some(&idp), "/scim/v2", None)), 401);
    assert_eq!(status(&mut client(&service, None, "/scim/v2", token)), 0, "TLS itself refuses those without");
}

/// With an application behind `upstream`, people come with browsers: TLS lets them in, and SCIM does not.
#[test]
fn people_without_one() {
    let ours = Authority::new("ours");
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("clients.pem");
    write(&ca, &ours.pem);
    let servers = "{ test: { default: true, authentication: bearer, client_certificate: { san: idp.example.com } } }";
    let database = Database::small(Engine::Sqlite);
    let options = Options::small()
        .identity_servers(servers)
        .tls(&format!("client_ca: {}", ca.display()))
        .more(&format!("upstream: http://127.0.0.1:{}", free_port()));
    let service = Service::start(&database, options);
    let idp = ours.named("idp.example.com");
    let token = Some(service.token());
    assert_eq!(status(&mut client(&service, Some(&idp), "/scim/v2", token)), 200);
    for path in ["/scim/v2", "/SCIM/v2", "//scim/test/v2"] {
        assert_eq!(status(&mut client(&service, None, path, token)), 403, "{path}");
    }
    let page = client(&service, None, "", None).send("GET", "/", &[], None).expect("an answer");
    assert_eq!(page.status, 502, "forwarded, to nobody: {}", page.text());
}

/// One connection; whether it resumed a session, and the answer's status.
fn resume(service: &Service, tls: &Arc<ClientConfig>) -> (bool, u16) {
    let mut client = Client::new(service.address(), Arc::clone(tls), "/scim/below/v2", None);
    let resumed = client.connect().is_ok_and(|stream| stream.conn.handshake_kind() == Some(HandshakeKind::Resumed));
    (resumed, status(&mut client))
}

#[test]
fn resumed_sessions_and_new_authorities() {
    let (first, second) = (Authority::new("first"), Authority::new("second"));
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("clients.pem");
    write(&ca, &first.pem);
    let database = Database::small(Engine::Sqlite);
    let options = Options::small().identity_servers(SERVERS).tls(&format!("client_ca: {}", ca.display()));
    let service = Service::start(&database, options);
    let (old, new) = (first.named("one.idp.example.com"), second.named("two.idp.example.com"));
    let wrong = first.named("idp.example.com");
    // Ends in a few seconds.
    let since_1970 = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let until = since_1970() + Duration::from_secs(6);
    let short = first.sign(|params| {
        params.subject_alt_names = vec![SanType::DnsName("short.idp.example.com".try_into().expect("a name"))];
        params.not_after = rcgen::date_time_ymd(1970, 1, 1) + until;
    });
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let tls_of = |identity: &Identity| Arc::new(tls(&service, Some(identity), version));
        let (old, wrong) = (tls_of(&old), tls_of(&wrong));
        let mut resumptions = 0;
        for _ in 0..4 {
            let (resumed, status) = resume(&service, &old);
            assert_eq!(status, 200);
            resumptions += usize::from(resumed);
            assert_eq!(resume(&service, &wrong).1, 403, "a resumed session is its own client's");
        }
        assert!(resumptions >= 2, "sessions are resumed");
    }
    let mut lasting = client(&service, Some(&short), "/scim/below/v2", None);
    assert_eq!(status(&mut lasting), 200);
    let tls_short = Arc::new(tls(&service, Some(&short), &rustls::version::TLS13));
    assert_eq!(resume(&service, &tls_short).1, 200);
    while since_1970() <= until + Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(resume(&service, &tls_short).1, 0, "a session does not outlive its certificate");
    assert_eq!(status(&mut lasting), 403, "nor does a connection");

    let tls_old = Arc::new(tls(&service, Some(&old), &rustls::version::TLS13));
    assert_eq!(resume(&service, &tls_old).1, 200);
    let mut lasting = client(&service, Some(&old), "/scim/below/v2", None);
    assert_eq!(status(&mut lasting), 200);
    // An authority that is none changes nothing.
    write(&ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    reload(&service, "not reloaded");
    assert_eq!(resume(&service, &tls_old).1, 200);
    assert_eq!(status(&mut client(&service, Some(&new), "/scim/below/v2", None)), 0);
    write(&ca, &second.pem);
    reload(&service, "\"reloaded\"");
    assert_eq!(resume(&service, &tls_old).1, 0, "what the new authority did not sign is nothing");
    assert_eq!(status(&mut lasting), 403, "nor on a connection that was there before");
    assert_eq!(status(&mut client(&service, Some(&new), "/scim/below/v2", None)), 200);
    // Both at once, for a change without a gap.
    write(&ca, &format!("{}{}", first.pem, second.pem));
    let before = service.stderr().matches("\"reloaded\"").count();
    signal(service.pid(), "HUP");
    wait(|| service.stderr().matches("\"reloaded\"").count() > before, &service);
    for identity in [&old, &new] {
        assert_eq!(status(&mut client(&service, Some(identity), "/scim/below/v2", None)), 200);
    }
}

fn reload(service: &Service, word: &str) {
    signal(service.pid(), "HUP");
    wait(|| service.stderr().contains(word), service);
}

fn wait(until: impl Fn() -> bool, service: &Service) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(10), "{}", service.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
}
