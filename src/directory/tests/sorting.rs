//! What lists are sorted by, what is refused, searches over all types, and who sees whose groups.

use super::*;
use crate::scim::ScimType;

fn search(application: &Application, query: &[(&str, &str)]) -> Result<Page, Error> {
    let query = ListQuery::parse(query, &filter::Limits::default())?;
    application.directory.search(&application.caller, &query)
}

fn ids(page: &Page) -> Vec<&str> {
    page.resources.iter().map(|resource| text(resource, "id")).collect()
}

#[test]
fn every_kind_of_attribute_sorts() {
    let application = Application::staff();
    application.application_runs(
        "UPDATE people SET dept_id = NULL, manager_id = 1, shown = 'x', title = '' WHERE id = 2; UPDATE people SET manager_id = 2, mail = 'Z@x', phone = '1' WHERE id = 3;
         UPDATE people SET mail = 'a@x', mobile = '0', updated = '2021-01-01 00:00:00', state = 'suspended', title = 'a' WHERE id = 1;
         INSERT INTO people(id, login, given, updated) VALUES (10, 'Gil', 'G', '2019-01-01 00:00:00');
         INSERT INTO divisions VALUES (9, 'alpha'); UPDATE people SET division_id = 1 WHERE id = 1; UPDATE people SET division_id = 9 WHERE id = 10;
         INSERT INTO scimshim_sidecar VALUES ('User', '3', '{\"kept\":{\"userType\":\"b\"}}'), ('User', '2', '{\"kept\":{\"userType\":\"A\"}}');
         INSERT INTO crew VALUES (2, 10)",
    );
    for (path, ascending) in [
        ("id", "1 10 2 3"),
        ("USERNAME", "2 3 10 1"),
        ("userName", "2 3 10 1"),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName", "2 3 10 1"),
        ("externalId", "1 2 3 10"),
        ("name.givenName", "2 10 1 3"),
        ("displayName", "10 1 2 3"),
        ("title", "1 2 3 10"),
        ("active", "1 2 3 10"),
        ("userType", "2 3 1 10"),
        ("emails", "1 3 2 10"),
        ("emails.value", "1 3 2 10"),
        ("emails.type", "1 3 2 10"),
        // The work phone before the mobile one.
        ("phoneNumbers", "1 3 2 10"),
        ("phoneNumbers.type", "1 3 2 10"),
        ("division", "10 1 2 3"),
        ("manager", "2 3 1 10"),
        ("manager.value", "2 3 1 10"),
        ("manager.$ref", "2 3 1 10"),
        // `Root`, `x`.
        ("manager.displayName", "2 3 1 10"),
        ("groups", "1 2 10 3"),
        ("groups.display", "1 2 10 3"),
        ("groups.type", "1 2 10 3"),
        ("meta.lastModified", "10 2 3 1"),
        ("meta.resourceType", "1 2 3 10"),
        ("meta.location", "1 10 2 3"),
        ("schemas", "1 2 3 10"),
    ] {
        let page = application.list(USER, &[("sortBy", path)]).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(ids(&page).join(" "), ascending, "{path}");
    }
}

#[test]
fn what_cannot_be_sorted_by_is_refused() {
    let application = Application::staff();
    for (path, scim_type, reason) in [
        ("password", ScimType::InvalidValue, "never returned"),
        ("name", ScimType::InvalidValue, "complex"),
        ("meta", ScimType::InvalidValue, "complex"),
        ("meta.version", ScimType::InvalidValue, "no column"),
        ("meta.created", ScimType::InvalidValue, "no column"),
        ("emails.display", ScimType::InvalidValue, "no column"),
        ("shoeSize", ScimType::InvalidPath, "shoeSize is not an attribute"),
        ("emails[type eq \"work\"]", ScimType::InvalidPath, "not an attribute path"),
        ("a b", ScimType::InvalidPath, "not an attribute path"),
    ] {
        let error = application.list(USER, &[("sortBy", path)]).expect_err(path);
        assert_eq!((error.status, error.scim_type), (400, Some(scim_type)), "{path}: {}", error.detail);
        assert!(error.detail.contains(reason), "{path}: {}", error.detail);
    }
    let error = application.list(USER, &[("sortOrder", "sideways")]).unwrap_err();
    assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidValue)));
}

#[test]
fn a_search_goes_over_all_types() {
    let application = Application::staff();
    let all = search(&application, &[]).unwrap();
    assert_eq!((all.total, ids(&all)), (Some(5), vec!["1", "2", "3", "1", "2"]));
    let kinds: Vec<&str> = all.resources.iter().map(|one| one["meta"]["resourceType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["User", "User", "User", "Group", "Group"]);
    assert!(all.resources[0]["schemas"][0].as_str().unwrap().ends_with(":User"));
    assert_eq!(all.resources[3]["members"].as_array().unwrap().len(), 2);
    assert!(all.resources[0].get("groups").is_some());
    for (filter, found) in [
        ("meta.resourceType eq \"Group\"", 2),
        ("meta.resourceType eq \"User\"", 3),
        ("not (meta.resourceType eq \"User\")", 2),
        ("meta.resourceType eq \"Thing\"", 0),
        ("schemas eq \"urn:ietf:params:scim:schemas:core:2.0:Group\"", 2),
        ("userName eq \"BOB\"", 1),
        ("userName pr", 3),
        // A group has no userName: no value is not `bob` (RFC 7644 3.4.2.1).
        ("userName ne \"bob\"", 4),
        ("not (userName eq \"bob\")", 4),
        ("displayName co \"r\"", 3),
        ("id eq \"1\"", 2),
        ("members.value eq \"1\"", 1),
        ("members[value eq \"1\"] or userName eq \"gil\"", 2),
        ("urn:ietf:params:scim:schemas:core:2.0:User:displayName pr", 2),
        ("urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value eq \"1\"", 0),
        ("meta.lastModified gt \"2000-01-01T00:00:00Z\"", 4),
    ] {
        let page = search(&application, &[("filter", filter)]).unwrap_or_else(|error| panic!("{filter}: {error}"));
        assert_eq!((page.total, page.resources.len()), (Some(found), usize::try_from(found).unwrap()), "{filter}");
    }
    for filter in ["shoeSize eq 5", "name.shoe pr", "urn:example:Group:userName pr"] {
        let error = search(&application, &[("filter", filter)]).unwrap_err();
        assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidFilter)), "{filter}");
        assert!(error.detail.contains("any resource type"), "{}", error.detail);
    }
    let names = |query: &[(&str, &str)]| -> Vec<String> {
        let page = search(&application, query).unwrap();
        page.resources
            .iter()
            .map(|one| one.get("userName").unwrap_or_else(|| &one["displayName"]).to_string())
            .collect()
    };
    assert_eq!(
        names(&[("sortBy", "displayName"), ("attributes", "userName,displayName")]),
        ["\"bob\"", "\"Crew\"", "\"Empty\"", "\"root\"", "\"gil\""]
    );
    assert_eq!(
        names(&[("sortBy", "userName"), ("sortOrder", "descending"), ("count", "3")]),
        ["\"Crew\"", "\"Empty\"", "\"root\""]
    );
    let error = search(&application, &[("sortBy", "shoeSize")]).unwrap_err();
    assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidPath)));
    for (query, shown) in
        [(vec![("count", "0")], 0), (vec![("startIndex", "4"), ("count", "1")], 1), (vec![("startIndex", "900")], 0)]
    {
        let page = search(&application, &query).unwrap();
        assert_eq!((page.total, page.resources.len()), (Some(5), shown), "{query:?}");
    }
}

#[test]
fn a_search_costs_the_same_for_few_and_for_many() {
    let application = Application::staff();
    let (_, few) = application.cost(|| search(&application, &[("count", "2")]).unwrap());
    let (_, few_sorted) = application.cost(|| search(&application, &[("sortBy", "id"), ("count", "4")]).unwrap());
    application.application_runs(
        "WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 300) INSERT INTO people(id, login) SELECT i, 'p' || i FROM n;
         INSERT INTO teams(id, name) SELECT id, login FROM people WHERE id > 9; INSERT INTO crew SELECT 2, id FROM people WHERE id > 2",
    );
    let (page, many) = application.cost(|| search(&application, &[("sortBy", "id"), ("count", "150")]).unwrap());
    assert_eq!(page.resources.len(), 150);
    assert_eq!(many, few_sorted);
    assert!(few.reads <= many.reads && many.reads <= 7, "{many:?}");
    let (_, one_type) = application.cost(|| {
        search(
            &application,
            &[("filter", "meta.resourceType eq \"User\""), ("excludedAttributes", "groups"), ("count", "9")],
        )
        .unwrap()
    });
    assert!(one_type.reads <= 3 && !application.read("teams"), "types that cannot have any are not asked");
}

#[test]
fn a_type_that_may_not_be_read_is_nowhere() {
    let mut application = Application::staff();
    let with = application.get(USER, "2").unwrap();
    assert_eq!(with["groups"].as_array().unwrap().len(), 1);
    application.may(&[Operation::Read, Operation::Create, Operation::Update]);
    let (without, cost) = application.cost(|| application.get(USER, "2").unwrap());
    assert_eq!(without.get("groups"), None, "the groups of a type that it may not read");
    assert_eq!(cost.reads, 1);
    assert!(!application.read("crew"));
    let page = application.list(USER, &[]).unwrap();
    assert!(page.resources.iter().all(|user| user.get("groups").is_none()));
    let patched = application.set("2", "title", json!("T")).unwrap().unwrap();
    assert_eq!(patched.get("groups"), None);
    for (filter, scim_type) in [
        ("groups pr", ScimType::InvalidFilter),
        ("groups.display eq \"Crew\"", ScimType::InvalidFilter),
        ("not (groups[value eq \"1\"])", ScimType::InvalidFilter),
    ] {
        let error = application.list(USER, &[("filter", filter)]).expect_err(filter);
        assert_eq!((error.status, error.scim_type), (400, Some(scim_type)), "{filter}");
        assert!(error.detail.contains("`may`"), "{}", error.detail);
    }
    let error = application.list(USER, &[("sortBy", "groups.display")]).unwrap_err();
    assert_eq!(error.status, 400);
    let all = search(&application, &[]).unwrap();
    assert_eq!(all.total, Some(3), "users alone");
    assert!(all.resources.iter().all(|user| user.get("groups").is_none()));
    let error = search(&application, &[("filter", "members pr")]).unwrap_err();
    assert_eq!(error.status, 400, "an attribute of what it may not read is none");
    application.may(&[Operation::Create]);
    assert_eq!(search(&application, &[]).unwrap_err().status, 403);
    assert_eq!(application.list(USER, &[]).unwrap_err().status, 403);
}

#[test]
fn labels_can_be_asked() {
    let application = Application::staff();
    application.application_runs(
        "UPDATE people SET manager_id = 1 WHERE id = 2; UPDATE people SET manager_id = 3, shown = 'Shown' WHERE id = 1",
    );
    for (type_, filter, found) in [
        (USER, "groups.display eq \"CREW\"", "root bob"),
        (USER, "groups[display sw \"cr\" and value eq \"1\"]", "root bob"),
        (USER, "groups.display ne \"Crew\"", "gil"),
        (USER, "groups.display eq null", "gil"),
        (USER, "manager.displayName eq \"shown\"", "bob"),
        // gil, who manages root, has no name to show.
        (USER, "manager.displayName pr", "bob"),
        (USER, "manager.displayName eq null", "root gil"),
        (USER, "manager.displayName ne \"Shown\"", "root gil"),
        (USER, "manager[displayName co \"how\"]", "bob"),
        (USER, "manager.$ref pr", "root bob"),
        (GROUP, "members.display eq \"Bob Builder\"", "Crew"),
        (GROUP, "members[display eq \"shown\" and type eq \"User\"]", "Crew"),
        (GROUP, "members[display eq \"Nobody\"]", ""),
    ] {
        assert_eq!(application.names(type_, &[("filter", filter)]).join(" "), found, "{filter}");
    }
}
