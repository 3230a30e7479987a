//! Five identity providers at once keep the same people and groups in one application, over a network that loses answers,
//! resets, cuts, delays and repeats. Each speaks its own dialect, has its own externalIds, and does on an error what the
//! facts say of it (section 9). At the end the tables hold exactly what all of them wanted: everybody once, every
//! membership, nothing else.
//!
//! `SCIMSHIM_SOAK_PEOPLE` (100), `SCIMSHIM_SOAK_GROUPS` (10), `SCIMSHIM_SOAK_FAULTS` (percent of all requests, 8).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::network::{FAULTS, Fate, Wire};
use crate::random::Random;
use crate::support::client::{self, Answer, Client, encode, patch};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::{report, size};

const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

const SERVERS: &str = "
  test: { default: true }
  entra: { profile: entra }
  okta: { profile: okta }
  onelogin: { profile: onelogin }
  authentik: { profile: authentik }
  keycloak: { profile: keycloak }";

/// Rounds: everybody is new; then some changed their names, left or came back, and moved between groups.
const ROUNDS: usize = 2;

struct Person {
    login: String,
    given: String,
    family: String,
    display: String,
    title: String,
    department: String,
    active: bool,
}

fn person(number: usize, round: usize) -> Person {
    let given = ["Ana", "Bao", "Çelik", "Dörte", "Efua", "Šime"][number % 6];
    let family = match round {
        1 if number % 10 == 3 => format!("Married {number}"),
        _ => format!("O'Family {number}"),
    };
    Person {
        login: format!("person{number}@example.org"),
        display: format!("{given} {family}"),
        given: given.to_owned(),
        family,
        title: format!("Title {}", (number + round * usize::from(number % 4 == 1)) % 7),
        department: format!("Department {}", number % 12),
        active: !(number % 20 == 7 && round == 1),
    }
}

/// Whether the second round has anything to say of somebody.
fn changes(number: usize) -> bool {
    let (one, two) = (person(number, 0), person(number, 1));
    (one.family, one.title, one.active) != (two.family, two.title, two.active)
}

fn group_name(number: usize) -> String {
    format!("Group {number}")
}

fn members(group: usize, round: usize, people: usize, groups: usize) -> BTreeSet<usize> {
    let mut all: BTreeSet<usize> =
        (0..people).filter(|p| p % groups == group || (p * 7 + 3) % groups == group).collect();
    if round == 1 && group.is_multiple_of(3) {
        all.retain(|p| p % 4 != 0);
        all.extend((0..people).filter(|p| (p * 11 + 5) % groups == group));
    }
    all
}

/// What is counted.
#[derive(Default)]
struct Tally {
    requests: AtomicU64,
    faults: AtomicU64,
    unanswered: AtomicU64,
    conflicts: AtomicU64,
    unavailable: AtomicU64,
    again: AtomicU64,
    kinds: Mutex<BTreeMap<String, u64>>,
}

/// This object could not be brought up to date now; the provider's next cycle tries again.
struct Again;

type Done = Result<(), Again>;

/// One connection of one provider.
struct Speaker<'a> {
    client: Client,
    wire: Wire,
    /// An answer came on this connection before.
    warm: bool,
    random: Random,
    odds: u64,
    tally: &'a Tally,
}

impl Speaker<'_> {
    /// One request, as the network will have it. No answer, and answers that say "later", are `Again`.
    fn ask(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Again> {
        self.tally.requests.fetch_add(1, Relaxed);
        if self.warm && self.random.percent(self.odds) {
            let fate = *self.random.pick(&FAULTS);
            self.tally.faults.fetch_add(1, Relaxed);
            *self.tally.kinds.lock().expect("kinds").entry(format!("{fate:?}")).or_default() += 1;
            self.wire.next(fate);
        }
        let answer = match self.client.try_scim(method, path, body) {
            Ok(answer) => answer,
            Err(_) => {
                self.warm = false;
                self.wire.next(Fate::Arrives);
                self.tally.unanswered.fetch_add(1, Relaxed);
                return Err(Again);
            }
        };
        self.warm = true;
        if matches!(answer.status, 429 | 503) {
            self.tally.unavailable.fetch_add(1, Relaxed);
            let wait = answer.header("retry-after").and_then(|text| text.parse().ok());
            let wait: u64 = wait.unwrap_or_else(|| panic!("{} without Retry-After: {}", answer.status, answer.text()));
            std::thread::sleep(Duration::from_secs(wait.min(5)));
            return Err(Again);
        }
        assert!(answer.status < 500, "{method} {path}: {} {}", answer.status, answer.text());
        if answer.status == 409 {
            self.tally.conflicts.fetch_add(1, Relaxed);
        }
        Ok(answer)
    }

    /// As [`Speaker::ask`], at most `times` times at once: what clients do that retry by themselves.
    fn insist(&mut self, times: usize, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Again> {
        for _ in 1..times {
            if let Ok(answer) = self.ask(method, path, body) {
                return Ok(answer);
            }
        }
        self.ask(method, path, body)
    }

    /// A POST; what it makes is remembered.
    fn make(&mut self, path: &str, body: &Value, id: &mut Option<String>) -> Done {
        let answer = self.ask("POST", path, Some(body))?;
        if answer.status == 201 {
            *id = Some(answer.id());
        }
        written(&answer, id)
    }

    /// The ids that a filter finds.
    fn find(&mut self, path: &str) -> Result<Option<String>, Again> {
        let found = self.ask("GET", path, None)?.expect(200).json();
        assert!(found["totalResults"].as_u64().is_some_and(|total| total <= 1), "{path}: {found}");
        Ok(found["Resources"][0]["id"].as_str().map(str::to_owned))
    }
}

/// A 2xx, or what the provider does about anything else: 404 forgets the id, 409 waits for the next cycle.
fn written(answer: &Answer, id: &mut Option<String>) -> Done {
    match answer.status {
        200 | 201 | 204 => Ok(()),
        404 => {
            *id = None;
            Err(Again)
        }
        409 => Err(Again),
        status => panic!("{status} {}", answer.text()),
    }
}

/// How a provider speaks: which requests bring one person, or one group, up to date. `id` is what it remembers.
trait Dialect: Sync {
    fn name(&self) -> &'static str;
    fn person(&self, speaker: &mut Speaker<'_>, id: &mut Option<String>, external: &str, person: &Person) -> Done;
    /// `before` are the members as it believes the group to have them.
    fn group(
        &self,
        speaker: &mut Speaker<'_>,
        id: &mut Option<String>,
        external: &str,
        name: &str,
        before: &BTreeSet<String>,
        now: &BTreeSet<String>,
    ) -> Done;
}

/// The whole person as most providers send one.
fn whole(external: &str, person: &Person) -> Value {
    client::user(
        &person.login,
        json!({
            "schemas": [CORE, ENTERPRISE],
            "externalId": external,
            "name": { "givenName": person.given, "familyName": person.family },
            "displayName": person.display,
            "title": person.title,
            "emails": [{ "value": person.login, "type": "work", "primary": true }],
            "active": person.active,
            ENTERPRISE: { "department": person.department },
        }),
    )
}

fn values(ids: &BTreeSet<String>) -> Vec<Value> {
    ids.iter().map(|id| json!({ "value": id })).collect()
}

/// Section 2: looks first, PATCHes with capitalised operations and booleans as text; members in lists of twenty.
struct Entra;

impl Dialect for Entra {
    fn name(&self) -> &'static str {
        "entra"
    }

    fn person(&self, speaker: &mut Speaker<'_>, id: &mut Option<String>, external: &str, person: &Person) -> Done {
        if id.is_none() {
            *id = speaker.find(&format!("/Users?filter=userName+eq+%22{}%22", encode(&person.login)))?;
        }
        let Some(known) = id.clone() else {
            let mut body = whole(external, person);
            body["active"] = json!(if person.active { "True" } else { "False" });
            return speaker.make("/Users", &body, id);
        };
        let operations = json!([
            { "op": "Replace", "path": "active", "value": if person.active { "True" } else { "False" } },
            { "op": "Add", "path": "externalId", "value": external },
            { "op": "Replace", "path": "displayName", "value": person.display },
            { "op": "Add", "path": "title", "value": person.title },
            { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": person.login },
            { "op": "Add", "path": "name.givenName", "value": person.given },
            { "op": "Add", "path": "name.familyName", "value": person.family },
            { "op": "Add", "path": format!("{ENTERPRISE}:department"), "value": person.department },
        ]);
        let answer = speaker.ask("PATCH", &format!("/Users/{known}"), Some(&patch(operations)))?;
        written(&answer, id)
    }

    fn group(
        &self,
        speaker: &mut Speaker<'_>,
        id: &mut Option<String>,
        external: &str,
        name: &str,
        before: &BTreeSet<String>,
        now: &BTreeSet<String>,
    ) -> Done {
        if id.is_none() {
            let filter = format!("/Groups?excludedAttributes=members&filter=displayName+eq+%22{}%22", encode(name));
            *id = speaker.find(&filter)?;
        }
        if id.is_none() {
            let body = json!({ "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
                "externalId": external, "displayName": name, "meta": { "resourceType": "Group" } });
            speaker.make("/Groups", &body, id)?;
        }
        let Some(known) = id.clone() else { return Err(Again) };
        let path = format!("/Groups/{known}");
        let body = patch(json!([{ "op": "Replace", "path": "externalId", "value": external }]));
        written(&speaker.ask("PATCH", &path, Some(&body))?, id)?;
        for (op, list) in [("Add", now - before), ("Remove", before - now)] {
            let all: Vec<Value> = list.iter().map(|id| json!({ "$ref": null, "value": id })).collect();
            for some in all.chunks(20) {
                let body = patch(json!([{ "op": op, "path": "members", "value": some }]));
                written(&speaker.ask("PATCH", &path, Some(&body))?, id)?;
            }
        }
        Ok(())
    }
}

/// Section 3: looks, reads and PUTs back what it read with its changes; pushes whole memberships.
struct Okta;

impl Dialect for Okta {
    fn name(&self) -> &'static str {
        "okta"
    }

    fn person(&self, speaker: &mut Speaker<'_>, id: &mut Option<String>, external: &str, person: &Person) -> Done {
        if id.is_none() {
            let filter =
                format!("/Users?filter=userName%20eq%20%22{}%22&startIndex=1&count=100", encode(&person.login));
            *id = speaker.find(&filter)?;
        }
        let mut body = whole(external, person);
        let Some(known) = id.clone() else {
            body["groups"] = json!([]);
            body["password"] = json!("never-kept-1");
            return speaker.make("/Users", &body, id);
        };
        let read = speaker.ask("GET", &format!("/Users/{known}"), None)?;
        written(&read, id)?;
        let mut echo = read.json();
        echo.as_object_mut().expect("a resource").extend(body.as_object().expect("a resource").clone());
        let answer = speaker.ask("PUT", &format!("/Users/{known}"), Some(&echo))?;
        written(&answer, id)
    }

    fn group(
        &self,
        speaker: &mut Speaker<'_>,
        id: &mut Option<String>,
        external: &str,
        name: &str,
        _before: &BTreeSet<String>,
        now: &BTreeSet<String>,
    ) -> Done {
        if id.is_none() {
            *id = speaker.find(&format!("/Groups?filter=displayName%20eq%20%22{}%22", encode(name)))?;
        }
        let Some(known) = id.clone() else {
            let body =
                json!({ "schemas": [GROUP], "externalId": external, "displayName": name, "members": values(now) });
            return speaker.make("/Groups", &body, id);
        };
        let body = patch(json!([
            { "op": "replace", "value": { "id": known, "displayName": name, "externalId": external } },
            { "op": "replace", "path": "members", "value": values(now) },
        ]));
        let answer = speaker.ask("PATCH", &format!("/Groups/{known}"), Some(&body))?;
        written(&answer, id)
    }
}

/// Section 4: a trailing `&` and `?`, one e-mail as an object, a status as text; one member a request.
struct OneLogin;

impl Dialect for OneLogin {
    fn name(&self) -> &'static str {
        "onelogin"
    }

    fn person(&self, speaker: &mut Speaker<'_>, id: &mut Option<String>, external: &str, person: &Person) -> Done {
        let filter = format!("/Users?filter=userName+eq+%22{}%22&", encode(&person.login));
        *id = speaker.find(&filter)?;
        let mut body = whole(external, person);
        body["id"] = Value::Null;
        body["active"] = json!(person.active.to_string());
        body["emails"] = json!({ "value": person.login, "type": "work", "primary": "true" });
        let answer = match &id {
            None => speaker.ask("POST", "/Users", Some(&body))?,
            Some(known) => speaker.ask("PUT", &format!("/Users/{known}?"), Some(&body))?,
        };
        written(&answer, id)?;
        *id = Some(answer.id());
        let read = speaker.ask("GET", &format!("/Users/{}", answer.id()), None)?;
        written(&read, id)
    }

    fn group(
        &self,
        speaker: &mut Speaker<'_>,
        id: &mut Option<String>,
        external: &str,
        name: &str,
        before: &BTreeSet<String>,
        now: &BTreeSet<String>,
    ) -> Done {
        if id.is_none() {
            *id = speaker.find(&format!("/Groups?filter=displayName+eq+%22{}%22&", encode(name)))?;
        }
        if id.is_none() {
            let body = json!({ "schemas": ["urn:scim:schemas:core:1.0"], "displayName": name, "externalId": external });
            speaker.make("/Groups?", &body, id)?;
        }
        let Some(known) = id.clone() else { return Err(Again) };
        let path = format!("/Groups/{known}?");
        let body = patch(json!([{ "op": "replace", "path": "externalId", "value": external }]));
        written(&speaker.insist(3, "PATCH", &path, Some(&body))?, id)?;
        for (op, list) in [("add", now - before), ("remove", before - now)] {
            for member in list {
                let body = patch(json!([{ "op": op, "path": "members", "value": [{ "value": member }] }]));
                written(&speaker.insist(3, "PATCH", &path, Some(&body))?, id)?;
            }
        }
        Ok(())
    }
}

/// Section 6: POSTs, recovers from 409 by a filter, replaces everything without a path, one operation a member, and reads
/// the group to know what to change.
struct Authentik;

impl Dialect for Authentik {
    fn name(&self) -> &'static str {
        "authentik"
    }

    fn person(&self, speaker: &mut Speaker<'_>, id: &mut Option<String>, external: &str, person: &Person) -> Done {
        let mut body = whole(external, person);
        body["emails"][0]["type"] = json!("other");
        if id.is_none() {
            let answer = speaker.ask("POST", "/Users", Some(&body))?;
            if answer.status == 201 {
                *id = Some(answer.id());
                return Ok(());
            }
            *id = speaker.find(&format!("/Users?filter=userName+eq+%22{}%22", encode(&person.login)))?;
        }
        let Some(known) = id.clone() else { return Err(Again) };
        body["id"] = json!(known);
        let operations = json!([{ "op": "replace", "path": null, "value": body }]);
        let answer = speaker.ask("PATCH", &format!("/Users/{known}"), Some(&patch(operations)))?;
        written(&answer, id)?;
        let read = speaker.ask("GET", &format!("/Users/{known}"), None)?;
        written(&read, id)?;
        // What is not given back as it was sent is written again every hour.
        assert_eq!(read.json()["externalId"], external, "{}", read.text());
        Ok(())
    }

    fn group(
        &self,
        speaker: &mut Speaker<'_>,
        id: &mut Option<String>,
        external: &str,
        name: &str,
        _before: &BTreeSet<String>,
        now: &BTreeSet<String>,
    ) -> Done {
        let body = json!({ "schemas": [GROUP], "externalId": external, "displayName": name });
        if id.is_none() {
            let answer = speaker.ask("POST", "/Groups", Some(&body))?;
            *id = match answer.status {
                201 => Some(answer.id()),
                _ => speaker.find(&format!("/Groups?filter=displayName+eq+%22{}%22", encode(name)))?,
            };
        }
        let Some(known) = id.clone() else { return Err(Again) };
        let path = format!("/Groups/{known}");
        let operations = json!([{ "op": "replace", "path": null, "value": body }]);
        written(&speaker.ask("PATCH", &path, Some(&patch(operations)))?, id)?;
        let read = speaker.ask("GET", &path, None)?;
        written(&read, id)?;
        let read = read.json();
        let there: BTreeSet<String> = read["members"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|member| member["value"].as_str().expect("an id").to_owned())
            .collect();
        let mut operations: Vec<Value> = values(&(now - &there))
            .into_iter()
            .map(|one| json!({ "op": "add", "path": "members", "value": [one] }))
            .collect();
        operations.extend(
            (&there - now)
                .iter()
                .map(|id| json!({ "op": "remove", "path": format!("members[value eq \"{id}\"]"), "value": null })),
        );
        for some in operations.chunks(50) {
            written(&speaker.ask("PATCH", &path, Some(&patch(json!(some))))?, id)?;
        }
        Ok(())
    }
}

/// Section 7: POSTs without looking, up to ten times; what is there already it knows by an import of everything; PUTs.
struct Keycloak {
    imported: Mutex<HashMap<String, String>>,
}

impl Keycloak {
    /// Reads all of a list, page by page.
    fn import(&self, speaker: &mut Speaker<'_>, path: &str, key: &str) -> Done {
        let mut start = 1;
        loop {
            let asked = format!("{path}?startIndex={start}&count=100&attributes={key}");
            let page = speaker.insist(10, "GET", &asked, None)?.expect(200).json();
            let resources = page["Resources"].as_array().expect("a list");
            let mut imported = self.imported.lock().expect("imported");
            for one in resources {
                imported.insert(
                    format!("{path} {}", one[key].as_str().expect("a name").to_lowercase()),
                    one["id"].as_str().expect("an id").to_owned(),
                );
            }
            start += resources.len();
            if resources.is_empty() || u64::try_from(start).ok() > page["totalResults"].as_u64() {
                return Ok(());
            }
        }
    }

    fn bring(&self, speaker: &mut Speaker<'_>, id: &mut Option<String>, path: &str, key: &str, body: &Value) -> Done {
        let name = format!("{path} {}", body[key].as_str().expect("a name").to_lowercase());
        if id.is_none() {
            *id = self.imported.lock().expect("imported").get(&name).cloned();
        }
        let Some(known) = id.clone() else {
            let answer = speaker.insist(10, "POST", path, Some(body))?;
            match answer.status {
                201 => *id = Some(answer.id()),
                _ => {
                    answer.expect_error(409, Some("uniqueness"), key);
                    self.import(speaker, path, key)?;
                    return Err(Again);
                }
            }
            return Ok(());
        };
        let answer = speaker.insist(10, "PUT", &format!("{path}/{known}"), Some(body))?;
        written(&answer, id)
    }
}

impl Dialect for Keycloak {
    fn name(&self) -> &'static str {
        "keycloak"
    }

    fn person(&self, speaker: &mut Speaker<'_>, id: &mut Option<String>, external: &str, person: &Person) -> Done {
        let mut body = whole(external, person);
        body["emails"] = json!([{ "value": person.login }]);
        body["roles"] = json!([]);
        self.bring(speaker, id, "/Users", "userName", &body)
    }

    fn group(
        &self,
        speaker: &mut Speaker<'_>,
        id: &mut Option<String>,
        external: &str,
        name: &str,
        _before: &BTreeSet<String>,
        now: &BTreeSet<String>,
    ) -> Done {
        let all: Vec<Value> = now.iter().map(|id| json!({ "value": id, "$ref": format!("Users/{id}") })).collect();
        let body = json!({ "schemas": [GROUP], "externalId": external, "displayName": name, "members": all });
        self.bring(speaker, id, "/Groups", "displayName", &body)
    }
}

/// Works off a list of objects with several speakers, cycle after cycle, until none is left.
fn cycles(
    what: &str,
    speakers: &mut [Speaker<'_>],
    mut left: Vec<usize>,
    tally: &Tally,
    each: &(dyn Fn(&mut Speaker<'_>, usize) -> Done + Sync),
) {
    for cycle in 0.. {
        assert!(cycle < 40, "{what}: {} objects are still not right after {cycle} cycles", left.len());
        let queue = Mutex::new(left);
        let failed = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for speaker in &mut *speakers {
                let (queue, failed) = (&queue, &failed);
                scope.spawn(move || {
                    loop {
                        let Some(number) = queue.lock().expect("the queue").pop() else { return };
                        let done = each(speaker, number);
                        // What is late belongs to this object, and comes before anything else is said of it.
                        speaker.wire.settle();
                        if done.is_err() {
                            failed.lock().expect("the failed").push(number);
                        }
                    }
                });
            }
        });
        left = failed.into_inner().expect("the failed");
        if left.is_empty() {
            return;
        }
        tally.again.fetch_add(u64::try_from(left.len()).unwrap(), Relaxed);
    }
}

/// Everything that one provider does in all rounds.
fn provider(
    dialect: &dyn Dialect,
    service: &Service,
    (people, groups): (usize, usize),
    odds: u64,
    round_begins: &Barrier,
    tally: &Tally,
) {
    let name = dialect.name();
    let token = service.issue(name);
    let tls = client::tls(&std::fs::read_to_string(service.ca_file()).expect("the authority"));
    let mut speakers: Vec<Speaker<'_>> = (0..3)
        .map(|number| {
            let wire = Wire::new(service.address());
            let base = format!("/scim/{name}/v2");
            let client = Client::new(wire.address, std::sync::Arc::clone(&tls), &base, Some(token.clone()));
            let seed = name.bytes().map(u64::from).sum::<u64>() * 10 + number;
            Speaker { client, wire, warm: false, random: Random::new(seed), odds, tally }
        })
        .collect();
    let user_ids: Vec<Mutex<Option<String>>> = (0..people).map(|_| Mutex::default()).collect();
    let group_ids: Vec<Mutex<Option<String>>> = (0..groups).map(|_| Mutex::default()).collect();
    let ids_of = |numbers: &BTreeSet<usize>| -> BTreeSet<String> {
        numbers.iter().map(|number| user_ids[*number].lock().expect("an id").clone().expect("synced")).collect()
    };
    for round in 0..ROUNDS {
        round_begins.wait();
        let mut due: Vec<usize> = (0..people).filter(|number| round == 0 || changes(*number)).collect();
        // Each begins elsewhere, so that they meet in all stages.
        let first = name.len() * 131 % due.len().max(1);
        due.rotate_left(first);
        cycles(&format!("{name}, people"), &mut speakers, due, tally, &|speaker, number| {
            let mut id = user_ids[number].lock().expect("an id");
            dialect.person(speaker, &mut id, &format!("{name}-{number}"), &person(number, round))
        });
        let due: Vec<usize> = (0..groups)
            .filter(|group| round == 0 || members(*group, 0, people, groups) != members(*group, 1, people, groups))
            .collect();
        cycles(&format!("{name}, groups"), &mut speakers, due, tally, &|speaker, number| {
            let mut id = group_ids[number].lock().expect("an id");
            let before = if round == 0 { BTreeSet::new() } else { ids_of(&members(number, round - 1, people, groups)) };
            let now = ids_of(&members(number, round, people, groups));
            dialect.group(speaker, &mut id, &format!("{name}-g{number}"), &group_name(number), &before, &now)
        });
    }
}

/// A provider's externalIds by the names they belong to, as it reads them itself.
fn external_ids(service: &Service, server: &str, path: &str, key: &str) -> BTreeMap<String, String> {
    let mut client = service.client_with(&format!("/scim/{server}/v2"), Some(service.issue(server)));
    let mut all = BTreeMap::new();
    loop {
        let start = all.len() + 1;
        let page =
            client.get(&format!("{path}?startIndex={start}&count=200&attributes={key},externalId")).expect(200).json();
        let resources = page["Resources"].as_array().expect("a list");
        for one in resources {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            assert_eq!(all.insert(text(key), text("externalId")), None, "twice: {one}");
        }
        if resources.is_empty() {
            return all;
        }
    }
}

fn soak(engine: Engine) {
    let (people, groups) = (size("SCIMSHIM_SOAK_PEOPLE", 100), size("SCIMSHIM_SOAK_GROUPS", 10));
    let odds = u64::try_from(size("SCIMSHIM_SOAK_FAULTS", 8)).unwrap();
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small().identity_servers(SERVERS));
    let dialects: [&dyn Dialect; 5] = [&Entra, &Okta, &OneLogin, &Authentik, &Keycloak { imported: Mutex::default() }];
    let (tally, round_begins, began) = (Tally::default(), Barrier::new(dialects.len()), Instant::now());
    std::thread::scope(|scope| {
        for dialect in dialects {
            let (service, tally, round_begins) = (&service, &tally, &round_begins);
            scope.spawn(move || {
                // A provider that fails must not leave the others waiting at the barrier for ever.
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    provider(dialect, service, (people, groups), odds, round_begins, tally);
                }));
                if done.is_err() {
                    eprintln!("{}: failed; the soak ends here", dialect.name());
                    std::process::abort();
                }
            });
        }
    });
    let took = began.elapsed();

    // The tables, as somebody else reads them.
    let rows = database.rows(
        "SELECT p.login, p.given, p.family, p.display, p.title, p.mail, p.enabled, d.name FROM people p \
         LEFT JOIN departments d ON d.id = p.department_id WHERE p.gone_at IS NULL ORDER BY p.id",
    );
    let text = |row: &[Option<String>]| -> Vec<String> {
        row.iter().map(|field| field.clone().unwrap_or_else(|| "NULL".to_owned())).collect()
    };
    let mut there: Vec<Vec<String>> = rows.iter().map(|row| text(row)).collect();
    let mut wanted: Vec<Vec<String>> = (0..people)
        .map(|number| {
            let one = person(number, ROUNDS - 1);
            let active = u8::from(one.active).to_string();
            vec![one.login.clone(), one.given, one.family, one.display, one.title, one.login, active, one.department]
        })
        .collect();
    there.sort();
    wanted.sort();
    assert_eq!(there, wanted, "{engine:?}: people");
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), i64::try_from(people).unwrap(), "none was ever deleted");
    assert_eq!(database.count("SELECT COUNT(*) FROM history WHERE what = 'create'"), i64::try_from(people).unwrap());
    assert_eq!(database.count("SELECT COUNT(*) FROM departments"), i64::try_from(people.min(12)).unwrap());
    let rows = database.rows(
        "SELECT t.name, p.login FROM memberships m JOIN teams t ON t.id = m.team_id JOIN people p ON p.id = m.person_id",
    );
    let mut there: Vec<Vec<String>> = rows.iter().map(|row| text(row)).collect();
    let mut wanted: Vec<Vec<String>> = (0..groups)
        .flat_map(|group| {
            members(group, ROUNDS - 1, people, groups)
                .into_iter()
                .map(move |number| vec![group_name(group), person(number, 0).login])
        })
        .collect();
    there.sort();
    wanted.sort();
    assert_eq!(there, wanted, "{engine:?}: memberships");
    let memberships = wanted.len();
    assert_eq!(
        database.count("SELECT COUNT(*) FROM memberships"),
        i64::try_from(memberships).unwrap(),
        "none of nobody"
    );
    assert_eq!(database.count("SELECT COUNT(*) FROM teams"), i64::try_from(groups).unwrap(), "{engine:?}: groups");
    for dialect in dialects {
        let name = dialect.name();
        let wanted: BTreeMap<String, String> =
            (0..people).map(|number| (person(number, 0).login, format!("{name}-{number}"))).collect();
        assert_eq!(external_ids(&service, name, "/Users", "userName"), wanted, "{engine:?}: {name}");
        let wanted: BTreeMap<String, String> =
            (0..groups).map(|number| (group_name(number), format!("{name}-g{number}"))).collect();
        assert_eq!(external_ids(&service, name, "/Groups", "displayName"), wanted, "{engine:?}: {name}");
    }
    let count = |counter: &AtomicU64| counter.load(Relaxed);
    let kinds = tally.kinds.lock().unwrap();
    assert!(odds == 0 || kinds.len() == FAULTS.len(), "not every kind of fault was met: {kinds:?}");
    report(
        "soak",
        &format!(
            "{engine:?}: five providers at once, {people} people, {groups} groups, {memberships} memberships, {ROUNDS} rounds: \
             {} requests, {} of them over a fault of the network ({}), {} unanswered, {} conflicts, {} \"later\", {} objects \
             tried again in another cycle; {:.0} s, {:.0} requests/s; tables, memberships and the externalIds of each as \
             expected, 0 differences",
            count(&tally.requests),
            count(&tally.faults),
            kinds.iter().map(|(kind, number)| format!("{kind} {number}")).collect::<Vec<_>>().join(", "),
            count(&tally.unanswered),
            count(&tally.conflicts),
            count(&tally.unavailable),
            count(&tally.again),
            took.as_secs_f64(),
            f64::from(u32::try_from(count(&tally.requests)).unwrap()) / took.as_secs_f64(),
        ),
    );
}

#[test]
fn on_mariadb() {
    soak(Engine::MariaDb);
}

#[test]
fn on_postgres() {
    soak(Engine::Postgres);
}
