//! Tree -> SQL, for each dialect.

use super::sql_text;
use crate::sql::*;

const T: Alias = Alias(0);

fn column(name: &str) -> Expr {
    Expr::column(T, &name.into())
}

fn select(columns: Vec<Expr>, filter: Predicate) -> Select {
    Select::new(Table::new("users"), T, columns).filter(filter)
}

/// The text without the binds' values, which Diesel prints behind it.
fn text(dialect: Dialect, statement: &Statement) -> String {
    let params = [Value::Int(7), Value::from("x")];
    let text = sql_text(dialect, statement, &params);
    text.split(" -- binds").next().unwrap_or_default().to_owned()
}

fn check(statement: impl Into<Statement>, mysql: &str, postgres: &str, sqlite: &str) {
    let statement = statement.into();
    assert_eq!(text(Dialect::Mysql, &statement), mysql);
    assert_eq!(text(Dialect::Postgres, &statement), postgres);
    assert_eq!(text(Dialect::Sqlite, &statement), sqlite);
}

impl From<Select> for Statement {
    fn from(select: Select) -> Self {
        Statement::Select(select)
    }
}

/// One condition in `SELECT 1 FROM users AS t0 WHERE ...`.
fn condition(predicate: Predicate, mysql: &str, postgres: &str, sqlite: &str) {
    let [m, p, s] = [(mysql, '`'), (postgres, '"'), (sqlite, '`')]
        .map(|(expected, quote)| format!("SELECT 1 FROM {quote}users{quote} AS t0 WHERE {expected}"));
    check(select(vec![], predicate), &m, &p, &s);
}

#[test]
fn a_page() {
    let page = Select {
        joins: vec![Join {
            kind: JoinKind::Left,
            table: Table::within("app", "departments"),
            alias: Alias(1),
            on: Predicate::eq(Expr::column(Alias(1), &"id".into()), column("department_id")),
        }],
        order: vec![Order { by: column("name"), descending: false }, Order { by: column("id"), descending: true }],
        limit: Some(10),
        offset: Some(20),
        lock: Some(Lock::Update),
        ..select(vec![column("id"), Expr::CountAll], Predicate::IsNull(column("deleted_at")))
    };
    check(
        page,
        "SELECT t0.`id`, COUNT(*) FROM `users` AS t0 LEFT JOIN `app`.`departments` AS t1 ON t1.`id` = t0.`department_id` \
         WHERE t0.`deleted_at` IS NULL ORDER BY t0.`name`, t0.`id` DESC LIMIT ? OFFSET ? FOR UPDATE",
        "SELECT t0.\"id\", COUNT(*) FROM \"users\" AS t0 LEFT JOIN \"app\".\"departments\" AS t1 ON t1.\"id\" = t0.\"department_id\" \
         WHERE t0.\"deleted_at\" IS NULL ORDER BY t0.\"name\" NULLS FIRST, t0.\"id\" DESC NULLS LAST LIMIT $1 OFFSET $2 FOR UPDATE",
        "SELECT t0.`id`, COUNT(*) FROM `users` AS t0 LEFT JOIN `app`.`departments` AS t1 ON t1.`id` = t0.`department_id` \
         WHERE t0.`deleted_at` IS NULL ORDER BY t0.`name`, t0.`id` DESC LIMIT ? OFFSET ?",
    );
}

#[test]
fn rows_that_are_to_stay() {
    check(
        Select { lock: Some(Lock::Stay), ..select(vec![column("id")], Predicate::True) },
        "SELECT t0.`id` FROM `users` AS t0 LOCK IN SHARE MODE",
        "SELECT t0.\"id\" FROM \"users\" AS t0 FOR KEY SHARE",
        "SELECT t0.`id` FROM `users` AS t0",
    );
}

#[test]
fn an_offset_alone() {
    check(
        Select { offset: Some(5), ..select(vec![], Predicate::True) },
        "SELECT 1 FROM `users` AS t0 LIMIT 18446744073709551615 OFFSET ?",
        "SELECT 1 FROM \"users\" AS t0 OFFSET $1",
        "SELECT 1 FROM `users` AS t0 LIMIT -1 OFFSET ?",
    );
}

#[test]
fn conditions() {
    let exact = |expr| Expr::Exact(Box::new(expr));
    condition(
        Predicate::eq(exact(column("name")), exact(Expr::Param(1, None))),
        "CAST(CONVERT(t0.`name` USING utf8mb4) AS BINARY) = CAST(CONVERT(? USING utf8mb4) AS BINARY)",
        "CAST(t0.\"name\" AS TEXT) COLLATE \"C\" = CAST($1 AS TEXT) COLLATE \"C\"",
        "t0.`name` COLLATE BINARY = ? COLLATE BINARY",
    );
    condition(
        Predicate::eq(column("id"), Expr::Param(0, Some(Cast::new("integer")))).negate(),
        "(t0.`id` = ?) IS NOT TRUE",
        "(t0.\"id\" = CAST($1 AS integer)) IS NOT TRUE",
        "(t0.`id` = ?) IS NOT TRUE",
    );
    condition(
        Predicate::eq(column("active"), Expr::Value(Value::Int(1), Some(Cast::new("boolean")))),
        "t0.`active` = ?",
        "t0.\"active\" = CAST($1 <> 0 AS boolean)",
        "t0.`active` = ?",
    );
    condition(
        Predicate::In(column("id"), vec![Expr::Number(1), Expr::Number(2), Expr::Number(-3)]),
        "t0.`id` IN (1, 2, (-3), (-3))",
        "t0.\"id\" IN (1, 2, (-3), (-3))",
        "t0.`id` IN (1, 2, (-3), (-3))",
    );
    condition(Predicate::In(column("id"), vec![]), "1 = 0", "1 = 0", "1 = 0");
    condition(
        Predicate::Or(vec![
            Predicate::Bits(column("flags"), 2),
            Predicate::And(vec![]),
            Predicate::Like(Expr::Lower(Box::new(column("name"))), Expr::value("a!_%")),
        ]),
        "((t0.`flags` & 2) = 2 OR 1 = 1 OR LOWER(t0.`name`) LIKE ? ESCAPE '!')",
        "((t0.\"flags\" & 2) = 2 OR 1 = 1 OR LOWER(t0.\"name\") LIKE $1 ESCAPE '!')",
        "((t0.`flags` & 2) = 2 OR 1 = 1 OR LOWER(t0.`name`) LIKE ? ESCAPE '!')",
    );
    condition(
        Predicate::Like(exact(column("name")), exact(Expr::value("a%"))),
        "CAST(CONVERT(t0.`name` USING utf8mb4) AS BINARY) LIKE CAST(CONVERT(? USING utf8mb4) AS BINARY) ESCAPE '!'",
        "CAST(t0.\"name\" AS TEXT) COLLATE \"C\" LIKE CAST($1 AS TEXT) COLLATE \"C\" ESCAPE '!'",
        "exact_like(t0.`name`, ?)",
    );
    let folded = |expr| Expr::Folded(Box::new(expr));
    condition(
        Predicate::Like(folded(column("name")), folded(Expr::value("a%"))),
        "CAST(LOWER(CONVERT(t0.`name` USING utf8mb4)) AS BINARY) LIKE CAST(LOWER(CONVERT(? USING utf8mb4)) AS BINARY) ESCAPE '!'",
        "LOWER(CAST(t0.\"name\" AS TEXT) COLLATE \"default\") COLLATE \"C\" LIKE LOWER(CAST($1 AS TEXT) COLLATE \"default\") COLLATE \"C\" ESCAPE '!'",
        "exact_like(unicode_lower(t0.`name`), unicode_lower(?))",
    );
    condition(
        Predicate::IsNull(Expr::NotEmpty(Box::new(column("name")))),
        "CASE WHEN CHAR_LENGTH(t0.`name`) > 0 THEN t0.`name` END IS NULL",
        "NULLIF(t0.\"name\", '') IS NULL",
        "NULLIF(t0.`name`, '') IS NULL",
    );
    condition(
        Predicate::eq(Expr::Text(Box::new(column("id"))), Expr::Concat(vec![Expr::value("a"), Expr::value("b")])),
        "CAST(t0.`id` AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin = CONCAT(?, ?)",
        "CAST(t0.\"id\" AS TEXT) = (CAST($1 AS TEXT) || CAST($2 AS TEXT))",
        "CAST(t0.`id` AS TEXT) = (? || ?)",
    );
}

#[test]
fn json() {
    check(
        select(vec![Expr::Json(Box::new(column("p")), vec!["a".into(), "b".into()])], Predicate::True),
        "SELECT CASE WHEN JSON_VALID(t0.`p`) THEN \
         CASE JSON_TYPE(JSON_EXTRACT(t0.`p`, CONCAT('$', '.', JSON_QUOTE(?), '.', JSON_QUOTE(?)))) WHEN 'NULL' THEN NULL \
         ELSE JSON_UNQUOTE(JSON_EXTRACT(t0.`p`, CONCAT('$', '.', JSON_QUOTE(?), '.', JSON_QUOTE(?)))) END END \
         FROM `users` AS t0",
        "SELECT CASE WHEN pg_input_is_valid(CAST(t0.\"p\" AS TEXT), 'jsonb') \
         THEN CAST(t0.\"p\" AS JSONB) #>> ARRAY[$1, $2]::TEXT[] END FROM \"users\" AS t0",
        "SELECT CASE WHEN json_valid(t0.`p`) THEN \
         CASE json_type(t0.`p`, '$' || '.' || json_quote(?) || '.' || json_quote(?)) \
         WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' \
         ELSE CAST(json_extract(t0.`p`, '$' || '.' || json_quote(?) || '.' || json_quote(?)) AS TEXT) END END \
         FROM `users` AS t0",
    );
}

#[test]
fn writes() {
    let row = vec![Expr::Value(Value::Null, Some(Cast::new("uuid"))), Expr::value(1)];
    let insert = Insert {
        table: Table::new("users"),
        columns: vec!["a".into(), "b".into()],
        rows: vec![row],
        on_conflict: OnConflict::Update { key: vec!["a".into()], columns: vec!["b".into()] },
    };
    check(
        Statement::Insert(insert),
        "INSERT INTO `users` (`a`, `b`) VALUES (?, ?) ON DUPLICATE KEY UPDATE `b` = VALUES(`b`)",
        "INSERT INTO \"users\" (\"a\", \"b\") VALUES (CAST($1 AS uuid), $2) ON CONFLICT (\"a\") DO UPDATE SET \"b\" = EXCLUDED.\"b\"",
        "INSERT INTO `users` (`a`, `b`) VALUES (?, ?) ON CONFLICT (`a`) DO UPDATE SET `b` = EXCLUDED.`b`",
    );
    let defaults =
        Insert { table: Table::new("users"), columns: vec![], rows: vec![vec![]], on_conflict: OnConflict::Fail };
    check(
        Statement::Insert(defaults),
        "INSERT INTO `users` () VALUES ()",
        "INSERT INTO \"users\" DEFAULT VALUES",
        "INSERT INTO `users` DEFAULT VALUES",
    );
    // A column without an alias is the updated table's, in a subquery too.
    let member = Select::new(Table::new("members"), T, vec![])
        .filter(Predicate::eq(column("user_id"), Expr::bare(&"id".into())));
    let update = Update {
        table: Table::new("users"),
        set: vec![("name".into(), Expr::Param(1, None))],
        filter: Predicate::eq(Expr::bare(&"id".into()), Expr::Param(0, None)).and(Predicate::Exists(Box::new(member))),
    };
    check(
        Statement::Update(update),
        "UPDATE `users` SET `name` = ? WHERE (`users`.`id` = ? AND EXISTS (SELECT 1 FROM `members` AS t0 WHERE t0.`user_id` = `users`.`id`))",
        "UPDATE \"users\" SET \"name\" = $1 WHERE (\"users\".\"id\" = $2 AND EXISTS (SELECT 1 FROM \"members\" AS t0 WHERE t0.\"user_id\" = \"users\".\"id\"))",
        "UPDATE `users` SET `name` = ? WHERE (`users`.`id` = ? AND EXISTS (SELECT 1 FROM `members` AS t0 WHERE t0.`user_id` = `users`.`id`))",
    );
    check(
        Statement::Delete(Delete { table: Table::new("users"), filter: Predicate::False }),
        "DELETE FROM `users` WHERE 1 = 0",
        "DELETE FROM \"users\" WHERE 1 = 0",
        "DELETE FROM `users` WHERE 1 = 0",
    );
}

#[test]
fn unions() {
    let part = |number| select(vec![Expr::Number(number)], Predicate::True);
    check(
        Statement::Union(Union {
            selects: vec![part(0), part(1)],
            order: vec![(0, true)],
            limit: Some(1),
            offset: None,
        }),
        "SELECT 0 FROM `users` AS t0 UNION ALL SELECT 1 FROM `users` AS t0 ORDER BY 1 DESC LIMIT ?",
        "SELECT 0 FROM \"users\" AS t0 UNION ALL SELECT 1 FROM \"users\" AS t0 ORDER BY 1 DESC NULLS LAST LIMIT $1",
        "SELECT 0 FROM `users` AS t0 UNION ALL SELECT 1 FROM `users` AS t0 ORDER BY 1 DESC LIMIT ?",
    );
}

/// A part with a limit brings its own first rows.
#[test]
fn unions_of_first_rows() {
    let part = |number| {
        let mut part = select(vec![Expr::Number(number), Expr::Null(Cast::new("text"))], Predicate::True);
        part.order = vec![Order { by: Expr::Known(Box::new(column("id"))), descending: true }];
        part.limit = Some(5);
        part
    };
    check(
        Statement::Union(Union {
            selects: vec![part(0), part(1)],
            order: vec![(1, false)],
            limit: Some(5),
            offset: None,
        }),
        "(SELECT 0, NULL FROM `users` AS t0 ORDER BY t0.`id` DESC LIMIT ?) UNION ALL \
         (SELECT 1, NULL FROM `users` AS t0 ORDER BY t0.`id` DESC LIMIT ?) ORDER BY 2 LIMIT ?",
        "(SELECT 0, NULL::text FROM \"users\" AS t0 ORDER BY t0.\"id\" DESC LIMIT $1) UNION ALL \
         (SELECT 1, NULL::text FROM \"users\" AS t0 ORDER BY t0.\"id\" DESC LIMIT $2) ORDER BY 2 NULLS FIRST LIMIT $3",
        "SELECT * FROM (SELECT 0, NULL FROM `users` AS t0 ORDER BY t0.`id` DESC LIMIT ?) UNION ALL \
         SELECT * FROM (SELECT 1, NULL FROM `users` AS t0 ORDER BY t0.`id` DESC LIMIT ?) ORDER BY 2 LIMIT ?",
    );
}

#[test]
fn choices_prefixes_and_decimals() {
    let some = Predicate::IsNull(column("a")).negate();
    check(
        select(
            vec![
                Expr::Case(vec![(some, column("a")), (Predicate::True, Expr::Number(2))]),
                Expr::Case(vec![]),
                Expr::Prefix(Box::new(column("b")), 3),
                Expr::Decimal(Box::new(Expr::value("1.50")), 2),
            ],
            Predicate::True,
        ),
        "SELECT CASE WHEN (t0.`a` IS NULL) IS NOT TRUE THEN t0.`a` WHEN 1 = 1 THEN 2 END, NULL, LEFT(t0.`b`, 3), \
         CAST(? AS DECIMAL(65,2)) FROM `users` AS t0",
        "SELECT CASE WHEN (t0.\"a\" IS NULL) IS NOT TRUE THEN t0.\"a\" WHEN 1 = 1 THEN 2 END, NULL, LEFT(t0.\"b\", 3), \
         CAST($1 AS numeric) FROM \"users\" AS t0",
        "SELECT CASE WHEN (t0.`a` IS NULL) IS NOT TRUE THEN t0.`a` WHEN 1 = 1 THEN 2 END, NULL, substr(t0.`b`, 1, 3), \
         ? FROM `users` AS t0",
    );
}

#[test]
fn identifiers_are_quoted() {
    check(
        Select::new(Table::new("a`b\"c"), T, vec![]),
        "SELECT 1 FROM `a``b\"c` AS t0",
        "SELECT 1 FROM \"a`b\"\"c\" AS t0",
        "SELECT 1 FROM `a``b\"c` AS t0",
    );
}
