//! From rows to resources: attribute values, their assembly, the client's form of altered values, and
//! versions.

use super::child_rows::{self, ChildRow};
use super::permissions::{Operation, Permissions};
use super::plan::{Display, Field, ReadPlan, Shape, SlotPlan, SourcePlan, TypePlan};
pub(super) use super::values::{attribute_values, column_value, shown, shown_after, template_value};
use crate::adapter::{Adapter, Binding, Conversion, Environment, ResourceType, Rows, Slot, Source};
use crate::scim::Object;
use crate::sql::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What the sidecar holds for one resource.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Document {
    /// Values of attributes that are bound to the sidecar, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, Json>,
    /// Values that the columns altered, by path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub altered: BTreeMap<String, Altered>,
    /// Of what is altered, the element in each slot, so that filters see it as it is shown. By path, and for a slot that a
    /// value names with that: `phoneNumbers[work]`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elements: BTreeMap<String, Element>,
}

/// An element as the client sent it, and what the columns gave of it then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Element {
    /// What the columns gave, by sub-attribute.
    pub column: Object,
    /// What the client sent.
    pub client: Object,
}

/// A value as the client sent it, given back for as long as the columns hold what was written then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Altered {
    /// What the columns give.
    pub column: Json,
    /// What the client sent.
    pub client: Json,
}

impl Document {
    /// Reads the sidecar's column; what is not there or not ours is empty.
    pub fn parse(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Text(text)) => serde_json::from_str(text).unwrap_or_default(),
            _ => Self::default(),
        }
    }

    /// Whether there is anything to keep.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.altered.is_empty()
    }
}

/// A row as it was read by a [`ReadPlan`], on its way to a resource.
pub(super) struct RowReader<'a> {
    /// The adapter.
    pub adapter: &'a Adapter,
    /// The resource type.
    pub type_: &'a ResourceType,
    /// The source the row is of.
    pub source: &'a Source,
    /// All types, compiled.
    pub types: &'a [TypePlan],
    /// The source, compiled.
    pub plan: &'a SourcePlan,
    /// The statement the row came from.
    pub reading: &'a ReadPlan,
    /// For templates.
    pub environment: Environment<'a>,
    /// What the caller may read.
    pub may: &'a Permissions,
    /// `https://.../scim/v2`.
    pub base_url: &'a str,
}

impl RowReader<'_> {
    /// The SCIM id of a row.
    pub fn id(&self, row: &[Value]) -> String {
        scim_id(self.source, row.first().unwrap_or(&Value::Null))
    }

    /// The values of all attributes that stand in the row.
    fn values(&self, row: &[Value], document: &Document) -> Vec<Option<Json>> {
        attribute_values(self.adapter, self.source, &self.reading.joined, row, document, &self.environment)
    }

    /// The resource without its collections, as the columns alone give it.
    pub fn derived(&self, row: &[Value], document: &Document) -> Object {
        let values = self.values(row, document);
        let mut resource = Object::new();
        resource.insert("schemas".into(), Json::Array(Vec::new()));
        resource.insert("id".into(), Json::String(self.id(row)));
        if let Some(external_id) = self.external_id(row, &values) {
            resource.insert("externalId".into(), Json::String(external_id));
        }
        for field in &self.plan.fields {
            if let Some(value) = self.field(field, row, &values) {
                put(&mut resource, field.extension.as_deref(), &field.name, value);
            }
        }
        resource.insert("meta".into(), self.meta(row));
        self.set_schemas(&mut resource);
        resource
    }

    /// The resource as the client knows it: altered values in the client's own form.
    pub fn resource(&self, row: &[Value]) -> Object {
        let document = Document::parse(row.get(self.reading.sidecar));
        let mut resource = self.derived(row, &document);
        self.overlay(&mut resource, &document);
        resource
    }

    /// Gives altered values back as the client sent them.
    pub fn overlay(&self, resource: &mut Object, document: &Document) {
        if document.altered.is_empty() {
            return;
        }
        for field in self.plan.fields.iter().filter(|field| !matches!(field.shape, Shape::Rows(_))) {
            self.overlay_field(resource, field, document);
        }
        self.set_schemas(resource);
    }

    /// Puts the values of child rows into a resource, in the client's own form where the columns still hold what they
    /// held then.
    pub fn put_rows(&self, resource: &mut Object, attribute: usize, value: Option<Json>, row: Option<&[Value]>) {
        let is = |field: &&Field| matches!(field.shape, Shape::Rows(index) if index == attribute);
        let Some(field) = self.plan.fields.iter().find(is) else { return };
        if let Some(value) = value {
            put(resource, field.extension.as_deref(), &field.name, value);
        }
        if let Some(row) = row {
            self.overlay_field(resource, field, &Document::parse(row.get(self.reading.sidecar)));
        }
        self.set_schemas(resource);
    }

    /// The value of an attribute whose values are these rows.
    pub fn rows_value(&self, attribute: usize, rows: &Rows, all: &[ChildRow]) -> Option<Json> {
        let target = &self.source.attributes.get(attribute)?.target;
        let schema = &self.type_.schema;
        let found = match &target.extension {
            None => schema.core.attribute(&target.attribute),
            Some(urn) => {
                let extension = schema.extensions.iter().find(|extension| extension.id == *urn);
                extension.and_then(|extension| extension.attribute(&target.attribute))
            }
        };
        child_rows::value_of(rows, all, found.is_none_or(|found| found.multi_valued))
    }

    fn overlay_field(&self, resource: &mut Object, field: &Field, document: &Document) {
        for (path, sub) in field.paths() {
            let Some(altered) = document.altered.get(&path) else {
                continue;
            };
            let current = get(resource, field.extension.as_deref(), &field.name, sub).cloned();
            if current.unwrap_or(Json::Null) == altered.column {
                set(resource, field.extension.as_deref(), &field.name, sub, altered.client.clone());
            }
        }
    }

    fn external_id(&self, row: &[Value], values: &[Option<Json>]) -> Option<String> {
        let value = match self.reading.external_id {
            Some(position) => row.get(position)?.to_text()?,
            None => match values.get(self.plan.external_id?)?.as_ref()? {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            },
        };
        (!value.is_empty()).then_some(value)
    }

    fn set_schemas(&self, resource: &mut Object) {
        let mut urns = vec![Json::String(self.type_.schema.core.id.clone())];
        for extension in &self.type_.schema.extensions {
            if resource.contains_key(&extension.id) {
                urns.push(Json::String(extension.id.clone()));
            }
        }
        resource.insert("schemas".into(), Json::Array(urns));
    }

    fn field(&self, field: &Field, row: &[Value], values: &[Option<Json>]) -> Option<Json> {
        let value = |index: usize| values.get(index).and_then(Option::as_ref);
        match &field.shape {
            Shape::Simple(index) => value(*index).cloned(),
            Shape::Reference { attribute, complex } => {
                let id = value(*attribute)?;
                if !complex {
                    return Some(id.clone());
                }
                self.reference(*attribute, id, row)
            }
            Shape::Complex(subs) => {
                let mut object = Object::new();
                for (sub, index) in subs {
                    if let Some(value) = value(*index) {
                        object.insert(sub.clone(), value.clone());
                    }
                }
                (!object.is_empty()).then_some(Json::Object(object))
            }
            Shape::Slots(slots) => {
                let elements: Vec<Json> =
                    slots.iter().filter_map(|slot| self.element(slot, values)).map(Json::Object).collect();
                (!elements.is_empty()).then_some(Json::Array(elements))
            }
            // Read apart.
            Shape::Rows(_) => None,
        }
    }

    fn element(&self, slot: &SlotPlan, values: &[Option<Json>]) -> Option<Object> {
        let mut element = Object::new();
        let mut holds_something = false;
        for (sub, index) in &slot.subs {
            let Some(value) = values.get(*index).and_then(Option::as_ref) else {
                continue;
            };
            let constant =
                self.source.attributes.get(*index).is_some_and(|a| matches!(a.binding, Binding::Constant(_)));
            holds_something |= !constant;
            element.insert(sub.clone(), value.clone());
        }
        if let Slot::Where { sub, value } = &slot.slot {
            element.insert(sub.clone(), Json::String(value.clone()));
        }
        holds_something.then_some(element)
    }

    fn reference(&self, attribute: usize, id: &Json, row: &[Value]) -> Option<Json> {
        let Binding::Reference(reference) = &self.source.attributes.get(attribute)?.binding else {
            return None;
        };
        let (number, type_) = super::plan::find_type(self.adapter, &reference.resource_type)?;
        let target = type_.sources.first()?;
        let display = self.types.get(number)?.sources.first()?.display.as_ref();
        let display = display.filter(|_| self.may.allow(&type_.name, Operation::Read));
        let mut object = Object::new();
        object.insert("value".into(), id.clone());
        if let Json::String(id) = id {
            object.insert("$ref".into(), Json::String(location(self.base_url, type_, id)));
        }
        let first = self.reading.joined.get(attribute)?.as_ref()?.first;
        let columns = row.get(first.saturating_add(1)..).unwrap_or_default();
        if let Some(name) = display_name(target, display, self.adapter, columns, &self.environment) {
            object.insert("displayName".into(), Json::String(name));
        }
        Some(Json::Object(object))
    }

    fn meta(&self, row: &[Value]) -> Json {
        let mut meta = Object::new();
        meta.insert("resourceType".into(), Json::String(self.type_.name.clone()));
        for (name, column) in
            [("created", self.source.timestamps.created), ("lastModified", self.source.timestamps.modified)]
        {
            let Some(column) = column else { continue };
            let (Some(known), Some(value)) = (self.source.columns.get(column), row.get(column)) else {
                continue;
            };
            let read = crate::adapter::Conversion::DateTime.read(value, known, self.adapter.time_zone);
            if let Some(instant) = read {
                meta.insert(name.into(), instant);
            }
        }
        meta.insert("location".into(), Json::String(location(self.base_url, self.type_, &self.id(row))));
        Json::Object(meta)
    }
}

impl Field {
    /// The paths whose altered values are kept: the sub-attributes of a complex attribute, else the
    /// attribute as a whole.
    pub fn paths(&self) -> Vec<(String, Option<&str>)> {
        let prefix = match &self.extension {
            Some(urn) => format!("{urn}:{}", self.name),
            None => self.name.clone(),
        };
        match &self.shape {
            Shape::Complex(subs) => {
                subs.iter().map(|(sub, _)| (format!("{prefix}.{sub}"), Some(sub.as_str()))).collect()
            }
            Shape::Reference { .. } => Vec::new(),
            Shape::Simple(_) | Shape::Slots(_) | Shape::Rows(_) => vec![(prefix, None)],
        }
    }
}

/// The path of an attribute as text.
pub(super) fn path(attribute: &crate::adapter::Attribute) -> String {
    let target = &attribute.target;
    let mut path = match &target.extension {
        Some(urn) => format!("{urn}:{}", target.attribute),
        None => target.attribute.clone(),
    };
    match &target.slot {
        Some(Slot::Where { sub, value }) => path.push_str(&format!("[{sub} eq {value:?}]")),
        Some(Slot::Only) | None => {}
    }
    if let Some(sub) = &target.sub {
        path.push('.');
        path.push_str(sub);
    }
    path
}

/// What a row of `source` is called, from the columns that [`Display`] names, in its order.
pub(super) fn display_name(
    source: &Source,
    display: Option<&Display>,
    adapter: &Adapter,
    columns: &[Value],
    environment: &Environment<'_>,
) -> Option<String> {
    let display = display?;
    if let ([attribute], columns) = (display.attributes.as_slice(), columns)
        && let Some(Binding::Column(binding)) = source.attributes.get(*attribute).map(|attribute| &attribute.binding)
        && matches!(&binding.conversion, Conversion::Text(rule) if rule.empty.as_ref().is_none_or(Value::is_null) && rule.entities.is_none())
        && binding.shown_when_empty.is_empty()
        && let Some(position) = display.columns.iter().position(|column| *column == binding.column)
    {
        // The usual case, and there may be a hundred thousand of them: the name is a column.
        return columns.get(position)?.to_text().filter(|name| !name.is_empty());
    }
    let mut row = vec![Value::Null; source.columns.len()];
    for (value, column) in columns.iter().zip(&display.columns) {
        if let Some(place) = row.get_mut(*column) {
            *place = value.clone();
        }
    }
    let mut values: Vec<Option<Json>> = vec![None; source.attributes.len()];
    for index in &display.attributes {
        let attribute = source.attributes.get(*index)?;
        let mut value = match &attribute.binding {
            Binding::Column(binding) => column_value(adapter, source, binding, &row),
            Binding::Constant(value) => Some(value.clone()),
            _ => None,
        };
        if value.is_none() {
            value = template_value(source, *index, &row, &values, environment);
        }
        if let Some(place) = values.get_mut(*index) {
            *place = value;
        }
    }
    match values.get(*display.attributes.last()?)?.as_ref()? {
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The SCIM id of a key.
pub(super) fn scim_id(source: &Source, key: &Value) -> String {
    let key = key.to_text().unwrap_or_default();
    if source.id_prefix.is_empty() { key } else { format!("{}{key}", source.id_prefix) }
}

/// `meta.location`.
pub(super) fn location(base_url: &str, type_: &ResourceType, id: &str) -> String {
    let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string();
    let id = id.replace("%2D", "-").replace("%5F", "_").replace("%2E", ".").replace("%7E", "~");
    format!("{base_url}{}/{id}", type_.endpoint)
}

/// A version of a resource: a digest of the row as it was read, and of its members where it has any.
pub(super) fn version<'a>(row: &[Value], members: impl Iterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for value in row {
        match value {
            Value::Null | Value::NoDay(_) => digest.update([0]),
            Value::Bool(b) => digest.update([1, u8::from(*b)]),
            Value::Int(i) => digest.update(i.to_le_bytes()),
            Value::UInt(u) => digest.update(u.to_le_bytes()),
            Value::Text(text) => digest.update(text.as_bytes()),
            Value::Bytes(bytes) => digest.update(bytes),
            other => digest.update(other.to_text().unwrap_or_default().as_bytes()),
        }
        digest.update([0xff]);
    }
    for member in members {
        digest.update(member.as_bytes());
        digest.update([0xfe]);
    }
    use base64::Engine;
    let digest = digest.finalize();
    let short = digest.get(..12).unwrap_or_default();
    format!("W/\"{}\"", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(short))
}

/// An attribute, or a sub-attribute of it.
pub(super) fn get<'a>(
    resource: &'a Object,
    extension: Option<&str>,
    name: &str,
    sub: Option<&str>,
) -> Option<&'a Json> {
    let home = match extension {
        Some(urn) => resource.get(urn)?.as_object()?,
        None => resource,
    };
    let value = home.get(name)?;
    match sub {
        Some(sub) => value.as_object()?.get(sub),
        None => Some(value),
    }
}

/// Puts an attribute where it belongs.
pub(super) fn put(resource: &mut Object, extension: Option<&str>, name: &str, value: Json) {
    match extension {
        None => {
            resource.insert(name.to_owned(), value);
        }
        Some(urn) => {
            let home = resource.entry(urn.to_owned()).or_insert_with(|| Json::Object(Object::new()));
            if let Json::Object(home) = home {
                home.insert(name.to_owned(), value);
            }
        }
    }
}

/// Puts an attribute or sub-attribute; null removes it, and what is left empty around it.
pub(super) fn set(resource: &mut Object, extension: Option<&str>, name: &str, sub: Option<&str>, value: Json) {
    let Some(sub) = sub else {
        if value.is_null() {
            let home = match extension {
                None => Some(&mut *resource),
                Some(urn) => resource.get_mut(urn).and_then(Json::as_object_mut),
            };
            if let Some(home) = home {
                home.remove(name);
            }
        } else {
            put(resource, extension, name, value);
        }
        return;
    };
    let mut object = match get(resource, extension, name, None) {
        Some(Json::Object(object)) => object.clone(),
        _ => Object::new(),
    };
    if value.is_null() {
        object.remove(sub);
    } else {
        object.insert(sub.to_owned(), value);
    }
    let value = if object.is_empty() { Json::Null } else { Json::Object(object) };
    set(resource, extension, name, None, value);
}
