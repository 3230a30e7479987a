//! The live tokens, as this process knows them: read again from our own tables before they are older
//! than a second, so that a token revoked anywhere is refused everywhere within one.
//!
//! A request with a known token costs one hash and one look into a map. While requests come, one of
//! them has the set read again every half second and nobody waits; a request after a pause waits for
//! it. A token that may be newer than the set, or signed with a key that is, waits for the next reading: whoever makes tokens up
//! has the database asked twice a second and no more. A database that cannot be asked is [`Denied::Unavailable`]: never a token taken on trust.

use super::lately::{LastUse, RENEW, STALE};
use super::token::{Fingerprint, Keyring, fingerprint, is_opaque, key_id};
use super::waiting;
use arc_swap::{ArcSwap, ArcSwapOption};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The keys are read again when they are older than this, or a token names one that is not among them.
const KEYS: Duration = Duration::from_secs(30);
/// A reading that takes longer hangs, on a connection that leads nowhere any more: another is begun beside it.
const HUNG: Duration = Duration::from_secs(10);
/// So many readings are under way at once.
const AT_ONCE: usize = 3;
/// So many refused tokens are remembered.
const REFUSED: usize = 10_000;

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
    /// The keys that sign and verify now.
    fn keyring(&self) -> Result<Keyring, crate::sql::Error>;
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
    used: LastUse,
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
    keys: ArcSwap<Keyring>,
    keys_read: Mutex<Instant>,
    keys_wanted: AtomicBool,
    issuer: String,
    snapshot: ArcSwapOption<Snapshot>,
    /// Tokens that we signed and that were not in a set read after they came: revoked, and that for
    /// ever. Trying one again asks nobody.
    refused: Mutex<HashSet<Fingerprint>>,
    /// The last reading that was begun.
    reading: Mutex<Option<Reading>>,
    /// Readings that have not ended.
    under_way: AtomicUsize,
    /// The longest that a request waits for one.
    patience: Duration,
}

/// How a reading ended, once it has.
type Outcome = Option<Result<Arc<Snapshot>, String>>;

/// A reading of the set: whoever needs one waits for the same, and takes its failure too.
struct Reading {
    began: Instant,
    ended: watch::Receiver<Outcome>,
}

impl LiveTokens {
    /// Tokens of `store`, signed by one of `keys` for `issuer` (the public URL). Nothing is read yet; nobody waits for it longer
    /// than `patience`.
    pub fn new(store: Arc<dyn Store>, keys: Keyring, issuer: String, patience: Duration) -> Self {
        let shared = Shared {
            store,
            keys: ArcSwap::from_pointee(keys),
            keys_read: Mutex::new(Instant::now()),
            keys_wanted: AtomicBool::new(false),
            issuer,
            snapshot: ArcSwapOption::empty(),
            refused: Mutex::default(),
            reading: Mutex::default(),
            under_way: AtomicUsize::new(0),
            patience,
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
            Some(known) => {
                if known.verified.get().is_none() && self.is_of_unknown_key(token) {
                    // The set is newer than the keys.
                    let wanted = self.want_keys().await;
                    self.fresh(|snapshot| snapshot.read >= wanted).await?;
                }
                Arc::clone(known)
            }
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
            if !is_opaque(token) {
                self.shared.keys.load().verify(token, &self.shared.issuer, audience).map_err(Denied::Refused)?;
            }
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
        let refused = || self.shared.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = |why: &str| Denied::Refused(why.to_owned());
        let (why, patient) = if is_opaque(token) {
            ("the token is not one of this service's, or was revoked", true)
        } else if self.is_of_unknown_key(token) {
            ("the token is not one of this service's", true)
        } else {
            ("the token was revoked", false)
        };
        if refused().contains(fingerprint) {
            return Err(unknown(why));
        }
        let mut since = came;
        if patient {
            match is_opaque(token) {
                true => self.wait_for_renewal().await,
                false => since = self.want_keys().await,
            }
        } else {
            self.shared.keys.load().verify(token, &self.shared.issuer, audience).map_err(Denied::Refused)?;
        }
        if let Some(known) = self.fresh(|snapshot| snapshot.read >= since).await?.tokens.get(fingerprint) {
            return Ok(Arc::clone(known));
        }
        let mut refused = refused();
        if refused.len() >= REFUSED {
            refused.clear();
        }
        refused.insert(*fingerprint);
        Err(unknown(why))
    }

    /// The keys as they are known, had read again in the background while they are used.
    pub async fn keys(&self) -> Result<Arc<Keyring>, Denied> {
        self.fresh(|_| true).await?;
        Ok(self.shared.keys.load_full())
    }

    /// A token that names a key which is not among those that are known.
    fn is_of_unknown_key(&self, token: &str) -> bool {
        key_id(token).is_some_and(|id| self.shared.keys.load().ids().all(|known| known != id))
    }

    /// Until the set may be read again, and the keys with it. Gives the moment of the wish: a set that somebody began to read
    /// before has come without them.
    async fn want_keys(&self) -> Instant {
        self.shared.keys_wanted.store(true, SeqCst);
        let wanted = Instant::now();
        self.wait_for_renewal().await;
        wanted
    }

    /// Until the set may be read again.
    async fn wait_for_renewal(&self) {
        if let Some(snapshot) = self.shared.snapshot.load_full() {
            tokio::time::sleep_until((snapshot.read + RENEW).into()).await;
        }
    }

    /// The set, as fresh as asked for.
    async fn fresh(&self, enough: impl Fn(&Snapshot) -> bool) -> Result<Arc<Snapshot>, Denied> {
        let came = Instant::now();
        if let Some(snapshot) = self.shared.snapshot.load_full().filter(|snapshot| enough(snapshot)) {
            if snapshot.read.elapsed() >= RENEW {
                drop(self.shared.reading());
            }
            return Ok(snapshot);
        }
        let read = async {
            loop {
                let mut reading = self.shared.reading();
                let ended = reading.wait_for(Option::is_some).await.map(|ended| (*ended).clone());
                match ended {
                    // What was begun before may be too old by now.
                    Ok(Some(Ok(snapshot))) if snapshot.read >= came || enough(&snapshot) => return Ok(snapshot),
                    Ok(Some(Ok(_))) => {}
                    Ok(Some(Err(why))) => return Err(Denied::Unavailable(why)),
                    Ok(None) | Err(_) => return Err(Denied::Unavailable("the live tokens were not read".to_owned())),
                }
            }
        };
        waiting::in_time(self.shared.patience, read).await
    }

    /// Writes down when a token was used, at most once a minute, and not while the client waits.
    fn note_use(&self, known: &Arc<Known>, now: i64) {
        if !known.used.is_due(now) {
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
    /// The reading that is under way, or a new one.
    fn reading(self: &Arc<Self>) -> watch::Receiver<Outcome> {
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reading) = &*reading
            // One that panicked has no end.
            && reading.ended.borrow().is_none()
            && reading.ended.has_changed().is_ok()
            && (reading.began.elapsed() < HUNG || self.under_way.load(SeqCst) >= AT_ONCE)
        {
            return reading.ended.clone();
        }
        let (sender, ended) = watch::channel(None);
        *reading = Some(Reading { began: Instant::now(), ended: ended.clone() });
        let under_way = UnderWay::begin(self);
        tokio::task::spawn_blocking(move || {
            let read = under_way.0.read();
            if let Err(error) = &read {
                tracing::debug!(%error, "the live tokens could not be read");
            }
            let _ = sender.send(Some(read.map_err(|error| error.to_string())));
        });
        ended
    }

    fn read(&self) -> Result<Arc<Snapshot>, crate::sql::Error> {
        let read = Instant::now();
        let keys_are_old = {
            let keys_read = self.keys_read.lock().unwrap_or_else(PoisonError::into_inner);
            read.duration_since(*keys_read) >= KEYS
        };
        let mut before = self.snapshot.load_full();
        if self.keys_wanted.swap(false, SeqCst) || keys_are_old {
            let keys = self.store.keyring()?;
            *self.keys_read.lock().unwrap_or_else(PoisonError::into_inner) = read;
            if !self.keys.load().ids().eq(keys.ids()) {
                // What a key verified that has ended is verified again.
                before = None;
            }
            self.keys.store(Arc::new(keys));
        }
        let rows = self.store.live(chrono::Utc::now().timestamp())?;
        let tokens = rows
            .into_iter()
            .map(|token| {
                let known = before.as_ref().and_then(|before| before.tokens.get(&token.fingerprint));
                let known = match known.filter(|known| known.token == token) {
                    Some(known) => Arc::clone(known),
                    None => Arc::new(Known { token, verified: OnceLock::new(), used: LastUse::default() }),
                };
                (known.token.fingerprint, known)
            })
            .collect();
        let snapshot = Arc::new(Snapshot { read, tokens });
        // One that hung comes after others that did not.
        if self.snapshot.load().as_ref().is_none_or(|known| known.read <= read) {
            self.snapshot.store(Some(Arc::clone(&snapshot)));
        }
        Ok(snapshot)
    }
}

/// One more reading under way, until dropped.
struct UnderWay(Arc<Shared>);

impl UnderWay {
    fn begin(shared: &Arc<Shared>) -> Self {
        shared.under_way.fetch_add(1, SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::{Claims, SigningKey, audience, new_id, new_opaque};
    use super::*;
    use crate::sql::{Error, Failure};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    const URL: &str = "https://scim.example.com";
    const PATIENCE: Duration = Duration::from_secs(2);

    #[derive(Default)]
    struct Memory {
        tokens: Mutex<Vec<LiveToken>>,
        down: Mutex<bool>,
        reads: AtomicUsize,
        uses: AtomicUsize,
        ring: Mutex<Vec<(String, Vec<u8>)>>,
        ring_reads: AtomicUsize,
        /// How long a read takes.
        slow: Mutex<Duration>,
    }

    impl Store for Memory {
        fn live(&self, now: i64) -> Result<Vec<LiveToken>, Error> {
            self.reads.fetch_add(1, Relaxed);
            let slow = *self.slow.lock().unwrap();
            std::thread::sleep(slow);
            if *self.down.lock().unwrap() {
                return Err(Error::new(Failure::Connection, "down"));
            }
            Ok(self.tokens.lock().unwrap().iter().filter(|token| token.expires > now).cloned().collect())
        }
        fn keyring(&self) -> Result<Keyring, Error> {
            self.ring_reads.fetch_add(1, Relaxed);
            let keys = self.ring.lock().unwrap();
            let keys = keys.iter().map(|(id, stored)| SigningKey::read(id, stored).unwrap()).collect();
            Ok(Keyring::new(keys, Some(0)))
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
        let live = LiveTokens::new(store.clone(), ring(), URL.into(), PATIENCE);
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

    fn live_token(id: &str, token: &str, server: &str) -> LiveToken {
        let expires = chrono::Utc::now().timestamp() + 60;
        LiveToken { id: id.into(), server: server.into(), fingerprint: fingerprint(token), expires, read_only: false }
    }

    /// A key that came after the process, a key that ended, and tokens that nobody signed.
    #[tokio::test(flavor = "multi_thread")]
    async fn keys_come_and_go() {
        let keys: Vec<_> = ["old", "new"].map(|id| (id.to_owned(), SigningKey::generate().unwrap().0)).into();
        let ring = |ids: &[&str]| {
            let keys = keys.iter().filter(|(id, _)| ids.contains(&id.as_str()));
            Keyring::new(keys.map(|(id, stored)| SigningKey::read(id, stored).unwrap()).collect(), Some(0))
        };
        let store = Arc::new(Memory::default());
        *store.ring.lock().unwrap() = keys.clone();
        let live = LiveTokens::new(store.clone(), ring(&["old"]), URL.into(), PATIENCE);
        let entra = audience(URL, "entra");
        let old = store.issue(&ring(&["old"]), "entra");
        live.check(&old, "entra", &entra).await.unwrap();
        let new = store.issue(&ring(&["new"]), "entra");
        let newest = store.issue(&ring(&["new"]), "entra");
        // Once the set has a token whose key is not there yet, and once not even that.
        live.fresh(|snapshot| snapshot.read.elapsed() < Duration::ZERO).await.unwrap();
        live.check(&newest, "entra", &entra).await.expect("the set knows it already");
        live.check(&new, "entra", &entra).await.expect("signed with a key that this process had not seen");
        assert_eq!(store.ring_reads.load(Relaxed), 1);

        // Tokens that name keys nobody has: the database is asked twice a second, however many come.
        let (reads, began) = (store.reads.load(Relaxed), Instant::now());
        let live = Arc::new(live);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..200 {
            let made_up = Keyring::new(vec![SigningKey::read(&format!("k{n}"), &keys[0].1).unwrap()], Some(0));
            let claims = Claims { iss: URL.into(), aud: entra.clone(), jti: new_id(), iat: 0, exp: i64::MAX / 2 };
            let (live, entra, token) = (Arc::clone(&live), entra.clone(), made_up.sign(&claims).unwrap());
            tasks.spawn(async move { live.check(&token, "entra", &entra).await.map(|_| ()) });
        }
        while let Some(checked) = tasks.join_next().await {
            assert!(matches!(checked.unwrap(), Err(Denied::Refused(_))));
        }
        let most = 2 + usize::try_from(began.elapsed().as_millis() / RENEW.as_millis()).unwrap();
        assert!(store.reads.load(Relaxed) - reads <= most, "200 made-up tokens had the tokens read too often");

        // The old key ends: what it signed is not taken although it was, and although its row is there.
        store.ring.lock().unwrap().retain(|(id, _)| id == "new");
        live.shared.keys_wanted.store(true, Relaxed);
        tokio::time::sleep(STALE).await;
        assert!(matches!(live.check(&old, "entra", &entra).await, Err(Denied::Refused(_))));
        live.check(&new, "entra", &entra).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn opaque_tokens() {
        let (stored, _) = SigningKey::generate().unwrap();
        let ring = Keyring::new(vec![SigningKey::read("k", &stored).unwrap()], Some(0));
        let store = Arc::new(Memory::default());
        let live = LiveTokens::new(store.clone(), ring, URL.into(), PATIENCE);
        let (one, two) = (new_opaque().unwrap(), new_opaque().unwrap());
        store.tokens.lock().unwrap().push(live_token("1", &one, "entra"));
        let entra = audience(URL, "entra");
        live.check(&one, "entra", &entra).await.unwrap();
        assert!(matches!(live.check(&one, "okta", &audience(URL, "okta")).await, Err(Denied::Refused(_))));
        store.tokens.lock().unwrap().push(live_token("2", &two, "entra"));
        live.check(&two, "entra", &entra).await.expect("a token that is newer than the set");
        let reads = store.reads.load(Relaxed);
        let made_up = new_opaque().unwrap();
        for _ in 0..100 {
            assert!(matches!(live.check(&made_up, "entra", &entra).await, Err(Denied::Refused(_))));
        }
        assert!(store.reads.load(Relaxed) <= reads + 2, "what is not known asks once");
    }

    /// A database that fails slowly, and one that hangs: whoever waits hears so as early as whoever asked, and once it answers
    /// again so does everybody.
    #[tokio::test(flavor = "multi_thread")]
    async fn all_hear_of_one_failure() {
        let (stored, _) = SigningKey::generate().unwrap();
        let ring = || Keyring::new(vec![SigningKey::read("k", &stored).unwrap()], Some(0));
        let store = Arc::new(Memory::default());
        let patience = Duration::from_secs(3);
        let live = Arc::new(LiveTokens::new(store.clone(), ring(), URL.into(), patience));
        let token = store.issue(&ring(), "entra");
        let ask_together = async || {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..20 {
                let (live, token) = (Arc::clone(&live), token.clone());
                tasks.spawn(async move {
                    let came = Instant::now();
                    let heard = live.check(&token, "entra", &audience(URL, "entra")).await.map(|_| ());
                    (heard, came.elapsed())
                });
            }
            tasks.join_all().await
        };
        let unavailable = |heard: &Result<(), Denied>| matches!(heard, Err(Denied::Unavailable(_)));

        *store.down.lock().unwrap() = true;
        *store.slow.lock().unwrap() = Duration::from_secs(1);
        let heard = ask_together().await;
        assert!(heard.iter().all(|(heard, after)| unavailable(heard) && *after < patience), "{heard:?}");
        assert_eq!(store.reads.load(Relaxed), 1);

        *store.down.lock().unwrap() = false;
        *store.slow.lock().unwrap() = Duration::from_secs(9);
        let heard = ask_together().await;
        assert!(heard.iter().all(|(heard, after)| unavailable(heard) && *after < patience * 2), "{heard:?}");
        assert_eq!(store.reads.load(Relaxed), 2, "who comes meanwhile waits for the same");

        *store.slow.lock().unwrap() = Duration::ZERO;
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert!(ask_together().await.iter().all(|(heard, _)| heard.is_ok()));
    }
}
