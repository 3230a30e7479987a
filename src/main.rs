//! The binary: hands the command line over to [`scimshim::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    scimshim::cli::main()
}
