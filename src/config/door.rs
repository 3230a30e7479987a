//! Where the service listens and how it is reached: `listen`, `tls`, `trusted_proxies`, `public_url`, `admin`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;

use super::{Context, remote, values};
use crate::document::{Findings, Node, Reader};

/// Certificate and key of the public listeners.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The chain, PEM, leaf first; readable when the configuration was read.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub private_key: PathBuf,
    /// The authorities of client certificates, PEM; None asks for no certificate.
    pub client_ca: Option<PathBuf>,
    /// The oldest version spoken.
    pub minimum: TlsVersion,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2
    V1_2,
    /// TLS 1.3
    V1_3,
}

/// The private listener for health and metrics.
#[derive(Clone, Debug)]
pub struct Admin {
    /// A loopback address.
    pub listen: SocketAddr,
}

pub(super) struct Door {
    pub(super) listen: Vec<SocketAddr>,
    pub(super) tls: Option<Tls>,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) public_url: String,
    pub(super) admin: Admin,
}

impl Door {
    /// Whether nobody but this machine can come in: what a proxy hands on comes from elsewhere.
    pub(super) fn is_local(&self) -> bool {
        self.listen.iter().all(|address| address.ip().is_loopback()) && self.trusted_proxies.is_empty()
    }
}

pub(super) fn read(reader: &mut Reader<'_>, context: Context<'_>, findings: &mut Findings) -> Option<Door> {
    let listen = listen(reader, findings);
    let trusted_proxies = values::networks(reader, "trusted_proxies", findings);
    let tls = match reader.optional("tls").filter(|node| !node.is_null()) {
        Some(node) if node.as_str() == Some("none") => {
            plain(node, &listen, &trusted_proxies, findings);
            Some(None)
        }
        Some(node) => tls(node, context, findings).map(Some),
        None => {
            let at = reader.optional("tls").unwrap_or(reader.node());
            let finding = findings.error(at, "the key `tls` is missing");
            finding.help("tls: { certificate: PATH, private_key: PATH }, or `tls: none` behind a proxy or on loopback");
            None
        }
    };
    let public_url = public_url(reader, &listen, matches!(tls, Some(None)), findings);
    let admin = admin(reader, &listen, findings);
    Some(Door { listen, tls: tls?, trusted_proxies, public_url: public_url?, admin })
}

fn listen(reader: &mut Reader<'_>, findings: &mut Findings) -> Vec<SocketAddr> {
    let default = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443))];
    let Some(node) = reader.given("listen") else {
        return default;
    };
    let mut addresses = Vec::new();
    for item in node.one_or_many() {
        let Some(address) = values::read_listen(item, findings) else {
            continue;
        };
        if address.port() != 0 && addresses.contains(&address) {
            findings.error(item, format!("`{address}` stands here twice"));
        }
        addresses.push(address);
    }
    if node.one_or_many().is_empty() {
        findings.error(node, "nothing to listen on").help("leave `listen` out for 0.0.0.0:8443");
    }
    if addresses.is_empty() { default } else { addresses }
}

fn tls(node: &Node, context: Context<'_>, findings: &mut Findings) -> Option<Tls> {
    if node.as_str().is_some() {
        let finding = findings.error(node, format!("expected a mapping or `none`, found {}", node.found()));
        finding.help("tls: { certificate: PATH, private_key: PATH }");
        return None;
    }
    let mut reader = Reader::mapping(node, findings)?;
    let certificate = values::file(&mut reader, "certificate", context, findings);
    let private_key = values::file(&mut reader, "private_key", context, findings);
    if let (Some(path), Some(node)) = (&private_key, reader.given("private_key")) {
        values::warn_if_world_readable(path, node, findings);
    }
    let client_ca = match reader.given("client_ca") {
        Some(node) => {
            let path = values::file(&mut reader, "client_ca", context, findings);
            Some(path.filter(|path| match remote::authorities(path) {
                Ok(_) => true,
                Err(why) => {
                    findings.error(node, why);
                    false
                }
            }))
        }
        None => None,
    };
    let versions = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
    let minimum = reader.word("minimum", &versions, findings).unwrap_or(TlsVersion::V1_2);
    reader.finish(findings);
    let client_ca = match client_ca {
        Some(path) => Some(path?),
        None => None,
    };
    Some(Tls { certificate: certificate?, private_key: private_key?, client_ca, minimum })
}

/// Without TLS, tokens may only travel inside this machine or behind a proxy that has TLS.
fn plain(node: &Node, listen: &[SocketAddr], trusted_proxies: &[IpNet], findings: &mut Findings) {
    let open = listen.iter().find(|address| !address.ip().is_loopback());
    if let Some(address) = open.filter(|_| trusted_proxies.is_empty()) {
        findings
            .error(node, format!("without TLS, tokens would cross the network in clear on {address}"))
            .help("listen on 127.0.0.1, or name the proxy that speaks TLS under `trusted_proxies`");
    }
}

fn public_url(reader: &mut Reader<'_>, listen: &[SocketAddr], plain: bool, findings: &mut Findings) -> Option<String> {
    let local = plain && listen.iter().all(|address| address.ip().is_loopback());
    let Some(node) = reader.given("public_url") else {
        let first = listen.first().copied().unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)));
        let host = match first.ip() {
            ip if ip.is_unspecified() => "localhost".to_owned(),
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let url = format!("{}://{host}:{}", if local { "http" } else { "https" }, first.port());
        findings
            .warning(reader.node(), format!("`public_url` is missing; taking {url}"))
            .help("set it to the address that identity providers use: it stands in every meta.location and token");
        return Some(url);
    };
    let text = node.read_str(findings)?;
    let problem = match text.split_once("://") {
        Some(("http", _)) if !local => Some("must start with `https://`"),
        Some(("https" | "http", rest)) => match rest {
            _ if text.contains(['?', '#']) => Some("must have no query and no fragment"),
            _ if text.contains('@') => Some("must name no user"),
            _ if text.chars().any(|c| c.is_whitespace() || c.is_control()) => Some("must have no spaces"),
            _ if rest.ends_with('/') => Some("must not end with a slash"),
            _ if !is_authority(rest.split('/').next().unwrap_or_default()) => Some("must name a host"),
            _ => None,
        },
        _ => Some("must start with `https://`"),
    };
    match problem {
        None => {
            // `/scim/v2`, or `/scim/NAME/v2`.
            let mut segments = text.rsplit('/');
            let last = [segments.next(), segments.next(), segments.next()];
            if matches!(last, [Some("v2"), Some("scim"), _] | [Some("v2"), _, Some("scim")]) {
                findings
                    .warning(node, "`public_url` ends in the path of SCIM, which would stand there twice")
                    .help("for example `https://scim.example.com`, without `/scim/v2`");
            }
            Some(text.to_owned())
        }
        Some(problem) => {
            let finding = findings.error(node, format!("`public_url` {problem}"));
            finding.help("for example `https://scim.example.com`, without `/scim/v2`");
            None
        }
    }
}

/// `host`, `host:port`, `[v6]:port`.
fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let host_ok = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-')),
    };
    host_ok && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn admin(reader: &mut Reader<'_>, listen: &[SocketAddr], findings: &mut Findings) -> Admin {
    let default = Admin { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9443)) };
    let Some(mut reader) = reader.given("admin").and_then(|node| Reader::mapping(node, findings)) else {
        return default;
    };
    let node = reader.given("listen");
    let address = node.and_then(|node| values::read_listen(node, findings));
    if let (Some(node), Some(address)) = (node, address) {
        if !address.ip().is_loopback() {
            findings
                .error(node, format!("the private listener must be on loopback, not on {}", address.ip()))
                .help(format!("write `127.0.0.1:{}`", address.port()));
        }
        let clash = |other: &SocketAddr| {
            other.port() == address.port() && (other.ip() == address.ip() || other.ip().is_unspecified())
        };
        if address.port() != 0 && listen.iter().any(clash) {
            findings.error(node, format!("port {} is already taken by `listen`", address.port()));
        }
    }
    reader.finish(findings);
    address.map_or(default, |listen| Admin { listen })
}
