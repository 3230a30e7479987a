//! Public keys of somebody else: a JSON Web Key Set (RFC 7517), fetched and kept, or fixed.
//!
//! A request with a known key never waits: the set is fetched again beside it. A key that is not in the set has it
//! fetched once more, but a flood of made-up ones no more often than [`Pace::apart`], by one fetch at a time. While the
//! issuer cannot be reached, the keys it had go on for [`Pace::stale`]; after that nothing is believed. Keys that cannot
//! be used are left out of the set rather than spoiling it.

use super::fetch::{Client, Trust, Url};
use super::live::Denied;
pub use crate::config::ALGORITHMS;
use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedMutexGuard, Semaphore};

/// The most keys in a set.
const KEYS: usize = 100;
/// So many requests wait for a set at once.
const WAITING: usize = 64;

/// What a key is for, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// One public key.
pub struct Key {
    /// Its `kid`.
    id: Option<String>,
    kind: Kind,
    /// The one algorithm it may be used with, where it says so.
    algorithm: Option<Algorithm>,
    decoding: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {:?}, {:?})", self.id, self.kind, self.algorithm)
    }
}

impl Key {
    /// Takes a key of a set; the error says why it cannot be used.
    fn read(jwk: &Value) -> Result<Self, String> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| {
            let value = text(name).ok_or_else(|| format!("`{name}` is missing"))?;
            URL_SAFE_NO_PAD.decode(value).map_err(|_| format!("`{name}` is not base64url"))
        };
        // `kid` and `alg` that are there and are no text would silently widen what the key is good for.
        for name in ["kid", "alg", "use"] {
            if jwk.get(name).is_some_and(|value| !value.is_string()) {
                return Err(format!("`{name}` is not text"));
            }
        }
        if jwk.get("d").is_some() || jwk.get("k").is_some() {
            return Err("it is not a public key".to_owned());
        }
        if text("use").is_some_and(|used| used != "sig") {
            return Err("it is not for signatures".to_owned());
        }
        if let Some(operations) = jwk.get("key_ops") {
            let verifies = operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"));
            if !verifies {
                return Err("it is not for verifying".to_owned());
            }
        }
        let (kind, decoding) = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                (Kind::Rsa, rsa(&n, &e)?)
            }
            (Some("EC"), Some("P-256")) => (Kind::P256, point(&bytes("x")?, &bytes("y")?, 32)?),
            (Some("EC"), Some("P-384")) => (Kind::P384, point(&bytes("x")?, &bytes("y")?, 48)?),
            (Some("OKP"), Some("Ed25519")) => {
                let x = bytes("x")?;
                if x.len() != 32 {
                    return Err("`x` does not have 32 bytes".to_owned());
                }
                (Kind::Ed25519, DecodingKey::from_ed_der(&x))
            }
            _ => return Err("its type is not known here".to_owned()),
        };
        let algorithm = match text("alg") {
            None => None,
            Some(name) => Some(asymmetric(name).ok_or_else(|| "its algorithm is not known here".to_owned())?),
        };
        let key = Self { id: text("kid").map(str::to_owned), kind, algorithm: None, decoding };
        match algorithm {
            Some(algorithm) if !key.fits(algorithm) => Err("its algorithm is not one of its type".to_owned()),
            _ => Ok(Self { algorithm, ..key }),
        }
    }

    /// Takes a public key as OpenSSL writes it: SubjectPublicKeyInfo (RFC 5280 4.1.2.7).
    fn from_spki(spki: &[u8]) -> Result<Self, String> {
        // Everything before the key's own bytes, which for these types is always the same.
        const ED25519: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];
        const P256: &[u8] = &[
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
            0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0, 4,
        ];
        const P384: &[u8] = &[
            0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04,
            0, 0x22, 0x03, 0x62, 0, 4,
        ];
        let of = |prefix: &[u8], length: usize| spki.strip_prefix(prefix).filter(|key| key.len() == length);
        let (kind, decoding) = if let Some(key) = of(ED25519, 32) {
            (Kind::Ed25519, DecodingKey::from_ed_der(key))
        } else if let Some((x, y)) = of(P256, 64).and_then(|key| key.split_at_checked(32)) {
            (Kind::P256, point(x, y, 32)?)
        } else if let Some((x, y)) = of(P384, 96).and_then(|key| key.split_at_checked(48)) {
            (Kind::P384, point(x, y, 48)?)
        } else {
            let key = aws_lc_rs::rsa::PublicKey::from_der(spki)
                .map_err(|_| "the public key is neither RSA, P-256, P-384 nor Ed25519".to_owned())?;
            let parts = aws_lc_rs::signature::RsaPublicKeyComponents::<Vec<u8>>::from(&key);
            (Kind::Rsa, rsa(&parts.n, &parts.e)?)
        };
        Ok(Self { id: None, kind, algorithm: None, decoding })
    }

    /// Whether it may verify signatures of an algorithm.
    fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let kind = match algorithm {
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => Kind::Rsa,
            ES256 => Kind::P256,
            ES384 => Kind::P384,
            EdDSA => Kind::Ed25519,
            _ => return false,
        };
        self.kind == kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    /// The key as `jsonwebtoken` takes it.
    pub fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }
}

/// One of [`ALGORITHMS`]: never `none`, never one with a shared secret.
pub fn asymmetric(name: &str) -> Option<Algorithm> {
    ALGORITHMS.iter().find(|(known, _)| *known == name).map(|(_, algorithm)| *algorithm)
}

fn rsa(n: &[u8], e: &[u8]) -> Result<DecodingKey, String> {
    let leading = n.iter().take_while(|byte| **byte == 0).count();
    let n = n.get(leading..).unwrap_or_default();
    if !(256..=1024).contains(&n.len()) {
        return Err("the RSA key has not 2048 to 8192 bits".to_owned());
    }
    Ok(DecodingKey::from_rsa_raw_components(n, e))
}

/// An uncompressed point. Whether it is on the curve is looked at when a signature is.
fn point(x: &[u8], y: &[u8], length: usize) -> Result<DecodingKey, String> {
    if x.len() != length || y.len() != length {
        return Err(format!("`x` and `y` do not have {length} bytes each"));
    }
    Ok(DecodingKey::from_ec_der(&[&[4], x, y].concat()))
}

/// What a token says of the key it was signed with.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its `alg`, which was found to be allowed.
    pub algorithm: Algorithm,
    /// Its `kid`.
    pub id: Option<&'a str>,
}

/// Public keys.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that cannot be used are left out; a set without any that can is an error.
    pub fn parse(document: &[u8]) -> Result<Self, String> {
        let document: Map<String, Value> =
            serde_json::from_slice(document).map_err(|_| "the answer is not a JSON object".to_owned())?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or("the answer has no `keys`")?;
        if keys.len() > KEYS {
            return Err(format!("the answer has more than {KEYS} keys"));
        }
        let mut reasons = Vec::new();
        let mut read = Vec::new();
        for jwk in keys {
            match Key::read(jwk) {
                Ok(key) => read.push(Arc::new(key)),
                Err(why) => reasons.push(why),
            }
        }
        if read.is_empty() {
            let why = reasons.first().map_or("it is empty", String::as_str);
            return Err(format!("the key set has no key that can be used ({why})"));
        }
        Ok(Self { keys: read })
    }

    /// The one key of a PEM `PUBLIC KEY`. The error is for whoever wrote the configuration.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "expected -----BEGIN PUBLIC KEY-----".to_owned())?;
        Ok(Self { keys: vec![Arc::new(Key::from_spki(spki.as_ref())?)] })
    }

    /// The one key that a token may have been signed with. `Err`: there is none, or more than one.
    fn find(&self, wanted: Wanted<'_>) -> Result<Arc<Key>, Absent> {
        let fitting = || self.keys.iter().filter(|key| key.fits(wanted.algorithm));
        let one = |keys: &mut dyn Iterator<Item = &Arc<Key>>| match (keys.next(), keys.next()) {
            (Some(key), None) => Ok(Arc::clone(key)),
            (None, _) => Err(Absent::Unknown),
            (Some(_), Some(_)) => Err(Absent::Several),
        };
        let Some(id) = wanted.id else {
            return one(&mut fitting());
        };
        if self.keys.iter().any(|key| key.id.as_deref() == Some(id)) {
            let found = one(&mut fitting().filter(|key| key.id.as_deref() == Some(id)));
            // The issuer has this key, for something else: asking again is no use.
            return found.map_err(|absent| if absent == Absent::Unknown { Absent::Unfit } else { absent });
        }
        one(&mut fitting().filter(|key| key.id.is_none()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    /// No such key is in the set.
    Unknown,
    /// The key of this id is not for this algorithm.
    Unfit,
    /// More than one key may be meant.
    Several,
}

impl Absent {
    fn denied(self) -> Denied {
        Denied::Refused(
            match self {
                Absent::Unknown => "the token was signed with a key that its issuer does not publish",
                Absent::Unfit => "the token's `kid` names a key that is not for the token's algorithm",
                Absent::Several => "the token names no `kid`, and more than one key of its issuer could be meant",
            }
            .to_owned(),
        )
    }
}

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A set older than this is fetched again beside the requests that use it; older than twice this, before they do.
    pub fresh: Duration,
    /// An unknown key has the set fetched no sooner than this after the last time; nor is a fetch that failed tried again.
    pub apart: Duration,
    /// A set older than this is not used any more, even if no newer one can be had.
    pub stale: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(5 * 60),
            apart: Duration::from_secs(30),
            stale: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Where a set is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// At this URL.
    Url(Url),
    /// Where the metadata of this issuer says, whose name is this URL (OpenID Connect Discovery 1.0 section 4, RFC 8414
    /// section 3).
    Issuer(String, Url),
}

/// The key sets in use, by where they are: whoever has the same issuer uses the same keys, before and after a reload.
#[derive(Debug, Default)]
pub struct KeySets {
    known: Mutex<HashMap<(Place, Trust), Weak<Jwks>>>,
}

impl KeySets {
    /// The set at a place. The error says what is wrong with the certificate authorities.
    pub fn get(&self, place: Place, trust: &Trust) -> Result<Arc<Jwks>, String> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, set| set.strong_count() > 0);
        let key = (place, trust.clone());
        if let Some(set) = known.get(&key).and_then(Weak::upgrade) {
            return Ok(set);
        }
        let set = Arc::new(Jwks::new(key.0.clone(), Client::new(trust)?, Pace::default()));
        known.insert(key, Arc::downgrade(&set));
        Ok(set)
    }
}

/// The keys of an issuer, fetched when needed.
pub struct Jwks {
    shared: Arc<Shared>,
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwks({:?})", self.shared.source)
    }
}

struct Shared {
    source: Source,
    pace: Pace,
    set: ArcSwapOption<Fetched>,
    waiting: Semaphore,
    /// Held by whoever fetches.
    flight: Arc<tokio::sync::Mutex<()>>,
    last: Mutex<Last>,
}

enum Source {
    Fixed,
    Url(Url, Client),
    Issuer(String, Url, Client),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Fixed => f.write_str("fixed"),
            Source::Url(url, _) | Source::Issuer(_, url, _) => fmt::Display::fmt(url, f),
        }
    }
}

struct Fetched {
    at: Instant,
    keys: KeySet,
}

/// The last fetch.
#[derive(Clone, Default)]
struct Last {
    ended: Option<Instant>,
    /// Why it failed.
    failure: Option<String>,
}

impl Jwks {
    /// A set that is fetched when the first token comes.
    pub fn new(place: Place, client: Client, pace: Pace) -> Self {
        let source = match place {
            Place::Url(url) => Source::Url(url, client),
            Place::Issuer(issuer, url) => Source::Issuer(issuer, url, client),
        };
        Self::of(source, pace, None)
    }

    /// A set that never changes.
    pub fn fixed(keys: KeySet) -> Self {
        Self::of(Source::Fixed, Pace::default(), Some(keys))
    }

    fn of(source: Source, pace: Pace, keys: Option<KeySet>) -> Self {
        let set = ArcSwapOption::new(keys.map(|keys| Arc::new(Fetched { at: Instant::now(), keys })));
        let (flight, last) = (Arc::default(), Mutex::default());
        Self { shared: Arc::new(Shared { source, pace, set, waiting: Semaphore::new(WAITING), flight, last }) }
    }

    /// The key that a token says it was signed with.
    pub async fn key(&self, wanted: Wanted<'_>) -> Result<Arc<Key>, Denied> {
        let shared = &self.shared;
        let came = Instant::now();
        let set = shared.usable();
        if matches!(shared.source, Source::Fixed) {
            return set.map_or(Err(Absent::Unknown), |set| set.keys.find(wanted)).map_err(Absent::denied);
        }
        let pace = shared.pace;
        if let Some(set) = &set {
            let (age, found) = (set.at.elapsed(), set.keys.find(wanted));
            // Nobody was here for a while: what was withdrawn since must not open. But an issuer that is known not to
            // answer holds up nobody.
            let long_ago = age >= pace.fresh.saturating_mul(2) && shared.last().failure.is_none();
            match found {
                Ok(key) if !long_ago => {
                    if age >= pace.fresh && shared.may_fetch() {
                        self.fetch_beside();
                    }
                    return Ok(key);
                }
                Err(absent @ (Absent::Unfit | Absent::Several)) if age < pace.fresh => return Err(absent.denied()),
                _ => {}
            }
        }
        match self.fetch_for(came).await {
            Ok(set) => set.keys.find(wanted).map_err(Absent::denied),
            // What is known goes on; what is not known cannot be decided now.
            Err(why) => match shared.usable().and_then(|set| set.keys.find(wanted).ok()) {
                Some(key) => Ok(key),
                None => Err(Denied::Unavailable(why)),
            },
        }
    }

    /// A set that was fetched after a request came, or lately enough. The error says why there is none.
    async fn fetch_for(&self, came: Instant) -> Result<Arc<Fetched>, String> {
        let shared = &self.shared;
        let Ok(_place) = shared.waiting.try_acquire() else {
            return Err(format!("{:?}: too many requests wait for the keys", shared.source));
        };
        let flight = Arc::clone(&shared.flight).lock_owned().await;
        if let Some(set) = shared.usable().filter(|set| set.at >= came) {
            return Ok(set);
        }
        if !shared.may_fetch() {
            return match (shared.last().failure, shared.usable()) {
                (None, Some(set)) => Ok(set),
                (Some(why), _) => Err(why),
                (None, None) => Err(format!("{:?}: its keys are too old", shared.source)),
            };
        }
        let shared = Arc::clone(shared);
        // A task of its own: a client that hangs up does not end it for the others.
        match tokio::spawn(async move { shared.fetch(flight).await }).await {
            Ok(fetched) => fetched,
            Err(panic) => Err(panic.to_string()),
        }
    }

    fn fetch_beside(&self) {
        if let Ok(flight) = Arc::clone(&self.shared.flight).try_lock_owned() {
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move { shared.fetch(flight).await });
        }
    }
}

impl Shared {
    fn usable(&self) -> Option<Arc<Fetched>> {
        let fixed = matches!(self.source, Source::Fixed);
        self.set.load_full().filter(|set| fixed || set.at.elapsed() < self.pace.stale)
    }

    fn last(&self) -> Last {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the last fetch is long enough ago for another.
    fn may_fetch(&self) -> bool {
        self.last().ended.is_none_or(|ended| ended.elapsed() >= self.pace.apart)
    }

    async fn fetch(&self, flight: OwnedMutexGuard<()>) -> Result<Arc<Fetched>, String> {
        let at = Instant::now();
        let outcome = match self.source.get().await {
            Ok(keys) => {
                let set = Arc::new(Fetched { at, keys });
                self.set.store(Some(Arc::clone(&set)));
                tracing::debug!(source = ?self.source, keys = set.keys.keys.len(), "the issuer's keys were fetched");
                Ok(set)
            }
            Err(why) => {
                let left = self.usable().map(|set| self.pace.stale.saturating_sub(set.at.elapsed()).as_secs());
                tracing::warn!(
                    source = ?self.source, why, known_keys_go_on_for_seconds = left, "the issuer's keys could not be fetched"
                );
                Err(why)
            }
        };
        let ended = if outcome.is_ok() { "ok" } else { "failed" };
        metrics::counter!("scimshim_issuer_key_fetches_total", "outcome" => ended).increment(1);
        let last = Last { ended: Some(Instant::now()), failure: outcome.as_ref().err().cloned() };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = last;
        drop(flight);
        outcome
    }
}

impl Source {
    async fn get(&self) -> Result<KeySet, String> {
        match self {
            Source::Fixed => Err("these keys never change".to_owned()),
            Source::Url(url, client) => keys(url, client).await,
            Source::Issuer(issuer, url, client) => {
                let document = discover(issuer, url, client).await?;
                let named = document.get("jwks_uri").and_then(Value::as_str);
                let named = named.ok_or_else(|| format!("{}: its metadata has no `jwks_uri`", url.authority()))?;
                let place = Url::parse(named).map_err(|why| format!("{}: its `jwks_uri`: {why}", url.authority()))?;
                if !place.is_beside(url) {
                    return Err(format!(
                        "{}: its keys are on another host; write `jwks_url: {place}` if they should be",
                        url.authority()
                    ));
                }
                keys(&place, client).await
            }
        }
    }
}

async fn keys(url: &Url, client: &Client) -> Result<KeySet, String> {
    KeySet::parse(&client.get(url).await?).map_err(|why| format!("{}: {why}", url.authority()))
}

/// The issuer's metadata, by either of its two addresses; it must name the same issuer.
async fn discover(issuer: &str, url: &Url, client: &Client) -> Result<Map<String, Value>, String> {
    let path = url.target().trim_end_matches('/');
    let openid = url.with_target(format!("{path}/.well-known/openid-configuration"));
    let answer = match client.get(&openid).await {
        Ok(answer) => answer,
        Err(first) => {
            let oauth = url.with_target(format!("/.well-known/oauth-authorization-server{path}"));
            client.get(&oauth).await.map_err(|_| first)?
        }
    };
    let document: Map<String, Value> =
        serde_json::from_slice(&answer).map_err(|_| format!("{}: its metadata is not JSON", url.authority()))?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(format!("{}: its metadata names another issuer", url.authority()));
    }
    Ok(document)
}

#[cfg(test)]
pub(crate) mod tests;
