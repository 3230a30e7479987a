//! A certificate authority and a certificate for this machine's own names, made on the spot.

use crate::cli::common::Failure;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::path::Path;

/// Writes `ca.pem`, `certificate.pem` and `key.pem` into a folder; gives the authority's PEM. The
/// authority's key is forgotten at once.
pub fn create(folder: &Path) -> Result<String, Failure> {
    let failed = |error: rcgen::Error| Failure::Message(format!("the certificate cannot be made: {error}"));
    let ca_key = KeyPair::generate().map_err(failed)?;
    let mut ca = CertificateParams::new(Vec::new()).map_err(failed)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name.push(DnType::CommonName, "scimshim demonstration");
    let ca_pem = ca.self_signed(&ca_key).map_err(failed)?.pem();
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate().map_err(failed)?;
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let mut server = CertificateParams::new(names).map_err(failed)?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let certificate = server.signed_by(&key, &issuer).map_err(failed)?.pem();

    super::write_private(&folder.join("ca.pem"), ca_pem.as_bytes())?;
    super::write_private(&folder.join("certificate.pem"), certificate.as_bytes())?;
    super::write_private(&folder.join("key.pem"), key.serialize_pem().as_bytes())?;
    Ok(ca_pem)
}
