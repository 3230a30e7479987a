//! Digest with several processes on one database: they give and take each other's nonces, and each count of one is good once,
//! whichever process sees it first.

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::auth::{DigestClient, PASSWORD};
use crate::support::client::{self, Answer, Client};
use crate::support::databases::{Database, Engine};
use crate::support::servers::MariaDbServer;
use crate::support::service::{Options, Service};
use crate::support::statements;

const URI: &str = "/scim/hr/v2/Users?count=1";

fn options() -> Options {
    Options::small().identity_servers(&format!(
        "{{ test: {{ default: true }}, hr: {{ authentication: {{ digest: {{ username: hr, password: \"{PASSWORD}\" }} }} }} }}"
    ))
}

/// A nonce of one process.
fn nonce(service: &Service) -> String {
    let challenge = service.client_with("/scim/hr/v2", None).get("/Users").expect(401);
    DigestClient::nonce(challenge.header("www-authenticate").expect("a challenge"))
}

/// What a request of this count carries.
fn count(nonce: &str, nc: u32) -> String {
    DigestClient { nc: format!("{nc:08x}"), ..DigestClient::new(URI) }.authorization(nonce)
}

fn ask_with(client: &mut Client, authorization: &str) -> Answer {
    client.send("GET", URI, &[("Authorization", authorization)], None).expect("an answer")
}

fn ask(service: &Service, authorization: &str) -> Answer {
    ask_with(&mut service.client_with("", None), authorization)
}

#[track_caller]
fn expect_stale(answer: Answer) {
    let answer = answer.expect(401);
    assert!(
        answer.header("www-authenticate").is_some_and(|value| value.contains("stale=true")),
        "{:?}",
        answer.headers
    );
    assert!(answer.text().contains("this count of it was used before"), "{}", answer.text());
}

fn used(database: &Database) -> i64 {
    database.count(&format!("SELECT COUNT(*) FROM {}digest_counts", database.own_tables()))
}

/// One process gives the nonce, another takes it; each count of it once, also where a process began after it was used; a
/// proof that is wrong leaves nothing.
fn each_count_once(engine: Engine) {
    let database = Database::small(engine);
    let mut one = Service::start(&database, options());
    let two = one.second("two");
    let first = nonce(&one);
    let count = |nc: u32| count(&first, nc);
    ask(&one, &count(1)).expect(200);
    expect_stale(ask(&one, &count(1)));
    expect_stale(ask(&two, &count(1)));
    for nc in [2, 4, 3, u32::MAX, 5] {
        ask(&two, &count(nc)).expect(200);
        expect_stale(ask(&two, &count(nc)));
        expect_stale(ask(&one, &count(nc)));
    }
    let wrong = DigestClient { password: "wrong".into(), nc: "00000009".into(), ..DigestClient::new(URI) };
    let wrong = ask(&two, &wrong.authorization(&first)).expect(401);
    assert!(wrong.header("www-authenticate").is_some_and(|value| !value.contains("stale")), "{:?}", wrong.headers);
    assert_eq!(used(&database), 6);

    // A process that knows nothing of before.
    one.stop();
    one.start_again();
    expect_stale(ask(&one, &count(4)));
    ask(&one, &count(9)).expect(200);
    expect_stale(ask(&two, &count(9)));

    // A request that fails after it was let in has used its count all the same.
    let path = "/scim/hr/v2/Users/nobody";
    let missing = DigestClient { method: "DELETE".into(), nc: "0000000a".into(), ..DigestClient::new(path) };
    let missing = missing.authorization(&first);
    for (service, status) in [(&one, 404), (&two, 401), (&one, 401)] {
        let mut client = service.client_with("", None);
        client.send("DELETE", path, &[("Authorization", &missing)], None).expect("an answer").expect(status);
    }
    assert_eq!(used(&database), 8);
    // Who uses tokens leaves nothing.
    two.client().get("/Users").expect(200);
    assert_eq!(used(&database), 8);
}

#[test]
fn each_count_once_on_mariadb() {
    each_count_once(Engine::MariaDb);
}

#[test]
fn each_count_once_on_postgres() {
    each_count_once(Engine::Postgres);
}

#[test]
fn each_count_once_on_sqlite() {
    each_count_once(Engine::Sqlite);
}

/// Requests at once, through two processes: of one count exactly one gets in, of different counts all do.
fn at_once(engine: Engine) {
    let database = Database::small(engine);
    let one = Service::start(&database, options());
    let two = one.second("two");
    // The statuses of requests with these counts, sent together.
    let race = |counts: &[u32]| -> BTreeMap<u16, usize> {
        let (nonce, start) = (nonce(&one), Arc::new(Barrier::new(counts.len())));
        let threads: Vec<_> = counts
            .iter()
            .enumerate()
            .map(|(n, nc)| {
                let mut client = if n % 2 == 0 { &one } else { &two }.client_with("", None);
                let (start, authorization) = (Arc::clone(&start), count(&nonce, *nc));
                std::thread::spawn(move || {
                    ask_with(&mut client, "Bearer x").expect(401); // the connection is open before the start
                    start.wait();
                    ask_with(&mut client, &authorization)
                })
            })
            .collect();
        let mut statuses = BTreeMap::new();
        for answer in threads.into_iter().map(|thread| thread.join().expect("a client")) {
            *statuses.entry(answer.status).or_default() += 1;
            if answer.status != 200 {
                expect_stale(answer);
            }
        }
        statuses
    };
    for round in 0..10 {
        assert_eq!(race(&[1; 8]), BTreeMap::from([(200, 1), (401, 7)]), "round {round}: the same count");
    }
    let different: Vec<u32> = (1..=24).collect();
    assert_eq!(race(&different), BTreeMap::from([(200, 24)]), "different counts");
    let twice: Vec<u32> = (1..=12).flat_map(|nc| [nc, nc]).collect();
    assert_eq!(race(&twice), BTreeMap::from([(200, 12), (401, 12)]), "each count on both");
    assert_eq!(used(&database), 10 + 24 + 12);
}

#[test]
fn at_once_on_mariadb() {
    at_once(Engine::MariaDb);
}

#[test]
fn at_once_on_postgres() {
    at_once(Engine::Postgres);
}

#[test]
fn at_once_on_sqlite() {
    at_once(Engine::Sqlite);
}

#[track_caller]
fn expect_unavailable(answer: Answer) {
    let answer = answer.expect(503);
    let wait = answer.header("retry-after").and_then(|value| value.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| wait <= 60), "{:?}", answer.headers);
    assert!(answer.header("www-authenticate").is_none(), "{:?}", answer.headers);
}

/// Where used counts cannot be looked up, nobody gets in, and nobody is told to prove himself again; what was asked for in the
/// meantime is good later.
fn without_the_table(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, options());
    let nonce = nonce(&service);
    ask(&service, &count(&nonce, 1)).expect(200);
    let (own, name) = (database.own_tables(), "digest_counts");
    let rename = |from: &str, to: &str| match engine {
        Engine::MariaDb => database.execute(&format!("RENAME TABLE {own}{from} TO {own}{to}")),
        Engine::Postgres => database.execute(&format!("ALTER TABLE {own}{from} RENAME TO {to}")),
        Engine::Sqlite => database.execute(&format!("ALTER TABLE {own}{from} RENAME TO {own}{to}")),
    };
    rename(name, "away");
    for _ in 0..3 {
        expect_unavailable(ask(&service, &count(&nonce, 2)));
    }
    let guess = DigestClient { password: "guess".into(), nc: "00000003".into(), ..DigestClient::new(URI) };
    ask(&service, &guess.authorization(&nonce)).expect(401);
    service.client().get("/Users").expect(200);
    service.said("digest_counts");
    rename("away", name);
    ask(&service, &count(&nonce, 2)).expect(200);
    expect_stale(ask(&service, &count(&nonce, 2)));
}

#[test]
fn without_the_table_on_mariadb() {
    without_the_table(Engine::MariaDb);
}

#[test]
fn without_the_table_on_postgres() {
    without_the_table(Engine::Postgres);
}

#[test]
fn without_the_table_on_sqlite() {
    without_the_table(Engine::Sqlite);
}

/// The database is gone, as tokens see it and as Digest does; and comes back.
#[test]
fn the_database_is_gone() {
    let mut server = MariaDbServer::start();
    let database = Database::create_on(Engine::MariaDb, server.server());
    database.load(&Engine::MariaDb.small_schema());
    let service = Service::start(&database, options());
    let nonce = nonce(&service);
    ask(&service, &count(&nonce, 1)).expect(200);
    let mut bearer = service.client();
    bearer.get("/Users").expect(200);
    server.kill();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for nc in 2..14 {
            let (service, nonce) = (&service, &nonce);
            scope.spawn(move || expect_unavailable(ask(service, &count(nonce, nc))));
        }
    });
    println!("twelve requests at once without a database: refused within {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    expect_unavailable(bearer.get("/Users"));
    server.start_again();
    let patience = Instant::now() + Duration::from_secs(30);
    let answer = loop {
        let answer = ask(&service, &count(&nonce, 2));
        if answer.status != 503 || Instant::now() > patience {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    answer.expect(200);
    expect_stale(ask(&service, &count(&nonce, 2)));
    expect_stale(ask(&service, &count(&nonce, 1)));
}

/// A SQLite file in which somebody writes for longer than is waited for: 503 while reading with a token goes on.
#[test]
fn the_file_is_being_written() {
    let database = Database::small(Engine::Sqlite);
    let mut service = Service::start(&database, options());
    service.configure(|text| text.replacen("database:\n", "database:\n  lock_timeout: 1s\n", 1));
    service.stop();
    service.start_again();
    let nonce = nonce(&service);
    ask(&service, &count(&nonce, 1)).expect(200);
    let hold = database.hold();
    expect_unavailable(ask(&service, &count(&nonce, 2)));
    service.client().get("/Users").expect(200);
    drop(hold);
    ask(&service, &count(&nonce, 2)).expect(200);
}

/// What is over is deleted, by whichever of two processes; what is not stays.
fn pruned(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, options().more("journal: { retain: 3s }"));
    let second = service.second("two");
    let own = database.own_tables();
    let nonce = nonce(&service);
    ask(&second, &count(&nonce, 1)).expect(200);
    let now = chrono::Utc::now().timestamp_micros();
    let kept = database.rows(&format!("SELECT expires_at - {now} FROM {own}digest_counts"));
    let kept: i64 = kept[0][0].as_deref().and_then(|text| text.parse().ok()).expect("a number");
    assert!((300_000_000..=331_000_000).contains(&kept), "{kept}");
    let rows: Vec<String> = (0..3000).map(|n| format!("('{n:032x}', '00000001', {})", now - 1 - n)).collect();
    database.execute(&format!("INSERT INTO {own}digest_counts (nonce, nc, expires_at) VALUES {}", rows.join(", ")));
    let patience = Instant::now() + Duration::from_secs(30);
    while used(&database) > 1 {
        assert!(Instant::now() < patience, "{}", used(&database));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(used(&database), 1);
    expect_stale(ask(&service, &count(&nonce, 1)));
}

#[test]
fn pruned_on_mariadb() {
    pruned(Engine::MariaDb);
}

#[test]
fn pruned_on_postgres() {
    pruned(Engine::Postgres);
}

#[test]
fn pruned_on_sqlite() {
    pruned(Engine::Sqlite);
}

/// A request with Digest costs one statement more than one with a token, which costs nothing there; one that is played again
/// where it was seen, a guess, and one without a credential cost none.
fn one_statement(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, options());
    let two = service.second("two");
    let nonce = nonce(&service);
    let (mut digest, mut bearer) = (service.client_with("", None), service.client());
    let mut ask = |nc: u32| ask_with(&mut digest, &count(&nonce, nc));
    let mine =
        |seen: &statements::Statements| seen.executed.iter().filter(|text| text.contains("digest_counts")).count();
    // What is prepared only once has been, and the journal's entries of these are written a moment later.
    ask(1).expect(200);
    bearer.get("/Users?count=1").expect(200);
    let settled = || {
        let mut mark = statements::mark(&database);
        loop {
            std::thread::sleep(Duration::from_millis(300));
            let now = statements::mark(&database);
            if statements::since(&database, mark).executed.is_empty() {
                return now;
            }
            mark = now;
        }
    };
    let reads = |seen: &statements::Statements| {
        let of_people = |text: &&String| text.contains("people") && text.trim_start().starts_with("SELECT");
        seen.executed.iter().filter(of_people).count()
    };
    let mark = settled();
    bearer.get("/Users?count=1").expect(200);
    settled();
    let by_token = statements::since(&database, mark);
    let mark = settled();
    ask(2).expect(200);
    settled();
    let by_digest = statements::since(&database, mark);
    assert_eq!((mine(&by_token), mine(&by_digest)), (0, 1), "{:?}", by_digest.executed);
    assert_eq!(reads(&by_token), reads(&by_digest));
    assert_eq!(
        by_digest.executed.len(),
        by_token.executed.len() + 1,
        "{:?}\n{:?}",
        by_token.executed,
        by_digest.executed
    );
    let mark = settled();
    ask(2).expect(401);
    let guess = DigestClient { password: "guess".into(), nc: "00000003".into(), ..DigestClient::new(URI) };
    ask_with(&mut two.client_with("", None), &guess.authorization(&nonce)).expect(401);
    two.client_with("/scim/hr/v2", None).get("/Users").expect(401);
    settled();
    let refused = statements::since(&database, mark);
    assert!(refused.executed.is_empty(), "{:?}", refused.executed);
    // A write, too: the count is used before its transaction.
    let mark = settled();
    let body = client::user("ada", json!({})).to_string();
    let post = DigestClient { method: "POST".into(), nc: "00000004".into(), ..DigestClient::new("/scim/hr/v2/Users") };
    let headers = [("Authorization", post.authorization(&nonce)), ("Content-Type", "application/scim+json".into())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut client = service.client_with("", None);
    client.send("POST", "/scim/hr/v2/Users", &headers, Some(body.as_bytes())).expect("an answer").expect(201);
    settled();
    let write = statements::since(&database, mark);
    assert_eq!(mine(&write), 1, "{:?}", write.executed);
    assert!(write.executed.first().is_some_and(|text| text.contains("digest_counts")), "{:?}", write.executed);
}

#[test]
fn one_statement_on_mariadb() {
    one_statement(Engine::MariaDb);
}

#[test]
fn one_statement_on_postgres() {
    one_statement(Engine::Postgres);
}
