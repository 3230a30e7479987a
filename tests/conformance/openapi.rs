//! The OpenAPI document is of the adapter that is compiled now, and schemathesis finds no answer that it does not describe:
//! no server error, no body that does not fit its schema, no status that is not named, nothing shown without a token.
//!
//! SCIMSHIM_SCHEMATHESIS_EXAMPLES says how many requests it makes up for each operation, SCIMSHIM_SCHEMATHESIS_SEED which.

use serde_json::Value;

use crate::support::service::describe;
use crate::support::{file, report, repository, size};
use crate::{applications, tools};

/// `SCIMSHIM_BLESS=1` writes the document instead of comparing.
#[test]
fn the_document_is_up_to_date() {
    let (_database, service) = applications::plain_demo();
    let printed = service.run(&["adapters", "--openapi"]);
    assert!(printed.status.success(), "{}", describe(&printed));
    let now = String::from_utf8(printed.stdout).unwrap();
    let path = repository().join("docs/openapi.json");
    if std::env::var_os("SCIMSHIM_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == now,
        "docs/openapi.json is not what `scimshim adapters demo --openapi` prints: `make openapi` writes it"
    );
    // Of an adapter that is not the configured one nothing is known.
    let other = service.run(&["adapters", "--openapi", file("adapters/snipe-it.yaml").to_str().unwrap()]);
    assert!(!other.status.success());
    assert!(String::from_utf8_lossy(&other.stderr).contains("is not the adapter of"), "{}", describe(&other));
}

#[test]
fn schemathesis_on_sqlite() {
    let (_database, service) = applications::demo();
    let examples = size("SCIMSHIM_SCHEMATHESIS_EXAMPLES", 4);
    let seed = size("SCIMSHIM_SCHEMATHESIS_SEED", 1);
    let told = service.folder().join("schemathesis.json");
    let output = tools::python("schemathesis")
        .arg("--config-file")
        .arg(file("tests/conformance/schemathesis.toml"))
        .args(["--no-color", "run"])
        .arg(file("docs/openapi.json"))
        .args(["--url", &format!("{}/scim/v2", service.url()), "--tls-verify"])
        .arg(service.ca_file())
        .args(["--header", &format!("Authorization: Bearer {}", service.token())])
        .args(["--checks", CHECKS, "--phases", "coverage,fuzzing,stateful", "--continue-on-failure"])
        .args(["--seed", &seed.to_string(), "--max-examples", &examples.to_string(), "--generation-database", "none"])
        .args(["--report", "json", "--report-json-path"])
        .arg(&told)
        .current_dir(service.folder())
        .output()
        .expect("schemathesis runs");
    let said = || format!("seed {seed}: {}", describe(&output));
    let told: Value = std::fs::read(&told)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_else(|| panic!("schemathesis told nothing: {}", said()));
    assert_eq!(told["failures"], Value::Array(Vec::new()), "{}", said());
    assert_eq!(told["errors"], Value::Array(Vec::new()), "{}", said());
    assert!(output.status.success(), "{}", said());
    // All of it ran.
    assert_eq!(
        (&told["complete"], &told["stop_reason"]),
        (&Value::Bool(true), &Value::from("completed")),
        "{}",
        said()
    );
    let operations = &told["operations"];
    assert!(operations["total"].as_u64() >= Some(30), "{operations}");
    assert_eq!(operations["tested"], operations["total"], "{operations}");
    for phase in ["coverage", "fuzzing", "stateful"] {
        assert_eq!(told["phases"][phase]["status"], "success", "{phase}: {}", told["phases"]);
    }
    let cases = &told["test_cases"];
    assert!(cases["generated"].as_u64() >= Some(1000), "{cases}");
    assert_eq!((&cases["with_failures"], &cases["errored"]), (&Value::from(0), &Value::from(0)), "{cases}");
    // Requests that were let in, not only ones that were turned away.
    for operation in ["GET /Users", "POST /Users/.search", "POST /.search", "POST /Bulk", "POST /Groups", "POST /Users"]
    {
        let rates = told["valid_rates"][operation]
            .as_object()
            .unwrap_or_else(|| panic!("{operation}: {}", told["valid_rates"]));
        let accepted: u64 = rates.values().filter_map(|phase| phase["accepted"].as_u64()).sum();
        assert!(accepted > 0, "{operation}: {rates:?}");
    }
    report(
        "schemathesis",
        &format!("{} operations, {} requests (seed {seed}): no failure", operations["tested"], cases["generated"]),
    );
}

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,ignored_auth,allow_header_conformance";
