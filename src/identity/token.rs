//! Bearer tokens: JWTs signed with Ed25519, made for one identity server of one public URL.
//!
//! The signature keeps made-up tokens from ever costing a database question; it alone opens nothing,
//! for the token's SHA-256 must stand among the live ones too (see [`super::live`]).

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
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

/// The key that signs tokens. It lives in our own tables; replacing it ends every token.
pub struct SigningKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(*****)")
    }
}

impl SigningKey {
    /// A fresh key in the form it is stored in: PKCS #8, base64.
    pub fn generate() -> Result<String, String> {
        let pair = Ed25519KeyPair::generate().map_err(|error| error.to_string())?;
        let document = pair.to_pkcs8().map_err(|error| error.to_string())?;
        Ok(STANDARD_NO_PAD.encode(document.as_ref()))
    }

    /// Reads a stored key. The error never quotes it.
    pub fn read(stored: &str) -> Result<Self, String> {
        let der = STANDARD_NO_PAD.decode(stored.trim()).map_err(|_| "the signing key is not base64".to_owned())?;
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| "the signing key is not Ed25519".to_owned())?;
        Ok(Self {
            encoding: EncodingKey::from_ed_der(&der),
            decoding: DecodingKey::from_ed_der(pair.public_key().as_ref()),
        })
    }

    /// The token that says this.
    pub fn sign(&self, claims: &Claims) -> Result<String, String> {
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &self.encoding).map_err(|error| error.to_string())
    }

    /// Reads a token that we signed for this issuer and audience and that has not ended. The error
    /// says why not, without quoting it.
    pub fn verify(&self, token: &str, issuer: &str, audience: &str) -> Result<Claims, String> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = 0;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(&["iss", "aud", "exp"]);
        use jsonwebtoken::errors::ErrorKind;
        jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation).map(|data| data.claims).map_err(|error| {
            match error.kind() {
                ErrorKind::ExpiredSignature => "the token has expired",
                ErrorKind::InvalidAudience => "the token is for another identity server",
                ErrorKind::InvalidIssuer => "the token is for another public_url",
                _ => "the token is not one of this service's",
            }
            .to_owned()
        })
    }
}

/// A fresh token id: 128 random bits as 32 hexadecimal digits.
pub fn new_id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let key = SigningKey::read(&SigningKey::generate().unwrap()).unwrap();
        let other = SigningKey::read(&SigningKey::generate().unwrap()).unwrap();
        let now = chrono::Utc::now().timestamp();
        let url = "https://scim.example.com";
        let claims = Claims {
            iss: url.into(),
            aud: audience(url, "entra"),
            jti: new_id(),
            iat: now,
            exp: now + 60,
        };
        let token = key.sign(&claims).unwrap();
        assert_eq!(key.verify(&token, url, &audience(url, "entra")).unwrap(), claims);
        let refused = |key: &SigningKey, token: &str, issuer: &str, server: &str| {
            key.verify(token, issuer, &audience(url, server)).unwrap_err()
        };
        assert!(refused(&key, &token, url, "okta").contains("another identity server"));
        assert!(refused(&key, &token, "https://other.example.com", "entra").contains("public_url"));
        assert!(refused(&other, &token, url, "entra").contains("not one of"));
        assert!(refused(&key, "x.y.z", url, "entra").contains("not one of"));
        let old = key.sign(&Claims { exp: now - 1, ..claims.clone() }).unwrap();
        assert!(refused(&key, &old, url, "entra").contains("expired"));
        // No algorithm but ours, whatever the header says.
        let none = format!("eyJhbGciOiJub25lIn0.{}.", token.split('.').nth(1).unwrap());
        assert!(refused(&key, &none, url, "entra").contains("not one of"));
        let hmac = jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(b"public")).unwrap();
        assert!(refused(&key, &hmac, url, "entra").contains("not one of"));
        assert_eq!(format!("{key:?}"), "SigningKey(*****)");
    }
}
