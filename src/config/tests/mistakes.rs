//! Lines of a configuration with a mistake in them, and the findings they draw.

/// The lines that replace or extend a good configuration; `line:column: severity: message | help` of each finding.
pub(super) const CASES: &[(&str, &str)] = &[
    // listen, tls, public_url, admin
    ("listen: 8443", "1:9: error: expected an address and a port, found `8443` | write `0.0.0.0:8443`"),
    (
        "listen: localhost:8443",
        "1:9: error: expected an address and a port, found `localhost:8443` | write `127.0.0.1:8443`",
    ),
    (
        "listen: [127.0.0.1:1, \"::1\"]",
        "1:23: error: expected an address and a port, found `::1` | the port is missing: \"[::1]:8443\"",
    ),
    ("listen: [127.0.0.1:1, 127.0.0.1:1]", "1:23: error: `127.0.0.1:1` stands here twice"),
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
    ("tls: { certificate: cert.pem, private_key: key.pem, minimum: 1.3 }", ""),
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
    ("admin: { listen: 127.0.0.1:8443 }", "1:18: error: port 8443 is already taken by `listen`"),
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
    ("database: { url: mysql://u@h/d, password: \"${file:secret}\" }", ""),
    ("database: { url: mysql://u@h/d, password: \"${credential:secret}\" }", ""),
    (
        "database: { url: mysql://u@h/d, password: \"${file:open}\" }",
        "1:43: warning: every user of this machine can read DIR/open | chmod o= DIR/open",
    ),
    ("database: { url: mysql://u@h/d, password: \"${file:empty}\" }", "1:43: error: the secret is empty"),
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
    ("adapter: { name: demo, parameters: { departments: reject } }", ""),
    ("adapter: { nam: demo }", "1:12: error: unknown key `nam` | did you mean `name`?"),
    ("adapter: { name: demo, parameters: [a] }", "1:36: error: expected a mapping, found a list"),
    // identity servers
    (
        "identity_servers: {}",
        "1:19: error: there is no identity server | identity_servers: { entra: { profile: entra } }",
    ),
    ("identity_servers: { a: }", ""),
    ("identity_servers: { a: { default: true }, b: { default: false } }", ""),
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
    ("identity_servers: { a: { switches: { patch_answers: 204, put: replace, adopt: refuse } } }", ""),
    (
        "identity_servers: { a: { switches: { put: keep_unmentioned, no_target: refuse }, bulk_transaction: request, \
         discovery_without_authentication: true } }",
        "",
    ),
    (
        "identity_servers: { a: { switches: { put: keep }, bulk_transaction: all } }",
        "1:43: error: expected one of `replace`, `keep_unmentioned`, found `keep`\n1:69: error: expected one of \
         `operation`, `request`, found `all`",
    ),
    (
        "identity_servers: { a: { switches: { patch_answers: 201, adopt: lnk } } }",
        "1:53: error: expected one of `auto`, `200`, `204`, found `201` | did you mean `200`?\n1:65: error: expected one of \
         `refuse`, `link`, found `lnk` | did you mean `link`?",
    ),
    (
        "identity_servers: { a: { may: { User: [create, delet], Group: read } } }",
        "1:48: error: expected one of `create`, `read`, `update`, `deactivate`, `delete`, found `delet` | did you mean \
         `delete`?",
    ),
    ("identity_servers: { a: { scope: { User: { company_id: 3 }, Group: {} }, parameters: { x: 1 } } }", ""),
    ("identity_servers: { a: { scope: [User] } }", "1:33: error: expected a mapping, found a list"),
    ("identity_servers: { a: { acting_user: 5 } }", "1:39: error: expected text, found `5` | put it in quotes: \"5\""),
    ("identity_servers: { a: { allow_from: [20.20.32.0/19, \"2603:1056::/32\"] } }", ""),
    ("identity_servers: { a: { authentication: { bearer: } } }", ""),
    ("identity_servers: { a: { authentication: { bearer: { scheme_optional: false } } } }", ""),
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
    ("log: { level: loud }", "1:15: error: expected one of `error`, `warn`, `info`, `debug`, `trace`, found `loud`"),
    ("limits: { page: 500, filter_length: 16KiB, request_timeout: 1m30s }", ""),
    ("limits: { page: many }", "1:17: error: expected a whole number, found `many`"),
];
