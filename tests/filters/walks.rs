//! Random lists, walked from the first page to the last: by index and by cursor, on three databases. What comes is what
//! filtering and sorting the resources' JSON here gives, in that order, nothing lost and nothing twice.

use crate::ask::{Asker, OF_GROUPS, OF_USERS};
use crate::question::{Attribute, Known, Question, Spelling};
use crate::random::Random;
use crate::support::databases::Engine;
use crate::{Application, GROUPS, USERS, everything, id, seed, support};
use scimshim::directory::Page;
use scimshim::scim::{Error, ListQuery, filter};
use serde_json::Value as Json;
use std::cmp::Ordering;

/// One list.
struct Walk {
    /// A resource type, or the root.
    type_: Option<usize>,
    filter: Option<String>,
    sort: Option<&'static Attribute>,
    descending: bool,
    by_index: u64,
    by_cursor: u64,
    expected: Vec<String>,
}

impl Application {
    fn page(&self, type_: Option<usize>, query: &[(&str, &str)]) -> Result<Page, Error> {
        let query = ListQuery::parse(query, &filter::Limits::default())?;
        match type_ {
            Some(type_) => self.directory.list(&self.caller, type_, &query),
            None => self.directory.search(&self.caller, &query),
        }
    }
}

/// Names as they are.
struct Plainly;

impl Spelling for Plainly {
    fn word(&mut self, word: &str) -> String {
        word.to_owned()
    }

    fn qualified(&mut self) -> bool {
        false
    }
}

impl Walk {
    fn random(random: &mut Random, case: usize, all: &[Vec<Json>; 2]) -> Walk {
        let type_ = [Some(USERS), Some(USERS), Some(GROUPS), None][case % 4];
        let attributes = if type_ == Some(GROUPS) { OF_GROUPS } else { OF_USERS };
        let seed = random.below(u64::MAX);
        let question = random.percent(50).then(|| question(seed, type_, attributes, all));
        let sort = random.percent(88).then(|| random.pick(attributes));
        let descending = random.percent(50);
        let mut found: Vec<(usize, &Json)> = Vec::new();
        for (number, resources) in all.iter().enumerate() {
            let of_type = resources.iter().filter(|_| type_.is_none_or(|type_| type_ == number));
            found.extend(of_type.map(|resource| (number, resource)));
        }
        found.retain(|(_, resource)| {
            question.as_ref().is_none_or(|question| question.holds(&Known::new(resource, attributes), false))
        });
        found.sort_by(|a, b| order(sort, descending, *a, *b));
        let expected: Vec<String> = found.into_iter().map(|(_, resource)| id(resource)).collect();
        let pages = |random: &mut Random| 1 + expected.len() as u64 / (1 + random.below(9));
        Walk {
            type_,
            filter: question.map(|question| question.text(&mut Plainly)),
            sort,
            descending,
            by_index: pages(random),
            by_cursor: pages(random),
            expected,
        }
    }

    fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("attributes", "id".to_owned())];
        query.extend(self.filter.clone().map(|filter| ("filter", filter)));
        query.extend(self.sort.map(|sort| ("sortBy", name(sort))));
        if self.descending {
            query.push(("sortOrder", "descending".to_owned()));
        }
        query
    }

    fn step(&self, application: &Application, more: &[(&'static str, String)]) -> Result<Page, String> {
        let mut query = self.query();
        query.extend_from_slice(more);
        let query: Vec<(&str, &str)> = query.iter().map(|(key, value)| (*key, value.as_str())).collect();
        application.page(self.type_, &query).map_err(|error| format!("{} {}", error.status, error.detail))
    }

    fn by_index(&self, application: &Application) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        loop {
            let start = (found.len() + 1).to_string();
            let page = self.step(application, &[("startIndex", start), ("count", self.by_index.to_string())])?;
            if page.total != Some(self.expected.len() as u64) || page.next_cursor.is_some() {
                return Err(format!("totalResults {:?}, not {}", page.total, self.expected.len()));
            }
            if page.resources.is_empty() || found.len() > self.expected.len() {
                return Ok(found);
            }
            found.extend(page.resources.into_iter().map(|resource| id(&Json::Object(resource))));
        }
    }

    fn by_cursor(&self, application: &Application) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let total = cursor.is_empty().then_some(self.expected.len() as u64);
            let page = self.step(application, &[("cursor", cursor), ("count", self.by_cursor.to_string())])?;
            if page.total != total {
                return Err(format!("totalResults {:?}, not {total:?}", page.total));
            }
            let length = page.resources.len() as u64;
            found.extend(page.resources.into_iter().map(|resource| id(&Json::Object(resource))));
            match page.next_cursor {
                Some(next) if length == self.by_cursor && found.len() < self.expected.len() => cursor = next,
                Some(_) => {
                    return Err(format!("a cursor after {length} of {}, {} in all", self.by_cursor, found.len()));
                }
                None => return Ok(found),
            }
        }
    }

    fn differences(&self, application: &Application) -> Vec<String> {
        let walks = [("index", self.by_index(application)), ("cursor", self.by_cursor(application))];
        let wrong = walks.into_iter().filter_map(|(way, walked)| {
            let said = match walked {
                Ok(found) if found == self.expected => return None,
                Ok(found) => {
                    let first = found.iter().zip(&self.expected).position(|(a, b)| a != b);
                    let first = first.unwrap_or(found.len().min(self.expected.len()));
                    let around = |ids: &[String]| ids[first..ids.len().min(first + 3)].join(" ");
                    format!(
                        "{} of {} resources, at {first} {} instead of {}",
                        found.len(),
                        self.expected.len(),
                        around(&found),
                        around(&self.expected)
                    )
                }
                Err(error) => error,
            };
            Some(format!("{:?} by {way} {:?} {:?}\n    {said}", application.engine, self.type_, self.query()))
        });
        wrong.collect()
    }
}

fn name(attribute: &Attribute) -> String {
    let sub = attribute.sub.map(|sub| format!(".{sub}")).unwrap_or_default();
    // What stands in an extension alone needs no URN.
    format!("{}{sub}", attribute.name)
}

/// One that the same rows meet everywhere: no collation decides, and at the root no name means two things.
fn question(seed: u64, type_: Option<usize>, attributes: &'static [Attribute], all: &[Vec<Json>; 2]) -> Question {
    for attempt in 0.. {
        let random = Random::new(seed.wrapping_add(attempt));
        let mut asker = Asker { random, attributes, resources: &all[type_.unwrap_or(USERS)] };
        let question = asker.question(2);
        let text = question.text(&mut Plainly);
        if !question.asks_collation() && (type_.is_some() || !text.contains("displayName")) {
            return question;
        }
    }
    unreachable!("there are questions without names")
}

/// RFC 7644 3.4.2.3: what has no value comes last ascending and first descending; then type and key, always ascending.
fn order(sort: Option<&Attribute>, descending: bool, a: (usize, &Json), b: (usize, &Json)) -> Ordering {
    let by_key = (a.0, key(a.1)).cmp(&(b.0, key(b.1)));
    let Some(sort) = sort else {
        return if descending { by_key.reverse() } else { by_key };
    };
    let by_value = match (sort.rank(a.1), sort.rank(b.1)) {
        (Some(a), Some(b)) => a.compare(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    if descending { by_value.reverse() } else { by_value }.then(by_key)
}

fn key(resource: &Json) -> u64 {
    id(resource).trim_start_matches("team-").parse().unwrap()
}

#[test]
fn every_walk_sees_everything_once_and_in_order() {
    let seed = seed();
    let cases = support::size("SCIMSHIM_WALK_CASES", 16);
    println!("walks: SCIMSHIM_FILTER_SEED={seed} SCIMSHIM_WALK_CASES={cases}");
    let applications = Engine::ALL.map(|engine| Application::new(engine, seed));
    let all = everything(&applications);
    let mut random = Random::new(seed);
    let walks: Vec<Walk> = (0..cases).map(|case| Walk::random(&mut random, case, &all)).collect();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let walks = &walks;
        let threads = applications.each_ref().map(|application| {
            scope.spawn(move || {
                let begun = std::time::Instant::now();
                let wrong: Vec<String> = walks.iter().flat_map(|walk| walk.differences(application)).collect();
                println!("walks: {:?} took {:?}", application.engine, begun.elapsed());
                wrong
            })
        });
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let seen: usize = walks.iter().map(|walk| walk.expected.len()).sum();
    support::report(
        "walks",
        &format!(
            "{cases} lists of {seen} resources by index and by cursor on three databases, {} differences",
            wrong.len()
        ),
    );
    let shown: Vec<&str> = wrong.iter().take(30).map(String::as_str).collect();
    assert!(wrong.is_empty(), "seed {seed}: {} differences\n{}", wrong.len(), shown.join("\n"));
}
