//! The service as a whole: starting, becoming ready, reloading, stopping.

use super::admin::Admin;
use super::assemble::{Assembler, Trouble};
use super::journal::{self, Queue};
use super::listener::{self, Listener, Peer, Serve, Settings};
use super::metrics;
use super::notify;
use super::outgoing::Outgoing;
use super::proxy::Proxy;
use super::state::App;
use super::telemetry;
use super::tls::Tls;
use super::watch::{Noted, Patience};
use crate::config::{Config, IdentityServer};
use crate::document::Findings;
use crate::identity::Memory;
use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::{Request, Response};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// How long the listeners wait for a slow database before they open and answer 503.
const FIRST_ATTEMPT: Duration = Duration::from_secs(2);
/// A fresh look at the catalogue is not had more often than this.
const LOOKS_APART: Duration = Duration::from_secs(5);
/// How often certificates are looked at and metrics tidied.
const UPKEEP: Duration = Duration::from_secs(5);
const CERTIFICATES: Duration = Duration::from_secs(60);
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
    async fn serve(&self, peer: Peer, request: Request<Noted<Incoming>>) -> Response<Outgoing> {
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
    settings: Arc<ArcSwap<Settings>>,
    stop: watch::Sender<bool>,
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
    let public = listener::serve(listeners, Arc::clone(&service), Arc::clone(&settings), stopped.clone());
    let about = Arc::new(Admin::new(Arc::clone(&service), recorder.clone()));
    let private_settings =
        Settings { connections: 64, connections_per_address: 64, grace: Duration::ZERO, ..settings_of(&config) };
    let private_settings = Arc::new(ArcSwap::from_pointee(private_settings));
    tokio::spawn(listener::serve(vec![private], about, private_settings, stopped.clone()));
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
        settings,
        stop,
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

/// Whether every identity server needs a client certificate: then TLS itself refuses those who have none. Not where there is
/// an authorization page: whoever consents has a browser, and its certificate would be nobody's business.
fn nobody_without_certificate(config: &Config) -> bool {
    let needs = |server: &IdentityServer| server.client_certificate.is_some() && server.authentication.oauth2.is_none();
    config.identity_servers.iter().all(needs)
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

/// Makes the service ready, and again whenever something says that the application may have changed. A
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
    let mut was_ready = false;
    let mut said = String::new();
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
                tokio::time::sleep(LOOKS_APART).await;
                app.asked_to_look_again().await;
                continue;
            }
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

/// Tells systemd why the service is not ready, once; whether it is told now.
fn is_news(said: &mut String, why: &str) -> bool {
    if said == why {
        return false;
    }
    notify::status(&format!("not ready: {why}"));
    why.clone_into(said);
    true
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
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                failure = self.failed.recv() => {
                    if let Some(failure) = failure {
                        return Err(failure);
                    }
                }
                _ = hang_up.recv() => {
                    notify::reloading();
                    let outcome = self.reload(path.clone()).await;
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
        notify::stopping();
        let finished = self.stop();
        tokio::select! {
            () = finished => Ok(()),
            _ = terminate.recv() => Err(Failed::Message("stopped at once, requests were cut off".to_owned())),
            _ = interrupt.recv() => Err(Failed::Message("stopped at once, requests were cut off".to_owned())),
        }
    }

    /// Stops accepting and waits for the requests in flight.
    pub async fn stop(self) {
        self.service.stopping.store(true, Relaxed);
        self.supervisor.abort();
        let _ = self.stop.send(true);
        let _ = self.listeners.await;
        self.pruner.abort();
        self.queue.finish().await;
    }

    /// Reads certificate, key and the authorities of clients' certificates again.
    fn reload_certificate(&self) {
        let app = self.service.app();
        if let (Some(tls), Some(settings)) = (&self.tls, &app.config.tls) {
            let prepared = tls.prepare(settings, nobody_without_certificate(&app.config));
            if let Err(why) = prepared.and_then(|prepared| tls.replace(prepared)) {
                tracing::error!(why, "the certificate could not be read again; the old one stays");
            }
        }
    }

    /// Reads everything anew and swaps it in one step; on any failure the old stays.
    async fn reload(&mut self, path: Option<PathBuf>) -> Result<(), String> {
        let Some(path) = path else { return Ok(()) };
        let (memory, tls) = (Arc::clone(&self.memory), self.tls.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut findings = Findings::new();
            let config = crate::config::load(&path, &mut findings).ok_or(Failed::Findings(findings))?;
            let assembler = Assembler::again(&config, memory).map_err(Failed::from)?;
            let ready = assembler.begin().map_err(Failed::from)?;
            let prepared = match (&tls, &config.tls) {
                (Some(tls), Some(settings)) => tls.prepare(settings, nobody_without_certificate(&config)).map(Some),
                _ => Ok(None),
            };
            Ok::<_, Failed>((config, assembler, ready, prepared.map_err(Failed::Message)?))
        });
        let (config, assembler, ready, prepared) = match read.await {
            Ok(Ok(read)) => read,
            Ok(Err(failure)) => return Err(failure.to_string()),
            Err(panic) => return Err(panic.to_string()),
        };
        let old = self.service.app();
        let proxy = proxy(&config, old.proxy.as_ref())?;
        for (key, same) in [
            ("listen", old.config.listen == config.listen),
            ("tls", old.config.tls.is_some() == config.tls.is_some()),
            ("admin", old.config.admin.listen == config.admin.listen),
            ("log", old.config.log == config.log),
            // Threads to wait for the database are counted out at the start.
            ("database.pool.max", old.config.database.pool.max >= config.database.pool.max),
        ] {
            if !same {
                tracing::warn!(key, "this setting is not reloaded; restart the service");
            }
        }
        // Before anybody is served by the new configuration: whom it does not let in any more must not be let in by TLS.
        if let (Some(tls), Some(prepared)) = (&self.tls, prepared) {
            tls.replace(prepared)?;
        }
        self.settings.store(Arc::new(settings_of(&config)));
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
