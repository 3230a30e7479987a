//! Rows of Digest's counts that were used: a nonce and one of its counts (`nc`, RFC 7616 3.4), in hexadecimal, under a unique
//! key, until nobody takes the nonce any more. What a nonce is, and how long it lives, is decided elsewhere.

use super::{Own, OwnTable, idents};
use crate::sql::{
    Comparison, Connection, Delete, Error, Expr, Failure, Ident, Insert, OnConflict, Predicate, Statement,
};

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

    /// Forgets the counts whose time is over at `now` (microseconds since 1970); how many.
    pub fn tidy_digest_counts(&self, connection: &mut dyn Connection, now: i64) -> Result<u64, Error> {
        let filter = Predicate::Compare(Expr::bare(&Ident::new("expires_at")), Comparison::Le, Expr::value(now));
        let delete = Delete { table: self.table(OwnTable::DigestCounts), filter };
        connection.execute(&Statement::Delete(delete), &[])
    }
}
