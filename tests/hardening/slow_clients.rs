//! slowhttptest: slow heads, slow bodies, slow readers, a thousand connections at once. Somebody else is served meanwhile, with
//! the cap of connections per address and without it.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::good_client::GoodClient;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, describe};
use crate::support::{client, report, size};

/// How each attack is asked for. The bodies never come, the answers are never read.
const ATTACKS: [(&str, &[&str]); 3] = [
    ("slow heads", &["-H", "-i", "2"]),
    ("slow bodies", &["-B", "-i", "2", "-s", "1000000", "-t", "POST"]),
    ("slow readers", &["-X", "-w", "1", "-y", "2", "-n", "2", "-z", "1", "-k", "3"]),
];

fn attacked(what: &str, limits: &str) {
    let seconds = size("SCIMSHIM_ATTACK_SECONDS", 10);
    let connections = size("SCIMSHIM_ATTACK_CONNECTIONS", 1000);
    let database = Database::small(Engine::Sqlite);
    let servers = "{ test: { default: true, authentication: bearer, discovery_without_authentication: true } }";
    let service = Service::start(&database, Options::small().identity_servers(servers).more(limits));
    let id = service.client().post("/Users", &client::user("good", json!({}))).expect(201).id();
    for (attack, arguments) in ATTACKS {
        let good = GoodClient::start(&service, &format!("/Users/{id}"));
        let output = Command::new("slowhttptest")
            .args(arguments)
            .args(["-c", &connections.to_string(), "-r", "400", "-l", &seconds.to_string(), "-p", "3"])
            .args(["-u", &format!("https://127.0.0.1:{}/scim/v2/Schemas", service.address().port())])
            .stdin(Stdio::null())
            .output()
            .expect("slowhttptest runs: scripts/need test installs it");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("slow HTTP test status"), "{attack}: {}", describe(&output));
        let served = good.end();
        served.assert_well(&format!("{attack}, {what}"));
        let most = service.memory().most >> 10;
        report(
            "slow clients",
            &format!(
                "{attack}, {connections} connections, {what}: somebody else asked {} times, {} failures, slowest {:.2} s; {most} MiB at most",
                served.requests,
                served.failures.len(),
                served.slowest
            ),
        );
        assert!(most < 400, "{attack}: {most} MiB");
    }
    // And everything is as before.
    service.client().get(&format!("/Users/{id}")).expect(200);
}

#[test]
fn with_the_cap_per_address() {
    attacked("256 connections an address", "");
}

#[test]
fn without_the_cap_per_address() {
    attacked("no cap an address", "limits: { connections_per_address: 4096, connections: 4096 }");
}
