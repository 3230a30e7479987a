//! The client's certificate: which names it has, and whether one of them is asked for. That its chain ends in an authority of
//! `tls.client_ca` and that it has not expired was found by TLS before; nothing that a header says of a certificate is read.

use crate::config::{CertificateName, ClientCertificate};
use std::fmt;
use std::net::IpAddr;
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS;
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// The names of a certificate that was verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    names: Vec<CertificateName>,
    /// When it begins and ends, in seconds since 1970.
    begins: i64,
    ends: i64,
    /// Its issuer is who it is for.
    tells_issuer: bool,
}

impl Certificate {
    /// Reads a certificate. One whose names cannot be read has none.
    pub fn read(der: &[u8]) -> Self {
        Self::parse(der).unwrap_or_default()
    }

    /// The same; None where it cannot be read.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let mut names = Vec::new();
        if let Ok(Some(extension)) = certificate.subject_alternative_name() {
            names.extend(extension.value.general_names.iter().filter_map(alternative));
        }
        let mut common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
        if let (Some(name), None) = (common.next(), common.next()) {
            names.push(CertificateName::CommonName(name.to_owned()));
        }
        let validity = certificate.validity();
        let tells_issuer = certificate.extensions().iter().any(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityInfoAccess(access) => {
                access.accessdescs.iter().any(|one| one.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS)
            }
            _ => false,
        });
        Some(Self {
            names,
            begins: validity.not_before.timestamp(),
            ends: validity.not_after.timestamp(),
            tells_issuer,
        })
    }

    /// When it begins, in seconds since 1970.
    pub fn begins(&self) -> i64 {
        self.begins
    }

    /// Whether it says where its issuer's certificate is to be had (RFC 5280 4.2.2.1): public authorities' do, as it is one
    /// between, which clients do not have.
    pub fn tells_issuer(&self) -> bool {
        self.tells_issuer
    }

    /// Whether a server with it may be called `host`: a name, also by a wildcard for its first label, or an address (RFC 9525).
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let below = host.split_once('.').map(|(_, below)| below);
        self.names.iter().any(|name| match name {
            CertificateName::Dns(name) => {
                *name == host || name.strip_prefix("*.").is_some_and(|rest| below == Some(rest))
            }
            CertificateName::Address(address) => host.parse() == Ok(*address),
            _ => false,
        })
    }

    /// When it ends, in seconds since 1970.
    pub fn ends(&self) -> i64 {
        self.ends
    }

    /// Whether it has one of the names that are asked for.
    pub fn is_one_of(&self, wanted: &ClientCertificate) -> bool {
        wanted.names.iter().any(|wanted| self.names.iter().any(|name| fits(name, wanted)))
    }
}

/// For the log.
impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.names.iter().take(8).enumerate() {
            let text = match name {
                CertificateName::Dns(name) => format!("DNS:{name}"),
                CertificateName::DnsBelow(name) => format!("DNS:*.{name}"),
                CertificateName::Email(local, domain) => format!("email:{local}@{domain}"),
                CertificateName::Uri(uri) => format!("URI:{uri}"),
                CertificateName::Address(address) => format!("IP:{address}"),
                CertificateName::CommonName(name) => format!("CN={name}"),
            };
            let text: String = text.chars().take(200).collect();
            write!(f, "{}{}", if n == 0 { "" } else { ", " }, text.escape_debug())?;
        }
        Ok(())
    }
}

fn alternative(name: &GeneralName<'_>) -> Option<CertificateName> {
    match name {
        GeneralName::DNSName(name) => Some(CertificateName::Dns(name.to_ascii_lowercase())),
        GeneralName::RFC822Name(address) => {
            let (local, domain) = address.rsplit_once('@')?;
            Some(CertificateName::Email(local.to_owned(), domain.to_ascii_lowercase()))
        }
        GeneralName::URI(uri) => Some(CertificateName::Uri((*uri).to_owned())),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(CertificateName::Address)
        }
        _ => None,
    }
}

/// A wildcard that stands in the certificate is a name like any other, which no rule asks for.
fn fits(name: &CertificateName, wanted: &CertificateName) -> bool {
    match (name, wanted) {
        (CertificateName::Dns(name), CertificateName::DnsBelow(below)) => {
            let label = name.strip_suffix(below.as_str()).and_then(|rest| rest.strip_suffix('.'));
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
            label.is_some_and(|label| !label.is_empty() && label.bytes().all(plain))
        }
        (name, wanted) => name == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(names: Vec<SanType>, common: &[&str]) -> Certificate {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names;
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        let key = KeyPair::generate().unwrap();
        Certificate::read(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn hosts() {
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let one = certificate(
            vec![dns("scim.Example.com"), dns("*.example.org"), SanType::IpAddress("192.0.2.1".parse().unwrap())],
            &["cn.example.com"],
        );
        for (host, expected) in [
            ("SCIM.example.com", true),
            ("example.com", false),
            ("a.example.org", true),
            ("a.b.example.org", false),
            ("example.org", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("cn.example.com", false),
        ] {
            assert_eq!(one.is_for(host), expected, "{host}");
        }
        assert!(!one.tells_issuer() && one.begins() < one.ends());
    }

    #[test]
    fn which_certificates() {
        let text = |text: &str| text.try_into().unwrap();
        let dns = |name: &str| SanType::DnsName(text(name));
        use CertificateName::{Address, CommonName, Dns, DnsBelow, Email, Uri};
        let email = SanType::Rfc822Name(text("Scim@Example.com"));
        let uri = SanType::URI(text("spiffe://example.com/idp"));
        let address = SanType::IpAddress("192.0.2.1".parse().unwrap());
        let table: Vec<(Vec<SanType>, &[&str], CertificateName, bool)> = vec![
            (vec![dns("a.example.org"), dns("IDP.example.com")], &[], Dns("idp.example.com".into()), true),
            (vec![dns("idp.example.com.evil.org")], &[], Dns("idp.example.com".into()), false),
            (vec![dns("one.idp.example.com")], &[], DnsBelow("idp.example.com".into()), true),
            (vec![dns("idp.example.com")], &[], DnsBelow("idp.example.com".into()), false),
            (vec![dns("a.b.idp.example.com")], &[], DnsBelow("idp.example.com".into()), false),
            (vec![dns("evilidp.example.com")], &[], DnsBelow("idp.example.com".into()), false),
            (vec![dns("*.idp.example.com")], &[], DnsBelow("idp.example.com".into()), false),
            (vec![dns("*.example.com")], &[], Dns("idp.example.com".into()), false),
            (vec![dns("one.idp.example.com")], &[], Dns("one.idp.example.com".into()), true),
            (vec![email.clone()], &[], Email("Scim".into(), "example.com".into()), true),
            (vec![email.clone()], &[], Email("scim".into(), "example.com".into()), false),
            (vec![email], &[], Dns("example.com".into()), false),
            (vec![uri.clone()], &[], Uri("spiffe://example.com/idp".into()), true),
            (vec![uri], &[], Uri("spiffe://example.com/idp2".into()), false),
            (vec![address], &[], Address("192.0.2.1".parse().unwrap()), true),
            (vec![], &["idp.example.com"], Dns("idp.example.com".into()), false),
            (vec![], &["idp.example.com"], CommonName("idp.example.com".into()), true),
            (vec![dns("x.example.com")], &["Provisioner"], CommonName("Provisioner".into()), true),
            (vec![], &[], CommonName(String::new()), false),
        ];
        for (names, common, wanted, expected) in table {
            let certificate = certificate(names, common);
            let wanted = ClientCertificate { names: vec![wanted] };
            assert_eq!(certificate.is_one_of(&wanted), expected, "{certificate} for {wanted:?}");
        }
        assert_eq!(Certificate::read(b"garbage"), Certificate::default());
        assert!(!Certificate::default().is_one_of(&ClientCertificate { names: vec![Dns(String::new())] }));
    }
}
