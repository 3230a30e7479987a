//! Connections to the upstream: TCP, TLS with its certificate checked, or a unix socket.

use super::failure::Failure;
use super::last_words::LastWords;
use crate::config::{Place, Target, Upstream, UpstreamHttp};
use crate::identity::fetch::{Trust, client_tls};
use rustls::AlertDescription;
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

/// How TLS is spoken.
struct Tls {
    /// Offers HTTP/1.1.
    one: TlsConnector,
    /// Offers HTTP/2.
    two: TlsConnector,
    name: ServerName<'static>,
}

/// Makes connections.
pub(super) struct Connector {
    place: Place,
    /// Over TLS.
    tls: Option<Tls>,
    http: UpstreamHttp,
    /// How long a connection may take.
    pub(super) time: Duration,
}

impl Connector {
    /// Reads the certificate authorities; the error is for whoever wrote the configuration.
    pub(super) fn new(upstream: &Upstream) -> Result<Self, String> {
        let tls = match &upstream.place {
            Place::Tls(target, ca) => {
                let config = client_tls(&Trust { ca: ca.clone(), private_network: true })?;
                let offers = |protocol: &[u8]| {
                    let mut config = config.clone();
                    config.alpn_protocols = vec![protocol.to_vec()];
                    TlsConnector::from(Arc::new(config))
                };
                let name = ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
                Some(Tls { one: offers(b"http/1.1"), two: offers(b"h2"), name })
            }
            Place::Plain(_) | Place::Unix(_) => None,
        };
        Ok(Self { place: upstream.place.clone(), tls, http: upstream.http, time: upstream.connect_timeout })
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
        let is_http_2 = self.http == UpstreamHttp::Two && !upgrades;
        match &self.place {
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(cannot)?;
                Ok(Connected { stream: Box::new(LastWords::new(stream)), is_http_2 })
            }
            Place::Plain(target) | Place::Tls(target, _) => {
                let stream = dial(target).await.map_err(cannot)?;
                let Some(Tls { one, two, name }) = &self.tls else {
                    return Ok(Connected { stream: Box::new(stream), is_http_2 });
                };
                let connector = if is_http_2 { two } else { one };
                let mut stream = connector.connect(name.clone(), stream).await;
                if !upgrades && self.http == UpstreamHttp::Auto && stream.as_ref().is_err_and(is_other_protocol) {
                    stream = two.connect(name.clone(), dial(target).await.map_err(cannot)?).await;
                }
                let stream = stream.map_err(|error| Failure::Tls(error.to_string()))?;
                let is_http_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok(Connected { stream: Box::new(stream), is_http_2 })
            }
        }
    }
}

async fn dial(target: &Target) -> io::Result<LastWords<TcpStream>> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    let _ = stream.set_nodelay(true);
    Ok(LastWords::new(stream))
}

/// Whether the other end speaks none of the protocols that it was offered (RFC 7301 3.2).
fn is_other_protocol(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)))
}
