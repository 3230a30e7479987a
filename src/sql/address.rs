//! Database URLs, taken apart here because the client libraries disagree about them: several hosts,
//! percent-encoding in every part, and parameters that must not be ignored in silence. No part of a URL
//! is ever in an error message: it may hold a password.

use super::error::{Error, Failure};
use super::pool::Options;
use super::value::Dialect;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::collections::BTreeMap;

/// Where to connect to, ready for Diesel.
pub(super) enum Address {
    /// Diesel URLs, one a host in order, and the database to `USE` where the URL cannot name it.
    Mysql { urls: Vec<String>, database: Option<String> },
    /// A libpq connection string.
    Postgres(String),
    /// A path, or `:memory:`.
    Sqlite(String),
}

impl Address {
    pub(super) fn dialect(&self) -> Dialect {
        match self {
            Address::Mysql { .. } => Dialect::Mysql,
            Address::Postgres(_) => Dialect::Postgres,
            Address::Sqlite(_) => Dialect::Sqlite,
        }
    }

    pub(super) fn parse(url: &str, options: &Options) -> Result<Self, Error> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| never("the database URL must begin with mysql://, postgres:// or sqlite://"))?;
        match scheme {
            "mysql" | "mariadb" => mysql(&Parts::parse(rest)?, options),
            "postgres" | "postgresql" => postgres(&Parts::parse(rest)?, options),
            "sqlite" => sqlite(rest, options),
            _ => Err(never("the database URL must begin with mysql://, postgres:// or sqlite://")),
        }
    }
}

fn never(message: impl Into<String>) -> Error {
    Error::new(Failure::Other, message)
}

fn decode(text: &str) -> Result<String, Error> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| never("the database URL is not UTF-8"))?;
    if text.contains('\0') {
        return Err(never("the database URL holds the character U+0000"));
    }
    Ok(text.into_owned())
}

/// `[user[:password]@]host[:port][,host[:port]...][/database][?name=value&...]`
struct Parts {
    user: Option<String>,
    password: Option<String>,
    /// Host (brackets of an IPv6 address removed) and port.
    hosts: Vec<(String, Option<u16>)>,
    database: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Parts {
    fn parse(rest: &str) -> Result<Self, Error> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // The last @: one in a password that was not percent-encoded still works.
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (user, password) = match login {
            Some(login) => match login.split_once(':') {
                Some((user, password)) => (Some(decode(user)?), Some(decode(password)?)),
                None => (Some(decode(login)?), None),
            },
            None => (None, None),
        };
        let hosts = hosts.split(',').map(host).collect::<Result<Vec<_>, _>>()?;
        let parameters = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let database = decode(database)?;
        Ok(Self {
            user: user.filter(|user| !user.is_empty()),
            password,
            hosts,
            database: Some(database).filter(|database| !database.is_empty()),
            parameters,
        })
    }
}

fn host(text: &str) -> Result<(String, Option<u16>), Error> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => (address, port.strip_prefix(':').unwrap_or(port)),
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = match port {
        "" => None,
        digits => Some(digits.parse().map_err(|_| never("the database URL's port is not a number"))?),
    };
    Ok((decode(host)?, port))
}

fn mysql(parts: &Parts, options: &Options) -> Result<Address, Error> {
    let mut parameters = BTreeMap::new();
    for (name, value) in &parts.parameters {
        let name = match name.as_str() {
            "socket" | "unix_socket" => "unix_socket",
            "ssl_mode" => "ssl_mode",
            "ssl_ca" => "ssl_ca",
            "ssl_cert" => "ssl_cert",
            "ssl_key" => "ssl_key",
            "charset" if value.eq_ignore_ascii_case("utf8mb4") => continue,
            _ => {
                return Err(never(format!(
                    "the database URL's parameter `{name}` is not known; known are unix_socket, ssl_mode, ssl_ca, ssl_cert, ssl_key"
                )));
            }
        };
        parameters.insert(name, value.clone());
    }
    if let Some(tls) = &options.tls {
        let ca = tls.ca.to_str().ok_or_else(|| never("the path of the database's CA is not UTF-8"))?;
        parameters.insert("ssl_ca", ca.to_owned());
        parameters.entry("ssl_mode").or_insert_with(|| "verify_identity".to_owned());
    }
    let wants_tls = parameters.get("ssl_mode").is_some_and(|mode| mode == "required" || mode.starts_with("verify"));
    if wants_tls && !parameters.contains_key("ssl_ca") {
        // MariaDB's client library would connect in plain text without a word.
        return Err(never("ssl_mode without a CA protects nothing: give database.tls.ca"));
    }
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    // Diesel does not decode the database's name.
    let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'));
    let (in_url, to_use) = match parts.database.clone() {
        Some(name) if plain(&name) => (Some(name), None),
        other => (None, other),
    };
    let login = match (&parts.user, options.password.as_ref().or(parts.password.as_ref())) {
        (Some(user), Some(password)) => format!("{}:{}@", encode(user), encode(password)),
        (Some(user), None) => format!("{}@", encode(user)),
        (None, _) => String::new(),
    };
    let query: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let mut urls = Vec::new();
    for (host, port) in &parts.hosts {
        let host = if host.is_empty() { "localhost" } else { host };
        if !host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':')) {
            return Err(never("the database URL's host name is malformed"));
        }
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let database = in_url.as_deref().unwrap_or_default();
        urls.push(format!("mysql://{login}{host}{port}/{database}?{}", query.join("&")));
    }
    Ok(Address::Mysql { urls, database: to_use })
}

fn postgres(parts: &Parts, options: &Options) -> Result<Address, Error> {
    let mut settings: BTreeMap<&str, String> = BTreeMap::new();
    let timeout = options.connect_timeout.as_secs().max(2);
    settings.insert("connect_timeout", timeout.to_string());
    settings.insert("application_name", "scimshim".to_owned());
    // A peer that vanished is noticed, even in the middle of a statement.
    settings.insert("keepalives_idle", "30".to_owned());
    settings.insert("keepalives_interval", "10".to_owned());
    settings.insert("keepalives_count", "3".to_owned());
    settings.insert("tcp_user_timeout", "30000".to_owned());
    if parts.hosts.iter().any(|(host, port)| !host.is_empty() || port.is_some()) {
        settings.insert("host", join(parts.hosts.iter().map(|(host, _)| host.clone())));
        if parts.hosts.iter().any(|(_, port)| port.is_some()) {
            let ports = parts.hosts.iter().map(|(_, port)| port.map(|port| port.to_string()).unwrap_or_default());
            settings.insert("port", join(ports));
        }
    }
    if parts.hosts.len() > 1 {
        settings.insert("target_session_attrs", "read-write".to_owned());
    }
    for (name, value) in [("user", &parts.user), ("dbname", &parts.database)] {
        if let Some(value) = value {
            settings.insert(name, value.clone());
        }
    }
    if let Some(password) = options.password.as_ref().or(parts.password.as_ref()) {
        settings.insert("password", password.clone());
    }
    for (name, value) in &parts.parameters {
        settings.insert(name, value.clone());
    }
    if let Some(tls) = &options.tls {
        let ca = tls.ca.to_str().ok_or_else(|| never("the path of the database's CA is not UTF-8"))?;
        settings.insert("sslmode", "verify-full".to_owned());
        settings.insert("sslrootcert", ca.to_owned());
    }
    let quoted =
        settings.iter().map(|(name, value)| format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'")));
    Ok(Address::Postgres(quoted.collect::<Vec<_>>().join(" ")))
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

fn sqlite(rest: &str, options: &Options) -> Result<Address, Error> {
    if options.tls.is_some() {
        return Err(never("SQLite is a file: there is no TLS to it"));
    }
    let path = decode(rest)?;
    if path.is_empty() {
        return Err(never("the database URL names no file: sqlite:///path/to/file"));
    }
    Ok(Address::Sqlite(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(password: Option<&str>) -> Options {
        Options { password: password.map(str::to_owned), ..Options::of_tests() }
    }

    #[test]
    fn mysql_urls() {
        for (url, password, expected, to_use) in [
            ("mysql://u@h/db", None, &["mysql://u@h/db?"][..], None),
            ("mysql://u:p%40@h:3307/db", None, &["mysql://u:p%40@h:3307/db?"][..], None),
            ("mysql://u:x@h/db", Some("a/b"), &["mysql://u:a%2Fb@h/db?"][..], None),
            (
                "mariadb://u@a,b:1,[::1]:2/db",
                None,
                &["mysql://u@a/db?", "mysql://u@b:1/db?", "mysql://u@[::1]:2/db?"][..],
                None,
            ),
            ("mysql://u@h/my%20db", None, &["mysql://u@h/?"][..], Some("my db")),
            ("mysql://u@/db?socket=/run/s", None, &["mysql://u@localhost/db?unix_socket=%2Frun%2Fs"][..], None),
        ] {
            let Address::Mysql { urls, database } = Address::parse(url, &options(password)).unwrap() else { panic!() };
            assert_eq!(urls, expected);
            assert_eq!(database.as_deref(), to_use);
        }
    }

    #[test]
    fn postgres_urls() {
        let url = "postgres://u:p%27q@a:1,b/d%20b?sslmode=require";
        let Address::Postgres(text) = Address::parse(url, &options(None)).unwrap() else { panic!() };
        for part in
            ["host='a,b'", "port='1,'", r"password='p\'q'", "dbname='d b'", "sslmode='require'", "='read-write'"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn what_can_never_work_is_refused_without_quoting_the_url() {
        for url in [
            "oracle://x:secret@y",
            "mysql://u:secret@h/db?ssl_mode=required",
            "mysql://u:secret@h/db?tls=1",
            "sqlite://",
        ] {
            let Err(error) = Address::parse(url, &options(None)) else { panic!("{url}") };
            assert!(!error.message.contains("secret"));
        }
    }
}
