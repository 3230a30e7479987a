//! The `Authorization` header (RFC 9110 11.6.2), taken apart before any method looks at it. Two of them, or one that is not
//! text, are nobody's credential.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

/// What a request brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Nothing.
    None,
    /// `Basic TOKEN68`; may be empty.
    Basic(&'a str),
    /// `Digest PARAMETERS`; may be empty.
    Digest(&'a str),
    /// `Bearer TOKEN`; not empty.
    Bearer(&'a str),
    /// One word without a scheme.
    Bare(&'a str),
    /// Nothing that can be read; why.
    Unreadable(&'static str),
}

/// Reads the header; the scheme in any case (RFC 9110 11.1).
pub fn read(headers: &HeaderMap) -> Credential<'_> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Credential::None;
    };
    if values.next().is_some() {
        return Credential::Unreadable("there is more than one Authorization header");
    }
    let Ok(value) = value.to_str() else {
        return Credential::Unreadable("the Authorization header is not ASCII");
    };
    let value = value.trim();
    let (scheme, rest) =
        value.split_once([' ', '\t']).map_or((value, None), |(scheme, rest)| (scheme, Some(rest.trim())));
    let is = |name: &str| scheme.eq_ignore_ascii_case(name);
    match rest {
        _ if value.is_empty() => Credential::Unreadable("the Authorization header is empty"),
        Some("") | None if is("bearer") => Credential::Unreadable("the bearer token is missing"),
        Some(rest) if is("bearer") => Credential::Bearer(rest),
        rest if is("basic") => Credential::Basic(rest.unwrap_or_default()),
        rest if is("digest") => Credential::Digest(rest.unwrap_or_default()),
        None => Credential::Bare(value),
        Some(_) => Credential::Unreadable("the scheme of the Authorization header is none that is known here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorization() {
        let table: &[(&[&str], Credential<'_>)] = &[
            (&[], Credential::None),
            (&["Bearer abc"], Credential::Bearer("abc")),
            (&["bearer   abc "], Credential::Bearer("abc")),
            (&["BEARER\tabc"], Credential::Bearer("abc")),
            (&["Bearer"], Credential::Unreadable("the bearer token is missing")),
            (&["Bearer "], Credential::Unreadable("the bearer token is missing")),
            (&["Basic YTpi"], Credential::Basic("YTpi")),
            (&["basic"], Credential::Basic("")),
            (&["DIGEST username=\"a\", b=c"], Credential::Digest("username=\"a\", b=c")),
            (&["abc"], Credential::Bare("abc")),
            (&["bearerabc"], Credential::Bare("bearerabc")),
            (&[""], Credential::Unreadable("the Authorization header is empty")),
            (&["Bearer a", "Bearer b"], Credential::Unreadable("there is more than one Authorization header")),
            (
                &["Negotiate abc"],
                Credential::Unreadable("the scheme of the Authorization header is none that is known here"),
            ),
        ];
        for (values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in *values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            assert_eq!(read(&headers), *expected, "{values:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, hyper::header::HeaderValue::from_bytes(b"Bearer \xff").unwrap());
        assert_eq!(read(&headers), Credential::Unreadable("the Authorization header is not ASCII"));
    }
}
