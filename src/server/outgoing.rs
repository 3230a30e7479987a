//! Bodies of answers: whole where we made them, streamed where an upstream sends them.
//!
//! A streamed body keeps its request in flight until its end, and says at each piece whose turn it is: a client that does
//! not read is somebody else's patience than an upstream that does not send.

use super::watch::InFlight;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Why a body broke off.
pub type Broken = Box<dyn Error + Send + Sync>;

/// A body that comes piece by piece.
pub type Streamed = Pin<Box<dyn Body<Data = Bytes, Error = Broken> + Send>>;

/// The body of an answer.
pub enum Outgoing {
    /// All of it is there.
    Whole(Full<Bytes>),
    /// It comes piece by piece.
    Stream(Streamed),
}

impl From<Full<Bytes>> for Outgoing {
    fn from(body: Full<Bytes>) -> Self {
        Outgoing::Whole(body)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Outgoing::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never: Infallible| match never {}))),
            Outgoing::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Outgoing::Whole(body) => body.is_end_stream(),
            Outgoing::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Whole(body) => body.size_hint(),
            Outgoing::Stream(body) => body.size_hint(),
        }
    }
}

/// A body on its way to the client.
pub struct Sent {
    body: Outgoing,
    /// There for as long as the request is in flight.
    in_flight: Option<InFlight>,
}

impl Sent {
    /// A body that keeps its request in flight if it is streamed.
    pub fn new(body: Outgoing, in_flight: InFlight) -> Self {
        let in_flight = matches!(body, Outgoing::Stream(_)).then_some(in_flight);
        if let Some(in_flight) = &in_flight {
            in_flight.streams();
        }
        Self { body, in_flight }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.our_turn();
        }
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(_))) => {
                if let Some(in_flight) = &mut self.in_flight {
                    in_flight.their_turn();
                }
            }
            Poll::Ready(_) => self.in_flight = None,
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
