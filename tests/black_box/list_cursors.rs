//! Pages by cursor (RFC 9865): walks over GET and .search, cursors that are not for the query, other processes and restarts,
//! writers at the same time, and what a page costs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::statements;

const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn names(page: &Value) -> Vec<String> {
    let resources = page["Resources"].as_array().expect("Resources").iter();
    resources.map(|one| one["userName"].as_str().or(one["displayName"].as_str()).expect("a name").to_owned()).collect()
}

fn walk(client: &mut Client, path: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = client.get(&format!("{path}&cursor={cursor}")).expect(200).json();
        seen.extend(names(&page));
        match page.get("nextCursor") {
            Some(next) => cursor = next.as_str().expect("a cursor is text").to_owned(),
            None => return seen,
        }
    }
}

fn people(database: &Database, from: usize, to: usize) {
    let titles = ["NULL", "''", "'Ä'", "'a'", "'b'"];
    let row = |n: usize| format!("('p{n:04}', 'P', 1, {})", titles[n % 5]);
    let rows: Vec<String> = (from..to).map(row).collect();
    database.execute(&format!("INSERT INTO people (login, given, enabled, title) VALUES {}", rows.join(",")));
}

fn cursors(engine: Engine) {
    let database = Database::small(engine);
    people(&database, 0, 53);
    let two = "{ test: { default: true, authentication: bearer }, other: { authentication: bearer } }";
    let mut service = Service::start(&database, Options::small().identity_servers(two));
    let mut client = service.client();

    // As RFC 9865 writes it: without a sign of equality.
    let first = client.get("/Users?filter=userName%20sw%20%22P%22&cursor&count=10&sortBy=title").expect(200).json();
    assert_eq!((&first["totalResults"], &first["itemsPerPage"]), (&json!(53), &json!(10)));
    assert_eq!(first.get("startIndex"), None, "{first}");
    let cursor = first["nextCursor"].as_str().expect("a cursor").to_owned();
    assert!(cursor.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)), "unreserved: {cursor}");
    let query = "filter=userName%20sw%20%22P%22&sortBy=title";
    let next = client.get(&format!("/Users?{query}&count=10&cursor={cursor}")).expect(200).json();
    assert_eq!((next.get("totalResults"), names(&next).len()), (None, 10), "counting costs as much as reading all");
    assert!(names(&first).iter().all(|name| !names(&next).contains(name)));

    for sort in ["", "&sortBy=title", "&sortBy=title&sortOrder=descending", "&sortBy=userName&sortOrder=descending"] {
        let seen = walk(&mut client, &format!("/Users?count=7&attributes=userName{sort}"));
        let whole = client.get(&format!("/Users?count=100{sort}")).expect(200).json();
        assert_eq!(seen, names(&whole), "{sort}");
        assert_eq!(seen.len(), 53);
    }

    // The same in a body; what the one began the other goes on with.
    let search = |cursor: &str| json!({ "schemas": [SEARCH], "filter": "userName sw \"P\"", "sortBy": "title", "count": 10, "cursor": cursor });
    let found = client.post("/Users/.search", &search("")).expect(200).json();
    assert_eq!((names(&found), &found["totalResults"]), (names(&first), &json!(53)));
    let found = client.post("/Users/.search", &search(&cursor)).expect(200).json();
    assert_eq!(names(&found), names(&next));

    // Another process, and this one again.
    let go_on = format!("/Users?{query}&count=10&cursor={cursor}");
    let second = service.second("two");
    assert_eq!(names(&second.client().get(&go_on).expect(200).json()), names(&next));
    service.kill();
    service.start_again();
    let mut client = service.client();
    assert_eq!(names(&client.get(&go_on).expect(200).json()), names(&next));

    // What is shown, and how much, may change; nothing else.
    client.get(&format!("/Users?{query}&count=20&attributes=id&cursor={cursor}")).expect(200);
    let invalid = Some("invalidCursor");
    for (path, why) in [
        (format!("/Users?sortBy=title&cursor={cursor}"), "no filter"),
        (format!("/Users?filter=userName%20sw%20%22P%22&cursor={cursor}"), "no order"),
        (format!("/Users?{query}&sortOrder=descending&cursor={cursor}"), "the other order"),
        (format!("/Groups?cursor={cursor}"), "another type"),
        (format!("?{query}&cursor={cursor}"), "all types"),
        (format!("/Users?{query}&cursor={}x", cursor), "something behind it"),
        (format!("/Users?{query}&cursor={}", &cursor[1..]), "its beginning gone"),
        (format!("/Users?{query}&cursor=2"), "a number"),
        (format!("/Users?{query}&cursor={}", encode("Ω' OR 1=1 --")), "what was never one"),
    ] {
        let answer = client.get(&path);
        assert_eq!(answer.status, 400, "{why}: {}", answer.text());
        answer.expect_error(400, invalid, "cursor");
    }
    let mut other = service.client_with("/scim/other/v2", Some(service.issue("other")));
    other.get(&go_on).expect_error(400, invalid, "cursor");
    // One identity server, whichever of its two URLs.
    let mut by_name = service.client_with("/scim/test/v2", Some(service.token().to_owned()));
    assert_eq!(names(&by_name.get(&go_on).expect(200).json()), names(&next));

    client.get("/Users?cursor&count=0").expect_error(400, Some("invalidCount"), "count");
    client.get("/Users?cursor=&count=-3").expect_error(400, Some("invalidCount"), "count");
    client.get("/Users?cursor=&count=many").expect_error(400, Some("invalidCount"), "count");
    client.get("/Users?cursor=&startIndex=1").expect_error(400, Some("invalidValue"), "startIndex and cursor");
    let page = client.get("/Users?cursor=&count=100000").expect(200).json();
    assert_eq!((names(&page).len(), page.get("nextCursor")), (53, None));

    let config = client.get("/ServiceProviderConfig").expect(200).json();
    assert_eq!(
        config["pagination"],
        json!({
            "cursor": true, "index": true, "defaultPaginationMethod": "index",
            "defaultPageSize": 200, "maxPageSize": 200, "cursorTimeout": 86400
        })
    );
    let by_index = client.get("/Users?count=5").expect(200).json();
    assert_eq!((&by_index["startIndex"], by_index.get("nextCursor")), (&json!(1), None), "index is the default");
}

#[test]
fn cursors_on_mariadb() {
    cursors(Engine::MariaDb);
}

#[test]
fn cursors_on_postgres() {
    cursors(Engine::Postgres);
}

#[test]
fn cursors_on_sqlite() {
    cursors(Engine::Sqlite);
}

/// Others insert and delete all the while, in front of the walk and behind it: everybody who is there throughout is seen
/// exactly once, and nobody twice.
fn while_others_write(engine: Engine) {
    let database = Database::small(engine);
    // Those who come and go get ids below and between those who stay.
    for block in 0..8 {
        people(&database, block * 40, block * 40 + 40);
        database.execute(&format!("INSERT INTO people (login, given, enabled) VALUES ('gone{block}', 'G', 1)"));
    }
    let service = Service::start(&database, Options::small());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                let n = rounds % 8;
                let id = if rounds % 3 == 0 { format!("-{}", rounds + 1) } else { format!("{}", n * 41 + 41) };
                let (login, title) = (format!("gone{n}-{}", rounds % 5), ["'a'", "NULL", "'zz'", "'Ä'"][n % 4]);
                database.execute(&format!(
                    "DELETE FROM people WHERE login LIKE 'gone%' AND id % 2 = {}; DELETE FROM people WHERE id = {id};
                     INSERT INTO people (id, login, given, enabled, title) VALUES ({id}, '{login}', 'G', 1, {title});
                     INSERT INTO people (login, given, enabled, title) VALUES ('gone-end{rounds}', 'G', 1, {title})",
                    rounds % 2
                ));
                rounds += 1;
            }
            rounds
        });
        let mut client = service.client();
        let mut walks = 0;
        for sort in [
            "",
            "&sortOrder=descending",
            "&sortBy=title",
            "&sortBy=title&sortOrder=descending",
            "&sortBy=userName",
            "&sortBy=id",
            "&sortBy=title&filter=title%20pr%20or%20active%20eq%20true",
        ] {
            let seen = walk(&mut client, &format!("/Users?count=9&attributes=userName{sort}"));
            let mut times: BTreeMap<String, usize> = BTreeMap::new();
            for name in seen {
                *times.entry(name).or_default() += 1;
            }
            for n in 0..320 {
                assert_eq!(times.get(&format!("p{n:04}")), Some(&1), "p{n:04} in a walk {sort:?}");
            }
            walks += 1;
        }
        done.store(true, Ordering::Relaxed);
        let rounds = writer.join().expect("the writer");
        assert!(rounds > walks, "{rounds} rounds of writing during {walks} walks");
    });
}

#[test]
fn while_others_write_on_mariadb() {
    while_others_write(Engine::MariaDb);
}

#[test]
fn while_others_write_on_postgres() {
    while_others_write(Engine::Postgres);
}

#[test]
fn while_others_write_on_sqlite() {
    while_others_write(Engine::Sqlite);
}

/// Walks 2,000 people by pages of 50 and gives the paths of a page near the beginning and of one near the end.
fn near_and_far(client: &mut Client, query: &str) -> (String, String) {
    let mut paths = Vec::new();
    let mut path = format!("/Users?{query}&cursor");
    loop {
        let page = client.get(&path).expect(200).json();
        let Some(next) = page["nextCursor"].as_str() else { break };
        path = format!("/Users?{query}&cursor={next}");
        paths.push(path.clone());
    }
    assert_eq!(paths.len(), 39);
    (paths[1].clone(), paths[35].clone())
}

/// MariaDB counts the rows that it reads: as many on a deep page as on an early one, where a page by index reads all before it.
#[test]
fn a_deep_page_reads_no_more_rows() {
    let database = Database::small(Engine::MariaDb);
    people(&database, 0, 2000);
    database.execute("CREATE INDEX people_enabled ON people (enabled); ANALYZE TABLE people");
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    database.rows("SET GLOBAL userstat = 1");
    let read = || {
        database.count(&format!(
            "SELECT COALESCE(SUM(rows_read), 0) FROM information_schema.table_statistics WHERE table_schema IN ('{0}', '{0}_own') AND table_name NOT IN ('tokens', 'signing_keys')",
            database.name
        ))
    };
    let mut cost = |path: &str| {
        let before = read();
        let page = client.get(path).expect(200).json();
        assert_eq!(names(&page).len(), 50);
        read() - before
    };
    let by_index = (
        cost("/Users?attributes=userName&count=50&startIndex=101"),
        cost("/Users?attributes=userName&count=50&startIndex=1801"),
    );
    assert!(by_index.1 > by_index.0, "{by_index:?}: the counter counts");
    let mut client = service.client();
    let (near, far) = near_and_far(&mut client, "attributes=userName&count=50");
    let by_cursor = (cost(&near), cost(&far));
    assert!(by_cursor.1 <= by_cursor.0 + 5 && by_cursor.1 < 200, "rows read near and far: {by_cursor:?}");
    println!("rows read near and far: by index {by_index:?}, by cursor {by_cursor:?}");
    // A text has no index in the order of its letters: each page reads all, a deep one no more than an early one.
    let (near, far) = near_and_far(&mut client, "attributes=userName&count=50&sortBy=userName");
    let sorted = (cost(&near), cost(&far));
    assert!(sorted.1 <= sorted.0 + 5, "rows read near and far: {sorted:?}");
    println!("sorted by userName: {sorted:?}");
}

/// PostgreSQL begins to read where the page begins: by the key, and by the index that `check` advises for names.
#[test]
fn a_page_begins_in_the_index() {
    let database = Database::small(Engine::Postgres);
    people(&database, 0, 2000);
    database.execute(
        "CREATE INDEX people_folded ON people (((lower((CAST(login AS TEXT)) COLLATE \"default\") COLLATE \"C\"))); ANALYZE people",
    );
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    for (sort, index) in [("", "people_pkey"), ("&sortBy=userName", "people_folded")] {
        let (_, far) = near_and_far(&mut client, &format!("attributes=userName&count=50{sort}"));
        let mark = statements::mark(&database);
        client.get(&far).expect(200);
        let seen = statements::since(&database, mark);
        let pages: Vec<&String> = seen.executed.iter().filter(|text| text.contains("LIMIT")).collect();
        let [page] = pages.as_slice() else { panic!("one statement for a page, not {pages:?}") };
        let plan = database.explain(page);
        assert!(plan.contains(&format!("Index Scan using {index} on people")), "{sort}: {plan}\n{page}");
        // A name that two share is sorted by the key, a few rows at a time.
        let sorts = plan.lines().any(|line| line.trim_start_matches([' ', '-', '>']) == "Sort");
        assert!(!sorts && !plan.contains("Seq Scan on people"), "{sort}: {plan}");
        assert!(plan.contains("Index Cond"), "{sort}: {plan}");
    }
}
