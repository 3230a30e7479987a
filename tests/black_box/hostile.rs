//! What a client controls, used against the database: metacharacters, NUL, bytes that are no text, emoji, 100 kB, JSON
//! ten thousand deep. Nothing is damaged, nothing answers 500, and no statement that the server receives carries any of
//! it: statements are templates, and there are finitely many of them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::client::{self, Client};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::statements;

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Values to send, each with `marker` in it so that it is found wherever it goes.
fn values(marker: &str) -> Vec<String> {
    [
        "'; DROP TABLE people; --",
        "' OR '1'='1",
        "\\'; DELETE FROM people; -- ",
        "\"",
        "`",
        "\\",
        "%",
        "_%",
        "/*!50000 x */",
        "$1",
        "?",
        ":x",
        "${id}",
        "{{7*7}}",
        "$(id)",
        "\u{0}",
        "\u{1}",
        "\r\nX: y",
        "\u{202e}",
        "e\u{301}",
        "ß",
        "\u{1f9d1}\u{200d}\u{1f680}",
        "\u{feff}",
        "0x27",
        "1; SELECT SLEEP(9)",
        "NULL",
        "<script>",
    ]
    .iter()
    .map(|text| format!("{marker}{text}"))
    .chain([format!("{marker}{}", "x".repeat(100_000))])
    .collect()
}

/// Percent-encodes everything but letters and digits.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A JSON text for a filter.
fn quoted(text: &str) -> String {
    encode(&Value::from(text).to_string())
}

/// Sends each value in every place a client controls. Gives what answered 5xx, or what was no SCIM document.
fn send_everywhere(client: &mut Client, marker: &str, user: &str, group: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut send = |client: &mut Client, method: &str, path: &str, body: Option<&Value>| {
        let shown: String = path.chars().take(120).collect();
        match client.try_scim(method, path, body) {
            Ok(answer) if answer.status >= 500 => {
                problems.push(format!("{method} {shown}: {} {}", answer.status, answer.text()))
            }
            Ok(answer)
                if answer.status >= 400
                    && answer.status != 431
                    && answer.status != 414
                    && answer.json()["schemas"][0] != "urn:ietf:params:scim:api:messages:2.0:Error" =>
            {
                problems.push(format!("{method} {shown}: {} is no SCIM error: {}", answer.status, answer.text()));
            }
            Ok(_) => {}
            Err(failure) => problems.push(format!("{method} {shown}: {failure:?}")),
        }
    };
    for value in values(marker) {
        let value = value.as_str();
        for attribute in ["userName", "displayName", "title", "externalId", "preferredLanguage"] {
            let mut document = client::user(&format!("{marker}-{attribute}"), json!({}));
            document[attribute] = json!(value);
            send(client, "POST", "/Users", Some(&document));
        }
        send(
            client,
            "POST",
            "/Users",
            Some(&client::user(
                "x",
                json!({ value: value, "name": { "givenName": value, value: 1 }, "emails": [{ "value": value, "type": value }] }),
            )),
        );
        send(
            client,
            "POST",
            "/Users",
            Some(&client::user(
                &format!("{marker}-e"),
                json!({ ENTERPRISE: { "department": value, "employeeNumber": value, "manager": { "value": value } } }),
            )),
        );
        send(client, "POST", "/Users", Some(&json!({ "schemas": [value], "userName": value })));
        send(
            client,
            "PUT",
            &format!("/Users/{user}"),
            Some(&client::user(
                &format!("{marker}-put"),
                json!({ "title": value, "id": value, "meta": { "version": value } }),
            )),
        );
        for operation in [
            json!({ "op": "replace", "path": "title", "value": value }),
            json!({ "op": "replace", "path": format!("{ENTERPRISE}:department"), "value": value }),
            json!({ "op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": value }),
            json!({ "op": "add", "path": value, "value": value }),
            json!({ "op": "remove", "path": format!("emails[value eq {}]", json!(value)) }),
            json!({ "op": value, "path": "title", "value": "x" }),
            json!({ "op": "replace", "value": { value: value, "nickName": value, format!("{ENTERPRISE}:{value}"): value } }),
        ] {
            send(client, "PATCH", &format!("/Users/{user}"), Some(&client::patch(json!([operation]))));
        }
        for operation in [
            json!({ "op": "add", "path": "members", "value": [{ "value": value }] }),
            json!({ "op": "remove", "path": format!("members[value eq {}]", json!(value)) }),
            json!({ "op": "replace", "path": "displayName", "value": value }),
        ] {
            send(client, "PATCH", &format!("/Groups/{group}"), Some(&client::patch(json!([operation]))));
        }
        send(client, "POST", "/Groups", Some(&client::group(value, &[value])));
        send(
            client,
            "POST",
            "/Users/.search",
            Some(
                &json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": format!("title co {}", json!(value)), "sortBy": value, "attributes": [value] }),
            ),
        );
        // Beyond these, hyper's own bound on the request target is what answers.
        if value.len() > 4000 {
            continue;
        }
        for (operator, attribute) in [
            ("eq", "userName"),
            ("co", "title"),
            ("sw", "displayName"),
            ("ew", "emails.value"),
            ("gt", "meta.created"),
            ("eq", "id"),
            ("eq", "externalId"),
            ("ne", "groups.value"),
        ] {
            send(client, "GET", &format!("/Users?filter={attribute}+{operator}+{}", quoted(value)), None);
        }
        send(client, "GET", &format!("/Users?filter={}+eq+%22x%22", encode(value)), None);
        send(client, "GET", &format!("/Users?filter={}", encode(value)), None);
        send(client, "GET", &format!("/Groups?filter=members.value+eq+{}", quoted(value)), None);
        for parameter in
            ["sortBy", "sortOrder", "attributes", "excludedAttributes", "count", "startIndex", "cursor", "nonsense"]
        {
            send(client, "GET", &format!("/Users?{parameter}={}", encode(value)), None);
        }
        for method in ["GET", "DELETE", "PATCH", "PUT"] {
            let body = (method != "GET" && method != "DELETE").then(|| client::user("z", json!({ "Operations": [] })));
            send(client, method, &format!("/Users/{}", encode(value)), body.as_ref());
            send(client, method, &format!("/Groups/{}", encode(value)), body.as_ref());
        }
        let printable: String = value.chars().filter(|c| c.is_ascii_graphic()).collect();
        for name in ["User-Agent", "X-Forwarded-For", "If-Match", "Accept", "Accept-Language", "X-Request-Id"] {
            if let Ok(answer) = client.send("GET", &format!("/scim/v2/Users/{user}"), &[(name, &printable)], None)
                && answer.status >= 500
            {
                problems_of_header(name, answer.status);
            }
        }
    }
    problems
}

fn problems_of_header(name: &str, status: u16) {
    panic!("header {name}: {status}");
}

fn nothing_is_damaged(engine: Engine) {
    let database = Database::small(engine);
    database.execute(
        "INSERT INTO people (login, given, title, kind) VALUES ('bystander', 'B', 'untouched', 'person'), ('root', 'R', 'untouched', 'system')",
    );
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let user = client.post("/Users", &client::user("victim", json!({}))).expect(201).id();
    let group = client.post("/Groups", &client::group("victims", &[])).expect(201).id();

    let start = database.log().map(|_| statements::mark(&database));
    let mut templates: Vec<BTreeSet<String>> = Vec::new();
    for marker in ["zqfirst", "zqsecond", "zqthird"] {
        let problems = send_everywhere(&mut client, marker, &user, &group);
        assert!(problems.is_empty(), "{} answers of 5xx or none:\n{}", problems.len(), problems.join("\n"));
        if let Some(start) = start {
            templates.push(
                statements::since(&database, start).templates.iter().map(|text| statements::shape(text)).collect(),
            );
        }
    }
    let bystanders =
        database.rows("SELECT login, given, title, kind FROM people WHERE title = 'untouched' ORDER BY login");
    assert_eq!(bystanders.len(), 2, "{bystanders:?}");
    for table in ["people", "departments", "teams", "memberships", "equipment", "history"] {
        database.count(&format!("SELECT COUNT(*) FROM {table}"));
    }
    if let [first, second, third] = templates.as_slice() {
        for text in third {
            assert!(!text.contains("zq"), "a statement carries what the client sent: {text}");
        }
        // A connection that was idle for five seconds is asked whether it lives, and what was refused is journalled some at a
        // time: when, and how many, depends on the clock alone.
        let timed = |text: &str| text == "SELECT 1" || (text.starts_with("INSERT INTO") && text.contains("given_id"));
        let new: Vec<_> = third.difference(second).filter(|text| !timed(text)).collect();
        assert!(new.is_empty(), "the third round brought statements that the first two had not: {new:#?}");
        assert!(first.len() < 500, "{} templates", first.len());
    }
    // And it still works.
    client.get(&format!("/Users/{user}")).expect(200);
}

#[test]
fn values_on_mariadb() {
    nothing_is_damaged(Engine::MariaDb);
}

#[test]
fn values_on_postgres() {
    nothing_is_damaged(Engine::Postgres);
}

#[test]
fn values_on_sqlite() {
    nothing_is_damaged(Engine::Sqlite);
}

/// What is stored is what was sent, byte for byte, for texts that a careless layer would alter.
fn kept_exactly(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    for (number, text) in [
        "O'Brien",
        "back\\slash",
        "\"quoted\"",
        "100%",
        "a_b",
        "ß",
        "e\u{301}",
        "\u{1f9d1}\u{200d}\u{1f680}",
        "日本語",
        "a\tb",
        "?",
        "$1",
        "${id}",
        "NULL",
    ]
    .iter()
    .enumerate()
    {
        let created =
            client.post("/Users", &client::user(&format!("kept{number}"), json!({ "title": text }))).expect(201);
        assert_eq!(client.get(&format!("/Users/{}", created.id())).expect(200).json()["title"], *text);
        let found = client.get(&format!("/Users?filter=title+eq+{}", quoted(text))).expect(200).json();
        assert_eq!(found["totalResults"], 1, "title eq {text:?}: {found}");
        let starts = client.get(&format!("/Users?filter=title+sw+{}", quoted(text))).expect(200).json();
        assert_eq!(starts["totalResults"], 1, "title sw {text:?}: {starts}");
    }
}

#[test]
fn kept_exactly_on_mariadb() {
    kept_exactly(Engine::MariaDb);
}

#[test]
fn kept_exactly_on_postgres() {
    kept_exactly(Engine::Postgres);
}

#[test]
fn kept_exactly_on_sqlite() {
    kept_exactly(Engine::Sqlite);
}

/// Bodies that are no JSON, or JSON to choke on: 400 with a SCIM error, and the tables as they were.
#[test]
fn bodies() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let mut send = |body: &[u8]| {
        client
            .send("POST", "/scim/v2/Users", &[("Content-Type", "application/scim+json")], Some(body))
            .expect("an answer")
    };
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_map = format!("{{\"userName\":\"deep\",\"x\":{}1{}}}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let bodies: [&[u8]; 12] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\"x\"",
        b"{\"userName\": \"a\"} x",
        b"{\"userName\": \"\xff\xfe\"}",
        b"\xef\xbb\xbf\x00",
        b"{\"userName\": 1e999}",
        b"{\"userName\": \"\\ud800\"}",
        deep.as_bytes(),
        deep_map.as_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = send(body);
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
        assert_eq!(
            answer.json()["schemas"][0],
            "urn:ietf:params:scim:api:messages:2.0:Error",
            "{shown}: {}",
            answer.text()
        );
    }
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 0);
}

/// A filter too deep or too long is refused by name, not by a stack that ends.
#[test]
fn filters() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let nested = format!("{}title pr{}", "(".repeat(200), ")".repeat(200));
    client.get(&format!("/Users?filter={}", encode(&nested))).expect_error(400, Some("invalidFilter"), "");
    let long = format!("title eq \"{}\"", "x".repeat(9000));
    let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": long });
    client.post("/Users/.search", &search).expect_error(400, Some("invalidFilter"), "");
    for wrong in [
        "userName",
        "userName eq",
        "eq \"x\"",
        "userName eq \"x",
        "userName xx \"x\"",
        "userName eq \"x\" and",
        "(userName pr",
        "not userName pr",
        "emails[",
        "userName eq 'x'",
    ] {
        client.get(&format!("/Users?filter={}", encode(wrong))).expect_error(400, Some("invalidFilter"), "");
    }
}
