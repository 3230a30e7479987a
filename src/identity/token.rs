//! Bearer tokens: JWTs signed with Ed25519, made for one identity server of one public URL.
//!
//! The signature keeps made-up tokens from ever costing a database question; it alone opens nothing,
//! for the token's SHA-256 must stand among the live ones too (see [`super::live`]). For clients that have little room there are
//! opaque tokens, 256 random bits that stand there as well and have no signature.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// What is known of a token instead of the token: its SHA-256.
pub type Fingerprint = [u8; 32];

/// The fingerprint of a token.
pub fn fingerprint(token: &str) -> Fingerprint {
    Sha256::digest(token.as_bytes()).into()
}

/// What an opaque token begins with: people and secret scanners see what it is, and that it is no OAuth access token.
pub const OPAQUE_PREFIX: &str = "scimshim_st_";
/// What the id of an opaque token begins with: of a token only its id and its hash are kept, and whoever rotates it
/// wants another of its kind.
const OPAQUE_ID: &str = "st-";
/// Base64url of 32 bytes.
const OPAQUE_LENGTH: usize = 43;

/// A fresh opaque token.
pub fn new_opaque() -> Result<String, String> {
    let mut random = [0_u8; 32];
    getrandom::fill(&mut random).map_err(|error| error.to_string())?;
    Ok(format!("{OPAQUE_PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))
}

/// Whether a token looks like an opaque one of ours.
pub fn is_opaque(token: &str) -> bool {
    token.strip_prefix(OPAQUE_PREFIX).is_some_and(|random| {
        random.len() == OPAQUE_LENGTH && random.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    })
}

/// Which key a JWT says to be signed with.
pub fn key_id(token: &str) -> Option<String> {
    jsonwebtoken::decode_header(token).ok()?.kid
}

/// What a token says. Instants are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The public URL.
    pub iss: String,
    /// The identity server's base URL: public URL and name.
    pub aud: String,
    /// The token's id.
    pub jti: String,
    /// When it was made.
    pub iat: i64,
    /// When it ends.
    pub exp: i64,
}

/// Whom a token is for.
pub fn audience(public_url: &str, server: &str) -> String {
    format!("{public_url}/scim/{server}/v2")
}

/// A key that signs tokens. It lives in our own tables; alone it opens nothing.
pub struct SigningKey {
    id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// For the nonces of Digest: derived, so that it can be used for nothing else.
    nonces: hmac::Key,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, *****)", self.id)
    }
}

impl SigningKey {
    /// A fresh pair: the private key as PKCS #8, and the public key.
    pub fn generate() -> Result<(Vec<u8>, Vec<u8>), String> {
        let pair = Ed25519KeyPair::generate().map_err(|error| error.to_string())?;
        let document = pair.to_pkcs8().map_err(|error| error.to_string())?;
        Ok((document.as_ref().to_vec(), pair.public_key().as_ref().to_vec()))
    }

    /// Takes a stored key. The error never quotes it.
    pub fn read(id: &str, pkcs8: &[u8]) -> Result<Self, String> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| format!("the signing key {id} is not Ed25519"))?;
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, pkcs8), b"scimshim: nonces of Digest, 1");
        Ok(Self {
            id: id.to_owned(),
            nonces: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
            encoding: EncodingKey::from_ed_der(pkcs8),
            decoding: DecodingKey::from_ed_der(pair.public_key().as_ref()),
        })
    }
}

/// The keys there are: one signs, all verify.
#[derive(Debug)]
pub struct Keyring {
    keys: Vec<SigningKey>,
    current: Option<usize>,
}

impl Keyring {
    /// `current` is the position of the one that signs, where one does.
    pub fn new(keys: Vec<SigningKey>, current: Option<usize>) -> Self {
        Self { keys, current }
    }

    /// Whether one of them signs.
    pub fn signs(&self) -> bool {
        self.current.is_some_and(|current| current < self.keys.len())
    }

    /// Their ids, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|key| key.id.as_str())
    }

    /// Signs a nonce of Digest for an identity server; `None` where no key signs.
    pub fn nonce_mac(&self, nonce: &[u8], server: &str) -> Option<Vec<u8>> {
        let key = self.current.and_then(|current| self.keys.get(current))?;
        Some(mac(key, nonce, server).as_ref().to_vec())
    }

    /// Whether one of the keys signed this nonce; `mac` is what there is of the signature, 16 bytes at least.
    pub fn is_nonce_mac(&self, nonce: &[u8], server: &str, given: &[u8]) -> bool {
        given.len() >= 16
            && self.keys.iter().any(|key| {
                let tag = mac(key, nonce, server);
                let tag = tag.as_ref().get(..given.len());
                tag.is_some_and(|tag| verify_slices_are_equal(tag, given).is_ok())
            })
    }

    /// The token that says this.
    pub fn sign(&self, claims: &Claims) -> Result<String, String> {
        let key = self
            .current
            .and_then(|current| self.keys.get(current))
            .ok_or_else(|| "there is no signing key".to_owned())?;
        let header = Header { kid: Some(key.id.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &key.encoding).map_err(|error| error.to_string())
    }

    /// Reads a token that we signed for this issuer and audience and that has not ended. The error
    /// says why not, without quoting it.
    pub fn verify(&self, token: &str, issuer: &str, audience: &str) -> Result<Claims, String> {
        let strange = || "the token is not one of this service's".to_owned();
        let id = jsonwebtoken::decode_header(token).map_err(|_| strange())?.kid.ok_or_else(strange)?;
        let key = self.keys.iter().find(|key| key.id == id).ok_or_else(strange)?;
        // One algorithm, whatever the header asks for.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = 0;
        validation.validate_nbf = true;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        use jsonwebtoken::errors::ErrorKind;
        jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation).map(|data| data.claims).map_err(|error| {
            match error.kind() {
                ErrorKind::ExpiredSignature => "the token has expired".to_owned(),
                ErrorKind::InvalidAudience => "the token is for another identity server".to_owned(),
                ErrorKind::InvalidIssuer => "the token is for another public_url".to_owned(),
                _ => strange(),
            }
        })
    }
}

fn mac(key: &SigningKey, nonce: &[u8], server: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&key.nonces);
    context.update(nonce);
    context.update(server.as_bytes());
    context.sign()
}

/// A fresh id of a token or key: 64 random bits, short enough for people to copy.
pub fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string().chars().take(16).collect()
}

/// The same of an opaque token, as long, of 52 random bits.
pub fn new_opaque_id() -> String {
    format!("{OPAQUE_ID}{}", new_id()).chars().take(16).collect()
}

/// Whether this is the id of an opaque token.
pub fn is_opaque_id(id: &str) -> bool {
    id.starts_with(OPAQUE_ID)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring of one fresh key.
    fn ring(id: &str) -> Keyring {
        let (private, _) = SigningKey::generate().unwrap();
        Keyring::new(vec![SigningKey::read(id, &private).unwrap()], Some(0))
    }

    #[test]
    fn tokens() {
        let (ring, other) = (ring("k1"), ring("k1"));
        let now = chrono::Utc::now().timestamp();
        let url = "https://scim.example.com";
        let claims = Claims { iss: url.into(), aud: audience(url, "entra"), jti: new_id(), iat: now, exp: now + 60 };
        let token = ring.sign(&claims).unwrap();
        assert_eq!(ring.verify(&token, url, &audience(url, "entra")).unwrap(), claims);
        let refused = |ring: &Keyring, token: &str, issuer: &str, server: &str| {
            ring.verify(token, issuer, &audience(url, server)).unwrap_err()
        };
        assert!(refused(&ring, &token, url, "okta").contains("another identity server"));
        assert!(refused(&ring, &token, "https://other.example.com", "entra").contains("public_url"));
        assert!(refused(&other, &token, url, "entra").contains("not one of"));
        assert!(refused(&ring, "x.y.z", url, "entra").contains("not one of"));
        let old = ring.sign(&Claims { exp: now - 1, ..claims.clone() }).unwrap();
        assert!(refused(&ring, &old, url, "entra").contains("expired"));
        // No algorithm but ours, whatever the header says.
        let none = format!("eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.{}.", token.split('.').nth(1).unwrap());
        assert!(refused(&ring, &none, url, "entra").contains("not one of"));
        let header = Header { kid: Some("k1".into()), ..Header::default() };
        let hmac = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(b"public")).unwrap();
        assert!(refused(&ring, &hmac, url, "entra").contains("not one of"));
        assert!(!format!("{ring:?}").contains("encoding"));
    }

    #[test]
    fn nonces() {
        let (one, other) = (ring("k1"), ring("k2"));
        let mac = one.nonce_mac(b"nonce", "entra").unwrap();
        assert!(one.is_nonce_mac(b"nonce", "entra", &mac));
        assert!(one.is_nonce_mac(b"nonce", "entra", &mac[..16]));
        assert!(!one.is_nonce_mac(b"nonce", "entra", &mac[..15]));
        assert!(!one.is_nonce_mac(b"nonce", "okta", &mac));
        assert!(!one.is_nonce_mac(b"nonca", "entra", &mac));
        assert!(!other.is_nonce_mac(b"nonce", "entra", &mac));
        // Another process that has the same keys takes it, whichever of them signs there.
        let key = |id: &str| SigningKey::read(id, &FIXED).unwrap();
        let (here, there) = (Keyring::new(vec![key("a")], Some(0)), Keyring::new(vec![key("b"), key("a")], Some(0)));
        assert!(there.is_nonce_mac(b"nonce", "entra", &here.nonce_mac(b"nonce", "entra").unwrap()));
        assert_eq!(Keyring::new(vec![key("a")], None).nonce_mac(b"nonce", "entra"), None);
    }

    #[test]
    fn opaque() {
        let (one, two) = (new_opaque().unwrap(), new_opaque().unwrap());
        assert_ne!(one, two);
        assert!(is_opaque(&one) && is_opaque(&two));
        for no in ["scimshim_st_", "scimshim_st_abc", &one[1..], &format!("{one}a"), &one.replace("_st_", "_at_")] {
            assert!(!is_opaque(no), "{no}");
        }
        assert!(!is_opaque(&format!("{}.", &one[..one.len() - 1])));
    }

    #[test]
    fn a_retired_key_still_verifies() {
        let keys = |current| {
            let key = |id: &str| SigningKey::read(id, &FIXED).unwrap();
            Keyring::new(vec![key("new"), key("old")], Some(current))
        };
        let claims = Claims { iss: "u".into(), aud: audience("u", "s"), jti: new_id(), iat: 0, exp: i64::MAX / 2 };
        let token = keys(1).sign(&claims).unwrap();
        assert_eq!(keys(0).verify(&token, "u", &audience("u", "s")).unwrap(), claims);
    }

    /// RFC 8410 section 10.3.
    const FIXED: [u8; 48] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20, 0xd4, 0xee,
        0x72, 0xdb, 0xf9, 0x13, 0x58, 0x4a, 0xd5, 0xb6, 0xd8, 0xf1, 0xf7, 0x69, 0xf8, 0xad, 0x3a, 0xfe, 0x7c, 0x28,
        0xcb, 0xf1, 0xd4, 0xfb, 0xe0, 0x97, 0xa8, 0x8f, 0x44, 0x75, 0x58, 0x42,
    ];
}
