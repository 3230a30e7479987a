//! Filters (RFC 7644 3.4.2.2): the tree, its limits, and its text. What the text may be is said in `grammar.rs`.

use std::fmt;

use super::{AttributePath, Error, grammar};

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
        Self { length: 8 * 1024, depth: 32, unquoted: true }
    }
}

impl Filter {
    /// Parses; 400 invalidFilter with the place and what was expected there.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Error> {
        grammar::parse(text, limits)
    }

    /// Parses what follows the `[` of a PATCH path; gives what follows the `]` too.
    pub(super) fn parse_bracketed<'a>(text: &'a str, limits: &'a Limits) -> Result<(Self, &'a str), Error> {
        grammar::parse_bracketed(text, limits)
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

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [Self::Eq, Self::Ne, Self::Co, Self::Sw, Self::Ew, Self::Gt, Self::Ge, Self::Lt, Self::Le]
            .into_iter()
            .find(|operator| word.eq_ignore_ascii_case(operator.as_str()))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, filters: &[Filter], word: &str, bare: fn(&Filter) -> bool| {
            for (index, filter) in filters.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                if bare(filter) { write!(f, "{filter}")? } else { write!(f, "({filter})")? }
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
            (r#"meta.lastModified gt "2011-05-13T04:42:34Z""#, r#"meta.lastModified gt "2011-05-13T04:42:34Z""#),
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
            (r#"roles[primary eq "True"].value eq "x""#, r#"roles[primary eq "True" and value eq "x"]"#),
            ("userName eq ada@example.org", r#"userName eq "ada@example.org""#),
            (r#"active EQ True AND id eq 7"#, "active eq true and id eq 7"),
            ("id eq 007", r#"id eq "007""#),
            ("id eq 123456789012345678901234567890", r#"id eq "123456789012345678901234567890""#),
            ("manager eq null", "manager eq null"),
            (r#"displayName eq "a \"b\" \\ \u0000 \u00e9""#, r#"displayName eq "a \"b\" \\ \u0000 é""#),
            // precedence
            ("a pr or b pr and not (c pr) or d pr", "a pr or b pr and not (c pr) or d pr"),
            ("(a pr or b pr) and c pr", "(a pr or b pr) and c pr"),
            ("((a pr))", "a pr"),
            ("  a   pr  and(b pr)  ", "a pr and b pr"),
            ("not pr", "not pr"),
            (r#"and eq "x""#, r#"and eq "x""#),
            // refused
            ("", "! filter, character 1: expected an attribute, found the end"),
            ("userName", "! filter, character 9: expected an operator (eq ne co sw ew gt ge lt le pr), found the end"),
            (
                r#"userName is "x""#,
                "! filter, character 10: expected an operator (eq ne co sw ew gt ge lt le pr), found `is`",
            ),
            (r#"userName eq "x"#, "! filter, character 13: expected a closing double quote, found `\"x`"),
            (
                "userName eq 'x'",
                "! filter, character 13: expected a value (\"text\" in double quotes, a number, true, false or null), found `'x'`",
            ),
            (r#"(a pr"#, "! filter, character 6: expected `and`, `or` or `)`, found the end"),
            (r#"a pr)"#, "! filter, character 5: expected `and`, `or` or the end, found `)`"),
            (r#"emails[type eq "work""#, "! filter, character 22: expected `and`, `or` or `]`, found the end"),
            (r#"a[b[c pr]]"#, "! filter, character 4: expected an operator, found `[c`"),
            ("a pr b pr", "! filter, character 6: expected `and`, `or` or the end, found `b`"),
            ("a eq \"x\ny\"", "! filter, character 6: expected a valid JSON string, found `\"x\u{fffd}y\"`"),
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
        assert_eq!(canonical(&"(".repeat(8192)), "! the filter is nested deeper than 32 levels");
        assert_eq!(canonical(&"a".repeat(8193)), "! the filter is longer than 8192 bytes");
        let strict = Limits { unquoted: false, ..Limits::default() };
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
