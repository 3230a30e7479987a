//! The tables as data, and their DDL for each dialect. A migration is a list of steps; one that was
//! released is never changed, a new one is added behind it.

use super::{Own, OwnTable};
use crate::sql::{Dialect, Table};

/// The newest migration's number.
pub(super) const VERSION: i64 = 6;

/// All migrations in order; the first has number 1.
const MIGRATIONS: [&[Step]; 6] = [
    &[
        Step::Table(SIGNING_KEYS),
        Step::Table(TOKENS),
        Step::Table(LINKS),
        Step::Table(SIDECAR),
        Step::Table(TOMBSTONES),
        Step::Table(CLAIMS),
    ],
    &[Step::Table(IDENTITIES)],
    &[Step::Table(OAUTH_GRANTS), Step::Table(OAUTH_TOKENS)],
    &[Step::Table(REQUESTS), Step::Table(CHANGES), Step::Table(LEASES)],
    &[Step::Table(DEACTIVATIONS)],
    &[Step::Table(DIGEST_COUNTS)],
];

/// One change of the schema.
enum Step {
    /// A new table.
    Table(Spec),
}

struct Spec {
    table: OwnTable,
    columns: &'static [(&'static str, Kind, bool)],
    key: &'static [&'static str],
    /// Name, columns.
    unique: &'static [(&'static str, &'static [&'static str])],
    indexes: &'static [(&'static str, &'static [&'static str])],
}

#[derive(Clone, Copy)]
enum Kind {
    /// Text of at most so many characters, compared byte for byte.
    Text(u16),
    /// Text without a limit that matters, never compared.
    Document,
    Bytes,
    Integer,
    /// 0 or 1.
    Flag,
    /// Microseconds since 1970, UTC.
    Instant,
}

use Kind::{Bytes, Document, Flag, Instant, Integer, Text};

/// Whether NULL is allowed, in column lists.
const NULL: bool = true;
const REQUIRED: bool = false;

const SCHEMA_VERSION: Spec = Spec {
    table: OwnTable::SchemaVersion,
    columns: &[("version", Integer, REQUIRED)],
    key: &["version"],
    unique: &[],
    indexes: &[],
};

const SIGNING_KEYS: Spec = Spec {
    table: OwnTable::SigningKeys,
    columns: &[
        ("id", Text(64), REQUIRED),
        ("algorithm", Text(16), REQUIRED),
        ("private_key", Bytes, REQUIRED),
        ("public_key", Bytes, REQUIRED),
        ("created_at", Instant, REQUIRED),
        ("retired_at", Instant, NULL),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[],
};

const TOKENS: Spec = Spec {
    table: OwnTable::Tokens,
    columns: &[
        ("id", Text(64), REQUIRED),
        ("server", Text(64), REQUIRED),
        ("label", Text(255), REQUIRED),
        ("hash", Text(64), REQUIRED),
        ("created_at", Instant, REQUIRED),
        ("expires_at", Instant, NULL),
        ("revoked_at", Instant, NULL),
        ("read_only", Flag, REQUIRED),
        ("last_used_at", Instant, NULL),
    ],
    key: &["id"],
    unique: &[("tokens_hash", &["hash"])],
    indexes: &[("tokens_server", &["server"])],
};

const LINKS: Spec = Spec {
    table: OwnTable::Links,
    columns: &[
        ("server", Text(64), REQUIRED),
        ("resource_type", Text(128), REQUIRED),
        ("resource_id", Text(191), REQUIRED),
        ("external_id", Text(500), REQUIRED),
    ],
    // 383 and 692 characters of 4 bytes: InnoDB's keys may have 3072 bytes.
    key: &["server", "resource_type", "resource_id"],
    unique: &[],
    // Not unique: two resources of one externalId are the client's mistake (RFC 7643 section 3.1), and a row
    // that the application deleted must not hold its externalId for ever.
    indexes: &[
        ("links_external_id", &["server", "resource_type", "external_id"]),
        ("links_resource", &["resource_type", "resource_id"]),
    ],
};

const SIDECAR: Spec = Spec {
    table: OwnTable::Sidecar,
    columns: &[
        ("resource_type", Text(128), REQUIRED),
        ("resource_id", Text(191), REQUIRED),
        ("document", Document, REQUIRED),
    ],
    key: &["resource_type", "resource_id"],
    unique: &[],
    indexes: &[],
};

const TOMBSTONES: Spec = Spec {
    table: OwnTable::Tombstones,
    columns: &[
        ("resource_type", Text(128), REQUIRED),
        ("resource_id", Text(191), REQUIRED),
        ("server", Text(64), REQUIRED),
        ("created_at", Instant, REQUIRED),
        ("reason", Text(255), REQUIRED),
    ],
    key: &["resource_type", "resource_id"],
    unique: &[],
    indexes: &[],
};

const IDENTITIES: Spec = Spec {
    table: OwnTable::Identities,
    columns: &[
        ("resource_type", Text(128), REQUIRED),
        ("resource_id", Text(191), REQUIRED),
        ("identity", Document, REQUIRED),
    ],
    key: &["resource_type", "resource_id"],
    unique: &[],
    indexes: &[],
};

const CLAIMS: Spec = Spec {
    table: OwnTable::Claims,
    columns: &[("kind", Text(191), REQUIRED), ("hash", Text(64), REQUIRED)],
    key: &["kind", "hash"],
    unique: &[],
    indexes: &[],
};

const OAUTH_GRANTS: Spec = Spec {
    table: OwnTable::OauthGrants,
    columns: &[
        ("id", Text(64), REQUIRED),
        ("server", Text(64), REQUIRED),
        ("client", Text(191), REQUIRED),
        ("subject", Text(255), REQUIRED),
        ("scope", Text(64), REQUIRED),
        ("created_at", Instant, REQUIRED),
        ("expires_at", Instant, REQUIRED),
        ("last_used_at", Instant, NULL),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[("oauth_grants_server", &["server", "client"]), ("oauth_grants_expires_at", &["expires_at"])],
};

const OAUTH_TOKENS: Spec = Spec {
    table: OwnTable::OauthTokens,
    columns: &[
        ("hash", Text(64), REQUIRED),
        ("kind", Text(16), REQUIRED),
        ("grant_id", Text(64), REQUIRED),
        ("scope", Text(64), REQUIRED),
        ("redirect_uri", Document, NULL),
        ("challenge", Text(64), NULL),
        ("created_at", Instant, REQUIRED),
        ("expires_at", Instant, REQUIRED),
        ("used_at", Instant, NULL),
    ],
    key: &["hash"],
    unique: &[],
    indexes: &[("oauth_tokens_grant", &["grant_id", "kind"]), ("oauth_tokens_expires_at", &["expires_at"])],
};

const DEACTIVATIONS: Spec = Spec {
    table: OwnTable::Deactivations,
    columns: &[("id", Text(64), REQUIRED), ("server", Text(64), REQUIRED), ("at", Instant, REQUIRED)],
    key: &["id"],
    unique: &[],
    indexes: &[("deactivations_server", &["server", "at"])],
};

const REQUESTS: Spec = Spec {
    table: OwnTable::Requests,
    columns: &[
        ("id", Text(64), REQUIRED),
        ("given_id", Text(64), NULL),
        ("parent", Text(64), NULL),
        ("at", Instant, REQUIRED),
        ("server", Text(64), REQUIRED),
        ("method", Text(16), REQUIRED),
        ("route", Text(191), REQUIRED),
        ("resource_type", Text(128), NULL),
        ("resource_id", Text(191), NULL),
        ("status", Integer, REQUIRED),
        ("answered", Integer, NULL),
        ("scim_type", Text(32), NULL),
        ("detail", Document, NULL),
        ("changes", Integer, REQUIRED),
        ("credential", Text(255), NULL),
        ("credential_kind", Text(16), NULL),
        ("acting_user", Text(255), NULL),
        ("client", Text(64), NULL),
        ("duration", Instant, REQUIRED),
        ("query", Document, NULL),
        ("request", Document, NULL),
        ("answer", Document, NULL),
    ],
    key: &["id"],
    unique: &[],
    indexes: &[
        ("requests_at", &["at"]),
        ("requests_given_id", &["given_id"]),
        ("requests_parent", &["parent"]),
        ("requests_resource", &["resource_id"]),
    ],
};

const CHANGES: Spec = Spec {
    table: OwnTable::Changes,
    columns: &[
        ("request", Text(64), REQUIRED),
        ("number", Integer, REQUIRED),
        ("table_schema", Text(191), NULL),
        ("table_name", Text(191), REQUIRED),
        ("operation", Text(16), REQUIRED),
        ("row_key", Document, REQUIRED),
        ("columns_before", Document, NULL),
        ("columns_after", Document, NULL),
    ],
    key: &["request", "number"],
    unique: &[],
    indexes: &[],
};

const LEASES: Spec = Spec {
    table: OwnTable::Leases,
    columns: &[("name", Text(64), REQUIRED), ("holder", Text(64), REQUIRED), ("until", Instant, REQUIRED)],
    key: &["name"],
    unique: &[],
    indexes: &[],
};

const DIGEST_COUNTS: Spec = Spec {
    table: OwnTable::DigestCounts,
    columns: &[("nonce", Text(32), REQUIRED), ("nc", Text(8), REQUIRED), ("expires_at", Instant, REQUIRED)],
    key: &["nonce", "nc"],
    unique: &[],
    indexes: &[("digest_counts_expires_at", &["expires_at"])],
};

/// The columns of a table that belongs to resources, and the positions of its key's.
pub(super) fn columns(table: OwnTable) -> Option<(Vec<&'static str>, Vec<usize>)> {
    let spec = match table {
        OwnTable::Links => &LINKS,
        OwnTable::Sidecar => &SIDECAR,
        OwnTable::Tombstones => &TOMBSTONES,
        OwnTable::Identities => &IDENTITIES,
        _ => return None,
    };
    let names: Vec<&'static str> = spec.columns.iter().map(|(name, _, _)| *name).collect();
    let key = spec.key.iter().filter_map(|key| names.iter().position(|name| name == key)).collect();
    Some((names, key))
}

/// What brings the tables from version `found` (0: nothing there) to [`VERSION`].
pub(super) fn statements(own: &Own, found: i64) -> Vec<String> {
    between(own, found, VERSION)
}

/// What made the tables of an older version.
#[cfg(test)]
pub(super) fn up_to(own: &Own, version: i64) -> Vec<String> {
    between(own, 0, version)
}

fn between(own: &Own, found: i64, wanted: i64) -> Vec<String> {
    let mut statements = Vec::new();
    if found == 0 {
        let schema = quote(own.dialect, &own.schema);
        match own.dialect {
            Dialect::Mysql => statements
                .push(format!("CREATE DATABASE IF NOT EXISTS {schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")),
            Dialect::Postgres => statements.push(format!("CREATE SCHEMA IF NOT EXISTS {schema}")),
            Dialect::Sqlite => {}
        }
        create(own, &SCHEMA_VERSION, &mut statements);
    }
    for (version, steps) in (1_i64..).zip(MIGRATIONS) {
        if version <= found || version > wanted {
            continue;
        }
        for Step::Table(spec) in steps {
            create(own, spec, &mut statements);
        }
        let table = qualified(own.dialect, &own.table(OwnTable::SchemaVersion));
        statements.push(match own.dialect {
            Dialect::Mysql => format!("INSERT IGNORE INTO {table} (version) VALUES ({version})"),
            _ => format!("INSERT INTO {table} (version) VALUES ({version}) ON CONFLICT DO NOTHING"),
        });
    }
    statements
}

fn create(own: &Own, spec: &Spec, statements: &mut Vec<String>) {
    let dialect = own.dialect;
    let table = own.table(spec.table);
    let name = |text: &str| quote(dialect, text);
    let list = |columns: &[&str]| columns.iter().map(|column| name(column)).collect::<Vec<_>>().join(", ");
    let mut lines: Vec<String> = spec
        .columns
        .iter()
        .map(|(column, kind, nullable)| {
            let null = if *nullable { "NULL" } else { "NOT NULL" };
            format!("{} {} {null}", name(column), sql_type(dialect, *kind))
        })
        .collect();
    lines.push(format!("PRIMARY KEY ({})", list(spec.key)));
    for (index, columns) in spec.unique {
        lines.push(match dialect {
            Dialect::Mysql => format!("UNIQUE KEY {} ({})", name(index), list(columns)),
            _ => format!("UNIQUE ({})", list(columns)),
        });
    }
    if dialect == Dialect::Mysql {
        lines.extend(spec.indexes.iter().map(|(index, columns)| format!("KEY {} ({})", name(index), list(columns))));
    }
    let options = match dialect {
        Dialect::Mysql => " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        _ => "",
    };
    let body = lines.join(",\n  ");
    statements.push(format!("CREATE TABLE IF NOT EXISTS {} (\n  {body}\n){options}", qualified(dialect, &table)));
    if dialect != Dialect::Mysql {
        for (index, columns) in spec.indexes {
            // PostgreSQL keeps an index in its table's schema; SQLite has one namespace.
            let index = if dialect == Dialect::Sqlite { format!("scimshim_{index}") } else { (*index).to_owned() };
            statements.push(format!(
                "CREATE INDEX IF NOT EXISTS {} ON {} ({})",
                name(&index),
                qualified(dialect, &table),
                list(columns)
            ));
        }
    }
}

fn sql_type(dialect: Dialect, kind: Kind) -> String {
    match (dialect, kind) {
        (_, Text(length)) => format!("varchar({length})"),
        (Dialect::Mysql, Document) => "longtext".to_owned(),
        (_, Document) => "text".to_owned(),
        (Dialect::Postgres, Bytes) => "bytea".to_owned(),
        (_, Bytes) => "blob".to_owned(),
        (_, Integer) => "integer".to_owned(),
        (_, Flag) => "smallint".to_owned(),
        (_, Instant) => "bigint".to_owned(),
    }
}

/// A quoted identifier.
pub(super) fn quote(dialect: Dialect, name: &str) -> String {
    match dialect {
        Dialect::Mysql => format!("`{}`", name.replace('`', "``")),
        Dialect::Postgres | Dialect::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

/// A table's name with its schema, quoted.
pub(super) fn qualified(dialect: Dialect, table: &Table) -> String {
    match &table.schema {
        Some(schema) => format!("{}.{}", quote(dialect, schema.as_str()), quote(dialect, table.name.as_str())),
        None => quote(dialect, table.name.as_str()),
    }
}
