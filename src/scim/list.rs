//! Lists: what is asked for (RFC 7644 3.4.2 and 3.4.3) and the message that answers.
//!
//! Parameter names are taken in any case, unknown ones are left out, of a repeated one the last counts, and an empty one is
//! as good as none.

use serde_json::{Value, json};

use super::filter::{Filter, Limits};
use super::{AttributePath, Error, Object, Projection, urn};

/// What a list or search asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// Which resources.
    pub filter: Option<Filter>,
    /// From 1.
    pub start_index: i64,
    /// At most so many; 0 counts only.
    pub count: Option<u64>,
    /// In which order.
    pub sort_by: Option<AttributePath>,
    /// From the last to the first.
    pub descending: bool,
    /// Which attributes.
    pub projection: Projection,
    /// RFC 9865: present and empty asks for the first page.
    pub cursor: Option<String>,
}

impl ListQuery {
    /// From decoded parameters (see [`super::query::decode`]); 400 invalidFilter, invalidPath or invalidValue.
    pub fn parse<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)], limits: &Limits) -> Result<Self, Error> {
        let mut raw = Raw::default();
        for (key, value) in pairs {
            raw.set(key.as_ref(), value.as_ref());
        }
        raw.parse(limits)
    }

    /// From a SearchRequest message (RFC 7644 3.4.3); numbers may be strings, and lists of attributes one string.
    pub fn from_search_request(body: &Value, limits: &Limits) -> Result<Self, Error> {
        let body = body.as_object().ok_or_else(|| Error::invalid_syntax("the body must be a SearchRequest object"))?;
        let mut texts = Vec::with_capacity(body.len());
        for (key, value) in body {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                Value::Array(list) => {
                    let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                    names.ok_or_else(|| Error::invalid_syntax(format!("{key} must be a list of strings")))?.join(",")
                }
                Value::Null => continue,
                Value::Bool(_) | Value::Object(_) if !Raw::default().set(key, "") => continue,
                Value::Bool(_) | Value::Object(_) => {
                    return Err(Error::invalid_value(format!("{key} has the wrong type")));
                }
            };
            texts.push((key.as_str(), text));
        }
        Self::parse(&texts, limits)
    }
}

#[derive(Default)]
struct Raw<'a> {
    filter: Option<&'a str>,
    start_index: Option<&'a str>,
    count: Option<&'a str>,
    sort_by: Option<&'a str>,
    sort_order: Option<&'a str>,
    attributes: Option<&'a str>,
    excluded: Option<&'a str>,
    cursor: Option<&'a str>,
}

impl<'a> Raw<'a> {
    /// Keeps the parameter if it is one of ours, and says whether it is.
    fn set(&mut self, key: &str, value: &'a str) -> bool {
        let slot = match key.to_ascii_lowercase().as_str() {
            "filter" => &mut self.filter,
            "startindex" => &mut self.start_index,
            "count" => &mut self.count,
            "sortby" => &mut self.sort_by,
            "sortorder" => &mut self.sort_order,
            "attributes" => &mut self.attributes,
            "excludedattributes" => &mut self.excluded,
            "cursor" => &mut self.cursor,
            _ => return false,
        };
        *slot = Some(value);
        true
    }

    fn parse(self, limits: &Limits) -> Result<ListQuery, Error> {
        let said = |value: Option<&'a str>| value.map(str::trim).filter(|text| !text.is_empty());
        let start_index =
            said(self.start_index).map(|text| number("startIndex", text)).transpose()?.unwrap_or(1).max(1);
        let count = said(self.count).map(|text| number("count", text)).transpose()?;
        let descending = match said(self.sort_order) {
            None => false,
            Some(order) if order.eq_ignore_ascii_case("ascending") => false,
            Some(order) if order.eq_ignore_ascii_case("descending") => true,
            Some(_) => return Err(Error::invalid_value("sortOrder must be ascending or descending")),
        };
        Ok(ListQuery {
            filter: said(self.filter).map(|text| Filter::parse(text, limits)).transpose()?,
            start_index,
            // RFC 7644 3.4.2.4: a negative count is as good as 0.
            count: count.map(|count| u64::try_from(count).unwrap_or(0)),
            sort_by: said(self.sort_by).map(AttributePath::parse).transpose()?,
            descending,
            projection: Projection::parse(self.attributes, self.excluded)?,
            cursor: self.cursor.map(str::to_owned),
        })
    }
}

fn number(name: &str, text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_| Error::invalid_value(format!("{name} must be an integer")))
}

/// A page of resources.
#[derive(Debug, Clone, PartialEq)]
pub struct ListResponse {
    /// How many the filter meets in all.
    pub total: u64,
    /// As asked.
    pub start_index: i64,
    /// The page.
    pub resources: Vec<Object>,
    /// RFC 9865.
    pub next_cursor: Option<String>,
    /// RFC 9865.
    pub previous_cursor: Option<String>,
}

impl ListResponse {
    /// A page by index.
    pub fn new(total: u64, start_index: i64, resources: Vec<Object>) -> Self {
        Self { total, start_index, resources, next_cursor: None, previous_cursor: None }
    }

    /// The message, with all its counters and `Resources` even if empty. Moves the resources.
    pub fn into_value(self) -> Value {
        let mut message = Object::new();
        message.insert("schemas".into(), json!([urn::LIST_RESPONSE]));
        message.insert("totalResults".into(), self.total.into());
        message.insert("itemsPerPage".into(), self.resources.len().into());
        message.insert("startIndex".into(), self.start_index.into());
        if let Some(cursor) = self.next_cursor {
            message.insert("nextCursor".into(), cursor.into());
        }
        if let Some(cursor) = self.previous_cursor {
            message.insert("previousCursor".into(), cursor.into());
        }
        message.insert("Resources".into(), Value::Array(self.resources.into_iter().map(Value::Object).collect()));
        Value::Object(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<ListQuery, Error> {
        ListQuery::parse(pairs, &Limits::default())
    }

    #[test]
    fn numbers() {
        for (start, count, expected) in [
            ("1", "100", (1, Some(100))),
            ("0", "0", (1, Some(0))),
            ("-5", "-1", (1, Some(0))),
            ("", "", (1, None)),
            (" 7 ", "+2", (7, Some(2))),
        ] {
            let query = parse(&[("startindex", start), ("COUNT", count)]).unwrap();
            assert_eq!((query.start_index, query.count), expected, "{start} {count}");
        }
        for (key, value) in
            [("startIndex", "x"), ("count", "1.5"), ("count", "99999999999999999999"), ("sortOrder", "up")]
        {
            let error = parse(&[(key, value)]).unwrap_err();
            assert_eq!(error.scim_type, Some(super::super::ScimType::InvalidValue), "{key}");
            assert!(error.detail.contains(key));
        }
    }

    #[test]
    fn the_rest() {
        let query = parse(&[
            ("filter", "userName eq \"no\""),
            ("FILTER", "userName eq \"x\""),
            ("sortBy", "name.familyName"),
            ("sortOrder", "Descending"),
            ("excludedAttributes", "members"),
            ("cursor", ""),
            ("aadOptscim062020", ""),
        ])
        .unwrap();
        assert_eq!(query.filter.unwrap().to_string(), "userName eq \"x\"");
        assert_eq!(query.sort_by.unwrap().to_string(), "name.familyName");
        assert!(query.descending);
        assert_eq!(query.cursor.as_deref(), Some(""));
        assert_eq!(query.projection.excluded.len(), 1);
        assert_eq!(parse(&[("filter", "x")]).unwrap_err().scim_type, Some(super::super::ScimType::InvalidFilter));
    }

    #[test]
    fn search_request() {
        let body = json!({
            "schemas": [urn::SEARCH_REQUEST], "attributes": ["displayName", "userName"], "filter": "displayName sw \"s\"",
            "startIndex": 3, "count": "10", "sortBy": null, "other": {}
        });
        let query = ListQuery::from_search_request(&body, &Limits::default()).unwrap();
        assert_eq!((query.start_index, query.count), (3, Some(10)));
        assert_eq!(query.projection.attributes.unwrap().len(), 2);
        for body in [json!([]), json!({"filter": {}}), json!({"count": true}), json!({"attributes": [1]})] {
            assert_eq!(ListQuery::from_search_request(&body, &Limits::default()).unwrap_err().status, 400, "{body}");
        }
    }

    #[test]
    fn an_empty_page_has_everything() {
        assert_eq!(
            ListResponse::new(0, 1, vec![]).into_value(),
            json!({"schemas": [urn::LIST_RESPONSE], "totalResults": 0, "itemsPerPage": 0, "startIndex": 1, "Resources": []})
        );
    }
}
