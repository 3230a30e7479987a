//! The pages that an administrator sees: HTML without scripts and with one style sheet of its own, which is all that its
//! Content-Security-Policy lets the browser use. Everything that comes from elsewhere is escaped, here and nowhere else.

use super::answer::{Answer, Problem};
use super::authorize::Ticket;
use crate::directory::{Directory, Operation, ServerView};
use crate::identity::oauth2::authorization::AuthorizationRequest;
use crate::identity::oauth2::scope::Scope;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_FRAME_OPTIONS};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::OnceLock;

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const STYLE: &str = include_str!("page.css");

/// What the page asks.
pub(super) struct Ask<'a> {
    /// Who asks for what.
    pub(super) request: &'a AuthorizationRequest<'a>,
    /// The identity server's name.
    pub(super) server: &'a str,
    /// The application's title.
    pub(super) application: &'a str,
    /// The service's public URL.
    pub(super) home: &'a str,
    /// What the client could do, by resource type.
    pub(super) may: Vec<(String, Vec<&'static str>)>,
    /// Whether administrators of the application may agree too.
    pub(super) application_accounts: bool,
    /// What makes the form good once.
    pub(super) ticket: Ticket,
    /// What went wrong the last time.
    pub(super) told: Option<&'a str>,
    /// The name that was typed then.
    pub(super) name: &'a str,
}

/// What a token of this scope would let the identity server do with each resource type: no more than its `may` and `scope`
/// allow.
pub(super) fn allowed(directory: &Directory, view: &ServerView, scope: Scope) -> Vec<(String, Vec<&'static str>)> {
    use Operation::{Create, Deactivate, Delete, Read, Update};
    let types = directory.adapter().resource_types.iter();
    let words =
        [(Read, "read"), (Create, "create"), (Update, "change"), (Deactivate, "deactivate"), (Delete, "delete")];
    let allowed = types.map(|type_| {
        let may = words.iter().filter(|(operation, _)| {
            (scope == Scope::Everything || *operation == Read) && view.may.allow(&type_.name, *operation)
        });
        (type_.name.clone(), may.map(|(_, word)| *word).collect::<Vec<_>>())
    });
    allowed.filter(|(_, words)| !words.is_empty()).collect()
}

/// The page with the form.
pub(super) fn ask(status: StatusCode, ask: &Ask<'_>) -> Answer {
    let client = escaped(&ask.request.client.id);
    let (server, application, home) = (escaped(ask.server), escaped(ask.application), escaped(ask.home));
    let target = escaped(origin(ask.request.redirect_uri));
    let mut may = String::new();
    for (name, words) in &ask.may {
        let _ = write!(may, "<li><strong>{}</strong>: {}</li>", escaped(name), words.join(", "));
    }
    if ask.may.is_empty() {
        may.push_str("<li>nothing, by the configuration of this identity server</li>");
    }
    let mut hidden = String::new();
    let issued = ask.ticket.issued.to_string();
    let ticket = [("nonce", &*ask.ticket.nonce), ("issued", &issued), ("seal", &ask.ticket.seal)];
    for (name, value) in ask.request.repeated().into_iter().chain(ticket) {
        let _ = write!(hidden, "<input type=\"hidden\" name=\"{name}\" value=\"{}\">", escaped(value));
    }
    let told = ask.told.map(|told| format!("<p class=\"told\" role=\"alert\" id=\"told\">{}</p>", escaped(told)));
    let described = if ask.told.is_some() { " aria-describedby=\"told\"" } else { "" };
    let whose = match ask.application_accounts {
        true => "Sign in as an administrator of the application or of scimshim.",
        false => "Sign in as an administrator of scimshim.",
    };
    let (name, told) = (escaped(ask.name), told.unwrap_or_default());
    // The cursor goes to what is to be typed next.
    let (first, second) = if name.is_empty() { (" autofocus", "") } else { ("", " autofocus") };
    let body = format!(
        "<h1>Let <em>{client}</em> into {application}?</h1>\
         <p>The client <strong>{client}</strong> asks for access at the identity server <strong>{server}</strong> of \
         <span class=\"url\">{home}</span>. With it, it can do this there without asking again:</p>\
         <ul>{may}</ul>\
         <p>The answer goes to <span class=\"url\">{target}</span>. If you did not start this yourself, refuse.</p>\
         {told}\
         <form method=\"post\" action=\"/oauth2/{server}/authorize\" autocomplete=\"on\">{hidden}\
         <p class=\"hint\" id=\"whose\">{whose}</p>\
         <label for=\"username\">Account</label>\
         <input id=\"username\" name=\"username\" type=\"text\" value=\"{name}\" autocomplete=\"username\" \
         autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"255\" required{first}{described}>\
         <label for=\"password\">Password</label>\
         <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" maxlength=\"1024\" \
         required{second}{described}>\
         <div class=\"buttons\">\
         <button type=\"submit\" name=\"decision\" value=\"agree\" class=\"agree\">Agree</button>\
         <button type=\"submit\" name=\"decision\" value=\"refuse\" formnovalidate>Refuse</button>\
         </div></form>"
    );
    // Chromium holds the redirection that answers the form, and those after it, against `form-action`.
    let targets = match ask.request.redirect_uri.starts_with("https://") {
        true => "'self' https:".to_owned(),
        false => format!("'self' https: {}", origin(ask.request.redirect_uri)),
    };
    html(status, "Allow access", &body, &targets)
}

/// A page that says why there is no form.
pub(super) fn problem(problem: &Problem) -> Answer {
    let title = match problem.status() {
        StatusCode::SERVICE_UNAVAILABLE => "Not now",
        StatusCode::TOO_MANY_REQUESTS => "Too many attempts",
        StatusCode::NOT_FOUND => "Nothing is here",
        _ => "This request cannot be answered",
    };
    let body = format!(
        "<h1>{title}</h1><p class=\"told\" role=\"alert\">{}</p>\
         <p>Nothing was allowed, and nobody was told. Start again from the identity provider; if this comes again, show it to \
         whoever configures scimshim.</p>",
        escaped(&sentence(&problem.description()))
    );
    problem.headers(html(problem.status(), title, &body, "'none'"))
}

fn html(status: StatusCode, title: &str, body: &str, form_action: &str) -> Answer {
    static STYLE_HASH: OnceLock<String> = OnceLock::new();
    let hash = STYLE_HASH.get_or_init(|| STANDARD.encode(Sha256::digest(STYLE.as_bytes())));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action {form_action}; frame-ancestors 'none'; base-uri 'none'"
    );
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><meta name=\"robots\" content=\"noindex\">\
         <title>{title} - scimshim</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    );
    Answer::page(status, page)
        .with(CONTENT_SECURITY_POLICY, &policy)
        .with(X_FRAME_OPTIONS, "DENY")
        // Not `no-referrer`: then browsers say `Origin: null` of our own form.
        .with(REFERRER_POLICY, "same-origin")
        .with(PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=()")
}

/// Scheme, host and port of a redirect_uri that was configured.
fn origin(uri: &str) -> &str {
    let after = uri.find("://").map_or(0, |at| at + 3);
    let end = uri.get(after..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(uri.len(), |at| after + at);
    uri.get(..end).unwrap_or(uri)
}

/// Text in HTML, in elements and in attributes in double quotes.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", characters.as_str().trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(escaped("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
        assert_eq!(origin("https://a.example:8443/cb?x=1"), "https://a.example:8443");
        assert_eq!(origin("https://a.example?x"), "https://a.example");
        assert_eq!(origin("https://a.example"), "https://a.example");
        assert_eq!(sentence("no such client."), "No such client.");
    }

    /// Each pair of colours is told apart by who sees little (WCAG 2.2: 4.5 for text, 3 for what is used), by day and by night.
    #[test]
    fn contrast() {
        let brightness = |colour: &str| {
            let channel = |at: usize| {
                let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
                if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
        };
        for scheme in STYLE.split(":root {").skip(1) {
            let colour = |name: &str| {
                let rest = scheme.split(&format!("--{name}: ")).nth(1).unwrap_or_else(|| panic!("{name}"));
                brightness(rest.split(';').next().unwrap())
            };
            for (one, other, least) in [
                ("ink", "card", 4.5),
                ("soft", "card", 4.5),
                ("accent", "card", 4.5),
                ("on-accent", "accent", 4.5),
                ("alarm", "alarm-ground", 4.5),
                ("line", "card", 3.0),
            ] {
                let (one_is, other_is) = (colour(one), colour(other));
                let ratio = (one_is.max(other_is) + 0.05) / (one_is.min(other_is) + 0.05);
                assert!(ratio >= least, "{one} on {other}: {ratio:.2}");
            }
        }
    }

    /// A style sheet that held this could end its element, and one with an `@import` or `url` would ask for more.
    #[test]
    fn the_style_sheet_is_alone() {
        for word in ["<", "@import", "url(", "expression"] {
            assert!(!STYLE.contains(word), "{word}");
        }
    }
}
