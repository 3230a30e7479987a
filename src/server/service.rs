//! The service as a whole: starting, becoming ready, reloading, stopping.

use super::admin::Admin;
use super::assemble::{Assembler, Trouble};
use super::journal::{self, Queue};
use super::listener::{self, Listener, Peer, Serve, Settings};
use super::metrics;
use super::notify;
use super::outgoing::Outgoing;
use super::proxy::Proxy;
use super::state::{App, Ready};
use super::stock::Received;
use super::telemetry;
use super::tls::{self, Tls};
use super::watch::{Noted, Patience};
use crate::config::{self, Config, IdentityServer};
use crate::document::Findings;
use crate::identity::Memory;
use crate::sql::Failure;
use arc_swap::ArcSwap;
use hyper::{Request, Response};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How long the listeners wait for a slow database before they open and answer 503.
const FIRST_ATTEMPT: Duration = Duration::from_secs(2);
/// A fresh look at the catalogue is not had more often than this.
const LOOKS_APART: Duration = Duration::from_secs(5);
/// How often certificates are looked at and metrics tidied.
const UPKEEP: Duration = Duration::from_secs(5);
const CERTIFICATES: Duration = Duration::from_secs(60);
/// What the end may take after the requests: the last of the journal, of log and traces, and the runtime.
const AFTER_GRACE: Duration = Duration::from_secs(15);
/// How long a configuration may take to be read, with a look at its database: less than systemd waits.
const READING: Duration = Duration::from_secs(60);
/// Where nobody watches.
const NEVER: Duration = Duration::from_secs(86_400);

/// Why a service did not start, or ended by itself.
#[derive(Debug)]
pub enum Failed {
    /// The configuration or the adapter is wrong.
    Findings(Findings),
    /// Something else; for people.
    Message(String),
}

/// What requests are served from now. A reload replaces all of it in one step.
pub struct Service {
    app: ArcSwap<App>,
    stopping: AtomicBool,
}

impl Service {
    /// The configuration in force and its state.
    pub fn app(&self) -> Arc<App> {
        self.app.load_full()
    }

    /// Whether the service is about to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }
}

impl Serve for Service {
    async fn serve(&self, peer: Peer, request: Request<Noted<Received>>) -> Response<Outgoing> {
        self.app().respond(peer, request).await
    }
}

/// A service that listens.
pub struct Running {
    /// Where, in the configuration's order; ports are known where 0 was asked for.
    pub addresses: Vec<SocketAddr>,
    /// Where the private listener is.
    pub admin: SocketAddr,
    service: Arc<Service>,
    memory: Arc<Memory>,
    queue: Arc<Queue>,
    tls: Option<Arc<Tls>>,
    /// Where the certificate is that is served.
    tls_settings: Option<config::Tls>,
    /// The configuration at the start, by which what is not reloaded goes on.
    started: Arc<Config>,
    settings: Arc<ArcSwap<Settings>>,
    stop: watch::Sender<bool>,
    /// The private listener's, which says until the end how the service is.
    stop_private: watch::Sender<bool>,
    listeners: JoinHandle<()>,
    supervisor: JoinHandle<()>,
    pruner: JoinHandle<()>,
    failed_sender: mpsc::Sender<Failed>,
    failed: mpsc::Receiver<Failed>,
}

/// Binds, looks at the database, and serves. Returns once requests are answered, be it with 503 because
/// the database is down.
pub async fn start(config: Config) -> Result<Running, Failed> {
    let config = Arc::new(config);
    telemetry::attach();
    let recorder = metrics::start();
    metrics::known_to_be(&config);
    let tls = match &config.tls {
        Some(tls) => Some(Tls::load(tls, nobody_without_certificate(&config)).map_err(Failed::Message)?),
        None => None,
    };
    let assembler = Assembler::new(&config).map_err(Failed::from)?;
    let memory = Arc::clone(assembler.memory());
    let listeners = bind(&config, tls.as_ref())?;
    let private =
        Listener::bind(config.admin.listen, None).map_err(|error| cannot_listen(config.admin.listen, &error))?;
    let addresses = listeners.iter().filter_map(|listener| listener.address().ok()).collect();
    let admin = private.address().map_err(|error| cannot_listen(config.admin.listen, &error))?;

    let (queue, waiting) = Queue::new();
    let proxy = proxy(&config, None).map_err(Failed::Message)?;
    let app = App::new(Arc::clone(&config), proxy, Arc::clone(&queue));
    let service = Arc::new(Service { app: ArcSwap::new(Arc::clone(&app)), stopping: AtomicBool::new(false) });
    tokio::spawn(journal::keep(Arc::clone(&service), waiting));
    let pruner = tokio::spawn(journal::prune(Arc::clone(&service)));
    let (failed_sender, mut failed) = mpsc::channel(1);
    let (looked, first) = oneshot::channel();
    let supervisor = tokio::spawn(supervise(app, assembler, Some(looked), failed_sender.clone()));
    let _ = tokio::time::timeout(FIRST_ATTEMPT, first).await;
    if let Ok(failure) = failed.try_recv() {
        return Err(failure);
    }

    let (stop, stopped) = watch::channel(false);
    let settings = Arc::new(ArcSwap::from_pointee(settings_of(&config)));
    let public = listener::serve(listeners, Arc::clone(&service), Arc::clone(&settings), stopped);
    let about = Arc::new(Admin::new(Arc::clone(&service), recorder.clone()));
    let private_settings =
        Settings { connections: 64, connections_per_address: 64, grace: Duration::ZERO, ..settings_of(&config) };
    let private_settings = Arc::new(ArcSwap::from_pointee(private_settings));
    let (stop_private, private_stopped) = watch::channel(false);
    tokio::spawn(listener::serve(vec![private], about, private_settings, private_stopped));
    if let Some(recorder) = recorder {
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                recorder.run_upkeep();
            }
        });
    }
    let listeners = tokio::spawn(public);
    metrics::reloaded();
    Ok(Running {
        addresses,
        admin,
        service,
        memory,
        queue,
        tls,
        tls_settings: config.tls.clone(),
        started: config,
        settings,
        stop,
        stop_private,
        listeners,
        supervisor,
        pruner,
        failed_sender,
        failed,
    })
}

/// The way to the upstream; that of before where nothing of it changed.
fn proxy(config: &Config, before: Option<&Arc<Proxy>>) -> Result<Option<Arc<Proxy>>, String> {
    let Some(upstream) = &config.upstream else { return Ok(None) };
    if let Some(before) = before.filter(|before| before.is_of(upstream)) {
        return Ok(Some(Arc::clone(before)));
    }
    let unusable = |why| format!("the upstream {} cannot be used: {why}", upstream.name());
    Proxy::new(upstream).map(Some).map_err(unusable)
}

fn bind(config: &Config, tls: Option<&Arc<Tls>>) -> Result<Vec<Listener>, Failed> {
    let bind =
        |address: &SocketAddr| Listener::bind(*address, tls.cloned()).map_err(|error| cannot_listen(*address, &error));
    config.listen.iter().map(bind).collect()
}

/// Whether every identity server needs a client certificate: then TLS itself refuses those who have none. Not where people
/// come with browsers, to an authorization page or to the application behind `upstream`: their certificates would be nobody's
/// business.
fn nobody_without_certificate(config: &Config) -> bool {
    let needs = |server: &IdentityServer| server.client_certificate.is_some() && server.authentication.oauth2.is_none();
    config.upstream.is_none() && config.identity_servers.iter().all(needs)
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failed {
    Failed::Message(format!("cannot listen on {address}: {error}"))
}

fn settings_of(config: &Config) -> Settings {
    let limits = &config.limits;
    Settings {
        handshake: limits.handshake,
        patience: Patience { headers: limits.headers, idle: limits.idle },
        header_bytes: limits.header_bytes,
        connections: limits.connections,
        connections_per_address: limits.connections_per_address,
        trusted_proxies: config.trusted_proxies.clone(),
        grace: limits.request_timeout,
    }
}

/// Makes the service ready, if it is not yet, and again whenever something says that the application may have changed. A
/// database that is down is waited for; an adapter that is wrong ends a service that was never ready,
/// and takes one that was ready out of service until it fits again.
async fn supervise(
    app: Arc<App>,
    assembler: Assembler,
    mut looked: Option<oneshot::Sender<()>>,
    failed: mpsc::Sender<Failed>,
) {
    let assembler = Arc::new(assembler);
    let mut patience = Duration::from_millis(250);
    let mut was_ready = app.ready().is_some();
    let mut said = String::new();
    if was_ready {
        asked_again(&app).await;
    }
    loop {
        let work = Arc::clone(&assembler);
        let outcome = tokio::task::spawn_blocking(move || work.begin()).await;
        match outcome {
            Ok(Ok(ready)) => {
                app.set_ready(ready);
                tracing::info!("ready");
                notify::status("ready");
                (was_ready, patience) = (true, Duration::from_millis(250));
                said.clear();
                let _ = looked.take().map(|looked| looked.send(()));
                asked_again(&app).await;
                continue;
            }
            // By requests, which are served.
            Ok(Err(Trouble::Database(error))) if was_ready && error.failure == Failure::Exhausted => {}
            Ok(Err(Trouble::Database(error))) => {
                let why = format!("the database cannot be used: {error}");
                if !was_ready {
                    app.set_not_ready(why.clone());
                }
                if is_news(&mut said, &why) {
                    tracing::warn!(why, "not ready");
                }
            }
            Ok(Err(trouble)) if !was_ready => {
                let _ = failed.send(trouble.into()).await;
                let _ = looked.take().map(|looked| looked.send(()));
                return;
            }
            Ok(Err(trouble)) => {
                let why = format!("the application's tables are no longer those of the adapter:\n{trouble}");
                app.set_not_ready(why.clone());
                if is_news(&mut said, &why) {
                    tracing::error!(why, "not ready");
                }
                patience = Duration::from_secs(5);
            }
            Err(panic) => tracing::error!(%panic, "preparing the service failed"),
        }
        let _ = looked.take().map(|looked| looked.send(()));
        tokio::time::sleep(patience).await;
        patience = (patience * 2).min(Duration::from_secs(5));
    }
}

async fn asked_again(app: &App) {
    tokio::time::sleep(LOOKS_APART).await;
    app.asked_to_look_again().await;
}

/// Tells systemd why the service is not ready, once; whether it is told now.
fn is_news(said: &mut String, why: &str) -> bool {
    if said == why {
        return false;
    }
    notify::status(&format!("not ready: {why}"));
    why.clone_into(said);
    true
}

/// A configuration that was read again and fits, with all that belongs to it.
struct Read {
    config: Config,
    assembler: Assembler,
    ready: Ready,
    certificate: Option<tls::Prepared>,
}

/// One that is being read, or why it cannot be used.
type Reading = JoinHandle<Result<Option<Read>, String>>;

/// Waits for what is being read and should be by then, for ever where nothing is. A database that hangs is not waited for: the
/// thread that asks it stays behind, and whatever it finds is nobody's any more.
async fn ended<T>(reading: &mut Option<(JoinHandle<T>, Instant)>) -> Result<T, String> {
    match reading {
        Some((reading, until)) => match tokio::time::timeout_at(*until, reading).await {
            Ok(read) => read.map_err(|panic| panic.to_string()),
            Err(_) => Err(format!("the database was not looked at within {READING:?}: it does not answer")),
        },
        None => std::future::pending().await,
    }
}

impl Running {
    /// Serves until SIGTERM or SIGINT; a second one ends the process at once. SIGHUP reads the
    /// configuration at `path` again.
    pub async fn until_stopped(mut self, path: Option<PathBuf>) -> Result<(), Failed> {
        let cannot = |error: std::io::Error| Failed::Message(format!("signals cannot be received: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut hang_up = signal(SignalKind::hangup()).map_err(cannot)?;
        let mut certificates = tokio::time::interval(CERTIFICATES);
        certificates.tick().await;
        let watchdog = notify::watchdog();
        let mut alive = tokio::time::interval(watchdog.unwrap_or(NEVER));
        let mut reading = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                failure = self.failed.recv() => {
                    if let Some(failure) = failure {
                        return Err(failure);
                    }
                }
                // One that comes meanwhile is heard afterwards.
                _ = hang_up.recv(), if reading.is_none() => {
                    notify::reloading();
                    reading = Some((self.read_again(path.clone()), Instant::now() + READING));
                }
                read = ended(&mut reading) => {
                    reading = None;
                    let outcome = read.and_then(|read| read).and_then(|read| read.map_or(Ok(()), |read| self.reload(read)));
                    metrics::reload_ended(outcome.is_ok());
                    match outcome {
                        Ok(()) => tracing::info!("reloaded"),
                        Err(why) => {
                            tracing::error!(why, "not reloaded: nothing was changed");
                            notify::status(&format!("serving an older configuration, not reloaded: {why}"));
                        }
                    }
                    notify::ready();
                }
                _ = certificates.tick() => self.reload_certificate(),
                // By way of those who serve: a loop that alone is alive helps nobody.
                _ = alive.tick(), if watchdog.is_some() => {
                    if tokio::spawn(async { tokio::task::yield_now().await }).await.is_ok() {
                        notify::alive();
                    }
                }
            }
        }
        tracing::info!("stopping");
        notify::stopping(self.settings.load().grace + AFTER_GRACE);
        let finished = self.stop();
        tokio::select! {
            () = finished => Ok(()),
            _ = terminate.recv() => Err(Failed::Message("stopped at once, requests were cut off".to_owned())),
            _ = interrupt.recv() => Err(Failed::Message("stopped at once, requests were cut off".to_owned())),
        }
    }

    /// Stops accepting and waits for the requests in flight. Until they have ended, the private listener says so.
    pub async fn stop(self) {
        self.service.stopping.store(true, Relaxed);
        self.supervisor.abort();
        let _ = self.stop.send(true);
        let _ = self.listeners.await;
        self.pruner.abort();
        self.queue.finish().await;
        let _ = self.stop_private.send(true);
    }

    /// Reads certificate, key and the authorities of clients' certificates again.
    fn reload_certificate(&self) {
        if let (Some(tls), Some(settings)) = (&self.tls, &self.tls_settings) {
            let prepared = tls.prepare(settings, nobody_without_certificate(&self.service.app().config));
            if let Err(why) = prepared.and_then(|prepared| tls.replace(prepared)) {
                tracing::error!(why, "the certificate could not be read again; the old one stays");
            }
        }
    }

    /// Reads everything anew, and looks at the database; nothing where there is no file.
    fn read_again(&self, path: Option<PathBuf>) -> Reading {
        let (memory, tls) = (Arc::clone(&self.memory), self.tls.clone());
        let read = move |path: PathBuf| {
            let mut findings = Findings::new();
            let config = config::load(&path, &mut findings).ok_or(Failed::Findings(findings))?;
            let assembler = Assembler::again(&config, memory).map_err(Failed::from)?;
            let ready = assembler.begin().map_err(Failed::from)?;
            let certificate = match (&tls, &config.tls) {
                (Some(tls), Some(settings)) => tls.prepare(settings, nobody_without_certificate(&config)).map(Some),
                _ => Ok(None),
            };
            Ok(Read { config, assembler, ready, certificate: certificate.map_err(Failed::Message)? })
        };
        tokio::task::spawn_blocking(move || path.map(read).transpose().map_err(|failed: Failed| failed.to_string()))
    }

    /// Swaps in one step what was read; on any failure the old stays.
    fn reload(&mut self, read: Read) -> Result<(), String> {
        let Read { config, assembler, ready, certificate } = read;
        let proxy = proxy(&config, self.service.app().proxy.as_ref())?;
        let started = &self.started;
        for (key, same) in [
            ("listen", started.listen == config.listen),
            ("tls", started.tls.is_some() == config.tls.is_some()),
            ("admin", started.admin.listen == config.admin.listen),
            ("log", started.log == config.log),
            // Threads to wait for the database are counted out at the start.
            ("database.pool.max", started.database.pool.max >= config.database.pool.max),
        ] {
            if !same {
                tracing::warn!(key, "this setting is not reloaded; restart the service");
            }
        }
        // Before anybody is served by the new configuration: whom it does not let in any more must not be let in by TLS.
        if let (Some(tls), Some(certificate)) = (&self.tls, certificate) {
            tls.replace(certificate)?;
            self.tls_settings.clone_from(&config.tls);
        }
        self.memory.allow_failures(config.limits.failures_per_minute);
        self.settings.store(Arc::new(settings_of(&config)));
        metrics::known_to_be(&config);
        let app = App::new(Arc::new(config), proxy, Arc::clone(&self.queue));
        app.set_ready(ready);
        self.service.app.store(Arc::clone(&app));
        self.supervisor.abort();
        self.supervisor = tokio::spawn(supervise(app, assembler, None, self.failed_sender.clone()));
        notify::status("ready");
        Ok(())
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failed::Findings(findings) => f.write_str(findings.render(false).trim_end()),
            Failed::Message(message) => f.write_str(message),
        }
    }
}

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Findings(findings) => Failed::Findings(findings),
            Trouble::Database(error) => Failed::Message(format!("the database cannot be used: {error}")),
            Trouble::Setup(message) => Failed::Message(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration that is never read is waited for no longer than that, and the next is read.
    #[tokio::test]
    async fn what_is_being_read_ends() {
        let began = Instant::now();
        let limit = Duration::from_millis(50);
        let mut reading = Some((tokio::spawn(std::future::pending::<()>()), began + limit));
        let why = ended(&mut reading).await.unwrap_err();
        assert!(why.contains("does not answer") && began.elapsed() >= limit, "{why}");
        let mut reading = Some((tokio::spawn(async { 7 }), Instant::now() + READING));
        assert_eq!(ended(&mut reading).await, Ok(7));
    }
}
