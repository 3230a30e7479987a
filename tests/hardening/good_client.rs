//! Somebody who behaves, while others do not: asks again and again from an address of its own, and is always answered.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::file;
use crate::support::service::Service;

/// Another address of this machine than the attackers'.
const ADDRESS: &str = "127.0.0.3";

pub struct GoodClient(Child);

/// What it was answered.
#[derive(Debug)]
pub struct Served {
    pub requests: u64,
    pub failures: Vec<String>,
    /// The slowest request, in seconds.
    pub slowest: f64,
}

impl GoodClient {
    /// Begins to ask for one user.
    pub fn start(service: &Service, path: &str) -> GoodClient {
        let child = Command::new("python3")
            .arg(file("tests/hardening/python/good_client.py"))
            .arg(format!("https://127.0.0.1:{}/scim/v2{path}", service.address().port()))
            .arg(service.ca_file())
            .args([service.token(), ADDRESS])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 runs");
        GoodClient(child)
    }

    /// Ends, and says how it went.
    pub fn end(mut self) -> Served {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stdout.take().expect("a pipe").read_to_string(&mut said).expect("text");
        assert!(self.0.wait().expect("a status").success(), "{said}");
        let told: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        Served {
            requests: told["requests"].as_u64().expect("a number"),
            failures: told["failures"].as_array().expect("a list").iter().map(Value::to_string).collect(),
            slowest: told["slowest"].as_f64().expect("a time"),
        }
    }
}

impl Served {
    /// Nothing failed, and nothing took long.
    #[track_caller]
    pub fn assert_well(&self, what: &str) {
        assert!(self.requests >= 10, "{what}: {self:?}");
        assert!(self.failures.is_empty(), "{what}: {self:?}");
        assert!(self.slowest < 9.0, "{what}: {self:?}");
    }
}
