//! Broken configurations, and what is printed; the example, which has nothing wrong.

use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::document::Severity;

/// A complete configuration, one section a line.
const GOOD: &str = "\
listen: 127.0.0.1:8443
tls: { certificate: cert.pem, private_key: key.pem }
public_url: https://scim.example.com
database: { url: mysql://scimshim@db.internal/app, password: \"${env:PASSWORD}\" }
adapter: demo
identity_servers: { entra: { profile: entra } }
";

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
    let config = check(
        source,
        &directory.path().join("c.yaml"),
        &environment,
        &mut findings,
    );
    assert_eq!(
        config.is_none(),
        findings.has_errors(),
        "{}",
        findings.render(false)
    );
    (config, findings)
}

/// `GOOD` with each line that starts with the same key replaced.
fn with(lines: &str) -> String {
    let key = lines.split(':').next().unwrap();
    let kept = GOOD
        .lines()
        .filter(|line| line.split(':').next() != Some(key));
    let text: String = kept.map(|line| format!("{line}\n")).collect();
    format!("{lines}\n{text}")
}

/// What is printed of `GOOD` with these lines in front: one `line:column: severity: message | help` per finding.
fn printed(lines: &str) -> String {
    let directory = folder();
    let (_, findings) = read_in(&directory, &with(lines));
    let rendered = findings.render(true) + &findings.to_json().to_string();
    assert!(
        !rendered.contains("hunter2"),
        "a secret is printed: {rendered}"
    );
    let one = |finding: &crate::document::Finding| {
        let place = finding.place.as_ref().unwrap();
        let help = finding
            .help
            .as_ref()
            .map(|help| format!(" | {help}"))
            .unwrap_or_default();
        let (line, column) = (place.position.line, place.position.column);
        format!(
            "{line}:{column}: {}: {}{help}",
            finding.severity.name(),
            finding.message
        )
    };
    let all = findings
        .sorted()
        .into_iter()
        .map(one)
        .collect::<Vec<_>>()
        .join("\n");
    all.replace(&directory.path().display().to_string(), "DIR")
}

#[test]
fn a_good_configuration_and_its_defaults() {
    let directory = folder();
    let (config, findings) = read_in(&directory, GOOD);
    assert_eq!(findings.render(false), "");
    let config = config.unwrap();
    assert_eq!(
        config.database.password.as_ref().unwrap().expose(),
        "hunter2"
    );
    assert_eq!(config.database.url, "mysql://scimshim@db.internal/app");
    assert_eq!(config.database.statement_timeout, Duration::from_secs(5));
    assert_eq!(
        (
            config.database.pool.max,
            config.database.pool.checkout_timeout
        ),
        (8, Duration::from_secs(2))
    );
    assert_eq!(config.own_schema, "scimshim");
    assert_eq!(
        config.adapter.path,
        directory.path().join("adapters/demo.yaml")
    );
    assert_eq!(config.limits, Limits::default());
    assert_eq!(
        config.log,
        Log {
            format: LogFormat::Auto,
            level: LogLevel::Info
        }
    );
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:9443");
    assert_eq!(config.tls.as_ref().unwrap().minimum, TlsVersion::V1_2);
    let server = config.default_server().unwrap();
    assert_eq!(
        (server.name.as_str(), server.active, server.profile),
        ("entra", true, Profile::Entra)
    );
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
    let printed = findings
        .render(false)
        .replace(&directory.path().display().to_string(), "DIR");
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
    let wrong: Vec<String> = CASES
        .iter()
        .map(|(lines, expected)| (lines, printed(lines), expected))
        .filter(|(_, printed, expected)| printed != *expected)
        .map(|(lines, printed, expected)| {
            format!("{lines}\nprinted:  {printed}\nexpected: {expected}\n")
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

const CASES: &[(&str, &str)] = &[
    // listen, tls, public_url, admin
    (
        "listen: 8443",
        "1:9: error: expected an address and a port, found `8443` | write `0.0.0.0:8443`",
    ),
    (
        "listen: localhost:8443",
        "1:9: error: expected an address and a port, found `localhost:8443` | write `127.0.0.1:8443`",
    ),
    (
        "listen: [127.0.0.1:1, \"::1\"]",
        "1:23: error: expected an address and a port, found `::1` | the port is missing: \"[::1]:8443\"",
    ),
    (
        "listen: [127.0.0.1:1, 127.0.0.1:1]",
        "1:23: error: `127.0.0.1:1` stands here twice",
    ),
    (
        "tls:",
        "1:1: error: the key `tls` is missing | tls: { certificate: PATH, private_key: PATH }, or `tls: none` behind a \
         proxy or on loopback",
    ),
    ("tls: none", ""),
    (
        "tls: { certificate: nope.pem, private_key: open.pem, minimum: 1.1 }",
        "1:21: error: cannot read DIR/nope.pem: No such file or directory (os error 2)\n\
         1:44: warning: every user of this machine can read DIR/open.pem | chmod o= DIR/open.pem\n\
         1:63: error: expected one of `1.2`, `1.3`, found `1.1` | did you mean `1.2`?",
    ),
    (
        "tls: { certificate: cert.pem, private_key: key.pem, minimum: 1.3 }",
        "",
    ),
    (
        "tls: { certificate: cert.pem, private_key: key.pem, client_ca: ca.pem }",
        "1:53: error: this version of scimshim does not support `client_ca` yet | remove it",
    ),
    (
        "public_url: http://scim.example.com",
        "1:13: error: `public_url` must start with `https://` | for example `https://scim.example.com`, without \
         `/scim/v2`",
    ),
    ("public_url: \"https://[2001:db8::1]:8443/legacy\"", ""),
    (
        "public_url: https://",
        "1:13: error: `public_url` must name a host | for example `https://scim.example.com`, without \
         `/scim/v2`",
    ),
    (
        "public_url:",
        "1:1: warning: `public_url` is missing; taking https://127.0.0.1:8443 | set it to the address that identity \
         providers use: it stands in every meta.location and token",
    ),
    ("trusted_proxies: 10.0.0.2", ""),
    (
        "trusted_proxies: [10.0.0.0/33, 0.0.0.0/0]",
        "1:19: error: expected a network or an address, found `10.0.0.0/33` | for example `10.0.0.0/8`, `192.0.2.7` or \
         \"2001:db8::/32\"\n1:32: warning: `0.0.0.0/0` is every address there is",
    ),
    (
        "admin: { listen: 0.0.0.0:9443 }",
        "1:18: error: the private listener must be on loopback, not on 0.0.0.0 | write `127.0.0.1:9443`",
    ),
    (
        "admin: { listen: 127.0.0.1:8443 }",
        "1:18: error: port 8443 is already taken by `listen`",
    ),
    // database
    ("database: 5", "1:11: error: expected a mapping, found `5`"),
    (
        "database: { url: mariadb://u@h/d }",
        "1:18: error: a database URL cannot start with `mariadb://` | did you mean `mysql://`?",
    ),
    (
        "database: { url: postgres://h }",
        "1:18: error: the database URL names no user | mysql://USER@HOST/DATABASE, postgres://USER@HOST/DATABASE or \
         sqlite://PATH\n1:18: error: the database URL names no database | mysql://USER@HOST/DATABASE, \
         postgres://USER@HOST/DATABASE or sqlite://PATH",
    ),
    (
        "database: { url: mysql://u@h/d?ssl_mode=required }",
        "1:18: error: `ssl_mode` cannot stand in the URL | say `tls: { ca: PATH }` under `database`: encryption is then \
         proven on each connection",
    ),
    (
        "database: { url: sqlite://app.db, tls: { ca: cert.pem } }",
        "1:40: error: SQLite is a file and has no TLS | remove it",
    ),
    (
        "database: { url: mysql://u@h/d, password: hunter2 }",
        "1:43: warning: a secret stands in the configuration itself | keep it in a file that only scimshim can read: \
         ${file:PATH}, or ${credential:NAME}",
    ),
    (
        "database: { url: mysql://u@h/d, password: \"${file:secret}\" }",
        "",
    ),
    (
        "database: { url: mysql://u@h/d, password: \"${credential:secret}\" }",
        "",
    ),
    (
        "database: { url: mysql://u@h/d, password: \"${file:open}\" }",
        "1:43: warning: every user of this machine can read DIR/open | chmod o= DIR/open",
    ),
    (
        "database: { url: mysql://u@h/d, password: \"${file:empty}\" }",
        "1:43: error: the secret is empty",
    ),
    (
        "database: { url: mysql://u@h/d, password: \"${env:NOPE}\" }",
        "1:43: error: the environment variable NOPE is not set",
    ),
    (
        "database: { url: mysql://u@h/d, password: \"${vault:hunter2}\" }",
        "1:43: error: not a known way to name a secret | known are ${file:PATH}, ${env:NAME} and ${credential:NAME}",
    ),
    (
        "database: { url: mysql://u@h/d, pasword: hunter2 }",
        "1:33: error: unknown key `pasword` | did you mean `password`?",
    ),
    (
        "database: { url: mysql://u@h/d, password: { hunter2: x } }",
        "1:43: error: expected text, found a mapping | put it in quotes",
    ),
    (
        "database: { url: mysql://u@h/d, statement_timeout: 5 s }",
        "1:52: error: expected a duration, found `5 s` | durations are written `500ms`, `10s`, `2m`, `1h30m`, `400d`, \
         `10y`",
    ),
    (
        "own_schema: my-schema",
        "1:13: error: not a name for a schema: `my-schema` | lower-case letters, digits and `_`, not starting with a \
         digit, at most 48",
    ),
    // adapter
    ("adapter: ./adapters/demo.yaml", ""),
    ("adapter: demo.yaml", ""),
    (
        "adapter: { name: demo, parameters: { departments: reject } }",
        "",
    ),
    (
        "adapter: { nam: demo }",
        "1:12: error: unknown key `nam` | did you mean `name`?",
    ),
    (
        "adapter: { name: demo, parameters: [a] }",
        "1:36: error: expected a mapping, found a list",
    ),
    // identity servers
    (
        "identity_servers: {}",
        "1:19: error: there is no identity server | identity_servers: { entra: { profile: entra } }",
    ),
    ("identity_servers: { a: }", ""),
    (
        "identity_servers: { a: { default: true }, b: { default: false } }",
        "",
    ),
    (
        "identity_servers: { a: { default: false } }",
        "1:19: error: no identity server is the default | write `default: true` under one of: a",
    ),
    (
        "identity_servers: { a: { default: true }, b: { default: true } }",
        "1:57: error: a second default identity server | `a` is it already",
    ),
    (
        "identity_servers: { v2: { profile: entr } }",
        "1:21: error: `v2` cannot name an identity server | lower-case letters, digits and `-`, at most 64, and not \
         `v2`: the name stands in its URL\n1:36: error: expected one of `standard`, `entra`, `okta`, `onelogin`, \
         `jumpcloud`, `authentik`, `keycloak`, `ping`, `google`, found `entr` | did you mean `entra`?",
    ),
    (
        "identity_servers: { a: { switches: { patch_answers: 204, put: replace, adopt: refuse } } }",
        "",
    ),
    (
        "identity_servers: { a: { switches: { patch_answers: 201, adopt: link } } }",
        "1:53: error: expected one of `200`, `204`, found `201` | did you mean `200`?\n1:58: error: this version of \
         scimshim does not support `adopt` yet | remove it, or write `adopt: refuse`",
    ),
    (
        "identity_servers: { a: { may: { User: [create, delet], Group: read } } }",
        "1:48: error: expected one of `create`, `read`, `update`, `deactivate`, `delete`, found `delet` | did you mean \
         `delete`?",
    ),
    (
        "identity_servers: { a: { scope: { User: { company_id: 3 }, Group: {} }, parameters: { x: 1 } } }",
        "",
    ),
    (
        "identity_servers: { a: { scope: [User] } }",
        "1:33: error: expected a mapping, found a list",
    ),
    (
        "identity_servers: { a: { acting_user: 5 } }",
        "1:39: error: expected text, found `5` | put it in quotes: \"5\"",
    ),
    (
        "identity_servers: { a: { allow_from: [20.20.32.0/19, \"2603:1056::/32\"] } }",
        "",
    ),
    (
        "identity_servers: { a: { authentication: { bearer: } } }",
        "",
    ),
    (
        "identity_servers: { a: { authentication: { bearer: { scheme_optional: false } } } }",
        "",
    ),
    (
        "identity_servers: { a: { authentication: { bearer: { scheme_optional: true } } } }",
        "1:54: error: this version of scimshim does not support `scheme_optional` yet | remove it, or write \
         `scheme_optional: false`",
    ),
    (
        "identity_servers: { a: { authentication: digest } }",
        "1:42: error: this version of scimshim does not support `digest` yet | this version knows `authentication: \
         bearer`",
    ),
    (
        "identity_servers: { a: { authentication: { basic: { username: hr, pasword: hunter2 } } } }",
        "1:44: error: this version of scimshim does not support `basic` yet | this version knows `authentication: \
         bearer`\n1:67: error: unknown key `pasword` | did you mean `password`?",
    ),
    (
        "identity_servers: { a: { dry_run: true, save_requests: none, brake: { deactivations_per_hour: 5 } } }",
        "1:26: error: this version of scimshim does not support `dry_run` yet | remove it, or write `dry_run: \
         false`\n1:62: error: this version of scimshim does not support `brake` yet | remove it",
    ),
    // the rest
    (
        "upstream: http://127.0.0.1:8080",
        "1:1: error: this version of scimshim does not support `upstream` yet | remove it",
    ),
    (
        "upstream: { ur: http://127.0.0.1:8080 }",
        "1:1: error: this version of scimshim does not support `upstream` yet | remove it\n1:13: error: unknown key \
         `ur` | did you mean `url`?",
    ),
    (
        "journal: { retain: 400 }",
        "1:1: error: this version of scimshim does not support `journal` yet | remove it\n1:20: error: expected a \
         duration, found `400` | a unit is missing: `400s`, `400m` ...",
    ),
    ("log: { format: json, level: debug, otlp: none }", ""),
    (
        "log: { level: loud }",
        "1:15: error: expected one of `error`, `warn`, `info`, `debug`, `trace`, found `loud`",
    ),
    (
        "limits: { page: 500, filter_length: 16KiB, request_timeout: 1m30s }",
        "",
    ),
    (
        "limits: { page: many }",
        "1:17: error: expected a whole number, found `many`",
    ),
];

#[test]
fn a_file_that_cannot_be_read() {
    let mut findings = Findings::new();
    assert!(load(Path::new("/nonexistent/c.yaml"), &mut findings).is_none());
    let expected =
        "error: cannot read /nonexistent/c.yaml: No such file or directory (os error 2)\n1 error\n";
    assert_eq!(findings.render(false), expected);
}

/// The example at the root of the repository, with the files it names in a folder of the test's.
#[test]
fn the_example_has_nothing_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().display().to_string();
    for (name, mode) in [
        ("tls/fullchain.pem", 0o644),
        ("tls/privkey.pem", 0o640),
        ("adapters/snipe-it.yaml", 0o644),
    ] {
        write(&directory, name, "x", mode);
    }
    for name in ["db-ca.pem", "db-password"] {
        write(&directory, name, "hunter2", 0o640);
    }
    let example =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.yaml"))
            .unwrap();
    let here = |text: &str| {
        text.replace("/etc/scimshim", &folder)
            .replace("/etc/ssl/certs", &folder)
    };
    let (config, findings) = read_in(&directory, &here(&example));
    assert_eq!(findings.render(false), "");
    let config = config.unwrap();
    assert_eq!(
        config.limits,
        Limits::default(),
        "the example shows the defaults"
    );

    // Every setting that is commented out is one that this version refuses, and says so.
    let uncommented: String = example
        .lines()
        .map(|line| format!("{}\n", line.replacen("#: ", "", 1)))
        .collect();
    let (config, findings) = read_in(&directory, &here(&uncommented));
    assert!(config.is_none());
    let messages: Vec<_> = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    assert!(
        messages
            .iter()
            .all(|finding| finding.message.contains("does not support")),
        "{}",
        findings.render(false)
    );
    assert_eq!(
        messages.len(),
        example
            .lines()
            .filter(|line| line.contains("# not yet"))
            .count()
    );
}
