//! `make bench`: what scimshim costs beside a bare server that does the least that could answer the same request.
//!
//! The yardstick (yardstick.rs) is hyper and rustls with a token check, one Diesel statement by primary key and JSON of
//! the same size: no mapping, no schema known at run time. Both run in turn on the same machine, the same database, the
//! same 10,000 people, under the same load (load.rs): 16 connections of HTTPS keep-alive. Processor time of the server
//! process is what is compared; requests a second depend on what else the machine does, the load generator included.
//!
//! `cargo bench --bench speed -- [--engine mysql|postgres|sqlite] [--seconds N] [--rounds N] [--people N] [--json FILE]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a benchmark that cannot go on ends"
)]
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(dead_code, reason = "the tests' support is used in part")]

mod load;
#[path = "../../tests/support/mod.rs"]
mod support;
mod yardstick;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use load::{Load, Measure};
use support::client::{self, Client};
use support::databases::{Database, Engine};
use support::service::{Options, Service};

/// Of the group that a member joins.
const LARGE_GROUP: usize = 5_000;
const CONNECTIONS: usize = 16;

struct Arguments {
    engines: Vec<Engine>,
    load: Duration,
    rounds: usize,
    people: usize,
    json: Option<String>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == "yardstick") {
        return yardstick::serve(&words[1..]);
    }
    let arguments = parse(&words);
    let mut all = Vec::new();
    for engine in &arguments.engines {
        let (rows, notes) = run(*engine, &arguments);
        println!("{}{}\n", table(*engine, &rows), notes.join("\n"));
        all.push(
            json!({ "engine": engine.word(), "notes": notes, "rows": rows.iter().map(Line::json).collect::<Vec<_>>() }),
        );
    }
    if let Some(file) = arguments.json {
        std::fs::write(&file, serde_json::to_string_pretty(&all).expect("JSON")).expect("the file is written");
    }
}

fn parse(words: &[String]) -> Arguments {
    let mut arguments = Arguments {
        engines: Engine::ALL.to_vec(),
        load: Duration::from_secs(3),
        rounds: 3,
        people: 10_000,
        json: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().unwrap_or_else(|| panic!("{word} takes a value"));
        match word.as_str() {
            "--engine" => {
                let name = value();
                arguments.engines.retain(|engine| engine.word() == name);
                assert!(!arguments.engines.is_empty(), "--engine is mysql, postgres or sqlite, not {name}");
            }
            "--seconds" => arguments.load = Duration::from_secs_f64(value().parse().expect("seconds")),
            "--rounds" => arguments.rounds = value().parse().expect("a number of rounds"),
            "--people" => arguments.people = value().parse().expect("a number of people"),
            "--json" => arguments.json = Some(value()),
            other => panic!("{other}: see the top of benches/speed/main.rs"),
        }
    }
    arguments
}

/// One line of the table: one request against one server.
struct Line {
    what: &'static str,
    server: &'static str,
    /// One measure a round.
    measures: Vec<Measure>,
    /// Times the yardstick's processor time by id.
    ratio: Option<f64>,
    /// What is asked of it, where something is.
    goal: Option<&'static str>,
}

impl Line {
    fn median(&self, of: impl Fn(&Measure) -> f64) -> f64 {
        median(self.measures.iter().map(of).collect())
    }

    fn json(&self) -> Value {
        json!({
            "request": self.what, "server": self.server, "goal": self.goal, "times_yardstick": self.ratio,
            "cpu_ms": self.median(|measure| measure.cpu_ms), "requests_per_second": self.median(|measure| measure.rate),
            "p50_ms": self.median(|measure| measure.p50_ms), "p99_ms": self.median(|measure| measure.p99_ms),
            "body_bytes": self.median(|measure| measure.bytes as f64), "requests": self.median(|measure| measure.requests as f64),
            "rounds": self.measures.len(),
        })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn run(engine: Engine, arguments: &Arguments) -> (Vec<Line>, Vec<String>) {
    let people = arguments.people;
    let database = Database::small(engine);
    fill(&database, people);
    eprintln!("{}: {people} people loaded", engine.word());
    let mut service = Service::start(&database, Options::small());
    let yardstick = yardstick::Process::start(&database, &service);

    let mut lines: Vec<Line> = Vec::new();
    let mut requests: Vec<(&'static str, &'static str, Option<&'static str>, load::Make)> = vec![
        ("static body", "yardstick", None, Box::new(|_, _| load::get("/static".to_owned()))),
        (
            "GET by id",
            "yardstick",
            None,
            Box::new(move |thread, turn| load::get(format!("/scim/v2/Users/{}", pick(thread, turn, people)))),
        ),
        (
            "GET by id, excludedAttributes=groups",
            "scimshim",
            Some("1.5 x, 0.08 ms"),
            Box::new(move |thread, turn| {
                load::get(format!("/scim/v2/Users/{}?excludedAttributes=groups", pick(thread, turn, people)))
            }),
        ),
        (
            "GET by id",
            "scimshim",
            Some("2 x"),
            Box::new(move |thread, turn| load::get(format!("/scim/v2/Users/{}", pick(thread, turn, people)))),
        ),
        (
            "filter userName eq, excludedAttributes=groups",
            "scimshim",
            Some("1.5 x, 0.08 ms"),
            Box::new(move |thread, turn| {
                load::get(format!(
                    "/scim/v2/Users?filter=userName+eq+%22p{}%40example.org%22&excludedAttributes=groups",
                    pick(thread, turn, people)
                ))
            }),
        ),
        (
            "filter userName eq",
            "scimshim",
            None,
            Box::new(move |thread, turn| {
                load::get(format!(
                    "/scim/v2/Users?filter=userName+eq+%22p{}%40example.org%22",
                    pick(thread, turn, people)
                ))
            }),
        ),
        (
            "list of 100",
            "scimshim",
            None,
            Box::new(move |thread, turn| {
                load::get(format!("/scim/v2/Users?startIndex={}&count=100", pick(thread, turn, people - 100)))
            }),
        ),
        (
            "PATCH of one attribute",
            "scimshim",
            None,
            Box::new(move |thread, turn| {
                // A person of each connection's own, so that no two wait for one row; a value that was never there.
                let person = 1 + thread * (people / CONNECTIONS) + turn % (people / CONNECTIONS);
                let body =
                    client::patch(json!([{ "op": "replace", "path": "title", "value": format!("t{thread}.{turn}") }]));
                load::with_body("PATCH", format!("/scim/v2/Users/{person}"), &body)
            }),
        ),
        (
            "one member into, then out of, a group of 5,000",
            "scimshim",
            None,
            Box::new(move |thread, turn| {
                let person = LARGE_GROUP.min(people / 2)
                    + 1
                    + thread * (people / 2 / CONNECTIONS)
                    + (turn / 2) % (people / 2 / CONNECTIONS);
                let operation = if turn % 2 == 0 {
                    json!({ "op": "add", "path": "members", "value": [{ "value": person.to_string() }] })
                } else {
                    json!({ "op": "remove", "path": format!("members[value eq \"{person}\"]") })
                };
                load::with_body(
                    "PATCH",
                    "/scim/v2/Groups/1?excludedAttributes=members".to_owned(),
                    &client::patch(json!([operation])),
                )
            }),
        ),
    ];
    let stamp = Instant::now();
    requests.push((
        "POST",
        "scimshim",
        None,
        Box::new(move |thread, turn| {
            let name = format!("new{}-{thread}-{turn}@example.org", stamp.elapsed().as_micros());
            let more = json!({
                "name": { "givenName": "New", "familyName": "Person" }, "displayName": "New Person", "title": "Fitter",
                "emails": [{ "value": name, "type": "work", "primary": true }],
                "phoneNumbers": [{ "value": "+41 44 000 00 00", "type": "work" }],
            });
            load::with_body("POST", "/scim/v2/Users".to_owned(), &client::user(&name, more))
        }),
    ));
    for round in 0..arguments.rounds {
        for (index, (what, server, goal, make)) in requests.iter().enumerate() {
            let (pid, client): (u32, Box<dyn Fn() -> Client>) = match *server {
                "yardstick" => (yardstick.pid(), Box::new(|| yardstick.client(&service))),
                _ => (service.pid(), Box::new(|| service.client())),
            };
            let measure = Load { connections: CONNECTIONS, time: arguments.load }.run(pid, client.as_ref(), make);
            if round == 0 {
                lines.push(Line { what, server, measures: Vec::new(), ratio: None, goal: *goal });
            }
            eprintln!("  {} {what}: {:.3} ms CPU, {:.0}/s", server, measure.cpu_ms, measure.rate);
            lines[index].measures.push(measure);
        }
    }
    let base = lines[1].median(|measure| measure.cpu_ms);
    for line in lines.iter_mut().filter(|line| line.server == "scimshim") {
        line.ratio = Some(line.median(|measure| measure.cpu_ms) / base);
    }
    let memory = service.memory();
    let mut notes = vec![format!(
        "Resident after the load: {:.1} MB, {:.1} MB at most (goal: under 40 MB).",
        memory.now as f64 / 1024.0,
        memory.most as f64 / 1024.0
    )];
    notes.push(format!(
        "Cold start to first answer: {:.1} ms, median of 7 (goal: under 50 ms).",
        cold_start(&mut service)
    ));
    (lines, notes)
}

/// From exec to the first resource read over TLS, in ms.
fn cold_start(service: &mut Service) -> f64 {
    let times = (0..7).map(|_| {
        service.kill();
        let start = Instant::now();
        service.spawn();
        loop {
            if matches!(service.client().try_scim("GET", "/Users/1", None), Ok(answer) if answer.status == 200) {
                break start.elapsed().as_secs_f64() * 1000.0;
            }
            assert!(start.elapsed() < Duration::from_secs(20), "no answer:\n{}", service.stderr());
        }
    });
    median(times.collect())
}

/// A person's id: every one is met, in no order a cache would like.
fn pick(thread: usize, turn: usize, people: usize) -> usize {
    1 + (thread * 7919 + turn * 104_729) % people
}

/// People with all their columns, twenty departments, a group of 5,000 and a hundred small ones.
fn fill(database: &Database, people: usize) {
    let multi_row = |table: &str, rows: Vec<String>| {
        for piece in rows.chunks(1000) {
            database.execute(&format!("INSERT INTO {table} VALUES {};", piece.join(",")));
        }
    };
    multi_row(
        "departments (name, created_at)",
        (1..=20).map(|n| format!("('Department {n}', '2024-01-02 03:04:05')")).collect(),
    );
    multi_row(
        "people (login, given, family, display, mail, enabled, work_phone, mobile_phone, street, city, postcode, title, language, staff_no, department_id, manager_id, created_at, updated_at)",
        (1..=people)
            .map(|n| {
                format!(
                    "('p{n}@example.org', 'Given{n}', 'Family{n}', 'Given{n} Family{n}', 'p{n}@example.org', 1, '+41 44 {n:07}', '+41 79 {n:07}', \
                     'Street {n}', 'City {}', '{:05}', 'Title {}', 'en-US', 'S{n:06}', {}, {}, '2024-01-02 03:04:05', '2024-05-06 07:08:09')",
                    n % 100, n % 100_000, n % 50, 1 + n % 20, 1 + n % 100
                )
            })
            .collect(),
    );
    multi_row(
        "teams (name, created_at, updated_at)",
        (1..=101).map(|n| format!("('Team {n}', '2024-01-02 03:04:05', '2024-01-02 03:04:05')")).collect(),
    );
    multi_row(
        "memberships (team_id, person_id)",
        (1..=LARGE_GROUP.min(people / 2)).map(|n| format!("(1, {n})")).collect(),
    );
    multi_row("memberships (team_id, person_id)", (1..=people).map(|n| format!("({}, {n})", 2 + n % 100)).collect());
    database.execute(match database.engine {
        Engine::MariaDb => "ANALYZE TABLE people, departments, teams, memberships;",
        Engine::Postgres | Engine::Sqlite => "ANALYZE;",
    });
}

fn table(engine: Engine, lines: &[Line]) -> String {
    let mut text = format!(
        "\n{}\n{:<48} {:<10} {:>9} {:>7} {:>9} {:>8} {:>8} {:>7}  {}\n",
        engine.word(),
        "request",
        "server",
        "CPU ms",
        "x",
        "req/s",
        "p50 ms",
        "p99 ms",
        "bytes",
        "goal"
    );
    for line in lines {
        let ratio = line.ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let _ = writeln!(
            text,
            "{:<48} {:<10} {:>9.4} {:>7} {:>9.0} {:>8.2} {:>8.2} {:>7.0}  {}",
            line.what,
            line.server,
            line.median(|m| m.cpu_ms),
            ratio,
            line.median(|m| m.rate),
            line.median(|m| m.p50_ms),
            line.median(|m| m.p99_ms),
            line.median(|m| m.bytes as f64),
            line.goal.unwrap_or_default()
        );
    }
    text
}
