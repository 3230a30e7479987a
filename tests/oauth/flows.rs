//! Every flow from end to end, on each database.

use serde_json::json;
use std::time::{Duration, Instant};

use crate::setup::{
    ADA, ADA_HASH, Asking, BOSS, Browser, CALLBACK, SECOND, SECRET, SECRET_HASH, VERIFIER, asking, basic, changed,
    options, reads, refused, sent, start, text,
};
use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Service, describe};

fn whole(engine: Engine) {
    let (database, service) = start(engine);
    let mut browser = Browser::new(&service, "test");
    let mut idp = Asking::new(&service, "test");

    // An administrator of the configuration agrees.
    browser.open(&asking()).expect(200);
    let answer = browser.agree(ADA).expect(303);
    let back = sent(&answer);
    assert_eq!(back[""], CALLBACK);
    assert_eq!(back["state"], "st&te=");
    assert_eq!(back["iss"], format!("{}/oauth2/test", service.url()), "RFC 9207");
    let first = idp.exchange(&back["code"]).expect(200);
    assert_eq!(first.header("cache-control"), Some("no-store"));
    assert_eq!(first.header("pragma"), Some("no-cache"));
    let first = first.json();
    assert_eq!(
        (&first["token_type"], &first["expires_in"], &first["scope"]),
        (&json!("Bearer"), &json!(3600), &json!("scim"))
    );
    let (access, refresh) = (text(&first, "access_token"), text(&first, "refresh_token"));
    assert!(access.starts_with("scimshim_at_") && refresh.starts_with("scimshim_rt_"), "{first}");

    // It opens SCIM, at both URLs, and of this identity server alone.
    let mut scim = service.client_with("/scim/v2", Some(access.clone()));
    scim.post("/Users", &client::user("by.oauth", json!({}))).expect(201);
    assert_eq!(reads(&service, "/scim/test/v2", &access), 200);
    assert_eq!(reads(&service, "/scim/other/v2", &access), 401);
    assert_eq!(reads(&service, "/scim/plain/v2", &access), 401);
    assert_eq!(reads(&service, "/scim/v2", &refresh), 401, "a refresh token opens nothing");
    assert_eq!(reads(&service, "/scim/v2", service.token()), 200, "tokens of ours beside");

    // The refresh token turns; used again, it ends all that came of it, for every process.
    let second = idp.refresh(&refresh).expect(200).json();
    let other = service.second("two");
    let (access, turned) = (text(&second, "access_token"), text(&second, "refresh_token"));
    assert_eq!((reads(&service, "/scim/v2", &access), reads(&other, "/scim/v2", &access)), (200, 200));
    refused(&idp.refresh(&refresh), 400, "invalid_grant");
    std::thread::sleep(Duration::from_millis(1000));
    assert_eq!((reads(&service, "/scim/v2", &access), reads(&other, "/scim/v2", &access)), (401, 401));
    refused(&idp.refresh(&turned), 400, "invalid_grant");

    // An administrator of the application agrees; others of it cannot.
    for (name, password) in [("gone", BOSS.1), ("worker", BOSS.1), ("nopass", "*** NO PASSWORD ***"), ("boss", ADA.1)] {
        browser.open(&asking()).expect(200);
        assert!(browser.agree((name, password)).expect(403).header("location").is_none(), "{name}");
    }
    browser.open(&asking()).expect(200);
    let code = sent(&browser.agree(BOSS).expect(303))["code"].clone();
    let tokens = idp.exchange(&code).expect(200).json();

    // What was granted is listed, and ends by command.
    let list = service.run(&["token", "list", "test", "--json"]);
    let list: serde_json::Value =
        serde_json::from_slice(&list.stdout).unwrap_or_else(|_| panic!("{}", describe(&list)));
    let grant = list.as_array().unwrap().iter().find(|line| line["label"] == "OAuth client idp, agreed by boss");
    let grant = grant.unwrap_or_else(|| panic!("{list}"));
    assert_eq!((&grant["kind"], &grant["state"]), (&json!("oauth2"), &json!("live")));
    let access = text(&tokens, "access_token");
    assert_eq!(reads(&service, "/scim/v2", &access), 200);
    let revoked = service.run(&["token", "revoke", "test", &text(grant, "id")]);
    assert!(revoked.status.success(), "{}", describe(&revoked));
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(1000));
    assert_eq!((reads(&service, "/scim/v2", &access), reads(&other, "/scim/v2", &access)), (401, 401));
    assert!(start.elapsed() < Duration::from_secs(4));

    // A code used twice ends what it gave.
    let code = browser.code(&asking());
    let tokens = idp.exchange(&code).expect(200).json();
    refused(&idp.exchange(&code), 400, "invalid_grant");
    refused(&idp.refresh(&text(&tokens, "refresh_token")), 400, "invalid_grant");
    assert_eq!(reads(&service, "/scim/v2", &text(&tokens, "access_token")), 401);

    // A client speaks for itself; by reading alone if it asks for no more; and gives up what it has.
    let own = idp.own("");
    let mut scim = service.client_with("/scim/v2", Some(own.clone()));
    scim.post("/Users", &client::user("by.machine", json!({}))).expect(201);
    let reading = idp.own("scim:read");
    let mut scim = service.client_with("/scim/v2", Some(reading));
    scim.get("/Users").expect(200);
    scim.post("/Users", &client::user("by.reader", json!({}))).expect_error(403, None, "read");
    let machine = basic("machine", SECRET);
    refused(&idp.post("revoke", Some(&basic("idp", SECRET)), &[("token", &own)]), 400, "invalid_grant");
    assert_eq!(reads(&service, "/scim/v2", &own), 200, "another client cannot revoke it");
    idp.post("revoke", Some(&machine), &[("token", &own), ("token_type_hint", "refresh_token")]).expect(200);
    std::thread::sleep(Duration::from_millis(1000));
    assert_eq!(reads(&service, "/scim/v2", &own), 401);
    idp.post("revoke", Some(&machine), &[("token", &own)]).expect(200);
    idp.post("revoke", Some(&machine), &[("token", "whatever")]).expect(200);
    nothing_in_clear(&database, &[&service, &other], &[&own, &access, &refresh, &turned, &code, SECRET, ADA.1, BOSS.1]);
}

/// No secret stands in the tables, the logs or the metrics.
fn nothing_in_clear(database: &Database, services: &[&Service], secrets: &[&str]) {
    let own = database.own_tables();
    let mut everything = String::new();
    for service in services {
        everything.push_str(&service.stderr());
        everything.push_str(&service.admin("/metrics").unwrap_or_default());
    }
    assert!(everything.contains("/oauth2/token"), "the log was read");
    for table in ["oauth_grants", "oauth_tokens"] {
        for row in database.rows(&format!("SELECT * FROM {own}{table}")) {
            everything.push_str(&row.into_iter().flatten().collect::<Vec<_>>().join(" "));
        }
    }
    for secret in secrets {
        // Behind the prefix that says what it is; `_` may stand in the rest as well.
        let random =
            secret.strip_prefix("scimshim_").and_then(|rest| rest.split_once('_')).map_or(*secret, |(_, rest)| rest);
        assert!(!everything.contains(random), "{secret} stands somewhere in clear");
    }
    assert!(!everything.contains("code_challenge") && !everything.contains("st&te"), "no query is logged");
}

#[test]
fn whole_on_mariadb() {
    whole(Engine::MariaDb);
}

#[test]
fn whole_on_postgres() {
    whole(Engine::Postgres);
}

#[test]
fn whole_on_sqlite() {
    whole(Engine::Sqlite);
}

/// With the GRANTs that `setup` prints, and none besides.
fn with_few_privileges(engine: Engine) {
    let database = crate::setup::application(engine).lean();
    let mut service = Service::prepare(&database, options());
    let printed = service.run(&["setup"]);
    assert!(printed.status.success(), "{}", describe(&printed));
    let sql = String::from_utf8(printed.stdout).expect("SQL");
    assert!(sql.contains("oauth_tokens"), "{sql}");
    database.administer_here(&sql);
    service.start_again();
    let mut browser = Browser::new(&service, "test");
    let mut idp = Asking::new(&service, "test");
    browser.open(&asking()).expect(200);
    let code = sent(&browser.agree(BOSS).expect(303))["code"].clone();
    let tokens = idp.exchange(&code).expect(200).json();
    let tokens = idp.refresh(&text(&tokens, "refresh_token")).expect(200).json();
    assert_eq!(reads(&service, "/scim/v2", &text(&tokens, "access_token")), 200);
    idp.post("revoke", Some(&basic("idp", SECRET)), &[("token", &text(&tokens, "refresh_token"))]).expect(200);
    idp.own("");
}

#[test]
fn with_few_privileges_on_mariadb() {
    with_few_privileges(Engine::MariaDb);
}

#[test]
fn with_few_privileges_on_postgres() {
    with_few_privileges(Engine::Postgres);
}

#[test]
fn ways_of_a_client() {
    let (_database, service) = start(Engine::Sqlite);
    let mut browser = Browser::new(&service, "test");
    let mut idp = Asking::new(&service, "test");
    let body = |code: &str, more: &[(&str, &str)]| -> Vec<(String, String)> {
        let fixed = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        fixed.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let mut ask = |authorization: Option<String>, more: &[(&str, &str)]| {
        let code = browser.code(&asking());
        let body = body(&code, more);
        let pairs: Vec<(&str, &str)> = body.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        idp.post("token", authorization.as_deref(), &pairs)
    };
    // client_secret_post, the other secret, and Basic by a client that does not encode.
    ask(None, &[("client_id", "idp"), ("client_secret", SECRET)]).expect(200);
    ask(None, &[("client_id", "idp"), ("client_secret", SECOND)]).expect(200);
    ask(Some(basic("idp", SECOND)), &[]).expect(200);
    use base64::Engine as _;
    let raw = base64::engine::general_purpose::STANDARD.encode(format!("idp:{SECRET}"));
    ask(Some(format!("basic {raw}")), &[("client_id", "idp")]).expect(200);
    refused(&ask(None, &[("client_id", "idp")]), 401, "invalid_client");
    refused(&ask(None, &[("client_id", "idp"), ("client_secret", "wrong")]), 401, "invalid_client");
    refused(&ask(Some(basic("idp", "wrong")), &[]), 401, "invalid_client");
    refused(&ask(Some(basic("machine", SECRET)), &[]), 400, "unauthorized_client");
    // A client without a secret: PKCE stands for it.
    let app = [
        ("response_type", "code"),
        ("client_id", "app"),
        ("code_challenge", crate::setup::CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    let code = browser.code(&app);
    let body = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("client_id", "app"),
        ("code_verifier", VERIFIER),
    ];
    let tokens = idp.post("token", None, &body).expect(200).json();
    let refresh = text(&tokens, "refresh_token");
    let body = [("grant_type", "refresh_token"), ("refresh_token", refresh.as_str()), ("client_id", "app")];
    idp.post("token", None, &body).expect(200);
    let plain = browser.open(&changed(&app, &[("code_challenge", None), ("code_challenge_method", None)]));
    assert_eq!(sent(&plain.expect(303))["error"], "invalid_request");
}

/// What the configuration no longer has opens nothing, whatever was given out before.
#[test]
fn a_client_that_is_removed() {
    let database = crate::setup::application(Engine::Sqlite);
    let mut service = Service::start(&database, options());
    let token = Asking::new(&service, "test").own("");
    assert_eq!(reads(&service, "/scim/v2", &token), 200);
    service.stop();
    let config = std::fs::read_to_string(service.config()).unwrap();
    let line = format!("{{ id: machine, secret_hash: \"{SECRET_HASH}\" }}, ");
    assert!(config.contains(&line) && config.contains(ADA_HASH));
    // `start_again` writes the configuration anew: another process reads the changed one.
    let changed = service.folder().join("changed.yaml");
    let port = crate::support::service::free_port();
    let admin = crate::support::service::free_port();
    let config: String = config.replace(&line, "").lines().skip(2).map(|line| format!("{line}\n")).collect();
    let head = format!("listen: 127.0.0.1:{port}\nadmin: {{ listen: 127.0.0.1:{admin} }}\n");
    std::fs::write(&changed, head + &config).unwrap();
    let mut child = std::process::Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", crate::support::service::BINARY, "serve", "--config"])
        .arg(&changed)
        .spawn()
        .unwrap();
    let ca = std::fs::read_to_string(service.ca_file()).unwrap();
    let address = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port));
    let mut http = client::Client::new(address, client::tls(&ca), "/scim/v2", Some(token));
    let patience = Instant::now() + Duration::from_secs(30);
    let status = loop {
        match http.try_scim("GET", "/Users", None) {
            Ok(answer) if answer.status != 503 => break answer.status,
            _ => assert!(Instant::now() < patience, "the service does not answer"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let _ = child.kill();
    let _ = child.wait();
    assert_eq!(status, 401);
}
