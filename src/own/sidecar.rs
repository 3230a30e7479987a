//! What belongs to resources but has no place in the application's tables: externalId per identity server
//! (RFC 7643 section 3.1: it is the client's own), values that no column holds, and tombstones. Everything
//! is addressed by resource type and id; what it means is decided above.

use super::{Own, OwnTable, Reader, T, column, idents};
use crate::sql::{Connection, Delete, Error, Expr, Ident, Insert, OnConflict, Predicate, Select, Statement, Union};
use chrono::Utc;
use std::collections::HashMap;

/// The tables whose rows belong to one resource each.
const OF_RESOURCES: [OwnTable; 4] = [OwnTable::Links, OwnTable::Sidecar, OwnTable::Tombstones, OwnTable::Identities];

/// A resource that is gone although its row stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The identity server that deleted it.
    pub server: String,
    /// Microseconds since 1970, UTC.
    pub created_at: i64,
    /// Why, for people.
    pub reason: String,
}

impl Own {
    /// The externalIds that `server` gave these resources, by resource id.
    pub fn external_ids(
        &self,
        connection: &mut dyn Connection,
        server: &str,
        resource_type: &str,
        ids: &[String],
    ) -> Result<HashMap<String, String>, Error> {
        let filter = Predicate::eq(column("server"), Expr::value(server)).and(among(resource_type, ids));
        let rows = self.read(connection, OwnTable::Links, &["resource_id", "external_id"], filter, ids.is_empty())?;
        Ok(rows.into_iter().map(|mut row| (row.text(), row.text())).collect())
    }

    /// Whether any identity server gave this resource an externalId.
    pub fn is_linked(&self, connection: &mut dyn Connection, resource_type: &str, id: &str) -> Result<bool, Error> {
        let ids = [id.to_owned()];
        let rows = self.read(connection, OwnTable::Links, &["server"], among(resource_type, &ids), false)?;
        Ok(!rows.is_empty())
    }

    /// The resource that `server` calls by this externalId.
    pub fn find_external_id(
        &self,
        connection: &mut dyn Connection,
        server: &str,
        resource_type: &str,
        external_id: &str,
    ) -> Result<Option<String>, Error> {
        let filter = Predicate::And(vec![
            Predicate::eq(column("server"), Expr::value(server)),
            Predicate::eq(column("resource_type"), Expr::value(resource_type)),
            Predicate::eq(column("external_id"), Expr::value(external_id)),
        ]);
        let rows = self.read(connection, OwnTable::Links, &["resource_id"], filter, false)?;
        Ok(rows.into_iter().next().map(|mut row| row.text()))
    }

    /// Sets or, with `None`, takes away the externalId that `server` gave a resource.
    pub fn set_external_id(
        &self,
        connection: &mut dyn Connection,
        server: &str,
        resource_type: &str,
        id: &str,
        external_id: Option<&str>,
    ) -> Result<(), Error> {
        let table = self.table(OwnTable::Links);
        let filter = equals(&[("server", server), ("resource_type", resource_type), ("resource_id", id)]);
        let Some(external_id) = external_id else {
            return connection.execute(&Statement::Delete(Delete { table, filter }), &[]).map(|_| ());
        };
        let insert = Insert {
            table,
            columns: idents(&["server", "resource_type", "resource_id", "external_id"]),
            rows: vec![[server, resource_type, id, external_id].map(Expr::value).to_vec()],
            on_conflict: OnConflict::Update {
                key: idents(&["server", "resource_type", "resource_id"]),
                columns: idents(&["external_id"]),
            },
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    /// The sidecar documents of these resources, JSON text by resource id.
    pub fn documents(
        &self,
        connection: &mut dyn Connection,
        resource_type: &str,
        ids: &[String],
    ) -> Result<HashMap<String, String>, Error> {
        let columns = ["resource_id", "document"];
        let rows = self.read(connection, OwnTable::Sidecar, &columns, among(resource_type, ids), ids.is_empty())?;
        Ok(rows.into_iter().map(|mut row| (row.text(), row.text())).collect())
    }

    /// Sets or, with `None`, takes away a resource's sidecar document.
    pub fn set_document(
        &self,
        connection: &mut dyn Connection,
        resource_type: &str,
        id: &str,
        document: Option<&str>,
    ) -> Result<(), Error> {
        let table = self.table(OwnTable::Sidecar);
        let Some(document) = document else {
            let filter = equals(&[("resource_type", resource_type), ("resource_id", id)]);
            return connection.execute(&Statement::Delete(Delete { table, filter }), &[]).map(|_| ());
        };
        let insert = Insert {
            table,
            columns: idents(&["resource_type", "resource_id", "document"]),
            rows: vec![[resource_type, id, document].map(Expr::value).to_vec()],
            on_conflict: OnConflict::Update {
                key: idents(&["resource_type", "resource_id"]),
                columns: idents(&["document"]),
            },
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    /// The tombstones among these resources, by resource id.
    pub fn tombstones(
        &self,
        connection: &mut dyn Connection,
        resource_type: &str,
        ids: &[String],
    ) -> Result<HashMap<String, Tombstone>, Error> {
        let columns = ["resource_id", "server", "created_at", "reason"];
        let rows = self.read(connection, OwnTable::Tombstones, &columns, among(resource_type, ids), ids.is_empty())?;
        Ok(rows
            .into_iter()
            .map(|mut row| (row.text(), Tombstone { server: row.text(), created_at: row.int(), reason: row.text() }))
            .collect())
    }

    /// Marks a resource as gone; one that is gone already is marked anew. A long reason is cut.
    pub fn add_tombstone(
        &self,
        connection: &mut dyn Connection,
        resource_type: &str,
        id: &str,
        server: &str,
        reason: &str,
    ) -> Result<(), Error> {
        let reason: String = reason.chars().take(255).collect();
        let insert = Insert {
            table: self.table(OwnTable::Tombstones),
            columns: idents(&["resource_type", "resource_id", "server", "created_at", "reason"]),
            rows: vec![vec![
                Expr::value(resource_type),
                Expr::value(id),
                Expr::value(server),
                Expr::value(Utc::now().timestamp_micros()),
                Expr::value(reason),
            ]],
            on_conflict: OnConflict::Update {
                key: idents(&["resource_type", "resource_id"]),
                columns: idents(&["server", "created_at", "reason"]),
            },
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    /// What a resource's row is remembered by; `None` where it is not.
    pub fn identity(
        &self,
        connection: &mut dyn Connection,
        resource_type: &str,
        id: &str,
    ) -> Result<Option<String>, Error> {
        let ids = [id.to_owned()];
        let rows = self.read(connection, OwnTable::Identities, &["identity"], among(resource_type, &ids), false)?;
        Ok(rows.into_iter().next().map(|mut row| row.text()))
    }

    /// Whether anything is kept for a resource: an externalId, a document, a tombstone, who it is.
    pub fn is_known(&self, connection: &mut dyn Connection, resource_type: &str, id: &str) -> Result<bool, Error> {
        let ids = [id.to_owned()];
        let of = |table| {
            let select = Select::new(self.table(table), T, vec![Expr::Number(1)]);
            select.filter(among(resource_type, &ids))
        };
        let selects = OF_RESOURCES.map(of).to_vec();
        let any = Union { selects, order: Vec::new(), limit: Some(1), offset: None };
        Ok(!connection.query(&Statement::Union(any), &[])?.is_empty())
    }

    /// Remembers what a resource's row is known by.
    pub fn set_identity(
        &self,
        connection: &mut dyn Connection,
        resource_type: &str,
        id: &str,
        identity: &str,
    ) -> Result<(), Error> {
        let insert = Insert {
            table: self.table(OwnTable::Identities),
            columns: idents(&["resource_type", "resource_id", "identity"]),
            rows: vec![[resource_type, id, identity].map(Expr::value).to_vec()],
            on_conflict: OnConflict::Update {
                key: idents(&["resource_type", "resource_id"]),
                columns: idents(&["identity"]),
            },
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    /// Takes a resource's tombstone away; false where there is none.
    pub fn remove_tombstone(
        &self,
        connection: &mut dyn Connection,
        resource_type: &str,
        id: &str,
    ) -> Result<bool, Error> {
        let filter = equals(&[("resource_type", resource_type), ("resource_id", id)]);
        let delete = Delete { table: self.table(OwnTable::Tombstones), filter };
        Ok(connection.execute(&Statement::Delete(delete), &[])? > 0)
    }

    /// Forgets everything about a resource whose row is deleted: the externalIds of every identity
    /// server, its document, its tombstone, who it was.
    pub fn forget(&self, connection: &mut dyn Connection, resource_type: &str, id: &str) -> Result<(), Error> {
        self.forget_all(connection, resource_type, &[id.to_owned()])
    }

    /// The same for several resources, in as many statements as for one.
    pub fn forget_all(
        &self,
        connection: &mut dyn Connection,
        resource_type: &str,
        ids: &[String],
    ) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        for table in OF_RESOURCES {
            let filter = equals(&[("resource_type", resource_type)])
                .and(Predicate::In(Expr::bare(&Ident::new("resource_id")), values(ids)));
            connection.execute(&Statement::Delete(Delete { table: self.table(table), filter }), &[])?;
        }
        Ok(())
    }

    /// Rows of one own table; without asking where `nothing` can be found.
    fn read(
        &self,
        connection: &mut dyn Connection,
        table: OwnTable,
        columns: &[&str],
        filter: Predicate,
        nothing: bool,
    ) -> Result<Vec<Reader>, Error> {
        if nothing {
            return Ok(Vec::new());
        }
        let columns = columns.iter().map(|name| column(name)).collect();
        let select = Select::new(self.table(table), T, columns).filter(filter);
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.into_iter().map(Reader::new).collect())
    }
}

fn values(ids: &[String]) -> Vec<Expr> {
    ids.iter().map(|id| Expr::value(id.as_str())).collect()
}

fn among(resource_type: &str, ids: &[String]) -> Predicate {
    let one_type = Predicate::eq(column("resource_type"), Expr::value(resource_type));
    match ids {
        [only] => one_type.and(Predicate::eq(column("resource_id"), Expr::value(only.as_str()))),
        _ => one_type.and(Predicate::In(column("resource_id"), values(ids))),
    }
}

fn equals(columns: &[(&str, &str)]) -> Predicate {
    let all = columns.iter().map(|(name, value)| Predicate::eq(Expr::bare(&Ident::new(name)), Expr::value(*value)));
    Predicate::And(all.collect())
}
