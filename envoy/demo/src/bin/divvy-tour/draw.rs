//! Bars and spark lines of block characters.

use crate::load::Shares;

const WIDTH: usize = 40;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How many of the users have v2: `██████░░░░ 60.0 % v2`.
pub fn bar(shares: &Shares) -> String {
    let share = shares.of("v2");
    format!("{} {:5.1} % v2", blocks(share), share * 100.0)
}

/// How many of all: `██████░░░░ 6 of 10`.
pub fn count(some: u32, all: u32) -> String {
    let share = f64::from(some) / f64::from(all.max(1));
    format!("{} {some} of {all}", blocks(share))
}

fn blocks(share: f64) -> String {
    let full = (share * WIDTH as f64).round() as usize;
    let full = full.min(WIDTH);
    "█".repeat(full) + &"░".repeat(WIDTH - full)
}

/// The last values of something, between 0 and the largest of them.
pub fn spark(values: &[f64]) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let recent = values.iter().skip(values.len().saturating_sub(WIDTH));
    let level = |value: f64| {
        let top = LEVELS.len() - 1;
        let place = if most > 0.0 {
            value / most * top as f64
        } else {
            0.0
        };
        LEVELS[(place.round() as usize).min(top)]
    };
    recent.map(|value| level(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_the_share() {
        for (v1, v2, full) in [(1, 0, 0), (3, 1, 10), (0, 5, 40)] {
            let shares = Shares::new([("v1", v1), ("v2", v2)]);
            assert_eq!(bar(&shares).matches('█').count(), full);
            assert_eq!(bar(&shares).matches(['█', '░']).count(), WIDTH);
        }
    }

    #[test]
    fn a_count_is_drawn_as_its_share() {
        for (some, all, full) in [(0, 60, 0), (15, 60, 10), (60, 60, 40), (0, 0, 0)] {
            let drawn = count(some, all);
            assert_eq!(drawn.matches('█').count(), full, "{drawn}");
            assert_eq!(drawn.matches(['█', '░']).count(), WIDTH, "{drawn}");
            assert!(drawn.ends_with(&format!(" {some} of {all}")), "{drawn}");
        }
    }

    #[test]
    fn a_spark_line_ends_with_the_last_value_and_fits() {
        assert_eq!(spark(&[0.0, 5.0, 10.0]), "▁▅█");
        assert_eq!(spark(&[0.0; 3]), "▁▁▁");
        assert_eq!(spark(&[1.0; 100]).chars().count(), WIDTH);
        assert_eq!(spark(&[]), "");
    }
}
