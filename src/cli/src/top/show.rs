//! A view as text for a terminal.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::view::{Version, View};

const BAR: usize = 20;

/// The view as lines. Colours are for whoever prints it to take out where they do not belong.
pub fn text(view: &View) -> String {
    let [bold, dim] = [Style::new().bold(), Style::new().dimmed()];
    let [good, bad] = [AnsiColor::Green, AnsiColor::Red].map(|colour| colour.on_default());
    let mut out = String::new();
    for proxy in &view.proxies {
        let (style, state) = match (&proxy.error, &proxy.hash) {
            (Some(_), _) => (bad, "does not answer".to_owned()),
            (None, None) => (bad, "no divvy".to_owned()),
            (None, Some(hash)) if proxy.inert => (bad, format!("configuration {hash}, inert")),
            (None, Some(hash)) => (good, format!("configuration {hash}")),
        };
        let _ = writeln!(out, "{style}{state}{style:#}  {dim}{}{dim:#}", proxy.url);
    }
    let of = match view.seconds {
        Some(seconds) => format!("the last {seconds:.1} s"),
        None => "since the proxies started".to_owned(),
    };
    let _ = writeln!(out, "{dim}{of}{dim:#}");
    for (name, rollout) in &view.rollouts {
        let _ = writeln!(
            out,
            "\n{bold}{name:<22}{bold:#} {:>8} {:>8}  {:<BAR$} {:>9} {:>7} {:>8} {:>8}",
            "in force",
            "seen",
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
        for (name, version) in &rollout.versions {
            let _ = writeln!(out, "{}", line(name, version));
        }
        let reasons = rollout.reasons.iter().filter(|(_, count)| **count > 0.0);
        let reasons: Vec<_> = reasons
            .map(|(reason, count)| format!("{reason} {count:.0}"))
            .collect();
        if !reasons.is_empty() {
            let _ = writeln!(out, "  {dim}{}{dim:#}", reasons.join(", "));
        }
    }
    let findings = view.findings();
    if !findings.is_empty() {
        out.push('\n');
    }
    for finding in findings {
        let _ = writeln!(out, "{bad}{finding}{bad:#}");
    }
    out
}

fn line(name: &str, version: &Version) -> String {
    let bad = AnsiColor::Red.on_default();
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
        (0, _) => format!("  {bad}frozen{bad:#}"),
        _ => format!("  {bad}rolled back{bad:#}"),
    };
    format!(
        "  {name:<20} {:>8} {:>8}  {bar} {count:>9} {errors:>7} {:>8} {:>8}{state}",
        version.weight.map_or("-".to_owned(), percent),
        percent(version.seen),
        millis(version.p50),
        millis(version.p95),
    )
}
