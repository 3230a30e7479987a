//! The template that administrators copy, on the application it describes: every attribute written, read back as rows and
//! as SCIM, found and sorted.

use serde_json::{Value, json};

use crate::support::client::{self, encode};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, describe};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const OWN: &str = "urn:example:params:scim:schemas:2.0:Template";

fn row(database: &Database, id: &str, columns: &str) -> Vec<Option<String>> {
    database.rows(&format!("SELECT {columns} FROM users WHERE id = '{id}'")).remove(0)
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn every_attribute() {
    let database = Database::create(Engine::Postgres);
    database.load(&crate::support::file("tests/schemas/template.postgres.sql"));
    let options = Options::adapter("adapters/template.yaml").parameters("{ passwords: true }");
    let service = Service::start(&database, options);
    let check = service.run(&["check"]);
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    // The login owns the tables here: that it may do more is the only warning.
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains("warning: ")).collect();
    let [only] = warnings.as_slice() else { panic!("{}", describe(&check)) };
    assert!(check.status.success() && only.contains("may do what the adapter never does"), "{}", describe(&check));
    let mut client = service.client();
    let boss = client.post("/Users", &client::user("Boss", json!({}))).expect(201).id();
    let body = json!({
        "externalId": "x-1", "name": { "givenName": " Ann ", "familyName": "Ångström" }, "title": "Fitter",
        "userType": "contractor", "preferredLanguage": "de-CH", "timezone": "Europe/Zurich", "active": true,
        "password": "correct horse", "emails": [{ "value": "Ann@Example.org", "type": "work", "primary": true }],
        "phoneNumbers": [{ "type": "work", "value": "1" }, { "type": "mobile", "value": "2" }],
        "addresses": [{ "type": "work", "streetAddress": "S", "locality": "L", "postalCode": "8000", "country": "CH" }],
        ENTERPRISE: { "employeeNumber": "701984", "department": "R&D", "manager": { "value": boss } },
        OWN: { "hiredOn": "2024-02-29", "theme": "dark", "beta": true },
    });
    let made = client.post("/Users", &client::user("ann", body.clone())).expect(201);
    let (id, made) = (made.id(), made.json());
    for (path, value) in body.as_object().unwrap().iter().filter(|(path, _)| *path != "password") {
        match path.as_str() {
            "name" => assert_eq!(made["name"]["formatted"], "Ann Ångström"),
            // The client's spelling, from what an enum's label stands for.
            "userType" => assert_eq!(made["userType"], "contractor"),
            ENTERPRISE => {
                assert_eq!(made[ENTERPRISE]["manager"]["value"], boss.as_str());
                assert_eq!(made[ENTERPRISE]["manager"]["displayName"], "Boss");
                assert_eq!(made[ENTERPRISE]["department"], "R&D");
                assert_eq!(made[ENTERPRISE]["employeeNumber"], "701984");
            }
            path => assert_eq!(&made[path], value, "{path}"),
        }
    }
    assert_eq!(made["displayName"], "Ann Ångström");
    assert!(made.get("password").is_none());
    assert_eq!(
        row(
            &database,
            &id,
            "login, external_id, given_name, family_name, display_name, email, work_phone, mobile_phone, street, \
            city, post_code, country, job_title, employment, language, time_zone, is_active, staff_number, hired_on, settings"
        ),
        [
            text("ann"),
            text("x-1"),
            text("Ann"),
            text("Ångström"),
            None,
            text("Ann@Example.org"),
            text("1"),
            text("2"),
            text("S"),
            text("L"),
            text("8000"),
            text("CH"),
            text("Fitter"),
            text("contractor"),
            text("de_CH"),
            text("Europe/Zurich"),
            text("t"),
            text("701984"),
            text("2024-02-29"),
            text(r#"{"ui": {"theme": "dark"}, "beta": "on"}"#),
        ]
    );
    let secret = row(&database, &id, "password_hash, password_set_at IS NOT NULL, created_at = updated_at");
    assert!(secret[0].as_deref().is_some_and(|hash| hash.starts_with("$argon2id$")), "{secret:?}");
    assert_eq!(secret[1..], [text("t"), text("t")]);
    assert_eq!(database.count(&format!("SELECT COUNT(*) FROM users u JOIN departments d ON d.id = u.department_id WHERE u.id = '{id}' AND d.name = 'r&d'")), 1);
    assert_eq!(database.count(&format!("SELECT COUNT(*) FROM users WHERE id = '{id}' AND manager_id = '{boss}'")), 1);
    assert_eq!(
        database.count(&format!(
            "SELECT COUNT(*) FROM audit_log WHERE user_id = '{id}' AND action = 'created' AND actor = 'test'"
        )),
        1
    );

    // Found by each of them, whatever the case where case does not count.
    database.execute(&format!("UPDATE users SET last_seen = '2026-01-02 03:04:05.5+01' WHERE id = '{id}'"));
    for filter in [
        "userName eq \"ANN\"".to_owned(),
        "externalId eq \"x-1\"".to_owned(),
        "name.familyName eq \"ångström\"".to_owned(),
        "name.formatted sw \"ann å\"".to_owned(),
        "displayName eq \"Ann Ångström\"".to_owned(),
        "userType eq \"CONTRACTOR\"".to_owned(),
        "preferredLanguage eq \"de-ch\"".to_owned(),
        "emails.value eq \"ann@example.org\"".to_owned(),
        "emails[type eq \"work\" and value co \"@EXAMPLE\"]".to_owned(),
        "phoneNumbers[type eq \"mobile\"].value eq \"2\"".to_owned(),
        "addresses.country eq \"CH\"".to_owned(),
        format!("id eq \"{id}\""),
        format!("{ENTERPRISE}:employeeNumber eq \"701984\""),
        format!("{ENTERPRISE}:department eq \"r&D\""),
        format!("{ENTERPRISE}:manager.value eq \"{boss}\""),
        format!("{OWN}:hiredOn eq \"2024-02-29\""),
        format!("{OWN}:lastSeen eq \"2026-01-02T02:04:05.5Z\""),
        format!("{OWN}:lastSeen gt \"2026-01-02T02:04:05Z\""),
        format!("{OWN}:theme eq \"DARK\""),
        format!("{OWN}:beta eq true"),
        "meta.created gt \"2020-01-01T00:00:00Z\" and title pr".to_owned(),
    ] {
        let found = client.get(&format!("/Users?filter={}", encode(&filter))).expect(200).json();
        assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!(id)), "{filter}");
    }
    for sort in ["id", "userName", "userType", "name.familyName", "emails.value", "meta.created", "active"] {
        client.get(&format!("/Users?sortBy={sort}")).expect(200);
    }
    for sort in [format!("{ENTERPRISE}:department"), format!("{OWN}:hiredOn"), format!("{OWN}:theme")] {
        client.get(&format!("/Users?sortBy={}", encode(&sort))).expect(200);
    }

    // Changed and emptied one by one; the rest of the document stays.
    database.execute(&format!("UPDATE users SET settings = settings || '{{\"other\": [1]}}' WHERE id = '{id}'"));
    let mut operations = vec![
        json!({ "op": "replace", "path": "userType", "value": "Intern" }),
        json!({ "op": "replace", "path": format!("{OWN}:theme"), "value": "light" }),
        json!({ "op": "remove", "path": format!("{OWN}:beta") }),
        json!({ "op": "remove", "path": format!("{ENTERPRISE}:manager") }),
        json!({ "op": "remove", "path": "emails" }),
        json!({ "op": "remove", "path": "preferredLanguage" }),
        json!({ "op": "replace", "path": format!("{OWN}:lastSeen"), "value": "2000-01-01T00:00:00Z" }),
    ];
    let path = format!("/Users/{id}");
    client.patch(&path, json!(operations)).expect_error(400, Some("mutability"), "lastSeen");
    operations.pop();
    client.patch(&path, json!(operations)).expect(200);
    assert_eq!(
        row(&database, &id, "employment, settings, manager_id, email, language"),
        [text("intern"), text(r#"{"ui": {"theme": "light"}, "other": [1]}"#), None, None, None]
    );
    let logged = database.rows(&format!("SELECT details FROM audit_log WHERE user_id = '{id}' AND action = 'changed'"));
    let changes: Value = serde_json::from_str(logged[0][0].as_deref().unwrap()).unwrap();
    assert_eq!(changes["employment"], json!({ "old": "contractor", "new": "intern" }));

    // What does not fit is refused by name, and nothing is written.
    let before = (database.table("users"), database.table("audit_log"), database.table("departments"));
    for (name, more, word) in [
        ("bad1", json!({ "userType": "boss" }), "userType is not one of Employee, Contractor, Intern"),
        (
            "bad2",
            json!({ ENTERPRISE: { "employeeNumber": "A7", "department": "New" } }),
            "employeeNumber is not a whole number",
        ),
        ("bad3", json!({ "addresses": [{ "type": "work", "country": "Schweiz" }] }), "country"),
        (
            "bad4",
            json!({ "addresses": [{ "type": "work", "postalCode": "12345678901" }] }),
            "longer than 10 characters",
        ),
        ("bad5", json!({ OWN: { "hiredOn": "someday" } }), "hiredOn is not a date"),
        ("bad6", json!({ ENTERPRISE: { "manager": { "value": "7" } } }), "manager"),
        ("bad7", json!({ ENTERPRISE: { "manager": { "value": "00000000-0000-4000-8000-000000000000" } } }), "manager"),
    ] {
        client.post("/Users", &client::user(name, more)).expect_error(400, Some("invalidValue"), word);
    }
    client.post("/Users", &client::user("ANN", json!({}))).expect_error(409, Some("uniqueness"), "userName");
    for wrong in ["7", "not-a-uuid", "00000000-0000-4000-8000-000000000000", &id.to_uppercase()] {
        client.get(&format!("/Users/{wrong}")).expect(404);
    }
    let after = (database.table("users"), database.table("audit_log"), database.table("departments"));
    assert_eq!(after, before);

    // Teams: members, somebody else's rows left alone.
    let team = client.post("/Groups", &client::group("Crew", &[&id])).expect(201).id();
    database.execute(&format!(
        "INSERT INTO team_members (team_id, user_id, source) VALUES ('{team}', '{boss}', 'directory')"
    ));
    let seen = client.get(&format!("/Groups/{team}")).expect(200).json();
    assert_eq!(seen["members"].as_array().map(Vec::len), Some(2), "{seen}");
    client.put(&format!("/Groups/{team}"), &client::group("Crew", &[])).expect(200);
    assert_eq!(database.rows("SELECT user_id, source FROM team_members"), [[text(&boss), text("directory")]]);
    let ann = client.get(&format!("/Users/{boss}")).expect(200).json();
    assert_eq!(ann["groups"][0]["display"], "Crew");

    // Switched off: signed out. Deleted: marked, unless somebody is managed.
    database.execute(&format!("INSERT INTO sessions (user_id) VALUES ('{id}'), ('{boss}')"));
    let off = json!([{ "op": "replace", "path": "active", "value": "False" }]);
    client.patch(&format!("/Users/{id}"), off).expect(200);
    assert_eq!(database.rows("SELECT user_id FROM sessions"), [[text(&boss)]]);
    let manage = json!([{ "op": "add", "path": format!("{ENTERPRISE}:manager"), "value": { "value": boss } }]);
    client.patch(&format!("/Users/{id}"), manage).expect(200);
    client.delete(&format!("/Users/{boss}")).expect_error(409, None, "still manages 1 people");
    client.delete(&format!("/Users/{id}")).expect(204);
    client.get(&format!("/Users/{id}")).expect(404);
    assert_eq!(row(&database, &id, "deleted_at IS NOT NULL, is_active"), [text("t"), text("f")]);
    client.delete(&format!("/Users/{boss}")).expect(204);
    database.execute("UPDATE team_members SET source = 'scim'");
    client.delete(&format!("/Groups/{team}")).expect(204);
    assert_eq!(database.count("SELECT COUNT(*) FROM team_members") + database.count("SELECT COUNT(*) FROM teams"), 0);
    // An administrator of the application is seen and not touched.
    database.execute("INSERT INTO users (login, is_admin) VALUES ('root', true)");
    let root = client.get("/Users?filter=userName%20eq%20%22root%22").expect(200).json()["Resources"][0]["id"].clone();
    let title = json!([{ "op": "replace", "path": "title", "value": "x" }]);
    client.patch(&format!("/Users/{}", root.as_str().unwrap()), title).expect_error(403, None, "protected");
}
