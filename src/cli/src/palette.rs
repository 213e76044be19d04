//! The colours of terminal output and plots: one for each version, one for failures. Must not
//! depend on other modules.

use anstyle::{AnsiColor, Style};
use plotters::style::RGBColor;

pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();
pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default();

/// Versions of a plot, in the order of the configuration. This is the palette of Okabe and Ito,
/// which people with a colour vision deficiency can tell apart.
pub const VERSIONS: [RGBColor; 5] = [
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(240, 228, 66),
];
/// Failures in a plot, from the same palette.
pub const FAILURE: RGBColor = RGBColor(213, 94, 0);

/// The style of a version on a terminal, by its index.
pub const fn version(index: usize) -> Style {
    const COLOURS: [AnsiColor; 4] = [
        AnsiColor::Cyan,
        AnsiColor::Yellow,
        AnsiColor::Blue,
        AnsiColor::Magenta,
    ];
    COLOURS[index % COLOURS.len()].on_default()
}
