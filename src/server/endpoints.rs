//! The way of one request, from its head to its answer. [`App::respond`] is the only way in.

use super::accept;
use super::address::client;
use super::answer::{Manner, Reply, Takes, render};
use super::body::{self, BodyError, Taken};
use super::discovery::Discovery;
use super::journal::Queue;
use super::listener::Peer;
use super::note::Note;
use super::oauth2;
use super::outgoing::{Broken, Outgoing};
use super::refusals::refuse;
use super::route::{Endpoint, Target, is_ours, route};
use super::spending::Spending;
use super::state::{App, Form, Served, unavailable};
use super::tls::Shown;
use crate::directory::{About, Caller, Directory, Entry, Later, Patched, Precondition};
use crate::identity::{Denial, Presented, Session};
use crate::scim::{Error, ListQuery, ListResponse, Object, Patch, Projection, filter, patch, query, resource};
use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, IF_MATCH, IF_NONE_MATCH, USER_AGENT};
use hyper::http::request::Parts;
use hyper::http::uri::PathAndQuery;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::Value;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

impl App {
    /// Answers one request. Dropped where the client hangs up; a write that was begun goes on then,
    /// because it runs on a thread of its own, and commits or rolls back.
    pub async fn respond<B>(&self, peer: Peer, request: Request<B>) -> Response<Outgoing>
    where
        B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static,
    {
        let (head, body) = request.into_parts();
        let mut note = Note::new(self, &head, peer.address);
        if let Some(proxy) = self.proxy.as_ref().filter(|proxy| proxy.takes(head.uri.path())) {
            let response = self.forward(proxy, Request::from_parts(head, body), peer, &mut note).await;
            note.answered(response.status());
            return response;
        }
        if oauth2::is_here(head.uri.path()) {
            let response = self.oauth2(&head, body, peer, &mut note).await;
            note.answered(response.status());
            return response.map(Outgoing::from);
        }
        let manner = Manner::of(&head.method, head.version, &head.headers, peer.tls);
        let limit = self.config.limits.request_timeout;
        let reply = match tokio::time::timeout(limit, self.answer(&head, body, peer, &mut note)).await {
            Ok(Ok(reply) | Err(reply)) => reply,
            Err(_) => Reply::error(Error::unavailable(format_args!("the request took longer than {limit:?}"))),
        };
        if let Some(error) = &reply.error {
            note.error(error);
        }
        note.reply(&reply);
        let response = render(reply, &manner, note.request_id());
        note.answered(response.status());
        response.map(Outgoing::from)
    }

    /// Refuse, route, authenticate, read, parse, act. Both sides of the result are answers.
    async fn answer<B>(&self, head: &Parts, body: B, peer: Peer, note: &mut Note<'_>) -> Result<Reply, Reply>
    where
        B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static,
    {
        let began = Instant::now();
        if let Some(refusal) = refuse(head, peer.doubt) {
            // Where this request ends may be as doubtful as what it says.
            let error = Error::new(refusal.status.as_u16(), refusal.detail);
            // RFC 9110 15.5.6: a 405 says what is possible. What this path is comes later; some of it is possible anywhere.
            let allow =
                (refusal.status == StatusCode::METHOD_NOT_ALLOWED).then_some("GET, HEAD, POST, PUT, PATCH, DELETE");
            return Err(Reply { close: true, allow, ..Reply::error(error) });
        }
        let path = head.uri.path();
        if !is_ours(path) {
            return Err(Error::new(404, "nothing is here; SCIM is under /scim/v2").into());
        }
        let Some(ready) = self.ready() else {
            return Err(unavailable(&self.why_not_ready()));
        };
        let Some(route) = route(path, &ready.endpoints) else {
            return Err(Error::new(404, "nothing is here; SCIM is under /scim/v2").into());
        };
        let Some(server) = ready.identity.server(route.server.as_deref()) else {
            return Err(Error::new(404, "there is no such identity server").into());
        };
        let Some(served) = ready.servers.get(server) else {
            return Err(Error::internal("an identity server without a view").into());
        };
        note.routed(&served.name, route.target.template(&ready.endpoints));
        let Ok(client) = client(peer.address, &head.headers, &self.config.trusted_proxies) else {
            let detail =
                "Forwarded and X-Forwarded-For name different clients; a proxy passes on the one it does not write";
            return Err(Error::new(400, detail).into());
        };
        note.client(client.address);
        let presented = Presented {
            method: &head.method,
            target: head.uri.path_and_query().map_or(path, PathAndQuery::as_str),
            headers: &head.headers,
            client: client.address,
            client_known: client.known,
            certificate: peer.certificate.as_deref().and_then(Shown::good),
        };
        let gets = matches!(head.method, Method::GET | Method::HEAD);
        let reads =
            gets || head.method == Method::OPTIONS || matches!(route.target, Target::Search(_) | Target::SearchAll);
        let mut by = None;
        if served.open_discovery && gets && route.target.is_discovery() {
            ready.identity.admit(server, &presented).map_err(|denial| denied(denial, note))?;
        } else {
            let session = ready.identity.authenticate(server, &presented).await;
            let session = session.map_err(|denial| denied(denial, note))?;
            note.session(&session);
            by = Some(session);
        }
        let ids = note.journal_ids();
        let about = about(head, served, &route.target, &ready.endpoints, client.address, by.as_ref(), ids);
        let about = About { writes: !reads, ..about };
        let later: Arc<dyn Later> = Arc::<Queue>::clone(&self.journal);
        let entry = Arc::new(Entry::new(about, note.began(), served.saver.clone(), later));
        note.journalled(&entry);
        if by.is_some_and(|session| session.read_only) && !reads {
            return Err(Error::forbidden("this token may only read").into());
        }
        if !matches!(head.method, Method::DELETE | Method::OPTIONS) && accept::form(&head.headers).is_none() {
            let detail = "answers are application/scim+json or application/json; Accept allows neither";
            return Err(Error::new(406, detail).into());
        }
        let request = Authenticated {
            app: self,
            head,
            began,
            by_name: route.server.is_some(),
            served,
            endpoints: &ready.endpoints,
            client: client.address,
            request_id: note.request_id(),
            entry: &entry,
            spending: note.spending(),
            taken: OnceLock::new(),
        };
        request.act(route.target, body).await
    }
}

/// Tells the journal, when dropped, that nobody is at a request any more.
pub(super) struct AtWork(Arc<Entry>);

impl AtWork {
    pub(super) fn on(entry: &Arc<Entry>) -> Self {
        entry.begins();
        Self(Arc::clone(entry))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.ends();
    }
}

/// What the journal says of a request before it is carried out.
fn about(
    head: &Parts,
    served: &Served,
    target: &Target<'_>,
    endpoints: &[Endpoint],
    client: IpAddr,
    session: Option<&Session>,
    (id, given): &(Arc<str>, Option<Arc<str>>),
) -> About {
    let (type_, resource_id) = match target {
        Target::Collection(type_) | Target::Search(type_) => (Some(*type_), None),
        Target::Resource(type_, id) => (Some(*type_), Some(id.to_string())),
        _ => (None, None),
    };
    let type_ = type_.and_then(|type_| served.directory.adapter().resource_types.get(type_));
    About {
        id: id.to_string(),
        given: given.as_deref().map(str::to_owned),
        at: chrono::Utc::now(),
        server: served.name.to_string(),
        method: head.method.to_string(),
        route: target.template(endpoints).to_owned(),
        resource_type: type_.map(|type_| type_.name.clone()),
        resource_id,
        credential: session.map(|session| session.credential.clone()).filter(|credential| !credential.is_empty()),
        credential_kind: session.map(|session| session.method.to_owned()),
        acting_user: served.view.actor.as_ref().map(|actor| actor.label.clone()),
        client: Some(client.to_string()),
        query: head.uri.query().map(str::to_owned),
        ..About::default()
    }
}

fn denied(denial: Denial, note: &Note<'_>) -> Reply {
    match denial {
        Denial::Inactive => Error::forbidden("this identity server is switched off").into(),
        Denial::Address => Error::forbidden("this identity server may not call from this address").into(),
        Denial::Forbidden(why) => Error::forbidden(why).into(),
        Denial::Unauthenticated { method, why, challenges } => {
            note.unauthenticated(method, &why);
            Reply { challenges, ..Reply::error(Error::unauthorized(why)) }
        }
        Denial::TooMany { method, why, wait } => {
            note.unauthenticated(method, &why);
            Reply::too_many(wait, "too many failed authentications from this address or of this credential")
        }
        Denial::Unavailable(why) => Error::unavailable(why).into(),
    }
}

/// A query parameter, decoded.
type Parameter<'q> = (Cow<'q, str>, Cow<'q, str>);

/// A request of a known identity server.
pub(super) struct Authenticated<'r> {
    pub(super) app: &'r App,
    head: &'r Parts,
    /// When it came.
    pub(super) began: Instant,
    /// Through `/scim/NAME/v2`.
    by_name: bool,
    pub(super) served: &'r Served,
    pub(super) endpoints: &'r [Endpoint],
    client: IpAddr,
    request_id: &'r Arc<str>,
    /// What the journal says of it.
    pub(super) entry: &'r Arc<Entry>,
    pub(super) spending: &'r Arc<Spending>,
    /// The room that its body has, as long as it is answered.
    taken: OnceLock<Taken>,
}

impl Authenticated<'_> {
    async fn act<B>(&self, target: Target<'_>, body: B) -> Result<Reply, Reply>
    where
        B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static,
    {
        let (method, allow) = (&self.head.method, target.allow());
        let get = matches!(*method, Method::GET | Method::HEAD);
        match (target, method) {
            (Target::Unknown, _) => Err(Error::new(404, "there is no such SCIM endpoint").into()),
            (_, &Method::OPTIONS) => Ok(Reply::options(allow)),
            (Target::Me, _) => Err(Error::not_implemented("/Me: a provisioning client is no user").into()),
            (Target::Bulk, &Method::POST) => self.bulk(body).await,
            (Target::Root, _) if get => self.list(None).await,
            (Target::SearchAll, &Method::POST) => self.search(None, body).await,
            (Target::ServiceProviderConfig, _) if get => {
                self.refuse_filter()?;
                Ok(self.documents().service_provider_config())
            }

            (Target::ResourceTypes(name), _) if get => {
                self.refuse_filter()?;
                Ok(self.documents().resource_types(name.as_deref()))
            }

            (Target::Schemas(id), _) if get => {
                self.refuse_filter()?;
                Ok(self.documents().schemas(id.as_deref()))
            }

            (Target::Collection(type_), _) if get => self.list(Some(type_)).await,
            (Target::Collection(type_), &Method::POST) => self.create(type_, body).await,
            (Target::Search(type_), &Method::POST) => self.search(Some(type_), body).await,
            (Target::Resource(type_, id), _) if get => self.get(type_, &id).await,
            (Target::Resource(type_, id), &Method::PUT) => self.replace(type_, &id, body).await,
            (Target::Resource(type_, id), &Method::PATCH) => self.patch(type_, &id, body).await,
            (Target::Resource(type_, id), &Method::DELETE) => self.delete(type_, &id).await,
            _ => Err(Reply::method_not_allowed(method, allow)),
        }
    }

    /// RFC 7644 4: discovery cannot be filtered, and a client must not believe that it was.
    fn refuse_filter(&self) -> Result<(), Error> {
        if self.parameters()?.iter().any(|(name, _)| name.eq_ignore_ascii_case("filter")) {
            return Err(Error::forbidden("discovery endpoints take no filter"));
        }
        Ok(())
    }

    fn documents(&self) -> &Discovery {
        self.form().discovery()
    }

    async fn get(&self, type_: usize, id: &str) -> Result<Reply, Reply> {
        let projection = self.projection()?;
        let id = id.to_owned();
        self.run(move |directory, caller| {
            Ok(Reply::resource(StatusCode::OK, directory.get(caller, type_, &id, &projection)?))
        })
        .await
    }

    /// The resources of one type, or of all.
    async fn list(&self, type_: Option<usize>) -> Result<Reply, Reply> {
        let query = ListQuery::parse(&self.parameters()?, &self.app.filter_limits())?;
        self.page(type_, query).await
    }

    async fn search<B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static>(
        &self,
        type_: Option<usize>,
        body: B,
    ) -> Result<Reply, Reply> {
        let message = self.message(body).await?;
        let query = ListQuery::from_search_request(&message, &self.app.filter_limits())?;
        self.page(type_, query).await
    }

    async fn page(&self, type_: Option<usize>, mut query: ListQuery) -> Result<Reply, Reply> {
        let most = u64::try_from(self.app.config.limits.page).unwrap_or(u64::MAX);
        query.count = Some(query.count.map_or(most, |count| count.min(most)));
        self.run(move |directory, caller| {
            let page = match type_ {
                Some(type_) => directory.list(caller, type_, &query)?,
                None => directory.search(caller, &query)?,
            };
            let list = ListResponse {
                total: page.total,
                start_index: query.cursor.is_none().then_some(query.start_index),
                resources: page.resources,
                next_cursor: page.next_cursor,
            };
            Ok(Reply::message(StatusCode::OK, &list.into_value()))
        })
        .await
    }

    async fn create<B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static>(
        &self,
        type_: usize,
        body: B,
    ) -> Result<Reply, Reply> {
        // A collection has no version, so none that is named can be its (RFC 9110 13.1.1).
        if self.condition().if_match.is_some_and(|tags| !tags.iter().any(|tag| tag == "*")) {
            return Err(Error::precondition_failed("If-Match names a version, and a collection has none").into());
        }
        let object = self.object(body).await?;
        let projection = self.projection()?;
        self.run(move |directory, caller| {
            Ok(Reply::resource(StatusCode::CREATED, directory.create(caller, type_, object, &projection)?))
        })
        .await
    }

    async fn replace<B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static>(
        &self,
        type_: usize,
        id: &str,
        body: B,
    ) -> Result<Reply, Reply> {
        let object = self.object(body).await?;
        let (projection, condition, at) = (self.projection()?, self.condition(), id.to_owned());
        self.write(type_, id, move |directory, caller| {
            let answer = directory.replace(caller, type_, &at, object, &condition, &projection)?;
            Ok(Reply::resource(StatusCode::OK, answer))
        })
        .await
    }

    async fn patch<B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static>(
        &self,
        type_: usize,
        id: &str,
        body: B,
    ) -> Result<Reply, Reply> {
        let message = self.message(body).await?;
        let patch = Patch::parse(message, &self.patch_limits())?;
        let (projection, condition, at) = (self.projection()?, self.condition(), id.to_owned());
        self.write(type_, id, move |directory, caller| {
            Ok(match directory.patch(caller, type_, &at, &patch, &condition, &projection)? {
                Patched::Resource(answer) => Reply::resource(StatusCode::OK, answer),
                Patched::NoContent { version, location } => {
                    Reply { etag: version, location: Some(location), ..Reply::empty(StatusCode::NO_CONTENT) }
                }
            })
        })
        .await
    }

    pub(super) fn patch_limits(&self) -> patch::Limits {
        patch::Limits { operations: self.app.config.limits.patch_operations, filter: self.app.filter_limits() }
    }

    async fn delete(&self, type_: usize, id: &str) -> Result<Reply, Reply> {
        let (condition, at) = (self.condition(), id.to_owned());
        self.write(type_, id, move |directory, caller| {
            directory.delete(caller, type_, &at, &condition)?;
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        })
        .await
    }

    /// One operation on a blocking thread.
    async fn run(
        &self,
        work: impl FnOnce(&Directory, &Caller) -> Result<Reply, Error> + Send + 'static,
    ) -> Result<Reply, Reply> {
        let directory = Arc::clone(&self.served.directory);
        let caller = self.caller();
        self.app.blocking((self.entry, Arc::clone(self.spending)), None, move || work(&directory, &caller)).await
    }

    /// One write of a resource that is there, when it is its turn.
    async fn write(
        &self,
        type_: usize,
        id: &str,
        work: impl FnOnce(&Directory, &Caller) -> Result<Reply, Error> + Send + 'static,
    ) -> Result<Reply, Reply> {
        // The other half is for the work.
        let patience = self.app.config.limits.request_timeout / 2;
        let Some(turn) = self.app.turns.take(type_, id, patience).await else {
            let error = Error::unavailable(format!("other writes of the same resource took more than {patience:?}"));
            return Err(Reply { retry_after: Some(Duration::from_secs(1)), ..Reply::error(error) });
        };
        let directory = Arc::clone(&self.served.directory);
        let caller = self.caller();
        self.app.blocking((self.entry, Arc::clone(self.spending)), Some(turn), move || work(&directory, &caller)).await
    }

    /// The URL it came to, and what stands there.
    fn form(&self) -> &Form {
        if self.by_name { &self.served.by_name } else { &self.served.by_default }
    }

    pub(super) fn caller(&self) -> Caller {
        // Only histories name the client's software, and only writes have one.
        let writes = !matches!(self.head.method, Method::GET | Method::HEAD);
        let agent = self.head.headers.get(USER_AGENT).filter(|_| writes);
        Caller {
            server: Arc::clone(&self.served.view),
            request_id: Arc::clone(self.request_id),
            client_address: Some(self.client),
            client_agent: agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned()),
            base_url: Arc::clone(&self.form().base_url),
            entry: Arc::clone(self.entry),
        }
    }

    fn parameters(&self) -> Result<Vec<Parameter<'_>>, Error> {
        self.head.uri.query().map_or_else(|| Ok(Vec::new()), query::decode)
    }

    fn projection(&self) -> Result<Projection, Error> {
        let Some(query) = self.head.uri.query().filter(|query| !query.is_empty()) else {
            return Ok(Projection::default());
        };
        let parameters = query::decode(query)?;
        let value = |wanted: &str| {
            parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_ref())
        };
        Projection::parse(value("attributes"), value("excludedAttributes"))
    }

    fn condition(&self) -> Precondition {
        Precondition {
            if_match: tags(&self.head.headers, &IF_MATCH),
            if_none_match: tags(&self.head.headers, &IF_NONE_MATCH),
        }
    }

    async fn object<B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static>(
        &self,
        body: B,
    ) -> Result<Object, Reply> {
        match self.message(body).await? {
            Value::Object(object) => Ok(object),
            _ => Err(Error::invalid_syntax("the body is not a JSON object").into()),
        }
    }

    pub(super) async fn message<B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static>(
        &self,
        mut body: B,
    ) -> Result<Value, Reply> {
        media_type(&self.head.headers).map_err(|(detail, takes)| Reply::unsupported(detail, takes))?;
        let limits = &self.app.config.limits;
        let mut taken = Taken::of(&self.app.room);
        let bytes = match body::read(&mut body, limits.body, limits.body_idle, &mut taken).await {
            Ok(bytes) => bytes,
            Err(BodyError::TooLarge) => {
                return Err(Error::too_large(format!(
                    "the body is larger than {} bytes, the most that is taken (maxPayloadSize)",
                    limits.body
                ))
                .into());
            }
            Err(BodyError::TooSlow) => {
                let error = Error::new(408, "the body did not arrive in time");
                return Err(Reply { close: true, ..Reply::error(error) });
            }
            Err(BodyError::NoRoom) => {
                let error = Error::unavailable("other requests with large bodies have taken the room for them");
                return Err(Reply { retry_after: Some(Duration::from_secs(1)), ..Reply::error(error) });
            }
            Err(BodyError::Broken) => return Err(Error::invalid_syntax("the body broke off").into()),
        };
        let _ = self.taken.set(taken);
        match resource::parse(&bytes) {
            Ok(message) => {
                // Of a bulk request each operation keeps its own.
                if !matches!(self.head.uri.path().rsplit('/').find(|part| !part.is_empty()), Some("Bulk")) {
                    self.entry.request(self.entry.saver().body(&message));
                }
                Ok(message)
            }
            Err(error) => {
                self.entry.request(self.entry.saver().unreadable(bytes.len()));
                Err(error.into())
            }
        }
    }
}

/// RFC 7644 3.1 and 8.1, with what clients send besides. JSON is UTF-8 (RFC 8259 8.1), whatever else is said.
fn media_type(headers: &HeaderMap) -> Result<(), (&'static str, Takes)> {
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(("the body must not be compressed", Takes::Uncompressed));
    }
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let mut parts = value.as_bytes().split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let media = parts.next().unwrap_or_default();
    if !media.eq_ignore_ascii_case(b"application/scim+json") && !media.eq_ignore_ascii_case(b"application/json") {
        let detail = "the Content-Type must be application/scim+json or application/json";
        return Err((detail, Takes::Json));
    }
    let charset = parts.filter_map(|part| std::str::from_utf8(part).ok()?.split_once('=')).find_map(|(name, value)| {
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    match charset.as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii") => Ok(()),
        Some(_) => Err(("JSON is UTF-8: the charset of the body must be utf-8", Takes::Json)),
    }
}

/// The entity tags of a conditional header; `None` without it (RFC 9110 13.1).
fn tags(headers: &HeaderMap, name: &hyper::header::HeaderName) -> Option<Vec<String>> {
    if !headers.contains_key(name) {
        return None;
    }
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    Some(
        values
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().to_owned())
            .filter(|tag| !tag.is_empty())
            .collect(),
    )
}

impl App {
    fn filter_limits(&self) -> filter::Limits {
        filter::Limits {
            length: self.config.limits.filter_length,
            depth: self.config.limits.filter_depth,
            unquoted: true,
        }
    }
}
