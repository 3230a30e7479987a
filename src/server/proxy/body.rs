//! Bodies on their way through: piece by piece, never whole, and never slower than patience allows.
//!
//! Each piece is asked for when the other side has room for it, so that a slow reader slows its writer. What is waited for
//! is known at each moment: a client that pauses is 408, an upstream that pauses 504, or a broken body once the answer began.

use super::super::listener::Stay;
use super::super::outgoing::Broken;
use super::super::stock::NoRoom;
use super::places::Place;
use super::pool::Hold;
use super::request::is_trailer;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep};

/// How an upload goes on, for whoever waits for the answer.
pub(super) struct Progress {
    began: Instant,
    /// The last piece, in milliseconds since it began.
    last: AtomicU64,
    state: AtomicU8,
    /// Nothing more is sent.
    ended: AtomicBool,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The upstream's: it reads or answers.
    Upstream,
    /// The client's: it sends.
    Client,
    /// The client paused for too long.
    ClientSlow,
    /// The client's body broke off.
    ClientBroken,
    /// Nobody's: there was no room for what the client sent while the upstream did not read.
    NoRoom,
}

const TURNS: [Turn; 5] = [Turn::Upstream, Turn::Client, Turn::ClientSlow, Turn::ClientBroken, Turn::NoRoom];

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            last: AtomicU64::new(0),
            state: AtomicU8::new(0),
            ended: AtomicBool::new(false),
        })
    }

    fn turn_to(&self, turn: Turn) {
        let state = TURNS.iter().zip(0..).find(|(known, _)| **known == turn).map_or(0, |(_, state)| state);
        self.state.store(state, Relaxed);
        self.last.store(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn turn(&self) -> Turn {
        TURNS.get(usize::from(self.state.load(Relaxed))).copied().unwrap_or(Turn::Upstream)
    }

    /// When something last happened.
    pub(super) fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last.load(Relaxed))
    }
}

/// A timer that runs while something is waited for.
struct Patience {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    runs: bool,
}

impl Patience {
    fn new(limit: Duration) -> Self {
        Self { limit, timer: None, runs: false }
    }

    fn rest(&mut self) {
        self.runs = false;
    }

    /// Ready once it was waited for too long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !std::mem::replace(&mut self.runs, true) {
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}

/// Lets an upload begin once the upstream said 100 (RFC 9110 10.1.1), or said nothing for a while.
pub(super) struct Gate(Mutex<Option<oneshot::Sender<()>>>);

impl Gate {
    pub(super) fn new() -> (Arc<Self>, oneshot::Receiver<()>) {
        let (open, opened) = oneshot::channel();
        (Arc::new(Self(Mutex::new(Some(open)))), opened)
    }

    /// Lets the body pass.
    pub(super) fn open(&self) {
        if let Some(open) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = open.send(());
        }
    }
}

/// A client's body on its way to the upstream.
pub(super) struct Upload {
    body: Option<Pin<Box<dyn Body<Data = Bytes, Error = Broken> + Send>>>,
    gate: Option<oneshot::Receiver<()>>,
    progress: Arc<Progress>,
    patience: Patience,
}

impl Upload {
    /// No body.
    pub(super) fn empty(progress: &Arc<Progress>) -> Self {
        Self { body: None, gate: None, progress: Arc::clone(progress), patience: Patience::new(Duration::ZERO) }
    }

    /// A body whose client may pause for `idle`; it waits for the gate where there is one.
    pub(super) fn new<B>(body: B, gate: Option<oneshot::Receiver<()>>, progress: &Arc<Progress>, idle: Duration) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Broken>,
    {
        let body = http_body_util::BodyExt::map_err(body, Into::into);
        Self { body: Some(Box::pin(body)), gate, progress: Arc::clone(progress), patience: Patience::new(idle) }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.progress.ended.store(true, Relaxed);
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(gate) = &mut self.gate {
            if ready!(Pin::new(gate).poll(cx)).is_err() {
                return Poll::Ready(Some(Err("the upstream answered without the body".into())));
            }
            self.gate = None;
        }
        let Self { body, progress, patience, .. } = &mut *self;
        let Some(body) = body else { return Poll::Ready(None) };
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Err(error))) => {
                progress.turn_to(if error.is::<NoRoom>() { Turn::NoRoom } else { Turn::ClientBroken });
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(frame) => {
                patience.rest();
                progress.turn_to(Turn::Upstream);
                Poll::Ready(frame.map(|frame| frame.map(without_odd_trailers)))
            }
            Poll::Pending => {
                if progress.turn() == Turn::Upstream {
                    progress.turn_to(Turn::Client);
                }
                ready!(patience.poll(cx));
                progress.turn_to(Turn::ClientSlow);
                Poll::Ready(Some(Err("the client's body came too slowly".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint())
    }
}

/// Trailers are no second head: what frames, routes or identifies stands in the head, where it was looked at.
fn without_odd_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => {
            let kept: HeaderMap = trailers
                .iter()
                .filter(|(name, _)| is_trailer(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            Frame::trailers(kept)
        }
        Err(frame) => frame,
    }
}

/// What an answer on its way holds until its end.
pub(super) struct Held {
    /// The place among the requests in flight.
    pub(super) place: Place,
    /// The upstream's connection.
    pub(super) hold: Hold,
    /// The upload that may still go on.
    pub(super) upload: Option<Arc<Progress>>,
    /// For the log.
    pub(super) request_id: Arc<str>,
}

/// The upstream's body on its way to the client.
pub(super) struct Download {
    body: Incoming,
    patience: Patience,
    /// The end of the service, where it ends the answer.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    held: Held,
}

impl Download {
    /// A body whose upstream may pause for `idle`. Where there is a `stay`, it ends with the service.
    pub(super) fn new(body: Incoming, idle: Duration, stay: Option<Stay>, held: Held) -> Self {
        let stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = match stay {
            Some(mut stay) => Some(Box::pin(async move { stay.ended().await })),
            None => None,
        };
        Self { body, patience: Patience::new(idle), stop, held }
    }

    fn failed(&mut self, kind: &'static str, why: &str) {
        metrics::counter!("scimshim_upstream_failures_total", "kind" => kind).increment(1);
        tracing::warn!(request = &*self.held.request_id, kind, why, "the upstream's answer broke off");
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
            self.stop = Some(Box::pin(std::future::ready(())));
            return Poll::Ready(None);
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.patience.rest();
                Poll::Ready(Some(Ok(without_odd_trailers(frame))))
            }
            Poll::Ready(Some(Err(error))) => {
                self.failed("broken", &reasons(&error));
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.patience.poll(cx));
                self.failed("timeout", "the upstream paused for too long");
                Poll::Ready(Some(Err("the upstream paused for too long".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // The answer ended before the upload did. Whoever answered does not read on, or need not; the client must be able
        // to read, and what it still sends is taken elsewhere.
        if let Held { upload: Some(progress), hold: Hold::All(connection), .. } = &self.held
            && !progress.ended.load(Relaxed)
        {
            connection.abort();
        }
    }
}

/// An error with what caused it.
pub(super) fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
