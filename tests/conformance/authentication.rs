//! python-requests as a client of Basic and Digest, over TLS.

use std::process::{Command, Stdio};

use crate::support::databases::{Database, Engine};
use crate::support::file;
use crate::support::service::{BINARY, Options, Service, describe};
use crate::tools;

#[test]
fn requests() {
    let password = "a long p\u{e4}ssword for requests";
    let printed = |arguments: &[&str]| {
        use std::io::Write;
        let mut child = Command::new(BINARY)
            .arg("secret")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("scimshim runs");
        child.stdin.take().expect("stdin").write_all(password.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    };
    let hash = printed(&["hash"]);
    let ha1 = |algorithm: &str| printed(&["digest", "--username", "hr", "--algorithm", algorithm]);
    let (sha, md5) = (ha1("SHA-256"), ha1("MD5"));
    let servers = format!(
        "\n  test: {{ default: true }}\n  basic: {{ authentication: {{ basic: {{ username: hr, password_hash: \"{hash}\" }} }} }}\n  \
         digest: {{ authentication: {{ digest: {{ username: hr, ha1: \"{sha}\" }} }} }}\n  \
         old: {{ authentication: {{ digest: {{ username: hr, ha1: \"{md5}\" }} }} }}\n  \
         every: {{ authentication: {{ bearer: , basic: {{ username: hr, password_hash: \"{hash}\" }}, \
         digest: {{ username: hr, ha1: \"{sha}\" }} }} }}\n"
    );
    let database = Database::small(Engine::Sqlite);
    let service = Service::start(&database, Options::small().identity_servers(&servers));
    let output = tools::python("python")
        .arg(file("tests/conformance/python/authentication.py"))
        .args([&service.url(), &service.ca_file().display().to_string(), password])
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{}", describe(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "5 clients", "{}", describe(&output));
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 5);
}
