//! The `divvy` command line: one module for each verb, all on the filter's own core.
//!
//! Nothing here decides: versions, shares, verdicts and configuration errors come from the
//! `divvy` crate, compiled natively. The page has the verbs that need neither network nor files of
//! a machine, compiled for WASI.

#[cfg(not(target_family = "wasm"))]
pub mod admission;
pub mod analyze;
pub mod check;
#[cfg(not(target_family = "wasm"))]
pub mod convert;
pub mod diff;
pub mod environment;
pub mod explain;
pub mod finding;
#[cfg(not(target_family = "wasm"))]
pub mod init;
pub mod keys;
pub mod limits;
pub mod manifest;
mod near;
pub mod output;
mod palette;
pub mod place;
mod population;
mod progress;
#[cfg(not(target_family = "wasm"))]
pub mod promote;
mod raw;
pub mod render;
pub mod schema;
#[cfg(not(target_family = "wasm"))]
pub mod sign;
pub mod simulate;
pub mod source;
mod statistics;
#[cfg(not(target_family = "wasm"))]
pub mod top;
#[cfg(not(target_family = "wasm"))]
pub mod ui;
#[cfg(not(target_family = "wasm"))]
pub mod verify;
pub mod warnings;

use std::io;
use std::process::ExitCode;
#[cfg(not(target_family = "wasm"))]
use std::{fs, io::Write as _, path::PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};
use output::Format;

/// Checks divvy configurations, explains decisions, and shows the effect of a change
#[derive(Debug, Parser)]
#[command(name = "divvy", version, max_term_width = 100)]
pub struct Cli {
    /// Output format: text for people or JSON for programs
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub output: Format,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Reports errors and warnings in configurations
    Check(check::CheckArgs),
    /// Shows the version of a request, and each step of the decision
    Explain(explain::ExplainArgs),
    /// Lists the users who change version when one configuration replaces another
    Diff(diff::DiffArgs),
    /// Reports the versions of many users, and simulates guardrails
    Simulate(simulate::SimulateArgs),
    /// Computes the results of an A/B test from access logs
    Analyze(Box<analyze::AnalyzeArgs>),
    /// Converts the routes and releases of other systems into a configuration
    #[cfg(not(target_family = "wasm"))]
    Convert(convert::ConvertArgs),
    /// Passes a gate of a release: adds it to the configuration in a file
    #[cfg(not(target_family = "wasm"))]
    Promote(promote::PromoteArgs),
    /// Prints the JSON Schema of a configuration, for editors
    Schema(schema::SchemaArgs),
    /// Writes a first configuration, from flags or answers
    #[cfg(not(target_family = "wasm"))]
    Init(init::InitArgs),
    /// Produces what Envoy, Istio or Envoy Gateway needs around a configuration
    Render(render::RenderArgs),
    /// Makes overrides, signed cookies and keys
    #[cfg(not(target_family = "wasm"))]
    Sign(sign::SignArgs),
    /// Checks the signature of an override or a cookie
    #[cfg(not(target_family = "wasm"))]
    Verify(verify::VerifyArgs),
    /// Shows traffic, shares and guardrails of running proxies
    #[cfg(not(target_family = "wasm"))]
    Top(top::TopArgs),
    /// Serves a page for browsers: edit, ask, see, and what running proxies do
    #[cfg(not(target_family = "wasm"))]
    Ui(Box<ui::UiArgs>),
    /// Answers the Kubernetes API server: refuses objects with invalid configurations
    #[cfg(not(target_family = "wasm"))]
    Admission(admission::AdmissionArgs),
    /// Prints completions for a shell
    #[cfg(not(target_family = "wasm"))]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Writes the manual pages of all commands to a folder
    #[cfg(not(target_family = "wasm"))]
    Man {
        /// The folder; it is created if it does not exist
        folder: PathBuf,
    },
}

/// Runs the command line. Exit code: 0 without findings, 1 with findings, 2 if the command
/// failed.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.output == Format::Markdown && !matches!(cli.verb, Verb::Diff(_)) {
        let message = "--output markdown works only with divvy diff";
        Cli::command()
            .error(ErrorKind::InvalidValue, message)
            .exit();
    }
    let result = run(&cli);
    result.unwrap_or_else(|error| {
        // The reader of a pipe has read enough, as `head` does.
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        anstream::eprintln!("divvy: {error:#}");
        ExitCode::from(2)
    })
}

/// Runs the verb of a command line without its first word.
pub fn run_words(words: &[&str]) -> anyhow::Result<ExitCode> {
    run(&read_words(words)?)
}

/// Reads a command line without its first word.
pub fn read_words(words: &[&str]) -> anyhow::Result<Cli> {
    let words = std::iter::once(&"divvy").chain(words);
    Ok(Cli::try_parse_from(words)?)
}

/// Runs a verb.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.verb {
        Verb::Check(args) => check::run(args, cli.output),
        Verb::Diff(args) => diff::run(args, cli.output),
        Verb::Explain(args) => explain::run(args, cli.output),
        Verb::Simulate(args) => simulate::run(args, cli.output),
        Verb::Analyze(args) => analyze::run(args, cli.output),
        #[cfg(not(target_family = "wasm"))]
        Verb::Convert(args) => convert::run(args, cli.output),
        #[cfg(not(target_family = "wasm"))]
        Verb::Promote(args) => promote::run(args, cli.output),
        Verb::Schema(args) => schema::run(args),
        #[cfg(not(target_family = "wasm"))]
        Verb::Init(args) => init::run(args, cli.output),
        Verb::Render(args) => render::run(args, cli.output),
        #[cfg(not(target_family = "wasm"))]
        Verb::Sign(args) => sign::run(args, cli.output),
        #[cfg(not(target_family = "wasm"))]
        Verb::Verify(args) => verify::run(args, cli.output),
        #[cfg(not(target_family = "wasm"))]
        Verb::Top(args) => top::run(args, cli.output),
        #[cfg(not(target_family = "wasm"))]
        Verb::Ui(args) => ui::run(args, cli.output),
        #[cfg(not(target_family = "wasm"))]
        Verb::Admission(args) => admission::run(args, cli.output),
        #[cfg(not(target_family = "wasm"))]
        Verb::Completions { shell } => {
            // It panics if it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "divvy", &mut script);
            io::stdout().write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(not(target_family = "wasm"))]
        Verb::Man { folder } => {
            fs::create_dir_all(folder)?;
            clap_mangen::generate_to(Cli::command(), folder)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
