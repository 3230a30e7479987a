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
pub mod guesses;
pub mod live;
pub mod opaque;
pub mod parameters;
pub mod pkce;
pub mod refusal;
pub mod scope;
pub mod store;

use crate::config::{Oauth2, OauthClient};
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
    /// Who may agree.
    pub accounts: accounts::Accounts,
    /// How long access tokens live.
    pub access_lifetime: Duration,
    /// Where grants, codes and tokens are.
    pub store: GrantStore,
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
    ) -> Result<Self, String> {
        Ok(Self {
            server: Arc::from(server),
            issuer: format!("{public_url}/oauth2/{server}"),
            clients: configured.clients.clone(),
            accounts: accounts::Accounts::new(&configured.administrators, application)?,
            access_lifetime: configured.access_token_lifetime,
            store,
        })
    }

    /// The client of an id.
    pub fn client(&self, id: &str) -> Option<&OauthClient> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// All of them.
    pub fn clients(&self) -> &[OauthClient] {
        &self.clients
    }

    /// Whether what was granted to a client still stands by the configuration: it is there, and the flow that it got this by
    /// (`subject`: an administrator agreed) is still its.
    pub fn still_allows(&self, client: &str, subject: &str) -> bool {
        self.client(client).is_some_and(|client| {
            if subject.is_empty() { client.flows.client_credentials } else { client.flows.authorization_code }
        })
    }
}
