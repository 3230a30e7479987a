//! Lists over columns that are hard to page by: keys of several kinds in one order, texts longer than anything sorts by,
//! decimals and integers beyond a float, dates that stand for none. Pages by cursor and by index give the same, once.

use crate::Application;
use crate::support::databases::{Database, Engine};
use scimshim::directory::Page;
use scimshim::scim::{Error, ListQuery, ScimType, filter};
use std::collections::BTreeSet;

const ADAPTER: &str = r#"
adapter: odd
title: Odd columns
databases: [mysql, postgres, sqlite]
types:
  flag: { boolean: { true: 1, false: 0 } }
resources:
  User:
    table: people
    id: id
    timestamps: { created: stamp }
    attributes:
      userName: { column: login, required: true, unique: true }
      nickName: bio
      password: { column: secret, hash: bcrypt }
      urn:example:params:scim:schemas:2.0:Person: { rate: rate, big: big, day: day, half: half }
    create: refuse
    delete: row
  Group:
    table: teams
    id: code
    timestamps: { created: made }
    attributes: { displayName: { column: name, required: true } }
    create: refuse
    delete: row
  Place:
    endpoint: /Places
    schema: urn:example:params:scim:schemas:2.0:Place
    table: places
    id: id
    timestamps: { created: made }
    attributes: { displayName: name }
    create: refuse
    delete: row
"#;

/// In blocks, so that many rows share a value.
fn database(engine: Engine) -> Database {
    let (unsigned, stamp, instant, uuid, half) = match engine {
        Engine::MariaDb => ("bigint unsigned", "datetime", "datetime", "char(36)", "float"),
        Engine::Postgres => ("numeric(20)", "timestamp", "timestamptz", "uuid", "real"),
        Engine::Sqlite => ("bigint", "DATETIME", "DATETIME", "TEXT", "REAL"),
    };
    let mut sql = format!(
        "CREATE TABLE people (id bigint NOT NULL PRIMARY KEY, login varchar(100) NOT NULL, bio text, secret varchar(100),
         rate decimal(30,10), big {unsigned}, day date, half {half}, stamp {stamp});
         CREATE TABLE teams (code varchar(20) NOT NULL PRIMARY KEY, name varchar(300) NOT NULL, made {stamp});
         CREATE TABLE places (id {uuid} NOT NULL PRIMARY KEY, name text, made {instant});\n"
    );
    for n in 0..90_i64 {
        let bio = match n % 6 {
            0 => "NULL".to_owned(),
            1 => "''".to_owned(),
            2 => format!("'{}'", "é".repeat(400)),
            3 => format!("'{}{n}'", "é".repeat(249)),
            4 => format!("'{}😀{n}'", "z".repeat(249)),
            _ => format!("'{}'", "a".repeat(n as usize)),
        };
        // Equal as floats, all of them.
        let rate =
            if n % 7 == 0 { "NULL".to_owned() } else { format!("12345678901234567890.00000000{:02}", (n * 37) % 60) };
        let big = if n % 9 == 0 { "NULL".to_owned() } else { (i64::MAX - (n * 31) % 40).to_string() };
        let day = if n % 5 == 0 { "NULL".to_owned() } else { format!("'2024-02-{:02}'", 1 + n % 28) };
        let half = if n % 8 == 0 { "NULL".to_owned() } else { format!("{}.1", (n * 13) % 11) };
        let stamp = match n % 4 {
            0 => "NULL".to_owned(),
            1 if engine == Engine::MariaDb => "'0000-00-00 00:00:00'".to_owned(),
            _ => format!("'2025-10-26 02:{:02}:00'", (n * 7) % 20),
        };
        sql.push_str(&format!(
            "INSERT INTO people VALUES ({}, 'P{n:02}', {bio}, 's{n}', {rate}, {big}, {day}, {half}, {stamp});\n",
            n - 30
        ));
    }
    for n in 0..40 {
        let name = ["b", "B", "ä", "Ä", "ß"][n % 5];
        sql.push_str(&format!(
            "INSERT INTO teams VALUES ('{}{}', '{name}', NULL);\n",
            ["t-", "T_", "é"][n % 3],
            (n * 7) % 40
        ));
        let name = if n % 4 == 0 { "NULL".to_owned() } else { format!("'{}'", ["c", "B", "a"][n % 3]) };
        let id = format!("{:08x}-0000-4000-8000-{:012}", (n as u64).wrapping_mul(2_654_435_761) & 0xFFFF_FFFF, n);
        sql.push_str(&format!("INSERT INTO places VALUES ('{id}', {name}, '2025-01-01 00:00:00');\n"));
    }
    let database = Database::create(engine);
    match engine {
        Engine::MariaDb => database.execute(&format!("SET sql_mode = '';\n{sql}")),
        _ => database.execute(&sql),
    }
    database
}

fn page(application: &Application, type_: Option<usize>, query: &[(&str, &str)]) -> Result<Page, Error> {
    let query = ListQuery::parse(query, &filter::Limits::default())?;
    match type_ {
        Some(type_) => application.directory.list(&application.caller, type_, &query),
        None => application.directory.search(&application.caller, &query),
    }
}

fn ids(page: &Page) -> Vec<String> {
    let id =
        |one: &serde_json::Map<String, serde_json::Value>| format!("{} {}", one["meta"]["resourceType"], one["id"]);
    page.resources.iter().map(id).collect()
}

/// All of it by cursor, by index and on one page.
fn whole(application: &Application, type_: Option<usize>, sort: &[(&str, &str)]) -> Vec<String> {
    let with = |more: &[(&'static str, &str)]| -> Page {
        let mut query: Vec<(&str, &str)> = vec![("attributes", "meta.resourceType")];
        query.extend_from_slice(sort);
        query.extend_from_slice(more);
        page(application, type_, &query).unwrap_or_else(|error| panic!("{:?} {sort:?}: {error:?}", application.engine))
    };
    let all = ids(&with(&[]));
    let (mut by_cursor, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = with(&[("cursor", &cursor), ("count", "19")]);
        by_cursor.extend(ids(&page));
        let Some(next) = page.next_cursor else { break };
        cursor = next;
    }
    let mut by_index = Vec::new();
    while by_index.len() < all.len() {
        by_index.extend(ids(&with(&[("startIndex", &(by_index.len() + 1).to_string()), ("count", "31")])));
    }
    let place = format!("{:?} {type_:?} {sort:?}", application.engine);
    assert_eq!(by_cursor, all, "{place}: by cursor");
    assert_eq!(by_index, all, "{place}: by index");
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{place}: nothing twice");
    assert_eq!(all.len(), type_.map_or(170, |type_| [90, 40, 40][type_]), "{place}: everything");
    all
}

#[test]
fn odd_columns_are_paged_as_others() {
    let applications = Engine::ALL.map(|engine| Application::with(engine, database(engine), ADAPTER));
    let mut sorts = vec![vec![], vec![("sortOrder", "descending")]];
    for path in
        ["id", "userName", "nickName", "rate", "big", "day", "half", "displayName", "meta.created", "meta.location"]
    {
        sorts.push(vec![("sortBy", path)]);
        sorts.push(vec![("sortBy", path), ("sortOrder", "descending")]);
    }
    for type_ in [Some(0), Some(1), Some(2), None] {
        for sort in &sorts {
            let path = sort.first().filter(|(key, _)| *key == "sortBy").map_or("", |(_, path)| *path);
            // Attributes that this type has not are no order at all.
            let known = match type_ {
                None => true,
                Some(0) => path != "displayName",
                Some(_) => matches!(path, "" | "id" | "displayName" | "meta.created" | "meta.location"),
            };
            if !known {
                continue;
            }
            let differs = type_.is_none() && path == "meta.created";
            let mut orders = Vec::new();
            for application in &applications {
                if differs && application.engine == Engine::Postgres {
                    // A wall clock and an instant cannot be sorted as one.
                    let error = page(application, type_, sort).unwrap_err();
                    assert_eq!(
                        (error.status, error.scim_type),
                        (400, Some(ScimType::InvalidValue)),
                        "{}",
                        error.detail
                    );
                    continue;
                }
                orders.push((application.engine, whole(application, type_, sort)));
            }
            // Not alike: SQLite's decimals are floats, MariaDB's zero dates no dates, and keys that are text have each
            // database's own order behind the attribute's.
            let alike = matches!(path, "id" | "userName" | "nickName" | "big" | "day" | "half" | "meta.location")
                && (type_ == Some(0) || path == "id" || path == "meta.location")
                || path == "rate" && type_ == Some(0);
            for pair in orders.windows(2).filter(|pair| alike && (path != "rate" || pair[1].0 != Engine::Sqlite)) {
                assert_eq!(pair[0].1, pair[1].1, "{:?} and {:?}: {type_:?} {sort:?}", pair[0].0, pair[1].0);
            }
        }
    }
    for application in &applications {
        let error = page(application, Some(0), &[("sortBy", "password")]).unwrap_err();
        assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidValue)), "{}", error.detail);
    }
}
