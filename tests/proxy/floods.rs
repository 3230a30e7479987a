//! Floods of frames: memory stays where it is, and a good client is served all the while.

use std::time::{Duration, Instant};

use crate::frames::{CONTINUATION, Connection, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, fields};
use crate::upstream::Upstream;

#[test]
fn of_frames() {
    let upstream = Upstream::ok();
    let service = crate::service(&upstream.url());
    let authority = format!("localhost:{}", service.address().port());
    let get = fields(&[(":method", "GET"), (":scheme", "https"), (":authority", &authority), (":path", "/a")]);
    let large = fields(&[("x", &"y".repeat(16_000))]);
    for _ in 0..20 {
        service.client().send("GET", "/a", &[], None).expect("an answer").expect(200);
    }
    let before = service.memory().now;
    for (name, flood) in [("rapid reset", 0), ("CONTINUATION", 1), ("PING", 2), ("SETTINGS", 3)] {
        let floods: Vec<_> = (0..4)
            .map(|_| {
                let (mut connection, get, large) = (Connection::open(&service), get.clone(), large.clone());
                std::thread::spawn(move || {
                    let until = Instant::now() + Duration::from_secs(3);
                    let (mut frames, mut stream) = (0_u64, 1);
                    let mut begun = false;
                    while Instant::now() < until && stream < u32::MAX / 4 {
                        let sent = match flood {
                            0 => connection
                                .send(HEADERS, END_HEADERS | END_STREAM, stream, &get)
                                .and_then(|()| connection.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes())),
                            1 if !std::mem::replace(&mut begun, true) => connection.send(HEADERS, END_STREAM, 1, &get),
                            1 => connection.send(CONTINUATION, 0, 1, &large),
                            2 => connection.send(PING, 0, 0, &[0; 8]),
                            _ => connection.send(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
                        };
                        if sent.is_err() {
                            break;
                        }
                        frames += 1;
                        stream += 2;
                    }
                    frames
                })
            })
            .collect();
        let mut slowest = Duration::ZERO;
        while floods.iter().any(|flood| !flood.is_finished()) {
            let asked = Instant::now();
            service.client().get("/Users").expect(200);
            service.client().send("GET", "/a", &[], None).expect("an answer").expect(200);
            slowest = slowest.max(asked.elapsed());
            std::thread::sleep(Duration::from_millis(20));
        }
        let frames: u64 = floods.into_iter().map(|flood| flood.join().expect("a flood")).sum();
        let after = service.memory().now;
        crate::support::report(
            "h2-flood",
            &format!(
                "{name}: {frames} frames; a good client waited {slowest:?} at most; memory {before} -> {after} KiB"
            ),
        );
        assert!(slowest < Duration::from_secs(10), "{name}: a good client waited {slowest:?}");
        assert!(after < before + 48 * 1024, "{name}: memory grew from {before} to {after} KiB");
    }
}
