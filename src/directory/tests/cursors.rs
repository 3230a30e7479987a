//! Pages by cursor: nothing lost, nothing twice, nobody else's cursor, keys that come and go.

use super::super::cursor::{self, CURSOR_TIMEOUT, Position, Section};
use super::*;
use crate::scim::ScimType;
use std::collections::BTreeSet;

/// People 1 to 3 of the application, and a hundred more: every third without a title, some with the same.
fn crowd() -> Application {
    let application = Application::staff();
    application.application_runs(
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 109) INSERT INTO people(id, login, title) SELECT i, 'p' || i, CASE i % 3 WHEN 0 THEN NULL ELSE 't' || (i % 7) END FROM n",
    );
    application
}

fn refused(application: &Application, type_: usize, query: &[(&str, &str)], scim_type: ScimType) {
    let error = application.list(type_, query).expect_err("a cursor that is not for this");
    assert_eq!((error.status, error.scim_type), (400, Some(scim_type)), "{query:?}: {}", error.detail);
}

/// The ids of a whole walk.
fn walk(
    application: &Application,
    type_: usize,
    query: &[(&str, &str)],
    mut between: impl FnMut(usize),
) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = String::new();
    for page_number in 0.. {
        let mut query = query.to_vec();
        query.push(("cursor", &cursor));
        let page = application.list(type_, &query).unwrap();
        assert_eq!(page.total.is_some(), cursor.is_empty(), "the first page alone is counted");
        ids.extend(page.resources.iter().map(|resource| text(resource, "id").to_owned()));
        between(page_number);
        let Some(next) = page.next_cursor else { break };
        assert!(next.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "unreserved: {next}");
        cursor = next;
    }
    ids
}

#[test]
fn rows_that_come_and_go_move_no_other() {
    for sort in [
        vec![("count", "7")],
        vec![("count", "7"), ("sortOrder", "descending")],
        vec![("count", "7"), ("sortBy", "title")],
        vec![("count", "7"), ("sortBy", "title"), ("sortOrder", "descending")],
        vec![("count", "7"), ("sortBy", "userName"), ("sortOrder", "descending")],
        vec![("count", "7"), ("sortBy", "id")],
    ] {
        let application = crowd();
        let ids = walk(&application, USER, &sort, |page| {
            // Before, among and behind what was seen; and the very row that the page ended with may be gone.
            application.application_runs(&format!(
                "INSERT INTO people(id, login, title) VALUES (200 + {page}, 'a{page}', 't0'), (300 + {page}, 'z{page}', NULL), ({page} - 100, 'm{page}', 'zz');
                 DELETE FROM people WHERE id > 199 AND id % 2 = {page} % 2; DELETE FROM people WHERE id = 10 + {page} AND id % 5 = 0",
            ));
        });
        let seen: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(seen.len(), ids.len(), "nothing twice: {sort:?}");
        for id in (1..=3).chain(10..=109).filter(|id| id % 5 != 0) {
            assert!(seen.contains(&id.to_string()), "{id} is lost: {sort:?}");
        }
    }
}

#[test]
fn a_page_costs_one_statement_at_any_depth() {
    let application = crowd();
    let query = [("excludedAttributes", "groups"), ("count", "5")];
    let mut cursor = application.list(USER, &[query[0], query[1], ("cursor", "")]).unwrap().next_cursor;
    let mut pages = 1;
    while let Some(next) = cursor {
        let (page, cost) =
            application.cost(|| application.list(USER, &[query[0], query[1], ("cursor", &next)]).unwrap());
        assert_eq!(cost, Cost { reads: 1, writes: 0 });
        let log = application.log.lock().unwrap();
        assert!(log.iter().all(|(_, statement)| statement.contains("offset: None")), "{log:?}");
        cursor = page.next_cursor;
        pages += 1;
    }
    assert_eq!(pages, 21);
    let whole = application.list(USER, &[query[0], ("cursor", "")]).unwrap();
    assert_eq!((whole.total, whole.resources.len(), whole.next_cursor), (Some(103), 103, None));
    let exactly = application.list(USER, &[query[0], ("cursor", ""), ("count", "103")]).unwrap();
    assert_eq!((exactly.total, exactly.next_cursor), (Some(103), None), "a full last page is the last");
    let none = application.list(USER, &[("cursor", ""), ("filter", "userName eq \"nobody\"")]).unwrap();
    assert_eq!((none.total, none.resources.len(), none.next_cursor), (Some(0), 0, None));
}

#[test]
fn two_tables_are_walked_as_one() {
    let application = Application::new();
    application.application_runs(
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 60) INSERT INTO profiles(id, label) SELECT i, 'g' || (i % 9) || '-' || i FROM n;
         WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 60) INSERT INTO projects(id, name) SELECT i, 'G' || (i % 9) || '-' || i FROM n;
         INSERT INTO scimshim_links SELECT 'hr', 'Group.profile', id, 'e' || (id % 4) FROM profiles WHERE id % 2",
    );
    for sort in [
        vec![],
        vec![("sortOrder", "descending")],
        vec![("sortBy", "displayName")],
        vec![("sortBy", "externalId"), ("sortOrder", "descending")],
        vec![("sortBy", "externalId")],
        vec![("sortBy", "id")],
    ] {
        let mut query = vec![("attributes", "id"), ("count", "11")];
        query.extend(sort);
        let by_cursor = walk(&application, GROUP, &query, |_| ());
        let mut by_index = Vec::new();
        while by_index.len() < 104 {
            let start = (by_index.len() + 1).to_string();
            let mut query = query.clone();
            query.push(("startIndex", &start));
            let page = application.list(GROUP, &query).unwrap();
            assert_eq!(page.total, Some(104));
            by_index.extend(page.resources.iter().map(|group| text(group, "id").to_owned()));
        }
        assert_eq!(by_cursor, by_index, "{query:?}");
    }
}

#[test]
fn a_cursor_is_for_its_own_query() {
    let mut application = crowd();
    let query = [("count", "5"), ("sortBy", "title"), ("filter", "userName sw \"p\"")];
    let with = |more: &[(&'static str, &'static str)], cursor: &str| -> Vec<(&'static str, String)> {
        let mut all: Vec<(&str, String)> = query.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        all.extend(more.iter().map(|(key, value)| (*key, (*value).to_owned())));
        all.push(("cursor", cursor.to_owned()));
        all
    };
    fn borrowed<'a>(query: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
        query.iter().map(|(key, value)| (*key, value.as_str())).collect()
    }
    let first = application.list(USER, &borrowed(&with(&[], ""))).unwrap();
    let cursor = first.next_cursor.unwrap();
    // What is shown, and how much, may change.
    for more in [vec![], vec![("attributes", "userName")], vec![("count", "50")], vec![("sortOrder", "ascending")]] {
        application.list(USER, &borrowed(&with(&more, &cursor))).unwrap();
    }
    for more in [
        vec![("filter", "userName sw \"P\"")],
        vec![("filter", "")],
        vec![("sortBy", "userName")],
        vec![("sortBy", "")],
        vec![("sortOrder", "descending")],
    ] {
        refused(&application, USER, &borrowed(&with(&more, &cursor)), ScimType::InvalidCursor);
    }
    refused(&application, GROUP, &[("cursor", &cursor)], ScimType::InvalidCursor);
    let query = ListQuery::parse(&borrowed(&with(&[], &cursor)), &filter::Limits::default()).unwrap();
    let error = application.directory.search(&application.caller, &query).unwrap_err();
    assert_eq!(error.scim_type, Some(ScimType::InvalidCursor), "the root is another list");
    for forged in [
        format!("{cursor}A"),
        cursor[1..].to_owned(),
        cursor[..cursor.len() - 1].to_owned(),
        format!("{}=", cursor),
        cursor.chars().rev().collect(),
        cursor.replace(&cursor[20..24], "AAAA"),
        "A".repeat(9000),
        "A".to_owned(),
        "é".to_owned(),
        "eyJhdCI6MH0".to_owned(),
    ] {
        refused(&application, USER, &borrowed(&with(&[], &forged)), ScimType::InvalidCursor);
    }
    application.server(|server| server.name = "other".to_owned());
    refused(&application, USER, &borrowed(&with(&[], &cursor)), ScimType::InvalidCursor);
}

#[test]
fn a_cursor_ends() {
    let application = crowd();
    let query = ListQuery::parse(&[("cursor", "")], &filter::Limits::default()).unwrap();
    let belongs_to = cursor::belongs_to(&application.caller, "User", &["User".to_owned()], &query, "none 1");
    let now = Utc::now().timestamp();
    let position = Position { part: 0, section: Section::Keyed, value: Value::Null, key: "100".to_owned() };
    let sealed = |at: i64| application.directory.seal(&position, &belongs_to, at).unwrap();
    let page = application.list(USER, &[("cursor", &sealed(now))]).unwrap();
    assert_eq!((page.resources.len(), page.total), (9, None));
    application.list(USER, &[("cursor", &sealed(now - CURSOR_TIMEOUT + 5))]).unwrap();
    for at in [now - CURSOR_TIMEOUT - 5, 0, i64::MIN / 2, now + 1000] {
        refused(&application, USER, &[("cursor", &sealed(at))], ScimType::ExpiredCursor);
    }
    // A row that never was, or is gone, is a place like any other.
    for (key, rest) in [("50", 59), ("5", 100), ("9223372036854775807", 0), ("0", 103)] {
        let position = Position { key: key.to_owned(), ..position.clone() };
        let cursor = application.directory.seal(&position, &belongs_to, now).unwrap();
        assert_eq!(application.list(USER, &[("cursor", &cursor)]).unwrap().resources.len(), rest, "{key}");
    }
}

#[test]
fn values_come_out_of_a_cursor_as_they_went_in() {
    let application = Application::staff();
    let at = Utc::now();
    for value in [
        Value::Null,
        Value::Bool(true),
        Value::Int(i64::MIN),
        Value::UInt(u64::MAX),
        Value::Float(0.1),
        Value::Float(-0.0),
        Value::Float(f64::INFINITY),
        Value::from("ß😀\u{0}\""),
        Value::Bytes(vec![0, 255]),
        Value::DateTime(DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap().naive_utc()),
        Value::Instant(DateTime::from_timestamp_micros(-1).unwrap()),
        Value::Date(chrono::NaiveDate::from_ymd_opt(1, 1, 1).unwrap()),
        Value::from("x".repeat(3000)),
    ] {
        let position = Position { part: 3, section: Section::Valued, value, key: "k".to_owned() };
        let cursor = application.directory.seal(&position, b"q", at.timestamp()).unwrap();
        assert!(cursor.len() < 8192);
        let opened = application.directory.open(&cursor, b"q", at.timestamp()).unwrap();
        assert_eq!(format!("{opened:?}"), format!("{position:?}"));
        assert!(application.directory.open(&cursor, b"r", at.timestamp()).is_err());
        assert_ne!(cursor, application.directory.seal(&position, b"q", at.timestamp()).unwrap(), "sealed anew");
    }
    let long =
        Position { part: 0, section: Section::Valued, value: Value::from("x".repeat(4000)), key: "k".to_owned() };
    assert_eq!(application.directory.seal(&long, b"q", 0).unwrap_err().status, 400);
}

/// A key rotated by hand: what the old one sealed opens for as long as it is there, in every process.
#[test]
fn keys_come_and_go() {
    let application = crowd();
    let process = || {
        let directory = &application.directory;
        Directory::new(Arc::clone(&directory.database), Arc::clone(&directory.adapter), directory.own.clone(), 200)
    };
    let page = |directory: &Directory, cursor: &str| {
        let query = ListQuery::parse(&[("cursor", cursor), ("count", "5")], &filter::Limits::default()).unwrap();
        directory.list(&application.caller, USER, &query)
    };
    let (one, two) = (process(), process());
    let old = page(&one, "").unwrap().next_cursor.unwrap();
    page(&two, &old).expect("another process opens it");
    let insert = |key| {
        let own = &application.directory.own;
        application.directory.database.with(&mut |connection| own.insert_signing_key(connection, key)).unwrap();
    };
    insert(&signing_key("k2", 2));
    application.application_runs("UPDATE scimshim_signing_keys SET retired_at = 5 WHERE id = 'k1'");
    let three = process();
    let new = page(&three, "").unwrap().next_cursor.unwrap();
    page(&three, &old).expect("a retired key opens what it sealed");
    // A process that has not seen the new key looks for it, though not more than once a second.
    std::thread::sleep(Duration::from_millis(1100));
    page(&one, &new).expect("a process that knew the old key alone finds the new one");
    application.application_runs("DELETE FROM scimshim_signing_keys WHERE id = 'k1'");
    let four = process();
    page(&four, &new).unwrap();
    assert_eq!(page(&four, &old).unwrap_err().scim_type, Some(ScimType::InvalidCursor), "its key is gone");
    application.application_runs("DELETE FROM scimshim_signing_keys");
    let error = page(&process(), "").unwrap_err();
    assert_eq!(error.status, 500, "{error}");
}
