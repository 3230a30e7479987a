//! What each identity server with a brake deactivated or deleted within the last hour, one row each, written in the transaction
//! that does it. The brake of many processes is one: whoever counts holds a claim of the server's name until it commits.

use super::{Own, OwnTable, T, column, idents};
use crate::sql::{
    Comparison, Connection, Delete, Error, Expr, Ident, Insert, OnConflict, Order, Predicate, Select, Statement, Value,
};

impl Own {
    /// Notes that `server` deactivates something `now`, unless it did so `most` times after `since`: then gives when the
    /// oldest of these was. Instants are microseconds since 1970. What is not after `since` is forgotten.
    pub fn count_deactivation(
        &self,
        connection: &mut dyn Connection,
        server: &str,
        (since, now): (i64, i64),
        most: u64,
    ) -> Result<Option<i64>, Error> {
        let of_server = |name: Expr| Predicate::eq(name, Expr::value(server));
        let mut select = Select::new(self.table(OwnTable::Deactivations), T, vec![column("at")]).filter(
            of_server(column("server")).and(Predicate::Compare(column("at"), Comparison::Gt, Expr::value(since))),
        );
        select.order = vec![Order { by: Expr::Known(Box::new(column("at"))), descending: true }];
        select.limit = Some(1);
        select.offset = Some(most.saturating_sub(1));
        let full = connection.query(&Statement::Select(select), &[])?;
        if let Some(row) = full.first() {
            return Ok(Some(row.0.first().and_then(Value::as_int).unwrap_or(now)));
        }
        let bare = |name: &str| Expr::bare(&Ident::new(name));
        let filter = of_server(bare("server")).and(Predicate::Compare(bare("at"), Comparison::Le, Expr::value(since)));
        let old = Delete { table: self.table(OwnTable::Deactivations), filter };
        connection.execute(&Statement::Delete(old), &[])?;
        let id = uuid::Uuid::new_v4().to_string();
        let insert = Insert {
            table: self.table(OwnTable::Deactivations),
            columns: idents(&["id", "server", "at"]),
            rows: vec![vec![Expr::value(id), Expr::value(server), Expr::value(now)]],
            on_conflict: OnConflict::Fail,
        };
        connection.execute(&Statement::Insert(insert), &[])?;
        Ok(None)
    }
}
