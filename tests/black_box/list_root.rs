//! Searches over all resource types, at the root (RFC 7644 3.4.2.1 and 3.4.3), and what an identity server may not read.

use serde_json::{Value, json};

use crate::support::client;
use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service};
use crate::support::statements;

const SEARCH: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn names(page: &Value) -> String {
    let resources = page["Resources"].as_array().expect("Resources").iter();
    let name = |one: &Value| one["userName"].as_str().or(one["displayName"].as_str()).expect("a name").to_owned();
    resources.map(name).collect::<Vec<String>>().join(" ")
}

fn root(engine: Engine) {
    let database = Database::small(engine);
    let servers = "{ test: { default: true, authentication: bearer }, \
                   people: { authentication: bearer, may: { User: [read, update] } }, \
                   nobody: { authentication: bearer, may: { User: [create] } } }";
    let service = Service::start(&database, Options::small().identity_servers(servers));
    let mut client = service.client();
    let mut ids = Vec::new();
    for (name, title) in [("zoe", "b"), ("Émile", "a"), ("bob", "")] {
        let more = if title.is_empty() { json!({}) } else { json!({ "title": title }) };
        ids.push(client.post("/Users", &client::user(name, more)).expect(201).id());
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (name, members) in [("élan", &ids[..2]), ("Crew", &ids[..1])] {
        client.post("/Groups", &client::group(name, members)).expect(201);
    }
    let mut problems = Vec::new();
    for (query, expected) in [
        ("", "zoe Émile bob élan Crew"),
        ("sortOrder=descending", "Crew élan bob Émile zoe"),
        ("filter=meta.resourceType eq \"Group\"", "élan Crew"),
        ("filter=schemas eq \"urn:ietf:params:scim:schemas:core:2.0:User\"", "zoe Émile bob"),
        ("filter=userName sw \"é\" or displayName sw \"É\"", "Émile élan"),
        // What has no userName is not equal to one, and has none.
        ("filter=userName ne \"bob\"", "zoe Émile élan Crew"),
        ("filter=not (userName pr)", "élan Crew"),
        ("filter=members pr or title eq \"A\"", "Émile élan Crew"),
        ("filter=members.display eq \"ZOE\"", "élan Crew"),
        ("filter=groups.display eq \"CREW\" or members[value pr]", "zoe élan Crew"),
        ("sortBy=userName", "bob zoe Émile élan Crew"),
        ("sortBy=userName&sortOrder=descending", "élan Crew Émile zoe bob"),
        ("sortBy=title", "Émile zoe bob élan Crew"),
        ("sortBy=meta.resourceType", "élan Crew zoe Émile bob"),
        ("startIndex=3&count=2", "bob élan"),
        ("startIndex=9", ""),
        ("count=0", ""),
    ] {
        let parts: Vec<(&str, &str)> = query.split('&').filter_map(|part| part.split_once('=')).collect();
        let url: Vec<String> = parts.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
        let mut body = json!({ "schemas": [SEARCH] });
        for (key, value) in &parts {
            body[*key] = json!(value);
        }
        let total = match query {
            query if query.contains("filter") => expected.split_whitespace().count(),
            _ => 5,
        };
        for path in [format!("?{}", url.join("&")), format!("/?{}", url.join("&"))] {
            let page = client.get(&path);
            if page.status != 200 || names(&page.json()) != expected || page.json()["totalResults"] != total {
                problems.push(format!("{query}: {} {}", page.status, page.text()));
            }
        }
        let page = client.post("/.search", &body);
        if page.status != 200 || names(&page.json()) != expected || page.json()["totalResults"] != total {
            problems.push(format!("{query} in a body: {} {}", page.status, page.text()));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));

    // By cursor over both tables, in every order.
    for sort in ["", "&sortBy=title", "&sortBy=title&sortOrder=descending", "&sortBy=id", "&sortBy=meta.created"] {
        let whole = names(&client.get(&format!("?count=100{sort}")).expect(200).json());
        let mut seen = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = client.get(&format!("/?count=2{sort}&cursor={cursor}")).expect(200).json();
            seen.push(names(&page));
            let Some(next) = page["nextCursor"].as_str() else { break };
            cursor = next.to_owned();
        }
        assert_eq!(seen.join(" "), whole, "{sort}");
        assert_eq!(seen.len(), 3, "{sort}");
    }

    let search = |more: Value| {
        let mut body = json!({ "schemas": [SEARCH] });
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    for (body, scim_type, word) in [
        (search(json!({ "filter": "shoeSize eq 5" })), "invalidFilter", "any resource type"),
        (search(json!({ "filter": "userName eq" })), "invalidFilter", ""),
        (search(json!({ "sortBy": "shoeSize" })), "invalidPath", "shoeSize"),
        (search(json!({ "sortBy": "name" })), "invalidValue", "complex"),
        (search(json!({ "sortOrder": "up" })), "invalidValue", "sortOrder"),
        (search(json!({ "count": "x" })), "invalidValue", "count"),
        (search(json!({ "cursor": "x" })), "invalidCursor", "cursor"),
        (search(json!({ "cursor": "", "startIndex": 1 })), "invalidValue", "startIndex"),
        (json!({ "filter": "userName pr" }), "invalidSyntax", "SearchRequest"),
        (json!([]), "invalidSyntax", "SearchRequest"),
    ] {
        for path in ["/.search", "/Users/.search"] {
            let answer = client.post(path, &body);
            assert_eq!(answer.status, 400, "{path} {body}: {}", answer.text());
            let word = if word == "any resource type" { "not an attribute" } else { word };
            answer.expect_error(400, Some(scim_type), word);
        }
    }
    let shown = client.post("/.search", &search(json!({ "attributes": ["userName"], "count": 1, "unheardOf": true })));
    let keys: Vec<String> =
        shown.expect(200).json()["Resources"][0].as_object().expect("a user").keys().cloned().collect();
    assert!(keys.iter().all(|key| ["schemas", "id", "userName"].contains(&key.as_str())), "{keys:?}");
    let shown = client.post("/.search", &search(json!({ "excludedAttributes": ["userName", "members"] })));
    let resources = shown.expect(200).json()["Resources"].clone();
    assert!(resources.as_array().expect("a list").iter().all(|one| one.get("userName").is_none()));

    // Only what it may read; and whose groups somebody is in is told by nothing.
    let mut people = service.client_with("/scim/people/v2", Some(service.issue("people")));
    let all = people.get("?sortBy=userName").expect(200).json();
    assert_eq!((names(&all).as_str(), &all["totalResults"]), ("bob zoe Émile", &json!(3)));
    assert!(all["Resources"].as_array().expect("a list").iter().all(|user| user.get("groups").is_none()), "{all}");
    let zoe = people.get(&format!("/Users/{}", ids[0])).expect(200).json();
    assert_eq!(zoe.get("groups"), None, "{zoe}");
    let titled =
        people.patch(&format!("/Users/{}", ids[0]), json!([{ "op": "replace", "path": "title", "value": "c" }]));
    assert_eq!(titled.expect(200).json().get("groups"), None);
    for filter in ["groups pr", "groups.value eq \"1\"", "groups[display eq \"Crew\"]", "members pr"] {
        let path = format!("?filter={}", encode(filter));
        people.get(&path).expect_error(400, Some("invalidFilter"), "");
    }
    people.get("/Users?sortBy=groups.display").expect_error(400, Some("invalidPath"), "may");
    people.get("/Groups").expect_error(403, None, "may");
    let groups = people.get("?filter=meta.resourceType%20eq%20%22Group%22").expect(200).json();
    assert_eq!(groups["totalResults"], 0);
    let mut nobody = service.client_with("/scim/nobody/v2", Some(service.issue("nobody")));
    nobody.get("/").expect_error(403, None, "may");
    nobody.post("/.search", &search(json!({}))).expect_error(403, None, "may");
    assert!(zoe.get("groups").is_none());
    assert!(client.get(&format!("/Users/{}", ids[0])).expect(200).json().get("groups").is_some(), "others see them");

    client.post("/", &json!({})).expect(405);
    client.get("/.search").expect(405);
}

#[test]
fn root_on_mariadb() {
    root(Engine::MariaDb);
}

#[test]
fn root_on_postgres() {
    root(Engine::Postgres);
}

#[test]
fn root_on_sqlite() {
    root(Engine::Sqlite);
}

/// A page of all types takes as many statements for many as for few.
fn does_not_grow(engine: Engine) {
    let database = Database::small(engine);
    let rows: Vec<String> = (0..150).map(|n| format!("('p{n:03}', 'P', 1)")).collect();
    database.execute(&format!("INSERT INTO people (login, given, enabled) VALUES {}", rows.join(",")));
    let rows: Vec<String> = (0..60).map(|n| format!("('t{n:03}')")).collect();
    database.execute(&format!(
        "INSERT INTO teams (name) VALUES {}; INSERT INTO memberships SELECT teams.id, people.id FROM teams, people WHERE people.id < 20",
        rows.join(",")
    ));
    let service = Service::start(&database, Options::small());
    let mut client = service.client();
    let mut executed = |path: &str| {
        client.get(path).expect(200);
        let mark = statements::mark(&database);
        client.get(path).expect(200);
        statements::since(&database, mark).work()
    };
    for more in ["&sortBy=meta.created", "&sortBy=displayName&cursor="] {
        // Both types are on either page.
        let few = executed(
            &format!("/?count=2&startIndex=150{more}")
                .replace(if more.contains("cursor") { "&startIndex=150" } else { "&nothing" }, ""),
        );
        let many = executed(&format!("/?count=170{more}"));
        assert!(many <= 8 && few <= many, "{more}: {few} statements for 2, {many} for 170");
    }
}

#[test]
fn does_not_grow_on_mariadb() {
    does_not_grow(Engine::MariaDb);
}

#[test]
fn does_not_grow_on_postgres() {
    does_not_grow(Engine::Postgres);
}
