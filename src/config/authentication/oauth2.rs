//! Our own OAuth 2 authorization server: `identity_servers.*.authentication.oauth2`.
//!
//! Whatever would make a flow less safe than it can be is an error here, not a surprise later: redirect_uris that are not
//! https, clients without a secret that speak for themselves, hashes that are no hashes.

use super::{Around, password_hash};
use crate::config::{Secret, Trust, Url, remote, values};
use crate::document::{Findings, Node, Reader};
use std::time::Duration;

/// OAuth 2, where this service gives the tokens.
#[derive(Clone, Debug)]
pub struct Oauth2 {
    /// Who may ask for tokens; at least one.
    pub clients: Vec<OauthClient>,
    /// Who may agree, besides the application's own administrators where the adapter names them.
    pub administrators: Vec<Administrator>,
    /// How long access tokens live.
    pub access_token_lifetime: Duration,
}

/// One client.
#[derive(Clone, Debug)]
pub struct OauthClient {
    /// `client_id`.
    pub id: String,
    /// argon2id or bcrypt hashes of its secret; two while one takes the place of the other.
    pub secret_hashes: Vec<Secret>,
    /// What it may do.
    pub flows: Flows,
    /// Where answers may go, compared character by character.
    pub redirect_uris: Vec<String>,
    /// Assertions that prove who it is, instead of a secret.
    pub assertion: Option<Assertion>,
}

impl OauthClient {
    /// Whether it has no way to prove who it is (RFC 6749 2.1).
    pub fn is_public(&self) -> bool {
        self.secret_hashes.is_empty() && self.assertion.is_none()
    }
}

/// The flows of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flows {
    /// An administrator agrees; refresh tokens come with it.
    pub authorization_code: bool,
    /// It speaks for itself.
    pub client_credentials: bool,
}

/// A signed assertion (RFC 7523 2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assertion {
    /// Signed by the client itself.
    PrivateKeyJwt {
        /// Where its public keys are.
        jwks_url: Url,
        /// Whom to believe that.
        trust: Trust,
    },
    /// Signed by an identity provider that speaks for it: workload identity federation.
    Federated {
        /// `iss`.
        issuer: String,
        /// `sub`.
        subject: String,
        /// `aud`.
        audience: String,
        /// Where the provider's public keys are.
        jwks_url: Url,
        /// Whom to believe that.
        trust: Trust,
    },
}

/// Somebody who may agree.
#[derive(Clone, Debug)]
pub struct Administrator {
    /// What is typed as the name.
    pub name: String,
    /// An argon2id or bcrypt hash of the password.
    pub password_hash: Secret,
}

/// What is stored of an id and of a name.
const LONGEST_ID: usize = 100;
const LIFETIME: Duration = Duration::from_secs(3600);
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(86_400);

pub(super) fn read(node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<Oauth2> {
    let mut reader = Reader::mapping(node, findings)?;
    let clients = reader.required("clients", findings);
    let mut all: Vec<OauthClient> = Vec::new();
    for node in clients.map(Node::one_or_many).unwrap_or_default() {
        let Some(client) = client(node, around, findings) else { continue };
        if all.iter().any(|other| other.id == client.id) {
            findings.error(node, format!("a second client `{}`", client.id));
        }
        all.push(client);
    }
    if let Some(node) = clients.filter(|node| node.one_or_many().is_empty()) {
        findings.error(node, "there is no client").help("clients: [{ id: okta, secret_hash: \"$argon2id$...\" }]");
    }
    let mut administrators: Vec<Administrator> = Vec::new();
    for node in reader.given("administrators").map(Node::one_or_many).unwrap_or_default() {
        let Some(administrator) = administrator(node, around, findings) else { continue };
        if administrators.iter().any(|other| other.name == administrator.name) {
            findings.error(node, format!("a second administrator `{}`", administrator.name));
        }
        administrators.push(administrator);
    }
    let lifetime = values::duration(&mut reader, "access_token_lifetime", LIFETIME, findings);
    if let Some(node) = reader.given("access_token_lifetime").filter(|_| !(SHORTEST..=LONGEST).contains(&lifetime)) {
        let finding = findings.error(node, "an access token lives from 1m to 24h");
        finding.help("clients fetch a new one by themselves; 1h suits all that are known");
    }
    reader.finish(findings);
    Some(Oauth2 { clients: all, administrators, access_token_lifetime: lifetime })
}

fn client(node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<OauthClient> {
    let mut reader = Reader::mapping(node, findings)?;
    let id_node = reader.required("id", findings);
    let hashes = reader.given("secret_hash");
    let secret_hashes: Vec<Secret> = hashes
        .map(Node::one_or_many)
        .unwrap_or_default()
        .iter()
        .filter_map(|node| password_hash::read(node, around.context, findings))
        .collect();
    if let Some(node) = hashes.filter(|node| node.one_or_many().len() > 2) {
        findings.error(node, "more than two secrets").help("two are enough to replace one by the other");
    }
    let flows_node = reader.given("flows");
    let redirects = reader.given("redirect_uris");
    let redirect_uris: Vec<String> = redirects
        .map(Node::one_or_many)
        .unwrap_or_default()
        .iter()
        .filter_map(|node| redirect_uri(node, findings))
        .collect();
    let own_keys = reader.given("private_key_jwt");
    let federation = reader.given("federated");
    let assertion = match (own_keys, federation) {
        (Some(_), Some(other)) => {
            findings.error(other, "`federated` beside `private_key_jwt`: a client has one way to sign");
            None
        }
        (Some(node), None) => private_key_jwt(node, around, findings),
        (None, Some(node)) => federated(node, around, findings),
        (None, None) => None,
    };
    reader.finish(findings);

    let id = id_node?.read_str(findings)?.to_owned();
    if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        let finding = findings.error(&id_node.cloned(), "a client id is 1 to 100 printable ASCII characters");
        finding.help("it is what the identity provider calls \"Client ID\"");
    }
    let proves = hashes.is_some() || own_keys.is_some() || federation.is_some();
    let flows = flows(flows_node, !redirect_uris.is_empty() || redirects.is_some(), findings)?;
    let at = flows_node.unwrap_or(node);
    if flows.authorization_code && redirects.is_none() {
        findings.error(at, format!("the client `{id}` has no redirect_uris")).help(
            "the identity provider shows the one it uses; without authorization_code: `flows: [client_credentials]`",
        );
    }
    if let Some(node) = redirects.filter(|_| !flows.authorization_code) {
        findings.error(node, "redirect_uris are for the flow authorization_code").help("leave them out");
    }
    if flows.client_credentials && !proves {
        findings
            .error(at, format!("the client `{id}` could be anybody"))
            .help("client_credentials needs `secret_hash`, `private_key_jwt` or `federated` (RFC 6749 4.4)");
    }
    if let Some(node) = federation.filter(|_| flows.authorization_code) {
        let finding = findings.error(node, "`federated` is for client_credentials alone");
        finding.help("a client that a person agrees to has a `secret_hash` or `private_key_jwt`");
    }
    if let Some(node) = hashes.filter(|_| own_keys.is_some() || federation.is_some()) {
        findings.error(node, "a secret beside assertions: the weaker one would do").help("leave one of them out");
    }
    Some(OauthClient { id, secret_hashes, flows, redirect_uris, assertion })
}

/// As said; else authorization_code with redirect_uris, client_credentials without.
fn flows(node: Option<&Node>, redirects: bool, findings: &mut Findings) -> Option<Flows> {
    let Some(node) = node else {
        return Some(Flows { authorization_code: redirects, client_credentials: !redirects });
    };
    let words = [("authorization_code", true), ("client_credentials", false)];
    let said: Vec<bool> = node.one_or_many().iter().filter_map(|word| word.read_word(&words, findings)).collect();
    if node.one_or_many().is_empty() {
        findings
            .error(node, "a client without a flow can do nothing")
            .help("[authorization_code], [client_credentials] or both");
    }
    Some(Flows { authorization_code: said.contains(&true), client_credentials: said.contains(&false) })
}

/// https, or http on loopback (RFC 8252 7.3); no fragment (RFC 6749 3.1.2).
fn redirect_uri(node: &Node, findings: &mut Findings) -> Option<String> {
    let text = node.read_str(findings)?;
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let loopback = matches!(host, "localhost" | "127.0.0.1" | "::1");
    let problem = match scheme {
        _ if !text.bytes().all(|byte| matches!(byte, 0x21..=0x7e)) => Some("must be ASCII without spaces"),
        _ if text.contains(['"', '<', '>', '\\', '^', '`', '{', '|', '}']) => Some("holds a character that no URI has"),
        _ if text.contains('*') => Some("must be one address, without `*`: it is compared character by character"),
        _ if text.contains('#') => Some("must have no fragment"),
        _ if authority.contains('@') => Some("must name no user"),
        "https" if host.is_empty() => Some("must name a host"),
        "https" => None,
        "http" if loopback => None,
        "http" => Some("must begin with `https://` (`http://` is for loopback)"),
        _ => Some("must begin with `https://`"),
    };
    match problem {
        None => Some(text.to_owned()),
        Some(problem) => {
            findings.error(node, format!("a redirect_uri {problem}"));
            None
        }
    }
}

fn private_key_jwt(node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<Assertion> {
    let mut reader = Reader::mapping(node, findings)?;
    let url = reader.required("jwks_url", findings);
    let trust = remote::read_trust(&mut reader, around.context, findings);
    reader.finish(findings);
    Some(Assertion::PrivateKeyJwt { jwks_url: remote::read_url(url?, findings)?, trust: trust? })
}

fn federated(node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<Assertion> {
    let mut reader = Reader::mapping(node, findings)?;
    let mut text = |key: &str, findings: &mut Findings| {
        let node = reader.required(key, findings)?;
        let text = node.read_str(findings)?;
        if text.is_empty() {
            findings.error(node, format!("`{key}` is empty: every assertion would have it"));
            return None;
        }
        Some(text.to_owned())
    };
    let (issuer, subject) = (text("issuer", findings), text("subject", findings));
    let audience = text("audience", findings);
    let url = reader.required("jwks_url", findings);
    let trust = remote::read_trust(&mut reader, around.context, findings);
    reader.finish(findings);
    let jwks_url = remote::read_url(url?, findings)?;
    Some(Assertion::Federated { issuer: issuer?, subject: subject?, audience: audience?, jwks_url, trust: trust? })
}

fn administrator(node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<Administrator> {
    let mut reader = Reader::mapping(node, findings)?;
    let name_node = reader.required("name", findings);
    let hash = reader.required("password_hash", findings);
    reader.finish(findings);
    let hash = hash.and_then(|node| password_hash::read(node, around.context, findings));
    let name = name_node?.read_str(findings)?.to_owned();
    if name.is_empty() || name.chars().count() > LONGEST_ID || name.chars().any(char::is_control) {
        findings.error(&name_node.cloned(), "a name is 1 to 100 characters");
    }
    Some(Administrator { name, password_hash: hash? })
}
