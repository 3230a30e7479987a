//! The application's database: `database` and `own_schema`.

use std::path::PathBuf;
use std::time::Duration;

use super::{Context, Secret, secret, values};
use crate::document::{Findings, Node, Reader};

/// How to reach the application's database.
#[derive(Clone, Debug)]
pub struct Database {
    /// Which kind it is.
    pub backend: Backend,
    /// `mysql://`, `postgres://` or `sqlite://`, never with a password in it; a SQLite path is absolute.
    pub url: String,
    /// The password, where there is one.
    pub password: Option<Secret>,
    /// The authority that the server's certificate is checked against; with one, plain text is refused.
    pub ca: Option<PathBuf>,
    /// The connections.
    pub pool: Pool,
    /// The longest a statement may take.
    pub statement_timeout: Duration,
    /// The longest to wait for a lock.
    pub lock_timeout: Duration,
}

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// MySQL and MariaDB.
    Mysql,
    /// PostgreSQL.
    Postgres,
    /// SQLite.
    Sqlite,
}

/// The pool of connections.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The most connections.
    pub max: u32,
    /// How long a request waits for a free one before it is answered 503.
    pub checkout_timeout: Duration,
}

pub(super) fn read(reader: &mut Reader<'_>, context: Context<'_>, findings: &mut Findings) -> Option<Database> {
    let node = reader.required("database", findings)?;
    let mut reader = Reader::mapping(node, findings)?;
    let url = match reader.required("url", findings) {
        Some(node) => url(node, context, findings),
        None => None,
    };
    let password_node = reader.given("password");
    let password = password_node.map(|node| secret::read(node, context, findings));
    let tls_node = reader.given("tls").filter(|node| node.as_str() != Some("none"));
    let ca = tls_node.map(|node| tls(node, context, findings));
    let pool = pool(&mut reader, findings);
    let statement_timeout = values::duration(&mut reader, "statement_timeout", Duration::from_secs(5), findings);
    let lock_timeout = values::duration(&mut reader, "lock_timeout", Duration::from_secs(5), findings);
    reader.finish(findings);

    let (backend, url, inline) = url?;
    if backend == Backend::Sqlite {
        for (node, what) in [(password_node, "password"), (tls_node, "TLS")] {
            if let Some(node) = node {
                findings.error(node, format!("SQLite is a file and has no {what}")).help("remove it");
            }
        }
    }
    if let (Some(_), Some(node)) = (&inline, password_node) {
        findings.error(node, "the URL has a password already").help("remove the one in the URL");
    }
    let password = match password {
        Some(password) => Some(password?),
        None => inline,
    };
    let ca = match ca {
        Some(ca) => Some(ca?),
        None => None,
    };
    Some(Database { backend, url, password, ca, pool, statement_timeout, lock_timeout })
}

/// The URL's kind, itself without password, and the password it had.
fn url(node: &Node, context: Context<'_>, findings: &mut Findings) -> Option<(Backend, String, Option<Secret>)> {
    const FORMS: &str = "mysql://USER@HOST/DATABASE, postgres://USER@HOST/DATABASE or sqlite://PATH";
    findings.hide(node); // it may hold a password; unhidden places are never quoted in a message below
    let Some(text) = node.as_str() else {
        findings.error(node, format!("expected a database URL, found {}", node.kind_name())).help(FORMS);
        return None;
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        findings.error(node, "not a database URL: `://` is missing").help(FORMS);
        return None;
    };
    let backend = match scheme {
        "mysql" => Backend::Mysql,
        "postgres" | "postgresql" => Backend::Postgres,
        "sqlite" => Backend::Sqlite,
        _ => {
            let known = ["mysql", "postgres", "sqlite"].into_iter();
            let near = if scheme == "mariadb" { Some("mysql") } else { crate::document::nearest(scheme, known) };
            let finding = findings.error(node, format!("a database URL cannot start with `{scheme}://`"));
            finding.help(near.map_or(FORMS.to_owned(), |near| format!("did you mean `{near}://`?")));
            return None;
        }
    };
    if backend == Backend::Sqlite {
        if rest.is_empty() || rest == ":memory:" || rest.contains('?') {
            findings.error(node, "a SQLite URL is `sqlite://` and the path of a file").help("sqlite:///var/lib/app.db");
            return None;
        }
        let path = context.resolve(rest);
        let path = std::path::absolute(&path).unwrap_or(path);
        return Some((backend, format!("sqlite://{}", path.display()), None));
    }
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let parameters = || query.unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    if user.is_empty() && !parameters().any(|name| name == "user") {
        findings.error(node, "the database URL names no user").help(FORMS);
    }
    if database.is_empty() {
        findings.error(node, "the database URL names no database").help(FORMS);
    }
    for name in parameters() {
        if name.starts_with("ssl") || name.starts_with("tls") {
            // libmariadb silently ignores ssl_mode=required, so TLS has one way in, and that one is verified.
            let finding = findings.error(node, format!("`{name}` cannot stand in the URL"));
            finding.help("say `tls: { ca: PATH }` under `database`: encryption is then proven on each connection");
        } else if name.starts_with("password") {
            findings.error(node, "a password cannot stand in the URL's query").help("use `password:` under `database`");
        }
    }
    let (user, password) = user.split_once(':').map_or((user, None), |(user, password)| (user, Some(password)));
    let password = password.map(|password| {
        let finding = findings.warning(node, "a password stands in the database URL");
        finding.help("use `password: ${file:PATH}` under `database` instead");
        Secret::new(percent_encoding::percent_decode_str(password).decode_utf8_lossy())
    });
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let user = if user.is_empty() { String::new() } else { format!("{user}@") };
    let scheme = if backend == Backend::Postgres { "postgres" } else { "mysql" };
    Some((backend, format!("{scheme}://{user}{hosts}/{database}{query}"), password))
}

fn tls(node: &Node, context: Context<'_>, findings: &mut Findings) -> Option<PathBuf> {
    let mut reader = Reader::mapping(node, findings)?;
    let ca = values::file(&mut reader, "ca", context, findings);
    reader.finish(findings);
    ca
}

fn pool(reader: &mut Reader<'_>, findings: &mut Findings) -> Pool {
    let mut pool = Pool { max: 8, checkout_timeout: Duration::from_secs(2) };
    if let Some(mut reader) = reader.given("pool").and_then(|node| Reader::mapping(node, findings)) {
        let max = values::count(&mut reader, "max", 8, 1..=1024, findings);
        pool.max = u32::try_from(max).unwrap_or(pool.max);
        pool.checkout_timeout = values::duration(&mut reader, "checkout_timeout", pool.checkout_timeout, findings);
        reader.finish(findings);
    }
    pool
}

/// `own_schema`: a name that needs no quoting on any engine.
pub(super) fn own_schema(reader: &mut Reader<'_>, findings: &mut Findings) -> Option<String> {
    let Some(node) = reader.given("own_schema") else {
        return Some("scimshim".to_owned());
    };
    let text = node.read_str(findings)?;
    let word = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !word || text.is_empty() || text.len() > 48 || text.starts_with(|first: char| first.is_ascii_digit()) {
        let finding = findings.error(node, format!("not a name for a schema: {}", node.found()));
        finding.help("lower-case letters, digits and `_`, not starting with a digit, at most 48");
        return None;
    }
    Some(text.to_owned())
}
