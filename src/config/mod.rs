//! The configuration file: read, checked, and turned into a [`Config`] without anything left to decide.
//!
//! [`load`] is the only loader, the same for `check` and `serve`: it reports everything wrong at once and gives a
//! [`Config`] only if nothing is an error. It opens no connection and knows nothing of the adapter's inside: scope and
//! parameters stay [`Node`]s until the adapter room compiles them.

mod adapter;
mod authentication;
mod certificate;
mod database;
mod door;
mod identity;
mod journal;
mod limits;
mod remote;
mod secret;
#[cfg(test)]
mod tests;
mod upstream;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use crate::document::{Findings, Node, Reader, Source, parse};

pub use adapter::{AdapterChoice, PACKAGED_ADAPTERS, adapter_path};
pub use authentication::{
    ALGORITHMS, Administrator, Assertion, Authentication, Basic, Bearer, ClaimRule, Confined, Digest, DigestAlgorithm,
    Flows, Introspection, Jwt, MAX_BCRYPT, NoCredential, Oauth2, OauthClient, Password, Required,
};
pub use certificate::{CertificateName, ClientCertificate};
pub use database::{Backend, Database, Pool};
pub use door::{Admin, Tls, TlsVersion};
pub use identity::{Action, Adopt, BulkTransaction, IdentityServer, NoTarget, PatchAnswers, Profile, Put, Switches};
pub use journal::{Journal, SaveRequests};
pub use limits::{Limits, Log, LogFormat, LogLevel};
pub use remote::{Target, Trust, Url};
pub use secret::Secret;
pub use upstream::{Place, Upstream, UpstreamHttp};

/// A configuration that was checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    /// Where the service listens; at least one.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key; None speaks plain HTTP (loopback, or behind a trusted proxy).
    pub tls: Option<Tls>,
    /// Whose `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The address that clients use, without a trailing slash.
    pub public_url: String,
    /// The application's database.
    pub database: Database,
    /// Where scimshim's own tables live: database, schema, or on SQLite the prefix without its `_`.
    pub own_schema: String,
    /// The adapter's file and parameters.
    pub adapter: AdapterChoice,
    /// The application itself, for everything that is not ours; None answers 404.
    pub upstream: Option<Upstream>,
    /// At least one; exactly one is the default.
    pub identity_servers: Vec<IdentityServer>,
    /// How long the journal is kept.
    pub journal: Journal,
    /// How the service logs.
    pub log: Log,
    /// What it refuses to exceed.
    pub limits: Limits,
    /// The private listener.
    pub admin: Admin,
}

impl Config {
    /// The identity server of a name.
    pub fn identity_server(&self, name: &str) -> Option<&IdentityServer> {
        self.identity_servers.iter().find(|server| server.name == name)
    }

    /// The identity server that answers under `/scim/v2` without its name.
    pub fn default_server(&self) -> Option<&IdentityServer> {
        self.identity_servers.iter().find(|server| server.default)
    }
}

/// Reads and checks a configuration file. Everything wrong goes to `findings`; None if any of it is an error.
pub fn load(path: &Path, findings: &mut Findings) -> Option<Config> {
    let source = Source::read(path, findings)?;
    from_source(source, path, findings)
}

/// Checks a configuration that is already in memory, as if it stood at `path`.
pub fn from_source(source: Source, path: &Path, findings: &mut Findings) -> Option<Config> {
    let environment = |name: &str| std::env::var(name).ok();
    check(source, path, &environment, findings)
}

/// What the readers need besides the document.
#[derive(Clone, Copy)]
struct Context<'a> {
    /// The configuration's folder: what relative paths are relative to.
    directory: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Context<'_> {
    fn resolve(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }
}

fn check(
    source: Source,
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    findings: &mut Findings,
) -> Option<Config> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let context = Context { directory, environment };
    let mut own = Findings::new();
    let config = parse(source, &mut own).and_then(|node| read(&node, path, context, &mut own));
    let config = config.filter(|_| !own.has_errors());
    findings.extend(own);
    config
}

/// Reads every section, so that all findings come at once; a section that is wrong gives None.
fn read(node: &Node, path: &Path, context: Context<'_>, findings: &mut Findings) -> Option<Config> {
    let mut reader = Reader::mapping(node, findings)?;
    let door = door::read(&mut reader, context, findings);
    let database = database::read(&mut reader, context, findings);
    let own_schema = database::own_schema(&mut reader, findings);
    let adapter = adapter::read(&mut reader, context, findings);
    let upstream = upstream::read(&mut reader, context, door.as_ref(), findings);
    let identity_servers = identity::read(&mut reader, context, door.as_ref(), findings);
    let asks = |door: &door::Door| door.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    let servers = node.get("identity_servers").map(Node::entries).unwrap_or_default();
    if door.as_ref().is_some_and(asks)
        && servers.iter().all(|(_, server)| server.get("client_certificate").is_none())
        && let Some(node) = node.get("tls").and_then(|tls| tls.get("client_ca"))
    {
        let finding = findings.warning(node, "clients are asked for a certificate that no identity server needs");
        finding.help("say whose under `client_certificate` of an identity server, or remove this");
    }
    let journal = journal::read(&mut reader, findings);
    let log = limits::log(&mut reader, findings);
    let limits = limits::read(&mut reader, findings);
    reader.finish(findings);
    let door = door?;
    Some(Config {
        path: path.to_owned(),
        listen: door.listen,
        tls: door.tls,
        trusted_proxies: door.trusted_proxies,
        public_url: door.public_url,
        database: database?,
        own_schema: own_schema?,
        adapter: adapter?,
        upstream: upstream?,
        identity_servers: identity_servers?,
        journal,
        log,
        limits,
        admin: door.admin,
    })
}
