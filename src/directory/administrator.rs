//! The application's administrators, as the adapter names them: looked up by name, for whoever verifies their passwords.

use super::{Directory, blank_environment, plan};
use crate::adapter::{Aliases, Hash};
use crate::sql::{self, Expr, Predicate, Select, Statement, Value};

impl Directory {
    /// How the application hashes its administrators' passwords, where the adapter says who they are.
    pub fn administrators_hash(&self) -> Option<Hash> {
        self.adapter.administrators.as_ref().map(|administrators| administrators.hash)
    }

    /// The administrator of this name: the name as it stands in the application, and the hash of the password. None where
    /// several have it. One statement, whatever it finds.
    pub fn administrator(&self, name: &str) -> Result<Option<(String, String)>, sql::Error> {
        let Some(administrators) = &self.adapter.administrators else {
            return Ok(None);
        };
        let column = |column: &crate::adapter::Column| Expr::column(plan::MAIN, &column.name);
        let columns = vec![column(&administrators.name), column(&administrators.password)];
        let mut select = Select::new(administrators.table.clone(), plan::MAIN, columns);
        let named = Expr::Value(Value::from(name), administrators.name.cast.clone());
        select.filter = Predicate::eq(column(&administrators.name), named).and(
            blank_environment(&self.adapter).predicate(&administrators.filter, Some(plan::MAIN), &mut Aliases::from(1)),
        );
        select.limit = Some(2);
        let statement = Statement::Select(select);
        let mut rows = Vec::new();
        self.database.with(&mut |connection| {
            rows = connection.query(&statement, &[])?;
            Ok(())
        })?;
        let mut rows = rows.into_iter();
        match (rows.next(), rows.next()) {
            (Some(row), None) => {
                let mut values = row.0.into_iter().map(|value| value.to_text());
                Ok(values.next().flatten().zip(values.next().flatten()))
            }
            _ => Ok(None),
        }
    }
}
