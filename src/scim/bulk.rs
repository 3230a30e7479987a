//! Bulk requests (RFC 7644 3.7): many operations in one message, which may name what they create before it exists.
//!
//! This is the protocol alone: the message is read, the order of its operations found, `bulkId:` references replaced,
//! the answer written. What is wrong with one operation is that operation's error; what makes the whole message
//! ambiguous (two operations of one bulkId) refuses the message. Nothing here knows what a path leads to.

use std::collections::HashMap;

use serde_json::Value;

use super::{Error, Object, name, urn};

pub use super::bulk_order::{Unit, order};

/// What marks a reference to what another operation creates.
const MARK: &str = "bulkId:";
/// The longest bulkId, in bytes.
const MAX_BULK_ID: usize = 240;

/// A BulkRequest.
#[derive(Debug)]
pub struct Bulk {
    /// After how many errors the rest is left undone.
    pub fail_on_errors: Option<usize>,
    /// As sent.
    pub operations: Vec<BulkOperation>,
}

/// One operation of it.
#[derive(Debug)]
pub struct BulkOperation {
    /// As it is answered: in capitals.
    pub method: String,
    /// The client's name for it, and for what it creates.
    pub bulk_id: Option<String>,
    /// The entity tag that the resource must have, as If-Match.
    pub version: Option<String>,
    /// What is to be done, or what is wrong with it (400).
    pub call: Result<BulkCall, Error>,
}

/// What an operation is to do.
#[derive(Debug)]
pub struct BulkCall {
    /// How.
    pub method: BulkMethod,
    /// Where: relative to the base URL.
    pub path: String,
    /// With what; null for DELETE.
    pub data: Value,
}

/// The methods of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are HTTP's")]
pub enum BulkMethod {
    Post,
    Put,
    Patch,
    Delete,
}

/// What became of one operation.
#[derive(Debug)]
pub struct BulkOutcome {
    /// The status that the operation by itself would have been answered with.
    pub status: u16,
    /// The resource's URL; of a POST that failed there is none.
    pub location: Option<String>,
    /// Its version, where it is known.
    pub version: Option<String>,
    /// What went wrong.
    pub error: Option<Error>,
}

impl Bulk {
    /// Reads a BulkRequest of at most `most` operations; 400 invalidSyntax or invalidValue, 413.
    pub fn parse(message: Value, most: usize) -> Result<Self, Error> {
        let Value::Object(message) = message else {
            return Err(Error::invalid_syntax("the body must be a BulkRequest object"));
        };
        let (mut operations, mut fail_on_errors) = (None, None);
        for (key, value) in message {
            if name::same(&key, "Operations") {
                operations = Some(value);
            } else if name::same(&key, "failOnErrors") && !value.is_null() {
                let count = value.as_u64().filter(|count| *count > 0).and_then(|count| usize::try_from(count).ok());
                fail_on_errors =
                    Some(count.ok_or_else(|| Error::invalid_value("failOnErrors must be an integer of at least 1"))?);
            }
        }
        let operations = match operations {
            Some(Value::Array(operations)) => operations,
            Some(_) => return Err(Error::invalid_syntax("Operations must be a list")),
            None => return Err(Error::invalid_syntax("the body has no Operations")),
        };
        if operations.len() > most {
            return Err(Error::too_large(format!(
                "the bulk request has {} operations, more than maxOperations ({most})",
                operations.len()
            )));
        }
        let mut names = HashMap::new();
        let mut parsed = Vec::with_capacity(operations.len());
        for (index, operation) in operations.into_iter().enumerate() {
            let operation = BulkOperation::parse(operation, index)?;
            if let Some(bulk_id) = operation.bulk_id.as_ref().filter(|_| operation.creates())
                && let Some(first) = names.insert(bulk_id.clone(), index + 1)
            {
                return Err(Error::invalid_value(format!(
                    "the operations {first} and {} have the same bulkId {bulk_id:?}; it must be unique",
                    index + 1
                )));
            }
            parsed.push(operation);
        }
        Ok(Self { fail_on_errors, operations: parsed })
    }
}

impl BulkOperation {
    fn parse(operation: Value, index: usize) -> Result<Self, Error> {
        let Value::Object(operation) = operation else {
            return Err(Error::invalid_syntax(format!("operation {} must be an object", index + 1)));
        };
        let (mut method, mut path, mut data) = (None, None, Value::Null);
        let (mut bulk_id, mut version) = (None, None);
        for (key, value) in operation {
            match key.to_ascii_lowercase().as_str() {
                "method" => method = Some(value),
                "path" => path = Some(value),
                "data" => data = value,
                "bulkid" => bulk_id = text(value),
                "version" => version = text(value),
                _ => {}
            }
        }
        let word: String = method.and_then(text).unwrap_or_default().chars().take(16).collect();
        let word = word.to_ascii_uppercase();
        let call = BulkCall::parse(&word, path, data, bulk_id.as_deref());
        Ok(Self { method: word, bulk_id, version, call })
    }

    /// Whether others may refer to what it creates.
    pub fn creates(&self) -> bool {
        self.method == "POST"
    }

    /// What it is to do, handed over: its data is in memory once.
    pub fn take_call(&mut self) -> Result<BulkCall, Error> {
        match &mut self.call {
            Ok(BulkCall { method, path, data }) => {
                Ok(BulkCall { method: *method, path: std::mem::take(path), data: data.take() })
            }
            Err(error) => Err(error.clone()),
        }
    }

    /// The bulkIds that it refers to, in its path and in its data.
    pub fn references(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Ok(call) = &self.call {
            found.extend(call.path.split('/').filter_map(|segment| segment.strip_prefix(MARK)).map(str::to_owned));
            each(&call.data, false, &mut |id| found.push(id.to_owned()));
        }
        found
    }
}

impl BulkCall {
    fn parse(method: &str, path: Option<Value>, data: Value, bulk_id: Option<&str>) -> Result<Self, Error> {
        let method = match method {
            "POST" => BulkMethod::Post,
            "PUT" => BulkMethod::Put,
            "PATCH" => BulkMethod::Patch,
            "DELETE" => BulkMethod::Delete,
            _ => return Err(Error::invalid_syntax("the method of an operation is POST, PUT, PATCH or DELETE")),
        };
        let Some(path) = path.and_then(text) else {
            return Err(Error::invalid_syntax("an operation needs a path, such as /Users"));
        };
        match (method, bulk_id) {
            (BulkMethod::Post, None) => return Err(Error::invalid_syntax("a POST in a bulk request needs a bulkId")),
            (_, Some(bulk_id)) if bulk_id.len() > MAX_BULK_ID => {
                return Err(Error::invalid_value(format!("a bulkId has at most {MAX_BULK_ID} bytes")));
            }
            _ => {}
        }
        match (method, &data) {
            (BulkMethod::Delete, _) => Ok(Self { method, path, data: Value::Null }),
            (_, Value::Object(_)) => Ok(Self { method, path, data }),
            (_, Value::Null) => Err(Error::invalid_syntax("POST, PUT and PATCH need data")),
            _ => Err(Error::invalid_syntax("the data of an operation must be an object")),
        }
    }
}

/// What is known of the bulkIds of a request.
#[derive(Debug, Clone, Default)]
pub struct Ids(HashMap<String, Known>);

#[derive(Debug, Clone, PartialEq)]
enum Known {
    Awaited,
    Created(String),
    Failed,
}

impl Ids {
    /// Those that the operations declare, none created yet.
    pub fn of(operations: &[BulkOperation]) -> Self {
        let creating = operations.iter().filter(|operation| operation.creates());
        Self(creating.filter_map(|operation| Some((operation.bulk_id.clone()?, Known::Awaited))).collect())
    }

    /// It was created, and this is its id.
    pub fn created(&mut self, bulk_id: &str, id: &str) {
        self.0.insert(bulk_id.to_owned(), Known::Created(id.to_owned()));
    }

    /// It will not be created.
    pub fn failed(&mut self, bulk_id: &str) {
        self.0.insert(bulk_id.to_owned(), Known::Failed);
    }

    /// The id behind a bulkId: 400 where no operation has it, 409 where its operation failed or is still to come.
    pub fn get(&self, bulk_id: &str) -> Result<&str, Error> {
        match self.0.get(bulk_id) {
            Some(Known::Created(id)) => Ok(id),
            Some(Known::Failed) => Err(Error::conflict(format!(
                "the reference {:?} cannot be resolved: the operation that was to create it failed",
                format!("{MARK}{bulk_id}")
            ))),
            Some(Known::Awaited) => Err(Error::conflict(format!(
                "the circular reference {:?} cannot be resolved",
                format!("{MARK}{bulk_id}")
            ))),
            None => Err(Error::invalid_value(format!(
                "the reference {:?} cannot be resolved: no POST of this request has that bulkId",
                format!("{MARK}{bulk_id}")
            ))),
        }
    }

    /// The id that a path's last segment stands for.
    pub fn of_segment(&self, segment: &str) -> Result<String, Error> {
        match segment.strip_prefix(MARK) {
            Some(bulk_id) => self.get(bulk_id).map(str::to_owned),
            None => Ok(segment.to_owned()),
        }
    }

    /// Replaces all references in the data of an operation by ids.
    pub fn resolve(&self, data: &mut Value) -> Result<(), Error> {
        self.replace(data, false)
    }

    fn replace(&self, value: &mut Value, is_path: bool) -> Result<(), Error> {
        match value {
            Value::String(text) if is_path => {
                if let Some(replaced) = self.in_path(text)? {
                    *text = replaced;
                }
                Ok(())
            }
            Value::String(text) => {
                if let Some((before, bulk_id)) = reference(text) {
                    *text = format!("{before}{}", self.get(bulk_id)?);
                }
                Ok(())
            }
            Value::Array(list) => list.iter_mut().try_for_each(|value| self.replace(value, false)),
            Value::Object(object) => {
                object.iter_mut().try_for_each(|(key, value)| self.replace(value, name::same(key, "path")))
            }
            _ => Ok(()),
        }
    }

    /// A PATCH path such as `members[value eq "bulkId:x"]`.
    fn in_path(&self, path: &str) -> Result<Option<String>, Error> {
        let mut replaced = String::new();
        let mut rest = path;
        while let Some((before, bulk_id, after)) = quoted(rest) {
            replaced.push_str(before);
            replaced.push('"');
            replaced.push_str(self.get(bulk_id)?);
            replaced.push('"');
            rest = after;
        }
        if replaced.is_empty() {
            return Ok(None);
        }
        replaced.push_str(rest);
        Ok(Some(replaced))
    }

    /// Whether a bulkId stands for what is not created yet.
    pub fn is_awaited(&self, bulk_id: &str) -> bool {
        self.0.get(bulk_id) == Some(&Known::Awaited)
    }

    /// The bulkIds in a value that stand for what is not created yet.
    pub fn awaited(&self, value: &Value) -> Vec<String> {
        let mut awaited = Vec::new();
        each(value, false, &mut |bulk_id| awaited.extend(self.is_awaited(bulk_id).then(|| bulk_id.to_owned())));
        awaited
    }

    fn awaits(&self, value: &Value) -> bool {
        let mut awaits = false;
        each(value, false, &mut |bulk_id| awaits |= self.is_awaited(bulk_id));
        awaits
    }

    /// Takes out of a resource the values that refer to what is not created yet, and returns them in the shape that they
    /// have in the resource: it is created without, and gets them afterwards (RFC 7644 3.7.1).
    pub fn withhold(&self, resource: &mut Object) -> Option<Object> {
        let mut withheld = Object::new();
        let keys: Vec<String> = resource.keys().cloned().collect();
        for key in keys {
            let Some(value) = resource.get_mut(&key).filter(|value| self.awaits(value)) else {
                continue;
            };
            let taken = match value {
                Value::Array(list) => {
                    let (later, now) = std::mem::take(list).into_iter().partition(|element| self.awaits(element));
                    *list = now;
                    Value::Array(later)
                }
                // What refers, or describes what is referred to, goes whole: `manager` with its `value`.
                Value::Object(object) if !object.iter().any(|(key, value)| self.names(key, value)) => {
                    self.withhold(object).map(Value::Object).unwrap_or_default()
                }
                _ => std::mem::take(value),
            };
            if resource.get(&key).is_some_and(is_nothing) {
                resource.shift_remove(&key);
            }
            withheld.insert(key, taken);
        }
        (!withheld.is_empty()).then_some(withheld)
    }

    fn names(&self, key: &str, value: &Value) -> bool {
        (name::same(key, "value") || name::same(key, "$ref")) && self.awaits(value)
    }
}

/// The answer: the operations that were carried out, in the order of the request.
pub fn response(operations: &[BulkOperation], outcomes: Vec<Option<BulkOutcome>>) -> Value {
    let answered = operations.iter().zip(outcomes).filter_map(|(operation, outcome)| {
        let BulkOutcome { status, location, version, error } = outcome?;
        let mut answer = Object::new();
        let mut put = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                answer.insert(key.to_owned(), value);
            }
        };
        put("method", Some(operation.method.as_str().into()));
        put("bulkId", operation.bulk_id.as_deref().map(Value::from));
        put("version", version.map(Value::from));
        put("location", location.map(Value::from));
        put("status", Some(status.to_string().into()));
        put("response", error.map(|error| error.to_json()));
        Some(Value::Object(answer))
    });
    serde_json::json!({ "schemas": [urn::BULK_RESPONSE], "Operations": answered.collect::<Vec<_>>() })
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

/// Text that says something; numbers are taken for text.
fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// `bulkId:x`, or a URL that ends in it: what stands before, and the bulkId.
fn reference(text: &str) -> Option<(&str, &str)> {
    if let Some(bulk_id) = text.strip_prefix(MARK) {
        return Some(("", bulk_id));
    }
    let slash = text.rfind('/')?;
    let (before, last) = text.split_at_checked(slash + 1)?;
    last.strip_prefix(MARK).map(|bulk_id| (before, bulk_id))
}

/// The first quoted reference in a PATCH path: what stands before it, the bulkId, what follows.
fn quoted(path: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = path.split_once("\"bulkId:")?;
    let (bulk_id, after) = rest.split_once('"')?;
    Some((before, bulk_id, after))
}

/// Calls `found` with each bulkId that a value refers to.
fn each(value: &Value, is_path: bool, found: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) if is_path => {
            let mut rest = text.as_str();
            while let Some((_, bulk_id, after)) = quoted(rest) {
                found(bulk_id);
                rest = after;
            }
        }
        Value::String(text) => {
            if let Some((_, bulk_id)) = reference(text) {
                found(bulk_id);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| each(value, false, found)),
        Value::Object(object) => object.iter().for_each(|(key, value)| each(value, name::same(key, "path"), found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(operations: Value) -> Result<Bulk, String> {
        Bulk::parse(json!({ "Operations": operations }), 5).map_err(|error| error.to_string())
    }

    #[test]
    fn messages() {
        let bulk = Bulk::parse(
            json!({"schemas": [urn::BULK_REQUEST], "failOnErrors": 2, "Operations": [
                {"method": "post", "path": "/Users", "bulkId": 7, "data": {"userName": "a"}},
                {"method": "DELETE", "path": "/Users/1", "version": "W/\"a\"", "data": {"left": "out"}},
            ]}),
            2,
        )
        .unwrap();
        assert_eq!(bulk.fail_on_errors, Some(2));
        let [post, delete] = bulk.operations.as_slice() else { unreachable!() };
        assert_eq!((post.method.as_str(), post.bulk_id.as_deref()), ("POST", Some("7")));
        assert_eq!(delete.version.as_deref(), Some("W/\"a\""));
        assert_eq!(delete.call.as_ref().unwrap().data, Value::Null);
        for (message, expected) in [
            (json!([]), "400 invalidSyntax: the body must be a BulkRequest object"),
            (json!({}), "400 invalidSyntax: the body has no Operations"),
            (json!({"Operations": {}}), "400 invalidSyntax: Operations must be a list"),
            (json!({"Operations": [1]}), "400 invalidSyntax: operation 1 must be an object"),
            (
                json!({"Operations": [], "failOnErrors": 0}),
                "400 invalidValue: failOnErrors must be an integer of at least 1",
            ),
            (
                json!({"Operations": [], "failOnErrors": "1"}),
                "400 invalidValue: failOnErrors must be an integer of at least 1",
            ),
            (
                json!({"Operations": [{}, {}, {}]}),
                "413: the bulk request has 3 operations, more than maxOperations (2)",
            ),
        ] {
            assert_eq!(Bulk::parse(message.clone(), 2).unwrap_err().to_string(), expected, "{message}");
        }
    }

    #[test]
    fn what_is_wrong_with_one() {
        for (operation, expected) in [
            (json!({}), "the method of an operation is POST, PUT, PATCH or DELETE"),
            (json!({"method": "GET", "path": "/Users"}), "the method of an operation is POST, PUT, PATCH or DELETE"),
            (json!({"method": "POST", "bulkId": "a"}), "an operation needs a path, such as /Users"),
            (json!({"method": "POST", "path": "/Users", "data": {}}), "a POST in a bulk request needs a bulkId"),
            (
                json!({"method": "POST", "path": "/Users", "bulkId": "", "data": {}}),
                "a POST in a bulk request needs a bulkId",
            ),
            (json!({"method": "PUT", "path": "/Users/1"}), "POST, PUT and PATCH need data"),
            (json!({"method": "PATCH", "path": "/Users/1", "data": [1]}), "the data of an operation must be an object"),
            (json!({"method": "DELETE", "path": 1.5, "bulkId": "b".repeat(241)}), "a bulkId has at most 240 bytes"),
        ] {
            let bulk = parse(json!([operation])).unwrap();
            let error = bulk.operations.into_iter().next().unwrap().call.unwrap_err();
            assert_eq!((error.status, error.detail.as_str()), (400, expected), "{operation}");
        }
        let twice = json!([
            {"method": "POST", "path": "/Users", "bulkId": "a", "data": {}},
            {"method": "POST", "path": "/Groups", "bulkId": "a", "data": {}},
        ]);
        assert!(parse(twice).unwrap_err().contains("the operations 1 and 2 have the same bulkId \"a\""));
        // Names that nobody can refer to may be used twice.
        let others = json!([
            {"method": "PUT", "path": "/Users/1", "bulkId": "a", "data": {}},
            {"method": "DELETE", "path": "/Users/2", "bulkId": "a"},
        ]);
        assert!(parse(others).is_ok());
    }

    #[test]
    fn references() {
        let bulk = parse(json!([{
            "method": "PATCH", "path": "/Groups/bulkId:g", "data": {
                "Operations": [
                    {"op": "remove", "path": "members[value eq \"bulkId:a\" or value eq \"bulkId:b\"]"},
                    {"op": "add", "path": "members", "value": [{"value": "bulkId:c"}, {"$ref": "../Users/bulkId:d"}]},
                    {"op": "add", "path": "members", "value": ["bulkId:e"]},
                    {"op": "replace", "path": "displayName", "value": "about bulkId:x"},
                ],
            },
        }]))
        .unwrap();
        assert_eq!(bulk.operations.first().unwrap().references(), ["g", "a", "b", "c", "d", "e"]);
        let mut ids = Ids::default();
        for id in ["a", "b", "c", "d", "e"] {
            ids.created(id, &format!("{id}1"));
        }
        let mut data = bulk.operations.into_iter().next().unwrap().call.unwrap().data;
        ids.resolve(&mut data).unwrap();
        assert_eq!(
            data,
            json!({"Operations": [
                {"op": "remove", "path": "members[value eq \"a1\" or value eq \"b1\"]"},
                {"op": "add", "path": "members", "value": [{"value": "c1"}, {"$ref": "../Users/d1"}]},
                {"op": "add", "path": "members", "value": ["e1"]},
                {"op": "replace", "path": "displayName", "value": "about bulkId:x"},
            ]})
        );
        ids.failed("a");
        assert_eq!(ids.get("a").unwrap_err().status, 409);
        assert_eq!(ids.get("nobody").unwrap_err().status, 400);
        assert_eq!(ids.of_segment("7").unwrap(), "7");
        assert_eq!(ids.of_segment("bulkId:b").unwrap(), "b1");
    }

    #[test]
    fn withheld() {
        let bulk = parse(json!([
            {"method": "POST", "path": "/Users", "bulkId": "a", "data": {}},
            {"method": "POST", "path": "/Users", "bulkId": "b", "data": {}},
        ]))
        .unwrap();
        let mut ids = Ids::of(&bulk.operations);
        ids.created("b", "7");
        let Value::Object(mut resource) = json!({
            "userName": "x",
            "name": {"givenName": "X"},
            "members": [{"value": "bulkId:a", "type": "User"}, {"value": "bulkId:b"}],
            "others": ["bulkId:a"],
            "urn:x": {"manager": {"value": "bulkId:a", "displayName": "A"}, "division": "D"},
            "urn:y": {"manager": {"$ref": "../Users/bulkId:a"}},
        }) else {
            unreachable!()
        };
        let withheld = ids.withhold(&mut resource).unwrap();
        assert_eq!(
            Value::Object(resource.clone()),
            json!({
                "userName": "x",
                "name": {"givenName": "X"},
                "members": [{"value": "bulkId:b"}],
                "urn:x": {"division": "D"},
            })
        );
        assert_eq!(
            Value::Object(withheld),
            json!({
                "members": [{"value": "bulkId:a", "type": "User"}],
                "others": ["bulkId:a"],
                "urn:x": {"manager": {"value": "bulkId:a", "displayName": "A"}},
                "urn:y": {"manager": {"$ref": "../Users/bulkId:a"}},
            })
        );
        assert!(ids.withhold(&mut resource).is_none());
    }
}
