//! `scimshim man`: the manual pages. Those of the verbs are made from the command line's own definitions, scimshim.yaml(5)
//! from config.example.yaml, which the tests hold complete, and scimshim-adapter(5) from the page of the mapping language,
//! whose every example is tested. Nothing is written twice, so nothing here can fall behind.

mod markdown;
mod settings;

use super::CommandLine;
use super::common::{Failure, print, say};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::path::PathBuf;

/// The example that explains every setting.
const SETTINGS: &str = include_str!("../../config.example.yaml");
/// The page of the mapping language.
const LANGUAGE: &str = include_str!("../../docs/mapping.md");
const MANUAL: &str = "System Administration";

/// Where things are, how the service is spoken to, and what to read next: the end of scimshim(8).
const AFTERWORD: &str = "\
## Exit status

| | |
| --- | --- |
| `0` | All is well. |
| `1` | The check or the work failed; why stands on standard error. |
| `2` | The command line is wrong. |

## Signals

| | |
| --- | --- |
| `SIGHUP` | `serve` reads configuration, adapter and certificates again, in one step; if anything is wrong nothing changes and the log says why. |
| `SIGTERM`, `SIGINT` | `serve` takes no more connections, finishes the requests in flight, and ends. A second one ends it at once. |

## Environment

| | |
| --- | --- |
| `SCIMSHIM_CONFIG` | The configuration, where `--config` names none. |
| `NO_COLOR` | No colours, not even on a terminal. |
| `CREDENTIALS_DIRECTORY` | Where `${credential:NAME}` is looked for; set by systemd. |
| `NOTIFY_SOCKET` | Where `serve` says how it is; set by systemd. |

## Files

| | |
| --- | --- |
| `/etc/scimshim/config.yaml` | The configuration, see scimshim.yaml(5). |
| `/etc/scimshim/adapters/` | Adapters of your own; they come before those of the package. |
| `/etc/scimshim/secrets/` | Passwords and keys, for root and the service alone. |
| `/usr/share/scimshim/adapters/` | The adapters of the package, see scimshim-adapter(5). |

## See also

scimshim.yaml(5), scimshim-adapter(5), systemctl(1), journalctl(1)
";

/// What may be asked.
#[derive(Args)]
pub struct Arguments {
    /// The page: scimshim, scimshim-VERB, scimshim.yaml or scimshim-adapter
    #[arg(default_value = "scimshim", conflicts_with = "dir")]
    page: String,
    /// Write every page into this folder instead
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// One page: its name without the section, its section, its source.
struct Page {
    name: String,
    section: &'static str,
    source: String,
}

/// Prints a page, or writes all of them.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let pages = pages()?;
    if let Some(dir) = &arguments.dir {
        std::fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        for page in &pages {
            let path = dir.join(format!("{}.{}", page.name, page.section));
            std::fs::write(&path, &page.source).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        say(&format!("{} pages are in {}", pages.len(), dir.display()));
        return Ok(());
    }
    match pages.iter().find(|page| page.name == arguments.page) {
        Some(page) => print(page.source.trim_end()),
        None => {
            let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
            Err(format!("there is no page `{}`; there are: {}", arguments.page, names.join(", ")).into())
        }
    }
}

fn pages() -> Result<Vec<Page>, Failure> {
    let mut command = CommandLine::command().disable_help_subcommand(true);
    command.build();
    let version = command.get_version().unwrap_or_default().to_owned();
    let mut pages = Vec::new();
    of_command(&command, None, &version, &mut pages)?;
    pages.push(Page { name: "scimshim.yaml".to_owned(), section: "5", source: settings_page(&version) });
    pages.push(Page { name: "scimshim-adapter".to_owned(), section: "5", source: language_page(&version) });
    Ok(pages)
}

/// The page of a verb, and those of the verbs below it.
fn of_command(command: &Command, above: Option<&str>, version: &str, pages: &mut Vec<Page>) -> Result<(), Failure> {
    let name = above.map_or_else(|| command.get_name().to_owned(), |above| format!("{above}-{}", command.get_name()));
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .section("8")
        .source(format!("scimshim {version}"))
        .manual(MANUAL);
    let mut bytes = Vec::new();
    man.render_title(&mut bytes)?;
    man.render_name_section(&mut bytes)?;
    man.render_synopsis_section(&mut bytes)?;
    man.render_description_section(&mut bytes)?;
    man.render_options_section(&mut bytes)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut bytes)?;
    }
    let mut source = String::from_utf8_lossy(&bytes).into_owned();
    let mut roff = Roff::new();
    match above {
        None => markdown::write(AFTERWORD, &mut roff),
        Some(_) => {
            roff.control("SH", ["SEE ALSO"]);
            roff.text([bold("scimshim"), roman("(8), "), bold("scimshim.yaml"), roman("(5)")]);
        }
    }
    source.push_str(&roff.to_roff());
    pages.push(Page { name: name.clone(), section: "8", source });
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        of_command(below, Some(&name), version, pages)?;
    }
    Ok(())
}

/// Title and NAME of a page in section 5.
fn begin(title: &str, name: &str, what: &str, version: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("TH", [title, "5", "", &format!("scimshim {version}"), MANUAL]);
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {what}"))]);
    roff
}

fn settings_page(version: &str) -> String {
    let mut roff = begin("SCIMSHIM.YAML", "scimshim.yaml", "the configuration of scimshim", version);
    settings::write(SETTINGS, &mut roff);
    markdown::write("## See also\n\nscimshim(8), scimshim-adapter(5), systemd.exec(5)\n", &mut roff);
    roff.render()
}

fn language_page(version: &str) -> String {
    let mut roff = begin("SCIMSHIM-ADAPTER", "scimshim-adapter", "the language that maps SCIM to tables", version);
    roff.control("SH", ["DESCRIPTION"]);
    markdown::write(LANGUAGE, &mut roff);
    markdown::write("## See also\n\nscimshim(8), scimshim.yaml(5)\n", &mut roff);
    roff.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> String {
        let pages = pages().unwrap();
        pages.into_iter().find(|page| page.name == name).unwrap_or_else(|| panic!("no page {name}")).source
    }

    #[test]
    fn every_verb_has_a_page() {
        let pages = pages().unwrap();
        let has = |name: &str| pages.iter().any(|page| page.name == name && page.section == "8");
        assert!(has("scimshim"));
        for verb in CommandLine::command().get_subcommands() {
            assert!(has(&format!("scimshim-{}", verb.get_name())), "{}", verb.get_name());
            for below in verb.get_subcommands() {
                assert!(has(&format!("scimshim-{}-{}", verb.get_name(), below.get_name())), "{}", below.get_name());
            }
        }
        let synopsis = page("scimshim-token-issue");
        assert!(synopsis.contains(".SH SYNOPSIS") && synopsis.contains("scimshim token issue"), "{synopsis}");
    }

    /// Keys of the example, at any depth, must all stand in the page, with what is said of them.
    #[test]
    fn the_settings_page_has_every_setting_and_every_comment() {
        let plain =
            page("scimshim.yaml").replace("\\-", "-").replace("\\*(Aq", "'").replace("\\\\", "\\").replace("\\&", "");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ");
        let plain = words(&plain.replace("\\fB", "").replace("\\fR", ""));
        for line in SETTINGS.lines() {
            let line = words(line.trim().trim_start_matches('#').trim());
            assert!(plain.contains(&line), "`{line}` is missing");
        }
    }

    #[test]
    fn the_language_page_has_every_heading_and_every_example() {
        let source = page("scimshim-adapter");
        let plain = source.replace("\\-", "-").replace("\\*(Aq", "'").replace("\\\\", "\\").replace("\\&", "");
        let mut inside = false;
        for line in LANGUAGE.lines().skip(1) {
            if line.starts_with("```") {
                inside = !inside;
            } else if inside {
                assert!(plain.lines().any(|found| found == line), "`{line}` is missing");
            } else if let Some(heading) = line.strip_prefix("## ") {
                let heading = heading.replace('`', "").to_uppercase();
                assert!(plain.lines().any(|found| found == heading), "`{heading}` is missing");
            }
        }
    }
}
