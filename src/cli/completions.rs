//! `scimshim completions`: what a shell needs to complete the command line. It is made from the same definitions as the
//! command line itself, so the two cannot differ.

use super::CommandLine;
use super::common::{Failure, print};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// What may be asked.
#[derive(Args)]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the completions of a shell.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    print(script(arguments.shell).trim_end())
}

fn script(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "scimshim", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_is_completed_in_every_shell() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            for verb in CommandLine::command().get_subcommands() {
                assert!(script.contains(verb.get_name()), "{shell}: {}", verb.get_name());
            }
            assert!(script.contains("rotate-key") && script.contains("overlap"), "{shell}");
        }
    }
}
