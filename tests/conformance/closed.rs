//! A closed list of what is known to differ: `why` says by which text that was decided.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::support::file;

/// Reads a list, YAML.
pub fn list<T: DeserializeOwned>(path: &str) -> Vec<T> {
    let text = std::fs::read_to_string(file(path)).expect("the list is text");
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One finding of a tool.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Which runs have it.
    pub runs: Vec<String>,
    /// The check's name, as the tool says it.
    pub check: String,
    /// A piece of what it says.
    pub says: String,
    /// The RFC's text that decides.
    pub why: String,
}

/// Fails for what is found and not listed, and for what is listed and not found. `found` are checks and what they say.
pub fn compare(run: &str, found: &[(String, String)], path: &str) {
    let mut known: Vec<Known> = list(path);
    assert!(known.iter().all(|one| one.why.contains("RFC")), "{path}: each entry says by which text it was decided");
    known.retain(|one| one.runs.iter().any(|one| one == run));
    let mut wrong = Vec::new();
    for (check, says) in found {
        let here = known.iter().position(|one| one.check == *check && says.contains(&one.says));
        match here {
            Some(index) => {
                known.remove(index);
            }
            None => wrong.push(format!("not listed: {check}: {says}")),
        }
    }
    wrong.extend(known.iter().map(|one| format!("listed and gone: {}: {}", one.check, one.says)));
    assert!(wrong.is_empty(), "{run}, {path}:\n{}", wrong.join("\n"));
}
