//! Where a piece of a document stands: source file, line, column, length.

use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::Findings;

/// The largest document that is read, in bytes.
pub const MAX_BYTES: u64 = 8 * 1024 * 1024;

/// The text of one document and the name under which it is cited.
pub struct Source {
    /// The path as printed in findings.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// A source from text in memory.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source { name: name.into(), text: text.into() }
    }

    /// Reads a file; one that cannot be read, is larger than [`MAX_BYTES`] or is not UTF-8 becomes a finding.
    pub fn read(path: &Path, findings: &mut Findings) -> Option<Source> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            findings.error(&(), format!("cannot read {name}: {error}"));
            return None;
        }
        if u64::try_from(bytes.len()).map_or(true, |length| length > MAX_BYTES) {
            findings.error(&(), format!("{name} is larger than {} MiB", MAX_BYTES / 1024 / 1024));
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(Source { name, text }),
            Err(error) => {
                let good = error.utf8_error().valid_up_to();
                let line = error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count() + 1;
                findings.error(&(), format!("{name} is not UTF-8 (line {line})")).help("save it as UTF-8");
                None
            }
        }
    }

    /// The line with this 1-based number, without its line end.
    pub fn line(&self, number: usize) -> Option<&str> {
        self.text.trim_start_matches('\u{feff}').lines().nth(number.checked_sub(1)?)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name) // the text may hold secrets
    }
}

/// A position in a text: both numbers count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A stretch of one line of one source: what a finding points at.
#[derive(Clone)]
pub struct Place {
    /// The document.
    pub source: Arc<Source>,
    /// Its first character.
    pub position: Position,
    /// Characters on that line, at least 1.
    pub len: usize,
}

impl Place {
    /// Whether both are the same stretch of the same document.
    pub fn same(&self, other: &Place) -> bool {
        self.position == other.position && self.len == other.len && self.source.name == other.source.name
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.position.line, self.position.column)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}

/// What a finding can point at. `()` is nowhere: the finding has no place.
pub trait Located {
    /// The place, if there is one.
    fn located(&self) -> Option<Place>;
}

impl Located for Place {
    fn located(&self) -> Option<Place> {
        Some(self.clone())
    }
}

impl Located for () {
    fn located(&self) -> Option<Place> {
        None
    }
}

impl<T: Located> Located for Option<T> {
    fn located(&self) -> Option<Place> {
        self.as_ref().and_then(Located::located)
    }
}

impl<T: Located + ?Sized> Located for &T {
    fn located(&self) -> Option<Place> {
        (**self).located()
    }
}
