//! `digest`: a proof of knowing a password that travels instead of it (RFC 7616). `qop=auth` alone: what a body holds is TLS's
//! business, and a response without `qop` (RFC 2069) proves too little.
//!
//! A nonce is a time and some random bytes under a MAC whose key comes from the keys that sign tokens, so each process of the
//! service takes the nonces of the others, and none has to be kept. What is kept, for all of them, is which counts of a nonce
//! were used (`counts`): of somebody whose proof is right. A proof that is not is refused here, and the database asked nothing.
//!
//! The `uri` that was hashed must be the request's own target, byte by byte. A proxy that rewrites paths (`/app/scim/v2` to
//! `/scim/v2`, `//` to `/`, `%7e` to `~`) therefore breaks Digest, and should: nobody could tell what was signed.

use super::counts::{Counts, Nonce, Seen, now};
use super::token::Keyring;
use super::{METHOD_DIGEST, Presented, Refused, Session};
use crate::config::{self, DigestAlgorithm, Secret};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::time::Duration;

/// The longest `cnonce`.
const CNONCE: usize = 512;

/// One user name with what its password is known by.
#[derive(Clone, Debug)]
pub struct Digest {
    username: String,
    realm: String,
    ha1: Vec<(DigestAlgorithm, Secret)>,
}

impl Digest {
    /// As configured.
    pub fn new(configured: &config::Digest) -> Self {
        Self { username: configured.username.clone(), realm: configured.realm.clone(), ha1: configured.ha1.clone() }
    }
}

/// One challenge for each algorithm (RFC 7616 3.7), none without randomness or keys. `stale`: for who has just proved to know
/// the password, and is known by this nonce from now on.
pub(super) fn challenges(digest: &Digest, server: &str, keys: &Keyring, seen: &Seen, stale: bool) -> Vec<String> {
    let now = now();
    let Some(nonce) = nonce(server, keys, now) else {
        return Vec::new();
    };
    if stale && let Some(nonce) = opened(&nonce, server, keys) {
        seen.vouch(nonce, now);
    }
    let stale = if stale { ", stale=true" } else { "" };
    let realm = &digest.realm;
    let one = |(algorithm, _): &(DigestAlgorithm, Secret)| {
        format!(
            "Digest realm=\"{realm}\", qop=\"auth\", algorithm={}, nonce=\"{nonce}\"{stale}, charset=UTF-8, userhash=true",
            algorithm.name()
        )
    };
    digest.ha1.iter().map(one).collect()
}

/// A proof that is right, of a request that may have been made before.
pub(super) struct Proof {
    credential: String,
    /// `None` for one that is not ours.
    nonce: Option<Nonce>,
    nc: u32,
}

/// Whether a request carries a proof for itself. `may_try` is asked before a proof is looked at whose nonce is not yet known to
/// be in good hands: guesses with a password are many, and each is quickly checked.
pub(super) fn prove(
    parameters: &str,
    digest: &Digest,
    server: &str,
    presented: &Presented<'_>,
    keys: &Keyring,
    seen: &Seen,
    may_try: impl Fn(&str) -> Result<(), Duration>,
) -> Result<Proof, Refused> {
    let malformed = |why: &'static str| Refused::wrong(why, (METHOD_DIGEST, ""));
    let given = Given::read(parameters).map_err(malformed)?;
    let Some((algorithm, ha1)) = digest.ha1.iter().find(|(algorithm, _)| *algorithm == given.algorithm) else {
        return Err(malformed("this identity server does not take this Digest algorithm"));
    };
    if given.realm != digest.realm {
        return Err(malformed("the Digest response is for another realm"));
    }
    if !same_target(&given.uri, presented.target) {
        return Err(malformed(
            "the `uri` of the Digest response is not this request's target (a proxy that rewrites paths breaks Digest)",
        ));
    }
    let nonce = opened(&given.nonce, server, keys);
    if !nonce.is_some_and(|nonce| seen.knows(nonce)) {
        may_try(&given.username).map_err(|wait| Refused::TooMany { method: METHOD_DIGEST, wait })?;
    }
    let ha2 = algorithm.hash(&[presented.method.as_str(), &given.uri]);
    let response = algorithm.hash(&[ha1.expose(), &given.nonce, &given.nc_text, &given.cnonce, "auth", &ha2]);
    let same = |a: &str, b: &str| verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok();
    let name = if given.userhash {
        same(&algorithm.hash(&[&digest.username, &digest.realm]), &given.username.to_ascii_lowercase())
    } else {
        same(&digest.username, &given.username)
    };
    if !(same(&response, &given.response.to_ascii_lowercase()) & name) {
        return Err(Refused::wrong("the user name or the password is wrong", (METHOD_DIGEST, &given.username)));
    }
    Ok(Proof { credential: digest.username.clone(), nonce, nc: given.nc })
}

/// Lets a proof in that was not used before, by whichever process of the service.
pub(super) async fn take(proof: Proof, counts: &Counts, seen: &Seen) -> Result<Session, Refused> {
    let first = match proof.nonce {
        Some(nonce) => counts.take(seen, nonce, proof.nc).await.map_err(Refused::Unavailable)?,
        None => false,
    };
    if first {
        return Ok(Session { credential: proof.credential, method: METHOD_DIGEST, read_only: false });
    }
    Err(Refused::Wrong {
        method: METHOD_DIGEST,
        why: "the nonce is too old, or this count of it was used before".into(),
        guess: None,
        stale: true,
    })
}

/// Whether what was hashed is this request's target. Of one in absolute form only the origin is left out, which Host says too.
fn same_target(uri: &str, target: &str) -> bool {
    let path = |uri: &str| -> Option<usize> {
        let (scheme, rest) = uri.split_once("://")?;
        let http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        http.then(|| rest.find('/').map(|at| uri.len() - rest.len() + at)).flatten()
    };
    uri == target || path(uri).and_then(|at| uri.get(at..)).is_some_and(|path| path == target)
}

/// What a client gives (RFC 7616 3.4).
struct Given {
    username: String,
    userhash: bool,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    algorithm: DigestAlgorithm,
    cnonce: String,
    nc: u32,
    nc_text: String,
}

impl Given {
    fn read(parameters: &str) -> Result<Self, &'static str> {
        let mut all = parse(parameters).ok_or("the Digest parameters cannot be read")?;
        let mut take = |name: &str| all.iter().position(|(known, _)| known == name).map(|at| all.swap_remove(at).1);
        let userhash = match take("userhash").as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err("`userhash` of the Digest response is neither true nor false"),
        };
        let username = match (take("username"), take("username*")) {
            (Some(name), None) => name,
            (None, Some(name)) if !userhash => {
                extended(&name).ok_or("`username*` of the Digest response cannot be read")?
            }
            _ => return Err("the Digest response has no user name, or two"),
        };
        match take("qop").as_deref() {
            Some("auth") => {}
            _ => return Err("the Digest response is not of qop=auth"),
        }
        // RFC 7616 3.4: MD5 is meant where nothing is said.
        let name = take("algorithm").unwrap_or_else(|| "MD5".to_owned());
        let algorithm = DigestAlgorithm::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(&name));
        let (_, algorithm) = algorithm.ok_or("this Digest algorithm is not known here")?;
        let missing = "the Digest response misses one of realm, nonce, uri, response, cnonce, nc";
        let nc_text = take("nc").ok_or(missing)?;
        let nc = u32::from_str_radix(&nc_text, 16).ok().filter(|nc| *nc > 0);
        let digits = nc_text.len() == 8 && nc_text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let nc =
            nc.filter(|_| digits).ok_or("`nc` of the Digest response is not eight hexadecimal digits above zero")?;
        let cnonce = take("cnonce").ok_or(missing)?;
        if cnonce.is_empty() || cnonce.len() > CNONCE {
            return Err("`cnonce` of the Digest response is empty or too long");
        }
        Ok(Self {
            username,
            userhash,
            realm: take("realm").ok_or(missing)?,
            nonce: take("nonce").ok_or(missing)?,
            uri: take("uri").ok_or(missing)?,
            response: take("response").ok_or(missing)?,
            algorithm: *algorithm,
            cnonce,
            nc,
            nc_text,
        })
    }
}

/// RFC 9110 11.2: names in lower case, values without their quotes; none twice.
fn parse(text: &str) -> Option<Vec<(String, String)>> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        // Empty elements of a list are nothing (RFC 9110 5.6.1).
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            continue;
        }
        let (name, after) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() || !name.bytes().all(is_token) || all.iter().any(|(known, _)| *known == name) {
            return None;
        }
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = after.find([',', ' ', '\t']).unwrap_or(after.len());
                let (value, after) = after.split_at(end);
                let plain =
                    !value.is_empty() && value.bytes().all(|byte| is_token(byte) || matches!(byte, b'/' | b'='));
                (plain.then(|| value.to_owned())?, after)
            }
        };
        all.push((name, value));
        rest = after.trim_start();
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
    Some(all)
}

/// What stands before the closing quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `UTF-8''J%C3%A4s%C3%B8n` (RFC 8187).
fn extended(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let charset = parts.next()?;
    let (_language, text) = (parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The bytes before the MAC, and of it.
const BODY: usize = 16;
const MAC: usize = 16;

fn nonce(server: &str, keys: &Keyring, now: i64) -> Option<String> {
    let mut whole = Vec::with_capacity(BODY + MAC);
    whole.extend(now.to_be_bytes());
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random).ok()?;
    whole.extend(random);
    let mac = keys.nonce_mac(&whole, server)?;
    whole.extend(mac.get(..MAC)?);
    Some(URL_SAFE_NO_PAD.encode(whole))
}

fn opened(text: &str, server: &str, keys: &Keyring) -> Option<Nonce> {
    if text.len() > 64 {
        return None;
    }
    let whole = URL_SAFE_NO_PAD.decode(text).ok().filter(|whole| whole.len() == BODY + MAC)?;
    let (body, mac) = whole.split_at_checked(BODY)?;
    if !keys.is_nonce_mac(body, server, mac) {
        return None;
    }
    let (at, random) = body.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*at), random.try_into().ok()?))
}

#[cfg(test)]
#[path = "digest_tests.rs"]
mod tests;
