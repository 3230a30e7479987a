//! Tokens that somebody else signed: JSON Web Tokens (RFC 7519), checked as RFC 8725 asks.
//!
//! The configuration says which algorithms, which issuer, whom the token must be for and what it must claim; the token
//! decides none of that. What could be read in two ways is refused: names that stand twice, numbers that are text,
//! anything a `crit` asks for. Keys come from the issuer's set alone: `jwk`, `jku`, `x5u` and `x5c` in a header are not
//! looked at. Reasons name the claim and what was expected, never the token.

use super::jwks::{Jwks, Wanted, asymmetric};
use super::live::Denied;
pub use crate::config::ClaimRule;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The longest token, in bytes. Those of large directories have 4 KiB.
pub const LONGEST: usize = 16 * 1024;
/// How far clocks may differ, in seconds.
pub const LEEWAY: i64 = 60;
/// The most of a claim's value that a reason quotes.
const QUOTED: usize = 120;
/// So many assertions are remembered at once.
const SEEN: usize = 10_000;

/// What a token must be like.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Its `iss`, to the letter.
    pub issuer: String,
    /// One of these must be in its `aud`.
    pub audiences: Vec<String>,
    /// It must be signed with one of these.
    pub algorithms: Vec<Algorithm>,
    /// Its `sub`, where that is said.
    pub subject: Option<String>,
    /// What it must claim besides.
    pub claims: Vec<ClaimRule>,
    /// The longest it may have left to live, in seconds, where that is said: what is remembered as used must end.
    pub lifetime: Option<i64>,
    /// Its `typ` must be one of these, in any case and with or without `application/`; none at all is taken too.
    pub types: &'static [&'static str],
}

/// `typ` of an access token (RFC 9068 2.1, and what is usual).
pub const ACCESS_TOKEN: &[&str] = &["at+jwt", "jwt"];
/// `typ` of an assertion by which a client authenticates (RFC 7523, and its successor's own name).
pub const CLIENT_ASSERTION: &[&str] = &["jwt", "client-authentication+jwt"];

/// A token that was found good.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Everything it claims.
    pub claims: Map<String, Value>,
    /// Its `sub`.
    pub subject: Option<String>,
    /// Its `jti`.
    pub id: Option<String>,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
}

/// Rules, and the keys to check signatures with.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// What a token must be like.
    pub rules: Rules,
    /// The issuer's keys.
    pub keys: Arc<Jwks>,
}

impl Verifier {
    /// Reads a token. [`Denied::Refused`]: it is not good, and why; [`Denied::Unavailable`]: its key cannot be had now.
    pub async fn verify(&self, token: &str) -> Result<Verified, Denied> {
        self.verify_at(token, chrono::Utc::now().timestamp()).await
    }

    async fn verify_at(&self, token: &str, now: i64) -> Result<Verified, Denied> {
        let parts = Parts::split(token).map_err(refused)?;
        let header = Header::read(parts.header, self.rules.types).map_err(refused)?;
        if !self.rules.algorithms.contains(&header.algorithm) {
            let name = format!("{:?}", header.algorithm);
            return Err(refused(format!("the token is signed with {name}, which `algorithms` does not name")));
        }
        let key = self.keys.key(Wanted { algorithm: header.algorithm, id: header.id.as_deref() }).await?;
        let verified =
            jsonwebtoken::crypto::verify(parts.signature, parts.signed.as_bytes(), key.decoding(), header.algorithm);
        if !matches!(verified, Ok(true)) {
            return Err(refused("the token's signature is wrong"));
        }
        let claims = object(parts.claims, "claims").map_err(refused)?;
        self.rules.check(&claims, now).map_err(refused)
    }
}

fn refused(why: impl Into<String>) -> Denied {
    Denied::Refused(why.into())
}

/// The three parts of a signed token in compact form (RFC 7515 3.1), and what was signed.
struct Parts<'t> {
    header: &'t str,
    claims: &'t str,
    signature: &'t str,
    signed: &'t str,
}

impl<'t> Parts<'t> {
    fn split(token: &'t str) -> Result<Self, &'static str> {
        if token.len() > LONGEST {
            return Err("the token is longer than 16 KiB");
        }
        let (signed, signature) = token.rsplit_once('.').ok_or("the token is not a JWT")?;
        let (header, claims) = signed.split_once('.').ok_or("the token is not a JWT")?;
        match claims.matches('.').count() {
            0 if signature.is_empty() => Err("the token is not signed"),
            0 => Ok(Self { header, claims, signature, signed }),
            2 => Err("the token is encrypted, which is not supported"),
            _ => Err("the token is not a JWT"),
        }
    }
}

/// What a header says that matters here.
struct Header {
    algorithm: Algorithm,
    id: Option<String>,
}

impl Header {
    fn read(encoded: &str, types: &[&str]) -> Result<Self, String> {
        let header = object(encoded, "header")?;
        // RFC 7515 4.1.11: what must be understood and is not. None of the extensions there are is understood here.
        if header.contains_key("crit") {
            return Err("the token's header has `crit`, and nothing that may be in it is known here".to_owned());
        }
        for name in ["enc", "zip"] {
            if header.contains_key(name) {
                return Err(format!("the token's header has `{name}`, which is not supported"));
            }
        }
        let name = header.get("alg").and_then(Value::as_str).ok_or("the token's header has no `alg`")?;
        let algorithm = asymmetric(name).ok_or("the token's `alg` is none that has a public key")?;
        match header.get("typ") {
            None => {}
            Some(Value::String(typ)) => {
                let typ = typ.to_ascii_lowercase();
                if !types.contains(&typ.strip_prefix("application/").unwrap_or(&typ)) {
                    return Err(format!("the token's `typ` is none of {}", types.join(", ")));
                }
            }
            Some(_) => return Err("the token's `typ` is not text".to_owned()),
        }
        let id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err("the token's `kid` is not text".to_owned()),
        };
        Ok(Self { algorithm, id })
    }
}

impl Rules {
    fn check(&self, claims: &Map<String, Value>, now: i64) -> Result<Verified, String> {
        let issuer = text(claims, "iss")?.ok_or("the token has no `iss`")?;
        if issuer != self.issuer {
            return Err(format!("the token's `iss` is `{}`, not `{}`", shown(&issuer), self.issuer));
        }
        Self::audience(claims, &self.audiences)?;
        let expires = Self::times(claims, now)?.ok_or("the token has no `exp`")?;
        if self.lifetime.is_some_and(|longest| expires.saturating_sub(now) > longest.saturating_add(LEEWAY)) {
            return Err("the token ends too far in the future".to_owned());
        }
        let subject = text(claims, "sub")?;
        Self::required(claims, subject.as_deref(), self.subject.as_deref(), &self.claims)?;
        Ok(Verified { subject, id: text(claims, "jti")?, expires, claims: claims.clone() })
    }

    /// Whether the `aud` has one of these.
    pub(super) fn audience(claims: &Map<String, Value>, wanted: &[String]) -> Result<(), String> {
        let audiences = match claims.get("aud") {
            None => return Err("the token has no `aud`".to_owned()),
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(all)) => {
                let all: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
                all.ok_or("the token's `aud` is neither text nor a list of texts")?
            }
            Some(_) => return Err("the token's `aud` is neither text nor a list of texts".to_owned()),
        };
        if audiences.iter().any(|audience| wanted.iter().any(|own| own == audience)) {
            return Ok(());
        }
        let theirs = shown(&audiences.join(", "));
        Err(format!("the token's `aud` is `{theirs}`, not `{}`", wanted.join("` or `")))
    }

    /// Whether it is its time; when it ends, where it says.
    pub(super) fn times(claims: &Map<String, Value>, now: i64) -> Result<Option<i64>, String> {
        let expires = instant(claims, "exp")?;
        if let Some(expires) = expires.filter(|expires| now >= expires.saturating_add(LEEWAY)) {
            return Err(format!("the token expired {} seconds ago", now.saturating_sub(expires)));
        }
        for name in ["nbf", "iat"] {
            if let Some(from) = instant(claims, name)?
                && from > now.saturating_add(LEEWAY)
            {
                let ahead = from.saturating_sub(now);
                return Err(format!("the token's `{name}` is {ahead} seconds in the future; is a clock wrong?"));
            }
        }
        Ok(expires)
    }

    /// Whether it is of this subject, and claims all of these.
    pub(super) fn required(
        claims: &Map<String, Value>,
        subject: Option<&str>,
        wanted: Option<&str>,
        rules: &[ClaimRule],
    ) -> Result<(), String> {
        if let Some(expected) = wanted.filter(|_| subject != wanted) {
            let theirs = subject.map_or("missing".to_owned(), |theirs| format!("`{}`", shown(theirs)));
            return Err(format!("the token's `sub` is {theirs}, not `{expected}`"));
        }
        rules.iter().try_for_each(|rule| rule.check(claims))
    }
}

/// The `iss` of a token of which nothing was checked: good for deciding who checks it, and for nothing else.
pub(super) fn claimed_issuer(token: &str) -> Option<String> {
    let parts = Parts::split(token).ok()?;
    text(&object(parts.claims, "claims").ok()?, "iss").ok()?
}

impl ClaimRule {
    /// Whether the claims have what the rule asks for.
    pub fn check(&self, claims: &Map<String, Value>) -> Result<(), String> {
        let (mut level, mut found) = (Some(claims), None);
        for name in &self.path {
            found = level.and_then(|level| level.get(name));
            level = found.and_then(Value::as_object);
        }
        let name = self.path.join(".");
        let has = |wanted: &str| match found {
            Some(Value::String(text)) => text == wanted || text.split(' ').any(|word| word == wanted),
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(wanted)),
            Some(Value::Bool(value)) => wanted == if *value { "true" } else { "false" },
            Some(Value::Number(number)) => number.to_string() == wanted,
            Some(Value::Null | Value::Object(_)) | None => false,
        };
        match self.values.iter().find(|wanted| !has(wanted)) {
            None => Ok(()),
            Some(_) if found.is_none() => Err(format!("the token does not claim `{name}`")),
            Some(wanted) => Err(format!("the token's `{name}` does not have `{wanted}`")),
        }
    }
}

/// A claim that is text, where it is there.
pub(super) fn text(claims: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("the token's `{name}` is not text")),
    }
}

/// A NumericDate (RFC 7519 2), where it is there; parts of a second are cut off.
fn instant(claims: &Map<String, Value>, name: &str) -> Result<Option<i64>, String> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let whole = value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| (0.0..1e15).contains(number))?;
        format!("{:.0}", number.floor()).parse().ok()
    });
    let whole = whole.filter(|seconds| *seconds >= 0);
    whole.map(Some).ok_or_else(|| format!("the token's `{name}` is not a time"))
}

/// What stands in a token that was signed by its issuer, fit for a line of a log.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    if text.chars().count() > QUOTED {
        shown.push('…');
    }
    shown
}

/// One of the two JSON objects of a token; names that stand twice are refused at any depth.
fn object(encoded: &str, what: &str) -> Result<Map<String, Value>, String> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| format!("the token's {what} is not base64url"))?;
    object_of(&bytes, what).map_err(|why| why.replacen("the ", "the token's ", 1))
}

/// A JSON object in which no name stands twice.
pub(super) fn object_of(bytes: &[u8], what: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice::<Strict>(bytes) {
        Ok(Strict(Value::Object(object))) => Ok(object),
        Ok(_) => Err(format!("the {what} is not a JSON object")),
        Err(error) if error.to_string().starts_with(TWICE) => Err(format!("the {what} has a name twice")),
        Err(_) => Err(format!("the {what} is not JSON")),
    }
}

const TWICE: &str = "a name stands twice";

/// JSON of which there is one reading.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::from(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::from(value))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::from(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::from(value))
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut all = Vec::new();
                while let Some(Strict(item)) = items.next_element()? {
                    all.push(item);
                }
                Ok(Value::Array(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut object = Map::new();
                while let Some((name, Strict(value))) = entries.next_entry::<String, Strict>()? {
                    if object.insert(name, value).is_some() {
                        return Err(A::Error::custom(TWICE));
                    }
                }
                Ok(Value::Object(object))
            }
        }
        deserializer.deserialize_any(Any).map(Strict)
    }
}

/// The assertions that were used, until they end: each is good once (RFC 7523 3 item 7). One process's memory.
#[derive(Debug, Default)]
pub struct Seen {
    until: Mutex<HashMap<[u8; 32], i64>>,
}

impl Seen {
    /// Notes an assertion by its issuer and `jti`; refused if it was noted before and has not ended. One without a
    /// `jti` is not noted.
    pub fn note(&self, issuer: &str, token: &Verified) -> Result<(), Denied> {
        self.note_at(issuer, token, chrono::Utc::now().timestamp())
    }

    fn note_at(&self, issuer: &str, token: &Verified, now: i64) -> Result<(), Denied> {
        let Some(id) = &token.id else {
            return Ok(());
        };
        let length = u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_be_bytes();
        let mark: [u8; 32] = Sha256::digest([&length, issuer.as_bytes(), id.as_bytes()].concat()).into();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= SEEN {
            until.retain(|_, end| *end > now);
        }
        if until.get(&mark).is_some_and(|end| *end > now) {
            return Err(refused("the assertion was used before"));
        }
        // Only the issuer's own assertions come here, so nobody else can fill this.
        if until.len() >= SEEN {
            return Err(Denied::Unavailable("more assertions than can be remembered".to_owned()));
        }
        until.insert(mark, token.expires.saturating_add(LEEWAY));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
