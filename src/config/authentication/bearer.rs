//! `bearer`: tokens of `scimshim token` (RFC 6750).

use super::Around;
use crate::config::identity::Profile;
use crate::document::{Findings, Node, Reader};

/// Bearer tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// `Authorization: TOKEN` is taken for `Authorization: Bearer TOKEN`.
    pub scheme_optional: bool,
}

impl Bearer {
    /// As a profile has it. Okta sends what its "HTTP Header" field holds, as it is.
    pub(super) fn of(profile: Profile) -> Bearer {
        Bearer { scheme_optional: profile == Profile::Okta }
    }
}

pub(super) fn read(node: &Node, around: Around<'_>, findings: &mut Findings) -> Option<Bearer> {
    let mut bearer = Bearer::of(around.profile);
    if node.is_null() {
        return Some(bearer);
    }
    let mut reader = Reader::mapping(node, findings)?;
    bearer.scheme_optional = reader.boolean("scheme_optional", findings).unwrap_or(bearer.scheme_optional);
    reader.finish(findings);
    Some(bearer)
}
