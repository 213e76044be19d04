//! Shares, ramps and guardrails as a drawing.

use std::path::Path;

use anyhow::{Result, anyhow};
use divvy::outside::Outside;
use divvy::policy::{Policy, Strategy, Weight};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::guardrail::Run;
use super::shares::Shares;
use crate::explain::ask::Known;

const WIDTH: u32 = 900;
const HEIGHT: u32 = 320;
/// Told apart by those who do not see all colours, too.
const COLOURS: [RGBColor; 5] = [
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(240, 228, 66),
];
/// A ramp is looked at this far ahead, in hours, unless it ends before.
const AHEAD: u64 = 24 * 30;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A series of a panel: its name and points.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Draws what there is to draw: a panel for the shares, one for the ramps, one for each
/// guardrail.
pub fn draw(path: &Path, policy: &Policy, shares: &[Shares], runs: &[Run], now: u64) -> Result<()> {
    let ramps = ramps(policy, now);
    let panels = 1 + usize::from(!ramps.is_empty()) + runs.len();
    let height = HEIGHT * u32::try_from(panels)?;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    let drawn = (|| {
        root.fill(&WHITE)?;
        let areas = root.split_evenly((panels, 1));
        let mut areas = areas.iter();
        let mut next = || areas.next().ok_or_else(|| anyhow!("a panel is missing"));
        bars(next()?, shares)?;
        if !ramps.is_empty() {
            curves(
                next()?,
                "Ramps: share by the clock",
                "hours from now",
                &ramps,
                &[],
            )?;
        }
        for run in runs {
            let points = run
                .shares
                .iter()
                .map(|(second, share)| (*second as f64 / 60.0, *share));
            let curve = Curve {
                name: run.rollout.clone(),
                points: points.collect(),
            };
            let events: Vec<_> = run
                .events
                .iter()
                .map(|event| event.second as f64 / 60.0)
                .collect();
            let title = format!("Guardrail of {}: the canary's share", run.rollout);
            curves(next()?, &title, "minutes", &[curve], &events)?;
        }
        root.present()?;
        Ok::<(), anyhow::Error>(())
    })();
    drawn.map_err(|error: anyhow::Error| error.context(path.display().to_string()))
}

/// The shares of the canaries that grow, by hours from now.
fn ramps(policy: &Policy, now: u64) -> Vec<Curve> {
    let mut curves = Vec::new();
    for (id, rollout) in policy.numbered() {
        if !matches!(
            rollout.strategy,
            Strategy::Canary {
                weight: Weight::Clock,
                ..
            }
        ) {
            continue;
        }
        let share = |at: u64| {
            let known = Known {
                now: Some(at),
                ..Known::default()
            };
            let share = rollout.clocked(id, Some(at), &known as &dyn Outside);
            share.map_or(0.0, |share| f64::from(share.ppm()) / 1e4)
        };
        let minutes = 0..AHEAD * 60;
        let at = |minute: u64| now + minute * 60_000;
        let Some(last) = minutes
            .clone()
            .rev()
            .find(|minute| *minute == 0 || share(at(*minute)) > share(at(minute - 1)))
        else {
            continue;
        };
        let end = (last + last / 10 + 10).min(AHEAD * 60);
        let mut points = vec![(0.0, share(now))];
        for minute in 1..=end {
            let (x, before, after) = (
                minute as f64 / 60.0,
                share(at(minute - 1)),
                share(at(minute)),
            );
            // A level is a line between two points.
            if before != after {
                points.extend([(x, before), (x, after)]);
            }
        }
        points.push((end as f64 / 60.0, share(at(end))));
        curves.push(Curve {
            name: rollout.name.to_string(),
            points,
        });
    }
    curves
}

fn bars(area: &Area<'_>, shares: &[Shares]) -> Result<()> {
    let rows = shares.len().max(1);
    let mut chart = ChartBuilder::on(area)
        .caption("Shares: seen, and meant (line)", ("sans-serif", 18))
        .margin(12)
        .margin_right(30)
        .x_label_area_size(30)
        .y_label_area_size(120)
        .build_cartesian_2d(0.0..100.0, 0.0..rows as f64)?;
    let name = |row: &f64| {
        let nth = (rows as f64 - row.floor() - 1.0) as usize;
        shares
            .get(nth)
            .map_or(String::new(), |rollout| rollout.rollout.clone())
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .x_desc("percent of the users")
        .draw()?;
    for (nth, rollout) in shares.iter().enumerate() {
        let bottom = (rows - nth - 1) as f64;
        chart.draw_series([Text::new(
            name(&bottom),
            (1.0, bottom + 0.98),
            ("sans-serif", 13),
        )])?;
        let (mut left, mut meant) = (0.0, 0.0);
        for (seen, colour) in rollout.versions.iter().zip(COLOURS.iter().cycle()) {
            let right = left + seen.percent;
            let bar = [(left, bottom + 0.12), (right, bottom + 0.72)];
            chart.draw_series([Rectangle::new(bar, colour.filled())])?;
            if seen.percent > 4.0 {
                let text = format!("{} {:.2} %", seen.version, seen.percent);
                let style = ("sans-serif", 13).into_font().color(&BLACK);
                chart.draw_series([Text::new(text, (left + 0.5, bottom + 0.5), style)])?;
            }
            meant += seen.meant;
            let line = vec![(meant, bottom + 0.05), (meant, bottom + 0.79)];
            chart.draw_series([PathElement::new(line, BLACK.stroke_width(2))])?;
            left = right;
        }
    }
    Ok(())
}

fn curves(
    area: &Area<'_>,
    title: &str,
    unit: &str,
    curves: &[Curve],
    events: &[f64],
) -> Result<()> {
    let points = curves.iter().flat_map(|curve| &curve.points);
    let (right, top) = points.fold((0.1_f64, 1.0_f64), |(x, y), point| {
        (x.max(point.0), y.max(point.1))
    });
    let top = (top * 1.1).min(105.0);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .margin_right(30)
        .x_label_area_size(34)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc(unit)
        .y_desc("percent of the users")
        .light_line_style(WHITE)
        .draw()?;
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let series = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2));
        chart
            .draw_series(series)?
            .label(&curve.name)
            .legend(|(x, y)| PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    for at in events {
        let line = vec![(*at, 0.0), (*at, top)];
        chart.draw_series([PathElement::new(line, RGBColor(213, 94, 0).stroke_width(1))])?;
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .position(SeriesLabelPosition::MiddleRight)
        .draw()?;
    Ok(())
}
