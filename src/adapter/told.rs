//! By which tables an application and its versions are told, and which of them may be there unseen: MySQL hides a table from
//! a user who may do nothing with it. Whether such a table is there is never guessed here.

use super::Document;
use super::document::{tables_in, text_of, without};
use super::names::Names;
use crate::document::{Findings, Node};
use crate::sql::{Catalogue, Dialect, Ident, Table};

/// The tables that a document speaks of, each once, as the database calls them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// Those that every version of the application has.
    pub common: Vec<Table>,
    /// Those that a version may lack.
    pub of_versions: Vec<Table>,
}

impl Document {
    /// All of them.
    pub fn tables(&self) -> Tables {
        let prefix = self.prefix(&mut Findings::new());
        let common = tables_in(&without(self.root(), &["versions"]));
        let mut of_versions = self.root().get("versions").map(tables_in).unwrap_or_default();
        of_versions.extend(told_by(self.root()));
        let mut rest: Vec<Table> = Vec::new();
        for table in of_versions {
            if !common.contains(&table) && !rest.contains(&table) {
                rest.push(table);
            }
        }
        let all = |tables: Vec<Table>| tables.into_iter().map(|table| prefixed(table, &prefix)).collect();
        Tables { common: all(common), of_versions: all(rest) }
    }

    /// Those that have to be seen to tell the application and its version.
    pub fn told_by(&self) -> Vec<Table> {
        let prefix = self.prefix(&mut Findings::new());
        told_by(self.root()).into_iter().map(|table| prefixed(table, &prefix)).collect()
    }
}

/// Whether a catalogue has a table, however it is spelled where that is all the same.
pub fn is_there(catalogue: &Catalogue, dialect: Dialect, table: &Table) -> bool {
    let names = Names::new(catalogue, dialect, "");
    names.find(&table.to_string()).is_some()
}

/// Without the prefix.
pub(super) fn told_by(root: &Node) -> Vec<Table> {
    let known = tables_in(root);
    let versions = root.get("versions").map(Node::entries).unwrap_or_default();
    let conditions = versions.iter().filter_map(|(_, version)| version.get("when")).chain(root.get("recognise"));
    let mut tables = Vec::new();
    for name in conditions.flat_map(|condition| [condition.get("has"), condition.get("lacks")]).flatten() {
        for table in name.one_or_many().iter().map(|name| table_of(&text_of(name), &known)) {
            if !tables.contains(&table) {
                tables.push(table);
            }
        }
    }
    tables
}

/// The table of `table`, `table.column`, `schema.table` or `schema.table.column`: one that the document speaks of besides has a
/// schema where it has one there.
pub(super) fn table_of(name: &str, known: &[Table]) -> Table {
    match name.rsplit_once('.') {
        Some((table, _)) if !known.contains(&Names::split(name)) => Names::split(table),
        _ => Names::split(name),
    }
}

fn prefixed(table: Table, prefix: &str) -> Table {
    Table { name: Ident::new(format!("{prefix}{}", table.name)), ..table }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_names() {
        let known = [Table::within("hr", "people")];
        for (name, expected) in [
            ("people", Table::new("people")),
            ("people.name", Table::new("people")),
            ("hr.people", Table::within("hr", "people")),
            ("hr.people.name", Table::within("hr", "people")),
            ("hr.depts", Table::new("hr")),
        ] {
            assert_eq!(table_of(name, &known), expected, "{name}");
        }
    }
}
