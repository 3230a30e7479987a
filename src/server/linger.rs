//! The end of a connection whose client may still be sending, after a refusal that did not wait for the rest of the request:
//! a socket that is closed with bytes unread resets the connection, and the refusal is lost on its way (RFC 9112 9.6). So its
//! writing half is closed, and what comes is read and forgotten until the client has closed its own, within bounds. It
//! refuses to wait on any other connection.

use super::watch::Activity;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long the client is waited for.
const LONGEST: Duration = Duration::from_secs(2);
/// The most bytes that are read for it.
const MOST: usize = 4 << 20;
/// So many of them at once.
const PIECE: usize = 8 << 10;

/// A stream that stays after its shutdown, where `activity` says so.
pub(super) struct Lingering<S> {
    stream: S,
    activity: Arc<Activity>,
    /// From when its writing half is closed.
    until: Option<Pin<Box<Sleep>>>,
    read: usize,
}

impl<S> Lingering<S> {
    /// Over `stream`, of which `activity` knows.
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, until: None, read: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, activity, until, read } = &mut *self;
        if until.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            if !activity.lingers() {
                return Poll::Ready(Ok(()));
            }
        }
        let until = until.get_or_insert_with(|| Box::pin(tokio::time::sleep(LONGEST)));
        let mut piece = [0; PIECE];
        while *read < MOST && until.as_mut().poll(cx).is_pending() {
            let mut piece = ReadBuf::new(&mut piece);
            // Whoever is gone needs no answer.
            let gone = ready!(Pin::new(&mut *stream).poll_read(cx, &mut piece)).is_err();
            if gone || piece.filled().is_empty() {
                break;
            }
            *read += piece.filled().len();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::Instant;

    fn ends() -> (Lingering<DuplexStream>, DuplexStream, Arc<Activity>) {
        let (ours, theirs) = duplex(16 << 10);
        let activity = Activity::new(true);
        (Lingering::new(ours, Arc::clone(&activity)), theirs, activity)
    }

    #[tokio::test]
    async fn who_was_answered_whole_is_not_waited_for() {
        let (mut ours, _theirs, _) = ends();
        let began = Instant::now();
        ours.shutdown().await.expect("closed");
        assert!(began.elapsed() < LONGEST / 2);
    }

    #[tokio::test]
    async fn who_still_sends_is_read_to_the_end() {
        let (mut ours, mut theirs, activity) = ends();
        activity.linger();
        let sends = tokio::spawn(async move {
            theirs.write_all(&vec![b'x'; 100_000]).await.expect("nobody hangs up");
            let mut answer = String::new();
            theirs.read_to_string(&mut answer).await.expect("the answer");
            answer
        });
        ours.write_all(b"431").await.expect("written");
        ours.shutdown().await.expect("closed");
        assert_eq!(ours.read, 100_000);
        assert_eq!(sends.await.expect("a client"), "431");
    }

    #[tokio::test]
    async fn but_not_for_ever() {
        let (mut ours, _theirs, activity) = ends();
        activity.linger();
        let began = Instant::now();
        ours.shutdown().await.expect("closed");
        assert!(began.elapsed() >= LONGEST, "{:?}", began.elapsed());

        let (mut ours, mut theirs, activity) = ends();
        activity.linger();
        let sends = tokio::spawn(async move { while theirs.write_all(&[b'x'; PIECE]).await.is_ok() {} });
        ours.shutdown().await.expect("closed");
        assert!(ours.read < MOST + PIECE, "{}", ours.read);
        drop(ours);
        sends.await.expect("it hears of it");
    }
}
