//! Password hashes in the forms that applications know: with the prefix they look for and the parameters inside, so
//! that what verifies a hash needs nothing but the hash.
//!
//! Nothing here decides whether a password is good enough, and no hash is ever read back to a client.

use argon2::{Algorithm, Argon2, PasswordVerifier, Version};
use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha_crypt::{PasswordHasher, ShaCrypt};
use std::num::NonZeroU32;

/// How a password column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// `$2y$`, with this cost.
    Bcrypt(u32),
    /// `$argon2id$v=19$m=19456,t=2,p=1$...`
    Argon2id,
    /// `$6$rounds=100000$...`, as crypt(3) has it.
    Sha512Crypt,
    /// `pbkdf2_sha256$600000$...`, as Django has it.
    DjangoPbkdf2,
}

/// KiB, passes and lanes of Argon2id: what OWASP asks for at least.
const ARGON2: (u32, u32, u32) = (19_456, 2, 1);
const SHA_ROUNDS: u32 = 100_000;
const PBKDF2_ROUNDS: u32 = 600_000;
const PBKDF2_LENGTH: usize = 32;

impl Hash {
    /// The words of the adapter language.
    pub(super) const WORDS: [(&'static str, Hash); 4] = [
        ("bcrypt", Hash::Bcrypt(10)),
        ("argon2id", Hash::Argon2id),
        ("sha512_crypt", Hash::Sha512Crypt),
        ("django_pbkdf2", Hash::DjangoPbkdf2),
    ];

    /// How many characters it takes.
    pub(super) fn length(self) -> u64 {
        match self {
            Hash::Bcrypt(_) => 60,
            Hash::Argon2id => 97,
            Hash::Sha512Crypt => 120,
            Hash::DjangoPbkdf2 => 88,
        }
    }

    /// A new hash of a password; why there is none, without its subject.
    pub fn of(self, plain: &str) -> Result<String, String> {
        match self {
            Hash::Bcrypt(cost) => {
                let parts = bcrypt::hash_with_result(plain, cost).map_err(|error| error.to_string())?;
                // The prefix that PHP and most others know.
                Ok(parts.format_for_version(bcrypt::Version::TwoY))
            }
            Hash::Argon2id => {
                let (memory, passes, lanes) = ARGON2;
                let parameters = argon2::Params::new(memory, passes, lanes, None).map_err(|error| error.to_string())?;
                let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
                let hash = argon2.hash_password_with_salt(plain.as_bytes(), &salt::<16>()?);
                hash.map(|hash| hash.to_string()).map_err(|error| error.to_string())
            }
            Hash::Sha512Crypt => {
                let parameters = sha_crypt::Params::new(SHA_ROUNDS).map_err(|error| error.to_string())?;
                let crypt = ShaCrypt::new(sha_crypt::Algorithm::Sha512Crypt, parameters);
                let hash = crypt.hash_password_with_salt(plain.as_bytes(), &salt::<12>()?);
                hash.map(|hash| hash.as_str().to_owned()).map_err(|error| error.to_string())
            }
            Hash::DjangoPbkdf2 => {
                let salt: String = salt::<11>()?.iter().map(|byte| format!("{byte:02x}")).collect();
                let mut out = [0_u8; PBKDF2_LENGTH];
                let rounds = NonZeroU32::new(PBKDF2_ROUNDS).unwrap_or(NonZeroU32::MIN);
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt.as_bytes(), plain.as_bytes(), &mut out);
                Ok(format!("pbkdf2_sha256${PBKDF2_ROUNDS}${salt}${}", STANDARD.encode(out)))
            }
        }
    }

    /// Whether a stored hash, of whichever of these kinds, is of this password.
    pub fn verifies(stored: &str, plain: &str) -> bool {
        let password = plain.as_bytes();
        if stored.starts_with("$argon2") {
            return Argon2::default().verify_password(password, stored).is_ok();
        }
        if stored.starts_with("$6$") || stored.starts_with("$5$") {
            return sha_crypt::PasswordVerifier::verify_password(&ShaCrypt::default(), password, stored).is_ok();
        }
        if let Some(rest) = stored.strip_prefix("pbkdf2_sha256$") {
            return django(rest, password).unwrap_or(false);
        }
        bcrypt::verify(plain, stored).unwrap_or(false)
    }
}

/// `iterations$salt$hash`.
fn django(rest: &str, password: &[u8]) -> Option<bool> {
    let mut parts = rest.split('$');
    let rounds: NonZeroU32 = parts.next()?.parse().ok()?;
    let (salt, hash) = (parts.next()?, parts.next()?);
    let hash = STANDARD.decode(hash).ok()?;
    let verified = pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt.as_bytes(), password, &hash);
    Some(parts.next().is_none() && verified.is_ok())
}

fn salt<const N: usize>() -> Result<[u8; N], String> {
    let mut salt = [0_u8; N];
    getrandom::fill(&mut salt).map_err(|error| error.to_string())?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_the_form_that_applications_know() {
        for (word, hash) in Hash::WORDS {
            let one = hash.of("Tr0ub4dor &3 \u{1F600}").unwrap();
            let two = hash.of("Tr0ub4dor &3 \u{1F600}").unwrap();
            assert_ne!(one, two, "{word}: salted");
            assert_eq!(u64::try_from(one.len()).unwrap(), hash.length(), "{word}: {one}");
            assert!(Hash::verifies(&one, "Tr0ub4dor &3 \u{1F600}"), "{word}: {one}");
            assert!(!Hash::verifies(&one, "tr0ub4dor &3 \u{1F600}"), "{word}: {one}");
            let prefix = match hash {
                Hash::Bcrypt(_) => "$2y$10$",
                Hash::Argon2id => "$argon2id$v=19$m=19456,t=2,p=1$",
                Hash::Sha512Crypt => "$6$rounds=100000$",
                Hash::DjangoPbkdf2 => "pbkdf2_sha256$600000$",
            };
            assert!(one.starts_with(prefix), "{word}: {one}");
        }
    }

    /// Made by PHP, openssl, Python's hashlib in Django's form, and Argon2's own tests.
    #[test]
    fn hashes_made_by_others_are_known() {
        for (stored, plain) in [
            ("$2y$10$.vGA1O9wmRjrwAVXD98HNOgsNpDczlqm3Jq7KnEd1rVAGv3Fykk1a", "rasmuslerdorf"),
            (
                "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
                "Hello world!",
            ),
            ("$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!"),
            ("pbkdf2_sha256$1000$seasalt$R1/GfWtwog1T8Ev9VndgDjzkiRzbFr8JpmJtL9cMmQU=", "letmein"),
            ("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password"),
        ] {
            assert!(Hash::verifies(stored, plain), "{stored}");
            assert!(!Hash::verifies(stored, "other"), "{stored}");
        }
        for none in
            ["", "*", "!", "*** NO PASSWORD ***", "$argon2id$", "$6$", "pbkdf2_sha256$0$a$b", "pbkdf2_sha256$9$a"]
        {
            assert!(!Hash::verifies(none, ""), "{none}");
        }
    }
}
