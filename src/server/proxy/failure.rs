//! Why a request could not be forwarded: for the client a status, for metrics a kind, for the log the reason.

use hyper::StatusCode;
use std::fmt;
use std::time::Duration;

/// What [`Failure::kind`] says.
pub(in crate::server) const FAILURES: [&str; 10] =
    ["connect", "connect_timeout", "tls", "timeout", "broken", "malformed", "full", "full_share", "client", "loop"];

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// No connection.
    Connect(String),
    /// No connection in time.
    ConnectTimeout(Duration),
    /// The other end is not who it should be, or speaks no TLS.
    Tls(String),
    /// The upstream was silent for too long.
    Silent(Duration),
    /// The connection broke off before the head of the answer was there.
    Broken(String),
    /// What came is not HTTP, or can be read in two ways.
    Malformed(String),
    /// As many requests as may be are in flight.
    Full(usize),
    /// As many requests of this client as may be are in flight.
    FullShare(usize),
    /// The client did not send its body in time.
    SlowClient,
    /// The client's body broke off.
    BrokenClient,
    /// More than there is room for waited for the upstream to read it.
    NoRoom,
    /// A request came back that was forwarded before.
    Loop,
}

impl Failure {
    /// As metrics name it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Failure::Connect(_) => "connect",
            Failure::ConnectTimeout(_) => "connect_timeout",
            Failure::Tls(_) => "tls",
            Failure::Silent(_) => "timeout",
            Failure::Broken(_) => "broken",
            Failure::Malformed(_) => "malformed",
            Failure::Full(_) | Failure::NoRoom => "full",
            Failure::FullShare(_) => "full_share",
            Failure::SlowClient | Failure::BrokenClient => "client",
            Failure::Loop => "loop",
        }
    }

    /// Whether it says that the upstream is down.
    pub(super) fn is_down(&self) -> bool {
        matches!(self, Failure::Connect(_) | Failure::ConnectTimeout(_) | Failure::Tls(_) | Failure::Silent(_))
    }

    /// What the client is answered with, and what it is told. Nothing of where the upstream is.
    pub(super) fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Failure::Connect(_) | Failure::Tls(_) => (
                StatusCode::BAD_GATEWAY,
                "The application cannot be reached. Is it running, and is `upstream` its address?",
            ),
            Failure::ConnectTimeout(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                "The application cannot be reached in time. Is its host up, and is no firewall in the way?",
            ),
            Failure::Silent(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                "The application did not answer in time. Is it overloaded? If it takes so long by nature, `upstream` has \
                 an `idle_timeout`.",
            ),
            Failure::Broken(_) => {
                (StatusCode::BAD_GATEWAY, "The application broke off before it answered. Its own log may say why.")
            }
            Failure::Malformed(_) => {
                (StatusCode::BAD_GATEWAY, "The application's answer is not well-formed HTTP and was not passed on.")
            }
            Failure::Full(_) | Failure::FullShare(_) | Failure::NoRoom => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many requests wait for the application. Please try again in a moment.",
            ),
            Failure::SlowClient => (StatusCode::REQUEST_TIMEOUT, "The body of the request came too slowly."),
            Failure::BrokenClient => {
                (StatusCode::BAD_REQUEST, "The body of the request broke off, or is not well-formed.")
            }
            Failure::Loop => (
                StatusCode::LOOP_DETECTED,
                "This request was forwarded here by this very service: `upstream` leads back to it.",
            ),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Connect(why) => write!(f, "cannot connect: {why}"),
            Failure::ConnectTimeout(time) => write!(f, "no connection within {time:?}"),
            Failure::Tls(why) => write!(f, "TLS failed: {why}"),
            Failure::Silent(time) => write!(f, "silent for {time:?}"),
            Failure::Broken(why) => write!(f, "broke off: {why}"),
            Failure::Malformed(why) => write!(f, "not well-formed: {why}"),
            Failure::Full(most) => write!(f, "{most} requests are in flight already"),
            Failure::FullShare(most) => write!(f, "its client has {most} requests in flight already"),
            Failure::SlowClient => f.write_str("the client's body came too slowly"),
            Failure::BrokenClient => f.write_str("the client's body broke off"),
            Failure::NoRoom => f.write_str("too much of what clients sent waits to be read"),
            Failure::Loop => {
                f.write_str("the request was forwarded by this process before: `upstream` leads back here")
            }
        }
    }
}
