//! The GRANTs that scimshim's database user needs, no more: on the application's tables what the adapter
//! reads and writes, on its own tables everything but their definition.

use super::ddl::{qualified, quote};
use super::{Own, OwnTable};
use crate::sql::{Dialect, Ident, Table};
use std::collections::BTreeSet;

/// How much of a table one privilege covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// None of it.
    #[default]
    None,
    /// These columns.
    Columns(BTreeSet<Ident>),
    /// All of it.
    Table,
}

/// What is done with one of the application's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Columns read, in conditions too.
    pub select: Access,
    /// Columns given when a row is inserted.
    pub insert: Access,
    /// Columns updated. Rows that are locked need one of these or [`Needs::delete`].
    pub update: Access,
    /// Whether rows are deleted.
    pub delete: bool,
    /// The column that PostgreSQL numbers from a sequence when a row is inserted.
    pub generated_key: Option<Ident>,
}

impl Own {
    /// The statements, each without its semicolon; none on SQLite. `user` is a role on PostgreSQL and
    /// `name@host` on MySQL, where a host left out is `%`. `home` is where the application's tables without a
    /// schema are: the database on MySQL, the schema on PostgreSQL.
    pub fn grants(&self, user: &str, home: &str, needs: &[(Table, Needs)]) -> Vec<String> {
        let dialect = self.dialect;
        let user = match dialect {
            Dialect::Sqlite => return Vec::new(),
            Dialect::Postgres => quote(dialect, user),
            Dialect::Mysql => {
                let (name, host) = user.rsplit_once('@').unwrap_or((user, "%"));
                let text = |text: &str| format!("'{}'", text.trim_matches(['\'', '`']).replace('\'', "''"));
                format!("{}@{}", text(name), text(host))
            }
        };
        let mut statements = Vec::new();
        let at_home = |table: &Table| Table {
            schema: Some(table.schema.clone().unwrap_or_else(|| Ident::new(home))),
            name: table.name.clone(),
        };
        if dialect == Dialect::Postgres {
            let mut schemas: BTreeSet<Ident> = needs.iter().filter_map(|(table, _)| at_home(table).schema).collect();
            schemas.insert(Ident::new(&self.schema));
            for schema in schemas {
                statements.push(format!("GRANT USAGE ON SCHEMA {} TO {user}", quote(dialect, schema.as_str())));
            }
        }
        for (table, needs) in needs {
            let table = at_home(table);
            let privileges = privileges(dialect, needs);
            if !privileges.is_empty() {
                let on = qualified(dialect, &table);
                statements.push(format!("GRANT {} ON {on} TO {user}", privileges.join(", ")));
            }
            if let (Dialect::Postgres, Some(column), true) =
                (dialect, &needs.generated_key, needs.insert != Access::None)
            {
                // The name that PostgreSQL gives the sequence of a serial or identity column.
                let name = Ident::new(format!("{}_{column}_seq", table.name));
                let sequence = Table { schema: table.schema.clone(), name };
                statements.push(format!("GRANT USAGE ON SEQUENCE {} TO {user}", qualified(dialect, &sequence)));
            }
        }
        for table in OwnTable::ALL {
            let privileges = match table {
                OwnTable::SchemaVersion => "SELECT",
                _ => "SELECT, INSERT, UPDATE, DELETE",
            };
            statements.push(format!("GRANT {privileges} ON {} TO {user}", qualified(dialect, &self.table(table))));
        }
        statements
    }
}

fn privileges(dialect: Dialect, needs: &Needs) -> Vec<String> {
    let mut privileges = Vec::new();
    for (verb, access) in [("SELECT", &needs.select), ("INSERT", &needs.insert), ("UPDATE", &needs.update)] {
        match access {
            Access::None => {}
            Access::Table => privileges.push(verb.to_owned()),
            Access::Columns(columns) if columns.is_empty() => {}
            Access::Columns(columns) => {
                let columns: Vec<String> = columns.iter().map(|column| quote(dialect, column.as_str())).collect();
                privileges.push(format!("{verb} ({})", columns.join(", ")));
            }
        }
    }
    if needs.delete {
        privileges.push("DELETE".to_owned());
    }
    privileges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_name_tables_columns_and_users_exactly() {
        let columns = |names: &[&str]| Access::Columns(names.iter().map(Ident::new).collect());
        let needs = [
            (
                Table::new("users"),
                Needs {
                    select: columns(&["id", "name"]),
                    insert: columns(&["name"]),
                    update: columns(&["name"]),
                    delete: false,
                    generated_key: Some("id".into()),
                },
            ),
            (Table::within("hr", "people"), Needs { select: Access::Table, delete: true, ..Needs::default() }),
        ];
        let mysql = Own::new(Dialect::Mysql, "shim").grants("sync@10.0.0.%", "app", &needs);
        assert_eq!(
            mysql[0],
            "GRANT SELECT (`id`, `name`), INSERT (`name`), UPDATE (`name`) ON `app`.`users` TO 'sync'@'10.0.0.%'"
        );
        assert_eq!(mysql[1], "GRANT SELECT, DELETE ON `hr`.`people` TO 'sync'@'10.0.0.%'");
        assert_eq!(mysql[2], "GRANT SELECT ON `shim`.`schema_version` TO 'sync'@'10.0.0.%'");
        assert_eq!(mysql[3], "GRANT SELECT, INSERT, UPDATE, DELETE ON `shim`.`signing_keys` TO 'sync'@'10.0.0.%'");
        let postgres = Own::new(Dialect::Postgres, "shim").grants("sync", "public", &needs);
        assert_eq!(
            postgres[..3],
            ["hr", "public", "shim"].map(|s| format!("GRANT USAGE ON SCHEMA \"{s}\" TO \"sync\""))
        );
        assert_eq!(postgres[4], "GRANT USAGE ON SEQUENCE \"public\".\"users_id_seq\" TO \"sync\"");
        assert!(Own::new(Dialect::Sqlite, "shim").grants("x", "main", &needs).is_empty());
    }
}
