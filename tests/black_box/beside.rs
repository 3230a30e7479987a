//! What a client says beside a value that has one column (`type`, `display`, `primary` of an e-mail address) is kept and
//! shown; filters see what is shown, for as long as the column holds what it held then.

use serde_json::json;

use crate::support::client::{self, encode};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

fn filters(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let with = |email: serde_json::Value| json!({ "emails": [email] });
    let people = [
        ("ann", with(json!({ "value": "ann@example.org", "type": "home", "display": "Ann's", "primary": false }))),
        ("bob", with(json!({ "value": "bob@example.org" }))),
        ("cy", json!({})),
        ("dee", with(json!({ "value": "dee@example.org", "type": "WORK", "primary": true }))),
        ("eve", with(json!({ "value": "eve@example.org", "type": "Home" }))),
    ];
    for (name, more) in people {
        client.post("/Users", &client::user(name, more)).expect(201);
    }
    // The application changed it since: what was said of the old address is not said of the new.
    database.execute("UPDATE people SET mail = 'eva@example.org' WHERE login = 'eve'");
    let mut found = |filter: &str| {
        let list = client.get(&format!("/Users?sortBy=userName&filter={}", encode(filter))).expect(200).json();
        let all = list["Resources"].as_array().cloned().unwrap_or_default();
        // Each answer is what looking at the resources gives.
        let names = all.iter().map(|user| user["userName"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>().join(" ")
    };
    for (filter, wanted) in [
        ("emails.type eq \"home\"", "ann"),
        ("emails.type eq \"work\"", "bob dee eve"),
        ("emails.type ne \"work\"", "ann cy"),
        ("emails.type pr", "ann bob dee eve"),
        ("emails.type sw \"HO\"", "ann"),
        ("emails[type eq \"home\"]", "ann"),
        ("emails[type eq \"home\" and value ew \"example.org\"]", "ann"),
        ("emails[type eq \"work\" and value co \"ann\"]", ""),
        ("emails[not (type eq \"work\")]", "ann"),
        ("emails.display eq \"ann's\"", "ann"),
        ("emails.display pr", "ann"),
        ("not (emails.display pr)", "bob cy dee eve"),
        ("emails.display eq null", "bob cy dee eve"),
        ("emails.primary eq true", "bob dee eve"),
        ("emails.primary eq false", "ann"),
        ("emails[primary eq true and type eq \"work\"]", "bob dee eve"),
    ] {
        assert_eq!(found(filter), wanted, "{engine:?}: {filter}");
    }
    let ann = database.count("SELECT id FROM people WHERE login = 'ann'");
    let shown = client.get(&format!("/Users/{ann}")).expect(200).json();
    assert_eq!(shown["emails"][0]["type"], "home");
    // A change of something else keeps it; one of the address does not.
    let patch = |path: &str, value: &str| json!([{ "op": "replace", "path": path, "value": value }]);
    client.patch(&format!("/Users/{ann}"), patch("title", "x")).expect(200);
    let home = format!("/Users?filter={}", encode("emails.type eq \"home\""));
    assert_eq!(client.get(&home).expect(200).json()["totalResults"], 1);
    client.put(&format!("/Users/{ann}"), &client::user("ann", with(json!({ "value": "ann@example.org" })))).expect(200);
    assert_eq!(client.get(&home).expect(200).json()["totalResults"], 0);
}

/// Of slots that a type tells apart too: each has its own `display` and `primary`.
fn slots(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let desk = json!({ "value": "1", "type": "work", "display": "Desk", "primary": true });
    let pocket = json!({ "value": "2", "type": "mobile", "display": "Pocket" });
    for (name, phones) in [
        ("ann", json!([desk, pocket])),
        ("bob", json!([pocket])),
        ("cy", json!([])),
        ("dee", json!([{ "value": "3", "type": "work" }])),
        ("eve", json!([pocket, desk])),
    ] {
        client.post("/Users", &client::user(name, json!({ "phoneNumbers": phones }))).expect(201);
    }
    // One of the two changed under us: what was said of both is not shown any more.
    database.execute("UPDATE people SET mobile_phone = '9' WHERE login = 'eve'");
    let eve = database.count("SELECT id FROM people WHERE login = 'eve'");
    let shown = client.get(&format!("/Users/{eve}")).expect(200).json();
    assert!(shown["phoneNumbers"].as_array().is_some_and(|all| all.iter().all(|phone| phone.get("display").is_none())));
    for (filter, wanted) in [
        ("phoneNumbers.display eq \"desk\"", "ann"),
        ("phoneNumbers[type eq \"work\" and display eq \"Desk\"]", "ann"),
        ("phoneNumbers[type eq \"mobile\" and display eq \"Desk\"]", ""),
        ("phoneNumbers[type eq \"mobile\" and display sw \"poc\"]", "ann bob"),
        ("phoneNumbers.display pr", "ann bob"),
        ("phoneNumbers.primary eq true", "ann"),
        ("phoneNumbers[type eq \"mobile\" and primary eq true]", ""),
        ("not (phoneNumbers.primary eq true)", "bob cy dee eve"),
        ("phoneNumbers[not (display pr)]", "dee eve"),
    ] {
        let list = client.get(&format!("/Users?sortBy=userName&filter={}", encode(filter))).expect(200).json();
        let all = list["Resources"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> = all.iter().filter_map(|user| user["userName"].as_str()).collect();
        assert_eq!(names.join(" "), wanted, "{engine:?}: {filter}");
    }
}

#[test]
fn mariadb() {
    filters(Engine::MariaDb);
    slots(Engine::MariaDb);
}

#[test]
fn postgres() {
    filters(Engine::Postgres);
    slots(Engine::Postgres);
}

#[test]
fn sqlite() {
    filters(Engine::Sqlite);
    slots(Engine::Sqlite);
}
