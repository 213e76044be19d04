//! The always-valid interval over time as an SVG plot. Must not depend on logs.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::report::{AnalysisReport, GoalReport};
use crate::palette::VERSIONS;

const WIDTH: u32 = 900;
const PANEL_HEIGHT: u32 = 340;
const SMALL: (&str, i32) = ("sans-serif", 13);

/// Draws a panel for each goal.
pub fn draw(path: &Path, report: &AnalysisReport) -> Result<()> {
    // A pipe would wait for its reader.
    if path.exists() && !path.is_file() {
        bail!("{}: is not a regular file", path.display());
    }
    let panels = report.goals.len().max(1);
    let mut drawing = String::new();
    let draw = |drawing: &mut String| -> Result<()> {
        let size = (WIDTH, PANEL_HEIGHT * u32::try_from(panels)?);
        let root = SVGBackend::with_string(drawing, size).into_drawing_area();
        root.fill(&WHITE)?;
        let areas = root.split_evenly((panels, 1));
        for (nth, goal) in report.goals.iter().enumerate() {
            panel(
                areas.get(nth).ok_or_else(|| anyhow!("too few panels"))?,
                report,
                goal,
            )?;
        }
        Ok(root.present()?)
    };
    let drawn = draw(&mut drawing).and_then(|()| Ok(fs::write(path, drawing)?));
    drawn.with_context(|| path.display().to_string())
}

/// The intervals of all arms for one goal.
fn panel(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    report: &AnalysisReport,
    goal: &GoalReport,
) -> Result<()> {
    let looks = &goal.looks;
    let start = looks.first().map_or(0, |look| look.time);
    let end = looks.last().map_or(1, |look| look.time).max(start + 1);
    // Minutes, hours or days.
    let (unit, length) = match end - start {
        0..=7_200_000 => ("minutes", 60_000.0),
        7_200_001..=172_800_000 => ("hours", 3_600_000.0),
        _ => ("days", 86_400_000.0),
    };
    let x = |time: i64| (time - start) as f64 / length;
    let known = looks
        .iter()
        .flat_map(|look| look.differences.iter().flatten());
    let last = looks
        .last()
        .into_iter()
        .flat_map(|look| look.differences.iter().flatten());
    let size = |interval: (f64, f64)| interval.0.abs().max(interval.1.abs());
    // The first intervals are too wide to show whole.
    let widest = known
        .map(|effect| size(effect.always_valid))
        .fold(0.0, f64::max);
    let final_size = last
        .map(|effect| size(effect.always_valid))
        .fold(0.0, f64::max);
    let reach = 100.0 * widest.min(3.0 * final_size).max(1e-6);
    let mut chart = ChartBuilder::on(panel)
        .caption(
            format!("{}: conversion minus that of {}", goal.goal, report.control),
            ("sans-serif", 18),
        )
        .margin(12)
        .margin_right(30)
        .margin_bottom(26)
        .x_label_area_size(34)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..x(end), -reach..reach)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(format!("{unit} since the first look"))
        .y_desc("percentage points");
    mesh.light_line_style(WHITE).draw()?;
    let legend_y = i32::try_from(PANEL_HEIGHT)? - 16;
    let mut legend_x = 60;
    for (nth, arm) in report.arms.iter().enumerate().skip(1) {
        let colour = VERSIONS[arm.colour % VERSIONS.len()];
        let points = looks.iter().filter_map(|look| {
            let effect = look.differences.get(nth - 1)?.as_ref()?;
            let (low, high) = effect.always_valid;
            let [low, middle, high] =
                [low, effect.estimate, high].map(|share| (100.0 * share).clamp(-reach, reach));
            Some((x(look.time), low, middle, high))
        });
        let points: Vec<_> = points.collect();
        let upper = points.iter().map(|(x, _, _, high)| (*x, *high));
        let lower = points.iter().rev().map(|(x, low, ..)| (*x, *low));
        let band: Vec<_> = upper.chain(lower).collect();
        chart.draw_series([Polygon::new(band, colour.mix(0.3).filled())])?;
        let middle = points.iter().map(|(x, _, middle, _)| (*x, *middle));
        let style = colour.stroke_width(2);
        chart.draw_series(LineSeries::new(middle, style))?;
        let mark = [(legend_x, legend_y), (legend_x + 18, legend_y)];
        panel.draw(&PathElement::new(mark, style))?;
        let name = format!("{}, always-valid interval", arm.version);
        legend_x += 60 + 7 * i32::try_from(name.len())?;
        panel.draw(&Text::new(name, (mark[1].0 + 6, legend_y - 6), SMALL))?;
    }
    let zero = PathElement::new(vec![(0.0, 0.0), (x(end), 0.0)], BLACK.stroke_width(1));
    chart.draw_series([zero])?;
    Ok(())
}
