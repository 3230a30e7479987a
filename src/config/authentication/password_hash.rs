//! Hashes of passwords in a configuration: argon2id and bcrypt, refused where they are too weak to withstand whoever gets to
//! read them, or so strong that checking one would stop the service.

use crate::config::{Context, Secret, secret};
use crate::document::{Findings, Node};

/// bcrypt reads so many bytes of a password and no more.
pub const MAX_BCRYPT: usize = 72;
/// KiB times passes: a little under each of the settings that OWASP's Password Storage Cheat Sheet has for Argon2id.
const LEAST_WORK: u64 = 35_840;
const LEAST_MEMORY: u64 = 7_168;
/// 256 MiB, and 4 GiB read and written.
const MOST_MEMORY: u64 = 262_144;
const MOST_WORK: u64 = 4_194_304;
/// bcrypt's cost: OWASP's least; and one that takes seconds.
const BCRYPT: std::ops::RangeInclusive<u32> = 10..=15;

/// Reads a hash, or the name of where it is kept. One that stands in the configuration is what it is made for.
pub(super) fn read(node: &Node, context: Context<'_>, findings: &mut Findings) -> Option<Secret> {
    let hash = secret::read_verifier(node, context, findings)?;
    match problem(hash.expose()) {
        None => Some(hash),
        Some(problem) => {
            findings.error(node, problem).help("`scimshim secret hash` makes one that is strong enough");
            None
        }
    }
}

/// What is wrong with a hash, without quoting it.
fn problem(hash: &str) -> Option<String> {
    if let Some(rest) = hash.strip_prefix("$argon2id$") {
        return argon2id(rest);
    }
    if hash.starts_with("$2") {
        return bcrypt(hash);
    }
    let found = match hash.split('$').nth(1) {
        Some("argon2i" | "argon2d") => "Argon2 in another variant than argon2id",
        Some("5" | "6" | "1" | "apr1") => "a hash of crypt(3)",
        _ => "something else",
    };
    Some(format!("a password hash is argon2id ($argon2id$...) or bcrypt ($2b$...), this is {found}"))
}

/// `v=19$m=19456,t=2,p=1$SALT$HASH`
fn argon2id(rest: &str) -> Option<String> {
    let broken = || Some("this argon2id hash is not whole".to_owned());
    let parts: Vec<&str> = rest.split('$').collect();
    let [version, parameters, salt, hash] = parts.as_slice() else {
        return broken();
    };
    if *version != "v=19" {
        return Some("this argon2id hash is of an old version (1.3 is v=19)".to_owned());
    }
    let (mut memory, mut passes, mut lanes) = (0, 0, 0);
    for parameter in parameters.split(',') {
        let Some((name, Ok(value))) = parameter.split_once('=').map(|(name, value)| (name, value.parse::<u64>()))
        else {
            return broken();
        };
        match name {
            "m" => memory = value,
            "t" => passes = value,
            "p" => lanes = value,
            _ => return Some(format!("this argon2id hash needs `{name}`, which is not kept here")),
        }
    }
    // Base64 without padding: 8 bytes of salt are 11 characters, 16 of hash are 22.
    if passes == 0 || !(1..=16).contains(&lanes) || salt.len() < 11 || hash.len() < 22 {
        return broken();
    }
    let work = memory.saturating_mul(passes);
    if memory < LEAST_MEMORY || work < LEAST_WORK {
        return Some(format!(
            "this argon2id hash is too weak (m={memory} KiB, t={passes}); m=19456, t=2 is the least to ask for"
        ));
    }
    if memory > MOST_MEMORY || work > MOST_WORK {
        return Some(format!(
            "this argon2id hash would take too much memory or time to check (m={memory} KiB, t={passes})"
        ));
    }
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    if plain(salt) && plain(hash) { None } else { broken() }
}

/// `$2b$12$` and 53 characters.
fn bcrypt(hash: &str) -> Option<String> {
    let parts: Vec<&str> = hash.split('$').collect();
    let ["", "2a" | "2b" | "2y", cost, rest] = parts.as_slice() else {
        return Some("this bcrypt hash is not whole, or of a kind that is broken".to_owned());
    };
    let plain = rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'/'));
    match cost.parse::<u32>() {
        Ok(cost) if rest.len() == 53 && plain && BCRYPT.contains(&cost) => None,
        Ok(cost) if cost < *BCRYPT.start() => {
            Some(format!("this bcrypt hash is too weak (cost {cost}); {} is the least to ask for", BCRYPT.start()))
        }
        Ok(cost) if cost > *BCRYPT.end() => {
            Some(format!("this bcrypt hash would take too long to check (cost {cost})"))
        }
        _ => Some("this bcrypt hash is not whole, or of a kind that is broken".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strong_enough_and_not_too_strong() {
        let salt = "c29tZXNhbHRzb21l";
        let out = "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let argon2 = |parameters: &str| format!("$argon2id$v=19${parameters}${salt}${out}");
        let bcrypt = |cost: &str| format!("$2b${cost}${}", "a".repeat(53));
        for good in [
            argon2("m=19456,t=2,p=1"),
            argon2("m=65536,t=3,p=4"),
            argon2("m=12288,t=3,p=1"),
            argon2("m=7168,t=5,p=1"),
            bcrypt("10"),
            bcrypt("12"),
            bcrypt("12").replace("2b", "2y"),
        ] {
            assert_eq!(problem(&good), None, "{good}");
        }
        for (bad, why) in [
            (argon2("m=4096,t=3,p=1"), "too weak"),
            (argon2("m=19456,t=1,p=1"), "too weak"),
            (argon2("m=1024,t=100,p=1"), "too weak"),
            (argon2("m=4194304,t=1,p=1"), "too much"),
            (argon2("m=19456,t=9999999,p=1"), "too much"),
            (argon2("m=19456,t=18446744073709551615,p=1"), "too much"),
            (argon2("m=19456,t=2"), "not whole"),
            (argon2("m=19456,t=2,p=1,keyid=x"), "not whole"),
            (argon2("m=19456,t=2,p=1,data=1"), "which is not kept"),
            (argon2("m=x,t=2,p=1"), "not whole"),
            (argon2("m=19456,t=2,p=1").replace("v=19", "v=16"), "old version"),
            (argon2("m=19456,t=2,p=1").replace(out, "abc"), "not whole"),
            (argon2("m=19456,t=2,p=1").replace("argon2id", "argon2i"), "another variant"),
            (bcrypt("04"), "too weak"),
            (bcrypt("9"), "too weak"),
            (bcrypt("20"), "too long"),
            (bcrypt("x"), "not whole"),
            (bcrypt("12").replace("2b", "2x"), "broken"),
            (format!("{}a", bcrypt("12")), "not whole"),
            ("$6$saltstring$svn8UoSVapNtMuq1".to_owned(), "crypt(3)"),
            ("hunter2".to_owned(), "something else"),
            ("$argon2id$".to_owned(), "not whole"),
        ] {
            let problem = problem(&bad).unwrap_or_default();
            assert!(problem.contains(why), "{bad}: {problem}");
            assert!(!problem.contains(salt) && !problem.contains("hunter2"));
        }
    }
}
