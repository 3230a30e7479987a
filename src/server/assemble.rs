//! From a configuration to something that can answer: the adapter's document is read, the database
//! opened, the catalogue read, the adapter compiled against it, our own tables found, acting users
//! looked up. `check` and `serve` both go this way.

use super::discovery::Discovery;
use super::route::Endpoint;
use super::state::{Form, Ready, Served};
use crate::adapter::{self, Adapter, Document};
use crate::config::{
    Action, Adopt, BulkTransaction, Config, IdentityServer, NoTarget, PatchAnswers, Put, SaveRequests,
};
use crate::directory::{Actor, Directory, Operation, PatchAnswer, Permissions, Saver, Saves, ServerView};
use crate::document::{Findings, Node};
use crate::identity::basic::Basic;
use crate::identity::counts::{CountStore, Counts};
use crate::identity::digest::Digest;
use crate::identity::foreign::Foreign;
use crate::identity::live::LiveTokens;
use crate::identity::oauth2::Authority;
use crate::identity::oauth2::live::LiveAccess;
use crate::identity::oauth2::store::GrantStore;
use crate::identity::store::TokenStore;
use crate::identity::token::audience;
use crate::identity::{Identity, Memory, Methods, Server};
use crate::own::{Missing, Own};
use crate::sql::{self, Catalogue, Database, Failure};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why there is nothing to answer with.
#[derive(Debug)]
pub enum Trouble {
    /// The database does not answer, or not now.
    Database(sql::Error),
    /// The configuration or the adapter is wrong.
    Findings(Findings),
    /// scimshim's own tables are not there; what to do.
    Setup(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Database(error) => write!(f, "the database cannot be used: {error}"),
            Trouble::Findings(findings) => f.write_str(findings.render(false).trim_end()),
            Trouble::Setup(message) => f.write_str(message),
        }
    }
}

/// Everything that is known before the database is.
pub struct Assembler {
    config: Arc<Config>,
    document: Document,
    /// Documents of the identity servers that have parameters of their own.
    own_documents: Vec<Option<Document>>,
    database: Arc<dyn Database>,
    own: Own,
    memory: Arc<Memory>,
    /// How each identity server takes tokens of others.
    foreign: Vec<Foreign>,
}

impl Assembler {
    /// Reads the adapter's document and prepares the pool; makes no connection.
    pub fn new(config: &Config) -> Result<Self, Trouble> {
        Self::again(config, Arc::new(Memory::new(config.limits.failures_per_minute)))
    }

    /// The same with what another one remembers of those who came.
    pub fn again(config: &Config, memory: Arc<Memory>) -> Result<Self, Trouble> {
        let mut findings = Findings::new();
        let document = read_adapter(config, &mut findings);
        let own_documents = read_own_adapters(config, &mut findings);
        if let Some(document) = &document {
            known_types(config, document, &mut findings);
        }
        let Some(document) = document.filter(|_| !findings.has_errors()) else {
            return Err(Trouble::Findings(findings));
        };
        let foreign = config.identity_servers.iter().map(|server| {
            let unusable =
                |why| Trouble::Setup(format!("tokens of others for `{}` cannot be checked: {why}", server.name));
            Foreign::new(&server.authentication, &memory.key_sets).map_err(unusable)
        });
        let foreign = foreign.collect::<Result<_, _>>()?;
        let database = open(config).map_err(Trouble::Database)?;
        let own = Own::new(database.dialect(), &config.own_schema);
        Ok(Self { config: Arc::new(config.clone()), document, own_documents, database, own, memory, foreign })
    }

    /// What is remembered of those who came, for the next assembler.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The database, for the verbs that use it otherwise.
    pub fn database(&self) -> &Arc<dyn Database> {
        &self.database
    }

    /// Our own tables.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// The adapter's document.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// What the live database says of the tables that the adapter speaks of.
    pub fn catalogue(&self) -> Result<Catalogue, sql::Error> {
        let mut schemas = self.document.schemas();
        let scopes = self.config.identity_servers.iter().filter_map(|server| server.scope.as_ref());
        for table in scopes.flat_map(adapter::tables_in).filter(|table| table.schema.is_some()) {
            if !schemas.contains(&table.schema) {
                schemas.push(table.schema);
            }
        }
        let mut catalogue = None;
        self.database.with(&mut |connection| {
            catalogue = Some(connection.catalogue(&schemas)?);
            Ok(())
        })?;
        catalogue.ok_or_else(|| sql::Error::new(Failure::Other, "the catalogue was not read"))
    }

    /// Compiles the adapter against a catalogue; `None` where anything is an error.
    pub fn compile(&self, catalogue: &Catalogue, findings: &mut Findings) -> Option<Adapter> {
        adapter::compile(&self.document, catalogue, self.database.dialect(), findings)
    }

    /// The adapters of the identity servers that have a scope or parameters of their own, in their order; `None` for
    /// those that have the common one. What is wrong with one is among the findings.
    pub fn compile_own(&self, catalogue: &Catalogue, findings: &mut Findings) -> Vec<Option<Adapter>> {
        let servers = self.config.identity_servers.iter().zip(&self.own_documents);
        let compiled = servers.map(|(server, document)| {
            if document.is_none() && server.scope.is_none() {
                return None;
            }
            let document = document.as_ref().unwrap_or(&self.document);
            let dialect = self.database.dialect();
            adapter::compile_within(document, catalogue, dialect, server.scope.as_ref(), findings)
        });
        compiled.collect()
    }

    /// Everything that answers requests, with the first signing key made where nobody has yet.
    pub fn begin(&self) -> Result<Ready, Trouble> {
        self.gather(true)
    }

    /// The same, reading only.
    pub fn assemble(&self) -> Result<Ready, Trouble> {
        self.gather(false)
    }

    fn gather(&self, make_key: bool) -> Result<Ready, Trouble> {
        let mut findings = Findings::new();
        let catalogue = self.catalogue().map_err(Trouble::Database)?;
        let Some(adapter) = self.compile(&catalogue, &mut findings) else {
            return Err(Trouble::Findings(findings));
        };
        let own = self.compile_own(&catalogue, &mut findings);
        if findings.has_errors() {
            return Err(Trouble::Findings(findings));
        }
        let page = u64::try_from(self.config.limits.page).unwrap_or(u64::MAX);
        let store = TokenStore::new(Arc::clone(&self.database), self.own.clone());
        match store.is_ready() {
            // Rights may be held in ways that the catalogue does not tell (by PUBLIC, by a role): `check` says so, and a service
            // goes on until a statement is refused.
            Err(missing @ Missing::Rights(_)) if make_key => tracing::warn!(%missing, "a right may be missing"),
            ready => ready.map_err(|missing| self.missing(missing))?,
        }
        let mut keys = store.keyring().map_err(|error| self.own_trouble(error))?;
        if make_key && !keys.signs() {
            store.ensure_key().map_err(|error| self.own_trouble(error))?;
            keys = store.keyring().map_err(|error| self.own_trouble(error))?;
        }
        let directory = |adapter: Adapter| {
            Arc::new(Directory::new(Arc::clone(&self.database), Arc::new(adapter), self.own.clone(), page))
        };
        let endpoints = adapter.resource_types.iter().map(|type_| Endpoint::new(&type_.endpoint)).collect();
        let common = directory(adapter);
        let mut servers = Vec::new();
        let mut known = Vec::new();
        let grants = GrantStore::new(Arc::clone(&self.database), self.own.clone());
        let pool = &self.config.database.pool;
        let live = LiveAccess::new(Arc::new(grants.clone()), pool.checkout_timeout);
        for ((server, own), foreign) in self.config.identity_servers.iter().zip(own).zip(&self.foreign) {
            let directory = own.map_or_else(|| Arc::clone(&common), directory);
            let actor = acting_user(server, &directory, &mut findings).map_err(Trouble::Database)?;
            let authority = self.authority(server, &directory, &grants, &live, &mut findings)?;
            servers.push(self.served(server, actor, directory, authority.clone()));
            known.push(Server {
                name: Arc::from(server.name.as_str()),
                default: server.default,
                active: server.active,
                methods: methods(server, authority, foreign.clone()),
                certificate: server.client_certificate.clone(),
                allow_from: server.allow_from.clone(),
                audience: audience(&self.config.public_url, &server.name),
            });
        }
        if findings.has_errors() {
            return Err(Trouble::Findings(findings));
        }
        let issuer = self.config.public_url.clone();
        let tokens = LiveTokens::new(Arc::new(store), keys, issuer, pool.checkout_timeout);
        let counts = CountStore::new(Arc::clone(&self.database), self.own.clone());
        let counts = Counts::new(Arc::new(counts), pool.max, pool.checkout_timeout);
        Ok(Ready {
            database: Arc::clone(&self.database),
            endpoints,
            identity: Identity::new(known, tokens, counts, Arc::clone(&self.memory)),
            servers,
        })
    }

    /// The authorization server of an identity server, where it has one. One to which nobody may agree is an error.
    fn authority(
        &self,
        server: &IdentityServer,
        directory: &Directory,
        grants: &GrantStore,
        live: &LiveAccess,
        findings: &mut Findings,
    ) -> Result<Option<Arc<Authority>>, Trouble> {
        let Some(oauth2) = &server.authentication.oauth2 else {
            return Ok(None);
        };
        let (url, hash) = (&self.config.public_url, directory.administrators_hash());
        let authority =
            Authority::new(url, &server.name, oauth2, hash, grants.clone(), live.clone(), &self.memory.key_sets);
        let authority = authority.map_err(|why| Trouble::Database(sql::Error::new(Failure::Other, why)))?;
        if !authority.accounts.any() && oauth2.clients.iter().any(|client| client.flows.authorization_code) {
            findings
                .error(&server.place, format!("nobody could agree to what the clients of `{}` ask for", server.name))
                .help("add `administrators: [{ name, password_hash }]`: this adapter does not say who the application's are");
        }
        Ok(Some(Arc::new(authority)))
    }

    fn served(
        &self,
        server: &IdentityServer,
        actor: Option<Actor>,
        directory: Arc<Directory>,
        oauth2: Option<Arc<Authority>>,
    ) -> Served {
        let adapter = directory.adapter();
        let limits = &self.config.limits;
        let form = |base_url: String| {
            let discovery = Discovery::new(adapter, &base_url, limits, &server.authentication);
            Arc::new(Form { discovery, base_url: Arc::from(base_url) })
        };
        let by_name = form(format!("{}/scim/{}/v2", self.config.public_url, server.name));
        let by_default =
            if server.default { form(format!("{}/scim/v2", self.config.public_url)) } else { Arc::clone(&by_name) };
        Served {
            saver: Saver::new(saves(server.save_requests), directory.adapter()),
            directory,
            name: Arc::from(server.name.as_str()),
            view: Arc::new(ServerView {
                name: server.name.clone(),
                default: server.default,
                actor,
                may: permissions(server),
                put_keeps_unmentioned: server.switches.put == Put::KeepUnmentioned,
                adopt: server.switches.adopt == Adopt::Link,
                strict_no_target: server.switches.no_target == NoTarget::Refuse,
                deactivations_per_hour: server.brake.deactivations_per_hour,
                dry_run: server.dry_run,
                patch_answers: match server.switches.patch_answers {
                    PatchAnswers::Auto => PatchAnswer::Auto,
                    PatchAnswers::Resource => PatchAnswer::Whole,
                    PatchAnswers::NoContent => PatchAnswer::Nothing,
                },
            }),
            bulk_together: server.bulk_transaction == BulkTransaction::Request,
            open_discovery: server.discovery_without_authentication,
            oauth2,
            by_default,
            by_name,
        }
    }

    /// A table of ours that is not there has a remedy of its own.
    pub fn own_trouble(&self, error: sql::Error) -> Trouble {
        match error.failure {
            Failure::Schema => self.missing(Missing::Tables),
            Failure::Privilege => self.missing(Missing::Privilege(error)),
            _ => Trouble::Database(error),
        }
    }

    fn missing(&self, missing: Missing) -> Trouble {
        match missing {
            Missing::Database(error) => Trouble::Database(error),
            missing @ (Missing::Rights(_) | Missing::Privilege(_)) => Trouble::Setup(missing.to_string()),
            missing @ Missing::Newer { .. } => Trouble::Setup(missing.to_string()),
            missing => Trouble::Setup(format!(
                "{missing} (`scimshim setup --apply --config {}` creates them in `{}`)",
                self.config.path.display(),
                self.config.own_schema
            )),
        }
    }
}

/// Reads the document that the configuration chose, with its parameters.
pub fn read_adapter(config: &Config, findings: &mut Findings) -> Option<Document> {
    adapter::load(&config.adapter.path, &parameters_of(config, None), findings)
}

/// The same once for each identity server that has parameters of its own.
fn read_own_adapters(config: &Config, findings: &mut Findings) -> Vec<Option<Document>> {
    let servers = config.identity_servers.iter();
    let read = servers.map(|server| {
        let own = server.parameters.as_ref().filter(|node| !node.entries().is_empty())?;
        adapter::load(&config.adapter.path, &parameters_of(config, Some(own)), findings)
    });
    read.collect()
}

/// The parameters under `adapter`, and over them those of an identity server.
fn parameters_of(config: &Config, own: Option<&Node>) -> Vec<(String, Node)> {
    let mut all: Vec<(String, Node)> = Vec::new();
    for (key, value) in config.adapter.parameters.iter().chain(own).flat_map(Node::entries) {
        all.retain(|(name, _)| *name != key.text);
        all.push((key.text.clone(), value.clone()));
    }
    all
}

/// The pool of a configuration; no connection is made yet.
pub fn open(config: &Config) -> Result<Arc<dyn Database>, sql::Error> {
    let database = &config.database;
    // Asked for one that is not there, SQLite would make an empty one.
    let path = database.url.strip_prefix("sqlite://");
    let path = path.map(|path| percent_encoding::percent_decode_str(path).decode_utf8_lossy());
    if let Some(path) = path.filter(|path| !std::path::Path::new(&**path).exists()) {
        return Err(sql::Error::new(Failure::Connection, format!("there is no file {path}")));
    }
    sql::open(
        &database.url,
        sql::Options {
            password: database.password.as_ref().map(|password| password.expose().to_owned()),
            tls: database.ca.as_ref().map(|ca| sql::TlsOptions { ca: ca.clone() }),
            max: database.pool.max,
            checkout_timeout: database.pool.checkout_timeout,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: database.statement_timeout,
            lock_timeout: database.lock_timeout,
            strict: true,
        },
    )
}

/// Resource types in an identity server's `may` that the adapter does not have, in any version of the application.
fn known_types(config: &Config, document: &Document, findings: &mut Findings) {
    let types = document.resource_types();
    let named = config.identity_servers.iter().filter_map(|server| server.may.as_ref()).flatten();
    for (key, _) in named.filter(|(key, _)| !types.contains(&key.text.as_str())) {
        let finding = findings.error(key, format!("the adapter has no resource type `{}`", key.text));
        match crate::document::nearest(&key.text, types.iter().copied()) {
            Some(near) => finding.help(format!("did you mean `{near}`?")),
            None => finding.help(format!("it has: {}", types.join(", "))),
        };
    }
}

/// The application's user whom an identity server acts as. One that is not there is an error: its
/// histories would name nobody.
fn acting_user(
    server: &IdentityServer,
    directory: &Directory,
    findings: &mut Findings,
) -> Result<Option<Actor>, sql::Error> {
    let (Some(name), Some(node)) = (server.acting_user_name(), &server.acting_user) else {
        return Ok(None);
    };
    let actor = directory.actor(name)?;
    if actor.is_none() {
        findings
            .error(node, format!("the application has no user `{name}` to act as"))
            .help("give the userName of one that exists, or make one for scimshim");
    }
    Ok(actor)
}

/// How an identity server may prove who it is.
fn methods(server: &IdentityServer, oauth2: Option<Arc<Authority>>, foreign: Foreign) -> Methods {
    let configured = &server.authentication;
    Methods {
        none: configured.none,
        basic: configured.basic.as_ref().map(Basic::new),
        digest: configured.digest.as_ref().map(Digest::new),
        bearer: configured.bearer,
        oauth2,
        foreign,
    }
}

fn saves(save_requests: SaveRequests) -> Saves {
    match save_requests {
        SaveRequests::None => Saves::Nothing,
        SaveRequests::Redacted => Saves::Redacted,
        SaveRequests::Full => Saves::Full,
    }
}

fn permissions(server: &IdentityServer) -> Permissions {
    let permissions = allowed(server);
    match &server.scope {
        Some(scope) => permissions.within(scope.entries().iter().map(|(key, _)| key.text.clone()).collect()),
        None => permissions,
    }
}

fn allowed(server: &IdentityServer) -> Permissions {
    let Some(may) = &server.may else {
        return Permissions::all();
    };
    let operation = |action: &Action| match action {
        Action::Create => Operation::Create,
        Action::Read => Operation::Read,
        Action::Update => Operation::Update,
        Action::Deactivate => Operation::Deactivate,
        Action::Delete => Operation::Delete,
    };
    Permissions::only(
        may.iter().map(|(key, actions)| (key.text.clone(), actions.iter().map(operation).collect())).collect(),
    )
}
