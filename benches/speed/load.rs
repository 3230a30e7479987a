//! A load generator: so many connections of HTTPS keep-alive, each asking as fast as it is answered, and what the server
//! process spent on it, by /proc.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::Client;

/// A request, ready to go.
pub struct Request {
    method: &'static str,
    path: String,
    body: Option<Vec<u8>>,
}

/// Makes the request that a connection sends in its n-th turn.
pub type Make = Box<dyn Fn(usize, usize) -> Request + Send + Sync>;

pub fn get(path: String) -> Request {
    Request { method: "GET", path, body: None }
}

pub fn with_body(method: &'static str, path: String, body: &Value) -> Request {
    Request { method, path, body: Some(serde_json::to_vec(body).expect("JSON")) }
}

/// What a run found.
pub struct Measure {
    pub requests: usize,
    pub rate: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Processor time of the server process for one request, user and system.
    pub cpu_ms: f64,
    /// Of the last body.
    pub bytes: usize,
}

/// How hard, and for how long.
pub struct Load {
    pub connections: usize,
    pub time: Duration,
}

impl Load {
    /// Runs it against the process `pid`. An answer of 400 or more ends the benchmark: it would measure refusals.
    pub fn run(&self, pid: u32, client: &dyn Fn() -> Client, make: &Make) -> Measure {
        let warm_up = self.time / 4;
        let (start, measured) = (Barrier::new(self.connections + 1), Barrier::new(self.connections + 1));
        let clients: Vec<Client> = (0..self.connections).map(|_| client()).collect();
        std::thread::scope(|scope| {
            let threads: Vec<_> = clients
                .into_iter()
                .enumerate()
                .map(|(number, mut client)| {
                    let (start, measured) = (&start, &measured);
                    scope.spawn(move || {
                        let mut turn = 0;
                        let mut ask = |client: &mut Client| {
                            let request = make(number, turn);
                            turn += 1;
                            let headers: &[(&str, &str)] =
                                if request.body.is_some() { &[("Content-Type", "application/scim+json")] } else { &[] };
                            let answer = client
                                .send(request.method, &request.path, headers, request.body.as_deref())
                                .unwrap_or_else(|failure| panic!("{} {}: {failure:?}", request.method, request.path));
                            assert!(
                                answer.status < 400,
                                "{} {}: {} {}",
                                request.method,
                                request.path,
                                answer.status,
                                answer.text()
                            );
                            answer.body.len()
                        };
                        ask(&mut client);
                        start.wait();
                        let until = Instant::now() + warm_up;
                        while Instant::now() < until {
                            ask(&mut client);
                        }
                        measured.wait();
                        let until = Instant::now() + self.time;
                        let mut latencies = Vec::new();
                        let mut bytes = 0;
                        while Instant::now() < until {
                            let asked = Instant::now();
                            bytes = ask(&mut client);
                            latencies.push(asked.elapsed());
                        }
                        (latencies, bytes)
                    })
                })
                .collect();
            start.wait();
            measured.wait();
            let (before, started) = (cpu_ticks(pid), Instant::now());
            let results: Vec<(Vec<Duration>, usize)> =
                threads.into_iter().map(|thread| thread.join().expect("a connection")).collect();
            let (elapsed, ticks) = (started.elapsed(), cpu_ticks(pid) - before);
            let mut latencies: Vec<Duration> =
                results.iter().flat_map(|(latencies, _)| latencies.iter().copied()).collect();
            latencies.sort_unstable();
            let at = |part: f64| {
                let index = ((latencies.len() as f64 * part) as usize).min(latencies.len().saturating_sub(1));
                latencies.get(index).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
            };
            Measure {
                requests: latencies.len(),
                rate: latencies.len() as f64 / elapsed.as_secs_f64(),
                p50_ms: at(0.5),
                p99_ms: at(0.99),
                cpu_ms: ticks as f64 * 10.0 / latencies.len() as f64,
                bytes: results.last().map_or(0, |(_, bytes)| *bytes),
            }
        })
    }
}

/// Processor time of a process so far, in hundredths of a second (USER_HZ is 100 on Linux).
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server runs");
    // Behind the name in brackets, which may hold anything: fields 14 and 15 of proc(5) are the 12th and 13th there.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}
