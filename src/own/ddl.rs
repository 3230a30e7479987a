//! The tables themselves. Keys are compared byte for byte; instants are microseconds since 1970.

use super::Own;
use crate::sql::Dialect;

impl Own {
    /// What creates our tables where they are missing, in order.
    pub fn ddl(&self) -> Vec<String> {
        let (key, text, end) = match self.dialect {
            // 191 characters of four bytes, twice, are within InnoDB's limit for one index.
            Dialect::Mysql => (
                "VARCHAR(191) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
                "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
                " ENGINE=InnoDB",
            ),
            Dialect::Postgres => ("VARCHAR(191)", "TEXT", ""),
            Dialect::Sqlite => ("TEXT", "TEXT", ""),
        };
        let mut statements = Vec::new();
        match self.dialect {
            Dialect::Mysql => statements.push(format!("CREATE DATABASE IF NOT EXISTS {}", self.schema)),
            Dialect::Postgres => statements.push(format!("CREATE SCHEMA IF NOT EXISTS {}", self.schema)),
            Dialect::Sqlite => {}
        }
        let separator = if self.dialect == Dialect::Sqlite { '_' } else { '.' };
        let mut table = |name: &str, columns: String| {
            let name = format!("{}{separator}{name}", self.schema);
            statements.push(format!("CREATE TABLE IF NOT EXISTS {name} ({columns}){end}"));
        };
        table(
            "links",
            format!(
                "server {key} NOT NULL, resource_type {key} NOT NULL, resource_id {key} NOT NULL, external_id {text} NOT NULL, PRIMARY KEY (resource_type, resource_id, server)"
            ),
        );
        table(
            "sidecar",
            format!(
                "resource_type {key} NOT NULL, resource_id {key} NOT NULL, document {text} NOT NULL, PRIMARY KEY (resource_type, resource_id)"
            ),
        );
        table(
            "tombstones",
            format!(
                "resource_type {key} NOT NULL, resource_id {key} NOT NULL, server {key} NOT NULL, created_at BIGINT NOT NULL, reason {text} NOT NULL, PRIMARY KEY (resource_type, resource_id)"
            ),
        );
        table(
            "claims",
            format!("kind {key} NOT NULL, hash {key} NOT NULL, PRIMARY KEY (kind, hash)"),
        );
        statements
    }
}
