//! What the database user may see and do, and what `setup` and `check` say of it: versions of an application that lack a table
//! or have it, accounts of one host, and our own tables.

use std::process::Output;

use crate::support::databases::{Database, Engine};
use crate::support::service::{Options, Service, describe};

/// The new version has a table that the old one lacks.
const VERSIONS: &str = r#"
adapter: versions
title: An application of two versions
databases: [mysql, postgres]
versions:
  old: { when: { has: [people.login], lacks: [people_extra] } }
  new: { when: { has: [people_extra] }, resources: { User: { protected: { id: { in: { table: people_extra, column: person_id } } } } } }
resources:
  User:
    table: people
    id: id
    attributes:
      userName: { column: login, type: name, required: true, unique: true }
      active: { column: enabled, type: flag }
    create: { set: { kind: person } }
    delete: row
types:
  name: { text: { trim: true } }
  flag: { boolean: { true: 1, false: 0 } }
"#;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn printed(service: &Service) -> String {
    let printed = service.run(&["setup"]);
    assert!(printed.status.success(), "{}", describe(&printed));
    String::from_utf8(printed.stdout).expect("SQL is text")
}

/// A user without any right, an application without the newest version's table: what `setup` prints runs to its end, the
/// version is right, and its upgrade is noticed with the exact rights, too.
#[test]
fn versions_that_lack_a_table() {
    for engine in [Engine::MariaDb, Engine::Postgres] {
        let database = Database::small(engine).lean();
        let service = Service::prepare(&database, Options::written(VERSIONS));
        let blind = printed(&service);
        database.administer_here(&blind);
        let checked = service.run(&["check"]);
        assert!(
            checked.status.success() && said(&checked).contains("version old"),
            "{engine:?}: {}",
            describe(&checked)
        );

        let revoke = match engine {
            Engine::MariaDb => format!("REVOKE ALL, GRANT OPTION FROM {}@'%';", database.login()),
            _ => format!("DROP OWNED BY {};", database.login()),
        };
        let exact = printed(&service);
        let grants = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with("GRANT ")).map(str::to_owned).collect()
        };
        let old = grants(&exact);
        assert!(!exact.contains("people_extra"), "{exact}");
        database.administer_here(&revoke);
        database.administer_here(&old.join("\n"));
        let checked = service.run(&["check"]);
        assert!(
            checked.status.success() && said(&checked).contains("version old"),
            "{engine:?}: {}",
            describe(&checked)
        );
        assert!(!said(&checked).contains("it may be"), "{engine:?}: {}", describe(&checked));

        // The upgrade.
        let (engine_of_tables, at) = if engine == Engine::MariaDb {
            ("ENGINE=InnoDB", format!("{}.", database.name))
        } else {
            ("", String::new())
        };
        database.administer_here(&format!(
            "CREATE TABLE {at}people_extra (person_id int NOT NULL PRIMARY KEY) {engine_of_tables};"
        ));
        let checked = service.run(&["check"]);
        assert!(!checked.status.success(), "{engine:?}: {}", describe(&checked));
        assert!(
            said(&checked).contains("the database user may not SELECT on `people_extra`"),
            "{engine:?}: {}",
            describe(&checked)
        );
        let exact = printed(&service);
        assert!(
            exact.lines().any(|line| line.starts_with("GRANT SELECT ON") && line.contains("people_extra")),
            "{exact}"
        );
        database.administer_here(&revoke);
        database.administer_here(&grants(&exact).join("\n"));
        let checked = service.run(&["check"]);
        assert!(
            checked.status.success() && said(&checked).contains("version new"),
            "{engine:?}: {}",
            describe(&checked)
        );
        assert!(!said(&checked).contains("the database user may"), "{engine:?}: {}", describe(&checked));

        // Whoever sees less than that is told; PostgreSQL hides no table.
        database.administer_here(&revoke);
        let less: Vec<String> = old.into_iter().filter(|grant| !grant.contains("REFERENCES")).collect();
        database.administer_here(&less.join("\n"));
        let checked = service.run(&["check"]);
        let sentence = match engine {
            Engine::MariaDb => {
                "version old is taken, but it may be new: whether there is `people_extra` cannot be seen"
            }
            _ => "the database user may not SELECT on `people_extra`",
        };
        assert!(said(&checked).contains(sentence), "{engine:?}: {}", describe(&checked));

        if engine == Engine::Postgres {
            continue;
        }
        // What was printed to one who saw nothing gives it, now that it is there.
        database.administer_here(&revoke);
        database.administer_here(&blind);
        let checked = service.run(&["check"]);
        assert!(
            checked.status.success() && said(&checked).contains("version new"),
            "{engine:?}: {}",
            describe(&checked)
        );
    }
}

/// MySQL has accounts by host: the GRANTs are for the one that lets us in.
#[test]
fn the_account_of_a_host() {
    let database = Database::small(Engine::MariaDb).lean();
    let service = Service::prepare(&database, Options::small());
    let (login, here) = (database.login(), format!("TO '{}'@'127.0.0.1';", database.login()));
    assert!(printed(&service).contains(&format!("TO '{login}'@'%';")));
    let [(_, password)] = database.environment();
    database.administer_here(&format!(
        "RENAME USER {login}@'%' TO {login}@'127.0.0.1'; SET PASSWORD FOR {login}@'127.0.0.1' = PASSWORD('{password}');"
    ));
    let text = printed(&service);
    assert!(text.contains(&here) && !text.contains("'%'"), "{text}");
    database.administer_here(&text);
    let checked = service.run(&["check"]);
    assert!(checked.status.success(), "{}", describe(&checked));
    assert!(printed(&service).contains(&here));
}

/// `check` and `serve` look at all of our own tables, and at what may be done with them.
#[test]
fn our_own_tables() {
    for engine in Engine::ALL {
        let database = if engine == Engine::Sqlite { Database::small(engine) } else { Database::small(engine).lean() };
        let mut service = Service::prepare(&database, Options::small());
        match engine {
            Engine::Sqlite => assert!(service.run(&["setup", "--apply"]).status.success()),
            _ => database.administer_here(&printed(&service)),
        }
        let fine = service.run(&["check"]);
        assert!(fine.status.success(), "{engine:?}: {}", describe(&fine));
        let own = database.own_tables();
        let refused = |service: &Service, verbs: &[&str], what: &str| {
            for verb in verbs {
                let refused = service.run(&[*verb]);
                assert_eq!(refused.status.code(), Some(1), "{engine:?} {verb}: {}", describe(&refused));
                assert!(said(&refused).contains(what), "{engine:?} {verb}: {}", describe(&refused));
            }
        };
        if engine != Engine::Sqlite {
            let user = match engine {
                Engine::MariaDb => format!("{}@'%'", database.login()),
                _ => database.login().to_owned(),
            };
            database.administer_here(&format!("REVOKE INSERT, DELETE ON {own}requests FROM {user};"));
            let sentence = "may not use scimshim's own tables as it must (INSERT, DELETE on";
            refused(&service, &["check"], sentence);
            // Rights may be held in ways that the catalogue does not tell: a service says so, and goes on.
            service.start_again();
            assert!(service.stop().success() && service.stderr().contains(sentence), "{}", service.stderr());
            database.administer_here(&format!("GRANT INSERT, DELETE ON {own}requests TO {user};"));
        }
        if engine == Engine::MariaDb {
            continue;
        }
        let rename = match engine {
            Engine::Postgres => format!("ALTER TABLE {own}digest_counts RENAME TO elsewhere;"),
            _ => format!("ALTER TABLE {own}digest_counts RENAME TO {own}elsewhere;"),
        };
        match engine {
            Engine::Sqlite => database.execute(&rename),
            _ => database.administer_here(&rename),
        }
        refused(&service, &["check", "serve"], "digest_counts");
    }
}
