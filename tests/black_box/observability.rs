//! What an administrator sees of the service: log lines, metrics, traces, what systemd hears; and that dashboard, alerts and
//! documentation speak of what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::{client, file};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The access lines written so far.
fn access_lines(service: &Service) -> Vec<Value> {
    let log = service.stderr();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == "request").collect()
}

/// The access line of one request, when it is there.
fn access_line(service: &Service, request: &str) -> Value {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(line) = access_lines(service).into_iter().find(|line| line["request"] == request) {
            return line;
        }
        assert!(Instant::now() < patience, "no line of {request}: {}", service.stderr());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn access_lines_of_a_request() {
    let database = Database::small(Engine::MariaDb);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let created =
        client.post("/Users", &client::user("Personal.Name", json!({ "title": "Personal Title" }))).expect(201);
    let line = access_line(&service, created.header("x-request-id").expect("an id"));
    assert_eq!((&line["method"], &line["route"], &line["status"]), (&json!("POST"), &json!("/Users"), &json!(201)));
    assert_eq!(
        (&line["server"], &line["by"], &line["client"]),
        (&json!("test"), &json!("bearer"), &json!("127.0.0.1"))
    );
    let (all, database_time) = (line["ms"].as_f64().expect("a time"), line["db_ms"].as_f64().expect("a time"));
    assert!(database_time > 0.0 && database_time <= all, "{line}");
    assert!(line["rows"].as_u64() >= Some(1), "{line}");
    assert!(line.get("trace").is_none(), "nobody spoke of one: {line}");

    let found = client.get("/Users?filter=userName%20eq%20%22personal.name%22").expect(200);
    let line = access_line(&service, found.header("x-request-id").expect("an id"));
    assert_eq!(line["rows"], 1, "{line}");
    let discovered = client.get("/Schemas").expect(200);
    let line = access_line(&service, discovered.header("x-request-id").expect("an id"));
    assert_eq!((&line["rows"], &line["db_ms"]), (&json!(0), &json!(0.0)), "{line}");

    // An id and a trace that a stranger brings: the trace is taken, the id is not.
    let headers = [("traceparent", PARENT), ("X-Request-Id", "stranger-1")];
    let authorization = format!("Bearer {}", service.token());
    let answer = client
        .send("GET", "/scim/v2/Users", &[headers[0], headers[1], ("Authorization", &authorization)], None)
        .expect("an answer");
    assert_eq!(answer.status, 200);
    let id = answer.header("x-request-id").expect("an id");
    assert_ne!(id, "stranger-1");
    assert_eq!(access_line(&service, id)["trace"], "0af7651916cd43dd8448eb211c80319c");
    let log = service.stderr().to_lowercase();
    assert!(!log.contains("personal"), "nothing personal is in the log: {log}");
}

#[test]
fn ids_of_a_trusted_proxy() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more("trusted_proxies: [127.0.0.1]"));
    let authorization = format!("Bearer {}", service.token());
    let ask = |id: &str| {
        let headers = [("X-Request-Id", id), ("Authorization", authorization.as_str())];
        let answer = service.client().send("GET", "/scim/v2/Users", &headers, None).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.header("x-request-id").expect("an id").to_owned()
    };
    assert_eq!(ask("lb:7f-1.2_3"), "lb:7f-1.2_3");
    access_line(&service, "lb:7f-1.2_3");
    for strange in ["", "a b", "a\"b", "é", &"x".repeat(65)] {
        assert_ne!(ask(strange), strange);
    }
}

/// A collector that keeps what it is sent, by path.
struct Collector {
    url: String,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Collector {
    fn start() -> Collector {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let heard: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    let _ = Collector::take(stream, &kept);
                });
            }
        });
        Collector { url, heard }
    }

    fn take(mut stream: TcpStream, kept: &Mutex<Vec<(String, Value)>>) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        kept.lock().unwrap().push((path, serde_json::from_slice(&body)?));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
    }

    /// Everything under one key, however deep, of what came to a path.
    fn all(&self, path: &str, key: &str) -> Vec<Value> {
        fn collect(value: &Value, key: &str, found: &mut Vec<Value>) {
            match value {
                Value::Object(object) => object.iter().for_each(|(name, value)| match value {
                    Value::Array(values) if name == key => found.extend(values.iter().cloned()),
                    value => collect(value, key, found),
                }),
                Value::Array(values) => values.iter().for_each(|value| collect(value, key, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|(to, _)| to == path).for_each(|(_, body)| collect(body, key, &mut found));
        found
    }
}

fn attributes(of: &Value) -> BTreeMap<String, Value> {
    let list = of["attributes"].as_array().cloned().unwrap_or_default();
    let value =
        |value: &Value| value.as_object().and_then(|object| object.values().next().cloned()).unwrap_or_default();
    list.iter().map(|one| (one["key"].as_str().unwrap_or_default().to_owned(), value(&one["value"]))).collect()
}

#[test]
fn traces_and_log_lines_at_a_collector() {
    let collector = Collector::start();
    let database = Database::small(Engine::Postgres);
    let mut service = Service::start(
        &database,
        Options::small().more(&format!("log: {{ level: debug, otlp: \"{}\" }}", collector.url)),
    );
    let mut client = service.client();
    let authorization = format!("Bearer {}", service.token());
    let headers =
        [("traceparent", PARENT), ("Authorization", authorization.as_str()), ("Content-Type", "application/scim+json")];
    let body = serde_json::to_vec(&client::user("Personal.Name", json!({ "title": "Personal Title" }))).unwrap();
    let answer = client.send("POST", "/scim/v2/Users", &headers, Some(&body)).expect("an answer");
    assert_eq!(answer.status, 201, "{}", answer.text());
    let request = answer.header("x-request-id").expect("an id").to_owned();
    client.get("/Users/nobody").expect(404);
    assert!(service.stop().success(), "{}", service.stderr());

    let spans = collector.all("/v1/traces", "spans");
    let created = spans.iter().find(|span| span["name"] == "POST /Users").unwrap_or_else(|| panic!("{spans:#?}"));
    assert_eq!(created["traceId"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(created["parentSpanId"], "b7ad6b7169203331");
    let known = attributes(created);
    assert_eq!(known["scimshim.request"], request.as_str());
    assert_eq!((&known["http.route"], &known["scimshim.server"]), (&json!("/Users"), &json!("test")));
    assert_eq!(known["http.response.status_code"].to_string().trim_matches('"'), "201");
    let work = spans.iter().find(|span| span["name"] == "database" && span["parentSpanId"] == created["spanId"]);
    let work = attributes(work.unwrap_or_else(|| panic!("{spans:#?}")));
    let statements: u64 = work["scimshim.statements"].to_string().trim_matches('"').parse().expect("a number");
    assert!(statements > 3, "{work:?}");
    let missed = spans.iter().find(|span| span["name"] == "GET /Users/{id}").unwrap_or_else(|| panic!("{spans:#?}"));
    assert_ne!(missed["traceId"], created["traceId"], "a trace of its own");

    let records = collector.all("/v1/logs", "logRecords");
    let line = records.iter().find(|record| attributes(record).get("request") == Some(&json!(request)));
    assert!(line.is_some(), "{records:#?}");
    let everything = format!("{:?}", collector.heard.lock().unwrap()).to_lowercase();
    assert!(!everything.contains("personal"), "nothing personal leaves");
    assert!(!everything.contains(&service.token().to_lowercase()), "no secret leaves");
}

/// A collector that does not answer costs nobody anything.
#[test]
fn without_the_collector() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let database = Database::small(Engine::Sqlite);
    let mut service = Service::start(&database, Options::small().more(&format!("log: {{ otlp: \"{url}\" }}")));
    let mut client = service.client();
    for number in 0..20 {
        client.post("/Users", &client::user(&format!("u{number}"), json!({}))).expect(201);
    }
    let began = Instant::now();
    assert!(service.stop().success(), "{}", service.stderr());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn what_systemd_hears() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let database = Database::small(Engine::Sqlite);
    let options =
        Options::small().variable("NOTIFY_SOCKET", path.to_str().expect("a path")).variable("WATCHDOG_USEC", "300000");
    let mut service = Service::start(&database, options);
    let hear = |what: &str| {
        let mut buffer = [0; 4096];
        let mut heard = Vec::new();
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{what}: {error}; heard {heard:?}"));
            let state = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if state.starts_with(what) {
                return state;
            }
            heard.push(state);
        }
    };
    hear("STATUS=ready");
    hear("READY=1");
    hear("WATCHDOG=1");
    let began = Instant::now();
    hear("WATCHDOG=1");
    hear("WATCHDOG=1");
    assert!(began.elapsed() < Duration::from_secs(3), "every 150 ms: {:?}", began.elapsed());

    service.hang_up();
    let reloading = hear("RELOADING=1");
    let since = reloading.split("MONOTONIC_USEC=").nth(1).and_then(|text| text.trim().parse::<u64>().ok());
    assert!(since.is_some_and(|since| since > 0), "{reloading}");
    hear("READY=1");
    std::fs::write(service.config(), "listn: x\n").expect("written");
    service.hang_up();
    hear("RELOADING=1");
    let status = hear("STATUS=");
    assert!(status.contains("not reloaded"), "{status}");
    hear("READY=1");
    crate::support::service::signal(service.pid(), "TERM");
    // As long as requests may take, and what comes after them.
    assert_eq!(hear("STOPPING=1"), "STOPPING=1\nEXTEND_TIMEOUT_USEC=45000000");
    assert!(service.ended().success());
}

/// A pipe that is full and that nobody reads keeps nobody: requests are answered, and the service ends.
#[test]
fn a_log_that_nobody_reads() {
    let database = Database::small(Engine::Sqlite);
    let mut service = Service::start(&database, Options::small().more("log: { level: debug }"));
    assert!(service.stop().success(), "{}", service.stderr());
    let mut child = std::process::Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", crate::support::service::BINARY, "serve", "--config"])
        .arg(service.config())
        .envs(database.environment())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("scimshim starts");
    let patience = Instant::now() + Duration::from_secs(20);
    while !service.ready() {
        if Instant::now() > patience {
            let _ = child.kill();
            panic!("not ready: {}", crate::support::service::describe(&child.wait_with_output().expect("its words")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    // More than the 64 KiB that a pipe holds.
    let mut client = service.client();
    for _ in 0..1000 {
        client.get("/ServiceProviderConfig").expect(200);
    }
    let began = Instant::now();
    crate::support::service::signal(child.id(), "TERM");
    let status = loop {
        if let Some(status) = child.try_wait().expect("a status") {
            break status;
        }
        if began.elapsed() > Duration::from_secs(10) {
            let _ = child.kill();
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{status} after {:?}", began.elapsed());
    let mut log = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut log).expect("text");
    assert!(log.len() > 40_000 && !log.contains("stopping"), "the pipe was full: {} bytes", log.len());
}

/// systemd's journal is told each line's priority, and only the journal is.
#[test]
fn priorities_for_the_journal() {
    let database = Database::small(Engine::Sqlite);
    let mut service = Service::start(&database, Options::small());
    assert!(service.stop().success(), "{}", service.stderr());
    for is_journal in [true, false] {
        let mut file = tempfile::tempfile().expect("a file");
        let known = file.metadata().expect("its inode");
        let inode = if is_journal { known.ino() } else { known.ino() + 1 };
        let mut child = std::process::Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", crate::support::service::BINARY, "serve", "--config"])
            .arg(service.config())
            .envs(database.environment())
            .env("JOURNAL_STREAM", format!("{}:{inode}", known.dev()))
            .stdin(std::process::Stdio::null())
            .stderr(file.try_clone().expect("a handle"))
            .spawn()
            .expect("scimshim starts");
        let patience = Instant::now() + Duration::from_secs(20);
        while !service.ready() {
            assert!(Instant::now() < patience, "not ready");
            std::thread::sleep(Duration::from_millis(20));
        }
        service.client().get("/Users").expect(200);
        // What is wrong with it is a warning.
        std::fs::write(service.config(), "nothing: of this\n").expect("a broken configuration");
        crate::support::service::signal(child.id(), "HUP");
        let mut log = String::new();
        while !log.contains("nothing") {
            assert!(Instant::now() < patience, "{log}");
            std::thread::sleep(Duration::from_millis(20));
            log = std::fs::read_to_string(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("text");
        }
        crate::support::service::signal(child.id(), "TERM");
        assert!(child.wait().expect("a status").success());
        service.configure(str::to_owned);
        file.rewind().expect("its beginning");
        log.clear();
        file.read_to_string(&mut log).expect("text");
        let mut seen = BTreeSet::new();
        for line in log.lines() {
            let (priority, line) = if is_journal { line.split_at(3) } else { ("", line) };
            let Ok(line) = serde_json::from_str::<Value>(line) else { panic!("{line}") };
            let expected = match (is_journal, line["level"].as_str()) {
                (false, _) => "",
                (true, Some("ERROR")) => "<3>",
                (true, Some("WARN")) => "<4>",
                (true, Some("INFO")) => "<6>",
                _ => panic!("{line}"),
            };
            assert_eq!(priority, expected, "{line}");
            assert_eq!(line.get("timestamp").is_some(), !is_journal, "{line}");
            seen.insert(priority.to_owned());
        }
        assert_eq!(seen.len(), if is_journal { 2 } else { 1 }, "{log}");
    }
}

/// The names of metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let names = words.filter(|word| word.starts_with("scimshim_") && word.len() > "scimshim_".len());
    let base = |name: &str| {
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        name.to_owned()
    };
    names.map(base).collect()
}

/// Everything that the service ever counts is in the documentation, and the other way round; dashboard and alerts speak of
/// nothing else.
#[test]
fn metrics_dashboard_and_alerts() {
    let read = |path: &str| std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let described = metrics_in(&read("src/server/metrics.rs"));
    let documented = metrics_in(&read("docs/observability.md"));
    assert_eq!(described, documented);
    for path in ["packaging/grafana/scimshim.json", "packaging/prometheus/scimshim.rules.yaml"] {
        let used = metrics_in(&read(path));
        assert!(used.len() > 5, "{path}: {used:?}");
        let unknown: Vec<_> = used.difference(&described).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
    }
    let dashboard: Value = serde_json::from_str(&read("packaging/grafana/scimshim.json")).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() >= 10));

    // And a service at work shows the ones that dashboard and alerts stand on.
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    client.post("/Users", &client::user("u", json!({}))).expect(201);
    client.get("/Users?filter=nothing%20eq%201").expect(400);
    assert_eq!(service.client_with("/scim/v2", Some("wrong".to_owned())).get("/Users").status, 401);
    service.hang_up();
    let patience = Instant::now() + Duration::from_secs(20);
    while service.metric("scimshim_reloads_total{outcome=\"done\"}").is_none() {
        assert!(Instant::now() < patience, "{}", service.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    let shown = service.admin("/metrics").expect("metrics");
    let shown_names = metrics_in(&shown);
    // What only an event brings into being.
    let by_event = [
        "scimshim_issuer_key_fetches_total",
        "scimshim_introspections_total",
        // Only with an upstream: tests/proxy looks at them.
        "scimshim_upstream_up",
        "scimshim_upstream_requests",
        "scimshim_upstream_tunnels",
        "scimshim_upstream_failures_total",
        "scimshim_upstream_request_duration_seconds",
    ];
    let missing: Vec<_> =
        described.iter().filter(|name| !shown_names.contains(*name) && !by_event.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}\n{shown}");
    for series in [
        "scimshim_requests_total{route=\"/Users\",method=\"POST\",status=\"2xx\",server=\"test\"} 1",
        "scimshim_scim_errors_total{type=\"invalidFilter\"} 1",
        "scimshim_authentication_failures_total{scheme=\"bearer\"} 1",
        // There before anything happened: `increase` of a counter that begins with 40 is 0.
        "scimshim_brake_refusals_total{server=\"test\"} 0",
        "scimshim_conflicts_out_of_sight_total{server=\"test\"} 0",
        "scimshim_pool_timeouts_total 0",
        "scimshim_journal_lost_total 0",
        "scimshim_connections_refused_total 0",
    ] {
        assert!(shown.lines().any(|line| line == series), "{series}\n{shown}");
    }
}

/// At level debug the log says why a request was refused, and of whom nothing.
#[test]
fn why_it_was_refused() {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more("log: { level: debug }\n"));
    let mut client = service.client();
    client.post("/Users", &client::user("somebody.secret", json!({}))).expect(201);
    client.post("/Users", &client::user("somebody.secret", json!({}))).expect(409);
    client.post("/Users", &json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]})).expect(400);
    client.get("/Nothing").expect(404);
    let log = service.said("no such SCIM endpoint");
    let reasons: Vec<String> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|line| line["message"] == "refused")
        .map(|line| line["reason"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(reasons.len(), 3, "{log}");
    for (reason, part) in reasons.iter().zip(["userName", "userName", "no such SCIM endpoint"]) {
        assert!(reason.contains(part), "{reason:?}");
    }
    assert!(!log.contains("somebody.secret"), "{log}");
}
