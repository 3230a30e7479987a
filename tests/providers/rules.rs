//! The 24 rules that follow from what identity providers send (section 1 of the facts), one function each, with no profile
//! set; and the page that says which test shows which rule, checked: every test that it names is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{self, Answer, Client, encode};
use crate::support::databases::{Database, Engine};
use crate::support::file;
use crate::support::service::{Options, Service};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const SCIM: (&str, &str) = ("Content-Type", "application/scim+json");

/// A service and somebody who speaks to it.
struct House {
    engine: Engine,
    database: Database,
    service: Service,
    client: Client,
}

impl House {
    fn new(engine: Engine) -> House {
        let database = Database::small(engine);
        let options = Options::small().identity_servers("{ test: { default: true, authentication: bearer } }");
        let service = Service::start(&database, options);
        let client = service.client();
        House { engine, database, service, client }
    }

    /// A new person's id.
    #[track_caller]
    fn person(&mut self, name: &str, more: Value) -> String {
        self.client.post("/Users", &client::user(name, more)).expect(201).id()
    }

    #[track_caller]
    fn group(&mut self, name: &str, members: &[&str]) -> String {
        self.client.post("/Groups", &client::group(name, members)).expect(201).id()
    }

    #[track_caller]
    fn read(&mut self, id: &str) -> Value {
        self.client.get(&format!("/Users/{id}")).expect(200).json()
    }

    #[track_caller]
    fn patch(&mut self, path: &str, operations: Value) {
        let answer = self.client.patch(path, operations);
        assert!(matches!(answer.status, 200 | 204), "{:?}: {}", self.engine, answer.text());
    }

    /// A raw target below /scim/v2.
    #[track_caller]
    fn raw(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Answer {
        let body = body.map(|body| serde_json::to_vec(body).expect("JSON"));
        self.client.send(method, &format!("/scim/v2{path}"), headers, body.as_deref()).expect("an answer")
    }

    #[track_caller]
    fn total(&mut self, path: &str, filter: &str) -> u64 {
        let found = self.client.get(&format!("{path}?filter={}", encode(filter))).expect(200).json();
        found["totalResults"].as_u64().expect("an integer")
    }

    #[track_caller]
    fn members(&mut self, group: &str) -> Vec<String> {
        let document = self.client.get(&format!("/Groups/{group}")).expect(200).json();
        let members = document["members"].as_array().cloned().unwrap_or_default();
        members.iter().map(|member| member["value"].as_str().expect("an id").to_owned()).collect()
    }
}

fn rule_1(house: &mut House) {
    for path in ["/Users", "/Groups"] {
        let asked = format!("{path}?filter={}", encode("externalId eq \"none\""));
        let found = house.client.get(&asked).expect(200).json();
        assert_eq!((&found["totalResults"], &found["Resources"]), (&json!(0), &json!([])), "{found}");
    }
}

fn rule_2(house: &mut House) {
    for (number, kind) in [
        "application/scim+json",
        "application/json",
        "application/json; charset=utf-8",
        "application/scim+json;charset=UTF-8",
    ]
    .into_iter()
    .enumerate()
    {
        let body = client::user(&format!("media{number}"), json!({}));
        let made = house.raw("POST", "/Users", &[("Content-Type", kind)], Some(&body)).expect(201);
        assert_eq!(made.header("content-type"), Some("application/scim+json"));
    }
    let plain = house.raw("GET", "/Users", &[("Accept", "application/json")], None).expect(200);
    assert_eq!(plain.header("content-type"), Some("application/json"));
    house.raw("GET", "/Users", &[], None).expect(200);
}

fn rule_3(house: &mut House) {
    let id = house.person("pat smith", json!({}));
    for path in [
        "/Users?filter=userName+eq+%22pat+smith%22",
        "/Users?filter=userName%20eq%20%22pat%20smith%22",
        "/Users?filter=userName+eq+%22pat%20smith%22&",
        "/Users/?filter=userName+eq+%22pat+smith%22",
        "//Users?filter=userName+eq+%22pat+smith%22&aadOptscim062020",
        "/Users?aadOptscim062020&filter=userName+eq+%22pat+smith%22&AzureAdScimPatch2017=",
    ] {
        let found = house.raw("GET", path, &[], None).expect(200).json();
        assert_eq!(found["totalResults"], 1, "{path}: {found}");
    }
    for path in ["/Users/ID/", "//Users/ID", "/Users/ID?", "/Users/ID?&", "/Users//ID"] {
        let found = house.raw("GET", &path.replace("ID", &id), &[], None).expect(200).json();
        assert_eq!(found["id"], id.as_str(), "{path}");
    }
    house.raw("GET", "/Users/1+1", &[], None).expect(404);
}

fn rule_4(house: &mut House) {
    let id = house.person("ops", json!({ "title": "a" }));
    for (number, op) in ["Replace", "replace", "REPLACE", "Add", "aDd"].into_iter().enumerate() {
        let title = format!("t{number}");
        for body in [
            json!({ "Operations": [{ "op": op, "path": "title", "value": title, "name": "x", "extra": [1] }] }),
            json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp", "urn:x:y"],
                    "Operations": [{ "op": op, "path": null, "value": { "title": title } }] }),
        ] {
            house.raw("PATCH", &format!("/Users/{id}"), &[SCIM], Some(&body)).expect(200);
            assert_eq!(house.read(&id)["title"], title, "{op}");
        }
    }
    house.patch(&format!("/Users/{id}"), json!([{ "op": "Remove", "path": "title", "value": null }]));
    assert_eq!(house.read(&id)["title"], Value::Null);
}

fn rule_5(house: &mut House) {
    let id =
        house.person("bools", json!({ "active": "True", "emails": [{ "value": "b@example.org", "primary": "true" }] }));
    for (sent, is) in [(json!("False"), false), (json!("true"), true), (json!("FALSE"), false), (json!(true), true)] {
        house.patch(&format!("/Users/{id}"), json!([{ "op": "Replace", "path": "active", "value": sent }]));
        assert_eq!(house.read(&id)["active"], is, "{sent}");
        house.patch(&format!("/Users/{id}"), json!([{ "op": "replace", "value": { "active": sent } }]));
        let put = client::user("bools", json!({ "active": sent }));
        let put = house.client.put(&format!("/Users/{id}"), &put).expect(200).json();
        assert_eq!(put["active"], is, "{sent}");
        assert_eq!(house.total("/Users", &format!("userName eq \"bools\" and active eq {sent}")), 1, "{sent}");
    }
    house.patch(
        &format!("/Users/{id}"),
        json!([{ "op": "add", "path": "emails", "value": [{ "value": "b@example.org", "type": "work" }] }]),
    );
    assert_eq!(house.total("/Users", "userName eq \"bools\" and emails[primary eq \"True\"]"), 1);
    let wrong =
        house.client.patch(&format!("/Users/{id}"), json!([{ "op": "replace", "path": "active", "value": "maybe" }]));
    wrong.expect_error(400, Some("invalidValue"), "active");
}

fn rule_6(house: &mut House) {
    let id = house.person("pathless", json!({}));
    house.patch(
        &format!("/Users/{id}"),
        json!([{ "op": "replace", "value": {
            "id": "something else", "schemas": ["urn:x"], "meta": { "location": "x" }, "groups": [{ "value": "9" }],
            "displayName": "P L", "name.givenName": "Path", "name": { "familyName": "Less" },
            format!("{ENTERPRISE}:department"): "Dyeing", ENTERPRISE: { "employeeNumber": "77" },
            "emails[type eq \"work\"].value": "pl@example.org",
            format!("{CORE}:title"): "Dyer",
        } }]),
    );
    let read = house.read(&id);
    assert_eq!((&read["id"], &read["displayName"], &read["title"]), (&json!(id), &json!("P L"), &json!("Dyer")));
    assert_eq!((&read["name"]["givenName"], &read["name"]["familyName"]), (&json!("Path"), &json!("Less")));
    assert_eq!(
        (&read[ENTERPRISE]["department"], &read[ENTERPRISE]["employeeNumber"]),
        (&json!("Dyeing"), &json!("77"))
    );
    assert_eq!(read["emails"][0]["value"], "pl@example.org");
}

fn rule_7(house: &mut House) {
    for op in ["Add", "Replace"] {
        let id = house.person(&format!("absent {op}"), json!({}));
        house.patch(
            &format!("/Users/{id}"),
            json!([
                { "op": op, "path": "phoneNumbers[type eq \"work\"].value", "value": "+1" },
                { "op": op, "path": "addresses[type eq \"work\"].locality", "value": "Bern" },
                { "op": op, "path": "addresses[type eq \"work\"].postalCode", "value": "3000" },
                { "op": op, "path": "emails[type eq \"work\"].value", "value": "a@example.org" },
            ]),
        );
        let read = house.read(&id);
        assert_eq!(read["phoneNumbers"], json!([{ "value": "+1", "type": "work" }]), "{op}: {read}");
        let address = &read["addresses"][0];
        assert_eq!(
            (&address["locality"], &address["postalCode"], &address["type"]),
            (&json!("Bern"), &json!("3000"), &json!("work"))
        );
        assert_eq!(
            (&read["emails"][0]["value"], &read["emails"][0]["type"]),
            (&json!("a@example.org"), &json!("work"))
        );
    }
}

fn rule_8(house: &mut House) {
    let boss = house.person("boss", json!({ "displayName": "The Boss" }));
    let id = house.person("managed", json!({}));
    let reference = format!("../Users/{boss}");
    let urn = format!("{ENTERPRISE}:manager");
    let user = format!("/Users/{id}");
    for set in [
        json!({ "op": "Add", "path": urn, "value": boss }),
        json!({ "op": "add", "path": urn, "value": { "value": boss } }),
        json!({ "op": "add", "path": urn, "value": { "$ref": reference, "value": boss } }),
        json!({ "op": "replace", "path": urn, "value": [{ "$ref": reference, "value": boss }] }),
        json!({ "op": "replace", "path": "manager", "value": boss }),
        json!({ "op": "replace", "value": { (urn.clone()): boss } }),
        json!({ "op": "replace", "value": { ENTERPRISE: { "manager": { "value": boss } } } }),
    ] {
        house.patch(&user, json!([set]));
        let manager = house.read(&id)[ENTERPRISE]["manager"].clone();
        assert_eq!(
            (&manager["value"], &manager["displayName"]),
            (&json!(boss), &json!("The Boss")),
            "{set}: {manager}"
        );
        assert!(manager["$ref"].as_str().is_some_and(|url| url.ends_with(&format!("/Users/{boss}"))), "{manager}");
        assert_eq!(house.total("/Users", &format!("id eq \"{id}\" and manager eq \"{boss}\"")), 1);
        for clear in [json!(""), json!({ "value": "" }), Value::Null] {
            house.patch(&user, json!([{ "op": "replace", "path": urn, "value": clear }]));
            assert_eq!(house.read(&id)[ENTERPRISE]["manager"], Value::Null, "{clear}");
            house.patch(&user, json!([set]));
        }
        house.patch(&user, json!([{ "op": "remove", "path": urn }]));
        assert_eq!(house.read(&id)[ENTERPRISE]["manager"], Value::Null);
    }
}

fn rule_9(house: &mut House) {
    for clear in [json!(""), Value::Null] {
        let id = house
            .person("clears", json!({ "title": "t", "preferredLanguage": "de", ENTERPRISE: { "department": "D" } }));
        house.patch(
            &format!("/Users/{id}"),
            json!([
                { "op": "replace", "path": "title", "value": clear },
                { "op": "replace", "value": { "preferredLanguage": clear, format!("{ENTERPRISE}:department"): clear } },
            ]),
        );
        let read = house.read(&id);
        assert_eq!(
            (&read["title"], &read["preferredLanguage"], &read[ENTERPRISE]["department"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        house.client.delete(&format!("/Users/{id}")).expect(204);
    }
}

fn rule_10(house: &mut House) {
    let (a, b, c) = (house.person("m1", json!({})), house.person("m2", json!({})), house.person("m3", json!({})));
    let group = house.group("removals", &[&a, &b, &c]);
    let path = format!("/Groups/{group}");
    house.patch(&path, json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": a }] }]));
    assert_eq!(house.members(&group), [b.clone(), c.clone()]);
    house.patch(&path, json!([{ "op": "remove", "path": format!("members[value eq \"{b}\"]"), "value": null }]));
    assert_eq!(house.members(&group), [c]);
    house.patch(&path, json!([{ "op": "remove", "path": "members" }]));
    assert!(house.members(&group).is_empty());
    house.patch(&path, json!([{ "op": "add", "path": "members", "value": [{ "value": a }] }]));
    house.patch(&path, json!([{ "op": "replace", "path": "members", "value": [] }]));
    assert!(house.members(&group).is_empty());
}

fn rule_11(house: &mut House) {
    let (a, b) = (house.person("n1", json!({})), house.person("n2", json!({})));
    let group = house.group("twice", &[&a]);
    let path = format!("/Groups/{group}");
    for _ in 0..2 {
        house.patch(&path, json!([{ "op": "add", "path": "members", "value": [{ "value": a }, { "value": a }] }]));
        house.patch(&path, json!([{ "op": "remove", "path": "members", "value": [{ "value": b }] }]));
        house.patch(&path, json!([{ "op": "remove", "path": format!("members[value eq \"{b}\"]") }]));
    }
    assert_eq!(house.members(&group), std::slice::from_ref(&a));
    let rows = house.database.count(&format!("SELECT COUNT(*) FROM memberships WHERE team_id = {group}"));
    assert_eq!(rows, 1);
}

fn rule_12(house: &mut House) {
    let made = house.client.post("/Users", &json!({
        "schemas": [CORE, "urn:ietf:params:scim:schemas:extension:enterprise:2.0User", "urn:nobody:1.0", ENTERPRISE],
        "userName": "unknowns", "favouriteColour": "green", "urn:nobody:1.0": { "a": 1 }, "name": { "givenName": "U", "given": "U" },
        "employeeNumber": null, "id": null, "externalId": "e-unknowns",
    }));
    let id = made.expect(201).id();
    let user = format!("/Users/{id}");
    house.patch(
        &user,
        json!([
            { "op": "replace", "path": "favouriteColour", "value": "red" },
            { "op": "add", "value": { "urn:nobody:1.0:b": 2, "title": "T" } },
        ]),
    );
    let put = client::user("unknowns", json!({ "externalId": "e-unknowns", "shoes": 42, "title": "T2" }));
    assert_eq!(house.client.put(&user, &put).expect(200).json()["title"], "T2");
    // The URNs of old, core attributes below the core URN, one e-mail that is no list.
    let old = json!({
        "schemas": ["urn:scim:schemas:core:1.0", "urn:scim:schemas:core:2.0", "urn:scim:schemas:extension:enterprise:2.0"],
        "userName": "olden", "emails": { "value": "old@example.org", "type": "work" },
        "urn:scim:schemas:extension:enterprise:2.0": { "department": "Old" },
    });
    let old = house.client.post("/Users", &old).expect(201).json();
    assert_eq!(
        (&old["emails"][0]["value"], &old[ENTERPRISE]["department"]),
        (&json!("old@example.org"), &json!("Old"))
    );
    let nested = json!({ "schemas": [CORE], CORE: { "userName": "nested", "name": { "familyName": "Nest" }, "active": "true" } });
    let nested = house.client.post("/Users", &nested).expect(201).json();
    assert_eq!((&nested["userName"], &nested["name"]["familyName"]), (&json!("nested"), &json!("Nest")));
    // Unless nothing usable is left.
    house.client.post("/Users", &json!({ "schemas": ["urn:nobody:1.0"], "urn:nobody:1.0": { "a": 1 } })).expect(400);
    // Two primaries: the first one counts, and it is no error.
    let two = json!([{ "value": "p1@example.org", "type": "work", "primary": true }, { "value": "p1@example.org", "type": "work", "primary": true }]);
    let id = house.person("primaries", json!({ "emails": two }));
    assert_eq!(house.read(&id)["emails"].as_array().map(Vec::len), Some(1));
}

fn rule_13(house: &mut House) {
    let member = house.person("projected", json!({}));
    let group = house.group("projected", &[&member]);
    for path in [format!("/Groups/{group}"), "/Groups".to_owned()] {
        let of = |document: Value| match document.get("Resources") {
            Some(list) => list
                .as_array()
                .unwrap()
                .iter()
                .find(|one| one["displayName"] == "projected" || one["id"] == group.as_str())
                .unwrap()
                .clone(),
            None => document,
        };
        let whole = of(house.client.get(&path).expect(200).json());
        assert_eq!(whole["members"][0]["value"], member.as_str());
        let without = of(house.client.get(&format!("{path}?excludedAttributes=members")).expect(200).json());
        assert_eq!((&without["members"], &without["displayName"]), (&Value::Null, &json!("projected")));
        let alone = of(house.client.get(&format!("{path}?attributes=id")).expect(200).json());
        assert_eq!(
            (&alone["id"], &alone["displayName"], &alone["members"]),
            (&json!(group), &Value::Null, &Value::Null)
        );
    }
}

fn rule_14(house: &mut House) {
    let boss = house.person("f boss", json!({}));
    let id = house.person("Finder@example.org", json!({
        "externalId": "F-1", "displayName": "Find Er", "emails": [{ "value": "Finder@example.org", "type": "work" }],
        ENTERPRISE: { "manager": { "value": boss } },
    }));
    let group = house.group("Finders", &[&id]);
    for filter in [
        "userName eq \"FINDER@EXAMPLE.ORG\"".to_owned(),
        "USERNAME EQ \"finder@example.org\"".to_owned(),
        "userName eq finder@example.org".to_owned(),
        "externalId eq \"F-1\"".to_owned(),
        format!("id eq \"{id}\""),
        "displayName eq \"find er\"".to_owned(),
        "emails[type eq \"work\"].value eq \"finder@example.org\"".to_owned(),
        "emails[type eq \"work\"] eq \"finder@example.org\"".to_owned(),
        "emails.value eq \"finder@example.org\"".to_owned(),
        "emails eq \"finder@example.org\"".to_owned(),
        format!("manager eq \"{boss}\" and id eq \"{id}\""),
        format!("{CORE}:userName eq \"finder@example.org\" and externalId eq \"F-1\""),
    ] {
        assert_eq!(house.total("/Users", &filter), 1, "{filter}");
    }
    for filter in [
        "displayName eq \"finders\"".to_owned(),
        format!("members eq \"{id}\""),
        format!("id eq \"{group}\" and members.value eq \"{id}\""),
    ] {
        assert_eq!(house.total("/Groups", &filter), 1, "{filter}");
    }
}

fn rule_15(house: &mut House) {
    let own = json!({ "schemas": [CORE], "id": "my-own-id", "userName": "opaque" });
    let made = house.client.post("/Users", &own).expect(201).json();
    let id = made["id"].as_str().expect("a string").to_owned();
    assert!(id != "my-own-id" && !id.contains("bulkId"), "{id}");
    assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c)), "{id} in a URL");
    let put = json!({ "schemas": [CORE], "id": "another", "userName": "opaque", "title": "x" });
    assert_eq!(house.client.put(&format!("/Users/{id}"), &put).expect(200).json()["id"], id.as_str());
    for odd in ["0", "-1", "1e0", "%31x", "00", "99999999999999999999"] {
        house.raw("GET", &format!("/Users/{odd}"), &[], None).expect(404);
    }
}

fn rule_16(house: &mut House) {
    let taken = house.person("taken", json!({}));
    let other = house.person("other", json!({}));
    house.client.post("/Users", &client::user("TAKEN", json!({}))).expect_error(409, Some("uniqueness"), "userName");
    let rename = json!([{ "op": "replace", "path": "userName", "value": "Taken" }]);
    house.client.patch(&format!("/Users/{other}"), rename).expect_error(409, Some("uniqueness"), "userName");
    let put = client::user("TakeN", json!({}));
    house.client.put(&format!("/Users/{other}"), &put).expect_error(409, Some("uniqueness"), "userName");
    house.group("one name", &[]);
    let second = house.group("another name", &[]);
    house.client.post("/Groups", &client::group("One Name", &[])).expect_error(409, Some("uniqueness"), "displayName");
    let rename = json!([{ "op": "replace", "value": { "id": second, "displayName": "ONE NAME" } }]);
    house.client.patch(&format!("/Groups/{second}"), rename).expect_error(409, Some("uniqueness"), "displayName");
    assert_eq!(house.read(&taken)["userName"], "taken");
}

fn rule_17(house: &mut House) {
    let error = |answer: Answer, status: u16| {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.json()["status"], status.to_string(), "{}", answer.text());
        assert_eq!(answer.json()["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error");
    };
    // All others: `errors`.
    error(house.service.client_with("/scim/v2", Some("wrong".to_owned())).get("/Users"), 401);
    error(house.raw("GET", "/Nothing", &[], None), 404);
    error(house.raw("DELETE", "/Users", &[], None), 405);
    error(house.raw("POST", "/Users", &[("Content-Type", "text/plain")], Some(&json!({}))), 415);
}

fn rule_18(house: &mut House) {
    let id = house.person("leaves", json!({ "externalId": "L-1" }));
    let off = json!([{ "op": "replace", "path": "active", "value": false }]);
    house.patch(&format!("/Users/{id}"), off);
    assert_eq!(house.read(&id)["active"], false);
    assert_eq!(house.total("/Users", "userName eq \"leaves\""), 1);
    house.client.delete(&format!("/Users/{id}")).expect(204);
    house.client.delete(&format!("/Users/{id}")).expect(404);
    house.client.get(&format!("/Users/{id}")).expect(404);
    assert_eq!(house.total("/Users", "userName eq \"leaves\"") + house.total("/Users", "externalId eq \"L-1\""), 0);
    house.person("leaves", json!({ "externalId": "L-1" }));
    let group = house.group("goes", &[]);
    house.client.delete(&format!("/Groups/{group}")).expect(204);
    house.client.delete(&format!("/Groups/{group}")).expect(404);
    house.group("goes", &[]);
}

fn rule_19(house: &mut House) {
    let all = house.client.get("/Users?count=200").expect(200).json();
    let total = all["totalResults"].as_u64().expect("an integer");
    let ids = |page: &Value| -> Vec<Value> {
        page["Resources"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect()
    };
    let mut walked = Vec::new();
    while u64::try_from(walked.len()).unwrap() < total {
        let start = walked.len() + 1;
        let page = house.client.get(&format!("/Users?startIndex={start}&count=5")).expect(200).json();
        assert_eq!(page["startIndex"], start);
        assert_eq!(page["totalResults"], total);
        assert_eq!(page["itemsPerPage"].as_u64(), u64::try_from(ids(&page).len()).ok());
        walked.extend(ids(&page));
    }
    assert_eq!(walked, ids(&all));
    let past = house.client.get(&format!("/Users?startIndex={}&count=5", total + 1)).expect(200).json();
    assert_eq!(
        (&past["totalResults"], &past["Resources"], &past["itemsPerPage"]),
        (&json!(total), &json!([]), &json!(0))
    );
    assert_eq!(past["startIndex"], total + 1);
}

fn rule_20(house: &mut House) {
    let body = json!({
        "externalId": " E/1 ", "displayName": "  Two  Spaces ", "title": "ÀÉ\u{301} Straße",
        "name": { "givenName": "O'Brien ", "familyName": " " },
        "emails": [{ "value": "MiXed.Case@Example.ORG", "type": "other", "primary": true }],
        "phoneNumbers": [{ "value": "+1 (303) 555-0100 x7", "type": "work" }],
    });
    let made = house.client.post("/Users", &client::user("Echo@Example.org", body.clone())).expect(201).json();
    let id = made["id"].as_str().unwrap().to_owned();
    for document in [made, house.read(&id)] {
        assert_eq!(document["userName"], "Echo@Example.org");
        for key in ["externalId", "displayName", "title", "emails", "phoneNumbers"] {
            assert_eq!(document[key], body[key], "{:?}: {key}", house.engine);
        }
        assert_eq!(
            (&document["name"]["givenName"], &document["name"]["familyName"]),
            (&json!("O'Brien "), &json!(" "))
        );
    }
}

fn rule_21(house: &mut House) {
    let body = client::user("complete", json!({ "displayName": "C" }));
    let made = house.client.post("/Users", &body).expect(201);
    let document = made.json();
    for key in ["id", "userName", "displayName", "active", "schemas", "meta"] {
        assert!(!document[key].is_null(), "{key}: {document}");
    }
    assert_eq!(made.header("location"), document["meta"]["location"].as_str());
    assert!(made.header("location").is_some_and(|url| url.starts_with("https://")));
}

fn rule_22(house: &mut House) {
    let id = house.person("answers", json!({}));
    let group = house.group("answers", &[&id]);
    let patched =
        house.client.patch(&format!("/Users/{id}"), json!([{ "op": "replace", "path": "title", "value": "t" }]));
    assert!(patched.status == 204 || patched.json()["title"] == "t", "{}", patched.text());
    let patched = house
        .client
        .patch(&format!("/Groups/{group}"), json!([{ "op": "replace", "path": "displayName", "value": "answered" }]));
    assert!(if patched.status == 204 { patched.body.is_empty() } else { patched.json()["displayName"] == "answered" });
    let gone = house.client.delete(&format!("/Groups/{group}")).expect(204);
    assert!(gone.body.is_empty());
}

/// What is answered has happened: another session sees it at once. How fast, says `make bench`.
fn rule_23(house: &mut House) {
    for number in 0..20 {
        let began = Instant::now();
        let id = house.person(&format!("committed{number}"), json!({}));
        assert!(began.elapsed() < Duration::from_secs(5), "Keycloak gives up");
        assert_eq!(house.database.count(&format!("SELECT COUNT(*) FROM people WHERE id = {id}")), 1);
    }
}

/// Bursts for one group, from several connections: `retries` has fifty at once on two processes.
fn rule_24(house: &mut House) {
    let people: Vec<String> = (0..25).map(|number| house.person(&format!("burst{number}"), json!({}))).collect();
    let group = Arc::new(house.group("burst", &[]));
    std::thread::scope(|scope| {
        for person in &people {
            let (mut client, group) = (house.service.client(), Arc::clone(&group));
            scope.spawn(move || {
                let add = json!([{ "op": "add", "path": "members", "value": [{ "value": person }] }]);
                let answer = client.patch(&format!("/Groups/{group}"), add);
                assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
            });
        }
    });
    let mut members = house.members(&group);
    members.sort();
    let mut wanted = people;
    wanted.sort();
    assert_eq!(members, wanted);
}

type Rule = fn(&mut House);

const RULES: [Rule; 24] = [
    rule_1, rule_2, rule_3, rule_4, rule_5, rule_6, rule_7, rule_8, rule_9, rule_10, rule_11, rule_12, rule_13,
    rule_14, rule_15, rule_16, rule_17, rule_18, rule_19, rule_20, rule_21, rule_22, rule_23, rule_24,
];

fn every_rule(engine: Engine) {
    let mut house = House::new(engine);
    let mut broken = Vec::new();
    for (index, rule) in RULES.iter().enumerate() {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rule(&mut house)));
        if done.is_err() {
            broken.push(index + 1);
        }
    }
    assert!(broken.is_empty(), "{engine:?}: rules {broken:?}, see above");
}

#[test]
fn every_rule_on_mariadb() {
    every_rule(Engine::MariaDb);
}

#[test]
fn every_rule_on_postgres() {
    every_rule(Engine::Postgres);
}

#[test]
fn every_rule_on_sqlite() {
    every_rule(Engine::Sqlite);
}

/// docs/providers/rules.md: each rule and each complaint has a row, each row names tests, and each of them is there.
#[test]
fn the_page_is_right() {
    let text = std::fs::read_to_string(file("docs/providers/rules.md")).expect("the page");
    let test = regex::Regex::new(r"`((?:tests|src)/[\w/.-]+)(?:::(\w+)|: ([^`]+))?`").expect("a pattern");
    let mut numbers: Vec<Vec<u32>> = Vec::new();
    let mut wrong = Vec::new();
    for line in text.lines() {
        if line.starts_with("## ") {
            numbers.push(Vec::new());
        }
        let mut cells = line.split('|').map(str::trim).skip(1);
        let Some(number) = cells.next().and_then(|cell| cell.parse::<u32>().ok()) else { continue };
        numbers.last_mut().expect("a heading").push(number);
        let mut named = 0;
        for found in test.captures_iter(line) {
            named += 1;
            let path = crate::support::repository().join(&found[1]);
            let Ok(source) = std::fs::read_to_string(&path) else {
                wrong.push(format!("{number}: there is no {}", &found[1]));
                continue;
            };
            let there = match (found.get(2), found.get(3)) {
                (Some(name), _) => source.contains(&format!("fn {}(", name.as_str())),
                (_, Some(step)) => source.contains(&format!("- name: {}\n", step.as_str())),
                _ => true,
            };
            if !there {
                wrong.push(format!("{number}: {} is not there", &found[0]));
            }
        }
        if named == 0 {
            wrong.push(format!("{number}: no test is named"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let wanted: Vec<Vec<u32>> = vec![(1..=24).collect(), (1..=25).collect(), (1..=5).collect()];
    assert_eq!(numbers.into_iter().filter(|one| !one.is_empty()).collect::<Vec<_>>(), wanted);
}

/// Each provider's page says where to click, what to paste, what a test connection looks like in the log, what to map, what
/// to switch off, what becomes of people who leave, and what to do by symptom.
#[test]
fn every_provider_has_its_page() {
    for name in ["entra", "okta", "onelogin", "jumpcloud", "authentik", "keycloak", "ping", "google"] {
        let text = std::fs::read_to_string(file(&format!("docs/providers/{name}.md"))).expect("a page");
        for heading in ["## Set up\n", "## Mapping\n", "## Deactivation and deletion\n", "## Symptoms\n"] {
            assert!(text.contains(heading), "{name}: no {heading:?}");
        }
        for said in [&format!("profile: {name}"), &format!("token issue {name}"), "https://scim.example.com/scim/"] {
            assert!(text.contains(said), "{name} does not say {said:?}");
        }
        assert!(text.to_lowercase().contains("switch off") || text.contains("off"), "{name}: what to switch off");
        let log = text.split("```json\n").find(|block| block.starts_with("{\"timestamp\"")).expect("a line of the log");
        for line in log.lines().take_while(|line| !line.starts_with("```")) {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
            assert_eq!((&line["message"], &line["server"]), (&json!("request"), &json!(name)));
        }
    }
    let general = std::fs::read_to_string(file("docs/providers/README.md")).expect("a page");
    for application in ["Snipe-IT", "GLPI", "template"] {
        assert!(general.contains(application), "{application}");
    }
}
