//! Rows of OAuth: what a client was allowed (a grant), and the codes and tokens that it got for it. Of a code or token only
//! the SHA-256 is stored. A grant that ends takes its codes and tokens along, and there is nothing to mark: what is not here
//! opens nothing. What a code is good for is decided elsewhere.
//!
//! Who changes the codes or tokens of a grant locks its row first, so that two uses of one code are one after the other.

use super::{Own, OwnTable, Reader, T, column, idents, maybe};
use crate::sql::{
    Alias, Comparison, Connection, Delete, Error, Expr, Ident, Insert, Join, JoinKind, Lock, OnConflict, Order,
    Predicate, Row, Select, Statement, Update, Value,
};

/// What a client was allowed, by whom. Instants are microseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthGrant {
    /// Short, for people: what `token revoke` takes.
    pub id: String,
    /// The identity server.
    pub server: String,
    /// The client's id.
    pub client: String,
    /// The administrator who agreed; empty where the client speaks for itself.
    pub subject: String,
    /// Scopes, with spaces between them.
    pub scope: String,
    /// When it was given.
    pub created_at: i64,
    /// When nothing of it lives any more.
    pub expires_at: i64,
    /// When it was last seen, to within minutes.
    pub last_used_at: Option<i64>,
}

/// What a row of `oauth_tokens` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OauthKind {
    /// An authorization code.
    Code,
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
    /// What is good once and was used: a form that was sent, an assertion.
    Spent,
}

impl OauthKind {
    fn word(self) -> &'static str {
        match self {
            OauthKind::Code => "code",
            OauthKind::Access => "access",
            OauthKind::Refresh => "refresh",
            OauthKind::Spent => "spent",
        }
    }

    fn of(word: &str) -> Option<Self> {
        [Self::Code, Self::Access, Self::Refresh, Self::Spent].into_iter().find(|kind| kind.word() == word)
    }
}

/// One code or token. Instants are microseconds since 1970, UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthToken {
    /// SHA-256, in lower-case hex.
    pub hash: String,
    /// What it is.
    pub kind: OauthKind,
    /// The grant it belongs to; empty for what is spent.
    pub grant: String,
    /// Scopes, with spaces between them: the grant's or fewer.
    pub scope: String,
    /// Of a code: the redirect_uri of its request, if that named one.
    pub redirect_uri: Option<String>,
    /// Of a code: its PKCE challenge.
    pub challenge: Option<String>,
    /// When it was made.
    pub created_at: i64,
    /// When it ends, or when the memory of it does.
    pub expires_at: i64,
    /// When a code or refresh token was used: it is good once.
    pub used_at: Option<i64>,
}

const GRANT: [&str; 8] = ["id", "server", "client", "subject", "scope", "created_at", "expires_at", "last_used_at"];
const TOKEN: [&str; 9] =
    ["hash", "kind", "grant_id", "scope", "redirect_uri", "challenge", "created_at", "expires_at", "used_at"];
/// The grant's alias beside a token's.
const G: Alias = Alias(1);

impl OauthGrant {
    fn read(row: &mut Reader) -> Self {
        Self {
            id: row.text(),
            server: row.text(),
            client: row.text(),
            subject: row.text(),
            scope: row.text(),
            created_at: row.int(),
            expires_at: row.int(),
            last_used_at: row.maybe_int(),
        }
    }
}

impl OauthToken {
    /// `None` for a kind that this version does not know.
    fn read(row: &mut Reader) -> Option<Self> {
        let hash = row.text();
        let kind = OauthKind::of(&row.text());
        let (grant, scope) = (row.text(), row.text());
        let (redirect_uri, challenge) = (row.value().to_text(), row.value().to_text());
        let (created_at, expires_at, used_at) = (row.int(), row.int(), row.maybe_int());
        Some(Self { hash, kind: kind?, grant, scope, redirect_uri, challenge, created_at, expires_at, used_at })
    }
}

impl Own {
    /// Stores a grant. One of the same id stays, and is good until `expires_at` at least as the new one says.
    pub fn put_oauth_grant(&self, connection: &mut dyn Connection, grant: &OauthGrant) -> Result<(), Error> {
        let row = vec![
            Expr::value(grant.id.as_str()),
            Expr::value(grant.server.as_str()),
            Expr::value(grant.client.as_str()),
            Expr::value(grant.subject.as_str()),
            Expr::value(grant.scope.as_str()),
            Expr::value(grant.created_at),
            Expr::value(grant.expires_at),
            Expr::value(maybe(grant.last_used_at)),
        ];
        let insert = Insert {
            table: self.table(OwnTable::OauthGrants),
            columns: idents(&GRANT),
            rows: vec![row],
            on_conflict: OnConflict::Update { key: idents(&["id"]), columns: idents(&["expires_at"]) },
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    /// Stores a code or token; [`crate::sql::Failure::Unique`] where one of this hash is there.
    pub fn insert_oauth_token(&self, connection: &mut dyn Connection, token: &OauthToken) -> Result<(), Error> {
        let text = |text: &Option<String>| Expr::value(text.as_deref().map(Value::from).unwrap_or_default());
        let row = vec![
            Expr::value(token.hash.as_str()),
            Expr::value(token.kind.word()),
            Expr::value(token.grant.as_str()),
            Expr::value(token.scope.as_str()),
            text(&token.redirect_uri),
            text(&token.challenge),
            Expr::value(token.created_at),
            Expr::value(token.expires_at),
            Expr::value(maybe(token.used_at)),
        ];
        let insert = Insert {
            table: self.table(OwnTable::OauthTokens),
            columns: idents(&TOKEN),
            rows: vec![row],
            on_conflict: OnConflict::Fail,
        };
        connection.execute(&Statement::Insert(insert), &[]).map(|_| ())
    }

    /// The code or token with this hash, and its grant.
    pub fn oauth_token(
        &self,
        connection: &mut dyn Connection,
        hash: &str,
    ) -> Result<Option<(OauthToken, OauthGrant)>, Error> {
        let columns = TOKEN.iter().map(|name| column(name)).chain(GRANT.iter().map(|name| of_grant(name))).collect();
        let mut select = Select::new(self.table(OwnTable::OauthTokens), T, columns);
        select.joins.push(Join {
            kind: JoinKind::Inner,
            table: self.table(OwnTable::OauthGrants),
            alias: G,
            on: Predicate::eq(of_grant("id"), column("grant_id")),
        });
        let select = select.filter(Predicate::eq(column("hash"), Expr::value(hash)));
        let rows = connection.query(&Statement::Select(select), &[])?;
        let read = |row: Row| {
            let mut row = Reader::new(row);
            Some((OauthToken::read(&mut row)?, OauthGrant::read(&mut row)))
        };
        Ok(rows.into_iter().next().and_then(read))
    }

    /// Locks a grant until the transaction ends; whether it is there.
    pub fn lock_oauth_grant(&self, connection: &mut dyn Connection, id: &str) -> Result<bool, Error> {
        let mut select = Select::new(self.table(OwnTable::OauthGrants), T, vec![column("id")])
            .filter(Predicate::eq(column("id"), Expr::value(id)));
        select.lock = Some(Lock::Update);
        Ok(!connection.query(&Statement::Select(select), &[])?.is_empty())
    }

    /// All grants that live at `now`, of one identity server or of all, the oldest first.
    pub fn oauth_grants(
        &self,
        connection: &mut dyn Connection,
        server: Option<&str>,
        now: i64,
    ) -> Result<Vec<OauthGrant>, Error> {
        let live = Predicate::Compare(column("expires_at"), Comparison::Gt, Expr::value(now));
        let of = server.map_or(Predicate::True, |server| Predicate::eq(column("server"), Expr::value(server)));
        let mut select =
            Select::new(self.table(OwnTable::OauthGrants), T, GRANT.map(column).to_vec()).filter(live.and(of));
        select.order =
            vec![Order { by: column("created_at"), descending: false }, Order { by: column("id"), descending: false }];
        let rows = connection.query(&Statement::Select(select), &[])?;
        Ok(rows.into_iter().map(|row| OauthGrant::read(&mut Reader::new(row))).collect())
    }

    /// Lets a grant live until `expires_at`.
    pub fn extend_oauth_grant(&self, connection: &mut dyn Connection, id: &str, expires_at: i64) -> Result<(), Error> {
        let set = vec![(Ident::new("expires_at"), Expr::value(expires_at))];
        self.update_oauth(connection, OwnTable::OauthGrants, set, Predicate::eq(bare("id"), Expr::value(id)))
    }

    /// Notes that a grant was used.
    pub fn touch_oauth_grant(&self, connection: &mut dyn Connection, id: &str, now: i64) -> Result<(), Error> {
        let set = vec![(Ident::new("last_used_at"), Expr::value(now))];
        self.update_oauth(connection, OwnTable::OauthGrants, set, Predicate::eq(bare("id"), Expr::value(id)))
    }

    /// Marks a code or refresh token as used, to be remembered until `expires_at`.
    pub fn use_oauth_token(
        &self,
        connection: &mut dyn Connection,
        hash: &str,
        now: i64,
        expires_at: i64,
    ) -> Result<(), Error> {
        let set = vec![(Ident::new("used_at"), Expr::value(now)), (Ident::new("expires_at"), Expr::value(expires_at))];
        self.update_oauth(connection, OwnTable::OauthTokens, set, Predicate::eq(bare("hash"), Expr::value(hash)))
    }

    /// Ends a code or token.
    pub fn delete_oauth_token(&self, connection: &mut dyn Connection, hash: &str) -> Result<(), Error> {
        let filter = Predicate::eq(bare("hash"), Expr::value(hash));
        self.delete_oauth(connection, OwnTable::OauthTokens, filter).map(|_| ())
    }

    /// Ends a grant of an identity server with all its codes and tokens; whether it was there.
    pub fn delete_oauth_grant(&self, connection: &mut dyn Connection, server: &str, id: &str) -> Result<bool, Error> {
        let one = Predicate::eq(bare("id"), Expr::value(id));
        let grant = one.and(Predicate::eq(bare("server"), Expr::value(server)));
        let found = self.delete_oauth(connection, OwnTable::OauthGrants, grant)? > 0;
        if found {
            let tokens = Predicate::eq(bare("grant_id"), Expr::value(id));
            self.delete_oauth(connection, OwnTable::OauthTokens, tokens)?;
        }
        Ok(found)
    }

    /// Ends the access tokens of a grant but the `keep` newest.
    pub fn trim_oauth_access(&self, connection: &mut dyn Connection, grant: &str, keep: u64) -> Result<(), Error> {
        let access = Predicate::eq(column("grant_id"), Expr::value(grant))
            .and(Predicate::eq(column("kind"), Expr::value(OauthKind::Access.word())));
        let mut select = Select::new(self.table(OwnTable::OauthTokens), T, vec![column("hash")]).filter(access);
        select.order =
            vec![Order { by: column("created_at"), descending: true }, Order { by: column("hash"), descending: false }];
        select.limit = Some(keep);
        select.offset = Some(keep);
        let rows = connection.query(&Statement::Select(select), &[])?;
        let surplus: Vec<Expr> = rows.into_iter().map(|row| Expr::value(Reader::new(row).text())).collect();
        if surplus.is_empty() {
            return Ok(());
        }
        self.delete_oauth(connection, OwnTable::OauthTokens, Predicate::In(bare("hash"), surplus)).map(|_| ())
    }

    /// Forgets codes and tokens whose time is over; how many.
    pub fn tidy_oauth_tokens(&self, connection: &mut dyn Connection, now: i64) -> Result<u64, Error> {
        self.delete_oauth(connection, OwnTable::OauthTokens, over(now))
    }

    /// Forgets grants whose time is over; how many.
    pub fn tidy_oauth_grants(&self, connection: &mut dyn Connection, now: i64) -> Result<u64, Error> {
        self.delete_oauth(connection, OwnTable::OauthGrants, over(now))
    }

    fn update_oauth(
        &self,
        connection: &mut dyn Connection,
        table: OwnTable,
        set: Vec<(Ident, Expr)>,
        filter: Predicate,
    ) -> Result<(), Error> {
        let update = Update { table: self.table(table), set, filter };
        connection.execute(&Statement::Update(update), &[]).map(|_| ())
    }

    fn delete_oauth(&self, connection: &mut dyn Connection, table: OwnTable, filter: Predicate) -> Result<u64, Error> {
        connection.execute(&Statement::Delete(Delete { table: self.table(table), filter }), &[])
    }
}

fn of_grant(name: &str) -> Expr {
    Expr::column(G, &Ident::new(name))
}

fn bare(name: &str) -> Expr {
    Expr::bare(&Ident::new(name))
}

fn over(now: i64) -> Predicate {
    Predicate::Compare(bare("expires_at"), Comparison::Le, Expr::value(now))
}
