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
    /// A 64-bit integer. Instants are microseconds since 1970, those of tokens seconds, as in a JWT.
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
            ("external_id", Kind::Text(500), true),
        ],
        key: &["resource_type", "resource_id", "server"],
        // With four bytes a character still within InnoDB's 3072 for one index.
        indexes: &[("by_external_id", false, &["server", "resource_type", "external_id"])],
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
        columns: &[("kind", Kind::Text(191), true), ("hash", Kind::Text(64), true)],
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
    /// What creates our tables where they are missing and leaves what is there, in order.
    pub fn ddl(&self) -> Vec<String> {
        let mut statements = Vec::new();
        match self.dialect {
            Dialect::Mysql => statements.push(format!("CREATE DATABASE IF NOT EXISTS `{}`", self.schema)),
            Dialect::Postgres => statements.push(format!("CREATE SCHEMA IF NOT EXISTS \"{}\"", self.schema)),
            Dialect::Sqlite => {}
        }
        for definition in TABLES {
            self.create(definition, &mut statements);
        }
        statements
    }

    fn create(&self, definition: &Definition, statements: &mut Vec<String>) {
        let name = self.quoted(definition.table);
        let quote = |column: &str| match self.dialect {
            Dialect::Mysql => format!("`{column}`"),
            Dialect::Postgres | Dialect::Sqlite => format!("\"{column}\""),
        };
        let list = |columns: &[&str]| columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ");
        let mut sql = format!("CREATE TABLE IF NOT EXISTS {name} (\n");
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
            sql.push_str("\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin");
            statements.push(sql);
            return;
        }
        sql.push_str("\n)");
        statements.push(sql);
        for (index, unique, columns) in definition.indexes {
            let unique = if *unique { "UNIQUE " } else { "" };
            // SQLite's index names are the database's, PostgreSQL's the schema's.
            let index = match self.dialect {
                Dialect::Sqlite => format!("{}_{}_{index}", self.schema, definition.table.name()),
                Dialect::Mysql | Dialect::Postgres => format!("{}_{index}", definition.table.name()),
            };
            statements.push(format!("CREATE {unique}INDEX IF NOT EXISTS \"{index}\" ON {name} ({})", list(columns)));
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
