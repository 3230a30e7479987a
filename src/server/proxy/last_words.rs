//! The last words of an upstream that answers a request before it has read all of it, and closes: the answer is there, and
//! what is still written fails. HTTP gives up at the first failure to write, and the answer would be lost. So a failure to
//! write is kept back until there is nothing more to read. It refuses to hide it for longer than that.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that is read to its end before a write to it fails.
pub(super) struct LastWords<S> {
    stream: S,
    /// Why nothing can be written any more.
    failed: Option<io::ErrorKind>,
    /// Nothing more will be read.
    ended: bool,
    /// Whoever wants to write.
    writer: Option<Waker>,
}

impl<S> LastWords<S> {
    /// Over a connection that begins.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, failed: None, ended: false, writer: None }
    }

    /// What a write comes to.
    fn wrote<T>(&mut self, cx: &Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(error)) if is_farewell(error.kind()) && !self.ended => {
                self.failed = Some(error.kind());
                self.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            result => result,
        }
    }

    /// The failure that is known, or the wait for the last words.
    fn known(&mut self, cx: &Context<'_>) -> Option<Poll<io::Error>> {
        let kind = self.failed?;
        if self.ended {
            return Some(Poll::Ready(kind.into()));
        }
        self.writer = Some(cx.waker().clone());
        Some(Poll::Pending)
    }
}

/// Whether the other end closed the connection.
fn is_farewell(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl<S: AsyncRead + Unpin> AsyncRead for LastWords<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let ended = match &result {
            Poll::Ready(Ok(())) => buffer.filled().len() == before && buffer.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended {
            self.ended = true;
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LastWords<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(known) = self.known(cx) {
            return known.map(Err);
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(known) = self.known(cx) {
            return known.map(Err);
        }
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.wrote(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(known) = self.known(cx) {
            return known.map(Err);
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.wrote(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A connection whose other end says `hello` and cannot be written to any more.
    struct Closing(&'static [u8]);

    impl AsyncRead for Closing {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            buffer.put_slice(self.0);
            self.0 = b"";
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Closing {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn are_heard_before_the_failure() {
        let (mut reads, mut writes) = tokio::io::split(LastWords::new(Closing(b"hello")));
        let mut writing = tokio::spawn(async move { writes.write_all(b"x").await });
        assert!(
            tokio::time::timeout(Duration::from_millis(50), &mut writing).await.is_err(),
            "not while there is more"
        );
        let mut all = String::new();
        reads.read_to_string(&mut all).await.expect("the last words");
        assert_eq!(all, "hello");
        let failed = writing.await.expect("a task").expect_err("nobody reads it");
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionReset);
    }
}
