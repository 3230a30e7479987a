//! How an identity server proves who it is: `authentication`, a method's name or a mapping of methods; any one of them
//! suffices. One file a method. What a method means for a request is decided in `identity/`, not here.

mod basic;
mod bearer;
mod digest;
mod jwt;
mod none;
mod oauth2;
mod password_hash;

use super::Context;
use super::identity::Profile;
use crate::document::{Findings, Node, Reader};

pub use basic::{Basic, Password};
pub use bearer::Bearer;
pub use digest::{Digest, DigestAlgorithm};
pub use jwt::{ALGORITHMS, ClaimRule, Introspection, Jwt, Required};
pub use none::{Confined, NoCredential};
pub use oauth2::{Administrator, Assertion, Flows, Oauth2, OauthClient};
pub use password_hash::MAX_BCRYPT;

/// The ways that an identity server has, at least one.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    /// No credential at all; then it is the only way.
    pub none: Option<NoCredential>,
    /// RFC 7617.
    pub basic: Option<Basic>,
    /// RFC 7616.
    pub digest: Option<Digest>,
    /// Tokens of `scimshim token`.
    pub bearer: Option<Bearer>,
    /// Tokens of our own authorization server.
    pub oauth2: Option<Oauth2>,
    /// Tokens that somebody else signed.
    pub jwt: Option<Jwt>,
    /// Tokens that somebody else is asked about.
    pub introspection: Option<Introspection>,
}

/// What the readers of the methods need to know of the identity server and the service.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Where secrets come from.
    pub(super) context: Context<'a>,
    /// Its profile: some clients speak a method in a way of their own.
    pub(super) profile: Profile,
    /// What confines who can reach it, for `none`; the outer None where the configuration is too wrong to tell.
    pub(super) confined: Option<Option<Confined>>,
}

/// The methods that this version knows.
const METHODS: [&str; 7] = ["none", "basic", "digest", "bearer", "oauth2", "jwt", "introspection"];

/// A method's name, or a mapping of methods; bearer when nothing is said.
pub(super) fn read(reader: &mut Reader<'_>, around: Around<'_>, findings: &mut Findings) -> Option<Authentication> {
    let Some(node) = reader.given("authentication") else {
        return Some(Authentication { bearer: Some(Bearer::of(around.profile)), ..Authentication::default() });
    };
    if let Some(method) = node.as_str() {
        return word(method, node, around, findings);
    }
    let mut reader = Reader::mapping(node, findings)?;
    if node.entries().is_empty() {
        findings.error(node, "no way to authenticate").help("write `authentication: bearer`");
    }
    let mut methods = Authentication::default();
    if let Some((key, node)) = reader.optional_entry("none") {
        if !node.is_null()
            && let Some(reader) = Reader::mapping(node, findings)
        {
            reader.finish(findings);
        }
        methods.none = none::check(key, around, findings);
    }
    methods.basic = reader.optional("basic").and_then(|node| basic::read(node, around, findings));
    methods.digest = reader.optional("digest").and_then(|node| digest::read(node, around, findings));
    methods.bearer = reader.optional("bearer").and_then(|node| bearer::read(node, around, findings));
    methods.oauth2 = reader.optional("oauth2").and_then(|node| oauth2::read(node, around, findings));
    methods.jwt = reader.optional("jwt").and_then(|node| jwt::read(node, around, findings));
    methods.introspection =
        reader.optional("introspection").and_then(|node| jwt::read_introspection(node, around, findings));
    reader.finish(findings);
    if let (Some((none, _)), true) = (node.entry("none"), node.entries().len() > 1) {
        let finding = findings.error(none, "with `none`, no other way would ever be asked for");
        finding.help("remove `none`, or the others");
    }
    Some(methods)
}

/// `authentication: bearer`
fn word(method: &str, node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<Authentication> {
    match method {
        "bearer" => Some(Authentication { bearer: Some(Bearer::of(around.profile)), ..Authentication::default() }),
        "none" => Some(Authentication { none: none::check(node, around, findings), ..Authentication::default() }),
        "basic" | "digest" => {
            let example = "{ username: NAME, password: \"${file:PATH}\" }";
            let finding = findings.error(node, format!("`{method}` needs a username and a password"));
            finding.help(format!("authentication: {{ {method}: {example} }}"));
            None
        }
        "oauth2" => {
            let finding = findings.error(node, "`oauth2` needs clients");
            finding.help("authentication: { oauth2: { clients: [...] } }, see docs/oauth2.md");
            None
        }
        "jwt" | "introspection" => {
            let example = match method {
                "jwt" => "{ issuer: URL, audience: NAME, claims: { scope: scim } }",
                _ => "{ url: URL, client_id: NAME, client_secret: \"${file:PATH}\", audience: NAME }",
            };
            let finding = findings.error(node, format!("`{method}` needs to know whose tokens are taken"));
            finding.help(format!("authentication: {{ {method}: {example} }}"));
            None
        }
        _ => {
            let near = crate::document::nearest(method, METHODS.into_iter()).unwrap_or("bearer");
            let finding = findings.error(node, format!("`{method}` is no way to authenticate"));
            finding.help(format!("did you mean `{near}`?"));
            None
        }
    }
}

/// A user name under `username`: something that can stand in a header, and with `colon` one for RFC 7617, which ends it there.
fn username(reader: &mut Reader<'_>, colon: bool, findings: &mut Findings) -> Option<String> {
    let node = reader.required("username", findings)?;
    let name = node.read_str(findings)?;
    let problem = match name {
        "" => "the user name is empty",
        _ if name.chars().any(char::is_control) => "a user name has no control characters",
        _ if !colon && name.contains(':') => "a user name of Basic authentication has no colon (RFC 7617 2)",
        _ if name.len() > 255 => "the user name is longer than 255 bytes",
        _ => return Some(name.to_owned()),
    };
    findings.error(node, problem);
    None
}
