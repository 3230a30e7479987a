//! Foreign keys by a natural key, and references to resources.

use super::*;

fn enterprise(application: &Application, name: &str, value: Json) -> Result<Option<Object>, Error> {
    application.set("2", &format!("{ENTERPRISE}:{name}"), value)
}

#[test]
fn a_lookup_finds_makes_and_revives() {
    let application = Application::staff();
    let made = enterprise(&application, "department", json!(" Looms ")).unwrap().unwrap();
    assert_eq!(made[ENTERPRISE]["department"], " Looms ", "as it was sent");
    assert_eq!(application.shown("departments", &["name", "origin"]), ["Old -", "Looms scim"]);
    enterprise(&application, "department", json!("Old")).unwrap();
    assert_eq!(application.person("2", "dept_id").as_deref(), Some("1"));
    assert_eq!(application.shown("departments", &["name", "closed"]), ["Old -", "Looms -"], "revived");
    let found = enterprise(&application, "department", json!("Looms")).unwrap().unwrap();
    assert_eq!(found[ENTERPRISE]["department"], "Looms");
    assert_eq!(application.rows("departments", &["id"]).len(), 2, "found");
}

#[test]
fn a_lookup_clears_or_refuses() {
    let application = Application::staff();
    enterprise(&application, "costCenter", json!("C1")).unwrap();
    assert_eq!(application.person("2", "center_id").as_deref(), Some("1"));
    let cleared = enterprise(&application, "costCenter", json!("C9")).unwrap().unwrap();
    assert!(cleared.get(ENTERPRISE).is_none_or(|all| all.get("costCenter").is_none()), "{cleared:?}");
    assert_eq!(application.person("2", "center_id").as_deref(), Some("0"));
    for (name, word) in [("West", "has no"), ("South", "more than once")] {
        let refused = enterprise(&application, "division", json!(name)).unwrap_err();
        assert_eq!((refused.status, refused.detail.contains(word)), (400, true), "{}", refused.detail);
    }
    enterprise(&application, "division", json!("North")).unwrap();
    assert_eq!(application.person("2", "division_id").as_deref(), Some("1"));
    enterprise(&application, "division", json!("")).unwrap();
    assert_eq!(application.person("2", "division_id"), None);
}

#[test]
fn references_must_be_there() {
    let application = Application::staff();
    for (value, word) in
        [(json!("77"), "there is no User"), (json!("2"), "itself"), (json!({ "value": "x" }), "there is no User")]
    {
        let refused = enterprise(&application, "manager", value).unwrap_err();
        assert_eq!((refused.status, refused.detail.contains(word)), (400, true), "{}", refused.detail);
    }
    let set = enterprise(&application, "manager", json!({ "value": "1" })).unwrap().unwrap();
    assert_eq!(
        set[ENTERPRISE]["manager"],
        json!({ "value": "1", "$ref": "https://localhost/scim/v2/Users/1", "displayName": "Root" })
    );
}

#[test]
fn a_key_that_shows_nothing_is_not_cleared_by_leaving_it_out() {
    let application = Application::staff();
    application.application_runs(
        "UPDATE people SET manager_id = 3, dept_id = 1, center_id = 55 WHERE id = 2; INSERT INTO badges VALUES (3)",
    );
    application.delete(USER, "3").unwrap();
    let bob = application.get(USER, "2").unwrap();
    assert_eq!(bob.get(ENTERPRISE), None, "{bob:?}");
    application.put(USER, "2", json!({ "userName": "bob", "title": "T" })).unwrap();
    for (column, key) in [("manager_id", "3"), ("dept_id", "1"), ("center_id", "55")] {
        assert_eq!(application.person("2", column).as_deref(), Some(key), "{column}");
    }
    enterprise(&application, "department", json!("Looms")).unwrap();
    assert_eq!(application.person("2", "dept_id").as_deref(), Some("2"), "what is asked for is written");
}
