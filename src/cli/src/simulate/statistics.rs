//! The few statistics that shares need.

/// 95 % of a normal distribution lie within so many deviations.
const Z: f64 = 1.959_963_984_540_054;

/// The interval of a share that was seen in so many of so many (Wilson), in 0 to 1.
pub fn interval(seen: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let n = of as f64;
    let share = seen as f64 / n;
    let middle = share + Z * Z / (2.0 * n);
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let whole = 1.0 + Z * Z / n;
    (
        ((middle - half) / whole).max(0.0),
        ((middle + half) / whole).min(1.0),
    )
}

/// How likely a chi-square of so many degrees of freedom is this large by chance.
pub fn p_value(chi_square: f64, degrees: usize) -> f64 {
    if degrees == 0 || chi_square <= 0.0 {
        return 1.0;
    }
    upper_gamma(degrees as f64 / 2.0, chi_square / 2.0)
}

/// The regularized upper incomplete gamma function: by its series below the bend, by Lentz's
/// continued fraction above it.
fn upper_gamma(a: f64, x: f64) -> f64 {
    let front = (a * x.ln() - x - libm::lgamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-15 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    let mut b = x + 1.0 - a;
    let (mut c, mut d) = (1e300, 1.0 / b);
    let mut fraction = d;
    for n in 1..10_000 {
        let an = -f64::from(n) * (f64::from(n) - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        let change = c * d;
        fraction *= change;
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    (front * fraction).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p_values_are_those_of_the_tables() {
        for (chi_square, degrees, expected) in [
            (3.841_458_8, 1, 0.05),
            (6.634_896_6, 1, 0.01),
            (5.991_464_5, 2, 0.05),
            (18.307_038, 10, 0.05),
            (4.0, 10, 0.947_346_98),
            (124.342_11, 100, 0.05),
            (0.0, 3, 1.0),
        ] {
            let found = p_value(chi_square, degrees);
            assert!(
                (found - expected).abs() < 1e-6,
                "{chi_square}, {degrees}: {found}"
            );
        }
    }

    #[test]
    fn an_interval_is_where_wilson_puts_it() {
        for (seen, of, low, high) in [
            (0, 10, 0.0, 0.277_532),
            (5, 10, 0.236_593, 0.763_407),
            (10, 10, 0.722_467, 1.0),
        ] {
            let (from, to) = interval(seen, of);
            assert!(
                (from - low).abs() < 1e-6 && (to - high).abs() < 1e-6,
                "{from} {to}"
            );
        }
    }
}
