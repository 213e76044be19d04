//! Shares, ramps and guardrails as an SVG plot.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use divvy::policy::Policy;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::guardrail::GuardrailRun;
use super::shares::RolloutShares;
use crate::environment::GivenEnvironment;
use crate::output::percent;
use crate::palette::{FAILURE, VERSIONS};

const WIDTH: u32 = 900;
const PANEL_HEIGHT: u32 = 320;
const SMALL: (&str, i32) = ("sans-serif", 13);
const MINUTE: i64 = 60_000;
/// A ramp is drawn from its start to its end, but for at most 30 days each way from now, in minutes.
const LONGEST_RAMP: i64 = 30 * 24 * 60;

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line of a panel.
struct Curve {
    name: String,
    colour: RGBColor,
    /// Dots rather than a line.
    dotted: bool,
    points: Vec<(f64, f64)>,
}

/// Draws one panel for the shares, one for the ramps if there are any, and one for each
/// guardrail.
pub fn draw(
    path: &Path,
    policy: &Policy,
    shares: &[RolloutShares],
    runs: &[GuardrailRun],
    now: u64,
) -> Result<()> {
    let ramps = ramps(policy, now);
    let panels = 1 + usize::from(!ramps.is_empty()) + runs.len();
    let size = (WIDTH, PANEL_HEIGHT * u32::try_from(panels)?);
    // A pipe would wait for its reader.
    if path.exists() && !path.is_file() {
        bail!("{}: is not a regular file", path.display());
    }
    let mut drawing = String::new();
    let draw = |drawing: &mut String| -> Result<()> {
        let root = SVGBackend::with_string(drawing, size).into_drawing_area();
        root.fill(&WHITE)?;
        let panels = root.split_evenly((panels, 1));
        let mut panels = panels.iter();
        let mut next = || panels.next().ok_or_else(|| anyhow!("too few panels"));
        bars(next()?, shares)?;
        if !ramps.is_empty() {
            let title = "Ramps: configured share over time";
            let now = [(0.0, "now")];
            let now = if starts_before(&ramps) { &now[..] } else { &[] };
            curves(next()?, title, "hours from now", &ramps, now)?;
        }
        for run in runs {
            guardrail(next()?, run)?;
        }
        Ok(root.present()?)
    };
    let drawn = draw(&mut drawing).and_then(|()| Ok(fs::write(path, drawing)?));
    drawn.with_context(|| path.display().to_string())
}

/// Whether a curve begins in the past.
fn starts_before(curves: &[Curve]) -> bool {
    let mut points = curves.iter().flat_map(|curve| &curve.points);
    points.any(|(hours, _)| *hours < 0.0)
}

/// The share of each canary that grows over time, by hours from now; from its start, if that is in the past.
fn ramps(policy: &Policy, now: u64) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (id, rollout) in policy.numbered() {
        if rollout.strategy.behaviour().ramped_version().is_none() {
            continue;
        }
        let share = |minute: i64| {
            let time = now.saturating_add_signed(minute.saturating_mul(MINUTE));
            let share = rollout.ramp_share(id, Some(time), &GivenEnvironment::at(time));
            share.map_or(0.0, percent)
        };
        let grows = |minute: &i64| share(*minute) > share(minute - 1);
        let mut past = (1..LONGEST_RAMP).rev().map(|minute| -minute);
        let first = past.find(grows);
        let last = (1..LONGEST_RAMP).rev().find(grows);
        let length = last.unwrap_or_default() - first.unwrap_or_default();
        let margin = length / 10 + 10;
        let start = first.map_or(0, |first| first - margin);
        let end = last.unwrap_or_default() + margin;
        let hours = |minute: i64| minute as f64 / 60.0;
        let mut points = vec![(hours(start), share(start))];
        // Two points for each step.
        for minute in (start + 1..=end).filter(|minute| share(*minute) != share(minute - 1)) {
            points.extend([minute - 1, minute].map(|level| (hours(minute), share(level))));
        }
        points.push((hours(end), share(end)));
        curves.push(Curve {
            name: rollout.name.to_string(),
            colour: VERSIONS[(curves.len() + 1) % VERSIONS.len()],
            dotted: false,
            points,
        });
    }
    curves
}

/// The share of the new version, the failures of both versions, and the guardrail's actions.
fn guardrail(panel: &Panel<'_>, run: &GuardrailRun) -> Result<()> {
    let minutes = |second: u64| second as f64 / 60.0;
    let curve = |name: &str, colour, dotted, points: &[(u64, f64)]| Curve {
        name: name.to_owned(),
        colour,
        dotted,
        points: points
            .iter()
            .map(|(second, percent)| (minutes(*second), *percent))
            .collect(),
    };
    let [stable, new] = &run.failures;
    let lines = [
        curve("share of the new version", VERSIONS[1], false, &run.shares),
        curve("failed requests of stable", VERSIONS[0], true, stable),
        curve("failed requests of the new version", FAILURE, true, new),
    ];
    let events = run.events.iter();
    let events = events.map(|event| (minutes(event.second), &*event.text));
    let title = format!("Guardrail of {}", run.rollout);
    curves(
        panel,
        &title,
        "minutes",
        &lines,
        &events.collect::<Vec<_>>(),
    )
}

/// One bar for each rollout, divided between its versions.
fn bars(panel: &Panel<'_>, shares: &[RolloutShares]) -> Result<()> {
    let rows = shares.len().max(1);
    let mut chart = ChartBuilder::on(panel)
        .caption(
            "Shares of the versions; black line: configured",
            ("sans-serif", 18),
        )
        .margin(12)
        .margin_right(30)
        .x_label_area_size(34)
        .build_cartesian_2d(0.0..100.0, 0.0..rows as f64)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_y_mesh()
        .y_labels(0)
        .x_desc("percent of the users")
        .draw()?;
    for (index, rollout) in shares.iter().enumerate() {
        let bottom = (rows - index - 1) as f64;
        let versions = rollout.versions.iter();
        let versions = versions.map(|one| format!("{} {:.2} %", one.version, one.percent));
        let title = format!(
            "{}: {}",
            rollout.rollout,
            versions.collect::<Vec<_>>().join(", ")
        );
        chart.draw_series([Text::new(title, (0.5, bottom + 0.95), SMALL)])?;
        let (mut left, mut configured) = (0.0, 0.0);
        for (version, colour) in rollout.versions.iter().zip(VERSIONS.iter().cycle()) {
            let right = left + version.percent;
            let corners = [(left, bottom + 0.12), (right, bottom + 0.72)];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            if version.percent > 4.0 {
                let label = Text::new(version.version.clone(), (left + 0.5, bottom + 0.5), SMALL);
                chart.draw_series([label])?;
            }
            configured += version.configured;
            let line = vec![(configured, bottom + 0.05), (configured, bottom + 0.79)];
            chart.draw_series([PathElement::new(line, BLACK.stroke_width(2))])?;
            left = right;
        }
    }
    Ok(())
}

/// Curves over time, a vertical line with a text for each event, and a legend at the bottom.
fn curves(
    panel: &Panel<'_>,
    title: &str,
    unit: &str,
    curves: &[Curve],
    events: &[(f64, &str)],
) -> Result<()> {
    let points = curves.iter().flat_map(|curve| &curve.points);
    let (right, top) = points.fold((0.1_f64, 1.0_f64), |(x, y), point| {
        (x.max(point.0), y.max(point.1))
    });
    let points = curves.iter().flat_map(|curve| &curve.points);
    let left = points.fold(0.0_f64, |x, point| x.min(point.0));
    // Space for the texts of events.
    let top = if events.is_empty() { 1.1 } else { 1.5 } * top;
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(30)
        .margin_bottom(26)
        .x_label_area_size(34)
        .y_label_area_size(60)
        .build_cartesian_2d(left..right, 0.0..top)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(unit).y_desc("percent").light_line_style(WHITE);
    mesh.draw()?;
    let legend_y = i32::try_from(PANEL_HEIGHT)? - 16;
    let mut legend_x = 60;
    for curve in curves {
        let style = curve.colour.stroke_width(2);
        let mark = [(legend_x, legend_y), (legend_x + 18, legend_y)];
        if curve.dotted {
            let dot = |point: (f64, f64)| Circle::new(point, 3, curve.colour.filled());
            chart.draw_series(curve.points.iter().copied().map(dot))?;
            panel.draw(&Circle::new((legend_x + 9, legend_y), 3, style.filled()))?;
        } else {
            chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
            panel.draw(&PathElement::new(mark, style))?;
        }
        let name = (legend_x + 24, legend_y - 6);
        panel.draw(&Text::new(curve.name.clone(), name, SMALL))?;
        legend_x += 60 + 7 * i32::try_from(curve.name.len())?;
    }
    for (index, (x, text)) in events.iter().enumerate() {
        let line = [(*x, 0.0), (*x, top)];
        chart.draw_series([PathElement::new(line, BLACK.stroke_width(1))])?;
        // Texts of events that are close together are one below the other.
        let y = top * (0.98 - 0.07 * (index % 5) as f64);
        let text = text.split(['(', ':']).next().unwrap_or_default();
        let label = Text::new(text.to_owned(), (x + right * 0.005, y), SMALL);
        chart.draw_series([label])?;
    }
    Ok(())
}
