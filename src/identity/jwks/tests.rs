//! Keys: which are taken, which is chosen, when they are fetched and for how long they are believed.

use super::super::fetch::fake::{self, Answer, Server};
use super::*;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RsaPublicKeyComponents,
};
use jsonwebtoken::EncodingKey;
use serde_json::json;

/// A private key that signs tokens, and its public half as a set publishes it.
pub(crate) struct Signer {
    id: String,
    algorithm: Algorithm,
    key: EncodingKey,
    public: Value,
    spki: Vec<u8>,
}

impl Signer {
    pub(crate) fn new(id: &str, algorithm: Algorithm) -> Self {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (key, public, spki) = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => {
                let (signing, curve) = match algorithm {
                    Algorithm::ES256 => (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
                    _ => (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
                };
                let pair = EcdsaKeyPair::generate(signing).unwrap();
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
                let public = json!({"kty": "EC", "crv": curve, "x": text(x), "y": text(y)});
                (EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()), public, spki.as_ref().to_vec())
            }
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::generate().unwrap();
                let public = json!({"kty": "OKP", "crv": "Ed25519", "x": text(pair.public_key().as_ref())});
                let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
                (EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref()), public, spki.as_ref().to_vec())
            }
            _ => {
                let (key, n, e, spki) = rsa_pair(aws_lc_rs::rsa::KeySize::Rsa2048);
                (key, json!({"kty": "RSA", "n": text(&n), "e": text(&e)}), spki)
            }
        };
        Self { id: id.to_owned(), algorithm, key, public, spki }
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn token(&self, header: Value, claims: &Value) -> String {
        self.raw(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    pub(crate) fn raw(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    pub(crate) fn pem(&self) -> String {
        use base64::engine::general_purpose::STANDARD;
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&self.spki))
    }
}

fn rsa_pair(size: aws_lc_rs::rsa::KeySize) -> (EncodingKey, Vec<u8>, Vec<u8>, Vec<u8>) {
    use aws_lc_rs::encoding::Pkcs8V1Der;
    let pair = aws_lc_rs::rsa::KeyPair::generate(size).unwrap();
    let parts = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    // `jsonwebtoken` wants PKCS #1, which stands inside: after version, algorithm and the header of an octet string.
    let pkcs1 = pkcs8.as_ref()[26..].to_vec();
    let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
    (EncodingKey::from_rsa_der(&pkcs1), parts.n, parts.e, spki.as_ref().to_vec())
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn changed(jwk: &Value, name: &str, value: Value) -> Value {
    let mut jwk = jwk.clone();
    jwk[name] = value;
    jwk
}

#[test]
fn keys_that_can_be_used() {
    let (es, es384) = (Signer::new("a", Algorithm::ES256).jwk(), Signer::new("a", Algorithm::ES384).jwk());
    let (ed, rs) = (Signer::new("a", Algorithm::EdDSA).jwk(), Signer::new("a", Algorithm::RS256).jwk());
    let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
    let padded = URL_SAFE_NO_PAD.encode([&[0_u8; 200][..], &[0xff; 128]].concat());
    let table = [
        (es.clone(), None),
        (es384.clone(), None),
        (ed.clone(), None),
        (rs.clone(), None),
        (changed(&es, "alg", json!("ES256")), None),
        (changed(&es, "key_ops", json!(["verify"])), None),
        (changed(&es, "alg", json!("ES384")), Some("not one of its type")),
        (changed(&rs, "alg", json!("HS256")), Some("algorithm is not known")),
        (changed(&rs, "alg", json!("RSA-OAEP")), Some("algorithm is not known")),
        (changed(&rs, "alg", json!(null)), Some("`alg` is not text")),
        (changed(&rs, "kid", json!(1)), Some("`kid` is not text")),
        (changed(&rs, "use", json!("enc")), Some("not for signatures")),
        (changed(&rs, "key_ops", json!(["encrypt"])), Some("not for verifying")),
        (changed(&rs, "n", json!(short)), Some("2048")),
        (changed(&rs, "n", json!(padded)), Some("2048")),
        (changed(&rs, "n", json!("=")), Some("`n` is not base64url")),
        (changed(&rs, "d", json!("AQAB")), Some("not a public key")),
        (changed(&es, "crv", json!("secp256k1")), Some("type is not known")),
        (changed(&es, "crv", json!("P-384")), Some("48 bytes")),
        (changed(&ed, "x", json!("AAAA")), Some("32 bytes")),
        (changed(&ed, "crv", json!("Ed448")), Some("type is not known")),
        (json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}), Some("not a public key")),
        (json!({"kty": "oct"}), Some("type is not known")),
        (json!(7), Some("type is not known")),
    ];
    for (jwk, reason) in table {
        match (KeySet::parse(set(std::slice::from_ref(&jwk)).as_bytes()), reason) {
            (Ok(read), None) => assert_eq!(read.keys.len(), 1),
            (Err(why), Some(reason)) if why.contains(reason) => {}
            (got, reason) => panic!("{jwk}: {got:?}, expected {reason:?}"),
        }
        // Beside a good one, a bad one is left out.
        let good = changed(&es, "kid", json!("good"));
        let both = KeySet::parse(set(&[jwk, good]).as_bytes()).unwrap();
        assert_eq!(both.keys.len(), if reason.is_none() { 2 } else { 1 });
    }
    let many: Vec<Value> = (0..=KEYS).map(|n| changed(&es, "kid", json!(n.to_string()))).collect();
    for (document, reason) in [
        (set(&many).as_str(), "more than 100 keys"),
        ("{\"keys\":[]}", "it is empty"),
        ("{\"keys\":{}}", "no `keys`"),
        ("{}", "no `keys`"),
        ("[]", "not a JSON object"),
        ("<html>", "not a JSON object"),
        ("", "not a JSON object"),
    ] {
        assert!(KeySet::parse(document.as_bytes()).unwrap_err().contains(reason), "{document}");
    }
}

#[test]
fn which_key() {
    let (a, b) = (Signer::new("a", Algorithm::ES256), Signer::new("b", Algorithm::ES256));
    let rs = changed(&Signer::new("r", Algorithm::RS256).jwk(), "alg", json!("RS256"));
    let mut nameless = Signer::new("", Algorithm::EdDSA).jwk();
    nameless.as_object_mut().unwrap().remove("kid");
    let all = KeySet::parse(set(&[a.jwk(), b.jwk(), rs.clone(), nameless]).as_bytes()).unwrap();
    let find = |set: &KeySet, algorithm, id| set.find(Wanted { algorithm, id }).map(|key| key.id.clone());
    use Algorithm::{ES256, ES384, EdDSA, PS256, RS256};
    assert_eq!(find(&all, ES256, Some("a")), Ok(Some("a".into())));
    assert_eq!(find(&all, ES256, Some("b")), Ok(Some("b".into())));
    assert_eq!(find(&all, ES256, None), Err(Absent::Several));
    assert_eq!(find(&all, RS256, None), Ok(Some("r".into())));
    assert_eq!(find(&all, PS256, None), Err(Absent::Unknown), "the key's own alg is honoured");
    assert_eq!(find(&all, PS256, Some("r")), Err(Absent::Unfit));
    assert_eq!(find(&all, RS256, Some("a")), Err(Absent::Unfit));
    assert_eq!(find(&all, ES384, Some("a")), Err(Absent::Unfit));
    assert_eq!(find(&all, ES256, Some("c")), Err(Absent::Unknown));
    assert_eq!(find(&all, EdDSA, Some("anything")), Ok(None), "a key without a name may be meant");
    assert_eq!(find(&all, Algorithm::HS256, None), Err(Absent::Unknown));
    assert_eq!(find(&all, Algorithm::HS256, Some("a")), Err(Absent::Unfit));
    let twice = KeySet::parse(set(&[a.jwk(), changed(&b.jwk(), "kid", json!("a"))]).as_bytes()).unwrap();
    assert_eq!(find(&twice, ES256, Some("a")), Err(Absent::Several));
}

#[tokio::test]
async fn a_key_as_openssl_writes_it() {
    for (_, algorithm) in ALGORITHMS {
        let signer = Signer::new("x", algorithm);
        let keys = Jwks::fixed(KeySet::from_pem(&signer.pem()).unwrap());
        let key = keys.key(Wanted { algorithm, id: Some("whatever") }).await.unwrap();
        let token = signer.token(json!({}), &json!({}));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert!(jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key.decoding(), algorithm).unwrap());
    }
    assert!(KeySet::from_pem("nothing").unwrap_err().contains("BEGIN PUBLIC KEY"));
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    assert!(KeySet::from_pem(private).unwrap_err().contains("BEGIN PUBLIC KEY"));
    let garbage = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    assert!(KeySet::from_pem(garbage).unwrap_err().contains("neither"));
}

fn pace(fresh: u64, apart: u64, stale: u64) -> Pace {
    let [fresh, apart, stale] = [fresh, apart, stale].map(Duration::from_millis);
    Pace { fresh, apart, stale }
}

async fn server(keys: String) -> Server {
    Server::start(move |_| fake::json(&keys)).await
}

fn jwks(server: &Server, pace: Pace) -> Arc<Jwks> {
    let url = Url::parse(&format!("{}/keys", server.url)).unwrap();
    Arc::new(Jwks::new(Place::Url(url), server.client(), pace))
}

fn wanted(id: &str) -> Wanted<'_> {
    Wanted { algorithm: Algorithm::ES256, id: Some(id) }
}

async fn refused(jwks: &Jwks, id: &str) -> bool {
    matches!(jwks.key(wanted(id)).await, Err(Denied::Refused(_)))
}

async fn unavailable(jwks: &Jwks, id: &str) -> bool {
    matches!(jwks.key(wanted(id)).await, Err(Denied::Unavailable(_)))
}

const HOURS: u64 = 3_600_000;

#[tokio::test]
async fn a_flood_of_unknown_keys_is_no_flood_of_fetches() {
    let (a, b) = (Signer::new("a", Algorithm::ES256).jwk(), Signer::new("b", Algorithm::ES256).jwk());
    let server = server(set(std::slice::from_ref(&a))).await;
    let keys = jwks(&server, pace(HOURS, 400, HOURS));
    keys.key(wanted("a")).await.unwrap();
    assert_eq!(server.requests(), 1);
    for n in 0..200 {
        assert!(refused(&keys, &format!("made-up-{n}")).await);
        keys.key(wanted("a")).await.unwrap();
    }
    assert_eq!(server.requests(), 1, "within a while of the last fetch");
    // Rotated: the new key is there once that while is over, by one fetch.
    server.answer(move |_| fake::json(&set(&[a.clone(), b.clone()])));
    assert!(refused(&keys, "b").await);
    tokio::time::sleep(Duration::from_millis(450)).await;
    keys.key(wanted("b")).await.unwrap();
    keys.key(wanted("a")).await.unwrap();
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn one_fetch_for_all_who_wait() {
    let body = set(&[Signer::new("a", Algorithm::ES256).jwk()]);
    let Answer::Bytes(bytes) = fake::json(&body) else { panic!() };
    let server = Server::start(move |_| Answer::Late(Duration::from_millis(100), bytes.clone())).await;
    let keys = jwks(&server, pace(HOURS, HOURS, HOURS));
    // The one who asked first hangs up.
    let first = tokio::time::timeout(Duration::from_millis(20), keys.key(wanted("a"))).await;
    assert!(first.is_err());
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let keys = Arc::clone(&keys);
        all.spawn(async move { keys.key(wanted("a")).await.is_ok() });
    }
    assert!(all.join_all().await.into_iter().all(|found| found));
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn requests_that_wait_are_bounded() {
    let server = Server::start(|_| Answer::Nothing).await;
    let keys = jwks(&server, pace(HOURS, HOURS, HOURS));
    let mut all = tokio::task::JoinSet::new();
    let began = Instant::now();
    for _ in 0..500 {
        let keys = Arc::clone(&keys);
        all.spawn(async move { unavailable(&keys, "a").await });
    }
    assert!(all.join_all().await.into_iter().all(|unavailable| unavailable));
    assert!(began.elapsed() < Duration::from_secs(4), "one time-out for all");
    assert_eq!(server.requests(), 1);
    let again = Instant::now();
    assert!(unavailable(&keys, "a").await);
    assert!(again.elapsed() < Duration::from_millis(300), "not asked again so soon");
}

#[tokio::test]
async fn known_keys_go_on_while_the_issuer_is_away() {
    let body = set(&[Signer::new("a", Algorithm::ES256).jwk()]);
    let server = server(body.clone()).await;
    let keys = jwks(&server, pace(50, 100, 2_000));
    keys.key(wanted("a")).await.unwrap();
    let fetched = Instant::now();
    server.answer(|_| Answer::Nothing);
    tokio::time::sleep(Duration::from_millis(110)).await;
    // One request may find that the issuer does not answer; from then on nobody waits for it.
    keys.key(wanted("a")).await.unwrap();
    for _ in 0..20 {
        let began = Instant::now();
        keys.key(wanted("a")).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(200), "a known key waits for nobody");
    }
    server.answer(|_| fake::status("500 Internal Server Error", "", ""));
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(unavailable(&keys, "b").await, "whether it is published cannot be known");
    keys.key(wanted("a")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2_050).saturating_sub(fetched.elapsed())).await;
    assert!(unavailable(&keys, "a").await, "not for ever");
    server.answer(move |_| fake::json(&body));
    tokio::time::sleep(Duration::from_millis(110)).await;
    keys.key(wanted("a")).await.unwrap();
    assert!(refused(&keys, "b").await);
}

#[tokio::test]
async fn a_key_that_was_withdrawn_ends() {
    let (a, b) = (Signer::new("a", Algorithm::ES256).jwk(), Signer::new("b", Algorithm::ES256).jwk());
    let server = server(set(&[a, b.clone()])).await;
    let keys = jwks(&server, pace(100, 10, HOURS));
    keys.key(wanted("a")).await.unwrap();
    let only = set(&[b]);
    server.answer(move |_| fake::json(&only));
    // In use: the set is fetched beside the requests.
    tokio::time::sleep(Duration::from_millis(110)).await;
    let began = Instant::now();
    while keys.key(wanted("a")).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(2), "withdrawn, and still taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // After a pause: before the first of them.
    let c = Signer::new("c", Algorithm::ES256).jwk();
    let other = set(&[c]);
    server.answer(move |_| fake::json(&other));
    tokio::time::sleep(Duration::from_millis(210)).await;
    assert!(refused(&keys, "b").await);
    keys.key(wanted("c")).await.unwrap();
}

#[tokio::test]
async fn a_set_that_turned_bad_does_not_replace_a_good_one() {
    let server = server(set(&[Signer::new("a", Algorithm::ES256).jwk()])).await;
    let keys = jwks(&server, pace(20, 20, HOURS));
    keys.key(wanted("a")).await.unwrap();
    for bad in ["{\"keys\":[]}", "<html>sign in</html>", "{}"] {
        server.answer(move |_| fake::json(bad));
        tokio::time::sleep(Duration::from_millis(60)).await;
        keys.key(wanted("a")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(60)).await;
        keys.key(wanted("a")).await.unwrap();
        assert!(unavailable(&keys, "b").await);
    }
}

#[tokio::test]
async fn discovery() {
    let body = set(&[Signer::new("a", Algorithm::ES256).jwk()]);
    let server = Server::start(|_| Answer::Nothing).await;
    let issuer = format!("{}/realms/x", server.url);
    // Which path answers with which document; what becomes of it.
    let metadata = |issuer: &str, keys: &str| json!({"issuer": issuer, "jwks_uri": keys}).to_string();
    let keys_url = format!("{}/certs", server.url);
    let good = metadata(&issuer, &keys_url);
    let table: [(&str, String, Option<&str>); 7] = [
        ("/realms/x/.well-known/openid-configuration", good.clone(), None),
        ("/.well-known/oauth-authorization-server/realms/x", good, None),
        (
            "/realms/x/.well-known/openid-configuration",
            metadata(&format!("{issuer}/"), &keys_url),
            Some("names another issuer"),
        ),
        (
            "/realms/x/.well-known/openid-configuration",
            metadata(&issuer, "https://169.254.169.254/keys"),
            Some("write `jwks_url: https://169.254.169.254/keys`"),
        ),
        (
            "/realms/x/.well-known/openid-configuration",
            metadata(&issuer, &keys_url.replace("https", "http")),
            Some("must start with `https://`"),
        ),
        ("/realms/x/.well-known/openid-configuration", json!({"issuer": issuer}).to_string(), Some("no `jwks_uri`")),
        ("/realms/x/.well-known/openid-configuration", "<html>".into(), Some("not JSON")),
    ];
    for (path, document, reason) in table {
        let body = body.clone();
        server.answer(move |request| {
            let asked = request.split(' ').nth(1).unwrap();
            match asked {
                "/certs" => fake::json(&body),
                _ if asked == path => fake::json(&document),
                _ => fake::status("404 Not Found", "", ""),
            }
        });
        let place = Place::Issuer(issuer.clone(), Url::parse(&issuer).unwrap());
        let keys = Jwks::new(place, server.client(), pace(HOURS, 1, HOURS));
        match (keys.key(wanted("a")).await, reason) {
            (Ok(_), None) => {}
            (Err(Denied::Unavailable(why)), Some(reason)) if why.contains(reason) => {}
            (got, reason) => panic!("{path}: {got:?}, expected {reason:?}"),
        }
    }
}

#[tokio::test]
async fn the_same_issuer_has_the_same_keys() {
    let sets = KeySets::default();
    let server = server(set(&[Signer::new("a", Algorithm::ES256).jwk()])).await;
    let trust = Trust { ca: Some(server.ca.clone()), private_network: false };
    let place = || Place::Url(Url::parse(&format!("{}/keys", server.url)).unwrap());
    let (one, two) = (sets.get(place(), &trust).unwrap(), sets.get(place(), &trust).unwrap());
    one.key(wanted("a")).await.unwrap();
    two.key(wanted("a")).await.unwrap();
    assert_eq!(server.requests(), 1);
    let other = sets.get(place(), &Trust { private_network: true, ..trust.clone() }).unwrap();
    assert!(!Arc::ptr_eq(&one, &other), "another trust is another set");
    drop((one, two, other));
    sets.get(place(), &trust).unwrap().key(wanted("a")).await.unwrap();
    assert_eq!(server.requests(), 2, "nobody used it any more");
}
