//! Snipe-IT's company and location of a user: a foreign key in the row up to 8.5, a table of its own since.

use serde_json::{Value, json};

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::{real_case, shared};

const URN: &str = "urn:ietf:params:scim:schemas:extension:grokability:2.0:User";

fn on(version: &str) {
    let Some(schema) = shared(&format!("schemas/snipe-it-{version}.sql")) else {
        println!("../shared is not here: nothing was tested");
        return;
    };
    let database = Database::create(Engine::MariaDb);
    database.load(&schema);
    database.execute(
        "INSERT INTO companies (id, name, deleted_at) VALUES (1, 'Acme', NULL), (2, 'Gone', '2020-01-01 00:00:00');
         INSERT INTO locations (id, name) VALUES (1, 'Oslo'), (2, 'Bergen');",
    );
    let options = Options::adapter("adapters/snipe-it.yaml").parameters("{ organisation: true, companies: create }");
    let service = Service::start(&database, options);
    let mut client = service.client();
    let body = |company: Value, location: Value| {
        client::user(
            "ann",
            json!({ "name": { "givenName": "Ann" }, URN: { "company": company, "location": location } }),
        )
    };
    let created = client.post("/Users", &body(json!("Acme"), json!("Oslo"))).expect(201);
    assert_eq!(created.json()[URN], json!({ "company": "Acme", "location": "Oslo" }), "{}", created.text());
    let path = format!("/Users/{}", created.id());
    let separate = version.starts_with("8.6");
    let companies = |database: &Database| match separate {
        true => database.rows("SELECT company_id FROM company_user ORDER BY id"),
        false => database.rows("SELECT company_id FROM users WHERE company_id IS NOT NULL"),
    };
    let is = |id: &str| vec![vec![Some(id.to_owned())]];
    assert_eq!(companies(&database), is("1"));
    database.execute(&format!(
        "INSERT INTO assets (name, asset_tag, assigned_type, assigned_to, location_id) VALUES ('laptop', 'T1', 'App\\\\Models\\\\User', {}, 1)",
        created.id()
    ));
    // A name that a deleted company holds: brought back, since there can be no other of it. What is held moves along.
    let key = if separate { database.count("SELECT id FROM company_user") } else { 0 };
    let changed = client.put(&path, &body(json!("Gone"), json!("Bergen"))).expect(200).json();
    assert_eq!(changed[URN], json!({ "company": "Gone", "location": "Bergen" }), "{changed}");
    assert_eq!(companies(&database), is("2"));
    assert_eq!(database.count("SELECT COUNT(*) FROM companies WHERE deleted_at IS NULL"), 2);
    assert_eq!(database.count("SELECT location_id FROM assets"), 2);
    if separate {
        assert_eq!(database.count("SELECT id FROM company_user"), key, "the row of the one value is kept");
        // Several, made by hand: the first is shown and written, the other left.
        database.execute(&format!("INSERT INTO company_user (company_id, user_id) VALUES (1, {})", created.id()));
        assert_eq!(client.get(&path).expect(200).json()[URN]["company"], "Gone");
        client.patch(&path, json!([{ "op": "replace", "path": format!("{URN}:company"), "value": "New" }])).expect(200);
        assert_eq!(database.count("SELECT COUNT(*) FROM company_user WHERE company_id = 1"), 1);
        assert_eq!(database.count("SELECT COUNT(*) FROM company_user"), 2);
    }
    let found =
        client.get(&format!("/Users?filter={}", client::encode(&format!("{URN}:location eq \"bergen\"")))).expect(200);
    assert_eq!(found.json()["totalResults"], 1, "{}", found.text());
    client.patch(&path, json!([{ "op": "remove", "path": format!("{URN}:location") }])).expect(200);
    assert_eq!(database.count("SELECT COUNT(*) FROM assets WHERE location_id IS NULL"), 1);
    real_case(&format!("snipe-it {version} company and location"));
}

#[test]
fn of_snipe_it_8_4() {
    on("8.4.1");
}

#[test]
fn of_snipe_it_8_6() {
    on("8.6.3");
}
