//! What the database server itself counts: the number of statements does not grow with the page or the group, and a
//! read of one resource is one statement.

use serde_json::json;

use crate::support::client::{self, Answer, Client};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::statements::{self, Statements};

/// The statements of one request, once whatever is prepared only once has been.
fn of(database: &Database, client: &mut Client, mut request: impl FnMut(&mut Client) -> Answer) -> Statements {
    request(client);
    let mark = statements::mark(database);
    let answer = request(client);
    assert!(answer.status < 300, "{} {}", answer.status, answer.text());
    statements::since(database, mark)
}

fn show(statements: &Statements) -> String {
    statements.executed.join("\n  ")
}

fn do_not_grow(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let department = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let mut ids = Vec::new();
    for number in 0..40 {
        let more = json!({ "title": "t", department: { "department": format!("D{}", number % 7) } });
        ids.push(client.post("/Users", &client::user(&format!("u{number}"), more)).expect(201).id());
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let small = client.post("/Groups", &client::group("small", &ids[..2])).expect(201).id();
    let large = client.post("/Groups", &client::group("large", &ids[..35])).expect(201).id();
    for number in 0..9 {
        client.post("/Groups", &client::group(&format!("more {number}"), &ids[..1])).expect(201);
    }

    let mut same = |what: &str, at_most: usize, few: &str, many: &str| {
        let few = of(&database, &mut client, |client| client.get(few));
        let many = of(&database, &mut client, |client| client.get(many));
        assert_eq!(few.executed.len(), many.executed.len(), "{what}\nfew:\n  {}\nmany:\n  {}", show(&few), show(&many));
        assert!(many.work() <= at_most, "{what} takes {} statements:\n  {}", many.work(), show(&many));
    };
    same("a page of 3 and of 40", 4, "/Users?count=3", "/Users?count=40");
    same("a page of groups, 2 and 11", 4, "/Groups?count=2", "/Groups?count=11");
    same("a user in one group and in eleven", 2, &format!("/Users/{}", ids[20]), &format!("/Users/{}", ids[0]));
    same("a group of 2 and of 35", 2, &format!("/Groups/{small}"), &format!("/Groups/{large}"));
    let without = "?excludedAttributes=groups";
    same("a user without groups", 1, &format!("/Users/{}{without}", ids[20]), &format!("/Users/{}{without}", ids[0]));
    same("a filter", 3, "/Users?filter=userName+eq+%22u3%22", "/Users?filter=userName+eq+%22u33%22");

    // One member more, in a group of 2 and in one of 35: the same statements.
    let mut join = |group: &str, person: &str| {
        let path = format!("/Groups/{group}");
        let add = json!([{ "op": "add", "path": "members", "value": [{ "value": person }] }]);
        let remove = json!([{ "op": "remove", "path": format!("members[value eq \"{person}\"]") }]);
        client.patch(&path, add.clone());
        client.patch(&path, remove.clone());
        let mark = statements::mark(&database);
        let answer = client.patch(&path, add);
        assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
        let added = statements::since(&database, mark);
        let mark = statements::mark(&database);
        let answer = client.patch(&path, remove);
        assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
        (added, statements::since(&database, mark))
    };
    let (few_added, few_removed) = join(&small, ids[39]);
    let (many_added, many_removed) = join(&large, ids[39]);
    assert_eq!(few_added.executed.len(), many_added.executed.len(), "add\n{}\n{}", show(&few_added), show(&many_added));
    assert_eq!(
        few_removed.executed.len(),
        many_removed.executed.len(),
        "remove\n{}\n{}",
        show(&few_removed),
        show(&many_removed)
    );
}

#[test]
fn do_not_grow_on_mariadb() {
    do_not_grow(Engine::MariaDb);
}

#[test]
fn do_not_grow_on_postgres() {
    do_not_grow(Engine::Postgres);
}

/// A write that changes nothing writes nothing.
fn no_change_no_write(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let created = client.post("/Users", &client::user("same", json!({ "title": "t" }))).expect(201);
    let path = format!("/Users/{}", created.id());
    let before = database.table("people");
    let mark = statements::mark(&database);
    let answer = client.patch(&path, json!([{ "op": "replace", "path": "title", "value": "t" }]));
    assert!(matches!(answer.status, 200 | 204), "{}", answer.text());
    let seen = statements::since(&database, mark);
    let writes: Vec<_> = seen
        .executed
        .iter()
        .filter(|text| text.contains("people") && text.trim_start().to_uppercase().starts_with("UPDATE"))
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
    assert_eq!(database.table("people"), before);
    assert_eq!(database.count("SELECT COUNT(*) FROM history"), 1, "only that of the create");
}

#[test]
fn no_change_no_write_on_mariadb() {
    no_change_no_write(Engine::MariaDb);
}

#[test]
fn no_change_no_write_on_postgres() {
    no_change_no_write(Engine::Postgres);
}

/// Only the columns that changed are named in the UPDATE.
#[test]
fn only_changed_columns_are_written() {
    let database = Database::small(Engine::MariaDb);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let path =
        format!("/Users/{}", client.post("/Users", &client::user("one", json!({ "title": "t" }))).expect(201).id());
    database.execute("UPDATE people SET badge = 'of the application'");
    let mark = statements::mark(&database);
    client.patch(&path, json!([{ "op": "replace", "path": "title", "value": "u" }]));
    let seen = statements::since(&database, mark);
    let updates: Vec<_> = seen
        .executed
        .iter()
        .filter(|text| text.to_uppercase().starts_with("UPDATE") && text.contains("people"))
        .collect();
    let [update] = updates.as_slice() else { panic!("one UPDATE of people, not {updates:?}") };
    assert!(update.contains("title") && !update.contains("login") && !update.contains("badge"), "{update}");
    assert_eq!(
        database.rows("SELECT badge, title FROM people"),
        [[Some("of the application".to_owned()), Some("u".to_owned())]]
    );
}
