//! A MariaDB server of a test's own, to be killed and started again, with its durability on as an administrator has it.
//!
//! It dies with the thread that started it (`setpriv --pdeathsig`), so a killed test leaves none behind.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::databases::Server;

/// A private MariaDB server: a folder, a port, and the process while it runs.
pub struct MariaDbServer {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl MariaDbServer {
    /// A new, empty server, running.
    pub fn start() -> MariaDbServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let output = Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
                "--skip-name-resolve",
            ])
            .arg(format!("--user={}", user()))
            .arg(format!("--datadir={}", folder.path().join("data").display()))
            .arg(format!("--tmpdir={}", folder.path().display()))
            .output()
            .expect("mariadb-install-db runs: scripts/need test installs it");
        assert!(output.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&output.stderr));
        let mut server = MariaDbServer { folder, port: super::service::free_port(), child: None };
        server.start_again();
        let status = server
            .client()
            .args(["-e", "CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY ''; GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION"])
            .status()
            .expect("the client runs");
        assert!(status.success(), "the administrator's login");
        server
    }

    /// Where it listens.
    pub fn server(&self) -> Server {
        Server { host: "127.0.0.1".to_owned(), port: self.port, administrator: "root".to_owned(), log: None }
    }

    /// SIGKILL, in the midst of whatever it does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP: its connections stay, and nothing answers on them.
    pub fn freeze(&self) {
        super::service::signal(self.child.as_ref().expect("a running server").id(), "STOP");
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        super::service::signal(self.child.as_ref().expect("a running server").id(), "CONT");
    }

    /// Starts it on the same data and port; returns when it answers.
    pub fn start_again(&mut self) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("server.log"))
            .expect("a log file");
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", &program()])
            .args([
                "--no-defaults",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--skip-log-bin",
                "--max-connections=300",
            ])
            .arg(format!("--user={}", user()))
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--tmpdir={}", path(".")))
            .arg(format!("--socket={}", path("socket")))
            .arg(format!("--pid-file={}", path("pid")))
            .arg(format!("--port={}", self.port))
            .args(["--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=64M"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("mariadbd starts: scripts/need test installs it");
        self.child = Some(child);
        let patience = Instant::now() + Duration::from_secs(60);
        loop {
            let up = self.client().args(["-e", "SELECT 1"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
            if up.is_ok_and(|status| status.success()) {
                return;
            }
            assert!(
                Instant::now() < patience,
                "MariaDB does not come up:\n{}",
                std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Another server with the same data. This one is shut down and started again for it.
    pub fn copy(&mut self) -> MariaDbServer {
        let shutdown = self.client().args(["-e", "SHUTDOWN"]).status().expect("the client runs");
        assert!(shutdown.success(), "SHUTDOWN");
        if let Some(mut child) = self.child.take() {
            child.wait().expect("an end");
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copied = Command::new("cp").arg("-a").arg(self.folder.path().join("data")).arg(folder.path()).status();
        assert!(copied.is_ok_and(|status| status.success()), "the data is copied");
        let mut copy = MariaDbServer { folder, port: super::service::free_port(), child: None };
        copy.start_again();
        self.start_again();
        copy
    }

    /// Runs SQL as the administrator.
    pub fn administer(&self, sql: &str) {
        let status = self.client().args(["-e", sql]).status().expect("the client runs");
        assert!(status.success(), "{sql}");
    }

    /// Where it listens: host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn client(&self) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--protocol=socket", "--user=root", "--connect-timeout=2"]);
        command.arg(format!("--socket={}", self.folder.path().join("socket").display()));
        command
    }
}

impl Drop for MariaDbServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// `mariadbd` is in /usr/sbin, which an ordinary user's PATH may lack.
fn program() -> String {
    let system = PathBuf::from("/usr/sbin/mariadbd");
    if system.exists() { system.display().to_string() } else { "mariadbd".to_owned() }
}
