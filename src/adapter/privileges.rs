//! What the database user must be allowed, table by table: exactly what the adapter does.

use super::conditions::{selects_of, tables_of};
use super::{Action, Adapter, Binding, Condition, DeleteHow, Expression, ForEach, Guard, Missing, Source, Step};
use crate::document::Findings;
use crate::sql::{Catalogue, Table};
use std::collections::BTreeMap;

/// What is needed on one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// `SELECT`.
    pub select: bool,
    /// `INSERT`.
    pub insert: bool,
    /// `UPDATE`.
    pub update: bool,
    /// `DELETE`.
    pub delete: bool,
}

/// Every table that the adapter touches and what it does there, in the order of their names.
pub fn privileges(adapter: &Adapter) -> Vec<(Table, Needs)> {
    privileges_of(&[adapter])
}

/// The same for several together: those of identity servers with scopes or parameters of their own.
pub fn privileges_of(adapters: &[&Adapter]) -> Vec<(Table, Needs)> {
    let mut all = Collected::default();
    let types = adapters.iter().flat_map(|adapter| &adapter.resource_types);
    for source in types.flat_map(|resource| &resource.sources) {
        all.source(source);
    }
    for administrators in adapters.iter().filter_map(|adapter| adapter.administrators.as_ref()) {
        all.needs(&administrators.table);
        all.condition(&administrators.filter);
    }
    // What an upgrade of the application changes is seen by these.
    for table in adapters.iter().flat_map(|adapter| &adapter.told_by) {
        all.needs(table);
    }
    all.0.into_iter().collect()
}

/// Reports what the database user may not do and the adapters do, and warns of what it may and they never do: on the tables
/// that they name, whole or in part. What is not known is not said.
pub fn check_privileges(adapters: &[&Adapter], catalogue: &Catalogue, findings: &mut Findings) {
    let mut beyond: Vec<String> = Vec::new();
    for (table, needs) in privileges_of(adapters) {
        let Some(held) = catalogue.table(&table).and_then(|info| info.held) else { continue };
        let verbs = [
            ("SELECT", needs.select, held.select),
            ("INSERT", needs.insert, held.insert),
            ("UPDATE", needs.update, held.update),
            ("DELETE", needs.delete, held.delete),
        ];
        let of = |wanted: (bool, bool)| -> Vec<&str> {
            let found = verbs.iter().filter(|(_, needed, held)| (*needed, *held) == wanted);
            found.map(|(verb, _, _)| *verb).collect()
        };
        for verb in of((true, false)) {
            findings
                .error(&(), format!("the database user may not {verb} on `{table}`, which the adapter does"))
                .help("`scimshim setup` prints the GRANTs that are needed");
        }
        let more = of((false, true));
        if !more.is_empty() {
            beyond.push(format!("{} on `{table}`", more.join(", ")));
        }
    }
    if !beyond.is_empty() {
        findings
            .warning(&(), format!("the database user may do what the adapter never does: {}", beyond.join("; ")))
            .help("a user of its own with the GRANTs that `scimshim setup` prints is enough");
    }
}

#[derive(Default)]
struct Collected(BTreeMap<Table, Needs>);

impl Collected {
    fn needs(&mut self, table: &Table) -> &mut Needs {
        let needs = self.0.entry(table.clone()).or_default();
        // Whatever is done to a table names rows, and that is reading; the journal keeps what was there before.
        needs.select = true;
        needs
    }

    fn condition(&mut self, condition: &Condition) {
        for select in tables_of(condition) {
            self.needs(&select.table);
        }
    }

    fn expression(&mut self, expression: &Expression) {
        for select in selects_of(expression) {
            self.needs(&select.table);
        }
    }

    fn source(&mut self, source: &Source) {
        self.needs(&source.table).update |= source.is_updated();
        self.condition(&source.filter);
        self.condition(&source.scope);
        if let Some(protected) = &source.protected {
            self.condition(protected);
        }
        if let Some(create) = &source.create {
            self.needs(&source.table).insert = true;
            create.set.iter().for_each(|(_, value)| self.expression(value));
            self.guards(&create.guards);
            self.steps(&create.before);
            self.steps(&create.then);
            if let Some(revive) = &create.revive {
                self.condition(&revive.filter);
                revive.set.iter().for_each(|(_, value)| self.expression(value));
                self.steps(&revive.then);
            }
        }
        source.update.set.iter().for_each(|(_, value)| self.expression(value));
        self.guards(&source.update.guards);
        self.steps(&source.update.before);
        self.steps(&source.update.then);
        self.needs(&source.table).delete |= source.delete.how == DeleteHow::Row;
        source.delete.set.iter().for_each(|(_, value)| self.expression(value));
        self.guards(&source.delete.guards);
        self.steps(&source.delete.before);
        self.steps(&source.delete.then);
        for attribute in &source.attributes {
            self.binding(&attribute.binding);
        }
    }

    fn binding(&mut self, binding: &Binding) {
        match binding {
            Binding::Lookup(lookup) => {
                let needs = self.needs(&lookup.table);
                if lookup.missing == Missing::Create {
                    needs.insert = true;
                    // A level that is made locks those above it, and clears their caches.
                    needs.update |= lookup.revive.is_some() || lookup.tree.is_some();
                }
                self.condition(&lookup.filter);
                lookup.create.iter().for_each(|(_, value)| self.expression(value));
                self.steps(&lookup.then);
            }
            Binding::Rows(rows) => {
                let needs = self.needs(&rows.child.table);
                needs.insert = true;
                // Rows that are kept change.
                needs.update = true;
                needs.delete |= rows.remove_sets.is_empty();
                self.condition(&rows.child.filter);
                if let Some(leave) = &rows.leave {
                    self.condition(leave);
                }
                rows.set.iter().chain(&rows.remove_sets).for_each(|(_, value)| self.expression(value));
                [&rows.added, &rows.removed, &rows.changed].into_iter().for_each(|steps| self.steps(steps));
                rows.child.attributes.iter().for_each(|attribute| self.binding(&attribute.binding));
            }
            Binding::Link(link) => {
                let needs = self.needs(&link.table);
                needs.insert = true;
                match link.remove_sets.is_empty() {
                    true => needs.delete = true,
                    false => needs.update = true,
                }
                self.condition(&link.filter);
                if let Some(leave) = &link.leave {
                    self.condition(leave);
                }
                link.set.iter().chain(&link.remove_sets).for_each(|(_, value)| self.expression(value));
                self.steps(&link.added);
                self.steps(&link.removed);
            }
            _ => {}
        }
    }

    fn guards(&mut self, guards: &[Guard]) {
        for guard in guards {
            self.needs(&guard.table);
            self.condition(&guard.filter);
            if let Some(when) = &guard.when {
                self.condition(when);
            }
        }
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            match &step.action {
                Action::Insert(values) => {
                    // The journal reads the new row's key.
                    self.needs(&step.table).insert = true;
                    values.iter().for_each(|(_, value)| self.expression(value));
                }
                Action::Update(values, filter) => {
                    self.needs(&step.table).update = true;
                    self.condition(filter);
                    values.iter().for_each(|(_, value)| self.expression(value));
                }
                Action::Delete(filter) => {
                    self.needs(&step.table).delete = true;
                    self.condition(filter);
                }
            }
            if let Some(when) = &step.when {
                self.condition(when);
            }
            if let ForEach::Rows(rows) = &step.for_each {
                self.needs(&rows.table);
                self.condition(&rows.filter);
            }
        }
    }
}

impl Source {
    /// Whether anything that can be asked for writes or locks a row: then the database user may UPDATE them, and so lock them.
    pub fn is_updated(&self) -> bool {
        // A row that is deleted is locked before.
        self.delete.how != DeleteHow::Refuse
            // What stands below a row is written with it.
            || self.tree.is_some()
            || self.create.as_ref().is_some_and(|create| create.revive.is_some())
            || !self.update.set.is_empty()
            || self.attributes.iter().any(|attribute| super::checks::writes(attribute).is_some())
            // The row is locked while its members or child rows change, and locking asks for UPDATE.
            || self.attributes.iter().any(|attribute| matches!(attribute.binding, Binding::Link(_) | Binding::Rows(_)))
    }
}
