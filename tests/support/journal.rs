//! The journal against the database: what the tables held before, changed as the journal says, must be what they hold
//! afterwards, row by row and column by column. So nothing was written that is not journalled, and nothing is journalled that
//! was not written; each column before must be what the request before it left.
//!
//! Not compared: what the journal keeps no value of (secrets), and columns of a new row that the request did not name, which
//! the schema fills.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::databases::{Database, Engine};
use super::service::{Service, describe};

/// A value as the database's own tools print it; `None` where nothing is known of it.
type Cell = Option<Option<String>>;
type Line = BTreeMap<String, Cell>;

/// The tables at one time.
pub struct Tables {
    rows: BTreeMap<String, Vec<Line>>,
    columns: BTreeMap<String, Vec<String>>,
}

/// Tables of ours that belong to resources.
const OURS: [&str; 4] = ["links", "sidecar", "tombstones", "identities"];

impl Tables {
    /// All of the application's, and ours where they are there.
    pub fn of(database: &Database) -> Tables {
        let listed = match database.engine {
            Engine::Sqlite => database.rows(
                "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid",
            ),
            Engine::MariaDb => database.rows(&format!(
                "SELECT IF(c.TABLE_SCHEMA = '{0}', c.TABLE_NAME, CONCAT('own.', c.TABLE_NAME)), c.COLUMN_NAME
                 FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)
                 WHERE c.TABLE_SCHEMA IN ('{0}', '{0}_own') AND t.TABLE_TYPE = 'BASE TABLE'
                 ORDER BY c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION",
                database.name
            )),
            Engine::Postgres => database.rows(
                "SELECT CASE table_schema WHEN 'scimshim' THEN 'own.' || table_name ELSE table_name END, column_name
                 FROM information_schema.columns WHERE table_schema IN ('public', 'scimshim')
                 ORDER BY table_schema, table_name, ordinal_position",
            ),
        };
        let mut columns: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in listed {
            let (table, column) = (row[0].clone().unwrap(), row[1].clone().unwrap());
            let table = table.strip_prefix("scimshim_").map_or(table.clone(), |own| format!("own.{own}"));
            if table.strip_prefix("own.").is_none_or(|own| OURS.contains(&own)) {
                columns.entry(table).or_default().push(column);
            }
        }
        let quote = if database.engine == Engine::MariaDb { '`' } else { '"' };
        let mut rows = BTreeMap::new();
        for (table, names) in &columns {
            let from = match table.strip_prefix("own.") {
                Some(own) => format!("{}{own}", database.own_tables()),
                None => format!("{quote}{table}{quote}"),
            };
            let list = names.iter().map(|name| format!("{quote}{name}{quote}")).collect::<Vec<_>>().join(", ");
            let found = database.rows(&format!("SELECT {list} FROM {from}"));
            let line = |row: Vec<Option<String>>| -> Line {
                names.iter().cloned().zip(row.into_iter().map(|cell| Some(cell.map(plain)))).collect()
            };
            rows.insert(table.clone(), found.into_iter().map(line).collect());
        }
        Tables { rows, columns }
    }

    /// What the journal says of what happened since; everything that is wrong, in words.
    pub fn disagreements(mut self, database: &Database, requests: &[Value]) -> Vec<String> {
        let mut wrong = Vec::new();
        for request in requests {
            for change in request["changes"].as_array().into_iter().flatten() {
                if let Err(why) = self.follow(change) {
                    wrong.push(format!("{why}\n  {change}\n  of {} {}", request["method"], request["route"]));
                }
            }
        }
        let now = Tables::of(database);
        for (table, held) in &now.rows {
            let mut told = self.rows.remove(table).unwrap_or_default();
            for row in held {
                match told.iter().position(|told| agree(told, row)) {
                    Some(at) => drop(told.swap_remove(at)),
                    None => wrong.push(format!("{table} has a row that the journal does not explain: {}", show(row))),
                }
            }
            wrong.extend(told.iter().map(|row| format!("{table} has no such row, says the journal: {}", show(row))));
        }
        wrong
    }

    fn follow(&mut self, change: &Value) -> Result<(), String> {
        let table = change["table"].as_str().unwrap();
        let table = match (change["schema"].as_str(), table.strip_prefix("scimshim_")) {
            (Some(_), _) => format!("own.{table}"),
            (None, Some(own)) => format!("own.{own}"),
            (None, None) => table.to_owned(),
        };
        let columns = self.columns.get(&table).ok_or_else(|| format!("there is no table {table}"))?.clone();
        let rows = self.rows.entry(table.clone()).or_default();
        let side = |name: &str| -> Option<Line> {
            let object = change[name].as_object()?;
            Some(object.iter().map(|(column, value)| (column.clone(), cell(value))).collect())
        };
        let (before, after) = (side("before"), side("after"));
        let mut key = side("key").unwrap();
        if change["operation"] == "insert" {
            let Some(after) = after.filter(|_| before.is_none()) else { return Err("an insert of what?".to_owned()) };
            if !key.is_empty() && rows.iter().any(|row| key.iter().all(|(column, value)| row[column] == *value)) {
                return Err(format!("{table} has this row already"));
            }
            let mut row: Line = columns.iter().map(|column| (column.clone(), None)).collect();
            row.extend(key);
            row.extend(after);
            rows.push(row);
            return Ok(());
        }
        let Some(before) = before else { return Err("nothing before?".to_owned()) };
        // A key that was changed is among what was before.
        for (column, value) in &mut key {
            if let Some(was) = before.get(column) {
                value.clone_from(was);
            }
        }
        if key.is_empty() {
            key.clone_from(&before);
        }
        let found: Vec<usize> = (0..rows.len())
            .filter(|at| key.iter().all(|(column, value)| rows[*at].get(column) == Some(value)))
            .collect();
        let [at] = found.as_slice() else { return Err(format!("{table} has {} such rows", found.len())) };
        for (column, value) in &before {
            let held = rows[*at].get(column).ok_or_else(|| format!("{table} has no column {column}"))?;
            if held.is_some() && value.is_some() && held != value {
                return Err(format!("{table}.{column} was {held:?} before"));
            }
        }
        match (change["operation"].as_str(), after) {
            (Some("update"), Some(after)) => {
                let (old, new): (BTreeSet<_>, BTreeSet<_>) = (before.keys().collect(), after.keys().collect());
                if old != new {
                    return Err("other columns before than after".to_owned());
                }
                if after.iter().all(|(column, value)| value.is_some() && before[column] == *value) {
                    return Err("an update that changes nothing".to_owned());
                }
                rows[*at].extend(after);
            }
            (Some("delete"), None) => {
                let missing: Vec<&String> = columns.iter().filter(|column| !before.contains_key(*column)).collect();
                if !missing.is_empty() {
                    return Err(format!("without {missing:?} the row cannot come back"));
                }
                rows.swap_remove(*at);
            }
            _ => return Err("no such operation".to_owned()),
        }
        Ok(())
    }
}

/// The whole journal, the oldest first.
pub fn requests(service: &Service) -> Vec<Value> {
    let output = service.run(&["log", "--json", "--since", "1d"]);
    assert!(output.status.success(), "{}", describe(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Fails where the journal and the tables disagree on what happened since `before`.
pub fn must_agree(before: Tables, database: &Database, service: &Service) -> Vec<Value> {
    let requests = requests(service);
    let wrong = before.disagreements(database, &requests);
    assert!(wrong.is_empty(), "the journal is wrong:\n{}", wrong.join("\n"));
    requests
}

fn agree(told: &Line, held: &Line) -> bool {
    told.iter().all(|(column, value)| value.is_none() || held.get(column) == Some(value))
}

fn show(row: &Line) -> String {
    let known = row.iter().filter(|(_, value)| !matches!(value, Some(None)));
    known
        .map(|(column, value)| format!("{column}={:?}", value.clone().flatten().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A value of the journal.
fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Some(None),
        Value::Bool(b) => Some(Some(if *b { "t" } else { "f" }.to_owned())),
        Value::Number(number) => Some(Some(number.to_string())),
        Value::String(text) => Some(Some(plain(text.clone()))),
        Value::Array(_) => panic!("{value}"),
        Value::Object(object) => {
            let (form, of) = object.iter().next().expect("a form");
            match (form.as_str(), of.as_str()) {
                ("datetime" | "date" | "float", Some(text)) => Some(Some(plain(text.replace('T', " ")))),
                _ => None,
            }
        }
    }
}

/// Instants without the zeros at their ends; blanks that fill up are nothing.
fn plain(text: String) -> String {
    let is_instant = text.len() > 19 && text.as_bytes()[4] == b'-' && text.as_bytes()[19] == b'.';
    match is_instant {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}
