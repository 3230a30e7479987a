//! Uniqueness, whether the legacy table has an index or not: a claim first, then a look.

use super::change::{Assignment, Writing};
use super::plan::{self, MAIN};
use super::rows;
use super::transaction::Fault;
use super::{Directory, Place};
use crate::adapter::{
    Aliases, Attribute, Binding, ColumnBinding, ColumnId, Environment, Source, Unique, written_column,
};
use crate::scim::Error;
use crate::sql::{Connection, Expr, Order, Predicate, Select, Statement, Value};
use serde_json::Value as Json;
use unicode_normalization::UnicodeNormalization;

/// A row that already has a unique value.
pub(super) struct Holder {
    /// Its key.
    pub key: Value,
    /// Whether it is retired: it has a tombstone, and may be brought back.
    pub retired: bool,
    /// The attribute that collides.
    pub attribute: String,
    /// The position of the row's source in its type.
    pub source: usize,
}

/// Values that are claimed, and unique beside columns of which it is not known yet what they will hold.
pub(super) struct Beside<'a>(Vec<AskedUnique<'a>>);

/// What a transaction has claimed: kinds and values.
pub(super) type Claims = Vec<(String, String)>;

impl Directory {
    /// Waits until nobody else holds any of these.
    pub(super) fn claim(
        &self,
        connection: &mut dyn Connection,
        held: &mut Claims,
        mut more: Claims,
    ) -> Result<(), Fault> {
        more.retain(|claim| !held.contains(claim));
        if !more.is_empty() {
            self.own.claim(connection, &more)?;
            held.append(&mut more);
        }
        Ok(())
    }

    /// Lets go of what was claimed; it takes effect with the commit.
    pub(super) fn release(&self, connection: &mut dyn Connection, held: &Claims) -> Result<(), Fault> {
        if !held.is_empty() {
            self.own.release(connection, held)?;
        }
        Ok(())
    }

    /// Claims the unique values among the changed attributes, and finds who has one already. `own` is the row itself. What
    /// is unique beside columns that attributes write is claimed and given back: who has it is known once those columns
    /// are ([`Directory::holder_beside`]).
    pub(super) fn holder<'a>(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'a>,
        wanted: &[Option<Json>],
        changed: &[bool],
        own: Option<&Value>,
    ) -> Result<(Option<Holder>, Beside<'a>), Fault> {
        let asked = self.asked_unique(writing, wanted, changed)?;
        // All sources of a type share the claim: uniqueness spans them.
        let claims = asked.iter().map(|asked| (writing.place.type_.name.clone(), asked.claim.clone())).collect();
        self.claim(connection, &mut writing.claims, claims)?;
        let (beside, alone): (Vec<_>, Vec<_>) = asked.into_iter().partition(|asked| asked.moves);
        Ok((self.first_holder(connection, writing, &alone, wanted, own, &[])?, Beside(beside)))
    }

    /// Who has a value that is unique beside columns that attributes write, in a row that will hold `assigned`.
    pub(super) fn holder_beside(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        Beside(asked): &Beside<'_>,
        wanted: &[Option<Json>],
        own: Option<&Value>,
        assigned: &[Assignment],
    ) -> Result<Option<Holder>, Fault> {
        self.first_holder(connection, writing, asked, wanted, own, assigned)
    }

    /// The unique values to look for: those of attributes that change, and of those whose neighbours in `within` do.
    fn asked_unique<'a>(
        &self,
        writing: &Writing<'a>,
        wanted: &[Option<Json>],
        changed: &[bool],
    ) -> Result<Vec<AskedUnique<'a>>, Fault> {
        let place = writing.place;
        let is_changed = |index: usize| changed.get(index) == Some(&true);
        let mut asked = Vec::new();
        for (index, attribute) in place.source.attributes.iter().enumerate() {
            let within: &[ColumnId] = match &attribute.unique {
                Unique::No => continue,
                Unique::Within(within) => within,
                Unique::Visible | Unique::All => &[],
            };
            let beside: Vec<usize> = writers(place.source, within).collect();
            if !is_changed(index) && !beside.iter().any(|index| is_changed(*index)) {
                continue;
            }
            let (Some(Some(value)), Binding::Column(binding)) = (wanted.get(index), &attribute.binding) else {
                continue;
            };
            // The column is the default identity server's; this one's externalId is its own affair.
            if plan::is_external_id(attribute) && !writing.caller.server.default {
                continue;
            }
            let Some(column) = place.source.columns.get(binding.column) else {
                continue;
            };
            let cell = if binding.json.is_empty() { column } else { &binding.cell };
            let stored = binding
                .conversion
                .write(value, cell, self.adapter.time_zone)
                .map_err(|refusal| Error::invalid_value(format!("{} {refusal}", rows::path(attribute))))?;
            if stored.is_null() {
                continue;
            }
            let read = stored.to_text().unwrap_or_default();
            let read = Value::from(binding.conversion.shown(&read).as_ref());
            let claim = format!("{}={}", rows::path(attribute), fold(&read));
            asked.push(AskedUnique { attribute, stored, claim, moves: !beside.is_empty() });
        }
        Ok(asked)
    }

    fn first_holder(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        asked: &[AskedUnique<'_>],
        wanted: &[Option<Json>],
        own: Option<&Value>,
        assigned: &[Assignment],
    ) -> Result<Option<Holder>, Fault> {
        let place = writing.place;
        for AskedUnique { attribute, stored, .. } in asked {
            for (position, source) in place.type_.sources.iter().enumerate() {
                let twin = source.attributes.iter().find(|twin| twin.target == attribute.target);
                let Some((other, twin)) = place.beside(position).zip(twin) else {
                    continue;
                };
                let here = std::ptr::eq(source, place.source);
                let own = if here { own } else { None };
                let environment = Environment { attributes: Some(wanted), ..writing.environment };
                // What the columns of one table are called in another only the adapter knows: by their order.
                let beside = match (&attribute.unique, &twin.unique) {
                    (Unique::Within(mine), Unique::Within(theirs)) if mine.len() == theirs.len() => {
                        let pairs = mine.iter().zip(theirs);
                        pairs.fold(Predicate::True, |all, (mine, theirs)| {
                            all.and(shares(&place, *mine, &other, *theirs, &environment, assigned))
                        })
                    }
                    _ => Predicate::True,
                };
                let found = self.who_has(connection, &other, twin, stored, &environment, own, beside)?;
                if let Some(mut holder) = found {
                    holder.source = position;
                    // A retired row of another table cannot be brought back by a create in this one.
                    holder.retired &= here;
                    return Ok(Some(holder));
                }
            }
        }
        Ok(None)
    }

    #[expect(clippy::too_many_arguments, reason = "one call, all of it needed")]
    fn who_has(
        &self,
        connection: &mut dyn Connection,
        place: &Place<'_>,
        attribute: &Attribute,
        value: &Value,
        environment: &Environment<'_>,
        own: Option<&Value>,
        beside: Predicate,
    ) -> Result<Option<Holder>, Fault> {
        let Binding::Column(binding) = &attribute.binding else {
            return Ok(None);
        };
        let Some(equal) = self.equal(place, attribute, binding, value) else {
            return Ok(None);
        };
        let mut aliases = Aliases::from(1);
        let mut filter = equal;
        if attribute.unique != Unique::All {
            filter = filter.and(environment.predicate(&place.source.filter, Some(MAIN), &mut aliases)).and(beside);
        }
        if let Some(own) = own {
            let cast = place.source.columns.first().and_then(|column| column.cast.clone());
            filter = filter.and(Predicate::eq(plan::key(place.source, MAIN), Expr::Value(own.clone(), cast)).negate());
        }
        let retired = plan::tombstoned(place.source, &place.plan.kind, &self.own, MAIN, &mut aliases);
        let columns = vec![plan::key(place.source, MAIN), Expr::Flag(Box::new(retired))];
        let mut select = Select::new(place.source.table.clone(), MAIN, columns).filter(filter);
        // A live one first.
        select.order.push(Order { by: plan::key(place.source, MAIN), descending: true });
        select.limit = Some(16);
        let rows = connection.query(&Statement::Select(select), &[])?;
        let holders = rows.into_iter().filter_map(|row| {
            let mut values = row.0.into_iter();
            let key = values.next()?;
            let retired = values.next().and_then(|flag| flag.as_int()) == Some(1);
            Some(Holder { key, retired, attribute: rows::path(attribute), source: 0 })
        });
        let holders: Vec<Holder> = holders.collect();
        let live = holders.iter().position(|holder| !holder.retired).unwrap_or(0);
        Ok(holders.into_iter().nth(live))
    }

    /// `column = value` as a filter's `eq` asks it (see `text.rs`): what is refused as a duplicate can be found.
    pub(super) fn equal(
        &self,
        place: &Place<'_>,
        attribute: &Attribute,
        binding: &ColumnBinding,
        value: &Value,
    ) -> Option<Predicate> {
        let column = place.source.columns.get(binding.column)?;
        let left = Expr::column(MAIN, &column.name);
        if !binding.json.is_empty() {
            // SQL sees the text of what is inside a document.
            let text = value.to_text().unwrap_or_default();
            let inside = Expr::Json(Box::new(left), binding.json.clone());
            let case_exact = attribute.schema.case_exact;
            return Some(super::text::equal(self.database.dialect(), inside, None, case_exact, true, &text));
        }
        Some(match value {
            Value::Text(text) => {
                let dialect = self.database.dialect();
                let forms = binding.conversion.forms(&binding.conversion.shown(text));
                let equal = forms.iter().map(|stored| {
                    super::text::equal(dialect, left.clone(), Some(column), attribute.schema.case_exact, true, stored)
                });
                equal.fold(Predicate::False, Predicate::or)
            }
            value => Predicate::eq(left, Expr::Value(value.clone(), column.cast.clone())),
        })
    }
}

/// A unique value that a write asks for.
struct AskedUnique<'a> {
    attribute: &'a Attribute,
    stored: Value,
    claim: String,
    /// It is unique beside columns that attributes write.
    moves: bool,
}

/// The attributes that write any of these columns, or write beside theirs into one of them.
fn writers(source: &Source, columns: &[ColumnId]) -> impl Iterator<Item = usize> {
    source.attributes.iter().enumerate().filter_map(move |(index, attribute)| {
        let also = match &attribute.binding {
            Binding::Column(binding) if binding.writes => binding.also.as_slice(),
            _ => &[],
        };
        let mut written = written_column(attribute).into_iter().chain(also.iter().map(|(column, _)| *column));
        written.any(|column| columns.contains(&column)).then_some(index)
    })
}

/// Whether a row of another table, or of the same, holds in its column `there` what the row that is written will hold in
/// `here`.
fn shares(
    place: &Place<'_>,
    here: ColumnId,
    other: &Place<'_>,
    there: ColumnId,
    environment: &Environment<'_>,
    assigned: &[Assignment],
) -> Predicate {
    let (Some(known), Some(compared)) = (place.source.columns.get(here), other.source.columns.get(there)) else {
        return Predicate::True;
    };
    let left = Expr::column(MAIN, &compared.name);
    let assigned = assigned.iter().find(|assigned| assigned.column == here).map(|assigned| assigned.value.clone());
    let value = assigned.or_else(|| match environment.row {
        Some((_, row)) => row.get(here).cloned(),
        None => place.source.create.as_ref().and_then(|create| {
            let (_, expression) = create.set.iter().find(|(set, _)| *set == here)?;
            environment.value(expression, Some(known))
        }),
    });
    match value {
        None | Some(Value::Null) => Predicate::IsNull(left),
        Some(value) => Predicate::eq(left, Expr::Value(value, compared.cast.clone())),
    }
}

/// A value as the coarsest collation compares it: without case, accents and surrounding space. Two
/// values that any database takes for equal are claimed as one; claiming too much costs a wait.
pub(super) fn fold(value: &Value) -> String {
    let text = value.to_text().unwrap_or_default();
    let folded: String = text
        .trim()
        .nfkd()
        .filter(|c| !unicode_normalization::char::is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .collect();
    folded.replace('ß', "ss")
}
