//! Access tokens, as this process knows them: looked up by their hash, and again before a second has passed, so that one
//! revoked anywhere is refused everywhere within it.
//!
//! A request with a token that was seen lately costs one hash and one look into a map; while such requests come, one of them
//! has the token looked up again every half second and nobody waits. What is no token is remembered: a random text that was
//! none will never be one. Only a few unknown tokens are looked up at once, whoever sends them.

use super::opaque::Kind;
use super::scope::Scope;
use crate::identity::lately::{LastUse, RENEW, STALE};
use crate::identity::live::Denied;
use crate::identity::token::{Fingerprint, fingerprint};
use crate::identity::waiting;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// So many tokens are known.
const KNOWN: usize = 10_000;
/// So many unknown tokens are looked up at once.
const AT_ONCE: usize = 4;

/// A token that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The id of its grant.
    pub grant: String,
    /// The identity server it was made for.
    pub server: String,
    /// The client that it was given to.
    pub client: String,
    /// The administrator who agreed; empty where the client speaks for itself.
    pub subject: String,
    /// What it is good for.
    pub scope: Scope,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
}

/// Where access tokens are looked up. All methods block.
pub trait Look: Send + Sync + 'static {
    /// The access token with this hash, ended or not.
    fn access(&self, fingerprint: &Fingerprint) -> Result<Option<Access>, crate::sql::Error>;
    /// Notes when a grant was last used, in seconds since 1970.
    fn used(&self, grant: &str, now: i64) -> Result<(), crate::sql::Error>;
}

/// The access tokens of all identity servers. Cheap to clone.
#[derive(Clone)]
pub struct LiveAccess {
    shared: Arc<Shared>,
}

struct Shared {
    look: Arc<dyn Look>,
    known: Mutex<HashMap<Fingerprint, Arc<Seen>>>,
    lookups: Arc<Semaphore>,
    /// The longest that a request waits for a lookup.
    patience: Duration,
}

/// What is known of one token.
struct Seen {
    /// `None`: it is none.
    access: Option<Access>,
    /// When looking it up began.
    read: Instant,
    renewing: AtomicBool,
    used: LastUse,
}

impl LiveAccess {
    /// Tokens to be looked up there; nobody waits for it longer than `patience`.
    pub fn new(look: Arc<dyn Look>, patience: Duration) -> Self {
        let shared = Shared { look, known: Mutex::default(), lookups: Arc::new(Semaphore::new(AT_ONCE)), patience };
        Self { shared: Arc::new(shared) }
    }

    /// Whether a credential has the form of an access token: what has not is for others to judge.
    pub fn fits(token: &str) -> bool {
        Kind::Access.fits(token)
    }

    /// Whether a token is good for an identity server.
    pub async fn check(&self, token: &str, server: &str) -> Result<Access, Denied> {
        let refused = |why: &str| Err(Denied::Refused(why.to_owned()));
        if !Self::fits(token) {
            return refused("the token is not one of this service's");
        }
        let seen = self.seen(fingerprint(token)).await?;
        let Some(access) = &seen.access else {
            return refused("the token was revoked, has expired, or never was one");
        };
        if access.server != server {
            return refused("the token is for another identity server");
        }
        let now = chrono::Utc::now().timestamp();
        if access.expires <= now {
            return refused("the token has expired");
        }
        self.note_use(&seen, access, now);
        Ok(access.clone())
    }

    /// What is known of a token, not older than a second.
    async fn seen(&self, fingerprint: Fingerprint) -> Result<Arc<Seen>, Denied> {
        if let Some(seen) = self.shared.usable(&fingerprint) {
            let old = seen.access.is_some() && seen.read.elapsed() >= RENEW;
            if old && seen.renewing.compare_exchange(false, true, Relaxed, Relaxed).is_ok() {
                let (shared, renewed) = (Arc::clone(&self.shared), Arc::clone(&seen));
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = shared.look_up(fingerprint) {
                        renewed.renewing.store(false, Relaxed);
                        tracing::debug!(%error, "an access token could not be looked up again");
                    }
                });
            }
            return Ok(seen);
        }
        let unavailable = |error: &dyn std::fmt::Display| Denied::Unavailable(error.to_string());
        let looked = async {
            let permit = Arc::clone(&self.shared.lookups).acquire_owned().await.map_err(|error| unavailable(&error))?;
            // Somebody who waited before may have brought it.
            if let Some(seen) = self.shared.usable(&fingerprint) {
                return Ok(seen);
            }
            let shared = Arc::clone(&self.shared);
            let looked = tokio::task::spawn_blocking(move || {
                // Kept to the end also where nobody waits for it any more.
                let _permit = permit;
                shared.look_up(fingerprint)
            });
            looked.await.map_err(|error| unavailable(&error))?.map_err(|error| unavailable(&error))
        };
        waiting::in_time(self.shared.patience, looked).await
    }

    /// Writes down when a grant was used, at most once a minute, and not while the client waits.
    fn note_use(&self, seen: &Arc<Seen>, access: &Access, now: i64) {
        if !seen.used.is_due(now) {
            return;
        }
        let (look, grant) = (Arc::clone(&self.shared.look), access.grant.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = look.used(&grant, now) {
                tracing::debug!(%error, "the use of a grant could not be noted");
            }
        });
    }
}

impl Shared {
    /// What is known and fresh enough. That a text is no token stays true.
    fn usable(&self, fingerprint: &Fingerprint) -> Option<Arc<Seen>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(fingerprint).filter(|seen| seen.access.is_none() || seen.read.elapsed() < STALE).cloned()
    }

    fn look_up(&self, fingerprint: Fingerprint) -> Result<Arc<Seen>, crate::sql::Error> {
        let read = Instant::now();
        let access = self.look.access(&fingerprint)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.retain(|_, seen| seen.access.is_some() && seen.read.elapsed() < STALE);
            if known.len() >= KNOWN {
                known.clear();
            }
        }
        let used = known.get(&fingerprint).map_or_else(LastUse::default, |before| before.used.again());
        let seen = Arc::new(Seen { access, read, renewing: AtomicBool::new(false), used });
        known.insert(fingerprint, Arc::clone(&seen));
        Ok(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Error, Failure};
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    #[derive(Default)]
    struct Memory {
        tokens: Mutex<HashMap<Fingerprint, Access>>,
        down: AtomicBool,
        reads: AtomicUsize,
        uses: AtomicUsize,
    }

    impl Look for Memory {
        fn access(&self, fingerprint: &Fingerprint) -> Result<Option<Access>, Error> {
            self.reads.fetch_add(1, Relaxed);
            if self.down.load(Relaxed) {
                return Err(Error::new(Failure::Connection, "down"));
            }
            Ok(self.tokens.lock().unwrap().get(fingerprint).cloned())
        }
        fn used(&self, _: &str, _: i64) -> Result<(), Error> {
            self.uses.fetch_add(1, Relaxed);
            Ok(())
        }
    }

    impl Memory {
        fn issue(&self, server: &str, lifetime: i64) -> String {
            let token = Kind::Access.make().unwrap();
            let access = Access {
                grant: "g".into(),
                server: server.into(),
                client: "c".into(),
                subject: String::new(),
                scope: Scope::Everything,
                expires: chrono::Utc::now().timestamp() + lifetime,
            };
            self.tokens.lock().unwrap().insert(fingerprint(&token), access);
            token
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_token_lives_and_dies() {
        let memory = Arc::new(Memory::default());
        let live = LiveAccess::new(memory.clone(), Duration::from_secs(2));
        let token = memory.issue("okta", 60);
        for _ in 0..100 {
            assert_eq!(live.check(&token, "okta").await.unwrap().client, "c");
        }
        assert_eq!(memory.reads.load(Relaxed), 1);
        assert!(matches!(live.check(&token, "entra").await, Err(Denied::Refused(why)) if why.contains("another")));
        let old = memory.issue("okta", -1);
        assert!(matches!(live.check(&old, "okta").await, Err(Denied::Refused(why)) if why.contains("expired")));

        let none = Kind::Access.make().unwrap();
        let reads = memory.reads.load(Relaxed);
        for _ in 0..100 {
            assert!(matches!(live.check(&none, "okta").await, Err(Denied::Refused(_))));
        }
        assert_eq!(memory.reads.load(Relaxed), reads + 1, "what is no token asks once");
        for strange in ["x", "", &Kind::Refresh.make().unwrap()] {
            assert!(matches!(live.check(strange, "okta").await, Err(Denied::Refused(_))), "{strange}");
        }
        assert_eq!(memory.reads.load(Relaxed), reads + 1, "what does not look like one asks nobody");

        memory.tokens.lock().unwrap().clear();
        let revoked = Instant::now();
        while live.check(&token, "okta").await.is_ok() {
            assert!(revoked.elapsed() < STALE, "revoked, and still taken");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }

        let last = memory.issue("okta", 60);
        live.check(&last, "okta").await.unwrap();
        memory.down.store(true, Relaxed);
        tokio::time::sleep(STALE).await;
        assert!(matches!(live.check(&last, "okta").await, Err(Denied::Unavailable(_))), "never taken on trust");
        assert_eq!(memory.uses.load(Relaxed), 2, "once a token");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_known_is_bounded() {
        let memory = Arc::new(Memory::default());
        let live = LiveAccess::new(memory.clone(), Duration::from_secs(2));
        let token = memory.issue("okta", 60);
        live.check(&token, "okta").await.unwrap();
        for _ in 0..KNOWN + 10 {
            let mut shared = [0_u8; 32];
            getrandom::fill(&mut shared).unwrap();
            live.shared.look_up(shared).unwrap();
        }
        assert!(live.shared.known.lock().unwrap().len() <= KNOWN);
        live.check(&token, "okta").await.unwrap();
    }
}
