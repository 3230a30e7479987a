//! Memberships, row by row.

use super::*;

fn add(ids: &[&str]) -> Json {
    let members: Vec<Json> = ids.iter().map(|id| json!({ "value": id })).collect();
    json!([{ "op": "add", "path": "members", "value": members }])
}

#[test]
fn adding_one_member_costs_the_same_in_any_group() {
    let application = Application::staff();
    application.application_runs(
        "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 5099) INSERT INTO people(id, login) SELECT i, 'p' || i FROM n;
         INSERT INTO crew SELECT 1, id FROM people WHERE id > 100;
         INSERT INTO crew SELECT 2, id FROM people WHERE id BETWEEN 101 AND 110",
    );
    let (answer, large) = application.cost(|| application.patch(GROUP, "1", add(&["100"])).unwrap());
    assert!(answer.is_none());
    let (_, small) = application.cost(|| application.patch(GROUP, "2", add(&["100"])).unwrap());
    assert_eq!(large, small);
    assert!(large.reads + large.writes <= 14, "{large:?}");
    let (answer, again) = application.cost(|| application.patch(GROUP, "1", add(&["100"])).unwrap());
    assert!(answer.is_none(), "204: nobody reads five thousand members to say that nothing changed");
    assert_eq!(again.writes, 0);
    let (_, removed) = application.cost(|| {
        let remove = json!([{ "op": "remove", "path": "members[value eq \"100\"]" }]);
        application.patch(GROUP, "1", remove).unwrap()
    });
    assert!(removed.reads + removed.writes <= 14, "{removed:?}");
}

#[test]
fn members_have_steps_and_touch_their_group() {
    let application = Application::staff();
    application.patch(GROUP, "2", add(&["3", "2", "3"])).unwrap();
    assert_eq!(
        application.shown("history", &["person_id", "what", "details"]),
        ["3 joined gil", "2 joined Bob Builder"]
    );
    let touched = application.shown("teams", &["updated"])[1].clone();
    assert_ne!(touched, "-");
    application.patch(GROUP, "1", json!([{ "op": "remove", "path": "members[value eq \"2\"]" }])).unwrap();
    assert_eq!(application.shown("history", &["person_id", "what"])[2], "2 parted");
    let before = application.shown("teams", &["updated"]);
    application.patch(GROUP, "2", add(&["3"])).unwrap();
    assert_eq!(application.shown("teams", &["updated"]), before, "nothing changed");
}

#[test]
fn a_put_leaves_members_that_it_does_not_name() {
    let application = Application::staff();
    application.patch(GROUP, "2", add(&["3"])).unwrap();
    let kept = application.put(GROUP, "2", json!({ "displayName": "Renamed" })).unwrap();
    assert_eq!(kept["members"][0]["value"], "3");
    for empty in [json!([]), json!(null)] {
        application.patch(GROUP, "2", add(&["3"])).unwrap();
        let emptied = application.put(GROUP, "2", json!({ "displayName": "Renamed", "members": empty })).unwrap();
        assert_eq!(emptied.get("members"), None);
    }
    let replaced =
        application.put(GROUP, "2", json!({ "displayName": "Renamed", "members": [{ "value": "2" }] })).unwrap();
    assert_eq!(replaced["members"][0]["value"], "2");
}

#[test]
fn removing_who_is_not_there_is_fine() {
    let application = Application::staff();
    let remove = json!([{ "op": "remove", "path": "members", "value": [{ "value": "3" }, { "value": "77" }] }]);
    application.patch(GROUP, "1", remove).unwrap();
    assert_eq!(application.rows("crew", &["person_id"]).len(), 2);
}

#[test]
fn a_link_may_hold_something_else_than_the_id() {
    let tables = STAFF.0.replace(
        "CREATE TABLE crew(team_id INTEGER NOT NULL, person_id INTEGER NOT NULL,",
        "CREATE TABLE crew(team_id INTEGER NOT NULL, person_id TEXT NOT NULL,",
    );
    let tables = tables.replace(
        "INSERT INTO crew VALUES (1, 1), (1, 2);",
        "INSERT INTO crew VALUES (1, 'b2'); UPDATE people SET legacy = 'b' || id;",
    );
    let yaml = STAFF
        .1
        .replace("child: person_id", "child: { column: person_id, key: legacy }")
        .replace("touch: true", "touch: false");
    let yaml = yaml.replace("{ person_id: \"${each.person_id}\", what:", "{ person_id: 0, what:");
    let yaml = yaml.replace(", also: { legacy: \"${column:title}\" }", "");
    let application = Application::with(&tables, &yaml);
    assert_eq!(application.get(GROUP, "1").unwrap()["members"][0]["value"], "2");
    assert_eq!(application.get(USER, "2").unwrap()["groups"][0]["value"], "1");
    application.patch(GROUP, "1", add(&["3"])).unwrap();
    assert_eq!(application.shown("crew", &["person_id"]), ["b2", "b3"]);
    assert_eq!(application.get(USER, "3").unwrap()["groups"][0]["display"], "Crew");
}

/// Teams whose crew the application fills too: its rows say `app`, and are left alone.
const SHARED: (&str, &str) = (
    "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL);
     CREATE TABLE teams(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
     CREATE TABLE crew(team_id INTEGER NOT NULL, person_id INTEGER NOT NULL, src TEXT, over INTEGER NOT NULL DEFAULT 0);
     CREATE TABLE history(person_id INTEGER NOT NULL, what TEXT NOT NULL);
     INSERT INTO people VALUES (1, 'ada'), (2, 'bob'), (3, 'gil');
     INSERT INTO teams VALUES (1, 'Crew');
     INSERT INTO crew(team_id, person_id, src) VALUES (1, 1, 'app'), (1, 2, 'app'), (1, 2, 'scim'), (1, 3, NULL);",
    r#"
adapter: shared
title: Shared
databases: [sqlite]
resources:
  User: { table: people, id: id, attributes: { userName: { column: login, required: true }, displayName: { column: login, mutability: readOnly } } }
  Group:
    table: teams
    id: id
    attributes:
      displayName: { column: name, required: true }
      members:
        link:
          table: crew
          parent: team_id
          child: person_id
          resource: User
          where: { over: 0 }
          set: { src: scim }
          leave: { src: app }
          removed: [ { insert: history, values: { person_id: "${each.person_id}", what: parted } } ]
    delete: row
"#,
);

#[test]
fn rows_that_are_left_stay_beside_one_that_goes() {
    let put = json!({ "displayName": "Crew", "members": [] });
    let remove = |ids: &str| json!([{ "op": "remove", "path": format!("members[{ids}]") }]);
    let each = remove("value eq \"1\" or value eq \"2\" or value eq \"3\"");
    for stays in [false, true] {
        for way in [json!([{ "op": "remove", "path": "members" }]), each.clone(), put.clone()] {
            let yaml = match stays {
                false => SHARED.1.to_owned(),
                true => SHARED
                    .1
                    .replace("          removed: [", "          delete: { set: { over: 1 } }\n          removed: ["),
            };
            let application = Application::with(SHARED.0, &yaml);
            match way.is_array() {
                true => drop(application.patch(GROUP, "1", way.clone()).unwrap()),
                false => drop(application.put(GROUP, "1", way.clone()).unwrap()),
            }
            let rows = application.shown("crew", &["person_id", "src", "over"]);
            let there: Vec<_> = rows.iter().filter(|row| row.ends_with(" 0")).collect();
            assert_eq!(there, ["1 app 0", "2 app 0"], "{way} {stays}");
            assert_eq!(application.shown("history", &["person_id"]), ["2", "3"], "{way}");
        }
    }
}

#[test]
fn who_may_not_read_users_cannot_pick_members_by_their_names() {
    let mut application = Application::with(SHARED.0, SHARED.1);
    application.server(|server| {
        server.may = super::super::permissions::Permissions::only(vec![(
            "Group".to_owned(),
            vec![permissions::Operation::Read, permissions::Operation::Update],
        )]);
    });
    for filter in ["not (display eq \"x\")", "display ne \"x\"", "value eq \"3\" and not (display pr)"] {
        let remove = json!([{ "op": "remove", "path": format!("members[{filter}]") }]);
        let refused = application.patch(GROUP, "1", remove).unwrap_err();
        assert_eq!((refused.status, refused.scim_type), (400, Some(crate::scim::ScimType::InvalidFilter)), "{filter}");
    }
    assert_eq!(application.rows("crew", &["person_id"]).len(), 4);
    application.patch(GROUP, "1", json!([{ "op": "remove", "path": "members[not (value eq \"2\")]" }])).unwrap();
    assert_eq!(application.shown("crew", &["person_id", "src"]), ["1 app", "2 app", "2 scim"]);
}
