//! Broken adapters and what is said of them; the shipped adapters against the schemas they are for.

use super::*;
use crate::document::{Findings, Source as Text};
use crate::sql::{Catalogue, ColumnInfo, ColumnKind, Dialect, Ident, Index, Table, TableInfo};
use std::path::{Path, PathBuf};

mod page;
mod rows;

/// Tables from lines like `people: id key, login text(20) unique, boss int null, made datetime = now`.
fn catalogue(lines: &str) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (table, columns) = line.split_once(": ").unwrap();
        let mut info = TableInfo::default();
        for column in columns.split(", ") {
            let mut words = column.split(' ');
            let name = Ident::new(words.next().unwrap());
            let words: Vec<&str> = words.collect();
            let kind = match words[0] {
                "key" | "int" => ColumnKind::Integer { min: 0, max: 4_294_967_295 },
                "flag" => ColumnKind::Integer { min: -128, max: 127 },
                "datetime" => ColumnKind::DateTime,
                "json" => ColumnKind::Json,
                "binary" => ColumnKind::Binary(Some(16)),
                text => ColumnKind::Text(text[5..text.len() - 1].parse().ok()),
            };
            if words[0] == "key" || words.contains(&"unique") {
                let columns = vec![name.clone()];
                info.indexes.push(Index { name: name.as_str().to_owned(), columns: columns.clone(), unique: true });
                if words[0] == "key" {
                    info.primary_key = columns;
                }
            }
            info.columns.push(ColumnInfo {
                name,
                kind,
                sql_type: words[0].to_owned(),
                cast: None,
                nullable: words.contains(&"null"),
                has_default: words.contains(&"=") || words[0] == "key",
                generated_key: words[0] == "key",
                ignores_case: false,
            });
        }
        catalogue.tables.insert(Table::new(table), info);
    }
    catalogue
}

const TABLES: &str = "
    people: id key, login text(20) unique, name text() null, mail text(50) null, active flag = 1, state text(10) = x, dept_id int null, boss_id int null, gone datetime null, made datetime null, extra json null
    depts: id key, name text(30) unique, code text(5) null
    roles: id key, label text(30) unique, kind text(10)
    role_people: role_id int, person_id int, why text(10) null
    log: id key, what text(20), at datetime
    assets: id key, holder int null
";

fn compiled(yaml: &str) -> (Option<Adapter>, Findings) {
    let mut findings = Findings::new();
    let document = read(Text::new("a.yaml", yaml), &[], &mut findings);
    let adapter = document.and_then(|d| compile(&d, &catalogue(TABLES), Dialect::Mysql, &mut findings));
    (adapter, findings)
}

/// A whole adapter around the lines of `User`, which stand at four spaces.
fn user(lines: &str) -> String {
    format!("adapter: a\nresources:\n  User:\n    table: people\n    id: id\n{lines}")
}

const NAMED: &str = "    attributes:\n      userName: { column: login, required: true }\n";

#[test]
fn what_is_refused() {
    let with = |attribute: &str| user(&format!("{NAMED}      {attribute}\n"));
    let beside = |lines: &str| user(&format!("{lines}{NAMED}"));
    let cases: Vec<(String, &str, &str)> = vec![
        // names
        (
            user(NAMED).replace("people", "poeple"),
            "4:12: error: there is no table `poeple` in the database",
            "did you mean `people`?",
        ),
        (with("displayName: nmae"), "8:20: error: the table `people` has no column `nmae`", "did you mean `name`?"),
        (
            beside("    where: { gnoe: null }\n"),
            "error: the table `people` has no column `gnoe`",
            "did you mean `gone`?",
        ),
        (with("dispalyName: name"), "has no attribute `dispalyName`", "did you mean `displayName`?"),
        (with("name.givnName: name"), "`name` has no sub-attribute `givnName`", "did you mean `givenName`?"),
        (with("emails: mail"), "`emails` is a complex attribute", "map its sub-attributes, like `emails.value`"),
        (with("email s: mail"), "`email s` is not an attribute path", "a path is like"),
        (with("id: id"), "`id` is not mapped as an attribute", "the resource's own `id:`"),
        (with("USERNAME: name"), "`userName` is mapped twice", "the first stands at a.yaml:7:7"),
        (with("userName: name"), "duplicate key `userName`", ""),
        (
            with(
                "\"urn:x:2.0:User\": { chiefs: { link: { table: role_people, parent: person_id, child: role_id, resource: User } } }",
            ),
            "chiefs` is a link, and stands in an extension",
            "members stand in the core schema",
        ),
        // keys and words
        (beside("    wher: { gone: null }\n"), "unknown key `wher`", "did you mean `where`?"),
        (
            with("\"urn:x:2.0:User\": { shoe: { column: extra, json: size, type: text, fallback: \"9\" } }"),
            "a fallback fills a column, and this is a key of a document",
            "",
        ),
        (beside("    where: { name: \"${request.id}\" }\n"), "a `where` means the same for every request", "literals"),
        (beside("    unmapped: stor\n"), "expected one of `ignore`, `store`, found `stor`", "did you mean `store`?"),
        (with("displayName: { column: name, uniqe: true }"), "unknown key `uniqe`", "did you mean `unique`?"),
        (with("displayName: { column: name, type: txet }"), "there is no type `txet`", "did you mean `text`?"),
        (with("displayName: { column: name, pattern: \"(\" }"), "not a regular expression", ""),
        // administrators
        (
            format!("{}administrators: {{ table: people, name: login, password: name }}\n", user(NAMED)),
            "the key `where` is missing",
            "",
        ),
        (
            format!("{}administrators: {{ table: people, name: login, password: name, where: {{}} }}\n", user(NAMED)),
            "every row would be an administrator",
            "say which are",
        ),
        (
            format!(
                "{}administrators: {{ table: people, name: logn, password: name, where: {{ active: 1 }} }}\n",
                user(NAMED)
            ),
            "the table `people` has no column `logn`",
            "did you mean `login`?",
        ),
        (
            format!(
                "{}administrators: {{ table: people, name: login, password: active, where: {{ active: 1 }} }}\n",
                user(NAMED)
            ),
            "the column `active` does not hold text",
            "",
        ),
        (
            format!(
                "{}administrators: {{ table: people, name: login, password: name, hash: md5, where: {{ active: 1 }} }}\n",
                user(NAMED)
            ),
            "expected one of `bcrypt`",
            "",
        ),
        (with("displayName: {}"), "`displayName` has no binding", "one of column, lookup"),
        (with("displayName: { sidecar: true, constant: x }"), "`displayName` has two bindings", ""),
        (beside("    tree: { parent: boss_id }\n"), "the key `name` is missing", ""),
        (
            beside("    tree: { parent: boss_id, name: name, path: mial }\n"),
            "the table `people` has no column `mial`",
            "did you mean `mail`?",
        ),
        (
            beside("    tree: { parent: boss_id, name: name, path: mail, level: state }\n"),
            "levels are counted, and the column `state` holds at most 10 characters",
            "",
        ),
        (
            beside("    tree: { parent: boss_id, name: name, path: mail, clear: [active] }\n"),
            "the column `active` cannot be NULL, so it cannot be cleared",
            "",
        ),
        (
            beside("    tree: { parent: state, name: name, path: mail }\n"),
            "the column `state` cannot be NULL: what does it hold at the top?",
            "say it with `none`",
        ),
        (
            beside("    tree: { parent: boss_id, name: name, path: mail, separator: '' }\n"),
            "nothing would stand between the names of a path",
            "",
        ),
        (
            beside("    tree: { parent: boss_id, name: name, path: mail }\n") + "      emails.value: mail\n",
            "`emails.value` writes `mail`, which `tree` keeps",
            "say `mutability: readOnly` here",
        ),
        (
            with(
                "title: { column: dept_id, lookup: { table: depts, match: name, missing: create, type: { text: { html_entities: mixed, parts: \" > \" } } } }",
            ),
            "`name` is a path: a row that is made needs more than that",
            "say `tree: { parent: ..., name: ..., level: ... }`, or `missing: reject`",
        ),
        (
            with("title: { column: dept_id, lookup: { table: depts, match: name, label: \"${column:nmae}\" } }"),
            "the table `depts` has no column `nmae`",
            "did you mean `name`?",
        ),
        (
            with(
                "title: { column: dept_id, lookup: { table: depts, match: name, tree: { parent: id, name: code, separator: / }, type: { text: { html_entities: always, parts: \" > \" } } } }",
            ),
            "the type keeps \" > \" between the parts",
            "",
        ),
        (
            with("password: { column: name, hash: argon2i }"),
            "expected one of `bcrypt`, `argon2id`",
            "did you mean `argon2id`?",
        ),
        (
            with("password: { column: mail, hash: sha512_crypt }"),
            "such a hash has 120 characters; the column `mail` holds at most 50 characters",
            "",
        ),
        (
            with("displayName: { column: name, type: { text: { html_entities: sometimes } } }"),
            "expected one of `always`, `mixed`, found `sometimes`",
            "",
        ),
        (
            with("displayName: { column: name, type: { text: { parts: \" > \" } } }"),
            "`parts` keeps a separator raw where the rest is stored as entities, and nothing is",
            "say `html_entities: always` or `mixed` beside it",
        ),
        (
            with("displayName: { column: name, type: { text: { html_entities: mixed, parts: '' } } }"),
            "the separator between parts is empty",
            "",
        ),
        (
            with("nickName: { column: boss_id, type: { text: { html_entities: always } } }"),
            "entities are kept in text, and the column `boss_id`",
            "",
        ),
        // types and literals
        (
            with("active: state"),
            "the column `state` holds at most 10 characters, and the attribute is of type boolean",
            "say what stands for each side",
        ),
        (with("nickName: boss_id"), "and the attribute is of type string", "say `type: text`"),
        (
            with("active: { column: active, type: { boolean: { true: yes, false: 0 } } }"),
            "`yes` is not a whole number: the column `active` holds",
            "",
        ),
        (with("active: { column: active, type: { boolean: { true: 1 } } }"), "both `true` and `false` need", ""),
        (with("displayName: { column: name, type: integer }"), "the attribute is of type string", ""),
        (with("emails.primary: { constant: work }"), "the attribute is of type boolean", ""),
        (
            beside("    where: { state: far_too_long_a_word }\n"),
            "is too long: the column `state` holds at most 10 characters",
            "",
        ),
        (beside("    where: { active: { in: [1, many] } }\n"), "`many` is not a whole number", ""),
        // predicates
        (beside("    where: { gone: { nott: null } }\n"), "unknown predicate `nott`", "did you mean `not`?"),
        (beside("    where: { state: [a, b] }\n"), "a list says nothing here", "{ in: [a, b] }"),
        (beside("    where: { gone: { changed: true } }\n"), "`changed` is said of a change", ""),
        (beside("    where: { extra: { bits: 2 } }\n"), "`bits` is for columns that hold whole numbers", ""),
        // values
        (with("displayName: { template: \"${usrName}\" }"), "there is no `${usrName}`", "did you mean `${userName}`?"),
        (with("displayName: { template: \"${userName\" }"), "`${` without `}`", "`$${`"),
        (with("displayName: { template: \"${count}\" }"), "`${count}` means nothing here", "what a guard counted"),
        (
            with("displayName: { template: \"${displayName} x\" }"),
            "the templates of `displayName` come back to itself",
            "",
        ),
        (
            beside("    create: { before: [ { delete: assets, where: { holder: \"${id}\" } } ] }\n"),
            "`${id}` means nothing here",
            "",
        ),
        (beside("    create: { set: { state: \"${parameter:nope}\" } }\n"), "there is no parameter `nope`", ""),
        (user(NAMED).replace("people", "\"${parameter:t}\""), "a parameter cannot stand for a table or column", ""),
        // resources pointing to each other
        (
            with(
                "\"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User\": { manager: { column: boss_id, reference: { resource: Usr } } }",
            ),
            "there is no resource `Usr`",
            "did you mean `User`?",
        ),
        (
            beside("    create: { revive: { by: usrName, where: { gone: { not: null } }, set: { gone: null } } }\n"),
            "no attribute `usrName` is mapped",
            "did you mean `userName`?",
        ),
        // what the database would refuse
        (
            user("    attributes:\n      displayName: name\n"),
            "nothing fills `people.login` on create",
            "create: { set: { login: ... } }",
        ),
        (
            user("    attributes:\n      userName: { column: login, required: false }\n"),
            "when a client leaves userName out",
            "required: true",
        ),
        (beside("    create: { set: { login: null } }\n"), "the column `login` cannot be NULL", ""),
        (
            beside("    create: { then: [ { insert: log, values: { what: x } } ] }\n"),
            "nothing fills `log.at`",
            "give it a value in `values`",
        ),
        (
            beside("    where: { gone: null }\n    create: { set: { gone: \"${now}\" } }\n"),
            "a created row would stand outside `where`",
            "",
        ),
        (beside("    where: { name: { in: [a, b] } }\n"), "a created row would stand outside `where`", ""),
        (with("displayName: login"), "`userName` and `displayName` both write `login`", "mutability: readOnly"),
        // life cycle
        (beside("    delete: { how: set }\n"), "nothing says what is set", ""),
        (beside("    delete: rwo\n"), "expected one of `row`", "did you mean `row`?"),
        (beside("    delete: deactivate\n"), "`deactivate` needs the attribute `active`", ""),
        (
            beside("    update: { then: [ { update: log, values: { what: x } } ] }\n"),
            "has no `where`: it would take every row",
            "",
        ),
        (beside("    update: { then: [ { where: {} } ] }\n"), "a step does one thing", ""),
        (
            beside(
                "    delete: { how: row, guard: [ { count: { table: assets, where: { holder: \"${id}\" } }, says: x } ] }\n",
            ),
            "a guard needs `at_most` or `at_least`",
            "",
        ),
        (
            beside(
                "    update: { then: [ { delete: assets, where: { holder: \"${id}\" }, when: { activ: { becomes: false } } } ] }\n",
            ),
            "`activ` is neither a column of `people` nor a mapped attribute",
            "did you mean `active`?",
        ),
        // the document
        (
            user(NAMED) + "time_zone: Europe/Berlni\n",
            "there is no time zone `Europe/Berlni`",
            "did you mean `Europe/Berlin`?",
        ),
        (user(NAMED) + "databases: [postgres]\n", "the adapter is not for this database", ""),
        (
            user(NAMED) + "versions: { \"1\": { when: { has: [people.nope] } } }\n",
            "none of the versions of `a` fits this database",
            "not 1: the database lacks people.nope",
        ),
        (
            user(NAMED) + "parameters: { p: { default: x, choices: [a, b] } }\n",
            "the parameter `p` is one of a, b, found `x`",
            "",
        ),
        (user(NAMED) + "parameters: { p: { help: x } }\n", "the parameter `p` has no value", "configure it"),
        (user(NAMED) + "extends: nothing-like-that\n", "there is no adapter `nothing-like-that`", "beside this file"),
        (user(NAMED) + "resuorces: {}\n", "unknown key `resuorces`", "did you mean `resources`?"),
    ];
    let mut wrong = String::new();
    for (yaml, message, help) in cases {
        let (adapter, findings) = compiled(&yaml);
        let rendered = findings.render(false);
        if (adapter.is_some() && !findings.has_errors()) || !rendered.contains(message) || !rendered.contains(help) {
            wrong.push_str(&format!("--- wanted {message:?}, {help:?}, of\n{yaml}\n--- got\n{rendered}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_warned_of() {
    let yaml = user(&format!(
        "{NAMED}      emails.value: mail\n      displayName: {{ column: name, unique: {{ within: [active] }} }}\n      urn:x:y:2.0:User:\n        code: {{ column: dept_id, lookup: {{ table: depts, match: code }} }}\nrecognise: {{ has: [people.nope] }}\n"
    ));
    let (adapter, findings) = compiled(&yaml);
    let rendered = findings.render(false);
    assert!(adapter.is_some(), "{rendered}");
    for wanted in [
        "`code` is not unique in `depts`",
        "`displayName` is unique within `active`, and what the database puts there in a new row is not known",
        "CREATE INDEX scimshim_people_mail ON `people` (`mail`);",
        "the database does not look like this application: see `people.nope`",
    ] {
        assert!(rendered.contains(wanted), "{wanted}\n{rendered}");
    }
}

#[test]
fn everything_at_once_and_each_at_its_place() {
    let yaml = user(
        "    where: { gnoe: null }\n    attributes:\n      userName: { column: lgoin, required: true }\n      active: atcive\n    delete: rwo\n",
    );
    let (_, findings) = compiled(&yaml);
    let rendered = findings.render(false);
    for place in ["a.yaml:6:14", "a.yaml:8:27", "a.yaml:9:15", "a.yaml:10:13"] {
        assert!(rendered.contains(place), "{place}\n{rendered}");
    }
}

#[test]
fn what_a_document_means() {
    let yaml = user(
        "    where: { gone: null, state: here }
    protected: { extra: { json: { boss: true, deep: { er: { not: \"1\" } } } } }
    timestamps: { created: made }
    attributes:
      userName: { column: login, required: true, unique: true }
      externalId: sidecar
      active: { column: gone, mutability: readOnly, type: { boolean: { true: null, false: \"${now}\" } } }
      emails.value: { column: mail, enabled: \"${parameter:mails}\" }
      emails.type: { constant: work }
      nickName: { column: name, enabled: false }
      phoneNumbers[type eq \"work\"].value: { column: extra, json: [phones, work] }
      urn:example:hr:2.0:User:
        state: { column: state, mutability: readOnly }
        level: { column: active }
      urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:
        manager: { column: boss_id, reference: { resource: User } }
    delete:
      how: set
      set: { gone: \"${now}\" }
      before: [ { delete: assets, where: { holder: \"${id}\" }, when: { active: { becomes: 0 } } } ]
  Group:
    table: roles
    id: id
    where: { kind: r }
    attributes:
      displayName: { column: label, required: true }
      members: { link: { table: role_people, parent: role_id, child: person_id, resource: User, added: [ { insert: log, values: { what: \"+${each.person_id.label}\", at: \"${now}\" } } ] } }
    delete: row
  Dept: { endpoint: /Depts, schema: urn:example:2.0:Dept, table: depts, id: id, attributes: { name: { column: name, required: true } } }
parameters: { mails: { default: true } }
",
    );
    let (adapter, findings) = compiled(&yaml);
    let Some(adapter) = adapter else { panic!("{}", findings.render(false)) };
    let user = &adapter.resource_types[0];
    let source = &user.sources[0];
    let paths: Vec<String> = source.attributes.iter().map(|attribute| attribute.target.path()).collect();
    assert_eq!(
        paths,
        [
            "userName",
            "externalId",
            "active",
            "emails.value",
            "emails.type",
            "phoneNumbers[type eq \"work\"].value",
            "urn:example:hr:2.0:User:state",
            "urn:example:hr:2.0:User:level",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager",
        ]
    );
    // The equality of `where` is written on create; the null one needs nothing.
    let set = &source.create.as_ref().unwrap().set;
    assert_eq!(set.len(), 1);
    assert_eq!(source.columns[set[0].0].name.as_str(), "state");
    assert_eq!(source.columns[0].name.as_str(), "id");
    // The schema tells what is mapped, and `groups` because a link points here.
    let names: Vec<&str> = user.schema.core.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
    assert_eq!(names, ["userName", "active", "emails", "phoneNumbers", "groups"]);
    let phones = user.schema.core.attribute("phoneNumbers").unwrap();
    assert_eq!(phones.sub("type").unwrap().canonical_values, ["work"]);
    assert!(user.schema.core.attribute("active").unwrap().is_read_only());
    // What stands beside an element's value is the client's to say.
    assert!(!user.schema.core.attribute("emails").unwrap().sub("type").unwrap().is_read_only());
    let own = &user.schema.extensions[0];
    assert_eq!((own.name.as_str(), own.id.as_str()), ("hr User", "urn:example:hr:2.0:User"));
    assert_eq!(own.attribute("level").unwrap().kind, crate::scim::Kind::Integer);
    let manager = user.schema.extensions[1].attribute("manager").unwrap();
    assert_eq!(manager.sub("$ref").unwrap().reference_types, ["User"]);
    let dept = &adapter.resource_types[2];
    assert_eq!((dept.endpoint.as_str(), dept.schema.core.id.as_str()), ("/Depts", "urn:example:2.0:Dept"));
    assert!(matches!(
        source.protected.as_ref().unwrap(),
        Condition::And(parts) if matches!(parts.as_slice(), [
            Condition::Test(Operand::Json(_, one), Test::Is(Expression::Literal(crate::sql::Value::Text(_)))),
            Condition::Not(_),
        ] if *one == ["boss"])
    ));
    let needs = privileges(&adapter);
    let of = |table: &str| needs.iter().find(|(known, _)| known.name.as_str() == table).unwrap().1;
    let all = Needs { select: true, insert: true, update: true, delete: true };
    assert_eq!(of("people"), Needs { delete: false, ..all });
    assert_eq!(of("roles"), all);
    assert_eq!(of("role_people"), Needs { update: false, ..all });
    assert_eq!(of("log"), Needs { select: true, insert: true, ..Needs::default() }, "the journal reads what was given");
    assert_eq!(of("assets"), Needs { select: true, delete: true, ..Needs::default() });
}

#[test]
fn one_adapter_extends_another() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("base.yaml", &user(&format!("{NAMED}      displayName: name\n")));
    write(
        "mine.yaml",
        "adapter: mine\nextends: base\nresources: { User: { attributes: { displayName: null, nickName: name } } }\n",
    );
    write("one.yaml", "adapter: one\nextends: two\n");
    write("two.yaml", "adapter: two\nextends: one\n");
    let mut findings = Findings::new();
    let document = load(&folder.path().join("mine.yaml"), &[], &mut findings).unwrap();
    let adapter = compile(&document, &catalogue(TABLES), Dialect::Mysql, &mut findings).unwrap();
    assert_eq!(adapter.name, "mine");
    let paths: Vec<String> = adapter.resource_types[0].sources[0].attributes.iter().map(|a| a.target.path()).collect();
    assert_eq!(paths, ["userName", "nickName"]);
    assert!(load(&folder.path().join("one.yaml"), &[], &mut findings).is_none());
    assert!(findings.render(false).contains("extends itself"), "{}", findings.render(false));
}

#[test]
fn bytes_are_no_id() {
    let mut findings = Findings::new();
    let yaml = "adapter: bytes\ntitle: Bytes\nresources:\n  User:\n    table: people\n    id: id\n    attributes: { userName: login }\n    create: refuse\n    delete: refuse\n";
    let document = read(Text::new("adapter.yaml", yaml), &[], &mut findings).unwrap();
    let tables = "people: id binary unique, login text(20)";
    assert!(compile(&document, &catalogue(tables), Dialect::Mysql, &mut findings).is_none());
    let said = findings.render(false);
    assert!(said.contains("`people.id` holds bytes (binary), and a SCIM id is text"), "{said}");
    assert!(said.contains("adapter.yaml:6:") && said.contains("HEX(id)"), "{said}");
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters").join(name)
}

/// What a schema dump of the application says, read as the live catalogue would say it.
fn dump(text: &str) -> Catalogue {
    let mut catalogue = Catalogue::default();
    for table in text.split("CREATE TABLE `").skip(1) {
        let name = table.split('`').next().unwrap();
        let mut info = TableInfo::default();
        let quoted = |text: &str| -> Vec<Ident> { text.split('`').skip(1).step_by(2).map(Ident::new).collect() };
        for line in table.lines().skip(1).map(str::trim).take_while(|line| !line.starts_with(')')) {
            if let Some(column) = line.strip_prefix('`') {
                let (name, rest) = column.split_once("` ").unwrap();
                let sql_type = rest.split([' ', ',']).next().unwrap();
                let length = sql_type.split_once('(').and_then(|(_, n)| n.trim_end_matches(')').parse().ok());
                let bits = |n: u32| match rest.contains("unsigned") {
                    true => ColumnKind::Integer { min: 0, max: (1i128 << n) - 1 },
                    false => ColumnKind::Integer { min: -(1i128 << (n - 1)), max: (1i128 << (n - 1)) - 1 },
                };
                let kind = match sql_type.split('(').next().unwrap() {
                    "tinyint" => bits(8),
                    "int" => bits(32),
                    "bigint" => bits(64),
                    "varchar" | "char" => ColumnKind::Text(length),
                    "text" | "longtext" | "mediumtext" => ColumnKind::Text(Some(65_535)),
                    "timestamp" | "datetime" => ColumnKind::DateTime,
                    "date" => ColumnKind::Date,
                    _ => ColumnKind::Other,
                };
                let generated = rest.contains("AUTO_INCREMENT");
                info.columns.push(ColumnInfo {
                    name: Ident::new(name),
                    kind,
                    sql_type: sql_type.to_owned(),
                    cast: None,
                    nullable: !rest.contains("NOT NULL"),
                    has_default: generated || (rest.contains(" DEFAULT ") && !rest.contains("DEFAULT NULL")),
                    generated_key: generated,
                    ignores_case: true,
                });
            } else if let Some((kind, columns)) = line.split_once("KEY ") {
                let columns = quoted(columns.rsplit_once('(').unwrap().1);
                if kind == "PRIMARY " {
                    info.primary_key.clone_from(&columns);
                }
                let unique = !kind.is_empty();
                info.indexes.push(Index { name: String::new(), columns, unique });
            }
        }
        catalogue.tables.insert(Table::new(name), info);
    }
    catalogue
}

/// Every schema in `../shared/schemas` whose name begins with an adapter's: NAME-VERSION.sql.
#[test]
fn the_shipped_adapters_fit_the_real_schemas() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/schemas");
    let Ok(dumps) = std::fs::read_dir(&folder) else {
        println!("no real schemas to look at");
        return;
    };
    let paths: Vec<PathBuf> = dumps.map(|file| file.unwrap().path()).collect();
    for path in &paths {
        let Some((name, version)) = path.file_stem().and_then(|stem| stem.to_str()?.rsplit_once('-')) else { continue };
        if !Path::new(env!("CARGO_MANIFEST_DIR")).join("adapters").join(format!("{name}.yaml")).exists() {
            continue;
        }
        let major = version.rsplit_once('.').map_or(version, |(major, _)| major);
        let text = std::fs::read_to_string(path).unwrap();
        // A dump may hold a part of the tables: the rest is as another version has it.
        let mut whole = dump(&text);
        let partial = whole.tables.len() < 20;
        for other in paths.iter().filter(|other| partial && *other != path) {
            if other
                .file_name()
                .and_then(|file| file.to_str())
                .is_some_and(|file| file.starts_with(&format!("{name}-")))
            {
                for (table, info) in dump(&std::fs::read_to_string(other).unwrap()).tables {
                    whole.tables.entry(table).or_insert(info);
                }
            }
        }
        fits(name, whole, major);
        // Between the two there is a release that no dump is of: one column more than the older.
        let mut between = dump(&text);
        let Some(groups) = between.tables.get_mut(&Table::new("permission_groups")) else { continue };
        let notes = groups.columns.iter().find(|column| column.name.as_str() == "notes").unwrap().clone();
        if groups.column("scim_externalid").is_none() {
            groups.columns.push(ColumnInfo { name: Ident::new("scim_externalid"), ..notes });
            fits(name, between, "8.5");
        }
    }
}

fn fits(name: &str, catalogue: Catalogue, version: &str) {
    let mut findings = Findings::new();
    let document = load(&shipped(&format!("{name}.yaml")), &[], &mut findings).unwrap();
    let compiled = compile(&document, &catalogue, Dialect::Mysql, &mut findings);
    let rendered = findings.render(false);
    assert_eq!(compiled.expect(&rendered).version.as_deref(), Some(version));
    let only_indexes =
        |finding: &crate::document::Finding| finding.help.as_ref().is_some_and(|help| help.starts_with("CREATE INDEX"));
    assert!(findings.iter().all(only_indexes), "{rendered}");
}

/// The tables that SQLite makes of these statements.
fn sqlite(statements: &str) -> Catalogue {
    let folder = tempfile::tempdir().unwrap();
    let mut catalogue = Catalogue::default();
    crate::sql::open_file(&folder.path().join("app.db"))
        .with(&mut |connection| {
            connection.batch(statements)?;
            catalogue = connection.catalogue(&[None])?;
            Ok(())
        })
        .unwrap();
    catalogue
}

const DEMO: &str = "
CREATE TABLE departments(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE people(id INTEGER PRIMARY KEY, login TEXT NOT NULL UNIQUE, given TEXT, family TEXT, mail TEXT, phone TEXT, mobile TEXT, job_title TEXT,
  employee_no TEXT, department_id INTEGER REFERENCES departments(id), manager_id INTEGER, enabled INTEGER DEFAULT 1, created_at TEXT, updated_at TEXT, left_on TEXT, shown_as TEXT, password TEXT, is_admin INTEGER NOT NULL DEFAULT 0);
CREATE TABLE profiles(id INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE, kind TEXT NOT NULL DEFAULT 'access', created_at TEXT, updated_at TEXT);
CREATE TABLE profile_people(profile_id INTEGER NOT NULL, person_id INTEGER NOT NULL, granted_at TEXT, PRIMARY KEY(profile_id, person_id));
CREATE TABLE projects(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, closed_on TEXT, created_at TEXT, updated_at TEXT);
CREATE TABLE project_people(project_id INTEGER NOT NULL, person_id INTEGER NOT NULL, role TEXT NOT NULL DEFAULT 'member', PRIMARY KEY(project_id, person_id));
CREATE TABLE history(id INTEGER PRIMARY KEY, at TEXT NOT NULL, person_id INTEGER NOT NULL, what TEXT NOT NULL, details TEXT);
";

#[test]
fn the_demo_fits_its_application() {
    let mut findings = Findings::new();
    let document = load(&shipped("demo.yaml"), &[], &mut findings).unwrap();
    assert_eq!(document.schemas(), [None]);
    let adapter = compile(&document, &sqlite(DEMO), Dialect::Sqlite, &mut findings);
    let rendered = findings.render(false);
    println!("{rendered}");
    let adapter = adapter.expect(&rendered);
    let group = &adapter.resource_types[1];
    assert_eq!(group.create_in, Some(0));
    assert_eq!(group.sources[1].id_prefix, "project-");
    assert!(group.sources[1].create.is_none());
    assert_eq!(group.sources[1].delete.how, DeleteHow::Refuse);
    // Writable in one source is writable as far as the schema goes.
    assert!(!group.schema.core.attribute("displayName").unwrap().is_read_only());
}
