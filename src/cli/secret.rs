//! `scimshim secret`: a password becomes what the configuration keeps instead of it. The password is typed without being shown,
//! twice, or read from stdin; what comes of it goes to stdout alone. It is no argument: those are seen by everybody.

use super::common::{Failure, print, say};
use crate::adapter::Hash;
use crate::config::{Digest, DigestAlgorithm};
use clap::Subcommand;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Read, Stdin, Write};
use unicode_normalization::UnicodeNormalization;

/// The longest password, in bytes.
const LONGEST: usize = 4096;
/// Shorter ones are remarked upon.
const SHORT: usize = 16;

/// What is made of a password.
#[derive(Subcommand)]
pub enum Verb {
    /// An argon2id hash: `password_hash`, `secret_hash`
    Hash,
    /// H(A1) of RFC 7616: `ha1` of Digest authentication
    Digest {
        /// The user name that the client sends
        #[arg(long)]
        username: String,
        /// The realm, where the configuration has another
        #[arg(long, default_value = Digest::REALM)]
        realm: String,
        /// SHA-256, SHA-512-256 or MD5; several times for several
        #[arg(long, default_value = "SHA-256", value_parser = algorithm)]
        algorithm: Vec<DigestAlgorithm>,
    },
}

/// Does it.
pub fn run(verb: &Verb) -> Result<(), Failure> {
    let password = password()?;
    if password.chars().count() < SHORT {
        say("note: this is short for something that no person has to remember; 24 random characters are better");
    }
    match verb {
        Verb::Hash => print(&Hash::Argon2id.of(&password)?),
        Verb::Digest { username, realm, algorithm } => {
            let each = algorithm
                .iter()
                .map(|algorithm| format!("{}:{}", algorithm.name(), algorithm.ha1(username, realm, &password)));
            print(&each.collect::<Vec<_>>().join(" "))?;
            say("Keep the line above as secret as the password: it opens the same.");
            Ok(())
        }
    }
}

fn algorithm(text: &str) -> Result<DigestAlgorithm, String> {
    let known = DigestAlgorithm::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    known.map(|(_, algorithm)| *algorithm).ok_or_else(|| "one of SHA-256, SHA-512-256, MD5".to_owned())
}

/// The password, in the form in which it will be compared: NFC (RFC 8265 4.2).
fn password() -> Result<String, Failure> {
    let stdin = std::io::stdin();
    let bytes = if stdin.is_terminal() {
        let first = typed(&stdin, "Password: ")?;
        if first != typed(&stdin, "Once more: ")? {
            return Err(Failure::Message("the two are not the same".to_owned()));
        }
        first
    } else {
        let mut bytes = Vec::new();
        let most = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(3);
        stdin.lock().take(most).read_to_end(&mut bytes)?;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        line.strip_suffix(b"\r").unwrap_or(line).to_vec()
    };
    let wrong = |why: &str| Failure::Message(format!("the password {why}"));
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?;
    if text.is_empty() {
        return Err(wrong("is empty"));
    }
    if text.len() > LONGEST {
        return Err(wrong("is longer than 4096 bytes"));
    }
    if text.contains('\n') {
        return Err(wrong("has more than one line"));
    }
    if text.chars().any(char::is_control) {
        return Err(wrong("has control characters, which Basic and Digest authentication do not carry"));
    }
    Ok(text.nfc().collect())
}

/// A line typed on a terminal that does not show it.
fn typed(stdin: &Stdin, prompt: &str) -> Result<Vec<u8>, Failure> {
    let quiet = Quiet::new(stdin)?;
    let mut stderr = std::io::stderr();
    write!(stderr, "{prompt}").and_then(|()| stderr.flush())?;
    let mut line: Vec<u8> = Vec::new();
    let mut reader = stdin.lock();
    loop {
        let mut byte = [0_u8];
        let [byte] = match reader.read(&mut byte)? {
            0 => [b'\n'],
            _ => byte,
        };
        match byte {
            b'\r' | b'\n' => break,
            // Ctrl-C and Ctrl-D: not a signal, so that the terminal shows again what is typed.
            3 | 4 => {
                drop(quiet);
                say("");
                return Err(Failure::Message("interrupted".to_owned()));
            }
            // Backspace takes a whole character, Ctrl-U all of them.
            8 | 127 => while line.pop().is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000) {},
            21 => line.clear(),
            byte if line.len() <= LONGEST => line.push(byte),
            _ => {}
        }
    }
    drop(quiet);
    say("");
    Ok(line)
}

/// A terminal that does not show what is typed, until dropped.
struct Quiet<'t> {
    terminal: &'t Stdin,
    before: Termios,
}

impl<'t> Quiet<'t> {
    fn new(terminal: &'t Stdin) -> Result<Self, Failure> {
        let cannot =
            |error| Failure::Message(format!("the terminal cannot be kept from showing the password: {error}"));
        let before = tcgetattr(terminal).map_err(cannot)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        // One byte at a time, as it comes.
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Drain, &quiet).map_err(cannot)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Drain, &self.before);
    }
}
