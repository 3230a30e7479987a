//! What `check`, `setup` and `token` say of mistakes that would otherwise be noticed when the first client comes.

use std::process::Output;

use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, describe};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a verb that must fail with status 1, saying so.
#[track_caller]
fn refused(service: &Service, verb: &[&str], what: &str) {
    let output = service.run(verb);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(said(&output).contains(what), "{what:?} is not in {}", describe(&output));
}

#[test]
fn a_database_file_that_is_not_there() {
    let database = Database::small(Engine::Sqlite);
    let mut service = Service::prepare(&database, Options::small());
    assert!(service.run(&["setup", "--apply"]).status.success());
    service.configure(|before| before.replace("application.db", "misspelt.db"));
    for verb in [&["check"][..], &["setup", "--apply"], &["serve"], &["token", "list"]] {
        refused(&service, verb, "misspelt.db");
    }
    let url = database.url();
    let misspelt = url.replace("application.db", "misspelt.db");
    assert!(misspelt != url && !std::path::Path::new(&misspelt).exists(), "{misspelt}");
}

#[test]
fn a_token_that_nobody_takes() {
    let database = Database::small(Engine::Sqlite);
    let servers =
        "{ test: { default: true }, hr: { authentication: { digest: { username: hr, password: \"${env:HR}\" } } } }";
    let options = Options::small().identity_servers(servers).variable("HR", "correct horse battery");
    let service = Service::prepare(&database, options);
    assert!(service.run(&["setup", "--apply"]).status.success());
    for verb in ["issue", "rotate"] {
        refused(&service, &["token", verb, "hr"], "`hr` takes no tokens of `scimshim token`");
    }
    assert_eq!(database.count("SELECT COUNT(*) FROM scimshim_tokens"), 0);
    service.issue("test");
}

#[test]
fn permissions_of_types_that_are_not_there() {
    let database = Database::small(Engine::Sqlite);
    for (name, help) in [("Usr", "did you mean `User`?"), ("user", "did you mean `User`?"), ("Printer", "it has: ")] {
        let servers = format!("{{ test: {{ default: true, may: {{ {name}: [read] }} }} }}");
        let service = Service::prepare(&database, Options::small().identity_servers(&servers));
        for verb in [&["check"][..], &["check", "--offline"], &["serve"]] {
            refused(&service, verb, &format!("the adapter has no resource type `{name}`"));
            refused(&service, verb, help);
        }
    }
}

#[test]
fn a_secret_with_more_than_itself() {
    let database = Database::small(Engine::Sqlite);
    let servers =
        "{ test: { default: true }, hr: { authentication: { digest: { username: hr, password: \"${env:HR}\" } } } }";
    for (secret, warned) in
        [("correct horse", false), ("correct horse\n", true), (" correct horse", true), ("\u{feff}correct", true)]
    {
        let options = Options::small().identity_servers(servers).variable("HR", secret);
        let checked = Service::prepare(&database, options).run(&["check", "--offline"]);
        assert!(checked.status.success(), "{}", describe(&checked));
        assert_eq!(
            said(&checked).contains("the secret begins or ends with"),
            warned,
            "{secret:?}: {}",
            describe(&checked)
        );
        assert!(!said(&checked).contains("correct"), "{}", describe(&checked));
    }
}

/// Where the user has no right yet, the way out is said.
#[test]
fn a_user_without_rights() {
    for engine in [Engine::MariaDb, Engine::Postgres] {
        let database = Database::small(engine).lean();
        let service = Service::prepare(&database, Options::small());
        refused(&service, &["check"], "`scimshim setup` prints");
        refused(&service, &["setup", "--apply"], "`scimshim setup` without --apply prints");
    }
}

#[test]
fn certificates_that_clients_refuse() {
    let database = Database::small(Engine::Sqlite);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let write = |name: &str, names: &[&str], until: i32| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).expect("names");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        if name == "leaf" {
            // Where its issuer's certificate is to be had: id-ad-caIssuers, a URI.
            let url = b"http://ca.example/issuing.cer";
            let length = u8::try_from(url.len()).expect("a short one");
            let mut access = vec![0x30, 14 + length, 0x30, 12 + length];
            access.extend([0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2, 0x86, length]);
            access.extend(url);
            let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
            params.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&oid, access));
        }
        std::fs::write(path(&format!("{name}.pem")), params.self_signed(&key).expect("a certificate").pem())
            .expect("a file");
        std::fs::write(path(&format!("{name}.key")), key.serialize_pem()).expect("a file");
    };
    write("good", &["localhost"], 2090);
    write("old", &["localhost"], 2021);
    write("leaf", &["localhost"], 2090);
    write("other", &["scim.example.com", "*.example.org"], 2090);
    let with = |certificate: &str, key: &str| {
        let mut service = Service::prepare(&database, Options::small());
        let (certificate, key) = (path(certificate), path(key));
        service.configure(move |before| {
            let rest = before.split_once('\n').expect("lines").1;
            format!("tls: {{ certificate: {certificate}, private_key: {key} }}\n{rest}")
        });
        service.run(&["check", "--offline"])
    };
    let good = with("good.pem", "good.key");
    assert!(good.status.success() && !said(&good).contains("the certificate"), "{}", describe(&good));
    let old = with("old.pem", "old.key");
    assert!(!old.status.success() && said(&old).contains("expired on 2021-01-01"), "{}", describe(&old));
    let other = with("other.pem", "other.key");
    let sentence = "is not for localhost, the host of `public_url`, but for DNS:scim.example.com, DNS:*.example.org";
    assert!(other.status.success() && said(&other).contains(sentence), "{}", describe(&other));
    // One of an authority's that is not known itself, alone; and one that the tests' own authority signed.
    let leaf = with("leaf.pem", "leaf.key");
    assert!(leaf.status.success() && said(&leaf).contains("holds the certificate alone"), "{}", describe(&leaf));
    let signed = Service::prepare(&database, Options::small()).run(&["check", "--offline", "--strict"]);
    assert!(signed.status.success(), "{}", describe(&signed));
    let swapped = with("good.pem", "good.pem");
    assert!(
        !swapped.status.success() && said(&swapped).contains("no private key in it: it is a certificate"),
        "{}",
        describe(&swapped)
    );
    let swapped = with("good.key", "good.key");
    assert!(
        !swapped.status.success() && said(&swapped).contains("no certificate in it: it is a private key"),
        "{}",
        describe(&swapped)
    );
}
