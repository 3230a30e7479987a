//! The end of the service: whoever has come by then is answered, and nobody is waited for longer than that takes.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::client::{self, Client};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, signal};

fn service() -> (Database, Service) {
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small());
    (database, service)
}

/// One request on a connection of its own: the bytes of a GET.
fn get(service: &Service) -> String {
    let port = service.address().port();
    format!(
        "GET /scim/v2/Users HTTP/1.1\r\nHost: localhost:{port}\r\nAuthorization: Bearer {}\r\n\r\n",
        service.token()
    )
}

/// A balancer opens a connection for each request: the request that follows is on its way when the service is told to stop.
#[test]
fn who_has_connected_is_answered() {
    let (_database, mut service) = service();
    let request = get(&service);
    let mut come: Vec<(Client, client::Stream)> = (0..10)
        .map(|_| {
            let client = service.client();
            let stream = client.connect().expect("a connection");
            (client, stream)
        })
        .collect();
    let silent = come.pop();
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    signal(service.pid(), "TERM");
    std::thread::sleep(Duration::from_millis(50));
    for (_, stream) in &mut come {
        stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).expect("sent");
    }
    for (mut client, stream) in come {
        let answer = client.answer_on(stream).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // Who says nothing keeps nobody.
    assert!(service.ended().success(), "{}", service.stderr());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    drop(silent);
}

/// The kernel takes connections before the service does: those that wait there are not reset.
#[test]
fn who_waits_at_the_door_is_answered() {
    let (_database, mut service) = service();
    let request = get(&service);
    service.client().get("/Users").expect(200);
    signal(service.pid(), "STOP");
    // The kernel has them all; their handshakes begin when the service goes on.
    let waiting: Vec<_> = (0..20).map(|_| service.client().knock().expect("a connection")).collect();
    std::thread::scope(|scope| {
        let (service, request) = (&service, &request);
        let waiting: Vec<_> = waiting
            .into_iter()
            .map(|mut stream| {
                scope.spawn(move || {
                    stream.write_all(request.as_bytes()).and_then(|()| stream.flush())?;
                    service.client().answer_on(stream)
                })
            })
            .collect();
        signal(service.pid(), "TERM");
        signal(service.pid(), "CONT");
        for answer in waiting {
            let answer = answer.join().expect("a thread").expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    });
    assert!(service.ended().success(), "{}", service.stderr());
}
