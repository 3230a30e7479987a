//! The page, attacked: other sites' forms, frames, scripts in what it shows, redirections to strangers, guesses.

use crate::setup::{ADA, Asking, BOSS, Browser, CALLBACK, asking, changed, encoded, hidden, options, sent, start};
use crate::support::client::Answer;
use crate::support::databases::Engine;
use crate::support::service::Service;

/// What every page says to the browser.
#[track_caller]
fn guarded(answer: &Answer) {
    let header = |name: &str| answer.header(name).unwrap_or_else(|| panic!("no {name}: {answer:?}"));
    let policy = header("content-security-policy");
    for word in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action "] {
        assert!(policy.contains(word), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("referrer-policy"), "same-origin");
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let text = answer.text();
    assert!(text.contains("<html lang=\"en\">") && !text.contains("<script"), "{text}");
    // The one style sheet is the one that the policy names.
    use base64::Engine as _;
    use sha2::Digest;
    let style = text.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).expect("a style sheet");
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(style.as_bytes()));
    assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{policy}");
}

#[test]
fn what_it_shows() {
    let (_database, service) = start(Engine::Sqlite);
    let mut browser = Browser::new(&service, "test");
    let page = browser.open(&asking()).expect(200);
    guarded(&page);
    let text = page.text();
    for word in [
        "<strong>idp</strong>",
        "<strong>test</strong>",
        "A small application for tests",
        "<strong>User</strong>: read, create, change, deactivate, delete",
        "https://idp.example.com",
        "<label for=\"username\">",
        "<label for=\"password\">",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let cookie = page.header("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("__Host-scimshim-form="), "{cookie}");
    for word in ["; Path=/", "; HttpOnly", "; Secure", "; SameSite=Lax"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    assert!(!cookie.to_ascii_lowercase().contains("domain"));
    let page = browser.open(&changed(&asking(), &[("scope", Some("scim:read"))])).expect(200);
    assert!(page.text().contains("<strong>User</strong>: read</li>"), "{}", page.text());
    let head = browser.http.send("HEAD", &format!("/oauth2/test/authorize?{}", encoded(&asking())), &[], None);
    assert_eq!(head.expect("an answer").status, 200);
}

/// Nothing that comes from elsewhere is anything but text.
#[test]
fn scripts_in_what_it_shows() {
    let (_database, service) = start(Engine::Sqlite);
    let mut browser = Browser::new(&service, "test");
    let odd = [("response_type", "code"), ("client_id", "<b>&'x"), ("state", "\"><script>alert(1)</script>")];
    let page = browser.open(&odd).expect(200);
    guarded(&page);
    assert!(page.text().contains("&lt;b&gt;&amp;&#39;x") && !page.text().contains("<b>"), "{}", page.text());
    assert_eq!(hidden(&page.text())["state"], "\"><script>alert(1)</script>");
    let page =
        browser.send(&[("username", "\"><img src=x onerror=alert(1)>"), ("password", "x"), ("decision", "agree")], &[]);
    guarded(&page);
    assert!(!page.expect(403).text().contains("<img"), "a name that was typed");
    for told in [
        browser.open(&[("client_id", "<script>alert(1)</script>")]),
        browser.open(&[("client_id", "idp"), ("redirect_uri", "javascript:alert(1)")]),
        browser.open(&[("<script>", "1"), ("<script>", "1")]),
    ] {
        guarded(&told);
        assert!(!told.expect(400).text().contains("alert(1)"));
    }
    // The answer that goes back holds them as text, too.
    browser.open(&odd).expect(200);
    let location = browser.agree(ADA).expect(303).header("location").unwrap_or_default().to_owned();
    assert!(!location.contains(['<', '>', '"', '\r', '\n', ' ']), "{location}");
    // The log says what was agreed to, and not by whom.
    let log = service.said("an administrator agreed");
    let line = log.lines().find(|line| line.contains("an administrator agreed")).expect("a line");
    assert!(line.contains("\"grant\":\"") && !line.contains(ADA.0), "{line}");
}

#[test]
fn nobody_is_sent_to_a_stranger() {
    let (_database, service) = start(Engine::Sqlite);
    let mut browser = Browser::new(&service, "test");
    for changes in [
        [("client_id", Some("nobody"))],
        [("client_id", None)],
        [("redirect_uri", Some("https://evil.example.com/"))],
        [("redirect_uri", Some("https://idp.example.com/oauth/callback/"))],
        [("redirect_uri", Some("https://idp.example.com/oauth/callback?x"))],
        [("redirect_uri", Some("https://idp.example.com/oauth/../oauth/callback"))],
        [("redirect_uri", Some("//idp.example.com/oauth/callback"))],
        [("redirect_uri", Some("HTTPS://idp.example.com/oauth/callback"))],
        [("redirect_uri", Some("https://idp.example.com/oauth/callback\r\nX: y"))],
        [("redirect_uri", None)],
        [("client_id", Some("machine"))],
    ] {
        let answer = browser.open(&changed(&asking(), &changes));
        guarded(&answer);
        assert_eq!(answer.status, 400, "{changes:?}");
        assert!(answer.header("location").is_none() && answer.header("set-cookie").is_none(), "{changes:?}");
    }
    // The same holds for what the form says.
    browser.open(&asking()).expect(200);
    browser.form.insert("redirect_uri".into(), "https://evil.example.com/".into());
    assert!(browser.agree(ADA).expect(400).header("location").is_none());
    // What is wrong besides is told to the client, which belongs to the redirect_uri.
    for (change, error) in [
        (("response_type", Some("token")), "unsupported_response_type"),
        (("response_type", None), "invalid_request"),
        (("scope", Some("admin")), "invalid_scope"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("code_challenge_method", None), "invalid_request"),
        (("code_challenge", Some("short")), "invalid_request"),
    ] {
        let answer = browser.open(&changed(&asking(), &[change])).expect(303);
        let back = sent(&answer);
        assert_eq!((back[""].as_str(), back["error"].as_str()), (CALLBACK, error), "{change:?}");
        assert_eq!(back["state"], "st&te=");
        assert!(back.contains_key("iss"));
    }
}

#[test]
fn other_sites_cannot_agree() {
    let (database, service) = start(Engine::Sqlite);
    let own = database.own_tables();
    let grants = || database.count(&format!("SELECT COUNT(*) FROM {own}oauth_grants"));
    let mut browser = Browser::new(&service, "test");
    let filled = [("username", ADA.0), ("password", ADA.1), ("decision", "agree")];
    // Without the cookie, with another's, with a form that was made for something else.
    browser.open(&asking()).expect(200);
    let cookie = browser.cookie.clone();
    browser.cookie = None;
    assert!(browser.send(&filled, &[]).expect(400).text().contains("open for too long"));
    let mut other = Browser::new(&service, "test");
    other.open(&asking()).expect(200);
    let form = other.form.clone();
    (browser.cookie, browser.form) = (cookie.clone(), form);
    browser.send(&filled, &[]).expect(400);
    for (name, value) in
        [("scope", "scim:read"), ("state", "x"), ("client_id", "app"), ("issued", "1"), ("nonce", "x"), ("seal", "x")]
    {
        browser.cookie = cookie.clone();
        browser.open(&asking()).expect(200);
        browser.form.insert(name.to_owned(), value.to_owned());
        if name == "client_id" {
            browser.form.remove("redirect_uri");
        }
        browser.send(&filled, &[]).expect(400);
    }
    // A form that lay open too long, sealed as it should be.
    for name in ["nonce", "issued", "seal"] {
        browser.open(&asking()).expect(200);
        browser.form.remove(name);
        browser.send(&filled, &[]).expect(400);
    }
    // From another site, as browsers say.
    let origin = format!("https://localhost:{}", service.address().port());
    for (headers, status) in [
        (&[("Origin", "https://evil.example.com")][..], 403),
        (&[("Origin", "null")], 403),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Sec-Fetch-Site", "same-site")], 403),
        (&[("Origin", origin.as_str()), ("Sec-Fetch-Site", "same-origin")], 303),
    ] {
        browser.open(&asking()).expect(200);
        assert_eq!(browser.send(&filled, headers).status, status, "{headers:?}");
    }
    assert_eq!(grants(), 1, "only the last was agreed to");
    // A form that was sent is spent; a decision that is none is no decision.
    assert!(browser.send(&filled, &[]).expect(400).text().contains("sent already"));
    browser.open(&asking()).expect(200);
    browser.send(&[("username", ADA.0), ("password", ADA.1)], &[]).expect(400);
    assert_eq!(grants(), 1);
    // Two pages of one browser do not disturb each other.
    browser.open(&asking()).expect(200);
    let first = browser.form.clone();
    browser.open(&changed(&asking(), &[("state", Some("other"))])).expect(200);
    let second = std::mem::replace(&mut browser.form, first);
    assert_eq!(sent(&browser.agree(ADA).expect(303))["state"], "st&te=");
    browser.form = second;
    assert_eq!(sent(&browser.agree(ADA).expect(303))["state"], "other");
}

#[test]
fn refusing_takes_no_password() {
    let (database, service) = start(Engine::Sqlite);
    let mut browser = Browser::new(&service, "test");
    browser.open(&asking()).expect(200);
    let back = sent(&browser.send(&[("decision", "refuse"), ("username", ""), ("password", "")], &[]).expect(303));
    assert_eq!((back["error"].as_str(), back["state"].as_str()), ("access_denied", "st&te="));
    assert_eq!(database.count(&format!("SELECT COUNT(*) FROM {}oauth_grants", database.own_tables())), 0);
    browser.open(&asking()).expect(200);
    let page = browser.send(&[("decision", "agree"), ("username", "ada"), ("password", "")], &[]).expect(400);
    assert!(page.text().contains("value=\"ada\"") && page.text().contains("role=\"alert\""));
}

/// Passwords can be found by trying, so after a few failures nothing is tried.
#[test]
fn guessing() {
    let database = crate::setup::application(Engine::Sqlite);
    let service = Service::start(&database, options().more("limits: { failures_per_minute: 3 }"));
    let mut browser = Browser::new(&service, "test");
    browser.open(&asking()).expect(200);
    for name in ["ada", "ADA ", "boss"] {
        browser.agree((name, "wrong")).expect(403);
    }
    let slow = browser.agree(BOSS).expect(429);
    guarded(&slow);
    assert!(slow.header("retry-after").is_some() && slow.text().contains("Too many failed attempts"));
    // The log names nobody: people type passwords into the wrong field.
    let log = service.said("could not sign in");
    assert!(!log.contains("wrong") && !log.contains("boss"), "{log}");
    // Clients are served all the same.
    Asking::new(&service, "test").post("revoke", None, &[("client_id", "app"), ("token", "x")]);
}
