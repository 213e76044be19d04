//! Requests, and the responses of versions to them. Must not depend on workers or shared data.

use std::time::Duration;

use rand_distr::{Distribution, LogNormal, Poisson, StandardUniform};
use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;

use super::TICK;
use crate::guardrail::evidence::Tally;
use crate::guardrail::local::Local;
use crate::guardrail::plan::{Arm, Plan};
use crate::response::HealthSample;

/// Errors and latency of a version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behaviour {
    /// Share of failed requests.
    pub errors: f64,
    /// Latency, if it matters.
    pub pace: Option<Pace>,
}

/// Log-normal distribution of latency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Median.
    pub median: Duration,
    /// Standard deviation of the logarithm.
    pub spread: f64,
}

impl Behaviour {
    /// Fails this share of requests.
    pub const fn failing(errors: f64) -> Self {
        Self { errors, pace: None }
    }

    /// Never fails and has this latency.
    pub const fn slow(median: Duration, spread: f64) -> Self {
        Self {
            errors: 0.0,
            pace: Some(Pace { median, spread }),
        }
    }
}

/// Source of requests.
#[derive(Clone, Debug)]
pub struct Traffic {
    random: Pcg64Mcg,
}

/// Distributions of the requests to one version.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    all: Option<Poisson<f64>>,
    good: Option<Poisson<f64>>,
    bad: Option<Poisson<f64>>,
    errors: f64,
    pace: Option<LogNormal<f64>>,
}

impl Arrivals {
    /// `rate`: requests per second.
    pub fn new(rate: f64, behaviour: Behaviour) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a thousand")]
        let expected = rate * TICK as f64 / 1_000.0;
        // The distribution with mean 0 does not exist.
        let poisson = |mean| Poisson::new(mean).ok();
        let pace = behaviour.pace.and_then(|pace| {
            let location = libm::log(pace.median.as_secs_f64());
            LogNormal::new(location, pace.spread).ok()
        });
        Self {
            all: poisson(expected),
            good: poisson(expected * (1.0 - behaviour.errors)),
            bad: poisson(expected * behaviour.errors),
            errors: behaviour.errors,
            pace,
        }
    }
}

impl Traffic {
    /// Source with this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Pcg64Mcg::seed_from_u64(seed),
        }
    }

    /// Random number from 0 to below 1.
    pub fn fraction(&mut self) -> f64 {
        StandardUniform.sample(&mut self.random)
    }

    /// Random index below `of`.
    pub fn pick(&mut self, of: usize) -> usize {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "small, not negative, and `as` saturates"
        )]
        let pick = (self.fraction() * of as f64) as usize;
        pick.min(of.saturating_sub(1))
    }

    /// Draws the requests of one tick and counts them in `local`. Returns their number.
    pub fn tick(&mut self, plan: &Plan, local: &mut Local, arm: Arm, arrivals: &Arrivals) -> Tally {
        let each = plan.guardrail.consecutive_errors.is_some() || arrivals.pace.is_some();
        if !each {
            let (good, bad) = (self.draw(arrivals.good), self.draw(arrivals.bad));
            let all = good.saturating_add(bad);
            let tally = Tally { bad, all };
            if all > 0 {
                local.count(arm, tally);
            }
            return tally;
        }
        let mut tally = Tally::default();
        for _ in 0..self.draw(arrivals.all) {
            let fails = self.fraction() < arrivals.errors;
            let latency = arrivals.pace.map(|pace| pace.sample(&mut self.random));
            let latency = latency.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
            let sample = if fails {
                HealthSample::Failure
            } else {
                HealthSample::Success
            };
            let _ = local.record(plan, arm, sample, latency);
            let bad = u32::from(fails);
            tally = tally.plus(Tally { bad, all: 1 });
        }
        tally
    }

    fn draw(&mut self, distribution: Option<Poisson<f64>>) -> u32 {
        let drawn = distribution.map_or(0.0, |poisson| poisson.sample(&mut self.random));
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole, not negative, and `as` saturates"
        )]
        let drawn = drawn as u32;
        drawn
    }
}
