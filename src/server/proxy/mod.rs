//! The way to the application: every path that is not ours, forwarded to `upstream`.
//!
//! The application's own sign-in decides who may what; allow lists and tokens of identity servers are not asked. What is
//! refused at the door is refused here too: a request goes on only if it can be read in one way. Bodies stream. A
//! WebSocket becomes a tunnel. A request is sent once more only where nothing of it was sent, or where doing it twice is
//! doing it once and the connection had been used before.

mod body;
mod connect;
mod failure;
mod health;
mod last_words;
mod page;
mod places;
mod pool;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod tunnel;

use super::address::{client, is_trusted};
use super::body as whole;
use super::body::{BodyError, Taken};
use super::listener::Peer;
use super::note::Note;
use super::outgoing::{Broken, Outgoing};
use super::refusals::{Refusal, refuse_forwarded};
use super::route::{bare_segments, is_ours};
use super::state::App;
use crate::config::Upstream;
use body::{Download, Gate, Held, Progress, Turn, Upload};
use bytes::Bytes;
pub(super) use failure::FAILURES;
use failure::Failure;
use health::Health;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, EXPECT, HeaderMap};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use page::Page;
use places::Places;
use pool::{Hold, Line, Pool, Sender, Unanswered};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tunnel::Tunnel;

/// How long an upload waits for the upstream's 100 before it begins without.
const CONTINUE: Duration = Duration::from_secs(1);
/// A request that was not sent is tried on so many connections that were kept.
const STALE_LINES: usize = 3;

/// The upstream, as it is spoken with.
pub struct Proxy {
    upstream: Upstream,
    authority: String,
    pool: Arc<Pool>,
    places: Arc<Places>,
    health: Health,
    /// This process, in `CDN-Loop`.
    process: String,
}

/// Why a request ends here.
enum Problem {
    Refused(Refusal),
    Failed(Failure),
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Problem::Failed(failure)
    }
}

impl Proxy {
    /// Connects to nobody yet. The error is for whoever wrote the configuration.
    pub fn new(upstream: &Upstream) -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {
            authority: upstream.authority(),
            pool: Arc::new(Pool::new(upstream)?),
            places: Places::new(upstream),
            health: Health::default(),
            process: uuid::Uuid::new_v4().simple().to_string(),
            upstream: upstream.clone(),
        }))
    }

    /// Whether it speaks with that upstream in that way: then a reload keeps it, with its connections.
    pub fn is_of(&self, upstream: &Upstream) -> bool {
        self.upstream == *upstream
    }

    /// Whether a path is the upstream's.
    pub fn takes(&self, path: &str) -> bool {
        let hidden = |hide: &Vec<String>| {
            let mut path = bare_segments(path).map(|segment| segment.to_lowercase());
            hide.iter().all(|hidden| path.next().as_ref() == Some(hidden))
        };
        !is_ours(path) && !self.upstream.hide.iter().any(hidden)
    }

    /// For logs.
    pub fn name(&self) -> String {
        self.upstream.name()
    }

    /// Places for requests in use, and the most there may be.
    pub fn usage(&self) -> (usize, usize) {
        self.places.usage()
    }

    /// Whether it is there; the error says why not. Connects where nothing is known.
    pub async fn probe(&self) -> Result<(), String> {
        if let Some(known) = self.health.known() {
            return known.map_or(Ok(()), Err);
        }
        match self.pool.probe().await {
            Ok(()) => {
                self.health.is_up();
                Ok(())
            }
            Err(failure) => {
                self.health.failed(&failure);
                Err(failure.to_string())
            }
        }
    }
}

impl App {
    /// Answers one request with what the upstream says.
    pub(super) async fn forward<B>(
        &self,
        proxy: &Proxy,
        request: Request<B>,
        peer: Peer,
        note: &mut Note<'_>,
    ) -> Response<Outgoing>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Broken>,
    {
        note.routed(&self.no_server, "upstream");
        let (headers, version, tls) = (request.headers().clone(), request.version(), peer.tls);
        let request_id = Arc::clone(note.request_id());
        let began = Instant::now();
        let problem = match self.exchange(proxy, request, peer, note).await {
            Ok(response) => {
                let status = match response.status().as_u16() {
                    ..=199 => "1xx",
                    200..=299 => "2xx",
                    300..=399 => "3xx",
                    400..=499 => "4xx",
                    _ => "5xx",
                };
                metrics::histogram!("scimshim_upstream_request_duration_seconds", "status" => status)
                    .record(began.elapsed());
                return response;
            }
            Err(problem) => problem,
        };
        let mut page = Page { status: StatusCode::BAD_REQUEST, detail: "", request_id: &request_id, tls, close: false };
        match problem {
            // Where this request ends may be as doubtful as what it says.
            Problem::Refused(refusal) => {
                (page.status, page.detail, page.close) = (refusal.status, refusal.detail, true)
            }
            Problem::Failed(failure) => {
                (page.status, page.detail) = failure.status();
                page.close = matches!(failure, Failure::SlowClient | Failure::BrokenClient);
                let kind = failure.kind();
                metrics::counter!("scimshim_upstream_failures_total", "kind" => kind).increment(1);
                proxy.health.failed(&failure);
                if kind == "client" {
                    tracing::debug!(request = &*request_id, why = %failure, "not forwarded");
                } else {
                    tracing::warn!(request = &*request_id, upstream = proxy.name(), kind, why = %failure, "not forwarded");
                }
            }
        }
        page.write(&headers, version).map(Outgoing::from)
    }

    /// Refuse, build anew, send, look at the answer, build it anew.
    async fn exchange<B>(
        &self,
        proxy: &Proxy,
        mut request: Request<B>,
        peer: Peer,
        note: &mut Note<'_>,
    ) -> Result<Response<Outgoing>, Problem>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Broken>,
    {
        let refused = |status, detail| Problem::Refused(Refusal { status, detail });
        let client_side = hyper::upgrade::on(&mut request);
        let (head, mut body) = request.into_parts();
        if let Some(refusal) = refuse_forwarded(&head, peer.doubt) {
            return Err(Problem::Refused(refusal));
        }
        let Ok(client) = client(peer.address, &head.headers, &self.config.trusted_proxies) else {
            return Err(refused(StatusCode::BAD_REQUEST, "Forwarded and X-Forwarded-For name different clients"));
        };
        note.client(client.address);
        let circles = head.headers.get_all(request::CDN_LOOP).iter().filter_map(|value| value.to_str().ok());
        if circles.into_iter().any(|value| value.contains(&proxy.process)) {
            return Err(Failure::Loop.into());
        }
        let idle = self.config.limits.body_idle;
        let mut has_body = !body.is_end_stream();
        if has_body && (head.method == Method::GET || head.method == Method::HEAD) {
            // HTTP/2 may end a request without content in a frame of its own.
            match whole::read(&mut body, 0, idle, &mut Taken::of(&self.room)).await {
                Ok(_) => has_body = false,
                Err(BodyError::TooSlow) => return Err(Failure::SlowClient.into()),
                Err(BodyError::TooLarge | BodyError::NoRoom | BodyError::Broken) => {
                    return Err(refused(StatusCode::BAD_REQUEST, "a GET carries no body"));
                }
            }
        }
        // A proxy that does not say whose request it is speaks for many.
        let one = Some(client.address).filter(|address| !is_trusted(*address, &self.config.trusted_proxies));
        let place = proxy.places.take(one, proxy.upstream.connect_timeout).await?;
        let about = request::About {
            config: &self.config,
            upstream: &proxy.upstream,
            authority: &proxy.authority,
            peer: &peer,
            client,
            request_id: note.request_id(),
            trace: note.trace(),
            process: &proxy.process,
            has_body,
            upgrades: !has_body && request::upgrades(&head),
            expects: has_body && head.version == Version::HTTP_11 && head.headers.contains_key(EXPECT),
        };
        let (answer, hold, upload) = if has_body {
            proxy.send_body(&head, &about, body, idle).await?
        } else {
            let (answer, hold) = proxy.send_head(&head, &about).await?;
            (answer, hold, None)
        };
        proxy.health.is_up();
        let held = Held { place, hold, upload, request_id: Arc::clone(note.request_id()) };
        Ok(answer.pass(proxy, &head.method, &peer, client_side, held))
    }
}

/// An answer whose head is there.
struct Answer(response::Parts, Incoming);

impl Answer {
    /// The answer for the client; behind a 101, a tunnel.
    fn pass(self, proxy: &Proxy, method: &Method, peer: &Peer, client: OnUpgrade, held: Held) -> Response<Outgoing> {
        let Self(mut head, body) = self;
        let idle = proxy.upstream.idle_timeout;
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            response::rebuild(&mut head, method, peer.tls, &held.request_id);
            // Events never end by themselves, and who reads them with GET comes again (an EventSource); others expect the whole.
            let stay = (*method == Method::GET && is_events(&head.headers)).then(|| peer.stay.clone());
            return Response::from_parts(head, Outgoing::Stream(Box::pin(Download::new(body, idle, stay, held))));
        }
        let mut answer = Response::from_parts(head, body);
        let upstream = hyper::upgrade::on(&mut answer);
        let (mut head, _) = answer.into_parts();
        response::rebuild(&mut head, method, peer.tls, &held.request_id);
        response::switches(&mut head);
        let Held { place, request_id, .. } = held;
        tokio::spawn(Tunnel { client, upstream, idle, stay: peer.stay.clone(), place, request_id }.run());
        Response::from_parts(head, Outgoing::from(http_body_util::Full::default()))
    }
}

impl Proxy {
    /// Sends what has no body: once more on a new connection, where that is safe.
    async fn send_head(&self, head: &Parts, about: &request::About<'_>) -> Result<(Answer, Hold), Failure> {
        let repeatable = head.method.is_idempotent() && !about.upgrades;
        let progress = Progress::new();
        let mut attempts = 0_usize;
        loop {
            let line = self.pool.line(about.upgrades, repeatable, attempts > 0).await?;
            let used = line.used;
            let request = built(head, about, &line.sender)?.map(|()| Upload::empty(&progress));
            match self.await_head(line, request, about.upgrades, &progress, None).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered { unsent, lost, .. })
                    if attempts == 0 && used && (unsent.is_some() || (repeatable && lost)) =>
                {
                    attempts += 1;
                }
                Err(Unanswered { failure, .. }) => return Err(failure),
            }
        }
    }

    /// Sends what has a body, which can be sent once only: again where nothing was sent at all.
    async fn send_body<B>(
        &self,
        head: &Parts,
        about: &request::About<'_>,
        body: B,
        idle: Duration,
    ) -> Result<(Answer, Hold, Option<Arc<Progress>>), Failure>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: Into<Broken>,
    {
        let progress = Progress::new();
        let mut line = self.pool.line(false, false, false).await?;
        let waits = about.expects && matches!(line.sender, Sender::One(..));
        let (gate, opened) = if waits { Some(Gate::new()).unzip() } else { (None, None) };
        let mut upload = Upload::new(body, opened, &progress, idle);
        let mut attempts = 0;
        loop {
            let mut request = built(head, about, &line.sender)?.map(|()| upload);
            if let Some(gate) = gate.clone() {
                hyper::ext::on_informational(&mut request, move |answer| {
                    if answer.status() == StatusCode::CONTINUE {
                        gate.open();
                    }
                });
            }
            match self.await_head(line, request, false, &progress, gate.as_deref()).await {
                Ok((answer, hold)) => return Ok((answer, hold, Some(progress))),
                Err(Unanswered { unsent: Some(unsent), .. }) if attempts < STALE_LINES => {
                    attempts += 1;
                    upload = unsent.into_body();
                    line = self.pool.line(false, false, attempts == STALE_LINES).await?;
                }
                Err(Unanswered { failure, .. }) => {
                    return Err(match progress.turn() {
                        Turn::ClientSlow => Failure::SlowClient,
                        Turn::ClientBroken => Failure::BrokenClient,
                        Turn::NoRoom => Failure::NoRoom,
                        Turn::Client | Turn::Upstream => failure,
                    });
                }
            }
        }
    }

    /// Sends a request and waits for the head of its answer, for as long as something moves.
    async fn await_head(
        &self,
        line: Line,
        request: Request<Upload>,
        upgrades: bool,
        progress: &Progress,
        gate: Option<&Gate>,
    ) -> Result<(Answer, Hold), Unanswered> {
        let idle = self.upstream.idle_timeout;
        let began = tokio::time::Instant::now();
        let mut sending = pin!(self.pool.send(line.sender, request, upgrades));
        let mut closed = gate;
        let mut since = began;
        loop {
            let until = since.max(progress.last()) + idle;
            let until = if closed.is_some() { until.min(began + CONTINUE) } else { until };
            tokio::select! {
                biased;
                answer = &mut sending => {
                    let (answer, hold) = answer?;
                    let (head, body) = answer.into_parts();
                    return Ok((Answer(head, body), hold));
                }
                () = tokio::time::sleep_until(until) => {}
            }
            let now = tokio::time::Instant::now();
            if let Some(gate) = closed.filter(|_| now >= began + CONTINUE) {
                gate.open();
                closed = None;
            }
            if progress.turn() == Turn::Client {
                // The client has a limit of its own.
                since = now;
            } else if now >= since.max(progress.last()) + idle {
                return Err(Unanswered { failure: Failure::Silent(idle), unsent: None, lost: false });
            }
        }
    }
}

/// Whether an answer is a stream of events (HTML, 9.2).
fn is_events(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).and_then(|value| value.as_bytes().split(|byte| *byte == b';').next());
    media.is_some_and(|media| media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream"))
}

fn built(head: &Parts, about: &request::About<'_>, sender: &Sender) -> Result<Request<()>, Failure> {
    let two = matches!(sender, Sender::Two(..));
    request::build(head, about, two).ok_or_else(|| Failure::Malformed("the request cannot be written".to_owned()))
}
