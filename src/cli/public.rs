//! Whether clients will take the certificate, for the address that they are given: what can be seen in the files. No client and
//! no authority is asked.

use crate::config::Config;
use crate::document::Findings;
use crate::identity::certificate::Certificate;
use chrono::{DateTime, Utc};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Looks at a certificate that was found to be one, with its key.
pub fn look(config: &Config, findings: &mut Findings) {
    let Some(tls) = &config.tls else { return };
    let chain = CertificateDer::pem_file_iter(&tls.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.unwrap_or_default();
    let Some(leaf) = chain.first().and_then(|leaf| Certificate::parse(leaf)) else { return };
    let path = tls.certificate.display();
    let now = Utc::now().timestamp();
    if leaf.ends() < now && config.trusted_proxies.is_empty() {
        findings
            .error(&(), format!("the certificate in {path} expired on {}", day(leaf.ends())))
            .help("renew it; a running service takes it up by itself within a minute, or at once by SIGHUP");
    } else if leaf.begins() > now {
        findings.error(&(), format!("the certificate in {path} is not good before {}", day(leaf.begins())));
    }
    if chain.len() == 1 && leaf.tells_issuer() {
        findings
            .warning(&(), format!("{path} holds the certificate alone, without those between it and its authority"))
            .help(
                "clients that know only the authority refuse it: give the file with the whole chain, often called \
                 fullchain.pem",
            );
    }
    // Behind a proxy nobody else sees it.
    let host = host(&config.public_url);
    if config.trusted_proxies.is_empty() && !leaf.is_for(host) {
        findings
            .warning(
                &(),
                format!("the certificate in {path} is not for {host}, the host of `public_url`, but for {leaf}"),
            )
            .help("clients that are given that address refuse it");
    }
}

fn day(at: i64) -> String {
    DateTime::<Utc>::from_timestamp(at, 0).map_or_else(|| at.to_string(), |at| at.format("%Y-%m-%d").to_string())
}

/// Without port and brackets.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn hosts() {
        for (url, host) in [
            ("https://scim.example.com", "scim.example.com"),
            ("https://scim.example.com:8443/a:b", "scim.example.com"),
            ("https://[2001:db8::1]:8443/x", "2001:db8::1"),
            ("http://127.0.0.1:1", "127.0.0.1"),
        ] {
            assert_eq!(super::host(url), host);
        }
    }
}
