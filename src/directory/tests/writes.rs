//! PUT, PATCH and POST: what is written and what is left.

use super::*;

#[test]
fn a_put_clears_what_it_omits() {
    let application = Application::staff();
    let full = json!({
        "userName": "eve", "name": { "givenName": "Eve", "familyName": "Moneypenny" }, "displayName": "E.", "title": "T", "active": false,
        "emails": [{ "value": "e@example.org" }], "phoneNumbers": [{ "type": "work", "value": "1" }], "externalId": "e",
        "id": "99", "meta": { "created": "2000-01-01T00:00:00Z" }, "groups": [{ "value": "1" }], "shoeSize": 4,
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Looms", "costCenter": "C1", "division": "North", "manager": { "value": "2" } }
    });
    let eve = application.create(USER, full).unwrap();
    let id = text(&eve, "id").to_owned();
    assert_eq!(id, "4", "what is read-only is ignored");
    assert_eq!(eve[ENTERPRISE]["costCenter"], "C1");
    assert_eq!(eve.get("groups"), None);
    application.application_runs("UPDATE people SET entity = 9 WHERE id = 4");
    let bare = application.put(USER, &id, json!({ "userName": "eve" })).unwrap();
    let names: Vec<&str> = bare.keys().map(String::as_str).collect();
    assert_eq!(names.len(), 7, "{names:?}");
    assert_eq!(bare["active"], false, "a boolean that is omitted is left");
    assert_eq!(bare["name"], json!({ "givenName": "eve" }), "filled by its fallback");
    assert_eq!(bare["displayName"], "eve", "shown by its template");
    let row = ["family", "shown", "title", "mail", "phone", "ext", "dept_id", "division_id", "manager_id"];
    for column in row {
        assert_eq!(application.person(&id, column), None, "{column}");
    }
    assert_eq!(application.person(&id, "center_id").as_deref(), Some("0"), "what stands for none");
    assert_eq!(application.person(&id, "entity").as_deref(), Some("9"), "not mapped, not touched");
}

#[test]
fn columns_that_no_attribute_fills_come_from_create() {
    let application = Application::staff();
    let eve =
        application.create(USER, json!({ "userName": "eve", "active": null, "title": null, "emails": [] })).unwrap();
    assert_eq!(eve["active"], true);
    for (column, value) in [("state", "invited"), ("secret", "!"), ("entity", "7"), ("given", "eve")] {
        assert_eq!(application.person("4", column).as_deref(), Some(value), "{column}");
    }
    assert_eq!(application.shown("history", &["what", "details"]), ["created eve in 7"]);
    let off = application.create(USER, json!({ "userName": "off", "active": "False" })).unwrap();
    assert_eq!(off["active"], false);
    assert_eq!(application.person("5", "state").as_deref(), Some("suspended"));
}

#[test]
fn either_side_of_a_boolean_is_not_rewritten() {
    let application = Application::staff();
    let (_, cost) = application.cost(|| application.set("2", "active", json!(true)).unwrap());
    assert_eq!(cost.writes, 0);
    assert_eq!(application.person("2", "state").as_deref(), Some("invited"));
}

#[test]
fn a_password_is_hashed_once() {
    let application = Application::staff();
    let set = || application.set("2", "password", json!("correct horse")).unwrap().unwrap();
    assert_eq!(set().get("password"), None, "never returned");
    let hash = application.person("2", "secret").unwrap();
    assert!(hash.starts_with("$2y$"), "{hash}");
    assert!(application.person("2", "secret_at").is_some());
    let history = application.shown("history", &["details"]);
    assert_eq!(history, ["{\"secret\":{\"old\":\"*****\",\"new\":\"*****\"}}"]);
    let (_, cost) = application.cost(set);
    assert_eq!(cost.writes, 0, "the same password again");
    // A first operation that means nothing to an empty resource is no reason to hash again.
    let both = json!([{ "op": "remove", "path": "phoneNumbers[type eq \"work\"]" }, { "op": "replace", "path": "password", "value": "correct horse" }]);
    let (_, cost) = application.cost(|| application.patch(USER, "2", both));
    assert_eq!(cost.writes, 0);
    application.put(USER, "2", json!({ "userName": "bob", "password": "other" })).unwrap();
    let other = application.person("2", "secret").unwrap();
    assert_ne!(hash, other);
    application.put(USER, "2", json!({ "userName": "bob" })).unwrap();
    assert_eq!(application.person("2", "secret").unwrap(), other, "left where it is omitted");
}

#[test]
fn what_goes_along_is_written_only_with_its_column() {
    let application = Application::staff();
    application.set("2", "title", json!("T")).unwrap();
    assert_eq!(application.person("2", "legacy"), None, "the title there was");
    application.application_runs("UPDATE people SET legacy = 'untouched' WHERE id = 2");
    application.set("2", "title", json!("T ")).unwrap();
    assert_eq!(application.person("2", "legacy").as_deref(), Some("untouched"));
    assert_eq!(application.get(USER, "2").unwrap()["title"], "T ");
}

#[test]
fn a_patch_is_all_or_nothing() {
    let application = Application::staff();
    let before = application.get(USER, "2").unwrap();
    for last in [
        json!({ "op": "replace", "path": "userName", "value": "root" }),
        json!({ "op": "remove", "path": "userName" }),
        json!({ "op": "replace", "path": "manager", "value": "77" }),
        json!({ "op": "replace", "path": format!("{ENTERPRISE}:division"), "value": "South" }),
        json!({ "op": "replace", "path": "active", "value": "perhaps" }),
    ] {
        let operations = json!([
            { "op": "replace", "path": "title", "value": "T" },
            { "op": "replace", "path": format!("{ENTERPRISE}:department"), "value": "Made on the way" },
            last
        ]);
        let refused = application.patch(USER, "2", operations).unwrap_err();
        assert!(matches!(refused.status, 400 | 409), "{last}");
        assert_eq!(application.get(USER, "2").unwrap(), before, "{last}");
        assert_eq!(application.shown("departments", &["name"]), ["Old"], "{last}");
        assert!(application.rows("history", &["what"]).is_empty());
    }
}

#[test]
fn a_patch_does_not_answer_for_what_was_missing_before() {
    let yaml =
        STAFF.1.replace("title: { column: title, type: text,", "title: { column: title, type: text, required: true,");
    let application = Application::with(STAFF.0, &yaml);
    assert_eq!(application.set("2", "nickName", json!("n")).unwrap().unwrap()["nickName"], "n");
    assert_eq!(application.put(USER, "2", json!({ "userName": "bob" })).unwrap_err().status, 400);
    application.set("2", "title", json!("T")).unwrap();
    assert_eq!(application.patch(USER, "2", json!([{ "op": "remove", "path": "title" }])).unwrap_err().status, 400);
}

#[test]
fn names_fall_back_and_templates_show() {
    let application = Application::staff();
    let named = application.create(USER, json!({ "userName": "fay@example.org", "displayName": "Fay Ray" })).unwrap();
    assert_eq!(named["name"]["givenName"], "Fay Ray");
    let plain = application.create(USER, json!({ "userName": "guy@example.org" })).unwrap();
    assert_eq!(plain["name"]["givenName"], "guy");
    let blank = application.create(USER, json!({ "userName": "hal", "name": { "givenName": " " } })).unwrap();
    assert_eq!(blank["name"]["givenName"], " ", "as it was sent");
    assert_eq!(application.person("6", "given").as_deref(), Some("hal"), "and filled");
    assert_eq!(plain["displayName"], "guy");
    assert_eq!(application.person("5", "shown"), None, "shown, not stored");
    let moved = application.set("2", "name.givenName", json!("Rob")).unwrap().unwrap();
    assert_eq!(moved["displayName"], "Rob Builder");
    application.set("2", "name.familyName", json!("Roe")).unwrap();
    let removed = application.patch(USER, "2", json!([{ "op": "remove", "path": "name.givenName" }])).unwrap().unwrap();
    assert_eq!(removed["name"]["givenName"], "bob", "the fallback is made of what will be, not of what was shown");
}

#[test]
fn no_null_for_a_column_that_takes_none() {
    let yaml =
        STAFF.1.replace("fallback: [\"${displayName}\", \"${local_part:userName}\"]", "fallback: [\"${displayName}\"]");
    let application = Application::with(STAFF.0, &yaml);
    let kept = application.put(USER, "2", json!({ "userName": "bob" })).unwrap();
    assert_eq!(kept["name"]["givenName"], "Bob", "PUT leaves it");
    let removed = application.patch(USER, "2", json!([{ "op": "remove", "path": "name.givenName" }]));
    assert_eq!(removed.unwrap_err().scim_type, Some(crate::scim::ScimType::Mutability));
}

#[test]
fn sessions_that_change_different_attributes_do_not_lose_each_others_change() {
    let application = Application::staff();
    std::thread::scope(|scope| {
        for path in ["title", "nickName", "displayName", "userType", "externalId"] {
            let application = &application;
            scope.spawn(move || {
                for round in 0..8 {
                    application.set("2", path, json!(format!(" {path}{round}"))).unwrap();
                }
            });
        }
    });
    let bob = application.get(USER, "2").unwrap();
    for path in ["title", "nickName", "displayName", "userType"] {
        assert_eq!(bob[path], format!(" {path}7"), "{path}");
    }
}

#[test]
fn of_two_creates_of_one_name_one_succeeds() {
    let application = Application::staff();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let application = &application;
        let workers: Vec<_> = ["zed", "ZED", " zed"]
            .map(|name| scope.spawn(move || application.create(USER, json!({ "userName": name }))))
            .into_iter()
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap().map_or_else(|error| error.status, |_| 201)).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 2, "{statuses:?}");
}

#[test]
fn digits_in_text_are_text() {
    let application = Application::staff();
    application.application_runs("UPDATE people SET phone = '0042', room = '+42' WHERE id = 2");
    for (path, column, forms) in [
        ("phoneNumbers[type eq \"work\"].value", "phone", ["42", " 42", "0042"]),
        ("nickName", "room", ["42", "042", "1"]),
    ] {
        for form in forms {
            application.set("2", path, json!(form)).unwrap();
            assert_eq!(application.person("2", column).as_deref(), Some(form.trim()), "{path} {form:?}");
        }
    }
}

#[test]
fn what_is_unique_beside_an_attribute_is_so_wherever_that_goes() {
    let tables = "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL, number TEXT, company_id INTEGER, enabled INTEGER NOT NULL DEFAULT 1);
        CREATE TABLE companies(id INTEGER PRIMARY KEY, name TEXT NOT NULL); INSERT INTO companies VALUES (1, 'A'), (2, 'B');
        INSERT INTO people(id, login, number) VALUES (9, 'old', '9');";
    let yaml = r#"
adapter: within
title: Within
databases: [sqlite]
resources:
  User:
    table: people
    id: id
    attributes:
      userName: { column: login, required: true, unique: true }
      active: { column: enabled, type: { boolean: { true: 1, false: 0 } } }
      urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:
        employeeNumber: { column: number, unique: { within: [company_id] } }
        organization: { column: company_id, lookup: { table: companies, match: name, missing: reject } }
    delete: deactivate
"#;
    let application = Application::with(tables, yaml);
    let person = |name: &str, number: &str, company: Json| json!({ "userName": name, ENTERPRISE: { "employeeNumber": number, "organization": company } });
    let a = application.create(USER, person("a", "5", json!("A"))).unwrap();
    for (name, number, company, status) in [
        ("b", "5", json!("A"), 409),
        ("c", "5", json!("B"), 201),
        ("d", "5", json!(null), 201),
        ("e", "5", json!(null), 409),
        ("f", "9", json!(null), 409),
        ("g", "6", json!("B"), 201),
    ] {
        let found = application.create(USER, person(name, number, company)).map_or_else(|error| error.status, |_| 201);
        assert_eq!(found, status, "{name}");
    }
    let a = text(&a, "id");
    let organization = format!("{ENTERPRISE}:organization");
    for (name, value, taken) in [("B", json!("B"), true), ("none", json!(null), true), ("A", json!("A"), false)] {
        let moved = application.patch(USER, a, json!([{ "op": "replace", "path": organization, "value": value }]));
        assert_eq!(moved.map_or_else(|error| error.status, |_| 200), if taken { 409 } else { 200 }, "{name}");
    }
    // Both at once, into what is free and into what is not.
    let both = |number: &str, company: &str| {
        application.patch(
            USER,
            a,
            json!([{ "op": "replace", "path": organization, "value": company }, { "op": "replace", "path": format!("{ENTERPRISE}:employeeNumber"), "value": number }]),
        )
    };
    assert_eq!(both("6", "B").unwrap_err().status, 409);
    assert!(both("7", "B").is_ok());
    assert!(both("6", "A").is_ok());
    let put = application.put(USER, a, person("a", "6", json!("B")));
    assert_eq!(put.unwrap_err().status, 409);
    // One that was retired holds its number where it was; by it, it comes back.
    assert!(both("8", "A").is_ok());
    application.delete(USER, a).unwrap();
    assert_eq!(
        application.create(USER, person("h", "8", json!("B"))).map(|_| ()).map_err(|error| error.status),
        Ok(())
    );
}

#[test]
fn a_document_keeps_the_digits_of_its_numbers() {
    let tables = "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL, settings TEXT); INSERT INTO people VALUES (2, 'bob', NULL);";
    let yaml = r#"
adapter: settings
title: Settings
databases: [sqlite]
resources:
  User:
    table: people
    id: id
    attributes:
      userName: { column: login, required: true }
      nickName: { column: settings, json: [ui, nick] }
    create: refuse
    delete: refuse
"#;
    for (document, kept) in [
        (r#"{"device":123456789012345678901234}"#, false),
        (r#"{"a":["\\\"",{"rate":0.1234567890123456789}]}"#, false),
        (r#"{"tiny":1e-400}"#, false),
        (
            r#"{"a":[0,-1,1.50,1e3,18446744073709551615,0.30000000000000004],"123456789012345678901234":"\"9999999999999999999999\""}"#,
            true,
        ),
    ] {
        let application = Application::with(tables, yaml);
        application.application_runs(&format!("UPDATE people SET settings = '{document}'"));
        let answer = application.set("2", "nickName", json!("n")).map_err(|error| error.status);
        let stored = application.person("2", "settings").unwrap();
        if kept {
            assert_eq!(answer.unwrap().unwrap()["nickName"], "n", "{document}");
            assert!(stored.contains("18446744073709551615") && stored.contains("0.30000000000000004"), "{stored}");
        } else {
            assert_eq!((answer.err(), stored.as_str()), (Some(409), document));
        }
    }
}

/// People with a document; `create.set` gives it a theme.
const SETTINGS: (&str, &str) = (
    "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL, settings TEXT); INSERT INTO people VALUES (2, 'bob', NULL);",
    r#"
adapter: settings
title: Settings
databases: [sqlite]
resources:
  User:
    table: people
    id: id
    attributes:
      userName: { column: login, required: true }
      nickName: { column: settings, json: [ui, nick], type: { text: { trim: true, empty: null } } }
      active: { column: settings, json: [on], type: { boolean: { true: 1, false: 0 } } }
      urn:example:params:scim:schemas:2.0:Person:
        floor: { column: settings, json: [floor], type: integer }
        load: { column: settings, json: [load], type: decimal }
    create: { set: { settings: '{"ui":{"theme":"dark"},"z":1}' } }
    delete: refuse
"#,
);

#[test]
fn a_document_keeps_its_types_and_its_order() {
    let application = Application::with(SETTINGS.0, SETTINGS.1);
    let person = |settings: &str, path: &str, value: Json| {
        application.application_runs(&format!("UPDATE people SET settings = '{settings}'"));
        application.set("2", path, value).unwrap();
        application.person("2", "settings").unwrap()
    };
    let (floor, load) =
        ("urn:example:params:scim:schemas:2.0:Person:floor", "urn:example:params:scim:schemas:2.0:Person:load");
    assert_eq!(person(r#"{"floor":5,"a":1}"#, floor, json!(6)), r#"{"floor":6,"a":1}"#);
    assert_eq!(person(r#"{"floor":"5","a":1}"#, floor, json!(6)), r#"{"floor":"6","a":1}"#, "text where there is text");
    assert_eq!(person("{}", floor, json!(6)), r#"{"floor":6}"#);
    assert_eq!(person(r#"{"load":1}"#, load, json!(2.5)), r#"{"load":2.5}"#);
    assert_eq!(person(r#"{"on":1}"#, "active", json!(false)), r#"{"on":0}"#);
    assert_eq!(person(r#"{"on":"1"}"#, "active", json!(false)), r#"{"on":"0"}"#);
    let remove = json!([{ "op": "remove", "path": floor }]);
    application.application_runs(r#"UPDATE people SET settings = '{"a":1,"floor":5,"b":2,"c":3}'"#);
    application.patch(USER, "2", remove).unwrap();
    assert_eq!(application.person("2", "settings").unwrap(), r#"{"a":1,"b":2,"c":3}"#);
    // What was sent is found by what was sent.
    application.set("2", "nickName", json!("Foo ")).unwrap();
    assert_eq!(application.names(USER, &[("filter", "nickName eq \"Foo \"")]), ["bob"]);
    assert_eq!(application.names(USER, &[("filter", "nickName eq \"Foo\"")]), ["bob"]);
}

#[test]
fn an_attribute_in_a_document_adds_to_what_create_gives_it() {
    let application = Application::with(SETTINGS.0, SETTINGS.1);
    let created = |body: Json| {
        let id = text(&application.create(USER, body).unwrap(), "id").to_owned();
        application.person(&id, "settings").unwrap()
    };
    assert_eq!(created(json!({ "userName": "a", "nickName": "q" })), r#"{"ui":{"theme":"dark","nick":"q"},"z":1}"#);
    assert_eq!(created(json!({ "userName": "b" })), r#"{"ui":{"theme":"dark"},"z":1}"#);
    // A default of the database is lost beside an attribute: `check` says so.
    let defaulted = SETTINGS.0.replace("settings TEXT", r#"settings TEXT DEFAULT '{"z":1}'"#);
    let said = warnings(&defaulted, &SETTINGS.1.replace("set: { settings:", "set: { login:"));
    assert!(said.contains("`people.settings` has a DEFAULT") && said.matches("has a DEFAULT").count() == 1, "{said}");
    assert!(!warnings(&defaulted, SETTINGS.1).contains("has a DEFAULT"));
    assert!(!warnings(SETTINGS.0, &SETTINGS.1.replace("set: { settings:", "set: { login:")).contains("has a DEFAULT"));
}

/// What `check` says of an adapter that can serve.
fn warnings(tables: &str, yaml: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let database = open_file(&folder.path().join("app.db"));
    let mut catalogue = sql::Catalogue::default();
    database
        .with(&mut |connection| {
            connection.batch(tables)?;
            catalogue = connection.catalogue(&[None])?;
            Ok(())
        })
        .unwrap();
    let mut findings = Findings::new();
    let document = adapter::read(Text::new("adapter.yaml", yaml), &[], &mut findings).unwrap();
    adapter::compile(&document, &catalogue, Dialect::Sqlite, &mut findings).unwrap();
    findings.render(false)
}

#[test]
fn a_template_beside_a_column_is_found_by_what_was_sent() {
    let application = Application::new();
    application.set("1", "displayName", json!("Foo ")).unwrap();
    assert_eq!(application.person("1", "shown_as").as_deref(), Some("Foo"));
    assert_eq!(application.get(USER, "1").unwrap()["displayName"], "Foo ");
    for found in ["displayName eq \"Foo \"", "displayName eq \"Foo\"", "displayName ne \"Bob\""] {
        assert_eq!(application.names(USER, &[("filter", found)]), ["ada"], "{found}");
    }
    assert_eq!(application.names(USER, &[("filter", "displayName ne \"Foo \"")]), ["bob"]);
    assert_eq!(application.names(USER, &[("filter", "displayName eq \"Bob \"")]), ["bob"], "as title has it");
}

#[test]
fn for_ever_is_the_last_second_there_is() {
    let tables = "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL, until TEXT); INSERT INTO people VALUES (2, 'bob', NULL);";
    let yaml = r#"
adapter: until
title: Until
databases: [sqlite]
time_zone: Europe/Berlin
resources:
  User:
    table: people
    id: id
    attributes:
      userName: { column: login, required: true }
      urn:example:params:scim:schemas:2.0:Person:
        until: { column: until, type: datetime }
    create: refuse
    delete: refuse
"#;
    let application = Application::with(tables, yaml);
    let until = "urn:example:params:scim:schemas:2.0:Person:until";
    for (sent, stored) in [
        ("9999-12-31T23:59:59.9999999Z", "9999-12-31 23:59:59"),
        ("9999-12-31T23:59:59-05:00", "9999-12-31 23:59:59"),
        ("2016-12-31T23:59:60Z", "2017-01-01 01:00:00"),
    ] {
        let person = application.set("2", until, json!(sent)).unwrap().unwrap();
        assert_eq!(person["urn:example:params:scim:schemas:2.0:Person"]["until"], sent, "as it was sent");
        assert_eq!(application.person("2", "until").as_deref(), Some(stored));
        for (operator, finds) in [("eq", 1), ("ge", 1), ("le", 1), ("gt", 0), ("lt", 0), ("ne", 0)] {
            let filter = format!("{until} {operator} \"{sent}\"");
            assert_eq!(application.names(USER, &[("filter", &filter)]).len(), finds, "{filter}");
        }
    }
    let refused = application.set("2", until, json!("0000-01-01T00:00:00Z")).unwrap_err();
    assert_eq!((refused.status, refused.detail.contains("between the years 1 and 9999")), (400, true), "{refused:?}");
}
