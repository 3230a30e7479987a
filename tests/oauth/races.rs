//! Two who bring the same at once, to two processes: exactly one is served.

use std::sync::{Arc, Barrier};

use crate::setup::{Asking, Browser, asking, reads, start, text};
use crate::support::databases::Engine;
use crate::support::service::Service;

/// Eight clients, half of them at each process, do the same at the same moment.
fn at_once<T: Send>(services: [&Service; 2], work: impl Fn(&mut Asking) -> T + Sync) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(8));
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|n| {
                let (barrier, work) = (Arc::clone(&barrier), &work);
                let mut asking = Asking::new(services[n % 2], "test");
                scope.spawn(move || {
                    barrier.wait();
                    work(&mut asking)
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().expect("a result")).collect()
    })
}

fn races(engine: Engine) {
    let (database, one) = start(engine);
    let two = one.second("two");
    let mut browser = Browser::new(&one, "test");
    let mut idp = Asking::new(&one, "test");
    for _ in 0..3 {
        let code = browser.code(&asking());
        let answers = at_once([&one, &two], |idp| idp.exchange(&code));
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| [200, 400].contains(&answer.status)), "{answers:?}");
        // The others were a second use: what the one was given has ended.
        let tokens = won[0].json();
        assert_eq!(idp.refresh(&text(&tokens, "refresh_token")).status, 400);
        assert_eq!(reads(&two, "/scim/v2", &text(&tokens, "access_token")), 401);

        let code = browser.code(&asking());
        let refresh = text(&idp.exchange(&code).expect(200).json(), "refresh_token");
        let answers = at_once([&one, &two], |idp| idp.refresh(&refresh));
        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|answer| [200, 400].contains(&answer.status)), "{answers:?}");
        assert_eq!(idp.refresh(&text(&won[0].json(), "refresh_token")).status, 400);
    }
    let own = database.own_tables();
    let left = format!("SELECT COUNT(*) FROM {own}oauth_tokens WHERE kind <> 'spent'");
    assert_eq!(database.count(&left), 0, "nothing that was stolen is left");

    // Tokens of a client for itself, on both processes at once: all of them are good.
    let tokens = at_once([&one, &two], |idp| idp.own(""));
    for token in tokens {
        assert_eq!(reads(&one, "/scim/v2", &token), 200);
    }
    assert_eq!(database.count(&format!("SELECT COUNT(*) FROM {own}oauth_grants")), 1, "one grant for all of them");
}

#[test]
fn races_on_mariadb() {
    races(Engine::MariaDb);
}

#[test]
fn races_on_postgres() {
    races(Engine::Postgres);
}

#[test]
fn races_on_sqlite() {
    races(Engine::Sqlite);
}
