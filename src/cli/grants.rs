//! The GRANTs that the service's database user needs, and no more.

use crate::adapter::{Adapter, Document, Needs, privileges, tables_needed};
use crate::config::{Backend, Config};
use crate::own::Own;
use crate::sql::Table;

const ALL: Needs = Needs { select: true, insert: true, update: true, delete: true };

/// What a compiled adapter does, table by table.
pub fn exact(adapter: &Adapter, config: &Config, own: &Own) -> Vec<String> {
    grants(&privileges(adapter), config, own)
}

/// Where the adapter could not be compiled: everything on every table that its document names.
pub fn unknown(document: &Document, config: &Config, own: &Own) -> Vec<String> {
    let tables: Vec<(Table, Needs)> = tables_needed(document).into_iter().map(|table| (table, ALL)).collect();
    grants(&tables, config, own)
}

fn grants(tables: &[(Table, Needs)], config: &Config, own: &Own) -> Vec<String> {
    let Some(place) = Place::of(config) else { return Vec::new() };
    let mut lines = Vec::new();
    if config.database.backend == Backend::Postgres {
        let mut schemas: Vec<String> = vec![config.own_schema.clone()];
        for (table, _) in tables {
            let schema = table.schema.as_ref().map_or_else(|| "public".to_owned(), ToString::to_string);
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        lines.extend(schemas.iter().map(|schema| format!("GRANT USAGE ON SCHEMA {} TO {};", place.quote(schema), place.user)));
    }
    let own = own.tables().into_iter().map(|table| (table, ALL));
    for (table, needs) in own.chain(tables.iter().cloned()) {
        let name = place.table(&table);
        lines.push(format!("GRANT {} ON {name} TO {};", words(needs).join(", "), place.user));
        // An INSERT of a row whose key counts up asks the sequence, whatever it is called.
        if config.database.backend == Backend::Postgres && needs.insert && table.schema.is_none() {
            lines.push(format!("-- and, if its key counts up: GRANT USAGE ON SEQUENCE ... TO {};", place.user));
        }
    }
    lines
}

fn words(needs: Needs) -> Vec<&'static str> {
    let all = [(needs.select, "SELECT"), (needs.insert, "INSERT"), (needs.update, "UPDATE"), (needs.delete, "DELETE")];
    all.iter().filter(|(needed, _)| *needed).map(|(_, word)| *word).collect()
}

/// Whom and where the GRANTs are for.
struct Place {
    quoting: char,
    user: String,
    /// MySQL's database of the application.
    database: Option<String>,
}

impl Place {
    /// SQLite has files, not users.
    fn of(config: &Config) -> Option<Self> {
        let (_, rest) = config.database.url.split_once("://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let user = authority.rsplit_once('@').map_or("scimshim", |(user, _)| user);
        let user = user.split(':').next().unwrap_or(user);
        let user = percent_encoding::percent_decode_str(user).decode_utf8_lossy().into_owned();
        let database = path.split('?').next().unwrap_or_default().to_owned();
        match config.database.backend {
            Backend::Sqlite => None,
            Backend::Mysql => Some(Self {
                quoting: '`',
                user: format!("'{}'@'%'", user.replace('\'', "''")),
                database: Some(database).filter(|database| !database.is_empty()),
            }),
            Backend::Postgres => {
                Some(Self { quoting: '"', user: format!("\"{}\"", user.replace('"', "\"\"")), database: None })
            }
        }
    }

    fn quote(&self, name: &str) -> String {
        let q = self.quoting;
        format!("{q}{}{q}", name.replace(q, &format!("{q}{q}")))
    }

    fn table(&self, table: &Table) -> String {
        let schema = table.schema.as_ref().map(ToString::to_string).or_else(|| self.database.clone());
        match schema {
            Some(schema) => format!("{}.{}", self.quote(&schema), self.quote(&table.name.to_string())),
            None => self.quote(&table.name.to_string()),
        }
    }
}
