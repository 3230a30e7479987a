//! What clients call: the token endpoint (RFC 6749 3.2) and revocation (RFC 7009).

use super::super::outgoing::Broken;
use super::answer::{Answer, Problem};
use super::{Call, Note};
use crate::identity::oauth2::clients::Presented;
use crate::identity::oauth2::parameters::Parameters;
use crate::identity::oauth2::refusal::{Code, Refusal};
use crate::identity::oauth2::scope::Scope;
use crate::identity::oauth2::store::{Exchange, Issued, Trouble};
use crate::identity::{METHOD_OAUTH2, Session};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::AUTHORIZATION;
use serde_json::json;
use std::sync::Arc;

impl Call<'_> {
    /// `POST /oauth2/NAME/token`.
    pub(super) async fn token<B>(&self, body: B, note: &mut Note<'_>) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static,
    {
        self.admit()?;
        let parameters = self.form(body).await?;
        let client = self.authenticated(&parameters, note).await?;
        let issued = match parameters.required("grant_type")? {
            "authorization_code" => self.exchange(client, &parameters).await,
            "refresh_token" => self.refresh(client, &parameters).await,
            "client_credentials" => self.client_credentials(client, &parameters).await,
            _ => {
                let why = "the grant types are authorization_code, refresh_token and client_credentials";
                Err(Problem::Refused(Refusal::new(Code::UnsupportedGrantType, why)))
            }
        }?;
        let credential = format!("{} {}", self.clients(client), issued.grant);
        note.session(&Session { credential, method: METHOD_OAUTH2, read_only: issued.scope == Scope::Read });
        let mut answer = json!({
            "access_token": issued.access,
            "token_type": "Bearer",
            "expires_in": issued.expires_in,
            "scope": issued.scope.word(),
        });
        if let (Some(refresh), Some(object)) = (issued.refresh, answer.as_object_mut()) {
            object.insert("refresh_token".to_owned(), json!(refresh));
        }
        Ok(Answer::json(StatusCode::OK, &answer))
    }

    /// `POST /oauth2/NAME/revoke`. What is not known needs no revoking: 200 as well (RFC 7009 2.2).
    pub(super) async fn revoke<B>(&self, body: B, note: &mut Note<'_>) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static,
    {
        self.admit()?;
        let parameters = self.form(body).await?;
        let client = self.authenticated(&parameters, note).await?;
        let token = parameters.required("token")?.to_owned();
        let (authority, client) = (Arc::clone(self.authority), self.clients(client).to_owned());
        self.asked(move || authority.store.revoke(&authority.server, &client, &token)).await?;
        Ok(Answer::empty(StatusCode::OK))
    }

    /// The position of the client that proves who it is.
    async fn authenticated(&self, parameters: &Parameters, note: &Note<'_>) -> Result<usize, Problem> {
        let mut headers = Vec::new();
        for value in self.head.headers.get_all(AUTHORIZATION) {
            let malformed = |_| Problem::Refused(Refusal::client("the Authorization header is not ASCII"));
            headers.push(value.to_str().map_err(malformed)?);
        }
        let presented = Presented::read(&headers, parameters)?;
        let failures = self.ready.identity.failures();
        let guess = failures.guess((&*self.served.name, METHOD_OAUTH2, "client", presented.name()));
        failures.may_try(self.client, guess).map_err(Problem::TooMany)?;
        let proved = match presented {
            Presented::Assertion { id, jwt } => self.authority.assert(id.as_deref(), &jwt).await.map_err(Problem::from),
            Presented::Nothing { .. } => self.authority.authenticate(&presented).map_err(Problem::from),
            Presented::Secret { .. } => {
                let authority = Arc::clone(self.authority);
                self.deriving(move || authority.authenticate(&presented)).await?.map_err(Problem::from)
            }
        };
        if let Err(Problem::Refused(refusal)) = &proved {
            note.unauthenticated(METHOD_OAUTH2, &refusal.description);
            if let Some(wait) = failures.note(self.client, guess) {
                return Err(Problem::TooMany(wait));
            }
        }
        proved
    }

    fn clients(&self, client: usize) -> &str {
        self.authority.clients().get(client).map_or("", |client| client.id.as_str())
    }

    async fn exchange(&self, client: usize, parameters: &Parameters) -> Result<Issued, Problem> {
        let flows = self.authority.clients().get(client).map(|client| client.flows);
        if !flows.is_some_and(|flows| flows.authorization_code) {
            return Err(not_its_flow("authorization_code"));
        }
        let code = parameters.required("code")?.to_owned();
        let redirect_uri = parameters.get("redirect_uri")?.map(str::to_owned);
        let verifier = parameters.get("code_verifier")?.map(str::to_owned);
        let authority = Arc::clone(self.authority);
        self.asked(move || {
            let Some(client) = authority.clients().get(client) else {
                return Err(Trouble::Refused(Refusal::client("the client is gone")));
            };
            let only = match client.redirect_uris.as_slice() {
                [only] => Some(only.as_str()),
                _ => None,
            };
            authority.store.exchange(&Exchange {
                server: &authority.server,
                client: &client.id,
                code: &code,
                redirect_uri: redirect_uri.as_deref(),
                only_redirect_uri: only,
                verifier: verifier.as_deref(),
                lifetime: authority.access_lifetime,
            })
        })
        .await
    }

    async fn refresh(&self, client: usize, parameters: &Parameters) -> Result<Issued, Problem> {
        let flows = self.authority.clients().get(client).map(|client| client.flows);
        if !flows.is_some_and(|flows| flows.authorization_code) {
            return Err(not_its_flow("refresh_token"));
        }
        let token = parameters.required("refresh_token")?.to_owned();
        let scope = parameters.get("scope")?.map(str::to_owned);
        let (authority, client) = (Arc::clone(self.authority), self.clients(client).to_owned());
        self.asked(move || {
            let lifetime = authority.access_lifetime;
            authority.store.refresh(&authority.server, &client, &token, scope.as_deref(), lifetime)
        })
        .await
    }

    async fn client_credentials(&self, client: usize, parameters: &Parameters) -> Result<Issued, Problem> {
        let flows = self.authority.clients().get(client).map(|client| client.flows);
        if !flows.is_some_and(|flows| flows.client_credentials) {
            return Err(not_its_flow("client_credentials"));
        }
        let scope = Scope::read(parameters.get("scope")?)?;
        let (authority, client) = (Arc::clone(self.authority), self.clients(client).to_owned());
        self.asked(move || authority.store.issue(&authority.server, &client, scope, authority.access_lifetime)).await
    }

    /// Asks the tables: a refusal of theirs is one of ours, a failure is 503.
    pub(super) async fn asked<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Problem> {
        let done = self.asking(move || match work() {
            Ok(done) => Ok(Ok(done)),
            Err(Trouble::Refused(refusal)) => Ok(Err(refusal)),
            Err(Trouble::Database(error)) => Err(error),
        });
        done.await?.map_err(Problem::Refused)
    }
}

fn not_its_flow(flow: &str) -> Problem {
    let why = format!("the flow {flow} is not configured for this client");
    Problem::Refused(Refusal::new(Code::UnauthorizedClient, why))
}
