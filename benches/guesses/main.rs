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
#[path = "../../tests/black_box/auth_timing.rs"]
mod auth_timing;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::time::Duration;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let rounds = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => 300,
        ["--rounds", number] => number.parse().expect("a number of rounds"),
        other => panic!("only --rounds N is known, not {other:?}"),
    };
    let (service, _database) = auth_timing::service();
    println!("{rounds} guesses of each kind, in turn; milliseconds\n");
    println!("| method | guess | p10 | p50 | p90 | p99 |\n| --- | --- | ---: | ---: | ---: | ---: |");

    for (server, method) in [("hashed", "Basic, bcrypt of cost 10"), ("plain", "Basic, plain"), ("digest", "Digest")] {
        print(method, ["wrong password", "unknown user"], auth_timing::of_passwords(&service, server, rounds));
    }

    let revoked = service.issue("test");
    assert!(service.run(&["token", "revoke", "test", "--all"]).status.success());
    // Revoked everywhere within a second.
    std::thread::sleep(Duration::from_millis(1500));
    let times = auth_timing::measure(&service, "/scim/v2/Users", rounds, |kind, round| match kind {
        0 => format!("Bearer {revoked}"),
        // Another signature at its end.
        _ => format!("Bearer {}{:05}", &revoked[..revoked.len() - 5], round),
    });
    print("Bearer", ["revoked token", "made-up token"], times);
}

fn print(method: &str, kinds: [&str; 2], times: [Vec<Duration>; 2]) {
    for (kind, mut times) in kinds.into_iter().zip(times) {
        times.sort();
        let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
        println!("| {method} | {kind} | {:.3} | {:.3} | {:.3} | {:.3} |", at(10), at(50), at(90), at(99));
    }
}
