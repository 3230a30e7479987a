//! `scimshim adapters`: which adapters are found where, what one lets be configured, and what the configured one serves.

use super::common::{Failure, config_path, print, print_findings};
use crate::adapter::{self, Document};
use crate::config::{self, PACKAGED_ADAPTERS, adapter_path};
use crate::document::{Findings, Node};
use crate::server::assemble::Assembler;
use crate::server::openapi;
use clap::Args;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// What may be asked.
#[derive(Args)]
pub struct Arguments {
    /// One adapter, by name or path: its parameters
    name: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// The profiles of identity servers, with the switches that each presets
    #[arg(long, conflicts_with_all = ["name", "table", "openapi"])]
    profiles: bool,
    /// The mapping as a table for people, in Markdown: which attribute stands in which column
    #[arg(long, requires = "name", conflicts_with_all = ["json", "openapi"])]
    table: bool,
    /// The OpenAPI 3.1 document of the configured adapter, compiled against the configured database
    #[arg(long, conflicts_with = "json")]
    openapi: bool,
}

/// Lists adapters, or describes one.
pub fn run(given: Option<PathBuf>, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.profiles {
        return super::profiles::run(arguments.json);
    }
    let config = config_path(given);
    let directory = config.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if arguments.openapi {
        return describe_service(&config, directory, arguments.name.as_deref());
    }
    match &arguments.name {
        Some(name) => describe(name, directory, arguments),
        None => list(directory, arguments.json),
    }
}

fn list(directory: &Path, json: bool) -> Result<(), Failure> {
    let mut found: Vec<(String, PathBuf, Option<String>)> = Vec::new();
    for folder in [directory.join("adapters"), PathBuf::from(PACKAGED_ADAPTERS), PathBuf::from("adapters")] {
        let mut here: Vec<PathBuf> = std::fs::read_dir(&folder)
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        here.sort();
        for path in here.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml")) {
            let Some(name) = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()) else {
                continue;
            };
            // The first folder wins, as it does for the configuration.
            if !found.iter().any(|(known, ..)| *known == name) {
                let title = adapter::load(&path, &[], &mut Findings::new()).map(|document| document.title);
                found.push((name, path, title));
            }
        }
    }
    if json {
        let each = found
            .iter()
            .map(|(name, path, title)| json!({ "name": name, "path": path.display().to_string(), "title": title }));
        return print(&each.collect::<Value>().to_string());
    }
    if found.is_empty() {
        return Err(Failure::Message(format!(
            "no adapters in {}, {PACKAGED_ADAPTERS} or ./adapters",
            directory.join("adapters").display()
        )));
    }
    let width = found.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    for (name, path, title) in &found {
        let title = title.as_deref().unwrap_or("cannot be read: see `scimshim adapters NAME`");
        print(&format!("{name:width$}  {title}  ({})", path.display()))?;
    }
    Ok(())
}

fn describe(name: &str, directory: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let path = adapter_path(name, directory).map_err(|tried| {
        let tried: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
        Failure::Message(format!("there is no adapter `{name}`; tried: {}", tried.join(", ")))
    })?;
    let mut findings = Findings::new();
    let Some(document) = adapter::load(&path, &[], &mut findings) else {
        return Err(Failure::Findings(findings));
    };
    print_findings(&findings);
    if arguments.json {
        return print(&parameters(&document, &path).to_string());
    }
    if arguments.table {
        return print(document.table().trim_end());
    }
    print(&format!("{}: {}", document.name, document.title))?;
    print(&format!("file: {}", path.display()))?;
    if document.parameters.is_empty() {
        return print("no parameters");
    }
    print("parameters:")?;
    for parameter in &document.parameters {
        let default =
            parameter.default.as_ref().map_or("required".to_owned(), |node| format!("default {}", node.found()));
        print(&format!("  {}  ({default})", parameter.name))?;
        if !parameter.choices.is_empty() {
            print(&format!("      one of: {}", parameter.choices.join(", ")))?;
        }
        if let Some(help) = &parameter.help {
            print(&format!("      {help}"))?;
        }
    }
    Ok(())
}

/// Prints the OpenAPI document. What is served depends on the application's own columns, so the database is asked; an
/// adapter that is not the configured one would be compiled against somebody else's tables.
fn describe_service(path: &Path, directory: &Path, name: Option<&str>) -> Result<(), Failure> {
    let mut findings = Findings::new();
    let Some(config) = config::load(path, &mut findings) else {
        return Err(Failure::Findings(findings));
    };
    let other = |found: PathBuf| {
        let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        whole(&found) != whole(&config.adapter.path)
    };
    if let Some(name) = name
        && adapter_path(name, directory).map_or(true, other)
    {
        return Err(Failure::Message(format!(
            "`{name}` is not the adapter of {}: `--openapi` asks the configured database which columns there are, so \
             give a configuration that names this adapter and its database, with `--config`",
            path.display()
        )));
    }
    let assembler = Assembler::new(&config)?;
    let catalogue = assembler.catalogue()?;
    let compiled = assembler.compile(&catalogue, &mut findings);
    print_findings(&findings);
    let Some(adapter) = compiled else {
        return Err(Failure::Said);
    };
    print(&format!("{:#}", openapi::document(&adapter)))
}

fn parameters(document: &Document, path: &Path) -> Value {
    let each = document.parameters.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "help": parameter.help,
            "default": parameter.default.as_ref().map(Node::to_yaml),
            "choices": parameter.choices,
        })
    });
    json!({
        "name": document.name,
        "title": document.title,
        "path": path.display().to_string(),
        "parameters": each.collect::<Value>(),
    })
}
