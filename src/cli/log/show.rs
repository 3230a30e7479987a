//! Requests of the journal as text and as JSON. Whatever stands in them was written by strangers: no control character
//! reaches a terminal, nor what turns the direction of writing.

use super::at;
use crate::cli::common::Failure;
use crate::own::{ChangeRow, DRY_RUN, RequestRow};
use chrono::SecondsFormat;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Stdout, Write};
use std::time::Duration;

/// The most characters of a value in a table; JSON has all of it.
const WIDEST: usize = 80;

/// How requests are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One line each.
    Line,
    /// Everything, for people.
    Whole,
    /// One JSON object a line.
    Json,
}

/// Where they are printed.
pub struct Output {
    style: Style,
    colour: bool,
    out: std::io::BufWriter<Stdout>,
}

/// Gives changes behind one of a number, some at a time.
type Changes<'a> = &'a mut dyn FnMut(i64) -> Result<Vec<ChangeRow>, Failure>;

impl Output {
    /// To stdout.
    pub fn new(style: Style, colour: bool) -> Self {
        Self { style, colour, out: std::io::BufWriter::new(std::io::stdout()) }
    }

    /// Prints one; [`Failure::Said`] where nobody reads any more.
    pub fn request(&mut self, request: &RequestRow, changes: Changes<'_>) -> Result<(), Failure> {
        match self.style {
            Style::Line => {
                let line = self.line(request);
                self.print(&line)
            }
            Style::Json => {
                let mut all = Vec::new();
                each(changes, &mut |change| {
                    all.push(as_json(&change));
                    Ok(())
                })?;
                self.print(&harmless_json(&request_json(request, all).to_string()))
            }
            Style::Whole => self.whole(request, changes),
        }
    }

    /// Writes out what was gathered.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| closed(&error))
    }

    fn print(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(|error| closed(&error))
    }

    fn line(&self, request: &RequestRow) -> String {
        let id = request.resource_id.as_deref();
        let route = match id {
            Some(id) if request.route.contains("{id}") => request.route.replace("{id}", id),
            Some(id) => format!("{}/{id}", request.route),
            None => request.route.clone(),
        };
        let rows = match request.changes {
            0 => String::new(),
            1 => "  1 row".to_owned(),
            rows => format!("  {rows} rows"),
        };
        let why = request.detail.as_deref().map(|detail| format!("  {}", short(detail))).unwrap_or_default();
        let why = harmless(&why);
        format!(
            "{}  {}  {} {}  {}{rows}  {}{why}",
            self.faint(&at(request.at).to_rfc3339_opts(SecondsFormat::Secs, true)),
            self.status(request),
            harmless(&request.method),
            harmless(&route),
            harmless(&request.server),
            self.faint(&harmless(&request.id)),
        )
    }

    fn status(&self, request: &RequestRow) -> String {
        let told = request.answered.map(|answered| format!(" (told {answered})")).unwrap_or_default();
        let status = if request.status == DRY_RUN { "dry run".to_owned() } else { request.status.to_string() };
        let text = format!("{status}{told}");
        match request.status {
            _ if !self.colour => text,
            200..=299 if request.answered.is_none() => format!("\u{1b}[32m{text}\u{1b}[0m"),
            DRY_RUN | 200..=299 => format!("\u{1b}[33m{text}\u{1b}[0m"),
            _ => format!("\u{1b}[31m{text}\u{1b}[0m"),
        }
    }

    fn faint(&self, text: &str) -> String {
        if self.colour { format!("\u{1b}[2m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        if self.colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn whole(&mut self, request: &RequestRow, changes: Changes<'_>) -> Result<(), Failure> {
        let title = format!("request {}", harmless(&request.id));
        self.print(&self.bold(&title))?;
        let took = Duration::from_micros(request.duration.unsigned_abs()).as_secs_f64() * 1000.0;
        let came = at(request.at).to_rfc3339_opts(SecondsFormat::Millis, true);
        self.field("came", &format!("{came}, took {took:.1} ms"))?;
        let about = match (&request.resource_type, &request.resource_id) {
            (Some(type_), Some(id)) => format!(" ({type_} {id})"),
            (Some(type_), None) => format!(" ({type_})"),
            _ => String::new(),
        };
        self.field("asked for", &format!("{} {}{about}", request.method, request.route))?;
        if let Some(query) = &request.query {
            self.field("query", query)?;
        }
        let by = match (&request.credential_kind, &request.credential) {
            (Some(kind), Some(credential)) => format!(", {kind} {credential}"),
            (Some(kind), None) => format!(", {kind}"),
            _ => String::new(),
        };
        let from = request.client.as_deref().map(|client| format!(", from {client}")).unwrap_or_default();
        let acting = request.acting_user.as_deref().map(|user| format!(", acting as {user}")).unwrap_or_default();
        self.field("by", &format!("{}{by}{from}{acting}", request.server))?;
        if let Some(given) = &request.given {
            self.field("known as", given)?;
        }
        if let Some(parent) = &request.parent {
            self.field("part of", parent)?;
        }
        let status = self.status(request);
        let scim_type = request.scim_type.as_deref().map(|scim_type| format!(" {scim_type}")).unwrap_or_default();
        self.print(&format!("  {:<10} {status}{}", "came to", harmless(&scim_type)))?;
        for (name, text) in [("because", &request.detail), ("request", &request.request), ("answer", &request.answer)] {
            if let Some(text) = text {
                self.field(name, text)?;
            }
        }
        let mut any = false;
        each(changes, &mut |change| {
            any = true;
            self.change(&change)
        })?;
        if !any {
            self.field("rows", "none were changed")?;
        }
        self.print("")
    }

    fn field(&mut self, name: &str, text: &str) -> Result<(), Failure> {
        self.print(&format!("  {name:<10} {}", harmless(text)))
    }

    /// One row, before and after, column by column.
    fn change(&mut self, change: &ChangeRow) -> Result<(), Failure> {
        let schema = change.table_schema.as_deref().map(|schema| format!("{schema}.")).unwrap_or_default();
        let key: Vec<String> =
            object(&change.key).iter().map(|(name, value)| format!("{name}={}", cell(value))).collect();
        let title = format!("{} {schema}{} {}", change.operation, change.table_name, key.join(" "));
        self.print("")?;
        self.print(&format!("  {}", self.bold(&harmless(&title))))?;
        let side = |text: &Option<String>| text.as_deref().map(object);
        let (before, after) = (side(&change.before), side(&change.after));
        let names: BTreeSet<&String> = before.iter().chain(&after).flat_map(Map::keys).collect();
        let shown = |side: &Option<Map<String, Json>>, name: &str| {
            side.as_ref().map(|side| side.get(name).map(cell).unwrap_or_default()).unwrap_or_default()
        };
        let mut rows = vec![[String::from("column"), String::from("before"), String::from("after")]];
        rows.extend(names.iter().map(|name| [harmless(name), shown(&before, name), shown(&after, name)]));
        // A column of the table that has nothing in it says nothing.
        let wanted: Vec<usize> = match (&before, &after) {
            (None, _) => vec![0, 2],
            (_, None) => vec![0, 1],
            _ => vec![0, 1, 2],
        };
        let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..3).map(|at| width(at).unwrap_or(0)).collect();
        for (number, row) in rows.iter().enumerate() {
            let cells = wanted.iter().filter_map(|at| row.get(*at).zip(widths.get(*at)));
            let line: Vec<String> = cells.map(|(cell, width)| format!("{cell:<width$}")).collect();
            let line = format!("    {}", line.join("  ").trim_end());
            let line = if number == 0 { self.faint(&line) } else { line };
            self.print(&line)?;
        }
        Ok(())
    }
}

fn each(changes: Changes<'_>, work: &mut dyn FnMut(ChangeRow) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut behind = 0;
    loop {
        let some = changes(behind)?;
        let Some(last) = some.last().map(|change| change.number) else { return Ok(()) };
        behind = last;
        for change in some {
            work(change)?;
        }
    }
}

fn closed(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::Said,
        _ => Failure::Message(format!("stdout: {error}")),
    }
}

fn object(text: &str) -> Map<String, Json> {
    match serde_json::from_str(text) {
        Ok(Json::Object(object)) => object,
        _ => Map::new(),
    }
}

/// A value of a row for people.
fn cell(value: &Json) -> String {
    let text = match value {
        Json::Null => "NULL".to_owned(),
        Json::String(text) => format!("\"{text}\""),
        Json::Object(object) => match object.iter().next() {
            Some((form, _)) if form == "secret" => "(secret)".to_owned(),
            Some((form, of)) if form == "long" => format!("({} bytes)", of.get("bytes").unwrap_or(&Json::Null)),
            Some((_, Json::String(text))) => text.clone(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    };
    harmless(&short(&text))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Text that does to a terminal what text does.
fn harmless(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => plain.push_str("\\n"),
            '\r' => plain.push_str("\\r"),
            '\t' => plain.push_str("\\t"),
            c if is_harmful(c) => plain.extend(c.escape_unicode()),
            c => plain.push(c),
        }
    }
    plain
}

/// The same for JSON, where such characters can only stand in strings.
fn harmless_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        if is_harmful(c) {
            c.encode_utf16(&mut units).iter().for_each(|unit| plain.push_str(&format!("\\u{unit:04x}")));
        } else {
            plain.push(c);
        }
    }
    plain
}

/// Control characters, and those that change how what follows is written: line and paragraph separators, the marks of the
/// direction of writing, what cannot be seen.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn request_json(request: &RequestRow, changes: Vec<Json>) -> Json {
    let body =
        |text: &Option<String>| text.as_deref().map(|text| serde_json::from_str(text).unwrap_or(Json::from(text)));
    let mut all = Map::new();
    let mut put = |name: &str, value: Json| {
        if !value.is_null() {
            all.insert(name.to_owned(), value);
        }
    };
    put("id", json!(request.id));
    put("given_id", json!(request.given));
    put("parent", json!(request.parent));
    put("at", json!(at(request.at).to_rfc3339_opts(SecondsFormat::Micros, true)));
    put("server", json!(request.server));
    put("method", json!(request.method));
    put("route", json!(request.route));
    put("resource_type", json!(request.resource_type));
    put("resource_id", json!(request.resource_id));
    match request.status {
        DRY_RUN => put("dry_run", json!(true)),
        status => put("status", json!(status)),
    }
    put("answered", json!(request.answered));
    put("scim_type", json!(request.scim_type));
    put("detail", json!(request.detail));
    put("credential", json!(request.credential));
    put("credential_kind", json!(request.credential_kind));
    put("acting_user", json!(request.acting_user));
    put("client", json!(request.client));
    put("duration_us", json!(request.duration));
    put("query", json!(request.query));
    put("request", json!(body(&request.request)));
    put("answer", json!(body(&request.answer)));
    put("changes", Json::Array(changes));
    Json::Object(all)
}

fn as_json(change: &ChangeRow) -> Json {
    let mut all = Map::new();
    all.insert("number".to_owned(), json!(change.number));
    if let Some(schema) = &change.table_schema {
        all.insert("schema".to_owned(), json!(schema));
    }
    all.insert("table".to_owned(), json!(change.table_name));
    all.insert("operation".to_owned(), json!(change.operation));
    all.insert("key".to_owned(), Json::Object(object(&change.key)));
    for (name, side) in [("before", &change.before), ("after", &change.after)] {
        if let Some(side) = side {
            all.insert(name.to_owned(), Json::Object(object(side)));
        }
    }
    Json::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_raw() {
        let evil = "a\u{1b}[31mred\u{9b}2J\u{202e}\u{7f}\n\r\u{2028}\u{e0041}b\u{0}";
        for text in [harmless(evil), cell(&json!(evil)), harmless_json(&json!(evil).to_string())] {
            assert!(!text.chars().any(is_harmful), "{text:?}");
        }
        let back: Json = serde_json::from_str(&harmless_json(&json!({ "k": evil }).to_string())).unwrap();
        assert_eq!(back, json!({ "k": evil }));
        assert_eq!(harmless("größe \u{1f980}"), "größe \u{1f980}");
    }

    #[test]
    fn cells() {
        for (value, shown) in [
            (json!(null), "NULL"),
            (json!("NULL"), "\"NULL\""),
            (json!(3), "3"),
            (json!(true), "true"),
            (json!({ "secret": true }), "(secret)"),
            (json!({ "datetime": "2026-02-03T04:05:06" }), "2026-02-03T04:05:06"),
            (json!({ "long": { "bytes": 300000, "sha256": "aa" } }), "(300000 bytes)"),
        ] {
            assert_eq!(cell(&value), shown);
        }
        assert_eq!(cell(&json!("x".repeat(200))).chars().count(), WIDEST + 3);
    }
}
