//! The command line: one file a verb. Results go to stdout, everything else to stderr; the exit status
//! is 0 where all is well, 1 where the check or the work failed, 2 where the command line is wrong.

mod adapters;
mod check;
mod common;
mod completions;
mod demo;
mod duration;
mod grants;
mod log;
mod man;
mod profiles;
mod public;
mod secret;
mod serve;
mod setup;
mod token;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// SCIM 2.0 for a legacy application, in front of its own SQL database.
#[derive(Parser)]
#[command(name = "scimshim", version, about, propagate_version = true, disable_help_subcommand = true)]
struct CommandLine {
    /// The configuration [default: $SCIMSHIM_CONFIG, else /etc/scimshim/config.yaml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// A complete instance on an embedded SQLite "legacy application"
    Demo(demo::Arguments),
    /// Print scimshim's own tables as SQL and the GRANTs that the adapter needs, or create the tables
    Setup(setup::Arguments),
    /// Validate configuration and adapter, against the live database too
    Check(check::Arguments),
    /// Run the service
    Serve,
    /// Issue, rotate, list and revoke bearer tokens
    #[command(subcommand)]
    Token(token::Verb),
    /// Turn a password into what the configuration keeps instead of it
    #[command(subcommand)]
    Secret(secret::Verb),
    /// The journal: who asked for what, and which rows that changed, before and after
    Log(log::Arguments),
    /// List the adapters found, or one adapter's parameters
    Adapters(adapters::Arguments),
    /// Print what a shell needs to complete this command line
    Completions(completions::Arguments),
    /// Print a manual page, or write all of them into a folder
    Man(man::Arguments),
}

/// Runs the verb that the command line names.
pub fn main() -> ExitCode {
    let CommandLine { config, verb } = CommandLine::parse();
    let done = match verb {
        Verb::Demo(arguments) => demo::run(&arguments),
        Verb::Setup(arguments) => setup::run(config, &arguments),
        Verb::Check(arguments) => check::run(config, &arguments),
        Verb::Serve => serve::run(config),
        Verb::Token(verb) => token::run(config, &verb),
        Verb::Secret(verb) => secret::run(&verb),
        Verb::Log(arguments) => log::run(config, &arguments),
        Verb::Adapters(arguments) => adapters::run(config, &arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
