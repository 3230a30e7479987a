//! What a running service holds: the configuration, what was compiled from it, and whether that can
//! be used now.

use super::answer::Reply;
use super::body::Room;
use super::discovery::Discovery;
use super::journal::Queue;
use super::metrics::Requests;
use super::proxy::Proxy;
use super::route::Endpoint;
use super::turns::Turns;
use crate::config::Config;
use crate::directory::{Directory, Saver, ServerView};
use crate::identity::Identity;
use crate::identity::oauth2::Authority;
use crate::sql::Database;
use arc_swap::{ArcSwap, ArcSwapOption};
use metrics::Gauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::{Notify, Semaphore};

/// The least room for the bodies of all requests together, in bytes.
const LEAST_ROOM: usize = 64 << 20;

/// One configuration, being served.
pub struct App {
    /// As it was read.
    pub config: Arc<Config>,
    /// The way to the application, where one is configured.
    pub(super) proxy: Option<Arc<Proxy>>,
    /// As many permits as there may be connections: work waits here, never inside the pool.
    pub(super) pool: Arc<Semaphore>,
    /// Who writes which resource.
    pub(super) turns: Arc<Turns>,
    /// For the bodies of all requests together.
    pub(super) room: Arc<Room>,
    pub(super) requests: Requests,
    pub(super) request_ids: RequestIds,
    pub(super) in_flight: Gauge,
    pub(super) no_server: Arc<str>,
    /// Takes what is journalled after its answer.
    pub(super) journal: Arc<Queue>,
    waiting: Gauge,
    /// Held by whoever asks the database how it is: one that hangs is to cost one connection, not one a probe.
    pub(super) probing: Arc<tokio::sync::Mutex<()>>,
    ready: ArcSwapOption<Ready>,
    not_ready: ArcSwap<String>,
    again: Arc<Notify>,
}

/// What needs the database and the adapter: there once both were seen together.
pub struct Ready {
    /// What all of them use.
    pub(super) database: Arc<dyn Database>,
    /// The adapter's endpoints, by resource type.
    pub(super) endpoints: Vec<Endpoint>,
    /// Who may speak. Positions are those of `servers`.
    pub(super) identity: Identity,
    /// The identity servers, in the configuration's order.
    pub(super) servers: Vec<Served>,
}

/// One identity server, as its requests are answered.
pub struct Served {
    pub(super) name: Arc<str>,
    pub(super) view: Arc<ServerView>,
    /// Its bulk requests are one transaction each.
    pub(super) bulk_together: bool,
    /// Anybody who may call may read what the service can do.
    pub(super) open_discovery: bool,
    /// What the journal keeps of its bodies.
    pub(super) saver: Saver,
    /// Runs its operations: within its scope, by its parameters.
    pub(super) directory: Arc<Directory>,
    /// Its authorization server, where it has OAuth on.
    pub(super) oauth2: Option<Arc<Authority>>,
    /// Under `/scim/v2`.
    pub(super) by_default: Arc<Form>,
    /// Under `/scim/NAME/v2`.
    pub(super) by_name: Arc<Form>,
}

/// One of the two URLs of an identity server.
pub struct Form {
    pub(super) base_url: Arc<str>,
    pub(super) discovery: Discovery,
}

impl App {
    /// A service that is not ready yet.
    pub fn new(config: Arc<Config>, proxy: Option<Arc<Proxy>>, journal: Arc<Queue>) -> Arc<Self> {
        let permits = usize::try_from(config.database.pool.max).unwrap_or(1).max(1);
        let room = Room::new(config.limits.body.saturating_mul(4).max(LEAST_ROOM));
        Arc::new(Self {
            config,
            proxy,
            pool: Arc::new(Semaphore::new(permits)),
            turns: Arc::default(),
            room,
            requests: Requests::default(),
            request_ids: RequestIds::new(),
            in_flight: metrics::gauge!("scimshim_requests_in_flight"),
            no_server: Arc::from(""),
            journal,
            waiting: metrics::gauge!("scimshim_pool_waiting"),
            probing: Arc::default(),
            ready: ArcSwapOption::empty(),
            not_ready: ArcSwap::from_pointee("the service is starting".to_owned()),
            again: Arc::new(Notify::new()),
        })
    }

    /// What requests are answered with, if they can be.
    pub fn ready(&self) -> Option<Arc<Ready>> {
        self.ready.load_full()
    }

    /// Why they cannot be.
    pub fn why_not_ready(&self) -> Arc<String> {
        self.not_ready.load_full()
    }

    /// From now on requests are answered.
    pub fn set_ready(&self, ready: Ready) {
        self.ready.store(Some(Arc::new(ready)));
    }

    /// From now on they are not.
    pub fn set_not_ready(&self, why: String) {
        self.not_ready.store(Arc::new(why));
        self.ready.store(None);
    }

    /// Something went wrong that a fresh look at the database may explain.
    pub fn look_again(&self) {
        self.again.notify_one();
    }

    /// For those who may ask for it after the request is gone.
    pub(super) fn looker(&self) -> Arc<Notify> {
        Arc::clone(&self.again)
    }

    /// Waits until somebody asks for a fresh look.
    pub async fn asked_to_look_again(&self) {
        self.again.notified().await;
    }

    /// Counts one more request that waits for a connection, until dropped.
    pub(super) fn waiting(&self) -> Waiting<'_> {
        self.waiting.increment(1.0);
        Waiting(self)
    }
}

/// A request that waits for a connection.
pub(super) struct Waiting<'a>(&'a App);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.decrement(1.0);
    }
}

/// Request ids: short, unique within a log that several processes write.
pub(super) struct RequestIds {
    process: String,
    next: AtomicU64,
}

impl RequestIds {
    fn new() -> Self {
        let random = uuid::Uuid::new_v4().simple().to_string();
        Self { process: random.chars().take(8).collect(), next: AtomicU64::new(1) }
    }

    /// A fresh one: `3f9a1c07-1a`.
    pub(super) fn next(&self) -> Arc<str> {
        Arc::from(format!("{}-{:x}", self.process, self.next.fetch_add(1, Relaxed)))
    }
}

impl Form {
    pub(super) fn discovery(&self) -> &Discovery {
        &self.discovery
    }
}

/// The answer while the service is not ready.
pub(super) fn unavailable(why: &str) -> Reply {
    Reply::error(crate::scim::Error::unavailable(why))
}
