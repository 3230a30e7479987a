//! PostgreSQL's `pg_catalog`.

use super::{ColumnInfo, ColumnKind, Held, Index, Reader, bounds, text_at};
use crate::sql::{Cast, Catalogue, Error, Ident, Row, Table, Value};

/// Between the parts of an aggregated text.
const SEPARATOR: char = '\u{1f}';

pub(super) fn read(schemas: &[Option<Ident>], run: Reader<'_>) -> Result<Catalogue, Error> {
    let mut catalogue = Catalogue::default();
    for schema in schemas {
        // The connection's own: what its search path finds.
        let (which, params) = match schema {
            Some(schema) => ("n.nspname = ?", vec![Value::from(schema.as_str())]),
            None => (
                "pg_catalog.pg_table_is_visible(c.oid) AND n.nspname NOT IN ('pg_catalog', 'information_schema')",
                Vec::new(),
            ),
        };
        let name = |row: &Row| Table { schema: schema.clone(), name: Ident::new(text_at(row, 0)) };
        let columns = run(
            &format!(
                "SELECT CAST(c.relname AS text), CAST(a.attname AS text), CAST(b.typname AS text), \
                 CAST(b.typtype AS text), pg_catalog.format_type(a.atttypid, a.atttypmod), \
                 pg_catalog.format_type(a.atttypid, NULL), a.attnotnull, \
                 (a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL), \
                 (a.attidentity <> '' OR COALESCE(pg_catalog.pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%', false)), \
                 CASE WHEN t.typtype = 'd' THEN t.typtypmod ELSE a.atttypmod END, \
                 COALESCE(NOT l.collisdeterministic, false), \
                 (SELECT string_agg(CAST(e.enumlabel AS text), chr(31) ORDER BY e.enumsortorder) \
                  FROM pg_catalog.pg_enum e WHERE e.enumtypid = b.oid), CAST(b.typcategory AS text) \
                 FROM pg_catalog.pg_class c \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                 JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
                 JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
                 LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum \
                 LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation \
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {which} ORDER BY c.relname, a.attnum"
            ),
            &params,
        )?;
        // Of a schema that the user may not use, the search path shows nothing.
        if schema.is_none() && columns.is_empty() {
            catalogue.partly.insert(None);
        }
        for row in &columns {
            catalogue.tables.entry(name(row)).or_default().columns.push(column(row));
        }
        let indexes = run(
            &format!(
                "SELECT CAST(c.relname AS text), CAST(i.relname AS text), x.indisunique AND x.indpred IS NULL, \
                 x.indisprimary, (SELECT string_agg(COALESCE(CAST(a.attname AS text), ''), chr(31) ORDER BY k.place) \
                  FROM unnest(CAST(x.indkey AS smallint[])) WITH ORDINALITY AS k (number, place) \
                  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number AND k.number > 0 \
                  WHERE k.place <= x.indnkeyatts) \
                 FROM pg_catalog.pg_index x \
                 JOIN pg_catalog.pg_class c ON c.oid = x.indrelid \
                 JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE x.indisvalid AND {which} ORDER BY c.relname, i.relname"
            ),
            &params,
        )?;
        for row in &indexes {
            let Some(info) = catalogue.tables.get_mut(&name(row)) else {
                continue;
            };
            let columns: Vec<Ident> = text_at(row, 4).split(SEPARATOR).map(Ident::new).collect();
            if flag(row, 3) {
                info.primary_key.clone_from(&columns);
            }
            info.indexes.push(Index { name: text_at(row, 1), columns, unique: flag(row, 2) });
        }
        let held = run(
            &format!(
                "SELECT CAST(c.relname AS text), {}, pg_catalog.has_table_privilege(c.oid, 'DELETE') \
                 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {which}",
                ["SELECT", "INSERT", "UPDATE"]
                    .map(|verb| format!("pg_catalog.has_any_column_privilege(c.oid, '{verb}')"))
                    .join(", ")
            ),
            &params,
        )?;
        for row in &held {
            if let Some(info) = catalogue.tables.get_mut(&name(row)) {
                let [select, insert, update, delete] = [1, 2, 3, 4].map(|at| flag(row, at));
                info.held = Some(Held { select, insert, update, delete });
            }
        }
        // Those of foreign keys are internal, and write nothing into the row itself.
        let triggers = run(
            &format!(
                "SELECT DISTINCT CAST(c.relname AS text) FROM pg_catalog.pg_trigger g \
                 JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid \
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                 WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND {which}"
            ),
            &params,
        )?;
        for row in &triggers {
            if let Some(info) = catalogue.tables.get_mut(&name(row)) {
                info.triggers = true;
            }
        }
    }
    Ok(catalogue)
}

fn flag(row: &Row, index: usize) -> bool {
    row.0.get(index) == Some(&Value::Bool(true))
}

fn column(row: &Row) -> ColumnInfo {
    let (type_name, type_type, bare) = (text_at(row, 2), text_at(row, 3), text_at(row, 5));
    let sql_type = text_at(row, 4);
    let modifier = row.0.get(9).and_then(Value::as_int).unwrap_or(-1);
    let length = (modifier > 4).then(|| u64::try_from(modifier - 4).unwrap_or_default());
    let kind = match type_name.as_str() {
        _ if text_at(row, 12) == "A" => ColumnKind::Other,
        _ if type_type == "e" => ColumnKind::Enum(text_at(row, 11).split(SEPARATOR).map(str::to_owned).collect()),
        "text" | "name" | "citext" => ColumnKind::Text(None),
        "varchar" | "bpchar" => ColumnKind::Text(length),
        "int2" => bounds(16, false),
        "int4" => bounds(32, false),
        "int8" => bounds(64, false),
        "oid" => bounds(32, true),
        "bool" => ColumnKind::Boolean,
        "numeric" => ColumnKind::Decimal,
        "float4" | "float8" => ColumnKind::Float,
        "timestamp" => ColumnKind::DateTime,
        "timestamptz" => ColumnKind::Instant,
        "date" => ColumnKind::Date,
        "bytea" => ColumnKind::Binary(None),
        "json" | "jsonb" => ColumnKind::Json,
        "uuid" => ColumnKind::Uuid,
        _ => ColumnKind::Other,
    };
    let cast = match type_name.as_str() {
        // An explicit cast to a type with a length cuts off what does not fit, in silence.
        "text" | "varchar" => None,
        "bpchar" => Some(Cast::new("bpchar")),
        "bit" => Some(Cast::new(&sql_type)),
        _ => Some(Cast::new(&bare)),
    };
    ColumnInfo {
        name: Ident::new(text_at(row, 1)),
        kind,
        cast,
        nullable: !flag(row, 6),
        has_default: flag(row, 7),
        generated_key: flag(row, 8),
        ignores_case: type_name == "citext" || flag(row, 10),
        sql_type,
    }
}
