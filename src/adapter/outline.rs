//! Resources, their sources and their attributes, as far as names go: what is there before any of it
//! is compiled.

use super::context::{Entry, Outline};
use super::names::{Names, compiled};
use super::{Slot, Target};
use crate::document::{self, Data, Findings, Key, Kind, Node, nearest};
use crate::scim::{self, Attribute, ResourceSchema, Schema, name, urn};
use crate::sql::ColumnKind;
use std::cell::RefCell;

/// The schemas that a resource type may draw on.
pub(super) struct Base {
    pub(super) core: Option<Schema>,
    pub(super) extensions: Vec<Schema>,
}

/// What the RFCs say of a resource type of this name.
pub(super) fn base(resource: &str) -> Base {
    match resource {
        "User" => Base { core: Some(Schema::user()), extensions: vec![Schema::enterprise_user()] },
        "Group" => Base { core: Some(Schema::group()), extensions: Vec::new() },
        _ => Base { core: None, extensions: Vec::new() },
    }
}

/// The outlines of one resource: one a source.
pub(super) fn outlines<'a>(key: &Key, node: &Node, names: &Names<'a>, findings: &mut Findings) -> Vec<Outline<'a>> {
    let Some(sources) = node.get("sources").filter(|sources| !sources.is_null()) else {
        return outline(&key.text, &key.text, node, node, names, findings).into_iter().collect();
    };
    let common: Vec<_> = node
        .entries()
        .iter()
        .filter(|(key, _)| !["sources", "create_in", "endpoint", "schema", "description"].contains(&key.text.as_str()))
        .cloned()
        .collect();
    let common = Node::new(Data::Mapping(common), node.place().clone());
    let mut all = Vec::new();
    for (name, source) in sources.read_entries(findings).unwrap_or_default() {
        let whole = document::merge(&common, source);
        all.extend(outline(&key.text, &name.text, &whole, source, names, findings));
    }
    all
}

fn outline<'a>(
    resource: &str,
    name: &str,
    node: &Node,
    at: &Node,
    names: &Names<'a>,
    findings: &mut Findings,
) -> Option<Outline<'a>> {
    node.read_entries(findings)?;
    let required = |key: &str, findings: &mut Findings| {
        let found = node.get(key);
        if found.is_none() {
            findings.error(at, format!("the key `{key}` is missing"));
        }
        found
    };
    let table = required("table", findings);
    let id = required("id", findings);
    let mut entries = entries(resource, node.get("attributes"), findings);
    if let Some(unmapped) = node.get("unmapped").filter(|node| node.as_str() == Some("store")) {
        stored(resource, unmapped, &mut entries);
    }
    let relation = names.table(table?, findings)?;
    let id = relation.named(id?, findings)?;
    if !relation.is_unique(&id.name) {
        findings.error(
            node.get("id")?,
            format!("`{}` is not the primary key of `{}`, nor unique", id.name, relation.table),
        );
    }
    if matches!(id.kind, ColumnKind::Binary(_)) {
        findings
            .error(
                node.get("id")?,
                format!("`{}.{}` holds bytes ({}), and a SCIM id is text", relation.table, id.name, id.sql_type),
            )
            .help(
                "name a unique column that people can read: another key of the table, or one that the database \
                 generates of this one, such as HEX(id) or encode(id, 'hex')",
            );
    }
    Some(Outline {
        resource: resource.to_owned(),
        name: name.to_owned(),
        node: node.clone(),
        columns: RefCell::new(vec![compiled(id)]),
        relation,
        entries,
    })
}

fn entries(resource: &str, node: Option<&Node>, findings: &mut Findings) -> Vec<Entry> {
    let base = base(resource);
    let mut all: Vec<Entry> = Vec::new();
    for (key, value) in node.and_then(|node| node.read_entries(findings)).unwrap_or_default() {
        if !urn::is_urn(&key.text) {
            all.extend(entry(None, key, value, &base, findings));
            continue;
        }
        let id = match urn::meaning(&key.text) {
            Some(urn::Meaning::Known(known)) => known.to_owned(),
            _ => key.text.clone(),
        };
        let extension = match &base.core {
            Some(core) if name::same(&core.id, &id) => None,
            _ => Some(id),
        };
        for (key, value) in value.read_entries(findings).unwrap_or_default() {
            all.extend(entry(extension.as_deref(), key, value, &base, findings));
        }
    }
    let mut kept: Vec<Entry> = Vec::new();
    for entry in all {
        match kept.iter().find(|earlier| earlier.target == entry.target) {
            Some(earlier) => {
                findings
                    .error(&entry.key, format!("`{}` is mapped twice", entry.target.path()))
                    .help(format!("the first stands at {}", earlier.key.place));
            }
            None => kept.push(entry),
        }
    }
    kept
}

/// `unmapped: store`: what the RFCs have and the adapter does not map, kept in our own tables. Not what the service itself
/// acts on or must not keep: `active`, passwords, members; nor elements of an attribute that has slots.
fn stored(resource: &str, at: &Node, entries: &mut Vec<Entry>) {
    let base = base(resource);
    let schemas = base.core.iter().map(|schema| (None, schema));
    let extensions = base.extensions.iter().map(|schema| (Some(schema.id.clone()), schema));
    for (extension, schema) in schemas.chain(extensions) {
        for attribute in &schema.attributes {
            let mut mapped = entries.iter().filter(|entry| {
                entry.target.extension == extension && name::same(&entry.target.attribute, &attribute.name)
            });
            let keeps = |attribute: &Attribute| {
                !attribute.is_read_only()
                    && attribute.returned == scim::Returned::Default
                    && attribute.mutability == scim::Mutability::ReadWrite
            };
            if !keeps(attribute) || ["active", "members"].contains(&attribute.name.as_str()) {
                continue;
            }
            let new = |sub: Option<&Attribute>| {
                let target = Target {
                    extension: extension.clone(),
                    attribute: attribute.name.clone(),
                    slot: None,
                    sub: sub.map(|sub| sub.name.clone()),
                };
                let place = at.place().clone();
                Entry {
                    key: Key::new(target.path(), place.clone()),
                    target,
                    node: Node::new(Data::String("sidecar".to_owned()), place),
                    definition: Some(sub.unwrap_or(attribute).clone()),
                    essential: false,
                }
            };
            let more: Vec<Entry> = match mapped.next() {
                None => vec![new(None)],
                // Of a singular attribute that is mapped in part, the rest.
                Some(first) if !attribute.multi_valued && first.target.sub.is_some() => {
                    let has = |sub: &Attribute| {
                        entries.iter().any(|entry| {
                            entry.target.extension == extension
                                && name::same(&entry.target.attribute, &attribute.name)
                                && entry.target.sub.as_deref().is_some_and(|known| name::same(known, &sub.name))
                        })
                    };
                    let subs = attribute.sub_attributes.iter().filter(|sub| keeps(sub) && !has(sub));
                    subs.map(|sub| new(Some(sub))).collect()
                }
                Some(_) => Vec::new(),
            };
            entries.extend(more);
        }
    }
}

fn entry(extension: Option<&str>, key: &Key, node: &Node, base: &Base, findings: &mut Findings) -> Option<Entry> {
    if let Some(enabled) = node.get("enabled")
        && !enabled.read_bool(findings)?
    {
        return None;
    }
    if node.is_null() {
        findings
            .error(key, format!("`{}` is mapped to nothing", key.text))
            .help("name a column, or leave the line out");
        return None;
    }
    let Some(mut target) = parse(&key.text) else {
        findings.error(key, format!("`{}` is not an attribute path", key.text)).help(
            "a path is like `userName`, `name.givenName`, `emails.value` or `phoneNumbers[type eq \"work\"].value`",
        );
        return None;
    };
    target.extension = extension.map(str::to_owned);
    let schema = match extension {
        None => base.core.as_ref(),
        Some(urn) => base.extensions.iter().find(|schema| schema.id == urn),
    };
    let common = || ResourceSchema::common().iter().find(|attribute| name::same(&attribute.name, &target.attribute));
    let top = schema
        .and_then(|schema| schema.attribute(&target.attribute))
        .or_else(|| common().filter(|_| extension.is_none()))
        .cloned();
    let Some(top) = top else {
        if let Some(schema) = schema {
            let finding =
                findings.error(key, format!("the schema {} has no attribute `{}`", schema.id, target.attribute));
            match nearest(&target.attribute, schema.attributes.iter().map(|a| a.name.as_str()).chain(["externalId"])) {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help("attributes of your own stand under a URN of your own"),
            };
            return None;
        }
        return Some(Entry { target, key: key.clone(), node: node.clone(), definition: None, essential: false });
    };
    if matches!(top.name.as_str(), "id" | "schemas" | "meta") {
        findings.error(key, format!("`{}` is not mapped as an attribute", top.name)).help(match top.name.as_str() {
            "id" => "the resource's own `id:` names the key column",
            "meta" => "the resource's `timestamps` name the columns of meta.created and meta.lastModified",
            _ => "scimshim fills it",
        });
        return None;
    }
    target.attribute.clone_from(&top.name);
    let definition = place(&mut target, &top, key, node, findings)?;
    Some(Entry { target, key: key.clone(), node: node.clone(), definition: Some(definition), essential: false })
}

/// Gives a path the schema's own spelling and says what stands at its end.
fn place(target: &mut Target, top: &Attribute, key: &Key, node: &Node, findings: &mut Findings) -> Option<Attribute> {
    let spelled = |sub: &str, findings: &mut Findings| {
        let found = top.sub(sub);
        if found.is_none() {
            let finding = findings.error(key, format!("`{}` has no sub-attribute `{sub}`", top.name));
            if let Some(near) = nearest(sub, top.sub_attributes.iter().map(|sub| sub.name.as_str())) {
                finding.help(format!("did you mean `{near}`?"));
            }
        }
        found.cloned()
    };
    if let Some(Slot::Where { sub, .. }) = &mut target.slot {
        *sub = spelled(sub, findings)?.name;
        if !top.multi_valued {
            findings.error(key, format!("`{}` has one value only: there is nothing to choose from", top.name));
            return None;
        }
    }
    let whole = node.get("link").is_some() || node.get("reference").is_some() || node.get("rows").is_some();
    if whole && target.sub.as_deref().is_some_and(|sub| name::same(sub, "value")) {
        target.sub = None;
    }
    match (&target.sub, top.kind == scim::Kind::Complex) {
        (Some(sub), true) => {
            let sub = spelled(sub, findings)?;
            target.sub = Some(sub.name.clone());
            if top.multi_valued && target.slot.is_none() {
                target.slot = Some(Slot::Only);
            }
            Some(sub)
        }
        (None, true) if !whole && node.kind() != Kind::Null && node.get("type").is_none() => {
            let first =
                if top.multi_valued { "value" } else { top.sub_attributes.first().map_or("value", |sub| &sub.name) };
            findings
                .error(key, format!("`{}` is a complex attribute", top.name))
                .help(format!("map its sub-attributes, like `{}.{first}`", top.name));
            None
        }
        (Some(_), false) => {
            findings.error(key, format!("`{}` has no sub-attributes", top.name));
            None
        }
        (None, _) => Some(top.clone()),
    }
}

/// `attribute`, `attribute.sub`, `attribute[sub eq "value"].sub`.
fn parse(path: &str) -> Option<Target> {
    let (attribute, slot, rest) = match path.split_once('[') {
        Some((attribute, rest)) => {
            let (filter, rest) = rest.split_once(']')?;
            let (sub, value) = filter.split_once(" eq ")?;
            let value = value.trim().strip_prefix('"')?.strip_suffix('"')?;
            if value.contains('"') || !name::is_valid(sub.trim()) {
                return None;
            }
            (attribute, Some(Slot::Where { sub: sub.trim().to_owned(), value: value.to_owned() }), rest)
        }
        None => match path.split_once('.') {
            Some((attribute, _)) => (attribute, None, path.get(attribute.len()..)?),
            None => (path, None, ""),
        },
    };
    let sub = match rest {
        "" if slot.is_some() => Some("value"),
        "" => None,
        _ => Some(rest.strip_prefix('.')?),
    };
    if !name::is_valid(attribute) || !sub.is_none_or(name::is_valid) {
        return None;
    }
    Some(Target { extension: None, attribute: attribute.to_owned(), slot, sub: sub.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for path in ["userName", "name.givenName", "phoneNumbers[type eq \"work\"].value", "emails.value", "x.$ref"] {
            assert_eq!(parse(path).map(|target| target.path()).as_deref(), Some(path));
        }
        for path in
            ["", "a.b.c", "a[", "a[type eq work].value", "a[type ne \"x\"].value", "a b", "a[type eq \"x\"]value"]
        {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
