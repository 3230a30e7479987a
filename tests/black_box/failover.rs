//! Several database hosts: tried in order, read-only ones skipped; when another one becomes the primary, the service follows.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::servers::MariaDbServer;
use crate::support::service::{Options, Service};

/// A database that is away: `/readyz` and the metric say so, asked by nobody else, and say when it is back.
#[test]
fn a_database_that_is_away() {
    let mut server = MariaDbServer::start();
    let database = Database::create_on(Engine::MariaDb, server.server());
    database.load(&Engine::MariaDb.small_schema());
    let service = Service::start(&database, Options::small());
    assert_eq!(service.metric("scimshim_ready"), Some(1.0));
    server.kill();
    let told = service.admin("/readyz").expect("the private listener answers");
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("database"), "{told}");
    assert_eq!(service.metric("scimshim_ready"), Some(0.0), "before anybody asked for anything");
    assert_eq!(service.client().get("/Users").status, 503);
    assert_eq!(service.metric("scimshim_ready"), Some(0.0));
    server.start_again();
    let patience = Instant::now() + Duration::from_secs(20);
    while service.metric("scimshim_ready") != Some(1.0) {
        assert!(Instant::now() < patience, "{}", service.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    service.client().get("/Users").expect(200);
}

/// A database that stops answering while its connections stay: requests are 503 early, those that wait for their token's
/// check among them; and although every connection is in use, nobody is told that the service is ready.
#[test]
fn a_database_that_freezes() {
    let server = MariaDbServer::start();
    let database = Database::create_on(Engine::MariaDb, server.server());
    database.load(&Engine::MariaDb.small_schema());
    let service = Service::start(&database, Options::small());
    std::thread::scope(|scope| {
        // All connections are warm.
        let warm: Vec<_> = (0..16).map(|_| scope.spawn(|| service.client().get("/Users").expect(200))).collect();
        warm.into_iter().for_each(|client| drop(client.join().expect("an answer")));
        server.freeze();
        let ask = || {
            let began = Instant::now();
            (service.client().get("/Users").status, began.elapsed())
        };
        let at_once: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        std::thread::sleep(Duration::from_millis(2000));
        // By now no token is fresh enough: the tables are to be read again, and do not answer.
        // Whoever asks for metrics waits for the database first, 2 or 3 s.
        let waiting = scope.spawn(|| service.metric("scimshim_pool_waiting"));
        std::thread::sleep(Duration::from_millis(1200));
        let later: Vec<_> = (0..30).map(|_| scope.spawn(ask)).collect();
        for client in later {
            let (status, took) = client.join().expect("an answer");
            assert!(status == 503 && took < Duration::from_secs(15), "{status} after {took:?}");
        }
        let waiting = waiting.join().expect("metrics");
        assert!(waiting > Some(0.0), "{waiting:?}");
        let patience = Instant::now() + Duration::from_secs(15);
        loop {
            let told = service.admin("/readyz").expect("the private listener answers");
            if told.starts_with("HTTP/1.1 503") {
                break;
            }
            assert!(Instant::now() < patience, "{told}");
        }
        // And so it stays, however often it is asked.
        for _ in 0..4 {
            let told = service.admin("/readyz").expect("the private listener answers");
            assert!(told.starts_with("HTTP/1.1 503") && told.contains("does not answer"), "{told}");
        }
        assert_eq!(service.metric("scimshim_ready"), Some(0.0));
        server.thaw();
        for client in at_once {
            client.join().expect("an answer");
        }
        let patience = Instant::now() + Duration::from_secs(10);
        while service.metric("scimshim_ready") != Some(1.0) {
            assert!(Instant::now() < patience, "{}", service.stderr());
            std::thread::sleep(Duration::from_millis(50));
        }
        service.client().get("/Users").expect(200);
    });
}

#[test]
fn of_mariadb() {
    let mut first = MariaDbServer::start();
    let database = Database::create_on(Engine::MariaDb, first.server());
    database.load(&Engine::MariaDb.small_schema());
    let mut service = Service::start(&database, Options::small());
    service.client().post("/Users", &client::user("before", json!({}))).expect(201);
    assert!(service.stop().success());

    // A replica, as far as the service can tell: the same data, read only. It stands first in the list.
    let second = first.copy();
    second.administer("SET GLOBAL read_only = 1");
    let (one, other) = (first.address(), second.address());
    service.configure(|text| text.replace(&format!("@{one}/"), &format!("@{other},{one}/")));
    let checked = service.run(&["check"]);
    assert!(checked.status.success(), "{}", crate::support::service::describe(&checked));
    service.start_again();
    let mut client = service.client();
    client.post("/Users", &client::user("one", json!({}))).expect(201);
    assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE login = 'one'"), 1, "on the one that takes writes");

    // The replica becomes the primary, without the row that it never had.
    first.administer("SET GLOBAL read_only = 1");
    second.administer("SET GLOBAL read_only = 0");
    let patience = Instant::now() + Duration::from_secs(20);
    let refused = loop {
        let answer = client.post("/Users", &client::user("two", json!({})));
        if answer.status == 201 {
            break Instant::now();
        }
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
        assert!(Instant::now() < patience, "the service does not follow: {}", service.stderr());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(refused < patience);
    assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE login = 'two'"), 0, "not on the old primary");
    for _ in 0..20 {
        client.get("/Users?filter=userName%20eq%20%22two%22").expect(200);
    }
    // The old one goes away for good, and with it every connection that was left.
    first.kill();
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client.get("/Users?filter=userName%20eq%20%22two%22");
        if answer.status == 200 {
            assert_eq!(answer.json()["totalResults"], 1, "{}", answer.text());
            break;
        }
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(Instant::now() < patience, "the service does not follow: {}", service.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    client.post("/Users", &client::user("three", json!({}))).expect(201);
}

/// An application whose tables are changed under the service: 503 from the first request on, until they fit again.
#[test]
fn a_column_that_is_renamed() {
    for engine in [Engine::MariaDb, Engine::Postgres, Engine::Sqlite] {
        let database = Database::small(engine);
        let service = Service::start(&database, Options::small());
        let mut client = service.client();
        client.post("/Users", &client::user("ada", json!({ "title": "Countess" }))).expect(201);
        database.execute("ALTER TABLE people RENAME COLUMN title TO calling");
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            let answer = client.get("/Users");
            assert_eq!(answer.status, 503, "{engine:?}: {}", answer.text());
            assert!(answer.header("retry-after").is_some(), "{:?}", answer.headers);
            let told = service.admin("/readyz").expect("the private listener answers");
            if told.starts_with("HTTP/1.1 503") {
                assert!(told.contains("title"), "{told}");
                break;
            }
            assert!(Instant::now() < patience, "{engine:?}: {told}");
            std::thread::sleep(Duration::from_millis(50));
        }
        database.execute("ALTER TABLE people RENAME COLUMN calling TO title");
        let patience = Instant::now() + Duration::from_secs(30);
        while client.get("/Users").status != 200 {
            assert!(Instant::now() < patience, "{engine:?}: it does not go on: {}", service.stderr());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
