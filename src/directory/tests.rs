//! Operations on a small application in SQLite, through the shipped demo adapter.

use super::*;
use crate::adapter;
use crate::document::{Findings, Source as Text};
use crate::scim::{ListQuery, Patch, Projection, filter, patch};
use crate::sql::{Options, open};
use serde_json::{Value as Json, json};
use std::time::Duration;

const TABLES: &str = "
CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL UNIQUE, given TEXT, family TEXT, mail TEXT, phone TEXT, mobile TEXT, job_title TEXT, employee_no TEXT, department_id INTEGER REFERENCES departments(id), manager_id INTEGER, enabled INTEGER NOT NULL DEFAULT 1, created_at TEXT, updated_at TEXT, left_on TEXT);
CREATE TABLE departments(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE profiles(id INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE, kind TEXT NOT NULL DEFAULT 'access');
CREATE TABLE profile_people(profile_id, person_id, granted_at TEXT, PRIMARY KEY(profile_id, person_id));
CREATE TABLE projects(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, closed_on TEXT);
CREATE TABLE project_people(project_id, person_id, role TEXT NOT NULL DEFAULT 'member', PRIMARY KEY(project_id, person_id));
CREATE TABLE history(id INTEGER PRIMARY KEY, at TEXT NOT NULL, person_id INTEGER NOT NULL, what TEXT NOT NULL, details TEXT);
INSERT INTO people(id, login, given, family, mail, enabled, created_at, updated_at) VALUES (1, 'ada', 'Ada', 'Byron', 'ada@example.org', 1, '2020-01-02 03:04:05', '2020-01-02 03:04:05'), (2, 'bob', 'Bob', NULL, NULL, 0, NULL, NULL);
INSERT INTO projects(id, name) VALUES (1, 'Engine'), (2, 'Bridge');
INSERT INTO project_people VALUES (1, 1, 'lead');
";

/// A fresh application with its directory.
struct Application {
    _folder: tempfile::TempDir,
    directory: Directory,
    caller: Caller,
}

impl Application {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("app.db").display());
        let database = open(&url, options()).unwrap();
        let own = Own::new(database.dialect(), "scimshim");
        let ddl = own.ddl();
        database
            .with(&mut |connection| {
                connection.batch(TABLES)?;
                for statement in &ddl {
                    connection.batch(statement)?;
                }
                Ok(())
            })
            .unwrap();
        let mut findings = Findings::new();
        let text = Text::new("demo.yaml", include_str!("../../adapters/demo.yaml"));
        let document = adapter::read(text, &[], &mut findings);
        let mut catalogue = sql::Catalogue::default();
        database
            .with(&mut |connection| {
                catalogue = connection.catalogue(&[None])?;
                Ok(())
            })
            .unwrap();
        let compiled =
            document.and_then(|document| adapter::compile(&document, &catalogue, database.dialect(), &mut findings));
        let compiled = compiled.unwrap_or_else(|| panic!("{}", findings.render(false)));
        let directory = Directory::new(database, Arc::new(compiled), own, 100);
        let server = ServerView {
            name: "hr".into(),
            default: true,
            actor: None,
            may: Permissions::all(),
            patch_answers_204: false,
        };
        let caller = Caller {
            server: Arc::new(server),
            request_id: "r-1".into(),
            client_address: None,
            client_agent: None,
            base_url: "https://localhost/scim/v2".into(),
        };
        Self {
            _folder: folder,
            directory,
            caller,
        }
    }

    fn create(&self, type_: usize, body: Json) -> Result<Object, Error> {
        let Json::Object(body) = body else {
            panic!("not an object")
        };
        self.directory
            .create(&self.caller, type_, body, &Projection::default())
            .map(|answer| answer.resource)
    }

    fn get(&self, type_: usize, id: &str) -> Result<Object, Error> {
        self.directory
            .get(&self.caller, type_, id, &Projection::default())
            .map(|answer| answer.resource)
    }

    fn patch(&self, type_: usize, id: &str, operations: Json) -> Result<Option<Object>, Error> {
        let patch = Patch::parse(json!({ "Operations": operations }), &patch::Limits::default())?;
        let answer = self.directory.patch(
            &self.caller,
            type_,
            id,
            &patch,
            &Precondition::default(),
            &Projection::default(),
        )?;
        Ok(answer.map(|answer| answer.resource))
    }

    fn list(&self, type_: usize, query: &[(&str, &str)]) -> Result<Page, Error> {
        let query = ListQuery::parse(query, &filter::Limits::default())?;
        self.directory.list(&self.caller, type_, &query)
    }

    fn names(&self, type_: usize, query: &[(&str, &str)]) -> Vec<String> {
        let page = self.list(type_, query).unwrap();
        let name = |resource: &Object| {
            let name = resource.get("userName").or_else(|| resource.get("displayName"));
            name.and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        page.resources.iter().map(name).collect()
    }

    fn rows(&self, table: &str, columns: &[&str]) -> Vec<Vec<Option<String>>> {
        let alias = sql::Alias(0);
        let list = columns
            .iter()
            .map(|column| sql::Expr::column(alias, &sql::Ident::new(column)))
            .collect();
        let select = Statement::Select(sql::Select::new(sql::Table::new(table), alias, list));
        let mut rows = Vec::new();
        self.directory
            .database
            .with(&mut |connection| {
                rows = connection.query(&select, &[])?;
                Ok(())
            })
            .unwrap();
        rows.into_iter()
            .map(|row| row.0.iter().map(Value::to_text).collect())
            .collect()
    }
}

fn options() -> Options {
    Options {
        password: None,
        tls: None,
        max: 2,
        checkout_timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(2),
        statement_timeout: Duration::from_secs(5),
        lock_timeout: Duration::from_secs(5),
        strict: true,
    }
}

const USER: usize = 0;
const GROUP: usize = 1;

#[test]
fn a_legacy_row_reads_as_a_user() {
    let application = Application::new();
    let ada = application.get(USER, "1").unwrap();
    assert_eq!(ada["userName"], "ada");
    assert_eq!(ada["displayName"], "Ada Byron");
    assert_eq!(ada["active"], true);
    assert_eq!(ada["emails"][0]["value"], "ada@example.org");
    assert_eq!(ada["meta"]["created"], "2020-01-02T03:04:05Z");
    assert_eq!(ada["meta"]["location"], "https://localhost/scim/v2/Users/1");
    assert_eq!(ada["groups"][0]["value"], "project-1");
    assert_eq!(ada["groups"][0]["display"], "Engine");
    for id in ["3", "01", "x", "1 ", "-1", "99999999999999999999999"] {
        assert_eq!(application.get(USER, id).unwrap_err().status, 404, "{id}");
    }
}

#[test]
fn a_user_is_created_changed_and_deleted() {
    let application = Application::new();
    let created = application
        .create(
            USER,
            json!({
                "userName": "cyd", "externalId": "00u1", "name": { "givenName": "Cyd", "familyName": " " },
                "emails": [{ "value": "cyd@example.org", "type": "other", "primary": true }],
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "Looms", "manager": { "value": "1" } }
            }),
        )
        .unwrap();
    let id = created["id"].as_str().unwrap().to_owned();
    assert_eq!(created["externalId"], "00u1");
    assert_eq!(created["name"]["familyName"], " ", "given back as it was sent");
    assert_eq!(
        created["emails"],
        json!([{ "value": "cyd@example.org", "type": "other", "primary": true }])
    );
    let enterprise = &created["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"];
    assert_eq!(enterprise["department"], "Looms");
    assert_eq!(enterprise["manager"]["displayName"], "Ada Byron");
    assert_eq!(
        application.get(USER, &id).unwrap(),
        created,
        "read back as it was answered"
    );
    assert_eq!(application.rows("history", &["what"]), [[Some("created".to_owned())]]);

    let taken = application.create(USER, json!({ "userName": "CYD" })).unwrap_err();
    assert_eq!(
        (taken.status, taken.scim_type),
        (409, Some(crate::scim::ScimType::Uniqueness))
    );

    let patched = application
        .patch(USER, &id, json!([{ "op": "Replace", "path": "title", "value": "Weaver" }, { "op": "add", "path": "emails[type eq \"work\"].value", "value": "c@example.org" }]))
        .unwrap()
        .unwrap();
    assert_eq!(patched["title"], "Weaver");
    assert_eq!(patched["emails"][0]["value"], "c@example.org");
    assert_eq!(patched["emails"].as_array().unwrap().len(), 1);
    assert_eq!(application.rows("history", &["what"]).len(), 2);

    let same = application
        .patch(
            USER,
            &id,
            json!([{ "op": "replace", "path": "title", "value": "Weaver" }]),
        )
        .unwrap();
    assert_eq!(
        same.unwrap()["meta"]["version"],
        patched["meta"]["version"],
        "a no-op keeps the version"
    );
    assert_eq!(application.rows("history", &["what"]).len(), 2, "and writes nothing");

    application
        .directory
        .delete(&application.caller, USER, &id, &Precondition::default())
        .unwrap();
    assert_eq!(application.get(USER, &id).unwrap_err().status, 404);
    let again = application
        .directory
        .delete(&application.caller, USER, &id, &Precondition::default());
    assert_eq!(again.unwrap_err().status, 404);

    let back = application.create(USER, json!({ "userName": "cyd" })).unwrap();
    assert_eq!(back["id"], id.as_str(), "revived by userName");
    assert_eq!(back.get("title"), None, "as a replace");
}

#[test]
fn lists_are_filtered_sorted_and_paged() {
    let application = Application::new();
    let all = application.names(USER, &[]);
    assert_eq!(all, ["ada", "bob"]);
    for (filter, expected) in [
        ("userName eq \"ADA\"", vec!["ada"]),
        ("userName eq \"nobody\"", vec![]),
        ("active eq false", vec!["bob"]),
        ("active eq \"True\"", vec!["ada"]),
        ("emails.value co \"EXAMPLE\"", vec!["ada"]),
        ("emails[value ew \".org\"]", vec!["ada"]),
        ("not (name.familyName pr)", vec!["bob"]),
        ("name.familyName eq null", vec!["bob"]),
        ("displayName sw \"ada b\"", vec!["ada"]),
        ("meta.created gt \"2019-12-31T23:00:00-05:00\"", vec!["ada"]),
        ("id eq \"2\" or userName eq \"ada\"", vec!["ada", "bob"]),
        ("groups.value eq \"project-1\"", vec!["ada"]),
        ("userName co \"%\"", vec![]),
    ] {
        assert_eq!(application.names(USER, &[("filter", filter)]), expected, "{filter}");
    }
    assert_eq!(
        application.names(USER, &[("sortBy", "userName"), ("sortOrder", "descending")]),
        ["bob", "ada"]
    );
    let page = application.list(USER, &[("startIndex", "2"), ("count", "1")]).unwrap();
    assert_eq!((page.total, page.resources.len()), (2, 1));
    let none = application.list(USER, &[("count", "0")]).unwrap();
    assert_eq!((none.total, none.resources.len()), (2, 0));
    let refused = application.list(USER, &[("filter", "shoeSize eq 4")]).unwrap_err();
    assert_eq!(
        (refused.status, refused.scim_type),
        (400, Some(crate::scim::ScimType::InvalidFilter))
    );
}

#[test]
fn two_tables_are_one_sequence_of_groups() {
    let application = Application::new();
    let group = application
        .create(GROUP, json!({ "displayName": "Admins", "members": [{ "value": "2" }] }))
        .unwrap();
    assert_eq!(group["id"], "profile-1");
    assert_eq!(group["members"][0]["display"], "Bob");
    assert_eq!(
        application.names(GROUP, &[("sortBy", "displayName")]),
        ["Admins", "Bridge", "Engine"]
    );
    assert_eq!(
        application.names(GROUP, &[("startIndex", "2"), ("count", "1")]),
        ["Engine"]
    );
    assert_eq!(application.names(GROUP, &[("filter", "members eq \"1\"")]), ["Engine"]);
    let taken = application
        .create(GROUP, json!({ "displayName": "engine" }))
        .unwrap_err();
    assert_eq!(taken.status, 409, "uniqueness spans the sources");
}

#[test]
fn members_are_changed_row_by_row() {
    let application = Application::new();
    application.create(GROUP, json!({ "displayName": "Admins" })).unwrap();
    let members = |application: &Application| {
        let rows = application.rows("profile_people", &["person_id"]);
        rows.into_iter()
            .filter_map(|mut row| row.pop().flatten())
            .collect::<Vec<_>>()
    };
    let id = "profile-1";
    let done = application
        .patch(
            GROUP,
            id,
            json!([{ "op": "Add", "path": "members", "value": [{ "value": "1" }, { "value": "2" }] }]),
        )
        .unwrap();
    assert!(done.is_none(), "204: the members are not read back");
    assert_eq!(members(&application), ["1", "2"]);
    application
        .patch(
            GROUP,
            id,
            json!([{ "op": "add", "path": "members", "value": [{ "value": "1" }] }]),
        )
        .unwrap();
    assert_eq!(
        members(&application),
        ["1", "2"],
        "adding a member again changes nothing"
    );
    application
        .patch(
            GROUP,
            id,
            json!([{ "op": "remove", "path": "members[value eq \"1\"]" }]),
        )
        .unwrap();
    assert_eq!(members(&application), ["2"]);
    let unknown = application.patch(
        GROUP,
        id,
        json!([{ "op": "replace", "path": "members", "value": [{ "value": "77" }] }]),
    );
    let unknown = unknown.unwrap_err();
    assert_eq!(unknown.status, 400);
    assert!(unknown.detail.contains("\"77\""), "{}", unknown.detail);
    assert_eq!(members(&application), ["2"], "nothing was wiped");
    application
        .patch(GROUP, id, json!([{ "op": "replace", "path": "members", "value": [] }]))
        .unwrap();
    assert!(members(&application).is_empty());
    let led = application
        .patch(GROUP, "project-1", json!([{ "op": "remove", "path": "members" }]))
        .unwrap();
    assert!(led.is_none());
    assert_eq!(
        application.rows("project_people", &["person_id"]).len(),
        1,
        "the lead is left"
    );
}

#[test]
fn what_is_refused_leaves_no_trace() {
    let application = Application::new();
    for (body, status) in [
        (json!({ "displayName": "no userName" }), 400),
        (json!({ "userName": " " }), 400),
        (json!({ "userName": "dee", "emails": [{ "value": "no address" }] }), 400),
        (
            json!({ "userName": "dee", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "New", "manager": "99" } }),
            400,
        ),
        (json!({ "userName": "x".repeat(101) }), 400),
    ] {
        let refused = application.create(USER, body.clone()).unwrap_err();
        assert_eq!(refused.status, status, "{body}: {}", refused.detail);
    }
    assert_eq!(application.rows("people", &["login"]).len(), 2);
    assert!(
        application.rows("departments", &["name"]).is_empty(),
        "not even a department made on the way"
    );
    assert!(application.rows("history", &["what"]).is_empty());
    let own = application
        .patch(USER, "1", json!([{ "op": "add", "path": "manager", "value": "1" }]))
        .unwrap_err();
    assert_eq!(own.status, 400, "nobody manages themselves");
}
