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

#[test]
fn a_wrong_password_and_an_unknown_user() {
    let database = Database::small(Engine::Sqlite);
    let servers = format!(
        "\n  test: {{ default: true }}\n  hashed: {{ authentication: {{ basic: {{ username: hr, password_hash: \"{HASH}\" }} }} }}\n  \
         plain: {{ authentication: {{ basic: {{ username: hr, password: \"{PASSWORD}\" }} }} }}\n  \
         digest: {{ authentication: {{ digest: {{ username: hr, password: \"{PASSWORD}\" }} }} }}\n"
    );
    let options = Options::small().identity_servers(&servers).more("limits: { failures_per_minute: 1000000 }");
    let service = Service::start(&database, options);
    let mut client = service.client_with("", None);
    let rounds = size("SCIMSHIM_TEST_TIMING", 60);
    let challenge = service.client_with("/scim/digest/v2", None).get("/Users").expect(401);
    let nonce = DigestClient::nonce(challenge.header("www-authenticate").expect("a challenge"));
    for name in ["hashed", "plain", "digest"] {
        let path = format!("/scim/{name}/v2/Users");
        let (mut wrong, mut unknown) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let both = [("hr", &mut wrong), ("no", &mut unknown)];
            // Neither always goes first.
            let both = if round % 2 == 0 {
                both
            } else {
                let [a, b] = both;
                [b, a]
            };
            for (user, times) in both {
                let value = match name {
                    "digest" => DigestClient {
                        username: format!("username=\"{user}\""),
                        password: format!("{user} {round}"),
                        ..DigestClient::new(&path)
                    }
                    .authorization(&nonce),
                    _ => basic(user, &format!("{user} {round}")),
                };
                let began = Instant::now();
                let answer = client.send("GET", &path, &[("Authorization", &value)], None).expect("an answer");
                times.push(began.elapsed());
                answer.expect(401);
            }
        }
        let ((wrong, said_wrong), (unknown, said_unknown)) = (spread(wrong), spread(unknown));
        report(
            &format!("timing-{name}"),
            &format!("{rounds} each: wrong password {said_wrong}; unknown user {said_unknown}"),
        );
        let ratio = wrong.as_secs_f64() / unknown.as_secs_f64();
        assert!((0.5..2.0).contains(&ratio), "{name}: {said_wrong} against {said_unknown}");
    }
}
