//! Query strings as SCIM clients write them.
//!
//! `+` and `%20` are both spaces; a key without `=` has an empty value (RFC 9865 2 writes `?cursor&count=10`; whoever reads
//! parameters passes over those that he does not know, such as a feature flag that leaked from an identity provider's
//! settings), and an empty piece (`&&`, a trailing `&`) is left out. Escapes must be two hexadecimal digits and give UTF-8:
//! a filter that arrives damaged must not select the wrong resource.

use std::borrow::Cow;

use super::Error;

/// A name and its value, decoded.
pub type Parameter<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Decodes a query string (without the `?`) into its parameters, in order; 400 for a wrong escape.
pub fn decode(query: &str) -> Result<Vec<Parameter<'_>>, Error> {
    query
        .split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .map(|(key, value)| Ok((unescape(key)?, unescape(value)?)))
        .collect()
}

fn unescape(text: &str) -> Result<Cow<'_, str>, Error> {
    if !text.bytes().any(|byte| matches!(byte, b'+' | b'%')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex(bytes.next()).zip(hex(bytes.next())).map(|(high, low)| high * 16 + low).ok_or_else(|| {
                Error::invalid_value("the query string has a % that two hexadecimal digits do not follow")
            })?,
            byte => byte,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Error::invalid_value("the query string is not UTF-8"))
}

fn hex(byte: Option<u8>) -> Option<u8> {
    match byte? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        for (query, expected) in [
            ("", vec![]),
            ("filter=userName+eq+%22a%2Bb%22&", vec![("filter", "userName eq \"a+b\"")]),
            (
                "aadOptscim062020&filter=userName%20eq%20%22x%22",
                vec![("aadOptscim062020", ""), ("filter", "userName eq \"x\"")],
            ),
            ("cursor&count=10", vec![("cursor", ""), ("count", "10")]),
            ("startIndex=1&&count=2", vec![("startIndex", "1"), ("count", "2")]),
            ("a=b=c&d=", vec![("a", "b=c"), ("d", "")]),
            ("n=%C3%A9", vec![("n", "é")]),
        ] {
            let decoded = decode(query).unwrap();
            let decoded: Vec<(&str, &str)> =
                decoded.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
            assert_eq!(decoded, expected, "{query}");
        }
        for query in ["a=%", "a=%2", "a=%zz", "a=%+1", "a=%ff", "%=1"] {
            assert_eq!(decode(query).unwrap_err().status, 400, "{query}");
        }
    }
}
