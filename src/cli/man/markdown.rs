//! Markdown as the source of a manual page: headings, paragraphs, code, lists, and tables of two columns, which become
//! definitions. It writes what follows a page's NAME, and no more of Markdown than our own pages use.

use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// Writes a page, less its first heading, which is the page's title.
pub(super) fn write(markdown: &str, roff: &mut Roff) {
    let mut writer = Writer { roff, line: Vec::new(), style: Style::Plain, code: None, in_head: false, in_item: false };
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        writer.event(event);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Bold,
    Italic,
    /// The text of a heading of this level.
    Heading(HeadingLevel),
}

struct Writer<'r> {
    roff: &'r mut Roff,
    /// What stands in the paragraph, item, cell or heading so far.
    line: Vec<Inline>,
    style: Style,
    /// The code block so far, inside of one.
    code: Option<String>,
    in_head: bool,
    in_item: bool,
}

impl Writer<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.push(&text),
            },
            Event::Code(text) => match self.style {
                Style::Heading(_) => self.push(&text),
                _ => self.line.push(bold(text.as_ref())),
            },
            Event::SoftBreak | Event::HardBreak => self.push(" "),
            _ => {}
        }
    }

    fn push(&mut self, text: &str) {
        self.line.push(match self.style {
            Style::Plain => roman(text),
            Style::Bold => bold(text),
            Style::Italic => italic(text),
            Style::Heading(HeadingLevel::H2) => roman(text.to_uppercase()),
            Style::Heading(_) => roman(text),
        });
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => self.style = Style::Heading(*level),
            Tag::Paragraph if !self.in_item => drop(self.roff.control("PP", [])),
            Tag::CodeBlock(_) => self.code = Some(String::new()),
            Tag::Strong => self.style = Style::Bold,
            Tag::Emphasis => self.style = Style::Italic,
            Tag::Item => {
                self.in_item = true;
                self.roff.control("IP", ["\\(bu", "3"]);
            }
            // The head of a table says what its columns are; definitions need none.
            Tag::TableHead => self.in_head = true,
            Tag::TableRow => drop(self.roff.control("TP", [])),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => {
                self.style = Style::Plain;
                let line = std::mem::take(&mut self.line);
                match level {
                    HeadingLevel::H1 => return,
                    HeadingLevel::H2 => self.roff.control("SH", []),
                    _ => self.roff.control("SS", []),
                };
                self.roff.text(line);
            }
            TagEnd::Paragraph => self.flush(),
            TagEnd::Item => {
                self.flush();
                self.in_item = false;
            }
            TagEnd::Strong | TagEnd::Emphasis => self.style = Style::Plain,
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                example(code.lines(), self.roff);
            }
            TagEnd::TableCell if self.in_head => self.line.clear(),
            TagEnd::TableCell => self.flush(),
            TagEnd::TableHead => self.in_head = false,
            _ => {}
        }
    }

    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.roff.text(line);
        }
    }
}

/// Lines as they stand.
pub(super) fn example<'l>(lines: impl Iterator<Item = &'l str>, roff: &mut Roff) {
    roff.control("PP", []).control("RS", ["4"]).control("EX", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("EE", []).control("RE", []);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_our_pages_use() {
        let mut roff = Roff::new();
        let page = "# Title\n\nOne `word`,\nand **more**.\n\n## A `part`\n\n| key | what |\n| --- | --- |\n| `a` | .first |\n\n\
                    - one\n- two\n\n### Below\n\n```yaml\n.x: 'y'\n\n  z: \\n\n```\n";
        write(page, &mut roff);
        let expected = "\
.PP
One \\fBword\\fR, and \\fBmore\\fR.
.SH
A PART
.TP
\\fBa\\fR
\\&.first
.IP \\(bu 3
one
.IP \\(bu 3
two
.SS
Below
.PP
.RS 4
.EX
\\&.x: 'y'

  z: \\\\n
.EE
.RE
";
        assert_eq!(roff.to_roff(), expected);
    }
}
