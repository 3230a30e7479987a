//! What is wrong with a document: errors and warnings, all of them at once, each for the person who must act.

use super::{Located, Place};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing runs with it.
    Error,
    /// It runs, but somebody should look.
    Warning,
}

impl Severity {
    /// As printed.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One thing found, where, and what to do about it.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Error or warning.
    pub severity: Severity,
    /// What it points at; None for what is wrong as a whole.
    pub place: Option<Place>,
    /// What was found and what was expected.
    pub message: String,
    /// The likely fix.
    pub help: Option<String>,
}

impl Finding {
    /// Adds the likely fix.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Finding {
        self.help = Some(help.into());
        self
    }

    fn same(&self, other: &Finding) -> bool {
        let place = match (&self.place, &other.place) {
            (Some(one), Some(two)) => one.same(two),
            (None, None) => true,
            _ => false,
        };
        place && self.severity == other.severity && self.message == other.message
    }
}

/// Everything found, in the order it was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    list: Vec<Finding>,
    /// Places whose text must not be printed when their line is cited.
    hidden: Vec<Place>,
}

impl Findings {
    /// None yet.
    pub fn new() -> Findings {
        Findings::default()
    }

    /// Adds an error at a node, a key, a place, or nowhere (`&()`).
    pub fn error(&mut self, at: &(impl Located + ?Sized), message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Error, at.located(), message.into())
    }

    /// Adds a warning at a node, a key, a place, or nowhere (`&()`).
    pub fn warning(&mut self, at: &(impl Located + ?Sized), message: impl Into<String>) -> &mut Finding {
        self.add(Severity::Warning, at.located(), message.into())
    }

    /// Adds a finding made elsewhere.
    pub fn push(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// Takes back what another finding says better.
    pub(super) fn retract(&mut self, at: &Place, message: &str) {
        self.list.retain(|finding| {
            finding.message != message || !finding.place.as_ref().is_some_and(|place| place.same(at))
        });
    }

    /// Marks a place as secret: findings that cite its line print `*****` there.
    pub fn hide(&mut self, at: &(impl Located + ?Sized)) {
        self.hidden.extend(at.located());
    }

    /// The same for everything from there to the end of its line.
    pub fn hide_rest(&mut self, at: &(impl Located + ?Sized)) {
        let rest = at.located().map(|place| {
            let line = place.source.line(place.position.line).unwrap_or_default();
            let len = line.chars().count().saturating_sub(place.position.column - 1).max(place.len);
            Place { len, ..place }
        });
        self.hidden.extend(rest);
    }

    /// Hides what follows a key that sounds like a secret on this line: for text that did not parse.
    pub(super) fn hide_suspect(&mut self, place: &Place) {
        let line: Vec<char> = place.source.line(place.position.line).unwrap_or_default().chars().collect();
        for (index, _) in line.iter().enumerate().filter(|(_, c)| **c == ':') {
            let key: String = line.iter().take(index).collect();
            let word = key.rsplit([' ', '{', ',', '\t']).next().unwrap_or_default();
            let rest = line.len().saturating_sub(index + 2);
            if (sensitive(word) || word.contains("//")) && rest > 0 {
                let position = super::Position { line: place.position.line, column: index + 3 };
                self.hidden.push(Place { source: place.source.clone(), position, len: rest });
                return;
            }
        }
    }

    pub(super) fn hidden(&self) -> &[Place] {
        &self.hidden
    }

    /// Whether anything found is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many errors and warnings there are.
    pub fn count(&self) -> (usize, usize) {
        let sorted = self.sorted();
        let errors = sorted.iter().filter(|finding| finding.severity == Severity::Error).count();
        (errors, sorted.len() - errors)
    }

    /// In the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.list.iter()
    }

    /// Takes over all of another's.
    pub fn extend(&mut self, other: Findings) {
        self.list.extend(other.list);
        self.hidden.extend(other.hidden);
    }

    /// For people: by file and place, each once, without file first.
    pub fn sorted(&self) -> Vec<&Finding> {
        let mut files: Vec<&str> = Vec::new();
        for place in self.list.iter().filter_map(|finding| finding.place.as_ref()) {
            if !files.contains(&place.source.name.as_str()) {
                files.push(&place.source.name);
            }
        }
        let key = |finding: &Finding| {
            finding
                .place
                .as_ref()
                .map(|place| (files.iter().position(|file| *file == place.source.name), place.position))
        };
        let mut sorted: Vec<&Finding> = Vec::new();
        for finding in &self.list {
            if !sorted.iter().any(|earlier| earlier.same(finding)) {
                sorted.push(finding);
            }
        }
        sorted.sort_by_key(|finding| key(finding));
        sorted
    }

    fn add(&mut self, severity: Severity, place: Option<Place>, message: String) -> &mut Finding {
        let index = self.list.len();
        self.list.push(Finding { severity, place, message, help: None });
        #[expect(clippy::indexing_slicing, reason = "pushed in the line before")]
        &mut self.list[index]
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// Whether a key of this name would hold a secret.
pub(super) fn sensitive(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["passw", "secret", "token", "ha1", "credential", "pwd"].iter().any(|word| key.contains(word))
        || key.ends_with("key")
        || super::nearest(&key, ["password", "password_hash", "secret_hash", "secret"].into_iter()).is_some()
}

/// The candidate that was probably meant by a word that is none of them; None when nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let fold = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let word = fold(word);
    let length = word.chars().count();
    if length == 0 {
        return None;
    }
    candidates
        .map(|candidate| {
            let folded = fold(candidate);
            let distance = strsim::osa_distance(&word, &folded);
            (distance, 1.0 - strsim::jaro_winkler(&word, &folded), length.max(folded.chars().count()), candidate)
        })
        .filter(|(distance, _, longer, _)| *distance <= (longer / 3).max(1) && distance < longer)
        .min_by(|one, two| one.0.cmp(&two.0).then(one.1.total_cmp(&two.1)))
        .map(|(_, _, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word() {
        let words = ["listen", "public_url", "trusted_proxies", "tls", "a"];
        let cases = [
            ("lisen", Some("listen")),
            ("Listen", Some("listen")),
            ("public-url", Some("public_url")),
            ("trusted_proxy", Some("trusted_proxies")),
            ("tsl", Some("tls")),
            ("frobnicate", None),
            ("x", None),
            ("", None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, words.into_iter()), expected, "{word}");
        }
    }
}
