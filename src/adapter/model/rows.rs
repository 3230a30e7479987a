//! `rows`, compiled: values of a multi-valued attribute that stand in a table of their own.

use super::{Column, ColumnId, Condition, Expression, Source, Step};
use crate::sql::Ident;

/// A child table, one row a value.
#[derive(Debug)]
pub struct Rows {
    /// The child table: its columns, the rows that count, and the fields as attributes of such a row.
    /// Nothing else of a source is meant by it.
    pub child: Source,
    /// The columns of the child that tell its rows apart.
    pub keys: Vec<ColumnId>,
    /// Its column that points to the resource, and the column of the resource's table it holds.
    pub parent: (ColumnId, ColumnId),
    /// What an element is made of.
    pub fields: Vec<RowField>,
    /// The child's attributes that make the value: rows that share them are the same value.
    pub identity: Vec<usize>,
    /// The child's attributes that qualify the value: where they stay the same and the value does not, the
    /// row changes rather than goes. `None`: a value that changes is another row.
    pub qualifiers: Option<Vec<usize>>,
    /// Rows that are shown, never changed.
    pub leave: Option<Condition>,
    /// Columns of a new row, the equalities of `where` included.
    pub set: Vec<(ColumnId, Expression)>,
    /// The child's attribute that flags one row, where exactly one is to be flagged while there is any.
    pub exactly_one_primary: Option<usize>,
    /// The child's attribute `primary`, if a column holds it.
    pub primary: Option<usize>,
    /// SCIM has one value, and the table may hold several.
    pub single: bool,
    /// Steps for each row added; `${each.COLUMN}` is the row.
    pub added: Vec<Step>,
    /// Steps for each row removed.
    pub removed: Vec<Step>,
    /// Steps for each row changed.
    pub changed: Vec<Step>,
    /// What removes a row: nothing here deletes it, else these columns are set.
    pub remove_sets: Vec<(ColumnId, Expression)>,
    /// An index of the table allows a resource no two rows of one value. Where a removed row stays, it is brought back
    /// then, since nothing can be inserted beside it.
    pub value_is_unique: bool,
    /// A change moves the `modified` of the resource.
    pub touch: bool,
}

/// One sub-attribute of an element.
#[derive(Debug)]
pub struct RowField {
    /// Its name; `None` where the element is the bare value.
    pub sub: Option<String>,
    /// Where it comes from.
    pub value: RowFieldValue,
}

/// Where a sub-attribute comes from.
#[derive(Debug)]
pub enum RowFieldValue {
    /// One of the child's attributes.
    Attribute(usize),
    /// Several of them, written as one text.
    Composed(Composed),
}

/// A text made of several keys.
#[derive(Debug)]
pub struct Composed {
    /// The keys.
    pub parts: Vec<ComposedPart>,
    /// How they are written; the first whose parts are all there is shown.
    pub forms: Vec<Vec<FormPiece>>,
}

/// One key of a composed value.
#[derive(Debug)]
pub struct ComposedPart {
    /// Its column's name, as the forms call it.
    pub name: Ident,
    /// The child's attribute.
    pub attribute: usize,
    /// What its column holds where a form does not name it.
    pub default: Option<(Column, Expression)>,
}

/// A piece of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormPiece {
    /// As it stands.
    Text(String),
    /// One of [`Composed::parts`].
    Part(usize),
}

impl Composed {
    /// Takes a value apart by the first form that it fits: the text of each part that the form names.
    /// It is split at the last separator. `None` where no form fits.
    pub fn split<'t>(&self, text: &'t str) -> Option<Vec<Option<&'t str>>> {
        self.splits(text).into_iter().next()
    }

    /// The same by every form that it fits.
    pub fn splits<'t>(&self, text: &'t str) -> Vec<Vec<Option<&'t str>>> {
        self.forms.iter().filter_map(|form| self.by_form(form, text)).collect()
    }

    fn by_form<'t>(&self, form: &[FormPiece], text: &'t str) -> Option<Vec<Option<&'t str>>> {
        let mut parts = vec![None; self.parts.len()];
        let mut rest = text;
        // From the end: what stands before the last separator may hold more of them.
        let mut open: Option<usize> = None;
        for piece in form.iter().rev() {
            match piece {
                FormPiece::Part(part) => open = Some(*part),
                FormPiece::Text(separator) => match open.take() {
                    None => rest = rest.strip_suffix(separator.as_str())?,
                    Some(part) => {
                        let (before, after) = rest.rsplit_once(separator.as_str())?;
                        *parts.get_mut(part)? = Some(after);
                        rest = before;
                    }
                },
            }
        }
        match open {
            Some(part) => *parts.get_mut(part)? = Some(rest),
            None if !rest.is_empty() => return None,
            None => {}
        }
        let empty = parts.iter().flatten().any(|text| text.trim().is_empty());
        (!empty).then_some(parts)
    }

    /// The text that the parts are shown as.
    pub fn join(&self, texts: &[Option<String>]) -> Option<String> {
        self.forms.iter().find_map(|form| {
            form.iter()
                .map(|piece| match piece {
                    FormPiece::Text(text) => Some(text.as_str()),
                    FormPiece::Part(part) => texts.get(*part)?.as_deref(),
                })
                .collect::<Option<String>>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(forms: &[&[FormPiece]]) -> Composed {
        let part = |name: &str, attribute| ComposedPart { name: Ident::new(name), attribute, default: None };
        Composed { parts: vec![part("role", 0), part("place", 1)], forms: forms.iter().map(|f| f.to_vec()).collect() }
    }

    #[test]
    fn split_at_the_last_separator() {
        let at = || FormPiece::Text("@".to_owned());
        let both = [FormPiece::Part(0), at(), FormPiece::Part(1)];
        let composed = composed(&[&both, &[FormPiece::Part(0)]]);
        for (text, expected) in [
            ("Technician@Root > France", Some([Some("Technician"), Some("Root > France")])),
            ("ops@night@Root", Some([Some("ops@night"), Some("Root")])),
            ("Technician", Some([Some("Technician"), None])),
            // No part is empty: then it is all of the shorter form.
            ("@Root", Some([Some("@Root"), None])),
            ("Technician@", Some([Some("Technician@"), None])),
            ("", None),
            (" ", None),
        ] {
            assert_eq!(composed.split(text), expected.map(|parts| parts.to_vec()), "{text}");
        }
        let shown = |role: Option<&str>, place: Option<&str>| {
            composed.join(&[role.map(str::to_owned), place.map(str::to_owned)])
        };
        assert_eq!(shown(Some("a"), Some("b")).as_deref(), Some("a@b"));
        assert_eq!(shown(Some("a"), None).as_deref(), Some("a"));
        assert_eq!(shown(None, Some("b")), None);
    }

    #[test]
    fn text_around() {
        let form = [FormPiece::Text("<".into()), FormPiece::Part(1), FormPiece::Text("> ".into()), FormPiece::Part(0)];
        let composed = composed(&[&form, &[FormPiece::Part(0), FormPiece::Text("!".into())]]);
        assert_eq!(composed.split("<a> b"), Some(vec![Some("b"), Some("a")]));
        assert_eq!(composed.split("b!"), Some(vec![Some("b"), None]));
        assert_eq!(composed.split("b"), None);
        assert_eq!(composed.split("x<a> b"), None);
    }
}
