//! `none`: no credential. What confines it is looked at again for each request, because a listener on loopback can be behind a
//! proxy that nobody told us of, and a browser on this machine speaks for whatever page it shows.

use super::Presented;
use crate::config::{Confined, NoCredential};
use hyper::HeaderMap;

/// Set by proxies.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
/// Set by browsers, which provisioning clients are not.
const BROWSERS: [&str; 2] = ["origin", "sec-fetch-site"];

/// Why a request is refused although none needs a credential.
pub(super) fn refuse(none: NoCredential, presented: &Presented<'_>) -> Result<(), &'static str> {
    let has = |headers: &HeaderMap, names: &[&str]| names.iter().any(|name| headers.contains_key(*name));
    if has(presented.headers, &BROWSERS) {
        return Err("without a credential nothing is taken from a browser, where any page could have asked for it");
    }
    match none.confined {
        Confined::Loopback if !presented.client.is_loopback() => Err("without a credential only this machine may call"),
        Confined::Loopback if has(presented.headers, &FORWARDED) => {
            Err("without a credential only this machine may call, and a proxy says that this comes from elsewhere")
        }
        Confined::Certificate if presented.certificate.is_none() => {
            Err("this identity server needs a client certificate")
        }
        // The list was looked at already.
        Confined::Loopback | Confined::AllowFrom | Confined::Certificate => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::certificate::Certificate;
    use super::*;
    use hyper::Method;

    #[test]
    fn confined() {
        let certificate = Certificate::default();
        let try_ = |confined, client: &str, header: Option<&'static str>, certificate| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(header, "198.51.100.1".parse().unwrap());
            }
            let presented = Presented {
                method: &Method::GET,
                target: "/scim/v2/Users",
                headers: &headers,
                client: client.parse().unwrap(),
                client_known: true,
                certificate,
            };
            refuse(NoCredential { confined }, &presented).is_ok()
        };
        assert!(try_(Confined::Loopback, "127.0.0.1", None, None));
        assert!(try_(Confined::Loopback, "::1", None, None));
        assert!(!try_(Confined::Loopback, "192.0.2.1", None, None));
        for header in FORWARDED {
            assert!(!try_(Confined::Loopback, "127.0.0.1", Some(header), None), "{header}");
            assert!(try_(Confined::AllowFrom, "192.0.2.1", Some(header), None), "{header}");
        }
        for header in BROWSERS {
            for confined in [Confined::Loopback, Confined::AllowFrom, Confined::Certificate] {
                assert!(!try_(confined, "127.0.0.1", Some(header), Some(&certificate)), "{header}");
            }
        }
        assert!(!try_(Confined::Certificate, "127.0.0.1", None, None));
        assert!(try_(Confined::Certificate, "192.0.2.1", None, Some(&certificate)));
    }
}
