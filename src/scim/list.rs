//! Lists: what is asked for (RFC 7644 3.4.2 and 3.4.3, RFC 9865) and the message that answers.
//!
//! Parameter names are taken in any case, unknown ones are left out, of a repeated one the last counts, and an empty one is
//! as good as none, but for `cursor`: that asks for pages by cursor, from the first (RFC 9865 2). Pages are asked for by index
//! or by cursor, never by both. By index a `count` below 1 is 0 (RFC 7644 3.4.2.4); by cursor it is invalidCount
//! (RFC 9865 2.1), since a page without resources would have no place to go on from. A `count` above what a page may have
//! is no error in either: the page is smaller, as both RFCs allow.

use serde_json::{Value, json};

use super::error::ScimType;
use super::filter::{Filter, Limits};
use super::{AttributePath, Error, Object, Projection, urn};

/// What a list or search asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// Which resources.
    pub filter: Option<Filter>,
    /// From 1.
    pub start_index: i64,
    /// At most so many; 0 counts only, and is never asked for by cursor.
    pub count: Option<u64>,
    /// In which order.
    pub sort_by: Option<AttributePath>,
    /// From the last to the first.
    pub descending: bool,
    /// Which attributes.
    pub projection: Projection,
    /// RFC 9865: pages by cursor; empty asks for the first.
    pub cursor: Option<String>,
}

impl ListQuery {
    /// From decoded parameters (see [`super::query::decode`]); 400 invalidFilter, invalidPath, invalidValue or invalidCount.
    pub fn parse<K: AsRef<str>, V: AsRef<str>>(pairs: &[(K, V)], limits: &Limits) -> Result<Self, Error> {
        let mut raw = Raw::default();
        for (key, value) in pairs {
            raw.set(key.as_ref(), value.as_ref());
        }
        raw.parse(limits)
    }

    /// From a SearchRequest message (RFC 7644 3.4.3), which must say that it is one; numbers may be strings, and lists of
    /// attributes one string. What the message does not define is left out, as in a query string.
    pub fn from_search_request(body: &Value, limits: &Limits) -> Result<Self, Error> {
        let body = body.as_object().ok_or_else(|| Error::invalid_syntax("the body must be a SearchRequest object"))?;
        let is_schemas = |key: &str| key.eq_ignore_ascii_case("schemas");
        let schemas = body.iter().find(|(key, _)| is_schemas(key)).map(|(_, value)| value);
        let named = match schemas {
            Some(Value::Array(urns)) => urns.iter().filter_map(Value::as_str).any(is_search_request),
            Some(Value::String(urn)) => is_search_request(urn),
            _ => false,
        };
        if !named {
            return Err(Error::invalid_syntax(format!(
                "the body must be a SearchRequest: its schemas must hold {}",
                urn::SEARCH_REQUEST
            )));
        }
        let mut texts = Vec::with_capacity(body.len());
        for (key, value) in body {
            let names = matches!(key.to_ascii_lowercase().as_str(), "attributes" | "excludedattributes");
            if !Raw::default().set(key, "") {
                continue;
            }
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(number) if !names => number.to_string(),
                Value::Array(list) if names => {
                    let names: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                    names.ok_or_else(|| Error::invalid_syntax(format!("{key} must be a list of strings")))?.join(",")
                }
                Value::Null => continue,
                _ if names => return Err(Error::invalid_value(format!("{key} must be a list of attribute names"))),
                _ => return Err(Error::invalid_value(format!("{key} has the wrong type"))),
            };
            texts.push((key.as_str(), text));
        }
        Self::parse(&texts, limits)
    }
}

fn is_search_request(urn: &str) -> bool {
    urn.eq_ignore_ascii_case(urn::SEARCH_REQUEST)
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
        let by_cursor = self.cursor.is_some();
        let start_index = said(self.start_index).map(|text| number("startIndex", text)).transpose()?;
        if by_cursor && start_index.is_some() {
            return Err(Error::invalid_value(
                "startIndex and cursor are two ways to page: send one of them, startIndex=1 or an empty cursor to begin",
            ));
        }
        let count = match said(self.count) {
            Some(text) if by_cursor => Some(text.parse().ok().filter(|count| *count > 0).ok_or_else(invalid_count)?),
            Some(text) => Some(number("count", text)?),
            None => None,
        };
        let descending = match said(self.sort_order) {
            None => false,
            Some(order) if order.eq_ignore_ascii_case("ascending") => false,
            Some(order) if order.eq_ignore_ascii_case("descending") => true,
            Some(_) => return Err(Error::invalid_value("sortOrder must be ascending or descending")),
        };
        Ok(ListQuery {
            filter: said(self.filter).map(|text| Filter::parse(text, limits)).transpose()?,
            start_index: start_index.unwrap_or(1).max(1),
            // RFC 7644 3.4.2.4: a negative count is as good as 0.
            count: count.map(|count| u64::try_from(count).unwrap_or(0)),
            sort_by: said(self.sort_by).map(AttributePath::parse).transpose()?,
            descending,
            projection: Projection::parse(self.attributes, self.excluded)?,
            cursor: self.cursor.map(|cursor| cursor.trim().to_owned()),
        })
    }
}

/// RFC 9865 2.1.
fn invalid_count() -> Error {
    Error::bad_request(
        ScimType::InvalidCount,
        "count must be a whole number from 1 on where pages are asked for by cursor",
    )
}

fn number(name: &str, text: &str) -> Result<i64, Error> {
    text.parse().map_err(|_| Error::invalid_value(format!("{name} must be an integer")))
}

/// A page of resources.
#[derive(Debug, Clone, PartialEq)]
pub struct ListResponse {
    /// How many the filter meets in all, where that was counted.
    pub total: Option<u64>,
    /// As asked, where pages are asked for by index.
    pub start_index: Option<i64>,
    /// The page.
    pub resources: Vec<Object>,
    /// RFC 9865: what the next page is asked for with; none on the last.
    pub next_cursor: Option<String>,
}

impl ListResponse {
    /// A page by index.
    pub fn new(total: u64, start_index: i64, resources: Vec<Object>) -> Self {
        Self { total: Some(total), start_index: Some(start_index), resources, next_cursor: None }
    }

    /// The message, with `Resources` even if empty. Moves the resources.
    pub fn into_value(self) -> Value {
        let mut message = Object::new();
        message.insert("schemas".into(), json!([urn::LIST_RESPONSE]));
        if let Some(total) = self.total {
            message.insert("totalResults".into(), total.into());
        }
        message.insert("itemsPerPage".into(), self.resources.len().into());
        if let Some(start_index) = self.start_index {
            message.insert("startIndex".into(), start_index.into());
        }
        if let Some(cursor) = self.next_cursor {
            message.insert("nextCursor".into(), cursor.into());
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
            assert_eq!(error.scim_type, Some(ScimType::InvalidValue), "{key}");
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
            ("startIndex", ""),
            ("aadOptscim062020", ""),
        ])
        .unwrap();
        assert_eq!(query.filter.unwrap().to_string(), "userName eq \"x\"");
        assert_eq!(query.sort_by.unwrap().to_string(), "name.familyName");
        assert!(query.descending);
        assert_eq!(query.cursor.as_deref(), Some(""));
        assert_eq!(query.projection.excluded.len(), 1);
        assert_eq!(parse(&[("filter", "x")]).unwrap_err().scim_type, Some(ScimType::InvalidFilter));
    }

    #[test]
    fn by_cursor() {
        let query = parse(&[("cursor", "abc"), ("count", "3")]).unwrap();
        assert_eq!((query.cursor.as_deref(), query.count), (Some("abc"), Some(3)));
        for count in ["0", "-1", "x", "1.5", "99999999999999999999"] {
            let error = parse(&[("cursor", ""), ("count", count)]).unwrap_err();
            assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidCount)), "{count}");
        }
        let error = parse(&[("cursor", ""), ("startIndex", "1")]).unwrap_err();
        assert_eq!(error.scim_type, Some(ScimType::InvalidValue));
        assert!(error.detail.contains("startIndex and cursor"));
        let page = ListResponse { total: None, start_index: None, resources: vec![], next_cursor: Some("c".into()) };
        assert_eq!(
            page.into_value(),
            json!({"schemas": [urn::LIST_RESPONSE], "itemsPerPage": 0, "nextCursor": "c", "Resources": []})
        );
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
        let search = |body: Value| ListQuery::from_search_request(&body, &Limits::default());
        let with =
            |key: &str, value: Value| search(json!({ "Schemas": urn::SEARCH_REQUEST.to_lowercase(), key: value }));
        for (key, value) in [
            ("filter", json!({})),
            ("filter", json!(["a", "b"])),
            ("count", json!(true)),
            ("count", json!([1])),
            ("attributes", json!([1])),
            ("attributes", json!(1)),
            ("attributes", json!({})),
            ("excludedAttributes", json!(false)),
            ("sortBy", json!(["title"])),
            ("cursor", json!({})),
        ] {
            let error = with(key, value.clone()).unwrap_err();
            assert_eq!(error.status, 400, "{key} {value}");
            assert!(error.detail.contains(key), "{key} {value}: {}", error.detail);
        }
        let both = search(json!({
            "schemas": [urn::SEARCH_REQUEST], "attributes": ["name", "title"], "excludedAttributes": "title", "cursor": ""
        }));
        let both = both.unwrap();
        assert_eq!((both.projection.attributes.unwrap().len(), both.projection.excluded.len()), (2, 1));
        assert_eq!(both.cursor.as_deref(), Some(""));
        assert_eq!(with("cursor", Value::Null).unwrap().cursor, None);
        for body in [
            json!([]),
            json!({}),
            json!({"filter": "title pr"}),
            json!({"schemas": []}),
            json!({"schemas": [urn::LIST_RESPONSE]}),
            json!({"schemas": [1]}),
        ] {
            let error = search(body.clone()).unwrap_err();
            assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidSyntax)), "{body}");
            assert!(error.detail.contains("SearchRequest"), "{body}");
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
