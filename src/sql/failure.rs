//! From a database's complaint to a [`Failure`]. Diesel passes on a kind for the commonest errors and
//! the message for all; error numbers and SQLSTATEs it keeps to itself. So the sessions ask for English
//! messages, and what has no kind is recognised by how its message begins. Beginnings, because a message
//! may quote a value further on.

use super::error::{Error, Failure};
use super::value::Dialect;
use diesel::result::{ConnectionError, DatabaseErrorKind, Error as Diesel};

/// What Diesel reports while a statement runs.
pub(super) fn of_statement(dialect: Dialect, error: Diesel) -> Complaint {
    match error {
        Diesel::DatabaseError(kind, information) => {
            let words = information.message().trim_end();
            let known = known(dialect, words);
            let failure = of_kind(kind).or(known.map(|(_, failure)| *failure)).unwrap_or(Failure::Other);
            let told = match known {
                Some((pattern, _)) if quotes_values(dialect, failure, words) => {
                    format!("{}{}", pattern.text(), place(words))
                }
                Some(_) => words.to_owned(),
                None => match (failure, information.constraint_name()) {
                    (Failure::Other, _) => "an error that is not known here".to_owned(),
                    (_, Some(constraint)) => format!("the constraint {constraint} does not hold"),
                    (_, None) => "a constraint does not hold".to_owned(),
                },
            };
            let is_unknown = matches!(kind, DatabaseErrorKind::Unknown) && known.is_none();
            let may_be_refusal = is_unknown && information.statement_position().is_none();
            let mut all = words.to_owned();
            for more in [information.details(), information.hint()].into_iter().flatten() {
                all.push_str("; ");
                all.push_str(more);
            }
            if all != told {
                tracing::debug!(words = all, "the database complains");
            }
            Complaint { error: Error::new(failure, told), may_be_refusal }
        }
        Diesel::InvalidCString(_) => Error::new(Failure::Value, "a text holds the character U+0000").into(),
        other => Error::new(Failure::Other, other.to_string()).into(),
    }
}

/// A failed statement.
pub(super) struct Complaint {
    /// What may be told of it: no value, and no word of the application's own.
    pub(super) error: Error,
    /// The words are nobody's that is known: the application's, where it was a write.
    pub(super) may_be_refusal: bool,
}

impl From<Error> for Complaint {
    fn from(error: Error) -> Self {
        Self { error, may_be_refusal: false }
    }
}

impl Complaint {
    /// What it is where a write failed. Diesel keeps numbers and SQLSTATEs (45000, P0001) to itself, so what no server is known
    /// to say is what a trigger says.
    pub(super) fn of_write(self) -> Error {
        match self.may_be_refusal {
            true => {
                tracing::warn!(
                    "a write failed with words that no database is known for: they are taken for a trigger's of the application \
                     (`level: debug` has them)"
                );
                Error::new(Failure::Refused, "a trigger of the application refused it")
            }
            false => self.error,
        }
    }
}

/// Whether the message of a known failure quotes a value, which may be anybody's name; or begins in a way that a trigger's
/// own may, too.
fn quotes_values(dialect: Dialect, failure: Failure, words: &str) -> bool {
    match dialect {
        _ if failure == Failure::Other => true,
        Dialect::Sqlite => false,
        Dialect::Mysql => failure == Failure::Value || words.starts_with("Duplicate entry "),
        Dialect::Postgres => failure == Failure::Value,
    }
}

/// The key or column that MySQL names at the end of a message, after the value.
fn place(words: &str) -> String {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.' | '`' | '\'');
    if let Some((_, key)) = words.rsplit_once("' for key ")
        && key.chars().all(is_name)
    {
        return format!(" for key {key}");
    }
    if let Some((before, row)) = words.rsplit_once(" at row ")
        && row.chars().all(|c| c.is_ascii_digit())
        && let Some((_, column)) = before.rsplit_once(" column ")
        && column.chars().all(is_name)
    {
        return format!(" for column {column}");
    }
    String::new()
}

/// What Diesel reports while it connects. A server that cannot be reached, that is full, or that refuses
/// the password: there is no connection to be had.
pub(super) fn of_connecting(dialect: Dialect, error: ConnectionError) -> Error {
    match error {
        ConnectionError::BadConnection(message) => {
            let message = message.trim_end().to_owned();
            let failure = match known(dialect, &message) {
                Some((_, failure @ (Failure::Schema | Failure::ReadOnly))) => *failure,
                _ => Failure::Connection,
            };
            Error::new(failure, message)
        }
        ConnectionError::CouldntSetupConfiguration(error) => of_statement(dialect, error).error,
        // The URL is in neither: it may carry a password.
        _ => Error::new(Failure::Other, "the database's address is malformed"),
    }
}

fn of_kind(kind: DatabaseErrorKind) -> Option<Failure> {
    Some(match kind {
        DatabaseErrorKind::UniqueViolation => Failure::Unique,
        DatabaseErrorKind::ForeignKeyViolation | DatabaseErrorKind::RestrictViolation => Failure::ForeignKey,
        DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::CheckViolation
        | DatabaseErrorKind::ExclusionViolation => Failure::Constraint,
        DatabaseErrorKind::SerializationFailure => Failure::Retry,
        DatabaseErrorKind::ReadOnlyTransaction => Failure::ReadOnly,
        DatabaseErrorKind::ClosedConnection => Failure::Connection,
        _ => return None,
    })
}

/// What is known of a message.
fn known(dialect: Dialect, message: &str) -> Option<&'static (Pattern, Failure)> {
    let known = match dialect {
        Dialect::Mysql => MYSQL,
        Dialect::Postgres => POSTGRES,
        Dialect::Sqlite => SQLITE,
    };
    known.iter().find(|(pattern, _)| pattern.matches(message))
}

enum Pattern {
    /// The message begins so.
    Begins(&'static str),
    /// It begins with the first and the second stands somewhere after.
    Then(&'static str, &'static str),
    /// It stands anywhere: only for what no message before it in the list could quote.
    Within(&'static str),
}

use Pattern::{Begins, Then, Within};

impl Pattern {
    fn matches(&self, message: &str) -> bool {
        match self {
            Begins(start) => message.starts_with(start),
            Then(start, rest) => message.strip_prefix(start).is_some_and(|tail| tail.contains(rest)),
            Within(part) => message.contains(part),
        }
    }

    /// What of it is the database's own.
    fn text(&self) -> String {
        match self {
            Begins(text) => format!("{}...", text.trim()),
            Then(text, more) => format!("{}... {}", text.trim(), more.trim()),
            Within(text) => format!("... {}...", text.trim()),
        }
    }
}

/// MySQL's and MariaDB's, with their numbers.
const MYSQL: &[(Pattern, Failure)] = &[
    (Begins("Duplicate entry "), Failure::Unique), // 1062, where a COMMIT reports it
    (Begins("Cannot add or update a child row"), Failure::ForeignKey), // 1452
    (Begins("Cannot delete or update a parent row"), Failure::ForeignKey), // 1451
    (Then("CONSTRAINT ", " failed for "), Failure::Constraint), // 4025, MariaDB
    (Begins("Check constraint "), Failure::Constraint), // 3819
    (Then("Column ", " cannot be null"), Failure::Constraint), // 1048
    (Then("Field ", " doesn't have a default value"), Failure::Constraint), // 1364
    (Begins("Data too long for column"), Failure::Value), // 1406
    (Begins("Out of range value"), Failure::Value), // 1264
    (Begins("Incorrect "), Failure::Value),        // 1292, 1366
    (Begins("Truncated incorrect"), Failure::Value), // 1292
    (Begins("Data truncated for column"), Failure::Value), // 1265
    (Begins("Invalid JSON text"), Failure::Value), // 3140
    (Begins("Cannot convert "), Failure::Value),   // 3854, 3988
    (Begins("Invalid utf8"), Failure::Value),      // 1300
    (Within(" value is out of range in "), Failure::Value), // 1690
    (Begins("Deadlock found"), Failure::Retry),    // 1213
    (Begins("Record has changed since last read"), Failure::Retry), // 1020, MariaDB 11
    (Begins("Prepared statement needs to be re-prepared"), Failure::Retry), // 1615
    (Begins("WSREP detected deadlock"), Failure::Retry), // 1213, Galera
    (Begins("Lock wait timeout exceeded"), Failure::Timeout), // 1205
    (Begins("Statement aborted because lock(s) could not be acquired"), Failure::Timeout), // 3572
    (Begins("Query execution was interrupted"), Failure::Timeout), // 1317, 1969, 3024
    (Begins("Unknown column "), Failure::Schema),  // 1054
    (Begins("Unknown database "), Failure::Schema), // 1049
    (Begins("Unknown table "), Failure::Schema),   // 1109
    (Then("Table ", " doesn't exist"), Failure::Schema), // 1146
    (Then("View ", "references invalid"), Failure::Schema), // 1356
    (Then("Access denied for user ", " to database "), Failure::Privilege), // 1044
    (Begins("Access denied; "), Failure::Privilege), // 1227
    (Within(" command denied to user "), Failure::Privilege), // 1142, 1143, 1370
    (Then("The M", "running with the --"), Failure::ReadOnly), // 1290
    (Begins("Running in read-only mode"), Failure::ReadOnly), // 1836
    (Begins("Cannot execute statement in a READ ONLY transaction"), Failure::ReadOnly), // 1792
    (Within("erver has gone away"), Failure::Connection), // 2006
    (Begins("Lost connection to "), Failure::Connection), // 2013, 2055
    (Begins("Can't connect to "), Failure::Connection), // 2002, 2003
    (Begins("Connection was killed"), Failure::Connection), // 1927
    (Begins("Server shutdown in progress"), Failure::Connection), // 1053
    (Begins("Commands out of sync"), Failure::Connection), // 2014
    (Begins("WSREP has not yet prepared node"), Failure::Connection), // 1047, Galera
    (Begins("Error while appending streaming replication fragment"), Failure::Connection), // 4183, Galera
    (Begins("Too many connections"), Failure::Connection), // 1040
    (Then("User ", "max_user_connections"), Failure::Connection), // 1203
    // Closing this connection frees its statements.
    (Begins("Can't create more than max_prepared_stmt_count"), Failure::Connection), // 1461
    (Begins("The client was disconnected by the server because of inactivity"), Failure::Connection), // 4031
    // What is the server's own trouble, and not what a trigger of the application says.
    (Begins("This command is not supported in the prepared statement protocol"), Failure::Other), // 1295
    (Then("The table ", " is full"), Failure::Other),                                             // 1114
    (Then("Table ", " is read only"), Failure::Other),                                            // 1036
    (Then("Table ", " is marked as crashed"), Failure::Other),                                    // 145, 194, 1194
    (Then("Table ", " was not locked with LOCK TABLES"), Failure::Other),                         // 1100
    (Begins("Table has no partition for value"), Failure::Value),                                 // 1526
    (Begins("The total number of locks exceeds"), Failure::Other),                                // 1206
    (Begins("The user specified as a definer"), Failure::Other),                                  // 1449
    (Begins("The value specified for generated column"), Failure::Other),                         // 1906, 3105
    (Begins("Plugin instructed the server to rollback"), Failure::Retry), // 3101, group replication
    (Begins("Table definition has changed"), Failure::Retry),             // 1412
    (Begins("Multi-statement transaction required more than"), Failure::Other), // 1197
    (Begins("Binary logging not possible"), Failure::Other),              // 1598
    (Begins("Index "), Failure::Other),                                   // 1712
    (Begins("Got an "), Failure::Other),                                  // 1158, 1160
    (Begins("Got timeout "), Failure::Other),                             // 1159, 1161
    (Begins("Got packets "), Failure::Other),                             // 1156
    (Begins("Malformed "), Failure::Other),                               // 1835
    (Begins("Max connect timeout reached"), Failure::Connection),         // ProxySQL
    (Begins("Got error "), Failure::Other),                               // 1030, 1296
    (Begins("Got a packet bigger than"), Failure::Other),                 // 1153
    (Begins("Got temporary error"), Failure::Retry),                      // 1297
    (Begins("Out of memory"), Failure::Other),                            // 1037, 1041
    (Begins("Out of sort memory"), Failure::Other),                       // 1038
    (Begins("Disk full"), Failure::Other),                                // 1021
    (Begins("Disk got full"), Failure::Other),                            // 1021, MariaDB 11
    (Begins("Error writing file"), Failure::Other),                       // 1026
    (Begins("Error reading file"), Failure::Other),                       // 1024
    (Begins("Error on "), Failure::Other),                                // 1023
    (Begins("Unexpected "), Failure::Other),                              // 1039
    (Begins("Can't "), Failure::Other),                                   // 1016, 1017, 1020, 1442
    (Begins("Cannot "), Failure::Other),                                  // 1476
    (Begins("Row size too large"), Failure::Other),                       // 1118
    (Begins("Thread stack overrun"), Failure::Other),                     // 1436
    (Begins("Recursive "), Failure::Other),                               // 1424, 1456
    (Begins("Illegal mix of collations"), Failure::Other),                // 1267
    (Begins("You have an error in your SQL syntax"), Failure::Other),     // 1064
    (Begins("Result consisted of more than one row"), Failure::Other),    // 1172
    (Begins("Subquery returns more than 1 row"), Failure::Other),         // 1242
    (Begins("Operand should contain"), Failure::Other),                   // 1241
    (Begins("Column count doesn't match"), Failure::Other),               // 1136
    (Then("FUNCTION ", " does not exist"), Failure::Other),               // 1305
    (Then("PROCEDURE ", " does not exist"), Failure::Other),              // 1305
    (Begins("Internal error"), Failure::Other),                           // 1815
    (Begins("InnoDB"), Failure::Other),                                   // 1713
    (Begins("Tablespace "), Failure::Other),                              // 1813, 1814
    (Begins("Undo Log error"), Failure::Other),                           // 1713
    (Begins("Too many "), Failure::Other),                                // 1117, 1637
    (Begins("Too big "), Failure::Other),                                 // 1713
    (Begins("Maximum "), Failure::Other),                                 // 1971
    (Begins("WSREP "), Failure::Connection),                              // 1047, 1180
    (Begins("Failed to read auto-increment value"), Failure::Other),      // 1467
    (Begins("Unknown "), Failure::Other),                                 // 1105 and others
];

/// PostgreSQL's, with their SQLSTATEs.
const POSTGRES: &[(Pattern, Failure)] = &[
    (Begins("deadlock detected"), Failure::Retry),          // 40P01
    (Begins("could not serialize access"), Failure::Retry), // 40001
    (Begins("canceling statement due to conflict with recovery"), Failure::Retry), // 40001
    (Begins("tuple concurrently "), Failure::Retry),        // XX000
    (Begins("canceling statement due to"), Failure::Timeout), // 55P03, 57014
    (Begins("could not obtain lock on"), Failure::Timeout), // 55P03
    (Begins("value too long for type"), Failure::Value),    // 22001
    (Begins("invalid input "), Failure::Value),             // 22P02
    (Begins("invalid byte sequence"), Failure::Value),      // 22021
    (Then("character with byte sequence ", " has no equivalent"), Failure::Value), // 22P05
    (Begins("unsupported Unicode escape"), Failure::Value), // 22P05
    (Begins("numeric field overflow"), Failure::Value),     // 22003
    (Begins("date/time field value out of range"), Failure::Value), // 22008
    (Begins("malformed "), Failure::Value),                 // 22P02
    (Begins("bit string "), Failure::Value),                // 22026
    (Begins("value for domain "), Failure::Constraint),     // 23514
    (Within(" is out of range for type "), Failure::Value), // 22003
    (Within(" out of range"), Failure::Value),              // 22003, 22008
    (Then("relation ", " does not exist"), Failure::Schema), // 42P01
    (Then("column ", " does not exist"), Failure::Schema),  // 42703
    (Then("schema ", " does not exist"), Failure::Schema),  // 3F000
    (Then("type ", " does not exist"), Failure::Schema),    // 42704
    (Then("database ", " does not exist"), Failure::Schema), // 3D000
    (Begins("missing FROM-clause entry"), Failure::Schema), // 42P01
    // A column was added or changed under a prepared statement.
    (Begins("cached plan must not change result type"), Failure::Schema), // 0A000
    (Begins("permission denied"), Failure::Privilege),                    // 42501
    (Begins("must be owner of"), Failure::Privilege),                     // 42501
    (Begins("new row violates row-level security"), Failure::Privilege),  // 42501
    (Then("cannot execute ", " in a read-only transaction"), Failure::ReadOnly), // 25006
    (Then("cannot execute ", " during recovery"), Failure::ReadOnly),     // 25006
    (Begins("terminating connection due to"), Failure::Connection),       // 57P01, 57P05, 25P03
    (Begins("the database system is "), Failure::Connection),             // 57P03
    (Begins("server closed the connection"), Failure::Connection),
    (Begins("no connection to the server"), Failure::Connection),
    (Begins("could not receive data from server"), Failure::Connection),
    (Begins("could not send data to server"), Failure::Connection),
    (Begins("SSL connection has been closed"), Failure::Connection),
    (Begins("SSL SYSCALL error"), Failure::Connection),
    (Begins("connection to server "), Failure::Connection),
    (Begins("another command is already in progress"), Failure::Connection),
    (Begins("duplicate key value violates unique constraint"), Failure::Unique), // 23505
    (Then("insert or update on table ", " violates foreign key"), Failure::ForeignKey), // 23503
    (Then("update or delete on table ", " violates "), Failure::ForeignKey),     // 23503, 23001
    (Then("null value in column ", " violates not-null constraint"), Failure::Constraint), // 23502
    (Then("new row for relation ", " violates check constraint"), Failure::Constraint), // 23514
    (Begins("conflicting key value violates exclusion constraint"), Failure::Constraint), // 23P01
    // What is the server's own trouble, and not what a function of the application says.
    (Begins("tuple to be locked was already moved"), Failure::Retry), // 40001
    (Begins("database is not accepting commands"), Failure::Other),   // 54000
    (Begins("failed to "), Failure::Other),                           // XX000
    (Begins("index \""), Failure::Other),                             // XX002
    (Then("column ", "can only be updated to DEFAULT"), Failure::Other), // 428C9
    (Begins("query_wait_timeout"), Failure::Connection),              // PgBouncer
    (Begins("server login has been failing"), Failure::Connection),   // PgBouncer
    (Begins("pgbouncer cannot connect to server"), Failure::Connection),
    (Begins("server conn crashed"), Failure::Connection), // PgBouncer
    (Begins("out of memory"), Failure::Other),            // 53200
    (Begins("out of shared memory"), Failure::Other),     // 53200
    (Begins("could not "), Failure::Other),               // classes 53, 58, XX
    (Begins("cannot "), Failure::Other),                  // 0A000, 55000
    (Begins("invalid page in block "), Failure::Other),   // XX001
    (Begins("cache lookup failed for "), Failure::Other), // XX000
    (Begins("missing chunk number "), Failure::Other),    // XX001
    (Begins("unexpected chunk number "), Failure::Other), // XX001
    (Begins("stack depth limit exceeded"), Failure::Other), // 54001
    (Begins("index row size "), Failure::Other),          // 54000
    (Begins("row is too big"), Failure::Other),           // 54000
    (Begins("temporary file size exceeds"), Failure::Other), // 53400
    (Begins("invalid memory alloc request size"), Failure::Other), // XX000
    (Begins("current transaction is aborted"), Failure::Other), // 25P02
    (Begins("operator does not exist"), Failure::Other),  // 42883
    (Then("function ", " does not exist"), Failure::Other), // 42883
    (Then("record ", " has no field "), Failure::Other),  // 42703
    (Begins("prepared statement "), Failure::Other),      // 26000
    (Begins("bind message "), Failure::Other),            // 08P01
    (Begins("nextval: reached "), Failure::Other),        // 2200H
];

/// SQLite's.
const SQLITE: &[(Pattern, Failure)] = &[
    (Begins("database is locked"), Failure::Retry),
    (Begins("database table is locked"), Failure::Retry),
    (Begins("database schema is locked"), Failure::Retry),
    (Begins("cannot start a transaction within a transaction"), Failure::Connection),
    (Begins("no such table"), Failure::Schema),
    (Begins("no such column"), Failure::Schema),
    (Then("table ", " has no column named"), Failure::Schema),
    (Begins("database schema has changed"), Failure::Retry),
    (Begins("attempt to write a readonly database"), Failure::ReadOnly),
    (Begins("datatype mismatch"), Failure::Value),
    (Begins("string or blob too big"), Failure::Value),
    (Then("cannot store ", " value in "), Failure::Value),
    (Begins("malformed JSON"), Failure::Value),
    (Begins("constraint failed"), Failure::Constraint),
    (Then("cannot INSERT into ", "generated column"), Failure::Other),
    (Then("cannot UPDATE ", "generated column"), Failure::Other),
    (Begins("not authorized"), Failure::Privilege),
    (Begins("interrupted"), Failure::Timeout),
    (Begins("unable to open database file"), Failure::Connection),
    (Begins("disk I/O error"), Failure::Connection),
    (Begins("file is not a database"), Failure::Connection),
    (Begins("database disk image is malformed"), Failure::Connection),
    (Within("database or disk is full"), Failure::Connection),
    (Begins("UNIQUE constraint failed"), Failure::Unique),
    (Begins("FOREIGN KEY constraint failed"), Failure::ForeignKey),
    (Begins("NOT NULL constraint failed"), Failure::Constraint),
    (Begins("CHECK constraint failed"), Failure::Constraint),
    // What is SQLite's own, and not what a trigger says.
    (Begins("out of memory"), Failure::Other),
    (Begins("SQL logic error"), Failure::Other),
    (Begins("bad parameter or other API misuse"), Failure::Other),
    (Begins("column index out of range"), Failure::Other),
    (Begins("no such "), Failure::Other),
    (Begins("near "), Failure::Other),
    (Begins("too many "), Failure::Other),
    (Begins("unable to "), Failure::Other),
    (Begins("locking protocol"), Failure::Other),
    (Begins("integer overflow"), Failure::Other),
    (Begins("cannot commit"), Failure::Other),
    (Begins("cannot rollback"), Failure::Other),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_recognised_by_how_they_begin() {
        for (dialect, message, failure) in [
            (Dialect::Mysql, "Table 'app.gone' doesn't exist", Failure::Schema),
            (Dialect::Mysql, "SELECT command denied to user 'x'@'y' for table `a`.`b`", Failure::Privilege),
            (Dialect::Mysql, "MySQL server has gone away", Failure::Connection),
            (Dialect::Mysql, "Server has gone away", Failure::Connection),
            (
                Dialect::Mysql,
                "The MariaDB server is running with the --read-only option so it cannot execute this statement",
                Failure::ReadOnly,
            ),
            (Dialect::Mysql, "Duplicate entry 'Deadlock found' for key 'name'", Failure::Unique),
            (Dialect::Postgres, "integer out of range", Failure::Value),
            (Dialect::Postgres, "column t0.gone does not exist", Failure::Schema),
            (Dialect::Postgres, "syntax error at or near \"deadlock detected\"", Failure::Other),
            (Dialect::Sqlite, "no such table: gone", Failure::Schema),
        ] {
            let found = known(dialect, message).map_or(Failure::Other, |(_, failure)| *failure);
            assert_eq!(found, failure, "{message}");
        }
    }

    /// A complaint about a value says where, not what.
    #[test]
    fn values_are_not_told() {
        let complaint = |dialect, kind, words: &str| {
            let error = Diesel::DatabaseError(kind, Box::new(words.to_owned()));
            of_statement(dialect, error)
        };
        let unknown = || DatabaseErrorKind::Unknown;
        for (dialect, kind, words, told) in [
            (
                Dialect::Mysql,
                DatabaseErrorKind::UniqueViolation,
                "Duplicate entry 'john' for key doe@example.org' for key 'people.mail'",
                "Duplicate entry... for key 'people.mail'",
            ),
            (Dialect::Mysql, DatabaseErrorKind::UniqueViolation, "john is taken", "a constraint does not hold"),
            (
                Dialect::Mysql,
                unknown(),
                "Incorrect string value: '\\xF0john' for column `app`.`people`.`mail` at row 1",
                "Incorrect... for column `app`.`people`.`mail`",
            ),
            (Dialect::Mysql, unknown(), "Incorrect integer value: 'a column john at row 1'", "Incorrect..."),
            (
                Dialect::Mysql,
                DatabaseErrorKind::ForeignKeyViolation,
                "Cannot add or update a child row: a foreign key constraint fails (`a`.`b`, CONSTRAINT `c`)",
                "Cannot add or update a child row: a foreign key constraint fails (`a`.`b`, CONSTRAINT `c`)",
            ),
            (Dialect::Mysql, unknown(), "no licence left for john", "an error that is not known here"),
            (Dialect::Postgres, unknown(), "invalid input syntax for type integer: \"john\"", "invalid input..."),
            (
                Dialect::Postgres,
                DatabaseErrorKind::UniqueViolation,
                "duplicate key value violates unique constraint \"people_mail\"",
                "duplicate key value violates unique constraint \"people_mail\"",
            ),
            (Dialect::Postgres, DatabaseErrorKind::CheckViolation, "john is barred", "a constraint does not hold"),
            (
                Dialect::Sqlite,
                DatabaseErrorKind::UniqueViolation,
                "UNIQUE constraint failed: people.mail",
                "UNIQUE constraint failed: people.mail",
            ),
        ] {
            assert_eq!(complaint(dialect, kind, words).error.message, told, "{words}");
        }
        let refused = |words| complaint(Dialect::Postgres, unknown(), words).of_write().failure;
        assert_eq!(refused("no licence left for john"), Failure::Refused);
        assert_eq!(refused("could not extend file \"base/1/2\": No space left on device"), Failure::Other);
        let of_mysql = |words| complaint(Dialect::Mysql, unknown(), words).of_write();
        assert_eq!(of_mysql("no licence left for john").failure, Failure::Refused);
        assert_eq!(of_mysql("Cannot give john a licence").message, "Cannot...");
        let full = of_mysql("The table 'people' is full");
        assert_eq!((full.failure, full.message.as_str()), (Failure::Other, "The table... is full"));
        let syntax = complaint(Dialect::Postgres, unknown(), "no licence left for john");
        assert_eq!(syntax.error.failure, Failure::Other, "a SELECT has no trigger");
    }
}
