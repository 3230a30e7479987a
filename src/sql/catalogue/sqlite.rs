//! SQLite's schema table and PRAGMAs. Types are what the CREATE TABLE declares: SQLite enforces none of
//! them, but the application that declared them means them.

use super::{ColumnInfo, ColumnKind, Index, Reader, text_at};
use crate::sql::{Catalogue, Error, Ident, Table, Value};
use std::collections::BTreeMap;

pub(super) fn read(schemas: &[Option<Ident>], run: Reader<'_>) -> Result<Catalogue, Error> {
    let mut catalogue = Catalogue::default();
    for schema in schemas {
        let attached = schema.as_ref().map_or("main", Ident::as_str);
        let master = format!("\"{}\".sqlite_master", attached.replace('"', "\"\""));
        let name = |text: String| Table { schema: schema.clone(), name: Ident::new(text) };
        let columns = run(
            &format!(
                "SELECT m.name, x.name, x.type, x.\"notnull\", x.dflt_value, x.pk, x.hidden, m.sql \
                 FROM {master} AS m, pragma_table_xinfo(m.name, ?) AS x \
                 WHERE m.type IN ('table', 'view') ORDER BY m.name, x.cid"
            ),
            &[Value::from(attached)],
        )?;
        let mut keys: BTreeMap<Table, Vec<(i64, Ident)>> = BTreeMap::new();
        for row in &columns {
            let declared = text_at(row, 2);
            let column = Ident::new(text_at(row, 1));
            let number = |index: usize| row.0.get(index).and_then(Value::as_int).unwrap_or_default();
            let (place, hidden) = (number(5), number(6));
            let info = ColumnInfo {
                name: column.clone(),
                kind: kind(&declared),
                cast: None,
                nullable: number(3) == 0 && place == 0,
                has_default: row.0.get(4).is_some_and(|default| !default.is_null()) || hidden > 1,
                generated_key: false,
                ignores_case: is_nocase(&text_at(row, 7), column.as_str()),
                sql_type: declared,
            };
            let table = name(text_at(row, 0));
            if place > 0 {
                keys.entry(table.clone()).or_default().push((place, column));
            }
            catalogue.tables.entry(table).or_default().columns.push(info);
        }
        for (table, mut key) in keys {
            let Some(info) = catalogue.tables.get_mut(&table) else {
                continue;
            };
            key.sort_by_key(|(place, _)| *place);
            info.primary_key = key.into_iter().map(|(_, column)| column).collect();
            // INTEGER PRIMARY KEY is the row's own number, which SQLite gives.
            if let [only] = info.primary_key.as_slice() {
                let rowid = info
                    .columns
                    .iter_mut()
                    .find(|column| column.name == *only && column.sql_type.eq_ignore_ascii_case("integer"));
                if let Some(column) = rowid {
                    column.generated_key = true;
                    column.has_default = true;
                    info.indexes.push(Index { name: "rowid".to_owned(), columns: vec![only.clone()], unique: true });
                }
            }
        }
        let triggers = run(
            &format!(
                "SELECT DISTINCT m.name FROM {master} AS m JOIN {master} AS g \
                 ON g.type = 'trigger' AND g.tbl_name = m.name COLLATE NOCASE WHERE m.type = 'table'"
            ),
            &[],
        )?;
        for row in &triggers {
            if let Some(info) = catalogue.tables.get_mut(&name(text_at(row, 0))) {
                info.triggers = true;
            }
        }
        let indexes = run(
            &format!(
                "SELECT m.name, l.name, l.\"unique\", l.partial, x.name \
                 FROM {master} AS m, pragma_index_list(m.name, ?) AS l, pragma_index_info(l.name, ?) AS x \
                 WHERE m.type = 'table' ORDER BY m.name, l.seq, x.seqno"
            ),
            &[Value::from(attached), Value::from(attached)],
        )?;
        for row in &indexes {
            let Some(info) = catalogue.tables.get_mut(&name(text_at(row, 0))) else {
                continue;
            };
            let (index, column) = (text_at(row, 1), Ident::new(text_at(row, 4)));
            match info.indexes.last_mut().filter(|last| last.name == index) {
                Some(last) => last.columns.push(column),
                None => {
                    let whole = row.0.get(3).and_then(Value::as_int) == Some(0);
                    let unique = whole && row.0.get(2).and_then(Value::as_int) == Some(1);
                    info.indexes.push(Index { name: index, columns: vec![column], unique });
                }
            }
        }
    }
    Ok(catalogue)
}

fn kind(declared: &str) -> ColumnKind {
    let upper = declared.to_ascii_uppercase();
    let length = upper.split_once('(').and_then(|(_, rest)| rest.trim_end_matches(')').trim().parse().ok());
    let has = |part: &str| upper.contains(part);
    if has("BOOL") {
        ColumnKind::Boolean
    } else if has("INT") {
        ColumnKind::Integer { min: i128::from(i64::MIN), max: i128::from(i64::MAX) }
    } else if has("CHAR") || has("TEXT") || has("CLOB") {
        ColumnKind::Text(length)
    } else if has("TIMESTAMP") || has("DATETIME") {
        ColumnKind::DateTime
    } else if upper == "DATE" {
        ColumnKind::Date
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        ColumnKind::Float
    } else if has("NUMERIC") || has("DECIMAL") {
        ColumnKind::Decimal
    } else if has("BLOB") || has("BINARY") {
        ColumnKind::Binary(length)
    } else if has("JSON") {
        ColumnKind::Json
    } else if upper == "UUID" || upper == "GUID" {
        ColumnKind::Uuid
    } else {
        ColumnKind::Other
    }
}

/// Whether the column's definition says COLLATE NOCASE: no PRAGMA tells.
fn is_nocase(create: &str, column: &str) -> bool {
    let Some((_, body)) = create.split_once('(') else {
        return false;
    };
    definitions(body).into_iter().any(|definition| {
        let definition = definition.trim_start();
        let named = match definition.strip_prefix(['"', '`', '[']) {
            Some(rest) => rest.split(['"', '`', ']']).next(),
            None => definition.split_whitespace().next(),
        };
        named.is_some_and(|name| name.eq_ignore_ascii_case(column))
            && definition
                .to_ascii_uppercase()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .contains("COLLATE NOCASE")
    })
}

/// The parts of a CREATE TABLE's body between the commas that are in no parentheses.
fn definitions(body: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0_i32, 0);
    let mut parts = Vec::new();
    for (at, c) in body.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.extend(body.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(body.get(start..));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nocase_is_read_from_the_declaration() {
        let create = "CREATE TABLE t (id INTEGER, \"n\" varchar(10) DEFAULT 'x' COLLATE  nocase, m text CHECK (m IN ('a', 'b')))";
        assert!(is_nocase(create, "n"));
        assert!(!is_nocase(create, "id"));
        assert!(!is_nocase(create, "m"));
    }

    #[test]
    fn kinds_follow_the_declared_type() {
        assert_eq!(kind("varchar(191)"), ColumnKind::Text(Some(191)));
        assert_eq!(kind("tinyint(1)"), ColumnKind::Integer { min: i128::from(i64::MIN), max: i128::from(i64::MAX) });
        assert_eq!(kind("datetime"), ColumnKind::DateTime);
        assert_eq!(kind(""), ColumnKind::Other);
    }
}
