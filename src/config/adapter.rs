//! Which adapter, found where: `adapter`.

use std::path::{Path, PathBuf};

use super::Context;
use crate::document::{Findings, Node, Place, Reader, nearest};

/// Where the packages put adapters.
pub const PACKAGED_ADAPTERS: &str = "/usr/share/scimshim/adapters";

/// The adapter that the configuration chose.
#[derive(Clone, Debug)]
pub struct AdapterChoice {
    /// As written: a name or a path.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Values for the adapter's parameters, a mapping; the adapter says which there are.
    pub parameters: Option<Node>,
    /// Where the configuration says so.
    pub place: Place,
}

/// The file of an adapter, or everything that was tried. A value with a slash is a path; one ending in `.yaml` is first
/// looked for beside the configuration; a name is looked for in `adapters/` beside the configuration, where the
/// packages put them, and in `adapters/` of the working folder.
pub fn adapter_path(name: &str, config_dir: &Path) -> Result<PathBuf, Vec<PathBuf>> {
    let mut tried = Vec::new();
    if name.contains('/') || name.ends_with(".yaml") {
        tried.push(config_dir.join(name));
    }
    if !name.contains('/') {
        let file = if name.ends_with(".yaml") { name.to_owned() } else { format!("{name}.yaml") };
        tried.extend(directories(config_dir).into_iter().map(|directory| directory.join(&file)));
    }
    match tried.iter().find(|path| path.is_file()) {
        Some(path) => Ok(path.clone()),
        None => Err(tried),
    }
}

fn directories(config_dir: &Path) -> Vec<PathBuf> {
    let mut directories = vec![config_dir.join("adapters"), PACKAGED_ADAPTERS.into(), "adapters".into()];
    directories.dedup();
    directories
}

pub(super) fn read(reader: &mut Reader<'_>, context: Context<'_>, findings: &mut Findings) -> Option<AdapterChoice> {
    let node = reader.required("adapter", findings)?;
    if node.entries().is_empty() {
        return find(node, None, context, findings);
    }
    let mut reader = Reader::mapping(node, findings)?;
    let name = reader.required("name", findings);
    let parameters = reader.given("parameters");
    let parameters = parameters.filter(|node| node.read_entries(findings).is_some()).cloned();
    reader.finish(findings);
    find(name?, parameters, context, findings)
}

fn find(node: &Node, parameters: Option<Node>, context: Context<'_>, findings: &mut Findings) -> Option<AdapterChoice> {
    let name = node.read_str(findings)?;
    match adapter_path(name, context.directory) {
        Ok(path) => Some(AdapterChoice { name: name.to_owned(), path, parameters, place: node.place().clone() }),
        Err(tried) => {
            let tried: Vec<_> = tried.iter().map(|path| path.display().to_string()).collect();
            let names = names(context.directory);
            let near = nearest(name, names.iter().map(String::as_str));
            let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            findings
                .error(node, format!("there is no adapter `{name}`"))
                .help(format!("{near}tried: {}", tried.join(", ")));
            None
        }
    }
}

/// The names of the adapters there are.
fn names(config_dir: &Path) -> Vec<String> {
    let files = directories(config_dir).into_iter().filter_map(|directory| std::fs::read_dir(directory).ok());
    let files = files.flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    files.filter_map(|file| Some(file.strip_suffix(".yaml")?.to_owned())).collect()
}
