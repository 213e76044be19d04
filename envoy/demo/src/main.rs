//! `make run`: three versions of the demo shop behind a real Envoy with divvy.
//!
//! Prints addresses and commands to try, watches the configuration file and reports Envoy's verdict
//! on each save, until Ctrl-C or SIGTERM. Every error is one line.

mod show;
mod stage;
mod tour;
mod watch;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};

use stage::{Stage, read_configuration};

/// The demo shop behind a real Envoy with divvy.
///
/// ENVOY names the Envoy to run; the default is the one that `make envoy` fetched.
#[derive(Debug, Parser)]
#[command(name = "divvy-demo")]
pub struct Args {
    /// Configuration to serve and watch
    #[arg(long, value_name = "FILE", default_value = "envoy/divvy.yaml")]
    pub config: PathBuf,
    /// func-e program that starts Envoy
    #[arg(long, value_name = "PATH")]
    pub func_e: Option<PathBuf>,
    /// Run the native module, target/libdivvy.so, in place of target/divvy.wasm
    #[arg(long)]
    pub module: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // All causes in one line, never a backtrace.
            eprintln!("divvy-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<()> {
    let mut signals = Signals::new()?;
    let file = args.config.display();
    let bytes = fs::read(&args.config).with_context(|| format!("cannot read {file}"))?;
    let configuration = read_configuration(&bytes).with_context(|| file.to_string())?;

    // Dropping an unfinished start ends the processes that it started.
    let mut stage = tokio::select! {
        stage = Stage::start(args, &configuration) => stage?,
        () = signals.any() => return Ok(()),
    };
    let ending = tokio::select! {
        shown = show::everything(args, &mut stage, &configuration, bytes) => shown,
        () = signals.any() => Ok(()),
    };
    let exit = stage.envoy.exit();
    stage.stop().await;
    match (ending, exit) {
        // The end of Envoy is the cause of the error.
        (Err(error), Some(exit)) => Err(error.context(format!("Envoy ended with {exit}"))),
        (ending, _) => ending,
    }
}

/// Signals that end the demo.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> io::Result<Signals> {
        let [int, term, hup] = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ]
        .map(signal);
        Ok(Signals([int?, term?, hup?]))
    }

    async fn any(&mut self) {
        let [int, term, hup] = &mut self.0;
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hup.recv() => {}
        }
    }
}
