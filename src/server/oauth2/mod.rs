//! The HTTP of our own authorization server: which endpoint, whose, and what all answers have in common.
//!
//! | path | for |
//! | --- | --- |
//! | `/oauth2/NAME/authorize` | the administrator's browser: a page (RFC 6749 3.1) |
//! | `/oauth2/NAME/token` | the client (RFC 6749 3.2) |
//! | `/oauth2/NAME/revoke` | the client (RFC 7009) |
//! | `/.well-known/oauth-authorization-server/oauth2/NAME` | anybody (RFC 8414) |
//!
//! An administrator's browser is elsewhere than the identity provider, so `allow_from` holds for the client's endpoints alone.

mod answer;
mod authorize;
mod metadata;
mod page;
mod token;

use super::address;
use super::body::{self, BodyError, Taken};
use super::listener::Peer;
use super::note::Note;
use super::outgoing::Broken;
use super::refusals::refuse;
use super::state::{App, Ready, Served};
use super::tls::Shown;
use crate::identity::oauth2::Authority;
use crate::identity::oauth2::parameters::Parameters;
use crate::identity::oauth2::refusal::Refusal;
use crate::identity::{Denial, Presented};
use answer::{Answer, Problem};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use std::net::IpAddr;
use std::sync::Arc;

/// The longest body of any request here, in bytes: an assertion and little more.
const LONGEST: usize = 24 * 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Authorize,
    Token,
    Revoke,
    Metadata,
}

impl Endpoint {
    /// As logs and metrics name it: never a name from the path, never its query.
    fn template(self) -> &'static str {
        match self {
            Endpoint::Authorize => "/oauth2/authorize",
            Endpoint::Token => "/oauth2/token",
            Endpoint::Revoke => "/oauth2/revoke",
            Endpoint::Metadata => "/.well-known/oauth-authorization-server",
        }
    }

    fn allow(self) -> &'static str {
        match self {
            Endpoint::Authorize => "GET, HEAD, POST",
            Endpoint::Token | Endpoint::Revoke => "POST",
            Endpoint::Metadata => "GET, HEAD",
        }
    }
}

/// Whether a path is answered here whatever comes of it.
pub(super) fn is_here(path: &str) -> bool {
    let mut segments = segments(path);
    match segments.next() {
        Some(first) if first.eq_ignore_ascii_case("oauth2") => true,
        Some(first) if first == ".well-known" => {
            segments.next().is_some_and(|second| second == "oauth-authorization-server")
                && segments.next().is_some_and(|third| third.eq_ignore_ascii_case("oauth2"))
        }
        _ => false,
    }
}

/// The identity server's name and the endpoint.
fn route(path: &str) -> Option<(String, Endpoint)> {
    let mut segments = segments(path);
    if segments.next()? == ".well-known" {
        let name = segments.nth(2)?;
        return segments.next().is_none().then_some((name, Endpoint::Metadata));
    }
    let name = segments.next()?;
    let endpoint = match segments.next()?.as_str() {
        "authorize" => Endpoint::Authorize,
        "token" => Endpoint::Token,
        "revoke" => Endpoint::Revoke,
        _ => return None,
    };
    segments.next().is_none().then_some((name, endpoint))
}

fn segments(path: &str) -> impl Iterator<Item = String> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
}

/// One request of a known authorization server.
struct Call<'r> {
    app: &'r App,
    ready: &'r Ready,
    served: &'r Served,
    /// The position of the identity server.
    server: usize,
    authority: &'r Arc<Authority>,
    head: &'r Parts,
    client: IpAddr,
    presented: Presented<'r>,
    request_id: Arc<str>,
}

impl App {
    /// Answers one request for a path that [`is_here`].
    pub(super) async fn oauth2<B>(
        &self,
        head: &Parts,
        body: B,
        peer: Peer,
        note: &mut Note<'_>,
    ) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static,
    {
        let limit = self.config.limits.request_timeout;
        let tls = peer.tls;
        let answer = match tokio::time::timeout(limit, self.authorization_server(head, body, peer, note)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(problem)) => {
                problem.note(note.request_id());
                // What a person looks at is a page.
                let page = route(head.uri.path()).is_some_and(|(_, endpoint)| endpoint == Endpoint::Authorize);
                if page { page::problem(&problem) } else { problem.into_json() }
            }
            Err(_) => Problem::Unavailable(format!("the request took longer than {limit:?}")).into_json(),
        };
        answer.finish(note.request_id(), tls)
    }

    async fn authorization_server<B>(
        &self,
        head: &Parts,
        body: B,
        peer: Peer,
        note: &mut Note<'_>,
    ) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static,
    {
        if let Some(refusal) = refuse(head, peer.doubt) {
            return Err(Problem::Malformed(refusal.status, refusal.detail));
        }
        let nothing = || Problem::Other(StatusCode::NOT_FOUND, "there is no such authorization server here");
        let (name, endpoint) = route(head.uri.path()).ok_or_else(nothing)?;
        let Some(ready) = self.ready() else {
            return Err(Problem::Unavailable(self.why_not_ready().to_string()));
        };
        let server = ready.identity.server(Some(&name)).ok_or_else(nothing)?;
        let served = ready.servers.get(server).ok_or_else(nothing)?;
        note.routed(&served.name, endpoint.template());
        let Ok(client) = address::client(peer.address, &head.headers, &self.config.trusted_proxies) else {
            return Err(Problem::Other(
                StatusCode::BAD_REQUEST,
                "Forwarded and X-Forwarded-For name different clients",
            ));
        };
        note.client(client.address);
        let authority = served.oauth2.as_ref().ok_or_else(nothing)?;
        if !self.config.identity_server(&name).is_some_and(|server| server.active) {
            return Err(Problem::Other(StatusCode::FORBIDDEN, "this identity server is switched off"));
        }
        let get = matches!(head.method, Method::GET | Method::HEAD);
        let request_id = Arc::clone(note.request_id());
        let presented = Presented {
            method: &head.method,
            target: head.uri.path_and_query().map_or("", |target| target.as_str()),
            headers: &head.headers,
            client: client.address,
            client_known: client.known,
            certificate: peer.certificate.as_deref().and_then(Shown::good),
        };
        let client = client.address;
        let call = Call { app: self, ready: &ready, served, server, authority, head, client, presented, request_id };
        match endpoint {
            Endpoint::Metadata if get => Ok(call.metadata()),
            Endpoint::Authorize if get => call.ask().await,
            Endpoint::Authorize if head.method == Method::POST => call.decide(body).await,
            Endpoint::Token if head.method == Method::POST => call.token(body, note).await,
            Endpoint::Revoke if head.method == Method::POST => call.revoke(body, note).await,
            _ => Err(Problem::Method(endpoint.allow())),
        }
    }
}

impl Call<'_> {
    /// Whether the identity provider may call from where it does.
    fn admit(&self) -> Result<(), Problem> {
        match self.ready.identity.admit(self.server, &self.presented) {
            Ok(_) => Ok(()),
            Err(Denial::Unavailable(why)) => Err(Problem::Unavailable(why)),
            Err(Denial::Forbidden(why)) => Err(Problem::Other(StatusCode::FORBIDDEN, why)),
            Err(_) => {
                let why = "this identity server may not call from this address";
                Err(Problem::Other(StatusCode::FORBIDDEN, why))
            }
        }
    }

    /// The parameters of the body, which must be a form.
    async fn form<B>(&self, mut body: B) -> Result<Parameters, Problem>
    where
        B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static,
    {
        let headers = &self.head.headers;
        if headers.get(CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Problem::Media);
        }
        let media = headers.get(CONTENT_TYPE).map(|value| value.as_bytes().split(|byte| *byte == b';').next());
        let media = media.flatten().unwrap_or_default().trim_ascii();
        if !media.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            return Err(Problem::Media);
        }
        let idle = self.app.config.limits.body_idle;
        match body::read(&mut body, LONGEST, idle, &mut Taken::of(&self.app.room)).await {
            Ok(bytes) => Ok(Parameters::read(&bytes)?),
            Err(BodyError::TooLarge) => Err(Problem::TooLarge),
            Err(BodyError::NoRoom) => Err(Problem::Unavailable("there is no room for bodies".to_owned())),
            Err(BodyError::TooSlow) => {
                Err(Problem::Malformed(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))
            }
            Err(BodyError::Broken) => Err(Problem::Refused(Refusal::request("the body broke off"))),
        }
    }

    /// Runs something that asks the database, on a blocking thread, when there is a connection for it.
    async fn asking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, crate::sql::Error> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.app.connection().await.map_err(|why| Problem::Unavailable(why.to_owned()))?;
        let worked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        match worked.await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                self.app.look_again();
                Err(Problem::Unavailable(error.to_string()))
            }
            Err(panic) => Err(Problem::Unavailable(panic.to_string())),
        }
    }

    /// Runs something that derives keys, with no more of them at once than the machine can spare.
    async fn deriving<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let core = self.ready.identity.passwords().core().await;
        let core = core.ok_or_else(|| Problem::Unavailable("too many passwords are being checked".to_owned()))?;
        let worked = tokio::task::spawn_blocking(move || {
            let _core = core;
            work()
        });
        worked.await.map_err(|panic| Problem::Unavailable(panic.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        for (path, expected) in [
            ("/oauth2/okta/authorize", Some(("okta", Endpoint::Authorize))),
            ("//oauth2//okta/token/", Some(("okta", Endpoint::Token))),
            ("/OAuth2/okta/revoke", Some(("okta", Endpoint::Revoke))),
            ("/%6fauth2/okta/token", Some(("okta", Endpoint::Token))),
            ("/.well-known/oauth-authorization-server/oauth2/okta", Some(("okta", Endpoint::Metadata))),
            ("/.well-known/oauth-authorization-server/oauth2/okta/x", None),
            ("/.well-known/oauth-authorization-server/oauth2", None),
            ("/oauth2/okta", None),
            ("/oauth2/okta/introspect", None),
            ("/oauth2/okta/token/x", None),
            ("/oauth2", None),
        ] {
            assert!(is_here(path), "{path}");
            let found = route(path);
            assert_eq!(found.as_ref().map(|(name, endpoint)| (name.as_str(), *endpoint)), expected, "{path}");
        }
        for path in ["/", "/scim/v2", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
            assert!(!is_here(path), "{path}");
        }
    }
}
