//! `basic`: a user name and a password (RFC 7617).

use super::{Around, password_hash, username};
use crate::config::{Secret, secret};
use crate::document::{Findings, Node, Reader};

/// One user name and what its password is known by.
#[derive(Clone, Debug)]
pub struct Basic {
    /// Without a colon.
    pub username: String,
    /// The password or its hash.
    pub password: Password,
}

/// What a password is known by.
#[derive(Clone, Debug)]
pub enum Password {
    /// Itself.
    Plain(Secret),
    /// `$argon2id$...` or `$2b$...`, of parameters that are strong enough; prints as `*****` too.
    Hash(Secret),
}

pub(super) fn read(node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<Basic> {
    let mut reader = Reader::mapping(node, findings)?;
    let username = username(&mut reader, false, findings);
    let (plain, hash) = (reader.given("password"), reader.given("password_hash"));
    [plain, hash].into_iter().flatten().for_each(|node| secret::hide(node, findings));
    reader.finish(findings);
    let password = match (plain, hash) {
        (Some(node), None) => secret::read(node, around.context, findings).map(Password::Plain),
        (None, Some(node)) => password_hash::read(node, around.context, findings).map(Password::Hash),
        (Some(_), Some(both)) => {
            findings.error(both, "`password` stands here too: one of the two").help("keep `password_hash`");
            None
        }
        (None, None) => {
            let finding = findings.error(node, "there is no password");
            finding.help("password_hash: what `scimshim secret hash` prints; or password: \"${file:PATH}\"");
            None
        }
    };
    Some(Basic { username: username?, password: password? })
}
