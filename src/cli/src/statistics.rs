//! Confidence interval of a share, and p-value of a difference between shares.

use statrs::distribution::{ChiSquared, ContinuousCDF as _};

/// Half the width of a 95 % interval, in standard deviations of a normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The Wilson interval of `count` successes in `total` trials, both ends from 0 to 1.
pub fn interval(count: usize, total: usize) -> (f64, f64) {
    if total == 0 {
        return (0.0, 1.0);
    }
    let n = total as f64;
    let share = count as f64 / n;
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (
        ((middle - half) / scale).max(0.0),
        ((middle + half) / scale).min(1.0),
    )
}

/// The probability that chance alone gives a chi-square this large.
pub fn p_value(chi_square: f64, degrees: usize) -> f64 {
    if chi_square.is_infinite() {
        return 0.0;
    }
    let distribution = ChiSquared::new(degrees as f64);
    distribution.map_or(1.0, |distribution| distribution.sf(chi_square))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_equal_those_of_published_tables() {
        for (chi_square, degrees, expected) in [
            (3.841_458_8, 1, 0.05),
            (6.634_896_6, 1, 0.01),
            (5.991_464_5, 2, 0.05),
            (18.307_038, 10, 0.05),
            (4.0, 10, 0.947_346_98),
            (124.342_11, 100, 0.05),
            (0.0, 3, 1.0),
            (0.0, 0, 1.0),
            (f64::INFINITY, 2, 0.0),
        ] {
            let found = p_value(chi_square, degrees);
            assert!(
                (found - expected).abs() < 1e-6,
                "{chi_square}, {degrees}: {found}"
            );
        }
    }

    #[test]
    fn intervals_equal_published_wilson_intervals() {
        for (count, total, low, high) in [
            (0, 10, 0.0, 0.277_532),
            (5, 10, 0.236_593, 0.763_407),
            (10, 10, 0.722_467, 1.0),
        ] {
            let (from, to) = interval(count, total);
            assert!(
                (from - low).abs() < 1e-6 && (to - high).abs() < 1e-6,
                "{from} {to}"
            );
        }
    }
}
