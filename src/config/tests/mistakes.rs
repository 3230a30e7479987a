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
        "1:64: warning: clients are asked for a certificate that no identity server needs | say whose under \
         `client_certificate` of an identity server, or remove this",
    ),
    (
        "tls: { certificate: cert.pem, private_key: key.pem, client_ca: cert.pem }",
        "1:64: error: DIR/cert.pem: no certificate in it",
    ),
    (
        "tls: { certificate: cert.pem, private_key: key.pem, client_ca: nope.pem }",
        "1:64: error: cannot read DIR/nope.pem: No such file or directory (os error 2)",
    ),
    (
        "public_url: http://scim.example.com",
        "1:13: error: `public_url` must start with `https://` | for example `https://scim.example.com`, without \
         `/scim/v2`",
    ),
    ("public_url: \"https://[2001:db8::1]:8443/legacy\"", ""),
    ("public_url: https://scim.example.com/scim", ""),
    (
        "public_url: https://scim.example.com/scim/v2",
        "1:13: warning: `public_url` ends in the path of SCIM, which would stand there twice | for example \
         `https://scim.example.com`, without `/scim/v2`",
    ),
    (
        "public_url: https://scim.example.com/hr/scim/entra/v2",
        "1:13: warning: `public_url` ends in the path of SCIM, which would stand there twice | for example \
         `https://scim.example.com`, without `/scim/v2`",
    ),
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
    ("identity_servers: { a: { authentication: { bearer: { scheme_optional: true } } } }", ""),
    (
        "identity_servers: { a: { authentication: { bearer: { scheme_optinal: true } } } }",
        "1:54: error: unknown key `scheme_optinal` | did you mean `scheme_optional`?",
    ),
    (
        "identity_servers: { a: { authentication: oauth2 } }",
        "1:42: error: `oauth2` needs clients | authentication: { oauth2: { clients: [...] } }, see docs/oauth2.md",
    ),
    (
        "identity_servers: { a: { authentication: digest } }",
        "1:42: error: `digest` needs a username and a password | authentication: { digest: { username: NAME, password: \
         \"${file:PATH}\" } }",
    ),
    (
        "identity_servers: { a: { authentication: {} } }",
        "1:42: error: no way to authenticate | write `authentication: bearer`",
    ),
    (
        "identity_servers: { a: { authentication: { basic: { username: hr, pasword: hunter2 } } } }",
        "1:51: error: there is no password | password_hash: what `scimshim secret hash` prints; or password: \
         \"${file:PATH}\"\n1:67: error: unknown key `pasword` | did you mean `password`?",
    ),
    (
        "identity_servers: { a: { authentication: { basic: { username: hr, password: hunter2 } } } }",
        "1:77: warning: a secret stands in the configuration itself | keep it in a file that only scimshim can read: \
         ${file:PATH}, or ${credential:NAME}",
    ),
    (
        "identity_servers: { a: { authentication: { basic: { username: \"h:r\", password_hash: hunter2 } } } }",
        "1:63: error: a user name of Basic authentication has no colon (RFC 7617 2)\n1:85: error: a password hash is argon2id \
         ($argon2id$...) or bcrypt ($2b$...), this is something else | `scimshim secret hash` makes one that is strong enough",
    ),
    (
        "identity_servers: { a: { authentication: { basic: { username: hr, password_hash: \
         $2b$10$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa } } } }",
        "",
    ),
    (
        "identity_servers: { a: { authentication: { basic: { username: hr, password: a, password_hash: hunter2 } } } }",
        "1:95: error: `password` stands here too: one of the two | keep `password_hash`",
    ),
    (
        "identity_servers: { a: { authentication: { digest: { username: hr, ha1: \
         \"SHA-256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\" } } } }",
        "",
    ),
    (
        "identity_servers: { a: { authentication: { digest: { username: hr, algorithms: MD5, ha1: \
         \"SHA-256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\" } } } }",
        "1:90: error: there is no MD5 here, which `algorithms` asks for | scimshim secret digest --algorithm MD5 ...",
    ),
    (
        "identity_servers: { a: { authentication: { digest: { username: hr, ha1: hunter2 } } } }",
        "1:73: error: this is not what `scimshim secret digest` prints | for example `SHA-256:3ba6cd...`",
    ),
    (
        "identity_servers: { a: { authentication: { digest: { username: hr, algorithms: [MD5, MD4, MD5], realm: 'a\"b', \
         password: \"${env:NONE}\" } } } }",
        "1:86: error: expected one of `SHA-256`, `SHA-512-256`, `MD5`, found `MD4` | did you mean `MD5`?\n1:91: error: MD5 \
         stands here twice\n1:104: error: a realm is plain ASCII without quotes and backslashes, at most 128 characters",
    ),
    // who may come without a credential
    (
        "identity_servers: { a: { authentication: none } }",
        "1:42: warning: no credential is asked for: every program on this machine may speak for this identity server",
    ),
    (
        "identity_servers: { a: { authentication: none } }\ntrusted_proxies: 10.0.0.2",
        "1:42: error: without a credential, whoever reaches the service could read and change everything | listen on \
         127.0.0.1 alone (without trusted_proxies), or say who may call under `allow_from` or `client_certificate`",
    ),
    (
        "identity_servers: { a: { authentication: { none: }, allow_from: 192.0.2.0/24 } }",
        "1:44: warning: no credential is asked for: every program on the networks of `allow_from` may speak for this identity \
         server",
    ),
    (
        "identity_servers: { a: { authentication: { none: { x: 1 }, bearer: }, allow_from: 192.0.2.0/24 } }",
        "1:44: warning: no credential is asked for: every program on the networks of `allow_from` may speak for this identity \
         server\n1:44: error: with `none`, no other way would ever be asked for | remove `none`, or the others\n1:52: error: \
         unknown key `x` | no keys are known here",
    ),
    (
        "identity_servers: { a: { dry_run: true, save_requests: full, brake: { deactivations_per_hour: 5 } } }",
        "1:35: warning: nothing is kept of what this identity server writes: it is tried and rolled back",
    ),
    (
        "identity_servers: { a: { brake: 5 }, b: { default: true, brake: {} }, c: { brake: { deactivations_per_hour: 0 } }, \
         d: { brake: { per_hour: 5, deactivations_per_hour: many } } }",
        "1:33: error: expected a mapping, found `5`\n1:65: error: the key `deactivations_per_hour` is missing\n1:109: error: \
         expected a number from 1 to 1000000, found `0`\n1:130: error: unknown key `per_hour` | known keys here: \
         deactivations_per_hour\n1:167: error: expected a whole number, found `many`",
    ),
    // the rest
    // the upstream
    ("upstream: http://127.0.0.1:8080", ""),
    ("upstream: unix:/run/app.sock", ""),
    ("upstream: { url: \"http://[::1]:8080\", hide: [/a/B, /c], http: 1.1, requests: 9, preserve_host: false }", ""),
    ("upstream: { ur: http://127.0.0.1:8080 }", "1:13: error: unknown key `ur` | did you mean `url`?"),
    (
        "upstream: ftp://127.0.0.1",
        "1:11: error: the upstream cannot be used: it must start with `http://`, `https://` or `unix:` | for example \
         http://127.0.0.1:8080, https://app.internal:8443 or unix:/run/app/http.sock",
    ),
    (
        "upstream: http://127.0.0.1:8080/app",
        "1:11: error: the upstream cannot be used: it must have no path: paths are passed on as they come | for example \
         http://127.0.0.1:8080, https://app.internal:8443 or unix:/run/app/http.sock",
    ),
    (
        "upstream: http://me:hunter2@127.0.0.1:8080",
        "1:11: error: the upstream cannot be used: it must name no user: whoever calls logs in by himself | for example \
         http://127.0.0.1:8080, https://app.internal:8443 or unix:/run/app/http.sock",
    ),
    (
        "upstream: http://127.0.0.1:0",
        "1:11: error: the upstream cannot be used: its port is not a number up to 65535 | for example \
         http://127.0.0.1:8080, https://app.internal:8443 or unix:/run/app/http.sock",
    ),
    (
        "upstream: unix:app.sock",
        "1:11: error: a socket is named by its whole path | for example unix:/run/app/http.sock",
    ),
    (
        "upstream: http://203.0.113.7",
        "1:11: warning: passwords and sessions cross the network in clear on the way to 203.0.113.7 | write `https://`, or \
         reach the application on loopback or by a unix socket",
    ),
    (
        "upstream: https://localhost:8443",
        "1:11: error: the upstream is this service itself: requests would go round in a circle | name the address on which \
         the application listens",
    ),
    (
        "upstream: https://scim.example.com\npublic_url: https://scim.example.com",
        "1:11: warning: the upstream is this service's `public_url`: requests go round in a circle unless that name, asked for \
         here, leads to the application | name the address on which the application listens",
    ),
    (
        "upstream: http://127.0.0.1:9443",
        "1:11: error: the upstream is this service's private listener itself: requests would go round in a circle | name \
         the address on which the application listens",
    ),
    (
        "upstream: { url: http://127.0.0.1:8080, hide: [/a;b, \"/a/%3B\", /b., \"/c /d\"] }",
        "1:48: error: `;` and what follows it, and dots and spaces at the end of a segment, are not looked at | leave them out: \
         /plugins/scim hides `/plugins;x/scim.` too\n1:54: error: `;` and what follows it, and dots and spaces at the end of a \
         segment, are not looked at | leave them out: /plugins/scim hides `/plugins;x/scim.` too\n1:64: error: `;` and what \
         follows it, and dots and spaces at the end of a segment, are not looked at | leave them out: /plugins/scim hides \
         `/plugins;x/scim.` too\n1:69: error: `;` and what follows it, and dots and spaces at the end of a segment, are not looked \
         at | leave them out: /plugins/scim hides `/plugins;x/scim.` too",
    ),
    (
        "upstream: { url: http://127.0.0.1:8080, hide: [scim, /a*], http: 3, idle_timeout: 5 }",
        "1:48: error: expected a path, found `scim` | for example /plugins/scim: it and everything below it is then \
         answered with 404\n1:54: error: expected a path, found `/a*` | for example /plugins/scim: it and everything below \
         it is then answered with 404\n1:66: error: expected one of `auto`, `1.1`, `2`, found `3`\n1:83: error: expected a \
         duration, found `5` | a unit is missing: `5s`, `5m` ...",
    ),
    (
        "journal: { retain: 400 }",
        "1:20: error: expected a \
         duration, found `400` | a unit is missing: `400s`, `400m` ...",
    ),
    (
        "journal: { retain: 500ms }",
        "1:20: error: the journal would be emptied at once | the journal is what says who changed what, and what `undo` \
         works from; a second is the least",
    ),
    ("journal: { retain: 1s }", ""),
    (
        "identity_servers: { a: { save_requests: all } }",
        "1:41: error: expected one of `none`, `redacted`, `full`, found `all`",
    ),
    ("log: { format: json, level: debug, otlp: none }", ""),
    ("log: { level: loud }", "1:15: error: expected one of `error`, `warn`, `info`, `debug`, `trace`, found `loud`"),
    ("limits: { page: 500, filter_length: 16KiB, request_timeout: 1m30s }", ""),
    ("limits: { header_bytes: 4KiB }", "1:25: error: expected at least 8192 bytes, found `4KiB`"),
    ("limits: { page: many }", "1:17: error: expected a whole number, found `many`"),
    // tokens of others
    (
        "identity_servers: { a: { authentication: jwt } }",
        "1:42: error: `jwt` needs to know whose tokens are taken | authentication: { jwt: { issuer: URL, audience: NAME, \
         claims: { scope: scim } } }",
    ),
    (
        "identity_servers: { a: { authentication: { jwt: { issuer: \"https://idp.example.com\", audience: scim } } } }",
        "1:49: warning: every token of this issuer for this audience is taken, whoever got it | say whose under `subject`, \
         or what it must claim under `claims`",
    ),
    (
        "identity_servers: { a: { authentication: { jwt: { issuer: idp, audience: [], algorithms: [HS256, none, rs256], \
         claims: { scope: [], roles: { a: [x, null] } } } } } }",
        "1:59: error: the issuer is no https URL, so its keys cannot be found by it | write `jwks_url: https://...`\n\
         1:74: error: this list is empty\n\
         1:91: error: `HS256` proves nothing that a public key could check | use what the issuer signs with, most often \
         RS256\n\
         1:98: error: `none` proves nothing that a public key could check | use what the issuer signs with, most often \
         RS256\n\
         1:104: error: expected one of `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `EdDSA`, found \
         `rs256` | did you mean `RS256`?\n\
         1:129: error: this list is empty, and would ask for nothing\n\
         1:149: error: expected what the claim must have, found nothing",
    ),
    (
        "identity_servers: { a: { authentication: { jwt: { issuer: idp, audience: scim, subject: x, jwks_url: \
         \"http://idp.example.com/keys\", ca: cert.pem } } } }",
        "1:102: error: this URL cannot be used: it must start with `https://`\n1:137: error: DIR/cert.pem: no certificate in it",
    ),
    (
        "identity_servers: { a: { authentication: { introspection: { url: \"https://idp.example.com/introspect\", client_id: \
         scim, client_secret: hunter2, cache: 10m } } } }",
        "1:59: warning: every active token of this server is taken, whoever got it for whatever | say for whom under \
         `audience`, or whose or what it must claim under `subject` or `claims`\n\
         1:136: warning: a secret stands in the configuration itself | keep it in a file that only scimshim can read: \
         ${file:PATH}, or ${credential:NAME}\n\
         1:152: error: what the server said of a token is kept from 1s to 5m | a token that was revoked is taken for as long",
    ),
    // client certificates
    (
        "identity_servers: { a: { client_certificate: { san: idp.example.com } } }",
        "1:46: error: no client certificate is ever asked for | say who signs them: tls: { client_ca: PATH }",
    ),
    (
        "tls: { certificate: cert.pem, private_key: key.pem, client_ca: ca.pem }\n\
         identity_servers: { a: { client_certificate: { san: [\"*.com\", \"*.idp.example.com\", \"a b\"] } } }",
        "2:54: error: `*.com` is no name of a certificate: below a top-level domain is everybody | for example \
         `idp.example.com`, `*.idp.example.com`, `scim@example.com`, `spiffe://example.com/idp`\n\
         2:84: error: `a b` is no name of a certificate: a host is letters, digits and `-` between dots | for example \
         `idp.example.com`, `*.idp.example.com`, `scim@example.com`, `spiffe://example.com/idp`",
    ),
    (
        "tls: { certificate: cert.pem, private_key: key.pem, client_ca: ca.pem }\n\
         identity_servers: { a: { client_certificate: {} } }",
        "2:46: error: no name is asked for: whoever the authority signed for would be let in | client_certificate: { san: \
         [\"idp.example.com\"] }",
    ),
    (
        "tls: { certificate: cert.pem, private_key: key.pem, client_ca: ca.pem }\n\
         identity_servers: { a: { client_certificate: { common_name: idp }, authentication: none } }",
        "2:84: warning: no credential is asked for: whoever holds such a client certificate may speak for this identity \
         server",
    ),
];
