//! Broken `rows` and `link`s, and what is said of each.

use super::*;

const CHILDREN: &str = "
    people: id key, login text(20) unique, name text() null, mail text(50) null
    roles: id key, label text(30) unique
    mails: id key, person int, address text(60) null, main flag = 0, kind text(10) = x, gone datetime null
    posts: id key, person int, role int = 0, place int = 0, secret text(60) null
    places: id key, path text(60) unique
    loose: person int, word text(20)
    strict: id key, person int, word text(20), weight int
    role_people: id key, role int, person int, kind text(10) = x, gone datetime null
";

fn with_children(attributes: &str) -> Findings {
    let yaml = user(&format!("{NAMED}{attributes}"));
    let mut findings = Findings::new();
    if let Some(document) = read(Text::new("a.yaml", yaml.as_str()), &[], &mut findings) {
        compile(&document, &catalogue(CHILDREN), Dialect::Mysql, &mut findings);
    }
    findings
}

fn rows(table: &str, more: &str) -> String {
    format!("      emails: {{ rows: {{ table: {table}, parent: person, {more} }} }}\n")
}

#[test]
fn rows_refused() {
    let mails = |more: &str| rows("mails", more);
    let value = "fields: { value: address }";
    let posts = |forms: &str| {
        let parts = "parts: { role: { lookup: { table: roles, match: label } }, place: { lookup: { table: places, match: path }, default: 1 } }";
        format!(
            "      roles: {{ rows: {{ table: posts, parent: person, fields: {{ value: {{ {parts}, as: {forms} }} }} }} }}\n"
        )
    };
    for (adapter, message, help) in [
        (mails(""), "the key `fields` is missing", ""),
        (rows("mials", value), "there is no table `mials`", "did you mean `mails`?"),
        (mails("fields: { value: adress }"), "the table `mails` has no column `adress`", "did you mean `address`?"),
        (mails("fields: { valeu: address }"), "`emails` has no sub-attribute `valeu`", "did you mean `value`?"),
        (mails("fields: {}"), "are the field `value`", ""),
        (mails("fields: { value: address }, leav: { kind: x }"), "unknown key `leav`", "did you mean `leave`?"),
        (
            mails("fields: { value: address }, where: { address: \"${request.id}\" }"),
            "`where` and `leave` of rows mean the same for every request",
            "",
        ),
        (mails("fields: { primary: main }"), "nothing makes the value of these rows", "name the field `value`"),
        (
            mails("fields: { value: { constant: x } }"),
            "no column of `mails` holds emails.value",
            "it is a column, a lookup or a reference of the row",
        ),
        (mails("fields: { value: { column: address, mutability: readOnly } }"), "no column of `mails` holds", ""),
        (
            mails("fields: { value: address }, exactly_one_primary: true"),
            "`exactly_one_primary` needs the field `primary`",
            "like `primary: is_default`",
        ),
        (
            mails("fields: { value: address, primary: { constant: true } }, exactly_one_primary: true"),
            "`exactly_one_primary` needs the field `primary`",
            "",
        ),
        (mails("fields: { value: address, display: sidecar }"), "a row has no place in scimshim's own tables", ""),
        (
            rows("posts", "fields: { value: { column: secret, hash: bcrypt } }"),
            "a hash is never shown, so it is no value",
            "",
        ),
        (mails("fields: { value: address, type: { column: address, type: text } }"), "both write `address`", "readOnly"),
        (mails("fields: { value: address }, set: { address: x }"), "`set` and a field both write `address`", ""),
        (mails("fields: { value: address }, set: { adress: x }"), "has no column `adress`", "did you mean `address`?"),
        (rows("loose", "fields: { value: word }"), "the rows of `loose` cannot be told apart", "nor a unique index"),
        (
            rows("strict", "fields: { value: word }"),
            "nothing fills `strict.weight`, which cannot be NULL and has no default",
            "`set` of the rows",
        ),
        (
            mails("fields: { value: address }, delete: { set: { gone: \"${now}\" } }"),
            "a removed row would still be shown: `where` looks at nothing that `delete` sets",
            "where: { gone_at: null }",
        ),
        (
            mails("fields: { value: address }, added: [ { delete: mails, where: { id: \"${each.idd}\" } } ]"),
            "the table `mails` has no column `idd`",
            "did you mean `id`?",
        ),
        (
            mails("fields: { value: address }, added: [ { delete: mails, where: { address: \"${each.old}\" } } ]"),
            "the table `mails` has no column `old`",
            "",
        ),
        (
            mails(value) + "      emails.type: { constant: work }\n",
            "`emails` stands in rows: nothing of it is mapped beside them",
            "its sub-attributes are the `fields`",
        ),
        (
            "      title: { rows: { table: mails, parent: person, fields: { value: address } } }\n".to_owned(),
            "`title` has one value only, and a table may hold several",
            "`single: true`",
        ),
        (
            "      title: { rows: { table: mails, parent: person, single: true, fields: { value: address, type: kind } } }\n"
                .to_owned(),
            "`title` has simple values",
            "fields: { value: column }",
        ),
        (
            "      emails: { column: mail, rows: { table: mails, parent: person, fields: { value: address } } }\n".to_owned(),
            "this binding has no column of the resource's own row",
            "",
        ),
        (
            mails("fields: { value: { column: address, unique: { within: [knid] } } }"),
            "the table `mails` has no column `knid`",
            "did you mean `kind`?",
        ),
        (
            mails("fields: { value: { column: address, unique: { within: [kind] } } }"),
            "nothing says what `kind` of a new row holds, within which it is unique",
            "`set: { kind: ... }`",
        ),
        (posts("[]"), "`as` says how the parts are written, and it is empty", ""),
        (posts("[\"${each.role}${each.place}\"]"), "nothing stands between them", "a separator"),
        (posts("[\"${each.place}\"]"), "this form leaves `role` out, which has no default", "give the part a `default`"),
        (posts("[\"${each.role}@${each.role}\"]"), "`role` stands in this form twice", ""),
        (
            posts("[\"${each.role}\", \"${each.role}@${each.place}\"]"),
            "ambiguous `as`: whatever has this form is taken for an earlier one",
            "the form with more separators comes first",
        ),
        (posts("[\"${each.role}@${each.place}\", \"${each.place}@${each.role}\"]"), "ambiguous `as`", ""),
        (posts("[\"${each.role}@${each.person}\"]"), "a form is made of the parts alone", ""),
    ] {
        let findings = with_children(&adapter).render(false);
        assert!(findings.contains(message), "{adapter}wanted: {message}\nfound:\n{findings}");
        assert!(findings.contains(help), "{adapter}wanted: {help}\nfound:\n{findings}");
    }
}

#[test]
fn rows_accepted() {
    for adapter in [
        rows("mails", "fields: { value: address, primary: main, type: kind }, exactly_one_primary: true, where: { gone: null }, delete: { set: { gone: \"${now}\" } }"),
        rows("mails", "fields: { value: { column: address, unique: { within: [kind] } } }, set: { kind: y }, where: { gone: { gt: \"${now}\" } }"),
        // A lookup that makes the value needs nothing for nothing, though its column takes no NULL.
        "      roles: { rows: { table: posts, parent: person, fields: { value: { column: role, lookup: { table: roles, match: label } } } } }\n".to_owned(),
        "      title: { rows: { table: mails, parent: { column: address, key: login }, single: true, set: { person: 1 }, fields: { value: kind } } }\n".to_owned(),
    ] {
        let findings = with_children(&adapter);
        assert!(!findings.has_errors(), "{adapter}{}", findings.render(false));
    }
}

#[test]
fn links_refused() {
    let link = |more: &str| {
        let yaml = format!(
            "{}  Group:\n    table: roles\n    id: id\n    attributes:\n      displayName: {{ column: label, required: true }}\n      members: {{ link: {{ table: role_people, parent: role, child: person, resource: User, {more} }} }}\n",
            user(NAMED)
        );
        let mut findings = Findings::new();
        if let Some(document) = read(Text::new("a.yaml", yaml.as_str()), &[], &mut findings) {
            compile(&document, &catalogue(CHILDREN), Dialect::Mysql, &mut findings);
        }
        findings
    };
    for (more, message) in [
        ("delete: { set: { gone: \"${now}\" } }", "a removed row would still be shown"),
        ("delete: { set: { gon: \"${now}\" } }", "the table `role_people` has no column `gon`"),
        ("leave: { knid: x }", "the table `role_people` has no column `knid`"),
        ("where: { kind: far_too_long_a_word }", "is too long"),
        ("set: { kind: null }", "the column `kind` cannot be NULL"),
        ("exactly_one_primary: true", "unknown key `exactly_one_primary`"),
        ("added: [ { insert: places, values: { path: \"${each.paht}\" } } ]", "has no column `paht`"),
        ("removed: [ { update: people, values: { name: null } } ]", "has no `where`: it would take every row"),
        ("touchh: true", "unknown key `touchh`"),
        ("where: { kind: \"${server}\" }", "`where` of a link means the same for every request"),
    ] {
        let findings = link(more).render(false);
        assert!(findings.contains(message), "{more}\nwanted: {message}\nfound:\n{findings}");
    }
    let findings =
        link("where: { gone: null }, delete: { set: { gone: \"${now}\" } }, leave: { kind: rule }, touch: true");
    assert!(!findings.has_errors(), "{}", findings.render(false));
}
