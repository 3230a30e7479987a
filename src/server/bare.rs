//! The one answer that is not ours: hyper's to a head that it cannot parse, which has a status and no body, and for which it
//! has no hook. Recognised as it is written, and said as every other refusal is (RFC 7644 3.12). It refuses to touch
//! anything else: every answer of the service has a Content-Type or headers that hyper's has not. Where an answer was streamed
//! a piece of its body may look like anything, so on such a connection hyper's words stay as they are.

use super::watch::Activity;
use crate::scim::Error;
use bytes::{Buf, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection of HTTP/1.1 on which hyper's own refusals are written as ours.
pub(super) struct Spoken<S> {
    stream: S,
    activity: Arc<Activity>,
    /// What is still to be written in place of an answer of hyper's own.
    instead: Bytes,
    /// It became a tunnel: what is written is not hyper's any more.
    tunnel: bool,
}

impl<S> Spoken<S> {
    /// Over `stream`, of which `activity` knows.
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, instead: Bytes::new(), tunnel: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Spoken<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> Spoken<S> {
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
        self.tunnel |= bytes.starts_with(b"HTTP/1.1 101 ");
        if self.tunnel || self.activity.streamed() {
            return None;
        }
        self.instead = instead_of(bytes)?;
        self.activity.linger();
        // What does not go out at once does before the flush is done.
        match self.poll_instead(cx) {
            Poll::Ready(Err(error)) => Some(Err(error)),
            _ => Some(Ok(bytes.len())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Spoken<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
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
        if let [first, rest @ ..] = pieces
            && rest.is_empty()
            && let Some(replaced) = self.replaced(cx, first)
        {
            return Poll::Ready(replaced);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What to write instead of `written`, if that is such an answer and nothing else.
fn instead_of(written: &[u8]) -> Option<Bytes> {
    let head = std::str::from_utf8(written.strip_suffix(b"\r\n\r\n")?).ok()?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next()?;
    let (version, status) = status_line.split_once(' ')?;
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return None;
    }
    let status: u16 = status.split(' ').next()?.parse().ok()?;
    let detail = match status {
        400 => "the request is not HTTP/1.1: its first line or a header cannot be read",
        414 => "the URL is too long",
        431 => "the headers are too large, or too many",
        _ => return None,
    };
    let mut date = "";
    for line in lines {
        match line.split_once(": ")? {
            ("content-length", "0") | ("connection", _) => {}
            ("date", _) => date = line,
            _ => return None,
        }
    }
    let body = Error::new(status, detail).to_json().to_string();
    let date = if date.is_empty() { String::new() } else { format!("{date}\r\n") };
    Some(Bytes::from(format!(
        "{status_line}\r\ncontent-type: application/scim+json\r\ncache-control: private, no-cache\r\n{date}connection: close\r\n\
         content-length: {length}\r\n\r\n{body}",
        length = body.len(),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognised() {
        let bare = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sun, 22 Nov 2026 05:00:00 GMT\r\n\r\n";
        let instead = instead_of(bare.as_bytes()).expect("an answer");
        let text = String::from_utf8(instead.to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a body");
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{head}");
        assert!(head.contains("date: Sun, 22 Nov 2026 05:00:00 GMT") && head.contains("connection: close"), "{head}");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["status"], "431");
        for other in [
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/scim+json\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "\r\n\r\n",
            "",
        ] {
            assert_eq!(instead_of(other.as_bytes()), None, "{other:?}");
        }
    }
}
