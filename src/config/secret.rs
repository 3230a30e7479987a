//! Secrets: where they come from, and that they are never printed.

use std::fmt;
use std::path::Path;

use super::{Context, values};
use crate::document::{Findings, Node};

/// The largest file a secret is read from, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// A secret. It prints as `*****`; only [`Secret::expose`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret from elsewhere, for example a command line that generated it.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("*****")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("*****")
    }
}

/// Where a secret comes from.
enum Origin<'t> {
    /// `${file:PATH}`
    File(&'t str),
    /// `${env:NAME}`
    Environment(&'t str),
    /// `${credential:NAME}`: systemd's LoadCredential
    Credential(&'t str),
    /// In the configuration itself.
    Inline,
}

/// Reads the secret that a node holds or names. What cannot be had is reported; an inline one draws a warning.
pub(super) fn read(node: &Node, context: Context<'_>, findings: &mut Findings) -> Option<Secret> {
    let secret = read_verifier(node, context, findings)?;
    if matches!(node.as_str().map(origin), Some(Ok(Origin::Inline))) {
        let finding = findings.warning(node, "a secret stands in the configuration itself");
        finding.help("keep it in a file that only scimshim can read: ${file:PATH}, or ${credential:NAME}");
    }
    Some(secret)
}

/// Keeps what stands at a node from being printed, unless it only names where a secret is. For secrets beside a mistake that
/// has nobody read them.
pub(super) fn hide(node: &Node, findings: &mut Findings) {
    let origin = node.as_str().map(origin);
    if !matches!(origin, Some(Ok(Origin::File(_) | Origin::Environment(_) | Origin::Credential(_)))) {
        findings.hide(node);
    }
}

/// The same for what a configuration may hold itself: a hash that `scimshim secret` printed.
pub(super) fn read_verifier(node: &Node, context: Context<'_>, findings: &mut Findings) -> Option<Secret> {
    hide(node, findings);
    let text = match node.as_str().map(origin) {
        // Not `read_str`: its message would quote what was found.
        None => {
            findings.hide_rest(node);
            let finding = findings.error(node, format!("expected text, found {}", node.kind_name()));
            finding.help("put it in quotes");
            return None;
        }
        Some(Err(())) => {
            let finding = findings.error(node, "not a known way to name a secret");
            finding.help("known are ${file:PATH}, ${env:NAME} and ${credential:NAME}");
            return None;
        }
        Some(Ok(Origin::Inline)) => node.as_str().map(str::to_owned),
        Some(Ok(Origin::Environment(name))) => {
            let value = (context.environment)(name);
            if value.is_none() {
                findings.error(node, format!("the environment variable {name} is not set"));
            }
            value
        }
        Some(Ok(Origin::File(path))) => read_file(&context.resolve(path), node, findings),
        Some(Ok(Origin::Credential(name))) => match (context.environment)("CREDENTIALS_DIRECTORY") {
            Some(directory) => read_file(&Path::new(&directory).join(name), node, findings),
            None => {
                let finding = findings.error(node, "there is no $CREDENTIALS_DIRECTORY");
                finding.help("systemd sets it for a unit with LoadCredential=; elsewhere use ${file:PATH}");
                None
            }
        },
    }?;
    if text.is_empty() {
        findings.error(node, "the secret is empty");
        return None;
    }
    let around = |c: char| c.is_whitespace() || c == '\u{feff}' || c.is_control();
    if text.starts_with(around) || text.ends_with(around) {
        findings
            .warning(node, "the secret begins or ends with white space, a newline or a byte order mark, which is taken as part of it")
            .help("`printf %s 'the secret' >FILE` writes nothing besides; of a file one newline at its end is left out");
    }
    Some(Secret(text))
}

fn origin(text: &str) -> Result<Origin<'_>, ()> {
    let Some(reference) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return Ok(Origin::Inline);
    };
    match reference.split_once(':') {
        Some((_, "")) | None => Err(()),
        Some(("file", path)) => Ok(Origin::File(path)),
        Some(("env", name)) => Ok(Origin::Environment(name)),
        Some(("credential", name)) if !name.contains('/') && name != ".." => Ok(Origin::Credential(name)),
        Some(_) => Err(()),
    }
}

/// A file's text without its trailing newline.
fn read_file(path: &Path, node: &Node, findings: &mut Findings) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    if let Err(error) = read {
        findings.error(node, format!("cannot read the secret from {}: {error}", path.display()));
        return None;
    }
    values::warn_if_world_readable(path, node, findings);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Some(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
