//! Output of the demo, in order of appearance.

use std::io;

use anyhow::{Result, bail};
use divvy_demo::screen::{Look, Screen};

use crate::Args;
use crate::stage::{ACCESS_LOG, Stage, Verdict, read_configuration};
use crate::tour::{Step, Tour};
use crate::watch::Watch;

/// Prints everything; runs until the demo is ended.
pub async fn everything(
    args: &Args,
    stage: &mut Stage,
    configuration: &str,
    bytes: Vec<u8>,
) -> Result<()> {
    let screen = &mut Screen::new();
    let file = args.config.display().to_string();
    introduce(screen, stage, &file)?;

    let verdict = stage.first_verdict().await?;
    let tour = Tour::new(stage.edge, configuration);
    let steps = tour.steps(&stage.envoy).await?;
    report(screen, stage, &file, configuration, verdict).await?;
    if let Some(header) = tour.response_header() {
        screen.gap()?;
        let hint =
            format!("Try these commands. With -i, curl also prints the decision ({header}).");
        screen.text(Look::Plain, 0, &hint)?;
    }
    for step in &steps {
        print(screen, step)?;
    }
    screen.gap()?;
    screen.text(
        Look::Bold,
        0,
        &format!(
            "Edit {file}: Envoy's verdict on each save is printed here. Ctrl-C ends the demo."
        ),
    )?;
    watch(screen, stage, args, &file, bytes).await
}

fn print(screen: &mut Screen, step: &Step) -> io::Result<()> {
    screen.gap()?;
    screen.text(Look::Dim, 2, &format!("# {}", step.title))?;
    screen.line(Look::Bold, &format!("  {}", step.command))?;
    for line in &step.answer {
        screen.line(Look::Plain, &format!("  {line}"))?;
    }
    if let Some(fault) = &step.fault {
        screen.line(Look::Bad, &format!("  unexpected: {fault}"))?;
    }
    Ok(())
}

fn introduce(screen: &mut Screen, stage: &Stage, file: &str) -> io::Result<()> {
    let shops: Vec<_> = stage
        .shops
        .iter()
        .map(|shop| format!("{} on {}", shop.version(), shop.addr().port()))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    let envoy = &stage.version;
    screen.line(Look::Bold, &format!("divvy {version} in Envoy {envoy}"))?;
    screen.gap()?;
    for (what, value) in [
        ("shop", format!("http://{}", stage.edge)),
        ("versions", shops.join(", ")),
        ("admin", format!("http://{}", stage.envoy.admin())),
        ("configuration", file.to_owned()),
        ("live page", format!("divvy ui {file}")),
        ("access log", format!("{ACCESS_LOG} (written every 10 s)")),
    ] {
        screen.line(Look::Plain, &format!("  {what:<14} {value}"))?;
    }
    screen.gap()
}

/// Reports every save, and what divvy logs about rollouts; ends with Envoy.
async fn watch(
    screen: &mut Screen,
    stage: &mut Stage,
    args: &Args,
    file: &str,
    bytes: Vec<u8>,
) -> Result<()> {
    let mut watch = Watch::new(&args.config, bytes);
    let mut mark = stage.envoy.log_mark();
    loop {
        let saved = tokio::select! {
            saved = watch.change() => saved,
            (events, next) = stage.events(mark) => {
                mark = next;
                for event in events {
                    screen.text(Look::Bad, 0, &format!("log of divvy: {event}"))?;
                }
                continue;
            }
            () = stage.envoy.wait_for_exit() => bail!("Envoy stopped unexpectedly"),
        };
        screen.gap()?;
        let configuration = match read_configuration(saved) {
            Ok(configuration) => configuration,
            Err(error) => {
                screen.text(Look::Bad, 0, &format!("{file}: {error:#}"))?;
                screen.text(
                    Look::Plain,
                    2,
                    "Nothing was pushed; the previous configuration stays active.",
                )?;
                continue;
            }
        };
        let verdict = stage.push(&configuration).await?;
        let accepted = verdict == Verdict::Accepted;
        // Before the report: the gauges of a configuration that Envoy reactivates change with the
        // first request.
        let split = match accepted {
            true => Some(Tour::new(stage.edge, &configuration).split().await?),
            false => None,
        };
        report(screen, stage, file, &configuration, verdict).await?;
        if let Some(split) = split {
            screen.text(Look::Plain, 2, &split)?;
        }
    }
}

/// Prints a verdict.
async fn report(
    screen: &mut Screen,
    stage: &Stage,
    file: &str,
    configuration: &str,
    verdict: Verdict,
) -> Result<()> {
    let (look, headline, reasons) = match verdict {
        Verdict::Accepted => {
            let hash = stage.gauge("divvy_config_hash").await?;
            let version = version_of(configuration);
            let headline = format!("accepted: version {version}, hash {:08x}", hash as u32);
            (Look::Good, headline, Vec::new())
        }
        Verdict::Unchanged => {
            let headline = "no change: equal to the active configuration".to_owned();
            (Look::Plain, headline, Vec::new())
        }
        Verdict::Inert(reasons) => {
            let headline = "accepted, but inert: it has errors, and this Envoy has no earlier \
                            valid one. divvy decides nothing, all users get stable \
                            (divvy_config_inert is 1).";
            (Look::Bad, headline.to_owned(), reasons)
        }
        Verdict::Refused(reasons) => {
            let headline = "refused: the previous configuration stays active.".to_owned();
            (Look::Bad, headline, reasons)
        }
    };
    screen.text(look, 0, &format!("{file}: {headline}"))?;
    for reason in reasons {
        screen.text(Look::Plain, 2, &reason)?;
    }
    Ok(())
}

/// The `version` of the configuration.
fn version_of(configuration: &str) -> String {
    let parsed: serde_json::Value = serde_json::from_str(configuration).unwrap_or_default();
    match parsed["version"].as_str() {
        Some(version) => format!("{version:?}"),
        None => "none".to_owned(),
    }
}
