//! The grammar of filters (RFC 7644 3.4.2.2), read by recursive descent.
//!
//! Operators and keywords have any case; `not` binds before `and`, `and` before `or`. Control characters stand only in JSON
//! strings, as escapes. What clients send beyond the grammar and is understood: a literal without quotes (a limit turns that
//! off), `emails[...].value eq "x"`, and the same without `.value`.

use super::filter::Limits;
use super::path::quoted;
use super::{AttributePath, Error, Filter, Literal, Operator, name};

/// A whole filter.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Filter, Error> {
    let mut parser = Parser::new(text, limits)?;
    let filter = parser.any(false)?;
    match parser.peek() {
        None => Ok(filter),
        Some(_) => Err(parser.expected("`and`, `or` or the end")),
    }
}

/// What follows the `[` of a PATCH path, and what follows its `]`.
pub(super) fn parse_bracketed<'a>(text: &'a str, limits: &'a Limits) -> Result<(Filter, &'a str), Error> {
    let mut parser = Parser::new(text, limits)?;
    let filter = parser.any(true)?;
    parser.close(']')?;
    Ok((filter, parser.rest()))
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
            return Err(Error::invalid_filter(format!("the filter is longer than {} bytes", limits.length)));
        }
        Ok(Self { text, at: 0, depth: 0, limits })
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
        let text = end.and_then(|end| rest.get(..end)).ok_or_else(|| self.expected("a closing double quote"))?;
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
        Error::invalid_filter(format!("filter, character {}: expected {what}, found {found}", before + 1))
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
