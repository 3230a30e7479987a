//! Our own tables as SQL: what `setup` prints and creates. Text columns compare byte for byte.

use super::{Own, OwnTable};
use crate::sql::Dialect;

/// A column's type, by what it holds.
#[derive(Clone, Copy)]
enum Kind {
    /// Text of at most so many characters.
    Text(u16),
    /// Text of any length.
    Long,
    /// A 64-bit integer; instants are seconds or microseconds since 1970.
    Integer,
}

/// Name, type, NOT NULL.
type Column = (&'static str, Kind, bool);

/// One table: columns, primary key, indexes.
struct Definition {
    table: OwnTable,
    columns: &'static [Column],
    key: &'static [&'static str],
    indexes: &'static [(&'static str, bool, &'static [&'static str])],
}

const TABLES: &[Definition] = &[
    Definition {
        table: OwnTable::Links,
        columns: &[
            ("server", Kind::Text(64), true),
            ("resource_type", Kind::Text(64), true),
            ("resource_id", Kind::Text(191), true),
            ("external_id", Kind::Text(255), true),
        ],
        key: &["server", "resource_type", "resource_id"],
        indexes: &[
            ("by_external_id", false, &["server", "resource_type", "external_id"]),
            ("by_resource", false, &["resource_type", "resource_id"]),
        ],
    },
    Definition {
        table: OwnTable::Sidecar,
        columns: &[
            ("resource_type", Kind::Text(64), true),
            ("resource_id", Kind::Text(191), true),
            ("document", Kind::Long, true),
        ],
        key: &["resource_type", "resource_id"],
        indexes: &[],
    },
    Definition {
        table: OwnTable::Tombstones,
        columns: &[
            ("resource_type", Kind::Text(64), true),
            ("resource_id", Kind::Text(191), true),
            ("server", Kind::Text(64), true),
            ("created_at", Kind::Integer, true),
            ("reason", Kind::Text(255), true),
        ],
        key: &["resource_type", "resource_id"],
        indexes: &[],
    },
    Definition {
        table: OwnTable::Claims,
        columns: &[("kind", Kind::Text(128), true), ("hash", Kind::Text(64), true)],
        key: &["kind", "hash"],
        indexes: &[],
    },
    Definition {
        table: OwnTable::Tokens,
        columns: &[
            ("id", Kind::Text(64), true),
            ("server", Kind::Text(64), true),
            ("sha256", Kind::Text(64), true),
            ("label", Kind::Text(255), false),
            ("read_only", Kind::Integer, true),
            ("created_at", Kind::Integer, true),
            ("expires_at", Kind::Integer, true),
            ("last_used_at", Kind::Integer, false),
            ("revoked_at", Kind::Integer, false),
        ],
        key: &["id"],
        indexes: &[("by_sha256", true, &["sha256"])],
    },
    Definition {
        table: OwnTable::Keys,
        columns: &[("name", Kind::Text(64), true), ("value", Kind::Long, true), ("created_at", Kind::Integer, true)],
        key: &["name"],
        indexes: &[],
    },
];

impl Own {
    /// Creates what is missing and leaves what is there.
    pub fn ddl(&self) -> String {
        let mut sql = match self.dialect {
            Dialect::Mysql => format!("CREATE DATABASE IF NOT EXISTS `{}` CHARACTER SET utf8mb4;\n", self.schema),
            Dialect::Postgres => format!("CREATE SCHEMA IF NOT EXISTS \"{}\";\n", self.schema),
            Dialect::Sqlite => String::new(),
        };
        for definition in TABLES {
            self.create(definition, &mut sql);
        }
        sql
    }

    fn create(&self, definition: &Definition, sql: &mut String) {
        let name = self.quoted(definition.table);
        let quote = |column: &str| match self.dialect {
            Dialect::Mysql => format!("`{column}`"),
            Dialect::Postgres | Dialect::Sqlite => format!("\"{column}\""),
        };
        let list = |columns: &[&str]| columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ");
        sql.push_str(&format!("CREATE TABLE IF NOT EXISTS {name} (\n"));
        for (column, kind, required) in definition.columns {
            let kind = match (kind, self.dialect) {
                (Kind::Text(length), Dialect::Mysql | Dialect::Postgres) => format!("VARCHAR({length})"),
                (Kind::Long, Dialect::Mysql) => "LONGTEXT".to_owned(),
                (Kind::Text(_) | Kind::Long, _) => "TEXT".to_owned(),
                (Kind::Integer, _) => "BIGINT".to_owned(),
            };
            sql.push_str(&format!("  {} {kind}{},\n", quote(column), if *required { " NOT NULL" } else { "" }));
        }
        sql.push_str(&format!("  PRIMARY KEY ({})", list(definition.key)));
        if self.dialect == Dialect::Mysql {
            for (index, unique, columns) in definition.indexes {
                let kind = if *unique { "UNIQUE KEY" } else { "KEY" };
                sql.push_str(&format!(",\n  {kind} `{index}` ({})", list(columns)));
            }
            sql.push_str("\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;\n");
            return;
        }
        sql.push_str("\n);\n");
        for (index, unique, columns) in definition.indexes {
            let unique = if *unique { "UNIQUE " } else { "" };
            // SQLite's index names are the database's, PostgreSQL's the schema's.
            let index = match self.dialect {
                Dialect::Sqlite => format!("{}_{}_{index}", self.schema, definition.table.name()),
                Dialect::Mysql | Dialect::Postgres => format!("{}_{index}", definition.table.name()),
            };
            sql.push_str(&format!("CREATE {unique}INDEX IF NOT EXISTS \"{index}\" ON {name} ({});\n", list(columns)));
        }
    }

    /// A table's name as it stands in SQL text.
    fn quoted(&self, table: OwnTable) -> String {
        match self.dialect {
            Dialect::Mysql => format!("`{}`.`{}`", self.schema, table.name()),
            Dialect::Postgres => format!("\"{}\".\"{}\"", self.schema, table.name()),
            Dialect::Sqlite => format!("\"{}_{}\"", self.schema, table.name()),
        }
    }

    /// All of our tables.
    pub fn tables(&self) -> Vec<crate::sql::Table> {
        TABLES.iter().map(|definition| self.table(definition.table)).collect()
    }
}
