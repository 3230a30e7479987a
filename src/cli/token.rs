//! `scimshim token`: issue, rotate, list and revoke. A token is printed once, alone on stdout, and is
//! kept nowhere; what to do with it goes to stderr. What OAuth clients were granted is listed and revoked with the tokens.

use super::common::{Failure, load, print, say};
use super::duration;
use crate::config::{Config, Profile};
use crate::identity::oauth2::store::GrantStore;
use crate::identity::store::{Issue, TokenStore};
use crate::identity::token::is_opaque_id;
use crate::own::{OauthGrant, TokenRow};
use crate::server::assemble::Assembler;
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Microseconds in a second.
const MICROS: i64 = 1_000_000;
/// How long a token lives unless said otherwise.
pub const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// What is done with tokens.
#[derive(Subcommand)]
pub enum Verb {
    /// Make a token for an identity server; it is shown once
    Issue {
        /// The identity server
        server: String,
        /// What the token is for
        #[arg(long)]
        label: Option<String>,
        /// When it ends
        #[arg(long, default_value = "10y", value_parser = duration::parse)]
        expires: Duration,
        /// It may only read
        #[arg(long)]
        read_only: bool,
        /// A short token (55 characters), for clients that have no room for a signed one
        #[arg(long)]
        opaque: bool,
    },
    /// Make a token like the identity server's newest one (as long a life, the same label and rights) and end the others
    Rotate {
        /// The identity server
        server: String,
        /// Rotate this token, as `list` shows it, and let the others be
        id: Option<String>,
        /// How long what is rotated stays good
        #[arg(long, default_value = "0s", value_parser = duration::parse)]
        overlap: Duration,
        /// A short token (55 characters), for clients that have no room for a signed one
        #[arg(long)]
        opaque: bool,
    },
    /// Make a new key to sign tokens with, for all identity servers; what the old key signed ends with the overlap
    RotateKey {
        /// How long tokens signed before stay good: time to rotate each of them
        #[arg(long, default_value = "30d", value_parser = duration::parse)]
        overlap: Duration,
    },
    /// What tokens there are
    List {
        /// Of this identity server only
        server: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End a token, everywhere, within a second
    Revoke {
        /// The identity server
        server: String,
        /// The token's id, as `list` shows it
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All of the identity server's
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

/// Does it.
pub fn run(given: Option<PathBuf>, verb: &Verb) -> Result<(), Failure> {
    let config = load(given)?;
    let assembler = Assembler::new(&config)?;
    let store = store(&assembler);
    let failed = |error| Failure::from(assembler.own_trouble(error));
    match verb {
        Verb::Issue { server, label, expires, read_only, opaque } => {
            known(&config, server)?;
            heard(&config, server)?;
            let (token, _) =
                make(&config, &assembler, server, label.as_deref().unwrap_or_default(), *expires, *read_only, *opaque)?;
            print(&token)?;
            next_steps(&config, server);
            Ok(())
        }
        Verb::Rotate { server, id, overlap, opaque } => {
            known(&config, server)?;
            heard(&config, server)?;
            rotate(&config, &assembler, server, id.as_deref(), *overlap, *opaque)
        }
        Verb::RotateKey { overlap } => {
            let end = Utc::now().timestamp().saturating_add(i64::try_from(overlap.as_secs()).unwrap_or(i64::MAX));
            let (key, ending) = store.rotate_key(end).map_err(failed)?;
            print(&key)?;
            say("The line above is the id of the key that signs tokens from now on.");
            let end = instant(end.saturating_mul(MICROS));
            if ending.is_empty() {
                say(&format!("What was signed before is good until {end}; no live token is affected."));
                return Ok(());
            }
            say(&format!("These tokens now end at {end}; before that, run `scimshim token rotate` for their servers:"));
            for row in ending {
                say(format!("  {}  {}  {}", row.id, row.server, row.label).trim_end());
            }
            Ok(())
        }
        Verb::List { server, json } => {
            if let Some(server) = server {
                known(&config, server)?;
            }
            let mut lines: Vec<Line> =
                store.list(server.as_deref()).map_err(failed)?.into_iter().map(Line::from).collect();
            lines.extend(grants(&assembler).list(server.as_deref()).map_err(failed)?.into_iter().map(Line::from));
            list(&lines, *json)
        }
        Verb::Revoke { server, id, all } => {
            let ended = if *all {
                let granted = grants(&assembler).end_all(server).map_err(failed)?;
                store.revoke_all(server, None).map_err(failed)?.saturating_add(granted)
            } else if grants(&assembler).end(server, id.as_deref().unwrap_or_default()).map_err(failed)? {
                1
            } else {
                let id = id.as_deref().unwrap_or_default();
                let known = store.list(Some(server)).map_err(failed)?;
                if !known.iter().any(|row| row.id == id) {
                    return Err(no_token(server, id));
                }
                u64::from(store.revoke(server, id).map_err(failed)?)
            };
            say(&format!("{ended} token(s) revoked"));
            Ok(())
        }
    }
}

fn store(assembler: &Assembler) -> TokenStore {
    TokenStore::new(Arc::clone(assembler.database()), assembler.own().clone())
}

fn grants(assembler: &Assembler) -> GrantStore {
    GrantStore::new(Arc::clone(assembler.database()), assembler.own().clone())
}

/// Makes a token that is what another was, lives as long and is called the same, and ends the other: the one of this `id`, or
/// all that the identity server has.
fn rotate(
    config: &Config,
    assembler: &Assembler,
    server: &str,
    id: Option<&str>,
    overlap: Duration,
    opaque: bool,
) -> Result<(), Failure> {
    let store = store(assembler);
    let failed = |error| Failure::from(assembler.own_trouble(error));
    let now = Utc::now();
    let rows = store.list(Some(server)).map_err(failed)?;
    let old = rotated(&rows, server, id, now.timestamp_micros())?;
    let label = old.map_or("", |row| row.label.as_str());
    let read_only = old.is_some_and(|row| row.read_only);
    let life = old.and_then(|row| Some((row.expires_at? - row.created_at) / MICROS));
    let life = life.and_then(|seconds| u64::try_from(seconds).ok()).map_or(TEN_YEARS, Duration::from_secs);
    let opaque = opaque || old.is_some_and(|row| is_opaque_id(&row.id));
    // The new one first: should anything fail in between, there is one too many and not none.
    let (token, new) = make(config, assembler, server, label, life, read_only, opaque)?;
    let end = now.timestamp().saturating_add(i64::try_from(overlap.as_secs()).unwrap_or(i64::MAX));
    let ended = match (id, overlap.is_zero()) {
        (Some(id), true) => store.revoke(server, id).map(u64::from),
        (Some(id), false) => store.expire(server, id, end).map(u64::from),
        (None, true) => store.revoke_all(server, Some(&new)),
        (None, false) => store.expire_all(server, Some(&new), end),
    };
    let ended = ended.map_err(failed)?;
    print(&token)?;
    if let Some(old) = old {
        say(&format!("{new} takes the place of {}", described(old)));
    }
    match overlap.is_zero() {
        true => say(&format!("{ended} older token(s) ended")),
        false => say(&format!("{ended} older token(s) end at {}", instant(end.saturating_mul(MICROS)))),
    }
    next_steps(config, server);
    Ok(())
}

/// Which token is rotated: the one asked for, or the newest of those that live, where they may all do the same; where none lives, the
/// newest there was. `now` in microseconds.
fn rotated<'a>(
    rows: &'a [TokenRow],
    server: &str,
    id: Option<&str>,
    now: i64,
) -> Result<Option<&'a TokenRow>, Failure> {
    if let Some(id) = id {
        return match rows.iter().find(|row| row.id == id) {
            None => Err(no_token(server, id)),
            Some(row) if !row.is_live(now) => Err(Failure::Message(format!(
                "{} of `{server}` ended already; `scimshim token issue {server}` makes a new one",
                described(row)
            ))),
            Some(row) => Ok(Some(row)),
        };
    }
    let live: Vec<&TokenRow> = rows.iter().filter(|row| row.is_live(now)).collect();
    if live.iter().any(|row| row.read_only) && live.iter().any(|row| !row.read_only) {
        let each: String = live.iter().map(|row| format!("\n  {}", described(row))).collect();
        return Err(Failure::Message(format!(
            "some of `{server}`'s live tokens may only read and others may write:{each}\n\
             say which one is rotated, and the others stay: `scimshim token rotate {server} ID`"
        )));
    }
    Ok(live.last().copied())
}

/// A token for people, its rights said.
fn described(row: &TokenRow) -> String {
    let label = if row.label.is_empty() { String::new() } else { format!(" \"{}\"", row.label) };
    let rights = if row.read_only { " (read only)" } else { "" };
    format!("{}{label}{rights}", row.id)
}

fn no_token(server: &str, id: &str) -> Failure {
    Failure::Message(format!("`{server}` has no token {id}; see `scimshim token list {server}`"))
}

/// Makes a token and notes its fingerprint; gives the token and its id.
pub fn make(
    config: &Config,
    assembler: &Assembler,
    server: &str,
    label: &str,
    life: Duration,
    read_only: bool,
    opaque: bool,
) -> Result<(String, String), Failure> {
    if life.is_zero() {
        return Err(Failure::Message("a token that ends at once is of no use".to_owned()));
    }
    let now = Utc::now().timestamp();
    let life = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
    let what = Issue {
        public_url: &config.public_url,
        server,
        label,
        now,
        expires: now.saturating_add(life),
        read_only,
        opaque,
    };
    store(assembler).issue(&what).map_err(|error| assembler.own_trouble(error).into())
}

fn known(config: &Config, server: &str) -> Result<(), Failure> {
    if config.identity_server(server).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = config.identity_servers.iter().map(|server| server.name.as_str()).collect();
    let near = crate::document::nearest(server, names.iter().copied());
    let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(Failure::Message(format!("there is no identity server `{server}`{near} (there are: {})", names.join(", "))))
}

/// Whether anybody could come with a token of ours.
fn heard(config: &Config, name: &str) -> Result<(), Failure> {
    let server = config.identity_server(name);
    if server.is_none_or(|server| server.authentication.bearer.is_some()) {
        return Ok(());
    }
    Err(Failure::Message(format!(
        "`{name}` takes no tokens of `scimshim token`: its `authentication` names other ways only; \
         add `bearer: {{}}` to them to let it"
    )))
}

/// What the administrator does with the token.
fn next_steps(config: &Config, name: &str) {
    let Some(server) = config.identity_server(name) else {
        return;
    };
    let url = if server.default {
        format!("{}/scim/v2", config.public_url)
    } else {
        format!("{}/scim/{name}/v2", config.public_url)
    };
    say(&format!("\nSCIM URL  {url}"));
    say("Token     the line above; it is shown only now");
    let steps = match server.profile {
        Profile::Entra => {
            "Enterprise application > Provisioning > Admin credentials: \"Tenant URL\" takes the SCIM URL with \
             ?aadOptscim062020 at its end, \"Secret token\" the token; then Test Connection."
        }
        Profile::Okta => {
            "Application > Provisioning > Integration: \"SCIM connector base URL\" takes the SCIM URL, authentication \
             mode \"HTTP Header\", \"Authorization\" the token, unique identifier field userName."
        }
        Profile::Onelogin => {
            "Application > Configuration: \"SCIM Base URL\" takes the SCIM URL, \"SCIM Bearer Token\" the token; then Enable."
        }
        Profile::Jumpcloud => {
            "Application > Identity Management: \"Base URL\" takes the SCIM URL, \"Token Key\" the token, version SCIM 2.0; \
             then Test Connection."
        }
        Profile::Authentik => "Providers > SCIM provider: \"URL\" takes the SCIM URL, \"Token\" the token.",
        Profile::Standard | Profile::Keycloak | Profile::Ping | Profile::Google => {
            "Give both to the identity provider: it sends the token as `Authorization: Bearer ...`."
        }
    };
    say(steps);
}

/// What is listed: a token of ours, or what an OAuth client was granted. Instants in microseconds since 1970.
struct Line {
    kind: &'static str,
    id: String,
    server: String,
    label: String,
    state: &'static str,
    read_only: bool,
    created: i64,
    expires: Option<i64>,
    last_used: Option<i64>,
    revoked: Option<i64>,
}

impl From<TokenRow> for Line {
    fn from(row: TokenRow) -> Self {
        let now = Utc::now().timestamp_micros();
        // One that will be revoked, when what replaces it has overlapped long enough, simply ends then.
        let revoked = row.revoked_at.filter(|at| *at <= now);
        let state = match revoked {
            Some(_) => "revoked",
            None if row.is_live(now) => "live",
            None => "expired",
        };
        Self {
            kind: "bearer",
            state,
            read_only: row.read_only,
            created: row.created_at,
            expires: row.ends_at(),
            last_used: row.last_used_at,
            revoked,
            server: row.server,
            label: row.label,
            id: row.id,
        }
    }
}

impl From<OauthGrant> for Line {
    fn from(grant: OauthGrant) -> Self {
        let by = if grant.subject.is_empty() { String::new() } else { format!(", agreed by {}", grant.subject) };
        Self {
            kind: "oauth2",
            id: grant.id,
            server: grant.server,
            label: format!("OAuth client {}{by}", grant.client),
            state: "live",
            read_only: grant.scope != "scim",
            created: grant.created_at,
            expires: Some(grant.expires_at),
            last_used: grant.last_used_at,
            revoked: None,
        }
    }
}

fn list(lines: &[Line], as_json: bool) -> Result<(), Failure> {
    if as_json {
        let each = lines.iter().map(|line| {
            json!({
                "id": line.id,
                "kind": line.kind,
                "server": line.server,
                "label": line.label,
                "state": line.state,
                "read_only": line.read_only,
                "created": instant(line.created),
                "expires": line.expires.map(instant),
                "last_used": line.last_used.map(instant),
                "revoked": line.revoked.map(instant),
            })
        });
        return print(&each.collect::<Value>().to_string());
    }
    if lines.is_empty() {
        say("no tokens");
        return Ok(());
    }
    let day = |at: i64| instant(at).chars().take(10).collect::<String>();
    print(&format!(
        "{:16}  {:12}  {:7}  {:10}  {:10}  {:20}  LABEL",
        "ID", "SERVER", "STATE", "CREATED", "EXPIRES", "LAST USED"
    ))?;
    for line in lines {
        let label = &line.label;
        let read_only = if line.read_only { " (read only)" } else { "" };
        let text = format!(
            "{:16}  {:12}  {:7}  {:10}  {:10}  {:20}  {label}{read_only}",
            line.id,
            line.server,
            line.state,
            day(line.created),
            line.expires.map_or_else(|| "never".to_owned(), day),
            line.last_used.map_or_else(|| "never".to_owned(), instant),
        );
        print(text.trim_end())?;
    }
    Ok(())
}

/// Of microseconds since 1970.
fn instant(at: i64) -> String {
    let known = DateTime::<Utc>::from_timestamp_micros(at);
    known.map_or_else(|| at.to_string(), |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
}
