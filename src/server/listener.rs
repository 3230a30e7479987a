//! From sockets to requests: accepting, TLS, HTTP/1.1 and HTTP/2, caps, timeouts, an orderly end.
//!
//! Without TLS only HTTP/1.1 is spoken: nothing behind a proxy needs h2c.

use super::address::{canonical, is_trusted};
use super::bare::Spoken;
use super::body::Room;
use super::flow::Flow;
use super::linger::Lingering;
use super::outgoing::{Outgoing, Sent};
use super::stock::{self, Received, Stock};
use super::tls::{Shown, Tls};
use super::watch::{Activity, Doubt, Noted, Patience, Watched};
use crate::identity::failures::network_of;
use arc_swap::ArcSwap;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ipnet::IpNet;
use socket2::SockRef;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address; a trusted proxy's, perhaps.
    pub address: IpAddr,
    /// Whether it speaks TLS with us.
    pub tls: bool,
    /// Its certificate, where it has one that TLS found good.
    pub certificate: Option<Arc<Shown>>,
    /// What makes the head of its request doubtful.
    pub doubt: Option<Doubt>,
    /// What whoever goes on with the connection itself, after HTTP, must hold.
    pub stay: Stay,
}

/// A connection's place among those allowed, and word of the service's end.
#[derive(Clone)]
pub struct Stay {
    entered: Arc<Entered>,
    stop: watch::Receiver<bool>,
}

impl Stay {
    /// Waits until the service stops.
    pub async fn ended(&mut self) {
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

impl std::fmt::Debug for Stay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stay")
    }
}

/// What answers requests.
pub trait Serve: Send + Sync + 'static {
    /// Answers one request. Dropped where the client hangs up.
    fn serve(&self, peer: Peer, request: Request<Noted<Received>>) -> impl Future<Output = Response<Outgoing>> + Send;
}

/// How connections are treated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TLS handshake.
    pub handshake: Duration,
    /// Headers and idle time.
    pub patience: Patience,
    /// The most bytes of request headers, 8 KiB or more.
    pub header_bytes: usize,
    /// The most connections at once.
    pub connections: usize,
    /// The most connections at once from one address (an IPv6 /64), trusted proxies excepted.
    pub connections_per_address: usize,
    /// Who the proxies are.
    pub trusted_proxies: Vec<IpNet>,
    /// How long requests in flight have when the service stops.
    pub grace: Duration,
}

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Arc<Tls>>,
}

impl Listener {
    /// Binds an address. An address that was in use a moment ago can be bound again.
    pub fn bind(address: SocketAddr, tls: Option<Arc<Tls>>) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { socket: socket.listen(1024)?, tls })
    }

    /// Where it listens: the port is known where 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Serves on all listeners until `stop` turns true, by the settings of the moment at which a connection comes; then lets requests in flight finish, for as long
/// as the grace lasts.
pub async fn serve<S: Serve>(
    listeners: Vec<Listener>,
    service: Arc<S>,
    settings: Arc<ArcSwap<Settings>>,
    stop: watch::Receiver<bool>,
) {
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    let door = Arc::new(Door::new(Arc::clone(&settings)));
    let mut loops = tokio::task::JoinSet::new();
    for listener in listeners {
        loops.spawn(accept(listener, Arc::clone(&service), Arc::clone(&door), stop.clone(), alive.clone()));
    }
    drop(alive);
    while loops.join_next().await.is_some() {}
    // Every connection holds a sender; when the last is gone, so are they.
    let _ = tokio::time::timeout(settings.load().grace, all_gone.recv()).await;
}

async fn accept<S: Serve>(
    listener: Listener,
    service: Arc<S>,
    door: Arc<Door>,
    stop: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
) {
    let Listener { socket, tls } = listener;
    let admit = |(stream, address): (TcpStream, SocketAddr)| {
        let address = canonical(address.ip());
        let Some(entry) = door.enter(address) else {
            metrics::counter!("scimshim_connections_refused_total").increment(1);
            return;
        };
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
        let (tls, service, stop, alive) = (tls.clone(), Arc::clone(&service), stop.clone(), alive.clone());
        tokio::spawn(async move {
            let stay = Stay { entered: Arc::new(entry), stop: stop.clone() };
            let settings = Arc::clone(&stay.entered.settings);
            connection(stream, address, tls, service, &settings, stop, stay).await;
            drop(alive);
        });
    };
    let mut stops = stop.clone();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stops.wait_for(|stop| *stop) => break,
            accepted = socket.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => admit(accepted),
            // A connection that was gone before it was accepted is nothing; out of descriptors is.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    // Whoever connected before waits in the system's queue, which would be reset with the socket.
    let until = tokio::time::Instant::now() + QUEUE;
    while let Ok(Ok(accepted)) = tokio::time::timeout_at(until, socket.accept()).await {
        admit(accepted);
    }
}

async fn connection<S: Serve>(
    stream: TcpStream,
    address: IpAddr,
    tls: Option<Arc<Tls>>,
    service: Arc<S>,
    settings: &Settings,
    stop: watch::Receiver<bool>,
    stay: Stay,
) {
    let peer = Peer { address, tls: tls.is_some(), certificate: None, doubt: None, stay };
    let Some(tls) = tls else {
        return http_1(stream, peer, service, settings, stop).await;
    };
    let acceptor = TlsAcceptor::from(tls.config());
    let stream = match tokio::time::timeout(settings.handshake, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            metrics::counter!("scimshim_tls_handshakes_failed_total").increment(1);
            tracing::debug!(%address, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            metrics::counter!("scimshim_tls_handshakes_failed_total").increment(1);
            tracing::debug!(%address, "TLS handshake took too long");
            return;
        }
    };
    let certificate = match tls.peer(stream.get_ref().1) {
        Ok(certificate) => certificate.map(Arc::new),
        Err(why) => {
            metrics::counter!("scimshim_tls_handshakes_failed_total").increment(1);
            tracing::info!(%address, why, "a client certificate was refused");
            return;
        }
    };
    let peer = Peer { certificate, ..peer };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        http_2(stream, peer, service, settings, stop).await;
    } else {
        http_1(stream, peer, service, settings, stop).await;
    }
}

/// A connection in either version: driven until it ends, runs out of patience, or the service stops.
macro_rules! drive {
    ($connection:expr, $activity:expr, $address:expr, $settings:expr, $stop:expr) => {{
        let mut connection = pin!($connection);
        let patience = $settings.patience;
        let mut tick = tokio::time::interval(patience.tick());
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stops = pin!(farewell(&$activity, &mut $stop));
        let (mut stopping, mut since) = (false, Instant::now());
        let is_over = loop {
            tokio::select! {
                // What went wrong on a client's connection is the client's business.
                _ = connection.as_mut() => break false,
                _ = tick.tick() => {
                    if $activity.is_over(&patience) {
                        break true;
                    }
                    // HTTP/2 waits for its client to answer the farewell, and some are gone.
                    if stopping && since.elapsed() > QUIET && $activity.is_quiet(QUIET) {
                        break false;
                    }
                }
                _ = stops.as_mut(), if !stopping => {
                    (stopping, since) = (true, Instant::now());
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if is_over {
            cut(&$activity, $address);
            // With a farewell, so that nobody takes the end for a cut wire.
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(FAREWELL, connection).await;
        }
    }};
}

/// No more than so many bytes of an answer wait in the system's buffer before they go on their way. It has megabytes for those on
/// their way, and tells of room only when a third of all is free: who reads slowly but steadily would look like who does not read.
const UNSENT: u32 = 128 << 10;
/// How long a connection without requests, on which nothing is written, is waited for when the service stops.
const QUIET: Duration = Duration::from_secs(4);
/// How long a service that stops takes connections that were made before.
const QUEUE: Duration = Duration::from_millis(100);
/// How long it waits for the first request on a connection: whoever made one is about to send it.
const FIRST: Duration = Duration::from_secs(1);
/// How long the end of a connection that is over may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Waits until the service stops, and a moment more for the first request of a client that has sent none.
async fn farewell(activity: &Activity, stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
    let until = tokio::time::Instant::now() + FIRST;
    while activity.is_new() && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn http_1<S: Serve, I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: I,
    peer: Peer,
    service: Arc<S>,
    settings: &Settings,
    mut stop: watch::Receiver<bool>,
) {
    let (activity, address) = (Activity::new(true), peer.address);
    let stream = Watched::new(Lingering::new(stream, Arc::clone(&activity)), Arc::clone(&activity));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None) // `watch` does it
        .max_buf_size(settings.header_bytes.max(8192))
        .serve_connection(
            TokioIo::new(Spoken::new(stream, Arc::clone(&activity))),
            answering(service, peer, Arc::clone(&activity), None),
        )
        .with_upgrades();
    drive!(connection, activity, address, settings, stop);
}

async fn http_2<S: Serve, I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: I,
    peer: Peer,
    service: Arc<S>,
    settings: &Settings,
    mut stop: watch::Receiver<bool>,
) {
    let (activity, address) = (Activity::new(false), peer.address);
    let stock = Stock::new(&peer.stay.entered.door.unread);
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(stock::STREAMS)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .max_header_list_size(u32::try_from(settings.header_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(256 * 1024)
        .initial_stream_window_size(stock::STREAM_WINDOW)
        .initial_connection_window_size(stock::CONNECTION_WINDOW)
        .serve_connection(
            TokioIo::new(Watched::new(stream, Arc::clone(&activity))),
            answering(service, peer, Arc::clone(&activity), Some((settings.patience.idle, stock))),
        );
    drive!(connection, activity, address, settings, stop);
}

/// What hyper calls for each request of a connection. Where the connection has several `streams`: how long a client may leave an
/// answer on one of them untouched, and the room for their bodies.
fn answering<S: Serve>(
    service: Arc<S>,
    peer: Peer,
    activity: Arc<Activity>,
    streams: Option<(Duration, Arc<Stock>)>,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Sent>,
    Error = Infallible,
    Future: Future<Output = Result<Response<Sent>, Infallible>> + Send + 'static,
> {
    service_fn(move |request: Request<Incoming>| {
        let (service, in_flight) = (Arc::clone(&service), activity.request());
        let peer = Peer { doubt: in_flight.doubt(), ..peer.clone() };
        let (activity, streams) = (Arc::clone(&activity), streams.clone());
        async move {
            // HTTP/2 could say "enough" with a frame, but curl then takes the answer for none. Where a head is in doubt
            // nobody knows what belongs to its body.
            let takes_the_rest = peer.doubt.is_none();
            let waits = request.headers().contains_key(header::EXPECT);
            let (head, body) = request.into_parts();
            let is_bare = streams.is_some() && head.method == Method::HEAD;
            let body = match &streams {
                Some((_, stock)) => stock.receive(body),
                None => Received::Direct(body),
            };
            let (body, unread) = Noted::new(body);
            let response = service.serve(peer, Request::from_parts(head, body)).await;
            let connection = response.headers().get(header::CONNECTION);
            if !takes_the_rest || connection.is_some_and(|value| value == "close") {
                activity.linger();
            } else if unread.is_any() && connection.is_none() {
                // An answer that is streamed does not wait for the rest of a body; its upstream may still read it.
                let is_streamed = matches!(response.body(), Outgoing::Stream(_));
                let later = if is_streamed { Err(unread) } else { unread.discard(waits).await };
                if let Err(unread) = later {
                    tokio::spawn(unread.discard_later(waits));
                }
            }
            let response = if is_bare { without_body(response) } else { response };
            let response = response.map(|body| match (body, streams) {
                (Outgoing::Stream(body), Some((limit, _))) => {
                    Outgoing::Stream(Box::pin(Flow::new(body, limit, activity)))
                }
                (body, _) => body,
            });
            Ok(response.map(|body| Sent::new(body, in_flight)))
        }
    })
}

/// The answer to a HEAD: it says how long it would be (RFC 9110 9.3.2), and hyper leaves the body out in HTTP/1.1 alone.
fn without_body(response: Response<Outgoing>) -> Response<Outgoing> {
    let (mut head, body) = response.into_parts();
    let Outgoing::Whole(body) = body else { return Response::from_parts(head, body) };
    if let Some(length @ 1..) = body.size_hint().exact() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(head, Outgoing::from(Full::default()))
}

/// Says that clients lost answers because they did not take them.
fn cut(activity: &Activity, address: IpAddr) {
    let untaken = activity.untaken();
    if untaken > 0 {
        metrics::counter!("scimshim_upstream_failures_total", "kind" => "client").increment(untaken.into());
        tracing::info!(%address, answers = untaken, "a client took nothing of its answers for too long; its connection ends");
    }
}

/// Counts who is inside.
struct Door {
    settings: Arc<ArcSwap<Settings>>,
    /// For what was sent over HTTP/2 and not read yet.
    unread: Arc<Room>,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place inside.
struct Entered {
    door: Arc<Door>,
    /// How it is treated, as long as it lasts.
    settings: Arc<Settings>,
    address: Option<IpAddr>,
}

impl Door {
    fn new(settings: Arc<ArcSwap<Settings>>) -> Self {
        Self { settings, unread: stock::common_room(), inside: Mutex::default() }
    }

    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entered> {
        let settings = self.settings.load_full();
        let counted = (!is_trusted(address, &settings.trusted_proxies)).then(|| network_of(address));
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.all >= settings.connections {
            return None;
        }
        if let Some(address) = counted {
            let count = inside.by_address.entry(address).or_default();
            if *count >= settings.connections_per_address {
                return None;
            }
            *count += 1;
        }
        inside.all += 1;
        drop(inside);
        metrics::gauge!("scimshim_connections").increment(1.0);
        Some(Entered { door: Arc::clone(self), settings, address: counted })
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        metrics::gauge!("scimshim_connections").decrement(1.0);
        let mut inside = self.door.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.all -= 1;
        let Some(address) = self.address else { return };
        if let Entry::Occupied(mut count) = inside.by_address.entry(address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps() {
        let door = Arc::new(Door::new(Arc::new(ArcSwap::from_pointee(Settings {
            handshake: Duration::from_secs(1),
            patience: Patience { headers: Duration::from_secs(1), idle: Duration::from_secs(1) },
            header_bytes: 16384,
            connections: 4,
            connections_per_address: 2,
            trusted_proxies: vec!["10.0.0.1/32".parse().unwrap()],
            grace: Duration::from_secs(1),
        }))));
        let at = |address: &str| door.enter(address.parse().unwrap());
        let a = at("192.0.2.1").unwrap();
        let _b = at("192.0.2.1").unwrap();
        assert!(at("192.0.2.1").is_none());
        drop(a);
        let _c = at("192.0.2.1").unwrap();
        let d = at("2001:db8::1").unwrap();
        let _e = at("2001:db8::2").unwrap();
        assert!(at("10.0.0.1").is_none(), "full");
        drop(d);
        assert!(at("192.0.2.1").is_none());
        let _f = at("10.0.0.1").unwrap();
        assert_eq!(door.inside.lock().unwrap().by_address.len(), 2);
    }
}
