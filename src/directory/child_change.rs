//! Values in child tables, written: the difference by value, row by row, never all of them anew.
//!
//! - An element whose value a row holds already keeps that row; what else is said of it changes the row's columns.
//! - A value that changes while its type and primary stay (an e-mail address) changes in its row; a value that is a key of
//!   something else (a role) is another row.
//! - Rows that are left alone count as there, and nothing more.
//! - Where exactly one row is to be the primary one, it is: the client's, else the one that was, else the first.

use super::change::{Wish, Writing};
use super::child_rows::{ChildRow, ChildRows, rows_of};
use super::document;
use super::rows;
use super::transaction::Fault;
use super::{Directory, Place};
use crate::adapter::{Binding, ColumnId, Environment, RowFieldValue, Rows, equivalent};
use crate::scim::Error;
use crate::sql::{Connection, Value};
use serde_json::Value as Json;

/// How many values one attribute takes in a request: each may cost statements of its own.
const MOST: usize = 1000;

/// What the rows of one attribute gain, lose and become.
pub(super) struct RowChange<'a> {
    pub rows: &'a Rows,
    /// What the child's parent column holds.
    pub parent: Value,
    pub remove: Vec<ChildRow>,
    pub update: Vec<RowUpdate>,
    pub insert: Vec<NewRow>,
}

/// A row that changes.
pub(super) struct RowUpdate {
    pub old: ChildRow,
    pub set: Vec<(ColumnId, Value)>,
    /// The values of the child's attributes afterwards.
    pub values: Vec<Option<Json>>,
}

/// A row to come.
pub(super) struct NewRow {
    pub set: Vec<(ColumnId, Value)>,
    pub values: Vec<Option<Json>>,
}

/// One element that the client wants.
struct Wanted {
    /// By the child's attributes.
    values: Vec<Option<Json>>,
    /// Columns of parts that a composed value does not name.
    defaults: Vec<(ColumnId, Value)>,
    primary: Option<bool>,
    /// What it would be stored as; known once no row of that very value was found.
    columns: Vec<(ColumnId, Value)>,
    /// The row it is, among those there are.
    row: Option<usize>,
    /// A second element of one value, or one that the adapter leaves out.
    dropped: bool,
}

impl Directory {
    /// What the wish comes to in the child tables of a row: those whose rows really change. Nothing is written yet,
    /// except what lookups make.
    #[expect(clippy::too_many_arguments, reason = "one call for both ways of writing, all of it needed")]
    pub(super) fn row_changes<'a>(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        place: Place<'a>,
        row: &[Value],
        will: &[Option<Json>],
        changed: &[bool],
        children: &ChildRows,
    ) -> Result<Vec<RowChange<'a>>, Fault> {
        let mut all = Vec::new();
        for plan in place.plan.children.iter().filter(|plan| changed.get(plan.attribute) == Some(&true)) {
            let (Some(rows), Some(attribute)) =
                (rows_of(&place, plan.attribute), place.source.attributes.get(plan.attribute))
            else {
                continue;
            };
            let Some(parent) = row.get(rows.parent.1).filter(|parent| !parent.is_null()) else {
                continue;
            };
            let there = children.get(&plan.attribute).map(Vec::as_slice).unwrap_or_default();
            let path = rows::path(attribute);
            let value = will.get(plan.attribute).and_then(Option::as_ref);
            let elements = elements(rows, value, &path)?;
            let mut change = self.row_change(connection, writing, rows, there, &elements, &path)?;
            change.parent = parent.clone();
            if !change.is_empty() {
                self.rows_unique(connection, writing, place, &change)?;
                all.push(change);
            }
        }
        Ok(all)
    }

    fn row_change<'a>(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        rows: &'a Rows,
        there: &[ChildRow],
        elements: &[&Json],
        path: &str,
    ) -> Result<RowChange<'a>, Fault> {
        // Where SCIM has one value of several rows, the others are nobody's business.
        let there = if rows.single { there.get(..there.len().min(1)).unwrap_or_default() } else { there };
        let mut wanted = Vec::with_capacity(elements.len());
        for element in elements {
            wanted.push(take(rows, element, &writing.environment, path)?);
        }
        let mut taken = vec![false; there.len()];
        self.find_rows(connection, writing, rows, there, &mut wanted, &mut taken)?;
        pair(rows, there, &mut wanted, &mut taken);
        wanted.retain(|one| !one.dropped);
        let flagged = choose_primary(rows, there, &wanted);
        let mut change =
            RowChange { rows, parent: Value::Null, remove: Vec::new(), update: Vec::new(), insert: Vec::new() };
        let gone = there.iter().zip(&taken).filter(|(row, taken)| !row.left && !**taken);
        change.remove = gone.map(|(row, _)| row.clone()).collect();
        for (position, mut one) in wanted.into_iter().enumerate() {
            let primary = flagged.primary(position, &one);
            if let (Some(index), Some(primary)) = (rows.primary, primary)
                && let Some(value) = one.values.get_mut(index)
            {
                *value = Some(Json::Bool(primary));
            }
            match one.row.and_then(|row| there.get(row)) {
                Some(row) if row.left => {}
                Some(row) => {
                    let set = self.row_difference(connection, writing, rows, row, &one, primary)?;
                    if !set.is_empty() {
                        change.update.push(RowUpdate { old: row.clone(), set, values: one.values });
                    }
                }
                None => {
                    let mut set = one.columns;
                    set.extend(one.defaults);
                    set.extend(flag(rows, primary, &writing.environment));
                    change.insert.push(NewRow { set, values: one.values });
                }
            }
        }
        // A flag is taken from one row before another gets it.
        let flags = |update: &RowUpdate| {
            rows.primary.and_then(|index| update.values.get(index)?.as_ref()) == Some(&Json::Bool(true))
        };
        change.update.sort_by_key(flags);
        Ok(change)
    }

    /// Gives each element the row of its value, and what it would be stored as where there is none.
    fn find_rows(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        rows: &Rows,
        there: &[ChildRow],
        wanted: &mut [Wanted],
        taken: &mut [bool],
    ) -> Result<(), Fault> {
        for one in wanted.iter_mut() {
            // Of several rows of one value the one that says the same besides.
            let same = |row: &ChildRow| says_the_same(rows, row, one);
            one.row = free(there, taken, same);
        }
        for one in wanted.iter_mut().filter(|one| one.row.is_none()) {
            let is_it = |row: &ChildRow| shows(rows, row, one);
            one.row = free(there, taken, is_it);
        }
        let mut new: Vec<Vec<Value>> = Vec::new();
        for one in wanted.iter_mut().filter(|one| one.row.is_none()) {
            let given: Vec<bool> = writable(rows, one.values.iter().map(Option::is_some));
            one.columns = self.child_columns(connection, writing, rows, None, &one.values, &given)?;
            let Some(identity) = identity(rows, one) else {
                one.dropped = true;
                continue;
            };
            let is_it = |row: &ChildRow| holds(rows, row, &identity);
            one.row = free(there, taken, is_it);
            if one.row.is_some() {
                continue;
            }
            // The same value again, in other letters or of another type: one row, where the table has room for one.
            let doubled = there.iter().any(is_it) || new.iter().any(|other| alike(rows, other, &identity));
            if doubled && (rows.value_is_unique || !one_more(rows)) {
                one.dropped = true;
            } else {
                new.push(identity);
            }
        }
        Ok(())
    }

    /// The columns of a row that is there which an element changes.
    fn row_difference(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        rows: &Rows,
        row: &ChildRow,
        one: &Wanted,
        primary: Option<bool>,
    ) -> Result<Vec<(ColumnId, Value)>, Fault> {
        let differ = one.values.iter().zip(&row.values).map(|(wanted, there)| wanted != there);
        let mut differ = writable(rows, differ);
        // A part that the composed value did not name holds its default, see below.
        for index in &rows.identity {
            if let (Some(differ), Some(None)) = (differ.get_mut(*index), one.values.get(*index)) {
                *differ = false;
            }
        }
        let mut set = self.child_columns(connection, writing, rows, Some(row), &one.values, &differ)?;
        set.extend(one.defaults.iter().cloned());
        let is = rows.primary.and_then(|index| row.values.get(index)?.as_ref()) == Some(&Json::Bool(true));
        if primary.is_some_and(|primary| primary != is) {
            set.extend(flag(rows, primary, &writing.environment));
        }
        set.retain(|(column, value)| row.row.get(*column).is_some_and(|stored| !equivalent(stored, value)));
        Ok(set)
    }

    /// What values of the child's attributes are stored as: the bindings of a row are those of a resource.
    fn child_columns(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        rows: &Rows,
        row: Option<&ChildRow>,
        values: &[Option<Json>],
        changed: &[bool],
    ) -> Result<Vec<(ColumnId, Value)>, Fault> {
        let place = Place { source: &rows.child, ..writing.place };
        let environment = Environment {
            id: None,
            row: row.map(|row| (&rows.child, row.row.as_slice())),
            attributes: Some(values),
            ..writing.environment
        };
        let claims = std::mem::take(&mut writing.claims);
        let mut inner = Writing { caller: writing.caller, place, environment, secrets: &[], claims };
        let documents = document::given(&rows.child, &rows.set, &environment);
        let wish = Wish { values, changed, lenient: true, documents: &documents };
        let columns = self.columns(connection, &mut inner, &wish);
        writing.claims = inner.claims;
        let mut set: Vec<(ColumnId, Value)> = Vec::new();
        for assignment in columns? {
            let is_set = |column: ColumnId| set.iter().any(|(known, _)| *known == column);
            if !is_set(assignment.column) && assignment.beside.is_none_or(is_set) {
                set.push((assignment.column, assignment.value));
            }
        }
        Ok(set)
    }
}

impl RowChange<'_> {
    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.update.is_empty() && self.insert.is_empty()
    }
}

/// The elements of the attribute's value.
fn elements<'j>(rows: &Rows, value: Option<&'j Json>, path: &str) -> Result<Vec<&'j Json>, Error> {
    let all: Vec<&Json> = match value {
        None => Vec::new(),
        Some(Json::Array(all)) => all.iter().collect(),
        Some(one) => vec![one],
    };
    if all.len() > MOST {
        return Err(Error::invalid_value(format!("{path} has more than {MOST} values")));
    }
    if rows.single && all.len() > 1 {
        let primary = all.iter().find(|element| element.get("primary") == Some(&Json::Bool(true)));
        return Ok(primary.or(all.first()).copied().into_iter().collect());
    }
    Ok(all)
}

/// Takes an element apart.
fn take(rows: &Rows, element: &Json, environment: &Environment<'_>, path: &str) -> Result<Wanted, Error> {
    let mut wanted = Wanted {
        values: vec![None; rows.child.attributes.len()],
        defaults: Vec::new(),
        primary: element.get("primary").and_then(Json::as_bool),
        columns: Vec::new(),
        row: None,
        dropped: false,
    };
    let mut put = |index: usize, value: Option<Json>| {
        if let Some(place) = wanted.values.get_mut(index) {
            *place = value.filter(|value| !value.is_null() && value.as_str() != Some(""));
        }
    };
    for field in &rows.fields {
        let value = match &field.sub {
            None => Some(element),
            Some(sub) => element.get(sub),
        };
        let composed = match &field.value {
            RowFieldValue::Attribute(index) => {
                put(*index, value.cloned());
                continue;
            }
            RowFieldValue::Composed(composed) => composed,
        };
        let Some(text) = value.and_then(Json::as_str) else { continue };
        let parts = composed
            .split(text)
            .ok_or_else(|| Error::invalid_value(format!("{path}: {text:?} does not have the form of such a value")))?;
        for (part, text) in composed.parts.iter().zip(parts) {
            put(part.attribute, text.map(Json::from));
            if let (None, Some((column, default))) = (text, &part.default) {
                let value = environment.value(default, Some(column)).unwrap_or_default();
                let id = rows.child.columns.iter().position(|known| known.name == column.name);
                wanted.defaults.extend(id.map(|id| (id, value)));
            }
        }
    }
    let valueless = rows.identity.iter().all(|index| wanted.values.get(*index).is_none_or(Option::is_none));
    if valueless && wanted.defaults.is_empty() {
        return Err(Error::invalid_value(format!("{path}: an element has no value")));
    }
    Ok(wanted)
}

/// Takes the first row that is free and meets the condition.
fn free(there: &[ChildRow], taken: &mut [bool], meets: impl Fn(&ChildRow) -> bool) -> Option<usize> {
    let position = there.iter().zip(&*taken).position(|(row, taken)| !taken && meets(row))?;
    if let Some(taken) = taken.get_mut(position) {
        *taken = true;
    }
    Some(position)
}

/// Whether a row shows the value of an element.
fn shows(rows: &Rows, row: &ChildRow, one: &Wanted) -> bool {
    let named = rows.identity.iter().all(|index| match one.values.get(*index) {
        Some(Some(value)) => row.values.get(*index).is_some_and(|shown| shown.as_ref() == Some(value)),
        // A part that was not named has its default; where there is none, the element has no such thing.
        _ => default_of(rows, one, *index).is_some() || row.values.get(*index).is_none_or(Option::is_none),
    });
    let holds =
        |(column, value): &(ColumnId, Value)| row.row.get(*column).is_some_and(|stored| equivalent(stored, value));
    named && one.defaults.iter().all(holds)
}

/// The same, and all else that the element says.
fn says_the_same(rows: &Rows, row: &ChildRow, one: &Wanted) -> bool {
    let mut values = one.values.iter().zip(&row.values).enumerate();
    shows(rows, row, one)
        && values.all(|(index, (wanted, there))| {
            rows.identity.contains(&index) || Some(index) == rows.primary || wanted.is_none() || wanted == there
        })
}

fn default_of<'w>(rows: &Rows, one: &'w Wanted, attribute: usize) -> Option<&'w Value> {
    let column = written_by(rows, attribute)?;
    one.defaults.iter().find(|(known, _)| *known == column).map(|(_, value)| value)
}

/// The column of the row that an attribute of the child writes.
pub(super) fn written_by(rows: &Rows, attribute: usize) -> Option<ColumnId> {
    match &rows.child.attributes.get(attribute)?.binding {
        Binding::Column(binding) => Some(binding.column),
        Binding::Lookup(lookup) => Some(lookup.column),
        Binding::Reference(reference) => Some(reference.column),
        _ => None,
    }
}

/// What the columns of the value would hold; `None` where the adapter leaves out what it does not find.
fn identity(rows: &Rows, one: &Wanted) -> Option<Vec<Value>> {
    let mut some = false;
    let mut values = Vec::with_capacity(rows.identity.len());
    for index in &rows.identity {
        let column = written_by(rows, *index)?;
        let found = one.columns.iter().chain(&one.defaults).find(|(known, _)| *known == column);
        let value = found.map(|(_, value)| value.clone()).unwrap_or_default();
        some |= !value.is_null();
        let asked = one.values.get(*index).is_some_and(Option::is_some);
        if asked && value.is_null() {
            return None;
        }
        values.push(value);
    }
    some.then_some(values)
}

/// Whether a row holds the value.
fn holds(rows: &Rows, row: &ChildRow, identity: &[Value]) -> bool {
    let stored = |index: &usize| written_by(rows, *index).and_then(|column| row.row.get(column)).cloned();
    let stored: Vec<Value> = rows.identity.iter().map(|index| stored(index).unwrap_or_default()).collect();
    alike(rows, &stored, identity)
}

/// Whether two values are one by the attribute's own rule of case.
fn alike(rows: &Rows, one: &[Value], other: &[Value]) -> bool {
    rows.identity.iter().zip(one.iter().zip(other)).all(|(index, (one, other))| {
        let case_exact = rows.child.attributes.get(*index).is_none_or(|attribute| attribute.schema.case_exact);
        match (one, other) {
            (Value::Text(one), Value::Text(other)) if !case_exact => one.to_lowercase() == other.to_lowercase(),
            _ => equivalent(one, other),
        }
    })
}

/// Whether a value may stand in two rows: a column tells them apart.
fn one_more(rows: &Rows) -> bool {
    rows.fields.iter().any(|field| {
        field.sub.as_deref() == Some("type")
            && matches!(field.value, RowFieldValue::Attribute(index) if written_by(rows, index).is_some())
    })
}

/// Attributes of the child that clients write; `primary` is decided over all of them together.
fn writable(rows: &Rows, asked: impl Iterator<Item = bool>) -> Vec<bool> {
    let attributes = rows.child.attributes.iter().enumerate();
    attributes
        .zip(asked)
        .map(|((index, attribute), asked)| asked && !attribute.schema.is_read_only() && Some(index) != rows.primary)
        .collect()
}

/// Elements without a row and rows without an element that say the same besides their value: the value changes.
fn pair(rows: &Rows, there: &[ChildRow], wanted: &mut [Wanted], taken: &mut [bool]) {
    let Some(qualifiers) = rows.qualifiers.as_deref().or(if rows.single { Some(&[]) } else { None }) else {
        return;
    };
    let agrees = |row: &ChildRow, one: &Wanted| {
        rows.single
            || qualifiers.iter().all(|index| {
                let shown = row.values.get(*index).and_then(Option::as_ref);
                match one.values.get(*index).and_then(Option::as_ref) {
                    None => true,
                    Some(Json::Bool(said)) => *said == (shown == Some(&Json::Bool(true))),
                    Some(Json::String(said)) => {
                        shown.and_then(Json::as_str).is_some_and(|shown| shown.eq_ignore_ascii_case(said))
                    }
                    Some(said) => shown == Some(said),
                }
            })
    };
    // Who says more chooses first.
    for says_primary in [true, false] {
        let open = wanted.iter_mut().filter(|one| one.row.is_none() && !one.dropped);
        for one in open.filter(|one| (one.primary == Some(true)) == says_primary) {
            one.row = free(there, taken, |row| !row.left && agrees(row, one));
        }
    }
}

/// Which element is to be the primary one.
enum Primary {
    /// As each says.
    AsSaid {
        /// One of them says it is: those that say nothing are not.
        said: bool,
    },
    /// Exactly this one; none where a row that is left alone is.
    Exactly(Option<usize>),
}

impl Primary {
    /// What is written for the element at this position; `None` leaves what is there.
    fn primary(&self, position: usize, one: &Wanted) -> Option<bool> {
        match self {
            Primary::AsSaid { said } => one.primary.or(said.then_some(false)),
            Primary::Exactly(chosen) => Some(*chosen == Some(position)),
        }
    }
}

fn choose_primary(rows: &Rows, there: &[ChildRow], wanted: &[Wanted]) -> Primary {
    let says = |one: &Wanted| one.primary == Some(true);
    let Some(index) = rows.exactly_one_primary else {
        return Primary::AsSaid { said: wanted.iter().any(says) };
    };
    let is = |row: &ChildRow| row.values.get(index).and_then(Option::as_ref) == Some(&Json::Bool(true));
    if there.iter().any(|row| row.left && is(row)) {
        return Primary::Exactly(None);
    }
    let row = |one: &Wanted| one.row.and_then(|row| there.get(row));
    let ours = |one: &Wanted| row(one).is_none_or(|row| !row.left);
    let said = wanted.iter().position(|one| says(one) && ours(one));
    let was = || wanted.iter().position(|one| row(one).is_some_and(|row| !row.left && is(row)));
    Primary::Exactly(said.or_else(was).or_else(|| wanted.iter().position(ours)))
}

/// The column and value that say whether a row is the primary one.
fn flag(rows: &Rows, primary: Option<bool>, environment: &Environment<'_>) -> Option<(ColumnId, Value)> {
    let Binding::Column(binding) = &rows.child.attributes.get(rows.primary?)?.binding else {
        return None;
    };
    let column = rows.child.columns.get(binding.column)?;
    let value = match binding.conversion.write_boolean(primary?) {
        Some(expression) => environment.value(expression, Some(column))?,
        None => binding.conversion.write(&Json::Bool(primary?), column, environment.zone).ok()?,
    };
    Some((binding.column, value))
}
