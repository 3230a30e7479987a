//! What a browser brings to the authorization endpoint (RFC 6749 4.1.1), and the way back to the client (4.1.2, RFC 9207).
//!
//! As long as client and redirect_uri are not known to belong together, nothing is sent anywhere: the person at the browser
//! is told (RFC 9700 4.11).

use super::Authority;
use super::parameters::Parameters;
use super::pkce;
use super::refusal::{Code, Refusal};
use super::scope::Scope;
use crate::config::OauthClient;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The longest `state`, in bytes.
const LONGEST_STATE: usize = 4096;
/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A request that an administrator may agree to.
pub struct AuthorizationRequest<'a> {
    /// Who asks.
    pub client: &'a OauthClient,
    /// Where the answer goes.
    pub redirect_uri: &'a str,
    /// Whether the request said so.
    pub redirect_said: bool,
    /// What the client wants back.
    pub state: Option<String>,
    /// For what.
    pub scope: Scope,
    /// The PKCE challenge.
    pub challenge: Option<String>,
}

/// A request that is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The person is told; nobody else.
    Told(Refusal),
    /// The client is told, by sending the browser there.
    Sent {
        /// The URL.
        to: String,
        /// Why, for the log.
        refusal: Refusal,
    },
}

impl<'a> AuthorizationRequest<'a> {
    /// Reads the parameters of a query, or of the form that repeats them.
    pub fn read(authority: &'a Authority, parameters: &Parameters) -> Result<Self, Wrong> {
        let id = parameters.required("client_id").map_err(Wrong::Told)?;
        let unknown = || Wrong::Told(Refusal::request("no such client is known at this identity server"));
        let client = authority.client(id).ok_or_else(unknown)?;
        if !client.flows.authorization_code {
            let why = "this client may not ask for authorization: it speaks for itself (client_credentials)";
            return Err(Wrong::Told(Refusal::new(Code::UnauthorizedClient, why)));
        }
        let said = parameters.get("redirect_uri").map_err(Wrong::Told)?;
        // RFC 9700 4.1.3: exactly, character by character.
        let redirect_uri = match (said, client.redirect_uris.as_slice()) {
            (Some(said), known) => known.iter().find(|known| *known == said),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let Some(redirect_uri) = redirect_uri else {
            let why = match said {
                Some(_) => "the redirect_uri is not one of those configured for this client",
                None => "the parameter redirect_uri is missing",
            };
            return Err(Wrong::Told(Refusal::request(why)));
        };
        let state = parameters.get("state");
        let sent = |refusal: Refusal| Wrong::Sent {
            to: back(authority, redirect_uri, state.as_ref().ok().copied().flatten(), &refused(&refusal)),
            refusal,
        };
        match state.as_ref() {
            Err(refusal) => return Err(sent(refusal.clone())),
            Ok(Some(state)) if state.len() > LONGEST_STATE => {
                return Err(Wrong::Told(Refusal::request("the parameter state is too long")));
            }
            Ok(_) => {}
        }
        let one = |name: &str| parameters.get(name).map_err(sent);
        match one("response_type")? {
            Some("code") => {}
            Some(_) => {
                let why = "the only response_type is code";
                return Err(sent(Refusal::new(Code::UnsupportedResponseType, why)));
            }
            None => return Err(sent(Refusal::request("the parameter response_type is missing"))),
        }
        if one("response_mode")?.is_some_and(|mode| mode != "query") {
            return Err(sent(Refusal::request("the only response_mode is query")));
        }
        let scope = Scope::read(one("scope")?).map_err(sent)?;
        let challenge =
            pkce::challenge(one("code_challenge")?, one("code_challenge_method")?, client.is_public()).map_err(sent)?;
        Ok(Self {
            client,
            redirect_uri,
            redirect_said: said.is_some(),
            state: state.ok().flatten().map(str::to_owned),
            scope,
            challenge,
        })
    }

    /// The URL that brings the client a code.
    pub fn granted(&self, authority: &Authority, code: &str) -> String {
        back(authority, self.redirect_uri, self.state.as_deref(), &[("code", code)])
    }

    /// The URL that tells the client of a refusal.
    pub fn refused(&self, authority: &Authority, refusal: &Refusal) -> String {
        back(authority, self.redirect_uri, self.state.as_deref(), &refused(refusal))
    }

    /// The parameters as the form repeats them.
    pub fn repeated(&self) -> Vec<(&'static str, &str)> {
        let mut all = vec![("response_type", "code"), ("client_id", self.client.id.as_str())];
        if self.redirect_said {
            all.push(("redirect_uri", self.redirect_uri));
        }
        all.push(("scope", self.scope.word()));
        if let Some(state) = &self.state {
            all.push(("state", state));
        }
        if let Some(challenge) = &self.challenge {
            all.extend([("code_challenge", challenge.as_str()), ("code_challenge_method", "S256")]);
        }
        all
    }
}

fn refused(refusal: &Refusal) -> [(&'static str, &str); 2] {
    [("error", refusal.code.word()), ("error_description", &refusal.description)]
}

/// A redirect_uri with an answer in its query. What stands in its query already stays (RFC 6749 3.1.2).
fn back(authority: &Authority, redirect_uri: &str, state: Option<&str>, answer: &[(&str, &str)]) -> String {
    let mut url = redirect_uri.to_owned();
    let mut separator = if redirect_uri.contains('?') { '&' } else { '?' };
    let more = state.map(|state| ("state", state)).into_iter().chain([("iss", authority.issuer.as_str())]);
    for (name, value) in answer.iter().copied().chain(more) {
        url.push(separator);
        url.push_str(name);
        url.push('=');
        url.extend(utf8_percent_encode(value, RESERVED));
        separator = '&';
    }
    url
}

#[cfg(test)]
mod tests {
    use super::super::tests::authority;
    use super::*;

    const CALLBACK: &str = "https%3A%2F%2Fokta.example.com%2Fcb";

    fn read(query: &str) -> Result<String, Wrong> {
        let authority = authority();
        let request = AuthorizationRequest::read(&authority, &Parameters::read(query.as_bytes()).unwrap())?;
        Ok(request.granted(&authority, "the code"))
    }

    #[test]
    fn what_is_sent_back() {
        let url =
            read(&format!("response_type=code&client_id=okta&redirect_uri={CALLBACK}&state=a%26b%0d%0a")).unwrap();
        assert_eq!(
            url,
            "https://okta.example.com/cb?code=the%20code&state=a%26b%0D%0A&iss=https%3A%2F%2Fscim.example.com%2Foauth2%2Ftest"
        );
        // One with a query of its own.
        let url = read("response_type=code&client_id=authentik").unwrap();
        assert!(url.starts_with("https://authentik.example.com/cb?tenant=1&code="), "{url}");
    }

    #[test]
    fn nothing_is_sent_to_strangers() {
        for query in [
            "".to_owned(),
            "client_id=nobody".into(),
            "client_id=okta&client_id=okta".into(),
            // Two are configured: one must be said.
            "client_id=okta&response_type=code".into(),
            format!("client_id=okta&redirect_uri={CALLBACK}x"),
            format!("client_id=okta&redirect_uri={CALLBACK}%2F"),
            format!("client_id=okta&redirect_uri={CALLBACK}%3Fa"),
            "client_id=okta&redirect_uri=https%3A%2F%2FOKTA.example.com%2Fcb".into(),
            "client_id=okta&redirect_uri=https%3A%2F%2Fevil.example.com%2Fcb".into(),
            format!("client_id=okta&redirect_uri={CALLBACK}&redirect_uri={CALLBACK}"),
            // Another client's.
            "client_id=authentik&redirect_uri=https%3A%2F%2Fokta.example.com%2Fcb".into(),
            "client_id=machine".into(),
            format!("response_type=code&client_id=okta&redirect_uri={CALLBACK}&state={}", "x".repeat(5000)),
        ] {
            assert!(matches!(read(&query), Err(Wrong::Told(_))), "{query}");
        }
    }

    #[test]
    fn mistakes_are_sent_to_the_client() {
        let known = format!("client_id=okta&redirect_uri={CALLBACK}&state=s");
        for (query, code) in [
            (known.clone(), "invalid_request"),
            (format!("{known}&response_type=token"), "unsupported_response_type"),
            (format!("{known}&response_type=code&response_type=code"), "invalid_request"),
            (format!("{known}&response_type=code&response_mode=fragment"), "invalid_request"),
            (format!("{known}&response_type=code&scope=admin"), "invalid_scope"),
            (format!("{known}&response_type=code&code_challenge=x&code_challenge_method=plain"), "invalid_request"),
            (format!("{known}&response_type=code&code_challenge={}", "x".repeat(43)), "invalid_request"),
            ("response_type=code&client_id=public&state=s".into(), "invalid_request"),
        ] {
            match read(&query) {
                Err(Wrong::Sent { to, refusal }) => {
                    assert_eq!(refusal.code.word(), code, "{query}");
                    assert!(to.contains(&format!("?error={code}&")), "{to}");
                    assert!(to.contains("&state=s&iss="), "{to}");
                }
                Err(wrong) => panic!("{query}: {wrong:?}"),
                Ok(url) => panic!("{query}: {url}"),
            }
        }
        // A state that stands twice is not sent back.
        match read(&format!("{known}&state=t")) {
            Err(Wrong::Sent { to, .. }) => assert!(!to.contains("state="), "{to}"),
            other => panic!("{other:?}"),
        }
    }
}
