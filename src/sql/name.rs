//! Names of tables and columns. They come from an adapter or from our own DDL, never from a request,
//! and are quoted by the backend.

use std::fmt;
use std::sync::Arc;

/// An identifier, unquoted. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ident(Arc<str>);

impl Ident {
    /// Takes the name as it stands in the catalogue.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self(Arc::from(name.as_ref()))
    }

    /// The name, unquoted.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Ident {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// A table, with its schema (PostgreSQL) or database (MySQL) where it is not the connection's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table {
    /// Schema or database; `None` is the connection's own.
    pub schema: Option<Ident>,
    /// The table's name, prefix included.
    pub name: Ident,
}

impl Table {
    /// A table of the connection's own schema.
    pub fn new(name: impl AsRef<str>) -> Self {
        Self { schema: None, name: Ident::new(name) }
    }

    /// A table of another schema or database on the same server.
    pub fn within(schema: impl AsRef<str>, name: impl AsRef<str>) -> Self {
        Self { schema: Some(Ident::new(schema)), name: Ident::new(name) }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

/// The `n`th table of one statement, rendered `t0`, `t1`, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Alias(pub u16);

/// A column's type as PostgreSQL prints it (`format_type`), so that a bind can be cast to it. The
/// other dialects ignore it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cast(Arc<str>);

impl Cast {
    /// Takes the type's text from the catalogue.
    pub fn new(sql_type: impl AsRef<str>) -> Self {
        Self(Arc::from(sql_type.as_ref()))
    }

    /// The type's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
