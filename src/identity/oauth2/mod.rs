//! Our own OAuth 2 authorization server (RFC 6749, RFC 7636, RFC 7009): clients, codes, tokens. One [`Authority`] for each
//! identity server that has OAuth on; it knows no pages and no HTTP, only what may be given to whom.
//!
//! Codes and tokens are opaque and random; of each only the SHA-256 is stored, in our own tables, so that every process
//! knows them and none outlives its revocation by more than a second. The implicit flow and the password flow are not there
//! (RFC 9700).

pub mod accounts;
pub mod assertion;
pub mod authorization;
pub mod clients;
pub mod live;
pub mod opaque;
pub mod parameters;
pub mod pkce;
pub mod refusal;
pub mod scope;
pub mod store;

use super::live::Denied;
use super::{METHOD_OAUTH2, Refused, Session};
use crate::config::{Oauth2, OauthClient};
use live::LiveAccess;
use scope::Scope;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use store::GrantStore;

/// The authorization server of one identity server.
pub struct Authority {
    /// The identity server's name.
    pub server: Arc<str>,
    /// `https://scim.example.com/oauth2/NAME`: what `iss` says and the endpoints begin with.
    pub issuer: String,
    /// Its clients.
    clients: Vec<OauthClient>,
    /// How their assertions are checked, in their order.
    asserting: Vec<Option<assertion::Asserting>>,
    /// Who may agree.
    pub accounts: accounts::Accounts,
    /// How long access tokens live.
    pub access_lifetime: Duration,
    /// Where grants, codes and tokens are.
    pub store: GrantStore,
    /// What is known of access tokens; shared by all.
    live: LiveAccess,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authority({})", self.issuer)
    }
}

impl Authority {
    /// Of the identity server `server` under `public_url`. `application` says that administrators of the application may
    /// agree too, and how their passwords are hashed.
    pub fn new(
        public_url: &str,
        server: &str,
        configured: &Oauth2,
        application: Option<crate::adapter::Hash>,
        store: GrantStore,
        live: LiveAccess,
        sets: &super::jwks::KeySets,
    ) -> Result<Self, String> {
        let issuer = format!("{public_url}/oauth2/{server}");
        let asserting = configured.clients.iter().map(|client| assertion::Asserting::of(client, &issuer, sets));
        Ok(Self {
            server: Arc::from(server),
            asserting: asserting.collect::<Result<_, _>>()?,
            issuer,
            clients: configured.clients.clone(),
            accounts: accounts::Accounts::new(&configured.administrators, application)?,
            access_lifetime: configured.access_token_lifetime,
            store,
            live,
        })
    }

    /// The client of an id.
    pub fn client(&self, id: &str) -> Option<&OauthClient> {
        self.clients.iter().find(|client| client.id == id)
    }

    fn position(&self, id: &str) -> Option<(usize, &OauthClient)> {
        self.clients.iter().enumerate().find(|(_, client)| client.id == id)
    }

    /// All of them.
    pub fn clients(&self) -> &[OauthClient] {
        &self.clients
    }

    /// Whether an access token is good for the identity server.
    pub(super) async fn check(&self, token: &str) -> Result<Session, Refused> {
        let wrong = |why: String| Err(Refused::wrong(why, (METHOD_OAUTH2, token)));
        let access = match self.live.check(token, &self.server).await {
            Ok(access) => access,
            Err(Denied::Unavailable(why)) => return Err(Refused::Unavailable(why)),
            Err(Denied::Refused(why)) => return wrong(why),
        };
        if !self.still_allows(&access.client, &access.subject) {
            return wrong("the token's client is no longer configured, or may no longer use this flow".to_owned());
        }
        let read_only = access.scope == Scope::Read;
        Ok(Session { credential: format!("{} {}", access.client, access.grant), method: METHOD_OAUTH2, read_only })
    }

    /// Whether what was granted to a client still stands by the configuration: it is there, and the flow that it got this by
    /// (`subject`: an administrator agreed) is still its.
    fn still_allows(&self, client: &str, subject: &str) -> bool {
        self.client(client).is_some_and(|client| {
            if subject.is_empty() { client.flows.client_credentials } else { client.flows.authorization_code }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::Hash;
    use crate::config::{Administrator, Flows, Secret};
    use crate::own::Own;
    use crate::sql::{Dialect, open_file};

    /// `okta` with two secrets and two redirect_uris, `authentik` with one of each, `public` without a secret, `machine` that
    /// speaks for itself. The hashes are none: `hash of one`. There is no database.
    pub(super) fn authority() -> Authority {
        let client = |id: &str, secrets: &[&str], uris: &[&str]| OauthClient {
            id: id.to_owned(),
            secret_hashes: secrets.iter().map(|secret| Secret::new(format!("hash of {secret}"))).collect(),
            flows: Flows { authorization_code: !uris.is_empty(), client_credentials: uris.is_empty() },
            redirect_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
            assertion: None,
        };
        let configured = Oauth2 {
            clients: vec![
                client("okta", &["one", "two"], &["https://okta.example.com/cb", "https://okta.example.com/other"]),
                client("authentik", &["three"], &["https://authentik.example.com/cb?tenant=1"]),
                client("public", &[], &["http://127.0.0.1:8000/cb"]),
                client("machine", &["four"], &[]),
            ],
            administrators: vec![Administrator { name: "ada".to_owned(), password_hash: Secret::new("x") }],
            access_token_lifetime: Duration::from_secs(3600),
        };
        let store = store(std::path::Path::new("/nowhere/own.db"));
        let live = LiveAccess::new(Arc::new(store.clone()), Duration::from_secs(2));
        let application = Some(Hash::Bcrypt(4));
        Authority::new(
            "https://scim.example.com",
            "test",
            &configured,
            application,
            store,
            live,
            &crate::identity::jwks::KeySets::default(),
        )
        .unwrap()
    }

    /// Our own tables in a SQLite file.
    pub(super) fn store(file: &std::path::Path) -> GrantStore {
        GrantStore::new(open_file(file), Own::new(Dialect::Sqlite, "ignored"))
    }

    #[test]
    fn what_the_configuration_still_allows() {
        let authority = authority();
        assert!(authority.still_allows("okta", "ada") && !authority.still_allows("okta", ""));
        assert!(authority.still_allows("machine", "") && !authority.still_allows("machine", "ada"));
        assert!(!authority.still_allows("gone", "ada"));
        assert_eq!(format!("{authority:?}"), "Authority(https://scim.example.com/oauth2/test)");
    }
}
