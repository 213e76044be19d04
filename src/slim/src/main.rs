//! `divvy-slim IN.wasm OUT.wasm`: from what the linker made to what is
//! deployed.
//!
//! This tool drops the exports that nobody calls, collects the garbage, removes names and
//! debug sections, says which way branches go, and refuses a module that Envoy would not load.

mod args;
mod contract;
mod slim;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, process};

use args::{Args, USAGE};
use divvy_slim::branches::Table;

fn main() -> ExitCode {
    let args = match Args::parse(env::args_os().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("divvy-slim: {mistake}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&args) {
        Ok((before, after)) => {
            println!(
                "{}: {before} -> {after} bytes (limit {})",
                args.output.display(),
                args.limit
            );
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("divvy-slim: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Sizes before and after, in bytes.
fn run(args: &Args) -> Result<(usize, usize), String> {
    let input = fs::read(&args.input)
        .map_err(|error| format!("cannot read {}: {error}", args.input.display()))?;
    let branches = match &args.branches {
        Some(path) => fs::read_to_string(path)
            .map_err(|error| error.to_string())
            .and_then(|text| text.parse())
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        None => Table::default(),
    };
    let output = slim::slim(&input, &branches, args.limit)
        .map_err(|refusal| format!("{}: {refusal}", args.input.display()))?;
    write_atomically(&args.output, &output)
        .map_err(|error| format!("cannot write {}: {error}", args.output.display()))?;
    Ok((input.len(), output.len()))
}

/// A running Envoy may watch the file: it sees the old module or the new one,
/// never half of one.
fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", process::id()));
    let temporary = PathBuf::from(name);
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            // Best effort: the first error is the one worth reporting.
            let _ = fs::remove_file(&temporary);
        })
}
