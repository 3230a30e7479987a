//! From YAML text to [`Node`]s: parser events with their places, aliases expanded within bounds.
//!
//! Refused with a finding: what is not YAML, duplicate keys, `<<`, keys that are lists or mappings, tags of one's own,
//! more than one document, and documents that aliases would blow up.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{Data, Findings, Key, Kind, Node, Place, Position, Source, scalar};

/// The most nodes of one document, aliases expanded.
pub const MAX_NODES: usize = 200_000;
/// The deepest nesting of one document.
pub const MAX_DEPTH: usize = 64;

/// Parses one document. None when it has no usable value at all; an empty document is a null node. Duplicate keys are
/// reported and the first value kept, so that the rest can still be checked.
pub fn parse(source: Source, findings: &mut Findings) -> Option<Node> {
    let source = Arc::new(source);
    let text = source.text.trim_start_matches('\u{feff}');
    let mut builder = Builder::new(Arc::clone(&source), findings);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => builder.event(event, span)?,
            Err(error) => {
                builder.syntax(&error);
                return None;
            }
        }
    }
    let start = builder.place(Marker::new(0, 1, 0), 1);
    builder.root.or_else(|| Some(Node::new(Data::Null, start)))
}

/// A node with how many nodes and levels it spans, aliases expanded.
#[derive(Clone)]
struct Built {
    node: Node,
    nodes: usize,
    height: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    place: Place,
    anchor: usize,
    /// Mappings only: keys are scalars that stand where a value is not expected.
    key: Option<Key>,
    entries: Option<Vec<(Key, Node)>>,
    items: Vec<Node>,
    nodes: usize,
    height: usize,
}

struct Builder<'f> {
    source: Arc<Source>,
    findings: &'f mut Findings,
    open: Vec<Open>,
    anchors: HashMap<usize, Built>,
    total: usize,
    root: Option<Node>,
}

impl<'f> Builder<'f> {
    fn new(source: Arc<Source>, findings: &'f mut Findings) -> Self {
        Builder { source, findings, open: Vec::new(), anchors: HashMap::new(), total: 0, root: None }
    }

    /// Takes one event; None stops the parse (the reason is among the findings).
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Some(()),
            Event::DocumentStart(_) => {
                if self.root.is_some() {
                    let place = self.place(span.start, 3);
                    self.findings
                        .error(&place, "a second document starts here")
                        .help("remove everything from `---` on");
                    return None;
                }
                Some(())
            }
            Event::Alias(id) => self.alias(id, span),
            Event::Scalar(text, style, anchor, tag) => self.scalar(&text, style, anchor, tag, span),
            Event::SequenceStart(anchor, tag) => self.start(false, anchor, tag, span),
            Event::MappingStart(anchor, tag) => self.start(true, anchor, tag, span),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn start(&mut self, mapping: bool, anchor: usize, tag: Option<Cow<'_, Tag>>, span: Span) -> Option<()> {
        let place = self.place(span.start, 1);
        self.own_tag(tag.as_deref(), &place);
        if self.wants_key() {
            self.findings.error(&place, "a key must be a single value, not a list or a mapping");
            return None;
        }
        if self.open.len() >= MAX_DEPTH {
            self.findings.error(&place, format!("nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        let entries = mapping.then(Vec::new);
        self.open.push(Open { place, anchor, key: None, entries, items: Vec::new(), nodes: 1, height: 1 });
        self.count(1, span)
    }

    fn end(&mut self) -> Option<()> {
        let open = self.open.pop()?;
        let (data, mut place) = match open.entries {
            Some(entries) => (Data::Mapping(entries), open.place),
            None => (Data::Sequence(open.items), open.place),
        };
        if let Data::Mapping(entries) = &data
            && let Some((key, _)) = entries.first()
            && key.place.position == place.position
        {
            place.len = key.place.len; // a block mapping starts at its first key
        }
        let built = Built { node: Node::new(data, place), nodes: open.nodes, height: open.height };
        if open.anchor != 0 {
            self.anchors.insert(open.anchor, built.clone());
        }
        self.put(built);
        Some(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<Cow<'_, Tag>>,
        span: Span,
    ) -> Option<()> {
        let plain = style == ScalarStyle::Plain;
        let place = self.place(span.start, self.length(span));
        let data = match tag.as_deref() {
            None if plain => scalar::resolve(text),
            None => Data::String(text.to_owned()),
            Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Data::String(text.to_owned()),
            Some(tag) => {
                self.own_tag(Some(tag), &place);
                scalar::resolve(text)
            }
        };
        if self.wants_key() {
            self.key(data, text, !plain, place);
            return self.count(1, span);
        }
        let key_place = self.open.last().and_then(|open| open.key.as_ref()).map(|key| key.place.clone());
        let place = match key_place {
            // `key:` with nothing after it: the parser says "at the next token", which misleads.
            Some(key_place) if plain && text.is_empty() => key_place,
            _ => place,
        };
        let built = Built { node: Node::scalar(data, place, text, !plain), nodes: 1, height: 1 };
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        self.put(built);
        self.count(1, span)
    }

    fn key(&mut self, data: Data, text: &str, was_quoted: bool, place: Place) {
        let (text, kind) = match data {
            Data::Null => ("null".to_owned(), Kind::Null),
            Data::Bool(value) => (value.to_string(), Kind::Bool),
            other => (text.to_owned(), other.kind()),
        };
        if text == "<<" && !was_quoted {
            self.findings.error(&place, "merge keys (`<<`) are not supported").help("write the keys out");
        }
        if let Some(open) = self.open.last_mut() {
            open.key = Some(Key { text, place, kind, was_quoted });
        }
    }

    fn alias(&mut self, id: usize, span: Span) -> Option<()> {
        let place = self.place(span.start, self.length(span));
        let Some(built) = self.anchors.get(&id).cloned() else {
            self.findings.error(&place, "an alias inside the value that it refers to");
            return None;
        };
        if self.wants_key() {
            let Some(text) = built.node.scalar_text().map(str::to_owned) else {
                self.findings.error(&place, "a key must be a single value, not a list or a mapping");
                return None;
            };
            let data = if built.node.was_quoted() { Data::String(text.clone()) } else { scalar::resolve(&text) };
            self.key(data, &text, built.node.was_quoted(), place);
            return self.count(1, span);
        }
        if self.open.len() + built.height > MAX_DEPTH {
            self.findings.error(&place, format!("nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        let nodes = built.nodes;
        self.put(built);
        self.count(nodes, span)
    }

    /// Puts a finished node where it belongs.
    fn put(&mut self, built: Built) {
        let Some(open) = self.open.last_mut() else {
            self.root.get_or_insert(built.node);
            return;
        };
        open.nodes = open.nodes.saturating_add(built.nodes);
        open.height = open.height.max(built.height.saturating_add(1));
        let Some(entries) = &mut open.entries else {
            open.items.push(built.node);
            return;
        };
        let Some(key) = open.key.take() else { return };
        if key.text == "<<" && !key.was_quoted {
            return; // reported
        }
        match entries.iter().find(|(earlier, _)| earlier.text == key.text) {
            Some((earlier, _)) => {
                let line = earlier.place.position.line;
                if super::finding::sensitive(&key.text) {
                    self.findings.hide(built.node.place());
                }
                self.findings
                    .error(&key, format!("duplicate key `{}`", key.text))
                    .help(format!("it stands in line {line} already; remove one of the two"));
            }
            None => entries.push((key, built.node)),
        }
    }

    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.entries.is_some() && open.key.is_none())
    }

    fn count(&mut self, nodes: usize, span: Span) -> Option<()> {
        self.total = self.total.saturating_add(nodes);
        if self.total > MAX_NODES {
            let place = self.place(span.start, 1);
            self.findings.error(&place, format!("more than {MAX_NODES} values, aliases expanded"));
            return None;
        }
        Some(())
    }

    fn own_tag(&mut self, tag: Option<&Tag>, place: &Place) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.findings.error(place, format!("tags are not supported: `{tag}`")).help("remove it");
        }
    }

    fn syntax(&mut self, error: &ScanError) {
        let place = self.place(*error.marker(), 1);
        let line = place.source.line(place.position.line).unwrap_or_default().to_owned();
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        self.findings.hide_suspect(&place);
        let info = error.info();
        // The parser tells of what was open when the tab came.
        let number = place.position.line;
        let tab = (number..number.saturating_add(20)).find(|number| {
            place.source.line(*number).is_some_and(|line| line.trim_start_matches(' ').starts_with('\t'))
        });
        let tabbed =
            tab.map(|tab| format!("line {tab} is indented with a tab: indent with spaces")).unwrap_or_default();
        let before: String = line.chars().take(place.position.column.saturating_sub(1)).collect();
        let help = match info {
            _ if indent.contains('\t') => "indent with spaces, not with tabs",
            _ if !tabbed.is_empty() && info.contains("tab") => &tabbed,
            _ if info.starts_with("unexpected character") => "put the value in quotes",
            _ if info.contains("mapping values are not allowed") && !before.contains(": ") => {
                "this line is indented deeper than the one before it, which has a value already: indent both alike"
            }
            _ if info.contains("mapping values are not allowed") => "a value that contains `: ` needs quotes",
            _ if info.contains("simple key") => "the line before is no `key: value`",
            _ if info.contains("flow") || info.contains("placement of ':'") => {
                "a bracket or a brace that was opened before is perhaps not closed"
            }
            _ if info.contains("end of stream") => "the quote that opens here is not closed",
            _ if info.contains("did not find expected") => "is it indented like its neighbours?",
            _ => "",
        };
        let finding = self.findings.error(&place, format!("not valid YAML: {info}"));
        if !help.is_empty() {
            finding.help(help);
        }
    }

    fn place(&self, start: Marker, len: usize) -> Place {
        let position = Position { line: start.line().max(1), column: start.col() + 1 };
        Place { source: Arc::clone(&self.source), position, len: len.max(1) }
    }

    /// How many characters of the span stand on its first line.
    fn length(&self, span: Span) -> usize {
        if span.start.line() == span.end.line() {
            return span.end.col().saturating_sub(span.start.col());
        }
        let line = self.source.line(span.start.line()).unwrap_or_default();
        line.trim_end().chars().count().saturating_sub(span.start.col())
    }
}
