//! The authorization endpoint (RFC 6749 3.1): an administrator sees which client asks for what, signs in, and agrees or
//! refuses, all on one page. There is no session that could be stolen, fixed or left open: each agreement takes a password.
//!
//! The form is bound to the browser by a `__Host-` cookie that no other site can set or read, to its own parameters, to
//! ten minutes, and to being sent once.

use super::super::outgoing::Broken;
use super::Call;
use super::answer::{Answer, Problem};
use super::page::{self, Ask};
use crate::identity::METHOD_OAUTH2;
use crate::identity::oauth2::accounts::ApplicationAccount;
use crate::identity::oauth2::authorization::{AuthorizationRequest, Wrong};
use crate::identity::oauth2::opaque::{is_random, random};
use crate::identity::oauth2::parameters::Parameters;
use crate::identity::oauth2::refusal::{Code, Refusal};
use crate::identity::oauth2::store::Consent;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Body;
use hyper::header::{COOKIE, HOST, HeaderName, ORIGIN, SET_COOKIE};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// How long a form may lie open, in seconds.
const PATIENCE: i64 = 600;
/// The longest name that is looked up, in bytes.
const LONGEST_NAME: usize = 255;
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What makes a form this browser's, for these parameters, now.
pub(super) struct Ticket {
    /// Once.
    pub(super) nonce: String,
    /// When it was made, in seconds since 1970.
    pub(super) issued: i64,
    /// SHA-256 over all of it and the cookie.
    pub(super) seal: String,
}

impl Call<'_> {
    /// `GET /oauth2/NAME/authorize`.
    pub(super) async fn ask(&self) -> Result<Answer, Problem> {
        let parameters = Parameters::read(self.head.uri.query().unwrap_or_default().as_bytes())?;
        match AuthorizationRequest::read(self.authority, &parameters) {
            Ok(request) => self.form_of(&request, StatusCode::OK, None, ""),
            Err(wrong) => Ok(self.wrong(wrong)?),
        }
    }

    /// `POST /oauth2/NAME/authorize`.
    pub(super) async fn decide<B>(&self, body: B) -> Result<Answer, Problem>
    where
        B: Body<Data = Bytes, Error: Into<Broken>> + Unpin + Send + 'static,
    {
        self.refuse_other_sites()?;
        let parameters = self.form(body).await?;
        let request = match AuthorizationRequest::read(self.authority, &parameters) {
            Ok(request) => request,
            Err(wrong) => return self.wrong(wrong),
        };
        let name = parameters.get("username")?.unwrap_or_default();
        let Some(nonce) = self.sealed(&request, &parameters)? else {
            let why = "This page was open for too long, or your browser did not keep its cookie. Please try again.";
            return self.form_of(&request, StatusCode::BAD_REQUEST, Some(why), "");
        };
        match parameters.get("decision")? {
            Some("refuse") => {
                let refusal = Refusal::new(Code::AccessDenied, "the administrator refused");
                Ok(Answer::redirect(&request.refused(self.authority, &refusal)))
            }
            Some("agree") => self.agreed(&request, name, parameters.get("password")?.unwrap_or_default(), nonce).await,
            _ => Err(Problem::Refused(Refusal::request("the decision is agree or refuse"))),
        }
    }

    async fn agreed(
        &self,
        request: &AuthorizationRequest<'_>,
        name: &str,
        password: &str,
        (nonce, issued): (String, i64),
    ) -> Result<Answer, Problem> {
        if name.is_empty() || password.is_empty() {
            let why = "Please fill in account and password, or refuse.";
            return self.form_of(request, StatusCode::BAD_REQUEST, Some(why), name);
        }
        let failures = self.ready.identity.failures();
        let guess = failures.guess((&*self.served.name, METHOD_OAUTH2, "account", name.to_lowercase()));
        let slow = |wait: std::time::Duration| {
            let why = format!("Too many failed attempts. Please try again in {} seconds.", wait.as_secs().max(1));
            let answer = self.form_of(request, StatusCode::TOO_MANY_REQUESTS, Some(&why), name)?;
            Ok(Problem::TooMany(wait).headers(answer))
        };
        if let Err(wait) = failures.may_try(self.client, guess) {
            return slow(wait);
        }
        let request_id = &*self.request_id;
        let (client, server) = (request.client.id.as_str(), &*self.served.name);
        let Some(subject) = self.signed_in(name, password).await? else {
            // Not the name: people type passwords into the wrong field.
            tracing::warn!(request = request_id, client = %self.client, server, "an administrator could not sign in");
            metrics::counter!("scimshim_authentication_failures_total", "scheme" => METHOD_OAUTH2).increment(1);
            if let Some(wait) = failures.note(self.client, guess) {
                return slow(wait);
            }
            let why = "That account and password do not open anything here. Only administrators may agree.";
            return self.form_of(request, StatusCode::FORBIDDEN, Some(why), name);
        };
        let (scope, challenge) = (request.scope, request.challenge.clone());
        let redirect_uri = request.redirect_said.then(|| request.redirect_uri.to_owned());
        let (authority, client_id) = (Arc::clone(self.authority), client.to_owned());
        let agreed = self.asked(move || {
            authority.store.agree(&Consent {
                server: &authority.server,
                client: &client_id,
                subject: &subject,
                scope,
                redirect_uri: redirect_uri.as_deref(),
                challenge: challenge.as_deref(),
                form: (&nonce, issued + PATIENCE + 1),
            })
        });
        let (code, grant) = agreed.await?;
        let (scope, client_address) = (scope.word(), self.client);
        tracing::info!(
            request = request_id, client = %client_address, server, oauth_client = client, grant, scope,
            "an administrator agreed"
        );
        Ok(Answer::redirect(&request.granted(self.authority, &code)))
    }

    /// The account that name and password open. The same is asked and derived whatever they are.
    async fn signed_in(&self, name: &str, password: &str) -> Result<Option<String>, Problem> {
        let mut found = None;
        if self.authority.accounts.of_application() && name.len() <= LONGEST_NAME {
            let (directory, name) = (Arc::clone(&self.served.directory), name.to_owned());
            found = self.asking(move || directory.administrator(&name)).await?;
        }
        let found = found.map(|(name, hash)| ApplicationAccount { name, hash });
        let (authority, name, password) = (Arc::clone(self.authority), name.to_owned(), password.to_owned());
        self.deriving(move || authority.accounts.sign_in(&name, &password, found.as_ref())).await
    }

    /// Refuses a form that no page of ours sent. Browsers say where a form comes from; what says nothing is no browser, or an old
    /// one, for which the seal remains.
    fn refuse_other_sites(&self) -> Result<(), Problem> {
        let text = |name: &HeaderName| self.head.headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let elsewhere = || Problem::Other(StatusCode::FORBIDDEN, "this form was not sent from a page of this service");
        if text(&SEC_FETCH_SITE).is_some_and(|site| site != "same-origin" && site != "none") {
            return Err(elsewhere());
        }
        let host = text(&HOST).or_else(|| self.head.uri.authority().map(|authority| authority.as_str()));
        if let Some(origin) = text(&ORIGIN) {
            let theirs = origin.split_once("://").map(|(_, authority)| authority);
            if theirs.is_none() || theirs != host {
                return Err(elsewhere());
            }
        }
        Ok(())
    }

    fn wrong(&self, wrong: Wrong) -> Result<Answer, Problem> {
        match wrong {
            Wrong::Told(refusal) => Err(Problem::Refused(refusal)),
            Wrong::Sent { to, refusal } => {
                tracing::debug!(request = &*self.request_id, why = &*refusal.description, "refused");
                Ok(Answer::redirect(&to))
            }
        }
    }

    /// The page with a fresh form.
    fn form_of(
        &self,
        request: &AuthorizationRequest<'_>,
        status: StatusCode,
        told: Option<&str>,
        name: &str,
    ) -> Result<Answer, Problem> {
        let random = || random().map_err(Problem::Unavailable);
        // A browser with two of these pages open has one cookie for both.
        let cookie = match self.cookie() {
            Some(cookie) => cookie,
            None => random()?,
        };
        let (nonce, issued) = (random()?, chrono::Utc::now().timestamp());
        let seal = self.seal(request, &cookie, &nonce, issued);
        let ask = Ask {
            request,
            server: &self.served.name,
            application: &self.served.directory.adapter().title,
            home: &self.app.config.public_url,
            may: page::allowed(&self.served.directory, &self.served.view, request.scope),
            application_accounts: self.authority.accounts.of_application(),
            ticket: Ticket { nonce, issued, seal },
            told,
            name,
        };
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let cookie =
            format!("{}={cookie}; Path=/; HttpOnly; SameSite=Lax; Max-Age={PATIENCE}{secure}", self.cookie_name());
        Ok(page::ask(status, &ask).with(SET_COOKIE, &cookie))
    }

    /// Whether the seal of a form that was sent is right: its nonce, and when it was made.
    fn sealed(
        &self,
        request: &AuthorizationRequest<'_>,
        parameters: &Parameters,
    ) -> Result<Option<(String, i64)>, Problem> {
        let (nonce, issued) = (parameters.get("nonce")?, parameters.get("issued")?);
        let seal = parameters.get("seal")?;
        let issued = issued.and_then(|issued| issued.parse::<i64>().ok());
        let (Some(cookie), Some(nonce), Some(issued), Some(seal)) = (self.cookie(), nonce, issued, seal) else {
            return Ok(None);
        };
        let age = chrono::Utc::now().timestamp().saturating_sub(issued);
        let expected = self.seal(request, &cookie, nonce, issued);
        let right = verify_slices_are_equal(expected.as_bytes(), seal.as_bytes()).is_ok();
        // Another process's clock may be a little ahead.
        Ok((right && is_random(nonce) && (-60..=PATIENCE).contains(&age)).then(|| (nonce.to_owned(), issued)))
    }

    fn seal(&self, request: &AuthorizationRequest<'_>, cookie: &str, nonce: &str, issued: i64) -> String {
        let mut hash = Sha256::new();
        let issued = issued.to_string();
        let mut add = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(text.as_bytes());
        };
        for text in ["scimshim form", cookie, nonce, &issued, &self.served.name] {
            add(text);
        }
        for (name, value) in request.repeated() {
            add(name);
            add(value);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Ours, where the browser sent one.
    fn cookie(&self) -> Option<String> {
        let name = self.cookie_name();
        let headers = self.head.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = headers.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(known, value)| *known == name && is_random(value)).map(|(_, value)| value.to_owned())
    }

    /// Only https keeps a `__Host-` cookie; plain http is there on loopback alone.
    fn cookie_name(&self) -> &'static str {
        if self.is_secure() { "__Host-scimshim-form" } else { "scimshim-form" }
    }

    fn is_secure(&self) -> bool {
        self.app.config.public_url.starts_with("https://")
    }
}
