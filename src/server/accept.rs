//! What a client takes for an answer: `Accept` (RFC 9110 12.5.1). SCIM knows two names for one thing (RFC 7644 3.1).

use hyper::header::{ACCEPT, HeaderMap};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/scim+json`, which is also what a client gets that says nothing.
    Scim,
    /// `application/json`.
    Json,
}

/// How much one name is wanted: by the most precise range that fits, in thousandths.
#[derive(Clone, Copy, Default)]
struct Wish {
    precision: u8,
    weight: u16,
}

impl Wish {
    fn hear(&mut self, precision: u8, weight: u16) {
        if precision >= self.precision {
            *self = Self { precision, weight };
        }
    }
}

/// The form that a request asks for; `None` where nothing that there is fits (406).
pub fn form(headers: &HeaderMap) -> Option<Form> {
    let (mut scim, mut json, mut said) = (Wish::default(), Wish::default(), false);
    for value in headers.get_all(ACCEPT) {
        let ranges = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for range in ranges.filter(|range| !range.is_empty()) {
            said = true;
            let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
            let media = parts.next().unwrap_or_default();
            let weight = parts.find_map(weight).unwrap_or(1000);
            let is = |name: &str| media.eq_ignore_ascii_case(name.as_bytes());
            if is("application/scim+json") {
                scim.hear(3, weight);
            } else if is("application/json") {
                json.hear(3, weight);
            } else if is("application/*") || is("*/*") || is("*") {
                let precision = if is("application/*") { 2 } else { 1 };
                scim.hear(precision, weight);
                json.hear(precision, weight);
            }
        }
    }
    match (scim.weight, json.weight) {
        _ if !said => Some(Form::Scim),
        (0, 0) => None,
        (scim, json) if scim >= json => Some(Form::Scim),
        _ => Some(Form::Json),
    }
}

/// The weight that a parameter says, if it is one; what cannot be read says nothing.
fn weight(parameter: &[u8]) -> Option<u16> {
    let (name, value) = std::str::from_utf8(parameter).ok()?.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let (whole, part) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let part: u16 = if part.is_empty() { 0 } else { format!("{part:0<3}").get(..3)?.parse().ok()? };
    Some((whole * 1000 + part).min(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        use Form::{Json, Scim};
        for (accept, expected) in [
            (&[][..], Some(Scim)),
            (&[""], Some(Scim)),
            (&["application/scim+json"], Some(Scim)),
            (&["Application/SCIM+JSON; charset=utf-8"], Some(Scim)),
            (&["application/json"], Some(Json)),
            (&["application/json; charset=utf-8"], Some(Json)),
            (&["application/json, text/html;q=0.1"], Some(Json)),
            (&["text/html", "application/json"], Some(Json)),
            (&["application/json;q=0.5, application/scim+json"], Some(Scim)),
            (&["application/json, application/scim+json;q=0.9"], Some(Json)),
            (&["application/json, text/plain, */*"], Some(Scim)),
            (&["application/json, */*;q=0.1"], Some(Json)),
            (&["application/scim+json;q=0, */*"], Some(Json)),
            (&["application/json;q=0, application/*"], Some(Scim)),
            (&["*/*"], Some(Scim)),
            (&["*"], Some(Scim)),
            (&["text/html, image/gif, *; q=.2, */*; q=.2"], Some(Scim)),
            (&["*/*;q=0.001"], Some(Scim)),
            (&["*/*;q=nonsense"], Some(Scim)),
            (&["text/html"], None),
            (&["application/xml, text/*"], None),
            (&["*/*;q=0"], None),
            (&["*/*;q=0.000, application/json; q=0"], None),
            (&["application/scim+json;q=0"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, value.parse().unwrap());
            }
            assert_eq!(form(&headers), expected, "{accept:?}");
        }
    }
}
