//! A parsed YAML value that knows its place, and the ways to look into it.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{Findings, Located, Place};

/// One value of a document. Cheap to clone; an aliased node keeps the place of what it refers to.
#[derive(Clone)]
pub struct Node {
    data: Arc<Data>,
    place: Place,
    /// A scalar's text as written, and whether it was quoted (or a block scalar).
    written: Option<(Arc<str>, bool)>,
}

/// What a node holds: the YAML 1.2 core types as serde_yaml resolves them. Quoted scalars are strings.
#[derive(Debug)]
pub enum Data {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; one that does not fit 64 bits stays a string of its digits.
    Integer(i64),
    /// A number with a fraction or exponent, `.inf`, `.nan`.
    Float(f64),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in document order, without duplicates.
    Mapping(Vec<(Key, Node)>),
}

/// The key of a mapping entry.
#[derive(Clone)]
pub struct Key {
    /// As written; booleans and null are normalised to `true`, `false`, `null`.
    pub text: String,
    /// Where it stands.
    pub place: Place,
    /// What it would be as a value: `8.4` is a float, `"8.4"` a string.
    pub kind: Kind,
    /// Whether it was quoted.
    pub was_quoted: bool,
}

/// The kind of a node, or of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// True or false.
    Bool,
    /// A whole number.
    Integer,
    /// Another number.
    Float,
    /// Text.
    String,
    /// A list.
    Sequence,
    /// A mapping.
    Mapping,
}

impl Kind {
    /// How it is called in messages, with its article.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Null => "nothing",
            Kind::Bool => "true or false",
            Kind::Integer => "a whole number",
            Kind::Float => "a number",
            Kind::String => "text",
            Kind::Sequence => "a list",
            Kind::Mapping => "a mapping",
        }
    }
}

impl Data {
    /// The kind of this value.
    pub fn kind(&self) -> Kind {
        match self {
            Data::Null => Kind::Null,
            Data::Bool(_) => Kind::Bool,
            Data::Integer(_) => Kind::Integer,
            Data::Float(_) => Kind::Float,
            Data::String(_) => Kind::String,
            Data::Sequence(_) => Kind::Sequence,
            Data::Mapping(_) => Kind::Mapping,
        }
    }
}

impl Node {
    /// A node made by a program rather than read: the long form of something written short, at its place.
    pub fn new(data: Data, place: Place) -> Node {
        Node { data: Arc::new(data), place, written: None }
    }

    pub(super) fn scalar(data: Data, place: Place, text: &str, quoted: bool) -> Node {
        Node { data: Arc::new(data), place, written: Some((text.into(), quoted)) }
    }

    /// The value.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.data.kind()
    }

    /// Its kind in words: "a mapping", "a list", "text" ...
    pub fn kind_name(&self) -> &'static str {
        self.kind().name()
    }

    /// What was found, for messages: a short scalar as written, else the kind.
    pub fn found(&self) -> String {
        match (&*self.data, self.scalar_text()) {
            (Data::Null | Data::Sequence(_) | Data::Mapping(_), _) => self.kind_name().to_owned(),
            (_, Some(text)) if text.chars().count() <= 40 && !text.contains('\n') => {
                format!("`{text}`")
            }
            _ => self.kind_name().to_owned(),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(*self.data, Data::Null)
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &*self.data {
            Data::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match *self.data {
            Data::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        match *self.data {
            Data::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// The number, if it is a float.
    pub fn as_f64(&self) -> Option<f64> {
        match *self.data {
            Data::Float(value) => Some(value),
            _ => None,
        }
    }

    /// A scalar as it was written (`1.20`, `0x10`, `true`), whatever its kind; for block and quoted scalars their
    /// content. None for lists, mappings and nodes made by [`Node::new`] that are not strings.
    pub fn scalar_text(&self) -> Option<&str> {
        match &self.written {
            Some((text, _)) => Some(text),
            None => self.as_str(),
        }
    }

    /// Whether it is a quoted or block scalar.
    pub fn was_quoted(&self) -> bool {
        self.written.as_ref().is_some_and(|(_, quoted)| *quoted)
    }

    /// The value under a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// Key and value under a key, if this is a mapping that has it.
    pub fn entry(&self, key: &str) -> Option<&(Key, Node)> {
        self.entries().iter().find(|(candidate, _)| candidate.text == key)
    }

    /// The entries of a mapping; of anything else, none.
    pub fn entries(&self) -> &[(Key, Node)] {
        match &*self.data {
            Data::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; of anything else, none.
    pub fn items(&self) -> &[Node] {
        match &*self.data {
            Data::Sequence(items) => items,
            _ => &[],
        }
    }

    /// A single value as a list of one; a list as its items; null as an empty list.
    pub fn one_or_many(&self) -> &[Node] {
        match &*self.data {
            Data::Sequence(items) => items,
            Data::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }

    /// The text; anything else is reported.
    pub fn read_str(&self, findings: &mut Findings) -> Option<&str> {
        self.wanted(self.as_str(), Kind::String, findings)
    }

    /// The truth value; anything else is reported.
    pub fn read_bool(&self, findings: &mut Findings) -> Option<bool> {
        self.wanted(self.as_bool(), Kind::Bool, findings)
    }

    /// The whole number; anything else is reported.
    pub fn read_i64(&self, findings: &mut Findings) -> Option<i64> {
        self.wanted(self.as_i64(), Kind::Integer, findings)
    }

    /// The items of a list; anything else is reported.
    pub fn read_items(&self, findings: &mut Findings) -> Option<&[Node]> {
        let items = matches!(*self.data, Data::Sequence(_)).then(|| self.items());
        self.wanted(items, Kind::Sequence, findings)
    }

    /// The entries of a mapping; anything else is reported.
    pub fn read_entries(&self, findings: &mut Findings) -> Option<&[(Key, Node)]> {
        let entries = matches!(*self.data, Data::Mapping(_)).then(|| self.entries());
        self.wanted(entries, Kind::Mapping, findings)
    }

    /// One of the listed words; anything else is reported with the nearest.
    pub fn read_word<T: Clone>(&self, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        let text = self.scalar_text().unwrap_or_default();
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let list = words.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        let finding = findings.error(self, format!("expected one of {list}, found {}", self.found()));
        if let Some(near) = super::nearest(text, words.iter().map(|(word, _)| *word)) {
            finding.help(format!("did you mean `{near}`?"));
        }
        None
    }

    fn wanted<T>(&self, value: Option<T>, kind: Kind, findings: &mut Findings) -> Option<T> {
        if value.is_none() {
            let finding = findings.error(self, format!("expected {}, found {}", kind.name(), self.found()));
            if let (Kind::String, Some(text)) = (kind, self.scalar_text())
                && !self.is_null()
            {
                finding.help(format!("put it in quotes: \"{text}\""));
            }
        }
        value
    }

    /// The same value for serde_yaml, keys with the kind they were written in.
    pub fn to_yaml(&self) -> serde_yaml::Value {
        use serde_yaml::Value;
        match &*self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Integer(value) => Value::Number((*value).into()),
            Data::Float(value) => Value::Number((*value).into()),
            Data::String(text) => Value::String(text.clone()),
            Data::Sequence(items) => Value::Sequence(items.iter().map(Node::to_yaml).collect()),
            Data::Mapping(entries) => {
                Value::Mapping(entries.iter().map(|(key, value)| (key.to_yaml(), value.to_yaml())).collect())
            }
        }
    }

    /// Reads a leaf into a type; what serde says is wrong is reported at this node's place.
    pub fn deserialize<T: DeserializeOwned>(&self, findings: &mut Findings) -> Option<T> {
        match serde_yaml::from_value(self.to_yaml()) {
            Ok(value) => Some(value),
            Err(error) => {
                findings.error(self, error.to_string());
                None
            }
        }
    }
}

impl Key {
    /// A key made by a program, at the place it stands for.
    pub fn new(text: impl Into<String>, place: Place) -> Key {
        Key { text: text.into(), place, kind: Kind::String, was_quoted: false }
    }

    fn to_yaml(&self) -> serde_yaml::Value {
        use serde_yaml::Value;
        match self.kind {
            Kind::Null => Value::Null,
            Kind::Bool => Value::Bool(self.text == "true"),
            Kind::Integer | Kind::Float => match super::scalar::resolve(&self.text) {
                Data::Integer(value) => Value::Number(value.into()),
                Data::Float(value) => Value::Number(value.into()),
                _ => Value::String(self.text.clone()),
            },
            Kind::String | Kind::Sequence | Kind::Mapping => Value::String(self.text.clone()),
        }
    }
}

impl Located for Node {
    fn located(&self) -> Option<Place> {
        Some(self.place.clone())
    }
}

impl Located for Key {
    fn located(&self) -> Option<Place> {
        Some(self.place.clone())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({}, {})", self.kind_name(), self.place) // never the value: it may be a secret
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, {})", self.text, self.place)
    }
}
