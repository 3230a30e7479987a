//! The parser that authentik reads answers with, and two clients that are not ours, against the running service.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::replay::replay;
use crate::support::service::{Options, Service, describe};
use crate::support::{file, real_case, report, shared};
use crate::{template, tools};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// People and groups as authentik leaves them, and some with everything that the mappings know.
fn populate(service: &Service) {
    replay(&file("tests/dialogues/authentik.yaml"), &mut service.client().anonymous(), service.token())
        .expect_green(&file("tests/dialogues/authentik.yaml"));
    let mut client = service.client();
    let mut people = Vec::new();
    for number in 0..5 {
        let mut body = json!({
            "externalId": format!("pop-{number}"),
            "name": { "givenName": "Pop", "familyName": format!("N{number}") },
            "title": "Fitter", "preferredLanguage": "de-CH",
            "emails": [{ "value": format!("pop{number}@example.org"), "type": "work", "primary": true }],
            "phoneNumbers": [{ "type": "work", "value": "+41 31 000 00 00" }, { "type": "mobile", "value": "+41 79 000 00 00" }],
            "addresses": [{ "type": "work", "streetAddress": "Kai 1", "locality": "Bern", "postalCode": "3000" }],
            ENTERPRISE: { "employeeNumber": format!("{}", 7000 + number), "department": "Werk" },
        });
        if let Some(boss) = people.first() {
            body[ENTERPRISE]["manager"] = json!({ "value": boss });
        }
        people.push(client.post("/Users", &client::user(&format!("pop{number}"), body)).expect(201).id());
    }
    let members: Vec<&str> = people.iter().map(String::as_str).collect();
    client.post("/Groups", &client::group("Populated", &members)).expect(201);
    client.post("/Groups", &client::group("Empty", &[])).expect(201);
}

/// Every answer that authentik may read, by the library it reads them with.
fn read_as_authentik(what: &str, service: &Service) {
    let output = tools::python("python")
        .arg(file("tests/conformance/python/authentik_answers.py"))
        .args([&format!("{}/scim/v2", service.url()), service.token()])
        .arg(service.ca_file())
        .output()
        .expect("python runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !text.contains("FAIL"), "{what}: {}", describe(&output));
    let read = text.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(read >= 40, "{what}: {}", describe(&output));
    report("judges", &format!("{what}: {read} answers read by pydantic-scim as authentik does"));
    // And by the program that came with the facts.
    if let Some(program) = shared("idp/check_authentik_parse.py") {
        let output = tools::python("python")
            .arg(program)
            .args([&format!("{}/scim/v2", service.url()), service.token()])
            .env("REQUESTS_CA_BUNDLE", service.ca_file())
            .output()
            .expect("python runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !text.contains("FAIL"), "{what}: {}", describe(&output));
        let read = text.lines().filter(|line| line.starts_with("ok ")).count();
        assert!(read >= 9, "{what}: {}", describe(&output));
        real_case(&format!("check_authentik_parse.py: {what}"));
    }
}

fn small_as_authentik(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small());
    populate(&service);
    read_as_authentik(&format!("small on {engine:?}"), &service);
}

#[test]
fn authentik_reads_small_on_mariadb() {
    small_as_authentik(Engine::MariaDb);
}

#[test]
fn authentik_reads_small_on_sqlite() {
    small_as_authentik(Engine::Sqlite);
}

#[test]
fn authentik_reads_the_template() {
    let database = template::database();
    let service = Service::start(&database, Options::adapter("adapters/template.yaml"));
    populate(&service);
    read_as_authentik("the template on Postgres", &service);
}

/// The service as authentik meets it: under its own profile, which is what its page tells to set.
#[test]
fn authentik_reads_its_own_profile() {
    let database = Database::small(Engine::Postgres);
    let servers = "{ test: { default: true, authentication: bearer, profile: authentik } }";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    populate(&service);
    read_as_authentik("small on Postgres, profile authentik", &service);
}

#[test]
fn authentik_reads_snipe_it() {
    let Some(schema) = shared("schemas/snipe-it-8.6.3.sql") else {
        println!("../shared is not here: nothing was tested");
        return;
    };
    let database = Database::create(Engine::MariaDb);
    database.load(&schema);
    let service = Service::start(&database, Options::adapter("adapters/snipe-it.yaml"));
    populate(&service);
    read_as_authentik("Snipe-IT on MariaDB", &service);
    real_case("authentik reads snipe-it 8.6.3");
}

/// scim2-client: discovery, people and groups created, read, searched, paged, replaced, patched, deleted.
fn whole_round(what: &str, service: &Service) {
    let output = tools::python("python")
        .arg(file("tests/conformance/python/client_round.py"))
        .args([&format!("{}/scim/v2", service.url()), service.token()])
        .arg(service.ca_file())
        .output()
        .expect("python runs");
    assert!(output.status.success(), "{what}: {}", describe(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let done = text.trim().strip_suffix(" steps").and_then(|steps| steps.parse::<u32>().ok());
    assert!(done.is_some_and(|done| done >= 50), "{what}: {}", describe(&output));
    report("judges", &format!("{what}: scim2-client, {}", text.trim()));
}

#[test]
fn scim2_client_on_mariadb() {
    let database = Database::small(Engine::MariaDb);
    let service = Service::start(&database, Options::small());
    whole_round("small on MariaDB", &service);
    assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE gone_at IS NULL"), 0);
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 12);
    assert_eq!(database.count("SELECT COUNT(*) FROM memberships") + database.count("SELECT COUNT(*) FROM teams"), 0);
}

#[test]
fn scim2_client_on_the_template() {
    let database = template::database();
    let service = Service::start(&database, Options::adapter("adapters/template.yaml"));
    whole_round("the template on Postgres", &service);
    assert_eq!(database.count("SELECT COUNT(*) FROM users WHERE deleted_at IS NULL"), 0);
}

/// scim2-cli, one command after the other.
struct Cli<'a>(&'a Service);

impl Cli<'_> {
    fn command(&self) -> Command {
        let mut command = tools::python("scim2");
        command
            .args(["--url", &format!("{}/scim/v2", self.0.url())])
            .env("SCIM_CLI_HEADERS", format!("Authorization: Bearer {}", self.0.token()))
            .env("SSL_CERT_FILE", self.0.ca_file());
        command
    }

    /// What a command printed: JSON, or nothing.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> Value {
        let output = self.command().args(arguments).output().expect("scim2 runs");
        assert!(output.status.success(), "scim2 {arguments:?}: {}", describe(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.trim().is_empty() {
            return Value::Null;
        }
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("scim2 {arguments:?}: {error}: {text}"))
    }

    /// What a command said that is refused.
    #[track_caller]
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().expect("scim2 runs");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

#[test]
fn scim2_cli() {
    let database = Database::small(Engine::Postgres);
    let service = Service::start(&database, Options::small());
    let cli = Cli(&service);
    let mut ids = Vec::new();
    for number in 0..3 {
        let made = cli.run(&[
            "create",
            "user",
            "--user-name",
            &format!("cli{number}"),
            "--display-name",
            "By command",
            "--active",
            "true",
        ]);
        assert_eq!(made["displayName"], "By command", "{made}");
        ids.push(made["id"].as_str().expect("an id").to_owned());
    }
    let found = cli.run(&["query", "user", "--filter", "userName eq \"CLI1\""]);
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!(ids[1])), "{found}");
    let page = cli.run(&["query", "user", "--start-index", "2", "--count", "1", "--sort-by", "userName"]);
    assert_eq!((&page["totalResults"], &page["startIndex"], &page["itemsPerPage"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!(page["Resources"][0]["userName"], "cli1", "{page}");
    let one = cli.run(&["query", "user", &ids[0]]);
    assert_eq!(one["userName"], "cli0");
    let replaced = cli.run(&["replace", "user", "--id", &ids[0], "--user-name", "cli0", "--title", "Weaver"]);
    assert_eq!(replaced["title"], "Weaver", "{replaced}");
    let group = cli.run(&["create", "group", "--display-name", "By command"]);
    let group = group["id"].as_str().expect("an id").to_owned();
    let operation = json!({ "op": "add", "path": "members", "value": [{ "value": ids[0] }, { "value": ids[2] }] });
    let patch = client::patch(json!([operation]));
    patched(&cli, "group", &group, &patch);
    let mut members: Vec<String> = cli.run(&["query", "group", &group])["members"]
        .as_array()
        .expect("members")
        .iter()
        .map(|member| member["value"].as_str().expect("an id").to_owned())
        .collect();
    members.sort();
    let mut wanted = vec![ids[0].clone(), ids[2].clone()];
    wanted.sort();
    assert_eq!(members, wanted);
    patched(&cli, "user", &ids[1], &client::patch(json!([{ "op": "replace", "path": "active", "value": false }])));
    assert_eq!(cli.run(&["query", "user", &ids[1]])["active"], false);
    assert!(cli.refused(&["create", "user", "--user-name", "CLI2"]).contains("uniqueness"));
    cli.run(&["delete", "group", &group]);
    for id in &ids {
        cli.run(&["delete", "user", id]);
    }
    assert_eq!(database.count("SELECT COUNT(*) FROM people WHERE gone_at IS NULL"), 0);
    assert_eq!(database.count("SELECT COUNT(*) FROM people"), 3);
    report(
        "judges",
        "small on Postgres: scim2-cli, people and groups created, read, searched, paged, replaced, patched, deleted",
    );
}

/// A PATCH goes in on standard input.
#[track_caller]
fn patched(cli: &Cli, kind: &str, id: &str, patch: &Value) {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = cli
        .command()
        .args(["modify", kind, id])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("scim2 runs");
    child.stdin.take().expect("stdin").write_all(patch.to_string().as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", describe(&output));
}
