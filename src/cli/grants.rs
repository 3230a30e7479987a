//! For whom and for which tables the GRANTs of `scimshim setup` are.

use crate::adapter::{self, Adapter, Document, privileges_of, tables_needed};
use crate::config::{Backend, Config};
use crate::own::{Access, Needs, Own};
use crate::sql::{Catalogue, Table};

/// What the compiled adapters do together, table by table.
pub fn exact(adapters: &[&Adapter], catalogue: &Catalogue, config: &Config, own: &Own) -> Vec<String> {
    let needs: Vec<(Table, Needs)> = privileges_of(adapters)
        .into_iter()
        .map(|(table, needs)| {
            let mut needs = access(needs);
            let columns = catalogue.table(&table).map(|info| info.columns.as_slice()).unwrap_or_default();
            needs.generated_key = columns.iter().find(|column| column.generated_key).map(|column| column.name.clone());
            (table, needs)
        })
        .collect();
    grants(&needs, config, own)
}

/// Where the adapter could not be compiled: everything on every table that its document names.
pub fn unknown(document: &Document, config: &Config, own: &Own) -> Vec<String> {
    let all = adapter::Needs { select: true, insert: true, update: true, delete: true };
    let needs: Vec<(Table, Needs)> = tables_needed(document).into_iter().map(|table| (table, access(all))).collect();
    grants(&needs, config, own)
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

/// The URL says who connects, and on MySQL to which database.
fn grants(needs: &[(Table, Needs)], config: &Config, own: &Own) -> Vec<String> {
    let rest = config.database.url.split_once("://").map_or("", |(_, rest)| rest);
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let user = authority.rsplit_once('@').map_or("scimshim", |(user, _)| user);
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let home = match config.database.backend {
        Backend::Mysql => decoded(path.split('?').next().unwrap_or_default()),
        Backend::Postgres | Backend::Sqlite => "public".to_owned(),
    };
    own.grants(&decoded(user), &home, needs)
}
