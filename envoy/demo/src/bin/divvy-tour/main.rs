//! `make demo`: a guided tour of what divvy does, in a real Envoy with load running.
//!
//! Each chapter pushes a configuration, watches what becomes of the users, and ends with figures
//! that have to hold: where one does not, the tour ends with exit code 1. On a terminal a chapter
//! moves; elsewhere it prints its last frame. `DEMO_FAST=1` makes the chapters short, and `--svg
//! FILE` leaves a picture of what was seen.

mod chapters;
mod draw;
mod load;
mod screen;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

use screen::{Look, Screen};

const USAGE: &str =
    "usage: divvy-tour [--svg FILE]   (ENVOY names the Envoy, DEMO_FAST=1 shortens it)";

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let svg: Option<PathBuf> = match (args.next(), args.next(), args.next()) {
        (None, ..) => None,
        (Some(flag), Some(file), None) if flag == "--svg" => Some(file.into()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let fast = std::env::var_os("DEMO_FAST").is_some_and(|value| value == "1");
    let mut screen = Screen::new(fast);
    let ending = tokio::select! {
        ending = tour(&mut screen) => ending,
        // Dropping the tour kills whatever it had started.
        ending = interrupted() => ending.and_then(|()| {
            // Below the frame that stood there.
            screen.gap();
            bail!("interrupted")
        }),
    };
    let ending = ending.and_then(|all_held| {
        if let Some(file) = svg {
            std::fs::write(&file, screen.svg()).with_context(|| file.display().to_string())?;
        }
        Ok(all_held)
    });
    match ending {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("divvy-tour: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn interrupted() -> Result<()> {
    let mut int = signal(SignalKind::interrupt())?;
    let mut term = signal(SignalKind::terminate())?;
    // The terminal was closed.
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// All chapters, and whether every figure held.
async fn tour(screen: &mut Screen) -> Result<bool> {
    let figures = chapters::all(screen).await?;
    screen.gap();
    screen.line(Look::Bold, "What was seen");
    for figure in &figures {
        let (mark, look) = if figure.holds {
            ("ok ", Look::Good)
        } else {
            ("OFF", Look::Bad)
        };
        screen.line(
            look,
            &format!("  {mark} {:<34} {}", figure.what, figure.seen),
        );
    }
    let held = figures.iter().filter(|figure| figure.holds).count();
    let off = figures.len() - held;
    screen.gap();
    // In the form of a test's last line, which CI adds up.
    let verdict = if off == 0 { "ok" } else { "FAILED" };
    screen.line(
        Look::Plain,
        &format!("demo result: {verdict}. {held} passed; {off} failed;"),
    );
    Ok(off == 0)
}
