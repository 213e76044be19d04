//! Shares, ramps and guardrails as an SVG plot.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use divvy::policy::Policy;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::guardrail::GuardrailRun;
use super::shares::RolloutShares;
use crate::environment::GivenEnvironment;
use crate::palette::{FAILURE, VERSIONS};
use crate::percent;

const WIDTH: u32 = 900;
const PANEL_HEIGHT: u32 = 320;
const SMALL: (&str, i32) = ("sans-serif", 13);
const MINUTE: u64 = 60_000;
/// A ramp is drawn up to its end, but for at most 30 days, in minutes.
const LONGEST_RAMP: u64 = 30 * 24 * 60;

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A line of a panel.
struct Curve {
    name: String,
    colour: RGBColor,
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
    let root = SVGBackend::new(path, size).into_drawing_area();
    let draw = || -> Result<()> {
        root.fill(&WHITE)?;
        let panels = root.split_evenly((panels, 1));
        let mut panels = panels.iter();
        let mut next = || panels.next().ok_or_else(|| anyhow!("too few panels"));
        bars(next()?, shares)?;
        if !ramps.is_empty() {
            let title = "Ramps: configured share over time";
            curves(next()?, title, "hours from now", &ramps, &[])?;
        }
        for run in runs {
            let title = format!("Guardrail of {}: share of the new version", run.rollout);
            let minutes = |second: u64| second as f64 / 60.0;
            let points = run
                .shares
                .iter()
                .map(|(second, share)| (minutes(*second), *share));
            let curve = Curve {
                name: "share of the new version".to_owned(),
                colour: VERSIONS[1],
                points: points.collect(),
            };
            let events = run.events.iter();
            let events = events.map(|event| (minutes(event.second), &*event.text));
            curves(
                next()?,
                &title,
                "minutes",
                &[curve],
                &events.collect::<Vec<_>>(),
            )?;
        }
        Ok(root.present()?)
    };
    draw().with_context(|| path.display().to_string())
}

/// The share of each canary that grows over time, by hours from now.
fn ramps(policy: &Policy, now: u64) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (id, rollout) in policy.numbered() {
        if rollout.strategy.ramped_version().is_none() {
            continue;
        }
        let share = |minute: u64| {
            let time = now + minute * MINUTE;
            let share = rollout.ramp_share(id, Some(time), &GivenEnvironment::at(time));
            share.map_or(0.0, percent)
        };
        let grows = |minute: &u64| share(*minute) > share(minute - 1);
        let last = (1..LONGEST_RAMP).rev().find(grows).unwrap_or_default();
        let end = (last + last / 10 + 10).min(LONGEST_RAMP);
        let hours = |minute: u64| minute as f64 / 60.0;
        let mut points = vec![(0.0, share(0))];
        // Two points for each step.
        for minute in (1..=end).filter(|minute| share(*minute) != share(minute - 1)) {
            points.extend([minute - 1, minute].map(|level| (hours(minute), share(level))));
        }
        points.push((hours(end), share(end)));
        curves.push(Curve {
            name: rollout.name.to_string(),
            colour: VERSIONS[curves.len() % VERSIONS.len()],
            points,
        });
    }
    curves
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
        let name = Text::new(rollout.rollout.clone(), (0.5, bottom + 0.98), SMALL);
        chart.draw_series([name])?;
        let (mut left, mut configured) = (0.0, 0.0);
        for (version, colour) in rollout.versions.iter().zip(VERSIONS.iter().cycle()) {
            let right = left + version.percent;
            let corners = [(left, bottom + 0.12), (right, bottom + 0.72)];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            if version.percent > 4.0 {
                let label = format!("{} {:.2} %", version.version, version.percent);
                chart.draw_series([Text::new(label, (left + 0.5, bottom + 0.5), SMALL)])?;
            }
            configured += version.configured;
            let line = vec![(configured, bottom + 0.05), (configured, bottom + 0.79)];
            chart.draw_series([PathElement::new(line, BLACK.stroke_width(2))])?;
            left = right;
        }
    }
    Ok(())
}

/// Lines over time, and a vertical line with a text for each event.
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
    let top = top * 1.2;
    let mut chart = ChartBuilder::on(panel)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(30)
        .x_label_area_size(34)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(unit)
        .y_desc("percent of the users")
        .light_line_style(WHITE)
        .draw()?;
    for curve in curves {
        let style = curve.colour.stroke_width(2);
        chart
            .draw_series(LineSeries::new(curve.points.iter().copied(), style))?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], style));
    }
    let style = FAILURE.stroke_width(2);
    let lines = events.iter();
    let lines = lines.map(|(x, _)| PathElement::new(vec![(*x, 0.0), (*x, top)], style));
    let lines = chart.draw_series(lines)?;
    if !events.is_empty() {
        lines
            .label("action of the guardrail")
            .legend(move |(x, y)| PathElement::new(vec![(x + 9, y - 6), (x + 9, y + 6)], style));
    }
    for (index, (x, text)) in events.iter().enumerate() {
        // Texts of events that are close together are one below the other.
        let y = top * (0.98 - 0.07 * (index % 6) as f64);
        let text = text.split(['(', ':']).next().unwrap_or_default();
        let x = x + right * 0.005;
        chart.draw_series([Text::new(text.to_owned(), (x, y), SMALL)])?;
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::MiddleRight)
        .draw()?;
    Ok(())
}
