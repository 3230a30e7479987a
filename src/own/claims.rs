//! Claims: a row inserted and deleted within one transaction, as a mutex over a value that works across
//! processes and cluster nodes and blocks nobody else. The rows never outlive their transaction, so the
//! table is always empty to everybody else.

use super::{Own, OwnTable, idents};
use crate::sql::{Connection, Delete, Dialect, Error, Expr, Ident, Insert, OnConflict, Predicate, Statement};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Claims that a transaction holds; to be [released](release) just before it commits.
#[derive(Debug, Default)]
#[must_use = "a claim that is not released stays in the table"]
pub struct Held(BTreeSet<(String, String)>);

/// Claims values, each of a kind (`User.userName`), and waits for whoever holds one of them. The order is
/// the same for everybody, so that claims alone never deadlock. On SQLite nothing is done: there a
/// transaction that writes excludes every other. A transaction must claim all it needs at once.
pub fn claim(own: &Own, connection: &mut dyn Connection, values: &[(&str, &str)]) -> Result<Held, Error> {
    let held: BTreeSet<_> = values
        .iter()
        .map(|(kind, value)| ((*kind).to_owned(), hash(value)))
        .collect();
    if own.dialect() == Dialect::Sqlite || held.is_empty() {
        return Ok(Held::default());
    }
    let insert = Insert {
        table: own.table(OwnTable::Claims),
        columns: idents(&["kind", "hash"]),
        rows: held
            .iter()
            .map(|(kind, hash)| vec![Expr::value(kind.as_str()), Expr::value(hash.as_str())])
            .collect(),
        // An upsert, so that those who wait on MySQL wait for the exclusive lock: a plain insert queues for
        // the shared one, and two who get it deadlock.
        on_conflict: OnConflict::Update {
            key: idents(&["kind", "hash"]),
            columns: Vec::new(),
        },
    };
    connection.execute(&Statement::Insert(insert), &[])?;
    Ok(Held(held))
}

/// Deletes the claims, in the transaction that made them; they stay in force until it ends.
pub fn release(own: &Own, connection: &mut dyn Connection, held: Held) -> Result<(), Error> {
    let mut kinds: BTreeMap<String, Vec<Expr>> = BTreeMap::new();
    for (kind, hash) in held.0 {
        kinds.entry(kind).or_default().push(Expr::value(hash));
    }
    for (kind, hashes) in kinds {
        let delete = Delete {
            table: own.table(OwnTable::Claims),
            filter: Predicate::eq(Expr::bare(&Ident::new("kind")), Expr::value(kind))
                .and(Predicate::In(Expr::bare(&Ident::new("hash")), hashes)),
        };
        connection.execute(&Statement::Delete(delete), &[])?;
    }
    Ok(())
}

fn hash(value: &str) -> String {
    Sha256::digest(value.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
