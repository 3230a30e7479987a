//! What a request left in an application's tables: every row before and after, column by column, as lines of text.
//!
//! What may differ from one run to another (keys that nobody refers to, instants, hashes) is said in a [`Watch`], the closed
//! list of a test, and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use super::databases::{Database, Engine};

/// A row by its columns; NULL is not there.
pub type Line = BTreeMap<String, String>;

/// Every row of every table, by its key: `id`, or all of the row.
pub type Rows = BTreeMap<(String, String), Line>;

/// The tables that are looked at, and what of them says nothing.
pub struct Watch {
    pub tables: &'static [&'static str],
    /// Tables whose own keys nobody refers to: a row is known by what it says.
    pub unnamed: &'static [&'static str],
    /// Columns that are not compared.
    pub without: &'static [(&'static str, &'static str)],
    /// Columns of instants: that there is one is compared, and that it comes or goes.
    pub instants: &'static [&'static str],
    /// Whether columns of new rows that hold the schema's default are shown.
    pub defaults: bool,
}

impl Watch {
    /// All there is, in MariaDB.
    pub fn rows(&self, database: &Database) -> Rows {
        assert_eq!(database.engine, Engine::MariaDb);
        let mut all = Rows::new();
        for table in self.tables {
            let columns: Vec<(String, Option<String>)> = database
                .rows(&format!(
                    "SELECT COLUMN_NAME, COLUMN_DEFAULT FROM information_schema.COLUMNS
                     WHERE TABLE_SCHEMA = '{}' AND TABLE_NAME = '{table}' ORDER BY ORDINAL_POSITION",
                    database.name
                ))
                .into_iter()
                .filter_map(|row| Some((row[0].clone()?, row[1].clone())))
                .collect();
            let list = columns.iter().map(|(column, _)| format!("`{column}`")).collect::<Vec<_>>().join(", ");
            for row in database.rows(&format!("SELECT {list} FROM {table}")) {
                let mut line = Line::new();
                for ((column, default), value) in columns.iter().zip(row) {
                    let Some(value) = value else { continue };
                    let ordinary = default.as_deref().map(|default| default.trim_matches('\''));
                    if self.defaults || ordinary != Some(value.as_str()) {
                        line.insert(column.clone(), value);
                    }
                }
                let key = line.get("id").cloned().unwrap_or_else(|| format!("{line:?}"));
                all.insert(((*table).to_owned(), key), line);
            }
        }
        all
    }

    /// What became of the rows, one line each; doubles are counted.
    pub fn difference(&self, before: &Rows, after: &Rows) -> BTreeSet<String> {
        let mut lines = Vec::new();
        for ((table, key), row) in after {
            match before.get(&(table.clone(), key.clone())) {
                None => lines.push(self.added(table, row.clone())),
                Some(old) => {
                    let keys: BTreeSet<&String> = old.keys().chain(row.keys()).collect();
                    let changed = keys.into_iter().filter(|key| old.get(*key) != row.get(*key));
                    let changed: BTreeMap<String, [Option<String>; 2]> =
                        changed.map(|key| (key.clone(), [old.get(key).cloned(), row.get(key).cloned()])).collect();
                    lines.extend(self.altered(table, key, changed));
                }
            }
        }
        let gone = before.iter().filter(|(key, _)| !after.contains_key(*key));
        lines.extend(gone.map(|((table, key), row)| self.removed(table, key, row.clone())));
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        for line in lines {
            *counted.entry(line).or_default() += 1;
        }
        counted.into_iter().map(|(line, times)| if times > 1 { format!("{times} x {line}") } else { line }).collect()
    }

    pub fn added(&self, table: &str, row: Line) -> String {
        format!("+ {table} {}", self.plain(table, row))
    }

    /// A history row is known by what it says: its key is one of those that may differ.
    pub fn removed(&self, table: &str, key: &str, row: Line) -> String {
        if self.unnamed.contains(&table) && table != "glpi_profiles_users" {
            return format!("- {table} {}", self.plain(table, row));
        }
        format!("- {table}#{key}")
    }

    pub fn altered(
        &self,
        table: &str,
        key: &str,
        mut changed: BTreeMap<String, [Option<String>; 2]>,
    ) -> Option<String> {
        for column in self.instants {
            match changed.get_mut(*column) {
                Some([Some(_), Some(_)]) => drop(changed.remove(*column)),
                Some(both) => both.iter_mut().flatten().for_each(|value| *value = "an instant".to_owned()),
                None => {}
            }
        }
        if changed.contains_key("password") {
            changed.insert("password".to_owned(), [None, Some("another hash".to_owned())]);
        }
        (!changed.is_empty()).then(|| format!("~ {table}#{key} {changed:?}"))
    }

    fn plain(&self, table: &str, mut row: Line) -> String {
        if self.unnamed.contains(&table) {
            row.remove("id");
        }
        for (_, column) in self.without.iter().filter(|(known, _)| *known == table) {
            row.remove(*column);
        }
        for (column, value) in &mut row {
            if self.instants.contains(&column.as_str()) {
                *value = "an instant".to_owned();
            }
            if column == "password" && value.starts_with("$2y$10$") {
                *value = "a hash".to_owned();
            }
        }
        format!("{row:?}")
    }
}
