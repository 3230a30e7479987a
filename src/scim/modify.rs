//! One change to one attribute of a resource (RFC 7644 3.5.2.1 to 3.5.2.3), in memory.
//!
//! Whether the client may make it, and where changes that are not made in memory go, is [`super::patch`]'s business.

use serde_json::Value;

use super::matching::{literal_value, matches};
use super::schema::{Resolved, Schema};
use super::{Attribute, Error, Filter, Literal, Mutability, Object, Op, Operator, ResourceSchema, name, value};

/// How values are found and made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rules<'a> {
    pub(super) single_valued: &'a [String],
    pub(super) strict_no_target: bool,
    /// Leave out of a value what clients cannot write.
    pub(super) strip_read_only: bool,
}

/// Changes a resource in normal form; [`Modifier::finish`] brings it back into normal form.
pub(super) struct Modifier<'r> {
    resource: &'r mut Object,
    schema: &'r ResourceSchema,
    rules: Rules<'r>,
    /// Comparisons of two values still allowed.
    budget: usize,
}

/// How many values one request may compare with each other; far above what a person's attributes need, and well below a
/// second. Large memberships do not come this way.
const COMPARISONS: usize = 4_000_000;

impl<'r> Modifier<'r> {
    pub(super) fn new(resource: &'r mut Object, schema: &'r ResourceSchema, rules: Rules<'r>) -> Self {
        Self { resource, schema, rules, budget: COMPARISONS }
    }

    /// Add or replace. An empty value clears; adding nothing to many changes nothing.
    pub(super) fn write(
        &mut self,
        op: Op,
        at: Resolved<'_>,
        filter: Option<&Filter>,
        mut value: Value,
        dropped: &mut Vec<String>,
    ) -> Result<(), Error> {
        if self.rules.strip_read_only && at.sub.is_none() && !strip_read_only(at.attribute, &mut value) {
            return Ok(());
        }
        match (filter, at.sub) {
            (Some(filter), _) => self.write_where(op, at, filter, value, dropped),
            (None, Some(sub)) => self.write_sub(at, sub, value, dropped),
            (None, None) if at.attribute.multi_valued && op == Op::Add => self.add_elements(at, value, dropped),
            (None, None) => {
                let value = value::normal(at, value, dropped)?;
                self.set(at, value)
            }
        }
    }

    /// Remove; `value` lists the values to remove of many, and says nothing elsewhere.
    pub(super) fn remove(
        &mut self,
        at: Resolved<'_>,
        filter: Option<&Filter>,
        value: Option<&Value>,
        dropped: &mut Vec<String>,
    ) -> Result<(), Error> {
        let attribute = at.attribute;
        match (filter, at.sub, value) {
            (Some(filter), sub, _) => {
                let matching = self.matching(at, filter)?;
                let Some(elements) = self.elements(at) else {
                    return Ok(());
                };
                match sub {
                    Some(sub) => {
                        for index in matching {
                            elements.get_mut(index).map_or(Ok(()), |element| set_sub(at, sub, element, None))?;
                        }
                    }
                    None => {
                        // Indices ascend on both sides.
                        let mut gone = matching.into_iter().peekable();
                        let mut index = 0..;
                        elements.retain(|_| gone.next_if(|gone| Some(*gone) == index.next()).is_none());
                    }
                }
                Ok(())
            }
            (None, Some(sub), _) => match self.slot(at) {
                Some(Value::Array(elements)) => {
                    elements.iter_mut().try_for_each(|element| set_sub(at, sub, element, None))
                }
                Some(element) => set_sub(at, sub, element, None),
                None => Ok(()),
            },
            (None, None, Some(value)) if attribute.multi_valued && !value.is_null() && value.as_str() != Some("") => {
                let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                let mut gone = Vec::with_capacity(list.len());
                for value in list {
                    // `{"type": "work"}` names values too.
                    gone.extend(value::single(at, value.clone(), dropped)?);
                }
                let existing = self.elements(at).map_or(0, |elements| elements.len());
                self.spend(at, existing.saturating_mul(gone.len()))?;
                if let Some(elements) = self.elements(at) {
                    elements.retain(|element| !gone.iter().any(|gone| is_meant(attribute, gone, element)));
                }
                Ok(())
            }
            (None, None, _) => self.set(at, None),
        }
    }

    /// Drops what has become empty.
    pub(super) fn finish(self) {
        let schema = self.schema;
        prune(self.resource, |key| schema.top(key));
        for extension in &schema.extensions {
            if let Some(Value::Object(object)) = self.resource.get_mut(&extension.id) {
                prune(object, |key| extension.attribute(key));
                if object.is_empty() {
                    self.resource.shift_remove(&extension.id);
                }
            }
        }
    }

    /// Puts a whole attribute, or takes it away.
    fn set(&mut self, at: Resolved<'_>, value: Option<Value>) -> Result<(), Error> {
        let name = &at.attribute.name;
        let object = home(self.resource, at.extension);
        if at.attribute.mutability == Mutability::Immutable
            && let Some(old) = object.get(name)
            && value.as_ref() != Some(old)
        {
            return Err(immutable(at));
        }
        match value {
            Some(value) => object.insert(name.clone(), value),
            None => object.shift_remove(name),
        };
        Ok(())
    }

    fn add_elements(&mut self, at: Resolved<'_>, value: Value, dropped: &mut Vec<String>) -> Result<(), Error> {
        let added = value::elements(at, value, dropped)?;
        if added.is_empty() {
            return Ok(());
        }
        if at.attribute.mutability == Mutability::Immutable && self.slot(at).is_some() {
            return Err(immutable(at));
        }
        // The new ones are already different from each other.
        let existing = self.elements(at).map_or(0, |elements| elements.len());
        self.spend(at, existing.saturating_mul(added.len()))?;
        let elements = self.elements_or_new(at);
        for new in added {
            let chosen =
                match elements.iter_mut().take(existing).enumerate().find(|(_, old)| is_meant(at.attribute, &new, old))
                {
                    Some((index, old)) => {
                        if let (Value::Object(old), Value::Object(new)) = (old, &new) {
                            for (key, value) in new {
                                // The same value in other letters stays as it is: it is the same value.
                                if key != "value" || at.attribute.sub(key).is_some_and(|sub| sub.case_exact) {
                                    old.insert(key.clone(), value.clone());
                                }
                            }
                        }
                        index
                    }
                    None => {
                        elements.push(new.clone());
                        elements.len() - 1
                    }
                };
            if new.get("primary") == Some(&Value::Bool(true)) {
                value::one_primary(elements, Some(chosen));
            }
        }
        Ok(())
    }

    /// A sub-attribute without a filter.
    fn write_sub(
        &mut self,
        at: Resolved<'_>,
        sub: &Attribute,
        value: Value,
        dropped: &mut Vec<String>,
    ) -> Result<(), Error> {
        let value = value::normal(at, value, dropped)?;
        if !at.attribute.multi_valued {
            let object = home(self.resource, at.extension);
            if value.is_none() && !object.contains_key(&at.attribute.name) {
                return Ok(());
            }
            let slot = object.entry(at.attribute.name.clone()).or_insert_with(|| Value::Object(Object::new()));
            return set_sub(at, sub, slot, value);
        }
        let elements = self.elements_or_new(at);
        if elements.is_empty() && value.is_some() {
            elements.push(Value::Object(Object::new()));
        }
        // What only one of many can be goes to the preferred one; all the rest to each (RFC 7644 3.5.2.3).
        if matches!(sub.name.as_str(), "value" | "primary") {
            let chosen = preferred(elements);
            if let Some(element) = elements.get_mut(chosen) {
                set_sub(at, sub, element, value)?;
            }
            value::one_primary(elements, Some(chosen).filter(|_| sub.name == "primary"));
            return Ok(());
        }
        elements.iter_mut().try_for_each(|element| set_sub(at, sub, element, value.clone()))
    }

    /// The values that a filter selects, or the one that it describes.
    fn write_where(
        &mut self,
        op: Op,
        at: Resolved<'_>,
        filter: &Filter,
        value: Value,
        dropped: &mut Vec<String>,
    ) -> Result<(), Error> {
        let value = match at.sub {
            Some(_) => value::normal(at, value, dropped)?,
            None => value::single(at, value, dropped)?,
        };
        let mut chosen = self.matching(at, filter)?;
        let described = described(filter, at.attribute);
        if chosen.is_empty() {
            if value.is_none() {
                return Ok(());
            }
            let none = || Error::no_target(format!("no value of {} meets the filter {filter}", at.attribute.name));
            let listed = at.extension.is_none() && self.rules.single_valued.contains(&at.attribute.name);
            // A filter on what is not mapped (a type, where there is one column) tells no values apart.
            let strict = self.rules.strict_no_target && op == Op::Replace;
            let only_one = (listed && !strict) || described.as_ref().is_some_and(Vec::is_empty);
            let elements = self.elements_or_new(at);
            if only_one && !elements.is_empty() {
                chosen.push(preferred(elements));
            } else if let (false, Some(_)) = (strict, &described) {
                chosen.push(elements.len());
                elements.push(Value::Object(Object::new()));
            } else {
                return Err(none());
            }
            let described = described.as_deref().unwrap_or_default();
            for index in &chosen {
                if let Some(element) = elements.get_mut(*index).and_then(Value::as_object_mut) {
                    element.extend(described.iter().cloned());
                }
            }
        }
        let elements = self.elements_or_new(at);
        for index in &chosen {
            let Some(element) = elements.get_mut(*index) else {
                continue;
            };
            match (at.sub, &value) {
                (Some(sub), value) => set_sub(at, sub, element, value.clone())?,
                (None, Some(Value::Object(new))) if op == Op::Replace => {
                    let mut new = new.clone();
                    for (key, value) in described.iter().flatten() {
                        new.entry(key.clone()).or_insert_with(|| value.clone());
                    }
                    *element = Value::Object(new);
                }
                (None, Some(Value::Object(new))) => {
                    if let Some(old) = element.as_object_mut() {
                        old.extend(new.clone());
                    }
                }
                (None, Some(simple)) => *element = simple.clone(),
                (None, None) => *element = Value::Object(Object::new()),
            }
        }
        let primary = |index: &&usize| {
            elements.get(**index).and_then(|element| element.get("primary")) == Some(&Value::Bool(true))
        };
        let primary = chosen.iter().find(primary).copied();
        value::one_primary(elements, primary);
        Ok(())
    }

    fn matching(&mut self, at: Resolved<'_>, filter: &Filter) -> Result<Vec<usize>, Error> {
        if !at.attribute.multi_valued {
            return Err(Error::invalid_path(format!("{} has one value and takes no filter", at.attribute.name)));
        }
        let existing = self.elements(at).map_or(0, |elements| elements.len());
        self.spend(at, existing)?;
        let elements = self.elements(at).map(|elements| elements.iter().enumerate());
        let meeting = elements.into_iter().flatten().filter(|(_, element)| matches(filter, element, at.attribute));
        Ok(meeting.map(|(index, _)| index).collect())
    }

    fn spend(&mut self, at: Resolved<'_>, comparisons: usize) -> Result<(), Error> {
        self.budget = self.budget.checked_sub(comparisons).ok_or_else(|| {
            Error::too_large(format!("too many values of {} to change in one request", at.full_name()))
        })?;
        Ok(())
    }

    fn slot(&mut self, at: Resolved<'_>) -> Option<&mut Value> {
        let object = match at.extension {
            None => &mut *self.resource,
            Some(extension) => self.resource.get_mut(&extension.id)?.as_object_mut()?,
        };
        object.get_mut(&at.attribute.name)
    }

    fn elements(&mut self, at: Resolved<'_>) -> Option<&mut Vec<Value>> {
        self.slot(at)?.as_array_mut()
    }

    fn elements_or_new(&mut self, at: Resolved<'_>) -> &mut Vec<Value> {
        array(
            home(self.resource, at.extension)
                .entry(at.attribute.name.clone())
                .or_insert_with(|| Value::Array(Vec::new())),
        )
    }
}

/// The object that holds an extension's attributes, or the core's.
fn home<'a>(resource: &'a mut Object, extension: Option<&Schema>) -> &'a mut Object {
    match extension {
        None => resource,
        Some(extension) => object(resource.entry(extension.id.clone()).or_insert_with(|| Value::Object(Object::new()))),
    }
}

/// The value as an object, which it becomes if it was none.
fn object(value: &mut Value) -> &mut Object {
    match value {
        Value::Object(inner) => inner,
        other => {
            *other = Value::Object(Object::new());
            object(other)
        }
    }
}

/// The value as a list, which it becomes if it was none.
fn array(value: &mut Value) -> &mut Vec<Value> {
    match value {
        Value::Array(inner) => inner,
        other => {
            *other = Value::Array(Vec::new());
            array(other)
        }
    }
}

/// Puts a sub-attribute into one complex value, or takes it away.
fn set_sub(at: Resolved<'_>, sub: &Attribute, element: &mut Value, value: Option<Value>) -> Result<(), Error> {
    let element = object(element);
    let old = element.get(&sub.name);
    if old == value.as_ref() {
        return Ok(());
    }
    if sub.mutability == Mutability::Immutable && old.is_some() {
        return Err(immutable(Resolved { sub: Some(sub), ..at }));
    }
    if sub.name == "value" && at.attribute.sub("$ref").is_some() {
        // Another target: what described the old one goes with it.
        element.retain(|key, _| key != "$ref" && !at.attribute.sub(key).is_some_and(Attribute::is_read_only));
    }
    match value {
        Some(value) => element.insert(sub.name.clone(), value),
        None => element.shift_remove(&sub.name),
    };
    Ok(())
}

/// What the equalities of a filter say of the value it selects; `None` if it describes none.
fn described(filter: &Filter, attribute: &Attribute) -> Option<Vec<(String, Value)>> {
    match filter {
        Filter::Compare(path, Operator::Eq, literal) if *literal != Literal::Null => {
            // A sub-attribute that is not mapped cannot be kept, and does not stand in the way either.
            let known =
                attribute.sub(&path.attribute).map(|sub| Some((sub.name.clone(), literal_value(sub, literal)?)));
            match known {
                Some(pair) => Some(vec![pair?]),
                None => Some(Vec::new()),
            }
        }
        Filter::And(all) => all
            .iter()
            .map(|filter| described(filter, attribute))
            .collect::<Option<Vec<_>>>()
            .map(|pairs| pairs.concat()),
        _ => None,
    }
}

/// Whether `named` means `element`: the same value, and the same type if both have one; without a value, all it says.
fn is_meant(attribute: &Attribute, named: &Value, element: &Value) -> bool {
    let (Value::Object(named), Value::Object(element)) = (named, element) else {
        return named == element;
    };
    let same = |key: &str, value: &Value| match (value, element.get(key)) {
        (Value::String(a), Some(Value::String(b))) if !attribute.sub(key).is_some_and(|sub| sub.case_exact) => {
            // The value of a reference is an id, which is opaque.
            if key == "value" && attribute.sub("$ref").is_some() {
                a == b
            } else {
                name::same(a, b) || a.to_lowercase() == b.to_lowercase()
            }
        }
        (value, other) => Some(value) == other,
    };
    match named.get("value") {
        Some(value) => {
            let types = (named.get("type"), element.get("type"));
            same("value", value) && !matches!(types, (Some(kind), Some(_)) if !same("type", kind))
        }
        None => named.iter().all(|(key, value)| key == "primary" || same(key, value)),
    }
}

/// The primary value, or else the first.
fn preferred(elements: &[Value]) -> usize {
    elements.iter().position(|element| element.get("primary") == Some(&Value::Bool(true))).unwrap_or(0)
}

fn prune<'a>(object: &mut Object, attribute: impl Fn(&str) -> Option<&'a Attribute>) {
    object.retain(|key, value| match (value, attribute(key)) {
        (Value::Array(elements), Some(attribute)) => {
            elements.retain(|element| !value::is_hollow(attribute, element));
            !elements.is_empty()
        }
        (Value::Object(object), Some(_)) => !object.is_empty(),
        _ => true,
    });
}

/// Removes what clients cannot write from a value as sent; false if it said nothing else.
fn strip_read_only(attribute: &Attribute, value: &mut Value) -> bool {
    match value {
        Value::Object(object) if !object.is_empty() => {
            object.retain(|key, _| !attribute.sub(key).is_some_and(Attribute::is_read_only));
            !object.is_empty()
        }
        Value::Array(elements) if !elements.is_empty() => {
            elements.retain_mut(|element| !element.is_object() || strip_read_only(attribute, element));
            !elements.is_empty()
        }
        _ => true,
    }
}

fn immutable(at: Resolved<'_>) -> Error {
    Error::mutability(format!("{} cannot be changed once it has a value", at.full_name()))
}
