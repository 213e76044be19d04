//! `range`: decimal numbers.

/// Maximum length of a number in bytes; longer ones are outside of every range.
const MAX_BYTES: usize = 64;

/// A range of numbers: `min` is inclusive, `max` exclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// `None`: no lower bound.
    pub min: Option<f64>,
    /// `None`: no upper bound.
    pub max: Option<f64>,
}

impl Range {
    /// Whether the value is a decimal number in the range.
    pub fn accepts(&self, value: &[u8]) -> bool {
        decimal(value).is_some_and(|number| {
            self.min.is_none_or(|min| min <= number) && self.max.is_none_or(|max| number < max)
        })
    }
}

/// A decimal number without exponent: `-12`, `0.5`.
fn decimal(value: &[u8]) -> Option<f64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let plain = parts.all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit));
    if !plain || value.len() > MAX_BYTES {
        return None;
    }
    // Read as JSON, which does not allow leading zeros.
    let zeros = digits.iter().take_while(|byte| **byte == b'0').count();
    let rest = digits.get(zeros..)?;
    let rest = match rest {
        [] | [b'.', ..] => digits.get(zeros.saturating_sub(1)..)?,
        rest => rest,
    };
    let number = divvy_json::number(rest)?;
    Some(if value.starts_with(b"-") {
        -number
    } else {
        number
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_bound_is_inclusive_and_the_upper_one_exclusive() {
        let range = |min, max| Range { min, max };
        for (range, value, accepted) in [
            (range(Some(10.0), Some(20.0)), "10", true),
            (range(Some(10.0), Some(20.0)), "10.0", true),
            (range(Some(10.0), Some(20.0)), "19.999", true),
            (range(Some(10.0), Some(20.0)), "20", false),
            (range(Some(10.0), Some(20.0)), "9.999", false),
            (range(Some(10.0), None), "1000000", true),
            (range(None, Some(20.0)), "-5", true),
            (range(Some(-0.5), None), "-0.5", true),
            (range(None, Some(20.0)), "007", true),
        ] {
            assert_eq!(range.accepts(value.as_bytes()), accepted, "{value}");
        }
    }

    #[test]
    fn other_text_than_a_decimal_number_is_outside_of_every_range() {
        let all = Range {
            min: Some(f64::MIN),
            max: None,
        };
        for value in [
            "", "-", "+1", "1e3", "0x10", "inf", "NaN", " 1", "1 ", "1,5", ".5", "5.", "1.2.3",
            "--1", "1_000", "１",
        ] {
            assert!(!all.accepts(value.as_bytes()), "{value:?}");
        }
        assert!(!all.accepts(b"\xff"));
        assert!(!all.accepts("9".repeat(MAX_BYTES + 1).as_bytes()));
    }
}
