//! Proof that who brings a code is who asked for it (RFC 7636), with S256 alone: `plain` proves nothing to whoever reads the
//! request.

use super::opaque::is_random;
use super::refusal::Refusal;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Reads `code_challenge` and `code_challenge_method`; `required` for clients that have no secret.
pub fn challenge(challenge: Option<&str>, method: Option<&str>, required: bool) -> Result<Option<String>, Refusal> {
    match (challenge, method) {
        (None, None) if required => {
            Err(Refusal::request("a client without a secret must send a code_challenge (PKCE, S256)"))
        }
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Refusal::request("code_challenge_method without a code_challenge")),
        // RFC 7636 4.3: without a method it is `plain`.
        (Some(_), method) if method != Some("S256") => Err(Refusal::request("code_challenge_method must be S256")),
        // A SHA-256 in base64url is as long as our own random texts.
        (Some(challenge), _) if !is_random(challenge) => {
            Err(Refusal::request("code_challenge is not a SHA-256 in base64url"))
        }
        (Some(challenge), _) => Ok(Some(challenge.to_owned())),
    }
}

/// Whether `code_verifier` answers the challenge of the code. A verifier where there was no challenge is refused too: else
/// whoever strips the challenge off a request would go unnoticed (RFC 9700 2.1.1).
pub fn answers(challenge: Option<&str>, verifier: Option<&str>) -> bool {
    match (challenge, verifier) {
        (None, None) => true,
        (Some(challenge), Some(verifier)) => {
            let long_enough = (43..=128).contains(&verifier.len());
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
            let answer = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
            long_enough
                && verifier.bytes().all(plain)
                && verify_slices_are_equal(answer.as_bytes(), challenge.as_bytes()).is_ok()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_and_verifiers() {
        // RFC 7636 appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let known = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert_eq!(challenge(Some(known), Some("S256"), true).unwrap().as_deref(), Some(known));
        assert!(answers(Some(known), Some(verifier)));
        for (said, method, required) in [
            (None, None, true),
            (None, Some("S256"), false),
            (Some(known), None, false),
            (Some(known), Some("plain"), false),
            (Some(known), Some("s256"), false),
            (Some("short"), Some("S256"), false),
            (Some(&*format!("{known}=")), Some("S256"), false),
        ] {
            assert!(challenge(said, method, required).is_err(), "{said:?} {method:?}");
        }
        assert_eq!(challenge(None, None, false), Ok(None));
        for (known, verifier) in [
            (Some(known), None),
            (Some(known), Some(known)),
            (Some(known), Some("")),
            (Some(known), Some(&*format!("{verifier}a"))),
            (None, Some(verifier)),
        ] {
            assert!(!answers(known, verifier), "{known:?} {verifier:?}");
        }
        assert!(answers(None, None));
        let long = "a".repeat(129);
        let its = URL_SAFE_NO_PAD.encode(Sha256::digest(long.as_bytes()));
        assert!(!answers(Some(&its), Some(&long)), "longer than a verifier may be");
    }
}
