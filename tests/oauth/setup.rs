//! A service with OAuth on, and the two who speak to it: an administrator's browser and a client.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::client::{Answer, Client, encode};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

/// argon2id of [`ADA`].
pub const ADA_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$lIPzru6QgD4IkxiDAvrFxw$it4SgyxuFkZ03oU+EeM4JRkJkKi849aESMrWslPKVfg";
pub const ADA: (&str, &str) = ("ada", "ada's pass phrase");
/// argon2id of [`SECRET`].
pub const SECRET_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$qR0Qb8JxxRIUMxV1nRVtPw$ZJZlcokCxz/5v6KIsLyl5Rklm+fWbBvVHJM2OER0CUw";
pub const SECRET: &str = "s3cret+/% of a client";
/// argon2id of [`SECOND`].
pub const SECOND_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$wQlXZ53BHoxp6WJ7+5Bvrw$bzFnGvWzGKKG/rzORNHZP+PAtC9+7/2sgX39LtCBqeI";
pub const SECOND: &str = "the next secret";
/// bcrypt of [`BOSS`], as PHP writes it.
pub const BOSS_HASH: &str = "$2y$10$HfLjK/6G5J4Z96sDpoaWu.ceooNFn6geO81zudWv51yHft6jlCsCW";
pub const BOSS: (&str, &str) = ("boss", "the boss's own");

pub const CALLBACK: &str = "https://idp.example.com/oauth/callback";
pub const SECOND_CALLBACK: &str = "https://idp.example.com/second?tenant=1";
/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// `test`, the default, with tokens of ours besides; `other`, with a client of the same name.
pub fn servers(more: &str) -> String {
    let clients = format!(
        "{{ id: idp, secret_hash: [\"{SECRET_HASH}\", \"{SECOND_HASH}\"], redirect_uris: [\"{CALLBACK}\", \"{SECOND_CALLBACK}\"] }}, \
         {{ id: machine, secret_hash: \"{SECRET_HASH}\" }}, \
         {{ id: app, redirect_uris: [\"http://127.0.0.1:9/app\"] }}, \
         {{ id: \"<b>&'x\", redirect_uris: [\"https://x.example.com/cb\"], secret_hash: \"{SECRET_HASH}\" }}{more}"
    );
    let oauth2 = |clients: &str| {
        format!("oauth2: {{ clients: [{clients}], administrators: [{{ name: ada, password_hash: \"{ADA_HASH}\" }}] }}")
    };
    format!(
        "{{ test: {{ default: true, authentication: {{ bearer: , {} }} }}, other: {{ authentication: {{ {} }} }}, \
         off: {{ active: false, authentication: {{ {} }} }}, plain: {{ authentication: bearer }}, \
         far: {{ allow_from: [192.0.2.0/24], authentication: {{ {} }} }} }}",
        oauth2(&clients),
        oauth2(&clients),
        oauth2(&clients),
        oauth2(&clients),
    )
}

/// The small application with administrators of its own.
pub fn application(engine: Engine) -> Database {
    let database = Database::small(engine);
    database.execute(&format!(
        "INSERT INTO people (login, given, enabled, kind, title) VALUES ('boss', 'Boss', 1, 'system', '{BOSS_HASH}'), \
         ('gone', 'Gone', 0, 'system', '{BOSS_HASH}'), ('worker', 'Worker', 1, 'person', '{BOSS_HASH}'), \
         ('nopass', 'No', 1, 'system', '*** NO PASSWORD ***')"
    ));
    database
}

pub fn options() -> Options {
    Options::adapter("tests/adapters/administrators.yaml").identity_servers(&servers(""))
}

pub fn start(engine: Engine) -> (Database, Service) {
    let database = application(engine);
    let service = Service::start(&database, options());
    (database, service)
}

/// Names and values as a form or a query has them.
pub fn encoded(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect::<Vec<_>>().join("&")
}

/// The request that most tests begin with.
pub fn asking() -> Vec<(&'static str, &'static str)> {
    vec![
        ("response_type", "code"),
        ("client_id", "idp"),
        ("redirect_uri", CALLBACK),
        ("state", "st&te="),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

/// The parameters of a request with some of them changed, or left out.
pub fn changed<'a>(base: &[(&'a str, &'a str)], changes: &[(&'a str, Option<&'a str>)]) -> Vec<(&'a str, &'a str)> {
    let mut all: Vec<_> =
        base.iter().copied().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name)).collect();
    all.extend(changes.iter().filter_map(|(name, value)| value.map(|value| (*name, value))));
    all
}

/// An administrator's browser: one cookie, and the form it saw last.
pub struct Browser {
    pub http: Client,
    pub server: String,
    pub cookie: Option<String>,
    pub form: BTreeMap<String, String>,
}

impl Browser {
    pub fn new(service: &Service, server: &str) -> Browser {
        let http = service.client_with("", None);
        Browser { http, server: server.to_owned(), cookie: None, form: BTreeMap::new() }
    }

    /// Opens the page.
    pub fn open(&mut self, parameters: &[(&str, &str)]) -> Answer {
        let path = format!("/oauth2/{}/authorize?{}", self.server, encoded(parameters));
        let cookie = self.cookie.clone().unwrap_or_default();
        let headers: &[(&str, &str)] = if cookie.is_empty() { &[] } else { &[("Cookie", &cookie)] };
        let answer = self.http.send("GET", &path, headers, None).expect("an answer");
        self.saw(&answer);
        answer
    }

    fn saw(&mut self, answer: &Answer) {
        if let Some(cookie) = answer.header("set-cookie") {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        if answer.text().contains("<form") {
            self.form = hidden(&answer.text());
        }
    }

    /// Sends the form with what a person fills in; `headers` besides the cookie.
    pub fn send(&mut self, filled: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let cookie = self.cookie.clone().unwrap_or_default();
        let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
        if !cookie.is_empty() {
            all.push(("Cookie", &cookie));
        }
        all.extend(headers);
        let mut pairs: Vec<(&str, &str)> =
            self.form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        pairs.extend(filled);
        let path = format!("/oauth2/{}/authorize", self.server);
        let answer = self.http.send("POST", &path, &all, Some(encoded(&pairs).as_bytes())).expect("an answer");
        self.saw(&answer);
        answer
    }

    /// Signs in and agrees.
    pub fn agree(&mut self, (name, password): (&str, &str)) -> Answer {
        self.send(&[("username", name), ("password", password), ("decision", "agree")], &[])
    }

    /// The code for a request that is agreed to.
    #[track_caller]
    pub fn code(&mut self, parameters: &[(&str, &str)]) -> String {
        self.open(parameters).expect(200);
        let answer = self.agree(ADA).expect(303);
        sent(&answer)["code"].clone()
    }
}

/// Where an answer sends the browser: the parameters, and under "" what stands before them.
#[track_caller]
pub fn sent(answer: &Answer) -> BTreeMap<String, String> {
    let location = answer.header("location").unwrap_or_else(|| panic!("no Location: {}", answer.text()));
    let (before, query) = location.split_once('?').unwrap_or((location, ""));
    let mut all: BTreeMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .collect();
    all.insert(String::new(), before.to_owned());
    all
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().expect("UTF-8").into_owned()
}

/// The hidden inputs of a page's form.
pub fn hidden(html: &str) -> BTreeMap<String, String> {
    let attribute = |input: &str, name: &str| {
        let start = input.find(&format!("{name}=\"")).expect("the attribute") + name.len() + 2;
        input[start..].split('"').next().expect("its value").to_owned()
    };
    html.split("<input type=\"hidden\"")
        .skip(1)
        .map(|input| {
            let value = attribute(input, "value");
            let value = value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
            (attribute(input, "name"), value.replace("&amp;", "&"))
        })
        .collect()
}

/// A client that asks for tokens.
pub struct Asking {
    pub http: Client,
    pub server: String,
}

impl Asking {
    pub fn new(service: &Service, server: &str) -> Asking {
        Asking { http: service.client_with("", None), server: server.to_owned() }
    }

    pub fn post(&mut self, endpoint: &str, authorization: Option<&str>, body: &[(&str, &str)]) -> Answer {
        let mut headers = vec![("Content-Type", "application/x-www-form-urlencoded")];
        headers.extend(authorization.map(|value| ("Authorization", value)));
        let path = format!("/oauth2/{}/{endpoint}", self.server);
        self.http.send("POST", &path, &headers, Some(encoded(body).as_bytes())).expect("an answer")
    }

    /// With the secret of `idp`.
    pub fn token(&mut self, body: &[(&str, &str)]) -> Answer {
        self.post("token", Some(&basic("idp", SECRET)), body)
    }

    pub fn exchange(&mut self, code: &str) -> Answer {
        self.token(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ])
    }

    pub fn refresh(&mut self, token: &str) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)])
    }

    /// An access token of `machine`, which speaks for itself.
    #[track_caller]
    pub fn own(&mut self, scope: &str) -> String {
        let authorization = basic("machine", SECRET);
        let body = [("grant_type", "client_credentials"), ("scope", scope)];
        let answer = self.post("token", Some(&authorization), &body).expect(200);
        text(&answer.json(), "access_token")
    }
}

/// client_secret_basic as RFC 6749 2.3.1 has it.
pub fn basic(id: &str, secret: &str) -> String {
    use base64::Engine;
    let plain = format!("{}:{}", encode(id), encode(secret));
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(plain))
}

#[track_caller]
pub fn text(json: &Value, name: &str) -> String {
    json[name].as_str().unwrap_or_else(|| panic!("no {name} in {json}")).to_owned()
}

/// Fails the test unless this is an error of RFC 6749 5.2.
#[track_caller]
pub fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let document = answer.json();
    assert_eq!(document["error"], error, "{document}");
    assert!(!document["error_description"].as_str().unwrap_or_default().is_empty(), "{document}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    if status == 401 {
        assert!(answer.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")), "{answer:?}");
    }
}

/// The status of reading users with a token.
pub fn reads(service: &Service, base: &str, token: &str) -> u16 {
    service.client_with(base, Some(token.to_owned())).get("/Users").status
}
