//! Changes to a large multi-valued attribute, such as the members of a group, that is never read to be changed.
//!
//! Identity providers remove a member in three dialects; none may be answered with success and do nothing, and nothing that
//! cannot be understood may empty a group: a value without an id is 400.

use serde_json::Value;

use super::patch::CollectionChange;
use super::schema::Resolved;
use super::value::{last_segment, leaf, one_primary, single, wrong};
use super::{AttributePath, Error, Filter, Literal, Object, Op, Operator, name};

/// The changes that one operation makes to the collection `at`, appended to `changes`.
pub(super) fn change(
    op: Op,
    at: Resolved<'_>,
    filter: Option<&Filter>,
    value: Option<Value>,
    dropped: &mut Vec<String>,
    changes: &mut Vec<CollectionChange>,
) -> Result<(), Error> {
    let whole = Resolved { sub: None, ..at };
    if let Some(sub) = at.sub.filter(|sub| sub.name != "value") {
        // Its values come and go whole; what describes them is not the client's to write.
        return Err(Error::mutability(format!("{}.{} cannot be changed", at.attribute.name, sub.name)));
    }
    if let Some(filter) = filter {
        return change_where(op, whole, filter, value, dropped, changes);
    }
    match (op, value) {
        (Op::Remove, None | Some(Value::Null)) if at.sub.is_some() => {
            Err(Error::mutability(format!("{} cannot be removed from what has it", at.full_name())))
        }
        (Op::Remove, None | Some(Value::Null)) => {
            changes.push(CollectionChange::RemoveAll);
            Ok(())
        }
        (Op::Remove, Some(value)) => {
            let ids: Vec<String> = elements(whole, value, dropped)?.iter().filter_map(id).collect();
            if !ids.is_empty() {
                changes.push(CollectionChange::Remove(ids));
            }
            Ok(())
        }
        (op, value) => {
            let value = value.filter(|value| value.as_str() != Some("")).unwrap_or_default();
            let list = elements(whole, value, dropped)?;
            match op {
                Op::Replace => changes.push(CollectionChange::Replace(list)),
                _ if list.is_empty() => {}
                _ => changes.push(CollectionChange::Add(list)),
            }
            Ok(())
        }
    }
}

fn change_where(
    op: Op,
    at: Resolved<'_>,
    filter: &Filter,
    value: Option<Value>,
    dropped: &mut Vec<String>,
    changes: &mut Vec<CollectionChange>,
) -> Result<(), Error> {
    if let Some(unknown) = unknown(filter, at) {
        return Err(Error::invalid_path(format!("{} has no {unknown}", at.attribute.name)));
    }
    let ids = ids(filter);
    let cleared = matches!(&value, None | Some(Value::Null)) || value.as_ref().and_then(Value::as_str) == Some("");
    if op == Op::Remove || (op == Op::Replace && cleared) {
        changes.push(match ids {
            Some(ids) => CollectionChange::Remove(ids),
            None => CollectionChange::RemoveWhere(filter.clone()),
        });
        return Ok(());
    }
    // `add members[value eq "x"]` can only mean that x is one; a replace may name another instead.
    let Some(ids) = ids else {
        return Err(Error::no_target(format!("{}[{filter}] does not say which value is meant", at.attribute.name)));
    };
    let mut added = Vec::with_capacity(ids.len());
    let given = match value {
        Some(Value::Object(object))
            if !object.keys().any(|key| name::same(key, "value") || name::same(key, "$ref")) =>
        {
            None
        }
        other => other.filter(|value| !value.is_null() && value.as_str() != Some("")),
    };
    match given {
        Some(value) => added = elements(at, value, dropped)?,
        None => added.extend(ids.iter().map(|id| Object::from_iter([("value".to_owned(), Value::from(id.as_str()))]))),
    }
    let replaced: Vec<String> =
        ids.into_iter().filter(|old| !added.iter().any(|new| id(new).as_deref() == Some(old))).collect();
    if op == Op::Replace && !replaced.is_empty() {
        changes.push(CollectionChange::Remove(replaced));
    }
    if !added.is_empty() {
        changes.push(CollectionChange::Add(added));
    }
    Ok(())
}

/// The values named, each with a `value`: bare, as objects, or by `$ref`; each once.
fn elements(at: Resolved<'_>, value: Value, dropped: &mut Vec<String>) -> Result<Vec<Object>, Error> {
    let list = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        other => vec![other],
    };
    let mut seen = std::collections::HashSet::with_capacity(list.len());
    let mut elements = Vec::with_capacity(list.len());
    for (index, value) in list.into_iter().enumerate() {
        if value.is_null() {
            continue;
        }
        if value.is_array() {
            return Err(wrong(at, "holds a list inside a list"));
        }
        match single(at, value, dropped)? {
            Some(Value::Object(element)) if element.contains_key("value") => {
                if id(&element).is_some_and(|id| seen.insert(id)) {
                    elements.push(Value::Object(element));
                }
            }
            _ => return Err(Error::invalid_value(format!("{}[{index}] has no value", leaf(at).name))),
        }
    }
    one_primary(&mut elements, None);
    Ok(elements
        .into_iter()
        .filter_map(|element| match element {
            Value::Object(object) => Some(object),
            _ => None,
        })
        .collect())
}

fn id(element: &Object) -> Option<String> {
    match element.get("value")? {
        Value::String(id) => Some(id.clone()),
        other => Some(other.to_string()),
    }
}

/// The ids that a filter lists, if that is all it does: `value eq "x"`, `value eq "x" or value eq "y"`.
fn ids(filter: &Filter) -> Option<Vec<String>> {
    match filter {
        Filter::Compare(AttributePath { schema: None, attribute, sub: None }, Operator::Eq, literal) => {
            let text = match literal {
                Literal::String(text) => text.clone(),
                Literal::Number(number) => number.to_string(),
                Literal::Boolean(_) | Literal::Null => return None,
            };
            match attribute.to_ascii_lowercase().as_str() {
                "value" => Some(vec![text]),
                "$ref" => Some(vec![last_segment(&text)?.to_owned()]),
                _ => None,
            }
        }
        Filter::Or(any) => any.iter().map(ids).collect::<Option<Vec<_>>>().map(|ids| ids.concat()),
        _ => None,
    }
}

/// The first path of a filter that the values do not have.
fn unknown<'f>(filter: &'f Filter, at: Resolved<'_>) -> Option<&'f AttributePath> {
    match filter {
        Filter::And(list) | Filter::Or(list) => list.iter().find_map(|filter| unknown(filter, at)),
        Filter::Not(filter) => unknown(filter, at),
        Filter::Compare(path, ..) | Filter::Present(path) | Filter::Value(path, _) => {
            let known = path.schema.is_none() && path.sub.is_none() && at.attribute.sub(&path.attribute).is_some();
            (!known).then_some(path)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::patch::{Limits, Options, Outcome, Patch};
    use crate::scim::{ResourceSchema, Schema, ScimType};

    fn group() -> ResourceSchema {
        let mut core = Schema::group();
        core.attributes[0].required = true;
        ResourceSchema { core, extensions: vec![] }
    }

    fn object(value: Value) -> Object {
        let Value::Object(object) = value else { unreachable!() };
        object
    }

    fn run(schema: &ResourceSchema, before: Value, operations: Value, options: &Options<'_>) -> Result<Outcome, Error> {
        Patch::parse(json!({"Operations": operations}), &Limits::default())?.apply(&object(before), schema, options)
    }

    #[test]
    fn collections() {
        use CollectionChange::{Add, Remove, RemoveAll, RemoveWhere, Replace};
        let names = ["members".to_owned()];
        let options = Options { collections: &names, ..Options::default() };
        let list =
            |values: &[&str]| -> Vec<Object> { values.iter().map(|value| object(json!({"value": value}))).collect() };
        let ids = |values: &[&str]| -> Vec<String> { values.iter().map(|value| (*value).to_owned()).collect() };
        let path = "urn:ietf:params:scim:schemas:core:2.0:Group:members";
        for (operations, expected) in [
            // add
            (
                json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "1"}, {"value": "2"}]}]),
                vec![Add(list(&["1", "2"]))],
            ),
            (json!([{"op": "add", "path": "members", "value": "1"}]), vec![Add(list(&["1"]))]),
            (json!([{"op": "add", "path": "members", "value": ["1", 2, "1"]}]), vec![Add(list(&["1", "2"]))]),
            (
                json!([{"op": "add", "path": "members", "value": {"value": "1", "display": "Ada"}}]),
                vec![Add(vec![object(json!({"value": "1", "display": "Ada"}))])],
            ),
            (json!([{"op": "add", "path": path, "value": [{"value": "1"}]}]), vec![Add(list(&["1"]))]),
            (json!([{"op": "add", "value": {"Members": [{"value": "1"}]}}]), vec![Add(list(&["1"]))]),
            (json!([{"op": "add", "value": {(path): [{"value": "1"}]}}]), vec![Add(list(&["1"]))]),
            (
                json!([{"op": "add", "path": "members", "value": [{"$ref": "https://scim.example.org/v2/Users/1"}, {"$ref": "Users/2/"}]}]),
                vec![Add(vec![
                    object(json!({"$ref": "https://scim.example.org/v2/Users/1", "value": "1"})),
                    object(json!({"$ref": "Users/2/", "value": "2"})),
                ])],
            ),
            (
                json!([{"op": "add", "path": r#"members[value eq "1"]"#, "value": {"display": "Ada"}}]),
                vec![Add(list(&["1"]))],
            ),
            (json!([{"op": "add", "path": "members.value", "value": "1"}]), vec![Add(list(&["1"]))]),
            (json!([{"op": "add", "path": "members", "value": []}]), vec![]),
            // remove, in its dialects
            (
                json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "1"}]}]),
                vec![Remove(ids(&["1"]))],
            ),
            (json!([{"op": "remove", "path": "members", "value": ["1", "2"]}]), vec![Remove(ids(&["1", "2"]))]),
            (json!([{"op": "remove", "path": "members", "value": {"value": "1"}}]), vec![Remove(ids(&["1"]))]),
            (json!([{"op": "remove", "path": "members", "value": []}]), vec![]),
            (json!([{"op": "remove", "path": r#"members[value eq "1"]"#}]), vec![Remove(ids(&["1"]))]),
            (json!([{"op": "remove", "path": "Members[Value EQ 1]"}]), vec![Remove(ids(&["1"]))]),
            (
                json!([{"op": "remove", "path": r#"members[value eq "1" or value eq "2"]"#}]),
                vec![Remove(ids(&["1", "2"]))],
            ),
            (json!([{"op": "remove", "path": r#"members[value eq "1"].value"#}]), vec![Remove(ids(&["1"]))]),
            (
                json!([{"op": "remove", "path": r#"members[type eq "User"]"#}]),
                vec![RemoveWhere(Filter::parse(r#"type eq "User""#, &Default::default()).unwrap())],
            ),
            (json!([{"op": "remove", "path": "members"}]), vec![RemoveAll]),
            (json!([{"op": "remove", "path": path, "value": null}]), vec![RemoveAll]),
            // replace
            (json!([{"op": "replace", "path": "members", "value": [{"value": "1"}]}]), vec![Replace(list(&["1"]))]),
            (json!([{"op": "replace", "path": "members", "value": []}]), vec![Replace(vec![])]),
            (json!([{"op": "replace", "path": "members", "value": null}]), vec![Replace(vec![])]),
            (
                json!([{"op": "replace", "value": {"id": "5", "displayName": "Staff", "members": [{"value": "1"}]}}]),
                vec![Replace(list(&["1"]))],
            ),
            (
                json!([{"op": "replace", "path": r#"members[value eq "1"]"#, "value": {"value": "2"}}]),
                vec![Remove(ids(&["1"])), Add(list(&["2"]))],
            ),
            (
                json!([{"op": "replace", "path": r#"members[value eq "1"]"#, "value": {"value": "1"}}]),
                vec![Add(list(&["1"]))],
            ),
            // in order
            (
                json!([
                    {"op": "remove", "path": r#"members[value eq "1"]"#},
                    {"op": "add", "path": "members", "value": [{"value": "2"}]},
                    {"op": "remove", "path": r#"members[value eq "2"]"#}
                ]),
                vec![Remove(ids(&["1"])), Add(list(&["2"])), Remove(ids(&["2"]))],
            ),
        ] {
            let outcome =
                run(&group(), json!({"id": "5", "displayName": "Staff"}), operations.clone(), &options).unwrap();
            let changes = outcome.collections.get("members").cloned().unwrap_or_default();
            assert_eq!(changes, expected, "{operations}");
            assert_eq!(outcome.collections.is_empty(), expected.is_empty());
            assert!(!outcome.resource.contains_key("members"));
        }
        for (operations, scim_type) in [
            (json!([{"op": "remove", "path": "members", "value": [{}]}]), ScimType::InvalidValue),
            (json!([{"op": "remove", "path": "members", "value": [{"display": "Ada"}]}]), ScimType::InvalidValue),
            (json!([{"op": "replace", "path": "members", "value": [{"id": "1"}]}]), ScimType::InvalidValue),
            (json!([{"op": "remove", "path": "members.value"}]), ScimType::Mutability),
            (json!([{"op": "remove", "path": r#"members[shoe eq "1"]"#}]), ScimType::InvalidPath),
            (
                json!([{"op": "replace", "path": r#"members[value eq "1"].display"#, "value": "x"}]),
                ScimType::Mutability,
            ),
            (json!([{"op": "add", "path": r#"members[type eq "User"]"#, "value": {}}]), ScimType::NoTarget),
            (json!([{"op": "remove", "path": "displayName"}]), ScimType::Mutability),
        ] {
            let error = run(&group(), json!({"displayName": "Staff"}), operations.clone(), &options).unwrap_err();
            assert_eq!(error.scim_type, Some(scim_type), "{operations}: {error}");
        }
    }
}
