//! Bars and sparklines of block characters.

use divvy_demo::screen::{Look, Span};

use crate::load::Shares;

const WIDTH: usize = 40;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Explanation of the bars.
pub fn legend() -> Vec<Span> {
    vec![
        (Look::V2, "  █ v2".to_owned()),
        (Look::V1, "   ░ v1".to_owned()),
        (Look::Bad, "   ▁▂▃ failed requests per 0.1 s".to_owned()),
        (
            Look::Dim,
            "   percentages: share of users with v2".to_owned(),
        ),
    ]
}

/// Share of users with v2: `label   ██████░░░░ 60.0 % v2`.
pub fn bar(label: &str, shares: &Shares) -> Vec<Span> {
    let share = shares.of("v2");
    let mut line = vec![begin(label)];
    line.extend(blocks(share, Look::V2, Look::V1));
    line.push((Look::Plain, format!(" {:5.1} % v2", share * 100.0)));
    line
}

/// Part of a total: `label   ██████░░░░ 6 of 10`.
pub fn count(label: &str, part: u32, total: u32) -> Vec<Span> {
    let share = f64::from(part) / f64::from(total.max(1));
    let mut line = vec![begin(label)];
    line.extend(blocks(share, Look::Good, Look::Dim));
    line.push((Look::Plain, format!(" {part} of {total}")));
    line
}

/// Numbers of failures over time.
pub fn failures(values: &[f64]) -> Vec<Span> {
    vec![begin("failures"), (Look::Bad, spark(values))]
}

fn begin(label: &str) -> Span {
    (Look::Plain, format!("  {label:<10} "))
}

fn blocks(share: f64, full: Look, empty: Look) -> [Span; 2] {
    let width = (share * WIDTH as f64).round() as usize;
    let width = width.min(WIDTH);
    [
        (full, "█".repeat(width)),
        (empty, "░".repeat(WIDTH - width)),
    ]
}

/// The last values, scaled to the largest of all.
fn spark(values: &[f64]) -> String {
    let max = values.iter().copied().fold(0.0, f64::max);
    let recent = values.iter().skip(values.len().saturating_sub(WIDTH));
    let level = |value: f64| {
        let top = LEVELS.len() - 1;
        let height = if max > 0.0 {
            value / max * top as f64
        } else {
            0.0
        };
        LEVELS[(height.round() as usize).min(top)]
    };
    recent.map(|value| level(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &[Span]) -> String {
        line.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn a_bar_has_the_length_of_the_share() {
        for (v1, v2, full) in [(1, 0, 0), (3, 1, 10), (0, 5, 40)] {
            let shares = Shares::new([("v1", v1), ("v2", v2)]);
            let bar = text(&bar("", &shares));
            assert_eq!(bar.matches('█').count(), full);
            assert_eq!(bar.matches(['█', '░']).count(), WIDTH);
        }
    }

    #[test]
    fn a_count_has_the_length_of_its_share() {
        for (part, total, full) in [(0, 60, 0), (15, 60, 10), (60, 60, 40), (0, 0, 0)] {
            let line = text(&count("", part, total));
            assert_eq!(line.matches('█').count(), full, "{line}");
            assert_eq!(line.matches(['█', '░']).count(), WIDTH, "{line}");
            assert!(line.ends_with(&format!(" {part} of {total}")), "{line}");
        }
    }

    #[test]
    fn a_sparkline_ends_with_the_last_value_and_has_a_maximum_width() {
        assert_eq!(spark(&[0.0, 5.0, 10.0]), "▁▅█");
        assert_eq!(spark(&[0.0; 3]), "▁▁▁");
        assert_eq!(spark(&[1.0; 100]).chars().count(), WIDTH);
        assert_eq!(spark(&[]), "");
    }
}
