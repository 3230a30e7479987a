//! From what a client wants to the columns of a row: rules, conversions, lookups, references and
//! fallbacks. Only attributes that change are looked at.

use super::document;
use super::row::is_of;
use super::rows;
use super::stranger;
use super::transaction::Fault;
use super::unique::Claims;
use super::{Caller, Directory, Place, plan};
use crate::adapter::{Aliases, Attribute, Binding, ColumnBinding, ColumnId, Conversion, Environment, Hash};
use crate::scim::Error;
use crate::sql::{Alias, Connection, Expr, Lock, Predicate, Row, Select, Statement, Value};
use serde_json::Value as Json;

/// What is known of a write while it is carried out.
pub(super) struct Writing<'a> {
    pub caller: &'a Caller,
    pub place: Place<'a>,
    pub environment: Environment<'a>,
    pub secrets: &'a [Secret],
    /// Claimed so far, to be released before the commit.
    pub claims: Claims,
}

impl<'a> Writing<'a> {
    /// The same with another environment, whose parts need not live as long; claims are kept.
    pub fn within<'b, T>(&mut self, environment: Environment<'b>, work: impl FnOnce(&mut Writing<'b>) -> T) -> T
    where
        'a: 'b,
    {
        let claims = std::mem::take(&mut self.claims);
        let mut inner = Writing { caller: self.caller, place: self.place, environment, secrets: self.secrets, claims };
        let done = work(&mut inner);
        self.claims = inner.claims;
        done
    }
}

/// A password, hashed before the transaction began, because that takes long.
pub(super) struct Secret {
    /// The attribute it was given for.
    pub attribute: usize,
    /// The stored hash that was looked at.
    pub seen: Option<Value>,
    /// The new hash; `None` where the stored one is of this very password.
    pub hash: Option<String>,
}

/// A column to write.
pub(super) struct Assignment {
    pub column: ColumnId,
    pub value: Value,
    /// The attribute it is for.
    pub attribute: usize,
    /// Written because of this column (`also`): not at all where that one stays as it is.
    pub beside: Option<ColumnId>,
}

impl Assignment {
    pub fn new(attribute: usize, column: ColumnId, value: Value) -> Self {
        Self { column, value, attribute, beside: None }
    }
}

/// Which attributes change, and what omission means.
pub(super) struct Wish<'a> {
    /// What the client wants, by attribute.
    pub values: &'a [Option<Json>],
    /// Which of them differ from what the resource has.
    pub changed: &'a [bool],
    /// An attribute that is absent and whose column cannot be emptied is left as it is (PUT), rather
    /// than refused (PATCH).
    pub lenient: bool,
    /// What JSON columns hold of a row that is still to be made: `create.set`.
    pub documents: &'a [(ColumnId, Value)],
}

impl Directory {
    /// The columns to write, with their values.
    pub(super) fn columns(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        wish: &Wish<'_>,
    ) -> Result<Vec<Assignment>, Fault> {
        let source = writing.place.source;
        let mut columns: Vec<Assignment> = Vec::new();
        for (index, attribute) in source.attributes.iter().enumerate() {
            if !wish.changed.get(index).copied().unwrap_or(false) {
                continue;
            }
            let value = wish.values.get(index).and_then(Option::as_ref);
            if let Some(value) = value {
                check_rule(attribute, value)?;
            }
            match &attribute.binding {
                Binding::Column(_) if plan::is_external_id(attribute) && !writing.caller.server.default => {}
                Binding::Column(binding) if binding.writes => {
                    self.column(writing, wish, index, attribute, binding, &mut columns)?;
                }
                Binding::Lookup(lookup) if lookup.writes => {
                    let key = match value {
                        None => lookup.none.clone(),
                        Some(value) => {
                            let claims = &mut writing.claims;
                            let environment = writing.environment;
                            self.look_up(connection, claims, &environment, lookup, value, &rows::path(attribute))?
                        }
                    };
                    columns.push(Assignment::new(index, lookup.column, key));
                }
                Binding::Reference(reference) if !attribute.schema.is_read_only() => {
                    let key = match value {
                        None => reference.none.clone(),
                        Some(value) => self.refer(connection, writing, attribute, value)?,
                    };
                    columns.push(Assignment::new(index, reference.column, key));
                }
                _ => {}
            }
        }
        self.fall_back(writing, &mut columns)?;
        fits(writing, wish, &mut columns)?;
        Ok(columns)
    }

    fn column(
        &self,
        writing: &Writing<'_>,
        wish: &Wish<'_>,
        index: usize,
        attribute: &Attribute,
        binding: &ColumnBinding,
        columns: &mut Vec<Assignment>,
    ) -> Result<(), Fault> {
        let source = writing.place.source;
        let Some(column) = source.columns.get(binding.column) else {
            return Ok(());
        };
        let value = wish.values.get(index).and_then(Option::as_ref);
        let name = rows::path(attribute);
        let stored = match (value, binding.hash) {
            (None, Some(_)) => return Ok(()),
            (Some(value), Some(hash)) => match self.hashed(writing, index, binding, value, hash, &name)? {
                Some(hash) => hash,
                None => return Ok(()),
            },
            (value, None) if !binding.json.is_empty() => {
                let inner = match value {
                    Some(value) => self.scalar(writing, binding, value, &name)?,
                    None => Json::Null,
                };
                document::write(writing, wish.documents, (index, binding), inner, &name, columns)?;
                return Ok(());
            }
            (Some(value), None) => match binding.conversion.write_boolean(truth(value).unwrap_or_default()) {
                Some(expression) => {
                    if truth(value).is_none() {
                        return Err(Error::invalid_value(format!("{name} must be true or false")).into());
                    }
                    writing.environment.value(expression, Some(column)).unwrap_or_default()
                }
                None => binding
                    .conversion
                    .write(value, column, self.adapter.time_zone)
                    .map_err(|refusal| Error::invalid_value(format!("{name} {refusal}")))?,
            },
            (None, None) => match empty(&binding.conversion) {
                empty if !empty.is_null() || column.nullable => empty,
                _ if !binding.fallback.is_empty() => Value::Null,
                _ if wish.lenient => return Ok(()),
                _ => {
                    return Err(Error::mutability(format!("{name} cannot be removed: its column takes no NULL")).into());
                }
            },
        };
        columns.push(Assignment::new(index, binding.column, stored));
        also(writing, index, binding, columns);
        Ok(())
    }

    /// The hash to store; `None` where the stored one is of this very password.
    fn hashed(
        &self,
        writing: &Writing<'_>,
        index: usize,
        binding: &ColumnBinding,
        value: &Json,
        hash: Hash,
        name: &str,
    ) -> Result<Option<Value>, Error> {
        let stored = writing.environment.row.and_then(|(_, row)| row.get(binding.column));
        match writing.secrets.iter().find(|secret| secret.attribute == index) {
            Some(Secret { hash: Some(hash), .. }) => Ok(Some(Value::Text(hash.clone()))),
            Some(Secret { seen, hash: None, .. }) if stored == seen.as_ref() => Ok(None),
            // The stored hash is not the one that was looked at before the transaction, or none was.
            _ => match value {
                Json::String(plain) if is_hash_of(stored, plain) => Ok(None),
                Json::String(plain) => new_hash(plain, hash, name).map(|hash| Some(Value::Text(hash))),
                _ => Err(Error::invalid_value(format!("{name} must be text"))),
            },
        }
    }

    /// Fills what would become empty and may not.
    fn fall_back(&self, writing: &Writing<'_>, columns: &mut Vec<Assignment>) -> Result<(), Fault> {
        let source = writing.place.source;
        let environment = writing.environment;
        for (index, attribute) in source.attributes.iter().enumerate() {
            let Binding::Column(binding) = &attribute.binding else {
                continue;
            };
            if binding.fallback.is_empty() {
                continue;
            }
            let known = columns.iter().position(|known| known.column == binding.column);
            // A row that is there and whose column this request leaves alone is left as it is, empty or not.
            if known.is_none() && environment.row.is_some() {
                continue;
            }
            let current = known.and_then(|known| columns.get(known)).map(|known| &known.value);
            if current.is_some_and(|value| value.to_text().is_some_and(|text| !text.is_empty())) {
                continue;
            }
            let Some(column) = source.columns.get(binding.column) else {
                continue;
            };
            let mut made = None;
            for text in binding.fallback.iter().filter_map(|template| environment.template(template)) {
                let value = binding
                    .conversion
                    .write(&Json::String(text), column, self.adapter.time_zone)
                    .map_err(|refusal| Error::invalid_value(format!("{} {refusal}", rows::path(attribute))))?;
                if value.to_text().is_some_and(|text| !text.is_empty()) {
                    made = Some(value);
                    break;
                }
            }
            let Some(value) = made else { continue };
            match known.and_then(|known| columns.get_mut(known)) {
                Some(entry) => entry.value = value,
                None => columns.push(Assignment::new(index, binding.column, value)),
            }
        }
        Ok(())
    }

    /// The key of a referenced resource: it must exist, be visible, and not be the row itself.
    fn refer(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        attribute: &Attribute,
        value: &Json,
    ) -> Result<Value, Fault> {
        let Binding::Reference(reference) = &attribute.binding else {
            return Ok(Value::Null);
        };
        let name = rows::path(attribute);
        let id = match value {
            Json::String(id) => id.clone(),
            other => other.to_string(),
        };
        let unknown = || Error::invalid_value(format!("{name}: there is no {} {id:?}", reference.resource_type));
        let (_, type_) = plan::find_type(&self.adapter, &reference.resource_type).ok_or_else(unknown)?;
        let target = type_.sources.first().ok_or_else(unknown)?;
        let key = super::key_of(target, &id).ok_or_else(unknown)?;
        let own = writing.environment.id;
        if type_.name == writing.place.type_.name && own.is_some_and(|own| crate::adapter::equivalent(own, &key)) {
            return Err(Error::invalid_value(format!("{name} cannot be the resource itself")).into());
        }
        let wanted = target.columns.get(reference.key).ok_or_else(unknown)?;
        let cast = target.columns.first().and_then(|column| column.cast.clone());
        let mut aliases = Aliases::from(1);
        let kind = plan::own_kind(type_, target);
        let visible = plan::visible(target, &kind, &self.own, plan::MAIN, &writing.environment, &mut aliases);
        let mut columns = vec![plan::key(target, plan::MAIN), Expr::column(plan::MAIN, &wanted.name)];
        let known = self.plan_of(&type_.name);
        if let Some(known) = known {
            columns.extend(stranger::columns(target, known, &self.own, plan::MAIN, aliases.fresh()));
        }
        let mut select = Select::new(target.table.clone(), plan::MAIN, columns)
            .filter(Predicate::eq(plan::key(target, plan::MAIN), Expr::Value(key.clone(), cast)).and(visible));
        // Whoever is named stays until that is committed, where the database user may see to it.
        select.lock = target.is_updated().then_some(Lock::Stay);
        let is_stranger = |row: &Row| {
            let remembered = row.0.get(2..).unwrap_or_default();
            known.is_some_and(|known| stranger::read_stranger(known, remembered))
        };
        let mut ask = |select: &Select| -> Result<Option<Row>, Fault> {
            let rows = connection.query(&Statement::Select(select.clone()), &[])?;
            Ok(rows.into_iter().find(|row| is_of(&key, row)))
        };
        let mut row = ask(&select)?;
        if select.lock.is_some() && row.as_ref().is_some_and(is_stranger) {
            // Who waited for the row may have read what is remembered of it as it was before the wait (PostgreSQL).
            select.lock = None;
            row = ask(&select)?;
        }
        let found = row.filter(|row| !is_stranger(row)).and_then(|row| row.0.into_iter().nth(1));
        Ok(found.filter(|found| !found.is_null()).ok_or_else(unknown)?)
    }

    /// Hashes passwords before the transaction: looks at the stored hash first, because clients send
    /// the same password again and again.
    pub(super) fn secrets(
        &self,
        place: &Place<'_>,
        key: Option<&Value>,
        wanted: &[Option<Json>],
    ) -> Result<Vec<Secret>, Error> {
        let mut secrets = Vec::new();
        for (index, attribute) in place.source.attributes.iter().enumerate() {
            let Binding::Column(ColumnBinding { column, hash: Some(hash), .. }) = &attribute.binding else {
                continue;
            };
            let Some(Some(Json::String(plain))) = wanted.get(index) else {
                continue;
            };
            let seen = match (key, place.source.columns.get(*column)) {
                (Some(key), Some(column)) => {
                    let cast = place.source.columns.first().and_then(|column| column.cast.clone());
                    let select =
                        Select::new(place.source.table.clone(), Alias(0), vec![Expr::column(Alias(0), &column.name)]);
                    let select =
                        select.filter(Predicate::eq(plan::key(place.source, Alias(0)), Expr::Value(key.clone(), cast)));
                    let statement = Statement::Select(select);
                    let rows = self.read(false, |connection| Ok(connection.query(&statement, &[])?))?;
                    rows.into_iter().next().and_then(|row| row.0.into_iter().next())
                }
                _ => None,
            };
            let hash = if is_hash_of(seen.as_ref(), plain) {
                None
            } else {
                Some(new_hash(plain, *hash, &rows::path(attribute))?)
            };
            secrets.push(Secret { attribute: index, seen, hash });
        }
        Ok(secrets)
    }
}

/// The columns that are written whenever this one is.
pub(super) fn also(writing: &Writing<'_>, attribute: usize, binding: &ColumnBinding, columns: &mut Vec<Assignment>) {
    for (also, expression) in &binding.also {
        let column = writing.place.source.columns.get(*also);
        let value = writing.environment.value(expression, column).unwrap_or_default();
        columns.push(Assignment { beside: Some(binding.column), ..Assignment::new(attribute, *also, value) });
    }
}

/// No NULL for a column that takes none: left as it is where the client said nothing, refused by name
/// where it did.
fn fits(writing: &Writing<'_>, wish: &Wish<'_>, columns: &mut Vec<Assignment>) -> Result<(), Error> {
    let source = writing.place.source;
    let mut refused = None;
    columns.retain(|known| {
        let takes = source.columns.get(known.column).is_none_or(|column| column.nullable);
        let (true, false, Some(attribute)) = (known.value.is_null(), takes, source.attributes.get(known.attribute))
        else {
            return true;
        };
        let given = wish.values.get(known.attribute).is_some_and(Option::is_some);
        if given || !wish.lenient {
            let name = rows::path(attribute);
            refused.get_or_insert_with(|| {
                if given {
                    Error::invalid_value(format!("{name} may not be empty"))
                } else {
                    Error::mutability(format!("{name} cannot be removed: its column takes no NULL"))
                }
            });
        }
        false
    });
    refused.map_or(Ok(()), Err)
}

/// Whether a stored value is a hash of this password.
fn is_hash_of(stored: Option<&Value>, plain: &str) -> bool {
    matches!(stored, Some(Value::Text(hash)) if Hash::verifies(hash, plain))
}

fn new_hash(plain: &str, hash: Hash, name: &str) -> Result<String, Error> {
    hash.of(plain).map_err(|error| Error::invalid_value(format!("{name} cannot be hashed: {error}")))
}

fn check_rule(attribute: &Attribute, value: &Json) -> Result<(), Error> {
    let rule = &attribute.rule;
    let Json::String(text) = value else { return Ok(()) };
    let name = rows::path(attribute);
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    if let Some(max) = rule.max
        && length > max
    {
        return Err(Error::invalid_value(format!("{name} is longer than {max} characters")));
    }
    if let Some(min) = rule.min
        && length < min
    {
        return Err(Error::invalid_value(format!("{name} is shorter than {min} characters")));
    }
    if let Some(pattern) = &rule.pattern
        && !pattern.is_match(text)
    {
        return Err(Error::invalid_value(format!(
            "{name} does not have the form that the application asks for ({pattern})"
        )));
    }
    Ok(())
}

/// 400 where a required attribute is missing; with `changed`, where one goes that was there: a PATCH
/// does not answer for what was missing before.
pub(super) fn check_required(
    place: &Place<'_>,
    wanted: &[Option<Json>],
    changed: Option<&[bool]>,
) -> Result<(), Error> {
    for (index, (attribute, value)) in place.source.attributes.iter().zip(wanted).enumerate() {
        if changed.is_some_and(|changed| changed.get(index) != Some(&true)) {
            continue;
        }
        let blank = match value {
            None => true,
            Some(Json::String(text)) => text.trim().is_empty(),
            Some(_) => false,
        };
        if attribute.required && blank {
            return Err(Error::invalid_value(format!("{} is required", rows::path(attribute))));
        }
    }
    Ok(())
}

/// What an attribute without a value is stored as.
pub(super) fn empty(conversion: &Conversion) -> Value {
    match conversion {
        Conversion::Text(rule) => rule.empty.clone().unwrap_or(Value::Null),
        // NULL is neither true nor false, and reads as nothing; a column that takes none refuses, below.
        _ => Value::Null,
    }
}

pub(super) fn truth(value: &Json) -> Option<bool> {
    match value {
        Json::Bool(b) => Some(*b),
        Json::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Json::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}
