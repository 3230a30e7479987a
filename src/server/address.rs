//! Whose request it is: the client's address, after the proxies that the configuration trusts.
//!
//! `Forwarded` (RFC 7239) and `X-Forwarded-For` are read from the right, and only as far as every hop
//! is a trusted proxy. Where both are there and disagree, one of them was passed on unchecked, so
//! neither is believed.

use hyper::HeaderMap;
use hyper::header::{FORWARDED, HeaderName};
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a request came from. `peer` is the other end of the connection.
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let peer = canonical(peer);
    if trusted.is_empty() || !is_trusted(peer, trusted) {
        return peer;
    }
    let forwarded = rightmost(peer, headers, &FORWARDED, trusted, forwarded_for);
    let x_forwarded = rightmost(peer, headers, &X_FORWARDED_FOR, trusted, |element| Some(element.trim()));
    match (forwarded, x_forwarded) {
        (Some(a), Some(b)) if a != b => peer,
        (Some(address), _) | (None, Some(address)) => address,
        (None, None) => peer,
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

/// The first address from the right that is not a trusted proxy's; `None` without such a header. An
/// element that names no address ends the walk at the hop that wrote it.
fn rightmost<'h>(
    peer: IpAddr,
    headers: &'h HeaderMap,
    name: &HeaderName,
    trusted: &[IpNet],
    read: impl Fn(&'h str) -> Option<&'h str>,
) -> Option<IpAddr> {
    let mut last = None;
    let values: Vec<&str> = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("")).collect();
    for element in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Some(address) = read(element).and_then(node_address) else {
            return Some(last.unwrap_or(peer));
        };
        if !is_trusted(address, trusted) {
            return Some(address);
        }
        last = Some(address);
    }
    last
}

/// The `for` parameter of one element of `Forwarded`. A quoted comma cannot stand in an address, so
/// splitting at commas beforehand loses nothing.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn node_address(node: &str) -> Option<IpAddr> {
    if let Ok(address) = node.parse::<IpAddr>() {
        return Some(canonical(address));
    }
    if let Ok(address) = node.parse::<SocketAddr>() {
        return Some(canonical(address.ip()));
    }
    let inner = node.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<IpAddr>().ok().map(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let trusted: Vec<IpNet> = ["10.0.0.0/24", "fd00::/8"].iter().map(|n| n.parse().unwrap()).collect();
        // peer, headers, client
        type Row = (&'static str, &'static [(&'static str, &'static str)], &'static str);
        let table: &[Row] = &[
            ("192.0.2.9", &[("x-forwarded-for", "198.51.100.1")], "192.0.2.9"),
            ("::ffff:192.0.2.9", &[], "192.0.2.9"),
            ("10.0.0.2", &[], "10.0.0.2"),
            ("::ffff:10.0.0.2", &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1"),
            ("10.0.0.2", &[("x-forwarded-for", "198.51.100.1")], "198.51.100.1"),
            ("10.0.0.2", &[("x-forwarded-for", "203.0.113.66, 198.51.100.1")], "198.51.100.1"),
            ("10.0.0.2", &[("x-forwarded-for", "198.51.100.1, 10.0.0.7")], "198.51.100.1"),
            ("10.0.0.2", &[("x-forwarded-for", "203.0.113.66"), ("x-forwarded-for", "198.51.100.1")], "198.51.100.1"),
            ("10.0.0.2", &[("x-forwarded-for", "10.0.0.8, 10.0.0.7")], "10.0.0.8"),
            ("10.0.0.2", &[("x-forwarded-for", "nonsense")], "10.0.0.2"),
            ("10.0.0.2", &[("x-forwarded-for", "198.51.100.1, nonsense, 10.0.0.7")], "10.0.0.7"),
            ("10.0.0.2", &[("x-forwarded-for", "198.51.100.1:4711")], "198.51.100.1"),
            ("10.0.0.2", &[("forwarded", "for=198.51.100.1;proto=https;by=10.0.0.2")], "198.51.100.1"),
            ("10.0.0.2", &[("forwarded", "For=\"[2001:db8::1]:4711\", for=10.0.0.9")], "2001:db8::1"),
            ("10.0.0.2", &[("forwarded", "for=_hidden")], "10.0.0.2"),
            ("10.0.0.2", &[("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "198.51.100.1")], "198.51.100.1"),
            ("10.0.0.2", &[("forwarded", "for=203.0.113.66"), ("x-forwarded-for", "198.51.100.1")], "10.0.0.2"),
            ("fd00::1", &[("x-forwarded-for", "2001:db8::7")], "2001:db8::7"),
        ];
        for (peer, headers, client) in table {
            let mut map = HeaderMap::new();
            for (name, value) in *headers {
                map.append(HeaderName::from_static(name), value.parse().unwrap());
            }
            let got = client_address(peer.parse().unwrap(), &map, &trusted);
            assert_eq!(got, client.parse::<IpAddr>().unwrap(), "{peer} {headers:?}");
        }
    }
}
