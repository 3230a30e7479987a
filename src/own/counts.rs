//! Rows of Digest's counts that were used: a nonce and one of its counts (`nc`, RFC 7616 3.4), in hexadecimal, under a unique
//! key, until nobody takes the nonce any more. What a nonce is, and how long it lives, is decided elsewhere.

use super::{Own, OwnTable, Reader, T, column, idents};
use crate::sql::{
    Comparison, Connection, Delete, Error, Expr, Failure, Ident, Insert, OnConflict, Order, Predicate, Select,
    Statement,
};

/// Rows that one transaction deletes, about.
const BATCH: u64 = 1000;

impl Own {
    /// Notes that a count of a nonce (at most 32 characters) is used, until `expires_at` (microseconds since 1970); false where
    /// it was used before. One statement, to be run outside a transaction: it commits by itself.
    pub fn use_digest_count(
        &self,
        connection: &mut dyn Connection,
        nonce: &str,
        nc: u32,
        expires_at: i64,
    ) -> Result<bool, Error> {
        let row = vec![Expr::value(nonce), Expr::value(format!("{nc:08x}")), Expr::value(expires_at)];
        let insert = Insert {
            table: self.table(OwnTable::DigestCounts),
            columns: idents(&["nonce", "nc", "expires_at"]),
            rows: vec![row],
            on_conflict: OnConflict::Fail,
        };
        match connection.execute(&Statement::Insert(insert), &[]) {
            Ok(_) => Ok(true),
            Err(error) if error.failure == Failure::Unique => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Forgets the counts whose time is over at `now` (microseconds since 1970), as many as one transaction should; how many, and
    /// whether there may be more. Those of one nonce end together, and go together.
    pub fn tidy_digest_counts(&self, connection: &mut dyn Connection, now: i64) -> Result<(u64, bool), Error> {
        let over = |until: Expr, now: i64| Predicate::Compare(until, Comparison::Le, Expr::value(now));
        let table = self.table(OwnTable::DigestCounts);
        let mut last =
            Select::new(table.clone(), T, vec![column("expires_at")]).filter(over(column("expires_at"), now));
        last.order = vec![Order { by: Expr::Known(Box::new(column("expires_at"))), descending: false }];
        last.limit = Some(1);
        last.offset = Some(BATCH - 1);
        let last =
            connection.query(&Statement::Select(last), &[])?.into_iter().next().map(|row| Reader::new(row).int());
        let filter = over(Expr::bare(&Ident::new("expires_at")), last.unwrap_or(now));
        let deleted = connection.execute(&Statement::Delete(Delete { table, filter }), &[])?;
        Ok((deleted, last.is_some()))
    }
}
