//! What an authorization server says of itself (RFC 8414).

use super::Call;
use super::answer::Answer;
use crate::identity::oauth2::scope::Scope;
use hyper::StatusCode;
use serde_json::json;

impl Call<'_> {
    /// The document. It says what the configured clients use, not all that there is.
    pub(super) fn metadata(&self) -> Answer {
        let issuer = &self.authority.issuer;
        let clients = self.authority.clients();
        let mut methods = Vec::new();
        if clients.iter().any(|client| !client.secret_hashes.is_empty()) {
            methods.extend(["client_secret_basic", "client_secret_post"]);
        }
        let asserting = clients.iter().any(|client| client.assertion.is_some());
        if asserting {
            methods.push("private_key_jwt");
        }
        if clients.iter().any(|client| client.is_public()) {
            methods.push("none");
        }
        let code = clients.iter().any(|client| client.flows.authorization_code);
        let mut grants = Vec::new();
        if code {
            grants.extend(["authorization_code", "refresh_token"]);
        }
        if clients.iter().any(|client| client.flows.client_credentials) {
            grants.push("client_credentials");
        }
        let mut document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "revocation_endpoint": format!("{issuer}/revoke"),
            "scopes_supported": Scope::WORDS,
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": grants,
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
            "ui_locales_supported": ["en"],
        });
        if let Some(object) = document.as_object_mut() {
            if !code {
                // RFC 8414 2: required unless no grant type uses it.
                object.shift_remove("authorization_endpoint");
                object.insert("response_types_supported".to_owned(), json!([]));
            }
            if asserting {
                let algorithms = crate::identity::oauth2::assertion::ALGORITHMS;
                for endpoint in ["token", "revocation"] {
                    object.insert(format!("{endpoint}_endpoint_auth_signing_alg_values_supported"), json!(algorithms));
                }
            }
        }
        Answer::json(StatusCode::OK, &document)
    }
}
