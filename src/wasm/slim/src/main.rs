//! `divvy-slim IN.wasm OUT.wasm`: makes the deployable filter from the linked module.
//!
//! Removes exports that Envoy does not need, unreachable code, names and debug sections, and
//! refuses a module that Envoy would not load.

mod contract;
mod slim;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, process};

use clap::Parser;

/// Makes the deployable filter from the linked module
#[derive(Debug, Parser)]
#[command(name = "divvy-slim")]
struct Args {
    /// The module as the linker wrote it
    input: PathBuf,
    /// The deployable module
    output: PathBuf,
    /// Maximum size of the deployable module: every proxy downloads and compiles it
    #[arg(long, value_name = "BYTES", default_value_t = 720_000)]
    limit: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
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
    let output = slim::slim(&input, args.limit)
        .map_err(|refusal| format!("{}: {refusal}", args.input.display()))?;
    write_atomically(&args.output, &output)
        .map_err(|error| format!("cannot write {}: {error}", args.output.display()))?;
    Ok((input.len(), output.len()))
}

/// Writes by rename: an Envoy that watches the file never reads a partial module.
fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", process::id()));
    let temporary = PathBuf::from(name);
    fs::write(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            // The first error is the one to report.
            let _ = fs::remove_file(&temporary);
        })
}
