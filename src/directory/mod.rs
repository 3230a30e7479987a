//! Runs SCIM operations against the application's tables: plan, one transaction, rows to resource.
//!
//! Everything here blocks and is called from blocking threads. A request that came this far was
//! authenticated and parsed.

use crate::adapter::Adapter;
use crate::own::Own;
use crate::scim::{Error, ListQuery, Object, Patch, Projection};
use crate::sql::{Database, Value};
use std::net::IpAddr;
use std::sync::Arc;

/// What every operation needs: the database, the adapter compiled against it, our own tables.
pub struct Directory {
    database: Arc<dyn Database>,
    adapter: Arc<Adapter>,
    own: Own,
}

/// Who asks: one authenticated request of one identity server.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The identity server.
    pub server: Arc<ServerView>,
    /// For the application's history and for the log.
    pub request_id: Arc<str>,
    /// The client's address, after trusted proxies.
    pub client_address: Option<IpAddr>,
    /// The User-Agent header.
    pub client_agent: Option<String>,
    /// `https://scim.example.com/scim/v2`, without a trailing slash: what `meta.location` starts with.
    pub base_url: Arc<str>,
}

/// What the directory knows of an identity server.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// Its name.
    pub name: String,
    /// Whether it is the default one: then a column bound to externalId is its.
    pub default: bool,
    /// The acting user in the application.
    pub actor: Option<Actor>,
    /// What it may do, per resource type; a type that is not named may be nothing.
    pub may: Permissions,
    /// `adopt: link`: a POST on a live row that nobody linked yet links it.
    pub patch_answers_204: bool,
}

/// The application's user in whose name changes are recorded.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its key.
    pub id: Value,
    /// How the application's histories name it.
    pub label: String,
}

/// A resource as answered.
#[derive(Debug)]
pub struct Answer {
    /// The projected resource.
    pub resource: Object,
    /// `W/"..."`, where the whole content is known.
    pub version: Option<String>,
    /// Its URL.
    pub location: String,
}
