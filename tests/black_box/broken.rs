//! Adapters that are broken, one rule each (`tests/adapters/broken`), and what `check` says of them: the place, the mistake,
//! the likely fix. The first lines of a file, behind `#?`, are what must be said. Nothing is served of any of them.

use crate::support::databases::{Database, Engine};
use crate::support::file;
use crate::support::service::{Options, Service, describe};

#[test]
fn each_rule() {
    let database = Database::small(Engine::Sqlite);
    assert!(Service::prepare(&database, Options::small()).run(&["setup", "--apply"]).status.success());
    let mut wrong = String::new();
    let mut files = 0;
    let places = regex::Regex::new(r"(?m)^\S+\.yaml:\d+:\d+: (error|warning): ").expect("a pattern");
    for entry in std::fs::read_dir(file("tests/adapters/broken")).expect("the folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("an adapter");
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#? ")).collect();
        assert!(!expected.is_empty(), "{}", path.display());
        files += 1;
        let options = Options { adapter: path.display().to_string(), ..Options::small() };
        let check = Service::prepare(&database, options).run(&["check"]);
        let said = String::from_utf8_lossy(&check.stderr).into_owned();
        let fails = expected.iter().any(|line| line.contains("error: "));
        let missing: Vec<&&str> = expected.iter().filter(|line| !said.contains(&***line)).collect();
        // All at once, each at its place in its own file.
        let placed =
            places.find_iter(&said).count() == said.matches(": error: ").count() + said.matches(": warning: ").count();
        if !missing.is_empty() || !placed || check.status.code() != Some(i32::from(fails)) {
            wrong.push_str(&format!("--- {}: not said: {missing:?}\n{}\n", path.display(), describe(&check)));
        }
    }
    assert!(files >= 15 && wrong.is_empty(), "{wrong}");
}
