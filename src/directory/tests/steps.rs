//! Guards and steps beside a change.

use super::*;

#[test]
fn changes_are_told_column_by_column() {
    let application = Application::staff();
    let both = json!([{ "op": "replace", "path": "title", "value": "T" }, { "op": "replace", "path": "name.familyName", "value": "Roe" }]);
    application.patch(USER, "2", both).unwrap();
    let details: Json = serde_json::from_str(&application.shown("history", &["details"])[0]).unwrap();
    assert_eq!(details, json!({ "title": { "old": null, "new": "T" }, "family": { "old": "Builder", "new": "Roe" } }));
    let mut changes = application.shown("changes", &["code", "old", "new"]);
    changes.sort();
    assert_eq!(changes, ["5 - T", "6 Builder Roe"]);
    application.set("2", "nickName", json!("n")).unwrap();
    assert_eq!(application.rows("history", &["what"]).len(), 1, "nothing of what is told changed");
    assert_eq!(application.rows("changes", &["id"]).len(), 2);
    application.set("2", "userType", json!("sidecar")).unwrap();
    assert_eq!(application.rows("history", &["what"]).len(), 1, "no column at all");
}

#[test]
fn steps_run_when_their_time_has_come() {
    let application = Application::staff();
    application.application_runs("INSERT INTO badges VALUES (2), (2)");
    application.set("2", "active", json!(false)).unwrap();
    application.set("2", "active", json!(true)).unwrap();
    application.set("2", "active", json!(false)).unwrap();
    assert_eq!(application.shown("flags", &["flag"]), ["off"], "only where it is absent");
    application.set("2", "title", json!("Weaver")).unwrap();
    assert_eq!(application.rows("flags", &["flag"]).len(), 1, "a step that is off does not run");
    application.set("2", "name.familyName", json!("Roe")).unwrap();
    assert_eq!(application.shown("flags", &["flag"]), ["off", "badge", "badge"], "once for each row");
}

#[test]
fn a_guard_refuses_what_its_when_means() {
    let application = Application::staff();
    application.application_runs("INSERT INTO locks VALUES (2), (2)");
    let refused = application.set("2", "active", json!(false)).unwrap_err();
    assert_eq!((refused.status, refused.detail.as_str()), (403, "has 2 locks"));
    assert_eq!(application.person("2", "state").as_deref(), Some("invited"));
    application.set("2", "title", json!("T")).unwrap();
    application.application_runs("INSERT INTO badges VALUES (2)");
    assert_eq!(application.delete(USER, "2").unwrap_err().status, 403, "a deactivation has its guards");
    assert!(application.rows("scimshim_tombstones", &["reason"]).is_empty());
}

#[test]
fn a_step_that_fails_takes_everything_back() {
    let application = Application::staff();
    application.application_runs(
        "CREATE TRIGGER t BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'no history today'); END",
    );
    let before = application.get(USER, "2").unwrap();
    let body = json!({ "userName": "new", "userType": "U", ENTERPRISE: { "department": "Made" } });
    assert!(application.create(USER, body).unwrap_err().status >= 400);
    assert!(application.set("2", "title", json!("T")).is_err());
    assert!(application.delete(USER, "2").is_err());
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": "3" }] }]);
    assert!(application.patch(GROUP, "1", add).is_err());
    assert_eq!(application.get(USER, "2").unwrap(), before);
    assert_eq!(application.rows("people", &["id"]).len(), 3);
    assert_eq!(application.shown("departments", &["name"]), ["Old"]);
    assert_eq!(application.rows("crew", &["person_id"]).len(), 2);
    for table in ["scimshim_sidecar", "scimshim_tombstones", "scimshim_links"] {
        assert!(application.rows(table, &["resource_id"]).is_empty(), "{table}");
    }
}

#[test]
fn what_a_new_row_leaves_empty_has_not_changed() {
    let yaml = STAFF.1.replace(
        "what: created, details: \"${displayName} in ${column:entity}\" } }",
        "what: created } }\n        - { insert: flags, when: { title: { changed: true } }, values: { person_id: \"${id}\", flag: titled } }",
    );
    assert_ne!(yaml, STAFF.1);
    let application = Application::with(STAFF.0, &yaml);
    application.create(USER, json!({ "userName": "a" })).unwrap();
    assert!(application.rows("flags", &["flag"]).is_empty());
    application.create(USER, json!({ "userName": "b", "title": "T" })).unwrap();
    assert_eq!(application.shown("flags", &["person_id", "flag"]), ["5 titled"]);
}

#[test]
fn a_step_beside_a_create_knows_what_the_database_filled_in() {
    let yaml = STAFF.1.replace("state: invited, entity: 7 }", "state: invited }");
    let application = Application::with(STAFF.0, &yaml);
    application.create(USER, json!({ "userName": "a", "displayName": "A" })).unwrap();
    assert_eq!(application.shown("history", &["details"]), ["A in 3"]);
}

#[test]
fn guards_of_create_and_delete_have_a_when_too() {
    let yaml = STAFF.1.replace(
        "      guard: { count: { table: badges, where: { person_id: \"${id}\" } },",
        "      guard: { when: { family: Builder }, count: { table: badges, where: { person_id: \"${id}\" } },",
    );
    let yaml = yaml.replace(
        "    create:\n      set:",
        "    create:\n      guard: { when: { title: Guest }, count: { table: badges }, at_most: 1, says: \"no badge is left\" }\n      set:",
    );
    assert!(yaml.contains("when: { family: Builder }") && yaml.contains("no badge is left"));
    let application = Application::with(STAFF.0, &yaml);
    application.application_runs("INSERT INTO badges VALUES (2), (3)");
    application.delete(USER, "2").unwrap();
    assert_eq!(application.person("2", "gone"), None, "guarded: deactivated");
    application.delete(USER, "3").unwrap();
    assert!(application.person("3", "gone").is_some(), "not guarded");
    application.create(USER, json!({ "userName": "a" })).unwrap();
    let refused = application.create(USER, json!({ "userName": "b", "title": "Guest" })).unwrap_err();
    assert_eq!((refused.status, refused.detail.as_str()), (403, "no badge is left"));
}
