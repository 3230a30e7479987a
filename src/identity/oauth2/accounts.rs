//! Who may agree that a client gets access: administrators of the configuration, and of the application where the adapter
//! says which of its rows they are.
//!
//! Each attempt derives one key for the configuration's administrators and one for the application's, whatever the name:
//! how long it takes says nothing about who is there.

use crate::adapter::Hash;
use crate::config::Administrator;

/// The longest name and password that are looked at, in bytes.
const LONGEST: usize = 1024;

/// The accounts that may agree.
pub struct Accounts {
    administrators: Vec<Administrator>,
    /// A hash of nobody's password, of the kind that the application has; `None` where its administrators may not agree.
    decoy: Option<String>,
}

/// An administrator of the application: the name as it stands there, and the hash of the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ApplicationAccount {
    /// The name.
    pub name: String,
    /// The stored hash, or whatever stands in its place.
    pub hash: String,
}

impl Accounts {
    /// `application` is how the application hashes passwords, where its administrators may agree.
    pub fn new(administrators: &[Administrator], application: Option<Hash>) -> Result<Self, String> {
        let decoy = application.map(|hash| hash.of(&super::opaque::random()?)).transpose()?;
        Ok(Self { administrators: administrators.to_vec(), decoy })
    }

    /// Whether anybody may agree.
    pub fn any(&self) -> bool {
        !self.administrators.is_empty() || self.decoy.is_some()
    }

    /// Whether administrators of the application may.
    pub fn of_application(&self) -> bool {
        self.decoy.is_some()
    }

    /// The name of the account that this name and password open. `found` is the application's account of that name. Derives
    /// keys: it blocks for tens of milliseconds.
    pub fn sign_in(&self, name: &str, password: &str, found: Option<&ApplicationAccount>) -> Option<String> {
        self.sign_in_by(name, password, found, Hash::verifies)
    }

    fn sign_in_by(
        &self,
        name: &str,
        password: &str,
        found: Option<&ApplicationAccount>,
        verifies: impl Fn(&str, &str) -> bool,
    ) -> Option<String> {
        if name.is_empty() || password.is_empty() || name.len() > LONGEST || password.len() > LONGEST {
            return None;
        }
        let known = self.administrators.iter().find(|administrator| administrator.name == name);
        let ours = known.or(self.administrators.first()).is_some_and(|administrator| {
            let verified = verifies(administrator.password_hash.expose(), password);
            verified && known.is_some()
        });
        let theirs = self.decoy.as_deref().is_some_and(|decoy| {
            // What is no hash takes no time to compare.
            let stored = found.map(|account| account.hash.as_str()).filter(|hash| is_hash(hash));
            let verified = verifies(stored.unwrap_or(decoy), password);
            verified && stored.is_some()
        });
        // A name of the configuration is the configuration's alone: its password cannot be that of a namesake.
        match (known, found) {
            (Some(administrator), _) => ours.then(|| administrator.name.clone()),
            (None, Some(account)) => theirs.then(|| account.name.clone()),
            (None, None) => None,
        }
    }
}

/// Whether a stored text is a hash that can be verified.
fn is_hash(stored: &str) -> bool {
    ["$2", "$argon2", "$5$", "$6$", "pbkdf2_sha256$"].iter().any(|prefix| stored.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use std::cell::Cell;

    #[test]
    fn the_same_derivations_for_everybody() {
        let administrators: Vec<Administrator> = ["ada", "bob"]
            .map(|name| Administrator { name: name.into(), password_hash: Secret::new(format!("hash of {name}'s")) })
            .to_vec();
        let account = |name: &str, hash: &str| ApplicationAccount { name: name.into(), hash: hash.into() };
        let cleo = account("Cleo", "$2y$ hash of cleo's");
        let locked = account("locked", "*** NO PASSWORD ***");
        let namesake = account("ada", "$2y$ hash of other's");
        for (application, expected) in [(Some(Hash::Bcrypt(4)), 2), (None, 1)] {
            let accounts = Accounts::new(&administrators, application).unwrap();
            let run = |name: &str, password: &str, found: Option<&ApplicationAccount>| {
                let count = Cell::new(0);
                let who = accounts.sign_in_by(name, password, found, |hash, password| {
                    count.set(count.get() + 1);
                    hash.trim_start_matches("$2y$ ") == format!("hash of {password}")
                });
                assert_eq!(count.get(), expected, "{name}");
                who
            };
            assert_eq!(run("ada", "ada's", None).as_deref(), Some("ada"));
            assert_eq!(run("ada", "bob's", None), None);
            assert_eq!(run("nobody", "ada's", None), None, "the decoy is nobody's");
            assert_eq!(run("ada", "other's", Some(&namesake)), None);
            assert_eq!(run("locked", "*** NO PASSWORD ***", Some(&locked)), None);
            let theirs = run("cleo", "cleo's", Some(&cleo));
            assert_eq!(theirs.as_deref(), application.map(|_| "Cleo"));
            assert_eq!(run("cleo", "ada's", Some(&cleo)), None);
        }
        let accounts = Accounts::new(&administrators, Some(Hash::Bcrypt(4))).unwrap();
        let never = |_: &str, _: &str| panic!("a derivation");
        for (name, password) in [("", "x"), ("ada", ""), ("ada", &*"x".repeat(2000)), (&*"x".repeat(2000), "x")] {
            assert_eq!(accounts.sign_in_by(name, password, None, never), None);
        }
        assert!(!Accounts::new(&[], None).unwrap().any());
    }
}
