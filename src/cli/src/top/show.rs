//! The proxies as text for a terminal.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anstyle::Style;

use super::view::{FleetView, ProxyView, RolloutView, VersionView};
use crate::palette::{BAD, BOLD, DIM, GOOD, version as version_style};

/// Width of a bar for all requests.
const BAR: usize = 20;
/// Maximum number of proxies that are listed one by one, if they are as they should be.
const LISTED: usize = 10;

/// The view as lines with colours.
pub fn text(view: &FleetView) -> String {
    let mut out = String::new();
    let all = view.proxies.len();
    let good = |proxy: &&ProxyView| proxy.error.is_none() && !proxy.inert && proxy.hash.is_some();
    if all > LISTED {
        let good: Vec<_> = view.proxies.iter().filter(good).collect();
        let hashes = good.iter().filter_map(|proxy| proxy.hash.as_ref());
        for hash in hashes.collect::<BTreeSet<_>>() {
            let same = good
                .iter()
                .filter(|proxy| proxy.hash.as_ref() == Some(hash));
            let count = same.count();
            let _ = writeln!(
                out,
                "{GOOD}configuration {hash}{GOOD:#}  {DIM}{count} of {all} proxies{DIM:#}"
            );
        }
    }
    let listed = view.proxies.iter();
    for proxy in listed.filter(|proxy| all <= LISTED || !good(proxy)) {
        let (style, state) = match (&proxy.error, &proxy.hash) {
            (Some(_), _) => (BAD, "does not answer".to_owned()),
            (None, None) if proxy.untagged => (BAD, "stats_tags are missing".to_owned()),
            (None, None) => (BAD, "no divvy metrics".to_owned()),
            (None, Some(hash)) if proxy.inert => (BAD, format!("configuration {hash}, invalid")),
            (None, Some(hash)) => (GOOD, format!("configuration {hash}")),
        };
        let _ = writeln!(out, "{style}{state}{style:#}  {DIM}{}{DIM:#}", proxy.url);
    }
    let (period, count) = match view.seconds {
        Some(seconds) => (format!("last {seconds:.1} s"), "req/s"),
        None => ("since the proxies started".to_owned(), "requests"),
    };
    let _ = writeln!(out, "{DIM}{period}{DIM:#}");
    for (name, rollout) in &view.rollouts {
        let _ = writeln!(
            out,
            "\n{BOLD}{name:<22}{BOLD:#} {:>8} {:>8}  {:<BAR$} {count:>9} {:>7} {:>8} {:>8}",
            "weight", "traffic", "", "errors", "p50", "p95",
        );
        if !rollout.configured {
            let _ = writeln!(
                out,
                "  {DIM}no longer configured; counts until the proxy restarts{DIM:#}"
            );
        }
        for (index, (name, version)) in rollout.versions.iter().enumerate() {
            let _ = writeln!(out, "{}", line(name, version, version_style(index)));
        }
        let reasons = reasons(rollout);
        if !reasons.is_empty() {
            let _ = writeln!(out, "  {DIM}reasons: {reasons}{DIM:#}");
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

fn reasons(rollout: &RolloutView) -> String {
    let counts = rollout.reasons.iter().filter(|(_, count)| **count > 0.0);
    let counts = counts.map(|(reason, count)| format!("{reason} {count:.0}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn line(name: &str, version: &VersionView, style: Style) -> String {
    let optional = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let percent = |share: f64| format!("{share:.2} %");
    let millis = |value: f64| format!("{value:.1} ms");
    let filled = (version.seen / 100.0 * BAR as f64).round() as usize;
    let filled = filled.min(BAR);
    let bar = "█".repeat(filled) + &"░".repeat(BAR - filled);
    let errors = version.error_percent();
    let alarm = match errors {
        Some(errors) if errors > 0.0 => BAD,
        _ => Style::new(),
    };
    let count = match version.rate {
        Some(rate) => format!("{rate:.1}"),
        None => format!("{:.0}", version.requests),
    };
    let states = [
        (version.rolled_back, "rolled back"),
        (version.unreachable, "unreachable"),
        (version.frozen, "frozen"),
    ];
    let state = states.into_iter().find(|(proxies, _)| *proxies > 0);
    let state = state.map_or_else(String::new, |(_, state)| format!("  {BAD}{state}{BAD:#}"));
    format!(
        "  {style}{name:<20}{style:#} {:>8} {:>8}  {style}{bar}{style:#} {count:>9} \
         {alarm}{:>7}{alarm:#} {:>8} {:>8}{state}",
        optional(version.weight.map(percent)),
        percent(version.seen),
        optional(errors.map(percent)),
        optional(version.p50.map(millis)),
        optional(version.p95.map(millis)),
    )
}
