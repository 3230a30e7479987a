//! Values in child tables, in filters and sort keys: `EXISTS` on the rows of the child.
//!
//! A comparison holds where any one row meets it (RFC 7644 3.4.2.2), `ne` also where there is none. Inside brackets one
//! and the same row meets all of it; `not` inside brackets asks for a row that does not. Where SCIM has one value of
//! several rows (`single`), it is that row that is asked.

use super::asked::Asked;
use super::child_rows::add_joins;
use super::filter::Compiler;
use super::list::prune;
use super::plan::{Joined, Reader};
use super::sort::{self, SortKey};
use crate::adapter::{Aliases, Binding, Composed, FormPiece, RowField, RowFieldValue, Rows, Source};
use crate::scim::{AttributePath, Error, Filter, Literal, Operator};
use crate::sql::{Alias, Expr, Order, Predicate, Select};

impl<'a> Compiler<'a> {
    /// `emails eq "x"`, `emails.type pr`, and those of an attribute of simple values.
    pub(super) fn rows(
        &mut self,
        attribute: usize,
        sub: Option<&str>,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        let Some(rows) = self.rows_at(attribute) else {
            return Ok(asked.of_absent());
        };
        if asked.is_null() {
            let any = self.exists(rows, |row| row.sub_of(rows, sub, path, Asked::Present))?;
            return Ok(if asked.negated() { any } else { any.negate() });
        }
        let any = self.exists(rows, |row| row.sub_of(rows, sub, path, asked))?;
        if asked.negated() {
            return Ok(any.or(self.any_row(attribute)?.negate()));
        }
        Ok(any)
    }

    /// `emails[type eq "work" and primary eq true]`.
    pub(super) fn rows_where(
        &mut self,
        attribute: usize,
        path: &AttributePath,
        inner: &Filter,
    ) -> Result<Predicate, Error> {
        let Some(rows) = self.rows_at(attribute) else {
            return Ok(Predicate::False);
        };
        // Names are the outer schema's to know.
        self.known_subs(path, inner)?;
        self.exists(rows, |row| row.row_meets(rows, path, inner))
    }

    /// Whether there is any value.
    pub(super) fn any_row(&mut self, attribute: usize) -> Result<Predicate, Error> {
        match self.rows_at(attribute) {
            Some(rows) => self.exists(rows, |_| Ok(Predicate::True)),
            None => Ok(Predicate::False),
        }
    }

    /// By the row that is primary, else by the first.
    pub(super) fn by_rows(
        &mut self,
        attribute: usize,
        sub: Option<&str>,
        path: &AttributePath,
    ) -> Result<Option<SortKey>, Error> {
        let Some(rows) = self.rows_at(attribute) else {
            return Ok(None);
        };
        let field = find(rows, sub).ok_or_else(|| sort::cannot(path, "no column holds it"))?;
        let mut kind = None;
        let select = self.within(rows, |row, select| {
            let key = match &field.value {
                RowFieldValue::Attribute(index) => row.by_attribute(*index, path)?,
                RowFieldValue::Composed(composed) => {
                    let shown = row.composed(composed);
                    let shown =
                        shown.ok_or_else(|| sort::cannot(path, "it is computed in a way that SQL cannot compare"))?;
                    SortKey::text(sort::cut(shown.clone()), sort::not_null(&shown), false)
                }
            };
            select.columns = vec![key.or_null()];
            select.order = row.preferred(rows);
            select.limit = Some(1);
            kind = Some((key.family, key.cast));
            row.has_value(rows)
        })?;
        let expr = Expr::Scalar(Box::new(select));
        Ok(kind.map(|(family, cast)| SortKey { present: sort::not_null(&expr), expr, family, cast }))
    }

    fn rows_at(&self, attribute: usize) -> Option<&'a Rows> {
        let source: &'a Source = self.source;
        match &source.attributes.get(attribute)?.binding {
            Binding::Rows(rows) => Some(rows),
            _ => None,
        }
    }

    fn exists(
        &mut self,
        rows: &'a Rows,
        meets: impl FnOnce(&mut Compiler<'_>) -> Result<Predicate, Error>,
    ) -> Result<Predicate, Error> {
        let select = self.within(rows, |row, select| {
            select.columns = vec![Expr::Number(1)];
            let meets = meets(row)?.and(row.has_value(rows)?);
            Ok(if rows.single { meets.and(row.is_the_one(rows)) } else { meets })
        })?;
        Ok(Predicate::Exists(Box::new(select)))
    }

    /// Whether the row shows a value: one that does not is no element.
    fn has_value(&mut self, rows: &Rows) -> Result<Predicate, Error> {
        let composed = rows.fields.iter().find_map(|field| match &field.value {
            RowFieldValue::Composed(composed) => Some(composed),
            RowFieldValue::Attribute(_) => None,
        });
        if let Some(composed) = composed {
            return match self.composed(composed) {
                Some(shown) => Ok(Predicate::IsNull(shown).negate()),
                None => Ok(Predicate::True),
            };
        }
        let path = AttributePath::new("value".to_owned());
        let any = rows.identity.iter().map(|index| self.attribute(*index, &path, Asked::Present));
        Ok(Predicate::Or(any.collect::<Result<_, Error>>()?))
    }

    /// A select of the rows of this resource, as `build` completes it.
    fn within(
        &mut self,
        rows: &'a Rows,
        build: impl FnOnce(&mut Compiler<'_>, &mut Select) -> Result<Predicate, Error>,
    ) -> Result<Select, Error> {
        let mut aliases = std::mem::replace(&mut self.aliases, Aliases::from(u16::MAX));
        let alias = aliases.fresh();
        let mut select = Select::new(rows.child.table.clone(), alias, Vec::new());
        let reader = Reader {
            adapter: self.adapter,
            source: &rows.child,
            own: self.own,
            environment: &self.environment,
            main: alias,
            type_name: &self.type_.name,
            reverse: &[],
            kind: &self.plan.kind,
        };
        let joined: Vec<Option<Joined>> = add_joins(rows, &reader, &mut select, &mut aliases);
        let mut row = Compiler {
            adapter: self.adapter,
            types: self.types,
            type_: self.type_,
            others: Vec::new(),
            reverse: Vec::new(),
            unread: self.unread.clone(),
            type_plan: self.type_plan,
            source: &rows.child,
            plan: self.plan,
            reading: self.reading,
            main: alias,
            joined: &joined,
            own: self.own,
            dialect: self.dialect,
            environment: self.environment,
            aliases,
        };
        let filter = build(&mut row, &mut select);
        let of = row.environment.predicate(&rows.child.filter, Some(alias), &mut row.aliases);
        self.aliases = row.aliases;
        select.filter = self.of_resource(rows, alias).and(filter?).and(of);
        prune(&mut select);
        Ok(select)
    }

    /// `child.parent = resource.key`.
    fn of_resource(&self, rows: &Rows, alias: Alias) -> Predicate {
        let parent = rows.child.columns.get(rows.parent.0);
        match (parent, self.source.columns.get(rows.parent.1)) {
            (Some(parent), Some(here)) => {
                Predicate::eq(Expr::column(alias, &parent.name), Expr::column(self.main, &here.name))
            }
            _ => Predicate::False,
        }
    }

    /// One sub-attribute of one row.
    fn sub_of(
        &mut self,
        rows: &Rows,
        sub: Option<&str>,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        let Some(field) = find(rows, sub) else {
            return Err(Error::invalid_filter(format!(
                "{}.{} cannot be compared: no column holds it, a client is only given back what it sent",
                path.attribute,
                sub.unwrap_or("value")
            )));
        };
        match &field.value {
            RowFieldValue::Attribute(index) => self.attribute(*index, path, asked),
            RowFieldValue::Composed(composed) => self.composed_value(composed, path, asked),
        }
    }

    fn known_subs(&self, outer: &AttributePath, filter: &Filter) -> Result<(), Error> {
        match filter {
            Filter::And(all) | Filter::Or(all) => all.iter().try_for_each(|one| self.known_subs(outer, one)),
            Filter::Not(one) => self.known_subs(outer, one),
            Filter::Compare(path, ..) | Filter::Present(path) => match path.attribute.as_str() {
                // A simple value's own name inside brackets.
                "value" => Ok(()),
                sub => self.known_sub(outer, sub),
            },
            Filter::Value(..) => Err(Error::invalid_filter(format!("{outer}[...] cannot hold another value path"))),
        }
    }

    fn row_meets(&mut self, rows: &Rows, outer: &AttributePath, filter: &Filter) -> Result<Predicate, Error> {
        match filter {
            Filter::And(all) => {
                all.iter().try_fold(Predicate::True, |sum, one| Ok(sum.and(self.row_meets(rows, outer, one)?)))
            }
            Filter::Or(any) => {
                let any = any.iter().map(|one| self.row_meets(rows, outer, one));
                Ok(Predicate::Or(any.collect::<Result<_, Error>>()?))
            }
            Filter::Not(one) => Ok(self.row_meets(rows, outer, one)?.negate()),
            Filter::Compare(path, operator, literal) => {
                self.sub_of(rows, Some(&path.attribute), outer, Asked::Compare(*operator, literal))
            }
            Filter::Present(path) => self.sub_of(rows, Some(&path.attribute), outer, Asked::Present),
            Filter::Value(..) => Err(Error::invalid_filter(format!("{outer}[...] cannot hold another value path"))),
        }
    }

    /// A value made of several keys: `eq` takes the literal apart, all else compares what is shown.
    fn composed_value(
        &mut self,
        composed: &Composed,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Predicate, Error> {
        if let Some(opposite) = asked.opposite() {
            return Ok(self.composed_value(composed, path, opposite)?.negate());
        }
        let Asked::Compare(Operator::Eq, Literal::String(text)) = asked else {
            let Some(shown) = self.composed(composed) else {
                return Err(Error::invalid_filter(format!("{path} is computed in a way that SQL cannot compare")));
            };
            return self.computed(shown, false, asked, path);
        };
        let mut any = Vec::new();
        for parts in composed.splits(text) {
            let mut all = Predicate::True;
            for (part, text) in composed.parts.iter().zip(parts) {
                all = all.and(match (text, &part.default) {
                    (Some(text), _) => {
                        let literal = Literal::String(text.to_owned());
                        self.attribute(part.attribute, path, Asked::Compare(Operator::Eq, &literal))?
                    }
                    (None, Some((column, default))) => {
                        let default = self.environment.expr(default, Some(column), &mut self.aliases);
                        Predicate::eq(Expr::column(self.main, &column.name), default)
                    }
                    (None, None) => Predicate::False,
                });
            }
            any.push(all);
        }
        Ok(Predicate::Or(any))
    }

    /// What a composed value is shown as.
    fn composed(&self, composed: &Composed) -> Option<Expr> {
        let forms = composed.forms.iter().map(|form| {
            let pieces = form.iter().map(|piece| match piece {
                FormPiece::Text(text) => Some(Expr::value(text.as_str())),
                FormPiece::Part(part) => {
                    let index = composed.parts.get(*part)?.attribute;
                    let (expr, column) = self.expr(index)?;
                    let expr = super::text::text_expr(expr, column.as_ref());
                    Some(match self.source.attributes.get(index).map(|attribute| &attribute.binding) {
                        Some(Binding::Column(binding)) => binding.conversion.reads(expr),
                        Some(Binding::Lookup(lookup)) => lookup.conversion.reads(expr),
                        _ => expr,
                    })
                }
            });
            pieces.collect::<Option<Vec<_>>>().map(Expr::Concat)
        });
        forms.collect::<Option<Vec<_>>>().map(Expr::Coalesce)
    }

    /// Of several rows where SCIM has one: see `preference` in `child_rows.rs`.
    fn preferred(&mut self, rows: &Rows) -> Vec<Order> {
        let mut order = Vec::new();
        if let (true, Some(leave)) = (rows.single, &rows.leave) {
            let left = self.environment.predicate(leave, Some(self.main), &mut self.aliases);
            order.push(Order { by: Expr::Flag(Box::new(left)), descending: false });
        }
        if let Some(index) = rows.primary {
            let literal = Literal::Boolean(true);
            let path = AttributePath::new("primary".to_owned());
            if let Ok(primary) = self.attribute(index, &path, Asked::Compare(Operator::Eq, &literal)) {
                order.push(Order { by: Expr::Flag(Box::new(primary)), descending: true });
            }
        }
        let keys = rows.keys.iter().filter_map(|id| rows.child.columns.get(*id));
        order.extend(keys.map(|key| Order { by: Expr::column(self.main, &key.name), descending: false }));
        order
    }

    /// The row at hand is the one that is shown: none that comes before it is of the same resource.
    fn is_the_one(&mut self, rows: &Rows) -> Predicate {
        let Some(parent) = rows.child.columns.get(rows.parent.0) else {
            return Predicate::False;
        };
        let outer = self.main;
        let mut same = Predicate::True;
        // A key of several columns is compared column by column: the first row is the same for each.
        for key in rows.keys.iter().filter(|id| **id != rows.parent.0).filter_map(|id| rows.child.columns.get(*id)) {
            self.main = self.aliases.fresh();
            let mut first = Select::new(rows.child.table.clone(), self.main, vec![Expr::column(self.main, &key.name)]);
            first.filter = Predicate::eq(Expr::column(self.main, &parent.name), Expr::column(outer, &parent.name))
                .and(self.environment.predicate(&rows.child.filter, Some(self.main), &mut self.aliases));
            first.order = self.preferred(rows);
            first.limit = Some(1);
            same = same.and(Predicate::eq(Expr::column(outer, &key.name), Expr::Scalar(Box::new(first))));
        }
        self.main = outer;
        same
    }
}

/// The field behind a sub-attribute; `value` where none is named.
fn find<'r>(rows: &'r Rows, sub: Option<&str>) -> Option<&'r RowField> {
    let sub = sub.unwrap_or("value");
    rows.fields.iter().find(|field| match &field.sub {
        None => sub.eq_ignore_ascii_case("value"),
        Some(known) => known.eq_ignore_ascii_case(sub),
    })
}
