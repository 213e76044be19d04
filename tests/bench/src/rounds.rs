//! The rounds: every variant in each of them, in an order that is drawn anew.

use std::time::Duration;

use anyhow::{Context, Result};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

use crate::stage::Stage;
use crate::statistics::Rounds;
use crate::traffic::{CONNECTIONS, Crowd};
use crate::variants::{NATIVE, UNIT, Variant};

/// A round goes through all variants so many times, so that what slows the machine down for a
/// moment does not hit one of them alone.
const PASSES: usize = 4;
/// On each connection, before the time is taken: the caches forget much meanwhile.
const LEAD: usize = 8;
/// These two are in every ratio, so they are measured so many times as often.
const OFTEN: usize = 3;

/// How much is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds before them, until V8 has compiled everything as well as it can.
    pub warm_up: usize,
    /// Requests of each variant in each round.
    pub requests: usize,
}

/// Measures, and calls `progress` after each round.
pub async fn measure(
    stage: &Stage,
    variants: &[Variant],
    plan: Plan,
    mut progress: impl FnMut(usize),
) -> Result<Rounds> {
    let mut crowds = Vec::new();
    for variant in variants {
        let requests = variant.requests.clone();
        let crowd = Crowd::gather(&stage.socket(variant), requests).await;
        crowds.push(crowd.with_context(|| variant.id)?);
    }
    let each = (plan.requests / PASSES / CONNECTIONS).max(1);
    let mut random = Pcg64::seed_from_u64(9);
    let mut measured = Rounds::of(variants);
    for round in 0..plan.warm_up + plan.rounds {
        let mut sums = vec![(Duration::ZERO, 0_u32); variants.len()];
        for _ in 0..PASSES {
            for nth in order(variants, &mut random) {
                let took = slice(stage, &mut crowds[nth], each).await;
                let took = took.with_context(|| variants[nth].id)?;
                sums[nth] = (sums[nth].0 + took, sums[nth].1 + 1);
            }
        }
        if round >= plan.warm_up {
            let mean = |(time, slices): &(Duration, u32)| {
                time.as_secs_f64() * 1e6 / f64::from(*slices) / (each * CONNECTIONS) as f64
            };
            measured.push(sums.iter().map(mean).collect());
        }
        progress(round + 1);
    }
    Ok(measured)
}

/// How long the worker runs for so many requests on each connection.
async fn slice(stage: &Stage, crowd: &mut Crowd, each: usize) -> Result<Duration> {
    crowd.send(LEAD).await?;
    let before = stage.worker.time_asleep()?;
    crowd.send(each).await?;
    // All that it does after the last answer is in it.
    Ok(stage.worker.time_asleep()? - before)
}

/// The variants in an order of chance.
fn order(variants: &[Variant], random: &mut Pcg64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..variants.len())
        .flat_map(|nth| {
            let often = [NATIVE, UNIT].contains(&variants[nth].id);
            std::iter::repeat_n(nth, if often { OFTEN } else { 1 })
        })
        .collect();
    for last in (1..order.len()).rev() {
        order.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::variants::all;

    #[test]
    fn every_variant_is_in_every_pass_and_the_order_differs() {
        let variants = all();
        let mut random = Pcg64::seed_from_u64(1);
        let first = order(&variants, &mut random);
        let second = order(&variants, &mut random);
        assert_ne!(first, second);
        for pass in [first, second] {
            for (nth, variant) in variants.iter().enumerate() {
                let times = pass.iter().filter(|other| **other == nth).count();
                let often = [NATIVE, UNIT].contains(&variant.id);
                assert_eq!(times, if often { OFTEN } else { 1 }, "{}", variant.id);
            }
        }
    }
}
