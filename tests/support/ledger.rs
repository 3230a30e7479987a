//! Clients that write and keep a ledger of what they were answered, for tests in which something is killed meanwhile.
//!
//! Each client works on people of its own, so that a row has one writer. Before each write it notes what the row will
//! be if the write happens; after the answer, that it happened. A write that got no certain answer (no answer at all,
//! or a 5xx) leaves both possible, and the client never touches that person again. At the end each row, its memberships
//! and its follow-up rows must be one of the possibilities, whole: never half of one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::client::{self, Client, Failure};
use super::databases::Database;

/// The tables that the ledger is compared with, by the names they have in an application.
#[derive(Debug, Clone, Copy)]
pub struct Tables {
    pub people: &'static str,
    pub login: &'static str,
    pub title: &'static str,
    pub deleted_at: &'static str,
    pub memberships: &'static str,
    pub membership_person: &'static str,
    pub membership_group: &'static str,
    /// `SELECT person, kind, changes` of the rows that must follow each write, oldest first.
    pub follow_ups: &'static str,
}

/// The small application of tests/schemas.
pub const SMALL: Tables = Tables {
    people: "people",
    login: "login",
    title: "title",
    deleted_at: "gone_at",
    memberships: "memberships",
    membership_person: "person_id",
    membership_group: "team_id",
    follow_ups: "SELECT person_id, what, changes FROM history ORDER BY id",
};

/// Snipe-IT's, with the history rows that it writes itself.
pub const SNIPE_IT: Tables = Tables {
    people: "users",
    login: "username",
    title: "jobtitle",
    deleted_at: "deleted_at",
    memberships: "users_groups",
    membership_person: "user_id",
    membership_group: "group_id",
    follow_ups: "SELECT item_id, action_type, log_meta FROM action_logs WHERE item_type LIKE '%User' ORDER BY id",
};

/// What one person's rows are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    title: Option<String>,
    deleted: bool,
    member: bool,
    /// The follow-up rows, oldest first: `create`, `update TITLE`, `delete`.
    follow_ups: Vec<String>,
}

/// What a client knows of one person.
#[derive(Debug, Clone)]
struct Person {
    login: String,
    /// Unknown while the create is unanswered.
    id: Option<String>,
    /// What was answered; `None` before the create is.
    certain: Option<State>,
    /// What it is instead if the last, unanswered write happened.
    perhaps: Option<State>,
}

/// One client's notes.
#[derive(Debug, Default)]
pub struct Ledger {
    people: Vec<Person>,
    /// Writes that were answered 2xx.
    pub answered: usize,
    /// Writes of which nobody knows.
    pub unanswered: usize,
    /// Answers that no kill explains.
    pub wrong: Vec<String>,
}

/// Shared between the clients and whoever kills.
#[derive(Debug, Default)]
pub struct Progress {
    pub stop: AtomicBool,
    /// Writes answered 2xx so far, by all clients.
    pub answered: AtomicUsize,
}

/// What one write was answered.
enum Outcome {
    Done(client::Answer),
    /// The request never left.
    NotSent,
    Unknown,
}

/// Writes until told to stop: creates, changes, joins and leaves the group, deletes.
pub fn write(mut client: Client, writer: usize, group: &str, progress: &Progress) -> Ledger {
    let mut ledger = Ledger::default();
    let mut turn = 0_usize;
    while !progress.stop.load(Ordering::Relaxed) {
        turn += 1;
        let login = format!("w{writer}-{turn}@example.org");
        let body = client::user(
            &login,
            json!({ "name": { "givenName": "W", "familyName": turn.to_string() }, "title": "t0" }),
        );
        let mut person = Person {
            login,
            id: None,
            certain: None,
            perhaps: Some(State {
                title: Some("t0".to_owned()),
                deleted: false,
                member: false,
                follow_ups: vec!["create".to_owned()],
            }),
        };
        match ask(&mut client, &mut ledger, progress, "POST", "/Users", Some(&body), 201) {
            Outcome::Done(answer) => {
                person.id = Some(answer.id());
                person.certain = person.perhaps.take();
            }
            Outcome::NotSent => continue,
            Outcome::Unknown => {
                ledger.people.push(person);
                continue;
            }
        }
        for step in 1..=6 {
            let Some(id) = person.id.clone() else { break };
            let Some(now) = person.certain.clone() else { break };
            let mut next = now.clone();
            let user = format!("/Users/{id}");
            let team = format!("/Groups/{group}");
            let outcome = match (turn + step) % 4 {
                0 if !now.member => {
                    next.member = true;
                    let add = client::patch(json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]));
                    ask(&mut client, &mut ledger, progress, "PATCH", &team, Some(&add), 0)
                }
                0 => {
                    next.member = false;
                    let remove =
                        client::patch(json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]));
                    ask(&mut client, &mut ledger, progress, "PATCH", &team, Some(&remove), 0)
                }
                _ if step == 6 && turn.is_multiple_of(3) => {
                    next.deleted = true;
                    next.follow_ups.push("delete".to_owned());
                    ask(&mut client, &mut ledger, progress, "DELETE", &user, None, 204)
                }
                _ => {
                    let title = format!("t{turn}.{step}");
                    next.title = Some(title.clone());
                    next.follow_ups.push(format!("update {title}"));
                    let change = client::patch(json!([{ "op": "replace", "path": "title", "value": title }]));
                    ask(&mut client, &mut ledger, progress, "PATCH", &user, Some(&change), 0)
                }
            };
            match outcome {
                Outcome::Done(_) => person.certain = Some(next),
                Outcome::NotSent => {}
                Outcome::Unknown => {
                    person.perhaps = Some(next);
                    break;
                }
            }
            if person.certain.as_ref().is_some_and(|state| state.deleted) {
                break;
            }
        }
        ledger.people.push(person);
    }
    ledger
}

/// One write; `status` 0 stands for 200 or 204.
fn ask(
    client: &mut Client,
    ledger: &mut Ledger,
    progress: &Progress,
    method: &str,
    path: &str,
    body: Option<&serde_json::Value>,
    status: u16,
) -> Outcome {
    match client.try_scim(method, path, body) {
        Ok(answer) if answer.status == status || (status == 0 && matches!(answer.status, 200 | 204)) => {
            ledger.answered += 1;
            progress.answered.fetch_add(1, Ordering::Relaxed);
            Outcome::Done(answer)
        }
        Ok(answer) => {
            // 503 is how the service says that its database is away; anything else would be its own fault.
            if answer.status != 503 {
                ledger.wrong.push(format!("{method} {path}: {} {}", answer.status, answer.text()));
            }
            ledger.unanswered += 1;
            std::thread::sleep(Duration::from_millis(20));
            Outcome::Unknown
        }
        Err(Failure::NotSent(_)) => {
            std::thread::sleep(Duration::from_millis(10));
            Outcome::NotSent
        }
        Err(Failure::NoAnswer(_)) => {
            ledger.unanswered += 1;
            client.disconnect();
            Outcome::Unknown
        }
    }
}

/// What a comparison looked at.
#[derive(Debug, Default)]
pub struct Verdict {
    pub people: usize,
    pub follow_ups: usize,
    /// Unanswered writes that turned out to have happened, whole.
    pub happened: usize,
    /// And those that did not, whole.
    pub not_happened: usize,
    pub problems: Vec<String>,
}

/// Compares the ledgers with the tables, row by row. The service must be at rest.
pub fn compare(database: &Database, tables: &Tables, group: &str, ledgers: &[Ledger]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut by_login: BTreeMap<String, Vec<(String, Option<String>, bool)>> = BTreeMap::new();
    for row in database.rows(&format!(
        "SELECT {}, id, {}, {} FROM {} WHERE {} LIKE 'w%@example.org'",
        tables.login, tables.title, tables.deleted_at, tables.people, tables.login
    )) {
        let [Some(login), Some(id), title, deleted] = row.as_slice() else { panic!("a row of people: {row:?}") };
        by_login.entry(login.clone()).or_default().push((id.clone(), title.clone(), deleted.is_some()));
    }
    let mut follow_ups: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for row in database.rows(tables.follow_ups) {
        let [Some(id), Some(kind), changes] = row.as_slice() else { panic!("a follow-up row: {row:?}") };
        follow_ups.entry(id.clone()).or_default().push((kind.clone(), changes.clone().unwrap_or_default()));
        verdict.follow_ups += 1;
    }
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    for row in database.rows(&format!(
        "SELECT {} FROM {} WHERE {} = {group}",
        tables.membership_person, tables.memberships, tables.membership_group
    )) {
        *members.entry(row[0].clone().expect("a member")).or_default() += 1;
    }
    for person in ledgers.iter().flat_map(|ledger| &ledger.people) {
        verdict.people += 1;
        let rows = by_login.remove(&person.login).unwrap_or_default();
        let found = match rows.as_slice() {
            [] => None,
            [(id, title, deleted)] => {
                if person.id.as_ref().is_some_and(|known| known != id) {
                    verdict.problems.push(format!("{}: answered id {:?}, stored {id}", person.login, person.id));
                }
                let rows = follow_ups.remove(id).unwrap_or_default();
                Some(State {
                    title: title.clone(),
                    deleted: *deleted,
                    member: members.remove(id).unwrap_or_default() > 0,
                    follow_ups: rows.iter().map(|(kind, changes)| follow_up(kind, changes)).collect(),
                })
            }
            many => {
                verdict.problems.push(format!("{}: {} rows", person.login, many.len()));
                continue;
            }
        };
        if found == person.certain {
            verdict.not_happened += usize::from(person.perhaps.is_some());
        } else if person.perhaps.is_some() && found == person.perhaps {
            verdict.happened += 1;
        } else {
            verdict.problems.push(format!(
                "{}: found {found:?}\n      answered {:?}\n      perhaps {:?}",
                person.login, person.certain, person.perhaps
            ));
        }
    }
    let orphans = |what: &str, left: Vec<&String>, problems: &mut Vec<String>| {
        if !left.is_empty() {
            problems.push(format!("{what} that no client asked for: {left:?}"));
        }
    };
    orphans("people", by_login.keys().collect(), &mut verdict.problems);
    orphans("follow-up rows of ids", follow_ups.keys().collect(), &mut verdict.problems);
    orphans("members", members.keys().collect(), &mut verdict.problems);
    verdict
}

/// A follow-up row as the ledger notes it: of an update, the title that its difference says is new.
fn follow_up(kind: &str, changes: &str) -> String {
    if kind != "update" {
        return kind.to_owned();
    }
    let changes: serde_json::Value = serde_json::from_str(changes).unwrap_or_default();
    let change = changes.get("title").or_else(|| changes.get("jobtitle"));
    match change.and_then(|change| change.get("new")).and_then(serde_json::Value::as_str) {
        Some(new) => format!("update {new}"),
        None => format!("update, of which {changes} is no record"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(title: &str, follow_ups: &[&str]) -> State {
        State {
            title: Some(title.to_owned()),
            deleted: false,
            member: false,
            follow_ups: follow_ups.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    fn person(number: usize, certain: Option<State>, perhaps: Option<State>) -> Person {
        let id = certain.is_some().then(|| number.to_string());
        Person { login: format!("w0-{number}@example.org"), id, certain, perhaps }
    }

    /// A comparison that cannot fail would prove nothing: each kind of damage is found.
    #[test]
    fn damage_is_found() {
        let database = Database::small(super::super::databases::Engine::Sqlite);
        database.execute(
            "INSERT INTO people (id, login, title) VALUES (1, 'w0-1@example.org', 't0'), (2, 'w0-2@example.org', 't1'), (3, 'w0-3@example.org', 't0');
             INSERT INTO history (person_id, what, changes, at) VALUES (1, 'create', NULL, 'x'), (2, 'create', NULL, 'x'),
             (2, 'update', '{\"title\":{\"old\":\"t0\",\"new\":\"t1\"}}', 'x'), (3, 'create', NULL, 'x');",
        );
        let created = || Some(state("t0", &["create"]));
        let updated = || Some(state("t1", &["create", "update t1"]));
        let ledger = |third: Person| Ledger {
            people: vec![person(1, created(), None), person(2, created(), updated()), third],
            ..Ledger::default()
        };
        let problems = |ledger: Ledger| compare(&database, &SMALL, "1", &[ledger]).problems;
        // As it is: one answered, one unanswered that happened, one unanswered that is there whole.
        assert_eq!(problems(ledger(person(3, None, created()))), Vec::<String>::new());
        // An answered write that is not there.
        assert_eq!(problems(ledger(person(3, updated(), None))).len(), 1);
        // Somebody whom nobody asked for.
        assert_eq!(
            problems(Ledger {
                people: vec![person(1, created(), None), person(2, updated(), None)],
                ..Ledger::default()
            })
            .len(),
            2
        );
        // Half a write: the row without its follow-up, then the follow-up without its row.
        database.execute("DELETE FROM history WHERE person_id = 3");
        assert_eq!(problems(ledger(person(3, None, created()))).len(), 1);
        database.execute("DELETE FROM people WHERE id = 3; UPDATE people SET title = 't0' WHERE id = 2");
        assert_eq!(problems(ledger(person(3, None, created()))).len(), 1);
        // Twice.
        database.execute("UPDATE people SET title = 't1' WHERE id = 2; INSERT INTO people (login, title) VALUES ('w0-1@example.org', 't0')");
        assert_eq!(problems(ledger(person(3, None, created()))).len(), 2);
    }
}
