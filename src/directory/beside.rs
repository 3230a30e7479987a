//! What a client says beside a value, in a filter: the `type`, `display` and `primary` of an element for which the table
//! has a column of its value alone. They are kept with the element in our own tables and shown for as long as the columns
//! of all the attribute's slots hold what they held then; after that, and for rows that nobody wrote through us, what the
//! adapter says of them for good.

use super::asked::Asked;
use super::filter::Compiler;
use super::plan::{Field, Shape, SlotPlan};
use super::{sidecar, text};
use crate::adapter::{Binding, Conversion, Slot};
use crate::scim::{AttributePath, Error, Kind};
use crate::sql::{Expr, Ident, Predicate};

impl Compiler<'_> {
    /// A comparison with a sub-attribute of the element in a slot, which is there; `None` where a column holds it, or where
    /// what a client said cannot be told from what it holds.
    pub(super) fn beside(
        &mut self,
        slot: &SlotPlan,
        sub: &str,
        path: &AttributePath,
        asked: Asked<'_>,
    ) -> Result<Option<Predicate>, Error> {
        let source = self.source;
        let attributes = |index: usize| source.attributes.get(index);
        let mapped = slot.subs.iter().find(|(name, _)| name.eq_ignore_ascii_case(sub));
        let constant = match mapped.and_then(|(_, index)| attributes(*index)).map(|attribute| &attribute.binding) {
            None => None,
            Some(Binding::Constant(value)) => Some(value),
            Some(_) => return Ok(None),
        };
        let plan = self.plan;
        let with = |field: &&'_ Field| matches!(&field.shape, Shape::Slots(slots) if slots.iter().any(|known| std::ptr::eq(known, slot)));
        let Some(field) = plan.fields.iter().find(with) else { return Ok(None) };
        let Some(current) = self.still_holds(field) else { return Ok(None) };
        let kind = known_kind(sub);
        let name = canonical(sub);
        let client = self.kept(field, slot, &["client", name]);
        let said = match kind {
            Kind::Boolean => self.in_document(client, (kind, true), asked, path)?,
            _ => self.in_document(client, (Kind::String, false), asked, path)?,
        };
        let for_good = match constant {
            Some(value) if asked.holds_of(value, false, path)? => Predicate::True,
            Some(_) => Predicate::False,
            None => asked.of_absent(),
        };
        Ok(Some(current.clone().and(said).or(current.negate().and(for_good))))
    }

    /// Whether the columns hold what they held when the client's words were kept.
    fn still_holds(&self, field: &Field) -> Option<Predicate> {
        let Shape::Slots(slots) = &field.shape else { return None };
        let mut all = Predicate::True;
        for slot in slots {
            for (sub, index) in &slot.subs {
                let attribute = self.source.attributes.get(*index)?;
                let binding = match &attribute.binding {
                    Binding::Constant(_) => continue,
                    Binding::Column(binding) if binding.json.is_empty() => binding,
                    _ => return None,
                };
                let (Conversion::Text(_), (expr, column)) = (&binding.conversion, self.expr(*index)?) else {
                    return None;
                };
                let now = Expr::NotEmpty(Box::new(text::text_expr(expr, column.as_ref())));
                let now = Expr::Exact(Box::new(binding.conversion.reads(now)));
                let then = Expr::Exact(Box::new(self.kept(field, slot, &["column", sub])));
                // What was empty then and is now is still the same.
                let both_empty = Predicate::IsNull(now.clone()).and(Predicate::IsNull(then.clone()));
                let is_only_value = sub == "value" && slot.slot == Slot::Only;
                let equal = Predicate::eq(now, then);
                all = all.and(if is_only_value { equal } else { equal.or(both_empty) });
            }
        }
        Some(all)
    }

    fn kept(&self, field: &Field, slot: &SlotPlan, rest: &[&str]) -> Expr {
        let path = match &field.extension {
            Some(urn) => format!("{urn}:{}", field.name),
            None => field.name.clone(),
        };
        let document = Expr::column(self.reading.sidecar_alias, &Ident::new("document"));
        let keys = ["elements".to_owned(), sidecar::slot_path(&path, &slot.slot)];
        Expr::Json(Box::new(document), keys.into_iter().chain(rest.iter().map(|key| (*key).to_owned())).collect())
    }
}

/// The sub-attributes of RFC 7643 2.4 that stand beside a value, in its spelling.
fn canonical(sub: &str) -> &str {
    ["type", "display", "primary"].into_iter().find(|known| known.eq_ignore_ascii_case(sub)).unwrap_or(sub)
}

fn known_kind(sub: &str) -> Kind {
    if sub.eq_ignore_ascii_case("primary") { Kind::Boolean } else { Kind::String }
}
