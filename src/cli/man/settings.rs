//! config.example.yaml as the body of a manual page: comments become paragraphs, settings stay as they are written. A part
//! of the page begins where a setting of the first level does. It reads lines, not YAML: the comments are what it is about.

use super::markdown::example;
use clap_mangen::roff::{Roff, roman};

/// A line of the file, by what becomes of it.
#[derive(PartialEq)]
enum Kind {
    Comment,
    Setting,
}

/// Writes DESCRIPTION, from the comment at the top, and SETTINGS.
pub(super) fn write(file: &str, roff: &mut Roff) {
    roff.control("SH", ["DESCRIPTION"]);
    let blocks: Vec<Vec<&str>> =
        file.split("\n\n").map(|block| block.lines().filter(|line| !line.trim().is_empty()).collect()).collect();
    for (number, block) in blocks.iter().enumerate() {
        if number == 1 {
            roff.control("SH", ["SETTINGS"]);
        }
        if let Some(key) = block.iter().find_map(|line| first_level(line)) {
            roff.control("SS", [key]);
        }
        write_block(block, roff);
    }
}

/// The key of a setting of the first level.
fn first_level(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(':')?;
    (!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')).then_some(key)
}

fn write_block(block: &[&str], roff: &mut Roff) {
    let mut rest = block;
    while let Some((first, _)) = rest.split_first() {
        let kind = kind(first);
        let end = rest.iter().position(|line| self::kind(line) != kind).unwrap_or(rest.len());
        let (same, after) = rest.split_at(end);
        match kind {
            Kind::Comment => comment(same, roff),
            Kind::Setting => example(same.iter().copied(), roff),
        }
        rest = after;
    }
}

fn kind(line: &str) -> Kind {
    let line = line.trim_start();
    if line.starts_with('#') { Kind::Comment } else { Kind::Setting }
}

/// Sentences become one paragraph; what is indented further within a comment stays a line of its own.
fn comment(lines: &[&str], roff: &mut Roff) {
    let text = |line: &str| line.trim_start().trim_start_matches('#').to_owned();
    let mut said = Vec::new();
    let paragraph = |said: &mut Vec<String>, roff: &mut Roff| {
        if !said.is_empty() {
            roff.control("PP", []);
            roff.text([roman(std::mem::take(said).join(" "))]);
        }
    };
    for line in lines.iter().map(|line| text(line)) {
        if line.starts_with("   ") {
            paragraph(&mut said, roff);
            example(std::iter::once(line.trim()), roff);
        } else {
            said.push(line.trim().to_owned());
        }
    }
    paragraph(&mut said, roff);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_paragraphs_and_settings_stay() {
        let mut roff = Roff::new();
        write(
            "# All\n# of it.\n\n# Where.\n# Or:\n#   listen: 1\nlisten: 2    # two\n  # Inside.\n  x: .y\n",
            &mut roff,
        );
        let expected = "\
.SH DESCRIPTION
.PP
All of it.
.SH SETTINGS
.SS listen
.PP
Where. Or:
.PP
.RS 4
.EX
listen: 1
.EE
.RE
.PP
.RS 4
.EX
listen: 2    # two
.EE
.RE
.PP
Inside.
.PP
.RS 4
.EX
  x: .y
.EE
.RE
";
        assert_eq!(roff.to_roff(), expected);
    }
}
