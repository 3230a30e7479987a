//! Ids as they read: what a collation takes for one is not one id.

use super::*;

const TEXT_KEYS: (&str, &str) = (
    "CREATE TABLE people(code TEXT PRIMARY KEY COLLATE NOCASE, login TEXT NOT NULL, kind TEXT, enabled INTEGER NOT NULL DEFAULT 1, boss TEXT);
     CREATE TABLE teams(id INTEGER PRIMARY KEY, name TEXT NOT NULL); CREATE TABLE crew(team_id INTEGER NOT NULL, person TEXT NOT NULL COLLATE NOCASE);
     INSERT INTO people(code, login) VALUES ('abc', 'ada'), ('act', 'act'); INSERT INTO teams VALUES (1, 'Crew'); INSERT INTO crew VALUES (1, 'aBC');",
    r#"
adapter: codes
title: Text keys
databases: [sqlite]
resources:
  User:
    table: people
    id: code
    attributes:
      userName: { column: login, required: true, unique: true }
      active: { column: enabled, type: { boolean: { true: 1, false: 0 } } }
      userType: sidecar
      externalId: sidecar
      urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:
        manager: { column: boss, reference: { resource: User } }
    create: refuse
    delete: deactivate
  Group:
    table: teams
    id: id
    attributes:
      displayName: { column: name, required: true }
      members: { link: { table: crew, parent: team_id, child: person, resource: User } }
    delete: row
"#,
);

#[test]
fn an_id_is_exact_whatever_the_collation_says() {
    let mut application = Application::with(TEXT_KEYS.0, TEXT_KEYS.1);
    application.server(|server| {
        server.actor = Some(Actor { id: Value::from("act"), label: "act".to_owned() });
    });
    assert_eq!(application.get(USER, "abc").unwrap()["id"], "abc");
    for id in ["ABC", "Abc"] {
        assert_eq!(application.get(USER, id).unwrap_err().status, 404, "{id}");
        assert_eq!(application.set(id, "userType", json!("T")).unwrap_err().status, 404, "{id}");
        assert_eq!(application.put(USER, id, json!({ "userName": "x" })).unwrap_err().status, 404, "{id}");
        assert_eq!(application.delete(USER, id).unwrap_err().status, 404, "{id}");
    }
    assert_eq!(application.delete(USER, "ACT").unwrap_err().status, 404, "nor is the acting user another one");
    assert!(application.rows("scimshim_tombstones", &["resource_id"]).is_empty());
    assert!(application.rows("scimshim_sidecar", &["resource_id"]).is_empty());
    assert_eq!(application.shown("people", &["code", "login", "enabled"]), ["abc ada 1", "act act 1"]);
    for id in ["ABC", "ACT"] {
        assert_eq!(application.set("abc", "manager", json!(id)).unwrap_err().status, 400, "{id}");
    }
    // A link row that holds it otherwise is the membership, and stays as it is.
    let ada = json!([{ "value": "abc" }]);
    application.patch(GROUP, "1", json!([{ "op": "add", "path": "members", "value": ada }])).unwrap();
    application.put(GROUP, "1", json!({ "displayName": "Crew", "members": ada })).unwrap();
    assert_eq!(application.shown("crew", &["person"]), ["aBC"]);
    let remove = |id: &str| json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]);
    application.patch(GROUP, "1", remove("ABC")).unwrap();
    assert_eq!(application.shown("crew", &["person"]), ["aBC"]);
    application.patch(GROUP, "1", remove("abc")).unwrap();
    assert!(application.rows("crew", &["person"]).is_empty());
}
