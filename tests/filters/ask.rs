//! Random questions.

use crate::question::{Attribute, Kind, Literal, Op, Question, Spelling};
use crate::random::Random;
use crate::rows;
use chrono::{Duration, FixedOffset, TimeZone};
use serde_json::Value as Json;

const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User:";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group:";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:";
const PERSON: &str = "urn:example:params:scim:schemas:2.0:Person:";
const IN_ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const IN_PERSON: &str = "urn:example:params:scim:schemas:2.0:Person";

macro_rules! attribute {
    ($urn:expr, [$($key:expr),+], $name:expr, $sub:expr, $kind:ident) => {
        Attribute { pointer: &[$($key),+], urn: $urn, name: $name, sub: $sub, kind: Kind::$kind }
    };
}

pub static OF_USERS: &[Attribute] = &[
    attribute!(USER, ["id"], "id", None, Exact),
    attribute!(USER, ["userName"], "userName", None, Unique),
    attribute!(USER, ["externalId"], "externalId", None, Exact),
    attribute!(USER, ["name", "givenName"], "name", Some("givenName"), Loose),
    attribute!(USER, ["name", "familyName"], "name", Some("familyName"), Loose),
    attribute!(USER, ["displayName"], "displayName", None, Loose),
    attribute!(USER, ["nickName"], "nickName", None, Tidy),
    attribute!(USER, ["title"], "title", None, Loose),
    attribute!(USER, ["userType"], "userType", None, Loose),
    attribute!(USER, ["active"], "active", None, Boolean),
    attribute!(USER, ["emails"], "emails", None, Loose),
    attribute!(USER, ["emails"], "emails", Some("type"), Loose),
    attribute!(USER, ["emails"], "emails", Some("primary"), Boolean),
    attribute!(USER, ["phoneNumbers"], "phoneNumbers", None, Loose),
    attribute!(USER, ["phoneNumbers"], "phoneNumbers", Some("value"), Loose),
    attribute!(USER, ["phoneNumbers"], "phoneNumbers", Some("type"), Loose),
    attribute!(USER, ["phoneNumbers"], "phoneNumbers", Some("display"), Loose),
    attribute!(USER, ["groups"], "groups", None, Exact),
    attribute!(USER, ["groups"], "groups", Some("type"), Loose),
    attribute!(USER, ["groups"], "groups", Some("display"), Unique),
    attribute!(USER, ["meta", "created"], "meta", Some("created"), Instant),
    attribute!(USER, ["meta", "lastModified"], "meta", Some("lastModified"), Instant),
    attribute!(USER, ["meta", "resourceType"], "meta", Some("resourceType"), Exact),
    attribute!(USER, ["schemas"], "schemas", None, Exact),
    attribute!(ENTERPRISE, [IN_ENTERPRISE, "department"], "department", None, Loose),
    attribute!(ENTERPRISE, [IN_ENTERPRISE, "manager"], "manager", None, Exact),
    attribute!(ENTERPRISE, [IN_ENTERPRISE, "manager"], "manager", Some("value"), Exact),
    attribute!(ENTERPRISE, [IN_ENTERPRISE, "manager"], "manager", Some("displayName"), Loose),
    attribute!(PERSON, [IN_PERSON, "badge"], "badge", None, Exact),
    attribute!(PERSON, [IN_PERSON, "logins"], "logins", None, Number),
    attribute!(PERSON, [IN_PERSON, "rate"], "rate", None, Number),
    attribute!(PERSON, [IN_PERSON, "score"], "score", None, Number),
    attribute!(PERSON, [IN_PERSON, "hired"], "hired", None, Instant),
    attribute!(PERSON, [IN_PERSON, "seen"], "seen", None, Instant),
    attribute!(PERSON, [IN_PERSON, "born"], "born", None, Day),
    attribute!(PERSON, [IN_PERSON, "locked"], "locked", None, Boolean),
    attribute!(PERSON, [IN_PERSON, "motto"], "motto", None, Mixed),
    attribute!(PERSON, [IN_PERSON, "place"], "place", None, Loose),
    attribute!(PERSON, [IN_PERSON, "pinged"], "pinged", None, Instant),
    attribute!(PERSON, [IN_PERSON, "present"], "present", None, Boolean),
    attribute!(PERSON, [IN_PERSON, "lang"], "lang", None, Locale),
];

pub static OF_GROUPS: &[Attribute] = &[
    attribute!(GROUP, ["id"], "id", None, Exact),
    attribute!(GROUP, ["displayName"], "displayName", None, Unique),
    attribute!(GROUP, ["members"], "members", None, Exact),
    attribute!(GROUP, ["members"], "members", Some("value"), Exact),
    attribute!(GROUP, ["members"], "members", Some("type"), Loose),
    attribute!(GROUP, ["members"], "members", Some("display"), Loose),
    attribute!(GROUP, ["meta", "created"], "meta", Some("created"), Instant),
    attribute!(GROUP, ["schemas"], "schemas", None, Exact),
];

/// Makes questions about resources of one type, which it has seen.
pub struct Asker<'r> {
    pub random: Random,
    pub attributes: &'static [Attribute],
    pub resources: &'r [Json],
}

impl Asker<'_> {
    pub fn question(&mut self, depth: u64) -> Question {
        match self.random.below(10) {
            0..=1 if depth > 0 => Question::And(self.several(depth)),
            2..=3 if depth > 0 => Question::Or(self.several(depth)),
            4 if depth > 0 => Question::Not(Box::new(self.question(depth - 1))),
            5 => self.brackets(),
            _ => {
                let attributes = self.attributes;
                let attribute = self.random.pick(attributes);
                self.about(attribute)
            }
        }
    }

    fn several(&mut self, depth: u64) -> Vec<Question> {
        (0..2 + self.random.below(2)).map(|_| self.question(depth - 1)).collect()
    }

    fn brackets(&mut self) -> Question {
        let names: &[&str] = if self.attributes.len() > 10 {
            &["emails", "phoneNumbers", "groups", "name", "manager"]
        } else {
            &["members"]
        };
        let name = *self.random.pick(names);
        let inside: Vec<&'static Attribute> = self.attributes.iter().filter(|one| one.name == name).collect();
        let question = self.inside(&inside, 2);
        let outer = inside[0];
        match name {
            // A singular complex attribute is its own element.
            "name" => Question::Brackets(&NAME, Box::new(question)),
            _ => Question::Brackets(outer, Box::new(question)),
        }
    }

    fn inside(&mut self, attributes: &[&'static Attribute], depth: u64) -> Question {
        match self.random.below(8) {
            0..=1 if depth > 0 => {
                Question::And(vec![self.inside(attributes, depth - 1), self.inside(attributes, depth - 1)])
            }
            2 if depth > 0 => {
                Question::Or(vec![self.inside(attributes, depth - 1), self.inside(attributes, depth - 1)])
            }
            3 if depth > 0 => Question::Not(Box::new(self.inside(attributes, depth - 1))),
            _ => {
                let attribute = *self.random.pick(attributes);
                self.about(attribute)
            }
        }
    }

    fn about(&mut self, attribute: &'static Attribute) -> Question {
        if self.random.percent(10) {
            return Question::Present(attribute);
        }
        if self.random.percent(6) {
            let op = *self.random.pick(&[Op::Eq, Op::Ne]);
            let empty = !matches!(attribute.kind, Kind::Number | Kind::Instant) && self.random.percent(50);
            let nothing = if empty { Literal::Text(String::new()) } else { Literal::Null };
            return Question::Compare(attribute, op, nothing);
        }
        let (ops, literal): (&[Op], Literal) = match attribute.kind {
            Kind::Boolean => (&[Op::Eq, Op::Ne], self.boolean()),
            Kind::Number => (&Op::ORDERED, Literal::Number(self.number(attribute))),
            Kind::Instant => (&Op::ORDERED, Literal::Instant(self.instant())),
            Kind::Day => (&Op::ORDERED, Literal::Text(rows::wall(&mut self.random).date().to_string())),
            _ => (&Op::ALL, Literal::Text(self.text(attribute))),
        };
        Question::Compare(attribute, *self.random.pick(ops), literal)
    }

    fn boolean(&mut self) -> Literal {
        match self.random.below(4) {
            0 => Literal::Text((*self.random.pick(&["True", "False", "true"])).to_owned()),
            _ => Literal::Boolean(self.random.percent(50)),
        }
    }

    fn number(&mut self, attribute: &'static Attribute) -> f64 {
        if self.random.percent(50)
            && let Some(number) = self.seen(attribute).and_then(|value| value.as_f64())
        {
            return number;
        }
        *self.random.pick(&[
            0.0,
            0.1,
            5.0,
            4.5,
            -0.5,
            3e9,
            -3e9,
            1e30,
            -1e300,
            2_147_483_647.5,
            12.5,
            1e-7,
            3.5000000001,
        ])
    }

    /// Around what is stored, with any offset, and sometimes between two microseconds or in an hour that is shown twice.
    fn instant(&mut self) -> String {
        let wall = rows::wall(&mut self.random);
        let at = chrono_tz::Europe::Berlin.from_local_datetime(&wall).earliest().unwrap();
        let more = [0, 0, 0, 500_000_000, 123_456_000, 123_456_789, 3_600_000_000_000][self.random.below(7) as usize];
        let offset = [0, 3600, 7200, -18_000, 19_800][self.random.below(5) as usize];
        let at = (at + Duration::nanoseconds(more)).with_timezone(&FixedOffset::east_opt(offset).unwrap());
        at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, self.random.percent(50))
    }

    /// Often a piece of what is there, in another case, with a space more, without its accents.
    fn text(&mut self, attribute: &'static Attribute) -> String {
        if self.random.percent(30) {
            return match self.random.below(4) {
                0 => (*self.random.pick(rows::PIECES)).to_owned(),
                1 => (*self.random.pick(&["work", "mobile", "direct", "User", "employee", "intern", "team-1", "7"]))
                    .to_owned(),
                2 => format!("{}\0{}", self.random.pick(rows::PIECES), self.random.pick(rows::PIECES)),
                _ => rows::text(&mut self.random),
            };
        }
        let Some(text) = self.seen(attribute).and_then(|value| value.as_str().map(str::to_owned)) else {
            return rows::text(&mut self.random);
        };
        let letters: Vec<char> = text.chars().collect();
        let length = letters.len() as u64;
        let text: String = match self.random.below(5) {
            0 => {
                let start = self.random.below(length);
                let end = start + 1 + self.random.below(length - start);
                letters[start as usize..end as usize].iter().collect()
            }
            1 => letters[..1 + self.random.below(length) as usize].iter().collect(),
            2 => letters[self.random.below(length) as usize..].iter().collect(),
            _ => text,
        };
        match self.random.below(10) {
            0 => text.to_uppercase().replace('ẞ', "ß"),
            1 => text.to_lowercase(),
            2 => format!("{text} "),
            3 => text.replace('é', "e").replace("ss", "ß").replace('ä', "a"),
            4 => text.trim().to_owned() + if text.trim().is_empty() { "x" } else { "" },
            _ => text,
        }
    }

    /// A value that some resource has.
    fn seen(&mut self, attribute: &'static Attribute) -> Option<Json> {
        for _ in 0..8 {
            let resources = self.resources;
            let resource = self.random.pick(resources);
            let values: Vec<&Json> = attribute.values(resource).into_iter().flatten().collect();
            if !values.is_empty() {
                return Some((*self.random.pick(&values)).clone());
            }
        }
        None
    }
}

/// `name[...]`
static NAME: Attribute = attribute!(USER, ["name"], "name", None, Loose);

/// Any case, sometimes with its URN.
pub struct AnyCase(pub Random);

impl Spelling for AnyCase {
    fn word(&mut self, word: &str) -> String {
        match self.0.below(8) {
            0 => word.to_uppercase(),
            1 => word.to_lowercase(),
            _ => word.to_owned(),
        }
    }

    fn qualified(&mut self) -> bool {
        self.0.percent(20)
    }
}
