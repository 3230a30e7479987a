//! The rows that scimshim leaves in GLPI's own schema, beside those that GLPI's own classes wrote for the same change
//! (`../shared/facts/glpi-trace-10.0.19.txt`): column by column, table by table.
//!
//! What may differ is said here and nowhere else:
//! - keys that the database gives out where they are nobody's reference: of histories and of roles;
//! - instants, and hashes of passwords: that there is one is compared;
//! - `glpi_users.sync_field`: the client's externalId is kept in scimshim's own tables.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::client::{self, Client};
use crate::support::databases::{Database, Engine};
use crate::support::replay::replay;
use crate::support::service::{Options, Service};
use crate::support::{real_case, shared};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

const TABLES: [&str; 9] = [
    "glpi_users",
    "glpi_useremails",
    "glpi_profiles_users",
    "glpi_groups",
    "glpi_groups_users",
    "glpi_usertitles",
    "glpi_usercategories",
    "glpi_alerts",
    "glpi_logs",
];

/// Tables that are read, or that no comparison concerns.
const BESIDE: [&str; 6] =
    ["glpi_configs", "glpi_entities", "glpi_groups_tickets", "glpi_locations", "glpi_profilerights", "glpi_profiles"];

const INSTANTS: [&str; 4] = ["date_mod", "date_creation", "password_last_update", "last_login"];

/// A row by its columns; NULL is not there.
type Line = BTreeMap<String, String>;

/// Every row of every table, by its key.
type Rows = BTreeMap<(String, u64), Line>;

fn rows(database: &Database) -> Rows {
    let mut all = Rows::new();
    for table in TABLES {
        let columns: Vec<String> = database
            .rows(&format!(
                "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{}' AND TABLE_NAME = '{table}' ORDER BY ORDINAL_POSITION",
                database.name
            ))
            .into_iter()
            .filter_map(|row| row[0].clone())
            .collect();
        let list = columns.iter().map(|column| format!("`{column}`")).collect::<Vec<_>>().join(", ");
        for row in database.rows(&format!("SELECT {list} FROM {table}")) {
            let line: Line =
                columns.iter().zip(row).filter_map(|(column, value)| Some((column.clone(), value?))).collect();
            let id = line["id"].parse().expect("a key");
            all.insert((table.to_owned(), id), line);
        }
    }
    all
}

/// What became of the rows, one line each, without what may differ.
fn difference(before: &Rows, after: &Rows) -> BTreeSet<String> {
    let mut lines = Vec::new();
    for ((table, id), row) in after {
        match before.get(&(table.clone(), *id)) {
            None => lines.push(added(table, row.clone())),
            Some(old) => {
                let keys: BTreeSet<&String> = old.keys().chain(row.keys()).collect();
                let changed = keys.into_iter().filter(|key| old.get(*key) != row.get(*key));
                let changed: BTreeMap<String, [Option<String>; 2]> =
                    changed.map(|key| (key.clone(), [old.get(key).cloned(), row.get(key).cloned()])).collect();
                lines.extend(altered(table, *id, changed));
            }
        }
    }
    lines.extend(before.iter().filter(|(key, _)| !after.contains_key(*key)).map(|((table, id), row)| {
        // A history row is known by what it says: its key is one of those that may differ.
        match table.as_str() {
            "glpi_logs" => format!("- {table} {}", plain(table, row.clone())),
            _ => format!("- {table}#{id}"),
        }
    }));
    // Doubles count.
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines {
        *counted.entry(line).or_default() += 1;
    }
    counted.into_iter().map(|(line, times)| if times > 1 { format!("{times} x {line}") } else { line }).collect()
}

fn added(table: &str, row: Line) -> String {
    format!("+ {table} {}", plain(table, row))
}

fn plain(table: &str, mut row: Line) -> String {
    if matches!(table, "glpi_logs" | "glpi_profiles_users") {
        row.remove("id");
    }
    if table == "glpi_users" {
        row.remove("sync_field");
    }
    for (column, value) in &mut row {
        if INSTANTS.contains(&column.as_str()) {
            *value = "an instant".to_owned();
        }
        if column == "password" && value.starts_with("$2y$10$") {
            *value = "a hash".to_owned();
        }
    }
    format!("{row:?}")
}

fn altered(table: &str, id: u64, mut changed: BTreeMap<String, [Option<String>; 2]>) -> Option<String> {
    changed.retain(|column, _| !INSTANTS.contains(&column.as_str()));
    if changed.contains_key("password") {
        changed.insert("password".to_owned(), [None, Some("another hash".to_owned())]);
    }
    (!changed.is_empty()).then(|| format!("~ {table}#{id} {changed:?}"))
}

/// The sections of the trace, as lines of the same kind.
struct Trace {
    sections: BTreeMap<String, Vec<String>>,
    /// What each history row said, by its key there.
    logs: BTreeMap<u64, Line>,
}

impl Trace {
    fn read(text: &str) -> Trace {
        let mut trace = Trace { sections: BTreeMap::new(), logs: BTreeMap::new() };
        let mut section = String::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("=== ") {
                section = title.trim().to_owned();
                trace.sections.insert(section.clone(), Vec::new());
            } else if let Some(what) = line.strip_prefix("  ") {
                let line = trace.line(what.trim());
                trace.sections.entry(section.clone()).or_default().extend(line);
            }
        }
        trace
    }

    fn line(&mut self, what: &str) -> Option<String> {
        let text = |value: &Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let (sign, rest) = what.split_at(2);
        match sign {
            "+ " => {
                let (table, json) = rest.split_once(' ').expect("a row");
                let row: BTreeMap<String, Value> = serde_json::from_str(json).expect("JSON");
                let row: Line = row.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect();
                if table == "glpi_logs" {
                    self.logs.insert(row["id"].parse().expect("a key"), row.clone());
                }
                Some(added(table, row))
            }
            "~ " => {
                let (table, json) = rest.split_once(' ').expect("a change");
                let (table, id) = table.split_once('#').expect("a key");
                let changed: BTreeMap<String, [Value; 2]> = serde_json::from_str(json).expect("JSON");
                let changed = changed.iter().map(|(key, [old, new])| (key.clone(), [text(old), text(new)])).collect();
                altered(table, id.parse().expect("a key"), changed)
            }
            "- " => {
                let (table, id) = rest.split_once('#').expect("a key");
                match table {
                    "glpi_logs" => {
                        let row = self.logs[&id.parse().expect("a key")].clone();
                        Some(format!("- {table} {}", plain(table, row)))
                    }
                    _ => Some(format!("- {table}#{id}")),
                }
            }
            _ => panic!("{what}"),
        }
    }

    fn of(&self, titles: &[&str]) -> BTreeSet<String> {
        let of = |title: &&str| self.sections.get(*title).unwrap_or_else(|| panic!("no section {title}")).clone();
        titles.iter().flat_map(of).collect()
    }
}

/// A fresh GLPI with the rows of its installer; `None` where the schemas are not at hand.
fn fresh(version: &str) -> Option<Database> {
    let (schema, seed) =
        (shared(&format!("schemas/glpi-{version}.sql"))?, shared(&format!("schemas/glpi-{version}-seed.sql"))?);
    let database = Database::create(Engine::MariaDb);
    let text = |path: &std::path::Path| std::fs::read_to_string(path).expect("the schema");
    // The dump of 11.0 holds the tables of identity alone; the others that the adapter speaks of are as before.
    let (own, older) = (text(&schema), text(&shared("schemas/glpi-10.0.19.sql")?));
    // Of 390 tables those that the adapter and the seed speak of.
    for table in TABLES.iter().chain(&BESIDE) {
        let create = |schema: &str| {
            let found = schema.split("CREATE TABLE `").find(|part| part.starts_with(&format!("{table}`")))?;
            Some(format!("CREATE TABLE `{};", &found[..found.find(";\n")?]))
        };
        database.execute(&create(&own).or_else(|| create(&older)).expect(table));
    }
    database.load(&seed);
    database.execute(
        "INSERT INTO glpi_configs (context, name, value) VALUES ('core', 'system_user', '6');
         INSERT INTO glpi_profilerights (profiles_id, name, rights) VALUES (4, 'profile', 23);
         UPDATE glpi_users SET is_active = 1;",
    );
    Some(database)
}

/// A captured dialogue of an identity provider; the rows of the installer are outside its scope.
fn dialogue(version: &str, name: &str) {
    let (Some(database), Some(dialogue)) = (fresh(version), shared(&format!("idp/{name}.yaml"))) else {
        println!("../shared is not here: nothing was tested");
        return;
    };
    let servers = "{ test: { default: true, authentication: bearer, acting_user: glpi, scope: { User: { id: { gt: 6 } }, Group: {} } } }";
    let service = Service::start(&database, options("{ entity: 0 }").identity_servers(servers));
    replay(&dialogue, &mut service.client().anonymous(), service.token()).expect_green(&dialogue);
    // Each user that is left can log in: a profile, and one default address at most.
    let bare = "SELECT COUNT(*) FROM glpi_users u WHERE id > 6 AND NOT EXISTS (SELECT 1 FROM glpi_profiles_users p WHERE p.users_id = u.id)";
    assert_eq!(database.count(bare), 0);
    let defaults =
        "SELECT COUNT(*) FROM (SELECT users_id FROM glpi_useremails GROUP BY users_id HAVING SUM(is_default) <> 1) x";
    assert_eq!(database.count(defaults), 0);
    real_case(&format!("glpi {version} {name}"));
}

#[test]
fn dialogues_on_glpi_10() {
    for name in ["entra_optscim", "okta_aiw", "authentik"] {
        dialogue("10.0.19", name);
    }
}

#[test]
fn dialogues_on_glpi_11() {
    for name in ["entra_optscim", "okta_aiw", "authentik"] {
        dialogue("11.0.7", name);
    }
}

fn options(parameters: &str) -> Options {
    Options::adapter("adapters/glpi.yaml").parameters(parameters).identity_servers(
        "{ test: { default: true, authentication: bearer, acting_user: glpi, switches: { patch_answers: auto } } }",
    )
}

struct Comparison<'a> {
    database: &'a Database,
    trace: &'a Trace,
    client: Client,
}

impl Comparison<'_> {
    /// What a request leaves behind is what the trace has in these sections.
    #[track_caller]
    fn as_traced(&mut self, titles: &[&str], request: impl FnOnce(&mut Client)) {
        let before = rows(self.database);
        request(&mut self.client);
        let found = difference(&before, &rows(self.database));
        let expected = self.trace.of(titles);
        assert!(!expected.is_empty(), "{titles:?}: the trace has nothing to compare with");
        let list = |of: &BTreeSet<String>, not: &BTreeSet<String>| {
            of.difference(not).map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
        };
        assert!(
            found == expected,
            "{titles:?}\nGLPI itself wrote besides:\n{}\nscimshim wrote besides:\n{}",
            list(&expected, &found),
            list(&found, &expected)
        );
    }
}

#[test]
fn rows_as_glpi_10_writes_them() {
    let (Some(database), Some(trace)) = (fresh("10.0.19"), shared("facts/glpi-trace-10.0.19.txt")) else {
        println!("../shared is not here: nothing was tested");
        return;
    };
    let trace = Trace::read(&std::fs::read_to_string(trace).expect("the trace"));
    let service =
        Service::start(&database, options("{ passwords: true, super_admin: 99, role_recursive: 1, titles: create }"));
    let mut glpi = Comparison { database: &database, trace: &trace, client: service.client() };
    glpi.as_traced(&["group add top"], |client| {
        client.post("/Groups", &client::group("R&D <core>", &[])).expect(201);
    });
    // Groups below others and places are the application's to make.
    database.execute(
        "INSERT INTO glpi_groups (id, entities_id, is_recursive, name, groups_id, completename, level, ancestors_cache)
            VALUES (2, 0, 1, 'Kernel', 1, 'R&#38;D &#60;core&#62; > Kernel', 2, '{\"1\":1}');
         INSERT INTO glpi_locations (id, is_recursive, name, locations_id, completename, level) VALUES
            (1, 1, 'France', 0, 'France', 1), (2, 1, 'Paris', 1, 'France > Paris', 2);",
    );
    let john = |mails: Value, more: Value| {
        let mut body = client::user(
            "jdoe",
            json!({
                "externalId": "ext-1",
                "name": { "familyName": "O'Doe & Co", "givenName": "John" },
                "title": "Ingénieur R&D",
                "preferredLanguage": "fr-FR",
                "phoneNumbers": [{ "type": "work", "value": "1" }, { "type": "mobile", "value": "2" }, { "type": "other", "value": "3" }],
                "addresses": [{ "type": "work", "formatted": "France > Paris" }],
                "emails": mails,
                ENTERPRISE: { "employeeNumber": "E1", "manager": { "value": "2" } },
            }),
        );
        body.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        body
    };
    let mails = json!([{ "value": "a@example.org" }, { "value": "b@example.org", "primary": true }]);
    glpi.as_traced(&["title import", "user add id=7"], |client| {
        let created = client.post("/Users", &john(mails, json!({ "password": "Secret-1" }))).expect(201);
        assert_eq!(created.id(), "7");
        let shown = created.json();
        assert_eq!(shown["displayName"], "O'Doe & Co John", "{shown}");
        assert_eq!(shown["roles"][0]["value"], "Self-Service@Root entity", "{shown}");
    });
    glpi.as_traced(&["user add minimal"], |client| {
        client.post("/Users", &client::user("min", json!({}))).expect(201);
    });
    let member = |op: &str, id: &str| match op {
        "remove" => json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]),
        op => json!([{ "op": op, "path": "members", "value": [{ "value": id }] }]),
    };
    glpi.as_traced(&["group_user add"], |client| {
        client.patch("/Groups/1", member("add", "7")).expect(204);
    });
    let mut change = |titles: &[&str], operations: Value| {
        glpi.as_traced(titles, |client| {
            client.patch("/Users/7", operations).expect(200);
        });
    };
    change(
        &["user update phone+language=default+title 0"],
        json!([
            { "op": "replace", "path": r#"phoneNumbers[type eq "work"].value"#, "value": "99" },
            { "op": "remove", "path": "preferredLanguage" },
            { "op": "remove", "path": "title" },
        ]),
    );
    change(&["deactivate"], json!([{ "op": "replace", "path": "active", "value": false }]));
    change(&["activate"], json!([{ "op": "replace", "value": { "active": "True" } }]));
    change(&["rename"], json!([{ "op": "replace", "path": "userName", "value": "jdoe2" }]));
    let of = |address: &str| format!("emails[value eq \"{address}\"]");
    change(
        &["email change"],
        json!([{ "op": "replace", "path": of("a@example.org") + ".value", "value": "c@example.org" }]),
    );
    change(&["email delete (default)"], json!([{ "op": "remove", "path": of("c@example.org") }]));
    change(
        &["profile add"],
        json!([{ "op": "add", "path": "roles", "value": [{ "value": "Super-Admin@Root entity" }] }]),
    );
    change(&["password"], json!([{ "op": "replace", "path": "password", "value": "Secret-2" }]));
    let before = rows(&database);
    glpi.as_traced(&["user trash"], |client| {
        client.delete("/Users/7").expect(204);
        client.get("/Users/7").expect(404);
    });
    glpi.as_traced(&["user restore"], |client| {
        let again = json!({
            "userName": "jdoe2",
            "title": null,
            "preferredLanguage": null,
            "phoneNumbers": [{ "type": "work", "value": "99" }, { "type": "mobile", "value": "2" }, { "type": "other", "value": "3" }],
            "roles": [{ "value": "Super-Admin" }],
        });
        let restored = client.post("/Users", &john(json!([{ "value": "b@example.org", "primary": true }]), again)).expect(201);
        assert_eq!(restored.id(), "7");
    });
    assert_eq!(
        before.iter().filter(|((table, _), _)| table != "glpi_logs" && table != "glpi_users").collect::<Vec<_>>(),
        rows(&database)
            .iter()
            .filter(|((table, _), _)| table != "glpi_logs" && table != "glpi_users")
            .collect::<Vec<_>>(),
    );
    glpi.as_traced(&["group_user delete"], |client| {
        client.patch("/Groups/1", member("remove", "7")).expect(204);
    });
    database.execute("ALTER TABLE glpi_groups_users AUTO_INCREMENT = 2");
    glpi.as_traced(&["group_user re-add"], |client| {
        client.patch("/Groups/1", member("add", "7")).expect(204);
    });
    glpi.as_traced(&["group rename"], |client| {
        client.patch("/Groups/1", json!([{ "op": "replace", "path": "displayName", "value": "RnD" }])).expect(204);
    });
    glpi.as_traced(&["group_user u2"], |client| {
        client.patch("/Groups/1", member("add", "8")).expect(204);
    });
    real_case("glpi 10.0.19 rows as traced");
}

/// What no trace shows: refusals, and rows that belong to others.
fn guarded(version: &str) {
    let Some(database) = fresh(version) else {
        println!("../shared is not here: nothing was tested");
        return;
    };
    let service = Service::start(&database, options("{ titles: reject }"));
    let mut client = service.client();
    let all = |database: &Database| rows(database);
    // The system's own account does not exist, the account `glpi` is not changed, the last who rules stays.
    client.get("/Users/6").expect(404);
    client.patch("/Users/2", json!([{ "op": "replace", "path": "active", "value": false }])).expect(403);
    let id =
        client.post("/Users", &client::user("ada", json!({ "roles": [{ "value": "Technician" }] }))).expect(201).id();
    let path = format!("/Users/{id}");
    let role = "SELECT profiles_id, entities_id, is_recursive, is_dynamic, is_default_profile FROM glpi_profiles_users WHERE users_id = ";
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(database.rows(&format!("{role}{id}")), [["6", "0", "0", "0", "0"].map(text)]);
    // Super-Admin is not shown, not given, and not taken away.
    database.execute(&format!(
        "INSERT INTO glpi_profiles_users (users_id, profiles_id, entities_id, is_recursive, is_dynamic) VALUES ({id}, 4, 0, 1, 0), ({id}, 1, 0, 0, 1);
         INSERT INTO glpi_useremails (users_id, email, is_dynamic, is_default) VALUES ({id}, 'ldap@x.org', 1, 1)"
    ));
    let before = all(&database);
    let give = |role: &str| json!([{ "op": "add", "path": "roles", "value": [{ "value": role }] }]);
    client.patch(&path, give("Super-Admin")).expect_error(400, Some("invalidValue"), "Super-Admin");
    client.patch(&path, give("Technician")).expect(200);
    client.patch(&path, give("Technician@Root entity")).expect(200);
    client.patch(&path, json!([{ "op": "replace", "path": "title", "value": "CTO" }])).expect_error(
        400,
        Some("invalidValue"),
        "CTO",
    );
    client.patch(&path, json!([{ "op": "remove", "path": "emails" }])).expect(200);
    assert_eq!(all(&database), before);
    let emptied = client.put(&path, &client::user("ada", json!({ "roles": [] }))).expect(200).json();
    assert_eq!(emptied["roles"], json!([{ "value": "Self-Service@Root entity" }]), "{emptied}");
    assert_eq!(
        database.rows(&format!("{role}{id} ORDER BY id")),
        [["4", "0", "1", "0", "0"].map(text), ["1", "0", "0", "1", "0"].map(text)]
    );
    let filter = |client: &mut Client, filter: &str| {
        client.get(&format!("/Users?filter={}", client::encode(filter))).expect(200).json()["totalResults"].clone()
    };
    assert_eq!(filter(&mut client, r#"emails eq "LDAP@x.org""#), 1);
    assert_eq!(filter(&mut client, r#"roles eq "Self-Service" and userName eq "ada""#), 1);
    assert_eq!(filter(&mut client, r#"roles co "Super-Admin""#), 0);
    // The one who rules besides `glpi` may go; were there no other, not.
    database.execute("UPDATE glpi_users SET is_active = 0 WHERE id = 2");
    client.patch(&path, json!([{ "op": "replace", "path": "active", "value": false }])).expect_error(
        403,
        None,
        "the last active super-administrator",
    );
    client.delete(&path).expect_error(409, None, "the last super-administrator");
    database.execute("UPDATE glpi_users SET is_active = 1 WHERE id = 2");
    // A group still named on a ticket stays; else it is taken out of every use, and comes back under its id.
    let group = client.post("/Groups", &client::group("Desk", &[&id])).expect(201).id();
    database.execute(&format!("INSERT INTO glpi_groups_tickets (tickets_id, groups_id, type) VALUES (1, {group}, 2)"));
    client.delete(&format!("/Groups/{group}")).expect_error(409, None, "still named on 1 tickets");
    database.execute("DELETE FROM glpi_groups_tickets");
    client.delete(&format!("/Groups/{group}")).expect(204);
    assert_eq!(database.count("SELECT COUNT(*) FROM glpi_groups_users"), 0);
    assert_eq!(database.count("SELECT is_usergroup + is_assign FROM glpi_groups"), 0);
    assert_eq!(client.post("/Groups", &client::group("Desk", &[])).expect(201).id(), group);
    assert_eq!(database.count("SELECT is_usergroup + is_assign FROM glpi_groups"), 2);
    client.delete(&path).expect(204);
    client.get(&path).expect(404);
    real_case(&format!("glpi {version} guards"));
}

#[test]
fn guards_of_glpi_10() {
    guarded("10.0.19");
}

#[test]
fn guards_of_glpi_11() {
    guarded("11.0.7");
}
