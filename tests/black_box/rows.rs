//! What a dialogue must have left in a real application's tables: the rows themselves, and the history rows beside them
//! as the application writes them when a person does the same in its own pages.

use std::collections::BTreeMap;

use crate::support::databases::{Database, Row};

/// Columns that the application notes in `log_meta` when they change; a change of any other leaves no trace there.
const NOTED: [&str; 27] = [
    "email",
    "activated",
    "first_name",
    "last_name",
    "website",
    "country",
    "gravatar",
    "location_id",
    "phone",
    "jobtitle",
    "manager_id",
    "employee_num",
    "username",
    "notes",
    "ldap_import",
    "locale",
    "department_id",
    "address",
    "city",
    "state",
    "zip",
    "remote",
    "start_date",
    "end_date",
    "autoassign_licenses",
    "vip",
    "password",
];

/// After the dialogue `name` on an empty database of `version`.
pub fn check_snipe_it(database: &Database, name: &str, version: &str) {
    every_user_satisfies_the_application(database);
    every_write_has_its_history(database, version);
    let users = live(database);
    let text = |value: &str| Some(value.to_owned());
    match name {
        "okta_aiw" => {
            assert_eq!(
                users,
                [[
                    text("rpatel@example.com"),
                    text("Ravi"),
                    text("Patel-Shah"),
                    text("Ravi Patel-Shah"),
                    text("ravi.ps@example.com"),
                    text("1"),
                    text("00uq7w3e9rLkZ2mT5d7"),
                    None,
                    None
                ]]
            );
            assert_eq!(database.count("SELECT COUNT(*) FROM permission_groups"), 0, "the pushed group was deleted");
            assert_eq!(database.count("SELECT COUNT(*) FROM users_groups"), 0, "and left no membership");
            let updates = changes(database, "rpatel@example.com");
            let noted =
                |column: &str| updates.iter().filter_map(|change| change.get(column).cloned()).collect::<Vec<_>>();
            assert_eq!(noted("last_name"), [serde_json::json!({ "old": "Patel", "new": "Patel-Shah" })]);
            assert_eq!(
                noted("email"),
                [serde_json::json!({ "old": "rpatel@example.com", "new": "ravi.ps@example.com" })]
            );
            let switches: Vec<String> = noted("activated")
                .iter()
                .map(|change| format!("{}->{}", bare(&change["old"]), bare(&change["new"])))
                .collect();
            assert_eq!(switches, ["1->0", "0->1"], "deactivated, then reactivated");
        }
        "entra_optscim" => {
            let [arianne, lee] = users.as_slice() else { panic!("two users, not {users:?}") };
            // The last PUT named these and no more: what it left out is cleared.
            assert_eq!(arianne[..3], [text("arianne@example.com"), text("Arianne"), text("Kim")]);
            assert_eq!(arianne[3..6], [None, None, text("1")]);
            assert_eq!(arianne[7..], [None, None]);
            assert_eq!(
                *lee,
                [
                    text("lpark@example.com"),
                    text("Lee"),
                    text("Park"),
                    text("Lee Park"),
                    text("lpark@example.com"),
                    text("1"),
                    text("lpark"),
                    None,
                    None
                ]
            );
            assert_eq!(
                database.rows("SELECT name, deleted_at FROM departments"),
                [[text("Claims"), None]],
                "made on the way, once"
            );
            assert_eq!(database.rows("SELECT name FROM permission_groups"), [[text("Claims Desk")]]);
            assert_eq!(
                database.rows("SELECT permissions FROM permission_groups"),
                [[None::<String>]],
                "a pushed group grants nothing"
            );
            assert_eq!(database.count("SELECT COUNT(*) FROM users_groups g JOIN users u ON u.id = g.user_id WHERE u.username = 'lpark@example.com'"), 1);
            let names: Vec<_> = changes(database, "arianne@example.com")
                .iter()
                .filter_map(|change| change.get("username").cloned())
                .collect();
            assert_eq!(names, [serde_json::json!({ "old": "akim@example.com", "new": "arianne@example.com" })]);
            let managers: Vec<_> = changes(database, "arianne@example.com")
                .iter()
                .filter(|change| change.get("manager_id").is_some())
                .cloned()
                .collect();
            assert_eq!(managers.len(), 2, "the manager was set, then cleared: {managers:?}");
        }
        "authentik" => {
            let names: Vec<_> = users.iter().map(|row| row[0].clone().unwrap_or_default()).collect();
            assert_eq!(names, ["cher", "svc-print"]);
            assert_eq!(
                users[1],
                [
                    text("svc-print"),
                    text("svc-print"),
                    None,
                    text("svc-print"),
                    None,
                    text("1"),
                    text("91b0c0de91b0c0de91b0c0de91b0c0de"),
                    None,
                    None
                ]
            );
            assert_eq!(users[0][1..4], [text("Cher"), None, text("Cher")]);
            assert_eq!(users[0][6], text("3f9ad1c07be54c1a8b7e3d2255aa90cc"));
            assert_eq!(database.count("SELECT COUNT(*) FROM action_logs WHERE action_type = 'delete'"), 1);
            assert_eq!(database.rows("SELECT name FROM permission_groups"), [[text("Printing")]]);
            assert_eq!(
                database.rows(
                    "SELECT u.username FROM users_groups g JOIN users u ON u.id = g.user_id WHERE u.deleted_at IS NULL"
                ),
                [[text("svc-print")]]
            );
        }
        other => panic!("no rows are known for {other}"),
    }
}

/// Undeleted users: username, names, display name, email, activated, external id, job title, phone.
fn live(database: &Database) -> Vec<Row> {
    database.rows(
        "SELECT username, first_name, last_name, display_name, email, activated, scim_externalid, jobtitle, phone FROM users \
         WHERE deleted_at IS NULL ORDER BY username",
    )
}

/// The model's rules run at the application's next save of the row; a row that breaks one makes that save fail.
fn every_user_satisfies_the_application(database: &Database) {
    for row in database.rows(
        "SELECT username, first_name, password, ldap_import, permissions, autoassign_licenses, show_in_list, display_name, \
         country, created_at, updated_at, locale FROM users",
    ) {
        let [username, first_name, password, ldap_import, permissions, autoassign, shown, display_name, country, created, updated, locale] = row.as_slice() else {
            panic!("{row:?}")
        };
        assert!(username.as_deref().is_some_and(|name| !name.is_empty()), "username is required: {row:?}");
        assert!(first_name.as_deref().is_some_and(|name| !name.is_empty()), "first_name is required: {row:?}");
        let password = password.as_deref().unwrap_or_default();
        assert!(password == "*** NO PASSWORD ***" || password.starts_with("$2y$10$"), "{row:?}");
        assert_eq!(ldap_import.as_deref(), Some("0"), "{row:?}");
        assert_eq!(*permissions, None, "nobody is given rights: {row:?}");
        assert_eq!((autoassign.as_deref(), shown.as_deref()), (Some("1"), Some("1")), "{row:?}");
        assert_ne!(display_name.as_deref(), Some(""), "an empty name would be shown as a blank: {row:?}");
        assert_ne!(country.as_deref(), Some(""), "{row:?}");
        assert!(created.is_some() && updated.is_some(), "{row:?}");
        assert!(locale.is_none() || locale.as_deref() == Some("en-US"), "the default, or cleared: {row:?}");
    }
}

/// One `create` a user, `update` rows that name only columns the application notes, one `delete` a deleted user.
fn every_write_has_its_history(database: &Database, version: &str) {
    let mut creates: BTreeMap<String, usize> = BTreeMap::new();
    let mut deletes: BTreeMap<String, usize> = BTreeMap::new();
    for row in database.rows(
        "SELECT action_type, item_type, item_id, target_type, target_id, log_meta, action_date, created_at, updated_at FROM action_logs ORDER BY id",
    ) {
        let [Some(action), Some(item_type), Some(item), target_type, target, meta, action_date, created, updated] = row.as_slice() else {
            panic!("{row:?}")
        };
        assert_eq!(item_type, "App\\Models\\User", "{row:?}");
        assert!(action_date.is_some() && created.is_some() && created == updated, "{row:?}");
        match action.as_str() {
            "create" => {
                assert_eq!((target_type, target), (&None, &None), "{row:?}");
                *creates.entry(item.clone()).or_default() += 1;
            }
            "update" => {
                assert_eq!((target_type.as_deref(), target.as_deref()), (Some("App\\Models\\User"), Some(item.as_str())), "{row:?}");
                let meta: serde_json::Value = serde_json::from_str(meta.as_deref().unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {row:?}"));
                let meta = meta.as_object().unwrap_or_else(|| panic!("{row:?}"));
                assert!(!meta.is_empty(), "an update that changed nothing of note leaves no row: {row:?}");
                for (column, change) in meta {
                    assert!(NOTED.contains(&column.as_str()) || (column == "company_id" && version.starts_with("8.4")), "{column} is not noted: {row:?}");
                    assert!(change.get("old").is_some() && change.get("new").is_some() && change["old"] != change["new"] || column == "password", "{row:?}");
                }
            }
            "delete" => {
                assert_eq!(target.as_deref(), Some(item.as_str()), "{row:?}");
                *deletes.entry(item.clone()).or_default() += 1;
            }
            "restore" => {}
            other => panic!("{other} is none of the application's actions here: {row:?}"),
        }
    }
    for row in database.rows("SELECT id, deleted_at FROM users") {
        let id = row[0].clone().expect("an id");
        assert_eq!(creates.remove(&id), Some(1), "one create row for user {id}");
        if row[1].is_some() {
            assert!(deletes.contains_key(&id), "a delete row for user {id}");
        }
    }
    assert!(creates.is_empty(), "create rows of users that are not there: {creates:?}");
}

/// The differences noted in a user's `update` rows, oldest first.
fn changes(database: &Database, username: &str) -> Vec<serde_json::Value> {
    database
        .rows(&format!(
            "SELECT l.log_meta FROM action_logs l JOIN users u ON u.id = l.item_id WHERE u.username = '{username}' AND l.action_type = 'update' ORDER BY l.id"
        ))
        .into_iter()
        .map(|row| serde_json::from_str(row[0].as_deref().unwrap_or_default()).expect("JSON"))
        .collect()
}

/// A number or a text, without quotes: the application notes `"1"` or `1` alike.
fn bare(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(flag) => u8::from(*flag).to_string(),
        other => other.to_string(),
    }
}
