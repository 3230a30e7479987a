//! `may`, protected rows, the acting user, preconditions, rows that leave.

use super::Operation::{Create, Deactivate, Delete, Read, Update};
use super::*;

#[test]
fn without_delete_but_with_deactivate_a_delete_deactivates() {
    let mut application = Application::staff();
    application.may(&[Read, Deactivate]);
    assert_eq!(application.set("2", "title", json!("T")).unwrap_err().status, 403);
    application.delete(USER, "2").unwrap();
    assert_eq!(application.person("2", "state").as_deref(), Some("suspended"));
    assert_eq!(application.get(USER, "2").unwrap_err().status, 404);
    assert_eq!(application.set("3", "active", json!(false)).unwrap().unwrap()["active"], false);
    assert_eq!(application.set("3", "active", json!(true)).unwrap_err().status, 403);
}

#[test]
fn update_is_not_deactivate() {
    let mut application = Application::staff();
    application.may(&[Read, Update]);
    assert_eq!(application.set("2", "active", json!(false)).unwrap_err().status, 403);
    assert_eq!(application.set("2", "title", json!("T")).unwrap().unwrap()["title"], "T");
    assert_eq!(application.delete(USER, "2").unwrap_err().status, 403);
    assert_eq!(application.create(USER, json!({ "userName": "n" })).unwrap_err().status, 403);
}

#[test]
fn delete_is_enough_for_a_delete_that_can_only_deactivate() {
    let mut application = Application::staff();
    application.application_runs("INSERT INTO badges VALUES (2)");
    application.may(&[Read, Delete]);
    application.delete(USER, "2").unwrap();
    assert_eq!(application.person("2", "state").as_deref(), Some("suspended"));
    application.may(&[Read, Create]);
    let back = application.create(USER, json!({ "userName": "bob" })).unwrap();
    assert_eq!((text(&back, "id"), &back["active"]), ("2", &json!(true)), "create is enough to come back");
}

#[test]
fn what_is_not_named_is_not_allowed() {
    let mut application = Application::staff();
    application.may(&[Read]);
    for refused in [
        application.get(GROUP, "1").unwrap_err(),
        application.list(GROUP, &[]).unwrap_err(),
        application.put(USER, "2", json!({})).unwrap_err(),
        application.set("2", "title", json!("T")).unwrap_err(),
        application.delete(GROUP, "1").unwrap_err(),
    ] {
        assert_eq!(refused.status, 403, "{}", refused.detail);
    }
    assert_eq!(application.get(USER, "2").unwrap()["userName"], "bob");
}

#[test]
fn protected_rows_are_read_and_never_changed() {
    let application = Application::staff();
    let before = application.get(USER, "1").unwrap();
    let same = json!([{ "op": "replace", "path": "name.givenName", "value": "Root" }]);
    let (same, cost) = application.cost(|| application.patch(USER, "1", same).unwrap().unwrap());
    assert_eq!((same, cost.writes), (before, 0), "a no-op is 200");
    for (path, value) in [
        ("title", json!("T")),
        ("externalId", json!("x")),
        ("userType", json!("sidecar only")),
        ("name.givenName", json!(" Root ")),
        ("active", json!(false)),
        ("emails", json!([{ "value": "a@b", "type": "home" }])),
    ] {
        let refused = application.set("1", path, value).unwrap_err();
        assert_eq!(refused.status, 403, "{path}");
    }
    assert_eq!(application.delete(USER, "1").unwrap_err().status, 403);
    assert!(application.rows("scimshim_sidecar", &["document"]).is_empty());
}

#[test]
fn memberships_of_protected_rows_are_protected_with_them() {
    let application = Application::staff();
    for (group, operation) in [
        ("2", json!({ "op": "add", "path": "members", "value": [{ "value": "3" }, { "value": "1" }] })),
        ("1", json!({ "op": "remove", "path": "members[value eq \"1\"]" })),
        ("1", json!({ "op": "replace", "path": "members", "value": [{ "value": "2" }] })),
    ] {
        let refused = application.patch(GROUP, group, json!([operation])).unwrap_err();
        assert_eq!(refused.status, 403, "{operation}");
    }
    assert_eq!(application.delete(GROUP, "1").unwrap_err().status, 403);
    let created = application.create(GROUP, json!({ "displayName": "N", "members": [{ "value": "1" }] }));
    assert_eq!(created.unwrap_err().status, 403);
    let kept = json!([{ "op": "replace", "path": "members", "value": [{ "value": "1" }, { "value": "3" }] }]);
    application.patch(GROUP, "1", kept).unwrap();
    assert_eq!(application.shown("crew", &["team_id", "person_id"]), ["1 1", "1 3"]);
}

#[test]
fn the_acting_user_is_protected() {
    let mut application = Application::staff();
    let bob = application.directory.actor("bob").unwrap().unwrap();
    assert_eq!((bob.id.clone(), bob.label.as_str()), (Value::Int(2), "Bob Builder"));
    application.server(|server| server.actor = Some(bob));
    assert_eq!(application.set("2", "title", json!("T")).unwrap_err().status, 403);
    assert_eq!(application.delete(USER, "2").unwrap_err().status, 403);
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": "2" }] }]);
    assert_eq!(application.patch(GROUP, "2", add).unwrap_err().status, 403);
    assert!(application.set("2", "title", json!("")).is_ok(), "a no-op is fine");
}

#[test]
fn the_acting_user_is_one_that_exists() {
    let application = Application::staff();
    application.application_runs("INSERT INTO people(id, login, gone) VALUES (-1, 'bob', 'x')");
    assert_eq!(application.directory.actor("bob").unwrap().unwrap().id, Value::Int(2));
    assert!(application.directory.actor("nobody").unwrap().is_none());
}

#[test]
fn a_row_does_not_leave_or_become_protected_through_scim() {
    let yaml = STAFF
        .1
        .replace("title: { column: title, type: text,", "title: { column: gone, type: text,")
        .replace("legacy: \"${column:title}\"", "legacy: x")
        .replace("family, title", "family")
        .replace("of: [login, title,", "of: [login,")
        .replace("of: { title: 5, family: 6 }", "of: { family: 6 }")
        .replace("userType: sidecar", "userType: { column: boss, type: name }");
    let application = Application::with(STAFF.0, &yaml);
    let refused = application.set("2", "title", json!("away")).unwrap_err();
    assert_eq!(refused.status, 403);
    assert!(refused.detail.contains("exist for this identity server"), "{}", refused.detail);
    assert_eq!(application.person("2", "gone"), None, "rolled back");
    assert_eq!(application.set("2", "userType", json!("1")).unwrap_err().status, 403);
    assert_eq!(application.person("2", "boss").as_deref(), Some("0"));
    for body in [json!({ "userName": "new", "title": "away" }), json!({ "userName": "new", "userType": "1" })] {
        assert_eq!(application.create(USER, body.clone()).unwrap_err().status, 403, "{body}");
    }
    assert_eq!(application.rows("people", &["id"]).len(), 3);
    assert!(application.rows("history", &["what"]).is_empty());
}

#[test]
fn versions_guard_users_and_groups() {
    let application = Application::staff();
    for (type_, id, path, value) in [(USER, "2", "title", "T"), (GROUP, "2", "displayName", "Renamed")] {
        let version = application.get(type_, id).unwrap()["meta"]["version"].as_str().unwrap().to_owned();
        let operations = json!([{ "op": "replace", "path": path, "value": value }]);
        let condition = |matches: &[&str], none: &[&str]| Precondition {
            if_match: (!matches.is_empty()).then(|| matches.iter().map(|tag| (*tag).to_owned()).collect()),
            if_none_match: (!none.is_empty()).then(|| none.iter().map(|tag| (*tag).to_owned()).collect()),
        };
        for wrong in [condition(&["W/\"x\""], &[]), condition(&[], &[&version]), condition(&[], &["*"])] {
            let refused = application.patch_if(type_, id, operations.clone(), &wrong).unwrap_err();
            assert_eq!(refused.status, 412, "{wrong:?}");
        }
        for right in [condition(&["\"other\"", &version], &[]), condition(&["*"], &[]), condition(&[], &["\"x\""])] {
            // 204 of a group.
            let done = application.patch_if(type_, id, operations.clone(), &right).unwrap();
            if right.if_match.as_ref().is_some_and(|tags| tags.len() == 2) {
                let now = done.unwrap_or_else(|| application.get(type_, id).unwrap());
                assert_ne!(now["meta"]["version"], version.as_str());
            }
        }
    }
    let group = application.get(GROUP, "2").unwrap()["meta"]["version"].clone();
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": "3" }] }]);
    application.patch(GROUP, "2", add).unwrap();
    assert_ne!(application.get(GROUP, "2").unwrap()["meta"]["version"], group, "members are part of it");
}

#[test]
fn external_ids_belong_to_the_server_that_gave_them() {
    let mut application = Application::staff();
    application.set("2", "externalId", json!("hr-2")).unwrap();
    assert_eq!(application.person("2", "ext").as_deref(), Some("hr-2"));
    let hr = application.caller.clone();
    application.caller = caller("partner", false);
    assert_eq!(application.get(USER, "2").unwrap().get("externalId"), None);
    application.set("3", "externalId", json!("hr-2")).unwrap();
    application.set("2", "externalId", json!("p-2")).unwrap();
    assert_eq!(application.person("2", "ext").as_deref(), Some("hr-2"), "the column is the default server's");
    assert_eq!(application.names(USER, &[("filter", "externalId eq \"hr-2\"")]), ["gil"]);
    assert_eq!(application.names(USER, &[("filter", "externalId eq \"p-2\"")]), ["bob"]);
    application.put(USER, "2", json!({ "userName": "bob" })).unwrap();
    assert_eq!(application.get(USER, "2").unwrap().get("externalId"), None, "PUT without it clears one's own");
    application.caller = hr;
    assert_eq!(application.get(USER, "2").unwrap()["externalId"], "hr-2");
    assert_eq!(application.names(USER, &[("filter", "externalId eq \"hr-2\"")]), ["bob"]);
}

#[test]
fn a_unique_external_id_is_unique_to_its_server() {
    let yaml = STAFF.1.replace("externalId: { column: ext }", "externalId: { column: ext, unique: true }");
    let mut application = Application::with(STAFF.0, &yaml);
    application.set("2", "externalId", json!("same")).unwrap();
    assert_eq!(application.set("3", "externalId", json!("same")).unwrap_err().status, 409);
    application.caller = caller("partner", false);
    application.set("3", "externalId", json!("same")).unwrap();
    application.create(USER, json!({ "userName": "new", "externalId": "hers" })).unwrap();
}

fn states_tables(column: &str, active: &str) -> String {
    format!(
        "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL, state {column}, told TEXT); INSERT INTO people(id, login, state) VALUES (2, 'bob', {active});"
    )
}

fn states(conversion: &str) -> String {
    format!(
        r#"
adapter: states
title: States
databases: [sqlite]
resources:
  User:
    table: people
    id: id
    attributes:
      userName: {{ column: login, required: true }}
      active: {{ column: state, type: {{ boolean: {conversion} }} }}
    create: refuse
    update: {{ then: [ {{ update: people, when: {{ active: {{ becomes: false }} }}, values: {{ told: "yes" }}, where: {{ id: "${{id}}" }} }} ] }}
    delete: deactivate
"#
    )
}

/// Somebody active, in a column of this type; PUT and PATCH that leave `active` out, each in an application of its own.
fn without_active(column: &str, conversion: &str, active: &str) -> Vec<(Application, Result<Object, Error>)> {
    let (tables, yaml) = (states_tables(column, active), states(conversion));
    let bodies = [
        json!([{ "op": "remove", "path": "active" }]),
        json!([{ "op": "replace", "value": { "active": null } }]),
        json!([{ "op": "replace", "value": { "active": "" } }]),
        Json::Null,
    ];
    let run = |body: &Json| {
        let mut application = Application::with(&tables, &yaml);
        application.server(|server| {
            server.may = Permissions::only(vec![("User".to_owned(), vec![Read, Update])]);
        });
        let answer = match body {
            Json::Null => application.put(USER, "2", json!({ "userName": "bob" })),
            operations => application.patch(USER, "2", operations.clone()).map(Option::unwrap),
        };
        (application, answer)
    };
    bodies.iter().map(run).collect()
}

#[test]
fn leaving_active_out_is_a_deactivation_like_any_other() {
    for (column, conversion, active, left) in [
        ("INTEGER", "{ true: 1, false: 0 }", "1", Json::Null),
        ("INTEGER", "{ true: 1, false: [0, null] }", "1", json!(false)),
        ("TEXT", "{ true: \"${now}\", false: null }", "'2020-01-01 00:00:00'", json!(false)),
    ] {
        for (mut application, refused) in without_active(column, conversion, active) {
            assert_eq!(refused.unwrap_err().status, 403, "{conversion}");
            assert_eq!(application.person("2", "state").as_deref(), Some(active.trim_matches('\'')), "{conversion}");
            application.server(|server| {
                server.may = Permissions::all();
                server.deactivations_per_hour = Some(1);
            });
            let put = application.put(USER, "2", json!({ "userName": "bob" })).unwrap();
            assert_eq!(put.get("active").unwrap_or(&Json::Null), &left, "{conversion}: what is left out is unassigned");
            assert_eq!(application.person("2", "state"), None, "{conversion}");
            assert_eq!(application.person("2", "told").as_deref(), Some("yes"), "guards and steps see it");
            application.put(USER, "2", json!({ "userName": "bob", "active": true })).unwrap();
            let put = application.put(USER, "2", json!({ "userName": "bob" }));
            assert_eq!(put.unwrap_err().status, 429, "{conversion}");
        }
    }
}

#[test]
fn leaving_active_out_is_nothing_where_it_stays() {
    for (column, conversion, active) in
        [("INTEGER NOT NULL", "{ true: 1, false: 0 }", "1"), ("TEXT", "{ true: null, false: \"${now}\" }", "NULL")]
    {
        for (application, answer) in without_active(column, conversion, active) {
            match answer {
                Ok(person) => assert_eq!(person["active"], true, "{conversion}"),
                // A PATCH that takes away what cannot be taken away.
                Err(refused) => assert_eq!((refused.status, column), (400, "INTEGER NOT NULL"), "{}", refused.detail),
            }
            assert_eq!(application.person("2", "told"), None);
        }
    }
}

#[test]
fn leaving_active_out_activates_nobody() {
    for (mut application, refused) in
        without_active("TEXT", "{ true: null, false: \"${now}\" }", "'2020-01-01 00:00:00'")
    {
        application.server(|server| server.may = Permissions::all());
        let locked = || application.person("2", "state");
        assert_eq!(locked().as_deref(), Some("2020-01-01 00:00:00"));
        if let Err(refused) = refused {
            assert_eq!(
                (refused.status, refused.detail.contains("active cannot be removed")),
                (400, true),
                "{refused:?}"
            );
        }
        let put = application.put(USER, "2", json!({ "userName": "bert" })).unwrap();
        assert_eq!((&put["userName"], &put["active"]), (&json!("bert"), &json!(false)));
        assert_eq!(locked().as_deref(), Some("2020-01-01 00:00:00"), "an administrator's lock stays");
        let remove = json!([{ "op": "remove", "path": "active" }]);
        assert_eq!(application.patch(USER, "2", remove).unwrap_err().status, 400);
        application.set("2", "active", json!(true)).unwrap();
        assert_eq!(locked(), None);
    }
}

#[test]
fn a_column_that_is_left_empty_counts_as_the_stored_false() {
    for conversion in ["{ true: 1, false: 0 }", "{ true: 1, false: [0, null] }"] {
        for operation in [json!({ "op": "remove", "path": "active" }), Json::Null] {
            let yaml =
                states(conversion).replace("when: { active: { becomes: false } }", "when: { state: { becomes: 0 } }");
            let tables = states_tables("INTEGER", "1");
            let application = Application::with(&tables, &yaml);
            match operation {
                Json::Null => application.put(USER, "2", json!({ "userName": "bob" })).map(|_| ()).unwrap(),
                operation => application.patch(USER, "2", json!([operation])).map(|_| ()).unwrap(),
            }
            assert_eq!(application.person("2", "state"), None, "what is left out is unassigned");
            assert_eq!(application.person("2", "told").as_deref(), Some("yes"), "{conversion}");
            // Nobody who was not active: NULL stays NULL, or becomes 1.
            application.application_runs("UPDATE people SET told = NULL");
            application.put(USER, "2", json!({ "userName": "bert" })).unwrap();
            application.set("2", "active", json!(true)).unwrap();
            assert_eq!(application.person("2", "told"), None, "{conversion}");
        }
    }
}

#[test]
fn the_brake_counts_who_loses_something() {
    let braked = |state: &str| {
        let mut application = Application::with(&states_tables("TEXT", state), &states("{ true: '1', false: '0' }"));
        application.application_runs("INSERT INTO people(id, login, state) VALUES (3, 'first', '1')");
        application.server(|server| server.deactivations_per_hour = Some(1));
        application.set("3", "active", json!(false)).unwrap();
        application.set("2", "active", json!(false)).map_err(|refused| refused.status).err()
    };
    assert_eq!(braked("'1'"), Some(429));
    assert_eq!(braked("'odd'"), Some(429), "who knows what that is");
    assert_eq!(braked("NULL"), None, "nothing is lost");
    assert_eq!(braked("'0'"), None);
    // Brought back by a POST that wants them inactive: their row says active still.
    let mut application = Application::new();
    let body = json!({ "userName": "cy", "externalId": "c", "name": { "givenName": "C", "familyName": "Y" } });
    let id = text(&application.create(USER, body.clone()).unwrap(), "id").to_owned();
    application.server(|server| server.deactivations_per_hour = Some(1));
    application.delete(USER, &id).unwrap();
    application.application_runs("UPDATE people SET enabled = 1");
    let mut body = body;
    body["active"] = json!(false);
    let back = application.create(USER, body).unwrap();
    assert_eq!((text(&back, "id"), &back["active"]), (id.as_str(), &json!(false)));
}

#[test]
fn a_put_that_keeps_leaves_out_what_is_read_only_here_like_any_other() {
    let mut application = Application::new();
    for keeps in [true, false] {
        application.server(|server| server.put_keeps_unmentioned = keeps);
        let body = json!({ "displayName": "Renamed", "externalId": "x", "members": [{ "value": "2" }] });
        let put = application.put(GROUP, "project-1", body).unwrap();
        assert_eq!((&put["displayName"], &put["externalId"]), (&json!("Engine"), &json!("x")), "{keeps}");
        assert!(put["members"].to_string().contains(r#""2""#), "{put:?}");
        assert_eq!(application.get(GROUP, "project-1").unwrap()["displayName"], "Engine");
    }
    let told = application.patch(GROUP, "project-1", json!([{ "op": "replace", "path": "displayName", "value": "R" }]));
    assert_eq!(told.unwrap_err().status, 400, "a PATCH is told");
}

#[test]
fn an_omission_that_leaves_its_column_is_no_change() {
    let yaml = STAFF.1.replace(
        "        - { insert: flags, when: { title: { becomes: Weaver } }, enabled: false,",
        "        - { insert: flags, when: { any: [ { name.givenName: { changed: true } }, { nickName: { changed: true } }, { userType: { changed: true } } ] }, values: { person_id: \"${id}\", flag: changed } }\n        - { insert: flags, when: { title: { becomes: Weaver } }, enabled: false,",
    );
    // Names whose column takes no NULL, read-only, without a fallback; the state cannot be NULL either.
    let yaml = yaml.replace(", fallback: [\"${displayName}\", \"${local_part:userName}\"]", "");
    let yaml = yaml.replace("nickName: { column: room,", "nickName: { column: room, mutability: readOnly,");
    let mut application = Application::with(STAFF.0, &yaml);
    application.application_runs("UPDATE people SET room = 'R1', family = NULL, title = NULL");
    application.may(&[Read, Deactivate]);
    let put = application.put(USER, "2", json!({ "userName": "bob", "active": false })).unwrap();
    assert_eq!(
        (&put["active"], &put["name"]["givenName"], &put["nickName"]),
        (&json!(false), &json!("Bob"), &json!("R1"))
    );
    assert_eq!(application.shown("flags", &["flag"]), ["off"], "nothing else changed");
    let more = application.put(USER, "2", json!({ "userName": "bob", "title": "T" }));
    assert_eq!(more.unwrap_err().status, 403);
}

#[test]
fn what_goes_takes_no_protected_membership_along() {
    let application = Application::staff();
    // A protected member that nobody sees, because it was retired.
    application.application_runs("INSERT INTO scimshim_tombstones VALUES ('User', '1', 'hr', 0, 'old')");
    assert_eq!(application.get(GROUP, "1").unwrap()["members"].as_array().unwrap().len(), 1);
    assert_eq!(application.delete(GROUP, "1").unwrap_err().status, 403);
    assert_eq!(application.shown("crew", &["team_id", "person_id"]), ["1 1", "1 2"]);
    // One that does not exist for SCIM at all keeps no group.
    application.application_runs("UPDATE people SET gone = 'x' WHERE id = 1");
    application.delete(GROUP, "1").unwrap();

    let yaml = STAFF.1.replace("how: set\n      set: { gone: \"${now}\" }\n      guard", "how: row\n      guard");
    let yaml =
        yaml.replace("    table: teams\n    id: id\n", "    table: teams\n    id: id\n    protected: { id: 1 }\n");
    let application = Application::with(STAFF.0, &yaml);
    let refused = application.delete(USER, "2").unwrap_err();
    assert_eq!(refused.status, 403);
    assert!(refused.detail.contains("Group 1"), "{}", refused.detail);
    assert_eq!(application.shown("crew", &["team_id", "person_id"]), ["1 1", "1 2"]);
    application.delete(USER, "3").unwrap();
}

#[test]
fn who_may_not_read_users_is_not_told_their_names() {
    let mut application = Application::staff();
    application.application_runs("UPDATE people SET manager_id = 2 WHERE id = 3");
    let only = |type_: &str, operations: &[super::Operation]| {
        Permissions::only(vec![(type_.to_owned(), operations.to_vec()), ("User".to_owned(), vec![Update])])
    };
    application.server(|server| server.may = only("Group", &[Read, Update]));
    let crew = application.get(GROUP, "1").unwrap();
    for member in crew["members"].as_array().unwrap() {
        assert!(member["value"].is_string() && member.get("display").is_none(), "{member}");
    }
    for query in
        [("filter", "members.display sw \"B\""), ("filter", "members[display pr]"), ("sortBy", "members.display")]
    {
        match application.list(GROUP, &[query]) {
            Err(refused) => assert_eq!(refused.status, 400, "{query:?}"),
            Ok(page) => assert_eq!(page.total, Some(2), "{query:?}"),
        }
    }
    assert!(application.list(GROUP, &[("filter", "members.display sw \"B\"")]).is_err());
    assert_eq!(application.names(GROUP, &[("filter", "members.value eq \"2\"")]), ["Crew"]);
    application.application_runs("UPDATE people SET boss = 0");
    let named = application.patch(GROUP, "1", json!([{ "op": "remove", "path": "members[display sw \"B\"]" }]));
    assert_eq!(named.unwrap_err().scim_type, Some(crate::scim::ScimType::InvalidFilter));
    assert_eq!(application.shown("crew", &["person_id"]), ["1", "2"]);
    // What it writes itself names others by their ids.
    let gil = application.set("3", "title", json!("T")).unwrap().unwrap();
    assert_eq!(gil[ENTERPRISE]["manager"]["value"], "2");
    assert_eq!(gil[ENTERPRISE]["manager"].get("displayName"), None);
    application.server(|server| server.may = Permissions::all());
    assert_eq!(application.get(USER, "3").unwrap()[ENTERPRISE]["manager"]["displayName"], "Bob Builder");
}
