//! The conversion of each arm as it was known at several times. Must not depend on output.

use serde::Serialize;

use super::ledger::UnitLedger;
use super::statistics::{ArmSample, Confidence, Effect};

/// What was known at one time.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimedLook {
    /// The time, in milliseconds since 1970.
    pub time: i64,
    /// By arm: units that were exposed before it.
    pub units: Vec<u64>,
    /// By arm: those of them with an outcome before it.
    pub converted: Vec<u64>,
    /// By arm without the control: the difference to the control.
    pub differences: Vec<Option<Effect>>,
}

/// Looks at equal distances from the first exposure to the last line, for one goal.
pub fn looks(
    ledger: &UnitLedger,
    arms: usize,
    goal: usize,
    number: usize,
    confidence: Confidence,
) -> Vec<TimedLook> {
    let units: Vec<_> = ledger.exposed().collect();
    let first = units.iter().map(|unit| unit.exposed).min();
    let times = units.iter().flat_map(|unit| {
        let outcome = ledger.outcomes(unit, goal).first;
        [Some(unit.exposed), outcome].into_iter().flatten()
    });
    let (Some(first), Some(last)) = (first, times.max()) else {
        return Vec::new();
    };
    let length = (last - first + 1) as i128;
    let look = |time: i64| ((time - first) as i128 * number as i128 / length) as usize;
    let mut counts = vec![(vec![0_u64; arms], vec![0_u64; arms]); number];
    for unit in &units {
        counts[look(unit.exposed)].0[unit.arm] += 1;
        if let Some(time) = ledger.outcomes(unit, goal).first {
            counts[look(time)].1[unit.arm] += 1;
        }
    }
    let (mut exposed, mut converted) = (vec![0; arms], vec![0; arms]);
    let looks = counts.into_iter().enumerate().map(|(nth, counts)| {
        for arm in 0..arms {
            exposed[arm] += counts.0[arm];
            converted[arm] += counts.1[arm];
        }
        let sample = |arm: usize| ArmSample::of_share(exposed[arm] as f64, converted[arm] as f64);
        let differences = (1..arms).map(|arm| confidence.difference(sample(0), sample(arm)));
        TimedLook {
            time: first + (length * (nth as i128 + 1) / number as i128) as i64,
            units: exposed.clone(),
            converted: converted.clone(),
            differences: differences.collect(),
        }
    });
    looks.collect()
}
