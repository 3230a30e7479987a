//! After an upgrade: bytes both ways, until one side ends it, both are silent, or the service stops.

use super::super::listener::Stay;
use super::places::Place;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};
use tokio::time::Instant;

/// How long the end of a tunnel may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a tunnel is made of.
pub(super) struct Tunnel {
    /// The client's connection, once its answer was sent.
    pub(super) client: OnUpgrade,
    /// The upstream's.
    pub(super) upstream: OnUpgrade,
    /// The longest silence.
    pub(super) idle: Duration,
    /// The client's place among the connections.
    pub(super) stay: Stay,
    /// The place among the requests in flight.
    pub(super) place: Place,
    /// For the log.
    pub(super) request_id: Arc<str>,
}

impl Tunnel {
    /// Carries bytes until the end.
    pub(super) async fn run(mut self) {
        let opened = tokio::time::timeout(self.idle, async { tokio::try_join!(self.client, self.upstream) }).await;
        let Ok(Ok((client, upstream))) = opened else { return };
        let gauge = metrics::gauge!("scimshim_upstream_tunnels");
        gauge.increment(1.0);
        let clock = Arc::new(Clock { began: Instant::now(), last: AtomicU64::new(0) });
        let mut client = Noting { stream: TokioIo::new(client), clock: Arc::clone(&clock) };
        let mut upstream = Noting { stream: TokioIo::new(upstream), clock: Arc::clone(&clock) };
        let why = tokio::select! {
            copied = copy_bidirectional(&mut client, &mut upstream) => copied.err().map_or("ended", |_| "broke off"),
            () = clock.silent_for(self.idle) => "silent",
            () = self.stay.ended() => "the service stops",
        };
        let farewell = async { tokio::join!(client.shutdown(), upstream.shutdown()) };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        tracing::debug!(request = &*self.request_id, why, "a tunnel ended");
        gauge.decrement(1.0);
        drop(self.place);
    }
}

struct Clock {
    began: Instant,
    /// The last byte, in milliseconds since it began.
    last: AtomicU64,
}

impl Clock {
    fn note(&self) {
        self.last.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    async fn silent_for(&self, idle: Duration) {
        loop {
            let until = self.began + Duration::from_millis(self.last.load(Relaxed)) + idle;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A stream whose bytes are noted.
struct Noting {
    stream: TokioIo<Upgraded>,
    clock: Arc<Clock>,
}

impl AsyncRead for Noting {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.clock.note();
        }
        result
    }
}

impl AsyncWrite for Noting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if result.is_ready() {
            self.clock.note();
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
