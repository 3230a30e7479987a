//! Tokens good and bad, claim by claim.

use super::super::jwks::KeySet;
use super::super::jwks::tests::Signer;
use super::*;
use serde_json::json;

const NOW: i64 = 1_790_000_000;

fn rules() -> Rules {
    Rules {
        issuer: "https://idp.example.com".into(),
        audiences: vec!["scim".into(), "api://scim".into()],
        algorithms: vec![Algorithm::ES256],
        subject: None,
        claims: Vec::new(),
        lifetime: None,
        types: ACCESS_TOKEN,
    }
}

fn claims() -> Value {
    json!({"iss": "https://idp.example.com", "aud": "scim", "exp": NOW + 300, "iat": NOW, "sub": "provisioner"})
}

fn verifier(signer: &Signer, rules: Rules) -> Verifier {
    let keys = KeySet::parse(json!({"keys": [signer.jwk()]}).to_string().as_bytes()).unwrap();
    Verifier { rules, keys: Arc::new(Jwks::fixed(keys)) }
}

fn rule(path: &[&str], values: &[&str]) -> ClaimRule {
    let texts = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    ClaimRule { path: texts(path), values: texts(values) }
}

#[tokio::test]
async fn every_algorithm() {
    for (name, algorithm) in super::super::jwks::ALGORITHMS {
        let signer = Signer::new("k1", algorithm);
        let good = verifier(&signer, Rules { algorithms: vec![algorithm], ..rules() });
        let token = signer.token(json!({"alg": name, "kid": "k1", "typ": "at+JWT"}), &claims());
        let verified = good.verify_at(&token, NOW).await.unwrap();
        assert_eq!((verified.subject.as_deref(), verified.expires), (Some("provisioner"), NOW + 300), "{name}");
        // The same key signs something else.
        let other = Signer::new("k1", algorithm);
        let token = other.token(json!({"alg": name, "kid": "k1"}), &claims());
        let wrong = good.verify_at(&token, NOW).await.unwrap_err();
        assert_eq!(wrong, Denied::Refused("the token's signature is wrong".into()), "{name}");
        // Not among those that are allowed.
        let others = verifier(&signer, Rules { algorithms: Vec::new(), ..rules() });
        let why = others.verify_at(&token, NOW).await.unwrap_err();
        assert!(matches!(why, Denied::Refused(why) if why.contains(name)), "{name}");
    }
}

#[tokio::test]
async fn what_a_token_says() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let set = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims
    };
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let limited = Rules {
        subject: Some("provisioner".into()),
        claims: vec![rule(&["scope"], &["scim"]), rule(&["realm_access", "roles"], &["a", "b"])],
        lifetime: Some(600),
        ..rules()
    };
    let full = |scope: Value, roles: Value| {
        let mut claims = claims();
        claims["scope"] = scope;
        claims["realm_access"] = json!({"roles": roles});
        claims
    };
    // rules, claims, the reason it is refused for
    let table: Vec<(Rules, Value, Option<&str>)> = vec![
        (rules(), claims(), None),
        (rules(), set("aud", json!(["other", "api://scim"])), None),
        (rules(), set("aud", json!("scim2")), Some("`aud` is `scim2`, not `scim` or `api://scim`")),
        (rules(), set("aud", json!([])), Some("`aud`")),
        (rules(), set("aud", json!(["scim", 7])), Some("`aud` is neither")),
        (rules(), set("aud", json!({"scim": 1})), Some("`aud` is neither")),
        (rules(), set("aud", json!("SCIM")), Some("`aud`")),
        (rules(), without("aud"), Some("no `aud`")),
        (rules(), set("iss", json!("https://idp.example.com/")), Some("`iss` is `https://idp.example.com/`")),
        (rules(), set("iss", json!("HTTPS://idp.example.com")), Some("`iss`")),
        (rules(), set("iss", json!(["https://idp.example.com"])), Some("`iss` is not text")),
        (rules(), without("iss"), Some("no `iss`")),
        (rules(), set("exp", json!(NOW - LEEWAY + 1)), None),
        (rules(), set("exp", json!(NOW - LEEWAY)), Some("expired 60 seconds ago")),
        (rules(), set("exp", json!(1_790_000_300.5)), None),
        (rules(), set("exp", json!((NOW + 300).to_string())), Some("`exp` is not a time")),
        (rules(), set("exp", json!(null)), Some("`exp` is not a time")),
        (rules(), set("exp", json!(-1)), Some("`exp` is not a time")),
        (rules(), set("exp", json!(1e300)), Some("`exp` is not a time")),
        (rules(), without("exp"), Some("no `exp`")),
        (rules(), set("nbf", json!(NOW + LEEWAY)), None),
        (rules(), set("nbf", json!(NOW + LEEWAY + 1)), Some("`nbf` is 61 seconds in the future")),
        (rules(), set("nbf", json!("now")), Some("`nbf` is not a time")),
        (rules(), set("iat", json!(NOW + LEEWAY + 1)), Some("`iat` is 61 seconds in the future")),
        (rules(), set("iat", json!([NOW])), Some("`iat` is not a time")),
        (rules(), without("iat"), None),
        (rules(), set("sub", json!(7)), Some("`sub` is not text")),
        (rules(), set("jti", json!({})), Some("`jti` is not text")),
        (rules(), without("sub"), None),
        (limited.clone(), full(json!("openid scim"), json!(["b", "a"])), None),
        (limited.clone(), full(json!(["scim"]), json!("a b")), None),
        (limited.clone(), full(json!("scimitar"), json!(["b", "a"])), Some("`scope` does not have `scim`")),
        (limited.clone(), full(json!("scim"), json!(["a"])), Some("`realm_access.roles` does not have `b`")),
        (limited.clone(), full(json!({"scim": true}), json!(["a", "b"])), Some("`scope` does not have")),
        (limited.clone(), full(json!(null), json!(["a", "b"])), Some("`scope` does not have")),
        (limited.clone(), claims(), Some("does not claim `scope`")),
        (limited.clone(), set("sub", json!("Provisioner")), Some("`sub` is `Provisioner`, not `provisioner`")),
        (limited.clone(), without("sub"), Some("`sub` is missing")),
        (limited, set("exp", json!(NOW + 661)), Some("too far in the future")),
    ];
    for (rules, claims, reason) in table {
        let token = signer.token(json!({"alg": "ES256", "kid": "k1"}), &claims);
        let got = verifier(&signer, rules).verify_at(&token, NOW).await;
        match (&got, reason) {
            (Ok(_), None) => {}
            (Err(Denied::Refused(why)), Some(reason)) if why.contains(reason) => {
                assert!(!token.split('.').any(|part| why.contains(part)), "{why}");
            }
            _ => panic!("{claims}: {got:?}, expected {reason:?}"),
        }
    }
}

#[tokio::test]
async fn reasons_quote_little_and_safely() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let mut claims = claims();
    claims["iss"] = json!(format!("evil\n\u{1b}[31m{}", "x".repeat(1000)));
    let token = signer.token(json!({"alg": "ES256", "kid": "k1"}), &claims);
    let Err(Denied::Refused(why)) = verifier(&signer, rules()).verify_at(&token, NOW).await else { panic!() };
    assert!(why.len() < 300 && !why.chars().any(char::is_control), "{why}");
}

#[tokio::test]
async fn the_form_of_a_token() {
    let signer = Signer::new("k1", Algorithm::ES256);
    let verifier = verifier(&signer, rules());
    let good = signer.token(json!({"alg": "ES256", "kid": "k1"}), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let text = |header: &str, claims: &str| signer.raw(header.as_bytes(), claims.as_bytes());
    let plain = claims().to_string();
    let with = |header: Value| signer.token(header, &claims());
    let table: Vec<(String, Option<&str>)> = vec![
        (good.clone(), None),
        (with(json!({"alg": "ES256"})), None),
        (with(json!({"alg": "ES256", "typ": "application/AT+jwt"})), None),
        (with(json!({"alg": "ES256", "jku": "https://evil.example.com/keys", "x5u": "https://evil", "jwk": 7})), None),
        (with(json!({"alg": "ES256", "typ": "id+jwt"})), Some("`typ` is none of")),
        (with(json!({"alg": "ES256", "typ": 1})), Some("`typ` is not text")),
        (with(json!({"alg": "ES256", "kid": 1})), Some("`kid` is not text")),
        (with(json!({"alg": "ES256", "kid": "k2"})), Some("key that its issuer does not publish")),
        (with(json!({"alg": "ES256", "crit": ["exp"]})), Some("`crit`")),
        (with(json!({"alg": "ES256", "crit": [], "b64": false})), Some("`crit`")),
        (with(json!({"alg": "ES256", "zip": "DEF"})), Some("`zip`")),
        (with(json!({"alg": "none"})), Some("none that has a public key")),
        (with(json!({"alg": "HS256"})), Some("none that has a public key")),
        (with(json!({"alg": "es256"})), Some("none that has a public key")),
        (with(json!({"alg": ["ES256"]})), Some("no `alg`")),
        (with(json!({})), Some("no `alg`")),
        (with(json!([])), Some("not a JSON object")),
        (text("{\"alg\":\"none\",\"alg\":\"ES256\"}", &plain), Some("header has a name twice")),
        (text("{\"alg\":\"ES256\"}", &plain.replacen('{', "{\"iss\":\"x\",", 1)), Some("claims has a name twice")),
        (text("{\"alg\":\"ES256\"}", &plain.replacen('{', "{\"a\":[{\"b\":1,\"\\u0062\":2}],", 1)), Some("twice")),
        (text("{\"alg\":\"ES256\"} ", &format!("{plain} ")), None),
        (text("{\"alg\":\"ES256\"}", &format!("{plain}{{}}")), Some("claims is not JSON")),
        (text("{\"alg\":\"ES256\"}", &format!("{{\"a\":{}{}}}", "[".repeat(500), "]".repeat(500))), Some("not JSON")),
        (signer.raw(b"{\"alg\":\"ES256\"}", b"{\"iss\":\"\xff\"}"), Some("claims is not JSON")),
        (signer.raw(b"{\"alg\":\"ES256\"}", b"{\"iss\":\"\\ud800\"}"), Some("claims is not JSON")),
        (signer.raw(b"\xef\xbb\xbf{\"alg\":\"ES256\"}", b"{}"), Some("header is not JSON")),
        (format!("{}.{}.", parts[0], parts[1]), Some("not signed")),
        (format!("{}.{}", parts[0], parts[1]), Some("not a JWT")),
        (format!("{good}.x"), Some("not a JWT")),
        (format!("{good}.x.y"), Some("encrypted")),
        (format!("{good}="), Some("signature is wrong")),
        (format!("{}=.{}.{}", parts[0], parts[1], parts[2]), Some("header is not base64url")),
        (String::new(), Some("not a JWT")),
        ("..".into(), Some("not signed")),
        ("...".into(), Some("not a JWT")),
        (format!("{}.{}", "a".repeat(LONGEST), good), Some("longer than 16 KiB")),
    ];
    for (token, reason) in table {
        let got = verifier.verify_at(&token, NOW).await;
        match (&got, reason) {
            (Ok(_), None) => {}
            (Err(Denied::Refused(why)), Some(reason)) if why.contains(reason) => {}
            _ => panic!("{}: {got:?}, expected {reason:?}", &token[..token.len().min(200)]),
        }
    }
}

#[test]
fn an_assertion_is_good_once() {
    let seen = Seen::default();
    let token =
        |id: Option<&str>, expires| Verified { claims: Map::new(), subject: None, id: id.map(str::to_owned), expires };
    let note = |issuer: &str, id: Option<&str>, expires, now| seen.note_at(issuer, &token(id, expires), now);
    note("a", Some("1"), NOW + 10, NOW).unwrap();
    assert!(matches!(note("a", Some("1"), NOW + 10, NOW), Err(Denied::Refused(_))));
    assert!(matches!(note("a", Some("1"), NOW + 10, NOW + 10 + LEEWAY - 1), Err(Denied::Refused(_))), "until it ends");
    note("a", Some("2"), NOW + 10, NOW).unwrap();
    note("a1", Some(""), NOW + 10, NOW).unwrap();
    note("b", Some("1"), NOW + 10, NOW).unwrap();
    note("a", None, NOW + 10, NOW).unwrap();
    note("a", None, NOW + 10, NOW).unwrap();
    note("a", Some("1"), NOW + 100, NOW + 10 + LEEWAY).unwrap();
    for n in 0..SEEN {
        let _ = note("many", Some(&n.to_string()), NOW + 10, NOW);
    }
    assert!(matches!(note("many", Some("x"), NOW + 10, NOW), Err(Denied::Unavailable(_))));
    note("many", Some("x"), NOW + 200, NOW + 10 + LEEWAY).expect("those that ended make room");
}
