//! `upstream`: the application itself, for everything that is not SCIM. Whether it answers is nobody's business here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use percent_encoding::percent_decode_str;

use super::door::Door;
use super::remote::Target;
use super::{Context, remote, values};
use crate::document::{Findings, Node, Reader};

/// Where everything goes that is not ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its address.
    pub place: Place,
    /// The version of HTTP that is spoken with it.
    pub http: UpstreamHttp,
    /// Whether the Host header is the client's; else it is the upstream's own.
    pub preserve_host: bool,
    /// The longest that a connection may take, TLS included.
    pub connect_timeout: Duration,
    /// The longest pause between two bytes in either direction, once it is the upstream's turn.
    pub idle_timeout: Duration,
    /// The most requests in flight at once.
    pub requests: usize,
    /// The most of them of one client address (an IPv6 /64), trusted proxies excepted.
    pub requests_per_address: usize,
    /// Paths that are not forwarded though they are not ours: decoded segments in lower case.
    pub hide: Vec<Vec<String>>,
}

/// An address of the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `http://host:port`
    Plain(Target),
    /// `https://host:port`, and the certificate authorities, PEM; None for those of the system.
    Tls(Target, Option<String>),
    /// `unix:/path`
    Unix(PathBuf),
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamHttp {
    /// HTTP/1.1; HTTP/2 where TLS says that nothing else is spoken.
    Auto,
    /// HTTP/1.1.
    One,
    /// HTTP/2, without TLS by prior knowledge.
    Two,
}

impl Upstream {
    /// `host` or `host:port`, as a Host header has it.
    pub fn authority(&self) -> String {
        match &self.place {
            Place::Plain(target) => target.authority(80),
            Place::Tls(target, _) => target.authority(443),
            Place::Unix(_) => "localhost".to_owned(),
        }
    }

    /// As it is called in logs.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Plain(_) => format!("http://{}", self.authority()),
            Place::Tls(..) => format!("https://{}", self.authority()),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// The requests of one client address, where there are at least twice as many in all.
const PER_ADDRESS: usize = 256;

const HELP: &str = "http://127.0.0.1:8080, https://app.internal:8443 or unix:/run/app/http.sock";

pub(super) fn read(
    reader: &mut Reader<'_>,
    context: Context<'_>,
    door: Option<&Door>,
    findings: &mut Findings,
) -> Option<Option<Upstream>> {
    let Some(node) = reader.given("upstream") else { return Some(None) };
    let mut upstream = Upstream {
        place: Place::Unix(PathBuf::new()),
        http: UpstreamHttp::Auto,
        preserve_host: true,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(60),
        requests: 1024,
        requests_per_address: PER_ADDRESS,
        hide: Vec::new(),
    };
    if node.as_str().is_some() {
        upstream.place = place(node, None, door, findings)?;
        return Some(Some(upstream));
    }
    let mut reader = Reader::mapping(node, findings)?;
    let ca = match reader.given("ca") {
        None => Some(None),
        Some(node) => values::file(&mut reader, "ca", context, findings).and_then(|path| {
            let pem = remote::authorities(&path);
            if let Err(why) = &pem {
                findings.error(node, why.as_str());
            }
            pem.ok().map(|pem| Some((node, pem)))
        }),
    };
    upstream.connect_timeout = values::duration(&mut reader, "connect_timeout", upstream.connect_timeout, findings);
    upstream.idle_timeout = values::duration(&mut reader, "idle_timeout", upstream.idle_timeout, findings);
    upstream.preserve_host = reader.boolean("preserve_host", findings).unwrap_or(true);
    upstream.requests = values::count(&mut reader, "requests", upstream.requests, 1..=1_000_000, findings);
    let share = PER_ADDRESS.min(upstream.requests.div_ceil(2));
    upstream.requests_per_address = values::count(&mut reader, "requests_per_address", share, 1..=1_000_000, findings);
    let versions = [("auto", UpstreamHttp::Auto), ("1.1", UpstreamHttp::One), ("2", UpstreamHttp::Two)];
    if let Some(node) = reader.given("http") {
        let known = versions.iter().find(|(word, _)| node.scalar_text() == Some(word));
        match known {
            Some((_, version)) => upstream.http = *version,
            None => {
                findings.error(node, format!("expected one of `auto`, `1.1`, `2`, found {}", node.found()));
            }
        }
    }
    let hidden = reader.given("hide").map(Node::one_or_many).unwrap_or_default();
    upstream.hide = hidden.iter().filter_map(|node| hide(node, findings)).collect();
    let place = reader.required("url", findings).and_then(|node| place(node, Some(&ca), door, findings));
    reader.finish(findings);
    ca?;
    upstream.place = place?;
    Some(Some(upstream))
}

/// The URL at a node; `ca` is what stands beside it.
fn place(
    node: &Node,
    ca: Option<&Option<Option<(&Node, String)>>>,
    door: Option<&Door>,
    findings: &mut Findings,
) -> Option<Place> {
    let text = node.read_str(findings)?;
    let ca = ca.and_then(Option::as_ref).and_then(Option::as_ref);
    let is_tls = text.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"));
    if let (Some((ca, _)), false) = (ca, is_tls) {
        findings.error(*ca, "`ca` is for an upstream at `https://`").help("remove it, or speak TLS with the upstream");
    }
    if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("unix:")) {
        let path = text.get(5..).unwrap_or_default();
        let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        if !path.starts_with('/') || path.ends_with('/') {
            findings.error(node, "a socket is named by its whole path").help("for example unix:/run/app/http.sock");
            return None;
        }
        return Some(Place::Unix(PathBuf::from(path)));
    }
    if text.contains('@') {
        findings.hide(node);
    }
    let target = match target(text, is_tls) {
        Ok(target) => target,
        Err(why) => {
            findings.error(node, format!("the upstream cannot be used: {why}")).help(format!("for example {HELP}"));
            return None;
        }
    };
    if let Some(ours) = door.and_then(|door| is_ours(&target, door)) {
        let what = format!("the upstream is {ours} itself: requests would go round in a circle");
        findings.error(node, what).help("name the address on which the application listens");
        return None;
    }
    if door.is_some_and(|door| is_public(&target, door)) {
        let what = "the upstream is this service's `public_url`: requests go round in a circle unless that name, asked for here, \
                    leads to the application";
        findings.warning(node, what).help("name the address on which the application listens");
    }
    if is_tls {
        return Some(Place::Tls(target, ca.map(|(_, pem)| pem.clone())));
    }
    if target.host.parse().is_ok_and(|address| !is_near(address)) {
        let what = format!("passwords and sessions cross the network in clear on the way to {}", target.host);
        findings.warning(node, what).help("write `https://`, or reach the application on loopback or by a unix socket");
    }
    Some(Place::Plain(target))
}

fn target(text: &str, is_tls: bool) -> Result<Target, &'static str> {
    let is_plain = text.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    if !is_plain && !is_tls {
        return Err("it must start with `http://`, `https://` or `unix:`");
    }
    if text.contains(['?', '#']) {
        return Err("it must have no query and no fragment");
    }
    if text.contains('@') {
        return Err("it must name no user: whoever calls logs in by himself");
    }
    let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
    if !matches!(uri.path(), "" | "/") {
        return Err("it must have no path: paths are passed on as they come");
    }
    Target::of(&uri, if is_tls { 443 } else { 80 })
}

/// Which of our own addresses it is, if any.
fn is_ours(target: &Target, door: &Door) -> Option<&'static str> {
    let address = match target.host.as_str() {
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        host => host.parse::<IpAddr>().ok(),
    };
    let is = |ours: &SocketAddr| {
        let same = |address: IpAddr| {
            let here = address.is_loopback() || address.is_unspecified();
            address == ours.ip() || (ours.ip().is_unspecified() && here) || (address.is_unspecified() && here)
        };
        ours.port() == target.port && target.port != 0 && address.is_some_and(same)
    };
    if door.listen.iter().any(is) {
        return Some("this service");
    }
    is(&door.admin.listen).then_some("this service's private listener")
}

/// Whether it has the name and port by which others reach this service. Where the name leads, the configuration does not say:
/// here it may be the application that has it.
fn is_public(target: &Target, door: &Door) -> bool {
    let Ok(public) = door.public_url.parse::<Uri>() else { return false };
    let public = Target::of(&public, if public.scheme_str() == Some("http") { 80 } else { 443 });
    public.as_ref() == Ok(target)
}

/// Whether an address is on this machine or in a private network.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// The segments of a path that is to be hidden.
fn hide(node: &Node, findings: &mut Findings) -> Option<Vec<String>> {
    let text = node.read_str(findings)?;
    let segments: Vec<String> = text
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().to_lowercase())
        .collect();
    if !text.starts_with('/') || segments.is_empty() || text.contains(['?', '#', '*']) {
        let finding = findings.error(node, format!("expected a path, found {}", node.found()));
        finding.help("for example /plugins/scim: it and everything below it is then answered with 404");
        return None;
    }
    if segments.iter().any(|segment| segment.contains(';') || segment.ends_with(['.', ' '])) {
        let finding = findings
            .error(node, "`;` and what follows it, and dots and spaces at the end of a segment, are not looked at");
        finding.help("leave them out: /plugins/scim hides `/plugins;x/scim.` too");
        return None;
    }
    Some(segments)
}
