//! scim2-tester and scim-sanity, which create, change and delete resources of a running service and look at every answer.

use std::collections::BTreeMap;
use std::process::Output;

use serde_json::Value;

use crate::support::service::{Service, describe};
use crate::support::{real_case, report};
use crate::{applications, closed, tools};

const FINDINGS: &str = "tests/conformance/findings.yaml";

#[test]
fn demo_on_sqlite() {
    let (_database, service) = applications::demo();
    tested("demo on SQLite", &service);
}

#[test]
fn snipe_it_on_mariadb() {
    snipe_it("Snipe-IT on MariaDB", "tests/conformance/adapters/snipe-it.yaml");
}

/// A site that wants back exactly what was sent says so in five lines of its own, and the testers find nothing.
#[test]
fn plain_snipe_it_on_mariadb() {
    snipe_it("plain Snipe-IT on MariaDB", "tests/conformance/adapters/snipe-it-plain.yaml");
}

#[test]
fn small_on_mariadb() {
    let (_database, service) = applications::small("tests/conformance/adapters/small.yaml");
    tested("small on MariaDB", &service);
}

#[test]
fn plain_small_on_mariadb() {
    let (_database, service) = applications::small("tests/conformance/adapters/small-plain.yaml");
    tested("plain small on MariaDB", &service);
}

fn snipe_it(run: &str, adapter: &str) {
    match applications::snipe_it(adapter) {
        Some((_database, service)) => {
            tested(run, &service);
            real_case(&format!("conformance testers: {run} 8.6.3"));
        }
        None => println!("../shared is not here: nothing was tested"),
    }
}

fn tested(run: &str, service: &Service) {
    let (passed, mut found) = scim2_tester(service);
    let (fine, more) = scim_sanity(service);
    let listed = found.len() + more.len();
    found.extend(more);
    closed::compare(run, &found, FINDINGS);
    report(
        "testers",
        &format!("{run}: scim2-tester {passed} checks passed, scim-sanity {fine}; {listed} listed findings"),
    );
}

/// A check and what is said of it.
type Finding = (String, String);

/// How many checks succeeded, and all others.
fn scim2_tester(service: &Service) -> (usize, Vec<Finding>) {
    let output = tools::python("scim2")
        .args(["--url", &format!("{}/scim/v2", service.url()), "test"])
        .env("SCIM_CLI_HEADERS", format!("Authorization: Bearer {}", service.token()))
        .env("SSL_CERT_FILE", service.ca_file())
        .output()
        .expect("scim2 runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with("Performing a SCIM compliance check on"), "scim2-tester: {}", describe(&output));
    let mut checks: Vec<(&str, String, String)> = Vec::new();
    for line in lines {
        match line.split_once(' ') {
            Some((
                status @ ("SUCCESS" | "ERROR" | "CRITICAL" | "SKIPPED" | "DEVIATION" | "ACCEPTABLE" | "COMPLIANT"),
                check,
            )) => {
                checks.push((status, check.to_owned(), String::new()));
            }
            Some(("", _)) | Some(("Patched" | "Returned" | "Expected", _)) if !checks.is_empty() => {
                let said = &mut checks.last_mut().unwrap().2;
                said.push_str(line.trim());
                said.push(' ');
            }
            _ => panic!("scim2-tester says {line:?}, which is not understood here: {}", describe(&output)),
        }
    }
    let found: Vec<Finding> = checks
        .iter()
        .filter(|(status, ..)| *status != "SUCCESS")
        .map(|(status, check, said)| (check.clone(), format!("{status} {said}")))
        .collect();
    let passed = checks.len() - found.len();
    // It knows of some thirty kinds of check, and of some it does one for each attribute.
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    checks.iter().for_each(|(_, check, _)| *kinds.entry(check).or_default() += 1);
    for kind in [
        "object_creation",
        "object_replacement",
        "object_deletion",
        "check_add_attribute",
        "check_remove_attribute",
        "check_replace_attribute",
    ] {
        assert!(kinds.get(kind).is_some_and(|n| *n >= 2), "scim2-tester did no {kind} of users and groups: {kinds:?}");
    }
    assert!(passed >= 70, "scim2-tester: {}", describe(&output));
    expect_status(&output, found.is_empty());
    (passed, found)
}

/// How many checks passed, and what failed.
fn scim_sanity(service: &Service) -> (usize, Vec<Finding>) {
    let output = tools::python("scim-sanity")
        .args(["probe", &format!("{}/scim/v2", service.url()), "--token", service.token(), "--ca-bundle"])
        .arg(service.ca_file())
        .args(["--strict", "--json-output", "--i-accept-side-effects"])
        .output()
        .expect("scim-sanity runs");
    let told: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("scim-sanity: {error}: {}", describe(&output)));
    let results = told["results"].as_array().unwrap_or_else(|| panic!("scim-sanity: {}", describe(&output)));
    let mut passed = 0;
    let mut found = Vec::new();
    for result in results {
        let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
        match result["status"].as_str() {
            Some("pass") => passed += 1,
            // A draft's resource types, which nobody has.
            Some("skip") if result["name"].as_str().is_some_and(|name| name.starts_with("Agent")) => {}
            Some("fail" | "error" | "warn" | "skip") => {
                found.push((text("name"), format!("{} {}", text("status"), text("message"))));
            }
            status => panic!("scim-sanity says {status:?}, which is not understood here: {result}"),
        }
    }
    assert_eq!(told["summary"]["passed"], passed, "{}", told["summary"]);
    assert!(passed >= 25, "scim-sanity: {}", told["summary"]);
    let failed = found.iter().any(|(_, said)| said.starts_with("fail") || said.starts_with("error"));
    expect_status(&output, !failed);
    (passed, found)
}

/// A tool's exit status is what its output says.
fn expect_status(output: &Output, fine: bool) {
    assert_eq!(output.status.code(), Some(if fine { 0 } else { 1 }), "{}", describe(output));
}
