//! The demonstration's five requests, over real HTTPS, each with the rows that it changed.

use super::client::Client;
use super::table::Look;
use crate::cli::common::{Failure, print};
use crate::scim::urn;
use crate::sql::{Database, Value as Sql};
use serde_json::{Value, json};

/// Who leads the department that the new person ends up in.
const MANAGER: &str = "basalt.alder";
const PROFILE: &str = "Invoice Readers";

const PERSON: Look = Look {
    table: "people",
    columns: &["id", "login", "given", "family", "mail", "job_title", "department_id", "manager_id", "enabled"],
    key: "login",
};
const DEPARTMENT: Look = Look { table: "departments", columns: &["id", "name"], key: "name" };
const MEMBERSHIP: Look =
    Look { table: "profile_people", columns: &["profile_id", "person_id", "granted_at"], key: "person_id" };

/// Runs all five; an answer that is not what it should be is a failure.
pub fn run(client: &Client, database: &dyn Database) -> Result<(), Failure> {
    let round = Round { client, database, login: newcomer(database)? };
    let user = round.create()?;
    round.find(&user)?;
    round.change(&user)?;
    round.join(&user)?;
    round.deactivate(&user)
}

/// A demonstration that ran before in the same folder left its person there: a new one is hired.
fn newcomer(database: &dyn Database) -> Result<String, Failure> {
    for n in 1..1000 {
        let number = if n == 1 { String::new() } else { n.to_string() };
        let login = format!("sage.juniper{number}@example.com");
        if PERSON.rows(database, &Sql::from(login.as_str()))?.is_empty() {
            return Ok(login);
        }
    }
    Err(Failure::Message("this folder has seen a thousand demonstrations; give another with --data".to_owned()))
}

struct Round<'a> {
    client: &'a Client,
    database: &'a dyn Database,
    login: String,
}

impl Round<'_> {
    fn create(&self) -> Result<String, Failure> {
        let body = json!({
            "schemas": [urn::USER, urn::ENTERPRISE_USER],
            "externalId": format!("00u-{}", self.login),
            "userName": self.login,
            "name": { "givenName": "Sage", "familyName": "Juniper" },
            "emails": [{ "value": self.login, "type": "work", "primary": true }],
            "title": "Planner",
            "active": true,
            urn::ENTERPRISE_USER: { "department": "Logistics" },
        });
        let looks = [(&PERSON, Sql::from(self.login.as_str()))];
        let answer = self.step("1. A user is created", "POST", "/Users", Some(&body), 201, &looks)?;
        text(&answer, "/id").map(str::to_owned).ok_or_else(|| Failure::Message("the user has no id".to_owned()))
    }

    fn find(&self, user: &str) -> Result<(), Failure> {
        let path = format!(
            "/Users?filter=userName%20eq%20%22{}%22&attributes=userName,title,active",
            self.login.to_uppercase()
        );
        let looks = [(&PERSON, Sql::from(self.login.as_str()))];
        let found = self.step("2. It is found by its name, in any case", "GET", &path, None, 200, &looks)?;
        expect(text(&found, FIRST) == Some(user), "the filter found somebody else")
    }

    fn change(&self, user: &str) -> Result<(), Failure> {
        let filter = format!("/Users?filter=userName%20eq%20%22{MANAGER}%22&attributes=id");
        let manager = self.client.request("GET", &filter, None)?.body;
        let manager = text(&manager, FIRST);
        expect(manager.is_some(), "the manager is not there")?;
        let body = json!({
            "schemas": [urn::PATCH_OP],
            "Operations": [
                { "op": "replace", "path": format!("{}:department", urn::ENTERPRISE_USER), "value": "Night Shift" },
                { "op": "add", "path": format!("{}:manager", urn::ENTERPRISE_USER), "value": { "value": manager } },
            ],
        });
        let looks = [(&PERSON, Sql::from(self.login.as_str())), (&DEPARTMENT, Sql::from("Night Shift"))];
        let title = "3. It moves to a department that is not there yet, and gets a manager";
        self.step(title, "PATCH", &format!("/Users/{user}"), Some(&body), 200, &looks).map(|_| ())
    }

    fn join(&self, user: &str) -> Result<(), Failure> {
        let filter = format!(
            "/Groups?filter=displayName%20eq%20%22{}%22&excludedAttributes=members",
            PROFILE.replace(' ', "%20")
        );
        let group = self.client.request("GET", &filter, None)?.body;
        let Some(group) = text(&group, FIRST) else {
            return expect(false, "the profile is not there");
        };
        let body = json!({
            "schemas": [urn::PATCH_OP],
            "Operations": [{ "op": "add", "path": "members", "value": [{ "value": user }] }],
        });
        let looks = [(&MEMBERSHIP, key(user))];
        let title = format!("4. It becomes a member of the group \"{PROFILE}\"");
        self.step(&title, "PATCH", &format!("/Groups/{group}?excludedAttributes=members"), Some(&body), 200, &looks)
            .map(|_| ())
    }

    fn deactivate(&self, user: &str) -> Result<(), Failure> {
        let body = json!({
            "schemas": [urn::PATCH_OP],
            "Operations": [{ "op": "replace", "value": { "active": false } }],
        });
        let looks = [(&PERSON, Sql::from(self.login.as_str()))];
        let path = format!("/Users/{user}");
        let answer = self.step("5. It is deactivated", "PATCH", &path, Some(&body), 200, &looks)?;
        expect(answer.get("active") == Some(&Value::Bool(false)), "the user is still active")
    }

    /// One request with what it was answered and what it changed.
    fn step(
        &self,
        title: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
        status: u16,
        looks: &[(&Look, Sql)],
    ) -> Result<Value, Failure> {
        let rows = || looks.iter().map(|(look, value)| look.rows(self.database, value)).collect::<Result<Vec<_>, _>>();
        let before = rows()?;
        let answer = self.client.request(method, path, body)?;
        let after = rows()?;
        print(&format!("\n{title}\n"))?;
        print(&format!("  {method} {path}"))?;
        if let Some(body) = body {
            print(&format!("  {body}"))?;
        }
        print(&format!("\n  {}", answer.status))?;
        if !answer.body.is_null() {
            print(&format!("  {}", answer.body))?;
        }
        print("")?;
        for (((look, _), before), after) in looks.iter().zip(&before).zip(&after) {
            look.print(before, after)?;
        }
        let also = status == 200 && answer.status == 204;
        expect(answer.status == status || also, &format!("{method} {path} was answered with {}", answer.status))?;
        Ok(answer.body)
    }
}

/// The id of the first resource of a list.
const FIRST: &str = "/Resources/0/id";

fn text<'a>(answer: &'a Value, pointer: &str) -> Option<&'a str> {
    answer.pointer(pointer).and_then(Value::as_str)
}

/// The application's key of a SCIM id of this adapter.
fn key(id: &str) -> Sql {
    id.parse::<i64>().map_or_else(|_| Sql::from(id), Sql::Int)
}

fn expect(holds: bool, otherwise: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Message(format!("the demonstration went wrong: {otherwise}"))) }
}
