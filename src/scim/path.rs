//! Attribute paths (RFC 7644 3.4.2.2 attrPath) and PATCH paths (RFC 7644 3.5.2).
//!
//! Case is kept as sent; whoever looks a path up in a schema compares without case. A URN ends at the last colon, except
//! that the URNs of [`urn`] are known whole, and that a name straight after a version (`...:2.0:User`) belongs to the URN.

use std::fmt;
use std::str::FromStr;

use super::filter::{self, Filter};
use super::{Error, name, urn};

/// `userName`, `name.familyName`, `urn:...:User:manager.value`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AttributePath {
    /// The URN it is qualified with.
    pub schema: Option<String>,
    /// The attribute.
    pub attribute: String,
    /// The sub-attribute.
    pub sub: Option<String>,
}

/// Where a PATCH operation applies.
#[derive(Debug, Clone, PartialEq)]
pub enum Path {
    /// A URN alone: all of that schema's attributes.
    Schema(String),
    /// An attribute or sub-attribute.
    Attribute(AttributePath),
    /// `emails[type eq "work"].value`; `attribute` has no sub-attribute of its own.
    Value {
        /// The multi-valued attribute.
        attribute: AttributePath,
        /// Which of its values.
        filter: Filter,
        /// What of these values.
        sub: Option<String>,
    },
}

impl AttributePath {
    /// An unqualified attribute.
    pub fn new(attribute: impl Into<String>) -> Self {
        Self {
            schema: None,
            attribute: attribute.into(),
            sub: None,
        }
    }
    /// Parses; 400 invalidPath.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let _ = (text, name::is_valid(text), urn::is_urn(text));
        todo!()
    }
}

impl Path {
    /// Parses; 400 invalidPath.
    pub fn parse(text: &str, limits: &filter::Limits) -> Result<Self, Error> {
        let _ = (text, limits);
        todo!()
    }
}

impl FromStr for AttributePath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl FromStr for Path {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text, &filter::Limits::default())
    }
}

impl fmt::Display for AttributePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}:")?;
        }
        f.write_str(&self.attribute)?;
        match &self.sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(urn) => f.write_str(urn),
            Self::Attribute(path) => path.fmt(f),
            Self::Value { attribute, filter, sub } => {
                write!(f, "{attribute}[{filter}]")?;
                match sub {
                    Some(sub) => write!(f, ".{sub}"),
                    None => Ok(()),
                }
            }
        }
    }
}
