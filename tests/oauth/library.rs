//! Authlib, an OAuth client that is not ours, through all flows.

use crate::assertions::{self, Signer};
use crate::setup::{ADA, CALLBACK, SECRET};
use crate::support::databases::Engine;
use crate::support::file;
use crate::support::service::describe;
use crate::tools;

fn all_flows(engine: Engine) {
    let signer = Signer::new();
    let (_database, service) = assertions::start(engine, &signer);
    let key = service.folder().join("signing.pem");
    std::fs::write(&key, signer.pem()).expect("a file");
    let output = tools::python("python")
        .arg(file("tests/conformance/python/oauth.py"))
        .arg(service.url())
        .arg(service.ca_file())
        .args([CALLBACK, "idp", SECRET, "machine", SECRET, "signing"])
        .arg(key)
        .args([ADA.0, ADA.1])
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", describe(&output));
    let done: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let done = done.as_object().expect("an object");
    for flow in ["authorization_code", "refresh_token", "revoked", "client_credentials"] {
        for method in ["client_secret_basic", "client_secret_post"] {
            assert!(done.contains_key(&format!("{flow} {method}")), "{done:?}");
        }
    }
    assert_eq!(done["wrong secret"], "invalid_client");
    assert!(done.contains_key("client_credentials private_key_jwt"));
    assert_eq!(done.len(), 10, "{done:?}");
}

#[test]
fn all_flows_on_postgres() {
    all_flows(Engine::Postgres);
}

#[test]
fn all_flows_on_mariadb() {
    all_flows(Engine::MariaDb);
}
