//! Takes a mapping apart key by key, so that missing and unknown keys are all reported and by one rule.

use super::{Findings, Key, Node, nearest};

/// A mapping being read. Ask for every key that is known, then [`Reader::finish`].
pub struct Reader<'n> {
    node: &'n Node,
    asked: Vec<String>,
}

impl<'n> Reader<'n> {
    /// Starts on a mapping; anything else is reported.
    pub fn mapping(node: &'n Node, findings: &mut Findings) -> Option<Reader<'n>> {
        node.read_entries(findings)?;
        Some(Reader { node, asked: Vec::new() })
    }

    /// The mapping itself.
    pub fn node(&self) -> &'n Node {
        self.node
    }

    /// The value of a key that must be there; reported when it is not.
    pub fn required(&mut self, key: &str, findings: &mut Findings) -> Option<&'n Node> {
        let value = self.optional(key);
        if value.is_none() {
            findings.error(self.node, missing(key));
        }
        value
    }

    /// The value of a key that may be there, null included.
    pub fn optional(&mut self, key: &str) -> Option<&'n Node> {
        self.optional_entry(key).map(|(_, value)| value)
    }

    /// Key and value of a key that may be there, null included.
    pub fn optional_entry(&mut self, key: &str) -> Option<&'n (Key, Node)> {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_owned());
        }
        self.node.entry(key)
    }

    /// The value of a key that may be there; `key:` without a value counts as absent.
    pub fn given(&mut self, key: &str) -> Option<&'n Node> {
        self.optional(key).filter(|value| !value.is_null())
    }

    /// Text under a key that may be there; anything but text is reported.
    pub fn string(&mut self, key: &str, findings: &mut Findings) -> Option<&'n str> {
        self.given(key)?.read_str(findings)
    }

    /// A truth value under a key that may be there; anything else is reported.
    pub fn boolean(&mut self, key: &str, findings: &mut Findings) -> Option<bool> {
        self.given(key)?.read_bool(findings)
    }

    /// A whole number under a key that may be there; anything else is reported.
    pub fn integer(&mut self, key: &str, findings: &mut Findings) -> Option<i64> {
        self.given(key)?.read_i64(findings)
    }

    /// One of the listed words under a key that may be there; anything else is reported.
    pub fn word<T: Clone>(&mut self, key: &str, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        self.given(key)?.read_word(words, findings)
    }

    /// The entries nobody asked for: for mappings that mix known words with names of one's own.
    pub fn rest(&self) -> impl Iterator<Item = &'n (Key, Node)> {
        let asked = self.asked.clone();
        self.node.entries().iter().filter(move |(key, _)| !asked.contains(&key.text))
    }

    /// Reports every key that was not asked for, with the nearest of those that were.
    pub fn finish(self, findings: &mut Findings) {
        for (key, value) in self.rest() {
            let unused = self.asked.iter().filter(|asked| self.node.get(asked).is_none());
            let near = nearest(&key.text, unused.map(String::as_str))
                .or_else(|| nearest(&key.text, self.asked.iter().map(String::as_str)));
            if super::finding::sensitive(&key.text) {
                findings.hide_rest(value);
            }
            if let Some(near) = near {
                // A misspelt key was reported as missing by `required`; once is enough.
                findings.retract(self.node.place(), &missing(near));
            }
            let finding = findings.error(key, format!("unknown key `{}`", key.text));
            match near {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None if self.asked.is_empty() => finding.help("no keys are known here"),
                None => finding.help(format!("known keys here: {}", self.asked.join(", "))),
            };
        }
    }
}

fn missing(key: &str) -> String {
    format!("the key `{key}` is missing")
}
