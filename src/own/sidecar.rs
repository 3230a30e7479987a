//! What belongs to resources: externalId per identity server, sidecar documents, tombstones.

use super::{Own, OwnTable};
use crate::sql::{Connection, Delete, Error, Expr, Ident, Insert, OnConflict, Predicate, Statement, Value};
use chrono::Utc;

impl Own {
    /// Keeps, or with `None` forgets, what a server calls a resource.
    pub fn set_external_id(
        &self,
        connection: &mut dyn Connection,
        server: &str,
        kind: &str,
        id: &str,
        external_id: Option<&str>,
    ) -> Result<(), Error> {
        let key = [("server", server), ("resource_type", kind), ("resource_id", id)];
        self.set(
            connection,
            OwnTable::Links,
            &key,
            external_id.map(|value| ("external_id", value)),
        )
    }

    /// Keeps, or with `None` forgets, a resource's sidecar document.
    pub fn set_document(
        &self,
        connection: &mut dyn Connection,
        kind: &str,
        id: &str,
        document: Option<&str>,
    ) -> Result<(), Error> {
        let key = [("resource_type", kind), ("resource_id", id)];
        self.set(
            connection,
            OwnTable::Sidecar,
            &key,
            document.map(|value| ("document", value)),
        )
    }

    /// Marks a resource as deleted though its row stays.
    pub fn add_tombstone(
        &self,
        connection: &mut dyn Connection,
        kind: &str,
        id: &str,
        server: &str,
        reason: &str,
    ) -> Result<(), Error> {
        let values = [
            ("resource_type", Value::from(kind)),
            ("resource_id", Value::from(id)),
            ("server", Value::from(server)),
            ("created_at", Value::Int(Utc::now().timestamp_micros())),
            ("reason", Value::Text(reason.chars().take(255).collect())),
        ];
        let insert = Insert {
            table: self.table(OwnTable::Tombstones),
            columns: values.iter().map(|(name, _)| Ident::new(name)).collect(),
            rows: vec![values.into_iter().map(|(_, value)| Expr::Value(value, None)).collect()],
            on_conflict: OnConflict::Update {
                key: vec![Ident::new("resource_type"), Ident::new("resource_id")],
                columns: ["server", "created_at", "reason"].map(Ident::new).into(),
            },
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    /// Takes the mark away.
    pub fn remove_tombstone(&self, connection: &mut dyn Connection, kind: &str, id: &str) -> Result<(), Error> {
        self.delete(
            connection,
            OwnTable::Tombstones,
            &[("resource_type", kind), ("resource_id", id)],
        )
    }

    /// Forgets everything about a resource whose row is gone.
    pub fn forget(&self, connection: &mut dyn Connection, kind: &str, id: &str) -> Result<(), Error> {
        for table in [OwnTable::Links, OwnTable::Sidecar, OwnTable::Tombstones] {
            self.delete(connection, table, &[("resource_type", kind), ("resource_id", id)])?;
        }
        Ok(())
    }

    fn set(
        &self,
        connection: &mut dyn Connection,
        table: OwnTable,
        key: &[(&str, &str)],
        value: Option<(&str, &str)>,
    ) -> Result<(), Error> {
        let Some((column, value)) = value else {
            return self.delete(connection, table, key);
        };
        let names = key.iter().map(|(name, _)| Ident::new(name));
        let insert = Insert {
            table: self.table(table),
            columns: names.clone().chain([Ident::new(column)]).collect(),
            rows: vec![
                key.iter()
                    .map(|(_, part)| Expr::value(*part))
                    .chain([Expr::value(value)])
                    .collect(),
            ],
            on_conflict: OnConflict::Update {
                key: names.collect(),
                columns: vec![Ident::new(column)],
            },
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    fn delete(&self, connection: &mut dyn Connection, table: OwnTable, key: &[(&str, &str)]) -> Result<(), Error> {
        let filter = key.iter().fold(Predicate::True, |filter, (name, part)| {
            filter.and(Predicate::eq(Expr::bare(&Ident::new(name)), Expr::value(*part)))
        });
        connection
            .execute(
                &Statement::Delete(Delete {
                    table: self.table(table),
                    filter,
                }),
                &[],
            )
            .map(|_| ())
    }
}
