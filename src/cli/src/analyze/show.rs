//! The report as text, with the interval over time. Must not depend on logs.

use std::io::{self, Write};

use super::intake::LineCounts;
use super::report::{AnalysisReport, ArmReport, Comparison, GoalReport, MetricName, MetricReport};
use super::statistics::Effect;
use super::timeline::TimedLook;
use crate::palette::{BAD, BOLD, DIM, GOOD, version};

/// Columns of the interval over time.
const WIDTH: usize = 49;
/// Lines of it.
const ROWS: usize = 12;

/// Prints the report.
pub fn report(report: &AnalysisReport, out: &mut impl Write) -> io::Result<()> {
    let units: u64 = report.arms.iter().map(|arm| arm.units).sum();
    let none = String::new();
    let first = report.first_exposure.as_ref().unwrap_or(&none);
    let last = report.last_exposure.as_ref().unwrap_or(&none);
    writeln!(
        out,
        "{BOLD}{}{BOLD:#}: {units} units, exposed from {first} to {last}",
        report.rollout
    )?;
    for arm in &report.arms {
        show_arm(arm, arm.version == report.control, out)?;
    }
    let p = report.sample_ratio.p;
    if report.sample_ratio.mismatch {
        writeln!(
            out,
            "  {BAD}sample-ratio mismatch{BAD:#}, p = {p:.2e}: units of an arm are missing, so that the arms cannot be \
             compared.\n  Find the cause first: lost logs, a version that fails or is slow, robots, a changed split. The \
             results below mean nothing."
        )?;
    } else {
        writeln!(out, "  no sample-ratio mismatch, p = {p:.3}")?;
    }
    if report.crossed > 0 {
        let number = report.crossed;
        writeln!(
            out,
            "  {number} units were seen in two arms and are left out"
        )?;
    }
    if report.short > 0 {
        writeln!(
            out,
            "  {BAD}{} units{BAD:#} have too low a count: too many of their outcomes come before their exposure in the \
             logs; sort the lines by time",
            report.short
        )?;
    }
    show_lines("lines", &report.lines, out)?;
    if let Some(events) = &report.events {
        show_lines("events", events, out)?;
    }
    if report.arms.len() > 2 {
        let (number, confidence) = (report.arms.len() - 1, 100.0 * (1.0 - report.alpha));
        writeln!(
            out,
            "  {number} comparisons with the control: each interval has {confidence:.2} % (Bonferroni)"
        )?;
    }
    for goal in &report.goals {
        show_goal(report, goal, out)?;
    }
    writeln!(
        out,
        "{BOLD}guardrail metrics{BOLD:#}, of requests with an assignment"
    )?;
    for metric in &report.guardrails {
        show_metric(report, metric, out)?;
    }
    let arms = report.arms.iter().filter_map(|arm| {
        let (median, p95) = (arm.median_duration?, arm.p95_duration?);
        Some(format!(
            "{} {} and {}",
            arm.version,
            millis(median),
            millis(p95)
        ))
    });
    let arms = arms.collect::<Vec<_>>().join(", ");
    if !arms.is_empty() {
        writeln!(out, "  median and 95 % quantile of the duration: {arms}")?;
    }
    Ok(())
}

fn show_arm(arm: &ArmReport, is_control: bool, out: &mut impl Write) -> io::Result<()> {
    let style = version(arm.colour);
    let ArmReport {
        version,
        units,
        percent,
        configured,
        ..
    } = arm;
    let control = if is_control { ", the control" } else { "" };
    writeln!(
        out,
        "  {style}{version:<12}{style:#} {units:>9} units  {percent:>8.4} %, configured {configured:.4} %{control}"
    )
}

fn show_lines(what: &str, lines: &LineCounts, out: &mut impl Write) -> io::Result<()> {
    let LineCounts {
        read,
        used,
        without_unit,
        other_versions,
        unparsed,
        ..
    } = lines;
    write!(out, "  {read} {what}, {used} of them exposures or outcomes")?;
    if *without_unit > 0 {
        write!(out, ", {without_unit} without a unit")?;
    }
    if *other_versions > 0 {
        write!(out, ", {other_versions} of versions that are not arms")?;
    }
    writeln!(out)?;
    if let Some(first) = &lines.first_unparsed {
        let (file, line, error) = (&first.file, first.line, &first.error);
        writeln!(
            out,
            "  {BAD}{unparsed} {what} cannot be parsed{BAD:#}, the first is {file}:{line}: {error}"
        )?;
    }
    Ok(())
}

fn show_goal(report: &AnalysisReport, goal: &GoalReport, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{BOLD}{}{BOLD:#}", goal.goal)?;
    for metric in &goal.metrics {
        show_metric(report, metric, out)?;
    }
    for nth in 1..report.arms.len() {
        show_looks(report, &goal.looks, nth, out)?;
    }
    Ok(())
}

fn show_metric(
    report: &AnalysisReport,
    metric: &MetricReport,
    out: &mut impl Write,
) -> io::Result<()> {
    let name = match metric.metric {
        MetricName::Conversion => "conversion",
        MetricName::Count => "count per unit",
        MetricName::Value => "value per unit",
        MetricName::Requests => "requests per unit",
        MetricName::Failures => "failed requests",
        MetricName::Duration => "mean duration",
    };
    let arms = metric.arms.iter().zip(&report.arms).map(|(mean, arm)| {
        let style = version(arm.colour);
        let total = match metric.metric {
            MetricName::Conversion => format!(" ({} of {})", mean.total, arm.units),
            MetricName::Failures => format!(" ({} of {})", mean.total, arm.requests),
            _ => String::new(),
        };
        format!(
            "{style}{}{style:#} {}{total}",
            mean.version,
            value(metric.metric, mean.mean)
        )
    });
    writeln!(out, "  {name}: {}", arms.collect::<Vec<_>>().join(", "))?;
    for comparison in &metric.comparisons {
        show_comparison(&report.control, metric.metric, comparison, out)?;
    }
    Ok(())
}

fn show_comparison(
    control: &str,
    metric: MetricName,
    comparison: &Comparison,
    out: &mut impl Write,
) -> io::Result<()> {
    let version = &comparison.version;
    let Some(effect) = &comparison.difference else {
        return writeln!(
            out,
            "    {version} − {control}: too few outcomes for an interval"
        );
    };
    let (low, high) = effect.always_valid;
    let verdict = match metric {
        _ if low > 0.0 => format!("{GOOD}higher{GOOD:#}"),
        _ if high < 0.0 => format!("{BAD}lower{BAD:#}"),
        _ => "not decided".to_owned(),
    };
    let verdict = match (metric, low > 0.0) {
        // More failures and longer durations are worse.
        (MetricName::Failures | MetricName::Duration, true) => format!("{BAD}higher{BAD:#}"),
        (MetricName::Failures | MetricName::Duration, false) if high < 0.0 => {
            format!("{GOOD}lower{GOOD:#}")
        }
        _ => verdict,
    };
    let show = |effect: &Effect, signed: &dyn Fn(f64) -> String| {
        let [(low, high), (from, to)] = [effect.always_valid, effect.fixed];
        let estimate = signed(effect.estimate);
        format!(
            "{estimate} (always valid {} to {}; fixed {} to {})",
            signed(low),
            signed(high),
            signed(from),
            signed(to)
        )
    };
    let difference = show(effect, &|number| change(metric, number));
    writeln!(out, "    {version} − {control}: {difference}: {verdict}")?;
    if let Some(lift) = &comparison.lift {
        let lift = show(lift, &|number| format!("{:+.2} %", 100.0 * number));
        writeln!(out, "    {DIM}lift: {lift}{DIM:#}")?;
    }
    Ok(())
}

/// A mean.
fn value(metric: MetricName, mean: f64) -> String {
    match metric {
        MetricName::Conversion | MetricName::Failures => format!("{:.3} %", 100.0 * mean),
        MetricName::Duration => millis(mean),
        MetricName::Count | MetricName::Value | MetricName::Requests => format!("{mean:.4}"),
    }
}

/// A difference of means.
fn change(metric: MetricName, number: f64) -> String {
    match metric {
        MetricName::Conversion | MetricName::Failures => format!("{:+.3} points", 100.0 * number),
        MetricName::Duration => format!("{number:+.2} ms"),
        MetricName::Count | MetricName::Value | MetricName::Requests => format!("{number:+.4}"),
    }
}

fn millis(number: f64) -> String {
    let decimals = usize::from(number < 100.0);
    format!("{number:.decimals$} ms")
}

/// The always-valid interval of an arm over time, a line for each time.
fn show_looks(
    report: &AnalysisReport,
    looks: &[TimedLook],
    arm: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    let step = looks.len().div_ceil(ROWS).max(1);
    let rows = looks.iter().skip(step - 1).step_by(step);
    let rows = rows.filter_map(|look| Some((look, look.differences.get(arm - 1)?.as_ref()?)));
    let rows: Vec<_> = rows.collect();
    // The first intervals are very wide: the axis shows all of the last and twice that.
    let Some((_, last)) = rows.last() else {
        return Ok(());
    };
    let (low, high) = last.always_valid;
    let reach = 1.5 * (high - low) + low.abs().max(high.abs());
    if !reach.is_finite() || reach <= 0.0 {
        return Ok(());
    }
    let column = |x: f64| {
        let place = (x / reach + 1.0) / 2.0 * (WIDTH - 1) as f64;
        place.round().clamp(0.0, (WIDTH - 1) as f64) as usize
    };
    let style = version(report.arms[arm].colour);
    let name = &report.arms[arm].version;
    let points = 100.0 * reach;
    writeln!(
        out,
        "  always-valid interval of {name} − {} over time, from {:+.2} to {points:+.2} points",
        report.control, -points
    )?;
    for (look, effect) in rows {
        let (low, high) = effect.always_valid;
        let mut line = vec![' '; WIDTH];
        line[column(low)..=column(high)].fill('─');
        line[column(0.0)] = '│';
        line[column(effect.estimate)] = '●';
        let line: String = line.into_iter().collect();
        let units: u64 = look.units.iter().sum();
        let time = super::instant_text(look.time);
        let time = time.get(..16).unwrap_or(&time).replace('T', " ");
        writeln!(
            out,
            "    {time} {units:>9} units {style}{}{style:#}",
            line.trim_end()
        )?;
    }
    Ok(())
}
