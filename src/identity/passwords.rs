//! Passwords that are kept as hashes: checking one takes a core some thirty milliseconds on purpose, so it is done once for a
//! password that is right, and guesses cannot do it more often than the machine bears.
//!
//! What was right is remembered as a keyed hash under a key that this process made up, for an hour after its last use; what was
//! wrong, for a minute. Deriving happens on blocking threads, few at a time, one at a time for each address, and what
//! must be derived does not depend on whether the user exists.

use super::failures::network_of;
use crate::adapter::Hash;
use crate::config::MAX_BCRYPT;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// What was right is forgotten so long after it was last used.
const RIGHT: Duration = Duration::from_secs(3600);
/// What was wrong is wrong without work for so long.
const WRONG: Duration = Duration::from_secs(60);
/// The most that is remembered, of each.
const MOST: usize = 1024;
/// How many requests of one address wait for their turn, and how long one waits for a free core.
const QUEUE: usize = 16;
const PATIENCE: Duration = Duration::from_secs(10);
/// When one that found no place should come again.
const AGAIN: Duration = Duration::from_secs(2);

/// A keyed hash of a stored hash with a user name and a password.
type Print = [u8; 32];

/// Who says to know a password.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    /// What the password is known by.
    pub stored: &'a str,
    /// Whose password that is.
    pub owner: &'a str,
    /// Who the client says to be.
    pub name: &'a str,
    /// The password it says.
    pub password: &'a str,
    /// Where it comes from.
    pub client: IpAddr,
}

/// What came of checking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Right,
    /// Name or password are not.
    Wrong,
    /// It was not looked at; when to come again.
    Busy(Duration),
}

/// Checks passwords and remembers.
pub struct Passwords {
    key: hmac::Key,
    known: Arc<Known>,
    cores: Arc<Semaphore>,
    turns: Mutex<HashMap<IpAddr, Arc<Turn>>>,
}

/// What was found out.
#[derive(Default)]
struct Known {
    right: Mutex<HashMap<Print, Instant>>,
    wrong: Mutex<HashMap<Print, Instant>>,
    /// How often a password was derived.
    derivations: AtomicU64,
}

/// An address's turn: one derivation at a time.
#[derive(Default)]
struct Turn {
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Passwords {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2).clamp(1, 4);
        Self {
            key: random_key(),
            known: Arc::default(),
            cores: Arc::new(Semaphore::new(cores)),
            turns: Mutex::default(),
        }
    }
}

impl Passwords {
    /// Whether a password is right. `may_try` is asked before anything costly is done.
    pub async fn check(&self, claim: Claim<'_>, may_try: impl Fn() -> Result<(), Duration>) -> Verdict {
        let print = self.print(&claim);
        if let Some(verdict) = self.remembered(&print) {
            return verdict;
        }
        if let Err(wait) = may_try() {
            return Verdict::Busy(wait);
        }
        let Some(turn) = self.turn(claim.client).await else {
            return Verdict::Busy(AGAIN);
        };
        // Whoever went before may have had the same.
        if let Some(verdict) = self.remembered(&print) {
            return verdict;
        }
        let Some(core) = self.core().await else {
            return Verdict::Busy(AGAIN);
        };
        let name = verify_slices_are_equal(claim.owner.as_bytes(), claim.name.as_bytes()).is_ok();
        let (stored, password) = (claim.stored.to_owned(), claim.password.to_owned());
        let known = Arc::clone(&self.known);
        // Turn and core are held until what came of it is known, also where the client does not wait for it.
        let derived = tokio::task::spawn_blocking(move || {
            known.derivations.fetch_add(1, Relaxed);
            let right = derive(&stored, &password) & name;
            if right {
                remember(&mut lock(&known.right), print, RIGHT);
            } else {
                remember(&mut lock(&known.wrong), print, WRONG);
            }
            drop((turn, core));
            right
        });
        if derived.await.unwrap_or(false) { Verdict::Right } else { Verdict::Wrong }
    }

    /// The same for a password that is kept as it is: nothing is derived, and guesses are many and quick. Who was right before
    /// is known; others are compared while `may_try` lets them.
    pub fn compare(&self, claim: Claim<'_>, may_try: impl Fn() -> Result<(), Duration>) -> Verdict {
        let print = self.print(&claim);
        if let Some(Verdict::Right) = self.remembered(&print) {
            return Verdict::Right;
        }
        if let Err(wait) = may_try() {
            return Verdict::Busy(wait);
        }
        // Of the same length, and both of them always.
        let same = |a: &str, b: &str| verify_slices_are_equal(&Sha256::digest(a), &Sha256::digest(b)).is_ok();
        if !(same(claim.owner, claim.name) & same(claim.stored, claim.password)) {
            return Verdict::Wrong;
        }
        remember(&mut lock(&self.known.right), print, RIGHT);
        Verdict::Right
    }

    /// The right to derive, for whatever purpose, held while it is done; `None` where no core is free in time. Each takes tens
    /// of megabytes and milliseconds.
    pub async fn core(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(PATIENCE, Arc::clone(&self.cores).acquire_owned()).await.ok()?.ok()
    }

    /// How often a password was derived since the process began.
    pub fn derivations(&self) -> u64 {
        self.known.derivations.load(Relaxed)
    }

    fn print(&self, claim: &Claim<'_>) -> Print {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [claim.stored, claim.owner, claim.name, claim.password] {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut print = Print::default();
        for (to, from) in print.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        print
    }

    fn remembered(&self, print: &Print) -> Option<Verdict> {
        let now = Instant::now();
        if let Some(last) = lock(&self.known.right).get_mut(print).filter(|last| now.duration_since(**last) < RIGHT) {
            *last = now;
            return Some(Verdict::Right);
        }
        let wrong = lock(&self.known.wrong).get(print).is_some_and(|since| now.duration_since(*since) < WRONG);
        wrong.then_some(Verdict::Wrong)
    }

    /// Waits until an address may derive; `None` where too many of it wait already.
    async fn turn(&self, client: IpAddr) -> Option<OwnedMutexGuard<()>> {
        let turn = {
            let mut turns = lock(&self.turns);
            if turns.len() >= MOST {
                turns.retain(|_, turn| Arc::strong_count(turn) > 1 || Arc::strong_count(&turn.lock) > 1);
            }
            let turn = Arc::clone(turns.entry(network_of(client)).or_default());
            // One is the table's, one is ours.
            if Arc::strong_count(&turn) > QUEUE + 2 {
                return None;
            }
            turn
        };
        Some(Arc::clone(&turn.lock).lock_owned().await)
    }
}

/// bcrypt reads the first 72 bytes; of a longer password nothing is taken, with the same work.
fn derive(stored: &str, password: &str) -> bool {
    let whole = !stored.starts_with("$2") || password.len() <= MAX_BCRYPT;
    Hash::verifies(stored, password) & whole
}

fn remember(prints: &mut HashMap<Print, Instant>, print: Print, life: Duration) {
    let now = Instant::now();
    if prints.len() >= MOST {
        prints.retain(|_, at| now.duration_since(*at) < life);
    }
    if prints.len() >= MOST
        && let Some(oldest) = prints.iter().min_by_key(|(_, at)| **at).map(|(print, _)| *print)
    {
        prints.remove(&oldest);
    }
    prints.insert(print, now);
}

/// A key that no other process has. Without randomness there is none, and nothing starts then: TLS needs it too.
pub(super) fn random_key() -> hmac::Key {
    let mut bytes = [0_u8; 32];
    let mut random = getrandom::fill(&mut bytes);
    while random.is_err() {
        random = getrandom::fill(&mut bytes);
    }
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    static STORED: LazyLock<String> = LazyLock::new(|| Hash::Argon2id.of("Circle of Life").unwrap());

    fn claim<'a>(name: &'a str, password: &'a str, client: &str) -> Claim<'a> {
        Claim { stored: &STORED, owner: "hr", name, password, client: client.parse().unwrap() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_same_work_for_whoever_it_is() {
        let passwords = Passwords::default();
        let check = async |name, password| {
            let before = passwords.derivations();
            let verdict = passwords.check(claim(name, password, "192.0.2.1"), || Ok(())).await;
            (verdict, passwords.derivations() - before)
        };
        assert_eq!(check("hr", "wrong").await, (Verdict::Wrong, 1));
        assert_eq!(check("nobody", "wrong").await, (Verdict::Wrong, 1));
        assert_eq!(check("", "").await, (Verdict::Wrong, 1));
        assert_eq!(check("nobody", "Circle of Life").await, (Verdict::Wrong, 1));
        assert_eq!(check("HR", "Circle of Life").await, (Verdict::Wrong, 1));
        assert_eq!(check("hr", "Circle of Life").await, (Verdict::Right, 1));
        for _ in 0..1000 {
            assert_eq!(check("hr", "Circle of Life").await, (Verdict::Right, 0));
            assert_eq!(check("hr", "wrong").await, (Verdict::Wrong, 0));
        }
        // Who guesses too much is not looked at; who is known is.
        let hold = || Err(Duration::from_secs(9));
        let held = passwords.check(claim("hr", "another", "192.0.2.1"), hold).await;
        assert_eq!(held, Verdict::Busy(Duration::from_secs(9)));
        assert_eq!(passwords.check(claim("hr", "Circle of Life", "192.0.2.1"), hold).await, Verdict::Right);
        assert_eq!(passwords.derivations(), 6);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn many_at_once_are_derived_once_and_in_turn() {
        let passwords = Arc::new(Passwords::default());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let passwords = Arc::clone(&passwords);
            tasks.spawn(async move { passwords.check(claim("hr", "Circle of Life", "192.0.2.1"), || Ok(())).await });
        }
        while let Some(verdict) = tasks.join_next().await {
            assert_eq!(verdict.unwrap(), Verdict::Right);
        }
        assert_eq!(passwords.derivations(), 1);
        // A crowd of guesses from one address: most are sent away, and another address is heard meanwhile.
        for n in 0..100 {
            let passwords = Arc::clone(&passwords);
            tasks.spawn(async move {
                let guess = format!("guess {n}");
                passwords.check(claim("hr", &guess, "192.0.2.2"), || Ok(())).await
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let before = passwords.derivations();
        let other = passwords.check(claim("hr", "mistyped", "192.0.2.3"), || Ok(())).await;
        let waited = passwords.derivations() - before;
        assert_eq!(other, Verdict::Wrong);
        assert!(waited <= 8, "the other address waited for {waited} derivations");
        let mut busy = 0;
        while let Some(verdict) = tasks.join_next().await {
            busy += usize::from(matches!(verdict.unwrap(), Verdict::Busy(_)));
        }
        assert!(busy >= 50, "{busy} of 100 were sent away");
    }

    #[tokio::test]
    async fn what_is_kept_as_it_is() {
        let passwords = Passwords::default();
        let claim = |name, password| Claim { stored: "Circle of Life", ..claim(name, password, "192.0.2.1") };
        let (free, hold) = (|| Ok(()), || Err(Duration::from_secs(9)));
        let busy = Verdict::Busy(Duration::from_secs(9));
        assert_eq!(passwords.compare(claim("hr", "Circle of Life"), hold), busy, "nothing tells it from a guess");
        for (name, password) in [("hr", "wrong"), ("no", "Circle of Life"), ("", ""), ("hr", "Circle of Life ")] {
            assert_eq!(passwords.compare(claim(name, password), free), Verdict::Wrong);
            assert_eq!(passwords.compare(claim(name, password), hold), busy);
        }
        assert_eq!(passwords.compare(claim("hr", "Circle of Life"), free), Verdict::Right);
        assert_eq!(passwords.compare(claim("hr", "Circle of Life"), hold), Verdict::Right);
        assert_eq!(passwords.derivations(), 0);
    }

    #[test]
    fn bcrypt_is_not_cut_off() {
        let long = "a".repeat(MAX_BCRYPT);
        let stored = Hash::Bcrypt(4).of(&long).unwrap();
        assert!(derive(&stored, &long));
        assert!(!derive(&stored, &format!("{long}b")), "the 73rd byte is not read, so it must not be there");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut prints = HashMap::new();
        for n in 0..MOST * 2 {
            let mut print = Print::default();
            print[..8].copy_from_slice(&u64::try_from(n).unwrap().to_be_bytes());
            remember(&mut prints, print, RIGHT);
        }
        assert_eq!(prints.len(), MOST);
    }
}
