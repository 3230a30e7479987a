//! Claims: a row inserted and deleted within one transaction, as a mutex over a value that works across
//! processes and cluster nodes and blocks nobody else. The rows never outlive their transaction, so the
//! table is always empty to everybody else. SQLite needs none: there a transaction that writes excludes
//! every other.

use super::{Own, OwnTable, idents};
use crate::sql::{Connection, Delete, Dialect, Error, Expr, Ident, Insert, OnConflict, Predicate, Statement};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

impl Own {
    /// Claims values, each of a kind (`User.userName`), and waits for whoever holds one of them. They are
    /// taken in the same order by everybody: who claims all it needs at once never deadlocks by claims.
    pub fn claim(&self, connection: &mut dyn Connection, claims: &[(String, String)]) -> Result<(), Error> {
        let rows: Vec<Vec<Expr>> =
            hashed(claims).into_iter().map(|(kind, hash)| vec![Expr::value(kind), Expr::value(hash)]).collect();
        if self.dialect == Dialect::Sqlite || rows.is_empty() {
            return Ok(());
        }
        let insert = Insert {
            table: self.table(OwnTable::Claims),
            columns: idents(&["kind", "hash"]),
            rows,
            // An upsert, so that those who wait on MySQL wait for the exclusive lock: a plain insert
            // queues for the shared one, and two who get it deadlock. Claiming twice is fine.
            on_conflict: OnConflict::Update { key: idents(&["kind", "hash"]), columns: Vec::new() },
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    /// Deletes the claims in the transaction that made them; they stay in force until it ends.
    pub fn release(&self, connection: &mut dyn Connection, claims: &[(String, String)]) -> Result<(), Error> {
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        let mut kinds: BTreeMap<String, Vec<Expr>> = BTreeMap::new();
        for (kind, hash) in hashed(claims) {
            kinds.entry(kind).or_default().push(Expr::value(hash));
        }
        for (kind, hashes) in kinds {
            let filter = Predicate::eq(Expr::bare(&Ident::new("kind")), Expr::value(kind))
                .and(Predicate::In(Expr::bare(&Ident::new("hash")), hashes));
            let delete = Delete { table: self.table(OwnTable::Claims), filter };
            connection.execute(&Statement::Delete(delete), &[])?;
        }
        Ok(())
    }
}

fn hashed(claims: &[(String, String)]) -> BTreeSet<(String, String)> {
    claims
        .iter()
        .map(|(kind, value)| {
            let digest = Sha256::digest(value.as_bytes());
            (kind.clone(), digest.iter().map(|byte| format!("{byte:02x}")).collect())
        })
        .collect()
}
