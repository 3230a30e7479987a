//! Credentials that must open nothing: each row brings one, names the check that refuses it and what that check says. A forged
//! token's hash is put among the live ones first, so that nothing but the check named stands before it.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::auth::{DigestClient, HASH, PASSWORD, basic};
use crate::support::client::Client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, describe};

/// What a row sends, and what must come back.
struct Row {
    /// The check that refuses it.
    check: &'static str,
    what: String,
    /// The base URL.
    base: &'static str,
    /// Method, path, headers as bytes.
    method: &'static str,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    status: u16,
    /// What the answer says.
    says: &'static str,
}

/// The schemes of `WWW-Authenticate` at each base URL.
const CHALLENGES: [(&str, &[&str]); 6] = [
    ("/scim/v2", &["Bearer"]),
    ("/scim/other/v2", &["Bearer"]),
    ("/scim/okta/v2", &["Bearer"]),
    ("/scim/basic/v2", &["Basic"]),
    ("/scim/digest/v2", &["Digest"]),
    ("/scim/every/v2", &["Digest", "Bearer", "Basic"]),
];

struct Table {
    rows: Vec<Row>,
    database: Database,
    serial: u32,
}

impl Table {
    fn add(&mut self, check: &'static str, what: &str, status: u16, says: &'static str) -> &mut Row {
        self.rows.push(Row {
            check,
            what: what.to_owned(),
            base: "/scim/v2",
            method: "GET",
            path: "/Users".to_owned(),
            headers: Vec::new(),
            status,
            says,
        });
        self.rows.last_mut().expect("a row was added")
    }

    /// A credential in the `Authorization` header, 401.
    fn authorization(&mut self, check: &'static str, what: &str, value: &str, says: &'static str) -> &mut Row {
        self.add(check, what, 401, says).header("Authorization", value)
    }

    /// A token that stands among the live ones of `test`.
    fn stored(&mut self, check: &'static str, what: &str, token: &str, says: &'static str) {
        self.store("test", token, i64::MAX / 2, false);
        self.authorization(check, what, &format!("Bearer {token}"), says);
    }

    /// Puts a token's hash among those that were issued.
    fn store(&mut self, server: &str, token: &str, expires: i64, revoked: bool) {
        self.serial += 1;
        let hash: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        let revoked = if revoked { "1" } else { "NULL" };
        self.database.execute(&format!(
            "INSERT INTO scimshim_tokens (id, server, label, hash, created_at, expires_at, revoked_at, read_only) VALUES \
             ('row{}', '{server}', '', '{hash}', 0, {expires}, {revoked}, 0)",
            self.serial
        ));
    }
}

impl Row {
    fn header(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn at(&mut self, base: &'static str) -> &mut Self {
        self.base = base;
        self
    }

    fn request(&mut self, method: &'static str, path: &str) -> &mut Self {
        self.method = method;
        self.path = path.to_owned();
        self
    }

    fn bytes(&self, host: &str) -> Vec<u8> {
        let mut bytes = format!("{} {}{} HTTP/1.1\r\nHost: {host}\r\n", self.method, self.base, self.path).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if self.method != "GET" {
            bytes.extend_from_slice(b"Content-Type: application/scim+json\r\nContent-Length: 2\r\n\r\n{}");
        } else {
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }
}

const STRANGE: &str = "not one of this service's";

/// A JWS of any header and payload, signed by whatever signs.
fn jws(header: &Value, payload: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("JSON"));
    let signed = format!("{}.{}", part(header), part(payload));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    (0..hexadecimal.len() / 2).map(|n| u8::from_str_radix(&hexadecimal[n * 2..n * 2 + 2], 16).expect("hex")).collect()
}

fn tokens(table: &mut Table, service: &Service) {
    let keys = table.database.rows("SELECT id, hex(private_key), hex(public_key) FROM scimshim_signing_keys");
    let field = |n: usize| keys[0][n].clone().expect("a value");
    let (kid, public) = (field(0), bytes(&field(2)));
    let ours = Ed25519KeyPair::from_pkcs8(&bytes(&field(1))).expect("our key");
    let theirs = Ed25519KeyPair::generate().expect("a key");
    let sign = |pair: &Ed25519KeyPair, text: &[u8]| pair.sign(text).as_ref().to_vec();
    let now = chrono::Utc::now().timestamp();
    let url = service.url();
    let audience = format!("{url}/scim/test/v2");
    let payload = json!({ "iss": url, "aud": audience, "jti": "1", "iat": now, "exp": now + 600 });
    let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": kid });
    let with = |of: &Value, key: &str, value: Value| {
        let mut of = of.clone();
        of[key] = value;
        of
    };
    let without = |of: &Value, key: &str| {
        let mut of = of.clone();
        of.as_object_mut().expect("an object").remove(key);
        of
    };
    let by_us = |header: &Value, payload: &Value| jws(header, payload, |text| sign(&ours, text));
    let by_them = |header: &Value, payload: &Value| jws(header, payload, |text| sign(&theirs, text));
    let good = service.token().to_owned();
    let (signed, signature) = good.rsplit_once('.').expect("a JWT");
    let (good_header, good_payload) = signed.split_once('.').expect("a JWT");

    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = with(&header, "alg", json!(alg));
        table.stored(
            "one algorithm",
            &format!("alg {alg:?} unsigned"),
            &jws(&header, &payload, |_| Vec::new()),
            STRANGE,
        );
        table.stored("one algorithm", &format!("alg {alg:?} signed by our key"), &by_us(&header, &payload), STRANGE);
    }
    for (alg, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        let header = with(&header, "alg", json!(alg));
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&public));
        for (secret, name) in
            [(public.clone(), "the public key"), (pem.into_bytes(), "its PEM"), (Vec::new(), "nothing")]
        {
            let token =
                jws(&header, &payload, |text| hmac::sign(&hmac::Key::new(algorithm, &secret), text).as_ref().to_vec());
            table.stored("no HMAC", &format!("{alg} under {name}"), &token, STRANGE);
        }
    }
    for alg in ["RS256", "ES256", "PS256", "ES256K", "Ed448", "EdDSA ", "eddsa"] {
        table.stored("one algorithm", alg, &by_us(&with(&header, "alg", json!(alg)), &payload), STRANGE);
    }

    table.stored("signature", "another key under our kid", &by_them(&header, &payload), STRANGE);
    table.stored("signature", "none of ours", &jws(&header, &payload, |_| vec![0; 64]), STRANGE);
    table.stored("signature", "empty", &jws(&header, &payload, |_| Vec::new()), STRANGE);
    table.stored(
        "signature",
        "of another payload",
        &format!("{good_header}.{}.{signature}", URL_SAFE_NO_PAD.encode(payload.to_string())),
        STRANGE,
    );
    let whole = by_us(&header, &payload);
    let shorter = jws(&header, &payload, |text| sign(&ours, text)[..63].to_vec());
    let longer = jws(&header, &payload, |text| [sign(&ours, text), vec![0]].concat());
    let flipped = jws(&header, &payload, |text| {
        let mut signature = sign(&ours, text);
        signature[10] ^= 1;
        signature
    });
    for (token, what) in [(shorter, "a byte short"), (longer, "a byte long"), (flipped, "a bit flipped")] {
        table.stored("signature", what, &token, STRANGE);
    }

    table.stored("kid", "missing", &by_us(&without(&header, "kid"), &payload), STRANGE);
    for kid in [
        json!(""),
        json!("../../../../dev/null"),
        json!("/etc/passwd"),
        json!("' OR '1'='1"),
        json!("x' UNION SELECT 'key' --"),
        json!("https://evil.example.com/jwks.json"),
        json!(kid.to_uppercase() + "x"),
        json!(format!("{kid}\u{0}")),
        json!(17),
        json!([kid.clone()]),
        json!(null),
        json!("k".repeat(2000)),
    ] {
        table.stored("kid", &format!("kid {kid:.60}"), &by_us(&with(&header, "kid", kid.clone()), &payload), STRANGE);
    }
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(theirs.public_key().as_ref()) });
    for (parameter, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example.com/jwks.json")),
        ("x5u", json!("https://evil.example.com/cert.pem")),
        ("x5c", json!([STANDARD.encode("certificate")])),
        ("crit", json!(["exp"])),
    ] {
        table.stored("keys are ours alone", parameter, &by_them(&with(&header, parameter, value), &payload), STRANGE);
    }

    for (what, token) in [
        ("two parts", signed.to_owned()),
        ("four parts", format!("{whole}.x")),
        ("five parts, as a JWE", "a.b.c.d.e".to_owned()),
        ("one part", "abc".to_owned()),
        ("empty parts", "..".to_owned()),
        ("no header", format!(".{good_payload}.{signature}")),
        ("header is no JSON", format!("{}.{good_payload}.{signature}", URL_SAFE_NO_PAD.encode("x"))),
        ("payload is no JSON", jws(&header, &json!("x"), |text| sign(&ours, text))),
        ("padded", format!("{whole}==")),
        ("standard Base64", format!("{signed}.{}", "+/".repeat(43))),
    ] {
        table.stored("three parts of Base64url", what, &token, STRANGE);
    }

    table.stored("exp", "ended", &by_us(&header, &with(&payload, "exp", json!(now - 1))), "has expired");
    table.stored("exp", "missing", &by_us(&header, &without(&payload, "exp")), STRANGE);
    table.stored("exp", "text", &by_us(&header, &with(&payload, "exp", json!("never"))), STRANGE);
    table.stored("exp", "negative", &by_us(&header, &with(&payload, "exp", json!(-1))), STRANGE);
    table.stored("nbf", "tomorrow", &by_us(&header, &with(&payload, "nbf", json!(now + 86_400))), STRANGE);
    let other = json!(format!("{url}/scim/other/v2"));
    table.stored(
        "aud",
        "of another identity server",
        &by_us(&header, &with(&payload, "aud", other.clone())),
        "another identity server",
    );
    table.stored(
        "aud",
        "of another host",
        &by_us(&header, &with(&payload, "aud", json!("https://x/scim/test/v2"))),
        "another identity server",
    );
    table.stored("aud", "missing", &by_us(&header, &without(&payload, "aud")), STRANGE);
    table.stored("aud", "many", &by_us(&header, &with(&payload, "aud", json!([other, audience]))), STRANGE);
    table.stored("aud", "a prefix", &by_us(&header, &with(&payload, "aud", json!(url))), "another identity server");
    table.stored(
        "iss",
        "another service",
        &by_us(&header, &with(&payload, "iss", json!("https://x"))),
        "another public_url",
    );
    table.stored("iss", "missing", &by_us(&header, &without(&payload, "iss")), STRANGE);
    table.stored(
        "iss",
        "with a slash",
        &by_us(&header, &with(&payload, "iss", json!(format!("{url}/")))),
        "another public_url",
    );

    // Signed by us, and not among the live ones.
    table.authorization(
        "must stand in our tables",
        "signed by us, never issued",
        &format!("Bearer {whole}"),
        "was revoked",
    );
    let revoked = by_us(&header, &with(&payload, "jti", json!("revoked")));
    table.store("test", &revoked, i64::MAX / 2, true);
    table.authorization("revoked", "revoked", &format!("Bearer {revoked}"), "was revoked");
    let ended = by_us(&header, &with(&payload, "jti", json!("ended")));
    table.store("test", &ended, 1, false);
    table.authorization("the row's end", "ended in our tables alone", &format!("Bearer {ended}"), "was revoked");
    let moved = by_us(&header, &with(&payload, "jti", json!("moved")));
    table.store("other", &moved, i64::MAX / 2, false);
    table.authorization(
        "the row's identity server",
        "issued to another one",
        &format!("Bearer {moved}"),
        "another identity server",
    );

    let opaque = |number: u8| format!("scimshim_st_{}", URL_SAFE_NO_PAD.encode([number; 32]));
    table.authorization("opaque: must stand in our tables", "made up", &format!("Bearer {}", opaque(1)), STRANGE);
    let (revoked, ended, of_other) = (opaque(2), opaque(3), opaque(4));
    table.store("test", &revoked, i64::MAX / 2, true);
    table.store("test", &ended, 1, false);
    table.store("other", &of_other, i64::MAX / 2, false);
    table.authorization("opaque: revoked", "revoked", &format!("Bearer {revoked}"), "was revoked");
    table.authorization("opaque: ended", "ended", &format!("Bearer {ended}"), "was revoked");
    table.authorization(
        "opaque: the row's identity server",
        "of another one",
        &format!("Bearer {of_other}"),
        "another identity server",
    );
    for (what, token) in [
        ("in capitals", of_other.to_uppercase()),
        ("cut off", of_other[..40].to_owned()),
        ("longer", format!("{of_other}A")),
        ("of OAuth's kind", of_other.replace("_st_", "_at_")),
        ("without its prefix", of_other["scimshim_st_".len()..].to_owned()),
    ] {
        table.authorization("opaque: its form", what, &format!("Bearer {token}"), STRANGE);
    }
    let (upper, altered) = (opaque(5).to_uppercase(), format!("{}é", opaque(6)));
    table.authorization("ASCII", "a letter beyond ASCII", &format!("Bearer {altered}"), "not ASCII");
    table.authorization("three parts of Base64url", "capitals", &format!("Bearer {upper}"), STRANGE);
}

fn headers(table: &mut Table, service: &Service) {
    let good = format!("Bearer {}", service.token());
    let token = service.token();
    table.add("a credential", "none", 401, "is missing");
    table.authorization("one credential", "the same twice", &good, "more than one").header("Authorization", &good);
    table.authorization("one credential", "good, then bad", &good, "more than one").header("Authorization", "Bearer x");
    table.authorization("one credential", "bad, then good", "Bearer x", "more than one").header("authorization", &good);
    table
        .authorization("one credential", "Basic beside it", &good, "more than one")
        .header("Authorization", basic("hr", PASSWORD))
        .at("/scim/every/v2");
    table.authorization("a credential", "empty", "", "is empty");
    table.authorization("a token", "the scheme alone", "Bearer", "token is missing");
    table.authorization("a token", "the scheme and spaces", "Bearer    ", "token is missing");
    table.add("ASCII", "a byte that is no text", 401, "not ASCII").header("Authorization", b"Bearer \xff\xfe");
    table
        .add("ASCII", "a good token and a byte", 401, "not ASCII")
        .header("Authorization", [good.as_bytes(), b"\xa0"].concat());
    for scheme in ["Token", "JWT", "Negotiate", "Bearer:", "BearerBearer", "OAuth"] {
        table.authorization("the scheme", scheme, &format!("{scheme} {token}"), "none that is known here");
    }
    table.authorization("the scheme", "no scheme", token, "has no scheme");
    table.authorization("the scheme", "Bearer=", &format!("Bearer={token}"), "has no scheme");
    for (what, value) in [
        ("two in one", format!("{good}, {good}")),
        ("with a semicolon", format!("{good};")),
        ("quoted", format!("Bearer \"{token}\"")),
        ("more behind it", format!("{good} x")),
        ("twice the scheme", format!("Bearer {good}")),
        ("with an equals sign", format!("Bearer ={token}")),
        ("reversed", format!("Bearer {}", token.chars().rev().collect::<String>())),
        ("in capitals", format!("Bearer {}", token.to_uppercase())),
        ("cut off", format!("Bearer {}", &token[..token.len() - 1])),
        ("very long", format!("Bearer {}", "x".repeat(6000))),
    ] {
        table.authorization("a token of ours", what, &value, STRANGE);
    }
    table
        .add("the header alone", "in the query", 401, "is missing")
        .request("GET", &format!("/Users?access_token={token}"));
    for name in ["Proxy-Authorization", "X-Authorization", "Cookie", "X-Auth-Token", "Api-Key"] {
        table.add("the header alone", name, 401, "is missing").header(name, &good);
    }
    table.add("no underscores", "X_Authorization", 400, "underscore").header("X_Authorization", &good);
    table.add("header size", "20 KiB", 431, "").header("Authorization", format!("Bearer {}", "x".repeat(20_000)));

    table.authorization("the method is not taken", "Basic", &basic("hr", PASSWORD), "does not take basic");
    table.authorization("the method is not taken", "Digest", "Digest username=\"hr\"", "does not take digest");
    table.authorization("the method is not taken", "Bearer", &good, "does not take bearer").at("/scim/basic/v2");
    table
        .authorization("the method is not taken", "Basic for Digest", &basic("hr", PASSWORD), "does not take basic")
        .at("/scim/digest/v2");
}

fn servers(table: &mut Table, service: &Service) {
    let good = |name: &str| format!("Bearer {}", service.issue(name));
    let (test, other, off, near, okta) =
        (format!("Bearer {}", service.token()), good("other"), good("off"), good("near"), good("okta"));
    let elsewhere = "another identity server";
    table.authorization("one identity server's own", "other's at test", &other, elsewhere);
    table
        .authorization("one identity server's own", "other's at test by its name", &other, elsewhere)
        .at("/scim/test/v2");
    table.authorization("one identity server's own", "test's at other", &test, elsewhere).at("/scim/other/v2");
    table
        .authorization("one identity server's own", "test's at okta, bare", &test["Bearer ".len()..], elsewhere)
        .at("/scim/okta/v2");
    table.authorization("one identity server's own", "okta's at test", &okta, elsewhere);
    table.add("active", "its own token", 403, "switched off").header("Authorization", &off).at("/scim/off/v2");
    table.add("active", "no credential", 403, "switched off").at("/scim/off/v2");
    table
        .add("a known identity server", "nobody's", 404, "no such identity server")
        .header("Authorization", &test)
        .at("/scim/nobody/v2");
    table
        .add("allow_from", "its own token", 403, "from this address")
        .header("Authorization", &near)
        .at("/scim/near/v2");
    for (name, value) in [
        ("X-Forwarded-For", "192.0.2.5"),
        ("X-Forwarded-For", "127.0.0.1, 192.0.2.5"),
        ("Forwarded", "for=192.0.2.5"),
        ("Forwarded", "for=\"192.0.2.5:443\";proto=https"),
        ("X-Real-IP", "192.0.2.5"),
        ("True-Client-IP", "192.0.2.5"),
        ("CF-Connecting-IP", "192.0.2.5"),
        ("X-Client-IP", "192.0.2.5"),
        ("X-Forwarded-Host", "192.0.2.5"),
        ("Client-IP", "192.0.2.5"),
    ] {
        table
            .add("proxies that are trusted", &format!("{name}: {value}"), 403, "from this address")
            .header("Authorization", &near)
            .header(name, value)
            .at("/scim/near/v2");
    }
    let reads = |what: &[&str]| {
        let issued = service.run(&[&["token", "issue", "test", "--read-only"], what].concat());
        assert!(issued.status.success(), "{}", describe(&issued));
        format!("Bearer {}", String::from_utf8(issued.stdout).expect("text").trim())
    };
    for (kind, token) in [("signed", reads(&[])), ("opaque", reads(&["--opaque"]))] {
        for (method, path) in
            [("POST", "/Users"), ("PUT", "/Users/1"), ("PATCH", "/Users/1"), ("DELETE", "/Users/1"), ("POST", "/Bulk")]
        {
            table
                .add("read-only", &format!("{kind} {method} {path}"), 403, "may only read")
                .header("Authorization", &token)
                .request(method, path);
        }
    }
    for (name, value) in [
        ("Origin", "https://evil.example.com"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "none"),
    ] {
        table
            .add("none: no browsers", &format!("{name}: {value}"), 403, "browser")
            .header(name, value)
            .at("/scim/local/v2");
    }
    for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"] {
        table.add("none: nobody's proxy", name, 403, "proxy").header(name, "127.0.0.1").at("/scim/local/v2");
    }
}

fn passwords(table: &mut Table) {
    let wrong = "user name or the password is wrong";
    for base in ["/scim/basic/v2", "/scim/every/v2"] {
        for (check, what, name, password) in [
            ("password", "wrong", "hr", "wrong"),
            ("password", "empty", "hr", ""),
            ("password", "other case", "hr", PASSWORD.to_uppercase().as_str()),
            ("password", "a space more", "hr", &format!("{PASSWORD} ")),
            ("password", "a space before", "hr", &format!(" {PASSWORD}")),
            ("password", "cut off", "hr", &PASSWORD[1..]),
            ("password", "the stored hash", "hr", HASH),
            ("password", "very long", "hr", &"x".repeat(4000)),
            ("user name", "unknown", "nobody", PASSWORD),
            ("user name", "empty", "", PASSWORD),
            ("user name", "other case", "HR", PASSWORD),
            ("user name", "a space more", "hr ", PASSWORD),
            ("user name", "unknown, and a wrong password", "nobody", "wrong"),
            ("password", "a colon more", "hr", &format!(":{PASSWORD}")),
        ] {
            table
                .authorization(
                    if check == "password" { "Basic: password" } else { "Basic: user name" },
                    what,
                    &basic(name, password),
                    wrong,
                )
                .at(base);
        }
        for (what, value, says) in [
            ("nothing", "Basic".to_owned(), "no colon"),
            ("no colon", format!("Basic {}", STANDARD.encode("hr")), "no colon"),
            ("not Base64", "Basic ???".to_owned(), "not Base64"),
            (
                "without padding",
                format!("Basic {}", STANDARD.encode(format!("hr:{PASSWORD}")).trim_end_matches('=')),
                "not Base64",
            ),
            ("padded twice", format!("{}==", basic("hr", PASSWORD)), "not Base64"),
            ("with a space", format!("{} x", basic("hr", PASSWORD)), "not Base64"),
            ("Latin-1", format!("Basic {}", STANDARD.encode(b"hr:\xe9")), "not UTF-8"),
            ("overlong UTF-8", format!("Basic {}", STANDARD.encode(b"hr:\xc0\x80")), "not UTF-8"),
            ("a line feed", basic("hr", &format!("{PASSWORD}\n")), "control characters"),
            ("a NUL", basic("hr", &format!("{PASSWORD}\u{0}")), "control characters"),
            ("a NUL in the name", basic("hr\u{0}", PASSWORD), "control characters"),
        ] {
            table.authorization("Basic: its form", what, &value, says).at(base);
        }
    }
    table
        .authorization("one identity server's own", "every's password at plain", &basic("hr", PASSWORD), wrong)
        .at("/scim/plain/v2");
}

fn digests(table: &mut Table, client: &mut Client, host: &str) {
    let base = "/scim/digest/v2";
    let path = format!("{base}/Users");
    let mut nonce_of = |base: &str| {
        let bytes = format!("GET {base}/Users HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = client.send_bytes(bytes.as_bytes(), false).expect("an answer");
        DigestClient::nonce(answer.header("www-authenticate").expect("a challenge"))
    };
    let wrong = "user name or the password is wrong";
    let good = || DigestClient::new(&path);
    for (check, what, says, one) in [
        ("Digest: response", "wrong password", wrong, DigestClient { password: "wrong".into(), ..good() }),
        ("Digest: response", "the response cut off", wrong, DigestClient { cut: 1, ..good() }),
        ("Digest: response", "no response", wrong, DigestClient { cut: 64, ..good() }),
        ("Digest: response", "another method hashed", wrong, DigestClient { method: "DELETE".into(), ..good() }),
        ("Digest: response", "SHA-512-256 called SHA-256", wrong, DigestClient { hashed: "SHA-512-256", ..good() }),
        ("Digest: user name", "unknown", wrong, DigestClient { username: "username=\"nobody\"".into(), ..good() }),
        ("Digest: user name", "other case", wrong, DigestClient { username: "username=\"HR\"".into(), ..good() }),
        (
            "Digest: user name",
            "the name where its hash belongs",
            wrong,
            DigestClient { username: "username=\"hr\", userhash=true".into(), ..good() },
        ),
        (
            "Digest: its form",
            "two user names",
            "or two",
            DigestClient { username: "username=\"hr\", username*=UTF-8''hr".into(), ..good() },
        ),
        ("Digest: its form", "no user name", "no user name", DigestClient { username: "user=\"hr\"".into(), ..good() }),
        (
            "Digest: its form",
            "a parameter twice",
            "cannot be read",
            DigestClient { more: ", nc=00000002".into(), ..good() },
        ),
        ("Digest: its form", "a quote left open", "cannot be read", DigestClient { more: ", x=\"".into(), ..good() }),
        ("Digest: its form", "a word alone", "cannot be read", DigestClient { more: ", x".into(), ..good() }),
        ("Digest: realm", "another", "another realm", DigestClient { realm: "other".into(), ..good() }),
        (
            "Digest: uri",
            "another path",
            "not this request's target",
            DigestClient { uri: format!("{base}/Groups"), ..good() },
        ),
        (
            "Digest: uri",
            "a query more",
            "not this request's target",
            DigestClient { uri: format!("{path}?count=1"), ..good() },
        ),
        (
            "Digest: uri",
            "a slash more",
            "not this request's target",
            DigestClient { uri: format!("{path}/"), ..good() },
        ),
        ("Digest: uri", "an asterisk", "not this request's target", DigestClient { uri: "*".into(), ..good() }),
        (
            "Digest: uri",
            "encoded otherwise",
            "not this request's target",
            DigestClient { uri: path.replace("/Users", "/%55sers"), ..good() },
        ),
        ("Digest: qop", "auth-int", "qop=auth", DigestClient { qop: Some("auth-int"), ..good() }),
        ("Digest: qop", "none, as RFC 2069 had it", "qop=auth", DigestClient { qop: None, ..good() }),
        (
            "Digest: algorithm",
            "MD5",
            "does not take this Digest algorithm",
            DigestClient { named: Some("MD5"), hashed: "MD5", ..good() },
        ),
        (
            "Digest: algorithm",
            "none said, which is MD5",
            "does not take this Digest algorithm",
            DigestClient { named: None, hashed: "MD5", ..good() },
        ),
        ("Digest: algorithm", "a session's", "not known here", DigestClient { named: Some("SHA-256-sess"), ..good() }),
        ("Digest: nc", "zero", "eight hexadecimal", DigestClient { nc: "00000000".into(), ..good() }),
        ("Digest: nc", "short", "eight hexadecimal", DigestClient { nc: "1".into(), ..good() }),
        ("Digest: nc", "signed", "eight hexadecimal", DigestClient { nc: "+0000001".into(), ..good() }),
        ("Digest: cnonce", "empty", "cnonce", DigestClient { cnonce: String::new(), ..good() }),
        ("Digest: nonce", "made up", "too old", DigestClient { nonce: Some("A".repeat(43)), ..good() }),
        ("Digest: nonce", "empty", "too old", DigestClient { nonce: Some(String::new()), ..good() }),
        (
            "Digest: nonce",
            "of another identity server",
            "too old",
            DigestClient { nonce: Some(nonce_of("/scim/every/v2")), ..good() },
        ),
        (
            "Digest: nonce",
            "altered",
            "too old",
            DigestClient { nonce: Some(nonce_of(base).replacen('B', "C", 1) + "A"), ..good() },
        ),
    ] {
        let nonce = one.nonce.clone().unwrap_or_else(|| nonce_of(base));
        let value = one.authorization(&nonce);
        table.authorization(check, what, &value, says).at(base);
    }
    // Used once, and played again.
    let used = good().authorization(&nonce_of(base));
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {used}\r\n\r\n");
    client.send_bytes(request.as_bytes(), false).expect("an answer").expect(200);
    table.authorization("Digest: replay", "the same request again", &used, "used before").at(base);
    table.authorization("Digest: its form", "nothing", "Digest", "no user name").at(base);
    table
        .authorization(
            "the scheme",
            "Digest in Bearer's clothes",
            &used.replace("Digest ", "Bearer "),
            "does not take bearer",
        )
        .at(base);
}

#[test]
fn nothing_of_it_is_taken() {
    let database = Database::small(Engine::Sqlite);
    let servers_yaml = format!(
        "\n  test: {{ default: true }}\n  other: {{}}\n  okta: {{ profile: okta }}\n  off: {{ active: false }}\n  \
         near: {{ allow_from: 192.0.2.0/24 }}\n  local: {{ authentication: none }}\n  \
         basic: {{ authentication: {{ basic: {{ username: hr, password_hash: \"{HASH}\" }} }} }}\n  \
         plain: {{ authentication: {{ basic: {{ username: hr, password: another }} }} }}\n  \
         digest: {{ authentication: {{ digest: {{ username: hr, password: \"{PASSWORD}\" }} }} }}\n  \
         every: {{ authentication: {{ bearer: , digest: {{ username: hr, password: \"{PASSWORD}\" }}, basic: {{ username: hr, password_hash: \"{HASH}\" }} }} }}\n"
    );
    let options = Options::small().identity_servers(&servers_yaml).more("limits: { failures_per_minute: 1000000 }");
    let service = Service::start(&database, options.more("log: { level: trace }"));
    let host = format!("localhost:{}", service.address().port());
    let mut client = service.client_with("", None);
    let mut table = Table { rows: Vec::new(), database, serial: 0 };
    headers(&mut table, &service);
    servers(&mut table, &service);
    tokens(&mut table, &service);
    passwords(&mut table);
    digests(&mut table, &mut client, &host);

    let mut wrong = Vec::new();
    for row in &table.rows {
        let answer = match client.send_bytes(&row.bytes(&host), false) {
            Ok(answer) => answer,
            Err(failure) => {
                wrong.push(format!("{}: {}: {failure:?}", row.check, row.what));
                continue;
            }
        };
        let challenges: Vec<&str> = answer
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
            .map(|(_, value)| value.split(' ').next().unwrap_or_default())
            .collect();
        let known = CHALLENGES.iter().find(|(base, _)| *base == row.base).map(|(_, schemes)| *schemes);
        let expected = if row.status == 401 { known } else { Some(&[][..]) };
        let secret = row.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let quoted = secret
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
            .any(|value| value.split(' ').any(|word| word.len() > 20 && answer.text().contains(word)));
        if answer.status != row.status
            || !answer.text().contains(row.says)
            || quoted
            || expected.is_some_and(|expected| expected != challenges)
        {
            wrong.push(format!("{}: {}: {} {challenges:?} {}", row.check, row.what, answer.status, answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.rows.len(), wrong.join("\n"));
    let checks: BTreeSet<&str> = table.rows.iter().map(|row| row.check).collect();
    println!("{} hostile credentials, {} checks", table.rows.len(), checks.len());
    assert!(table.rows.len() >= 120 && checks.len() >= 25, "{} rows, {checks:?}", table.rows.len());
    assert_eq!(table.database.count("SELECT COUNT(*) FROM people"), 0, "and none of it changed anything");
    // What is right still is, after all of that.
    service.client().get("/Users").expect(200);
    let mut right = service.client_with("", None);
    let value = basic("hr", PASSWORD);
    let answer = right.send("GET", "/scim/every/v2/Users", &[("Authorization", &value)], None).expect("an answer");
    answer.expect(200);
    right.send("GET", "/scim/local/v2/Users", &[], None).expect("an answer").expect(200);
    // And nothing of what was tried stands in the log.
    let log = service.stderr();
    for row in &table.rows {
        for (_, value) in row.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            let value = String::from_utf8_lossy(value);
            for word in value.split([' ', '"', ',']).filter(|word| word.len() > 30) {
                assert!(!log.contains(word), "{}: {} stands in the log", row.check, row.what);
            }
        }
    }
    assert!(!log.contains(PASSWORD) && !log.contains(HASH));
}
