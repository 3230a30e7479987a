//! `basic`: a user name and a password in each request (RFC 7617), in UTF-8, normalised (NFC) as RFC 8265 has it.

use super::passwords::{Claim, Verdict};
use super::{METHOD_BASIC, Memory, Refused, Server, Session};
use crate::config::{self, Password, Secret};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::net::IpAddr;
use unicode_normalization::UnicodeNormalization;

/// One user name with its password.
#[derive(Clone, Debug)]
pub struct Basic {
    username: String,
    password: Password,
}

impl Basic {
    /// As configured.
    pub fn new(configured: &config::Basic) -> Self {
        let normal = |text: &str| text.nfc().collect::<String>();
        let password = match &configured.password {
            Password::Plain(known) => Password::Plain(Secret::new(normal(known.expose()))),
            Password::Hash(hash) => Password::Hash(hash.clone()),
        };
        Self { username: normal(&configured.username), password }
    }
}

/// RFC 7617 2.1.
pub(super) fn challenge() -> String {
    "Basic realm=\"scim\", charset=\"UTF-8\"".to_owned()
}

/// Whether user name and password are the ones that are configured.
pub(super) async fn check(
    credential: &str,
    basic: &Basic,
    server: &Server,
    client: IpAddr,
    memory: &Memory,
) -> Result<Session, Refused> {
    let (name, password) = read(credential).map_err(|why| Refused::wrong(why, (METHOD_BASIC, "")))?;
    let wrong = || Refused::wrong("the user name or the password is wrong", (METHOD_BASIC, &name));
    let guess = memory.guess(server, METHOD_BASIC, &name);
    let may_try = || memory.failures.may_try(client, guess);
    let claim = |stored| Claim { stored, owner: &basic.username, name: &name, password: &password, client };
    let verdict = match &basic.password {
        Password::Plain(known) => memory.passwords.compare(claim(known.expose()), may_try),
        Password::Hash(stored) => memory.passwords.check(claim(stored.expose()), may_try).await,
    };
    match verdict {
        Verdict::Right => Ok(Session { credential: basic.username.clone(), method: METHOD_BASIC, read_only: false }),
        Verdict::Wrong => Err(wrong()),
        Verdict::Busy(wait) => Err(Refused::TooMany { method: METHOD_BASIC, wait }),
    }
}

/// User name and password, NFC; why there are none, without quoting either.
fn read(token68: &str) -> Result<(String, String), &'static str> {
    let bytes = STANDARD.decode(token68).map_err(|_| "what follows Basic is not Base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "user name and password are not UTF-8")?;
    let (name, password) = text.split_once(':').ok_or("there is no colon between user name and password")?;
    if text.chars().any(char::is_control) {
        return Err("there are control characters in user name or password");
    }
    Ok((name.nfc().collect(), password.nfc().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials() {
        let both = |name: &str, password: &str| Ok((name.to_owned(), password.to_owned()));
        for (token68, expected) in [
            // RFC 7617 2 and 2.1.
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", both("Aladdin", "open sesame")),
            ("dGVzdDoxMjPCow==", both("test", "123\u{a3}")),
            ("Og==", both("", "")),
            ("YTpiOmM=", both("a", "b:c")),
            // a, e with a combining acute accent: one character after normalisation.
            ("YTplzIE=", both("a", "\u{e9}")),
            ("", Err("there is no colon between user name and password")),
            ("YQ==", Err("there is no colon between user name and password")),
            ("YTpi", both("a", "b")),
            ("YTpi=", Err("what follows Basic is not Base64")),
            ("Y*pi", Err("what follows Basic is not Base64")),
            ("YTo", Err("what follows Basic is not Base64")),
            ("dGVzdDoxMjOj", Err("user name and password are not UTF-8")),
            ("YTpiCg==", Err("there are control characters in user name or password")),
            ("YQA6Yg==", Err("there are control characters in user name or password")),
        ] {
            assert_eq!(read(token68), expected, "{token68}");
        }
    }
}
