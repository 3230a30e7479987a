//! `scimshim setup`: scimshim's own tables as SQL, and the GRANTs that the service's database user needs;
//! `--apply` creates the tables and the key that signs tokens.

use super::common::{Failure, load, print, print_findings, say};
use super::grants;
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
        say(&format!("scimshim's own tables are in `{}`", config.own_schema));
        return Ok(());
    }
    print("-- scimshim's own tables")?;
    for statement in assembler.own().ddl() {
        print(&format!("{statement};"))?;
    }
    // What the adapter touches is known exactly only against the live catalogue.
    let mut findings = Findings::new();
    let adapter = assembler.compile(&mut findings);
    let grants = match &adapter {
        Ok(Some(adapter)) => grants::exact(adapter, &config, assembler.own()),
        Ok(None) => {
            print_findings(&findings);
            grants::unknown(assembler.document(), &config, assembler.own())
        }
        Err(error) => {
            say(&format!("scimshim: the database cannot be asked ({error}); the GRANTs are for every table that the adapter names"));
            grants::unknown(assembler.document(), &config, assembler.own())
        }
    };
    if !grants.is_empty() {
        print("\n-- what the service's database user must be allowed")?;
        for grant in grants {
            print(&grant)?;
        }
    }
    Ok(())
}

/// Creates the tables and the signing key where they are missing.
pub fn apply(assembler: &Assembler) -> Result<(), Failure> {
    let (database, own) = (assembler.database(), assembler.own());
    let statements = own.ddl();
    database.with(&mut |connection| statements.iter().try_for_each(|statement| connection.batch(statement)))?;
    TokenStore::new(Arc::clone(database), own.clone()).create_signing_key()?;
    Ok(())
}
