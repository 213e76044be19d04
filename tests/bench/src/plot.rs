//! Plot of the ratios.

use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::statistics::{Row, Verdict};
use crate::variants::Group;

const WIDTH: u32 = 900;
const LINE: u32 = 24;
const AROUND: u32 = 110;
/// Colours that remain distinct with colour blindness.
const DIVVY: RGBColor = RGBColor(0, 114, 178);
const MODULE: RGBColor = RGBColor(0, 158, 115);
const OTHERS: RGBColor = RGBColor(120, 120, 120);
const GOAL: RGBColor = RGBColor(213, 94, 0);

/// Draws the ratios to the empty SDK filter with intervals and goals.
pub fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    let rows: Vec<_> = [Group::Reference, Group::Path, Group::Module]
        .into_iter()
        .flat_map(|group| rows.iter().filter(move |row| row.variant.group == group))
        .collect();
    let lines = rows.len();
    let right = rows
        .iter()
        .map(|row| row.ratio.high.max(goal(row).unwrap_or(0.0)));
    let right = right.fold(1.0, f64::max) * 1.05;
    let height = LINE * u32::try_from(lines)? + AROUND;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    // A white background, also for pages with a dark theme.
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(
            "CPU per request over a route without a filter; the empty SDK filter is 1",
            ("sans-serif", 17),
        )
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(440)
        .build_cartesian_2d(0.0..right, 0.0..lines as f64)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 13))
        .draw()?;
    for (nth, row) in rows.iter().enumerate() {
        let middle = (lines - nth) as f64 - 0.5;
        let colour = match row.variant.group {
            Group::Path => DIVVY,
            Group::Module => MODULE,
            _ => OTHERS,
        };
        let ratio = &row.ratio;
        let bar = vec![(ratio.low, middle), (ratio.high, middle)];
        chart.draw_series([PathElement::new(bar, colour.stroke_width(5))])?;
        chart.draw_series([Circle::new((ratio.median, middle), 4, colour.filled())])?;
        if let Some(goal) = goal(row) {
            let line = vec![(goal, middle - 0.4), (goal, middle + 0.4)];
            chart.draw_series([PathElement::new(line, GOAL.stroke_width(3))])?;
        }
        label(&root, row, nth, height, lines)?;
    }
    let legend = "blue: divvy; green: its native module; grey: others; dot: median of paired rounds; bar: its 95 % interval; orange: goal, 1.3 times the hand-written twin";
    let style = ("sans-serif", 13).into_font().color(&BLACK);
    let style = style.pos(Pos::new(HPos::Center, VPos::Center));
    let below = (WIDTH.cast_signed() / 2, height.cast_signed() - 18);
    root.draw(&Text::new(legend, below, style))?;
    root.present()?;
    Ok(())
}

/// Goal as a ratio to the empty SDK filter: a multiple of the ratio of the hand-written twin.
fn goal(row: &Row) -> Option<f64> {
    let (_, twin) = row.by_hand.as_ref()?;
    let mut goals = row.goals.iter();
    let (goal, ..) = goals.find(|(goal, ..)| row.variant.by_hand == Some(goal.than))?;
    Some(goal.at_most * twin.median)
}

/// The name left of the line, and the figure.
fn label(
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    row: &Row,
    nth: usize,
    height: u32,
    lines: usize,
) -> Result<()> {
    let top = 14 + 23;
    let room = f64::from(height - top - 44 - 14) / lines as f64;
    let at = f64::from(top) + (nth as f64 + 0.5) * room;
    let weight = if row.variant.group == Group::Path {
        FontStyle::Bold
    } else {
        FontStyle::Normal
    };
    let missed = row
        .goals
        .iter()
        .any(|(.., verdict)| *verdict == Verdict::Missed);
    let mark = if missed { " ✗" } else { "" };
    let name = row.variant.name.replace('`', "");
    let text = format!("{name}  {:.2}{mark}", row.ratio.median);
    let style = ("sans-serif", 13, weight).into_font().color(&BLACK);
    let style = style.pos(Pos::new(HPos::Right, VPos::Center));
    root.draw(&Text::new(text, (14 + 432, at as i32), style))?;
    Ok(())
}
