//! The command line `divvy`, as a process.

use std::env;
use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

/// Set in processes that are the command line.
const MARK: &str = "DIVVY_LAB_COMMAND_LINE";

/// Whether this process is to be the command line: the test binary contains it, because cargo builds programs of
/// other packages for no test.
#[must_use]
pub fn is_meant() -> bool {
    env::var_os(MARK).is_some()
}

/// A command that runs `divvy` with these arguments.
pub fn divvy(arguments: &[OsString]) -> Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments).env(MARK, "1");
    Ok(command)
}
