//! A network that misbehaves: a relay of TCP between one client and the service, told before each request what shall
//! become of it. It sees ciphertext and needs no more: the client says when a request begins.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Arrives,
    /// The connection is reset before a byte of it was passed on.
    Reset,
    /// Half of it is passed on, then the connection ends.
    Cut,
    /// It is passed on; the client gives up at once, while the service works.
    HungUp,
    /// It is answered, and the answer is lost.
    AnswerLost,
    /// The answer takes its time.
    Slow,
    /// The client sees the connection end, and tries again; the request arrives all the same, some time later.
    Late,
}

pub const FAULTS: [Fate; 6] = [Fate::Reset, Fate::Cut, Fate::HungUp, Fate::AnswerLost, Fate::Slow, Fate::Late];

/// One client's way to the service.
pub struct Wire {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    target: SocketAddr,
    fate: Mutex<Fate>,
    late: AtomicUsize,
    over: AtomicBool,
}

impl State {
    /// Takes the fate if it is one of these: each befalls one request.
    fn take(&self, of: &[Fate]) -> Option<Fate> {
        let mut fate = self.fate.lock().expect("the fate");
        of.contains(&fate).then(|| std::mem::replace(&mut *fate, Fate::Arrives))
    }
}

impl Wire {
    pub fn new(target: SocketAddr) -> Wire {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            target,
            fate: Mutex::new(Fate::Arrives),
            late: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.over.load(SeqCst) {
                    return;
                }
                relay(&shared, client);
            }
        });
        Wire { address, state }
    }

    /// What shall become of the next request.
    pub fn next(&self, fate: Fate) {
        *self.state.fate.lock().expect("the fate") = fate;
    }

    /// Waits until nothing is on its way any more.
    pub fn settle(&self) {
        let patience = Instant::now() + Duration::from_secs(30);
        while self.state.late.load(SeqCst) > 0 && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.state.over.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn end(one: &TcpStream, two: &TcpStream) {
    let _ = one.shutdown(Shutdown::Both);
    let _ = two.shutdown(Shutdown::Both);
}

fn relay(state: &Arc<State>, client: TcpStream) {
    let Ok(server) = TcpStream::connect(state.target) else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (Ok(client2), Ok(server2)) = (client.try_clone(), server.try_clone()) else {
        return;
    };
    let answered = Arc::new(AtomicBool::new(false));
    let (up, down) = ((Arc::clone(state), Arc::clone(&answered)), Arc::clone(state));
    std::thread::spawn(move || requests(&up.0, &up.1, client, server));
    std::thread::spawn(move || answers(&down, &answered, server2, client2));
}

fn requests(state: &State, answered: &AtomicBool, mut client: TcpStream, mut server: TcpStream) {
    let mut piece = [0_u8; 64 * 1024];
    while let Ok(length) = client.read(&mut piece) {
        if length == 0 {
            break;
        }
        let bytes = &piece[..length];
        match state.take(&[Fate::Reset, Fate::Cut, Fate::HungUp, Fate::Late]) {
            None => {
                if server.write_all(bytes).is_err() {
                    break;
                }
            }
            Some(Fate::Cut) => {
                let _ = server.write_all(&bytes[..length / 2]);
                break;
            }
            Some(Fate::HungUp) => {
                let _ = server.write_all(bytes);
                std::thread::sleep(Duration::from_micros(u64::try_from(length).unwrap_or(0) * 7 % 4000));
                break;
            }
            Some(Fate::Late) => {
                state.late.fetch_add(1, SeqCst);
                let mut held = bytes.to_vec();
                let _ = client.set_read_timeout(Some(Duration::from_millis(15)));
                while let Ok(more @ 1..) = client.read(&mut piece) {
                    held.extend_from_slice(&piece[..more]);
                }
                let _ = client.shutdown(Shutdown::Both);
                std::thread::sleep(Duration::from_millis(u64::try_from(held.len()).unwrap_or(0) % 60));
                answered.store(false, SeqCst);
                let _ = server.write_all(&held);
                let patience = Instant::now() + Duration::from_secs(10);
                while !answered.load(SeqCst) && Instant::now() < patience {
                    std::thread::sleep(Duration::from_millis(1));
                }
                end(&client, &server);
                state.late.fetch_sub(1, SeqCst);
                return;
            }
            Some(_) => break,
        }
    }
    end(&client, &server);
}

fn answers(state: &State, answered: &AtomicBool, mut server: TcpStream, mut client: TcpStream) {
    let mut piece = [0_u8; 64 * 1024];
    while let Ok(length @ 1..) = server.read(&mut piece) {
        answered.store(true, SeqCst);
        match state.take(&[Fate::AnswerLost, Fate::Slow]) {
            Some(Fate::AnswerLost) => break,
            Some(Fate::Slow) => std::thread::sleep(Duration::from_millis(150)),
            _ => {}
        }
        // A client that is gone: what comes is still taken, for a request that is late.
        if client.write_all(&piece[..length]).is_err() && state.late.load(SeqCst) == 0 {
            break;
        }
    }
    end(&client, &server);
}
