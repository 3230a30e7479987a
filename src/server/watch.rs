//! A watch on one connection: how long a client may take for its headers, how long it may hold a
//! connection that does nothing, and what of a head cannot be seen any more once hyper has read it.
//!
//! And an answer of hyper's own is said as ours are (`bare.rs`); and a body that was answered without
//! being read is taken off the wire, so that the answer arrives.
//!
//! hyper's own header timeout covers the idle time too, makes a timer for each request, and knows
//! nothing of a response that nobody reads. One timer a connection, and the times of the last bytes,
//! do all three. And hyper takes a bare LF for a line end where another parser may not, and drops a
//! Content-Length beside a Transfer-Encoding, so heads are looked at as they come in.

use super::bare;
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
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
    /// What is read next belongs to a head.
    in_head: AtomicBool,
    /// What is wrong with the head at hand: 1 and 2 stand for a [`Doubt`], 0 for nothing.
    doubt: AtomicU8,
    /// The body at hand was read to its end.
    body_read: AtomicBool,
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
            in_head: AtomicBool::new(true),
            doubt: AtomicU8::new(0),
            body_read: AtomicBool::new(false),
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }

    /// A request was handed over; dropping the guard is its answer.
    pub fn request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.requests.fetch_add(1, Relaxed);
        self.head_began.store(0, Relaxed);
        self.in_head.store(false, Relaxed);
        self.body_read.store(false, Relaxed);
        InFlight(Arc::clone(self))
    }

    /// A body came to its end: what follows is the next head. After a body that was left unread it is
    /// not known where that begins, and nothing is looked at any more.
    fn body_ended(&self) {
        self.body_read.store(true, Relaxed);
        if self.in_flight.load(Relaxed) == 0 {
            self.in_head.store(true, Relaxed);
        }
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

/// What two parsers could read in two ways, and hyper does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A line of the head ended in LF alone.
    BareLineFeed,
    /// The head has a Content-Length and a Transfer-Encoding.
    TwoLengths,
}

/// A request that is being answered.
pub struct InFlight(Arc<Activity>);

impl InFlight {
    /// What makes its head doubtful.
    pub fn doubt(&self) -> Option<Doubt> {
        match self.0.doubt.swap(0, Relaxed) {
            0 => None,
            1 => Some(Doubt::BareLineFeed),
            _ => Some(Doubt::TwoLengths),
        }
    }

    /// Notes when the body comes to its end, and keeps what of it nobody read.
    pub fn note<B: Body + Unpin>(&self, body: B) -> (Noted<B>, Unread<B>) {
        if body.is_end_stream() {
            self.0.body_ended();
        }
        let unread = Unread(Arc::default());
        let body = Some(body);
        (Noted { body, begun: false, unread: Arc::clone(&unread.0), activity: Arc::clone(&self.0) }, unread)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.wrote();
        self.0.in_flight.fetch_sub(1, Relaxed);
        if self.0.body_read.load(Relaxed) {
            self.0.in_head.store(true, Relaxed);
        }
    }
}

/// A body whose end is noted.
pub struct Noted<B: Body + Unpin> {
    /// There until this is dropped.
    body: Option<B>,
    /// Some of it was asked for.
    begun: bool,
    unread: Arc<Mutex<Option<(B, bool)>>>,
    activity: Arc<Activity>,
}

impl<B: Body + Unpin> Body for Noted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        let ended = match &frame {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            _ => false,
        };
        self.begun = true;
        if ended {
            self.activity.body_ended();
        }
        frame
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
        let left = self.body.take().filter(|body| !body.is_end_stream()).map(|body| (body, self.begun));
        *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }
}

/// What nobody read of a body.
///
/// A client that still sends its body while the connection ends under it sees a broken connection, and
/// not the 401 or 413 that was its answer: HTTP/1.1 has no other way to say "enough" than to take the
/// rest (RFC 9112 9.6). Within bounds: the connection of who sends for longer is closed.
pub struct Unread<B>(Arc<Mutex<Option<(B, bool)>>>);

impl<B: Body + Unpin> Unread<B> {
    /// The longest that the rest of a body is waited for.
    const LONGEST: Duration = Duration::from_secs(5);
    /// The most bytes of it.
    const MOST: usize = 64 << 20;

    /// Reads what is left and forgets it. Where the client `waits` to be told to continue, and was not,
    /// there is nothing to read.
    pub async fn discard(self, waits: bool) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((mut body, begun)) = left else { return };
        if waits && !begun {
            return;
        }
        let mut bytes = 0;
        let reading = async {
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, Buf::remaining);
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
    activity: Arc<Activity>,
    /// HTTP/2 has frames that belong to no request: only requests count there.
    notes_reads: bool,
    head: Head,
    /// What is still to be written in place of an answer of hyper's own.
    instead: Bytes,
}

/// How far the lines of a head were looked at.
#[derive(Default)]
struct Head {
    /// The byte before.
    previous: u8,
    /// The line at hand has something in it.
    line: bool,
    /// Some line had.
    any: bool,
    /// The name of the field at hand, as far as it may be one of those looked for.
    name: [u8; 17],
    /// How much of it is there; more than it can hold where it is none of them.
    length: usize,
    /// There was a Content-Length.
    content_length: bool,
    /// There was a Transfer-Encoding.
    transfer_encoding: bool,
}

impl Head {
    /// Looks at more bytes of a head: whether it ended with them, and what is doubtful in them.
    fn look(&mut self, bytes: &[u8]) -> (bool, Option<Doubt>) {
        let mut doubt = None;
        for &byte in bytes {
            match byte {
                b'\n' => {
                    if self.previous != b'\r' {
                        doubt = Some(Doubt::BareLineFeed);
                    }
                    if !self.line && self.any {
                        if self.content_length && self.transfer_encoding {
                            doubt = doubt.or(Some(Doubt::TwoLengths));
                        }
                        *self = Self::default();
                        return (true, doubt);
                    }
                    (self.line, self.length) = (false, 0);
                }
                b'\r' => {}
                b':' if self.length <= self.name.len() => {
                    let name = self.name.get(..self.length).unwrap_or_default();
                    self.content_length |= name.eq_ignore_ascii_case(b"content-length");
                    self.transfer_encoding |= name.eq_ignore_ascii_case(b"transfer-encoding");
                    self.length = usize::MAX;
                }
                _ => {
                    (self.line, self.any) = (true, true);
                    if let Some(place) = self.name.get_mut(self.length) {
                        *place = byte;
                    }
                    self.length = self.length.saturating_add(1);
                }
            }
            self.previous = byte;
        }
        (false, doubt)
    }
}

impl<S> Watched<S> {
    /// Notes what happens on `stream` in `activity`.
    pub fn new(stream: S, activity: Arc<Activity>, notes_reads: bool) -> Self {
        Self { stream, activity, notes_reads, head: Head::default(), instead: Bytes::new() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let read = buffer.filled().get(before..).unwrap_or_default();
        if self.notes_reads && !read.is_empty() {
            self.activity.read();
            if self.activity.in_head.load(Relaxed) {
                let (ended, doubt) = self.head.look(read);
                match doubt {
                    Some(Doubt::BareLineFeed) => self.activity.doubt.store(1, Relaxed),
                    Some(Doubt::TwoLengths) => self.activity.doubt.store(2, Relaxed),
                    None => {}
                }
                if ended {
                    self.activity.in_head.store(false, Relaxed);
                }
            }
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> Watched<S> {
    /// Writes what is to be said in place of hyper's own words.
    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.instead))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.instead.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Takes an answer of hyper's own for written, and writes ours; `None` for everything else.
    fn replaced(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Option<io::Result<usize>> {
        self.instead = bare::instead_of(bytes).filter(|_| self.notes_reads)?;
        self.activity.wrote();
        // What does not go out at once does before the flush is done.
        match self.poll_instead(cx) {
            Poll::Ready(Err(error)) => Some(Err(error)),
            _ => Some(Ok(bytes.len())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if let Some(replaced) = self.replaced(cx, bytes) {
            return Poll::Ready(replaced);
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if self.notes_reads && result.is_ready() {
            self.activity.wrote();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        // A head without a body is one piece.
        if let [only] = pieces
            && let Some(replaced) = self.replaced(cx, only)
        {
            return Poll::Ready(replaced);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        const LF: Option<Doubt> = Some(Doubt::BareLineFeed);
        const TWO: Option<Doubt> = Some(Doubt::TwoLengths);
        for (head, ended, doubt) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, None),
            ("\r\nGET / HTTP/1.1\r\n\r\n", true, None),
            ("GET / HTTP/1.1\r\n\r\n{\n}", true, None),
            ("GET / HTTP/1.1\r\nHost: a\r\n", false, None),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", true, LF),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", true, LF),
            ("GET / HTTP/1.1\n\n", true, LF),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n", true, None),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", true, None),
            ("POST / HTTP/1.1\r\nX: Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", true, None),
            ("POST / HTTP/1.1\r\ncontent-length: 1\r\nTRANSFER-ENCODING: chunked\r\n\r\n", true, TWO),
        ] {
            assert_eq!(Head::default().look(head.as_bytes()), (ended, doubt), "{head:?}");
            // The same in pieces.
            let mut pieces = Head::default();
            let mut seen = (false, None);
            for byte in head.as_bytes().chunks(1) {
                let (ended, doubt) = pieces.look(byte);
                seen = (ended, seen.1.or(doubt));
                if ended {
                    break;
                }
            }
            assert_eq!(seen, (ended, doubt), "{head:?} in pieces");
        }
    }
}
