//! Bulk requests that mean no good: deep, huge, tangled, pointing elsewhere, hiding another. Every answer is a SCIM one
//! below 500, and the rows are those that the valid operations made.

use serde_json::{Value, json};

use super::bulk::{answers, bulk, post_group, post_user, request, statuses};
use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

/// What is wrong with one operation is that operation's error.
#[test]
fn wrong_operations() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small());
        let mut client = service.client();
        let user = |n: usize| client::user(&format!("never{n}"), json!({}));
        let table = [
            (json!({}), "400"),
            (json!({ "method": "POST" }), "400"),
            (json!({ "method": "GET", "path": "/Users" }), "400"),
            (json!({ "method": "TRACE", "path": "/Users", "bulkId": "t", "data": {} }), "400"),
            (json!({ "method": "POST\r\nX: y", "path": "/Users", "bulkId": "t2", "data": {} }), "400"),
            (json!({ "method": ["POST"], "path": "/Users" }), "400"),
            (json!({ "method": "POST", "path": "/Users", "data": user(1) }), "400"),
            (json!({ "method": "POST", "path": "/Users", "bulkId": "", "data": user(2) }), "400"),
            (json!({ "method": "POST", "path": "/Users", "bulkId": "nodata" }), "400"),
            (json!({ "method": "POST", "path": "/Users", "bulkId": "list", "data": [user(3)] }), "400"),
            (json!({ "method": "POST", "path": "/Users", "bulkId": "text", "data": "x" }), "400"),
            (json!({ "method": "POST", "path": "/Users/1", "bulkId": "one", "data": user(4) }), "405"),
            (json!({ "method": "PUT", "path": "/Users", "data": user(5) }), "405"),
            (json!({ "method": "DELETE", "path": "/Users" }), "405"),
            (json!({ "method": "DELETE", "path": "/Schemas" }), "405"),
            (json!({ "method": "PATCH", "path": "/Me", "data": {} }), "405"),
            (json!({ "method": "POST", "path": "/Users/.search", "bulkId": "s", "data": {} }), "405"),
            (json!({ "method": "POST", "path": "/.search", "bulkId": "s2", "data": {} }), "405"),
            (
                json!({ "method": "POST", "path": "/Bulk", "bulkId": "nest", "data": request(vec![post_user("in", "inner", json!({}))]) }),
                "400",
            ),
            (
                json!({ "method": "POST", "path": "https://evil.example.com/scim/v2/Users", "bulkId": "e", "data": user(6) }),
                "400",
            ),
            (json!({ "method": "POST", "path": "//evil.example.com/Users", "bulkId": "e2", "data": user(7) }), "404"),
            (json!({ "method": "POST", "path": "file:///etc/passwd", "bulkId": "e3", "data": user(8) }), "400"),
            (json!({ "method": "DELETE", "path": "/Users/../Groups/1" }), "404"),
            (json!({ "method": "DELETE", "path": "/Users/..%2fGroups%2f1" }), "404"),
            (json!({ "method": "DELETE", "path": "/Users/1%00" }), "404"),
            (json!({ "method": "DELETE", "path": "/Users/1?x=y" }), "404"),
            (json!({ "method": "DELETE", "path": "/Users/1' OR '1'='1" }), "404"),
            (json!({ "method": "DELETE", "path": format!("/Users/{}", "9".repeat(100_000)) }), "404"),
            (json!({ "method": "DELETE", "path": "/Users/bulkId:" }), "400"),
            (json!({ "method": "DELETE", "path": "/Users/bulkId:nobody" }), "400"),
            (json!({ "method": "DELETE", "path": "/Nowhere/1" }), "404"),
            (
                json!({ "method": "POST", "path": "/Groups", "bulkId": "dangling", "data": client::group("dangling", &["bulkId:nobody"]) }),
                "400",
            ),
            (json!({ "method": "PATCH", "path": "/Users/1", "data": { "Operations": "x" } }), "400"),
            (json!({ "method": "PATCH", "path": "/Users/1", "data": request(vec![]) }), "404"),
            (json!({ "method": "POST", "path": "/Users", "bulkId": "x".repeat(10_000), "data": user(9) }), "400"),
        ];
        let done = bulk(&mut client, table.iter().map(|(operation, _)| operation.clone()).collect());
        for ((operation, expected), answer) in table.iter().zip(&done) {
            assert_eq!(answer["status"], *expected, "{engine:?} {operation} -> {answer}");
        }
        assert_eq!(database.count("SELECT COUNT(*) FROM people"), 0, "{engine:?}");
        assert_eq!(database.count("SELECT COUNT(*) FROM teams"), 0, "{engine:?}");
    }
}

/// What makes the whole message ambiguous or unbearable refuses all of it, with nothing done.
#[test]
fn wrong_messages() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let send = |client: &mut client::Client, body: &[u8]| {
        client
            .send("POST", "/scim/v2/Bulk", &[("Content-Type", "application/scim+json")], Some(body))
            .expect("an answer")
    };
    let valid = post_user("a", "ada", json!({}));
    for body in [
        json!([]),
        json!({}),
        json!({ "Operations": null }),
        json!({ "Operations": { "0": valid } }),
        json!({ "Operations": [valid, 1] }),
        json!({ "Operations": [valid, [valid]] }),
        json!({ "Operations": [valid], "failOnErrors": 0 }),
        json!({ "Operations": [valid], "failOnErrors": -1 }),
        json!({ "Operations": [valid], "failOnErrors": 1.5 }),
        json!({ "Operations": [valid], "failOnErrors": true }),
        json!({ "Operations": [valid, post_user("a", "bob", json!({}))] }),
    ] {
        let answer = send(&mut client, &serde_json::to_vec(&body).unwrap());
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert_eq!(answer.json()["status"], "400");
    }
    // Deeper than anything is read, in the data of an operation.
    let deep = format!(
        r#"{{"Operations":[{{"method":"POST","path":"/Users","bulkId":"d","data":{{"userName":"deep","x":{}{}}}}}]}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(send(&mut client, deep.as_bytes()).status, 400);
    for half in [&b"{\"Operations\":["[..], b"", b"\xff\xfe", b"\"\""] {
        assert_eq!(send(&mut client, half).status, 400);
    }
    for (method, status) in [("GET", 405), ("PUT", 405), ("DELETE", 405), ("PATCH", 405), ("OPTIONS", 204)] {
        let answer = client.send(method, "/scim/v2/Bulk", &[], None).expect("an answer");
        assert_eq!((answer.status, answer.header("allow")), (status, Some("POST, OPTIONS")), "{method}");
    }
    assert_eq!(client.send("POST", "/scim/v2/Bulk/x", &[], Some(b"{}")).expect("an answer").status, 404);
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 0);
}

/// A thousand in one circle, each a member of all: bounded work, and all of it or none.
#[test]
fn tangles() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small().more("limits: { request_timeout: 300s }"));
        let mut client = service.client();
        let manager = |n: usize| json!({ "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "manager": { "value": format!("bulkId:{}", n % 200) } } });
        let circle: Vec<Value> =
            (0..200).map(|n| post_user(&n.to_string(), &format!("u{n}"), manager(n + 1))).collect();
        // The last one's name is taken: nobody of the circle is there.
        client.post("/Users", &client::user("u199", json!({}))).expect(201);
        let done = bulk(&mut client, circle.clone());
        assert_eq!(statuses(&done), ["409"; 200], "{engine:?}");
        assert_eq!(database.count("SELECT COUNT(*) FROM people"), 1, "{engine:?}");
        let id = client.get("/Users").expect(200).json()["Resources"][0]["id"].as_str().unwrap().to_owned();
        client.delete(&format!("/Users/{id}")).expect(204);
        let done = bulk(&mut client, circle);
        assert_eq!(statuses(&done), ["201"; 200], "{engine:?}");
        assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE manager_id IS NOT NULL"), 200, "{engine:?}");
    }
    // Groups that all name all: half a million references, found out in no time.
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more("limits: { request_timeout: 300s }"));
    let mut client = service.client();
    let all: Vec<String> = (0..500).map(|n| format!("bulkId:{n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let groups: Vec<Value> = (0..500).map(|n| post_group(&n.to_string(), &format!("g{n}"), &all)).collect();
    let began = std::time::Instant::now();
    let done = answers(client.post("/Bulk", &request(groups)).expect(200).json());
    // Groups are no members of groups here.
    assert!(done.iter().all(|one| one["status"] == "400" || one["status"] == "409"), "{:?}", done.first());
    assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    assert_eq!(database.count("SELECT COUNT(*) FROM teams"), 0);
}
