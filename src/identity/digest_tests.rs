//! Digest against the examples of RFC 7616, and against whoever does not follow it.

use super::super::token::SigningKey;
use super::*;
use hyper::{HeaderMap, Method};

fn ring() -> Keyring {
    let (stored, _) = SigningKey::generate().unwrap();
    Keyring::new(vec![SigningKey::read("k", &stored).unwrap()], Some(0))
}

fn digest(algorithms: &[DigestAlgorithm]) -> Digest {
    let ha1 =
        |algorithm: &DigestAlgorithm| (*algorithm, Secret::new(algorithm.ha1("Mufasa", "scim", "Circle of Life")));
    Digest { username: "Mufasa".into(), realm: "scim".into(), ha1: algorithms.iter().map(ha1).collect() }
}

/// What a client sends, each part of which a test may change.
struct Client {
    username: String,
    password: &'static str,
    realm: &'static str,
    uri: &'static str,
    method: &'static str,
    nc: &'static str,
    cnonce: &'static str,
    qop: &'static str,
    algorithm: DigestAlgorithm,
    named: Option<&'static str>,
    more: &'static str,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            username: "username=\"Mufasa\"".into(),
            password: "Circle of Life",
            realm: "scim",
            uri: "/scim/v2/Users?count=1",
            method: "GET",
            nc: "00000001",
            cnonce: "f2/wE4q74E6zIJEt",
            qop: "auth",
            algorithm: DigestAlgorithm::Sha256,
            named: Some("SHA-256"),
            more: "",
        }
    }
}

impl Client {
    fn parameters(&self, nonce: &str) -> String {
        let Self { username, realm, uri, nc, cnonce, qop, algorithm, more, .. } = self;
        let ha1 = algorithm.ha1("Mufasa", realm, self.password);
        let ha2 = algorithm.hash(&[self.method, uri]);
        let response = algorithm.hash(&[&ha1, nonce, nc, cnonce, qop, &ha2]);
        let named = self.named.map(|name| format!(", algorithm={name}")).unwrap_or_default();
        format!(
            "{username}, realm=\"{realm}\", uri=\"{uri}\"{named}, nonce=\"{nonce}\", nc={nc}, cnonce=\"{cnonce}\", \
             qop={qop}, response=\"{response}\"{more}"
        )
    }
}

fn presented<'a>(headers: &'a HeaderMap, target: &'a str) -> Presented<'a> {
    let client = "192.0.2.1".parse().unwrap();
    Presented { method: &Method::GET, target, headers, client, client_known: true, certificate: None }
}

/// `Ok`, `stale`, or why not.
fn outcome(client: &Client, digest: &Digest, keys: &Keyring, seen: &Seen, nonce: &str) -> String {
    let headers = HeaderMap::new();
    let parameters = client.parameters(nonce);
    match check(&parameters, digest, "hr", &presented(&headers, "/scim/v2/Users?count=1"), keys, seen, |_| Ok(())) {
        Ok(session) => format!("{} {} {}", session.credential, session.method, session.read_only),
        Err(Refused::Wrong { stale: true, guess: None, .. }) => "stale".to_owned(),
        Err(Refused::Wrong { why, guess: Some(_), .. }) => why.into_owned(),
        Err(_) => "something else".to_owned(),
    }
}

const GOOD: &str = "Mufasa digest false";

#[test]
fn what_is_taken_and_what_is_not() {
    let keys = ring();
    let all = digest(&[DigestAlgorithm::Sha256, DigestAlgorithm::Sha512_256]);
    let try_ = |client: Client| {
        let nonce = nonce("hr", &keys, now()).unwrap();
        outcome(&client, &all, &keys, &Seen::since(0, MOST), &nonce)
    };
    let some = Client::default;
    assert_eq!(try_(some()), GOOD);
    assert_eq!(try_(Client { algorithm: DigestAlgorithm::Sha512_256, named: Some("sha-512-256"), ..some() }), GOOD);
    assert_eq!(try_(Client { named: Some("\"SHA-256\""), ..some() }), GOOD);
    assert_eq!(try_(Client { more: ", opaque=\"x\", charset=UTF-8", ..some() }), GOOD);
    assert_eq!(try_(Client { username: "username*=UTF-8''Mufa%73a".into(), ..some() }), GOOD);
    let hashed = DigestAlgorithm::Sha256.hash(&["Mufasa", "scim"]);
    assert_eq!(try_(Client { username: format!("username=\"{hashed}\", userhash=true"), ..some() }), GOOD);

    let wrong = "the user name or the password is wrong";
    for (client, why) in [
        (Client { password: "circle of life", ..some() }, wrong),
        (Client { username: "username=\"mufasa\"".into(), ..some() }, wrong),
        (Client { username: "username=\"Scar\"".into(), ..some() }, wrong),
        (Client { username: format!("username=\"{hashed}\""), ..some() }, wrong),
        (Client { username: "username=\"Mufasa\", userhash=true".into(), ..some() }, wrong),
        (Client { method: "DELETE", ..some() }, wrong),
        (Client { username: "username=\"Mufasa\", userhash=maybe".into(), ..some() }, "neither true nor false"),
        (Client { username: "username=\"Mufasa\", username*=UTF-8''Mufasa".into(), ..some() }, "or two"),
        (Client { username: "username*=ISO-8859-1''Mufasa".into(), ..some() }, "cannot be read"),
        (Client { username: "user=\"Mufasa\"".into(), ..some() }, "no user name"),
        (Client { realm: "other", ..some() }, "another realm"),
        (Client { uri: "/scim/v2/Users?count=2", ..some() }, "not this request's target"),
        (Client { uri: "/scim/v2/Users", ..some() }, "not this request's target"),
        (Client { uri: "/app/scim/v2/Users?count=1", ..some() }, "not this request's target"),
        (Client { uri: "*", ..some() }, "not this request's target"),
        (Client { qop: "auth-int", ..some() }, "qop=auth"),
        (Client { nc: "00000000", ..some() }, "eight hexadecimal"),
        (Client { nc: "1", ..some() }, "eight hexadecimal"),
        (Client { nc: "+0000001", ..some() }, "eight hexadecimal"),
        (Client { nc: "000000001", ..some() }, "eight hexadecimal"),
        (Client { cnonce: "", ..some() }, "cnonce"),
        (Client { algorithm: DigestAlgorithm::Md5, named: Some("MD5"), ..some() }, "does not take this Digest"),
        (Client { algorithm: DigestAlgorithm::Md5, named: None, ..some() }, "does not take this Digest"),
        (Client { named: Some("SHA-256-sess"), ..some() }, "not known here"),
        (Client { named: Some("SHA-512-256"), ..some() }, wrong),
        (Client { more: ", nc=00000002", ..some() }, "cannot be read"),
        (Client { more: ", NC=00000002", ..some() }, "cannot be read"),
        (Client { more: ", x", ..some() }, "cannot be read"),
        (Client { more: ", x=\"", ..some() }, "cannot be read"),
        (Client { more: " x=y", ..some() }, "cannot be read"),
    ] {
        let parameters = client.parameters("N");
        let got = try_(client);
        assert!(got.contains(why), "{parameters}: {got}");
    }
    // Absolute form: the origin is Host's business.
    assert_eq!(try_(Client { uri: "https://scim.example.com/scim/v2/Users?count=1", ..some() }), GOOD);
    assert!(try_(Client { uri: "https://scim.example.com", ..some() }).contains("target"));
    assert!(try_(Client { uri: "ftp://x/scim/v2/Users?count=1", ..some() }).contains("target"));
}

#[test]
fn md5_where_it_was_asked_for() {
    let (keys, md5) = (ring(), digest(&[DigestAlgorithm::Md5]));
    for named in [Some("MD5"), None] {
        let client = Client { algorithm: DigestAlgorithm::Md5, named, ..Client::default() };
        let nonce = nonce("hr", &keys, now()).unwrap();
        assert_eq!(outcome(&client, &md5, &keys, &Seen::since(0, MOST), &nonce), GOOD);
    }
}

/// A nonce is good for one identity server, for five minutes, under keys that are known, and each count once; what is not
/// is stale where the password was right, and nothing but wrong where it was not.
#[test]
fn nonces() {
    let (keys, other, one) = (ring(), ring(), digest(&[DigestAlgorithm::Sha256]));
    let seen = Seen::since(0, MOST);
    let client = |nc| Client { nc, ..Client::default() };
    let try_ = |nc, nonce: &str| outcome(&client(nc), &one, &keys, &seen, nonce);
    let good = nonce("hr", &keys, now()).unwrap();
    assert_eq!(try_("00000001", &good), GOOD);
    assert_eq!(try_("00000001", &good), "stale", "played again");
    assert_eq!(try_("00000003", &good), GOOD, "a count was lost");
    assert_eq!(try_("00000002", &good), GOOD, "and came late");
    assert_eq!(try_("00000002", &good), "stale");
    assert_eq!(try_("ffffffff", &good), GOOD);
    assert_eq!(try_("00000004", &good), "stale", "too far behind");

    let age = |microseconds: i64| nonce("hr", &keys, now() - microseconds).unwrap();
    assert_eq!(try_("00000001", &age(LIFE - 5_000_000)), GOOD);
    assert_eq!(try_("00000001", &age(LIFE + 1_000_000)), "stale");
    assert_eq!(try_("00000001", &age(5_000_000 - SKEW)), GOOD);
    assert_eq!(try_("00000001", &age(-SKEW - 5_000_000)), "stale");
    assert_eq!(try_("00000001", &nonce("other", &keys, now()).unwrap()), "stale", "of another identity server");
    assert_eq!(try_("00000001", &nonce("hr", &other, now()).unwrap()), "stale", "of other keys");
    let mut bytes = URL_SAFE_NO_PAD.decode(&good).unwrap();
    bytes[0] ^= 1;
    assert_eq!(try_("00000001", &URL_SAFE_NO_PAD.encode(bytes)), "stale", "another time under the same MAC");
    for made_up in ["", "x", "....", &"A".repeat(43), &"A".repeat(5000)] {
        assert_eq!(try_("00000001", made_up), "stale", "{made_up:.50}");
    }
    // Without the password a bad nonce is not told from a good one.
    let guess = Client { password: "guess", ..Client::default() };
    for nonce in [nonce("hr", &keys, now()).unwrap(), age(LIFE * 2), "x".to_owned()] {
        assert_eq!(outcome(&guess, &one, &keys, &seen, &nonce), "the user name or the password is wrong");
    }
}

/// What falls out of the table is never taken again, and neither is what was given before the process began.
#[test]
fn what_is_kept_is_bounded() {
    let start = 1_000_000_000;
    let seen = Seen::since(start, 100);
    let nonce = |at: i64| (start + at, [0; 8]);
    assert!(!seen.take(nonce(-1), 1, start), "given by a process before this one");
    for at in 1..=1000 {
        assert!(seen.take(nonce(at), 1, start + 1000));
        assert!(seen.inner.lock().unwrap().windows.len() <= 100);
    }
    for at in 1..=1000 {
        assert!(!seen.take(nonce(at), 1, start + 1000), "{at} is taken a second time");
    }
    assert!(!seen.take(nonce(500), 2, start + 1000), "forgotten, so not taken with any count");
    assert!(seen.take(nonce(950), 2, start + 1000));
    // Later, what has ended is forgotten.
    assert!(seen.take(nonce(KNOWN * 2), 1, start + KNOWN * 2));
    assert_eq!(seen.inner.lock().unwrap().windows.len(), 1);
}

#[test]
fn challenges_of_each_algorithm() {
    let keys = ring();
    let two = digest(&[DigestAlgorithm::Sha512_256, DigestAlgorithm::Sha256]);
    let seen = Seen::default();
    let given = challenges(&two, "hr", &keys, &seen, true);
    assert_eq!(given.len(), 2);
    assert!(given[0].starts_with("Digest realm=\"scim\", qop=\"auth\", algorithm=SHA-512-256, nonce=\""));
    assert!(given[0].contains(", stale=true, charset=UTF-8, userhash=true"));
    assert!(!challenges(&two, "hr", &keys, &seen, false)[0].contains("stale"));
    assert!(challenges(&two, "hr", &Keyring::new(Vec::new(), None), &seen, false).is_empty());
}

/// While guesses come from a client's own address, the client goes on with the nonce it used, and with the one it is given for
/// it when that is too old; a guess is not even looked at.
#[test]
fn who_is_known_is_not_held_up() {
    let (keys, one, seen) = (ring(), digest(&[DigestAlgorithm::Sha256]), Seen::since(0, MOST));
    let headers = HeaderMap::new();
    let try_ = |client: &Client, nonce: &str, held: bool| {
        let presented = presented(&headers, "/scim/v2/Users?count=1");
        let hold = |_: &str| if held { Err(Duration::from_secs(9)) } else { Ok(()) };
        match check(&client.parameters(nonce), &one, "hr", &presented, &keys, &seen, hold) {
            Ok(_) => "taken",
            Err(Refused::Wrong { stale: true, .. }) => "stale",
            Err(Refused::Wrong { .. }) => "wrong",
            Err(Refused::TooMany { .. }) => "held",
            Err(_) => "something else",
        }
    };
    let client = |nc| Client { nc, ..Client::default() };
    let guess = Client { password: "guess", ..Client::default() };
    let fresh = || nonce("hr", &keys, now()).unwrap();
    assert_eq!(try_(&guess, &fresh(), true), "held");
    assert_eq!(try_(&client("00000001"), &fresh(), true), "held", "nothing tells it from a guess");
    let known = nonce("hr", &keys, now() - LIFE + 2_000_000).unwrap();
    assert_eq!(try_(&client("00000001"), &known, false), "taken");
    assert_eq!(try_(&client("00000002"), &known, true), "taken");
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(try_(&client("00000003"), &known, true), "stale");
    let given = challenges(&one, "hr", &keys, &seen, true);
    let (_, given) = given[0].split_once("nonce=\"").unwrap();
    let given = given.split('"').next().unwrap();
    assert_eq!(try_(&client("00000001"), given, true), "taken");
    assert_eq!(try_(&client("00000001"), given, true), "stale");
}
