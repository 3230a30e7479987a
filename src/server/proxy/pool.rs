//! Connections that are kept, and one request on one of them.
//!
//! Not hyper-util's pool: its HTTP/2 requests carry the pool's key as their authority, and here it is the client's host that
//! goes there, for any number of hosts on one connection; and it does not say whether a connection was used before, which
//! is what decides whether a request may be sent once more.

use super::body::{Upload, reasons};
use super::connect::{Connected, Connector};
use super::failure::Failure;
use super::response;
use crate::config::{Upstream, UpstreamHttp};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// So many idle connections are kept.
const MOST_IDLE: usize = 64;
/// For so long.
const KEPT: Duration = Duration::from_secs(30);
/// A request that cannot be sent once more takes a connection that was idle for no longer: servers close theirs after a few
/// seconds, and one may be closing this moment.
const FRESH: Duration = Duration::from_secs(1);
/// The most bytes of an answer's head.
const HEAD: usize = 128 * 1024;
/// So many requests go on one HTTP/2 connection at once, and fewer where the upstream says so.
const STREAMS: usize = 100;
/// How much of an answer that nobody reads yet is held, at most, on one stream of an HTTP/2 connection.
const STREAM_WINDOW: u32 = 256 << 10;
/// And on all of them: answers that their clients do not read must leave room for all others.
const CONNECTION_WINDOW: u32 = 100 * STREAM_WINDOW;

/// Connections to one upstream.
pub(super) struct Pool {
    connector: Connector,
    idle: Mutex<Vec<Idle>>,
    /// The connections that speak HTTP/2.
    shared: Mutex<Vec<Shared>>,
    /// How many of them there were.
    numbers: AtomicU64,
    /// HTTP/2 was spoken last: those who find no connection wait for the one that is being made.
    speaks_2: AtomicBool,
    /// Held by whoever makes it: when the last attempt failed, and why.
    making: tokio::sync::Mutex<Option<(Instant, Failure)>>,
}

struct Idle {
    sender: http1::SendRequest<Upload>,
    connection: AbortHandle,
    since: Instant,
}

/// A connection that speaks HTTP/2.
struct Shared {
    number: u64,
    sender: http2::SendRequest<Upload>,
    /// So many requests at once are what the upstream takes.
    most: Arc<AtomicUsize>,
    /// Held by each of its requests, until the end of the answer.
    streams: Arc<()>,
    /// When the last of them began.
    used: Instant,
}

/// A place on an HTTP/2 connection, until dropped.
pub(super) struct Stream(#[expect(dead_code, reason = "counted")] Arc<()>);

/// The right to one request.
pub(super) enum Sender {
    /// HTTP/1.1, and what ends the connection at once.
    One(http1::SendRequest<Upload>, AbortHandle),
    /// HTTP/2, and the number of the connection.
    Two(http2::SendRequest<Upload>, u64, Stream),
}

/// What an answer's connection is to it.
pub(super) enum Hold {
    /// It has it alone; what ends it at once.
    All(AbortHandle),
    /// It has a place on it.
    One(#[expect(dead_code, reason = "held")] Stream),
}

/// A connection for one request.
pub(super) struct Line {
    pub(super) sender: Sender,
    /// It was used before, and may be stale.
    pub(super) used: bool,
}

/// A request that was not answered.
pub(super) struct Unanswered {
    pub(super) failure: Failure,
    /// The request, where nothing of it was sent.
    pub(super) unsent: Option<Request<Upload>>,
    /// The connection went away, as a stale one does.
    pub(super) lost: bool,
}

impl Pool {
    /// Makes no connection yet.
    pub(super) fn new(upstream: &Upstream) -> Result<Self, String> {
        Ok(Self {
            connector: Connector::new(upstream)?,
            idle: Mutex::default(),
            shared: Mutex::default(),
            numbers: AtomicU64::new(0),
            speaks_2: AtomicBool::new(upstream.http == UpstreamHttp::Two),
            making: tokio::sync::Mutex::default(),
        })
    }

    /// A connection: not one of HTTP/1.1 that was kept, where `anew`. `upgrades` wants HTTP/1.1; `repeatable` takes the risk of
    /// a stale one.
    pub(super) async fn line(&self, upgrades: bool, repeatable: bool, anew: bool) -> Result<Line, Failure> {
        if let Some(line) = self.kept(upgrades, repeatable, anew) {
            return Ok(line);
        }
        if upgrades || !self.speaks_2.load(Relaxed) {
            return self.make(upgrades).await;
        }
        let (since, time) = (Instant::now(), self.connector.time);
        let Ok(mut failed) = tokio::time::timeout(time, self.making.lock()).await else {
            return Err(Failure::ConnectTimeout(time));
        };
        if let Some(line) = self.kept(upgrades, repeatable, anew) {
            return Ok(line);
        }
        // The attempt that was waited for was this request's too: else they would all fail one after the other.
        if let Some((_, failure)) = failed.as_ref().filter(|(ended, _)| *ended > since) {
            return Err(failure.clone());
        }
        let line = self.make(upgrades).await;
        *failed = line.as_ref().err().map(|failure| (Instant::now(), failure.clone()));
        line
    }

    fn kept(&self, upgrades: bool, repeatable: bool, anew: bool) -> Option<Line> {
        if !upgrades {
            let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(sender) = shared.iter_mut().find_map(Shared::place) {
                return Some(Line { sender, used: true });
            }
        }
        if anew {
            return None;
        }
        let longest = if repeatable { KEPT } else { FRESH };
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The youngest first; what is too old now is older than any that follow.
        while let Some(kept) = idle.pop() {
            if kept.since.elapsed() > longest {
                if longest == FRESH {
                    idle.push(kept);
                }
                return None;
            }
            if kept.sender.is_ready() {
                return Some(Line { sender: Sender::One(kept.sender, kept.connection), used: true });
            }
        }
        None
    }

    async fn make(&self, upgrades: bool) -> Result<Line, Failure> {
        let broken = |error: hyper::Error| Failure::Broken(reasons(&error));
        let Connected { stream, is_http_2 } = self.connector.connect(upgrades).await?;
        if !upgrades {
            self.speaks_2.store(is_http_2, Relaxed);
        }
        let stream = TokioIo::new(stream);
        if !is_http_2 {
            let (sender, connection) =
                http1::Builder::new().max_header_size(HEAD).handshake(stream).await.map_err(broken)?;
            let driver = tokio::spawn(async move {
                // What goes wrong is the business of the request at hand.
                let _ = connection.with_upgrades().await;
            });
            return Ok(Line { sender: Sender::One(sender, driver.abort_handle()), used: false });
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
            .initial_max_send_streams(0) // until the upstream says
            .handshake(stream)
            .await
            .map_err(broken)?;
        let (began, time) = (Instant::now(), self.connector.time);
        let mut pause = Duration::from_millis(1);
        while connection.current_max_send_streams() == 0 && !sender.is_closed() {
            if began.elapsed() > time {
                return Err(Failure::ConnectTimeout(time));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        let most = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        let known = Arc::clone(&most);
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            // It is polled at each request.
            let _ = poll_fn(|cx| {
                let polled = connection.as_mut().poll(cx);
                known.store(connection.current_max_send_streams(), Relaxed);
                polled
            })
            .await;
        });
        let (number, streams) = (self.numbers.fetch_add(1, Relaxed), Arc::new(()));
        let line = Sender::Two(sender.clone(), number, Stream(Arc::clone(&streams)));
        self.tidy();
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.push(Shared { number, sender, most, streams, used: Instant::now() });
        Ok(Line { sender: line, used: false })
    }

    /// Sends a request, and keeps its connection once the answer was read. Behind an answer that can be read in two ways nobody knows where the next
    /// one begins: it is none, and its connection ends.
    pub(super) async fn send(
        self: &Arc<Self>,
        sender: Sender,
        request: Request<Upload>,
        upgrades: bool,
    ) -> Result<(Response<Incoming>, Hold), Unanswered> {
        match sender {
            Sender::Two(mut sender, number, stream) => {
                let answer = sender.try_send_request(request).await.map_err(|error| {
                    let unanswered = unanswered(error);
                    if unanswered.lost {
                        self.forget(number);
                    }
                    unanswered
                })?;
                match response::wrong(&answer, upgrades) {
                    Some(why) => Err(malformed(why)),
                    None => Ok((answer, Hold::One(stream))),
                }
            }
            Sender::One(mut sender, connection) => {
                let answer = sender.try_send_request(request).await.map_err(unanswered)?;
                if let Some(why) = response::wrong(&answer, upgrades) {
                    connection.abort();
                    return Err(malformed(why));
                }
                let (pool, kept) = (Arc::clone(self), connection.clone());
                tokio::spawn(async move {
                    if sender.ready().await.is_ok() {
                        pool.keep(sender, kept);
                    }
                });
                Ok((answer, Hold::All(connection)))
            }
        }
    }

    /// Requests to come do without this HTTP/2 connection.
    fn forget(&self, number: u64) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|shared| shared.number != number);
    }

    fn keep(&self, sender: http1::SendRequest<Upload>, connection: AbortHandle) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(Idle { sender, connection, since: Instant::now() });
        let too_many = idle.len().saturating_sub(MOST_IDLE);
        idle.drain(..too_many);
        drop(idle);
        self.tidy();
    }

    /// Closes what was idle for too long.
    pub(super) fn tidy(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| kept.since.elapsed() <= KEPT && !kept.sender.is_closed());
        drop(idle);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.retain(|shared| !shared.sender.is_closed() && (shared.in_use() > 0 || shared.used.elapsed() <= KEPT));
    }

    /// Whether the upstream can be reached: by a connection that is kept, or one that is made now and kept.
    pub(super) async fn probe(self: &Arc<Self>) -> Result<(), Failure> {
        self.tidy();
        let line = self.line(false, false, false).await?;
        if let Sender::One(mut sender, connection) = line.sender
            && sender.ready().await.is_ok()
        {
            self.keep(sender, connection);
        }
        Ok(())
    }
}

impl Shared {
    /// How many requests are on it.
    fn in_use(&self) -> usize {
        Arc::strong_count(&self.streams).saturating_sub(1)
    }

    /// A place on it, where there is one: a request beyond what the upstream takes would wait for others to end.
    fn place(&mut self) -> Option<Sender> {
        let most = self.most.load(Relaxed).min(STREAMS);
        if self.sender.is_closed() || self.in_use() >= most {
            return None;
        }
        self.used = Instant::now();
        Some(Sender::Two(self.sender.clone(), self.number, Stream(Arc::clone(&self.streams))))
    }
}

fn unanswered(mut error: TrySendError<Request<Upload>>) -> Unanswered {
    let unsent = error.take_message();
    let error = error.into_error();
    let lost = error.is_incomplete_message() || error.is_closed() || error.is_canceled() || is_lost(&error);
    let why = reasons(&error);
    let failure = if error.is_parse() { Failure::Malformed(why) } else { Failure::Broken(why) };
    Unanswered { failure, unsent, lost }
}

fn malformed(why: &str) -> Unanswered {
    Unanswered { failure: Failure::Malformed(why.to_owned()), unsent: None, lost: false }
}

/// Whether the network, or HTTP/2's farewell, is why; or HTTP/2 says that it did not look at the request (RFC 9113 8.7).
fn is_lost(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            let kinds = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof];
            return kinds.contains(&error.kind());
        }
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (error.is_go_away() || refused);
        }
        source = cause.source();
    }
    false
}
