//! `scimshim check`: the loader that `serve` has, all findings at once, without serving.

use super::common::{Failure, config_path, lacks_rights, print, print_findings};
use super::public;
use crate::adapter;
use crate::config::{self, Upstream};
use crate::document::Findings;
use crate::server::assemble::{Assembler, Trouble};
use crate::server::proxy::Proxy;
use crate::server::tls::Tls;
use clap::Args;
use std::path::PathBuf;

/// What may be asked.
#[derive(Args)]
pub struct Arguments {
    /// Do not ask the database: configuration, certificate and the adapter's grammar alone
    #[arg(long)]
    offline: bool,
    /// Warnings fail too
    #[arg(long)]
    strict: bool,
    /// Findings as JSON on stdout
    #[arg(long)]
    json: bool,
}

/// Checks a configuration file.
pub fn run(given: Option<PathBuf>, arguments: &Arguments) -> Result<(), Failure> {
    let path = config_path(given);
    let mut findings = Findings::new();
    let said = look(&path, arguments, &mut findings);
    let (errors, warnings) = findings.count();
    let bad = errors > 0 || (arguments.strict && warnings > 0);
    if arguments.json {
        print(&findings.to_json().to_string())?;
    } else {
        print_findings(&findings);
        if !bad {
            for line in &said {
                print(line)?;
            }
        }
    }
    if bad { Err(Failure::Said) } else { Ok(()) }
}

/// Looks at everything; gives what was found good.
fn look(path: &std::path::Path, arguments: &Arguments, findings: &mut Findings) -> Vec<String> {
    let mut said = Vec::new();
    let Some(config) = config::load(path, findings) else {
        return said;
    };
    said.push(format!("configuration  {}", path.display()));
    if let Some(tls) = &config.tls {
        match Tls::load(tls, false) {
            Ok(_) => public::look(&config, findings),
            Err(why) => {
                findings.error(&(), why);
            }
        }
    }
    if let Some(settings) = &config.upstream {
        said.extend(upstream(settings, arguments.offline, findings));
    }
    let assembler = match Assembler::new(&config) {
        Ok(assembler) => assembler,
        Err(trouble) => {
            note(trouble, findings);
            return said;
        }
    };
    let document = assembler.document();
    said.push(format!("adapter        {} ({})", document.title, config.adapter.path.display()));
    if arguments.offline {
        said.push("not asked      the database (--offline)".to_owned());
        return said;
    }
    let catalogue = match assembler.catalogue() {
        Ok(catalogue) => catalogue,
        Err(error) => {
            note(Trouble::Database(error), findings);
            return said;
        }
    };
    let common = match assembler.compile(&catalogue, findings) {
        None => return said,
        Some(adapter) => {
            let version = adapter.version.as_deref().map(|version| format!(", version {version}")).unwrap_or_default();
            let types: Vec<&str> = adapter.resource_types.iter().map(|type_| type_.name.as_str()).collect();
            said.push(format!("database       reachable{version}: {}", types.join(", ")));
            adapter
        }
    };
    // What each identity server has of its own, wrong or not.
    let own = assembler.compile_own(&catalogue, findings);
    let adapters: Vec<_> = std::iter::once(&common).chain(own.iter().flatten()).collect();
    adapter::check_privileges(&adapters, &catalogue, findings);
    if findings.has_errors() {
        return said;
    }
    // The whole way of `serve`: our own tables, the signing key, acting users.
    match assembler.assemble() {
        Ok(_) => said.push(format!("own tables     {}", config.own_schema)),
        Err(trouble) => note(trouble, findings),
    }
    said
}

/// Whether the application behind us can be spoken with. It may be down while this is asked: a warning.
fn upstream(settings: &Upstream, offline: bool, findings: &mut Findings) -> Option<String> {
    let name = settings.name();
    let proxy = match Proxy::new(settings) {
        Ok(proxy) => proxy,
        Err(why) => {
            findings.error(&(), format!("the upstream {name} cannot be used: {why}"));
            return None;
        }
    };
    if offline {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let reached = runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(proxy.probe()));
    match reached {
        Ok(()) => Some(format!("upstream       {name} is reachable")),
        Err(why) => {
            let finding = findings.warning(&(), format!("the upstream {name} cannot be reached: {why}"));
            finding.help("is the application running, and is this the address on which it listens?");
            None
        }
    }
}

fn note(trouble: Trouble, findings: &mut Findings) {
    match trouble {
        Trouble::Findings(more) => findings.extend(more),
        trouble => {
            let finding = findings.error(&(), trouble.to_string());
            if let Trouble::Database(error) = trouble
                && lacks_rights(&error)
            {
                finding.help("`scimshim setup` prints the GRANTs that the database user needs");
            }
        }
    }
}
