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
        if dialect == Dialect::Sqlite {
            return Vec::new();
        }
        let user = self.user(user);
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
            let privileges = table.verbs().join(", ");
            statements.push(format!("GRANT {privileges} ON {} TO {user}", qualified(dialect, &self.table(table))));
        }
        statements
    }

    /// A GRANT with which tables and columns of a schema are seen, whatever may be done with them, and which gives no row of
    /// theirs away: on MySQL, where a table is hidden from users who may do nothing with it. None elsewhere.
    pub fn sight(&self, user: &str, schema: &str) -> Option<String> {
        // In the schema of a GRANT `_` and `%` are patterns.
        let schema = schema.replace('\\', r"\\").replace('_', r"\_").replace('%', r"\%");
        let on = quote(self.dialect, &schema);
        (self.dialect == Dialect::Mysql).then(|| format!("GRANT REFERENCES ON {on}.* TO {}", self.user(user)))
    }

    /// A GRANT on one of the application's tables that is given where the table is there when it runs: several statements.
    pub fn grant_if_there(&self, user: &str, home: &str, table: &Table, needs: &Needs) -> Vec<String> {
        let dialect = self.dialect;
        let schema = table.schema.clone().unwrap_or_else(|| Ident::new(home));
        let on = qualified(dialect, &Table { schema: Some(schema.clone()), name: table.name.clone() });
        let grant = format!("GRANT {} ON {on} TO {}", privileges(dialect, needs).join(", "), self.user(user));
        match dialect {
            Dialect::Mysql => {
                let text = |text: &str| format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"));
                let there = format!(
                    "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
                    text(schema.as_str()),
                    text(table.name.as_str())
                );
                vec![
                    format!("SET @scimshim = IF(EXISTS({there}), {}, 'DO 0')", text(&grant)),
                    "PREPARE scimshim FROM @scimshim".to_owned(),
                    "EXECUTE scimshim".to_owned(),
                ]
            }
            Dialect::Postgres => {
                let on = on.replace('\'', "''");
                vec![format!(
                    "DO $scimshim$ BEGIN IF to_regclass('{on}') IS NOT NULL THEN {grant}; END IF; END $scimshim$"
                )]
            }
            Dialect::Sqlite => Vec::new(),
        }
    }

    /// As GRANT names it.
    fn user(&self, user: &str) -> String {
        match self.dialect {
            Dialect::Mysql => {
                let (name, host) = user.rsplit_once('@').unwrap_or((user, "%"));
                let text = |text: &str| format!("'{}'", text.trim_matches(['\'', '`']).replace('\'', "''"));
                format!("{}@{}", text(name), text(host))
            }
            Dialect::Postgres | Dialect::Sqlite => quote(self.dialect, user),
        }
    }
}

impl OwnTable {
    /// What the service does with it.
    pub(super) fn verbs(self) -> &'static [&'static str] {
        match self {
            OwnTable::SchemaVersion => &["SELECT"],
            _ => &["SELECT", "INSERT", "UPDATE", "DELETE"],
        }
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

    #[test]
    fn what_cannot_be_known_is_granted_where_it_is_there() {
        let all = Needs { select: Access::Table, ..Needs::default() };
        let mysql = Own::new(Dialect::Mysql, "shim");
        assert_eq!(
            mysql.grant_if_there("o'neil@localhost", "app", &Table::new("it's"), &all)[0],
            "SET @scimshim = IF(EXISTS(SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'app' AND TABLE_NAME = \
             'it''s'), 'GRANT SELECT ON `app`.`it''s` TO ''o''''neil''@''localhost''', 'DO 0')"
        );
        assert_eq!(mysql.sight("sync", "my_app").as_deref(), Some(r"GRANT REFERENCES ON `my\_app`.* TO 'sync'@'%'"));
        let postgres = Own::new(Dialect::Postgres, "shim");
        assert_eq!(postgres.sight("sync", "public"), None);
        assert_eq!(
            postgres.grant_if_there("sync", "public", &Table::new("t"), &all),
            [
                r#"DO $scimshim$ BEGIN IF to_regclass('"public"."t"') IS NOT NULL THEN GRANT SELECT ON "public"."t" TO "sync"; END IF; END $scimshim$"#
            ]
        );
        let sqlite = Own::new(Dialect::Sqlite, "shim");
        assert!(sqlite.grant_if_there("x", "main", &Table::new("t"), &all).is_empty());
    }
}
