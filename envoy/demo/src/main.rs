//! `make run`: the demo shop, three versions of it, behind a real Envoy with divvy in it.
//!
//! Prints what runs and what to try, watches the configuration and reports what Envoy said of
//! every save, until Ctrl-C or SIGTERM ends everything. Whatever goes wrong is one line.

mod args;
mod screen;
mod show;
mod stage;
mod tour;
mod watch;

use std::fs;
use std::io;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use args::{Args, USAGE};
use stage::{Stage, read_configuration};

#[tokio::main]
async fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("divvy-demo: {mistake}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The causes in one line, and no backtrace whatever RUST_BACKTRACE says.
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

    // Dropping a start that is under way kills what it had started.
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
        // Whatever failed then failed because of this.
        (Err(error), Some(exit)) => Err(error.context(format!("Envoy ended with {exit}"))),
        (ending, _) => ending,
    }
}

/// The ways in which people and programs ask for the end.
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
