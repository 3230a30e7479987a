//! DELETE, tombstones, and coming back.

use super::*;

/// Person 2 holds a badge: a DELETE can only deactivate.
fn retired() -> Application {
    let application = Application::staff();
    application.application_runs("INSERT INTO badges VALUES (2)");
    application.set("2", "externalId", json!("x2")).unwrap();
    application.delete(USER, "2").unwrap();
    application
}

#[test]
fn a_blocked_delete_deactivates_and_hides() {
    let application = retired();
    assert_eq!(application.person("2", "state").as_deref(), Some("suspended"));
    assert_eq!(application.person("2", "gone"), None, "the row stays");
    assert_eq!(application.shown("flags", &["person_id", "flag"]), ["2 off"], "with the steps of a deactivation");
    assert_eq!(application.get(USER, "2").unwrap_err().status, 404);
    assert_eq!(application.delete(USER, "2").unwrap_err().status, 404);
    assert_eq!(application.set("2", "title", json!("T")).unwrap_err().status, 404);
    assert_eq!(application.put(USER, "2", json!({ "userName": "bob" })).unwrap_err().status, 404);
    assert_eq!(application.names(USER, &[]), ["root", "gil"]);
    assert_eq!(application.list(USER, &[("count", "0")]).unwrap().total, Some(2));
    assert!(application.names(USER, &[("filter", "userName eq \"bob\"")]).is_empty());
    let manager = application.set("3", "manager", json!("2")).unwrap_err();
    assert_eq!(manager.status, 400);
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": "2" }] }]);
    assert_eq!(application.patch(GROUP, "2", add).unwrap_err().status, 400);
    let crew = application.get(GROUP, "1").unwrap();
    assert_eq!(crew["members"].as_array().unwrap().len(), 1, "nor shown as a member");
    let renamed = application.set("3", "userName", json!("bob")).unwrap_err();
    assert_eq!(renamed.status, 409, "the name is still owned");
}

#[test]
fn a_retired_row_comes_back_by_its_name_or_external_id() {
    for body in [
        json!({ "userName": "BOB", "externalId": "x2" }),
        json!({ "userName": "bob" }),
        json!({ "userName": "robert", "externalId": "x2" }),
    ] {
        let application = retired();
        let back = application.create(USER, body.clone()).unwrap();
        assert_eq!(back["id"], "2", "{body}");
        assert_eq!(back["active"], true, "{body}");
        assert_eq!(back["userName"], body["userName"], "as it was sent");
        assert_eq!(back["name"]["givenName"], body["userName"]);
        assert_eq!(back["name"].get("familyName"), None, "a replace");
        assert_eq!(application.get(USER, "2").unwrap(), back, "{body}");
        assert!(application.rows("scimshim_tombstones", &["reason"]).is_empty());
        assert!(!application.shown("history", &["what"]).contains(&"created".to_owned()), "never `create`");
    }
}

#[test]
fn a_retired_row_is_not_given_to_another_external_id() {
    let application = retired();
    let refused = application.create(USER, json!({ "userName": "bob", "externalId": "other" })).unwrap_err();
    assert_eq!(refused.status, 409);
    assert!(refused.detail.contains("held by a retired account"), "{}", refused.detail);
    assert_eq!(application.get(USER, "2").unwrap_err().status, 404, "still retired");
}

#[test]
fn a_deleted_row_is_revived_by_the_adapters_rule() {
    let application = Application::staff();
    application.set("2", "externalId", json!("x2")).unwrap();
    application.delete(USER, "2").unwrap();
    assert!(application.person("2", "gone").is_some());
    assert_eq!(
        application.shown("history", &["what", "details"]).last().unwrap(),
        "left bob",
        "a step beside a DELETE knows the attributes"
    );
    let fresh = application.create(USER, json!({ "userName": "bob" })).unwrap();
    assert_eq!(fresh["id"], "4", "the rule goes by externalId alone");
    application.delete(USER, "4").unwrap();
    let back = application.create(USER, json!({ "userName": "bob", "externalId": "x2", "title": "Weaver" })).unwrap();
    assert_eq!((text(&back, "id"), text(&back, "title")), ("2", "Weaver"));
    assert_eq!(application.person("2", "gone"), None);
    let history = application.shown("history", &["what", "details"]);
    assert!(history.contains(&"returned bob".to_owned()), "{history:?}");
}

#[test]
fn a_protected_row_is_not_revived() {
    let application = Application::staff();
    application.application_runs("UPDATE people SET gone = 'x', ext = 'x1' WHERE id = 1");
    let refused = application.create(USER, json!({ "userName": "root", "externalId": "x1" })).unwrap_err();
    assert_eq!(refused.status, 403);
    assert_eq!(application.person("1", "gone").as_deref(), Some("x"));
}

#[test]
fn a_name_that_is_unique_among_all_rows_is_revived_too() {
    let tables = "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL UNIQUE, gone INTEGER NOT NULL DEFAULT 0); INSERT INTO people VALUES (1, 'ada', 1), (2, 'bob', 2);";
    let yaml = r#"
adapter: all
title: All
databases: [sqlite]
resources:
  User:
    table: people
    id: id
    where: { gone: 0 }
    attributes:
      userName: { column: login, required: true, unique: all }
    create: { revive: { by: userName, where: { gone: 1 }, set: { gone: 0 } } }
    delete: { how: set, set: { gone: 1 } }
"#;
    let application = Application::with(tables, yaml);
    assert_eq!(application.create(USER, json!({ "userName": "ada" })).unwrap()["id"], "1");
    let held = application.create(USER, json!({ "userName": "bob" })).unwrap_err();
    assert_eq!((held.status, held.scim_type), (409, Some(crate::scim::ScimType::Uniqueness)));
}

#[test]
fn a_new_group_has_not_the_members_of_the_one_before() {
    let tables = "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL); CREATE TABLE teams(id INTEGER PRIMARY KEY, name TEXT NOT NULL, gone TEXT); CREATE TABLE crew(team_id INTEGER NOT NULL, person_id INTEGER NOT NULL); INSERT INTO people VALUES (1, 'ada'); INSERT INTO teams VALUES (1, 'Crew', 'x'); INSERT INTO crew VALUES (1, 1);";
    let yaml = r#"
adapter: teams
title: Teams
databases: [sqlite]
resources:
  User: { table: people, id: id, attributes: { userName: login }, delete: row }
  Group:
    table: teams
    id: id
    where: { gone: null }
    attributes:
      displayName: { column: name, required: true, unique: true }
      members: { link: { table: crew, parent: team_id, child: person_id, resource: User } }
    create: { revive: { by: displayName, where: { gone: { not: null } }, set: { gone: null } } }
    delete: { how: set, set: { gone: "${now}" } }
"#;
    let application = Application::with(tables, yaml);
    let group = application.create(GROUP, json!({ "displayName": "Crew" })).unwrap();
    assert_eq!(group["id"], "1");
    assert_eq!(group.get("members"), None);
    assert!(application.rows("crew", &["person_id"]).is_empty());
}

#[test]
fn a_row_that_goes_takes_its_memberships_and_all_that_is_known_of_it() {
    let yaml = STAFF.1.replace("how: set\n      set: { gone: \"${now}\" }\n      guard", "how: row\n      guard");
    assert_ne!(yaml, STAFF.1);
    let application = Application::with(STAFF.0, &yaml);
    application.set("2", "userType", json!("Guest")).unwrap();
    application.delete(USER, "2").unwrap();
    assert_eq!(application.person("2", "login"), None);
    assert_eq!(application.shown("crew", &["person_id"]), ["1"]);
    assert!(application.rows("scimshim_sidecar", &["document"]).is_empty());
    assert_eq!(application.delete(USER, "2").unwrap_err().status, 404);
}

#[test]
fn a_key_that_is_given_out_again_brings_nothing_along() {
    let application = Application::staff();
    application.application_runs(
        "DELETE FROM people WHERE id = 3; INSERT INTO scimshim_tombstones VALUES ('User', '3', 'hr', 0, 'old'); INSERT INTO scimshim_links VALUES ('b', 'User', '3', 'old'); INSERT INTO scimshim_sidecar VALUES ('User', '3', '{\"kept\":{\"userType\":\"Old\"}}')",
    );
    let new = application.create(USER, json!({ "userName": "new" })).unwrap();
    assert_eq!((text(&new, "id"), new.get("userType")), ("3", None));
    assert!(application.rows("scimshim_links", &["external_id"]).is_empty());
}

#[test]
fn a_delete_with_a_stale_version_is_refused() {
    let application = Application::staff();
    let stale = Precondition { if_match: Some(vec!["W/\"stale\"".to_owned()]), if_none_match: None };
    for (type_, id) in [(USER, "2"), (GROUP, "1")] {
        let refused = application.directory.delete(&application.caller, type_, id, &stale).unwrap_err();
        assert_eq!(refused.status, 412);
    }
}

/// Links and child rows whose `where` looks at more than whether they were removed.
const MARKED: (&str, &str) = (
    "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL);
     CREATE TABLE roles(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
     CREATE TABLE held(role_id INTEGER NOT NULL, model_id INTEGER NOT NULL, model TEXT NOT NULL, gone TEXT);
     CREATE TABLE contacts(id INTEGER PRIMARY KEY, person_id INTEGER NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL, gone TEXT);
     INSERT INTO people VALUES (5, 'ada'); INSERT INTO roles VALUES (5, 'Role');
     INSERT INTO held VALUES (5, 5, 'User', NULL), (5, 5, 'User', 'x'), (5, 5, 'Team', NULL);
     INSERT INTO contacts VALUES (1, 5, 'mail', 'a@x', NULL), (2, 5, 'mail', 'old@x', 'x'), (3, 5, 'fax', '1', NULL);",
    r#"
adapter: marked
title: Marked
databases: [sqlite]
resources:
  User:
    table: people
    id: id
    attributes:
      userName: login
      emails: { rows: { table: contacts, parent: person_id, where: { kind: mail, gone: null }, fields: { value: value }, delete: { set: { gone: "${now}" } } } }
    delete: row
  Group:
    table: roles
    id: id
    attributes:
      displayName: { column: name, required: true }
      members: { link: { table: held, parent: role_id, child: model_id, where: { model: User, gone: null }, resource: User, delete: { set: { gone: "${now}" } } } }
    delete: row
"#,
);

#[test]
fn a_row_that_goes_takes_what_is_its_own_removed_or_not() {
    for type_ in [USER, GROUP] {
        let application = Application::with(MARKED.0, MARKED.1);
        application.delete(type_, "5").unwrap();
        assert_eq!(application.shown("held", &["model", "gone"]), ["Team -"], "not a link of either");
    }
    let application = Application::with(MARKED.0, MARKED.1);
    application.delete(USER, "5").unwrap();
    assert_eq!(application.shown("contacts", &["id"]), ["3"]);
}

#[test]
fn a_row_that_was_retired_comes_back_without_its_memberships() {
    let told = "what: parted, details: \"${label}, ${displayName}, ${id}, ${each.person_id.label}\" }";
    let application = Application::with(STAFF.0, &STAFF.1.replace("what: parted }", told));
    application.application_runs("INSERT INTO badges VALUES (2); INSERT INTO crew VALUES (2, 2)");
    application.delete(USER, "2").unwrap();
    // Whoever is retired cannot be seen, and so cannot be removed.
    application.patch(GROUP, "1", json!([{ "op": "remove", "path": "members[value eq \"2\"]" }])).unwrap();
    application.put(GROUP, "2", json!({ "displayName": "Empty", "members": [] })).unwrap();
    let back = application.create(USER, json!({ "userName": "bob" })).unwrap();
    assert_eq!((text(&back, "id"), back.get("groups")), ("2", None));
    assert_eq!(application.shown("crew", &["team_id", "person_id"]), ["1 1"]);
    let history = application.shown("history", &["person_id", "what", "details"]);
    for parted in ["2 parted Crew, Crew, 1, Bob Builder", "2 parted Empty, Empty, 2, Bob Builder"] {
        assert!(history.contains(&parted.to_owned()), "{history:?}");
    }
    assert_ne!(application.shown("teams", &["updated"])[1], "-", "touched");
}

#[test]
fn what_is_revived_comes_back_without_its_memberships() {
    let application = Application::staff();
    application.set("2", "externalId", json!("x2")).unwrap();
    application.delete(USER, "2").unwrap();
    let back = application.create(USER, json!({ "userName": "bob", "externalId": "x2" })).unwrap();
    assert_eq!((text(&back, "id"), back.get("groups")), ("2", None));
    assert_eq!(application.shown("crew", &["team_id", "person_id"]), ["1 1"]);
}

#[test]
fn nobody_comes_back_into_a_protected_group() {
    let yaml =
        STAFF.1.replace("    table: teams\n    id: id\n", "    table: teams\n    id: id\n    protected: { id: 1 }\n");
    let application = Application::with(STAFF.0, &yaml);
    application.application_runs("INSERT INTO badges VALUES (2)");
    application.delete(USER, "2").unwrap();
    let refused = application.create(USER, json!({ "userName": "bob" })).unwrap_err();
    assert_eq!((refused.status, refused.scim_type), (409, Some(crate::scim::ScimType::Uniqueness)));
    assert!(refused.detail.contains("Group 1"), "{}", refused.detail);
    assert_eq!(application.get(USER, "2").unwrap_err().status, 404, "still retired");
    assert_eq!(application.shown("crew", &["team_id", "person_id"]), ["1 1", "1 2"]);
    application.application_runs("DELETE FROM crew WHERE person_id = 2");
    assert_eq!(application.create(USER, json!({ "userName": "bob" })).unwrap()["id"], "2");
}

#[test]
fn rows_that_are_left_are_the_applications_when_somebody_comes_back_too() {
    let yaml = STAFF.1.replace("          touch: true\n", "          leave: { team_id: 1 }\n");
    let application = Application::with(STAFF.0, &yaml);
    application.application_runs("INSERT INTO badges VALUES (2); INSERT INTO crew VALUES (2, 2)");
    application.delete(USER, "2").unwrap();
    let back = application.create(USER, json!({ "userName": "bob" })).unwrap();
    assert_eq!(back["groups"].as_array().unwrap().len(), 1);
    assert_eq!(application.shown("crew", &["team_id", "person_id"]), ["1 1", "1 2"]);
}

#[test]
fn a_delete_spares_the_link_rows_outside_where_also_where_that_has_alternatives() {
    let tables = "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL); CREATE TABLE teams(id INTEGER PRIMARY KEY, name TEXT NOT NULL); CREATE TABLE crew(team INTEGER, ref INTEGER, kind TEXT, ended TEXT, pinned INTEGER); INSERT INTO people VALUES (3, 'cy'), (4, 'di'); INSERT INTO teams VALUES (1, 'Crew'); INSERT INTO crew VALUES (1, 3, 'user', NULL, 0), (1, 3, 'user', 'x', 0), (1, 3, 'user', 'x', 1), (1, 3, 'asset', NULL, 0), (1, 3, 'asset', 'x', 1), (1, 4, 'user', NULL, 0);";
    let yaml = r#"
adapter: crews
title: Crews
databases: [sqlite]
resources:
  User:
    table: people
    id: id
    attributes: { userName: { column: login, required: true } }
    create: refuse
    delete: row
  Group:
    table: teams
    id: id
    attributes:
      displayName: { column: name, required: true }
      members: { link: { table: crew, parent: team, child: ref, resource: User, where: WHERE, delete: { set: { ended: "${now}" } } } }
    create: refuse
    delete: refuse
"#;
    let all = "{ any: [ { kind: user, ended: null }, { kind: user, pinned: 1 } ] }";
    let application = Application::with(tables, &yaml.replace("WHERE", all));
    application.delete(USER, "3").unwrap();
    assert_eq!(application.shown("crew", &["ref", "kind", "pinned"]), ["3 asset 0", "3 asset 1", "4 user 0"]);
}
