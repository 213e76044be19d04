//! The proxies as text for a terminal.

use std::fmt::Write as _;

use super::view::{FleetView, VersionView};
use crate::palette::{BAD, BOLD, DIM, GOOD, version as version_style};

const BAR: usize = 20;

/// The view as lines with colours.
pub fn text(view: &FleetView) -> String {
    let mut out = String::new();
    for proxy in &view.proxies {
        let (style, state) = match (&proxy.error, &proxy.hash) {
            (Some(_), _) => (BAD, "does not answer".to_owned()),
            (None, None) => (BAD, "no divvy metrics".to_owned()),
            (None, Some(hash)) if proxy.inert => (BAD, format!("configuration {hash}, invalid")),
            (None, Some(hash)) => (GOOD, format!("configuration {hash}")),
        };
        let _ = writeln!(out, "{style}{state}{style:#}  {DIM}{}{DIM:#}", proxy.url);
    }
    let of = match view.seconds {
        Some(seconds) => format!("last {seconds:.1} s"),
        None => "since the proxies started".to_owned(),
    };
    let _ = writeln!(out, "{DIM}{of}{DIM:#}");
    for (name, rollout) in &view.rollouts {
        let _ = writeln!(
            out,
            "\n{BOLD}{name:<22}{BOLD:#} {:>8} {:>8}  {:<BAR$} {:>9} {:>7} {:>8} {:>8}",
            "weight",
            "requests",
            "",
            if view.seconds.is_some() {
                "req/s"
            } else {
                "requests"
            },
            "errors",
            "p50",
            "p95",
        );
        for (index, (name, version)) in rollout.versions.iter().enumerate() {
            let _ = writeln!(out, "{}", line(index, name, version));
        }
        let reasons = rollout.reasons.iter().filter(|(_, count)| **count > 0.0);
        let reasons: Vec<_> = reasons
            .map(|(reason, count)| format!("{reason} {count:.0}"))
            .collect();
        if !reasons.is_empty() {
            let _ = writeln!(out, "  {DIM}{}{DIM:#}", reasons.join(", "));
        }
    }
    let findings = view.findings();
    if !findings.is_empty() {
        out.push('\n');
    }
    for finding in findings {
        let _ = writeln!(out, "{BAD}{finding}{BAD:#}");
    }
    out
}

fn line(index: usize, name: &str, version: &VersionView) -> String {
    let style = version_style(index);
    let percent = |share: f64| format!("{share:.2} %");
    let filled = (version.seen / 100.0 * BAR as f64).round() as usize;
    let filled = filled.min(BAR);
    let bar = "█".repeat(filled) + &"░".repeat(BAR - filled);
    let answered: f64 = version.classes.values().sum();
    let failed: f64 = ["5xx", "grpc_error", "reset"]
        .iter()
        .filter_map(|class| version.classes.get(*class))
        .sum();
    let errors = if answered > 0.0 {
        percent(failed / answered * 100.0)
    } else {
        "-".to_owned()
    };
    let millis =
        |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1} ms"));
    let count = match version.rate {
        Some(rate) => format!("{rate:.1}"),
        None => format!("{:.0}", version.requests),
    };
    let state = match (version.rolled_back, version.frozen) {
        (0, 0) => String::new(),
        (0, _) => format!("  {BAD}frozen{BAD:#}"),
        _ => format!("  {BAD}rolled back{BAD:#}"),
    };
    format!(
        "  {style}{name:<20}{style:#} {:>8} {:>8}  {style}{bar}{style:#} {count:>9} {errors:>7} {:>8} \
         {:>8}{state}",
        version.weight.map_or("-".to_owned(), percent),
        percent(version.seen),
        millis(version.p50),
        millis(version.p95),
    )
}
