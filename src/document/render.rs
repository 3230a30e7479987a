//! Findings as text for people and as JSON for scripts.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Finding, Findings, Place, Severity};

/// The most characters of a cited line that are shown.
const WIDTH: usize = 160;
const HIDDEN: &str = "*****";

impl Findings {
    /// `file:line:column: error: message`, the cited line with carets, the help; by place, ending with a count.
    /// Empty when nothing was found.
    pub fn render(&self, colour: bool) -> String {
        let paint = Paint { colour };
        let mut out = String::new();
        for finding in self.sorted() {
            self.render_one(&mut out, finding, paint);
        }
        if !out.is_empty() {
            let (errors, warnings) = self.count();
            let parts = [(errors, "error"), (warnings, "warning")].into_iter().filter(|(count, _)| *count > 0);
            let parts = parts.map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }));
            let _ = writeln!(out, "{}", parts.collect::<Vec<_>>().join(", "));
        }
        out
    }

    /// A list of `{severity, file, line, column, message, help}`; what a finding does not have is null.
    pub fn to_json(&self) -> Value {
        let one = |finding: &Finding| {
            let place = finding.place.as_ref();
            json!({
                "severity": finding.severity.name(),
                "file": place.map(|place| &place.source.name),
                "line": place.map(|place| place.position.line),
                "column": place.map(|place| place.position.column),
                "message": finding.message,
                "help": finding.help,
            })
        };
        Value::Array(self.sorted().into_iter().map(one).collect())
    }

    fn render_one(&self, out: &mut String, finding: &Finding, paint: Paint) {
        let code = if finding.severity == Severity::Error { "1;31" } else { "1;33" };
        let place = finding.place.as_ref().map(|place| format!("{}: ", paint.with("1", &place.to_string())));
        let severity = paint.with(code, &format!("{}:", finding.severity.name()));
        let _ = writeln!(out, "{}{severity} {}", place.unwrap_or_default(), finding.message);
        if let Some(place) = &finding.place
            && let Some((line, start, length)) = self.cite(place)
        {
            let number = place.position.line.to_string();
            let gutter = " ".repeat(number.len());
            // A tab before the caret stays a tab, so that the caret stands under its character.
            let indent: String = line.chars().take(start).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let _ = writeln!(out, "  {} {line}", paint.with("2", &format!("{number} |")));
            let carets = paint.with(code, &"^".repeat(length));
            let _ = writeln!(out, "  {} {indent}{carets}", paint.with("2", &format!("{gutter} |")));
        }
        if let Some(help) = &finding.help {
            let _ = writeln!(out, "  {} {}", paint.with("1", "help:"), help.replace('\n', "\n        "));
        }
    }

    /// The line a place stands on, secrets masked and cut to a readable width, with the carets' start and length.
    fn cite(&self, place: &Place) -> Option<(String, usize, usize)> {
        let text = place.source.line(place.position.line)?;
        let printable = |c: char| {
            if c.is_control() && c != '\t' { '\u{fffd}' } else { c }
        };
        let mut line: Vec<char> = text.trim_end().chars().map(printable).collect();
        let mut start = place.position.column - 1;
        let mut end = start + place.len;
        let mut secrets: Vec<(usize, usize)> = self
            .hidden()
            .iter()
            .filter(|hidden| hidden.position.line == place.position.line && hidden.source.name == place.source.name)
            .map(|hidden| (hidden.position.column - 1, hidden.position.column - 1 + hidden.len))
            .collect();
        secrets.sort_unstable();
        secrets.dedup_by(|next, earlier| {
            let overlap = next.0 <= earlier.1;
            if overlap {
                earlier.1 = earlier.1.max(next.1);
            }
            overlap
        });
        for (from, to) in secrets.into_iter().rev() {
            let to = to.min(line.len());
            if from >= to {
                continue;
            }
            line.splice(from..to, HIDDEN.chars());
            let moved = |column: usize| match column {
                column if column >= to => column + HIDDEN.len() - (to - from),
                column if column > from => from,
                column => column,
            };
            end = if end > from && end < to { from + HIDDEN.len() } else { moved(end) };
            start = moved(start);
        }
        let skip = if line.len() > WIDTH { start.saturating_sub(WIDTH / 2) } else { 0 };
        let mut shown: String = line.iter().skip(skip).take(WIDTH).collect();
        if skip > 0 {
            shown = std::iter::once('…').chain(shown.chars().skip(1)).collect();
        }
        let start = (start - skip).min(shown.chars().count());
        let length = end.saturating_sub(skip).min(shown.chars().count()).saturating_sub(start).max(1);
        Some((shown, start, length))
    }
}

#[derive(Clone, Copy)]
struct Paint {
    colour: bool,
}

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Position, Source};
    use super::*;

    #[test]
    fn a_hidden_stretch_is_masked_and_the_caret_moves_with_its_word() {
        let source = Arc::new(Source::new("a.yaml", "k: { p: hunter2hunter2, q: x }\n"));
        let place = |column, len| Place { source: Arc::clone(&source), position: Position { line: 1, column }, len };
        let cases = [
            (vec![], 28, 1, "k: { p: hunter2hunter2, q: x }", 27, 1),
            (vec![(9, 14)], 28, 1, "k: { p: *****, q: x }", 18, 1),
            (vec![(9, 14)], 9, 14, "k: { p: *****, q: x }", 8, 5),
            (vec![(9, 14)], 11, 2, "k: { p: *****, q: x }", 8, 5),
            (vec![(9, 14)], 4, 27, "k: { p: *****, q: x }", 3, 18),
            (vec![(9, 2), (9, 14), (12, 1)], 28, 1, "k: { p: *****, q: x }", 18, 1),
            (vec![(28, 900)], 1, 1, "k: { p: hunter2hunter2, q: *****", 0, 1),
        ];
        for (hidden, column, len, line, start, length) in cases {
            let mut findings = Findings::new();
            hidden.iter().for_each(|(column, len)| findings.hide(&place(*column, *len)));
            assert_eq!(findings.cite(&place(column, len)), Some((line.to_owned(), start, length)), "{hidden:?}");
        }
    }

    #[test]
    fn long_lines_are_cut_around_the_caret() {
        let source = Arc::new(Source::new("a.yaml", format!("{}bad{}", "x".repeat(500), "y".repeat(500))));
        let place = Place { source, position: Position { line: 1, column: 501 }, len: 3 };
        let (line, start, length) = Findings::new().cite(&place).unwrap();
        assert_eq!(line.chars().count(), WIDTH);
        assert_eq!(line.chars().skip(start).take(length).collect::<String>(), "bad");
    }
}
