//! The memberships that a row has in resources of other types: those in protected ones keep it from going, and who is created
//! again has none of those of before. Adding and removing single members is not done here (`members.rs`).

use super::change::Writing;
use super::members::MemberChange;
use super::plan::{self, MAIN};
use super::rows;
use super::transaction::Fault;
use super::{Directory, Place};
use crate::adapter::{Aliases, Attribute, Condition, Environment, Link};
use crate::scim::{Error, ScimType};
use crate::sql::{Alias, Connection, Expr, Join, JoinKind, Predicate, Select, Statement, Value};

/// One link of a resource of another type, whose members are of this type.
struct Pointing<'a> {
    place: Place<'a>,
    attribute: &'a Attribute,
    link: &'a Link,
}

/// One membership in such a resource.
struct Held {
    /// The resource's row.
    row: Vec<Value>,
    /// What the link row holds of the member.
    child: Value,
    /// The resource is protected.
    protected: bool,
    /// The link row is not ours to remove.
    left: bool,
}

impl Directory {
    /// 403 where a row that is about to go is a member of something protected.
    pub(super) fn memberships_unprotected(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        key: &Value,
    ) -> Result<(), Fault> {
        for pointing in self.pointing(writing.place) {
            if pointing.place.source.protected.is_none() {
                continue;
            }
            let held = self.held(connection, writing, &pointing, key)?;
            if let Some(held) = held.iter().find(|held| held.protected) {
                return Err(Error::forbidden(format!(
                    "this {} is a member of the {}, which is protected: its memberships are not changed through SCIM",
                    writing.place.type_.name,
                    pointing.named(held)
                ))
                .into());
            }
        }
        Ok(())
    }

    /// Takes a row that is brought back by a create out of all that it was a member of: nobody could remove it while it was
    /// retired. What is not ours to remove stays; 409 where something protected has it as a member.
    pub(super) fn leave_memberships(
        &self,
        connection: &mut dyn Connection,
        writing: &mut Writing<'_>,
        key: &Value,
    ) -> Result<(), Fault> {
        let base = writing.environment;
        for pointing in self.pointing(writing.place).filter(|pointing| !pointing.attribute.schema.is_read_only()) {
            let mut held = self.held(connection, writing, &pointing, key)?;
            held.retain(|held| !held.left);
            if let Some(held) = held.iter().find(|held| held.protected) {
                let detail = format!(
                    "the name is held by a retired account that is still a member of the {}, which is protected: only the \
                     application can take it out of there",
                    pointing.named(held)
                );
                return Err(Error { scim_type: Some(ScimType::Uniqueness), ..Error::conflict(detail) }.into());
            }
            let Pointing { place, link, .. } = pointing;
            let changes: Vec<MemberChange<'_>> = held
                .iter()
                .filter_map(|held| {
                    let membership = self.membership(link, &held.row)?;
                    Some(MemberChange::removal(membership, held.child.clone()))
                })
                .collect();
            let (Some(any), Some(child)) = (changes.first(), held.first().map(|held| &held.child)) else {
                continue;
            };
            self.members_unprotected(connection, &any.membership, &[child], writing)?;
            if link.removed.is_empty() && link.remove_sets.is_empty() {
                let parents: Vec<Value> = changes.iter().map(|change| change.membership.parent.clone()).collect();
                self.remove_rows(connection, link, &parents, std::slice::from_ref(child), &base)?;
            } else {
                // What is written beside speaks of the resource that loses the member.
                for (held, change) in held.iter().zip(&changes) {
                    let environment =
                        Environment { id: held.row.first(), row: Some((place.source, &held.row)), ..base };
                    let nothing = vec![None; place.source.attributes.len()];
                    let shown = rows::shown_after(&self.adapter, place.source, &held.row, &nothing, &[], &environment);
                    let environment = Environment { attributes: Some(&shown), ..environment };
                    let change = std::slice::from_ref(change);
                    writing.within(environment, |writing| self.write_members(connection, writing, change))?;
                }
            }
            for key in held.iter().filter(|_| link.touch).filter_map(|held| held.row.first()) {
                self.update_row(connection, &place, key, &[], &[], &base)?;
            }
        }
        Ok(())
    }

    fn pointing<'a>(&'a self, place: Place<'a>) -> impl Iterator<Item = Pointing<'a>> {
        place.type_plan.pointing.iter().filter_map(|reverse| {
            let place = self.place(reverse.type_, reverse.source).ok()?;
            let (attribute, link) = place.source.link(reverse.attribute)?;
            Some(Pointing { place, attribute, link })
        })
    }

    /// What a row is a member of by this link, seen by this identity server or not.
    fn held(
        &self,
        connection: &mut dyn Connection,
        writing: &Writing<'_>,
        pointing: &Pointing<'_>,
        key: &Value,
    ) -> Result<Vec<Held>, Fault> {
        let (source, link) = (pointing.place.source, pointing.link);
        let member = writing.place.source;
        let (near, other) = (Alias(1), Alias(2));
        let (Some(parent), Some(child)) = (source.columns.get(link.parent.1), member.columns.get(link.child.1)) else {
            return Ok(Vec::new());
        };
        let mut aliases = Aliases::from(3);
        let mut flag = |condition: Option<&Condition>, alias| match condition {
            Some(condition) => {
                Expr::Flag(Box::new(writing.environment.predicate(condition, Some(alias), &mut aliases)))
            }
            None => Expr::Number(0),
        };
        let mut columns: Vec<Expr> = source.columns.iter().map(|column| Expr::column(other, &column.name)).collect();
        columns.push(Expr::column(near, &link.child.0.name));
        columns.push(flag(source.protected.as_ref(), other));
        columns.push(flag(link.leave.as_ref(), near));
        let mut select = Select::new(member.table.clone(), MAIN, columns);
        let mut join = |table: &crate::sql::Table, alias, on| {
            select.joins.push(Join { kind: JoinKind::Inner, table: table.clone(), alias, on });
        };
        let of_member = Predicate::eq(Expr::column(MAIN, &child.name), Expr::column(near, &link.child.0.name));
        join(&link.table, near, of_member);
        let of_parent = Predicate::eq(Expr::column(other, &parent.name), Expr::column(near, &link.parent.0.name));
        join(&source.table, other, of_parent);
        let cast = member.columns.first().and_then(|column| column.cast.clone());
        let filter = Predicate::eq(plan::key(member, MAIN), Expr::Value(key.clone(), cast))
            .and(writing.environment.predicate(&link.filter, Some(near), &mut aliases))
            .and(writing.environment.predicate(&source.filter, Some(other), &mut aliases));
        let rows = connection.query(&Statement::Select(select.filter(filter)), &[])?;
        let held = rows.into_iter().filter_map(|row| {
            let mut row = row.0;
            let left = row.pop()?.as_int() == Some(1);
            let protected = row.pop()?.as_int() == Some(1);
            let child = row.pop()?;
            Some(Held { row, child, protected, left })
        });
        Ok(held.collect())
    }
}

impl Pointing<'_> {
    fn named(&self, held: &Held) -> String {
        let id = held.row.first().map(|key| rows::scim_id(self.place.source, key)).unwrap_or_default();
        format!("{} {id}", self.place.type_.name)
    }
}
