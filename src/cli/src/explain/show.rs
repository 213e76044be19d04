//! An explanation as text for a terminal.

use std::io::{self, Write};

use super::condition::ConditionReport;
use super::explanation::{Explanation, HeaderEdits};
use super::identity::IdentityReport;
use super::schedule;
use super::steps::RolloutSteps;
use crate::palette::{BAD, BOLD, GOOD};

pub(super) fn explanation(explanation: &Explanation, out: &mut impl Write) -> io::Result<()> {
    for rollout in &explanation.rollouts {
        steps(rollout, out)?;
    }
    if explanation.rollouts.is_empty() {
        writeln!(out, "no rollouts")?;
    }
    let (identity, missing) = (&explanation.identity, &explanation.missing_identity);
    let needed = identity.is_some() || !missing.is_empty();
    if needed || explanation.own_identities.is_empty() {
        heading(&self::identity("identity", identity.as_ref(), missing), out)?;
    }
    for own in &explanation.own_identities {
        let title = format!("identity of {}", own.rollout);
        let text = self::identity(&title, own.identity.as_ref(), &own.missing_identity);
        heading(&text, out)?;
    }
    if let Some(owner) = &explanation.route_owner {
        let text = match explanation.without_route.as_slice() {
            [] => format!("route: decided by {owner}"),
            others => format!(
                "route: decided by {owner}, the first matching rollout with targets; {} only tags",
                others.join(", ")
            ),
        };
        heading(&text, out)?;
    }
    list("request headers", &edits(&explanation.request), out)?;
    list("response headers", &edits(&explanation.response), out)?;
    list("cookies", &explanation.cookies, out)?;
    list(
        "counters for a response with status 200",
        &explanation.counters,
        out,
    )
}

fn identity(title: &str, found: Option<&IdentityReport>, missing: &[String]) -> String {
    match found {
        Some(identity) => {
            let source = identity.source.as_deref();
            let source = source.map_or_else(String::new, |source| format!(" by {source}"));
            let unit = match &identity.unit {
                Some(unit) => format!(", in logs {unit}"),
                None if identity.unit_needs_keys => {
                    ", in logs digits that need the keys".to_owned()
                }
                None => String::new(),
            };
            format!(
                "{title} {:?}, {}{source}{unit}",
                identity.value, identity.origin
            )
        }
        None if missing.is_empty() => format!("{title}: no decision depended on it"),
        None => format!("{title}: none: {}", missing.join("; ")),
    }
}

fn heading(text: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{BOLD}{text}{BOLD:#}")
}

fn steps(rollout: &RolloutSteps, out: &mut impl Write) -> io::Result<()> {
    let text = match (&rollout.version, rollout.reason) {
        (Some(version), Some(reason)) => format!("{} → {version}, {reason}", rollout.rollout),
        _ => format!("{}: does not match this request", rollout.rollout),
    };
    heading(&text, out)?;
    for step in &rollout.steps {
        let place = match (step.position, step.threshold) {
            (Some(position), Some(threshold)) => {
                let sign = if position < threshold { "<" } else { "≥" };
                format!("; position {position} {sign} {threshold}")
            }
            (Some(position), None) => format!("; position {position}"),
            _ => String::new(),
        };
        writeln!(out, "  {:<10} {}{place}", step.step, step.text)?;
        if let Some(report) = &step.condition {
            condition(report, 4, out)?;
        }
    }
    let mut title = "schedule";
    for line in schedule::lines(&rollout.schedule) {
        writeln!(out, "  {title:<10} {line}")?;
        title = "";
    }
    Ok(())
}

fn condition(report: &ConditionReport, indent: usize, out: &mut impl Write) -> io::Result<()> {
    let (style, word) = match report.holds {
        true => (GOOD, "true "),
        false => (BAD, "false"),
    };
    let found = match report.found.as_slice() {
        _ if !report.parts.is_empty() => String::new(),
        [] if report.text.starts_with("assigned") => String::new(),
        [] => "  (is missing)".to_owned(),
        values => {
            let values: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
            format!("  (is {})", values.join(", "))
        }
    };
    let text = &report.text;
    writeln!(out, "{:indent$}{style}{word}{style:#} {text}{found}", "")?;
    let mut parts = report.parts.iter();
    parts.try_for_each(|part| condition(part, indent + 2, out))
}

fn edits(edits: &HeaderEdits) -> Vec<String> {
    let set = edits.set.iter();
    let set = set.map(|(name, value)| format!("{name}: {value}"));
    let removed = edits.remove.iter().map(|name| format!("{name} is removed"));
    set.chain(removed).collect()
}

fn list(title: &str, lines: &[String], out: &mut impl Write) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    heading(title, out)?;
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}
