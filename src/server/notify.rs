//! Tells systemd how the service is doing (sd_notify): nothing where nobody listens.

use rustix::time::{ClockId, clock_gettime};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Requests are answered, or will be as soon as the database is.
pub fn ready() {
    send("READY=1");
}

/// The configuration is being read again. systemd wants the time with it (`Type=notify-reload`).
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    send(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1_000));
}

/// The service is about to end, which takes so long at most: systemd waits for that where `TimeoutStopSec` is shorter.
pub fn stopping(longest: Duration) {
    send(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", longest.as_micros()));
}

/// How the service is doing, in a line for people.
pub fn status(line: &str) {
    send(&format!("STATUS={}", line.lines().next().unwrap_or_default()));
}

/// The service is alive.
pub fn alive() {
    send("WATCHDOG=1");
}

/// How often systemd wants to hear that the service is alive; half of the time after which it would end it.
pub fn watchdog() -> Option<Duration> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if number("WATCHDOG_PID").is_some_and(|pid| pid != u64::from(std::process::id())) {
        return None;
    }
    number("WATCHDOG_USEC").filter(|microseconds| *microseconds > 1).map(|all| Duration::from_micros(all / 2))
}

fn send(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name),
        _ => SocketAddr::from_pathname(&name),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = sent {
        tracing::warn!(%error, "systemd could not be told: {state}");
    }
}
