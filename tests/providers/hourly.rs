//! authentik's hourly sync of a large directory, as its client does it (section 6 of the facts): discovery by GET without
//! `count`, going on at what was seen; then everybody whose representation is not what it remembers, by PATCH and GET; new
//! people by POST, recovered from 409 by a filter; those who left its scope by DELETE; each group read whole and its
//! members compared. Meanwhile the application and another identity provider insert and delete.
//!
//! `SCIMSHIM_HOURLY_PEOPLE` (2000), `SCIMSHIM_HOURLY_GROUPS` (40).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{self, Client, patch};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::{report, size};

const SERVERS: &str = "
  test: { default: true }
  authentik: { profile: authentik }
  okta: { profile: okta }";

/// What becomes of the person of a number.
fn leaves_the_application(number: usize) -> bool {
    number.is_multiple_of(40)
}
fn leaves_the_scope(number: usize) -> bool {
    number % 500 == 1
}
fn renamed(number: usize) -> bool {
    number % 100 == 2
}
/// authentik has forgotten under which id it made these.
fn forgotten(number: usize) -> bool {
    number % 200 == 3
}
fn family(number: usize) -> &'static str {
    if renamed(number) { "Moved" } else { "Family" }
}

/// Members as they are in the application before, and as authentik wants them.
fn members(group: usize, people: usize, groups: usize, after: bool) -> BTreeSet<usize> {
    let fits = |number: &usize| !leaves_the_application(*number) && !leaves_the_scope(*number);
    let belongs = |number: &usize| number % groups == group || (number * 7 + 1) % groups == group;
    let mut all: BTreeSet<usize> = (1..=people).filter(fits).filter(belongs).collect();
    if after && group.is_multiple_of(10) {
        all.retain(|number| number % 3 != 0);
        all.extend((1..=people).filter(fits).filter(|number| (number * 13 + 5) % (groups * 4) == group));
    }
    all
}

fn filled(engine: Engine, people: usize, groups: usize) -> (Database, Service) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small().identity_servers(SERVERS));
    let numbers = |first: usize, last: usize| match engine {
        Engine::MariaDb => format!("(SELECT seq AS n FROM seq_{first}_to_{last}) numbers"),
        _ => format!("generate_series({first}, {last}) AS numbers (n)"),
    };
    let glue = |text: &str| match engine {
        Engine::MariaDb => format!("CONCAT('{text}', n)"),
        _ => format!("'{text}' || n"),
    };
    let mail = match engine {
        Engine::MariaDb => "CONCAT('p', n, '@example.org')",
        _ => "'p' || n || '@example.org'",
    };
    let own = database.own_tables();
    database.execute(&format!(
        "INSERT INTO people (id, login, given, family, display, mail, enabled)
           SELECT n, {login}, 'Given', 'Family', 'Given Family', {mail}, 1 FROM {all};
         INSERT INTO {own}links (server, resource_type, resource_id, external_id)
           SELECT 'authentik', 'User', {id}, {uid} FROM {all} WHERE n % 40 <> 0;
         INSERT INTO teams (id, name) SELECT n + 1, {team} FROM {teams};
         INSERT INTO {own}links (server, resource_type, resource_id, external_id)
           SELECT 'authentik', 'Group', {team_id}, {team_uid} FROM {teams};
         INSERT INTO memberships (team_id, person_id)
           SELECT t.n + 1, p.n FROM {all_p} JOIN {teams_t} ON p.n % {groups} = t.n OR (p.n * 7 + 1) % {groups} = t.n
           WHERE p.n % 40 <> 0 AND p.n % 500 <> 1",
        login = glue("p"),
        all = numbers(1, people),
        id = if engine == Engine::MariaDb { "CAST(n AS CHAR)" } else { "n::text" },
        uid = glue("uid-"),
        team = glue("team "),
        teams = numbers(0, groups - 1),
        team_id = if engine == Engine::MariaDb { "CAST(n + 1 AS CHAR)" } else { "(n + 1)::text" },
        team_uid = glue("guid-"),
        all_p = numbers(1, people).replace("numbers", "p"),
        teams_t = numbers(0, groups - 1).replace("numbers", "t"),
    ));
    match engine {
        Engine::MariaDb => database.execute(&format!("ANALYZE TABLE people, teams, memberships, {own}links")),
        _ => database.execute(
            "SELECT setval(pg_get_serial_sequence('people', 'id'), (SELECT MAX(id) FROM people));
             SELECT setval(pg_get_serial_sequence('teams', 'id'), (SELECT MAX(id) FROM teams));
             ANALYZE",
        ),
    }
    (database, service)
}

/// A client of authentik's, and how many requests it made.
struct Authentik {
    client: Client,
    requests: usize,
}

impl Authentik {
    fn get(&mut self, path: &str) -> Value {
        self.requests += 1;
        self.client.get(path).expect(200).json()
    }

    fn write(&mut self, method: &str, path: &str, body: Option<&Value>) -> client::Answer {
        self.requests += 1;
        self.client.try_scim(method, path, body).unwrap_or_else(|failure| panic!("{method} {path}: {failure:?}"))
    }

    /// Every resource that is there, in its way: no count, the next page at what was seen. It ends where everything that
    /// the first page promised was seen, or a page has nothing more.
    fn discover(&mut self, path: &str, key: &str) -> (Vec<(String, String)>, usize) {
        let mut seen = Vec::new();
        let mut page = self.get(path);
        let mut pages = 1;
        let promised = usize::try_from(page["totalResults"].as_u64().expect("an integer")).unwrap();
        loop {
            let resources = page["Resources"].as_array().expect("a list");
            seen.extend(resources.iter().map(|one| {
                let text = |key: &str| one[key].as_str().expect("a text").to_owned();
                (text(key), text("id"))
            }));
            if resources.is_empty() || seen.len() >= promised {
                return (seen, pages);
            }
            page = self.get(&format!("{path}?startIndex={}", seen.len() + 1));
            pages += 1;
        }
    }
}

fn whole(login: &str, uid: &str, family: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "externalId": uid,
        "userName": login,
        "name": { "formatted": format!("Given {family}"), "givenName": "Given", "familyName": family },
        "displayName": format!("Given {family}"),
        "active": true,
        "emails": [{ "value": format!("{login}@example.org"), "type": "other", "primary": true }],
    })
}

fn hourly(engine: Engine) {
    let (people, groups) = (size("SCIMSHIM_HOURLY_PEOPLE", 2000), size("SCIMSHIM_HOURLY_GROUPS", 40));
    let newcomers = people / 500 + 8;
    let (database, service) = filled(engine, people, groups);
    let mut authentik =
        Authentik { client: service.client_with("/scim/authentik/v2", Some(service.issue("authentik"))), requests: 0 };
    let mut okta = service.client_with("/scim/okta/v2", Some(service.issue("okta")));
    // What it remembers of the hour before.
    let mut known: HashMap<String, String> = (1..=people)
        .filter(|number| !leaves_the_application(*number) && !forgotten(*number))
        .map(|number| (format!("p{number}"), number.to_string()))
        .collect();

    let (gone, added) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // All of the walk through, however long it takes.
    let pace = Duration::from_millis(u64::try_from(people / 100).unwrap());
    let began = Instant::now();
    let (mut discovery, mut skipped, mut pages) = (Duration::ZERO, 0, 0);
    std::thread::scope(|scope| {
        // The application deletes people and makes others, all the while.
        scope.spawn(|| {
            let leavers: Vec<usize> = (1..=people).filter(|number| leaves_the_application(*number)).collect();
            let mut locals = 0;
            for some in leavers.chunks(leavers.len().div_ceil(40).max(1)) {
                let list = some.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                database.execute(&format!("UPDATE people SET gone_at = CURRENT_TIMESTAMP WHERE id IN ({list})"));
                gone.fetch_add(some.len(), SeqCst);
                database.execute(&format!(
                    "INSERT INTO people (login, given, enabled) VALUES ('local-{locals}', 'Local', 1)"
                ));
                locals += 1;
                added.store(locals, SeqCst);
                std::thread::sleep(pace);
            }
        });
        // Another identity provider makes some of those whom authentik is about to make.
        scope.spawn(|| {
            for number in (0..newcomers).step_by(2) {
                let body = whole(&format!("new-{number}"), &format!("okta-{number}"), "Family");
                let answer = okta.post("/Users", &body);
                assert!(matches!(answer.status, 201 | 409), "{} {}", answer.status, answer.text());
                std::thread::sleep(pace / 2);
            }
        });

        // Discovery.
        let config = authentik.get("/ServiceProviderConfig");
        assert_eq!((&config["patch"]["supported"], &config["filter"]["supported"]), (&json!(true), &json!(true)));
        let at = Instant::now();
        let (seen, walked) = authentik.discover("/Users", "userName");
        discovery = at.elapsed();
        pages = walked;
        let mut once = BTreeMap::new();
        for (login, id) in seen {
            assert_eq!(once.insert(login.clone(), id), None, "{engine:?}: {login} was shown twice");
        }
        // Whoever was there all the time and was not shown stood behind somebody who went.
        let there = |number: &usize| !leaves_the_application(*number);
        skipped = (1..=people).filter(there).filter(|number| !once.contains_key(&format!("p{number}"))).count();
        assert!(skipped <= gone.load(SeqCst), "{engine:?}: {skipped} were never shown, {} went", gone.load(SeqCst));
        for (login, id) in once {
            known.entry(login).or_insert(id);
        }
        let (teams, _) = authentik.discover("/Groups", "displayName");
        assert_eq!(teams.len(), groups, "{engine:?}");

        // People.
        let mut due: Vec<(String, String, &str)> = (1..=people)
            .filter(|number| !leaves_the_application(*number) && !leaves_the_scope(*number))
            .filter(|number| renamed(*number) || forgotten(*number))
            .map(|number| (format!("p{number}"), format!("uid-{number}"), family(number)))
            .collect();
        due.extend((0..newcomers).map(|number| (format!("new-{number}"), format!("uid-new-{number}"), "Family")));
        for (login, uid, family) in due {
            let body = whole(&login, &uid, family);
            let id = match known.get(&login) {
                Some(id) => id.clone(),
                None => {
                    let answer = authentik.write("POST", "/Users", Some(&body));
                    if answer.status == 201 {
                        known.insert(login, answer.id());
                        continue;
                    }
                    answer.expect_error(409, Some("uniqueness"), "userName");
                    let found = authentik.get(&format!("/Users?filter=userName+eq+%22{login}%22"));
                    assert_eq!(found["totalResults"], 1, "{engine:?}: {login}: {found}");
                    found["Resources"][0]["id"].as_str().expect("an id").to_owned()
                }
            };
            let operations = json!([{ "op": "replace", "path": null, "value": body }]);
            let answer = authentik.write("PATCH", &format!("/Users/{id}"), Some(&patch(operations)));
            assert!(matches!(answer.status, 200 | 204), "{engine:?}: {login}: {}", answer.text());
            let read = authentik.get(&format!("/Users/{id}"));
            assert_eq!((&read["externalId"], &read["name"]["familyName"]), (&json!(uid), &json!(family)), "{read}");
            known.insert(login, id);
        }
        // Groups.
        for group in 0..groups {
            let read = authentik.get(&format!("/Groups/{}", group + 1));
            let there: BTreeSet<usize> = read["members"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|member| member["value"].as_str().and_then(|id| id.parse().ok()).expect("an id"))
                .collect();
            let wanted = members(group, people, groups, true);
            let mut operations: Vec<Value> = (&wanted - &there)
                .iter()
                .map(|id| json!({ "op": "add", "path": "members", "value": [{ "value": id.to_string() }] }))
                .collect();
            operations.extend(
                (&there - &wanted)
                    .iter()
                    .map(|id| json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]"), "value": null })),
            );
            for some in operations.chunks(100) {
                let answer = authentik.write("PATCH", &format!("/Groups/{}", group + 1), Some(&patch(json!(some))));
                assert!(matches!(answer.status, 200 | 204), "{engine:?}: {}", answer.text());
            }
        }
        // Who left its scope.
        for number in (1..=people).filter(|number| leaves_the_scope(*number) && !leaves_the_application(*number)) {
            let answer = authentik.write("DELETE", &format!("/Users/{}", known[&format!("p{number}")]), None);
            assert_eq!(answer.status, 204, "{engine:?}: p{number}: {}", answer.text());
        }
    });
    let took = began.elapsed();

    // Nothing is lost, nothing doubled: the tables, row by row.
    let live = database.rows("SELECT login, family FROM people WHERE gone_at IS NULL");
    let there: BTreeMap<String, String> =
        live.iter().map(|row| (row[0].clone().expect("a login"), row[1].clone().unwrap_or_default())).collect();
    assert_eq!(there.len(), live.len(), "{engine:?}: somebody is there twice");
    let mut wanted: BTreeMap<String, String> = (1..=people)
        .filter(|number| !leaves_the_application(*number) && !leaves_the_scope(*number))
        .map(|number| (format!("p{number}"), family(number).to_owned()))
        .collect();
    wanted.extend((0..newcomers).map(|number| (format!("new-{number}"), "Family".to_owned())));
    wanted.extend((0..added.load(SeqCst)).map(|number| (format!("local-{number}"), String::new())));
    assert!(there == wanted, "{engine:?}: {} people, expected {}", there.len(), wanted.len());
    let rows = database.rows(
        "SELECT m.team_id, m.person_id FROM memberships m JOIN people p ON p.id = m.person_id WHERE p.gone_at IS NULL",
    );
    let there: BTreeSet<(usize, usize)> = rows
        .iter()
        .map(|row| {
            let number =
                |index: usize| row[index].as_ref().and_then(|text| text.parse::<usize>().ok()).expect("a number");
            (number(0) - 1, number(1))
        })
        .collect();
    assert_eq!(there.len(), rows.len(), "{engine:?}: a membership is there twice");
    let wanted: BTreeSet<(usize, usize)> = (0..groups)
        .flat_map(|group| members(group, people, groups, true).into_iter().map(move |number| (group, number)))
        .collect();
    assert!(there == wanted, "{engine:?}: {} memberships, expected {}", there.len(), wanted.len());
    // Each newcomer once, under authentik's own externalId, and under the other provider's where that was first.
    let own = database.own_tables();
    let links = |server: &str| {
        database.count(&format!(
            "SELECT COUNT(*) FROM {own}links WHERE server = '{server}' AND external_id LIKE '%-%' AND resource_type = 'User'"
        ))
    };
    let kept = (1..=people).filter(|number| !leaves_the_application(*number) && !leaves_the_scope(*number)).count();
    assert!(links("authentik") >= i64::try_from(kept + newcomers).unwrap(), "{engine:?}: {}", links("authentik"));
    report(
        "hourly",
        &format!(
            "{engine:?}: authentik's whole sync of {people} people and {groups} groups ({} memberships) in {:.0} s and {} \
             requests, discovery {pages} pages in {:.1} s, while {} people went and {} came: nothing lost, nothing doubled \
             ({skipped} stood behind somebody who went and were found by name)",
            wanted.len(),
            took.as_secs_f64(),
            authentik.requests,
            discovery.as_secs_f64(),
            gone.load(SeqCst),
            added.load(SeqCst) + newcomers,
        ),
    );
}

#[test]
fn on_mariadb() {
    hourly(Engine::MariaDb);
}

#[test]
fn on_postgres() {
    hourly(Engine::Postgres);
}
