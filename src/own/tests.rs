//! The own tables on a SQLite file; the same statements run on the servers in the black-box suite.

use super::*;
use crate::sql::{Database, Options, open};
use std::time::Duration;

fn database(file: &std::path::Path) -> Arc<dyn Database> {
    let options = Options {
        password: None,
        tls: None,
        max: 2,
        checkout_timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(5),
        statement_timeout: Duration::from_secs(5),
        lock_timeout: Duration::from_secs(5),
        strict: true,
    };
    open(&format!("sqlite://{}", file.display()), options).unwrap()
}

fn with<T>(work: impl Fn(&Own, &mut dyn Connection) -> Result<T, Error>) -> T {
    let folder = tempfile::tempdir().unwrap();
    let own = Own::new(Dialect::Sqlite, "ignored");
    let mut result = None;
    database(&folder.path().join("own.db"))
        .with(&mut |connection| {
            assert!(matches!(own.is_ready(connection), Err(Missing::Tables)));
            own.apply(connection)?;
            own.apply(connection)?;
            assert!(own.is_ready(connection).is_ok());
            result = Some(work(&own, connection)?);
            Ok(())
        })
        .unwrap();
    result.unwrap()
}

fn token(id: &str, expires_at: Option<i64>) -> TokenRow {
    TokenRow {
        id: id.to_owned(),
        server: "entra".to_owned(),
        label: String::new(),
        hash: format!("hash of {id}"),
        created_at: 1,
        expires_at,
        revoked_at: None,
        read_only: true,
        last_used_at: None,
    }
}

#[test]
fn a_newer_version_is_refused() {
    with(|own, connection| {
        connection.batch("INSERT INTO scimshim_schema_version VALUES (99)")?;
        assert!(matches!(own.is_ready(connection), Err(Missing::Newer { found: 99, .. })));
        Ok(())
    });
}

#[test]
fn tokens_live_until_they_expire_or_are_revoked() {
    with(|own, connection| {
        for row in [token("a", None), token("b", Some(10)), token("c", None)] {
            own.insert_token(connection, &row)?;
        }
        let live = |connection: &mut dyn Connection, now| -> Result<Vec<String>, Error> {
            Ok(own.live_tokens(connection, now)?.into_iter().map(|row| row.id).collect())
        };
        assert_eq!(live(connection, 9)?, ["a", "b", "c"]);
        assert_eq!(live(connection, 10)?, ["a", "c"]);
        assert!(own.revoke_token(connection, "entra", "a", 5)?);
        assert!(!own.revoke_token(connection, "entra", "a", 6)?);
        assert!(!own.revoke_token(connection, "okta", "b", 6)?);
        assert_eq!(own.expire_tokens(connection, "entra", Some("c"), 8)?, 1);
        // It ends then, and how long it was meant to live stays known; nothing makes that later again.
        assert_eq!(live(connection, 7)?, ["b", "c"]);
        assert_eq!(own.expire_tokens(connection, "entra", Some("c"), 9)?, 0);
        assert!(!own.expire_token(connection, "entra", "b", 8)? && !own.expire_token(connection, "okta", "b", 1)?);
        let b = own.token_by_hash(connection, "hash of b")?.unwrap();
        assert_eq!((b.expires_at, b.ends_at()), (Some(10), Some(8)));
        assert_eq!(live(connection, 9)?, ["c"]);
        own.touch_tokens(connection, &["c".to_owned()], 7)?;
        let found = own.token_by_hash(connection, "hash of c")?;
        assert_eq!(found, Some(TokenRow { last_used_at: Some(7), ..token("c", None) }));
        assert_eq!(own.insert_token(connection, &token("c", None)).unwrap_err().failure, Failure::Unique);
        // What has ended before is not revoked again.
        assert_eq!(own.revoke_tokens(connection, "entra", None, 9)?, 1);
        assert_eq!(own.tokens(connection, Some("entra"))?.len(), 3);
        Ok(())
    });
}

#[test]
fn keys_come_newest_first_and_never_print_themselves() {
    with(|own, connection| {
        for (id, created_at) in [("old", 1), ("new", 2)] {
            let key = SigningKey {
                id: id.to_owned(),
                algorithm: "EdDSA".to_owned(),
                private_key: b"secret".to_vec(),
                public_key: vec![0xff, 0],
                created_at,
                retired_at: None,
            };
            assert!(!format!("{key:?}").contains("115"));
            own.insert_signing_key(connection, &key)?;
        }
        assert!(own.retire_signing_key(connection, "old", 3)?);
        let keys = own.signing_keys(connection)?;
        assert_eq!(keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["new", "old"]);
        assert_eq!((keys[0].private_key.as_slice(), keys[1].retired_at), (&b"secret"[..], Some(3)));
        Ok(())
    });
}

#[test]
fn external_ids_belong_to_one_server_and_one_resource() {
    with(|own, connection| {
        let set = |connection: &mut dyn Connection, server, id, external_id| {
            own.set_external_id(connection, server, "User", id, external_id)
        };
        set(connection, "entra", "1", Some("x"))?;
        set(connection, "okta", "1", Some("y"))?;
        set(connection, "entra", "2", Some("z"))?;
        set(connection, "entra", "2", Some("z"))?;
        let ids = ["1".to_owned(), "2".to_owned(), "3".to_owned()];
        let found = own.external_ids(connection, "entra", "User", &ids)?;
        assert_eq!((found.len(), found["1"].as_str(), found["2"].as_str()), (2, "x", "z"));
        let find = |connection: &mut dyn Connection, server, external_id| {
            own.find_external_id(connection, server, "User", external_id)
        };
        assert_eq!(find(connection, "okta", "y")?.as_deref(), Some("1"));
        assert_eq!(find(connection, "okta", "x")?, None);
        set(connection, "entra", "1", None)?;
        assert_eq!(find(connection, "entra", "x")?, None);
        own.forget_all(connection, "User", &ids)?;
        assert_eq!(find(connection, "okta", "y")?, None);
        Ok(())
    });
}

#[test]
fn documents_and_tombstones_come_and_go() {
    with(|own, connection| {
        let one = ["1".to_owned()];
        own.set_document(connection, "User", "1", Some("{}"))?;
        own.set_document(connection, "User", "1", Some(r#"{"a":1}"#))?;
        assert_eq!(own.documents(connection, "User", &one)?["1"], r#"{"a":1}"#);
        assert!(own.documents(connection, "Group", &one)?.is_empty());
        own.set_document(connection, "User", "1", None)?;
        assert!(own.documents(connection, "User", &one)?.is_empty());
        for _ in 0..2 {
            own.add_tombstone(connection, "User", "1", "entra", &"é".repeat(300))?;
        }
        let tombstone = &own.tombstones(connection, "User", &one)?["1"];
        assert_eq!((tombstone.server.as_str(), tombstone.reason.chars().count()), ("entra", 255));
        own.remove_tombstone(connection, "User", "1")?;
        assert!(own.tombstones(connection, "User", &one)?.is_empty());
        Ok(())
    });
}

#[test]
fn a_count_is_used_once_until_its_time_is_over() {
    with(|own, connection| {
        let (one, two) = ("0".repeat(32), "f".repeat(32));
        assert!(own.use_digest_count(connection, &one, 1, 10)?);
        assert!(!own.use_digest_count(connection, &one, 1, 99)?);
        assert!(
            own.use_digest_count(connection, &one, u32::MAX, 11)? && own.use_digest_count(connection, &two, 1, 12)?
        );
        assert_eq!(own.tidy_digest_counts(connection, 9)?, (0, false));
        assert_eq!(own.tidy_digest_counts(connection, 11)?, (2, false));
        assert!(own.use_digest_count(connection, &one, 1, 20)? && !own.use_digest_count(connection, &two, 1, 20)?);
        // Many go in several transactions, the oldest first.
        for count in 2..=2600 {
            assert!(own.use_digest_count(connection, &one, count, 10_000 - i64::from(count))?);
        }
        let tidied: Vec<_> = (0..4).map(|_| own.tidy_digest_counts(connection, 9_999)).collect::<Result<_, _>>()?;
        assert_eq!(tidied, [(1000, true), (1000, true), (601, false), (0, false)]);
        Ok(())
    });
}

/// A table that is gone is noticed, and made again.
#[test]
fn tables_that_are_gone_are_missed() {
    with(|own, connection| {
        connection.batch("ALTER TABLE scimshim_digest_counts RENAME TO elsewhere")?;
        connection.batch("DROP TABLE scimshim_claims")?;
        let missing = own.is_ready(connection).unwrap_err().to_string();
        assert!(missing.contains("`scimshim_claims`, `scimshim_digest_counts`: run `scimshim setup`"), "{missing}");
        own.apply(connection)?;
        assert!(own.is_ready(connection).is_ok());
        Ok(())
    });
}

/// Tables of any older version become those of this one, with what they hold.
#[test]
fn older_versions_are_brought_up() {
    for found in 1..ddl::VERSION {
        let folder = tempfile::tempdir().unwrap();
        let own = Own::new(Dialect::Sqlite, "ignored");
        let old = database(&folder.path().join("own.db"));
        old.with(&mut |connection| {
            for statement in ddl::up_to(&own, found) {
                connection.batch(&statement)?;
            }
            own.insert_token(connection, &token("kept", None))?;
            let ready = own.is_ready(connection);
            assert!(
                matches!(ready, Err(Missing::Older { found: it, needed: ddl::VERSION }) if it == found),
                "{ready:?}"
            );
            own.apply(connection)?;
            assert!(own.is_ready(connection).is_ok());
            assert_eq!(own.tokens(connection, None)?.len(), 1);
            own.use_digest_count(connection, "0", 1, 1).map(|first| assert!(first))
        })
        .unwrap();
    }
}
