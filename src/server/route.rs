//! From a path to what it names. Tolerant where clients are sloppy: a slash too many, another case.
//!
//! Runs after [`super::refusals`], so that a segment, once decoded, holds no slash, dot segment or NUL.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// The longest SCIM id that is looked for, in bytes.
pub const MAX_ID: usize = 255;

/// What a path under `/scim` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<'p> {
    /// The identity server, by name; `None` is the default one.
    pub server: Option<Cow<'p, str>>,
    /// What is asked of it.
    pub target: Target<'p>,
}

/// What is asked of an identity server. Resource types are indices into the adapter's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target<'p> {
    /// `/ServiceProviderConfig`, and with an `s`.
    ServiceProviderConfig,
    /// `/ResourceTypes`, one of them by name.
    ResourceTypes(Option<Cow<'p, str>>),
    /// `/Schemas`, one of them by URN.
    Schemas(Option<Cow<'p, str>>),
    /// `/Me`.
    Me,
    /// `/Bulk`.
    Bulk,
    /// The root itself: all resources (RFC 7644 3.4.2.1).
    Root,
    /// `/.search` at the root.
    SearchAll,
    /// `/Users`.
    Collection(usize),
    /// `/Users/.search`.
    Search(usize),
    /// `/Users/ID`.
    Resource(usize, Cow<'p, str>),
    /// Nothing that is there.
    Unknown,
}

impl Target<'_> {
    /// The route as logs and metrics name it: never an id, never a name from the path.
    pub fn template(&self, endpoints: &[Endpoint]) -> &'static str {
        match self {
            Target::ServiceProviderConfig => "/ServiceProviderConfig",
            Target::ResourceTypes(_) => "/ResourceTypes",
            Target::Schemas(_) => "/Schemas",
            Target::Me => "/Me",
            Target::Bulk => "/Bulk",
            Target::Root => "/",
            Target::SearchAll => "/.search",
            Target::Collection(n) => endpoints.get(*n).map_or("?", |e| e.collection),
            Target::Search(n) => endpoints.get(*n).map_or("?", |e| e.search),
            Target::Resource(n, _) => endpoints.get(*n).map_or("?", |e| e.resource),
            Target::Unknown => "unknown",
        }
    }

    /// Whether it says what the service can do, and nothing of anybody.
    pub fn is_discovery(&self) -> bool {
        matches!(self, Target::ServiceProviderConfig | Target::ResourceTypes(_) | Target::Schemas(_))
    }

    /// The methods it knows, as `Allow` says them.
    pub fn allow(&self) -> &'static str {
        match self {
            Target::ServiceProviderConfig | Target::ResourceTypes(_) | Target::Schemas(_) | Target::Root => {
                "GET, HEAD, OPTIONS"
            }
            Target::Me => "GET, HEAD, POST, PUT, PATCH, DELETE",
            Target::Bulk | Target::SearchAll | Target::Search(_) => "POST, OPTIONS",
            Target::Collection(_) => "GET, HEAD, POST, OPTIONS",
            Target::Resource(..) => "GET, HEAD, PUT, PATCH, DELETE, OPTIONS",
            Target::Unknown => "",
        }
    }
}

/// One resource type's endpoint, with its templates made once.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `Users`, without a slash.
    name: String,
    collection: &'static str,
    resource: &'static str,
    search: &'static str,
}

impl Endpoint {
    /// From `/Users`.
    pub fn new(endpoint: &str) -> Self {
        let name = endpoint.trim_matches('/').to_owned();
        let template = |suffix: &str| kept(format!("/{name}{suffix}"));
        Self { collection: template(""), resource: template("/{id}"), search: template("/.search"), name }
    }
}

/// A template that lives as long as the process. Endpoints are made anew at each look at the database: equal ones are one.
fn kept(template: String) -> &'static str {
    static TEMPLATES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = templates.get(template.as_str()) {
        return known;
    }
    let template: &'static str = Box::leak(template.into_boxed_str());
    templates.insert(template);
    template
}

/// Whether a path is ours whatever comes of it: its first segment, bare, is `scim` or `oauth2` in any case. So is the metadata
/// of our own authorization servers.
pub fn is_ours(path: &str) -> bool {
    let mut segments = bare_segments(path);
    match segments.next().unwrap_or_default().as_str() {
        ".well-known" => {
            segments.next().is_some_and(|second| second == "oauth-authorization-server")
                && segments.next().is_some_and(|third| third.eq_ignore_ascii_case("oauth2"))
        }
        first => first.eq_ignore_ascii_case("scim") || first.eq_ignore_ascii_case("oauth2"),
    }
}

/// The segments of a path, decoded, without what servers elsewhere strip from one before they compare it: parameters behind
/// `;`, dots and spaces at the end. Those of which nothing is left are none.
pub fn bare_segments(path: &str) -> impl Iterator<Item = String> {
    path.split('/').filter_map(|segment| {
        let decoded = percent_decode_str(segment).decode_utf8_lossy();
        let bare = decoded.split(';').next().unwrap_or_default().trim_end_matches(['.', ' ']);
        (!bare.is_empty()).then(|| bare.to_owned())
    })
}

/// Reads a path; `None` where it is not under `/scim` at all.
pub fn route<'p>(path: &'p str, endpoints: &[Endpoint]) -> Option<Route<'p>> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty()).map(decode);
    if !segments.next()??.eq_ignore_ascii_case("scim") {
        return None;
    }
    let (server, version) = match segments.next() {
        Some(Some(version)) if version.eq_ignore_ascii_case("v2") => (None, true),
        Some(Some(name)) => {
            let version = matches!(segments.next(), Some(Some(version)) if version.eq_ignore_ascii_case("v2"));
            (Some(name), version)
        }
        _ => (None, false),
    };
    let target = if version { target(segments, endpoints) } else { None };
    Some(Route { server, target: target.unwrap_or(Target::Unknown) })
}

/// Reads a path relative to the base URL, as the operations of a bulk request have it.
pub fn relative<'p>(path: &'p str, endpoints: &[Endpoint]) -> Target<'p> {
    target(path.split('/').filter(|segment| !segment.is_empty()).map(decode), endpoints).unwrap_or(Target::Unknown)
}

fn target<'p>(mut segments: impl Iterator<Item = Option<Cow<'p, str>>>, endpoints: &[Endpoint]) -> Option<Target<'p>> {
    let Some(first) = segments.next() else {
        return Some(Target::Root);
    };
    let first = first?;
    let second = match segments.next() {
        None => None,
        Some(segment) => Some(segment?),
    };
    if segments.next().is_some() {
        return None;
    }
    let found = endpoints
        .iter()
        .position(|endpoint| endpoint.name == *first)
        .or_else(|| endpoints.iter().position(|endpoint| endpoint.name.eq_ignore_ascii_case(&first)));
    if let Some(n) = found {
        return Some(match second {
            None => Target::Collection(n),
            Some(id) if id == ".search" => Target::Search(n),
            Some(id) if id.len() > MAX_ID => return None,
            Some(id) => Target::Resource(n, id),
        });
    }
    let is = |name: &str| first.eq_ignore_ascii_case(name);
    Some(match second {
        second if is("ResourceTypes") => Target::ResourceTypes(second),
        second if is("Schemas") => Target::Schemas(second),
        None if is("ServiceProviderConfig") || is("ServiceProviderConfigs") => Target::ServiceProviderConfig,
        None if is("Me") => Target::Me,
        None if is("Bulk") => Target::Bulk,
        None if is(".search") => Target::SearchAll,
        _ => return None,
    })
}

/// A segment, decoded; `None` where it is not UTF-8.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(segment).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let endpoints = [Endpoint::new("/Users"), Endpoint::new("/Groups"), Endpoint::new("/Locations")];
        let c = |text: &'static str| Cow::Borrowed(text);
        let table: Vec<(&str, Option<&str>, Target<'_>, &str)> = vec![
            ("/scim/v2/Users", None, Target::Collection(0), "/Users"),
            ("/scim/v2/Users/", None, Target::Collection(0), "/Users"),
            ("/scim/v2//Users", None, Target::Collection(0), "/Users"),
            ("/scim/v2/users", None, Target::Collection(0), "/Users"),
            ("/SCIM/V2/Users", None, Target::Collection(0), "/Users"),
            ("/scim/v2/Groups/7", None, Target::Resource(1, c("7")), "/Groups/{id}"),
            ("/scim/v2/Groups/profile-7/", None, Target::Resource(1, c("profile-7")), "/Groups/{id}"),
            ("/scim/v2/Users/a%20b", None, Target::Resource(0, c("a b")), "/Users/{id}"),
            ("/scim/v2/Users/a+b", None, Target::Resource(0, c("a+b")), "/Users/{id}"),
            ("/scim/v2/Users/%ff", None, Target::Unknown, "unknown"),
            ("/scim/v2/Users/.search", None, Target::Search(0), "/Users/.search"),
            ("/scim/v2/Locations/1", None, Target::Resource(2, c("1")), "/Locations/{id}"),
            ("/scim/entra/v2/Users", Some("entra"), Target::Collection(0), "/Users"),
            ("/scim/entra/v2/Users/1/x", Some("entra"), Target::Unknown, "unknown"),
            ("/scim/entra/v3/Users", Some("entra"), Target::Unknown, "unknown"),
            ("/scim/entra", Some("entra"), Target::Unknown, "unknown"),
            ("/scim/v2", None, Target::Root, "/"),
            ("/scim/v2/", None, Target::Root, "/"),
            ("/scim/entra/v2", Some("entra"), Target::Root, "/"),
            ("/scim/v2/%ff", None, Target::Unknown, "unknown"),
            ("/scim", None, Target::Unknown, "unknown"),
            ("/scim/v2/ServiceProviderConfig", None, Target::ServiceProviderConfig, "/ServiceProviderConfig"),
            ("/scim/v2/ServiceProviderConfigs", None, Target::ServiceProviderConfig, "/ServiceProviderConfig"),
            ("/scim/v2/ServiceProviderConfig/x", None, Target::Unknown, "unknown"),
            ("/scim/v2/ResourceTypes/User", None, Target::ResourceTypes(Some(c("User"))), "/ResourceTypes"),
            ("/scim/v2/Schemas/urn:a:b", None, Target::Schemas(Some(c("urn:a:b"))), "/Schemas"),
            ("/scim/v2/Schemas/urn%3Aa%3Ab", None, Target::Schemas(Some(c("urn:a:b"))), "/Schemas"),
            ("/scim/v2/Me", None, Target::Me, "/Me"),
            ("/scim/v2/Bulk", None, Target::Bulk, "/Bulk"),
            ("/scim/v2/.search", None, Target::SearchAll, "/.search"),
            ("/scim/v2/Nothing", None, Target::Unknown, "unknown"),
        ];
        for (path, server, target, template) in table {
            let route = route(path, &endpoints).unwrap_or_else(|| panic!("{path}"));
            assert_eq!(route.server.as_deref(), server, "{path}");
            assert_eq!(route.target, target, "{path}");
            assert_eq!(route.target.template(&endpoints), template, "{path}");
        }
        for path in ["/", "/index.php", "/scimx/v2/Users", "/oauth2/x/token"] {
            assert_eq!(route(path, &endpoints), None, "{path}");
        }
        let long = format!("/scim/v2/Users/{}", "x".repeat(MAX_ID + 1));
        assert_eq!(route(&long, &endpoints).unwrap().target, Target::Unknown);
    }

    #[test]
    fn templates_are_kept_once() {
        let (one, other) = (Endpoint::new("/Devices"), Endpoint::new("Devices"));
        for (one, other) in
            [(one.collection, other.collection), (one.resource, other.resource), (one.search, other.search)]
        {
            assert!(std::ptr::eq(one, other), "{one}");
        }
        assert_eq!((one.collection, one.resource, one.search), ("/Devices", "/Devices/{id}", "/Devices/.search"));
    }

    #[test]
    fn ours() {
        for (path, ours) in [
            ("/scim", true),
            ("//ScIm/x", true),
            ("/%73cim/x", true),
            ("/oauth2", true),
            ("/scim;x/v2", true),
            ("/scim.", true),
            ("/;x/scim", true),
            ("/%3b/%20/.../scim", true),
            ("/.well-known;x/oauth-authorization-server.;y/OAuth2%3bz", true),
            ("/app;x/scim", false),
            ("/scim%20", true),
            ("/SCIM%3bx", true),
            ("/.well-known/oauth-authorization-server/oauth2/entra", true),
            ("/.well-known/openid-configuration", false),
            ("/app/scim", false),
            ("/scimitar", false),
            ("/", false),
            ("", false),
        ] {
            assert_eq!(is_ours(path), ours, "{path}");
        }
    }
}
