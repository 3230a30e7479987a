//! Databases for tests: one fresh and empty for each, on the private servers that `scripts/test-servers` started, or a
//! SQLite file. Dropped with the value.
//!
//! Each has a login of its own, named as the database, so that a server's log tells one test's statements from
//! another's. Rows are read as an outsider reads them, with the server's own client program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use diesel::connection::SimpleConnection;
use diesel::deserialize::{self, FromSql, QueryableByName};
use diesel::row::NamedRow;
use diesel::sql_types::Binary;
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel::{Connection, RunQueryDsl};

/// The three kinds of database that scimshim speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    MariaDb,
    Postgres,
    Sqlite,
}

impl Engine {
    pub const ALL: [Engine; 3] = [Engine::MariaDb, Engine::Postgres, Engine::Sqlite];

    /// The word that names it in URLs, schema files and adapters.
    pub fn word(self) -> &'static str {
        match self {
            Engine::MariaDb => "mysql",
            Engine::Postgres => "postgres",
            Engine::Sqlite => "sqlite",
        }
    }

    /// The small application's schema in this dialect.
    pub fn small_schema(self) -> PathBuf {
        super::file(&format!("tests/schemas/small.{}.sql", self.word()))
    }
}

/// Where a server listens, and whom its administrator is.
#[derive(Debug, Clone)]
pub struct Server {
    pub host: String,
    pub port: u16,
    pub administrator: String,
    /// The file in which it notes every statement it receives.
    pub log: Option<PathBuf>,
}

impl Server {
    /// The one that `scripts/test-servers` started; a test that needs it and finds none fails and says what to do.
    fn running(engine: Engine) -> Server {
        let variable = match engine {
            Engine::MariaDb => "SCIMSHIM_TEST_MYSQL",
            Engine::Postgres => "SCIMSHIM_TEST_POSTGRES",
            Engine::Sqlite => unreachable!("SQLite has no server"),
        };
        let url = std::env::var(variable).unwrap_or_else(|_| {
            panic!(
                "this test needs a {} server and {variable} names none: run `make test`, \
                 or `scripts/test-servers cargo test --profile quick`",
                engine.word()
            )
        });
        let (_, rest) = url.split_once("://").expect("a URL");
        let (administrator, address) = rest.split_once('@').expect("a user in the URL");
        let (host, port) = address.split_once(':').expect("a port in the URL");
        Server {
            host: host.to_owned(),
            port: port.parse().expect("a port number"),
            administrator: administrator.to_owned(),
            log: std::env::var_os(format!("{variable}_LOG")).map(PathBuf::from),
        }
    }
}

/// One row, each column as its text; SQL NULL is `None`.
pub type Row = Vec<Option<String>>;

/// A fresh database, dropped at the end of the test.
pub struct Database {
    pub engine: Engine,
    /// Its name, and its owner's.
    pub name: String,
    /// Who the service logs in as: the owner, unless [`Database::lean`] said otherwise.
    login: String,
    server: Option<Server>,
    folder: Option<tempfile::TempDir>,
}

/// Not a secret: it opens databases that live as long as a test.
const PASSWORD: &str = "only-for-tests";

impl Database {
    /// An empty database on the shared private server, or a new SQLite file.
    pub fn create(engine: Engine) -> Database {
        match engine {
            Engine::Sqlite => Database {
                engine,
                name: fresh_name(),
                login: String::new(),
                server: None,
                folder: Some(tempfile::tempdir().expect("a temporary folder")),
            },
            _ => Database::create_on(engine, Server::running(engine)),
        }
    }

    /// An empty database on the server given.
    pub fn create_on(engine: Engine, server: Server) -> Database {
        let name = fresh_name();
        let database = Database { engine, login: name.clone(), name, server: Some(server), folder: None };
        let name = &database.name;
        match engine {
            Engine::MariaDb => database.administer(&format!(
                "CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
                 CREATE USER {name}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';
                 GRANT ALL ON `{name}`.* TO {name}@'127.0.0.1';
                 GRANT ALL ON `{name}_own`.* TO {name}@'127.0.0.1';"
            )),
            Engine::Postgres => {
                database.administer(&format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'"));
                database.administer(&format!("CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8'"));
            }
            Engine::Sqlite => unreachable!("SQLite has no server"),
        }
        database
    }

    /// The small application, empty, on this engine.
    pub fn small(engine: Engine) -> Database {
        let database = Database::create(engine);
        database.load(&engine.small_schema());
        database
    }

    /// The demonstration's application, in SQLite, as `scimshim demo` leaves it.
    pub fn demo() -> Database {
        let database = Database::create(Engine::Sqlite);
        let output = Command::new(super::service::BINARY)
            .args(["demo", "--data"])
            .arg(database.path().parent().expect("a folder"))
            .args(["--listen", &format!("127.0.0.1:{}", super::service::free_port())])
            .stdin(Stdio::null())
            .output()
            .expect("scimshim runs");
        assert!(output.status.success(), "{}", super::service::describe(&output));
        database
    }

    /// Runs a file of SQL, as the database's own login.
    pub fn load(&self, file: &Path) {
        let sql = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.execute(&sql);
    }

    /// Runs SQL as the database's own login; any error fails the test.
    pub fn execute(&self, sql: &str) {
        match self.engine {
            Engine::Sqlite => {
                self.sqlite().batch_execute(sql).unwrap_or_else(|error| panic!("{error}\nin: {sql}"));
            }
            Engine::MariaDb => {
                run(self.mariadb(true).args(["--init-command=SET FOREIGN_KEY_CHECKS=0", &self.name]), sql)
                    .unwrap_or_else(|error| panic!("{error}"));
            }
            Engine::Postgres => {
                run(&mut self.psql(true, &self.name), sql).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    /// A write in a SQLite file that goes on until what this gives is dropped.
    pub fn hold(&self) -> SqliteConnection {
        let mut connection = self.sqlite();
        connection.batch_execute("BEGIN IMMEDIATE").expect("the file's lock");
        connection
    }

    /// The rows of a SELECT, as the server's administrator reads them. Waits for no lock that a reader would not.
    pub fn rows(&self, select: &str) -> Vec<Row> {
        self.try_rows(select).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The rows of a SELECT, or the client program's complaint (the server may be down on purpose).
    pub fn try_rows(&self, select: &str) -> Result<Vec<Row>, String> {
        match self.engine {
            Engine::Sqlite => {
                let rows: Vec<TextRow> = diesel::sql_query(select)
                    .load(&mut self.sqlite())
                    .map_err(|error| format!("{error}\nin: {select}"))?;
                Ok(rows.into_iter().map(|row| row.0).collect())
            }
            Engine::MariaDb => {
                let text = run(self.mariadb(false).args(["--batch", "--skip-column-names", &self.name]), select)?;
                Ok(text.lines().map(|line| line.split('\t').map(|field| unescape(field, "NULL")).collect()).collect())
            }
            Engine::Postgres => {
                let text = run(&mut self.psql(false, &self.name), &format!("COPY ({select}) TO STDOUT;"))?;
                Ok(text.lines().map(|line| line.split('\t').map(|field| unescape(field, "\\N")).collect()).collect())
            }
        }
    }

    /// PostgreSQL's plan for a statement with `$1`, whatever they stand for.
    pub fn explain(&self, statement: &str) -> String {
        let most = (1..100).take_while(|n| statement.contains(&format!("${n}"))).count();
        let explain = format!(
            "SET plan_cache_mode = force_generic_plan; PREPARE page AS {statement}; EXPLAIN (COSTS OFF) EXECUTE page ({})",
            vec!["NULL"; most].join(", ")
        );
        run(self.psql(false, &self.name).args(["-A", "-t"]), &explain).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The one number that a SELECT answers with.
    pub fn count(&self, select: &str) -> i64 {
        let rows = self.rows(select);
        let field = rows.first().and_then(|row| row.first()).cloned().flatten();
        field.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{select} answered {rows:?}, not a number"))
    }

    /// A table whole, for comparing before and after: ordered by all its columns.
    pub fn table(&self, table: &str) -> Vec<Row> {
        let mut rows = self.rows(&format!("SELECT * FROM {table}"));
        rows.sort();
        rows
    }

    /// What a configuration says to reach it: the keys `database` and, where it is not the default, `own_schema`.
    pub fn configuration(&self) -> String {
        let Some(server) = &self.server else {
            return format!("database:\n  url: sqlite://{}\n", self.path().display());
        };
        let own = match self.engine {
            Engine::MariaDb => format!("own_schema: {}_own\n", self.name),
            _ => String::new(),
        };
        format!(
            "database:\n  url: {}://{}@{}:{}/{}\n  password: ${{env:SCIMSHIM_TEST_PASSWORD}}\n{own}",
            self.engine.word(),
            self.login,
            server.host,
            server.port,
            self.name,
        )
    }

    /// From here on the service logs in as somebody who may do nothing yet; [`Database::administer`] grants.
    pub fn lean(mut self) -> Database {
        self.login = format!("{}_lean", self.name);
        self.administer(&match self.engine {
            Engine::MariaDb => format!("CREATE USER {}@'%' IDENTIFIED BY '{PASSWORD}'", self.login),
            _ => format!("CREATE ROLE {} LOGIN PASSWORD '{PASSWORD}'", self.login),
        });
        self
    }

    /// Who the service logs in as.
    pub fn login(&self) -> &str {
        &self.login
    }

    /// The database URL with its password, for programs that take no configuration (the yardstick of the benchmark).
    pub fn url(&self) -> String {
        match &self.server {
            None => self.path().display().to_string(),
            Some(server) => format!(
                "{}://{name}:{PASSWORD}@{}:{}/{name}",
                self.engine.word(),
                server.host,
                server.port,
                name = self.name
            ),
        }
    }

    /// The environment that [`Database::configuration`] refers to.
    pub fn environment(&self) -> [(&'static str, &'static str); 1] {
        [("SCIMSHIM_TEST_PASSWORD", PASSWORD)]
    }

    /// Where scimshim's own tables live, as a prefix of their names in SQL.
    pub fn own_tables(&self) -> String {
        match self.engine {
            Engine::MariaDb => format!("{}_own.", self.name),
            Engine::Postgres => "scimshim.".to_owned(),
            Engine::Sqlite => "scimshim_".to_owned(),
        }
    }

    /// How many sessions the service's login has open now; always 0 for SQLite.
    pub fn sessions(&self) -> i64 {
        match self.engine {
            Engine::Sqlite => 0,
            Engine::MariaDb => {
                self.count(&format!("SELECT COUNT(*) FROM information_schema.processlist WHERE user = '{}'", self.name))
            }
            Engine::Postgres => {
                self.count(&format!("SELECT COUNT(*) FROM pg_stat_activity WHERE usename = '{}'", self.name))
            }
        }
    }

    /// The log of the statements that the server received, where it has one.
    pub fn log(&self) -> Option<&Path> {
        self.server.as_ref().and_then(|server| server.log.as_deref())
    }

    /// Runs SQL as the server's administrator, in no database of the tests; any error fails the test.
    pub fn administer(&self, sql: &str) {
        match self.engine {
            Engine::MariaDb => run(&mut self.mariadb(false), sql),
            _ => run(&mut self.psql(false, "postgres"), sql),
        }
        .unwrap_or_else(|error| panic!("{error}"));
    }

    /// The same, in this database.
    pub fn administer_here(&self, sql: &str) {
        match self.engine {
            Engine::MariaDb => run(self.mariadb(false).arg(&self.name), sql),
            _ => run(&mut self.psql(false, &self.name), sql),
        }
        .unwrap_or_else(|error| panic!("{error}"));
    }

    fn path(&self) -> PathBuf {
        self.folder.as_ref().expect("a SQLite database has a folder").path().join("application.db")
    }

    fn sqlite(&self) -> SqliteConnection {
        let mut connection =
            SqliteConnection::establish(&self.path().display().to_string()).expect("the SQLite file opens");
        connection.batch_execute("PRAGMA busy_timeout = 10000").expect("a busy timeout");
        connection
    }

    fn mariadb(&self, as_login: bool) -> Command {
        let server = self.server.as_ref().expect("a server");
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--default-character-set=utf8mb4", "--protocol=tcp", "--connect-timeout=5"]);
        command.args(["--host", &server.host, "--port", &server.port.to_string()]);
        if as_login {
            command.args(["--user", &self.name]).arg(format!("--password={PASSWORD}"));
        } else {
            command.args(["--user", &server.administrator]);
        }
        command
    }

    fn psql(&self, as_login: bool, database: &str) -> Command {
        let server = self.server.as_ref().expect("a server");
        let mut command = Command::new("psql");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", &server.host, "-p", &server.port.to_string()]);
        command.args(["-U", if as_login { &self.name } else { &server.administrator }, "-d", database]);
        command.env("PGPASSWORD", PASSWORD).env("PGCLIENTENCODING", "UTF8");
        command
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("SCIMSHIM_TEST_KEEP").is_some() {
            eprintln!("kept for a look: {}", self.url());
            if let Some(folder) = self.folder.take() {
                let _ = folder.keep();
            }
            return;
        }
        // At best: a server that a test has killed takes its databases with it.
        let name = &self.name;
        match self.engine {
            Engine::Sqlite => {}
            Engine::MariaDb => {
                let sql = format!(
                    "DROP DATABASE {name}; DROP DATABASE IF EXISTS {name}_own; DROP USER {name}@'127.0.0.1';
                     DROP USER IF EXISTS {name}_lean@'%'"
                );
                let _ = run(&mut self.mariadb(false), &sql);
            }
            Engine::Postgres => {
                let _ = run(&mut self.psql(false, "postgres"), &format!("DROP DATABASE {name} WITH (FORCE)"));
                let _ = run(&mut self.psql(false, "postgres"), &format!("DROP ROLE {name}"));
                let _ = run(&mut self.psql(false, "postgres"), &format!("DROP ROLE IF EXISTS {name}_lean"));
            }
        }
    }
}

/// A name that no other test of this run, nor an earlier run on the same server, has.
fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs a client program with `sql` on its standard input.
fn run(command: &mut Command, sql: &str) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?}: {error}: run scripts/need test"))?;
    let mut input = child.stdin.take().expect("a pipe");
    let sql_text = sql.to_owned();
    let writer = std::thread::spawn(move || {
        let _ = input.write_all(sql_text.as_bytes());
    });
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let _ = writer.join();
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|error| error.to_string())
    } else {
        let start: String = sql.chars().take(300).collect();
        Err(format!("{}\nin: {start}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// A field of the client programs' tab separated output.
fn unescape(field: &str, null: &str) -> Option<String> {
    if field == null {
        return None;
    }
    let mut text = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('0') => '\0',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    Some(text)
}

/// A row of SQLite's, every column as text.
struct TextRow(Row);

impl QueryableByName<Sqlite> for TextRow {
    fn build<'a>(row: &impl NamedRow<'a, Sqlite>) -> deserialize::Result<Self> {
        let mut fields = Vec::new();
        for index in 0..diesel::row::Row::field_count(row) {
            let field = diesel::row::Row::get(row, index).ok_or("a field")?;
            let value = diesel::row::Field::value(&field);
            let bytes = value.map(<Vec<u8> as FromSql<Binary, Sqlite>>::from_sql).transpose()?;
            fields.push(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        }
        Ok(TextRow(fields))
    }
}
