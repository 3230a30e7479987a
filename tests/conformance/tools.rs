//! The programs that `scripts/tools` installs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::support::{file, repository};

/// The folder with all of them; installed now if nobody did before.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let output = Command::new(file("scripts/tools"))
            .current_dir(repository())
            .env("CARGO_TARGET_DIR", target())
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("scripts/tools runs");
        assert!(output.status.success(), "scripts/tools: {}: run scripts/need test", output.status);
        PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim_end())
    })
}

/// Cargo's target folder: where this very program stands, without `quick/deps`.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("a path");
    program.ancestors().nth(3).expect("target/PROFILE/deps/PROGRAM").to_owned()
}

/// A program of the Python tools.
pub fn python(program: &str) -> Command {
    let mut command = Command::new(folder().join("python/bin").join(program));
    // What a developer has set for other projects is not for this one.
    command.env("PYTHONNOUSERSITE", "1").env_remove("PYTHONPATH").env_remove("PYTHONHOME").env("NO_COLOR", "1");
    command.env("NO_PROXY", "*").stdin(Stdio::null());
    command
}

/// node, with the npm tools to be found by `require`.
#[allow(dead_code, reason = "tests/providers has this module too")]
pub fn node() -> Command {
    let mut command = Command::new("node");
    command.env("NODE_PATH", folder().join("node/node_modules")).env_remove("NODE_OPTIONS").stdin(Stdio::null());
    command
}
