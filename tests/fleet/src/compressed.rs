//! Durations of rules and queries, divided by 60.

/// Seconds of an hour of the rules.
pub const HOUR: u64 = 60;

/// Replaces the durations in `[…]` and after `for: ` by a sixtieth: `[5m]` is `[5s]`, `for: 1h` is
/// `for: 60s`. Names such as `divvy:failure_ratio:rate5m` keep theirs.
#[must_use]
pub fn compressed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = next_duration(rest) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        let (number, unit) = after.split_at(digits);
        let seconds = match (number.parse::<u64>(), unit.chars().next()) {
            (Ok(hours), Some('h')) => Some(hours * HOUR),
            (Ok(minutes), Some('m')) => Some(minutes * HOUR / 60),
            _ => None,
        };
        match seconds {
            Some(seconds) => {
                out.push_str(&format!("{seconds}s"));
                rest = &unit[1..];
            }
            None => {
                out.push_str(number);
                rest = unit;
            }
        }
    }
    out.push_str(rest);
    out
}

/// Where a duration begins: behind `[` or `for: `.
fn next_duration(text: &str) -> Option<usize> {
    ["[", "for: "]
        .iter()
        .filter_map(|start| Some(text.find(start)? + start.len()))
        .min()
}

#[cfg(test)]
mod tests {
    use super::compressed;

    #[test]
    fn windows_and_delays_are_a_sixtieth_and_names_stay() {
        for (text, expected) in [
            ("rate(a:rate5m[5m]) > 0", "rate(a:rate5m[5s]) > 0"),
            (
                "x[1h] / y[6h]\n  for: 10m\n",
                "x[60s] / y[360s]\n  for: 10s\n",
            ),
            ("[$__range] for: you", "[$__range] for: you"),
        ] {
            assert_eq!(compressed(text), expected);
        }
    }
}
