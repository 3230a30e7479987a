//! Bodies of HTTP/2 requests between the wire and whoever reads them.
//!
//! What a client may send before anybody reads it is one window per stream, and a window that is wide enough for a long way is
//! wide enough to fill memory by the hundred. So each body is taken off the wire as it comes, into a few pieces that are counted;
//! where nobody takes these, the body stands still, and the whole window that may then fill is counted as well. The window of the
//! connection has room for all its streams, so that those that stand still stop no other. It refuses to hold what there is no
//! room for: such a body breaks off, and its request is answered with 503.

use super::body::{Room, Taken};
use super::outgoing::Broken;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc::{self, error::TrySendError};

/// So many bytes may wait on a stream: at 100 ms to the client and back, ten such windows a second.
pub(super) const STREAM_WINDOW: u32 = 1 << 20;
/// The most streams of a connection.
pub(super) const STREAMS: u32 = 100;
/// And so many bytes on all of them.
pub(super) const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;
/// The same as [`STREAM_WINDOW`], to be counted.
const WINDOW: usize = 1 << 20;
/// So many bytes of each connection find room whatever others do.
const OWN: usize = 128 << 10;
/// So many are there for all connections together, beyond that.
const COMMON: usize = 512 << 20;
/// So many pieces of a body, of 16 KiB at most, wait for their reader before it stands still.
const PIECES: usize = 4;

/// The room that all connections share.
pub(super) fn common_room() -> Arc<Room> {
    Room::new(COMMON)
}

/// The room of one connection.
pub(super) struct Stock {
    own: Arc<Room>,
    common: Arc<Room>,
}

/// There was no room for a body that nobody read.
#[derive(Debug)]
pub(super) struct NoRoom;

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too much waits to be read")
    }
}

impl std::error::Error for NoRoom {}

/// The body of a request, in either version of HTTP.
pub enum Received {
    /// As hyper gives it.
    Direct(Incoming),
    /// By way of what was taken off the wire.
    Stocked(Stocked),
}

/// A body that is taken off the wire as it comes.
pub struct Stocked {
    pieces: mpsc::Receiver<Piece>,
    end: Arc<OnceLock<End>>,
    /// The last piece was read.
    ended: bool,
    /// Of what was not read yet.
    hint: SizeHint,
}

struct Piece {
    frame: Result<Frame<Bytes>, Broken>,
    /// None follows.
    last: bool,
    _taken: Taken,
}

/// Why no piece follows.
enum End {
    Whole,
    NoRoom,
}

impl Stock {
    /// For a new connection.
    pub(super) fn new(common: &Arc<Room>) -> Arc<Self> {
        Arc::new(Self { own: Room::new(OWN), common: Arc::clone(common) })
    }

    /// Takes a body off the wire from now on.
    pub(super) fn receive(self: &Arc<Self>, body: Incoming) -> Received {
        if body.is_end_stream() {
            return Received::Direct(body);
        }
        Received::Stocked(self.stocked(body))
    }

    fn stocked<B>(self: &Arc<Self>, body: B) -> Stocked
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Broken> + Send,
    {
        let (sender, pieces) = mpsc::channel(PIECES);
        let end = Arc::new(OnceLock::new());
        let hint = body.size_hint();
        tokio::spawn(Arc::clone(self).carry(body, sender, Arc::clone(&end)));
        Stocked { pieces, end, ended: false, hint }
    }

    /// Carries pieces from the wire to their reader, until it is gone.
    async fn carry<B>(self: Arc<Self>, mut body: B, pieces: mpsc::Sender<Piece>, end: Arc<OnceLock<End>>)
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<Broken>,
    {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = pieces.closed() => return,
            };
            let Some(frame) = frame else {
                let _ = end.set(End::Whole);
                return;
            };
            let length = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            let taken = Taken::some(&self.own, length).or_else(|| Taken::some(&self.common, length));
            let Some(taken) = taken else {
                let _ = end.set(End::NoRoom);
                return;
            };
            let last = frame.is_err() || body.is_end_stream();
            let piece = Piece { frame: frame.map_err(Into::into), last, _taken: taken };
            let sent = match pieces.try_send(piece) {
                Err(TrySendError::Full(piece)) => {
                    // A reader that is there needs its turn, and no room.
                    tokio::task::yield_now().await;
                    pieces.try_send(piece)
                }
                sent => sent,
            };
            match sent {
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return,
                Err(TrySendError::Full(piece)) => {
                    let Some(_window) = Taken::some(&self.common, WINDOW) else {
                        let _ = end.set(End::NoRoom);
                        return;
                    };
                    if pieces.send(piece).await.is_err() {
                        return;
                    }
                }
            }
            if last {
                let _ = end.set(End::Whole);
                return;
            }
        }
    }
}

impl Body for Stocked {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_recv(cx));
        self.ended = piece.as_ref().is_none_or(|piece| piece.last);
        let Some(Piece { frame, .. }) = piece else {
            // What nobody said the end of never looks whole.
            return Poll::Ready(match self.end.get() {
                Some(End::Whole) => None,
                Some(End::NoRoom) => Some(Err(Box::new(NoRoom))),
                None => Some(Err("the body broke off".into())),
            });
        };
        let length = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let mut rest = SizeHint::new();
        rest.set_lower(self.hint.lower().saturating_sub(length));
        if let Some(upper) = self.hint.upper() {
            rest.set_upper(upper.saturating_sub(length));
        }
        self.hint = rest;
        Poll::Ready(Some(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Received::Direct(body) => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Received::Stocked(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Received::Direct(body) => body.is_end_stream(),
            Received::Stocked(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Received::Direct(body) => body.size_hint(),
            Received::Stocked(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    const PIECE: usize = 16 << 10;

    /// So many pieces are still to come.
    struct Pieces(Arc<AtomicUsize>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0.load(SeqCst) == 0 {
                return Poll::Ready(None);
            }
            self.0.fetch_sub(1, SeqCst);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; PIECE])))))
        }
    }

    fn body(stock: &Arc<Stock>, pieces: usize) -> (Stocked, Arc<AtomicUsize>) {
        let left = Arc::new(AtomicUsize::new(pieces));
        (stock.stocked(Pieces(Arc::clone(&left))), left)
    }

    async fn settled() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    #[tokio::test]
    async fn everything_arrives_and_everything_is_given_back() {
        let common = Room::new(2 * WINDOW);
        let stock = Stock::new(&common);
        let (body, left) = body(&stock, 100);
        settled().await;
        assert_eq!(left.load(SeqCst), 100 - PIECES - 1, "it stands still");
        assert_eq!((stock.own.free(), common.free()), (OWN - (PIECES + 1) * PIECE, WINDOW), "and is counted");
        assert_eq!(body.collect().await.expect("a body").to_bytes().len(), 100 * PIECE);
        settled().await;
        assert_eq!((stock.own.free(), common.free()), (OWN, 2 * WINDOW));
        // And of what nobody reads to its end.
        let (body, _) = super::tests::body(&stock, 100);
        settled().await;
        drop(body);
        settled().await;
        assert_eq!((stock.own.free(), common.free()), (OWN, 2 * WINDOW));
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_breaks_off() {
        let common = Room::new(WINDOW);
        let stock = Stock::new(&common);
        let (first, _) = body(&stock, 100);
        settled().await;
        let (second, _) = body(&stock, 100);
        settled().await;
        let failed = second.collect().await.expect_err("no room");
        assert!(failed.is::<NoRoom>(), "{failed}");
        // What is short needs no more room than its own; and so on another connection.
        for stock in [&stock, &Stock::new(&common)] {
            let (short, _) = body(stock, 1);
            assert_eq!(short.collect().await.expect("a body").to_bytes().len(), PIECE);
        }
        assert_eq!(first.collect().await.expect("a body").to_bytes().len(), 100 * PIECE);
    }
}
