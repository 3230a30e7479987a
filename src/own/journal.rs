//! The journal: requests, and the rows they changed. What is written here was made ready above: values are JSON, and nothing
//! secret is among them.
//!
//! A request that changed something stands here because its transaction wrote it here too. `at` is when it came, in
//! microseconds since 1970, `duration` in microseconds.

use super::{Own, OwnTable, Reader, T, column, idents, maybe, maybe_text};
use crate::sql::{
    Comparison, Connection, Delete, Error, Expr, Ident, Insert, OnConflict, Order, Predicate, Select, Statement,
    Update, Value,
};

/// The most rows of one INSERT, and about the most bytes of their values: MySQL refuses what is longer than its
/// `max_allowed_packet` (16 MiB by default).
const MOST_ROWS: usize = 200;
const MOST_BYTES: usize = 1 << 20;
/// Rows of the journal that one transaction deletes.
const BATCH: u64 = 1000;

/// The status of a request that was only tried: it came to nothing, whatever its client was told.
pub const DRY_RUN: i64 = 0;

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestRow {
    /// The request id; that of an operation of a bulk request has its number behind it.
    pub id: String,
    /// The id that a proxy gave it, which answers and logs show then. It need not be the only one of that id.
    pub given: Option<String>,
    /// The bulk request that it was part of.
    pub parent: Option<String>,
    /// When it came.
    pub at: i64,
    /// The identity server.
    pub server: String,
    /// `PATCH`.
    pub method: String,
    /// `/Users/{id}`.
    pub route: String,
    /// What it was about.
    pub resource_type: Option<String>,
    /// Its id, for a create the one it got.
    pub resource_id: Option<String>,
    /// What it came to: an HTTP status, or [`DRY_RUN`].
    pub status: i64,
    /// What the client was told, where that is something else: it hung up (499), its time was over (503), it was a dry run.
    pub answered: Option<i64>,
    /// RFC 7644 3.12.
    pub scim_type: Option<String>,
    /// Why it was refused.
    pub detail: Option<String>,
    /// How many rows it changed.
    pub changes: i64,
    /// By which credential it came: a token's id, a user's name.
    pub credential: Option<String>,
    /// What kind of credential that is.
    pub credential_kind: Option<String>,
    /// The application's user in whose name it was done.
    pub acting_user: Option<String>,
    /// The client's address.
    pub client: Option<String>,
    /// How long it took.
    pub duration: i64,
    /// What stood behind the `?`.
    pub query: Option<String>,
    /// Its body.
    pub request: Option<String>,
    /// The answer's body.
    pub answer: Option<String>,
}

const REQUEST: [&str; 22] = [
    "id",
    "given_id",
    "parent",
    "at",
    "server",
    "method",
    "route",
    "resource_type",
    "resource_id",
    "status",
    "answered",
    "scim_type",
    "detail",
    "changes",
    "credential",
    "credential_kind",
    "acting_user",
    "client",
    "duration",
    "query",
    "request",
    "answer",
];

/// One row that a request changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    /// The request.
    pub request: String,
    /// Its place among the request's changes, from 1; they are undone in the opposite order.
    pub number: i64,
    /// Schema or database of its table, where that is not the connection's own.
    pub table_schema: Option<String>,
    /// Its table.
    pub table_name: String,
    /// `insert`, `update` or `delete`.
    pub operation: String,
    /// The columns of its key, a JSON object; all columns of a table that has none.
    pub key: String,
    /// Columns before, a JSON object; none for an insert.
    pub before: Option<String>,
    /// Columns afterwards, a JSON object; none for a delete.
    pub after: Option<String>,
}

const CHANGE: [&str; 8] =
    ["request", "number", "table_schema", "table_name", "operation", "row_key", "columns_before", "columns_after"];

/// Which requests are asked for.
#[derive(Clone, Debug, Default)]
pub struct JournalFilter {
    /// Of this identity server.
    pub server: Option<String>,
    /// About the resource of this id, of this type where one is given.
    pub resource: Option<(Option<String>, String)>,
    /// That came then or later.
    pub since: Option<i64>,
    /// This one, and what is part of it.
    pub request: Option<String>,
    /// That changed something.
    pub changing: bool,
}

impl Own {
    /// Writes requests. Inside the transaction of what they did, where they did something.
    pub fn journal(
        &self,
        connection: &mut dyn Connection,
        requests: &[RequestRow],
        changes: &[ChangeRow],
    ) -> Result<(), Error> {
        let rows = requests.iter().map(|row| row.values().into_iter().map(|value| Expr::Value(value, None)).collect());
        self.in_parts(connection, OwnTable::Requests, &REQUEST, rows)?;
        let rows = changes.iter().map(|row| row.values().into_iter().map(|value| Expr::Value(value, None)).collect());
        self.in_parts(connection, OwnTable::Changes, &CHANGE, rows)
    }

    fn in_parts(
        &self,
        connection: &mut dyn Connection,
        table: OwnTable,
        columns: &[&str],
        rows: impl Iterator<Item = Vec<Expr>>,
    ) -> Result<(), Error> {
        let mut rows = rows.peekable();
        while rows.peek().is_some() {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next_if(|row| part.is_empty() || bytes + size(row) <= MOST_BYTES) {
                bytes += size(&row);
                part.push(row);
                if part.len() >= MOST_ROWS {
                    break;
                }
            }
            let insert = Insert {
                table: self.table(table),
                columns: idents(columns),
                rows: part,
                on_conflict: OnConflict::Fail,
            };
            connection.execute(&Statement::Insert(insert), &[])?;
        }
        Ok(())
    }

    /// Notes what the client was told of a request that stands in the journal; false where it does not.
    pub fn journal_told(&self, connection: &mut dyn Connection, id: &str, status: i64) -> Result<bool, Error> {
        let update = Update {
            table: self.table(OwnTable::Requests),
            set: vec![(Ident::new("answered"), Expr::value(status))],
            filter: Predicate::eq(Expr::bare(&Ident::new("id")), Expr::value(id)),
        };
        Ok(connection.execute(&Statement::Update(update), &[])? > 0)
    }

    /// Requests that meet a filter, the newest first, at most so many.
    pub fn journalled(
        &self,
        connection: &mut dyn Connection,
        filter: &JournalFilter,
        limit: u64,
    ) -> Result<Vec<RequestRow>, Error> {
        let columns = REQUEST.map(column).to_vec();
        let mut select = Select::new(self.table(OwnTable::Requests), T, columns).filter(filter.predicate());
        select.order =
            ["at", "id"].map(|name| Order { by: Expr::Known(Box::new(column(name))), descending: true }).to_vec();
        select.limit = Some(limit);
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.into_iter().map(|row| RequestRow::of(Reader::new(row))).collect())
    }

    /// The ids of the requests that meet a filter, in no order.
    pub fn journalled_ids(
        &self,
        connection: &mut dyn Connection,
        filter: &JournalFilter,
    ) -> Result<Vec<String>, Error> {
        let select = Select::new(self.table(OwnTable::Requests), T, vec![column("id")]).filter(filter.predicate());
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.into_iter().map(|row| Reader::new(row).text()).collect())
    }

    /// Requests by their ids, the oldest first.
    pub fn journalled_by_id(&self, connection: &mut dyn Connection, ids: &[String]) -> Result<Vec<RequestRow>, Error> {
        let mut found = Vec::with_capacity(ids.len());
        for part in ids.chunks(MOST_ROWS) {
            let among = Predicate::In(column("id"), part.iter().map(|id| Expr::value(id.as_str())).collect());
            let select = Select::new(self.table(OwnTable::Requests), T, REQUEST.map(column).to_vec()).filter(among);
            let rows = connection.query(&Statement::Select(select), &[])?;
            found.extend(rows.into_iter().map(|row| RequestRow::of(Reader::new(row))));
        }
        found.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        Ok(found)
    }

    /// What a request changed, from the change after `behind` on (0: the first), at most so many.
    pub fn changes(
        &self,
        connection: &mut dyn Connection,
        request: &str,
        behind: i64,
        limit: u64,
    ) -> Result<Vec<ChangeRow>, Error> {
        let filter = Predicate::eq(column("request"), Expr::value(request)).and(Predicate::Compare(
            column("number"),
            Comparison::Gt,
            Expr::value(behind),
        ));
        let mut select = Select::new(self.table(OwnTable::Changes), T, CHANGE.map(column).to_vec()).filter(filter);
        select.order = vec![Order { by: Expr::Known(Box::new(column("number"))), descending: false }];
        select.limit = Some(limit);
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.into_iter().map(|row| ChangeRow::of(Reader::new(row))).collect())
    }

    /// Deletes requests that came before `before`, as many as one transaction should; how many there were, and whether there
    /// may be more. A request of very many changes takes several calls, its changes going first, the last of them first.
    pub fn prune_journal(&self, connection: &mut dyn Connection, before: i64) -> Result<(u64, bool), Error> {
        let old = Predicate::Compare(column("at"), Comparison::Lt, Expr::value(before));
        let mut select =
            Select::new(self.table(OwnTable::Requests), T, vec![column("id"), column("changes")]).filter(old);
        select.order = vec![Order { by: Expr::Known(Box::new(column("at"))), descending: false }];
        select.limit = Some(BATCH);
        let (mut ids, mut rows) = (Vec::new(), 0);
        for found in connection.query(&Statement::Select(select), &[])? {
            let mut found = Reader::new(found);
            let (id, changes) = (found.text(), u64::try_from(found.int()).unwrap_or(0));
            if changes > BATCH && ids.is_empty() {
                let left = self.highest_change(connection, &id)?;
                if left > BATCH {
                    self.cut_changes(connection, &id, left - BATCH)?;
                    return Ok((0, true));
                }
            }
            rows += 1 + changes.min(BATCH);
            if rows > BATCH && !ids.is_empty() {
                break;
            }
            ids.push(Expr::value(id));
        }
        let count = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        if ids.is_empty() {
            return Ok((0, false));
        }
        for (table, name) in [(OwnTable::Changes, "request"), (OwnTable::Requests, "id")] {
            let filter = Predicate::In(Expr::bare(&Ident::new(name)), ids.clone());
            connection.execute(&Statement::Delete(Delete { table: self.table(table), filter }), &[])?;
        }
        Ok((count, true))
    }

    fn highest_change(&self, connection: &mut dyn Connection, request: &str) -> Result<u64, Error> {
        let filter = Predicate::eq(column("request"), Expr::value(request));
        let mut select = Select::new(self.table(OwnTable::Changes), T, vec![column("number")]).filter(filter);
        select.order = vec![Order { by: Expr::Known(Box::new(column("number"))), descending: true }];
        select.limit = Some(1);
        let rows = connection.query(&Statement::Select(select), &[])?;
        let highest = rows.into_iter().next().map_or(0, |row| Reader::new(row).int());
        Ok(u64::try_from(highest).unwrap_or(0))
    }

    fn cut_changes(&self, connection: &mut dyn Connection, request: &str, behind: u64) -> Result<(), Error> {
        let behind = i64::try_from(behind).unwrap_or(i64::MAX);
        let filter = Predicate::eq(Expr::bare(&Ident::new("request")), Expr::value(request)).and(Predicate::Compare(
            Expr::bare(&Ident::new("number")),
            Comparison::Gt,
            Expr::value(behind),
        ));
        let delete = Delete { table: self.table(OwnTable::Changes), filter };
        connection.execute(&Statement::Delete(delete), &[]).map(|_| ())
    }

    /// Takes, or goes on with, a lease until `until`, both in microseconds since 1970; false where another holds it now.
    pub fn lease(
        &self,
        connection: &mut dyn Connection,
        name: &str,
        holder: &str,
        now: i64,
        until: i64,
    ) -> Result<bool, Error> {
        let bare = |name: &str| Expr::bare(&Ident::new(name));
        let free = Predicate::eq(bare("holder"), Expr::value(holder)).or(Predicate::Compare(
            bare("until"),
            Comparison::Lt,
            Expr::value(now),
        ));
        let update = Update {
            table: self.table(OwnTable::Leases),
            set: vec![(Ident::new("holder"), Expr::value(holder)), (Ident::new("until"), Expr::value(until))],
            filter: Predicate::eq(bare("name"), Expr::value(name)).and(free),
        };
        if connection.execute(&Statement::Update(update), &[])? > 0 {
            return Ok(true);
        }
        let known = Select::new(self.table(OwnTable::Leases), T, vec![column("holder")])
            .filter(Predicate::eq(column("name"), Expr::value(name)));
        if !connection.query(&Statement::Select(known), &[])?.is_empty() {
            return Ok(false);
        }
        let insert = Insert {
            table: self.table(OwnTable::Leases),
            columns: idents(&["name", "holder", "until"]),
            rows: vec![vec![Expr::value(name), Expr::value(holder), Expr::value(until)]],
            on_conflict: OnConflict::Fail,
        };
        // Of two that do so at once the other fails, and looks again later.
        connection.execute(&Statement::Insert(insert), &[]).map(|_| true)
    }
}

impl JournalFilter {
    fn predicate(&self) -> Predicate {
        let mut all = Predicate::True;
        if let Some(server) = &self.server {
            all = all.and(Predicate::eq(column("server"), Expr::value(server.as_str())));
        }
        if let Some((type_, id)) = &self.resource {
            all = all.and(Predicate::eq(column("resource_id"), Expr::value(id.as_str())));
            if let Some(type_) = type_ {
                all = all.and(Predicate::eq(column("resource_type"), Expr::value(type_.as_str())));
            }
        }
        if let Some(since) = self.since {
            all = all.and(Predicate::Compare(column("at"), Comparison::Ge, Expr::value(since)));
        }
        if let Some(request) = &self.request {
            let own = Predicate::eq(column("id"), Expr::value(request.as_str()));
            let other = |name: &str| Predicate::eq(column(name), Expr::value(request.as_str()));
            all = all.and(own.or(other("parent")).or(other("given_id")));
        }
        if self.changing {
            all = all.and(Predicate::Compare(column("changes"), Comparison::Gt, Expr::value(0)));
        }
        all
    }
}

impl RequestRow {
    /// In the order of [`REQUEST`].
    fn values(&self) -> Vec<Value> {
        // PostgreSQL takes no NUL in text.
        let plain = |text: &str| Value::Text(text.replace('\0', "\u{fffd}"));
        let text = |value: &Option<String>| value.as_deref().map_or(Value::Null, plain);
        // A column that is too short must not keep a request from being journalled.
        let short =
            |value: &Option<String>, most: usize| value.as_deref().map_or(Value::Null, |text| plain(cut(text, most)));
        vec![
            Value::from(self.id.as_str()),
            short(&self.given, 64),
            text(&self.parent),
            Value::Int(self.at),
            Value::from(self.server.as_str()),
            plain(cut(&self.method, 16)),
            plain(cut(&self.route, 191)),
            short(&self.resource_type, 128),
            short(&self.resource_id, 191),
            Value::Int(self.status),
            maybe(self.answered),
            short(&self.scim_type, 32),
            text(&self.detail),
            Value::Int(self.changes),
            short(&self.credential, 255),
            short(&self.credential_kind, 16),
            short(&self.acting_user, 255),
            short(&self.client, 64),
            Value::Int(self.duration),
            text(&self.query),
            text(&self.request),
            text(&self.answer),
        ]
    }

    fn of(mut row: Reader) -> Self {
        Self {
            id: row.text(),
            given: row.maybe_text(),
            parent: row.maybe_text(),
            at: row.int(),
            server: row.text(),
            method: row.text(),
            route: row.text(),
            resource_type: row.maybe_text(),
            resource_id: row.maybe_text(),
            status: row.int(),
            answered: row.maybe_int(),
            scim_type: row.maybe_text(),
            detail: row.maybe_text(),
            changes: row.int(),
            credential: row.maybe_text(),
            credential_kind: row.maybe_text(),
            acting_user: row.maybe_text(),
            client: row.maybe_text(),
            duration: row.int(),
            query: row.maybe_text(),
            request: row.maybe_text(),
            answer: row.maybe_text(),
        }
    }
}

impl ChangeRow {
    /// In the order of [`CHANGE`].
    fn values(&self) -> Vec<Value> {
        vec![
            Value::from(self.request.as_str()),
            Value::Int(self.number),
            maybe_text(self.table_schema.as_deref()),
            Value::from(self.table_name.as_str()),
            Value::from(self.operation.as_str()),
            Value::from(self.key.as_str()),
            maybe_text(self.before.as_deref()),
            maybe_text(self.after.as_deref()),
        ]
    }

    fn of(mut row: Reader) -> Self {
        Self {
            request: row.text(),
            number: row.int(),
            table_schema: row.maybe_text(),
            table_name: row.text(),
            operation: row.text(),
            key: row.text(),
            before: row.maybe_text(),
            after: row.maybe_text(),
        }
    }
}

fn size(row: &[Expr]) -> usize {
    row.iter().map(|value| if let Expr::Value(Value::Text(text), _) = value { text.len() } else { 8 }).sum()
}

fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}
