//! The HTTP surface (RFC 7644 3.1, 3.8, 3.12, 3.14 and 4): media types, Accept, methods, conditional requests, discovery,
//! and the switches that change what is answered.

use serde_json::{Value, json};

use crate::support::client::{self, Answer, Client};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const SCIM: (&str, &str) = ("Content-Type", "application/scim+json");

fn send(client: &mut Client, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
    let body = body.map(|body| serde_json::to_vec(body).expect("JSON"));
    client.send(method, &format!("/scim/v2{path}"), headers, body.as_deref()).expect("an answer")
}

#[track_caller]
fn is_error(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json()["schemas"], json!([ERROR]));
    assert_eq!(answer.json()["status"], status.to_string());
    assert!(answer.json()["detail"].as_str().is_some_and(|text| !text.is_empty()), "{}", answer.text());
}

#[test]
fn media_types() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    for (n, (content_type, accepted)) in [
        (Some("application/scim+json"), true),
        (Some("application/scim+json; charset=utf-8"), true),
        (Some("application/scim+json;charset=\"UTF-8\""), true),
        (Some("application/json"), true),
        (Some("APPLICATION/JSON; charset=utf8; x=y"), true),
        (None, true),
        (Some("application/scim+json; charset=iso-8859-1"), false),
        (Some("application/json; charset=utf-16"), false),
        (Some("text/plain"), false),
        (Some("text/json"), false),
        (Some("application/xml"), false),
        (Some("application/x-www-form-urlencoded"), false),
        (Some("multipart/form-data; boundary=x"), false),
        (Some(""), false),
    ]
    .into_iter()
    .enumerate()
    {
        let headers: Vec<(&str, &str)> = content_type.map(|kind| ("Content-Type", kind)).into_iter().collect();
        let body = client::user(&format!("u{n}"), json!({}));
        let answer = send(&mut client, "POST", "/Users", &headers, Some(&body));
        if accepted {
            assert_eq!(answer.status, 201, "{content_type:?}: {}", answer.text());
        } else {
            is_error(&answer, 415);
            assert_eq!(answer.header("accept"), Some("application/scim+json, application/json"), "{content_type:?}");
        }
    }
    let compressed = send(&mut client, "POST", "/Users", &[SCIM, ("Content-Encoding", "gzip")], Some(&json!({})));
    is_error(&compressed, 415);
    assert_eq!(compressed.header("accept-encoding"), Some("identity"));
    let latin = client.send("POST", "/scim/v2/Users", &[SCIM], Some(b"{\"userName\":\"caf\xe9\"}")).expect("an answer");
    is_error(&latin, 400);
}

#[test]
fn accept() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    for (accept, expected) in [
        ("application/scim+json", Some("application/scim+json")),
        ("application/json", Some("application/json")),
        ("application/json, text/plain, */*", Some("application/scim+json")),
        ("*/*", Some("application/scim+json")),
        ("application/*;q=0.1", Some("application/scim+json")),
        ("application/scim+json;q=0, application/json", Some("application/json")),
        ("text/html", None),
        ("*/*;q=0", None),
        ("application/xml, text/*;q=0.9", None),
    ] {
        for path in ["/Users", "/Schemas", "/Users/999999"] {
            let answer = send(&mut client, "GET", path, &[("Accept", accept)], None);
            let kind = answer.header("content-type");
            match expected {
                Some(_) => assert_eq!(kind, expected, "{accept} {path}"),
                None => is_error(&answer, 406),
            }
        }
    }
    // Nothing is done for who could not read what was done.
    let body = client::user("nobody", json!({}));
    is_error(&send(&mut client, "POST", "/Users", &[SCIM, ("Accept", "text/html")], Some(&body)), 406);
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 0);
    // A DELETE has no answer to be read.
    let id = client.post("/Users", &body).expect(201).id();
    assert_eq!(send(&mut client, "DELETE", &format!("/Users/{id}"), &[("Accept", "text/html")], None).status, 204);
}

#[test]
fn methods() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let id = client.post("/Users", &client::user("ada", json!({}))).expect(201).id();
    let one = format!("/Users/{id}");
    for (path, allow, other) in [
        ("/Users", "GET, HEAD, POST, OPTIONS", &["PUT", "PATCH", "DELETE"][..]),
        (one.as_str(), "GET, HEAD, PUT, PATCH, DELETE, OPTIONS", &["POST"]),
        ("/Users/.search", "POST, OPTIONS", &["GET", "PUT", "PATCH", "DELETE"]),
        ("/Bulk", "POST, OPTIONS", &["GET", "PUT", "PATCH", "DELETE"]),
        ("/ServiceProviderConfig", "GET, HEAD, OPTIONS", &["POST", "PUT", "PATCH", "DELETE"]),
        ("/ServiceProviderConfigs", "GET, HEAD, OPTIONS", &["POST", "PUT", "PATCH", "DELETE"]),
        ("/ResourceTypes", "GET, HEAD, OPTIONS", &["POST", "PUT", "PATCH", "DELETE"]),
        ("/ResourceTypes/User", "GET, HEAD, OPTIONS", &["POST", "PUT", "PATCH", "DELETE"]),
        ("/Schemas", "GET, HEAD, OPTIONS", &["POST", "PUT", "PATCH", "DELETE"]),
        ("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User", "GET, HEAD, OPTIONS", &["POST", "PUT", "DELETE"]),
    ] {
        let options = send(&mut client, "OPTIONS", path, &[], None);
        assert_eq!((options.status, options.header("allow"), options.body.len()), (204, Some(allow), 0), "{path}");
        for method in other {
            let body = (*method != "GET").then(|| json!({}));
            let answer = send(&mut client, method, path, &[SCIM], body.as_ref());
            is_error(&answer, 405);
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
        }
        if allow.starts_with("GET") {
            let (get, head) = (send(&mut client, "GET", path, &[], None), send(&mut client, "HEAD", path, &[], None));
            assert_eq!((get.status, head.status), (200, 200), "{path}");
            assert!(head.body.is_empty());
            for name in ["content-type", "etag", "content-length"] {
                assert_eq!(head.header(name), get.header(name), "{name} of {path}");
            }
        }
    }
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        is_error(&send(&mut client, method, "/Me", &[SCIM], (method != "GET").then_some(&json!({}))), 501);
    }
    is_error(&send(&mut client, "OPTIONS", "/Nothing", &[], None), 404);
}

#[test]
fn strangers() {
    let database = Database::small(Engine::Sqlite);
    let servers = "{ test: { default: true }, open: { discovery_without_authentication: true }, \
                   near: { discovery_without_authentication: true, allow_from: [192.0.2.0/24] }, \
                   off: { discovery_without_authentication: true, active: false } }";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    let discovery = ["/ServiceProviderConfig", "/ServiceProviderConfigs", "/ResourceTypes/User", "/Schemas"];
    let mut nobody = service.client().anonymous();
    for path in discovery.iter().chain(&["/Users", "/Me", "/Nothing", "/Bulk"]) {
        let answer = nobody.get(path);
        is_error(&answer, 401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"scim\""), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/scim+json"));
    }
    let wrong = send(&mut nobody, "GET", "/Users", &[("Authorization", "Bearer x")], None);
    is_error(&wrong, 401);
    assert_eq!(wrong.header("www-authenticate"), Some("Bearer realm=\"scim\", error=\"invalid_token\""));

    let mut nobody = service.client_with("/scim/open/v2", None);
    for path in discovery {
        nobody.get(path).expect(200);
        assert_eq!(nobody.send("HEAD", &format!("/scim/open/v2{path}"), &[], None).expect("an answer").status, 200);
        is_error(&nobody.post(path, &json!({})), 401);
        is_error(&nobody.get(&format!("{path}?filter=id%20pr")), 403);
    }
    for path in ["/Users", "/Groups/1", "/Me"] {
        is_error(&nobody.get(path), 401);
    }
    is_error(&nobody.post("/Users", &client::user("x", json!({}))), 401);
    is_error(&service.client_with("/scim/near/v2", None).get("/Schemas"), 403);
    is_error(&service.client_with("/scim/off/v2", None).get("/Schemas"), 403);
}

#[test]
fn conditional_requests() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small());
        let mut client = service.client();
        let created = client.post("/Users", &client::user("ada", json!({}))).expect(201);
        let member = created.id();
        let group = client.post("/Groups", &client::group("team", &[&member])).expect(201);
        for (path, etag, body) in [
            // The group first: it is another without its member.
            (format!("/Groups/{}", group.id()), group.header("etag"), client::group("team", &[&member])),
            (format!("/Users/{member}"), created.header("etag"), client::user("ada", json!({}))),
        ] {
            let etag = etag.expect("a version").to_owned();
            let bare = etag.trim_start_matches("W/").to_owned();
            let many = format!("\"x\", {etag} , W/\"y\"");
            for (tag, found) in [(etag.as_str(), true), (&bare, true), (&many, true), ("*", true), ("W/\"x\"", false)] {
                let get = |client: &mut Client, name| send(client, "GET", &path, &[(name, tag)], None).status;
                assert_eq!(get(&mut client, "If-None-Match"), if found { 304 } else { 200 }, "{engine:?} {path} {tag}");
                assert_eq!(get(&mut client, "If-Match"), if found { 200 } else { 412 }, "{engine:?} {path} {tag}");
                let put =
                    |client: &mut Client, name| send(client, "PUT", &path, &[SCIM, (name, tag)], Some(&body)).status;
                assert_eq!(put(&mut client, "If-Match"), if found { 200 } else { 412 }, "{engine:?} {path} {tag}");
                assert_eq!(put(&mut client, "If-None-Match"), if found { 412 } else { 200 }, "{engine:?} {path} {tag}");
                let noop = client::patch(json!([{ "op": "replace", "path": "externalId", "value": null }]));
                let patch =
                    |client: &mut Client, name| send(client, "PATCH", &path, &[SCIM, (name, tag)], Some(&noop)).status;
                // Of a group the answer would carry the members.
                let done = if path.starts_with("/Groups") { 204 } else { 200 };
                assert_eq!(patch(&mut client, "If-Match"), if found { done } else { 412 }, "{engine:?} {path} {tag}");
                assert_eq!(
                    patch(&mut client, "If-None-Match"),
                    if found { 412 } else { done },
                    "{engine:?} {path} {tag}"
                );
            }
            // Nothing of all that changed anything, so the version is what it was.
            assert_eq!(client.get(&path).expect(200).header("etag"), Some(etag.as_str()), "{engine:?}");
            assert_eq!(send(&mut client, "DELETE", &path, &[("If-Match", "\"x\"")], None).status, 412);
            assert_eq!(send(&mut client, "DELETE", &path, &[("If-None-Match", &etag)], None).status, 412);
            assert_eq!(send(&mut client, "DELETE", &path, &[("If-Match", &many)], None).status, 204);
        }
        // A collection has no version.
        let body = client::user("bob", json!({}));
        is_error(&send(&mut client, "POST", "/Users", &[SCIM, ("If-Match", "W/\"x\"")], Some(&body)), 412);
        assert_eq!(send(&mut client, "POST", "/Users", &[SCIM, ("If-None-Match", "*")], Some(&body)).status, 201);
        // Discovery: strong, and not modified.
        for path in ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas", "/ResourceTypes/Group"] {
            let etag = client.get(path).expect(200).header("etag").expect("a version").to_owned();
            assert!(etag.starts_with('"'), "{etag}");
            assert_eq!(send(&mut client, "GET", path, &[("If-None-Match", &etag)], None).status, 304);
        }
    }
}

/// Answers in part (RFC 7644 3.9), by every method that has one; what is not asked for is not there.
#[test]
fn projection_on_writes() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let user = client::user("ada", json!({ "title": "t", "name": { "givenName": "A", "familyName": "B" } }));
    let keys = |answer: &Answer| answer.json().as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let created = client.post("/Users?attributes=title", &user).expect(201);
    assert_eq!(keys(&created), ["schemas", "id", "title"]);
    let path = format!("/Users/{}", created.id());
    let put = client.put(&format!("{path}?excludedAttributes=meta,name,displayName"), &user).expect(200);
    assert_eq!(keys(&put), ["schemas", "id", "userName", "active", "title"]);
    let operations = json!([{ "op": "replace", "path": "title", "value": "u" }]);
    let patched = client.patch(&format!("{path}?attributes=name.givenName"), operations).expect(200);
    assert_eq!(
        patched.json(),
        json!({ "schemas": patched.json()["schemas"], "id": created.id(), "name": { "givenName": "A" } })
    );
    let group = client.post("/Groups?excludedAttributes=members", &client::group("g", &[&created.id()])).expect(201);
    assert!(group.json().get("members").is_none());
    let operations = json!([{ "op": "add", "path": "members", "value": [{ "value": created.id() }] }]);
    let path = format!("/Groups/{}", group.id());
    client.patch(&path, operations.clone()).expect(204);
    let shown = client.patch(&format!("{path}?attributes=members"), operations).expect(200).json();
    assert_eq!(shown["members"][0]["value"], created.id());
}

/// `switches` and what they change.
#[test]
fn switches() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let servers = "{ test: { default: true }, quiet: { switches: { patch_answers: 204 } }, \
                       keeping: { switches: { put: keep_unmentioned } }, strict: { switches: { no_target: refuse } } }";
        let service = Service::start(&database, Options::small().identity_servers(servers));
        let full = client::user(
            "ada",
            json!({ "title": "t", "name": { "givenName": "A", "familyName": "B" }, "phoneNumbers": [{ "type": "work", "value": "1" }] }),
        );
        let of = |name: &str| service.client_with(&format!("/scim/{name}/v2"), Some(service.issue(name)));
        let path = format!("/Users/{}", service.client().post("/Users", &full).expect(201).id());

        // 204, with the version that it has now; 200 where the request says what it wants to see.
        let mut quiet = of("quiet");
        let answer = quiet.patch(&path, json!([{ "op": "replace", "path": "title", "value": "u" }])).expect(204);
        assert_eq!(answer.header("etag"), quiet.get(&path).expect(200).header("etag"), "{engine:?}");
        let answer = quiet
            .patch(&format!("{path}?attributes=title"), json!([{ "op": "replace", "path": "title", "value": "v" }]));
        assert_eq!(answer.expect(200).json()["title"], "v");

        // What a PUT does not mention stays; null, "" and [] clear; members too.
        let mut keeping = of("keeping");
        let put = keeping
            .put(&path, &json!({ "userName": "ada2", "title": null, "name": { "familyName": "" } }))
            .expect(200)
            .json();
        assert_eq!((&put["userName"], put.get("title")), (&json!("ada2"), None), "{engine:?} {put}");
        assert_eq!((&put["name"]["givenName"], put["name"].get("familyName")), (&json!("A"), None));
        assert_eq!(put["phoneNumbers"][0]["value"], "1");
        let put = keeping.put(&path, &json!({ "phoneNumbers": [] })).expect(200).json();
        assert_eq!((&put["userName"], put.get("phoneNumbers")), (&json!("ada2"), None), "{engine:?} {put}");
        let member = path.rsplit('/').next().unwrap();
        let group = format!("/Groups/{}", keeping.post("/Groups", &client::group("g", &[member])).expect(201).id());
        let put = keeping.put(&group, &json!({ "displayName": "h" })).expect(200).json();
        assert_eq!((&put["displayName"], &put["members"][0]["value"]), (&json!("h"), &json!(member)));
        let put = keeping.put(&group, &json!({ "members": [] })).expect(200).json();
        assert!(put.get("members").is_none() && put["displayName"] == "h", "{put}");
        // The others' PUT clears.
        let put = service.client().put(&path, &json!({ "userName": "ada2", "displayName": "D" })).expect(200).json();
        assert!(put["name"].get("familyName").is_none() && put.get("title").is_none(), "{put}");

        // RFC 7644 3.5.2.3 to the letter, or what several clients count on.
        let operations = json!([{ "op": "replace", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "2" }]);
        let before = database.table("people");
        of("strict").patch(&path, operations.clone()).expect_error(400, Some("noTarget"), "phoneNumbers");
        assert_eq!(database.table("people"), before);
        let made = service.client().patch(&path, operations.clone()).expect(200).json();
        assert_eq!(made["phoneNumbers"], json!([{ "type": "mobile", "value": "2" }]), "{engine:?}");
        of("strict").patch(&path, operations).expect(200);
        // add has no such rule.
        of("strict")
            .patch(&path, json!([{ "op": "add", "path": "phoneNumbers[type eq \"work\"].value", "value": "3" }]))
            .expect(200);
    }
}

/// PUT (RFC 7644 3.5.1): what is read-only is not looked at, what is immutable must match, what is not mapped stays.
#[test]
fn put_by_mutability() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let adapter = std::fs::read_to_string(crate::support::file("tests/adapters/small.yaml")).expect("the adapter");
        let adapter = adapter.replace(
            "employeeNumber: { column: staff_no, type: text }",
            "employeeNumber: { column: staff_no, type: text, mutability: immutable }",
        );
        assert!(adapter.contains("immutable"));
        let service = Service::start(&database, Options::written(adapter));
        let mut client = service.client();
        const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        let with =
            |number: Value| client::user("ada", json!({ "title": "t", ENTERPRISE: { "employeeNumber": number } }));
        let path = format!("/Users/{}", client.post("/Users", &client::user("ada", json!({}))).expect(201).id());
        database.execute("UPDATE people SET badge = 'legacy'");
        // Without a value it takes one; with one it takes no other, and keeps it where it is left out.
        let number = |answer: Answer| answer.expect(200).json()[ENTERPRISE]["employeeNumber"].clone();
        assert_eq!(number(client.put(&path, &with(json!("7")))), "7", "{engine:?}");
        assert_eq!(number(client.put(&path, &with(json!("7")))), "7");
        client.put(&path, &with(json!("8"))).expect_error(400, Some("mutability"), "employeeNumber");
        assert_eq!(number(client.put(&path, &client::user("ada", json!({})))), "7");
        assert_eq!(number(client.put(&path, &with(Value::Null))), "7");
        let replace =
            |value: Value| json!([{ "op": "replace", "path": format!("{ENTERPRISE}:employeeNumber"), "value": value }]);
        client.patch(&path, replace(json!("8"))).expect_error(400, Some("mutability"), "employeeNumber");
        client.patch(&path, replace(json!("7"))).expect(200);
        // Read-only, wrong or not: ignored.
        let mut body = client::user(
            "ada",
            json!({ "id": "4711", "groups": [{ "value": "1" }], "meta": { "version": "W/\"x\"" } }),
        );
        body["name"] = json!({ "formatted": "somebody else", "givenName": "Ada" });
        let put = client.put(&path, &body).expect(200).json();
        assert_eq!((&put["name"]["formatted"], put.get("groups")), (&json!("Ada"), None), "{engine:?} {put}");
        assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE badge = 'legacy'"), 1, "{engine:?}");
        assert!(put.get("title").is_none(), "left out: cleared");
    }
}

/// What the profiles preset is told to people and to scripts, and is what the configuration takes.
#[test]
fn profiles() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::prepare(&database, Options::small());
    let table = service.run(&["adapters", "--profiles"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.lines().any(|line| line.split_whitespace().eq(["okta", "auto", "keep_unmentioned", "make", "refuse"])),
        "{table}"
    );
    let told = service.run(&["adapters", "--profiles", "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(
        told["standard"],
        json!({ "patch_answers": "200", "put": "replace", "no_target": "make", "adopt": "refuse" })
    );
    for (profile, switches) in told.as_object().unwrap() {
        let more = format!("{{ test: {{ profile: {profile}, switches: {switches} }} }}");
        let service = Service::prepare(&database, Options::small().identity_servers(&more));
        let checked = service.run(&["check", "--offline"]);
        assert!(checked.status.success(), "{profile}: {}", crate::support::service::describe(&checked));
    }
}

/// An adapter's parameters, for scripts: defaults are values.
#[test]
fn parameters_of_an_adapter() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::prepare(&database, Options::small());
    let told = service.run(&["adapters", crate::support::file("adapters/snipe-it.yaml").to_str().unwrap(), "--json"]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let default = |name: &str| {
        let parameters = told["parameters"].as_array().unwrap();
        &parameters.iter().find(|parameter| parameter["name"] == name).unwrap()["default"]
    };
    assert_eq!((default("table_prefix"), default("time_zone")), (&json!(""), &json!("UTC")));
    assert_eq!(default("passwords"), &json!(false));
}
