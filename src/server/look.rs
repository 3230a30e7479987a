//! What of a request's head hyper does not show: a line that ends in LF alone, and a Content-Length beside a
//! Transfer-Encoding. Heads are looked at as their bytes come in, also those that come before the request in front of them
//! was answered; bodies are skipped, and behind one whose end is not known here nothing is looked at any more.

use super::chunks::{Chunks, Unreadable};
use super::watch::Doubt;

/// How far the bytes of a connection were looked at.
#[derive(Default)]
pub struct Look {
    phase: Phase,
    head: Head,
}

/// What comes next.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// A head.
    #[default]
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// A chunked body.
    Chunks(Chunks),
    /// Nobody knows what: each further request is a doubt.
    Lost,
}

/// What the lines of a head said so far.
#[derive(Default)]
struct Head {
    /// The byte before.
    previous: u8,
    /// The line at hand has something in it.
    line: bool,
    /// Some line had.
    any: bool,
    /// The name of the field at hand, as far as it may be one of those looked for.
    name: [u8; 17],
    /// How much of it is there; more than it can hold where it is none of them.
    length: usize,
    /// The field at hand is a Content-Length.
    in_length: bool,
    /// The Content-Length; Err where it is none that is understood here, or there are two.
    content_length: Option<Result<u64, ()>>,
    /// There was a Transfer-Encoding.
    transfer_encoding: bool,
    doubt: Option<Doubt>,
}

impl Look {
    /// Looks at more bytes; tells `seen` of each head that ended in them, until it says that it is enough.
    pub fn at(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Option<Doubt>) -> bool) {
        while !bytes.is_empty() {
            match self.phase {
                Phase::Lost => return,
                Phase::Body(left) => {
                    let skipped = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    bytes = bytes.get(skipped..).unwrap_or_default();
                    let left = left.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
                    self.phase = if left == 0 { Phase::Head } else { Phase::Body(left) };
                }
                Phase::Chunks(mut chunks) => match chunks.read(bytes) {
                    Ok(Some(length)) => {
                        bytes = bytes.get(length..).unwrap_or_default();
                        self.phase = Phase::Head;
                    }
                    Ok(None) => {
                        self.phase = Phase::Chunks(chunks);
                        return;
                    }
                    Err(Unreadable) => self.phase = Phase::Lost,
                },
                Phase::Head => {
                    let Some(length) = self.head.look(bytes) else { return };
                    bytes = bytes.get(length..).unwrap_or_default();
                    let head = std::mem::take(&mut self.head);
                    self.phase = match head.content_length {
                        Some(Err(())) => Phase::Lost,
                        _ if head.transfer_encoding => Phase::Chunks(Chunks::default()),
                        None | Some(Ok(0)) => Phase::Head,
                        Some(Ok(length)) => Phase::Body(length),
                    };
                    let two = self.phase == Phase::Lost || (head.content_length.is_some() && head.transfer_encoding);
                    if !seen(head.doubt.or(two.then_some(Doubt::TwoLengths))) {
                        self.phase = Phase::Lost;
                    }
                }
            }
        }
    }
}

impl Head {
    /// Looks at more bytes of a head; where it ended with them, after how many.
    fn look(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' => {
                    if self.previous != b'\r' {
                        self.doubt = Some(Doubt::BareLineFeed);
                    }
                    if !self.line && self.any {
                        return Some(at + 1);
                    }
                    (self.line, self.length, self.in_length) = (false, 0, false);
                }
                b'\r' => {}
                b':' if self.length <= self.name.len() => {
                    let name = self.name.get(..self.length).unwrap_or_default();
                    self.in_length = name.eq_ignore_ascii_case(b"content-length");
                    if self.in_length {
                        // Others take two that say the same for one.
                        self.content_length = Some(if self.content_length.is_some() { Err(()) } else { Ok(0) });
                    }
                    self.transfer_encoding |= name.eq_ignore_ascii_case(b"transfer-encoding");
                    self.length = usize::MAX;
                }
                _ => {
                    (self.line, self.any) = (true, true);
                    if let Some(place) = self.name.get_mut(self.length) {
                        *place = byte;
                    }
                    self.length = self.length.saturating_add(1);
                    if self.in_length && byte != b' ' && byte != b'\t' {
                        self.content_length = self.content_length.map(|length| longer(length, byte));
                    }
                }
            }
            self.previous = byte;
        }
        None
    }
}

fn longer(length: Result<u64, ()>, byte: u8) -> Result<u64, ()> {
    let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0')).ok_or(())?;
    length?.checked_mul(10).and_then(|length| length.checked_add(digit)).ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        const LF: Option<Doubt> = Some(Doubt::BareLineFeed);
        const TWO: Option<Doubt> = Some(Doubt::TwoLengths);
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let chunked = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let table: Vec<(String, Vec<Option<Doubt>>)> = vec![
            (get.into(), vec![None]),
            (format!("\r\n{get}"), vec![None]),
            ("GET / HTTP/1.1\r\nHost: a\r\n".into(), vec![]),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n".into(), vec![LF]),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n".into(), vec![LF]),
            ("GET / HTTP/1.1\n\n".into(), vec![LF]),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n".into(), vec![None]),
            ("POST / HTTP/1.1\r\nX: Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".into(), vec![None]),
            ("POST / HTTP/1.1\r\ncontent-length: 1\r\nTRANSFER-ENCODING: chunked\r\n\r\n".into(), vec![TWO]),
            (chunked.into(), vec![None]),
            // One behind another.
            (format!("{get}{get}GET / HTTP/1.1\n\n{get}"), vec![None, None, LF, None]),
            (format!("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n\n\n\n{get}"), vec![None, None]),
            ("POST / HTTP/1.1\r\nContent-Length:3 \r\n\r\nabcGET / HTTP/1.1\n\n".into(), vec![None, LF]),
            (format!("POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc{get}"), vec![TWO]),
            (format!("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc{get}"), vec![TWO]),
            // Behind chunks.
            (format!("{chunked}1\r\nx\r\n0\r\n\r\n{get}{chunked}0\r\nX: y\r\n\r\n{get}"), vec![None; 4]),
            (format!("{chunked}0\r\n\r\nGET / HTTP/1.1\n\n"), vec![None, LF]),
            (format!("{chunked}0\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\n{}", &chunked[17..]), vec![None, TWO]),
            (format!("{chunked}1b\r\n{get}\r\n0\r\n\r\n{get}"), vec![None, None]),
            // Where a body ends that cannot be read, nobody knows.
            (format!("{chunked}x\r\n\r\n0\r\n\r\n{get}"), vec![None]),
            (format!("{chunked}0\r\nX: y\n\n{get}{get}"), vec![None]),
        ];
        for (bytes, expected) in table {
            for size in [1, 7, bytes.len()] {
                let (mut look, mut seen) = (Look::default(), Vec::new());
                for piece in bytes.as_bytes().chunks(size) {
                    look.at(piece, |doubt| {
                        seen.push(doubt);
                        true
                    });
                }
                assert_eq!(seen, expected, "{bytes:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn stops_when_told() {
        let (mut look, mut count) = (Look::default(), 0);
        for _ in 0..2 {
            look.at(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", |_| {
                count += 1;
                count < 2
            });
            assert_eq!(count, 2);
        }
    }
}
