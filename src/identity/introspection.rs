//! Token introspection (RFC 7662): the authorization server that made a token is asked whether it is good.
//!
//! What it said is remembered for a while, never beyond the token's end; that a token is not good, for a shorter one. One
//! token is asked about once at a time, and only so many at once. A server that does not answer, or answers anything but what
//! the RFC says, lets nobody in.

use super::fetch::{Client, form_encoded};
use super::jwt::{Rules, Verified, object_of, text};
use super::live::Denied;
use super::token::{Fingerprint, fingerprint};
use crate::config::{self, Url};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long a refusal is remembered, at most.
const REFUSED: Duration = Duration::from_secs(5);
/// How long a server that failed is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// So many tokens are remembered.
const TOKENS: usize = 10_000;
/// So many questions are under way at once.
const QUESTIONS: usize = 16;

/// An authorization server's endpoint, and what it said lately.
pub struct Introspection {
    shared: Arc<Shared>,
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Introspection({})", self.shared.url)
    }
}

struct Shared {
    url: Url,
    client: Client,
    authorization: HeaderValue,
    cache: Duration,
    issuer: Option<String>,
    audiences: Vec<String>,
    required: config::Required,
    questions: Semaphore,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    tokens: HashMap<Fingerprint, Answer>,
    /// Those that are being asked about: whoever holds the lock asks.
    asking: HashMap<Fingerprint, Arc<tokio::sync::Mutex<()>>>,
    /// When the server failed last, and why.
    failed: Option<(Instant, String)>,
}

/// What was said of one token.
#[derive(Clone)]
struct Answer {
    until: Instant,
    outcome: Result<Verified, String>,
}

impl Introspection {
    /// As the configuration has it; nothing is asked yet.
    pub fn new(configured: &config::Introspection, client: Client) -> Self {
        // RFC 6749 2.3.1: both are form-encoded before they are put together.
        let pair = [configured.client_id.as_str(), configured.client_secret.expose()].map(form_encoded).join(":");
        let authorization = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)));
        let shared = Shared {
            url: configured.url.clone(),
            client,
            // Base64 is always fit for a header.
            authorization: authorization.unwrap_or_else(|_| HeaderValue::from_static("Basic")),
            cache: configured.cache,
            issuer: configured.issuer.clone(),
            audiences: configured.audiences.clone(),
            required: configured.required.clone(),
            questions: Semaphore::new(QUESTIONS),
            said: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether a token is good.
    pub async fn ask(&self, token: &str) -> Result<Verified, Denied> {
        let shared = &self.shared;
        let fingerprint = fingerprint(token);
        if let Some(known) = shared.known(&fingerprint) {
            return known;
        }
        let turn = {
            let mut said = shared.said();
            Arc::clone(said.asking.entry(fingerprint).or_default())
        };
        let held = turn.lock_owned().await;
        if let Some(known) = shared.known(&fingerprint) {
            shared.said().asking.remove(&fingerprint);
            return known;
        }
        let (shared, token) = (Arc::clone(shared), token.to_owned());
        // A task of its own: a client that hangs up does not take the answer from those who wait for it.
        let asked = tokio::spawn(async move {
            let outcome = shared.question(&token, &fingerprint).await;
            shared.said().asking.remove(&fingerprint);
            drop(held);
            outcome
        });
        asked.await.unwrap_or_else(|panic| Err(Denied::Unavailable(panic.to_string())))
    }
}

impl Shared {
    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, fingerprint: &Fingerprint) -> Option<Result<Verified, Denied>> {
        let now = Instant::now();
        let said = self.said();
        let answer = said.tokens.get(fingerprint).filter(|answer| now < answer.until)?;
        // Clocks can be set; the token's own end counts besides.
        let ended = |token: &Verified| token.expires <= chrono::Utc::now().timestamp();
        Some(match &answer.outcome {
            Ok(token) if ended(token) => return None,
            Ok(token) => Ok(token.clone()),
            Err(why) => Err(Denied::Refused(why.clone())),
        })
    }

    async fn question(&self, token: &str, fingerprint: &Fingerprint) -> Result<Verified, Denied> {
        let failed = self.said().failed.clone();
        if let Some((at, why)) = failed
            && at.elapsed() < PAUSE
        {
            return Err(Denied::Unavailable(why));
        }
        let Ok(_place) = self.questions.try_acquire() else {
            return Err(Denied::Unavailable(format!(
                "{}: too many tokens are being asked about",
                self.url.authority()
            )));
        };
        let fields = [("token", token), ("token_type_hint", "access_token")];
        let answer = self.client.post_form(&self.url, &fields, Some(self.authorization.clone())).await;
        let now = chrono::Utc::now().timestamp();
        let outcome =
            answer.and_then(|answer| self.read(&answer, now).map_err(|why| format!("{}: {why}", self.url.authority())));
        metrics::counter!(
            "scimshim_introspections_total", "outcome" => if outcome.is_ok() { "ok" } else { "failed" }
        )
        .increment(1);
        let mut said = self.said();
        match outcome {
            Ok(outcome) => {
                let left = |end: i64| Duration::from_secs(u64::try_from(end.saturating_sub(now)).unwrap_or(0));
                let keep = match &outcome {
                    Ok(token) => self.cache.min(left(token.expires)),
                    Err(_) => self.cache.min(REFUSED),
                };
                said.failed = None;
                said.remember(*fingerprint, Answer { until: Instant::now() + keep, outcome: outcome.clone() });
                outcome.map_err(Denied::Refused)
            }
            Err(why) => {
                tracing::warn!(why, "a token could not be asked about");
                said.failed = Some((Instant::now(), why.clone()));
                Err(Denied::Unavailable(why))
            }
        }
    }

    /// Reads an answer (RFC 7662 2.2). The outer error: it is none.
    fn read(&self, answer: &[u8], now: i64) -> Result<Result<Verified, String>, String> {
        let claims = object_of(answer, "answer")?;
        match claims.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => {
                return Ok(Err("the token's authorization server says that it is not active".to_owned()));
            }
            _ => return Err("the answer has no `active`".to_owned()),
        }
        Ok(self.accept(claims, now))
    }

    fn accept(&self, claims: serde_json::Map<String, Value>, now: i64) -> Result<Verified, String> {
        if let Some(expected) = &self.issuer
            && text(&claims, "iss")?.as_ref() != Some(expected)
        {
            return Err(format!("the token's `iss` is not `{expected}`"));
        }
        if !self.audiences.is_empty() {
            Rules::audience(&claims, &self.audiences)?;
        }
        // The server has looked at the times by its own clock; an end that it names bounds what is remembered.
        let expires = Rules::times(&claims, now)?.unwrap_or(i64::MAX);
        let subject = text(&claims, "sub")?;
        Rules::required(&claims, subject.as_deref(), self.required.subject.as_deref(), &self.required.claims)?;
        Ok(Verified { subject, id: text(&claims, "jti")?, expires, claims })
    }
}

impl Said {
    fn remember(&mut self, fingerprint: Fingerprint, answer: Answer) {
        if self.tokens.len() >= TOKENS {
            let now = Instant::now();
            self.tokens.retain(|_, answer| now < answer.until);
            if self.tokens.len() >= TOKENS {
                self.tokens.clear();
            }
        }
        self.tokens.insert(fingerprint, answer);
    }
}

#[cfg(test)]
mod tests;
