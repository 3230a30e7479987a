//! TLS as Mozilla's intermediate profile has it: 1.2 and 1.3, ECDHE with AEAD alone, X25519MLKEM768
//! first. The certificate, and who signs those of clients, can be replaced while connections live.
//!
//! Clients are asked for a certificate where `tls.client_ca` names who signs them. One that another authority signed, that has
//! expired or is not for clients ends the handshake; none at all does so only where nobody may come without. A session that is
//! resumed brings its client's certificate along unlooked at: it is looked at again, by the authorities and the time of now. So
//! it is on a connection that outlives a change of the authorities, or the certificate itself.

use crate::config::{self, TlsVersion};
use crate::identity::certificate::Certificate;
use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// What the public listeners speak TLS with.
pub struct Tls {
    provider: Arc<CryptoProvider>,
    own: Arc<Own>,
    current: ArcSwap<Current>,
    /// How often the authorities have changed.
    changes: AtomicU64,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// The certificate in use.
struct Own {
    key: ArcSwap<CertifiedKey>,
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Own")
    }
}

impl Own {
    /// Tells the metrics when it ends.
    fn tell(&self) {
        if let Some(certificate) = self.key.load().cert.first() {
            // Seconds since 1970 have no business beyond 2^53.
            #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "exact for millions of years")]
            let ends = Certificate::read(certificate).ends() as f64;
            metrics::gauge!("scimshim_certificate_expires_timestamp_seconds").set(ends);
        }
    }
}

impl ResolvesServerCert for Own {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.key.load_full())
    }
}

/// What connections begin with now.
struct Current {
    config: Arc<ServerConfig>,
    clients: Option<Clients>,
    minimum: TlsVersion,
}

/// Whose certificates clients may have.
#[derive(Clone)]
struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    /// What the verifier was made from.
    pem: String,
    required: bool,
}

/// The certificate that the other end of a connection has.
pub struct Shown {
    tls: Arc<Tls>,
    certificate: Certificate,
    /// Itself and what it came with.
    chain: Vec<CertificateDer<'static>>,
    /// After which change of the authorities it was found good.
    good_after: AtomicU64,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({})", self.certificate)
    }
}

impl Shown {
    /// The certificate, if it is still good: looked at for each request, because connections last.
    pub fn good(&self) -> Option<&Certificate> {
        let change = self.tls.changes.load(Acquire);
        if self.good_after.load(Relaxed) != change {
            self.tls.verify(&self.chain).ok()?;
            self.good_after.store(change, Relaxed);
        }
        (chrono::Utc::now().timestamp() <= self.certificate.ends()).then_some(&self.certificate)
    }
}

/// Files that were read and found good, not in use yet.
pub struct Prepared {
    key: CertifiedKey,
    clients: Option<Clients>,
    minimum: TlsVersion,
}

impl Tls {
    /// Reads the files; the error says which is wrong, and how. `required`: nobody may come without a certificate.
    pub fn load(settings: &config::Tls, required: bool) -> Result<Arc<Self>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let prepared = prepare(&provider, settings, required)?;
        let own = Arc::new(Own { key: ArcSwap::from_pointee(prepared.key) });
        own.tell();
        let current = begin(&provider, &own, prepared.clients, prepared.minimum)?;
        Ok(Arc::new(Self { provider, own, current: ArcSwap::from_pointee(current), changes: AtomicU64::new(0) }))
    }

    /// Reads the files again and changes nothing.
    pub fn prepare(&self, settings: &config::Tls, required: bool) -> Result<Prepared, String> {
        prepare(&self.provider, settings, required)
    }

    /// From now on connections begin with these. Sessions are forgotten where who signs clients' certificates changed.
    pub fn replace(&self, prepared: Prepared) -> Result<(), String> {
        let same = {
            let current = self.current.load();
            let clients = |clients: &Option<Clients>| clients.as_ref().map(|c| (c.pem.clone(), c.required));
            clients(&current.clients) == clients(&prepared.clients) && current.minimum == prepared.minimum
        };
        if !same {
            let current = begin(&self.provider, &self.own, prepared.clients, prepared.minimum)?;
            self.current.store(Arc::new(current));
            self.changes.fetch_add(1, Release);
        }
        self.own.key.store(Arc::new(prepared.key));
        self.own.tell();
        Ok(())
    }

    /// What a connection begins with.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// The client's certificate, once a handshake is over. The error: it may not go on with it.
    pub fn peer(self: &Arc<Self>, connection: &ServerConnection) -> Result<Option<Shown>, String> {
        let change = self.changes.load(Acquire);
        let Some([first, others @ ..]) = connection.peer_certificates() else {
            return Ok(None);
        };
        let chain: Vec<_> = std::iter::once(first).chain(others).map(|one| one.clone().into_owned()).collect();
        // By what began as the authorities changed it was not looked at either.
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) || change != 0 {
            let why = |error| format!("the certificate is not good, or not any more: {error}");
            self.verify(&chain).map_err(why)?;
        }
        let certificate = Certificate::read(first);
        Ok(Some(Shown { tls: Arc::clone(self), certificate, chain, good_after: AtomicU64::new(change) }))
    }

    /// Whether a certificate is good by the authorities and the time of now.
    fn verify(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let current = self.current.load();
        let (Some(clients), [first, others @ ..]) = (&current.clients, chain) else {
            return Err("nobody is asked for one any more".to_owned());
        };
        let verified = clients.verifier.verify_client_cert(first, others, UnixTime::now());
        verified.map(|_| ()).map_err(|error| error.to_string())
    }
}

fn prepare(provider: &Arc<CryptoProvider>, settings: &config::Tls, required: bool) -> Result<Prepared, String> {
    let key = certified_key(provider, &settings.certificate, &settings.private_key)?;
    let clients = match &settings.client_ca {
        Some(path) => Some(clients(provider, path, required)?),
        None => None,
    };
    Ok(Prepared { key, clients, minimum: settings.minimum })
}

/// What a listener needs.
fn begin(
    provider: &Arc<CryptoProvider>,
    own: &Arc<Own>,
    clients: Option<Clients>,
    minimum: TlsVersion,
) -> Result<Current, String> {
    const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    const NEWEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(if minimum == TlsVersion::V1_2 { BOTH } else { NEWEST })
        .map_err(|error| error.to_string())?;
    let builder = match &clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::<Own>::clone(own));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Identity providers connect anew all the time; a ticket saves them and us a key exchange.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
    Ok(Current { config: Arc::new(config), clients, minimum })
}

fn clients(provider: &Arc<CryptoProvider>, path: &Path, required: bool) -> Result<Clients, String> {
    let cannot = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let pem = std::fs::read_to_string(path).map_err(|error| cannot(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|error| cannot(&error))?).map_err(|error| cannot(&error))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    Ok(Clients { verifier: builder.build().map_err(|error| cannot(&error))?, pem, required })
}

fn certified_key(provider: &CryptoProvider, certificate: &Path, private_key: &Path) -> Result<CertifiedKey, String> {
    let cannot = |path: &Path, error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| cannot(certificate, error))?;
    let holds = |path: &Path, label: &str| {
        std::fs::read_to_string(path)
            .is_ok_and(|text| text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(label)))
    };
    if chain.is_empty() {
        let key = if holds(certificate, "PRIVATE KEY-----") { ": it is a private key" } else { "" };
        return Err(format!("{}: no certificate in it{key}", certificate.display()));
    }
    let key = PrivateKeyDer::from_pem_file(private_key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            let certificate = if holds(private_key, "CERTIFICATE-----") { ": it is a certificate" } else { "" };
            format!("{}: no private key in it{certificate}", private_key.display())
        }
        error => cannot(private_key, error),
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("{} is not the key of {}", private_key.display(), certificate.display())
        }
        error => format!("{} and {}: {error}", certificate.display(), private_key.display()),
    })
}
