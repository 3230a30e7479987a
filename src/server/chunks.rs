//! Where a chunked body ends (RFC 9112 7.1), as its bytes come in. What the bytes say is nobody's business here, and nothing
//! is guessed: what is not written as the grammar has it, with CRLF and nothing else at the end of each line, cannot be read.

/// A chunked body, as far as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chunks {
    /// Of the chunk at hand; while its bytes are read, those that are left.
    size: u64,
    place: Place,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The first digit of a size.
    #[default]
    Size,
    /// More digits, or what ends them.
    Digits,
    /// Spaces behind a size.
    Spaces,
    /// An extension, up to its CR.
    Extension,
    /// The LF behind a size and its extension.
    SizeLf,
    /// The bytes of a chunk.
    Data,
    /// The CR behind a chunk.
    DataCr,
    /// And its LF.
    DataLf,
    /// A line of the trailer, or the empty one that ends the body.
    Line,
    /// The rest of a line of the trailer.
    Trailer,
    /// Its LF.
    TrailerLf,
    /// The LF of the empty line.
    LastLf,
    /// Nothing.
    End,
}

/// A body that cannot be read, so that nobody knows where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

impl Chunks {
    /// Reads on; where the body ended with these bytes, after how many of them.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Option<usize>, Unreadable> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if self.place == Place::Data {
                let there = bytes.len() - at;
                let taken = usize::try_from(self.size).map_or(there, |left| left.min(there));
                self.size = self.size.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
                at += taken;
                if self.size == 0 {
                    self.place = Place::DataCr;
                }
                continue;
            }
            at += 1;
            self.place = self.step(byte).ok_or(Unreadable)?;
            if self.place == Place::End {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Takes a byte of anything but data; `None` where it may not stand there.
    fn step(&mut self, byte: u8) -> Option<Place> {
        Some(match (self.place, byte) {
            (Place::Size | Place::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).map(u64::from)?;
                self.size = self.size.checked_mul(16)?.checked_add(digit)?;
                Place::Digits
            }
            (Place::Digits | Place::Spaces, b' ' | b'\t') => Place::Spaces,
            (Place::Digits | Place::Spaces, b';') => Place::Extension,
            (Place::Digits | Place::Spaces | Place::Extension, b'\r') => Place::SizeLf,
            (Place::Extension, byte) if byte != b'\n' => Place::Extension,
            (Place::SizeLf, b'\n') if self.size == 0 => Place::Line,
            (Place::SizeLf, b'\n') => Place::Data,
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::Size,
            (Place::Line, b'\r') => Place::LastLf,
            (Place::Trailer, b'\r') => Place::TrailerLf,
            (Place::Line | Place::Trailer, byte) if byte != b'\n' => Place::Trailer,
            (Place::TrailerLf, b'\n') => Place::Line,
            (Place::LastLf, b'\n') => Place::End,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        for body in [
            "0\r\n\r\n",
            "000\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "3;a=b\r\nabc\r\n0;c\r\n\r\n",
            "3 \t;a\r\nabc\r\n0 \r\n\r\n",
            "5\r\n0\r\n\r\n\r\n0\r\n\r\n",
            "a\r\n0123456789\r\nA\r\n\r\n\r\n\n\n\n\n\n\n\r\n0\r\n\r\n",
            "0\r\nX-A: b\r\nX-B: c\r\n\r\n",
            "1\r\n\n\r\n0\r\nX: \r\n\r\n",
        ] {
            let all = format!("{body}GET /");
            for size in [1, 2, 7, all.len()] {
                let (mut chunks, mut before, mut end) = (Chunks::default(), 0, None);
                for piece in all.as_bytes().chunks(size) {
                    end = chunks.read(piece).unwrap_or_else(|_| panic!("{all:?}")).map(|length| before + length);
                    if end.is_some() {
                        break;
                    }
                    before += piece.len();
                }
                assert_eq!(end, Some(body.len()), "{all:?} in pieces of {size}");
            }
            for length in 0..body.len() {
                let piece = &body.as_bytes()[..length];
                assert_eq!(Chunks::default().read(piece), Ok(None), "{piece:?}");
            }
        }
    }

    #[test]
    fn unreadable() {
        for body in [
            "g\r\n",
            "-3\r\n",
            "0x3\r\n",
            " 3\r\n",
            "\r\n",
            "\n",
            "3 3\r\n",
            "3\nabc",
            "3\rabc",
            "3;a\nb\r\n",
            "3;a\rb\r\n",
            "10000000000000000\r\n",
            "ffffffffffffffffff\r\n",
            "3\r\nabcX",
            "3\r\nabc\n",
            "3\r\nabc\rX",
            "0\r\n\n",
            "0\r\n\rX",
            "0\r\nX: a\n\r\n",
            "0\r\nX: a\n\nGET / HTTP/1.1\r\n",
            "0\r\nX: a\rb\r\n",
        ] {
            for size in [1, body.len()] {
                let mut chunks = Chunks::default();
                let read = body.as_bytes().chunks(size).try_for_each(|piece| chunks.read(piece).map(|_| ()));
                assert_eq!(read, Err(Unreadable), "{body:?} in pieces of {size}");
            }
        }
    }
}
