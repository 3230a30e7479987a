//! Lists: filters pushed into SQL answer alike on every database, pages cover everybody once, projections leave out what
//! they are told to.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::client::{self, encode};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn filters(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let people = [
        (
            "ann",
            json!({ "title": "Fitter", "displayName": "Ann A", "externalId": "X1", "active": true, "emails": [{ "value": "ann@example.org" }], ENTERPRISE: { "department": "Yard", "employeeNumber": "100" } }),
        ),
        (
            "bob",
            json!({ "title": "fitter", "displayName": "Bob B", "externalId": "x1", "active": false, "phoneNumbers": [{ "type": "work", "value": "123" }], ENTERPRISE: { "department": "Office" } }),
        ),
        ("cy%", json!({ "title": "Chief_of", "displayName": "Cy", "active": true })),
        (
            "dee",
            json!({ "displayName": "Dee", "active": true, "phoneNumbers": [{ "type": "mobile", "value": "123" }] }),
        ),
    ];
    let mut ids = std::collections::BTreeMap::new();
    for (name, more) in people {
        ids.insert(name, client.post("/Users", &client::user(name, more)).expect(201).id());
    }
    let bob = &ids["bob"];
    client.patch(
        &format!("/Users/{}", ids["ann"]),
        json!([{ "op": "add", "path": format!("{ENTERPRISE}:manager"), "value": { "value": bob } }]),
    );
    let team = client.post("/Groups", &client::group("team", &[&ids["ann"], &ids["dee"]])).expect(201).id();
    let mut problems = Vec::new();
    for (filter, expected) in [
        ("userName eq \"ANN\"".to_owned(), "ann"),
        ("USERNAME EQ \"ann\"".to_owned(), "ann"),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"ann\"".to_owned(), "ann"),
        ("userName ne \"ann\"".to_owned(), "bob cy% dee"),
        ("title eq \"FITTER\"".to_owned(), "ann bob"),
        ("title co \"itt\"".to_owned(), "ann bob"),
        ("title sw \"chief_\"".to_owned(), "cy%"),
        ("title sw \"chiefx\"".to_owned(), ""),
        ("userName ew \"%\"".to_owned(), "cy%"),
        ("userName co \"_\"".to_owned(), ""),
        ("title pr".to_owned(), "ann bob cy%"),
        ("not (title pr)".to_owned(), "dee"),
        ("title ne \"Fitter\"".to_owned(), "cy% dee"),
        ("active eq true".to_owned(), "ann cy% dee"),
        ("active eq false".to_owned(), "bob"),
        ("active eq true and title pr".to_owned(), "ann cy%"),
        ("active eq false or userName eq \"dee\"".to_owned(), "bob dee"),
        ("not (active eq true) or (userName sw \"a\" and title eq \"fitter\")".to_owned(), "ann bob"),
        // externalId is caseExact (RFC 7643 3.1).
        ("externalId eq \"X1\"".to_owned(), "ann"),
        ("emails eq \"ann@example.org\"".to_owned(), "ann"),
        ("emails.value eq \"ANN@example.org\"".to_owned(), "ann"),
        ("emails[type eq \"work\" and value co \"@example\"]".to_owned(), "ann"),
        ("emails pr".to_owned(), "ann"),
        ("phoneNumbers[type eq \"work\"].value eq \"123\"".to_owned(), "bob"),
        ("phoneNumbers[type eq \"mobile\" and value eq \"123\"]".to_owned(), "dee"),
        ("phoneNumbers.value eq \"123\"".to_owned(), "bob dee"),
        (format!("{ENTERPRISE}:department eq \"yard\""), "ann"),
        (format!("{ENTERPRISE}:department ne \"yard\""), "bob cy% dee"),
        (format!("{ENTERPRISE}:department pr"), "ann bob"),
        (format!("{ENTERPRISE}:employeeNumber eq \"100\""), "ann"),
        (format!("{ENTERPRISE}:manager.value eq \"{bob}\""), "ann"),
        (format!("{ENTERPRISE}:manager eq \"{bob}\""), "ann"),
        (format!("id eq \"{bob}\""), "bob"),
        ("id eq \"no\"".to_owned(), ""),
        (format!("groups.value eq \"{team}\""), "ann dee"),
        (format!("groups eq \"{team}\""), "ann dee"),
        ("meta.created gt \"2020-01-01T00:00:00Z\"".to_owned(), "ann bob cy% dee"),
        ("meta.lastModified lt \"2020-01-01T00:00:00Z\"".to_owned(), ""),
        ("title eq null".to_owned(), "dee"),
    ] {
        let answer = client.get(&format!("/Users?filter={}", encode(&filter)));
        if answer.status != 200 {
            problems.push(format!("{filter}: {} {}", answer.status, answer.text()));
            continue;
        }
        let document = answer.json();
        let found: BTreeSet<&str> = document["Resources"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|user| user["userName"].as_str())
            .collect();
        let expected: BTreeSet<&str> = expected.split_whitespace().collect();
        if found != expected || document["totalResults"] != expected.len() {
            problems.push(format!("{filter}: {found:?} (totalResults {}), not {expected:?}", document["totalResults"]));
        }
    }
    for (filter, total) in [
        (format!("members eq \"{}\"", ids["dee"]), 1),
        (format!("members[value eq \"{bob}\"]"), 0),
        ("displayName eq \"TEAM\"".to_owned(), 1),
    ] {
        let document = client.get(&format!("/Groups?filter={}", encode(&filter))).expect(200).json();
        if document["totalResults"] != total {
            problems.push(format!("{filter}: {document}"));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn filters_on_mariadb() {
    filters(Engine::MariaDb);
}

#[test]
fn filters_on_postgres() {
    filters(Engine::Postgres);
}

#[test]
fn filters_on_sqlite() {
    filters(Engine::Sqlite);
}

fn pages(engine: Engine) {
    let database = Database::small(engine);
    let rows: Vec<String> = (0..53).map(|n| format!("('p{n:02}', 'P', 1)")).collect();
    database.execute(&format!("INSERT INTO people (login, given, enabled) VALUES {}", rows.join(",")));
    database.execute("UPDATE people SET gone_at = '2020-01-01 00:00:00' WHERE login IN ('p07', 'p50')");
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let mut seen = Vec::new();
    let mut start = 1;
    loop {
        let page = client.get(&format!("/Users?startIndex={start}&count=10")).expect(200).json();
        assert_eq!(page["totalResults"], 51);
        assert_eq!(page["startIndex"], start);
        let names: Vec<String> = page["Resources"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|user| user["userName"].as_str().expect("a name").to_owned())
            .collect();
        assert_eq!(page["itemsPerPage"], names.len());
        if names.is_empty() {
            break;
        }
        start += names.len();
        seen.extend(names);
    }
    assert_eq!(seen.len(), 51);
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), 51, "everybody once");
    let none = client.get("/Users?count=0").expect(200).json();
    assert_eq!((&none["totalResults"], none["Resources"].as_array().map_or(0, Vec::len)), (&json!(51), 0));
    let below = client.get("/Users?startIndex=-3&count=-1").expect(200).json();
    assert_eq!((&below["startIndex"], below["Resources"].as_array().map_or(0, Vec::len)), (&json!(1), 0));
    client.get("/Users?count=x").expect_error(400, Some("invalidValue"), "count");
}

#[test]
fn pages_on_mariadb() {
    pages(Engine::MariaDb);
}

#[test]
fn pages_on_postgres() {
    pages(Engine::Postgres);
}

#[test]
fn pages_on_sqlite() {
    pages(Engine::Sqlite);
}

#[test]
fn projections() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let more = json!({ "title": "t", "name": { "givenName": "Ann", "familyName": "Arm" }, "emails": [{ "value": "ann@example.org" }] });
    let id = client.post("/Users", &client::user("ann", more)).expect(201).id();
    client.post("/Groups", &client::group("team", &[&id])).expect(201);
    let keys =
        |document: &Value| document.as_object().expect("a resource").keys().cloned().collect::<BTreeSet<String>>();
    let set = |words: &str| words.split_whitespace().map(str::to_owned).collect::<BTreeSet<String>>();
    let whole = client.get(&format!("/Users/{id}")).expect(200).json();
    assert!(keys(&whole).is_superset(&set("schemas id meta userName name title emails groups active")), "{whole}");
    let some = client.get(&format!("/Users/{id}?attributes=userName,name.familyName")).expect(200).json();
    assert!(keys(&some).is_superset(&set("id userName name")), "{some}");
    assert!(keys(&some).is_disjoint(&set("title emails groups active")), "{some}");
    assert_eq!(some["name"], json!({ "familyName": "Arm" }));
    let without = client.get(&format!("/Users/{id}?excludedAttributes=groups,EMAILS.value,id")).expect(200).json();
    assert!(keys(&without).is_superset(&set("id userName name title")), "id is always returned: {without}");
    assert!(keys(&without).is_disjoint(&set("groups")), "{without}");
    let list = client.get("/Users?attributes=userName").expect(200).json();
    assert!(keys(&list["Resources"][0]).is_disjoint(&set("title emails groups")), "{list}");
    let member = client.get("/Groups?excludedAttributes=members").expect(200).json();
    assert!(member["Resources"][0].get("members").is_none(), "{member}");
}

/// Each condition about members is a table to the planner, which must not try all orders of a dozen of them.
fn many_conditions_about_members(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let ids: Vec<String> =
        (0..30).map(|n| client.post("/Users", &client::user(&format!("m{n}"), json!({}))).expect(201).id()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (n, members) in ids.chunks(3).enumerate() {
        client.post("/Groups", &client::group(&format!("g{n}"), members)).expect(201);
    }
    let one = |n: usize| match n % 4 {
        0 => format!("members.value ge \"{n}\""),
        1 => format!("members[not (value sw \"x{n}\")]"),
        2 => "not (members.display ne \"nobody\")".to_owned(),
        _ => "members.type pr".to_owned(),
    };
    for count in [12, 30, 80] {
        let filter = (0..count).map(one).collect::<Vec<_>>().join(" and ");
        let began = std::time::Instant::now();
        client.get(&format!("/Groups?filter={}", encode(&filter))).expect(200);
        println!("{count} conditions: {:?}", began.elapsed());
    }
}

#[test]
fn many_conditions_about_members_on_mariadb() {
    many_conditions_about_members(Engine::MariaDb);
}

#[test]
fn many_conditions_about_members_on_postgres() {
    many_conditions_about_members(Engine::Postgres);
}
