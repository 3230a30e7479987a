//! Whose request it is: the client's address, after the proxies that the configuration trusts.
//!
//! `Forwarded` (RFC 7239) and `X-Forwarded-For` are read from the right, and only as far as every hop is a trusted proxy: what
//! stands further left may be the client's own invention. Where both are there and name different clients, one of them was
//! passed on unchecked, by whoever wanted to be taken for somebody else; such a request is refused. Where a trusted proxy says
//! that it does not know, or will not say, the client is not known, and no allow list has it.

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};
use ipnet::IpNet;
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; that of the last proxy known where the client's is not.
    pub address: IpAddr,
    /// Whether that is the client's own.
    pub known: bool,
}

/// The headers name different clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disagreement;

/// The client of a request. `peer` is the other end of the connection.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Result<Client, Disagreement> {
    let peer = canonical(peer);
    let itself = Client { address: peer, known: true };
    if trusted.is_empty() || !is_trusted(peer, trusted) {
        return Ok(itself);
    }
    let x_forwarded = walk(peer, elements(headers, &X_FORWARDED_FOR, |c| c == ','), trusted, |element| Some(element));
    let forwarded =
        walk(peer, elements(headers, &FORWARDED, unquoted(',')), trusted, |element| parameter(element, "for"));
    match (forwarded, x_forwarded) {
        (Some(a), Some(b)) if a != b => Err(Disagreement),
        (Some(client), _) | (None, Some(client)) => Ok(client),
        (None, None) => Ok(itself),
    }
}

/// Whether an address is one of the networks.
pub fn is_trusted(address: IpAddr, networks: &[IpNet]) -> bool {
    let address = canonical(address);
    networks.iter().any(|network| network.contains(&address))
}

/// `::ffff:192.0.2.1` is 192.0.2.1: what a dual-stack socket reports.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// The elements of a list header, the last first; several headers are one list. Empty elements are none (RFC 9110 5.6.1); a
/// header that is not text is one that cannot be read.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName, mut is_end: impl FnMut(char) -> bool) -> Vec<&'h str> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        match value.to_str() {
            Ok(text) => all.extend(text.split(&mut is_end)),
            Err(_) => all.push("?"),
        }
        // An element ends with its header, whatever is still quoted.
        is_end('\n');
    }
    all.reverse();
    all.retain(|element| !element.trim().is_empty());
    all
}

/// Whether a character ends a part of `Forwarded`. A proxy puts into quotes what a client made up, such as its Host header:
/// in there nothing ends.
fn unquoted(end: char) -> impl FnMut(char) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    move |c| {
        match c {
            '\n' => (quoted, escaped) = (false, false),
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return c == end && !quoted,
        }
        false
    }
}

/// The first address from the right that is not a trusted proxy's; `None` without such a header. An element that names no
/// address ends the walk at the hop that wrote it.
fn walk(peer: IpAddr, elements: Vec<&str>, trusted: &[IpNet], read: impl Fn(&str) -> Option<&str>) -> Option<Client> {
    let mut last = None;
    for element in elements {
        let Some(address) = read(element.trim()).and_then(node_address) else {
            return Some(Client { address: last.unwrap_or(peer), known: false });
        };
        if !is_trusted(address, trusted) {
            return Some(Client { address, known: true });
        }
        last = Some(address);
    }
    last.map(|address| Client { address, known: true })
}

/// A parameter of the last element of `Forwarded`: what the proxy next to us wrote.
pub(super) fn forwarded<'h>(value: &'h str, name: &str) -> Option<&'h str> {
    // From the left: where quotes end is not known from the right.
    let elements = value.split(unquoted(',')).filter(|element| !element.trim().is_empty());
    parameter(elements.reduce(|_, last| last)?, name)
}

/// A parameter of one element of `Forwarded`; one that stands twice says nothing (RFC 7239 4).
fn parameter<'h>(element: &'h str, name: &str) -> Option<&'h str> {
    let mut found = None;
    for pair in element.split(unquoted(';')).filter(|pair| !pair.trim().is_empty()) {
        let (other, value) = pair.split_once('=')?;
        if other.trim().eq_ignore_ascii_case(name) && found.replace(value.trim()).is_some() {
            return None;
        }
    }
    let value = found?;
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; a port may be hidden (`:_p`, RFC 7239 6.3).
/// An address with a zone means something to its own host alone, and is none here.
fn node_address(node: &str) -> Option<IpAddr> {
    if let Ok(address) = node.parse::<IpAddr>() {
        return Some(canonical(address));
    }
    let (host, port) = match node.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':').ok_or(port)))?,
        None => node.split_once(':').map(|(host, port)| (host, Ok(port)))?,
    };
    let port_is_one = match port {
        Ok(port) => port.parse::<u16>().is_ok() || is_hidden(port),
        Err(after) => after.is_empty(),
    };
    let address = host.parse::<IpAddr>().ok().filter(|address| address.is_ipv6() == node.starts_with('['))?;
    port_is_one.then(|| canonical(address))
}

fn is_hidden(port: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    port.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// peer, headers; the client's address, `?` before it where it is not the client's own, `refused` where they disagree.
    type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);

    const X: &str = "x-forwarded-for";
    const F: &str = "forwarded";

    const TABLE: &[Row] = &[
        // Nobody who is trusted: headers are nothing.
        ("192.0.2.9", &[(X, "198.51.100.1")], "192.0.2.9"),
        ("192.0.2.9", &[(F, "for=198.51.100.1")], "192.0.2.9"),
        ("192.0.2.9", &[(F, "for=198.51.100.1"), (X, "198.51.100.2")], "192.0.2.9"),
        ("::ffff:192.0.2.9", &[], "192.0.2.9"),
        ("10.0.1.1", &[(X, "198.51.100.1")], "10.0.1.1"),
        // A proxy by itself.
        ("10.0.0.2", &[], "10.0.0.2"),
        ("10.0.0.2", &[(X, "")], "10.0.0.2"),
        ("10.0.0.2", &[("x-real-ip", "198.51.100.1"), ("client-ip", "198.51.100.1")], "10.0.0.2"),
        ("10.0.0.2", &[("x-forwarded", "198.51.100.1"), ("true-client-ip", "198.51.100.1")], "10.0.0.2"),
        // X-Forwarded-For.
        ("::ffff:10.0.0.2", &[(X, "198.51.100.1")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "198.51.100.1")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "203.0.113.66, 198.51.100.1")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "10.0.0.9, 198.51.100.1")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "127.0.0.1, 198.51.100.1")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "198.51.100.1, 10.0.0.7")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "203.0.113.66, 198.51.100.1, 10.0.0.7, 10.0.0.8")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "203.0.113.66"), (X, "198.51.100.1")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "203.0.113.66,198.51.100.1"), (X, "10.0.0.7")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "10.0.0.8, 10.0.0.7")], "10.0.0.8"),
        ("10.0.0.2", &[(X, " 198.51.100.1 ,, 10.0.0.7 ,")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "::ffff:198.51.100.1, ::ffff:10.0.0.7")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "198.51.100.1:4711")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "[2001:db8::1]:4711")], "2001:db8::1"),
        ("10.0.0.2", &[(X, "2001:db8::1")], "2001:db8::1"),
        ("10.0.0.2", &[(X, "[2001:db8::1]")], "2001:db8::1"),
        ("fd00::1", &[(X, "2001:db8::7")], "2001:db8::7"),
        // What cannot be read ends at the hop that wrote it, and is nobody.
        ("10.0.0.2", &[(X, "nonsense")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "unknown")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "198.51.100.1, nonsense, 10.0.0.7")], "?10.0.0.7"),
        ("10.0.0.2", &[(X, "198.51.100.1, nonsense")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "nonsense, 198.51.100.1")], "198.51.100.1"),
        ("10.0.0.2", &[(X, "010.0.0.7")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "0x0a000007")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "167772167")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "198.51.100.1:")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "198.51.100.1:99999")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "198.51.100.1 10.0.0.7")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "[198.51.100.1]")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "fe80::1%eth0")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "[fe80::1%1]:80")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "[fe80::1%251]")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "[2001:db8::1")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "[2001:db8::1]x")], "?10.0.0.2"),
        ("10.0.0.2", &[(X, "localhost")], "?10.0.0.2"),
        // Forwarded.
        ("10.0.0.2", &[(F, "for=198.51.100.1;proto=https;by=10.0.0.2")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "for=198.51.100.1; ;proto=https;")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "proto=https; FOR = 198.51.100.1 ")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "For=\"[2001:db8::1]:4711\", for=10.0.0.9")], "2001:db8::1"),
        ("10.0.0.2", &[(F, "for=\"198.51.100.1:_p\"")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "for=203.0.113.66, for=198.51.100.1")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "for=203.0.113.66"), (F, "for=198.51.100.1"), (F, "for=10.0.0.7")], "198.51.100.1"),
        // A client's Host, quoted by the proxy, and quotes that a client left open.
        ("10.0.0.2", &[(F, "for=198.51.100.1;host=\"a, for=203.0.113.66\"")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "for=198.51.100.1;host=\"a;for=203.0.113.66\"")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "for=198.51.100.1;host=\"a\\\", for=203.0.113.66\"")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "host=\"a"), (F, "for=198.51.100.1")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "host=\"a, for=198.51.100.1")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for=_hidden")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for=unknown")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for=\"_hidden:80\"")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for=198.51.100.1, for=_hidden, for=10.0.0.7")], "?10.0.0.7"),
        ("10.0.0.2", &[(F, "for=\"\"")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for=")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "by=198.51.100.1")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for=\"198.51.100.1")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for=198.51.100.1\"")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for=\"\"198.51.100.1\"\"")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for=198.51.100.1;for=203.0.113.66")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "xfor=198.51.100.1")], "?10.0.0.2"),
        ("10.0.0.2", &[(F, "for=\"[fe80::1%25eth0]\"")], "?10.0.0.2"),
        // Both.
        ("10.0.0.2", &[(F, "for=198.51.100.1"), (X, "198.51.100.1")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "for=\"198.51.100.1:80\""), (X, "203.0.113.66, 198.51.100.1:443")], "198.51.100.1"),
        ("10.0.0.2", &[(F, "for=203.0.113.66"), (X, "198.51.100.1")], "refused"),
        ("10.0.0.2", &[(F, "for=_x"), (X, "198.51.100.1")], "refused"),
        ("10.0.0.2", &[(F, "for=10.0.0.2"), (X, "198.51.100.1")], "refused"),
        ("10.0.0.2", &[(F, "for=198.51.100.1"), (X, "unknown")], "refused"),
        ("10.0.0.2", &[(F, "for=198.51.100.1"), (X, "")], "198.51.100.1"),
    ];

    #[test]
    fn addresses() {
        let trusted: Vec<IpNet> = ["10.0.0.0/24", "fd00::/8"].iter().map(|n| n.parse().unwrap()).collect();
        for (peer, headers, expected) in TABLE {
            let mut map = HeaderMap::new();
            for (name, value) in *headers {
                map.append(HeaderName::from_static(name), value.parse().unwrap());
            }
            let got = match client(peer.parse().unwrap(), &map, &trusted) {
                Ok(Client { address, known: true }) => address.to_string(),
                Ok(Client { address, known: false }) => format!("?{address}"),
                Err(Disagreement) => "refused".to_owned(),
            };
            assert_eq!(got, *expected, "{peer} {headers:?}");
        }
        let mut map = HeaderMap::new();
        map.append(X_FORWARDED_FOR, hyper::header::HeaderValue::from_bytes(b"\xff").unwrap());
        let got = client("10.0.0.2".parse().unwrap(), &map, &trusted).unwrap();
        assert!(!got.known, "what is no text is nobody");
    }
}
