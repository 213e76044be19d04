//! What somebody sees who runs the demo, in the order in which it appears.

use std::io;

use anyhow::{Result, bail, ensure};

use crate::args::Args;
use crate::screen::{Look, Screen};
use crate::stage::{ACCESS_LOG, Stage, Verdict, read_configuration};
use crate::tour::{Step, Tour};
use crate::watch::Watch;

/// Everything there is to see, until somebody ends it.
pub async fn everything(
    args: &Args,
    stage: &mut Stage,
    configuration: &str,
    bytes: Vec<u8>,
) -> Result<()> {
    let screen = Screen::new();
    let file = args.config.display().to_string();
    introduce(&screen, stage, &file)?;

    let verdict = stage.first_verdict().await?;
    let accepted = verdict == Verdict::Accepted;
    let tour = Tour::new(stage.edge, configuration);
    let steps = tour.steps(&stage.envoy).await?;
    report(&screen, stage, &file, configuration, verdict).await?;
    if let Some(header) = tour.response_header() {
        screen.gap()?;
        let hint = format!("Try these. With -i curl shows the decision as well ({header}).");
        screen.text(Look::Plain, 0, &hint)?;
    }
    for step in &steps {
        print(&screen, step)?;
    }
    screen.gap()?;
    if args.check {
        ensure!(accepted, "{file} is not in force");
        for step in steps {
            if let Some(fault) = step.fault {
                bail!("{}: {fault}", step.title);
            }
        }
        screen.line(Look::Good, "checked: all of this was really answered")?;
        return Ok(());
    }
    screen.text(
        Look::Bold,
        0,
        &format!("Edit {file}: Envoy's verdict on each save shows here. Ctrl-C ends it."),
    )?;
    watch(&screen, stage, args, &file, bytes).await
}

fn print(screen: &Screen, step: &Step) -> io::Result<()> {
    screen.gap()?;
    screen.text(Look::Dim, 2, &format!("# {}", step.title))?;
    screen.line(Look::Bold, &format!("  {}", step.command))?;
    for line in &step.answer {
        screen.line(Look::Plain, &format!("  {line}"))?;
    }
    Ok(())
}

fn introduce(screen: &Screen, stage: &Stage, file: &str) -> io::Result<()> {
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
        ("behind it", shops.join(", ")),
        ("admin", format!("http://{}", stage.envoy.admin())),
        ("configuration", file.to_owned()),
        ("access log", format!("{ACCESS_LOG} (written every 10 s)")),
    ] {
        screen.line(Look::Plain, &format!("  {what:<14} {value}"))?;
    }
    screen.gap()
}

/// Reports every save, and ends when Envoy does.
async fn watch(
    screen: &Screen,
    stage: &mut Stage,
    args: &Args,
    file: &str,
    bytes: Vec<u8>,
) -> Result<()> {
    let mut watch = Watch::new(&args.config, bytes);
    loop {
        let saved = tokio::select! {
            saved = watch.change() => saved,
            () = stage.envoy.ended() => bail!("it was not we who stopped it"),
        };
        screen.gap()?;
        let configuration = match read_configuration(saved) {
            Ok(configuration) => configuration,
            Err(error) => {
                screen.text(Look::Bad, 0, &format!("{file}: {error:#}"))?;
                screen.text(
                    Look::Plain,
                    2,
                    "Nothing was pushed; what was in force still is.",
                )?;
                continue;
            }
        };
        let verdict = stage.push(&configuration).await?;
        let accepted = verdict == Verdict::Accepted;
        // Asked before the report: a configuration that Envoy takes up again shows itself in the
        // gauges with the first request.
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

/// One verdict, in words.
async fn report(
    screen: &Screen,
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
            let headline = "no change: it says what is in force already".to_owned();
            (Look::Plain, headline, Vec::new())
        }
        Verdict::Inert(reasons) => {
            let headline = "accepted, but inert: it is wrong, and this Envoy never had a good \
                            one. divvy decides nothing, everybody is served stable \
                            (divvy_config_inert is 1).";
            (Look::Bad, headline.to_owned(), reasons)
        }
        Verdict::Refused(reasons) => {
            let headline = "refused: what was in force still is.".to_owned();
            (Look::Bad, headline, reasons)
        }
    };
    screen.text(look, 0, &format!("{file}: {headline}"))?;
    for reason in reasons {
        screen.text(Look::Plain, 2, &reason)?;
    }
    Ok(())
}

/// The version that the configuration gives itself.
fn version_of(configuration: &str) -> String {
    let parsed: serde_json::Value = serde_json::from_str(configuration).unwrap_or_default();
    match parsed["version"].as_str() {
        Some(version) => format!("{version:?}"),
        None => "not given".to_owned(),
    }
}
