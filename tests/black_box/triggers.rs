//! A trigger of the application that refuses a change: the client hears that it was refused, and by whom; what the trigger
//! says, and what a database quotes, is about people and in no log line.

use serde_json::{Value, json};

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

fn refuses(engine: Engine, trigger: &str) {
    let database = Database::small(engine);
    database.execute(trigger);
    database.execute("CREATE UNIQUE INDEX one_title ON people (title)");
    for level in ["info", "debug"] {
        let service = Service::start(&database, Options::small().more(&format!("log: {{ level: {level} }}")));
        let mut client = service.client();
        let refused = client.post("/Users", &client::user(&format!("personal-{level}"), json!({ "title": "barred" })));
        let refused = refused.expect(409);
        assert_eq!(refused.json().get("scimType"), None, "{}", refused.text());
        let detail = refused.json()["detail"].as_str().expect("a detail").to_owned();
        assert!(detail.contains("a trigger of the application"), "{detail}");
        assert!(!refused.text().contains("licence") && !refused.text().contains("personal"), "{}", refused.text());
        assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE login LIKE 'personal-%'"), 0);
        let id = client.post("/Users", &client::user(&format!("allowed-{level}"), json!({}))).expect(201).id();

        // A value that the database quotes.
        let title = json!({ "title": format!("Personal Title {level}") });
        client.post("/Users", &client::user(&format!("first-{level}"), title.clone())).expect(201);
        client.post("/Users", &client::user(&format!("second-{level}"), title)).expect(409);
        client.get(&format!("/Users/{id}")).expect(200);

        let log = service.said("\"route\":\"/Users/{id}\"");
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        // Which is said to be there at `debug`, and nowhere else.
        let (quoting, others): (Vec<Value>, Vec<Value>) =
            lines.partition(|line| line["message"] == "the database complains");
        assert_eq!(quoting.is_empty(), level == "info", "{quoting:?}");
        let others = format!("{others:?}").to_lowercase();
        assert!(!others.contains("personal") && !others.contains("licence"), "{others}");
        if level == "debug" {
            assert!(others.contains("a trigger of the application refused it"), "{others}");
            assert!(others.contains("one_title") || others.contains("people.title"), "{others}");
        }
    }
}

#[test]
fn on_mariadb() {
    refuses(
        Engine::MariaDb,
        "DELIMITER //\n\
         CREATE TRIGGER licences BEFORE INSERT ON people FOR EACH ROW \
         IF NEW.title = 'barred' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no licence left for Personal Name'; END IF//\n\
         DELIMITER ;\n",
    );
}

#[test]
fn on_postgres() {
    refuses(
        Engine::Postgres,
        "CREATE FUNCTION licences() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         IF NEW.title = 'barred' THEN RAISE EXCEPTION 'no licence left for %', NEW.login; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER licences BEFORE INSERT ON people FOR EACH ROW EXECUTE FUNCTION licences()",
    );
}

#[test]
fn on_sqlite() {
    refuses(
        Engine::Sqlite,
        "CREATE TRIGGER licences BEFORE INSERT ON people WHEN NEW.title = 'barred' \
         BEGIN SELECT RAISE(ABORT, 'no licence left for Personal Name'); END",
    );
}
