//! `divvy`, the operator's command line: the filter's own core, built natively, asked by
//! people. One verb a file.

pub mod check;
pub mod diff;
pub mod explain;
pub mod finding;
mod near;
mod population;
pub mod schema;
pub mod simulate;
pub mod source;
pub mod top;
pub mod warnings;

use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};

/// divvy's command line: checks configurations, explains decisions, shows what a change does
#[derive(Debug, Parser)]
#[command(name = "divvy", version, max_term_width = 100)]
pub struct Cli {
    /// What is printed: text for people or JSON for programs
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

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
    /// For pull requests: diff alone has it.
    Markdown,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Is this right?
    Check(check::Check),
    /// Why did this user get that version?
    Explain(explain::Explain),
    /// What happens if this is merged?
    Diff(diff::Diff),
    /// What will many users get?
    Simulate(simulate::Simulate),
    /// The shape of a configuration, for editors
    Schema(schema::Schema),
    /// What do the proxies do right now?
    Top(top::Top),
    /// Prints the completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to complain about.
    Fine,
    /// Something was found.
    Findings,
}

impl Outcome {
    /// Whether something was found.
    pub const fn findings(found: bool) -> Self {
        if found { Self::Findings } else { Self::Fine }
    }
}

/// Runs the command line: 0 if all is well, 1 if something was found, 2 if it cannot be done.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.output == Format::Markdown && !matches!(cli.verb, Verb::Diff(_)) {
        let message = "markdown is an output of divvy diff alone";
        Cli::command()
            .error(ErrorKind::InvalidValue, message)
            .exit();
    }
    let result = match &cli.verb {
        Verb::Check(args) => check::run(args, cli.output),
        Verb::Diff(args) => diff::run(args, cli.output),
        Verb::Explain(args) => explain::run(args, cli.output),
        Verb::Simulate(args) => simulate::run(args, cli.output),
        Verb::Schema(args) => schema::run(args),
        Verb::Top(args) => top::run(args, cli.output),
        Verb::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "divvy", &mut io::stdout());
            Ok(Outcome::Fine)
        }
    };
    match result {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(1),
        // Whoever reads has enough, as `head` has.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("divvy: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
