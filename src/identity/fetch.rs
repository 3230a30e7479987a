//! HTTPS to somebody else's server: key sets, discovery documents, introspection.
//!
//! One request, one connection, one answer: bounded in time and size, no redirects, no cookies, no proxies. It speaks
//! only to URLs that stand in the configuration, or that a document from such a URL names on the same host; nothing a
//! request brings ever becomes a URL. What is left of server-side request forgery is a host name that suddenly resolves
//! to an address inside: the certificate of that name would have to be there too, but an address that is link-local
//! (where clouds keep their credentials) is refused all the same, and a private one unless the configuration names it
//! as the URL's host or says `private_network: true`.

pub use crate::config::{Trust, Url};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// From the first question to DNS to the last byte of the answer.
const TIME: Duration = Duration::from_secs(5);
/// The largest answer, in bytes. The key sets of large issuers take 30 KiB.
pub const MOST: usize = 256 * 1024;
/// So many of a name's addresses are tried.
const ADDRESSES: usize = 4;

/// What makes requests. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    tls: TlsConnector,
    private_network: bool,
    time: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// Reads the certificate authorities; the error is for whoever wrote the configuration.
    pub fn new(trust: &Trust) -> Result<Self, String> {
        let mut config = client_tls(trust)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), private_network: trust.private_network, time: TIME })
    }

    #[cfg(test)]
    pub(crate) fn within(self, time: Duration) -> Self {
        Self { time, ..self }
    }

    /// Gets a document. The error names the host and the reason.
    pub async fn get(&self, url: &Url) -> Result<Bytes, String> {
        let request = Request::builder().method(Method::GET).header(ACCEPT, "application/json");
        self.send(url, request, Bytes::new()).await
    }

    /// Sends a form, with the `Authorization` header where one is given. The error names the host and the reason, and
    /// nothing of what was sent.
    pub async fn post_form(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        authorization: Option<HeaderValue>,
    ) -> Result<Bytes, String> {
        let mut request = Request::builder()
            .method(Method::POST)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(mut authorization) = authorization {
            authorization.set_sensitive(true);
            request = request.header(AUTHORIZATION, authorization);
        }
        let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", form_encoded(value))).collect();
        self.send(url, request, Bytes::from(form.join("&"))).await
    }

    async fn send(&self, url: &Url, request: hyper::http::request::Builder, body: Bytes) -> Result<Bytes, String> {
        let request = request
            .uri(url.target())
            .header(HOST, url.authority())
            .header(CONNECTION, "close")
            .header(USER_AGENT, concat!("scimshim/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| format!("{}: {error}", url.authority()))?;
        match tokio::time::timeout(self.time, self.exchange(url, request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(format!("{}: {why}", url.authority())),
            Err(_) => Err(format!("{}: no answer within {:?}", url.authority(), self.time)),
        }
    }

    async fn exchange(&self, url: &Url, request: Request<Full<Bytes>>) -> Result<Bytes, String> {
        let stream = self.connect(url).await?;
        let name = ServerName::try_from(url.host().to_owned()).map_err(|error| error.to_string())?;
        let stream = self.tls.connect(name, stream).await.map_err(|error| format!("TLS failed: {error}"))?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("no HTTP: {error}"))?;
        // Aborted when dropped, whatever happens below.
        let mut driver = tokio::task::JoinSet::new();
        driver.spawn(connection);
        let response = sender.send_request(request).await.map_err(|error| format!("no answer: {error}"))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(format!("answered {}; redirects are not followed", status.as_u16()));
        }
        if status != StatusCode::OK {
            return Err(format!("answered {}", status.as_u16()));
        }
        if response.headers().contains_key(CONTENT_ENCODING) {
            return Err("answered with a Content-Encoding that was not asked for".to_owned());
        }
        match Limited::new(response.into_body(), MOST).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(format!("answered with more than {} KiB", MOST / 1024))
            }
            Err(error) => Err(format!("the answer broke off: {error}")),
        }
    }

    async fn connect(&self, url: &Url) -> Result<TcpStream, String> {
        let addresses: Vec<SocketAddr> = match url.host().parse::<IpAddr>() {
            // Whoever wrote an address into the configuration means it.
            Ok(address) => vec![SocketAddr::new(address, url.port())],
            Err(_) => {
                let found = tokio::net::lookup_host((url.host(), url.port()));
                let found = found.await.map_err(|error| format!("not found: {error}"))?;
                let (mut open, mut why) = (Vec::new(), None);
                for address in found {
                    match refused(address.ip(), self.private_network) {
                        Some(refused) => why = Some(refused),
                        None => open.push(address),
                    }
                }
                match why {
                    Some(why) if open.is_empty() => return Err(why),
                    _ => open,
                }
            }
        };
        let mut why = "the name has no address".to_owned();
        for address in addresses.into_iter().take(ADDRESSES) {
            // One address that swallows packets must not take the others' time.
            match tokio::time::timeout(self.time / 2, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => why = format!("cannot connect to {}: {error}", address.ip()),
                Err(_) => why = format!("cannot connect to {}: no answer", address.ip()),
            }
        }
        Err(why)
    }
}

/// TLS to a server whose certificate is believed for that reason; the error is for whoever wrote the configuration.
pub fn client_tls(trust: &Trust) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match &trust.ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let certificate = certificate.map_err(|error| format!("not a PEM certificate: {error}"))?;
                roots.add(certificate).map_err(|error| format!("not a certificate: {error}"))?;
            }
        }
        // What SSL_CERT_FILE and SSL_CERT_DIR name, else where distributions keep them. A few unreadable ones among
        // a hundred are no reason to refuse all.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(match trust.ca {
            Some(_) => "`ca` has no certificate authority".to_owned(),
            None => {
                "the system trusts no certificate authority (install ca-certificates, or write `ca: PATH`)".to_owned()
            }
        });
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    Ok(config.with_no_client_auth())
}

/// Why no connection is made to an address that a name resolved to.
fn refused(address: IpAddr, private_network: bool) -> Option<String> {
    let address = embedded(address);
    let (never, private) = match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let never = v4.is_link_local() || v4.is_multicast() || a == 0 || a >= 240;
            // 100.64.0.0/10 is a provider's inside (RFC 6598).
            (never, v4.is_private() || v4.is_loopback() || (a == 100 && (64..128).contains(&b)))
        }
        IpAddr::V6(v6) => {
            let never = v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified();
            (never, v6.is_unique_local() || v6.is_loopback())
        }
    };
    if never {
        return Some(format!("the name resolves to {address}, which is never spoken to"));
    }
    (private && !private_network).then(|| {
        format!("the name resolves to {address} of a private network; write `private_network: true` if it should")
    })
}

/// The IPv4 address inside `::ffff:0:0/96` and `64:ff9b::/96` (NAT64, RFC 6052).
fn embedded(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            _ => IpAddr::V6(v6),
        },
        v4 => v4,
    }
}

/// `application/x-www-form-urlencoded`: everything but the unreserved characters.
pub fn form_encoded(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, SET).to_string()
}

#[cfg(test)]
pub(crate) mod fake;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let table = [
            ("192.0.2.1", true, true),
            ("2001:db8::1", true, true),
            ("10.1.2.3", false, true),
            ("172.16.0.1", false, true),
            ("192.168.1.1", false, true),
            ("100.64.0.1", false, true),
            ("100.128.0.1", true, true),
            ("127.0.0.1", false, true),
            ("::1", false, true),
            ("fd00::1", false, true),
            ("::ffff:10.1.2.3", false, true),
            ("64:ff9b::a01:203", false, true),
            ("169.254.169.254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("64:ff9b::a9fe:a9fe", false, false),
            ("fe80::1", false, false),
            ("0.0.0.0", false, false),
            ("::", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("ff02::1", false, false),
        ];
        for (address, open, private) in table {
            let address: IpAddr = address.parse().unwrap();
            let spoken = |private_network| refused(address, private_network).is_none();
            assert_eq!((spoken(false), spoken(true)), (open, private), "{address}");
        }
    }

    #[test]
    fn forms() {
        assert_eq!(form_encoded("a b+c&d=é~"), "a%20b%2Bc%26d%3D%C3%A9~");
    }

    #[test]
    fn authorities() {
        let trust = |ca: &str| Trust { ca: Some(ca.to_owned()), private_network: false };
        assert!(Client::new(&trust("")).unwrap_err().contains("`ca` has no certificate authority"));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Client::new(&trust(broken)).unwrap_err().contains("not a certificate"));
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused() {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let trust = Trust { ca: Some(key.cert.pem()), private_network: false };
        let client = Client::new(&trust).unwrap();
        let why = client.get(&Url::parse("https://localhost:9/").unwrap()).await.unwrap_err();
        assert!(why.starts_with("localhost:9: ") && why.contains("private_network: true"), "{why}");
    }

    #[tokio::test]
    async fn answers() {
        let server = fake::Server::start(|_| fake::json("{\"keys\":[]}")).await;
        let client = server.client();
        let url = Url::parse(&format!("{}/keys?a=b", server.url)).unwrap();
        assert_eq!(client.get(&url).await.unwrap(), "{\"keys\":[]}");
        let heard = server.last_request().to_ascii_lowercase();
        assert!(heard.starts_with("get /keys?a=b http/1.1\r\n") && heard.contains("user-agent: scimshim/"), "{heard}");
        assert!(heard.contains(&format!("host: {}\r\n", url.authority())), "{heard}");

        client.post_form(&url, &[("token", "a&b"), ("hint", "é")], Some("Basic eDp5".parse().unwrap())).await.unwrap();
        let heard = server.last_request();
        assert!(heard.ends_with("\r\n\r\ntoken=a%26b&hint=%C3%A9") && heard.contains("Basic eDp5"), "{heard}");

        let large = "x".repeat(MOST + 1);
        let endless = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}", MOST * 4);
        let header = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200_000));
        let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec();
        let moved = "Location: https://127.0.0.1:1/\r\n";
        for (answer, why) in [
            (fake::status("302 Found", moved, ""), "answered 302; redirects are not followed"),
            (fake::status("308 Permanent Redirect", moved, "{}"), "answered 308; redirects are not followed"),
            (fake::status("404 Not Found", "", "{}"), "answered 404"),
            (fake::status("204 No Content", "", ""), "answered 204"),
            (fake::status("200 OK", "Content-Encoding: gzip\r\n", "{}"), "Content-Encoding"),
            (fake::Answer::Bytes(endless.into()), "more than 256 KiB"),
            (fake::json(&large), "more than 256 KiB"),
            (fake::Answer::Bytes(header.into()), "no answer"),
            (fake::Answer::Bytes(cut), "broke off"),
            (fake::Answer::Bytes(b"garbage\r\n\r\n".to_vec()), "no answer"),
            (fake::Answer::Bytes(Vec::new()), "no answer"),
            (fake::Answer::Nothing, "no answer within 800ms"),
        ] {
            server.answer(move |_| answer.clone());
            let before = server.requests();
            let got = client.get(&url).await.unwrap_err();
            assert!(got.starts_with(&url.authority()) && got.contains(why), "{got} is not {why}");
            assert_eq!(server.requests(), before + 1, "one request for {why}");
        }

        let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let stranger = Client::new(&Trust { ca: Some(stranger.cert.pem()), private_network: true }).unwrap();
        assert!(stranger.get(&url).await.unwrap_err().contains("TLS failed"));
        let other_name = Url::parse(&server.url.replace("127.0.0.1", "127.0.0.2")).unwrap();
        let why = client.get(&other_name).await.unwrap_err();
        assert!(why.contains("cannot connect") || why.contains("TLS failed"), "{why}");
        let named = Url::parse(&server.url.replace("127.0.0.1", "localhost")).unwrap();
        assert!(client.get(&named).await.unwrap_err().contains("private_network"));
        let trust = Trust { ca: Some(server.ca.clone()), private_network: true };
        server.answer(|_| fake::json("{}"));
        Client::new(&trust).unwrap().get(&named).await.expect("said to be a private network");
    }
}
