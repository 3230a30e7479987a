//! `jwt` and `introspection`: access tokens of somebody else's authorization server, checked by its public keys (RFC 9068)
//! or by asking it (RFC 7662).

use super::Around;
use crate::config::remote::{self, Trust, Url};
use crate::config::{Secret, secret, values};
use crate::document::{Findings, Node, Reader};
use jsonwebtoken::Algorithm;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The signature algorithms that have a public key, by the names of RFC 7518 3.1 and RFC 8037.
pub const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// How long what an authorization server said of a token may be believed.
const CACHE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// Tokens that an issuer signed.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// Their `iss`.
    pub issuer: String,
    /// One of these is in their `aud`.
    pub audiences: Vec<String>,
    /// Where the issuer's keys are; None where its metadata says so.
    pub jwks_url: Option<Url>,
    /// What they may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// What they must claim.
    pub required: Required,
    /// Why the issuer's server is believed.
    pub trust: Trust,
}

/// Tokens that an authorization server is asked about.
#[derive(Clone, Debug)]
pub struct Introspection {
    /// Its introspection endpoint.
    pub url: Url,
    /// What this service is called there.
    pub client_id: String,
    /// What proves it.
    pub client_secret: Secret,
    /// How long an answer is believed.
    pub cache: Duration,
    /// The tokens' issuer, where that is said.
    pub issuer: Option<String>,
    /// One of these is in the tokens' `aud`; empty asks for none.
    pub audiences: Vec<String>,
    /// What the answer must claim.
    pub required: Required,
    /// Why the server is believed.
    pub trust: Trust,
}

/// What a token must claim besides issuer and audience.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Required {
    /// Its `sub`.
    pub subject: Option<String>,
    /// Others.
    pub claims: Vec<ClaimRule>,
}

/// What one claim must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRule {
    /// Its name; several for one inside others: `realm_access`, `roles`.
    pub path: Vec<String>,
    /// All of these must be in it: in its array, among the words of its text (RFC 8693 4.2), or be its only value.
    pub values: Vec<String>,
}

pub(super) fn read(node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<Jwt> {
    let mut reader = Reader::mapping(node, findings)?;
    let issuer = text(&mut reader, "issuer", findings);
    let audiences = reader.required("audience", findings).map(|node| texts(node, findings)).unwrap_or_default();
    let jwks_url = reader.given("jwks_url").map(|node| remote::read_url(node, findings));
    let algorithms = algorithms(&mut reader, findings);
    let required = required(&mut reader, findings);
    let trust = remote::read_trust(&mut reader, around.context, findings);
    reader.finish(findings);
    if let (Some((issuer, at)), None) = (&issuer, &jwks_url)
        && Url::parse(issuer).map_or(true, |url| url.target().contains('?'))
    {
        let finding = findings.error(*at, "the issuer is no https URL, so its keys cannot be found by it");
        finding.help("write `jwks_url: https://...`");
    }
    if required == Some(Required::default()) {
        let finding = findings.warning(node, "every token of this issuer for this audience is taken, whoever got it");
        finding.help("say whose under `subject`, or what it must claim under `claims`");
    }
    Some(Jwt {
        issuer: issuer?.0.to_owned(),
        audiences: Some(audiences).filter(|audiences| !audiences.is_empty())?,
        jwks_url: match jwks_url {
            Some(url) => Some(url?),
            None => None,
        },
        algorithms: algorithms?,
        required: required?,
        trust: trust?,
    })
}

pub(super) fn read_introspection(node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<Introspection> {
    let mut reader = Reader::mapping(node, findings)?;
    let url = reader.required("url", findings).and_then(|node| remote::read_url(node, findings));
    let client_id = text(&mut reader, "client_id", findings);
    let client_secret = reader.required("client_secret", findings);
    let client_secret = client_secret.and_then(|node| secret::read(node, around.context, findings));
    let cache = values::duration(&mut reader, "cache", Duration::from_secs(30), findings);
    if let Some(node) = reader.given("cache").filter(|_| !CACHE.contains(&cache)) {
        let finding = findings.error(node, "what the server said of a token is kept from 1s to 5m");
        finding.help("a token that was revoked is taken for as long");
    }
    let issuer = reader.given("issuer").is_some().then(|| text(&mut reader, "issuer", findings));
    let audiences = reader.given("audience").map(|node| texts(node, findings)).unwrap_or_default();
    let required = required(&mut reader, findings);
    let trust = remote::read_trust(&mut reader, around.context, findings);
    reader.finish(findings);
    if required == Some(Required::default()) && audiences.is_empty() {
        let finding = findings.warning(node, "every active token of this server is taken, whoever got it for whatever");
        finding.help("say for whom under `audience`, or whose or what it must claim under `subject` or `claims`");
    }
    Some(Introspection {
        url: url?,
        client_id: client_id?.0.to_owned(),
        client_secret: client_secret?,
        cache,
        issuer: match issuer {
            Some(issuer) => Some(issuer?.0.to_owned()),
            None => None,
        },
        audiences,
        required: required?,
        trust: trust?,
    })
}

/// Text that is not empty, and where it stands.
fn text<'n>(reader: &mut Reader<'n>, key: &str, findings: &mut Findings) -> Option<(&'n str, &'n Node)> {
    let node = reader.required(key, findings)?;
    read_text(node, findings).map(|text| (text, node))
}

fn read_text<'n>(node: &'n Node, findings: &mut Findings) -> Option<&'n str> {
    let text = node.read_str(findings)?;
    if text.is_empty() {
        findings.error(node, "this is empty");
    }
    Some(text).filter(|text| !text.is_empty())
}

/// One or several, none of them empty; at least one, or it is reported.
fn texts(node: &Node, findings: &mut Findings) -> Vec<String> {
    let all = node.one_or_many();
    if all.is_empty() {
        findings.error(node, "this list is empty");
    }
    all.iter().filter_map(|node| read_text(node, findings)).map(str::to_owned).collect()
}

fn algorithms(reader: &mut Reader<'_>, findings: &mut Findings) -> Option<Vec<Algorithm>> {
    let Some(node) = reader.given("algorithms") else {
        return Some(vec![Algorithm::RS256]);
    };
    let mut read = Vec::new();
    for word in node.one_or_many() {
        let secret = word.as_str().filter(|name| name.starts_with("HS") || name.eq_ignore_ascii_case("none"));
        if let Some(name) = secret {
            let finding = findings.error(word, format!("`{name}` proves nothing that a public key could check"));
            finding.help("use what the issuer signs with, most often RS256");
        } else if let Some(algorithm) = word.read_word(&ALGORITHMS, findings) {
            read.push(algorithm);
        }
    }
    if node.one_or_many().is_empty() {
        findings.error(node, "no algorithm").help("leave `algorithms` out for RS256");
    }
    (!read.is_empty()).then_some(read)
}

fn required(reader: &mut Reader<'_>, findings: &mut Findings) -> Option<Required> {
    let subject = match reader.given("subject") {
        Some(node) => Some(read_text(node, findings)?.to_owned()),
        None => None,
    };
    let mut claims = Vec::new();
    if let Some(node) = reader.given("claims") {
        if node.read_entries(findings)?.is_empty() {
            findings.error(node, "no claim is named").help("for example `claims: { scope: scim }`");
        }
        rules(node, &mut Vec::new(), &mut claims, findings);
    }
    Some(Required { subject, claims })
}

/// Claims within claims are written as they are in the token: `realm_access: { roles: [scim] }`.
fn rules(node: &Node, path: &mut Vec<String>, claims: &mut Vec<ClaimRule>, findings: &mut Findings) {
    for (key, node) in node.entries() {
        path.push(key.text.clone());
        if node.entries().is_empty() {
            let mut values = Vec::new();
            for value in node.one_or_many() {
                match value.scalar_text().filter(|text| !text.is_empty() && !value.is_null()) {
                    Some(text) => values.push(text.to_owned()),
                    None => {
                        let found = value.found();
                        findings.error(value, format!("expected what the claim must have, found {found}"));
                    }
                }
            }
            if node.one_or_many().is_empty() {
                findings.error(node, "this list is empty, and would ask for nothing");
            }
            claims.push(ClaimRule { path: path.clone(), values });
        } else {
            rules(node, path, claims, findings);
        }
        path.pop();
    }
}
