//! `application/x-www-form-urlencoded`, in queries, bodies and client_secret_basic (RFC 6749 appendix B).
//!
//! A parameter that stands twice is refused (RFC 6749 3.1, 3.2); one without a value is as if it were not there.

use super::refusal::Refusal;
use percent_encoding::percent_decode;

/// More parameters than any request has.
const MOST: usize = 64;

/// The parameters of one request.
#[derive(Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads a query or a body.
    pub fn read(text: &[u8]) -> Result<Self, Refusal> {
        let mut all = Vec::new();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if all.len() >= MOST {
                return Err(Refusal::request("too many parameters"));
            }
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let name = decoded(parts.next().unwrap_or_default());
            let value = decoded(parts.next().unwrap_or_default());
            let (Some(name), Some(value)) = (name, value) else {
                return Err(Refusal::request("a parameter is not UTF-8"));
            };
            if value.contains('\0') {
                return Err(Refusal::request("a parameter holds the character U+0000"));
            }
            all.push((name, value));
        }
        Ok(Self(all))
    }

    /// The value of a parameter; `None` without it or where it is empty.
    pub fn get(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Refusal::request(format!("the parameter {name} stands twice"))),
            (value, None) => Ok(value.filter(|value| !value.is_empty())),
        }
    }

    /// The value of a parameter that must be there.
    pub fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name)?.ok_or_else(|| Refusal::request(format!("the parameter {name} is missing")))
    }
}

/// One name or value; `None` where it is not UTF-8.
pub fn decoded(text: &[u8]) -> Option<String> {
    let spaces: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaces).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let read = Parameters::read(b"a=1&b=x+y%26&c=&d&&e=%C3%A9&f=1&f=2").unwrap();
        assert_eq!(read.get("a"), Ok(Some("1")));
        assert_eq!(read.get("b"), Ok(Some("x y&")));
        assert_eq!(read.get("c"), Ok(None));
        assert_eq!(read.get("d"), Ok(None));
        assert_eq!(read.get("e"), Ok(Some("\u{e9}")));
        assert!(read.get("f").is_err());
        assert!(read.required("c").is_err());
        for bad in [&b"a=%ff"[..], b"\xff=1", b"a=%00"] {
            assert!(Parameters::read(bad).is_err(), "{bad:?}");
        }
        assert!(Parameters::read("a=1&".repeat(65).as_bytes()).is_err());
        assert_eq!(Parameters::read(b"a=b=c").unwrap().get("a"), Ok(Some("b=c")));
        assert_eq!(Parameters::read(b"a=100%").unwrap().get("a"), Ok(Some("100%")));
    }
}
