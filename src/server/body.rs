//! Request bodies: read whole, after authentication, within a size and without long pauses, and only as many at once as
//! there is room for.

use super::outgoing::Broken;
use super::stock::NoRoom;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than the limit (413).
    TooLarge,
    /// The client paused too long (408).
    TooSlow,
    /// Other requests have taken the room that there is for bodies (503).
    NoRoom,
    /// The connection broke off, or the framing is wrong (400).
    Broken,
}

/// The room for the bodies of all requests together, in bytes.
#[derive(Debug)]
pub struct Room {
    free: AtomicUsize,
}

/// What one request has of it, until dropped.
#[derive(Debug)]
pub struct Taken {
    room: Arc<Room>,
    bytes: usize,
}

impl Room {
    /// For bodies of so many bytes in all.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { free: AtomicUsize::new(bytes) })
    }

    /// How much of it is free.
    #[cfg(test)]
    pub fn free(&self) -> usize {
        self.free.load(Relaxed)
    }
}

impl Taken {
    /// Nothing yet.
    pub fn of(room: &Arc<Room>) -> Self {
        Self { room: Arc::clone(room), bytes: 0 }
    }

    /// So many bytes, where there are so many.
    pub fn some(room: &Arc<Room>, bytes: usize) -> Option<Self> {
        let mut taken = Self::of(room);
        taken.take(bytes).then_some(taken)
    }

    /// Takes more; false where there is not so much.
    fn take(&mut self, bytes: usize) -> bool {
        let taken = self.room.free.fetch_update(Relaxed, Relaxed, |free| free.checked_sub(bytes)).is_ok();
        if taken {
            self.bytes += bytes;
        }
        taken
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.free.fetch_add(self.bytes, Relaxed);
    }
}

/// Reads a body of at most `limit` bytes, waiting at most `idle` for each part of it, as far as there is room.
pub async fn read<B>(body: &mut B, limit: usize, idle: Duration, taken: &mut Taken) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Broken>,
{
    // What the client announces need not be read to be refused.
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(BodyError::TooLarge);
    }
    let mut first: Option<Bytes> = None;
    let mut rest = BytesMut::new();
    let mut length = 0_usize;
    loop {
        let frame = match tokio::time::timeout(idle, body.frame()).await {
            Err(_) => return Err(BodyError::TooSlow),
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                let no_room = error.into().is::<NoRoom>();
                return Err(if no_room { BodyError::NoRoom } else { BodyError::Broken });
            }
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > limit {
            return Err(BodyError::TooLarge);
        }
        if !taken.take(data.len()) {
            return Err(BodyError::NoRoom);
        }
        // Most bodies come in one piece and are not copied.
        match &first {
            None => first = Some(data),
            Some(head) => {
                if rest.is_empty() {
                    rest.extend_from_slice(head);
                }
                rest.extend_from_slice(&data);
            }
        }
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.freeze() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use hyper::body::Frame;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// Gives its pieces, then stops for ever or ends.
    struct Pieces(Vec<&'static str>, bool);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.0.is_empty() {
                return if self.1 { Poll::Pending } else { Poll::Ready(None) };
            }
            let piece = self.0.remove(0);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
        }
    }

    #[tokio::test]
    async fn bodies() {
        let idle = Duration::from_millis(20);
        let room = Room::new(9);
        let mut taken = Taken::of(&room);
        let taken = &mut taken;
        assert_eq!(read(&mut Full::new(Bytes::from_static(b"{}")), 2, idle, taken).await.unwrap(), "{}");
        assert_eq!(read(&mut Full::new(Bytes::from_static(b"{ }")), 2, idle, taken).await, Err(BodyError::TooLarge));
        assert_eq!(read(&mut Full::new(Bytes::new()), 2, idle, taken).await.unwrap(), "");
        assert_eq!(read(&mut Pieces(vec!["a", "b", "c"], false), 3, idle, taken).await.unwrap(), "abc");
        assert_eq!(read(&mut Pieces(vec!["a", "b", "c"], false), 2, idle, taken).await, Err(BodyError::TooLarge));
        assert_eq!(read(&mut Pieces(vec!["a"], true), 2, idle, taken).await, Err(BodyError::TooSlow));

        // Eight of the nine bytes are taken: two of "{}", three, two and one of what failed.
        assert_eq!(room.free.load(Relaxed), 1);
        let mut another = Taken::of(&room);
        assert_eq!(read(&mut Pieces(vec!["a", "b"], false), 3, idle, &mut another).await, Err(BodyError::NoRoom));
        drop(another);
        assert_eq!(room.free.load(Relaxed), 1, "what failed gives back what it took");
    }
}
