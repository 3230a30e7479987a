//! For whom and for which tables the GRANTs of `scimshim setup` are.

use crate::adapter::{self, Adapter, Document, is_there, privileges_of};
use crate::config::{Backend, Config};
use crate::own::{Access, Needs, Own};
use crate::server::assemble;
use crate::sql::{Catalogue, Dialect, Ident, Table};
use std::collections::BTreeSet;

/// What the database user is given, each statement without its semicolon.
#[derive(Debug, Default)]
pub struct Grants {
    /// On tables that are there.
    pub certain: Vec<String>,
    /// On tables that not every version of the application has: given where they are there.
    pub where_there: Vec<String>,
}

/// Who is given them, and where.
pub struct Recipient<'a> {
    own: &'a Own,
    /// A role on PostgreSQL, `name@host` on MySQL.
    user: String,
    /// Where tables without a schema are.
    home: String,
}

impl<'a> Recipient<'a> {
    /// The account as which the database let us in, or the user of the URL.
    pub fn new(config: &Config, own: &'a Own, account: Option<&str>) -> Self {
        let rest = config.database.url.split_once("://").map_or("", |(_, rest)| rest);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let user = authority.rsplit_once('@').map_or("scimshim", |(user, _)| user);
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let home = match config.database.backend {
            Backend::Mysql => decoded(path.split('?').next().unwrap_or_default()),
            Backend::Postgres | Backend::Sqlite => "public".to_owned(),
        };
        Self { own, user: account.map_or_else(|| decoded(user), str::to_owned), home }
    }

    /// Whether the account is taken to be one of any host, because nobody said of which.
    pub fn is_of_any_host(&self) -> bool {
        self.own.dialect() == Dialect::Mysql && !self.user.contains('@')
    }

    /// What the compiled adapters do together, table by table.
    pub fn exact(&self, adapters: &[&Adapter], document: &Document, catalogue: &Catalogue) -> Grants {
        let needs: Vec<(Table, Needs)> = privileges_of(adapters)
            .into_iter()
            .map(|(table, needs)| {
                let mut needs = access(needs);
                let columns = catalogue.table(&table).map(|info| info.columns.as_slice()).unwrap_or_default();
                needs.generated_key =
                    columns.iter().find(|column| column.generated_key).map(|column| column.name.clone());
                (table, needs)
            })
            .collect();
        let absent = document.told_by().into_iter();
        let mut certain = self.sight(absent.filter(|table| !is_there(catalogue, self.own.dialect(), table)));
        certain.extend(self.own.grants(&self.user, &self.home, &needs));
        Grants { certain, where_there: Vec::new() }
    }

    /// Where the adapter could not be compiled: everything on every table that its document names, as far as it is there.
    pub fn unknown(&self, document: &Document, catalogue: Option<&Catalogue>) -> Grants {
        let all = access(adapter::Needs { select: true, insert: true, update: true, delete: true });
        let tables = document.tables();
        let seen = catalogue.filter(|catalogue| catalogue.partly.is_empty());
        let known = |table: &Table| seen.is_none_or(|seen| is_there(seen, self.own.dialect(), table));
        let both = |table: Table| (table, all.clone());
        let needs: Vec<(Table, Needs)> = tables.common.into_iter().filter(known).map(both).collect();
        let (versions, mut there) = (tables.of_versions, needs.clone());
        if seen.is_some() {
            there.extend(versions.iter().filter(|table| known(table)).cloned().map(both));
        }
        let looked_at = document.told_by().into_iter();
        let mut certain = self.sight(looked_at.filter(|table| !there.iter().any(|(granted, _)| granted == table)));
        certain.extend(self.own.grants(&self.user, &self.home, &there));
        let where_there = match seen {
            Some(_) => Vec::new(),
            None => {
                versions.iter().flat_map(|table| self.own.grant_if_there(&self.user, &self.home, table, &all)).collect()
            }
        };
        Grants { certain, where_there }
    }

    /// That tables which are not there, or not known to be, are seen as soon as they are.
    fn sight(&self, tables: impl Iterator<Item = Table>) -> Vec<String> {
        let home = Ident::new(&self.home);
        let schemas: BTreeSet<Ident> = tables.map(|table| table.schema.unwrap_or_else(|| home.clone())).collect();
        schemas.iter().filter_map(|schema| self.own.sight(&self.user, schema.as_str())).collect()
    }
}

/// The account as which MySQL lets us in, `name@host`, also where it may use no database.
pub fn account(config: &Config) -> Option<String> {
    if config.database.backend != Backend::Mysql {
        return None;
    }
    let mut nowhere = config.clone();
    let (place, query) = config.database.url.split_once('?').unwrap_or((&config.database.url, ""));
    let (server, _) = place.rsplit_once('/')?;
    nowhere.database.url = format!("{server}/?{query}");
    let mut account = None;
    let asked = assemble::open(&nowhere).ok()?.with(&mut |connection| {
        account = connection.catalogue(&[])?.account;
        Ok(())
    });
    asked.ok().and(account)
}

fn access(needs: adapter::Needs) -> Needs {
    let table = |needed: bool| if needed { Access::Table } else { Access::None };
    Needs {
        select: table(needs.select),
        insert: table(needs.insert),
        update: table(needs.update),
        delete: needs.delete,
        generated_key: None,
    }
}
