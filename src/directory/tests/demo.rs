//! The shipped demo adapter, whole.

use super::{Application, GROUP, USER};
use crate::directory::Precondition;
use crate::scim::ScimType;
use serde_json::json;

#[test]
fn a_legacy_row_reads_as_a_user() {
    let application = Application::new();
    let ada = application.get(USER, "1").unwrap();
    assert_eq!(ada["userName"], "ada");
    assert_eq!(ada["displayName"], "Ada Byron");
    assert_eq!(ada["active"], true);
    assert_eq!(ada["emails"][0]["value"], "ada@example.org");
    assert_eq!(ada["meta"]["created"], "2020-01-02T03:04:05Z");
    assert_eq!(ada["meta"]["location"], "https://localhost/scim/v2/Users/1");
    assert_eq!(ada["groups"][0]["value"], "project-1");
    assert_eq!(ada["groups"][0]["display"], "Engine");
    for id in ["3", "01", "x", "1 ", "-1", "99999999999999999999999"] {
        assert_eq!(application.get(USER, id).unwrap_err().status, 404, "{id}");
    }
}

#[test]
fn a_user_is_created_changed_and_deleted() {
    let application = Application::new();
    let created = application
        .create(
            USER,
            json!({
                "userName": "cyd", "externalId": "00u1", "name": { "givenName": "Cyd", "familyName": " " },
                "emails": [{ "value": "cyd@example.org", "type": "other", "primary": true }],
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Looms", "manager": { "value": "1" } }
            }),
        )
        .unwrap();
    let id = created["id"].as_str().unwrap().to_owned();
    assert_eq!(created["externalId"], "00u1");
    assert_eq!(created["name"]["familyName"], " ", "given back as it was sent");
    assert_eq!(created["emails"], json!([{ "value": "cyd@example.org", "type": "other", "primary": true }]));
    let enterprise = &created["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"];
    assert_eq!(enterprise["department"], "Looms");
    assert_eq!(enterprise["manager"]["displayName"], "Ada Byron");
    assert_eq!(application.get(USER, &id).unwrap(), created, "read back as it was answered");
    assert_eq!(application.rows("history", &["what"]), [[Some("created".to_owned())]]);

    let taken = application.create(USER, json!({ "userName": "CYD" })).unwrap_err();
    assert_eq!((taken.status, taken.scim_type), (409, Some(ScimType::Uniqueness)));

    let patched = application
        .patch(USER, &id, json!([{ "op": "Replace", "path": "title", "value": "Weaver" }, { "op": "add", "path": "emails[type eq \"work\"].value", "value": "c@example.org" }]))
        .unwrap()
        .unwrap();
    assert_eq!(patched["title"], "Weaver");
    assert_eq!(patched["emails"][0]["value"], "c@example.org");
    assert_eq!(patched["emails"].as_array().unwrap().len(), 1);
    assert_eq!(application.rows("history", &["what"]).len(), 2);

    let same = application.patch(USER, &id, json!([{ "op": "replace", "path": "title", "value": "Weaver" }])).unwrap();
    assert_eq!(same.unwrap()["meta"]["version"], patched["meta"]["version"], "a no-op keeps the version");
    assert_eq!(application.rows("history", &["what"]).len(), 2, "and writes nothing");

    application.directory.delete(&application.caller, USER, &id, &Precondition::default()).unwrap();
    assert_eq!(application.get(USER, &id).unwrap_err().status, 404);
    let again = application.directory.delete(&application.caller, USER, &id, &Precondition::default());
    assert_eq!(again.unwrap_err().status, 404);

    let back = application.create(USER, json!({ "userName": "cyd" })).unwrap();
    assert_eq!(back["id"], id.as_str(), "revived by userName");
    assert_eq!(back.get("title"), None, "as a replace");
}

#[test]
fn lists_are_filtered_sorted_and_paged() {
    let application = Application::new();
    let all = application.names(USER, &[]);
    assert_eq!(all, ["ada", "bob"]);
    for (filter, expected) in [
        ("userName eq \"ADA\"", vec!["ada"]),
        ("userName eq \"nobody\"", vec![]),
        ("active eq false", vec!["bob"]),
        ("active eq \"True\"", vec!["ada"]),
        ("emails.value co \"EXAMPLE\"", vec!["ada"]),
        ("emails[value ew \".org\"]", vec!["ada"]),
        ("not (name.familyName pr)", vec!["bob"]),
        ("name.familyName eq null", vec!["bob"]),
        ("displayName sw \"ada b\"", vec!["ada"]),
        ("meta.created gt \"2019-12-31T23:00:00-05:00\"", vec!["ada"]),
        ("id eq \"2\" or userName eq \"ada\"", vec!["ada", "bob"]),
        ("groups.value eq \"project-1\"", vec!["ada"]),
        ("userName co \"%\"", vec![]),
    ] {
        assert_eq!(application.names(USER, &[("filter", filter)]), expected, "{filter}");
    }
    assert_eq!(application.names(USER, &[("sortBy", "userName"), ("sortOrder", "descending")]), ["bob", "ada"]);
    let page = application.list(USER, &[("startIndex", "2"), ("count", "1")]).unwrap();
    assert_eq!((page.total, page.resources.len()), (Some(2), 1));
    let none = application.list(USER, &[("count", "0")]).unwrap();
    assert_eq!((none.total, none.resources.len()), (Some(2), 0));
    let refused = application.list(USER, &[("filter", "shoeSize eq 4")]).unwrap_err();
    assert_eq!((refused.status, refused.scim_type), (400, Some(ScimType::InvalidFilter)));
}

#[test]
fn two_tables_are_one_sequence_of_groups() {
    let application = Application::new();
    let group = application.create(GROUP, json!({ "displayName": "Admins", "members": [{ "value": "2" }] })).unwrap();
    assert_eq!(group["id"], "profile-1");
    assert_eq!(group["members"][0]["display"], "Bob");
    assert_eq!(application.names(GROUP, &[("sortBy", "displayName")]), ["Admins", "Bridge", "Engine"]);
    assert_eq!(application.names(GROUP, &[("startIndex", "2"), ("count", "1")]), ["Engine"]);
    assert_eq!(application.names(GROUP, &[("filter", "members eq \"1\"")]), ["Engine"]);
    let taken = application.create(GROUP, json!({ "displayName": "engine" })).unwrap_err();
    assert_eq!(taken.status, 409, "uniqueness spans the sources");
}

#[test]
fn members_are_changed_row_by_row() {
    let application = Application::new();
    application.create(GROUP, json!({ "displayName": "Admins" })).unwrap();
    let members = |application: &Application| {
        let rows = application.rows("profile_people", &["person_id"]);
        rows.into_iter().filter_map(|mut row| row.pop().flatten()).collect::<Vec<_>>()
    };
    let id = "profile-1";
    let done = application
        .patch(GROUP, id, json!([{ "op": "Add", "path": "members", "value": [{ "value": "1" }, { "value": "2" }] }]))
        .unwrap();
    assert!(done.is_none(), "204: the members are not read back");
    assert_eq!(members(&application), ["1", "2"]);
    application.patch(GROUP, id, json!([{ "op": "add", "path": "members", "value": [{ "value": "1" }] }])).unwrap();
    assert_eq!(members(&application), ["1", "2"], "adding a member again changes nothing");
    application.patch(GROUP, id, json!([{ "op": "remove", "path": "members[value eq \"1\"]" }])).unwrap();
    assert_eq!(members(&application), ["2"]);
    let unknown =
        application.patch(GROUP, id, json!([{ "op": "replace", "path": "members", "value": [{ "value": "77" }] }]));
    let unknown = unknown.unwrap_err();
    assert_eq!(unknown.status, 400);
    assert!(unknown.detail.contains("\"77\""), "{}", unknown.detail);
    assert_eq!(members(&application), ["2"], "nothing was wiped");
    application.patch(GROUP, id, json!([{ "op": "replace", "path": "members", "value": [] }])).unwrap();
    assert!(members(&application).is_empty());
    let led = application.patch(GROUP, "project-1", json!([{ "op": "remove", "path": "members" }])).unwrap();
    assert!(led.is_none(), "204 whatever came of it");
    assert_eq!(application.get(GROUP, "project-1").unwrap()["members"][0]["value"], "1", "the lead is left");
}

#[test]
fn what_is_refused_leaves_no_trace() {
    let application = Application::new();
    for (body, status) in [
        (json!({ "displayName": "no userName" }), 400),
        (json!({ "userName": " " }), 400),
        (json!({ "userName": "dee", "emails": [{ "value": "no address" }] }), 400),
        (
            json!({ "userName": "dee", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "New", "manager": "99" } }),
            400,
        ),
        (json!({ "userName": "x".repeat(101) }), 400),
    ] {
        let refused = application.create(USER, body.clone()).unwrap_err();
        assert_eq!(refused.status, status, "{body}: {}", refused.detail);
    }
    assert_eq!(application.rows("people", &["login"]).len(), 2);
    assert!(application.rows("departments", &["name"]).is_empty(), "not even a department made on the way");
    assert!(application.rows("history", &["what"]).is_empty());
    let own = application.patch(USER, "1", json!([{ "op": "add", "path": "manager", "value": "1" }])).unwrap_err();
    assert_eq!(own.status, 400, "nobody manages themselves");
}
