//! The rows that scimshim leaves in Snipe-IT's own schema, for what its own code does in pages, API and LDAP sync
//! (`../shared/facts/snipe-it.md`, section 5): column by column, table by table.
//!
//! What is otherwise than the application's, on purpose, is this and no more:
//! - `action_source` is `scim`, where the application writes `gui`, `api` or `cli/unknown`;
//! - who is deactivated loses the API tokens (`revoke_on_deactivate`);
//! - a group that is deleted loses its members first, where the application refuses to delete it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::client::{self, Client};
use crate::support::databases::{Database, Engine};
use crate::support::difference::{Line, Watch};
use crate::support::service::{Options, Service};
use crate::support::{real_case, shared};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Everything that the adapter reads or writes, and no more is in the schema of users.
const WATCH: Watch = Watch {
    tables: &[
        "users",
        "permission_groups",
        "users_groups",
        "departments",
        "companies",
        "locations",
        "action_logs",
        "checkout_requests",
        "oauth_access_tokens",
        "oauth_refresh_tokens",
        "assets",
        "license_seats",
    ],
    unnamed: &["action_logs"],
    without: &[],
    instants: &["created_at", "updated_at", "deleted_at", "action_date"],
    defaults: false,
};

fn line(columns: Value) -> Line {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    columns.as_object().unwrap().iter().map(|(key, value)| (key.clone(), text(value))).collect()
}

fn new(table: &str, columns: Value) -> String {
    WATCH.added(table, line(columns))
}

/// Columns before and after.
fn changed(row: &str, columns: Value) -> String {
    let (table, key) = row.split_once('#').unwrap();
    let text = |value: &Value| match value {
        Value::Null => None,
        value => Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
    };
    let columns: BTreeMap<String, [Option<String>; 2]> = columns
        .as_object()
        .unwrap()
        .iter()
        .map(|(column, both)| (column.clone(), [text(&both[0]), text(&both[1])]))
        .collect();
    WATCH.altered(table, key, columns).unwrap()
}

/// A row of the application's history of a user.
fn history(action: &str, item: &str, target: bool, meta: Option<Value>) -> String {
    let mut columns = json!({
        "action_type": action, "item_type": "App\\Models\\User", "item_id": item, "created_by": "1", "action_source": "scim",
        "action_date": "x", "created_at": "x", "updated_at": "x", "remote_ip": "127.0.0.1",
    });
    if target {
        columns["target_type"] = json!("App\\Models\\User");
        columns["target_id"] = json!(item);
    }
    if let Some(meta) = meta {
        columns["log_meta"] = json!(meta.to_string());
    }
    new("action_logs", columns)
}

/// The meta column is JSON: the order of its keys says nothing.
fn sorted_meta(lines: BTreeSet<String>) -> BTreeSet<String> {
    let meta = regex::Regex::new(r#""log_meta": "((?:[^"\\]|\\.)*)""#).unwrap();
    lines
        .into_iter()
        .map(|line| {
            let Some(found) = meta.captures(&line) else { return line };
            let text: String = serde_json::from_str(&format!("\"{}\"", &found[1])).unwrap();
            let sorted: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
            line.replace(&found[0], &format!("log_meta {sorted:?}"))
        })
        .collect()
}

/// The one membership, as it goes.
fn membership(database: &Database) -> String {
    let all = WATCH.rows(database);
    let of_group = all.keys().find(|(table, _)| table == "users_groups").expect("a membership");
    format!("- users_groups#{}", of_group.1)
}

fn as_the_application(version: &str) {
    let Some(schema) = shared(&format!("schemas/snipe-it-{version}.sql")) else {
        println!("../shared is not here: nothing was tested");
        return;
    };
    let database = Database::create(Engine::MariaDb);
    database.load(&schema);
    database.execute(
        "INSERT INTO users (id, username, first_name, password, activated, permissions) VALUES (1, 'admin', 'Admin', 'x', 1, '{\"superuser\":\"1\"}')",
    );
    let servers =
        "{ test: { default: true, authentication: bearer, acting_user: admin, switches: { patch_answers: auto } } }";
    let service = Service::start(
        &database,
        Options::adapter("adapters/snipe-it.yaml").parameters("{ revive: externalId }").identity_servers(servers),
    );
    let mut client = service.client();
    let has_external_id = version.starts_with("8.6");
    let mut request = |what: &str, expected: &[String], request: &mut dyn FnMut(&mut Client)| {
        let before = WATCH.rows(&database);
        request(&mut client);
        let found = sorted_meta(WATCH.difference(&before, &WATCH.rows(&database)));
        let expected = sorted_meta(expected.iter().cloned().collect());
        let lines = |of: &BTreeSet<String>| of.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n");
        assert!(found == expected, "{version}, {what}:\n{}\nexpected\n{}", lines(&found), lines(&expected));
    };
    let mut group = json!({ "id": "1", "name": "Desk", "created_by": "1", "created_at": "x", "updated_at": "x" });
    if has_external_id {
        group["scim_externalid"] = json!("g-1");
    }
    request("a group", &[new("permission_groups", group)], &mut |client| {
        let mut body = client::group(" Desk ", &[]);
        body["externalId"] = json!("g-1");
        client.post("/Groups", &body).expect(201);
    });
    let body = json!({
        "externalId": "e-1",
        "name": { "givenName": "Ann", "familyName": "Lee" },
        "displayName": "Ann L.",
        "emails": [{ "type": "work", "value": "ann@example.org", "primary": true }],
        "phoneNumbers": [{ "type": "mobile", "value": "2" }, { "type": "work", "value": "1" }],
        "title": "Clerk",
        "preferredLanguage": "de",
        ENTERPRISE: { "department": "Claims", "employeeNumber": "E1" },
    });
    let made = [
        new(
            "departments",
            json!({ "id": "1", "name": "Claims", "created_by": "1", "created_at": "x", "updated_at": "x" }),
        ),
        new(
            "users",
            json!({
                "id": "2", "username": "ann", "first_name": "Ann", "last_name": "Lee", "display_name": "Ann L.",
                "email": "ann@example.org", "phone": "1", "mobile": "2", "jobtitle": "Clerk", "locale": "de-DE",
                "department_id": "1", "employee_num": "E1", "scim_externalid": "e-1", "activated": "1",
                "password": "*** NO PASSWORD ***", "created_by": "1", "created_at": "x", "updated_at": "x",
            }),
        ),
        history("create", "2", false, None),
    ];
    request("a user", &made, &mut |client| {
        assert_eq!(client.post("/Users", &client::user("ann", body.clone())).expect(201).id(), "2");
    });
    let patch =
        |operations: Value| move |client: &mut Client| drop(client.patch("/Users/2", operations.clone()).expect(200));
    let meta = json!({
        "last_name": { "old": "Lee", "new": "Liu" }, "jobtitle": { "old": "Clerk", "new": null },
        "department_id": { "old": 1, "new": null },
    });
    request(
        "columns that the application notes",
        &[
            changed(
                "users#2",
                json!({ "last_name": ["Lee", "Liu"], "jobtitle": ["Clerk", null], "department_id": ["1", null] }),
            ),
            history("update", "2", true, Some(meta)),
        ],
        &mut patch(json!([
            { "op": "replace", "path": "name.familyName", "value": "Liu" },
            { "op": "remove", "path": "title" },
            { "op": "remove", "path": format!("{ENTERPRISE}:department") },
        ])),
    );
    request(
        "columns that it does not note",
        &[changed("users#2", json!({ "display_name": ["Ann L.", "Annie"], "mobile": ["2", "3"] }))],
        &mut patch(json!([
            { "op": "replace", "path": "displayName", "value": "Annie" },
            { "op": "replace", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "3" },
        ])),
    );
    request("nothing new", &[], &mut patch(json!([{ "op": "replace", "path": "displayName", "value": "Annie" }])));
    // What the user has in other tables.
    database.execute(
        "INSERT INTO oauth_access_tokens (id, user_id, client_id, revoked) VALUES ('t1', 2, 1, 0), ('t2', 1, 1, 0);
         INSERT INTO oauth_refresh_tokens (id, access_token_id, revoked) VALUES ('r1', 't1', 0), ('r2', 't2', 0);
         INSERT INTO checkout_requests (id, user_id, requestable_id, requestable_type, quantity) VALUES (1, 2, 1, 'x', 1), (2, 1, 1, 'x', 1);",
    );
    let revoked = [
        changed("oauth_access_tokens#t1", json!({ "revoked": ["0", "1"] })),
        changed("oauth_refresh_tokens#r1", json!({ "revoked": ["0", "1"] })),
    ];
    let flag = |old: u8, new: u8| json!({ "activated": { "old": old, "new": new } });
    let mut off =
        vec![changed("users#2", json!({ "activated": ["1", null] })), history("update", "2", true, Some(flag(1, 0)))];
    off.extend(revoked.clone());
    request("deactivated", &off, &mut patch(json!([{ "op": "replace", "path": "active", "value": "False" }])));
    request(
        "activated: tokens stay revoked",
        &[changed("users#2", json!({ "activated": [null, "1"] })), history("update", "2", true, Some(flag(0, 1)))],
        &mut patch(json!([{ "op": "replace", "path": "active", "value": true }])),
    );
    let member = new("users_groups", json!({ "user_id": "2", "group_id": "1", "created_by": "1" }));
    let add = json!([{ "op": "add", "path": "members", "value": [{ "value": "2" }] }]);
    request("a member: no history", &[member], &mut |client| drop(client.patch("/Groups/1", add.clone()).expect(204)));
    request(
        "another name",
        &[changed("permission_groups#1", json!({ "name": ["Desk", "Front desk"] }))],
        &mut |client| {
            let name = json!([{ "op": "replace", "path": "displayName", "value": "Front desk" }]);
            client.patch("/Groups/1", name).expect(204);
        },
    );
    database.execute("UPDATE oauth_access_tokens SET revoked = 0; UPDATE oauth_refresh_tokens SET revoked = 0");
    let mut trashed = vec![
        changed("users#2", json!({ "deleted_at": [null, "x"] })),
        history("delete", "2", true, None),
        changed("checkout_requests#1", json!({ "deleted_at": [null, "x"], "updated_at": [null, "x"] })),
    ];
    trashed.extend(revoked);
    request("deleted: memberships and the rest stay", &trashed, &mut |client| {
        drop(client.delete("/Users/2").expect(204))
    });
    // Restored by the same person's externalId; what the request says besides is an update with its own history.
    let mut again = body;
    again["name"]["familyName"] = json!("Liu");
    again["displayName"] = json!("Annie");
    again["phoneNumbers"][0]["value"] = json!("3");
    again["title"] = Value::Null;
    again[ENTERPRISE]["department"] = Value::Null;
    let left = membership(&database);
    request(
        "restored: into no group",
        &[left, changed("users#2", json!({ "deleted_at": ["x", null] })), history("restore", "2", true, None)],
        &mut |client| assert_eq!(client.post("/Users", &client::user("ann", again.clone())).expect(201).id(), "2"),
    );
    assert_eq!(database.count("SELECT COUNT(*) FROM users_groups"), 0);
    database.execute("INSERT INTO users_groups (user_id, group_id) VALUES (2, 1)");
    let left = membership(&database);
    request("a group deleted", &["- permission_groups#1".to_owned(), left], &mut |client| {
        drop(client.delete("/Groups/1").expect(204))
    });
    real_case(&format!("snipe-it {version} rows as the application's"));
}

#[test]
fn rows_of_8_6() {
    as_the_application("8.6.3");
}

#[test]
fn rows_of_8_4() {
    as_the_application("8.4.1");
}
