//! Killed in the midst of writes: the service, and the database server, by SIGKILL at random moments while eight clients
//! write. Every write that was answered is there, no other is there by half.
//!
//! `SCIMSHIM_KILLS` (5) kills of each.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::ledger::{self, Progress, Tables};
use crate::support::servers::MariaDbServer;
use crate::support::service::{Options, Service};
use crate::support::{real_case, report, shared, size};

const WRITERS: usize = 8;

/// Lets eight clients write through `service` while `kill` is called again and again, then compares.
fn during(what: &str, database: &Database, tables: &Tables, service: &mut Service, mut kill: impl FnMut(&mut Service)) {
    let kills = size("SCIMSHIM_KILLS", 5);
    let group = service.client().post("/Groups", &client::group("everybody", &[])).expect(201).id();
    let progress = Arc::new(Progress::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (client, group, progress) = (service.client(), group.clone(), Arc::clone(&progress));
            std::thread::spawn(move || ledger::write(client, writer, &group, &progress))
        })
        .collect();
    let mut moment = u64::from(std::process::id());
    for _ in 0..kills {
        // Not before the clients are writing again, then at a moment that no clock agrees with.
        let before = progress.answered.load(Ordering::Relaxed);
        let patience = Instant::now() + Duration::from_secs(60);
        while progress.answered.load(Ordering::Relaxed) < before + 2 * WRITERS {
            assert!(Instant::now() < patience, "no write is answered any more:\n{}", service.stderr());
            std::thread::sleep(Duration::from_millis(2));
        }
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros(moment >> 48));
        kill(service);
    }
    let before = progress.answered.load(Ordering::Relaxed);
    let patience = Instant::now() + Duration::from_secs(60);
    while progress.answered.load(Ordering::Relaxed) < before + WRITERS {
        assert!(Instant::now() < patience, "no write is answered after the last kill:\n{}", service.stderr());
        std::thread::sleep(Duration::from_millis(5));
    }
    progress.stop.store(true, Ordering::Relaxed);
    let ledgers: Vec<_> = writers.into_iter().map(|writer| writer.join().expect("a writer")).collect();
    assert!(service.stop().success(), "SIGTERM ends the service well:\n{}", service.stderr());
    let patience = Instant::now() + Duration::from_secs(20);
    while database.sessions() > 0 {
        assert!(Instant::now() < patience, "sessions of a service that is gone");
        std::thread::sleep(Duration::from_millis(50));
    }
    let verdict = ledger::compare(database, tables, &group, &ledgers);
    let answered: usize = ledgers.iter().map(|ledger| ledger.answered).sum();
    let unanswered: usize = ledgers.iter().map(|ledger| ledger.unanswered).sum();
    let wrong: Vec<&String> = ledgers.iter().flat_map(|ledger| &ledger.wrong).collect();
    assert!(verdict.problems.is_empty(), "{} problems:\n{}", verdict.problems.len(), verdict.problems.join("\n"));
    assert!(wrong.is_empty(), "answers that no kill explains: {wrong:?}");
    assert!(answered > 0 && verdict.people > 0);
    report(
        what,
        &format!(
            "{:?} (`{}`): {kills} kills -9 while {WRITERS} clients write: {answered} answered writes all there, of {unanswered} \
             unanswered {} happened whole and {} not at all; {} people and {} history rows compared, 0 differences",
            database.engine, tables.people, verdict.happened, verdict.not_happened, verdict.people, verdict.follow_ups
        ),
    );
}

fn service_killed(database: &Database, options: Options, tables: &Tables) {
    let mut service = Service::start(database, options);
    during("kill-service", database, tables, &mut service, |service| {
        service.kill();
        service.start_again();
    });
}

#[test]
fn the_service_on_mariadb() {
    service_killed(&Database::small(Engine::MariaDb), Options::small(), &ledger::SMALL);
}

#[test]
fn the_service_on_postgres() {
    service_killed(&Database::small(Engine::Postgres), Options::small(), &ledger::SMALL);
}

#[test]
fn the_service_on_sqlite() {
    service_killed(&Database::small(Engine::Sqlite), Options::small(), &ledger::SMALL);
}

#[test]
fn the_service_on_snipe_it() {
    let Some(schema) = shared("schemas/snipe-it-8.6.3.sql") else {
        return;
    };
    let database = Database::create(Engine::MariaDb);
    database.load(&schema);
    service_killed(&database, Options::adapter("adapters/snipe-it.yaml"), &ledger::SNIPE_IT);
    real_case("snipe-it 8.6.3 kills of the service");
}

fn mariadb_killed(server: &mut MariaDbServer, database: &Database, options: Options, tables: &Tables) {
    let mut service = Service::start(database, options);
    during("kill-database", database, tables, &mut service, |_| {
        server.kill();
        server.start_again();
    });
}

#[test]
fn mariadb() {
    let mut server = MariaDbServer::start();
    let database = Database::create_on(Engine::MariaDb, server.server());
    database.load(&Engine::MariaDb.small_schema());
    mariadb_killed(&mut server, &database, Options::small(), &ledger::SMALL);
}

#[test]
fn mariadb_of_snipe_it() {
    let Some(schema) = shared("schemas/snipe-it-8.6.3.sql") else {
        return;
    };
    let mut server = MariaDbServer::start();
    let database = Database::create_on(Engine::MariaDb, server.server());
    database.load(&schema);
    mariadb_killed(&mut server, &database, Options::adapter("adapters/snipe-it.yaml"), &ledger::SNIPE_IT);
    real_case("snipe-it 8.6.3 kills of MariaDB");
}
