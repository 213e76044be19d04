//! The share of users that each version gets, compared with the configured one.

use std::collections::BTreeMap;

use divvy::decision::Reason;
use divvy::policy::{Policy, Rollout, RolloutId};
use divvy::strategy::Strategy;
use serde::Serialize;
use serde_json::Value;

use crate::environment::GivenEnvironment;
use crate::explain::input::HeaderList;
use crate::explain::schedule::{self, StepSchedule};
use crate::output::percent;
use crate::population::RequestTemplate;
use crate::source::LoadedConfig;
use crate::statistics::{interval, p_value};
use crate::warnings;

/// A p-value below this is a sample-ratio mismatch.
pub const MISMATCH: f64 = 0.001;
/// Maximum number of pairs of rollouts in a report.
const MAX_PAIRS: usize = 190;

/// The shares of a rollout's versions.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutShares {
    /// Name of the rollout.
    pub rollout: String,
    /// Users of the rollout.
    pub users: usize,
    /// Those of them whose version a rule forces.
    pub by_rule: usize,
    /// In the order of the configuration.
    pub versions: Vec<VersionShare>,
    /// Probability that chance alone makes the shares of users without a rule differ this much from the configured
    /// ones.
    pub p_value: f64,
    /// Whether that probability is below 0.001: a sample-ratio mismatch.
    pub mismatch: bool,
    /// Why the guardrail never judges, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<String>,
    /// The schedule of a canary that grows over time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub schedule: Vec<StepSchedule>,
}

/// The share of a version.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionShare {
    /// Name of the version.
    pub version: String,
    /// Number of users, also by a rule.
    pub users: usize,
    /// The same in percent of the rollout's users.
    pub percent: f64,
    /// Interval of the percentage with a confidence of 95 %.
    pub interval: (f64, f64),
    /// Percentage that the strategy gives it, of the users without a rule.
    pub configured: f64,
    /// Users by reason of the decision.
    pub reasons: BTreeMap<&'static str, usize>,
    /// Whether it is the control of an A/B test: its users with the reasons `split` and `sticky` are compared, and
    /// the others are outside the test.
    pub control: bool,
}

/// The users whom two rollouts have in common.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Overlap {
    /// Names of the rollouts.
    pub rollouts: [String; 2],
    /// Users in both, in percent.
    pub percent: f64,
    /// The same if the rollouts were independent.
    pub by_chance: f64,
    /// Probability that chance alone makes the versions of these users depend on each other
    /// this much.
    pub p_value: f64,
}

/// The version of each user in each rollout.
pub struct PopulationSample {
    rollouts: Vec<RolloutSample>,
}

/// The users of a rollout, in the order of the population.
#[derive(Clone)]
struct RolloutSample {
    /// Index of the version; `None` without a decision or by a rule.
    versions: Vec<Option<u8>>,
    /// Whether the user is in the experiment, rather than left with stable.
    enrolled: Vec<bool>,
    /// By version: users by reason.
    reasons: Vec<BTreeMap<&'static str, usize>>,
}

/// Decides about all users, for each rollout with requests that match it; calls `tick` for each
/// decision.
pub fn sample(
    config: &LoadedConfig,
    users: &[String],
    (environment, headers): (&GivenEnvironment, &HeaderList),
    mut tick: impl FnMut(),
) -> PopulationSample {
    let policy = &config.policy;
    let empty = RolloutSample {
        versions: vec![None; users.len()],
        enrolled: vec![false; users.len()],
        reasons: Vec::new(),
    };
    let mut rollouts = vec![empty; policy.rollouts.len()];
    // One request for all rollouts with the same `match`.
    let mut groups: Vec<(RequestTemplate, Vec<usize>)> = Vec::new();
    for (index, rollout) in config.rollouts().iter().enumerate() {
        let template = RequestTemplate::new(&config.raw, rollout, environment.now)
            .with(headers)
            .without(&environment.unreachable);
        rollouts[index].reasons = vec![BTreeMap::new(); policy.rollouts[index].versions.len()];
        match groups
            .iter_mut()
            .find(|(other, _)| other.is_like(&template))
        {
            Some((_, group)) => group.push(index),
            None => groups.push((template, vec![index])),
        }
    }
    for (template, group) in &groups {
        for (number, user) in users.iter().enumerate() {
            tick();
            template.decide(policy, user, |outcome| {
                for decision in &outcome.decisions {
                    let index = usize::from(decision.rollout.0);
                    if !group.contains(&index) {
                        continue;
                    }
                    let (rollout, sample) = (&policy.rollouts[index], &mut rollouts[index]);
                    let reasons = &mut sample.reasons[usize::from(decision.version.0)];
                    *reasons.entry(decision.reason.name()).or_default() += 1;
                    if decision.reason == Reason::Rule {
                        continue;
                    }
                    sample.versions[number] = u8::try_from(decision.version.0).ok();
                    let enrolled = rollout
                        .strategy
                        .behaviour()
                        .is_enrolled(decision, rollout.stable);
                    sample.enrolled[number] = enrolled;
                }
            });
        }
    }
    PopulationSample { rollouts }
}

impl PopulationSample {
    /// The shares of all rollouts.
    pub fn shares(
        &self,
        config: &LoadedConfig,
        environment: &GivenEnvironment,
    ) -> Vec<RolloutShares> {
        let policy = &config.policy;
        let configured = policy.shares(environment);
        let all = policy.rollouts.iter().zip(&self.rollouts).zip(configured);
        let all = all
            .enumerate()
            .map(|(number, ((rollout, sample), configured))| {
                let mut by_strategy = vec![0_usize; rollout.versions.len()];
                for version in sample.versions.iter().flatten() {
                    by_strategy[usize::from(*version)] += 1;
                }
                let without_rule: usize = by_strategy.iter().sum();
                let count = |reasons: &BTreeMap<_, usize>| reasons.values().sum::<usize>();
                let users: usize = sample.reasons.iter().map(count).sum();
                let is_test = matches!(rollout.strategy, Strategy::AbTest(_));
                let mut versions = Vec::new();
                let (mut chi_square, mut versions_with_share) = (0.0, 0_usize);
                for ((index, version), chosen) in (0..).zip(&rollout.versions).zip(by_strategy) {
                    let share = configured.iter().find(|(id, _)| id.0 == index);
                    let share = share.map_or(0.0, |(_, share)| percent(*share));
                    let expected = share / 100.0 * without_rule as f64;
                    if expected > 0.0 {
                        chi_square += (chosen as f64 - expected).powi(2) / expected;
                        versions_with_share += 1;
                    } else if chosen > 0 {
                        chi_square = f64::INFINITY;
                    }
                    let reasons = sample.reasons.get(usize::from(index)).cloned();
                    let reasons = reasons.unwrap_or_default();
                    let number = count(&reasons);
                    let (from, to) = interval(number, users);
                    versions.push(VersionShare {
                        version: version.name.to_string(),
                        users: number,
                        percent: 100.0 * number as f64 / users.max(1) as f64,
                        interval: (100.0 * from, 100.0 * to),
                        configured: share,
                        reasons,
                        control: is_test && index == rollout.stable.0,
                    });
                }
                let p_value = p_value(chi_square, versions_with_share.saturating_sub(1));
                let raw = config.rollouts().get(number).unwrap_or(&Value::Null);
                let never = warnings::never_judges(policy, &config.raw, number);
                RolloutShares {
                    rollout: rollout.name.to_string(),
                    users,
                    by_rule: users - without_rule,
                    versions,
                    p_value,
                    mismatch: p_value < MISMATCH,
                    guardrail: never.map(|(_, message)| message),
                    schedule: schedule::of(rollout.plan.as_ref(), raw, environment.now),
                }
            });
        all.collect()
    }

    /// The overlap of each pair of rollouts that choose by identity.
    pub fn overlaps(&self, policy: &Policy) -> Vec<Overlap> {
        let experiments = policy.numbered();
        let experiments = experiments.filter(|(_, rollout)| {
            rollout.enabled && rollout.strategy.behaviour().needed_identity().is_some()
        });
        let experiments: Vec<_> = experiments.collect();
        let pairs = experiments.iter().enumerate().flat_map(|(nth, one)| {
            let others = experiments[nth + 1..].iter();
            others.map(move |other| (*one, *other))
        });
        let pairs = pairs.take(MAX_PAIRS);
        pairs.map(|(one, other)| self.overlap(one, other)).collect()
    }

    fn overlap(
        &self,
        (one, first): (RolloutId, &Rollout),
        (other, second): (RolloutId, &Rollout),
    ) -> Overlap {
        let [one, other] = [one, other].map(|id| &self.rollouts[usize::from(id.0)]);
        let [first_compares, second_compares] =
            [first, second].map(|rollout| rollout.strategy.behaviour().compares_with_all());
        let mut table = vec![vec![0_usize; second.versions.len()]; first.versions.len()];
        let (mut all, mut both, mut in_one, mut in_other) = (0_usize, 0_usize, 0_usize, 0_usize);
        for user in 0..one.versions.len() {
            let (Some(row), Some(column)) = (one.versions[user], other.versions[user]) else {
                continue;
            };
            let (enrolled, also) = (one.enrolled[user], other.enrolled[user]);
            all += 1;
            in_one += usize::from(enrolled);
            in_other += usize::from(also);
            both += usize::from(enrolled && also);
            if (enrolled || first_compares) && (also || second_compares) {
                table[usize::from(row)][usize::from(column)] += 1;
            }
        }
        let share = |number: usize| number as f64 / all.max(1) as f64;
        Overlap {
            rollouts: [first, second].map(|rollout| rollout.name.to_string()),
            percent: 100.0 * share(both),
            by_chance: 100.0 * share(in_one) * share(in_other),
            p_value: independence(&table),
        }
    }
}

/// The p-value of the hypothesis that rows and columns of a table are independent.
fn independence(table: &[Vec<usize>]) -> f64 {
    let rows: Vec<usize> = table.iter().map(|row| row.iter().sum()).collect();
    let columns: Vec<usize> = (0..table.first().map_or(0, Vec::len))
        .map(|column| table.iter().map(|row| row[column]).sum())
        .collect();
    let all = rows.iter().sum::<usize>() as f64;
    let mut chi_square = 0.0;
    for (row, in_row) in table.iter().zip(&rows) {
        for (count, in_column) in row.iter().zip(&columns) {
            let expected = *in_row as f64 * *in_column as f64 / all;
            if expected > 0.0 {
                chi_square += (*count as f64 - expected).powi(2) / expected;
            }
        }
    }
    let used = |sums: &[usize]| sums.iter().filter(|sum| **sum > 0).count();
    let degrees = |sums| used(sums).saturating_sub(1);
    p_value(chi_square, degrees(&rows) * degrees(&columns))
}
