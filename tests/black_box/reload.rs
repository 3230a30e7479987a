//! SIGHUP: everything is read again and swapped in one step, or not at all, while requests are answered. SIGTERM: what was
//! asked is answered.
//!
//! SCIMSHIM_RELOADS says how often the configuration is read again under load.

use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, signal};
use crate::support::{client, report, size};

const DONE: &str = "scimshim_reloads_total{outcome=\"done\"}";
const REFUSED: &str = "scimshim_reloads_total{outcome=\"refused\"}";

/// SIGHUP, and until it was dealt with; gives how often the configuration was taken and refused so far.
fn reload(service: &Service) -> (u64, u64) {
    let count = || {
        let count = |series| service.metric(series).map_or(0, |value| format!("{value}").parse().expect("a count"));
        (count(DONE), count(REFUSED))
    };
    let (done, refused): (u64, u64) = count();
    service.hang_up();
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let now = count();
        if now.0 + now.1 > done + refused {
            return now;
        }
        assert!(Instant::now() < patience, "the configuration was not read again:\n{}", service.stderr());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What the files say when they are read again.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// As at the start.
    Good,
    /// Another certificate with its key.
    Swapped,
    /// The configuration is no YAML.
    BrokenYaml,
    /// The configuration has a key that nobody knows.
    UnknownKey,
    /// The certificate is cut off.
    CutCertificate,
    /// The key is of another certificate.
    WrongKey,
}

impl Moment {
    const ALL: [Moment; 6] = [
        Moment::Swapped,
        Moment::BrokenYaml,
        Moment::Good,
        Moment::CutCertificate,
        Moment::UnknownKey,
        Moment::WrongKey,
    ];

    fn is_good(self) -> bool {
        matches!(self, Moment::Good | Moment::Swapped)
    }
}

/// The files of an installation, to be broken and mended.
struct Files<'s> {
    service: &'s Service,
    configuration: String,
    pairs: [(String, String); 2],
}

impl<'s> Files<'s> {
    fn of(service: &'s Service) -> Files<'s> {
        let read = |name: &str| std::fs::read_to_string(service.folder().join(name)).expect("a file");
        Files {
            service,
            configuration: std::fs::read_to_string(service.config()).expect("the configuration"),
            pairs: [(read("certificate.pem"), read("key.pem")), (read("next-certificate.pem"), read("next-key.pem"))],
        }
    }

    fn write(&self, moment: Moment) {
        let [(certificate, key), (next_certificate, next_key)] = &self.pairs;
        let (certificate, key) = match moment {
            Moment::Swapped => (next_certificate.clone(), next_key),
            Moment::CutCertificate => (certificate[..certificate.len() / 2].to_owned(), key),
            Moment::WrongKey => (certificate.clone(), next_key),
            Moment::Good | Moment::BrokenYaml | Moment::UnknownKey => (certificate.clone(), key),
        };
        let configuration = match moment {
            Moment::BrokenYaml => format!("{}\n  : [", self.configuration),
            Moment::UnknownKey => format!("{}\nlistn: 127.0.0.1:1\n", self.configuration),
            _ => self.configuration.clone(),
        };
        let put = |path: std::path::PathBuf, text: &str| std::fs::write(path, text).expect("written");
        put(self.service.folder().join("certificate.pem"), &certificate);
        put(self.service.folder().join("key.pem"), key);
        put(self.service.config(), &configuration);
    }
}

/// Two hundred requests a second while the configuration is read again and again, good and broken, then SIGTERM: no
/// request fails, and the last word of each writer is in the database.
#[test]
fn under_load() {
    const WRITERS: usize = 4;
    let reloads = size("SCIMSHIM_RELOADS", 18);
    let database = Database::small(Engine::Postgres);
    let mut service = Service::start(&database, Options::small());
    let mut client = service.client();
    let ids: Vec<String> = (0..WRITERS)
        .map(|writer| client.post("/Users", &client::user(&format!("w{writer}"), json!({}))).expect(201).id())
        .collect();
    let before = service.metric("scimshim_certificate_expires_timestamp_seconds");
    assert!(before.is_some_and(|ends| ends > 1e9), "{before:?}");

    let (stopping, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    let (last, took) = std::thread::scope(|scope| {
        let writers: Vec<_> = ids
            .iter()
            .map(|id| {
                let (service, stopping, requests) = (&service, &stopping, &requests);
                scope.spawn(move || {
                    let mut client = service.client();
                    let mut last = 0_u64;
                    let begun = Instant::now();
                    for number in 1_u64.. {
                        // 50 a second each; every tenth on a connection of its own.
                        let due = Duration::from_millis(20) * u32::try_from(number).expect("a small number");
                        std::thread::sleep(due.saturating_sub(begun.elapsed()));
                        if stopping.load(Ordering::SeqCst) {
                            break;
                        }
                        if number % 10 == 0 {
                            client.disconnect();
                        }
                        let path = format!("/Users/{id}");
                        let sent = match number % 3 {
                            0 => {
                                let title = json!([{ "op": "replace", "path": "title", "value": number.to_string() }]);
                                client.try_scim("PATCH", &path, Some(&client::patch(title)))
                            }
                            _ => client.try_scim("GET", &path, None),
                        };
                        let answer = sent.unwrap_or_else(|failure| panic!("request {number}: {failure:?}"));
                        assert_eq!(answer.status, 200, "request {number}: {}", answer.text());
                        requests.fetch_add(1, Ordering::Relaxed);
                        if number % 3 == 0 {
                            last = number;
                        }
                    }
                    last
                })
            })
            .collect();
        let files = Files::of(&service);
        let begun = Instant::now();
        let (mut good, mut bad) = (0, 0);
        for moment in Moment::ALL.into_iter().cycle().take(reloads) {
            files.write(moment);
            if moment.is_good() {
                good += 1
            } else {
                bad += 1
            }
            assert_eq!(reload(&service), (good, bad), "{moment:?}:\n{}", service.stderr());
            let expected = if moment.is_good() { 1.0 } else { 0.0 };
            assert_eq!(service.metric("scimshim_reload_successful"), Some(expected), "{moment:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let took = begun.elapsed();
        stopping.store(true, Ordering::SeqCst);
        let last: Vec<u64> = writers.into_iter().map(|writer| writer.join().expect("no request failed")).collect();
        // One more, that waits for a row while SIGTERM comes.
        scope.spawn(|| {
            database.execute("BEGIN; SELECT * FROM people WHERE login = 'w0' FOR UPDATE; SELECT pg_sleep(1.5); COMMIT")
        });
        std::thread::sleep(Duration::from_millis(500));
        let waiting = scope.spawn(|| {
            let title = json!([{ "op": "replace", "path": "title", "value": "last" }]);
            service.client().try_scim("PATCH", &format!("/Users/{}", ids[0]), Some(&client::patch(title)))
        });
        std::thread::sleep(Duration::from_millis(300));
        signal(service.pid(), "TERM");
        std::thread::sleep(Duration::from_millis(200));
        // Until the last request has ended, it says so where load balancers ask; whoever comes now is turned away.
        let told = service.admin("/readyz").expect("the private listener answers");
        assert!(told.starts_with("HTTP/1.1 503") && told.contains("the service is stopping"), "{told}");
        assert_eq!(service.metric("scimshim_ready"), Some(0.0));
        let patience = Instant::now() + Duration::from_secs(5);
        while service.client().connect().is_ok() {
            assert!(Instant::now() < patience, "the public port is not closed");
        }
        let answer = waiting.join().expect("a thread").expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        (last, took)
    });
    assert!(service.ended().success(), "{}", service.stderr());
    for (writer, number) in last.iter().enumerate() {
        let title = if writer == 0 { "last".to_owned() } else { number.to_string() };
        let rows = format!("SELECT COUNT(*) FROM people WHERE login = 'w{writer}' AND title = '{title}'");
        assert_eq!(database.count(&rows), 1, "the last word of writer {writer}");
    }
    let requests = requests.into_inner();
    assert!(requests > 100, "{requests}");
    report(
        "reload",
        &format!("{reloads} reloads in {took:.1?}, {requests} requests meanwhile, then SIGTERM: none failed"),
    );
}

/// What a reload changes at once: limits of connections, credentials, adapters; and what it says of the rest.
#[test]
fn what_changes() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more("limits: { page: 50 }"));
    let mut client = service.client();
    for number in 0..3 {
        client.post("/Users", &client::user(&format!("u{number}"), json!({}))).expect(201);
    }
    assert_eq!(client.get("/Users").json()["itemsPerPage"], 3);
    let configuration = std::fs::read_to_string(service.config()).expect("the configuration");
    let write = |text: String| std::fs::write(service.config(), text).expect("written");

    write(configuration.replace("limits: { page: 50 }", "limits: { page: 2, connections_per_address: 1 }"));
    assert_eq!(reload(&service), (1, 0), "{}", service.stderr());
    assert_eq!(client.get("/Users").json()["itemsPerPage"], 2, "on a connection that was there before");
    // The one connection is taken: the next is closed without a word.
    assert!(service.client().try_scim("GET", "/Users", None).is_err(), "one connection an address");
    assert!(service.metric("scimshim_connections_refused_total").is_some_and(|count| count >= 1.0));

    // What cannot be reloaded is said, and the rest is taken all the same.
    let port = service.address().port();
    write(
        configuration
            .replace(&format!("listen: 127.0.0.1:{port}"), "listen: 127.0.0.1:1")
            .replace("limits: { page: 50 }", "limits: { page: 1 }\nlog: { level: debug }"),
    );
    assert_eq!(reload(&service), (2, 0), "{}", service.stderr());
    assert_eq!(service.client().get("/Users").json()["itemsPerPage"], 1);
    let log = service.said("\"key\":\"log\"");
    for key in ["listen", "log"] {
        let line = log.lines().find(|line| line.contains("is not reloaded") && line.contains(&format!("\"{key}\"")));
        assert!(line.is_some(), "{key}: {log}");
    }
    assert!(!log.contains("\"tls\""), "{log}");
    // Each time: what is in force is what counts, not what was read the last time.
    assert_eq!(reload(&service), (3, 0), "{}", service.stderr());
    let lines = || service.stderr().lines().filter(|line| line.contains("is not reloaded")).count();
    let patience = Instant::now() + Duration::from_secs(10);
    while lines() < 4 {
        assert!(Instant::now() < patience, "{}", service.stderr());
        std::thread::sleep(Duration::from_millis(10));
    }
    // And it was ready all the time: the database is not looked at a second time, when it may be busy.
    assert_eq!(service.stderr().matches("\"message\":\"ready\"").count(), 1, "{}", service.stderr());
}

#[test]
fn how_many_may_fail() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more("limits: { failures_per_minute: 2 }"));
    let guess = |number: u32| service.client_with("/scim/v2", Some(format!("wrong{number}"))).get("/Users").status;
    assert_eq!([guess(0), guess(1), guess(2)], [401, 401, 429]);
    let configuration = std::fs::read_to_string(service.config()).expect("the configuration");
    let write = |text: String| std::fs::write(service.config(), text).expect("written");
    let more = |text: &str| configuration.replace("failures_per_minute: 2", text);
    // What is refused changes nothing.
    write(more("failures_per_minute: 5, pages: 3"));
    assert_eq!(reload(&service), (0, 1), "{}", service.stderr());
    assert_eq!(guess(3), 429);
    write(more("failures_per_minute: 5"));
    assert_eq!(reload(&service), (1, 1), "{}", service.stderr());
    assert_eq!([guess(4), guess(5)], [401, 429], "four were counted already");
}

/// While the configuration is read again and the database keeps it waiting, systemd hears that the service is alive, requests
/// are answered, and SIGTERM is heard.
#[test]
fn a_reload_that_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let database = Database::small(Engine::Postgres);
    let options =
        Options::small().variable("NOTIFY_SOCKET", path.to_str().expect("a path")).variable("WATCHDOG_USEC", "300000");
    let mut service = Service::start(&database, options);
    service.client().get("/Users").expect(200);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let table = format!("{}signing_keys", database.own_tables());
            database
                .execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4); COMMIT"));
        });
        std::thread::sleep(Duration::from_millis(500));
        let hear = || {
            let mut buffer = [0; 4096];
            let length = socket.recv(&mut buffer).expect("systemd hears something");
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        service.hang_up();
        while !hear().starts_with("RELOADING=1") {}
        for _ in 0..5 {
            assert_eq!(hear(), "WATCHDOG=1");
        }
        service.client().get("/ServiceProviderConfig").expect(200);
        let began = Instant::now();
        signal(service.pid(), "TERM");
        while !hear().starts_with("STOPPING=1") {}
        assert!(service.ended().success(), "{}", service.stderr());
        assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
    });
}
