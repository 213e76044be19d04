//! Conversions of durations and shares, and their text in log lines. Must not depend on other
//! modules of the guardrail.

use std::fmt;
use std::time::Duration;

use crate::bucket::Share;

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The share as a fraction from 0 to 1.
pub(super) fn fraction(share: Share) -> f64 {
    f64::from(share.ppm()) / 1e6
}

/// Displays a value as a configuration writes it.
pub(super) struct AsConfigured<T>(pub T);

impl fmt::Display for AsConfigured<Share> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(u64::from(self.0.ppm()), f)?;
        f.write_str(" %")
    }
}

impl fmt::Display for AsConfigured<f64> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and `as` saturates"
        )]
        let ten_thousandths = libm::round(self.0 * 10_000.0) as u64;
        decimal(ten_thousandths, f)
    }
}

/// Writes ten thousandths as a decimal number. Not by the standard library's formatting of
/// floating point numbers, which adds 18 KB to the module.
fn decimal(ten_thousandths: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", ten_thousandths / 10_000)?;
    let mut rest = ten_thousandths % 10_000;
    if rest > 0 {
        f.write_str(".")?;
    }
    let mut unit = 1_000;
    while let Some(digit) = rest.checked_div(unit)
        && rest > 0
    {
        write!(f, "{digit}")?;
        rest = rest.checked_rem(unit).unwrap_or_default();
        unit /= 10;
    }
    Ok(())
}

impl fmt::Display for AsConfigured<Duration> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = millis(self.0);
        for (unit, name) in [(3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
            if millis >= unit && millis.checked_rem(unit) == Some(0) {
                let count = millis.checked_div(unit).unwrap_or_default();
                return write!(f, "{count}{name}");
            }
        }
        write!(f, "{millis}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_displayed_as_in_a_configuration() {
        for (number, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (1.05, "1.05"),
            (0.9999, "0.9999"),
            (0.0001, "0.0001"),
            (33.3333, "33.3333"),
            (1_000.5, "1000.5"),
        ] {
            assert_eq!(AsConfigured(number).to_string(), text);
        }
        for (percent, text) in [(0.0001, "0.0001 %"), (5.0, "5 %"), (100.0, "100 %")] {
            let share = Share::from_percent(percent).unwrap();
            assert_eq!(AsConfigured(share).to_string(), text);
        }
        for (millis, text) in [
            (0, "0ms"),
            (320, "320ms"),
            (1_500, "1500ms"),
            (90_000, "90s"),
            (120_000, "2m"),
            (86_400_000, "24h"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(AsConfigured(duration).to_string(), text);
        }
    }
}
