//! Request bodies: read whole, after authentication, within a size and without long pauses.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use std::time::Duration;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is longer than the limit (413).
    TooLarge,
    /// The client paused too long (408).
    TooSlow,
    /// The connection broke off, or the framing is wrong (400).
    Broken,
}

/// Reads a body of at most `limit` bytes, waiting at most `idle` for each part of it.
pub async fn read<B>(body: &mut B, limit: usize, idle: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
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
            Ok(Some(Err(_))) => return Err(BodyError::Broken),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > limit {
            return Err(BodyError::TooLarge);
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
        assert_eq!(read(&mut Full::new(Bytes::from_static(b"{}")), 2, idle).await.unwrap(), "{}");
        assert_eq!(read(&mut Full::new(Bytes::from_static(b"{ }")), 2, idle).await, Err(BodyError::TooLarge));
        assert_eq!(read(&mut Full::new(Bytes::new()), 2, idle).await.unwrap(), "");
        assert_eq!(read(&mut Pieces(vec!["a", "b", "c"], false), 3, idle).await.unwrap(), "abc");
        assert_eq!(read(&mut Pieces(vec!["a", "b", "c"], false), 2, idle).await, Err(BodyError::TooLarge));
        assert_eq!(read(&mut Pieces(vec!["a"], true), 2, idle).await, Err(BodyError::TooSlow));
    }
}
