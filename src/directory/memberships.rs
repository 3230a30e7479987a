//! The memberships that a row has in resources of other types: those in protected ones keep it from going, and who is created
//! again has none of those of before. Adding and removing single members is not done here (`members.rs`).

use super::change::Writing;
use super::membership::Membership;
use super::plan::{self, MAIN};
use super::rows;
use super::transaction::Fault;
use super::{Directory, Place};
use crate::adapter::{Aliases, Attribute, Link};
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
    /// The resource's key.
    key: Value,
    /// What the link row holds of it and of the member.
    parent: Value,
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
        writing: &Writing<'_>,
        key: &Value,
    ) -> Result<(), Fault> {
        let environment = &writing.environment;
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
            let memberships: Vec<Membership<'_>> = held
                .iter()
                .map(|held| Membership {
                    link,
                    parent: held.parent.clone(),
                    type_: writing.place.type_,
                    target: writing.place.source,
                    skip_unknown: false,
                    name: "",
                })
                .collect();
            let (Some(any), Some(child)) = (memberships.first(), held.first().map(|held| &held.child)) else {
                continue;
            };
            self.members_unprotected(connection, any, &[child], writing)?;
            let child = std::slice::from_ref(child);
            let mut gone = Vec::new();
            if !link.removed.is_empty() {
                for membership in &memberships {
                    gone.push((membership, self.link_rows(connection, membership, child)?));
                }
            }
            let parents: Vec<Value> = held.iter().map(|held| held.parent.clone()).collect();
            self.remove_rows(connection, link, &parents, child, environment)?;
            for (membership, rows) in gone {
                self.member_steps(connection, membership, child, &rows, &link.removed, environment)?;
            }
            if link.touch {
                for held in &held {
                    self.update_row(connection, &place, &held.key, &[], &[], environment)?;
                }
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
        let mut flag = |condition: Option<&crate::adapter::Condition>, alias| match condition {
            Some(condition) => {
                Expr::Flag(Box::new(writing.environment.predicate(condition, Some(alias), &mut aliases)))
            }
            None => Expr::Number(0),
        };
        let columns = vec![
            plan::key(source, other),
            Expr::column(near, &link.parent.0.name),
            Expr::column(near, &link.child.0.name),
            flag(source.protected.as_ref(), other),
            flag(link.leave.as_ref(), near),
        ];
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
            let [key, parent, child, protected, left] = <[Value; 5]>::try_from(row.0).ok()?;
            let [protected, left] = [protected, left].map(|flag| flag.as_int() == Some(1));
            Some(Held { key, parent, child, protected, left })
        });
        Ok(held.collect())
    }
}

impl Pointing<'_> {
    fn named(&self, held: &Held) -> String {
        format!("{} {}", self.place.type_.name, rows::scim_id(self.place.source, &held.key))
    }
}
