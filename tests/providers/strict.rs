//! The same dialogues against scim2-server, which keeps to the letter of the RFCs: they fail where real clients were seen to
//! fail on it, which shows that they bite. What fails stands in strict.yaml, with the reason; the list is closed both ways.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};

use serde::Deserialize;

use crate::support::client::{self, Client};
use crate::support::replay::replay;
use crate::support::service::certificates;
use crate::support::{file, report};
use crate::{template, tools};

/// A step on which the strict server fails.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    dialogue: String,
    step: String,
    /// A piece of what it answered.
    says: String,
    /// Which section of the facts, or what of the RFC, it is.
    why: String,
    /// The later steps that fail because of this one.
    #[serde(default)]
    then: Vec<String>,
}

/// The server, empty, while the value lives.
struct Strict {
    child: Child,
    folder: tempfile::TempDir,
    ca: String,
    port: u16,
}

const TOKEN: &str = "only-for-this-test";

impl Strict {
    fn start() -> Strict {
        let folder = tempfile::tempdir().expect("a folder");
        let ca = certificates(folder.path());
        let mut child = tools::python("python")
            .arg(file("tests/conformance/python/strict_server.py"))
            .args(["certificate.pem", "key.pem"].map(|name| folder.path().join(name)))
            .arg(TOKEN)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.path().join("log")).expect("a log file"))
            .spawn()
            .expect("python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("stdout")).read_line(&mut line).expect("it says its port");
        let port = line.trim().parse().unwrap_or_else(|_| {
            panic!("{line:?} {}", std::fs::read_to_string(folder.path().join("log")).unwrap_or_default())
        });
        Strict { child, folder, ca, port }
    }

    fn client(&self) -> Client {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        Client::new(address, client::tls(&self.ca), "/scim/v2", None)
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        assert!(self.folder.path().exists());
    }
}

#[test]
fn dialogues_bite() {
    let text = std::fs::read_to_string(file("tests/providers/strict.yaml")).expect("the list");
    let known: Vec<Known> = serde_yaml::from_str(&text).expect("the list");
    assert!(known.iter().all(|one| one.why.contains("section 10") || one.why.contains("RFC")), "each says why");
    let mut awaited: Vec<(&str, &str, &str)> = Vec::new();
    for one in &known {
        awaited.push((&one.dialogue, &one.step, &one.says));
        awaited.extend(one.then.iter().map(|step| (one.dialogue.as_str(), step.as_str(), "")));
    }
    let mut wrong = Vec::new();
    let (mut steps, mut failed) = (0, 0);
    for dialogue in template::ours() {
        let name = dialogue.file_stem().unwrap_or_default().display().to_string();
        let server = Strict::start();
        let outcome = replay(&dialogue, &mut server.client(), TOKEN);
        steps += outcome.steps;
        for failure in &outcome.failures {
            failed += 1;
            // "  NUMBER NAME", then what was found.
            let title = failure.trim_start().lines().next().unwrap_or_default();
            let step = title.split_once(' ').map_or(title, |(_, step)| step);
            let here = |(dialogue, title, says): &(&str, &str, &str)| {
                *dialogue == name && *title == step && failure.contains(says)
            };
            match awaited.iter().position(here) {
                Some(index) => {
                    awaited.remove(index);
                }
                None => wrong.push(format!("not listed: {name}\n{failure}")),
            }
        }
    }
    wrong.extend(awaited.iter().map(|one| format!("listed and gone: {one:?}")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    report(
        "strict",
        &format!("scim2-server fails {failed} of {steps} steps, all of them listed with the reason; scimshim none"),
    );
}
