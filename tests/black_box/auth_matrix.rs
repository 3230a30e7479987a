//! Who may do what: each identity server with each method to authenticate, each verb, each resource type. The cells are written
//! by hand; no rule of the program's computes them.

use serde_json::json;

use crate::auth::{PASSWORD, basic};
use crate::support::client::{self, Client};
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};

const SERVERS: &str = "
  test:    { default: true }
  hr:      { authentication: { bearer: , basic: { username: hr, password: rasmuslerdorf } }, may: { User: [create, read, update, deactivate], Group: [read] } }
  auditor: { authentication: { bearer: , basic: { username: hr, password: rasmuslerdorf } }, may: { User: [read], Group: [read] } }
  groups:  { authentication: { bearer: , basic: { username: hr, password: rasmuslerdorf } }, scope: { Group: {} } }
  deleter: { authentication: { bearer: , basic: { username: hr, password: rasmuslerdorf } }, may: { User: [delete, read] } }
  maker:   { authentication: { bearer: , basic: { username: hr, password: rasmuslerdorf } }, may: { User: [create] } }
  nothing: { authentication: { bearer: , basic: { username: hr, password: rasmuslerdorf } }, may: {} }
  open:    { authentication: none }
";

/// The verbs, as the columns below have them.
const VERBS: [&str; 8] = ["list", "get", "create", "put", "patch", "off", "delete", "search"];

/// Identity server, resource type, and what each verb answers.
const CELLS: [(&str, &str, [u16; 8]); 16] = [
    // server,   type,    list get  create put  patch off  delete search
    ("test", "User", [200, 200, 201, 200, 200, 200, 204, 200]),
    ("test", "Group", [200, 200, 201, 200, 200, 000, 204, 200]),
    ("hr", "User", [200, 200, 201, 200, 200, 200, 204, 200]),
    ("hr", "Group", [200, 200, 403, 403, 403, 000, 403, 200]),
    ("auditor", "User", [200, 200, 403, 403, 403, 403, 403, 200]),
    ("auditor", "Group", [200, 200, 403, 403, 403, 000, 403, 200]),
    ("groups", "User", [403, 403, 403, 403, 403, 403, 403, 403]),
    ("groups", "Group", [200, 200, 201, 200, 200, 000, 204, 200]),
    ("deleter", "User", [200, 200, 403, 403, 403, 403, 204, 200]),
    ("deleter", "Group", [403, 403, 403, 403, 403, 000, 403, 403]),
    ("maker", "User", [403, 403, 201, 403, 403, 403, 403, 403]),
    ("maker", "Group", [403, 403, 403, 403, 403, 000, 403, 403]),
    ("nothing", "User", [403, 403, 403, 403, 403, 403, 403, 403]),
    ("nothing", "Group", [403, 403, 403, 403, 403, 000, 403, 403]),
    ("open", "User", [200, 200, 201, 200, 200, 200, 204, 200]),
    ("open", "Group", [200, 200, 201, 200, 200, 000, 204, 200]),
];

/// What a read-only token of `test` answers.
const READ_ONLY: [u16; 8] = [200, 200, 403, 403, 403, 403, 403, 200];

struct Matrix {
    service: Service,
    admin: Client,
    client: Client,
    serial: u32,
    wrong: Vec<String>,
    cells: usize,
}

impl Matrix {
    /// Does a verb to a fresh resource and compares.
    fn cell(&mut self, server: &str, credential: Option<&str>, by: &str, kind: &str, verb: &str, expected: u16) {
        self.serial += 1;
        let fresh = format!("{kind}{}", self.serial);
        let document =
            |name: &str| if kind == "User" { client::user(name, json!({})) } else { client::group(name, &[]) };
        let id = self.admin.post(&format!("/{kind}s"), &document(&fresh)).expect(201).id();
        let base = format!("/scim/{server}/v2/{kind}s");
        let one = format!("{base}/{id}");
        let change = client::patch(
            json!([{ "op": "replace", "path": "displayName", "value": format!("changed {}", self.serial) }]),
        );
        let off = client::patch(json!([{ "op": "replace", "path": "active", "value": false }]));
        let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "count": 1 });
        let (method, path, body) = match verb {
            "list" => ("GET", base, None),
            "get" => ("GET", one.clone(), None),
            "create" => ("POST", base, Some(document(&format!("new {}", self.serial)))),
            "put" => ("PUT", one.clone(), Some(document(&fresh))),
            "patch" => ("PATCH", one.clone(), Some(change)),
            "off" => ("PATCH", one.clone(), Some(off)),
            "delete" => ("DELETE", one.clone(), None),
            _ => ("POST", format!("{base}/.search"), Some(search)),
        };
        let body = body.map(|body| body.to_string().into_bytes());
        let mut headers = vec![("Content-Type", "application/scim+json")];
        headers.extend(credential.map(|credential| ("Authorization", credential)));
        let answer = self.client.send(method, &path, &headers, body.as_deref()).expect("an answer");
        let text = answer.text();
        // Every refusal names its rule.
        let named = ["`may` in its configuration", "`scope` in its configuration", "may only read"];
        let named = expected != 403 || named.iter().any(|rule| text.contains(rule));
        if answer.status != expected || !named {
            self.wrong
                .push(format!("{server} by {by}: {verb} {kind}: {} instead of {expected}: {text:.300}", answer.status));
        }
        if verb == "delete" && answer.status == 204 {
            // Deleted or only deactivated, it is gone for SCIM.
            self.admin.get(&format!("/{kind}s/{id}")).expect(404);
        }
        self.cells += 1;
    }
}

fn every_cell(engine: Engine) {
    let database = Database::small(engine);
    let service = Service::start(&database, Options::small().identity_servers(SERVERS));
    let (admin, client) = (service.client(), service.client_with("", None));
    let mut matrix = Matrix { service, admin, client, serial: 0, wrong: Vec::new(), cells: 0 };
    for (server, kind, cells) in CELLS {
        let mut credentials: Vec<(&str, Option<String>)> = Vec::new();
        if server == "open" {
            credentials.push(("none", None));
        } else {
            credentials.push(("bearer", Some(format!("Bearer {}", matrix.service.issue(server)))));
            if server != "test" {
                credentials.push(("basic", Some(basic("hr", PASSWORD))));
            }
        }
        for (by, credential) in &credentials {
            for (verb, expected) in VERBS.iter().zip(cells) {
                if expected != 0 {
                    matrix.cell(server, credential.as_deref(), by, kind, verb, expected);
                }
            }
        }
    }
    let issued = matrix.service.run(&["token", "issue", "test", "--read-only"]);
    let token = format!("Bearer {}", String::from_utf8(issued.stdout).expect("text").trim());
    for kind in ["User", "Group"] {
        for (verb, expected) in VERBS.iter().zip(READ_ONLY) {
            if kind == "User" || *verb != "off" {
                matrix.cell("test", Some(&token), "read-only bearer", kind, verb, expected);
            }
        }
    }
    println!("{} cells", matrix.cells);
    assert!(matrix.wrong.is_empty(), "{} of {} cells:\n{}", matrix.wrong.len(), matrix.cells, matrix.wrong.join("\n"));
}

#[test]
fn every_cell_on_mariadb() {
    every_cell(Engine::MariaDb);
}

#[test]
fn every_cell_on_postgres() {
    every_cell(Engine::Postgres);
}

#[test]
fn every_cell_on_sqlite() {
    every_cell(Engine::Sqlite);
}
