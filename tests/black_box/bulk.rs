//! Bulk requests (RFC 7644 3.7) as a client sees them, and what they leave in the database: references in any order,
//! circles, failOnErrors, both transaction modes, versions, limits, time.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{self, Client};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const TOGETHER: &str = "{ test: { default: true, bulk_transaction: request } }";

/// A POST of a user, with more attributes.
pub fn post_user(bulk_id: &str, user_name: &str, more: Value) -> Value {
    json!({ "method": "POST", "path": "/Users", "bulkId": bulk_id, "data": client::user(user_name, more) })
}

pub fn post_group(bulk_id: &str, name: &str, members: &[&str]) -> Value {
    json!({ "method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": client::group(name, members) })
}

fn managed_by(id: &str) -> Value {
    json!({ ENTERPRISE: { "manager": { "value": id } } })
}

pub fn request(operations: Vec<Value>) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations })
}

#[track_caller]
pub fn bulk(client: &mut Client, operations: Vec<Value>) -> Vec<Value> {
    answers(client.post("/Bulk", &request(operations)).expect(200).json())
}

/// The operations of an answer, after a look at what all of them have (RFC 7644 3.7.3).
#[track_caller]
pub fn answers(answer: Value) -> Vec<Value> {
    assert_eq!(answer["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]), "{answer}");
    let operations = answer["Operations"].as_array().expect("a list").clone();
    for operation in &operations {
        let status: u16 = operation["status"].as_str().expect("a text").parse().expect("a status");
        let failed = status >= 400;
        assert_eq!(operation.get("response").is_some(), failed, "{operation}");
        if failed {
            assert_eq!(operation["response"]["status"], operation["status"], "{operation}");
            assert_eq!(operation["response"]["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        } else {
            assert!(operation["location"].as_str().is_some_and(|url| url.starts_with("https://")), "{operation}");
        }
        assert!(!(failed && operation["method"] == "POST" && operation.get("location").is_some()), "{operation}");
    }
    operations
}

pub fn statuses(operations: &[Value]) -> Vec<&str> {
    operations.iter().map(|operation| operation["status"].as_str().unwrap_or_default()).collect()
}

fn id_of(operation: &Value) -> String {
    operation["location"].as_str().and_then(|url| url.rsplit('/').next()).expect("a location").to_owned()
}

/// Every method, every type, references forward and backward, in a path, in a PATCH path.
#[test]
fn references_in_any_order() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small());
        let mut client = service.client();
        let old = client.post("/Users", &client::user("old", json!({}))).expect(201).id();
        let gone = client.post("/Users", &client::user("gone", json!({}))).expect(201).id();
        let staff = client.post("/Groups", &client::group("staff", &[&gone])).expect(201).id();
        let base = service.url();
        let done = bulk(
            &mut client,
            vec![
                post_group("g", "new", &["bulkId:a", "bulkId:b", &old]),
                json!({ "method": "PATCH", "path": format!("/Groups/{staff}"), "bulkId": "echo", "data": client::patch(json!([
                    { "op": "add", "path": "members", "value": [{ "value": "bulkId:a" }] },
                    { "op": "add", "path": "members", "value": [{ "value": "bulkId:b" }] },
                    { "op": "remove", "path": "members[value eq \"bulkId:b\"]" },
                ])) }),
                json!({ "method": "PATCH", "path": "/Groups/bulkId:g", "data": client::patch(json!([
                    { "op": "replace", "path": "displayName", "value": "renamed" },
                ])) }),
                post_user("a", "ada", managed_by("bulkId:b")),
                json!({ "method": "put", "path": format!("{base}/scim/v2/Users/{old}/"), "data": client::user("older", json!({ "title": "t" })) }),
                post_user("b", "bob", json!({})),
                json!({ "method": "DELETE", "path": format!("Users/{gone}") }),
            ],
        );
        // 204 where the answer would carry a membership; the others say their versions.
        assert_eq!(statuses(&done), ["201", "204", "204", "201", "200", "201", "204"], "{engine:?} {done:?}");
        let methods: Vec<&str> = done.iter().map(|one| one["method"].as_str().unwrap()).collect();
        assert_eq!(methods, ["POST", "PATCH", "PATCH", "POST", "PUT", "POST", "DELETE"]);
        let bulk_ids: Vec<Option<&str>> = done.iter().map(|one| one.get("bulkId").and_then(Value::as_str)).collect();
        assert_eq!(bulk_ids, [Some("g"), Some("echo"), None, Some("a"), None, Some("b"), None]);
        assert_eq!(done[6]["location"], format!("{base}/scim/v2/Users/{gone}"));
        assert!([1, 2, 6].iter().all(|without| done[*without].get("version").is_none()), "{done:?}");

        let (ada, bob, new) = (id_of(&done[3]), id_of(&done[5]), id_of(&done[0]));
        let group = client.get(&format!("/Groups/{new}")).expect(200);
        let group = group.json();
        assert_eq!(group["displayName"], "renamed");
        let mut members: Vec<&str> =
            group["members"].as_array().unwrap().iter().map(|m| m["value"].as_str().unwrap()).collect();
        members.sort_unstable();
        let mut expected = vec![ada.as_str(), bob.as_str(), old.as_str()];
        expected.sort_unstable();
        assert_eq!(members, expected);
        let user = client.get(&format!("/Users/{ada}")).expect(200).json();
        assert_eq!(user[ENTERPRISE]["manager"]["value"], bob);
        let user = client.get(&format!("/Users/{old}")).expect(200);
        assert_eq!(user.header("etag"), done[4]["version"].as_str());
        assert_eq!(user.json()["userName"], "older");
        client.get(&format!("/Users/{gone}")).expect(404);
        let of_staff =
            format!("SELECT COUNT(*) FROM memberships WHERE team_id = {staff} AND person_id IN ({ada}, {bob})");
        assert_eq!(database.count(&of_staff), 1, "{engine:?}");
    }
}

/// RFC 7644 3.7.1: what refers to each other is created without, and completed; a circle that cannot be is nothing.
#[test]
fn circles() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small());
        let mut client = service.client();
        let done = bulk(
            &mut client,
            vec![
                post_group("g", "circle", &["bulkId:a"]),
                post_user("a", "ada", managed_by("bulkId:b")),
                post_user("b", "bob", managed_by("bulkId:c")),
                post_user("c", "cyd", managed_by("bulkId:a")),
            ],
        );
        assert_eq!(statuses(&done), ["201"; 4], "{engine:?} {done:?}");
        for (who, manager) in [(1, 2), (2, 3), (3, 1)] {
            let user = client.get(&format!("/Users/{}", id_of(&done[who]))).expect(200);
            assert_eq!(user.header("etag"), done[who]["version"].as_str(), "the version after it was completed");
            assert_eq!(user.json()[ENTERPRISE]["manager"]["value"], id_of(&done[manager]));
        }
        let (people, history) = (database.table("people"), database.table("history"));

        // One of the circle cannot be created: nothing of it is, and what depends on it fails with it.
        let done = bulk(
            &mut client,
            vec![
                post_user("x", "xan", managed_by("bulkId:y")),
                post_user("y", "ada", managed_by("bulkId:x")),
                post_group("h", "hopeless", &["bulkId:x"]),
                // Oneself is a circle too, and no manager.
                post_user("z", "zoe", managed_by("bulkId:z")),
            ],
        );
        assert_eq!(statuses(&done), ["409", "409", "409", "400"], "{engine:?} {done:?}");
        assert_eq!(done[1]["response"]["scimType"], "uniqueness");
        assert!(done[0]["response"]["detail"].as_str().unwrap().contains("operation 2"), "{:?}", done[0]);
        assert!(done[2]["response"]["detail"].as_str().unwrap().contains("bulkId:x"), "{:?}", done[2]);
        assert!(done[3]["response"]["detail"].as_str().unwrap().contains("cannot be the resource itself"));
        assert_eq!((database.table("people"), database.table("history")), (people, history), "{engine:?}");
        assert_eq!(database.count("SELECT COUNT(*) FROM teams"), 1);
    }
}

/// RFC 7644 3.7.3: as many errors as are accepted, exactly; what was not carried out is not answered.
#[test]
fn fail_on_errors() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small());
        let mut client = service.client();
        let operations = |name: &str| {
            vec![
                post_user("1", &format!("{name}1"), json!({})),
                post_user("2", &format!("{name}1"), json!({})),
                post_user("3", &format!("{name}3"), json!({})),
                json!({ "method": "DELETE", "path": "/Users/999999" }),
                post_user("5", &format!("{name}5"), json!({})),
            ]
        };
        for (most, expected) in [
            (json!(1), &["201", "409"][..]),
            (json!(2), &["201", "409", "201", "404"]),
            (json!(3), &["201", "409", "201", "404", "201"]),
            (Value::Null, &["201", "409", "201", "404", "201"]),
        ] {
            let before = database.count("SELECT COUNT(*) FROM people");
            let mut body = request(operations(&format!("most-{most}-")));
            body["failOnErrors"] = most.clone();
            let done = answers(client.post("/Bulk", &body).expect(200).json());
            assert_eq!(statuses(&done), expected, "{engine:?} {most}");
            let created = i64::try_from(expected.iter().filter(|status| **status == "201").count()).unwrap();
            assert_eq!(database.count("SELECT COUNT(*) FROM people") - before, created, "{engine:?} {most}");
        }
    }
}

/// A failure half-way: by default what stands before and after it stays; as one transaction nothing does.
#[test]
fn one_failure_half_way() {
    for engine in Engine::ALL {
        for together in [false, true] {
            let database = Database::small(engine);
            let mut options = Options::small();
            if together {
                options = options.identity_servers(TOGETHER);
            }
            let service = Service::start(&database, options);
            let mut client = service.client();
            let old = client.post("/Users", &client::user("old", json!({ "title": "before" }))).expect(201).id();
            let tables = ["people", "teams", "memberships", "history", "departments"];
            let before: Vec<_> = tables.iter().map(|table| database.table(table)).collect();
            let retitle = client::patch(json!([{ "op": "replace", "path": "title", "value": "after" }]));
            let operations = |last: Value| {
                vec![
                    post_group("g", "team", &["bulkId:a"]),
                    post_user("a", "ada", json!({ ENTERPRISE: { "department": "made on the way" } })),
                    json!({ "method": "PATCH", "path": format!("/Users/{old}"), "data": retitle }),
                    json!({ "method": "DELETE", "path": "/Users/bulkId:a" }),
                    post_user("b", "bob", managed_by("bulkId:c")),
                    post_user("c", "cyd", managed_by("bulkId:b")),
                    last,
                    post_user("d", "dan", json!({})),
                ]
            };
            let done = bulk(&mut client, operations(post_user("e", "old", json!({}))));
            let after: Vec<_> = tables.iter().map(|table| database.table(table)).collect();
            if together {
                assert_eq!(
                    statuses(&done),
                    ["424", "424", "424", "424", "424", "424", "409", "424"],
                    "{engine:?} {done:?}"
                );
                assert_eq!(done[6]["response"]["scimType"], "uniqueness");
                assert!(done[7]["response"]["detail"].as_str().unwrap().contains("operation 7"), "{:?}", done[7]);
                assert_eq!(after, before, "{engine:?}: rolled back whole");
                // And without the failure it is all there.
                let done = bulk(&mut client, operations(post_user("e", "eve", json!({}))));
                assert_eq!(
                    statuses(&done),
                    ["201", "201", "200", "204", "201", "201", "201", "201"],
                    "{engine:?} {done:?}"
                );
            } else {
                assert_eq!(
                    statuses(&done),
                    ["201", "201", "200", "204", "201", "201", "409", "201"],
                    "{engine:?} {done:?}"
                );
            }
            let alive = database.count("SELECT COUNT(*) FROM people WHERE gone_at IS NULL");
            assert_eq!(alive, if together { 5 } else { 4 }, "{engine:?}");
            assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE title = 'after'"), 1);
            assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE manager_id IS NOT NULL"), 2);
            assert_eq!(database.count("SELECT COUNT(*) FROM departments"), 1);
            // An operation that cannot be understood fails the same way, before the database is asked.
            if together {
                let before = database.table("people");
                let done = bulk(
                    &mut client,
                    vec![post_user("1", "one", json!({})), json!({ "method": "GET", "path": "/Users" })],
                );
                assert_eq!(statuses(&done), ["424", "400"]);
                assert_eq!(database.table("people"), before);
            }
        }
    }
}

/// `version` is If-Match (RFC 7644 3.7), and `may` holds for each operation.
#[test]
fn versions_and_permissions() {
    let database = Database::small(Engine::Sqlite);
    let servers = "{ test: { default: true }, limited: { may: { User: [create, read], Group: [read] } } }";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    let mut client = service.client();
    let created = client.post("/Users", &client::user("ada", json!({}))).expect(201);
    let (id, version) = (created.id(), created.header("etag").unwrap().to_owned());
    let path = format!("/Users/{id}");
    let titled = |title: &str| client::patch(json!([{ "op": "replace", "path": "title", "value": title }]));
    let done = bulk(
        &mut client,
        vec![
            json!({ "method": "PATCH", "path": path, "version": "W/\"other\"", "data": titled("no") }),
            json!({ "method": "PUT", "path": path, "version": "\"other\"", "data": client::user("no", json!({})) }),
            json!({ "method": "DELETE", "path": path, "version": "W/\"other\"" }),
            json!({ "method": "PATCH", "path": path, "version": version, "data": titled("yes") }),
            json!({ "method": "PATCH", "path": path, "version": version, "data": titled("too late") }),
        ],
    );
    assert_eq!(statuses(&done), ["412", "412", "412", "200", "412"], "{done:?}");
    assert_eq!(done[0]["location"], format!("{}/scim/v2{path}", service.url()));
    assert_eq!(client.get(&path).expect(200).json()["title"], "yes");

    let mut limited = service.client_with("/scim/limited/v2", Some(service.issue("limited")));
    let done = bulk(
        &mut limited,
        vec![
            post_group("g", "team", &["bulkId:u"]),
            post_user("u", "bob", managed_by("bulkId:v")),
            // Who may create may have what was created whole.
            post_user("v", "cyd", managed_by("bulkId:u")),
            json!({ "method": "PATCH", "path": path, "data": titled("no") }),
            json!({ "method": "DELETE", "path": "/Users/bulkId:u" }),
        ],
    );
    assert_eq!(statuses(&done), ["403", "201", "201", "403", "403"], "{done:?}");
    assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE manager_id IS NOT NULL"), 2);
}

/// A thousand operations, the most there may be; memory does not grow with what was done.
#[test]
fn a_thousand() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small().more("limits: { request_timeout: 300s }"));
        let mut client = service.client();
        let config = client.get("/ServiceProviderConfig").expect(200).json();
        assert_eq!(config["bulk"], json!({ "supported": true, "maxOperations": 1000, "maxPayloadSize": 16 << 20 }));
        let members: Vec<String> = (0..999).map(|n| format!("bulkId:{n}")).collect();
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        let mut peaks = Vec::new();
        for round in 0..2 {
            let mut operations = vec![post_group("g", &format!("all {round}"), &members)];
            operations.extend((0..999).map(|n| post_user(&n.to_string(), &format!("u{round}-{n}"), json!({}))));
            let done = bulk(&mut client, operations);
            assert_eq!(statuses(&done), ["201"; 1000], "{engine:?}");
            peaks.push(service.memory().most);
        }
        assert_eq!(database.count("SELECT COUNT(*) FROM memberships"), 1998, "{engine:?}");
        let first = peaks[0];
        assert!(peaks.iter().all(|peak| *peak < first + (32 << 10)), "{engine:?}: {peaks:?} KiB");

        let before = database.table("people");
        let too_many: Vec<Value> =
            (0..1001).map(|n| post_user(&n.to_string(), &format!("more{n}"), json!({}))).collect();
        client.post("/Bulk", &request(too_many)).expect_error(413, None, "maxOperations (1000)");
        let mut large = request(vec![]);
        large["filler"] = "x".repeat(17 << 20).into();
        client.post("/Bulk", &large).expect_error(413, None, "maxPayloadSize");
        assert_eq!(database.table("people"), before, "{engine:?}");
    }
}

/// When the time runs out, the operation at hand finishes and the rest says so; one transaction is rolled back.
#[test]
fn out_of_time() {
    for together in [false, true] {
        let database = Database::small(Engine::MariaDb);
        let mut options = Options::small().more("limits: { request_timeout: 8s, bulk_operations: 8000 }");
        if together {
            options = options.identity_servers(TOGETHER);
        }
        let service = Service::start(&database, options);
        let mut client = service.client();
        let operations: Vec<Value> =
            (0..8000).map(|n| post_user(&n.to_string(), &format!("u{n}"), json!({}))).collect();
        let answer = client.post("/Bulk", &request(operations));
        if together {
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.header("retry-after").is_some());
            // The answer may be earlier than the end of the transaction, which is no more than an operation away.
            std::thread::sleep(Duration::from_secs(1));
            assert_eq!(database.count("SELECT COUNT(*) FROM people"), 0);
            assert_eq!(database.count("SELECT COUNT(*) FROM history"), 0);
            continue;
        }
        let done = answers(answer.expect(200).json());
        assert_eq!(done.len(), 8000);
        let created = done.iter().filter(|one| one["status"] == "201").count();
        assert!(created > 0 && created < 8000, "{created}");
        let rest: Vec<&Value> = done.iter().skip(created).collect();
        assert!(rest.iter().all(|one| one["status"] == "503"), "in order: {:?}", rest.first());
        assert!(rest[0]["response"]["detail"].as_str().unwrap().contains("send the operation again"), "{:?}", rest[0]);
        assert_eq!(database.count("SELECT COUNT(*) FROM people"), i64::try_from(created).unwrap());
        assert_eq!(database.count("SELECT COUNT(*) FROM history"), i64::try_from(created).unwrap());
    }
}

/// An operation that has to wait in vain is 503 and the others go on; a long request says in the log how far it is. One
/// transaction is 503 whole, and can be sent again.
#[test]
fn an_operation_that_waits_in_vain() {
    for together in [false, true] {
        let database = Database::small(Engine::MariaDb);
        let mut options = Options::small();
        if together {
            options = options.identity_servers(TOGETHER);
        }
        let service = Service::start(&database, options);
        let mut client = service.client();
        let id = client.post("/Users", &client::user("held", json!({ "title": "t" }))).expect(201).id();
        let retitle = client::patch(json!([{ "op": "replace", "path": "title", "value": "u" }]));
        let operations = vec![
            post_user("a", "before", json!({})),
            json!({ "method": "PATCH", "path": format!("/Users/{id}"), "data": retitle }),
            post_user("b", "after", json!({})),
        ];
        std::thread::scope(|scope| {
            let held = format!("BEGIN; SELECT * FROM people WHERE id = {id} FOR UPDATE; DO SLEEP(9); ROLLBACK;");
            let database = &database;
            scope.spawn(move || database.execute(&held));
            std::thread::sleep(Duration::from_millis(700));
            let answer = client.post("/Bulk", &request(operations.clone()));
            if together {
                assert_eq!(answer.status, 503, "{}", answer.text());
                assert!(answer.header("retry-after").is_some());
            } else {
                let done = answers(answer.expect(200).json());
                assert_eq!(statuses(&done), ["201", "503", "201"], "{done:?}");
            }
        });
        let people = if together { 1 } else { 3 };
        assert_eq!(database.count("SELECT COUNT(*) FROM people"), people);
        assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE title = 'u'"), 0);
        if together {
            assert_eq!(statuses(&bulk(&mut client, operations)), ["201", "200", "201"]);
        } else {
            let log = service.stderr();
            let line =
                log.lines().find(|line| line.contains("bulk request at work")).unwrap_or_else(|| panic!("{log}"));
            assert!(
                line.contains("\"done\":2") && line.contains("\"total\":3") && line.contains("\"failed\":1"),
                "{line}"
            );
        }
    }
}

/// Two that want the same at once, in opposite order, each in one transaction: one has all of it, the other nothing.
#[test]
fn two_at_once() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small().identity_servers(TOGETHER));
        for round in 0..5 {
            let forward: Vec<Value> =
                (0..20).map(|n| post_user(&n.to_string(), &format!("r{round}-{n}"), json!({}))).collect();
            let backward: Vec<Value> = forward.iter().rev().cloned().collect();
            let done: Vec<Vec<Value>> = std::thread::scope(|scope| {
                let both = [forward, backward].map(|operations| {
                    let mut client = service.client();
                    scope.spawn(move || bulk(&mut client, operations))
                });
                both.map(|thread| thread.join().expect("an answer")).into()
            });
            let won = done.iter().filter(|done| statuses(done) == ["201"; 20]).count();
            let lost = done.iter().filter(|done| {
                let statuses = statuses(done);
                statuses.iter().filter(|status| **status == "409").count() == 1
                    && statuses.iter().filter(|status| **status == "424").count() == 19
            });
            assert_eq!(
                (won, lost.count()),
                (1, 1),
                "{engine:?} {round}: {:?}",
                done.iter().map(|d| statuses(d)).collect::<Vec<_>>()
            );
        }
        assert_eq!(database.count("SELECT COUNT(*) FROM people"), 100, "{engine:?}");
        assert_eq!(database.count("SELECT COUNT(*) FROM history"), 100, "{engine:?}");
    }
}

/// A client that hangs up changes nothing: what it asked for is carried out.
#[test]
fn hanging_up() {
    for together in [false, true] {
        let database = Database::small(Engine::Postgres);
        let mut options = Options::small().more("limits: { request_timeout: 120s }");
        if together {
            options = options.identity_servers(TOGETHER);
        }
        let service = Service::start(&database, options);
        let client = service.client();
        let operations: Vec<Value> = (0..300).map(|n| post_user(&n.to_string(), &format!("u{n}"), json!({}))).collect();
        let body = serde_json::to_vec(&request(operations)).unwrap();
        let mut stream = client.connect().expect("a connection");
        let head = format!(
            "POST /scim/v2/Bulk HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/scim+json\r\nContent-Length: {}\r\n\r\n",
            service.token(),
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        stream.flush().unwrap();
        let patience = Instant::now() + Duration::from_secs(60);
        if !together {
            while database.count("SELECT COUNT(*) FROM people") == 0 {
                assert!(Instant::now() < patience, "it never began");
            }
        } else {
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(stream);
        while database.count("SELECT COUNT(*) FROM people") < 300 {
            assert!(Instant::now() < patience, "{}", database.count("SELECT COUNT(*) FROM people"));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
