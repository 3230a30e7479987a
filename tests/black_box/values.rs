//! Bad input, table by table: each refusal has its status, its scimType and a sentence that names the attribute, and
//! leaves the application's tables as they were. The same on every database.

use serde_json::{Value, json};

use crate::support::client::{self, Answer, Client};
use crate::support::databases::{Database, Engine, Row};
use crate::support::service::{Options, Service};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// All of the application.
fn tables(database: &Database) -> Vec<Vec<Row>> {
    ["people", "departments", "teams", "memberships", "equipment", "history"]
        .iter()
        .map(|table| database.table(table))
        .collect()
}

/// A refused request: what to ask, and the status, scimType (any of) and word to find.
struct Case {
    what: &'static str,
    method: &'static str,
    path: String,
    body: Option<Value>,
    status: u16,
    kinds: &'static [&'static str],
    word: &'static str,
}

fn case(
    what: &'static str,
    request: (&'static str, &str, Option<Value>),
    status: u16,
    kinds: &'static [&'static str],
    word: &'static str,
) -> Case {
    Case { what, method: request.0, path: request.1.to_owned(), body: request.2, status, kinds, word }
}

fn refusals(engine: Engine) {
    let database = Database::small(engine);
    database.execute("INSERT INTO people (login, given, enabled, kind) VALUES ('root', 'Root', 1, 'system')");
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let post = |body: Value| ("POST", "/Users", Some(body));
    let ann = client.post("/Users", &client::user("ann", json!({ "title": "Fitter" }))).expect(201).id();
    let bob = client.post("/Users", &client::user("bob", json!({}))).expect(201).id();
    let team = client.post("/Groups", &client::group("team", &[&ann])).expect(201).id();
    client.post("/Groups", &client::group("crew", &[])).expect(201);
    let root = database.count("SELECT id FROM people WHERE login = 'root'").to_string();
    database.execute(&format!("INSERT INTO equipment (holder_id, label) VALUES ({bob}, 'laptop')"));
    let (at_ann, at_bob, at_team, at_root) =
        (format!("/Users/{ann}"), format!("/Users/{bob}"), format!("/Groups/{team}"), format!("/Users/{root}"));
    let patch = |path: &'static str, value: Value| {
        Some(client::patch(json!([{ "op": "replace", "path": path, "value": value }])))
    };
    let value: &[&str] = &["invalidValue"];
    let syntax: &[&str] = &["invalidSyntax", "invalidValue"];
    let cases = [
        case(
            "no userName",
            post(json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "displayName": "x" })),
            400,
            value,
            "userName",
        ),
        case("a blank userName", post(client::user("  ", json!({}))), 400, value, "userName"),
        case("a taken userName", post(client::user("ann", json!({}))), 409, &["uniqueness"], "userName"),
        case("a taken userName in other case", post(client::user("ANN", json!({}))), 409, &["uniqueness"], "userName"),
        case("a title too long", post(client::user("long", json!({ "title": "x".repeat(101) }))), 400, value, "title"),
        case("a userName too long", post(client::user(&"u".repeat(101), json!({}))), 400, value, "userName"),
        case(
            "an e-mail that is none",
            post(client::user("mail", json!({ "emails": [{ "value": "no mail" }] }))),
            400,
            value,
            "emails",
        ),
        case(
            "active that is no boolean",
            post(client::user("bool", json!({ "active": "perhaps" }))),
            400,
            syntax,
            "active",
        ),
        case(
            "a text where a complex value belongs",
            post(client::user("name", json!({ "name": "x" }))),
            400,
            syntax,
            "name",
        ),
        case(
            "a map for a text",
            post(client::user("map", json!({ "displayName": { "a": 1 } }))),
            400,
            syntax,
            "displayName",
        ),
        case(
            "an unknown manager",
            post(client::user("m1", json!({ ENTERPRISE: { "manager": { "value": "424242" } } }))),
            400,
            value,
            "manager",
        ),
        case(
            "a manager that is no id",
            post(client::user("m2", json!({ ENTERPRISE: { "manager": { "value": "nobody" } } }))),
            400,
            value,
            "manager",
        ),
        case(
            "one's own manager",
            (
                "PATCH",
                &at_ann,
                Some(client::patch(
                    json!([{ "op": "replace", "path": format!("{ENTERPRISE}:manager"), "value": { "value": ann } }]),
                )),
            ),
            400,
            value,
            "manager",
        ),
        case(
            "PATCH to a taken userName",
            ("PATCH", &at_ann, patch("userName", json!("Bob"))),
            409,
            &["uniqueness"],
            "userName",
        ),
        case(
            "PUT to a taken userName",
            ("PUT", &at_ann, Some(client::user("bob", json!({})))),
            409,
            &["uniqueness"],
            "userName",
        ),
        case("PATCH too long", ("PATCH", &at_ann, patch("title", json!("x".repeat(101)))), 400, value, "title"),
        case(
            "userName taken away",
            ("PATCH", &at_ann, Some(client::patch(json!([{ "op": "remove", "path": "userName" }])))),
            400,
            &["mutability", "invalidValue"],
            "userName",
        ),
        case(
            "a good change and a bad one",
            (
                "PATCH",
                &at_ann,
                Some(client::patch(json!([
                    { "op": "replace", "path": "displayName", "value": "changed" },
                    { "op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "made on the way" },
                    { "op": "replace", "path": "title", "value": "x".repeat(101) },
                ]))),
            ),
            400,
            value,
            "title",
        ),
        case(
            "no such operation",
            ("PATCH", &at_ann, Some(client::patch(json!([{ "op": "destroy", "path": "title" }])))),
            400,
            &["invalidSyntax"],
            "op",
        ),
        case(
            "a path that is none",
            ("PATCH", &at_ann, patch("emails[type eq", json!("x"))),
            400,
            &["invalidPath", "invalidFilter"],
            "",
        ),
        case(
            "remove without a path",
            ("PATCH", &at_ann, Some(client::patch(json!([{ "op": "remove" }])))),
            400,
            &["noTarget"],
            "",
        ),
        case(
            "no operations",
            ("PATCH", &at_ann, Some(json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"] }))),
            400,
            &["invalidSyntax", "invalidValue"],
            "Operations",
        ),
        case(
            "a group without a name",
            ("POST", "/Groups", Some(json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"] }))),
            400,
            value,
            "displayName",
        ),
        case(
            "a taken group name",
            ("POST", "/Groups", Some(client::group("Team", &[]))),
            409,
            &["uniqueness"],
            "displayName",
        ),
        case("an unknown member", ("POST", "/Groups", Some(client::group("new", &["424242"]))), 400, value, "members"),
        case(
            "an unknown member added",
            (
                "PATCH",
                &at_team,
                Some(client::patch(
                    json!([{ "op": "add", "path": "members", "value": [{ "value": bob }, { "value": "424242" }] }]),
                )),
            ),
            400,
            value,
            "members",
        ),
        case(
            "rename to a taken group name",
            ("PATCH", &at_team, patch("displayName", json!("CREW"))),
            409,
            &["uniqueness"],
            "displayName",
        ),
        case("a protected user changed", ("PATCH", &at_root, patch("active", json!(false))), 403, &[], ""),
        case("a protected user deleted", ("DELETE", &at_root, None), 403, &[], ""),
        case(
            "a protected user made a member",
            (
                "PATCH",
                &at_team,
                Some(client::patch(json!([{ "op": "add", "path": "members", "value": [{ "value": root }] }]))),
            ),
            403,
            &[],
            "",
        ),
        case("somebody who still holds equipment", ("DELETE", &at_bob, None), 409, &[], "still holds 1"),
        case("nobody", ("GET", "/Users/424242", None), 404, &[], "424242"),
        case("nobody changed", ("PATCH", "/Users/424242", patch("title", json!("x"))), 404, &[], "424242"),
        case("nobody replaced", ("PUT", "/Users/424242", Some(client::user("x", json!({})))), 404, &[], "424242"),
        case("nobody deleted", ("DELETE", "/Users/424242", None), 404, &[], "424242"),
        case("an id that is no number", ("GET", "/Users/one", None), 404, &[], ""),
        case("an id that only looks like one", ("GET", &format!("/Users/0{ann}"), None), 404, &[], ""),
        case("an id too large", ("GET", "/Users/99999999999999999999999", None), 404, &[], ""),
    ];
    let mut before = tables(&database);
    let mut problems = Vec::new();
    for case in cases {
        if let Err(problem) = refused(&mut client, &case) {
            problems.push(format!("{}: {problem}", case.what));
        }
        let after = tables(&database);
        if after != before {
            problems.push(format!("{}: the tables are not as they were", case.what));
            before = after;
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn refused(client: &mut Client, case: &Case) -> Result<(), String> {
    let answer: Answer =
        client.try_scim(case.method, &case.path, case.body.as_ref()).map_err(|failure| format!("{failure:?}"))?;
    if answer.status != case.status {
        return Err(format!("{} instead of {}: {}", answer.status, case.status, answer.text()));
    }
    let document = answer.json();
    if document["schemas"][0] != "urn:ietf:params:scim:api:messages:2.0:Error"
        || document["status"].as_str() != Some(case.status.to_string().as_str())
    {
        return Err(format!("no SCIM error: {document}"));
    }
    let kind = document["scimType"].as_str().unwrap_or_default();
    if !case.kinds.is_empty() && !case.kinds.contains(&kind) {
        return Err(format!("scimType {kind:?} is none of {:?}: {document}", case.kinds));
    }
    let detail = document["detail"].as_str().unwrap_or_default();
    if detail.is_empty() || !detail.contains(case.word) {
        return Err(format!("the sentence does not name {:?}: {document}", case.word));
    }
    Ok(())
}

#[test]
fn refusals_on_mariadb() {
    refusals(Engine::MariaDb);
}

#[test]
fn refusals_on_postgres() {
    refusals(Engine::Postgres);
}

#[test]
fn refusals_on_sqlite() {
    refusals(Engine::Sqlite);
}

/// What the adapter's parameters change.
#[test]
fn parameters() {
    let database = Database::small(Engine::Sqlite);
    let service =
        Service::start(&database, Options::small().parameters("{ departments: reject, on_blocked: deactivate }"));
    let mut client = service.client();
    let body = client::user("dora", json!({ ENTERPRISE: { "department": "Nowhere" } }));
    client.post("/Users", &body).expect_error(400, Some("invalidValue"), "department");
    assert_eq!(database.count("SELECT COUNT(*) FROM people") + database.count("SELECT COUNT(*) FROM departments"), 0);
    database.execute("INSERT INTO departments (name) VALUES ('Nowhere')");
    let id = client.post("/Users", &body).expect(201).id();
    database.execute(&format!("INSERT INTO equipment (holder_id, label) VALUES ({id}, 'laptop')"));
    // Blocked, so deactivated instead; for the client it is gone.
    client.delete(&format!("/Users/{id}")).expect(204);
    client.get(&format!("/Users/{id}")).expect(404);
    client.delete(&format!("/Users/{id}")).expect(404);
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(database.rows("SELECT login, enabled, gone_at FROM people"), [[text("dora"), text("0"), None]]);
    let found = client.get("/Users?filter=userName+eq+%22dora%22").expect(200).json();
    assert_eq!(found["totalResults"], 0, "{found}");
    // A create with the name brings the same person back.
    let again = client.post("/Users", &client::user("dora", json!({}))).expect(201);
    assert_eq!(again.id(), id);
    assert_eq!(database.rows("SELECT login, enabled FROM people"), [[text("dora"), text("1")]]);
}

/// Revival of rows in the application's trash, by policy.
#[test]
fn revival() {
    for (policy, same) in [("never", false), ("userName", true)] {
        let database = Database::small(Engine::Sqlite);
        database.execute(
            "INSERT INTO people (login, given, enabled, gone_at) VALUES ('eve', 'Eve', 0, '2020-01-01 00:00:00')",
        );
        let service = Service::start(&database, Options::small().parameters(&format!("{{ revive: {policy} }}")));
        let mut client = service.client();
        let id = client.post("/Users", &client::user("eve", json!({ "title": "back" }))).expect(201).id();
        assert_eq!(id == "1", same, "revive: {policy}");
        assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE login = 'eve' AND gone_at IS NULL"), 1);
        assert_eq!(client.get(&format!("/Users/{id}")).expect(200).json()["title"], "back");
    }
}

/// A row that vanishes between two requests, by the application's hand.
#[test]
fn vanished() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let id = client.post("/Users", &client::user("gone", json!({ "externalId": "e-1" }))).expect(201).id();
    let team = client.post("/Groups", &client::group("team", &[&id])).expect(201).id();
    database.execute("DELETE FROM people");
    client.get(&format!("/Users/{id}")).expect(404);
    client.patch(&format!("/Users/{id}"), json!([{ "op": "replace", "path": "active", "value": false }])).expect(404);
    client.delete(&format!("/Users/{id}")).expect(404);
    let group = client.get(&format!("/Groups/{team}")).expect(200).json();
    assert!(group.get("members").is_none_or(|members| members == &json!([])), "{group}");
    client.post("/Users", &client::user("gone", json!({ "externalId": "e-1" }))).expect(201);
}

/// What stands beside a value in a slot is the client's to say: kept, given back, changed by PATCH, and gone with the value.
#[test]
fn what_a_slot_keeps_besides() {
    for engine in Engine::ALL {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small());
        let mut client = service.client();
        let phones = json!([
            { "type": "work", "value": "1", "display": "the desk", "primary": true },
            { "type": "mobile", "value": "2" },
            { "type": "fax", "value": "3", "display": "nowhere to go" },
        ]);
        let kept = json!([
            { "type": "work", "value": "1", "display": "the desk", "primary": true },
            { "type": "mobile", "value": "2" },
        ]);
        let mails = json!([{ "type": "home", "value": "a@example.org", "display": "A" }]);
        let sent = client::user("ada", json!({ "phoneNumbers": phones, "emails": mails }));
        let created = client.post("/Users", &sent).expect(201);
        let path = format!("/Users/{}", created.id());
        assert_eq!(created.json()["phoneNumbers"], kept, "{engine:?}");
        assert_eq!(created.json()["emails"][0]["display"], "A", "{engine:?}");
        let read = client.get(&path).expect(200);
        assert_eq!(read.json()["phoneNumbers"], kept);
        // Saying it again changes nothing.
        let again = client.put(&path, &read.json()).expect(200);
        assert_eq!((again.header("etag"), &again.json()), (read.header("etag"), &read.json()), "{engine:?}");
        // One primary at most, and no column is touched for it.
        let before = database.table("people");
        let moved = client
            .patch(
                &path,
                json!([{ "op": "replace", "path": "phoneNumbers[type eq \"mobile\"].primary", "value": true }]),
            )
            .expect(200);
        assert_ne!(moved.header("etag"), read.header("etag"), "{engine:?}");
        let primary = |phones: &Value, kind: &str| {
            let phones = phones.as_array().unwrap();
            phones.iter().find(|phone| phone["type"] == kind).unwrap().get("primary") == Some(&json!(true))
        };
        let phones = moved.json()["phoneNumbers"].clone();
        assert!(primary(&phones, "mobile") && !primary(&phones, "work"), "{engine:?} {phones}");
        assert_eq!(database.table("people"), before, "{engine:?}");
        let primaries = "/Users?filter=phoneNumbers%5Bprimary%20eq%20true%5D";
        assert_eq!(client.get(primaries).expect(200).json()["totalResults"], 1, "{engine:?}");
        // The application changes the number: what was said of the old one is not said of the new one.
        database.execute("UPDATE people SET work_phone = '9'");
        let phones = client.get(&path).expect(200).json()["phoneNumbers"].clone();
        assert_eq!(phones[0], json!({ "type": "work", "value": "9" }), "{engine:?} {phones}");
        // What is searched for is what is shown; and the schema says that it is there.
        assert_eq!(client.get(primaries).expect(200).json()["totalResults"], 0, "{engine:?}");
        let schema = client.get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:User").expect(200).json();
        let phones =
            schema["attributes"].as_array().unwrap().iter().find(|one| one["name"] == "phoneNumbers").unwrap().clone();
        let mut names: Vec<&str> =
            phones["subAttributes"].as_array().unwrap().iter().map(|sub| sub["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["display", "primary", "type", "value"]);
    }
}
