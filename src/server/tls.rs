//! TLS as Mozilla's intermediate profile has it: 1.2 and 1.3, ECDHE with AEAD alone, X25519MLKEM768
//! first. The certificate can be replaced while connections live.

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The certificate in use, and how to replace it.
pub struct Certificate {
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl Certificate {
    /// Reads a chain and its key, in PEM; the error says which file is wrong, and how.
    pub fn load(certificate: &Path, private_key: &Path) -> Result<Arc<Self>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = certified_key(&provider, certificate, private_key)?;
        Ok(Arc::new(Self { provider, current: ArcSwap::from_pointee(key) }))
    }

    /// Reads the files again. New connections get what is read; on an error the old one stays.
    pub fn reload(&self, certificate: &Path, private_key: &Path) -> Result<(), String> {
        self.current.store(Arc::new(certified_key(&self.provider, certificate, private_key)?));
        Ok(())
    }

    /// What a listener needs. `tls12`: whether TLS 1.2 is spoken besides 1.3.
    pub fn server_config(self: &Arc<Self>, tls12: bool) -> Result<Arc<ServerConfig>, String> {
        const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
        const NEWEST: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(if tls12 { BOTH } else { NEWEST })
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Identity providers connect anew all the time; a ticket saves them and us a key exchange.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
        Ok(Arc::new(config))
    }
}

fn certified_key(provider: &CryptoProvider, certificate: &Path, private_key: &Path) -> Result<CertifiedKey, String> {
    let cannot = |path: &Path, error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| cannot(certificate, error))?;
    if chain.is_empty() {
        return Err(format!("{}: no certificate in it", certificate.display()));
    }
    let key = PrivateKeyDer::from_pem_file(private_key).map_err(|error| cannot(private_key, error))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("{} is not the key of {}", private_key.display(), certificate.display())
        }
        error => format!("{} and {}: {error}", certificate.display(), private_key.display()),
    })
}
