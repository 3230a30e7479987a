//! What a refusal's time tells somebody who guesses: how long a wrong password and an unknown user take, in turn, each with a
//! password never tried before, and the same for tokens that were revoked and tokens that never were. Part of `make bench`.
//!
//! The two must look alike. That the same keys are derived for both is counted by a test; this shows the distribution.
//!
//! `cargo bench --bench guesses -- [--rounds N]`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on ends"
)]
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(dead_code, unused_imports, reason = "the tests' support is used in part")]

#[path = "../../tests/black_box/auth.rs"]
mod auth;
#[path = "../../tests/support/mod.rs"]
mod support;

use auth::{DigestClient, HASH, PASSWORD, basic};
use std::time::{Duration, Instant};
use support::databases::{Database, Engine};
use support::service::{Options, Service};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let rounds = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => 300,
        ["--rounds", number] => number.parse().expect("a number of rounds"),
        other => panic!("only --rounds N is known, not {other:?}"),
    };
    let database = Database::small(Engine::Sqlite);
    let servers = format!(
        "\n  test: {{ default: true, authentication: bearer }}\n  \
         hashed: {{ authentication: {{ basic: {{ username: hr, password_hash: \"{HASH}\" }} }} }}\n  \
         plain: {{ authentication: {{ basic: {{ username: hr, password: \"{PASSWORD}\" }} }} }}\n  \
         digest: {{ authentication: {{ digest: {{ username: hr, password: \"{PASSWORD}\" }} }} }}\n"
    );
    let options = Options::small().identity_servers(&servers).more("limits: { failures_per_minute: 1000000 }");
    let service = Service::start(&database, options);
    println!("{rounds} guesses of each kind, in turn; milliseconds\n");
    println!("| method | guess | p10 | p50 | p90 | p99 |\n| --- | --- | ---: | ---: | ---: | ---: |");

    let wrong_and_unknown = ["hr", "no"];
    for (server, method) in [("hashed", "Basic, bcrypt of cost 10"), ("plain", "Basic, plain"), ("digest", "Digest")] {
        let path = format!("/scim/{server}/v2/Users");
        let challenge = service.client_with("/scim/digest/v2", None).get("/Users").expect(401);
        let nonce = DigestClient::nonce(challenge.header("www-authenticate").expect("a challenge"));
        let value = |user: &str, round: usize| match server {
            "digest" => DigestClient {
                username: format!("username=\"{user}\""),
                password: format!("{user} {round}"),
                ..DigestClient::new(&path)
            }
            .authorization(&nonce),
            _ => basic(user, &format!("{user} {round}")),
        };
        let times = measure(&service, &path, rounds, |kind, round| value(wrong_and_unknown[kind], round));
        print(method, ["wrong password", "unknown user"], times);
    }

    let revoked = service.issue("test");
    assert!(service.run(&["token", "revoke", "test", "--all"]).status.success());
    // Revoked everywhere within a second.
    std::thread::sleep(Duration::from_millis(1500));
    let times = measure(&service, "/scim/v2/Users", rounds, |kind, round| match kind {
        0 => format!("Bearer {revoked}"),
        // Another signature at its end.
        _ => format!("Bearer {}{:05}", &revoked[..revoked.len() - 5], round),
    });
    print("Bearer", ["revoked token", "made-up token"], times);
}

/// How long the refusals of two kinds of credentials take, neither of them always first.
fn measure(
    service: &Service,
    path: &str,
    rounds: usize,
    credential: impl Fn(usize, usize) -> String,
) -> [Vec<Duration>; 2] {
    let mut client = service.client_with("", None);
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for kind in [round % 2, 1 - round % 2] {
            let value = credential(kind, round);
            let began = Instant::now();
            let answer = client.send("GET", path, &[("Authorization", &value)], None).expect("an answer");
            times[kind].push(began.elapsed());
            assert_eq!(answer.status, 401, "{}", answer.text());
        }
    }
    times
}

fn print(method: &str, kinds: [&str; 2], times: [Vec<Duration>; 2]) {
    for (kind, mut times) in kinds.into_iter().zip(times) {
        times.sort();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
        println!("| {method} | {kind} | {:.3} | {:.3} | {:.3} | {:.3} |", at(10), at(50), at(90), at(99));
    }
}
