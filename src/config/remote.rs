//! Somebody else's server: its URL, and why its certificate is believed. Whether it answers is nobody's business here.

use super::{Context, values};
use crate::document::{Findings, Node, Reader};
use hyper::Uri;
use hyper::http::uri::Authority;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::fmt;

/// Host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Target {
    /// Where a URL goes that names no user; `port` is that of its scheme. The error says what is wrong with it.
    pub(super) fn of(uri: &Uri, port: u16) -> Result<Self, &'static str> {
        let authority = authority(uri)?;
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        if ServerName::try_from(bare).is_err() {
            return Err("it must name a host");
        }
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => port,
            Some(_) => authority.port_u16().filter(|port| *port != 0).ok_or("its port is not a number up to 65535")?,
            None => return Err("it must name a host"),
        };
        Ok(Self { host: bare.to_ascii_lowercase(), port })
    }

    /// `host` or `host:port`, as the Host header and error messages have it; `default` is the port of the scheme.
    pub(super) fn authority(&self, default: u16) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }
}

/// The authority of a URL that names no user.
pub(super) fn authority(uri: &Uri) -> Result<&Authority, &'static str> {
    let authority = uri.authority().ok_or("it must name a host")?;
    if authority.as_str().contains('@') { Err("it must name no user") } else { Ok(authority) }
}

/// An `https` URL with a host, without user and fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    server: Target,
    /// Path and query.
    target: String,
}

impl Url {
    /// Takes a URL apart. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")) {
            return Err("it must start with `https://`");
        }
        if text.contains('#') {
            return Err("it must have no fragment");
        }
        let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
        let server = Target::of(&uri, 443)?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self { server, target: target.to_owned() })
    }

    /// Another path on the same host; `target` begins with a slash.
    pub fn with_target(&self, target: String) -> Self {
        Self { target, ..self.clone() }
    }

    /// The host: a name in lower case, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.server.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.server.port
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Whether another URL goes to the same server.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.server == other.server
    }

    /// `host` or `host:port`, as the Host header and error messages have it.
    pub fn authority(&self) -> String {
        self.server.authority(443)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.target)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whose certificates are believed, and which addresses are spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Trust {
    /// The certificate authorities, PEM; None for those of the system.
    pub ca: Option<String>,
    /// Whether a host name may resolve to an address of a private network or of this machine.
    pub private_network: bool,
}

/// The URL at a node; anything else is reported.
pub(super) fn read_url(node: &Node, findings: &mut Findings) -> Option<Url> {
    match Url::parse(node.read_str(findings)?) {
        Ok(url) => Some(url),
        Err(why) => {
            findings.error(node, format!("this URL cannot be used: {why}"));
            None
        }
    }
}

/// The keys `ca` and `private_network`.
pub(super) fn read_trust(reader: &mut Reader<'_>, context: Context<'_>, findings: &mut Findings) -> Option<Trust> {
    let private_network = reader.boolean("private_network", findings).unwrap_or(false);
    let Some(node) = reader.given("ca") else {
        return Some(Trust { ca: None, private_network });
    };
    let path = values::file(reader, "ca", context, findings)?;
    match authorities(&path) {
        Ok(pem) => Some(Trust { ca: Some(pem), private_network }),
        Err(why) => {
            findings.error(node, why);
            None
        }
    }
}

/// The text of a file with one or more certificates, PEM; the error says what is wrong with it.
pub(super) fn authorities(path: &std::path::Path) -> Result<String, String> {
    let shown = path.display();
    let pem = std::fs::read_to_string(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let mut certificates = 0;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        certificate.map_err(|error| format!("{shown}: {error}"))?;
        certificates += 1;
    }
    if certificates == 0 { Err(format!("{shown}: no certificate in it")) } else { Ok(pem) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, printed) in [
            ("https://idp.example.com/keys", "https://idp.example.com/keys"),
            ("https://IDP.example.com", "https://idp.example.com/"),
            ("HTTPS://idp.example.com:443/a?b=c", "https://idp.example.com/a?b=c"),
            ("https://idp.example.com:8443/", "https://idp.example.com:8443/"),
            ("https://[::1]:8443/keys", "https://[::1]:8443/keys"),
            ("https://192.0.2.1/keys", "https://192.0.2.1/keys"),
        ] {
            assert_eq!(Url::parse(text).unwrap().to_string(), printed);
        }
        for (text, why) in [
            ("http://idp.example.com/keys", "it must start with `https://`"),
            ("file:///etc/passwd", "it must start with `https://`"),
            ("idp.example.com", "it must start with `https://`"),
            ("/keys", "it must start with `https://`"),
            ("https://", "it is not a URL"),
            ("https://user:pw@idp.example.com/", "it must name no user"),
            ("https://idp.example.com/#keys", "it must have no fragment"),
            ("https://idp.example.com:99999/", "its port is not a number up to 65535"),
            ("https://idp.example.com:0/", "its port is not a number up to 65535"),
            ("https://idp example.com/", "it is not a URL"),
            ("https://idp_!.example.com/", "it must name a host"),
        ] {
            assert_eq!(Url::parse(text).map(|url| url.to_string()), Err(why), "{text}");
        }
    }
}
