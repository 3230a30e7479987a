//! A database that is slow, and requests that are many or large: 503 with Retry-After and early, bounded memory, and recovery
//! by itself.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::{client, report};

/// Sixty-four clients while every statement waits: each is answered, most of them early, and as soon as the database goes on,
/// so does the service.
fn slow(engine: Engine, lock: &str) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    let id = service.client().post("/Users", &client::user("good", json!({}))).expect(201).id();
    let path = format!("/Users/{id}");
    let (answered, unlocked) = std::thread::scope(|scope| {
        let held = scope.spawn(|| {
            database.execute(lock);
            Instant::now()
        });
        std::thread::sleep(Duration::from_millis(500));
        let clients: Vec<_> = (0..64)
            .map(|_| {
                scope.spawn(|| {
                    let began = Instant::now();
                    let answer = service.client().get(&path);
                    let after = answer.header("retry-after").map(|text| text.parse::<u64>().expect("seconds"));
                    (answer.status, after, began.elapsed())
                })
            })
            .collect();
        // The database is one for all: no load balancer gains by another process.
        std::thread::sleep(Duration::from_millis(500));
        let ready = service.admin("/readyz").expect("the private listener answers");
        assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("every connection"), "{ready}");
        assert_eq!(service.metric("scimshim_ready"), Some(1.0));
        let answered: Vec<_> = clients.into_iter().map(|client| client.join().expect("an answer")).collect();
        (answered, held.join().expect("the lock is gone"))
    });
    for (status, retry_after, took) in &answered {
        assert_eq!(*status, 503, "{answered:?}");
        assert!(retry_after.is_some_and(|seconds| (1..=60).contains(&seconds)), "{answered:?}");
        assert!(*took < Duration::from_secs(20), "{answered:?}");
    }
    // The pool's 2 s, and what a busy machine needs for 64 handshakes; a statement's own limit would be 5 s.
    let early = answered.iter().filter(|(_, _, took)| *took < Duration::from_secs(4)).count();
    assert!(early >= 40, "{early} of 64 were answered within 4 s: {answered:?}");
    let patience = Instant::now() + Duration::from_secs(10);
    while service.client().get(&path).status != 200 {
        assert!(Instant::now() < patience, "the service did not recover: {}", service.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    let recovered = unlocked.elapsed();
    let most = service.memory().most >> 10;
    assert!(most < 300, "{most} MiB");
    report(
        "overload",
        &format!(
            "{engine:?} that answers nothing: {early} of 64 requests were 503 within 4 s; served again {recovered:.1?} after it was; {most} MiB at most"
        ),
    );
}

#[test]
fn a_slow_mariadb() {
    slow(Engine::MariaDb, "LOCK TABLES people WRITE; DO SLEEP(12); UNLOCK TABLES");
}

#[test]
fn a_slow_postgres() {
    slow(Engine::Postgres, "BEGIN; LOCK TABLE people IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(12); COMMIT");
}

/// Large bodies, many at once: what there is no room for is 503, and nothing is lost of what was taken.
#[test]
fn many_large_bodies() {
    const CLIENTS: usize = 24;
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more("limits: { body: 16MiB }"));
    let padding = "x".repeat(12 << 20);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (service, padding) = (&service, &padding);
                scope.spawn(move || {
                    let user = client::user(&format!("u{number}"), json!({ "urn:example:unknown": padding }));
                    let answer = service.client().try_scim("POST", "/Users", Some(&user)).expect("an answer");
                    (answer.status, answer.header("retry-after").is_some())
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("an answer")).collect()
    });
    let taken = outcomes.iter().filter(|(status, _)| *status == 201).count();
    assert!(outcomes.iter().all(|(status, after)| *status == 201 || (*status == 503 && *after)), "{outcomes:?}");
    assert!(taken >= 1, "{outcomes:?}");
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), i64::try_from(taken).unwrap());
    let most = service.memory().most >> 10;
    assert!(most < 500, "{most} MiB for {CLIENTS} bodies of 12 MiB");
    // Afterwards there is room again.
    service.client().post("/Users", &client::user("last", json!({ "urn:example:unknown": padding }))).expect(201);
    report(
        "overload",
        &format!("{CLIENTS} bodies of 12 MiB at once: {taken} taken, the others 503; {most} MiB at most"),
    );
}
