//! Connections to the upstream: TCP, TLS with its certificate checked, or a unix socket.

use super::failure::Failure;
use crate::config::{Place, Upstream, UpstreamHttp};
use crate::identity::fetch::{Trust, client_tls};
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// What a connection is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection, and whether HTTP/2 is spoken on it.
pub(super) struct Connected {
    pub(super) stream: Box<dyn Stream>,
    pub(super) is_http_2: bool,
}

/// Makes connections.
pub(super) struct Connector {
    place: Place,
    /// Over TLS: which versions are offered; the other offers HTTP/1.1 alone, for upgrades.
    tls: Option<(TlsConnector, TlsConnector, ServerName<'static>)>,
    prior_knowledge: bool,
    /// How long a connection may take.
    pub(super) time: Duration,
}

impl Connector {
    /// Reads the certificate authorities; the error is for whoever wrote the configuration.
    pub(super) fn new(upstream: &Upstream) -> Result<Self, String> {
        let tls = match &upstream.place {
            Place::Tls(target, ca) => {
                let offers: &[&[u8]] = match upstream.http {
                    UpstreamHttp::Auto => &[b"h2", b"http/1.1"],
                    UpstreamHttp::One => &[b"http/1.1"],
                    UpstreamHttp::Two => &[b"h2"],
                };
                let config = client_tls(&Trust { ca: ca.clone(), private_network: true })?;
                let connector = |offers: &[&[u8]]| {
                    let mut config = config.clone();
                    config.alpn_protocols = offers.iter().map(|protocol| protocol.to_vec()).collect();
                    TlsConnector::from(Arc::new(config))
                };
                let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
                Some((connector(offers), connector(&[b"http/1.1"]), name))
            }
            Place::Plain(_) | Place::Unix(_) => None,
        };
        let prior_knowledge = upstream.http == UpstreamHttp::Two && tls.is_none();
        Ok(Self { place: upstream.place.clone(), tls, prior_knowledge, time: upstream.connect_timeout })
    }

    /// Connects. `upgrades` asks for HTTP/1.1, the only version in which an upgrade is possible.
    pub(super) async fn connect(&self, upgrades: bool) -> Result<Connected, Failure> {
        match tokio::time::timeout(self.time, self.attempt(upgrades)).await {
            Ok(connected) => connected,
            Err(_) => Err(Failure::ConnectTimeout(self.time)),
        }
    }

    async fn attempt(&self, upgrades: bool) -> Result<Connected, Failure> {
        let cannot = |error: io::Error| Failure::Connect(error.to_string());
        let is_http_2 = self.prior_knowledge && !upgrades;
        match &self.place {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(cannot)?;
                Ok(Connected { stream: Box::new(stream), is_http_2 })
            }
            Place::Plain(target) | Place::Tls(target, _) => {
                let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(cannot)?;
                let _ = stream.set_nodelay(true);
                let Some((tls, http_1, name)) = &self.tls else {
                    return Ok(Connected { stream: Box::new(stream), is_http_2 });
                };
                let connector = if upgrades { http_1 } else { tls };
                let stream = connector.connect(name.clone(), stream).await;
                let stream = stream.map_err(|error| Failure::Tls(error.to_string()))?;
                let is_http_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok(Connected { stream: Box::new(stream), is_http_2 })
            }
        }
    }
}
