//! An explanation for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::condition::Truth;
use super::{Changes, Explanation, Steps};

pub(super) fn explanation(told: &Explanation, out: &mut impl Write) -> io::Result<()> {
    for rollout in &told.rollouts {
        steps(rollout, out)?;
    }
    if told.rollouts.is_empty() {
        writeln!(out, "there are no rollouts")?;
    }
    match &told.identity {
        Some(identity) => heading(
            &format!("identity {:?}, {}", identity.value, identity.origin),
            out,
        )?,
        None => heading("identity: nothing depended on it", out)?,
    }
    changes("request headers", &told.request, out)?;
    changes("response headers", &told.response, out)?;
    list("cookies", &told.cookies, out)?;
    list("counted, if the answer is 200", &told.counters, out)
}

fn heading(text: &str, out: &mut impl Write) -> io::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "{bold}{text}{bold:#}")
}

fn steps(rollout: &Steps, out: &mut impl Write) -> io::Result<()> {
    let text = match (&rollout.version, rollout.reason) {
        (Some(version), Some(reason)) => format!("{} → {version}, {reason}", rollout.rollout),
        _ => format!("{}: does not look at this request", rollout.rollout),
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
        if let Some(condition) = &step.condition {
            truth(condition, 4, out)?;
        }
    }
    Ok(())
}

fn truth(condition: &Truth, indent: usize, out: &mut impl Write) -> io::Result<()> {
    let (color, word) = if condition.holds {
        (AnsiColor::Green, "true ")
    } else {
        (AnsiColor::Red, "false")
    };
    let style = color.on_default();
    let gap = " ".repeat(indent);
    let found = match condition.found.as_slice() {
        _ if !condition.parts.is_empty() => String::new(),
        [] if condition.text.starts_with("assigned") => String::new(),
        [] => "  (is missing)".to_owned(),
        values => {
            let values: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
            format!("  (is {})", values.join(", "))
        }
    };
    writeln!(out, "{gap}{style}{word}{style:#} {}{found}", condition.text)?;
    condition
        .parts
        .iter()
        .try_for_each(|part| truth(part, indent + 2, out))
}

fn changes(title: &str, changes: &Changes, out: &mut impl Write) -> io::Result<()> {
    let set = changes
        .set
        .iter()
        .map(|(name, value)| format!("{name}: {value}"));
    let removed = changes
        .remove
        .iter()
        .map(|name| format!("{name} is removed"));
    list(title, &set.chain(removed).collect::<Vec<_>>(), out)
}

fn list(title: &str, lines: &[String], out: &mut impl Write) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    heading(title, out)?;
    lines.iter().try_for_each(|line| writeln!(out, "  {line}"))
}
