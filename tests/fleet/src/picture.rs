//! The panels of the dashboard as SVG, from the answers of a real Prometheus. Grafana is not needed; its
//! grid, titles, legends and units are those of the dashboard.

use std::fmt::Write as _;

use crate::dashboard::Panel;
use crate::prometheus::Series;

/// Pixels of a column and a row of Grafana's grid.
const CELL: (f64, f64) = (50.0, 30.0);
const COLORS: [&str; 10] = [
    "#3274d9", "#e0752d", "#56a64b", "#e02f44", "#8f3bb8", "#f2cc0c", "#33a2e5", "#96d98d",
    "#ff9830", "#705da0",
];
/// Colors of the states of a guardrail.
const STATES: [(&str, &str); 4] = [
    ("healthy", "#56a64b"),
    ("frozen", "#ff9830"),
    ("rolled back", "#e02f44"),
    ("unreachable", "#8f3bb8"),
];

/// A panel with its lines: name and series.
pub struct Drawn<'a> {
    /// The panel.
    pub panel: &'a Panel,
    /// Its lines.
    pub lines: Vec<(String, Series)>,
}

/// Draws panels between two times, with marks for annotations: seconds since 1970, color.
#[must_use]
pub fn draw(panels: &[Drawn<'_>], from: f64, to: f64, marks: &[(f64, &str)]) -> String {
    let rows = panels
        .iter()
        .map(|drawn| drawn.panel.place[1] + drawn.panel.place[3])
        .max()
        .unwrap_or(0);
    let (width, height) = (24.0 * CELL.0, rows as f64 * CELL.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#f4f5f5\"/>\n"
    );
    for drawn in panels {
        let [x, y, w, h] = drawn.panel.place.map(|side| side as f64);
        let frame = Frame {
            width: w * CELL.0 - 8.0,
            height: h * CELL.1 - 8.0,
            from,
            to,
        };
        let _ = write!(
            svg,
            "<g transform=\"translate({},{})\">\n<rect width=\"{}\" height=\"{}\" fill=\"#fff\" stroke=\"#dcdedf\"/>\n\
             <text x=\"8\" y=\"18\" font-weight=\"bold\">{}</text>\n",
            x * CELL.0 + 4.0,
            y * CELL.1 + 4.0,
            frame.width,
            frame.height,
            escape(&drawn.panel.title)
        );
        svg += &match drawn.panel.kind.as_str() {
            "stat" => stat(&frame, drawn),
            "state-timeline" => timeline(&frame, drawn),
            "table" => table(&frame, drawn),
            _ => lines(&frame, drawn, marks),
        };
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

struct Frame {
    width: f64,
    height: f64,
    from: f64,
    to: f64,
}

impl Frame {
    fn x(&self, left: f64, right: f64, time: f64) -> f64 {
        left + (time - self.from) / (self.to - self.from) * (right - left)
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn last(series: &Series) -> f64 {
    series.samples.last().map_or(0.0, |(_, value)| *value)
}

fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "percentunit" => format!("{:.1} %", value * 100.0),
        "reqps" => format!("{value:.0} req/s"),
        "ms" => format!("{value:.1} ms"),
        _ => format!("{value:.0}"),
    }
}

fn stat(frame: &Frame, drawn: &Drawn<'_>) -> String {
    let value = drawn.lines.first().map_or(0.0, |(_, series)| last(series));
    format!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"34\">{value:.0}</text>\n",
        frame.width / 2.0,
        frame.height * 0.7
    )
}

fn lines(frame: &Frame, drawn: &Drawn<'_>, marks: &[(f64, &str)]) -> String {
    let (left, right, top, bottom) = (52.0, frame.width - 190.0, 32.0, frame.height - 14.0);
    let unit = drawn.panel.unit.as_str();
    let values = drawn.lines.iter().flat_map(|(_, series)| &series.samples);
    let highest = values.map(|(_, value)| *value).fold(0.0, f64::max);
    let scale = if highest > 0.0 { highest * 1.1 } else { 1.0 };
    let mut svg = String::new();
    for part in 0..=4 {
        let y = bottom - f64::from(part) / 4.0 * (bottom - top);
        let value = with_unit(scale * f64::from(part) / 4.0, unit);
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#e8e9ea\"/><text x=\"{}\" y=\"{:.1}\" font-size=\"9\" text-anchor=\"end\">{value}</text>",
            left - 4.0,
            y + 3.0
        );
    }
    for (time, color) in marks {
        let x = frame.x(left, right, *time);
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"{color}\" stroke-dasharray=\"3 3\"/>"
        );
    }
    for (number, (name, series)) in drawn.lines.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let mut path = String::new();
        let mut before = f64::NEG_INFINITY;
        for (time, value) in &series.samples {
            // A gap of the series is a gap of the line.
            let command = if time - before > 1.1 { 'M' } else { 'L' };
            let y = bottom - value / scale * (bottom - top);
            let _ = write!(path, "{command}{:.1} {y:.1}", frame.x(left, right, *time));
            before = *time;
        }
        let y = top + 4.0 + 16.0 * number as f64;
        let dash = if name.ends_with("configured") {
            " stroke-dasharray=\"6 3\""
        } else {
            ""
        };
        let _ = write!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"1.8\"{dash}/>\n\
             <rect x=\"{}\" y=\"{}\" width=\"10\" height=\"3\" fill=\"{color}\"/>\
             <text x=\"{}\" y=\"{}\" font-size=\"10\">{} {}</text>\n",
            right + 10.0,
            y - 4.0,
            right + 24.0,
            y,
            escape(name),
            with_unit(last(series), unit)
        );
    }
    svg
}

fn timeline(frame: &Frame, drawn: &Drawn<'_>) -> String {
    let (left, right) = (90.0, frame.width - 12.0);
    let mut svg = String::new();
    for (number, (name, series)) in drawn.lines.iter().enumerate() {
        let y = 36.0 + 34.0 * number as f64;
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{}\" font-size=\"10\">{}</text>",
            y + 16.0,
            escape(name)
        );
        for pair in series.samples.windows(2) {
            let [(time, state), (next, _)] = pair else {
                continue;
            };
            let color = STATES
                .get(*state as usize)
                .map_or("#999", |(_, color)| color);
            let (x, end) = (frame.x(left, right, *time), frame.x(left, right, *next));
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"26\" fill=\"{color}\"/>",
                end - x + 0.3
            );
        }
    }
    for (number, (state, color)) in STATES.iter().enumerate() {
        let (x, y) = (90.0 + 100.0 * number as f64, frame.height - 14.0);
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{color}\"/><text x=\"{}\" y=\"{y}\" font-size=\"10\">{state}</text>",
            y - 9.0,
            x + 14.0
        );
    }
    svg
}

fn table(_: &Frame, drawn: &Drawn<'_>) -> String {
    let mut svg = String::new();
    for (column, head) in ["plugin", "proxy", "hash"].iter().enumerate() {
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"40\" fill=\"#666\">{head}</text>",
            12.0 + 170.0 * column as f64
        );
    }
    for (row, (_, series)) in drawn.lines.iter().enumerate() {
        for (column, label) in ["divvy_plugin", "instance", "hash"].iter().enumerate() {
            let (x, y) = (12.0 + 170.0 * column as f64, 62.0 + 20.0 * row as f64);
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{y}\">{}</text>",
                escape(series.label(label))
            );
        }
    }
    svg
}
