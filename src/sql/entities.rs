//! The entities in which some applications keep `&`, `<` and `>` in their text columns, and may keep them mixed with
//! plain text: `R&#38;D`, of older rows `&lt;b&gt;`.
//!
//! What is encoded is told by looking: text without a raw `<`, `>` or bare `&` (one that begins no entity). Anything
//! else was never encoded and reads as it stands. [`decoded`] is what SQLite runs for `Expr::Decoded`; the other
//! dialects' SQL in `render/expression.rs` says the same.

use std::borrow::Cow;

/// What is written.
const WRITTEN: [(char, &str); 3] = [('<', "&#60;"), ('>', "&#62;"), ('&', "&#38;")];
/// What older rows have, where none of the former is in them.
const LEGACY: [(char, &str); 2] = [('<', "&lt;"), ('>', "&gt;")];
/// So many places of a text are tried in both of their spellings.
const MOST_PLACES: usize = 5;

/// The text as it is written; the separator between parts stays raw.
pub fn encoded(text: &str, separator: Option<&str>) -> String {
    let whole = |text: &str| {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match WRITTEN.iter().find(|(raw, _)| *raw == c) {
                Some((_, entity)) => out.push_str(entity),
                None => out.push(c),
            }
        }
        out
    };
    match separator {
        Some(separator) => text.split(separator).map(whole).collect::<Vec<_>>().join(separator),
        None => whole(text),
    }
}

/// The text that a column's value stands for.
pub fn decoded<'t>(stored: &'t str, separator: Option<&str>) -> Cow<'t, str> {
    if !stored.contains('&') || !is_encoded(stored, separator) {
        return Cow::Borrowed(stored);
    }
    let entities: &[(char, &str)] =
        if WRITTEN.iter().any(|(_, entity)| stored.contains(entity)) { &WRITTEN } else { &LEGACY };
    let mut out = String::with_capacity(stored.len());
    let mut rest = stored;
    while let Some(c) = rest.chars().next() {
        let found = entities.iter().find_map(|(raw, entity)| Some((raw, rest.strip_prefix(entity)?)));
        let (raw, after) = found.map_or_else(|| (c, rest.get(c.len_utf8()..)), |(raw, after)| (*raw, Some(after)));
        out.push(raw);
        rest = after.unwrap_or_default();
    }
    Cow::Owned(out)
}

/// Every stored text that stands for this one, for comparing with the column as it is. Where more than a few places
/// could be spelled in two ways, the rarest spellings are left out.
pub fn forms(text: &str, separator: Option<&str>) -> Vec<String> {
    let mut found = vec![text.to_owned()];
    if text.contains(['&', '<', '>']) {
        for entities in [&WRITTEN[..], &LEGACY[..]] {
            spelled(text, separator, entities, &mut found);
        }
    }
    found.retain(|form| decoded(form, separator) == text);
    let mut kept: Vec<String> = Vec::with_capacity(found.len());
    for form in found {
        if !kept.contains(&form) {
            kept.push(form);
        }
    }
    kept
}

/// Adds the spellings of a text with these entities.
fn spelled(text: &str, separator: Option<&str>, entities: &[(char, &str)], found: &mut Vec<String>) {
    let mut all = vec![String::with_capacity(text.len())];
    let mut places = 0;
    // What is left of the separator that is being passed: its characters may stand as they are.
    let mut passing = 0_usize;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(separator) = separator
            && passing == 0
            && rest.starts_with(separator)
        {
            passing = separator.len();
        }
        let entity = entities.iter().find(|(raw, _)| *raw == c).map(|(_, entity)| *entity);
        let raw_too = passing > 0 || (c == '&' && begins_entity(rest));
        let both = entity.is_some() && raw_too && places < MOST_PLACES;
        places += usize::from(both);
        let mut more = Vec::new();
        for form in &mut all {
            if both {
                let mut raw = form.clone();
                raw.push(c);
                more.push(raw);
            }
            match entity.filter(|_| both || passing == 0) {
                Some(entity) => form.push_str(entity),
                None => form.push(c),
            }
        }
        all.append(&mut more);
        passing = passing.saturating_sub(c.len_utf8());
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    found.append(&mut all);
}

fn is_encoded(stored: &str, separator: Option<&str>) -> bool {
    let bare = match separator.filter(|separator| !separator.is_empty()) {
        Some(separator) => Cow::Owned(stored.replace(separator, " ")),
        None => Cow::Borrowed(stored),
    };
    if bare.contains(['<', '>']) {
        return false;
    }
    bare.match_indices('&').all(|(at, _)| bare.get(at..).is_some_and(begins_entity))
}

/// `&#60;`, `&amp;`, `&eacute;`: whether text that starts with `&` starts with what looks like an entity.
fn begins_entity(text: &str) -> bool {
    let name = text.strip_prefix('&').unwrap_or(text);
    let name = name.strip_prefix('#').unwrap_or(name);
    let length = name.bytes().take_while(u8::is_ascii_alphanumeric).count();
    length > 0 && name.as_bytes().get(length) == Some(&b';')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: Option<&str> = Some(" > ");

    #[test]
    fn as_an_application_stores_it() {
        for (text, stored) in [
            ("R&D <core>", "R&#38;D &#60;core&#62;"),
            ("\"quotes\" 'stay'", "\"quotes\" 'stay'"),
            ("&amp;", "&#38;amp;"),
            ("&#60;", "&#38;#60;"),
            ("", ""),
        ] {
            assert_eq!(encoded(text, None), stored);
            assert_eq!(decoded(stored, None), text);
        }
        assert_eq!(encoded("A&B > C<D", PATH), "A&#38;B > C&#60;D");
        assert_eq!(decoded("A&#38;B > C&#60;D", PATH), "A&B > C<D");
        assert_eq!(decoded("A &#62; B > C", PATH), "A > B > C");
    }

    #[test]
    fn what_was_never_encoded_stays() {
        for stored in ["R&D", "a < b &#38; c", "a & &lt;", "&eacute;", "A&B > C &#38; D"] {
            assert_eq!(decoded(stored, PATH), stored);
        }
        assert_eq!(decoded("&lt;b&gt; &amp;", None), "<b> &amp;");
        assert_eq!(decoded("&lt;b&#62;", None), "&lt;b>", "old entities count where there is none of the new");
    }

    #[test]
    fn forms_are_all_that_read_so() {
        let of = |text, separator| {
            let mut forms = forms(text, separator);
            forms.sort();
            forms
        };
        assert_eq!(of("plain", None), ["plain"]);
        assert_eq!(of("R&D", None), ["R&#38;D", "R&D"]);
        assert_eq!(of("<b>", None), ["&#60;b&#62;", "&lt;b&gt;", "<b>"]);
        assert_eq!(of("&amp;", None), ["&#38;amp;", "&amp;"]);
        assert_eq!(of("A&B > C", PATH), ["A&#38;B &#62; C", "A&#38;B > C", "A&B > C"]);
        assert!(of(&"& > ".repeat(60), PATH).len() < 200);
    }

    proptest::proptest! {
        #[test]
        fn there_and_back(text in "([a-c&<>#;]|&amp;|&#60;|&lt;| > ){0,12}", parts in proptest::bool::ANY) {
            let separator = parts.then_some(" > ");
            proptest::prop_assert_eq!(decoded(&encoded(&text, separator), separator).into_owned(), text.clone());
            proptest::prop_assert!(forms(&text, separator).contains(&encoded(&text, separator)));
        }

        #[test]
        fn a_stored_text_is_among_the_forms_of_what_it_reads_as(stored in "([ab&<>]|&amp;|&#60;|&#38;|&lt;| > ){0,5}", parts in proptest::bool::ANY) {
            let separator = parts.then_some(" > ");
            let text = decoded(&stored, separator).into_owned();
            proptest::prop_assert!(forms(&text, separator).contains(&stored), "{:?} reads {:?}", stored, text);
        }
    }
}
