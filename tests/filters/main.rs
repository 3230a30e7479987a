//! Every filter has the same answer on MariaDB, PostgreSQL and SQLite: random filters over a thousand random rows against an
//! evaluator that knows nothing of SQL.
//!
//! And every order: random lists, walked by index and by cursor, give what sorting the resources here gives (`walks.rs`).
//!
//! `make test` runs it; by itself it is `scripts/test-servers cargo test --profile quick --test filters`.
//! SCIMSHIM_FILTER_CASES says how many filters (10,000 of itself, which share a thousand rows), SCIMSHIM_FILTER_SEED which,
//! SCIMSHIM_WALK_CASES how many lists are walked (16).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test that cannot go on fails"
)]
#![allow(missing_docs, reason = "tests are read, not linked against")]

mod ask;
mod odd;
mod question;
mod random;
mod rows;
#[path = "../support/mod.rs"]
mod support;
mod walks;

use ask::{AnyCase, Asker, OF_GROUPS, OF_USERS};
use question::{Known, Question};
use random::Random;
use scimshim::directory::{Caller, Directory, PatchAnswer, Permissions, ServerView};
use scimshim::document::{Findings, Source};
use scimshim::own::{Own, SigningKey};
use scimshim::scim::{ListQuery, ScimType, filter};
use scimshim::sql::{Catalogue, Options, open};
use serde_json::Value as Json;
use std::sync::Arc;
use std::time::Duration;
use support::databases::{Database, Engine};

const USERS: usize = 0;
const GROUPS: usize = 1;

/// So many questions are asked of the same rows; then others are made.
const ROUND: usize = 10_000;

/// Of each answer the total is compared, and this many ids from a place that is the case's own: reading every row of every
/// answer would be most of the test's time.
const PAGE: usize = 5;

fn seed() -> u64 {
    number("SCIMSHIM_FILTER_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_nanos() as u64
    })
}

/// One of the three databases, with the service's directory on it.
struct Application {
    engine: Engine,
    directory: Directory,
    caller: Caller,
    _database: Database,
}

impl Application {
    fn new(engine: Engine, seed: u64) -> Self {
        Self::with(engine, rows::database(engine, seed), include_str!("adapter.yaml"))
    }

    fn with(engine: Engine, database: Database, adapter: &str) -> Self {
        let url = match engine {
            Engine::Sqlite => format!("sqlite://{}", database.url()),
            _ => database.url(),
        };
        let pool = open(&url, options()).unwrap();
        let own_schema = match engine {
            Engine::MariaDb => format!("{}_own", database.name),
            _ => "scimshim".to_owned(),
        };
        let own = Own::new(pool.dialect(), &own_schema);
        let mut catalogue = Catalogue::default();
        // What cursors are derived from.
        let key = SigningKey {
            id: "k".into(),
            algorithm: "EdDSA".into(),
            private_key: vec![7; 64],
            public_key: Vec::new(),
            created_at: 1,
            retired_at: None,
        };
        pool.with(&mut |connection| {
            for statement in &own.ddl() {
                connection.batch(statement)?;
            }
            own.insert_signing_key(connection, &key)?;
            catalogue = connection.catalogue(&[None])?;
            Ok(())
        })
        .unwrap();
        let mut findings = Findings::new();
        let text = Source::new("adapter.yaml", adapter);
        let compiled = scimshim::adapter::read(text, &[], &mut findings)
            .and_then(|document| scimshim::adapter::compile(&document, &catalogue, pool.dialect(), &mut findings))
            .unwrap_or_else(|| panic!("{}", findings.render(false)));
        let server = ServerView {
            name: "test".into(),
            default: true,
            actor: None,
            may: Permissions::all(),
            put_keeps_unmentioned: false,
            adopt: false,
            strict_no_target: false,
            deactivations_per_hour: None,
            dry_run: false,
            patch_answers: PatchAnswer::Auto,
        };
        let caller = Caller {
            server: Arc::new(server),
            request_id: "r".into(),
            client_address: None,
            client_agent: None,
            base_url: "https://localhost/scim/v2".into(),
            entry: Arc::default(),
        };
        Self { engine, directory: Directory::new(pool, Arc::new(compiled), own, 10_000), caller, _database: database }
    }

    fn list(&self, type_: usize, query: &[(&str, &str)]) -> Result<Vec<Json>, scimshim::scim::Error> {
        let query = ListQuery::parse(query, &filter::Limits::default())?;
        let page = self.directory.list(&self.caller, type_, &query)?;
        assert_eq!(page.total, Some(page.resources.len() as u64));
        Ok(page.resources.into_iter().map(Json::Object).collect())
    }

    /// How many resources a filter finds, and the ids of a page of them.
    fn found(&self, type_: usize, text: &str, start: usize) -> Result<(u64, Vec<String>), String> {
        let (start, count) = ((start + 1).to_string(), PAGE.to_string());
        let query = [("filter", text), ("attributes", "id"), ("startIndex", &start), ("count", &count)];
        let page = ListQuery::parse(&query, &filter::Limits::default())
            .and_then(|query| self.directory.list(&self.caller, type_, &query))
            .map_err(|error| format!("{} {}", error.status, error.detail))?;
        let ids = page.resources.into_iter().map(|resource| id(&Json::Object(resource)));
        Ok((page.total.unwrap(), ids.collect()))
    }
}

fn options() -> Options {
    Options {
        password: None,
        tls: None,
        max: 2,
        checkout_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(30),
        lock_timeout: Duration::from_secs(10),
        strict: true,
    }
}

fn id(resource: &Json) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

/// Numbers as numbers, however a database prints them, and without what no filter sees.
fn normal(value: &Json) -> Json {
    match value {
        Json::Number(number) => Json::from(number.as_f64().unwrap()),
        Json::Array(all) => all.iter().map(normal).collect(),
        Json::Object(object) => {
            let parts = object.iter().filter(|(key, _)| *key != "version");
            Json::Object(parts.map(|(key, value)| (key.clone(), normal(value))).collect())
        }
        other => other.clone(),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

#[test]
fn every_filter_has_the_same_answer_everywhere() {
    let seed = seed();
    let cases = support::size("SCIMSHIM_FILTER_CASES", ROUND);
    println!("filters: SCIMSHIM_FILTER_SEED={seed} SCIMSHIM_FILTER_CASES={cases}");
    // Seeds far apart: a case's own is its round's and its number.
    let told: Vec<(usize, Vec<String>)> = (0..cases.div_ceil(ROUND))
        .map(|n| round(seed.wrapping_add(n as u64 * 1_000_003), ROUND.min(cases - n * ROUND)))
        .collect();
    let telling: usize = told.iter().map(|(telling, _)| telling).sum();
    let wrong: Vec<&str> = told.iter().flat_map(|(_, wrong)| wrong).map(String::as_str).collect();
    let share = telling * 100 / cases.max(1);
    support::report(
        "filters",
        &format!(
            "{cases} filters on three databases (seed {seed}), {} differences, {share} % found some and not all",
            wrong.len()
        ),
    );
    let shown = &wrong[..wrong.len().min(40)];
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), shown.join("\n"));
    assert!(share >= 30, "only {share} % of the filters found some and not all");
}

/// Rows of a seed, and questions about them: how many found some and not all, and where an answer is wrong.
fn round(seed: u64, cases: usize) -> (usize, Vec<String>) {
    let applications = Engine::ALL.map(|engine| Application::new(engine, seed));
    let all = everything(&applications);
    let mut questions = Vec::new();
    for case in 0..cases {
        let random = || Random::new(seed.wrapping_add(case as u64 + 1).wrapping_mul(0x2545_F491_4F6C_DD1D));
        let type_ = if case % 6 == 5 { GROUPS } else { USERS };
        let mut asker = Asker { random: random(), attributes: [OF_USERS, OF_GROUPS][type_], resources: &all[type_] };
        let question = asker.question(3);
        let text = question.text(&mut AnyCase(random()));
        questions.push((type_, question, text));
    }
    let known: [Vec<Known>; 2] = [USERS, GROUPS]
        .map(|type_| all[type_].iter().map(|json| Known::new(json, [OF_USERS, OF_GROUPS][type_])).collect());
    // Half of it on each of two threads: the answers are the same for all but a few questions about unique names.
    let answers: Vec<Vec<bool>> = std::thread::scope(|scope| {
        let halves = questions.chunks(cases.div_ceil(2).max(1));
        let threads: Vec<_> = halves
            .map(|half| scope.spawn(|| half.iter().map(|one| met(one, &known, false)).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let telling = answers.iter().filter(|met| met.contains(&true) && met.contains(&false)).count();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let threads = applications
            .each_ref()
            .map(|application| scope.spawn(|| differences(application, &questions, &answers, &known)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    (telling, wrong.into_iter().map(|one| format!("seed {seed}: {one}")).collect())
}

/// All users and all groups, alike in the three databases.
fn everything(applications: &[Application; 3]) -> [Vec<Json>; 2] {
    [USERS, GROUPS].map(|type_| {
        let lists = applications.each_ref().map(|application| {
            let resources = application.list(type_, &[]).unwrap();
            resources.iter().map(normal).collect::<Vec<Json>>()
        });
        for list in &lists[1..] {
            assert_eq!(lists[0].len(), list.len());
            for (a, b) in lists[0].iter().zip(list) {
                assert_eq!(a, b, "the databases do not hold the same");
            }
        }
        lists.into_iter().next().unwrap()
    })
}

type Asked = (usize, Question, String);

/// For each resource whether it meets a question.
fn met((type_, question, _): &Asked, all: &[Vec<Known>; 2], collation: bool) -> Vec<bool> {
    all[*type_].iter().map(|one| question.holds(one, collation)).collect()
}

/// Where a database's answer is not the evaluator's.
fn differences(
    application: &Application,
    questions: &[Asked],
    answers: &[Vec<bool>],
    all: &[Vec<Known>; 2],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (case, (asked, plain)) in questions.iter().zip(answers).enumerate() {
        let (type_, question, text) = asked;
        let collated =
            (application.engine == Engine::MariaDb && question.asks_collation()).then(|| met(asked, all, true));
        let resources = all[*type_].iter().zip(collated.as_ref().unwrap_or(plain));
        let wanted: Vec<String> = resources.filter(|(_, meets)| **meets).map(|(one, _)| id(one.json)).collect();
        let start = match wanted.len().saturating_sub(PAGE) {
            0 => 0,
            more => case * 7919 % more,
        };
        let page = wanted.get(start..wanted.len().min(start + PAGE)).unwrap_or_default();
        let said = match application.found(*type_, text, start) {
            Err(error) => format!("answered {error}"),
            Ok((total, found)) if total as usize == wanted.len() && found == page => continue,
            // The first few are shown whole.
            Ok((total, _)) if wrong.len() >= 10 => format!("found {total} instead of {}", wanted.len()),
            Ok((total, _)) => {
                let query = [("filter", text.as_str()), ("attributes", "id")];
                let found: Vec<String> = application.list(*type_, &query).unwrap().iter().map(id).collect();
                let mut every = all[*type_].iter().map(|one| one.json);
                let other = every.find(|one| wanted.contains(&id(one)) != found.contains(&id(one)));
                let other =
                    other.map(|one| format!("{} {one}", if found.contains(&id(one)) { "has" } else { "lacks" }));
                format!("found {total} instead of {}; {}", wanted.len(), other.unwrap_or_default())
            }
        };
        wrong.push(format!("{:?}: {text}\n    {said}", application.engine));
    }
    wrong
}

/// What cannot be compared is refused with 400 invalidFilter and a reason that names it.
#[test]
fn what_cannot_be_compared_is_refused() {
    let applications = Engine::ALL.map(|engine| Application::new(engine, 1));
    for (type_, text, reason) in [
        (USERS, "shoeSize eq 4", "shoeSize is not an attribute of User"),
        (USERS, "profileUrl pr", "profileUrl is not an attribute of User"),
        (USERS, "name eq \"x\"", "name is complex"),
        (USERS, "name gt null", "name is complex"),
        (USERS, "meta eq \"x\"", "meta is complex"),
        (USERS, "meta.version eq \"x\"", "meta.version cannot be compared"),
        (USERS, "active eq 5", "active is a boolean"),
        (USERS, "active eq \"perhaps\"", "active is a boolean"),
        (USERS, "active gt true", "active is a boolean"),
        (USERS, "logins eq \"many\"", "logins: the value is not a number"),
        (USERS, "logins co 1", "logins is not text"),
        (USERS, "rate gt null", "rate: null"),
        (USERS, "hired gt \"yesterday\"", "hired: the value is not a date and time"),
        (USERS, "born ge 7", "born: the value is not a date"),
        (USERS, "meta.created sw \"2025\"", "meta.created is not text"),
        (USERS, "userName gt null", "userName: null"),
        (USERS, "emails[shoe eq \"x\"]", "emails.shoe is not an attribute"),
        (USERS, "manager.$ref eq \"x\"", "manager.$ref cannot be compared"),
        (USERS, "groups.$ref eq \"x\"", "groups.$ref cannot be compared"),
        (GROUPS, "externalId eq \"x\"", "externalId is not mapped"),
    ] {
        for application in &applications {
            let error = application.list(type_, &[("filter", text)]).expect_err(text);
            let place = format!("{:?}: {text}: {}", application.engine, error.detail);
            assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidFilter)), "{place}");
            assert!(error.detail.contains(reason), "{place}");
        }
    }
}

/// What a unique column takes for a duplicate is what `eq` finds: on MariaDB the collation says, elsewhere the letters.
#[test]
fn what_is_refused_as_a_duplicate_is_found() {
    for engine in Engine::ALL {
        let application = Application::new(engine, 1);
        application._database.execute(
            "INSERT INTO people (id, login, gone) VALUES (5001, 'qjosé', 0), (5002, 'QSTRASSE', 0), (5003, 'qÄrger ', 0)",
        );
        for (name, everywhere, on_mariadb) in [
            ("qjosé", true, true),
            ("QJOSÉ", true, true),
            ("qjose", false, true),
            ("qstrasse", true, true),
            ("qstraße", false, true),
            ("QÄRGER ", true, true),
            ("qärger", false, true),
            ("qjos", false, false),
        ] {
            let expected = if engine == Engine::MariaDb { on_mariadb } else { everywhere };
            let filter = format!("userName eq {}", Json::from(name));
            let found = application.found(USERS, &filter, 0).unwrap().0 > 0;
            assert_eq!(found, expected, "{engine:?}: {filter}");
        }
    }
}
