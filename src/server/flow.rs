//! Streamed answers on the streams of an HTTP/2 connection, let go where their client does not take them.
//!
//! A client of HTTP/1.1 that does not read is idle, and its connection ends. On HTTP/2 one stream may stand still while
//! another keeps the connection alive, and nobody asks a body for more until its last piece found room: what the body holds,
//! such as a connection to the application, would be held for ever. So there is a clock beside it. It cannot end the stream
//! itself, which is hyper's: too many of them end the connection ([`super::watch`]).

use super::outgoing::{Broken, Streamed};
use super::watch::Activity;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// A piece is no longer, in bytes: who takes one within the limit, however slowly, is waited for; and it is the most that is
/// kept of a body that was let go.
const PIECE: usize = 16 << 10;

/// A body that is let go.
pub(super) struct Flow {
    inner: Arc<Mutex<Inner>>,
    limit: Duration,
    activity: Arc<Activity>,
    /// The clock, where it was needed.
    clock: Option<AbortHandle>,
}

struct Inner {
    /// There until it is let go.
    body: Option<Streamed>,
    /// What is left of the piece at hand.
    rest: Bytes,
    /// Since when there is something for the client to take.
    offered: Option<Instant>,
}

impl Flow {
    /// Lets `body` go once its client took nothing of it for `limit`.
    pub(super) fn new(body: Streamed, limit: Duration, activity: Arc<Activity>) -> Self {
        let inner = Inner { body: Some(body), rest: Bytes::new(), offered: None };
        Self { inner: Arc::new(Mutex::new(inner)), limit, activity, clock: None }
    }
}

fn lock(inner: &Mutex<Inner>) -> MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.as_ref().is_some_and(|body| body.is_end_stream())
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Self { inner: shared, limit, activity, clock } = &mut *self;
        let mut guard = lock(shared);
        let inner = &mut *guard;
        inner.offered = None;
        let Some(body) = &mut inner.body else {
            return Poll::Ready(Some(Err("the client took nothing of it for too long".into())));
        };
        if inner.rest.is_empty() {
            match ready!(body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => inner.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = inner.rest.split_to(inner.rest.len().min(PIECE));
        if !inner.is_end_stream() {
            inner.offered = Some(Instant::now());
            clock.get_or_insert_with(|| {
                tokio::spawn(watch(Arc::downgrade(shared), *limit, Arc::clone(activity))).abort_handle()
            });
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = lock(&self.inner);
        let rest = u64::try_from(inner.rest.len()).unwrap_or(u64::MAX);
        let body = inner.body.as_ref().map(|body| body.size_hint()).unwrap_or_default();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if let Some(clock) = &self.clock {
            clock.abort();
        }
        let mut inner = lock(&self.inner);
        inner.offered = None;
        if inner.body.is_none() {
            self.activity.stands_no_more();
        }
    }
}

/// Waits until nothing was taken for `limit`, and lets the body go.
async fn watch(inner: Weak<Mutex<Inner>>, limit: Duration, activity: Arc<Activity>) {
    loop {
        let until = {
            let Some(inner) = inner.upgrade() else { return };
            let mut inner = lock(&inner);
            let until = inner.offered.unwrap_or_else(Instant::now) + limit;
            if until <= Instant::now() {
                inner.rest = Bytes::new();
                activity.stands_still();
                let body = inner.body.take();
                drop(inner);
                drop(body);
                metrics::counter!("scimshim_upstream_failures_total", "kind" => "client").increment(1);
                tracing::info!(?limit, "a client took nothing of an answer for too long");
                return;
            }
            until
        };
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::watch::Patience;
    use super::*;
    use http_body_util::BodyExt;

    const LIMIT: Duration = Duration::from_millis(400);

    /// A body of so many bytes and trailers, which says when it is gone.
    struct Pieces(Vec<Frame<Bytes>>, #[expect(dead_code, reason = "counted")] Arc<()>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Broken;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
            Poll::Ready(self.0.pop().map(Ok))
        }
    }

    fn flow(length: usize, activity: &Arc<Activity>) -> (Flow, Arc<()>) {
        let alive = Arc::new(());
        let frames = vec![Frame::trailers(hyper::HeaderMap::new()), Frame::data(Bytes::from(vec![b'x'; length]))];
        let body = Pieces(frames, Arc::clone(&alive));
        (Flow::new(Box::pin(body), LIMIT, Arc::clone(activity)), alive)
    }

    #[tokio::test]
    async fn whoever_takes_is_waited_for() {
        let activity = Activity::new(false);
        let (mut body, alive) = flow(5 * PIECE + 1, &activity);
        let mut sizes = Vec::new();
        while let Some(frame) = body.frame().await {
            sizes.push(frame.expect("not let go").into_data().map_or(0, |data| data.len()));
            tokio::time::sleep(LIMIT / 2).await;
        }
        assert_eq!(sizes, [PIECE, PIECE, PIECE, PIECE, PIECE, 1, 0]);
        // What ended waits for nobody.
        tokio::time::sleep(LIMIT * 2).await;
        assert_eq!(Arc::strong_count(&alive), 2);
    }

    #[tokio::test]
    async fn whoever_does_not_take_is_not() {
        let activity = Activity::new(false);
        let patience = Patience { headers: LIMIT * 100, idle: LIMIT * 100 };
        let mut standing = Vec::new();
        for n in 1..=8 {
            assert!(!activity.is_over(&patience), "before the {n}th");
            let (mut body, alive) = flow(2 * PIECE, &activity);
            body.frame().await.expect("a piece").expect("not let go");
            standing.push((body, alive));
            if n == 7 {
                tokio::time::sleep(LIMIT * 2).await;
                assert!(standing.iter().all(|(_, alive)| Arc::strong_count(alive) == 1), "let go");
            }
        }
        assert!(!activity.is_over(&patience));
        tokio::time::sleep(LIMIT * 2).await;
        assert!(activity.is_over(&patience), "too many on one connection");
        let (mut one, _) = standing.pop().expect("one of them");
        assert!(one.frame().await.expect("an end").is_err(), "half of it never looks whole");
        drop(one);
        assert!(!activity.is_over(&patience));
    }
}
