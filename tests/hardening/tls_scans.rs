//! sslyze and testssl.sh against the service, by Mozilla's intermediate profile: no finding of medium severity or higher, but
//! those of tests/hardening/tls.yaml, each with its reason. A listed finding that is gone fails too.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, describe};
use crate::support::{file, report};
use crate::tools;

/// The findings that are excepted, by tool.
fn excepted(tool: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file("tests/hardening/tls.yaml")).expect("the list");
    let list: Value = serde_yaml::from_str(&text).expect("YAML");
    let list = list[tool].as_array().unwrap_or_else(|| panic!("nothing for {tool}"));
    let one = |entry: &Value| {
        assert!(entry["why"].as_str().is_some_and(|why| why.len() > 20), "a reason for {entry}");
        entry["id"].as_str().expect("an id").to_owned()
    };
    list.iter().map(one).collect()
}

fn service() -> (Database, Service) {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().more("limits: { failures_per_minute: 1000000 }"));
    (database, service)
}

#[test]
fn sslyze_by_mozillas_intermediate_profile() {
    let (_database, service) = service();
    let told = service.folder().join("sslyze.json");
    let output = tools::python("sslyze")
        .args(["--mozilla_config", "intermediate", "--json_out"])
        .arg(&told)
        .arg(format!("localhost:{}", service.address().port()))
        .output()
        .expect("sslyze runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("COMPLIANCE AGAINST TLS CONFIGURATION"), "{}", describe(&output));
    // "* tls_curves: ..." below the verdict, one line a deviation.
    let verdict = said.split("COMPLIANCE AGAINST TLS CONFIGURATION").nth(1).unwrap_or_default();
    let found: BTreeSet<String> = verdict
        .lines()
        .filter_map(|line| line.trim().strip_prefix("* ")?.split_once(": ").map(|(id, _)| id.to_owned()))
        .collect();
    assert_eq!(found, excepted("sslyze"), "{verdict}");
    let told: Value = serde_json::from_slice(&std::fs::read(told).expect("a report")).expect("JSON");
    let scan = &told["server_scan_results"][0]["scan_result"];
    let mut attempted = 0;
    for (command, vulnerable) in [
        ("heartbleed", "is_vulnerable_to_heartbleed"),
        ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection"),
        ("tls_compression", "supports_compression"),
        ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos"),
    ] {
        assert_eq!(scan[command]["status"], "COMPLETED", "{command}: {}", scan[command]);
        assert_eq!(scan[command]["result"][vulnerable], false, "{command}: {}", scan[command]);
        attempted += 1;
    }
    for version in ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3"] {
        let accepted = &scan[format!("{version}_cipher_suites")]["result"]["accepted_cipher_suites"];
        let count = accepted.as_array().unwrap_or_else(|| panic!("{version}: {scan}")).len();
        assert_eq!(count > 0, version.ends_with("1_2") || version.ends_with("1_3"), "{version}: {accepted}");
        attempted += 1;
    }
    report(
        "TLS",
        &format!("sslyze, Mozilla intermediate: {} excepted findings, {attempted} scans of its own", found.len()),
    );
}

#[test]
fn testssl() {
    let (_database, service) = service();
    let told = service.folder().join("testssl.json");
    let output = Command::new("testssl")
        .args(["--quiet", "--color", "0", "--warnings", "off", "--ip", "one", "--jsonfile"])
        .arg(&told)
        .arg(format!("https://localhost:{}", service.address().port()))
        .env("OPENSSL_CONF", "")
        .stdin(Stdio::null())
        .output()
        .expect("testssl runs: scripts/need test installs testssl.sh");
    let text = std::fs::read_to_string(&told).unwrap_or_else(|error| panic!("{error}: {}", describe(&output)));
    let findings: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let findings = findings.as_array().expect("a list");
    assert!(findings.len() > 80, "{} findings: {}", findings.len(), describe(&output));
    let severe =
        |finding: &&Value| matches!(finding["severity"].as_str(), Some("MEDIUM" | "HIGH" | "CRITICAL" | "FATAL"));
    let found: BTreeSet<String> =
        findings.iter().filter(severe).map(|finding| finding["id"].as_str().unwrap_or_default().to_owned()).collect();
    let told: Vec<String> = findings.iter().filter(severe).map(Value::to_string).collect();
    assert_eq!(found, excepted("testssl"), "{told:#?}");
    report(
        "TLS",
        &format!("testssl.sh: {} findings, {} of medium or higher, all excepted", findings.len(), found.len()),
    );
}
