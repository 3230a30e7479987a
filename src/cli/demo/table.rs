//! Rows of the application's tables, printed as people read them.

use crate::cli::common::{Failure, print};
use crate::sql::{Alias, Database, Expr, Ident, Order, Predicate, Select, Statement, Table, Value};

/// One look at a table: these columns of the rows where `key` is `value`.
pub struct Look {
    /// The table.
    pub table: &'static str,
    /// What is shown of it.
    pub columns: &'static [&'static str],
    /// Which column chooses the rows.
    pub key: &'static str,
}

/// A look as it was at one time.
#[derive(PartialEq)]
pub struct Rows(Vec<Vec<Value>>);

impl Rows {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Look {
    /// What the rows are now.
    pub fn rows(&self, database: &dyn Database, value: &Value) -> Result<Rows, Failure> {
        const MAIN: Alias = Alias(0);
        let column = |name: &str| Expr::column(MAIN, &Ident::new(name));
        let columns = self.columns.iter().map(|name| column(name)).collect();
        let mut select = Select::new(Table::new(self.table), MAIN, columns)
            .filter(Predicate::eq(column(self.key), Expr::value(value.clone())));
        select.order = self.columns.iter().take(1).map(|name| Order { by: column(name), descending: false }).collect();
        let statement = Statement::Select(select);
        let mut rows = Vec::new();
        database.with(&mut |connection| {
            rows = connection.query(&statement, &[])?.into_iter().map(|row| row.0).collect();
            Ok(())
        })?;
        Ok(Rows(rows))
    }

    /// Prints the rows before and after a request.
    pub fn print(&self, before: &Rows, after: &Rows) -> Result<(), Failure> {
        let cell = |value: &Value| value.to_text().unwrap_or_else(|| "NULL".to_owned());
        let texts =
            |rows: &Rows| -> Vec<Vec<String>> { rows.0.iter().map(|row| row.iter().map(cell).collect()).collect() };
        let (before, after) = (texts(before), texts(after));
        let header: Vec<String> = self.columns.iter().map(|name| (*name).to_owned()).collect();
        let width = |n: usize| {
            std::iter::once(&header)
                .chain(&before)
                .chain(&after)
                .filter_map(|row| row.get(n))
                .map(|text| text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..header.len()).map(width).collect();
        let line = |row: &[String]| -> String {
            let cells = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}", width = *width));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let none = || vec![format!("(no row in {})", self.table)];
        let lines = |rows: &[Vec<String>]| -> Vec<String> {
            if rows.is_empty() { none() } else { rows.iter().map(|row| line(row)).collect() }
        };
        print(&format!("  {:8}{}", self.table, ""))?;
        print(&format!("          {}", line(&header)))?;
        if before == after {
            for text in lines(&after) {
                print(&format!("  same    {text}"))?;
            }
            return Ok(());
        }
        for text in lines(&before) {
            print(&format!("  before  {text}"))?;
        }
        for text in lines(&after) {
            print(&format!("  after   {text}"))?;
        }
        Ok(())
    }
}
