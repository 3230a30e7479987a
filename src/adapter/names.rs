//! Names of tables and columns, as an adapter writes them, against the live catalogue.

use super::Column;
use crate::document::{Findings, Located, Node, nearest};
use crate::sql::{Catalogue, ColumnInfo, Dialect, Ident, Table, TableInfo};

/// How names are looked up.
pub(super) struct Names<'a> {
    catalogue: &'a Catalogue,
    pub(super) dialect: Dialect,
    prefix: String,
}

/// A table that is there.
#[derive(Clone, Debug)]
pub(super) struct Relation<'a> {
    pub(super) table: Table,
    pub(super) info: &'a TableInfo,
    dialect: Dialect,
}

impl<'a> Names<'a> {
    pub(super) fn new(catalogue: &'a Catalogue, dialect: Dialect, prefix: &str) -> Self {
        Self { catalogue, dialect, prefix: prefix.to_owned() }
    }

    /// `schema.table` or `table`.
    pub(super) fn split(name: &str) -> Table {
        match name.split_once('.') {
            Some((schema, table)) => Table::within(schema, table),
            None => Table::new(name),
        }
    }

    /// Whether a table (without the prefix) is not seen although it may be there.
    pub(super) fn hides(&self, table: &Table) -> bool {
        self.catalogue.partly.contains(&table.schema) && self.find(&table.to_string()).is_none()
    }

    /// The table of this name, without the prefix, if it is there.
    pub(super) fn find(&self, name: &str) -> Option<Relation<'a>> {
        let mut wanted = Self::split(name);
        wanted.name = Ident::new(format!("{}{}", self.prefix, wanted.name));
        let exact = self.catalogue.tables.get_key_value(&wanted);
        let found = exact.or_else(|| {
            self.catalogue.tables.iter().find(|(table, _)| {
                self.dialect != Dialect::Postgres
                    && table.schema == wanted.schema
                    && table.name.as_str().eq_ignore_ascii_case(wanted.name.as_str())
            })
        });
        found.map(|(table, info)| Relation { table: table.clone(), info, dialect: self.dialect })
    }

    /// Whether `table`, `schema.table`, `table.column` or `schema.table.column` is there.
    pub(super) fn has(&self, name: &str) -> bool {
        if self.find(name).is_some() {
            return true;
        }
        name.rsplit_once('.')
            .is_some_and(|(table, column)| self.find(table).is_some_and(|relation| relation.find(column).is_some()))
    }

    /// The table that `node` names; one that is not there is reported with the nearest.
    pub(super) fn table(&self, node: &Node, findings: &mut Findings) -> Option<Relation<'a>> {
        let name = node.read_str(findings)?;
        let found = self.find(name);
        if found.is_none() {
            let prefixed = Self::split(name);
            let same_schema: Vec<&str> = self
                .catalogue
                .tables
                .keys()
                .filter(|table| table.schema == prefixed.schema)
                .filter_map(|table| table.name.as_str().strip_prefix(self.prefix.as_str()))
                .collect();
            let shown = format!("{}{}", self.prefix, prefixed.name);
            let near = nearest(prefixed.name.as_str(), same_schema.into_iter());
            let finding = findings.error(node, format!("there is no table `{shown}` in the database"));
            match near {
                Some(near) => finding.help(format!("did you mean `{near}`?")),
                None => finding.help(
                    "a table that scimshim's database user may not read is not seen either: `scimshim setup` prints the GRANTs",
                ),
            };
        }
        found
    }
}

impl<'a> Relation<'a> {
    pub(super) fn find(&self, name: &str) -> Option<&'a ColumnInfo> {
        self.info.column(name).or_else(|| {
            self.info
                .columns
                .iter()
                .find(|column| self.dialect != Dialect::Postgres && column.name.as_str().eq_ignore_ascii_case(name))
        })
    }

    /// The column called `name`; one that is not there is reported at `at` with the nearest.
    pub(super) fn column(&self, name: &str, at: &impl Located, findings: &mut Findings) -> Option<&'a ColumnInfo> {
        let found = self.find(name);
        if found.is_none() {
            let finding = findings.error(at, format!("the table `{}` has no column `{name}`", self.table));
            if let Some(near) = nearest(name, self.info.columns.iter().map(|column| column.name.as_str())) {
                finding.help(format!("did you mean `{near}`?"));
            }
        }
        found
    }

    /// The column that `node` names.
    pub(super) fn named(&self, node: &Node, findings: &mut Findings) -> Option<&'a ColumnInfo> {
        let name = node.read_str(findings)?;
        self.column(name, node, findings)
    }

    /// Whether some unique index is on exactly this column.
    pub(super) fn is_unique(&self, column: &Ident) -> bool {
        self.info.primary_key == [column.clone()]
            || self.info.indexes.iter().any(|index| index.unique && index.columns == [column.clone()])
    }

    /// Whether some index begins with this column.
    pub(super) fn is_indexed(&self, column: &Ident) -> bool {
        self.info.primary_key.first() == Some(column)
            || self.info.indexes.iter().any(|index| index.columns.first() == Some(column))
    }
}

/// A column as the compiled adapter keeps it.
pub(super) fn compiled(info: &ColumnInfo) -> Column {
    Column {
        name: info.name.clone(),
        kind: info.kind.clone(),
        cast: info.cast.clone(),
        nullable: info.nullable,
        ignores_case: info.ignores_case,
    }
}
