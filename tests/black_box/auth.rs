//! The ways to authenticate, each as its client speaks it: curl, and requests made by hand where a test must know every byte.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::Digest as _;

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{BINARY, Options, Service, describe, signal};

/// A password, and a hash of it that PHP made.
pub const PASSWORD: &str = "rasmuslerdorf";
pub const HASH: &str = "$2y$10$.vGA1O9wmRjrwAVXD98HNOgsNpDczlqm3Jq7KnEd1rVAGv3Fykk1a";

/// The value of an `Authorization` header (RFC 7617 2).
pub fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// A Digest client (RFC 7616 3.4) that can be wrong in each of its parts.
pub struct DigestClient {
    pub username: String,
    pub password: String,
    pub realm: String,
    pub uri: String,
    pub method: String,
    pub nc: String,
    pub cnonce: String,
    pub qop: Option<&'static str>,
    pub named: Option<&'static str>,
    pub hashed: &'static str,
    pub nonce: Option<String>,
    pub more: String,
    pub cut: usize,
}

impl DigestClient {
    /// One that is right.
    pub fn new(uri: &str) -> Self {
        Self {
            username: "username=\"hr\"".to_owned(),
            password: PASSWORD.to_owned(),
            realm: "scim".to_owned(),
            uri: uri.to_owned(),
            method: "GET".to_owned(),
            nc: "00000001".to_owned(),
            cnonce: "f2/wE4q74E6zIJEt".to_owned(),
            qop: Some("auth"),
            named: Some("SHA-256"),
            hashed: "SHA-256",
            nonce: None,
            more: String::new(),
            cut: 0,
        }
    }

    /// The nonce of a challenge.
    pub fn nonce(challenge: &str) -> String {
        let (_, rest) = challenge.split_once("nonce=\"").unwrap_or_else(|| panic!("no nonce in {challenge}"));
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    fn hash(&self, parts: &[&str]) -> String {
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = parts.join(":");
        match self.hashed {
            "MD5" => hexadecimal(&md5::Md5::digest(text)),
            "SHA-512-256" => hexadecimal(&sha2::Sha512_256::digest(text)),
            _ => hexadecimal(&sha2::Sha256::digest(text)),
        }
    }

    pub fn authorization(&self, nonce: &str) -> String {
        let ha1 = self.hash(&["hr", &self.realm, &self.password]);
        let ha2 = self.hash(&[&self.method, &self.uri]);
        let response = match self.qop {
            Some(qop) => self.hash(&[&ha1, nonce, &self.nc, &self.cnonce, qop, &ha2]),
            None => self.hash(&[&ha1, nonce, &ha2]),
        };
        let response = &response[..response.len().saturating_sub(self.cut)];
        let named = self.named.map(|name| format!(", algorithm={name}")).unwrap_or_default();
        let qop = self.qop.map(|qop| format!(", qop={qop}")).unwrap_or_default();
        let Self { username, realm, uri, nc, cnonce, more, .. } = self;
        format!(
            "Digest {username}, realm=\"{realm}\", uri=\"{uri}\"{named}, nonce=\"{nonce}\", nc={nc}, cnonce=\"{cnonce}\"{qop}, \
             response=\"{response}\"{more}"
        )
    }
}

/// `curl`'s status for each of the URLs, over TLS.
fn curl(service: &Service, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--noproxy", "*", "--write-out", "%{http_code} "])
        .arg("--cacert")
        .arg(service.ca_file())
        .args(arguments)
        // One for each URL.
        .args(
            arguments.iter().filter(|argument| argument.starts_with("https:")).flat_map(|_| ["--output", "/dev/null"]),
        )
        .stdin(Stdio::null())
        .output()
        .expect("curl runs (scripts/need test)");
    assert!(output.status.success(), "{}", describe(&output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn secret(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(BINARY)
        .arg("secret")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("scimshim runs");
    child.stdin.take().expect("stdin").write_all(input).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn printed(arguments: &[&str], password: &str) -> String {
    let output = secret(arguments, format!("{password}\n").as_bytes());
    assert!(output.status.success(), "{}", describe(&output));
    assert!(!describe(&output).contains(password), "the password is printed");
    let text = String::from_utf8(output.stdout).expect("text");
    text.strip_suffix('\n').expect("a line").to_owned()
}

fn counter(service: &Service, name: &str) -> u64 {
    let metrics = service.admin("/metrics").expect("metrics");
    let line = metrics.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// What `scimshim secret` prints is what the configuration takes and what curl proves itself against.
#[test]
fn curl_with_what_secret_prints() {
    let password = "a long and random p\u{e4}ssword: \u{1F511}";
    let hash = printed(&["hash"], password);
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    let ha1 =
        printed(&["digest", "--username", "hr", "--algorithm", "sha-256", "--algorithm", "SHA-512-256"], password);
    let md5 = printed(&["digest", "--username", "hr", "--algorithm", "MD5"], password);
    let database = Database::small(Engine::Sqlite);
    let servers = format!(
        "\n  test: {{ default: true }}\n  basic: {{ authentication: {{ basic: {{ username: hr, password_hash: \"{hash}\" }} }} }}\n  \
         digest: {{ authentication: {{ digest: {{ username: hr, ha1: \"{ha1}\", algorithms: SHA-256 }} }} }}\n  \
         stronger: {{ authentication: {{ digest: {{ username: hr, ha1: \"{ha1}\", algorithms: [SHA-512-256, SHA-256] }} }} }}\n  \
         old: {{ authentication: {{ digest: {{ username: hr, ha1: \"{md5}\" }} }} }}\n"
    );
    let service = Service::start(&database, Options::small().identity_servers(&servers));
    let url = |name: &str, path: &str| format!("{}/scim/{name}/v2{path}", service.url());
    let (good, bad) = (format!("hr:{password}"), "hr:wrong");
    assert_eq!(
        curl(&service, &["--basic", "--user", &good, &url("basic", "/Users"), &url("basic", "/Groups")]),
        "200 200"
    );
    assert_eq!(curl(&service, &["--basic", "--user", bad, &url("basic", "/Users")]), "401");
    for name in ["digest", "old"] {
        let (one, two) = (url(name, "/Users?count=1&filter=userName%20pr"), url(name, "/Groups"));
        assert_eq!(curl(&service, &["--digest", "--user", &good, &one, &two, &one]), "200 200 200", "{name}");
        assert_eq!(curl(&service, &["--digest", "--user", bad, &one]), "401", "{name}");
        assert_eq!(curl(&service, &["--anyauth", "--user", &good, &one]), "200", "{name}");
    }
    // Writes: curl asks first and sends the body then.
    let body = client::user("curled", json!({})).to_string();
    let content = "Content-Type: application/scim+json";
    for (scheme, name, user) in [("--digest", "digest", "curled"), ("--basic", "basic", "curled again")] {
        let body = body.replace("curled", user);
        let send = ["--user", &good, scheme, "--header", content, "--data-binary", &body, &url(name, "/Users")];
        assert_eq!(curl(&service, &send), "201");
    }
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 2);
    // A challenge for each algorithm, in the order of the configuration.
    let answer = service.client_with("/scim/stronger/v2", None).get("/Users").expect(401);
    let challenges: Vec<&str> = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(challenges.len(), 2, "{challenges:?}");
    assert!(challenges[0].contains("algorithm=SHA-512-256") && challenges[1].contains("algorithm=SHA-256"));
    let mut client = service.client_with("", None);
    for hashed in ["SHA-512-256", "SHA-256"] {
        let uri = "/scim/stronger/v2/Users";
        let one = DigestClient { password: password.to_owned(), named: Some(hashed), hashed, ..DigestClient::new(uri) };
        let value = one.authorization(&DigestClient::nonce(challenges[0]));
        // One nonce, one count each: the second of them is a replay for the service.
        let status = if hashed == "SHA-256" { 401 } else { 200 };
        client.send("GET", uri, &[("Authorization", &value)], None).expect("an answer").expect(status);
    }
}

/// Basic is derived once; guesses are slowed down and counted, for their address and for their credential, while the client
/// that is right is not held up.
#[test]
fn guesses_are_slowed_and_good_clients_are_not() {
    let hash = printed(&["hash"], PASSWORD);
    let database = Database::small(Engine::Sqlite);
    let servers = format!(
        "{{ test: {{ default: true }}, hr: {{ authentication: {{ basic: {{ username: hr, password_hash: \"{hash}\" }} }} }} }}"
    );
    let options = Options::small().identity_servers(&servers).more("limits: { failures_per_minute: 5 }");
    let service = Service::start(&database, options);
    let mut client = service.client_with("", None);
    let mut ask = |value: &str| {
        client.send("GET", "/scim/hr/v2/Users?count=1", &[("Authorization", value)], None).expect("an answer")
    };
    let right = basic("hr", PASSWORD);
    ask(&right).expect(200);
    for guess in 0..5 {
        ask(&basic("hr", &format!("guess {guess}"))).expect(401);
    }
    let refused = ask(&basic("hr", "guess 5")).expect(429);
    assert!(refused.header("retry-after").and_then(|value| value.parse::<u64>().ok()).is_some_and(|wait| wait <= 60));
    ask(&basic("somebody", "guess")).expect(429);
    let began = Instant::now();
    for _ in 0..50 {
        ask(&right).expect(200);
    }
    let each = began.elapsed() / 50;
    println!("a request with Basic: {each:?}");
    assert!(each < Duration::from_millis(20), "a password that is known is derived again: {each:?} a request");
    service.client().get("/Users").expect(200);
    let failures = counter(&service, "scimshim_authentication_failures_total{scheme=\"basic\"}");
    assert_eq!(failures, 7, "{:?}", service.admin("/metrics"));
    let log = service.stderr();
    assert!(log.contains("not authenticated") && log.contains("\"by\":\"basic\""), "{log}");
    assert!(!log.contains("guess 1") && !log.contains(&hash), "{log}");
    // The configuration read again: nobody who was refused gains by it.
    signal(service.pid(), "HUP");
    let patience = Instant::now() + Duration::from_secs(20);
    while !service.stderr().contains("\"reloaded\"") {
        assert!(Instant::now() < patience, "{}", service.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    ask(&basic("hr", "guess 6")).expect(429);
    ask(&right).expect(200);
}

/// A password that is kept as it is, and Digest: nothing costs the service much, so what is refused is that one tries on and on.
#[test]
fn quick_guesses_are_not_looked_at() {
    let database = Database::small(Engine::Sqlite);
    let servers = format!(
        "{{ test: {{ default: true }}, plain: {{ authentication: {{ basic: {{ username: hr, password: \"{PASSWORD}\" }} }} }}, \
         digest: {{ authentication: {{ digest: {{ username: hr, password: \"{PASSWORD}\" }} }} }} }}"
    );
    let options = Options::small().identity_servers(&servers).more("limits: { failures_per_minute: 5 }");
    let mut service = Service::start(&database, options);
    let (plain, digest) = ("/scim/plain/v2/Users", "/scim/digest/v2/Users");
    let ask = |service: &Service, path: &str, value: &str| {
        let mut client = service.client_with("", None);
        client.send("GET", path, &[("Authorization", value)], None).expect("an answer").status
    };
    let nonce = |service: &Service| {
        let challenge = service.client_with("/scim/digest/v2", None).get("/Users").expect(401);
        DigestClient::nonce(challenge.header("www-authenticate").expect("a challenge"))
    };
    let known = nonce(&service);
    let good = |nc: &str| DigestClient { nc: nc.to_owned(), ..DigestClient::new(digest) }.authorization(&known);
    assert_eq!((ask(&service, plain, &basic("hr", PASSWORD)), ask(&service, digest, &good("00000001"))), (200, 200));
    for guess in 0..5 {
        assert_eq!(ask(&service, plain, &basic("hr", &format!("guess {guess}"))), 401);
    }
    let guess = DigestClient { password: "guess".to_owned(), ..DigestClient::new(digest) };
    let fresh = DigestClient::new(digest).authorization(&nonce(&service));
    for _ in 0..3 {
        assert_eq!(ask(&service, plain, &basic("hr", "guess")), 429);
        assert_eq!(ask(&service, digest, &guess.authorization(&nonce(&service))), 429);
        assert_eq!(ask(&service, digest, &fresh), 429, "found by guessing: not told from the guesses before");
    }
    // Who was right before still is.
    assert_eq!((ask(&service, plain, &basic("hr", PASSWORD)), ask(&service, digest, &good("00000002"))), (200, 200));
    assert_eq!(service.client().get("/Users").status, 200);
    service.stop();
}

#[test]
fn tokens_without_their_scheme() {
    let database = Database::small(Engine::Sqlite);
    let servers = "{ test: { default: true }, okta: { profile: okta }, strict: { profile: okta, authentication: { bearer: { \
                   scheme_optional: false } } }, lax: { authentication: { bearer: { scheme_optional: true } } } }";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    for (name, status) in [("test", 401), ("okta", 200), ("strict", 401), ("lax", 200)] {
        let token = service.issue(name);
        let mut client = service.client_with("", None);
        let path = format!("/scim/{name}/v2/Users");
        client.send("GET", &path, &[("Authorization", &token)], None).expect("an answer").expect(status);
        let whole = format!("Bearer {token}");
        client.send("GET", &path, &[("Authorization", &whole)], None).expect("an answer").expect(200);
    }
}

/// A short token does what a signed one does; a key that is rotated out takes its tokens along, within the overlap and not
/// before, in processes that run meanwhile.
fn keys_and_short_tokens(engine: Engine) {
    let database = Database::small(engine);
    let one = Service::start(&database, Options::small());
    let two = one.second("two");
    let run = |arguments: &[&str]| {
        let output = one.run(arguments);
        assert!(output.status.success(), "{}", describe(&output));
        (
            String::from_utf8(output.stdout).expect("text").trim().to_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let status =
        |service: &Service, token: &str| service.client_with("/scim/v2", Some(token.to_owned())).get("/Users").status;
    let (short, _) = run(&["token", "issue", "test", "--opaque", "--label", "short"]);
    assert!(short.len() == 55 && short.starts_with("scimshim_st_"), "{short}");
    assert_eq!((status(&one, &short), status(&two, &short)), (200, 200));

    let old = one.token().to_owned();
    let (_, said) = run(&["token", "rotate-key", "--overlap", "8s"]);
    let rotated = Instant::now();
    assert!(said.contains("scimshim token rotate") && said.contains("short"), "{said}");
    let new = one.issue("test");
    for service in [&one, &two] {
        assert_eq!(status(service, &old), 200, "signed with the old key");
        assert_eq!(status(service, &new), 200, "signed with a key that is newer than the process");
    }
    assert!(rotated.elapsed() < Duration::from_secs(8), "too slow to see the overlap: {:?}", rotated.elapsed());
    std::thread::sleep(Duration::from_secs(10).saturating_sub(rotated.elapsed()));
    for service in [&one, &two] {
        assert_eq!((status(service, &old), status(service, &short), status(service, &new)), (401, 401, 200));
    }
    let (list, _) = run(&["token", "list", "test", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).expect("JSON");
    let rows = list.as_array().expect("a list");
    let states = |state: &str| rows.iter().filter(|row| row["state"] == state).count();
    assert_eq!((states("revoked"), states("live")), (2, 1), "{list}");
    assert!(rows.iter().all(|row| row["last_used"].is_string()), "{list}");
    let three = one.second("three");
    assert_eq!(status(&three, &new), 200);
}

#[test]
fn keys_and_short_tokens_on_mariadb() {
    keys_and_short_tokens(Engine::MariaDb);
}

#[test]
fn keys_and_short_tokens_on_postgres() {
    keys_and_short_tokens(Engine::Postgres);
}

#[test]
fn keys_and_short_tokens_on_sqlite() {
    keys_and_short_tokens(Engine::Sqlite);
}

/// Without a credential: on loopback, said at each start; nowhere else.
#[test]
fn none() {
    let database = Database::small(Engine::Sqlite);
    let servers = "{ test: { default: true }, local: { authentication: none }, near: { authentication: none, allow_from: 192.0.2.0/24 } }";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    let mut local = service.client_with("/scim/local/v2", None);
    local.post("/Users", &client::user("local", json!({}))).expect(201);
    service.client_with("/scim/near/v2", None).get("/Users").expect_error(403, None, "from this address");
    assert_eq!(service.stderr().matches("no credential is asked for").count(), 2, "{}", service.stderr());
    let config = local.get("/ServiceProviderConfig").expect(200).json();
    assert_eq!(config["authenticationSchemes"], json!([]));

    let open =
        Service::prepare(&database, Options::small().identity_servers(servers).more("trusted_proxies: 127.0.0.1"));
    let check = open.run(&["check", "--offline"]);
    assert_eq!(check.status.code(), Some(1), "{}", describe(&check));
    assert!(
        String::from_utf8_lossy(&check.stderr).contains("without a credential, whoever reaches"),
        "{}",
        describe(&check)
    );
}

/// What a client may read of how to authenticate is what its identity server has.
#[test]
fn discovery_says_how() {
    let database = Database::small(Engine::Sqlite);
    let servers = format!(
        "{{ test: {{ default: true }}, many: {{ authentication: {{ bearer: , digest: {{ username: hr, password: \"{PASSWORD}\" }}, \
         basic: {{ username: hr, password: \"{PASSWORD}\" }} }} }} }}"
    );
    let service = Service::start(&database, Options::small().identity_servers(&servers));
    let schemes = |base: &str, server: &str| {
        let mut client = service.client_with(base, Some(service.issue(server)));
        let config = client.get("/ServiceProviderConfig").expect(200).json();
        let schemes = config["authenticationSchemes"].as_array().expect("a list").clone();
        schemes
            .iter()
            .map(|scheme| (scheme["type"].as_str().unwrap().to_owned(), scheme["primary"] == true))
            .collect::<Vec<_>>()
    };
    let text = |kind: &str, primary| (kind.to_owned(), primary);
    assert_eq!(schemes("/scim/v2", "test"), [text("oauthbearertoken", true)]);
    let many = [text("oauthbearertoken", true), text("httpdigest", false), text("httpbasic", false)];
    assert_eq!(schemes("/scim/many/v2", "many"), many);
}

/// Passwords are typed unseen and twice, or come through stdin; they stand in no output, and what they become alone on stdout.
#[test]
fn secret_keeps_secrets() {
    for (input, why) in [
        (&b""[..], "is empty"),
        (b"\n", "is empty"),
        (b"one\ntwo\n", "more than one line"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b"tab\there", "control characters"),
        (&[b'a'; 5000], "longer than"),
    ] {
        let output = secret(&["hash"], input);
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        assert!(
            output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains(why),
            "{}",
            describe(&output)
        );
    }
    let given = secret(&["hash", "hunter2"], b"");
    assert_eq!(given.status.code(), Some(2), "a password is no argument: {}", describe(&given));
    // NFC and NFD are one password.
    let of = |password: &str| printed(&["digest", "--username", "hr"], password);
    assert_eq!(of("caf\u{e9} and more letters"), of("cafe\u{301} and more letters"));

    // On a terminal.
    for (typed, code, shown) in [
        ("hunter2hunter2hunter2\\rhunter2hunter2hunter2\\r", 0, "$argon2id$"),
        ("hunter2hunterX\\x7f2hunter2\\rhunter2hunter2hunter2\\r", 0, "$argon2id$"),
        ("hunter2hunter2\\rhunter2hunter3\\r", 1, "not the same"),
        ("hunter2\\x03", 1, "interrupted"),
    ] {
        let script = format!(
            "import os, pty, sys, time\n\
             pid, fd = pty.fork()\n\
             if pid == 0: os.execv({BINARY:?}, ['scimshim', 'secret', 'hash'])\n\
             seen = b''\n\
             while b'Password: ' not in seen: seen += os.read(fd, 1000)\n\
             for part in b'{typed}'.replace(b'\\r', b'\\r|').split(b'|'):\n\
             \x20   os.write(fd, part)\n\
             \x20   time.sleep(0.2)\n\
             try:\n\
             \x20   while True:\n\
             \x20       more = os.read(fd, 1000)\n\
             \x20       if not more: break\n\
             \x20       seen += more\n\
             except OSError: pass\n\
             status = os.waitpid(pid, 0)[1]\n\
             sys.stdout.buffer.write(seen)\n\
             sys.exit(os.waitstatus_to_exitcode(status))\n"
        );
        let output = Command::new("python3").args(["-c", &script]).stdin(Stdio::null()).output().expect("python3 runs");
        let seen = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{typed}: {}", describe(&output));
        assert!(seen.contains(shown), "{typed}: {seen}");
        assert!(!seen.contains("hunter"), "the password is shown: {seen}");
    }
}

/// Nothing prints a secret: not the log at its most verbose, not findings, not metrics, not errors, not what `check` says.
fn canaries(engine: Engine) {
    let database = Database::small(engine);
    let canary = |n: u8| format!("canary{n}-4a0b7c");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
        path.display().to_string()
    };
    let in_file = file("password", &canary(1));
    let ha1 = printed(&["digest", "--username", "hr"], &canary(2));
    let hash = printed(&["hash"], &canary(3));
    let servers = format!(
        "\n  test: {{ default: true }}\n  one: {{ authentication: {{ basic: {{ username: hr, password: \"${{file:{in_file}}}\" }} }} }}\n  \
         two: {{ authentication: {{ digest: {{ username: hr, ha1: \"{ha1}\" }} }} }}\n  \
         three: {{ authentication: {{ basic: {{ username: hr, password_hash: \"{hash}\" }} }} }}\n  \
         four: {{ authentication: {{ basic: {{ username: hr, password: {} }} }} }}\n",
        canary(4)
    );
    let service = Service::start(&database, Options::small().identity_servers(&servers).more("log: { level: trace }"));
    let mut client = service.client_with("", None);
    let mut everything = String::new();
    for (name, password) in
        [("one", canary(1)), ("three", canary(3)), ("four", canary(4)), ("four", canary(5)), ("three", canary(5))]
    {
        let path = format!("/scim/{name}/v2/Users");
        for user in ["hr", &canary(6)] {
            let answer =
                client.send("GET", &path, &[("Authorization", &basic(user, &password))], None).expect("an answer");
            everything.push_str(&format!("{answer:?} {}", answer.text()));
        }
    }
    let wrong = DigestClient { password: canary(2), realm: "other".into(), ..DigestClient::new("/scim/two/v2/Users") };
    let value = wrong.authorization(&canary(7));
    client.send("GET", "/scim/two/v2/Users", &[("Authorization", &value)], None).expect("an answer").expect(401);
    for token in [canary(8), format!("scimshim_st_{}", canary(8)), format!("{}.{}.x", canary(8), canary(9))] {
        service.client_with("/scim/v2", Some(token)).get("/Users").expect(401);
    }
    let check = service.run(&["check"]);
    everything.push_str(&describe(&check));
    everything.push_str(&describe(&service.run(&["check", "--json"])));
    everything.push_str(&service.stderr());
    everything.push_str(&service.admin("/metrics").unwrap_or_default());
    assert!(service.stderr().contains("not authenticated"));
    assert!(check.status.success(), "{}", describe(&check));
    for n in 1..=9 {
        assert!(!everything.contains(&canary(n)), "{} is printed: {everything}", canary(n));
    }
    let (_, digits) = ha1.split_once(':').expect("an algorithm");
    assert!(!everything.contains(digits) && !everything.contains(&hash), "{everything}");
    // Mistakes beside a secret do not cite it.
    let mistaken =
        std::fs::read_to_string(service.config()).expect("a configuration").replace("username: hr", "usernam: hr");
    let path = service.folder().join("mistaken.yaml");
    std::fs::write(&path, mistaken).expect("a file");
    let said = describe(&run_check(&path));
    assert!(
        said.contains("usernam") && !said.contains("canary") && !said.contains(digits) && !said.contains(&hash),
        "{said}"
    );
}

#[test]
fn canaries_on_mariadb() {
    canaries(Engine::MariaDb);
}

#[test]
fn canaries_on_postgres() {
    canaries(Engine::Postgres);
}

#[test]
fn canaries_on_sqlite() {
    canaries(Engine::Sqlite);
}

fn run_check(config: &Path) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["check", "--offline", "--config"]).arg(config).stdin(Stdio::null()).output().expect("scimshim runs")
}
