//! Claims: rows inserted and deleted within one transaction, which makes each a mutex that works across
//! processes and blocks nobody who claims something else.

use super::{Own, OwnTable};
use crate::sql::{Connection, Delete, Dialect, Error, Expr, Ident, Insert, OnConflict, Predicate, Statement, Value};
use sha2::{Digest, Sha256};

impl Own {
    /// Claims values, each of a kind; waits while another transaction holds one of them.
    pub fn claim(&self, connection: &mut dyn Connection, claims: &[(String, String)]) -> Result<(), Error> {
        // BEGIN IMMEDIATE lets one writer in at a time as it is.
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        for (kind, hash) in sorted(claims) {
            // The upsert form: a waiter then takes the exclusive lock at once, where a plain insert would
            // take a shared one first and two waiters would deadlock.
            let insert = Insert {
                table: self.table(OwnTable::Claims),
                columns: vec![Ident::new("kind"), Ident::new("hash")],
                rows: vec![vec![Expr::value(kind), Expr::value(hash)]],
                on_conflict: OnConflict::Update {
                    key: vec![Ident::new("kind"), Ident::new("hash")],
                    columns: Vec::new(),
                },
            };
            connection.execute(&Statement::Insert(insert), &[])?;
        }
        Ok(())
    }

    /// Deletes the claims of this transaction; others get in when it commits.
    pub fn release(&self, connection: &mut dyn Connection, claims: &[(String, String)]) -> Result<(), Error> {
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        for (kind, hash) in sorted(claims) {
            let filter = Predicate::eq(Expr::bare(&Ident::new("kind")), Expr::value(kind))
                .and(Predicate::eq(Expr::bare(&Ident::new("hash")), Expr::value(hash)));
            connection.execute(
                &Statement::Delete(Delete {
                    table: self.table(OwnTable::Claims),
                    filter,
                }),
                &[],
            )?;
        }
        Ok(())
    }
}

/// In one order for everybody, so that two who claim the same never wait for each other.
fn sorted(claims: &[(String, String)]) -> Vec<(Value, Value)> {
    let mut hashed: Vec<(String, String)> = claims
        .iter()
        .map(|(kind, value)| {
            let digest = Sha256::digest(value.as_bytes());
            (kind.clone(), digest.iter().map(|byte| format!("{byte:02x}")).collect())
        })
        .collect();
    hashed.sort();
    hashed.dedup();
    hashed
        .into_iter()
        .map(|(kind, hash)| (Value::Text(kind), Value::Text(hash)))
        .collect()
}
