//! Scalars and conditions of the statement tree as SQL.

use super::{JsonGuard, Target, Writer, refuse};
use crate::sql::backend::SqlBackend;
use crate::sql::name::Cast;
use crate::sql::statement::{Comparison, Expr, Predicate, Select};
use crate::sql::value::{Dialect, Value};
use diesel::result::QueryResult;

/// The longest IN-list that is padded; longer ones are not worth keeping prepared.
const MAX_PADDED: usize = 4096;

/// SQLite's LIKE ignores the case of ASCII letters whatever the collation; this function, registered on
/// every connection, does not: `exact_like(text, pattern)`, escaped by `!`. Beside it stands `unicode_lower(text)`,
/// since SQLite's LOWER knows ASCII alone; LOWER itself stays as it is, the application's indexes may be made of it.
const EXACT_LIKE: &str = "exact_like";

impl<'b, DB: SqlBackend> Writer<'_, 'b, DB> {
    pub(super) fn bind(&mut self, value: &'b Value, cast: Option<&Cast>) -> QueryResult<()> {
        let Some(cast) = cast.filter(|_| DB::DIALECT == Dialect::Postgres) else {
            return DB::push_value(value, &mut self.out);
        };
        self.sql("CAST(");
        DB::push_value(value, &mut self.out)?;
        // bigint has no cast to boolean, int has.
        if cast.as_str() == "boolean" && matches!(value, Value::Int(_)) {
            self.sql(" <> 0");
        }
        self.sql(" AS ");
        self.sql(cast.as_str());
        self.sql(")");
        Ok(())
    }

    fn call(&mut self, open: &str, argument: &'b Expr, close: &str) -> QueryResult<()> {
        self.sql(open);
        self.expr(argument)?;
        self.sql(close);
        Ok(())
    }

    pub(super) fn expr(&mut self, expr: &'b Expr) -> QueryResult<()> {
        match expr {
            Expr::Column(Some(alias), name) => {
                self.alias(*alias);
                self.sql(".");
                self.ident(name)
            }
            Expr::Column(None, name) => {
                match self.target {
                    Some(Target::Table(table)) => self.table(table)?,
                    Some(Target::Alias(alias)) => self.alias(alias),
                    None => return self.ident(name),
                }
                self.sql(".");
                self.ident(name)
            }
            Expr::Value(value, cast) => self.bind(value, cast.as_ref()),
            Expr::Param(index, cast) => {
                let params = self.params;
                let value = params.get(*index).ok_or_else(|| refuse(format!("parameter {index} is missing")))?;
                self.bind(value, cast.as_ref())
            }
            Expr::Number(number) if *number < 0 => {
                self.sql(&format!("({number})"));
                Ok(())
            }
            Expr::Number(number) => {
                self.sql(&number.to_string());
                Ok(())
            }
            Expr::Concat(parts) => self.concat(parts),
            Expr::Coalesce(parts) => match parts.as_slice() {
                [] => {
                    self.sql("NULL");
                    Ok(())
                }
                [only] => self.expr(only),
                _ => {
                    self.sql("COALESCE(");
                    self.list(parts, ", ", Self::expr)?;
                    self.sql(")");
                    Ok(())
                }
            },
            Expr::Lower(inner) => self.call("LOWER(", inner, ")"),
            Expr::Text(inner) => match DB::DIALECT {
                Dialect::Mysql => self.call("CAST(", inner, " AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin"),
                Dialect::Postgres | Dialect::Sqlite => self.call("CAST(", inner, " AS TEXT)"),
            },
            Expr::Exact(inner) => match DB::DIALECT {
                // Bytes, since utf8mb4_bin ignores trailing spaces; of one character set on both sides.
                Dialect::Mysql => self.call("CAST(CONVERT(", inner, " USING utf8mb4) AS BINARY)"),
                Dialect::Postgres => self.call("CAST(", inner, " AS TEXT) COLLATE \"C\""),
                Dialect::Sqlite => self.call("", inner, " COLLATE BINARY"),
            },
            Expr::Folded(inner) => match DB::DIALECT {
                // Of one character set first, so that both sides go through the same table of letters.
                Dialect::Mysql => self.call("CAST(LOWER(CONVERT(", inner, " USING utf8mb4)) AS BINARY)"),
                // In collation "C" only ASCII has a lower case: the database's default knows more.
                Dialect::Postgres => self.call("LOWER(CAST(", inner, " AS TEXT) COLLATE \"default\") COLLATE \"C\""),
                Dialect::Sqlite => self.call("unicode_lower(", inner, ")"),
            },
            Expr::NotEmpty(inner) => match DB::DIALECT {
                // To MySQL, spaces alone equal nothing.
                Dialect::Mysql => {
                    self.call("CASE WHEN CHAR_LENGTH(", inner, ") > 0 THEN ")?;
                    self.call("", inner, " END")
                }
                Dialect::Postgres | Dialect::Sqlite => self.call("NULLIF(", inner, ", '')"),
            },
            Expr::Prefix(inner, length) => {
                self.call(if DB::DIALECT == Dialect::Sqlite { "substr(" } else { "LEFT(" }, inner, "")?;
                self.sql(if DB::DIALECT == Dialect::Sqlite { ", 1, " } else { ", " });
                self.sql(&format!("{length})"));
                Ok(())
            }
            Expr::Case(choices) => self.case(choices),
            Expr::Null(cast) => {
                self.sql("NULL");
                if DB::DIALECT == Dialect::Postgres {
                    self.sql("::");
                    self.sql(cast.as_str());
                }
                Ok(())
            }
            Expr::Decimal(inner, places) => match DB::DIALECT {
                Dialect::Mysql => self.call("CAST(", inner, &format!(" AS DECIMAL(65,{}))", places.min(&30))),
                Dialect::Postgres => self.call("CAST(", inner, " AS numeric)"),
                Dialect::Sqlite => self.expr(inner),
            },
            Expr::Known(inner) => self.expr(inner),
            Expr::Decoded(inner, separator) => self.decoded(inner, separator.as_ref()),
            Expr::Replaced(_, from, to) if !from.is_ascii_punctuation() || !to.is_ascii_punctuation() => {
                Err(refuse("only punctuation is replaced"))
            }
            Expr::Replaced(_, '\'' | '\\', _) | Expr::Replaced(_, _, '\'' | '\\') => {
                Err(refuse("quotes are not replaced"))
            }
            Expr::Replaced(inner, from, to) => {
                self.call("REPLACE(", inner, "")?;
                self.sql(&format!(", '{from}', '{to}')"));
                Ok(())
            }
            Expr::Json(document, path) => self.json(document, path),
            Expr::Scalar(select) => self.subquery("(", select),
            Expr::Rows(select) => self.json_rows(select),
            Expr::CountAll => {
                self.sql("COUNT(*)");
                Ok(())
            }
            Expr::Min(inner) => self.call("MIN(", inner, ")"),
            Expr::Flag(predicate) => {
                self.sql("CASE WHEN ");
                self.predicate(predicate)?;
                self.sql(" THEN 1 ELSE 0 END");
                Ok(())
            }
        }
    }

    fn case(&mut self, choices: &'b [(Predicate, Expr)]) -> QueryResult<()> {
        if choices.is_empty() {
            self.sql("NULL");
            return Ok(());
        }
        self.sql("CASE");
        for (when, then) in choices {
            self.sql(" WHEN ");
            self.predicate(when)?;
            self.sql(" THEN ");
            self.expr(then)?;
        }
        self.sql(" END");
        Ok(())
    }

    fn concat(&mut self, parts: &'b [Expr]) -> QueryResult<()> {
        let (open, separator, close) = match DB::DIALECT {
            _ if parts.is_empty() => ("''", "", ""),
            Dialect::Mysql => ("CONCAT(", ", ", ")"),
            Dialect::Postgres | Dialect::Sqlite => ("(", " || ", ")"),
        };
        self.sql(open);
        self.list(parts, separator, |writer, part| match DB::DIALECT {
            // `||` wants text on at least one side.
            Dialect::Postgres => writer.call("CAST(", part, " AS TEXT)"),
            Dialect::Mysql | Dialect::Sqlite => writer.expr(part),
        })?;
        self.sql(close);
        Ok(())
    }

    /// What `entities::decoded` does: text with a raw `<`, `>` or bare `&` was never encoded.
    fn decoded(&mut self, text: &'b Expr, separator: Option<&'b String>) -> QueryResult<()> {
        if DB::DIALECT == Dialect::Sqlite {
            self.call("html_decoded(", text, ", ")?;
            match separator {
                Some(separator) => DB::push_text(separator, &mut self.out)?,
                None => self.sql("NULL"),
            }
            self.sql(")");
            return Ok(());
        }
        let mysql = DB::DIALECT == Dialect::Mysql;
        let (open, close) = if mysql { ("CONVERT(", " USING utf8mb4)") } else { ("CAST(", " AS TEXT)") };
        let (find, matches) = if mysql { ("INSTR(", " COLLATE utf8mb4_bin REGEXP ") } else { ("STRPOS(", " ~ ") };
        self.sql("CASE WHEN ");
        self.sql(find);
        self.call(open, text, close)?;
        self.sql(", '&') = 0 OR REPLACE(");
        self.call(open, text, close)?;
        self.sql(", ");
        match separator {
            Some(separator) => {
                DB::push_text(separator, &mut self.out)?;
                self.sql(", ' ')");
            }
            None => self.sql("' ', ' ')"),
        }
        self.sql(matches);
        self.sql("'[<>]|&(?!#?[A-Za-z0-9]+;)' THEN ");
        self.call(open, text, close)?;
        self.sql(" WHEN ");
        self.call(open, text, close)?;
        self.sql(matches);
        self.sql("'&#(38|60|62);' THEN REPLACE(REPLACE(REPLACE(");
        self.call(open, text, close)?;
        self.sql(", '&#60;', '<'), '&#62;', '>'), '&#38;', '&') ELSE REPLACE(REPLACE(");
        self.call(open, text, close)?;
        self.sql(", '&lt;', '<'), '&gt;', '>') END");
        Ok(())
    }

    /// One scalar of a JSON document as text. The keys are binds: `JSON_QUOTE` and `ARRAY` make the path
    /// of them.
    fn json(&mut self, document: &'b Expr, path: &'b [String]) -> QueryResult<()> {
        match DB::DIALECT {
            Dialect::Postgres => {
                let (open, close) = match self.json {
                    JsonGuard::InputIsValid => ("pg_input_is_valid(CAST(", " AS TEXT), 'jsonb')"),
                    JsonGuard::Shape => ("CAST(", r" AS TEXT) ~ '^\s*(\{.*\}|\[.*\])\s*$'"),
                };
                self.sql("CASE WHEN ");
                self.call(open, document, close)?;
                self.call(" THEN CAST(", document, " AS JSONB) #>> ARRAY[")?;
                self.list(path, ", ", |writer, key| DB::push_text(key, &mut writer.out))?;
                self.sql("]::TEXT[] END");
            }
            Dialect::Mysql => {
                self.call("CASE WHEN JSON_VALID(", document, ") THEN CASE JSON_TYPE(JSON_EXTRACT(")?;
                self.json_place(document, path, "CONCAT('$'", (", '.', JSON_QUOTE(", ")"), ")")?;
                self.sql(")) WHEN 'NULL' THEN NULL ELSE JSON_UNQUOTE(JSON_EXTRACT(");
                self.json_place(document, path, "CONCAT('$'", (", '.', JSON_QUOTE(", ")"), ")")?;
                self.sql(")) END END");
            }
            Dialect::Sqlite => {
                self.call("CASE WHEN json_valid(", document, ") THEN CASE json_type(")?;
                self.json_place(document, path, "'$'", (" || '.' || json_quote(", ")"), "")?;
                self.sql(") WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(json_extract(");
                self.json_place(document, path, "'$'", (" || '.' || json_quote(", ")"), "")?;
                self.sql(") AS TEXT) END END");
            }
        }
        Ok(())
    }

    /// `document, path`, where the path is put together from its keys by the database.
    fn json_place(
        &mut self,
        document: &'b Expr,
        path: &'b [String],
        open: &str,
        key: (&str, &str),
        close: &str,
    ) -> QueryResult<()> {
        self.expr(document)?;
        self.sql(", ");
        self.sql(open);
        for part in path {
            self.sql(key.0);
            DB::push_text(part, &mut self.out)?;
            self.sql(key.1);
        }
        self.sql(close);
        Ok(())
    }

    fn json_rows(&mut self, select: &'b Select) -> QueryResult<()> {
        let (open, close) = match DB::DIALECT {
            Dialect::Mysql => ("(SELECT JSON_ARRAYAGG(JSON_ARRAY(", "))"),
            Dialect::Postgres => ("(SELECT CAST(json_agg(json_build_array(", ")) AS text)"),
            Dialect::Sqlite => ("(SELECT json_group_array(json_array(", "))"),
        };
        self.sql(open);
        self.list(&select.columns, ", ", Self::expr)?;
        self.sql(close);
        self.rows_of(select)?;
        self.sql(")");
        Ok(())
    }

    fn subquery(&mut self, open: &str, select: &'b Select) -> QueryResult<()> {
        self.sql(open);
        self.select(select)?;
        self.sql(")");
        Ok(())
    }

    pub(super) fn predicate(&mut self, predicate: &'b Predicate) -> QueryResult<()> {
        match predicate {
            Predicate::True => self.sql("1 = 1"),
            Predicate::False => self.sql("1 = 0"),
            Predicate::And(all) => return self.junction(all, " AND ", "1 = 1"),
            Predicate::Or(any) => return self.junction(any, " OR ", "1 = 0"),
            Predicate::Not(inner) => {
                self.sql("(");
                self.predicate(inner)?;
                self.sql(") IS NOT TRUE");
            }
            Predicate::Compare(left, comparison, right) => {
                self.expr(left)?;
                self.sql(match comparison {
                    Comparison::Eq => " = ",
                    Comparison::Ne => " <> ",
                    Comparison::Lt => " < ",
                    Comparison::Le => " <= ",
                    Comparison::Gt => " > ",
                    Comparison::Ge => " >= ",
                });
                self.expr(right)?;
            }
            Predicate::IsNull(inner) => self.call("", inner, " IS NULL")?,
            Predicate::In(_, list) if list.is_empty() => self.sql("1 = 0"),
            Predicate::In(expr, list) => {
                self.call("", expr, " IN (")?;
                let padded = if list.len() <= MAX_PADDED {
                    list.len().next_power_of_two()
                } else {
                    self.out.unsafe_to_cache_prepared();
                    list.len()
                };
                let last = list.last().into_iter().cycle();
                self.list(list.iter().chain(last).take(padded), ", ", Self::expr)?;
                self.sql(")");
            }
            Predicate::InSelect(expr, select) => {
                self.expr(expr)?;
                self.subquery(" IN (", select)?;
            }
            Predicate::Exists(select) => self.subquery("EXISTS (", select)?,
            Predicate::Like(text, pattern) => self.like(text, pattern)?,
            Predicate::Bits(expr, bits) => {
                self.call("(", expr, " & ")?;
                self.sql(&format!("{bits}) = {bits}"));
            }
        }
        Ok(())
    }

    fn junction(&mut self, parts: &'b [Predicate], operator: &str, empty: &str) -> QueryResult<()> {
        match parts {
            [] => self.sql(empty),
            [only] => return self.predicate(only),
            _ => {
                self.sql("(");
                self.list(parts, operator, Self::predicate)?;
                self.sql(")");
            }
        }
        Ok(())
    }

    fn like(&mut self, text: &'b Expr, pattern: &'b Expr) -> QueryResult<()> {
        if DB::DIALECT == Dialect::Sqlite && matches!(text, Expr::Exact(_) | Expr::Folded(_)) {
            let bare = |expr: &'b Expr| match expr {
                Expr::Exact(inner) => inner,
                other => other,
            };
            self.sql(EXACT_LIKE);
            self.call("(", bare(text), ", ")?;
            return self.call("", bare(pattern), ")");
        }
        self.expr(text)?;
        self.call(" LIKE ", pattern, " ESCAPE '!'")
    }
}
