//! A watch on one connection: how long a client may take for its headers, and how long it may hold a
//! connection that does nothing.
//!
//! hyper's own header timeout covers the idle time too, makes a timer for each request, and knows
//! nothing of a response that nobody reads. One timer a connection, and the times of the last bytes,
//! do all three.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a connection may take for what.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For the headers of a request, from their first byte; also for the first byte of all.
    pub headers: Duration,
    /// Between requests, and between two pieces of a response.
    pub idle: Duration,
}

impl Patience {
    /// How often a connection is looked at.
    pub fn tick(&self) -> Duration {
        (self.headers.min(self.idle) / 4).clamp(Duration::from_millis(20), Duration::from_secs(2))
    }
}

/// What happened on a connection, in milliseconds since it began; 0 is never.
#[derive(Debug)]
pub struct Activity {
    began: Instant,
    in_flight: AtomicU32,
    /// The first byte since the last request was handed over.
    head_began: AtomicU64,
    /// The last request handed over or answered, or piece of a response written.
    last: AtomicU64,
    requests: AtomicU32,
}

impl Activity {
    /// Of a connection that begins now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            in_flight: AtomicU32::new(0),
            head_began: AtomicU64::new(0),
            last: AtomicU64::new(0),
            requests: AtomicU32::new(0),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .max(1)
    }

    /// A request was handed over; dropping the guard is its answer.
    pub fn request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        self.head_began.store(0, Relaxed);
        InFlight(Arc::clone(self))
    }

    fn read(&self) {
        if self.in_flight.load(Relaxed) == 0 && self.head_began.load(Relaxed) == 0 {
            self.head_began.store(self.now(), Relaxed);
        }
    }

    fn wrote(&self) {
        self.last.store(self.now(), Relaxed);
    }

    /// Whether the client's time is up. A request in flight has limits of its own.
    pub fn is_over(&self, patience: &Patience) -> bool {
        if self.in_flight.load(Relaxed) > 0 {
            return false;
        }
        let now = self.now();
        let over = |since: u64, limit: Duration| u128::from(now.saturating_sub(since)) > limit.as_millis();
        if self.requests.load(Relaxed) == 0 {
            return over(0, patience.headers);
        }
        let head = self.head_began.load(Relaxed);
        (head > 0 && over(head, patience.headers)) || over(self.last.load(Relaxed), patience.idle)
    }
}

/// A request that is being answered.
pub struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.wrote();
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A stream whose bytes are noted.
pub struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    /// HTTP/2 has frames that belong to no request: only requests count there.
    notes_reads: bool,
}

impl<S> Watched<S> {
    /// Notes what happens on `stream` in `activity`.
    pub fn new(stream: S, activity: Arc<Activity>, notes_reads: bool) -> Self {
        Self {
            stream,
            activity,
            notes_reads,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.notes_reads && buffer.filled().len() > before {
            self.activity.read();
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if self.notes_reads && result.is_ready() {
            self.activity.wrote();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        if self.notes_reads && result.is_ready() {
            self.activity.wrote();
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
