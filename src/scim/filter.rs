//! Filters (RFC 7644 3.4.2.2): the tree, its parser, and its text.

use std::fmt;

use super::path::quoted;
use super::{AttributePath, Error, name};

/// What a filter asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All of them; two or more.
    And(Vec<Filter>),
    /// Any of them; two or more.
    Or(Vec<Filter>),
    /// The opposite.
    Not(Box<Filter>),
    /// `userName eq "x"`.
    Compare(AttributePath, Operator, Literal),
    /// `title pr`.
    Present(AttributePath),
    /// `emails[type eq "work" and value co "@example.org"]`: one and the same value meets it all; the paths inside name
    /// sub-attributes. `emails[type eq "work"].value eq "x"` is this too, with the comparison moved inside.
    Value(AttributePath, Box<Filter>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum Operator {
    Eq,
    Ne,
    Co,
    Sw,
    Ew,
    Gt,
    Ge,
    Lt,
    Le,
}

/// What is compared with.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the names are JSON's")]
pub enum Literal {
    String(String),
    Number(serde_json::Number),
    Boolean(bool),
    Null,
}

/// What a filter may cost, and how strictly it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes.
    pub length: usize,
    /// Parentheses and brackets inside each other.
    pub depth: usize,
    /// Take `userName eq ada` for `userName eq "ada"`.
    pub unquoted: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            length: 8 * 1024,
            depth: 32,
            unquoted: true,
        }
    }
}

impl Filter {
    /// Parses; 400 invalidFilter with the place and what was expected there.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Error> {
        let mut parser = Parser::new(text, limits)?;
        let filter = parser.any(false)?;
        match parser.peek() {
            None => Ok(filter),
            Some(_) => Err(parser.expected("`and`, `or` or the end")),
        }
    }

    /// Parses what follows the `[` of a PATCH path; gives what follows the `]` too.
    pub(super) fn parse_bracketed<'a>(text: &'a str, limits: &'a Limits) -> Result<(Self, &'a str), Error> {
        let mut parser = Parser::new(text, limits)?;
        let filter = parser.any(true)?;
        parser.close(']')?;
        Ok((filter, parser.rest()))
    }
}

impl Operator {
    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Co => "co",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Lt => "lt",
            Self::Le => "le",
        }
    }

    fn from_word(word: &str) -> Option<Self> {
        [
            Self::Eq,
            Self::Ne,
            Self::Co,
            Self::Sw,
            Self::Ew,
            Self::Gt,
            Self::Ge,
            Self::Lt,
            Self::Le,
        ]
        .into_iter()
        .find(|operator| word.eq_ignore_ascii_case(operator.as_str()))
    }
}

/// Recursive descent; only parentheses and brackets recurse, and they are counted.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    limits: &'a Limits,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, limits: &'a Limits) -> Result<Self, Error> {
        if text.len() > limits.length {
            return Err(Error::invalid_filter(format!(
                "the filter is longer than {} bytes",
                limits.length
            )));
        }
        Ok(Self {
            text,
            at: 0,
            depth: 0,
            limits,
        })
    }

    /// `a or b or c`, up to the end or a closing parenthesis or bracket.
    fn any(&mut self, in_brackets: bool) -> Result<Filter, Error> {
        let first = self.all(in_brackets)?;
        let mut rest = Vec::new();
        while self.keyword("or") {
            rest.push(self.all(in_brackets)?);
        }
        Ok(joined(first, rest, Filter::Or))
    }

    /// `a and b and c`.
    fn all(&mut self, in_brackets: bool) -> Result<Filter, Error> {
        let first = self.one(in_brackets)?;
        let mut rest = Vec::new();
        while self.keyword("and") {
            rest.push(self.one(in_brackets)?);
        }
        Ok(joined(first, rest, Filter::And))
    }

    fn one(&mut self, in_brackets: bool) -> Result<Filter, Error> {
        if self.peek() == Some('(') {
            return self.group(in_brackets);
        }
        let start = self.at;
        if self.keyword("not") {
            if self.peek() == Some('(') {
                return Ok(Filter::Not(Box::new(self.group(in_brackets)?)));
            }
            self.at = start;
        }
        self.expression(in_brackets)
    }

    fn group(&mut self, in_brackets: bool) -> Result<Filter, Error> {
        self.open()?;
        let filter = self.any(in_brackets)?;
        self.close(')')?;
        self.depth -= 1;
        Ok(filter)
    }

    fn expression(&mut self, in_brackets: bool) -> Result<Filter, Error> {
        self.peek();
        let start = self.at;
        let Ok(path) = AttributePath::parse(self.word()) else {
            self.at = start;
            return Err(self.expected("an attribute"));
        };
        if self.peek() != Some('[') {
            return self.comparison(path);
        }
        if in_brackets || path.sub.is_some() {
            return Err(self.expected("an operator"));
        }
        self.open()?;
        let inner = self.any(true)?;
        self.close(']')?;
        self.depth -= 1;
        // `emails[type eq "work"].value eq "x"` asks one value for both; without the sub-attribute, `value` is meant.
        let after = if self.rest().starts_with('.') {
            self.at += 1;
            let start = self.at;
            let sub = self.word();
            if !name::is_valid(sub) {
                self.at = start;
                return Err(self.expected("a sub-attribute"));
            }
            Some(self.comparison(AttributePath::new(sub))?)
        } else if self.at_operator() {
            Some(self.comparison(AttributePath::new("value"))?)
        } else {
            None
        };
        let inner = match (inner, after) {
            (inner, None) => inner,
            (Filter::And(mut all), Some(after)) => {
                all.push(after);
                Filter::And(all)
            }
            (inner, Some(after)) => Filter::And(vec![inner, after]),
        };
        Ok(Filter::Value(path, Box::new(inner)))
    }

    /// What follows an attribute: `pr`, or an operator and a literal.
    fn comparison(&mut self, path: AttributePath) -> Result<Filter, Error> {
        self.peek();
        let start = self.at;
        let word = self.word();
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Filter::Present(path));
        }
        let Some(operator) = Operator::from_word(word) else {
            self.at = start;
            return Err(self.expected("an operator (eq ne co sw ew gt ge lt le pr)"));
        };
        Ok(Filter::Compare(path, operator, self.literal()?))
    }

    fn literal(&mut self) -> Result<Literal, Error> {
        if self.peek() == Some('"') {
            return self.string();
        }
        let start = self.at;
        let word = self.until(|c| matches!(c, ' ' | '(' | ')' | '[' | ']' | '"'));
        let literal = match word {
            _ if word.eq_ignore_ascii_case("true") => Some(Literal::Boolean(true)),
            _ if word.eq_ignore_ascii_case("false") => Some(Literal::Boolean(false)),
            _ if word.eq_ignore_ascii_case("null") => Some(Literal::Null),
            _ => serde_json::from_str::<serde_json::Number>(word)
                .ok()
                .filter(|number| is_exact(number, word))
                .map(Literal::Number),
        };
        match literal {
            Some(literal) => Ok(literal),
            None if self.limits.unquoted && !word.is_empty() && !word.starts_with('\'') => {
                Ok(Literal::String(word.to_owned()))
            }
            None => {
                self.at = start;
                Err(self.expected("a value (\"text\" in double quotes, a number, true, false or null)"))
            }
        }
    }

    /// A JSON string, control characters only as escapes.
    fn string(&mut self) -> Result<Literal, Error> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.bytes().enumerate().skip(1).find_map(|(index, byte)| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes.then_some(index + 1)
        });
        let text = end
            .and_then(|end| rest.get(..end))
            .ok_or_else(|| self.expected("a closing double quote"))?;
        let string = serde_json::from_str(text).map_err(|_| self.expected("a valid JSON string"))?;
        self.at += text.len();
        Ok(Literal::String(string))
    }

    /// The next character that is not a space, without taking it.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        let trimmed = rest.trim_start_matches(' ');
        self.at += rest.len() - trimmed.len();
        trimmed.chars().next()
    }

    /// Takes the keyword if it is next.
    fn keyword(&mut self, keyword: &str) -> bool {
        self.peek();
        let start = self.at;
        let found = self.word().eq_ignore_ascii_case(keyword);
        if !found {
            self.at = start;
        }
        found
    }

    fn at_operator(&mut self) -> bool {
        self.peek();
        let start = self.at;
        let word = self.word();
        self.at = start;
        word.eq_ignore_ascii_case("pr") || Operator::from_word(word).is_some()
    }

    fn word(&mut self) -> &'a str {
        self.until(|c| matches!(c, ' ' | '(' | ')' | '[' | ']' | '"'))
    }

    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c: char| ends(c) || c.is_control()).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn open(&mut self) -> Result<(), Error> {
        if self.depth >= self.limits.depth {
            return Err(Error::invalid_filter(format!(
                "the filter is nested deeper than {} levels",
                self.limits.depth
            )));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, bracket: char) -> Result<(), Error> {
        if self.peek() != Some(bracket) {
            return Err(self.expected(&format!("`and`, `or` or `{bracket}`")));
        }
        self.at += 1;
        Ok(())
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, what: &str) -> Error {
        let before = self.text.get(..self.at).unwrap_or_default().chars().count();
        let found = match self.rest() {
            "" => "the end".to_owned(),
            rest => quoted(rest.split(' ').find(|word| !word.is_empty()).unwrap_or(rest)),
        };
        Error::invalid_filter(format!(
            "filter, character {}: expected {what}, found {found}",
            before + 1
        ))
    }
}

/// Whether the number holds what was written: a long run of digits is somebody's identifier and must not become a float.
fn is_exact(number: &serde_json::Number, text: &str) -> bool {
    number.is_i64() || number.is_u64() || text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

fn joined(first: Filter, rest: Vec<Filter>, join: impl Fn(Vec<Filter>) -> Filter) -> Filter {
    if rest.is_empty() {
        return first;
    }
    let mut all = Vec::with_capacity(rest.len() + 1);
    all.push(first);
    all.extend(rest);
    join(all)
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, filters: &[Filter], word: &str, bare: fn(&Filter) -> bool| {
            for (index, filter) in filters.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                if bare(filter) {
                    write!(f, "{filter}")?
                } else {
                    write!(f, "({filter})")?
                }
            }
            Ok(())
        };
        match self {
            Self::And(all) => list(f, all, "and", |filter| !matches!(filter, Self::And(_) | Self::Or(_))),
            Self::Or(any) => list(f, any, "or", |filter| !matches!(filter, Self::Or(_))),
            Self::Not(filter) => write!(f, "not ({filter})"),
            Self::Compare(path, operator, literal) => write!(f, "{path} {} {literal}", operator.as_str()),
            Self::Present(path) => write!(f, "{path} pr"),
            Self::Value(path, filter) => write!(f, "{path}[{filter}]"),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => serde_json::Value::from(text.as_str()).fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Boolean(value) => value.fmt(f),
            Self::Null => f.write_str("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The canonical text of what `text` parses to.
    fn canonical(text: &str) -> String {
        match Filter::parse(text, &Limits::default()) {
            Ok(filter) => filter.to_string(),
            Err(error) => format!("! {}", error.detail),
        }
    }

    #[test]
    fn canonical_texts() {
        for (text, expected) in [
            // RFC 7644 3.4.2.2, figure 1
            (r#"userName Eq "bjensen""#, r#"userName eq "bjensen""#),
            (
                r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
                r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J""#,
            ),
            ("title PR", "title pr"),
            (
                r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
                r#"meta.lastModified gt "2011-05-13T04:42:34Z""#,
            ),
            (
                r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#,
                r#"userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")"#,
            ),
            (
                r#"userType ne "Employee" and not (emails co "example.com")"#,
                r#"userType ne "Employee" and not (emails co "example.com")"#,
            ),
            (
                r#"emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
                r#"emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]"#,
            ),
            // what clients send
            (
                r#"emails[type eq "work"].value eq "ada@example.org""#,
                r#"emails[type eq "work" and value eq "ada@example.org"]"#,
            ),
            (
                r#"emails[type eq "work"] eq "ada@example.org""#,
                r#"emails[type eq "work" and value eq "ada@example.org"]"#,
            ),
            (
                r#"emails[type eq "work" or type eq "home"].value pr"#,
                r#"emails[(type eq "work" or type eq "home") and value pr]"#,
            ),
            (
                r#"roles[primary eq "True"].value eq "x""#,
                r#"roles[primary eq "True" and value eq "x"]"#,
            ),
            ("userName eq ada@example.org", r#"userName eq "ada@example.org""#),
            (r#"active EQ True AND id eq 7"#, "active eq true and id eq 7"),
            ("id eq 007", r#"id eq "007""#),
            (
                "id eq 123456789012345678901234567890",
                r#"id eq "123456789012345678901234567890""#,
            ),
            ("manager eq null", "manager eq null"),
            (
                r#"displayName eq "a \"b\" \\ \u0000 \u00e9""#,
                r#"displayName eq "a \"b\" \\ \u0000 é""#,
            ),
            // precedence
            (
                "a pr or b pr and not (c pr) or d pr",
                "a pr or b pr and not (c pr) or d pr",
            ),
            ("(a pr or b pr) and c pr", "(a pr or b pr) and c pr"),
            ("((a pr))", "a pr"),
            ("  a   pr  and(b pr)  ", "a pr and b pr"),
            ("not pr", "not pr"),
            (r#"and eq "x""#, r#"and eq "x""#),
            // refused
            ("", "! filter, character 1: expected an attribute, found the end"),
            (
                "userName",
                "! filter, character 9: expected an operator (eq ne co sw ew gt ge lt le pr), found the end",
            ),
            (
                r#"userName is "x""#,
                "! filter, character 10: expected an operator (eq ne co sw ew gt ge lt le pr), found `is`",
            ),
            (
                r#"userName eq "x"#,
                "! filter, character 13: expected a closing double quote, found `\"x`",
            ),
            (
                "userName eq 'x'",
                "! filter, character 13: expected a value (\"text\" in double quotes, a number, true, false or null), found `'x'`",
            ),
            (
                r#"(a pr"#,
                "! filter, character 6: expected `and`, `or` or `)`, found the end",
            ),
            (
                r#"a pr)"#,
                "! filter, character 5: expected `and`, `or` or the end, found `)`",
            ),
            (
                r#"emails[type eq "work""#,
                "! filter, character 22: expected `and`, `or` or `]`, found the end",
            ),
            (
                r#"a[b[c pr]]"#,
                "! filter, character 4: expected an operator, found `[c`",
            ),
            (
                "a pr b pr",
                "! filter, character 6: expected `and`, `or` or the end, found `b`",
            ),
            (
                "a eq \"x\ny\"",
                "! filter, character 6: expected a valid JSON string, found `\"x\u{fffd}y\"`",
            ),
            (
                "a\teq 1",
                "! filter, character 2: expected an operator (eq ne co sw ew gt ge lt le pr), found `\u{fffd}eq`",
            ),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn limits() {
        let nested = |levels: usize| format!("{}a pr{}", "(".repeat(levels), ")".repeat(levels));
        assert_eq!(canonical(&nested(32)), "a pr");
        assert_eq!(canonical(&nested(33)), "! the filter is nested deeper than 32 levels");
        assert_eq!(
            canonical(&"(".repeat(8192)),
            "! the filter is nested deeper than 32 levels"
        );
        assert_eq!(canonical(&"a".repeat(8193)), "! the filter is longer than 8192 bytes");
        let strict = Limits {
            unquoted: false,
            ..Limits::default()
        };
        assert!(Filter::parse("userName eq ada", &strict).is_err());
        assert!(Filter::parse("userName eq 5", &strict).is_ok());
    }

    fn filters() -> impl Strategy<Value = Filter> {
        let path = prop_oneof![Just("userName"), Just("name.givenName"), Just("urn:a:2.0:X:b.c")]
            .prop_map(|text| AttributePath::parse(text).unwrap());
        let literal = prop_oneof![
            any::<String>().prop_map(Literal::String),
            any::<i64>().prop_map(|number| Literal::Number(number.into())),
            any::<bool>().prop_map(Literal::Boolean),
            Just(Literal::Null)
        ];
        let leaf = prop_oneof![
            path.clone().prop_map(Filter::Present),
            (path, literal).prop_map(|(path, literal)| Filter::Compare(path, Operator::Co, literal))
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::And),
                prop::collection::vec(inner.clone(), 2..4).prop_map(Filter::Or),
                inner.prop_map(|filter| Filter::Not(Box::new(filter))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_to_the_same(filter in filters()) {
            let text = filter.to_string();
            let limits = Limits { length: usize::MAX, ..Limits::default() };
            prop_assert_eq!(Filter::parse(&text, &limits).unwrap(), filter, "{}", text);
        }

        #[test]
        fn nothing_breaks_the_parser(text in r#"([a-z.:\[\]()"\\ 0-9é\x00]|eq|and|or|not|pr| )*"#) {
            let _ = Filter::parse(&text, &Limits::default());
        }
    }
}
