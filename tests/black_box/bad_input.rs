//! What cannot be done is refused with the right error, and no table is any different afterwards: values that a column cannot
//! hold, lookups that find two rows, references and members that are not there or not in the scope, statements beside a
//! change that fail half-way.

use serde_json::{Value, json};

use crate::support::client::{self, Answer, Client};
use crate::support::databases::{Database, Engine, Row};
use crate::support::service::{Options, Service};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const OWN: &str = "urn:example:strict:2.0:User";

const ADAPTER: &str = r#"
adapter: strict
extends: SMALL
resources:
  User:
    protected: null
    attributes:
      userType: { column: kind, type: { enum: { Person: person, Robot: robot } } }
      urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:
        department: { lookup: { ambiguous: reject, missing: create } }
      urn:example:strict:2.0:User:
        grade: { column: manager_id, type: integer, mutability: readOnly }
        floor: { column: badge, type: { text: { trim: true } }, pattern: "^[0-9]+$", min: 1, max: 3 }
        since: { column: updated_at, type: datetime, mutability: readOnly }
    update:
      then:
        - insert: history
          values: { person_id: "${id}", what: update, at: "${now}" }
        - insert: equipment
          when: { title: { becomes: fails } }
          values: { holder_id: "${id}", label: "one" }
        - insert: memberships
          when: { title: { becomes: fails } }
          values: { team_id: 1, person_id: "${id}" }
        - insert: memberships
          when: { title: { becomes: fails } }
          values: { team_id: 1, person_id: "${id}" }
    delete:
      then:
        - insert: history
          values: { person_id: "${id}", what: delete, at: "${now}" }
        - insert: memberships
          when: { title: stays }
          values: { team_id: 1, person_id: "${id}" }
        - insert: memberships
          when: { title: stays }
          values: { team_id: 1, person_id: "${id}" }
  Group:
    attributes:
      members:
        link:
          added:
            - { insert: history, values: { person_id: "${each.person_id}", what: joined, at: "${now}" } }
            - { insert: departments, when: { name: Doomed }, values: { id: 1, name: "taken already" } }
"#;

const TABLES: [&str; 6] = ["people", "departments", "teams", "memberships", "equipment", "history"];

struct House {
    database: Database,
    service: Service,
}

fn house(engine: Engine) -> House {
    let database = Database::small(engine);
    database.execute(
        "INSERT INTO departments (id, name) VALUES (1, 'Twice'), (2, 'Twice'), (3, 'Once');
         INSERT INTO teams (id, name) VALUES (1, 'Team'), (2, 'Doomed');
         INSERT INTO people (id, login, given, enabled, badge, title) VALUES (1, 'ann', 'Ann', 1, '1', NULL),
            (2, 'bob', 'Bob', 1, '2', 'stays'), (3, 'out', 'Out', 1, '900', NULL)",
    );
    if engine == Engine::Postgres {
        for table in ["departments", "teams", "people"] {
            database.execute(&format!("ALTER TABLE {table} ALTER COLUMN id RESTART WITH 10"));
        }
    }
    let small = crate::support::file("tests/adapters/small.yaml");
    let adapter = ADAPTER.replace("SMALL", &small.display().to_string());
    let servers =
        "{ test: { default: true, authentication: bearer, scope: { User: { badge: { not: '900' } }, Group: {} } } }";
    let service = Service::start(&database, Options::written(adapter).identity_servers(servers));
    House { database, service }
}

impl House {
    fn tables(&self) -> Vec<Vec<Row>> {
        TABLES.iter().map(|table| self.database.table(table)).collect()
    }

    /// Refused so, and nothing is any different.
    #[track_caller]
    fn refuses(&self, status: u16, scim_type: Option<&str>, word: &str, request: impl FnOnce(&mut Client) -> Answer) {
        let before = self.tables();
        let answer = request(&mut self.service.client());
        answer.expect_error(status, scim_type, word);
        for (table, (before, after)) in TABLES.iter().zip(before.iter().zip(self.tables())) {
            assert_eq!(*before, after, "{:?}: {table} after {status} {word}", self.database.engine);
        }
        // Nor is anything of it left in scimshim's own tables.
        let own = self.database.own_tables();
        assert_eq!(self.database.count(&format!("SELECT COUNT(*) FROM {own}claims")), 0);
    }
}

fn bad_input(engine: Engine) {
    let house = house(engine);
    let replace = |path: &str, value: Value| json!([{ "op": "replace", "path": path, "value": value }]);
    let invalid = Some("invalidValue");
    // A value that a column cannot hold: by PATCH, by PUT and by POST.
    let long = |length: usize| "x".repeat(length);
    for (path, value, word) in [
        ("title", json!(long(101)), "longer than 100 characters"),
        ("userName", json!(long(101)), "longer than 100 characters"),
        ("title", json!({ "value": "t" }), "title"),
        ("title", json!("nul\u{0}"), "title"),
        ("active", json!("perhaps"), "active"),
        ("active", json!(3), "active"),
        ("userType", json!("Alien"), "userType"),
        ("emails[type eq \"work\"].value", json!("no address"), "emails"),
        ("addresses[type eq \"work\"].postalCode", json!("12345678901"), "longer than 10 characters"),
        (&*format!("{OWN}:floor"), json!("third"), "floor"),
        (&*format!("{OWN}:floor"), json!("1234"), "floor"),
    ] {
        house.refuses(400, invalid, word, |client| client.patch("/Users/1", replace(path, value.clone())));
        let (urn, name) = path.rsplit_once(':').unwrap_or(("", path));
        let body = match (urn, name) {
            (_, name) if name.contains('[') => continue,
            ("", name) => json!({ name: value }),
            (urn, name) => json!({ urn: { name: value } }),
        };
        house.refuses(400, invalid, word, |client| client.post("/Users", &client::user("new", body.clone())));
        house.refuses(400, invalid, word, |client| client.put("/Users/1", &client::user("ann", body)));
    }
    // A lookup that finds two rows, and one that finds one.
    let department = format!("{ENTERPRISE}:department");
    house.refuses(400, invalid, "more than once", |client| {
        client.patch("/Users/1", replace(&department, json!("Twice")))
    });
    let body = json!({ ENTERPRISE: { "department": "Twice" } });
    house.refuses(400, invalid, "more than once", |client| client.post("/Users", &client::user("new", body)));
    // A reference to nobody, to somebody outside the scope, to oneself; a member likewise.
    let manager = format!("{ENTERPRISE}:manager");
    for (id, word) in
        [("99", "there is no User \"99\""), ("3", "there is no User \"3\""), ("x", "there is no User"), ("1", "itself")]
    {
        house.refuses(400, invalid, word, |client| client.patch("/Users/1", replace(&manager, json!({ "value": id }))));
    }
    let body = json!({ "title": "t", ENTERPRISE: { "department": "made on the way", "manager": { "value": "3" } } });
    house.refuses(400, invalid, "there is no User", |client| client.post("/Users", &client::user("new", body.clone())));
    house.refuses(400, invalid, "there is no User", |client| client.put("/Users/2", &client::user("bob", body)));
    for id in ["99", "3", "-1", "01", "x"] {
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": "1" }, { "value": id }] }]);
        house.refuses(400, invalid, "there is no User", |client| client.patch("/Groups/1", add));
        house.refuses(400, invalid, "there is no User", |client| {
            client.post("/Groups", &client::group("new", &["1", id]))
        });
        house.refuses(400, invalid, "there is no User", |client| {
            client.put("/Groups/1", &client::group("Team", &["2", id]))
        });
    }
    for element in [
        json!({ "value": "1", "type": "Group" }),
        json!({ "display": "Ann" }),
        json!({ "value": null }),
        json!({ "value": "" }),
    ] {
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": "2" }, element] }]);
        house.refuses(400, invalid, "members", |client| client.patch("/Groups/1", add));
    }
    // Statements beside a change that fail half-way: the row, the steps before and what lookups made are taken back.
    let fails = json!([
        { "op": "replace", "path": "title", "value": "fails" },
        { "op": "replace", "path": "externalId", "value": "kept nowhere" },
        { "op": "replace", "path": department, "value": "made on the way" },
    ]);
    let half_way = |answer: Answer| {
        assert!(matches!(answer.status, 409 | 500), "{} {}", answer.status, answer.text());
        assert!(!answer.text().contains("memberships"), "nothing of the tables is told: {}", answer.text());
        Answer { status: 500, body: json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": "500", "detail": "half-way" }).to_string().into_bytes(), headers: Vec::new() }
    };
    house.refuses(500, None, "half-way", |client| half_way(client.patch("/Users/1", fails)));
    let body = json!({ "title": "fails", ENTERPRISE: { "department": "made on the way" } });
    house.refuses(500, None, "half-way", |client| half_way(client.put("/Users/1", &client::user("ann", body))));
    house.refuses(500, None, "half-way", |client| half_way(client.delete("/Users/2")));
    let both = json!([{ "op": "add", "path": "members", "value": [{ "value": "1" }, { "value": "2" }] }]);
    house.refuses(500, None, "half-way", |client| half_way(client.patch("/Groups/2", both)));
    house.database.execute("ALTER TABLE history RENAME TO elsewhere");
    let before: Vec<_> = TABLES.iter().take(5).map(|table| house.database.table(table)).collect();
    let body = json!({ "externalId": "x", ENTERPRISE: { "department": "made on the way" } });
    let answer = house.service.client().post("/Users", &client::user("new", body));
    assert!(answer.status >= 500, "{} {}", answer.status, answer.text());
    assert_eq!(TABLES.iter().take(5).map(|table| house.database.table(table)).collect::<Vec<_>>(), before);
    house.database.execute("ALTER TABLE elsewhere RENAME TO history");
    // A table that was missing has the adapter compared with the database again.
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !house.service.ready() {
        assert!(std::time::Instant::now() < patience, "not ready again:\n{}", house.service.stderr());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Of all that nothing stays that would be in the way of doing it right.
    let own = house.database.own_tables();
    assert_eq!(house.database.count(&format!("SELECT COUNT(*) FROM {own}links")), 0);
    let mut client = house.service.client();
    let body = json!({ "externalId": "x", "userType": "Robot", ENTERPRISE: { "department": "Once", "manager": { "value": "1" } }, OWN: { "floor": "7" } });
    let made = client.post("/Users", &client::user("new", body)).expect(201).json();
    assert_eq!((&made["userType"], &made[ENTERPRISE]["department"]), (&json!("Robot"), &json!("Once")), "{made}");
    assert_eq!(
        house.database.rows("SELECT kind, badge, department_id FROM people WHERE login = 'new'"),
        [["robot", "7", "3"].map(|text| Some(text.to_owned()))]
    );
}

#[test]
fn mariadb() {
    bad_input(Engine::MariaDb);
}

#[test]
fn postgres() {
    bad_input(Engine::Postgres);
}

#[test]
fn sqlite() {
    bad_input(Engine::Sqlite);
}
