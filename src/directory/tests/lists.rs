//! Lists: pages, order, what is read for them, and two tables as one sequence.

use super::*;
use std::collections::HashSet;

#[test]
fn pages_are_counted_and_end() {
    let application = Application::staff();
    for (query, total, shown) in [
        (vec![("startIndex", "4")], 3, 0),
        (vec![("startIndex", "900"), ("count", "5")], 3, 0),
        (vec![("count", "0")], 3, 0),
        (vec![("count", "-1")], 3, 0),
        (vec![("startIndex", "0"), ("count", "2")], 3, 2),
        (vec![("startIndex", "-7"), ("count", "2")], 3, 2),
        (vec![("startIndex", "3"), ("count", "100000")], 3, 1),
        (vec![("filter", "userName eq \"nobody\"")], 0, 0),
    ] {
        let page = application.list(USER, &query).unwrap();
        assert_eq!((page.total, page.resources.len()), (Some(total), shown), "{query:?}");
    }
}

#[test]
fn resources_without_the_sort_key_come_last() {
    let application = Application::staff();
    application
        .application_runs("UPDATE people SET title = 'B' WHERE id = 1; UPDATE people SET title = 'a' WHERE id = 3");
    let order = |order| application.names(USER, &[("sortBy", "title"), ("sortOrder", order)]);
    assert_eq!(order("ascending"), ["gil", "root", "bob"]);
    assert_eq!(order("descending"), ["bob", "root", "gil"]);
}

#[test]
fn a_page_of_many_costs_what_a_page_of_one_costs() {
    let application = Application::staff();
    application.application_runs(
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO people(id, login, manager_id) SELECT i, 'p' || i, 2 FROM n;
         INSERT INTO crew SELECT 2, id FROM people WHERE id > 2; INSERT INTO teams(id, name) SELECT id, login FROM people WHERE id > 9",
    );
    for type_ in [USER, GROUP] {
        let (one, cost_of_one) = application.cost(|| application.list(type_, &[("count", "1")]).unwrap());
        let (many, cost_of_many) = application.cost(|| application.list(type_, &[("count", "100")]).unwrap());
        assert_eq!((one.resources.len(), many.resources.len()), (1, 100));
        assert_eq!(cost_of_one, cost_of_many);
    }
}

#[test]
fn what_is_not_shown_is_not_read() {
    let application = Application::staff();
    for (type_, query, reads) in [
        (GROUP, vec![("excludedAttributes", "members")], false),
        (GROUP, vec![("attributes", "displayName")], false),
        (GROUP, vec![], true),
        (USER, vec![("excludedAttributes", "groups")], false),
        (USER, vec![("attributes", "userName,groups")], true),
    ] {
        let (_, cost) = application.cost(|| application.list(type_, &query).unwrap());
        assert_eq!(application.read("crew"), reads, "{query:?}");
        assert_eq!(cost.reads, if reads { 2 } else { 1 }, "{query:?}");
    }
}

/// The demo's two kinds of groups, a few hundred of each, some with the same name.
fn many_groups() -> Application {
    let application = Application::new();
    application.application_runs(
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 270) INSERT INTO profiles(id, label) SELECT i, 'g' || (i % 50) || '-' || i FROM n;
         WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 270) INSERT INTO projects(id, name) SELECT i, 'G' || (i % 50) || '-' || i FROM n;
         INSERT INTO scimshim_links SELECT 'hr', 'Group.profile', id, 'e' || (id % 7) FROM profiles WHERE id % 2",
    );
    application
}

#[test]
fn two_tables_are_paged_without_loss_or_doubles() {
    let application = many_groups();
    for sort in [
        vec![],
        vec![("sortBy", "displayName")],
        vec![("sortBy", "externalId"), ("sortOrder", "descending")],
        vec![("sortBy", "id")],
        vec![("filter", "displayName sw \"g\""), ("sortBy", "displayName"), ("sortOrder", "descending")],
    ] {
        let mut ids = Vec::new();
        let mut costs = HashSet::new();
        loop {
            let start = (ids.len() + 1).to_string();
            let mut query = sort.clone();
            query.extend([("startIndex", start.as_str()), ("count", "37")]);
            let (page, cost) = application.cost(|| application.list(GROUP, &query).unwrap());
            costs.insert(cost.reads);
            let whole = if sort.iter().any(|(key, _)| *key == "filter") { 522 } else { 524 };
            assert_eq!(page.total, Some(whole), "{sort:?}");
            if page.resources.is_empty() {
                break;
            }
            ids.extend(page.resources.iter().map(|group| text(group, "id").to_owned()));
        }
        let distinct: HashSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len(), "no doubles: {sort:?}");
        assert!(ids.len() >= 522, "no loss: {sort:?}");
        assert!(costs.iter().max() <= Some(&7), "{costs:?}");
    }
}

#[test]
fn two_tables_are_sorted_as_one() {
    let application = many_groups();
    let page = application
        .list(
            GROUP,
            &[
                ("sortBy", "externalId"),
                ("sortOrder", "descending"),
                ("count", "200"),
                ("excludedAttributes", "members"),
            ],
        )
        .unwrap();
    assert_eq!(page.resources[0].get("externalId"), None, "those without come first, descending");
    let page = application
        .list(GROUP, &[("sortBy", "displayName"), ("count", "200"), ("excludedAttributes", "members")])
        .unwrap();
    let names: Vec<String> = page.resources.iter().map(|group| text(group, "displayName").to_lowercase()).collect();
    assert!(names.windows(2).all(|pair| pair[0] <= pair[1]), "{names:?}");
}

#[test]
fn projects_are_filled_and_nothing_else() {
    let application = Application::new();
    let renamed =
        application.patch(GROUP, "project-1", json!([{ "op": "replace", "path": "displayName", "value": "Other" }]));
    assert!(renamed.is_ok() || renamed.unwrap_err().status == 400);
    let mut names = application.shown("projects", &["name"]);
    names.sort();
    assert_eq!(names, ["Bridge", "Engine"]);
    assert_eq!(application.delete(GROUP, "project-1").unwrap_err().status, 403);
    application
        .patch(
            GROUP,
            "project-1",
            json!([{ "op": "add", "path": "members", "value": [{ "value": "1" }, { "value": "2" }] }]),
        )
        .unwrap();
    assert_eq!(application.shown("project_people", &["person_id", "role"]), ["1 lead", "2 member"]);
    application.put(GROUP, "project-1", json!({ "displayName": "Engine", "members": [] })).unwrap();
    assert_eq!(application.shown("project_people", &["person_id", "role"]), ["1 lead"], "the lead is left");
    application.patch(GROUP, "project-2", json!([{ "op": "replace", "path": "externalId", "value": "b" }])).unwrap();
    assert_eq!(application.names(GROUP, &[("filter", "externalId eq \"b\"")]), ["Bridge"]);
    assert_eq!(application.get(GROUP, "profile-1").unwrap_err().status, 404);
    assert_eq!(application.get(GROUP, "1").unwrap_err().status, 404, "an id has its prefix");
}
