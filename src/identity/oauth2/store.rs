//! Grants, codes and tokens in our own tables, and the rules of their use: each code and each refresh token is good once,
//! and a second use ends everything that came of the first, because one of the two users is a thief (RFC 6749 4.1.2 and
//! 10.4, RFC 9700 4.14). There is no grace for a second use, however soon: of two at once one is served, then both stand
//! without, and an administrator agrees anew.
//!
//! Everything here blocks. Instants in the tables are microseconds since 1970.

use super::live::{Access, Look};
use super::opaque::Kind;
use super::pkce;
use super::refusal::{Code, Refusal};
use super::scope::Scope;
use crate::identity::token::{Fingerprint, fingerprint, new_id};
use crate::own::{OauthGrant, OauthKind, OauthToken, Own};
use crate::sql::{Connection, Database, Error, Failure, Isolation};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// How long a code waits for its client. RFC 6749 4.1.2 allows ten minutes.
const CODE_LIFETIME: i64 = 60 * SECOND;
/// A refresh token that nobody uses ends after so long.
const REFRESH_LIFETIME: i64 = 400 * DAY;
/// How long a used code or refresh token is remembered, so that its second use is known for what it is.
const REMEMBERED: i64 = 30 * DAY;
/// So many access tokens of one grant live at once; the oldest ends when there is one more.
const ACCESS_TOKENS: u64 = 100;
/// How often what is over is forgotten.
const TIDY: i64 = 60 * SECOND;
/// A transaction is tried so often.
const ATTEMPTS: u32 = 5;

/// Our own tables, as far as OAuth goes. Cheap to clone.
#[derive(Clone)]
pub struct GrantStore {
    database: Arc<dyn Database>,
    own: Own,
    tidied: Arc<AtomicI64>,
}

/// Why nothing was given.
#[derive(Debug)]
pub enum Trouble {
    /// It was refused.
    Refused(Refusal),
    /// The database failed.
    Database(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Database(error)
    }
}

/// What an administrator agreed to.
#[derive(Clone, Copy, Debug)]
pub struct Consent<'a> {
    /// The identity server.
    pub server: &'a str,
    /// The client's id.
    pub client: &'a str,
    /// The administrator.
    pub subject: &'a str,
    /// To what.
    pub scope: Scope,
    /// The redirect_uri, if the request named one.
    pub redirect_uri: Option<&'a str>,
    /// The PKCE challenge, if there is one.
    pub challenge: Option<&'a str>,
    /// What makes this form good once, and until when it is good, in seconds since 1970.
    pub form: (&'a str, i64),
}

/// What a client brings for its first tokens.
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    /// The identity server.
    pub server: &'a str,
    /// The client that was authenticated.
    pub client: &'a str,
    /// The code.
    pub code: &'a str,
    /// The redirect_uri, if it sent one.
    pub redirect_uri: Option<&'a str>,
    /// The only redirect_uri of the client, where it has one only: it may be said although the request did not.
    pub only_redirect_uri: Option<&'a str>,
    /// The PKCE verifier, if it sent one.
    pub verifier: Option<&'a str>,
    /// How long its access token lives.
    pub lifetime: Duration,
}

/// Tokens, shown here and nowhere else.
pub struct Issued {
    /// The access token.
    pub access: String,
    /// The refresh token, where there is one.
    pub refresh: Option<String>,
    /// How long the access token lives, in seconds.
    pub expires_in: i64,
    /// What it is good for.
    pub scope: Scope,
    /// The id of the grant, for the log.
    pub grant: String,
}

impl GrantStore {
    /// In these tables.
    pub fn new(database: Arc<dyn Database>, own: Own) -> Self {
        Self { database, own, tidied: Arc::default() }
    }

    /// Notes that an administrator agreed, and gives the code for it and the id of the grant, for the log. A form that was sent
    /// already gives no second one.
    pub fn agree(&self, consent: &Consent<'_>) -> Result<(String, String), Trouble> {
        let code = Kind::Code.make().map_err(internal)?;
        let now = now();
        let grant = OauthGrant {
            id: new_id(),
            server: consent.server.to_owned(),
            client: consent.client.to_owned(),
            subject: consent.subject.chars().take(255).collect(),
            scope: consent.scope.word().to_owned(),
            created_at: now,
            expires_at: now + CODE_LIFETIME,
            last_used_at: None,
        };
        let (form, until) = consent.form;
        let token = OauthToken {
            redirect_uri: consent.redirect_uri.map(str::to_owned),
            challenge: consent.challenge.map(str::to_owned),
            ..token(OauthKind::Code, &code, &grant.id, consent.scope, now, now + CODE_LIFETIME)
        };
        let spent = spent(form, until.saturating_mul(SECOND), now);
        let agreed = self.transaction(|own, connection| {
            own.insert_oauth_token(connection, &spent)?;
            own.put_oauth_grant(connection, &grant)?;
            own.insert_oauth_token(connection, &token)
        });
        match agreed {
            Ok(()) => Ok((code, grant.id)),
            Err(error) if error.failure == Failure::Unique => {
                Err(Trouble::Refused(Refusal::request("this form was sent already")))
            }
            Err(error) => Err(Trouble::Database(error)),
        }
    }

    /// Takes what may be used once (a client's assertion) and is remembered until it ends by itself, in seconds since 1970;
    /// whether it was new.
    pub fn spend(&self, what: &str, until: i64) -> Result<bool, Error> {
        let spent = spent(what, until.saturating_mul(SECOND), now());
        match self.transaction(|own, connection| own.insert_oauth_token(connection, &spent)) {
            Ok(()) => Ok(true),
            Err(error) if error.failure == Failure::Unique => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives tokens for a code. A code that is used twice, or brought by somebody it was not made for, ends with all that
    /// came of it.
    pub fn exchange(&self, exchange: &Exchange<'_>) -> Result<Issued, Trouble> {
        let unknown = || Refusal::grant("the code is not known: it was used, it has expired, or it never was one");
        if !Kind::Code.fits(exchange.code) {
            return Err(Trouble::Refused(unknown()));
        }
        let hash = hexadecimal(&fingerprint(exchange.code));
        let issued = self.transaction(|own, connection| {
            let now = now();
            let Some((code, grant)) = locked(own, connection, &hash, OauthKind::Code, exchange.server)? else {
                return Ok(Err(unknown()));
            };
            let redirected = match (&code.redirect_uri, exchange.redirect_uri) {
                (None, None) => true,
                (None, said) => said == exchange.only_redirect_uri,
                (asked, said) => asked.as_deref() == said,
            };
            let refusal = if code.used_at.is_some() {
                Some("the code was used before: what came of it has ended")
            } else if code.expires_at <= now {
                Some("the code has expired")
            } else if grant.client != exchange.client {
                Some("the code was made for another client")
            } else if !redirected {
                Some("redirect_uri is not the one of the authorization request")
            } else if !pkce::answers(code.challenge.as_deref(), exchange.verifier) {
                Some("code_verifier does not answer the code_challenge of the authorization request")
            } else {
                None
            };
            if let Some(refusal) = refusal {
                own.delete_oauth_grant(connection, exchange.server, &grant.id)?;
                return Ok(Err(Refusal::grant(refusal)));
            }
            own.use_oauth_token(connection, &hash, now, now + REMEMBERED)?;
            let scope = Scope::stored(&code.scope);
            tokens(own, connection, &grant, scope, Some(scope), exchange.lifetime, now).map(Ok)
        })?;
        self.tidy();
        issued.map_err(Trouble::Refused)
    }

    /// Gives new tokens for a refresh token. One that is used twice ends with all that came of it.
    pub fn refresh(
        &self,
        server: &str,
        client: &str,
        refresh: &str,
        asked: Option<&str>,
        lifetime: Duration,
    ) -> Result<Issued, Trouble> {
        let unknown =
            || Refusal::grant("the refresh token is not known: it was revoked, it has ended, or it never was one");
        if !Kind::Refresh.fits(refresh) {
            return Err(Trouble::Refused(unknown()));
        }
        let asked = asked.map(|text| Scope::read(Some(text))).transpose().map_err(Trouble::Refused)?;
        let hash = hexadecimal(&fingerprint(refresh));
        let issued = self.transaction(|own, connection| {
            let now = now();
            let Some((token, grant)) = locked(own, connection, &hash, OauthKind::Refresh, server)? else {
                return Ok(Err(unknown()));
            };
            // A stolen token in the hands of another client of ours, too, is a stolen token.
            if token.used_at.is_some() || grant.client != client {
                own.delete_oauth_grant(connection, server, &grant.id)?;
                let why = match token.used_at {
                    Some(_) => "the refresh token was used before: what came of it has ended",
                    None => "the refresh token was made for another client",
                };
                return Ok(Err(Refusal::grant(why)));
            }
            if token.expires_at <= now {
                return Ok(Err(Refusal::grant("the refresh token has ended")));
            }
            let granted = Scope::stored(&token.scope);
            let scope = asked.unwrap_or(granted);
            if !scope.is_within(granted) {
                return Ok(Err(Refusal::new(Code::InvalidScope, "the scope is wider than what was granted")));
            }
            own.use_oauth_token(connection, &hash, now, now + REMEMBERED)?;
            tokens(own, connection, &grant, scope, Some(granted), lifetime, now).map(Ok)
        })?;
        self.tidy();
        issued.map_err(Trouble::Refused)
    }

    /// Gives an access token to a client that speaks for itself. All tokens of one client and scope are one grant.
    pub fn issue(&self, server: &str, client: &str, scope: Scope, lifetime: Duration) -> Result<Issued, Trouble> {
        let now = now();
        let grant = OauthGrant {
            id: own_grant(server, client, scope),
            server: server.to_owned(),
            client: client.to_owned(),
            subject: String::new(),
            scope: scope.word().to_owned(),
            created_at: now,
            expires_at: now + micros(lifetime),
            last_used_at: None,
        };
        let issued = self.transaction(|own, connection| {
            // Locks the grant where it is there already.
            own.put_oauth_grant(connection, &grant)?;
            tokens(own, connection, &grant, scope, None, lifetime, now)
        })?;
        self.tidy();
        Ok(issued)
    }

    /// Ends a token that its client no longer wants (RFC 7009): a refresh token takes its grant along. One that is not known
    /// has ended already.
    pub fn revoke(&self, server: &str, client: &str, text: &str) -> Result<(), Trouble> {
        let kind = match [Kind::Refresh, Kind::Access].into_iter().find(|kind| kind.fits(text)) {
            Some(Kind::Refresh) => OauthKind::Refresh,
            Some(_) => OauthKind::Access,
            None => return Ok(()),
        };
        let hash = hexadecimal(&fingerprint(text));
        let revoked = self.transaction(|own, connection| {
            let Some((_, grant)) = locked(own, connection, &hash, kind, server)? else {
                return Ok(Ok(()));
            };
            if grant.client != client {
                return Ok(Err(Refusal::grant("the token was made for another client")));
            }
            match kind {
                OauthKind::Refresh => own.delete_oauth_grant(connection, server, &grant.id)?,
                _ => own.delete_oauth_token(connection, &hash).map(|()| true)?,
            };
            Ok(Ok(()))
        })?;
        revoked.map_err(Trouble::Refused)
    }

    /// The grants that live, of one identity server or of all.
    pub fn list(&self, server: Option<&str>) -> Result<Vec<OauthGrant>, Error> {
        let mut grants = Vec::new();
        self.database.with(&mut |connection| {
            grants = self.own.oauth_grants(connection, server, now())?;
            Ok(())
        })?;
        Ok(grants)
    }

    /// Ends a grant with all its tokens; whether there was one.
    pub fn end(&self, server: &str, id: &str) -> Result<bool, Error> {
        self.transaction(|own, connection| own.delete_oauth_grant(connection, server, id))
    }

    /// Ends all grants of an identity server; how many.
    pub fn end_all(&self, server: &str) -> Result<u64, Error> {
        let mut ended = 0;
        for grant in self.list(Some(server))? {
            ended += u64::from(self.end(server, &grant.id)?);
        }
        Ok(ended)
    }

    /// Forgets what is over, once a minute at most. A failure is of no consequence: the next time will do.
    fn tidy(&self) {
        let (now, last) = (now(), self.tidied.load(Relaxed));
        if now - last < TIDY || self.tidied.compare_exchange(last, now, Relaxed, Relaxed).is_err() {
            return;
        }
        let tidied = self
            .transaction(|own, connection| own.tidy_oauth_tokens(connection, now))
            .and_then(|_| self.transaction(|own, connection| own.tidy_oauth_grants(connection, now)));
        if let Err(error) = tidied {
            tracing::debug!(%error, "what OAuth no longer needs could not be forgotten");
        }
    }

    /// Runs a transaction, again where the database says that it may succeed then.
    fn transaction<T>(&self, mut work: impl FnMut(&Own, &mut dyn Connection) -> Result<T, Error>) -> Result<T, Error> {
        let mut attempt = 1;
        loop {
            let mut result = None;
            let done = self.database.with(&mut |connection| {
                connection.begin(Isolation::Write)?;
                result = Some(work(&self.own, connection)?);
                connection.commit()
            });
            match (done, result) {
                (Ok(()), Some(result)) => return Ok(result),
                (Err(error), _) if error.is_retryable() && attempt < ATTEMPTS => {
                    std::thread::sleep(Duration::from_millis(u64::from(attempt) * 10));
                    attempt += 1;
                }
                (Err(error), _) => return Err(error),
                (Ok(()), None) => return Err(Error::new(Failure::Other, "a transaction did nothing")),
            }
        }
    }
}

impl Look for GrantStore {
    fn access(&self, fingerprint: &Fingerprint) -> Result<Option<Access>, Error> {
        let mut found = None;
        let hash = hexadecimal(fingerprint);
        self.database.with(&mut |connection| {
            found = self.own.oauth_token(connection, &hash)?;
            Ok(())
        })?;
        let access = |(token, grant): (OauthToken, OauthGrant)| {
            (token.kind == OauthKind::Access).then(|| Access {
                scope: Scope::stored(&token.scope),
                expires: token.expires_at / SECOND,
                grant: grant.id,
                server: grant.server,
                client: grant.client,
                subject: grant.subject,
            })
        };
        Ok(found.and_then(access))
    }

    fn used(&self, grant: &str, now: i64) -> Result<(), Error> {
        self.transaction(|own, connection| own.touch_oauth_grant(connection, grant, now.saturating_mul(SECOND)))
    }
}

/// The code or token with this hash as it is once its grant is locked; `None` where there is none of this kind and server.
fn locked(
    own: &Own,
    connection: &mut dyn Connection,
    hash: &str,
    kind: OauthKind,
    server: &str,
) -> Result<Option<(OauthToken, OauthGrant)>, Error> {
    match own.oauth_token(connection, hash)? {
        Some((token, grant)) if token.kind == kind && grant.server == server => {
            if !own.lock_oauth_grant(connection, &grant.id)? {
                return Ok(None);
            }
            own.oauth_token(connection, hash)
        }
        _ => Ok(None),
    }
}

/// New tokens of a locked grant; with a refresh token where `refresh` says what that is good for.
fn tokens(
    own: &Own,
    connection: &mut dyn Connection,
    grant: &OauthGrant,
    scope: Scope,
    refresh: Option<Scope>,
    lifetime: Duration,
    now: i64,
) -> Result<Issued, Error> {
    let access = Kind::Access.make().map_err(internal)?;
    let row = token(OauthKind::Access, &access, &grant.id, scope, now, now + micros(lifetime));
    own.insert_oauth_token(connection, &row)?;
    let refresh = match refresh {
        None => None,
        Some(granted) => {
            let text = Kind::Refresh.make().map_err(internal)?;
            let until = now + REFRESH_LIFETIME;
            own.insert_oauth_token(connection, &token(OauthKind::Refresh, &text, &grant.id, granted, now, until))?;
            own.extend_oauth_grant(connection, &grant.id, until)?;
            Some(text)
        }
    };
    own.trim_oauth_access(connection, &grant.id, ACCESS_TOKENS)?;
    let expires_in = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    Ok(Issued { access, refresh, expires_in, scope, grant: grant.id.clone() })
}

fn token(kind: OauthKind, text: &str, grant: &str, scope: Scope, now: i64, until: i64) -> OauthToken {
    OauthToken {
        hash: hexadecimal(&fingerprint(text)),
        kind,
        grant: grant.to_owned(),
        scope: scope.word().to_owned(),
        redirect_uri: None,
        challenge: None,
        created_at: now,
        expires_at: until,
        used_at: None,
    }
}

fn spent(what: &str, until: i64, now: i64) -> OauthToken {
    let row = token(OauthKind::Spent, what, "", Scope::Read, now, until);
    OauthToken { hash: hexadecimal(&fingerprint(&format!("spent {what}"))), scope: String::new(), ..row }
}

/// The id of the grant of a client that speaks for itself: the same on every process.
fn own_grant(server: &str, client: &str, scope: Scope) -> String {
    hexadecimal(&fingerprint(&format!("{server}\0{client}\0{}", scope.word()))).chars().take(16).collect()
}

fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

fn internal(why: String) -> Error {
    Error::new(Failure::Other, why)
}

fn hexadecimal(fingerprint: &Fingerprint) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
