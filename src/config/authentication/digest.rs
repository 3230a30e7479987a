//! `digest`: a user name and a password that never travels (RFC 7616).
//!
//! Of the password only H(A1) is kept, for each algorithm; it opens what the password opens, in this realm.

use super::{Around, username};
use crate::config::{Secret, secret};
use crate::document::{Findings, Node, Reader};
use sha2::Digest as _;
use unicode_normalization::UnicodeNormalization;

/// One user name and what its password is known by.
#[derive(Clone, Debug)]
pub struct Digest {
    /// As the client sends it.
    pub username: String,
    /// The protection space (RFC 7235 2.2), part of H(A1).
    pub realm: String,
    /// H(A1) in lower-case hexadecimal by algorithm, the most wanted first; at least one.
    pub ha1: Vec<(DigestAlgorithm, Secret)>,
}

/// How a response is hashed (RFC 7616 6.1). The session variants are not spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512/256.
    Sha512_256,
    /// For what knows nothing better.
    Md5,
}

impl DigestAlgorithm {
    /// All of them, by their registered names.
    pub const ALL: [(&'static str, DigestAlgorithm); 3] = [
        ("SHA-256", DigestAlgorithm::Sha256),
        ("SHA-512-256", DigestAlgorithm::Sha512_256),
        ("MD5", DigestAlgorithm::Md5),
    ];

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            DigestAlgorithm::Sha256 => "SHA-256",
            DigestAlgorithm::Sha512_256 => "SHA-512-256",
            DigestAlgorithm::Md5 => "MD5",
        }
    }

    /// H: the hash of the parts with colons between them, in lower-case hexadecimal.
    pub fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        let hexadecimal = |hash: &[u8]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            DigestAlgorithm::Sha256 => hexadecimal(&sha2::Sha256::digest(text)),
            DigestAlgorithm::Sha512_256 => hexadecimal(&sha2::Sha512_256::digest(text)),
            DigestAlgorithm::Md5 => hexadecimal(&md5::Md5::digest(text)),
        }
    }

    /// H(A1) (RFC 7616 3.4.2), of names and passwords in NFC (RFC 7616 4).
    pub fn ha1(self, username: &str, realm: &str, password: &str) -> String {
        let normal = |text: &str| text.nfc().collect::<String>();
        self.hash(&[&normal(username), realm, &normal(password)])
    }

    /// How many hexadecimal digits a hash has.
    fn digits(self) -> usize {
        match self {
            DigestAlgorithm::Md5 => 32,
            DigestAlgorithm::Sha256 | DigestAlgorithm::Sha512_256 => 64,
        }
    }
}

impl Digest {
    /// The realm unless another is said.
    pub const REALM: &'static str = "scim";
}

pub(super) fn read(node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<Digest> {
    let mut reader = Reader::mapping(node, findings)?;
    let username = username(&mut reader, true, findings);
    let realm = realm(&mut reader, findings);
    let algorithms = algorithms(&mut reader, findings);
    let (password, ha1) = (reader.given("password"), reader.given("ha1"));
    [password, ha1].into_iter().flatten().for_each(|node| secret::hide(node, findings));
    reader.finish(findings);
    let (username, realm) = (username?, realm?);
    let ha1 = match (password, ha1) {
        (Some(node), None) => {
            let password = secret::read(node, around.context, findings)?;
            let wanted = if algorithms.is_empty() { vec![DigestAlgorithm::Sha256] } else { algorithms };
            let ha1 = |algorithm: DigestAlgorithm| {
                (algorithm, Secret::new(algorithm.ha1(&username, &realm, password.expose())))
            };
            wanted.into_iter().map(ha1).collect()
        }
        (None, Some(node)) => {
            let text = secret::read_verifier(node, around.context, findings)?;
            stored(node, text.expose(), &algorithms, findings)?
        }
        (Some(_), Some(both)) => {
            findings.error(both, "`password` stands here too: one of the two").help("keep `ha1`");
            return None;
        }
        (None, None) => {
            let finding = findings.error(node, "there is no password");
            finding.help("ha1: what `scimshim secret digest` prints; or password: \"${file:PATH}\"");
            return None;
        }
    };
    if let Some(node) = node.get("ha1").or_else(|| node.get("algorithms"))
        && ha1.iter().any(|(algorithm, _)| *algorithm == DigestAlgorithm::Md5)
    {
        findings.warning(node, "MD5 is broken").help("use SHA-256 unless the client knows nothing else");
    }
    Some(Digest { username, realm, ha1 })
}

/// A realm stands in a header between quotes.
fn realm(reader: &mut Reader<'_>, findings: &mut Findings) -> Option<String> {
    let Some(node) = reader.given("realm") else {
        return Some(Digest::REALM.to_owned());
    };
    let realm = node.read_str(findings)?;
    let plain = |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b'"' | b'\\');
    if realm.is_empty() || realm.len() > 128 || !realm.bytes().all(plain) {
        findings.error(node, "a realm is plain ASCII without quotes and backslashes, at most 128 characters");
        return None;
    }
    Some(realm.to_owned())
}

/// What is asked for, the most wanted first; empty when nothing is said.
fn algorithms(reader: &mut Reader<'_>, findings: &mut Findings) -> Vec<DigestAlgorithm> {
    let Some(node) = reader.given("algorithms") else {
        return Vec::new();
    };
    let mut algorithms = Vec::new();
    for word in node.one_or_many() {
        match word.read_word(&DigestAlgorithm::ALL, findings) {
            Some(again) if algorithms.contains(&again) => {
                findings.error(word, format!("{} stands here twice", again.name()));
            }
            Some(algorithm) => algorithms.push(algorithm),
            None => {}
        }
    }
    if node.one_or_many().is_empty() {
        findings.error(node, "no algorithm").help("leave `algorithms` out for SHA-256");
    }
    algorithms
}

/// `SHA-256:HEX`, several with spaces between them.
fn stored(
    node: &Node,
    text: &str,
    algorithms: &[DigestAlgorithm],
    findings: &mut Findings,
) -> Option<Vec<(DigestAlgorithm, Secret)>> {
    let mut known = Vec::new();
    for word in text.split_whitespace() {
        let named = DigestAlgorithm::ALL.iter().find_map(|(name, algorithm)| {
            let hash = word.strip_prefix(name)?.strip_prefix(':')?;
            Some((*algorithm, hash))
        });
        let good = named.filter(|(algorithm, hash)| {
            hash.len() == algorithm.digits() && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        let Some((algorithm, hash)) = good.filter(|(algorithm, _)| known.iter().all(|(other, _)| other != algorithm))
        else {
            findings
                .error(node, "this is not what `scimshim secret digest` prints")
                .help("for example `SHA-256:3ba6cd...`");
            return None;
        };
        known.push((algorithm, Secret::new(hash.to_ascii_lowercase())));
    }
    if algorithms.is_empty() {
        return Some(known).filter(|known| !known.is_empty());
    }
    let mut wanted = Vec::new();
    for algorithm in algorithms {
        match known.iter().find(|(known, _)| known == algorithm) {
            Some(one) => wanted.push(one.clone()),
            None => {
                let name = algorithm.name();
                let finding = findings.error(node, format!("there is no {name} here, which `algorithms` asks for"));
                finding.help(format!("scimshim secret digest --algorithm {name} ..."));
                return None;
            }
        }
    }
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7616 3.9.1 and 3.9.2.
    #[test]
    fn the_examples_of_the_rfc() {
        let realm = "http-auth@example.org";
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, response) in [
            (DigestAlgorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (DigestAlgorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let ha1 = algorithm.ha1("Mufasa", realm, "Circle of Life");
            let ha2 = algorithm.hash(&["GET", "/dir/index.html"]);
            assert_eq!(algorithm.hash(&[&ha1, nonce, "00000001", cnonce, "auth", &ha2]), response);
        }
        // The user's hash is that of erratum 4897. The RFC's response is not of this algorithm; this one is what Python's hashlib
        // makes of the RFC's values.
        let algorithm = DigestAlgorithm::Sha512_256;
        let (user, realm) = ("J\u{e4}s\u{f8}n Doe", "api@example.org");
        let userhash = "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b";
        assert_eq!(algorithm.hash(&[user, realm]), userhash);
        let ha1 = algorithm.ha1(user, realm, "Secret, or not?");
        let ha2 = algorithm.hash(&["GET", "/doe.json"]);
        let (nonce, cnonce) = ("5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm");
        assert_eq!(
            algorithm.hash(&[&ha1, nonce, "00000001", cnonce, "auth", &ha2]),
            "7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c"
        );
    }
}
