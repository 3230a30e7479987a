//! `scimshim setup`: scimshim's own tables as SQL, and the GRANTs that the service's database user needs;
//! `--apply` creates the tables and the key that signs tokens.

use super::common::{Failure, lacks_rights, load, print, print_findings, say};
use super::grants::{self, Grants, Recipient};
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
    let (recipient, grants) = grants(&config, &assembler);
    if !grants.certain.is_empty() {
        print("\n-- what the service's database user must be allowed")?;
        if recipient.is_of_any_host() {
            print(
                "-- (its account is taken to be of any host, '%': where it is of one, `SELECT user, host FROM mysql.user`, write that)",
            )?;
        }
        for grant in grants.certain {
            print(&format!("{grant};"))?;
        }
    }
    if !grants.where_there.is_empty() {
        print("\n-- the same on tables that not every version of the application has, where they are there")?;
        for statement in grants.where_there {
            print(&format!("{statement};"))?;
        }
    }
    Ok(())
}

/// What the adapter touches is known exactly only against the live catalogue.
fn grants<'a>(config: &Config, assembler: &'a Assembler) -> (Recipient<'a>, Grants) {
    let (own, document) = (assembler.own(), assembler.document());
    let catalogue = match assembler.catalogue() {
        Ok(catalogue) => catalogue,
        Err(error) => {
            say(&format!("scimshim: the database cannot be asked: {error}"));
            say("the GRANTs are for everything on every table that the adapter names");
            let recipient = Recipient::new(config, own, grants::account(config).as_deref());
            let grants = recipient.unknown(document, None);
            return (recipient, grants);
        }
    };
    let recipient = Recipient::new(config, own, catalogue.account.as_deref());
    let mut findings = Findings::new();
    if let Some(adapter) = assembler.compile(&catalogue, &mut findings) {
        let own = assembler.compile_own(&catalogue, &mut findings);
        let adapters: Vec<_> = std::iter::once(&adapter).chain(own.iter().flatten()).collect();
        let grants = recipient.exact(&adapters, document, &catalogue);
        return (recipient, grants);
    }
    // A user who may not read a table yet does not see it either.
    print_findings(&findings);
    say("the GRANTs are for everything on every table that the adapter names");
    let grants = recipient.unknown(document, Some(&catalogue));
    (recipient, grants)
}

/// Creates the tables and the signing key where they are missing.
pub fn apply(assembler: &Assembler) -> Result<(), Failure> {
    let store = TokenStore::new(Arc::clone(assembler.database()), assembler.own().clone());
    store.setup().map_err(|error| match lacks_rights(&error) {
        true => Failure::Message(format!(
            "the database: {error}\nThe database user may not create tables; `scimshim setup` without --apply prints what somebody \
             who may can run: the tables, and the GRANTs for this user"
        )),
        false => error.into(),
    })
}
