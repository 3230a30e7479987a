//! The certificate that an identity server must present: `client_certificate`. Which authority must have signed it stands
//! under `tls`.

use super::door::Door;
use crate::document::{Findings, Node, Reader};
use std::net::IpAddr;

/// The names of which a client certificate must have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// At least one.
    pub names: Vec<CertificateName>,
}

/// A name in a certificate (RFC 5280 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// A dNSName, in lower case.
    Dns(String),
    /// A dNSName with one label more than this, in lower case: what `*.` stood before.
    DnsBelow(String),
    /// An rfc822Name: before the `@` to the letter, after it in lower case.
    Email(String, String),
    /// A uniformResourceIdentifier, to the letter.
    Uri(String),
    /// An iPAddress.
    Address(IpAddr),
    /// The only common name of the subject, to the letter.
    CommonName(String),
}

/// `door` is None where it is too wrong to be known.
pub(super) fn read(node: &Node, door: Option<&Door>, findings: &mut Findings) -> Option<ClientCertificate> {
    match door.map(|door| door.tls.as_ref()) {
        Some(None) => {
            findings
                .error(node, "without TLS no client certificate comes here")
                .help("what a proxy says of one is not believed; let scimshim speak TLS itself");
        }
        Some(Some(tls)) if tls.client_ca.is_none() => {
            findings
                .error(node, "no client certificate is ever asked for")
                .help("say who signs them: tls: { client_ca: PATH }");
        }
        Some(Some(_)) | None => {}
    }
    let mut reader = Reader::mapping(node, findings)?;
    let mut names = Vec::new();
    for node in reader.given("san").map(Node::one_or_many).unwrap_or_default() {
        names.extend(node.read_str(findings).and_then(|text| match name(text) {
            Ok(name) => Some(name),
            Err(why) => {
                let finding = findings.error(node, format!("`{text}` is no name of a certificate: {why}"));
                finding.help("for example `idp.example.com`, `*.idp.example.com`, `scim@example.com`, `spiffe://example.com/idp`");
                None
            }
        }));
    }
    for node in reader.given("common_name").map(Node::one_or_many).unwrap_or_default() {
        let text = node.read_str(findings).filter(|text| !text.is_empty());
        names.extend(text.map(|text| CertificateName::CommonName(text.to_owned())));
    }
    reader.finish(findings);
    if names.is_empty() && !findings.has_errors() {
        let finding = findings.error(node, "no name is asked for: whoever the authority signed for would be let in");
        finding.help("client_certificate: { san: [\"idp.example.com\"] }");
    }
    Some(ClientCertificate { names }).filter(|certificate| !certificate.names.is_empty())
}

fn name(text: &str) -> Result<CertificateName, &'static str> {
    let lower = text.to_ascii_lowercase();
    if let Ok(address) = text.parse() {
        return Ok(CertificateName::Address(address));
    }
    if text.contains(':') {
        return Ok(CertificateName::Uri(text.to_owned()));
    }
    if let Some((local, domain)) = text.rsplit_once('@') {
        host(domain)?;
        if local.is_empty() {
            return Err("nothing stands before the @");
        }
        return Ok(CertificateName::Email(local.to_owned(), domain.to_ascii_lowercase()));
    }
    match lower.strip_prefix("*.") {
        Some(below) if !below.contains('.') => Err("below a top-level domain is everybody"),
        Some(below) => host(below).map(|()| CertificateName::DnsBelow(below.to_owned())),
        None => host(&lower).map(|()| CertificateName::Dns(lower.clone())),
    }
}

fn host(text: &str) -> Result<(), &'static str> {
    let plain =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if text.split('.').all(plain) { Ok(()) } else { Err("a host is letters, digits and `-` between dots") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        use CertificateName::{Address, Dns, DnsBelow, Email, Uri};
        for (text, expected) in [
            ("IDP.example.com", Ok(Dns("idp.example.com".into()))),
            ("*.idp.Example.com", Ok(DnsBelow("idp.example.com".into()))),
            ("Scim@Example.com", Ok(Email("Scim".into(), "example.com".into()))),
            ("spiffe://example.com/Idp", Ok(Uri("spiffe://example.com/Idp".into()))),
            ("urn:uuid:1", Ok(Uri("urn:uuid:1".into()))),
            ("192.0.2.1", Ok(Address("192.0.2.1".parse().unwrap()))),
            ("2001:db8::1", Ok(Address("2001:db8::1".parse().unwrap()))),
            ("*", Err("a host is letters, digits and `-` between dots")),
            ("*.com", Err("below a top-level domain is everybody")),
            ("*.*.example.com", Err("a host is letters, digits and `-` between dots")),
            ("idp.*.com", Err("a host is letters, digits and `-` between dots")),
            ("idp.example.com.", Err("a host is letters, digits and `-` between dots")),
            ("", Err("a host is letters, digits and `-` between dots")),
            ("@example.com", Err("nothing stands before the @")),
            ("a@*.example.com", Err("a host is letters, digits and `-` between dots")),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }
}
