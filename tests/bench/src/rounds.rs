//! Measurement rounds: all variants in a random order.

use std::time::Duration;

use anyhow::{Context, Result};
use rand_pcg::Pcg64;
use rand_pcg::rand_core::{Rng, SeedableRng};

use crate::stage::Stage;
use crate::statistics::Rounds;
use crate::traffic::{CONNECTIONS, Clients};
use crate::variants::{NATIVE, UNIT, Variant};

/// Number of passes over all variants per round, so that a short disturbance of the machine does
/// not affect one variant alone.
const PASSES: usize = 4;
/// Unmeasured requests per connection that fill the caches again.
const LEAD: usize = 8;
/// Native and the SDK are part of every ratio and are measured this many times as often.
const OFTEN: usize = 3;

/// Extent of the measurement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Measured rounds.
    pub rounds: usize,
    /// Rounds before them, until V8 has optimized all code.
    pub warm_up: usize,
    /// Requests per variant and round.
    pub requests: usize,
}

/// Measures; calls `progress` after each round.
pub async fn measure(
    stage: &Stage,
    variants: &[Variant],
    plan: Plan,
    mut progress: impl FnMut(usize),
) -> Result<Rounds> {
    let mut clients = Vec::new();
    for variant in variants {
        let requests = variant.requests.clone();
        let connected = Clients::connect(&stage.socket(variant), requests).await;
        clients.push(connected.with_context(|| variant.id)?);
    }
    let each = (plan.requests / PASSES / CONNECTIONS).max(1);
    let mut random = Pcg64::seed_from_u64(9);
    let mut measured = Rounds::of(variants);
    for round in 0..plan.warm_up + plan.rounds {
        let mut sums = vec![(Duration::ZERO, 0_u32); variants.len()];
        for _ in 0..PASSES {
            for nth in order(variants, &mut random) {
                let took = slice(stage, &mut clients[nth], each).await;
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

/// CPU time of the worker for this many requests per connection.
async fn slice(stage: &Stage, connected: &mut Clients, each: usize) -> Result<Duration> {
    connected.send(LEAD).await?;
    let before = stage.worker.time_asleep()?;
    connected.send(each).await?;
    // Includes the work after the last response.
    Ok(stage.worker.time_asleep()? - before)
}

/// The variants in a random order.
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
