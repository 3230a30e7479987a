//! Broken configurations, and what is printed; the example, which has nothing wrong.

mod mistakes;
mod oauth2;

use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// A complete configuration, one section a line.
const GOOD: &str = "\
listen: 127.0.0.1:8443
tls: { certificate: cert.pem, private_key: key.pem }
public_url: https://scim.example.com
database: { url: mysql://scimshim@db.internal/app, password: \"${env:PASSWORD}\" }
adapter: demo
identity_servers: { entra: { profile: entra } }
";

/// What looks like one until somebody uses it.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn write(directory: &TempDir, name: &str, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let path = directory.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn folder() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text, mode) in [
        ("cert.pem", "", 0o644),
        ("key.pem", "", 0o640),
        ("ca.pem", CERTIFICATE, 0o644),
        ("open.pem", "", 0o644),
        ("adapters/demo.yaml", "", 0o644),
        ("secret", "hunter2\n", 0o600),
        ("open", "hunter2\n", 0o644),
        ("empty", "\n", 0o600),
    ] {
        write(&directory, name, text, mode);
    }
    directory
}

fn read_in(directory: &TempDir, text: &str) -> (Option<Config>, Findings) {
    let environment = |name: &str| match name {
        "PASSWORD" => Some("hunter2".to_owned()),
        "CREDENTIALS_DIRECTORY" => Some(directory.path().display().to_string()),
        _ => None,
    };
    let mut findings = Findings::new();
    let source = Source::new("c.yaml", text);
    let config = check(source, &directory.path().join("c.yaml"), &environment, &mut findings);
    assert_eq!(config.is_none(), findings.has_errors(), "{}", findings.render(false));
    (config, findings)
}

/// `GOOD` with each line that starts with the same key replaced.
fn with(lines: &str) -> String {
    let keys: Vec<_> = lines.lines().map(|line| line.split(':').next()).collect();
    let kept = GOOD.lines().filter(|line| !keys.contains(&line.split(':').next()));
    let text: String = kept.map(|line| format!("{line}\n")).collect();
    format!("{lines}\n{text}")
}

/// What is printed of `GOOD` with these lines in front: one `line:column: severity: message | help` per finding.
fn printed(lines: &str) -> String {
    let directory = folder();
    let (_, findings) = read_in(&directory, &with(lines));
    let rendered = findings.render(true) + &findings.to_json().to_string();
    assert!(!rendered.contains("hunter2"), "a secret is printed: {rendered}");
    let one = |finding: &crate::document::Finding| {
        let place = finding.place.as_ref().unwrap();
        let help = finding.help.as_ref().map(|help| format!(" | {help}")).unwrap_or_default();
        let (line, column) = (place.position.line, place.position.column);
        format!("{line}:{column}: {}: {}{help}", finding.severity.name(), finding.message)
    };
    let all = findings.sorted().into_iter().map(one).collect::<Vec<_>>().join("\n");
    all.replace(&directory.path().display().to_string(), "DIR")
}

#[test]
fn a_good_configuration_and_its_defaults() {
    let directory = folder();
    let (config, findings) = read_in(&directory, GOOD);
    assert_eq!(findings.render(false), "");
    let config = config.unwrap();
    assert_eq!(config.database.password.as_ref().unwrap().expose(), "hunter2");
    assert_eq!(config.database.url, "mysql://scimshim@db.internal/app");
    assert_eq!(config.database.statement_timeout, Duration::from_secs(5));
    assert_eq!((config.database.pool.max, config.database.pool.checkout_timeout), (8, Duration::from_secs(2)));
    assert_eq!(config.own_schema, "scimshim");
    assert_eq!(config.adapter.path, directory.path().join("adapters/demo.yaml"));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.log, Log { format: LogFormat::Auto, level: LogLevel::Info, otlp: None });
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9443");
    assert_eq!(config.tls.as_ref().unwrap().minimum, TlsVersion::V1_2);
    let server = config.default_server().unwrap();
    assert_eq!((server.name.as_str(), server.active, server.profile), ("entra", true, Profile::Entra));
    assert!(server.may("User", Action::Delete) && server.authentication.bearer.is_some());
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn everything_at_once_with_line_caret_and_help() {
    let directory = folder();
    let text = "\
lisen: 0.0.0.0:8443
tls: none
public_url: https://scim.example.com/
database:
  url: mysql://scimshim:hunter2@db/app
  pool: { max: 0, checkout_timeout: 2 }
adapter: dmo
identity_servers:
  Entra: { default: yes }
  okta: { authentication: beerer }
limits: { body: 16MB }
";
    let (_, findings) = read_in(&directory, text);
    let printed = findings.render(false).replace(&directory.path().display().to_string(), "DIR");
    assert_eq!(
        printed,
        "\
c.yaml:1:1: error: unknown key `lisen`
  1 | lisen: 0.0.0.0:8443
    | ^^^^^
  help: did you mean `listen`?
c.yaml:2:6: error: without TLS, tokens would cross the network in clear on 0.0.0.0:8443
  2 | tls: none
    |      ^^^^
  help: listen on 127.0.0.1, or name the proxy that speaks TLS under `trusted_proxies`
c.yaml:3:13: error: `public_url` must not end with a slash
  3 | public_url: https://scim.example.com/
    |             ^^^^^^^^^^^^^^^^^^^^^^^^^
  help: for example `https://scim.example.com`, without `/scim/v2`
c.yaml:5:8: warning: a password stands in the database URL
  5 |   url: *****
    |        ^^^^^
  help: use `password: ${file:PATH}` under `database` instead
c.yaml:6:16: error: expected a number from 1 to 1024, found `0`
  6 |   pool: { max: 0, checkout_timeout: 2 }
    |                ^
c.yaml:6:37: error: expected a duration, found `2`
  6 |   pool: { max: 0, checkout_timeout: 2 }
    |                                     ^
  help: a unit is missing: `2s`, `2m` ...
c.yaml:7:10: error: there is no adapter `dmo`
  7 | adapter: dmo
    |          ^^^
  help: did you mean `demo`? tried: DIR/adapters/dmo.yaml, /usr/share/scimshim/adapters/dmo.yaml, adapters/dmo.yaml
c.yaml:9:3: error: `Entra` cannot name an identity server
  9 |   Entra: { default: yes }
    |   ^^^^^
  help: lower-case letters, digits and `-`, at most 64, and not `v2`: the name stands in its URL
c.yaml:9:3: error: no identity server is the default
  9 |   Entra: { default: yes }
    |   ^^^^^
  help: write `default: true` under one of: Entra, okta
c.yaml:9:21: error: expected true or false, found `yes`
  9 |   Entra: { default: yes }
    |                     ^^^
c.yaml:10:27: error: `beerer` is no way to authenticate
  10 |   okta: { authentication: beerer }
     |                           ^^^^^^
  help: did you mean `bearer`?
c.yaml:11:17: error: expected a size, found `16MB`
  11 | limits: { body: 16MB }
     |                 ^^^^
  help: sizes are written `512B`, `16KiB`, `16MiB`, `1GiB`
11 errors, 1 warning
"
    );
}

#[test]
fn what_each_mistake_is_answered_with() {
    let wrong: Vec<String> = mistakes::CASES
        .iter()
        .map(|(lines, expected)| (lines, printed(lines), expected))
        .filter(|(_, printed, expected)| printed != *expected)
        .map(|(lines, printed, expected)| format!("{lines}\nprinted:  {printed}\nexpected: {expected}\n"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_file_that_cannot_be_read() {
    let mut findings = Findings::new();
    assert!(load(Path::new("/nonexistent/c.yaml"), &mut findings).is_none());
    let expected = "error: cannot read /nonexistent/c.yaml: No such file or directory (os error 2)\n1 error\n";
    assert_eq!(findings.render(false), expected);
}

/// The example at the root of the repository, with the files it names in a folder of the test's.
#[test]
fn the_example_has_nothing_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().display().to_string();
    for (name, mode) in [("tls/fullchain.pem", 0o644), ("tls/privkey.pem", 0o640)] {
        write(&directory, name, "x", mode);
    }
    for name in ["db-ca.pem", "db-password", "hr", "introspection"] {
        write(&directory, name, "hunter2", 0o640);
    }
    write(&directory, "tls/idp-ca.pem", CERTIFICATE, 0o644);
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.yaml")).unwrap();
    let adapter = example.lines().find_map(|line| line.strip_prefix("adapter: ")).unwrap();
    write(&directory, &format!("adapters/{adapter}.yaml"), "x", 0o644);
    let here = |text: &str| text.replace("/etc/scimshim", &folder).replace("/etc/ssl/certs", &folder);
    let (config, findings) = read_in(&directory, &here(&example));
    assert_eq!(findings.render(false), "");
    let config = config.unwrap();
    assert_eq!(config.limits, Limits::default(), "the example shows the defaults");
}
