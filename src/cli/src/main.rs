//! `divvy`, the operator's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    divvy_cli::main()
}
