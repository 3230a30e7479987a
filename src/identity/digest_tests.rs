//! Digest against the examples of RFC 7616, and against whoever does not follow it.

use super::super::counts::tests::{Memory, counts};
use super::super::counts::{LIFE, SKEW};
use super::super::token::SigningKey;
use super::*;
use crate::sql::Failure;
use hyper::{HeaderMap, Method};
use std::sync::Arc;

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

/// What another process of the service has, of what is shared and what is not.
struct Process {
    keys: Keyring,
    seen: Seen,
    counts: Counts,
}

impl Process {
    fn new() -> Self {
        Self { keys: ring(), seen: Seen::default(), counts: counts() }
    }
}

/// A request's way: whether its proof is right, and whether it was used before.
fn check(
    parameters: &str,
    digest: &Digest,
    process: &Process,
    may_try: impl Fn(&str) -> Result<(), Duration>,
) -> Result<Session, Refused> {
    let (headers, Process { keys, seen, counts }) = (HeaderMap::new(), process);
    let presented = presented(&headers, "/scim/v2/Users?count=1");
    let proof = prove(parameters, digest, "hr", &presented, keys, seen, may_try)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(take(proof, counts, seen))
}

/// `Ok`, `stale`, or why not.
fn outcome(client: &Client, digest: &Digest, process: &Process, nonce: &str) -> String {
    match check(&client.parameters(nonce), digest, process, |_| Ok(())) {
        Ok(session) => format!("{} {} {}", session.credential, session.method, session.read_only),
        Err(Refused::Wrong { stale: true, guess: None, .. }) => "stale".to_owned(),
        Err(Refused::Wrong { why, guess: Some(_), .. }) => why.into_owned(),
        Err(Refused::Unavailable(why)) => why,
        Err(_) => "something else".to_owned(),
    }
}

const GOOD: &str = "Mufasa digest false";

#[test]
fn what_is_taken_and_what_is_not() {
    let one = Process::new();
    let all = digest(&[DigestAlgorithm::Sha256, DigestAlgorithm::Sha512_256]);
    let try_ = |client: Client| {
        let nonce = nonce("hr", &one.keys, now()).unwrap();
        outcome(&client, &all, &one, &nonce)
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
    let (process, md5) = (Process::new(), digest(&[DigestAlgorithm::Md5]));
    for named in [Some("MD5"), None] {
        let client = Client { algorithm: DigestAlgorithm::Md5, named, ..Client::default() };
        let nonce = nonce("hr", &process.keys, now()).unwrap();
        assert_eq!(outcome(&client, &md5, &process, &nonce), GOOD);
    }
}

/// A nonce is good for one identity server, for five minutes, under keys that are known, and each count once; what is not
/// is stale where the password was right, and nothing but wrong where it was not.
#[test]
fn nonces() {
    let (process, other, one) = (Process::new(), ring(), digest(&[DigestAlgorithm::Sha256]));
    let keys = &process.keys;
    let client = |nc| Client { nc, ..Client::default() };
    let try_ = |nc, nonce: &str| outcome(&client(nc), &one, &process, nonce);
    let good = nonce("hr", keys, now()).unwrap();
    assert_eq!(try_("00000001", &good), GOOD);
    assert_eq!(try_("00000001", &good), "stale", "played again");
    assert_eq!(try_("00000003", &good), GOOD, "a count was lost");
    assert_eq!(try_("00000002", &good), GOOD, "and came late");
    assert_eq!(try_("00000002", &good), "stale");
    assert_eq!(try_("ffffffff", &good), GOOD);
    assert_eq!(try_("00000004", &good), GOOD, "however far behind");
    assert_eq!(try_("00000004", &good), "stale");
    assert_eq!(try_("FFFFFFFF", &good), "stale", "the same count");

    let age = |microseconds: i64| nonce("hr", keys, now() - microseconds).unwrap();
    assert_eq!(try_("00000001", &age(LIFE - 5_000_000)), GOOD);
    assert_eq!(try_("00000001", &age(LIFE + 1_000_000)), "stale");
    assert_eq!(try_("00000001", &age(5_000_000 - SKEW)), GOOD);
    assert_eq!(try_("00000001", &age(-SKEW - 5_000_000)), "stale");
    assert_eq!(try_("00000001", &nonce("other", keys, now()).unwrap()), "stale", "of another identity server");
    assert_eq!(try_("00000001", &nonce("hr", &other, now()).unwrap()), "stale", "of other keys");
    let mut bytes = URL_SAFE_NO_PAD.decode(&good).unwrap();
    bytes[0] ^= 1;
    assert_eq!(try_("00000001", &URL_SAFE_NO_PAD.encode(bytes)), "stale", "another time under the same MAC");
    for made_up in ["", "x", "....", &"A".repeat(43), &"A".repeat(5000)] {
        assert_eq!(try_("00000001", made_up), "stale", "{made_up:.50}");
    }
    // Without the password a bad nonce is not told from a good one.
    let guess = Client { password: "guess", ..Client::default() };
    for nonce in [nonce("hr", keys, now()).unwrap(), age(LIFE * 2), "x".to_owned()] {
        assert_eq!(outcome(&guess, &one, &process, &nonce), "the user name or the password is wrong");
    }
}

/// The database is asked once for each request that is right and was not seen here, and for nothing else; one that cannot be
/// asked lets nobody in, and calls nothing used.
#[test]
fn what_the_database_is_asked() {
    let store = Arc::new(Memory::default());
    let (process, one) = (Process { counts: store.counts(), ..Process::new() }, digest(&[DigestAlgorithm::Sha256]));
    let client = |nc| Client { nc, ..Client::default() };
    let good = nonce("hr", &process.keys, now()).unwrap();
    let try_ = |client: &Client, nonce: &str| outcome(client, &one, &process, nonce);
    assert_eq!(try_(&client("00000001"), &good), GOOD);
    assert_eq!((try_(&client("00000001"), &good).as_str(), store.asked()), ("stale", 1), "this process has seen it");
    let old = nonce("hr", &process.keys, now() - LIFE - 1_000_000).unwrap();
    assert_eq!(try_(&client("00000001"), &old), "stale");
    assert_eq!(try_(&client("00000001"), &nonce("hr", &ring(), now()).unwrap()), "stale");
    let guess = Client { password: "guess", nc: "00000002", ..Client::default() };
    for nonce in [&good, &old, "x"] {
        assert_eq!(try_(&guess, nonce), "the user name or the password is wrong");
    }
    assert_eq!(store.asked(), 1, "a guess, or a nonce that cannot be used, asks nobody");

    store.fails(Some(Failure::Connection));
    for _ in 0..2 {
        assert_eq!(try_(&client("00000002"), &good), "down");
        assert_eq!(try_(&client("00000001"), &good), "stale", "known without it");
    }
    store.fails(None);
    assert_eq!(try_(&client("00000002"), &good), GOOD, "it was never used");
    assert_eq!(store.asked(), 4);
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
    let (process, one) = (Process::new(), digest(&[DigestAlgorithm::Sha256]));
    let Process { keys, seen, .. } = &process;
    let try_ = |client: &Client, nonce: &str, held: bool| {
        let hold = |_: &str| if held { Err(Duration::from_secs(9)) } else { Ok(()) };
        match check(&client.parameters(nonce), &one, &process, hold) {
            Ok(_) => "taken",
            Err(Refused::Wrong { stale: true, .. }) => "stale",
            Err(Refused::Wrong { .. }) => "wrong",
            Err(Refused::TooMany { .. }) => "held",
            Err(_) => "something else",
        }
    };
    let client = |nc| Client { nc, ..Client::default() };
    let guess = Client { password: "guess", ..Client::default() };
    let fresh = || nonce("hr", keys, now()).unwrap();
    assert_eq!(try_(&guess, &fresh(), true), "held");
    assert_eq!(try_(&client("00000001"), &fresh(), true), "held", "nothing tells it from a guess");
    let known = nonce("hr", keys, now() - LIFE + 2_000_000).unwrap();
    assert_eq!(try_(&client("00000001"), &known, false), "taken");
    assert_eq!(try_(&client("00000002"), &known, true), "taken");
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(try_(&client("00000003"), &known, true), "stale");
    let given = challenges(&one, "hr", keys, seen, true);
    let (_, given) = given[0].split_once("nonce=\"").unwrap();
    let given = given.split('"').next().unwrap();
    assert_eq!(try_(&client("00000001"), given, true), "taken");
    assert_eq!(try_(&client("00000001"), given, true), "stale");
}
