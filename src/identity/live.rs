//! The live tokens, as this process knows them: read again from our own tables before they are older
//! than a second, so that a token revoked anywhere is refused everywhere within one.
//!
//! A request with a known token costs one hash and one look into a map. While requests come, one of
//! them has the set read again every half second and nobody waits; a request after a pause waits for
//! it. A database that cannot be asked is [`Denied::Unavailable`]: never a token taken on trust.

use super::token::{Fingerprint, Keyring, fingerprint};
use arc_swap::ArcSwapOption;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Older than this, the set is read again while it is still used.
const RENEW: Duration = Duration::from_millis(500);
/// Older than this, it is not used any more.
const STALE: Duration = Duration::from_secs(1);
/// So many refused tokens are remembered.
const REFUSED: usize = 10_000;
/// How often the use of a token is written down, in seconds.
const LAST_USED: i64 = 60;

/// One token that is neither revoked nor known to have ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveToken {
    /// Its id.
    pub id: String,
    /// The identity server it was made for.
    pub server: String,
    /// Its SHA-256.
    pub fingerprint: Fingerprint,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
    /// It may only read.
    pub read_only: bool,
}

/// Where live tokens are kept. All methods block.
pub trait Store: Send + Sync + 'static {
    /// The tokens that are not revoked and end after `now` (seconds since 1970).
    fn live(&self, now: i64) -> Result<Vec<LiveToken>, crate::sql::Error>;
    /// Notes when a token was last used.
    fn used(&self, id: &str, now: i64) -> Result<(), crate::sql::Error>;
}

/// Why a token was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It is not good; why, for the client.
    Refused(String),
    /// It could not be looked up; why, for the log.
    Unavailable(String),
}

/// A token that was taken.
#[derive(Debug)]
pub struct Known {
    /// What the tables say.
    pub token: LiveToken,
    /// Its signature was checked.
    verified: OnceLock<()>,
    /// When its use was last written down.
    noted: AtomicI64,
}

struct Snapshot {
    /// When reading began: what was revoked before is not in it.
    read: Instant,
    tokens: HashMap<Fingerprint, Arc<Known>>,
}

/// The live tokens of all identity servers.
pub struct LiveTokens {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    keys: Keyring,
    issuer: String,
    snapshot: ArcSwapOption<Snapshot>,
    /// Tokens that we signed and that were not in a set read after they came: revoked, and that for
    /// ever. Trying one again asks nobody.
    refused: Mutex<HashSet<Fingerprint>>,
    /// Held by whoever reads the set.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl LiveTokens {
    /// Tokens of `store`, signed by one of `keys` for `issuer` (the public URL). Nothing is read yet.
    pub fn new(store: Arc<dyn Store>, keys: Keyring, issuer: String) -> Self {
        let shared = Shared {
            store,
            keys,
            issuer,
            snapshot: ArcSwapOption::empty(),
            refused: Mutex::default(),
            reading: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whom tokens of ours are issued by: the public URL.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Whether a token is good for an identity server; `audience` is what it must have been made for.
    pub async fn check(&self, token: &str, server: &str, audience: &str) -> Result<Arc<Known>, Denied> {
        let fingerprint = fingerprint(token);
        let came = Instant::now();
        let snapshot = self.fresh(|snapshot| snapshot.read.elapsed() < STALE).await?;
        let known = match snapshot.tokens.get(&fingerprint) {
            Some(known) => Arc::clone(known),
            None => self.just_issued(token, audience, &fingerprint, came).await?,
        };
        if known.token.server != server {
            return Err(Denied::Refused("the token is for another identity server".to_owned()));
        }
        let now = chrono::Utc::now().timestamp();
        if known.token.expires <= now {
            return Err(Denied::Refused("the token has expired".to_owned()));
        }
        if known.verified.get().is_none() {
            self.shared.keys.verify(token, &self.shared.issuer, audience).map_err(Denied::Refused)?;
            let _ = known.verified.set(());
        }
        self.note_use(&known, now);
        Ok(known)
    }

    /// A token that is not in the set: made up, revoked, or newer than the set.
    async fn just_issued(
        &self,
        token: &str,
        audience: &str,
        fingerprint: &Fingerprint,
        came: Instant,
    ) -> Result<Arc<Known>, Denied> {
        let revoked = || Denied::Refused("the token was revoked".to_owned());
        let refused = || self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused().contains(fingerprint) {
            return Err(revoked());
        }
        self.shared.keys.verify(token, &self.shared.issuer, audience).map_err(Denied::Refused)?;
        if let Some(known) = self.fresh(|snapshot| snapshot.read >= came).await?.tokens.get(fingerprint) {
            return Ok(Arc::clone(known));
        }
        let mut refused = refused();
        if refused.len() >= REFUSED {
            refused.clear();
        }
        refused.insert(*fingerprint);
        Err(revoked())
    }

    /// The set, as fresh as asked for.
    async fn fresh(&self, enough: impl Fn(&Snapshot) -> bool) -> Result<Arc<Snapshot>, Denied> {
        let usable = || self.shared.snapshot.load_full().filter(|snapshot| enough(snapshot));
        if let Some(snapshot) = usable() {
            if snapshot.read.elapsed() >= RENEW
                && let Ok(reading) = Arc::clone(&self.shared.reading).try_lock_owned()
            {
                let shared = Arc::clone(&self.shared);
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = shared.read() {
                        tracing::debug!(%error, "the live tokens could not be read again");
                    }
                    drop(reading);
                });
            }
            return Ok(snapshot);
        }
        // Whoever gets the lock reads for all who wait for it.
        let reading = Arc::clone(&self.shared.reading).lock_owned().await;
        if let Some(snapshot) = usable() {
            return Ok(snapshot);
        }
        let shared = Arc::clone(&self.shared);
        let read = tokio::task::spawn_blocking(move || {
            let read = shared.read();
            drop(reading);
            read
        });
        match read.await {
            Ok(Ok(snapshot)) => Ok(snapshot),
            Ok(Err(error)) => Err(Denied::Unavailable(error.to_string())),
            Err(error) => Err(Denied::Unavailable(error.to_string())),
        }
    }

    /// Writes down when a token was used, at most once a minute, and not while the client waits.
    fn note_use(&self, known: &Arc<Known>, now: i64) {
        let noted = known.noted.load(Relaxed);
        if now - noted < LAST_USED || known.noted.compare_exchange(noted, now, Relaxed, Relaxed).is_err() {
            return;
        }
        let (store, id) = (Arc::clone(&self.shared.store), known.token.id.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = store.used(&id, now) {
                tracing::debug!(%error, "the use of a token could not be noted");
            }
        });
    }
}

impl Shared {
    fn read(&self) -> Result<Arc<Snapshot>, crate::sql::Error> {
        let read = Instant::now();
        let rows = self.store.live(chrono::Utc::now().timestamp())?;
        let before = self.snapshot.load();
        let tokens = rows
            .into_iter()
            .map(|token| {
                let known = before.as_ref().and_then(|before| before.tokens.get(&token.fingerprint));
                let known = match known.filter(|known| known.token == token) {
                    Some(known) => Arc::clone(known),
                    None => Arc::new(Known { token, verified: OnceLock::new(), noted: AtomicI64::new(0) }),
                };
                (known.token.fingerprint, known)
            })
            .collect();
        let snapshot = Arc::new(Snapshot { read, tokens });
        self.snapshot.store(Some(Arc::clone(&snapshot)));
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::{Claims, SigningKey, audience, new_id};
    use super::*;
    use crate::sql::{Error, Failure};
    use std::sync::atomic::AtomicUsize;

    const URL: &str = "https://scim.example.com";

    #[derive(Default)]
    struct Memory {
        tokens: Mutex<Vec<LiveToken>>,
        down: Mutex<bool>,
        reads: AtomicUsize,
        uses: AtomicUsize,
    }

    impl Store for Memory {
        fn live(&self, now: i64) -> Result<Vec<LiveToken>, Error> {
            self.reads.fetch_add(1, Relaxed);
            if *self.down.lock().unwrap() {
                return Err(Error::new(Failure::Connection, "down"));
            }
            Ok(self.tokens.lock().unwrap().iter().filter(|token| token.expires > now).cloned().collect())
        }
        fn used(&self, _: &str, _: i64) -> Result<(), Error> {
            self.uses.fetch_add(1, Relaxed);
            Ok(())
        }
    }

    impl Memory {
        fn issue(&self, key: &Keyring, server: &str) -> String {
            let now = chrono::Utc::now().timestamp();
            let claims = Claims { iss: URL.into(), aud: audience(URL, server), jti: new_id(), iat: now, exp: now + 60 };
            let token = key.sign(&claims).unwrap();
            self.tokens.lock().unwrap().push(LiveToken {
                id: claims.jti,
                server: server.into(),
                fingerprint: fingerprint(&token),
                expires: claims.exp,
                read_only: false,
            });
            token
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_token_lives_and_dies() {
        let (stored, _) = SigningKey::generate().unwrap();
        let ring = || Keyring::new(vec![SigningKey::read("k", &stored).unwrap()], Some(0));
        let key = ring();
        let store = Arc::new(Memory::default());
        let live = LiveTokens::new(store.clone(), ring(), URL.into());
        let entra = audience(URL, "entra");
        let token = store.issue(&key, "entra");
        let known = live.check(&token, "entra", &entra).await.unwrap();
        assert_eq!(known.token.server, "entra");
        for _ in 0..100 {
            live.check(&token, "entra", &entra).await.unwrap();
        }
        assert_eq!(store.reads.load(Relaxed), 1);

        assert!(matches!(live.check(&token, "okta", &audience(URL, "okta")).await, Err(Denied::Refused(_))));
        assert!(matches!(live.check("x.y.z", "entra", &entra).await, Err(Denied::Refused(_))));
        assert_eq!(store.reads.load(Relaxed), 1, "a token we did not sign asks nobody");

        let second = store.issue(&key, "entra");
        live.check(&second, "entra", &entra).await.unwrap();
        assert_eq!(store.reads.load(Relaxed), 2, "one read finds a token that is new");

        store.tokens.lock().unwrap().clear();
        let revoked = Instant::now();
        while live.check(&token, "entra", &entra).await.is_ok() {
            assert!(revoked.elapsed() < STALE, "revoked, and still taken");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }

        let reads = store.reads.load(Relaxed);
        for _ in 0..100 {
            assert!(live.check(&token, "entra", &entra).await.is_err());
        }
        assert!(store.reads.load(Relaxed) <= reads + 1, "a revoked token asks once");

        let third = store.issue(&key, "entra");
        live.check(&third, "entra", &entra).await.unwrap();
        *store.down.lock().unwrap() = true;
        tokio::time::sleep(STALE).await;
        assert!(matches!(live.check(&third, "entra", &entra).await, Err(Denied::Unavailable(_))));
        assert_eq!(store.uses.load(Relaxed), 3, "once a token");
    }
}
