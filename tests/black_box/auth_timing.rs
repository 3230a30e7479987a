//! How long a refusal takes does not say what was wrong: a user that does not exist and a password that is wrong are measured
//! in turn, each with a password never tried before. `SCIMSHIM_TEST_TIMING` is how many of each.

use std::time::{Duration, Instant};

use crate::auth::{DigestClient, HASH, PASSWORD, basic};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::{report, size};

/// Median, and the tenth and ninetieth of a hundred.
fn spread(mut times: Vec<Duration>) -> (Duration, String) {
    times.sort();
    let at = |percent: usize| times[times.len() * percent / 100];
    (at(50), format!("p10 {:.2?}, median {:.2?}, p90 {:.2?}", at(10), at(50), at(90)))
}

/// A service whose identity servers `hashed`, `plain` and `digest` each check a password in another way.
pub fn service() -> (Service, Database) {
    let database = Database::small(Engine::Sqlite);
    let servers = format!(
        "\n  test: {{ default: true }}\n  hashed: {{ authentication: {{ basic: {{ username: hr, password_hash: \"{HASH}\" }} }} }}\n  \
         plain: {{ authentication: {{ basic: {{ username: hr, password: \"{PASSWORD}\" }} }} }}\n  \
         digest: {{ authentication: {{ digest: {{ username: hr, password: \"{PASSWORD}\" }} }} }}\n"
    );
    let options = Options::small().identity_servers(&servers).more("limits: { failures_per_minute: 1000000 }");
    (Service::start(&database, options), database)
}

/// How long the refusals of a wrong password and of an unknown user take.
pub fn of_passwords(service: &Service, server: &str, rounds: usize) -> [Vec<Duration>; 2] {
    let path = format!("/scim/{server}/v2/Users");
    let challenge = service.client_with("/scim/digest/v2", None).get("/Users").expect(401);
    let nonce = DigestClient::nonce(challenge.header("www-authenticate").expect("a challenge"));
    measure(service, &path, rounds, |kind, round| {
        let user = ["hr", "no"][kind];
        let password = format!("{user} {round}");
        match server {
            "digest" => DigestClient { username: format!("username=\"{user}\""), password, ..DigestClient::new(&path) }
                .authorization(&nonce),
            _ => basic(user, &password),
        }
    })
}

/// How long the refusals of two kinds of credentials take, neither of them always first.
pub fn measure(
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
            answer.expect(401);
        }
    }
    times
}

#[test]
fn a_wrong_password_and_an_unknown_user() {
    let (service, _database) = service();
    let rounds = size("SCIMSHIM_TEST_TIMING", 60);
    for name in ["hashed", "plain", "digest"] {
        let [wrong, unknown] = of_passwords(&service, name, rounds);
        let ((wrong, said_wrong), (unknown, said_unknown)) = (spread(wrong), spread(unknown));
        report(
            &format!("timing-{name}"),
            &format!("{rounds} each: wrong password {said_wrong}; unknown user {said_unknown}"),
        );
        let ratio = wrong.as_secs_f64() / unknown.as_secs_f64();
        assert!((0.5..2.0).contains(&ratio), "{name}: {said_wrong} against {said_unknown}");
    }
}
