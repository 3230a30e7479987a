//! The demonstration's "legacy application": a SQLite file with a few hundred made-up people. Everything
//! in it follows from counting, so that two demonstrations look alike and nobody in it is real.

use crate::cli::common::Failure;
use crate::sql::Database;
use std::fmt::Write;

const PEOPLE: usize = 300;

const TABLES: &str = "
CREATE TABLE departments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE people (
    id INTEGER PRIMARY KEY,
    login TEXT NOT NULL UNIQUE,
    given TEXT,
    family TEXT,
    mail TEXT,
    phone TEXT,
    mobile TEXT,
    job_title TEXT,
    employee_no TEXT,
    department_id INTEGER REFERENCES departments(id),
    manager_id INTEGER,
    enabled INTEGER DEFAULT 1,
    created_at TEXT,
    updated_at TEXT,
    left_on TEXT,
    shown_as TEXT,
    password TEXT,
    is_admin INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX people_by_mail ON people (mail);
CREATE INDEX people_by_department ON people (department_id);
CREATE INDEX people_by_manager ON people (manager_id);
CREATE TABLE profiles (
    id INTEGER PRIMARY KEY,
    label TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL DEFAULT 'access',
    created_at TEXT,
    updated_at TEXT
);
CREATE TABLE profile_people (
    profile_id INTEGER NOT NULL REFERENCES profiles(id),
    person_id INTEGER NOT NULL REFERENCES people(id),
    granted_at TEXT,
    PRIMARY KEY (profile_id, person_id)
);
CREATE INDEX profile_people_by_person ON profile_people (person_id);
CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    closed_on TEXT,
    created_at TEXT,
    updated_at TEXT
);
CREATE TABLE project_people (
    project_id INTEGER NOT NULL REFERENCES projects(id),
    person_id INTEGER NOT NULL REFERENCES people(id),
    role TEXT NOT NULL DEFAULT 'member',
    PRIMARY KEY (project_id, person_id)
);
CREATE INDEX project_people_by_person ON project_people (person_id);
CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    person_id INTEGER NOT NULL,
    what TEXT NOT NULL,
    details TEXT
);
CREATE INDEX history_by_person ON history (person_id);
";

const DEPARTMENTS: [&str; 12] = [
    "Accounting",
    "Customer Care",
    "Design",
    "Engineering",
    "Facilities",
    "Human Resources",
    "Legal",
    "Logistics",
    "Marketing",
    "Production",
    "Research",
    "Sales",
];
const PROFILES: [(&str, &str); 8] = [
    ("Administrators", "system"),
    ("Everyone", "access"),
    ("Invoice Readers", "access"),
    ("Invoice Writers", "access"),
    ("Price List Editors", "access"),
    ("Report Viewers", "access"),
    ("Shop Floor", "access"),
    ("Warehouse Keys", "access"),
];
const PROJECTS: [(&str, Option<&str>); 6] = [
    ("Archive Move", Some("2024-12-31")),
    ("Autumn Catalogue", None),
    ("New Warehouse", None),
    ("Paperless Office", None),
    ("Solar Roof", None),
    ("Switchboard", Some("2025-06-30")),
];
/// Not names of people: minerals and trees.
const GIVEN: [&str; 20] = [
    "Agate", "Amber", "Basalt", "Beryl", "Cobalt", "Coral", "Flint", "Garnet", "Jade", "Jasper", "Jet", "Marble",
    "Mica", "Onyx", "Opal", "Pearl", "Quartz", "Ruby", "Slate", "Topaz",
];
const FAMILY: [&str; 15] = [
    "Alder", "Ash", "Aspen", "Beech", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Larch", "Linden", "Maple", "Oak",
    "Rowan", "Willow",
];
/// When the profiles and projects were made.
const SINCE: &str = "'2023-01-02 08:00:00'";
const TITLES: [&str; 5] = ["Assistant", "Clerk", "Specialist", "Planner", "Lead"];

/// Makes the application's tables and fills them, in one transaction.
pub fn create(database: &dyn Database) -> Result<(), Failure> {
    let sql = format!("BEGIN;{TABLES}{}COMMIT;", rows());
    Ok(database.with(&mut |connection| connection.batch(&sql))?)
}

/// Every row, as SQL. Nothing in it comes from outside.
fn rows() -> String {
    let mut sql = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = sql.write_fmt(text);
        sql.push('\n');
    };
    for (n, name) in (1..).zip(DEPARTMENTS) {
        line(format_args!("INSERT INTO departments VALUES ({n}, '{name}');"));
    }
    for (n, (label, kind)) in (1..).zip(PROFILES) {
        line(format_args!("INSERT INTO profiles VALUES ({n}, '{label}', '{kind}', {SINCE}, {SINCE});"));
    }
    for (n, (name, closed)) in (1..).zip(PROJECTS) {
        let closed = closed.map_or_else(|| "NULL".to_owned(), |day| format!("'{day}'"));
        line(format_args!("INSERT INTO projects VALUES ({n}, '{name}', {closed}, {SINCE}, {SINCE});"));
    }
    let names = FAMILY.iter().flat_map(|family| GIVEN.iter().map(move |given| (*given, *family)));
    for (n, (given, family)) in (1..=PEOPLE).zip(names) {
        let login = format!("{}.{}", given.to_lowercase(), family.to_lowercase());
        // The first of a department leads it; the very first leads those.
        let department = (n - 1) % DEPARTMENTS.len() + 1;
        let leads = n <= DEPARTMENTS.len();
        let manager = match (n, leads) {
            (1, _) => "NULL".to_owned(),
            (_, true) => "1".to_owned(),
            (_, false) => department.to_string(),
        };
        let title = if leads { "Head" } else { TITLES.iter().cycle().nth(n).copied().unwrap_or("Clerk") };
        let gone = n % 29 == 0;
        let (enabled, left) = if gone { (0, "'2025-03-31'") } else { (1, "NULL") };
        let (month, day) = (n % 12 + 1, n % 28 + 1);
        line(format_args!(
            "INSERT INTO people VALUES ({n}, '{login}', '{given}', '{family}', '{login}@example.com', \
             '+1 555 01{:02}', {}, '{title}', 'E{:05}', {department}, {manager}, {enabled}, \
             '2024-{month:02}-{day:02} 08:00:00', '2024-{month:02}-{day:02} 08:00:00', {left}, NULL, NULL, {});",
            n % 100,
            if n % 3 == 0 { format!("'+1 555 02{:02}'", n % 100) } else { "NULL".to_owned() },
            10_000 + n,
            u8::from(n == 1),
        ));
        line(format_args!("INSERT INTO profile_people VALUES (2, {n}, '2024-{month:02}-{day:02} 08:00:00');"));
        if n % 4 == 0 {
            let profile = n / 4 % 5 + 3;
            line(format_args!("INSERT INTO profile_people VALUES ({profile}, {n}, '2024-12-01 09:30:00');"));
        }
        if n % 7 == 0 {
            let role = if n % 14 == 0 { "member" } else { "guest" };
            line(format_args!("INSERT INTO project_people VALUES ({}, {n}, '{role}');", n / 7 % 6 + 1));
        }
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_different() {
        let sql = rows();
        let mut logins: Vec<&str> = sql
            .lines()
            .filter_map(|line| line.strip_prefix("INSERT INTO people VALUES ("))
            .filter_map(|line| line.split('\'').nth(1))
            .collect();
        assert_eq!(logins.len(), PEOPLE);
        logins.sort_unstable();
        logins.dedup();
        assert_eq!(logins.len(), PEOPLE);
    }
}
