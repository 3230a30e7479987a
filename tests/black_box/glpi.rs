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
use crate::support::difference::{Line, Watch};
use crate::support::journal;
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

const WATCH: Watch = Watch {
    tables: &TABLES,
    unnamed: &["glpi_logs", "glpi_profiles_users"],
    without: &[("glpi_users", "sync_field")],
    instants: &["date_mod", "date_creation", "password_last_update", "last_login"],
    defaults: true,
};

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
                Some(WATCH.added(table, row))
            }
            "~ " => {
                let (table, json) = rest.split_once(' ').expect("a change");
                let (table, id) = table.split_once('#').expect("a key");
                let changed: BTreeMap<String, [Value; 2]> = serde_json::from_str(json).expect("JSON");
                let changed = changed.iter().map(|(key, [old, new])| (key.clone(), [text(old), text(new)])).collect();
                WATCH.altered(table, id, changed)
            }
            "- " => {
                let (table, id) = rest.split_once('#').expect("a key");
                match table {
                    "glpi_logs" => {
                        let row = self.logs[&id.parse().expect("a key")].clone();
                        Some(WATCH.removed(table, id, row))
                    }
                    _ => Some(WATCH.removed(table, id, Line::new())),
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

/// Every dialogue of an identity provider, captured or ours; the rows of the installer are outside its scope.
fn dialogues(version: &str) {
    let mut problems = Vec::new();
    for dialogue in super::dialogues::all() {
        let Some(database) = fresh(version) else {
            println!("../shared is not here: nothing was tested");
            return;
        };
        let servers = "{ test: { default: true, authentication: bearer, acting_user: glpi, scope: { User: { id: { gt: 6 } }, Group: {} }, switches: { patch_answers: auto } } }";
        let service = Service::start(&database, options("{ entity: 0 }").identity_servers(servers));
        let tables = journal::Tables::of(&database);
        let outcome = replay(&dialogue, &mut service.client().anonymous(), service.token());
        let name = dialogue.file_stem().unwrap_or_default().display().to_string();
        if !outcome.failures.is_empty() {
            problems.push(format!("{name}\n{}", outcome.failures.join("\n")));
            continue;
        }
        journal::must_agree(tables, &database, &service);
        // Each user that is left can log in: a profile, and one default address at most.
        let bare = "SELECT COUNT(*) FROM glpi_users u WHERE id > 6 AND NOT EXISTS (SELECT 1 FROM glpi_profiles_users p WHERE p.users_id = u.id)";
        assert_eq!(database.count(bare), 0, "{name}");
        let defaults = "SELECT COUNT(*) FROM (SELECT users_id FROM glpi_useremails GROUP BY users_id HAVING SUM(is_default) <> 1) x";
        assert_eq!(database.count(defaults), 0, "{name}");
        real_case(&format!("glpi {version} {name}"));
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn dialogues_on_glpi_10() {
    dialogues("10.0.19");
}

#[test]
fn dialogues_on_glpi_11() {
    dialogues("11.0.7");
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
    compared: BTreeSet<String>,
}

/// Sections of the trace that no request makes, and why.
const NOT_OFFERED: [(&str, &str); 5] = [
    (
        "group_user is_manager",
        "SCIM has no word for the manager of a group: the flag is the application's, and a membership that stays keeps it",
    ),
    ("group add child", "new groups stand at the top: where a group stands in the tree is the application's to say"),
    ("location import id=2", "places are found, not made"),
    ("user purge", "a DELETE is the trash: GLPI's purge touches 97 columns of 70 tables"),
    (
        "group delete (is purge)",
        "a DELETE takes the group out of every use: GLPI's purge touches 50 columns of 39 tables",
    ),
];

impl Comparison<'_> {
    /// What a request leaves behind is what the trace has in these sections.
    #[track_caller]
    fn as_traced(&mut self, titles: &[&str], request: impl FnOnce(&mut Client)) {
        let before = WATCH.rows(self.database);
        request(&mut self.client);
        let found = WATCH.difference(&before, &WATCH.rows(self.database));
        let expected = self.trace.of(titles);
        // Setting the default address that it is already writes nothing there, nor here.
        assert!(
            !expected.is_empty() || titles == ["email default"],
            "{titles:?}: the trace has nothing to compare with"
        );
        self.compared.extend(titles.iter().map(|title| (*title).to_owned()));
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
        Service::start(&database, options("{ passwords: true, super_admin: 99, role_recursive: 1, titles: create}"));
    let mut glpi =
        Comparison { database: &database, trace: &trace, client: service.client(), compared: BTreeSet::new() };
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
    // Who logs in through single sign-on.
    let external = Service::start(&database, options("{ authtype: 4, super_admin: 99, role_recursive: 1 }"));
    let mut elsewhere = external.client();
    glpi.as_traced(&["user add external with profile"], |_| {
        let made = elsewhere.post("/Users", &client::user("ext", json!({ "roles": [{ "value": "Technician" }] })));
        assert_eq!(made.expect(201).id(), "9");
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
    change(&["email default"], json!([{ "op": "replace", "path": of("b@example.org") + ".primary", "value": true }]));
    change(&["email delete (default)"], json!([{ "op": "remove", "path": of("c@example.org") }]));
    change(
        &["profile add"],
        json!([{ "op": "add", "path": "roles", "value": [{ "value": "Super-Admin@Root entity" }] }]),
    );
    change(&["password"], json!([{ "op": "replace", "path": "password", "value": "Secret-2" }]));
    let before = WATCH.rows(&database);
    let stays = |table: &str| !["glpi_logs", "glpi_users", "glpi_groups_users"].contains(&table);
    glpi.as_traced(&["user trash"], |client| {
        client.delete("/Users/7").expect(204);
        client.get("/Users/7").expect(404);
    });
    // Whoever is made again has the groups of before no more.
    glpi.as_traced(&["user restore", "group_user delete"], |client| {
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
        before.iter().filter(|((table, _), _)| stays(table)).collect::<Vec<_>>(),
        WATCH.rows(&database).iter().filter(|((table, _), _)| stays(table)).collect::<Vec<_>>(),
    );
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
    let listed: BTreeSet<String> = NOT_OFFERED.iter().map(|(title, _)| (*title).to_owned()).collect();
    let all: BTreeSet<String> = trace.sections.keys().cloned().collect();
    assert_eq!(
        glpi.compared.union(&listed).cloned().collect::<BTreeSet<_>>(),
        all,
        "each section is compared or listed"
    );
    assert!(glpi.compared.is_disjoint(&listed));
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
    let all = |database: &Database| WATCH.rows(database);
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
    // A name is one person's, whatever the way to log in, the case, accents and spaces; that of a trashed one comes back.
    database.execute("INSERT INTO glpi_users (name, authtype) VALUES ('bob', 4), ('rené', 1)");
    for taken in ["bob", "BOB", "bob ", "rene", "René"] {
        let answer = client.post("/Users", &client::user(taken, json!({})));
        answer.expect_error(409, Some("uniqueness"), "userName");
    }
    assert_eq!(client.post("/Users", &client::user("ADA", json!({}))).expect(201).id(), id);
    for (name, word) in [("a+b", "userName"), ("a\\b", "userName"), (&*"x".repeat(256), "255")] {
        client.post("/Users", &client::user(name, json!({}))).expect_error(400, Some("invalidValue"), word);
    }
    client.post("/Users", &client::user("a+b@example.org", json!({}))).expect(201);
    // A wall clock without T and Z, as strict mode wants it.
    let dates = "SELECT COUNT(*) FROM glpi_users WHERE name = 'a+b@example.org' AND date_creation > '2020-01-01 00:00:00' AND date_mod = date_creation";
    assert_eq!(database.count(dates), 1);
    // One default address at a time, and no history of which.
    let mails = json!([{ "value": "a@x.org" }, { "value": "b@x.org", "primary": true }]);
    let made = client.post("/Users", &client::user("eva", json!({ "emails": mails }))).expect(201).id();
    let before = all(&database);
    let first = json!([{ "op": "replace", "path": "emails[value eq \"a@x.org\"].primary", "value": true }]);
    client.patch(&format!("/Users/{made}"), first).expect(200);
    let row = |address: &str| {
        database.count(&format!("SELECT id FROM glpi_useremails WHERE users_id = {made} AND email = '{address}'"))
    };
    let changed = |id: i64, from: &str, to: &str| {
        format!("~ glpi_useremails#{id} {:?}", BTreeMap::from([("is_default", [Some(from), Some(to)])]))
    };
    let expected = BTreeSet::from([changed(row("a@x.org"), "0", "1"), changed(row("b@x.org"), "1", "0")]);
    assert_eq!(WATCH.difference(&before, &all(&database)), expected);
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
