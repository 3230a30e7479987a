//! `none`: no credential. Accepted only where something else says who may speak.

use super::Around;
use crate::document::{Findings, Located};

/// Whoever reaches the identity server may speak for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCredential {
    /// What keeps others out.
    pub confined: Confined,
}

/// What keeps others out of an identity server that asks for no credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confined {
    /// The service listens on loopback alone, behind no proxy.
    Loopback,
    /// It has an allow list.
    AllowFrom,
    /// It asks for a client certificate.
    Certificate,
}

pub(super) fn check(at: &(impl Located + ?Sized), around: Around<'_>, findings: &mut Findings) -> Option<NoCredential> {
    let Some(confined) = around.confined? else {
        findings.error(at, "without a credential, whoever reaches the service could read and change everything").help(
            "listen on 127.0.0.1 alone (without trusted_proxies), or say who may call under `allow_from` or \
             `client_certificate`",
        );
        return None;
    };
    let who = match confined {
        Confined::Loopback => "every program on this machine",
        Confined::AllowFrom => "every program on the networks of `allow_from`",
        Confined::Certificate => "whoever holds such a client certificate",
    };
    findings.warning(at, format!("no credential is asked for: {who} may speak for this identity server"));
    Some(NoCredential { confined })
}
