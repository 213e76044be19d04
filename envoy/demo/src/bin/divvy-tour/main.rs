//! `make demo`: a guided tour of divvy in a real Envoy under load.
//!
//! Each chapter pushes a configuration, shows its effect on the users and checks figures; if one
//! is out of range, the exit code is 1. Without a terminal only the last frame of each chapter is
//! printed. `DEMO_FAST=1` shortens the chapters; `--svg FILE` writes a picture of the output.

mod chapters;
mod draw;
mod load;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use divvy_demo::screen::{Look, Screen};
use tokio::signal::unix::{SignalKind, signal};

/// A guided tour of divvy in a real Envoy.
///
/// ENVOY names the Envoy to run; DEMO_FAST=1 shortens the tour.
#[derive(Debug, Parser)]
#[command(name = "divvy-tour")]
struct Args {
    /// Write a picture of the output
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let mut screen = Screen::new();
    let result = tokio::select! {
        result = tour(&mut screen) => result,
        // Dropping the tour ends all processes that it started.
        result = interrupted() => result.and_then(|()| {
            // Below the last frame.
            screen.gap()?;
            bail!("interrupted")
        }),
    };
    let result = result.and_then(|passed| {
        if let Some(file) = args.svg {
            std::fs::write(&file, screen.svg()).with_context(|| file.display().to_string())?;
        }
        Ok(passed)
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("divvy-tour: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for Ctrl-C, SIGTERM or the end of the terminal.
async fn interrupted() -> Result<()> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// All chapters. Returns whether every figure was in range.
async fn tour(screen: &mut Screen) -> Result<bool> {
    let figures = chapters::all(screen).await?;
    screen.gap()?;
    screen.line(Look::Bold, "Results")?;
    for figure in &figures {
        let (mark, look) = if figure.in_range {
            ("ok ", Look::Good)
        } else {
            ("OFF", Look::Bad)
        };
        let text = format!("  {mark} {:<34} {}", figure.name, figure.value);
        screen.line(look, &text)?;
    }
    let passed = figures.iter().filter(|figure| figure.in_range).count();
    let failed = figures.len() - passed;
    screen.gap()?;
    // The format of a test's last line, which CI sums up.
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    screen.line(
        Look::Plain,
        &format!("demo result: {verdict}. {passed} passed; {failed} failed;"),
    )?;
    Ok(failed == 0)
}

/// Duration of a chapter: a quarter with `DEMO_FAST=1`.
fn pace(usual: Duration) -> Duration {
    let fast = std::env::var_os("DEMO_FAST").is_some_and(|value| value == "1");
    if fast { usual / 4 } else { usual }
}

/// Pause between two requests, so that a person can follow.
async fn pause(usual: Duration) {
    tokio::time::sleep(pace(usual)).await;
}
