//! `scimshim setup`: scimshim's own tables as SQL, and the GRANTs that the service's database user needs;
//! `--apply` creates the tables and the key that signs tokens.

use super::common::{Failure, load, print, print_findings, say};
use super::grants;
use crate::config::Config;
use crate::document::Findings;
use crate::identity::store::TokenStore;
use crate::server::assemble::Assembler;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

/// What may be asked.
#[derive(Args)]
pub struct Arguments {
    /// Create what is missing instead of printing it
    #[arg(long)]
    apply: bool,
}

/// Prints or creates what the service needs in the database.
pub fn run(given: Option<PathBuf>, arguments: &Arguments) -> Result<(), Failure> {
    let config = load(given)?;
    let assembler = Assembler::new(&config)?;
    if arguments.apply {
        apply(&assembler)?;
        say("scimshim's own tables are there");
        return Ok(());
    }
    print("-- scimshim's own tables")?;
    for statement in assembler.own().ddl() {
        print(&format!("{statement};"))?;
    }
    let grants = grants(&config, &assembler);
    if !grants.is_empty() {
        print("\n-- what the service's database user must be allowed")?;
        for grant in grants {
            print(&format!("{grant};"))?;
        }
    }
    Ok(())
}

/// What the adapter touches is known exactly only against the live catalogue.
fn grants(config: &Config, assembler: &Assembler) -> Vec<String> {
    let catalogue = match assembler.catalogue() {
        Ok(catalogue) => catalogue,
        Err(error) => {
            say(&format!("scimshim: the database cannot be asked: {error}"));
            say("the GRANTs are for everything on every table that the adapter names");
            return grants::unknown(assembler.document(), config, assembler.own());
        }
    };
    let mut findings = Findings::new();
    if let Some(adapter) = assembler.compile(&catalogue, &mut findings) {
        let own = assembler.compile_own(&catalogue, &mut findings);
        let adapters: Vec<_> = std::iter::once(&adapter).chain(own.iter().flatten()).collect();
        return grants::exact(&adapters, &catalogue, config, assembler.own());
    }
    // A user who may not read a table yet does not see it either.
    print_findings(&findings);
    say("the GRANTs are for everything on every table that the adapter names");
    grants::unknown(assembler.document(), config, assembler.own())
}

/// Creates the tables and the signing key where they are missing.
pub fn apply(assembler: &Assembler) -> Result<(), Failure> {
    let store = TokenStore::new(Arc::clone(assembler.database()), assembler.own().clone());
    Ok(store.setup()?)
}
