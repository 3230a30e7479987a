//! What a client says beside a value, in a filter: the `type`, `display` and `primary` of an element for which the table
//! has one column. They are kept with the element in our own tables and shown for as long as the column holds what it held
//! then; after that, and for rows that nobody wrote through us, what the adapter says of them for good.

use super::asked::Asked;
use super::filter::Compiler;
use super::plan::SlotPlan;
use super::text;
use crate::adapter::{Attribute, Binding, Conversion, Slot};
use crate::scim::{AttributePath, Error, Kind};
use crate::sql::{Expr, Ident, Predicate};

impl Compiler<'_> {
    /// A comparison with a sub-attribute of the only element, which is there; `None` where a column holds it, or where what
    /// a client said cannot be told from it.
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
        let Some(first) = slot.subs.iter().find_map(|(_, index)| attributes(*index)) else { return Ok(None) };
        if slot.slot != Slot::Only || !self.has_one_slot(first) {
            return Ok(None);
        }
        let Some(current) = self.still_holds(slot, first) else { return Ok(None) };
        let kind = known_kind(sub);
        let name = canonical(sub);
        let client = self.kept(first, &["client", name]);
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

    fn has_one_slot(&self, attribute: &Attribute) -> bool {
        let target = &attribute.target;
        self.source.attributes.iter().all(|other| {
            other.target.extension != target.extension
                || other.target.attribute != target.attribute
                || other.target.slot == Some(Slot::Only)
        })
    }

    /// Whether the columns hold what they held when the client's words were kept.
    fn still_holds(&self, slot: &SlotPlan, first: &Attribute) -> Option<Predicate> {
        let mut all = Predicate::True;
        for (sub, index) in &slot.subs {
            let attribute = self.source.attributes.get(*index)?;
            let binding = match &attribute.binding {
                Binding::Constant(_) => continue,
                Binding::Column(binding) if binding.json.is_empty() => binding,
                _ => return None,
            };
            let (Conversion::Text(_), (expr, column)) = (&binding.conversion, self.expr(*index)?) else { return None };
            let now = Expr::Exact(Box::new(binding.conversion.reads(text::text_expr(expr, column.as_ref()))));
            let then = Expr::Exact(Box::new(self.kept(first, &["column", sub])));
            // What was empty then and is now is still the same.
            let both_empty = Predicate::IsNull(now.clone()).and(Predicate::IsNull(then.clone()));
            let is_value = sub == "value";
            let equal = Predicate::eq(now, then);
            all = all.and(if is_value { equal } else { equal.or(both_empty) });
        }
        Some(all)
    }

    fn kept(&self, attribute: &Attribute, rest: &[&str]) -> Expr {
        let target = &attribute.target;
        let path = match &target.extension {
            Some(urn) => format!("{urn}:{}", target.attribute),
            None => target.attribute.clone(),
        };
        let document = Expr::column(self.reading.sidecar_alias, &Ident::new("document"));
        let keys = ["elements".to_owned(), path].into_iter().chain(rest.iter().map(|key| (*key).to_owned()));
        Expr::Json(Box::new(document), keys.collect())
    }
}

/// The sub-attributes of RFC 7643 2.4 that stand beside a value, in its spelling.
fn canonical(sub: &str) -> &str {
    ["type", "display", "primary"].into_iter().find(|known| known.eq_ignore_ascii_case(sub)).unwrap_or(sub)
}

fn known_kind(sub: &str) -> Kind {
    if sub.eq_ignore_ascii_case("primary") { Kind::Boolean } else { Kind::String }
}
