//! Where log lines go: stderr, as text on a terminal and as JSON otherwise, gathered by a thread of
//! their own so that a request never waits for them.

use super::telemetry;
use crate::config::{Log, LogFormat};
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread::Thread;
use std::time::Duration;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// More than this waits for nobody: lines are dropped and counted.
const MOST: usize = 8 << 20;
/// How long the last of them may take to be written.
const LAST: Duration = Duration::from_secs(1);
/// How long lines gather.
const GATHER: Duration = Duration::from_millis(20);

/// Sets up logging for the process. Called once; a second call changes nothing.
pub fn start(log: &Log) {
    let terminal = std::io::stderr().is_terminal();
    let level: LevelFilter = log.level.name().parse().unwrap_or(LevelFilter::INFO);
    // systemd's journal has times of its own, and takes a line's priority from its beginning.
    let journal = is_journal();
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let writer = Gathered::start(journal);
    // What other crates say below a warning is about themselves, not about this service.
    let filter = tracing_subscriber::filter::Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("scimshim", level);
    let exported = log.otlp.as_ref().map(telemetry::start);
    let (bridge, unusable) = match exported {
        Some(Ok(bridge)) => (Some(bridge), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(writer).with_target(false);
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::util::SubscriberInitExt;
    let _ = match (json, journal) {
        (true, false) => builder.json().flatten_event(true).finish().with(filter).with(bridge).try_init(),
        (true, true) => builder.json().flatten_event(true).without_time().finish().with(filter).with(bridge).try_init(),
        (false, false) => builder.with_ansi(colour(terminal)).finish().with(filter).with(bridge).try_init(),
        (false, true) => builder.with_ansi(false).without_time().finish().with(filter).with(bridge).try_init(),
    };
    if let Some(why) = unusable {
        tracing::error!(why, "nothing is sent to the collector of `log.otlp`");
    }
}

/// Whether stderr goes to systemd's journal: `JOURNAL_STREAM` names what systemd connected, which may since have been
/// redirected (systemd.exec(5)).
fn is_journal() -> bool {
    let Some(named) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stderr) = std::io::stderr().as_fd().try_clone_to_owned() else { return false };
    let connected = std::fs::File::from(stderr).metadata();
    connected.is_ok_and(|connected| named == format!("{}:{}", connected.dev(), connected.ino()))
}

/// How systemd's journal is told a line's priority (sd-daemon(3)).
fn priority(level: &Level) -> &'static [u8] {
    match *level {
        Level::ERROR => b"<3>",
        Level::WARN => b"<4>",
        Level::INFO => b"<6>",
        _ => b"<7>",
    }
}

/// Whether to write in colour: on a terminal, and unless `NO_COLOR` is set to anything.
pub fn colour(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Writes out what was gathered, for the moment before the process ends; whether all of it was written. Whoever does not read
/// any more must not keep the process.
pub fn flush() -> bool {
    let Some(gathered) = GATHERED.get() else { return true };
    let (done, written) = mpsc::channel();
    let writing = std::thread::Builder::new().spawn(move || {
        gathered.write_out();
        let _ = done.send(());
    });
    writing.is_ok() && written.recv_timeout(LAST).is_ok()
}

static GATHERED: OnceLock<Gathered> = OnceLock::new();

/// Lines on their way to stderr.
#[derive(Clone)]
struct Gathered(Arc<Shared>);

struct Shared {
    lines: Mutex<Lines>,
    /// Held while writing, so that lines keep their order.
    out: Mutex<()>,
    thread: OnceLock<Thread>,
    /// Each line begins with its priority.
    journal: bool,
}

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    dropped: u64,
    asleep: bool,
}

impl Gathered {
    fn start(journal: bool) -> Self {
        GATHERED
            .get_or_init(|| {
                let (lines, out, thread) = Default::default();
                let shared = Arc::new(Shared { lines, out, thread, journal });
                let gathered = Gathered(shared);
                let own = gathered.clone();
                let spawned = std::thread::Builder::new().name("log".to_owned()).spawn(move || own.run());
                if let Ok(handle) = spawned {
                    let _ = gathered.0.thread.set(handle.thread().clone());
                }
                gathered
            })
            .clone()
    }

    fn run(&self) {
        loop {
            if self.write_out() {
                std::thread::sleep(GATHER);
            } else {
                let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
                lines.asleep = lines.bytes.is_empty();
                let asleep = lines.asleep;
                drop(lines);
                if asleep {
                    std::thread::park();
                }
            }
        }
    }

    /// Whether there was anything.
    fn write_out(&self) -> bool {
        let _order = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, dropped) = {
            let mut lines = self.0.lines.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut lines.bytes), std::mem::take(&mut lines.dropped))
        };
        if bytes.is_empty() {
            return false;
        }
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(&bytes);
        if dropped > 0 {
            let _ = writeln!(stderr, "scimshim: {dropped} log lines were lost: they came faster than they were read");
        }
        true
    }
}

/// One line.
struct Line<'g> {
    to: &'g Gathered,
    /// What it begins with.
    priority: &'static [u8],
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let shared = &self.to.0;
        let mut lines = shared.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.bytes.len() > MOST {
            lines.dropped += 1;
            return Ok(line.len());
        }
        lines.bytes.extend_from_slice(std::mem::take(&mut self.priority));
        lines.bytes.extend_from_slice(line);
        let wake = std::mem::take(&mut lines.asleep);
        drop(lines);
        if wake && let Some(thread) = shared.thread.get() {
            thread.unpark();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Gathered {
    type Writer = Line<'w>;

    fn make_writer(&'w self) -> Line<'w> {
        Line { to: self, priority: b"" }
    }

    fn make_writer_for(&'w self, of: &Metadata<'_>) -> Line<'w> {
        Line { to: self, priority: if self.0.journal { priority(of.level()) } else { b"" } }
    }
}
