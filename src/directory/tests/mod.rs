//! Operations on small applications in SQLite: the shipped demo adapter, and one with everything that the
//! language has. Statements are counted at the connection.

mod cursors;
mod demo;
mod forms;
mod keys;
mod lists;
mod lookups;
mod members;
mod retire;
mod rights;
mod sorting;
mod steps;
mod unique;
mod writes;

use super::*;
use crate::adapter;
use crate::document::{Findings, Source as Text};
use crate::scim::{ListQuery, Patch, Projection, filter, patch};
use crate::sql::{Connection, Dialect, Insert, Isolation, Row, open_file};
use serde_json::{Value as Json, json};
use std::sync::Mutex;
use std::time::Duration;

const USER: usize = 0;
const GROUP: usize = 1;
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

const DEMO: (&str, &str) = (
    "
CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL UNIQUE, given TEXT, family TEXT, mail TEXT, phone TEXT, mobile TEXT, job_title TEXT, employee_no TEXT, department_id INTEGER REFERENCES departments(id), manager_id INTEGER, enabled INTEGER DEFAULT 1, created_at TEXT, updated_at TEXT, left_on TEXT, shown_as TEXT, password TEXT, is_admin INTEGER NOT NULL DEFAULT 0);
CREATE TABLE departments(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE profiles(id INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE, kind TEXT NOT NULL DEFAULT 'access', created_at TEXT, updated_at TEXT);
CREATE TABLE profile_people(profile_id, person_id, granted_at TEXT, PRIMARY KEY(profile_id, person_id));
CREATE TABLE projects(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, closed_on TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE project_people(project_id, person_id, role TEXT NOT NULL DEFAULT 'member', PRIMARY KEY(project_id, person_id));
CREATE TABLE history(id INTEGER PRIMARY KEY, at TEXT NOT NULL, person_id INTEGER NOT NULL, what TEXT NOT NULL, details TEXT);
INSERT INTO people(id, login, given, family, mail, enabled, created_at, updated_at) VALUES (1, 'ada', 'Ada', 'Byron', 'ada@example.org', 1, '2020-01-02 03:04:05', '2020-01-02 03:04:05'), (2, 'bob', 'Bob', NULL, NULL, 0, NULL, NULL);
INSERT INTO projects(id, name) VALUES (1, 'Engine'), (2, 'Bridge');
INSERT INTO project_people VALUES (1, 1, 'lead');
",
    include_str!("../../../adapters/demo.yaml"),
);

/// An application with one of everything. Person 1 is protected, team 1 has her and person 2.
const STAFF: (&str, &str) = (
    "
CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL, given TEXT NOT NULL DEFAULT '?', family TEXT, shown TEXT, mail TEXT, phone TEXT, mobile TEXT, title TEXT, room VARCHAR(5), state TEXT NOT NULL DEFAULT 'active', ext TEXT, secret TEXT, secret_at TEXT, legacy TEXT, dept_id INTEGER, center_id INTEGER NOT NULL DEFAULT 0, division_id INTEGER, manager_id INTEGER, boss INTEGER NOT NULL DEFAULT 0, entity INTEGER NOT NULL DEFAULT 3, gone TEXT, updated TEXT);
CREATE TABLE departments(id INTEGER PRIMARY KEY, name TEXT NOT NULL, origin TEXT, closed TEXT);
CREATE TABLE centers(id INTEGER PRIMARY KEY, code TEXT NOT NULL);
CREATE TABLE divisions(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE teams(id INTEGER PRIMARY KEY, name TEXT NOT NULL, updated TEXT);
CREATE TABLE crew(team_id INTEGER NOT NULL, person_id INTEGER NOT NULL, PRIMARY KEY(team_id, person_id));
CREATE TABLE badges(person_id INTEGER NOT NULL);
CREATE TABLE locks(person_id INTEGER NOT NULL);
CREATE TABLE flags(person_id INTEGER NOT NULL, flag TEXT NOT NULL);
CREATE TABLE history(id INTEGER PRIMARY KEY, person_id INTEGER NOT NULL, what TEXT NOT NULL, details TEXT);
CREATE TABLE changes(id INTEGER PRIMARY KEY, code INTEGER, old TEXT, new TEXT);
INSERT INTO people(id, login, given, family, boss, state) VALUES (1, 'root', 'Root', NULL, 1, 'active'), (2, 'bob', 'Bob', 'Builder', 0, 'invited'), (3, 'gil', '', NULL, 0, 'active');
UPDATE people SET legacy = 'keep me', updated = '2020-01-01 00:00:00';
INSERT INTO centers VALUES (1, 'C1');
INSERT INTO divisions VALUES (1, 'North'), (2, 'South'), (3, 'South');
INSERT INTO departments VALUES (1, 'Old', NULL, '2019-01-01');
INSERT INTO teams VALUES (1, 'Crew', '2020-01-01 00:00:00'), (2, 'Empty', NULL);
INSERT INTO crew VALUES (1, 1), (1, 2);
",
    r#"
adapter: staff
title: One of everything
databases: [sqlite]
types:
  text: { text: { trim: true, empty: null } }
  name: { text: { trim: true } }
resources:
  User:
    table: people
    id: id
    where: { gone: null }
    protected: { boss: 1 }
    timestamps: { modified: updated }
    label: ["${column:given} ${column:family}", "${column:login}"]
    attributes:
      userName: { column: login, type: { text: { trim: true, lower: true, min: 1 } }, required: true, unique: true }
      externalId: { column: ext }
      name.givenName: { column: given, type: name, fallback: ["${displayName}", "${local_part:userName}"] }
      name.familyName: { column: family, type: text }
      displayName: { column: shown, type: text, template: ["${name.givenName} ${name.familyName}", "${name.givenName}"] }
      active: { column: state, type: { boolean: { true: [active, invited], false: [suspended] } } }
      password: { column: secret, hash: bcrypt, also: { secret_at: "${now}" } }
      nickName: { column: room, type: { text: { trim: true, empty: null, on_overflow: keep } } }
      title: { column: title, type: text, also: { legacy: "${column:title}" } }
      userType: sidecar
      emails.value: { column: mail, type: text }
      emails.type: { constant: work }
      phoneNumbers[type eq "work"].value: { column: phone, type: text }
      phoneNumbers[type eq "mobile"].value: { column: mobile, type: text }
      urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:
        department:
          column: dept_id
          lookup: { table: departments, match: name, type: text, ambiguous: first, where: { closed: null }, missing: create, create: { set: { origin: scim } }, revive: { where: { closed: { not: null } }, set: { closed: null } } }
        costCenter: { column: center_id, lookup: { table: centers, match: code, ambiguous: first, missing: clear, none: 0 } }
        division: { column: division_id, lookup: { table: divisions, match: name, ambiguous: reject, missing: reject } }
        manager: { column: manager_id, reference: { resource: User } }
    create:
      set: { secret: "!", state: invited, entity: 7 }
      revive:
        by: externalId
        where: { gone: { not: null } }
        set: { gone: null }
        then:
          - { insert: history, values: { person_id: "${id}", what: returned, details: "${column:login}" } }
      then:
        - { insert: history, values: { person_id: "${id}", what: created, details: "${displayName} in ${column:entity}" } }
    update:
      guard:
        - { when: { active: { becomes: false } }, count: { table: locks, where: { person_id: "${id}" } }, at_most: 1, says: "has ${count} locks" }
      then:
        - { insert: history, of: [login, title, secret, family], values: { person_id: "${id}", what: changed, details: "${changes}" } }
        - { insert: changes, for_each: change, of: { title: 5, family: 6 }, values: { code: "${each.code}", old: "${each.old}", new: "${each.new}" } }
        - { insert: flags, when: { active: { becomes: false } }, if_absent: true, values: { person_id: "${id}", flag: off } }
        - { insert: flags, when: { title: { becomes: Weaver } }, enabled: false, values: { person_id: "${id}", flag: never } }
        - { insert: flags, when: { family: { was: Builder, changed: true } }, for_each: { table: badges, where: { person_id: "${id}" } }, values: { person_id: "${each.person_id}", flag: badge } }
    delete:
      how: set
      set: { gone: "${now}" }
      guard: { count: { table: badges, where: { person_id: "${id}" } }, at_most: 0, says: "holds ${count} badges" }
      on_blocked: deactivate
      then:
        - { insert: history, values: { person_id: "${id}", what: left, details: "${userName}" } }
  Group:
    table: teams
    id: id
    timestamps: { modified: updated }
    label: "${column:name}"
    attributes:
      displayName: { column: name, type: name, required: true, unique: true }
      externalId: sidecar
      members:
        link:
          table: crew
          parent: team_id
          child: person_id
          resource: User
          touch: true
          added:
            - { insert: history, values: { person_id: "${each.person_id}", what: joined, details: "${each.person_id.label}" } }
          removed:
            - { insert: history, values: { person_id: "${each.person_id}", what: parted } }
    delete: row
"#,
);

/// A fresh application with its directory.
struct Application {
    _folder: tempfile::TempDir,
    directory: Directory,
    caller: Caller,
    log: Log,
}

type Log = Arc<Mutex<Vec<(Kind, String)>>>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Read,
    Write,
}

/// What one request came to.
#[derive(Debug, PartialEq)]
struct Cost {
    reads: usize,
    writes: usize,
}

impl Application {
    /// The demo.
    fn new() -> Self {
        Self::with(DEMO.0, DEMO.1)
    }

    fn staff() -> Self {
        Self::with(STAFF.0, STAFF.1)
    }

    fn with(tables: &str, yaml: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = open_file(&folder.path().join("app.db"));
        let own = Own::new(database.dialect(), "scimshim");
        let ddl = own.ddl();
        database
            .with(&mut |connection| {
                connection.batch(tables)?;
                for statement in &ddl {
                    connection.batch(statement)?;
                }
                own.insert_signing_key(connection, &signing_key("k1", 1))
            })
            .unwrap();
        let mut findings = Findings::new();
        let document = adapter::read(Text::new("adapter.yaml", yaml), &[], &mut findings);
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
        let log = Log::default();
        let counted = Counted { inner: database, log: Arc::clone(&log) };
        let directory = Directory::new(Arc::new(counted), Arc::new(compiled), own, 200);
        Self { _folder: folder, directory, caller: caller("hr", true), log }
    }

    /// The same for another identity server.
    fn server(&mut self, change: impl FnOnce(&mut ServerView)) {
        let mut server = ServerView::clone(&self.caller.server);
        change(&mut server);
        self.caller.server = Arc::new(server);
    }

    fn may(&mut self, operations: &[Operation]) {
        self.server(|server| server.may = Permissions::only(vec![("User".to_owned(), operations.to_vec())]));
    }

    fn create(&self, type_: usize, body: Json) -> Result<Object, Error> {
        self.directory.create(&self.caller, type_, object(body), &Projection::default()).map(|answer| answer.resource)
    }

    fn get(&self, type_: usize, id: &str) -> Result<Object, Error> {
        self.directory.get(&self.caller, type_, id, &Projection::default()).map(|answer| answer.resource)
    }

    fn put(&self, type_: usize, id: &str, body: Json) -> Result<Object, Error> {
        let none = Precondition::default();
        self.directory
            .replace(&self.caller, type_, id, object(body), &none, &Projection::default())
            .map(|answer| answer.resource)
    }

    fn patch(&self, type_: usize, id: &str, operations: Json) -> Result<Option<Object>, Error> {
        self.patch_if(type_, id, operations, &Precondition::default())
    }

    fn patch_if(
        &self,
        type_: usize,
        id: &str,
        operations: Json,
        condition: &Precondition,
    ) -> Result<Option<Object>, Error> {
        let patch = Patch::parse(json!({ "Operations": operations }), &patch::Limits::default())?;
        let answer = self.directory.patch(&self.caller, type_, id, &patch, condition, &Projection::default())?;
        Ok(match answer {
            Patched::Resource(answer) => Some(answer.resource),
            Patched::NoContent { .. } => None,
        })
    }

    /// One operation `replace`.
    fn set(&self, id: &str, path: &str, value: Json) -> Result<Option<Object>, Error> {
        self.patch(USER, id, json!([{ "op": "replace", "path": path, "value": value }]))
    }

    fn delete(&self, type_: usize, id: &str) -> Result<(), Error> {
        self.directory.delete(&self.caller, type_, id, &Precondition::default())
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

    /// Something the application does itself.
    fn application_runs(&self, sql: &str) {
        self.directory.database.with(&mut |connection| connection.batch(sql)).unwrap();
    }

    fn rows(&self, table: &str, columns: &[&str]) -> Vec<Vec<Option<String>>> {
        let alias = sql::Alias(0);
        let list = columns.iter().map(|column| sql::Expr::column(alias, &sql::Ident::new(column))).collect();
        let select = Statement::Select(sql::Select::new(sql::Table::new(table), alias, list));
        let mut rows = Vec::new();
        self.directory
            .database
            .with(&mut |connection| {
                rows = connection.query(&select, &[])?;
                Ok(())
            })
            .unwrap();
        rows.into_iter().map(|row| row.0.iter().map(Value::to_text).collect()).collect()
    }

    /// Rows as text, NULL as `-`.
    fn shown(&self, table: &str, columns: &[&str]) -> Vec<String> {
        let word = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let rows = self.rows(table, columns).into_iter();
        rows.map(|row| row.into_iter().map(word).collect::<Vec<_>>().join(" ")).collect()
    }

    /// One column of one person.
    fn person(&self, id: &str, column: &str) -> Option<String> {
        let rows = self.rows("people", &["id", column]);
        let row = rows.into_iter().find(|row| row[0].as_deref() == Some(id))?;
        row[1].clone()
    }

    /// What `work` costs in statements.
    fn cost<T>(&self, work: impl FnOnce() -> T) -> (T, Cost) {
        self.log.lock().unwrap().clear();
        let done = work();
        let log = self.log.lock().unwrap();
        let count = |kind| log.iter().filter(|(known, _)| *known == kind).count();
        let cost = Cost { reads: count(Kind::Read), writes: count(Kind::Write) };
        (done, cost)
    }

    /// Whether the last counted work spoke of this table.
    fn read(&self, table: &str) -> bool {
        self.log.lock().unwrap().iter().any(|(_, text)| text.contains(table))
    }
}

fn caller(name: &str, default: bool) -> Caller {
    Caller {
        server: Arc::new(ServerView {
            name: name.into(),
            default,
            actor: None,
            may: Permissions::all(),
            put_keeps_unmentioned: false,
            adopt: false,
            strict_no_target: false,
            deactivations_per_hour: None,
            dry_run: false,
            patch_answers: PatchAnswer::Auto,
        }),
        request_id: "r-1".into(),
        client_address: None,
        client_agent: None,
        base_url: "https://localhost/scim/v2".into(),
        entry: Arc::default(),
    }
}

/// Cursors are derived from what stands there; no token is signed here.
fn signing_key(id: &str, created_at: i64) -> crate::own::SigningKey {
    crate::own::SigningKey {
        id: id.to_owned(),
        algorithm: "EdDSA".to_owned(),
        private_key: id.as_bytes().repeat(20),
        public_key: Vec::new(),
        created_at,
        retired_at: None,
    }
}

fn object(body: Json) -> Object {
    let Json::Object(body) = body else { panic!("not an object") };
    body
}

fn text<'a>(resource: &'a Object, name: &str) -> &'a str {
    resource[name].as_str().unwrap()
}

/// A database whose statements are written down.
struct Counted {
    inner: Arc<dyn Database>,
    log: Log,
}

impl Database for Counted {
    fn dialect(&self) -> Dialect {
        self.inner.dialect()
    }

    fn with(&self, work: &mut dyn FnMut(&mut dyn Connection) -> Result<(), sql::Error>) -> Result<(), sql::Error> {
        let log = &self.log;
        self.inner.with(&mut |connection| work(&mut CountedConnection { connection, log }))
    }

    fn usage(&self) -> (u32, u32, u32) {
        self.inner.usage()
    }

    fn heard(&self) -> Option<std::time::Duration> {
        self.inner.heard()
    }
}

struct CountedConnection<'a> {
    connection: &'a mut dyn Connection,
    log: &'a Log,
}

impl CountedConnection<'_> {
    fn note(&self, kind: Kind, statement: &impl std::fmt::Debug) {
        let text = format!("{statement:?}");
        // The journal of every write.
        if !text.contains("scimshim_requests") && !text.contains("scimshim_changes") {
            self.log.lock().unwrap().push((kind, text));
        }
    }
}

impl Connection for CountedConnection<'_> {
    fn dialect(&self) -> Dialect {
        self.connection.dialect()
    }
    fn query(&mut self, statement: &Statement, params: &[Value]) -> Result<Vec<Row>, sql::Error> {
        self.note(Kind::Read, statement);
        self.connection.query(statement, params)
    }
    fn execute(&mut self, statement: &Statement, params: &[Value]) -> Result<u64, sql::Error> {
        self.note(Kind::Write, statement);
        self.connection.execute(statement, params)
    }
    fn insert(&mut self, insert: &Insert, key: &sql::Ident) -> Result<Value, sql::Error> {
        self.note(Kind::Write, insert);
        self.connection.insert(insert, key)
    }
    fn insert_numbered(&mut self, insert: &Insert, key: &sql::Ident) -> Result<Vec<Value>, sql::Error> {
        self.note(Kind::Write, insert);
        self.connection.insert_numbered(insert, key)
    }
    fn returning(
        &mut self,
        statement: &Statement,
        params: &[Value],
        columns: &[sql::Expr],
    ) -> Result<Vec<Row>, sql::Error> {
        self.note(Kind::Write, statement);
        self.connection.returning(statement, params, columns)
    }
    fn batch(&mut self, sql: &str) -> Result<(), sql::Error> {
        self.connection.batch(sql)
    }
    fn begin(&mut self, isolation: Isolation) -> Result<(), sql::Error> {
        self.connection.begin(isolation)
    }
    fn commit(&mut self) -> Result<(), sql::Error> {
        self.connection.commit()
    }
    fn rollback(&mut self) {
        self.connection.rollback();
    }
    fn catalogue(&mut self, schemas: &[Option<sql::Ident>]) -> Result<sql::Catalogue, sql::Error> {
        self.connection.catalogue(schemas)
    }
}
