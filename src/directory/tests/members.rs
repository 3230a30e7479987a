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
