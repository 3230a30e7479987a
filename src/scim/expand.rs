//! The keys of a resource or of a path-less PATCH value, in all their spellings, as one list of targets.
//!
//! `userName`, `NAME.givenName`, `emails[type eq "work"].value`, `urn:...:User:department`, and `urn:...:User` with an object
//! below it (the core URN too) all become the same [`Entry`]. Both POST and PATCH go through here, so they cannot differ.

use serde_json::Value;

use super::filter::{self, Filter};
use super::schema::{Home, Resolved};
use super::value::leaf;
use super::{AttributePath, Error, Kind, Object, Path, ResourceSchema, name};

/// A value and where it belongs.
#[derive(Debug)]
pub(super) struct Entry<'s> {
    pub(super) at: Resolved<'s>,
    pub(super) filter: Option<Filter>,
    pub(super) value: Value,
}

/// What a PATCH path means for a resource type.
pub(super) enum Target<'s> {
    /// All attributes of the core or of an extension.
    Home(Home<'s>),
    /// One attribute, or some of its values.
    Attribute(Resolved<'s>, Option<Filter>),
    /// Well-formed, but nothing that this resource type has.
    Unknown,
}

/// Finds what a path points to, settling with the schema's help where a URN ends.
pub(super) fn target<'s>(path: &Path, schema: &'s ResourceSchema) -> Target<'s> {
    let attribute = |path: &AttributePath, filter: Option<&Filter>| match schema.resolve(path) {
        Some(at) => Target::Attribute(at, filter.cloned()),
        None => match path.as_urn().filter(|_| filter.is_none()).and_then(|urn| schema.home(&urn)) {
            Some(home) => Target::Home(home),
            None => Target::Unknown,
        },
    };
    match path {
        Path::Schema(urn) => match (schema.home(urn), urn.rsplit_once(':')) {
            (Some(home), _) => Target::Home(home),
            (None, Some((urn, rest))) => {
                attribute(&AttributePath { schema: Some(urn.to_owned()), ..AttributePath::new(rest) }, None)
            }
            (None, None) => Target::Unknown,
        },
        Path::Attribute(path) => attribute(path, None),
        Path::Value { attribute: path, filter, sub } => {
            attribute(&AttributePath { sub: sub.clone(), ..path.clone() }, Some(filter))
        }
    }
}

/// Appends the entries of `object`, whose keys belong to `home`; names that nothing has go to `dropped`.
pub(super) fn expand<'s>(
    object: Object,
    home: Home<'s>,
    schema: &'s ResourceSchema,
    dropped: &mut Vec<String>,
    entries: &mut Vec<Entry<'s>>,
) -> Result<(), Error> {
    for (key, value) in object {
        let attribute = match home {
            Home::Core => schema.top(&key).map(|attribute| Resolved { extension: None, attribute, sub: None }),
            Home::Extension(extension) => {
                extension.attribute(&key).map(|attribute| Resolved { extension: Some(extension), attribute, sub: None })
            }
        };
        if let Some(at) = attribute {
            push(Entry { at, filter: None, value }, dropped, entries);
            continue;
        }
        // A URN known whole needs no guess at where it ends.
        if let Some(home) = schema.home(&key) {
            whole(&key, value, home, schema, dropped, entries)?;
            continue;
        }
        match Path::parse(&key, &filter::Limits::default()).map(|path| target(&within(path, home), schema)) {
            Ok(Target::Attribute(at, filter)) => push(Entry { at, filter, value }, dropped, entries),
            Ok(Target::Home(home)) => whole(&key, value, home, schema, dropped, entries)?,
            Ok(Target::Unknown) | Err(_) => dropped.push(key),
        }
    }
    Ok(())
}

/// The entries of a whole schema's value: an object, or null for none of it.
pub(super) fn whole<'s>(
    key: &str,
    value: Value,
    home: Home<'s>,
    schema: &'s ResourceSchema,
    dropped: &mut Vec<String>,
    entries: &mut Vec<Entry<'s>>,
) -> Result<(), Error> {
    match (value, home) {
        (Value::Object(object), home) => expand(object, home, schema, dropped, entries),
        (Value::Null, Home::Extension(extension)) => {
            entries.extend(extension.attributes.iter().map(|attribute| Entry {
                at: Resolved { extension: Some(extension), attribute, sub: None },
                filter: None,
                value: Value::Null,
            }));
            Ok(())
        }
        _ => Err(Error::invalid_value(format!("{} must be an object", super::path::quoted(key)))),
    }
}

/// Appends one entry; a singular complex value such as `name` becomes one entry a sub-attribute, because what it leaves out
/// is not meant to go.
pub(super) fn push<'s>(entry: Entry<'s>, dropped: &mut Vec<String>, entries: &mut Vec<Entry<'s>>) {
    let Entry { at, filter, value } = entry;
    let merges = filter.is_none() && at.sub.is_none() && is_merged(at);
    match value {
        Value::Object(object) if merges => {
            for (key, value) in object {
                match at.attribute.sub(&key) {
                    Some(sub) => entries.push(Entry { at: Resolved { sub: Some(sub), ..at }, filter: None, value }),
                    None => dropped.push(format!("{}.{key}", at.full_name())),
                }
            }
        }
        Value::Array(mut list) if merges && list.len() == 1 => {
            push(Entry { at, filter, value: list.swap_remove(0) }, dropped, entries);
        }
        value => entries.push(Entry { at, filter, value }),
    }
}

/// Whether sub-attributes that a new value leaves out keep their old values. What has a `value`, such as `manager`, is one
/// thing and is replaced whole.
fn is_merged(at: Resolved<'_>) -> bool {
    leaf(at).kind == Kind::Complex && !at.attribute.multi_valued && at.attribute.sub("value").is_none()
}

/// A key inside an extension's object belongs to the extension unless it names a schema itself.
fn within(path: Path, home: Home<'_>) -> Path {
    let Home::Extension(extension) = home else { return path };
    let qualify = |mut path: AttributePath| {
        if path.schema.is_none() && extension.attributes.iter().any(|own| name::same(&own.name, &path.attribute)) {
            path.schema = Some(extension.id.clone());
        }
        path
    };
    match path {
        Path::Schema(urn) => Path::Schema(urn),
        Path::Attribute(path) => Path::Attribute(qualify(path)),
        Path::Value { attribute, filter, sub } => Path::Value { attribute: qualify(attribute), filter, sub },
    }
}
