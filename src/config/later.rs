//! Settings that are documented but that this version does not act on yet.
//!
//! They are read and their shape is checked, and then refused in plain words: never silently ignored. Building one
//! means deleting its row in [`TABLE`] and reading it in the section it belongs to.

use crate::document::{Findings, Located, Node, Reader};

/// One documented setting without effect.
struct Later {
    /// The section it stands in (`*` is any identity server), and its key.
    section: &'static str,
    key: &'static str,
    /// The value that asks for nothing and is therefore taken.
    harmless: Option<&'static str>,
    shape: Shape,
}

/// What a setting looks like.
enum Shape {
    Text,
    Bool,
    /// A mapping with these keys; true marks those that must be there.
    Map(&'static [(&'static str, bool, Shape)]),
}

use Shape::{Bool, Map, Text};

const SERVER: &str = "identity_servers.*";
const AUTHENTICATION: &str = "identity_servers.*.authentication";

const TABLE: &[Later] = &[
    Later { section: SERVER, key: "brake", harmless: None, shape: Map(&[("deactivations_per_hour", false, Text)]) },
    Later { section: SERVER, key: "dry_run", harmless: Some("false"), shape: Bool },
];

/// Reads the settings of a section that have no effect yet, and refuses those that ask for something.
pub(super) fn refuse(reader: &mut Reader<'_>, section: &str, findings: &mut Findings) {
    for later in TABLE.iter().filter(|later| later.section == section) {
        let Some((key, node)) = reader.optional_entry(later.key) else {
            continue;
        };
        if later.harmless.is_some_and(|harmless| node.is_null() || node.scalar_text() == Some(harmless)) {
            continue;
        }
        // A method of authentication asks for something even without a value; a setting without one does not.
        if !node.is_null() {
            later.shape.check(node, findings);
        } else if section != AUTHENTICATION {
            continue;
        }
        not_yet(later, key, findings);
    }
}

/// The same for a setting written as a word (`authentication: basic`); false if the word is none of the section's.
pub(super) fn refuse_word(section: &str, word: &str, at: &Node, findings: &mut Findings) -> bool {
    let later = TABLE.iter().find(|later| later.section == section && later.key == word);
    if let Some(later) = later {
        not_yet(later, at, findings);
    }
    later.is_some()
}

/// The keys of a section.
pub(super) fn words(section: &str) -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(move |later| later.section == section).map(|later| later.key)
}

fn not_yet(later: &Later, at: &impl Located, findings: &mut Findings) {
    let finding = findings.error(at, format!("this version of scimshim does not support `{}` yet", later.key));
    match later.harmless {
        Some(harmless) => finding.help(format!("remove it, or write `{}: {harmless}`", later.key)),
        None if later.section == AUTHENTICATION => finding.help("this version knows none, basic, digest and bearer"),
        None => finding.help("remove it"),
    };
}

impl Shape {
    fn check(&self, node: &Node, findings: &mut Findings) {
        match self {
            Text if node.scalar_text().is_some() && !node.is_null() => {}
            Text => drop(node.read_str(findings)),
            Bool => drop(node.read_bool(findings)),
            Map(keys) => {
                let Some(mut reader) = Reader::mapping(node, findings) else {
                    return;
                };
                for (key, required, shape) in *keys {
                    let value = if *required { reader.required(key, findings) } else { reader.given(key) };
                    let Some(value) = value else { continue };
                    if ["password", "password_hash", "secret_hash", "ha1"].contains(key) {
                        findings.hide(value);
                    }
                    shape.check(value, findings);
                }
                reader.finish(findings);
            }
        }
    }
}
