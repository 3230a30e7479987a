//! The pool: r2d2 with a connection manager of our own.

use super::{Database, Error};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How connections are made.
#[derive(Clone)]
pub struct Options {
    /// The password, where the URL has none. Never printed.
    pub password: Option<String>,
    /// TLS to the database; `None` is plain text.
    pub tls: Option<TlsOptions>,
    /// The most connections.
    pub max: u32,
    /// How long to wait for a free one.
    pub checkout_timeout: Duration,
    /// How long to wait for a new one.
    pub connect_timeout: Duration,
    /// The longest a statement may take.
    pub statement_timeout: Duration,
    /// The longest to wait for a lock.
    pub lock_timeout: Duration,
    /// MySQL: run under STRICT_TRANS_TABLES, whatever the server's default.
    pub strict: bool,
}

/// TLS to the database.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// The authority that signed the server's certificate.
    pub ca: PathBuf,
}

pub(super) fn open(url: &str, options: Options) -> Result<Arc<dyn Database>, Error> {
    let _ = (url, options);
    unimplemented!()
}
