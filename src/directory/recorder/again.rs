//! What rows hold after all that a request wrote: MySQL does not say it with the write, and the others say it before their
//! AFTER triggers ran. Read once, at the end, table by table. Constraint triggers that are put off until the commit are not
//! seen.

use super::tables::{among, key_of, named, open_columns, text_of};
use super::{Columns, ROW, Recorder};
use crate::sql::{Error, Select, Statement};
use std::collections::{BTreeMap, BTreeSet};

/// Rows read again by one statement.
const CHUNK: usize = 500;

impl Recorder<'_> {
    /// A row was written in a table whose triggers may write it, too: all of it is to be read.
    pub(super) fn triggered(&mut self, table: usize, key: &Columns) {
        if self.tables.get(table).is_ok_and(|written| written.triggers)
            && let Some(row) = self.tracked(table, key)
        {
            (row.stale, row.whole) = (true, true);
        }
    }

    /// Reads what rows hold after they were written, where that is not known.
    pub(super) fn read_again(&mut self) -> Result<(), Error> {
        let mut wanted: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let triggers = self.rows.iter().any(|row| self.tables.get(row.table).is_ok_and(|written| written.triggers));
        for (index, row) in self.rows.iter().enumerate() {
            // Triggers of one table write rows of another.
            let stale = row.stale || (triggers && self.tables.may_alter(row.table) && !row.key.is_empty());
            if stale && row.after.is_some() {
                wanted.entry(row.table).or_default().push(index);
            }
        }
        for (table, indices) in wanted {
            let written = self.tables.get(table)?;
            for chunk in indices.chunks(CHUNK) {
                let mut columns: BTreeSet<usize> = written.key.iter().copied().collect();
                let mut keys = Vec::with_capacity(chunk.len());
                for row in chunk.iter().filter_map(|index| self.rows.get(*index)) {
                    if row.whole {
                        columns.extend(open_columns(written));
                    }
                    columns.extend(row.before.iter().chain(&row.after).flat_map(BTreeMap::keys));
                    keys.push(&row.key);
                }
                let columns: Vec<usize> = columns.into_iter().collect();
                let filter = among(written, &keys, Some(ROW));
                let list = columns.iter().filter_map(|column| written.columns.get(*column));
                let mut select =
                    Select::new(written.table.clone(), ROW, list.map(|column| column.read(Some(ROW))).collect());
                select.filter = filter;
                select.cacheable = chunk.len() == 1 || written.key.len() == 1;
                for found in self.inner.query(&Statement::Select(select), &[])? {
                    let found = named(written, &columns, found);
                    let Some(index) = self.by_key.get(&(table, text_of(&key_of(written, &found)))) else { continue };
                    let Some(row) = self.rows.get_mut(*index) else { continue };
                    let of_row: BTreeSet<usize> = match row.whole {
                        true => columns.iter().copied().collect(),
                        false => row.before.iter().chain(&row.after).flat_map(BTreeMap::keys).copied().collect(),
                    };
                    row.after = Some(found.into_iter().filter(|(column, _)| of_row.contains(column)).collect());
                    row.stale = false;
                }
                for index in chunk {
                    if let Some(row) = self.rows.get_mut(*index).filter(|row| row.stale) {
                        // A trigger took it away, or changed its key: what was written is what is known.
                        tracing::debug!(table = %written.table, "a row that was written is not there under its key");
                        row.stale = false;
                        if let (Some(before), Some(after)) = (&mut row.before, &row.after) {
                            before.retain(|column, _| after.contains_key(column));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
