//! What the journal says of rows that hold what no calendar has, or that the application's triggers write, too.

use serde_json::{Value, json};

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::journal::{Tables, must_agree};
use crate::support::service::{Options, Service};

fn title(text: &str) -> Value {
    json!([{ "op": "replace", "path": "title", "value": text }])
}

/// The changes of one table, of all requests.
fn changes_of<'v>(requests: &'v [Value], table: &str) -> Vec<&'v Value> {
    let all = requests.iter().flat_map(|request| request["changes"].as_array().expect("changes"));
    all.filter(|change| change["table"] == table).collect()
}

/// MySQL's dates that are none are in the journal as they are in the rows, so that they can be put back.
#[test]
fn zero_dates() {
    let database = Database::small(Engine::MariaDb);
    let adapter = std::fs::read_to_string(crate::support::file("tests/adapters/small.yaml")).expect("an adapter");
    let deleting = adapter
        .replace("      how: set\n      set: { gone_at: \"${now}\" }\n", "      how: row\n")
        .replace("where: { gone_at: null }\n    protected", "protected");
    let deleting = deleting.replace("where: { gone_at: { not: null } }", "where: { kind: gone }");
    assert_ne!(deleting, adapter);
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    database.execute(
        "SET SESSION sql_mode = 'ALLOW_INVALID_DATES';
         ALTER TABLE people ADD COLUMN born date NOT NULL DEFAULT '0000-00-00',
                            ADD COLUMN seen timestamp(3) NOT NULL DEFAULT '0000-00-00 00:00:00';
         INSERT INTO people (id, login, enabled, created_at, updated_at, gone_at, born, seen) VALUES
            (1, 'ann', 1, '0000-00-00', '0000-00-00', '0000-00-00', '2026-02-00', '2026-01-02 03:04:05.678'),
            (2, 'bob', 1, '2026-02-31 01:02:03', '0000-00-00', NULL, '0000-00-00', '0000-00-00'),
            (3, 'eve', 1, NULL, NULL, NULL, '2000-01-01', '0000-00-00'), (4, 'dan', 1, NULL, '2026-01-01', NULL, '2000-01-01', '0000-00-00');",
    );
    let service = Service::start(&database, Options::written(deleting));
    let mut client = service.client();
    let before = Tables::of(&database);
    // They read as nothing.
    let ann = client.get("/Users/1").expect(200).json();
    assert_eq!(ann["meta"].get("created").or(ann["meta"].get("lastModified")), None, "{ann}");
    client.patch("/Users/1", title("Dr")).expect(200);
    client
        .patch("/Users/2", json!([{ "op": "add", "path": format!("{enterprise}:manager"), "value": "1" }]))
        .expect(200);
    client.patch("/Users/2", title("Dr")).expect(200);
    for id in [2, 1] {
        client.delete(&format!("/Users/{id}")).expect(204);
    }
    let requests = must_agree(before, &database, &service);
    let changes = changes_of(&requests, "people");
    let zero = "0000-00-00 00:00:00";
    assert_eq!(changes[0]["before"]["updated_at"], zero, "{:#}", changes[0]);
    let gone = &changes.last().expect("ann went")["before"];
    assert_eq!(
        [&gone["created_at"], &gone["gone_at"], &gone["born"], &gone["seen"]],
        [&json!(zero), &json!(zero), &json!("2026-02-00"), &json!({ "datetime": "2026-01-02T03:04:05.678" })],
        "{gone:#}"
    );
    let bob = &changes[changes.len() - 2]["before"];
    assert_eq!(
        [&bob["created_at"], &bob["gone_at"], &bob["born"], &bob["seen"]],
        [&json!("2026-02-31 01:02:03"), &Value::Null, &json!("0000-00-00"), &json!("0000-00-00 00:00:00")],
        "{bob:#}"
    );
}

/// AFTER triggers on the rows that we write, and on others that then write these.
fn triggers(engine: Engine) {
    let database = Database::small(engine);
    database.execute(match engine {
        Engine::Sqlite => {
            "ALTER TABLE people ADD COLUMN search varchar(200);
             ALTER TABLE teams ADD COLUMN size integer;
             CREATE TRIGGER a AFTER INSERT ON people BEGIN
                UPDATE people SET search = UPPER(NEW.login), badge = 'b' || NEW.id WHERE id = NEW.id; END;
             CREATE TRIGGER b AFTER UPDATE OF title, login ON people BEGIN
                UPDATE people SET search = UPPER(NEW.login), title = NEW.title || '.' WHERE id = NEW.id; END;
             CREATE TRIGGER c AFTER INSERT ON memberships BEGIN
                UPDATE teams SET name = name || '+' WHERE id = NEW.team_id; END;
             CREATE TRIGGER d AFTER INSERT ON history WHEN NEW.what = 'create' BEGIN
                UPDATE people SET language = 'xx' WHERE id = NEW.person_id; END;"
        }
        _ => {
            "ALTER TABLE people ADD COLUMN search varchar(200);
             ALTER TABLE teams ADD COLUMN size integer;
             CREATE FUNCTION a() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF pg_trigger_depth() > 1 THEN RETURN NULL; END IF;
                UPDATE people SET search = UPPER(NEW.login), badge = 'b' || NEW.id,
                   title = CASE TG_OP WHEN 'UPDATE' THEN NEW.title || '.' ELSE NEW.title END WHERE id = NEW.id;
                RETURN NULL; END $$;
             CREATE FUNCTION c() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                UPDATE teams SET name = name || '+' WHERE id = NEW.team_id; RETURN NULL; END $$;
             CREATE FUNCTION d() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                UPDATE people SET language = 'xx' WHERE id = NEW.person_id; RETURN NULL; END $$;
             CREATE TRIGGER a AFTER INSERT OR UPDATE OF title, login ON people FOR EACH ROW EXECUTE FUNCTION a();
             CREATE TRIGGER c AFTER INSERT ON memberships FOR EACH ROW EXECUTE FUNCTION c();
             CREATE TRIGGER d AFTER INSERT ON history FOR EACH ROW WHEN (NEW.what = 'create') EXECUTE FUNCTION d();"
        }
    });
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let before = Tables::of(&database);
    let ann = client.post("/Users", &client::user("ann", json!({ "title": "Ms" }))).expect(201).id();
    let path = format!("/Users/{ann}");
    client.patch(&path, title("Dr")).expect(200);
    client.patch(&path, json!([{ "op": "replace", "path": "userName", "value": "anna" }])).expect(200);
    // Nothing of it is written anew.
    let there = client.get(&path).expect(200).json();
    assert_eq!((&there["title"], &there["preferredLanguage"]), (&json!("Dr.."), &json!("xx")), "{there}");
    let team = client.post("/Groups", &client::group("team", &[&ann])).expect(201).id();
    let operations = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        { "method": "POST", "path": "/Users", "bulkId": "b", "data": client::user("bob", json!({})) },
        { "method": "PATCH", "path": "/Users/bulkId:b", "data": client::patch(title("Mr")) },
        { "method": "PUT", "path": format!("/Groups/{team}"), "data": client::group("other", &["bulkId:b"]) },
    ] });
    client.post("/Bulk", &operations).expect(200);
    client.delete(&path).expect(204);
    client.delete(&format!("/Groups/{team}")).expect(204);
    let requests = must_agree(before, &database, &service);
    let changes = changes_of(&requests, "people");
    let (created, renamed) = (&changes[0], &changes[2]);
    assert_eq!(
        [&created["after"]["search"], &created["after"]["badge"], &created["after"]["language"]],
        [&json!("ANN"), &json!(format!("b{ann}")), &json!("xx")],
        "{created:#}"
    );
    assert_eq!([&renamed["before"]["search"], &renamed["after"]["search"]], [&json!("ANN"), &json!("ANNA")]);
    assert!(renamed["after"].get("mail").is_none(), "only what changed: {renamed:#}");
    let teams = changes_of(&requests, "teams");
    assert_eq!(teams[0]["after"]["name"], "team+", "{:#}", teams[0]);
}

#[test]
fn triggers_on_postgres() {
    triggers(Engine::Postgres);
}

#[test]
fn triggers_on_sqlite() {
    triggers(Engine::Sqlite);
}
