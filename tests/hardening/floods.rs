//! HTTP/2 floods: resets, CONTINUATION, PING, SETTINGS, streams without end or window. Memory stays bounded, and somebody
//! else is served meanwhile.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::good_client::GoodClient;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Memory, Options, Service, describe};
use crate::support::{client, file, report, size};

/// The floods, and whether the server must end connections over them.
const FLOODS: [(&str, bool); 6] = [
    ("reset", true),
    ("continuation", true),
    ("ping", false),
    ("settings", false),
    ("headers", true),
    ("window", true),
];

#[test]
fn of_http_2() {
    let seconds = size("SCIMSHIM_ATTACK_SECONDS", 10).min(20) / 2;
    let database = Database::small(Engine::Sqlite);
    let servers = "{ test: { default: true, authentication: bearer, discovery_without_authentication: true } }";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    let id = service.client().post("/Users", &client::user("good", json!({}))).expect(201).id();
    for (flood, must_end) in FLOODS {
        let good = GoodClient::start(&service, &format!("/Users/{id}"));
        let before = service.memory().now;
        let attackers: Vec<_> = (0..3)
            .map(|_| {
                Command::new("python3")
                    .arg(file("tests/hardening/python/h2_flood.py"))
                    .args(["127.0.0.1", &service.address().port().to_string()])
                    .arg(service.ca_file())
                    .args([flood, &seconds.to_string()])
                    .stdin(Stdio::null())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .expect("python3 runs")
            })
            .collect();
        let (mut frames, mut ended) = (0, 0);
        for attacker in attackers {
            let output = attacker.wait_with_output().expect("an end");
            assert!(output.status.success(), "{flood}: {}", describe(&output));
            let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert!(told["connections"].as_u64() >= Some(1), "{flood}: {told}");
            frames += told["frames"].as_u64().expect("a number");
            ended += told["ended"].as_u64().expect("a number");
        }
        assert!(frames > 100, "{flood}: {frames} frames");
        assert!(!must_end || ended > 0, "{flood}: nobody ended it");
        let served = good.end();
        served.assert_well(flood);
        let Memory { now, most } = service.memory();
        let most = most >> 10;
        assert!(most < 400 && now - before < 150 << 10, "{flood}: {before} KiB, then {now}, at most {most} MiB");
        report(
            "floods",
            &format!(
                "{flood}: {frames} frames, {ended} connections ended; somebody else asked {} times, {} failures, slowest {:.2} s; {most} MiB at most",
                served.requests,
                served.failures.len(),
                served.slowest
            ),
        );
    }
    service.client().get(&format!("/Users/{id}")).expect(200);
}
