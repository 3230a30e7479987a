//! The pages of docs/adapters: hand-written notes, and below a mark the table that `scimshim adapters NAME --table` prints. No
//! page says anything of a column that the adapter does not.

use std::process::Command;

use crate::support::repository;
use crate::support::service::{BINARY, describe};

const MARK: &str = "<!-- what follows is printed by `scimshim adapters NAME --table`; `make tables` writes it -->\n\n";

/// `SCIMSHIM_BLESS=1` writes the tables instead of comparing.
#[test]
fn tables_are_up_to_date() {
    let mut outdated = Vec::new();
    let comments = regex::Regex::new(r" #.*").expect("a pattern");
    let columns = regex::Regex::new(r"column: ([a-z_]+)").expect("a pattern");
    for name in ["snipe-it", "glpi", "demo", "template"] {
        let output = Command::new(BINARY)
            .arg("adapters")
            .arg(repository().join(format!("adapters/{name}.yaml")))
            .arg("--table")
            .output()
            .expect("scimshim runs");
        assert!(output.status.success(), "{}", describe(&output));
        let table = String::from_utf8(output.stdout).expect("text");
        let path = repository().join(format!("docs/adapters/{name}.md"));
        let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (notes, written) = page.split_once(MARK).unwrap_or_else(|| panic!("{}: no mark", path.display()));
        assert!(notes.lines().count() > 10, "{}: notes for people", path.display());
        if std::env::var_os("SCIMSHIM_BLESS").is_some() {
            std::fs::write(&path, format!("{notes}{MARK}{table}")).expect("the page is written");
        } else if written != table {
            outdated.push(name);
        }
        // Each attribute and each column of the adapter is on its page.
        let adapter = std::fs::read_to_string(repository().join(format!("adapters/{name}.yaml"))).expect("the adapter");
        let adapter = comments.replace_all(&adapter, "").into_owned();
        for column in columns.captures_iter(&adapter) {
            let ends = |c: &char| "`.:}".contains(*c);
            let named = table.match_indices(&column[1]).any(|(at, word)| {
                table[..at].chars().next_back().as_ref().is_some_and(ends)
                    && table[at + word.len()..].chars().next().as_ref().is_some_and(ends)
            });
            assert!(named, "{name}: {} is not in the table", &column[1]);
        }
    }
    assert!(outdated.is_empty(), "docs/adapters of {outdated:?} are not what is printed: `make tables` writes them");
}

/// Nothing is asked of a database, and what is asked for must be named.
#[test]
fn what_is_asked_for() {
    let run = |arguments: &[&str]| {
        Command::new(BINARY).arg("adapters").args(arguments).current_dir(repository()).output().expect("scimshim runs")
    };
    let nothing = run(&["--table"]);
    assert_eq!(nothing.status.code(), Some(2), "{}", describe(&nothing));
    let unknown = run(&["no-such-adapter", "--table"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", describe(&unknown));
    // What an adapter of one's own changes is shown with what it extends.
    let folder = tempfile::tempdir().expect("a folder");
    let own = folder.path().join("own.yaml");
    let base = repository().join("adapters/demo.yaml");
    let text = format!(
        "adapter: own\nextends: {}\nresources: {{ User: {{ attributes: {{ nickName: job_title, title: null }} }} }}\n",
        base.display()
    );
    std::fs::write(&own, text).expect("an adapter");
    let shown = run(&[own.to_str().expect("a path"), "--table"]);
    let shown = String::from_utf8(shown.stdout).expect("text");
    assert!(shown.contains("| `nickName` | `job_title` |") && !shown.contains("| `title` |"), "{shown}");
    assert!(shown.contains("### Group, from the source `project`") && shown.contains("refused"), "{shown}");
}
