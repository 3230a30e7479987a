//! MySQL's and MariaDB's `information_schema`.

use super::{ColumnInfo, ColumnKind, Held, Index, Reader, TableInfo, bounds, table_of, text_at};
use crate::sql::{Catalogue, Error, Failure, Ident, Value};

pub(super) fn read(schemas: &[Option<Ident>], run: Reader<'_>) -> Result<Catalogue, Error> {
    let own = run("SELECT DATABASE(), VERSION(), CURRENT_USER()", &[])?;
    let account = own.first().map(|row| text_at(row, 2));
    let own = own.first().map(|row| (text_at(row, 0), text_at(row, 1))).unwrap_or_default();
    let names: Vec<Value> = schemas
        .iter()
        .map(|schema| Value::Text(schema.as_ref().map_or(own.0.clone(), |schema| schema.as_str().to_owned())))
        .collect();
    let mut catalogue = Catalogue { account, ..Catalogue::default() };
    if names.is_empty() {
        return Ok(catalogue);
    }
    let list = vec!["?"; names.len()].join(", ");
    let columns = run(
        &format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, \
             EXTRA, CHARACTER_MAXIMUM_LENGTH, COLLATION_NAME FROM information_schema.COLUMNS \
             WHERE TABLE_SCHEMA IN ({list}) ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
        ),
        &names,
    )?;
    for row in &columns {
        let sql_type = text_at(row, 4);
        let default = row.0.get(6).and_then(Value::to_text);
        let extra = text_at(row, 7).to_ascii_lowercase();
        let generated_key = extra.contains("auto_increment");
        let length = row.0.get(8).and_then(Value::as_int).and_then(|length| u64::try_from(length).ok());
        let column = ColumnInfo {
            name: Ident::new(text_at(row, 2)),
            kind: kind(&text_at(row, 3), &sql_type, length),
            cast: None,
            nullable: text_at(row, 5) == "YES",
            // MariaDB prints a default of NULL as the word.
            has_default: default.is_some_and(|default| default != "NULL")
                || generated_key
                || extra.contains("generated")
                || extra.contains("default_generated"),
            generated_key,
            ignores_case: text_at(row, 9).contains("_ci"),
            sql_type,
        };
        for table in table_of(schemas, &own.0, &text_at(row, 0), &text_at(row, 1)) {
            catalogue.tables.entry(table).or_default().columns.push(column.clone());
        }
    }
    let indexes = run(
        &format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, NON_UNIQUE, COLUMN_NAME FROM information_schema.STATISTICS \
             WHERE TABLE_SCHEMA IN ({list}) ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
        ),
        &names,
    )?;
    for row in &indexes {
        for table in table_of(schemas, &own.0, &text_at(row, 0), &text_at(row, 1)) {
            let Some(info) = catalogue.tables.get_mut(&table) else {
                continue;
            };
            let (name, column) = (text_at(row, 2), Ident::new(text_at(row, 4)));
            if name == "PRIMARY" {
                info.primary_key.push(column.clone());
            }
            match info.indexes.last_mut().filter(|index| index.name == name) {
                Some(index) => index.columns.push(column),
                None => {
                    let unique = row.0.get(3).and_then(Value::as_int) == Some(0);
                    info.indexes.push(Index { name, columns: vec![column], unique });
                }
            }
        }
    }
    if own.1.contains("MariaDB") {
        mark_json(&mut catalogue, schemas, &own.0, &list, &names, run)?;
    }
    let engines = run(
        &format!(
            "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.ENGINE FROM information_schema.TABLES t \
             JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE \
             WHERE t.TABLE_SCHEMA IN ({list}) AND e.TRANSACTIONS <> 'YES'"
        ),
        &names,
    )?;
    for row in &engines {
        for table in table_of(schemas, &own.0, &text_at(row, 0), &text_at(row, 1)) {
            if let Some(info) = catalogue.tables.get_mut(&table) {
                info.without_transactions = Some(text_at(row, 2));
            }
        }
    }
    privileges(&mut catalogue, &own.0, run)?;
    for schema in schemas {
        if !sees_all(schema.as_ref().map_or(own.0.as_str(), Ident::as_str), run)? {
            catalogue.partly.insert(schema.clone());
        }
    }
    Ok(catalogue)
}

/// The user of the connection, as GRANTEE has it.
const ME: &str = "CONCAT('''', SUBSTR(CURRENT_USER(), 1, \
              LENGTH(CURRENT_USER()) - LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)) - 1), \
              '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')";

/// Whether the user sees all tables of a schema, and their columns: it may do something with all of them. Where it may by a
/// role, of which nothing is told, a table that never is there says so: it is missing, or, to all others, forbidden.
fn sees_all(schema: &str, run: Reader<'_>) -> Result<bool, Error> {
    const SHOWING: &str = "('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')";
    let of = |schema: &str, view: &str| {
        format!(
            "SELECT {schema} FROM information_schema.{view}_PRIVILEGES WHERE GRANTEE = {ME} AND PRIVILEGE_TYPE IN {SHOWING}"
        )
    };
    let held = run(&[of("TABLE_SCHEMA", "SCHEMA"), of("'%'", "USER")].join(" UNION "), &[])?;
    if held.iter().any(|row| meant(&text_at(row, 0), schema)) {
        return Ok(true);
    }
    let nowhere = format!("SELECT 1 FROM `{}`.`scimshim is not here`", schema.replace('`', "``"));
    match run(&nowhere, &[]) {
        Err(error) if error.failure == Failure::Connection => Err(error),
        Err(error) => Ok(error.failure == Failure::Schema),
        Ok(_) => Ok(true),
    }
}

/// What the user holds itself. What it holds by a role is not told of it, so that with a role nothing is known.
fn privileges(catalogue: &mut Catalogue, own: &str, run: Reader<'_>) -> Result<(), Error> {
    let role = run("SELECT CURRENT_ROLE()", &[]).map(|rows| rows.first().map(|row| text_at(row, 0)));
    if !matches!(role.as_ref().map(Option::as_deref), Ok(Some("" | "NONE"))) {
        return Ok(());
    }
    let of = |schema: &str, table: &str, view: &str| {
        format!(
            "SELECT {schema}, {table}, PRIVILEGE_TYPE FROM information_schema.{view}_PRIVILEGES WHERE GRANTEE = {ME}"
        )
    };
    let all = [
        of("TABLE_SCHEMA", "TABLE_NAME", "TABLE"),
        of("TABLE_SCHEMA", "TABLE_NAME", "COLUMN"),
        of("TABLE_SCHEMA", "''", "SCHEMA"),
        of("'%'", "''", "USER"),
    ];
    let held = run(&all.join(" UNION "), &[])?;
    for (table, info) in &mut catalogue.tables {
        let schema = table.schema.as_ref().map_or(own, Ident::as_str);
        let mut of = Held::default();
        let here = held.iter().filter(|row| match text_at(row, 1).as_str() {
            "" => meant(&text_at(row, 0), schema),
            name => text_at(row, 0).eq_ignore_ascii_case(schema) && name.eq_ignore_ascii_case(table.name.as_str()),
        });
        for row in here {
            match text_at(row, 2).as_str() {
                "SELECT" => of.select = true,
                "INSERT" => of.insert = true,
                "UPDATE" => of.update = true,
                "DELETE" => of.delete = true,
                _ => {}
            }
        }
        info.held = Some(of);
    }
    Ok(())
}

/// Whether the schema of a GRANT, in which `%` and `_` are patterns, is this one.
fn meant(pattern: &str, schema: &str) -> bool {
    let mut characters = pattern.chars();
    match characters.next() {
        None => schema.is_empty(),
        Some('%') => (0..=schema.len()).filter_map(|at| schema.get(at..)).any(|rest| meant(characters.as_str(), rest)),
        Some(first) => {
            let (any, wanted) = match first {
                '_' => (true, first),
                '\\' => (false, characters.next().unwrap_or(first)),
                first => (false, first),
            };
            let mut rest = schema.chars();
            rest.next().is_some_and(|found| any || found.eq_ignore_ascii_case(&wanted))
                && meant(characters.as_str(), rest.as_str())
        }
    }
}

/// MariaDB's JSON is longtext with a check of the column's name.
fn mark_json(
    catalogue: &mut Catalogue,
    schemas: &[Option<Ident>],
    own: &str,
    list: &str,
    names: &[Value],
    run: Reader<'_>,
) -> Result<(), Error> {
    let checks = run(
        &format!(
            "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS \
             WHERE CONSTRAINT_SCHEMA IN ({list}) AND CHECK_CLAUSE LIKE 'json_valid(%'"
        ),
        names,
    )?;
    for row in &checks {
        let column = text_at(row, 2);
        for table in table_of(schemas, own, &text_at(row, 0), &text_at(row, 1)) {
            let columns = catalogue.tables.get_mut(&table).map(|TableInfo { columns, .. }| columns);
            for info in columns.into_iter().flatten().filter(|info| info.name.as_str() == column) {
                info.kind = ColumnKind::Json;
            }
        }
    }
    Ok(())
}

fn kind(data_type: &str, sql_type: &str, length: Option<u64>) -> ColumnKind {
    let unsigned = sql_type.contains("unsigned");
    match data_type.to_ascii_lowercase().as_str() {
        "tinyint" => bounds(8, unsigned),
        "smallint" => bounds(16, unsigned),
        "mediumint" => bounds(24, unsigned),
        "int" | "integer" => bounds(32, unsigned),
        "bigint" => bounds(64, unsigned),
        "year" => ColumnKind::Integer { min: 0, max: 2155 },
        "bit" => {
            let bits = sql_type.trim_start_matches("bit(").trim_end_matches(')').parse().unwrap_or(1);
            bounds(bits, true)
        }
        "decimal" | "numeric" => ColumnKind::Decimal,
        "float" | "double" | "real" => ColumnKind::Float,
        "datetime" | "timestamp" => ColumnKind::DateTime,
        "date" => ColumnKind::Date,
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => ColumnKind::Text(length),
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => ColumnKind::Binary(length),
        "json" => ColumnKind::Json,
        "uuid" => ColumnKind::Uuid,
        "enum" => ColumnKind::Enum(labels(sql_type)),
        _ => ColumnKind::Other,
    }
}

/// `enum('a','it''s')` -> a, it's
fn labels(sql_type: &str) -> Vec<String> {
    let inner = sql_type.split_once('(').map(|(_, rest)| rest.trim_end_matches(')')).unwrap_or_default();
    let mut labels = Vec::new();
    let mut label = None::<String>;
    let mut characters = inner.chars().peekable();
    while let Some(c) = characters.next() {
        match (&mut label, c) {
            (Some(text), '\'') if characters.peek() == Some(&'\'') => {
                characters.next();
                text.push('\'');
            }
            (Some(_), '\'') => labels.extend(label.take()),
            (Some(text), c) => text.push(c),
            (None, '\'') => label = Some(String::new()),
            (None, _) => {}
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_of_grants() {
        for (pattern, schema, expected) in [
            ("app", "app", true),
            ("app", "apps", false),
            ("app%", "apps", true),
            ("%", "anything", true),
            ("a_p", "app", true),
            ("a\\_p", "app", false),
            ("a\\_p", "a_p", true),
            ("", "", true),
        ] {
            assert_eq!(meant(pattern, schema), expected, "{pattern} {schema}");
        }
    }

    #[test]
    fn kinds() {
        for (data_type, sql_type, length, expected) in [
            ("tinyint", "tinyint(1)", None, ColumnKind::Integer { min: -128, max: 127 }),
            ("int", "int(10) unsigned", None, ColumnKind::Integer { min: 0, max: 4294967295 }),
            ("bigint", "bigint(20) unsigned", None, ColumnKind::Integer { min: 0, max: 18446744073709551615 }),
            ("bit", "bit(3)", None, ColumnKind::Integer { min: 0, max: 7 }),
            ("varchar", "varchar(191)", Some(191), ColumnKind::Text(Some(191))),
            (
                "enum",
                "enum('a','it''s','x,y')",
                Some(3),
                ColumnKind::Enum(vec!["a".into(), "it's".into(), "x,y".into()]),
            ),
            ("time", "time", None, ColumnKind::Other),
        ] {
            assert_eq!(kind(data_type, sql_type, length), expected, "{sql_type}");
        }
    }
}
