//! Super-administrators of real applications agree with their own accounts; nobody else of them does.

use crate::setup::{BOSS, BOSS_HASH, Browser, asking, sent, servers};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::{real_case, shared};

/// Who may agree and who may not, by name; all have the same password.
fn agree(database: &Database, adapter: &str, may: &[&str], may_not: &[&str]) {
    let options =
        Options::adapter(adapter).identity_servers(&servers("")).more("limits: { failures_per_minute: 1000 }");
    let service = Service::start(database, options);
    let mut browser = Browser::new(&service, "test");
    for name in may {
        browser.open(&asking()).expect(200);
        assert!(sent(&browser.agree((name, BOSS.1)).expect(303)).contains_key("code"), "{name}");
        browser.open(&asking()).expect(200);
        browser.agree((name, "wrong")).expect(403);
    }
    for name in may_not {
        browser.open(&asking()).expect(200);
        let answer = browser.agree((name, BOSS.1));
        assert_eq!(answer.status, 403, "{name}");
    }
}

fn snipe_it(version: &str) {
    let Some(schema) = shared(&format!("schemas/snipe-it-{version}.sql")) else {
        println!("../shared is not here: nothing was tested");
        return;
    };
    let database = Database::create(Engine::MariaDb);
    database.load(&schema);
    let user = |name: &str, more: &str| {
        database.execute(&format!(
            "INSERT INTO users (username, first_name, password, activated) VALUES ('{name}', '{name}', '{BOSS_HASH}', 1)"
        ));
        if !more.is_empty() {
            database.execute(&format!("UPDATE users SET {more} WHERE username = '{name}'"));
        }
    };
    let superuser = "permissions = '{\"superuser\":\"1\",\"admin\":0}'";
    user("text", superuser);
    user("number", "permissions = '{\"superuser\":1}'");
    user("group", "permissions = NULL");
    user("denied", "permissions = '{\"superuser\":-1}'");
    user("admin", "permissions = '{\"admin\":\"1\"}'");
    user("person", "");
    user("inactive", &format!("{superuser}, activated = 0"));
    user("deleted", &format!("{superuser}, deleted_at = '2026-01-01 00:00:00'"));
    user("factor", &format!("{superuser}, two_factor_enrolled = 1"));
    user("ldap", &format!("{superuser}, ldap_import = 1"));
    user("nopass", &format!("{superuser}, password = '*** NO PASSWORD ***'"));
    user("twice", superuser);
    user("twice", superuser);
    database.execute(
        "INSERT INTO permission_groups (id, name, permissions) VALUES (1, 'Rulers', '{\"superuser\":\"1\"}');
         INSERT INTO users_groups (user_id, group_id) SELECT id, 1 FROM users WHERE username IN ('group', 'denied')",
    );
    agree(
        &database,
        "adapters/snipe-it.yaml",
        &["text", "number", "group", "TEXT"],
        &[
            "denied",
            "admin",
            "person",
            "inactive",
            "deleted",
            "factor",
            "ldap",
            "nopass",
            "twice",
            "nobody",
            "' OR 1=1 -- ",
        ],
    );
    real_case(&format!("super-administrators of Snipe-IT {version} agree to OAuth clients"));
}

#[test]
fn snipe_it_8_6() {
    snipe_it("8.6.3");
}

#[test]
fn snipe_it_8_4() {
    snipe_it("8.4.1");
}

/// Of GLPI's 390 tables those that the adapter and the seed speak of.
const GLPI: [&str; 15] = [
    "glpi_users",
    "glpi_useremails",
    "glpi_profiles_users",
    "glpi_groups",
    "glpi_groups_users",
    "glpi_usertitles",
    "glpi_usercategories",
    "glpi_alerts",
    "glpi_logs",
    "glpi_configs",
    "glpi_entities",
    "glpi_groups_tickets",
    "glpi_locations",
    "glpi_profilerights",
    "glpi_profiles",
];

fn glpi(version: &str) {
    let path = |name: &str| shared(&format!("schemas/glpi-{name}.sql"));
    let (Some(own), Some(older), Some(seed)) = (path(version), path("10.0.19"), path(&format!("{version}-seed")))
    else {
        println!("../shared is not here: nothing was tested");
        return;
    };
    let database = Database::create(Engine::MariaDb);
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("the schema");
    let (own, older) = (read(&own), read(&older));
    // The dump of 11.0 holds the tables of identity alone; the others that adapter and seed speak of are as before.
    for table in GLPI {
        let create = |schema: &str| {
            let found = schema.split("CREATE TABLE `").find(|part| part.starts_with(&format!("{table}`")))?;
            Some(format!("CREATE TABLE `{};", &found[..found.find(";\n")?]))
        };
        database.execute(&create(&own).or_else(|| create(&older)).expect(table));
    }
    database.load(&seed);
    database.execute(
        "INSERT INTO glpi_configs (context, name, value) VALUES ('core', 'system_user', '6');
         INSERT INTO glpi_profilerights (profiles_id, name, rights) VALUES (4, 'profile', 23), (6, 'profile', 1);",
    );
    let user = |name: &str, profile: u32, entity: u32, recursive: u8, more: &str| {
        database.execute(&format!(
            "INSERT INTO glpi_users (name, password, authtype, is_active) VALUES ('{name}', '{BOSS_HASH}', 1, 1);
             INSERT INTO glpi_profiles_users (users_id, profiles_id, entities_id, is_recursive)
             SELECT id, {profile}, {entity}, {recursive} FROM glpi_users WHERE name = '{name}'"
        ));
        if !more.is_empty() {
            database.execute(&format!("UPDATE glpi_users SET {more} WHERE name = '{name}'"));
        }
    };
    user("super", 4, 0, 1, "");
    user("dated", 4, 0, 1, "begin_date = '2020-01-01 00:00:00', end_date = '2037-01-01 00:00:00'");
    user("local", 4, 0, 0, "");
    user("elsewhere", 4, 1, 1, "");
    user("selfservice", 1, 0, 1, "");
    user("technician", 6, 0, 1, "");
    user("inactive", 4, 0, 1, "is_active = 0");
    user("trashed", 4, 0, 1, "is_deleted = 1");
    user("ldap", 4, 0, 1, "authtype = 3");
    user("early", 4, 0, 1, "begin_date = '2037-01-01 00:00:00'");
    user("late", 4, 0, 1, "end_date = '2020-01-01 00:00:00'");
    let mut may_not =
        vec!["local", "elsewhere", "selfservice", "technician", "inactive", "trashed", "ldap", "early", "late"];
    if version.starts_with("11") {
        user("factor", 4, 0, 1, "`2fa` = '{\"secret\":\"x\"}'");
        may_not.push("factor");
    }
    agree(&database, "adapters/glpi.yaml", &["super", "dated"], &may_not);
    real_case(&format!("super-administrators of GLPI {version} agree to OAuth clients"));
}

#[test]
fn glpi_10() {
    glpi("10.0.19");
}

#[test]
fn glpi_11() {
    glpi("11.0.7");
}
