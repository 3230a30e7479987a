//! What is unique beside other columns, where the resources of a type stand in two tables.

use super::*;

const TWO_TABLES: (&str, &str) = (
    "CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL);
     CREATE TABLE teams(id INTEGER PRIMARY KEY, name TEXT NOT NULL, unit TEXT);
     CREATE TABLE projects(id INTEGER PRIMARY KEY, title TEXT NOT NULL, dept TEXT);
     INSERT INTO teams VALUES (1, 'Crew', 'north'); INSERT INTO projects VALUES (1, 'Alpha', 'south'), (2, 'Beta', NULL);",
    r#"
adapter: units
title: Names that are unique within a unit
databases: [sqlite]
resources:
  User:
    table: people
    id: id
    attributes: { userName: { column: login, required: true, unique: true } }
    delete: refuse
  Group:
    create_in: team
    sources:
      team:
        table: teams
        id: id
        id_prefix: t-
        attributes:
          displayName: { column: name, required: true, unique: { within: [unit] } }
          urn:example:Group: { unit: { column: unit } }
        delete: row
      project:
        table: projects
        id: id
        id_prefix: p-
        create: refuse
        attributes:
          urn:example:Group: { unit: { column: dept } }
          displayName: { column: title, required: true, unique: { within: [dept] } }
        delete: row
"#,
);

#[test]
fn within_the_same_column_of_the_other_table() {
    let application = Application::with(TWO_TABLES.0, TWO_TABLES.1);
    let group = |name: &str, unit: Option<&str>| {
        let unit = unit.map_or(json!({}), |unit| json!({ "unit": unit }));
        application.create(GROUP, json!({ "displayName": name, "urn:example:Group": unit }))
    };
    for (name, unit) in [("Alpha", Some("south")), ("ALPHA", Some("south")), ("Beta", None), ("Crew", Some("north"))] {
        assert_eq!(group(name, unit).unwrap_err().status, 409, "{name} {unit:?}");
    }
    for (name, unit) in [("Alpha", Some("north")), ("Beta", Some("south")), ("Crew", Some("south")), ("Alpha", None)] {
        assert!(group(name, unit).is_ok(), "{name} {unit:?}");
    }
    // The other way round, and where the unit alone changes.
    let unit = |unit: &str| json!([{ "op": "replace", "path": "urn:example:Group:unit", "value": unit }]);
    assert_eq!(application.patch(GROUP, "p-1", unit("north")).unwrap_err().status, 409);
    assert_eq!(application.patch(GROUP, "p-2", unit("south")).unwrap_err().status, 409);
    application.patch(GROUP, "p-2", unit("east")).unwrap();
    application.patch(GROUP, "t-1", unit("south")).unwrap_err();
    application.patch(GROUP, "t-1", unit("east")).unwrap();
}
