//! A watch on one connection: how long a client may take for its headers, how long it may hold a
//! connection that does nothing, and what of a head cannot be seen any more once hyper has read it.
//!
//! And a body that was answered without being read is taken off the wire, so that the answer arrives.
//!
//! hyper's own header timeout covers the idle time too, makes a timer for each request, and knows
//! nothing of a response that nobody reads. One timer a connection, and the times of the last bytes,
//! do all three. And hyper takes a bare LF for a line end where another parser may not, and drops a
//! Content-Length beside a Transfer-Encoding, so heads are looked at as they come in.

use super::look::Look;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

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
    /// Those of them whose answer is on its way, and whose client did not take the last piece of it yet.
    their_turn: AtomicU32,
    /// The first byte since the last request was handed over.
    head_began: AtomicU64,
    /// The last request handed over or answered, or piece of a response written.
    last: AtomicU64,
    requests: AtomicU32,
    /// Heads are looked at.
    looks: bool,
    /// What was wrong with the heads that were seen and whose requests were not handed over yet.
    heads: Mutex<VecDeque<Option<Doubt>>>,
    /// Some answer was streamed: what is written may be anybody's words.
    streamed: AtomicBool,
    /// A request was refused whose rest may still come.
    lingers: AtomicBool,
    /// Streams whose answers were let go because their client did not take them, and that are there still.
    standing: AtomicU32,
}

impl Activity {
    /// Of a connection that begins now. HTTP/2 has frames that belong to no request: `looks` is for HTTP/1.
    pub fn new(looks: bool) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            in_flight: AtomicU32::new(0),
            their_turn: AtomicU32::new(0),
            head_began: AtomicU64::new(0),
            last: AtomicU64::new(0),
            requests: AtomicU32::new(0),
            looks,
            heads: Mutex::default(),
            streamed: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            standing: AtomicU32::new(0),
        })
    }

    /// The client does not take the answer on one of its streams.
    pub fn stands_still(&self) {
        self.standing.fetch_add(1, Relaxed);
    }

    /// Such a stream ended.
    pub fn stands_no_more(&self) {
        self.standing.fetch_sub(1, Relaxed);
    }

    /// Whether no request of an HTTP/2 connection is in flight, and nothing was written for so long.
    pub fn is_quiet(&self, time: Duration) -> bool {
        let since = u128::from(self.now().saturating_sub(self.last.load(Relaxed)));
        !self.looks && self.in_flight.load(Relaxed) == 0 && since > time.as_millis()
    }

    /// How many streamed answers are on their way, without those that were let go already.
    pub fn untaken(&self) -> u32 {
        self.in_flight.load(Relaxed).saturating_sub(self.standing.load(Relaxed))
    }

    /// Whether no request was handed over yet.
    pub fn is_new(&self) -> bool {
        self.requests.load(Relaxed) == 0
    }

    /// Whether some answer was streamed.
    pub fn streamed(&self) -> bool {
        self.streamed.load(Relaxed)
    }

    /// A request is refused, and the connection ended, while its client may still be sending it.
    pub fn linger(&self) {
        self.lingers.store(true, Relaxed);
    }

    /// Whether some request was.
    pub fn lingers(&self) -> bool {
        self.lingers.load(Relaxed)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// A request was handed over; dropping the guard is its answer.
    pub fn request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        self.head_began.store(0, Relaxed);
        InFlight { activity: Arc::clone(self), their_turn: false }
    }

    fn read(&self) {
        if self.in_flight.load(Relaxed) == 0 && self.head_began.load(Relaxed) == 0 {
            self.head_began.store(self.now(), Relaxed);
        }
    }

    fn wrote(&self) {
        self.last.store(self.now(), Relaxed);
    }

    /// Whether the client's time is up. A request in flight has limits of its own, as long as it is our turn.
    pub fn is_over(&self, patience: &Patience) -> bool {
        if self.standing.load(Relaxed) >= MOST_STANDING {
            return true;
        }
        let in_flight = self.in_flight.load(Relaxed);
        if in_flight > self.their_turn.load(Relaxed) {
            return false;
        }
        let now = self.now();
        let over = |since: u64, limit: Duration| u128::from(now.saturating_sub(since)) > limit.as_millis();
        if in_flight > 0 {
            return over(self.last.load(Relaxed), patience.idle);
        }
        if self.requests.load(Relaxed) == 0 {
            return over(0, patience.headers);
        }
        let head = self.head_began.load(Relaxed);
        (head > 0 && over(head, patience.headers)) || over(self.last.load(Relaxed), patience.idle)
    }
}

/// What two parsers could read in two ways, and hyper does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A line of the head ended in LF alone.
    BareLineFeed,
    /// The head has a Content-Length and a Transfer-Encoding.
    TwoLengths,
    /// It was not looked at: too many requests came before it in one go, or a chunked body that cannot be read.
    Unseen,
}

/// So many streams of a connection may stand still: each keeps a piece of its answer.
const MOST_STANDING: u32 = 8;
/// With HTTP/2, fewer bytes than this at once may be frames about the connection, which answer no request.
const PIECE: usize = 1024;
/// So many reads are done in one turn.
const READS: u32 = 2;
/// So many requests may come before the first of them is answered.
const MOST_HEADS: usize = 256;

/// A request that is being answered.
pub struct InFlight {
    activity: Arc<Activity>,
    their_turn: bool,
}

impl InFlight {
    /// What makes its head doubtful.
    pub fn doubt(&self) -> Option<Doubt> {
        let seen = self.activity.heads.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        if self.activity.looks { seen.unwrap_or(Some(Doubt::Unseen)) } else { None }
    }

    /// Its answer is streamed.
    pub fn streams(&self) {
        self.activity.streamed.store(true, Relaxed);
    }

    /// The client took what there was and waits for more.
    pub fn our_turn(&mut self) {
        if std::mem::take(&mut self.their_turn) {
            self.activity.their_turn.fetch_sub(1, Relaxed);
        }
        self.activity.wrote();
    }

    /// There is something for the client to take.
    pub fn their_turn(&mut self) {
        if !std::mem::replace(&mut self.their_turn, true) {
            self.activity.wrote();
            self.activity.their_turn.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.our_turn();
        self.activity.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A body that gives back what of it nobody read.
pub struct Noted<B: Body + Unpin> {
    /// There until this is dropped.
    body: Option<B>,
    /// Some of it was asked for.
    begun: bool,
    unread: Option<oneshot::Sender<(B, bool)>>,
}

impl<B: Body + Unpin> Noted<B> {
    /// A body for whoever answers, and what of it nobody will have read.
    pub fn new(body: B) -> (Self, Unread<B>) {
        let (unread, left) = if body.is_end_stream() { (None, None) } else { Some(oneshot::channel()).unzip() };
        (Self { body: Some(body), begun: false, unread }, Unread(left))
    }
}

impl<B: Body + Unpin> Body for Noted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.begun = true;
        self.body.as_mut().map_or(Poll::Ready(None), |body| Pin::new(body).poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl<B: Body + Unpin> Drop for Noted<B> {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(left), Some(unread)) = (left, self.unread.take()) {
            let _ = unread.send((left, self.begun));
        }
    }
}

/// What nobody read of a body.
///
/// A client that still sends its body while the connection ends under it sees a broken connection, and
/// not the 401 or 413 that was its answer: HTTP/1.1 has no other way to say "enough" than to take the
/// rest (RFC 9112 9.6). Within bounds: the connection of who sends for longer is closed.
pub struct Unread<B>(Option<oneshot::Receiver<(B, bool)>>);

impl<B: Body + Unpin> Unread<B> {
    /// The longest that the rest of a body is waited for.
    const LONGEST: Duration = Duration::from_secs(5);
    /// The most bytes of it.
    const MOST: usize = 64 << 20;

    /// Reads what is left and forgets it. Where the client `waits` to be told to continue, and was not,
    /// there is nothing to read. Where somebody still reads, it is given back for later.
    pub async fn discard(mut self, waits: bool) -> Result<(), Self> {
        match self.0.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Ok(left)) => Self::take(left, waits).await,
            Some(Err(oneshot::error::TryRecvError::Empty)) => return Err(self),
            Some(Err(oneshot::error::TryRecvError::Closed)) | None => {}
        }
        Ok(())
    }

    /// Whether there may be anything.
    pub fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// The same once nobody reads any more: while an answer is on its way already.
    pub async fn discard_later(self, waits: bool) {
        let Some(left) = self.0 else { return };
        if let Ok(left) = left.await {
            Self::take(left, waits).await;
        }
    }

    async fn take((mut body, begun): (B, bool), waits: bool) {
        if waits && !begun {
            return;
        }
        let mut bytes = 0;
        let reading = async {
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, bytes::Buf::remaining);
                if bytes > Self::MOST {
                    return;
                }
            }
        };
        // A body that does not end is its client's loss: the connection ends behind the answer.
        let _ = tokio::time::timeout(Self::LONGEST, reading).await;
    }
}

/// A stream whose bytes are noted.
pub struct Watched<S> {
    stream: S,
    /// So many reads were done in this turn.
    reads: u32,
    activity: Arc<Activity>,
    look: Look,
}

impl<S> Watched<S> {
    /// Notes what happens on `stream` in `activity`.
    pub fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, reads: 0, activity, look: Look::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // A flood of HTTP/2 frames must not keep others from their turn: h2 takes all there are in one, and one read may
        // bring hundreds.
        if self.reads >= READS && !self.activity.looks {
            self.reads = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.reads = if result.is_ready() { self.reads.saturating_add(1) } else { 0 };
        let read = buffer.filled().get(before..).unwrap_or_default();
        if self.activity.looks && !read.is_empty() {
            self.activity.read();
            let Self { look, activity, .. } = &mut *self;
            look.at(read, |doubt| {
                let mut heads = activity.heads.lock().unwrap_or_else(PoisonError::into_inner);
                heads.push_back(doubt);
                heads.len() < MOST_HEADS
            });
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
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
        if matches!(result, Poll::Ready(Ok(length)) if self.activity.looks || length >= PIECE) {
            self.activity.wrote();
        }
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
