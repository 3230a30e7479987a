//! How the application's own history names what a foreign key points to: `label` and `none_label`.

use super::transaction::Fault;
use super::{Directory, plan};
use crate::adapter::{Binding, Column, ColumnId, Each, Environment, Label, Source, equivalent};
use crate::sql::{Connection, Expr, Predicate, Select, Statement, Table, Value};

/// A foreign key with a label.
struct Labelled<'a> {
    label: &'a Label,
    table: &'a Table,
    key: &'a Column,
    none: &'a Value,
}

impl Directory {
    /// A column's value as a history writes it: the label of the row it points to, or the value itself.
    pub(super) fn told(
        &self,
        connection: &mut dyn Connection,
        source: &Source,
        column: ColumnId,
        value: Value,
        environment: &Environment<'_>,
    ) -> Result<Value, Fault> {
        let Some(Labelled { label, table, key, none }) = self.labelled(source, column) else {
            return Ok(value);
        };
        if value.is_null() || equivalent(&value, none) {
            return Ok(label.none.as_deref().map_or(value, Value::from));
        }
        if label.templates.is_empty() {
            return Ok(value);
        }
        let columns = label.columns.iter().map(|column| Expr::column(plan::MAIN, &column.name)).collect();
        let is_it = Predicate::eq(Expr::column(plan::MAIN, &key.name), Expr::Value(value.clone(), key.cast.clone()));
        let select = Select::new(table.clone(), plan::MAIN, columns).filter(is_it);
        let Some(row) = connection.query(&Statement::Select(select), &[])?.into_iter().next() else {
            return Ok(value);
        };
        let columns = label.columns.iter().zip(row.0).map(|(column, value)| (column.name.clone(), value, None));
        let each = Each { columns: columns.collect(), ..Each::default() };
        let environment = Environment { each: Some(&each), ..*environment };
        let named = label.templates.iter().find_map(|template| environment.template(template));
        Ok(named.map_or(value, Value::Text))
    }

    fn labelled<'a>(&'a self, source: &'a Source, column: ColumnId) -> Option<Labelled<'a>> {
        source.attributes.iter().find_map(|attribute| match &attribute.binding {
            Binding::Lookup(lookup) if lookup.column == column => Some(Labelled {
                label: lookup.label.as_ref()?,
                table: &lookup.table,
                key: &lookup.key,
                none: &lookup.none,
            }),
            Binding::Reference(reference) if reference.column == column => {
                let (_, type_) = plan::find_type(&self.adapter, &reference.resource_type)?;
                let target = type_.sources.first()?;
                Some(Labelled {
                    label: reference.label.as_ref()?,
                    table: &target.table,
                    key: target.columns.get(reference.key)?,
                    none: &reference.none,
                })
            }
            _ => None,
        })
    }
}
