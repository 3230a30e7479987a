//! The journal: how long it is kept, and what of the requests of an identity server: `journal`, `save_requests`.

use super::values;
use crate::document::{Findings, Reader};
use std::time::Duration;

/// Four hundred days: a year, and time to look.
const RETAIN: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// How long requests, and what they changed, are kept.
    pub retain: Duration,
}

/// What the journal keeps of bodies and queries. Secrets it never keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveRequests {
    /// Nothing; and reads are not journalled.
    None,
    /// What is not personal.
    Redacted,
    /// All of it.
    Full,
}

impl SaveRequests {
    /// All of them, as the configuration calls them.
    pub const ALL: [(&'static str, Self); 3] =
        [("none", Self::None), ("redacted", Self::Redacted), ("full", Self::Full)];
}

pub(super) fn read(reader: &mut Reader<'_>, findings: &mut Findings) -> Journal {
    let mut journal = Journal { retain: RETAIN };
    let Some(mut reader) = reader.given("journal").and_then(|node| Reader::mapping(node, findings)) else {
        return journal;
    };
    if let Some(node) = reader.given("retain")
        && let Some(retain) = values::read_duration(node, findings)
    {
        if retain < Duration::from_secs(1) {
            findings
                .error(node, "the journal would be emptied at once")
                .help("the journal is what says who changed what, and what `undo` works from; a second is the least");
        }
        journal.retain = retain;
    }
    reader.finish(findings);
    journal
}
