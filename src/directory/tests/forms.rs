//! Values that the columns alter come back as they were sent.

use super::*;

#[test]
fn what_a_column_alters_comes_back_as_it_was_sent() {
    let application = Application::staff();
    let body = json!({
        "userName": " Cyd ", "name": { "givenName": "Cyd ", "familyName": " Young" }, "nickName": "Cyderella",
        "userType": "Guest",
        "emails": [{ "value": "b@example.org", "type": "home" }, { "value": "a@example.org", "type": "other", "primary": true, "display": "A" }],
        "phoneNumbers": [{ "value": " 1 ", "type": "work" }, { "value": "2", "type": "fax" }, { "value": "3", "type": "mobile", "primary": true }]
    });
    let cyd = application.create(USER, body).unwrap();
    let id = text(&cyd, "id").to_owned();
    assert_eq!(application.person(&id, "login").as_deref(), Some("cyd"));
    assert_eq!(application.person(&id, "room").as_deref(), Some("Cyder"));
    assert_eq!(application.person(&id, "mail").as_deref(), Some("a@example.org"));
    assert_eq!(cyd["userName"], " Cyd ");
    assert_eq!(cyd["name"], json!({ "givenName": "Cyd ", "familyName": " Young" }));
    assert_eq!(cyd["nickName"], "Cyderella");
    assert_eq!(cyd["userType"], "Guest");
    assert_eq!(cyd["emails"], json!([{ "value": "a@example.org", "type": "other", "primary": true, "display": "A" }]));
    assert_eq!(
        cyd["phoneNumbers"],
        json!([{ "value": " 1 ", "type": "work" }, { "value": "3", "type": "mobile", "primary": true }])
    );
    assert_eq!(application.get(USER, &id).unwrap(), cyd);
    assert_eq!(application.names(USER, &[("filter", "userName eq \"CYD\"")]), [" Cyd "]);

    let titled = application.set(&id, "title", json!("T")).unwrap().unwrap();
    for name in ["userName", "name", "nickName", "userType", "emails", "phoneNumbers"] {
        assert_eq!(titled[name], cyd[name], "a PATCH of something else keeps {name}");
    }

    application.application_runs(&format!("UPDATE people SET room = 'other', phone = '9' WHERE id = {id}"));
    let changed = application.get(USER, &id).unwrap();
    assert_eq!(changed["nickName"], "other", "the column wins");
    assert_eq!(changed["phoneNumbers"][0]["value"], "9");
    assert_eq!(changed["userName"], " Cyd ", "only where it changed");

    let (same, cost) = application.cost(|| application.set(&id, "title", json!("T")).unwrap().unwrap());
    assert_eq!((&same, cost.writes), (&changed, 0), "what is out of date is no reason to write");

    application.set(&id, "userName", json!("cyd")).unwrap();
    application.set(&id, "nickName", json!("five5")).unwrap();
    application.set(&id, "name", json!({ "givenName": "Cyd", "familyName": "Young" })).unwrap();
    application.set(&id, "phoneNumbers", json!([])).unwrap();
    application.set(&id, "emails", json!([{ "value": "a@example.org", "type": "work" }])).unwrap();
    application.patch(USER, &id, json!([{ "op": "remove", "path": "userType" }])).unwrap();
    assert!(
        application.rows("scimshim_sidecar", &["document"]).is_empty(),
        "nothing is kept that the columns say themselves: {:?}",
        application.rows("scimshim_sidecar", &["document"])
    );
}

#[test]
fn a_change_of_nothing_writes_nothing() {
    let application = Application::staff();
    let body = json!({
        "userName": "Dee", "externalId": "d", "name": { "givenName": " D", "familyName": "E" }, "nickName": "too long", "active": true,
        "emails": [{ "value": "d@example.org", "type": "other" }],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Looms", "costCenter": "C1", "manager": { "value": "2" } }
    });
    let dee = application.create(USER, body.clone()).unwrap();
    let id = text(&dee, "id");
    let (put, cost) = application.cost(|| application.put(USER, id, body).unwrap());
    assert_eq!((&put, cost.writes), (&dee, 0));
    let patch = json!([
        { "op": "replace", "value": { "userName": "Dee", "nickName": "too long", "active": "True" } },
        { "op": "add", "path": "emails[type eq \"other\"].value", "value": "d@example.org" },
        { "op": "replace", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", "value": "2" }
    ]);
    let (patched, cost) = application.cost(|| application.patch(USER, id, patch).unwrap().unwrap());
    assert_eq!((&patched, cost.writes), (&dee, 0));
    let (_, cost) = application.cost(|| application.set("3", "title", json!("")).unwrap());
    assert_eq!(cost.writes, 0, "an empty name in a legacy row is not filled on the way");
}

#[test]
fn a_group_keeps_its_form_and_its_version() {
    let application = Application::staff();
    let group = application.create(GROUP, json!({ "displayName": " Night ", "members": [{ "value": "2" }] })).unwrap();
    assert_eq!(group["displayName"], " Night ");
    assert!(group["meta"]["version"].is_string());
    assert_eq!(group["members"].as_array().unwrap().len(), 1);
    let id = text(&group, "id");
    let renamed = application.put(GROUP, id, json!({ "displayName": " Day ", "externalId": "g" })).unwrap();
    assert_eq!(renamed, application.get(GROUP, id).unwrap());
    assert_eq!(renamed["displayName"], " Day ");
    assert_eq!(renamed["members"].as_array().unwrap().len(), 1, "members that are not named are left");
}
