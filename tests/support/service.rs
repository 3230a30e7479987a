//! The real binary as a service: a folder with a configuration, a certificate authority and a certificate, its own
//! tables set up, a token issued, `scimshim serve` running on free ports until the value is dropped.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::client::{self, Client};
use super::databases::Database;

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_scimshim");

/// What a test may want otherwise.
#[derive(Debug, Clone)]
pub struct Options {
    /// The value of `adapter:`, YAML: a path, or a map with parameters.
    pub adapter: String,
    /// The text of an adapter instead.
    pub written: Option<String>,
    /// The value of `identity_servers:`, YAML flow or an indented block; the token is issued to `test`.
    pub identity_servers: String,
    /// More top-level keys, YAML.
    pub more: String,
    /// More keys under `tls`, YAML.
    pub tls: String,
    /// More of the environment.
    pub environment: Vec<(String, String)>,
}

impl Options {
    /// An adapter of this repository by its path, one bearer client, nothing else said.
    pub fn adapter(path: &str) -> Options {
        Options {
            adapter: super::file(path).display().to_string(),
            written: None,
            // Groups here have thousands of members.
            identity_servers: "{ test: { default: true, authentication: bearer, switches: { patch_answers: auto } } }"
                .to_owned(),
            more: String::new(),
            tls: String::new(),
            environment: Vec::new(),
        }
    }

    /// The small application's adapter.
    pub fn small() -> Options {
        Options::adapter("tests/adapters/small.yaml")
    }

    /// An adapter that a test wrote, else as the small one's.
    pub fn written(adapter: impl Into<String>) -> Options {
        Options { written: Some(adapter.into()), ..Options::small() }
    }

    /// With parameters of the adapter, a YAML flow map.
    pub fn parameters(mut self, parameters: &str) -> Options {
        assert!(self.written.is_none(), "an adapter that a test wrote needs none");
        self.adapter = format!("{{ name: {}, parameters: {parameters} }}", self.adapter);
        self
    }

    /// With more top-level keys.
    pub fn more(mut self, yaml: &str) -> Options {
        self.more.push_str(yaml);
        self.more.push('\n');
        self
    }

    /// With more keys under `tls`.
    pub fn tls(mut self, yaml: &str) -> Options {
        self.tls = yaml.to_owned();
        self
    }

    /// With one more variable of the environment.
    pub fn variable(mut self, name: &str, value: &str) -> Options {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn identity_servers(mut self, yaml: &str) -> Options {
        self.identity_servers = yaml.to_owned();
        self
    }
}

/// What several processes of one service share.
struct Installation {
    folder: tempfile::TempDir,
    /// All of the configuration but where it listens.
    configuration: String,
    environment: Vec<(String, String)>,
    ca: String,
}

/// Resident memory of a process, in KiB.
#[derive(Clone, Copy)]
pub struct Memory {
    /// Now.
    pub now: i64,
    /// The most that it ever was.
    pub most: i64,
}

/// A process of the service.
pub struct Service {
    installation: Arc<Installation>,
    name: String,
    port: u16,
    admin: u16,
    child: Option<Child>,
    token: String,
}

impl Service {
    /// Writes the configuration, sets scimshim's own tables up, issues a token, starts the process, waits till ready.
    pub fn start(database: &Database, options: Options) -> Service {
        let mut service = Service::prepare(database, options);
        let setup = service.run(&["setup", "--apply"]);
        assert!(setup.status.success(), "setup --apply: {}", describe(&setup));
        service.token = service.issue("test");
        service.start_again();
        service
    }

    /// The installation alone: configuration and certificates, nothing run yet.
    pub fn prepare(database: &Database, options: Options) -> Service {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = certificates(folder.path());
        let (port, admin) = (free_port(), free_port());
        let written = folder.path().join("adapter.yaml");
        let adapter = options.written.map_or(options.adapter, |text| {
            std::fs::write(&written, text).expect("the adapter");
            written.display().to_string()
        });
        let configuration = format!(
            "tls: {{ certificate: {folder}/certificate.pem, private_key: {folder}/key.pem, {tls} }}\n\
             public_url: https://localhost:{port}\n\
             {database}\
             adapter: {adapter}\n\
             identity_servers: {servers}\n\
             {more}",
            folder = folder.path().display(),
            tls = options.tls,
            database = database.configuration(),
            servers = options.identity_servers,
            more = options.more,
        );
        let own = database.environment().into_iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let environment = own.chain(options.environment).collect();
        let installation = Arc::new(Installation { folder, configuration, environment, ca });
        let service = Service { installation, name: "one".to_owned(), port, admin, child: None, token: String::new() };
        service.write_configuration();
        service
    }

    /// Another process of the same service on the same database, its own ports, one public URL.
    pub fn second(&self, name: &str) -> Service {
        let (port, admin) = (free_port(), free_port());
        let mut service = Service {
            installation: Arc::clone(&self.installation),
            name: name.to_owned(),
            port,
            admin,
            child: None,
            token: self.token.clone(),
        };
        service.start_again();
        service
    }

    /// The configuration from now on, made of what it was: for the next start or SIGHUP.
    pub fn configure(&mut self, change: impl Fn(&str) -> String) {
        let installation = Arc::get_mut(&mut self.installation).expect("one process alone");
        installation.configuration = change(&installation.configuration);
        self.write_configuration();
    }

    /// Starts the process and waits until it says it is ready.
    pub fn start_again(&mut self) {
        self.spawn();
        let patience = Instant::now() + Duration::from_secs(30);
        while !self.ready() {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                panic!("scimshim serve ended with {status}:\n{}", self.stderr());
            }
            assert!(Instant::now() < patience, "scimshim is not ready after 30 s:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the process and waits for nothing. It ends with the thread that calls this, at the latest.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "the service runs already");
        self.write_configuration();
        let stderr =
            std::fs::OpenOptions::new().create(true).append(true).open(self.stderr_file()).expect("a log file");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", BINARY, "serve", "--config"])
            .arg(self.config())
            .envs(self.installation.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(stderr.try_clone().expect("a handle"))
            .stderr(stderr)
            .spawn()
            .expect("scimshim starts");
        self.child = Some(child);
    }

    /// Whether `/readyz` of the private listener says so.
    pub fn ready(&self) -> bool {
        self.admin("/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }

    /// The whole answer of the private listener to a GET, if it answers.
    pub fn admin(&self, path: &str) -> Option<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.admin));
        let mut socket = TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM; gives the exit status. A service that does not end within 30 s fails the test.
    pub fn stop(&mut self) -> std::process::ExitStatus {
        signal(self.pid(), "TERM");
        self.ended()
    }

    /// Its exit status, once it has ended; within 30 s.
    pub fn ended(&mut self) -> std::process::ExitStatus {
        let child = self.child.as_mut().expect("a running service");
        let patience = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = child.try_wait().expect("a status") {
                self.child = None;
                return status;
            }
            assert!(Instant::now() < patience, "scimshim does not end:\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        signal(self.pid(), "HUP");
    }

    /// The value of one series of `/metrics`, by its whole name with labels; `None` where it is not there.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let metrics = self.admin("/metrics")?;
        metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running service").id()
    }

    /// What the process holds of memory.
    pub fn memory(&self) -> Memory {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process's status");
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            kib.unwrap_or_else(|| panic!("{name} {status}"))
        };
        Memory { now: of("VmRSS:"), most: of("VmHWM:") }
    }

    /// A client of the default identity server with the token issued at the start.
    pub fn client(&self) -> Client {
        self.client_with("/scim/v2", Some(self.token.clone()))
    }

    /// A client at another base path, with another token or none.
    pub fn client_with(&self, base: &str, token: Option<String>) -> Client {
        Client::new(self.address(), client::tls(&self.installation.ca), base, token)
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// A fresh token for an identity server.
    pub fn issue(&self, server: &str) -> String {
        let issued = self.run(&["token", "issue", server]);
        assert!(issued.status.success(), "token issue {server}: {}", describe(&issued));
        let token = String::from_utf8(issued.stdout).expect("a token is text");
        let token = token.strip_suffix('\n').unwrap_or(&token).to_owned();
        assert!(!token.is_empty() && !token.contains(char::is_whitespace), "a token alone on stdout, not {token:?}");
        token
    }

    /// Runs another verb with this configuration.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let (verb, rest) = arguments.split_first().expect("a verb");
        let (sub, rest) = match *verb {
            "token" | "secret" => (rest.first().copied(), rest.get(1..).unwrap_or_default()),
            _ => (None, rest),
        };
        Command::new(BINARY)
            .arg(verb)
            .args(sub)
            .args(rest)
            .arg("--config")
            .arg(self.config())
            .envs(self.installation.environment.iter().cloned())
            .stdin(Stdio::null())
            .output()
            .expect("scimshim runs")
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// `https://localhost:PORT` of this process.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The certificate authority's file, for SSL_CERT_FILE.
    pub fn ca_file(&self) -> PathBuf {
        self.installation.folder.path().join("ca.pem")
    }

    pub fn folder(&self) -> &Path {
        self.installation.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.installation.folder.path().join(format!("{}.yaml", self.name))
    }

    /// What the process has written so far, stdout and stderr.
    pub fn stderr(&self) -> String {
        std::fs::read(self.stderr_file()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until the process has written that (lines are written a moment later) and gives all that it has.
    #[track_caller]
    pub fn said(&self, what: &str) -> String {
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            let log = self.stderr();
            if log.contains(what) {
                return log;
            }
            assert!(Instant::now() < patience, "{what:?} is not in the log: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stderr_file(&self) -> PathBuf {
        self.installation.folder.path().join(format!("{}.log", self.name))
    }

    fn write_configuration(&self) {
        let text = format!(
            "listen: 127.0.0.1:{}\nadmin: {{ listen: 127.0.0.1:{} }}\n{}",
            self.port, self.admin, self.installation.configuration
        );
        std::fs::write(self.config(), text).expect("the configuration is written");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.stderr();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the service's last words ({})", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        self.kill();
    }
}

/// A port of the loopback interface that nobody listens on now, and that nobody will be given: below those that the system
/// gives to outgoing connections, each named once in a process.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 14_000;
    const COUNT: u16 = 16_000;
    let start = u16::try_from(std::process::id() * 61 % u32::from(COUNT)).expect("a small number");
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start + next % COUNT) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
        assert!(next < COUNT, "no port is free");
    }
}

/// Sends a signal by name to one process.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").args(["-s", name, &pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill -s {name} {pid}");
}

/// What a verb answered, for a failure message.
pub fn describe(output: &Output) -> String {
    format!(
        "{}\nstdout: {}\nstderr: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Makes a certificate authority and a server's certificate in `folder`; gives the authority's PEM.
pub fn certificates(folder: &Path) -> String {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name.push(rcgen::DnType::CommonName, "scimshim tests");
    let ca_pem = ca.self_signed(&ca_key).expect("a certificate").pem();
    let issuer = Issuer::new(ca, ca_key);
    let pair = || {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut server = CertificateParams::new(names).expect("parameters");
        server.use_authority_key_identifier_extension = true;
        // As a public authority gives them: scanners frown on more.
        let day = |days: i64| {
            use chrono::Datelike;
            let date = chrono::Utc::now().date_naive() + chrono::Duration::days(days);
            let small = |number: u32| u8::try_from(number).expect("a month or a day");
            rcgen::date_time_ymd(date.year(), small(date.month()), small(date.day()))
        };
        (server.not_before, server.not_after) = (day(-1), day(89));
        (server.signed_by(&key, &issuer).expect("a certificate").pem(), key.serialize_pem())
    };
    let write = |name: &str, text: &str| {
        let file = folder.join(name);
        std::fs::write(&file, text).expect("a file");
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its mode");
    };
    write("ca.pem", &ca_pem);
    // The one in use, and one to take its place.
    for name in ["", "next-"] {
        let (certificate, key) = pair();
        write(&format!("{name}certificate.pem"), &certificate);
        write(&format!("{name}key.pem"), &key);
    }
    ca_pem
}
